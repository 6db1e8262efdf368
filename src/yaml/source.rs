//! Reading a file's text: UTF-8, without a byte order mark, of a bounded size.

use std::path::Path;
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::{SourceFile, Span, display_path};

/// Far above any file an operator writes; keeps a mistaken path (an image, a device) from filling the memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A text file, ready to be parsed and pointed into.
pub fn read_source(path: &Path) -> Result<Arc<SourceFile>, Problem> {
    let shown = display_path(path);
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Problem::new("file-not-found", format!("no such file: `{shown}`")),
        _ => Problem::new("unreadable-file", format!("cannot read `{shown}`: {}", io_words(&e))),
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        return Err(Problem::new("unreadable-file", format!("`{shown}` is a directory, not a file")));
    }
    if meta.len() > MAX_BYTES {
        return Err(Problem::new(
            "unreadable-file",
            format!("`{shown}` is larger than {} MiB", MAX_BYTES / 1024 / 1024),
        ));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    crate::source::note_read(path);
    match String::from_utf8(bytes) {
        Ok(text) => {
            Ok(SourceFile::new(path, text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned)))
        }
        Err(e) => {
            let good = e.utf8_error().valid_up_to();
            let bytes = e.into_bytes();
            let file = SourceFile::new(path, String::from_utf8_lossy(&bytes).into_owned());
            Err(Problem::new("not-utf8", format!("`{shown}` is not UTF-8 text (byte {good})"))
                .at(&Span::new(&file, good, good))
                .help("save the file as UTF-8"))
        }
    }
}

/// An I/O error without Rust's `(os error 2)`.
pub(crate) fn io_words(e: &std::io::Error) -> String {
    let text = e.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// True for a file that is encrypted as a whole.
pub fn is_vaulted(text: &str) -> bool {
    text.starts_with("$ANSIBLE_VAULT;")
}
