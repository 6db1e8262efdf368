//! `hostname`: the node's name.

use std::sync::Arc;

use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Conduct, Kind, Resource, ResourceType, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::{Answer, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "hostname",
    qualified: &["ansible.builtin.hostname"],
    doc: include_str!("doc/hostname.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The name").required(),
        ArgSpec::new("use", Kind::Str, "Accepted; the node's own way is taken").choices(&[
            "alpine", "darwin", "debian", "freebsd", "generic", "macos", "macosx", "openbsd", "openrc", "redhat",
            "sles", "solaris", "systemd",
        ]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        let name = args.need("name")?;
        if name.is_empty() || name.len() > 64 || name.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(Problem::new("invalid-argument", format!("`{name}` is no host name"))
                .at(args.span("name"))
                .into());
        }
        Ok(Arc::new(Hostname { name, task: Task::of(setting) }))
    },
};

struct Hostname {
    name: String,
    task: Task,
}

const RUNNING: &str = "/proc/sys/kernel/hostname";

const SET: &str = "{ hostnamectl --pretty set-hostname -- \"$1\" && hostnamectl --static --transient set-hostname -- \"$1\"; } 2>/dev/null || { printf '%s\\n' \"$1\" >/etc/hostname && hostname -- \"$1\" 2>/dev/null || hostname \"$1\"; }";

impl Resource for Hostname {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let (running, kept) =
            (Query::Content { path: RUNNING.to_owned() }, Query::Content { path: "/etc/hostname".to_owned() });
        world.want([running.clone(), kept.clone()]);
        let read = |path: &str| -> Result<String, Stop> {
            Ok(world.content(path)?.map(|b| kit::text(&b).trim().to_owned()).unwrap_or_default())
        };
        let (now, boot) = (read(RUNNING)?, read("/etc/hostname")?);
        let short = self.name.split('.').next().unwrap_or_default();
        let domain = self.name.split_once('.').map_or("", |(_, d)| d);
        let facts = kit::map(
            [
                ("ansible_hostname", short),
                ("ansible_nodename", self.name.as_str()),
                ("ansible_fqdn", self.name.as_str()),
                ("ansible_domain", domain),
            ]
            .map(|(k, v)| (k.to_owned(), minijinja::Value::from(v))),
        );
        let result = TaskResult::unchanged().with("name", self.name.as_str()).with("ansible_facts", facts);
        let mut edit = Edit::default();
        if now != self.name || boot != self.name {
            edit.actions.push(self.task.script(SET, [&self.name]));
            let line = Arc::new(format!("{}\n", self.name).into_bytes());
            edit.effect(running, Answer::Content(Some(line.clone())));
            edit.effect(kept, Answer::Content(Some(line)));
            let was = if now == self.name { boot } else { now };
            edit.diff.push(kit::diff("hostname", format!("hostname = {was}\n"), format!("hostname = {}\n", self.name)));
        }
        Ok(edit.verdict(result))
    }

    /// The running name; the file is among the effects.
    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        let now = view.content(RUNNING).ok().flatten().map(|b| kit::text(&b).trim().to_owned()).unwrap_or_default();
        if now.is_empty() || now == self.name {
            return super::Inverse::default();
        }
        super::Inverse::command(format!("hostname {}", self.name), ["hostname", &now])
    }
}
