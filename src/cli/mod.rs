//! The command line: one file per subcommand. Arguments in, exit code out; nothing else happens here.

mod ansible;
mod apply;
mod check;
mod completions;
mod destroy;
mod doc;
mod exit;
mod explain;
mod facts;
mod graph;
mod history;
mod init;
mod inventory;
mod plan;
mod planning;
mod run;
mod show;
mod terminal;
mod vault;

use std::process::{ExitCode, Termination};

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// Brings Kubernetes workers to the state their playbooks describe.
///
/// Reads Ansible's inventories, playbooks and roles; shows what it would change; changes it over SSH, with nothing on the
/// node but sshd and a shell.
#[derive(Debug, Parser)]
#[command(name = "kdeploy", version, about, long_about, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what would change, on which node, and why
    Plan(plan::PlanArgs),
    /// Show the plan, ask on a terminal, and carry it out
    Apply(apply::ApplyArgs),
    /// Take back what roles made on nodes
    Destroy(destroy::DestroyArgs),
    /// Take back what one run changed
    Undo(destroy::UndoArgs),
    /// List runs: who, when, from where, what, and how they ended
    History(history::HistoryArgs),
    /// Run one module on hosts
    Run(run::RunArgs),
    /// Show the facts of hosts
    Facts(facts::FactsArgs),
    /// Show the inventory
    Inventory(inventory::InventoryArgs),
    /// Check playbooks and roles without a host
    Check(check::CheckArgs),
    /// Tell where a variable comes from, or why a task runs
    Explain(explain::ExplainArgs),
    /// Draw the plan's graph
    Graph(graph::GraphArgs),
    /// Show a saved plan, or a run of the history
    Show(show::ShowArgs),
    /// Encrypt and decrypt files and values
    Vault(vault::VaultArgs),
    /// Show the manual of a resource
    Doc(doc::DocArgs),
    /// Make the files of a new repository
    Init(init::InitArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs the program with the arguments it was called with.
pub fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(command) = args.first().and_then(ansible::called_as) {
        return command.main(args);
    }
    own().report()
}

fn own() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            drop(error.print());
            return exit;
        }
    };
    let result = match cli.command {
        Command::Plan(args) => args.run(),
        Command::Apply(args) => args.run(),
        Command::Destroy(args) => args.run(),
        Command::Undo(args) => args.run(),
        Command::History(args) => args.run(),
        Command::Run(args) => args.run(),
        Command::Facts(args) => args.run(),
        Command::Inventory(args) => args.run(),
        Command::Check(args) => args.run(),
        Command::Explain(args) => args.run(),
        Command::Graph(args) => args.run(),
        Command::Show(args) => args.run(),
        Command::Vault(args) => args.run(),
        Command::Doc(args) => args.run(),
        Command::Init(args) => args.run(),
        Command::Completions(args) => args.run(),
    };
    match result {
        Ok(exit) => exit,
        Err(problems) => {
            terminal::show_problems(&problems);
            Exit::Usage
        }
    }
}
