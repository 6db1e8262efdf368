//! What people and programs get to see: terminal, JSON.
//!
//! The last stage. The engine only emits [`crate::plan::Event`]s and an [`crate::plan::Outcome`]; nothing else prints.
//! Results go to standard output, progress and messages to standard error.

mod adhoc;
pub mod ansible;
mod diff;
mod drift;
mod graph;
mod html;
mod json;
mod live;
mod plan;
mod problem;
mod recap;
mod redact;
mod style;

pub use adhoc::{adhoc_json, adhoc_line, adhoc_text};
pub use diff::unified;
pub use drift::{blame, drift_text, drifted};
pub use graph::{dot, escaped, graph_json, mermaid, planned_word, svg, why};
pub use html::{html, markdown};
pub use json::{Document, document, step_json, value_json};
pub use live::Live;
pub use plan::{PlanCounts, plan_text};
pub use problem::{plain_problem, problem_text, problems_text};
pub use recap::recap_text;
pub use redact::{HIDDEN, Redactor};
pub use style::{ColorChoice, Style};

/// The time now in RFC 3339, seconds, UTC.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
