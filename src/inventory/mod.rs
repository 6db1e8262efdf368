//! Inventory sources, groups, host patterns, group_vars and host_vars.
//!
//! Stands in *load* and *select*. Variables stay [`Node`]s: they are templates resolved per use.

mod model;

pub use model::{Group, Host, Inventory, VarOrigin};
