//! `ping`: is the node there, and can we work on it?

use std::sync::Arc;

use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{Stop, View};

const DOC: &str = "\
# ping

Connects to the node and answers `pong`.

## Return values

- `ping` (text): `data`

## Examples

    - ping:

    - ping:
        data: still there

## Differences from Ansible

Nothing is installed or run by Python on the node: it shows that login, privilege escalation and the shell work.
";

pub static TYPE: ResourceType = ResourceType {
    name: "ping",
    qualified: &["ansible.builtin.ping"],
    doc: DOC,
    args: &[ArgSpec::new("data", Kind::Str, "What to answer; `crash` fails").default("pong")],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

struct Ping(String);

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(Arc::new(Ping(args.need("data")?)))
}

impl Resource for Ping {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        // Any answer shows that the node is there.
        world.stat("/", true)?;
        if self.0 == "crash" {
            return Ok(super::kit::failed("boom"));
        }
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("ping", self.0.as_str())))
    }
}
