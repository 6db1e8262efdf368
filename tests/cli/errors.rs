//! Bad input gets one clear message: where, what is wrong, what would be right.

use crate::Bench;

fn play(task: &str) -> String {
    format!("- hosts: web\n  gather_facts: false\n  tasks:\n{task}")
}

#[test]
fn an_unknown_keyword_is_shown_where_it_stands() {
    let bench = Bench::new(&[("site.yml", &play("    - debug: msg=x\n      whn: true\n"))]);
    let said = bench.run(&["plan"]);
    assert_eq!(said.rc, 1);
    insta::assert_snapshot!(said.err);
}

#[test]
fn an_unknown_module_and_an_unknown_argument_are_told_together() {
    let bench = Bench::new(&[("site.yml", &play("    - coppy: {dest: /x}\n    - copy: {dst: /x, content: y}\n"))]);
    let said = bench.run(&["plan"]);
    assert_eq!(said.rc, 1);
    insta::assert_snapshot!(said.err);
}

#[test]
fn an_undefined_variable_stops_an_apply_before_it_begins() {
    let bench = Bench::new(&[(
        "site.yml",
        &play("    - copy: {dest: \"{{ playbook_dir }}/made\", content: x}\n    - debug: msg=\"{{ packges }}\"\n"),
    )]);
    let said = bench.run(&["apply"]);
    assert_eq!(said.rc, 1, "{}", said.err);
    assert!(said.out.contains("`packges` is undefined (site.yml:5:"), "{}", said.out);
    assert!(said.err.contains("nothing was changed"), "{}", said.err);
    assert!(!bench.path().join("made").exists());
}

#[test]
fn names_that_match_nothing_are_errors_with_the_nearest() {
    let bench = Bench::new(&[("site.yml", &play("    - debug: msg=x\n      tags: [deploy]\n"))]);
    for (args, help) in [
        (&["plan", "site.yml", "-t", "deplyo"][..], "did you mean `deploy`?"),
        (&["plan", "-l", "onne"], "did you mean `one`?"),
        (&["plan", "sit.yml"], "did you mean `site.yml`?"),
        (&["doc", "coppy"], "did you mean `copy`?"),
    ] {
        let said = bench.run(args);
        assert_eq!(said.rc, 1, "{args:?}");
        assert!(said.err.contains(help), "{args:?}: {}", said.err);
        assert!(said.out.is_empty(), "{args:?}: {}", said.out);
    }
}

#[test]
fn an_unreachable_host_has_its_own_exit_code() {
    let bench = Bench::new(&[
        ("site.yml", &play("    - ping:\n").replace("hosts: web", "hosts: all")),
        ("hosts", "[web]\none ansible_connection=local\n[far]\ntwo ansible_host=127.0.0.1 ansible_port=1\n"),
    ]);
    let said = bench.run(&["apply", "--output", "json"]);
    assert_eq!(said.rc, 4, "{}", said.err);
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(document["hosts"]["two"]["unreachable"], 1);
    assert_eq!(document["hosts"]["one"]["ok"], 1);
    assert!(said.err.contains("refused"), "{}", said.err);
}

#[test]
fn a_failed_host_ends_with_2_and_says_why() {
    let bench = Bench::new(&[("site.yml", &play("    - name: Stop\n      command: sh -c 'echo told >&2; exit 7'\n"))]);
    let said = bench.run(&["apply", "--yes"]);
    assert_eq!(said.rc, 2);
    assert!(said.out.contains("non-zero return code"), "{}", said.out);
    assert!(said.out.contains("rc: 7") && said.out.contains("stderr: told"), "{}", said.out);
}

#[test]
fn check_without_names_reads_the_whole_repository() {
    let bench = Bench::new(&[
        ("site.yml", &play("    - debug: msg=x\n      tags: [deploy]\n")),
        ("playbooks/other.yml", &play("    - debg: msg=x\n")),
        ("playbooks/broken.yml", "- hosts: [\n"),
        ("compose.yml", "services: {a: {image: x}}\n"),
        ("roles/idle/tasks/main.yml", "- debug: {mgs: x}\n"),
    ]);
    let said = bench.run(&["check", "--tags", "deploi", "-l", "weeb"]);
    assert_eq!(said.rc, 1);
    insta::assert_snapshot!(said.err);
}
