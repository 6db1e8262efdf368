//! `copy`: files, folders and given content onto a node. The manual is doc/copy.md.

mod folder;
mod on_node;

use std::path::PathBuf;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::common::attributes::{self, Attributes, COMMON, Resolved};
use super::common::place::{self, Placing, Wanted};
use super::common::{concat, fail, invalid, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, ModeSpec, Resource, ResourceType, Setting, TaskResult, Verdict,
};
use crate::node::{Action, Done};
use crate::problem::Problem;
use crate::world::{Algorithm, FileKind, Query, Stat, Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "a file or folder of the control machine (with `remote_src`: of the node)"),
    ArgSpec::new("content", Kind::Raw, "the content itself, in place of `src`; a mapping or list becomes JSON"),
    ArgSpec::new("dest", Kind::Path, "where it goes; a folder if it ends with `/` or is one").required(),
    ArgSpec::new("remote_src", Kind::Bool, "`src` is on the node").default("no"),
    ArgSpec::new("force", Kind::Bool, "replace a file that differs; otherwise only make one that is missing")
        .aliases(&["thirsty"])
        .default("yes"),
    ArgSpec::new("backup", Kind::Bool, "keep the replaced file under a name with the time").default("no"),
    ArgSpec::new("validate", Kind::Str, "a command with `%s` that checks the new file before it is put in place"),
    ArgSpec::new("directory_mode", Kind::Mode, "permissions of folders that are made"),
    ArgSpec::new("follow", Kind::Bool, "if `dest` is a link, write what it points to").default("no"),
    ArgSpec::new("local_follow", Kind::Bool, "copy what links in a source folder point to").default("yes"),
    ArgSpec::new("checksum", Kind::Str, "the SHA-1 that the source must have"),
    ArgSpec::new("decrypt", Kind::Bool, "decrypt a vaulted source").default("yes"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "copy",
    qualified: &["ansible.builtin.copy"],
    doc: include_str!("doc/copy.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

/// How files are to be put in place, whatever they come from.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub attributes: Attributes,
    pub directory_mode: Option<ModeSpec>,
    pub backup: bool,
    pub force: bool,
    pub follow: bool,
    pub validate: Option<String>,
    /// The SHA-1 the content must have.
    pub checksum: Option<String>,
}

/// One content that goes to one file: `copy` of a file or of `content`, and `template`.
#[derive(Debug)]
pub(super) struct One {
    pub wanted: Wanted,
    /// As written (or its folder, with a final slash).
    pub dest: String,
    /// The name it gets in a folder.
    pub name: String,
    /// For `src` in the result and the diff's header.
    pub source: String,
    pub manner: Manner,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let dest = paths::need(args, "dest", setting)?;
    let manner = Manner {
        attributes: Attributes::from_args(args, setting)?,
        directory_mode: args.mode("directory_mode")?,
        backup: args.flag("backup")? && !setting.check_mode,
        force: args.flag("force")?,
        follow: args.flag("follow")?,
        validate: place::check_validate(args)?,
        checksum: args.str("checksum")?.map(|c| c.to_lowercase()),
    };
    let content = args.raw("content").filter(|_| args.given("content"));
    let src = args.str("src")?.filter(|s| !s.is_empty());
    match (content, src) {
        (Some(_), Some(_)) => Err(invalid("`src` and `content` of `copy` exclude each other").at(args.span("content"))),
        (None, None) => Err(invalid("`copy` needs `src` or `content`").at(args.task_span())),
        (Some(content), None) => {
            if dest.ends_with('/') {
                return Err(invalid("`content` goes to a file, but `dest` ends with `/`").at(args.span("dest")));
            }
            let wanted = Wanted::bytes(content_bytes(content));
            Ok(Arc::new(One { wanted, dest, name: String::new(), source: "content".to_owned(), manner }))
        }
        (None, Some(src)) if args.flag("remote_src")? => {
            let src = paths::expand_text(&src, setting).map_err(|p| p.or_at(args.span("src")))?;
            // `local_follow` is about the control machine: on the node links stay links.
            on_node::build(src, dest, manner, false)
        }
        (None, Some(src)) => {
            let path = (setting.find_file)("files", &src).map_err(|p| p.or_at(args.span("src")))?;
            let decrypt = args.flag("decrypt")?;
            let read = |path: &std::path::Path| {
                if decrypt { Wanted::local_decrypted(path, setting) } else { Wanted::local(path) }
            };
            if path.is_dir() {
                return folder::build(&path, src, dest, manner, args.flag("local_follow")?, &read)
                    .map_err(|p| p.or_at(args.span("src")));
            }
            let one = local_file(&path, &src, dest, manner, &read);
            Ok(Arc::new(one.map_err(|p| p.or_at(args.span("src")))?))
        }
    }
}

/// Reads a file of the control machine.
type Reader<'a> = &'a dyn Fn(&std::path::Path) -> Result<Wanted, Problem>;

fn local_file(
    path: &std::path::Path,
    src: &str,
    dest: String,
    mut manner: Manner,
    read: Reader,
) -> Result<One, Problem> {
    let wanted = read(path)?;
    if manner.attributes.preserves_mode() {
        manner.attributes = manner.attributes.with_mode(Some(ModeSpec::Octal(local_mode(path))));
    }
    Ok(One { wanted, dest, name: paths::basename(src).to_owned(), source: path.display().to_string(), manner })
}

/// The permission bits of a file of the control machine.
pub(super) fn local_mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).map_or(0o644, |m| m.permissions().mode() & 0o7777)
}

