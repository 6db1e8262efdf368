//! Both programs on one repository. ansible-core is imported once and forks for each case.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::compare::{self, Ran};
use super::generate::Repository;

pub struct Runner {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Runner {
    pub fn start() -> std::io::Result<Self> {
        let bin = std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from).unwrap_or_default();
        let python = if bin.as_os_str().is_empty() { "python3".into() } else { bin.join("python") };
        let mut child = Command::new(python)
            .arg(here().join("random/runner.py"))
            .env("ANSIBLE_CALLBACK_PLUGINS", here().join("callback"))
            .env("ANSIBLE_CALLBACKS_ENABLED", "kdeploy_oracle")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_LOCALHOST_WARNING", "False")
            .env("ANSIBLE_INVENTORY_UNPARSED_WARNING", "False")
            .env("ANSIBLE_HOME", std::env::temp_dir().join("kdeploy-oracle-home"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { return Err(std::io::Error::other("no pipes")) };
        Ok(Self { child, to, from: BufReader::new(from) })
    }

    /// What differs, one line each.
    pub fn differences(&mut self, case: &Repository) -> std::io::Result<Vec<String>> {
        let dir = tempfile::Builder::new().prefix("oracle-random-").tempdir()?;
        let repo = dir.path().join("repo");
        write(case, &repo)?;
        let theirs = self.ansible(case, dir.path())?;
        let ours = kdeploy(case, dir.path(), "apply")?;
        let planned = kdeploy(case, dir.path(), "plan")?;
        let mut found = compare::differences(&theirs, &ours);
        found.extend(compare::foretold(&ours, &planned));
        Ok(found)
    }

    fn ansible(&mut self, case: &Repository, dir: &Path) -> std::io::Result<Ran> {
        let (records, output) = (dir.join("records"), dir.join("theirs"));
        let mut args = vec!["-i".to_owned(), "hosts".to_owned(), "site.yml".to_owned()];
        args.extend(case.args.iter().cloned());
        let job = json!({"dir": dir.join("repo"), "args": args, "records": records, "output": output});
        writeln!(self.to, "{job}")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let rc = line.trim().parse().map_err(|_| std::io::Error::other(format!("the runner ended: {line:?}")))?;
        let text = std::fs::read_to_string(&records).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(compare::of_ansible(rc, std::fs::read_to_string(&output).unwrap_or_default(), lines))
    }
}

/// Writes a case's files.
pub fn write(case: &Repository, repo: &Path) -> std::io::Result<()> {
    for (name, content) in &case.files {
        let path = repo.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(repo))?;
        let text = match content {
            Value::String(text) => text.clone(),
            other => serde_yaml::to_string(other).map_err(std::io::Error::other)?,
        };
        std::fs::write(path, text)?;
    }
    Ok(())
}

fn kdeploy(case: &Repository, dir: &Path, command: &str) -> std::io::Result<Ran> {
    let no_plan: &[&str] = if command == "apply" { &["--no-plan"] } else { &[] };
    let output = Command::new(env!("CARGO_BIN_EXE_kdeploy"))
        .current_dir(dir.join("repo"))
        .args([command, "--allow-empty", "--output", "json", "-i", "hosts", "site.yml"])
        .args(no_plan)
        .args(&case.args)
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(Stdio::null())
        .output()?;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(compare::of_kdeploy(output.status.code().unwrap_or(-1), text, &document))
}
