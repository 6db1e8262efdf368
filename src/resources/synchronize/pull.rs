//! From the node to the control machine. It is written here when the task concludes, which only happens in a run that applies.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use minijinja::Value;

use super::Manner;
use crate::node::{Action, Done};
use crate::resources::common::{diff, paths};
use crate::resources::kit;
use crate::resources::{Change, ChangeKind, Resource, TaskResult, Verdict};
use crate::world::{Algorithm, FileKind, Query, Stat, Stop, View};

struct Pull {
    src: String,
    /// Only what is in the folder, not the folder itself.
    contents: bool,
    dest: PathBuf,
    into: bool,
    manner: Manner,
    todo: Mutex<Vec<Todo>>,
}

enum Todo {
    Dir(PathBuf, u32),
    File(PathBuf, Arc<Vec<u8>>, u32, f64),
    Link(PathBuf, String),
    Remove(PathBuf),
}

pub(super) fn build(src: String, contents: bool, dest: PathBuf, into: bool, manner: Manner) -> Arc<dyn Resource> {
    Arc::new(Pull { src: paths::clean(&src), contents, dest, into, manner, todo: Mutex::default() })
}

impl Pull {
    /// What is to be below a folder here: relative path and stat.
    fn entries(&self, view: &View, stat: &Stat) -> Result<(PathBuf, Vec<(String, Stat)>), Stop> {
        let name = paths::basename(&self.src).to_owned();
        if stat.kind != FileKind::Directory {
            return Ok(if self.into || self.dest.is_dir() {
                (self.dest.clone(), vec![(name, stat.clone())])
            } else {
                let file = self.dest.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or(name);
                (self.dest.parent().unwrap_or(Path::new("/")).to_owned(), vec![(file, stat.clone())])
            });
        }
        let base = if self.contents { self.dest.clone() } else { self.dest.join(&name) };
        let mut list = vec![(String::new(), stat.clone())];
        if self.manner.recursive {
            let mut out: Vec<String> = vec![];
            for entry in view.tree(&self.src, None)?.iter() {
                let is_dir = entry.stat.kind == FileKind::Directory;
                if out.iter().any(|d| entry.path.starts_with(d)) {
                    continue;
                }
                if self.manner.filter.excludes(&entry.path, is_dir) {
                    out.push(format!("{}/", entry.path));
                    continue;
                }
                list.push((entry.path.clone(), entry.stat.clone()));
            }
        }
        Ok((base, list))
    }
}

