//! Playbook files: their plays, and the playbooks they import.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::display_path;
use crate::yaml::{Mapping, Node, Yaml};

use super::keywords::{self, Place, Shape, list, shown};
use super::loader::{Around, PlaybookCall, RoleCall, Session, StaticVars, scalar_text};
use super::model::{Keywords, Play};
use super::roles::tidy;

const IMPORTS: &[&str] = &["import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook"];

impl Session<'_> {
    /// The plays of a file, those of imported playbooks in their place.
    pub(super) fn playbook_file(&mut self, path: &Path, call: &PlaybookCall) -> Vec<Arc<Play>> {
        let Some(node) = self.file(path, None) else { return vec![] };
        let wrong = |message: String| Problem::new("wrong-type", message).at(&node.span);
        let entries = match &node.value {
            Yaml::Seq(entries) if !entries.is_empty() => entries.clone(),
            Yaml::Null | Yaml::Seq(_) => {
                self.problem(
                    Problem::new("empty-playbook", format!("{} has no plays", display_path(path))).at(&node.span),
                );
                return vec![];
            }
            Yaml::Map(map) if map.get("hosts").is_some() => {
                self.problem(wrong("a playbook must be a list of plays".to_owned()).help("begin the play with `- `"));
                return vec![];
            }
            _ => {
                self.problem(wrong(format!("a playbook must be a list of plays, not {}", node.kind())));
                return vec![];
            }
        };
        let dir = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut plays = vec![];
        for entry in entries.iter() {
            let Some(map) = entry.as_map() else {
                self.problem(
                    Problem::new("wrong-type", format!("a play must be a mapping, not {}", shown(entry)))
                        .at(&entry.span),
                );
                continue;
            };
            if IMPORTS.iter().any(|k| map.get(k).is_some()) {
                plays.extend(self.import_playbook(entry, map, &dir, call));
            } else {
                plays.extend(self.play(entry, map, path, &dir, call).map(Arc::new));
            }
        }
        plays
    }

    fn import_playbook(&mut self, node: &Node, map: &Mapping, dir: &Path, call: &PlaybookCall) -> Vec<Arc<Play>> {
        let mut keywords = Keywords::default();
        let mut named: Option<&Node> = None;
        for (key_node, value) in map.iter() {
            let key = key_node.as_str().unwrap_or_default();
            if IMPORTS.contains(&key) {
                if named.is_some() {
                    self.problem(
                        Problem::new("conflicting-statements", "one entry imports one playbook").at(&key_node.span),
                    );
                }
                named = Some(value);
                continue;
            }
            self.shared_keyword(Place::ImportPlaybook, key_node, key, value, &mut keywords);
        }
        let Some(named) = named else { return vec![] };
        // `import_playbook` hands on `when`, `tags` and `vars` only.
        let mut inner = call.clone();
        // What an import around this one says is stronger.
        for (name, value) in &keywords.vars {
            if !inner.vars.iter().any(|(n, _)| n == name) {
                inner.vars.push((name.clone(), value.clone()));
            }
        }
        let vars = StaticVars {
            scopes: vec![crate::vars::Scope::written("import_playbook vars", inner.vars.iter().cloned())],
            playbook_dir: dir.to_owned(),
            role_path: None,
        };
        let Some(name) = self.static_text("the file name of `import_playbook`", named, &vars) else { return vec![] };
        inner.keywords.push(keywords);
        let path = self.find_playbook(&name, dir);
        if self.open_files.contains(&path) {
            self.problem(
                Problem::new("import-cycle", format!("{} imports itself, which never ends", display_path(&path)))
                    .at(&named.span),
            );
            return vec![];
        }
        if !path.is_file() {
            let mut problem = Problem::new("file-not-found", format!("no such playbook: `{name}`"))
                .at(&named.span)
                .note(format!("looked for {}", display_path(&path)));
            let names: Vec<String> = std::fs::read_dir(path.parent().unwrap_or(dir))
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect();
            let wanted = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            problem = problem.nearest(&wanted, names.iter().map(String::as_str));
            self.problem(problem);
            return vec![];
        }
        self.open_files.push(tidy(&node.span.file.path));
        self.open_files.push(path.clone());
        let plays = self.playbook_file(&path, &inner);
        self.open_files.truncate(self.open_files.len() - 2);
        plays
    }

    /// `namespace.collection.playbook` in a collection, else a path from the importing file.
    fn find_playbook(&self, name: &str, dir: &Path) -> PathBuf {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() >= 3
            && !name.contains('/')
            && let Some(root) = self.loader.collection(&format!("{}.{}", parts[0], parts[1]), dir)
        {
            let dir = root.join("playbooks");
            // The ending may be written out: the last part is it then.
            let (last, folders) = parts[2..].split_last().unwrap_or((&"", &[]));
            let mut places = vec![dir.join(parts[2..].join("/") + ".yml"), dir.join(parts[2..].join("/") + ".yaml")];
            if matches!(*last, "yml" | "yaml") && !folders.is_empty() {
                places.push(dir.join(format!("{}.{last}", folders.join("/"))));
            }
            for path in places {
                if path.is_file() {
                    return path;
                }
            }
        }
        tidy(&dir.join(name))
    }

    fn play(&mut self, node: &Node, map: &Mapping, path: &Path, dir: &Path, call: &PlaybookCall) -> Option<Play> {
        let mut play = Play {
            import_vars: call.vars.clone(),
            import_keywords: call.keywords.clone(),
            playbook: path.to_owned(),
            ..Play::new(Node::text("", &node.span), &node.span)
        };
        let mut fine = true;
        for (key_node, value) in map.iter() {
            let key = key_node.as_str().unwrap_or_default();
            let Some(shape) = keywords::shape(Place::Play, key) else {
                let problem = match key {
                    "include" => Problem::new("removed", "`include` of a playbook was removed from the language")
                        .at(&key_node.span)
                        .help("use `import_playbook`"),
                    _ if self.is_module(key, &self.play_around(dir, &play)) => {
                        Problem::new("misplaced", format!("`{key}` is a task's module and cannot stand on a play"))
                            .at(&key_node.span)
                            .help("put it in the play's `tasks:`")
                    }
                    _ => keywords::unknown(Place::Play, key, &key_node.span),
                };
                self.problem(problem);
                continue;
            };
            if let Some(problem) = keywords::check(key, shape, value) {
                self.problem(problem);
                continue;
            }
            self.play_keyword(&mut play, key, key_node, value, map);
        }
        // An import's variables take the place of the play's own.
        for (name, value) in &call.vars {
            play.keywords.vars.retain(|(n, _)| n != name);
            play.keywords.vars.push((name.clone(), value.clone()));
        }
        match map.entry("hosts") {
            None => {
                fine = false;
                self.problem(
                    Problem::new("missing-keyword", "a play needs `hosts`")
                        .at(&node.span)
                        .help("write `hosts: PATTERN`, e.g. a group of the inventory, or `hosts: localhost`"),
                );
            }
            Some((key, hosts)) => {
                let is_empty = match &hosts.value {
                    Yaml::Null => true,
                    Yaml::Str(s) => s.text.trim().is_empty(),
                    Yaml::Seq(items) => {
                        items.is_empty() || items.iter().any(|i| i.as_str().is_some_and(|s| s.trim().is_empty()))
                    }
                    _ => false,
                };
                if is_empty {
                    fine = false;
                    self.problem(Problem::new("missing-keyword", "`hosts` of a play cannot be empty").at(&key.span));
                }
                play.hosts = hosts.clone();
            }
        }
        let mut around = self.play_around(dir, &play);
        self.module_defaults(&play.keywords, &around);
        self.vars_files(&play, dir, &mut around);
        self.play_items(&mut play, map, &around);
        fine.then_some(play)
    }

    /// Adds what the play's `vars_files` say to what static imports may use. A file named by a template that needs a host's
    /// variables is read only while hosts run.
    fn vars_files(&mut self, play: &Play, dir: &Path, around: &mut Around) {
        for entry in &play.vars_files {
            // Of a list the first file that exists counts.
            let choices = list(entry);
            if choices.iter().any(|c| c.as_seq().is_some() || c.as_map().is_some()) {
                self.problem(
                    Problem::new(
                        "wrong-type",
                        format!("`vars_files` must be a list of files, not of {}", shown(entry)),
                    )
                    .at(&entry.span),
                );
                continue;
            }
            let mut all_known = true;
            let mut found = None;
            let mut tried = vec![];
            for choice in &choices {
                let name = if choice.has_template() {
                    let resolve = self.loader.settings.resolve.clone();
                    resolve.and_then(|r| r(choice, &around.vars).ok()).map(|v| crate::resources::text_of(&v))
                } else {
                    scalar_text(choice)
                };
                let Some(name) = name else {
                    all_known = false;
                    break;
                };
                let places = [dir.join("vars").join(&name), dir.join(&name)];
                found = places.iter().find(|p| p.is_file()).cloned();
                if found.is_some() {
                    break;
                }
                tried.extend(places);
            }
            match found {
                Some(path) => {
                    // A vaulted file is opened when hosts run; here it only gives no names.
                    let Ok((node, _)) = self.loader.file(&path) else { continue };
                    let Some(map) = node.as_map() else { continue };
                    let vars = map.iter().filter_map(|(k, v)| Some((scalar_text(k)?, v.clone())));
                    around.vars.scopes.push(crate::vars::Scope::written(display_path(&path), vars));
                }
                // Of a list of alternatives none need exist.
                None if all_known && entry.as_seq().is_none() => {
                    let mut problem = Problem::new("file-not-found", "no such variables file").at(&entry.span);
                    for path in tried {
                        problem = problem.note(format!("looked for {}", display_path(&path)));
                    }
                    self.problem(problem);
                }
                None => {}
            }
        }
    }

    fn play_around(&self, dir: &Path, play: &Play) -> Around {
        let mut vars = super::loader::Loader::static_vars(play);
        vars.playbook_dir = dir.to_owned();
        Around {
            playbook_dir: dir.to_owned(),
            role: None,
            place: Place::Task,
            collections: collections_of(play),
            vars,
            has_defaults: !play.keywords.module_defaults.is_empty(),
            in_block: false,
        }
    }

    fn play_keyword(&mut self, play: &mut Play, key: &str, key_node: &Node, value: &Node, map: &Mapping) {
        let one = || (!value.is_null()).then(|| value.clone());
        match key {
            "gather_facts" => play.gather_facts = one(),
            "gather_subset" => play.gather_subset = one(),
            "gather_timeout" => play.gather_timeout = one(),
            "serial" => play.serial = one(),
            "max_fail_percentage" => {
                if let Some(problem) = percentage(value) {
                    self.problem(problem);
                }
                play.max_fail_percentage = one();
            }
            "strategy" => {
                const STRATEGIES: &[&str] = &["linear", "free", "host_pinned", "debug"];
                if let Some(text) = value.as_str().filter(|_| !value.has_template()) {
                    let short = super::modules::canonical(text);
                    // mitogen's strategies only speed Ansible up: the order of tasks is the same.
                    let short = short.strip_prefix("mitogen_").unwrap_or(short);
                    if !STRATEGIES.contains(&short) {
                        self.problem(
                            Problem::new("wrong-value", format!("no strategy is named `{text}`"))
                                .at(&value.span)
                                .nearest(short, STRATEGIES.iter().copied())
                                .help(format!("one of: {}", STRATEGIES.join(", "))),
                        );
                    }
                }
                play.strategy = one();
            }
            "order" => {
                const ORDERS: &[&str] = &["inventory", "sorted", "reverse_sorted", "reverse_inventory", "shuffle"];
                if let Some(text) = value.as_str().filter(|t| !value.has_template() && !ORDERS.contains(t)) {
                    self.problem(
                        Problem::new("wrong-value", format!("`order` cannot be `{text}`"))
                            .at(&value.span)
                            .nearest(text, ORDERS.iter().copied())
                            .help(format!("one of: {}", ORDERS.join(", "))),
                    );
                }
                play.order = one();
            }
            "force_handlers" => play.force_handlers = one(),
            "fact_path" => play.fact_path = one(),
            "vars_files" => play.vars_files = list(value),
            "vars_prompt" => play.vars_prompt = self.vars_prompt(value),
            "user" => {
                if map.get("remote_user").is_some() {
                    self.problem(
                        Problem::new("conflicting-statements", "a play has `user` or `remote_user`, not both")
                            .at(&key_node.span)
                            .help("remove `user`: it is the old name"),
                    );
                }
                play.keywords.remote_user = one();
            }
            "hosts" | "roles" | "tasks" | "pre_tasks" | "post_tasks" | "handlers" => {}
            _ => {
                keywords::take(&mut play.keywords, key, value, &mut self.problems);
            }
        }
    }

    fn play_items(&mut self, play: &mut Play, map: &Mapping, around: &Around) {
        if let Some(value) = map.get("roles").filter(|v| !v.is_null()) {
            match value.as_seq() {
                Some(entries) => {
                    let base = RoleCall {
                        playbook_dir: around.playbook_dir.clone(),
                        collections: around.collections.clone(),
                        vars: around.vars.clone(),
                        ..RoleCall::default()
                    };
                    for entry in entries.iter().filter(|e| !e.is_null()) {
                        play.roles.extend(self.role_entry(entry, &base));
                    }
                }
                None => self.problem(
                    Problem::new("wrong-type", format!("`roles` must be a list, not {}", shown(value))).at(&value.span),
                ),
            }
        }
        for key in ["pre_tasks", "tasks", "post_tasks", "handlers"] {
            let Some(value) = map.get(key) else { continue };
            let place = if key == "handlers" { Place::Handler } else { Place::Task };
            let items = self.items(&format!("`{key}`"), value, &Around { place, ..around.clone() });
            match key {
                "pre_tasks" => play.pre_tasks = items,
                "tasks" => play.tasks = items,
                "post_tasks" => play.post_tasks = items,
                _ => play.handlers = items,
            }
        }
        play.imported_roles = std::mem::take(&mut self.imported_roles);
    }

    fn vars_prompt(&mut self, value: &Node) -> Vec<Node> {
        const KEYS: &[&str] =
            &["name", "prompt", "default", "private", "confirm", "encrypt", "salt_size", "salt", "unsafe"];
        let prompts = list(value);
        for prompt in &prompts {
            let Some(map) = prompt.as_map() else {
                self.problem(
                    Problem::new(
                        "wrong-type",
                        format!("`vars_prompt` must be a list of mappings, not {}", shown(prompt)),
                    )
                    .at(&prompt.span),
                );
                continue;
            };
            if map.get("name").is_none() {
                self.problem(
                    Problem::new("missing-keyword", "a prompt needs the `name` of its variable").at(&prompt.span),
                );
            }
            for (key, value) in map.iter() {
                let name = key.as_str().unwrap_or_default();
                if !KEYS.contains(&name) {
                    self.problem(
                        Problem::new("unknown-keyword", format!("`vars_prompt` has no {}", shown(key)))
                            .at(&key.span)
                            .nearest(name, KEYS.iter().copied()),
                    );
                } else if matches!(name, "private" | "confirm" | "unsafe")
                    && let Some(problem) = keywords::check(name, Shape::Bool, value)
                {
                    self.problem(problem);
                }
            }
        }
        prompts
    }
}

/// `30`, `30%`, `"30"`.
fn percentage(value: &Node) -> Option<Problem> {
    let fine = match &value.value {
        Yaml::Null | Yaml::Int(_) | Yaml::Float(_) => true,
        Yaml::Str(s) => value.has_template() || s.text.replace('%', "").trim().parse::<f64>().is_ok(),
        _ => false,
    };
    (!fine).then(|| {
        Problem::new("wrong-type", format!("`max_fail_percentage` must be a percentage, not {}", shown(value)))
            .at(&value.span)
    })
}

/// A play's `collections`.
pub fn collections_of(play: &Play) -> Vec<String> {
    let named = play.keywords.collections.as_ref().map(list).unwrap_or_default();
    named.iter().filter_map(scalar_text).collect()
}
