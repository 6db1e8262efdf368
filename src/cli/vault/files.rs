//! Reading and replacing the files of `kdeploy vault`.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// What of a replaced file stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It becomes the operator's own, 0600.
    Nothing,
    ModeAndOwner,
}

/// A file's bytes; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    if path == Path::new("-") {
        let mut bytes = vec![];
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|e| Problem::new("cannot-read", format!("cannot read standard input: {e}")))?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(|e| Problem::new("cannot-read", format!("cannot read `{}`: {e}", path.display())))
}

/// Replaces a file at once, so that no one ever sees half of it; `-` is standard output. A link stays a link.
pub fn write(path: &Path, bytes: &[u8], keep: Keep) -> Result<(), Problem> {
    let wrong = |e: std::io::Error| Problem::new("cannot-write", format!("cannot write `{}`: {e}", path.display()));
    if path == Path::new("-") {
        let mut out = std::io::stdout();
        return out.write_all(bytes).and_then(|()| out.flush()).map_err(wrong);
    }
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(wrong)?;
    file.write_all(bytes).map_err(wrong)?;
    if keep == Keep::ModeAndOwner
        && let Ok(old) = path.metadata()
    {
        let own = file.as_file().metadata().map_err(wrong)?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid())).map_err(wrong)?;
        }
        file.as_file().set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777)).map_err(wrong)?;
    }
    file.as_file().sync_all().map_err(wrong)?;
    file.persist(&path).map_err(|e| wrong(e.error))?;
    Ok(())
}
