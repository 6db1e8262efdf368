//! Replies about files: `stat`, digests, contents, trees.

use std::sync::Arc;

use memchr::memmem;

use super::{Reply, complaint, complaints};
use crate::world::{Algorithm, Answer, FileKind, Stat, TreeEntry};

/// One record of the `stat` format: `mode:uid:gid:user:group:size:mtime:atime:ctime:inode:device:links:name`.
struct Record {
    stat: Stat,
    name: Vec<u8>,
}

fn parse(record: &[u8]) -> Option<Record> {
    if let Some(rest) = record.strip_prefix(b"ls ") {
        return parse_ls(rest);
    }
    let mut fields = record.splitn(13, |b| *b == b':');
    let mut next = || fields.next().map(String::from_utf8_lossy);
    let mode = u32::from_str_radix(&next()?, 16).ok()?;
    let uid = next()?.parse().ok()?;
    let gid = next()?.parse().ok()?;
    let known = |name: &str| if name == "UNKNOWN" { String::new() } else { name.to_owned() };
    let owner = known(&next()?);
    let group = known(&next()?);
    let size = next()?.parse().ok()?;
    let mut time = || next()?.parse::<f64>().ok();
    let (mtime, atime, ctime) = (time()?, time()?, time()?);
    let inode = next()?.parse().ok()?;
    let device = next()?.parse().ok()?;
    let links = next()?.parse().ok()?;
    let name = fields.next()?;
    let name = name.strip_suffix(b"\n").unwrap_or(name).to_vec();
    let stat = Stat {
        kind: kind_of_mode(mode),
        mode: mode & 0o7777,
        uid,
        gid,
        owner,
        group,
        size,
        mtime,
        atime,
        ctime,
        inode,
        device,
        links,
        target: None,
        real: None,
    };
    Some(Record { stat, name })
}

/// `ls -dn` of a node without `stat`: `-rw-r--r-- 1 0 0 123 Jan  1 00:00 name`, then the name on a line of its own.
/// Times and inode are not known.
fn parse_ls(record: &[u8]) -> Option<Record> {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let text = String::from_utf8_lossy(record);
    let mut words = text.split_ascii_whitespace();
    let mode = words.next()?.to_owned();
    let links = words.next()?.parse().ok()?;
    let uid = words.next()?.parse().ok()?;
    let gid = words.next()?.parse().ok()?;
    let size = words.next()?.parse().unwrap_or(0);
    let (_, name) = text.split_once('\n')?;
    let kind = match mode.as_bytes().first()? {
        b'd' => FileKind::Directory,
        b'l' => FileKind::Link,
        b'c' => FileKind::CharDevice,
        b'b' => FileKind::BlockDevice,
        b'p' => FileKind::Fifo,
        b's' => FileKind::Socket,
        _ => FileKind::File,
    };
    let mut bits = 0;
    for (i, c) in mode.bytes().skip(1).take(9).enumerate() {
        if !matches!(c, b'-' | b'S' | b'T') {
            bits |= 0o400 >> i;
        }
        if matches!(c, b's' | b'S' | b't' | b'T') {
            bits |= 0o4000 >> (i / 3);
        }
    }
    let stat = Stat {
        kind,
        mode: bits,
        uid,
        gid,
        owner: String::new(),
        group: String::new(),
        size,
        mtime: 0.0,
        atime: 0.0,
        ctime: 0.0,
        inode: 0,
        device: 0,
        links,
        target: None,
        real: None,
    };
    Some(Record { stat, name: name.as_bytes().to_vec() })
}

fn kind_of_mode(mode: u32) -> FileKind {
    match mode & 0o170_000 {
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Link,
        0o020_000 => FileKind::CharDevice,
        0o060_000 => FileKind::BlockDevice,
        0o010_000 => FileKind::Fifo,
        0o140_000 => FileKind::Socket,
        _ => FileKind::File,
    }
}

/// The records of a `stat` reply: each begins with `NONCE+`.
fn records<'a>(body: &'a [u8], nonce: &str) -> Vec<&'a [u8]> {
    let separator = format!("{nonce}+");
    let starts: Vec<usize> = memmem::find_iter(body, separator.as_bytes()).collect();
    let ends = starts.iter().skip(1).copied().chain([body.len()]);
    starts.iter().zip(ends).map(|(start, end)| &body[start + separator.len()..end]).collect()
}

