//! The program under Ansible's names: its forms of output and its exit codes, without Ansible.

use crate::Bench;

const SITE: &str = "- name: Site\n  hosts: both\n  gather_facts: false\n  tasks:\n    - name: Say\n      debug: msg=hello\n    - name: Loop\n      debug: msg={{ item }}\n      loop: [a, b]\n    - name: Only one\n      fail: msg=oops\n      when: inventory_hostname == 'one'\n      ignore_errors: true\n    - block:\n        - name: Fails\n          fail: msg=once\n      rescue:\n        - name: Rescue\n          debug: msg=rescued\n    - name: The file\n      copy: {dest: \"{{ playbook_dir }}/{{ inventory_hostname }}\", content: \"one\\n\", mode: \"0640\"}\n      notify: Tell\n  handlers:\n    - name: Tell\n      debug: msg=told\n";

const HOSTS: &str = "[both]\none ansible_connection=local\ntwo ansible_connection=local\n";

fn bench(site: &str) -> Bench {
    Bench::new(&[("site.yml", site), ("hosts", HOSTS)])
}

#[test]
fn a_playbook_in_linear_order() {
    let bench = bench(SITE);
    let said = bench.run_as("ansible-playbook", &["-i", "hosts", "site.yml"], &[]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    // Which host comes first is up to them; what stands below which header is not.
    insta::assert_snapshot!(sorted(&said.out));
}

/// The lines below each header in order.
fn sorted(text: &str) -> String {
    let mut blocks: Vec<Vec<&str>> = vec![vec![]];
    for line in text.lines() {
        if ["PLAY", "TASK", "RUNNING"].iter().any(|w| line.starts_with(w)) {
            blocks.push(vec![]);
        }
        if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    for block in &mut blocks {
        let head = usize::from(!block.is_empty());
        block[head..].sort_unstable();
    }
    blocks.concat().join("\n")
}

#[test]
fn one_host_in_full() {
    let bench = bench(SITE);
    let said = bench.run_as("ansible-playbook", &["-i", "hosts", "site.yml", "-l", "one", "--diff"], &[]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    insta::assert_snapshot!(said.out);
}

#[test]
fn a_check_changes_nothing() {
    let bench = bench(SITE);
    let said = bench.run_as("ansible-playbook", &["-i", "hosts", "site.yml", "-C", "-l", "two"], &[]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("TASK [The file]") && said.out.contains("changed: [two]"), "{}", said.out);
    assert!(said.out.contains("RUNNING HANDLER [Tell]"), "{}", said.out);
    assert!(!bench.path().join("two").exists(), "a check changes nothing");
}

#[test]
fn hidden_results_stay_hidden_at_every_verbosity() {
    let site = "- hosts: one\n  gather_facts: false\n  tasks:\n    - command: echo swordfish\n      no_log: true\n    - command: /bin/sh -c 'echo swordfish; false'\n      no_log: true\n      ignore_errors: true\n";
    let bench = bench(site);
    for verbose in ["-v", "-vv", "-vvv"] {
        let said = bench.run_as("ansible-playbook", &["-i", "hosts", "site.yml", verbose], &[]);
        assert!(said.out.contains("the output has been hidden due to the fact that 'no_log: true'"), "{}", said.out);
        // The lines of the file that an error shows are no results.
        let results = said.out.lines().filter(|l| l.contains("=>")).collect::<String>();
        assert!(!results.contains("swordfish"), "{results}");
    }
}

#[test]
fn exit_codes() {
    let fails = "- hosts: both\n  gather_facts: false\n  tasks:\n    - fail: msg=x\n";
    let bench = bench(fails);
    bench.write("bad.yml", "- hosts: all\n  tasks:\n    - nosuchmodule: a\n");
    bench.write("lost.ini", "bad ansible_host=127.0.0.1 ansible_port=1\n");
    let rc = |name: &str, args: &[&str]| bench.run_as(name, args, &[]).rc;
    assert_eq!(rc("ansible-playbook", &["-i", "hosts", "site.yml"]), 2, "a host failed");
    assert_eq!(rc("ansible-playbook", &["-i", "lost.ini", "site.yml"]), 0, "no host of the play");
    assert_eq!(rc("ansible-playbook", &["-i", "hosts", "bad.yml"]), 4, "a file that means nothing");
    assert_eq!(rc("ansible-playbook", &["-i", "hosts", "none.yml"]), 1, "no such playbook");
    assert_eq!(rc("ansible-playbook", &["-i", "hosts", "site.yml", "-l", "nosuch"]), 1, "nothing is left");
    assert_eq!(rc("ansible-playbook", &["--nosuch"]), 2, "wrong use");
    assert_eq!(rc("ansible", &["bad", "-i", "lost.ini", "-m", "ping"]), 4, "unreachable");
    assert_eq!(rc("ansible", &["one", "-i", "hosts"]), 5, "no command");
    assert_eq!(rc("ansible", &["one", "-i", "hosts", "-m", "nosuch"]), 2, "no such module");
    assert_eq!(rc("ansible-inventory", &["-i", "hosts"]), 5, "nothing asked");
    assert_eq!(rc("ansible-vault", &["view", "site.yml", "--vault-password-file", "hosts"]), 1, "not encrypted");
}

#[test]
fn ad_hoc_forms() {
    let bench = bench(SITE);
    let run = |args: &[&str]| bench.run_as("ansible", args, &[]).out;
    let mut all = String::new();
    for args in [
        &["one", "-i", "hosts", "-m", "ping"][..],
        &["one", "-i", "hosts", "-m", "ping", "-o"],
        &["one", "-i", "hosts", "-a", "echo hi"],
        &["one", "-i", "hosts", "-a", "echo hi", "-o"],
        &["one", "-i", "hosts", "-m", "fail", "-a", "msg=\"it's\""],
        &["one", "-i", "hosts", "-a", "echo hi", "-C"],
        &["both", "-i", "hosts", "--list-hosts"],
    ] {
        all.push_str(&format!("$ ansible {}\n{}", args.join(" "), run(args)));
    }
    insta::assert_snapshot!(all);
    run(&["one", "-i", "hosts", "-m", "ping", "-t", "tree"]);
    assert_eq!(bench.read("tree/one"), "{\"changed\": false, \"ping\": \"pong\"}");
}

#[test]
fn json_as_stdout_callback() {
    let bench = bench(SITE);
    let said = bench.run_as(
        "ansible-playbook",
        &["-i", "hosts", "site.yml"],
        &[("ANSIBLE_STDOUT_CALLBACK", "json"), ("ANSIBLE_CALLBACKS_ENABLED", "timer")],
    );
    assert_eq!(said.rc, 0, "{}", said.err);
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(document["stats"]["one"]["rescued"], 1);
    assert_eq!(document["plays"][0]["tasks"][0]["hosts"]["two"]["msg"], "hello");
    assert_eq!(document["plays"][0]["tasks"][1]["hosts"]["two"]["results"][1]["msg"], "b");
    assert_eq!(said.err.matches("ANSIBLE_CALLBACKS_ENABLED").count(), 1, "{}", said.err);
}

#[test]
fn settings_hide_lines() {
    let bench = bench(SITE);
    let run =
        |env: &[(&str, &str)]| bench.run_as("ansible-playbook", &["-i", "hosts", "site.yml", "-l", "two"], env).out;
    assert!(run(&[]).contains("skipping: [two]"));
    let out = run(&[("ANSIBLE_DISPLAY_SKIPPED_HOSTS", "no")]);
    assert!(!out.contains("skipping: [two]") && !out.contains("TASK [Only one]"), "{out}");
    let out = run(&[("ANSIBLE_FORCE_COLOR", "1")]);
    assert!(out.contains("\u{1b}[0;32mok: [two] => {\u{1b}[0m"), "{out}");
}

#[test]
fn versions_are_told_in_ansibles_form() {
    let bench = bench(SITE);
    for name in ["ansible-playbook", "ansible", "ansible-inventory", "ansible-vault"] {
        let said = bench.run_as(name, &["--version"], &[]);
        assert_eq!(said.rc, 0);
        assert!(said.out.starts_with(&format!("{name} [core 2.19")), "{}", said.out);
    }
}
