//! A custom module that is a program: a script or binary in a `library/` folder, run on the node with Ansible's argument file.
//!
//! What it will do is never known before: a plan shows it as `run`. One whose text speaks of `_ansible_check_mode` is run in a plan and in
//! check mode, told that it is one; the others are not. No type of its own in the registry: its name is the file's.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::args::{ANY, text_of};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, kit,
};
use crate::node::{Done, ExecSpec, quote};
use crate::problem::Problem;
use crate::world::{Stop, View};

/// The one type of all programs.
pub static TYPE: ResourceType = ResourceType {
    name: "a program",
    qualified: &[],
    doc: "",
    args: &[ArgSpec::new(ANY, Kind::Raw, "The program's own arguments")],
    free_form: Some("_raw_params"),
    conduct: Conduct::Declares,
    build,
};

/// A program as a task names it.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: String,
    pub path: PathBuf,
}

/// How a program takes its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A file of JSON: binaries, and scripts that say `WANT_JSON`.
    Json,
    /// A file of `name=value` words.
    Words,
    /// JSON put in place of a marker in its text; no file.
    Inline,
}

/// A program that looks at this argument supports check mode.
const CHECK_MODE: &str = "_ansible_check_mode";

const MARKER: &str = "<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>";

/// Its standard input: how many lines of arguments there are, these lines, the program. `$1`: the program's name.
const LAUNCH: &str = "u=$(umask); umask 077; d=; for b in \"$HOME/.ansible/tmp\" \"${TMPDIR:-/tmp}\" /var/tmp; do \
    mkdir -p -- \"$b\" 2>/dev/null; d=$(mktemp -d \"$b/ansible-tmp-XXXXXX\" 2>/dev/null) && break; d=; done; \
    [ \"$d\" ] || { echo 'no directory for a temporary file' >&2; exit 126; }; \
    trap 'rm -rf -- \"$d\"' EXIT; trap 'exit 1' HUP INT TERM; \
    IFS= read -r n; while [ \"$n\" -gt 0 ]; do IFS= read -r l; printf '%s\\n' \"$l\"; n=$((n-1)); done >\"$d/args\"; \
    cat >\"$d/$1\" || exit 126; chmod 700 \"$d/$1\"; umask \"$u\"; if [ -s \"$d/args\" ]; then \"$d/$1\" \"$d/args\"; else \"$d/$1\"; fi </dev/null";

struct Run {
    name: String,
    stdin: Vec<u8>,
    environment: Vec<(String, String)>,
    /// Its text speaks of check mode, and it is told of it.
    checks: bool,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let Some(program) = setting.program else {
        return Err(Problem::new("unknown-module", "no program is named").at(args.task_span()).into());
    };
    let bytes = std::fs::read(&program.path).map_err(|e| {
        Problem::new("cannot-read", format!("cannot read `{}`: {e}", program.path.display())).at(args.task_span())
    })?;
    let style = style(&bytes);
    let checks = setting.check_mode && memchr::memmem::find(&bytes, CHECK_MODE.as_bytes()).is_some();
    let mut given = Map::new();
    for (name, value, _) in args.extra() {
        given.insert(name.to_owned(), crate::report::value_json(value));
    }
    for (name, value) in internal(program, setting) {
        given.insert(name.to_owned(), value);
    }
    let json = Json::Object(given.clone()).to_string();
    let (file, bytes) = match style {
        Style::Json => (json, bytes),
        Style::Words => (words(&given), bytes),
        Style::Inline => (String::new(), String::from_utf8_lossy(&bytes).replace(MARKER, &json).into_bytes()),
    };
    let lines = if file.is_empty() { 0 } else { file.split('\n').count() };
    let mut stdin = format!("{lines}\n").into_bytes();
    if lines > 0 {
        stdin.extend(file.into_bytes());
        stdin.push(b'\n');
    }
    stdin.extend(bytes);
    Ok(Arc::new(Run { name: program.name.clone(), stdin, environment: setting.environment.clone(), checks }))
}

fn style(bytes: &[u8]) -> Style {
    match std::str::from_utf8(bytes) {
        Err(_) => Style::Json,
        Ok(text) if text.contains('\0') || text.contains("WANT_JSON") => Style::Json,
        Ok(text) if text.contains(MARKER) => Style::Inline,
        Ok(_) => Style::Words,
    }
}

/// What Ansible tells every module of the run.
fn internal(program: &Program, setting: &Setting) -> Vec<(&'static str, Json)> {
    vec![
        (CHECK_MODE, setting.check_mode.into()),
        ("_ansible_no_log", false.into()),
        ("_ansible_debug", false.into()),
        ("_ansible_diff", setting.diff.into()),
        ("_ansible_verbosity", setting.verbosity.into()),
        ("_ansible_version", crate::plan::ANSIBLE_VERSION.0.into()),
        ("_ansible_module_name", program.name.as_str().into()),
        ("_ansible_syslog_facility", "LOG_USER".into()),
        ("_ansible_selinux_special_fs", serde_json::json!(["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"])),
        ("_ansible_socket", Json::Null),
        ("_ansible_shell_executable", "/bin/sh".into()),
        ("_ansible_keep_remote_files", false.into()),
        ("_ansible_remote_tmp", "~/.ansible/tmp".into()),
    ]
}

