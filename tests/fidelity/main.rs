//! Is what `plan` prints what `apply` does? Generated playbooks, from a fresh, a half-done and a drifted state.
//!
//! Every step's forecast is compared with what the apply then did: changed or not, and with the same difference. Afterwards a second plan
//! must find nothing to do. `docs/fidelity.md` holds the figures; the test fails when they are not the ones it finds.
//!
//!     KDEPLOY_FIDELITY=SEED            one playbook, shown
//!     KDEPLOY_FIDELITY=all             all of them, as ./test runs it; without it the first ones only
//!     KDEPLOY_FIDELITY=stale           the node changes between plan and apply: at each step of all of them, which takes minutes
//!     KDEPLOY_FIDELITY=write           all of them, and docs/fidelity.md is written

mod compare;
mod document;
mod generate;
mod saved;
mod stale;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use compare::Score;
use generate::Dice;
use serde_json::Value;

/// How many playbooks are made.
const PLAYBOOKS: u64 = 64;
/// As many as fit into half a minute: for who runs the tests by hand.
const SOME: u64 = 16;
const STATES: [&str; 3] = ["fresh", "half", "drifted"];

/// A repository with one playbook, and one sandbox for each state, each a host of its own.
struct Bench {
    /// Where all of it lies.
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let bench = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        let made = generate::playbook(seed);
        generate::write_files(bench.dir.path()).expect("files are written");
        bench.write("site.yml", &made.whole);
        bench.write("half.yml", &made.half);
        let mut hosts = String::new();
        for state in STATES {
            let sandbox = bench.dir.path().join("out").join(state);
            std::fs::create_dir_all(&sandbox).expect("a sandbox");
            hosts.push_str(&format!("{state} ansible_connection=local sandbox={}\n", sandbox.display()));
        }
        hosts.push_str("[all:vars]\nansible_python_interpreter='{{ ansible_playbook_python }}'\n");
        bench.write("hosts", &hosts);
        bench
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).expect("file is written");
    }

    fn kdeploy(&self, args: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_kdeploy"))
            .args(args)
            .args(["-i", "hosts", "--output", "json"])
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("kdeploy runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!(
                "{args:?}: {e}\n{}\n{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// Brings one host half-way, and another there and away again.
    fn prepare(&self, seed: u64) {
        self.kdeploy(&["apply", "--no-plan", "half.yml", "--limit", "half"]);
        self.kdeploy(&["apply", "--no-plan", "site.yml", "--limit", "drifted"]);
        self.drift(&mut Dice::new(seed + 1000));
    }

    /// Somebody was there: some files have another text or mode, some are gone.
    fn drift(&self, dice: &mut Dice) {
        use std::os::unix::fs::PermissionsExt;
        for path in files(&self.dir.path().join("out/drifted")) {
            let Ok(meta) = path.symlink_metadata() else { continue };
            match dice.roll(5) {
                0 if meta.is_file() => std::fs::write(&path, "somebody was here\n").expect("is written"),
                1 if meta.is_file() => std::fs::remove_file(&path).expect("is removed"),
                2 if !meta.is_symlink() => {
                    let mode = if meta.is_dir() { 0o711 } else { 0o604 };
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode is set");
                }
                3 if meta.is_dir() => std::fs::remove_dir_all(&path).expect("is removed"),
                _ => {}
            }
        }
    }

    fn ansible(&self, args: &[&str], records: &str) -> Vec<Value> {
        let bin = PathBuf::from(std::env::var_os("KDEPLOY_ANSIBLE").expect("KDEPLOY_ANSIBLE is set"));
        let records = self.dir.path().join(records);
        let output = Command::new(bin.join("ansible-playbook"))
            .args(["-i", "hosts", "site.yml"])
            .args(args)
            .current_dir(self.dir.path())
            .env("KDEPLOY_ORACLE_OUT", &records)
            .env("ANSIBLE_CALLBACK_PLUGINS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/callback"))
            .env("ANSIBLE_CALLBACKS_ENABLED", "kdeploy_oracle")
            .env("ANSIBLE_PIPELINING", "True")
            // `ini_file` is none of ansible-core's own.
            .envs(std::env::var_os("KDEPLOY_ANSIBLE_COLLECTIONS").map(|dir| ("ANSIBLE_COLLECTIONS_PATH", dir)))
            .env("ANSIBLE_HOME", self.dir.path().join("home"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .expect("ansible-playbook runs");
        let text = std::fs::read_to_string(records).unwrap_or_default();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(!text.is_empty(), "{args:?}: nothing ran: {}{}", said(&output.stdout), said(&output.stderr));
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Everything below a folder, in order.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut entries: Vec<PathBuf> = std::fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        found.push(path.clone());
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        }
    }
    found
}

/// Steps of one host only.
fn of_host(document: &Value, host: &str) -> Value {
    let steps: Vec<Value> =
        document["steps"].as_array().into_iter().flatten().filter(|s| s["host"] == host).cloned().collect();
    serde_json::json!({ "steps": steps })
}

/// Plans, applies, plans again; the scores by state.
fn kdeploy(seed: u64) -> [Score; 3] {
    let bench = Bench::new(seed);
    bench.prepare(seed);
    let plan = bench.kdeploy(&["plan", "site.yml"]);
    let apply = bench.kdeploy(&["apply", "--no-plan", "site.yml"]);
    let again = bench.kdeploy(&["plan", "site.yml"]);
    STATES.map(|state| {
        let mut score = compare::plan_and_apply(&of_host(&plan, state), &of_host(&apply, state));
        assert!(score.steps > 0, "{state}: nothing ran: {apply:#}");
        if score.cut > 0 {
            return score;
        }
        for left in compare::left_to_do(&of_host(&again, state), &of_host(&apply, state)) {
            score.faults.push(format!("still to do after the apply: {left}"));
        }
        score
    })
}

/// What ansible-core said of a playbook before and while it ran it. With KDEPLOY_PROOF_CACHE=FOLDER that is kept there, and not done
/// again as long as the playbook, its files, the drift and that ansible stay the same.
fn records(seed: u64) -> (Vec<Value>, Vec<Value>) {
    use sha2::Digest;
    static VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let bin = PathBuf::from(std::env::var_os("KDEPLOY_ANSIBLE").expect("KDEPLOY_ANSIBLE is set"));
        let said = Command::new(bin.join("ansible-playbook")).arg("--version").output().expect("ansible-playbook runs");
        String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned()
    });
    let kept = std::env::var_os("KDEPLOY_PROOF_CACHE").filter(|dir| !dir.is_empty()).map(|dir| {
        let made = generate::playbook(seed);
        let rests_on = [&made.whole, &made.half, include_str!("generate.rs"), include_str!("main.rs"), &VERSION];
        let digest = sha2::Sha256::digest(rests_on.join("\0"));
        let dir = PathBuf::from(dir);
        std::fs::create_dir_all(&dir).expect("a folder for what is kept");
        dir.join(format!("fidelity-{seed}-{}", hex::encode(&digest[..8])))
    });
    if let Some(text) = kept.as_ref().and_then(|file| std::fs::read(file).ok()) {
        return serde_json::from_slice(&text).expect("what was kept can be read");
    }
    let bench = Bench::new(seed);
    bench.prepare(seed);
    let both = (bench.ansible(&["--check", "--diff"], "check"), bench.ansible(&["--diff"], "run"));
    if let Some(file) = kept {
        // Whole or not at all.
        let half = file.with_extension("half");
        std::fs::write(&half, serde_json::to_vec(&both).expect("JSON")).expect("is kept");
        std::fs::rename(half, file).expect("is kept");
    }
    both
}

