//! `copy` of a folder of the control machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Manner, Member, One, Reader, folder_attributes, local_mode, resolved_for, verdict_of};
use crate::node::Action;
use crate::problem::Problem;
use crate::resources::common::attributes;
use crate::resources::common::place::{self, Placing};
use crate::resources::common::{diff, fail, paths};
use crate::resources::file::{Work, make_dirs};
use crate::resources::{Change, ChangeKind, Resource, TaskResult, Verdict};
use crate::world::{Algorithm, Answer, Effect, FileKind, Query, Stat, Stop, View};

/// A folder with everything in it.
#[derive(Debug)]
struct Folder {
    src: String,
    /// Ends with `/`.
    dest: String,
    /// `dest`, and below it the source's name unless `src` ended with `/`.
    root: String,
    dirs: Vec<String>,
    files: Vec<Member>,
    /// Links that are copied as links: relative path, target.
    links: Vec<(String, String)>,
    manner: Manner,
}

pub(super) fn build(
    path: &Path,
    src: String,
    dest: String,
    manner: Manner,
    follow_links: bool,
    read: Reader,
) -> Result<Arc<dyn Resource>, Problem> {
    let contents_only = src.ends_with('/');
    let dest = if dest.ends_with('/') { dest } else { format!("{dest}/") };
    let root =
        if contents_only { paths::clean(&dest) } else { paths::clean(&format!("{dest}{}", paths::basename(&src))) };
    let src = format!("{}{}", path.display().to_string().trim_end_matches('/'), if contents_only { "/" } else { "" });
    let mut folder = Folder { src, dest, root, dirs: vec![], files: vec![], links: vec![], manner };
    let mut above = vec![];
    walk(path, "", follow_links, &mut above, &mut folder, read)?;
    if folder.files.len() == 1 && folder.dirs.is_empty() && folder.links.is_empty() {
        // Ansible's result of a folder with one file is that file's.
        let Some(member) = folder.files.pop() else { unreachable!("one file") };
        let mut manner = folder.manner;
        if manner.attributes.preserves_mode() {
            let mode = local_mode(&member.path);
            manner.attributes = manner.attributes.with_mode(Some(crate::resources::ModeSpec::Octal(mode)));
        }
        return Ok(Arc::new(One {
            wanted: member.wanted,
            dest: format!("{}/", folder.root.trim_end_matches('/')),
            name: member.relative,
            source: member.path.display().to_string(),
            manner,
        }));
    }
    Ok(Arc::new(folder))
}

fn walk(
    dir: &Path,
    prefix: &str,
    follow_links: bool,
    above: &mut Vec<PathBuf>,
    folder: &mut Folder,
    read: Reader,
) -> Result<(), Problem> {
    let unreadable =
        |e: std::io::Error| Problem::new("unreadable-file", format!("cannot read `{}`: {e}", dir.display()));
    let real = dir.canonicalize().map_err(unreadable)?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Problem::unsupported(format!("a file name that is not UTF-8: `{}`", path.display())));
        };
        let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_symlink() && (!follow_links || !path.exists()) {
            let target = std::fs::read_link(&path).map_err(unreadable)?;
            folder.links.push((relative, target.display().to_string()));
        } else if path.is_dir() {
            folder.dirs.push(relative.clone());
            walk(&path, &relative, follow_links, above, folder, read)?;
        } else if path.is_file() {
            folder.files.push(Member { relative, wanted: read(&path)?, path });
        }
    }
    above.pop();
    Ok(())
}

impl Folder {
    fn at(&self, relative: &str) -> String {
        paths::clean(&paths::join(&self.root, relative))
    }

    fn want(&self, view: &View) {
        view.want(paths::components(&self.root).into_iter().map(|path| Query::Stat { path, follow: true }));
        for relative in self.dirs.iter().chain(self.links.iter().map(|(r, _)| r)) {
            let path = self.at(relative);
            view.want([false, true].map(|follow| Query::Stat { path: path.clone(), follow }));
        }
        for file in &self.files {
            let path = self.at(&file.relative);
            view.want([
                Query::Stat { path: path.clone(), follow: false },
                Query::Digest { path, algorithm: Algorithm::Sha1 },
            ]);
        }
        view.want(self.manner.attributes.queries());
        view.want(folder_attributes(&self.manner).queries());
    }
}

