//! The conversation with real shells on this machine.

mod facts;
mod local;
mod ssh;
mod sshd;
