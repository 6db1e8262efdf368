//! `kdeploy apply`.

use std::io::IsTerminal;

use clap::Args;

use super::planning::{self, Made, PlanningOptions};
use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::Outcome;
use crate::problem::Problems;
use crate::report::{self, PlanCounts};
use crate::run::{Project, Request};

/// Show the plan, ask on a terminal, and carry it out
///
/// Without a terminal it goes ahead, as ansible-playbook does.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Playbooks; kdeploy.toml's by default
    pub playbooks: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Begin at once, without a plan before, as ansible-playbook does
    #[arg(long)]
    pub no_plan: bool,
    /// Change nothing, only foretell
    #[arg(short = 'C', long)]
    pub check: bool,
    #[command(flatten)]
    pub planning: PlanningOptions,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl ApplyArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let started = report::now();
        let json = self.output.output == "json";
        let request = Request::new("apply", &self.playbooks, &self.hosts, &self.select, &self.output, self.check);
        let project = Project::load(&request)?;
        if let Some(text) = project.listing(&self.select)? {
            terminal::print(&text);
            return Ok(Exit::Done);
        }
        project.require_selection(self.select.allow_empty)?;
        terminal::catch_interrupts();
        let limited = self.planning.with_deps || !self.planning.target.is_empty();
        if self.no_plan && !self.check && !limited {
            let outcome = project.apply(None, &terminal::interrupted);
            return Ok(self.finish(&project, &started, &outcome));
        }
        let Made { outcome: plan, states, notes } = planning::make(&project, &self.planning)?;
        project.finish_progress();
        notes.iter().for_each(|note| project.warn(note.clone()));
        let counts = PlanCounts::of(&plan.steps);
        if !json {
            let text = report::plan_text(&plan, &project.title("Plan of"), project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
        if self.check {
            if json {
                terminal::print(&project.document("apply", &started, &plan, true));
                terminal::print("\n");
            }
            return Ok(Exit::of(&plan));
        }
        let invalid = plan.steps.iter().any(|s| s.invalid && !s.ignored && !s.rescued);
        if invalid {
            // What is wrong in the files would stop the run half-way: better not to begin.
            terminal::say("not applied: the plan has errors in the files; nothing was changed");
            if json {
                terminal::print(&project.document("apply", &started, &plan, true));
                terminal::print("\n");
            }
            return Ok(Exit::Usage);
        }
        if terminal::interrupted() {
            return Ok(Exit::Interrupted);
        }
        let asked =
            counts.changes() > 0 && !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if asked && !crate::prompt::confirm("Apply this plan?") {
            terminal::say("nothing was changed");
            return Ok(Exit::Usage);
        }
        // An answer given at a prompt may be minutes old: look again.
        let outcome = project.apply(if asked { None } else { Some(states) }, &terminal::interrupted);
        Ok(self.finish(&project, &started, &outcome))
    }

    /// Shows the outcome; the exit code.
    fn finish(&self, project: &Project, started: &str, outcome: &Outcome) -> Exit {
        project.finish_progress();
        if self.output.output == "json" {
            terminal::print(&project.document("apply", started, outcome, false));
            terminal::print("\n");
        } else {
            let text = report::recap_text(outcome, project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
        if terminal::interrupted() { Exit::Interrupted } else { Exit::of(outcome) }
    }
}
