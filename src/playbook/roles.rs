//! Roles: where they are, what they hold, and how one use of a role becomes tasks and handlers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::{Span, display_path};
use crate::vars::Scope;
use crate::yaml::{Mapping, Node, Yaml};

use super::items::chain;
use super::keywords::{self, Place, shown};
use super::loader::{Around, Loader, RoleCall, Session, StaticVars, absolute, scalar_text};
use super::model::{Action, Block, BlockOrigin, Item, Keywords, Role, RoleUse, Task, TaskArgs};
use super::role_files::Found;

impl Loader {
    /// Folders that hold namespaces of collections: `collections/ansible_collections` beside the playbook first.
    pub fn collection_roots(&self, playbook_dir: &Path) -> Vec<PathBuf> {
        let main = self.main_dir.get().filter(|main| *main != playbook_dir).map(|main| main.join("collections"));
        std::iter::once(playbook_dir.join("collections"))
            .chain(main)
            .chain(self.settings.collections_path.iter().cloned())
            .map(|p| if p.ends_with("ansible_collections") { p } else { p.join("ansible_collections") })
            .filter(|p| p.is_dir())
            .collect()
    }

    /// The folder of a collection.
    pub(super) fn collection(&self, name: &str, playbook_dir: &Path) -> Option<PathBuf> {
        let (namespace, rest) = name.split_once('.')?;
        self.collection_roots(playbook_dir).into_iter().map(|r| r.join(namespace).join(rest)).find(|p| p.is_dir())
    }
}

