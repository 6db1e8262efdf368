//! Running a case with one program: what happened, as comparable records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Case;
use crate::sandbox::Sandbox;

/// One result of one task (or loop item) on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub host: String,
    pub task: String,
    pub status: String,
    pub result: Value,
}

/// What a program did.
pub struct Side {
    pub rc: i32,
    pub output: String,
    pub records: Vec<Record>,
    /// Path below the sandbox → kind, mode and content.
    pub files: BTreeMap<String, String>,
}

/// Settings that all cases share: ansible reads them once.
fn shared_env() -> Vec<(&'static str, String)> {
    let callbacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/callback");
    vec![
        ("ANSIBLE_CALLBACK_PLUGINS", callbacks.display().to_string()),
        ("ANSIBLE_CALLBACKS_ENABLED", "kdeploy_oracle".to_owned()),
        ("ANSIBLE_NOCOLOR", "1".to_owned()),
        ("ANSIBLE_LOCALHOST_WARNING", "False".to_owned()),
        ("ANSIBLE_RETRY_FILES_ENABLED", "False".to_owned()),
        ("ANSIBLE_PIPELINING", "True".to_owned()),
        ("ANSIBLE_HOME", std::env::temp_dir().join("kdeploy-oracle-home").display().to_string()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ]
}

/// The arguments both programs take.
fn arguments(sandbox: &Sandbox, case: &Case) -> Vec<String> {
    let mut args = vec![];
    if let Some(inventory) = &sandbox.inventory {
        args.extend(["-i".to_owned(), inventory.display().to_string()]);
    }
    args.push("site.yml".to_owned());
    args.extend(case.args.iter().cloned());
    args.extend(["-e".to_owned(), format!("sandbox={}", sandbox.out().display())]);
    args
}

fn environment(case: &Case) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = case.env.iter().cloned().collect();
    env.insert("ORACLE_ENV".to_owned(), "from the environment".to_owned());
    env
}

pub fn ansible(path: &Path, case: &Case) -> std::io::Result<Side> {
    let sandbox = Sandbox::new("a", path)?;
    let bin = std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from);
    let (records, output) = (sandbox.path().join("records"), sandbox.path().join("output"));
    let mut env = environment(case);
    env.insert("KDEPLOY_ORACLE_OUT".to_owned(), records.display().to_string());
    // What is read when ansible is imported needs a process of its own.
    let own_settings = !case.tty.is_empty()
        || sandbox.repo.join("ansible.cfg").exists()
        || case.env.iter().any(|(k, _)| k.starts_with("ANSIBLE_"));
    let args = arguments(&sandbox, case);
    let rc = match bin {
        Some(bin) if !own_settings => {
            crate::runner::run(&bin.join("python"), &shared_env(), &sandbox.repo, &args, &env, &output)?
        }
        bin => {
            let program = bin.map_or_else(|| PathBuf::from("ansible-playbook"), |b| b.join("ansible-playbook"));
            let file = std::fs::File::create(&output)?;
            at_terminal(&program, case, &sandbox)?
                .current_dir(&sandbox.repo)
                .args(&args)
                .envs(shared_env())
                .envs(&env)
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file)
                .status()?
                .code()
                .unwrap_or(-1)
        }
    };
    let text = std::fs::read_to_string(&records).unwrap_or_default();
    let records: Vec<Record> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
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
                result: crate::clean::result(&r["result"], sandbox.path()),
            }
        })
        .collect();
    Ok(Side {
        rc,
        output: String::from_utf8_lossy(&std::fs::read(&output).unwrap_or_default()).into_owned(),
        records: without_twins(records),
        files: sandbox.files(),
    })
}

/// A program, at a terminal of its own if the case types something there.
fn at_terminal(program: &Path, case: &Case, sandbox: &Sandbox) -> std::io::Result<Command> {
    if case.tty.is_empty() {
        return Ok(Command::new(program));
    }
    let lines: Vec<String> =
        case.tty.iter().map(|pair| serde_json::json!([pair.0, pair.1]).to_string() + "\n").collect();
    let file = sandbox.path().join("typed");
    std::fs::write(&file, lines.concat())?;
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/typing_at.py")).arg(file).arg(program);
    Ok(command)
}

/// Ansible tells an include that fails twice: as one that succeeded, and then as one that failed for a `reason`.
fn without_twins(records: Vec<Record>) -> Vec<Record> {
    let mut kept: Vec<Record> = vec![];
    for record in records {
        if record.status == "failed" && record.result.get("reason").is_some() && record.result.get("msg").is_none() {
            let last = kept.iter().rposition(|r| r.host == record.host);
            if let Some(at) = last
                && kept[at].task == record.task
                && kept[at].result.get("include_args").is_some()
            {
                kept.remove(at);
            }
        }
        kept.push(record);
    }
    kept
}

pub fn kdeploy(path: &Path, case: &Case) -> std::io::Result<Side> {
    let sandbox = Sandbox::new("k", path)?;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_kdeploy"));
    let apart = sandbox.path().join("stdout");
    let mut command = match case.tty.is_empty() {
        true => Command::new(program),
        false => {
            // Questions go to the terminal, the document to a file.
            let mut command = at_terminal(Path::new("sh"), case, &sandbox)?;
            let to_file = format!("exec \"$@\" >'{}'", apart.display());
            command.args(["-c", to_file.as_str(), "sh"]).arg(program);
            command
        }
    };
    let mut output = command
        .current_dir(&sandbox.repo)
        .args(["apply", "--output", "json", "--no-plan"])
        .args(arguments(&sandbox, case))
        .envs(environment(case))
        .env("XDG_STATE_HOME", sandbox.path().join("state"))
        .stdin(Stdio::null())
        .output()?;
    if !case.tty.is_empty() {
        output.stderr = std::mem::replace(&mut output.stdout, std::fs::read(&apart)?);
    }
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
            // Ansible names no role before an `include_role`.
            let role = s["role"].as_str().filter(|_| s["action"] != "include_role");
            let role = role.map(|r| format!("{r} : ")).unwrap_or_default();
            Record {
                host: text_of(&s["host"]),
                task: format!("{role}{}", text_of(&s["task"])),
                status,
                result: crate::clean::result(&s["result"], sandbox.path()),
            }
        })
        .collect();
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if document.is_null() {
        text.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(Side { rc: output.status.code().unwrap_or(-1), output: text, records, files: sandbox.files() })
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
