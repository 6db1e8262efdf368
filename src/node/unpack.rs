//! `Unpack`: members are looked at before anything is extracted; one that would land outside refuses the archive.

use std::io::Read;
use std::sync::Arc;

use super::act::split_words;
use super::blob;
use super::quote::{quote, quote_all};
use super::shell::Piece;
use super::{Action, Blob, Owner};
use crate::resources::common::archive::{self, Format, Member, MemberKind};
use crate::world::{Answer, Query};

/// Why a set of members must not be extracted, if so. Each is a name and, for a link, where it points.
fn escape<'a>(members: impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone) -> Option<String> {
    let outside = |path: &str| path.starts_with('/') || path.split('/').any(|part| part == "..");
    let parts = |path: &'a str| path.split('/').filter(|p| !p.is_empty() && *p != ".").collect::<Vec<_>>();
    let mut links: Vec<Vec<&str>> = vec![];
    let mut leaving = false;
    for (path, link) in members.clone() {
        if outside(path) {
            return Some(format!("its member `{path}` would land outside the destination"));
        }
        if let Some(target) = link {
            // `a/b/../c` stays inside as long as it does not climb above the root of the archive.
            let mut level = i64::try_from(parts(path).len()).unwrap_or(i64::MAX) - 1;
            leaving |= target.starts_with('/');
            for part in parts(target) {
                level += if part == ".." { -1 } else { 1 };
                leaving |= level < 0;
            }
            links.push(parts(path));
        }
    }
    if !leaving {
        return None;
    }
    // A link that leads outside is harmless alone. Links may lead to links: with one that leaves, none may be gone through.
    for (path, _) in members {
        let path = parts(path);
        if let Some(link) = links.iter().find(|link| path.len() > link.len() && path.starts_with(link)) {
            let (path, link) = (path.join("/"), link.join("/"));
            return Some(format!("its member `{path}` would land outside the destination through the link `{link}`"));
        }
    }
    None
}

fn escape_of(members: &[Member]) -> Option<String> {
    // A hard link names another member; one that leads outside would give away or overwrite what is there.
    let hard = members.iter().find_map(|m| match &m.kind {
        MemberKind::Hard(to) if to.starts_with('/') || to.split('/').any(|p| p == "..") => {
            Some(format!("its member `{}` is a hard link to `{to}`, outside the destination", m.shown))
        }
        _ => None,
    });
    let pairs = members.iter().map(|m| {
        let link = match &m.kind {
            MemberKind::Link(to) => Some(to.as_str()),
            _ => None,
        };
        (m.shown.as_str(), link)
    });
    // What a hard link names is reached by its path as well.
    let named = members.iter().filter_map(|m| match &m.kind {
        MemberKind::Hard(to) => Some((to.as_str(), None)),
        _ => None,
    });
    hard.or_else(|| escape(pairs.chain(named)))
}

/// A sent archive made ready: what to stream, and tar's option for its compression.
pub(super) fn prepare(blob: &Blob, tools: &[String]) -> Result<(Piece, &'static str), String> {
    let unreadable = |e: std::io::Error| format!("cannot read the archive: {e}");
    let (listing, path) = match blob {
        Blob::Bytes(bytes) => (Arc::new(archive::list(bytes).map_err(unreadable)?), None),
        Blob::File(path) => (archive::list_file(path).map_err(|p| p.message)?, Some(path.clone())),
        Blob::Download(download) => {
            let (path, _) = super::download::fetch(download).map_err(|p| p.message)?;
            (archive::list_file(&path).map_err(|p| p.message)?, Some(path))
        }
    };
    if let Some(why) = escape_of(&listing.members) {
        return Err(format!("refused: {why}"));
    }
    let has = |tool: &str| tools.iter().any(|t| t == tool);
    let option = match listing.format {
        Format::Tar => Some(""),
        Format::TarGz if has("gzip") => Some("-z"),
        Format::TarBz2 if has("bzip2") => Some("-j"),
        Format::TarXz if has("xz") => Some("-J"),
        Format::TarZstd if has("zstd") => Some("--zstd"),
        _ => None,
    };
    if let Some(option) = option {
        let piece = match path {
            Some(path) => blob::open_file(&path)?,
            None => blob::open(blob)?,
        };
        return Ok((piece, option));
    }
    // The node lacks the program: it is sent unpacked, as a plain tar.
    let bytes = match (&path, blob) {
        (Some(path), _) => std::fs::read(path).map_err(unreadable)?,
        (None, Blob::Bytes(bytes)) => bytes.to_vec(),
        (None, _) => unreachable!("files and downloads have a path"),
    };
    let plain = plain_tar(&bytes, listing.format).map_err(unreadable)?;
    Ok((Piece::Bytes(Arc::new(plain)), ""))
}