/// `name=value` words that a shell can read; values as Python writes them.
fn words(given: &Map<String, Json>) -> String {
    let word = |(name, value): (&String, &Json)| {
        let text = text_of(&kit::from_json(value));
        let text = if value.is_null() { "None".to_owned() } else { text };
        format!("{name}={}", quote(&text))
    };
    given.iter().map(word).collect::<Vec<_>>().join(" ")
}

impl Resource for Run {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        let launch = ExecSpec {
            stdin: Some(self.stdin.clone()),
            env: self.environment.clone(),
            ok_codes: vec![],
            ..ExecSpec::argv(["sh", "-c", LAUNCH, "sh", self.name.as_str()])
        };
        Ok(Verdict::Change(Change {
            opaque: true,
            result: TaskResult::unchanged(),
            ..kit::change(ChangeKind::Run, vec![launch.into_action()], vec![])
        }))
    }

    fn only_looks_in_check_mode(&self) -> bool {
        self.checks
    }

    fn conclude(&self, _change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let output = match done.first() {
            Some(Done::Ok(output)) => output,
            Some(Done::Failed { message, .. }) => return Err(TaskResult::unchanged().with("msg", message.as_str())),
            None => return Err(TaskResult::unchanged().with("msg", "the module was not started")),
        };
        let (stdout, stderr) = (kit::text(&output.stdout), kit::text(&output.stderr));
        let Some(Json::Object(map)) = first_object(&stdout) else {
            return Err(TaskResult::unchanged()
                .with("module_stderr", stderr)
                .with("module_stdout", stdout)
                .with("msg", "Module result deserialization failed: No start of json char found")
                .with("rc", output.rc));
        };
        let mut result = TaskResult::unchanged();
        let mut failed = None;
        for (key, value) in map {
            match key.as_str() {
                "changed" => result.changed = is_true(&value),
                "failed" => failed = Some(is_true(&value)),
                _ if key.starts_with("_ansible_") || key == "invocation" => {}
                _ => result = result.with(&key, kit::from_json(&without_internals(value))),
            }
        }
        let rc_says = result.values.get("rc").is_some_and(|rc| text_of(rc) != "0");
        if !failed.unwrap_or(rc_says) {
            return Ok(result);
        }
        Err(if result.values.contains_key("msg") {
            result
        } else {
            result.with("msg", "Action failed: Unknown error.")
        })
    }
}

/// What Ansible keeps to itself is nobody's result, at any depth.
fn without_internals(value: Json) -> Json {
    match value {
        Json::Object(map) => Json::Object(
            map.into_iter()
                .filter(|(key, _)| !key.starts_with("_ansible_"))
                .map(|(key, value)| (key, without_internals(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(without_internals).collect()),
        other => other,
    }
}

fn is_true(value: &Json) -> bool {
    match value {
        Json::String(text) => super::truth(text).unwrap_or(!text.is_empty()),
        other => kit::from_json(other).is_true(),
    }
}

/// The first JSON object that begins a line; noise around it is passed over.
fn first_object(text: &str) -> Option<Json> {
    let mut rest = text;
    loop {
        if rest.trim_start().starts_with('{')
            && let Some(Ok(value)) = serde_json::Deserializer::from_str(rest).into_iter::<Json>().next()
        {
            return Some(value);
        }
        rest = rest.split_once('\n')?.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_told_by_the_text() {
        assert_eq!(style(b"#!/bin/sh\n# WANT_JSON\n"), Style::Json);
        assert_eq!(style(b"#!/bin/sh\n. $1\n"), Style::Words);
        assert_eq!(style(b"\x7fELF\xff\xfe"), Style::Json);
        assert_eq!(style(b"#!/bin/sh\nA='<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'\n"), Style::Inline);
    }

    #[test]
    fn words_are_quoted_as_python_writes_values() {
        let given = serde_json::json!({"src": "it's", "list": [1, 2], "flag": true, "n": null});
        let Json::Object(given) = given else { panic!("a mapping") };
        let text = words(&given);
        for word in ["list='[1, 2]'", "flag=True", "n=None"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn noise_around_the_result_is_passed_over() {
        let value = first_object("welcome\n{broken\n{\"changed\": true}\nbye\n").expect("found");
        assert_eq!(value, serde_json::json!({"changed": true}));
        assert_eq!(first_object("a=b\n"), None);
    }
}
