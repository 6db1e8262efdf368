//! Notifications: which handlers a change marks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::interpreter::Interpreter;
use super::state::{Handler, HostState};
use super::turn::Draft;
use crate::problem::Problem;
use crate::resources;
use crate::template::{EvalError, Unknown};
use crate::yaml::Yaml;

impl Interpreter {
    /// What a task and the blocks around it notify. An undefined variable in it fails the task, whether it changes anything or not.
    pub(super) fn notification_names(&self, draft: &Draft) -> Result<Vec<String>, EvalError> {
        let mut names = vec![];
        for node in draft.lineage.notifications(&draft.task) {
            let value = draft.context.value(&node)?;
            if let Some(unknown) = Unknown::of(&value) {
                return Err(EvalError::Unknown(unknown.clone()));
            }
            match value.as_str() {
                Some(name) => names.push(name.to_owned()),
                None => names.extend(value.try_iter().into_iter().flatten().map(|v| resources::text_of(&v))),
            }
        }
        Ok(names)
    }

    /// A change notifies handlers, by name or listened topic. `maybe`: it is not known whether the task changes anything, so
    /// they only may run.
    ///
    /// Which handlers that are is found when they are to run: one that is included until then takes the place of another of its name.
    pub(super) fn notify(&self, st: &mut HostState, draft: &Draft, names: Vec<String>, maybe: Option<&Unknown>) {
        for name in names {
            if self.find_handlers(st, &name).is_empty() {
                let message = format!("no handler is named `{name}` or listens to it");
                if self.run.options.allow_missing_handlers {
                    self.run.warn(format!("{}: {message}", draft.task.span));
                    continue;
                }
                if maybe.is_none() && st.missing_handler.is_none() {
                    let known: Vec<String> = (0..st.handlers.len()).map(|i| self.handler_name(st, i)).collect();
                    let problem = Problem::new("unknown-handler", message)
                        .at(&draft.task.span)
                        .nearest(&name, known.iter().map(String::as_str));
                    st.missing_handler = Some(Arc::new(problem));
                }
                continue;
            }
            Arc::make_mut(&mut st.notifications).push((name, maybe.cloned()));
        }
    }

    /// Names of the handlers that notifications mean now.
    pub(super) fn handlers_named(&self, st: &HostState, names: &[String]) -> Vec<String> {
        let found: BTreeSet<usize> = names.iter().flat_map(|name| self.find_handlers(st, name)).collect();
        found.into_iter().map(|i| self.handler_name(st, i)).collect()
    }

    /// Handlers are about to run: marks those that were notified.
    pub(super) fn take_notifications(&self, st: &mut HostState) {
        if st.notifications.is_empty() {
            return;
        }
        for (name, maybe) in std::mem::take(&mut st.notifications).iter() {
            for index in self.find_handlers(st, name) {
                let is_new = st.notified.insert(index);
                match maybe {
                    Some(unknown) if is_new => {
                        Arc::make_mut(&mut st.maybe_notified).insert(index, unknown.clone());
                    }
                    None if st.maybe_notified.contains_key(&index) => {
                        Arc::make_mut(&mut st.maybe_notified).remove(&index);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The keys of the handlers that a task notifies if it changes something: as the ledger names them.
    pub fn would_owe(&self, st: &HostState, draft: &Draft) -> Vec<String> {
        let mut owed = vec![];
        for node in draft.lineage.notifications(&draft.task) {
            let names: Vec<String> = match draft.context.value(&node) {
                Ok(value) if value.as_str().is_some() => vec![resources::text_of(&value)],
                Ok(value) => value.try_iter().into_iter().flatten().map(|v| resources::text_of(&v)).collect(),
                Err(_) => vec![],
            };
            for name in names {
                owed.extend(self.find_handlers(st, &name).iter().map(|i| self.handler_key(st, *i)));
            }
        }
        owed.sort();
        owed.dedup();
        owed
    }

    /// `role : name`, or the name alone.
    fn handler_key(&self, st: &HostState, index: usize) -> String {
        let name = self.handler_name(st, index);
        match st.handlers[index].lineage.roles().first() {
            Some(role) => format!("{} : {name}", role.role.name),
            None => name,
        }
    }

    /// Marks what earlier runs owe of the role (or the play) that a step is of.
    pub(super) fn take_up_debts(&self, st: &mut HostState, role: Option<&str>) {
        let owed = self.run.debts.of(&self.host);
        if owed.is_empty() {
            return;
        }
        for (key, debt) in owed {
            let own = match &debt.role {
                Some(of) => role == Some(of.as_str()),
                None => role.is_none() && debt.play == self.play.name,
            };
            if !own {
                continue;
            }
            for index in self.find_handlers(st, &key) {
                if self.handler_key(st, index) == key && !st.debts.contains_key(&index) {
                    st.notified.insert(index);
                    Arc::make_mut(&mut st.debts).insert(index, debt.run.clone());
                }
            }
        }
    }

    /// Why a handler runs that this run did not notify: the run that owes it.
    pub(super) fn owed_since(&self, st: &HostState) -> Option<String> {
        let frame = st.frames.last().filter(|f| matches!(f.kind, super::state::FrameKind::Handlers))?;
        st.debts.get(&frame.next).map(|run| format!("owed since run {run}"))
    }

    /// A handler's name as its step will have it.
    fn handler_name(&self, st: &HostState, index: usize) -> String {
        let handler = &st.handlers[index];
        let Some(node) = &handler.task.keywords.name else { return String::new() };
        if !node.has_template() {
            return node.as_str().unwrap_or_default().to_owned();
        }
        self.context(st, Some(&handler.task), &handler.lineage, vec![])
            .ok()
            .and_then(|c| c.text(node).ok())
            .unwrap_or_default()
    }

    /// Handlers that a notification means: one of that name, and those that listen to it, one of each name. The last list that
    /// has one decides (a role's, the play's), and in it the first.
    pub fn find_handlers(&self, st: &HostState, name: &str) -> Vec<usize> {
        let mut found = BTreeSet::new();
        let mut named = false;
        let mut heard: BTreeSet<String> = BTreeSet::new();
        for index in latest_lists_first(&st.handlers) {
            let handler = &st.handlers[index];
            let own = handler.task.keywords.name.is_some().then(|| self.handler_name(st, index));
            if let Some(own) = &own
                && !named
                && is_called(handler, own, name)
            {
                named = true;
                found.insert(index);
            }
            let listens = handler.task.listen.iter().any(|node| match &node.value {
                Yaml::Seq(items) => items.iter().any(|n| n.as_str() == Some(name)),
                _ => node.as_str() == Some(name),
            });
            if listens && own.is_none_or(|own| heard.insert(own)) {
                found.insert(index);
            }
        }
        found.into_iter().collect()
    }
}

/// Whether a notification is a handler's name, with its role's before it or not.
fn is_called(handler: &Handler, own: &str, name: &str) -> bool {
    let with_role = |role: &str| {
        name.strip_prefix(role).is_some_and(|rest| rest.trim_start_matches(' ').strip_prefix(": ") == Some(own))
    };
    own == name || handler.lineage.roles().first().is_some_and(|r| with_role(&r.role.name))
}

/// Indices, the last list's before those of the lists before it.
fn latest_lists_first(handlers: &[Handler]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..handlers.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(handlers[*i].list));
    order
}
