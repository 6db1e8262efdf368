//! Evaluation of one task (or one item of its loop): conditions, loop, arguments, verdict.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::guard::StepKey;
use super::interpreter::Interpreter;
use super::lineage::Lineage;
use super::state::{End, HostState, LoopState};
use super::together::{ForAll, Once, OnceKey, Place, Reader, read_as};
use super::turn::{Draft, Ending, Turn};
use crate::playbook::{Action, Task};
use crate::problem::Problem;
use crate::resources::{self, TaskResult};
use crate::template::{Context, EvalError, Unknown};
use crate::vars::Definition;
use crate::world::Stop;
use crate::yaml::{Node, Yaml};

/// `meta` tasks that run whatever their `when` says.
const UNCONDITIONAL: &[&str] = &["noop", "refresh_inventory", "reset_connection"];

impl Interpreter {
    /// Evaluates the current task. Whatever is over is entered into the state; the rest is for the driver.
    pub fn turn(&self, st: &mut HostState) -> Turn {
        if let Some(problem) = st.missing_handler.clone() {
            if st.speculative {
                return Turn::End;
            }
            self.run.together.abort((*problem).clone());
        }
        if !st.speculative && self.run.together.is_aborted() {
            st.frames.clear();
            st.end = End::Failed;
        }
        let Some((task, lineage)) = self.current(st) else { return Turn::End };
        let place = self.place(st);
        if !st.speculative {
            // Finding the task left frames behind: others that wait for this host must know, before it waits for them.
            self.run.together.arrive(&self.host, place.clone());
        }
        read_as(Reader { host: self.host.clone(), place, speculative: st.speculative });
        self.take_given(st);
        let handler = st.frames.last().is_some_and(|f| matches!(f.kind, super::state::FrameKind::Handlers));
        if st.loop_state.is_none() && !handler {
            match self.is_selected(st, &task, &lineage) {
                Ok(true) if !self.is_before_start(st, &task, &lineage) => {}
                Ok(_) => {
                    self.advance(st);
                    return Turn::Quiet;
                }
                Err(problem) => return Turn::Broken(problem),
            }
        }
        if st.loop_state.is_none() && self.run.asked.is_some() && !self.planning {
            if st.speculative {
                return Turn::End;
            }
            if self.is_declined(st, &task, &lineage) {
                self.advance(st);
                return Turn::Quiet;
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
                st.loop_state = Some(LoopState::over(items));
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
                let draft = draft.before_keywords();
                match error {
                    EvalError::Failed(problem) => {
                        let problem = self.explained(&draft, problem.or_at(&task.span));
                        let result = TaskResult::unchanged().with("msg", crate::report::plain_problem(&problem));
                        self.settled(st, draft, Ending::Unrendered(TaskResult { bare: true, ..result }))
                    }
                    other => self.eval_failed(st, draft, other),
                }
            }
        }
    }

    /// Where failures elsewhere may end this host's way: waits for the others and looks.
    pub fn meet(&self, st: &mut HostState) {
        if !st.meet || st.speculative || st.loop_state.is_some() {
            return;
        }
        st.meet = false;
        if self.play.independent {
            return;
        }
        let place = self.place(st);
        self.run.together.arrive(&self.host, place.clone());
        let next = self.current(st).map(|(task, _)| once_key(st, &task));
        let (fatal, failed) = self.run.together.await_all(&place, next.as_ref(), self.run.options.forks);
        if st.failed || st.end != End::Running {
            return;
        }
        let is_new = fatal.iter().any(|key| !st.seen_fatal.contains(key));
        Arc::make_mut(&mut st.seen_fatal).extend(fatal);
        #[expect(clippy::cast_precision_loss, reason = "host counts are small")]
        let share = failed as f64 * 100.0 / self.play.batch.len().max(1) as f64;
        if is_new || self.play.max_fail_percentage.is_some_and(|most| share > most) {
            self.fail(st);
        }
    }

    /// Opens the loop of the task the host stands at, where that is still to come.
    pub fn open_loop(&self, st: &mut HostState) {
        if st.loop_state.is_some() {
            return;
        }
        let Some((task, lineage)) = self.current(st) else { return };
        let Some(looping) = &task.loop_ else { return };
        if let Ok(context) = self.context(st, Some(&task), &lineage, vec![])
            && let Ok(items) = self.loop_items(&context, looping)
            && !items.is_empty()
        {
            st.loop_state = Some(LoopState::over(items));
        }
    }

