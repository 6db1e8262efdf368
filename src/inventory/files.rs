//! group_vars/ and host_vars/: which files belong to a name, and their variables.
//!
//! For each name the first of `NAME` (a file or a folder), `NAME.yml`, `NAME.yaml`, `NAME.json` counts; a folder is read
//! whole, sorted. Files are read once, when first asked for.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::problem::Problem;
use crate::source::{SourceFile, Span, display_path};
use crate::vars::Scope;
use crate::vars::vault::VaultSecrets;
use crate::yaml::{self, Node};

const EXTENSIONS: [&str; 3] = ["yml", "yaml", "json"];

/// What opens a vaulted file.
type Open = dyn Fn(&Arc<SourceFile>) -> Result<String, Problem> + Send + Sync;

/// Turns a vaulted file's text into what it holds.
#[derive(Clone)]
pub struct Decrypt(pub Arc<Open>);

impl Decrypt {
    /// With the vault passwords of a run.
    pub fn with(secrets: &Arc<VaultSecrets>) -> Self {
        let secrets = secrets.clone();
        Self(Arc::new(move |file| {
            let place = Span::of_file(file);
            let plain = secrets.decrypt(&file.text).map_err(|e| e.into_problem().or_at(&place))?;
            String::from_utf8(plain)
                .map_err(|_| Problem::new("not-utf8", "the decrypted file is not UTF-8 text").at(&place))
        }))
    }
}

impl fmt::Debug for Decrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decrypt")
    }
}

type Cache = HashMap<PathBuf, Arc<Vec<Arc<Scope>>>>;

/// The variable files read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct VarFiles {
    cache: Arc<Mutex<Cache>>,
    warnings: Arc<Mutex<Vec<Problem>>>,
    pub decrypt: Option<Decrypt>,
}

impl VarFiles {
    /// The scopes of `BASE/KIND/NAME…`, one per file, weakest first.
    pub fn scopes(&self, base: &Path, kind: &str, name: &str) -> Result<Arc<Vec<Arc<Scope>>>, Problem> {
        // A name is not a path.
        if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
            return Ok(Arc::default());
        }
        let key = base.join(kind).join(name);
        if let Some(found) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(found.clone());
        }
        let (files, ignored) = files_for(&key)?;
        for path in ignored {
            self.warn(
                Problem::new(
                    "shadowed-file",
                    format!("`{}` is not read: `{}` comes first", display_path(&path), display_path(&key)),
                )
                .help(format!("move it into `{}/`", display_path(&key))),
            );
        }
        let mut scopes = vec![];
        for path in files {
            let vars = self.read(&path)?;
            if !vars.is_empty() {
                scopes.push(Scope::written(display_path(&path), vars));
            }
        }
        let scopes = Arc::new(scopes);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, scopes.clone());
        Ok(scopes)
    }

    fn warn(&self, problem: Problem) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.iter().any(|w| w.message == problem.message && w.notes == problem.notes) {
            warnings.push(problem);
        }
    }

    /// What was odd in the files read since the last call.
    pub fn take_warnings(&self) -> Vec<Problem> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, path: &Path) -> Result<Vec<(String, Node)>, Problem> {
        let mut file = yaml::read_source(path)?;
        if yaml::is_vaulted(&file.text) {
            let Some(decrypt) = &self.decrypt else {
                return Err(Problem::new(
                    "vaulted-file",
                    format!("`{}` is encrypted, and no vault password is given", display_path(path)),
                )
                .at(&Span::of_file(&file))
                .help("give --vault-password-file, --vault-id or --ask-vault-pass"));
            };
            let text = (decrypt.0)(&file)?;
            file = SourceFile::decrypted(path, text);
        }
        let loaded = yaml::parse(&file)?;
        for warning in &loaded.warnings {
            self.warn(warning.clone());
        }
        variables(&loaded.single()?)
    }
}

/// The variables of a file: a mapping with names as keys, or nothing.
pub fn variables(root: &Node) -> Result<Vec<(String, Node)>, Problem> {
    if root.is_null() {
        return Ok(vec![]);
    }
    let Some(map) = root.as_map() else {
        return Err(Problem::new(
            "bad-variable-file",
            format!("a file of variables is a mapping, not {}", root.kind()),
        )
        .at(&root.span)
        .help("write `name: value` on each line"));
    };
    map.iter()
        .map(|(key, value)| match key.scalar_text() {
            Some(name) => Ok((name, value.clone())),
            None => Err(Problem::new("bad-variable-file", format!("a variable's name is text, not {}", key.kind()))
                .at(&key.span)),
        })
        .collect()
}

/// The files to read for a path without extension, and those that are there but do not count.
fn files_for(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Problem> {
    let mut candidates = vec![path.to_owned()];
    candidates.extend(EXTENSIONS.iter().map(|ext| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(ext);
        PathBuf::from(name)
    }));
    candidates.retain(|p| p.exists());
    if candidates.is_empty() {
        return Ok((vec![], vec![]));
    }
    let first = candidates.remove(0);
    let mut files = vec![];
    if first.is_dir() {
        folder(&first, &mut files, 0)?
    } else {
        files.push(first)
    }
    Ok((files, candidates))
}

fn folder(dir: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), Problem> {
    let failed = |e: std::io::Error| {
        Problem::new("unreadable-file", format!("cannot read the folder `{}`: {e}", display_path(dir)))
    };
    if depth > 32 {
        return Err(Problem::new("unreadable-file", format!("`{}` is nested too deeply", display_path(dir))));
    }
    let mut names = vec![];
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort();
    for name in names {
        let text = name.to_string_lossy();
        if text.starts_with('.') || text.ends_with('~') {
            continue;
        }
        let path = dir.join(&name);
        let extension = Path::new(&*text).extension().map(|e| e.to_string_lossy().into_owned());
        let known = extension.as_deref().is_none_or(|e| EXTENSIONS.contains(&e));
        if path.is_dir() {
            if extension.is_none() {
                folder(&path, files, depth + 1)?;
            }
        } else if known && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}