impl Resource for Pull {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([
            Query::Stat { path: self.src.clone(), follow: true },
            Query::Tree { path: self.src.clone(), max_depth: None },
        ]);
        let Some(stat) = view.stat(&self.src, true)? else {
            return Ok(kit::failed(format!("{} is not there", self.src)));
        };
        let (base, list) = self.entries(view, &stat)?;
        let whole = stat.kind == FileKind::Directory;
        let source = |relative: &str| {
            if whole && !relative.is_empty() { paths::join(&self.src, relative) } else { self.src.clone() }
        };
        let (mut todo, mut lines, mut diffs) = (vec![], vec![], vec![]);
        let mut wanted = vec![];
        for (relative, stat) in &list {
            let path = if relative.is_empty() { base.clone() } else { base.join(relative) };
            let here = std::fs::symlink_metadata(&path).ok();
            if here.is_none() && self.manner.existing_only {
                continue;
            }
            match stat.kind {
                FileKind::Directory if path.is_dir() => {}
                FileKind::Directory => {
                    lines.push(format!("cd+++++++++ {relative}/"));
                    todo.push(Todo::Dir(path, stat.mode));
                }
                FileKind::Link => {
                    let target = stat.target.clone().unwrap_or_default();
                    if self.manner.links && std::fs::read_link(&path).ok().as_deref() != Some(Path::new(&target)) {
                        lines.push(format!("cL+++++++++ {relative} -> {target}"));
                        todo.push(Todo::Link(path, target));
                    }
                }
                FileKind::File => {
                    let same = match &here {
                        Some(meta) if self.manner.checksum && meta.is_file() => {
                            let mine = std::fs::read(&path).map(|b| Algorithm::Sha1.hex(&b)).ok();
                            view.digest(&source(relative), Algorithm::Sha1)? == mine
                        }
                        Some(meta) => {
                            meta.is_file() && meta.size() == stat.size && meta.mtime() as f64 == stat.mtime.floor()
                        }
                        None => false,
                    };
                    if !same {
                        wanted.push((relative.clone(), path, stat.clone(), here.is_some()));
                    }
                }
                _ => {}
            }
        }
        view.want(wanted.iter().map(|(relative, ..)| Query::Content { path: source(relative) }));
        for (relative, path, stat, is) in wanted {
            let from = source(&relative);
            let Some(bytes) = view.content(&from)? else { continue };
            let old = std::fs::read(&path).ok();
            lines.push(format!("{} {relative}", if is { ">f.st......" } else { ">f+++++++++" }));
            diffs.push(diff::content(&path.display().to_string(), &from, old.as_deref(), Some(&bytes)));
            todo.push(Todo::File(path, bytes, stat.mode, stat.mtime));
        }
        if self.manner.delete && whole {
            let mut extra = vec![];
            below(&base, "", &mut extra);
            for (relative, is_dir) in extra {
                let kept = list.iter().any(|(r, _)| *r == relative);
                if !kept && !self.manner.filter.excludes(&relative, is_dir) {
                    lines.push(format!("*deleting   {relative}"));
                    todo.push(Todo::Remove(base.join(&relative)));
                }
            }
        }
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let result = TaskResult::unchanged()
            .with("cmd", format!("rsync {} {}", self.src, self.dest.display()))
            .with("msg", text.as_str())
            .with("rc", 0)
            .with("stdout_lines", Value::from(lines));
        if todo.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        if let Ok(mut kept) = self.todo.lock() {
            *kept = todo;
        }
        diffs.push(kit::diff(&base.display().to_string(), "", text));
        Ok(Verdict::Change(Change {
            diff: diffs,
            result: TaskResult { changed: true, ..result },
            // Nothing happens on the node.
            ..kit::change(ChangeKind::Change, vec![Action::Sleep { seconds: 0.0 }], vec![])
        }))
    }

    fn conclude(&self, change: &Change, _done: &[Done]) -> Result<TaskResult, TaskResult> {
        let todo = self.todo.lock().map(|mut t| std::mem::take(&mut *t)).unwrap_or_default();
        for step in &todo {
            carry_out(step, &self.manner)
                .map_err(|e| TaskResult { changed: false, ..change.result.clone() }.with("msg", e.to_string()))?;
        }
        Ok(change.result.clone())
    }
}

/// Everything below a folder here, folders after what is in them.
fn below(dir: &Path, prefix: &str, out: &mut Vec<(String, bool)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
        if is_dir {
            below(&entry.path(), &relative, out);
        }
        out.push((relative, is_dir));
    }
}

fn carry_out(step: &Todo, manner: &Manner) -> std::io::Result<()> {
    match step {
        Todo::Dir(path, mode) => {
            std::fs::create_dir_all(path)?;
            if manner.perms {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))?;
            }
            Ok(())
        }
        Todo::Link(path, target) => {
            if path.symlink_metadata().is_ok() {
                std::fs::remove_file(path)?;
            }
            std::os::unix::fs::symlink(target, path)
        }
        Todo::Remove(path) => {
            if path.is_dir() && !path.is_symlink() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            }
        }
        Todo::File(path, bytes, mode, mtime) => {
            let dir = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(dir)?;
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            std::io::Write::write_all(&mut file, bytes)?;
            if manner.perms {
                file.as_file().set_permissions(std::fs::Permissions::from_mode(*mode))?;
            }
            if manner.times && mtime.is_finite() && *mtime >= 0.0 {
                let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs_f64(mtime.floor());
                file.as_file().set_modified(time)?;
            }
            file.persist(path).map(|_| ()).map_err(|e| e.error)
        }
    }
}
