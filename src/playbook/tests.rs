//! The loader over small trees of files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::Problems;
use crate::resources::{ArgSpec, Args, Kind, Resource, ResourceType, Setting};
use crate::template::EvalError;
use crate::world::Stop;

use super::*;

fn never(_: Args, _: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    panic!("the loader builds no resources")
}

macro_rules! resource {
    ($name:literal, $qualified:literal, $free:expr, $args:expr) => {
        ResourceType {
            name: $name,
            qualified: &[$qualified],
            doc: "",
            args: $args,
            free_form: $free,
            conduct: crate::resources::Conduct::Declares,
            build: never,
        }
    };
}

/// A few types that stand for all, so that these tests depend on no other room.
static TYPES: &[ResourceType] = &[
    resource!(
        "copy",
        "ansible.builtin.copy",
        None,
        &[
            ArgSpec::new("dest", Kind::Path, "").required(),
            ArgSpec::new("src", Kind::Path, ""),
            ArgSpec::new("content", Kind::Str, ""),
            ArgSpec::new("mode", Kind::Mode, ""),
            ArgSpec::new("backup", Kind::Bool, ""),
        ]
    ),
    resource!(
        "command",
        "ansible.builtin.command",
        Some("cmd"),
        &[
            ArgSpec::new("cmd", Kind::Str, ""),
            ArgSpec::new("chdir", Kind::Path, ""),
            ArgSpec::new("creates", Kind::Path, "")
        ]
    ),
    resource!(
        "debug",
        "ansible.builtin.debug",
        None,
        &[
            ArgSpec::new("msg", Kind::Raw, ""),
            ArgSpec::new("var", Kind::Str, ""),
            ArgSpec::new("verbosity", Kind::Int, "")
        ]
    ),
    resource!(
        "service",
        "ansible.builtin.service",
        None,
        &[
            ArgSpec::new("name", Kind::Str, "").required().aliases(&["service"]),
            ArgSpec::new("state", Kind::Str, "").choices(&["started", "stopped", "restarted"]),
        ]
    ),
    resource!("sysctl", "ansible.posix.sysctl", None, &[ArgSpec::new("name", Kind::Str, "").required()]),
    resource!("set_fact", "ansible.builtin.set_fact", None, &[ArgSpec::new(crate::resources::ANY, Kind::Raw, "")]),
];

fn lookup(name: &str) -> Option<&'static ResourceType> {
    let short = name.strip_prefix("ansible.builtin.").unwrap_or(name);
    TYPES.iter().find(|t| t.name == short || t.qualified.contains(&name))
}

/// Files below a temporary folder.
pub(super) struct Tree(tempfile::TempDir);

impl Tree {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn loader(&self) -> Loader {
        Loader::new(LoaderSettings {
            modules: lookup,
            module_names: || TYPES.iter().map(|t| t.name).collect(),
            // Knows `{{ name }}` only: what the template room would do with more.
            resolve: Some(Arc::new(|node, vars: &StaticVars| {
                let text = node.as_str().unwrap();
                let mut out = text.to_owned();
                while let Some((before, rest)) = out.split_once("{{") {
                    let (name, after) = rest.split_once("}}").unwrap();
                    let name = name.trim();
                    let found = vars.scopes.iter().rev().find_map(|s| s.vars.get(name));
                    let Some(crate::vars::Definition::Written(value)) = found else {
                        return Err(EvalError::Undefined(
                            crate::problem::Problem::new("undefined-variable", format!("`{name}` is undefined"))
                                .at(&node.span),
                        ));
                    };
                    out = format!("{before}{}{after}", value.as_str().unwrap());
                }
                Ok(minijinja::Value::from(out))
            })),
            ..LoaderSettings::default()
        })
    }

    fn load(&self) -> Result<Loaded<Playbook>, Problems> {
        self.loader().playbook(self.path("site.yml"))
    }

    /// The problems of site.yml, with paths relative to the tree.
    fn problems(&self) -> String {
        problems_text(&self.load().err().unwrap_or_default().0, self)
    }
}

/// Problems with paths relative to the tree.
pub(super) fn problems_text(problems: &[crate::problem::Problem], tree: &Tree) -> String {
    let mut text = String::new();
    for p in problems {
        text += &format!("[{}] {p}\n", p.code);
        for help in &p.help {
            text += &format!("  help: {help}\n");
        }
        for note in &p.notes {
            text += &format!("  note: {note}\n");
        }
    }
    let root = tree.0.path().display().to_string();
    text.replace(&format!("{root}/"), "").replace(&root, ".")
}

