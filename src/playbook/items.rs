//! Lists of tasks: blocks, imports that are expanded in place, includes that stay tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::{Span, display_path};
use crate::yaml::{Mapping, Node};

use super::keywords::{self, Place, shown};
use super::loader::{Around, RoleCall, Session};
use super::model::{Action, Block, BlockOrigin, Item, Keywords, RoleUse, Task, TaskArgs};
use super::task::Draft;

/// Options by name.
type Entries = Vec<(Node, Node)>;

impl Session<'_> {
    /// The items of a task file.
    pub(super) fn tasks_file(&mut self, path: &Path, around: &Around) -> Vec<Item> {
        self.open_file(path, None, |session, node| session.file_items(&node, path, around)).unwrap_or_default()
    }

    fn file_items(&mut self, node: &Node, path: &Path, around: &Around) -> Vec<Item> {
        if node.is_null() {
            self.warn(Problem::new("empty-file", format!("{} has no tasks", display_path(path))).at(&node.span));
            return vec![];
        }
        if node.as_seq().is_none() {
            self.problem(
                Problem::new("wrong-type", format!("a file of tasks must hold a list, not {}", node.kind()))
                    .at(&node.span)
                    .help(if node.as_map().is_some_and(|m| m.get("hosts").is_some()) {
                        "plays stand in a playbook"
                    } else {
                        "begin each task with `- `"
                    }),
            );
            return vec![];
        }
        if let Some(play) = node.as_seq().and_then(|items| {
            items.iter().find(|i| i.as_map().is_some_and(|m| m.get("hosts").is_some() && m.get("tasks").is_some()))
        }) {
            self.problem(
                Problem::new("misplaced", "a play cannot stand in a file of tasks")
                    .at(&play.span)
                    .help("use `import_playbook` among the plays of a playbook"),
            );
            return vec![];
        }
        self.items("the file", node, around)
    }

    /// A list of tasks and blocks.
    pub(super) fn items(&mut self, what: &str, node: &Node, around: &Around) -> Vec<Item> {
        if node.is_null() {
            return vec![];
        }
        let Some(entries) = node.as_seq() else {
            self.problem(
                Problem::new("wrong-type", format!("{what} must be a list of tasks, not {}", shown(node)))
                    .at(&node.span)
                    .help("begin each task with `- `"),
            );
            return vec![];
        };
        let mut items = vec![];
        for entry in entries {
            if entry.is_null() && !around.in_block {
                self.warn(Problem::new("empty-task", "an empty task is ignored").at(&entry.span));
                continue;
            }
            let Some(map) = entry.as_map() else {
                self.problem(
                    Problem::new("wrong-type", format!("a task must be a mapping, not {}", shown(entry)))
                        .at(&entry.span)
                        .help("write `- name: …` and the module below it"),
                );
                continue;
            };
            let is_block = ["block", "rescue", "always"].iter().any(|k| map.get(k).is_some());
            items.extend(if is_block { self.block(entry, map, around) } else { self.task(entry, map, around) });
        }
        items
    }

    fn block(&mut self, node: &Node, map: &Mapping, around: &Around) -> Option<Item> {
        // A block at the top of a list of handlers lends its keywords to the handlers in it; deeper ones are refused.
        if around.is_handlers() && around.in_block {
            self.problem(
                Problem::new("misplaced", "a block within a block cannot hold handlers")
                    .at(&node.span)
                    .help("make each of its tasks a handler, with one `listen` topic for all"),
            );
            return None;
        }
        let mut keywords = Keywords::default();
        for (key_node, value) in map.iter() {
            let key = key_node.as_str().unwrap_or_default();
            if matches!(key, "block" | "rescue" | "always") {
                continue;
            }
            self.shared_keyword(Place::Block, key_node, key, value, &mut keywords);
        }
        self.module_defaults(&keywords, around);
        let mut inner = around.with_vars("block vars", &keywords.vars);
        inner.has_defaults |= !keywords.module_defaults.is_empty();
        inner.in_block = true;
        let mut sections = [vec![], vec![], vec![]];
        for (section, name) in sections.iter_mut().zip(["block", "rescue", "always"]) {
            let Some((key, value)) = map.entry(name) else { continue };
            if name == "block" && value.is_null() {
                self.problem(Problem::new("wrong-type", "`block` has no tasks").at(&key.span));
                continue;
            }
            *section = self.items(&format!("`{name}`"), value, &inner);
            let has_any = value.as_seq().is_some_and(|s| !s.is_empty());
            if name != "block" && has_any && map.get("block").is_none_or(|b| b.as_seq().is_some_and(<[Node]>::is_empty))
            {
                self.problem(
                    Problem::new("missing-keyword", format!("`{name}` stands without a `block`")).at(&key.span),
                );
            }
        }
        let [block, mut rescue, mut always] = sections;
        if around.is_handlers() && !(rescue.is_empty() && always.is_empty()) {
            self.warn(
                Problem::new("never-runs", "`rescue` and `always` of a block of handlers never run").at(&node.span),
            );
            rescue.clear();
            always.clear();
        }
        Some(Item::Block(Arc::new(Block {
            keywords,
            block,
            rescue,
            always,
            origin: BlockOrigin::Written,
            role: around.role.clone(),
            span: node.span.clone(),
        })))
    }

    /// Reads one keyword that is not special to its object.
    pub(super) fn shared_keyword(
        &mut self,
        place: Place,
        key_node: &Node,
        key: &str,
        value: &Node,
        into: &mut Keywords,
    ) {
        let Some(shape) = keywords::shape(place, key) else {
            let problem = match key_node.as_str() {
                Some(_) => keywords::unknown(place, key, &key_node.span),
                None => Problem::new("wrong-type", format!("a keyword must be text, not {}", shown(key_node)))
                    .at(&key_node.span),
            };
            self.problem(problem);
            return;
        };
        match keywords::check(key, shape, value) {
            Some(problem) => self.problem(problem),
            None => {
                keywords::take(into, key, value, &mut self.problems);
            }
        }
    }

    /// `include_tasks`: stays a task; its arguments become `file` and `apply`.
    pub(super) fn include_tasks(&mut self, draft: Draft) -> Option<Item> {
        let Draft { mut task, statement, .. } = draft;
        let (file, apply) = self.file_and_apply(&mut task, &statement, true)?;
        task.action = Action::IncludeTasks;
        task.args = TaskArgs::Named(vec![(Node::text("file", &file.span), file)]);
        task.apply_written = apply.clone();
        task.apply = apply.map(|node| Box::new(self.apply(&node)));
        Some(Item::Task(Arc::new(task)))
    }

    /// The file an include or import names; problems with its other options.
    fn file_and_apply(&mut self, task: &mut Task, at: &Span, may_apply: bool) -> Option<(Node, Option<Node>)> {
        let written = task.written.clone();
        let (free, named) = match std::mem::replace(&mut task.args, TaskArgs::Named(vec![])) {
            TaskArgs::Free(text, named) => (Some(text), named),
            TaskArgs::Named(named) => (None, named),
            TaskArgs::Template(template, _) => {
                self.problem(
                    Problem::unsupported(format_args!("the options of `{written}` as a template")).at(&template.span),
                );
                return None;
            }
        };
        let mut file = free;
        let mut apply = None;
        let mut fine = true;
        for (key, value) in named {
            match key.as_str() {
                Some("file") => file = file.or(Some(value)),
                Some("_raw_params") => file = Some(value),
                Some("apply") if may_apply => apply = Some(value),
                Some("apply") => {
                    fine = false;
                    self.problem(
                        Problem::new("unknown-argument", format!("`{written}` has no `apply`")).at(&key.span).help(
                            "keywords of an import are handed on as they are: write them on the statement itself",
                        ),
                    );
                }
                name => {
                    fine = false;
                    let name = name.unwrap_or_default();
                    self.problem(
                        Problem::new("unknown-argument", format!("`{written}` has no option `{name}`"))
                            .at(&key.span)
                            .nearest(name, ["file", "apply"])
                            .help("variables for the file go under `vars:`"),
                    );
                }
            }
        }
        match file.filter(|f| !f.is_null() && f.as_str() != Some("")) {
            Some(file) if fine => Some((file, apply)),
            Some(_) => None,
            None => {
                self.problem(Problem::new("missing-argument", format!("`{written}` names no file")).at(at));
                None
            }
        }
    }

    /// `apply:`, the keywords of a block.
    fn apply(&mut self, node: &Node) -> Keywords {
        let mut keywords = Keywords::default();
        if node.is_null() {
            return keywords;
        }
        let Some(map) = node.as_map() else {
            self.problem(
                Problem::new("wrong-type", format!("`apply` must be a mapping, not {}", shown(node))).at(&node.span),
            );
            return keywords;
        };
        for (key_node, value) in map.iter() {
            let key = key_node.as_str().unwrap_or_default();
            self.shared_keyword(Place::Block, key_node, key, value, &mut keywords);
        }
        keywords
    }

    /// `import_tasks`: the file's items in a block with the statement's keywords.
    pub(super) fn import_tasks(&mut self, draft: Draft, around: &Around) -> Option<Item> {
        let Draft { mut task, statement, loop_at, .. } = draft;
        if let Some(span) = loop_at {
            self.problem(no_loop("import_tasks", "include_tasks", &span));
            return None;
        }
        let (file, _) = self.file_and_apply(&mut task, &statement, false)?;
        let mut inner = around.with_vars("import vars", &task.keywords.vars);
        inner.has_defaults |= !task.keywords.module_defaults.is_empty();
        let name = self.static_text("the file name of `import_tasks`", &file, &inner.vars)?;
        let Some(path) = self.find_tasks_file(&name, &file.span, around, true) else {
            let problem = self.no_such_file(&name, &file.span, around, true);
            self.problem(problem);
            return None;
        };
        inner.in_block = false;
        let items =
            self.open_file(&path, Some(&file.span), |session, node| session.file_items(&node, &path, &inner))?;
        let mut keywords = std::mem::take(&mut task.keywords);
        // What only a task carries is handed on as a block does.
        keywords.notify.extend(std::mem::take(&mut task.notify));
        Some(Item::Block(Arc::new(Block {
            keywords,
            block: items,
            rescue: vec![],
            always: vec![],
            origin: BlockOrigin::ImportTasks,
            role: None,
            span: task.span,
        })))
    }

    /// Reads a file while it counts as open; an import of an open file would go round for ever.
    fn open_file<T>(&mut self, path: &Path, at: Option<&Span>, read: impl FnOnce(&mut Self, Node) -> T) -> Option<T> {
        if self.open_files.iter().any(|open| open == path) {
            let mut problem =
                Problem::new("import-cycle", format!("{} imports itself, which never ends", display_path(path)));
            if let Some(span) = at {
                problem = problem.at(span);
            }
            for open in &self.open_files {
                problem = problem.note(format!("through {}", display_path(open)));
            }
            self.problem(problem.help("`include_tasks` with a condition may include its own file"));
            return None;
        }
        let node = self.file(path, at)?;
        self.open_files.push(path.to_owned());
        let result = read(self, node);
        self.open_files.pop();
        Some(result)
    }

    /// The task file a statement names: see [`candidates`].
    fn find_tasks_file(&self, name: &str, at: &Span, around: &Around, is_import: bool) -> Option<PathBuf> {
        candidates(name, at.dir(), around.role.as_ref(), &around.playbook_dir, around.is_handlers(), is_import)
            .into_iter()
            .find(|c| c.is_file())
    }

    fn no_such_file(&self, name: &str, at: &Span, around: &Around, is_import: bool) -> Problem {
        let tried =
            candidates(name, at.dir(), around.role.as_ref(), &around.playbook_dir, around.is_handlers(), is_import);
        not_found(name, at, &tried)
    }

    /// `include_role`: stays a task, its options named and checked.
    pub(super) fn include_role(&mut self, draft: Draft, around: &Around) -> Option<Item> {
        let Draft { mut task, statement, .. } = draft;
        if around.is_handlers() {
            self.problem(misplaced_role("include_role", &statement));
            return None;
        }
        let (options, apply) = self.role_options(&mut task, &statement, true)?;
        task.apply_written = apply.clone();
        task.apply = apply.map(|node| Box::new(self.apply(&node)));
        task.action = Action::IncludeRole;
        task.args = TaskArgs::Named(options);
        Some(Item::Task(Arc::new(task)))
    }

    fn role_options(&mut self, task: &mut Task, at: &Span, may_apply: bool) -> Option<(Entries, Option<Node>)> {
        const OPTIONS: &[&str] = &[
            "name",
            "role",
            "tasks_from",
            "vars_from",
            "defaults_from",
            "handlers_from",
            "apply",
            "public",
            "allow_duplicates",
            "rolespec_validate",
        ];
        let written = task.written.clone();
        let named = match std::mem::replace(&mut task.args, TaskArgs::Named(vec![])) {
            TaskArgs::Named(named) => named,
            TaskArgs::Free(text, _) => {
                self.problem(
                    Problem::new(
                        "free-form",
                        format!("`{written}` takes options by name, not the text {}", shown(&text)),
                    )
                    .at(&text.span)
                    .help(format!("write `name: {}`", text.as_str().unwrap_or("ROLE"))),
                );
                return None;
            }
            TaskArgs::Template(template, _) => {
                self.problem(
                    Problem::unsupported(format_args!("the options of `{written}` as a template")).at(&template.span),
                );
                return None;
            }
        };
        let mut options = vec![];
        let mut apply = None;
        let mut fine = true;
        for (key, value) in named {
            let name = key.as_str().unwrap_or_default();
            let problem = match name {
                "apply" if may_apply => {
                    apply = Some(value);
                    continue;
                }
                "apply" => Problem::new("unknown-argument", format!("`{written}` has no `apply`"))
                    .at(&key.span)
                    .help("keywords of an import are handed on as they are: write them on the statement itself"),
                _ if !OPTIONS.contains(&name) => {
                    Problem::new("unknown-argument", format!("`{written}` has no option {}", shown(&key)))
                        .at(&key.span)
                        .nearest(name, OPTIONS.iter().copied())
                        .help("variables for the role go under `vars:`")
                }
                _ if name.ends_with("_from") && value.as_str().is_none() => {
                    Problem::new("wrong-type", format!("`{name}` must be text, not {}", shown(&value))).at(&value.span)
                }
                _ => {
                    options.push((key, value));
                    continue;
                }
            };
            fine = false;
            self.problem(problem);
        }
        let names_role = options.iter().any(|(k, v)| matches!(k.as_str(), Some("name" | "role")) && !v.is_null());
        if !names_role {
            self.problem(Problem::new("missing-argument", format!("`{written}` names no role")).at(at));
            return None;
        }
        fine.then_some((options, apply))
    }

    /// `import_role`: the role's dependencies and tasks in a block with the statement's keywords.
    pub(super) fn import_role(&mut self, draft: Draft, around: &Around) -> Option<Item> {
        let Draft { mut task, statement, loop_at, .. } = draft;
        if let Some(span) = loop_at {
            self.problem(no_loop("import_role", "include_role", &span));
            return None;
        }
        if around.is_handlers() {
            self.problem(misplaced_role("import_role", &statement));
            return None;
        }
        let (options, _) = self.role_options(&mut task, &statement, false)?;
        let inner = around.with_vars("import vars", &task.keywords.vars);
        let mut call = RoleCall {
            ancestors: chain(around.role.as_ref()),
            from_include: true,
            allow_duplicates: Some(true),
            playbook_dir: around.playbook_dir.clone(),
            collections: around.collections.clone(),
            vars: inner.vars.clone(),
            keywords: Keywords { vars: task.keywords.vars.clone(), ..Keywords::default() },
            ..RoleCall::default()
        };
        let mut name = None;
        for (key, value) in &options {
            let key = key.as_str().unwrap_or_default();
            match key {
                "name" | "role" => name = Some(value.clone()),
                "public" => call.public = self.static_bool(key, value),
                "allow_duplicates" => call.allow_duplicates = self.static_bool(key, value).or(Some(true)),
                "rolespec_validate" => call.skip_validation = self.static_bool(key, value) == Some(false),
                _ => {
                    let text = self.static_text(&format!("`{key}` of `import_role`"), value, &inner.vars)?;
                    match key {
                        "tasks_from" => call.tasks_from = Some(text),
                        "vars_from" => call.vars_from = Some(text),
                        "defaults_from" => call.defaults_from = Some(text),
                        _ => call.handlers_from = Some(text),
                    }
                }
            }
        }
        let role = self.role_use(&name?, call)?;
        self.imported_roles.push(role.clone());
        let mut keywords = std::mem::take(&mut task.keywords);
        keywords.notify.extend(std::mem::take(&mut task.notify));
        Some(Item::Block(Arc::new(Block {
            keywords,
            block: role.items(),
            rescue: vec![],
            always: vec![],
            origin: BlockOrigin::ImportRole,
            role: Some(role),
            span: task.span,
        })))
    }

    fn static_bool(&mut self, key: &str, value: &Node) -> Option<bool> {
        use crate::yaml::Yaml;
        let known = match &value.value {
            Yaml::Bool(b) => Some(*b),
            Yaml::Int(i @ (0 | 1)) => Some(*i == 1),
            Yaml::Str(s) => crate::resources::truth(&s.text),
            _ => None,
        };
        if known.is_none() {
            self.problem(
                Problem::new("wrong-type", format!("`{key}` must be true or false, not {}", shown(value)))
                    .at(&value.span),
            );
        }
        known
    }
}

