//! `seboolean`: SELinux's booleans.

use std::sync::Arc;

use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Conduct, Kind, Resource, ResourceType, TaskResult, Verdict};
use crate::world::{Answer, Output, Query, Stop, View};

/// `seboolean`.
pub static TYPE: ResourceType = ResourceType {
    name: "seboolean",
    qualified: &["ansible.posix.seboolean"],
    doc: include_str!("doc/seboolean.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The boolean").required(),
        ArgSpec::new("state", Kind::Bool, "On or off").required(),
        ArgSpec::new("persistent", Kind::Bool, "Keep it over a boot").default("false"),
        ArgSpec::new("ignore_selinux_state", Kind::Bool, "Accepted, without effect").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        Ok(Arc::new(Seboolean {
            name: args.need("name")?,
            on: args.flag("state")?,
            persistent: args.flag("persistent")?,
            task: Task::of(setting),
        }))
    },
};

struct Seboolean {
    name: String,
    on: bool,
    persistent: bool,
    task: Task,
}

impl Resource for Seboolean {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["getsebool", &self.name].map(str::to_owned).to_vec();
        let stored = ["semanage", "boolean", "--list", "--noheading"].map(str::to_owned).to_vec();
        world.want([Query::Read { argv: argv.clone() }]);
        if self.persistent {
            world.want([Query::Read { argv: stored.clone() }]);
        }
        let said = world.read(argv.clone())?;
        if said.rc != 0 {
            return Ok(kit::failed(format!("SELinux boolean {} does not exist.", self.name)));
        }
        let now = said.text().trim().ends_with("on");
        let mut kept = None;
        let mut listing = String::new();
        if self.persistent {
            listing = world.read(stored.clone())?.text();
            // `name  (on , off)  description`: running, then stored.
            kept = listing
                .lines()
                .find(|l| l.split_whitespace().next() == Some(&self.name))
                .and_then(|l| l.split_once(',').map(|(_, rest)| rest.trim_start().starts_with("on")));
        }
        let result = TaskResult::unchanged()
            .with("name", self.name.as_str())
            .with("persistent", self.persistent)
            .with("state", self.on);
        let mut edit = Edit::default();
        if now != self.on || kept.is_some_and(|k| k != self.on) {
            let word = |on: bool| if on { "on" } else { "off" };
            let mut tool = vec!["setsebool"];
            if self.persistent {
                tool.push("-P");
            }
            tool.extend([self.name.as_str(), word(self.on)]);
            edit.actions.push(self.task.exec(tool));
            let ok = |text: String| Answer::Output(Output { rc: 0, stdout: text.into_bytes(), stderr: vec![] });
            edit.effect(Query::Read { argv }, ok(format!("{} --> {}\n", self.name, word(self.on))));
            if kept.is_some() {
                let rest: String = listing
                    .lines()
                    .filter(|l| l.split_whitespace().next() != Some(&self.name))
                    .map(|l| format!("{l}\n"))
                    .collect();
                let on = word(self.on);
                edit.effect(Query::Read { argv: stored }, ok(format!("{rest}{} ({on} , {on})\n", self.name)));
            }
            edit.diff.push(kit::diff(&self.name, format!("{}\n", word(now)), format!("{}\n", word(self.on))));
        }
        Ok(edit.verdict(result))
    }
}
