//! `kdeploy graph`.

use clap::Args;

use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::{PlanGraph, find_steps};
use crate::problem::Problems;
use crate::report;
use crate::run::{Project, Request};

/// Draw the plan's graph
///
/// Shows the steps that would do something, and why one waits for another: playbook order, a notification, or something it needs (a path,
/// an account, a unit, a package, a variable). JSON has all steps and edges.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Playbooks; kdeploy.toml's by default
    pub playbooks: Vec<String>,
    /// dot (Graphviz), mermaid, json or svg
    #[arg(long, value_name = "FORMAT", default_value = "dot", value_parser = ["dot", "mermaid", "json", "svg"])]
    pub format: String,
    /// Why a step waits or runs: a task's name, a path, a unit
    #[arg(long, value_name = "STEP")]
    pub why: Option<String>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl GraphArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let request = Request::new("graph", &self.playbooks, &self.hosts, &self.select, &self.output, false);
        let project = Project::load(&request)?;
        project.require_selection(self.select.allow_empty)?;
        let (outcome, _) = project.plan();
        project.finish_progress();
        let graph = PlanGraph::of(&outcome);
        let text = match &self.why {
            Some(step) => report::why(&outcome, &graph, &find_steps(&outcome.steps, step)?),
            None => match self.format.as_str() {
                "mermaid" => report::mermaid(&outcome, &graph),
                "json" => {
                    let json = report::graph_json(&outcome, &graph);
                    format!("{}\n", serde_json::to_string_pretty(&json).unwrap_or_default())
                }
                "svg" => report::svg(&outcome, &graph),
                _ => report::dot(&outcome, &graph),
            },
        };
        terminal::print(&project.redactor.clean(&text));
        Ok(Exit::of(&outcome))
    }
}
