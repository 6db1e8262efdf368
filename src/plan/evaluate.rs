//! Evaluation of one task (or one item of its loop): conditions, loop, arguments, verdict.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::interpreter::Interpreter;
use super::lineage::Lineage;
use super::state::{End, HostState, LoopState};
use super::together::{Once, OnceKey, Place, Reader, read_as};
use super::turn::{Draft, Ending, Turn};
use crate::node::Identity;
use crate::playbook::{Action, Task, TaskArgs};
use crate::problem::Problem;
use crate::resources::{self, Args, Kind, ResourceType, Setting, TaskResult, Verdict};
use crate::template::{Context, EvalError, Unknown, is_omit};
use crate::vars::{Definition, Scope};
use crate::world::{Stop, View};
use crate::yaml::{Node, Yaml};

/// Modules that run on the control machine alone: no connection is made for them.
const LANGUAGE: &[&str] = &[
    "add_host",
    "assert",
    "debug",
    "fail",
    "group_by",
    "include_vars",
    "pause",
    "set_fact",
    "set_stats",
    "validate_argument_spec",
];

impl Interpreter {
    /// Evaluates the current task. Whatever is over is entered into the state; the rest is for the driver.
    pub fn turn(&self, st: &mut HostState) -> Turn {
        let Some((task, lineage)) = self.current(st) else { return Turn::End };
        read_as(Reader { host: self.host.clone(), place: self.place(st), speculative: st.speculative });
        self.take_given(st);
        let handler = st.frames.last().is_some_and(|f| matches!(f.kind, super::state::FrameKind::Handlers));
        if st.loop_state.is_none() && !handler {
            match self.is_selected(st, &task, &lineage) {
                Ok(true) => {}
                Ok(false) => {
                    self.advance(st);
                    return Turn::Quiet;
                }
                Err(problem) => return Turn::Broken(problem),
            }
        }
        if st.loop_state.is_some() {
            return self.loop_turn(st, &task, &lineage, handler);
        }
        let context = match self.context(st, Some(&task), &lineage, vec![]) {
            Ok(context) => context,
            Err(problem) => return Turn::Broken(problem),
        };
        if let Some(turn) = self.once_turn(st, &task, &lineage, &context, handler) {
            return turn;
        }
        let Some(looping) = &task.loop_ else {
            return self.item_turn(st, &task, &lineage, context, None, handler);
        };
        match self.loop_items(&context, looping) {
            Ok(items) => {
                st.loop_state = Some(LoopState {
                    items: Arc::new(items),
                    next: 0,
                    results: vec![],
                    changed: false,
                    failed: false,
                    skipped: 0,
                    unreachable: false,
                    includes: vec![],
                });
                self.loop_turn(st, &task, &lineage, handler)
            }
            Err(error) => {
                // Ansible skips a task whose condition is false without looking at its loop.
                let draft = match self.draft(st, &task, &lineage, context, None, handler) {
                    Ok(draft) => draft,
                    Err(turn) => return turn,
                };
                if let Ok(Err(index)) = draft.context.conditions(&lineage.conditions(&task)) {
                    return self.skipped(st, draft, &lineage.conditions(&task)[index]);
                }
                self.eval_failed(st, draft, error)
            }
        }
    }

    /// Where the host is, for the others.
    pub fn place(&self, st: &HostState) -> Place {
        Place {
            play: self.play.index,
            position: st.position(),
            ended: st.end != End::Running,
            failed: matches!(st.end, End::Failed | End::Unreachable),
        }
    }

    /// Variables that other hosts' tasks set for this one.
    fn take_given(&self, st: &mut HostState) {
        if st.speculative {
            return;
        }
        let (set, facts) = self.run.together.taken(&self.host);
        for (name, value) in set {
            st.vars.set_fact(&name, value);
        }
        if !facts.is_empty() {
            st.vars.add_facts(facts);
        }
    }

