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
    /// Print a JSON Schema: of a resource's arguments, or without a name of whole files (for editors' YAML language servers)
    #[arg(long, value_name = "OF", num_args = 0..=1, default_missing_value = "playbook", require_equals = true)]
    pub schema: Option<SchemaOf>,
}

/// Which files a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaOf {
    Playbook,
    /// Files of tasks or handlers
    Tasks,
}

impl DocArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        if let (Some(of), None) = (self.schema, &self.name) {
            let of = match of {
                SchemaOf::Playbook => crate::resources::SchemaOf::Playbook,
                SchemaOf::Tasks => crate::resources::SchemaOf::Tasks,
            };
            terminal::print(&format!("{:#}\n", crate::resources::schema_of_file(of)));
            return Ok(Exit::Done);
        }
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
        if self.schema.is_some() {
            terminal::print(&format!("{:#}\n", crate::resources::schema_of_resource(kind)));
            return Ok(Exit::Done);
        }
        terminal::print(&crate::resources::manual(kind));
        Ok(Exit::Done)
    }
}
