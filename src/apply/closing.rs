//! The end of a run on its nodes: paid debts, how it ended, and a ledger that grew too large made smaller.

use std::sync::Arc;

use crate::ledger::{self, Line};
use crate::node::{Action, Blob, Identity, Owner};
use crate::plan::{Book, Fleet, Outcome, Run, block, in_parallel, lock};
use crate::world::{Answer, Query};

/// One last exchange with each ledger that this run wrote to.
pub fn close_ledgers(run: &Arc<Run>, fleet: &Fleet, outcome: &Outcome) {
    let Some(recording) = &run.options.recording else { return };
    let told = |host: &str| {
        outcome.hosts.get(host).map_or("done", |h| match (h.unreachable, h.failed) {
            (0, 0) => "done",
            (0, _) => "failed",
            _ => "unreachable",
        })
    };
    let closing = recording.closing(|host| told(host).to_owned());
    let names: Vec<String> = (0..closing.len()).map(|n| n.to_string()).collect();
    in_parallel(&names, &|name| {
        let Some((book, identity, lines, bytes)) = name.parse::<usize>().ok().and_then(|n| closing.get(n)) else {
            return;
        };
        close(fleet, book, identity, lines, *bytes);
    });
}

/// What cannot be told any more is of no consequence: the next run reads the changes themselves.
fn close(fleet: &Fleet, book: &Book, identity: &Identity, lines: &[Line], bytes: u64) {
    let Some(conversation) = fleet.known(&book.0) else { return };
    let mut node = lock(&conversation);
    let told = node.act(identity, &[block(lines, vec![])], &mut |_, _| {});
    if bytes <= ledger::LEDGER_BYTES || told.is_err() {
        return;
    }
    let Ok(dir) = node.state_dir(identity) else { return };
    let path = format!("{dir}/ledger");
    let Ok(answers) = node.ask(identity, &[Query::Content { path: path.clone() }]) else { return };
    let Some(Answer::Content(Some(content))) = answers.first() else { return };
    let Some((smaller, needless)) = ledger::compact(&String::from_utf8_lossy(content)) else { return };
    let mut actions = vec![Action::WriteFile {
        path,
        content: Blob::Bytes(Arc::new(smaller.into_bytes())),
        mode: Some(0o600),
        owner: Owner::default(),
        validate: None,
        backup: None,
    }];
    actions.extend(needless.into_iter().map(|digest| Action::Remove { path: format!("{dir}/store/{digest}") }));
    drop(node.act(identity, &actions, &mut |_, _| {}));
}
