//! `assert`: conditions that must hold.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::kit::Ready;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::Stop;

const DOC: &str = "\
# assert

Checks conditions and fails the task at the first that does not hold.

## Return values

- `msg` (text): `success_msg`, or `fail_msg`
- `assertion` (text), `evaluated_to` (false): the condition that failed

## Examples

    - assert:
        that: ansible_facts['memtotal_mb'] >= 2000
        fail_msg: a worker needs 2 GB of memory

    - assert:
        that:
          - containerd_version is version('1.7', '>=')
          - containerd_sha256 is defined
        quiet: true

## Differences from Ansible

None known.
";

pub static TYPE: ResourceType = ResourceType {
    name: "assert",
    qualified: &["ansible.builtin.assert"],
    doc: DOC,
    args: &[
        ArgSpec::new("that", Kind::Condition, "A condition or a list of conditions, all of which must hold").required(),
        ArgSpec::new("fail_msg", Kind::Raw, "Message of the failure").aliases(&["msg"]),
        ArgSpec::new("success_msg", Kind::Raw, "Message if all hold"),
        ArgSpec::new("quiet", Kind::Bool, "Show no message if all hold").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let quiet = args.flag("quiet")?;
    let message = |name: &str, default: &str| args.raw(name).cloned().unwrap_or_else(|| Value::from(default));
    let that = args.raw("that").cloned().unwrap_or_default();
    let conditions: Vec<Value> = match that.kind() {
        ValueKind::Seq | ValueKind::Iterable => that.try_iter().into_iter().flatten().collect(),
        _ => vec![that],
    };
    for condition in conditions {
        let holds = (setting.condition)(&condition).map_err(|stop| match stop {
            Stop::Invalid(problem) => Stop::Invalid(problem.or_at(args.span("that"))),
            other => other,
        })?;
        if !holds {
            let result = TaskResult { quiet, ..TaskResult::unchanged() };
            return Ok(Ready::boxed(Ok(Verdict::Failed(
                result
                    .with("assertion", condition)
                    .with("evaluated_to", false)
                    .with("msg", message("fail_msg", "Assertion failed")),
            ))));
        }
    }
    let result = TaskResult { quiet, ..TaskResult::unchanged() };
    let result = result.with("msg", message("success_msg", "All assertions passed"));
    Ok(Ready::boxed(Ok(Verdict::Unchanged(result))))
}
