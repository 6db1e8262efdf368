//! The way back: what the inverse of some changes is, by the ledger and what is observed now.
//!
//! Order: units stop before their files go, packages, commands, files (folders last, deepest first), systemd reads its units anew,
//! units that were there before start again, accounts.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::journal::{Entry, Journal};
use super::line::{Change, Thing};
use super::paths;
use crate::node::{Action, Command, ExecSpec};
use crate::resources::{ChangeKind, Diff};
use crate::world::{Query, Stop, UNIT_FOLDERS, View};

/// One thing on its way back.
#[derive(Debug, Clone)]
pub struct Way {
    /// As it is named in plans: a path, `unit docker.service`.
    pub label: String,
    /// Of the last change that is taken back.
    pub of: Change,
    pub kind: ChangeKind,
    pub diff: Vec<Diff>,
    pub actions: Vec<Action>,
    pub phase: Phase,
    /// What is noted when it happens.
    pub paths: Vec<String>,
    pub things: Vec<Thing>,
    /// What must be said of it.
    pub remark: Option<String>,
}

/// When a way is gone, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Sockets,
    Stop,
    Packages,
    Commands,
    Files,
    Folders,
    Reload,
    Start,
    Users,
    Groups,
}

/// Something that stays as it is, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    pub label: String,
    pub of: Change,
    pub why: String,
}

/// Everything of a node.
#[derive(Debug, Clone, Default)]
pub struct WayBack {
    pub ways: Vec<Way>,
    pub left: Vec<Left>,
    /// Changes that hold no longer when the ways are gone.
    pub undone: Vec<String>,
}

/// What is looked at while the way back is found.
pub(super) struct Finding<'a> {
    pub view: &'a View<'a>,
    /// Where the ledger is on the node.
    pub dir: &'a str,
    pub ways: Vec<Way>,
    pub left: Vec<Left>,
    /// Paths that will be gone.
    pub gone: BTreeSet<String>,
    /// Packages of the distribution that will be gone.
    pub gone_packages: BTreeSet<String>,
    waiting: bool,
}

/// Finds the way back of some changes. `Stop::Needs`: the view's missing queries must be answered first.
pub fn way_back(
    journal: &Journal,
    selected: &BTreeSet<String>,
    view: &View,
    dir: &str,
    protected: &dyn Fn(&str) -> bool,
) -> Result<WayBack, Stop> {
    let chosen: Vec<&Entry> = journal.changes.iter().filter(|e| selected.contains(&e.change.id)).collect();
    let mut finding = Finding {
        view,
        dir,
        ways: vec![],
        left: vec![],
        gone: BTreeSet::new(),
        gone_packages: BTreeSet::new(),
        waiting: false,
    };
    let mut by_path: IndexMap<&str, Vec<(&Entry, usize)>> = IndexMap::new();
    let mut by_thing: IndexMap<String, Vec<(&Entry, &Thing)>> = IndexMap::new();
    let mut lists: Vec<(&Entry, usize)> = vec![];
    // What is still wanted of a change keeps it in force.
    let mut partly: BTreeSet<&str> = BTreeSet::new();
    for entry in &chosen {
        for (place, path) in entry.change.paths.iter().enumerate() {
            if path == super::PACKAGES {
                lists.push((entry, place));
            } else if protected(path) {
                partly.insert(entry.change.id.as_str());
            } else {
                by_path.entry(path).or_default().push((entry, place));
            }
        }
        for thing in &entry.change.things {
            if protected(&thing.label()) {
                partly.insert(entry.change.id.as_str());
            } else {
                by_thing.entry(thing.label()).or_default().push((entry, thing));
            }
        }
        if let Some(why) = &entry.change.lost {
            let label = if entry.change.kind == "run" { "command".to_owned() } else { entry.change.action.clone() };
            finding.leave(&label, &entry.change, format!("kdeploy cannot undo this: {why}"));
        }
    }
    view.want(by_path.keys().map(|path| Query::Stat { path: (*path).to_owned(), follow: false }));
    // Later changes of others, by path and thing.
    let mut others: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let mut other_things: BTreeMap<String, &Entry> = BTreeMap::new();
    let mut started = false;
    for entry in &journal.changes {
        started |= selected.contains(&entry.change.id);
        if started && entry.undone.is_none() && !selected.contains(&entry.change.id) {
            entry.change.paths.iter().for_each(|path| others.entry(path).or_default().push(entry));
            other_things.extend(entry.change.things.iter().map(|thing| (thing.label(), entry)));
        }
    }
    let mut folders = vec![];
    for (path, chain) in by_path.iter().rev() {
        let first = chain[0].0.change.id.as_str();
        let later: Vec<&Entry> = others
            .get(path)
            .into_iter()
            .flatten()
            .copied()
            .filter(|e| is_after(journal, &e.change.id, first))
            .collect();
        let outcome = paths::path(&mut finding, path, chain, &later, &mut folders);
        finding.wait(outcome)?;
    }
    for (label, chain) in by_thing.iter().rev().filter(|(label, _)| !other_things.contains_key(*label)) {
        let outcome = paths::tree(&mut finding, label, chain);
        finding.wait(outcome)?;
    }
    folders.sort_by_key(|(path, _): &(String, Change)| std::cmp::Reverse((path.matches('/').count(), path.clone())));
    for (path, change) in &folders {
        let outcome = paths::folder(&mut finding, path, change);
        finding.wait(outcome)?;
    }
    let mut packages = vec![];
    let mut units = vec![];
    for (label, chain) in by_thing.iter().rev() {
        let (entry, thing) = chain[0];
        if let Some(other) =
            other_things.get(label).filter(|_| !matches!(thing, Thing::Unit { .. } | Thing::Command { .. }))
        {
            finding.leave(label, &entry.change, changed_since(other));
            continue;
        }
        let restarts = chain.iter().any(|(e, _)| e.change.kind == "run");
        let outcome = match thing {
            Thing::Unit { .. } => {
                units.push((thing, &entry.change, restarts));
                Ok(())
            }
            Thing::User { .. } | Thing::Group { .. } => super::things::account(&mut finding, thing, &entry.change),
            Thing::Package { .. } => super::things::package(&mut finding, thing, &entry.change, &mut packages),
            Thing::Tree { .. } => Ok(()),
            Thing::Command { name, .. } => {
                // Each of them has its own way back.
                for (entry, thing) in chain.iter().rev() {
                    if let Thing::Command { argv, .. } = thing {
                        finding.command(name, argv, &entry.change);
                    }
                }
                Ok(())
            }
            Thing::Other => {
                finding.leave(label, &entry.change, "it is noted in a way this kdeploy does not know".to_owned());
                Ok(())
            }
        };
        finding.wait(outcome)?;
    }
    let outcome = super::things::packages(&mut finding, &packages, lists.first().copied());
    finding.wait(outcome)?;
    // What goes with a package is not started again.
    for (thing, change, restarts) in units {
        let outcome = super::things::unit(&mut finding, thing, change, restarts);
        finding.wait(outcome)?;
    }
    if finding.waiting {
        return Err(Stop::Needs);
    }
    finding.reload();
    finding.ways.sort_by_key(|w| w.phase);
    let kept: BTreeSet<String> = finding.left.iter().map(|l| l.of.id.clone()).collect();
    let undone = chosen
        .iter()
        .map(|e| e.change.id.clone())
        .filter(|id| !kept.contains(id) && !partly.contains(id.as_str()))
        .collect();
    Ok(WayBack { ways: finding.ways, left: finding.left, undone })
}

