//! Source files and places in them.
//!
//! Every node of every file an operator writes remembers where it stands, so that a message can show
//! `file:line:column` and the line itself. Files are shared (`Arc`), a [`Span`] is cheap to clone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One text file that was read, or a text given on the command line (then `path` is a label such as `<extra vars>`).
#[derive(Debug)]
pub struct SourceFile {
    pub path: PathBuf,
    pub text: String,
    /// Its text was encrypted: it is never shown, nor any value written in it.
    pub secret: bool,
}

impl SourceFile {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into(), secret: false })
    }

    /// What a vaulted file holds.
    pub fn decrypted(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into(), secret: true })
    }

    /// 1-based line and 1-based column (in characters) of a byte offset; an offset past the end is the end.
    pub fn line_col(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// The path as shown to people: relative to the working directory where that is shorter.
    pub fn display_path(&self) -> String {
        display_path(&self.path)
    }
}

static READ: std::sync::Mutex<std::collections::BTreeSet<PathBuf>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());

/// Notes that a file or folder of the control machine went into the run: a saved plan holds its digest.
pub fn note_read(path: &Path) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    READ.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(path);
}

/// Files and folders noted so far.
pub fn files_read() -> Vec<PathBuf> {
    READ.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned().collect()
}

/// A path as shown to people: relative to the working directory if it lies below it.
pub fn display_path(path: &Path) -> String {
    if let Ok(cwd) = std::env::current_dir()
        && let Ok(rest) = path.strip_prefix(&cwd)
        && !rest.as_os_str().is_empty()
    {
        return rest.display().to_string();
    }
    path.display().to_string()
}

/// A byte range of a file.
#[derive(Clone)]
pub struct Span {
    pub file: Arc<SourceFile>,
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(file: &Arc<SourceFile>, start: usize, end: usize) -> Self {
        Self { file: file.clone(), start, end }
    }

    /// The whole file, shown as its first position.
    pub fn of_file(file: &Arc<SourceFile>) -> Self {
        Self::new(file, 0, 0)
    }

    pub fn line(&self) -> usize {
        self.file.line_col(self.start).0
    }

    /// `path:line`, the form of `path` in the JSON output.
    pub fn path_line(&self) -> String {
        format!("{}:{}", self.file.display_path(), self.line())
    }

    /// The directory the file lies in.
    pub fn dir(&self) -> &Path {
        self.file.path.parent().unwrap_or(Path::new(""))
    }
}

/// `path:line:column`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, col) = self.file.line_col(self.start);
        write!(f, "{}:{line}:{col}", self.file.display_path())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
