//! Putting content in place: the part that copy, template, get_url, lineinfile and the other editors share.
//!
//! Given what is there and what is wanted, says which actions write it and every answer that holds afterwards.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use super::attributes::{Resolved, UNKNOWN_SIZE, stat_effects, unknown_cause};
use super::diff;
use crate::node::{Action, Blob, Download};
use crate::problem::Problem;
use crate::resources::Diff;
use crate::world::{Algorithm, Answer, Effect, FileKind, Query, Stat, Stop, View};

/// Up to this size a file of the control machine is held in memory (and compared as text).
const IN_MEMORY: u64 = 4 << 20;

/// Content that is to be in a file.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub blob: Blob,
    pub size: Option<u64>,
    /// The bytes where they are at hand.
    pub bytes: Option<Arc<Vec<u8>>>,
    /// Digests that are known.
    pub digests: Vec<(Algorithm, String)>,
    /// It was decrypted: never shown.
    pub secret: bool,
}

impl Wanted {
    pub fn bytes(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        Self {
            blob: Blob::Bytes(bytes.clone()),
            size: Some(bytes.len() as u64),
            digests: vec![(Algorithm::Sha1, Algorithm::Sha1.hex(&bytes))],
            bytes: Some(bytes),
            secret: false,
        }
    }

    pub fn download(download: Download) -> Self {
        let digests = download.checksum.iter().cloned().collect();
        Self { blob: Blob::Download(Arc::new(download)), size: None, bytes: None, digests, secret: false }
    }

    /// A file of the control machine.
    pub fn local(path: &Path) -> Result<Self, Problem> {
        let unreadable =
            |e: std::io::Error| Problem::new("unreadable-file", format!("cannot read `{}`: {e}", path.display()));
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size <= IN_MEMORY {
            return Ok(Self::bytes(std::fs::read(path).map_err(unreadable)?));
        }
        let digests = digests_of(path).map_err(unreadable)?;
        Ok(Self { blob: Blob::File(path.to_owned()), size: Some(size), bytes: None, digests, secret: false })
    }

    /// A file of the control machine, decrypted if it is vaulted.
    pub fn local_decrypted(path: &Path, setting: &crate::resources::Setting) -> Result<Self, Problem> {
        let wanted = Self::local(path)?;
        match &wanted.bytes {
            Some(bytes) if bytes.starts_with(b"$ANSIBLE_VAULT;") => {
                let plain = (setting.decrypt)(bytes)?;
                Ok(Self { secret: true, ..Self::bytes(plain) })
            }
            _ => Ok(wanted),
        }
    }

    pub fn digest(&self, algorithm: Algorithm) -> Option<String> {
        if let Some((_, hex)) = self.digests.iter().find(|(a, _)| *a == algorithm) {
            return Some(hex.clone());
        }
        self.bytes.as_ref().map(|b| algorithm.hex(b))
    }
}

type Stamp = (PathBuf, u64, Option<std::time::SystemTime>);

/// Digests of big local files: every host asks for the same ones.
static DIGESTS: LazyLock<Mutex<HashMap<Stamp, Vec<(Algorithm, String)>>>> = LazyLock::new(Mutex::default);

fn digests_of(path: &Path) -> std::io::Result<Vec<(Algorithm, String)>> {
    use sha2::Digest;
    let meta = std::fs::metadata(path)?;
    let stamp = (path.to_owned(), meta.len(), meta.modified().ok());
    if let Some(known) = DIGESTS.lock().ok().and_then(|map| map.get(&stamp).cloned()) {
        return Ok(known);
    }
    let mut file = std::fs::File::open(path)?;
    let (mut sha1, mut sha256, mut md5) = (sha1::Sha1::new(), sha2::Sha256::new(), md5::Md5::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        sha1.update(&buffer[..n]);
        sha256.update(&buffer[..n]);
        md5.update(&buffer[..n]);
    }
    let all = vec![
        (Algorithm::Sha1, hex::encode(sha1.finalize())),
        (Algorithm::Sha256, hex::encode(sha256.finalize())),
        (Algorithm::Md5, hex::encode(md5.finalize())),
    ];
    if let Ok(mut map) = DIGESTS.lock() {
        map.insert(stamp, all.clone());
    }
    Ok(all)
}

/// How content is to be put in place.
pub struct Placing<'a> {
    /// The clean path that is written (a link there is replaced; follow it before).
    pub path: &'a str,
    /// What is there now, links not followed.
    pub old: Option<&'a Stat>,
    pub wanted: &'a Wanted,
    /// The wanted bytes are there already; only attributes may differ.
    pub same: bool,
    pub attributes: &'a Resolved,
    pub backup: Option<&'a str>,
    pub validate: Option<&'a str>,
    /// Where the content comes from, for the diff's header.
    pub source: &'a str,
}

/// What putting it in place takes.
#[derive(Debug)]
pub struct Placed {
    pub changed: bool,
    pub created: bool,
    pub content_changed: bool,
    pub diff: Vec<Diff>,
    pub actions: Vec<Action>,
    pub effects: Vec<Effect>,
    /// The file's stat afterwards.
    pub stat: Stat,
    pub backup_file: Option<String>,
}

