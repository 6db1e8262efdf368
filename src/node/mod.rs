//! One conversation per node: transports (ssh, system ssh, local), the framed shell, facts.
//!
//! Stands between *observe*/*apply* and the machines. Only this room turns queries and actions into shell,
//! and quoting is done in one place here. Nothing above it knows a command line of a query.

mod act;
mod action;
mod api;
mod ask;
mod blob;
mod channel;
mod conversation;
pub mod download;
mod facts;
mod local;
mod pipes;
mod quote;
mod shell;

pub use action::{Action, Blob, Command, Download, ExecSpec, Owner, UnpackSource};
pub use api::{Conversation, Done, Hello, HostKeyPolicy, Identity, NodeError, Secret, Target, Traffic, Transport};
pub use download::fetch;
pub use quote::quote;

/// A conversation with a node. Connects at the first request.
pub fn connect(target: &Target) -> Box<dyn Conversation> {
    let transport: Box<dyn channel::Transport> = match target.transport {
        Transport::Local => Box::new(local::Local),
        Transport::Ssh | Transport::SystemSsh => Box::new(NoTransport(target.name.clone())),
    };
    Box::new(conversation::Node::new(target, transport))
}

struct NoTransport(String);

impl channel::Transport for NoTransport {
    fn open(&mut self, _: &str) -> Result<Box<dyn channel::Channel>, NodeError> {
        Err(NodeError::Unreachable { message: format!("{}: ssh is not supported yet", self.0), help: vec![] })
    }
    fn disconnect(&mut self) {}
    fn describe(&self) -> String {
        self.0.clone()
    }
    fn user(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests;
