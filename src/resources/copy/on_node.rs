//! `copy` with `remote_src`: from one place of the node to another.

use std::sync::Arc;

use minijinja::Value;

use super::{Manner, Spot, folder_attributes, make_folders, resolved_for, spot, verdict_of};
use crate::node::Action;
use crate::problem::Problem;
use crate::resources::common::attributes::{self, Resolved};
use crate::resources::common::{diff, fail, paths};
use crate::resources::file::{Work, make_dirs};
use crate::resources::{Change, ChangeKind, Diff, Resource, TaskResult, Verdict};
use crate::world::{Algorithm, Answer, Effect, FileKind, Query, Stat, Stop, TreeEntry, View};

#[derive(Debug)]
struct OnNode {
    /// As written; a final slash means the folder's content.
    src: String,
    dest: String,
    manner: Manner,
    follow_links: bool,
}

pub(super) fn build(
    src: String,
    dest: String,
    manner: Manner,
    follow_links: bool,
) -> Result<Arc<dyn Resource>, Problem> {
    Ok(Arc::new(OnNode { src, dest, manner, follow_links }))
}

/// What was gathered about one file.
struct One {
    actions: Vec<Action>,
    effects: Vec<Effect>,
    diff: Vec<Diff>,
    stat: Stat,
    backup: Option<String>,
}

impl Resource for OnNode {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let src = paths::clean(&self.src);
        let dest = paths::clean(&self.dest);
        view.want([
            Query::Stat { path: src.clone(), follow: true },
            Query::Digest { path: src.clone(), algorithm: Algorithm::Sha1 },
            Query::Digest { path: src.clone(), algorithm: Algorithm::Md5 },
            Query::Stat { path: dest.clone(), follow: false },
            Query::Stat { path: dest.clone(), follow: true },
            Query::Digest { path: dest.clone(), algorithm: Algorithm::Sha1 },
            Query::Stat { path: paths::dirname(&dest).to_owned(), follow: true },
        ]);
        view.want(self.manner.attributes.queries());
        let Some(mut source) = view.stat(&src, true)? else {
            return fail(format!("Source {} not found", self.src));
        };
        if source.size == attributes::UNKNOWN_SIZE
            && let Some(size) = view.coming_size(&src)
        {
            source.size = size;
        }
        if source.kind == FileKind::Directory { self.folder(view, &src) } else { self.file(view, &src, &source) }
    }
}

impl OnNode {
    fn file_attributes(&self, view: &View) -> Result<Resolved, Stop> {
        let asked = &self.manner.attributes;
        if asked.preserves_mode() { asked.with_mode(None).resolve(view) } else { asked.resolve(view) }
    }

    fn file(&self, view: &View, src: &str, source: &Stat) -> Result<Verdict, Stop> {
        let sha1 = view.digest(src, Algorithm::Sha1)?;
        if let (Some(wanted), Some(is)) = (&self.manner.checksum, &sha1)
            && wanted != is
        {
            let result = TaskResult::unchanged()
                .with("msg", "Copied file does not match the expected checksum. Transfer failed.")
                .with("checksum", is.as_str())
                .with("expected_checksum", wanted.as_str());
            return Ok(Verdict::Failed(result));
        }
        let Spot { path, old } = spot(view, &self.dest, paths::basename(src), self.manner.follow)?;
        let result = TaskResult::unchanged().with("dest", path.as_str()).with("src", self.src.as_str());
        if old.is_some() && !self.manner.force {
            return Ok(Verdict::Unchanged(result));
        }
        let attributes =
            resolved_for(&self.file_attributes(view)?, self.manner.attributes.preserves_mode(), source.mode);
        let mut folders = Work::default();
        if old.is_none() {
            let dir = paths::dirname(&path);
            match view.stat(dir, true)? {
                Some(s) if s.kind == FileKind::Directory => {}
                None if self.dest.ends_with('/') => make_folders(view, &self.manner, dir, &mut folders)?,
                _ => return fail(format!("Destination directory {dir} does not exist")),
            }
        }
        let one = self.one(view, (src, source, sha1.as_deref()), (&path, old.as_ref()), &attributes, true)?;
        let md5 = match view.digest(src, Algorithm::Md5) {
            Ok(md5) => md5,
            Err(Stop::Needs) => return Err(Stop::Needs),
            Err(_) => None,
        };
        let mut result = attributes::describe(result, &one.stat)
            .with("checksum", sha1.map_or(Value::from(()), Value::from))
            .with("md5sum", md5.map_or(Value::from(()), Value::from));
        if let Some(backup) = &one.backup {
            result = result.with("backup_file", backup.as_str());
        }
        let (mut actions, mut effects) = folders.into_parts();
        actions.extend(one.actions);
        effects.extend(one.effects);
        Ok(verdict_of(
            actions,
            Change {
                kind: if old.is_none() { ChangeKind::Create } else { ChangeKind::Change },
                diff: one.diff,
                actions: vec![],
                effects,
                opaque: false,
                result: TaskResult { changed: true, ..result },
            },
        ))
    }

