//! Lookups that need the context itself; all others are in `lookups/`.

use indexmap::IndexMap;
use minijinja::Value;

use super::eval::{check_one, force, ops};
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
        "items" => Ok(terms
            .iter()
            .flat_map(|term| match term.kind() {
                minijinja::value::ValueKind::Seq => ops::items(term).unwrap_or_default(),
                _ => vec![term.clone()],
            })
            .collect()),
        "env" => Ok(terms
            .iter()
            .map(|term| {
                let name = super::text(term);
                let found = match &context.engine().options().env {
                    Some(env) => env.get(&name).cloned(),
                    None => std::env::var(&name).ok(),
                };
                found.map_or_else(|| options.get("default").cloned().unwrap_or_else(|| Value::from("")), Value::from)
            })
            .collect()),
        _ => Err(EvalError::Failed(Problem::new("unknown-lookup", format!("there is no lookup `{name}`")))),
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
