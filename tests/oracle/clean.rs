//! Results made comparable: what differs from run to run becomes a word that says it is there; what is about the
//! program and not about the node is left out.

use std::path::Path;

use serde_json::{Map, Value};

/// Left out, at any depth: how a module was called, and what a program says on the side.
const DROPPED: &[&str] = &["invocation", "warnings", "deprecations", "diff", "erased", "async_result", "timedout"];

/// Times and places on the disk: there on both sides or on neither.
const PRESENT: &[&str] = &[
    "start",
    "end",
    "stop",
    "delta",
    "elapsed",
    "atime",
    "mtime",
    "ctime",
    "inode",
    "dev",
    "birthtime",
    "version",
    "ansible_job_id",
    "results_file",
    "child_pid",
    "ansible_python_interpreter",
];

/// Each program's own words, where they are there.
const WORDS: &[&str] = &["censored", "message"];

/// Stands for the path on the node where Ansible puts what it transfers; kdeploy has none.
pub const TRANSFERRED: &str = "(transferred)";

/// A task's result. Beside the status, which says it already, `changed`, `failed` and `skipped` say nothing; kdeploy has no traces of its
/// own, and keeps Ansible's words for that to what is registered.
pub fn result(result: &Value, sandbox: &Path) -> Value {
    let mut value = cleaned(result, &sandbox.display().to_string());
    if let Value::Object(map) = &mut value {
        for key in ["changed", "failed", "skipped", "exception", "failed_when_suppressed_exception"] {
            map.remove(key);
        }
    }
    value
}

fn cleaned(value: &Value, sandbox: &str) -> Value {
    match value {
        Value::String(text) if text.contains("/.ansible/tmp/ansible-tmp-") => Value::String(TRANSFERRED.to_owned()),
        Value::String(text) if text.starts_with("Paused for ") => Value::String("Paused".to_owned()),
        // Why a value does not convert is told in Python's terms, by the class.
        Value::String(text) if text.contains("unable to convert to ") => {
            let (what, kind) = text.split_once("unable to convert to ").unwrap_or_default();
            Value::String(format!("{what}unable to convert to {}", kind.split(':').next().unwrap_or_default()))
        }
        Value::String(text) => Value::String(text.replace(sandbox, "SANDBOX").replace("_AnsibleTaggedInt", "int")),
        Value::Array(items) => Value::Array(items.iter().map(|v| cleaned(v, sandbox)).collect()),
        Value::Object(map) => Value::Object(object(map, sandbox)),
        other => other.clone(),
    }
}

fn object(map: &Map<String, Value>, sandbox: &str) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in map {
        if DROPPED.contains(&key.as_str()) || key.starts_with("_ansible") {
            continue;
        }
        let value = if (PRESENT.contains(&key.as_str()) && !value.is_object() && !value.is_array())
            || WORDS.contains(&key.as_str())
        {
            Value::String("(there)".to_owned())
        } else {
            cleaned(value, sandbox)
        };
        out.insert(key.replace(sandbox, "SANDBOX"), value);
    }
    out
}
