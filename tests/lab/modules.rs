//! Modules that need a system of their own, by ansible-core on one node and by kdeploy on its twin: the same status, the same result,
//! the same state after every step.
//!
//! `modules/NAME.yml` holds the cases of one module in the format of tests/modules; `state` is a shell text there whose output says how
//! a step left the node. All files become one playbook, so one pair of nodes does for all. At the end both nodes' disks are compared
//! as a whole: whatever a module wrote that no `state` tells of is seen there.
//!
//! KDEPLOY_PROOF_FILE=NAME and KDEPLOY_PROOF_CASE=NAME run one file or one case only.

#[path = "../modules/case.rs"]
#[expect(dead_code, reason = "parts of the format are for sandboxes only")]
mod case;
#[path = "../modules/compare.rs"]
#[expect(dead_code, reason = "folders are looked at in sandboxes only")]
mod compare;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bed::Bed;
use case::{Case, File};
use compare::Side;

/// Paths and what they are.
type Tree = BTreeMap<String, String>;

/// Alike in length, so that what is cut at a width is cut alike.
const ANSIBLE: &str = "pair-a";
const KDEPLOY: &str = "pair-k";

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The case files, those that end the system's run (`reboot`) last.
fn files() -> Vec<File> {
    let only = std::env::var("KDEPLOY_PROOF_FILE").ok();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(here().join("lab/modules")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort_by_key(|p| (p.ends_with("reboot.yml"), p.clone()));
    let mut all: Vec<File> =
        paths.iter().map(|p| case::read(p, false).unwrap_or_else(|e| panic!("{}: {e}", p.display()))).collect();
    all.retain(|f| only.as_ref().is_none_or(|o| *o == f.name));
    for file in &mut all {
        for case in &mut file.cases {
            case.name = format!("{}_{}", file.name, case.name);
            case.state = case.state.take().or_else(|| file.state.clone());
        }
    }
    all
}

/// The tasks of a case. By kdeploy what is done by hand and what tells the state are tasks too; ansible's callback does them itself, which
/// is quicker, from the texts in `proof`.
fn tasks(case: &Case, proof: Option<&Path>) -> Vec<Value> {
    let mut tasks = vec![];
    let text = |folder: &str, key: &str, name: String, text: &str| match proof {
        Some(proof) => {
            std::fs::write(proof.join(folder).join(key), text).unwrap();
            (folder == "hands").then(|| json!({"name": name, "ansible.builtin.debug": {"msg": ""}}))
        }
        None => Some(json!({"name": name, "ansible.builtin.raw": text, "ignore_errors": true})),
    };
    for step in &case.steps {
        let key = step.key(&case.name);
        if let Some(hand) = &step.hand {
            tasks.extend(text("hands", &key, step.name(&case.name), &format!("set -e\n{hand}")));
            continue;
        }
        let mut task = Value::Object(step.task.clone());
        task["name"] = json!(step.name(&case.name));
        tasks.push(task);
        if let Some(state) = &case.state {
            tasks.extend(text("states", &key, format!("{key} shot"), &format!("{{ {state}\n}} 2>&1")));
        }
    }
    tasks
}

/// The playbook of all cases. No template of the language's is in the texts: `{{` would be one.
fn playbook(files: &[File], proof: Option<&Path>) -> String {
    let all: Vec<Value> = files.iter().flat_map(|f| &f.cases).flat_map(|c| tasks(c, proof)).collect();
    json!([{"hosts": "all", "tasks": all, "vars": {"ansible_user": "root"}}]).to_string()
}

/// Records by the names of tasks; what shots say becomes numbered lines.
fn side(root: &str, records: impl Iterator<Item = (String, String, Value)>, output: String) -> Side {
    let mut side = Side { root: root.to_owned(), output, ..Side::default() };
    for (task, status, result) in records {
        match task.strip_suffix(" shot") {
            Some(key) => {
                let lines = result["stdout"].as_str().unwrap_or("nothing was said");
                let lines = lines.lines().enumerate().map(|(n, line)| (format!("{:03}", n + 1), line.to_owned()));
                side.shots.insert(key.to_owned(), lines.collect());
            }
            None => {
                side.records.insert(task, (status, result.as_object().cloned().unwrap_or_default()));
            }
        }
    }
    side
}

/// ansible's modules without starting Python each time, see tests/modules/python/interpreter.py: the server runs on the node.
fn serve_python(bed: &Bed, bin: &Path) {
    let out =
        Command::new(bin.join("python")).args(["-c", "import ansible; print(ansible.__path__[0])"]).output().unwrap();
    let package = PathBuf::from(String::from_utf8(out.stdout).unwrap().trim());
    let parcel = Command::new("tar")
        .args(["-cz", "--exclude=__pycache__", "-C"])
        .arg(package.parent().unwrap())
        .args([
            "ansible/__init__.py",
            "ansible/release.py",
            "ansible/_vendor",
            "ansible/modules",
            "ansible/module_utils",
            "-C",
        ])
        .arg(here().join("modules/python"))
        .args(["interpreter.py", "python.py"])
        .output()
        .unwrap();
    assert!(parcel.status.success());
    let script = "mkdir -p /run/proof && cd /run/proof && tar -xz && \
        printf '#!/bin/sh\\nKDEPLOY_PYTHON_SOCKET=/run/proof/socket exec /usr/bin/python3 -I -S /run/proof/python.py \"$@\"\\n' >python3 && \
        chmod +x python3 && { PYTHONDONTWRITEBYTECODE=1 setsid /usr/bin/python3 interpreter.py socket </dev/null >/run/proof/log 2>&1 & } && \
        for i in $(seq 100); do [ -S socket ] && exit 0; sleep 0.1; done; cat log >&2; exit 1";
    let mut child = Command::new("ssh")
        .arg("-F")
        .arg(bed.dir().join("ssh_config"))
        .args([ANSIBLE, script])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &parcel.stdout).unwrap();
    assert!(child.wait().unwrap().success(), "the Python server does not come");
}

