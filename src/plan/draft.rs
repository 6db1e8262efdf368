//! What is evaluated of a task before its module is looked at: its name, where and as whom it runs, its flags.

use std::sync::Arc;

use minijinja::Value;

use super::evaluate::once_key;
use super::fleet::target_key;
use super::interpreter::Interpreter;
use super::lineage::{Lineage, Source};
use super::state::HostState;
use super::turn::{Draft, Turn};
use crate::node::Identity;
use crate::playbook::{Action, CustomKind, Keywords, Task};
use crate::resources;
use crate::template::{Context, EvalError, is_omit};
use crate::yaml::Node;

/// What `meta` does for all hosts at once: the first host of the batch decides.
const FOR_ALL: &[&str] = &["end_play", "end_batch", "clear_facts", "clear_host_errors", "refresh_inventory"];

/// Whether a `meta` task concerns all hosts at once.
pub(super) fn is_for_all(what: &str) -> bool {
    FOR_ALL.contains(&what.trim())
}

/// Takes one keyword.
type Pick = fn(&Keywords) -> Option<&Node>;

/// Settings that few tasks have.
struct Further {
    any_errors_fatal: bool,
    ignore_unreachable: bool,
    diff: Option<bool>,
    throttle: usize,
    confirm: u64,
    reach: Vec<(&'static str, String)>,
}

impl Interpreter {
    /// Everything about the step that does not need the node.
    pub(super) fn draft(
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
            Action::Unknown { written } => {
                let is_program = task.custom.as_ref().is_some_and(|c| c.kind == CustomKind::Executable);
                (written.clone(), is_program.then_some(&resources::program::TYPE))
            }
        };
        let name = match &task.keywords.name {
            Some(node) => context.text(node).unwrap_or_else(|_| piecewise(&context, node)),
            None => match super::include::role_written(task) {
                Some(role) => format!("{action} : {role}"),
                None => action.clone(),
            },
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
                flag(lineage.nearest(task, |k| k.no_log.as_ref()))?.unwrap_or(self.run.options.no_log),
                flag(lineage.nearest(task, |k| k.ignore_errors.as_ref()))?.unwrap_or(false),
                flag(lineage.nearest(task, |k| k.check_mode.as_ref()))?,
                flag(lineage.nearest(task, |k| k.delegate_facts.as_ref()))?.unwrap_or(false),
                self.is_once(task, lineage, &context)?,
                match lineage.nearest(task, |k| k.timeout.as_ref()) {
                    Some(node) => context.text(node)?.trim().parse().unwrap_or(0),
                    None => self.run.options.task_timeout,
                },
                Further {
                    any_errors_fatal: self.is_fatal(task, lineage, &context)?,
                    ignore_unreachable: flag(lineage.nearest(task, |k| k.ignore_unreachable.as_ref()))?
                        .unwrap_or(false),
                    diff: flag(lineage.nearest(task, |k| k.diff.as_ref()))?,
                    throttle: match lineage.nearest(task, |k| k.throttle.as_ref()) {
                        Some(node) => context.text(node)?.trim().parse().unwrap_or(0),
                        None => 0,
                    },
                    confirm: match lineage.nearest(task, |k| k.confirm.as_ref()) {
                        Some(node) => context.text(node)?.trim().parse().unwrap_or(0),
                        None => 0,
                    },
                    reach: self.reach(st, task, lineage, &context)?,
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
            any_errors_fatal: false,
            ignore_unreachable: false,
            diff: None,
            throttle: 0,
            confirm: 0,
            background: None,
            module,
            basis: super::basis::Basis::default(),
        };
        if self.planning || self.run.keeps_basis() {
            draft.basis = self.variable_basis(&draft);
        }
        match settings {
            Ok((target, identity, no_log, ignore_errors, check_mode, delegate_facts, once, timeout, further)) => {
                if let Some(target) = target {
                    draft.delegated = true;
                    let delegated = super::magic::delegated_vars(&self.run, &target);
                    draft.context = draft.context.with([delegated]);
                    draft.target = target;
                }
                draft.identity = identity;
                draft.no_log = no_log;
                draft.ignore_errors = ignore_errors;
                draft.check_mode = check_mode.or(self.run.options.check.then_some(true));
                draft.delegate_facts = delegate_facts && draft.delegated;
                draft.once = once.then(|| once_key(st, task));
                draft.timeout = timeout;
                draft.any_errors_fatal = further.any_errors_fatal;
                draft.ignore_unreachable = further.ignore_unreachable;
                draft.diff = further.diff;
                draft.throttle = further.throttle;
                draft.confirm = further.confirm;
                draft.target = target_key(&draft.target, &further.reach);
                Ok(draft)
            }
            // A keyword that cannot be evaluated matters only if the task is not skipped.
            Err(_) if st.loop_state.as_ref().is_some_and(|l| l.items.is_empty()) => Ok(draft),
            Err(error) => {
                let conditions = lineage.conditions(task);
                if let Ok(Err(index)) = context.conditions(&conditions) {
                    return Err(self.skipped(st, draft, &conditions[index]));
                }
                match error {
                    EvalError::Unknown(unknown) => Err(Turn::Blocked { unknown, draft: Box::new(draft) }),
                    // Which hosts a task is for must be known.
                    other if task.keywords.run_once.is_some() => {
                        Err(Turn::Broken(other.into_problem().or_at(&task.span)))
                    }
                    other => Err(self.eval_failed(st, draft.before_keywords(), other)),
                }
            }
        }
    }

