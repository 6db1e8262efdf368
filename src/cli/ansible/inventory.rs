//! `ansible-inventory`.

use std::path::PathBuf;

use clap::Parser;

use super::super::terminal;
use super::failure::Failure;
use crate::inventory::{ShowOptions, pretty};
use crate::options::{HostOptions, OutputOptions, SelectOptions, VaultOptions};
use crate::problem::Problem;
use crate::run::Request;

/// Show Ansible inventory information, by default it uses the inventory script JSON format
#[derive(Debug, Parser)]
#[command(name = "ansible-inventory", disable_version_flag = true)]
#[expect(clippy::struct_excessive_bools, reason = "they are ansible-inventory's options")]
pub struct InventoryArgs {
    /// The name of a group in the inventory, relevant when using --graph
    group: Option<String>,
    /// Output all hosts info, works as inventory script
    #[arg(long)]
    list: bool,
    /// Output specific host info, works as inventory script
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Create inventory graph, if supplying pattern it must be a valid group name
    #[arg(long)]
    graph: bool,
    /// Use YAML format instead of default JSON
    #[arg(short, long)]
    yaml: bool,
    /// Use TOML format instead of default JSON
    #[arg(long)]
    toml: bool,
    /// Add vars to graph display
    #[arg(long)]
    vars: bool,
    /// When doing --list, represent in a way that is optimized for export
    #[arg(long)]
    export: bool,
    /// When doing --list, send the inventory to a file instead of to the screen
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Inventory file, directory, script, or a list of hosts with a comma at its end
    #[arg(short, long, value_name = "SOURCE", alias = "inventory-file")]
    inventory: Vec<String>,
    /// Further limit selected hosts to an additional pattern
    #[arg(short, long, value_name = "PATTERN")]
    limit: Option<String>,
    /// Variables, as `key=value`, YAML or JSON, or `@file`
    #[arg(short, long, value_name = "VARS")]
    extra_vars: Vec<String>,
    /// Where group_vars and host_vars are looked for
    #[arg(long, value_name = "DIR")]
    playbook_dir: Option<PathBuf>,
    /// Forget kept facts
    #[arg(long)]
    flush_cache: bool,
    /// More detail; again for more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    vault: VaultOptions,
    /// Print the program's version
    #[arg(long)]
    version: bool,
}

impl InventoryArgs {
    pub fn run(self) -> Result<u8, Failure> {
        match [self.list, self.host.is_some(), self.graph].iter().filter(|asked| **asked).count() {
            1 => {}
            0 => {
                return Err(Failure::options(
                    "No action selected, at least one of --host, --graph or --list needs to be specified.",
                ));
            }
            _ => {
                return Err(Failure::options(
                    "Conflicting options used, only one of --host, --graph or --list can be used at the same time.",
                ));
            }
        }
        if self.toml {
            return Err(Problem::unsupported("the output format TOML").help("--yaml, or JSON without it").into());
        }
        let hosts = HostOptions {
            inventory: self.inventory.clone(),
            extra_vars: self.extra_vars.clone(),
            vault: self.vault.clone(),
            ..HostOptions::default()
        };
        let (select, output) = (SelectOptions::default(), OutputOptions::default());
        let hosts = HostOptions { limit: self.limit.clone(), ..hosts };
        let listed = crate::run::inventory(&Request::new("inventory", &[], &hosts, &select, &output, false))?;
        let found = &listed.inventory;
        let playbook_dir = self.playbook_dir.clone().or_else(|| listed.playbook_dir.clone());
        let playbook_dir = playbook_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        let options = ShowOptions {
            export: self.export,
            playbook_dir: playbook_dir.as_deref(),
            limit: listed.limit.as_ref(),
            extra_vars: Some(&listed.extra_vars),
        };
        let text = if let Some(host) = &self.host {
            let shown = found
                .host_json(host, &options)
                .map_err(|_| Failure::options("You must pass a single valid host to --host parameter"))?;
            if self.yaml { found.host_yaml(host, &options)? } else { format!("{}\n", pretty(&shown)) }
        } else if self.graph {
            let group = self.group.as_deref().unwrap_or("all");
            found
                .graph(group, self.vars, &options)
                .map_err(|_| Failure::options("Pattern must be valid group name when using --graph"))?
        } else if self.yaml {
            found.list_yaml(&options)?
        } else {
            format!("{}\n", pretty(&found.list_json(&options)?))
        };
        let text = listed.redactor.clean(&text);
        for warning in found.take_warnings() {
            terminal::say(&format!("[WARNING]: {}", crate::report::plain_problem(&warning)));
        }
        match &self.output {
            Some(path) => std::fs::write(path, text.strip_suffix('\n').unwrap_or(&text)).map_err(|e| {
                Failure::error(format!("Unable to write to destination file ({}): {e}", path.display()))
            })?,
            None => terminal::print(&text),
        }
        Ok(0)
    }
}
