//! Lookups that need the context itself; all others are in `lookups/`.

use indexmap::IndexMap;
use minijinja::Value;

use super::eval::{check_one, force};
use super::{Context, EvalError};
use crate::problem::Problem;

pub fn run(
    context: &Context,
    name: &str,
    terms: &[Value],
    options: &IndexMap<String, Value>,
) -> Result<Vec<Value>, EvalError> {
    match super::call::short_name(name) {
        "vars" => variables(context, terms, options),
        _ => match super::lookups::find(name) {
            Some(lookup) => lookup(context, terms, options).map_err(EvalError::from),
            None if super::lookups::is_foreign(name) => {
                Err(EvalError::Failed(Problem::unsupported(format!("the lookup `{name}`"))))
            }
            None => Err(EvalError::Failed(
                Problem::new("unknown-lookup", format!("there is no lookup `{name}`"))
                    .nearest(super::call::short_name(name), super::lookups::lookup_names()),
            )),
        },
    }
}

fn variables(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, EvalError> {
    let mut found = vec![];
    for term in terms {
        let Some(name) = term.as_str() else {
            return Err(EvalError::Failed(Problem::new("template", "`vars` looks up names, which are text")));
        };
        let value = match context.resolve(name)? {
            Some(value) => check_one(&value).and_then(|()| force(value)),
            None => Err(EvalError::Undefined(Problem::new("undefined-variable", format!("`{name}` is undefined")))),
        };
        match (value, options.get("default")) {
            (Err(EvalError::Undefined(_)), Some(default)) => found.push(default.clone()),
            (value, _) => found.push(value?),
        }
    }
    Ok(found)
}
