//! A step fails in a plan for want of what a later step makes: the playbook's order contradicts what its steps need.
//!
//! The plan of the host ends there, so what comes behind is only looked through, as if the step had not failed, and nothing is asked.

use super::basis::Thing;
use super::host::Driver;
use super::state::HostState;
use super::step::{Status, Step};
use super::turn::{Draft, Ending, Turn};

/// Most steps that are looked through.
const FAR: usize = 5000;

impl Driver<'_> {
    /// Warns if a later step makes what the failed one needs. `st`: before the failed step.
    pub(super) fn tell_made_later(&self, mut st: HostState, failed: &Step) {
        let needed: Vec<&Thing> = failed
            .basis
            .needs
            .iter()
            .filter(|thing| {
                !matches!(thing, Thing::Variable(_))
                    && (matches!(thing, Thing::Path(_)) || !failed.basis.makes.contains(thing))
            })
            .collect();
        if needed.is_empty() {
            return;
        }
        let interpreter = &self.interpreter;
        st.speculative = true;
        interpreter.postpone_current(&mut st);
        for _ in 0..FAR {
            let before = st.clone();
            let of_draft = |draft: &Draft| (draft.name.clone(), draft.task.span.path_line(), draft.basis.makes.clone());
            let (name, place, makes) = match interpreter.turn(&mut st) {
                Turn::End | Turn::Broken(_) | Turn::Hello { .. } | Turn::Engine { .. } | Turn::Again { .. } => return,
                Turn::Quiet => continue,
                Turn::Done(step) => {
                    if step.status == Status::Failed {
                        st = before;
                        interpreter.postpone_current(&mut st);
                    }
                    (step.task.clone(), step.path.clone(), step.basis.makes.clone())
                }
                Turn::Needs { draft, .. } | Turn::Blocked { draft, .. } => {
                    interpreter.postpone(&mut st, &draft);
                    of_draft(&draft)
                }
                Turn::Act { draft, change, .. } => {
                    let step = interpreter.settle(&mut st, &draft, Ending::Foretold(change));
                    (step.task.clone(), step.path.clone(), step.basis.makes.clone())
                }
            };
            let found = makes.iter().find(|made| needed.iter().any(|need| serves(made, need)));
            if let Some(thing) = found {
                interpreter.run.warn(format!(
                    "{}: \"{}\" ({}) needs {thing}, which \"{name}\" ({place}) makes only later",
                    failed.host,
                    failed.label(),
                    failed.path
                ));
                return;
            }
        }
    }
}

/// What is made is what is needed, or the folder it lies in.
fn serves(made: &Thing, need: &Thing) -> bool {
    match (made, need) {
        (Thing::Path(made), Thing::Path(need)) => super::cloud::is_at_or_below(need, made),
        (Thing::Package(made), Thing::Package(need)) => made == need || super::cloud::own_name(made) == need,
        _ => made == need,
    }
}
