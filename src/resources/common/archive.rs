//! Reading archives on the control machine: what is in them, with digests, for comparison with a node.
//!
//! tar with gzip, bzip2, xz, zstd or no compression, and zip. Listings of files are kept for the run: every host asks for the same ones.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use crate::problem::Problem;
use crate::world::Algorithm;

/// A shell text: tar with the archive `$1` and the further words, its compression told by its first bytes, as not every tar looks itself.
pub const ANY_TAR: &str = "f=$1; shift; case $(head -c 6 \"$f\" 2>/dev/null | od -An -tx1 | tr -d ' \\n') in \
    1f8b*) z=-z ;; 425a68*) z=-j ;; fd377a58*) z=-J ;; 28b52ffd*) z=--zstd ;; *) z= ;; esac; exec tar $z -f \"$f\" \"$@\"";

/// tar's words for an archive of any compression.
pub fn any_tar<'a>(path: &'a str, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ["sh", "-c", ANY_TAR, "sh", path].into_iter().chain(words).map(str::to_owned).collect()
}

/// What stands behind the five columns of tar's long listing, `-rw-r--r-- root/root 6 2001-02-03 04:05 NAME`: the name, with what it links to.
pub fn long_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.trim_start_matches(' ');
        rest = &rest[rest.find(' ')?..];
    }
    rest.strip_prefix(' ')
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Tar,
    TarGz,
    TarBz2,
    TarXz,
    TarZstd,
    Zip,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// As written in the archive, without a leading `./`; a directory without its final slash.
    pub path: String,
    /// As `tar -t` shows it.
    pub shown: String,
    pub kind: MemberKind,
    /// Permission bits; of a zip without them, none.
    pub mode: Option<u32>,
    pub uid: u32,
    pub gid: u32,
    pub user: String,
    pub group: String,
    /// Seconds since the epoch; 0 in a zip.
    pub mtime: f64,
}

impl Member {
    /// Zip archives name no owners.
    pub fn is_zip(&self) -> bool {
        self.mtime == 0.0 && self.user.is_empty() && self.group.is_empty() && self.uid == 0
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum MemberKind {
    Dir,
    File {
        size: u64,
        sha1: String,
    },
    Link(String),
    /// A second name of an earlier member.
    Hard(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    pub format: Format,
    pub members: Vec<Member>,
}

type Stamp = (PathBuf, u64, Option<std::time::SystemTime>);

static LISTINGS: LazyLock<Mutex<HashMap<Stamp, Arc<Listing>>>> = LazyLock::new(Mutex::default);

/// What is in an archive of the control machine.
pub fn list_file(path: &Path) -> Result<Arc<Listing>, Problem> {
    let wrong = |e: std::io::Error| {
        Problem::new("unreadable-archive", format!("cannot read the archive `{}`: {e}", path.display()))
    };
    let meta = std::fs::metadata(path).map_err(wrong)?;
    let stamp = (path.to_owned(), meta.len(), meta.modified().ok());
    if let Some(known) = LISTINGS.lock().ok().and_then(|map| map.get(&stamp).cloned()) {
        return Ok(known);
    }
    let listing = Arc::new(list(&std::fs::read(path).map_err(wrong)?).map_err(wrong)?);
    if let Ok(mut map) = LISTINGS.lock() {
        map.insert(stamp, listing.clone());
    }
    Ok(listing)
}

/// What is in an archive.
pub fn list(bytes: &[u8]) -> std::io::Result<Listing> {
    let format = format_of(bytes);
    let members = match format {
        Format::Zip => zip_members(bytes)?.into_iter().map(|(member, _)| member).collect(),
        Format::Tar => tar_members(bytes)?,
        Format::TarGz => tar_members(flate2::read::MultiGzDecoder::new(bytes))?,
        Format::TarBz2 => tar_members(bzip2::read::MultiBzDecoder::new(bytes))?,
        Format::TarXz => {
            let mut plain = vec![];
            lzma_rs::xz_decompress(&mut Cursor::new(bytes), &mut plain).map_err(|e| bad(format!("{e:?}")))?;
            tar_members(plain.as_slice())?
        }
        Format::TarZstd => tar_members(ZstdFrames { rest: bytes, plain: Cursor::default() })?,
    };
    Ok(Listing { format, members })
}

/// By its first bytes.
fn format_of(bytes: &[u8]) -> Format {
    match bytes {
        [0x1f, 0x8b, ..] => Format::TarGz,
        [b'B', b'Z', b'h', ..] => Format::TarBz2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::TarXz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::TarZstd,
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Format::Zip,
        _ => Format::Tar,
    }
}

fn bad(what: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.into())
}

/// zstd files may hold several frames one after the other.
struct ZstdFrames<'a> {
    rest: &'a [u8],
    plain: Cursor<Vec<u8>>,
}

impl Read for ZstdFrames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let n = self.plain.read(buffer)?;
            if n > 0 || self.rest.is_empty() || buffer.is_empty() {
                return Ok(n);
            }
            let mut plain = vec![];
            {
                let mut decoder =
                    ruzstd::decoding::StreamingDecoder::new(&mut self.rest).map_err(|e| bad(e.to_string()))?;
                decoder.read_to_end(&mut plain)?;
            }
            self.plain = Cursor::new(plain);
        }
    }
}

