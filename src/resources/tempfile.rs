//! `tempfile`: a new file or directory of a random name. The manual is doc/tempfile.md.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use super::common::attributes::{self, Attributes};
use super::common::place::{self, Wanted};
use super::common::{diff, fail, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, ModeSpec, Resource, ResourceType, Setting, TaskResult, Verdict,
};
use crate::node::{Action, Owner};
use crate::world::{FileKind, Query, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("state", Kind::Str, "what is made").default("file").choices(&["directory", "file"]),
    ArgSpec::new("path", Kind::Path, "the directory it is made in; by default the node's directory for such things"),
    ArgSpec::new("prefix", Kind::Str, "how its name begins").default("ansible."),
    ArgSpec::new("suffix", Kind::Str, "how its name ends").default(""),
];

pub static TYPE: ResourceType = ResourceType {
    name: "tempfile",
    qualified: &["ansible.builtin.tempfile"],
    doc: include_str!("doc/tempfile.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct TempFile {
    path: String,
    directory: bool,
    user: String,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let dir = match paths::expand(&args, "path", setting)? {
        Some(dir) => paths::clean(&dir),
        None => setting
            .environment
            .iter()
            .rev()
            .find(|(name, dir)| name == "TMPDIR" && dir.starts_with('/'))
            .map_or_else(|| "/tmp".to_owned(), |(_, dir)| paths::clean(dir)),
    };
    let (prefix, suffix) = (args.str("prefix")?.unwrap_or_default(), args.str("suffix")?.unwrap_or_default());
    Ok(Arc::new(TempFile {
        path: paths::join(&dir, &format!("{prefix}{}{suffix}", random())),
        directory: args.need("state")? == "directory",
        user: setting.user.clone(),
    }))
}

/// Eight characters nobody can guess.
fn random() -> String {
    let mut number = RandomState::new().build_hasher().finish();
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789_";
    (0..8)
        .map(|_| {
            let letter = letters[usize::try_from(number % letters.len() as u64).unwrap_or(0)];
            number /= letters.len() as u64;
            char::from(letter)
        })
        .collect()
}

impl Resource for TempFile {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let dir = paths::dirname(&self.path);
        let mode = if self.directory { 0o700 } else { 0o600 };
        let asked = Attributes { mode: Some(ModeSpec::Octal(mode)), user: self.user.clone(), ..Attributes::default() };
        view.want([Query::Stat { path: dir.to_owned(), follow: true }]);
        view.want(asked.queries());
        if view.stat(dir, true)?.is_none_or(|s| s.kind != FileKind::Directory) {
            return fail(format!("[Errno 2] No such file or directory: '{}'", self.path));
        }
        let resolved = asked.resolve(view)?;
        let path = self.path.clone();
        let (action, effects, stat) = if self.directory {
            let stat = resolved.applied(&resolved.fresh(FileKind::Directory, 4096))?;
            let effects = attributes::stat_effects(&path, Some(&stat));
            (Action::MakeDir { path, mode: Some(mode), owner: Owner::default() }, effects, stat)
        } else {
            let wanted = Wanted::bytes(vec![]);
            let stat = resolved.applied(&resolved.fresh(FileKind::File, 0))?;
            let effects = place::written_effects(&path, &stat, &wanted);
            let action = Action::WriteFile {
                path,
                content: wanted.blob,
                mode: Some(mode),
                owner: Owner::default(),
                validate: None,
                backup: None,
            };
            (action, effects, stat)
        };
        let state = if self.directory { "directory" } else { "file" };
        let result = attributes::describe(TaskResult::changed().with("path", self.path.as_str()), &stat);
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Create,
            diff: vec![diff::attributes(
                &self.path,
                &[("state", "absent".to_owned())],
                &[("state", state.to_owned()), ("mode", attributes::octal(mode))],
            )],
            actions: vec![action],
            effects,
            opaque: false,
            result,
        }))
    }
}
