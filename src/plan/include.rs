//! Run-time includes and `meta`.

use std::sync::Arc;

use minijinja::Value;

use super::evaluate::{stop_of, written};
use super::interpreter::Interpreter;
use super::lineage::{Lineage, Source};
use super::state::{End, Frame, FrameKind, HostState};
use super::together::{ForAll, Shared};
use super::turn::{Draft, Ending, Request, Turn};
use crate::playbook::{FileCall, Loader, RoleCall, RoleUse, StaticVars, TaskArgs};
use crate::problem::{Problem, Problems};
use crate::resources::{self, TaskResult};
use crate::template::{Unknown, is_omit};
use crate::vars::{Definition, Scope};
use crate::world::Stop;
use crate::yaml::Node;

/// How many files deep includes go: further than this only one that includes itself does.
const MAX_INCLUDES: usize = 500;

/// Rendered arguments of an include.
struct IncludeArgs {
    file: String,
    allow_duplicates: bool,
    tasks_from: Option<String>,
    handlers_from: Option<String>,
    vars_from: Option<String>,
    defaults_from: Option<String>,
    public: bool,
    rolespec_validate: bool,
}

impl Interpreter {
    pub(super) fn include_tasks(&self, st: &mut HostState, draft: Draft) -> Turn {
        let args = match self.include_args(&draft, &["file", "_raw_params"]) {
            Ok(args) => args,
            Err(stop) => return self.include_stopped(st, draft, stop),
        };
        let result = TaskResult::unchanged()
            .with("include", args.file.clone())
            .with("include_args", told(&draft, &["file", "_raw_params"]));
        let path = match self.find_tasks_file(&draft, &args.file) {
            Ok(path) => path,
            Err(problem) => return self.include_failed(st, draft, result, &problem),
        };
        if draft.lineage.inside_out().filter(|l| matches!(l.source, Source::Include { .. })).count() > MAX_INCLUDES {
            let name = &args.file;
            let problem =
                Problem::new("include-depth", format!("`{name}` is included more than {MAX_INCLUDES} files deep"))
                    .at(&draft.task.span)
                    .help("does it include itself?");
            return self.problem(st, draft, problem);
        }
        let role = draft.lineage.roles().first().map(|r| (*r).clone()).or_else(|| draft.task.role.clone());
        let call = FileCall {
            role: role.as_ref(),
            is_handlers: draft.handler,
            playbook_dir: self.playbook_dir(),
            collections: self.collections(role.as_ref()),
            vars: self.static_vars(&draft),
        };
        let items = match self.run.loader.included_tasks(&path, &call) {
            Ok(loaded) => loaded.value,
            Err(problems) => return self.include_failed(st, draft, result, &first(problems)),
        };
        let lineage = match self.include_lineage(&draft) {
            Ok(lineage) => lineage,
            Err(stop) => return self.include_stopped(st, draft, stop),
        };
        let mut step = self.settle(st, &draft, Ending::Unchanged(result));
        step.because = Some(format!("included {}", crate::source::display_path(&path)));
        step.included = Some(path);
        self.enter(st, items, lineage);
        Turn::Done(Box::new(step))
    }

    pub(super) fn include_role(&self, st: &mut HostState, draft: Draft) -> Turn {
        let args = match self.include_args(&draft, &["name", "role"]) {
            Ok(args) => args,
            Err(stop) => return self.include_stopped(st, draft, stop),
        };
        let lineage = match self.include_lineage(&draft) {
            Ok(lineage) => lineage,
            Err(stop) => return self.include_stopped(st, draft, stop),
        };
        let ancestors: Vec<Arc<RoleUse>> = draft.lineage.roles().into_iter().rev().cloned().collect();
        let call = RoleCall {
            tasks_from: args.tasks_from,
            handlers_from: args.handlers_from,
            vars_from: args.vars_from,
            defaults_from: args.defaults_from,
            ancestors,
            from_include: true,
            public: Some(args.public),
            allow_duplicates: Some(args.allow_duplicates),
            skip_validation: !args.rolespec_validate,
            playbook_dir: self.playbook_dir(),
            collections: self.collections(draft.lineage.roles().first().copied()),
            vars: self.static_vars(&draft),
            ..RoleCall::default()
        };
        let result = TaskResult::unchanged().with("include_args", told(&draft, &[]));
        let role = match self.run.loader.role(&args.file, &call, &draft.task.span) {
            Ok(role) => role,
            Err(problems) => return self.include_failed(st, draft, result, &first(problems)),
        };
        let mut step = self.settle(st, &draft, Ending::Unchanged(result));
        step.because = Some(format!("included role {}", args.file));
        step.included = Some(args.file.into());
        if args.public {
            Arc::make_mut(&mut st.public_roles).push(role.clone());
        }
        self.enter_role(st, &role, &lineage);
        Turn::Done(Box::new(step))
    }

