//! Settings: kdeploy.toml, ansible.cfg, environment variables, defaults.
//!
//! Stands before *load*. The command line is the strongest source (`cli/` puts its options in with [`Settings::give`]), then
//! ANSIBLE_* variables, then kdeploy.toml, then ansible.cfg. Every value remembers where it came from.

mod about;
pub mod ansible_names;
mod cfg;
mod keys;
mod settings;
mod sources;
mod ssh_args;

pub use about::manual;
pub use keys::{Key, Kind};
pub use settings::{HashBehaviour, Settings};
pub use sources::{Origin, Start, Value};
pub use ssh_args::words;

#[cfg(test)]
mod tests;
