//! What the commands show when all is well.

use crate::Bench;

const SITE: &str = "- name: Site\n  hosts: web\n  gather_facts: false\n  tasks:\n    - name: The folder\n      file: {path: \"{{ playbook_dir }}/out\", state: directory, mode: \"0750\"}\n      tags: folder\n    - name: The file\n      copy: {dest: \"{{ playbook_dir }}/out/a\", content: \"one\\n\", mode: \"0640\"}\n      notify: Tell\n  handlers:\n    - name: Tell\n      debug: msg=told\n";

#[test]
fn plan_apply_and_an_empty_second_plan() {
    let bench = Bench::new(&[("site.yml", SITE)]);
    let plan = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.rc, 2, "{}", plan.err);
    insta::assert_snapshot!(plan.out);
    assert!(!bench.path().join("out").exists(), "a plan changes nothing");
    let apply = bench.run(&["apply"]);
    assert_eq!(apply.rc, 0, "{}{}", apply.out, apply.err);
    assert_eq!(bench.read("out/a"), "one\n");
    let again = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(again.rc, 0, "{}", again.out);
    insta::assert_snapshot!(again.out);
}

#[test]
fn drift_is_shown_and_mended() {
    let bench = Bench::new(&[("site.yml", SITE)]);
    assert_eq!(bench.run(&["apply"]).rc, 0);
    bench.write("out/a", "two\n");
    let plan = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.rc, 2);
    assert!(plan.out.contains("-two") && plan.out.contains("+one"), "{}", plan.out);
    assert_eq!(bench.run(&["apply"]).rc, 0);
    assert_eq!(bench.read("out/a"), "one\n");
}

#[test]
fn the_json_document_has_its_schema() {
    let bench = Bench::new(&[("site.yml", SITE)]);
    let said = bench.run(&["plan", "--output", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(plan["schema"], 1);
    assert_eq!(plan["command"], "plan");
    assert_eq!(plan["steps"][0]["planned"], "create");
    assert_eq!(plan["steps"][0]["tags"], serde_json::json!(["folder"]));
    assert!(plan["steps"][0]["path"].as_str().is_some_and(|p| p.ends_with("site.yml:5")), "{}", plan["steps"][0]);
    assert!(plan["hosts"]["one"]["round_trips"].as_u64().is_some_and(|n| n <= 4));
    let said = bench.run(&["apply", "--output", "json", "--events", "events"]);
    let run: serde_json::Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(run["hosts"]["one"]["changed"], 2);
    assert_eq!(run["steps"][1]["status"], "changed");
    assert_eq!(run["steps"][1]["diff"]["after"], "one\n");
    assert_eq!(bench.read("events").lines().count(), 3);
}

#[test]
fn check_mode_changes_nothing() {
    let bench = Bench::new(&[("site.yml", SITE)]);
    let said = bench.run(&["apply", "--check"]);
    assert_eq!(said.rc, 0, "{}", said.err);
    assert!(!bench.path().join("out").exists());
}

#[test]
fn lists_are_those_of_ansible_playbook() {
    let bench = Bench::new(&[("site.yml", SITE)]);
    let said = bench.run(&["plan", "--list-tasks"]);
    insta::assert_snapshot!(said.out);
    assert!(bench.run(&["plan", "--list-hosts"]).out.contains("hosts (1):\n      one"));
}

#[test]
fn no_log_hides_what_a_task_says() {
    let bench = Bench::new(&[(
        "site.yml",
        "- hosts: web\n  gather_facts: false\n  tasks:\n    - copy: {dest: \"{{ playbook_dir }}/s\", content: hunter2secret}\n      no_log: true\n",
    )]);
    for args in [&["plan", "-v"][..], &["apply", "-v"], &["apply", "--output", "json"]] {
        let said = bench.run(args);
        assert!(!format!("{}{}", said.out, said.err).contains("hunter2"), "{args:?}: {}", said.out);
    }
    assert_eq!(bench.read("s"), "hunter2secret");
}

#[test]
fn vaulted_values_are_used_and_never_shown() {
    let bench = Bench::new(&[
        (
            "site.yml",
            "- hosts: web\n  gather_facts: false\n  tasks:\n    - copy: {dest: \"{{ playbook_dir }}/s\", content: \"{{ secret }}\"}\n    - debug: var=secret\n",
        ),
        ("group_vars/web.yml", "secret: opensesame\n"),
        ("pw", "password\n"),
    ]);
    assert_eq!(bench.run(&["vault", "encrypt", "--vault-password-file", "pw", "group_vars/web.yml"]).rc, 0);
    assert!(bench.read("group_vars/web.yml").starts_with("$ANSIBLE_VAULT;1.1;AES256"));
    let said = bench.run(&["apply", "-v", "--vault-password-file", "pw"]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    assert_eq!(bench.read("s"), "opensesame");
    assert!(!format!("{}{}", said.out, said.err).contains("opensesame"), "{}{}", said.out, said.err);
}

#[test]
fn one_module_on_a_host() {
    let bench = Bench::new(&[]);
    let said = bench.run(&["run", "one", "-m", "command", "-a", "echo hello"]);
    assert_eq!((said.rc, said.out.as_str()), (0, "one | CHANGED | rc=0 >>\nhello\n"), "{}", said.err);
}

#[test]
fn a_new_repository_checks_clean() {
    let bench = Bench::new(&[]);
    assert_eq!(bench.run(&["init", "fresh"]).rc, 0);
    bench.write("fresh/inventories/hosts.ini", "[k8s_worker]\nlocal ansible_connection=local\n");
    assert!(bench.read("fresh/kdeploy.toml").contains("playbooks/site.yml"));
    let said = bench.run(&["check", "-i", "fresh/inventories/hosts.ini", "fresh/playbooks/site.yml"]);
    assert_eq!(said.rc, 0, "{}", said.err);
}
