//! A task's module: its arguments rendered, its resource built and asked for a verdict.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Value;
use minijinja::value::ValueKind;

use super::evaluate::{scalar_text, stop_of, value_kind};
use super::interpreter::Interpreter;
use super::state::HostState;
use super::turn::{Draft, Ending, Turn};
use crate::playbook::TaskArgs;
use crate::problem::Problem;
use crate::resources::background::Background;
use crate::resources::{self, Args, Kind, ResourceType, Setting, Verdict};
use crate::template::{EvalError, Unknown, is_omit};
use crate::world::{Query, Stop, View};
use crate::yaml::Node;

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
    /// Renders a module's arguments, builds the resource and asks for its verdict.
    pub(super) fn module_turn(&self, st: &mut HostState, mut draft: Draft) -> Turn {
        let Some(module) = draft.module else {
            return Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) };
        };
        let language = LANGUAGE.contains(&module.name);
        // It changes what all hosts see: nothing before it may be open.
        if st.speculative && matches!(module.name, "add_host" | "group_by") {
            return Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) };
        }
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
        let basis = self.planning || self.run.keeps_basis();
        if basis {
            self.thing_basis(&mut draft.basis, module, &args);
        }
        let background = match self.background(&draft, module) {
            Ok(background) => background,
            Err(stop) => return self.stopped(st, draft, stop),
        };
        let homes = match self.homes_of_others(st, &draft, &args, &hello.user) {
            Ok(homes) => homes,
            Err(Ok(queries)) => {
                return Turn::Needs {
                    target: draft.target.clone(),
                    identity: draft.identity.clone(),
                    queries,
                    draft: Box::new(draft),
                };
            }
            Err(Err(stop)) => return self.stopped(st, draft, stop),
        };
        let (built, dir) = {
            let context = &draft.context;
            let environment = match self.environment(&draft) {
                Ok(environment) => environment,
                Err(error) => return self.eval_failed(st, draft, error),
            };
            let span = draft.task.span.clone();
            let program = draft
                .task
                .custom
                .as_ref()
                .map(|c| resources::program::Program { name: draft.action.clone(), path: c.path.clone() });
            let setting = Setting {
                check_mode: draft.check_mode == Some(true)
                    || program.is_some() && self.planning && draft.check_mode != Some(false),
                diff: draft.diff.unwrap_or(self.run.options.diff),
                home: hello.home.clone(),
                user: hello.user.clone(),
                homes,
                delegated: draft.delegated,
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
                program: program.as_ref(),
                jobs: self.run.jobs.clone(),
                ask: self.run.options.ask,
                decrypt: &|bytes| self.run.decrypt(bytes),
                fetch: &|download| fetch_bytes(download),
            };
            let dir = background.map(|_| resources::async_dir(&setting)).transpose();
            (module.make(args, &setting), dir)
        };
        let (resource, dir) = match built.and_then(|resource| Ok((resource, dir?))) {
            Ok(both) => both,
            Err(stop) => return self.stopped(st, draft, stop),
        };
        let world = st.world(&draft.target, &draft.identity.key()).clone();
        let view = View::new(&world);
        let verdict = resource.reconcile(&view);
        let (missing, rested_on) = view.into_missing();
        let not_saved = matches!(&verdict, Err(Stop::Failed(why)) if why.starts_with(crate::node::MISSING));
        if let (Some(unknown), Err(Stop::Failed(_)) | Ok(Verdict::Failed(_))) = (&st.clouded, &verdict)
            && !not_saved
            && !rested_on.is_empty()
        {
            return Turn::Blocked { unknown: unknown.clone(), draft: Box::new(draft) };
        }
        if matches!(&verdict, Ok(_) | Err(Stop::Failed(_)))
            && let Some(unknown) = super::cloud::clouded(&st.clouds, &draft, &world, &rested_on)
        {
            return Turn::Blocked { unknown, draft: Box::new(draft) };
        }
        if basis {
            super::basis::answer_basis(
                &mut draft.basis,
                &world,
                &rested_on,
                self.run.keeps_basis(),
                &|query| st.unsure || super::cloud::concerns(&st.clouds, &draft.target, query),
                self.planning,
            );
        }
        if let (Some((seconds, poll)), Some(dir), Ok(verdict)) = (background, dir, &verdict) {
            let request = resources::background::Request { dir, seconds, poll };
            if let Some((job, change)) = Background::wrap(&request, &self.run.jobs, &resource, verdict) {
                draft.background = Some(job.clone());
                return Turn::Act { draft: Box::new(draft), resource: job, change: Box::new(change) };
            }
        }
        if let (Some(guard), Err(Stop::Failed(_)) | Ok(Verdict::Failed(_))) = (self.guard.clone(), &verdict)
            && let Some(why) = guard.change_since(&self.key_of(st, &draft), &draft.basis.answers)
        {
            // What changed since a saved plan explains the failure.
            return self.settled(st, draft, Ending::Stopped(why));
        }
        match verdict {
            Err(Stop::Needs) => Turn::Needs {
                target: draft.target.clone(),
                identity: draft.identity.clone(),
                queries: missing,
                draft: Box::new(draft),
            },
            Err(stop) => self.stopped(st, draft, stop),
            Ok(Verdict::Unchanged(result)) => {
                // What it tells goes into later steps, so it must be what the plan saw.
                let guard = self.guard.as_ref().filter(|_| super::cloud::tells(&draft));
                match guard.and_then(|g| g.change_since(&self.key_of(st, &draft), &draft.basis.answers)) {
                    Some(why) => self.settled(st, draft, Ending::Stopped(why)),
                    None => self.looked(st, draft, Ending::Unchanged(result)),
                }
            }
            Ok(Verdict::Skipped(result)) => {
                let because = result.values.get("msg").map(resources::text_of);
                self.settled(st, draft, Ending::Skipped(result, because))
            }
            Ok(Verdict::Failed(result)) => self.looked(st, draft, Ending::Failed { result, invalid: false }),
            Ok(Verdict::Change(change)) => Turn::Act { draft: Box::new(draft), resource, change: Box::new(change) },
        }
    }

    /// The homes of users that paths among the arguments name by `~user`. `Err(Ok(…))`: the node must be asked before.
    fn homes_of_others(
        &self,
        st: &mut HostState,
        draft: &Draft,
        args: &Args,
        own: &str,
    ) -> Result<BTreeMap<String, String>, Result<BTreeSet<Query>, Stop>> {
        let names = args.homes();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let world = st.world(&draft.target, &draft.identity.key()).clone();
        let view = View::new(&world);
        let (mut homes, mut waiting) = (BTreeMap::new(), false);
        for name in names.into_iter().filter(|n| *n != own) {
            match view.account(&name) {
                Ok(account) => homes.extend(account.map(|a| (name, a.home))),
                Err(Stop::Needs) => waiting = true,
                Err(stop) => return Err(Err(stop)),
            }
        }
        if waiting { Err(Ok(view.into_missing().0)) } else { Ok(homes) }
    }

    /// A step that only looks is over, unless its `until` wants more than there is (yet).
    fn looked(&self, st: &mut HostState, draft: Draft, ending: Ending) -> Turn {
        if draft.task.until.is_empty() && draft.task.retries.is_none() {
            return self.settled(st, draft, ending);
        }
        match self.until_holds(&draft, ending, st.tries + 1) {
            Err(problem) => self.problem(st, draft, problem),
            Ok((true, ending)) => self.settled(st, draft, ending),
            Ok((false, _)) if self.planning => {
                let unknown = Unknown::after_step(format!("{} (until it holds)", draft.name));
                Turn::Blocked { unknown, draft: Box::new(draft) }
            }
            Ok((false, ending)) => {
                st.tries += 1;
                Turn::Again { draft: Box::new(draft), ending }
            }
        }
    }

    /// `async` and `poll`, if the task runs in the background.
    fn background(&self, draft: &Draft, module: &ResourceType) -> Result<Option<(u64, u64)>, Stop> {
        let number = |node: &Option<Node>, otherwise: u64| -> Result<u64, Stop> {
            let Some(node) = node else { return Ok(otherwise) };
            let text = draft.context.text(node).map_err(stop_of)?;
            let number = text.trim().parse::<f64>().ok().filter(|n| *n >= 0.0).ok_or_else(|| {
                Problem::new("invalid-value", format!("`{text}` is no number of seconds")).at(&node.span)
            })?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds written by a person")]
            Ok(number as u64)
        };
        let seconds = number(&draft.task.async_, 0)?;
        if seconds == 0 {
            return Ok(None);
        }
        if !resources::background::may_run_in_background(module.name) {
            return Err(Stop::Failed(format!("This action ({}) does not support async.", module.name)));
        }
        Ok(Some((seconds, number(&draft.task.poll, self.run.options.poll_interval)?)))
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
                match context.value(text).map_err(stop_of)? {
                    // A program's arguments may be a mapping in a variable.
                    map if draft.task.custom.is_some() && map.kind() == ValueKind::Map => {
                        for key in map.try_iter().into_iter().flatten() {
                            let inner = map.get_item(&key).unwrap_or_default();
                            take(
                                &Node::text(resources::text_of(&key), &text.span),
                                &Node::from_value(&inner, &text.span),
                            )?;
                        }
                    }
                    _ => take(&Node::text(free, &text.span), text)?,
                }
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
        let mut mappings = vec![];
        for node in draft.lineage.module_defaults(&draft.task) {
            mappings.push((draft.context.value(&node).map_err(stop_of)?, node.span.clone()));
        }
        let is_own = |name: &str| match resources::lookup(name) {
            Some(found) => found.name == module.name,
            None => name == draft.action,
        };
        // What is said of a group gives way to what is said of the module. The nearer ones of each replace the farther ones as a whole.
        let mut of_key: indexmap::IndexMap<String, Vec<(String, Value, crate::source::Span)>> =
            indexmap::IndexMap::new();
        let mut own = vec![];
        for (value, span) in &mappings {
            for key in value.try_iter().into_iter().flatten() {
                let name = resources::text_of(&key);
                let inner = value.get_item(&key).unwrap_or_default();
                let given = || -> Vec<(String, Value, crate::source::Span)> {
                    let one = |arg: Value| {
                        let value = inner.get_item(&arg).unwrap_or_default();
                        (resources::text_of(&arg), value, span.clone())
                    };
                    inner.try_iter().into_iter().flatten().map(one).collect()
                };
                if name.starts_with("group/") {
                    let mut names = module.qualified.to_vec();
                    names.push(&draft.action);
                    let own = || self.run.loader.own_group_has(&name, &names, &self.run.playbook_dir);
                    if crate::playbook::group_has(&name, module.qualified) || own() {
                        of_key.insert(name, given());
                    }
                } else if is_own(&name) {
                    own = given();
                }
            }
        }
        for (name, value, span) in of_key.into_values().flatten().chain(own) {
            defaults.retain(|(n, _, _)| *n != name);
            defaults.push((name, value, span));
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
}

/// A small download (a sums file) as bytes.
fn fetch_bytes(download: &crate::node::Download) -> Result<Vec<u8>, Problem> {
    let (path, _) = crate::node::fetch(download)?;
    std::fs::read(&path).map_err(|e| Problem::new("download", format!("{}: {e}", crate::source::display_path(&path))))
}
