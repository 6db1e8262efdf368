//! `state: link` and `state: hard`.

use super::{File, Work, kind_name};
use crate::node::Action;
use crate::resources::common::attributes::{self, describe};
use crate::resources::common::{diff, fail, paths};
use crate::resources::{ChangeKind, TaskResult, Verdict};
use crate::world::{Answer, Effect, FileKind, Query, Stat, Stop, View};

impl File {
    /// The absolute path a link to `src` leads to.
    pub(super) fn target(&self) -> Option<String> {
        let src = self.src.as_deref()?;
        Some(paths::clean(&paths::join(paths::dirname(&self.path), src)))
    }

    pub(super) fn link(&self, view: &View, now: Option<Stat>) -> Result<Verdict, Stop> {
        let was = now.as_ref().map_or("absent", kind_name);
        let is_directory = now.as_ref().is_some_and(|s| s.kind == FileKind::Directory);
        // In place of a directory a relative target is looked up from the directory itself.
        let target = self.src.as_deref().map(|src| {
            let from = if is_directory { self.path.as_str() } else { paths::dirname(&self.path) };
            paths::clean(&paths::join(from, src))
        });
        let end = match &target {
            Some(target) => view.stat(target, true)?,
            None => view.stat(&self.path, true)?,
        };
        if let (Some(target), None, false) = (&target, &end, self.force) {
            return fail(format!(
                "src file does not exist, use 'force=yes' if you really want to create the link: {target}"
            ));
        }
        match &now {
            Some(s) if s.kind == FileKind::Directory => {
                if !self.force {
                    return fail(format!("refusing to convert from {was} to symlink for {}", self.path));
                }
                if !view.tree(&self.path, None)?.is_empty() {
                    return fail(format!("the directory {} is not empty, refusing to convert it", self.path));
                }
            }
            Some(s) if s.kind != FileKind::Link && !self.force => {
                return fail(format!("refusing to convert from {was} to symlink for {}", self.path));
            }
            _ => {}
        }
        let old_target = now.as_ref().filter(|s| s.kind == FileKind::Link).and_then(|s| s.target.clone());
        let Some(src) = self.src.clone().or_else(|| old_target.clone()) else {
            return fail("src is required for creating new symlinks");
        };
        let resolved = self.attributes.resolve(view)?;
        let mut work = Work::default();
        let mut link = match now {
            Some(s) if old_target.as_deref() == Some(src.as_str()) => s,
            now => {
                if is_directory {
                    work.actions.push(Action::Remove { path: self.path.clone() });
                }
                work.actions.push(Action::Symlink { path: self.path.clone(), target: src.clone() });
                work.kind = Some(if now.is_none() { ChangeKind::Create } else { ChangeKind::Change });
                let mut before = vec![("state", was.to_owned())];
                before.extend(old_target.map(|t| ("src", t)));
                work.diff.push(diff::attributes(
                    &self.path,
                    &before,
                    &[("state", "link".to_owned()), ("src", src.clone())],
                ));
                let mut link = resolved.fresh(FileKind::Link, src.len() as u64);
                link.target = Some(src.clone());
                link.real = end.as_ref().map(|e| e.real.clone().or(target.clone()).unwrap_or_default());
                work.effects.extend(self.link_effects(&link, end.as_ref()));
                link
            }
        };
        match &end {
            // Owner, group and mode are those of the file the link leads to.
            Some(end) if self.follow => {
                let real = link.real.clone().or_else(|| end.real.clone()).or(target).unwrap_or_default();
                let fix = resolved.fix(&real, end)?;
                let mut stat = fix.stat.clone();
                work.mend(&real, fix);
                self.times.apply(view, &real, &mut stat, &mut work)?;
            }
            None if self.follow => {}
            end => {
                let fix = resolved.fix(&self.path, &link)?;
                if fix.is_needed() {
                    work.diff.push(fix.diff(&self.path));
                    work.effects.extend(self.link_effects(&fix.stat, end.as_ref()));
                    work.actions.extend(fix.actions);
                    link = fix.stat;
                }
            }
        }
        // Ansible looks the target up only where it follows the link.
        let shown =
            if self.src.is_none() && !self.follow { minijinja::Value::from(()) } else { minijinja::Value::from(src) };
        let result = TaskResult::unchanged().with("dest", self.path.as_str()).with("src", shown);
        Ok(work.verdict(describe(result, &link)))
    }

