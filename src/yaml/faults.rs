//! Wording what is wrong with a YAML file: what the parser saw, and what the writer most likely meant.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use super::node::Node;
use crate::problem::Problem;
use crate::source::{SourceFile, Span};

/// Control characters have no place in YAML, and break terminals when shown.
pub(super) fn control_characters(file: &Arc<SourceFile>) -> Result<(), Problem> {
    let bad =
        |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || ('\u{7f}'..='\u{9f}').contains(&c) && c != '\u{85}';
    match file.text.char_indices().find(|(_, c)| bad(*c) || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        Some((at, c)) => {
            Err(Problem::new("control-character", format!("the control character U+{:04X} is not allowed", c as u32))
                .at(&Span::new(file, at, at + c.len_utf8()))
                .help("in a double-quoted text it can be written as an escape, for instance \"\\e\" or \"\\x07\""))
        }
        None => Ok(()),
    }
}

/// A mapping or list as a mapping's key: nearly always a template without quotes.
pub(super) fn collection_key(file: &Arc<SourceFile>, key: &Node) -> Problem {
    let (line, _) = line_around(file, key.span.start);
    let template = file.text[key.span.start.min(file.text.len())..].starts_with('{');
    if template && let Some(problem) = unquoted_template(file, line) {
        return problem;
    }
    Problem::new("bad-key", format!("{} cannot be a key", key.kind())).at(&key.span)
}

/// The parser's error as a problem. `original`: from an offset in what was parsed to one in the file.
pub(super) fn syntax(file: &Arc<SourceFile>, error: &ScanError, original: &dyn Fn(usize) -> usize) -> Problem {
    let offset = original(error.marker().byte_offset().unwrap_or(0)).min(file.text.len());
    let (mut line_start, mut line) = line_around(file, offset);
    // An error at the end of a file or at a line's start is often made on the line before.
    let previous = (line_start > 0).then(|| line_around(file, line_start - 1));
    for (_, candidate) in [Some((line_start, line)), previous].into_iter().flatten() {
        let start = candidate.as_ptr() as usize - file.text.as_ptr() as usize;
        if let Some(problem) = unquoted_template(file, start) {
            return problem;
        }
    }
    let at = |start: usize, end: usize| Span::new(file, start, end.max(start));
    let rest = &file.text[offset..];
    let here = at(offset, offset + rest.chars().next().map_or(0, char::len_utf8));
    if line.trim().is_empty()
        && let Some(p) = previous
    {
        (line_start, line) = p;
    }
    if let Some(tab) = leading_tab(line) {
        return Problem::new("yaml-syntax", "a tab cannot indent in YAML")
            .at(&at(line_start + tab, line_start + tab + 1))
            .help("use spaces");
    }
    let problem = |message: &str| Problem::new("yaml-syntax", message.to_owned()).at(&here);
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => problem("a tab cannot indent in YAML").help("use spaces"),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            if let Some(p) = previous.and_then(|(start, line)| missing_space(file, start, line)) {
                return p;
            }
            let problem = problem("a `: ` is not allowed here");
            match value_of(line) {
                Some(value) if value.contains(": ") || value.ends_with(':') => {
                    problem.help(format!("quote the value: {}", quoted(value)))
                }
                _ => problem.help("check the indentation; a value that holds `: ` must be quoted"),
            }
        }
        ErrorKind::UnexpectedCharacter { character } => {
            let problem = Problem::new("yaml-syntax", format!("a value cannot start with `{character}`")).at(&here);
            match value_of(line) {
                Some(value) if value.starts_with(*character) => {
                    problem.help(format!("quote the value: {}", quoted(value)))
                }
                _ => problem.help("quote it"),
            }
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            let problem = problem("a `:` is missing after a key");
            let text = line.trim();
            match text.split_once(':') {
                Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.starts_with(' ') => {
                    problem.help(format!("put a space after the colon: `{key}: {value}`"))
                }
                _ if text.starts_with('-') && !text.starts_with("- ") => problem.help("put a space after the dash"),
                _ => problem.help("every line of a mapping reads `key: value`"),
            }
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockSequenceEntry => {
            let quoted_start = value_of(line).is_some_and(|v| v.starts_with(['"', '\'']));
            if quoted_start {
                problem("text follows the closing quote").help("quote the whole value, not a part of it")
            } else {
                problem("the indentation does not fit the lines above")
                    .help("entries of one list or mapping start in the same column")
            }
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            problem("text follows the closing quote").help("quote the whole value, not a part of it")
        }
        ErrorKind::BlockSequenceEntryNotAllowed => problem("a list entry (`- `) cannot start here")
            .help("put the list on the lines below its key; text that starts with `- ` must be quoted"),
        ErrorKind::TabInPlainScalar if leading_tab(line_after(file, line_start, line)).is_some() => {
            let start = line_start + line.len() + 1;
            Problem::new("yaml-syntax", "a tab cannot indent in YAML").at(&at(start, start + 1)).help("use spaces")
        }
        ErrorKind::InvalidQuotedScalarIndent if rest.trim().is_empty() => {
            problem("a quoted text is never closed").help("add the closing quote")
        }
        ErrorKind::UnclosedQuotedScalar => problem("a quoted text is never closed").help("add the closing quote"),
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '{' { '}' } else { ']' };
            Problem::new("yaml-syntax", format!("`{open}` is never closed"))
                .at(&here)
                .help(format!("add the closing `{close}`"))
        }
        ErrorKind::UnknownQuotedScalarEscape => problem("a double-quoted text has no such escape")
            .help("write the backslash twice, or use single quotes: there a backslash is a backslash"),
        ErrorKind::RecursionLimitExceeded => {
            Problem::new("too-deep", "lists and mappings are nested too deeply").at(&here)
        }
        _ => Problem::new("yaml-syntax", error.info().to_owned()).at(&here),
    }
}

