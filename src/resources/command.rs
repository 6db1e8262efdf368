//! `command` and `shell`: run a program on the node.
//!
//! Their effects are never known before: a plan shows them as `run`, and what they register is known afterwards.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Command, Done, ExecSpec};
use crate::problem::Problem;
use crate::template::Unknown;
use crate::world::{Effect, Query, Stop, View};

const DOC: &str = "\
# command

Runs a program with its arguments, without a shell: no pipes, redirections or globbing.

The line is split into words as a POSIX shell would quote them. `creates` and `removes` make the task \
idempotent: when the file is there (not there), nothing runs and the task is `ok`. A shell pattern is allowed.

## Return values

- `cmd` (list): the words that ran
- `rc` (int), `stdout`, `stderr` (text), `stdout_lines`, `stderr_lines` (lists)
- `start`, `end`, `delta` (text): when it ran and how long
- `msg` (text): why it did not run or failed

## Examples

    - name: Reserve the node's name
      command: /usr/local/bin/reserve --name {{ inventory_hostname }} creates=/etc/reserved

    - name: Unpack the archive
      command:
        argv: [tar, -xf, /tmp/archive with spaces.tar]
        chdir: /opt
        creates: /opt/archive

## Differences from Ansible

A plan tells `run` and calls the registered result unknown; with `--check` it is Ansible's (rc 0, skipped). `~name` of \
another user is not expanded in arguments.
";

const ARGS: &[ArgSpec] = &[
    ArgSpec::new("_raw_params", Kind::Raw, "The command line, written free-form"),
    ArgSpec::new("cmd", Kind::Str, "The command line"),
    ArgSpec::new("argv", Kind::List, "The program and its arguments, each as it is"),
    ArgSpec::new("chdir", Kind::Path, "Directory to run in"),
    ArgSpec::new("creates", Kind::Path, "Do not run if this file or pattern exists"),
    ArgSpec::new("removes", Kind::Path, "Run only if this file or pattern exists"),
    ArgSpec::new("executable", Kind::Path, "Obsolete here; see `shell`"),
    ArgSpec::new("stdin", Kind::Str, "Text for the program's standard input"),
    ArgSpec::new("stdin_add_newline", Kind::Bool, "End `stdin` with a newline").default("true"),
    ArgSpec::new("strip_empty_ends", Kind::Bool, "Drop empty lines at the end of stdout and stderr").default("true"),
    ArgSpec::new("expand_argument_vars", Kind::Bool, "Fill in `$VAR` and `~` in the arguments").default("true"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "command",
    qualified: &["ansible.builtin.command", "ansible.legacy.command"],
    doc: DOC,
    args: ARGS,
    free_form: Some("_raw_params"),
    conduct: Conduct::Runs,
    build: build_command,
};

#[derive(Debug)]
pub(super) enum Line {
    Words { words: Vec<String>, expand: bool },
    Shell { text: String, executable: Option<String> },
}

#[derive(Debug)]
struct Run {
    line: Line,
    chdir: Option<String>,
    creates: Option<Guard>,
    removes: Option<Guard>,
    stdin: Option<Vec<u8>>,
    strip: bool,
    task: Task,
}

/// A path of `creates` or `removes`.
#[derive(Debug)]
struct Guard {
    /// As messages show it.
    shown: String,
    path: String,
}

fn build_command(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let given = ["_raw_params", "cmd", "argv"].iter().filter(|name| args.given(name)).count();
    let words = match line(&args)? {
        _ if given > 1 => {
            return Err(Problem::new("invalid-argument", "a command is given twice: free-form, `cmd` or `argv`")
                .at(args.task_span())
                .help("keep one of them")
                .into());
        }
        Some(text) => kit::split_words(&text).map_err(|why| {
            Problem::new("invalid-argument", format!("the command line cannot be split into words: {why}"))
                .at(args.span("cmd"))
        })?,
        None => args.list("argv")?,
    };
    if words.is_empty() {
        return Err(nothing_to_run(&args).into());
    }
    run(&args, setting, Line::Words { words, expand: args.flag("expand_argument_vars")? })
}

pub(super) fn line(args: &Args) -> Result<Option<String>, Problem> {
    let text = match args.str("cmd")? {
        Some(text) => Some(text),
        None => args.str("_raw_params")?,
    };
    Ok(text.filter(|t| !t.trim().is_empty()))
}

pub(super) fn nothing_to_run(args: &Args) -> Problem {
    Problem::new("missing-argument", "no command given")
        .at(args.task_span())
        .help("one of the following is required: _raw_params, cmd, argv")
}

pub(super) fn run(args: &Args, setting: &Setting, line: Line) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let chdir = args.str("chdir")?.map(|p| task.path(&p));
    // Relative patterns are looked for where the command would run.
    let path = |name: &str| -> Result<Option<Guard>, Problem> {
        Ok(args.str(name)?.map(|p| {
            let shown = task.path(&p);
            let path = if shown.starts_with('/') {
                shown.clone()
            } else {
                format!("{}/{shown}", chdir.as_deref().unwrap_or(&task.home).trim_end_matches('/'))
            };
            Guard { shown, path }
        }))
    };
    let (creates, removes) = (path("creates")?, path("removes")?);
    let stdin = match args.str("stdin")? {
        Some(mut text) => {
            if args.flag("stdin_add_newline")? {
                text.push('\n');
            }
            Some(text.into_bytes())
        }
        None => None,
    };
    let strip = args.flag("strip_empty_ends")?;
    Ok(Arc::new(Run { line, chdir, creates, removes, stdin, strip, task }))
}

