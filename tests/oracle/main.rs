//! ansible-core as the oracle: every playbook of `cases/` is run by both programs, each in a sandbox of its own, and what
//! happened is compared: each task's status and result on each host, the files left behind, the exit code.
//!
//! A case is a playbook, or a `.txtar` of several files (`-- PATH --` begins each) with a `site.yml` among them, or a folder
//! with one. Comments at the top of the case steer it:
//!
//!     # args: --tags a          options for both programs
//!     # env: NAME=value         environment of both programs
//!     # differs: REASON         kdeploy is different on purpose: the comparison must fail (docs/differences.md says why)
//!     # open: REASON            kdeploy still differs here and should not: run by `./test open`, where it fails until it is mended
//!     # foretold: REASON      results of changes in check mode may say more than ansible's (docs/differences.md says why)
//!     # timing: NAME NAME      keys whose values depend on how quick a program is: only that they are there is compared
//!     # rc: 2                   ansible-playbook's exit code, if it is not 0: no case fails unnoticed
//!     # statuses                compare statuses only, not results
//!     # tty: PROMPT => ANSWER   run at a terminal, where this is typed when the prompt has come (several, in order)
//!
//! `sandbox` is a variable that holds the path of a folder to write to; hosts `one` and `two` (group `both`) are reached locally,
//! unless the case has an `inventory`, `hosts` or `inventory.yml` of its own, or an `ansible.cfg`.
//! KDEPLOY_ORACLE_SHOW=1 shows what both programs said.

mod caches;
mod checks;
mod clean;
mod compare;
mod differences;
mod inventories;
mod names;
mod random;
mod runner;
mod sandbox;
mod sides;
mod vaults;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let args = Arguments::from_args();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/cases");
    let wider = std::env::var("KDEPLOY_WIDER").unwrap_or_default();
    let is_open = |path: &PathBuf| text(path).is_ok_and(|t| options(&t).open.is_some());
    let mut trials: Vec<Trial> = cases(&dir)
        .into_iter()
        .filter(|path| is_open(path) == (wider == "open"))
        .map(|path| {
            let name = name(&path);
            // They need ansible-core: run by `./test oracle`.
            Trial::test(format!("oracle::{name}"), move || run(&path)).with_ignored_flag(true)
        })
        .collect();
    trials.extend(inventories::trials());
    trials.extend(vaults::trials());
    trials.extend(caches::trials());
    // Suites that do not all pass yet are run by their names: `./test random`, `./test names`.
    if wider.is_empty() {
        trials.extend(random::everyday());
    }
    match wider.as_str() {
        "random" => trials.extend(random::trials()),
        "names" => trials.extend(names::trials()),
        _ => {}
    }
    let all = cases(&dir);
    trials.push(Trial::test("check_finds_what_is_wrong_and_nothing_else", move || checks::all(&all)));
    trials.push(Trial::test("differences_are_documented", move || differences::documented(&cases(&dir))));
    libtest_mimic::run(&args, trials).exit();
}

fn cases(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_dir() || p.extension().is_some_and(|e| e == "yml" || e == "txtar"))
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text whose comments steer the case.
fn text(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(if path.is_dir() { path.join("site.yml") } else { path.to_owned() })
}

/// Options in the comments at the top of a case.
#[derive(Default)]
pub struct Case {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub differs: Option<String>,
    pub open: Option<String>,
    pub foretold: Option<String>,
    pub timing: Vec<String>,
    pub rc: i32,
    pub statuses: bool,
    /// Prompts and what is typed at them.
    pub tty: Vec<(String, String)>,
}

fn options(text: &str) -> Case {
    let mut case = Case::default();
    for line in text.lines().take_while(|l| l.starts_with('#')) {
        let line = line.trim_start_matches('#').trim();
        if let Some(args) = line.strip_prefix("args:") {
            case.args = words(args);
        } else if let Some((name, value)) = line.strip_prefix("env:").and_then(|l| l.split_once('=')) {
            case.env.push((name.trim().to_owned(), value.to_owned()));
        } else if let Some(reason) = line.strip_prefix("differs:") {
            case.differs = Some(reason.trim().to_owned());
        } else if let Some(reason) = line.strip_prefix("open:") {
            case.open = Some(reason.trim().to_owned());
        } else if let Some(reason) = line.strip_prefix("foretold:") {
            case.foretold = Some(reason.trim().to_owned());
        } else if let Some(keys) = line.strip_prefix("timing:") {
            case.timing = words(keys);
        } else if let Some(rc) = line.strip_prefix("rc:") {
            case.rc = rc.trim().parse().unwrap_or(-1);
        } else if let Some((prompt, answer)) = line.strip_prefix("tty:").and_then(|l| l.split_once("=>")) {
            case.tty.push((prompt.trim().to_owned(), answer.trim().to_owned()));
        } else if line == "statuses" {
            case.statuses = true;
        }
    }
    case
}

/// Words as a shell splits them: quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (vec![], None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => all.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    all
}

fn run(path: &Path) -> Result<(), Failed> {
    let case = options(&text(path)?);
    let theirs = sides::ansible(path, &case)?;
    let ours = sides::kdeploy(path, &case)?;
    let differences = compare::differences(&theirs, &ours, &case);
    if std::env::var_os("KDEPLOY_ORACLE_SHOW").is_some() {
        eprintln!("{}\n{}", theirs.output, ours.output);
    }
    match (&case.differs, differences.is_empty()) {
        (None, true) | (Some(_), false) => Ok(()),
        (Some(reason), true) => Err(format!("is said to differ ({reason}), but does not").into()),
        (None, false) => Err(format!(
            "{}\n--- ansible-playbook (rc {})\n{}\n--- kdeploy (rc {})\n{}",
            differences.join("\n"),
            theirs.rc,
            tail(&theirs.output),
            ours.rc,
            tail(&ours.output)
        )
        .into()),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
