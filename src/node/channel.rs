//! A pair of byte streams to a shell on a node, whichever transport carries it.
//!
//! Transports open channels; `shell.rs` speaks the conversation over them.

use std::time::Instant;

use super::NodeError;

/// What has arrived and was not taken yet.
#[derive(Debug, Default)]
pub struct Inbox {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// The other side will send no more.
    pub eof: bool,
}

/// One running program on the node.
pub trait Channel: Send {
    /// Sends a part of `out` if there is room, and collects what has arrived. Returns how much was sent, after some
    /// progress was made in either direction or at `until`.
    fn exchange(&mut self, out: &[u8], inbox: &mut Inbox, until: Instant) -> Result<usize, ChannelError>;

    /// Ends the program's standard input; best effort, never blocks long.
    fn close(&mut self);
}

/// Why a channel can carry nothing more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ChannelError(pub String);

impl From<std::io::Error> for ChannelError {
    fn from(e: std::io::Error) -> Self {
        Self(e.to_string())
    }
}

/// A way to a node.
pub trait Transport: Send {
    /// Starts a command (text for the login shell); connects first if need be.
    fn open(&mut self, command: &str) -> Result<Box<dyn Channel>, NodeError>;

    /// Drops the connection; the next `open` makes a new one.
    fn disconnect(&mut self);

    /// What a closed channel's last words on stderr mean here, if the transport knows better than the shell.
    fn explain(&self, _stderr: &str) -> Option<NodeError> {
        None
    }

    /// The name used in messages: `worker99 (10.0.0.5:22)`.
    fn describe(&self) -> String;

    /// The login user, if it is known before asking the node.
    fn user(&mut self) -> Option<String>;
}
