//! `kdeploy inventory`.

use std::path::PathBuf;

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
    hosts: Hosts,
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
    hosts: Hosts,
}

#[derive(Debug, Args)]
struct HostArgs {
    name: String,
    #[command(flatten)]
    hosts: Hosts,
}

#[derive(Debug, Args)]
struct Hosts {
    /// group_vars and host_vars beside this folder count too
    #[arg(long, value_name = "DIR")]
    playbook_dir: Option<PathBuf>,
    #[command(flatten)]
    hosts: HostOptions,
}

impl InventoryArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let hosts = match &self.what {
            What::List(args) => &args.hosts,
            What::Graph(args) => &args.hosts,
            What::Host(args) => &args.hosts,
        };
        let (select, output) = (SelectOptions::default(), OutputOptions::default());
        let listed = inventory(&Request::new("inventory", &[], &hosts.hosts, &select, &output, false))?;
        let playbook_dir = hosts.playbook_dir.clone().or_else(|| listed.playbook_dir.clone());
        let playbook_dir = playbook_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        let options = ShowOptions {
            export: false,
            playbook_dir: playbook_dir.as_deref(),
            limit: listed.limit.as_ref(),
            extra_vars: Some(&listed.extra_vars),
        };
        let found = &listed.inventory;
        let text = match &self.what {
            What::List(args) => {
                let options = ShowOptions { export: args.export, ..options };
                if args.yaml {
                    found.list_yaml(&options)?
                } else {
                    format!("{}\n", pretty(&found.list_json(&options)?))
                }
            }
            What::Graph(args) => found.graph(&args.group, args.vars, &options)?,
            What::Host(args) => format!("{}\n", pretty(&found.host_json(&args.name, &options)?)),
        };
        terminal::print(&listed.redactor.clean(&text));
        for warning in found.take_warnings() {
            terminal::say(&format!("warning: {}", crate::report::plain_problem(&warning)));
        }
        Ok(Exit::Done)
    }
}
