//! `--prune` in saved plans: what goes is what the plan says, on a local host's own ledger.

use crate::bench::Bench;

const BOTH: &str = "- hosts: all\n  gather_facts: false\n  roles: [a, b]\n";
const ONE: &str = "- {name: NAME one, copy: {content: \"1\\n\", dest: \"{{ playbook_dir }}/out/NAME1\"}}\n";
const TWO: &str = "- {name: NAME two, copy: {content: \"2\\n\", dest: \"{{ playbook_dir }}/out/NAME2\"}}\n";

fn role(name: &str, tasks: &[&str]) -> (String, String) {
    (format!("roles/{name}/tasks/main.yml"), tasks.concat().replace("NAME", name))
}

/// Two roles made two files each; now each declares one file less, and a new one. The plan is saved.
fn bench() -> Bench {
    let bench = Bench::new(&[("site.yml", BOTH), ("out/.keep", "")]);
    for name in ["a", "b"] {
        let (path, text) = role(name, &[ONE, TWO]);
        bench.write(&path, &text);
    }
    let first = bench.run(&["apply"]);
    assert_eq!(first.rc, 0, "{}{}", first.out, first.err);
    let new = TWO.replace("2", "3").replace("two", "three");
    for name in ["a", "b"] {
        let (path, text) = role(name, &[ONE, &new]);
        bench.write(&path, &text);
    }
    let plan = bench.run(&["plan", "--prune", "--out", "plan.json"]);
    assert!(plan.rc == 0 && plan.out.contains("out/a2") && plan.out.contains("out/b2"), "{}{}", plan.out, plan.err);
    bench
}

fn there(bench: &Bench) -> Vec<&'static str> {
    ["a1", "a2", "a3", "b1", "b2", "b3"].into_iter().filter(|f| bench.path().join("out").join(f).exists()).collect()
}

#[test]
fn a_saved_plan_removes_what_it_says() {
    let bench = bench();
    assert!(bench.run(&["show", "plan.json"]).out.contains("out/a2"));
    let run = bench.run(&["apply", "plan.json"]);
    assert_eq!((run.rc, there(&bench)), (0, vec!["a1", "a3", "b1", "b3"]), "{}{}", run.out, run.err);
    let again = bench.run(&["plan", "--prune", "--detailed-exitcode"]);
    assert_eq!(again.rc, 0, "{}{}", again.out, again.err);
}

#[test]
fn what_changed_since_the_plan_is_not_removed_and_the_rest_goes_on() {
    let bench = bench();
    bench.write("out/a2", "somebody needs it\n");
    let run = bench.run(&["apply", "plan.json", "--output", "json"]);
    assert_eq!((run.rc, there(&bench)), (2, vec!["a1", "a2", "a3", "b1", "b3"]), "{}{}", run.out, run.err);
    assert!(run.out.contains("changed since the plan"), "{}", run.out);
    assert_eq!(bench.read("out/a2"), "somebody needs it\n");
}

#[test]
fn what_is_gone_already_is_no_error_and_what_the_plan_does_not_know_stays() {
    let bench = bench();
    std::fs::remove_file(bench.path().join("out/a2")).expect("is there");
    let run = bench.run(&["apply", "plan.json"]);
    assert_eq!((run.rc, there(&bench)), (0, vec!["a1", "a3", "b1", "b3"]), "{}{}", run.out, run.err);
}

#[test]
fn a_part_of_the_plan_says_nothing_of_what_else_is_declared() {
    let bench = bench();
    for part in [&["--target", "a one"][..], &["--tags", "x", "--with-deps"]] {
        let run = bench.run(&[&["apply", "--prune"], part].concat());
        assert!(run.rc != 0 && run.err.contains("cannot be used with"), "{}{}", run.out, run.err);
        assert_eq!(there(&bench), ["a1", "a2", "b1", "b2"]);
    }
    let without = bench.run(&["plan", "--out", "bare.json"]);
    assert_eq!(without.rc, 0, "{}", without.err);
    let run = bench.run(&["apply", "bare.json", "--prune"]);
    assert!(run.rc == 1 && run.err.contains("without --prune"), "{}{}", run.out, run.err);
}