    /// Whether one host runs the task for all of its batch.
    pub(super) fn is_once(&self, task: &Task, lineage: &Arc<Lineage>, context: &Context) -> Result<bool, EvalError> {
        if self.play.independent {
            return Ok(false);
        }
        match &task.action {
            Action::Meta(what) => Ok(what.as_str().is_some_and(is_for_all)),
            Action::Module { name, .. } if matches!(name.as_str(), "add_host" | "pause") => Ok(true),
            _ => match lineage.nearest(task, |k| k.run_once.as_ref()) {
                Some(node) => context.boolean(node),
                None => Ok(false),
            },
        }
    }

    /// Whether a failure of the task is one of all hosts.
    pub(super) fn is_fatal(&self, task: &Task, lineage: &Arc<Lineage>, context: &Context) -> Result<bool, EvalError> {
        if self.play.independent {
            return Ok(false);
        }
        match lineage.nearest(task, |k| k.any_errors_fatal.as_ref()) {
            Some(node) => context.boolean(node),
            None => Ok(self.run.options.any_errors_fatal),
        }
    }

    /// Connection keywords and variables nearer to the task than its play: they make a connection of its own.
    fn reach(
        &self,
        st: &HostState,
        task: &Task,
        lineage: &Arc<Lineage>,
        context: &Context,
    ) -> Result<Vec<(&'static str, String)>, EvalError> {
        let mut reach = vec![];
        let words: [(&'static str, Pick, &[&str]); 4] = [
            ("connection", |k| k.connection.as_ref(), &["ansible_connection"]),
            ("user", |k| k.remote_user.as_ref(), &["ansible_user", "ansible_ssh_user"]),
            ("port", |k| k.port.as_ref(), &["ansible_port", "ansible_ssh_port"]),
            ("address", |_| None, &["ansible_host", "ansible_ssh_host"]),
        ];
        let inner = |lineage: &Lineage| !matches!(lineage.source, Source::Play(_));
        for (word, pick, variables) in words {
            let by_variable = variables.iter().find(|name| {
                let has = |vars: &[(String, Node)]| vars.iter().any(|(n, _)| n == *name);
                has(&task.keywords.vars)
                    || st.vars.set.vars.contains_key(**name)
                    || st.vars.included.vars.contains_key(**name)
                    || lineage.inside_out().filter(|l| inner(l)).any(|l| {
                        has(&l.keywords().vars)
                            || matches!(&l.source, Source::Include { vars, .. } if vars.vars.contains_key(**name))
                            || matches!(&l.source, Source::Role(r) if has(&r.vars) || has(&r.params))
                    })
            });
            if let Some(name) = by_variable
                && let Some(value) = context.variable(name)?.filter(|v| !v.is_none() && !v.is_undefined())
            {
                reach.push((word, format!("={}", resources::text_of(&value))));
                continue;
            }
            let node = pick(&task.keywords)
                .cloned()
                .or_else(|| lineage.inside_out().filter(|l| inner(l)).find_map(|l| pick(l.keywords()).cloned()));
            if let Some(node) = node {
                reach.push((word, context.text(&node)?));
            }
        }
        Ok(reach)
    }

    /// Every way the tasks of the play may reach the host, the play's own first, then the nodes they are delegated to: which ledgers
    /// there may be.
    pub fn ledgers_of(&self, st: &mut HostState) -> Result<Vec<(String, Identity)>, crate::problem::Problem> {
        let mut found: Vec<(String, Identity)> = vec![];
        for r#become in [None, Some("true"), Some("false")] {
            let mut task = self.gather_task();
            if let Some(text) = r#become {
                task.keywords.r#become = Some(Node::text(text, &self.play.play.span));
                if text == "true" {
                    task.keywords.become_user = Some(Node::text("root", &self.play.play.span));
                }
            }
            let task = Arc::new(task);
            let lineage = Lineage::of_play(&self.play.play);
            let context = self.context(st, Some(&task), &lineage, vec![])?;
            match self.draft(st, &task, &lineage, context, None, false) {
                Ok(draft) => {
                    let pair = (draft.target, draft.identity);
                    if !found.contains(&pair) {
                        found.push(pair);
                    }
                }
                Err(Turn::Broken(problem)) => return Err(problem),
                Err(_) => {}
            }
        }
        found.extend(self.delegated_ledgers(st));
        Ok(found)
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
                None => options.become_flags.clone(),
            },
        };
        let exe = match text_var("ansible_become_exe")? {
            Some(exe) => Some(exe),
            None => match keyword(&|k| k.become_exe.as_ref()) {
                Some(node) => Some(context.text(&node)?),
                None => options.become_exe.clone(),
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
            exe: exe.filter(|e| !e.is_empty()),
            password,
        })
    }
}

/// A name of which not everything has a value: what is undefined is told in its place, as Ansible does.
fn piecewise(context: &Context, node: &Node) -> String {
    let text = node.as_str().unwrap_or_default();
    let (mut out, mut rest, mut errors) = (String::new(), text, 0);
    while let Some((before, tail)) = rest.split_once("{{") {
        let Some((expression, after)) = tail.split_once("}}") else { break };
        out.push_str(before);
        match context.text(&Node::text(format!("{{{{{expression}}}}}"), &node.span)) {
            Ok(value) => out.push_str(&value),
            Err(EvalError::Undefined(problem)) if resources::debug::in_python(&problem).is_some() => {
                errors += 1;
                let why = resources::debug::in_python(&problem).unwrap_or_default();
                out.push_str(&format!("<< error {errors} - {why} >>"));
            }
            Err(_) => return text.to_owned(),
        }
        rest = after;
    }
    out + rest
}
