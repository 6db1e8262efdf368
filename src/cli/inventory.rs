//! `kdeploy inventory`.

use clap::{Args, Subcommand};

use super::{Exit, terminal};
use crate::inventory::{ShowOptions, pretty};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::problem::Problems;
use crate::run::{Request, inventory};

/// Show the inventory, in the forms of ansible-inventory
#[derive(Debug, Args)]
pub struct InventoryArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All hosts and groups with their variables, as JSON
    List(ListArgs),
    /// Groups and hosts as a tree
    Graph(GraphArgs),
    /// One host's variables, as JSON
    Host(HostArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// As YAML
    #[arg(short, long)]
    yaml: bool,
    /// Variables where they are defined
    #[arg(long)]
    export: bool,
    #[command(flatten)]
    hosts: HostOptions,
}

#[derive(Debug, Args)]
struct GraphArgs {
    /// The group to begin at
    #[arg(default_value = "all")]
    group: String,
    /// With variables
    #[arg(long)]
    vars: bool,
    #[command(flatten)]
    hosts: HostOptions,
}

#[derive(Debug, Args)]
struct HostArgs {
    name: String,
    #[command(flatten)]
    hosts: HostOptions,
}

impl InventoryArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let (select, output) = (SelectOptions::default(), OutputOptions::default());
        let load = |hosts: &HostOptions| inventory(&Request::new("inventory", &[], hosts, &select, &output, false));
        let text = match &self.what {
            What::List(args) => {
                let found = load(&args.hosts)?;
                let options = ShowOptions { export: args.export, ..ShowOptions::default() };
                if args.yaml {
                    found.list_yaml(&options)?
                } else {
                    format!("{}\n", pretty(&found.list_json(&options)?))
                }
            }
            What::Graph(args) => load(&args.hosts)?.graph(&args.group, args.vars, &ShowOptions::default())?,
            What::Host(args) => {
                format!("{}\n", pretty(&load(&args.hosts)?.host_json(&args.name, &ShowOptions::default())?))
            }
        };
        terminal::print(&text);
        Ok(Exit::Done)
    }
}
