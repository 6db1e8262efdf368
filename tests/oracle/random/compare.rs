//! What both programs did with a random case, made comparable.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// One result of one task or loop item on one host.
#[derive(Debug, Clone)]
pub struct Record {
    pub task: String,
    pub status: String,
    pub result: Value,
    /// What a plan says will be done.
    pub planned: String,
}

pub struct Ran {
    pub rc: i32,
    pub output: String,
    pub hosts: BTreeMap<String, Vec<Record>>,
}

/// Keys whose values differ from run to run or are each program's own.
const OWN: &[&str] = &[
    "start",
    "end",
    "delta",
    "invocation",
    "warnings",
    "deprecations",
    "diff",
    "exception",
    "elapsed",
    "module_stdout",
    "module_stderr",
    "ansible_loop_var",
    "ansible_index_var",
    "skip_reason",
    "false_condition",
    "skipped_reason",
    "include",
    "include_args",
    "censored",
    "failed_when_suppressed_exception",
    "_ansible_no_log",
    "_ansible_verbose_always",
    "finished",
    "failed_when_result",
    "changed_when_result",
    "attempts",
    "ansible_loop",
    "reason",
    "stdout_lines",
    "stderr_lines",
];

/// A result, or a variable that holds one: without what is each program's own, at any depth.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(cleaned).collect()),
        Value::Object(map) => {
            // What a failure is called differs, unless the playbook itself says so.
            let failed = map.get("failed") == Some(&Value::Bool(true));
            let mut new = Map::new();
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                let own_words = failed && key == "msg" && !map[key].as_str().is_some_and(|m| m.starts_with("case:"));
                if !OWN.contains(&key.as_str()) && !key.starts_with("_ansible") && !own_words {
                    new.insert(key.clone(), cleaned(&map[key]));
                }
            }
            Value::Object(new)
        }
        other => other.clone(),
    }
}

/// At the top, what the status says already is left out.
fn result_of(value: &Value, status: &str) -> Value {
    let mut map = value.as_object().cloned().unwrap_or_default();
    if status.starts_with("failed") {
        map.insert("failed".into(), Value::Bool(true));
    }
    let mut cleaned = cleaned(&Value::Object(map));
    if let Some(map) = cleaned.as_object_mut() {
        for key in ["changed", "failed", "skipped", "ansible_facts", "item", "thing", "position", "results"] {
            map.remove(key);
        }
    }
    cleaned
}

pub fn of_ansible(rc: i32, output: String, lines: Vec<Value>) -> Ran {
    let mut hosts: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for line in lines.iter().filter(|l| l["result"]["loop"] != true) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let status = match line["kind"].as_str().unwrap_or_default() {
            "ok" if line["result"]["changed"] == true => "changed".to_owned(),
            "failed" if line["ignored"] == true => "failed (ignored)".to_owned(),
            kind => kind.to_owned(),
        };
        let result = result_of(&line["result"], &status);
        hosts.entry(text("host")).or_default().push(Record {
            task: text("task"),
            status,
            result,
            planned: String::new(),
        });
    }
    Ran { rc, output, hosts }
}

pub fn of_kdeploy(rc: i32, output: String, document: &Value) -> Ran {
    let mut hosts: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for step in document["steps"].as_array().into_iter().flatten() {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let status = match step["status"].as_str().unwrap_or_default() {
            "failed" if step["ignored"] == true => "failed (ignored)".to_owned(),
            status => status.to_owned(),
        };
        // Ansible names no role before an `include_role`.
        let role = step["role"].as_str().filter(|_| step["action"] != "include_role");
        let role = role.map(|r| format!("{r} : ")).unwrap_or_default();
        let result = result_of(&step["result"], &status);
        let record = Record { task: role + &text("task"), status, result, planned: text("planned") };
        hosts.entry(text("host")).or_default().push(record);
    }
    Ran { rc, output, hosts }
}

pub fn differences(theirs: &Ran, ours: &Ran) -> Vec<String> {
    let mut found = vec![];
    // A `when` of a `meta` task that cannot be evaluated ends ansible's run as a whole, here the host's (docs/differences.md).
    let broken_meta = |r: &Record| r.task.rsplit(" : ").next() == Some("meta") && r.status.starts_with("failed");
    let cut_short = theirs.rc == 1 && ours.hosts.values().flatten().any(broken_meta);
    if !cut_short && theirs.rc != ours.rc && (theirs.rc == 0 || ours.rc == 0) {
        found.push(format!("exit code: theirs {}, ours {}", theirs.rc, ours.rc));
        found.push(format!("theirs: {}", last(&theirs.output)));
        found.push(format!("ours: {}", last(&ours.output)));
    }
    if ours.output.contains("panicked") {
        found.push(format!("panic: {}", last(&ours.output)));
    }
    let none = vec![];
    let mut hosts: Vec<&String> = theirs.hosts.keys().chain(ours.hosts.keys()).collect();
    hosts.sort();
    hosts.dedup();
    for host in hosts {
        let (a, b) = (theirs.hosts.get(host).unwrap_or(&none), ours.hosts.get(host).unwrap_or(&none));
        for index in 0..a.len().max(b.len()) {
            match (a.get(index), b.get(index)) {
                (Some(x), Some(y)) if x.task != y.task => {
                    found.push(format!(
                        "{host}, step {index}: theirs `{}` ({}), ours `{}` ({})",
                        x.task, x.status, y.task, y.status
                    ));
                    break;
                }
                (Some(x), Some(y)) if x.status != y.status => found.push(format!(
                    "{host}, step {index} ({}): theirs {}, ours {}\n  theirs {}\n  ours {}",
                    x.task, x.status, y.status, x.result, y.result
                )),
                (Some(x), Some(y)) if !same(&x.result, &y.result) && x.task != "meta" => {
                    found.push(format!(
                        "{host}, step {index} ({}), {}:\n  theirs {}\n  ours   {}",
                        x.task, x.status, x.result, y.result
                    ));
                }
                (Some(x), None) => found.push(format!("{host}: ours lacks `{}` ({})", x.task, x.status)),
                (None, Some(_)) if cut_short => {}
                (None, Some(y)) => found.push(format!("{host}: theirs lacks `{}` ({})", y.task, y.status)),
                _ => {}
            }
        }
    }
    found
}

/// Equal; numbers by value and kind.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same(v, w)),
        _ => a == b,
    }
}

fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}

/// What the plan said of steps it knew, against what happened.
pub fn foretold(ours: &Ran, plan: &Ran) -> Vec<String> {
    let mut found = vec![];
    if plan.output.contains("panicked") {
        found.push(format!("plan: panic: {}", last(&plan.output)));
    }
    for (host, steps) in &plan.hosts {
        let none = vec![];
        let applied = ours.hosts.get(host).unwrap_or(&none);
        for (index, step) in steps.iter().enumerate() {
            // From where something is unknown, or will run, the two may part.
            if step.planned == "unknown" || step.planned == "run" || step.status == "unknown" {
                break;
            }
            match applied.get(index) {
                Some(done) if done.task == step.task && done.status == step.status => {}
                Some(done) => {
                    found.push(format!(
                        "plan, {host}, step {index}: foretold `{}` {} ({}), was `{}` {}",
                        step.task, step.status, step.planned, done.task, done.status
                    ));
                    break;
                }
                None => {
                    found.push(format!("plan, {host}: foretold `{}` {}, which was not done", step.task, step.status));
                    break;
                }
            }
        }
    }
    found
}