    /// A task that runs once for the batch: `Some` if it is another host's to run.
    fn once_turn(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        context: &Context,
        handler: bool,
    ) -> Option<Turn> {
        let node = lineage.nearest(task, |k| k.run_once.as_ref())?;
        if !context.boolean(node).unwrap_or(false) || self.play.batch.len() < 2 {
            return None;
        }
        let key = once_key(st, task);
        let reader = super::together::reader()?;
        match self.run.together.once(&key, &reader, &self.play.batch, self.run.options.forks) {
            Once::Run => None,
            Once::Told(shared) => {
                for (name, value) in shared.set {
                    st.vars.set_fact(&name, value);
                }
                if !shared.facts.is_empty() {
                    st.vars.add_facts(shared.facts);
                }
                count_visit(st, task);
                if shared.failed {
                    st.failure = shared.failure;
                    self.fail(st);
                } else {
                    self.advance(st);
                }
                Some(Turn::Quiet)
            }
            Once::Later => {
                let draft = match self.draft(st, task, lineage, context.clone(), None, handler) {
                    Ok(draft) => draft,
                    Err(turn) => return Some(turn),
                };
                Some(Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) })
            }
        }
    }

    /// True if tags select the task.
    fn is_selected(&self, st: &HostState, task: &Arc<Task>, lineage: &Arc<Lineage>) -> Result<bool, Problem> {
        let tags = self.tags_of(st, task, lineage)?;
        let options = &self.run.options;
        Ok(crate::playbook::selected(&tags, &options.tags, &options.skip_tags))
    }

    /// Tags of a task with those it inherits, rendered.
    pub fn tags_of(&self, st: &HostState, task: &Arc<Task>, lineage: &Arc<Lineage>) -> Result<Vec<String>, Problem> {
        let nodes = lineage.tag_nodes(task);
        let mut tags = vec![];
        let mut context = None;
        for node in &nodes {
            if !node.has_template() {
                match &node.value {
                    Yaml::Seq(items) => tags.extend(items.iter().filter_map(Node::as_str).map(str::to_owned)),
                    _ => tags.extend(scalar_text(node)),
                }
                continue;
            }
            if context.is_none() {
                context = Some(self.context(st, Some(task), lineage, vec![])?);
            }
            let value =
                context.as_ref().expect("made above").value(node).map_err(|e| e.into_problem().or_at(&node.span))?;
            match value.as_str() {
                Some(text) => tags.extend(text.split(',').map(|t| t.trim().to_owned())),
                None => tags.extend(value.try_iter().into_iter().flatten().map(|v| resources::text_of(&v))),
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        tags.retain(|tag| seen.insert(tag.clone()));
        Ok(tags)
    }

    /// The items of a loop: `loop` as it is, `with_X` by the lookup of that name.
    fn loop_items(&self, context: &Context, looping: &crate::playbook::Loop) -> Result<Vec<Value>, EvalError> {
        let value = context.value(&looping.items)?;
        if let Some(unknown) = Unknown::of(&value) {
            return Err(EvalError::Unknown(unknown.clone()));
        }
        if looping.kind == "loop" {
            return match value.kind() {
                ValueKind::Seq | ValueKind::Iterable => Ok(value.try_iter().into_iter().flatten().collect()),
                _ => Err(EvalError::Failed(
                    Problem::new("invalid-loop", format!("`loop` needs a list, not {}", value_kind(&value)))
                        .at(&looping.items.span)
                        .help("a mapping can be looped over with `loop: \"{{ mapping | dict2items }}\"`"),
                )),
            };
        }
        let terms = match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => value.try_iter().into_iter().flatten().collect(),
            _ => vec![value],
        };
        context.lookup(&looping.kind, &terms, &looping.items.span)
    }

    /// The next item of the loop the host is in, or the loop's end.
    fn loop_turn(&self, st: &mut HostState, task: &Arc<Task>, lineage: &Arc<Lineage>, handler: bool) -> Turn {
        let looping = st.loop_state.clone().expect("a loop is open");
        let base = match self.context(st, Some(task), lineage, vec![]) {
            Ok(context) => context,
            Err(problem) => return Turn::Broken(problem),
        };
        let Some(item) = looping.items.get(looping.next) else {
            return self.loop_end(st, task, lineage, base, &looping, handler);
        };
        let scope = match self.loop_scope(&base, task, &looping, item) {
            Ok(scope) => scope,
            Err(error) => {
                let draft = match self.draft(st, task, lineage, base, None, handler) {
                    Ok(draft) => draft,
                    Err(turn) => return turn,
                };
                return self.eval_failed(st, draft, error);
            }
        };
        let context = base.with([scope]);
        let label = match &task.loop_control.label {
            Some(node) => context.text(node).unwrap_or_else(|_| node.as_str().unwrap_or_default().to_owned()),
            None => resources::text_of(item),
        };
        self.item_turn(st, task, lineage, context, Some((item.clone(), label)), handler)
    }

    /// The variables of one turn of a loop: the item under its name, the index, `ansible_loop`.
    fn loop_scope(
        &self,
        context: &Context,
        task: &Task,
        looping: &LoopState,
        item: &Value,
    ) -> Result<Arc<Scope>, EvalError> {
        let control = &task.loop_control;
        let loop_var = match &control.loop_var {
            Some(node) => context.text(node)?,
            None => "item".to_owned(),
        };
        let mut vars = vec![(loop_var.clone(), item.clone()), ("ansible_loop_var".to_owned(), Value::from(loop_var))];
        if let Some(node) = &control.index_var {
            let name = context.text(node)?;
            vars.push((name.clone(), Value::from(looping.next)));
            vars.push(("ansible_index_var".to_owned(), Value::from(name)));
        }
        if let Some(node) = &control.extended
            && context.boolean(node)?
        {
            let length = looping.items.len();
            let index = looping.next;
            let mut extended = vec![
                ("index".to_owned(), Value::from(index + 1)),
                ("index0".to_owned(), Value::from(index)),
                ("first".to_owned(), Value::from(index == 0)),
                ("last".to_owned(), Value::from(index + 1 == length)),
                ("length".to_owned(), Value::from(length)),
                ("revindex".to_owned(), Value::from(length - index)),
                ("revindex0".to_owned(), Value::from(length - index - 1)),
            ];
            let all = match &control.extended_allitems {
                Some(node) => context.boolean(node)?,
                None => true,
            };
            if all {
                extended.push(("allitems".to_owned(), Value::from(looping.items.to_vec())));
            }
            if index > 0 {
                extended.push(("previtem".to_owned(), looping.items[index - 1].clone()));
            }
            if let Some(next) = looping.items.get(index + 1) {
                extended.push(("nextitem".to_owned(), next.clone()));
            }
            vars.push(("ansible_loop".to_owned(), Value::from_pairs(extended)));
        }
        Ok(Scope::finals("loop", vars))
    }

    /// Evaluates the task for one item (or without a loop).
    fn item_turn(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        context: Context,
        item: Option<(Value, String)>,
        handler: bool,
    ) -> Turn {
        let draft = match self.draft(st, task, lineage, context, item, handler) {
            Ok(draft) => draft,
            Err(turn) => return turn,
        };
        if let Some(unknown) = &lineage.maybe {
            return Turn::Blocked { unknown: unknown.clone(), draft: Box::new(draft) };
        }
        let conditions = lineage.conditions(task);
        match draft.context.conditions(&conditions) {
            Ok(Ok(())) => {}
            Ok(Err(index)) => return self.skipped(st, draft, &conditions[index]),
            Err(EvalError::Unknown(unknown)) => {
                // Whatever the module would ask can be asked already: answers never harm.
                if unknown.is_pending() {
                    if let Turn::Needs { target, identity, queries, draft } = self.module_turn(st, draft) {
                        return Turn::Needs { target, identity, queries, draft };
                    }
                    let draft = match self.redraft(st, task, lineage, handler) {
                        Ok(draft) => draft,
                        Err(turn) => return turn,
                    };
                    return Turn::Blocked { unknown, draft: Box::new(draft) };
                }
                return Turn::Blocked { unknown, draft: Box::new(draft) };
            }
            Err(error) => return self.eval_failed(st, draft, error),
        }
        match &task.action {
            Action::Module { .. } => self.module_turn(st, draft),
            Action::IncludeTasks => self.include_tasks(st, draft),
            Action::IncludeRole => self.include_role(st, draft),
            Action::Meta(what) => {
                let what = what.clone();
                self.meta(st, draft, &what)
            }
            Action::Unknown { written } => {
                let problem = unknown_module(written).at(&task.span);
                self.problem(st, draft, problem)
            }
        }
    }

    /// A draft for the current item made anew (the first one was used up).
    fn redraft(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        handler: bool,
    ) -> Result<Draft, Turn> {
        let base = self.context(st, Some(task), lineage, vec![]).map_err(Turn::Broken)?;
        let Some(looping) = st.loop_state.clone() else {
            return self.draft(st, task, lineage, base, None, handler);
        };
        let item = looping.items[looping.next].clone();
        let context = match self.loop_scope(&base, task, &looping, &item) {
            Ok(scope) => base.with([scope]),
            Err(_) => base,
        };
        let label = resources::text_of(&item);
        self.draft(st, task, lineage, context, Some((item, label)), handler)
    }

    /// Renders a module's arguments, builds the resource and asks for its verdict.
    fn module_turn(&self, st: &mut HostState, draft: Draft) -> Turn {
        let Some(module) = draft.module else {
            return Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) };
        };
        let language = LANGUAGE.contains(&module.name);
        let key = (draft.target.clone(), draft.identity.key());
        let hello = self.hellos.get(&key).cloned();
        if hello.is_none() && !language {
            return Turn::Hello { target: draft.target.clone(), identity: draft.identity.clone() };
        }
        let hello = hello.unwrap_or_default();
        let args = match self.arguments(st, &draft, module) {
            Ok(args) => args,
            Err(stop) => return self.stopped(st, draft, stop),
        };
        let built = {
            let context = &draft.context;
            let environment = match self.environment(&draft) {
                Ok(environment) => environment,
                Err(error) => return self.eval_failed(st, draft, error),
            };
            let span = draft.task.span.clone();
            let setting = Setting {
                check_mode: self.run.options.check || draft.check_mode == Some(true),
                diff: self.run.options.diff,
                home: hello.home.clone(),
                user: hello.user.clone(),
                environment,
                find_file: &|sub, name| {
                    context.paths().find(sub, name).map_err(|tried| {
                        let mut problem =
                            Problem::new("missing-file", format!("no file `{name}` is in the places a task looks at"))
                                .at(&span);
                        for place in tried {
                            problem = problem.note(format!("looked at {}", crate::source::display_path(&place)));
                        }
                        problem
                    })
                },
                render: &|request| context.render_file(request).map_err(stop_of),
                facts: (!st.vars.facts.is_empty())
                    .then(|| Value::from_pairs(st.vars.facts.iter().map(|(k, v)| (k.clone(), v.clone())))),
                evaluate: &|text| context.expression(text, &span).map_err(stop_of),
                condition: &|value| context.condition(&Node::from_value(value, &span)).map_err(stop_of),
                verbosity: self.run.options.verbosity,
                decrypt: &|bytes| self.run.decrypt(bytes),
                fetch: &|download| fetch_bytes(download),
            };
            (module.build)(args, &setting)
        };
        let resource = match built {
            Ok(resource) => resource,
            Err(stop) => return self.stopped(st, draft, stop),
        };
        let world = st.world(&draft.target, &draft.identity.key()).clone();
        let view = View::new(&world);
        let verdict = resource.reconcile(&view);
        let (missing, rested_on) = view.into_missing();
        if let (Some(unknown), Err(Stop::Failed(_)) | Ok(Verdict::Failed(_))) = (&st.clouded, &verdict)
            && !rested_on.is_empty()
        {
            return Turn::Blocked { unknown: unknown.clone(), draft: Box::new(draft) };
        }
        match verdict {
            Err(Stop::Needs) => Turn::Needs {
                target: draft.target.clone(),
                identity: draft.identity.clone(),
                queries: missing,
                draft: Box::new(draft),
            },
            Err(stop) => self.stopped(st, draft, stop),
            Ok(Verdict::Unchanged(result)) => self.settled(st, draft, Ending::Unchanged(result)),
            Ok(Verdict::Skipped(result)) => {
                let because = result.values.get("msg").map(resources::text_of);
                self.settled(st, draft, Ending::Skipped(result, because))
            }
            Ok(Verdict::Failed(result)) => self.settled(st, draft, Ending::Failed { result, invalid: false }),
            Ok(Verdict::Change(change)) => Turn::Act { draft: Box::new(draft), resource, change: Box::new(change) },
        }
    }

    /// The module's arguments, rendered and checked; `module_defaults` fill what is not written.
    fn arguments(&self, st: &HostState, draft: &Draft, module: &'static ResourceType) -> Result<Args, Stop> {
        let context = &draft.context;
        let mut given: Vec<(String, Value, crate::source::Span)> = vec![];
        let mut take = |name: &Node, node: &Node| -> Result<(), Stop> {
            let key = match name.has_template() {
                true => context.text(name).map_err(stop_of)?,
                false => scalar_text(name).into_iter().next().unwrap_or_default(),
            };
            let spec = resources::find_arg(module.args, &key);
            let value = match spec.map(|s| s.kind) {
                Some(Kind::Condition) => node.to_value(),
                _ => context.value(node).map_err(stop_of)?,
            };
            given.push((key, value, node.span.clone()));
            Ok(())
        };
        match &draft.task.args {
            TaskArgs::Named(pairs) => {
                for (name, node) in pairs {
                    take(name, node)?;
                }
            }
            TaskArgs::Free(text, pairs) => {
                let free = module.free_form.unwrap_or("_raw_params");
                take(&Node::text(free, &text.span), text)?;
                for (name, node) in pairs {
                    take(name, node)?;
                }
            }
            TaskArgs::Template(node, pairs) => {
                let value = context.value(node).map_err(stop_of)?;
                if let Some(unknown) = Unknown::of(&value) {
                    return Err(Stop::Unknown(unknown.clone()));
                }
                for (name, node) in pairs {
                    take(name, node)?;
                }
                match value.kind() {
                    ValueKind::Map => {
                        for key in value.try_iter().into_iter().flatten() {
                            let inner = value.get_item(&key).unwrap_or_default();
                            given.push((resources::text_of(&key), inner, node.span.clone()));
                        }
                    }
                    ValueKind::String => {
                        let free = module.free_form.unwrap_or("_raw_params");
                        given.push((free.to_owned(), value, node.span.clone()));
                    }
                    _ => {
                        return Err(Stop::Invalid(
                            Problem::new(
                                "invalid-argument",
                                format!(
                                    "the arguments of `{}` must be a mapping, not {}",
                                    module.name,
                                    value_kind(&value)
                                ),
                            )
                            .at(&node.span),
                        ));
                    }
                }
            }
        }
        self.module_defaults(st, draft, module, &mut given)?;
        // Unknown parts make the step unknown: its verdict would rest on them.
        for (name, value, _) in &given {
            let open = resources::find_arg(module.args, name).is_none_or(|s| s.name == resources::ANY);
            let data = matches!(module.name, "debug" | "set_fact") || open;
            if let Some(unknown) = Unknown::within(value)
                && (!data || Unknown::of(value).is_some() && module.name != "set_fact")
            {
                return Err(Stop::Unknown(unknown));
            }
        }
        Ok(Args::check(module.name, module.args, given, &draft.task.span)?)
    }

    /// `module_defaults` around the task, the nearest winning, for arguments that are not written.
    fn module_defaults(
        &self,
        _st: &HostState,
        draft: &Draft,
        module: &'static ResourceType,
        given: &mut Vec<(String, Value, crate::source::Span)>,
    ) -> Result<(), Stop> {
        let mut defaults: Vec<(String, Value, crate::source::Span)> = vec![];
        for node in draft.lineage.module_defaults(&draft.task) {
            let value = draft.context.value(&node).map_err(stop_of)?;
            for key in value.try_iter().into_iter().flatten() {
                let name = resources::text_of(&key);
                if name.starts_with("group/") {
                    continue;
                }
                if resources::lookup(&name).is_none_or(|t| t.name != module.name) {
                    continue;
                }
                let inner = value.get_item(&key).unwrap_or_default();
                for arg in inner.try_iter().into_iter().flatten() {
                    let name = resources::text_of(&arg);
                    let value = inner.get_item(&arg).unwrap_or_default();
                    defaults.retain(|(n, _, _)| *n != name);
                    defaults.push((name, value, node.span.clone()));
                }
            }
        }
        for (name, value, span) in defaults {
            let canonical = resources::find_arg(module.args, &name).map_or(name.as_str(), |s| s.name);
            let written = given
                .iter()
                .any(|(n, _, _)| resources::find_arg(module.args, n).map_or(n.as_str(), |s| s.name) == canonical);
            if !written {
                given.push((name, value, span));
            }
        }
        Ok(())
    }

    /// `environment` around the task, the innermost winning.
    fn environment(&self, draft: &Draft) -> Result<Vec<(String, String)>, EvalError> {
        let mut all = indexmap::IndexMap::new();
        for node in draft.lineage.environments(&draft.task) {
            let value = draft.context.value(&node)?;
            let mut add = |map: &Value| {
                for key in map.try_iter().into_iter().flatten() {
                    let inner = map.get_item(&key).unwrap_or_default();
                    if !is_omit(&inner) {
                        all.insert(resources::text_of(&key), resources::text_of(&inner));
                    }
                }
            };
            match value.kind() {
                ValueKind::Map => add(&value),
                ValueKind::Seq => value.try_iter().into_iter().flatten().for_each(|map| add(&map)),
                _ => {}
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Everything about the step that does not need the node.
    fn draft(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        context: Context,
        item: Option<(Value, String)>,
        handler: bool,
    ) -> Result<Draft, Turn> {
        let tags = self.tags_of(st, task, lineage).map_err(Turn::Broken)?;
        let (action, module) = match &task.action {
            Action::Module { name, written } => (written.clone(), resources::lookup(name)),
            Action::IncludeTasks => ("include_tasks".to_owned(), None),
            Action::IncludeRole => ("include_role".to_owned(), None),
            Action::Meta(_) => ("meta".to_owned(), None),
            Action::Unknown { written } => (written.clone(), None),
        };
        let name = match &task.keywords.name {
            Some(node) => context.text(node).unwrap_or_else(|_| node.as_str().unwrap_or_default().to_owned()),
            None => action.clone(),
        };
        let flag =
            |node: Option<&Node>| -> Result<Option<bool>, EvalError> { node.map(|n| context.boolean(n)).transpose() };
        let settings = (|| -> Result<_, EvalError> {
            let target = match lineage.nearest(task, |k| k.delegate_to.as_ref()) {
                Some(node) => {
                    let value = context.value(node)?;
                    if is_omit(&value) || value.is_none() { None } else { Some(resources::text_of(&value)) }
                }
                None => None,
            };
            Ok((
                target,
                self.identity(&context, task, lineage)?,
                flag(lineage.nearest(task, |k| k.no_log.as_ref()))?.unwrap_or(false),
                flag(lineage.nearest(task, |k| k.ignore_errors.as_ref()))?.unwrap_or(false),
                flag(lineage.nearest(task, |k| k.check_mode.as_ref()))?,
                flag(lineage.nearest(task, |k| k.delegate_facts.as_ref()))?.unwrap_or(false),
                flag(lineage.nearest(task, |k| k.run_once.as_ref()))?.unwrap_or(false),
                match lineage.nearest(task, |k| k.timeout.as_ref()) {
                    Some(node) => context.text(node)?.trim().parse().unwrap_or(0),
                    None => 0,
                },
            ))
        })();
        let mut draft = Draft {
            task: task.clone(),
            lineage: lineage.clone(),
            context: context.clone(),
            item,
            name,
            action,
            tags,
            target: self.host.clone(),
            delegated: false,
            identity: Identity::default(),
            no_log: false,
            ignore_errors: false,
            check_mode: None,
            timeout: 0,
            handler,
            once: None,
            delegate_facts: false,
            module,
        };
        match settings {
            Ok((target, identity, no_log, ignore_errors, check_mode, delegate_facts, once, timeout)) => {
                if let Some(target) = target {
                    draft.delegated = true;
                    draft.target = target;
                }
                draft.identity = identity;
                draft.no_log = no_log;
                draft.ignore_errors = ignore_errors;
                draft.check_mode = check_mode;
                draft.delegate_facts = delegate_facts && draft.delegated;
                draft.once = once.then(|| once_key(st, task));
                draft.timeout = timeout;
                Ok(draft)
            }
            // A keyword that cannot be evaluated matters only if the task is not skipped.
            Err(error) => {
                let conditions = lineage.conditions(task);
                if let Ok(Err(index)) = context.conditions(&conditions) {
                    return Err(self.skipped(st, draft, &conditions[index]));
                }
                match error {
                    EvalError::Unknown(unknown) => Err(Turn::Blocked { unknown, draft: Box::new(draft) }),
                    other => Err(Turn::Broken(other.into_problem().or_at(&task.span))),
                }
            }
        }
    }

    /// As whom the task runs: keywords from the task outwards, `ansible_become*` variables before them.
    fn identity(&self, context: &Context, task: &Arc<Task>, lineage: &Arc<Lineage>) -> Result<Identity, EvalError> {
        let options = &self.run.options;
        let text_var = |name: &str| -> Result<Option<String>, EvalError> {
            Ok(context.variable(name)?.filter(|v| !v.is_none() && !v.is_undefined()).map(|v| resources::text_of(&v)))
        };
        let keyword = |pick: &dyn Fn(&crate::playbook::Keywords) -> Option<&Node>| -> Option<Node> {
            pick(&task.keywords).cloned().or_else(|| lineage.inside_out().find_map(|l| pick(l.keywords()).cloned()))
        };
        let on = match text_var("ansible_become")? {
            Some(text) => resources::truth(&text).unwrap_or(false),
            None => match keyword(&|k| k.r#become.as_ref()) {
                Some(node) => context.boolean(&node)?,
                None => options.r#become,
            },
        };
        if !on {
            return Ok(Identity::default());
        }
        let user = match text_var("ansible_become_user")? {
            Some(user) => Some(user),
            None => match keyword(&|k| k.become_user.as_ref()) {
                Some(node) => Some(context.text(&node)?),
                None => options.become_user.clone(),
            },
        };
        let method = match text_var("ansible_become_method")? {
            Some(method) => Some(method),
            None => match keyword(&|k| k.become_method.as_ref()) {
                Some(node) => Some(context.text(&node)?),
                None => options.become_method.clone(),
            },
        };
        let flags = match text_var("ansible_become_flags")? {
            Some(flags) => Some(flags),
            None => match keyword(&|k| k.become_flags.as_ref()) {
                Some(node) => Some(context.text(&node)?),
                None => None,
            },
        };
        let mut password = options.become_password.clone();
        for name in ["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"] {
            if let Some(text) = text_var(name)? {
                password = Some(crate::node::Secret(text));
                break;
            }
        }
        Ok(Identity {
            become_user: Some(user.unwrap_or_else(|| "root".to_owned())),
            method: method.unwrap_or_else(|| "sudo".to_owned()),
            flags,
            password,
        })
    }

    /// The step does not run because of a condition.
    fn skipped(&self, st: &mut HostState, draft: Draft, condition: &Node) -> Turn {
        let text = scalar_text(condition).into_iter().next().unwrap_or_default();
        let result = TaskResult::unchanged()
            .with("skip_reason", "Conditional result was False")
            .with("false_condition", condition.to_value());
        self.settled(st, draft, Ending::Skipped(result, Some(format!("`{text}` is false"))))
    }

    /// A template of the task has no value.
    pub(super) fn eval_failed(&self, st: &mut HostState, draft: Draft, error: EvalError) -> Turn {
        match error {
            EvalError::Unknown(unknown) => Turn::Blocked { unknown, draft: Box::new(draft) },
            EvalError::Undefined(problem) | EvalError::Failed(problem) => self.problem(st, draft, problem),
        }
    }

    /// The task can never work as it is written.
    pub(super) fn problem(&self, st: &mut HostState, draft: Draft, problem: Problem) -> Turn {
        let problem = problem.or_at(&draft.task.span);
        let result = TaskResult::unchanged().with("msg", crate::report::plain_problem(&problem));
        self.settled(st, draft, Ending::Failed { result, invalid: true })
    }

    fn stopped(&self, st: &mut HostState, draft: Draft, stop: Stop) -> Turn {
        match stop {
            Stop::Unknown(unknown) => Turn::Blocked { unknown, draft: Box::new(draft) },
            Stop::Invalid(problem) => self.problem(st, draft, problem),
            Stop::Failed(message) => {
                let result = TaskResult::unchanged().with("msg", message);
                self.settled(st, draft, Ending::Failed { result, invalid: false })
            }
            // Building never asks the node; a resource that does so waits for nothing.
            Stop::Needs => Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) },
        }
    }

    fn settled(&self, st: &mut HostState, draft: Draft, ending: Ending) -> Turn {
        Turn::Done(Box::new(self.settle(st, &draft, ending)))
    }

    /// The end of a loop: the results of its items become the task's.
    fn loop_end(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        context: Context,
        looping: &LoopState,
        handler: bool,
    ) -> Turn {
        let draft = match self.draft(st, task, lineage, context, None, handler) {
            Ok(draft) => draft,
            Err(turn) => return turn,
        };
        match self.close_loop(st, &draft, looping) {
            Some(step) => Turn::Done(Box::new(step)),
            None => Turn::Quiet,
        }
    }
}

