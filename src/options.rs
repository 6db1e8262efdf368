//! Options that subcommands share; they are ansible-playbook's.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::report::ColorChoice;

/// Which hosts, and how to reach them.
#[derive(Debug, Clone, Default, Args, serde::Serialize, serde::Deserialize)]
pub struct HostOptions {
    /// Inventory file, directory, script, or a list of hosts with a comma at its end
    #[arg(short, long = "inventory", value_name = "SOURCE", alias = "inventory-file")]
    pub inventory: Vec<String>,
    /// Only these hosts: a pattern over the play's hosts
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Variables, as `key=value`, YAML or JSON, or `@file`
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Hosts worked on at the same time
    #[arg(short, long)]
    pub forks: Option<usize>,
    /// Login user
    #[arg(short, long = "user", value_name = "USER", alias = "remote-user")]
    pub user: Option<String>,
    /// Become root (or --become-user)
    #[arg(short, long)]
    pub r#become: bool,
    #[arg(long, value_name = "USER")]
    pub become_user: Option<String>,
    /// sudo, su or doas
    #[arg(long, value_name = "METHOD")]
    pub become_method: Option<String>,
    /// Ask for the become password
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// A file that holds the become password
    #[arg(long, value_name = "FILE", alias = "become-pass-file")]
    pub become_password_file: Option<PathBuf>,
    /// Ask for the login password
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// A file that holds the login password
    #[arg(long, value_name = "FILE", alias = "conn-pass-file")]
    pub connection_password_file: Option<PathBuf>,
    /// The key to log in with
    #[arg(long, value_name = "FILE", alias = "key-file")]
    pub private_key: Option<PathBuf>,
    /// How to connect: ssh or local
    #[arg(short, long, value_name = "KIND")]
    pub connection: Option<String>,
    /// Seconds for making a connection
    #[arg(short = 'T', long)]
    pub timeout: Option<u64>,
    /// Options handed to ssh
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_extra_args: Option<String>,
    /// How many seconds to wait for a node that another run holds; it is refused at once without this
    #[arg(long, value_name = "SECONDS")]
    #[serde(default)]
    pub wait_lock: Option<u64>,
    #[command(flatten)]
    pub vault: VaultOptions,
}

/// Where vault passwords are.
#[derive(Debug, Clone, Default, Args, serde::Serialize, serde::Deserialize)]
pub struct VaultOptions {
    /// File (or script) with the vault password
    #[arg(long, value_name = "FILE", alias = "vault-pass-file")]
    pub vault_password_file: Vec<PathBuf>,
    /// Vault id and where its password is: `id@file`, `id@prompt`
    #[arg(long, value_name = "ID")]
    pub vault_id: Vec<String>,
    /// Ask for the vault password
    #[arg(short = 'J', long, alias = "ask-vault-password")]
    pub ask_vault_pass: bool,
}

/// What of the playbook.
#[derive(Debug, Clone, Default, Args, serde::Serialize, serde::Deserialize)]
pub struct SelectOptions {
    /// Only tasks with one of these tags
    #[arg(short, long, value_name = "TAGS")]
    pub tags: Vec<String>,
    /// Not tasks with one of these tags
    #[arg(long, value_name = "TAGS")]
    pub skip_tags: Vec<String>,
    /// Begin at the task of this name
    #[arg(long, value_name = "NAME")]
    pub start_at_task: Option<String>,
    /// Ask before each task
    #[arg(long)]
    pub step: bool,
    /// A selection without hosts or tasks is no error
    #[arg(long)]
    pub allow_empty: bool,
    /// List the tasks that would be run, and stop
    #[arg(long)]
    pub list_tasks: bool,
    /// List the tags there are, and stop
    #[arg(long)]
    pub list_tags: bool,
    /// List the hosts of each play, and stop
    #[arg(long)]
    pub list_hosts: bool,
    /// Check the files, and stop
    #[arg(long)]
    pub syntax_check: bool,
    /// Forget kept facts
    #[arg(long)]
    pub flush_cache: bool,
    /// Run notified handlers also on hosts that failed
    #[arg(long)]
    pub force_handlers: bool,
}

/// How results are shown.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputOptions {
    /// More detail; again for more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Show differences (plans always do)
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// text, or one JSON document on standard output
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub output: String,
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Write each step as a line of JSON as it ends
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

impl SelectOptions {
    /// Tags as single names: each option may hold several, with commas.
    pub fn split(tags: &[String]) -> Vec<String> {
        tags.iter().flat_map(|t| t.split(',')).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()
    }
}

impl VaultOptions {
    pub fn is_given(&self) -> bool {
        !self.vault_password_file.is_empty() || !self.vault_id.is_empty() || self.ask_vault_pass
    }
}
