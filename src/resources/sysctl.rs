//! `sysctl`: kernel parameters, in a file and at once.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Answer, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "sysctl",
    qualified: &["ansible.posix.sysctl"],
    doc: include_str!("doc/sysctl.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The parameter, with dots").aliases(&["key"]).required(),
        ArgSpec::new("value", Kind::Str, "Its value").aliases(&["val"]),
        ArgSpec::new("state", Kind::Str, "Whether the file sets it").default("present").choices(&["absent", "present"]),
        ArgSpec::new("ignoreerrors", Kind::Bool, "Ignore parameters the kernel does not know").default("false"),
        ArgSpec::new("reload", Kind::Bool, "Read the file with `sysctl -p` after changing it").default("true"),
        ArgSpec::new("sysctl_file", Kind::Path, "The file").default("/etc/sysctl.conf"),
        ArgSpec::new("sysctl_set", Kind::Bool, "Compare and set the running kernel's value too").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Sysctl {
    name: String,
    value: String,
    present: bool,
    ignore: bool,
    reload: bool,
    set: bool,
    file: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let present = args.need("state")? == "present";
    let value = match args.raw("value") {
        Some(v) if v.kind() == ValueKind::Bool => if v.is_true() { "1" } else { "0" }.to_owned(),
        Some(v) => plain(&text_of(v)),
        None => String::new(),
    };
    if present && value.is_empty() {
        return Err(Problem::new("missing-argument", "`sysctl` needs the argument `value` with `state: present`")
            .at(args.task_span())
            .into());
    }
    let name = args.need("name")?;
    if name.trim().is_empty() || name.contains(['=', '\n']) {
        return Err(args.wrong("name", "the name of a kernel parameter", &Value::from(name)).into());
    }
    Ok(Arc::new(Sysctl {
        name: name.trim().to_owned(),
        value,
        present,
        ignore: args.flag("ignoreerrors")?,
        reload: args.flag("reload")?,
        set: args.flag("sysctl_set")?,
        file: task.path(&args.need("sysctl_file")?),
        task,
    }))
}

/// A value as Ansible writes it: words for truth become 1 and 0.
fn plain(text: &str) -> String {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "true" => "1".to_owned(),
        "no" | "n" | "off" | "false" => "0".to_owned(),
        _ => text.to_owned(),
    }
}

fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Where the kernel shows a parameter: the first separator decides whether `.` or `/` divides.
fn proc_path(name: &str) -> String {
    let slashes_divide = name.find(['.', '/']).is_some_and(|i| name.as_bytes()[i] == b'/');
    let path: String = name
        .chars()
        .map(|c| match c {
            '.' if !slashes_divide => '/',
            '/' if !slashes_divide => '.',
            c => c,
        })
        .collect();
    format!("/proc/sys/{path}")
}

/// `key = value` of a line that sets something.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return None;
    }
    line.split_once('=').map(|(k, v)| (k.trim(), v.trim()))
}

impl Sysctl {
    /// The file's new text. Ansible writes every setting without spaces around `=` and keeps only the first of a key.
    fn rewritten(&self, old: &str) -> String {
        let mut seen: Vec<&str> = vec![];
        let mut lines: Vec<String> = vec![];
        for line in old.lines() {
            let Some((key, value)) = setting(line) else {
                lines.push(line.to_owned());
                continue;
            };
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            if key != self.name {
                lines.push(format!("{key}={value}"));
            } else if self.present {
                lines.push(format!("{key}={}", self.value));
            }
        }
        if self.present && !seen.contains(&self.name.as_str()) {
            lines.push(format!("{}={}", self.name, self.value));
        }
        edits::joined(&lines)
    }
}

impl Resource for Sysctl {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let running = Query::Content { path: proc_path(&self.name) };
        world.want(edits::queries(&self.file));
        if self.set {
            world.want([running.clone()]);
        }
        let old = edits::read(world, &self.file)?.unwrap_or_default();
        // As in a shell's assignments, the last one counts.
        let current = old.lines().filter_map(setting).rfind(|(k, _)| *k == self.name).map(|(_, v)| plain(v));
        let write = match (&current, self.present) {
            (Some(value), true) => !same(value, &self.value),
            (None, true) | (Some(_), false) => true,
            (None, false) => false,
        };
        let mut edit = Edit::default();
        if write {
            edit = edits::write(world, &self.task, &self.file, &Own::mode(0o644), Some(&self.rewritten(&old)))?;
        }
        let mut set = false;
        if self.set && self.present {
            let now = world.content(&proc_path(&self.name))?.map(|bytes| kit::text(&bytes));
            if !(now.as_deref().is_some_and(|v| same(v, &self.value)) || now.is_none() && self.ignore) {
                set = true;
                let mut argv = vec!["sysctl"];
                if self.ignore {
                    argv.push("-e");
                }
                let assignment = format!("{}={}", self.name, self.value);
                argv.extend(["-w", &assignment]);
                edit.actions.insert(0, self.task.exec(argv));
                edit.diff.push(kit::diff(
                    &self.name,
                    now.map_or(String::new(), |v| format!("{}\n", v.trim_end())),
                    format!("{}\n", self.value),
                ));
            }
        }
        if write && self.reload {
            let mut argv = vec!["sysctl"];
            if self.ignore {
                argv.push("-e");
            }
            argv.extend(["-p", &self.file]);
            edit.actions.push(self.task.exec(argv));
        }
        if set || write && self.reload && self.present {
            edit.effect(running, Answer::Content(Some(Arc::new(format!("{}\n", self.value).into_bytes()))));
        }
        Ok(edit.verdict(TaskResult::unchanged()))
    }

    fn conclude(&self, change: &super::Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => {
                let said = output.error_text();
                let said = if said.trim().is_empty() { message } else { said.trim() };
                let tail = done.len().checked_sub(1).and_then(|i| change.actions.get(i));
                let reload = matches!(tail, Some(crate::node::Action::Exec(spec))
                    if matches!(&spec.command, crate::node::Command::Argv(a) if a.contains(&"-p".to_owned())));
                let what = if reload { "Failed to reload sysctl" } else { "setting failed" };
                Err(TaskResult::unchanged().with("msg", format!("{what}: {said}")).with("rc", output.rc))
            }
        }
    }

    /// The value that the kernel had.
    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        let was = view.content(&proc_path(&self.name)).ok().flatten().map(|bytes| kit::text(&bytes).trim().to_owned());
        match was {
            Some(was) if self.present && !same(&was, &self.value) => super::Inverse::command(
                format!("sysctl {} = {was}", self.name),
                ["sysctl", "-w", &format!("{}={was}", self.name)],
            ),
            _ => super::Inverse::default(),
        }
    }
}
