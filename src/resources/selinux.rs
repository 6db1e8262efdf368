//! `selinux`: mode and policy of SELinux.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
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
        ArgSpec::new("update_kernel_param", Kind::Bool, "Change the kernel's parameter `selinux` too, by grubby")
            .default("false"),
        ArgSpec::new("configfile", Kind::Path, "The file").aliases(&["conf", "file"]).default("/etc/selinux/config"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Selinux {
    policy: Option<String>,
    state: String,
    file: String,
    kernel: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let (policy, state) = (args.str("policy")?, args.need("state")?);
    if policy.is_none() && state != "disabled" {
        return Err(Problem::new("missing-argument", format!("`selinux` needs `policy` with `state: {state}`"))
            .at(args.task_span())
            .into());
    }
    let task = Task::of(setting);
    Ok(Arc::new(Selinux {
        policy,
        state,
        file: task.path(&args.need("configfile")?),
        kernel: args.flag("update_kernel_param")?,
        task,
    }))
}

impl Selinux {
    /// `selinux=0` on the command lines of all kernels, or on none.
    fn kernel_parameter(&self, world: &View, edit: &mut Edit) -> Result<(), Stop> {
        let argv = ["grubby", "--info=ALL"].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        if said.rc != 0 {
            let why = if said.rc == 127 { "the node has no grubby".to_owned() } else { said.error_text() };
            return Err(Stop::Failed(format!("unable to get kernel boot parameters: {}", why.trim())));
        }
        let text = said.text();
        let off =
            |line: &str| line.trim_matches(['"', '\'']).split_whitespace().any(|w| w.trim_matches('"') == "selinux=0");
        let lines: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("args=")).collect();
        let disable = self.state == "disabled";
        let done = if disable { lines.iter().all(|l| off(l)) } else { !lines.iter().any(|l| off(l)) };
        if done {
            return Ok(());
        }
        let change = if disable { "--args=selinux=0" } else { "--remove-args=selinux" };
        edit.actions.push(self.task.exec(["grubby", "--update-kernel=ALL", change]));
        let (with, without) = ("selinux=0\n", "");
        let sides = if disable { (without, with) } else { (with, without) };
        edit.diff.push(kit::diff("kernel parameters", sides.0, sides.1));
        let after: String = text
            .lines()
            .map(|l| match l.strip_prefix("args=\"") {
                Some(rest) if disable => format!("args=\"{} selinux=0\"\n", rest.trim_end_matches('"')),
                Some(_) => format!("{}\n", l.replace(" selinux=0", "").replace("selinux=0", "")),
                None => format!("{l}\n"),
            })
            .collect();
        let output = crate::world::Output { rc: 0, stdout: after.into_bytes(), stderr: vec![] };
        edit.effect(Query::Read { argv }, Answer::Output(output));
        Ok(())
    }
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
        if self.kernel {
            self.kernel_parameter(world, &mut edit)?;
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
