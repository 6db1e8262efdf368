//! `selinux`: mode and policy of SELinux.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::{Answer, Query, Stop, View};

/// `selinux`.
pub static TYPE: ResourceType = ResourceType {
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
    build,
};

struct Selinux {
    policy: Option<String>,
    state: String,
    file: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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
