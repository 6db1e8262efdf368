//! Questions about a node's state.

/// One question about a node's state. Answering it never changes the node.
///
/// Paths are absolute and hold no NUL; `~` was expanded before. Each variant names the [`super::Answer`] it gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// → `Answer::Facts`: Ansible's facts without the `ansible_` prefix.
    Facts,
}

/// Digest algorithms a node can compute with coreutils or busybox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub const ALL: [Self; 6] = [Self::Md5, Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// By Ansible's name (`sha256`).
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Hex digest of bytes on the control machine.
    pub fn hex(self, bytes: &[u8]) -> String {
        use sha2::Digest;
        match self {
            Self::Md5 => hex::encode(md5::Md5::digest(bytes)),
            Self::Sha1 => hex::encode(sha1::Sha1::digest(bytes)),
            Self::Sha224 => hex::encode(sha2::Sha224::digest(bytes)),
            Self::Sha256 => hex::encode(sha2::Sha256::digest(bytes)),
            Self::Sha384 => hex::encode(sha2::Sha384::digest(bytes)),
            Self::Sha512 => hex::encode(sha2::Sha512::digest(bytes)),
        }
    }
}
