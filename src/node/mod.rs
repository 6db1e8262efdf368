//! One conversation per node: transports (ssh, system ssh, local), the framed shell, facts.
//!
//! Stands between *observe*/*apply* and the machines. Only this room turns queries and actions into shell,
//! and quoting is done in one place here. Nothing above it knows a command line of a query.

mod act;
mod action;
mod api;
mod ask;
mod becoming;
mod blob;
mod channel;
mod confirm;
mod conversation;
pub mod download;
mod facts;
pub mod holder;
mod job;
mod local;
mod pipes;
mod quote;
mod reboot;
mod recorded;
mod shell;
mod ssh;
mod system_ssh;
mod unpack;

pub use crate::blob::{Blob, Download};
pub use action::{Action, Command, ExecSpec, Former, Owner, UnpackSource};
pub use api::{
    Claim, Conversation, Done, Hello, HostKeyPolicy, Identity, Lock, NodeError, Secret, Target, Traffic, Transport,
};
pub use confirm::Confirm;
pub use download::fetch;
pub use job::{Job, JobState, READ as READ_JOB};
pub use quote::quote;
pub use recorded::{Book, Login, MISSING, Recording, Replay};
pub use ssh::config::own_name;

/// A conversation with a node. Connects at the first request.
pub fn connect(target: &Target) -> Box<dyn Conversation> {
    let transport: Box<dyn channel::Transport> = match target.transport {
        Transport::Local => Box::new(local::Local),
        Transport::Ssh => Box::new(ssh::Ssh::new(target)),
        Transport::SystemSsh => Box::new(system_ssh::SystemSsh::new(target, None)),
    };
    Box::new(conversation::Node::new(target, transport))
}

#[cfg(test)]
mod tests;