    /// What is to be included is not there, or is wrong: that fails the host whatever `ignore_errors` says, and a `rescue` around it
    /// knows nothing of it. In a loop the other items are included all the same.
    fn include_failed(&self, st: &mut HostState, mut draft: Draft, result: TaskResult, problem: &Problem) -> Turn {
        let reason = crate::report::plain_problem(problem);
        if st.loop_state.is_some() && draft.item.is_some() {
            self.run.warn(reason);
            let step = self.settle(st, &draft, Ending::Unchanged(result));
            if let Some(looping) = &mut st.loop_state {
                looping.broken_include = true;
            }
            return Turn::Done(Box::new(step));
        }
        draft.ignore_errors = false;
        let before = st.failure.clone();
        let mut result = result.with("reason", reason.clone());
        result.values.shift_remove("include_args");
        let mut step = self.settle(st, &draft, Ending::Unrendered(result));
        st.failure = before;
        step.because = Some(reason);
        if step.rescued {
            // Ansible counts it as failed all the same, though the run succeeds.
            st.counts.rescued -= 1;
            st.counts.failed += 1;
            st.counts.forgiven += 1;
            st.barred = true;
        }
        Turn::Done(Box::new(step))
    }

    fn include_stopped(&self, st: &mut HostState, draft: Draft, stop: Stop) -> Turn {
        match stop {
            Stop::Unknown(unknown) => Turn::Blocked { unknown, draft: Box::new(draft) },
            Stop::Invalid(problem) => self.problem(st, draft, problem),
            Stop::Failed(message) => self.problem(st, draft, Problem::new("include", message)),
            Stop::Needs => Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) },
        }
    }

    /// The chain below a run-time include: what `apply` gives, and the include's own variables.
    ///
    /// The include's variables are templates over the variables of the include's place; loop variables are bound now.
    fn include_lineage(&self, draft: &Draft) -> Result<Arc<Lineage>, Stop> {
        let mut vars = Scope::new("include vars");
        vars.vars.extend(written(&draft.task.keywords.vars));
        if let Some((item, _)) = &draft.item {
            let loop_var = draft
                .context
                .variable("ansible_loop_var")
                .map_err(stop_of)?
                .map_or_else(|| "item".to_owned(), |v| resources::text_of(&v));
            vars.vars.insert(loop_var, Definition::Final(item.clone()));
            if let Ok(Some(index)) = draft.context.variable("ansible_index_var") {
                let name = resources::text_of(&index);
                if let Ok(Some(number)) = draft.context.variable(&name) {
                    vars.vars.insert(name, Definition::Final(number));
                }
            }
        }
        let keywords = draft.task.apply.as_deref().cloned().unwrap_or_default();
        let given = Scope::written("vars of apply", keywords.vars.iter().cloned());
        Ok(Lineage::below(
            &draft.lineage,
            Source::Include { apply: Arc::new(keywords), vars: given, params: Some(Arc::new(vars)) },
        ))
    }

    fn include_args(&self, draft: &Draft, main: &[&str]) -> Result<IncludeArgs, Stop> {
        let context = &draft.context;
        let span = &draft.task.span;
        let mut args = IncludeArgs {
            file: String::new(),
            allow_duplicates: true,
            tasks_from: None,
            handlers_from: None,
            vars_from: None,
            defaults_from: None,
            public: false,
            rolespec_validate: true,
        };
        let text = |node: &Node| -> Result<String, Stop> {
            let value = context.value(node).map_err(stop_of)?;
            if let Some(unknown) = Unknown::of(&value) {
                return Err(Stop::Unknown(unknown.clone()));
            }
            Ok(if is_omit(&value) { String::new() } else { resources::text_of(&value) })
        };
        let mut named: Vec<(Node, Node)> = vec![];
        match &draft.task.args {
            TaskArgs::Free(free, pairs) => {
                args.file = text(free)?;
                named.extend(pairs.iter().cloned());
            }
            TaskArgs::Named(pairs) => named.extend(pairs.iter().cloned()),
            TaskArgs::Template(node, pairs) => {
                args.file = text(node)?;
                named.extend(pairs.iter().cloned());
            }
        }
        for (name, node) in &named {
            let key = name.as_str().unwrap_or_default();
            match key {
                _ if main.contains(&key) => args.file = text(node)?,
                "allow_duplicates" => args.allow_duplicates = context.boolean(node).map_err(stop_of)?,
                "tasks_from" => args.tasks_from = Some(text(node)?),
                "handlers_from" => args.handlers_from = Some(text(node)?),
                "vars_from" => args.vars_from = Some(text(node)?),
                "defaults_from" => args.defaults_from = Some(text(node)?),
                "public" => args.public = context.boolean(node).map_err(stop_of)?,
                "rolespec_validate" => args.rolespec_validate = context.boolean(node).map_err(stop_of)?,
                other => {
                    return Err(Stop::Invalid(
                        Problem::new("unknown-argument", format!("`{}` has no argument `{other}`", draft.action))
                            .at(&name.span)
                            .nearest(
                                other,
                                [
                                    "file",
                                    "name",
                                    "apply",
                                    "tasks_from",
                                    "handlers_from",
                                    "vars_from",
                                    "defaults_from",
                                    "public",
                                ],
                            ),
                    ));
                }
            }
        }
        if args.file.is_empty() {
            return Err(Stop::Invalid(
                Problem::new("missing-argument", format!("`{}` does not say what to include", draft.action)).at(span),
            ));
        }
        Ok(args)
    }

    fn playbook_dir(&self) -> std::path::PathBuf {
        self.play.play.playbook.parent().map_or_else(|| self.run.playbook_dir.clone(), std::path::Path::to_owned)
    }

    /// Collections to look for short names in: a role's own, else the play's.
    fn collections(&self, role: Option<&Arc<RoleUse>>) -> Vec<String> {
        role.map_or_else(|| crate::playbook::collections_of(&self.play.play), |role| role.collections.clone())
    }

    /// What static imports in an included file may use in names.
    fn static_vars(&self, _draft: &Draft) -> StaticVars {
        Loader::static_vars(&self.play.play)
    }

    /// The file of an include: beside the including file, in the role's tasks, in the playbook's folder.
    fn find_tasks_file(&self, draft: &Draft, name: &str) -> Result<std::path::PathBuf, Problem> {
        let beside = draft.task.span.dir().join(name);
        if beside.is_file() {
            return Ok(beside);
        }
        let sub = if draft.handler { "handlers" } else { "tasks" };
        draft.context.paths().find(sub, name).map_err(|tried| {
            let mut problem = Problem::new("missing-file", format!("no file `{name}` to include")).at(&draft.task.span);
            for place in std::iter::once(beside).chain(tried) {
                problem = problem.note(format!("looked at {}", crate::source::display_path(&place)));
            }
            problem
        })
    }

    pub(super) fn meta(&self, st: &mut HostState, draft: Draft, what: &Node) -> Turn {
        let what = match draft.context.text(what) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => return self.eval_failed(st, draft, error),
        };
        let for_all = super::draft::is_for_all(&what);
        if for_all && st.speculative {
            return Turn::Blocked { unknown: Unknown::pending(), draft: Box::new(draft) };
        }
        match what.as_str() {
            "noop" => self.quiet_end(st),
            "flush_handlers" => {
                self.advance(st);
                st.frames.push(Frame {
                    items: Arc::default(),
                    next: 0,
                    lineage: Lineage::of_play(&self.play.play),
                    kind: FrameKind::Handlers,
                });
                Turn::Quiet
            }
            "end_play" | "end_batch" => {
                if what == "end_play" {
                    self.run.together.end_play();
                }
                self.tell_meta(st, &draft, ForAll::End);
                st.frames.clear();
                st.loop_state = None;
                st.end = End::Done;
                Turn::Quiet
            }
            "end_host" => {
                if !st.speculative {
                    self.run.together.leaves_at(&self.host, self.place(st));
                }
                st.frames.clear();
                st.loop_state = None;
                st.end = End::Done;
                Turn::Quiet
            }
            "end_role" => {
                while let Some(frame) = st.frames.pop() {
                    let role = match &frame.kind {
                        FrameKind::Role(role) => Some(role),
                        FrameKind::Block { block, .. } => super::interpreter::role_of(block),
                        _ => None,
                    };
                    if let Some(role) = role {
                        self.complete(st, role, &frame.lineage);
                        break;
                    }
                }
                st.loop_state = None;
                Turn::Quiet
            }
            "clear_facts" => {
                self.tell_meta(st, &draft, ForAll::ClearFacts);
                Turn::Engine { draft: Box::new(draft), request: Request::ClearFacts }
            }
            "refresh_inventory" => Turn::Engine { draft: Box::new(draft), request: Request::RefreshInventory },
            "reset_connection" => Turn::Engine { draft: Box::new(draft), request: Request::ResetConnection },
            "clear_host_errors" => Turn::Engine { draft: Box::new(draft), request: Request::ClearHostErrors },
            other => {
                let problem = Problem::new("unknown-argument", format!("`meta` does not know `{other}`"))
                    .at(&draft.task.span)
                    .nearest(
                        other,
                        [
                            "noop",
                            "flush_handlers",
                            "end_play",
                            "end_host",
                            "end_role",
                            "end_batch",
                            "clear_facts",
                            "clear_host_errors",
                            "refresh_inventory",
                            "reset_connection",
                        ],
                    );
                self.problem(st, draft, problem)
            }
        }
    }

    /// The other hosts of the batch follow the one that a `meta` task ran on.
    pub(super) fn tell_meta(&self, st: &mut HostState, draft: &Draft, effect: ForAll) {
        if let Some(key) = &draft.once {
            super::evaluate::count_visit(st, &draft.task);
            self.run.together.tell(key.clone(), Shared { meta: Some(effect), ..Shared::default() });
        }
    }

    pub(super) fn clear_facts(&self, st: &mut HostState) {
        st.vars.clear_facts();
        if !self.planning {
            self.run.forget_kept_facts(&self.host);
        }
    }

    fn quiet_end(&self, st: &mut HostState) -> Turn {
        self.advance(st);
        Turn::Quiet
    }
}

