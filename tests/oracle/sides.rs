//! Running a case with one program: what happened, as comparable records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Case;

/// One result of one task (or loop item) on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub host: String,
    pub task: String,
    pub status: String,
    pub result: BTreeMap<String, Value>,
}

/// What a program did.
pub struct Side {
    pub rc: i32,
    pub output: String,
    pub records: Vec<Record>,
    /// Path below the sandbox → kind, mode and content.
    pub files: BTreeMap<String, String>,
}

/// Keys that differ from run to run or say how, not what.
/// The hosts of a case without an inventory of its own.
const HOSTS: &str = "[both]\none\ntwo\n[both:vars]\nansible_connection=local\nansible_python_interpreter={{ ansible_playbook_python }}\n";

const VOLATILE: &[&str] = &[
    "start",
    "end",
    "delta",
    "invocation",
    "warnings",
    "deprecations",
    "diff",
    "exception",
    "ansible_facts",
    "uid",
    "gid",
    "atime",
    "mtime",
    "ctime",
    "inode",
    "dev",
    "elapsed",
    "item",
    "src",
    "stat",
    "ansible_loop_var",
    "ansible_index_var",
    "attempts",
    "skip_reason",
    "false_condition",
    "failed_when_result",
    "skipped_reason",
    "include",
    "finished",
    "module_stdout",
    "module_stderr",
    "unreachable",
    "censored",
    "failed_when_suppressed_exception",
    "include_args",
    "results",
    "ansible_loop",
    "ansible_job_id",
    "results_file",
    "erased",
    "async_result",
    "child_pid",
    "timedout",
];

fn sandbox(label: &str, case: &Path) -> std::io::Result<tempfile::TempDir> {
    let name = case.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    tempfile::Builder::new().prefix(&format!("oracle-{name}-{label}-")).tempdir()
}

/// Both programs see the case's files at a path of the same length below their own sandbox.
fn prepare(path: &Path, sandbox: &Path) -> std::io::Result<(PathBuf, PathBuf)> {
    let repo = sandbox.join("repo");
    std::fs::create_dir(&repo)?;
    if path.is_dir() {
        copy_dir(path, &repo)?;
    } else {
        std::fs::copy(path, repo.join("site.yml"))?;
    }
    let inventory = repo.join("hosts");
    if !inventory.exists() && !repo.join("inventory").exists() {
        std::fs::write(&inventory, HOSTS)?;
    }
    let inventory = if repo.join("inventory").exists() { repo.join("inventory") } else { inventory };
    std::fs::create_dir(sandbox.join("out"))?;
    Ok((repo, inventory))
}

pub fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

pub fn ansible(path: &Path, case: &Case) -> std::io::Result<Side> {
    let dir = sandbox("theirs", path)?;
    let (repo, inventory) = prepare(path, dir.path())?;
    let bin = std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from).unwrap_or_default();
    let program = if bin.as_os_str().is_empty() { "ansible-playbook".into() } else { bin.join("ansible-playbook") };
    let records = dir.path().join("records");
    let output = Command::new(program)
        .current_dir(&repo)
        .arg("-i")
        .arg(&inventory)
        .arg("site.yml")
        .args(&case.args)
        .arg("-e")
        .arg(format!("sandbox={}", dir.path().join("out").display()))
        .env("KDEPLOY_ORACLE_OUT", &records)
        .env("ANSIBLE_CALLBACK_PLUGINS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/callback"))
        .env("ANSIBLE_CALLBACKS_ENABLED", "kdeploy_oracle")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_LOCALHOST_WARNING", "False")
        .env("ANSIBLE_HOME", dir.path().join("home"))
        .env("ANSIBLE_RETRY_FILES_ENABLED", "False")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ORACLE_ENV", "from the environment")
        .stdin(Stdio::null())
        .output()?;
    let text = std::fs::read_to_string(&records).unwrap_or_default();
    let records = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|r| r["result"]["loop"] != true)
        .map(|r| {
            let changed = r["result"]["changed"] == true;
            let status = match r["kind"].as_str().unwrap_or_default() {
                "ok" if changed => "changed".to_owned(),
                "failed" if r["ignored"] == true => "failed (ignored)".to_owned(),
                kind => kind.to_owned(),
            };
            Record {
                host: text_of(&r["host"]),
                task: text_of(&r["task"]),
                status,
                result: cleaned(&r["result"], dir.path()),
            }
        })
        .collect();
    Ok(Side {
        rc: output.status.code().unwrap_or(-1),
        output: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        records,
        files: files(&dir.path().join("out"), dir.path()),
    })
}

pub fn kdeploy(path: &Path, case: &Case) -> std::io::Result<Side> {
    let dir = sandbox("ours", path)?;
    let (repo, inventory) = prepare(path, dir.path())?;
    let output = Command::new(env!("CARGO_BIN_EXE_kdeploy"))
        .current_dir(&repo)
        .args(["apply", "--output", "json", "--no-plan", "-i"])
        .arg(&inventory)
        .arg("site.yml")
        .args(&case.args)
        .arg("-e")
        .arg(format!("sandbox={}", dir.path().join("out").display()))
        .env("ORACLE_ENV", "from the environment")
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .stdin(Stdio::null())
        .output()?;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let records = document["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| {
            let status = match s["status"].as_str().unwrap_or_default() {
                "failed" if s["ignored"] == true => "failed (ignored)".to_owned(),
                status => status.to_owned(),
            };
            let role = s["role"].as_str().map(|r| format!("{r} : ")).unwrap_or_default();
            Record {
                host: text_of(&s["host"]),
                task: format!("{role}{}", text_of(&s["task"])),
                status,
                result: cleaned(&s["result"], dir.path()),
            }
        })
        .collect();
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if document.is_null() {
        text.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(Side {
        rc: output.status.code().unwrap_or(-1),
        output: text,
        records,
        files: files(&dir.path().join("out"), dir.path()),
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A result without what may differ, paths below the sandbox made equal.
fn cleaned(result: &Value, sandbox: &Path) -> BTreeMap<String, Value> {
    let mut map = BTreeMap::new();
    for (key, value) in result.as_object().into_iter().flatten() {
        if VOLATILE.contains(&key.as_str())
            || key.starts_with("_ansible")
            || matches!(key.as_str(), "changed" | "failed" | "skipped" | "stdout_lines" | "stderr_lines")
        {
            continue;
        }
        map.insert(key.clone(), replaced(value, sandbox));
    }
    map
}

fn replaced(value: &Value, sandbox: &Path) -> Value {
    let path = sandbox.display().to_string();
    match value {
        Value::String(text) => Value::String(text.replace(&path, "SANDBOX")),
        Value::Array(items) => Value::Array(items.iter().map(|v| replaced(v, sandbox)).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.replace(&path, "SANDBOX"), replaced(v, sandbox))).collect())
        }
        other => other.clone(),
    }
}

/// Everything below a folder: kind, mode, content or target.
fn files(root: &Path, sandbox: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let mode = meta.permissions().mode() & 0o7777;
            let what = if meta.is_symlink() {
                format!("link {}", std::fs::read_link(&path).unwrap_or_default().display())
            } else if meta.is_dir() {
                todo.push(path.clone());
                format!("directory {mode:o}")
            } else {
                format!("file {mode:o} {}", String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()))
            };
            found.insert(name, what.replace(&sandbox.display().to_string(), "SANDBOX"));
        }
    }
    found
}
