//! Editing a text file of a node: lineinfile, blockinfile, replace and ini_file.
//!
//! Loads what is there, takes the new text, and says how it gets in place.

use std::sync::Arc;

use super::attributes::Attributes;
use super::place::{self, Placed, Placing, Wanted};
use super::{paths, text};
use crate::problem::Problem;
use crate::resources::{Args, Change, ChangeKind, Setting, TaskResult, Verdict};
use crate::world::{FileKind, Query, Stat, Stop, View};

/// The arguments all editors have in common.
#[derive(Debug)]
pub struct Editor {
    /// As written.
    pub shown: String,
    pub path: String,
    pub attributes: Attributes,
    pub backup: bool,
    pub validate: Option<String>,
    /// The file is read and written byte for character, as Latin-1.
    pub latin: bool,
}

/// What is there.
#[derive(Debug)]
pub struct Loaded {
    /// The file itself, links resolved.
    pub path: String,
    pub old: Option<Stat>,
    /// Its content as text that stands for its bytes (see [`text::decode`]).
    pub text: Option<String>,
}

impl Loaded {
    pub fn is_folder(&self) -> bool {
        self.old.as_ref().is_some_and(|s| s.kind == FileKind::Directory)
    }
}

/// The verdict where the path is a folder.
pub fn is_a_folder(shown: &str) -> Verdict {
    Verdict::Failed(TaskResult::unchanged().with("rc", 256).with("msg", format!("Path {shown} is a directory !")))
}

impl Editor {
    pub fn from_args(args: &Args, setting: &Setting) -> Result<Self, Problem> {
        let shown = paths::need(args, "path", setting)?;
        Ok(Self {
            path: paths::clean(&shown),
            shown,
            attributes: Attributes::from_args(args, setting)?,
            // Its name holds the time: none can be told before.
            backup: args.flag("backup")? && !setting.check_mode,
            validate: place::check_validate(args)?,
            latin: false,
        })
    }

    pub fn load(&self, view: &View) -> Result<Loaded, Stop> {
        view.want([false, true].map(|follow| Query::Stat { path: self.path.clone(), follow }));
        view.want([Query::Content { path: self.path.clone() }]);
        view.want(
            paths::components(paths::dirname(&self.path)).into_iter().map(|path| Query::Stat { path, follow: true }),
        );
        view.want(self.attributes.queries());
        let mut path = self.path.clone();
        let mut old = view.stat(&path, false)?;
        if let Some(link) = old.take_if(|s| s.kind == FileKind::Link) {
            old = view.stat(&path, true)?;
            let target =
                || paths::clean(&paths::join(paths::dirname(&path), link.target.as_deref().unwrap_or_default()));
            path = link.real.clone().unwrap_or_else(target);
        }
        let decode = if self.latin { text::decode_latin } else { text::decode };
        let text = match &old {
            Some(s) if s.kind == FileKind::Directory => None,
            Some(_) => view.content(&self.path)?.map(|bytes| decode(&bytes)),
            None => None,
        };
        Ok(Loaded { path, old, text })
    }

    /// The verdict for a new text; the result gets `msg` (with Ansible's remark about attributes) and the name of the backup under `backup_key`.
    pub fn verdict(
        &self,
        view: &View,
        loaded: &Loaded,
        new: &str,
        message: &str,
        result: TaskResult,
        backup_key: &str,
    ) -> Result<Verdict, Stop> {
        let encoded = if self.latin { text::encode_latin(new) } else { Some(text::encode(new)) };
        let encoded =
            encoded.ok_or_else(|| Stop::Failed("the new text has characters that latin-1 has not".to_owned()))?;
        let wanted = Wanted::bytes(Arc::new(encoded));
        let resolved = self.attributes.resolve(view)?;
        let mut folders = crate::resources::file::Work::default();
        if loaded.old.is_none() {
            let dir = paths::dirname(&loaded.path);
            if dir != "/" && view.stat(dir, true)?.is_none() {
                let plain = Attributes { user: self.attributes.user.clone(), ..Attributes::default() };
                crate::resources::file::make_dirs(view, &plain.resolve(view)?, dir, &mut folders)?;
            }
        }
        let backup = self.backup.then(|| paths::backup_name(&loaded.path));
        let placed = place::place(
            view,
            &Placing {
                path: &loaded.path,
                old: loaded.old.as_ref(),
                wanted: &wanted,
                same: loaded.text.as_deref() == Some(new),
                attributes: &resolved,
                backup: backup.as_deref(),
                validate: self.validate.as_deref(),
                source: &loaded.path,
            },
        )?;
        let mut message = message.to_owned();
        if placed_attributes(&placed, loaded) {
            if !message.is_empty() {
                message.push_str(" and ");
            }
            message.push_str("ownership, perms or SE linux context changed");
        }
        let mut result = result.with("msg", message);
        if !backup_key.is_empty() {
            match &placed.backup_file {
                Some(backup) => result = result.with(backup_key, backup.as_str()),
                None if backup_key == "backup" => result = result.with("backup", ""),
                None => {}
            }
        }
        if !placed.changed {
            return Ok(Verdict::Unchanged(result));
        }
        let (mut actions, mut effects) = folders.into_parts();
        actions.extend(placed.actions);
        effects.extend(placed.effects);
        Ok(Verdict::Change(Change {
            kind: if placed.created { ChangeKind::Create } else { ChangeKind::Change },
            diff: placed.diff,
            actions,
            effects,
            opaque: false,
            result: TaskResult { changed: true, ..result },
        }))
    }
}

/// True if owner, group or mode of an existing file will be another, or were asked for on a new one.
fn placed_attributes(placed: &Placed, loaded: &Loaded) -> bool {
    match &loaded.old {
        Some(old) => (old.mode, &old.owner, &old.group) != (placed.stat.mode, &placed.stat.owner, &placed.stat.group),
        None => match placed.actions.last() {
            Some(crate::node::Action::WriteFile { mode, owner, .. }) => {
                let fresh = 0o644;
                mode.is_some_and(|m| m != fresh) || owner.user.as_deref().is_some_and(|u| u != "root")
            }
            _ => false,
        },
    }
}