fn plain_tar(bytes: &[u8], format: Format) -> std::io::Result<Vec<u8>> {
    let mut plain = vec![];
    match format {
        Format::Tar => return Ok(bytes.to_vec()),
        Format::TarGz => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain)?),
        Format::TarBz2 => drop(bzip2::read::MultiBzDecoder::new(bytes).read_to_end(&mut plain)?),
        Format::TarXz => lzma_rs::xz_decompress(&mut std::io::Cursor::new(bytes), &mut plain)
            .map_err(|e| std::io::Error::other(format!("{e:?}")))?,
        Format::TarZstd => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest)
                    .map_err(|e| std::io::Error::other(e.to_string()))?;
                frame.read_to_end(&mut plain)?;
            }
        }
        Format::Zip => {
            let mut tar = tar::Builder::new(&mut plain);
            for (member, content) in archive::zip_members(bytes)? {
                let mut header = tar::Header::new_gnu();
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                match &member.kind {
                    MemberKind::Dir => {
                        header.set_entry_type(tar::EntryType::Directory);
                        header.set_mode(member.mode.unwrap_or(0o755));
                        header.set_size(0);
                        tar.append_data(&mut header, &member.path, std::io::empty())?;
                    }
                    MemberKind::Link(to) => {
                        header.set_entry_type(tar::EntryType::Symlink);
                        header.set_mode(0o777);
                        header.set_size(0);
                        tar.append_link(&mut header, &member.path, to)?;
                    }
                    MemberKind::File { .. } | MemberKind::Hard(_) => {
                        header.set_entry_type(tar::EntryType::Regular);
                        header.set_mode(member.mode.unwrap_or(0o644));
                        header.set_size(content.len() as u64);
                        tar.append_data(&mut header, &member.path, content.as_slice())?;
                    }
                }
            }
            tar.finish()?;
        }
    }
    Ok(plain)
}

/// What must be asked of the node before an archive that lies there is unpacked.
pub(super) fn questions(path: &str) -> Vec<Query> {
    let read = |argv: &[&str]| Query::Read { argv: argv.iter().map(|s| (*s).to_owned()).collect() };
    vec![
        read(&["head", "-c", "4", path]),
        Query::Read { argv: archive::any_tar(path, ["-tv"]) },
        read(&["unzip", "-Z1", path]),
        read(&["unzip", "-Z", path]),
    ]
}

/// The name in a line of tar's long listing, `lrwxrwxrwx user/group 0 2001-02-03 04:05:06 NAME -> TARGET`: all it might be, as an arrow may
/// stand in the name itself.
fn long_names(line: &str) -> Vec<String> {
    let Some(name) = archive::long_name(line) else { return vec![] };
    let arrow = match line.as_bytes().first() {
        Some(b'l') => " -> ",
        Some(b'h') => " link to ",
        _ => return vec![name.to_owned()],
    };
    name.match_indices(arrow).map(|(i, _)| name[..i].to_owned()).collect()
}

