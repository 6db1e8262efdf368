//! An inventory that grows during a run: `add_host`, `group_by`, `meta: refresh_inventory`.

use std::sync::atomic::Ordering;

use minijinja::Value;

use super::run::Run;
use crate::inventory::Inventory;
use crate::problem::{Problem, Problems};
use crate::resources::{self, TaskResult};
use crate::source::Span;
use crate::yaml::Node;

/// Reads the inventory's sources anew.
pub type Reload = Box<dyn Fn() -> Result<Inventory, Problems> + Send + Sync>;

/// What a task added, to be added again after the sources were read anew.
#[derive(Debug, Clone)]
pub(super) enum Addition {
    Host { name: String, groups: Vec<String>, vars: Vec<(String, Node)> },
    Group { name: String, parents: Vec<String>, host: String },
}

impl Addition {
    /// Enters it; true if that changed anything.
    fn enter(&self, inventory: &mut Inventory) -> Result<bool, Problem> {
        let before = (inventory.hosts.len(), memberships(inventory));
        let mut changed = false;
        match self {
            Self::Host { name, groups, vars } => {
                let host = inventory.add_host(name, None);
                host.implicit = false;
                for (key, value) in vars {
                    let new = host.vars.get(key).is_none_or(|old| old.to_value() != value.to_value());
                    changed |= new;
                    host.vars.insert(key.clone(), value.clone());
                }
                for group in groups {
                    inventory.add_to_group(name, group);
                }
            }
            Self::Group { name, parents, host } => {
                inventory.add_to_group(host, name);
                for parent in parents {
                    inventory.add_child(parent, name)?;
                }
            }
        }
        inventory.reconcile();
        Ok(changed || before != (inventory.hosts.len(), memberships(inventory)))
    }
}

/// How many entries all groups have together.
fn memberships(inventory: &Inventory) -> usize {
    inventory.groups.values().map(|g| 1 + g.hosts.len() + g.children.len()).sum()
}

impl Run {
    /// Enters what `add_host` or `group_by` returned; `None`: it is neither's result. Whether the inventory changed.
    pub(super) fn extend_inventory(
        &self,
        host: &str,
        result: &TaskResult,
        span: &Span,
    ) -> Option<Result<bool, Problem>> {
        let texts = |value: &Value| -> Vec<String> {
            value.try_iter().into_iter().flatten().map(|v| resources::text_of(&v)).collect()
        };
        let addition = if let Some(added) = result.values.get("add_host") {
            let get = |key: &str| added.get_attr(key).unwrap_or_default();
            let vars = get("host_vars");
            let pairs = vars
                .try_iter()
                .into_iter()
                .flatten()
                .map(|k| (resources::text_of(&k), Node::from_value(&vars.get_item(&k).unwrap_or_default(), span)));
            Addition::Host {
                name: resources::text_of(&get("host_name")),
                groups: texts(&get("groups")),
                vars: pairs.collect(),
            }
        } else {
            let name = resources::text_of(result.values.get("add_group")?);
            let parents = result.values.get("parent_groups").map(texts).unwrap_or_default();
            Addition::Group { name, parents, host: host.to_owned() }
        };
        let entered = {
            let mut inventory = self.inventory.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            addition.enter(&mut inventory)
        };
        super::run::lock(&self.additions).push(addition);
        self.inventory_changed();
        Some(entered)
    }

    /// Reads the sources anew; what tasks added stays.
    pub(super) fn refresh_inventory(&self) -> Result<(), Problems> {
        let Some(reload) = self.reload.get() else { return Ok(()) };
        let mut fresh = reload()?;
        for addition in super::run::lock(&self.additions).iter() {
            addition.enter(&mut fresh)?;
        }
        *self.inventory.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        self.inventory_changed();
        Ok(())
    }

    /// Says how the inventory is read anew.
    pub fn reload_with(&self, reload: Reload) {
        drop(self.reload.set(reload));
    }

    /// The inventory as it was before any task changed it: a plan's changes are not an apply's.
    pub fn restore_inventory(&self) {
        if self.inventory_version.swap(0, Ordering::SeqCst) == 0 {
            return;
        }
        super::run::lock(&self.additions).clear();
        *self.inventory.write().unwrap_or_else(std::sync::PoisonError::into_inner) = self.first_inventory.clone();
        self.forget_host_scopes();
    }

    /// How often tasks changed the inventory.
    pub fn inventory_version(&self) -> u64 {
        self.inventory_version.load(Ordering::SeqCst)
    }
}