impl Session<'_> {
    /// Entries of a play's `roles:` or of a role's dependencies.
    pub(super) fn role_entry(&mut self, node: &Node, base: &RoleCall) -> Option<Arc<RoleUse>> {
        let mut call = base.clone();
        let name = match &node.value {
            Yaml::Map(map) => {
                let name = map.get("role").or_else(|| map.get("name")).or_else(|| map.get("src"));
                for (key_node, value) in map.iter() {
                    let key = key_node.as_str().unwrap_or_default();
                    if key == "role" || key == "name" || key == "src" {
                        continue;
                    }
                    if keywords::shape(Place::Role, key).is_some() {
                        self.shared_keyword(Place::Role, key_node, key, value, &mut call.keywords);
                    } else if keywords::is_variable_name(key) {
                        if let Some(near) = suspicious(key) {
                            self.warn(
                                Problem::new(
                                    "role-parameter",
                                    format!("`{key}` is taken as a variable for the role; `{near}` is the keyword"),
                                )
                                .at(&key_node.span),
                            );
                        }
                        call.params.push((key.to_owned(), value.clone()));
                    } else if let Some(text) = scalar_text(key_node) {
                        // Only `vars['a-b']` can reach it; nobody is hurt by it.
                        self.warn(keywords::bad_variable_name(key_node));
                        call.params.push((text, value.clone()));
                    } else {
                        self.problem(keywords::bad_variable_name(key_node));
                    }
                }
                match name.filter(|n| n.as_str().is_some_and(|s| !s.is_empty()) || matches!(n.value, Yaml::Int(_))) {
                    Some(name) => name.clone(),
                    None => {
                        self.problem(
                            Problem::new("missing-keyword", "a role entry must name its role")
                                .at(&node.span)
                                .help("write `- role: NAME`"),
                        );
                        return None;
                    }
                }
            }
            Yaml::Str(s) if s.text.contains(',') && !node.has_template() => {
                self.problem(
                    Problem::new("wrong-type", format!("`{}` is no role's name", s.text))
                        .at(&node.span)
                        .help("write each role as an entry of its own"),
                );
                return None;
            }
            Yaml::Str(_) | Yaml::Int(_) => node.clone(),
            _ => {
                self.problem(
                    Problem::new("wrong-type", format!("a role entry must be text or a mapping, not {}", shown(node)))
                        .at(&node.span),
                );
                return None;
            }
        };
        self.role_use(&name, call)
    }

    /// One use of a role: its files read, its dependencies, tasks and handlers loaded.
    pub(super) fn role_use(&mut self, name_node: &Node, call: RoleCall) -> Option<Arc<RoleUse>> {
        let written = self.static_text("the name of a role", name_node, &call.vars)?;
        let span = name_node.span.clone();
        let found = match self.find_role(&written, &call) {
            Ok(found) => found,
            Err(problem) => {
                self.problem(problem.at(&span));
                return None;
            }
        };
        let entry_point = call.tasks_from.clone().unwrap_or_else(|| "main".to_owned());
        let opened = (found.path.clone(), entry_point.clone());
        let below = call.ancestors.len() > 100;
        if self.open_roles.contains(&opened) || below {
            let through: Vec<String> = self.open_roles.iter().map(|(p, _)| role_name_of(p)).collect();
            self.problem(
                Problem::new("role-cycle", format!("the role `{}` needs itself, which never ends", found.name))
                    .at(&span)
                    .note(format!("through {}", through.join(" → "))),
            );
            return None;
        }
        self.open_roles.push(opened);
        let role = self.read_role(found, entry_point, call, &span);
        self.open_roles.pop();
        Some(role)
    }

    fn read_role(&mut self, found: Found, entry_point: String, call: RoleCall, span: &Span) -> Arc<RoleUse> {
        let library = found.path.join("library");
        if library.is_dir() {
            let mut all = self.loader.role_libraries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !all.contains(&library) {
                all.push(library);
            }
        }
        let meta = self.meta_of(&found, span);
        let defaults = self.role_vars(&found, "defaults", call.defaults_from.as_deref(), span);
        let vars = self.role_vars(&found, "vars", call.vars_from.as_deref(), span);
        let identity = identity(&found, &call);
        let argument_specs = self.argument_specs(&found).or(meta.argument_specs);
        // A role does not see the collections of the play: its own collection, then those of its meta.
        let mut collections: Vec<String> = found.collection.iter().cloned().collect();
        for name in meta.collections {
            if !collections.contains(&name) {
                collections.push(name);
            }
        }
        let name = match &found.collection {
            Some(collection) => format!("{collection}.{}", found.name),
            None => found.name.clone(),
        };
        let mut shell = RoleUse {
            id: self.loader.next_role_id(),
            identity: identity.into(),
            role: Arc::new(Role {
                name,
                path: found.path.clone(),
                collection: found.collection.clone(),
                allow_duplicates: meta.allow_duplicates,
                argument_specs,
            }),
            collections: collections.clone(),
            allow_duplicates: call.allow_duplicates.unwrap_or(meta.allow_duplicates),
            from_include: call.from_include,
            public: call.public.unwrap_or(!call.dynamic),
            playbook_dir: call.playbook_dir.clone(),
            entry_point,
            parents: call.ancestors.iter().map(|a| a.role.name.clone()).collect(),
            ancestors: call.ancestors.clone(),
            keywords: call.keywords.clone(),
            params: call.params.clone(),
            dependencies: vec![],
            tasks: vec![],
            handlers: vec![],
            defaults,
            vars,
            span: span.clone(),
        };
        let core = Arc::new(shell.clone());
        let around = Around {
            playbook_dir: call.playbook_dir.clone(),
            role: Some(core.clone()),
            place: Place::Task,
            collections: collections.clone(),
            vars: role_scopes(&call.vars, &shell),
            has_defaults: true,
            in_block: false,
        };
        let base = RoleCall {
            ancestors: chain(Some(&core)),
            playbook_dir: call.playbook_dir.clone(),
            collections: collections.clone(),
            vars: around.vars.clone(),
            dynamic: call.dynamic,
            ..RoleCall::default()
        };
        for dependency in &meta.dependencies {
            shell.dependencies.extend(self.role_entry(dependency, &base));
        }
        if !call.skip_validation {
            shell.tasks.extend(validation(&shell, &core, span));
        }
        for (folder, from, place) in [
            ("tasks", call.tasks_from.as_deref(), Place::Task),
            ("handlers", call.handlers_from.as_deref(), Place::Handler),
        ] {
            let Some(path) = self.role_file(&found, folder, from, span) else { continue };
            let items = self.tasks_file(&path, &Around { place, ..around.clone() });
            match place {
                Place::Task => shell.tasks.extend(items),
                _ => shell.handlers = items,
            }
        }
        Arc::new(shell)
    }

    /// Where a role lies: in a collection if its name says so, else beside the playbook, in roles_path, beside the
    /// role that calls it, or at the path that the name is.
    fn find_role(&self, name: &str, call: &RoleCall) -> Result<Found, Problem> {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() >= 3 && !name.contains('/') {
            let collection = format!("{}.{}", parts[0], parts[1]);
            if let Some(root) = self.loader.collection(&collection, &call.playbook_dir) {
                let mut path = root.join("roles");
                path.extend(&parts[2..]);
                if path.is_dir() {
                    return Ok(Found { name: parts[2..].join("."), path, collection: Some(collection) });
                }
            }
        }
        for collection in &call.collections {
            let Some(root) = self.loader.collection(collection, &call.playbook_dir) else { continue };
            let path = root.join("roles").join(name);
            if path.is_dir() {
                return Ok(Found { name: name.to_owned(), path, collection: Some(collection.clone()) });
            }
        }
        let mut folders = vec![call.playbook_dir.join("roles")];
        folders.extend(self.loader.settings.roles_path.iter().cloned());
        folders.extend(call.ancestors.last().and_then(|a| a.role.path.parent()).map(Path::to_owned));
        folders.push(call.playbook_dir.clone());
        for folder in &folders {
            let path = folder.join(name);
            if path.is_dir() {
                return Ok(Found { name: name.to_owned(), path: absolute(&path), collection: None });
            }
        }
        let path = match name.strip_prefix("~/").zip(std::env::var_os("HOME")) {
            Some((rest, home)) => Path::new(&home).join(rest),
            None => PathBuf::from(name),
        };
        if path.is_dir() && (path.is_absolute() || name.contains('/')) {
            return Ok(Found { name: role_name_of(&path), path: absolute(&path), collection: None });
        }
        let mut problem = Problem::new("role-not-found", format!("no role is named `{name}`"));
        let mut names: Vec<String> = vec![];
        folders.dedup();
        for folder in &folders {
            problem = problem.note(format!("looked in {}", display_path(folder)));
            names.extend(
                std::fs::read_dir(folder)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|e| e.path().is_dir())
                    .map(|e| e.file_name().to_string_lossy().into_owned()),
            );
        }
        if parts.len() == 3 && !call.collections.iter().any(|c| name.starts_with(c.as_str())) {
            problem = problem.help("a collection's role is looked for below `collections/ansible_collections/`");
        }
        Err(problem.nearest(name, names.iter().map(String::as_str)))
    }
}

