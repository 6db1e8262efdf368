//! `async_status`: ask for a background task. Not built yet.

use std::sync::Arc;

use super::{ArgSpec, Args, Kind, Resource, ResourceType, Setting};
use crate::problem::Problem;
use crate::world::Stop;

const DOC: &str = "\
# async_status

Asks how a task started with `async` and `poll: 0` goes. Not supported yet.

## Return values

- `finished` (int), `started` (int), `ansible_job_id` (text), and the task's own result

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

Not supported yet.
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
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Err(Problem::unsupported("background tasks (`async` with `poll: 0`, `async_status`)").at(args.task_span()).into())
}