/// The dependency chain of something called from within a role.
pub(super) fn chain(role: Option<&Arc<RoleUse>>) -> Vec<Arc<RoleUse>> {
    role.map_or_else(Vec::new, |role| {
        let mut all = role.ancestors.clone();
        all.push(role.clone());
        all
    })
}

fn no_loop(statement: &str, instead: &str, at: &Span) -> Problem {
    Problem::new("conflicting-statements", format!("`{statement}` cannot loop"))
        .at(at)
        .help(format!("use `{instead}`, which can"))
}

fn misplaced_role(statement: &str, at: &Span) -> Problem {
    Problem::new("misplaced", format!("`{statement}` cannot be a handler")).at(at)
}

/// Where a task file may lie, in the order it is looked for: beside the file that names it (for includes after the role's own
/// folder), in the role's `tasks/` or `handlers/`, in the role, beside the playbook.
pub fn candidates(
    name: &str,
    file_dir: &Path,
    role: Option<&Arc<RoleUse>>,
    playbook_dir: &Path,
    is_handlers: bool,
    is_import: bool,
) -> Vec<PathBuf> {
    let given = Path::new(name);
    if given.is_absolute() {
        return vec![given.to_owned()];
    }
    if let Some((rest, home)) = name.strip_prefix("~/").zip(std::env::var_os("HOME")) {
        return vec![Path::new(&home).join(rest)];
    }
    let mut all: Vec<PathBuf> = vec![];
    let mut add = |path: PathBuf| {
        let path = super::roles::tidy(&path);
        if !all.contains(&path) {
            all.push(path);
        }
    };
    match role {
        Some(role) => {
            let root = &role.role.path;
            let own = root.join(if is_handlers { "handlers" } else { "tasks" });
            // A file reached through an include or import of another folder looks there first (imports) or next (includes).
            if is_import {
                add(file_dir.join(given));
                add(own.join(given));
            } else {
                add(own.join(given));
                add(file_dir.join(given));
            }
            add(root.join("tasks").join(given));
            add(root.join(given));
            add(playbook_dir.join("tasks").join(given));
            add(playbook_dir.join(given));
        }
        None => {
            add(file_dir.join(given));
            add(playbook_dir.join(given));
        }
    }
    all
}

fn not_found(name: &str, at: &Span, tried: &[PathBuf]) -> Problem {
    let mut problem = Problem::new("file-not-found", format!("no such file: `{name}`")).at(at);
    for path in tried {
        problem = problem.note(format!("looked for {}", display_path(path)));
    }
    // A likely typing error: a file of a similar name beside one of the places.
    let wanted = Path::new(name).file_name().and_then(|n| n.to_str()).unwrap_or(name);
    let mut names: Vec<String> = tried
        .iter()
        .filter_map(|p| p.parent())
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names.dedup();
    problem.nearest(wanted, names.iter().map(String::as_str))
}

/// The file an `include_tasks` names while a host runs, or the problem with every place that was looked at.
pub fn find_included(
    name: &str,
    at: &Span,
    role: Option<&Arc<RoleUse>>,
    playbook_dir: &Path,
    is_handlers: bool,
) -> Result<PathBuf, Problem> {
    let all = candidates(name, at.dir(), role, playbook_dir, is_handlers, false);
    all.iter().find(|c| c.is_file()).cloned().ok_or_else(|| not_found(name, at, &all))
}
