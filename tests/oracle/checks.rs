//! `kdeploy check` over all cases: what ansible-core runs without an error has no problem, and problems that are there are found.
//!
//! `check.txt` lists the problems of the cases that have some, one a line: `CASE: MESSAGE`. Every line is a mistake that stands in the
//! case on purpose. KDEPLOY_BLESS=1 writes it anew, to be read before it is committed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;

use crate::sandbox::Sandbox;

pub fn all(cases: &[PathBuf]) -> Result<(), Failed> {
    let mut found = String::new();
    for case in cases {
        let name = crate::name(case);
        for line in problems(case)? {
            let _ = writeln!(found, "{name}: {line}");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/check.txt");
    if std::env::var_os("KDEPLOY_BLESS").is_some() {
        std::fs::write(&path, &found)?;
        return Ok(());
    }
    let expected = std::fs::read_to_string(&path)?;
    let differences: Vec<String> = similar(&expected, &found);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n").into()) }
}

fn similar(expected: &str, found: &str) -> Vec<String> {
    let gone = expected.lines().filter(|l| !found.lines().any(|f| f == *l)).map(|l| format!("not found any more: {l}"));
    let new = found.lines().filter(|l| !expected.lines().any(|e| e == *l)).map(|l| format!("found now: {l}"));
    gone.chain(new).collect()
}

/// The first lines of the problems that `check` reports.
fn problems(case: &Path) -> Result<Vec<String>, Failed> {
    let options = crate::options(&crate::text(case)?);
    let sandbox = Sandbox::new("c", case)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_kdeploy"));
    command.current_dir(&sandbox.repo).args(["check", "site.yml", "--color", "never", "-e"]).arg("sandbox=/x");
    if let Some(inventory) = &sandbox.inventory {
        command.arg("-i").arg(inventory);
    }
    let mut args = options.args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-C" | "--check" | "--step" | "--diff" | "-D" | "--force-handlers" => {}
            "--start-at-task" | "-f" => drop(args.next()),
            _ => drop(command.arg(arg)),
        }
    }
    command.envs(options.env).env("ORACLE_ENV", "x").env("XDG_STATE_HOME", sandbox.path()).stdin(Stdio::null());
    let output = command.output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<String> = err
        .lines()
        .filter_map(|l| l.strip_prefix("error"))
        .map(|l| l.trim_start_matches(": ").replace(&sandbox.path().display().to_string(), "SANDBOX"))
        .collect();
    match output.status.code() {
        Some(0) if lines.is_empty() => Ok(lines),
        Some(1) if !lines.is_empty() => Ok(lines),
        code => Err(format!("{}: exit code {code:?}\n{out}\n{err}", crate::name(case)).into()),
    }
}
