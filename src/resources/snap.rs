//! `snap`: snap packages. The manual is doc/snap.md.

use std::sync::Arc;

use minijinja::Value;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::world::{Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "snap",
    qualified: &["community.general.snap"],
    doc: include_str!("doc/snap.md"),
    args: &[
        ArgSpec::new("name", Kind::List, "Snaps, or (`dangerous`) files of the node").required(),
        ArgSpec::new("state", Kind::Str, "What to make of them")
            .default("present")
            .choices(&["absent", "disabled", "enabled", "present"]),
        ArgSpec::new("channel", Kind::Str, "The channel to follow; a snap that follows another is refreshed"),
        ArgSpec::new("classic", Kind::Bool, "Install without confinement").default("false"),
        ArgSpec::new("dangerous", Kind::Bool, "Install what is not signed").default("false"),
        ArgSpec::new("options", Kind::List, "Options as `key=value`, or `snap:key=value` with several snaps"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Snap {
    names: Vec<String>,
    state: String,
    channel: Option<String>,
    classic: bool,
    dangerous: bool,
    /// Snap, key, value.
    options: Vec<(String, String, String)>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let names = args.list("name")?;
    let mut options = vec![];
    for option in args.list("options")? {
        let wrong = || {
            super::common::invalid(format!("`{option}` is no option of a snap"))
                .at(args.span("options"))
                .help("write `key=value` or `snap:key=value`")
        };
        let (key, value) = option.split_once('=').ok_or_else(wrong)?;
        match (key.split_once(':'), names.as_slice()) {
            (Some((snap, key)), _) => options.push((snap.to_owned(), key.to_owned(), value.to_owned())),
            (None, names) => {
                options.extend(names.iter().map(|n| (n.clone(), key.to_owned(), value.to_owned())));
            }
        }
    }
    Ok(Arc::new(Snap {
        names,
        state: args.need("state")?,
        channel: args.str("channel")?,
        classic: args.flag("classic")?,
        dangerous: args.flag("dangerous")?,
        options,
        task: Task::of(setting),
    }))
}

/// A file's snap goes by the file's name up to the first `_`.
fn snap_of(name: &str) -> &str {
    if name.ends_with(".snap") { super::common::paths::basename(name).split('_').next().unwrap_or(name) } else { name }
}

/// `latest/stable` for `stable`, as `snap list` shows it.
fn full_channel(channel: &str) -> String {
    const RISKS: &[&str] = &["stable", "candidate", "beta", "edge"];
    if RISKS.contains(&channel) { format!("latest/{channel}") } else { channel.to_owned() }
}

impl Resource for Snap {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let list = ["snap", "list", "--all"].map(str::to_owned).to_vec();
        world.want([query(&list)]);
        let output = world.read(list.clone())?;
        if output.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"snap\" on the node".to_owned()));
        }
        let text = output.text();
        // Name Version Rev Tracking Publisher Notes; old revisions are listed as disabled beside the one in use.
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split_whitespace().collect()).collect();
        let disabled = |row: &Vec<&str>| row.last().is_some_and(|n| n.split(',').any(|w| w == "disabled"));
        let current = |name: &str| {
            let of: Vec<_> = rows.iter().filter(|r| r.first() == Some(&name)).collect();
            of.iter().copied().find(|r| !disabled(r)).or(of.last().copied())
        };
        let mut after: Vec<String> = text.lines().map(str::to_owned).collect();
        if after.is_empty() {
            after.push("Name Version Rev Tracking Publisher Notes".to_owned());
        }
        let mut edit = Edit::default();
        let (mut installed, mut enabled, mut disabled_now, mut removed) = (vec![], vec![], vec![], vec![]);
        for written in &self.names {
            let name = snap_of(written);
            let row = current(name);
            let replace = |after: &mut Vec<String>, line: Option<String>| {
                after.retain(|l| l.split_whitespace().next() != Some(name));
                after.extend(line);
            };
            let tracking = self.channel.as_deref().map_or_else(|| "latest/stable".to_owned(), full_channel);
            let line = |notes: &str| format!("{name} new 1 {tracking} - {notes}");
            let notes = if self.classic { "classic" } else { "-" };
            match (self.state.as_str(), row) {
                ("absent", Some(_)) => {
                    edit.actions.push(self.task.exec(["snap", "remove", name]));
                    edit.removed = true;
                    removed.push(name);
                    edit.diff.push(kit::diff("snaps", format!("{name}\n"), ""));
                    replace(&mut after, None);
                }
                ("disabled", Some(row)) if !disabled(row) => {
                    edit.actions.push(self.task.exec(["snap", "disable", name]));
                    disabled_now.push(name);
                    edit.diff.push(kit::diff("snaps", format!("{name} enabled\n"), format!("{name} disabled\n")));
                    replace(&mut after, Some(line("disabled")));
                }
                ("enabled", Some(row)) if disabled(row) => {
                    edit.actions.push(self.task.exec(["snap", "enable", name]));
                    enabled.push(name);
                    edit.diff.push(kit::diff("snaps", format!("{name} disabled\n"), format!("{name} enabled\n")));
                    replace(&mut after, Some(line("-")));
                }
                ("enabled" | "disabled", None) => {
                    return Ok(kit::failed(format!("snap '{name}' is not installed")));
                }
                ("present", None) => {
                    let mut argv = vec!["snap".to_owned(), "install".to_owned()];
                    argv.extend(self.classic.then(|| "--classic".to_owned()));
                    argv.extend(self.dangerous.then(|| "--dangerous".to_owned()));
                    argv.extend(self.channel.as_ref().map(|c| format!("--channel={c}")));
                    argv.push(written.clone());
                    edit.actions.push(self.task.exec(argv));
                    edit.created = true;
                    installed.push(name);
                    edit.diff.push(kit::diff("snaps", "", format!("{name}\n")));
                    replace(&mut after, Some(line(notes)));
                }
                ("present", Some(row))
                    if self.channel.is_some() && row.get(3).is_some_and(|t| full_channel(t) != tracking) =>
                {
                    let mut argv = vec!["snap".to_owned(), "refresh".to_owned()];
                    argv.extend(self.classic.then(|| "--classic".to_owned()));
                    argv.extend([format!("--channel={tracking}"), name.to_owned()]);
                    edit.actions.push(self.task.exec(argv));
                    installed.push(name);
                    edit.diff.push(kit::diff("snaps", format!("{name} {}\n", row[3]), format!("{name} {tracking}\n")));
                    replace(&mut after, Some(line(notes)));
                }
                _ => {}
            }
        }
        let mut changed_options: Vec<String> = vec![];
        if self.state == "present" {
            for (snap, key, value) in &self.options {
                let get = ["snap", "get", snap_of(snap), key].map(str::to_owned).to_vec();
                let now = if current(snap_of(snap)).is_some() { Some(world.read(get.clone())?) } else { None };
                if now.is_some_and(|o| o.rc == 0 && o.text().trim() == value) {
                    continue;
                }
                edit.actions.push(self.task.exec(["snap", "set", snap_of(snap), &format!("{key}={value}")]));
                changed_options.push(format!("{snap}:{key}={value}"));
                edit.diff.push(kit::diff(snap, "", format!("{key}={value}\n")));
                edit.effect(query(&get), said(0, format!("{value}\n")));
            }
        }
        if !edit.is_empty() {
            edit.effect(query(&list), said(0, after.iter().map(|l| format!("{l}\n")).collect()));
        }
        let list = |names: Vec<&str>| Value::from(names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let mut result = TaskResult::unchanged()
            .with("classic", self.classic)
            .with("channel", self.channel.clone().map_or(Value::from(()), Value::from));
        for (key, names) in [
            ("snaps_installed", installed),
            ("snaps_removed", removed),
            ("snaps_enabled", enabled),
            ("snaps_disabled", disabled_now),
        ] {
            if !names.is_empty() {
                result = result.with(key, list(names));
            }
        }
        if !changed_options.is_empty() {
            result = result.with("options_changed", Value::from(changed_options));
        }
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, "snap")
    }
}
