//! Magic variables: what kdeploy itself defines for every host and task.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use indexmap::IndexSet;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::lineage::Lineage;
use super::run::{PlayRun, Run, lock};
use crate::playbook::{RoleUse, Task};
use crate::template::{Context, SearchPaths};
use crate::vars::{Computed, Definition, Scope};
use crate::yaml::{Node, Yaml};

/// The version of ansible-core whose behaviour kdeploy follows; playbooks test `ansible_version`.
pub const ANSIBLE_VERSION: (&str, u32, u32, u32) = ("2.19.4", 2, 19, 4);

/// Magic variables of a host, whatever the play.
pub fn of_host(run: &Arc<Run>, host: &str) -> Arc<Scope> {
    let mut scope = Scope::new("magic variables");
    let mut put = |name: &str, value: Value| {
        scope.vars.insert(name.to_owned(), Definition::Final(value));
    };
    put("inventory_hostname", Value::from(host));
    put("inventory_hostname_short", Value::from(host.split('.').next().unwrap_or(host)));
    {
        let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        put(
            "group_names",
            Value::from(inventory.groups_of(host).into_iter().filter(|g| g != "all").collect::<Vec<_>>()),
        );
        let sources: Vec<String> = inventory.sources.iter().map(|s| s.display().to_string()).collect();
        put("ansible_inventory_sources", Value::from(sources));
        let source =
            inventory.hosts.get(host).and_then(|h| h.source.clone()).or_else(|| inventory.sources.first().cloned());
        if let Some(source) = source {
            put("inventory_file", Value::from(source.display().to_string()));
            let dir = if source.is_dir() { Some(source.as_path()) } else { source.parent() };
            if let Some(dir) = dir {
                put("inventory_dir", Value::from(dir.display().to_string()));
            }
        }
    }
    put("groups", Value::from_object(GroupsMap { run: Arc::downgrade(run) }));
    put("hostvars", Value::from_object(HostVarsMap { run: Arc::downgrade(run) }));
    put("playbook_dir", Value::from(run.playbook_dir.display().to_string()));
    let (full, major, minor, revision) = ANSIBLE_VERSION;
    put(
        "ansible_version",
        Value::from_pairs([
            ("full", Value::from(full)),
            ("major", Value::from(major)),
            ("minor", Value::from(minor)),
            ("revision", Value::from(revision)),
            ("string", Value::from(full)),
        ]),
    );
    // By it a role can tell that it may use what only kdeploy knows (`confirm`).
    put("kdeploy_version", Value::from(env!("CARGO_PKG_VERSION")));
    let options = &run.options;
    put("ansible_check_mode", Value::from(options.check));
    put("ansible_diff_mode", Value::from(options.diff));
    put("ansible_verbosity", Value::from(options.verbosity));
    put("ansible_forks", Value::from(options.forks));
    put(
        "ansible_run_tags",
        Value::from(if options.tags.is_empty() { vec!["all".to_owned()] } else { options.tags.clone() }),
    );
    put("ansible_skip_tags", Value::from(options.skip_tags.clone()));
    if let Some(limit) = &options.limit {
        put("ansible_limit", Value::from(limit.clone()));
    }
    let config = options.config_file.as_ref().map(|file| file.display().to_string());
    put("ansible_config_file", Value::from(config));
    put("ansible_playbook_python", Value::from("/usr/bin/python3"));
    Arc::new(scope)
}

/// Magic variables of a task: its environment, and where its files are looked for.
pub fn of_task(task: &Task, lineage: &Arc<Lineage>, paths: &SearchPaths) -> Arc<Scope> {
    let mut scope = Scope::new("magic variables");
    let environment = Node { value: Yaml::Seq(Arc::new(lineage.environments(task))), ..Node::text("", &task.span) };
    scope.vars.insert("environment".to_owned(), Definition::Written(environment));
    let mut dirs: IndexSet<String> = paths.roles.iter().map(|p| p.display().to_string()).collect();
    dirs.extend([&paths.task_dir, &paths.playbook_dir].map(|p| p.display().to_string()));
    scope.vars.insert("ansible_search_path".to_owned(), Definition::Final(Value::from_iter(dirs)));
    Arc::new(scope)
}

