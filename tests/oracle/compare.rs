//! What differs between the two sides.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Case;
use crate::sides::{Record, Side};

/// kdeploy's exit code for each of ansible-playbook's (docs/differences.md has the table).
fn exit_code(theirs: i32) -> i32 {
    match theirs {
        // Files that cannot be read (4: parsed; unreachable hosts are told apart below), wrong options, a bug.
        4 | 5 | 250 => 1,
        other => other,
    }
}

/// One line per difference; empty: the same.
pub fn differences(theirs: &Side, ours: &Side, case: &Case) -> Vec<String> {
    let mut found = vec![];
    let unreachable = theirs.records.iter().any(|r| r.status == "unreachable");
    let expected = if unreachable { theirs.rc } else { exit_code(theirs.rc) };
    if ours.rc != expected {
        found.push(format!("exit code: theirs {}, ours {} instead of {expected}", theirs.rc, ours.rc));
    }
    if theirs.rc != case.rc {
        found.push(format!("theirs ends with {}, which the case does not say (`# rc: {}`)", theirs.rc, theirs.rc));
    }
    let (a, mut b) = (by_host(&theirs.records), by_host(&ours.records));
    if theirs.output.contains("[ERROR]: The requested handler '") {
        // Ansible ends the run before it tells the change that notified nobody.
        for (host, records) in &mut b {
            let told = a.get(host).map_or(0, Vec::len);
            if records.len() == told + 1 && records.last().is_some_and(|r| r.status == "changed") {
                records.pop();
            }
        }
    }
    let mut hosts: Vec<&String> = a.keys().chain(b.keys()).collect();
    hosts.sort();
    hosts.dedup();
    let none = vec![];
    for host in hosts {
        let (a, b) = (a.get(host).unwrap_or(&none), b.get(host).unwrap_or(&none));
        for index in 0..a.len().max(b.len()) {
            match (a.get(index), b.get(index)) {
                (Some(x), Some(y)) => {
                    let place = format!("{host}, step {index} ({})", x.task);
                    if x.task != y.task {
                        found.push(format!("{place}: ours is `{}`", y.task));
                        break;
                    }
                    if x.status != y.status {
                        found.push(format!("{place}: theirs {}, ours {}", x.status, y.status));
                    }
                    if !case.statuses {
                        let failed = x.status.starts_with("failed") || x.status == "unreachable";
                        let more = case.foretold.is_some() && y.status == "changed";
                        let how = How { failed, more, timing: &case.timing };
                        values(&place, "", &x.result, &y.result, how, &mut found);
                    }
                }
                (Some(x), None) => found.push(format!("{host}: ours lacks `{}` ({})", x.task, x.status)),
                (None, Some(y)) => found.push(format!("{host}: theirs lacks `{}` ({})", y.task, y.status)),
                (None, None) => {}
            }
        }
    }
    for (path, what) in &theirs.files {
        match ours.files.get(path) {
            None => found.push(format!("file {path}: ours lacks it ({what})")),
            Some(own) if own != what => found.push(format!("file {path}:\n  theirs {what:?}\n  ours   {own:?}")),
            Some(_) => {}
        }
    }
    for path in ours.files.keys().filter(|p| !theirs.files.contains_key(*p)) {
        found.push(format!("file {path}: theirs lacks it"));
    }
    found
}

fn by_host(records: &[Record]) -> BTreeMap<String, Vec<&Record>> {
    let mut map: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        map.entry(record.host.clone()).or_default().push(record);
    }
    map
}

/// What may differ in a result.
#[derive(Clone, Copy)]
struct How<'a> {
    /// It is one of a failure: messages are each program's own.
    failed: bool,
    /// It is foretold: it may say more.
    more: bool,
    /// Keys that depend on how quick a program is.
    timing: &'a [String],
}

/// Compares two values, objects key by key. The messages of failures are each program's own words; they must be there.
fn values(place: &str, at: &str, theirs: &Value, ours: &Value, how: How, found: &mut Vec<String>) {
    let (Value::Object(a), Value::Object(b)) = (theirs, ours) else {
        if theirs != ours && theirs != crate::clean::TRANSFERRED {
            found.push(format!("{place}: `{at}`:\n  theirs {theirs}\n  ours   {ours}"));
        }
        return;
    };
    let inner = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let failed = how.failed || a.get("failed") == Some(&Value::Bool(true));
    for (key, value) in a {
        match b.get(key) {
            None => found.push(format!("{place}: ours lacks `{}` ({value})", inner(key))),
            Some(own)
                if failed
                    && matches!(key.as_str(), "msg" | "reason" | "failed_when_result" | "changed_when_result")
                    && value.is_string()
                    && own.is_string() => {}
            Some(_) if how.timing.contains(key) => {}
            Some(own) => values(place, &inner(key), value, own, How { failed, ..how }, found),
        }
    }
    for (key, value) in b {
        if !a.contains_key(key) && !how.more {
            found.push(format!("{place}: theirs lacks `{}` ({value})", inner(key)));
        }
    }
}
