//! What an apply may do: only some steps (`--target`, `--with-deps`), or only what a saved plan foretold.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::step::Step;

/// Names one step of a run so that plan and apply mean the same: where it stands, its item, and how often it was come to before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepKey {
    pub host: String,
    pub path: String,
    pub task: String,
    pub item: Option<String>,
    pub visit: usize,
}

/// Keys of steps, in their order.
pub fn step_keys(steps: &[Step]) -> Vec<StepKey> {
    let mut seen: HashMap<(String, String, String, Option<String>), usize> = HashMap::new();
    steps
        .iter()
        .map(|s| {
            let place = (s.host.clone(), s.path.clone(), s.task.clone(), s.item.clone());
            let visit = seen.entry(place.clone()).or_insert(0);
            *visit += 1;
            StepKey { host: place.0, path: place.1, task: place.2, item: place.3, visit: *visit }
        })
        .collect()
}

/// What a saved plan says of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// What was asked, and a digest or short form of the answer.
    pub answers: std::collections::BTreeMap<String, String>,
    /// The step would change something.
    pub acts: bool,
    /// It was not known whether it would.
    pub unknown: bool,
    /// Steps it depends on.
    pub needs: Vec<StepKey>,
}

/// Limits of an apply.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Steps that are left out, though they were planned.
    pub left_out: HashSet<StepKey>,
    /// A saved plan's steps; `None`: the playbook itself is applied.
    pub saved: Option<HashMap<StepKey, Foretold>>,
    /// Hosts where a saved plan has steps that may bring in others (an unknown include): what it does not know may come.
    pub open_hosts: HashSet<String>,
}

impl Guard {
    /// Why a step that would change something must not, by a saved plan: what changed since, or what it depends on that stopped.
    pub fn objection(
        &self,
        key: &StepKey,
        answers: &std::collections::BTreeMap<String, String>,
        stopped: &HashSet<StepKey>,
    ) -> Option<String> {
        let saved = self.saved.as_ref()?;
        let Some(foretold) = saved.get(key) else {
            return (!self.open_hosts.contains(&key.host)).then(|| "it is not in the plan".to_owned());
        };
        if let Some(before) = self.stopped_before(foretold, stopped) {
            return Some(format!("it depends on \"{}\", which stopped", before.task));
        }
        if foretold.unknown {
            return None;
        }
        if let Some(why) = self.change_since(key, answers) {
            return Some(why);
        }
        (!foretold.acts).then(|| "the plan has nothing to do here".to_owned())
    }

    /// What changed since a saved plan, of what a step rests on.
    pub fn change_since(&self, key: &StepKey, answers: &std::collections::BTreeMap<String, String>) -> Option<String> {
        let foretold = self.saved.as_ref()?.get(key)?;
        let changed: Vec<String> = foretold
            .answers
            .iter()
            .filter_map(|(what, then)| {
                let now = answers.get(what)?;
                (now != then).then(|| format!("{what}: was {then}, is {now}"))
            })
            .collect();
        if !changed.is_empty() {
            return Some(format!("changed since the plan: {}", changed.join("; ")));
        }
        None
    }

    /// A step it depends on that stopped.
    fn stopped_before<'a>(&'a self, foretold: &'a Foretold, stopped: &HashSet<StepKey>) -> Option<&'a StepKey> {
        let saved = self.saved.as_ref()?;
        let mut todo: Vec<&StepKey> = foretold.needs.iter().collect();
        let mut seen: HashSet<&StepKey> = HashSet::new();
        while let Some(key) = todo.pop() {
            if !seen.insert(key) {
                continue;
            }
            if stopped.contains(key) {
                return Some(key);
            }
            todo.extend(saved.get(key).into_iter().flat_map(|f| f.needs.iter()));
        }
        None
    }

    /// A step depends on one that stopped: it is not even looked at.
    pub fn waits_in_vain(&self, key: &StepKey, stopped: &HashSet<StepKey>) -> Option<String> {
        if stopped.is_empty() {
            return None;
        }
        let foretold = self.saved.as_ref()?.get(key)?;
        let before = self.stopped_before(foretold, stopped)?;
        Some(format!("it depends on \"{}\", which stopped", before.task))
    }
}
