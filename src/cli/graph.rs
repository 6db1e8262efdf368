//! `kdeploy graph`.

use clap::Args;

use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::PlanGraph;
use crate::problem::{Problem, Problems};
use crate::run::{Project, Request};

/// Draw the plan's graph
#[derive(Debug, Args)]
pub struct GraphArgs {
    pub playbooks: Vec<String>,
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    pub format: String,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl GraphArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        if self.format != "dot" {
            return Err(Problem::unsupported(format!("`graph --format {}`", self.format))
                .help("`dot` is there")
                .into());
        }
        let request = Request::new("graph", &self.playbooks, &self.hosts, &self.select, &self.output, false);
        let project = Project::load(&request)?;
        project.require_selection(self.select.allow_empty)?;
        let (outcome, _) = project.plan();
        project.finish_progress();
        terminal::print(&project.redactor.clean(&PlanGraph::of(&outcome).dot(&outcome.steps)));
        Ok(Exit::of(&outcome))
    }
}
