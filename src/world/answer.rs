//! Typed replies to queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use serde::{Deserialize, Serialize};

/// The reply to one [`super::Query`].
#[derive(Debug, Clone)]
pub enum Answer {
    /// `None`: nothing is there (also when a parent is missing).
    Stat(Option<Stat>),
    Digest(Option<String>),
    Content(Option<Arc<Vec<u8>>>),
    Tree(Arc<Vec<TreeEntry>>),
    Unit(Box<UnitState>),
    Account(Option<Account>),
    Group(Option<GroupEntry>),
    Package(PackageState),
    Output(Output),
    Facts(Value),
    Source(crate::blob::Blob),
    /// The node could not say (permission denied, a tool is missing): why, in the node's words.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    File,
    Directory,
    Link,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// What `stat` says of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    pub kind: FileKind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Owner's name; empty if the uid has none.
    pub owner: String,
    /// Group's name; empty if the gid has none.
    pub group: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since the epoch, with nanoseconds where the node tells them.
    pub mtime: f64,
    pub atime: f64,
    pub ctime: f64,
    pub inode: u64,
    pub device: u64,
    pub links: u64,
    /// Where a symbolic link points, as written in it.
    pub target: Option<String>,
    /// Where a symbolic link ends after resolving all links (`readlink -f`), if it can be told.
    pub real: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path relative to the queried directory.
    pub path: String,
    pub stat: Stat,
}

/// A systemd unit, by `systemctl show` and `is-enabled`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, `bad-setting` …; `offline` if systemd does not run there.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// SubState: `running`, `dead`, `exited` …
    pub sub: String,
    /// UnitFileState: `enabled`, `disabled`, `static`, `masked`, `generated` …; empty if there is no unit file.
    pub file_state: String,
    /// NeedDaemonReload=yes.
    pub needs_reload: bool,
    /// Every property that was read, for the `status` of Ansible's result.
    pub properties: BTreeMap<String, String>,
}

/// One line of the user database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub comment: String,
    pub home: String,
    pub shell: String,
    /// Names of all groups the user is in besides the primary one.
    pub groups: Vec<String>,
    /// The primary group's name.
    pub group: String,
    /// The password field of the shadow file, if it may be read.
    pub password: Option<String>,
    /// Account expiry in days since the epoch (shadow's 8th field).
    pub expires: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupEntry {
    pub name: String,
    pub gid: u32,
    pub members: Vec<String>,
}

/// A package in the node's database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PackageState {
    /// Installed version, if it is installed.
    pub installed: Option<String>,
    /// Version the configured repositories would install, if known.
    pub candidate: Option<String>,
    /// Only configuration files are left (dpkg's `config-files`).
    pub residual_config: bool,
    pub held: bool,
}

/// What a command said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    pub rc: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}
