//! From the control machine to the node.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::Value;

use super::Manner;
use crate::node::{Action, Owner};
use crate::problem::Problem;
use crate::resources::common::attributes::{Attributes, stat_effects};
use crate::resources::common::place::Wanted;
use crate::resources::common::{diff, fail, paths};
use crate::resources::file::{Work, make_dirs};
use crate::resources::kit;
use crate::resources::{Change, ChangeKind, ModeSpec, Resource, Setting, TaskResult, Verdict};
use crate::world::{Algorithm, Answer, Effect, FileKind, Query, Stat, Stop, View};

/// One file, folder or link here.
#[derive(Debug, Clone)]
struct Local {
    path: PathBuf,
    kind: FileKind,
    mode: u32,
    size: u64,
    mtime: i64,
    owner: (u32, String),
    group: (u32, String),
    target: String,
}

struct Push {
    /// What the folder below which all goes is on the node.
    root: String,
    /// Relative path → what is there; `""` is the root itself.
    entries: BTreeMap<String, Local>,
    manner: Manner,
    user: String,
    shown: String,
}

pub(super) fn build(
    found: PathBuf,
    src: String,
    dest: String,
    manner: Manner,
    setting: &Setting,
) -> Result<Arc<dyn Resource>, Stop> {
    let names = Names::read();
    let unreadable =
        |e: std::io::Error| Problem::new("unreadable-file", format!("cannot read `{}`: {e}", found.display()));
    let mut entries = BTreeMap::new();
    let meta = std::fs::metadata(&found).map_err(unreadable)?;
    let root;
    if meta.is_dir() {
        if !manner.recursive && !manner.dirs {
            return Ok(kit::Ready::boxed(Ok(Verdict::Unchanged(
                TaskResult::unchanged().with("rc", 0).with("msg", "skipping directory, as `recursive` is off"),
            ))));
        }
        root = if src.ends_with('/') {
            paths::clean(&dest)
        } else {
            let name = found.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            paths::clean(&format!("{dest}/{name}"))
        };
        entries.insert(String::new(), local(&found, &names, true)?);
        if manner.recursive {
            walk(&found, "", &manner, &names, &mut entries)?;
        }
    } else {
        let name = if dest.ends_with('/') {
            found.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        } else {
            paths::basename(&dest).to_owned()
        };
        root = if dest.ends_with('/') { paths::clean(&dest) } else { paths::dirname(&paths::clean(&dest)).to_owned() };
        entries.insert(name, local(&found, &names, true)?);
    }
    Ok(Arc::new(Push { shown: format!("rsync {src} {dest}"), root, entries, manner, user: setting.user.clone() }))
}

/// Names of this machine's users and groups by number.
struct Names(BTreeMap<u32, String>, BTreeMap<u32, String>);

impl Names {
    fn read() -> Self {
        let of = |file: &str| {
            std::fs::read_to_string(file)
                .unwrap_or_default()
                .lines()
                .filter_map(|l| {
                    let mut fields = l.split(':');
                    let name = fields.next()?.to_owned();
                    Some((fields.nth(1)?.parse().ok()?, name))
                })
                .collect()
        };
        Self(of("/etc/passwd"), of("/etc/group"))
    }
}

fn local(path: &Path, names: &Names, follow: bool) -> Result<Local, Problem> {
    let unreadable =
        |e: std::io::Error| Problem::new("unreadable-file", format!("cannot read `{}`: {e}", path.display()));
    let meta = if follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) }.map_err(unreadable)?;
    let kind = match meta.file_type() {
        t if t.is_dir() => FileKind::Directory,
        t if t.is_symlink() => FileKind::Link,
        t if t.is_file() => FileKind::File,
        _ => FileKind::Socket,
    };
    let target = match kind {
        FileKind::Link => std::fs::read_link(path).map_err(unreadable)?.display().to_string(),
        _ => String::new(),
    };
    let name = |map: &BTreeMap<u32, String>, id| (id, map.get(&id).cloned().unwrap_or_default());
    Ok(Local {
        path: path.to_owned(),
        kind,
        mode: meta.mode() & 0o7777,
        size: meta.size(),
        mtime: meta.mtime(),
        owner: name(&names.0, meta.uid()),
        group: name(&names.1, meta.gid()),
        target,
    })
}