impl RoleUse {
    /// What the role runs: its dependencies as blocks, then its own tasks.
    pub fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.dependencies.iter().map(Self::as_block).collect();
        items.extend(self.tasks.iter().cloned());
        items
    }

    /// The use as a block with the entry's keywords.
    pub fn as_block(self: &Arc<Self>) -> Item {
        Item::Block(Arc::new(Block {
            keywords: self.keywords.clone(),
            block: self.items(),
            rescue: vec![],
            always: vec![],
            origin: BlockOrigin::Role,
            role: Some(self.clone()),
            span: self.span.clone(),
        }))
    }

    /// All uses below this one, those that run first before; itself last.
    pub fn with_dependencies(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all: Vec<Arc<Self>> = self.dependencies.iter().flat_map(Self::with_dependencies).collect();
        all.push(self.clone());
        all
    }
}

/// What a role's static imports know.
fn role_scopes(outer: &StaticVars, role: &RoleUse) -> StaticVars {
    let name = &role.role.name;
    let mut scopes = vec![Scope::written(format!("role defaults ({name})"), role.defaults.iter().cloned())];
    scopes.extend(outer.scopes.iter().cloned());
    scopes.push(Scope::written(format!("role vars ({name})"), role.vars.iter().cloned()));
    scopes.push(Scope::written("role parameters", role.params.iter().cloned()));
    scopes.push(Scope::written("vars of the role entry", role.keywords.vars.iter().cloned()));
    StaticVars { scopes, playbook_dir: role.playbook_dir.clone(), role_path: Some(role.role.path.clone()) }
}