    fn link_effects(&self, link: &Stat, end: Option<&Stat>) -> Vec<Effect> {
        let mut effects = attributes::stat_effects(&self.path, Some(link));
        // What is behind the link is asked through the link too; only nothing is known of it.
        let content = Query::Content { path: self.path.clone() };
        effects.push(match end {
            None => Effect { query: content, answer: Ok(Answer::Content(None)) },
            Some(_) => Effect { query: content, answer: Err(attributes::unknown_cause()) },
        });
        effects
    }

    pub(super) fn hard(&self, view: &View, now: Option<Stat>) -> Result<Verdict, Stop> {
        // A directory as path means: the source's name in it.
        let (path, now) = match (&now, &self.src) {
            (Some(s), Some(src)) if s.kind == FileKind::Directory => {
                let path = paths::clean(&paths::join(&self.path, paths::basename(src)));
                let now = view.stat(&path, false)?;
                (path, now)
            }
            _ => (self.path.clone(), now),
        };
        let is_hard = now.as_ref().is_some_and(|s| s.kind == FileKind::File && s.links > 1);
        let source = match &self.src {
            None if is_hard => None,
            None => return fail("src is required for creating new hardlinks"),
            Some(src) => {
                let src = paths::clean(&paths::join(paths::dirname(&path), src));
                match view.stat(&src, true)? {
                    None => return fail("src does not exist"),
                    Some(stat) => Some((src, stat)),
                }
            }
        };
        let resolved = self.attributes.resolve(view)?;
        let mut work = Work::default();
        let mut stat = match (now, source) {
            (Some(now), None) => now,
            (Some(now), Some((_, source)))
                if now.kind != FileKind::Link && (now.inode, now.device) == (source.inode, source.device) =>
            {
                now
            }
            (now, Some((src, source))) => {
                if source.kind == FileKind::Directory {
                    return fail(format!("{src} is a directory, it cannot be linked"));
                }
                match &now {
                    Some(s) if s.kind == FileKind::Directory => {
                        return fail("Cannot link: different hard link exists at destination");
                    }
                    Some(s) if s.kind != FileKind::Link && !self.force => {
                        return fail(if is_hard {
                            "Cannot link, different hard link exists at destination".to_owned()
                        } else {
                            format!("Cannot link, {} exists at destination", kind_name(s))
                        });
                    }
                    _ => {}
                }
                let was = now.as_ref().map_or("absent", kind_name);
                work.kind = Some(if now.is_none() { ChangeKind::Create } else { ChangeKind::Change });
                work.diff.push(diff::attributes(
                    &path,
                    &[("state", was.to_owned())],
                    &[("state", "hard".to_owned()), ("src", src.clone())],
                ));
                let mut stat = Stat { links: source.links + 1, target: None, ..source };
                if stat.inode == 0 {
                    // The source is itself yet to be made: both get a number of their own to be known by.
                    stat.inode = u64::from(u32::MAX);
                }
                work.effects.extend(attributes::stat_effects(&path, Some(&stat)));
                work.effects.extend(attributes::stat_effects(&src, Some(&stat)));
                work.effects.push(Effect {
                    query: Query::Content { path: path.clone() },
                    answer: match view.knows(&Query::Content { path: src.clone() }) {
                        true => view.content(&src).map(Answer::Content).map_err(|_| attributes::unknown_cause()),
                        false => Err(attributes::unknown_cause()),
                    },
                });
                work.actions.push(Action::Hardlink { path: path.clone(), source: src });
                stat
            }
            (None, None) => return fail("src is required for creating new hardlinks"),
        };
        let fix = resolved.fix(&path, &stat)?;
        if fix.is_needed() {
            stat = fix.stat.clone();
        }
        work.mend(&path, fix);
        self.times.apply(view, &path, &mut stat, &mut work)?;
        let result =
            TaskResult::unchanged().with("dest", path.as_str()).with("src", self.src.clone().unwrap_or_default());
        Ok(work.verdict(describe(result, &stat)))
    }
}
