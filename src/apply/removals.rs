//! `--prune` in saved plans: what a plan would remove, and the same found again when it is applied.
//!
//! A removal goes ahead only if it is the plan's: the same thing, taken back by the same actions. What changed since stops, together with
//! the other removals of its role there; what is gone already is no error, and what the plan does not name stays.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::back::Backs;
use super::declared::Declared;
use crate::ledger::{Left, Way};

/// One removal of a saved plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    pub host: String,
    /// Where its ledger is: the host, or what it delegates to.
    pub target: String,
    /// As it is named in plans: a path, `unit docker.service`.
    pub label: String,
    pub role: Option<String>,
    /// Digest of how it is taken back.
    pub digest: String,
}

fn digest(way: &Way) -> String {
    hex::encode(sha2::Sha256::digest(format!("{:?} {:?} {:?}", way.kind, way.actions, way.diff)))
}

/// A removal that does not happen.
fn stays(way: Way, why: &str) -> Left {
    Left { label: way.label, of: way.of, why: why.to_owned() }
}

impl Backs {
    /// What the plan removes, to be saved with it.
    pub fn removals(&self) -> Vec<Removal> {
        let mut all = vec![];
        for (host, back) in &self.hosts {
            for ledger in &back.ledgers {
                all.extend(ledger.way.ways.iter().map(|way| Removal {
                    host: host.clone(),
                    target: ledger.target.clone(),
                    label: way.label.clone(),
                    role: way.of.role.clone(),
                    digest: digest(way),
                }));
            }
        }
        all
    }

    /// Keeps what a saved plan names, as it names it. `declared`: of the hosts whose plan went through again. Notes on what the plan does
    /// not know.
    pub fn keep_planned(&mut self, planned: &[Removal], declared: &BTreeMap<String, Declared>) -> Vec<String> {
        let mut notes = vec![];
        for (host, back) in &mut self.hosts {
            for ledger in &mut back.ledgers {
                let own: Vec<&Removal> =
                    planned.iter().filter(|r| r.host == *host && r.target == ledger.target).collect();
                let mut stopped: Vec<Left> = vec![];
                let mut stopped_roles: BTreeSet<Option<String>> = BTreeSet::new();
                let mut unplanned: BTreeSet<String> = BTreeSet::new();
                for way in std::mem::take(&mut ledger.way.ways) {
                    match own.iter().find(|r| r.label == way.label) {
                        Some(removal) if removal.digest == digest(&way) => ledger.way.ways.push(way),
                        Some(_) => {
                            stopped_roles.insert(way.of.role.clone());
                            stopped.push(stays(way, "changed since the plan: it would be taken back in another way"));
                        }
                        None => {
                            notes.push(format!(
                                "{host}: {} is declared no more either, but the plan does not remove it",
                                way.label
                            ));
                            unplanned.insert(way.of.id.clone());
                        }
                    }
                }
                // What must be left now was to go: somebody changed it.
                for left in std::mem::take(&mut ledger.way.left) {
                    if own.iter().any(|r| r.label == left.label) {
                        stopped_roles.insert(left.of.role.clone());
                        stopped.push(Left { why: format!("changed since the plan: {}", left.why), ..left });
                    } else {
                        ledger.way.left.push(left);
                    }
                }
                let (go, wait): (Vec<Way>, Vec<Way>) =
                    std::mem::take(&mut ledger.way.ways).into_iter().partition(|w| !stopped_roles.contains(&w.of.role));
                let cause = stopped.first().map(|left| left.label.clone()).unwrap_or_default();
                stopped.extend(wait.into_iter().map(|way| stays(way, &format!("it goes with {cause}, which stopped"))));
                ledger.way.ways = go;
                // Changes that are not wholly taken back hold on.
                let role_of = |id: &String| {
                    ledger.journal.changes.iter().find(|e| e.change.id == *id).map(|e| e.change.role.clone())
                };
                ledger.way.undone.retain(|id| {
                    !unplanned.contains(id) && !role_of(id).is_some_and(|role| stopped_roles.contains(&role))
                });
                ledger.stopped = stopped;
            }
            if planned.iter().any(|r| r.host == *host) && !declared.contains_key(host) && back.lost.is_none() {
                notes.push(format!("{host}: nothing is removed: its plan fails now, so what is declared is not known"));
            }
        }
        notes
    }
}
