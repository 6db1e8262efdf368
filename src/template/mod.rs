//! The minijinja environment: Ansible's filters, tests and lookups, native types, lazy variables.
//!
//! Used by plan and apply (one evaluator). Everything a template can yield is a [`minijinja::Value`]; two values
//! are special: [`Unknown`] (known only after an earlier step ran) and [`omit`].

pub mod args;
pub mod call;
mod context;
pub mod datetime;
pub mod filters;
pub mod pyformat;
pub mod pyregex;
mod python;
pub mod tests;
pub mod types;
mod unknown;

pub use context::{Context, Engine, EngineOptions, EvalError, SearchPaths};
pub use python::{attribute, float_text, repr, text, truth};
pub use unknown::{Cause, Unknown, is_omit, omit};
