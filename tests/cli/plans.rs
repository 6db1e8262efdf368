//! Saved plans, targets, tag closure, explain, reports: through the command line, on a local host.

use crate::bench::Bench;

/// Four independent files, one that depends on the first by what is registered, and one that only a run can tell.
const SITE: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - name: First
      copy: {content: "one\n", dest: "{{ playbook_dir }}/out/first"}
    - name: Look
      stat: {path: "{{ playbook_dir }}/out/first"}
      register: first
    - name: After the first
      copy: {content: "{{ first.stat.size }}\n", dest: "{{ playbook_dir }}/out/after"}
    - name: Second
      copy: {content: "two\n", dest: "{{ playbook_dir }}/out/second"}
      tags: second
    - name: Folder
      file: {path: "{{ playbook_dir }}/out/folder", state: directory, mode: "0755"}
    - name: In the folder
      copy: {content: "three\n", dest: "{{ playbook_dir }}/out/folder/third"}
      tags: third
"#;

fn bench() -> Bench {
    let bench = Bench::new(&[("site.yml", SITE), ("out/.keep", "")]);
    assert_eq!(bench.run(&["plan", "--out", "plan.json"]).rc, 0);
    bench
}

/// What ran, by the apply's JSON: task and status.
fn statuses(out: &str) -> Vec<(String, String)> {
    let document: serde_json::Value = serde_json::from_str(out).unwrap_or_else(|e| panic!("{e}: {out}"));
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    document["steps"].as_array().into_iter().flatten().map(|s| (text(&s["task"]), text(&s["status"]))).collect()
}

#[test]
fn a_saved_plan_is_applied_once_and_shown() {
    let bench = bench();
    assert!(bench.run(&["show", "plan.json"]).out.contains("+ create  First"));
    assert!(bench.run(&["show", "plan.json", "--format", "html"]).out.starts_with("<!DOCTYPE html>"));
    let first = bench.run(&["apply", "plan.json", "--output", "json"]);
    assert_eq!(first.rc, 0, "{}{}", first.out, first.err);
    // A template that is one expression loses its last newline, as in Ansible.
    assert_eq!(bench.read("out/after"), "4");
    let again = bench.run(&["apply", "plan.json"]);
    assert_eq!(again.rc, 1);
    assert!(again.err.contains("used-plan"), "{}", again.err);
    let empty = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(empty.rc, 0, "{}", empty.out);
}

/// The node is changed at each step in turn: that step and what depends on it stop, the others go on.
#[test]
fn what_changed_since_the_plan_stops_with_its_dependants_only() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("out/first", &["First", "Look", "After the first"], &["Second", "Folder", "In the folder"]),
        ("out/after", &["After the first"], &["First", "Second", "Folder", "In the folder"]),
        ("out/second", &["Second"], &["First", "After the first", "Folder", "In the folder"]),
        ("out/folder", &["Folder", "In the folder"], &["First", "After the first", "Second"]),
    ];
    for (path, stopped, done) in cases {
        let bench = bench();
        bench.write(path, "somebody was here\n");
        let run = bench.run(&["apply", "plan.json", "--output", "json"]);
        assert_eq!(run.rc, 2, "{path}: {}{}", run.out, run.err);
        let found = statuses(&run.out);
        let with = |status: &str| -> Vec<&str> {
            found.iter().filter(|(_, s)| s == status).map(|(task, _)| task.as_str()).collect()
        };
        assert_eq!(with("failed"), *stopped, "{path}: {}", run.out);
        assert_eq!(with("changed"), *done, "{path}: {}", run.out);
        assert!(run.out.contains("changed since the plan: "), "{path}: {}", run.out);
        assert_eq!(bench.read(path), "somebody was here\n");
    }
}

#[test]
fn what_is_already_at_its_target_is_no_error() {
    let bench = bench();
    bench.write("out/second", "two\n");
    let run = bench.run(&["apply", "plan.json", "--output", "json"]);
    assert_eq!(run.rc, 0, "{}{}", run.out, run.err);
    assert!(statuses(&run.out).contains(&("Second".to_owned(), "ok".to_owned())), "{}", run.out);
}

