//! Blobs made ready to travel: bytes, files of the control machine, downloads.

use std::fs::File;
use std::path::Path;

use super::shell::Piece;
use super::{Action, Blob};

/// Opens what a blob stands for; downloads it if need be. `Err`: why it cannot be had.
pub(super) fn open(blob: &Blob) -> Result<Piece, String> {
    match blob {
        Blob::Bytes(bytes) => Ok(Piece::Bytes(bytes.clone())),
        Blob::File(path) => open_file(path),
        Blob::Download(download) => {
            let (path, _) = super::download::fetch(download).map_err(|p| p.message)?;
            open_file(&path)
        }
    }
}

pub(super) fn open_file(path: &Path) -> Result<Piece, String> {
    let trouble = |e: std::io::Error| format!("cannot read `{}` on the control machine: {e}", path.display());
    let file = File::open(path).map_err(trouble)?;
    let meta = file.metadata().map_err(trouble)?;
    if !meta.is_file() {
        return Err(format!("`{}` on the control machine is no regular file", path.display()));
    }
    Ok(Piece::File(file, meta.len()))
}

/// The blob an action sends along.
pub(super) fn of_action(action: &Action) -> Option<Result<Piece, String>> {
    match action {
        Action::WriteFile { content, .. } => Some(open(content)),
        Action::Exec(spec) => spec.stdin.as_ref().map(|bytes| Ok(Piece::Bytes(std::sync::Arc::new(bytes.clone())))),
        Action::Confirm(confirm) => Some(Ok(Piece::Bytes(std::sync::Arc::new(confirm.text())))),
        Action::Ledger { lines, .. } => Some(Ok(Piece::Bytes(lines.clone()))),
        _ => None,
    }
}
