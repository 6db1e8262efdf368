//! Variables: precedence, lazy resolution, magic variables, vault.
//!
//! Used by plan and apply. A [`Scope`] is one source of variables (a role's defaults, a play's vars, facts …);
//! a [`crate::template::Context`] stacks them, strongest last.

mod extra;
mod merge;
mod scope;
pub mod vault;

pub use extra::extra_vars;
pub use merge::{merge, merge_definitions};
pub use scope::{Computed, Definition, Scope};
