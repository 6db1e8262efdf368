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
/// filters, tests, handlers, roles and tags, files that are not there, templates that cannot be read, variables that nothing
/// defines. What lies in the repository and no play reaches (roles, task files, templates) is read too. A file encrypted with
/// vault whose password is not given is told, and left out.
/// Exit code: 0 no problem, 1 problems.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Playbooks; by default kdeploy.toml's, and all in its folder and in playbooks/
    pub playbooks: Vec<String>,
    /// Check that these tags exist
    #[arg(short, long, value_name = "TAGS")]
    pub tags: Vec<String>,
    /// Check that these tags exist
    #[arg(long, value_name = "TAGS")]
    pub skip_tags: Vec<String>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl CheckArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let select = SelectOptions { tags: self.tags, skip_tags: self.skip_tags, ..SelectOptions::default() };
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
