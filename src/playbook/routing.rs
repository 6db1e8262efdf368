//! `meta/runtime.yml` of a repository's own collections: names that moved (`plugin_routing`) and groups of modules (`action_groups`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::Span;
use crate::yaml::{Mapping, Node};

use super::loader::{Loader, scalar_text};

/// How many redirections one name may take.
const MAX_REDIRECTS: usize = 10;

/// What a collection's `meta/runtime.yml` says of names.
#[derive(Debug, Default)]
pub struct Routing {
    /// By kind (`modules`, `filter` …) and name.
    entries: HashMap<(String, String), Entry>,
    /// Qualified names of each group's modules, groups it extends as `group/NAME`.
    groups: HashMap<String, Vec<String>>,
}

#[derive(Debug, Default, Clone)]
struct Entry {
    redirect: Option<String>,
    /// It was removed: why.
    tombstone: Option<String>,
    deprecation: Option<String>,
}

/// Where a name leads.
#[derive(Debug, Default)]
pub struct Route {
    pub name: String,
    /// What is to be told of it.
    pub warnings: Vec<String>,
    /// It was removed.
    pub removed: Option<String>,
}

impl Routing {
    fn read(loader: &Loader, root: &Path, collection: &str) -> Self {
        let mut routing = Self::default();
        let Some(path) =
            ["runtime.yml", "runtime.yaml"].iter().map(|n| root.join("meta").join(n)).find(|p| p.is_file())
        else {
            return routing;
        };
        let Ok((node, _)) = loader.file(&path) else { return routing };
        let Some(map) = node.as_map() else { return routing };
        for (kind, names) in entries(map, "plugin_routing") {
            for (name, entry) in names.as_map().into_iter().flat_map(Mapping::iter) {
                let (Some(name), Some(entry)) = (scalar_text(name), entry.as_map()) else { continue };
                let told = |key: &str| {
                    let inner = entry.get(key)?.as_map()?;
                    Some(inner.get("warning_text").and_then(scalar_text).unwrap_or_default())
                };
                let entry = Entry {
                    redirect: entry.get("redirect").and_then(scalar_text),
                    tombstone: told("tombstone"),
                    deprecation: told("deprecation"),
                };
                routing.entries.insert((kind.clone(), name), entry);
            }
        }
        for (group, members) in entries(map, "action_groups") {
            let mut all = vec![];
            for member in members.as_seq().unwrap_or_default() {
                match member.as_map().and_then(|m| m.get("metadata")).and_then(Node::as_map) {
                    Some(metadata) => {
                        let extended = metadata.get("extend_group").map(super::keywords::list).unwrap_or_default();
                        all.extend(extended.iter().filter_map(scalar_text).map(|name| {
                            let full = if name.contains('.') { name } else { format!("{collection}.{name}") };
                            format!("group/{full}")
                        }));
                    }
                    None => all.extend(scalar_text(member).map(|name| match name.split('.').count() {
                        1 => format!("{collection}.{name}"),
                        _ => name,
                    })),
                }
            }
            routing.groups.insert(format!("{collection}.{group}"), all);
        }
        routing
    }
}

fn entries(map: &Mapping, key: &str) -> Vec<(String, Node)> {
    let inner = map.get(key).and_then(Node::as_map);
    inner.into_iter().flat_map(Mapping::iter).filter_map(|(k, v)| Some((scalar_text(k)?, v.clone()))).collect()
}

impl Loader {
    /// What a collection says of its names, if it lies here.
    fn routing(&self, collection: &str, playbook_dir: &Path) -> Option<Arc<Routing>> {
        let root = self.collection(collection, playbook_dir)?;
        let mut all = self.routings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = all.get(&root) {
            return Some(found.clone());
        }
        let read = Arc::new(Routing::read(self, &root, collection));
        all.insert(root, read.clone());
        Some(read)
    }

