//! Bytes of the control machine that travel to nodes, and their digests.
//!
//! Spoken of by resources, by predictions (a file that will come from a download can be looked into before) and by node/.

use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that travel to a node.
#[derive(Debug, Clone)]
pub enum Blob {
    Bytes(Arc<Vec<u8>>),
    /// A file on the control machine.
    File(PathBuf),
    /// Downloaded once by the control machine, verified, kept in its cache by digest.
    Download(Arc<Download>),
}

/// What the control machine is to download.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Download {
    pub url: String,
    /// Expected hex digest; a mismatch is an error and nothing is kept.
    pub checksum: Option<(Algorithm, String)>,
    pub headers: Vec<(String, String)>,
    /// Files of a client's certificate and key in PEM; the key may stand in the first.
    pub client: Option<(std::path::PathBuf, std::path::PathBuf)>,
    pub username: Option<String>,
    pub password: Option<String>,
    /// Seconds.
    pub timeout: u64,
    pub validate_certs: bool,
    /// Do not take it from the cache.
    pub force: bool,
}

impl Download {
    /// Of an address and nothing else, with half a minute to answer.
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            checksum: None,
            headers: vec![],
            client: None,
            username: None,
            password: None,
            timeout: 30,
            validate_certs: true,
            force: false,
        }
    }
}

/// Digest algorithms a node can compute with coreutils or busybox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
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
