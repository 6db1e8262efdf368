//! YAML 1.1 as PyYAML reads it, with the place of every node.
//!
//! Stands before everything else in *load*: inventories, playbooks, roles, variable files and settings all come
//! in as [`Node`]s. `source` reads files, `reader` composes nodes from granit-parser's events, `resolve` types plain
//! scalars, `faults` words what is wrong with a file, `place` finds an offset of a text in the file it came from.

mod emit;
mod faults;
mod node;
mod place;
mod reader;
mod resolve;
mod source;
mod value;

pub use emit::{EmitOptions, emit};
pub use node::{Mapping, Node, Scalar, ScalarStyle, Yaml};
pub use reader::{Loaded, load_file, parse, parse_text};
pub use resolve::plain as resolve_plain;
pub(crate) use source::io_words;
pub use source::{is_vaulted, read_source};
pub use value::from_value;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