/// Problems of a play with these tasks.
fn task_problems(tasks: &str) -> String {
    Tree::new(&[("site.yml", &format!("- hosts: all\n  tasks:\n{tasks}"))]).problems()
}

/// The only play's tasks, one line each, blocks indented.
pub(super) fn outline(items: &[Item], depth: usize) -> String {
    let mut text = String::new();
    let indent = "  ".repeat(depth);
    for item in items {
        match item {
            Item::Task(t) => {
                let name = t.keywords.name_text().unwrap_or("-");
                let role = t.role.as_ref().map_or(String::new(), |r| format!("{} : ", r.role.name));
                text += &format!("{indent}{role}{name} {}\n", t.written);
            }
            Item::Block(b) => {
                text += &format!("{indent}{:?}\n", b.origin);
                text += &outline(&b.block, depth + 1);
                for (label, items) in [("rescue", &b.rescue), ("always", &b.always)] {
                    if !items.is_empty() {
                        text += &format!("{indent}{label}\n{}", outline(items, depth + 1));
                    }
                }
            }
        }
    }
    text
}

fn first_task(play: &Play) -> &Task {
    match &play.tasks[0] {
        Item::Task(t) => t,
        Item::Block(_) => panic!("a block"),
    }
}

fn args_text(args: &TaskArgs) -> String {
    let named = |n: &[(crate::yaml::Node, crate::yaml::Node)]| {
        n.iter()
            .map(|(k, v)| format!("{}={}", k.as_str().unwrap_or("?"), v.as_str().unwrap_or(v.kind())))
            .collect::<Vec<_>>()
            .join(" ")
    };
    match args {
        TaskArgs::Named(n) => format!("named [{}]", named(n)),
        TaskArgs::Free(t, n) => format!("free {:?} [{}]", t.as_str().unwrap(), named(n)),
        TaskArgs::Template(t, n) => format!("template {:?} [{}]", t.as_str().unwrap(), named(n)),
    }
}

fn load_one(task: &str) -> Task {
    let tree = Tree::new(&[("site.yml", &format!("- hosts: all\n  tasks:\n{task}"))]);
    let loaded = tree.load().unwrap_or_else(|p| panic!("{p}"));
    first_task(&loaded.value.plays[0]).clone()
}

#[test]
fn arguments_come_in_every_form() {
    for (task, wanted) in [
        ("  - copy: src=a dest=/b mode=0644", "named [src=a dest=/b mode=0644]"),
        ("  - copy: {src: a, dest: /b}", "named [src=a dest=/b]"),
        ("  - action: copy src=a dest=/b", "named [src=a dest=/b]"),
        ("  - action: {module: copy, src: a, dest: /b}", "named [src=a dest=/b]"),
        ("  - action: {module: copy src=a, args: {dest: /b}}", "named [src=a dest=/b]"),
        ("  - copy: {dest: /b}\n    args: {src: a, dest: /c}", "named [src=a dest=/b]"),
        ("  - command: ls -l chdir=/tmp a=b", "free \"ls -l a=b\" [chdir=/tmp]"),
        ("  - command: ls\n    args: {chdir: /tmp}", "free \"ls\" [chdir=/tmp]"),
        ("  - command: {cmd: 'ls \\ x'}", "named [cmd=ls \\ x]"),
        ("  - command: >\n      echo a \\\n        b\n", "free \"echo a  b\\n\" []"),
        ("  - copy: \"{{ args_of_copy }}\"", "template \"{{ args_of_copy }}\" []"),
        ("  - copy:\n    args: \"{{ x }}\"", "template \"{{ x }}\" []"),
        (
            "  - copy: \"{{ a | combine(b if c == d else e) }}\"",
            "template \"{{ a | combine(b if c == d else e) }}\" []",
        ),
        ("  - command: ls\n    args: \"{{ x }}\"", "template \"{{ x }}\" [_raw_params=ls]"),
        ("  - set_fact: a=1 b=\"x y\"", "named [a=1 b=x y]"),
        ("  - include_tasks: x.yml", "named [file=x.yml]"),
        ("  - include_tasks: {file: x.yml, apply: {tags: a}}", "named [file=x.yml]"),
        ("  - include_role: name=r tasks_from=x", "named [name=r tasks_from=x]"),
        ("  - include_role: {role: r}", "named [role=r]"),
    ] {
        assert_eq!(args_text(&load_one(task).args), wanted, "{task}");
    }
}

