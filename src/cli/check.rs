//! `kdeploy check`.

use clap::Args;

use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::problem::Problems;
use crate::report;
use crate::run::{self, Request};

/// Check playbooks and roles without a host
///
/// Reads everything the playbooks import and include, and lists every problem: unknown names of keywords, modules, arguments,
/// filters, tests, handlers and roles, files that are not there, templates that cannot be read, variables that nothing defines.
/// Exit code: 0 no problem, 1 problems.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Playbooks; kdeploy.toml's by default
    pub playbooks: Vec<String>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl CheckArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let select = SelectOptions::default();
        let request = Request::new("check", &self.playbooks, &self.hosts, &select, &self.output, false);
        let found = run::check(&request)?;
        for warning in &found.warnings {
            terminal::say(&format!("warning: {}", report::plain_problem(warning)));
        }
        if !found.problems.is_empty() {
            return Err(Problems(found.problems));
        }
        terminal::say("no problems");
        Ok(Exit::Done)
    }
}