fn by_ansible(bed: &Bed, bin: &Path, files: &[File]) -> Side {
    let proof = tempfile::tempdir().unwrap();
    for folder in ["out", "shots", "hands", "states"] {
        std::fs::create_dir(proof.path().join(folder)).unwrap();
    }
    bed.write("by-ansible.yml", &playbook(files, Some(proof.path())));
    // As `lab exec` does, without its checks: it is called for every step.
    let on_node = proof.path().join("on-node");
    let text = format!(
        "#!/bin/sh\nleader=$(cat /proc/$(cat {}/nspawn.pid)/task/*/children | tr ' ' '\\n' | sed -n '/./{{p;q}}')\n\
         exec nsenter -t \"$leader\" -m -u -i -n -p -C env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
         HOME=/root sh -c \"$1\"\n",
        bed.dir().join("nodes").join(ANSIBLE).display()
    );
    std::fs::write(&on_node, text).unwrap();
    std::fs::set_permissions(&on_node, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let out = Command::new(bin.join("ansible-playbook"))
        .args([
            "-i",
            "inventory",
            "by-ansible.yml",
            "--limit",
            ANSIBLE,
            "-e",
            "ansible_python_interpreter=/run/proof/python3",
        ])
        .current_dir(bed.project.path())
        .env("KDEPLOY_PROOF", proof.path())
        .env("ANSIBLE_CALLBACK_PLUGINS", here().join("modules/callback"))
        .env("ANSIBLE_CALLBACKS_ENABLED", "proof")
        .env("ANSIBLE_COLLECTIONS_PATH", std::env::var_os("KDEPLOY_ANSIBLE_COLLECTIONS").unwrap_or_default())
        .env(
            "ANSIBLE_SSH_ARGS",
            format!("-F {} -o ControlMaster=auto -o ControlPersist=60s", bed.dir().join("ssh_config").display()),
        )
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", proof.path())
        .env("ANSIBLE_PIPELINING", "1")
        .env("ANSIBLE_HOME", proof.path().join("home"))
        .env("ANSIBLE_NOCOLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = std::fs::read_to_string(proof.path().join("records")).unwrap_or_default();
    let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let records = records.into_iter().map(|r| {
        let status = match r["kind"].as_str().unwrap_or_default() {
            "ok" if r["result"]["changed"] == true => "changed",
            kind => kind,
        };
        (r["task"].as_str().unwrap_or_default().to_owned(), status.to_owned(), r["result"].clone())
    });
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    side(ANSIBLE, records, said)
}

fn by_kdeploy(bed: &Bed) -> Side {
    let run = bed.kdeploy(&["apply", "proof.yml", "--limit", KDEPLOY, "--output", "json", "--no-plan"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    let steps: Vec<Value> = document["steps"].as_array().cloned().unwrap_or_default();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let records = steps.into_iter().map(|s| (text(&s["task"]), text(&s["status"]), s["result"].clone()));
    side(KDEPLOY, records, format!("{}{}", run.stderr, if document.is_null() { &run.stdout } else { "" }))
}

/// Of everything ansible's outcome rests on.
fn digest(files: &[File]) -> String {
    use sha2::Digest;
    let mut digest = sha2::Sha256::new();
    for case in files.iter().flat_map(|f| &f.cases) {
        digest.update(serde_json::to_vec(&(&case.name, &case.steps, &case.state)).unwrap());
    }
    for file in [
        "lab/layers/node.sh",
        "lab/layers/twin.sh",
        "lab/layers/proof.sh",
        "tests/modules/callback/proof.py",
        "tests/lab/modules.rs",
    ] {
        digest.update(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap());
    }
    hex::encode(&digest.finalize()[..16])
}

#[test]
#[ignore = "needs root, the lab, ansible-core and its collections: ./test twins"]
fn modules_leave_twins_alike() {
    if std::env::var_os("KDEPLOY_NEEDS_TWINS").is_none() {
        eprintln!("skipped: not all of it passes yet; ./test twins runs it");
        return;
    }
    let bin =
        std::env::var("KDEPLOY_ANSIBLE").expect("KDEPLOY_ANSIBLE names the folder of ansible-playbook; ./test sets it");
    let bin = PathBuf::from(bin);
    let files = files();
    // What ansible did is kept as long as the cases and its node's image stay the same: then no node is needed for it.
    let cache = std::env::var_os("KDEPLOY_PROOF_CACHE").map(PathBuf::from);
    let kept = cache.map(|c| c.join(format!("lab-{}", digest(&files))));
    let known: Option<(Side, Tree)> =
        kept.as_ref().and_then(|k| std::fs::read(k).ok()).and_then(|text| serde_json::from_slice(&text).ok());
    let nodes = [format!("{KDEPLOY}=proof"), format!("{ANSIBLE}=proof")];
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).take(if known.is_some() { 1 } else { 2 }).collect();
    let bed = Bed::with(&nodes);
    bed.write("proof.yml", &playbook(&files, None));
    // Whatever else was written: what is in the upper layers of the nodes' roots.
    let upper = |node: &str| -> Tree { crate::twins::tree(&bed.dir().join("nodes").join(node).join("up")) };
    let ((theirs, a), ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| {
            known.unwrap_or_else(|| {
                serve_python(&bed, &bin);
                let side = by_ansible(&bed, &bin, &files);
                (side, upper(ANSIBLE))
            })
        });
        let ours = by_kdeploy(&bed);
        (theirs.join().unwrap(), ours)
    });
    let k = upper(KDEPLOY);
    let complete = files
        .iter()
        .flat_map(|f| &f.cases)
        .all(|c| c.steps.iter().all(|s| theirs.records.contains_key(&s.name(&c.name))));
    if let Some(kept) = kept.filter(|k| complete && !k.exists()) {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(kept, serde_json::to_vec(&(&theirs, &a)).unwrap()).unwrap();
    }
    let mut wrong: Vec<String> = files.iter().flat_map(|f| compare::differences(f, &theirs, &ours)).collect();
    for path in a.keys().chain(k.keys()).collect::<std::collections::BTreeSet<_>>() {
        if a.get(path) != k.get(path) {
            wrong.push(format!("afterwards /{path}: theirs {:?}, ours {:?}", a.get(path), k.get(path)));
        }
    }
    let steps: usize =
        files.iter().flat_map(|f| &f.cases).map(|c| c.steps.iter().filter(|s| s.hand.is_none()).count()).sum();
    let sequences: usize = files.iter().map(|f| f.cases.len()).sum();
    eprintln!("{} modules, {sequences} sequences, {steps} steps compared", files.len());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
