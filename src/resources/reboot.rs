//! `reboot`: until the node is back, booted anew.

use std::sync::Arc;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Command, Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Stop, View};

/// `reboot`.
pub static TYPE: ResourceType = ResourceType {
    name: "reboot",
    qualified: &["ansible.builtin.reboot"],
    doc: include_str!("doc/reboot.md"),
    args: &[
        ArgSpec::new("pre_reboot_delay", Kind::Int, "Seconds before it").default("0"),
        ArgSpec::new("post_reboot_delay", Kind::Int, "Seconds after it").default("0"),
        ArgSpec::new("reboot_timeout", Kind::Int, "Seconds to wait for the node at most").default("600"),
        ArgSpec::new("connect_timeout", Kind::Int, "Accepted, without effect"),
        ArgSpec::new("test_command", Kind::Str, "Must succeed afterwards").default("whoami"),
        ArgSpec::new("msg", Kind::Str, "Told to users of the node").default("Reboot initiated by Ansible"),
        ArgSpec::new("search_paths", Kind::List, "Accepted, without effect"),
        ArgSpec::new("boot_time_command", Kind::Str, "Accepted, without effect"),
        ArgSpec::new("reboot_command", Kind::Str, "Instead of `shutdown -r`"),
    ],
    free_form: None,
    conduct: Conduct::Fleeting,
    build,
};

struct Reboot {
    command: Option<String>,
    pre: u64,
    post: u64,
    timeout: u64,
    message: String,
    test: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let seconds =
        |name: &str| -> Result<u64, Problem> { Ok(u64::try_from(args.int(name)?.unwrap_or(0).max(0)).unwrap_or(0)) };
    Ok(Arc::new(Reboot {
        command: args.str("reboot_command")?,
        pre: seconds("pre_reboot_delay")?,
        post: seconds("post_reboot_delay")?,
        timeout: seconds("reboot_timeout")?,
        message: args.need("msg")?,
        test: args.need("test_command")?,
        task: Task::of(setting),
    }))
}

impl Resource for Reboot {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        let mut actions = vec![Action::Reboot {
            command: self.command.clone(),
            delay: self.pre,
            timeout: self.timeout,
            message: self.message.clone(),
        }];
        if self.post > 0 {
            #[expect(clippy::cast_precision_loss, reason = "seconds")]
            actions.push(Action::Sleep { seconds: self.post as f64 });
        }
        actions.push(
            ExecSpec {
                command: Command::Shell { text: self.test.clone(), executable: None },
                env: self.task.environment.clone(),
                ok_codes: vec![0],
                ..ExecSpec::default()
            }
            .into_action(),
        );
        Ok(Verdict::Change(Change {
            opaque: true,
            result: TaskResult::changed().with("rebooted", true).with("elapsed", 0),
            ..kit::change(ChangeKind::Run, actions, vec![])
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, _)) => {
                let rebooted = done.len() > 1;
                Err(TaskResult { changed: rebooted, ..change.result.clone() }
                    .with("rebooted", rebooted)
                    .with("msg", message))
            }
        }
    }
}
