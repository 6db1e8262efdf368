//! What can be done to a node: small typed steps.

use crate::blob::Blob;

/// One change to a node. Actions of a batch are carried out in order, stopping at the first that fails.
///
/// Paths are absolute. File-writing actions write to a temporary file (0600) in the target's directory, set owner
/// and mode there, and rename; nothing is ever half-written.
#[derive(Debug, Clone)]
pub enum Action {
    /// Makes or replaces a regular file. Owner, group and mode not given: those of the file that is replaced, else
    /// the user's own and 0666 less umask. `validate` is a command with `%s` for the temporary file, run before the rename.
    /// `backup`: copy the old file to this path first.
    WriteFile {
        path: String,
        content: Blob,
        mode: Option<u32>,
        owner: Owner,
        validate: Option<String>,
        backup: Option<String>,
    },
    /// Makes one directory (its parent exists) with a mode (else 0777 less umask).
    MakeDir {
        path: String,
        mode: Option<u32>,
        owner: Owner,
    },
    /// Makes or atomically replaces a symbolic link.
    Symlink {
        path: String,
        target: String,
    },
    Hardlink {
        path: String,
        source: String,
    },
    SetMode {
        path: String,
        mode: u32,
        follow: bool,
    },
    /// Recursive mode change by chmod's symbolic notation (validated by the resource).
    SetModeRecursive {
        path: String,
        symbolic: String,
    },
    SetOwner {
        path: String,
        owner: Owner,
        recursive: bool,
        follow: bool,
    },
    /// Sets times (`@seconds` or `now`); makes an empty file if there is none.
    Touch {
        path: String,
        access: Option<String>,
        modify: Option<String>,
    },
    /// Removes a file, link or (recursively) a directory; nothing there is fine.
    Remove {
        path: String,
    },
    /// Copies a regular file on the node itself (atomically, like WriteFile).
    CopyOnNode {
        source: String,
        path: String,
        mode: Option<u32>,
        owner: Owner,
        validate: Option<String>,
        backup: Option<String>,
    },
    Rename {
        from: String,
        to: String,
    },
    /// Unpacks an archive (`tar`'s formats and compressions; zip where the node has unzip) below `dest`. Members are listed before, and
    /// one that would land outside `dest` fails the action. `source`: a file on the node, or content sent along.
    Unpack {
        source: UnpackSource,
        dest: String,
        /// Extra options for tar or unzip.
        options: Vec<String>,
        /// Only these members; empty: all.
        include: Vec<String>,
        exclude: Vec<String>,
        /// False: extracted files belong to the user who extracts (`--no-same-owner`).
        keep_owner: bool,
        owner: Owner,
        mode: Option<String>,
    },
    /// `systemctl [--user] VERB UNIT…`; no units for daemon-reload and daemon-reexec.
    Systemctl {
        verb: String,
        units: Vec<String>,
        user: bool,
        no_block: bool,
    },
    /// Runs a program.
    Exec(ExecSpec),
    /// Reboots and waits for a different boot id over a new connection, at most `timeout` seconds.
    Reboot {
        command: Option<String>,
        delay: u64,
        timeout: u64,
        message: String,
    },
    /// Waits on the control machine's clock.
    Sleep {
        seconds: f64,
    },
    /// Starts actions in the background: they go on when the connection ends.
    Background(Box<super::Job>),
    /// Appends lines to the node's ledger, and in front of them what is at these paths now. Flushed to the disk before the next action.
    Ledger {
        lines: std::sync::Arc<Vec<u8>>,
        paths: Vec<Former>,
    },
    /// Saves what the change that follows touches, and arms a timer that puts it back.
    Confirm(super::Confirm),
    /// What waited to be confirmed stays.
    Confirmed {
        id: String,
    },
    /// Drops the connection; the next request makes a new one.
    Reconnect,
}

/// A path whose state is noted in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// What the line says it is of.
    pub id: String,
    pub path: String,
    /// Its content is a secret: it is not kept.
    pub secret: bool,
    /// It goes away: of a folder, what is in it is kept too.
    pub whole: bool,
}

/// Where an archive is.
#[derive(Debug, Clone)]
pub enum UnpackSource {
    OnNode(String),
    Sent(Blob),
}

/// Owner and group by name or number; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    pub user: Option<String>,
    pub group: Option<String>,
}

/// A program to run. Its standard input is `stdin` or empty, never the conversation.
#[derive(Debug, Clone, Default)]
pub struct ExecSpec {
    pub command: Command,
    pub chdir: Option<String>,
    /// Environment on top of the node's own; passed on standard input, not on a command line.
    pub env: Vec<(String, String)>,
    pub stdin: Option<Vec<u8>>,
    /// Exit codes that count as success; empty: any exit code is reported, none fails the batch.
    pub ok_codes: Vec<i32>,
    /// Seconds; 0: the connection's default.
    pub timeout: u64,
}

#[derive(Debug, Clone)]
pub enum Command {
    /// No shell involved.
    Argv(Vec<String>),
    /// Text for a shell (`/bin/sh` unless `executable`).
    Shell { text: String, executable: Option<String> },
}

impl Default for Command {
    fn default() -> Self {
        Self::Argv(vec![])
    }
}

impl ExecSpec {
    /// A program that must exit with 0.
    pub fn argv<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            command: Command::Argv(argv.into_iter().map(Into::into).collect()),
            ok_codes: vec![0],
            ..Self::default()
        }
    }

    pub fn into_action(self) -> Action {
        Action::Exec(self)
    }
}
