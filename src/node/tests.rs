//! The conversation with real shells on this machine.

mod download;
mod facts;
mod framing;
mod local;
mod ssh;
mod ssh_config;
mod sshd;
