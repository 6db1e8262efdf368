//! `mount`: file systems mounted now, and listed in fstab for the boot.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Answer, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "mount",
    qualified: &["ansible.posix.mount"],
    doc: include_str!("doc/mount.md"),
    args: &[
        ArgSpec::new("path", Kind::Path, "The mount point").aliases(&["name"]).required(),
        ArgSpec::new("src", Kind::Path, "What is mounted"),
        ArgSpec::new("fstype", Kind::Str, "Type of the file system"),
        ArgSpec::new("opts", Kind::Str, "Mount options"),
        ArgSpec::new("opts_no_log", Kind::Bool, "Keep the options out of logs").default("false"),
        ArgSpec::new("dump", Kind::Str, "fstab's fifth field").default("0"),
        ArgSpec::new("passno", Kind::Str, "fstab's sixth field").default("0"),
        ArgSpec::new("state", Kind::Str, "What is wanted")
            .choices(&["absent", "absent_from_fstab", "ephemeral", "mounted", "present", "remounted", "unmounted"])
            .required(),
        ArgSpec::new("fstab", Kind::Path, "The file").default("/etc/fstab"),
        ArgSpec::new("boot", Kind::Bool, "False adds `noauto`").default("true"),
        ArgSpec::new("backup", Kind::Bool, "Copy the file before changing it").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Mount {
    path: String,
    src: String,
    fstype: String,
    opts: String,
    dump: String,
    passno: String,
    state: String,
    fstab: String,
    backup: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let state = args.need("state")?;
    let (src, fstype) = (args.str("src")?, args.str("fstype")?);
    if matches!(state.as_str(), "mounted" | "present" | "ephemeral") {
        for (name, value) in [("src", &src), ("fstype", &fstype)] {
            if value.is_none() {
                return Err(Problem::new("missing-argument", format!("`mount` needs `{name}` with `state: {state}`"))
                    .at(args.task_span())
                    .into());
            }
        }
    }
    let mut opts = args.str("opts")?.filter(|o| !o.is_empty()).unwrap_or_else(|| "defaults".to_owned());
    if !args.flag("boot")? && !opts.split(',').any(|o| o == "noauto") {
        opts.push_str(",noauto");
    }
    let path = task.path(&args.need("path")?);
    Ok(Arc::new(Mount {
        path: if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path },
        src: src.unwrap_or_default(),
        fstype: fstype.unwrap_or_default(),
        opts,
        dump: args.need("dump")?,
        passno: args.need("passno")?,
        state,
        fstab: task.path(&args.need("fstab")?),
        backup: args.flag("backup")? && !setting.check_mode,
        task,
    }))
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// fstab and mountinfo write blanks as octal escapes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

/// Mount points, as mountinfo tells them.
fn points(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|l| l.split(' ').nth(4))
}

impl Mount {
    fn fields(&self) -> [String; 6] {
        [&self.src, &self.path, &self.fstype, &self.opts, &self.dump, &self.passno].map(|f| escape(f))
    }

    /// Whether a line of fstab is this entry; swap has no mount point, its source tells it.
    fn is_entry(&self, line: &str) -> bool {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if line.trim_start().starts_with('#') || fields.len() < 3 {
            return false;
        }
        if self.fstype == "swap" || fields[2] == "swap" && self.path == "none" {
            return fields[2] == "swap" && fields[0] == escape(&self.src);
        }
        fields[1] == escape(&self.path)
    }

    fn listed(&self, old: &str) -> String {
        let wanted = self.fields();
        let mut found = false;
        let mut lines = vec![];
        for line in old.lines() {
            if !self.is_entry(line) {
                lines.push(line.to_owned());
                continue;
            }
            found = true;
            let mut fields: Vec<&str> = line.split_whitespace().collect();
            let defaults = ["", "", "", "defaults", "0", "0"];
            fields.extend(defaults.iter().skip(fields.len()));
            if fields.iter().take(6).eq(wanted.iter()) {
                lines.push(line.to_owned());
            } else {
                lines.push(wanted.join(" "));
            }
        }
        if !found {
            lines.push(wanted.join(" "));
        }
        edits::joined(&lines)
    }
}

