//! What kdeploy did to a node, as the node itself keeps it: the ledger's format, what it says of each thing, and the way back.
//!
//! Stands beside *plan* and *apply*: apply writes lines before the change they tell of, plan reads what is owed, and
//! `destroy`, `--prune` and `undo` go back by it. Nothing here talks to a node.

mod back;
mod compact;
mod former;
mod journal;
mod line;
mod patch;
mod paths;
mod things;

pub use back::{Left, Phase, Way, WayBack, way_back};
pub use compact::{KEEP_RUNS, compact};
pub use former::{Former, PACKAGES, former};
pub use journal::{Entry, Journal, Owed, PathBefore};
pub use line::{Before, Change, Line, RunLine, Thing, VERSION};

/// Larger contents are not kept.
pub const KEPT_BYTES: u64 = 1024 * 1024;
/// What the store of former contents may hold in all, in kilobytes.
pub const STORE_KILOBYTES: u64 = 64 * 1024;
/// A ledger of more bytes is made smaller at the end of a run.
pub const LEDGER_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod way_tests;
