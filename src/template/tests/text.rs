//! Tests on text: regular expressions, URIs, vault.

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, items, opt_string, string, text};
use crate::template::pyregex::{Flags, PyRegex};

pub const TESTS: &[Entry] = &[
    ("match", |_, c| regex(c, Kind::Match)),
    ("search", |_, c| regex(c, Kind::Search)),
    ("regex", |_, c| regex(c, Kind::Any)),
    ("uri", |_, c| uri(c, |_| true)),
    ("url", |_, c| uri(c, |parts| !parts.scheme.is_empty() && !parts.host.is_empty())),
    ("urn", urn),
    ("vault_encrypted", |_, c| {
        super::basic::on(c, |v| {
            let context = crate::template::call::current()?;
            Ok(v.as_str().is_some_and(|s| context.engine().was_vaulted(s)))
        })
    }),
    ("vaulted_file", |_, c| {
        super::basic::on(c, |v| {
            let path = crate::template::filters::expand_user(&string(v, "path")?);
            std::fs::read(&path)
                .map(|b| b.starts_with(b"$ANSIBLE_VAULT"))
                .map_err(|e| err(format!("can't read `{path}`: {e}")))
        })
    }),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Match,
    Search,
    Any,
}

fn regex(call: Call, kind: Kind) -> Result<Value, Error> {
    let [value, pattern, ignorecase, multiline, match_type] =
        call.bind(["value", "pattern", "ignorecase", "multiline", "match_type"], 1)?;
    let value = text(&value.unwrap_or_default());
    let pattern = opt_string(pattern.as_ref(), "pattern")?.unwrap_or_default();
    let flags = Flags {
        ignorecase: flag(ignorecase.as_ref(), false),
        multiline: flag(multiline.as_ref(), false),
        ..Flags::default()
    };
    let match_type = match kind {
        Kind::Match => "match".into(),
        Kind::Search => "search".into(),
        Kind::Any => opt_string(match_type.as_ref(), "match_type")?.unwrap_or_else(|| "search".into()),
    };
    let regex = PyRegex::new(&pattern, flags).map_err(|e| err(e.0))?;
    let found = match match_type.as_str() {
        "search" => regex.search(&value),
        "match" => regex.match_start(&value),
        "fullmatch" => regex.full_match(&value),
        other => return Err(err(format!("`match_type` is `search`, `match` or `fullmatch`, not `{other}`"))),
    };
    found.map(|m| Value::from(m.is_some())).map_err(|e| err(e.0))
}

struct Parts {
    scheme: String,
    host: String,
}

fn parts(s: &str) -> Parts {
    let scheme = s.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let rest = scheme.map_or(s, |scheme| &s[scheme.len() + 1..]);
    let host = rest.strip_prefix("//").map(|r| &r[..r.find(['/', '?', '#']).unwrap_or(r.len())]).unwrap_or_default();
    Parts { scheme: scheme.unwrap_or_default().to_lowercase(), host: host.to_owned() }
}

fn uri(call: Call, more: fn(&Parts) -> bool) -> Result<Value, Error> {
    let [value, schemes] = call.bind(["value", "schemes"], 1)?;
    let value = value.unwrap_or_default();
    let Some(s) = value.as_str() else { return Ok(Value::from(false)) };
    let parts = parts(s);
    let known = match schemes.filter(|s| !s.is_none()) {
        Some(schemes) => items(&schemes)?.iter().any(|s| text(s) == parts.scheme),
        None => true,
    };
    // any text can be read as a URI reference
    Ok(Value::from(known && more(&parts)))
}

fn urn(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    Ok(Value::from(value.as_str().is_some_and(|s| parts(s).scheme == "urn")))
}
