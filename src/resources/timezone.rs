//! `timezone`: the node's time zone.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Action;
use crate::problem::Problem;
use crate::world::{Answer, Query, Stop, View};

/// `timezone`.
pub static TYPE: ResourceType = ResourceType {
    name: "timezone",
    qualified: &["community.general.timezone"],
    doc: include_str!("doc/timezone.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The time zone, as tzdata names it"),
        ArgSpec::new("hwclock", Kind::Str, "What the hardware clock keeps")
            .aliases(&["rtc"])
            .choices(&["UTC", "local"]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Timezone {
    name: Option<String>,
    hwclock: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let (name, hwclock) = (args.str("name")?, args.str("hwclock")?);
    if name.is_none() && hwclock.is_none() {
        return Err(Problem::new("missing-argument", "`timezone` is asked for nothing")
            .at(args.task_span())
            .help("one of the following is required: hwclock, name")
            .into());
    }
    if let Some(bad) = name.as_ref().filter(|n| n.starts_with('/') || n.contains("..")) {
        return Err(Problem::new("invalid-argument", format!("`{bad}` is no time zone")).at(args.span("name")).into());
    }
    Ok(Arc::new(Timezone { name, hwclock, task: Task::of(setting) }))
}

const LOCALTIME: &str = "/etc/localtime";

impl Resource for Timezone {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let mut edit = Edit::default();
        let mut lines = vec![];
        if let Some(name) = &self.name {
            let zone = format!("/usr/share/zoneinfo/{name}");
            let link = Query::Stat { path: LOCALTIME.to_owned(), follow: false };
            let debian = Query::Content { path: "/etc/timezone".to_owned() };
            world.want([link.clone(), debian.clone(), Query::Stat { path: zone.clone(), follow: true }]);
            if world.stat(&zone, true)?.is_none() {
                return Ok(kit::failed(format!("given timezone \"{name}\" is not available")));
            }
            let stat = world.stat(LOCALTIME, false)?;
            let target = stat.as_ref().and_then(|s| s.target.clone()).unwrap_or_default();
            let now = target.split_once("zoneinfo/").map_or("", |(_, n)| n).to_owned();
            let kept = world.content("/etc/timezone")?.map(|b| kit::text(&b).trim().to_owned());
            if now != *name || kept.as_ref().is_some_and(|k| k != name) {
                edit.actions.push(Action::Symlink { path: LOCALTIME.to_owned(), target: zone.clone() });
                let mut stat = stat.unwrap_or_else(|| super::service::link_to(&zone));
                stat.kind = crate::world::FileKind::Link;
                stat.target = Some(zone.clone());
                stat.real = Some(zone);
                edit.effect(link, Answer::Stat(Some(stat)));
                if kept.as_ref().is_some_and(|k| k != name) {
                    edit = edit.and(edits::write(
                        world,
                        &self.task,
                        "/etc/timezone",
                        &Own::mode(0o644),
                        Some(&format!("{name}\n")),
                    )?);
                    edit.diff.clear();
                }
                lines.push(("name", now, name.clone()));
            }
        }
        if let Some(hwclock) = &self.hwclock {
            let text = edits::read(world, "/etc/adjtime")?.unwrap_or_default();
            let now = if text.lines().nth(2) == Some("LOCAL") { "local" } else { "UTC" };
            if now != hwclock {
                let mut all: Vec<&str> = text.lines().collect();
                if all.len() < 3 {
                    all = vec!["0.0 0 0.0", "0", ""];
                }
                let word = if hwclock == "local" { "LOCAL" } else { "UTC" };
                all[2] = word;
                let write =
                    edits::write(world, &self.task, "/etc/adjtime", &Own::mode(0o644), Some(&edits::joined(&all)))?;
                edit = edit.and(write);
                edit.diff.clear();
                lines.push(("hwclock", now.to_owned(), hwclock.clone()));
            }
        }
        if !lines.is_empty() {
            edit.diff = vec![kit::diff_of_attributes("timezone", &lines)];
        }
        edit.created = false;
        Ok(edit.verdict(TaskResult::unchanged()))
    }
}
