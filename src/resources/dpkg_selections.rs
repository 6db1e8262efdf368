//! `dpkg_selections`: what dpkg is to do with a package.

use std::sync::Arc;

use super::common::feed::{feed, output};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Conduct, Kind, Resource, ResourceType, TaskResult, Verdict};
use crate::world::{Query, Stop, View};

/// `dpkg_selections`.
pub static TYPE: ResourceType = ResourceType {
    name: "dpkg_selections",
    qualified: &["ansible.builtin.dpkg_selections"],
    doc: include_str!("doc/dpkg_selections.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The package").required(),
        ArgSpec::new("selection", Kind::Str, "What dpkg is to do with it")
            .choices(&["deinstall", "hold", "install", "purge"])
            .required(),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        Ok(Arc::new(Selection {
            name: args.need("name")?,
            selection: args.need("selection")?,
            task: Task::of(setting),
        }))
    },
};

struct Selection {
    name: String,
    selection: String,
    task: Task,
}

impl Resource for Selection {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["dpkg", "--get-selections", &self.name].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        let text = said.text();
        let before = text.lines().find_map(|l| l.split_whitespace().nth(1)).unwrap_or("not present").to_owned();
        if before == "not present" {
            // dpkg takes no selection for a package it has never heard of.
            return Ok(kit::failed(format!("Package {} does not exist or is not installed on the node", self.name)));
        }
        let result = TaskResult::unchanged().with("before", before.as_str()).with("after", self.selection.as_str());
        let mut edit = Edit::default();
        if before != self.selection {
            edit.actions.push(feed(
                &self.task,
                &["dpkg", "--set-selections"],
                format!("{} {}\n", self.name, self.selection),
            ));
            edit.effect(Query::Read { argv }, output(format!("{}\t{}\n", self.name, self.selection)));
            edit.diff.push(kit::diff(&self.name, format!("{before}\n"), format!("{}\n", self.selection)));
        }
        Ok(edit.verdict(result))
    }
}
