//! Hosts and groups.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::yaml::Node;

/// Hosts and groups in the order Ansible lists them. `all` and `ungrouped` always exist.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    pub hosts: IndexMap<String, Host>,
    pub groups: IndexMap<String, Group>,
    /// What was read, for `inventory_file`, `inventory_dir` and messages.
    pub sources: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default)]
pub struct Host {
    pub name: String,
    /// Variables written in the inventory source itself.
    pub vars: IndexMap<String, Node>,
    /// Groups it is directly in.
    pub groups: Vec<String>,
    /// The source that named it first, for `inventory_file` and `inventory_dir`.
    pub source: Option<PathBuf>,
    /// `localhost` made up because nothing names it.
    pub implicit: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Group {
    pub name: String,
    pub vars: IndexMap<String, Node>,
    /// Direct hosts, in order.
    pub hosts: Vec<String>,
    pub children: Vec<String>,
    /// `ansible_group_priority`.
    pub priority: i64,
}

/// Where a host's or group's variable comes from, weaker first: the order of Ansible's precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VarOrigin {
    /// In the inventory source.
    Inventory,
    /// group_vars/ or host_vars/ beside the inventory.
    BesideInventory,
    /// group_vars/ or host_vars/ beside the playbook.
    BesidePlaybook,
}
