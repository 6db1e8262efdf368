//! Hosts and groups.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::files::VarFiles;
use crate::problem::Problem;
use crate::yaml::{Node, Yaml};

/// Hosts and groups in the order Ansible lists them. `all` and `ungrouped` always exist.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    pub hosts: IndexMap<String, Host>,
    pub groups: IndexMap<String, Group>,
    /// What was read, for `inventory_file`, `inventory_dir` and messages.
    pub sources: Vec<PathBuf>,
    /// Variables' names that YAML reads as numbers or truths, by their text.
    pub odd_names: IndexMap<String, Node>,
    /// group_vars and host_vars, read when first asked for.
    pub(super) files: VarFiles,
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

/// `all` and `ungrouped`.
const BUILT_IN: [&str; 2] = ["all", "ungrouped"];
/// Names that stand for this machine where no inventory names them.
pub(super) const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

impl Inventory {
    /// No hosts, only `all` and `ungrouped`.
    pub fn new() -> Self {
        let mut inventory = Self::default();
        for name in BUILT_IN {
            inventory.add_group(name);
        }
        inventory
    }

    /// The group, made if there is none of that name.
    pub fn add_group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group {
            name: name.to_owned(),
            priority: 1,
            ..Group::default()
        })
    }

    /// The host, made if there is none of that name.
    pub fn add_host(&mut self, name: &str, source: Option<&Path>) -> &mut Host {
        self.hosts.entry(name.to_owned()).or_insert_with(|| Host {
            name: name.to_owned(),
            source: source.map(Path::to_owned),
            ..Host::default()
        })
    }

    /// Puts a host directly into a group; both are made if need be.
    pub fn add_to_group(&mut self, host: &str, group: &str) {
        let members = &mut self.add_group(group).hosts;
        if members.iter().any(|h| h == host) {
            return;
        }
        members.push(host.to_owned());
        let groups = &mut self.add_host(host, None).groups;
        if !groups.iter().any(|g| g == group) {
            groups.push(group.to_owned());
        }
    }

    /// Makes `child` a child of `parent`; an error if that would close a circle.
    pub fn add_child(&mut self, parent: &str, child: &str) -> Result<(), Problem> {
        self.add_group(parent);
        self.add_group(child);
        if parent == child || self.descendants(child).iter().any(|g| g == parent) {
            return Err(Problem::new(
                "group-circle",
                format!("group `{child}` cannot be a child of `{parent}`: it is its ancestor"),
            )
            .help("groups form a tree: remove one of the two `children` entries"));
        }
        let children = &mut self.add_group(parent).children;
        if !children.iter().any(|g| g == child) {
            children.push(child.to_owned());
        }
        Ok(())
    }

    /// Sets a variable of a group. `ansible_group_priority` is no variable but the group's rank among its like.
    pub fn set_group_var(&mut self, group: &str, name: &str, value: Node) -> Result<(), Problem> {
        if name == "ansible_group_priority" {
            let number = match &value.value {
                Yaml::Int(n) => Some(*n),
                _ => value.scalar_text().and_then(|t| t.trim().parse().ok()),
            };
            let Some(number) = number else {
                return Err(Problem::new(
                    "bad-value",
                    format!("`ansible_group_priority` is {}, not a whole number", value.kind()),
                )
                .at(&value.span));
            };
            self.add_group(group).priority = number;
            return Ok(());
        }
        self.add_group(group).vars.insert(name.to_owned(), value);
        Ok(())
    }

    /// Gives every group a parent and every host a group, as Ansible does after the last source.
    pub fn reconcile(&mut self) {
        for name in BUILT_IN {
            self.add_group(name);
        }
        let children: HashSet<String> = self.groups.values().flat_map(|g| g.children.iter().cloned()).collect();
        let orphans: Vec<String> =
            self.groups.keys().filter(|g| *g != "all" && !children.contains(*g)).cloned().collect();
        for name in orphans {
            let top = &mut self.add_group("all").children;
            // `ungrouped` comes first.
            if name == "ungrouped" { top.insert(0, name) } else { top.push(name) }
        }
        let (mut alone, mut grouped) = (vec![], HashSet::new());
        for host in self.hosts.values() {
            if host.implicit {
                continue;
            }
            if host.groups.iter().any(|g| !BUILT_IN.contains(&g.as_str())) {
                grouped.insert(host.name.clone());
            } else if !host.groups.iter().any(|g| g == "ungrouped") {
                alone.push(host.name.clone());
            }
        }
        for host in alone {
            self.add_to_group(&host, "ungrouped");
        }
        if let Some(ungrouped) = self.groups.get_mut("ungrouped") {
            ungrouped.hosts.retain(|h| !grouped.contains(h));
        }
        for name in &grouped {
            if let Some(host) = self.hosts.get_mut(name) {
                host.groups.retain(|g| g != "ungrouped");
            }
        }
    }

    /// A group and all groups below it: level by level, in the order of the files.
    pub fn descendants(&self, group: &str) -> Vec<String> {
        let mut found = vec![group.to_owned()];
        let mut next = 0;
        while next < found.len() {
            if let Some(g) = self.groups.get(&found[next]) {
                for child in &g.children {
                    if !found.contains(child) {
                        found.push(child.clone());
                    }
                }
            }
            next += 1;
        }
        found
    }

    /// The hosts of a group and of the groups below it.
    pub fn hosts_of(&self, group: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut hosts = vec![];
        for name in self.descendants(group) {
            for host in self.groups.get(&name).map_or(&[][..], |g| &g.hosts) {
                if seen.insert(host.clone()) {
                    hosts.push(host.clone());
                }
            }
        }
        hosts
    }

    /// How far below `all` a group stands, by the longest way.
    fn depths(&self) -> HashMap<&str, usize> {
        let mut depths: HashMap<&str, usize> = self.groups.keys().map(|g| (g.as_str(), 0)).collect();
        // Groups form no circle, so this ends after as many rounds as there are levels.
        loop {
            let mut changed = false;
            for group in self.groups.values() {
                let below = depths[group.name.as_str()] + 1;
                for child in &group.children {
                    if let Some(depth) = depths.get_mut(child.as_str())
                        && *depth < below
                        && below <= self.groups.len()
                    {
                        *depth = below;
                        changed = true;
                    }
                }
            }
            if !changed {
                return depths;
            }
        }
    }

    /// Every group a host is in, directly or not, `all` first, then as their variables override each other: by depth, priority, name.
    pub fn groups_by_rank(&self, host: &str) -> Vec<&Group> {
        let mut names: HashSet<&str> = HashSet::from(["all"]);
        let mut open: Vec<&str> =
            self.hosts.get(host).map_or(vec![], |h| h.groups.iter().map(String::as_str).collect());
        while let Some(name) = open.pop() {
            if names.insert(name) || name == "all" {
                open.extend(
                    self.groups
                        .values()
                        .filter(|g| !names.contains(g.name.as_str()) && g.children.iter().any(|c| c == name))
                        .map(|g| g.name.as_str()),
                );
            }
        }
        let depths = self.depths();
        let mut groups: Vec<&Group> = names.iter().filter_map(|n| self.groups.get(*n)).collect();
        groups.sort_by_key(|g| (depths.get(g.name.as_str()).copied().unwrap_or(0), g.priority, g.name.clone()));
        groups
    }

    /// The magic variable `group_names`: every group of a host but `all`, sorted.
    pub fn groups_of(&self, host: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.groups_by_rank(host).iter().map(|g| g.name.clone()).filter(|n| n != "all").collect();
        names.sort();
        names
    }

    /// The magic variable `groups`: every group with its hosts.
    pub fn group_map(&self) -> IndexMap<String, Vec<String>> {
        self.groups.keys().map(|g| (g.clone(), self.hosts_of(g))).collect()
    }

    /// The host of that name; `localhost` exists even where nothing names it.
    pub fn host(&self, name: &str) -> Option<std::borrow::Cow<'_, Host>> {
        if let Some(host) = self.hosts.get(name) {
            return Some(std::borrow::Cow::Borrowed(host));
        }
        LOCAL
            .contains(&name)
            .then(|| std::borrow::Cow::Owned(Host { name: name.to_owned(), implicit: true, ..Host::default() }))
    }
}