    /// One file to one path.
    fn one(
        &self,
        view: &View,
        (src, source, sha1): (&str, &Stat, Option<&str>),
        (path, old): (&str, Option<&Stat>),
        attributes: &Resolved,
        alone: bool,
    ) -> Result<One, Stop> {
        let old_file = old.filter(|s| s.kind == FileKind::File);
        let old_sha1 = match old_file {
            Some(_) => view.digest(path, Algorithm::Sha1)?,
            None => None,
        };
        if let (Some(old), true) = (old_file, old_sha1.is_some() && old_sha1.as_deref() == sha1) {
            let fix = attributes.fix(path, old)?;
            return Ok(One {
                effects: if fix.is_needed() { attributes::stat_effects(path, Some(&fix.stat)) } else { vec![] },
                diff: if fix.is_needed() { vec![fix.diff(path)] } else { vec![] },
                actions: fix.actions,
                stat: fix.stat,
                backup: None,
            });
        }
        if old.is_some_and(|s| s.kind == FileKind::Directory) {
            return Err(Stop::Failed(format!("{path} is a directory, it cannot be replaced by a file")));
        }
        let fresh = attributes.fresh(FileKind::File, source.size);
        // As in Ansible: within a folder a replaced file keeps owner and mode, a single one gets the source's mode.
        let base = match old_file {
            Some(_) if alone => Stat { mode: source.mode & 0o777, ..fresh },
            Some(old) => Stat {
                mode: old.mode,
                uid: old.uid,
                gid: old.gid,
                owner: old.owner.clone(),
                group: old.group.clone(),
                ..fresh
            },
            None => fresh,
        };
        let stat = attributes.applied(&base)?;
        let backup = old_file.filter(|_| self.manner.backup).map(|_| paths::backup_name(path));
        let digest = |hex: Option<&str>, size: u64| format!("({size} bytes, sha1 {})\n", hex.unwrap_or("unknown"));
        let diff =
            diff::sizes(path, src, old_file.map(|s| digest(old_sha1.as_deref(), s.size)), digest(sha1, source.size));
        let mut effects = attributes::stat_effects(path, Some(&stat));
        let content = Query::Content { path: src.to_owned() };
        effects.push(Effect {
            query: Query::Content { path: path.to_owned() },
            answer: match view.knows(&content) {
                true => view.content(src).map(Answer::Content).map_err(|_| attributes::unknown_cause()),
                false => Err(attributes::unknown_cause()),
            },
        });
        for algorithm in Algorithm::ALL {
            let known = match algorithm {
                Algorithm::Sha1 => sha1.map(str::to_owned),
                _ => match view.knows(&Query::Digest { path: src.to_owned(), algorithm }) {
                    true => view.digest(src, algorithm).ok().flatten(),
                    false => None,
                },
            };
            effects.push(Effect {
                query: Query::Digest { path: path.to_owned(), algorithm },
                answer: known.map(|hex| Answer::Digest(Some(hex))).ok_or_else(attributes::unknown_cause),
            });
        }
        if let Some(blob) = view.source_of(src) {
            let query = Query::Source { path: path.to_owned() };
            effects.push(Effect { query, answer: Ok(Answer::Source(blob)) });
        }
        let action = Action::CopyOnNode {
            source: src.to_owned(),
            path: path.to_owned(),
            mode: (attributes.mode.is_some() || (alone && old_file.is_some())).then_some(stat.mode),
            owner: if alone && old_file.is_some() { attributes.whole_owner() } else { attributes.owner() },
            validate: self.manner.validate.clone(),
            backup: backup.clone(),
        };
        Ok(One { actions: vec![action], effects, diff: vec![diff], stat, backup })
    }

