//! `group`: groups of the node.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::template::Unknown;
use crate::world::{Answer, GroupEntry, Query, Stop, View};

const DOC: &str = "\
# group

Makes groups, changes their number, removes them.

## Return values

- `name`, `state` (text), `gid` (int), `system` (bool)

## Examples

    - group:
        name: kube
        gid: 901
        system: true

    - group: name=docker state=absent

## Differences from Ansible

`local` has no effect of its own: the node's shadow tools (busybox where there are none) always edit /etc/group.
";

pub static TYPE: ResourceType = ResourceType {
    name: "group",
    qualified: &["ansible.builtin.group"],
    doc: DOC,
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the group").required(),
        ArgSpec::new("gid", Kind::Int, "Its number"),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("system", Kind::Bool, "Take a free number of the system's range").default("false"),
        ArgSpec::new("local", Kind::Bool, "Accepted, without effect").default("false"),
        ArgSpec::new("force", Kind::Bool, "Remove it even if it is a user's primary group").default("false"),
        ArgSpec::new("non_unique", Kind::Bool, "Allow a number that is in use").default("false"),
        ArgSpec::new("gid_min", Kind::Int, "Smallest number to take"),
        ArgSpec::new("gid_max", Kind::Int, "Largest number to take"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

/// The number of a predicted user or group that the node chooses when it is made.
pub(super) const UNASSIGNED: u32 = u32::MAX;

/// Asks whether the shadow tools are there; without them busybox's are used.
pub(super) fn has_shadow_tools() -> Query {
    Query::Read { argv: ["sh", "-c", "command -v useradd groupadd usermod"].map(str::to_owned).to_vec() }
}

pub(super) fn shadow_tools(world: &View) -> Result<bool, Stop> {
    match world.ask(has_shadow_tools())? {
        Answer::Output(output) => Ok(output.rc == 0),
        other => unreachable!("a command was answered with {other:?}"),
    }
}

struct Group {
    name: String,
    gid: Option<u32>,
    present: bool,
    system: bool,
    force: bool,
    non_unique: bool,
    range: Vec<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let mut range = vec![];
    for (arg, key) in [("gid_min", "GID_MIN"), ("gid_max", "GID_MAX")] {
        if let Some(n) = args.int(arg)? {
            range.extend(["-K".to_owned(), format!("{key}={n}")]);
        }
    }
    Ok(Arc::new(Group {
        name: args.need("name")?,
        gid: number(&args, "gid")?,
        present: args.need("state")? == "present",
        system: args.flag("system")?,
        force: args.flag("force")?,
        non_unique: args.flag("non_unique")?,
        range,
        task: Task::of(setting),
    }))
}

/// A user or group number.
pub(super) fn number(args: &Args, name: &str) -> Result<Option<u32>, Stop> {
    match args.int(name)? {
        None => Ok(None),
        Some(n) => match u32::try_from(n) {
            Ok(n) if n != UNASSIGNED => Ok(Some(n)),
            _ => Err(args.wrong(name, "a number of a user or group", &Value::from(n)).into()),
        },
    }
}

impl Group {
    fn result(&self, gid: Option<u32>) -> TaskResult {
        let result = TaskResult::unchanged()
            .with("name", self.name.as_str())
            .with("state", if self.present { "present" } else { "absent" });
        match gid {
            None => result,
            Some(UNASSIGNED) => result
                .with("gid", Unknown::after_step(format!("group {}", self.name)).into_value())
                .with("system", self.system),
            Some(gid) => result.with("gid", gid).with("system", self.system),
        }
    }
}

impl Resource for Group {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let query = Query::Group { name: self.name.clone() };
        world.want([query.clone(), has_shadow_tools()]);
        let before = world.group(&self.name)?;
        let name = self.name.as_str();
        if !self.present {
            let Some(entry) = before else { return Ok(Verdict::Unchanged(self.result(None))) };
            let argv = match (shadow_tools(world)?, self.force) {
                (true, true) => vec!["groupdel", "-f", "--", name],
                (true, false) => vec!["groupdel", "--", name],
                (false, _) => vec!["delgroup", name],
            };
            return Ok(Verdict::Change(Change {
                diff: vec![kit::diff(name, format!("group {name}, gid {}\n", shown(entry.gid)), "")],
                result: TaskResult { changed: true, ..self.result(None) },
                ..kit::change(
                    ChangeKind::Remove,
                    vec![self.task.exec(argv)],
                    vec![kit::effect(query, Answer::Group(None))],
                )
            }));
        }
        let (gid, mut argv, kind, members): (u32, Vec<String>, _, _) = match &before {
            Some(entry) => match self.gid.filter(|g| *g != entry.gid && entry.gid != UNASSIGNED) {
                None => return Ok(Verdict::Unchanged(self.result(Some(entry.gid)))),
                Some(gid) => {
                    if !shadow_tools(world)? {
                        return Err(Stop::Failed(format!(
                            "the number of group `{name}` cannot be changed: the node has no groupmod"
                        )));
                    }
                    let mut argv = vec!["groupmod".to_owned(), "-g".to_owned(), gid.to_string()];
                    if self.non_unique {
                        argv.push("-o".to_owned());
                    }
                    (gid, argv, ChangeKind::Change, entry.members.clone())
                }
            },
            None => {
                let shadow = shadow_tools(world)?;
                let mut argv = vec![if shadow { "groupadd" } else { "addgroup" }.to_owned()];
                if let Some(gid) = self.gid {
                    argv.extend(["-g".to_owned(), gid.to_string()]);
                    if self.non_unique && shadow {
                        argv.push("-o".to_owned());
                    }
                }
                if shadow {
                    argv.extend(self.range.iter().cloned());
                }
                if self.system {
                    argv.push(if shadow { "-r" } else { "-S" }.to_owned());
                }
                (self.gid.unwrap_or(UNASSIGNED), argv, ChangeKind::Create, vec![])
            }
        };
        argv.push(name.to_owned());
        let mut actions = vec![self.task.exec(argv)];
        if kind == ChangeKind::Create {
            actions.push(self.task.script(ENTRY, ["group", name]));
        }
        let before = before.map_or(String::new(), |e| format!("gid: {}\n", shown(e.gid)));
        Ok(Verdict::Change(Change {
            diff: vec![kit::diff(name, before, format!("gid: {}\n", shown(gid)))],
            result: TaskResult { changed: true, ..self.result(Some(gid)) },
            ..kit::change(
                kind,
                actions,
                vec![kit::effect(query, Answer::Group(Some(GroupEntry { name: name.to_owned(), gid, members })))],
            )
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        if let Some((message, output)) = kit::failure(done) {
            return Err(failed_tool(&self.name, message, output));
        }
        let gid = done.get(1).map(|d| kit::output_of(d).text()).and_then(|line| field(&line, 2));
        Ok(match gid {
            Some(gid) => change.result.clone().with("gid", gid),
            None => change.result.clone(),
        })
    }
}

/// The line of a database for a name.
pub(super) const ENTRY: &str = "getent \"$1\" \"$2\" 2>/dev/null || grep \"^$2:\" \"/etc/$1\" || :";

/// A number in a database line.
pub(super) fn field(line: &str, index: usize) -> Option<u32> {
    line.trim().split(':').nth(index)?.parse().ok()
}

pub(super) fn shown(id: u32) -> String {
    if id == UNASSIGNED { "chosen by the node".to_owned() } else { id.to_string() }
}

/// Ansible's failure of a tool that edits users or groups.
pub(super) fn failed_tool(name: &str, message: &str, output: &crate::world::Output) -> TaskResult {
    let said = output.error_text();
    TaskResult::unchanged()
        .with("name", name)
        .with("msg", if said.trim().is_empty() { message.to_owned() } else { said })
        .with("rc", output.rc)
}