pub fn stats(paths: &[String], follow: bool, reply: &Reply, nonce: &str) -> Vec<Answer> {
    let mut found = records(reply.body("o"), nonce).into_iter().filter_map(parse).peekable();
    let mut stats: Vec<Option<Stat>> = vec![];
    for path in paths {
        stats.push(found.next_if(|r| r.name == path.as_bytes()).map(|r| r.stat));
    }
    if !follow {
        let zeros = |tag: &str| -> Vec<String> {
            let body = reply.body(tag);
            body.split(|b| *b == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect()
        };
        let (targets, reals) = (zeros("l"), zeros("r"));
        let links: Vec<&mut Stat> = stats.iter_mut().flatten().filter(|s| s.kind == FileKind::Link).collect();
        // Each target ends with a NUL; another count means that links came or went meanwhile.
        if targets.len() == links.len() + 1 {
            let real_known = reals.len() == links.len() + 1;
            for (i, stat) in links.into_iter().enumerate() {
                stat.target = Some(targets[i].clone());
                stat.real = (real_known && !reals[i].is_empty()).then(|| reals[i].clone());
            }
        }
    }
    let tool = if command_is_ls(reply) { "ls" } else { "stat" };
    let errors = complaints(&reply.text("e"), tool);
    let mut lines = errors.iter();
    stats
        .into_iter()
        .map(|stat| match stat {
            Some(stat) => Answer::Stat(Some(stat)),
            None => complaint(lines.next()).map_or(Answer::Stat(None), Answer::Failed),
        })
        .collect()
}

/// The node has no `stat`.
fn command_is_ls(reply: &Reply) -> bool {
    reply.body("e").starts_with(b"ls: ")
}

/// What the shell said of each path before the tool ran: `f` a readable file, `u` unreadable, `-` no regular file.
fn kinds(reply: &Reply) -> &[u8] {
    reply.body("t")
}

fn unreadable(path: &str) -> Answer {
    Answer::Failed(format!("{path}: permission denied"))
}

pub fn digests(paths: &[String], algorithm: Algorithm, reply: &Reply) -> Vec<Answer> {
    let body = reply.body("o");
    let mut at = 0;
    let errors = complaints(&reply.text("e"), &format!("{}sum", algorithm.name()));
    let mut lines = errors.iter();
    let mut answers = vec![];
    for (path, kind) in paths.iter().zip(kinds(reply)) {
        match kind {
            b'-' => answers.push(Answer::Digest(None)),
            b'u' => answers.push(unreadable(path)),
            _ => match take_digest(&body[at..], path) {
                Some((digest, length)) => {
                    at += length;
                    answers.push(Answer::Digest(Some(digest)));
                }
                None => answers.push(complaint(lines.next()).map_or(Answer::Digest(None), Answer::Failed)),
            },
        }
    }
    answers.resize(paths.len(), Answer::Failed("the node's digest tool failed".into()));
    answers
}

/// `HEX  NAME`, or with GNU's escapes `\HEX  NAME` where the name holds a newline or backslash.
fn take_digest(body: &[u8], path: &str) -> Option<(String, usize)> {
    let escaped = body.first() == Some(&b'\\');
    let from = usize::from(escaped);
    let length = body[from..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let name =
        if escaped { path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r") } else { path.to_owned() };
    let rest = body.get(from + length..)?;
    let rest = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?.strip_prefix(name.as_bytes())?;
    let end = rest.strip_prefix(b"\n")?;
    let digest = String::from_utf8_lossy(&body[from..from + length]).into_owned();
    Some((digest, body.len() - end.len()))
}

pub fn contents(paths: &[String], reply: &Reply, nonce: &str) -> Vec<Answer> {
    let separator = format!("{nonce}+");
    let body = reply.body("o");
    let mut at = 0;
    let errors = complaints(&reply.text("e"), "cat");
    let mut answers = vec![];
    for (path, kind) in paths.iter().zip(kinds(reply)) {
        match kind {
            b'-' => answers.push(Answer::Content(None)),
            b'u' => answers.push(unreadable(path)),
            _ => {
                let Some(end) = memmem::find(&body[at..], separator.as_bytes()) else { break };
                let bytes = &body[at..at + end];
                at += end + separator.len();
                // `cat` said why it could not read it, or read only a part of it.
                let about =
                    [format!("cat: {path}: "), format!("cat: can't open '{path}': "), format!("cat: '{path}': ")];
                let trouble = errors.iter().find(|l| about.iter().any(|a| l.starts_with(a.as_str())));
                answers.push(match trouble {
                    Some(line) => complaint(Some(line)).map_or(Answer::Content(None), Answer::Failed),
                    None => Answer::Content(Some(Arc::new(bytes.to_vec()))),
                });
            }
        }
    }
    let why = errors.first().map_or("the node could not read the file", String::as_str);
    answers.resize(paths.len(), Answer::Failed(why.to_owned()));
    answers
}

pub fn tree(root: &str, reply: &Reply, nonce: &str) -> Answer {
    if reply.has("none") {
        return Answer::Tree(Arc::default());
    }
    let body = reply.body("o");
    let mut entries: Vec<TreeEntry> = if body.starts_with(nonce.as_bytes()) {
        let mut links = reply.body("l").split(|b| *b == 0);
        let mut targets = std::collections::HashMap::new();
        while let (Some(path), Some(target)) = (links.next(), links.next()) {
            targets.insert(path.to_vec(), String::from_utf8_lossy(target).into_owned());
        }
        let prefix = format!("{root}/");
        records(body, nonce)
            .into_iter()
            .filter_map(parse)
            .filter_map(|mut r| {
                r.stat.target = targets.remove(&r.name);
                let path = r.name.strip_prefix(prefix.as_bytes())?;
                let path = path.iter().position(|b| *b != b'/').map(|i| &path[i..])?;
                Some(TreeEntry { path: String::from_utf8_lossy(path).into_owned(), stat: r.stat })
            })
            .collect()
    } else {
        let mut fields = body.split(|b| *b == 0);
        let mut entries = vec![];
        while let (Some(record), Some(target)) = (fields.next(), fields.next()) {
            if let Some(mut entry) = parse_found(record) {
                if entry.stat.kind == FileKind::Link {
                    entry.stat.target = Some(String::from_utf8_lossy(target).into_owned());
                }
                entries.push(entry);
            }
        }
        entries
    };
    if entries.is_empty() && reply.rc != 0 {
        return Answer::Failed(reply.text("e").lines().next().unwrap_or("the node's `find` failed").to_owned());
    }
    entries.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
    Answer::Tree(Arc::new(entries))
}

/// `find -printf`: `type:mode:uid:gid:user:group:size:mtime:atime:ctime:inode:device:links:path`.
fn parse_found(record: &[u8]) -> Option<TreeEntry> {
    let mut fields = record.splitn(14, |b| *b == b':');
    let mut next = || fields.next().map(String::from_utf8_lossy);
    let kind = match next()?.as_ref() {
        "d" => FileKind::Directory,
        "l" => FileKind::Link,
        "c" => FileKind::CharDevice,
        "b" => FileKind::BlockDevice,
        "p" => FileKind::Fifo,
        "s" => FileKind::Socket,
        _ => FileKind::File,
    };
    let mode = u32::from_str_radix(&next()?, 8).ok()?;
    let uid: u32 = next()?.parse().ok()?;
    let gid: u32 = next()?.parse().ok()?;
    // `find` prints the number where there is no name.
    let name_of = |name: &str, id: u32| if name == id.to_string() { String::new() } else { name.to_owned() };
    let owner = name_of(&next()?, uid);
    let group = name_of(&next()?, gid);
    let size = next()?.parse().ok()?;
    let mut time = || next()?.parse::<f64>().ok();
    let (mtime, atime, ctime) = (time()?, time()?, time()?);
    let inode = next()?.parse().ok()?;
    let device = next()?.parse().ok()?;
    let links = next()?.parse().ok()?;
    let path = next()?.into_owned();
    let stat = Stat {
        kind,
        mode,
        uid,
        gid,
        owner,
        group,
        size,
        mtime,
        atime,
        ctime,
        inode,
        device,
        links,
        target: None,
        real: None,
    };
    Some(TreeEntry { path, stat })
}
