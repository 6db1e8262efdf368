//! What the ledger is told of a step before its change happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fleet::target_name;
use super::host::{Driver, Lost};
use super::interpreter::Interpreter;
use super::recording::{Book, Recording};
use super::run::lock;
use super::state::HostState;
use super::step::{Status, Step};
use super::turn::Draft;
use crate::ledger::{self, Line};
use crate::node::holder::Holder;
use crate::node::{Action, Claim, Done, Former, Identity, Lock, Transport};
use crate::resources::{Change, ChangeKind, Conduct, Resource, ResourceType};

/// One step's part of a block of the ledger.
#[derive(Default)]
pub struct Note {
    lines: Vec<Line>,
    paths: Vec<Former>,
    owes: Vec<String>,
    /// Goes between the block and the change.
    pub guard: Option<Action>,
}

impl Note {
    /// The change it tells of, where it is one.
    pub fn change(&self) -> Option<&ledger::Change> {
        self.lines.iter().find_map(|line| match line {
            Line::Change(change) => Some(change),
            _ => None,
        })
    }

    /// Several steps that travel together are noted together.
    pub fn join(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.paths.extend(other.paths);
        self.owes.extend(other.owes);
    }
}

impl Interpreter {
    fn recording(&self) -> Option<&Arc<Recording>> {
        self.run.options.recording.as_ref()
    }

    /// What is to be noted of a change. `st`: as it is before.
    pub fn note(&self, st: &HostState, draft: &Draft, resource: &dyn Resource, change: &Change) -> Option<Note> {
        let recording = self.recording()?;
        let leaves_nothing = |m: &ResourceType| !matches!(m.conduct, Conduct::Declares | Conduct::Runs);
        if change.actions.is_empty() || draft.module.is_some_and(leaves_nothing) {
            return None;
        }
        let secret = draft.no_log || secret_content(recording, change);
        let world = st.worlds.get(&draft.target).and_then(|t| t.worlds.get(&draft.identity.key())).cloned();
        let former = ledger::former(&world.unwrap_or_default(), resource, change, secret);
        let own = target_name(&draft.target) == self.host;
        let owes = if own && !self.planning { self.would_owe(st, draft) } else { vec![] };
        let says_nothing =
            draft.task.changed_when.iter().any(|node| matches!(&node.value, crate::yaml::Yaml::Bool(false)));
        if former.paths.is_empty()
            && former.things.is_empty()
            && owes.is_empty()
            && (former.lost.is_none() || says_nothing)
        {
            return None;
        }
        let clean = |text: &str| recording.redactor.clean(text);
        let id = recording.next_id();
        let paths = former
            .paths
            .iter()
            .enumerate()
            .map(|(place, path)| Former {
                id: format!("{id}#{place}"),
                path: path.clone(),
                secret,
                whole: removes(&change.actions, path),
            })
            .collect();
        let kind = match change.kind {
            ChangeKind::Create => "create",
            ChangeKind::Change => "change",
            ChangeKind::Remove => "remove",
            ChangeKind::Run => "run",
        };
        let line = ledger::Change {
            id,
            run: recording.run.id.clone(),
            playbook: recording.run.playbook.clone(),
            play: self.play.name.clone(),
            role: draft.lineage.roles().first().map(|r| r.role.name.clone()),
            task: clean(&draft.name),
            item: draft.item.as_ref().filter(|_| !draft.no_log).map(|(_, label)| clean(label)),
            action: draft.action.clone(),
            tags: draft.tags.clone(),
            path: draft.task.span.path_line(),
            kind: kind.to_owned(),
            paths: former.paths,
            wrote: former.wrote,
            things: former.things,
            patch: former.patch.filter(|text| clean(text) == *text),
            owes: owes.clone(),
            lost: former.lost,
            back: recording.back,
            secret,
            for_host: (!own).then(|| self.host.clone()),
        };
        Some(Note { lines: vec![Line::Change(line)], paths, owes, guard: None })
    }

    /// The action that writes a note. `None`: there is nothing to write.
    pub fn noting(&self, target: &str, identity: &Identity, note: Option<Note>) -> Vec<Action> {
        let (Some(recording), Some(note)) = (self.recording(), note) else { return vec![] };
        let book: Book = (target.to_owned(), identity.key());
        let mut lines = recording.opening(&book, identity);
        lines.extend(note.lines);
        recording.owe(&book, &note.owes);
        std::iter::once(block(&lines, note.paths)).chain(note.guard).collect()
    }

    /// A handler's step ended well, or had nothing to do: what is owed of it is paid.
    pub fn paid(&self, step: &Step) {
        let well = matches!(step.status, Status::Ok | Status::Changed | Status::Skipped);
        if let Some(recording) = self.recording().filter(|_| step.handler && well && !self.planning) {
            let key = match &step.role {
                Some(role) => format!("{role} : {}", step.task),
                None => step.task.clone(),
            };
            recording.pay(&self.host, &key);
            self.run.debts.pay(&self.host, &key);
        }
    }
}