#[test]
fn a_plan_is_that_of_its_files_and_variables() {
    let bench = bench();
    bench.write("site.yml", &SITE.replace("two", "deux"));
    let run = bench.run(&["apply", "plan.json"]);
    assert!(run.rc == 1 && run.err.contains("files changed since the plan: site.yml"), "{}", run.err);

    bench.write("site.yml", SITE);
    assert_eq!(bench.run(&["plan", "--out", "secret.json", "-e", "password=hunter22", "--plan-key", "key"]).rc, 0);
    assert!(!bench.read("secret.json").contains("hunter22"));
    assert_eq!(bench.run(&["plan", "--out", "bare.json", "-e", "password=hunter22"]).rc, 0);
    assert!(!bench.read("bare.json").contains("hunter22"));
    let without = bench.run(&["apply", "bare.json"]);
    assert!(without.rc == 1 && without.err.contains("other-vars"), "{}", without.err);
    let with_key = bench.run(&["apply", "secret.json", "--plan-key", "key"]);
    assert_eq!(with_key.rc, 0, "{}", with_key.err);
}

#[test]
fn a_target_takes_what_it_depends_on_and_no_more() {
    let bench = bench();
    let target = bench.path().join("out/folder/third").display().to_string();
    let run = bench.run(&["apply", "--target", &target, "--output", "json"]);
    assert_eq!(run.rc, 0, "{}{}", run.out, run.err);
    assert_eq!(bench.read("out/folder/third"), "three\n");
    assert!(!bench.path().join("out/second").exists() && !bench.path().join("out/first").exists());
    let wrong = bench.run(&["plan", "--target", "Secnd"]);
    assert!(wrong.rc == 1 && wrong.err.contains("`Second`"), "{}", wrong.err);
}

#[test]
fn prerequisites_outside_of_the_tags_are_named_and_taken_in() {
    let bench = bench();
    let run = bench.run(&["plan", "--tags", "third"]);
    assert!(
        run.err.contains("\"In the folder\" needs DIR/out/folder, which the node lacks: \"Folder\" is not selected"),
        "{}",
        run.err
    );
    let run = bench.run(&["apply", "--tags", "third", "--with-deps"]);
    assert_eq!(run.rc, 0, "{}{}", run.out, run.err);
    assert_eq!(bench.read("out/folder/third"), "three\n");
    assert!(!bench.path().join("out/second").exists());
}

#[test]
fn the_graph_tells_why() {
    let bench = bench();
    let why = bench.run(&["graph", "--why", "After the first"]).out;
    assert!(why.contains("needs variable first of Look") && why.contains("needs DIR/out/first of First"), "{why}");
    assert!(bench.run(&["graph", "--format", "svg"]).out.contains("In the folder"));
    assert!(bench.run(&["graph", "--format", "mermaid"]).out.contains("-->|\"DIR/out/folder\"|"));
    let json: serde_json::Value = serde_json::from_str(&bench.run(&["graph", "--format", "json"]).out).expect("JSON");
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(6));
}

#[test]
fn explain_tells_where_a_variable_comes_from_and_why_a_task_is_skipped() {
    let bench = Bench::new(&[
        (
            "site.yml",
            "- hosts: all\n  gather_facts: false\n  vars: {level: play}\n  tasks:\n    - name: Never\n      debug: {msg: x}\n      when: level == 'host'\n",
        ),
        ("group_vars/all.yml", "level: group\n"),
        ("host_vars/one.yml", "level: host\n"),
    ]);
    let said = bench.run(&["explain", "one", "level"]).out;
    assert!(said.starts_with("level: \"play\"\n  from site.yml:3"), "{said}");
    let (host, group) = (
        said.find("host_vars/one.yml:1").expect("the host's"),
        said.find("group_vars/all.yml:1").expect("the group's"),
    );
    assert!(host < group, "{said}");
    let unknown = bench.run(&["explain", "one", "levle"]);
    assert!(unknown.rc == 1 && unknown.err.contains("nothing defines `levle` for `one`"), "{}", unknown.err);
    assert!(unknown.err.contains("a variable with a similar name exists: `level` (site.yml:3)"), "{}", unknown.err);
    let said = bench.run(&["explain", "one", "--task", "Never"]).out;
    assert!(said.contains("does not run") && said.contains("when level == 'host'  → false"), "{said}");
}

