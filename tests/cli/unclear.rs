//! What a command or a package may have changed is unknown to later steps that look at it, with the step it waits for; what nothing
//! touches stays known.

use serde_json::Value;

use crate::bench::Bench;

/// Task, what is planned, why.
fn planned(bench: &Bench) -> Vec<(String, String, String)> {
    let run = bench.run(&["plan", "--output", "json"]);
    let document: Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {}{}", run.out, run.err));
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let steps = document["steps"].as_array().into_iter().flatten();
    steps.map(|s| (text(&s["task"]), text(&s["planned"]), text(&s["because"]))).collect()
}

const SITE: &str = r#"- hosts: all
  gather_facts: false
  vars: {out: "{{ playbook_dir }}/out"}
  tasks:
    - {name: Writes, shell: "echo hi > {{ out }}/made"}
    - {name: Looks, stat: {path: "{{ out }}/made"}, register: made}
    - {name: If made, debug: {msg: x}, when: made.stat.exists}
    - {name: Over it, copy: {content: "hi\n", dest: "{{ out }}/made"}}
    - {name: Moves, command: "mv {{ out }}/old {{ out }}/new"}
    - {name: Old, stat: {path: "{{ out }}/old"}, register: old}
    - {name: If gone, debug: {msg: x}, when: not old.stat.exists}
    - {name: Lists, find: {paths: "{{ out }}"}, register: all}
    - {name: How many, debug: {msg: x}, when: all.matched == 1}
    - {name: In its folder, command: touch it, args: {chdir: "{{ out }}/sub"}}
    - {name: It, stat: {path: "{{ out }}/sub/it"}, register: it}
    - {name: If it, debug: {msg: x}, when: it.stat.exists}
    - {name: Only reads, command: "cat {{ out }}/kept"}
    - {name: Says so, command: "tool {{ out }}/kept", changed_when: false}
    - {name: Kept, stat: {path: "{{ out }}/kept"}, register: kept}
    - {name: If kept, debug: {msg: x}, when: kept.stat.exists}
    - {name: Written after, copy: {content: "x\n", dest: "{{ out }}/sub/known"}}
    - {name: Looked at, stat: {path: "{{ out }}/sub/known"}, register: known}
    - {name: Is there, debug: {msg: x}, when: known.stat.exists}
"#;

#[test]
fn what_a_command_names_is_unknown_from_there_on() {
    let bench = Bench::new(&[("site.yml", SITE), ("out/old", "o\n"), ("out/kept", "k\n"), ("out/sub/.keep", "")]);
    let found = planned(&bench);
    let of = |task: &str| found.iter().find(|(t, ..)| t == task).unwrap_or_else(|| panic!("no {task} in {found:#?}"));
    for (task, cause) in [
        ("Looks", "Writes"),
        ("If made", "Writes"),
        ("Over it", "Writes"),
        ("Old", "Moves"),
        ("If gone", "Moves"),
        ("Lists", "Writes"),
        ("How many", "Writes"),
        ("It", "In its folder"),
        ("If it", "In its folder"),
    ] {
        let (_, planned, because) = of(task);
        assert!(planned == "unknown" && because.contains(&format!("\"{cause}\"")), "{task}: {planned} {because}");
    }
    for task in ["Kept", "If kept", "Looked at", "Is there"] {
        let (_, planned, because) = of(task);
        assert_eq!((planned.as_str(), because.as_str()), ("none", ""), "{task}");
    }
    // What it makes is among what it is targeted by.
    let target = bench.path().join("out/made").display().to_string();
    let run = bench.run(&["plan", "--target", &target]);
    assert!(run.out.contains("Writes") && !run.out.contains("Moves"), "{}{}", run.out, run.err);
}

#[test]
fn every_resource_has_its_line_in_the_table_of_predictions() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/predictions.md")).expect("the table");
    let listed: std::collections::BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split(", "))
        .collect();
    let mut missing = vec![];
    for entry in std::fs::read_dir(root.join("docs/resources")).expect("the manuals") {
        let name = entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned();
        if name != "README" && !listed.contains(name.as_str()) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "no line in docs/predictions.md: {missing:?}");
}
