//! `set_stats`: figures for the end of the run; the engine collects them.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Ready};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::Stop;

const DOC: &str = "\
# set_stats

Sets figures that are shown at the end of the run.

## Return values

- `ansible_stats` (mapping): `data`, `per_host`, `aggregate`

## Examples

    - set_stats:
        data:
          images_pulled: \"{{ pulled | length }}\"

    - set_stats:
        data:
          kubelet: \"{{ kubelet_version }}\"
        per_host: true

## Differences from Ansible

None known.
";

pub static TYPE: ResourceType = ResourceType {
    name: "set_stats",
    qualified: &["ansible.builtin.set_stats"],
    doc: DOC,
    args: &[
        ArgSpec::new("data", Kind::Dict, "Names and values").required(),
        ArgSpec::new("per_host", Kind::Bool, "Keep one figure per host").default("false"),
        ArgSpec::new("aggregate", Kind::Bool, "Add to what is there").default("true"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let data = args.dict("data")?;
    let stats = [
        ("aggregate".to_owned(), Value::from(args.flag("aggregate")?)),
        ("data".to_owned(), kit::map(data)),
        ("per_host".to_owned(), Value::from(args.flag("per_host")?)),
    ];
    Ok(Ready::boxed(Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_stats", kit::map(stats))))))
}