/// How long another run is waited for, where `--wait-lock` says no more, if it is lost and left a command running (most end by
/// themselves), or if a task is delegated to its node: two runs must not interleave.
const OTHERS_END: Duration = Duration::from_secs(30);

/// The holder of a lock in words, with what a run that is gone still runs.
fn described(other: &Holder, gone: bool) -> String {
    match other.running.first() {
        Some(running) if gone => format!("{}, which has ended but left `{running}` running on the node", other.who),
        _ => other.who.clone(),
    }
}

fn locked(other: &Holder, gone: bool) -> Lost {
    let help = if gone {
        format!(
            "wait for it: --wait-lock SECONDS; or end it on the node, if that does no harm: process {} and what it started",
            other.process
        )
    } else {
        "wait for it, or let kdeploy wait: --wait-lock SECONDS".to_owned()
    };
    Lost {
        unreachable: false,
        message: format!("the node is locked by another run: {}", described(other, gone)),
        help: vec![help],
    }
}

/// Whether a path goes away.
pub fn removes(actions: &[Action], path: &str) -> bool {
    actions.iter().any(|action| matches!(action, Action::Remove { path: gone } if gone.trim_end_matches('/') == path))
}

/// Lines as one block.
pub fn block(lines: &[Line], paths: Vec<Former>) -> Action {
    let text: String = lines.iter().map(Line::text).collect();
    Action::Ledger { lines: Arc::new(text.into_bytes()), paths }
}

/// True if what a change writes holds a secret of the run.
fn secret_content(recording: &Recording, change: &Change) -> bool {
    change.actions.iter().any(|action| match action {
        Action::WriteFile { content: crate::blob::Blob::Bytes(bytes), .. } => recording.is_secret(bytes),
        _ => false,
    }) || change.diff.iter().any(|d| recording.is_secret(d.before.as_bytes()))
}

impl Driver<'_> {
    /// Takes the lock of a node that the run changes, and learns what is owed there. A node that a task was delegated to is waited for a
    /// while: the host's own steps stand half-way by then.
    pub(super) fn take_lock(&mut self, target: &str, identity: &Identity) -> Result<(), Lost> {
        let interpreter = &self.interpreter;
        let Some(recording) = interpreter.recording().cloned() else { return Ok(()) };
        let own = target_name(target) == interpreter.host;
        let conversation = self.fleet.conversation(&interpreter.run, &interpreter.play, target)?;
        let (who, place) = (recording.holder(), crate::node::holder::place());
        let begin = Instant::now();
        let (mut told, mut left): (bool, Option<Holder>) = (false, None);
        let (debts, bytes) = loop {
            let mut node = lock(&conversation);
            // The control machine itself serves many runs.
            if node.kind() == Transport::Local {
                return Ok(());
            }
            match node.lock(identity, Claim { who: &who, place: &place, left: left.as_ref() })? {
                Lock::Ours => {
                    let (debts, bytes) = node.debts();
                    break (debts.to_owned(), bytes);
                }
                Lock::Held(other) if other.who.contains(&format!("(run {},", recording.run.id)) => return Ok(()),
                Lock::Held(other) => {
                    drop(node);
                    let gone = other.is_gone();
                    if gone && left.as_ref().is_none_or(|l| !l.is_same(&other)) {
                        // Asked at once again, with leave to end its shell.
                        left = Some(other);
                        continue;
                    }
                    let wait = if gone || !own { recording.wait.max(OTHERS_END) } else { recording.wait };
                    if begin.elapsed() >= wait {
                        return Err(locked(&other, gone));
                    }
                    if !told {
                        interpreter.run.warn(format!(
                            "{}: waits for the lock of {}",
                            interpreter.host,
                            described(&other, gone)
                        ));
                        told = true;
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
                Lock::Impossible(why) => {
                    interpreter.run.warn(format!("{}: the node cannot be locked: {why}", interpreter.host));
                    return Ok(());
                }
            }
        };
        let book: Book = (target.to_owned(), identity.key());
        recording.size(&book, identity, bytes);
        if !own {
            return Ok(());
        }
        let names = interpreter.run.debts.learn(&interpreter.host, &debts);
        recording.inherit(&book, identity, names);
        Ok(())
    }

    /// What was noted must be known of the actions' outcomes: the note's own is dropped, and told where it failed.
    pub fn without_note(noted: usize, mut dones: Vec<Done>) -> Vec<Done> {
        let own: Vec<Done> = dones.drain(..noted.min(dones.len())).collect();
        match own.into_iter().find(|done| matches!(done, Done::Failed { .. })) {
            Some(failed) => vec![failed],
            None => dones,
        }
    }
}

/// The lines of a ledger that tell what is owed.
pub(super) fn debts_query(dir: &str) -> crate::world::Query {
    let argv = ["grep", "-e", "\"owes\":\\[", "-e", "\"is\":\"paid\"", "--"].map(str::to_owned);
    crate::world::Query::Read { argv: argv.into_iter().chain([format!("{dir}/ledger")]).collect() }
}
