//! Running a case file with one program.

use std::collections::BTreeMap;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value, json};
use sha2::Digest;

use crate::case::{Case, File};
use crate::compare::Side;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules")
}

/// Both names have the same length, so that paths have it too.
fn sandbox(file: &File, program: &str) -> std::io::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new().prefix(&format!("proof-{}-{program}-", file.name)).tempdir()?;
    for folder in ["out", "shots", "hands"] {
        std::fs::create_dir(dir.path().join(folder))?;
    }
    let copied = Command::new("cp").arg("-a").arg(here().join("files")).arg(dir.path()).status()?;
    if !copied.success() {
        return Err(Error::other("cannot copy tests/modules/files"));
    }
    for case in &file.cases {
        std::fs::create_dir(dir.path().join("out").join(&case.name))?;
    }
    Ok(dir)
}

/// `$D`, `$F` and `$U` in arguments and shell texts.
fn placed(text: &str, root: &Path, case: &str, url: &str) -> String {
    text.replace("$D", &root.join("out").join(case).display().to_string())
        .replace("$F", &root.join("files").display().to_string())
        .replace("$U", url)
}

fn all_placed(value: &Value, root: &Path, case: &str, url: &str) -> Value {
    match value {
        Value::String(s) => json!(placed(s, root, case, url)),
        Value::Array(items) => items.iter().map(|v| all_placed(v, root, case, url)).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), all_placed(v, root, case, url))).collect(),
        other => other.clone(),
    }
}

/// The playbook. With `shots`, taking pictures and changes by hand are tasks too.
fn playbook(cases: &[&Case], root: &Path, url: &str, shots: bool) -> std::io::Result<()> {
    let mut tasks = vec![];
    for case in cases {
        for step in &case.steps {
            let name = step.name(&case.name);
            if let Some(hand) = &step.hand {
                let text = format!(
                    "set -e\ncd {}\n{}\n",
                    root.join("out").join(&case.name).display(),
                    placed(hand, root, &case.name, url)
                );
                std::fs::write(root.join("hands").join(step.key(&case.name)), text)?;
            }
            let hand = root.join("hands").join(step.key(&case.name));
            if step.hand.is_some() {
                // ansible's callback does it when the task begins.
                tasks.push(if shots {
                    json!({"name": name, "ansible.builtin.command": {"argv": ["sh", hand]}})
                } else {
                    json!({"name": name, "ansible.builtin.debug": {"msg": ""}})
                });
                continue;
            }
            let mut task = all_placed(&Value::Object(step.task.clone()), root, &case.name, url);
            task["name"] = json!(name);
            tasks.push(task);
            if shots {
                let from = root.join("out").join(&case.name);
                let to = root.join("shots").join(step.key(&case.name));
                tasks.push(json!({"name": "shot", "ansible.builtin.shell": format!("if test -d {0}; then cp -a {0} {1}; fi", from.display(), to.display())}));
            }
        }
    }
    let play = json!([{"hosts": "localhost", "gather_facts": false, "tasks": tasks, "vars": {
        "ansible_connection": "local", "who": "the world", "list": [1, 2, 3], "nothing": null }}]);
    std::fs::write(root.join("site.yml"), play.to_string())
}

/// A digest of everything a case's outcome rests on besides its steps: the files, what runs ansible, and which ansible it is.
fn fixtures() -> std::io::Result<String> {
    let mut digest = sha2::Sha256::new();
    let mut todo: Vec<PathBuf> = ["files", "python", "callback"].iter().map(|f| here().join(f)).collect();
    let mut found = vec![];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                todo.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    for path in found.iter().filter(|p| !p.to_string_lossy().contains("__pycache__")) {
        digest.update(path.strip_prefix(here()).unwrap_or(path).to_string_lossy().as_bytes());
        digest.update(std::fs::read(path)?);
    }
    let bin = std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from).unwrap_or_default();
    let version = Command::new(bin.join("python"))
        .args(["-Ic", "import importlib.metadata as m; print(m.version('ansible-core'))"])
        .output()?;
    digest.update(&version.stdout);
    Ok(hex::encode(digest.finalize()))
}

