//! `cron`: jobs and variables in a user's crontab or in /etc/cron.d.

use std::sync::Arc;

use minijinja::Value;

use super::common::paths;
use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::ExecSpec;
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "cron",
    qualified: &["ansible.builtin.cron"],
    doc: include_str!("doc/cron.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the job, or of the variable").required(),
        ArgSpec::new("user", Kind::Str, "Whose crontab; in a file, who runs the job"),
        ArgSpec::new("job", Kind::Str, "The command, or the variable's value").aliases(&["value"]),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("cron_file", Kind::Path, "A file of /etc/cron.d instead"),
        ArgSpec::new("backup", Kind::Bool, "Keep the old text in a file of /tmp").default("false"),
        ArgSpec::new("minute", Kind::Str, "When").default("*"),
        ArgSpec::new("hour", Kind::Str, "When").default("*"),
        ArgSpec::new("day", Kind::Str, "Day of the month").aliases(&["dom"]).default("*"),
        ArgSpec::new("month", Kind::Str, "When").default("*"),
        ArgSpec::new("weekday", Kind::Str, "Day of the week").aliases(&["dow"]).default("*"),
        ArgSpec::new("special_time", Kind::Str, "Instead of the five fields")
            .choices(&["annually", "daily", "hourly", "monthly", "reboot", "weekly", "yearly"]),
        ArgSpec::new("disabled", Kind::Bool, "Comment the job out").default("false"),
        ArgSpec::new("env", Kind::Bool, "It is a variable").default("false"),
        ArgSpec::new("insertafter", Kind::Str, "Put the variable after this one"),
        ArgSpec::new("insertbefore", Kind::Str, "Put the variable before this one"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Cron {
    name: String,
    /// The job's line, or `NAME="value"`; `None`: absent.
    line: Option<String>,
    env: bool,
    insert: Option<(String, bool)>,
    file: Option<String>,
    /// As written.
    shown_file: Option<String>,
    user: Option<String>,
    backup: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "insertafter", "insertbefore")?;
    let (env, user) = (args.flag("env")?, args.str("user")?);
    let shown_file = args.str("cron_file")?;
    let file = shown_file.clone().map(|f| if f.starts_with('/') { f } else { format!("/etc/cron.d/{f}") });
    let name = args.need("name")?;
    let present = args.need("state")? == "present";
    let job = args.str("job")?.unwrap_or_default().trim_end_matches(['\r', '\n']).to_owned();
    if present && job.is_empty() && !env {
        return Err(Problem::new("missing-argument", "`cron` needs `job` to install a job")
            .at(args.task_span())
            .into());
    }
    let special = args.str("special_time")?;
    let fields = ["minute", "hour", "day", "month", "weekday"];
    if special.is_some() && fields.iter().any(|f| args.given(f) && args.str(f).ok().flatten().as_deref() != Some("*")) {
        return Err(Problem::new("invalid-argument", "`special_time` excludes minute, hour, day, month and weekday")
            .at(args.span("special_time"))
            .into());
    }
    if present && !env && file.is_some() && user.is_none() {
        return Err(Problem::new("missing-argument", "`cron` needs `user` together with `cron_file`")
            .at(args.task_span())
            .into());
    }
    let line = if !present {
        None
    } else if env {
        Some(format!("{name}=\"{job}\""))
    } else {
        let when = match special {
            Some(special) => format!("@{special}"),
            None => {
                let mut all = vec![];
                for field in fields {
                    all.push(args.need(field)?);
                }
                all.join(" ")
            }
        };
        let who = match (&file, &user) {
            (Some(_), Some(user)) => format!("{user} "),
            _ => String::new(),
        };
        let off = if args.flag("disabled")? { "#" } else { "" };
        Some(format!("{off}{when} {who}{job}"))
    };
    let insert = match (args.str("insertafter")?, args.str("insertbefore")?) {
        (Some(other), _) => Some((other, true)),
        (_, Some(other)) => Some((other, false)),
        _ => None,
    };
    let backup = args.flag("backup")? && !setting.check_mode;
    Ok(Arc::new(Cron { name, line, env, insert, file, shown_file, user, backup, task: Task::of(setting) }))
}

impl Cron {
    fn marker(&self) -> String {
        format!("#Ansible: {}", self.name)
    }