#[test]
fn where_the_order_contradicts_what_steps_need_the_plan_warns() {
    let cases = [
        (
            "file: {path: \"{{ playbook_dir }}/out\", owner: kdeploy-nobody}",
            "user: {name: kdeploy-nobody}",
            "user kdeploy-nobody",
        ),
        (
            "copy: {content: x, dest: \"{{ playbook_dir }}/out/sub/x\"}",
            "file: {path: \"{{ playbook_dir }}/out/sub\", state: directory}",
            "DIR/out/sub",
        ),
    ];
    for (needs, makes, thing) in cases {
        let site = format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Needs\n      {needs}\n    - name: Other\n      debug: {{msg: x}}\n    - name: Makes\n      {makes}\n"
        );
        let bench = Bench::new(&[("site.yml", &site), ("out/.keep", "")]);
        let run = bench.run(&["plan"]);
        let said = format!("one: \"Needs\" (site.yml:4) needs {thing}, which \"Makes\" (site.yml:8) makes only later");
        assert!(run.rc == 2 && run.err.contains(&said), "{}{}", run.out, run.err);
    }
}

#[test]
fn reports_tell_who_may_have_changed_what_drifted() {
    let bench = bench();
    assert_eq!(bench.run(&["apply"]).rc, 0);
    bench.write("out/second", "by hand\n");
    bench.run(&["plan", "--report", "plan.html"]);
    let page = bench.read("plan.html");
    assert!(page.contains("class=\"note blame\">last written ") && page.contains("by kdeploy: run "), "{page}");
    bench.run(&["plan", "--report", "plan.md"]);
    let text = bench.read("plan.md");
    assert!(text.contains(" – last written ") && text.contains("by kdeploy: run "), "{text}");
    // What is as desired has nobody to blame.
    assert_eq!(page.matches("note blame").count(), 1, "{page}");
}

#[test]
fn reports_are_written() {
    let bench = bench();
    bench.run(&["plan", "--report", "plan.html"]);
    assert!(bench.read("plan.html").contains("After the first"));
    bench.run(&["apply", "--report", "run.html"]);
    assert!(bench.read("run.html").contains("When it ran"), "{}", bench.read("run.html"));
    bench.run(&["plan", "--report", "plan.md"]);
    assert!(bench.read("plan.md").starts_with("## Plan of "), "{}", bench.read("plan.md"));
}

#[test]
fn a_plan_writes_its_steps_as_events_and_names_the_key_it_needs() {
    let bench = Bench::new(&[(
        "site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: File\n      copy: {content: \"{{ word }}\", dest: \"{{ playbook_dir }}/out\"}\n",
    )]);
    let made = bench.run(&["plan", "-e", "word=x", "--plan-key", "key", "--out", "plan.json", "--events", "events"]);
    assert_eq!(made.rc, 0, "{}", made.err);
    let events = std::fs::read_to_string(bench.path().join("events")).expect("events");
    let step: serde_json::Value = serde_json::from_str(events.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&step["task"], &step["planned"]), (&"File".into(), &"create".into()), "{events}");
    let without = bench.run(&["apply", "plan.json"]);
    assert!(without.rc == 1 && without.err.contains("`--plan-key FILE`"), "{}", without.err);
    assert_eq!(bench.run(&["apply", "plan.json", "--plan-key", "key"]).rc, 0);
}

#[test]
fn what_is_asserted_waits_for_the_step_that_registers_it() {
    let bench = Bench::new(&[(
        "site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: File\n      copy: {content: x, dest: \"{{ playbook_dir }}/out\"}\n    \
         - name: Look\n      stat: {path: \"{{ playbook_dir }}/out\"}\n      register: seen\n    \
         - name: Hold\n      assert: {that: seen.stat.exists}\n    - name: Other\n      copy: {content: y, dest: \"{{ playbook_dir }}/other\"}\n",
    )]);
    assert_eq!(bench.run(&["plan", "--out", "plan.json"]).rc, 0);
    std::fs::write(bench.path().join("out"), "somebody was here").expect("is written");
    let run = bench.run(&["apply", "plan.json"]);
    assert!(run.rc == 2 && run.out.contains("it depends on \"Look\", which stopped"), "{}{}", run.out, run.err);
    assert!(bench.path().join("other").exists(), "what depends on nothing that stopped is done");
}
