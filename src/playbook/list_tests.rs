use super::super::tests::Tree;
use super::*;
use crate::yaml::Node;

const FILES: &[(&str, &str)] = &[
    (
        "other.yml",
        r#"- hosts: [a, b]
  tasks: []
- hosts: "localhost:!x"
  tags: q,r
"#,
    ),
    (
        "roles/base/tasks/main.yml",
        r#"- debug: {}
"#,
    ),
    (
        "roles/web/meta/main.yml",
        r#"dependencies: [{role: base, tags: dep}]
"#,
    ),
    (
        "roles/web/tasks/main.yml",
        r#"- name: web main
  debug: {}
"#,
    ),
    (
        "site.yml",
        r#"- name: first
  hosts: all
  tags: [p]
  pre_tasks:
  - name: pre
    debug: {}
    tags: always
  roles:
  - role: web
    tags: [w, x]
  - base
  tasks:
  - debug: {}
  - name: blk
    tags: blk
    block:
    - name: in block {{ x }}
      debug: {}
      tags: never
    - block:
      - name: inner
        command: ls
    rescue:
    - name: rescued
      debug: {}
  - import_tasks: t.yml
    tags: imp
  - include_tasks: t.yml
    tags: [inc, "{{ 'tpl' }}"]
  - name: flush
    meta: flush_handlers
  - import_role: {name: base}
    tags: ir
  - include_role: {name: base}
  post_tasks:
  - ansible.builtin.debug: {}
  handlers:
  - name: h
    debug: {}
- import_playbook: other.yml
  tags: ip
"#,
    ),
    (
        "t.yml",
        r#"- name: in t
  debug: {}
  tags: t,u
- debug: {}
"#,
    ),
];

