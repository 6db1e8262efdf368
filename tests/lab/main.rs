//! kdeploy against real nodes: systemd, sshd, no Python (lab/README.md).
//!
//! Every test makes a lab of its own, so they run side by side, and takes it down, even when it is killed. They need root and are
//! ignored by default; `./test lab` runs them.

mod bed;
mod cluster;
#[path = "../fidelity/compare.rs"]
mod compare;
mod container;
mod docker;
#[path = "../fidelity/document.rs"]
mod document;
mod drift;
mod faults;
mod fidelity;
mod harden;
mod ledger;
mod logins;
mod migration;
mod modules;
mod node;
mod resume;
#[path = "../fidelity/saved.rs"]
mod saved;
mod staleness;
mod twins;
mod ubuntu;
