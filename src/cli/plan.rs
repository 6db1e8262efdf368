//! `kdeploy plan`.

use clap::Args;

use super::planning::{self, PlanningOptions};
use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::PlanGraph;
use crate::problem::Problems;
use crate::report::{self, PlanCounts};
use crate::run::{Project, Request};

/// Show what would change, on which node, and why
///
/// Nothing is changed. Exit code with --detailed-exitcode: 0 nothing to change, 2 changes, 1 error.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Playbooks; kdeploy.toml's by default
    pub playbooks: Vec<String>,
    /// Exit with 2 if something would change
    #[arg(long)]
    pub detailed_exitcode: bool,
    #[command(flatten)]
    pub planning: PlanningOptions,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl PlanArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let started = report::now();
        let request = Request::new("plan", &self.playbooks, &self.hosts, &self.select, &self.output, false);
        let project = Project::load(&request)?;
        if let Some(text) = project.listing(&self.select)? {
            terminal::print(&text);
            return Ok(Exit::Done);
        }
        project.require_selection(self.select.allow_empty)?;
        let made = planning::make(&project, &self.planning)?;
        let outcome = made.outcome;
        project.finish_progress();
        made.notes.iter().for_each(|note| project.warn(note.clone()));
        if let Err(cycle) = PlanGraph::of(&outcome).order() {
            unreachable!("the plan has a cycle through steps {cycle:?}");
        }
        if self.output.output == "json" {
            terminal::print(&project.document("plan", &started, &outcome, true));
            terminal::print("\n");
        } else {
            let text = report::plan_text(&outcome, &project.title("Plan of"), project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
        let exit = Exit::of(&outcome);
        if self.detailed_exitcode {
            return Ok(match (exit, PlanCounts::of(&outcome.steps).changes()) {
                (Exit::Done, 0) => Exit::Done,
                (Exit::Done, _) => Exit::HostFailed,
                _ => Exit::Usage,
            });
        }
        Ok(exit)
    }
}
