//! `debug`: show a message or a variable.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::kit::{self, Ready};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::problem::Problem;
use crate::world::Stop;

const DOC: &str = "\
# debug

Shows a message, or the value of a variable or expression.

## Return values

- `msg`, or a key named like `var`, with the value

## Examples

    - debug:
        msg: \"{{ inventory_hostname }} runs {{ ansible_facts['kernel'] }}\"

    - debug:
        var: containerd_config
        verbosity: 1

## Differences from Ansible

A value that is known only after an earlier step shows in a plan as such.
";

pub static TYPE: ResourceType = ResourceType {
    name: "debug",
    qualified: &["ansible.builtin.debug"],
    doc: DOC,
    args: &[
        ArgSpec::new("msg", Kind::Raw, "The message, text or any value").aliases(&["message"]),
        ArgSpec::new("var", Kind::Raw, "Name of a variable, or an expression"),
        ArgSpec::new("verbosity", Kind::Int, "Show only with as many `-v`").default("0"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "msg", "var")?;
    if args.int("verbosity")?.unwrap_or(0) > i64::from(setting.verbosity) {
        return Ok(Ready::boxed(Ok(Verdict::Skipped(
            TaskResult::unchanged().with("skipped_reason", "Verbosity threshold not met."),
        ))));
    }
    let result = match args.raw("var") {
        Some(var) if var.kind() == ValueKind::String => {
            let name = text_of(var);
            TaskResult::unchanged().with(&name, shown(setting, &name)?)
        }
        // `var: "{{ x }}"` whose value is no text: there is nothing to look up.
        Some(var) => {
            return Err(Stop::Failed(format!("`var` must be the name of a variable, not {}", text_of(var))));
        }
        None => {
            let message = args.as_given("msg").cloned().unwrap_or_else(|| Value::from("Hello world!"));
            TaskResult::unchanged().with("msg", message)
        }
    };
    Ok(Ready::boxed(Ok(Verdict::Unchanged(result))))
}

/// The value of an expression; an undefined or unknown one is shown as that, and is no failure.
fn shown(setting: &Setting, name: &str) -> Result<Value, Stop> {
    match (setting.evaluate)(name) {
        Ok(value) if value.is_undefined() => Ok(not_defined(&format!("'{name}' is undefined"))),
        Ok(value) => Ok(value),
        Err(Stop::Unknown(unknown)) if !unknown.is_pending() => Ok(unknown.into_value()),
        Err(Stop::Invalid(problem)) => match in_python(&problem) {
            Some(why) => Ok(not_defined(&why)),
            None => Err(Stop::Invalid(problem)),
        },
        Err(stop) => Err(stop),
    }
}

/// Python's words for something undefined, as Ansible shows them; `None`: the problem is another.
pub fn in_python(problem: &Problem) -> Option<String> {
    let message = &problem.message;
    match problem.code {
        "undefined-variable" => Some(message.replace('`', "'")),
        "undefined-attribute" => {
            let (of, rest) = message.split_once(" has no ").unwrap_or((message.as_str(), ""));
            let of = match of {
                "a mapping" => "dict",
                "a list" => "list",
                "text" => "str",
                "a boolean" => "bool",
                "nothing" => "NoneType",
                other => other,
            };
            Some(format!("object of type '{of}' has no {}", rest.replace('`', "'")))
        }
        _ => None,
    }
}

fn not_defined(why: &str) -> Value {
    Value::from(format!("<< error 1 - {why} >>"))
}