    /// Where the qualified name of a plugin leads. `kinds`: sections of `plugin_routing`, the first that has it counts.
    pub fn route(&self, kinds: &[&str], name: &str, playbook_dir: &Path) -> Route {
        let mut route = Route { name: name.to_owned(), ..Route::default() };
        for _ in 0..MAX_REDIRECTS {
            let parts: Vec<&str> = route.name.splitn(3, '.').collect();
            let [namespace, collection, short] = parts[..] else { break };
            let Some(routing) = self.routing(&format!("{namespace}.{collection}"), playbook_dir) else { break };
            let key = |kind: &&str| ((*kind).to_owned(), short.to_owned());
            let Some(entry) = kinds.iter().find_map(|kind| routing.entries.get(&key(kind))) else { break };
            if let Some(why) = &entry.tombstone {
                route.removed = Some(why.clone());
                break;
            }
            if let Some(why) = &entry.deprecation {
                route.warnings.push(format!("{} has been deprecated. {why}", route.name).trim_end().to_owned());
            }
            match &entry.redirect {
                Some(next) => route.name.clone_from(next),
                None => break,
            }
        }
        route
    }

    /// Whether a key of `module_defaults` names a group of a repository's own collection that has the module by one of its names.
    pub fn own_group_has(&self, key: &str, names: &[&str], playbook_dir: &Path) -> bool {
        let Some(members) = self.group_members(key, playbook_dir, 0) else { return false };
        members.iter().any(|member| names.contains(&member.as_str()))
    }

    /// The modules of a group `group/NAMESPACE.COLLECTION.NAME`; `None` where no such collection lies here.
    pub(super) fn group_members(&self, key: &str, playbook_dir: &Path, depth: usize) -> Option<Vec<String>> {
        let full = key.strip_prefix("group/")?;
        let (collection, _) = full.rsplit_once('.')?;
        let routing = self.routing(collection, playbook_dir)?;
        let mut all = vec![];
        for member in routing.groups.get(full)? {
            if member.starts_with("group/") {
                if depth < MAX_REDIRECTS {
                    all.extend(self.group_members(member, playbook_dir, depth + 1).unwrap_or_default());
                }
            } else {
                all.push(self.route(&["action", "modules"], member, playbook_dir).name);
                all.push(member.clone());
            }
        }
        Some(all)
    }
}

/// The problem of a name that its collection has removed.
pub(super) fn removed(name: &str, why: &str, at: &Span) -> Problem {
    let problem = Problem::new("removed", format!("`{name}` was removed from its collection")).at(at);
    if why.is_empty() { problem } else { problem.help(why.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::LoaderSettings;

    const RUNTIME: &str = "plugin_routing:
  modules:
    a: {redirect: my.own.b}
    b: {redirect: ansible.builtin.copy, deprecation: {warning_text: use copy}}
    gone: {tombstone: {removal_version: 2.0.0, warning_text: say it otherwise}}
    round: {redirect: my.own.trip}
    trip: {redirect: my.own.round}
action_groups:
  g: [a, ansible.builtin.file]
  h:
    - metadata: {extend_group: [g, my.own.h]}
    - template
";

    #[test]
    fn names_lead_where_the_collection_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let meta = dir.path().join("collections/ansible_collections/my/own/meta");
        std::fs::create_dir_all(&meta).expect("made");
        std::fs::write(meta.join("runtime.yml"), RUNTIME).expect("written");
        let loader = Loader::new(LoaderSettings::default());
        let route = |name: &str| loader.route(&["action", "modules"], name, dir.path());
        let found = route("my.own.a");
        assert_eq!(found.name, "ansible.builtin.copy");
        assert_eq!(found.warnings, ["my.own.b has been deprecated. use copy"]);
        assert_eq!(route("my.own.gone").removed.as_deref(), Some("say it otherwise"));
        assert_eq!(route("other.own.a").name, "other.own.a");
        assert_eq!(route("copy").name, "copy");
        // A ring ends somewhere.
        assert!(route("my.own.round").name.starts_with("my.own."));
        let has = |group: &str, name: &str| loader.own_group_has(group, &[name], dir.path());
        assert!(has("group/my.own.g", "ansible.builtin.copy") && has("group/my.own.h", "ansible.builtin.copy"));
        assert!(has("group/my.own.h", "my.own.template") && !has("group/my.own.g", "my.own.template"));
        assert!(!has("group/my.own.none", "ansible.builtin.copy"));
    }
}
