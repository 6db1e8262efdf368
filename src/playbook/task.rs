//! Lowering of one task: its keywords, its module, its arguments in every form Ansible takes.

use std::sync::Arc;

use crate::problem::Problem;
use crate::source::Span;
use crate::yaml::{Mapping, Node};

use super::keywords::{self, Place, Shape, list, shown};
use super::loader::{Around, Session};
use super::model::{Action, CustomModule, Item, Keywords, Loop, LoopControl, Task, TaskArgs};
use super::modules;
use super::statement::{Given, Statement, is_all_template};

/// A task whose keywords are read and whose statement still has to be understood.
pub(super) struct Draft {
    pub task: Task,
    /// The statement's name without `ansible.builtin.` and `ansible.legacy.`.
    pub canonical: String,
    /// Where the statement's name stands.
    pub statement: Span,
    /// Its loop keyword, for messages.
    pub loop_at: Option<Span>,
}

impl Session<'_> {
    /// A mapping in a list of tasks that is no block.
    pub(super) fn task(&mut self, node: &Node, map: &Mapping, around: &Around) -> Option<Item> {
        let statement = self.statement(node, map, around)?;
        let canonical = modules::canonical(&statement.written).to_owned();
        match canonical.as_str() {
            "include" => {
                self.problem(
                    Problem::new("removed", "`include` was removed from the language in ansible-core 2.16")
                        .at(&statement.span)
                        .help("use `include_tasks` (at run time) or `import_tasks` (while files are loaded)"),
                );
                return None;
            }
            "import_playbook" => {
                self.problem(
                    Problem::new(
                        "misplaced",
                        "`import_playbook` stands among the plays of a playbook, not among tasks",
                    )
                    .at(&statement.span),
                );
                return None;
            }
            _ => {}
        }
        let draft = self.draft(node, map, statement, canonical, around);
        self.module_defaults(&draft.task.keywords, around);
        match draft.canonical.as_str() {
            "import_tasks" => self.import_tasks(draft, around),
            "import_role" => self.import_role(draft, around),
            "include_tasks" => self.include_tasks(draft),
            "include_role" => self.include_role(draft, around),
            "meta" => self.meta(draft, around),
            _ => Some(self.module_task(draft, around)),
        }
    }

    /// Reads the keywords.
    fn draft(&mut self, node: &Node, map: &Mapping, statement: Statement, canonical: String, around: &Around) -> Draft {
        let place = match canonical.as_str() {
            "include_tasks" => Place::IncludeTasks,
            "include_role" => Place::IncludeRole,
            _ => around.place,
        };
        let Statement { written, span, local, given } = statement;
        let args = self.task_args(&canonical, &written, &span, given, around);
        let mut task = Task {
            keywords: Keywords::default(),
            action: Action::Unknown { written: written.clone() },
            args,
            written,
            apply_written: None,
            apply: None,
            implicit: false,
            is_handler: around.is_handlers(),
            custom: None,
            register: None,
            loop_: None,
            loop_control: LoopControl::default(),
            until: vec![],
            retries: None,
            delay: None,
            async_: None,
            poll: None,
            changed_when: vec![],
            failed_when: vec![],
            notify: vec![],
            listen: vec![],
            role: around.role.clone(),
            span: node.span.clone(),
        };
        let mut loop_at = None;
        for (key_node, value) in map.iter() {
            let Some(key) = key_node.as_str() else { continue };
            if matches!(key, "action" | "local_action" | "args") || *key == *task.written {
                continue;
            }
            if key == "loop" || key.starts_with("with_") {
                if let Some(found) = self.loop_of(key, key_node, value, task.loop_.is_some()) {
                    task.loop_ = Some(found);
                    loop_at = Some(key_node.span.clone());
                }
                continue;
            }
            // Not a keyword: reported with the statement.
            let Some(shape) = keywords::shape(around.place, key) else { continue };
            if matches!(place, Place::IncludeTasks | Place::IncludeRole)
                && !keywords::on_include(key)
                && !(key == "listen" && around.is_handlers())
            {
                self.problem(keywords::unknown(place, key, &key_node.span));
                continue;
            }
            if let Some(problem) = keywords::check(key, shape, value) {
                self.problem(problem);
                continue;
            }
            self.keyword(&mut task, key, value);
        }
        if local {
            task.keywords.delegate_to = Some(Node::text("localhost", &span));
        }
        Draft { task, canonical, statement: span, loop_at }
    }

    fn keyword(&mut self, task: &mut Task, key: &str, value: &Node) {
        let one = || (!value.is_null()).then(|| value.clone());
        match key {
            "register" => {
                if value.as_str().is_some_and(keywords::is_variable_name) {
                    task.register = one();
                } else if !value.is_null() {
                    self.problem(keywords::bad_variable_name(value));
                }
            }
            "until" => task.until = list(value),
            "retries" => task.retries = one(),
            "delay" => task.delay = one(),
            "async" => task.async_ = one(),
            "poll" => task.poll = one(),
            "changed_when" => task.changed_when = list(value),
            "failed_when" => task.failed_when = list(value),
            "notify" => task.notify = list(value),
            "listen" => task.listen = list(value),
            "loop_control" => task.loop_control = self.loop_control(value),
            _ => {
                keywords::take(&mut task.keywords, key, value, &mut self.problems);
            }
        }
    }

    fn loop_of(&mut self, key: &str, key_node: &Node, value: &Node, second: bool) -> Option<Loop> {
        if key == "loop" && value.is_null() {
            return None;
        }
        if second {
            self.problem(
                Problem::new("conflicting-statements", format!("a task loops once; `{key}` is its second loop"))
                    .at(&key_node.span),
            );
            return None;
        }
        let kind = key.strip_prefix("with_").unwrap_or("loop");
        if value.is_null() {
            self.problem(Problem::new("wrong-type", format!("`{key}` has no value")).at(&key_node.span));
            return None;
        }
        if key != "loop" && !modules::LOOKUPS.contains(&modules::canonical(kind)) && !kind.contains('.') {
            self.problem(
                Problem::new("unknown-keyword", format!("`{key}`: no lookup is named `{kind}`"))
                    .at(&key_node.span)
                    .nearest(kind, modules::LOOKUPS.iter().copied()),
            );
            return None;
        }
        if key == "loop" && value.as_seq().is_none() && !(value.as_str().is_some() && value.has_template()) {
            self.problem(
                Problem::new("wrong-type", format!("`loop` must be a list or a template of one, not {}", shown(value)))
                    .at(&value.span)
                    .help(match value.as_map() {
                        Some(_) => "for a mapping write `loop: \"{{ mapping | dict2items }}\"`".to_owned(),
                        None => format!("write `loop: [{}]`, or a template", value.as_str().unwrap_or("…")),
                    }),
            );
            return None;
        }
        Some(Loop { kind: modules::canonical(kind).to_owned(), items: value.clone() })
    }

    fn loop_control(&mut self, value: &Node) -> LoopControl {
        let mut control = LoopControl::default();
        let Some(map) = value.as_map() else { return control };
        const KNOWN: &[(&str, Shape)] = &[
            ("loop_var", Shape::Text),
            ("index_var", Shape::Text),
            ("label", Shape::Any),
            ("pause", Shape::Float),
            ("extended", Shape::Bool),
            ("extended_allitems", Shape::Bool),
            ("break_when", Shape::List),
        ];
        for (key_node, value) in map.iter() {
            let key = key_node.as_str().unwrap_or_default();
            let Some((_, shape)) = KNOWN.iter().find(|(k, _)| *k == key) else {
                self.problem(
                    Problem::new("unknown-keyword", format!("`loop_control` has no {}", shown(key_node)))
                        .at(&key_node.span)
                        .nearest(key, KNOWN.iter().map(|(k, _)| *k)),
                );
                continue;
            };
            if let Some(problem) = keywords::check(key, *shape, value) {
                self.problem(problem);
                continue;
            }
            let names_variable = matches!(key, "loop_var" | "index_var") && !value.has_template();
            if names_variable && !value.as_str().is_some_and(keywords::is_variable_name) {
                self.problem(keywords::bad_variable_name(value));
                continue;
            }
            let one = (!value.is_null()).then(|| value.clone());
            match key {
                "loop_var" => control.loop_var = one,
                "index_var" => control.index_var = one,
                "label" => control.label = one,
                "pause" => control.pause = one,
                "extended" => control.extended = one,
                "extended_allitems" => control.extended_allitems = one,
                _ => control.break_when = list(value),
            }
        }
        control
    }

    /// Puts the arguments into the model's form; a free text where none is taken is a problem.
    fn task_args(&mut self, canonical: &str, written: &str, span: &Span, given: Given, around: &Around) -> TaskArgs {
        let Given { mut named, mut free, mut template } = given;
        if let Some(text) = free.take_if(|text| {
            template.is_none()
                && text.as_str().is_some_and(is_all_template)
                && !self.takes_free_form(canonical, written, around)
        }) {
            template = Some(text);
        }
        if let Some(text) = &free
            && !self.takes_free_form(canonical, written, around)
        {
            self.problem(
                Problem::new("free-form", format!("`{written}` takes arguments by name, not the text {}", shown(text)))
                    .at(&text.span)
                    .help(format!("write `{written}:` and its arguments below it, one per line as `name: value`")),
            );
        }
        match (template, free) {
            (Some(template), free) => {
                if let Some(text) = free {
                    named.push((Node::text("_raw_params", span), text));
                }
                TaskArgs::Template(template, named)
            }
            (None, Some(text)) => TaskArgs::Free(text, named),
            (None, None) => TaskArgs::Named(named),
        }
    }

    /// Whether a module takes a text that is no `name=value`. Modules not known here are not judged.
    fn takes_free_form(&self, canonical: &str, written: &str, around: &Around) -> bool {
        if matches!(canonical, "include_tasks" | "import_tasks" | "include_role" | "import_role" | "meta" | "include") {
            return true;
        }
        match self.module_type(written, around) {
            Some(found) => found.free_form.is_some(),
            None => true,
        }
    }

    /// A task that runs a module.
    fn module_task(&mut self, draft: Draft, around: &Around) -> Item {
        let Draft { mut task, statement, .. } = draft;
        let route = self.routed(&task.written, around);
        for warning in &route.warnings {
            self.warn(Problem::new("deprecated", warning.clone()).at(&statement));
        }
        if let Some(why) = &route.removed {
            self.problem(super::routing::removed(&task.written, why, &statement));
        }
        let custom: Option<CustomModule> = self.custom_module(&task.written, around);
        match self.module_type(&task.written, around) {
            Some(found) => {
                if let Some(custom) = custom {
                    self.warn(
                        Problem::new(
                            "custom-module",
                            format!(
                                "`{}` is built into kdeploy; {} is not used",
                                task.written,
                                crate::source::display_path(&custom.path)
                            ),
                        )
                        .at(&statement),
                    );
                }
                task.action = Action::Module { name: found.name.to_owned(), written: task.written.clone() };
                let has_defaults = around.has_defaults || !task.keywords.module_defaults.is_empty();
                let problems = super::arguments::check(found, &task, &statement, has_defaults);
                self.problems.extend(problems);
            }
            None => {
                task.action = Action::Unknown { written: task.written.clone() };
                task.custom = custom;
            }
        }
        Item::Task(Arc::new(task))
    }

    /// `meta: WHAT`.
    fn meta(&mut self, draft: Draft, around: &Around) -> Option<Item> {
        let Draft { mut task, statement, .. } = draft;
        let what = match &task.args {
            TaskArgs::Free(text, named) if named.is_empty() => text.clone(),
            _ => {
                self.problem(
                    Problem::new("missing-argument", "`meta` needs to be told what to do")
                        .at(&statement)
                        .help(format!("one of: {}", modules::META.join(", "))),
                );
                return None;
            }
        };
        if let Some(text) = what.as_str().filter(|_| !what.has_template()) {
            if !modules::META.contains(&text.trim()) {
                self.problem(
                    Problem::new("unknown-meta", format!("`meta` cannot do `{text}`"))
                        .at(&what.span)
                        .nearest(text, modules::META.iter().copied())
                        .help(format!("one of: {}", modules::META.join(", "))),
                );
                return None;
            }
            if text.trim() == "end_role" && around.is_handlers() {
                self.problem(Problem::new("misplaced", "`end_role` cannot stand in a handler").at(&what.span));
                return None;
            }
            if text.trim() == "end_role" && around.role.is_none() {
                self.problem(Problem::new("misplaced", "`end_role` cannot stand outside of a role").at(&what.span));
                return None;
            }
        }
        task.action = Action::Meta(what);
        Some(Item::Task(Arc::new(task)))
    }
}