/// The reason a resource cannot be judged, from a template's error.
pub(super) fn stop_of(error: EvalError) -> Stop {
    match error {
        EvalError::Unknown(unknown) => Stop::Unknown(unknown),
        EvalError::Undefined(problem) | EvalError::Failed(problem) => Stop::Invalid(problem),
    }
}

/// A scalar's text as it stands in the file; none for lists and mappings.
pub(super) fn scalar_text(node: &Node) -> Option<String> {
    match &node.value {
        Yaml::Str(scalar) => Some(scalar.text.to_string()),
        Yaml::Bool(b) => Some(if *b { "True" } else { "False" }.to_owned()),
        Yaml::Int(i) => Some(i.to_string()),
        Yaml::Float(f) => Some(f.to_string()),
        _ => None,
    }
}

pub(super) fn value_kind(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Map => "a mapping",
        ValueKind::String => "text",
        ValueKind::Number => "a number",
        ValueKind::Bool => "a boolean",
        ValueKind::None => "nothing",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        _ => "something else",
    }
}

/// Written variables as definitions of a scope.
pub(super) fn written(pairs: &[(String, Node)]) -> impl Iterator<Item = (String, Definition)> + '_ {
    pairs.iter().map(|(k, v)| (k.clone(), Definition::Written(v.clone())))
}

/// The error for a module no resource has.
fn unknown_module(written: &str) -> Problem {
    let names = resources::registry::all().map(|t| t.name);
    Problem::new("unknown-module", format!("no module is named `{written}`"))
        .nearest(written.rsplit('.').next().unwrap_or(written), names)
}

/// A small download (a sums file) as bytes.
fn fetch_bytes(download: &crate::node::Download) -> Result<Vec<u8>, Problem> {
    let (path, _) = crate::node::fetch(download)?;
    std::fs::read(&path).map_err(|e| Problem::new("download", format!("{}: {e}", crate::source::display_path(&path))))
}

/// The key of this visit of a `run_once` task.
fn once_key(st: &HostState, task: &Task) -> OnceKey {
    let place = (task.span.file.path.display().to_string(), task.span.start);
    let visit = st.visits.get(&place).copied().unwrap_or(0);
    (place.0, place.1, visit)
}

/// The host is past a `run_once` task.
pub(super) fn count_visit(st: &mut HostState, task: &Task) {
    let place = (task.span.file.path.display().to_string(), task.span.start);
    *Arc::make_mut(&mut st.visits).entry(place).or_insert(0) += 1;
}
