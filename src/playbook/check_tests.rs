//! `check` over small repositories, with the real modules and filters.

use crate::inventory::Inventory;
use crate::problem::Problem;
use crate::template::{Engine, EngineOptions};

use super::check::{Check, check};
use super::loader::{Loader, LoaderSettings};
use super::tests::{Tree, problems_text};

fn checked(files: &[(&str, &str)]) -> String {
    checked_with(files, false)
}

/// With warnings, and with tags selected, of which there is one.
fn checked_with(files: &[(&str, &str)], with_tags: bool) -> String {
    let tree = Tree::new(files);
    let loader = Loader::new(LoaderSettings::default());
    let engine = Engine::new(EngineOptions::default());
    let mut inventory = Inventory::new();
    inventory.add_host("node", None);
    inventory.reconcile();
    let tags = ["one".to_owned(), "twoo".to_owned()];
    let found = check(&Check {
        loader: &loader,
        engine: &engine,
        playbooks: &[tree.path("site.yml")],
        inventory: Some(&inventory),
        extra_vars: vec!["given".to_owned()],
        limit: None,
        tags: if with_tags { &tags } else { &[] },
        root: &tree.path(""),
    });
    let mut problems: Vec<Problem> = found.problems;
    if with_tags {
        problems.extend(found.warnings);
    }
    // The lists of a module's arguments grow; they are not what is tested here.
    problems.iter_mut().for_each(|p| p.help.retain(|h| !h.starts_with("arguments of")));
    problems_text(&problems, &tree)
}

