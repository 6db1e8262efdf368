//! ansible.cfg: which one counts, and its sections as Python's `configparser` reads them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sources::Start;
use crate::problem::Problem;
use crate::source::{SourceFile, Span, display_path};

/// One `key = value` of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub section: String,
    pub key: String,
    pub value: String,
    pub key_span: Span,
    pub value_span: Span,
}

/// The ansible.cfg that counts: $ANSIBLE_CONFIG, ./ansible.cfg, ~/.ansible.cfg, /etc/ansible/ansible.cfg; with a warning where the
/// one in the working directory is passed over because anyone may write there.
pub(super) fn find(start: &Start) -> (Option<PathBuf>, Option<Problem>) {
    let mut warning = None;
    let mut candidates = vec![];
    if let Some(given) = start.env.get("ANSIBLE_CONFIG") {
        let path = start.path(given, &start.cwd);
        candidates.push(if path.is_dir() { path.join("ansible.cfg") } else { path });
    }
    let here = start.cwd.join("ansible.cfg");
    let writable = start.cwd.metadata().is_ok_and(|m| m.permissions().mode() & 0o002 != 0);
    if !writable {
        candidates.push(here);
    } else if here.exists() && !candidates.contains(&here) {
        warning = Some(
            Problem::new(
                "world-writable",
                format!("`{}` is ignored: anyone may write to its folder", display_path(&here)),
            )
            .help("take the write permission of others away, or name it in ANSIBLE_CONFIG"),
        );
    }
    candidates.extend(start.home.iter().map(|h| h.join(".ansible.cfg")));
    candidates.push(PathBuf::from("/etc/ansible/ansible.cfg"));
    (candidates.into_iter().find(|p| p.is_file()), warning)
}

/// The entries of a file.
pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Vec<Entry>, Problem> {
    let mut entries: Vec<Entry> = vec![];
    let mut section: Option<String> = None;
    let mut start = 0;
    // Lines indented more than their key continue its value.
    let mut open: Option<usize> = None;
    for raw in file.text.split_inclusive('\n') {
        let offset = start;
        start += raw.len();
        let indent = raw.len() - raw.trim_start().len();
        let line = without_comment(raw).trim();
        if line.is_empty() {
            continue;
        }
        let at = offset + indent;
        let span = Span::new(file, at, at + line.len());
        if let (Some(own), Some(last)) = (open, entries.last_mut())
            && indent > own
        {
            if !last.value.is_empty() {
                last.value.push('\n');
            }
            last.value.push_str(line);
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split_once(']')).map(|(name, _)| name) {
            section = Some(name.to_owned());
            open = None;
            continue;
        }
        let Some(section) = &section else {
            return Err(Problem::new("bad-config", "a section must come first")
                .at(&span)
                .help("begin the file with `[defaults]`"));
        };
        let (key, value) = match line.find(['=', ':']) {
            Some(i) => (line[..i].trim_end(), &line[i + 1..]),
            None => {
                return Err(Problem::new("bad-config", format!("`{line}` is no `key = value`")).at(&span));
            }
        };
        let key_name = key.to_lowercase();
        if let Some(first) = entries.iter().find(|e| e.section == *section && e.key == key_name) {
            return Err(Problem::new("bad-config", format!("`{key_name}` stands twice in `[{section}]`"))
                .at(&span)
                .note(format!("first at {}", first.key_span)));
        }
        let trimmed = value.trim();
        let value_at = at + (line.len() - value.len()) + (value.len() - value.trim_start().len());
        entries.push(Entry {
            section: section.clone(),
            key: key_name,
            value: trimmed.to_owned(),
            key_span: Span::new(file, at, at + key.len()),
            value_span: Span::new(file, value_at, value_at + trimmed.len()),
        });
        open = Some(indent);
    }
    Ok(entries)
}

/// `#` and `;` begin a comment at a line's start, `;` also after a blank.
fn without_comment(line: &str) -> &str {
    let text = line.trim_start();
    if text.starts_with(['#', ';']) {
        return "";
    }
    let bytes = line.as_bytes();
    let end = (1..bytes.len()).find(|i| bytes[*i] == b';' && bytes[i - 1].is_ascii_whitespace());
    &line[..end.unwrap_or(line.len())]
}

/// The kdeploy.toml that counts: the nearest from the working directory upwards.
pub(super) fn find_project(cwd: &Path) -> Option<PathBuf> {
    cwd.ancestors().map(|dir| dir.join("kdeploy.toml")).find(|p| p.is_file())
}
