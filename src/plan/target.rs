//! `--target` and `--why`: which steps a name, a path or a unit means.

use std::collections::BTreeSet;

use super::basis::Thing;
use super::step::Step;
use crate::problem::Problem;

/// Steps by a task's name (with or without its role), a path, a unit, a user or a package they make.
pub fn find_steps(steps: &[Step], wanted: &str) -> Result<BTreeSet<usize>, Problem> {
    let trimmed = if wanted.len() > 1 { wanted.trim_end_matches('/') } else { wanted };
    let is = |step: &Step| {
        let role_task = step.role.as_ref().map(|r| format!("{r} : {}", step.task));
        step.task == wanted
            || role_task.as_deref() == Some(wanted)
            || step.label() == wanted
            || step.basis.makes.iter().any(|thing| match thing {
                Thing::Path(path) => path == trimmed,
                Thing::Unit(unit) => unit == wanted || unit.strip_suffix(".service") == Some(wanted),
                Thing::User(name) | Thing::Group(name) | Thing::Package(name) => name == wanted,
                Thing::Variable(_) => false,
            })
    };
    let found: BTreeSet<usize> = steps.iter().enumerate().filter(|(_, s)| is(s)).map(|(i, _)| i).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut known: BTreeSet<String> = steps.iter().map(|s| s.task.clone()).collect();
    for thing in steps.iter().flat_map(|s| &s.basis.makes) {
        match thing {
            Thing::Variable(_) => {}
            Thing::Path(name) | Thing::Unit(name) | Thing::User(name) | Thing::Group(name) | Thing::Package(name) => {
                known.insert(name.clone());
            }
        }
    }
    Err(Problem::new("no-such-step", format!("no step of the plan is named `{wanted}` or makes it"))
        .nearest(wanted, known.iter().map(String::as_str)))
}
