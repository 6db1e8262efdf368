//! Evaluation of a host's tasks, the graph, diffs.

mod step;

pub use step::{Event, HostSummary, Knowledge, Outcome, Planned, Sink, Status, Step};
