//! Typed plays, blocks, tasks, roles and handlers, with the place each came from.
//!
//! Stands in *load*: reads playbook and role files into this model, checks every keyword, module and argument name,
//! and expands static imports. Values stay templates ([`crate::yaml::Node`]) until plan/ evaluates them.

mod model;

pub use model::*;
