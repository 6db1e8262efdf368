//! A saved plan's steps beside what its apply did, where somebody changed the node in between.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::Value;

/// What a plan says of one step.
pub struct Foretold {
    pub key: String,
    pub label: String,
    pub acts: bool,
    pub unknown: bool,
    /// What was asked when it was planned.
    pub answers: Vec<String>,
    pub needs: Vec<String>,
    /// The path its difference is about.
    pub path: Option<PathBuf>,
}

pub fn key_of(step: &Value) -> String {
    format!("{}|{}|{}|{}", step["path"], step["task"], step["item"], step["visit"])
}

pub fn read(plan: &Value) -> Vec<Foretold> {
    let shown = plan["document"]["steps"].as_array().expect("steps");
    let steps = plan["steps"].as_array().expect("steps");
    assert_eq!(shown.len(), steps.len());
    let one = |(shown, pair): (&Value, &Value)| {
        let (key, foretold) = (&pair[0], &pair[1]);
        let header = shown["diff"]["before_header"].as_str().unwrap_or_default();
        let writes = matches!(shown["planned"].as_str(), Some("create" | "change" | "remove"));
        Foretold {
            key: key_of(key),
            label: format!("{} {}", shown["task"].as_str().unwrap_or_default(), shown["item"]),
            // A command that ran in the plan and says itself that it changes nothing acts, but is none that must change.
            acts: foretold["acts"] == true && shown["changed"] == true,
            unknown: foretold["unknown"] == true || shown["knowledge"] == "unknown",
            answers: foretold["answers"].as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect(),
            needs: foretold["needs"].as_array().into_iter().flatten().map(key_of).collect(),
            path: Some(PathBuf::from(header)).filter(|p| p.is_absolute() && writes),
        }
    };
    shown.iter().zip(steps).map(one).collect()
}

/// Steps that depend on some, on and on, with those.
pub fn closure(steps: &[Foretold], first: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut found = first.clone();
    loop {
        let more: Vec<usize> = (0..steps.len())
            .filter(|i| !found.contains(i) && steps[*i].needs.iter().any(|n| found.iter().any(|f| steps[*f].key == *n)))
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Steps of an apply by their keys.
pub fn keyed(run: &Value) -> HashMap<String, &Value> {
    let mut seen: HashMap<(String, String, String), usize> = HashMap::new();
    let mut found: HashMap<String, &Value> = HashMap::new();
    for step in run["steps"].as_array().into_iter().flatten() {
        let place = (step["path"].to_string(), step["task"].to_string(), step["item"].to_string());
        let visit = seen.entry(place.clone()).or_insert(0);
        *visit += 1;
        found.insert(format!("{}|{}|{}|{visit}", place.0, place.1, place.2), step);
    }
    found
}

/// Keys of the steps that changed something.
pub fn changed(run: &Value) -> BTreeSet<String> {
    keyed(run).into_iter().filter(|(_, step)| step["changed"] == true).map(|(key, _)| key).collect()
}

/// What came out otherwise than it must: step `index` was spoilt, by a change of what `name` says (a path, `unit ssh.service`, `user kube`);
/// `comes`: what changes where nobody interferes.
pub fn judge(steps: &[Foretold], index: usize, name: &str, run: &Value, comes: &BTreeSet<String>) -> Vec<String> {
    // What was asked names its path as a word of its own.
    let asks = |i: &usize| {
        steps[*i].answers.iter().any(|a| {
            a == name
                || a.split(' ').any(|w| w == name || name.starts_with(&format!("{w}/")) && a.contains("what is below"))
        })
    };
    let direct: BTreeSet<usize> = (0..steps.len()).filter(|i| *i == index || asks(i)).collect();
    let may_stop = closure(steps, &direct);
    let must_stop = closure(steps, &BTreeSet::from([index]));
    let found = keyed(run);
    let mut faults = vec![];
    for (i, foretold) in steps.iter().enumerate() {
        let Some(step) = found.get(&foretold.key) else {
            if foretold.acts && !foretold.unknown && !may_stop.contains(&i) && comes.contains(&foretold.key) {
                faults.push(format!("\"{}\" never came", foretold.label));
            }
            continue;
        };
        let (stopped, changed) = (step["stopped"] == true, step["changed"] == true);
        let because = step["result"]["msg"].as_str().unwrap_or_default();
        if i == index && !(stopped && (because.contains("changed since the plan") || because.contains("it depends on")))
        {
            faults.push(format!("it did not stop: {} {because}", step["status"]));
        }
        if must_stop.contains(&i) && changed {
            faults.push(format!("\"{}\" depends on it and went on", foretold.label));
        }
        if stopped && !may_stop.contains(&i) {
            faults.push(format!("\"{}\" stopped without need: {because}", foretold.label));
        }
        if foretold.acts && !foretold.unknown && !may_stop.contains(&i) && comes.contains(&foretold.key) && !changed {
            faults.push(format!("\"{}\" did not go on: {} {because}", foretold.label, step["status"]));
        }
    }
    faults
}