    /// A draft of the task the host stands at.
    pub fn current_draft(&self, st: &mut HostState) -> Option<Draft> {
        let (task, lineage) = self.current(st)?;
        let handler = st.frames.last().is_some_and(|f| matches!(f.kind, super::state::FrameKind::Handlers));
        let before = st.clone();
        let draft = self.redraft(st, &task, &lineage, handler).ok();
        *st = before;
        draft
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
        for given in self.run.together.given(&self.host, st.given) {
            st.given += 1;
            st.vars.take(given);
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
        if self.play.batch.len() < 2 || !self.is_once(task, lineage, context).unwrap_or(false) {
            return None;
        }
        let key = once_key(st, task);
        let reader = super::together::reader()?;
        match self.run.together.once(&key, &reader, &self.play.batch, self.run.options.forks) {
            Once::Run if !st.speculative => None,
            Once::Told(shared) => {
                for (name, value) in shared.set {
                    st.vars.set_fact(&name, value);
                }
                if !shared.facts.is_empty() {
                    st.vars.add_facts(shared.facts);
                }
                count_visit(st, task);
                match shared.meta {
                    Some(ForAll::End) => {
                        st.frames.clear();
                        st.loop_state = None;
                        st.end = End::Done;
                        return Some(Turn::Quiet);
                    }
                    Some(ForAll::ClearFacts) => self.clear_facts(st),
                    Some(ForAll::Nothing) | None => {}
                }
                if shared.failed {
                    // `ansible_failed_task` is told only to the host that ran it.
                    self.fail(st);
                } else {
                    self.advance(st);
                }
                Some(Turn::Quiet)
            }
            Once::Later | Once::Run => {
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
        let selected = self.run.selects(&tags);
        if !selected && !st.speculative {
            self.watch_unselected(task, lineage, &tags);
        }
        Ok(selected)
    }

    /// Tags of a task with those it inherits, rendered.
    pub fn tags_of(&self, st: &HostState, task: &Arc<Task>, lineage: &Arc<Lineage>) -> Result<Vec<String>, Problem> {
        let nodes = lineage.tag_nodes(task);
        let mut tags = vec![];
        let mut context = None;
        for node in &nodes {
            if !node.has_template() {
                match &node.value {
                    Yaml::Seq(items) => tags.extend(items.iter().filter_map(crate::playbook::tag_text)),
                    _ => tags.extend(crate::playbook::tag_text(node)),
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
                None if value.kind() == ValueKind::Number => tags.push(crate::playbook::number_tag(&value)),
                None => tags.extend(value.try_iter().into_iter().flatten().map(|v| match v.kind() {
                    ValueKind::Number => crate::playbook::number_tag(&v),
                    _ => resources::text_of(&v),
                })),
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        tags.retain(|tag| seen.insert(tag.clone()));
        Ok(tags)
    }

    /// Evaluates the task for one item (or without a loop).
    pub(super) fn item_turn(
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
        self.watch(st, &draft);
        let draft = match self.guarded(st, draft) {
            Ok(draft) => draft,
            Err(turn) => return turn,
        };
        if let Some(unknown) = &lineage.maybe {
            return Turn::Blocked { unknown: unknown.clone(), draft: Box::new(draft) };
        }
        if draft.delegate_facts && st.speculative {
            // Other hosts read it at once, and what was only thought of cannot be taken back from them.
            return Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) };
        }
        let mut conditions = lineage.conditions(task);
        if let Action::Meta(what) = &task.action
            && let Some(what) = what.as_str().map(str::trim).filter(|w| UNCONDITIONAL.contains(w))
        {
            if !task.keywords.when.is_empty() {
                self.run.warn(format!("{what} task does not support when conditional"));
            }
            conditions.clear();
        }
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
            Err(error) => return self.eval_failed(st, draft.before_keywords(), error),
        }
        if let Err(error @ (EvalError::Undefined(_) | EvalError::Failed(_))) = self.notification_names(&draft) {
            return self.eval_failed(st, draft, error);
        }
        match &task.action {
            Action::Module { .. } => self.module_turn(st, draft),
            Action::IncludeTasks => self.include_tasks(st, draft),
            Action::IncludeRole => self.include_role(st, draft),
            Action::Meta(what) => {
                let what = what.clone();
                self.meta(st, draft, &what)
            }
            Action::Unknown { .. } if draft.module.is_some() => self.module_turn(st, draft),
            Action::Unknown { .. } => {
                let problem = task.unknown_module();
                self.problem(st, draft, problem)
            }
        }
    }

    /// A draft for the current item made anew (the first one was used up).
    pub(super) fn redraft(
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

    /// Which step this is, for a guard.
    pub fn key_of(&self, st: &HostState, draft: &Draft) -> StepKey {
        let path = draft.task.span.path_line();
        let item = draft.item.as_ref().map(|(_, label)| label.clone());
        let visit = st.come_to.get(&(path.clone(), draft.name.clone(), item.clone())).copied().unwrap_or(0);
        StepKey { host: self.host.clone(), path, task: draft.name.clone(), item, visit: visit + 1 }
    }

    /// Steps that a guard leaves out are passed over; those that depend on one that stopped stop too.
    fn guarded(&self, st: &mut HostState, draft: Draft) -> Result<Draft, Turn> {
        let Some(guard) = &self.guard else { return Ok(draft) };
        let key = self.key_of(st, &draft);
        if guard.left_out.contains(&key) {
            let result = TaskResult::unchanged().with("skip_reason", "not targeted");
            return Err(self.settled(st, draft, Ending::Skipped(result, Some("not targeted".to_owned()))));
        }
        match guard.waits_in_vain(&key, &st.stopped) {
            Some(why) => Err(self.settled(st, draft, Ending::Stopped(why))),
            None => Ok(draft),
        }
    }

    /// The step does not run because of a condition.
    pub(super) fn skipped(&self, st: &mut HostState, draft: Draft, condition: &Node) -> Turn {
        let text = scalar_text(condition).into_iter().next().unwrap_or_default();
        let mut result = TaskResult::unchanged()
            .with("skip_reason", "Conditional result was False")
            .with("false_condition", condition.to_value());
        if let Action::Meta(what) = &draft.task.action {
            let what = draft.context.text(what).unwrap_or_default();
            let role = draft.lineage.roles().first().map_or("", |r| r.role.name.as_str());
            result = self.meta_skipped(what.trim(), role);
        }
        self.settled(st, draft, Ending::Skipped(result, Some(format!("`{text}` is false"))))
    }

    /// What a `meta` task says that does not run because of its condition.
    fn meta_skipped(&self, what: &str, role: &str) -> TaskResult {
        let host = &self.host;
        let instead = match what {
            "flush_handlers" => format!("not running handlers for {host}"),
            "clear_facts" => format!("not clearing facts and fact cache for {host}"),
            "clear_host_errors" => format!("not clearing host error state for {host}"),
            "end_host" => format!("continuing execution for {host}"),
            "end_batch" => "continuing current batch".to_owned(),
            "end_role" => format!("continuing role {role} for {host}"),
            _ => "continuing play".to_owned(),
        };
        let msg = match what {
            "end_host" => format!("end_host conditional evaluated to false, {instead}"),
            other => other.to_owned(),
        };
        // Ansible's own slip.
        let comma = if what == "end_role" { "" } else { ", " };
        TaskResult::unchanged()
            .with("msg", msg)
            .with("skip_reason", format!("{what} conditional evaluated to False{comma}{instead}"))
    }

    /// A template of the task has no value.
    pub(super) fn eval_failed(&self, st: &mut HostState, draft: Draft, error: EvalError) -> Turn {
        match error {
            EvalError::Unknown(unknown) => Turn::Blocked { unknown, draft: Box::new(draft) },
            EvalError::Undefined(problem) | EvalError::Failed(problem) => self.problem(st, draft, problem),
        }
    }

    /// A filter that is a Python plugin of the repository is told as that.
    fn explained(&self, draft: &Draft, problem: Problem) -> Problem {
        let mut roots: Vec<std::path::PathBuf> = draft.lineage.roles().iter().map(|r| r.role.path.clone()).collect();
        roots.push(self.play.play.playbook.parent().unwrap_or(&self.run.playbook_dir).to_owned());
        roots.push(self.run.playbook_dir.clone());
        crate::playbook::plugins::explain(problem, &roots, &self.run.loader.collection_roots(&self.run.playbook_dir))
    }

    /// The task can never work as it is written.
    pub(super) fn problem(&self, st: &mut HostState, draft: Draft, problem: Problem) -> Turn {
        let problem = self.explained(&draft, problem.or_at(&draft.task.span));
        let result = TaskResult::unchanged().with("msg", crate::report::plain_problem(&problem));
        let ending = match problem.code {
            // The module itself would refuse these.
            "invalid-argument" | "missing-argument" | "unknown-argument" | "invalid-value" => {
                Ending::Failed { result, invalid: true }
            }
            _ => Ending::Unrendered(result),
        };
        self.settled(st, draft, ending)
    }

    pub(super) fn stopped(&self, st: &mut HostState, draft: Draft, stop: Stop) -> Turn {
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

    pub(super) fn settled(&self, st: &mut HostState, draft: Draft, ending: Ending) -> Turn {
        Turn::Done(Box::new(self.settle(st, &draft, ending)))
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

/// The key of this visit of a `run_once` task.
pub(super) fn once_key(st: &HostState, task: &Task) -> OnceKey {
    let place = (task.span.file.path.display().to_string(), task.span.start);
    let visit = st.visits.get(&place).copied().unwrap_or(0);
    (place.0, place.1, visit)
}

/// The host is past a `run_once` task.
pub(super) fn count_visit(st: &mut HostState, task: &Task) {
    let place = (task.span.file.path.display().to_string(), task.span.start);
    *Arc::make_mut(&mut st.visits).entry(place).or_insert(0) += 1;
}
