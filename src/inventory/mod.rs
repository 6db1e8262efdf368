//! Inventory sources, groups, host patterns, group_vars and host_vars.
//!
//! Stands in *load* and *select*. `load` finds out what a source is, `ini`, `tree` (YAML) and `script` read it into the
//! [`Inventory`]; `pattern` selects hosts; `scopes` stacks a host's variables with those of `files` (group_vars, host_vars).
//! Variables stay [`crate::yaml::Node`]s: they are templates resolved per use.

mod constructed;
mod files;
mod ini;
mod literal;
mod load;
mod model;
mod pattern;
mod ranges;
mod scopes;
mod script;
mod show;
mod tree;
mod words;

pub use files::{Decrypt, variables};
pub use ini::literal_value;
pub use load::{LoadOptions, Unparsed};
pub use model::{Group, Host, Inventory, VarOrigin};
pub use pattern::{Order, Selection, split_pattern};
pub use show::{ShowOptions, pretty};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
