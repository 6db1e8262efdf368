//! Drift in short: one line for each step that is not as desired, with when its file was last written.

use std::collections::BTreeMap;

use crate::plan::{Outcome, Planned, Status, Step, Trace, shown_moment};

use super::graph::planned_word;
use super::style::Style;

/// What has drifted, host by host; empty if nothing has.
pub fn drift_text(outcome: &Outcome, style: Style) -> String {
    let mut out = String::new();
    for step in &outcome.steps {
        if !is_drift(step) {
            continue;
        }
        let what = drifted_path(step);
        let what = what.map_or_else(|| step.label(), |path| format!("{path}  ({})", step.label()));
        out.push_str(&format!(
            "{}  {}  {what}{}\n",
            style.bold(&step.host),
            planned_word(step),
            style.dim(&if step.blame.is_empty() { String::new() } else { format!("  {}", step.blame.join(", ")) })
        ));
    }
    out
}

/// Tells every step that is not as desired when that came about and who may have done it.
pub fn blame(outcome: &mut Outcome, traces: &BTreeMap<String, Trace>) {
    for step in outcome.steps.iter_mut().filter(|step| is_drift(step)) {
        step.blame = blame_of(step, traces.get(&step.host));
    }
}

/// A step that is not as desired.
fn is_drift(step: &Step) -> bool {
    match step.status {
        Status::Failed | Status::Unreachable => !step.ignored && !step.rescued,
        _ => step.planned != Planned::None && (step.changed || step.status == Status::Unknown),
    }
}

/// The path a step's difference is about.
fn drifted_path(step: &Step) -> Option<&str> {
    step.diff.iter().map(|d| d.before_header.as_str()).find(|h| h.starts_with('/'))
}

/// What has drifted, by host: the paths to ask the nodes about.
pub fn drifted(outcome: &Outcome) -> BTreeMap<String, Vec<String>> {
    let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in outcome.steps.iter().filter(|s| is_drift(s) && s.delegated_to.is_none()) {
        if let Some(path) = drifted_path(step) {
            paths.entry(step.host.clone()).or_default().push(path.to_owned());
        }
    }
    paths
}

/// When the file was last written, where it is there, and who may have been at it.
fn blame_of(step: &Step, trace: Option<&Trace>) -> Vec<String> {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of this age of the world")]
    let written = step.basis.mtime.filter(|t| t.is_finite()).map(|t| t as i64);
    let mut parts: Vec<String> = written.map(|t| format!("last written {}", shown_moment(t))).into_iter().collect();
    if let (Some(trace), Some(path)) = (trace, drifted_path(step)) {
        parts.extend(trace.blame(path, written));
    }
    // A run that wrote it at that moment was named already.
    if let Some(writer) = step
        .writer
        .as_ref()
        .filter(|w| !parts.iter().any(|part| part.starts_with("by kdeploy: ") && part.ends_with(*w)))
    {
        parts.push(format!("by kdeploy: {writer}"));
    }
    parts
}