/// What `content` means: text as it is, everything else as JSON.
fn content_bytes(content: &Value) -> Vec<u8> {
    match content.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => python_json(content).into_bytes(),
        ValueKind::Bytes => content.as_bytes().unwrap_or_default().to_vec(),
        _ => super::args::text_of(content).into_bytes(),
    }
}

/// JSON with Python's default separators and escapes.
pub(super) fn python_json(value: &Value) -> String {
    match value.kind() {
        ValueKind::Map => {
            let mut parts = vec![];
            for key in value.try_iter().into_iter().flatten() {
                let item = value.get_item(&key).unwrap_or_default();
                let key = if key.kind() == ValueKind::String { super::args::text_of(&key) } else { python_json(&key) };
                parts.push(format!("{}: {}", json_text(&key), python_json(&item)));
            }
            format!("{{{}}}", parts.join(", "))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let parts: Vec<String> = value.try_iter().into_iter().flatten().map(|v| python_json(&v)).collect();
            format!("[{}]", parts.join(", "))
        }
        ValueKind::String => json_text(&super::args::text_of(value)),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::None | ValueKind::Undefined => "null".to_owned(),
        _ => value.to_string(),
    }
}

fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

/// The file that is written: `dest`, the name in it if it is a folder, the end of the link if links are followed.
#[derive(Debug)]
pub(super) struct Spot {
    pub path: String,
    /// What is there, links not followed.
    pub old: Option<Stat>,
}

/// Finds the spot a content goes to. `Err(Failed)` if its folder is missing.
pub(super) fn spot(view: &View, dest: &str, name: &str, follow: bool) -> Result<Spot, Stop> {
    let clean = paths::clean(dest);
    let in_folder = paths::clean(&paths::join(&clean, name));
    if !name.is_empty() {
        view.want([
            Query::Stat { path: in_folder.clone(), follow: false },
            Query::Digest { path: in_folder.clone(), algorithm: Algorithm::Sha1 },
        ]);
    }
    let mut path = clean.clone();
    if !name.is_empty()
        && (dest.ends_with('/') || view.stat(&clean, true)?.is_some_and(|s| s.kind == FileKind::Directory))
    {
        path = in_folder;
    }
    let mut old = view.stat(&path, false)?;
    if follow
        && old.as_ref().is_some_and(|s| s.kind == FileKind::Link)
        && let Some(real) = old.as_ref().and_then(|s| s.real.clone())
    {
        path = real;
        old = view.stat(&path, false)?;
    }
    Ok(Spot { path, old })
}

impl One {
    /// Everything that is surely asked, so that it is one batch.
    fn want(&self, view: &View) {
        let clean = paths::clean(&self.dest);
        view.want([
            Query::Stat { path: clean.clone(), follow: false },
            Query::Stat { path: clean.clone(), follow: true },
            Query::Stat { path: paths::dirname(&clean).to_owned(), follow: true },
        ]);
        if !self.dest.ends_with('/') {
            view.want([Query::Digest { path: clean, algorithm: Algorithm::Sha1 }]);
        }
        view.want(self.manner.attributes.queries());
    }

