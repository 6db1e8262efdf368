//! `delegate_to`: the source is on the machine the task is delegated to, and that machine's rsync does it, as with Ansible.
//!
//! What it would do is asked by a dry run, so it can be planned.

use std::sync::Arc;

use minijinja::Value;

use super::Manner;
use crate::node::ExecSpec;
use crate::problem::Problem;
use crate::resources::common::{diff, fail};
use crate::resources::kit::{self, Task};
use crate::resources::{Args, Change, ChangeKind, Done, Resource, Setting, TaskResult, Verdict, text_of};
use crate::world::{Stop, View};

/// Stands before each line that tells of a change.
const MARK: &str = "<<CHANGED>>";

struct Delegated {
    /// rsync's options, source and destination.
    words: Vec<String>,
    task: Task,
}

pub(super) fn build(args: &Args, manner: &Manner, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let says = |expression: &str| -> Result<String, Stop> {
        let value = (setting.evaluate)(expression)?;
        Ok(if value.is_none() || value.is_undefined() { String::new() } else { text_of(&value) })
    };
    let task = Task::of(setting);
    let host = says("inventory_hostname")?;
    let here = says("(ansible_delegated_vars | default({})).keys() | first | default('')")? == host;
    let mut words = vec!["--delay-updates".to_owned(), "-F".to_owned()];
    let mut flag = |on: bool, word: &str| words.extend(on.then(|| word.to_owned()));
    flag(args.bool("compress")?.unwrap_or(true), "--compress");
    flag(manner.recursive, "--recursive");
    flag(manner.dirs, "--dirs");
    flag(manner.links, "--links");
    flag(manner.copy_links, "--copy-links");
    flag(manner.perms, "--perms");
    flag(manner.times, "--times");
    flag(manner.owner, "--owner");
    flag(manner.group, "--group");
    flag(args.bool("archive")?.unwrap_or(true), "-D");
    flag(manner.delete, "--delete-after");
    flag(manner.checksum, "--checksum");
    flag(manner.existing_only, "--existing");
    if let Some(seconds) = args.int("rsync_timeout")?.filter(|n| *n > 0) {
        words.push(format!("--timeout={seconds}"));
    }
    if let Some(program) = args.str("rsync_path")? {
        words.push(format!("--rsync-path={program}"));
    }
    for dir in args.list("link_dest")? {
        words.push(format!("--link-dest={}", task.path(&dir)));
    }
    for option in args.list("rsync_opts")? {
        words.extend(
            kit::split_words(&option)
                .map_err(|why| Problem::new("invalid-argument", why).at(args.span("rsync_opts")))?,
        );
    }
    let (src, dest) = (task.path(&args.need("src")?), task.path(&args.need("dest")?));
    let pull = args.need("mode")? == "pull";
    if here {
        words.extend([src, dest]);
    } else {
        let of = |name: &str| says(&format!("{name} | default('')"));
        let address = of("ansible_host")?;
        let address = if address.is_empty() { host } else { address };
        let (user, port) = (of("ansible_user")?, of("ansible_port")?);
        let mut shell = "ssh -o BatchMode=yes".to_owned();
        if let Some(port) = args.int("dest_port")?.map(|p| p.to_string()).or_else(|| (!port.is_empty()).then_some(port))
        {
            shell.push_str(&format!(" -p {port}"));
        }
        if let Some(key) = args.str("private_key")? {
            shell.push_str(&format!(" -i {}", crate::node::quote(&task.path(&key))));
        }
        words.push(format!("--rsh={shell}"));
        let address = if address.contains(':') { format!("[{address}]") } else { address };
        let who = if user.is_empty() || !args.flag("set_remote_user")? { address } else { format!("{user}@{address}") };
        words.extend(if pull { [format!("{who}:{src}"), dest] } else { [src, format!("{who}:{dest}")] });
    }
    Ok(Arc::new(Delegated { words, task }))
}

impl Delegated {
    fn argv(&self, dry: bool) -> Vec<String> {
        let mut argv = vec!["rsync".to_owned()];
        argv.extend(dry.then(|| "--dry-run".to_owned()));
        argv.push(format!("--out-format={MARK}%i %n%L"));
        argv.extend(self.words.iter().cloned());
        argv
    }

    fn result(&self, text: &str) -> TaskResult {
        let text = text.replace(MARK, "");
        let lines: Vec<Value> = text.lines().map(Value::from).collect();
        let changed = !lines.is_empty();
        TaskResult { changed, ..TaskResult::default() }
            .with("cmd", self.argv(false).join(" "))
            .with("msg", text.as_str())
            .with("rc", 0)
            .with("stdout_lines", lines)
    }
}

/// Lines that tell of changes.
fn changes(text: &str) -> String {
    text.lines().filter(|l| l.contains(MARK)).map(|l| format!("{l}\n")).collect()
}

impl Resource for Delegated {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let said = view.read(self.argv(true))?;
        if said.rc == 127 {
            return fail("the machine the task is delegated to has no rsync");
        }
        if said.rc != 0 {
            let why = said.error_text();
            return Ok(Verdict::Failed(TaskResult::unchanged().with("rc", said.rc).with("msg", why.trim())));
        }
        let todo = changes(&said.text());
        let result = self.result(&todo);
        if todo.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        let mut action = ExecSpec::argv(self.argv(false));
        action.env.clone_from(&self.task.environment);
        Ok(Verdict::Change(Change {
            diff: vec![diff::sizes("rsync", "rsync", None, todo.replace(MARK, ""))],
            opaque: true,
            result,
            ..kit::change(ChangeKind::Change, vec![action.into_action()], vec![])
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        if let Some((message, output)) = kit::failure(done) {
            let why = kit::why(message, output);
            return Err(TaskResult { changed: false, ..change.result.clone() }
                .with("rc", output.rc)
                .with("msg", why.trim_end()));
        }
        Ok(done.last().map_or_else(|| change.result.clone(), |d| self.result(&changes(&kit::output_of(d).text()))))
    }
}
