//! `assemble`: a file made of all files in a folder. The manual is doc/assemble.md.

use std::sync::Arc;

use super::common::attributes::{Attributes, COMMON};
use super::common::place::{self, Wanted};
use super::common::{concat, fail, paths};
use super::copy::{Manner, One};
use super::lineinfile::pattern;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, Verdict};
use crate::problem::Problem;
use crate::template::pyregex::{Flags, PyRegex};
use crate::world::{FileKind, Query, Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "the folder with the parts").required(),
    ArgSpec::new("dest", Kind::Path, "the file that is made").required(),
    ArgSpec::new("remote_src", Kind::Bool, "the folder is on the node").default("yes"),
    ArgSpec::new("delimiter", Kind::Str, "a line between the parts"),
    ArgSpec::new("regexp", Kind::Str, "only parts whose name fits"),
    ArgSpec::new("ignore_hidden", Kind::Bool, "leave out parts whose name begins with a dot").default("no"),
    ArgSpec::new("backup", Kind::Bool, "keep the replaced file under a name with the time").default("no"),
    ArgSpec::new("validate", Kind::Str, "a command with `%s` that checks the new file before it is put in place"),
    ArgSpec::new("follow", Kind::Bool, "if `dest` is a link, write what it points to").default("no"),
    ArgSpec::new("decrypt", Kind::Bool, "decrypt vaulted parts of the control machine").default("yes"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "assemble",
    qualified: &["ansible.builtin.assemble"],
    doc: include_str!("doc/assemble.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Assemble {
    src: String,
    /// The parts, where the folder is one of the control machine.
    here: Option<Vec<(String, Arc<Vec<u8>>)>>,
    dest: String,
    delimiter: Vec<u8>,
    regexp: Option<PyRegex>,
    ignore_hidden: bool,
    manner: Manner,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let manner = Manner {
        attributes: Attributes::from_args(&args, setting)?,
        directory_mode: None,
        backup: args.flag("backup")?,
        force: true,
        follow: args.flag("follow")?,
        validate: place::check_validate(&args)?,
        checksum: None,
    };
    let written = args.need("src")?;
    let (src, here) = if args.flag("remote_src")? {
        (paths::clean(&paths::expand_text(&written, setting)?), None)
    } else {
        let path = (setting.find_file)("files", &written).map_err(|p| p.or_at(args.span("src")))?;
        let parts = read_parts(&path, args.flag("decrypt")?, setting).map_err(|p| p.or_at(args.span("src")))?;
        (written, Some(parts))
    };
    Ok(Arc::new(Assemble {
        src,
        here,
        dest: paths::need(&args, "dest", setting)?,
        delimiter: unescape(&args.str("delimiter")?.unwrap_or_default()),
        regexp: pattern(&args, "regexp", Flags::default())?,
        ignore_hidden: args.flag("ignore_hidden")?,
        manner,
    }))
}

fn read_parts(dir: &std::path::Path, decrypt: bool, setting: &Setting) -> Result<Vec<(String, Arc<Vec<u8>>)>, Problem> {
    let unreadable =
        |e: std::io::Error| Problem::new("unreadable-file", format!("cannot read `{}`: {e}", dir.display()));
    if !dir.is_dir() {
        return Err(Problem::new("invalid-argument", format!("Source ({}) is not a directory", dir.display())));
    }
    let mut parts = vec![];
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut bytes = std::fs::read(&path).map_err(unreadable)?;
            if decrypt && bytes.starts_with(b"$ANSIBLE_VAULT;") {
                bytes = (setting.decrypt)(&bytes)?;
            }
            parts.push((name, Arc::new(bytes)));
        }
    }
    parts.sort();
    Ok(parts)
}

/// `\n` and `\t` and their like in the delimiter.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = vec![];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let mut buffer = [0; 4];
        if c != '\\' {
            out.extend(c.encode_utf8(&mut buffer).bytes());
            continue;
        }
        match chars.next() {
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('\\') | None => out.push(b'\\'),
            Some('x') => {
                let digits: String = chars.clone().take(2).collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) if digits.len() == 2 => {
                        out.push(byte);
                        chars.nth(1);
                    }
                    _ => out.extend(b"\\x"),
                }
            }
            Some(other) => {
                out.push(b'\\');
                out.extend(other.encode_utf8(&mut buffer).bytes());
            }
        }
    }
    out
}

impl Assemble {
    fn takes(&self, name: &str) -> Result<bool, Stop> {
        if self.ignore_hidden && name.starts_with('.') {
            return Ok(false);
        }
        match &self.regexp {
            Some(regexp) => regexp.is_match(name).map_err(|e| Stop::Failed(e.to_string())),
            None => Ok(true),
        }
    }

    fn parts(&self, view: &View) -> Result<Vec<Arc<Vec<u8>>>, Stop> {
        let mut all = vec![];
        if let Some(here) = &self.here {
            for (name, bytes) in here {
                if self.takes(name)? {
                    all.push(bytes.clone());
                }
            }
            return Ok(all);
        }
        let tree = Query::Tree { path: self.src.clone(), max_depth: Some(1) };
        view.want([Query::Stat { path: self.src.clone(), follow: true }, tree]);
        match view.stat(&self.src, true)? {
            None => return fail(format!("Source ({}) does not exist", self.src)),
            Some(s) if s.kind != FileKind::Directory => {
                return fail(format!("Source ({}) is not a directory", self.src));
            }
            Some(_) => {}
        }
        let mut names: Vec<String> = vec![];
        for entry in view.tree(&self.src, Some(1))?.iter() {
            if matches!(entry.stat.kind, FileKind::File | FileKind::Link) && self.takes(&entry.path)? {
                names.push(entry.path.clone());
            }
        }
        names.sort();
        let at = |name: &String| Query::Content { path: paths::join(&self.src, name) };
        view.want(names.iter().map(at));
        for name in &names {
            all.extend(view.content(&paths::join(&self.src, name))?);
        }
        Ok(all)
    }

    fn join(&self, parts: &[Arc<Vec<u8>>]) -> Vec<u8> {
        let mut out = vec![];
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                if !parts[i - 1].ends_with(b"\n") {
                    out.push(b'\n');
                }
                if !self.delimiter.is_empty() {
                    out.extend(&self.delimiter);
                    if !self.delimiter.ends_with(b"\n") {
                        out.push(b'\n');
                    }
                }
            }
            out.extend(part.iter());
        }
        out
    }
}

impl Resource for Assemble {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([false, true].map(|follow| Query::Stat { path: paths::clean(&self.dest), follow }));
        view.want(self.manner.attributes.queries());
        let parts = self.parts(view)?;
        let wanted = Wanted::bytes(self.join(&parts));
        let md5 = wanted.digest(crate::world::Algorithm::Md5);
        let one = One {
            wanted,
            dest: self.dest.clone(),
            name: String::new(),
            source: self.src.clone(),
            manner: self.manner.clone(),
        };
        // Only a folder of the node has Ansible's module say so; else it is copy's result.
        let spoken = |result: super::TaskResult| if self.here.is_none() { result.with("msg", "OK") } else { result };
        // Unlike copy's, the result of a file that is as desired has the MD5 too.
        Ok(match one.run(view)? {
            Verdict::Unchanged(result) => {
                let mut result = spoken(result.with("md5sum", md5).with("src", self.src.as_str()));
                result.values.shift_remove("path");
                Verdict::Unchanged(result)
            }
            Verdict::Change(mut change) => {
                change.result = spoken(change.result);
                Verdict::Change(change)
            }
            other => other,
        })
    }
}
