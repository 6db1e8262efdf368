//! `pam_limits`, `alternatives`, `selinux` and `seboolean`: small settings of a distribution.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

/// `pam_limits`.
pub static PAM_LIMITS: ResourceType = ResourceType {
    name: "pam_limits",
    qualified: &["community.general.pam_limits"],
    doc: include_str!("doc/pam_limits.md"),
    args: &[
        ArgSpec::new("domain", Kind::Str, "A user, `@group`, or `*`").required(),
        ArgSpec::new("limit_type", Kind::Str, "Which limit").choices(&["-", "hard", "soft"]).required(),
        ArgSpec::new("limit_item", Kind::Str, "What is limited").required().choices(&[
            "as",
            "chroot",
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "maxlogins",
            "maxsyslogins",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
            "priority",
            "rss",
            "rtprio",
            "sigpending",
            "stack",
        ]),
        ArgSpec::new("value", Kind::Str, "A number, `unlimited`, `infinity` or `-1`").required(),
        ArgSpec::new("use_max", Kind::Bool, "Keep a larger value that is there").default("false"),
        ArgSpec::new("use_min", Kind::Bool, "Keep a smaller value that is there").default("false"),
        ArgSpec::new("backup", Kind::Bool, "Copy the file before changing it").default("false"),
        ArgSpec::new("dest", Kind::Path, "The file").default("/etc/security/limits.conf"),
        ArgSpec::new("comment", Kind::Str, "A comment for the line").default(""),
    ],
    free_form: None,
    build: build_limits,
};

/// `alternatives`.
pub static ALTERNATIVES: ResourceType = ResourceType {
    name: "alternatives",
    qualified: &["community.general.alternatives"],
    doc: include_str!("doc/alternatives.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the link group").required(),
        ArgSpec::new("path", Kind::Path, "The alternative"),
        ArgSpec::new("link", Kind::Path, "The link that names it"),
        ArgSpec::new("priority", Kind::Int, "Its priority"),
        ArgSpec::new("state", Kind::Str, "What to make of it")
            .default("selected")
            .choices(&["absent", "auto", "present", "selected"]),
        ArgSpec::new("subcommands", Kind::List, "Not supported yet"),
        ArgSpec::new("family", Kind::Str, "Accepted for Red Hat's tool"),
    ],
    free_form: None,
    build: build_alternatives,
};

/// `selinux`.
pub static SELINUX: ResourceType = ResourceType {
    name: "selinux",
    qualified: &["ansible.posix.selinux"],
    doc: include_str!("doc/selinux.md"),
    args: &[
        ArgSpec::new("policy", Kind::Str, "The policy (`targeted`)"),
        ArgSpec::new("state", Kind::Str, "The mode").choices(&["disabled", "enforcing", "permissive"]).required(),
        ArgSpec::new("update_kernel_param", Kind::Bool, "Not supported yet").default("false"),
        ArgSpec::new("configfile", Kind::Path, "The file").aliases(&["conf", "file"]).default("/etc/selinux/config"),
    ],
    free_form: None,
    build: build_selinux,
};

/// `seboolean`.
pub static SEBOOLEAN: ResourceType = ResourceType {
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
    build: |args, setting| {
        Ok(Arc::new(Seboolean {
            name: args.need("name")?,
            on: args.flag("state")?,
            persistent: args.flag("persistent")?,
            task: Task::of(setting),
        }))
    },
};

struct Limit {
    domain: String,
    kind: String,
    item: String,
    value: String,
    use_max: bool,
    use_min: bool,
    backup: bool,
    dest: String,
    comment: String,
    task: Task,
}

fn build_limits(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "use_max", "use_min")?;
    let task = Task::of(setting);
    let value = args.need("value")?;
    if !matches!(value.as_str(), "unlimited" | "infinity" | "-1") && value.parse::<i64>().is_err() {
        return Err(args
            .wrong("value", "a number, `unlimited`, `infinity` or `-1`", &minijinja::Value::from(value))
            .into());
    }
    Ok(Arc::new(Limit {
        domain: args.need("domain")?,
        kind: args.need("limit_type")?,
        item: args.need("limit_item")?,
        value,
        use_max: args.flag("use_max")?,
        use_min: args.flag("use_min")?,
        backup: args.flag("backup")?,
        dest: task.path(&args.need("dest")?),
        comment: args.str("comment")?.unwrap_or_default(),
        task,
    }))
}

/// A limit for comparing: without one is the largest.
fn size(value: &str) -> i64 {
    value.parse::<i64>().ok().filter(|v| *v >= 0).unwrap_or(i64::MAX)
}