/// Answers whether a path or shell pattern matches anything.
const MATCHES: &str = "IFS=; for p in $1; do if [ -e \"$p\" ] || [ -L \"$p\" ]; then exit 0; fi; done; exit 1";

/// Whether a path, or anything a shell pattern matches, is there: `creates` and `removes`.
pub(super) struct Exists<'a>(pub &'a str);

impl Exists<'_> {
    pub fn query(&self) -> Query {
        existence(self.0)
    }

    pub fn ask(&self, world: &View) -> Result<bool, Stop> {
        exists(world, self.0)
    }
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn existence(path: &str) -> Query {
    if is_pattern(path) {
        let argv = ["sh", "-c", MATCHES, "sh", path].map(str::to_owned).to_vec();
        return Query::Read { argv };
    }
    Query::Stat { path: path.to_owned(), follow: false }
}

/// What Ansible says where `chdir` cannot be entered.
const NO_FOLDER: &str = "Unable to change directory before execution.";

fn view_is_no_folder(world: &View, dir: &str) -> Result<bool, Stop> {
    Ok(world.stat(dir, true)?.is_none_or(|stat| stat.kind != crate::world::FileKind::Directory))
}

fn exists(world: &View, path: &str) -> Result<bool, Stop> {
    match world.ask(existence(path))? {
        crate::world::Answer::Stat(stat) => Ok(stat.is_some()),
        crate::world::Answer::Output(output) => Ok(output.rc == 0),
        other => unreachable!("existence was answered with {other:?}"),
    }
}

impl Run {
    /// The words with variables filled in as the node's environment has them.
    fn words(&self, world: &View, words: &[String], expand: bool) -> Result<Vec<String>, Stop> {
        if !expand {
            return Ok(words.to_vec());
        }
        let known = |text: &str| {
            kit::expand_variables(text, &|name| {
                self.task.environment.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
            })
        };
        let mut out: Vec<String> = words.iter().map(|w| known(w)).collect();
        if out.iter().any(|w| kit::mentions_variable(w)) {
            let env = world.read(["env"])?.text();
            let lookup = |name: &str| {
                env.lines().find_map(|l| l.split_once('=').filter(|(k, _)| *k == name).map(|(_, v)| v.to_owned()))
            };
            out = out.iter().map(|w| kit::expand_variables(w, &lookup)).collect();
        }
        Ok(out.iter().map(|w| kit::expand_home(w, &self.task.home)).collect())
    }

    fn shown(&self) -> Value {
        match &self.line {
            Line::Words { words, .. } => Value::from(words.clone()),
            Line::Shell { text, .. } => Value::from(text.as_str()),
        }
    }

    /// The registered result of a command that did not run.
    fn not_run(&self, msg: String, stdout: String) -> TaskResult {
        TaskResult::unchanged()
            .with("cmd", self.shown())
            .with("rc", 0)
            .with("stdout", stdout)
            .with("stderr", "")
            .with("start", Value::from(()))
            .with("end", Value::from(()))
            .with("delta", Value::from(()))
            .with("msg", msg)
    }

    /// The line of a program that could not be started.
    fn spoken(&self) -> String {
        match &self.line {
            Line::Shell { text, executable: Some(shell) } => {
                format!("{shell} -c '{}'", text.replace('\'', "'\"'\"'"))
            }
            _ => self.label(),
        }
    }

    fn label(&self) -> String {
        match &self.line {
            Line::Words { words, .. } => words.join(" "),
            Line::Shell { text, .. } => text.clone(),
        }
    }
}

