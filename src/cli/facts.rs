//! `kdeploy facts`.

use clap::Args;

use super::run::one_task;
use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::problem::Problems;
use crate::report;
use crate::run::{Project, Request};

/// Show the facts of hosts, as JSON
#[derive(Debug, Args)]
pub struct FactsArgs {
    /// Which hosts
    #[arg(default_value = "all")]
    pub pattern: String,
    /// Only facts whose names match, e.g. `ansible_distribution*`
    #[arg(long, value_name = "PATTERN")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl FactsArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let args = self.filter.as_ref().map(|f| format!("filter={f}")).unwrap_or_default();
        let select = SelectOptions::default();
        let mut request = Request::new("facts", &[], &self.hosts, &select, &self.output, false);
        request.inline = Some(one_task(&self.pattern, "setup", &args)?);
        let project = Project::load(&request)?;
        project.require_selection(false)?;
        let (outcome, _) = project.plan();
        project.finish_progress();
        let mut all = serde_json::Map::new();
        for step in &outcome.steps {
            if let Some(facts) = step.result.values.get("ansible_facts") {
                all.insert(step.host.clone(), report::value_json(facts));
            }
        }
        let text = serde_json::to_string_pretty(&all).unwrap_or_default();
        terminal::print(&format!("{}\n", project.redactor.clean(&text)));
        Ok(Exit::of(&outcome))
    }
}
