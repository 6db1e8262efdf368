//! The minijinja environment: Ansible's filters, tests and lookups, native types, lazy variables.
//!
//! Used by plan and apply (one evaluator). Everything a template can yield is a [`minijinja::Value`]; two values
//! are special: [`Unknown`] (known only after an earlier step ran) and [`omit`].

mod context;
mod unknown;

pub use context::{Context, Engine, EngineOptions, EvalError, SearchPaths};
pub use unknown::{Cause, Unknown, is_omit, omit};
