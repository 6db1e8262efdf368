//! `kdeploy vault edit` and `create`: plain text exists only in a folder of the operator's own, and only while the editor runs.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{Keep, read, write};
use super::{Vault, about, open};
use crate::problem::Problem;

/// Edits a vaulted file; it is written with the password that opened it, unless another id is named.
pub fn edit(vault: &Vault, path: &Path, id: Option<&str>) -> Result<(), Problem> {
    let (plain, secret) = open(vault, &read(path)?).map_err(|p| about(p, path))?;
    let secret = match id {
        Some(_) => vault.to_encrypt(id)?,
        None => secret,
    };
    let draft = Draft::new(path, &plain)?;
    let edited = draft.edit(&vault.editor)?;
    if edited == plain {
        return Ok(());
    }
    write(path, vault.seal(&edited, secret)?.as_bytes(), Keep::ModeAndOwner)
}

/// Makes a new vaulted file.
pub fn create(vault: &Vault, path: &Path, id: Option<&str>, without_terminal: bool) -> Result<(), Problem> {
    if path.exists() {
        return Err(Problem::new("usage", format!("`{}` exists", path.display())).help("use `kdeploy vault edit`"));
    }
    if !without_terminal && !std::io::stdout().is_terminal() {
        return Err(Problem::new("no-terminal", "the editor needs a terminal")
            .help("give --skip-tty-check if it does not, or encrypt a file: `kdeploy vault encrypt`"));
    }
    let secret = vault.to_encrypt(id)?;
    let text = Draft::new(path, b"")?.edit(&vault.editor)?;
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .map_err(|e| Problem::new("cannot-write", format!("cannot make `{}`: {e}", dir.display())))?;
    }
    write(path, vault.seal(&text, secret)?.as_bytes(), Keep::Nothing)
}

/// Plain text on disk, 0600 in a folder 0700. Overwritten and removed when it goes, also after a failure.
struct Draft {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Draft {
    fn new(target: &Path, plain: &[u8]) -> Result<Self, Problem> {
        let wrong = |e: std::io::Error| Problem::new("cannot-write", format!("cannot make a temporary file: {e}"));
        // In memory where there is such a place.
        let shared = Path::new("/dev/shm");
        let dir = tempfile::Builder::new().prefix("kdeploy-vault-").tempdir_in(shared);
        let dir = dir.or_else(|_| tempfile::Builder::new().prefix("kdeploy-vault-").tempdir()).map_err(wrong)?;
        // The editor knows by the name what it is.
        let name = target.file_name().map_or_else(|| "vault.yml".into(), std::ffi::OsStr::to_owned);
        let path = dir.path().join(name);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(wrong)?;
        file.write_all(plain).map_err(wrong)?;
        Ok(Self { path, _dir: dir })
    }

    /// What the text is after the editor has ended.
    fn edit(&self, editor: &str) -> Result<Vec<u8>, Problem> {
        let mut words = editor.split_whitespace();
        let status = Command::new(words.next().unwrap_or("vi"))
            .args(words)
            .arg(&self.path)
            .status()
            .map_err(|e| Problem::new("no-editor", format!("cannot run `{editor}`: {e}")).help("set EDITOR"))?;
        if !status.success() {
            return Err(Problem::new("no-editor", format!("`{editor}` failed ({status}); nothing was written")));
        }
        std::fs::read(&self.path).map_err(|e| Problem::new("cannot-read", format!("cannot read what was edited: {e}")))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Ok(meta) = self.path.metadata()
            && let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(&self.path)
        {
            let zeros = vec![0; usize::try_from(meta.len()).unwrap_or(0)];
            drop(file.write_all(&zeros).and_then(|()| file.sync_all()));
        }
        drop(std::fs::remove_file(&self.path));
    }
}
