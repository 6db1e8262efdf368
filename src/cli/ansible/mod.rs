//! The program under Ansible's names: `ansible-playbook`, `ansible`, `ansible-inventory`, `ansible-vault`.
//!
//! A link of that name takes that command's line, and answers with its output and exit codes.

mod adhoc;
mod failure;
mod inventory;
mod playbook;
mod vault;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser};

use crate::config::Settings;
use crate::plan::{Event, Outcome, Sink};
use crate::report::ansible::{Callback, Options, Reporter, screen};

use failure::{Failure, code};

/// The command that the program was called as, if it is one of Ansible's.
pub fn called_as(program: &OsString) -> Option<Command> {
    match Path::new(program).file_name()?.to_str()? {
        "ansible-playbook" => Some(Command::Playbook),
        "ansible" => Some(Command::AdHoc),
        "ansible-inventory" => Some(Command::Inventory),
        "ansible-vault" => Some(Command::Vault),
        _ => None,
    }
}

/// Ansible's commands that kdeploy can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Playbook,
    AdHoc,
    Inventory,
    Vault,
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Self::Playbook => "ansible-playbook",
            Self::AdHoc => "ansible",
            Self::Inventory => "ansible-inventory",
            Self::Vault => "ansible-vault",
        }
    }

    /// Runs with the process's arguments.
    pub fn main(self, args: Vec<OsString>) -> ExitCode {
        let result = match self {
            Self::Playbook => with_args(self, args, playbook::PlaybookArgs::run),
            Self::AdHoc => with_args(self, args, adhoc::AdHocArgs::run),
            Self::Inventory => with_args(self, args, inventory::InventoryArgs::run),
            Self::Vault => with_args(self, args, vault::VaultArgs::run),
        };
        match result {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                failure.show();
                ExitCode::from(failure.code)
            }
        }
    }
}

fn with_args<A: Parser>(
    command: Command,
    args: Vec<OsString>,
    run: impl Fn(A) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    if args.iter().skip(1).any(|a| a == "--version") {
        super::terminal::print(&version(command));
        return Ok(0);
    }
    match A::try_parse_from(args) {
        Ok(parsed) => run(parsed),
        Err(error) => {
            let wrong = error.use_stderr();
            drop(error.print());
            Ok(if wrong { code::USAGE } else { 0 })
        }
    }
}

/// What `--version` prints: drivers read the first line.
fn version(command: Command) -> String {
    let settings = Settings::load(&std::env::current_dir().unwrap_or_default()).unwrap_or_default();
    let config = settings.ansible_cfg().map_or_else(|| "None".to_owned(), |p| p.display().to_string());
    let program = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_default();
    format!(
        "{} [core {}]\n  config file = {config}\n  executable location = {program}\n  kdeploy version = {}\n",
        command.name(),
        crate::plan::ANSIBLE_VERSION.0,
        env!("CARGO_PKG_VERSION"),
    )
}

/// Options of ansible-playbook and ansible that have no counterpart among kdeploy's own.
#[derive(Debug, Clone, Default, Args)]
pub struct ForeignOptions {
    /// Where Python modules are looked for; kdeploy has its own and ignores it
    #[arg(short = 'M', long, value_name = "PATH")]
    pub module_path: Vec<String>,
    /// Ignored: files do not travel by sftp
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub sftp_extra_args: Option<String>,
    /// Ignored: files do not travel by scp
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub scp_extra_args: Option<String>,
    /// Forget kept facts
    #[arg(long)]
    pub flush_cache: bool,
    /// More detail; again for more
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show differences
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Change nothing, only foretell
    #[arg(short = 'C', long)]
    pub check: bool,
}

impl ForeignOptions {
    fn output(&self) -> crate::options::OutputOptions {
        crate::options::OutputOptions {
            verbose: self.verbose,
            diff: self.diff,
            output: "text".to_owned(),
            ..crate::options::OutputOptions::default()
        }
    }

    /// Options as the settings and the command line say.
    fn report(&self, settings: &Settings) -> Options {
        let mut options = Options::new(settings, self.verbose);
        options.diff |= self.diff;
        options.check = self.check;
        options
    }
}

fn settings() -> Result<Settings, Failure> {
    Ok(Settings::load(&std::env::current_dir().unwrap_or_default())?)
}

/// A reporter in a callback's form that says once what is ignored.
fn reporter(
    callback: Callback,
    options: Options,
    settings: &Settings,
    redactor: &crate::report::Redactor,
) -> Arc<Reporter> {
    let reporter = Reporter::new(callback, options, screen(settings, redactor));
    for note in ignored_plugins(settings) {
        reporter.event(&Event::Warning(note));
    }
    reporter
}

/// Settings that name plugins written in Python.
fn ignored_plugins(settings: &Settings) -> Vec<String> {
    let plugin = |text: &str| {
        let text = text.to_lowercase();
        text.contains("callbacks_enabled") || text.contains("callback_whitelist") || text.contains("_plugins")
    };
    settings.notes.iter().filter(|n| plugin(&n.message)).map(|n| n.message.clone()).collect()
}

/// The exit code by what became of the hosts: a lost one outweighs a failed one.
fn exit_code(outcome: &Outcome) -> u8 {
    if super::terminal::interrupted() {
        code::INTERRUPTED
    } else if outcome.aborted {
        code::ERROR
    } else if outcome.hosts.values().any(|h| h.unreachable > h.forgiven) {
        code::UNREACHABLE
    } else if outcome.hosts.values().any(|h| h.failed > h.forgiven) {
        code::HOST_FAILED
    } else {
        0
    }
}
