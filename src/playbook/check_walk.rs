//! A play as one list of steps: blocks entered, roles spread out, includes followed as far as their names are known.
//!
//! Part of `check`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::Span;
use crate::yaml::Node;

use super::check::Checker;
use super::check_files::{argument, files_like, possible_names};
use super::check_names::fixed_parts;
use super::items::candidates;
use super::list::HandlerEntry;
use super::loader::{FileCall, Loader, RoleCall, scalar_text};
use super::model::{Action, Block, BlockOrigin, Item, Keywords, Play, RoleUse, Task};

/// Files and roles that were followed already, with the role they were followed for.
pub(super) type Open = HashSet<(PathBuf, Option<PathBuf>)>;

/// One task with everything around it.
pub(super) struct Step {
    pub task: Arc<Task>,
    /// Keywords around it, outermost first (without the task's own).
    pub chain: Vec<Arc<Keywords>>,
    pub role: Option<Arc<RoleUse>>,
}

/// A play with all its tasks and handlers in one list, includes followed.
pub(super) struct FlatPlay {
    pub play: Arc<Play>,
    pub steps: Vec<Step>,
    pub roles: Vec<Arc<RoleUse>>,
    /// Names and topics that `notify` may say.
    pub handlers: BTreeSet<String>,
    /// A handler's name is a template: any notification may be for it.
    pub templated_handlers: Vec<Vec<String>>,
    /// An include whose name is not known: it may bring anything.
    pub is_open: bool,
    /// Where the handlers of each role (by its folder; the play's: none) were seen first.
    named_handlers: HashMap<(Option<PathBuf>, String), Span>,
}

impl FlatPlay {
    fn new(play: Arc<Play>) -> Self {
        Self {
            play,
            steps: vec![],
            roles: vec![],
            handlers: BTreeSet::new(),
            templated_handlers: vec![],
            is_open: false,
            named_handlers: HashMap::new(),
        }
    }

    /// Tasks of which nobody knows who calls them.
    pub(super) fn open(play: Arc<Play>) -> Self {
        Self { is_open: true, ..Self::new(play) }
    }
}

impl Checker<'_> {
    pub(super) fn flatten(&mut self, play: &Arc<Play>) -> FlatPlay {
        let mut flat = FlatPlay::new(play.clone());
        let mut open: Open = HashSet::new();
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

    pub(super) fn items(
        &mut self,
        items: &[Item],
        chain: &[Arc<Keywords>],
        role: Option<&Arc<RoleUse>>,
        flat: &mut FlatPlay,
        open: &mut Open,
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
        open: &mut Open,
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

    pub(super) fn role(&mut self, role: &Arc<RoleUse>, chain: &[Arc<Keywords>], flat: &mut FlatPlay, open: &mut Open) {
        if let Item::Block(block) = role.as_block() {
            self.block(&block, chain, None, flat, open);
        }
        self.role_parts(role, chain, flat, open);
    }

    /// What a role brings besides tasks.
    fn role_parts(&mut self, role: &Arc<RoleUse>, chain: &[Arc<Keywords>], flat: &mut FlatPlay, open: &mut Open) {
        flat.roles.extend(role.with_dependencies());
        let entries = role.handler_entries(&[]);
        self.handlers(&entries, chain, flat, open);
    }

    pub(super) fn handlers(
        &mut self,
        entries: &[HandlerEntry],
        chain: &[Arc<Keywords>],
        flat: &mut FlatPlay,
        open: &mut Open,
    ) {
        for entry in entries {
            let mut inner = chain.to_vec();
            inner.extend(entry.blocks.iter().map(|b| Arc::new(b.keywords.clone())));
            self.add_handler(&entry.task, entry.role.as_ref(), flat);
            self.items(&[Item::Task(entry.task.clone())], &inner, entry.role.as_ref(), flat, open);
        }
    }

    /// Two handlers of one name in one place: only the last one is ever notified.
    fn same_name(&mut self, task: &Task, role: Option<&Arc<RoleUse>>, flat: &mut FlatPlay) {
        let Some(name) = &task.keywords.name else { return };
        let Some(text) = scalar_text(name).filter(|_| !name.has_template()) else { return };
        let key = (role.map(|r| r.role.path.clone()), text.clone());
        let first = flat.named_handlers.entry(key).or_insert_with(|| name.span.clone());
        if (&first.file.path, first.start) == (&name.span.file.path, name.span.start) {
            return;
        }
        let place = first.to_string();
        self.found.warnings.push(
            Problem::new(
                "duplicate-handler",
                format!("another handler is named `{text}`, too: only the last one is notified"),
            )
            .at(&name.span)
            .note(format!("the first one: {place}"))
            .help("give it a name of its own; `listen` makes one notification reach several"),
        );
    }

    fn add_handler(&mut self, task: &Task, role: Option<&Arc<RoleUse>>, flat: &mut FlatPlay) {
        self.same_name(task, role, flat);
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
        open: &mut Open,
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
        open: &mut Open,
    ) {
        let Some(name) = argument(task, "name").or_else(|| argument(task, "role")) else { return };
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
}
