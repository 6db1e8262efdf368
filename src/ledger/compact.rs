//! A ledger that grew too large: what no way back needs any more is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{Change, Line};

/// So many of the newest runs are kept whole.
pub const KEEP_RUNS: usize = 20;

/// The same ledger with fewer lines, and the contents that nothing mentions any more. `None`: it is damaged or of a newer format,
/// so nothing is left out.
///
/// Of older runs stay: changes that hold still, of each thing the first of every role (what was there before) and the last; debts.
pub fn compact(text: &str) -> Option<(String, Vec<String>)> {
    let mut lines = vec![];
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        match serde_json::from_str::<Line>(line).ok()? {
            Line::Other => return None,
            Line::Run(run) if run.v > super::VERSION => return None,
            parsed => lines.push((line, parsed)),
        }
    }
    let journal = super::Journal::parse(text);
    let newest: BTreeSet<&str> = journal.runs.iter().rev().take(KEEP_RUNS).map(|r| r.id.as_str()).collect();
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    let mut last: BTreeMap<(String, Option<&str>), &str> = BTreeMap::new();
    for entry in journal.live() {
        let change = &entry.change;
        for thing in things(change) {
            // The first stays at once; the last is known at the end.
            if last.insert((thing, change.role.as_deref()), &change.id).is_none() {
                needed.insert(&change.id);
            }
        }
        if change.owes.iter().any(|key| journal.owed.get(key).is_some_and(|owed| owed.run == change.run)) {
            needed.insert(&change.id);
        }
    }
    needed.extend(last.values());
    needed.extend(
        journal.changes.iter().filter(|e| newest.contains(e.change.run.as_str())).map(|e| e.change.id.as_str()),
    );
    let runs: BTreeSet<&str> = newest
        .iter()
        .copied()
        .chain(journal.changes.iter().filter(|e| needed.contains(e.change.id.as_str())).map(|e| e.change.run.as_str()))
        .collect();
    let (mut kept, mut digests, mut gone) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for (text, line) in lines {
        let stays = match &line {
            Line::Run(run) => runs.contains(run.id.as_str()),
            Line::Change(change) => needed.contains(change.id.as_str()),
            Line::Before(before) => before.of.rsplit_once('#').is_some_and(|(id, _)| needed.contains(id)),
            Line::Paid { run, .. } | Line::End { run, .. } => newest.contains(run.as_str()),
            Line::Undone { changes, .. } => changes.iter().any(|id| needed.contains(id.as_str())),
            Line::Other => true,
        };
        if let Line::Before(before) = &line
            && let Some(digest) = before.d.clone().filter(|_| before.kept)
        {
            if stays {
                digests.insert(digest)
            } else {
                gone.insert(digest)
            };
        }
        match line {
            // The lines that paid an old debt may be gone: it must not rise again.
            Line::Change(mut change) if stays && !newest.contains(change.run.as_str()) => {
                change.owes.retain(|key| journal.owed.get(key).is_some_and(|owed| owed.run == change.run));
                kept.push_str(&Line::Change(change).text());
            }
            _ if stays => {
                kept.push_str(text);
                kept.push('\n');
            }
            _ => {}
        }
    }
    let needless =
        gone.into_iter().filter(|d| !digests.contains(d) && d.bytes().all(|b| b.is_ascii_hexdigit())).collect();
    Some((kept, needless))
}

/// What a change is about, by name.
fn things(change: &Change) -> Vec<String> {
    change.paths.iter().cloned().chain(change.things.iter().map(super::Thing::label)).collect()
}
