//! Saved worlds: what a node said is kept, and plans are made from it without the node.

use crate::bench::Bench;

const SITE: &str = r#"- hosts: all
  tasks:
    - name: Settings
      copy: {content: "for {{ ansible_facts['os_family'] }}\n", dest: "{{ playbook_dir }}/out/settings"}
    - name: Look
      stat: {path: "{{ playbook_dir }}/out/.keep"}
      register: kept
    - name: Said by the node
      command: echo asked
      check_mode: false
      changed_when: false
      register: asked
    - name: After it
      copy: {content: "{{ asked.stdout }} {{ kept.stat.size }}\n", dest: "{{ playbook_dir }}/out/after"}
"#;

fn saved() -> Bench {
    let bench = Bench::new(&[("site.yml", SITE), ("out/.keep", "")]);
    let run = bench.run(&["facts", "--save", "worlds", "all", "--playbook", "site.yml"]);
    assert_eq!(run.rc, 0, "{}{}", run.out, run.err);
    bench
}

#[test]
fn a_saved_world_is_planned_as_the_node_was() {
    let bench = saved();
    let before = bench.run(&["plan", "site.yml"]);
    assert_eq!(before.rc, 0, "{}{}", before.out, before.err);
    // The node goes on without it: the saved world stays as it was.
    bench.write("out/settings", "somebody was here\n");
    let offline = bench.run(&["plan", "site.yml", "--world", "worlds"]);
    assert_eq!((offline.rc, offline.out.as_str()), (0, before.out.as_str()), "{}", offline.err);
    assert_ne!(bench.run(&["plan", "site.yml"]).out, before.out);
    // A playbook that asks more is answered by what every world holds.
    let more = SITE.to_owned()
        + r#"    - name: A user that nobody has
      getent: {database: passwd, key: nobody-has-this, fail_key: false}
      when: false
    - name: Below /etc
      file: {path: /etc/kdeploy-is-not-there/file, state: absent}
    - name: Its folder
      file: {path: /etc/kdeploy-is-not-there, state: directory}
"#;
    bench.write("site.yml", &more);
    let more = bench.run(&["plan", "site.yml", "--world", "worlds"]);
    assert_eq!(more.rc, 0, "{}{}", more.out, more.err);
    assert!(more.out.contains("+ create  Its folder"), "{}", more.out);
}

#[test]
fn what_a_world_does_not_know_is_named() {
    let bench = saved();
    bench.write("site.yml", &(SITE.to_owned() + "    - name: More\n      stat: {path: /proc/version}\n"));
    let run = bench.run(&["plan", "site.yml", "--world", "worlds"]);
    assert_eq!(run.rc, 2, "{}{}", run.out, run.err);
    let text = format!("{}{}", run.out, run.err);
    assert!(text.contains("has no answer to") && text.contains("/proc/version"), "{text}");
    let run = bench.run(&["plan", "site.yml", "--world", "elsewhere"]);
    let text = format!("{}{}", run.out, run.err);
    assert!(run.rc == 2 && text.contains("there is no world of `"), "{text}");
    assert_eq!(bench.run(&["plan", "site.yml", "--world", "worlds", "--out", "plan.json"]).rc, 1);
}

/// Content that not everybody may read is not in the file.
#[test]
fn secrets_of_a_node_stay_there() {
    use std::os::unix::fs::PermissionsExt;
    let site = "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {content: new, dest: \"{{ playbook_dir }}/out/token\", mode: \"0600\"}\n";
    let bench = Bench::new(&[("site.yml", site), ("out/token", "very-secret-token")]);
    std::fs::set_permissions(bench.path().join("out/token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bench.run(&["facts", "--save", "worlds", "--playbook", "site.yml"]).rc, 0);
    for entry in std::fs::read_dir(bench.path().join("worlds")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.contains("out/token") && !text.contains("very-secret-token"));
    }
    assert!(bench.run(&["plan", "site.yml", "--world", "worlds"]).out.contains("~ change"));
}