    /// The crontab's new text.
    fn edited(&self, old: &str) -> String {
        let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
        if self.env {
            let of = |name: &str| format!("{name}=");
            let at = lines.iter().position(|l| l.starts_with(&of(&self.name)));
            match (&self.line, at) {
                (Some(line), Some(i)) => lines[i].clone_from(line),
                (Some(line), None) => {
                    let place = self.insert.as_ref().and_then(|(other, after)| {
                        lines.iter().position(|l| l.starts_with(&of(other))).map(|i| i + usize::from(*after))
                    });
                    lines.insert(place.unwrap_or(0), line.clone());
                }
                (None, Some(i)) => {
                    lines.remove(i);
                }
                (None, None) => {}
            }
            return edits::joined(&lines);
        }
        let at = lines.iter().position(|l| *l == self.marker());
        match (&self.line, at) {
            (Some(line), Some(i)) if i + 1 < lines.len() => lines[i + 1].clone_from(line),
            (Some(line), Some(_)) => lines.push(line.clone()),
            (Some(line), None) => lines.extend([self.marker(), line.clone()]),
            (None, Some(i)) => {
                lines.drain(i..(i + 2).min(lines.len()));
            }
            (None, None) => {}
        }
        edits::joined(&lines)
    }

    /// The verdict of an edit; with `backup`, the old text goes to a file first.
    fn with_backup(&self, world: &View, edit: Edit, old: &str, result: TaskResult) -> Result<Verdict, Stop> {
        if !self.backup || edit.is_empty() || edit.removed {
            return Ok(edit.verdict(result));
        }
        let path = paths::backup_name("/tmp/crontab");
        let mut kept = edits::write(world, &self.task, &path, &Own::mode(0o600), Some(old))?;
        // Only the file that is asked for says what kind of change it is, and shows its difference.
        kept.created = false;
        kept.diff.clear();
        Ok(kept.and(edit).verdict(result.with("backup_file", path)))
    }

    /// Names of jobs and of variables, for the result.
    fn listed(text: &str) -> (Vec<String>, Vec<String>) {
        let jobs = text.lines().filter_map(|l| l.strip_prefix("#Ansible: ")).map(str::to_owned).collect();
        let is_name = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let envs = text
            .lines()
            .filter_map(|l| l.split_once('='))
            .map(|(n, _)| n)
            .filter(|n| is_name(n))
            .map(str::to_owned)
            .collect();
        (jobs, envs)
    }
}

impl Resource for Cron {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let result = |text: &str| {
            let (jobs, envs) = Self::listed(text);
            TaskResult::unchanged().with("jobs", Value::from(jobs)).with("envs", Value::from(envs))
        };
        if let Some(file) = &self.file {
            let old = edits::read(world, file)?;
            let new = self.edited(old.as_deref().unwrap_or_default());
            // A file in which nothing is left goes away.
            let new = if self.line.is_none() && new.trim().is_empty() { None } else { Some(new) };
            let edit = edits::write(world, &self.task, file, &Own::mode(0o644), new.as_deref())?;
            // As Ansible returns it: of a file that goes away, that it does; else what is in it.
            let result = match &new {
                None if old.is_some() => TaskResult::unchanged().with("state", "absent"),
                _ => result(new.as_deref().unwrap_or_default()),
            };
            return self.with_backup(
                world,
                edit,
                &old.unwrap_or_default(),
                result.with("cron_file", self.shown_file.as_deref().unwrap_or(file)),
            );
        }
        let mut tool = vec!["crontab".to_owned()];
        if let Some(user) = self.user.as_ref().filter(|u| **u != self.task.user) {
            tool.extend(["-u".to_owned(), user.clone()]);
        }
        let mut list = tool.clone();
        list.push("-l".to_owned());
        let said = world.read(list.clone())?;
        if said.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"crontab\" on the node".to_owned()));
        }
        let old = if said.rc == 0 { said.text() } else { String::new() };
        let new = self.edited(&old);
        let mut edit = Edit::default();
        if new != old && !(new.is_empty() && said.rc != 0) {
            tool.push("-".to_owned());
            edit.actions.push(ExecSpec { stdin: Some(new.clone().into_bytes()), ..ExecSpec::argv(tool) }.into_action());
            edit.effect(
                Query::Read { argv: list },
                Answer::Output(Output { rc: 0, stdout: new.clone().into_bytes(), stderr: vec![] }),
            );
            edit.diff.push(kit::diff("crontab", old.clone(), new.clone()));
        }
        self.with_backup(world, edit, &old, result(&new))
    }

    /// A user's table is a file of its own.
    fn inverse(&self, _view: &View, _change: &super::Change) -> super::Inverse {
        if self.file.is_some() {
            return super::Inverse::default();
        }
        let user = self.user.as_ref().unwrap_or(&self.task.user);
        super::Inverse::path(format!("/var/spool/cron/crontabs/{user}"))
    }
}
