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
use crate::template::Engine;
use crate::yaml::Node;

use super::check_files::{custom_plugin, files_below, possible_names, search_paths, variable_files_like};
use super::check_names::{Names, fixed_parts, matches};
use super::check_template::{Named, Scan};
use super::check_walk::{FlatPlay, Step};
use super::loader::{Loader, scalar_text};
use super::model::{Action, Keywords, Play, Task, TaskArgs};
use super::statement::is_all_template;

/// What is checked, and with what.
pub struct Check<'a> {
    pub loader: &'a Loader,
    pub engine: &'a Arc<Engine>,
    pub playbooks: &'a [PathBuf],
    /// Without an inventory no variable can be said to be undefined.
    pub inventory: Option<&'a Inventory>,
    /// Names given by -e.
    pub extra_vars: Vec<String>,
    /// `--limit`, `--tags` and `--skip-tags`: what they name exists.
    pub limit: Option<&'a str>,
    pub tags: &'a [String],
    /// The folder of the repository: what lies in it belongs to what is checked, also if no play reaches it.
    pub root: &'a Path,
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
        hides_names: false,
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
    let unreached = checker.unreached(&flat);
    checker.inventory(&plays);
    for play in flat.iter().chain(&unreached) {
        checker.definitions(play);
    }
    for play in &flat {
        checker.play_uses(play);
    }
    for play in flat.iter().chain(&unreached) {
        checker.uses(play);
    }
    checker.unreached_templates(flat.iter().chain(&unreached));
    checker.selection(&flat);
    let mut found = checker.found;
    let mut roots: Vec<PathBuf> =
        what.playbooks.iter().filter_map(|p| Some(super::loader::absolute(p).parent()?.to_owned())).collect();
    for play in &plays {
        let used = play.roles.iter().chain(&play.imported_roles).flat_map(super::RoleUse::with_dependencies);
        roots.extend(used.map(|role| role.role.path.clone()));
    }
    let collections: Vec<PathBuf> = roots.iter().flat_map(|root| what.loader.collection_roots(root)).collect();
    found.problems = found.problems.into_iter().map(|p| super::plugins::explain(p, &roots, &collections)).collect();
    let mut seen = HashSet::new();
    for list in [&mut found.problems, &mut found.warnings] {
        list.retain(|p| {
            seen.insert((p.code, p.message.clone(), p.span.as_ref().map(|s| (s.file.path.clone(), s.start))))
        });
    }
    found
}

pub(super) struct Checker<'a> {
    pub(super) what: &'a Check<'a>,
    names: Names,
    pub(super) found: Checked,
    /// Uses reported already.
    seen: HashSet<(String, PathBuf, usize)>,
    /// Template files that were read.
    pub(super) files: BTreeMap<PathBuf, Option<Arc<SourceFile>>>,
    /// A file that could not be opened, or a program that gives facts: they may define any name.
    hides_names: bool,
}

impl Checker<'_> {
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
                                    _ => self.names.add(name, None),
                                }
                            }
                        }
                    }
                    Err(problem) => self.unreadable(problem),
                }
            }
        }
    }

    /// A file that cannot be read: vaulted without its password is no mistake in it.
    pub(super) fn unreadable(&mut self, problem: Problem) {
        if !problem.code.starts_with("vault") {
            self.found.problems.push(problem);
            return;
        }
        self.hides_names = true;
        self.found.warnings.push(problem.note("it was not checked, and variables that nothing defines are not told"));
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
            let mut files = vec![];
            for file in super::keywords::list(entry) {
                let Some(text) = scalar_text(&file) else { continue };
                files.push((text, file.span.clone()));
            }
            self.vars_files(&files, &dir);
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
        self.hides_names |= is_program(task);
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

    /// One entry of `vars_files`: the first of its files that is there counts.
    fn vars_files(&mut self, files: &[(String, Span)], dir: &Path) {
        let places = |name: &str| vec![dir.join("vars").join(name), dir.join(name)];
        let mut is_there = false;
        for (name, _) in files {
            is_there |= self.variables_like(name, places) || name.contains("{{");
        }
        if let (false, Some((name, span))) = (is_there, files.first()) {
            self.missing(name, span, &places(name));
        }
    }

    /// The variables of every file that a (templated) name may mean; false if there is none.
    fn variables_like(&mut self, name: &str, places: impl Fn(&str) -> Vec<PathBuf>) -> bool {
        let paths = if name.contains("{{") {
            variable_files_like(name, places)
        } else {
            places(name).into_iter().find(|p| p.is_file()).into_iter().collect()
        };
        // A file whose name only the run knows may define any name.
        self.hides_names |= paths.is_empty() && name.contains("{{");
        for path in &paths {
            self.variables_file(path);
        }
        !paths.is_empty()
    }

    fn variables_file(&mut self, path: &Path) {
        match self.what.loader.file(path) {
            Ok((node, _)) => self.names.add_keys(&node),
            Err(problem) => self.unreadable(problem),
        }
    }

    /// Second walk: what the play itself uses.
    fn play_uses(&mut self, flat: &FlatPlay) {
        let play = &flat.play;
        let mut scan = Scan::default();
        play.keywords.vars.iter().for_each(|(_, node)| scan.node(node));
        for node in [&play.gather_facts, &play.serial, &play.max_fail_percentage].into_iter().flatten() {
            scan.node(node);
        }
        self.keywords(&mut scan, &play.keywords);
        self.report(scan, &BTreeSet::new(), flat);
    }

    /// Second walk: what its roles and tasks use.
    fn uses(&mut self, flat: &FlatPlay) {
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
            &keywords.confirm,
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
        if matches!(task.action, Action::Unknown { .. }) && !is_program(task) {
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
        self.files(step, flat, &guards, &scan);
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
    pub(super) fn report(&mut self, scan: Scan, guards: &BTreeSet<String>, flat: &FlatPlay) {
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
            let name = self.what.engine.redirected("lookup", &lookup.name);
            if short != "vars" && crate::template::lookups::find(&name).is_none() {
                let problem = self.unknown("lookup", lookup, crate::template::lookups::lookup_names(), flat);
                self.found.problems.push(problem);
            }
        }
        // Without an inventory, or beside an include that may bring anything, a name may be defined elsewhere.
        if self.what.inventory.is_none() || flat.is_open || self.hides_names {
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
        let mut roots: Vec<PathBuf> = flat.play.playbook.parent().map(Path::to_owned).into_iter().collect();
        roots.extend(flat.roles.iter().map(|r| r.role.path.clone()));
        if let Some(path) = custom_plugin(what, short, &roots) {
            return problem
                .note(format!("{} has one written in Python", display_path(&path)))
                .help("plugins in Python do not run here: say it with built-in filters, or compute it in a task");
        }
        problem.nearest(short, known)
    }
}

/// A module of the repository that is a program.
fn is_program(task: &Task) -> bool {
    task.custom.as_ref().is_some_and(|c| c.kind == super::CustomKind::Executable)
}
