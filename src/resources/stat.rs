//! `stat`: facts of a file. The manual is doc/stat.md.

use std::sync::Arc;

use minijinja::Value;

use super::common::attributes::{UNKNOWN_ID, UNKNOWN_SIZE, unknown};
use super::common::paths;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{Algorithm, Answer, FileKind, Query, Stat, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file that is looked at").required().aliases(&["dest", "name"]),
    ArgSpec::new("follow", Kind::Bool, "look at what a link points to").default("no"),
    ArgSpec::new("get_checksum", Kind::Bool, "compute a digest of a regular file").default("yes"),
    ArgSpec::new("checksum_algorithm", Kind::Str, "which digest")
        .default("sha1")
        .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
        .aliases(&["checksum", "checksum_algo"]),
    ArgSpec::new("get_mime", Kind::Bool, "ask `file` for type and character set").default("yes").aliases(&[
        "mime",
        "mime_type",
        "mime-type",
    ]),
    ArgSpec::new("get_attributes", Kind::Bool, "ask `lsattr` for the attributes")
        .default("yes")
        .aliases(&["attr", "attributes"]),
    ArgSpec::new("get_selinux_context", Kind::Bool, "accepted; not reported").default("no"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "stat",
    qualified: &["ansible.builtin.stat"],
    doc: include_str!("doc/stat.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

struct StatOf {
    /// As written.
    shown: String,
    path: String,
    follow: bool,
    algorithm: Option<Algorithm>,
    mime: bool,
    attributes: bool,
    user: String,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let shown = paths::need(&args, "path", setting)?;
    let algorithm = Algorithm::by_name(&args.need("checksum_algorithm")?);
    Ok(Arc::new(StatOf {
        path: paths::clean(&shown),
        shown,
        follow: args.flag("follow")?,
        algorithm: if args.flag("get_checksum")? { algorithm } else { None },
        mime: args.flag("get_mime")?,
        attributes: args.flag("get_attributes")?,
        user: setting.user.clone(),
    }))
}

impl StatOf {
    fn mime_query(&self) -> Query {
        let argv = ["file", "--mime-type", "--mime-encoding", "--", &self.path];
        Query::Read { argv: argv.map(str::to_owned).to_vec() }
    }

    fn attributes_query(&self) -> Query {
        Query::Read { argv: ["lsattr", "-vd", "--", &self.path].map(str::to_owned).to_vec() }
    }

    /// Blocks, the block's size and the device's numbers, which the query of all paths does not ask for.
    fn blocks_query(&self) -> Query {
        let mut argv = vec!["stat"];
        argv.extend(self.follow.then_some("-L"));
        argv.extend(["-c", "%b %o %t %T", "--", &self.path]);
        Query::Read { argv: argv.into_iter().map(str::to_owned).collect() }
    }

    /// What a program says of the file; nothing where the file is only predicted or the program is missing.
    fn read(&self, view: &View, query: Query, stat: &Stat) -> Result<Option<String>, Stop> {
        if stat.mtime.is_nan() {
            return Ok(None);
        }
        match view.ask(query) {
            Ok(Answer::Output(output)) if output.rc == 0 => {
                Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
            }
            Err(Stop::Needs) => Err(Stop::Needs),
            _ => Ok(None),
        }
    }
}

impl Resource for StatOf {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let query = Query::Stat { path: self.path.clone(), follow: self.follow };
        let first = view.knows(&query);
        view.want([query, Query::Stat { path: self.path.clone(), follow: true }]);
        if let Some(algorithm) = self.algorithm {
            view.want([Query::Digest { path: self.path.clone(), algorithm }]);
        }
        if !first {
            // One batch for all that may be reported; what the file turns out not to have is not looked at.
            view.want([self.blocks_query()]);
            if self.mime {
                view.want([self.mime_query()]);
            }
            if self.attributes {
                view.want([self.attributes_query()]);
            }
        }
        if !matches!(self.user.as_str(), "root" | "") {
            view.want([Query::Account { name: self.user.clone() }]);
        }
        let Some(mut stat) = view.stat(&self.path, self.follow)? else {
            let absent = Value::from_pairs([("exists", Value::from(false))]);
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("stat", absent)));
        };
        if stat.size == UNKNOWN_SIZE
            && self.algorithm.is_some()
            && let Some(size) = view.coming_size(&self.path)
        {
            stat.size = size;
        }
        let mut out = attributes_of(&self.shown, &stat);
        if let Some(text) = self.read(view, self.blocks_query(), &stat)? {
            out.extend(blocks_of(&text).into_iter().flatten());
        }
        // Access is asked of what a link leads to.
        let end = if stat.kind == FileKind::Link { view.stat(&self.path, true)? } else { Some(stat.clone()) };
        let access = self.access(view, end.as_ref())?;
        out.extend([("readable", access(4)), ("writeable", access(2)), ("executable", access(1))]);
        if stat.kind == FileKind::Link {
            out.push(("lnk_target", stat.target.as_deref().map_or(Value::from(()), Value::from)));
            out.push(("lnk_source", stat.real.as_deref().map_or(Value::from(()), Value::from)));
        }
        if let (Some(algorithm), FileKind::File) = (self.algorithm, stat.kind) {
            match view.digest(&self.path, algorithm) {
                Ok(Some(hex)) => out.push(("checksum", Value::from(hex))),
                Ok(None) => {}
                Err(Stop::Unknown(cause)) => out.push(("checksum", cause.into_value())),
                // Unreadable for this user: Ansible leaves the key out.
                Err(Stop::Failed(_)) => {}
                Err(other) => return Err(other),
            }
        }
        if self.mime {
            let text = self.read(view, self.mime_query(), &stat)?;
            let text = text.filter(|_| end.is_some());
            let unknown = || ("unknown".to_owned(), "unknown".to_owned());
            let (mime, charset) = text
                .as_deref()
                .and_then(|t| mime_of(t, &self.path))
                .unwrap_or_else(|| if end.is_some() { guess(&stat) } else { unknown() });
            out.extend([("mimetype", Value::from(mime)), ("charset", Value::from(charset))]);
        }
        if self.attributes {
            let text = self.read(view, self.attributes_query(), &stat)?.unwrap_or_default();
            let mut words = text.split_whitespace();
            let (version, flags) = match (words.next(), words.next()) {
                (Some(version), Some(flags)) => (Value::from(version), flags.replace('-', "")),
                _ => (Value::from(()), String::new()),
            };
            let names: Vec<Value> = flags.chars().filter_map(attribute_name).map(Value::from).collect();
            out.extend([("version", version), ("attributes", Value::from(names)), ("attr_flags", Value::from(flags))]);
        }
        let stat = Value::from_pairs(out);
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("stat", stat)))
    }
}

