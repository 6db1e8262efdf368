//! Lookups of files on the control machine: contents, rendered templates, globs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::{boolean, only, string as option};
use crate::resources::TemplateRequest;
use crate::template::Context;
use crate::template::args::{err, pairs, string, text};
use crate::template::call::carry;
use crate::template::filters::{expand_user, paths};
use crate::vars::{Definition, Scope};

/// The file a lookup means, by the search order of the task's files (`files/`, `templates/` …).
pub fn locate(context: &Context, folder: &str, name: &str) -> Result<PathBuf, Error> {
    let name = expand_user(name);
    context.paths().find(folder, &name).map_err(|tried| {
        let tried: Vec<String> = tried.iter().map(|p| p.display().to_string()).collect();
        err(format!("there is no file `{name}` (looked for {})", tried.join(", ")))
    })
}

/// A file's bytes, opened with the run's vault secrets if it is vaulted.
pub fn read(context: &Context, path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(path).map_err(|e| err(format!("can't read `{}`: {e}", path.display())))?;
    if !crate::vars::vault::is_vaulted(&bytes) {
        return Ok(bytes);
    }
    let failed = |why: String| err(format!("can't open the vaulted `{}`: {why}", path.display()));
    match &context.engine().options.decrypt {
        Some(decrypt) => decrypt(&String::from_utf8_lossy(&bytes)).map(String::into_bytes).map_err(failed),
        None => Err(failed("no vault password is given".into())),
    }
}

/// A file as text.
pub fn read_text(context: &Context, path: &Path) -> Result<String, Error> {
    String::from_utf8(read(context, path)?).map_err(|_| err(format!("`{}` is no UTF-8 text", path.display())))
}

pub fn file(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "file", &["rstrip", "lstrip"])?;
    let mut out = vec![];
    for term in terms {
        let path = locate(context, "files", &string(term, "term")?)?;
        let content = read_text(context, &path)?;
        let mut content = content.as_str();
        if boolean(options, "lstrip", false) {
            content = content.trim_start();
        }
        if boolean(options, "rstrip", true) {
            content = content.trim_end();
        }
        out.push(Value::from(content));
    }
    Ok(out)
}

pub fn unvault(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "unvault", &[])?;
    let mut out = vec![];
    for term in terms {
        let path = locate(context, "files", &string(term, "term")?)?;
        out.push(Value::from(read_text(context, &path)?));
    }
    Ok(out)
}

pub fn template(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(
        options,
        "template",
        &[
            "convert_data",
            "variable_start_string",
            "variable_end_string",
            "block_start_string",
            "block_end_string",
            "comment_start_string",
            "comment_end_string",
            "jinja2_native",
            "template_vars",
            "trim_blocks",
            "lstrip_blocks",
            "newline_sequence",
        ],
    )?;
    let mut variables = vec![];
    if let Some(extra) = options.get("template_vars") {
        for (name, value) in pairs(extra)? {
            variables.push((text(&name), value));
        }
    }
    let context = if variables.is_empty() {
        context.clone()
    } else {
        let mut scope = Scope::new("template_vars");
        scope.vars.extend(variables.into_iter().map(|(name, value)| (name, Definition::Final(value))));
        context.with([Arc::new(scope)])
    };
    let mut out = vec![];
    for term in terms {
        let path = locate(&context, "templates", &string(term, "term")?)?;
        let request = TemplateRequest {
            text: read_text(&context, &path)?,
            path,
            trim_blocks: boolean(options, "trim_blocks", true),
            lstrip_blocks: boolean(options, "lstrip_blocks", false),
            newline_sequence: option(options, "newline_sequence")?.unwrap_or_else(|| "\n".into()),
            variable_start: option(options, "variable_start_string")?,
            variable_end: option(options, "variable_end_string")?,
            block_start: option(options, "block_start_string")?,
            block_end: option(options, "block_end_string")?,
            comment_start: option(options, "comment_start_string")?,
            comment_end: option(options, "comment_end_string")?,
            variables: vec![],
        };
        out.push(Value::from(context.render_file(&request).map_err(carry)?));
    }
    Ok(out)
}

pub fn fileglob(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "fileglob", &[])?;
    let mut out = vec![];
    for term in terms {
        let term = expand_user(&string(term, "term")?);
        let patterns: Vec<String> = if term.starts_with('/') {
            vec![term]
        } else {
            let found: Vec<PathBuf> = context.paths().candidates("files", &term);
            // only the first folder that exists counts
            found
                .into_iter()
                .filter(|p| p.parent().is_some_and(Path::is_dir))
                .map(|p| p.display().to_string())
                .take(1)
                .collect()
        };
        for pattern in patterns {
            out.extend(paths::glob(&pattern).into_iter().filter(|p| Path::new(p).is_file()).map(Value::from));
        }
    }
    Ok(out)
}
