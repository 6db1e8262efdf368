//! Checks a task's arguments against its module's list, as far as they are known without running anything.
//!
//! The engine checks rendered arguments again; this finds mistyped names and impossible values before any host is asked.

use crate::problem::Problem;
use crate::resources::{ANY, ArgSpec, Kind, ResourceType, find_arg, truth, unknown_argument};
use crate::source::Span;
use crate::yaml::{Node, Yaml};

use super::keywords::shown;
use super::model::{Task, TaskArgs};

/// Every problem with a task's arguments. `has_defaults`: `module_defaults` may supply what is missing.
pub(super) fn check(found: &'static ResourceType, task: &Task, at: &Span, has_defaults: bool) -> Vec<Problem> {
    let (named, open, free) = match &task.args {
        TaskArgs::Named(named) => (named, has_defaults, false),
        TaskArgs::Free(_, named) => (named, has_defaults, true),
        TaskArgs::Template(_, named) => (named, true, false),
    };
    let mut problems = vec![];
    let given = named_problems(found, named, &mut problems);
    if !open {
        for spec in found.args.iter().filter(|s| s.required && s.name != ANY) {
            let by_text = free && found.free_form == Some(spec.name);
            if !given.contains(&spec.name) && !by_text {
                problems.push(
                    Problem::new("missing-argument", format!("`{}` needs the argument `{}`", found.name, spec.name))
                        .at(at),
                );
            }
        }
    }
    problems
}

/// The names and values of arguments, without asking whether any is missing.
pub(super) fn names_and_values(found: &'static ResourceType, named: &[(Node, Node)]) -> Vec<Problem> {
    let mut problems = vec![];
    named_problems(found, named, &mut problems);
    problems
}

/// Checks what is given; the specs' names of it.
fn named_problems(
    found: &'static ResourceType,
    named: &[(Node, Node)],
    problems: &mut Vec<Problem>,
) -> Vec<&'static str> {
    let any = found.args.iter().any(|s| s.name == ANY);
    let mut given: Vec<&str> = vec![];
    for (key, value) in named {
        // A templated name (`set_fact`) is known only later; a name that is no text was reported already.
        let Some(name) = key.as_str().filter(|_| !key.has_template()) else { continue };
        if name == "_raw_params" {
            continue;
        }
        match find_arg(found.args, name).filter(|s| s.name != ANY) {
            Some(spec) => {
                if given.contains(&spec.name) {
                    // Ansible lets an alias stand beside the name and takes the name's value with a warning.
                    continue;
                }
                given.push(spec.name);
                problems.extend(value_problem(found.name, spec, name, value));
            }
            None if any => {}
            None => problems.push(unknown_argument(found.name, found.args, name, &key.span)),
        }
    }
    given
}

/// What is wrong with a value that holds no template.
fn value_problem(module: &str, spec: &ArgSpec, name: &str, value: &Node) -> Option<Problem> {
    if value.is_null() || value.has_template() || matches!(value.value, Yaml::Vault(_)) {
        return None;
    }
    let wrong = |wanted: &str| {
        Problem::new("invalid-argument", format!("`{name}` of `{module}` must be {wanted}, not {}", shown(value)))
            .at(&value.span)
    };
    let text = super::loader::scalar_text(value);
    match spec.kind {
        Kind::Bool => match &value.value {
            Yaml::Bool(_) => {}
            Yaml::Int(0 | 1) => {}
            Yaml::Float(f) if *f == 0.0 || *f == 1.0 => {}
            Yaml::Str(s) if truth(s.text.trim()).is_some() => {}
            _ => return Some(wrong("a boolean (yes or no)")),
        },
        Kind::Int => match &value.value {
            Yaml::Int(_) => {}
            Yaml::Float(f) if f.fract() == 0.0 => {}
            Yaml::Str(s) if s.text.trim().parse::<i64>().is_ok() => {}
            _ => return Some(wrong("a whole number")),
        },
        Kind::Float => match &value.value {
            Yaml::Int(_) | Yaml::Float(_) => {}
            Yaml::Str(s) if s.text.trim().parse::<f64>().is_ok() => {}
            _ => return Some(wrong("a number")),
        },
        Kind::Dict if value.as_seq().is_some() => return Some(wrong("a mapping")),
        _ => {}
    }
    if spec.choices.is_empty() || matches!(value.value, Yaml::Bool(_)) {
        return None;
    }
    let refuse = |item: &Node, text: &str| {
        Problem::new(
            "invalid-argument",
            format!("`{name}` of `{module}` must be one of {}, not `{text}`", spec.choices.join(", ")),
        )
        .at(&item.span)
        .nearest(text, spec.choices.iter().copied())
    };
    if let (Kind::List, Some(items)) = (spec.kind, value.as_seq()) {
        return items.iter().find_map(|item| {
            let text = super::loader::scalar_text(item)?;
            (!spec.choices.contains(&text.as_str())).then(|| refuse(item, &text))
        });
    }
    let text = text?;
    let all_known = match spec.kind {
        Kind::List => text.split(',').all(|t| spec.choices.contains(&t.trim())),
        _ => spec.choices.contains(&text.as_str()),
    };
    (!all_known).then(|| refuse(value, &text))
}
