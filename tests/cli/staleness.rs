//! Saved plans of playbooks with prompts, and events as they happen.

use crate::bench::Bench;

const ASKS: &str = r#"- hosts: all
  gather_facts: false
  vars_prompt:
    - {name: colour, prompt: Which colour, default: red, private: false}
  tasks:
    - name: Colour
      copy: {content: "{{ colour }}\n!", dest: "{{ playbook_dir }}/out/colour"}
"#;

/// A plan made at a terminal, where somebody answers.
fn planned_with_an_answer(args: &str) -> Bench {
    let bench = Bench::new(&[("site.yml", ASKS), ("out/.keep", ""), ("answer", "blue\n")]);
    let command =
        format!("cat answer | script -qec '{} plan --out plan.json {args}' /dev/null", env!("CARGO_BIN_EXE_kdeploy"));
    let out = std::process::Command::new("sh")
        .args(["-c", &command])
        .current_dir(bench.path())
        .env("HOME", bench.path())
        .output()
        .expect("script runs (package bsdutils)");
    assert!(bench.path().join("plan.json").exists(), "{}", String::from_utf8_lossy(&out.stdout));
    bench
}

#[test]
fn answers_to_prompts_are_those_of_the_plan() {
    let bench = planned_with_an_answer("--plan-key key");
    assert!(bench.run(&["show", "plan.json"]).out.contains("+blue"));
    let run = bench.run(&["apply", "plan.json", "--plan-key", "key"]);
    assert_eq!((run.rc, bench.read("out/colour").as_str()), (0, "blue\n!"), "{}{}", run.out, run.err);
}

#[test]
fn without_a_key_other_answers_are_refused() {
    let bench = planned_with_an_answer("");
    let run = bench.run(&["apply", "plan.json"]);
    assert_eq!((run.rc, bench.read("out/colour").as_str()), (1, ""), "{}{}", run.out, run.err);
    assert!(run.err.contains("the answers to the prompts are not those of the plan"), "{}", run.err);
}

/// Every kind of step that looks at the node before it acts is stopped by what somebody changed after the plan, and no other is.
#[test]
fn each_step_in_turn() {
    const STEPS: [(&str, &str); 7] = [
        ("Line", "line"),
        ("Block", "block"),
        ("Mode", "mode"),
        ("Gone", "gone"),
        ("Link", "link"),
        ("Template", "template"),
        ("Option", "ini"),
    ];
    const SITE: &str = r#"- hosts: all
  gather_facts: false
  vars: {out: "{{ playbook_dir }}/out"}
  tasks:
    - {name: Line, lineinfile: {path: "{{ out }}/line", line: added}}
    - {name: Block, blockinfile: {path: "{{ out }}/block", block: added}}
    - {name: Mode, file: {path: "{{ out }}/mode", mode: "0600"}}
    - {name: Gone, file: {path: "{{ out }}/gone", state: absent}}
    - {name: Link, file: {src: "{{ out }}/to", dest: "{{ out }}/link", state: link}}
    - {name: Template, template: {src: it.j2, dest: "{{ out }}/template"}}
    - {name: Option, ini_file: {path: "{{ out }}/ini", section: a, option: b, value: c}}
"#;
    for (name, path) in STEPS {
        let bench = Bench::new(&[
            ("site.yml", SITE),
            ("it.j2", "made\n"),
            ("out/line", "one\n"),
            ("out/block", "one\n"),
            ("out/mode", "one\n"),
            ("out/to", "one\n"),
            ("out/gone", "one\n"),
            ("out/ini", "[a]\n"),
        ]);
        let plan = bench.run(&["plan", "--out", "plan.json"]);
        assert_eq!(plan.rc, 0, "{}{}", plan.out, plan.err);
        bench.write(&format!("out/{path}"), "somebody was here\n");
        let run = bench.run(&["apply", "plan.json", "--output", "json"]);
        let document: serde_json::Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {}", run.out));
        let with = |status: &str| -> Vec<String> {
            let steps = document["steps"].as_array().into_iter().flatten();
            steps.filter(|s| s["status"] == status).map(|s| s["task"].as_str().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(with("failed"), [name], "{path}: {}", run.out);
        assert_eq!(with("changed").len(), STEPS.len() - 1, "{path}: {}", run.out);
        assert!(run.out.contains("changed since the plan: "), "{path}: {}", run.out);
    }
}

#[test]
fn what_a_step_tells_must_be_what_the_plan_saw() {
    const SITE: &str = r#"- hosts: all
  gather_facts: false
  vars: {out: "{{ playbook_dir }}/out"}
  tasks:
    - {name: Look, stat: {path: "{{ out }}/there"}, register: there}
    - {name: Size, copy: {content: "{{ there.stat.size }}\n!", dest: "{{ out }}/size"}}
    - {name: Nobody asks, stat: {path: "{{ out }}/there"}}
    - {name: Other, copy: {content: "x\n", dest: "{{ out }}/other"}}
"#;
    let bench = Bench::new(&[("site.yml", SITE), ("out/there", "one\n")]);
    assert_eq!(bench.run(&["plan", "--out", "plan.json"]).rc, 0);
    bench.write("out/there", "somebody was here\n");
    let run = bench.run(&["apply", "plan.json", "--output", "json"]);
    let document: serde_json::Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {}", run.out));
    let steps = document["steps"].as_array().into_iter().flatten();
    let found: Vec<(&str, &str)> =
        steps.map(|s| (s["task"].as_str().unwrap_or_default(), s["status"].as_str().unwrap_or_default())).collect();
    let wanted = [("Look", "failed"), ("Size", "failed"), ("Nobody asks", "ok"), ("Other", "changed")];
    assert_eq!((run.rc, found.as_slice()), (2, &wanted[..]), "{}", run.out);
    assert_eq!((bench.read("out/size").as_str(), bench.read("out/other").as_str()), ("", "x\n"));
}

#[test]
fn events_are_lines_of_json_as_steps_end() {
    let bench = Bench::new(&[
        (
            "site.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: One, copy: {content: a, dest: \"{{ playbook_dir }}/out/a\"}}\n    - {name: Two, command: 'cat events', register: so_far, changed_when: false}\n    - {name: Three, fail: {msg: on purpose}}\n",
        ),
        ("out/.keep", ""),
    ]);
    let run = bench.run(&["apply", "--events", "events"]);
    assert_eq!(run.rc, 2, "{}{}", run.out, run.err);
    let events: Vec<serde_json::Value> =
        bench.read("events").lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let ended: Vec<(&str, &str)> = events
        .iter()
        .filter(|e| e["task"].is_string() && e["status"].is_string())
        .map(|e| (e["task"].as_str().unwrap_or_default(), e["status"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(ended, [("One", "changed"), ("Two", "ok"), ("Three", "failed")], "{events:#?}");
    // The first was told before the second ran.
    let second = events.iter().find(|e| e["task"] == "Two").expect("the second step");
    assert!(second["result"]["stdout"].as_str().unwrap_or_default().contains("\"One\""), "{second:#}");
}