/// Compares and says what to do.
pub fn place(view: &View, p: &Placing) -> Result<Placed, Stop> {
    if let (true, Some(old)) = (p.same, p.old) {
        let fix = p.attributes.fix(p.path, old)?;
        return Ok(Placed {
            changed: fix.is_needed(),
            created: false,
            content_changed: false,
            diff: if fix.is_needed() { vec![fix.diff(p.path)] } else { vec![] },
            effects: if fix.is_needed() { stat_effects(p.path, Some(&fix.stat)) } else { vec![] },
            actions: fix.actions,
            stat: fix.stat,
            backup_file: None,
        });
    }
    let old_file = p.old.filter(|s| s.kind == FileKind::File);
    let old_content = match old_file {
        Some(s) if s.size <= crate::process::max_diff_size() || p.backup.is_some() && s.size <= IN_MEMORY => {
            match view.content(p.path) {
                Ok(content) => content,
                Err(Stop::Needs) => return Err(Stop::Needs),
                // Only the diff is poorer without it.
                Err(_) => None,
            }
        }
        _ => None,
    };
    let size = p.wanted.size.unwrap_or(UNKNOWN_SIZE);
    let mut base = p.attributes.fresh(FileKind::File, size);
    if let Some(old) = old_file {
        base = Stat { size, mtime: f64::NAN, atime: f64::NAN, ctime: f64::NAN, inode: 0, links: 1, ..old.clone() };
    }
    let mut stat = p.attributes.applied(&base)?;
    if p.attributes.mode.is_none() && (stat.uid, stat.gid) != (base.uid, base.gid) {
        stat.mode &= !0o6000;
    }

    let mut diffs = vec![content_diff(p, old_file, old_content.as_ref().map(|c| c.as_slice()))];
    if let Some(old) = old_file {
        let fix = p.attributes.fix(p.path, old)?;
        if !fix.before.is_empty() {
            diffs.push(fix.diff(p.path));
        }
    }
    let mut actions = vec![];
    if p.old.is_some_and(|s| s.kind == FileKind::Directory) {
        return Err(Stop::Failed(format!("{} is a directory, it cannot be replaced by a file", p.path)));
    }
    let backup = p.backup.filter(|_| old_file.is_some());
    actions.push(Action::WriteFile {
        path: p.path.to_owned(),
        content: p.wanted.blob.clone(),
        mode: p.attributes.mode.is_some().then_some(stat.mode),
        owner: p.attributes.owner(),
        validate: p.validate.map(str::to_owned),
        backup: backup.map(str::to_owned),
    });
    let mut effects = written_effects(p.path, &stat, p.wanted);
    if let (Some(backup), Some(old)) = (backup, old_file) {
        effects.extend(stat_effects(backup, Some(&Stat { links: 1, inode: 0, ctime: f64::NAN, ..old.clone() })));
        effects.push(Effect {
            query: Query::Content { path: backup.to_owned() },
            answer: old_content.map(|c| Answer::Content(Some(c))).ok_or_else(unknown_cause),
        });
    }
    Ok(Placed {
        changed: true,
        created: p.old.is_none(),
        content_changed: true,
        diff: diffs,
        actions,
        effects,
        stat,
        backup_file: backup.map(str::to_owned),
    })
}

fn content_diff(p: &Placing, old: Option<&Stat>, before: Option<&[u8]>) -> Diff {
    if p.wanted.secret {
        let before = old.map(|_| "(not shown)\n".to_owned());
        return diff::sizes(p.path, p.source, before, "(decrypted content, not shown)\n".to_owned());
    }
    let shown = |size: u64| size <= crate::process::max_diff_size();
    match &p.wanted.bytes {
        Some(after) if shown(after.len() as u64) && (before.is_some() || old.is_none()) => {
            diff::content(p.path, p.source, before, Some(after))
        }
        _ => {
            let digest = p.wanted.digests.first().map(|(a, hex)| format!(", {} {hex}", a.name())).unwrap_or_default();
            let size = p.wanted.size.map_or("size known after the download".to_owned(), |s| format!("{s} bytes"));
            let before = old.map(|s| match before {
                Some(bytes) => diff::describe(bytes),
                None => format!("({} bytes)\n", s.size),
            });
            diff::sizes(p.path, p.source, before, format!("({size}{digest})\n"))
        }
    }
}

/// Every answer about a regular file that was just written.
pub fn written_effects(path: &str, stat: &Stat, wanted: &Wanted) -> Vec<Effect> {
    let mut effects = stat_effects(path, Some(stat));
    let content = Query::Content { path: path.to_owned() };
    match &wanted.bytes {
        Some(bytes) => effects.push(Effect { query: content, answer: Ok(Answer::Content(Some(bytes.clone()))) }),
        None => {
            effects.push(Effect { query: content, answer: Err(unknown_cause()) });
        }
    }
    for algorithm in Algorithm::ALL {
        let query = Query::Digest { path: path.to_owned(), algorithm };
        match wanted.digests.iter().find(|(a, _)| *a == algorithm) {
            Some((_, hex)) => effects.push(Effect { query, answer: Ok(Answer::Digest(Some(hex.clone()))) }),
            // With known bytes the world computes it when asked.
            None if wanted.bytes.is_some() => {}
            None => effects.push(Effect { query, answer: Err(unknown_cause()) }),
        }
    }
    effects
}

/// Refuses a `validate` without `%s`.
pub fn check_validate(args: &crate::resources::Args) -> Result<Option<String>, Problem> {
    let validate = args.str("validate")?;
    match &validate {
        Some(command) if !command.contains("%s") => Err(Problem::new(
            "invalid-argument",
            format!("`validate` must contain `%s`, the file to be checked: `{command}`"),
        )
        .at(args.span("validate"))),
        _ => Ok(validate),
    }
}
