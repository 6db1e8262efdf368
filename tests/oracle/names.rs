//! The program under Ansible's names beside Ansible's own programs: what both print on standard output, and their exit codes.
//!
//! `names/*.txt` hold cases: `== NAME`, options for the comparison after it (`unordered`: lines below one header in any order;
//! `own words`: messages of errors differ; `open`: they still differ and should not, so they must), then command lines, run one after the other in a copy of `names/files`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};

struct Case {
    name: String,
    unordered: bool,
    own_words: bool,
    open: bool,
    commands: Vec<String>,
}

pub fn trials() -> Vec<Trial> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/names");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    let texts = files.iter().filter_map(|p| std::fs::read_to_string(p).ok());
    texts
        .flat_map(|text| cases(&text))
        .map(|case| {
            let name = format!("names::{}", case.name);
            Trial::test(name, move || run(&case)).with_ignored_flag(true)
        })
        .collect()
}

fn cases(text: &str) -> Vec<Case> {
    let mut all: Vec<Case> = vec![];
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        if let Some(head) = line.strip_prefix("== ") {
            let (name, options) = head.split_once(':').unwrap_or((head, ""));
            all.push(Case {
                name: name.trim().to_owned(),
                unordered: options.contains("unordered"),
                own_words: options.contains("own words"),
                open: options.contains("open"),
                commands: vec![],
            });
        } else if let Some(case) = all.last_mut() {
            case.commands.push(line.to_owned());
        }
    }
    all
}

fn run(case: &Case) -> Result<(), Failed> {
    let links = tempfile::tempdir()?;
    for name in ["ansible-playbook", "ansible", "ansible-inventory", "ansible-vault"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kdeploy"), links.path().join(name))?;
    }
    let shims = tempfile::tempdir()?;
    let (_held, theirs) = match std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from) {
        Some(bin) => (Some(shim(&bin, shims.path())?), side(case, Some(shims.path()))?),
        None => (None, side(case, None)?),
    };
    let ours = side(case, Some(links.path()))?;
    if theirs.is_empty() {
        return Err("a case without commands".into());
    }
    match (theirs == ours, case.open) {
        (true, false) | (false, true) => return Ok(()),
        (true, true) => return Err("is said to be open, but does not differ".into()),
        (false, false) => {}
    }
    let mut text = String::new();
    for ((command, theirs), ours) in case.commands.iter().zip(&theirs).zip(&ours).filter(|((_, a), b)| a != b) {
        let diff = similar::TextDiff::from_lines(theirs.as_str(), ours.as_str());
        let diff = diff.unified_diff().context_radius(3).header("theirs", "ours").to_string();
        text.push_str(&format!("\n$ {command}\n{diff}"));
    }
    Err(text.into())
}

/// Settings that all cases share: ansible reads them once.
fn shared_env() -> Vec<(&'static str, String)> {
    vec![
        ("ANSIBLE_NOCOLOR", "1".to_owned()),
        ("ANSIBLE_LOCALHOST_WARNING", "False".to_owned()),
        ("ANSIBLE_DEPRECATION_WARNINGS", "False".to_owned()),
        ("ANSIBLE_HOME", std::env::temp_dir().join("kdeploy-oracle-home").display().to_string()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ]
}

/// Programs of Ansible's names that have a running process do the work (names.py). The connection keeps it alive.
fn shim(bin: &Path, into: &Path) -> Result<std::os::unix::net::UnixStream, Failed> {
    use std::os::unix::fs::PermissionsExt;
    let python = bin.join("python");
    let (held, socket) = crate::runner::server(&python, "names.py", &["serve"], &shared_env())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/names.py");
    for name in ["ansible-playbook", "ansible", "ansible-inventory", "ansible-vault"] {
        let path = into.join(name);
        let text = format!(
            "#!/bin/sh\nexec '{}' -S -E '{}' call '{}' '{}' {name} \"$@\"\n",
            python.display(),
            script.display(),
            socket.display(),
            bin.display()
        );
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(held)
}

/// Standard output and exit code of each command, without what must differ.
fn side(case: &Case, bin: Option<&Path>) -> Result<Vec<String>, Failed> {
    let dir = tempfile::Builder::new().prefix("names-").tempdir()?;
    crate::sandbox::copy_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/names/files"), dir.path())?;
    let path = std::env::var("PATH").unwrap_or_default();
    let path = bin.map_or_else(|| path.clone(), |bin| format!("{}:{path}", bin.display()));
    let mut said = vec![];
    for command in &case.commands {
        let output = Command::new("sh")
            .arg("-c")
            .arg(command)
            .current_dir(dir.path())
            .env("PATH", &path)
            .envs(shared_env())
            .env("XDG_STATE_HOME", dir.path().join("state"))
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).replace(&dir.path().display().to_string(), "DIR");
        let text = normal(&text, case);
        said.push(format!("{text}exit code {}\n", output.status.code().unwrap_or(-1)));
    }
    Ok(said)
}

fn normal(text: &str, case: &Case) -> String {
    let replace = |pattern: &str, with: &str, text: &str| {
        fancy_regex::Regex::new(pattern).expect("a pattern").replace_all(text, with).into_owned()
    };
    let mut text = replace(r#""(delta|start|end)": "[^"]*""#, r#""$1": "TIME""#, text);
    text = replace(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+", "TIME", &text);
    // Cipher texts are never the same twice.
    text = replace(r"(?m)^(\s*)[0-9a-f]{60,80}$", "${1}CIPHER", &text);
    text = replace(r"(?m)^(\s*)[0-9a-f]{2,59}$", "${1}CIPHER", &text);
    text = replace(r"\bj[0-9]+\.[0-9]+\b", "JOB", &text);
    text = replace(r#""results_file": "[^"]*""#, r#""results_file": "FILE""#, &text);
    text = replace(r"(?m)^(    (?:delta|start|end): ).*$", "${1}TIME", &text);
    text = replace(r"(?m)^(    src: ).*/\S*$", "${1}SRC", &text);
    // Where a file came from on its way.
    text = replace(r#""src": "[^"]*""#, r#""src": "SRC""#, &text);
    text = replace(r"(?m)^\+\+\+ after: \S*\.j2$", "+++ after: TEMPLATE", &text);
    if case.own_words {
        text = replace(r"(?ms)^\[ERROR\]:.*?^(?=(fatal|failed|\S+ \|))", "", &text);
        text = replace(r#"\{.*"msg": "[^"]*".*\}"#, "{…}", &text);
        text = replace(r#""msg": "[^"]*""#, r#""msg": "…""#, &text);
    }
    // docs/ansible-names.md: kdeploy prints no header for `meta` tasks.
    text = replace(r"TASK \[meta\] \*+\n\n", "", &text);
    if case.unordered {
        let mut blocks: Vec<Vec<&str>> = vec![vec![]];
        for line in text.lines() {
            if ["PLAY", "TASK", "RUNNING"].iter().any(|w| line.starts_with(w)) {
                blocks.push(vec![line]);
            } else if let Some(block) = blocks.last_mut() {
                block.push(line);
            }
        }
        for block in &mut blocks {
            // What comes before the first header is all lines.
            let head = usize::from(
                block.first().is_some_and(|l| ["PLAY", "TASK", "RUNNING"].iter().any(|w| l.starts_with(w))),
            );
            block[head..].sort_unstable();
        }
        text = blocks.concat().join("\n") + "\n";
    }
    text
}
