//! What differs between the two programs.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::case::File;

/// What a program did: by the name of the task, its status and result, and what was in the case's folder.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Side {
    pub records: BTreeMap<String, (String, Map<String, Value>)>,
    pub shots: BTreeMap<String, BTreeMap<String, String>>,
    /// What it printed.
    pub output: String,
    pub root: String,
}

/// Not of the module's result: the engine's own keys, and what differs from run to run.
const APART: [&str; 16] = [
    "changed",
    "failed",
    "skipped",
    "skip_reason",
    "skipped_reason",
    "invocation",
    "warnings",
    "deprecations",
    "exception",
    "diff",
    "stdout_lines",
    "stderr_lines",
    "start",
    "end",
    "delta",
    "elapsed",
];
/// What is at the path. In check mode kdeploy tells what there will be, ansible what there is; of a failure ansible tells it too.
const OF_THE_PATH: [&str; 8] = ["uid", "gid", "owner", "group", "mode", "state", "size", "details"];
/// Times and numbers of files, wherever they stand in a result.
const OF_A_FILE: [&str; 6] = ["atime", "mtime", "ctime", "inode", "dev", "version"];

pub fn differences(file: &File, theirs: &Side, ours: &Side) -> Vec<String> {
    let mut all = vec![];
    for case in &file.cases {
        let (mut found, mut found_checked) = (vec![], vec![]);
        for (index, step) in case.steps.iter().enumerate() {
            let name = step.name(&case.name);
            let (Some(a), Some(b)) = (theirs.records.get(&name), ours.records.get(&name)) else {
                let who = if theirs.records.contains_key(&name) { ours } else { theirs };
                return vec![format!("{name}: {} has no such step\n{}", who.root, tail(&who.output))];
            };
            if step.hand.is_some() {
                if a.0 == "failed" || b.0 == "failed" {
                    return vec![format!("{name}: {:?} {:?}", a.1, b.1)];
                }
                continue;
            }
            let of_case = &mut found;
            let mut found = vec![];
            if a.0 != b.0 {
                found.push(format!("{name}: theirs {} ({}), ours {} ({})", a.0, said(&a.1), b.0, said(&b.1)));
            } else {
                let mut apart: Vec<&str> = case.apart.iter().map(String::as_str).collect();
                if !case.facts {
                    apart.push("ansible_facts");
                }
                let (theirs, mut own) = (cleaned(&a.1, theirs), cleaned(&b.1, ours));
                if a.0 == "failed" {
                    // What went wrong is told in each program's own words.
                    apart.extend(OF_THE_PATH.iter().chain(&["msg", "path", "checksum", "src", "dest"]));
                    own.retain(|key, _| theirs.contains_key(key));
                } else if step.task.contains_key("check_mode") {
                    // kdeploy foretells the result that the next step, in earnest, will have; ansible says less.
                    if a.0 == "changed" {
                        apart.extend(OF_THE_PATH);
                    }
                    let next = case.steps.get(index + 1).map(|s| s.name(&case.name));
                    let next = next.and_then(|n| ours.records.get(&n)).map(|r| cleaned(&r.1, ours)).unwrap_or_default();
                    own.retain(|key, value| theirs.contains_key(key) || next.get(key) != Some(value));
                }
                let (theirs, own) = (only_keys(theirs, &case.keys), only_keys(own, &case.keys));
                results(&name, &theirs, &own, &apart, &mut found);
            }
            let none = BTreeMap::new();
            let shot = |side: &Side| {
                let tree = side.shots.get(&step.key(&case.name)).unwrap_or(&none);
                let left = |path: &str| file.leave.as_ref().is_some_and(|l| l.is_match(path).unwrap_or(false));
                tree.iter()
                    .filter(|(k, _)| !left(k))
                    .map(|(k, v)| (masked(k, side), masked(v, side)))
                    .collect::<BTreeMap<_, _>>()
            };
            trees(&name, &shot(theirs), &shot(ours), &mut found);
            if !found.is_empty() {
                found.insert(0, format!("  {}", serde_json::to_string(&step.task).unwrap_or_default()));
            }
            let apart = case.check_differs.is_some() && step.task.contains_key("check_mode");
            if apart { &mut found_checked } else { of_case }.extend(found);
        }
        if let Some(reason) = &case.open {
            if found.is_empty() && found_checked.is_empty() {
                all.push(format!("{}: open.yml says that it differs ({reason}), but it does not", case.name));
            }
            continue;
        }
        if let (Some(reason), true) = (&case.check_differs, found_checked.is_empty()) {
            found.push(format!("{}: is said to differ in check mode ({reason}), but does not", case.name));
        }
        match (&case.differs, found.is_empty()) {
            (Some(reason), true) => all.push(format!("{}: is said to differ ({reason}), but does not", case.name)),
            (None, false) => all.extend(found),
            _ => {}
        }
    }
    all
}

/// Values that differ from moment to moment, of which only the keys are compared.
fn only_keys(mut result: Map<String, Value>, keys: &[String]) -> Map<String, Value> {
    for key in keys {
        if let Some(map) = result.get_mut(key).and_then(Value::as_object_mut) {
            map.values_mut().for_each(|v| *v = json!("…"));
        }
    }
    result
}