    fn folder(&self, view: &View, src: &str) -> Result<Verdict, Stop> {
        let dest = paths::clean(&self.dest);
        let root = if self.src.ends_with('/') { dest.clone() } else { paths::join(&dest, paths::basename(src)) };
        let root = paths::clean(&root);
        view.want([
            Query::Stat { path: dest.clone(), follow: true },
            Query::Tree { path: src.to_owned(), max_depth: None },
            Query::Tree { path: root.clone(), max_depth: None },
            Query::Stat { path: root.clone(), follow: true },
        ]);
        let tree = view.tree(src, None)?;
        let there = view.tree(&root, None)?;
        let old_root = view.stat(&root, true)?;
        let old_of = |relative: &str| there.iter().find(|e| e.path == relative).map(|e| &e.stat);
        view.want(tree.iter().filter(|e| e.stat.kind != FileKind::Directory).flat_map(|e| {
            let from = paths::join(src, &e.path);
            let to = paths::join(&root, &e.path);
            [
                Query::Stat { path: from.clone(), follow: true },
                Query::Digest { path: from, algorithm: Algorithm::Sha1 },
                Query::Digest { path: to, algorithm: Algorithm::Sha1 },
            ]
        }));
        let dir_attributes = folder_attributes(&self.manner).resolve(view)?;
        let file_attributes = self.file_attributes(view)?;
        // As in Ansible: `mode` and `directory_mode` are for the folder itself, what is below keeps the source's.
        let file_attributes = file_attributes.with_mode(None);
        let mut work = Work::default();
        if old_root.is_none() {
            make_dirs(view, &dir_attributes, &root, &mut work)?;
        }
        let (mut actions, mut effects) = work.into_parts();
        let mut diffs = vec![];
        let mut put = |path: &str, stat: Stat, old: Option<&Stat>, attributes: &Resolved| -> Result<(), Stop> {
            match old {
                Some(old) if old.kind == FileKind::Directory => {
                    let fix = attributes.fix(path, old)?;
                    if fix.is_needed() {
                        diffs.push(fix.diff(path));
                        effects.extend(attributes::stat_effects(path, Some(&fix.stat)));
                        actions.extend(fix.actions);
                    }
                }
                Some(_) => return fail(format!("{path} is there and is no directory")),
                None => {
                    let stat =
                        attributes.applied(&Stat { mode: stat.mode, ..attributes.fresh(FileKind::Directory, 4096) })?;
                    actions.push(Action::MakeDir {
                        path: path.to_owned(),
                        mode: Some(stat.mode),
                        owner: attributes.owner(),
                    });
                    effects.extend(attributes::stat_effects(path, Some(&stat)));
                }
            }
            Ok(())
        };
        // Existing folders keep their mode: only the owner is set on them.
        let owner_only = file_attributes.with_mode(None);
        for entry in tree.iter().filter(|e| e.stat.kind == FileKind::Directory) {
            put(&paths::join(&root, &entry.path), entry.stat.clone(), old_of(&entry.path), &owner_only)?;
        }
        for entry in tree.iter().filter(|e| e.stat.kind != FileKind::Directory) {
            let from = paths::join(src, &entry.path);
            let to = paths::join(&root, &entry.path);
            if entry.stat.kind == FileKind::Link && !self.follow_links {
                let target = entry.stat.target.clone().unwrap_or_default();
                if old_of(&entry.path).and_then(|s| s.target.as_deref()) == Some(target.as_str()) {
                    continue;
                }
                diffs.push(diff::attributes(&to, &[], &[("state", "link".to_owned()), ("src", target.clone())]));
                effects.push(Effect {
                    query: Query::Stat { path: to.clone(), follow: false },
                    answer: Ok(Answer::Stat(Some(entry.stat.clone()))),
                });
                actions.push(Action::Symlink { path: to, target });
                continue;
            }
            let Some(source) = self.source_stat(view, entry, &from)? else { continue };
            if source.kind == FileKind::Directory {
                return Err(Stop::Invalid(Problem::unsupported(format!(
                    "following a link to a directory in a copied folder of the node: {from}"
                ))));
            }
            let old = old_of(&entry.path);
            if old.is_some() && !self.manner.force {
                continue;
            }
            let sha1 = view.digest(&from, Algorithm::Sha1)?;
            let attributes = match old {
                // A new file gets the source's mode, an old one keeps its own.
                None => resolved_for(&file_attributes, true, source.mode),
                Some(_) => file_attributes.clone(),
            };
            let one = self.one(view, (&from, &source, sha1.as_deref()), (&to, old), &attributes, false)?;
            actions.extend(one.actions);
            effects.extend(one.effects);
            diffs.extend(one.diff);
        }
        let mut stat = old_root.clone().unwrap_or_else(|| dir_attributes.fresh(FileKind::Directory, 4096));
        let fix = self.root_attributes(view)?.fix(&root, &stat)?;
        if fix.is_needed() {
            if old_root.is_some() {
                diffs.push(fix.diff(&root));
            }
            effects.extend(attributes::stat_effects(&root, Some(&fix.stat)));
            actions.extend(fix.actions);
            stat = fix.stat;
        }
        // As Ansible returns it: with the written final slash where nothing had to be made; `dest` itself where it was made, too.
        let shown = if (self.src.ends_with('/') && old_root.is_some()) || view.stat(&dest, true)?.is_none() {
            self.dest.clone()
        } else {
            root.clone()
        };
        let result = TaskResult::unchanged()
            .with(
                "dest",
                if self.src.ends_with('/') && old_root.is_some() {
                    format!("{}/", shown.trim_end_matches('/'))
                } else {
                    shown
                },
            )
            .with("src", self.src.as_str())
            .with("checksum", ())
            .with("md5sum", ());
        Ok(verdict_of(
            actions,
            Change {
                kind: if old_root.is_none() { ChangeKind::Create } else { ChangeKind::Change },
                diff: diffs,
                actions: vec![],
                effects,
                opaque: false,
                result: TaskResult { changed: true, ..attributes::describe(result, &stat) },
            },
        ))
    }

    /// `mode` goes to the topmost folder.
    fn root_attributes(&self, view: &View) -> Result<Resolved, Stop> {
        self.file_attributes(view)
    }

    fn source_stat(&self, view: &View, entry: &TreeEntry, path: &str) -> Result<Option<Stat>, Stop> {
        if entry.stat.kind == FileKind::Link { view.stat(path, true) } else { Ok(Some(entry.stat.clone())) }
    }
}
