//! `pam_limits`: limits of users.

use std::sync::Arc;

use super::edits::{self, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{Stop, View};

/// `pam_limits`.
pub static TYPE: ResourceType = ResourceType {
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
    conduct: Conduct::Declares,
    build,
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

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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
        backup: args.flag("backup")? && !setting.check_mode,
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
        // Ansible's message is the line, with its end.
        let result = TaskResult::unchanged().with("msg", format!("{}\n", self.line(&value, &self.comment)));
        if new.lines().eq(old.lines()) {
            return Ok(Verdict::Unchanged(result));
        }
        let backup = self.backup.then(|| super::common::paths::backup_name(&self.dest));
        let edit = edits::write_with(world, &self.task, &self.dest, &Own::mode(0o644), Some(&new), backup.as_deref())?;
        Ok(edit.verdict(TaskResult { changed: true, ..result }))
    }
}

impl Limit {
    fn line(&self, value: &str, comment: &str) -> String {
        let comment = if comment.is_empty() { String::new() } else { format!("\t#{comment}") };
        format!("{}\t{}\t{}\t{value}{comment}", self.domain, self.kind, self.item)
    }
}
