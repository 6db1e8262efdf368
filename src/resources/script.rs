//! `script`: a file of the control machine, run on the node. The manual is doc/script.md.

use std::sync::Arc;

use super::command::{Exists, nothing_to_run};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Done, ExecSpec};
use crate::world::{Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "script",
    qualified: &["ansible.builtin.script", "ansible.legacy.script"],
    doc: include_str!("doc/script.md"),
    args: &[
        ArgSpec::new("_raw_params", Kind::Str, "The script and its arguments, written free-form"),
        ArgSpec::new("cmd", Kind::Str, "The script and its arguments"),
        ArgSpec::new("creates", Kind::Str, "Nothing is run if this path is there"),
        ArgSpec::new("removes", Kind::Str, "Nothing is run if this path is not there"),
        ArgSpec::new("chdir", Kind::Str, "Where on the node it runs"),
        ArgSpec::new("executable", Kind::Str, "The interpreter to run it with"),
        ArgSpec::new("decrypt", Kind::Bool, "Open the script if it is vaulted").default("true"),
    ],
    free_form: Some("_raw_params"),
    conduct: Conduct::Runs,
    build,
};

/// Puts standard input into a new file of that name and runs the shell text in `$3`, in which `$KDEPLOY_SCRIPT` is the file. The
/// variable is no export: the script does not see it.
const RUN: &str = r#"
d=$(mktemp -d "${TMPDIR:-/tmp}/kdeploy.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
f=$d/$1
cat >"$f" && chmod 0700 "$f" || exit 1
if [ -n "$2" ]; then cd "$2" || exit 1; fi
text=$3
set -- "$f"
eval "$text"
"#;

struct Script {
    name: String,
    /// Shell text: interpreter, `"$1"`, arguments as written.
    line: String,
    content: Vec<u8>,
    chdir: String,
    creates: Option<String>,
    removes: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "cmd", "_raw_params")?;
    let text = match args.str("cmd")? {
        Some(text) => Some(text),
        None => args.str("_raw_params")?,
    };
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Err(nothing_to_run(&args).into()) };
    let words = kit::split_words(&text).map_err(|why| super::common::invalid(why).at(args.task_span()))?;
    // Only the first word is taken out; what follows is shell text, as in Ansible.
    let written = words.first().cloned().unwrap_or_default();
    let rest = rest_of(&text);
    let path = (setting.find_file)("files", &written)?;
    let mut content = std::fs::read(&path).map_err(|e| {
        crate::problem::Problem::new("unreadable-file", format!("cannot read `{}`: {e}", path.display()))
            .at(args.task_span())
    })?;
    if args.bool("decrypt")?.unwrap_or(true) && content.starts_with(b"$ANSIBLE_VAULT;") {
        content = (setting.decrypt)(&content)?;
    }
    let task = Task::of(setting);
    let name = path.file_name().map_or_else(|| "script".to_owned(), |n| n.to_string_lossy().into_owned());
    let interpreter = args.str("executable")?.filter(|e| !e.is_empty()).map(|e| format!("{e} ")).unwrap_or_default();
    Ok(Arc::new(Script {
        name,
        line: format!("{interpreter}\"$1\" {rest}"),
        content,
        chdir: args.str("chdir")?.map(|p| task.path(&p)).unwrap_or_default(),
        creates: args.str("creates")?.map(|p| task.path(&p)),
        removes: args.str("removes")?.map(|p| task.path(&p)),
        task,
    }))
}

/// A command line without its first word.
fn rest_of(text: &str) -> &str {
    let text = text.trim_start();
    let (mut quote, mut escaped) = (None, false);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, c) if c.is_whitespace() => return text[i..].trim(),
            _ => {}
        }
    }
    ""
}

impl Resource for Script {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let path = |p: &String| {
            if p.starts_with('/') { p.clone() } else { format!("{}/{p}", self.task.home.trim_end_matches('/')) }
        };
        let (creates, removes) = (self.creates.as_ref().map(path), self.removes.as_ref().map(path));
        world.want(creates.iter().chain(&removes).map(|p| Exists(p).query()));
        let skipped = |msg: String| Ok(Verdict::Skipped(TaskResult::unchanged().with("msg", msg)));
        if let (Some(path), Some(shown)) = (&creates, &self.creates)
            && Exists(path).ask(world)?
        {
            return skipped(format!("{shown} exists, matching creates option"));
        }
        if let (Some(path), Some(shown)) = (&removes, &self.removes)
            && !Exists(path).ask(world)?
        {
            return skipped(format!("{shown} does not exist, matching removes option"));
        }
        if self.task.check_mode && creates.is_none() && removes.is_none() {
            return skipped("Check mode is not supported for this task.".to_owned());
        }
        let argv = ["sh", "-c", RUN, "sh", &self.name, &self.chdir, &self.line];
        let spec = ExecSpec {
            stdin: Some(self.content.clone()),
            env: self.task.environment.clone(),
            ok_codes: vec![],
            ..ExecSpec::argv(argv)
        };
        let unknown = crate::template::Unknown::after_step(self.name.clone());
        let effects = creates
            .iter()
            .chain(&removes)
            .map(|path| crate::world::Effect { query: Exists(path).query(), answer: Err(unknown.clone()) })
            .collect();
        Ok(Verdict::Change(Change {
            opaque: true,
            ..kit::change(ChangeKind::Run, vec![crate::node::Action::Exec(spec)], effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let Some(first) = done.first() else {
            return Err(change.result.clone().with("msg", "the script was not started"));
        };
        let output = kit::output_of(first);
        let result = change
            .result
            .clone()
            .with("rc", output.rc)
            .with("stdout", output.text())
            .with("stderr", output.error_text());
        match first {
            Done::Ok(_) if output.rc == 0 => Ok(result),
            Done::Ok(_) => Err(result.with("msg", "non-zero return code")),
            Done::Failed { message, .. } => Err(result.with("msg", message.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_taken_off() {
        assert_eq!(rest_of("  s.sh a 'b c' > out"), "a 'b c' > out");
        assert_eq!(rest_of("'a b.sh' x"), "x");
        assert_eq!(rest_of("a\\ b.sh"), "");
    }

    /// The wrapper, run by this machine's shell.
    #[test]
    fn a_script_is_run_and_goes_away() {
        use std::io::Write;
        let run = |line: &str, script: &str| {
            let mut child = std::process::Command::new("sh")
                .args(["-c", RUN, "sh", "my script", "/", line])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (code, said) = run("\"$1\" a 'b  c'", "#!/bin/sh\npwd; echo \"$#:$2\"; echo \"$0\"; exit 3\n");
        assert_eq!(code, Some(3));
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["/", "2:b  c"]);
        assert!(lines[2].ends_with("/my script") && !std::path::Path::new(lines[2]).exists(), "{said}");
        assert_eq!(run("sh \"$1\" | tr a-z A-Z", "echo x").1, "X\n");
    }
}
