//! The end of a run: figures per host, and what failed.

use crate::plan::{Outcome, Status};

use super::style::Style;

/// Failures again, then one line per host.
pub fn recap_text(outcome: &Outcome, style: Style, verbosity: u8) -> String {
    let mut out = String::new();
    let failed: Vec<_> = outcome
        .steps
        .iter()
        .filter(|s| matches!(s.status, Status::Failed | Status::Unreachable) && !s.ignored && !s.rescued)
        .collect();
    if !failed.is_empty() {
        out.push_str(&format!("\n{}\n", style.bold("Failed")));
        for step in failed {
            out.push_str(&format!("  {}  {}  {}\n", style.red(&step.host), step.label(), style.dim(&step.path)));
            if step.no_log {
                out.push_str("      (no_log: the result is hidden)\n");
                continue;
            }
            for line in step.because.as_deref().unwrap_or("").lines() {
                out.push_str(&format!("      {line}\n"));
            }
            for key in ["cmd", "rc", "stderr", "stdout"] {
                let Some(value) = step.result.values.get(key) else { continue };
                let text = crate::resources::text_of(value);
                if text.is_empty() {
                    continue;
                }
                // The end of an output tells most.
                let lines: Vec<&str> = text.lines().collect();
                let shown = lines.len().saturating_sub(if verbosity > 0 { usize::MAX } else { 10 });
                for (index, line) in lines[shown.min(lines.len())..].iter().enumerate() {
                    let label = if index == 0 { format!("{key}: ") } else { " ".repeat(key.len() + 2) };
                    out.push_str(&format!("      {}{line}\n", style.dim(&label)));
                }
            }
        }
    }
    out.push_str(&format!("\n{}\n", style.bold("Recap")));
    let width = outcome.hosts.keys().map(|h| h.chars().count()).max().unwrap_or(0);
    for (host, f) in &outcome.hosts {
        let name = format!("{host:width$}");
        let name = if f.failed + f.unreachable > 0 {
            style.red(&name)
        } else if f.changed > 0 {
            style.yellow(&name)
        } else {
            style.green(&name)
        };
        out.push_str(&format!("  {name}  ok={} changed={} failed={} skipped={}", f.ok, f.changed, f.failed, f.skipped));
        for (count, what) in [(f.unreachable, "unreachable"), (f.rescued, "rescued"), (f.ignored, "ignored")] {
            if count > 0 {
                out.push_str(&format!(" {what}={count}"));
            }
        }
        out.push_str(&format!("  {:.1} s", f.wall_ms / 1000.0));
        if verbosity > 0 {
            out.push_str(&format!(
                " ({} round trips, {} processes, connected in {:.0} ms)",
                f.round_trips, f.processes, f.connect_ms
            ));
        }
        out.push('\n');
    }
    out
}
