//! `docs/fidelity.md`: the figures, made by the tests and kept in step by them.

use std::path::{Path, PathBuf};

use crate::compare::Score;

/// The states a playbook begins from, as the table names them.
const STATES: [&str; 3] = ["fresh", "half", "drifted"];

const HEAD: &str = "\
# Is the plan true?

Made by the tests (`KDEPLOY_FIDELITY=write ./test fidelity`, which needs the lab's nodes, Kubernetes and ansible-core); they fail when these figures are not
the ones they find. `./test`, and so CI, runs the generated playbooks, Docker and the worker every time; `./test fidelity` adds what takes longer.

Each playbook is planned and applied from three states: a *fresh* node, one where a part of the playbook ran before (*half*), and one that was brought to
its state and then changed by hand (*drifted*). Then it is planned once more, and that plan must be empty, but for what it says only running can tell.

- **right**: the step came out as foretold: changed or not, skipped or failed, with the same difference, byte for byte
- **unknown**: the forecast says that only running can tell, and names the step it waits for. For `ansible-playbook --check`: commands it leaves out
- **wrong**: it came out otherwise
- **failed**: the forecast fails there, or never gets there, though the run does not
- **cut**: runs that ended at a failure nobody could foretell, or where the playbook itself says that a plan ends (`when: not ansible_check_mode`); what comes after
  it on that host is not counted

For Ansible only the status is compared (ok, changed, skipped, failed), not the difference. The generated playbooks (`tests/fidelity/generate.rs`) are put
together from files, folders, links, templates, edits, archives, find, stat, slurp, loops, blocks with rescue, includes, handlers, and commands with and
without `creates`; the others are this repository's own, on systemd nodes of the lab. What is unknown of the worker are the settings that are looked up in what
the new kubelet says of itself, which it can say only once it is there.

| playbook | program | state | steps | right | unknown | wrong | failed | cut |
|---|---|---|---|---|---|---|---|---|
";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fidelity.md")
}

fn rows(playbook: &str, program: &str, scores: &[(&str, &Score)]) -> Vec<String> {
    scores
        .iter()
        .map(|(state, s)| {
            format!(
                "| {playbook} | {program} | {state} | {} | {} | {} | {} | {} | {} |",
                s.steps, s.right, s.unknown, s.wrong, s.failed, s.cut
            )
        })
        .collect()
}

/// The document must hold these figures; `KDEPLOY_FIDELITY=write` makes it do so.
pub fn settle(playbook: &str, program: &str, scores: &[Score; 3]) {
    let rows: Vec<(&str, &Score)> = STATES.into_iter().zip(scores).collect();
    settle_states(playbook, program, &rows);
}

/// The same for a playbook that begins from other states.
pub fn settle_states(playbook: &str, program: &str, scores: &[(&str, &Score)]) {
    // Tests that write at the same time take turns, in one process and in several.
    let lock = std::fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("fidelity.lock")).expect("a lock");
    lock.lock().expect("is locked");
    let old = std::fs::read_to_string(path()).unwrap_or_default();
    let new = rows(playbook, program, scores);
    let start = format!("| {playbook} | {program} | ");
    // Figures that are not there yet are added by whoever finds them first.
    let missing = !old.contains(&start);
    if missing || std::env::var("KDEPLOY_FIDELITY").is_ok_and(|mode| mode == "write") {
        let mut table: Vec<String> =
            old.lines().skip_while(|l| !l.starts_with("|---")).skip(1).map(str::to_owned).collect();
        table.retain(|row| row.starts_with("| ") && !row.starts_with(&start));
        table.extend(new.iter().cloned());
        // Stable: the states of one playbook and program stay in their order.
        table.sort_by_key(|row| row.split(" | ").take(2).map(str::to_owned).collect::<Vec<_>>());
        std::fs::write(path(), format!("{HEAD}{}\n", table.join("\n"))).expect("is written");
        return;
    }
    assert!(
        old.contains(&new.join("\n")),
        "docs/fidelity.md is out of step (KDEPLOY_FIDELITY=write makes it anew); found:\n{}",
        new.join("\n")
    );
}