/// The line an offset is in: its start, and its text without the line break.
fn line_around(file: &SourceFile, offset: usize) -> (usize, &str) {
    let mut offset = offset.min(file.text.len());
    while !file.text.is_char_boundary(offset) {
        offset -= 1;
    }
    let start = file.text[..offset].rfind('\n').map_or(0, |i| i + 1);
    let rest = &file.text[start..];
    (start, rest[..rest.find('\n').unwrap_or(rest.len())].trim_end_matches('\r'))
}

fn line_after<'a>(file: &'a SourceFile, start: usize, line: &str) -> &'a str {
    file.text[start + line.len()..].lines().nth(1).unwrap_or("")
}

/// `key:value`: text to YAML, and then the next line's `:` has no key.
fn missing_space(file: &Arc<SourceFile>, start: usize, line: &str) -> Option<Problem> {
    let (key, value) = line.split_once(':')?;
    let name = key.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    (is_name && !value.is_empty() && !value.starts_with([' ', '\t'])).then(|| {
        let colon = start + key.len();
        Problem::new("yaml-syntax", "a space is missing after a colon")
            .at(&Span::new(file, colon, colon + 1))
            .help(format!("write `{name}: {value}`"))
    })
}

fn leading_tab(line: &str) -> Option<usize> {
    let indent = &line[..line.len() - line.trim_start().len()];
    (indent.len() < line.len()).then(|| indent.find('\t')).flatten()
}

/// The value on a `key: value` or `- value` line.
fn value_of(line: &str) -> Option<&str> {
    let mut text = line.trim();
    while let Some(rest) = text.strip_prefix("- ") {
        text = rest.trim_start();
    }
    match text.find(": ") {
        Some(i) => Some(text[i + 2..].trim()),
        None if text.len() < line.trim().len() => Some(text),
        None => None,
    }
}

fn quoted(value: &str) -> String {
    if value.contains('"') { format!("'{}'", value.replace('\'', "''")) } else { format!("\"{value}\"") }
}

/// `key: {{ x }}`: YAML takes the braces for mappings.
fn unquoted_template(file: &Arc<SourceFile>, line_start: usize) -> Option<Problem> {
    let (start, line) = line_around(file, line_start);
    let value = value_of(line)?;
    if !value.starts_with("{{") && !value.starts_with("{%") {
        return None;
    }
    let at = start + (value.as_ptr() as usize - line.as_ptr() as usize);
    Some(
        Problem::new("unquoted-template", "a value that starts with a template must be quoted")
            .at(&Span::new(file, at, at + value.len()))
            .help(format!("quote the value: {}", quoted(value))),
    )
}
