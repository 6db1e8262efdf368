//! `kernel_blacklist`: modules that are not loaded by themselves.

use std::sync::Arc;

use super::edits::{self, Own};
use super::kit::Task;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{Stop, View};

/// `kernel_blacklist`.
pub static TYPE: ResourceType = ResourceType {
    name: "kernel_blacklist",
    qualified: &["community.general.kernel_blacklist"],
    doc: include_str!("doc/kernel_blacklist.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the module").required(),
        ArgSpec::new("state", Kind::Str, "Whether it is on the list")
            .default("present")
            .choices(&["absent", "present"]),
        ArgSpec::new("blacklist_file", Kind::Path, "The file").default("/etc/modprobe.d/blacklist-ansible.conf"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Blacklist {
    name: String,
    present: bool,
    file: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    Ok(Arc::new(Blacklist {
        name: args.need("name")?,
        present: args.need("state")? == "present",
        file: task.path(&args.need("blacklist_file")?),
        task,
    }))
}

impl Resource for Blacklist {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let text = edits::read(world, &self.file)?;
        let is_line = |line: &&str| {
            let mut words = line.split_whitespace();
            words.next() == Some("blacklist") && words.next() == Some(&self.name) && words.next().is_none()
        };
        let old = text.clone().unwrap_or_default();
        let listed = old.lines().any(|l| is_line(&l));
        let result = |lines: &[String], is: bool| {
            TaskResult::unchanged()
                .with("filename", self.file.as_str())
                .with("lines", lines.to_vec())
                .with("is_blacklisted", is)
                .with("name", self.name.as_str())
                .with("state", if self.present { "present" } else { "absent" })
        };
        if listed == self.present {
            let lines: Vec<String> = old.lines().map(str::to_owned).collect();
            return Ok(Verdict::Unchanged(result(&lines, listed)));
        }
        let mut lines: Vec<String> = old.lines().filter(|l| !is_line(l)).map(str::to_owned).collect();
        if self.present {
            lines.push(format!("blacklist {}", self.name));
        }
        let new = edits::joined(&lines);
        Ok(edits::write(world, &self.task, &self.file, &Own::mode(0o644), Some(&new))?
            .verdict(result(&lines, self.present)))
    }
}