fn tar_members(reader: impl Read) -> std::io::Result<Vec<Member>> {
    let mut archive = tar::Archive::new(reader);
    let mut members = vec![];
    for entry in archive.entries()? {
        let mut entry = entry?;
        let shown = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| bad("a name that is not UTF-8"))?;
        let link = |entry: &tar::Entry<_>| -> std::io::Result<String> {
            let bytes = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
            String::from_utf8(bytes).map_err(|_| bad("a link that is not UTF-8"))
        };
        let kind = match entry.header().entry_type() {
            tar::EntryType::Directory => MemberKind::Dir,
            tar::EntryType::Symlink => MemberKind::Link(link(&entry)?),
            tar::EntryType::Link => MemberKind::Hard(clean(&link(&entry)?)),
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let (size, sha1) = digest(&mut entry)?;
                MemberKind::File { size, sha1 }
            }
            // Comments of the whole archive (git's) and the like are no members.
            tar::EntryType::XGlobalHeader => continue,
            other => return Err(bad(format!("a member of type {other:?}: {shown}"))),
        };
        let header = entry.header();
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        members.push(Member {
            path: clean(&shown),
            mode: Some(header.mode()? & 0o7777),
            uid: header.uid().ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
            gid: header.gid().ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
            user: text(header.username_bytes()),
            group: text(header.groupname_bytes()),
            #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^52")]
            mtime: header.mtime().unwrap_or(0) as f64,
            kind,
            shown,
        });
    }
    Ok(members)
}

fn digest(reader: &mut impl Read) -> std::io::Result<(u64, String)> {
    use sha2::Digest;
    let mut sha1 = sha1::Sha1::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            return Ok((size, hex::encode(sha1.finalize())));
        }
        size += n as u64;
        sha1.update(&buffer[..n]);
    }
}

fn clean(path: &str) -> String {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    let path = path.trim_end_matches('/');
    if path == "." { String::new() } else { path.to_owned() }
}

/// The members of a zip archive with their content (of files and links).
pub fn zip_members(bytes: &[u8]) -> std::io::Result<Vec<(Member, Vec<u8>)>> {
    let short = || bad("the zip archive is cut off");
    let u16_at = |at: usize| -> std::io::Result<usize> {
        let pair = bytes.get(at..at + 2).ok_or_else(short)?;
        Ok(usize::from(u16::from_le_bytes([pair[0], pair[1]])))
    };
    let u32_at = |at: usize| -> std::io::Result<usize> { Ok(u16_at(at)? | u16_at(at + 2)? << 16) };
    // The directory's end record stands at the end, followed by a comment of at most 64 KiB.
    let from = bytes.len().saturating_sub(22 + 0xffff);
    let end = (from..=bytes.len().saturating_sub(22))
        .rev()
        .find(|at| bytes[*at..].starts_with(b"PK\x05\x06"))
        .ok_or_else(|| bad("no zip directory"))?;
    let (count, mut at) = (u16_at(end + 10)?, u32_at(end + 16)?);
    if count == 0xffff || at == 0xffff_ffff {
        return Err(bad("zip64 archives are not supported"));
    }
    let mut members = vec![];
    for _ in 0..count {
        if !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x01\x02")) {
            return Err(bad("the zip directory is damaged"));
        }
        let (flags, method) = (u16_at(at + 8)?, u16_at(at + 10)?);
        let (packed, size) = (u32_at(at + 20)?, u32_at(at + 24)?);
        let (name_len, extra_len, comment_len) = (u16_at(at + 28)?, u16_at(at + 30)?, u16_at(at + 32)?);
        let made_by = u16_at(at + 4)? >> 8;
        let attributes = u32_at(at + 38)?;
        let local = u32_at(at + 42)?;
        let name = bytes.get(at + 46..at + 46 + name_len).ok_or_else(short)?;
        let shown = String::from_utf8(name.to_vec()).map_err(|_| bad("a name that is not UTF-8"))?;
        at += 46 + name_len + extra_len + comment_len;
        if flags & 1 != 0 {
            return Err(bad(format!("the member {shown} is encrypted")));
        }
        let start = local + 30 + u16_at(local + 26)? + u16_at(local + 28)?;
        let data = bytes.get(start..start + packed).ok_or_else(short)?;
        let content = match method {
            0 => data.to_vec(),
            8 => {
                let mut content = Vec::with_capacity(size.min(1 << 24));
                flate2::read::DeflateDecoder::new(data).take(size as u64 + 1).read_to_end(&mut content)?;
                content
            }
            _ => return Err(bad(format!("the member {shown} is compressed in an unknown way ({method})"))),
        };
        if content.len() != size {
            return Err(bad(format!("the member {shown} is damaged")));
        }
        // Unix permissions stand in the upper half if a Unix system made the archive.
        let unix = (made_by == 3).then(|| u32::try_from(attributes >> 16).unwrap_or(0));
        let kind = if shown.ends_with('/') {
            MemberKind::Dir
        } else if unix.is_some_and(|m| m & 0o170_000 == 0o120_000) {
            MemberKind::Link(String::from_utf8_lossy(&content).into_owned())
        } else {
            MemberKind::File { size: size as u64, sha1: Algorithm::Sha1.hex(&content) }
        };
        let member = Member {
            path: clean(&shown),
            mode: unix.map(|m| m & 0o7777).filter(|m| *m != 0),
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            mtime: 0.0,
            kind,
            shown,
        };
        members.push((member, content));
    }
    Ok(members)
}