impl Resource for Limit {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let old = edits::read(world, &self.dest)?.unwrap_or_default();
        let mut value = self.value.clone();
        let mut lines: Vec<String> = vec![];
        let mut found = false;
        for line in old.lines() {
            let (body, comment) = line.split_once('#').map_or((line, None), |(b, c)| (b, Some(c)));
            let fields: Vec<&str> = body.split_whitespace().collect();
            let ours = fields.len() == 4 && fields[..3] == [self.domain.as_str(), &self.kind, &self.item];
            if !ours || line.trim_start().starts_with('#') {
                lines.push(line.to_owned());
                continue;
            }
            if found {
                continue;
            }
            found = true;
            if self.use_max && size(fields[3]) > size(&value) || self.use_min && size(fields[3]) < size(&value) {
                value = fields[3].to_owned();
            }
            if fields[3] == value {
                lines.push(line.to_owned());
                continue;
            }
            let comment = if self.comment.is_empty() { comment.unwrap_or_default() } else { &self.comment };
            lines.push(self.line(&value, comment));
        }
        if !found {
            let at = lines.iter().position(|l| l.contains("# End of file")).unwrap_or(lines.len());
            lines.insert(at, self.line(&value, &self.comment));
        }
        let new = edits::joined(&lines);
        let result = TaskResult::unchanged().with("msg", "");
        if new.lines().eq(old.lines()) {
            return Ok(Verdict::Unchanged(result));
        }
        let backup = self.backup.then(|| super::common::paths::backup_name(&self.dest));
        let edit = edits::write_with(world, &self.task, &self.dest, &Own::mode(0o644), Some(&new), backup.as_deref())?;
        Ok(edit.verdict(TaskResult { changed: true, ..result }.with("msg", self.line(&value, &self.comment))))
    }
}

impl Limit {
    fn line(&self, value: &str, comment: &str) -> String {
        let comment = if comment.is_empty() { String::new() } else { format!("\t#{comment}") };
        format!("{}\t{}\t{}\t{value}{comment}", self.domain, self.kind, self.item)
    }
}

struct Alternatives {
    name: String,
    path: Option<String>,
    link: Option<String>,
    priority: Option<i64>,
    state: String,
    task: Task,
}

fn build_alternatives(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    for name in ["subcommands", "family"] {
        if args.given(name) {
            return Err(Problem::unsupported(format!("`{name}` of `alternatives`")).at(args.span(name)).into());
        }
    }
    let task = Task::of(setting);
    let path = args.str("path")?.map(|p| task.path(&p));
    let state = args.need("state")?;
    if path.is_none() && state != "auto" {
        return Err(Problem::new("missing-argument", format!("`alternatives` needs `path` with `state: {state}`"))
            .at(args.task_span())
            .into());
    }
    Ok(Arc::new(Alternatives {
        name: args.need("name")?,
        path,
        link: args.str("link")?.map(|p| task.path(&p)),
        priority: args.int("priority")?,
        state,
        task,
    }))
}

/// What `update-alternatives --query` tells.
#[derive(Debug, Default, Clone)]
struct Group {
    link: String,
    auto: bool,
    value: String,
    choices: Vec<(String, i64)>,
}

impl Group {
    fn parse(text: &str) -> Self {
        let mut group = Self::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("Link", link)) => link.clone_into(&mut group.link),
                Some(("Status", status)) => group.auto = status == "auto",
                Some(("Value", value)) => value.clone_into(&mut group.value),
                Some(("Alternative", path)) => group.choices.push((path.to_owned(), 0)),
                Some(("Priority", n)) => {
                    if let Some(last) = group.choices.last_mut() {
                        last.1 = n.trim().parse().unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
        group
    }

    fn show(&self, name: &str) -> String {
        let status = if self.auto { "auto" } else { "manual" };
        let choices: String =
            self.choices.iter().map(|(p, n)| format!("\nAlternative: {p}\nPriority: {n}\n")).collect();
        format!("Name: {name}\nLink: {}\nStatus: {status}\nValue: {}\n{choices}", self.link, self.value)
    }

    fn best(&self) -> String {
        self.choices.iter().max_by_key(|(_, n)| *n).map(|(p, _)| p.clone()).unwrap_or_default()
    }
}

impl Resource for Alternatives {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["update-alternatives", "--query", &self.name].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        if said.rc == 127 {
            return Err(Stop::Failed("the node has no update-alternatives".to_owned()));
        }
        let before = Group::parse(&said.text());
        let mut after = before.clone();
        let mut edit = Edit::default();
        let path = self.path.clone().unwrap_or_default();
        let known = before.choices.iter().find(|(p, _)| *p == path).map(|(_, n)| *n);
        let tool = |words: &[&str]| {
            let mut argv = vec!["update-alternatives"];
            argv.extend(words);
            self.task.exec(argv)
        };
        if matches!(self.state.as_str(), "present" | "selected" | "auto") && !path.is_empty() {
            let priority = self.priority.or(known).unwrap_or(50);
            if known != Some(priority) {
                let link = self.link.clone().unwrap_or_else(|| before.link.clone());
                if link.is_empty() {
                    return Ok(kit::failed(
                        "Needed to install the alternative, but unable to do so as we are missing the link",
                    ));
                }
                edit.actions.push(tool(&["--install", &link, &self.name, &path, &priority.to_string()]));
                after.link = link;
                after.choices.retain(|(p, _)| *p != path);
                after.choices.push((path.clone(), priority));
                if before.choices.is_empty() {
                    after.auto = true;
                }
                if after.auto {
                    after.value = after.best();
                }
            }
        }
        match self.state.as_str() {
            "selected" if after.value != path => {
                edit.actions.push(tool(&["--set", &self.name, &path]));
                after.value.clone_from(&path);
                after.auto = false;
            }
            "auto" if !after.auto => {
                edit.actions.push(tool(&["--auto", &self.name]));
                after.auto = true;
                after.value = after.best();
            }
            "absent" if known.is_some() => {
                edit.actions.push(tool(&["--remove", &self.name, &path]));
                after.choices.retain(|(p, _)| *p != path);
                if after.value == path {
                    after.auto = true;
                    after.value = after.best();
                }
                edit.removed = true;
            }
            _ => {}
        }
        if !edit.is_empty() {
            let (old, new) = (before.show(&self.name), after.show(&self.name));
            edit.diff.push(kit::diff(&self.name, if said.rc == 0 { old } else { String::new() }, new.clone()));
            let output = Output { rc: 0, stdout: new.into_bytes(), stderr: vec![] };
            edit.effect(Query::Read { argv }, Answer::Output(output));
        }
        Ok(edit.verdict(TaskResult::unchanged()))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.name, message, output)),
        }
    }
}

