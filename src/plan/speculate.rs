//! Running ahead of answers: the current step is passed over as if its result were unknown.

use std::sync::Arc;

use super::interpreter::Interpreter;
use super::settle::with_item;
use super::state::HostState;
use super::step::Step;
use super::turn::Draft;
use crate::template::Unknown;
use crate::vars::Scope;
use crate::world::{Effect, Query};

impl Interpreter {
    /// Speculation: the current step waits for an answer. Goes on as if its result were unknown for now.
    pub fn postpone(&self, st: &mut HostState, draft: &Draft) {
        let pending = Unknown::pending();
        let module = draft.module.map_or("", |m| m.name);
        if let Some(name) = draft.task.register.as_ref().and_then(crate::yaml::Node::as_str) {
            st.vars.set_fact(name, pending.clone().into_value());
        }
        match module {
            "set_fact" => {
                if let crate::playbook::TaskArgs::Named(pairs) = &draft.task.args {
                    for (name, _) in pairs {
                        if let Some(name) = name.as_str() {
                            st.vars.set_fact(name, pending.clone().into_value());
                        }
                    }
                }
            }
            "setup" | "gather_facts" => {
                let scope = Scope::finals("facts", [("ansible_facts".to_owned(), pending.clone().into_value())]);
                st.vars.facts_scope = Arc::new(super::partial::pending_facts(&scope));
            }
            _ => {}
        }
        // What the step may change is not known either.
        st.predict(&draft.target, &possible_effects(draft, &pending));
        if let Some(looping) = &mut st.loop_state
            && let Some((item, _)) = &draft.item
        {
            looping.results.push(with_item(&pending.clone().into_value(), item, draft));
            looping.next += 1;
            return;
        }
        self.advance(st);
    }

    /// Speculation: passes over the current task, whatever it is.
    pub fn postpone_current(&self, st: &mut HostState) {
        if let Some((task, _)) = self.current(st)
            && let Some(name) = task.register.as_ref().and_then(crate::yaml::Node::as_str)
        {
            st.vars.set_fact(name, Unknown::pending().into_value());
        }
        self.advance(st);
    }

    /// A step record for the current task where nothing could be evaluated.
    pub fn bare_step(&self, st: &mut HostState) -> Step {
        let (name, action, span, role, tags) = match self.current(st) {
            Some((task, lineage)) => {
                let action = match &task.action {
                    crate::playbook::Action::Module { written, .. } | crate::playbook::Action::Unknown { written } => {
                        written.clone()
                    }
                    crate::playbook::Action::IncludeTasks => "include_tasks".to_owned(),
                    crate::playbook::Action::IncludeRole => "include_role".to_owned(),
                    crate::playbook::Action::Meta(_) => "meta".to_owned(),
                };
                (
                    task.keywords.name_text().map_or_else(|| action.clone(), str::to_owned),
                    action,
                    task.span.clone(),
                    lineage.roles().first().map(|r| r.role.name.clone()),
                    self.tags_of(st, &task, &lineage).unwrap_or_default(),
                )
            }
            None => (self.play.name.clone(), String::new(), self.play.play.span.clone(), None, vec![]),
        };
        Step {
            host: self.host.clone(),
            play: self.play.name.clone(),
            play_index: self.play.index,
            role,
            task: name,
            action,
            tags,
            order: st.order(),
            ..Step::at(span)
        }
    }
}

/// Effects of a step whose verdict is not known: whatever is at and below the paths it names may be another.
pub(super) fn possible_effects(draft: &Draft, unknown: &Unknown) -> Vec<Effect> {
    let Some(module) = draft.module else { return vec![] };
    if !WRITES_PATHS.contains(&module.name) {
        return vec![];
    }
    let crate::playbook::TaskArgs::Named(pairs) = &draft.task.args else { return vec![] };
    let mut effects = vec![];
    for (name, node) in pairs {
        if !matches!(name.as_str(), Some("dest" | "path" | "name")) {
            continue;
        }
        let Ok(path) = draft.context.text(node) else { continue };
        if !path.starts_with('/') {
            continue;
        }
        let path = if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path };
        for query in [
            Query::Stat { path: path.clone(), follow: false },
            Query::Stat { path: path.clone(), follow: true },
            Query::Tree { path: path.clone(), max_depth: None },
        ] {
            effects.push(Effect { query, answer: Err(unknown.clone()) });
        }
    }
    effects
}

/// Modules that put something at the path they name.
const WRITES_PATHS: &[&str] = &[
    "assemble",
    "blockinfile",
    "copy",
    "file",
    "get_url",
    "ini_file",
    "lineinfile",
    "replace",
    "template",
    "unarchive",
];
