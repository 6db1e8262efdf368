//! ansible-core as the oracle: every playbook of `cases/` is run by both programs, each in a sandbox of its own, and what
//! happened is compared: each task's status and result on each host, the files left behind, the exit code.
//!
//! A case is a playbook; comments at its top steer it:
//!
//!     # args: --tags a          options for both programs
//!     # differs: REASON         kdeploy is different on purpose: the comparison must fail (docs/differences.md says why)
//!     # statuses                compare statuses only, not results
//!
//! `sandbox` is a variable that holds the sandbox's path; hosts `one` and `two` (group `both`) are reached locally. A folder
//! `cases/NAME/` with a `site.yml` in it is a case with files of its own.
//! KDEPLOY_ORACLE=NAME runs one case and shows both sides.

mod compare;
mod inventories;
mod names;
mod random;
mod sides;
mod vaults;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let args = Arguments::from_args();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/cases");
    let mut trials: Vec<Trial> = cases(&dir)
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // They need ansible-core: run by `./test oracle`.
            Trial::test(format!("oracle::{name}"), move || run(&path)).with_ignored_flag(true)
        })
        .collect();
    trials.extend(inventories::trials());
    trials.extend(vaults::trials());
    trials.extend(random::trials());
    trials.extend(names::trials());
    libtest_mimic::run(&args, trials).exit();
}

fn cases(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_dir() || p.extension().is_some_and(|e| e == "yml"))
        .collect();
    found.sort();
    found
}

/// Options in the comments at the top of a case.
#[derive(Default)]
pub struct Case {
    pub args: Vec<String>,
    pub differs: Option<String>,
    pub statuses: bool,
}

fn options(text: &str) -> Case {
    let mut case = Case::default();
    for line in text.lines().take_while(|l| l.starts_with('#')) {
        let line = line.trim_start_matches('#').trim();
        if let Some(args) = line.strip_prefix("args:") {
            case.args = args.split_whitespace().map(str::to_owned).collect();
        } else if let Some(reason) = line.strip_prefix("differs:") {
            case.differs = Some(reason.trim().to_owned());
        } else if line == "statuses" {
            case.statuses = true;
        }
    }
    case
}

fn run(path: &Path) -> Result<(), Failed> {
    let playbook = if path.is_dir() { path.join("site.yml") } else { path.to_owned() };
    let text = std::fs::read_to_string(&playbook)?;
    let case = options(&text);
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
