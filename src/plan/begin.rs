//! Where a run begins and what the operator lets through: `--start-at-task`, `--step`.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::interpreter::Interpreter;
use super::lineage::Lineage;
use super::run::lock;
use super::state::{End, HostState};
use super::together::OnceKey;
use crate::playbook::{Action, Task};
use std::sync::Arc;

/// `--start-at-task`: which batch of which play has the task (its address; 0: none yet). Later ones run as a whole.
#[derive(Default)]
pub struct Start {
    reached: AtomicUsize,
}

/// `--step`: what the operator said of each task.
#[derive(Default)]
pub struct Asked {
    answers: Mutex<HashMap<OnceKey, bool>>,
    all: AtomicBool,
}

impl Start {
    /// A walk through the plays begins.
    pub fn reset(&self) {
        self.reached.store(0, Ordering::SeqCst);
    }
}

impl Asked {
    /// Whether the task is to be run; asks once per task.
    fn may_run(&self, key: OnceKey, name: &str) -> bool {
        if self.all.load(Ordering::SeqCst) {
            return true;
        }
        let mut answers = lock(&self.answers);
        if let Some(answer) = answers.get(&key) {
            return *answer;
        }
        let mut err = std::io::stderr();
        drop(write!(err, "Perform task: TASK: {name} (N)o/(y)es/(c)ontinue: "));
        drop(err.flush());
        let mut line = String::new();
        drop(std::io::stdin().read_line(&mut line));
        let answer = match line.trim().to_lowercase().as_str() {
            "y" | "yes" => true,
            "c" | "continue" => {
                self.all.store(true, Ordering::SeqCst);
                true
            }
            _ => false,
        };
        answers.insert(key, answer);
        answer
    }
}

impl Interpreter {
    /// At the start of a play: whether tasks are passed over until the one to start at. A play without it is passed over as a whole.
    pub(super) fn begin_at(&self, st: &mut HostState) {
        st.starting = false;
        let Some(wanted) = &self.run.options.start_at_task else { return };
        let reached = self.run.start.reached.load(Ordering::SeqCst);
        if reached != 0 && reached != Arc::as_ptr(&self.play).addr() {
            return;
        }
        if self.has_task(st, wanted) {
            st.starting = true;
        } else {
            st.frames.clear();
            st.end = End::Done;
        }
    }

    /// Whether a task of the play, as far as files are loaded, has a name.
    pub fn has_task(&self, st: &HostState, wanted: &str) -> bool {
        let mut probe = st.clone();
        while let Some((task, lineage)) = self.current(&mut probe) {
            if self.is_named(st, &task, &lineage, wanted) {
                return true;
            }
            self.advance(&mut probe);
        }
        false
    }

    /// Names of the tasks of a play, for suggestions.
    pub fn task_names(&self, st: &HostState) -> Vec<String> {
        let mut probe = st.clone();
        let mut names = vec![];
        while let Some((task, lineage)) = self.current(&mut probe) {
            names.extend(self.names_of(st, &task, &lineage));
            self.advance(&mut probe);
        }
        names
    }

    fn names_of(&self, st: &HostState, task: &Arc<Task>, lineage: &Arc<Lineage>) -> Vec<String> {
        if task.implicit {
            return vec![];
        }
        let name = match &task.keywords.name {
            Some(node) if node.has_template() => self
                .context(st, Some(task), lineage, vec![])
                .ok()
                .and_then(|c| c.text(node).ok())
                .or_else(|| node.as_str().map(str::to_owned)),
            Some(node) => node.as_str().map(str::to_owned),
            None => None,
        };
        let name = name.unwrap_or_else(|| task.written.clone());
        let role = lineage.roles().first().map(|r| format!("{} : {name}", r.role.name));
        std::iter::once(name).chain(role).collect()
    }

    fn is_named(&self, st: &HostState, task: &Arc<Task>, lineage: &Arc<Lineage>, wanted: &str) -> bool {
        self.names_of(st, task, lineage)
            .iter()
            .any(|name| name == wanted || crate::template::filters::paths::fnmatch(wanted, name))
    }

    /// Whether the current task is passed over because the run starts later.
    pub(super) fn is_before_start(&self, st: &mut HostState, task: &Arc<Task>, lineage: &Arc<Lineage>) -> bool {
        if !st.starting {
            return false;
        }
        let Some(wanted) = &self.run.options.start_at_task else { return false };
        if self.is_named(st, task, lineage, wanted) {
            st.starting = false;
            self.run.start.reached.store(Arc::as_ptr(&self.play).addr(), Ordering::SeqCst);
            return false;
        }
        // Facts are gathered all the same.
        !(task.implicit && task.keywords.name_text() == Some("Gathering Facts"))
    }

    /// `--step`: whether the operator passes the task over.
    pub(super) fn is_declined(&self, st: &HostState, task: &Arc<Task>, lineage: &Arc<Lineage>) -> bool {
        let Some(asked) = &self.run.asked else { return false };
        if self.planning || matches!(task.action, Action::Meta(_)) {
            return false;
        }
        let names = self.names_of(st, task, lineage);
        let name = names.last().cloned().or_else(|| task.keywords.name_text().map(str::to_owned));
        !asked.may_run(super::evaluate::once_key(st, task), &name.unwrap_or_default())
    }
}
