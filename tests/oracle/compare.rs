//! What differs between the two sides.

use std::collections::BTreeMap;

use crate::Case;
use crate::sides::{Record, Side};

/// Exit codes that mean the same: kdeploy tells wrong files (1) from failed hosts (2), ansible-playbook has further ones.
fn same_exit(theirs: i32, ours: i32) -> bool {
    theirs == ours || (theirs != 0 && ours != 0)
}

/// One line per difference; empty: the same.
pub fn differences(theirs: &Side, ours: &Side, case: &Case) -> Vec<String> {
    let mut found = vec![];
    if !same_exit(theirs.rc, ours.rc) {
        found.push(format!("exit code: theirs {}, ours {}", theirs.rc, ours.rc));
    }
    let (a, b) = (by_host(&theirs.records), by_host(&ours.records));
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
                        found.extend(results(&place, x, y));
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

fn results(place: &str, theirs: &Record, ours: &Record) -> Vec<String> {
    let mut found = vec![];
    // Messages of failures are each program's own words.
    let failed = theirs.status.starts_with("failed");
    for (key, value) in &theirs.result {
        if failed && matches!(key.as_str(), "msg" | "reason") {
            continue;
        }
        match ours.result.get(key) {
            None => found.push(format!("{place}: result lacks `{key}` ({value})")),
            Some(own) if own != value => found.push(format!("{place}: `{key}`: theirs {value}, ours {own}")),
            Some(_) => {}
        }
    }
    for (key, value) in &ours.result {
        if !(theirs.result.contains_key(key) || failed && key == "msg") {
            found.push(format!("{place}: result has `{key}` ({value}), theirs not"));
        }
    }
    found
}
