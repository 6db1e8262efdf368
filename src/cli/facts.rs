//! `kdeploy facts`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::run::one_task;
use super::{Exit, terminal};
use crate::config::Settings;
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
    /// Keep facts and answers in this folder, a file a host, for `kdeploy plan --world DIR`
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// With --save: keep what these playbooks ask; kdeploy.toml's by default
    #[arg(long, value_name = "PLAYBOOK", requires = "save")]
    pub playbook: Vec<String>,
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
        if let Some(dir) = &self.save {
            return self.keep(project, dir);
        }
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

    /// Facts, what every world holds, and what the playbooks ask.
    fn keep(&self, project: Project, dir: &Path) -> Result<Exit, Problems> {
        project.fleet().record();
        let (outcome, _) = project.plan();
        let mut exit = Exit::of(&outcome);
        let mut last = project;
        let settings = Settings::load(&std::env::current_dir().unwrap_or_default())?;
        if !self.playbook.is_empty() || settings.playbook().is_some() {
            let mut hosts = self.hosts.clone();
            let pattern = &self.pattern;
            hosts.limit = Some(hosts.limit.map_or_else(|| pattern.clone(), |limit| format!("{limit}:&{pattern}")));
            let select = SelectOptions { allow_empty: true, ..SelectOptions::default() };
            let request = Request::new("facts", &self.playbook, &hosts, &select, &self.output, false);
            let project = Project::load(&request)?.with_fleet_of(last);
            project.plan();
            last = project;
        }
        last.finish_progress();
        let written = last.fleet().write_worlds(dir, &report::now())?;
        if written.is_empty() && exit == Exit::Done {
            exit = Exit::HostFailed;
        }
        for (host, answers) in written {
            terminal::say(&format!("saved: {host}, {answers} answers"));
        }
        Ok(exit)
    }
}