/// In words, that somebody else has a say in it.
pub(super) fn changed_since(other: &Entry) -> String {
    let change = &other.change;
    let role = change.role.as_ref().map(|r| format!("role {r}, ")).unwrap_or_default();
    format!("{role}\"{}\" changed it since (run {})", change.task, change.run)
}

fn is_after(journal: &Journal, id: &str, first: &str) -> bool {
    let place = |id: &str| journal.changes.iter().position(|e| e.change.id == id);
    place(id) > place(first)
}

impl Finding<'_> {
    /// What waits for answers is looked at again; what cannot be told is left.
    fn wait(&mut self, outcome: Result<(), Stop>) -> Result<(), Stop> {
        match outcome {
            Err(Stop::Needs) => self.waiting = true,
            Err(other) => return Err(other),
            Ok(()) => {}
        }
        Ok(())
    }

    pub fn leave(&mut self, label: &str, of: &Change, why: String) {
        if !self.left.iter().any(|l| l.label == label && l.why == why) {
            self.left.push(Left { label: label.to_owned(), of: of.clone(), why });
        }
    }

    pub fn way(&mut self, label: &str, of: &Change, kind: ChangeKind, phase: Phase, actions: Vec<Action>) -> &mut Way {
        self.ways.push(Way {
            label: label.to_owned(),
            of: of.clone(),
            kind,
            diff: vec![],
            actions,
            phase,
            paths: vec![],
            things: vec![],
            remark: None,
        });
        let last = self.ways.len() - 1;
        &mut self.ways[last]
    }

    fn command(&mut self, name: &str, argv: &[String], of: &Change) {
        // Whether it holds still is not known: that it fails says that it does not.
        let spec = ExecSpec { command: Command::Argv(argv.to_vec()), ..ExecSpec::default() };
        let way = self.way(name, of, ChangeKind::Change, Phase::Commands, vec![spec.into_action()]);
        way.diff = vec![crate::resources::plain_diff(name, format!("{name}\n"), String::new())];
    }

    /// systemd reads its units anew when files of units went or came back.
    fn reload(&mut self) {
        let touched = self.ways.iter().find(|w| {
            matches!(w.phase, Phase::Files | Phase::Folders)
                && w.paths.iter().any(|path| UNIT_FOLDERS.iter().any(|dir| path.starts_with(dir)))
        });
        let Some(of) = touched.map(|w| w.of.clone()) else { return };
        let reload =
            Action::Systemctl { verb: "daemon-reload".to_owned(), units: vec![], user: false, no_block: false };
        self.way("systemd", &of, ChangeKind::Run, Phase::Reload, vec![reload]);
    }
}
