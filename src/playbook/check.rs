//! `kdeploy check`: everything that can be known to be wrong without a host.
//!
//! After the loader: walks every play with all that it imports *and* includes (as far as names are written out), twice: first for
//! what defines variables and handlers, then for what uses them. Reports every problem with its place.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::inventory::Inventory;
use crate::problem::{Problem, nearest};
use crate::source::{SourceFile, Span, display_path};
use crate::template::{Engine, SearchPaths};
use crate::yaml::{Node, read_source};

use super::check_names::{Names, fixed_parts, matches};
use super::check_template::{Named, Scan};
use super::items::candidates;
use super::list::HandlerEntry;
use super::loader::{FileCall, Loader, RoleCall, scalar_text};
use super::model::{Action, Block, BlockOrigin, Item, Keywords, Play, RoleUse, Task, TaskArgs};
use super::task::is_all_template;

/// What is checked, and with what.
pub struct Check<'a> {
    pub loader: &'a Loader,
    pub engine: &'a Arc<Engine>,
    pub playbooks: &'a [PathBuf],
    /// Without an inventory no variable can be said to be undefined.
    pub inventory: Option<&'a Inventory>,
    /// Names given by -e.
    pub extra_vars: Vec<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

/// Checks playbooks, without a host.
pub fn check(what: &Check) -> Checked {
    let mut checker = Checker {
        what,
        names: Names::default(),
        found: Checked::default(),
        seen: HashSet::new(),
        files: BTreeMap::new(),
    };
    for name in &what.extra_vars {
        checker.names.add(name, None);
    }
    let mut plays = vec![];
    for path in what.playbooks {
        let outcome = what.loader.read_playbook(path);
        checker.found.problems.extend(outcome.problems);
        checker.found.warnings.extend(outcome.warnings);
        plays.extend(outcome.value.plays);
    }
    let flat: Vec<FlatPlay> = plays.iter().map(|play| checker.flatten(play)).collect();
    checker.inventory(&plays);
    for play in &flat {
        checker.definitions(play);
    }
    for play in &flat {
        checker.uses(play);
    }
    let mut found = checker.found;
    let mut seen = HashSet::new();
    for list in [&mut found.problems, &mut found.warnings] {
        list.retain(|p| {
            seen.insert((p.code, p.message.clone(), p.span.as_ref().map(|s| (s.file.path.clone(), s.start))))
        });
    }
    found
}

/// One task with everything around it.
struct Step {
    task: Arc<Task>,
    /// Keywords around it, outermost first (without the task's own).
    chain: Vec<Arc<Keywords>>,
    role: Option<Arc<RoleUse>>,
}

/// A play with all its tasks and handlers in one list, includes followed.
struct FlatPlay {
    play: Arc<Play>,
    steps: Vec<Step>,
    roles: Vec<Arc<RoleUse>>,
    /// Names and topics that `notify` may say.
    handlers: BTreeSet<String>,
    /// A handler's name is a template: any notification may be for it.
    templated_handlers: Vec<Vec<String>>,
    /// An include whose name is not known: it may bring anything.
    is_open: bool,
}

struct Checker<'a> {
    what: &'a Check<'a>,
    names: Names,
    found: Checked,
    /// Uses reported already.
    seen: HashSet<(String, PathBuf, usize)>,
    /// Template files that were read.
    files: BTreeMap<PathBuf, Option<Arc<SourceFile>>>,
}