/// Python's `fnmatch`, as tar's `--exclude` and unzip's `-x` understand patterns: `*`, `?`, `[…]`.
pub fn glob(pattern: &str, text: &str) -> bool {
    fn matches(p: &[char], t: &[char]) -> bool {
        match p.split_first() {
            None => t.is_empty(),
            Some(('*', rest)) => (0..=t.len()).any(|i| matches(rest, &t[i..])),
            Some(('?', rest)) => !t.is_empty() && matches(rest, &t[1..]),
            Some(('[', rest)) => {
                let Some(len) = rest.iter().skip(1).position(|c| *c == ']').map(|i| i + 1) else {
                    return t.first() == Some(&'[') && matches(rest, &t[1..]);
                };
                let (set, rest) = (&rest[..len], &rest[len + 1..]);
                let (negated, set) = match set.split_first() {
                    Some(('!' | '^', set)) => (true, set),
                    _ => (false, set),
                };
                let Some(c) = t.first() else { return false };
                let mut found = false;
                let mut i = 0;
                while i < set.len() {
                    if i + 2 < set.len() && set[i + 1] == '-' {
                        found |= set[i] <= *c && *c <= set[i + 2];
                        i += 3;
                    } else {
                        found |= set[i] == *c;
                        i += 1;
                    }
                }
                found != negated && matches(rest, &t[1..])
            }
            Some((c, rest)) => t.first() == Some(c) && matches(rest, &t[1..]),
        }
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball() -> Vec<u8> {
        let mut builder = tar::Builder::new(vec![]);
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append_data(&mut header, "bin/run it", &b"hello"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn every_compression() {
        use std::io::Write;
        let plain = tarball();
        let wanted = list(&plain).unwrap();
        assert_eq!(wanted.format, Format::Tar);
        assert_eq!(wanted.members[0].path, "bin/run it");
        assert_eq!(wanted.members[0].kind, MemberKind::File { size: 5, sha1: Algorithm::Sha1.hex(b"hello") });
        let mut gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        let mut bz = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::fast());
        bz.write_all(&plain).unwrap();
        let mut xz = vec![];
        lzma_rs::xz_compress(&mut plain.as_slice(), &mut xz).unwrap();
        let mut zstd = ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        for (format, bytes) in [
            (Format::TarGz, gz.finish().unwrap()),
            (Format::TarBz2, bz.finish().unwrap()),
            (Format::TarXz, xz),
            (Format::TarZstd, std::mem::take(&mut zstd)),
        ] {
            let listing = list(&bytes).unwrap();
            assert_eq!((listing.format, listing.members), (format, wanted.members.clone()));
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        assert!(list(b"PK\x03\x04 and no more").is_err());
        assert!(list(&[0x1f, 0x8b, 8, 0, 0]).is_err());
        assert!(list(&tarball()[..600]).is_ok_and(|l| l.members.len() == 1) || list(&tarball()[..514]).is_err());
    }

    #[test]
    fn globs() {
        assert!(glob("*.md", "a/b.md"));
        assert!(glob("bin/[a-c]?", "bin/bx"));
        assert!(!glob("bin/[!a-c]?", "bin/bx"));
        assert!(!glob("bin", "bin/x"));
    }
}
