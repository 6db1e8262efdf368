//! `set_fact`: variables of the host, for the rest of the run.

use std::sync::Arc;

use super::kit::{self, Ready};
use super::{ANY, ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::Stop;

const DOC: &str = "\
# set_fact

Sets variables of the host. They hold final values, outrank all but extra variables, and last until the run ends.

## Return values

- `ansible_facts` (mapping): the variables that were set

## Examples

    - set_fact:
        kubelet_args: \"{{ kubelet_args + ['--v=2'] }}\"

    - set_fact: release={{ ansible_facts['distribution_release'] }} reboot_needed=false

## Differences from Ansible

`cacheable` is accepted; there is no fact cache between runs.
";

pub static TYPE: ResourceType = ResourceType {
    name: "set_fact",
    qualified: &["ansible.builtin.set_fact"],
    doc: DOC,
    args: &[
        ArgSpec::new("cacheable", Kind::Bool, "Keep the facts for later runs too").default("false"),
        ArgSpec::new(ANY, Kind::Raw, "Any name and its value"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

/// The key of a result that says: facts too, not only variables of this run.
pub const CACHEABLE: &str = "_ansible_facts_cacheable";

/// True for what Ansible allows as a variable's name.
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let cacheable = args.flag("cacheable")?;
    for (name, _, span) in args.extra() {
        if !is_variable_name(name) {
            return Err(Problem::new("invalid-name", format!("`{name}` is no name for a variable"))
                .at(span)
                .help("a name starts with a letter or `_` and has only letters, digits and `_`")
                .into());
        }
    }
    let facts: Vec<_> = args.extra().map(|(name, value, _)| (name.to_owned(), value.clone())).collect();
    if facts.is_empty() {
        return Ok(Ready::boxed(Ok(kit::failed(
            "No key/value pairs provided, at least one is required for this action to succeed",
        ))));
    }
    let mut result = TaskResult::unchanged().with("ansible_facts", kit::map(facts));
    if cacheable {
        result = result.with(CACHEABLE, true);
    }
    Ok(Ready::boxed(Ok(Verdict::Unchanged(result))))
}
