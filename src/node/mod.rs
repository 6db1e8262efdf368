//! One conversation per node: transports (ssh, system ssh, local), the framed shell, facts.
//!
//! Stands between *observe*/*apply* and the machines. Only this room turns queries and actions into shell,
//! and quoting is done in one place here. Nothing above it knows a command line of a query.

mod action;
mod api;

pub use action::{Action, Blob, Command, Download, ExecSpec, Owner, UnpackSource};
pub use api::{Conversation, Done, Hello, HostKeyPolicy, Identity, NodeError, Secret, Target, Traffic, Transport};
