//! Where values come from, and turning what is written into typed values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::keys::{Key, Kind};
use crate::problem::Problem;
use crate::source::Span;

/// What settings are read from besides files: given, so that tests are hermetic.
#[derive(Debug, Clone, Default)]
pub struct Start {
    pub cwd: PathBuf,
    pub home: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
}

impl Start {
    /// This process's own.
    pub fn of_process() -> Self {
        Self {
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            home: etcetera::home_dir().ok(),
            env: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        }
    }

    /// A path as written in a setting: `~`, `$VAR` and what it is relative to.
    pub(super) fn path(&self, written: &str, base: &Path) -> PathBuf {
        let mut text = written.replace("{{CWD}}", &self.cwd.to_string_lossy());
        if let (Some(home), Some(rest)) = (&self.home, text.strip_prefix('~'))
            && (rest.is_empty() || rest.starts_with('/'))
        {
            text = format!("{}{rest}", home.display());
        }
        let text = self.expand(&text);
        let mut path = PathBuf::new();
        for part in base.join(text).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    path.pop();
                }
                other => path.push(other),
            }
        }
        path
    }

    /// `$NAME` and `${NAME}`; an unknown one stays.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, end) = match after.strip_prefix('{').and_then(|r| r.split_once('}')) {
                Some((name, _)) => (name, name.len() + 2),
                None => {
                    let n = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                    (&after[..n], n)
                }
            };
            match self.env.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push('$');
                    out.push_str(&after[..end]);
                }
            }
            rest = &after[end..];
        }
        out + rest
    }
}

/// Where a value came from.
#[derive(Debug, Clone)]
pub enum Origin {
    Default,
    /// kdeploy.toml or ansible.cfg, with the place.
    File(Span),
    /// An environment variable's name.
    Env(&'static str),
    /// An option of the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(span) => write!(f, "{span}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

impl Origin {
    /// Sets a problem's place.
    pub fn locate(&self, problem: Problem) -> Problem {
        match self {
            Self::File(span) => problem.or_at(span),
            Self::Env(name) => problem.note(format!("set by the environment variable {name}")),
            Self::CommandLine | Self::Default => problem,
        }
    }
}

/// A setting's value. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Bool(bool),
    Count(u64),
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(t) => f.write_str(t),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Count(n) => write!(f, "{n}"),
            Self::List(items) => f.write_str(&items.join(", ")),
        }
    }
}

/// What is written, before it is known what it should be.
pub(super) enum Written<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    List(Vec<String>),
}

/// Ansible's words for true and false.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
        "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
        _ => None,
    }
}

fn unquote(text: &str) -> &str {
    let text = text.trim();
    ['"', '\''].iter().find_map(|q| text.strip_prefix(*q).and_then(|t| t.strip_suffix(*q))).unwrap_or(text)
}

/// The value a setting of this kind has; `base` is what paths are relative to.
pub(super) fn typed(key: &Key, written: Written<'_>, start: &Start, base: &Path) -> Result<Value, Problem> {
    let path = |text: &str| start.path(text, base).to_string_lossy().into_owned();
    let sources = |items: Vec<String>| -> Vec<String> {
        items.into_iter().map(|s| if s.contains(',') { s } else { path(&s) }).collect()
    };
    let bad = |what: &str, given: &str| Problem::new("bad-setting", format!("`{}` is {what}, not `{given}`", key.name));
    let split = |text: &str, at: char| -> Vec<String> {
        text.split(at).map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
    };
    let shown = match &written {
        Written::Text(t) => (*t).to_owned(),
        Written::Bool(b) => b.to_string(),
        Written::Int(n) => n.to_string(),
        Written::List(items) => items.join(", "),
    };
    Ok(match (key.kind, written) {
        (Kind::Text, Written::Text(t)) => Value::Text(unquote(t).to_owned()),
        (Kind::Text, Written::Int(n)) => Value::Text(n.to_string()),
        (Kind::Bool, Written::Bool(b)) => Value::Bool(b),
        (Kind::Bool, Written::Int(n @ 0..=1)) => Value::Bool(n == 1),
        (Kind::Bool, Written::Text(t)) => Value::Bool(boolean(unquote(t)).ok_or_else(|| bad("true or false", &shown))?),
        (Kind::HostKeys, Written::Bool(b)) => Value::Text(b.to_string()),
        (Kind::HostKeys, Written::Text(t)) => match boolean(unquote(t)) {
            Some(b) => Value::Text(b.to_string()),
            None if unquote(t) == "accept-new" => Value::Text("accept-new".into()),
            None => return Err(bad("true, false or `accept-new`", &shown)),
        },
        (Kind::Count, Written::Int(n)) => Value::Count(u64::try_from(n).map_err(|_| bad("a whole number", &shown))?),
        (Kind::Count, Written::Text(t)) => Value::Count(unquote(t).parse().map_err(|_| bad("a whole number", &shown))?),
        (Kind::Path, Written::Text(t)) => Value::Text(path(unquote(t))),
        (Kind::Paths, Written::Text(t)) => Value::List(split(unquote(t), ':').iter().map(|p| path(p)).collect()),
        (Kind::Paths, Written::List(items)) => Value::List(items.iter().map(|p| path(p)).collect()),
        // A trailing comma makes it a list of hosts, not of files.
        (Kind::Sources, Written::Text(t)) if unquote(t).ends_with(',') => Value::List(vec![unquote(t).to_owned()]),
        (Kind::Sources, Written::Text(t)) => Value::List(sources(split(unquote(t), ','))),
        (Kind::Sources, Written::List(items)) => Value::List(sources(items)),
        (Kind::List, Written::Text(t)) => Value::List(split(unquote(t), ',')),
        (Kind::List, Written::List(items)) => Value::List(items),
        (Kind::Choice(words), Written::Text(t)) => {
            let word = unquote(t).to_lowercase();
            if !words.contains(&word.as_str()) {
                return Err(bad(&format!("one of {}", words.join(", ")), &shown).nearest(&word, words.iter().copied()));
            }
            Value::Text(word)
        }
        (Kind::Bool, _) => return Err(bad("true or false", &shown)),
        (Kind::Count, _) => return Err(bad("a whole number", &shown)),
        (Kind::HostKeys, _) => return Err(bad("true, false or `accept-new`", &shown)),
        (Kind::Text | Kind::Path, _) => return Err(bad("text", &shown)),
        (Kind::Paths | Kind::Sources | Kind::List, _) => return Err(bad("a list of texts", &shown)),
        (Kind::Choice(words), _) => return Err(bad(&format!("one of {}", words.join(", ")), &shown)),
    })
}
