//! The minijinja environment: Ansible's filters, tests and lookups, native types, lazy variables.
//!
//! Used by plan and apply (one evaluator). Everything a template can yield is a [`minijinja::Value`]; two values
//! are special: [`Unknown`] (known only after an earlier step ran) and [`omit`].
//!
//! `syntax/` reads templates, `eval/` walks them, `lazy` holds variables not evaluated yet, `context` is what others call;
//! `filters/`, `tests/` and `lookups/` meet the evaluator by the rules of [`call`].

pub mod args;
#[cfg(test)]
mod bombs_tests;
mod builtin_lookups;
pub mod call;
mod context;
#[cfg(test)]
mod context_tests;
pub mod datetime;
mod engine;
mod eval;
mod files;
pub mod filters;
pub mod halt;
mod lazy;
pub mod lookups;
pub mod markup;
pub mod mentions;
pub mod methods;
mod paths;
mod place;
pub mod pyformat;
pub mod pyregex;
mod python;
#[cfg(test)]
mod random_tests;
mod stack;
pub mod syntax;
pub mod tests;
pub mod types;
mod unknown;

pub use context::{Context, DefinedAt, EvalError};
pub use engine::{Decrypt, Engine, EngineOptions};
pub use files::request as template_request;
pub use paths::SearchPaths;
pub use python::{attribute, float_text, repr, text, truth};
pub use unknown::{Cause, Unknown, is_omit, omit};

/// A value that stands for an evaluation's outcome where there is no room for an error (an element of an object): an unknown, undefined
/// or failed one is so only when a template uses it, with its own message and place.
pub fn deferred(outcome: Result<minijinja::Value, EvalError>) -> minijinja::Value {
    eval::Failed::standing_for(outcome)
}

/// Undefined, or a variable whose template fails: an error only where it is used.
pub(crate) fn is_hole(value: &minijinja::Value) -> bool {
    eval::Undefined::of(value).is_some() || eval::Failed::of(value).is_some()
}

/// Why a value is undefined.
pub(crate) fn undefined_problem(value: &minijinja::Value) -> Option<crate::problem::Problem> {
    eval::Undefined::of(value).map(eval::Undefined::problem)
}

#[cfg(test)]
mod properties;

/// `text.format(**names)`.
pub fn str_format(
    text: &str,
    names: &indexmap::IndexMap<String, minijinja::Value>,
) -> Result<String, minijinja::Error> {
    pyformat::str_format(text, &[], names)
}

/// Python's `strftime`.
pub fn format_time(format: &str, moment: &jiff::Zoned) -> Result<String, minijinja::Error> {
    datetime::format_time(format, moment, false, None)
}
