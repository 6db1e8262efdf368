//! `fail`: end the host's run with a message.

use std::sync::Arc;

use minijinja::Value;

use super::kit::Ready;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::Stop;

const DOC: &str = "\
# fail

Fails the task with a message, mostly together with `when`.

## Return values

- `msg` (text): the message

## Examples

    - fail:
        msg: this role needs systemd
      when: ansible_facts['service_mgr'] != 'systemd'

    - fail:
        msg: \"{{ missing | join(', ') }} must be set\"
      when: missing | length > 0

## Differences from Ansible

None known.
";

pub static TYPE: ResourceType = ResourceType {
    name: "fail",
    qualified: &["ansible.builtin.fail"],
    doc: DOC,
    args: &[ArgSpec::new("msg", Kind::Str, "The message, text or any value").default("Failed as requested from task")],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let message = match args.as_given("msg") {
        Some(given) => given.clone(),
        None => Value::from(args.need("msg")?),
    };
    Ok(Ready::boxed(Ok(Verdict::Failed(TaskResult::unchanged().with("msg", message)))))
}
