//! Edits of small text files that the system resources own: fstab, sysctl.conf, crontabs, apt sources …
//!
//! A thin way into `common::place`: read, give the new text, get actions, effects and the diff.

use std::sync::Arc;

use crate::node::Action;
use crate::resources::common::attributes::Attributes;
use crate::resources::common::place::{self, Placing, Wanted};
use crate::resources::common::{paths, text};
use crate::resources::kit::Task;
use crate::resources::{Change, ChangeKind, Diff, ModeSpec, TaskResult, Verdict};
use crate::world::{Answer, Effect, FileKind, Query, Stop, View};

/// What one edit comes to; empty if the file is as it should be.
#[derive(Debug, Default)]
pub struct Edit {
    pub actions: Vec<Action>,
    pub effects: Vec<Effect>,
    pub diff: Vec<Diff>,
    pub created: bool,
    pub removed: bool,
    /// The written file's stat afterwards.
    pub stat: Option<crate::world::Stat>,
}

/// Who owns a new file and its mode.
#[derive(Debug, Clone, Default)]
pub struct Own {
    pub mode: u32,
    pub user: Option<String>,
    pub group: Option<String>,
}

impl Own {
    pub fn mode(mode: u32) -> Self {
        Self { mode, user: None, group: None }
    }
}

/// What an edit will ask, to be wanted beside a resource's other first questions.
pub fn queries(path: &str) -> Vec<Query> {
    let path = paths::clean(path);
    vec![
        Query::Stat { path: path.clone(), follow: false },
        Query::Stat { path: path.clone(), follow: true },
        Query::Stat { path: paths::dirname(&path).to_owned(), follow: true },
        Query::Content { path },
    ]
}

/// The file's text; `None` if there is no file.
pub fn read(world: &View, path: &str) -> Result<Option<String>, Stop> {
    world.want(queries(path));
    Ok(world.content(&paths::clean(path))?.map(|bytes| text::decode(&bytes)))
}

/// Puts a new text into a file (following a link), or removes the file with `None`.
pub fn write(world: &View, task: &Task, path: &str, own: &Own, new: Option<&str>) -> Result<Edit, Stop> {
    write_with(world, task, path, own, new, None)
}

/// As [`write`], copying the old file to `backup` first.
pub fn write_with(
    world: &View,
    task: &Task,
    path: &str,
    own: &Own,
    new: Option<&str>,
    backup: Option<&str>,
) -> Result<Edit, Stop> {
    world.want(queries(path));
    let mut path = paths::clean(path);
    let old_text = read(world, &path)?;
    if old_text.as_deref() == new {
        return Ok(Edit::default());
    }
    let mut old = world.stat(&path, false)?;
    let Some(new) = new else {
        let mut effects: Vec<Effect> = [false, true]
            .map(|follow| Effect { query: Query::Stat { path: path.clone(), follow }, answer: Ok(Answer::Stat(None)) })
            .into();
        effects.push(Effect { query: Query::Content { path: path.clone() }, answer: Ok(Answer::Content(None)) });
        return Ok(Edit {
            actions: vec![Action::Remove { path: path.clone() }],
            effects,
            diff: vec![Diff {
                before_header: path.clone(),
                after_header: "/dev/null".to_owned(),
                before: old_text.unwrap_or_default(),
                after: String::new(),
            }],
            created: false,
            removed: true,
            stat: None,
        });
    };
    let mut follow = None;
    if let Some(link) = old.take_if(|s| s.kind == FileKind::Link) {
        old = world.stat(&path, true)?;
        let target = paths::join(paths::dirname(&path), link.target.as_deref().unwrap_or_default());
        follow = Some(std::mem::replace(&mut path, link.real.unwrap_or_else(|| paths::clean(&target))));
    }
    let attributes = match &old {
        Some(stat) => {
            Attributes { mode: Some(ModeSpec::Octal(stat.mode)), user: task.user.clone(), ..Attributes::default() }
        }
        None => Attributes {
            mode: Some(ModeSpec::Octal(own.mode)),
            owner: own.user.clone(),
            group: own.group.clone(),
            user: task.user.clone(),
        },
    };
    let resolved = attributes.resolve(world)?;
    let wanted = Wanted::bytes(Arc::new(text::encode(new)));
    let mut edit = Edit { created: old.is_none(), ..Edit::default() };
    let dir = paths::dirname(&path);
    if old.is_none() && dir != "/" && world.stat(dir, true)?.is_none() {
        let mut folders = crate::resources::file::Work::default();
        let plain = Attributes { user: task.user.clone(), mode: Some(ModeSpec::Octal(0o755)), ..Attributes::default() };
        crate::resources::file::make_dirs(world, &plain.resolve(world)?, dir, &mut folders)?;
        (edit.actions, edit.effects) = folders.into_parts();
    }
    let placed = place::place(
        world,
        &Placing {
            path: &path,
            old: old.as_ref(),
            wanted: &wanted,
            same: false,
            attributes: &resolved,
            backup,
            validate: None,
            source: &path,
        },
    )?;
    edit.actions.extend(placed.actions);
    edit.effects.extend(placed.effects);
    edit.diff = placed.diff;
    edit.stat = Some(placed.stat.clone());
    if let Some(link) = follow {
        edit.effects.push(Effect {
            query: Query::Stat { path: link.clone(), follow: true },
            answer: Ok(Answer::Stat(Some(placed.stat))),
        });
        edit.effects
            .push(Effect { query: Query::Content { path: link }, answer: Ok(Answer::Content(wanted.bytes.clone())) });
    }
    Ok(edit)
}

impl Edit {
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    pub fn and(mut self, other: Self) -> Self {
        self.actions.extend(other.actions);
        self.effects.extend(other.effects);
        self.diff.extend(other.diff);
        self.created |= other.created;
        self.removed |= other.removed;
        self
    }

    pub fn effect(&mut self, query: Query, answer: Answer) {
        self.effects.push(Effect { query, answer: Ok(answer) });
    }

    /// The verdict of a resource that is this edit and nothing else; `changed` of the result is set.
    pub fn verdict(self, result: TaskResult) -> Verdict {
        if self.is_empty() {
            return Verdict::Unchanged(TaskResult { changed: false, ..result });
        }
        let kind = match (self.created, self.removed) {
            (true, _) => ChangeKind::Create,
            (_, true) => ChangeKind::Remove,
            _ => ChangeKind::Change,
        };
        Verdict::Change(Change {
            kind,
            diff: self.diff,
            actions: self.actions,
            effects: self.effects,
            opaque: false,
            result: TaskResult { changed: true, ..result },
        })
    }
}

/// Lines as a text again.
pub fn joined<S: AsRef<str>>(lines: &[S]) -> String {
    lines.iter().map(|l| format!("{}\n", l.as_ref())).collect()
}
