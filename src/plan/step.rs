//! A step: one host × one task × one loop item, as it was planned or as it ended.

use std::cmp::Ordering;

use serde::Serialize;

use crate::resources::{Diff, TaskResult};
use crate::source::Span;
use crate::template::Unknown;

/// What the plan says a step will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Planned {
    Create,
    Change,
    Remove,
    /// Something runs whose effect is not known before (a command, a handler's restart).
    Run,
    None,
    Unknown,
}

/// How a step ended (or, in a plan, what is foretold).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Changed,
    Failed,
    Skipped,
    Unreachable,
    /// Only in a plan.
    Unknown,
}

/// How sure a planned step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Knowledge {
    /// From what was observed or given.
    Known,
    /// An earlier planned step makes it so.
    Predicted,
    /// Waits for something that only running can tell.
    Unknown,
}

/// One step. `planned` is set in plans and stays beside the outcome after an apply.
#[derive(Debug, Clone)]
pub struct Step {
    /// Position in the run: unique, in the order steps were reached on their host.
    pub id: usize,
    pub host: String,
    pub play: String,
    /// 0-based index of the play in the playbook.
    pub play_index: usize,
    pub role: Option<String>,
    /// The task's rendered name (without the role), or the module's name if it has none.
    pub task: String,
    /// The module as written (`ansible.builtin.copy`).
    pub action: String,
    /// The loop item's label, of a step of a loop.
    pub item: Option<String>,
    pub tags: Vec<String>,
    /// `roles/x/tasks/main.yml:12`.
    pub path: String,
    pub status: Status,
    pub planned: Planned,
    pub knowledge: Knowledge,
    pub changed: bool,
    pub diff: Vec<Diff>,
    pub result: TaskResult,
    /// Why it was skipped, is unknown, failed …
    pub because: Option<String>,
    pub unknown: Option<Unknown>,
    /// Failed, but `ignore_errors` or a rescue goes on.
    pub ignored: bool,
    pub rescued: bool,
    pub handler: bool,
    pub no_log: bool,
    /// Milliseconds from sending to the end; 0 in a plan.
    pub ms: f64,
    /// The task runs on another host.
    pub delegated_to: Option<String>,
    /// Names of what it notifies, when it changed.
    pub notifies: Vec<String>,
    /// 0-based batch of the play (`serial`).
    pub batch: usize,
    /// What it rests on and what it makes.
    pub basis: super::basis::Basis,
    /// Milliseconds from the start of the run to when its actions were sent; 0 in a plan.
    pub begin: f64,
    /// A saved plan was in the way: what the step rests on changed since, or a step it depends on stopped.
    pub stopped: bool,
    /// Failed for a reason in the files (wrong argument, undefined variable): it would fail on any node.
    pub invalid: bool,
    /// Where the task stands in the play: orders steps of all hosts as a linear run would come to them.
    pub order: Order,
    /// Where the task is written.
    pub span: Span,
    /// The file or role that an include brings in.
    pub included: Option<std::path::PathBuf>,
    /// The run that wrote it last, by the node's ledger, in words. Only where drift is looked for.
    pub writer: Option<String>,
    /// When what it is about was last written, and by whom as far as the node can tell. Only where drift is looked for.
    pub blame: Vec<String>,
    /// The task says itself whether its difference is shown (`diff`).
    pub diff_asked: Option<bool>,
    /// What it interrupts besides, in words: units that restart with a unit, the node.
    pub affects: Vec<String>,
    /// What the host waited for before it, and for how many milliseconds.
    pub waited: Vec<(String, f64)>,
}

impl Step {
    /// A step of which nothing is known but where its task is written: nothing planned, nothing done.
    pub fn at(span: Span) -> Self {
        Self {
            id: 0,
            host: String::new(),
            play: String::new(),
            play_index: 0,
            role: None,
            task: String::new(),
            action: String::new(),
            item: None,
            tags: vec![],
            path: span.path_line(),
            status: Status::Ok,
            planned: Planned::None,
            knowledge: Knowledge::Known,
            changed: false,
            diff: vec![],
            result: TaskResult::default(),
            because: None,
            unknown: None,
            ignored: false,
            rescued: false,
            handler: false,
            no_log: false,
            ms: 0.0,
            delegated_to: None,
            notifies: vec![],
            batch: 0,
            basis: super::basis::Basis::default(),
            begin: 0.0,
            stopped: false,
            invalid: false,
            order: Order::default(),
            span,
            included: None,
            writer: None,
            blame: vec![],
            diff_asked: None,
            affects: vec![],
            waited: vec![],
        }
    }
}

