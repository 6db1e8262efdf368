//! A plan on the terminal: what would change, per host and role, with diffs; what is unknown and why.

use crate::plan::{Knowledge, Outcome, Planned, Status, Step};

use super::diff::painted;
use super::style::Style;

/// How many steps of each kind a plan has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanCounts {
    pub create: usize,
    pub change: usize,
    pub remove: usize,
    pub run: usize,
    pub unknown: usize,
    pub none: usize,
    pub skipped: usize,
    pub failed: usize,
    pub unreachable: usize,
    /// How sure the plan is of its steps: from what was observed, from what earlier steps will make, or only after a run.
    pub known: usize,
    pub predicted: usize,
    pub not_known: usize,
}

impl PlanCounts {
    pub fn of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut counts = Self::default();
        for step in steps {
            match step.knowledge {
                Knowledge::Known => counts.known += 1,
                Knowledge::Predicted => counts.predicted += 1,
                Knowledge::Unknown => counts.not_known += 1,
            }
            match (step.status, step.planned) {
                (Status::Failed, _) if !step.ignored && !step.rescued => counts.failed += 1,
                (Status::Unreachable, _) => counts.unreachable += 1,
                (Status::Skipped, _) => counts.skipped += 1,
                (_, Planned::Unknown) => counts.unknown += 1,
                _ if !shows_change(step) => counts.none += 1,
                (_, Planned::Create) => counts.create += 1,
                (_, Planned::Change) => counts.change += 1,
                (_, Planned::Remove) => counts.remove += 1,
                (_, Planned::Run) => counts.run += 1,
                (_, Planned::None) => counts.none += 1,
            }
        }
        counts
    }

    /// Steps that would change something, or may.
    pub fn changes(&self) -> usize {
        self.create + self.change + self.remove + self.run + self.unknown
    }
}

/// True if the step would do something that counts as a change (a command with `changed_when: false` does not).
fn shows_change(step: &Step) -> bool {
    match step.planned {
        Planned::None => false,
        Planned::Unknown => true,
        _ => step.changed || step.status == Status::Unknown,
    }
}

/// The plan as text.
pub fn plan_text(outcome: &Outcome, title: &str, style: Style, verbosity: u8) -> String {
    let mut out = String::new();
    out.push_str(&format!("{}\n", style.bold(title)));
    for host in outcome.hosts.keys() {
        let steps: Vec<&Step> = outcome.steps.iter().filter(|s| &s.host == host).collect();
        let counts = PlanCounts::of(steps.iter().copied());
        out.push('\n');
        if counts.changes() + counts.failed + counts.unreachable == 0 {
            out.push_str(&format!(
                "{}  {}\n",
                style.bold(host),
                style.green(&format!("as desired ({} steps, {} skipped)", counts.none, counts.skipped))
            ));
            if verbosity == 0 {
                continue;
            }
        } else {
            out.push_str(&format!("{}\n", style.bold(host)));
        }
        let mut role: Option<&str> = None;
        for step in steps {
            let quiet = !shows_change(step) && !matches!(step.status, Status::Failed | Status::Unreachable);
            if quiet && verbosity == 0 {
                continue;
            }
            let of = step.role.as_deref().unwrap_or("");
            if role != Some(of) {
                if !of.is_empty() {
                    out.push_str(&format!("  {}\n", style.dim(&format!("role {of}"))));
                }
                role = Some(of);
            }
            out.push_str(&step_text(step, style, verbosity));
        }
    }
    let counts = PlanCounts::of(&outcome.steps);
    out.push('\n');
    out.push_str(&summary(&counts, style));
    if verbosity > 0 {
        for (host, figures) in &outcome.hosts {
            out.push_str(&format!(
                "{}\n",
                style.dim(&format!(
                    "{host}: {} round trips, {} processes, connected in {:.0} ms, planned in {:.0} ms",
                    figures.round_trips, figures.processes, figures.connect_ms, figures.wall_ms
                ))
            ));
        }
    }
    out
}

fn step_text(step: &Step, style: Style, verbosity: u8) -> String {
    let mut name = step.task.clone();
    if let Some(item) = &step.item {
        name.push_str(&format!(" ({})", one_line(item, 60)));
    }
    if let Some(target) = &step.delegated_to {
        name.push_str(&format!(" → {target}"));
    }
    if step.handler {
        name.push_str(" [handler]");
    }
    let mark = match (step.status, step.planned) {
        (Status::Failed, _) if step.ignored => style.yellow("x failed (ignored)"),
        (Status::Failed, _) if step.rescued => style.yellow("x failed (rescued)"),
        (Status::Failed, _) => style.red("x fails  "),
        (Status::Unreachable, _) => style.red("x unreachable"),
        (Status::Skipped, _) => style.cyan("  skipped"),
        (_, Planned::Unknown) => style.magenta("? unknown"),
        _ if !shows_change(step) => style.dim("  ok     "),
        (_, Planned::Create) => style.green("+ create "),
        (_, Planned::Change) => style.yellow("~ change "),
        (_, Planned::Remove) => style.red("- remove "),
        (_, Planned::Run) => style.magenta("! run    "),
        (_, Planned::None) => style.dim("  ok     "),
    };
    let mut out = format!("    {mark} {name}");
    if verbosity > 0 {
        out.push_str(&format!("  {}", style.dim(&step.path)));
    }
    out.push('\n');
    if let Some(because) = &step.because {
        let relevant = verbosity > 0 || !matches!(step.status, Status::Skipped | Status::Ok);
        if relevant {
            for line in because.lines() {
                out.push_str(&format!("              {}\n", style.dim(line)));
            }
        }
    }
    for line in &step.affects {
        out.push_str(&format!("              {}\n", style.yellow(line)));
    }
    if step.no_log {
        if !step.diff.is_empty() {
            out.push_str(&format!("              {}\n", style.dim("(no_log: the difference is hidden)")));
        }
        return out;
    }
    if shows_change(step) {
        for diff in &step.diff {
            out.push_str(&painted(diff, style, "        ", verbosity > 0));
        }
    }
    out
}

fn summary(counts: &PlanCounts, style: Style) -> String {
    let mut parts = vec![];
    for (count, what) in [
        (counts.create, "to create"),
        (counts.change, "to change"),
        (counts.remove, "to remove"),
        (counts.run, "to run"),
        (counts.unknown, "unknown"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let mut text = if parts.is_empty() {
        style.green("Plan: nothing to change")
    } else {
        style.bold(&format!("Plan: {}", parts.join(", ")))
    };
    text.push_str(&format!("; {} as desired, {} skipped", counts.none, counts.skipped));
    if counts.failed > 0 {
        text.push_str(&format!("; {}", style.red(&format!("{} would fail", counts.failed))));
    }
    if counts.unreachable > 0 {
        text.push_str(&format!("; {}", style.red(&format!("{} unreachable", counts.unreachable))));
    }
    text.push('\n');
    if counts.predicted + counts.not_known > 0 {
        text.push_str(&style.dim(&format!(
            "{} known, {} predicted from earlier steps, {} known only after their run or another's",
            counts.known, counts.predicted, counts.not_known
        )));
        text.push('\n');
    }
    text
}

/// The first line, cut to a width in characters.
pub fn one_line(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > width || text.lines().nth(1).is_some() {
        let cut: String = line.chars().take(width.saturating_sub(1)).collect();
        format!("{cut}…")
    } else {
        line.to_owned()
    }
}
