//! Ansible's facts, gathered raw by one script (`sh/facts.sh`) and parsed here.
//!
//! Names, types and values are those of `ansible -m setup`; `tests/facts.rs` holds them against it.

mod distribution;
mod hardware;
mod network;
mod system;
mod virtualization;

use std::collections::{HashMap, HashSet};

use memchr::memmem;
use serde_json::{Map, Value};

use super::ask::Reply;
use crate::world::Answer;

pub const SCRIPT: &str = include_str!("sh/facts.sh");

/// What the script brought.
pub(super) struct Raw<'a> {
    reply: &'a Reply,
    files: HashMap<String, String>,
    /// Paths and words that exist.
    flags: HashSet<String>,
    flag_list: Vec<String>,
}

impl Raw<'_> {
    /// A file's content without surrounding white space; `None` if it is absent, unreadable or empty.
    fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|s| s.trim()).filter(|s| !s.is_empty())
    }

    fn whole(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    fn section(&self, tag: &str) -> String {
        self.reply.text(tag)
    }

    /// `/sys/class/dmi/id/NAME`.
    fn dmi(&self, name: &str) -> Option<&str> {
        self.file(&format!("/sys/class/dmi/id/{name}"))
    }
}

pub(super) type Facts = Map<String, Value>;

pub(super) fn answer(reply: &Reply, nonce: &str) -> Answer {
    let separator = format!("{nonce}+");
    let names = reply.text("n");
    let body = reply.body("f");
    let mut files = HashMap::new();
    let mut at = 0;
    for name in names.lines() {
        let Some(end) = memmem::find(&body[at..], separator.as_bytes()) else { break };
        files.insert(name.to_owned(), String::from_utf8_lossy(&body[at..at + end]).into_owned());
        at += end + separator.len();
    }
    let flag_list: Vec<String> = reply.text("x").lines().map(str::to_owned).collect();
    let raw = Raw { reply, files, flags: flag_list.iter().cloned().collect(), flag_list };
    let mut facts = Facts::new();
    distribution::add(&raw, &mut facts);
    system::add(&raw, &mut facts);
    hardware::add(&raw, &mut facts);
    network::add(&raw, &mut facts);
    virtualization::add(&raw, &mut facts);
    facts.insert("gather_subset".into(), serde_json::json!(["all"]));
    facts.insert("module_setup".into(), Value::Bool(true));
    Answer::Facts(to_template(&Value::Object(facts)))
}

/// `KEY=value` lines with shell quoting, as os-release has it.
fn assignments(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(key, _)| !key.starts_with('#'))
        .map(|(key, value)| {
            let value = value.trim();
            let bare = value
                .strip_prefix('"')
                .and_then(|v| v.strip_suffix('"'))
                .or_else(|| value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')))
                .unwrap_or(value);
            (key.trim().to_owned(), bare.replace("\\\"", "\"").replace("\\$", "$"))
        })
        .collect()
}

/// JSON as a template value, numbers and null kept.
pub(super) fn to_template(json: &Value) -> minijinja::Value {
    match json {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => i.into(),
            (_, Some(u)) => u.into(),
            _ => n.as_f64().unwrap_or_default().into(),
        },
        Value::String(s) => s.as_str().into(),
        Value::Array(items) => items.iter().map(to_template).collect(),
        Value::Object(map) => minijinja::Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), to_template(v)))),
    }
}