#[test]
fn a_sound_repository_has_no_problems() {
    let text = checked(&[
        (
            "site.yml",
            "- hosts: all
  vars: {a: '{{ given }}'}
  vars_files: ['{{ inventory_hostname }}.yml', more.yml]
  roles: [{role: web, web_param: 1}]
  tasks:
  - command: echo {{ a }} {{ from_file }} {{ facty | default(nothing_else | default('x')) }}
    register: result
    when: maybe is defined and maybe
    notify: ['restart web', 'web : reload', topic]
  - debug: {var: result.stdout}
  - set_fact: {'{{ a }}_made': 1}
  - debug: {msg: '{{ x_made }} {{ item }} {{ maybe }} {{ hostvars[inventory_hostname].z }}'}
    when: [maybe is defined, result is succeeded]
    loop: [1, 2]
  - include_tasks: '{{ item }}.yml'
    loop: [one, two]
  - include_tasks: 'os-{{ ansible_os_family }}.yml'
  - include_vars: 'vars-{{ ansible_distribution }}.yml'
  - debug: {msg: '{{ of_debian }} {{ in_one }}'}
  - include_role: {name: late}
  - debug: {msg: '{% for x in [1] %}{% set y = x %}{{ x }}{{ y }}{% endfor %}'}
  - assert: {that: [result.rc == 0, \"'a' in a\"]}
",
        ),
        ("more.yml", "from_file: 1\n"),
        ("vars-debian.yml", "of_debian: 1\n"),
        ("one.yml", "- set_fact: {in_one: 1}\n"),
        ("two.yml", "[]"),
        ("os-Debian.yml", "- debug: {msg: hi}\n"),
        ("roles/web/defaults/main.yml", "web_dir: /srv\n"),
        (
            "roles/web/tasks/main.yml",
            "- template: {src: web.j2, dest: '{{ web_dir }}/{{ web_param }}'}\n- copy: {src: f, dest: /f}\n",
        ),
        ("roles/web/templates/web.j2", "{% if opt is defined %}{{ opt }}{% endif %}{{ web_dir | upper }}\n"),
        ("roles/web/files/f", "x"),
        (
            "roles/web/handlers/main.yml",
            "- name: restart web\n  debug: {msg: x}\n  listen: topic\n- name: reload\n  debug: {msg: x}\n",
        ),
        ("roles/late/tasks/main.yml", "- debug: {msg: x}\n  notify: late\n"),
        ("roles/late/handlers/main.yml", "- name: late\n  debug: {msg: x}\n"),
    ]);
    assert_eq!(text, "");
}

#[test]
fn every_problem_is_listed() {
    insta::assert_snapshot!(checked(&[
        (
            "site.yml",
            "- hosts: all
  vars: {docker_packages: [a]}
  roles: [web]
  tasks:
  - apt: {name: '{{ docker_packges }}'}
  - debug: {msg: '{{ a | to_nice_ymal }} {{ docker_packages | map(\"upperr\") }}'}
    when: docker_packages is definedd
  - debug: {msg: '{{ lookup(\"fil\", \"x\") }} {{ 1 + }}'}
  - command: ls
    notify: restart wep
    when: x ==
  - include_tasks: on.yml
  - include_role: {name: wep}
  - some.where.nothing: {repo: x, dest: y}
  - mine: {}
  - copy: {src: nofile, dest: /x}
  - debug: {msg: '{{ 1 | my_filter }}'}
  handlers:
  - name: restart web
    debug: {msg: '{{ nothing }}'}
",
        ),
        ("one.yml", "[]"),
        ("library/mine.py", ""),
        ("filter_plugins/mine.py", "def filters(self): return {'my_filter': f}"),
        ("roles/web/tasks/main.yml", "- template: {src: web.j2, dst: /x}\n- include_tasks: inner.yml\n"),
        ("roles/web/tasks/inner.yml", "- copyy: {src: x}\n- debug: {msg: '{{ web_prt }}'}\n"),
        ("roles/web/defaults/main.yml", "web_port: 1\n"),
        ("roles/web/templates/web.j2", "line\n{{ web_port | to_jsn }} {{ undefined_here }}\n{% if %}\n"),
    ]), @r#"
    [unknown-argument] roles/web/tasks/main.yml:1:27: `template` has no argument `dst`
      help: did you mean `dest`?
    [file-not-found] site.yml:12:20: no such file: `on.yml`
      help: did you mean `one.yml`?
      note: looked for on.yml
    [role-not-found] site.yml:13:26: no role is named `wep`
      help: did you mean `web`?
      note: looked in roles
      note: looked in .
    [unknown-module] roles/web/tasks/inner.yml:1:3: no module is named `copyy`
      help: did you mean `copy`?
    [undefined-variable] site.yml:5:21: nothing defines `docker_packges`
      help: a variable with a similar name exists: `docker_packages` (site.yml:2)
    [unknown-filter] site.yml:6:26: there is no filter `to_nice_ymal`
      help: did you mean `to_nice_yaml`?
    [unknown-filter] site.yml:6:63: there is no filter `upperr`
      help: did you mean `upper`?
    [unknown-test] site.yml:7:11: there is no test `definedd`
      help: did you mean `defined`?
    [undefined-variable] site.yml:6:22: nothing defines `a`
    [template-syntax] site.yml:8:51: syntax error in template: unexpected end of print statement, expected an expression
    [template-syntax] site.yml:11:15: syntax error in template: unexpected end of the template, expected an expression
    [unknown-handler] site.yml:10:13: no handler is named `restart wep` or listens to it
      help: did you mean `restart web`?
    [not-supported] site.yml:14:5: not supported yet: the module `some.where.nothing`
      help: `kdeploy doc` lists the modules there are
    [not-supported] site.yml:15:5: not supported yet: `mine` is a custom Python module (library/mine.py), and nodes need no Python here
      help: say it with built-in modules, or make it a program in any language that takes the file of JSON that is its argument (with `WANT_JSON` in its text) and prints JSON
    [file-not-found] site.yml:16:17: no such file: `nofile`
      note: looked for files/nofile
      note: looked for nofile
    [not-supported] site.yml:17:26: not supported yet: `my_filter` is a custom Python filter (filter_plugins/mine.py)
      help: say it with the filters there are, or set a variable with what it gives
    [template-syntax] roles/web/templates/web.j2:3:7: syntax error in template: unexpected end of statement block, expected an expression
    [undefined-variable] roles/web/tasks/inner.yml:2:20: nothing defines `web_prt`
      help: a variable with a similar name exists: `web_port` (roles/web/defaults/main.yml:1)
    [undefined-variable] site.yml:20:22: nothing defines `nothing`
    "#);
}

#[test]
fn what_no_play_reaches_is_read_too() {
    insta::assert_snapshot!(checked(&[
        ("site.yml", "- hosts: all\n  roles: [used]\n"),
        ("roles/used/tasks/main.yml", "- debug:\n"),
        ("roles/used/tasks/forgotten.yml", "- debug: {msg: '{{ nobody_knows | nofilter }}'}\n  notify: who knows\n"),
        ("roles/used/tasks/broken.yml", "- debug: {msg: \n"),
        ("roles/used/vars/other.yml", "a: [1\n"),
        ("roles/used/templates/deep/a.j2", "{% if %}"),
        ("roles/idle/tasks/main.yml", "- copyy: {}\n- include_tasks: more.yml\n- debug: {msg: '{{ from_the_caller }}'}\n"),
        ("roles/idle/tasks/more.yml", "- debug: {mgs: hello}\n"),
        ("roles/idle/handlers/main.yml", "- name: h\n  debug: {msg: '{{ 1 is notest }}'}\n"),
        ("roles/README.md", "no role"),
        ("tasks/beside.yml", "- debg:\n"),
    ]), @r#"
    [unknown-module] roles/idle/tasks/main.yml:1:3: no module is named `copyy`
      help: did you mean `copy`?
    [unknown-argument] roles/idle/tasks/more.yml:1:11: `debug` has no argument `mgs`
      help: did you mean `msg`?
    [yaml-syntax] roles/used/tasks/broken.yml:1:10: `{` is never closed
      help: add the closing `}`
    [yaml-syntax] roles/used/vars/other.yml:1:4: `[` is never closed
      help: add the closing `]`
    [unknown-module] tasks/beside.yml:1:3: no module is named `debg`
      help: did you mean `debug`?
    [unknown-test] roles/idle/handlers/main.yml:2:20: there is no test `notest`
      help: did you mean `test`?
    [unknown-filter] roles/used/tasks/forgotten.yml:1:35: there is no filter `nofilter`
    [template-syntax] roles/used/templates/deep/a.j2:1:7: syntax error in template: unexpected end of statement block, expected an expression
    "#);
}

#[test]
fn templates_that_include_others() {
    insta::assert_snapshot!(checked(&[
        (
            "site.yml",
            "- hosts: all\n  tasks:\n  - template: {src: a.j2, dest: /x}\n  - debug: {msg: \"{{ lookup('template', 'nol.j2') }}\"}\n",
        ),
        (
            "templates/a.j2",
            "{% set bound = 1 %}{% include 'b.j2' %}{% include 'no.j2' ignore missing %}{% include ['x.j2', 'b.j2'] %}
{% from 'macros.j2' import m with context %}{{ m(1) }}{% include 'bb.j2' %}",
        ),
        ("templates/b.j2", "{{ bound }}{{ unbound }}{% include 'a.j2' %}"),
        ("templates/macros.j2", "{% macro m(x) %}{{ x | nofilter }}{% endmacro %}"),
    ]), @r#"
    [undefined-variable] templates/b.j2:1:15: nothing defines `unbound`
    [unknown-filter] templates/macros.j2:1:24: there is no filter `nofilter`
    [file-not-found] templates/a.j2:2:66: no such file: `bb.j2`
      help: did you mean `b.j2`?
      note: looked for templates/bb.j2
      note: looked for bb.j2
    [file-not-found] site.yml:4:41: no such file: `nol.j2`
      note: looked for templates/nol.j2
      note: looked for nol.j2
    "#);
}

#[test]
fn tags_hosts_files_of_groups_and_handlers() {
    insta::assert_snapshot!(checked_with(&[
        (
            "site.yml",
            "- hosts: nodee
  vars_files: [[no.yml, none.yml], more.yml]
  tasks:
  - debug:
    tags: [one, two]
  - include_vars: mor.yml
  handlers:
  - {name: h, debug: }
  - {name: h, debug: }
- hosts: node:&al*
  tasks:
  - debug:
",
        ),
        ("more.yml", "a: 1\n"),
        ("host_vars/node.yml", "a: 1\n"),
        ("host_vars/nod.yml", "a: [1\n"),
        ("group_vars/all/x.yml", "a: 1\n"),
        ("group_vars/al.yml", "a: 1\n"),
        ("group_vars/README.md", "no variables"),
    ], true), @r#"
    [file-not-found] site.yml:2:17: no such file: `no.yml`
      note: looked for vars/no.yml
      note: looked for no.yml
    [file-not-found] site.yml:6:19: no such file: `mor.yml`
      help: did you mean `more.yml`?
      note: looked for vars/mor.yml
      note: looked for mor.yml
    [unknown-tag] no task has the tag `twoo`
      help: did you mean `two`?
    [yaml-syntax] host_vars/nod.yml:1:4: `[` is never closed
      help: add the closing `]`
    [duplicate-handler] site.yml:9:12: another handler is named `h`, too: only the last one is notified
      help: give it a name of its own; `listen` makes one notification reach several
      note: the first one: site.yml:8:12
    [no-hosts] site.yml:1:10: no host matches `nodee`
      help: `nodee` is neither a group nor a host; did you mean `node`?
    [unknown-variables-file] group_vars/al.yml is read by nobody: no group is named `al`
      help: did you mean `all`?
    [unknown-variables-file] host_vars/nod.yml is read by nobody: no host is named `nod`
      help: did you mean `node`?
    "#);
}

#[test]
fn a_vaulted_file_without_its_password_hides_names() {
    insta::assert_snapshot!(checked_with(&[
        ("site.yml", "- hosts: all\n  vars_files: [secret.yml]\n  tasks:\n  - debug: {msg: '{{ in_there }}'}\n    tags: [one, twoo]\n"),
        ("secret.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
    ], true), @r#"
    [vaulted-file] secret.yml:1:1: `secret.yml` is encrypted with vault
      note: it was not checked, and variables that nothing defines are not told
    "#);
}

#[test]
fn every_filter_and_test_is_known_to_the_engine() {
    let engine = Engine::new(EngineOptions::default());
    for name in crate::template::filters::filter_names() {
        assert!(engine.knows_filter(name), "{name}");
        assert!(engine.knows_filter(&format!("ansible.builtin.{name}")), "{name}");
    }
    for name in crate::template::tests::test_names() {
        assert!(engine.knows_test(name), "{name}");
    }
    for name in ["upper", "default", "d", "mandatory", "selectattr", "tojson", "round"] {
        assert!(engine.knows_filter(name), "{name}");
    }
    assert!(!engine.knows_filter("no_such_filter"));
    assert!(!engine.knows_test("no_such_test"));
}
