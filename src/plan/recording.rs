//! What a run writes into the ledgers of its nodes, and what they owe: shared by all hosts of the run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::run::lock;
use crate::ledger::{Journal, Line, Owed, RunLine};
use crate::node::Identity;
use crate::report::Redactor;

/// Which ledger of a node: its target's key, and the identity's.
pub type Book = (String, String);

/// A run that changes nodes.
#[derive(Debug, Default)]
pub struct Recording {
    pub run: RunLine,
    /// How long to wait for another run's lock.
    pub wait: Duration,
    /// The lock is taken at the first change, not before the first question: what only looks disturbs nobody.
    pub lock_late: bool,
    /// Every change counts as a way back: `destroy` and `undo` do not take themselves back.
    pub back: bool,
    pub redactor: Redactor,
    next: AtomicU64,
    books: Mutex<HashMap<Book, Open>>,
}

/// A ledger that this run wrote to.
#[derive(Debug, Default)]
struct Open {
    identity: Identity,
    owes: BTreeSet<String>,
    pending: Vec<Line>,
    bytes: u64,
}

impl Recording {
    pub fn new(run: RunLine, redactor: Redactor) -> Self {
        Self { run, redactor, ..Self::default() }
    }

    /// The next change's name.
    pub fn next_id(&self) -> String {
        format!("{}/{}", self.run.id, self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Who holds the lock, in words for others who want it.
    pub fn holder(&self) -> String {
        let run = &self.run;
        format!(
            "kdeploy {} {} by {} from {} since {} (run {}, process {})",
            run.command,
            run.playbook,
            run.who,
            run.from,
            run.at,
            run.id,
            std::process::id()
        )
    }

    /// Lines that must stand before a change of this ledger's node: the run's own, and what waits.
    pub fn opening(&self, book: &Book, identity: &Identity) -> Vec<Line> {
        let mut books = lock(&self.books);
        let mut lines = vec![];
        let open = books.entry(book.clone()).or_insert_with(|| {
            lines.push(Line::Run(self.run.clone()));
            Open { identity: identity.clone(), ..Open::default() }
        });
        lines.append(&mut open.pending);
        lines
    }

    /// A change was noted that owes handlers.
    pub fn owe(&self, book: &Book, handlers: &[String]) {
        if let Some(open) = lock(&self.books).get_mut(book) {
            open.owes.extend(handlers.iter().cloned());
        }
    }

    /// A handler of a host ran, or had nothing to do.
    pub fn pay(&self, host: &str, handler: &str) {
        for ((target, _), open) in lock(&self.books).iter_mut() {
            if super::fleet::target_name(target) == host && open.owes.remove(handler) {
                open.pending.push(Line::Paid { handler: handler.to_owned(), run: self.run.id.clone() });
            }
        }
    }

    /// Debts of earlier runs, found in a ledger: it is to be told when they are paid.
    pub fn inherit(&self, book: &Book, identity: &Identity, handlers: impl IntoIterator<Item = String>) {
        let mut books = lock(&self.books);
        let mut handlers = handlers.into_iter().peekable();
        if handlers.peek().is_none() {
            return;
        }
        let open = books.entry(book.clone()).or_insert_with(|| Open {
            identity: identity.clone(),
            pending: vec![Line::Run(self.run.clone())],
            ..Open::default()
        });
        open.owes.extend(handlers);
    }

    /// Lines for later: after the changes of this run.
    pub fn later(&self, book: &Book, lines: impl IntoIterator<Item = Line>) {
        if let Some(open) = lock(&self.books).get_mut(book) {
            open.pending.extend(lines);
        }
    }

    /// Notes how large a ledger was when the lock was taken.
    pub fn size(&self, book: &Book, identity: &Identity, bytes: u64) {
        if bytes > crate::ledger::LEDGER_BYTES {
            let mut books = lock(&self.books);
            books
                .entry(book.clone())
                .or_insert_with(|| Open {
                    identity: identity.clone(),
                    pending: vec![Line::Run(self.run.clone())],
                    ..Open::default()
                })
                .bytes = bytes;
        }
    }

    /// Every ledger that was written to or has lines waiting; they go with the last exchange.
    pub fn closing(&self, outcome: impl Fn(&str) -> String) -> Vec<(Book, Identity, Vec<Line>, u64)> {
        let mut books = lock(&self.books);
        books
            .iter_mut()
            .map(|(book, open)| {
                let mut lines = std::mem::take(&mut open.pending);
                let outcome = outcome(super::fleet::target_name(&book.0));
                lines.push(Line::End { run: self.run.id.clone(), outcome });
                (book.clone(), open.identity.clone(), lines, open.bytes)
            })
            .collect()
    }

    /// True if a content holds a secret of this run.
    pub fn is_secret(&self, bytes: &[u8]) -> bool {
        if bytes.len() > 4 * 1024 * 1024 {
            return false;
        }
        let text = String::from_utf8_lossy(bytes);
        self.redactor.clean(&text) != text
    }
}

/// Handlers that nodes owe from earlier runs, by host.
#[derive(Debug, Default)]
pub struct Debts {
    owed: Mutex<HashMap<String, BTreeMap<String, Owed>>>,
    asked: Mutex<BTreeSet<Book>>,
}

impl Debts {
    /// Takes in the lines of a node's ledger that tell of debts.
    pub fn learn(&self, host: &str, text: &str) -> Vec<String> {
        let journal = Journal::parse(text);
        let names = journal.owed.keys().cloned().collect();
        lock(&self.owed).entry(host.to_owned()).or_default().extend(journal.owed);
        names
    }

    /// True the first time: a ledger is asked once.
    pub fn asks(&self, book: &Book) -> bool {
        lock(&self.asked).insert(book.clone())
    }

    pub fn of(&self, host: &str) -> BTreeMap<String, Owed> {
        lock(&self.owed).get(host).cloned().unwrap_or_default()
    }

    pub fn pay(&self, host: &str, handler: &str) {
        if let Some(owed) = lock(&self.owed).get_mut(host) {
            owed.remove(handler);
        }
    }
}