fn said(result: &Map<String, Value>) -> String {
    result.get("msg").map(Value::to_string).unwrap_or_default()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn results(
    name: &str,
    theirs: &Map<String, Value>,
    ours: &Map<String, Value>,
    apart: &[&str],
    found: &mut Vec<String>,
) {
    let leave =
        |key: &String| APART.contains(&key.as_str()) || key.starts_with("_ansible") || apart.contains(&key.as_str());
    for (key, value) in theirs.iter().filter(|(k, _)| !leave(k)) {
        match ours.get(key) {
            None => found.push(format!("{name}: result lacks `{key}` ({value})")),
            // A copy of the module's own, gone when the task ends; kdeploy names the file itself.
            Some(_) if value == "TEMPORARY" => {}
            Some(own) => values(name, key, value, own, apart, found),
        }
    }
    for (key, value) in ours.iter().filter(|(k, _)| !leave(k) && !theirs.contains_key(*k)) {
        found.push(format!("{name}: result has `{key}` ({value}), theirs not"));
    }
}

/// The innermost place at which two values differ.
fn values(name: &str, at: &str, theirs: &Value, ours: &Value, apart: &[&str], found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                match b.get(key) {
                    _ if apart.contains(&format!("{at}.{key}").as_str()) => {}
                    Some(own) => values(name, &format!("{at}.{key}"), value, own, apart, found),
                    None => found.push(format!("{name}: result lacks `{at}.{key}` ({value})")),
                }
            }
            for (key, value) in b.iter().filter(|(k, _)| !a.contains_key(*k)) {
                found.push(format!("{name}: result has `{at}.{key}` ({value}), theirs not"));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                values(name, &format!("{at}[{index}]"), a, b, apart, found);
            }
        }
        (a, b) if a != b => found.push(format!("{name}: `{at}`:\n    theirs {a}\n    ours   {b}")),
        _ => {}
    }
}

fn trees(name: &str, theirs: &BTreeMap<String, String>, ours: &BTreeMap<String, String>, found: &mut Vec<String>) {
    for (path, what) in theirs {
        match ours.get(path) {
            None => found.push(format!("{name}: {path:?} is not there ({what})")),
            Some(own) if own != what => found.push(format!("{name}: {path:?}:\n    theirs {what}\n    ours   {own}")),
            Some(_) => {}
        }
    }
    for path in ours.keys().filter(|p| !theirs.contains_key(*p)) {
        found.push(format!("{name}: {path:?} is there, theirs not ({})", ours[path]));
    }
}

/// What carries the sandbox's name, times, process numbers or random letters, made alike.
fn masked(text: &str, side: &Side) -> String {
    use std::sync::LazyLock;
    static BACKUP: LazyLock<fancy_regex::Regex> =
        LazyLock::new(|| fancy_regex::Regex::new(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~").expect("a regex"));
    static TEMPORARY: LazyLock<fancy_regex::Regex> = LazyLock::new(|| {
        fancy_regex::Regex::new(r"(/root/\.ansible|SANDBOX/home)/tmp/ansible-[^/]*(/tmp[^/]*)?/[^/\s]+")
            .expect("a regex")
    });
    static RANDOM: LazyLock<fancy_regex::Regex> = LazyLock::new(|| {
        fancy_regex::Regex::new(r"(random[._])\w{8}|\|1\|[^|\s]+\|\S+|127\.0\.0\.1:\d+").expect("a regex")
    });
    let text = text.replace(&side.root, "SANDBOX");
    let text = TEMPORARY.replace_all(&text, "TEMPORARY");
    let text = BACKUP.replace_all(&text, ".BACKUP~");
    RANDOM.replace_all(&text, "${1}XXXXXXXX").into_owned()
}

fn cleaned(result: &Map<String, Value>, side: &Side) -> Map<String, Value> {
    fn clean(value: &Value, side: &Side) -> Value {
        match value {
            Value::String(text) => json!(masked(text, side)),
            // Files found are in the order of the file system.
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|v| clean(v, side)).collect();
                if items.iter().all(|i| i.get("path").is_some()) {
                    items.sort_by_key(|i| i["path"].to_string());
                }
                items.into()
            }
            Value::Object(map) => map
                .iter()
                .map(|(k, v)| match k.as_str() {
                    // That it is there is compared; long past times were set by the case.
                    k if OF_A_FILE.contains(&k) => {
                        (k.to_owned(), if k == "mtime" && old(v) { v.clone() } else { json!("…") })
                    }
                    k => (masked(k, side), clean(v, side)),
                })
                .collect(),
            // Whole numbers of either kind.
            Value::Number(n) => {
                n.as_f64().filter(|f| f.fract() == 0.0 && n.is_f64()).map_or(value.clone(), |f| json!(f as i64))
            }
            other => other.clone(),
        }
    }
    match clean(&Value::Object(result.clone()), side) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn old(time: &Value) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    time.as_f64().is_some_and(|t| t + 86400.0 < now.as_secs_f64())
}

/// Everything below a folder: kind, mode, owner, links, time (of long ago: those that were set), content.
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            let name = String::from_utf8_lossy(std::os::unix::ffi::OsStrExt::as_bytes(
                path.strip_prefix(root).unwrap_or(&path).as_os_str(),
            ))
            .into_owned();
            let what = if meta.is_symlink() {
                format!("link to {:?}", std::fs::read_link(&path).unwrap_or_default())
            } else if meta.is_dir() {
                todo.push(path.clone());
                "folder".to_owned()
            } else if meta.is_file() {
                format!("file of {} links, {}", meta.nlink(), shown(&std::fs::read(&path).unwrap_or_default()))
            } else {
                "special".to_owned()
            };
            let mode = if meta.is_symlink() { 0 } else { meta.mode() & 0o7777 };
            let time = meta.modified().ok().filter(|t| t.elapsed().is_ok_and(|e| e > Duration::from_secs(86400)));
            let time = time
                .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
                .map(|t| format!(" time {}", t.as_secs()))
                .unwrap_or_default();
            found.insert(name, format!("{mode:04o} {}:{}{time} {what}", meta.uid(), meta.gid()));
        }
    }
    found
}

fn shown(content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("{:?}", content.escape_ascii().to_string()),
    }
}
