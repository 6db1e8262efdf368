//! `ansible`: one module on a pattern.

use std::path::PathBuf;

use clap::Parser;

use super::super::run::{AdHoc, list_hosts};
use super::super::terminal;
use super::failure::{Failure, code};
use super::{ForeignOptions, exit_code, reporter};
use crate::options::{HostOptions, SelectOptions};
use crate::plan::Sink;
use crate::report::Redactor;
use crate::report::ansible::Callback;
use crate::run::{Project, Request};

/// Define and run a single task 'playbook' against a set of hosts
#[derive(Debug, Parser)]
#[command(name = "ansible", disable_version_flag = true)]
pub struct AdHocArgs {
    /// Host pattern
    pattern: String,
    #[command(flatten)]
    adhoc: AdHoc,
    /// Condense output
    #[arg(short, long)]
    one_line: bool,
    /// Log output to this directory
    #[arg(short, long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Outputs a list of matching hosts; does not execute anything else
    #[arg(long)]
    list_hosts: bool,
    /// Where group_vars and roles are looked for
    #[arg(long, value_name = "DIR")]
    playbook_dir: Option<PathBuf>,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    foreign: ForeignOptions,
    /// Print the program's version
    #[arg(long)]
    version: bool,
}

impl AdHocArgs {
    pub fn run(mut self) -> Result<u8, Failure> {
        self.adhoc = self.adhoc.or_default_module()?;
        let module = self.adhoc.module_name.as_str();
        let short = module.rsplit('.').next().unwrap_or(module);
        if matches!(short, "command" | "shell" | "script" | "raw" | "win_command" | "win_shell")
            && self.adhoc.args.trim().is_empty()
            && !self.list_hosts
        {
            return Err(Failure::options(format!("No argument passed to {module} module")));
        }
        let select = SelectOptions::default();
        let output = self.foreign.output();
        let mut request = Request::new("ansible", &[], &self.hosts, &select, &output, self.foreign.check);
        request.playbook_dir.clone_from(&self.playbook_dir);
        let mut unknown = None;
        request.inline = Some(match (self.list_hosts, self.adhoc.playbook(&self.pattern)) {
            (false, Ok(playbook)) => playbook,
            (false, Err(problems)) if problems.0.iter().any(|p| p.code == "unknown-module") => {
                // Every host says it.
                unknown = Some(problems);
                AdHoc::default().playbook(&self.pattern)?
            }
            (false, Err(problems)) => return Err(Failure { code: code::HOST_FAILED, problems }),
            (true, _) => AdHoc::default().playbook(&self.pattern)?,
        });
        let callback = if self.one_line { Callback::Oneline } else { Callback::Minimal };
        let report = std::cell::OnceCell::new();
        let make = |settings: &crate::config::Settings, redactor: &Redactor| {
            let mut options = self.foreign.report(settings);
            options.tree.clone_from(&self.tree);
            options.adhoc = Some(self.adhoc.python_text());
            let made = report.get_or_init(|| reporter(callback, options, settings, redactor));
            made.clone() as std::sync::Arc<dyn Sink>
        };
        request.reporter = Some(&make);
        let project = Project::load(&request).map_err(super::playbook::limited)?;
        let hosts = list_hosts(&project);
        if hosts.is_empty() {
            terminal::say("[WARNING]: No hosts matched, nothing to do");
        }
        if self.list_hosts {
            let lines: String = hosts.iter().map(|h| format!("    {h}\n")).collect();
            terminal::print(&format!("  hosts ({}):\n{lines}", hosts.len()));
            return Ok(0);
        }
        if hosts.is_empty() {
            return Ok(0);
        }
        if let Some(problems) = unknown {
            let message = format!("Task failed: Cannot resolve '{module}' to an action or module.");
            let failure = Failure { code: code::HOST_FAILED, problems };
            failure.show();
            for host in hosts {
                terminal::print(&format!(
                    "{host} | FAILED! => {{\n    \"changed\": false,\n    \"msg\": {}\n}}\n",
                    serde_json::Value::from(message.as_str())
                ));
            }
            return Ok(code::HOST_FAILED);
        }
        terminal::catch_interrupts();
        let outcome = project.apply(None, &terminal::interrupted);
        project.finish_progress();
        Ok(exit_code(&outcome))
    }
}