/// Judges the answers: true if the archive is a zip.
pub(super) fn judge(path: &str, answers: &[Answer]) -> Result<bool, String> {
    let text = |i: usize| match answers.get(i) {
        Some(Answer::Output(o)) => {
            (o.rc, String::from_utf8_lossy(&o.stdout).into_owned(), String::from_utf8_lossy(&o.stderr).into_owned())
        }
        _ => (-1, String::new(), String::new()),
    };
    let (rc, magic, stderr) = text(0);
    if rc != 0 {
        return Err(format!("cannot read `{path}`: {}", stderr.trim()));
    }
    let zip = magic.starts_with("PK\u{3}\u{4}") || magic.starts_with("PK\u{5}\u{6}");
    let (names, long) = if zip {
        (text(2), text(3))
    } else {
        let long = text(1);
        let names: Vec<String> = long.1.lines().flat_map(long_names).collect();
        ((long.0, names.join("\n"), long.2.clone()), long)
    };
    if names.0 != 0 {
        let missing = if names.0 == 127 && zip { "the node has no `unzip`" } else { names.2.trim() };
        return Err(format!("cannot list `{path}`: {missing}"));
    }
    // `lrwxrwxrwx user/group 0 date time NAME -> TARGET`; where unzip names no target it counts as leading outside.
    let links: Vec<(String, String)> = long
        .1
        .lines()
        .filter(|l| l.starts_with('l'))
        .filter_map(|line| {
            let (left, target) = line.split_once(" -> ").unwrap_or((line, "/"));
            // Where the name ends and the target begins cannot be told: it counts as leading outside.
            let target = if target.contains(" -> ") { "/" } else { target };
            let name = names.1.lines().filter(|n| left.ends_with(&format!(" {n}"))).max_by_key(|n| n.len())?;
            Some((name.to_owned(), target.to_owned()))
        })
        .collect();
    let hard = long.1.lines().filter(|l| l.starts_with('h')).find_map(|line| {
        let target = line.rsplit_once(" link to ")?.1;
        (target.starts_with('/') || target.split('/').any(|p| p == "..")).then(|| target.to_owned())
    });
    if let Some(target) = hard {
        return Err(format!("refused: a member is a hard link to `{target}`, outside the destination"));
    }
    let members: Vec<(&str, Option<&str>)> = names
        .1
        .lines()
        .map(|name| (name, links.iter().find(|(n, _)| n == name).map(|(_, target)| target.as_str())))
        .collect();
    match escape(members.into_iter()) {
        Some(why) => Err(format!("refused: {why}")),
        None => Ok(zip),
    }
}

/// The steps that extract; the archive is the blob or lies on the node.
pub(super) fn script(action: &Action, on_node: Option<(&str, bool)>, compression: &str) -> String {
    let Action::Unpack { dest, options, include, exclude, keep_owner, owner, mode, .. } = action else {
        unreachable!("only for Unpack")
    };
    let options: Vec<String> = options.iter().flat_map(|o| split_words(o).unwrap_or_else(|| vec![o.clone()])).collect();
    let after = format!("{} {}", quote(&chown_word(owner)), quote(mode.as_deref().unwrap_or("")));
    if let Some((source, true)) = on_node {
        let mut words = vec!["-o".to_owned()];
        words.extend(options);
        words.extend([source.to_owned()]);
        words.extend(include.iter().cloned());
        if !exclude.is_empty() {
            words.push("-x".to_owned());
            words.extend(exclude.iter().cloned());
        }
        return format!("kd_unzip {} {after} {}", quote(dest), quote_all(words));
    }
    let mut words: Vec<String> = vec![];
    if !compression.is_empty() {
        words.push(compression.to_owned());
    }
    if !keep_owner {
        words.push("-o".to_owned());
    }
    words.extend(options);
    words.extend(exclude.iter().map(|e| format!("--exclude={e}")));
    words.push("-f".to_owned());
    words.push(on_node.map_or("-", |(source, _)| source).to_owned());
    if !include.is_empty() {
        words.push("--".to_owned());
        words.extend(include.iter().cloned());
    }
    // Where the archive is, or that it is sent.
    let how = on_node.map_or_else(|| "s".to_owned(), |(source, _)| quote(source));
    format!("kd_untar {how} {} {after} {}", quote(dest), quote_all(words))
}

fn chown_word(owner: &Owner) -> String {
    match (&owner.user, &owner.group) {
        (None, None) => String::new(),
        (Some(user), None) => user.clone(),
        (user, Some(group)) => format!("{}:{group}", user.as_deref().unwrap_or("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_outside_are_found() {
        let judge = |list: &[(&str, Option<&str>)]| escape(list.iter().copied());
        assert_eq!(judge(&[("./a/b", None), ("a/l", Some("../c")), ("a/l/x", None)]), None);
        assert!(judge(&[("/etc/x", None)]).is_some());
        assert!(judge(&[("a/../../x", None)]).is_some());
        // A link that leads outside is harmless alone (sbin -> /usr/sbin), not when something goes through it.
        assert_eq!(judge(&[("a", Some("/etc"))]), None);
        assert!(judge(&[("a", Some("/etc")), ("a/x", None)]).is_some());
        assert!(judge(&[("./d/a", Some("../../etc")), ("d/a/x", None)]).is_some());
        assert!(judge(&[("out", Some("/etc")), ("l", Some("out")), ("l/x", None)]).is_some());
        assert_eq!(judge(&[("ab", Some("/etc")), ("abc/x", None)]), None);
    }
}
