//! Drift in short: one line for each step that is not as desired, with when its file was last written.

use crate::plan::{Outcome, Planned, Status, Step};

use super::graph::planned_word;
use super::style::Style;

/// What has drifted, host by host; empty if nothing has.
pub fn drift_text(outcome: &Outcome, style: Style) -> String {
    let mut out = String::new();
    for step in &outcome.steps {
        let loud = match step.status {
            Status::Failed | Status::Unreachable => !step.ignored && !step.rescued,
            _ => step.planned != Planned::None && (step.changed || step.status == Status::Unknown),
        };
        if !loud {
            continue;
        }
        let what = step.diff.iter().map(|d| d.before_header.as_str()).find(|h| h.starts_with('/'));
        let what = what.map_or_else(|| step.label(), |path| format!("{path}  ({})", step.label()));
        out.push_str(&format!(
            "{}  {}  {what}{}\n",
            style.bold(&step.host),
            planned_word(step),
            style.dim(&blame(step))
        ));
    }
    out
}

/// When the file was last written, where it is there.
fn blame(step: &Step) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of this age of the world")]
    let time = step.basis.mtime.filter(|t| t.is_finite()).and_then(|t| jiff::Timestamp::from_second(t as i64).ok());
    time.map(|t| format!("  last written {}", t.strftime("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default()
}