/// The task that checks the role's arguments, if its specification has the entry point.
fn validation(role: &RoleUse, core: &Arc<RoleUse>, span: &Span) -> Option<Item> {
    let specs = role.role.argument_specs.as_ref()?.as_map()?;
    let spec = specs.get(&role.entry_point)?;
    let map = spec.as_map().filter(|m| !m.is_empty())?;
    let mut name = format!("Validating arguments against arg spec '{}'", role.entry_point);
    if let Some(text) = map.get("short_description").and_then(scalar_text) {
        name = format!("{name} - {text}");
    }
    let text = |t: &str| Node::text(t, &spec.span);
    let mapping = |entries: Vec<(Node, Node)>| Node::new(Yaml::Map(Arc::new(Mapping { entries })), spec.span.clone());
    let short_name =
        role.role.name.strip_prefix(&role.role.collection.as_ref().map_or_else(String::new, |c| format!("{c}.")));
    let context = mapping(vec![
        (text("type"), text("role")),
        (text("name"), text(short_name.unwrap_or(&role.role.name))),
        (text("argument_spec_name"), text(&role.entry_point)),
        (text("path"), text(&role.role.path.display().to_string())),
    ]);
    let args = vec![
        (text("argument_spec"), map.get("options").cloned().unwrap_or_else(|| mapping(vec![]))),
        (
            text("provided_arguments"),
            mapping(role.params.iter().map(|(k, v)| (Node::text(k.as_str(), &v.span), v.clone())).collect()),
        ),
        (text("validate_args_context"), context),
    ];
    let action = Action::Module {
        name: "validate_argument_spec".to_owned(),
        written: "ansible.builtin.validate_argument_spec".to_owned(),
    };
    Some(Item::Task(Arc::new(Task {
        keywords: Keywords { name: Some(text(&name)), tags: vec![text("always")], ..Keywords::default() },
        role: Some(core.clone()),
        ..Task::new(action, TaskArgs::Named(args), span)
    })))
}

/// Everything by which Ansible tells two uses of a role apart.
fn identity(found: &Found, call: &RoleCall) -> String {
    use std::fmt::Write as _;
    let mut text = found.path.display().to_string();
    for from in [&call.tasks_from, &call.handlers_from, &call.vars_from, &call.defaults_from] {
        let _ = write!(text, "|{from:?}");
    }
    let _ = write!(text, "|{}", call.from_include);
    let mut pairs = |label: &str, vars: &[(String, Node)]| {
        let mut lines: Vec<String> = vars.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
        lines.sort();
        let _ = write!(text, "|{label}:{}", lines.join(","));
    };
    pairs("params", &call.params);
    pairs("vars", &call.keywords.vars);
    for (label, nodes) in [("when", &call.keywords.when), ("tags", &call.keywords.tags)] {
        let _ = write!(text, "|{label}:{}", nodes.iter().map(plain).collect::<Vec<_>>().join(","));
    }
    text
}

/// A node's value as text, without places: equal values, equal text.
fn plain(node: &Node) -> String {
    match &node.value {
        Yaml::Null => "null".to_owned(),
        Yaml::Bool(b) => b.to_string(),
        Yaml::Int(i) => i.to_string(),
        Yaml::BigInt(i) => i.to_string(),
        Yaml::Float(f) => format!("{f:?}"),
        Yaml::Str(s) => format!("{:?}", s.text),
        Yaml::Vault(v) => format!("!vault {v:?}"),
        Yaml::Seq(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Yaml::Map(map) => {
            let mut lines: Vec<String> = map.iter().map(|(k, v)| format!("{}:{}", plain(k), plain(v))).collect();
            lines.sort();
            format!("{{{}}}", lines.join(","))
        }
    }
}

fn role_name_of(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Without `.` and `x/..`.
pub(super) fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// A role parameter that is likely a mistyped keyword.
fn suspicious(key: &str) -> Option<&'static str> {
    let distance_one = |name: &&str| strsim::damerau_levenshtein(key, name) == 1;
    ["when", "tags", "vars", "become", "become_user", "environment", "delegate_to"].into_iter().find(distance_one)
}
