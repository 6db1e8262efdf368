//! Inventories shown by `ansible-inventory` and by `kdeploy inventory`: JSON and graph byte for byte, YAML as data, and each
//! host alone.
//!
//! A case is a folder of `inventories/`; its file `args` holds the options of both programs, without one they are `-i hosts*`.
//! Lines at its top steer it:
//!
//!     # env: NAME=VALUE       for both programs
//!     # differs: REASON       kdeploy is different on purpose: the comparison must fail
//!     # hidden: WORD          vaulted: Ansible shows it, kdeploy does not
//!     # breaks: OPTIONS       ansible-inventory ends with a traceback where it is asked so; kdeploy must answer

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

/// What is asked: options of ansible-inventory, of `kdeploy inventory`.
const QUESTIONS: &[(&str, &str)] = &[
    ("--list", "list"),
    ("--list --export", "list --export"),
    ("--graph --vars", "graph --vars"),
    ("--list --yaml", "list --yaml"),
];

/// Cases where kdeploy still differs and should not: variables whose names are numbers or truths become texts.
const OPEN: &[&str] = &[];

pub fn trials() -> Vec<Trial> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/inventories");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    cases.sort();
    // They still differ and should not: `./test open`.
    let open = std::env::var("KDEPLOY_WIDER").is_ok_and(|w| w == "open");
    cases.retain(|path| OPEN.iter().any(|name| path.ends_with(name)) == open);
    let trial = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("oracle::inventory::{name}"), move || run(&path)).with_ignored_flag(true)
    };
    cases.into_iter().map(trial).collect()
}

struct Case {
    dir: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    hidden: Vec<String>,
    breaks: Option<String>,
    differs: Option<String>,
}

fn read(dir: &Path) -> Result<Case, Failed> {
    let mut case = Case { dir: dir.to_owned(), args: vec![], env: vec![], hidden: vec![], breaks: None, differs: None };
    let args = dir.join("args");
    if !args.exists() {
        let hosts = std::fs::read_dir(dir)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let hosts = hosts.filter(|n| n.starts_with("hosts")).min().ok_or("a case needs `args` or `hosts`")?;
        case.args = vec!["-i".into(), hosts];
        return Ok(case);
    }
    for line in std::fs::read_to_string(args)?.lines() {
        if let Some(env) = line.strip_prefix("# env: ") {
            let (name, value) = env.split_once('=').ok_or("`# env:` needs NAME=VALUE")?;
            case.env.push((name.into(), value.into()));
        } else if let Some(word) = line.strip_prefix("# hidden: ") {
            case.hidden.push(word.into());
        } else if let Some(options) = line.strip_prefix("# breaks: ") {
            case.breaks = Some(options.into());
        } else if let Some(reason) = line.strip_prefix("# differs: ") {
            case.differs = Some(reason.into());
        } else {
            case.args.extend(line.split_whitespace().map(str::to_owned));
        }
    }
    Ok(case)
}

fn output(program: &Path, words: &str, case: &Case) -> Result<(bool, String, String), Failed> {
    let output = Command::new(program)
        .args(words.split_whitespace())
        .args(&case.args)
        .envs(case.env.iter().map(|(k, v)| (k, v)))
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_DEPRECATION_WARNINGS", "0")
        .env("PYTHONWARNINGS", "ignore")
        .current_dir(&case.dir)
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.success(), text(output.stdout), text(output.stderr)))
}

fn run(dir: &Path) -> Result<(), Failed> {
    let case = read(dir)?;
    match (compare(&case), &case.differs) {
        (result, None) => result,
        (Err(_), Some(_)) => Ok(()),
        (Ok(()), Some(reason)) => Err(format!("is said to differ ({reason}), but does not").into()),
    }
}

fn compare(case: &Case) -> Result<(), Failed> {
    let theirs = program("ansible-inventory");
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_kdeploy"));
    let mut questions: Vec<(String, String)> =
        QUESTIONS.iter().map(|(t, o)| ((*t).to_owned(), (*o).to_owned())).collect();
    let mut hosts: Option<Vec<String>> = None;
    let mut next = 0;
    while let Some((their_words, our_words)) = questions.get(next).cloned() {
        next += 1;
        let (well, expected, said) = output(&theirs, &their_words, case)?;
        let (fine, shown, complaint) = output(&ours, &format!("inventory {our_words}"), case)?;
        if case.breaks.as_ref() == Some(&their_words) {
            if well || !said.contains("Traceback") || !fine {
                return Err(format!("{our_words}: is said to break ansible-inventory only\n{said}\n{complaint}").into());
            }
            continue;
        }
        if well != fine {
            return Err(format!("{our_words}: ansible-inventory {well}, kdeploy {fine}\n{said}\n{complaint}").into());
        }
        if !well {
            continue;
        }
        if case.hidden.iter().any(|word| shown.contains(word.as_str())) {
            return Err(format!("{our_words}: a secret is shown\n{shown}").into());
        }
        // A star begins an alias where YAML does not quote it.
        let stars = if their_words.contains("--yaml") { "'********'" } else { "********" };
        let expected = case.hidden.iter().fold(expected, |text, word| text.replace(word, stars));
        let same = if their_words.contains("--yaml") {
            data(&expected)? == data(&shown)?
        } else {
            expected.trim_end() == shown.trim_end()
        };
        if !same {
            let diff = similar::TextDiff::from_lines(&expected, &shown).unified_diff().to_string();
            return Err(format!("{our_words}:\n{diff}\n{said}\n{complaint}").into());
        }
        if hosts.is_none() {
            let list: Value = serde_json::from_str(&shown)?;
            let named = list["_meta"]["hostvars"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
            hosts = Some(named.take(1).collect());
            for host in hosts.iter().flatten() {
                questions.push((format!("--host {host}"), format!("host {host}")));
            }
        }
    }
    Ok(())
}

/// A program of ansible-core: in $KDEPLOY_ANSIBLE, or wherever $PATH has it.
pub fn program(name: &str) -> PathBuf {
    std::env::var_os("KDEPLOY_ANSIBLE").map_or_else(|| name.into(), |dir| Path::new(&dir).join(name))
}

/// YAML as data: whether a list is written twice or as an anchor and an alias is no difference.
fn data(yaml: &str) -> Result<String, Failed> {
    let node = kdeploy::yaml::parse_text("<output>", yaml)
        .and_then(|l| l.single())
        .map_err(|p| Failed::from(format!("no YAML: {p}\n{yaml}")))?;
    Ok(kdeploy::template::repr(&node.to_value()))
}