fn ansible(seed: u64) -> [Score; 3] {
    let (check, run) = records(seed);
    STATES.map(|state| {
        let of = |records: &[Value]| -> Vec<Value> { records.iter().filter(|r| r["host"] == state).cloned().collect() };
        compare::check_and_run(&of(&check), &of(&run))
    })
}

fn add(total: &mut Score, other: &Score) {
    total.steps += other.steps;
    total.right += other.right;
    total.unknown += other.unknown;
    total.wrong += other.wrong;
    total.failed += other.failed;
    total.cut += other.cut;
    total.faults.extend(other.faults.iter().cloned());
}

/// Runs all playbooks of a range and adds up.
fn all(range: std::ops::RangeInclusive<u64>, one: impl Fn(u64) -> [Score; 3] + Sync) -> [Score; 3] {
    let next = std::sync::Mutex::new(range);
    let total = std::sync::Mutex::new(STATES.map(|_| Score::default()));
    let work = || {
        while let Some(seed) = { next.lock().expect("lock").next() } {
            let scores = one(seed);
            let mut total = total.lock().expect("lock");
            for (state, score) in scores.iter().enumerate() {
                add(&mut total[state], score);
                let faults = score.faults.iter().map(|f| format!("playbook {seed}: {f}"));
                let place = total[state].faults.len() - score.faults.len();
                total[state].faults.truncate(place);
                total[state].faults.extend(faults);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    total.into_inner().expect("lock")
}

/// All are asked for: by ./test, and so in CI.
fn whole(mode: &str) -> bool {
    matches!(mode, "all" | "write") || std::env::var("CI").is_ok_and(|ci| ci == "true")
}

#[test]
fn plans_of_generated_playbooks_come_true() {
    let mode = std::env::var("KDEPLOY_FIDELITY").unwrap_or_default();
    if let Ok(seed) = mode.parse::<u64>() {
        println!("{}", generate::playbook(seed).whole);
        for (state, score) in STATES.iter().zip(kdeploy(seed)) {
            println!("{state}: {score:#?}");
        }
        return;
    }
    let whole = whole(&mode);
    let ours = all(1..=if whole { PLAYBOOKS } else { SOME }, kdeploy);
    let faults: Vec<String> = ours.iter().flat_map(|s| s.faults.iter().cloned()).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    if whole {
        document::settle(&format!("{PLAYBOOKS} generated"), "`kdeploy plan`", &ours);
    }
}

/// The node is changed at each step of whole playbooks in turn, between the plan and its apply: that step and its dependants stop, the
/// others go on.
#[test]
fn each_step_in_turn_is_changed_before_the_apply() {
    let mode = std::env::var("KDEPLOY_FIDELITY").unwrap_or_default();
    let seeds = match mode.parse::<u64>() {
        Ok(seed) => seed..=seed,
        Err(_) if mode == "stale" => 1..=PLAYBOOKS,
        Err(_) => 1..=if whole(&mode) { 8 } else { 2 },
    };
    let (next, total) = (std::sync::Mutex::new(seeds), std::sync::Mutex::new((0, vec![])));
    let work = || {
        while let Some(seed) = { next.lock().expect("lock").next() } {
            let (tried, found) = stale::each_step(seed);
            let mut total = total.lock().expect("lock");
            total.0 += tried;
            total.1.extend(found);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let (trials, faults): (usize, Vec<String>) = total.into_inner().expect("lock");
    println!("{trials} steps changed in turn");
    assert!(trials >= 8, "only {trials} steps could be changed");
    assert!(faults.is_empty(), "{} faults in {trials} trials\n{}", faults.len(), faults.join("\n"));
}

#[test]
#[ignore = "takes minutes and needs ansible-core: ./test fidelity runs it"]
fn what_check_mode_says_of_generated_playbooks() {
    if let Ok(seed) = std::env::var("KDEPLOY_FIDELITY").unwrap_or_default().parse::<u64>() {
        println!("{:#?}", ansible(seed));
        return;
    }
    let theirs = all(1..=PLAYBOOKS, ansible);
    document::settle(&format!("{PLAYBOOKS} generated"), "`ansible-playbook --check`", &theirs);
}