fn walk(
    dir: &Path,
    prefix: &str,
    manner: &Manner,
    names: &Names,
    entries: &mut BTreeMap<String, Local>,
) -> Result<(), Problem> {
    let unreadable =
        |e: std::io::Error| Problem::new("unreadable-file", format!("cannot read `{}`: {e}", dir.display()));
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Problem::unsupported(format!("a file name that is not UTF-8: `{}`", path.display())));
        };
        let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let found = local(&path, names, manner.copy_links && path.exists())?;
        if manner.filter.excludes(&relative, found.kind == FileKind::Directory) {
            continue;
        }
        match found.kind {
            FileKind::Directory => {
                entries.insert(relative.clone(), found);
                walk(&path, &relative, manner, names, entries)?;
            }
            FileKind::Link if !manner.links => {}
            FileKind::File | FileKind::Link => {
                entries.insert(relative, found);
            }
            _ => {}
        }
    }
    Ok(())
}

impl Push {
    fn at(&self, relative: &str) -> String {
        if relative.is_empty() { self.root.clone() } else { paths::join(&self.root, relative) }
    }

    /// Owner and group an entry is to have on the node; the number stands for a name the node does not have.
    fn owner(&self, view: &View, entry: &Local) -> Result<Owner, Stop> {
        let root = self.user == "root" || self.user.is_empty();
        let mut owner = Owner::default();
        owner.user.clone_from(&self.manner.chown.0);
        owner.group.clone_from(&self.manner.chown.1);
        if self.manner.owner && root && owner.user.is_none() {
            let (id, name) = &entry.owner;
            let known = *id == 0 || (!name.is_empty() && view.account(name)?.is_some());
            owner.user = Some(if known && !name.is_empty() { name.clone() } else { id.to_string() });
        }
        if self.manner.group && root && owner.group.is_none() {
            let (id, name) = &entry.group;
            let known = *id == 0 || (!name.is_empty() && view.group(name)?.is_some());
            owner.group = Some(if known && !name.is_empty() { name.clone() } else { id.to_string() });
        }
        Ok(owner)
    }
}

