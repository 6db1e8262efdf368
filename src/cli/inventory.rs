//! `kdeploy inventory`.

use clap::Args;

use super::Exit;
use crate::problem::{Problem, Problems};

/// Show the inventory
#[derive(Debug, Args)]
pub struct InventoryArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl InventoryArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        Err(Problem::unsupported("`kdeploy inventory`").into())
    }
}