    pub(super) fn run(&self, view: &View) -> Result<Verdict, Stop> {
        self.want(view);
        let sha1 = self.wanted.digest(Algorithm::Sha1);
        if let (Some(wanted), Some(is)) = (&self.manner.checksum, &sha1)
            && wanted != is
        {
            let result = TaskResult::unchanged()
                .with("msg", "Copied file does not match the expected checksum. Transfer failed.")
                .with("checksum", is.as_str())
                .with("expected_checksum", wanted.as_str());
            return Ok(Verdict::Failed(result));
        }
        let Spot { path, old } = spot(view, &self.dest, &self.name, self.manner.follow)?;
        let result = TaskResult::unchanged().with("dest", path.as_str());
        if old.is_some() && !self.manner.force {
            return Ok(Verdict::Unchanged(result.with("src", self.source.as_str())));
        }
        let resolved = self.manner.attributes.resolve(view)?;
        let mut folders = super::file::Work::default();
        if old.is_none() {
            let dir = paths::dirname(&path);
            match view.stat(dir, true)? {
                Some(s) if s.kind == FileKind::Directory => {}
                None if self.dest.ends_with('/') => {
                    make_folders(view, &self.manner, dir, &mut folders)?;
                }
                _ => return fail(format!("Destination directory {dir} does not exist")),
            }
        }
        let is_file = old.as_ref().is_some_and(|s| s.kind == FileKind::File);
        let same = is_file && view.digest(&path, Algorithm::Sha1)?.is_some_and(|d| Some(d) == sha1);
        let backup = self.manner.backup.then(|| paths::backup_name(&path));
        let placed = place::place(
            view,
            &Placing {
                path: &path,
                old: old.as_ref(),
                wanted: &self.wanted,
                same,
                attributes: &resolved,
                backup: backup.as_deref(),
                validate: self.manner.validate.as_deref(),
                source: &self.source,
            },
        )?;
        let mut result =
            attributes::describe(result, &placed.stat).with("checksum", sha1.map_or(Value::from(()), Value::from));
        if placed.content_changed {
            result = result.with("src", self.source.as_str()).with("md5sum", self.wanted.digest(Algorithm::Md5));
        } else {
            result = result.with("path", path.as_str());
        }
        if let Some(backup) = &placed.backup_file {
            result = result.with("backup_file", backup.as_str());
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

/// Missing folders, with `directory_mode` and the files' owner.
fn make_folders(view: &View, manner: &Manner, dir: &str, work: &mut super::file::Work) -> Result<(), Stop> {
    let resolved = folder_attributes(manner).resolve(view)?;
    super::file::make_dirs(view, &resolved, dir, work).map(|_| ())
}

fn folder_attributes(manner: &Manner) -> Attributes {
    manner.attributes.with_mode(manner.directory_mode.clone().filter(|m| *m != ModeSpec::Symbolic("preserve".into())))
}

impl Resource for One {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        self.run(view)
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        super::concluded(change, done).map_err(validated)
    }
}

/// The exit code of `validate` under the name that `copy` and `template` give it.
fn validated(result: TaskResult) -> TaskResult {
    let of_validate = |msg: &Value| msg.as_str().is_some_and(|m| m.ends_with("failed to validate"));
    match (result.values.get("msg").is_some_and(of_validate), result.values.get("rc").cloned()) {
        (true, Some(code)) => result.with("exit_status", code),
        _ => result,
    }
}

/// A file of the control machine within a folder that is copied.
#[derive(Debug)]
struct Member {
    relative: String,
    path: PathBuf,
    wanted: Wanted,
}

/// Owner, group and mode for one member.
fn resolved_for(resolved: &Resolved, preserve: bool, mode: u32) -> Resolved {
    if preserve { resolved.with_mode(Some(ModeSpec::Octal(mode))) } else { resolved.clone() }
}

/// Sets `changed` and gathers what several files need into one verdict.
fn verdict_of(placed: Vec<Action>, change: Change) -> Verdict {
    if placed.is_empty() {
        return Verdict::Unchanged(TaskResult { changed: false, ..change.result });
    }
    Verdict::Change(Change { actions: placed, ..change })
}
