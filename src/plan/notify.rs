//! Notifications: which handlers a change marks.

use std::sync::Arc;

use super::interpreter::Interpreter;
use super::state::HostState;
use super::turn::Draft;
use crate::resources;
use crate::template::Unknown;

impl Interpreter {
    /// Marks the handlers a task notifies, by name or listened topic.
    ///
    /// `maybe`: it is not known whether the task changes anything, so the handlers only may run.
    pub(super) fn notify(&self, st: &mut HostState, draft: &Draft, maybe: Option<&Unknown>) -> Vec<String> {
        let mut notified = vec![];
        for node in draft.lineage.notifications(&draft.task) {
            let names: Vec<String> = match draft.context.value(&node) {
                Ok(value) if value.as_str().is_some() => vec![resources::text_of(&value)],
                Ok(value) => value.try_iter().into_iter().flatten().map(|v| resources::text_of(&v)).collect(),
                Err(_) => vec![],
            };
            for name in names {
                let found = self.find_handlers(st, &name);
                if found.is_empty() {
                    self.run.warn(format!("{}: no handler is named `{name}` or listens to it", draft.task.span));
                }
                notified.extend(found.iter().map(|i| self.handler_name(st, *i)));
                for index in found {
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
        notified
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

    /// Handlers that a notification means: the last one loaded of that name, and all that listen to it.
    pub fn find_handlers(&self, st: &HostState, name: &str) -> Vec<usize> {
        let mut found = vec![];
        let mut named = None;
        for (index, handler) in st.handlers.iter().enumerate() {
            let task = &handler.task;
            let own = task.keywords.name.is_some().then(|| self.handler_name(st, index));
            if let Some(own) = own {
                let role = handler.lineage.roles().first().map(|r| r.role.name.clone());
                let matches = own == name
                    || role.is_some_and(|r| {
                        name.strip_prefix(r.as_str()).is_some_and(|rest| {
                            rest.trim_start_matches(' ') == format!(": {own}") || rest == format!(" : {own}")
                        })
                    });
                if matches {
                    named = Some(index);
                }
            }
            let listens = task.listen.iter().any(|node| match &node.value {
                crate::yaml::Yaml::Seq(items) => items.iter().any(|n| n.as_str() == Some(name)),
                _ => node.as_str() == Some(name),
            });
            if listens {
                found.push(index);
            }
        }
        if let Some(index) = named
            && !found.contains(&index)
        {
            found.push(index);
        }
        found
    }
}