impl Resource for Folder {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        self.want(view);
        let dir_attributes = folder_attributes(&self.manner).resolve(view)?;
        let file_attributes = {
            let asked = &self.manner.attributes;
            if asked.preserves_mode() { asked.with_mode(None).resolve(view)? } else { asked.resolve(view)? }
        };
        let mut work = Work::default();
        let mut diffs = vec![];
        let mut made: Vec<String> = vec![];
        let root = view.stat(&self.root, true)?;
        match &root {
            Some(s) if s.kind != FileKind::Directory => {
                return fail(format!("{} is there and is no directory", self.root));
            }
            None if !(self.files.is_empty() && self.dirs.is_empty() && self.links.is_empty()) => {
                make_dirs(view, &dir_attributes, &self.root, &mut work)?;
                made.push(self.root.clone());
            }
            _ => {}
        }
        let (mut actions, mut effects) = work.into_parts();
        let is_made = |path: &str, made: &[String]| {
            made.iter().any(|dir| path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/')))
        };
        for relative in &self.dirs {
            let path = self.at(relative);
            let old = if is_made(&path, &made) { None } else { view.stat(&path, true)? };
            match old {
                None => {
                    let stat = dir_attributes.applied(&dir_attributes.fresh(FileKind::Directory, 4096))?;
                    actions.push(Action::MakeDir {
                        path: path.clone(),
                        mode: dir_attributes.mode.is_some().then_some(stat.mode),
                        owner: dir_attributes.owner(),
                    });
                    effects.extend(attributes::stat_effects(&path, Some(&stat)));
                    made.push(path);
                }
                Some(s) if s.kind != FileKind::Directory => {
                    return fail(format!("{path} already exists as a {}", crate::resources::file::kind_name(&s)));
                }
                Some(s) => {
                    let real = s.real.clone().unwrap_or_else(|| path.clone());
                    let fix = dir_attributes.fix(&real, &s)?;
                    if fix.is_needed() {
                        diffs.push(fix.diff(&path));
                        effects.extend(attributes::stat_effects(&path, Some(&fix.stat)));
                        actions.extend(fix.actions);
                    }
                }
            }
        }
        let preserve = self.manner.attributes.preserves_mode();
        for file in &self.files {
            let path = self.at(&file.relative);
            let old = if is_made(&path, &made) { None } else { view.stat(&path, false)? };
            if old.is_some() && !self.manner.force {
                continue;
            }
            let (path, old) = match old {
                Some(s) if s.kind == FileKind::Link && self.manner.follow && s.real.is_some() => {
                    let real = s.real.unwrap_or_default();
                    let old = view.stat(&real, false)?;
                    (real, old)
                }
                old => (path, old),
            };
            let is_file = old.as_ref().is_some_and(|s| s.kind == FileKind::File);
            let same = is_file && view.digest(&path, Algorithm::Sha1)? == file.wanted.digest(Algorithm::Sha1);
            let backup = self.manner.backup.then(|| paths::backup_name(&path));
            let source = file.path.display().to_string();
            let placed = place::place(
                view,
                &Placing {
                    path: &path,
                    old: old.as_ref(),
                    wanted: &file.wanted,
                    same,
                    attributes: &resolved_for(&file_attributes, preserve, local_mode(&file.path)),
                    backup: backup.as_deref(),
                    validate: self.manner.validate.as_deref(),
                    source: &source,
                },
            )?;
            diffs.extend(placed.diff);
            actions.extend(placed.actions);
            effects.extend(placed.effects);
        }
        for (relative, target) in &self.links {
            let path = self.at(relative);
            let old = if is_made(&path, &made) { None } else { view.stat(&path, false)? };
            match &old {
                Some(s) if s.kind == FileKind::Link && s.target.as_deref() == Some(target) => continue,
                Some(s) if s.kind == FileKind::Directory => {
                    return fail(format!("refusing to convert from directory to symlink for {path}"));
                }
                _ => {}
            }
            diffs.push(diff::attributes(&path, &[], &[("state", "link".to_owned()), ("src", target.clone())]));
            let made =
                file_attributes.with_mode(None).applied(&file_attributes.fresh(FileKind::Link, target.len() as u64))?;
            let link = Stat { target: Some(target.clone()), ..made };
            effects.push(Effect {
                query: Query::Stat { path: path.clone(), follow: false },
                answer: Ok(Answer::Stat(Some(link))),
            });
            actions.push(Action::Symlink { path: path.clone(), target: target.clone() });
            let owner = file_attributes.owner();
            if owner.user.is_some() || owner.group.is_some() {
                actions.push(Action::SetOwner { path, owner, recursive: false, follow: false });
            }
        }
        Ok(verdict_of(
            actions,
            Change {
                kind: if root.is_none() { ChangeKind::Create } else { ChangeKind::Change },
                diff: diffs,
                actions: vec![],
                effects,
                opaque: false,
                result: TaskResult::changed().with("dest", self.dest.as_str()).with("src", self.src.as_str()),
            },
        ))
    }
}
