//! Evaluation of a host's tasks, the graph, diffs.
//!
//! Stands between *observe* and *apply*. One [`Interpreter`] serves both: `plan` foretells with it, `apply` carries
//! out. `schedule` orders plays and batches; `host` drives one host; `graph` is the whole as a petgraph.

mod affects;
mod basis;
mod begin;
mod blame;
mod cloud;
mod draft;
mod dynamic;
mod elsewhere;
mod evaluate;
mod explain;
mod fleet;
mod graph;
mod guard;
mod host;
mod include;
mod interpreter;
mod judge;
mod kept;
mod lineage;
mod loops;
mod made_later;
mod magic;
mod module;
mod notify;
mod partial;
mod reach;
mod record;
mod recording;
mod run;
mod saved;
mod schedule;
mod scopes;
mod settle;
mod speculate;
mod state;
mod step;
mod target;
mod together;
mod turn;
mod vars_files;

pub use basis::{Basis, Thing, query_words};
pub use blame::{Trace, shown as shown_moment};
pub use explain::{Watch, explain_offline};
pub use fleet::{Fleet, split_words, target_key, target_name};
pub use graph::{Contradiction, EdgeKind, PlanGraph, contradictions, shown_steps};
pub use guard::{Foretold, Guard, StepKey, step_keys};
pub use host::{Driver, Lost, Wanted, conclude};
pub use interpreter::Interpreter;
pub use kept::FactCache;
pub use magic::ANSIBLE_VERSION;
pub use record::{Note, block, removes};
pub use recording::{Book, Debts, Recording};
pub use run::{PlayRun, Run, RunOptions, lock};
pub use saved::{NodeIdentity, SavedPlan, Saving, key_file, node_identity};
pub use schedule::{Batches, HostWork, in_parallel, play_context, schedule};
pub use state::{End, HostState};
pub use step::{Event, HostSummary, Knowledge, Order, Outcome, Planned, Sink, Status, Step};
pub use target::find_steps;
pub use together::{Place, note_wait, take_waits};
pub use turn::{Draft, Ending, Request, Turn};
