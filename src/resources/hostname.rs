//! `hostname`, `timezone` and `locale_gen`: who and where the node is.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Done};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "hostname",
    qualified: &["ansible.builtin.hostname"],
    doc: include_str!("doc/hostname.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The name").required(),
        ArgSpec::new("use", Kind::Str, "Accepted; the node's own way is taken"),
    ],
    free_form: None,
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

/// `timezone`.
pub static TIMEZONE: ResourceType = ResourceType {
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
    build: build_timezone,
};

/// `locale_gen`.
pub static LOCALE_GEN: ResourceType = ResourceType {
    name: "locale_gen",
    qualified: &["community.general.locale_gen"],
    doc: include_str!("doc/locale_gen.md"),
    args: &[
        ArgSpec::new("name", Kind::List, "Locales, as /etc/locale.gen names them").required(),
        ArgSpec::new("state", Kind::Str, "Whether they are there").default("present").choices(&["absent", "present"]),
    ],
    free_form: None,
    build: |args, setting| {
        Ok(Arc::new(Locales {
            names: args.list("name")?,
            present: args.need("state")? == "present",
            task: Task::of(setting),
        }))
    },
};

struct Hostname {
    name: String,
    task: Task,
}

const RUNNING: &str = "/proc/sys/kernel/hostname";
const SET: &str = "hostnamectl set-hostname -- \"$1\" 2>/dev/null || { printf '%s\\n' \"$1\" >/etc/hostname && hostname -- \"$1\" 2>/dev/null || hostname \"$1\"; }";

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
}

struct Timezone {
    name: Option<String>,
    hwclock: Option<String>,
    task: Task,
}

fn build_timezone(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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

struct Locales {
    names: Vec<String>,
    present: bool,
    task: Task,
}

/// A locale's name as `locale -a` writes it: the character set in lower case without dashes.
fn canonical(name: &str) -> String {
    match name.split_once('.') {
        Some((language, rest)) => {
            let (charset, modifier) = rest.split_once('@').map_or((rest, None), |(c, m)| (c, Some(m)));
            let charset = charset.to_lowercase().replace('-', "");
            format!("{language}.{charset}{}", modifier.map(|m| format!("@{m}")).unwrap_or_default())
        }
        None => name.to_owned(),
    }
}

impl Resource for Locales {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        const LIST: &str = "/etc/locale.gen";
        let all = Query::Read { argv: ["locale", "-a"].map(str::to_owned).to_vec() };
        world.want([all.clone()]);
        world.want(edits::queries(LIST));
        let Answer::Output(known) = world.ask(all.clone())? else { unreachable!("an output") };
        let known = known.text();
        let has = |name: &str| known.lines().any(|l| canonical(l) == canonical(name));
        let result = TaskResult::unchanged().with("name", minijinja::Value::from(self.names.clone()));
        let todo: Vec<&String> = self.names.iter().filter(|n| has(n) != self.present).collect();
        if todo.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        let Some(text) = edits::read(world, LIST)? else {
            return Ok(kit::failed("/etc/locale.gen is missing. Is the package \"locales\" installed?"));
        };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for name in &todo {
            let mut found = false;
            for line in &mut lines {
                let bare = line.trim_start_matches(['#', ' ']).to_owned();
                if bare.split_whitespace().next() == Some(name.as_str()) && bare.split_whitespace().count() == 2 {
                    found = true;
                    *line = if self.present { bare } else { format!("# {bare}") };
                }
            }
            if !found && self.present {
                return Ok(kit::failed(format!("The locales you've entered are not available on your system: {name}")));
            }
        }
        let mut edit = edits::write(world, &self.task, LIST, &Own::mode(0o644), Some(&edits::joined(&lines)))?;
        edit.actions.push(self.task.exec(["locale-gen"]));
        let mut after: Vec<String> =
            known.lines().filter(|l| !todo.iter().any(|n| canonical(n) == canonical(l))).map(str::to_owned).collect();
        if self.present {
            after.extend(todo.iter().map(|n| canonical(n)));
        }
        edit.effect(all, Answer::Output(Output { rc: 0, stdout: edits::joined(&after).into_bytes(), stderr: vec![] }));
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.names.join(","), message, output)),
        }
    }
}
