//! `wait_for_connection`: until the node can be reached.

use std::sync::Arc;

use super::kit;
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Action;
use crate::world::{Stop, View};

const DOC: &str = "\
# wait_for_connection

Drops the connection and waits until the node can be reached again.

## Return values

- `elapsed` (int): seconds it took

## Examples

    - wait_for_connection:

    - wait_for_connection:
        delay: 30
        timeout: 300

## Differences from Ansible

`connect_timeout` and `sleep` are accepted; the connection's own timeout rules each try.
";

/// `wait_for_connection`.
pub static TYPE: ResourceType = ResourceType {
    name: "wait_for_connection",
    qualified: &["ansible.builtin.wait_for_connection"],
    doc: DOC,
    args: &[
        ArgSpec::new("connect_timeout", Kind::Int, "Seconds for one try").default("5"),
        ArgSpec::new("delay", Kind::Int, "Seconds to wait before the first try").default("0"),
        ArgSpec::new("sleep", Kind::Int, "Seconds between tries").default("1"),
        ArgSpec::new("timeout", Kind::Int, "Seconds to wait at most").default("600"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

struct Reconnect {
    delay: i64,
}

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    for name in ["connect_timeout", "sleep", "timeout"] {
        args.int(name)?;
    }
    Ok(Arc::new(Reconnect { delay: args.int("delay")?.unwrap_or(0).max(0) }))
}

impl Resource for Reconnect {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        let mut actions = vec![Action::Reconnect];
        if self.delay > 0 {
            actions.insert(0, Action::Sleep { seconds: self.delay as f64 });
        }
        Ok(Verdict::Change(Change {
            result: TaskResult::unchanged().with("elapsed", self.delay),
            ..kit::change(ChangeKind::Run, actions, vec![])
        }))
    }
}