/// `--tags`, `--skip-tags`, the lists, and what ansible-playbook 2.19 prints (play tags and hosts sorted: it prints them in no order).
#[rustfmt::skip]
const ORACLE: &[(&str, &str, Lists, &str)] = &[
    ("", "", Lists { tasks: true, tags: false, hosts: false }, r#"
playbook: site.yml

  play #1 (all): first	TAGS: [p]
    tasks:
      pre	TAGS: [always, p]
      debug	TAGS: [dep, p, w, x]
      web : web main	TAGS: [p, w, x]
      debug	TAGS: [p]
      debug	TAGS: [p]
      inner	TAGS: [blk, p]
      in t	TAGS: [imp, p, t, u]
      debug	TAGS: [imp, p]
      include_tasks	TAGS: [inc, p, tpl]
      flush	TAGS: [p]
      debug	TAGS: [ir, p]
      include_role	TAGS: [p]
      ansible.builtin.debug	TAGS: [p]

  play #2 (a,b): a,b	TAGS: [ip]
    tasks:

  play #3 (localhost:!x): localhost:!x	TAGS: [ip,q,r]
    tasks:
"#),
    ("never,all", "", Lists { tasks: false, tags: true, hosts: false }, r#"
playbook: site.yml

  play #1 (all): first	TAGS: [p]
      TASK TAGS: [always, blk, dep, imp, inc, ir, never, p, t, tpl, u, w, x]

  play #2 (a,b): a,b	TAGS: [ip]
      TASK TAGS: [ip]

  play #3 (localhost:!x): localhost:!x	TAGS: [ip,q,r]
      TASK TAGS: [ip, q, r]
"#),
    ("imp,x", "", Lists { tasks: true, tags: true, hosts: false }, r#"
playbook: site.yml

  play #1 (all): first	TAGS: [p]
    tasks:
      pre	TAGS: [always, p]
      debug	TAGS: [dep, p, w, x]
      web : web main	TAGS: [p, w, x]
      in t	TAGS: [imp, p, t, u]
      debug	TAGS: [imp, p]
      TASK TAGS: [always, dep, imp, p, t, u, w, x]

  play #2 (a,b): a,b	TAGS: [ip]
    tasks:
      TASK TAGS: [ip]

  play #3 (localhost:!x): localhost:!x	TAGS: [ip,q,r]
    tasks:
      TASK TAGS: [ip, q, r]
"#),
    ("", "tagged", Lists { tasks: true, tags: false, hosts: false }, r#"
playbook: site.yml

  play #1 (all): first	TAGS: [p]
    tasks:

  play #2 (a,b): a,b	TAGS: [ip]
    tasks:

  play #3 (localhost:!x): localhost:!x	TAGS: [ip,q,r]
    tasks:
"#),
    ("never", "", Lists { tasks: true, tags: false, hosts: false }, r#"
playbook: site.yml

  play #1 (all): first	TAGS: [p]
    tasks:
      pre	TAGS: [always, p]
      in block {{ x }}	TAGS: [blk, never, p]

  play #2 (a,b): a,b	TAGS: [ip]
    tasks:

  play #3 (localhost:!x): localhost:!x	TAGS: [ip,q,r]
    tasks:
"#),
    ("", "", Lists { tasks: false, tags: false, hosts: true }, r#"
playbook: site.yml

  play #1 (all): first	TAGS: [p]
    pattern: ['all']
    hosts (3):
      a
      b
      localhost

  play #2 (a,b): a,b	TAGS: [ip]
    pattern: ['a', 'b']
    hosts (2):
      a
      b

  play #3 (localhost:!x): localhost:!x	TAGS: [ip,q,r]
    pattern: ['localhost:!x']
    hosts (1):
      localhost
"#),
];

#[test]
fn lists_what_ansible_lists() {
    let tree = Tree::new(FILES);
    let loaded = tree.loader().playbook(tree.path("site.yml")).unwrap_or_else(|p| panic!("{p}"));
    for (only, skip, lists, wanted) in ORACLE {
        let selection = TagSelection::new(&[only], &[skip]);
        // The one template there is.
        let mut render = |node: &Node| (node.as_str() == Some("{{ 'tpl' }}")).then(|| Node::text("tpl", &node.span));
        let plays = listing(&loaded.value, &selection, &mut render);
        let mut hosts_of = |play: &PlayListing| {
            let all: &[&str] = match play.hosts.as_str() {
                "all" => &["a", "b", "localhost"],
                "a,b" => &["a", "b"],
                _ => &["localhost"],
            };
            all.iter().map(|s| (*s).to_owned()).collect()
        };
        let text = listing_text(Path::new("site.yml"), &plays, *lists, &mut hosts_of);
        assert_eq!(&text, wanted, "--tags {only} --skip-tags {skip} {lists:?}");
    }
}

#[test]
fn handlers_come_in_the_order_they_run() {
    let tree = Tree::new(&[
        (
            "site.yml",
            "- hosts: all
  roles: [web]
  tasks:
  - import_role: {name: late}
    when: cond
  handlers:
  - name: own
    debug: {}
  - import_tasks: more.yml
    tags: t
",
        ),
        ("more.yml", "- name: more\n  debug: {}\n"),
        ("roles/web/meta/main.yml", "dependencies: [base]"),
        ("roles/web/handlers/main.yml", "- name: web\n  debug: {}\n"),
        ("roles/base/handlers/main.yml", "- name: base\n  debug: {}\n"),
        ("roles/late/handlers/main.yml", "- name: late\n  debug: {}\n"),
    ]);
    let play = tree.loader().playbook(tree.path("site.yml")).unwrap_or_else(|p| panic!("{p}")).value.plays[0].clone();
    let entries = play.handler_entries();
    let labels: Vec<String> = entries.iter().map(|e| e.task.label()).collect();
    assert_eq!(labels, ["base : base", "web : web", "own", "more", "late : late"]);
    assert_eq!(entries[0].blocks.len(), 2);
    assert_eq!(entries[3].blocks[0].keywords.tags.len(), 1);
    assert_eq!(entries[4].blocks[0].keywords.when.len(), 1);
    assert!(entries.iter().all(|e| e.task.is_handler));
}

#[test]
fn a_block_lends_its_keywords_to_handlers() {
    let tree = Tree::new(&[(
        "site.yml",
        "- hosts: all
  handlers:
  - when: cond
    block:
    - name: one
      debug: {}
    rescue:
    - name: never
      debug: {}
",
    )]);
    let loaded = tree.loader().playbook(tree.path("site.yml")).unwrap_or_else(|p| panic!("{p}"));
    let entries = loaded.value.plays[0].handler_entries();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].blocks[0].keywords.when.len(), 1);
    assert_eq!(loaded.warnings.len(), 1);
}
