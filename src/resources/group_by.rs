//! `group_by`: puts hosts into groups while a playbook runs. The engine acts on the result.

use std::sync::Arc;

use minijinja::Value;

use super::kit::Ready;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::Stop;

const DOC: &str = "\
# group_by

Puts each host into a group named by a fact or variable, for the plays that follow.

## Return values

- `add_group` (text), `parent_groups` (list)

## Examples

    - group_by:
        key: os_{{ ansible_facts['distribution'] }}

    - group_by:
        key: arch_{{ ansible_facts['architecture'] }}
        parents: [by_arch]

## Differences from Ansible

None known.
";

/// `group_by`.
pub static TYPE: ResourceType = ResourceType {
    name: "group_by",
    qualified: &["ansible.builtin.group_by"],
    doc: DOC,
    args: &[
        ArgSpec::new("key", Kind::Str, "Name of the group").required(),
        ArgSpec::new("parents", Kind::List, "Groups the new one is a child of").default("all"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let group = |text: &str| text.replace(' ', "-");
    // A text is one parent here, not a list.
    let parents: Vec<String> = match args.raw("parents").and_then(Value::as_str) {
        Some(one) => vec![group(one)],
        None => args.list("parents")?.iter().map(|p| group(p)).collect(),
    };
    let result =
        TaskResult::changed().with("add_group", group(&args.need("key")?)).with("parent_groups", Value::from(parents));
    Ok(Ready::boxed(Ok(Verdict::Unchanged(result))))
}
