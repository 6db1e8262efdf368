//! Somebody changes the node between a saved plan and its apply, at each step that would change something in turn.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Bench;
use crate::generate::Dice;

/// What a plan says of one step.
struct Foretold {
    key: String,
    label: String,
    acts: bool,
    unknown: bool,
    /// What was asked when it was planned.
    answers: Vec<String>,
    needs: Vec<String>,
    /// The path its difference is about.
    path: Option<PathBuf>,
}

fn key_of(step: &Value) -> String {
    format!("{}|{}|{}|{}", step["path"], step["task"], step["item"], step["visit"])
}

fn read(plan: &Value) -> Vec<Foretold> {
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
fn closure(steps: &[Foretold], first: &BTreeSet<usize>) -> BTreeSet<usize> {
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

/// Puts something else there than was, and than any playbook wants. False: nobody could without changing more.
fn spoil(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1777)).is_ok(),
        Ok(meta) if meta.is_symlink() => {
            std::fs::remove_file(path).and_then(|()| std::fs::write(path, "no link any more\n")).is_ok()
        }
        Ok(_) => {
            let mut text = std::fs::read(path).unwrap_or_default();
            text.extend(b"somebody was here, between the plan and the apply\n");
            std::fs::write(path, text).is_ok()
        }
        Err(_) => path.parent().is_some_and(Path::is_dir) && std::fs::write(path, "somebody was here first\n").is_ok(),
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(done.success());
}

/// How many steps were tried, and what went wrong.
pub fn each_step(seed: u64) -> (usize, Vec<String>) {
    let bench = Bench::new(seed);
    bench.kdeploy(&["apply", "--no-plan", "site.yml", "--limit", "drifted"]);
    bench.drift(&mut Dice::new(seed + 1000));
    let plan = bench.kdeploy(&["plan", "site.yml", "--limit", "drifted"]);
    // A plan that fails is not saved: the drift took away what the playbook does not make.
    if plan["steps"].as_array().into_iter().flatten().any(crate::compare::ends_host) {
        return (0, vec![]);
    }
    bench.kdeploy(&["plan", "site.yml", "--limit", "drifted", "--out", "plan.json"]);
    let dir = bench.dir.path();
    let saved = std::fs::read_to_string(dir.join("plan.json")).expect("the plan is saved");
    let steps = read(&serde_json::from_str(&saved).expect("JSON"));
    let (sandbox, kept) = (dir.join("out/drifted"), dir.join("kept"));
    copy(&sandbox, &kept);
    let apply = || {
        std::fs::write(dir.join("plan.json"), &saved).expect("is written");
        // It is another copy's first time.
        let _ = std::fs::remove_dir_all(dir.join(".local/state/kdeploy/plans"));
        bench.kdeploy(&["apply", "plan.json"])
    };
    // The drift may make a step fail that nobody could foretell: what comes after it does not come here either.
    let comes = changed(&apply());
    let (mut trials, mut faults) = (0, vec![]);
    for (index, step) in steps.iter().enumerate() {
        let Some(path) = step.path.as_ref().filter(|p| p.starts_with(&sandbox) && !step.unknown) else { continue };
        // `force: false`: whatever is there is its target.
        if step.label.starts_with("Backed up") || step.label.starts_with("Base ") {
            continue;
        }
        copy(&kept, &sandbox);
        if !spoil(path) {
            continue;
        }
        trials += 1;
        let run = apply();
        for fault in judge(&steps, index, path, &run, &comes) {
            faults.push(format!("playbook {seed}, {} changed for \"{}\": {fault}", path.display(), step.label));
        }
    }
    (trials, faults)
}

/// Steps of an apply by their keys.
fn keyed(run: &Value) -> HashMap<String, &Value> {
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
fn changed(run: &Value) -> BTreeSet<String> {
    keyed(run).into_iter().filter(|(_, step)| step["changed"] == true).map(|(key, _)| key).collect()
}

fn judge(steps: &[Foretold], index: usize, path: &Path, run: &Value, comes: &BTreeSet<String>) -> Vec<String> {
    // What was asked names its path as a word of its own.
    let name = path.display().to_string();
    let asks = |i: &usize| {
        steps[*i].answers.iter().any(|a| {
            a.split(' ').any(|w| w == name || name.starts_with(&format!("{w}/")) && a.contains("what is below"))
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
