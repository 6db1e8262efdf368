//! `kdeploy init`.

use clap::Args;

use super::Exit;
use crate::problem::{Problem, Problems};

/// Make the files of a new repository
#[derive(Debug, Args)]
pub struct InitArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl InitArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        Err(Problem::unsupported("`kdeploy init`").into())
    }
}
