//! Lookups into files with entries: CSV, INI and Java properties.

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::files::{locate, read_text};
use super::options::{Options, boolean, number, split_term, string};
use crate::template::Context;
use crate::template::args::{err, text};
use crate::template::pyregex::{Flags, PyRegex};

const CSV: [&str; 6] = ["file", "delimiter", "col", "keycol", "default", "encoding"];
const INI: [&str; 10] = [
    "file",
    "section",
    "type",
    "re",
    "default",
    "encoding",
    "case_sensitive",
    "allow_no_value",
    "allow_none",
    "interpolation",
];

pub fn csvfile(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    super::options::only(options, "csvfile", &CSV)?;
    let mut out = vec![];
    for term in terms {
        let (key, options) = split_term(&text(term), options, &CSV)?;
        if key.is_empty() {
            return Err(err("`csvfile` needs the key to look for"));
        }
        let path = locate(context, "files", &string(&options, "file")?.unwrap_or_else(|| "ansible.csv".into()))?;
        let delimiter = match string(&options, "delimiter")?.as_deref() {
            None | Some("TAB" | "\\t") => '\t',
            Some(s) => s.chars().next().unwrap_or('\t'),
        };
        let column = |name, default: usize| {
            Ok::<_, Error>(number(&options, name)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(default))
        };
        let (column, key_column) = (column("col", 1)?, column("keycol", 0)?);
        let content = read_text(context, &path)?;
        let row = rows(&content, delimiter).into_iter().find(|row| row.get(key_column) == Some(&key));
        match row {
            Some(row) => match row.into_iter().nth(column) {
                Some(cell) => out.push(Value::from(cell)),
                None => return Err(err(format!("`{}` has no column {column} in the row of `{key}`", path.display()))),
            },
            None => out.extend(options.get("default").filter(|d| !d.is_none()).cloned()),
        }
    }
    Ok(out)
}

/// The rows of a CSV text: quotes by `"`, doubled inside.
pub fn rows(content: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut out = vec![];
    let (mut row, mut cell) = (vec![], String::new());
    let (mut quoted, mut started) = (false, false);
    let mut chars = content.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => {
                quoted = true;
                started = true;
            }
            c if quoted => cell.push(c),
            c if c == delimiter => {
                row.push(std::mem::take(&mut cell));
                started = true;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                if started || !cell.is_empty() {
                    row.push(std::mem::take(&mut cell));
                    out.push(std::mem::take(&mut row));
                }
                started = false;
            }
            c => cell.push(c),
        }
    }
    if started || !cell.is_empty() {
        row.push(cell);
        out.push(row);
    }
    out
}

pub fn ini(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    super::options::only(options, "ini", &INI)?;
    let mut out = vec![];
    for term in terms {
        let (key, options) = split_term(&text(term), options, &INI)?;
        let path = locate(context, "files", &string(&options, "file")?.unwrap_or_else(|| "ansible.ini".into()))?;
        let content = read_text(context, &path)?;
        let properties = match string(&options, "type")?.as_deref() {
            None | Some("ini") => false,
            Some("properties") => true,
            Some(other) => return Err(err(format!("`type` of `ini` is `ini` or `properties`, not `{other}`"))),
        };
        let case = boolean(&options, "case_sensitive", false);
        let sections = parse_ini(&content, properties, case)?;
        let section = if properties {
            "java_properties".into()
        } else {
            string(&options, "section")?.unwrap_or_else(|| "global".into())
        };
        let entries =
            sections.get(&section).ok_or_else(|| err(format!("`{}` has no section `{section}`", path.display())))?;
        find(&mut out, entries, &key, case, &options)?;
    }
    Ok(out)
}

fn find(
    out: &mut Vec<Value>,
    entries: &IndexMap<String, String>,
    key: &str,
    case: bool,
    options: &Options,
) -> Result<(), Error> {
    if boolean(options, "re", false) {
        let regex = PyRegex::new(key, Flags { ignorecase: !case, ..Flags::default() }).map_err(|e| err(e.0))?;
        for (name, value) in entries {
            if regex.match_start(name).map_err(|e| err(e.0))?.is_some() {
                out.push(Value::from(value.as_str()));
            }
        }
        return Ok(());
    }
    let key = if case { key.to_owned() } else { key.to_lowercase() };
    out.push(match entries.get(&key) {
        Some(value) => Value::from(value.as_str()),
        None => options.get("default").cloned().unwrap_or_else(|| Value::from("")),
    });
    Ok(())
}

type Sections = IndexMap<String, IndexMap<String, String>>;

/// The sections of an INI text.
pub fn ini_sections(content: &str) -> Result<IndexMap<String, IndexMap<String, String>>, Error> {
    parse_ini(content, false, true)
}

/// Python's configparser: `key = value` or `key: value`, indented lines go on, `[DEFAULT]` holds everywhere, `%(name)s` is filled in.
fn parse_ini(content: &str, properties: bool, case: bool) -> Result<Sections, Error> {
    let mut sections = Sections::new();
    let mut section = if properties { "java_properties".to_owned() } else { String::new() };
    if properties {
        sections.insert(section.clone(), IndexMap::new());
    }
    let mut last: Option<String> = None;
    for line in content.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace)
            && let Some(value) = last.as_ref().and_then(|key| sections.get_mut(&section)?.get_mut(key))
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.rfind(']').map(|i| &t[..i])) {
            section = name.to_owned();
            sections.entry(section.clone()).or_default();
            last = None;
            continue;
        }
        let Some(entries) = sections.get_mut(&section) else {
            return Err(err(format!("the line `{trimmed}` stands before the first section")));
        };
        let at = trimmed.find(['=', ':']);
        let (key, value) = at.map_or((trimmed, ""), |i| (trimmed[..i].trim_end(), trimmed[i + 1..].trim_start()));
        let key = if case { key.to_owned() } else { key.to_lowercase() };
        entries.insert(key.clone(), value.to_owned());
        last = Some(key);
    }
    let defaults = sections.get("DEFAULT").cloned().unwrap_or_default();
    for entries in sections.values_mut() {
        for (key, value) in &defaults {
            entries.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let known = entries.clone();
        for value in entries.values_mut() {
            *value = filled(value, &known, 0);
        }
    }
    Ok(sections)
}

fn filled(value: &str, known: &IndexMap<String, String>, depth: usize) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(tail) = tail.strip_prefix('%') {
            out.push('%');
            rest = tail;
            continue;
        }
        let name = tail.strip_prefix('(').and_then(|t| t.find(")s").map(|i| &t[..i]));
        match name.and_then(|n| Some((n, known.get(&n.to_lowercase())?))) {
            Some((name, found)) if depth < 10 => {
                out.push_str(&filled(found, known, depth + 1));
                rest = &tail[name.len() + 3..];
            }
            _ => {
                out.push('%');
                rest = tail;
            }
        }
    }
    out + rest
}
