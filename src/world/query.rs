//! Questions about a node's state.

use crate::blob::Algorithm;

/// One question about a node's state. Answering it never changes the node.
///
/// Paths are absolute and hold no NUL; `~` was expanded before. Each variant names the [`super::Answer`] it gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Query {
    /// → `Answer::Stat`. `follow` resolves a symbolic link at the end of the path.
    Stat { path: String, follow: bool },
    /// → `Answer::Digest`: hex digest of a regular file (links followed); `None` if there is no such file.
    Digest { path: String, algorithm: Algorithm },
    /// → `Answer::Content`: all bytes of a regular file (links followed); `None` if there is no such file.
    Content { path: String },
    /// → `Answer::Tree`: everything below a directory (not itself), links not followed, depth first by name; empty if there is no such directory.
    Tree { path: String, max_depth: Option<u32> },
    /// → `Answer::Unit`: a systemd unit (name with its suffix) of the system manager, or of the become-user's with `user`.
    Unit { name: String, user: bool },
    /// → `Answer::Account`.
    Account { name: String },
    /// → `Answer::Group`.
    Group { name: String },
    /// → `Answer::Package`, by the node's own package database (dpkg, rpm, apk, pacman).
    Package { name: String },
    /// → `Answer::Package` with `candidate`: what the configured repositories would install (costs more than `Package`).
    Candidate { name: String },
    /// → `Answer::Output`: a command that only reads. Never through a shell; `stdin` is empty. A program that is not there: rc 127.
    Read { argv: Vec<String> },
    /// → `Answer::Source`, only ever predicted, never asked of a node: where the control machine can have the bytes that an earlier
    /// planned step puts at this path.
    Source { path: String },
    /// → `Answer::Facts`: Ansible's facts without the `ansible_` prefix.
    Facts,
}

/// A shell text for an entry of `$1` (passwd, group) by its number `$2`: busybox has no getent.
pub const ENTRY_BY_NUMBER: &str = "getent \"$1\" \"$2\" 2>/dev/null || grep -m 1 \"^[^:]*:[^:]*:$2:\" \"/etc/$1\"";

impl Query {
    /// The name behind a number is in its answer.
    pub fn entry(database: &str, id: u32) -> Self {
        Self::Read { argv: ["sh", "-c", ENTRY_BY_NUMBER, "sh", database, &id.to_string()].map(str::to_owned).to_vec() }
    }

    /// What is asked, in words that stay the same from a plan to its apply.
    pub fn words(&self) -> String {
        match self {
            Query::Stat { path, follow: false } => format!("state of {path}"),
            Query::Stat { path, follow: true } => format!("state of {path} (links followed)"),
            Query::Digest { path, algorithm: Algorithm::Sha256 } | Query::Content { path } => {
                format!("content of {path}")
            }
            Query::Digest { path, algorithm } => format!("{} of {path}", algorithm.name()),
            Query::Tree { path, max_depth: None } => format!("what is below {path}"),
            Query::Tree { path, max_depth: Some(depth) } => format!("what is below {path} ({depth} deep)"),
            Query::Unit { name, .. } => format!("unit {name}"),
            Query::Account { name } => format!("user {name}"),
            Query::Group { name } => format!("group {name}"),
            Query::Package { name } => format!("package {name}"),
            Query::Candidate { name } => format!("candidate of package {name}"),
            Query::Read { argv } => format!("output of `{}`", argv.join(" ")),
            Query::Source { path } => format!("source of {path}"),
            Query::Facts => "facts".to_owned(),
        }
    }
}
