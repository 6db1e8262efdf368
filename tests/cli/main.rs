//! The command line as a user meets it: output, messages, exit codes, in a repository of its own and without a node.

mod bench;
mod browser;
mod compatibility;
mod containerd;
mod errors;
mod interrupts;
mod manuals;
mod migration;
mod names;
mod output;
mod plans;
mod predictions;
mod removals;
mod roles;
mod staleness;
mod unclear;
mod worlds;

pub use bench::Bench;