impl Resource for Push {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let tree = Query::Tree { path: self.root.clone(), max_depth: None };
        view.want([Query::Stat { path: self.root.clone(), follow: true }, tree]);
        let root = view.stat(&self.root, true)?;
        if root.as_ref().is_some_and(|s| s.kind != FileKind::Directory) {
            return fail(format!("{} is there and is no directory", self.root));
        }
        let single = !self.entries.contains_key("");
        // A single file needs no look at everything beside it.
        let there: BTreeMap<String, Stat> = if single {
            let mut map = BTreeMap::new();
            for name in self.entries.keys() {
                if let Some(stat) = view.stat(&self.at(name), false)? {
                    map.insert(name.clone(), stat);
                }
            }
            map
        } else {
            view.tree(&self.root, None)?.iter().map(|e| (e.path.clone(), e.stat.clone())).collect()
        };
        // What stands in other folders of the node may be linked to.
        let mut linked: Vec<(String, BTreeMap<String, Stat>)> = vec![];
        for dir in &self.manner.link_dest {
            let dir =
                if dir.starts_with('/') { paths::clean(dir) } else { paths::clean(&paths::join(&self.root, dir)) };
            let files = view.tree(&dir, None)?.iter().map(|e| (e.path.clone(), e.stat.clone())).collect();
            linked.push((dir, files));
        }
        let mut work = Work::default();
        let plain = Attributes { user: self.user.clone(), mode: Some(ModeSpec::Octal(0o755)), ..Attributes::default() };
        if root.is_none() && !self.manner.existing_only {
            make_dirs(view, &plain.resolve(view)?, &self.root, &mut work)?;
        }
        let (mut actions, mut effects) = work.into_parts();
        let mut lines: Vec<String> = vec![];
        let mut diffs = vec![];
        // Folders get their times last: what is put into them changes those.
        let mut folder_times = vec![];
        for (relative, entry) in &self.entries {
            let path = self.at(relative);
            let old = if relative.is_empty() { root.as_ref() } else { there.get(relative) };
            if old.is_none() && self.manner.existing_only {
                continue;
            }
            let owner = self.owner(view, entry)?;
            let asked = Attributes {
                mode: (self.manner.perms && entry.kind != FileKind::Link).then_some(ModeSpec::Octal(entry.mode)),
                owner: owner.user.clone(),
                group: owner.group.clone(),
                user: self.user.clone(),
            };
            let resolved = asked.resolve(view)?;
            let label = if relative.is_empty() { "./".to_owned() } else { relative.clone() };
            if let Some(old) = old
                && old.kind != entry.kind
            {
                if old.kind == FileKind::Directory && !self.manner.delete {
                    return fail(format!("{path} is a directory in the way of a file; `delete: true` would remove it"));
                }
                actions.push(Action::Remove { path: path.clone() });
            }
            let old = old.filter(|s| s.kind == entry.kind);
            let mut stat = match old {
                Some(stat) => stat.clone(),
                None => resolved.applied(&resolved.fresh(entry.kind, entry.size))?,
            };
            match entry.kind {
                FileKind::Directory => {
                    // The root was made already, with the folders above it.
                    if old.is_none() && !relative.is_empty() {
                        actions.push(Action::MakeDir {
                            path: path.clone(),
                            mode: Some(stat.mode),
                            owner: asked_owner(&owner),
                        });
                        lines.push(format!("cd+++++++++ {label}/"));
                    } else if old.is_none() {
                        stat = plain.resolve(view)?.fresh(FileKind::Directory, 4096);
                        stat.mode = 0o755;
                        lines.push(format!("cd+++++++++ {label}"));
                    }
                }
                FileKind::Link => {
                    if old.is_none_or(|s| s.target.as_deref() != Some(entry.target.as_str())) {
                        actions.push(Action::Symlink { path: path.clone(), target: entry.target.clone() });
                        lines.push(format!("cL+++++++++ {label} -> {}", entry.target));
                        stat.target = Some(entry.target.clone());
                        effects.extend(stat_effects(&path, Some(&stat)));
                    }
                    continue;
                }
                _ => {
                    let same_time = |s: &Stat| s.mtime.is_nan() || s.mtime.floor() == entry.mtime as f64;
                    let same = match old {
                        None => false,
                        Some(_) if self.manner.checksum => {
                            let wanted = Wanted::local(&entry.path)?.digest(Algorithm::Sha1);
                            view.digest(&path, Algorithm::Sha1)? == wanted
                        }
                        Some(s) => s.size == entry.size && same_time(s),
                    };
                    let twin = linked.iter().find_map(|(dir, files)| {
                        let stat = files.get(relative).filter(|s| {
                            s.kind == FileKind::File
                                && s.size == entry.size
                                && (!self.manner.times || same_time(s))
                                && (!self.manner.perms || s.mode == entry.mode)
                        })?;
                        Some((paths::join(dir, relative), stat))
                    });
                    if let (false, Some((source, twin))) = (same, &twin) {
                        if old.is_some() {
                            actions.push(Action::Remove { path: path.clone() });
                        }
                        actions.push(Action::Hardlink { path: path.clone(), source: source.clone() });
                        stat = Stat { links: twin.links + 1, ..(*twin).clone() };
                        lines.push(format!("hf          {label} => {source}"));
                    } else if !same {
                        let wanted = Wanted::local(&entry.path)?;
                        actions.push(Action::WriteFile {
                            path: path.clone(),
                            content: wanted.blob.clone(),
                            mode: if self.manner.perms { Some(entry.mode) } else { old.map(|s| s.mode) },
                            owner: asked_owner(&owner),
                            validate: None,
                            backup: None,
                        });
                        stat = resolved.applied(&Stat { size: entry.size, ..stat })?;
                        let before = if old.is_some() { Some(view.content(&path)?) } else { None };
                        let before = before.flatten();
                        diffs.push(diff::content(
                            &path,
                            &entry.path.display().to_string(),
                            before.as_ref().map(|b| b.as_slice()),
                            wanted.bytes.as_ref().map(|b| b.as_slice()),
                        ));
                        lines.push(format!("{} {label}", if old.is_some() { "<f.st......" } else { "<f+++++++++" }));
                        effects.push(Effect {
                            query: Query::Content { path: path.clone() },
                            answer: Ok(Answer::Content(wanted.bytes.clone())),
                        });
                        effects.extend(wanted.digests.iter().map(|(algorithm, hex)| Effect {
                            query: Query::Digest { path: path.clone(), algorithm: *algorithm },
                            answer: Ok(Answer::Digest(Some(hex.clone()))),
                        }));
                    }
                }
            }
            let fix = resolved.fix(&path, &stat)?;
            if fix.is_needed() {
                actions.extend(fix.actions.iter().cloned());
                if old.is_some() {
                    diffs.push(fix.diff(&path));
                    lines.push(format!(
                        ".{}...po.... {label}",
                        if entry.kind == FileKind::Directory { 'd' } else { 'f' }
                    ));
                }
                stat = fix.stat.clone();
            }
            if self.manner.times && stat.mtime.floor() != entry.mtime as f64 {
                let touch =
                    Action::Touch { path: path.clone(), access: None, modify: Some(format!("@{}", entry.mtime)) };
                if entry.kind == FileKind::Directory {
                    folder_times.push((relative.clone(), touch));
                } else {
                    actions.push(touch);
                    if old.is_some() && !lines.iter().any(|l| l.ends_with(&format!(" {label}"))) {
                        lines.push(format!(".f..t...... {label}"));
                    }
                }
                stat.mtime = entry.mtime as f64;
            }
            effects.extend(stat_effects(&path, Some(&stat)));
        }
        if self.manner.delete && !single {
            let mut gone: Vec<&str> = vec![];
            for (relative, stat) in &there {
                let within = |dir: &&str| relative.strip_prefix(*dir).is_some_and(|r| r.starts_with('/'));
                let left_out = self.manner.filter.excludes(relative, stat.kind == FileKind::Directory)
                    || ancestors(relative).any(|dir| self.manner.filter.excludes(dir, true));
                if self.entries.contains_key(relative) || gone.iter().any(within) || left_out {
                    continue;
                }
                let path = self.at(relative);
                actions.push(Action::Remove { path: path.clone() });
                effects.extend(stat_effects(&path, None));
                lines.push(format!("*deleting   {relative}"));
                gone.push(relative);
            }
        }
        // A folder's time alone is no change that is worth a word, but rsync counts it.
        for (relative, touch) in folder_times {
            if root.is_some() && there.contains_key(&relative) && lines.is_empty() {
                lines.push(format!(".d..t...... {relative}/"));
            }
            actions.push(touch);
        }
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let result = TaskResult::unchanged()
            .with("cmd", self.shown.as_str())
            .with("msg", text.as_str())
            .with("rc", 0)
            .with("stdout_lines", Value::from(lines.clone()));
        if actions.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        diffs.push(kit::diff(&self.root, "", text));
        let kind = if root.is_none() { ChangeKind::Create } else { ChangeKind::Change };
        Ok(Verdict::Change(Change {
            diff: diffs,
            result: TaskResult { changed: true, ..result },
            ..kit::change(kind, actions, effects)
        }))
    }
}

fn asked_owner(owner: &Owner) -> Owner {
    owner.clone()
}

/// The folders a path lies in, from the top.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(move |(i, _)| &path[..i])
}
