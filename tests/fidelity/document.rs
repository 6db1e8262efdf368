//! `docs/fidelity.md`: the figures, made by the test and kept in step by it.

use std::path::{Path, PathBuf};

use crate::compare::Score;
use crate::{BY_ANSIBLE, PLAYBOOKS, STATES};

const HEAD: &str = "\
# Is the plan true?

Made by `tests/fidelity` (`KDEPLOY_FIDELITY=write cargo test --test fidelity`); the test fails when these figures are not what it finds.

PLAYBOOKS playbooks are put together from pieces (files, folders, links, templates, edits, archives, find, stat, slurp, loops, blocks with rescue,
includes, handlers, commands with and without `creates`), and each is planned and applied from three states: a *fresh* node, one where a part of
the playbook ran before (*half*), and one that was brought to its state and then changed by hand (*drifted*).

- **right**: the step came out as foretold: changed or not, skipped or failed, with the same difference, byte for byte
- **unknown**: the forecast says that only running can tell, and names the step it waits for. For `ansible-playbook --check`: commands it leaves out
- **wrong**: it came out otherwise
- **failed**: the forecast fails there, or never gets there, though the run does not

For Ansible the first BY_ANSIBLE playbooks were run, and only the status is compared (ok, changed, skipped, failed), not the difference. Where a command that
nobody can foretell fails, what comes after it on that host is not compared. After each apply a second plan has nothing to do.

| program | state | steps | right | unknown | wrong | failed |
|---|---|---|---|---|---|---|
";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fidelity.md")
}

fn rows(program: &str, scores: &[Score; 3]) -> String {
    STATES
        .iter()
        .zip(scores)
        .map(|(state, s)| {
            format!(
                "| {program} | {state} | {} | {} | {} | {} | {} |\n",
                s.steps, s.right, s.unknown, s.wrong, s.failed
            )
        })
        .collect()
}

/// Writes the document; without new figures for Ansible the old ones stay.
pub fn write(ours: &[Score; 3], theirs: Option<&[Score; 3]>) {
    let old = std::fs::read_to_string(path()).unwrap_or_default();
    let theirs = theirs.map_or_else(
        || old.lines().filter(|l| l.starts_with("| `ansible")).map(|l| format!("{l}\n")).collect(),
        |scores| rows("`ansible-playbook --check`", scores),
    );
    let tail = old.split_once("\n## ").map(|(_, rest)| format!("\n## {rest}")).unwrap_or_default();
    let head = HEAD.replace("BY_ANSIBLE", &BY_ANSIBLE.to_string()).replace("PLAYBOOKS", &PLAYBOOKS.to_string());
    std::fs::write(path(), format!("{head}{}{theirs}{tail}", rows("`kdeploy plan`", ours))).expect("is written");
}

/// True once the document was made.
pub fn exists() -> bool {
    path().exists()
}

/// The document holds these figures of kdeploy's, byte for byte.
pub fn holds(ours: &[Score; 3]) {
    let text = std::fs::read_to_string(path()).expect("docs/fidelity.md is there");
    let rows = rows("`kdeploy plan`", ours);
    assert!(
        text.contains(&rows),
        "docs/fidelity.md is out of step (KDEPLOY_FIDELITY=write makes it anew); found:\n{rows}"
    );
}