/// Magic variables of the play and of the place of a task in it.
///
/// `included`: roles that `include_role` brought in so far.
pub fn of_place(run: &Arc<Run>, play: &PlayRun, lineage: &Arc<Lineage>, included: &[Arc<RoleUse>]) -> Arc<Scope> {
    let mut scope = Scope::new("magic variables");
    let mut put = |name: &str, value: Value| {
        scope.vars.insert(name.to_owned(), Definition::Final(value));
    };
    put("ansible_play_name", Value::from(play.name.clone()));
    // An imported playbook's own folder.
    if let Some(dir) = play.play.playbook.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        put("playbook_dir", Value::from(dir.display().to_string()));
    }
    put("ansible_play_hosts_all", Value::from(play.hosts_all.clone()));
    let (own, dependencies) = role_names(play, included);
    put("ansible_play_role_names", Value::from(own.clone()));
    put("role_names", Value::from(own.clone()));
    let all: IndexSet<String> = dependencies.iter().chain(&own).cloned().collect();
    put("ansible_role_names", Value::from_iter(all));
    put("ansible_dependent_role_names", Value::from_iter(dependencies));
    let roles = lineage.roles();
    if let Some(role) = roles.first() {
        let name = Value::from(role.role.name.clone());
        put("role_name", Value::from(role.role.name.rsplit('.').next().unwrap_or_default()));
        put("ansible_role_name", name);
        put("role_path", Value::from(role.role.path.display().to_string()));
        put("role_uuid", Value::from(format!("{:p}", Arc::as_ptr(role))));
        // A dependency has no parent in this sense: only what includes or imports it is one.
        let depends = |i: usize| roles[i + 1].dependencies.iter().any(|d| Arc::ptr_eq(d, roles[i]));
        let (mut parents, mut dependents) = (vec![], vec![]);
        for i in 0..roles.len().saturating_sub(1) {
            if depends(i) { &mut dependents } else { &mut parents }.push(roles[i + 1].role.name.clone());
        }
        for parent in role.parents.iter().rev() {
            if !parents.contains(parent) && !dependents.contains(parent) {
                parents.push(parent.clone());
            }
        }
        if !parents.is_empty() {
            put("ansible_parent_role_names", Value::from(parents));
        }
        if let Some(collection) = &role.role.collection {
            put("ansible_collection_name", Value::from(collection.clone()));
        }
    }
    for (name, hosts) in [
        ("ansible_play_hosts", &play.hosts_as_listed),
        ("ansible_play_batch", &play.batch),
        ("play_hosts", &play.batch),
    ] {
        let (run, hosts) = (Arc::downgrade(run), hosts.clone());
        let left = move || hosts_left(&run, &hosts);
        scope.vars.insert(name.to_owned(), Definition::Computed(Computed(Arc::new(left))));
    }
    Arc::new(scope)
}

/// Those of some hosts that are still in the play where the reader stands: the others are waited for.
fn hosts_left(run: &Weak<Run>, hosts: &[String]) -> Value {
    let gone = match (run.upgrade(), super::together::reader()) {
        (Some(run), Some(reader)) => match run.together.gone(&reader, run.options.forks) {
            Some(gone) => gone,
            None => return crate::template::Unknown::pending().into_value(),
        },
        _ => std::collections::BTreeSet::new(),
    };
    Value::from_iter(hosts.iter().filter(|host| !gone.contains(*host)).cloned())
}

/// Names of the play's roles, and of those they depend on.
fn role_names(play: &PlayRun, included: &[Arc<RoleUse>]) -> (Vec<String>, IndexSet<String>) {
    fn depended_on(role: &RoleUse, into: &mut IndexSet<String>) {
        for dependency in &role.dependencies {
            depended_on(dependency, into);
            into.insert(dependency.role.name.clone());
        }
    }
    let (mut names, mut dependencies) = (vec![], IndexSet::new());
    for role in play.play.roles.iter().chain(&play.play.imported_roles).chain(included) {
        names.push(role.role.name.clone());
        depended_on(role, &mut dependencies);
    }
    (names, dependencies)
}

