//! Facts of this machine, held against ansible's where it is installed.

use std::collections::BTreeSet;
use std::process::Command as Process;

use serde_json::Value;

use super::super::*;
use super::local::local;
use crate::world::{Answer, Query};

fn facts() -> Value {
    let mut node = local();
    let answers = node.ask(&Identity::default(), &[Query::Facts]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(node.traffic().round_trips, 1);
    let Answer::Facts(facts) = &answers[0] else { panic!("{:?}", answers[0]) };
    serde_json::from_str(&crate::node::tests::facts::json(facts)).expect("facts are JSON")
}

/// A template value as JSON text.
fn json(value: &minijinja::Value) -> String {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => "null".into(),
        ValueKind::Bool | ValueKind::Number => value.to_string().to_lowercase(),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<String> = value.try_iter().expect("a list").map(|v| json(&v)).collect();
            format!("[{}]", items.join(","))
        }
        ValueKind::Map => {
            let items: Vec<String> = value
                .try_iter()
                .expect("a map")
                .map(|k| format!("{}:{}", json(&k), json(&value.get_item(&k).expect("a value"))))
                .collect();
            format!("{{{}}}", items.join(","))
        }
        _ => serde_json::to_string(value.as_str().unwrap_or_default()).expect("a string"),
    }
}

#[test]
fn the_commonest_facts_are_there() {
    let facts = facts();
    for key in [
        "distribution",
        "os_family",
        "architecture",
        "kernel",
        "hostname",
        "fqdn",
        "pkg_mgr",
        "service_mgr",
        "user_id",
        "user_dir",
    ] {
        assert!(facts[key].as_str().is_some_and(|s| !s.is_empty()), "{key}: {}", facts[key]);
    }
    assert!(facts["memtotal_mb"].as_u64().is_some_and(|n| n > 16));
    assert!(facts["processor_vcpus"].as_u64().is_some_and(|n| n >= 1));
    assert_eq!(facts["lo"]["ipv4"]["address"], "127.0.0.1");
    assert_eq!(facts["env"]["HOME"], std::env::var("HOME").unwrap_or_default());
    assert!(facts["date_time"]["epoch"].as_str().is_some_and(|s| s.len() >= 10));
    assert!(facts["mounts"].as_array().is_some_and(|m| m.iter().all(|m| m["fstype"].is_string())));
}

/// Where `ansible` is installed: same names give same values, but for what changes from moment to moment.
#[test]
fn facts_are_ansibles() {
    let program = std::env::var("ANSIBLE").unwrap_or_else(|_| "ansible".into());
    let Ok(output) = Process::new(&program).args(["localhost", "-c", "local", "-m", "setup"]).output() else {
        eprintln!("skipped: no `ansible` on this machine");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find("=> {").map_or(0, |i| i + 3);
    let theirs: Value = serde_json::from_str(&text[start..]).expect("setup prints JSON");
    let ours = facts();
    let moving = [
        "date_time",
        "memfree_mb",
        "memory_mb",
        "loadavg",
        "uptime_seconds",
        "env",
        "python",
        "python_version",
        "swapfree_mb",
    ];
    let mut wrong = vec![];
    let mut absent = BTreeSet::new();
    for (key, value) in theirs["ansible_facts"].as_object().expect("a map") {
        let key = key.trim_start_matches("ansible_");
        let mine = &ours[key];
        if mine.is_null() && !value.is_null() {
            absent.insert(key.to_owned());
            continue;
        }
        let (mut a, mut b) = (value.clone(), mine.clone());
        if key == "mounts" {
            for list in [&mut a, &mut b] {
                for mount in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                    mount.retain(|k, _| !k.contains("available") && !k.contains("used"));
                }
            }
        }
        sort(&mut a);
        sort(&mut b);
        let same = if moving.contains(&key) {
            shape(&a) == shape(&b) || key.starts_with("python") || key == "env"
        } else {
            a == b
        };
        if !same {
            wrong.push(format!("{key}: ansible {a}, kdeploy {b}"));
        }
    }
    // What kdeploy does not gather: seldom used, or costly.
    let known: BTreeSet<String> = [
        "device_links",
        "devices",
        "fibre_channel_wwn",
        "locally_reachable_ips",
        "lvm",
        "system_capabilities",
        "system_capabilities_enforced",
    ]
    .iter()
    .map(|s| (*s).to_owned())
    .collect();
    let unexpected: Vec<_> = absent.difference(&known).collect();
    assert!(wrong.is_empty() && unexpected.is_empty(), "absent: {unexpected:?}\n{}", wrong.join("\n"));
}

fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(ToString::to_string);
        }
        Value::Object(map) => {
            map.sort_keys();
            map.values_mut().for_each(sort);
        }
        _ => {}
    }
}

/// The types, without the values.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}:{},", shape(v))).collect(),
        Value::Array(_) => "list".into(),
        Value::String(_) => "text".into(),
        Value::Number(n) if n.is_f64() => "float".into(),
        Value::Number(_) => "int".into(),
        _ => "other".into(),
    }
}
