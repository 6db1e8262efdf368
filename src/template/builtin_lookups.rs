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
    let routed = context.engine().redirected("lookup", name);
    let name = &*routed;
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
        // The default is for a name that nothing defines, not for a value that rests on one; none is no default.
        found.push(match (context.resolve(name)?, options.get("default").filter(|d| !d.is_none())) {
            (Some(value), _) => check_one(&value).and_then(|()| force(value))?,
            (None, Some(default)) => default.clone(),
            (None, None) => {
                let problem = Problem::new("undefined-variable", format!("`{name}` is undefined"));
                return Err(EvalError::Undefined(problem));
            }
        });
    }
    Ok(found)
}
