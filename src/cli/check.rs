//! `kdeploy check`.

use clap::Args;

use super::Exit;
use crate::problem::{Problem, Problems};

/// Check playbooks and roles without a host
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl CheckArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        Err(Problem::unsupported("`kdeploy check`").into())
    }
}