#[test]
fn local_action_is_delegated_to_localhost() {
    for task in ["  - local_action: command ls", "  - local_action: {module: command, cmd: ls}"] {
        let task = load_one(task);
        assert_eq!(task.keywords.delegate_to.and_then(|n| n.as_str().map(str::to_owned)).as_deref(), Some("localhost"));
        assert_eq!(task.written, "command");
    }
}

#[test]
fn qualified_names_find_their_type() {
    for name in ["copy", "ansible.builtin.copy"] {
        let task = load_one(&format!("  - {name}: {{dest: /x}}"));
        assert!(matches!(&task.action, Action::Module { name: n, written } if n == "copy" && written == name));
    }
    let task = load_one("  - ansible.posix.sysctl: {name: x}");
    assert!(matches!(&task.action, Action::Module { name, .. } if name == "sysctl"));
    // Known to Ansible but not to kdeploy: loaded, and an error only where it would run.
    for name in ["community.general.nosuch", "git"] {
        let task = load_one(&format!("  - {name}: {{x: y}}"));
        assert!(matches!(task.action, Action::Unknown { .. }));
        assert_eq!(task.unknown_module().message, format!("not supported yet: the module `{name}`"));
    }
}

#[test]
fn collections_are_searched_for_short_names() {
    let tree =
        Tree::new(&[("site.yml", "- hosts: all\n  collections: [ansible.posix]\n  tasks:\n  - sysctl: {name: x}\n")]);
    assert!(tree.load().is_ok());
    // One that is not here may be in the collection; a mistyped keyword is still one.
    let tree = Tree::new(&[(
        "site.yml",
        "- hosts: all\n  collections: [my.own]\n  tasks:\n  - special: {name: x}\n  - special: {}\n    whenn: x\n",
    )]);
    insta::assert_snapshot!(tree.problems(), @r#"
    [unknown-keyword] site.yml:6:5: `whenn` is not a keyword of a task
      help: did you mean `when`?
    "#);
}

#[test]
fn all_problems_are_found_in_one_go() {
    let tree = Tree::new(&[
        (
            "site.yml",
            "- hosts: all\n  becom: true\n  tasks:\n  - import_tasks: tasks/a.yml\n  - copi: {dest: /x}\n\
             - hosts: all\n  roles: [web]\n- tasks: []\n",
        ),
        ("tasks/a.yml", "- copy: {dst: /x}\n  whne: true\n"),
        ("roles/web/tasks/main.yml", "- service: name=x state=startd\n"),
        ("roles/web/handlers/main.yml", "- block:\n  - block: []\n"),
    ]);
    insta::assert_snapshot!(tree.problems(), @r#"
    [unknown-keyword] site.yml:2:3: `becom` is not a keyword of a play
      help: did you mean `become`?
    [unknown-keyword] tasks/a.yml:2:3: `whne` is not a keyword of a task
      help: did you mean `when`?
    [unknown-argument] tasks/a.yml:1:10: `copy` has no argument `dst`
      help: did you mean `dest`?
      help: arguments of `copy`: dest, src, content, mode, backup
    [missing-argument] tasks/a.yml:1:3: `copy` needs the argument `dest`
    [unknown-module] site.yml:5:5: no module is named `copi`
      help: did you mean `copy`?
    [invalid-argument] roles/web/tasks/main.yml:1:25: `state` of `service` must be one of started, stopped, restarted, not `startd`
      help: did you mean `started`?
    [misplaced] roles/web/handlers/main.yml:2:5: a block within a block cannot hold handlers
      help: make each of its tasks a handler, with one `listen` topic for all
    [missing-keyword] site.yml:8:3: a play needs `hosts`
      help: write `hosts: PATTERN`, e.g. a group of the inventory, or `hosts: localhost`
    "#);
}

#[test]
fn tasks_say_one_thing() {
    insta::assert_snapshot!(task_problems(
        "  - debug: {msg: hi}
    command: ls
  - name: nothing
  - name: two loops
    debug: {}
    loop: [1]
    with_items: [1]
  - name: old
    sudo: true
    command: ls
  - include: x.yml
  - action: debug msg=x
    local_action: debug msg=y
  - block: [{debug: {}}]
    loop: [1]
    register: x
  - rescue: [{debug: {}}]
  - debug: 'msg=\"x'
  - debug: hello
  - import_tasks: x.yml
    loop: [1]
  - include_tasks: {file: x.yml, aply: {}}
  - include_tasks: x.yml
    become: true
  - include_role: {tasks_from: x}
  - meta: flush_handler
  - meta: end_role
  - just text
  - debug: {}
    frobnicate: 1
"
    ), @r#"
    [conflicting-statements] site.yml:4:5: a task does one thing, but this one has `debug` and `command`
      help: make two tasks of it, or a block
      note: `debug` is at site.yml:3:5
    [no-module] site.yml:5:5: this task has no module: nothing says what it does
      help: name a module, e.g. `ansible.builtin.command: …`
    [conflicting-statements] site.yml:9:5: a task loops once; `with_items` is its second loop
    [unknown-keyword] site.yml:11:5: `sudo` is not a keyword of a task
      help: write `become: true`
    [removed] site.yml:13:5: `include` was removed from the language in ansible-core 2.16
      help: use `include_tasks` (at run time) or `import_tasks` (while files are loaded)
    [conflicting-statements] site.yml:15:5: `action` and `local_action` exclude each other
    [unknown-keyword] site.yml:17:5: `loop` is not a keyword of a block
      help: a block cannot loop: put its tasks in a file and loop over `include_tasks`
    [unknown-keyword] site.yml:18:5: `register` is not a keyword of a block
      help: register the result of each task in the block
    [missing-keyword] site.yml:19:5: `rescue` stands without a `block`
    [unbalanced] site.yml:20:12: a quote or a template in the arguments of `debug` never ends
      help: write the arguments as a mapping, one per line
    [free-form] site.yml:21:12: `debug` takes arguments by name, not the text `hello`
      help: write `debug:` and its arguments below it, one per line as `name: value`
    [conflicting-statements] site.yml:23:5: `import_tasks` cannot loop
      help: use `include_tasks`, which can
    [unknown-argument] site.yml:24:34: `include_tasks` has no option `aply`
      help: did you mean `apply`?
      help: variables for the file go under `vars:`
    [unknown-keyword] site.yml:26:5: `become` is not a keyword of an `include_tasks`
      help: to hand `become` on to what is included, put it under `apply:`
    [missing-argument] site.yml:27:5: `include_role` names no role
    [unknown-meta] site.yml:28:11: `meta` cannot do `flush_handler`
      help: did you mean `flush_handlers`?
      help: one of: flush_handlers, refresh_inventory, noop, clear_facts, clear_host_errors, end_play, end_host, end_batch, end_role, reset_connection
    [misplaced] site.yml:29:11: `end_role` cannot stand outside of a role
    [wrong-type] site.yml:30:5: a task must be a mapping, not `just text`
      help: write `- name: …` and the module below it
    [unknown-keyword] site.yml:32:5: `frobnicate` is not a keyword of a task
    "#);
}

#[test]
fn values_have_types() {
    insta::assert_snapshot!(task_problems(
        "  - debug: {}
    tags: 3
  - debug: {}
    tags:
  - debug: {}
    become: maybe
  - debug: {}
    retries: many
  - debug: {}
    name: [a]
  - debug: {}
    vars: [a]
  - debug: {}
    vars: {a-b: 1}
  - debug: {}
    register: '{{ x }}'
  - debug: {}
    loop: 5
  - debug: {}
    loop: {a: b}
  - debug: {}
    with_itms: [1]
  - debug: {}
    loop_control: {loopvar: x, index_var: 1x}
  - debug: {verbosity: x}
  - copy: {dest: /x, backup: perhaps}
  - service: {state: '{{ x }}'}
  - debug: [a]
  - debug: {}
    environment: text
"
    ), @r#"
    [wrong-type] site.yml:4:11: `tags` must be text or a list of texts, not `3`
    [wrong-type] site.yml:6:9: `tags` must be text or a list of texts, not nothing
    [wrong-type] site.yml:8:13: `become` must be true or false, not `maybe`
    [wrong-type] site.yml:10:14: `retries` must be a whole number, not `many`
    [wrong-type] site.yml:12:11: `name` must be text, not a list
    [wrong-type] site.yml:14:11: `vars` must be a mapping, not a list
    [invalid-variable-name] site.yml:16:12: `a-b` cannot be the name of a variable
      help: write `a_b`
    [invalid-variable-name] site.yml:18:15: `{{ x }}` cannot be the name of a variable
      help: a name has letters, digits and `_`, and does not begin with a digit
    [wrong-type] site.yml:20:11: `loop` must be a list or a template of one, not `5`
      help: write `loop: […]`, or a template
    [wrong-type] site.yml:22:11: `loop` must be a list or a template of one, not a mapping
      help: for a mapping write `loop: "{{ mapping | dict2items }}"`
    [unknown-keyword] site.yml:24:5: `with_itms`: no lookup is named `itms`
      help: did you mean `items`?
    [unknown-keyword] site.yml:26:20: `loop_control` has no `loopvar`
      help: did you mean `loop_var`?
    [invalid-variable-name] site.yml:26:43: `1x` cannot be the name of a variable
      help: a name has letters, digits and `_`, and does not begin with a digit
    [invalid-argument] site.yml:27:24: `verbosity` of `debug` must be a whole number, not `x`
    [invalid-argument] site.yml:28:30: `backup` of `copy` must be a boolean (yes or no), not `perhaps`
    [missing-argument] site.yml:29:5: `service` needs the argument `name`
    [wrong-type] site.yml:30:12: the arguments of `debug` must be a mapping or text, not a list
    [wrong-type] site.yml:32:18: `environment` must be a mapping, not `text`
    "#);
}

#[test]
fn templated_values_pass() {
    let task = load_one(
        "  - debug: {verbosity: '{{ v }}'}
    become: '{{ b }}'
    tags: '{{ t }},x'
    retries: '{{ r }}'
    environment: '{{ e }}'
    when: '{{ w }}'
    loop: '{{ l }}'
    ignore_errors: yes
    no_log: 'on'
",
    );
    let tags: Vec<_> = task.keywords.tags.iter().map(|t| t.as_str().unwrap().to_owned()).collect();
    assert_eq!(tags, ["{{ t }}", "x"]);
}

#[test]
fn a_play_needs_hosts_and_known_keywords() {
    let tree = Tree::new(&[(
        "site.yml",
        "- name: x\n  tasks: []\n- hosts:\n- hosts: [a, '']\n- hosts: {a: b}\n- hosts: a\n  when: true\n  command: ls\n  \
         order: random\n  serial: [1, 50%]\n  max_fail_percentage: half\n  tasks: {debug: {}}\n  roles: x\n  \
         vars_prompt: [{prompt: x}, {name: x, privat: no}]\n- just text\n- hosts: a\n  user: b\n  remote_user: c\n",
    )]);
    insta::assert_snapshot!(tree.problems(), @r#"
    [missing-keyword] site.yml:1:3: a play needs `hosts`
      help: write `hosts: PATTERN`, e.g. a group of the inventory, or `hosts: localhost`
    [missing-keyword] site.yml:3:3: `hosts` of a play cannot be empty
    [missing-keyword] site.yml:4:3: `hosts` of a play cannot be empty
    [wrong-type] site.yml:5:10: `hosts` must be a pattern or a list of patterns, not a mapping
    [unknown-keyword] site.yml:7:3: `when` is not a keyword of a play
      help: put the condition on the play's tasks, roles or blocks
    [misplaced] site.yml:8:3: `command` is a task's module and cannot stand on a play
      help: put it in the play's `tasks:`
    [wrong-value] site.yml:9:10: `order` cannot be `random`
      help: one of: inventory, sorted, reverse_sorted, reverse_inventory, shuffle
    [wrong-type] site.yml:11:24: `max_fail_percentage` must be a percentage, not `half`
    [missing-keyword] site.yml:14:17: a prompt needs the `name` of its variable
    [unknown-keyword] site.yml:14:40: `vars_prompt` has no `privat`
      help: did you mean `private`?
    [wrong-type] site.yml:13:10: `roles` must be a list, not `x`
    [wrong-type] site.yml:12:10: `tasks` must be a list of tasks, not a mapping
      help: begin each task with `- `
    [wrong-type] site.yml:15:3: a play must be a mapping, not `just text`
    [conflicting-statements] site.yml:17:3: a play has `user` or `remote_user`, not both
      help: remove `user`: it is the old name
    "#);
}

#[test]
fn imports_stand_in_place_with_their_keywords() {
    let tree = Tree::new(&[
        (
            "site.yml",
            "- hosts: all
  vars: {which: b}
  tasks:
  - debug: {}
    name: first
  - import_tasks: tasks/a.yml
    when: cond
    tags: [t]
  - name: block
    block:
    - import_tasks: 'tasks/{{ which }}.yml'
    rescue:
    - debug: {}
",
        ),
        ("tasks/a.yml", "- name: in a\n  debug: {}\n- import_tasks: b.yml\n"),
        ("tasks/b.yml", "- name: in b\n  debug: {}\n- include_tasks: never-read.yml\n"),
    ]);
    let play = tree.load().unwrap_or_else(|p| panic!("{p}")).value.plays[0].clone();
    insta::assert_snapshot!(outline(&play.tasks, 0), @r#"
    first debug
    ImportTasks
      in a debug
      ImportTasks
        in b debug
        - include_tasks
    Written
      ImportTasks
        in b debug
        - include_tasks
    rescue
      - debug
    "#);
    let Item::Block(import) = &play.tasks[1] else { panic!() };
    assert_eq!(import.keywords.when.len(), 1);
    assert_eq!(import.keywords.tags.len(), 1);
}

#[test]
fn imports_that_cannot_be() {
    let tree = Tree::new(&[
        (
            "site.yml",
            "- hosts: all
  tasks:
  - import_tasks: tsks.yml
  - import_tasks: '{{ fact }}.yml'
  - import_tasks: loop.yml
  - import_role: {name: wep}
  - import_role: {name: web, tasks_from: instal}
  - import_role: {name: self}
  - import_tasks: play.yml
  - import_tasks: map.yml
- import_playbook: sit.yml
- import_playbook: site.yml
",
        ),
        ("tasks.yml", "[]"),
        ("loop.yml", "- import_tasks: loop2.yml"),
        ("loop2.yml", "- import_tasks: loop.yml"),
        ("roles/web/tasks/install.yml", "[]"),
        ("roles/self/meta/main.yml", "dependencies: [self]"),
        ("play.yml", "- hosts: all\n  tasks: []\n"),
        ("map.yml", "debug: {}\n"),
    ]);
    insta::assert_snapshot!(tree.problems(), @r#"
    [file-not-found] site.yml:3:19: no such file: `tsks.yml`
      help: did you mean `tasks.yml`?
      note: looked for tsks.yml
    [unresolved-import] site.yml:4:19: the file name of `import_tasks` cannot be resolved before the run: `fact` is undefined
      help: a static import may use variables of `vars`, of the role and of -e only: those of the inventory and facts are not known yet; `include_tasks` and `include_role` may use all
    [import-cycle] loop2.yml:1:17: loop.yml imports itself, which never ends
      help: `include_tasks` with a condition may include its own file
      note: through loop.yml
      note: through loop2.yml
    [role-not-found] site.yml:6:25: no role is named `wep`
      help: did you mean `web`?
      note: looked in roles
      note: looked in .
    [file-not-found] site.yml:7:25: the role `web` has no tasks/instal
      help: did you mean `install`?
    [role-cycle] roles/self/meta/main.yml:1:16: the role `self` needs itself, which never ends
      note: through self
    [misplaced] play.yml:1:3: a play cannot stand in a file of tasks
      help: use `import_playbook` among the plays of a playbook
    [wrong-type] map.yml:1:1: a file of tasks must hold a list, not a mapping
      help: begin each task with `- `
    [file-not-found] site.yml:11:20: no such playbook: `sit.yml`
      help: did you mean `site.yml`?
      note: looked for sit.yml
    [import-cycle] site.yml:12:20: site.yml imports itself, which never ends
    "#);
}

#[test]
fn roles_bring_their_files() {
    let tree = Tree::new(&[
        (
            "site.yml",
            "- hosts: all
  roles:
  - base
  - role: web
    web_port: 80
    vars: {a: b}
    tags: [w, x]
    when: cond
  tasks:
  - import_role: {name: base, tasks_from: extra}
    tags: imported
",
        ),
        ("roles/base/tasks/main.yml", "- name: base main\n  debug: {}\n"),
        ("roles/base/tasks/extra.yml", "- name: base extra\n  debug: {}\n"),
        ("roles/base/handlers/main.yml", "- name: restart\n  service: name=x\n- import_tasks: more.yml\n"),
        ("roles/base/handlers/more.yml", "- name: reload\n  service: name=x\n"),
        ("roles/base/defaults/main/b.yml", "x: later\n"),
        ("roles/base/defaults/main/a.yml", "x: first\ny: 1\n"),
        ("roles/base/defaults/main/.hidden.yml", "x: no\n"),
        ("roles/base/vars/main.yaml", "v: 1\n"),
        ("roles/web/meta/main.yml", "dependencies:\n- role: base\n  tags: dep\nallow_duplicates: true\n"),
        (
            "roles/web/meta/argument_specs.yml",
            "argument_specs:\n  main:\n    short_description: Serve\n    options: {web_port: {type: int}}\n",
        ),
        ("roles/web/tasks/main.yml", "- name: web main\n  debug: {}\n- import_tasks: sub/one.yml\n"),
        ("roles/web/tasks/sub/one.yml", "- name: one\n  debug: {}\n- import_tasks: two.yml\n"),
        ("roles/web/tasks/sub/two.yml", "- name: two\n  debug: {}\n"),
    ]);
    let play = tree.load().unwrap_or_else(|p| panic!("{p}")).value.plays[0].clone();
    let mut text = String::new();
    for role in &play.roles {
        text += &outline(&[role.as_block()], 0);
    }
    text += &outline(&play.tasks, 0);
    insta::assert_snapshot!(text, @r#"
    Role
      base : base main debug
    Role
      Role
        base : base main debug
      web : Validating arguments against arg spec 'main' - Serve ansible.builtin.validate_argument_spec
      web : web main debug
      ImportTasks
        web : one debug
        ImportTasks
          web : two debug
    ImportRole
      base : base extra debug
    "#);
    let web = &play.roles[1];
    assert_eq!(web.params.len(), 1);
    assert_eq!(web.keywords.tags.len(), 2);
    assert!(web.allow_duplicates);
    assert_eq!(web.dependencies[0].parents, ["web"]);
    assert_eq!(web.dependencies[0].ancestors[0].id, web.id);
    let base = &play.roles[0];
    let defaults: Vec<&str> = base.defaults.iter().map(|(k, _)| k.as_str()).collect();
    assert_eq!(defaults, ["x", "y", "x"]);
    assert_eq!(base.defaults[2].1.as_str(), Some("later"));
    assert_eq!(outline(&base.handlers, 0), "base : restart service\nImportTasks\n  base : reload service\n");
    // The same role with other tags is another use of it; the same twice is one.
    assert_ne!(base.identity, web.dependencies[0].identity);
    assert_eq!(play.imported_roles.len(), 1);
    assert_eq!(play.imported_roles[0].entry_point, "extra");
}

#[test]
fn the_same_role_twice_is_one_identity() {
    let tree = Tree::new(&[
        ("site.yml", "- hosts: all\n  roles: [a, a, {role: a, p: 1}, {role: a, vars: {p: 1}}]\n"),
        ("roles/a/tasks/main.yml", "[]"),
    ]);
    let play = tree.load().unwrap().value.plays[0].clone();
    let ids: Vec<_> = play.roles.iter().map(|r| r.identity.clone()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    assert_ne!(ids[2], ids[3]);
    assert_ne!(play.roles[0].id, play.roles[1].id);
}

#[test]
fn roles_are_found_in_collections_and_paths() {
    let tree = Tree::new(&[
        (
            "play/site.yml",
            "- hosts: all\n  collections: [my.tools]\n  roles: [my.tools.one, two, ../elsewhere/three, four]\n",
        ),
        ("play/collections/ansible_collections/my/tools/roles/one/tasks/main.yml", "- debug: {}\n"),
        ("play/collections/ansible_collections/my/tools/roles/two/meta/main.yml", "dependencies: [one]\n"),
        ("elsewhere/three/tasks/main.yml", "- debug: {}\n"),
        ("play/four/tasks/main.yml", "- debug: {}\n"),
    ]);
    let play =
        tree.loader().playbook(tree.path("play/site.yml")).unwrap_or_else(|p| panic!("{p}")).value.plays[0].clone();
    let names: Vec<&str> = play.roles.iter().map(|r| r.role.name.as_str()).collect();
    assert_eq!(names, ["my.tools.one", "my.tools.two", "../elsewhere/three", "four"]);
    assert_eq!(play.roles[1].dependencies[0].role.name, "my.tools.one");
}

#[test]
fn imported_playbooks_hand_on_what_stands_on_the_import() {
    let tree = Tree::new(&[
        (
            "site.yml",
            "- import_playbook: sub/{{ which }}.yml\n  vars: {which: b, x: 1}\n  when: cond\n  tags: t\n- hosts: z\n",
        ),
        ("sub/b.yml", "- hosts: a\n  vars: {x: 2}\n  roles: [r]\n- import_playbook: c.yml\n"),
        ("sub/c.yml", "- hosts: c\n"),
        ("sub/roles/r/tasks/main.yml", "[]"),
    ]);
    let plays = tree.load().unwrap_or_else(|p| panic!("{p}")).value.plays;
    let hosts: Vec<&str> = plays.iter().map(|p| p.hosts.as_str().unwrap()).collect();
    assert_eq!(hosts, ["a", "c", "z"]);
    assert_eq!(plays[1].import_keywords.len(), 2);
    assert_eq!(plays[1].import_keywords[0].tags.len(), 1);
    assert_eq!(plays[1].import_vars.len(), 2);
    assert!(plays[2].import_keywords.is_empty());
    assert_eq!(plays[0].playbook, tree.path("sub/b.yml"));
}

#[test]
fn custom_modules_are_named_for_what_they_are() {
    let tree = Tree::new(&[
        ("site.yml", "- hosts: all\n  roles: [r]\n  tasks:\n  - mine: {a: b}\n  - prog: {}\n"),
        ("library/mine.py", "#!/usr/bin/python\n"),
        ("library/prog.sh", "#!/bin/sh\n"),
        ("roles/r/tasks/main.yml", "- own: {}\n- mine: {}\n"),
        ("roles/r/action_plugins/own.py", ""),
    ]);
    let play = tree.load().unwrap_or_else(|p| panic!("{p}")).value.plays[0].clone();
    let tasks = play.tasks.iter().chain(&play.roles[0].tasks);
    let kinds: Vec<_> = tasks
        .map(|i| match i {
            Item::Task(t) => t.custom.as_ref().map(|c| c.kind),
            Item::Block(_) => None,
        })
        .collect();
    assert_eq!(
        kinds,
        [
            Some(CustomKind::PythonModule),
            Some(CustomKind::Executable),
            Some(CustomKind::ActionPlugin),
            Some(CustomKind::PythonModule)
        ]
    );
    let message = first_task(&play).unknown_module().message;
    assert!(message.starts_with("not supported yet: `mine` is a custom Python module ("), "{message}");
}

#[test]
fn included_files_are_found_as_ansible_finds_them() {
    let tree = Tree::new(&[
        ("site.yml", "- hosts: all\n  roles: [r]\n"),
        ("roles/r/tasks/main.yml", "- include_tasks: x.yml\n"),
        ("roles/r/tasks/sub/a.yml", "- debug: {}\n"),
        ("roles/r/tasks/sub/x.yml", "- debug: {}\n"),
        ("roles/r/tasks/x.yml", "- name: mine\n  debug: {}\n"),
        ("tasks/p.yml", "- debug: {}\n"),
        ("roles/other/tasks/y.yml", "- debug: {}\n"),
    ]);
    let loader = tree.loader();
    let role = loader.playbook(tree.path("site.yml")).unwrap().value.plays[0].roles[0].clone();
    let at = crate::source::Span::of_file(&crate::source::SourceFile::new(tree.path("roles/r/tasks/sub/a.yml"), ""));
    let find = |name: &str| {
        find_included(name, &at, Some(&role), Path::new(&tree.path("")), false).map(|p| super::roles::tidy(&p))
    };
    assert_eq!(find("x.yml").unwrap(), tree.path("roles/r/tasks/x.yml"));
    assert_eq!(find("a.yml").unwrap(), tree.path("roles/r/tasks/sub/a.yml"));
    assert_eq!(find("p.yml").unwrap(), tree.path("tasks/p.yml"));
    assert_eq!(find("../../other/tasks/y.yml").unwrap(), tree.path("roles/other/tasks/y.yml"));
    assert!(find("z.yml").unwrap_err().notes.len() >= 3);
    let items = loader.tasks_file(find("x.yml").unwrap(), Some(&role), false).unwrap();
    assert_eq!(outline(&items, 0), "r : mine debug\n");
}

#[test]
fn a_role_is_loaded_at_run_time_with_its_options() {
    let tree = Tree::new(&[
        ("roles/r/tasks/other.yml", "- name: other\n  debug: {}\n"),
        ("roles/r/vars/special.yml", "a: 1\n"),
        ("roles/r/meta/main.yml", "dependencies: [d]\n"),
        ("roles/d/tasks/main.yml", "- name: dep\n  debug: {}\n"),
    ]);
    let at = crate::source::Span::of_file(&crate::source::SourceFile::new(tree.path("site.yml"), ""));
    let call = RoleCall {
        tasks_from: Some("other".to_owned()),
        vars_from: Some("special.yml".to_owned()),
        playbook_dir: tree.path(""),
        from_include: true,
        allow_duplicates: Some(true),
        ..RoleCall::default()
    };
    let role = tree.loader().role("r", &call, &at).unwrap();
    assert_eq!(outline(&role.items(), 0), "Role\n  d : dep debug\nr : other debug\n");
    assert_eq!(role.vars.len(), 1);
    assert_eq!(role.with_dependencies().len(), 2);
}