/// The keys that follow from a stat alone; `find` has them too.
pub(super) fn attributes_of(path: &str, stat: &Stat) -> Vec<(&'static str, Value)> {
    let mut out: Vec<(&'static str, Value)> = vec![];
    let number = |n: f64| if n.is_nan() { unknown() } else { Value::from(n) };
    let id = |n: u32| if n == UNKNOWN_ID { unknown() } else { Value::from(n) };
    let predicted = stat.mtime.is_nan();
    let inode = |n: u64| if predicted { unknown() } else { Value::from(n) };
    let bit = |mask: u32| Value::from(stat.mode & mask != 0);
    let is = |kind: FileKind| Value::from(stat.kind == kind);
    out.extend([
        ("exists", Value::from(true)),
        ("path", Value::from(path)),
        ("mode", Value::from(format!("{:04o}", stat.mode))),
        ("isdir", is(FileKind::Directory)),
        ("ischr", is(FileKind::CharDevice)),
        ("isblk", is(FileKind::BlockDevice)),
        ("isreg", is(FileKind::File)),
        ("isfifo", is(FileKind::Fifo)),
        ("islnk", is(FileKind::Link)),
        ("issock", is(FileKind::Socket)),
        ("uid", id(stat.uid)),
        ("gid", id(stat.gid)),
        ("size", if stat.size == UNKNOWN_SIZE { unknown() } else { Value::from(stat.size) }),
        ("inode", inode(stat.inode)),
        ("dev", inode(stat.device)),
        ("nlink", Value::from(stat.links)),
        ("atime", number(stat.atime)),
        ("mtime", number(stat.mtime)),
        ("ctime", number(stat.ctime)),
        ("wusr", bit(0o200)),
        ("rusr", bit(0o400)),
        ("xusr", bit(0o100)),
        ("wgrp", bit(0o020)),
        ("rgrp", bit(0o040)),
        ("xgrp", bit(0o010)),
        ("woth", bit(0o002)),
        ("roth", bit(0o004)),
        ("xoth", bit(0o001)),
        ("isuid", bit(0o4000)),
        ("isgid", bit(0o2000)),
    ]);
    if !stat.owner.is_empty() {
        out.push(("pw_name", Value::from(stat.owner.as_str())));
    }
    if !stat.group.is_empty() {
        out.push(("gr_name", Value::from(stat.group.as_str())));
    }
    out
}

impl StatOf {
    /// What the task's user may do with the file, by owner, groups and mode. Root may read and write all.
    fn access(&self, view: &View, stat: Option<&Stat>) -> Result<impl Fn(u32) -> Value, Stop> {
        let account = match self.user.as_str() {
            "root" | "" => None,
            name => match view.account(name) {
                Ok(account) => Some(account),
                Err(Stop::Needs) => return Err(Stop::Needs),
                Err(_) => Some(None),
            },
        };
        let mode = stat.map_or(0, |s| s.mode);
        let any_execute = stat.is_some_and(|s| mode & 0o111 != 0 || s.kind == FileKind::Directory);
        let class = match (account, stat) {
            (_, None) => Some(0),
            (None, _) => None,
            (Some(None), _) => Some(mode & 7),
            (Some(Some(a)), Some(s)) if a.uid == s.uid => Some((mode >> 6) & 7),
            (Some(Some(a)), Some(s)) if a.gid == s.gid || a.groups.contains(&s.group) => Some((mode >> 3) & 7),
            (Some(Some(_)), Some(_)) => Some(mode & 7),
        };
        Ok(move |bit: u32| match class {
            None => Value::from(bit != 1 || any_execute),
            Some(bits) => Value::from(bits & bit != 0),
        })
    }
}

/// Ansible's `blocks`, `block_size` and `device_type`: the number of the device that the file is, as C's `makedev` makes it.
fn blocks_of(text: &str) -> Option<[(&'static str, Value); 3]> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [blocks, size, major, minor] = words[..] else { return None };
    let (major, minor) = (u64::from_str_radix(major, 16).ok()?, u64::from_str_radix(minor, 16).ok()?);
    let device = (major & 0xfff) << 8 | (major & !0xfff) << 32 | minor & 0xff | (minor & !0xff) << 12;
    Some([
        ("blocks", Value::from(blocks.parse::<u64>().ok()?)),
        ("block_size", Value::from(size.parse::<u64>().ok()?)),
        ("device_type", Value::from(device)),
    ])
}

/// `path: text/plain; charset=us-ascii`.
fn mime_of(text: &str, path: &str) -> Option<(String, String)> {
    let rest = text.strip_prefix(path)?.trim_start().strip_prefix(':')?;
    let (mime, charset) = rest.trim().split_once(';')?;
    Some((mime.trim().to_owned(), charset.trim().strip_prefix("charset=")?.to_owned()))
}

/// Without `file` on the node only what the kind tells.
fn guess(stat: &Stat) -> (String, String) {
    let (mime, charset) = match stat.kind {
        FileKind::Directory => ("inode/directory", "binary"),
        FileKind::Link => ("inode/symlink", "binary"),
        FileKind::CharDevice => ("inode/chardevice", "binary"),
        FileKind::BlockDevice => ("inode/blockdevice", "binary"),
        FileKind::Fifo => ("inode/fifo", "binary"),
        FileKind::Socket => ("inode/socket", "binary"),
        FileKind::File if stat.size == 0 => ("inode/x-empty", "binary"),
        FileKind::File => ("unknown", "unknown"),
    };
    (mime.to_owned(), charset.to_owned())
}

/// Ansible's name of an `lsattr` flag.
fn attribute_name(flag: char) -> Option<&'static str> {
    Some(match flag {
        'A' => "noatime",
        'a' => "append",
        'c' => "compressed",
        'C' => "nocow",
        'd' => "nodump",
        'D' => "dirsync",
        'e' => "extents",
        'E' => "encrypted",
        'h' => "blocksize",
        'i' => "immutable",
        'I' => "indexed",
        'j' => "journalled",
        'N' => "inline",
        's' => "zero",
        'S' => "synchronous",
        't' => "notail",
        'T' => "blockroot",
        'u' => "undelete",
        'X' => "compressedraw",
        'Z' => "compresseddirty",
        _ => return None,
    })
}
