//! What a host's next step turns out to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lineage::Lineage;
use super::step::{Planned, Step};
use crate::node::Identity;
use crate::playbook::Task;
use crate::problem::Problem;
use crate::resources::{Change, ChangeKind, Resource, TaskResult};
use crate::template::{Context, Unknown};
use crate::world::Query;

/// The outcome of evaluating the current task (or the current item of its loop).
pub enum Turn {
    /// Nothing is left to do on this host in this play.
    End,
    /// Only control flow moved on; nothing to report.
    Quiet,
    /// A step that is over already: entered into the state.
    Done(Box<Step>),
    /// The first round trip to a target as an identity has to come first.
    Hello { target: String, identity: Identity },
    /// These must be answered first. `draft` allows going on speculatively.
    Needs { target: String, identity: Identity, queries: BTreeSet<Query>, draft: Box<Draft> },
    /// Something it depends on is not known (yet).
    Blocked { unknown: Unknown, draft: Box<Draft> },
    /// A change to carry out.
    Act { draft: Box<Draft>, resource: Arc<dyn Resource>, change: Box<Change> },
    /// Nothing is to be changed, but the task is tried until something holds, and it did not yet: look again later. The state counted the try.
    Again { draft: Box<Draft>, ending: Ending },
    /// The engine acts on what the task asks (`meta`): the driver carries it out.
    Engine { draft: Box<Draft>, request: Request },
    /// The files are wrong in a way no host can go on from.
    Broken(Problem),
}

/// What only a driver can do.
#[derive(Debug, Clone)]
pub enum Request {
    ClearFacts,
    RefreshInventory,
    ResetConnection,
    ClearHostErrors,
}

/// A step in the making: the task, and what was evaluated of it.
pub struct Draft {
    pub task: Arc<Task>,
    pub lineage: Arc<Lineage>,
    pub context: Context,
    /// Loop item and its label.
    pub item: Option<(minijinja::Value, String)>,
    pub name: String,
    pub action: String,
    pub tags: Vec<String>,
    pub target: String,
    pub delegated: bool,
    pub identity: Identity,
    pub no_log: bool,
    pub ignore_errors: bool,
    pub check_mode: Option<bool>,
    pub timeout: u64,
    pub handler: bool,
    /// `run_once`: under which key the others look for the result.
    pub once: Option<super::together::OnceKey>,
    pub delegate_facts: bool,
    pub any_errors_fatal: bool,
    pub ignore_unreachable: bool,
    /// `diff`, where the task says it.
    pub diff: Option<bool>,
    /// At most so many hosts at work on it at a time; 0: any.
    pub throttle: usize,
    /// Seconds within which a change must be confirmed; 0: it need not.
    pub confirm: u64,
    /// `async`: the job the step's change became.
    pub background: Option<Arc<crate::resources::background::Background>>,
    /// The module, where the step is one.
    pub module: Option<&'static crate::resources::ResourceType>,
    /// What it rests on and what it makes, as far as it is known.
    pub basis: super::basis::Basis,
}

/// How a step ended or is foretold to end.
#[derive(Debug, Clone)]
pub enum Ending {
    Unchanged(TaskResult),
    Skipped(TaskResult, Option<String>),
    Failed {
        result: TaskResult,
        /// Wrong arguments or an undefined variable: would fail on any node.
        invalid: bool,
    },
    /// A template or condition of the task itself failed: the module never ran, and `changed_when` and `failed_when` have no say.
    Unrendered(TaskResult),
    Unreachable(String),
    /// Carried out.
    Changed(TaskResult, Box<Change>),
    /// Foretold.
    Foretold(Box<Change>),
    /// Waits for something unknown.
    Unknown(Unknown),
    /// A saved plan forbids it: what it rests on changed, or a step it depends on stopped. The host goes on.
    Stopped(String),
}

impl Ending {
    pub fn planned(&self) -> Planned {
        match self {
            Self::Changed(_, change) | Self::Foretold(change) => match change.kind {
                ChangeKind::Create => Planned::Create,
                ChangeKind::Change => Planned::Change,
                ChangeKind::Remove => Planned::Remove,
                ChangeKind::Run => Planned::Run,
            },
            Self::Unknown(_) => Planned::Unknown,
            _ => Planned::None,
        }
    }
}

impl Draft {
    /// The draft of a task that fails before its keywords are evaluated (by a condition, a loop, a keyword). As in Ansible,
    /// `ignore_errors` counts as written then: a template in it is no `false`.
    pub fn before_keywords(mut self) -> Self {
        self.ignore_errors =
            self.lineage.nearest(&self.task, |k| k.ignore_errors.as_ref()).is_some_and(|node| match node.as_str() {
                Some(text) if text.contains("{{") || text.contains("{%") => true,
                _ => self.context.boolean(node).unwrap_or(true),
            });
        self
    }

    /// A step record with everything the draft knows; the ending fills the rest.
    pub fn step(&self, id: usize, host: &str, play: &super::run::PlayRun) -> Step {
        Step {
            id,
            host: host.to_owned(),
            play: play.name.clone(),
            play_index: play.index,
            role: self.lineage.roles().first().map(|r| r.role.name.clone()),
            task: self.name.clone(),
            action: self.action.clone(),
            item: self.item.as_ref().map(|(_, label)| label.clone()),
            tags: self.tags.clone(),
            handler: self.handler,
            no_log: self.no_log,
            delegated_to: self.delegated.then(|| self.target.clone()),
            basis: self.basis.clone(),
            ..Step::at(self.task.span.clone())
        }
    }
}
