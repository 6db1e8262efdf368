//! Why a task runs or not on a host, and where a variable comes from: noted while a plan is made.

use std::sync::Arc;

use super::interpreter::Interpreter;
use super::lineage::Lineage;
use super::state::HostState;
use super::turn::Draft;
use crate::playbook::Task;
use crate::problem::Problem;
use crate::template::{Context, EvalError};
use crate::vars::Definition;

/// What is looked for, and what was found.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    pub task: String,
    pub variable: Option<String>,
    pub found: Vec<Explained>,
}

/// One visit of the task.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    pub label: String,
    pub path: String,
    pub item: Option<String>,
    /// `None`: tags select it.
    pub not_selected: Option<String>,
    /// Each condition with its place and value.
    pub conditions: Vec<(String, String, String)>,
    pub variable: Option<String>,
}

impl Interpreter {
    /// Notes the current step if it is the one that is asked about.
    pub(super) fn watch(&self, st: &HostState, draft: &Draft) {
        if st.speculative {
            return;
        }
        self.run.watching(|watch| {
            let role = draft.lineage.roles().first().map(|r| r.role.name.clone());
            let label = role.map_or_else(|| draft.name.clone(), |r| format!("{r} : {}", draft.name));
            if watch.task != draft.name && watch.task != label {
                return;
            }
            let conditions = draft
                .lineage
                .conditions(&draft.task)
                .iter()
                .map(|node| {
                    let text = super::evaluate::scalar_text(node).unwrap_or_default();
                    let value = match draft.context.condition(node) {
                        Ok(value) => value.to_string(),
                        Err(EvalError::Unknown(unknown)) => unknown.to_string(),
                        Err(error) => error.into_problem().message,
                    };
                    (text, node.span.path_line(), value)
                })
                .collect();
            let found = Explained {
                label,
                path: draft.task.span.path_line(),
                item: draft.item.as_ref().map(|(_, l)| l.clone()),
                not_selected: None,
                conditions,
                variable: watch.variable.as_ref().map(|name| variable_text(&draft.context, name)),
            };
            // A step that had to wait for answers is come to again.
            watch.found.retain(|f| (&f.path, &f.item) != (&found.path, &found.item));
            watch.found.push(found);
        });
    }

    /// Notes that tags leave the task out.
    pub(super) fn watch_unselected(&self, task: &Arc<Task>, lineage: &Arc<Lineage>, tags: &[String]) {
        self.run.watching(|watch| {
            let Some(name) = task.keywords.name_text() else { return };
            let role = lineage.roles().first().map(|r| r.role.name.clone());
            let label = role.map_or_else(|| name.to_owned(), |r| format!("{r} : {name}"));
            if watch.task == name || watch.task == label {
                watch.found.push(Explained {
                    label,
                    path: task.span.path_line(),
                    not_selected: Some(if tags.is_empty() { "it has no tags".to_owned() } else { tags.join(", ") }),
                    ..Explained::default()
                });
            }
        });
    }
}

/// A variable's value, where it comes from, and every definition it shadows, strongest first.
pub fn variable_text(context: &Context, name: &str) -> String {
    let all = context.explain(name);
    let Some((holds, shadowed)) = all.split_last() else {
        let near = context.similar(name).map(|help| format!("\n  {help}")).unwrap_or_default();
        return format!("{name} is not defined here{near}\n");
    };
    let place = |d: &crate::template::DefinedAt| {
        d.span.as_ref().map_or_else(
            || d.scope.clone(),
            |span| {
                let (line, file) = (span.path_line(), span.file.display_path());
                // A file that is a scope of its own has said its name.
                let scope = d.scope.strip_suffix(&format!(" ({file})")).unwrap_or(&d.scope);
                if scope == file { line } else { format!("{line} ({scope})") }
            },
        )
    };
    let written = |d: &crate::template::DefinedAt| match &d.definition {
        Definition::Written(node) => short(&node.to_value()),
        Definition::Final(value) => short(value),
        Definition::Computed(computed) => short(&(computed.0)()),
    };
    let value = match context.variable(name) {
        Ok(Some(value)) => short(&value),
        Ok(None) => "undefined".to_owned(),
        Err(EvalError::Unknown(unknown)) => format!("({unknown})"),
        Err(error) => format!("cannot be evaluated: {}", error.into_problem().message),
    };
    let mut out = format!("{name}: {value}\n  from {}\n", place(holds));
    if let Definition::Written(node) = &holds.definition
        && node.has_template()
    {
        out.push_str(&format!("  written as {}\n", written(holds)));
    }
    for (index, definition) in shadowed.iter().rev().enumerate() {
        let lead = if index == 0 { "shadows" } else { "       " };
        out.push_str(&format!("  {lead} {}: {}\n", place(definition), written(definition)));
    }
    out
}

fn short(value: &minijinja::Value) -> String {
    serde_json::to_string(&crate::report::value_json(value)).unwrap_or_default()
}

/// A variable as the tasks of the first play with the host see it, without asking the node.
pub fn explain_offline(interpreter: &Interpreter, name: &str) -> Result<String, Problem> {
    let mut state = HostState::default();
    interpreter.begin(&mut state);
    let lineage = Lineage::of_play(&interpreter.play.play);
    let context = interpreter.context(&state, None, &lineage, vec![])?;
    if context.explain(name).is_empty() {
        let mut problem =
            Problem::new("undefined-variable", format!("nothing defines `{name}` for `{}`", interpreter.host))
                .note("what tasks set or register is not looked at: --task NAME shows a variable as that task sees it");
        if let Some(help) = context.similar(name) {
            problem = problem.help(help);
        }
        return Err(problem);
    }
    Ok(variable_text(&context, name))
}
