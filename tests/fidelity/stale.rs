//! Somebody changes the node between a saved plan and its apply, at each step that would change something in turn.

use std::path::Path;
use std::process::Command;

use crate::Bench;
use crate::generate::Dice;
use crate::saved::{changed, judge, read};

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
        for fault in judge(&steps, index, &path.display().to_string(), &run, &comes) {
            faults.push(format!("playbook {seed}, {} changed for \"{}\": {fault}", path.display(), step.label));
        }
    }
    (trials, faults)
}
