//! YAML 1.1 as PyYAML reads it, with the place of every node.
//!
//! Stands before everything else in *load*: inventories, playbooks, roles, variable files and settings all come
//! in as [`Node`]s. `reader` composes them from granit-parser's events; `resolve` types plain scalars.

mod node;

pub use node::{Mapping, Node, Scalar, ScalarStyle, Yaml};