/// With KDEPLOY_PROOF_CACHE=FOLDER, what ansible did with a case is kept there and not done again as long as the case and all it rests on
/// stay the same.
pub fn ansible(file: &File) -> std::io::Result<Side> {
    let Some(cache) = std::env::var_os("KDEPLOY_PROOF_CACHE").map(PathBuf::from) else {
        return run_ansible(file, &file.cases.iter().collect::<Vec<_>>());
    };
    std::fs::create_dir_all(&cache)?;
    let fixtures = fixtures()?;
    let kept = |case: &Case| {
        let said = serde_json::to_vec(&(&case.steps, &file.umask, &fixtures)).unwrap_or_default();
        let digest = sha2::Sha256::digest(said);
        cache.join(format!("{}-{}-{}", file.name, case.name, hex::encode(&digest[..8])))
    };
    let missing: Vec<&Case> = file.cases.iter().filter(|c| !kept(c).exists()).collect();
    if !missing.is_empty() {
        let side = run_ansible(file, &missing)?;
        for case in missing {
            let of_case = |key: &str| key.split_once('.').is_some_and(|(name, _)| name == case.name);
            let mut one = Side { output: side.output.clone(), root: side.root.clone(), ..Side::default() };
            one.records =
                side.records.iter().filter(|(k, _)| of_case(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
            one.shots = side.shots.iter().filter(|(k, _)| of_case(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
            if one.records.len() == case.steps.len() {
                std::fs::write(kept(case), serde_json::to_vec(&one)?)?;
            } else {
                return Ok(side);
            }
        }
    }
    let mut all = Side { root: format!("/tmp/proof-{}-ansible-", file.name), ..Side::default() };
    for case in &file.cases {
        let text = std::fs::read_to_string(kept(case))?;
        let one: Side = serde_json::from_str(&text)?;
        let text = text.replace(&one.root, &all.root);
        let one: Side = serde_json::from_str(&text)?;
        all.records.extend(one.records);
        all.shots.extend(one.shots);
    }
    Ok(all)
}

fn run_ansible(file: &File, cases: &[&Case]) -> std::io::Result<Side> {
    let dir = sandbox(file, "ansible")?;
    let root = dir.path();
    let (_server, url) = web(root)?;
    playbook(cases, root, &url, false)?;
    let bin = std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from).unwrap_or_default();
    let python = bin.join("python");
    let socket = root.join("python.socket");
    let _interpreter = Running(
        Command::new(&python).arg(here().join("python/interpreter.py")).arg(&socket).stdin(Stdio::null()).spawn()?,
    );
    wait_for(&socket)?;
    let stand_in = root.join("python3");
    let text =
        format!("#!/bin/sh\nexec {} -I -S {} \"$@\"\n", python.display(), here().join("python/python.py").display());
    std::fs::write(&stand_in, text)?;
    std::fs::set_permissions(&stand_in, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let output = under(&file.umask, &bin.join("ansible-playbook"))
        .args(["-i", "localhost,", "site.yml", "-e"])
        .arg(format!("ansible_python_interpreter={}", stand_in.display()))
        .current_dir(root)
        .env("KDEPLOY_PROOF", root)
        .env("KDEPLOY_PYTHON_SOCKET", &socket)
        .env("ANSIBLE_CALLBACK_PLUGINS", here().join("callback"))
        .env("ANSIBLE_CALLBACKS_ENABLED", "proof")
        .env("ANSIBLE_COLLECTIONS_PATH", std::env::var_os("KDEPLOY_ANSIBLE_COLLECTIONS").unwrap_or_default())
        .env("ANSIBLE_NOCOLOR", "1")
        .env("PATH", format!("{}:{}", std::env::var("PATH").unwrap_or_default(), root.join("files/bin").display()))
        .env("ANSIBLE_PIPELINING", "1")
        .env("ANSIBLE_HOME", root.join("home"))
        .env("ANSIBLE_VAULT_PASSWORD_FILE", root.join("files/vault-password"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()?;
    let text = std::fs::read_to_string(root.join("records")).unwrap_or_default();
    let records = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|r| {
            let status = match r["kind"].as_str().unwrap_or_default() {
                "ok" if r["result"]["changed"] == true => "changed",
                kind => kind,
            };
            (text_of(&r["task"]), (status.to_owned(), object(&r["result"])))
        })
        .collect();
    side(dir, records, &output)
}

pub fn kdeploy(file: &File) -> std::io::Result<Side> {
    let dir = sandbox(file, "kdeploy")?;
    let root = dir.path();
    let (_server, url) = web(root)?;
    playbook(&file.cases.iter().collect::<Vec<_>>(), root, &url, true)?;
    let output = under(&file.umask, Path::new(env!("CARGO_BIN_EXE_kdeploy")))
        .args([
            "apply",
            "--output",
            "json",
            "--no-plan",
            "-i",
            "localhost,",
            "site.yml",
            "--vault-password-file",
            "files/vault-password",
        ])
        .current_dir(root)
        .env("XDG_STATE_HOME", root.join("state"))
        .env("XDG_CACHE_HOME", root.join("cache"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()?;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let steps = document["steps"].as_array().into_iter().flatten();
    let records = steps.map(|s| (text_of(&s["task"]), (text_of(&s["status"]), object(&s["result"])))).collect();
    side(dir, records, &output)
}

fn side(
    dir: tempfile::TempDir,
    records: BTreeMap<String, (String, Map<String, Value>)>,
    output: &std::process::Output,
) -> std::io::Result<Side> {
    let mut shots = BTreeMap::new();
    for entry in std::fs::read_dir(dir.path().join("shots"))? {
        let path = entry?.path();
        let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        shots.insert(key, crate::compare::tree(&path));
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.stdout.starts_with(b"{") {
        text.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    let root = dir.path().display().to_string();
    if std::env::var_os("KDEPLOY_PROOF_KEEP").is_some() {
        eprintln!("kept: {}", dir.keep().display());
    }
    Ok(Side { records, shots, output: text, root })
}

/// A program under a umask.
fn under(umask: &str, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask $1; shift; exec \"$@\"", "sh", umask]).arg(program);
    command
}

fn wait_for(path: &Path) -> std::io::Result<()> {
    for _ in 0..600 {
        if path.exists() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(Error::other(format!("{} does not come", path.display())))
}

/// A web server for the sandbox's files; its address.
fn web(root: &Path) -> std::io::Result<(Running, String)> {
    let port = root.join("port");
    let server = Command::new("python3")
        .arg(here().join("python/web.py"))
        .arg(root.join("files"))
        .arg(&port)
        .stdin(Stdio::null())
        .spawn()?;
    let server = Running(server);
    wait_for(&port)?;
    let port = std::fs::read_to_string(&port)?;
    Ok((server, format!("http://127.0.0.1:{}", port.trim())))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
