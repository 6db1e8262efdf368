//! Lookups that run a command on the control machine.

use std::process::{Command, Stdio};

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::only;
use crate::template::Context;
use crate::template::args::{err, string};
use crate::template::filters::text::split_lines;

fn output(context: &Context, command: &str) -> Result<String, Error> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::inherit()).stderr(Stdio::piped());
    let folder = &context.paths().playbook_dir;
    if folder.is_dir() {
        shell.current_dir(folder);
    }
    let output = shell.output().map_err(|e| err(format!("can't run `{command}`: {e}")))?;
    if !output.status.success() {
        let status = output.status.code().map_or_else(|| "by a signal".to_owned(), |c| format!("with status {c}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        let tail = stderr.trim().lines().last().map(|l| format!(": {l}")).unwrap_or_default();
        return Err(err(format!("`{command}` ended {status}{tail}")));
    }
    String::from_utf8(output.stdout).map_err(|_| err(format!("`{command}` put out what is no UTF-8 text")))
}

pub fn pipe(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "pipe", &[])?;
    terms.iter().map(|term| Ok(Value::from(output(context, &string(term, "term")?)?.trim_end()))).collect()
}

pub fn lines(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "lines", &[])?;
    let mut out = vec![];
    for term in terms {
        out.extend(split_lines(&output(context, &string(term, "term")?)?, false).into_iter().map(Value::from));
    }
    Ok(out)
}