/// `ansible_delegated_vars`: the variables of the host a task is delegated to.
pub fn delegated_vars(run: &Arc<Run>, target: &str) -> Arc<Scope> {
    let vars = HostVarsOf { run: Arc::downgrade(run), host: target.to_owned(), context: OnceLock::new() };
    let map = Value::from_pairs([(target.to_owned(), Value::from_object(vars))]);
    Scope::finals("delegation", [("ansible_delegated_vars".to_owned(), map)])
}

/// `groups`, as they are when read: `add_host` and `group_by` add to them.
#[derive(Debug)]
struct GroupsMap {
    run: Weak<Run>,
}

impl Object for GroupsMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let run = self.run.upgrade()?;
        let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = key.as_str().filter(|name| inventory.groups.contains_key(*name))?;
        Some(Value::from(inventory.hosts_of(name)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let Some(run) = self.run.upgrade() else { return Enumerator::Empty };
        let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Enumerator::Values(inventory.groups.keys().map(|k| Value::from(k.clone())).collect())
    }
}

/// `hostvars`: each host's variables, resolved when read.
struct HostVarsMap {
    run: Weak<Run>,
}

impl fmt::Debug for HostVarsMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hostvars")
    }
}

impl Object for HostVarsMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let run = self.run.upgrade()?;
        let host = key.as_str()?;
        {
            let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !inventory.hosts.contains_key(host) && host != "localhost" && !lock(&run.published).contains_key(host) {
                return None;
            }
        }
        Some(Value::from_object(HostVarsOf { run: self.run.clone(), host: host.to_owned(), context: OnceLock::new() }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let Some(run) = self.run.upgrade() else { return Enumerator::Empty };
        let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Enumerator::Values(inventory.hosts.keys().map(|k| Value::from(k.clone())).collect())
    }
}

struct HostVarsOf {
    run: Weak<Run>,
    host: String,
    context: OnceLock<Option<Context>>,
}

impl fmt::Debug for HostVarsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hostvars[{}]", self.host)
    }
}

impl HostVarsOf {
    /// Another host of the batch is read as it is when it has come as far as the reader. False: it is not there yet, and the
    /// reader only looks ahead.
    fn await_host(&self) -> bool {
        let (Some(run), Some(reader)) = (self.run.upgrade(), super::together::reader()) else { return true };
        reader.host == self.host
            || run.together.await_host(&self.host, &reader.place, reader.speculative, run.options.forks)
    }

    fn context(&self) -> Option<&Context> {
        let made = || {
            // A host's variables do not see those of others, nor themselves as a whole.
            let unseen = ["hostvars", "vars"].map(|name| {
                (name.to_owned(), crate::template::call::undefined_value(format!("`{name}` is undefined")))
            });
            Some(self.run.upgrade()?.host_context(&self.host).ok()?.with([Scope::finals("hostvars", unseen)]))
        };
        self.context.get_or_init(made).as_ref()
    }
}

impl Object for HostVarsOf {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        // Not among them, so that a host's variables are finite.
        let name = key.as_str().filter(|name| *name != "hostvars")?;
        if !self.await_host() {
            return Some(crate::template::Unknown::pending().into_value());
        }
        match self.context()?.variable(name) {
            Ok(value) => value,
            // A variable that comes to itself through `hostvars` is not there yet.
            Err(crate::template::EvalError::Failed(problem)) if problem.message.starts_with("recursive loop") => {
                Some(crate::template::deferred(Err(crate::template::EvalError::Undefined(problem))))
            }
            Err(error) => Some(crate::template::deferred(Err(error))),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.context() {
            Some(context) => Enumerator::Values(
                context.names().into_iter().filter(|n| n != "hostvars" && n != "vars").map(Value::from).collect(),
            ),
            None => Enumerator::Empty,
        }
    }
}
