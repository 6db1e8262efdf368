//! OpenSSH's known_hosts files: lookup (plain, patterns, hashed, `[host]:port`, markers) and adding a key.
//!
//! Our own reader, because libssh2's knows neither patterns nor `@revoked` and forgets where a line stands.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha1::Digest;

/// A line that speaks of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub file: PathBuf,
    pub line: usize,
    pub marker: Marker,
    /// `ssh-ed25519` …
    pub kind: String,
    pub key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    None,
    Revoked,
    CertAuthority,
}

/// What the files say of a host's key.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Known,
    Unknown,
    /// Another key of the same type is on file.
    Changed(Known),
    Revoked(Known),
    /// Only a certificate authority is on file for this host.
    OnlyAuthority,
}

/// All lines of the files for a host, in order.
pub fn lookup(files: &[PathBuf], host: &str, port: u16) -> Vec<Known> {
    let name = entry_name(host, port);
    let mut found = vec![];
    for file in files {
        let Ok(bytes) = fs::read(file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            found.extend(parse(line, &name).map(|(marker, kind, key)| Known {
                file: file.clone(),
                line: number + 1,
                marker,
                kind,
                key,
            }));
        }
    }
    found
}

pub fn judge(known: &[Known], kind: &str, key: &[u8]) -> Verdict {
    if let Some(revoked) = known.iter().find(|k| k.marker == Marker::Revoked && k.key == key) {
        return Verdict::Revoked(revoked.clone());
    }
    let plain = || known.iter().filter(|k| k.marker == Marker::None);
    if plain().any(|k| k.key == key) {
        return Verdict::Known;
    }
    match plain().find(|k| k.kind == kind).or_else(|| plain().next()) {
        Some(other) => Verdict::Changed(other.clone()),
        None if known.iter().any(|k| k.marker == Marker::CertAuthority) => Verdict::OnlyAuthority,
        None => Verdict::Unknown,
    }
}

/// The name a host has in known_hosts.
fn entry_name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

fn parse(line: &str, name: &str) -> Option<(Marker, String, Vec<u8>)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let mut hosts = words.next()?;
    let marker = match hosts {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::CertAuthority,
        _ => Marker::None,
    };
    if marker != Marker::None {
        hosts = words.next()?;
    }
    if !names(hosts, name) {
        return None;
    }
    let kind = words.next()?.to_owned();
    let key = STANDARD.decode(words.next()?).ok()?;
    Some((marker, kind, key))
}

fn names(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        let Some((salt, hash)) = hashed.split_once('|') else { return false };
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
        return hmac_sha1(&salt, name.as_bytes()) == hash;
    }
    let mut matched = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if glob(pattern.to_lowercase().as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= glob(pattern.to_lowercase().as_bytes(), name.as_bytes()),
        }
    }
    matched
}

/// `*` and `?`, nothing else.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((sp, st)) => {
                    p = sp + 1;
                    t = st + 1;
                    star = Some((sp, st + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..20].copy_from_slice(&sha1::Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |x: u8| block.iter().map(|b| b ^ x).collect::<Vec<u8>>();
    let inner = sha1::Sha1::digest([&pad(0x36)[..], message].concat());
    sha1::Sha1::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

/// `SHA256:…` as OpenSSH prints it.
pub fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(sha2::Sha256::digest(key)))
}

/// The type name inside a key blob.
pub fn kind_of(key: &[u8]) -> String {
    let length = key.get(..4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
    String::from_utf8_lossy(key.get(4..4 + length).unwrap_or_default()).into_owned()
}

/// Appends a key. One writer at a time within this program; a line is one write.
pub fn add(file: &Path, host: &str, port: u16, key: &[u8], hash: bool) -> std::io::Result<()> {
    static WRITING: Mutex<()> = Mutex::new(());
    let _guard = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(dir) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let name = entry_name(host, port);
    let name = if hash {
        let mut salt = [0u8; 20];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut salt)?;
        format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hmac_sha1(&salt, name.as_bytes())))
    } else {
        name
    };
    let unfinished = fs::read(file).is_ok_and(|b| b.last().is_some_and(|c| *c != b'\n'));
    let line = format!("{}{name} {} {}\n", if unfinished { "\n" } else { "" }, kind_of(key), STANDARD.encode(key));
    OpenOptions::new().append(true).create(true).mode(0o600).open(file)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, filling: u8) -> Vec<u8> {
        [&(kind.len() as u32).to_be_bytes()[..], kind.as_bytes(), &[filling; 36]].concat()
    }

    #[test]
    fn lines_speak_of_hosts_by_name_pattern_port_and_hash() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("sub/known_hosts");
        let k = key("ssh-ed25519", 1);
        let b64 = STANDARD.encode(&k);
        add(&file, "Plain", 22, &k, false).expect("added");
        add(&file, "ported", 2222, &k, false).expect("added");
        add(&file, "hashed", 2222, &k, true).expect("added");
        let mut text = fs::read_to_string(&file).expect("read");
        assert!(!text.contains("hashed"));
        text += &format!(
            "# c\n*.example.org,!bad.example.org,10.0.?.1 ssh-ed25519 {b64}\n@revoked * ssh-ed25519 {}\n",
            STANDARD.encode(key("ssh-ed25519", 9))
        );
        fs::write(&file, text).expect("written");
        let files = [dir.path().join("none"), file];
        let verdict = |host: &str, port, k: &[u8]| judge(&lookup(&files, host, port), "ssh-ed25519", k);
        assert_eq!(verdict("plain", 22, &k), Verdict::Known);
        assert_eq!(verdict("plain", 2222, &k), Verdict::Unknown);
        assert_eq!(verdict("ported", 2222, &k), Verdict::Known);
        assert_eq!(verdict("hashed", 2222, &k), Verdict::Known);
        assert_eq!(verdict("a.example.org", 22, &k), Verdict::Known);
        assert_eq!(verdict("bad.example.org", 22, &k), Verdict::Unknown);
        assert_eq!(verdict("10.0.7.1", 22, &k), Verdict::Known);
        assert!(matches!(verdict("plain", 22, &key("ssh-ed25519", 2)), Verdict::Changed(known) if known.line == 1));
        assert!(matches!(verdict("plain", 22, &key("ssh-ed25519", 9)), Verdict::Revoked(_)));
    }
}
