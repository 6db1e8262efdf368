//! What was foretold beside what came to be, step by step.

use std::collections::HashMap;

use serde_json::Value;

/// How a forecast did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    pub steps: usize,
    pub right: usize,
    /// Said to be unknown, with the step it waits for (Ansible: a command that check mode leaves out).
    pub unknown: usize,
    pub wrong: usize,
    /// Fails in the forecast only, or never reached there because another did.
    pub failed: usize,
    /// Hosts on which a step that nobody could foretell failed: what came after it was not compared.
    pub cut: usize,
    /// What was wrong, for people.
    pub faults: Vec<String>,
}

fn text<'a>(step: &'a Value, key: &str) -> &'a str {
    step[key].as_str().unwrap_or_default()
}

/// It failed, and nothing takes that up.
pub fn ends_host(step: &Value) -> bool {
    text(step, "status") == "failed" && step["ignored"] != true && step["rescued"] != true
}

type Key = (String, String, String, String, usize);

/// Steps by where they stand; the number tells apart what comes there more than once.
fn keyed(steps: &[Value]) -> Vec<(Key, &Value)> {
    let mut seen: HashMap<(String, String, String, String), usize> = HashMap::new();
    steps
        .iter()
        .map(|step| {
            let key = (
                text(step, "host").to_owned(),
                text(step, "path").to_owned(),
                text(step, "task").to_owned(),
                text(step, "item").to_owned(),
            );
            let count = seen.entry(key.clone()).or_insert(0);
            *count += 1;
            ((key.0, key.1, key.2, key.3, *count), step)
        })
        .collect()
}

/// A plan beside its apply, both as `--output json`.
pub fn plan_and_apply(plan: &Value, apply: &Value) -> Score {
    let none = vec![];
    let (planned, applied) = (plan["steps"].as_array().unwrap_or(&none), apply["steps"].as_array().unwrap_or(&none));
    let mut score = Score::default();
    let mut foretold: HashMap<Key, &Value> = keyed(planned).into_iter().collect();
    let names: Vec<&str> = planned.iter().map(|s| text(s, "task")).collect();
    for (key, done) in keyed(applied) {
        score.steps += 1;
        let label = format!("{} {} ({}) {}", key.0, key.2, key.3, key.1);
        let Some(plan) = foretold.remove(&key) else {
            score.wrong += 1;
            score.faults.push(format!("{label}: {} was not planned at all", text(done, "status")));
            continue;
        };
        let status = text(plan, "status");
        if status == "skipped" && status != text(done, "status") && text(plan, "because").contains("ansible_check_mode")
        {
            // The playbook says itself that a plan ends here.
            score.steps -= 1;
            score.cut = 1;
            return score;
        }
        if text(plan, "planned") == "unknown" {
            let because = text(plan, "because");
            // The cause is one of the plan's own steps, by name.
            if because.starts_with("known after: task ")
                && names.iter().any(|n| {
                    because.contains(&format!("\"{n}\"")) || because.contains(&format!("\"{n} (until it holds)\""))
                })
            {
                score.unknown += 1;
            } else {
                score.wrong += 1;
                score.faults.push(format!("{label}: unknown, but for no cause: `{because}`"));
            }
            if ends_host(done) {
                // What would have come after it was planned on its success.
                score.cut = 1;
                return score;
            }
            continue;
        }
        let fails = |s: &Value| text(s, "status") == "failed";
        // Whether a command succeeds is not foretold.
        if text(plan, "knowledge") == "unknown" && fails(done) {
            score.unknown += 1;
            if ends_host(done) {
                score.cut = 1;
                return score;
            }
            continue;
        }
        let changes = |s: &Value| s["changed"] == true;
        let fault = if fails(plan) != fails(done) {
            Some(format!("planned {status}, came out {}", text(done, "status")))
        } else if changes(plan) != changes(done) {
            Some(format!("planned {} ({status}), came out {}", text(plan, "planned"), text(done, "status")))
        } else if (status == "skipped") != (text(done, "status") == "skipped") {
            Some(format!("planned {status}, came out {}", text(done, "status")))
        } else if changes(plan) && plan["diff"] != done["diff"] {
            Some(format!("another difference:\nplanned {:#}\napplied {:#}", plan["diff"], done["diff"]))
        } else {
            None
        };
        match fault {
            None => score.right += 1,
            Some(fault) if fails(plan) && !fails(done) => {
                score.failed += 1;
                score.faults.push(format!("{label}: {fault}: {}", text(plan, "because")));
            }
            Some(fault) => {
                score.wrong += 1;
                score.faults.push(format!("{label}: {fault}: {}", text(done, "because")));
            }
        }
    }
    let mut left: Vec<(&Key, &&Value)> = foretold.iter().collect();
    left.sort_by_key(|(key, _)| *key);
    for (key, plan) in left {
        if text(plan, "planned") == "unknown" {
            continue;
        }
        score.steps += 1;
        score.wrong += 1;
        score.faults.push(format!(
            "{} {} ({}) {}: planned ({}), never came",
            key.0,
            key.2,
            key.3,
            key.1,
            text(plan, "status")
        ));
    }
    score
}

