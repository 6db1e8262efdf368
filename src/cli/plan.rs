//! `kdeploy plan`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::planning::{self, PlanningOptions};
use super::{Exit, terminal};
use crate::apply::Removal;
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::{Event, Outcome, PlanGraph, SavedPlan, Saving, StepKey, key_file};
use crate::problem::{Problem, Problems};
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
    /// Only what is not as desired, a line each, with when it was last written
    #[arg(long)]
    pub drift_only: bool,
    /// Save the plan, for `kdeploy apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Plan without any node, from the worlds that `kdeploy facts --save DIR` keeps
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub world: Option<PathBuf>,
    /// A file (0600, made if it is not there) whose key encrypts the extra variables of a saved plan
    #[arg(long, value_name = "FILE", requires = "out")]
    pub plan_key: Option<PathBuf>,
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
        planning::require(&project, &self.planning, &self.select)?;
        if let Some(dir) = &self.world {
            project.fleet().use_worlds(dir);
        }
        if self.out.is_some() {
            project.run.keep_basis();
        }
        let made = planning::make(&project, &self.planning)?;
        let mut outcome = made.outcome;
        let removals = self.planning.prune.then(|| planning::prune(&project, &mut outcome).removals());
        project.finish_progress();
        made.notes.iter().for_each(|note| project.warn(note.clone()));
        if let Err(cycle) = PlanGraph::of(&outcome).order() {
            unreachable!("the plan has a cycle through steps {cycle:?}");
        }
        if self.output.events.is_some() {
            outcome.steps.iter().for_each(|step| project.run.sink.event(&Event::Planned(Box::new(step.clone()))));
        }
        if let Some(path) = &self.out {
            self.save(path, &project, &started, &outcome, (made.left_out, removals))?;
        }
        if self.drift_only || self.planning.report.is_some() {
            planning::blame(&project, &mut outcome);
            project.finish_progress();
        }
        if let Some(path) = &self.planning.report {
            planning::report(path, &project, "plan", &started, &outcome, true)?;
        }
        if self.output.output == "json" {
            terminal::print(&project.document("plan", &started, &outcome, true));
            terminal::print("\n");
        } else if self.drift_only {
            terminal::print(&project.redactor.clean(&report::drift_text(&outcome, project.style)));
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

impl PlanArgs {
    fn save(
        &self,
        path: &Path,
        project: &Project,
        started: &str,
        outcome: &Outcome,
        (left_out, removals): (Vec<StepKey>, Option<Vec<Removal>>),
    ) -> Result<(), Problems> {
        if let Some(host) = outcome.hosts.iter().find(|(_, h)| h.failed + h.unreachable > 0) {
            return Err(
                Problem::new("not-saved", format!("the plan is not saved: host `{}` fails in it", host.0)).into()
            );
        }
        let plain = report::Style::default();
        let clean = |text: String| project.redactor.clean(&text);
        let key = match &self.plan_key {
            Some(file) => key_file(file, true)?,
            None => planning::vault_key(&self.hosts.vault)?,
        };
        let document = project.document("plan", started, outcome, true);
        let mut select = self.select.clone();
        if self.planning.with_deps {
            // What is left out is said step by step.
            select.tags.clear();
        }
        let saving = Saving {
            playbooks: &self.playbooks,
            hosts: &self.hosts,
            select: &select,
            prompted: &crate::prompt::kept(&project.prompted),
            nodes: project.node_identities(),
            left_out,
            removals,
            key: Some(&key),
            created: started.to_owned(),
            text: clean(report::plan_text(outcome, &project.title("Plan of"), plain, 0)),
            document: serde_json::from_str(&document).unwrap_or_default(),
            graph: clean(report::svg(outcome, &PlanGraph::of(outcome))),
        };
        SavedPlan::new(outcome, saving)?.write(path)?;
        terminal::say(&format!("saved: kdeploy apply {}", path.display()));
        Ok(())
    }
}
