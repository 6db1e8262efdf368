//! `kdeploy completions`.

use clap::{Args, CommandFactory};

use super::{Cli, Exit, terminal};
use crate::problem::Problems;

/// Print completions for a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let mut text = vec![];
        clap_complete::generate(self.shell, &mut Cli::command(), "kdeploy", &mut text);
        terminal::print(&String::from_utf8_lossy(&text));
        Ok(Exit::Done)
    }
}
