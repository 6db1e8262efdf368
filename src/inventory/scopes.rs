//! The variables an inventory gives a host, in Ansible's order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::{Group, Inventory};
use crate::problem::Problem;
use crate::source::display_path;
use crate::vars::Scope;
use crate::yaml::Node;

impl Inventory {
    /// All scopes of a host, weakest first: the groups' variables (`all`, then by depth, priority and name) from the inventory, from
    /// group_vars beside it and beside the playbook, then the host's own from the same three.
    pub fn scopes_for(&self, host: &str, playbook_dir: Option<&Path>) -> Result<Vec<Arc<Scope>>, Problem> {
        let ranked = self.groups_by_rank(host);
        let (all, groups): (Vec<&Group>, Vec<&Group>) = ranked.into_iter().partition(|g| g.name == "all");
        let bases = self.bases();
        let mut scopes = vec![];
        let inventory_vars = |scopes: &mut Vec<Arc<Scope>>, groups: &[&Group]| {
            for group in groups {
                if !group.vars.is_empty() {
                    scopes.push(written(&format!("group `{}`", group.name), &group.vars));
                }
            }
        };
        let from_files = |scopes: &mut Vec<Arc<Scope>>, dir: &Path, kind: &str, names: &[&str]| {
            for name in names {
                scopes.extend(self.files.scopes(dir, kind, name)?.iter().cloned());
            }
            Ok::<(), Problem>(())
        };
        let names: Vec<&str> = groups.iter().map(|g| g.name.as_str()).collect();
        inventory_vars(&mut scopes, &all);
        inventory_vars(&mut scopes, &groups);
        for group_names in [&["all"][..], &names[..]] {
            for base in &bases {
                from_files(&mut scopes, base, "group_vars", group_names)?;
            }
            if let Some(dir) = playbook_dir.filter(|d| !bases.iter().any(|b| b == d)) {
                from_files(&mut scopes, dir, "group_vars", group_names)?;
            }
        }
        if let Some(own) = self.hosts.get(host)
            && !own.vars.is_empty()
        {
            scopes.push(written(&format!("host `{host}`"), &own.vars));
        }
        for base in &bases {
            from_files(&mut scopes, base, "host_vars", &[host])?;
        }
        if let Some(dir) = playbook_dir.filter(|d| !bases.iter().any(|b| b == d)) {
            from_files(&mut scopes, dir, "host_vars", &[host])?;
        }
        if self.host(host).is_some_and(|h| h.implicit) {
            scopes.insert(
                0,
                Scope::finals(
                    "implicit localhost",
                    [("ansible_connection".to_owned(), minijinja::Value::from("local"))],
                ),
            );
        }
        Ok(scopes)
    }

    /// Only the variables that stand in the sources themselves.
    pub(super) fn source_scopes(&self, host: &str) -> Vec<Arc<Scope>> {
        let mut scopes: Vec<Arc<Scope>> = self
            .groups_by_rank(host)
            .into_iter()
            .filter(|g| !g.vars.is_empty())
            .map(|g| written(&format!("group `{}`", g.name), &g.vars))
            .collect();
        if let Some(own) = self.hosts.get(host).filter(|h| !h.vars.is_empty()) {
            scopes.push(written(&format!("host `{host}`"), &own.vars));
        }
        scopes
    }

    /// Oddities in the variable files read so far (each told once).
    pub fn take_warnings(&self) -> Vec<Problem> {
        self.files.take_warnings()
    }

    /// Where group_vars and host_vars beside the inventory are looked for.
    /// The folders of the sources: group_vars and host_vars are looked for in them.
    pub fn bases(&self) -> Vec<PathBuf> {
        let mut bases = vec![];
        for source in &self.sources {
            let base = if source.is_dir() {
                source.clone()
            } else {
                match source.parent() {
                    Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
                    _ => PathBuf::from("."),
                }
            };
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        bases
    }
}

fn written(what: &str, vars: &indexmap::IndexMap<String, Node>) -> Arc<Scope> {
    // All of one group's variables usually stand in one file.
    let file = vars.values().next().map_or_else(String::new, |n| format!(" ({})", display_path(&n.span.file.path)));
    Scope::written(format!("{what}{file}"), vars.iter().map(|(k, v)| (k.clone(), v.clone())))
}
