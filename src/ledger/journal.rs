//! The ledger of one node as a whole: read from its lines, damage told and never taken for knowledge.

use std::collections::BTreeMap;

use super::line::{Before, Change, Line, RunLine, VERSION};

/// What the ledger says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    pub runs: Vec<RunLine>,
    /// In the order they happened.
    pub changes: Vec<Entry>,
    /// Outcomes of runs that told it.
    pub ends: BTreeMap<String, String>,
    /// Handlers that are owed, with the run and the tags of the change that owes them.
    pub owed: BTreeMap<String, Owed>,
    /// Numbers of lines that could not be read.
    pub damaged: Vec<usize>,
    /// The format of the newest run, where it is newer than this kdeploy knows.
    pub newer: Option<u32>,
}

/// A handler that was notified and did not run yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Owed {
    /// Since which run.
    pub run: String,
    /// Of the task that notified it.
    pub role: Option<String>,
    pub play: String,
}

/// A change and what the node found before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub change: Change,
    /// By place in `change.paths`; `None`: the line is missing.
    pub before: Vec<Option<Before>>,
    /// It was taken back by this run.
    pub undone: Option<String>,
}

/// What was at a path before, as it can be restored.
#[derive(Debug, Clone, PartialEq)]
pub enum PathBefore {
    Nothing,
    There(Before),
    /// The ledger does not say.
    Untold,
}

impl Journal {
    pub fn parse(text: &str) -> Self {
        let mut journal = Self::default();
        let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
        // The node writes what was there in front of the change's own line, in the same block.
        let mut befores: BTreeMap<String, Vec<(usize, Before)>> = BTreeMap::new();
        for (number, text) in text.lines().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            let Ok(line) = serde_json::from_str::<Line>(text) else {
                journal.damaged.push(number + 1);
                continue;
            };
            match line {
                Line::Run(run) => {
                    if run.v > VERSION {
                        journal.newer = Some(run.v);
                    }
                    if !journal.runs.iter().any(|r| r.id == run.id) {
                        journal.runs.push(run);
                    }
                }
                Line::Change(change) => {
                    if by_id.contains_key(&change.id) {
                        continue;
                    }
                    for handler in &change.owes {
                        journal.owed.entry(handler.clone()).or_insert_with(|| Owed {
                            run: change.run.clone(),
                            role: change.role.clone(),
                            play: change.play.clone(),
                        });
                    }
                    by_id.insert(change.id.clone(), journal.changes.len());
                    let before = vec![None; change.paths.len()];
                    journal.changes.push(Entry { change, before, undone: None });
                }
                Line::Before(before) => {
                    let Some((id, place)) = before.of.rsplit_once('#') else { continue };
                    let Ok(place) = place.parse() else { continue };
                    befores.entry(id.to_owned()).or_default().push((place, before.clone()));
                }
                Line::Paid { handler, .. } => drop(journal.owed.remove(&handler)),
                Line::Undone { changes, run } => {
                    for id in changes {
                        if let Some(index) = by_id.get(&id) {
                            journal.changes[*index].undone = Some(run.clone());
                        }
                    }
                }
                Line::End { run, outcome } => drop(journal.ends.insert(run, outcome)),
                Line::Other => {}
            }
        }
        journal.revive();
        for (id, found) in befores {
            let Some(index) = by_id.get(&id) else { continue };
            let entry = &mut journal.changes[*index];
            for (place, before) in found {
                if let Some(slot) = entry.before.get_mut(place) {
                    slot.get_or_insert(before);
                }
            }
        }
        journal
    }

    /// Changes whose way back was itself taken back hold again.
    fn revive(&mut self) {
        let mut backs: BTreeMap<String, bool> = BTreeMap::new();
        for entry in self.changes.iter().filter(|e| e.change.back) {
            let all = backs.entry(entry.change.run.clone()).or_insert(true);
            *all &= entry.undone.is_some();
        }
        for entry in &mut self.changes {
            if entry.undone.as_ref().is_some_and(|run| backs.get(run) == Some(&true)) {
                entry.undone = None;
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.runs.is_empty()
    }

    pub fn run(&self, id: &str) -> Option<&RunLine> {
        self.runs.iter().find(|r| r.id == id)
    }

    /// Why nothing may be taken back by this ledger.
    pub fn objection(&self) -> Option<String> {
        self.newer.map(|v| {
            format!("the node's ledger has format {v}, written by a newer kdeploy (this one reads up to {VERSION})")
        })
    }

    /// What must be said of damage.
    pub fn damage(&self) -> Option<String> {
        let count = self.damaged.len();
        let first = self.damaged.first()?;
        let plural = if count == 1 { "line" } else { "lines" };
        Some(format!(
            "the node's ledger is damaged: {count} {plural} cannot be read (the first: line {first}); what they told of is left alone"
        ))
    }

    /// Changes that hold still: neither undone nor themselves a way back.
    pub fn live(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.changes.iter().filter(|e| e.is_live())
    }

    /// The last change of a path that holds still.
    pub fn last_writer(&self, path: &str) -> Option<&Entry> {
        self.changes.iter().rev().find(|e| e.change.paths.iter().any(|p| p == path))
    }
}

impl Entry {
    /// It holds still, and is no way back.
    pub fn is_live(&self) -> bool {
        self.undone.is_none() && !self.change.back
    }

    pub fn path_before(&self, place: usize) -> PathBefore {
        match self.before.get(place) {
            Some(Some(before)) if before.t == "-" => PathBefore::Nothing,
            Some(Some(before)) => PathBefore::There(before.clone()),
            _ => PathBefore::Untold,
        }
    }
}