/// The name of the role that an `include_role` names, as it is written.
pub(super) fn role_written(task: &crate::playbook::Task) -> Option<String> {
    if !matches!(task.action, crate::playbook::Action::IncludeRole) {
        return None;
    }
    let (TaskArgs::Named(pairs) | TaskArgs::Free(_, pairs) | TaskArgs::Template(_, pairs)) = &task.args;
    let (_, name) = pairs.iter().find(|(key, _)| matches!(key.as_str(), Some("name" | "role")))?;
    name.as_str().map(str::to_owned)
}

/// One problem out of several; the others are noted.
fn first(problems: Problems) -> Problem {
    let mut all = problems.0.into_iter();
    let Some(mut problem) = all.next() else { return Problem::new("include", "the file could not be read") };
    for other in all {
        problem = problem.note(other.to_string());
    }
    problem
}

/// `include_args` of the result: what the include was given, as Ansible tells it; `apply` as it stands in the file.
fn told(draft: &Draft, without: &[&str]) -> Value {
    let crate::playbook::TaskArgs::Named(pairs) = &draft.task.args else {
        return Value::from_pairs(Vec::<(String, Value)>::new());
    };
    let rendered = pairs.iter().filter_map(|(name, node)| {
        let name = name.as_str().filter(|n| !without.contains(n))?;
        Some((name.to_owned(), draft.context.value(node).unwrap_or_else(|_| node.to_value())))
    });
    let apply = draft.task.apply_written.iter().map(|node| ("apply".to_owned(), node.to_value()));
    Value::from_pairs(rendered.chain(apply))
}
