//! One line of the ledger. The format is written down in docs/ledger.md; fields are only ever added.

use serde::{Deserialize, Serialize};

/// The format that this kdeploy writes. A larger number means that older ones cannot tell what holds.
pub const VERSION: u32 = 1;

/// A line of the ledger: JSON with `is`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Line {
    /// The first line of what a run writes.
    Run(RunLine),
    /// A change that follows.
    Change(Change),
    /// What was at a path before a change; written by the node itself.
    Before(Before),
    /// A handler that was owed ran, or was found to be needless.
    Paid { handler: String, run: String },
    /// Changes that were taken back: nothing follows from them any more.
    Undone { changes: Vec<String>, run: String },
    /// The run is over on this node.
    End { run: String, outcome: String },
    /// A line of a newer kdeploy.
    #[serde(other)]
    Other,
}

/// Who changed the node, when, from where, by what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunLine {
    pub id: String,
    /// Version of the format.
    pub v: u32,
    pub kdeploy: String,
    pub command: String,
    pub at: String,
    pub who: String,
    pub from: String,
    /// Relative to the repository, so that it is the same wherever that is checked out.
    pub playbook: String,
    pub commit: String,
    pub tags: Vec<String>,
    pub skip_tags: Vec<String>,
    pub limit: String,
}

/// One change, before it happens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// `RUN/NUMBER`.
    pub id: String,
    pub run: String,
    pub playbook: String,
    pub play: String,
    pub role: Option<String>,
    pub task: String,
    pub item: Option<String>,
    pub action: String,
    pub tags: Vec<String>,
    /// Where the task is written.
    pub path: String,
    /// `create`, `change`, `remove`, `run`.
    pub kind: String,
    /// Files, links and folders it touches; lines `before` name them by their place here.
    pub paths: Vec<String>,
    /// SHA-256 of what it writes to each of them, where that is known and no secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<Option<String>>,
    /// What else it touches, as it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub things: Vec<Thing>,
    /// The way back of a text that was edited: a unified diff from what was written to what was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Handlers it notifies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owes: Vec<String>,
    /// Why kdeploy cannot take it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// It takes earlier changes back, so it is no state of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// It holds secrets: former contents were not kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// The host whose task it was, delegated to this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_host: Option<String>,
}

/// What was at a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// `CHANGE#PLACE`.
    pub of: String,
    /// `-` nothing, `f` file, `d` folder, `l` link, `o` something else.
    pub t: String,
    /// Octal mode.
    pub m: String,
    pub u: u32,
    pub g: u32,
    pub s: u64,
    /// SHA-256 of the content, of a link's target, or of the archive of what was in a folder that went away.
    pub d: Option<String>,
    /// The content is in the store.
    pub kept: bool,
    /// Why it is not: `full`, `secret`, `tar` (the node has none, or it failed), else too large.
    pub why: Option<String>,
}

/// Something that is no path, as it was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Thing {
    Unit {
        name: String,
        #[serde(default)]
        user: bool,
        /// False: there was no such unit.
        #[serde(default)]
        existed: bool,
        #[serde(default)]
        file_state: String,
        #[serde(default)]
        active: bool,
    },
    User {
        name: String,
        #[serde(default)]
        was: Option<WasUser>,
        /// The home that came with it.
        #[serde(default)]
        home: Option<String>,
    },
    Group {
        name: String,
        #[serde(default)]
        was: Option<WasGroup>,
    },
    Package {
        name: String,
        #[serde(default)]
        was: Option<String>,
        /// By which the package is removed: `apt`, `dnf` …
        #[serde(default)]
        by: String,
    },
    /// A command that takes it back.
    Command { name: String, argv: Vec<String> },
    /// A folder with all that is in it.
    Tree {
        name: String,
        #[serde(default)]
        existed: bool,
        /// A look that must succeed, else it is left as it is, for the reason the look gives on standard error.
        guard: Vec<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WasUser {
    pub uid: u32,
    pub group: String,
    pub comment: String,
    pub home: String,
    pub shell: String,
    pub groups: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WasGroup {
    pub gid: u32,
}

impl Thing {
    /// As it is named in plans.
    pub fn label(&self) -> String {
        match self {
            Self::Unit { name, .. } => format!("unit {name}"),
            Self::User { name, .. } => format!("user {name}"),
            Self::Group { name, .. } => format!("group {name}"),
            Self::Package { name, .. } => format!("package {name}"),
            Self::Command { name, .. } | Self::Tree { name, .. } => name.clone(),
            Self::Other => "something of a newer kdeploy".to_owned(),
        }
    }
}

impl Line {
    /// As it stands in the ledger.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}
