//! What the stages above see of a node.

use super::holder::Holder;
use std::path::PathBuf;
use std::time::Duration;

use super::Action;
use crate::world::{Answer, Output, Query};

/// How to reach a node; everything resolved, nothing templated.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The inventory's name, for messages.
    pub name: String,
    pub transport: Transport,
    pub address: String,
    pub port: Option<u16>,
    /// Login user; `None`: ~/.ssh/config's or the operator's own name.
    pub user: Option<String>,
    pub private_key: Option<PathBuf>,
    pub key_passphrase: Option<Secret>,
    pub password: Option<Secret>,
    pub host_keys: HostKeyPolicy,
    /// `ansible_ssh_common_args` + `ansible_ssh_extra_args`, split into words.
    pub ssh_args: Vec<String>,
    pub connect_timeout: Duration,
    /// For one action or query batch without output; zero: none.
    pub command_timeout: Duration,
    /// The shell on the node (`ansible_shell_executable`), `/bin/sh` by default.
    pub shell: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// ssh2, or the system's `ssh` where libssh2 cannot.
    #[default]
    Ssh,
    SystemSsh,
    Local,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Must be in known_hosts.
    #[default]
    Strict,
    /// Unknown hosts are added, changed keys refused.
    AcceptNew,
    /// `host_key_checking = False`.
    Off,
}

/// A secret: never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// As whom queries and actions run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `None`: as the login user, without become.
    pub become_user: Option<String>,
    /// `sudo` (default) or `su`, `doas`.
    pub method: String,
    pub flags: Option<String>,
    /// The program in place of the method's own (`become_exe`).
    pub exe: Option<String>,
    pub password: Option<Secret>,
}

impl Identity {
    /// Tells identities of one node apart: the login user's is empty.
    pub fn key(&self) -> String {
        let program = self.exe.as_deref().map(|exe| format!("={exe}")).unwrap_or_default();
        self.become_user.as_ref().map(|user| format!("{}{program}:{user}", self.method)).unwrap_or_default()
    }
}

/// What the first round trip tells of a login.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Hello {
    pub uid: u32,
    pub user: String,
    pub home: String,
    pub boot_id: String,
    pub machine_id: String,
}

/// How one action ended.
#[derive(Debug, Clone)]
pub enum Done {
    /// With the program's output where there is one. For `Unpack`, stdout lists the members.
    Ok(Output),
    /// Nothing after it in the batch was done.
    Failed { message: String, output: Output },
}

/// Why a conversation ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeError {
    /// Never connected, or lost: Ansible's `unreachable`.
    #[error("{message}")]
    Unreachable { message: String, help: Vec<String> },
    /// Connected, but become (sudo) was refused, or the node lacks a shell tool.
    #[error("{message}")]
    Refused { message: String, help: Vec<String> },
    #[error("no answer from {what} after {seconds} s")]
    Timeout { what: String, seconds: u64 },
}

/// Counted per node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Request/reply pairs after the connection stood (the login's own exchange is in `connect`).
    pub round_trips: u64,
    /// Processes the node started for us, as far as the conversation knows.
    pub processes: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub connect: Duration,
}

/// Who wants a node's lock.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// One line shown to others who want it: who, since when, from where.
    pub who: &'a str,
    /// The process on the control machine: [`super::holder::place`].
    pub place: &'a str,
    /// A shell on the node whose run is gone: it may be ended, unless it still runs something.
    pub left: Option<&'a Holder>,
}

/// Whether a node's lock was to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    Ours,
    Held(Holder),
    /// It could not be taken (a read-only disk, no permission): why.
    Impossible(String),
}

/// One node. All calls block; one thread per node calls them.
pub trait Conversation: Send {
    /// Connects if need be; the login's facts. Costs no round trip once connected as that identity.
    fn hello(&mut self, identity: &Identity) -> Result<Hello, NodeError>;

    /// Answers queries in one round trip, in their order.
    fn ask(&mut self, identity: &Identity, queries: &[Query]) -> Result<Vec<Answer>, NodeError>;

    /// Carries actions out in one round trip, in order, stopping at the first that fails. `ended` is called as each ends.
    /// Returns the outcomes of those that were started.
    fn act(
        &mut self,
        identity: &Identity,
        actions: &[Action],
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError>;

    fn traffic(&self) -> Traffic;

    /// Takes the node's lock until this conversation ends or its connection is lost. One round trip; none if it is held already.
    fn lock(&mut self, _identity: &Identity, _claim: Claim<'_>) -> Result<Lock, NodeError> {
        Ok(Lock::Ours)
    }

    /// How the node is reached.
    fn kind(&self) -> Transport {
        Transport::Ssh
    }

    /// Where kdeploy's state of an identity is on the node. No round trip once connected.
    fn state_dir(&mut self, identity: &Identity) -> Result<String, NodeError> {
        let hello = self.hello(identity)?;
        Ok(match (self.kind(), hello.uid) {
            (Transport::Local, _) => format!("{}/.local/state/kdeploy/node", hello.home),
            (_, 0) => "/var/lib/kdeploy".to_owned(),
            _ => format!("{}/.local/state/kdeploy", hello.home),
        })
    }

    /// What the ledger said when the lock was taken: the lines that tell what handlers are owed, and its size in bytes.
    fn debts(&self) -> (&str, u64) {
        ("", 0)
    }
}
