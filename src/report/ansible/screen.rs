//! Where lines go: standard output and standard error, painted as Ansible paints them, without secrets.

use std::io::{IsTerminal, Write};

use super::super::redact::Redactor;

/// What a line is about decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Plain,
    Ok,
    Changed,
    Skip,
    Error,
    Unreachable,
    Warn,
    Deprecate,
    Verbose,
    Debug,
    DiffAdd,
    DiffRemove,
    DiffLines,
}

impl Color {
    fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain => return None,
            Self::Ok | Self::DiffAdd => "0;32",
            Self::Changed => "0;33",
            Self::Skip | Self::DiffLines => "0;36",
            Self::Error | Self::DiffRemove => "0;31",
            Self::Unreachable => "1;31",
            Self::Warn => "1;35",
            Self::Deprecate => "0;35",
            Self::Verbose => "0;34",
            Self::Debug => "1;30",
        })
    }
}

pub struct Screen {
    pub color: bool,
    width: usize,
    redactor: Redactor,
    /// The file of the setting `log_path`.
    log: Option<std::sync::Mutex<std::fs::File>>,
}

/// The width Ansible takes where there is no terminal.
const WIDTH: usize = 79;

impl Screen {
    pub fn new(color: bool, redactor: Redactor) -> Self {
        Self { color, width: width(), redactor, log: None }
    }

    /// The same, writing everything into a file too; one that cannot be written is left out, with a word.
    pub fn logging_to(mut self, path: &std::path::Path) -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        match std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path) {
            Ok(file) => self.log = Some(std::sync::Mutex::new(file)),
            Err(e) => self.error(
                &format!(
                    "[WARNING]: log file at '{}' is not writeable and we cannot create it, aborting: {e}",
                    path.display()
                ),
                Color::Warn,
            ),
        }
        self
    }

    fn note(&self, text: &str, level: &str) {
        let Some(file) = &self.log else { return };
        let now = jiff::Zoned::now();
        let stamp = now.strftime("%Y-%m-%d %H:%M:%S");
        let millis = now.subsec_nanosecond() / 1_000_000;
        let user = crate::node::own_name();
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A full disk is no error of the run.
        drop(writeln!(
            file,
            "{stamp},{millis:03} p={} u={user} n=ansible {level}| {}",
            std::process::id(),
            text.trim_start_matches('\n')
        ));
    }

    /// Text in a colour, line by line.
    pub fn paint(&self, text: &str, color: Color) -> String {
        match color.code() {
            Some(code) if self.color => {
                text.split('\n').map(|line| format!("\x1b[{code}m{line}\x1b[0m")).collect::<Vec<_>>().join("\n")
            }
            _ => text.to_owned(),
        }
    }

    /// A line on standard output.
    pub fn line(&self, text: &str, color: Color) {
        let text = self.redactor.clean(text);
        if !text.is_empty() {
            self.note(&text, "INFO");
        }
        let text = self.paint(&text, color);
        // A reader that went away is no error of the run.
        drop(writeln!(std::io::stdout().lock(), "{text}"));
    }

    /// A line on standard error.
    pub fn error(&self, text: &str, color: Color) {
        let text = self.redactor.clean(text);
        let is_warning = matches!(color, Color::Warn | Color::Deprecate);
        self.note(&text, if is_warning { "WARNING" } else { "ERROR" });
        let text = self.paint(&text, color);
        drop(writeln!(std::io::stderr().lock(), "{text}"));
    }

    /// `PLAY [x] ***…`, after an empty line.
    pub fn banner(&self, text: &str) {
        let stars = self.width.saturating_sub(text.chars().count()).max(3);
        self.line(&format!("\n{text} {}", "*".repeat(stars)), Color::Plain);
    }
}

fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH;
    }
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    columns.saturating_sub(1).max(WIDTH)
}
