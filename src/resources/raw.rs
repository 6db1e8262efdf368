//! `raw`: a text for the node's shell, as it is.

use std::sync::Arc;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Command, Done, ExecSpec};
use crate::world::{Stop, View};

const DOC: &str = "\
# raw

Runs a text with the node's shell and nothing around it.

Kept for playbooks that use it to install Python; kdeploy needs none, so `shell` does the same.

## Return values

- `rc` (int), `stdout`, `stderr` (text, as they came), `stdout_lines`, `stderr_lines` (lists)

## Examples

    - raw: cat /etc/os-release
      changed_when: false

    - raw: apk add python3
      args:
        executable: /bin/ash

## Differences from Ansible

None known.
";

pub static TYPE: ResourceType = ResourceType {
    name: "raw",
    qualified: &["ansible.builtin.raw", "ansible.legacy.raw"],
    doc: DOC,
    args: &[
        ArgSpec::new("_raw_params", Kind::Raw, "The shell text, written free-form").required(),
        ArgSpec::new("executable", Kind::Path, "Absolute path of the shell"),
    ],
    free_form: Some("_raw_params"),
    conduct: Conduct::Runs,
    build,
};

struct Raw {
    text: String,
    executable: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(Arc::new(Raw { text: args.need("_raw_params")?, executable: args.str("executable")?, task: Task::of(setting) }))
}

impl Resource for Raw {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        if self.task.check_mode {
            return Ok(Verdict::Skipped(TaskResult::unchanged()));
        }
        let spec = ExecSpec {
            command: Command::Shell { text: self.text.clone(), executable: self.executable.clone() },
            env: self.task.environment.clone(),
            ..ExecSpec::default()
        };
        Ok(Verdict::Change(Change { opaque: true, ..kit::change(ChangeKind::Run, vec![spec.into_action()], vec![]) }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let Some(first) = done.first() else {
            return Err(change.result.clone().with("msg", "the command was not started"));
        };
        let output = kit::output_of(first);
        let result = change
            .result
            .clone()
            .with("rc", output.rc)
            .with("stdout", output.text())
            .with("stderr", output.error_text());
        match first {
            Done::Ok(_) if output.rc == 0 => Ok(result),
            Done::Ok(_) => Err(result.with("msg", "non-zero return code")),
            Done::Failed { message, .. } => Err(result.with("msg", message.as_str())),
        }
    }

    fn inverse(&self, _view: &View, _change: &super::Change) -> super::Inverse {
        super::Inverse::impossible("what a command does, kdeploy does not know")
    }
}
