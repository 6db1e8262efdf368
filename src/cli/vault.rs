//! `kdeploy vault`.

use clap::Args;

use super::Exit;
use crate::problem::{Problem, Problems};

/// Encrypt and decrypt files and values
#[derive(Debug, Args)]
pub struct VaultArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl VaultArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        Err(Problem::unsupported("`kdeploy vault`").into())
    }
}