impl Resource for Mount {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let mounts = Query::Content { path: MOUNTS.to_owned() };
        let point = Query::Stat { path: self.path.clone(), follow: true };
        world.want([mounts.clone(), point.clone()]);
        world.want(edits::queries(&self.fstab));
        let mountinfo = world.content(MOUNTS)?.map(|b| kit::text(&b)).unwrap_or_default();
        let mounted = points(&mountinfo).any(|p| p == escape(&self.path));
        let old = edits::read(world, &self.fstab)?.unwrap_or_default();
        let uses_fstab = !matches!(self.state.as_str(), "ephemeral" | "unmounted" | "remounted");
        let new = match self.state.as_str() {
            "mounted" | "present" => self.listed(&old),
            "absent" | "absent_from_fstab" => {
                edits::joined(&old.lines().filter(|l| !self.is_entry(l)).collect::<Vec<_>>())
            }
            _ => old.clone(),
        };
        // Compare lines: a missing newline at the end is no difference.
        let differs = uses_fstab && !new.lines().eq(old.lines());
        let backup = self.backup.then(|| super::common::paths::backup_name(&self.fstab));
        let mut edit = Edit::default();
        if differs {
            edit = edits::write_with(world, &self.task, &self.fstab, &Own::mode(0o644), Some(&new), backup.as_deref())?;
        }
        let with_point = |on: bool| {
            let mut text: String = mountinfo
                .lines()
                .filter(|l| l.split(' ').nth(4) != Some(&escape(&self.path)))
                .map(|l| format!("{l}\n"))
                .collect();
            if on {
                text.push_str(&format!(
                    "0 0 0:0 / {} rw - {} {} rw\n",
                    escape(&self.path),
                    self.fstype,
                    escape(&self.src)
                ));
            }
            Answer::Content(Some(Arc::new(text.into_bytes())))
        };
        let diff = |before: &str, after: &str| kit::diff(&self.path, format!("{before}\n"), format!("{after}\n"));
        match self.state.as_str() {
            "mounted" | "ephemeral" if self.fstype != "swap" => {
                if !mounted && world.stat(&self.path, true)?.is_none() {
                    edit.actions.push(self.task.exec(["mkdir", "-p", "--", &self.path]));
                    let mut stat = super::service::link_to("");
                    (stat.kind, stat.mode, stat.target) = (crate::world::FileKind::Directory, 0o755, None);
                    stat.real = Some(self.path.clone());
                    for follow in [false, true] {
                        let query = Query::Stat { path: self.path.clone(), follow };
                        edit.effect(query, Answer::Stat(Some(stat.clone())));
                    }
                }
                let ephemeral = self.state == "ephemeral";
                if !mounted {
                    let argv: Vec<&str> = if ephemeral {
                        vec!["mount", "-t", &self.fstype, "-o", &self.opts, "--", &self.src, &self.path]
                    } else if self.fstab == "/etc/fstab" {
                        vec!["mount", "--", &self.path]
                    } else {
                        vec!["mount", "-T", &self.fstab, "--", &self.path]
                    };
                    edit.actions.push(self.task.exec(argv));
                    edit.effect(mounts, with_point(true));
                    edit.diff.push(diff("not mounted", "mounted"));
                } else if differs {
                    // The entry changed under a mounted file system: mount it anew.
                    let script = "mount -o remount -- \"$1\" 2>/dev/null || { umount -- \"$1\" && mount -- \"$1\"; }";
                    edit.actions.push(self.task.script(script, [&self.path]));
                }
            }
            "unmounted" if mounted => {
                edit.actions.push(self.task.exec(["umount", "--", &self.path]));
                edit.effect(mounts, with_point(false));
                edit.diff.push(diff("mounted", "not mounted"));
            }
            "absent" => {
                if mounted {
                    edit.actions.push(self.task.exec(["umount", "--", &self.path]));
                    edit.effect(mounts, with_point(false));
                    edit.diff.push(diff("mounted", "not mounted"));
                }
                if world.stat(&self.path, true)?.is_some() && (differs || mounted) {
                    edit.actions.push(self.task.exec(["rmdir", "--", &self.path]));
                    edit.effect(point, Answer::Stat(None));
                }
            }
            "remounted" => {
                if !mounted {
                    return Ok(kit::failed(format!("Error remounting {}: it is not mounted", self.path)));
                }
                edit.actions.push(self.task.exec(["mount", "-o", "remount", "--", &self.path]));
            }
            _ => {}
        }
        edit.created = false;
        let mut result = TaskResult::unchanged().with("name", self.path.as_str());
        for (key, value) in [("src", &self.src), ("fstype", &self.fstype)] {
            if !value.is_empty() {
                result = result.with(key, value.as_str());
            }
        }
        let result = result
            .with("opts", self.opts.as_str())
            .with("dump", self.dump.as_str())
            .with("passno", self.passno.as_str())
            .with("fstab", self.fstab.as_str())
            .with("boot", if self.opts.split(',').any(|o| o == "noauto") { "no" } else { "yes" })
            .with("backup_file", backup.filter(|_| differs).unwrap_or_default());
        match edit.verdict(result) {
            // Below a mount point everything is another file system's.
            Verdict::Change(change) => Ok(Verdict::Change(Change { opaque: true, ..change })),
            other => Ok(other),
        }
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => {
                let said = output.error_text();
                let said = if said.trim().is_empty() { message } else { said.trim() };
                Err(TaskResult { changed: false, ..change.result.clone() }
                    .with("msg", format!("Error mounting {}: {said}", self.path)))
            }
        }
    }

    /// Whether it was mounted; the entry of the table is among the effects.
    fn inverse(&self, view: &View, _change: &Change) -> super::Inverse {
        let Ok(Some(info)) = view.content(MOUNTS) else { return super::Inverse::default() };
        let mounted = points(&kit::text(&info)).any(|p| p == escape(&self.path));
        match self.state.as_str() {
            "mounted" | "ephemeral" if !mounted => {
                super::Inverse::command(format!("mount {}", self.path), ["umount", "--", &self.path])
            }
            "unmounted" | "absent" if mounted => {
                super::Inverse::command(format!("unmounted {}", self.path), ["mount", "--", &self.path])
            }
            _ => super::Inverse::default(),
        }
    }
}