impl Checker<'_> {
    fn flatten(&mut self, play: &Arc<Play>) -> FlatPlay {
        let mut flat = FlatPlay {
            play: play.clone(),
            steps: vec![],
            roles: vec![],
            handlers: BTreeSet::new(),
            templated_handlers: vec![],
            is_open: false,
        };
        let mut open: HashSet<(PathBuf, Option<PathBuf>)> = HashSet::new();
        let keywords = vec![Arc::new(play.keywords.clone())];
        for items in [&play.pre_tasks, &play.tasks, &play.post_tasks] {
            self.items(items, &keywords, None, &mut flat, &mut open);
        }
        for role in &play.roles {
            self.role(role, &keywords, &mut flat, &mut open);
        }
        for role in &play.imported_roles {
            self.role_parts(role, &keywords, &mut flat, &mut open);
        }
        self.handlers(&super::list::flat_handlers(&play.handlers), &keywords, &mut flat, &mut open);
        flat
    }

    fn items(
        &mut self,
        items: &[Item],
        chain: &[Arc<Keywords>],
        role: Option<&Arc<RoleUse>>,
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        for item in items {
            match item {
                Item::Block(block) => self.block(block, chain, role, flat, open),
                Item::Task(task) => {
                    let role = task.role.as_ref().or(role);
                    flat.steps.push(Step { task: task.clone(), chain: chain.to_vec(), role: role.cloned() });
                    match task.action {
                        Action::IncludeTasks => self.include_tasks(task, chain, role, flat, open),
                        Action::IncludeRole => self.include_role(task, chain, role, flat, open),
                        _ => {}
                    }
                }
            }
        }
    }

    fn block(
        &mut self,
        block: &Arc<Block>,
        chain: &[Arc<Keywords>],
        role: Option<&Arc<RoleUse>>,
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        let mut inner = chain.to_vec();
        inner.push(Arc::new(block.keywords.clone()));
        let role = match block.origin {
            BlockOrigin::Written | BlockOrigin::ImportTasks => role,
            BlockOrigin::ImportRole | BlockOrigin::Role => block.role.as_ref(),
        };
        for items in [&block.block, &block.rescue, &block.always] {
            self.items(items, &inner, role, flat, open);
        }
    }

    fn role(
        &mut self,
        role: &Arc<RoleUse>,
        chain: &[Arc<Keywords>],
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        if let Item::Block(block) = role.as_block() {
            self.block(&block, chain, None, flat, open);
        }
        self.role_parts(role, chain, flat, open);
    }

    /// What a role brings besides tasks.
    fn role_parts(
        &mut self,
        role: &Arc<RoleUse>,
        chain: &[Arc<Keywords>],
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        flat.roles.extend(role.with_dependencies());
        let entries = role.handler_entries(&[]);
        self.handlers(&entries, chain, flat, open);
    }

    fn handlers(
        &mut self,
        entries: &[HandlerEntry],
        chain: &[Arc<Keywords>],
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        for entry in entries {
            let mut inner = chain.to_vec();
            inner.extend(entry.blocks.iter().map(|b| Arc::new(b.keywords.clone())));
            self.add_handler(&entry.task, entry.role.as_ref(), flat);
            self.items(&[Item::Task(entry.task.clone())], &inner, entry.role.as_ref(), flat, open);
        }
    }

    fn add_handler(&mut self, task: &Task, role: Option<&Arc<RoleUse>>, flat: &mut FlatPlay) {
        for name in task.keywords.name.iter().chain(&task.listen) {
            let Some(text) = scalar_text(name) else { continue };
            if name.has_template() {
                flat.templated_handlers.push(fixed_parts(&text));
                continue;
            }
            if let Some(role) = role {
                let short = role.role.name.rsplit('.').next().unwrap_or_default();
                flat.handlers.insert(format!("{short} : {text}"));
                flat.handlers.insert(format!("{} : {text}", role.role.name));
            }
            flat.handlers.insert(text);
        }
    }

    /// Follows an include whose file is written out, or all files that a template may name.
    fn include_tasks(
        &mut self,
        task: &Arc<Task>,
        chain: &[Arc<Keywords>],
        role: Option<&Arc<RoleUse>>,
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        let Some(file) = argument(task, "file") else { return };
        let playbook_dir = flat.play.playbook.parent().unwrap_or(Path::new("")).to_owned();
        let places = |name: &str| candidates(name, file.span.dir(), role, &playbook_dir, task.is_handler, false);
        let first_found = task.loop_.as_ref().is_some_and(|l| l.kind == "first_found");
        let mut paths = vec![];
        for name in possible_names(task, file) {
            if name.contains("{{") {
                let found = files_like(&name, places);
                flat.is_open |= found.is_empty() && !first_found;
                paths.extend(found);
                continue;
            }
            match places(&name).into_iter().find(|p| p.is_file()) {
                Some(path) => paths.push(path),
                None if first_found => {}
                None => {
                    let tried = super::items::find_included(&name, &file.span, role, &playbook_dir, task.is_handler);
                    self.found.problems.extend(tried.err());
                }
            }
        }
        for path in paths {
            let key = (path.clone(), role.map(|r| r.role.path.clone()));
            if !open.insert(key) {
                continue;
            }
            let call = FileCall {
                role,
                is_handlers: task.is_handler,
                playbook_dir: playbook_dir.clone(),
                vars: Loader::static_vars(&flat.play),
                ..FileCall::default()
            };
            let outcome = self.what.loader.read_tasks(&path, &call);
            self.found.problems.extend(outcome.problems);
            self.found.warnings.extend(outcome.warnings);
            let mut inner = chain.to_vec();
            inner.push(Arc::new(task.keywords.clone()));
            if task.is_handler {
                self.handlers(&super::list::flat_handlers(&outcome.value), &inner, flat, open);
            } else {
                self.items(&outcome.value, &inner, role, flat, open);
            }
        }
    }

    fn include_role(
        &mut self,
        task: &Arc<Task>,
        chain: &[Arc<Keywords>],
        role: Option<&Arc<RoleUse>>,
        flat: &mut FlatPlay,
        open: &mut HashSet<(PathBuf, Option<PathBuf>)>,
    ) {
        let Some(name) = argument(task, "name") else { return };
        let text_of = |key: &str| argument(task, key).filter(|n| !n.has_template()).and_then(scalar_text);
        let unknown = ["tasks_from", "vars_from", "defaults_from", "handlers_from"]
            .iter()
            .any(|key| argument(task, key).is_some_and(Node::has_template));
        for name_text in possible_names(task, name) {
            if unknown || name_text.contains("{{") {
                flat.is_open = true;
                continue;
            }
            let key = (PathBuf::from(format!("role {name_text} {:?}", text_of("tasks_from"))), None);
            if !open.insert(key) {
                continue;
            }
            let call = RoleCall {
                tasks_from: text_of("tasks_from"),
                vars_from: text_of("vars_from"),
                defaults_from: text_of("defaults_from"),
                handlers_from: text_of("handlers_from"),
                keywords: Keywords { vars: task.keywords.vars.clone(), ..Keywords::default() },
                ancestors: super::items::chain(role),
                from_include: true,
                allow_duplicates: Some(true),
                playbook_dir: flat.play.playbook.parent().unwrap_or(Path::new("")).to_owned(),
                vars: Loader::static_vars(&flat.play),
                ..RoleCall::default()
            };
            let outcome = self.what.loader.read_role(&name_text, &call, &name.span);
            self.found.problems.extend(outcome.problems);
            self.found.warnings.extend(outcome.warnings);
            let mut inner = chain.to_vec();
            inner.push(Arc::new(task.keywords.clone()));
            if let Some(included) = outcome.value {
                self.role(&included, &inner, flat, open);
            }
        }
    }

    fn inventory(&mut self, plays: &[Arc<Play>]) {
        let Some(inventory) = self.what.inventory else { return };
        let mut dirs: Vec<PathBuf> = plays.iter().filter_map(|p| p.playbook.parent()).map(Path::to_owned).collect();
        dirs.dedup();
        for group in inventory.groups.values() {
            self.names.add_all(&group.vars);
        }
        for host in inventory.hosts.values() {
            self.names.add_all(&host.vars);
            for dir in &dirs {
                match inventory.scopes_for(&host.name, Some(dir)) {
                    Ok(scopes) => {
                        for scope in scopes {
                            for (name, definition) in &scope.vars {
                                match definition {
                                    crate::vars::Definition::Written(node) => self.names.add(name, Some(&node.span)),
                                    crate::vars::Definition::Final(_) => self.names.add(name, None),
                                }
                            }
                        }
                    }
                    Err(problem) => self.found.problems.push(problem),
                }
            }
        }
    }

    /// First walk: what defines variables.
    fn definitions(&mut self, flat: &FlatPlay) {
        let play = &flat.play;
        let dir = play.playbook.parent().unwrap_or(Path::new("")).to_owned();
        self.names.add_all(play.import_vars.iter().map(|(k, v)| (k, v)));
        self.names.add_all(play.keywords.vars.iter().map(|(k, v)| (k, v)));
        for prompt in &play.vars_prompt {
            self.names.add_node(prompt.as_map().and_then(|m| m.get("name")));
        }
        for entry in &play.vars_files {
            for file in super::keywords::list(entry) {
                let Some(text) = scalar_text(&file) else { continue };
                let _ = self.variables_like(&text, |name| vec![dir.join("vars").join(name), dir.join(name)]);
            }
        }
        for role in &flat.roles {
            for vars in [&role.defaults, &role.vars, &role.params, &role.keywords.vars] {
                self.names.add_all(vars.iter().map(|(k, v)| (k, v)));
            }
            if let Some(specs) = role.role.argument_specs.as_ref().and_then(Node::as_map) {
                // An argument the caller has to give is defined by whoever calls.
                for (_, spec) in specs.iter() {
                    if let Some(options) = spec.as_map().and_then(|m| m.get("options")) {
                        self.names.add_keys(options);
                    }
                }
            }
        }
        for step in &flat.steps {
            for keywords in &step.chain {
                self.names.add_all(keywords.vars.iter().map(|(k, v)| (k, v)));
            }
            self.task_definitions(step, &dir);
        }
    }

    fn task_definitions(&mut self, step: &Step, dir: &Path) {
        let task = &step.task;
        self.names.add_all(task.keywords.vars.iter().map(|(k, v)| (k, v)));
        if let Some(apply) = &task.apply {
            self.names.add_all(apply.vars.iter().map(|(k, v)| (k, v)));
        }
        self.names.add_node(task.register.as_ref());
        self.names.add_node(task.loop_control.loop_var.as_ref());
        self.names.add_node(task.loop_control.index_var.as_ref());
        let Action::Module { name, .. } = &task.action else { return };
        let named = match &task.args {
            TaskArgs::Named(named) | TaskArgs::Free(_, named) | TaskArgs::Template(_, named) => named,
        };
        match name.as_str() {
            "set_fact" | "add_host" => {
                for (key, value) in named {
                    if let Some(name) = key.as_str() {
                        self.names.add(name, Some(&value.span));
                    }
                }
            }
            "set_stats" => {
                for (_, data) in named.iter().filter(|(k, _)| k.as_str() == Some("data")) {
                    self.names.add_keys(data);
                }
            }
            "include_vars" => {
                let file = match &task.args {
                    TaskArgs::Free(text, _) => Some(text),
                    _ => named.iter().find(|(k, _)| k.as_str() == Some("file")).map(|(_, v)| v),
                };
                self.names.add_node(named.iter().find(|(k, _)| k.as_str() == Some("name")).map(|(_, v)| v));
                let role = step.role.as_ref();
                let near = |name: &str| search_paths(role, &task.span, dir).candidates("vars", name);
                for name in file.map(|f| possible_names(task, f)).unwrap_or_default() {
                    if !self.variables_like(&name, near) && name.contains("{{") {
                        // Chosen by a lookup or a variable: one of those in the folder for such files.
                        let folders = near("x").into_iter().filter_map(|p| p.parent().map(Path::to_owned));
                        for folder in folders.filter(|f| f.ends_with("vars")) {
                            for path in files_below(&folder, 2) {
                                self.variables_file(&path);
                            }
                        }
                    }
                }
                if let Some((_, folder)) = named.iter().find(|(k, _)| k.as_str() == Some("dir")) {
                    for folder in scalar_text(folder).into_iter().flat_map(|f| near(&f)).filter(|f| f.is_dir()) {
                        for path in files_below(&folder, 4) {
                            self.variables_file(&path);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// The variables of every file that a (templated) name may mean; false if there is none.
    fn variables_like(&mut self, name: &str, places: impl Fn(&str) -> Vec<PathBuf>) -> bool {
        let paths = if name.contains("{{") {
            files_like(name, places)
        } else {
            places(name).into_iter().find(|p| p.is_file()).into_iter().collect()
        };
        for path in &paths {
            self.variables_file(path);
        }
        !paths.is_empty()
    }

    fn variables_file(&mut self, path: &Path) {
        match self.what.loader.file(path) {
            Ok((node, _)) => self.names.add_keys(&node),
            // Vaulted: what it defines is not known; what is wrong with it is reported where it is used.
            Err(problem) if problem.code == "vaulted-file" => {}
            Err(problem) => self.found.problems.push(problem),
        }
    }

    /// Second walk: what is used.
    fn uses(&mut self, flat: &FlatPlay) {
        let play = &flat.play;
        let mut scan = Scan::default();
        play.keywords.vars.iter().for_each(|(_, node)| scan.node(node));
        for node in [&play.gather_facts, &play.serial, &play.max_fail_percentage].into_iter().flatten() {
            scan.node(node);
        }
        self.keywords(&mut scan, &play.keywords);
        self.report(scan, &BTreeSet::new(), flat);
        for role in &flat.roles {
            let mut scan = Scan::default();
            for vars in [&role.defaults, &role.vars, &role.params, &role.keywords.vars] {
                vars.iter().for_each(|(_, node)| scan.node(node));
            }
            self.keywords(&mut scan, &role.keywords);
            self.report(scan, &BTreeSet::new(), flat);
        }
        for step in &flat.steps {
            self.step(step, flat);
        }
    }

    fn keywords(&self, scan: &mut Scan, keywords: &Keywords) {
        keywords.when.iter().for_each(|c| scan.condition(c));
        keywords.tags.iter().chain(&keywords.environment).chain(&keywords.module_defaults).for_each(|n| scan.node(n));
        for node in [
            &keywords.r#become,
            &keywords.become_user,
            &keywords.no_log,
            &keywords.ignore_errors,
            &keywords.check_mode,
            &keywords.delegate_to,
            &keywords.run_once,
            &keywords.throttle,
            &keywords.timeout,
            &keywords.remote_user,
            &keywords.connection,
            &keywords.port,
        ]
        .into_iter()
        .flatten()
        {
            scan.node(node);
        }
    }

    fn step(&mut self, step: &Step, flat: &FlatPlay) {
        let task = &step.task;
        if matches!(task.action, Action::Unknown { .. }) {
            self.found.problems.push(task.unknown_module());
        }
        // What the conditions around ask for may be used in the task.
        let mut guards = BTreeSet::new();
        for keywords in &step.chain {
            let mut scan = Scan::default();
            self.keywords(&mut scan, keywords);
            keywords.vars.iter().for_each(|(_, node)| scan.node(node));
            guards.extend(scan.guards.iter().cloned());
            self.report(scan, &guards.clone(), flat);
        }
        let mut scan = Scan::default();
        self.keywords(&mut scan, &task.keywords);
        for conditions in [&task.until, &task.changed_when, &task.failed_when, &task.loop_control.break_when] {
            conditions.iter().for_each(|c| scan.condition(c));
        }
        task.keywords.vars.iter().for_each(|(_, node)| scan.node(node));
        if let Some(looping) = &task.loop_ {
            scan.node(&looping.items);
            if looping.kind != "loop" {
                scan.lookups.push(Named { name: looping.kind.clone(), span: looping.items.span.clone() });
            }
        }
        let control = &task.loop_control;
        for node in
            [&task.retries, &task.delay, &task.async_, &task.poll, &control.label, &control.pause, &control.extended]
                .into_iter()
                .flatten()
        {
            scan.node(node);
        }
        self.arguments(task, &mut scan);
        if let Some(apply) = &task.apply {
            self.keywords(&mut scan, apply);
        }
        self.files(step, flat, &guards, &mut scan);
        self.report(scan, &guards, flat);
        self.notifications(step, flat);
    }

    fn arguments(&self, task: &Task, scan: &mut Scan) {
        let named = match &task.args {
            TaskArgs::Named(named) => named,
            TaskArgs::Free(text, named) | TaskArgs::Template(text, named) => {
                scan.node(text);
                named
            }
        };
        let (module, specs) = match &task.action {
            Action::Module { name, written } => (name.as_str(), (self.what.loader.settings.modules)(written)),
            _ => ("", None),
        };
        for (key, value) in named {
            scan.node(key);
            let name = key.as_str().unwrap_or_default();
            let is_condition = specs
                .and_then(|t| crate::resources::find_arg(t.args, name))
                .is_some_and(|s| s.kind == crate::resources::Kind::Condition)
                || (module == "debug" && name == "var");
            if is_condition { scan.condition(value) } else { scan.node(value) }
        }
    }

    /// Files that a task takes from the control machine: they exist, and templates can be read.
    fn files(&mut self, step: &Step, flat: &FlatPlay, guards: &BTreeSet<String>, own: &mut Scan) {
        let task = &step.task;
        let Action::Module { name: module, .. } = &task.action else { return };
        let folder = match module.as_str() {
            "template" => "templates",
            "copy" | "unarchive" | "script" | "assemble" | "patch" | "synchronize" => "files",
            _ => return,
        };
        let is_true = |key: &str| {
            argument(task, key).is_some_and(|n| {
                n.has_template() || scalar_text(n).as_deref().and_then(crate::resources::truth) == Some(true)
            })
        };
        if is_true("remote_src") || module == "synchronize" || module == "assemble" {
            return;
        }
        let source = match (&task.args, module.as_str()) {
            (TaskArgs::Free(text, _), "script") => {
                let first = text.as_str().and_then(|t| t.split_whitespace().next()).unwrap_or_default();
                if first.contains("{{") {
                    return;
                }
                Node::text(first, &text.span)
            }
            _ => match argument(task, "src") {
                Some(node) => node.clone(),
                None => return,
            },
        };
        if scalar_text(&source).is_none_or(|text| text.contains("://")) {
            return;
        }
        let dir = flat.play.playbook.parent().unwrap_or(Path::new("")).to_owned();
        let paths = search_paths(step.role.as_ref(), &task.span, &dir);
        let is_template = module == "template";
        let first_found = task.loop_.as_ref().is_some_and(|l| l.kind == "first_found");
        let mut found = vec![];
        for name in possible_names(task, &source) {
            if name.contains("{{") {
                found.extend(files_like(&name, |name| paths.candidates(folder, name)));
                continue;
            }
            match paths.find(folder, name.trim_end_matches('/')) {
                Ok(path) => found.push(path),
                // An earlier task may make a file of that path.
                Err(_) if first_found || name.starts_with(['/', '~']) => {}
                Err(tried) => {
                    let mut problem =
                        Problem::new("file-not-found", format!("no such file: `{name}`")).at(&source.span);
                    for path in &tried {
                        problem = problem.note(format!("looked for {}", display_path(path)));
                    }
                    self.found.problems.push(problem);
                }
            }
        }
        if !is_template {
            return;
        }
        for path in found {
            let file = self.files.entry(path.clone()).or_insert_with(|| read_source(&path).ok()).clone();
            let Some(file) = file else { continue };
            let mut scan = Scan::default();
            scan.file(&file);
            let mut all_guards = guards.clone();
            all_guards.extend(own.guards.iter().cloned());
            self.report(scan, &all_guards, flat);
        }
    }

    fn notifications(&mut self, step: &Step, flat: &FlatPlay) {
        let notify = step.chain.iter().flat_map(|k| k.notify.iter()).chain(&step.task.notify);
        for node in notify {
            let Some(name) = scalar_text(node) else { continue };
            let known = flat.handlers.contains(&name)
                || flat.templated_handlers.iter().any(|parts| matches(&name, parts))
                || (node.has_template() && {
                    let parts = fixed_parts(&name);
                    flat.handlers.iter().any(|h| matches(h, &parts))
                        || !flat.templated_handlers.is_empty()
                        || is_all_template(&name)
                });
            if known || flat.is_open {
                continue;
            }
            let mut problem = Problem::new("unknown-handler", format!("no handler is named `{name}` or listens to it"))
                .at(&node.span);
            if let Some(near) = nearest(&name, flat.handlers.iter().map(String::as_str)) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            self.found.problems.push(problem);
        }
    }

    /// Turns what was scanned into problems.
    fn report(&mut self, scan: Scan, guards: &BTreeSet<String>, flat: &FlatPlay) {
        self.found.problems.extend(scan.problems);
        for filter in &scan.filters {
            if !self.what.engine.knows_filter(&filter.name) {
                let problem = self.unknown("filter", filter, crate::template::filters::filter_names(), flat);
                self.found.problems.push(problem);
            }
        }
        for test in &scan.tests {
            if !self.what.engine.knows_test(&test.name) {
                let problem = self.unknown("test", test, crate::template::tests::test_names(), flat);
                self.found.problems.push(problem);
            }
        }
        for lookup in &scan.lookups {
            let short = lookup.name.rsplit('.').next().unwrap_or_default();
            if short != "vars" && crate::template::lookups::find(&lookup.name).is_none() {
                let problem = self.unknown("lookup", lookup, crate::template::lookups::lookup_names(), flat);
                self.found.problems.push(problem);
            }
        }
        // Without an inventory, or beside an include that may bring anything, a name may be defined elsewhere.
        if self.what.inventory.is_none() || flat.is_open {
            return;
        }
        for used in scan.uses {
            if self.names.has(&used.name) || guards.contains(&used.name) || scan.guards.contains(&used.name) {
                continue;
            }
            if !self.seen.insert((used.name.clone(), used.span.file.path.clone(), used.span.start)) {
                continue;
            }
            let mut problem =
                Problem::new("undefined-variable", format!("nothing defines `{}`", used.name)).at(&used.span);
            if let Some((near, at)) = self.names.similar(&used.name) {
                let place = at.map(|s| format!(" ({})", s.path_line())).unwrap_or_default();
                problem = problem.help(format!("a variable with a similar name exists: `{near}`{place}"));
            }
            self.found.problems.push(problem);
        }
    }

    fn unknown<'n>(
        &self,
        what: &str,
        named: &Named,
        known: impl IntoIterator<Item = &'n str>,
        flat: &FlatPlay,
    ) -> Problem {
        let short = named.name.rsplit('.').next().unwrap_or_default();
        let code = match what {
            "filter" => "unknown-filter",
            "test" => "unknown-test",
            _ => "unknown-lookup",
        };
        let problem = Problem::new(code, format!("there is no {what} `{}`", named.name)).at(&named.span);
        if let Some(path) = custom_plugin(what, short, flat) {
            return problem
                .note(format!("{} has one written in Python", display_path(&path)))
                .help("plugins in Python do not run here: say it with built-in filters, or compute it in a task");
        }
        problem.nearest(short, known)
    }
}

/// A plugin file beside the playbook or in a role that may define a filter, test or lookup.
fn custom_plugin(what: &str, name: &str, flat: &FlatPlay) -> Option<PathBuf> {
    let folder = format!("{what}_plugins");
    let mut roots: Vec<PathBuf> = flat.play.playbook.parent().map(Path::to_owned).into_iter().collect();
    roots.extend(flat.roles.iter().map(|r| r.role.path.clone()));
    roots.iter().flat_map(|root| files_below(&root.join(&folder), 1)).find(|path| {
        path.file_stem().is_some_and(|s| s == name)
            || std::fs::read_to_string(path)
                .is_ok_and(|text| text.contains(&format!("'{name}'")) || text.contains(&format!("\"{name}\"")))
    })
}

/// A task's argument by name.
fn argument<'t>(task: &'t Task, name: &str) -> Option<&'t Node> {
    let named = match &task.args {
        TaskArgs::Named(named) | TaskArgs::Free(_, named) | TaskArgs::Template(_, named) => named,
    };
    named.iter().find(|(k, _)| k.as_str() == Some(name)).map(|(_, v)| v)
}

/// The values a text can have: itself, or one per item of a loop whose items are written out. Some may be templates still.
fn possible_names(task: &Task, node: &Node) -> Vec<String> {
    let Some(text) = scalar_text(node) else { return vec![] };
    if !node.has_template() {
        return vec![text];
    }
    from_loop(task, &text).unwrap_or_else(|| vec![text])
}

fn from_loop(task: &Task, text: &str) -> Option<Vec<String>> {
    let looping = task.loop_.as_ref()?;
    let variable = task.loop_control.loop_var.as_ref().and_then(scalar_text).unwrap_or_else(|| "item".to_owned());
    let (before, rest) = text.split_once("{{")?;
    let (inside, after) = rest.split_once("}}")?;
    if inside.trim() != variable {
        return None;
    }
    let items = looping.items.as_seq()?;
    let mut all = vec![];
    for item in items {
        // `with_first_found: [{files: […], paths: […]}]`.
        match item.as_map().and_then(|m| m.get("files")) {
            Some(files) => all.extend(super::keywords::list(files).iter().filter_map(scalar_text)),
            None => all.push(scalar_text(item)?),
        }
    }
    Some(all.into_iter().map(|value| format!("{before}{value}{after}")).collect())
}

/// Existing files that a templated name may mean: the file's name may vary, its folder may not.
fn files_like(name: &str, places: impl Fn(&str) -> Vec<PathBuf>) -> Vec<PathBuf> {
    let (folder, base) = match name.rsplit_once('/') {
        // A template that holds a slash of its own.
        Some((folder, base)) if folder.matches("{{").count() == folder.matches("}}").count() => (folder, base),
        Some(_) => ("", name),
        None => ("", name),
    };
    if folder.contains("{{") || !base.contains("{{") {
        return vec![];
    }
    let parts = fixed_parts(base);
    if parts.iter().all(String::is_empty) {
        return vec![];
    }
    // `{{ x }}.yml` may be any file: only of a folder that holds nothing else.
    let is_weak = parts.iter().all(|p| p.is_empty() || p.starts_with('.'));
    let own = ["tasks", "handlers", "vars", "templates", "files", "defaults"];
    let mut found = vec![];
    for place in places(&if folder.is_empty() { "x".to_owned() } else { format!("{folder}/x") }) {
        let Some(dir) = place.parent() else { continue };
        if is_weak && folder.is_empty() && !dir.components().any(|c| own.iter().any(|o| c.as_os_str() == *o)) {
            continue;
        }
        for path in files_below(dir, 1) {
            let is_like = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| matches(n, &parts));
            if is_like && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// Files of a folder, and of folders in it down to a depth, in the order of their names.
fn files_below(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    let mut all = vec![];
    for path in entries {
        if path.is_dir() {
            if depth > 1 {
                all.extend(files_below(&path, depth - 1));
            }
        } else {
            all.push(path);
        }
    }
    all
}

fn search_paths(role: Option<&Arc<RoleUse>>, at: &Span, playbook_dir: &Path) -> SearchPaths {
    let roles = role.map_or_else(Vec::new, |role| {
        std::iter::once(role.role.path.clone())
            .chain(role.ancestors.iter().rev().map(|a| a.role.path.clone()))
            .collect()
    });
    SearchPaths { roles, task_dir: at.dir().to_owned(), playbook_dir: playbook_dir.to_owned() }
}