struct Selinux {
    policy: Option<String>,
    state: String,
    file: String,
    task: Task,
}

fn build_selinux(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    if args.flag("update_kernel_param")? {
        return Err(Problem::unsupported("`update_kernel_param` of `selinux`")
            .at(args.span("update_kernel_param"))
            .into());
    }
    let (policy, state) = (args.str("policy")?, args.need("state")?);
    if policy.is_none() && state != "disabled" {
        return Err(Problem::new("missing-argument", format!("`selinux` needs `policy` with `state: {state}`"))
            .at(args.task_span())
            .into());
    }
    let task = Task::of(setting);
    Ok(Arc::new(Selinux { policy, state, file: task.path(&args.need("configfile")?), task }))
}

const ENFORCE: &str = "/sys/fs/selinux/enforce";

impl Resource for Selinux {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let enforce = Query::Content { path: ENFORCE.to_owned() };
        world.want([enforce.clone()]);
        let Some(old) = edits::read(world, &self.file)? else {
            return Ok(kit::failed(format!("Unable to find file {}: SELinux is not installed on the node", self.file)));
        };
        let running = world.content(ENFORCE)?.map(|b| kit::text(&b).trim() == "1");
        let mut lines: Vec<String> = vec![];
        let (mut has_state, mut has_policy) = (false, false);
        for line in old.lines() {
            if line.starts_with("SELINUX=") {
                has_state = true;
                lines.push(format!("SELINUX={}", self.state));
            } else if let (true, Some(policy)) = (line.starts_with("SELINUXTYPE="), &self.policy) {
                has_policy = true;
                lines.push(format!("SELINUXTYPE={policy}"));
            } else {
                lines.push(line.to_owned());
            }
        }
        if !has_state {
            lines.push(format!("SELINUX={}", self.state));
        }
        if let (false, Some(policy)) = (has_policy, &self.policy) {
            lines.push(format!("SELINUXTYPE={policy}"));
        }
        let mut edit = Edit::default();
        if !lines.iter().map(String::as_str).eq(old.lines()) {
            edit = edits::write(world, &self.task, &self.file, &Own::mode(0o644), Some(&edits::joined(&lines)))?;
        }
        let mut reboot = false;
        match (running, self.state.as_str()) {
            (Some(is), state @ ("enforcing" | "permissive")) => {
                let on = state == "enforcing";
                if is != on {
                    edit.actions.push(self.task.exec(["setenforce", if on { "1" } else { "0" }]));
                    edit.effect(
                        enforce,
                        Answer::Content(Some(Arc::new(if on { b"1".to_vec() } else { b"0".to_vec() }))),
                    );
                    let show = |on: bool| if on { "enforcing\n" } else { "permissive\n" };
                    edit.diff.push(kit::diff("SELinux (running)", show(is), show(on)));
                }
            }
            (Some(_), _) | (None, "enforcing" | "permissive") => reboot = true,
            _ => {}
        }
        let result = TaskResult::unchanged()
            .with("configfile", self.file.as_str())
            .with("policy", self.policy.as_deref().unwrap_or_default())
            .with("state", self.state.as_str())
            .with("msg", "")
            .with("reboot_required", reboot);
        Ok(edit.verdict(result))
    }
}

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
