//! Random playbooks beside ansible-core: a seed makes a repository (`generate`), both programs run it, and what each task did, what
//! each variable is in the end and what `plan` foretold are compared.
//!
//! Cases that once differed stand in `found/` (smaller than they were found) and are run first.
//!
//!     KDEPLOY_ORACLE_SEED=N     the cases from seed N on, instead of those from 1
//!     KDEPLOY_ORACLE_CASES=N    how many (600)
//!     KDEPLOY_ORACLE_KEEP=DIR   write them below this folder too, each as `DIR/SEED`, and run nothing
//!     KDEPLOY_ORACLE_SHRINK=N   how many smaller cases are tried where one differs (100)

mod compare;
mod expressions;
mod generate;
mod rng;
mod runner;
mod shrink;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use generate::{Repository, generate};
use runner::Runner;

const BATCH: u64 = 50;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn found() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/random/found")
}

/// Seeds whose playbooks still differ and should not, and where. A seed that differs no more must leave the list.
const OPEN: &[(u64, &str)] = &[
    (36, "`debug: var` of a template that ended early: `<< error 2 - template potentially truncated >>`"),
    (120, "a loop that cannot be evaluated under conditions that are false"),
    (139, "variables set by `run_once` tasks in a rescued block"),
    (161, "a handler after an ignored failure in an included role"),
    (162, "a variable set in a rescue"),
    (191, "`selectattr('a', 'defined')` over something undefined"),
    (271, "`map('extract', …)` of something undefined, in `{% for %}`"),
    (277, "the plan of a role whose looped command fails"),
    (297, "order of a looped include between hosts"),
    (324, "`debug` of a variable that comes to itself"),
    (330, "`debug: var` of a template that ended early"),
    (352, "`any_errors_fatal` and a looped `include_role` whose condition fails on another host"),
    (388, "a variable set by a `run_once` task"),
    (401, "`map('extract', …)` of something undefined, in `{% for %}`"),
    (574, "`debug: var` of a template that ended early"),
];

/// The cases of every run: as many as take less than a minute.
pub fn everyday() -> Vec<Trial> {
    let trial = |first: u64| {
        let name = format!("oracle::random_{first}_to_{}", first + 19);
        Trial::test(name, move || batch(first..first + 20)).with_ignored_flag(true)
    };
    vec![trial(1), trial(21)]
}

/// The recorded cases, then batches of new ones.
pub fn trials() -> Vec<Trial> {
    let (first, count) = (number("KDEPLOY_ORACLE_SEED", 1), number("KDEPLOY_ORACLE_CASES", 600));
    let mut trials = vec![Trial::test("random::found", recorded).with_ignored_flag(true)];
    let mut seed = first;
    while seed < first + count {
        let end = (seed + BATCH).min(first + count);
        trials.push(
            Trial::test(format!("random::seeds_{seed}_to_{}", end - 1), move || batch(seed..end))
                .with_ignored_flag(true),
        );
        seed = end;
    }
    trials
}

fn recorded() -> Result<(), Failed> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(found()).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    let mut runner = Runner::start()?;
    let mut differing = String::new();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "yml")) {
        let case: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
        let repository = Repository {
            files: case["files"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            args: case["args"].as_array().into_iter().flatten().filter_map(|a| a.as_str()).map(str::to_owned).collect(),
        };
        let differences = runner.differences(&repository)?;
        if !differences.is_empty() {
            differing += &format!("{}:\n{}\n", path.display(), differences.join("\n"));
        }
    }
    if differing.is_empty() { Ok(()) } else { Err(differing.into()) }
}

fn batch(seeds: std::ops::Range<u64>) -> Result<(), Failed> {
    if let Some(dir) = std::env::var_os("KDEPLOY_ORACLE_KEEP") {
        for seed in seeds {
            let (case, dir) = (generate(seed), Path::new(&dir).join(seed.to_string()));
            runner::write(&case, &dir)?;
            std::fs::write(dir.join("args"), case.args.join("\n"))?;
        }
        return Ok(());
    }
    let mut runner = Runner::start()?;
    let mut differing = String::new();
    for seed in seeds {
        let open = OPEN.iter().find(|(open, _)| *open == seed);
        let repository = generate(seed);
        let differences = runner.differences(&repository)?;
        match (differences.is_empty(), open) {
            (true, None) => continue,
            (true, Some((_, why))) => {
                differing += &format!("seed {seed} is said to be open ({why}), but does not differ\n");
                continue;
            }
            (false, Some((_, why))) => {
                eprintln!("seed {seed} is open: {why}");
                continue;
            }
            (false, None) => {}
        }
        eprintln!("seed {seed}:\n  {}", differences.join("\n  "));
        let (small, differences) = shrink::shrink(&mut runner, &repository, number("KDEPLOY_ORACLE_SHRINK", 100))?;
        let text = written(seed, &small, &differences);
        std::fs::create_dir_all(found())?;
        std::fs::write(found().join(format!("{seed}.yml")), &text)?;
        differing += &text;
    }
    if differing.is_empty() {
        Ok(())
    } else {
        Err(format!("differences; the cases are in {}\n{differing}", found().display()).into())
    }
}

/// A case as a file of `found/`.
fn written(seed: u64, case: &Repository, differences: &[String]) -> String {
    let comments: String = differences.iter().take(12).flat_map(|d| d.lines()).map(|l| format!("#   {l}\n")).collect();
    let files: BTreeMap<&String, &Value> = case.files.iter().collect();
    let body = serde_yaml::to_string(&json!({"args": case.args, "files": files})).unwrap_or_default();
    format!("# From seed {seed}. What differed:\n{comments}{body}\n")
}
