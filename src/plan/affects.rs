//! What a step interrupts beside what it is about: units that restart or stop with it, the whole node, pods.

use super::interpreter::Interpreter;
use super::state::HostState;
use super::turn::Draft;
use crate::node::Action;
use crate::resources::Change;
use crate::resources::common::units;
use crate::world::{Answer, Query};

impl Interpreter {
    /// In words, for the plan: as systemd told of the units before the step.
    pub(super) fn affects(&self, st: &mut HostState, draft: &Draft, change: &Change) -> Vec<String> {
        let mut found = vec![];
        if draft.module.is_some_and(|m| m.name == "reboot") {
            found.push("reboots the node: all that runs there ends".to_owned());
        }
        let world = st.world(&draft.target, &draft.identity.key());
        for action in &change.actions {
            let Action::Systemctl { verb, units: named, user, .. } = action else { continue };
            let does = match verb.as_str() {
                "restart" => "restarts",
                "stop" => "stops",
                _ => continue,
            };
            for name in named {
                let query = Query::Unit { name: name.clone(), user: *user };
                let Some(Answer::Unit(state)) = world.observed_answer(&query) else { continue };
                if !matches!(state.active.as_str(), "active" | "activating" | "reloading") {
                    continue;
                }
                for (other, tie) in units::tied(state) {
                    let query = Query::Unit { name: other.clone(), user: *user };
                    let runs = match world.observed_answer(&query) {
                        Some(Answer::Unit(state)) => matches!(state.active.as_str(), "active" | "activating"),
                        // Not asked of: it may run.
                        _ => true,
                    };
                    if runs {
                        found.push(format!("also {does} {other}, which {tie} {name}"));
                    }
                }
            }
        }
        found
    }
}
