//! `fetch`: a file of a node onto the control machine. The manual is doc/fetch.md.
//!
//! The one file resource that writes here: it does so when it concludes, which only happens in a run that applies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::Value;

use super::common::{diff, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of,
};
use crate::node::{Action, Done};
use crate::world::{Algorithm, FileKind, Query, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "the file of the node").required(),
    ArgSpec::new("dest", Kind::Path, "the folder of the control machine it goes to").required(),
    ArgSpec::new("flat", Kind::Bool, "`dest` is the file itself (or, with a final slash, its folder)").default("no"),
    ArgSpec::new("fail_on_missing", Kind::Bool, "fail if the file is not there").default("yes"),
    ArgSpec::new("validate_checksum", Kind::Bool, "accepted; what arrives is always what was read").default("yes"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "fetch",
    qualified: &["ansible.builtin.fetch"],
    doc: include_str!("doc/fetch.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

struct Fetch {
    shown: String,
    src: String,
    dest: PathBuf,
    fail_on_missing: bool,
    content: std::sync::Mutex<Option<Arc<Vec<u8>>>>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let shown = paths::need(&args, "src", setting)?;
    let src = paths::clean(&shown);
    let variable = |name: &str| (setting.evaluate)(name).map(|v| text_of(&v)).unwrap_or_default();
    let mut dest = args.need("dest")?;
    if dest == "~" || dest.starts_with("~/") {
        dest = format!("{}{}", std::env::var("HOME").unwrap_or_default(), &dest[1..]);
    }
    let is_dir = dest.ends_with('/');
    let base = Path::new(&variable("playbook_dir")).join(&dest);
    let dest = if args.flag("flat")? {
        if is_dir { base.join(paths::basename(&src)) } else { base }
    } else {
        base.join(variable("inventory_hostname")).join(src.trim_start_matches('/'))
    };
    if src.split('/').any(|part| part == "..") {
        return Err(super::common::invalid("`src` of `fetch` must not hold `..`").at(args.span("src")).into());
    }
    Ok(Arc::new(Fetch {
        shown,
        src,
        dest,
        fail_on_missing: args.flag("fail_on_missing")?,
        content: std::sync::Mutex::default(),
    }))
}

impl Resource for Fetch {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([Query::Stat { path: self.src.clone(), follow: true }, Query::Content { path: self.src.clone() }]);
        let missing = |what: &str| {
            let result = TaskResult::unchanged().with("file", self.shown.as_str());
            Ok(if self.fail_on_missing {
                Verdict::Failed(result.with("msg", what))
            } else {
                Verdict::Unchanged(result.with("msg", format!("{what}, not transferring, ignored")))
            })
        };
        match view.stat(&self.src, true)? {
            None => return missing("the remote file does not exist"),
            Some(s) if s.kind == FileKind::Directory => {
                return missing("remote file is a directory, fetch cannot work on directories");
            }
            Some(_) => {}
        }
        let Some(bytes) = view.content(&self.src)? else { return missing("the remote file does not exist") };
        let here = std::fs::read(&self.dest).ok();
        let (sha1, md5) = (Algorithm::Sha1.hex(&bytes), Algorithm::Md5.hex(&bytes));
        let dest = self.dest.display().to_string();
        let result =
            TaskResult::unchanged().with("dest", dest.as_str()).with("checksum", sha1.as_str()).with("md5sum", md5);
        if here.as_deref() == Some(bytes.as_slice()) {
            return Ok(Verdict::Unchanged(result.with("file", self.shown.as_str())));
        }
        if let Ok(mut content) = self.content.lock() {
            *content = Some(bytes.clone());
        }
        Ok(Verdict::Change(Change {
            kind: if here.is_none() { ChangeKind::Create } else { ChangeKind::Change },
            diff: vec![diff::content(&dest, &self.shown, here.as_deref(), Some(&bytes))],
            // Nothing happens on the node.
            actions: vec![Action::Sleep { seconds: 0.0 }],
            effects: vec![],
            opaque: false,
            result: TaskResult { changed: true, ..result }
                .with("remote_checksum", sha1)
                .with("remote_md5sum", Value::from(())),
        }))
    }

    fn conclude(&self, change: &Change, _done: &[Done]) -> Result<TaskResult, TaskResult> {
        let content = self.content.lock().ok().and_then(|c| c.clone());
        let written = match content {
            Some(bytes) => write(&self.dest, &bytes),
            None => Err(std::io::Error::other("it was not read")),
        };
        written.map(|()| change.result.clone()).map_err(|e| {
            TaskResult { changed: false, ..change.result.clone() }
                .with("msg", format!("cannot write {}: {e}", self.dest.display()))
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(path).map(|_| ()).map_err(|e| e.error)
}
