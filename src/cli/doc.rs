//! `kdeploy doc`.

use clap::Args;

use super::{Exit, terminal};
use crate::problem::{Problem, Problems};
use crate::resources::registry;

/// Show the manual of a resource
#[derive(Debug, Args)]
pub struct DocArgs {
    /// Short or qualified name
    pub name: Option<String>,
    /// List all resources
    #[arg(short, long)]
    pub list: bool,
}

impl DocArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let Some(name) = self.name.filter(|_| !self.list) else {
            for kind in registry::all() {
                let line = kind.doc.lines().find(|l| !l.trim().is_empty() && !l.starts_with('#')).unwrap_or_default();
                terminal::print(&format!("{:24} {}\n", kind.name, line.trim()));
            }
            return Ok(Exit::Done);
        };
        let Some(kind) = registry::lookup(&name) else {
            return Err(Problem::new("unknown-module", format!("no resource is named `{name}`"))
                .nearest(&name, registry::all().map(|t| t.name))
                .into());
        };
        terminal::print(&crate::resources::manual(kind));
        Ok(Exit::Done)
    }
}