impl Resource for Run {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        world.want(self.creates.iter().chain(&self.removes).map(|g| existence(&g.path)));
        if self.task.check_mode
            && let Some(dir) = &self.chdir
            && view_is_no_folder(world, dir)?
        {
            return Ok(Verdict::Failed(self.not_run(NO_FOLDER.to_owned(), String::new()).with("rc", Value::from(()))));
        }
        let would = if self.task.check_mode { "Would not" } else { "Did not" };
        if let Some(Guard { shown, path }) = &self.creates
            && exists(world, path)?
        {
            return Ok(Verdict::Unchanged(self.not_run(
                format!("{would} run command since '{shown}' exists"),
                format!("skipped, since {shown} exists"),
            )));
        }
        if let Some(Guard { shown, path }) = &self.removes
            && !exists(world, path)?
        {
            return Ok(Verdict::Unchanged(self.not_run(
                format!("{would} run command since '{shown}' does not exist"),
                format!("skipped, since {shown} does not exist"),
            )));
        }
        let mut result = TaskResult::changed().with("cmd", self.shown());
        if self.task.check_mode {
            let dry = self.not_run("Command would have run if not in check mode".to_owned(), String::new());
            if self.creates.is_none() && self.removes.is_none() {
                return Ok(Verdict::Skipped(dry));
            }
            result = TaskResult { changed: true, ..dry };
        }
        let command = match &self.line {
            Line::Words { words, expand } => Command::Argv(self.words(world, words, *expand)?),
            Line::Shell { text, executable } => Command::Shell { text: text.clone(), executable: executable.clone() },
        };
        // After the run `creates` most likely exists, but only the run tells.
        let unknown = Unknown::after_step(self.label());
        let effects = self
            .creates
            .iter()
            .chain(&self.removes)
            .map(|guard| Effect { query: existence(&guard.path), answer: Err(unknown.clone()) });
        let spec = ExecSpec {
            command,
            chdir: self.chdir.clone(),
            env: self.task.environment.clone(),
            stdin: self.stdin.clone(),
            ..ExecSpec::default()
        };
        Ok(Verdict::Change(Change {
            effects: effects.collect(),
            opaque: true,
            result,
            ..kit::change(ChangeKind::Run, vec![spec.into_action()], vec![])
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let trim = |bytes: &[u8]| {
            let text = kit::text(bytes);
            if self.strip { text.trim_end_matches(['\r', '\n']).to_owned() } else { text }
        };
        let base = || TaskResult { changed: true, ..change.result.clone() };
        match done.first() {
            Some(Done::Ok(output)) if crate::process::strict_utf8() && not_utf8(output).is_some() => {
                let stream = not_utf8(output).unwrap_or_default();
                Err(TaskResult::unchanged().with(
                    "msg",
                    format!(
                        "the command's {stream} is not UTF-8 (it ran all the same); `module_strict_utf8_response = false` takes it as far as it goes"
                    ),
                ))
            }
            Some(Done::Ok(output)) => {
                let result = kit::timed(base(), None)
                    .with("rc", output.rc)
                    .with("stdout", trim(&output.stdout))
                    .with("stderr", trim(&output.stderr))
                    .with("msg", if output.rc == 0 { "" } else { "non-zero return code" });
                if output.rc == 0 {
                    return Ok(result);
                }
                if output.rc == 127 && self.is_missing_program(&output.error_text()) {
                    return Err(TaskResult { changed: false, ..base() }
                        .with("rc", 2)
                        .with("stdout", "")
                        .with("stderr", "")
                        .with("cmd", self.spoken())
                        .with("msg", format!("Error executing command: {}", trim(&output.stderr))));
                }
                if output.rc == 1 && self.cannot_enter(&output.error_text()) {
                    return Err(TaskResult { changed: false, ..base() }
                        .with("rc", Value::from(()))
                        .with("stdout", "")
                        .with("stderr", "")
                        .with(
                            "msg",
                            format!("Unable to change directory before execution: {}", trim(&output.stderr)),
                        ));
                }
                Err(result)
            }
            Some(Done::Failed { message, .. })
                if self.chdir.is_some() && message.contains(": cannot change to the directory") =>
            {
                Err(self.not_run(NO_FOLDER.to_owned(), String::new()).with("rc", Value::from(())))
            }
            Some(Done::Failed { message, output }) => Err(TaskResult { changed: false, ..base() }
                .with("rc", if output.rc == 0 { Value::from(()) } else { Value::from(output.rc) })
                .with("stdout", trim(&output.stdout))
                .with("stderr", trim(&output.stderr))
                .with("msg", message.as_str())),
            None => Err(base().with("msg", "the command was not started")),
        }
    }
}

/// Which of the streams is not UTF-8.
fn not_utf8(output: &crate::world::Output) -> Option<&'static str> {
    let streams = [("standard output", &output.stdout), ("standard error", &output.stderr)];
    streams.into_iter().find(|(_, bytes)| std::str::from_utf8(bytes).is_err()).map(|(name, _)| name)
}

impl Run {
    /// The shell could not go to `chdir`: nothing ran.
    fn cannot_enter(&self, stderr: &str) -> bool {
        self.chdir.as_ref().is_some_and(|dir| stderr.contains("cd: ") && stderr.contains(dir.as_str()))
    }

    fn is_missing_program(&self, stderr: &str) -> bool {
        match &self.line {
            Line::Words { words, .. } => {
                stderr.contains(words[0].as_str()) && (stderr.contains("not found") || stderr.contains("No such file"))
            }
            Line::Shell { executable: Some(shell), .. } => {
                stderr.contains(&format!("{shell}: not found")) || stderr.contains(&format!("{shell}: No such file"))
            }
            Line::Shell { .. } => false,
        }
    }
}
