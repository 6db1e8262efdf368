//! The conversation with real shells on this machine.

mod local;
mod ssh;
mod sshd;
