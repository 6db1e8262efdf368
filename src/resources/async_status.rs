//! `async_status`: ask for a background task.

use std::sync::Arc;

use super::background::{Jobs, with_ids};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, kit,
};
use crate::node::{Done, ExecSpec, JobState, READ_JOB};
use crate::world::{Stop, View};

const DOC: &str = "\
# async_status

Asks how a task started with `async` and `poll: 0` goes, or removes what is left of it.

## Return values

- `finished`, `started` (bool), `ansible_job_id`, `results_file` (text), and the task's own result once it is over
- `erased` (text): the file that `mode: cleanup` removed

## Examples

    - async_status:
        jid: \"{{ job.ansible_job_id }}\"
      register: state
      until: state.finished
      retries: 30

    - async_status:
        jid: \"{{ job.ansible_job_id }}\"
        mode: cleanup

## Differences from Ansible

The job's file (`~/.ansible_async/ID`, or below `ansible_async_dir`) holds kdeploy's own record, not a module's JSON. Of a job \
that another run started, the result has what the file tells: `rc`, `stdout`, `stderr` of its last step. A job whose \
process is gone (killed, the node restarted) fails instead of never finishing.
";

pub static TYPE: ResourceType = ResourceType {
    name: "async_status",
    qualified: &["ansible.builtin.async_status"],
    doc: DOC,
    args: &[
        ArgSpec::new("jid", Kind::Str, "Id of the background task").required(),
        ArgSpec::new("mode", Kind::Str, "Ask, or clean up").default("status").choices(&["status", "cleanup"]),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

struct Status {
    id: String,
    file: String,
    cleanup: bool,
    jobs: Arc<Jobs>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let id = args.str("jid")?.unwrap_or_default();
    let file = format!("{}/{id}", dir(setting)?);
    Ok(Arc::new(Status {
        id,
        file,
        cleanup: args.str("mode")?.as_deref() == Some("cleanup"),
        jobs: setting.jobs.clone(),
    }))
}

/// Where jobs are kept on the node.
pub fn dir(setting: &Setting) -> Result<String, Stop> {
    let dir = match (setting.evaluate)("ansible_async_dir") {
        Ok(dir) => super::text_of(&dir),
        Err(Stop::Unknown(unknown)) => return Err(Stop::Unknown(unknown)),
        Err(_) => "~/.ansible_async".to_owned(),
    };
    Ok(kit::Task::of(setting).path(&dir).trim_end_matches('/').to_owned())
}

impl Resource for Status {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        let script =
            if self.cleanup { "[ -e \"$1\" ] || exit 0; rm -rf -- \"$1\" \"$1.job\" && echo erased" } else { READ_JOB };
        let ask = ExecSpec::argv(["sh", "-c", script, "sh", self.file.as_str()]).into_action();
        Ok(Verdict::Change(Change {
            opaque: true,
            result: TaskResult::unchanged(),
            ..kit::change(ChangeKind::Run, vec![ask], vec![])
        }))
    }

    fn conclude(&self, _change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let output = match done.first() {
            Some(Done::Ok(output)) => output,
            Some(Done::Failed { message, .. }) => return Err(TaskResult::unchanged().with("msg", message.as_str())),
            None => return Err(TaskResult::unchanged().with("msg", "the node was not asked")),
        };
        let settled = self.jobs.settled(&self.id, &self.file);
        let lost = || {
            let result = with_ids(TaskResult::unchanged(), &self.id, Some(&self.file), true);
            Err(result.with("msg", "could not find job"))
        };
        if self.cleanup {
            if output.stdout.is_empty() && settled.is_none() {
                return lost();
            }
            return Ok(TaskResult::unchanged()
                .with("ansible_job_id", self.id.as_str())
                .with("erased", self.file.as_str())
                .with("finished", false)
                .with("started", false)
                .with("stdout", "")
                .with("stderr", ""));
        }
        if let Some(result) = settled {
            return result;
        }
        match JobState::parse(&output.stdout, |_| "the job".to_owned()) {
            None => lost(),
            Some(state) if state.ended => self.jobs.result(&self.id, &self.file, &state),
            Some(_) => Ok(with_ids(TaskResult::unchanged(), &self.id, Some(&self.file), false)
                .with("stdout", "")
                .with("stderr", "")),
        }
    }
}