/// What a plan would still change after an apply; unknown steps with a cause do not count, nor does the step at which the apply failed too.
pub fn left_to_do(plan: &Value, applied: &Value) -> Vec<String> {
    let none = vec![];
    let failed: Vec<(&str, &str)> = applied["steps"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .filter(|s| ends_host(s))
        .map(|s| (text(s, "path"), text(s, "task")))
        .collect();
    plan["steps"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .filter(|s| {
            !matches!(text(s, "planned"), "none" | "unknown")
                || ends_host(s) && !failed.contains(&(text(s, "path"), text(s, "task")))
        })
        .map(|s| {
            format!(
                "{} {}: {} {} {:#}",
                text(s, "host"),
                text(s, "task"),
                text(s, "planned"),
                text(s, "because"),
                s["diff"]
            )
        })
        .collect()
}

/// `ansible-playbook --check` beside `ansible-playbook`, both as the records of the callback.
pub fn check_and_run(check: &[Value], run: &[Value]) -> Score {
    let keyed = |records: &[Value]| -> Vec<((String, String, usize), Value)> {
        let mut seen: HashMap<(String, String), usize> = HashMap::new();
        records
            .iter()
            .filter(|r| r["result"]["loop"] != true)
            .map(|r| {
                let key = (text(r, "host").to_owned(), text(r, "task").to_owned());
                let count = seen.entry(key.clone()).or_insert(0);
                *count += 1;
                ((key.0, key.1, *count), r.clone())
            })
            .collect()
    };
    let status = |r: &Value| match text(r, "kind") {
        "ok" if r["result"]["changed"] == true => "changed".to_owned(),
        kind => kind.to_owned(),
    };
    let mut score = Score::default();
    let mut foretold: HashMap<(String, String, usize), Value> = keyed(check).into_iter().collect();
    for (key, done) in keyed(run) {
        score.steps += 1;
        let label = format!("{} {}", key.0, key.1);
        let Some(said) = foretold.remove(&key) else {
            score.failed += 1;
            score.faults.push(format!("{label}: never reached by --check"));
            continue;
        };
        let (said_status, done_status) = (status(&said), status(&done));
        let left_out = said["result"]["msg"].as_str().is_some_and(|m| m.contains("not in check mode"));
        // As with kdeploy, whether a command succeeds is not foretold.
        if left_out && said_status == "skipped" {
            score.unknown += 1;
        } else if said_status == done_status {
            score.right += 1;
        } else if said_status == "failed" {
            score.failed += 1;
            score.faults.push(format!("{label}: --check fails, came out {done_status}"));
        } else {
            score.wrong += 1;
            score.faults.push(format!("{label}: --check says {said_status}, came out {done_status}"));
        }
    }
    for (key, said) in foretold {
        score.steps += 1;
        if status(&said) == "failed" {
            score.failed += 1;
        } else {
            score.wrong += 1;
        }
        score.faults.push(format!("{} {}: said by --check ({}), never came", key.0, key.1, status(&said)));
    }
    score
}