/// A task's place in the play's order, comparable across hosts: how far each open list of tasks has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order(pub Vec<usize>);

impl Ord for Order {
    /// Lists are a stack over what comes later: where one path continues the other, the longer one is still inside and earlier.
    fn cmp(&self, other: &Self) -> Ordering {
        let differs = self.0.iter().zip(&other.0).map(|(a, b)| a.cmp(b)).find(|o| o.is_ne());
        differs.unwrap_or_else(|| other.0.len().cmp(&self.0.len()))
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Step {
    /// `role : task`, as Ansible prints it, with the loop item.
    pub fn label(&self) -> String {
        let mut text = match &self.role {
            Some(role) => format!("{role} : {}", self.task),
            None => self.task.clone(),
        };
        if let Some(item) = &self.item {
            text.push_str(&format!(" ({item})"));
        }
        text
    }
}

/// What happens during a run, in order; the engine tells, only report/ prints.
#[derive(Debug, Clone)]
pub enum Event {
    /// A play begins with these hosts.
    Play {
        index: usize,
        name: String,
        hosts: Vec<String>,
    },
    /// A host is being connected to or asked.
    Observing {
        host: String,
    },
    /// A host has come this far: what it still reports of the play stands there or later.
    Reached {
        host: String,
        order: Order,
    },
    /// A try of a step failed; it is tried again.
    Retry {
        step: Box<Step>,
        left: i64,
        attempt: i64,
    },
    /// A step's actions were sent.
    Started(Box<Step>),
    Ended(Box<Step>),
    /// A step of a plan that is made: nothing ran.
    Planned(Box<Step>),
    /// The node was lost or never reached.
    Unreachable {
        host: String,
        message: String,
        help: Vec<String>,
    },
    /// The run ends before its last play or batch.
    Stopped {
        why: String,
        /// More failed than `max_fail_percentage` allows.
        too_many: bool,
    },
    /// The whole run ends: the files are wrong in a way that no host can go on from.
    Aborted(crate::problem::Problem),
    Warning(String),
    Deprecation(String),
    /// One host has nothing left to do.
    HostDone {
        host: String,
    },
}

/// Takes events; called from many threads.
pub trait Sink: Send + Sync {
    fn event(&self, event: &Event);

    /// Nothing more comes: whatever is held back or moving on the terminal ends.
    fn finish(&self) {}
}

/// Figures of one host after a run or a plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HostSummary {
    pub ok: usize,
    pub changed: usize,
    pub unreachable: usize,
    pub failed: usize,
    pub skipped: usize,
    pub rescued: usize,
    pub ignored: usize,
    pub round_trips: u64,
    pub connect_ms: f64,
    pub wall_ms: f64,
    /// Failures that `meta: clear_host_errors` took back: they do not make the run fail.
    #[serde(skip)]
    pub forgiven: usize,
    /// Processes started on the node.
    pub processes: u64,
}

/// The end of a plan or a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// In the order of the inventory's selection.
    pub hosts: indexmap::IndexMap<String, HostSummary>,
    pub steps: Vec<Step>,
    /// The run ended before its time: an error in the files that no host could go on from.
    pub aborted: bool,
}

impl Step {
    /// A step whose message is its purpose: `debug`, `fail`, `assert`, `pause`.
    pub fn speaks(&self) -> bool {
        matches!(self.action.rsplit('.').next(), Some("debug")) && self.status == Status::Ok
    }

    /// What a speaking step says.
    pub fn message(&self) -> Option<String> {
        if let Some(msg) = self.result.values.get("msg") {
            return Some(crate::resources::text_of(msg));
        }
        self.result.values.iter().find(|(k, _)| !k.starts_with('_')).map(|(k, v)| format!("{k}: {v}"))
    }
}
