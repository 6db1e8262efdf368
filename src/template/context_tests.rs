//! The evaluator as others use it: places, unknown values, lazy variables, files.

use std::sync::Arc;

use minijinja::Value;

use super::{Context, Engine, EngineOptions, EvalError, SearchPaths, Unknown, text};
use crate::problem::Problem;
use crate::resources::TemplateRequest;
use crate::vars::Scope;
use crate::yaml::{Node, parse_text};

fn node(yaml: &str) -> Node {
    parse_text("input.yml", yaml).expect("YAML").single().expect("one document")
}

fn scope(label: &str, yaml: &str) -> Arc<Scope> {
    let node = parse_text(label, yaml).expect("YAML").single().expect("one document");
    let entries = node.as_map().expect("a mapping").iter();
    Scope::written(label, entries.map(|(k, v)| (k.as_str().expect("text").to_owned(), v.clone())))
}

fn context(yaml: &str) -> Context {
    let engine = Engine::new(EngineOptions::default());
    Context::new(&engine, vec![scope("vars.yml", yaml)], Arc::default())
}

fn unknown(name: &str) -> Value {
    Unknown::after_step(name).into_value()
}

fn with_unknown(yaml: &str) -> Context {
    let finals = [("u".to_owned(), unknown("a")), ("w".to_owned(), unknown("b"))];
    context(yaml).with([Scope::finals("registered", finals)])
}

fn problem<T: std::fmt::Debug>(result: Result<T, EvalError>) -> Problem {
    match result {
        Err(EvalError::Undefined(p) | EvalError::Failed(p)) => p,
        other => panic!("expected a problem, got {:.200}", format!("{other:?}")),
    }
}

fn place(problem: &Problem) -> String {
    problem.span.as_ref().expect("a place").to_string()
}

#[test]
fn an_undefined_variable_is_named_with_its_place_and_the_nearest_name() {
    let c = context("docker_packages: [a]\nx: 1");
    let p = problem(c.value(&node("name: install\nargs: \"all of {{ docker_packges | join(',') }}\"")));
    assert_eq!(p.message, "`docker_packges` is undefined");
    assert_eq!(place(&p), "input.yml:2:18");
    assert_eq!(p.help, ["a variable with a similar name exists: `docker_packages` (vars.yml:1)"]);
}

#[test]
fn places_within_block_scalars_are_exact() {
    let p = problem(context("a: 1").value(&node("x: |\n  first\n  second {{ nope }}\n")));
    assert_eq!(place(&p), "input.yml:3:13");
}

#[test]
fn an_error_in_a_lazy_variable_stands_in_its_own_file_and_says_where_it_was_used() {
    let c = context("outer: \"{{ inner }}\"\ninner: \"{{ 1 + 'a' }}\"");
    let p = problem(c.value(&node("key: \"{{ outer }}\"")));
    assert_eq!(place(&p), "vars.yml:2:12");
    assert_eq!(
        p.notes,
        ["in the value of `inner`, used at vars.yml:1:12", "in the value of `outer`, used at input.yml:1:10"]
    );
}

#[test]
fn an_undefined_attribute_says_what_the_mapping_has() {
    let c = context("d: {version: 1, checksum: a}");
    let p = problem(c.value(&node("\"{{ d.versoin }}\"")));
    assert_eq!(p.message, "a mapping has no attribute `versoin`");
    assert_eq!(p.help, ["did you mean `version`?"]);
}

#[test]
fn elements_of_a_variable_fail_only_when_they_are_used() {
    let c = context("d:\n  good: 1\n  bad: \"{{ nope }}\"\n  worse: \"{{ 1 / 0 }}\"\nl: [1, \"{{ nope }}\"]");
    assert_eq!(text(&c.value(&node("\"{{ d.good }}\"")).unwrap()), "1");
    assert_eq!(text(&c.value(&node("\"{{ d.bad | default('x') }}\"")).unwrap()), "x");
    assert_eq!(text(&c.value(&node("\"{{ l | length }}\"")).unwrap()), "2");
    assert!(matches!(c.value(&node("\"{{ d }}\"")), Err(EvalError::Undefined(_))));
    assert!(problem(c.value(&node("\"{{ d.worse | default(3) }}\""))).message.contains("division by zero"));
    assert!(matches!(c.variable("d"), Err(EvalError::Undefined(_))));
}

#[test]
fn a_variable_that_needs_itself_is_an_error_with_the_chain() {
    let c = context("a: \"{{ b }}\"\nb: \"x{{ c }}\"\nc: \"{{ a }}\"\nd: {x: \"{{ d.x }}\", y: \"{{ d.z }}\", z: 1}");
    let p = problem(c.variable("a"));
    assert_eq!(p.message, "recursive loop detected in template: `a` needs `b` needs `c` needs `a`");
    assert!(problem(c.value(&node("\"{{ d.x }}\""))).message.contains("recursive loop"));
    assert_eq!(text(&c.value(&node("\"{{ d.y }}\"")).unwrap()), "1");
}

#[test]
fn final_values_are_never_templates() {
    let c =
        context("a: \"{{ fact }}\"").with([Scope::finals("facts", [("fact".to_owned(), Value::from("{{ 1 + 1 }}"))])]);
    assert_eq!(text(&c.variable("a").unwrap().unwrap()), "{{ 1 + 1 }}");
    // Nor conditions: what a node answers is not evaluated.
    let hostile = c.with([Scope::finals("facts", [("fact".to_owned(), Value::from("1 == 1"))])]);
    assert!(problem(hostile.condition(&node("\"{{ fact }}\""))).message.contains("not a boolean"));
}

#[test]
fn unknown_values_spread_as_late_as_possible() {
    let c = with_unknown("l: [1, 2]\nd: {a: 1}\nlazy: \"{{ u.stdout }}\"\nmixed: {known: 1, later: \"{{ u.x }}\"}");
    let known = |source: &str, wanted: &str| {
        let value = c.value(&node(&format!("'{}'", source.replace('\'', "''"))));
        assert_eq!(value.as_ref().map(text).map_err(|e| format!("{e:?}")), Ok(wanted.to_owned()), "{source}");
    };
    let waits = |source: &str| {
        let value = c.value(&node(&format!("'{}'", source.replace('\'', "''"))));
        assert!(matches!(value, Err(EvalError::Unknown(_))), "{source}: {value:?}");
    };
    known("{{ u is defined }}", "True");
    known("{{ u.stdout is undefined }}", "False");
    known("{{ false and u }}", "False");
    known("{{ u and false }}", "False");
    known("{{ true or u.x }}", "True");
    known("{{ u.rc == 0 or true }}", "True");
    known("{{ [u, 1] | length }}", "2");
    known("{{ [u, 1] | last }}", "1");
    known("{{ mixed.known }}", "1");
    known("{{ {'a': u, 'b': 2}.b }}", "2");
    known("{{ 1 if d.a else u }}", "1");
    waits("{{ u }}");
    waits("a{{ u.stdout }}b");
    waits("{{ lazy }}");
    waits("{{ u | default(1) }}");
    waits("{{ u.stdout.split()[0] | trim | upper }}");
    waits("{{ not u }}");
    waits("{{ u + 1 }}");
    waits("{{ 'x' if u else 'y' }}");
    waits("{{ [1, u] | join(',') }}");
    waits("{{ l | map('extract', u) | join }}");
    waits("{% for i in u %}{{ i }}{% endfor %}");
    waits("{% if u %}a{% endif %}");
    waits("{{ mixed | to_json }}");
    waits("{{ u in l }}");
    waits("text {{ mixed }}");
    let Err(EvalError::Unknown(both)) = c.value(&node("\"{{ u ~ w }}\"")) else { panic!("unknown") };
    assert_eq!(both.causes.len(), 2);
    // A container keeps its unknown parts.
    let mixed = c.variable("mixed").unwrap().unwrap();
    assert_eq!(text(&mixed.get_attr("known").unwrap()), "1");
    assert!(Unknown::of(&mixed.get_attr("later").unwrap()).is_some());
    assert!(matches!(c.text(&node("\"{{ mixed }}\"")), Err(EvalError::Unknown(_))));
}

#[test]
fn conditions_are_decided_by_what_is_known() {
    let c = with_unknown("x: 1");
    let all = node("[u.rc == 0, x == 2]");
    assert!(matches!(c.conditions(all.as_seq().unwrap()), Ok(Err(1))));
    let open = node("[x == 1, u.rc == 0, u.x.y > 3]");
    assert!(matches!(c.conditions(open.as_seq().unwrap()), Err(EvalError::Unknown(_))));
    let wrong = node("[x == 1, nope]");
    assert!(matches!(c.conditions(wrong.as_seq().unwrap()), Err(EvalError::Undefined(_))));
}

#[test]
fn a_condition_in_braces_warns_once_per_place() {
    let c = context("x: 1");
    let when = node("'{{ x == 1 }}'");
    assert!(c.condition(&when).unwrap());
    assert!(c.condition(&when).unwrap());
    assert_eq!(c.engine().take_warnings().len(), 1);
    assert!(c.engine().take_warnings().is_empty());
}

#[test]
fn truthy_conditions_are_allowed_by_option() {
    let engine = Engine::new(EngineOptions { allow_broken_conditionals: true, ..EngineOptions::default() });
    let c = Context::new(&engine, vec![scope("v", "l: [1]\ne: ''")], Arc::default());
    assert!(c.condition(&node("l")).unwrap());
    assert!(!c.condition(&node("e")).unwrap());
    assert!(problem(context("l: [1]").condition(&node("l"))).message.contains("a list, not a boolean"));
}

#[test]
fn omit_survives_default_and_ternary_and_leaves_its_mapping() {
    let c = context("x: 1");
    let args = c
        .value(&node(
            "{mode: \"{{ m | default(omit) }}\", owner: \"{{ false | ternary('a', omit) }}\", n: \"{{ x }}\"}",
        ))
        .unwrap();
    // In 2.19 what is omitted is gone from the mapping, however deep it stood.
    assert_eq!(text(&args), "{'n': 1}");
    let whole = c.value(&node("\"{{ {'a': omit, 'b': 1} }}\"")).unwrap();
    assert_eq!(text(&whole), "{'b': 1}");
}

#[test]
fn texts_become_booleans_as_ansible_converts_them() {
    let c = context("y: 'yes'\nn: 'off'\nx: maybe");
    assert!(c.boolean(&node("\"{{ y }}\"")).unwrap());
    assert!(!c.boolean(&node("\"{{ n }}\"")).unwrap());
    assert!(c.boolean(&node("true")).unwrap());
    assert_eq!(problem(c.boolean(&node("\"{{ x }}\""))).message, "`maybe` is not a boolean");
}

#[test]
fn explain_lists_every_definition_and_mentions_finds_names() {
    let engine = Engine::new(EngineOptions::default());
    let c = Context::new(
        &engine,
        vec![scope("defaults.yml", "a: 1"), scope("group_vars/all.yml", "b: 1\na: 2")],
        Arc::default(),
    );
    let places: Vec<String> = c.explain("a").iter().map(|d| d.span.as_ref().unwrap().path_line()).collect();
    assert_eq!(places, ["defaults.yml:1", "group_vars/all.yml:2"]);
    let names = Context::mentions(&node(
        "{a: '{{ x.y | default(z) }}', b: '{% for i in l %}{{ i }}{{ loop.index }}{% endfor %}', c: [\"{{ lookup('env', e) }}\"], d: plain}",
    ));
    assert_eq!(names, ["e", "l", "x", "z"]);
    assert_eq!(
        Context::mentions_in_conditions(node("[a.b == 1 and c is defined, '{{ d }}']").as_seq().unwrap()),
        ["a", "c", "d"]
    );
}

#[test]
fn templates_are_checked_without_being_evaluated() {
    use super::mentions::{look, look_at_condition, look_at_file};
    let found = look(&node(
        "a: \"{{ x | uper }} {{ y is defned }} {{ lookup('fil', 'z') }} {{ l | map('lenght') | list }}\"\nb: '{{ c d }}'",
    ));
    let messages: Vec<String> = found.problems.iter().map(|p| format!("{} {}", place(p), p.message)).collect();
    assert_eq!(
        messages,
        [
            "input.yml:1:12 there is no filter `uper`",
            "input.yml:1:74 there is no filter `lenght`",
            "input.yml:1:23 there is no test `defned`",
            "input.yml:1:48 there is no lookup `fil`",
            "input.yml:2:10 syntax error in template: unexpected `d`, expected the end of the print statement",
        ]
    );
    assert_eq!(found.problems[0].help, ["did you mean `upper`?"]);
    let found = look_at_condition(&node("a.b | default(c) and d is defined and d.e == f"));
    let open: Vec<&str> = found.mentions.iter().filter(|m| !m.guarded).map(|m| m.name.as_str()).collect();
    assert_eq!(open, ["c", "f"]);
    let found = look_at_file("t.j2", "#jinja2: trim_blocks: False\n{% for x in xs %}{{ x.y }}{{ z }}{% endfor %}\n");
    assert_eq!(
        found.mentions.iter().map(|m| m.span.as_ref().unwrap().to_string()).collect::<Vec<_>>(),
        ["t.j2:2:13", "t.j2:2:30"]
    );
}

#[test]
fn bombs_end_with_an_error() {
    let c = context("x: 1");
    for source in [
        "{{ 'a' * 1000000000 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ [0] * 10 ** 9 }}",
    ] {
        problem(c.value(&node(&format!("\"{source}\""))));
    }
    problem(c.value(&node(&format!("\"{{{{ 1{} }}}}\"", "+1".repeat(50_000)))));
    problem(c.value(&node(&format!("\"{{{{ x{} }}}}\"", ".a".repeat(50_000)))));
    problem(c.value(&node(&format!("\"{{{{ x{} }}}}\"", "|string".repeat(50_000)))));
    let deep = format!("\"{{{{ {}1{} }}}}\"", "(".repeat(5000), ")".repeat(5000));
    problem(c.value(&node(&deep)));
    // Variables nested within one another, on a thread's usual stack.
    let mut chain = String::from("v0: \"{{ x }}\"\nx: 1\n");
    for i in 1..300 {
        chain.push_str(&format!("v{i}: \"{{{{ v{} }}}}\"\n", i - 1));
    }
    let nested = context(&chain);
    assert!(problem(nested.variable("v299")).message.contains("nested too deeply"));
    assert_eq!(text(&nested.variable("v40").unwrap().unwrap()), "1");
}

fn render(files: &[(&str, &str)], main: &str) -> Result<String, EvalError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join("templates").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let engine = Engine::new(EngineOptions::default());
    let paths = SearchPaths { roles: vec![dir.path().to_owned()], ..SearchPaths::default() };
    let c = Context::new(&engine, vec![scope("vars.yml", "name: kube\nlist: [a, b]\nn:")], Arc::new(paths));
    c.render_file(&TemplateRequest {
        text: main.to_owned(),
        path: dir.path().join("templates/main.j2"),
        trim_blocks: true,
        newline_sequence: "\n".to_owned(),
        ..TemplateRequest::default()
    })
}

#[test]
fn template_files_keep_their_newlines_and_escapes() {
    assert_eq!(
        render(&[], "a {{ name }}{{ n }}\n{% for i in list %}\n- {{ i }}\n{% endfor %}\n{{ 'x\\ty' }}\n").unwrap(),
        "a kube\n- a\n- b\nx\ty\n"
    );
    assert_eq!(
        render(&[], "#jinja2: trim_blocks:False, lstrip_blocks: True\n  {% if true %}\n x{{ name }}\n  {% endif %}\n")
            .unwrap(),
        "\n xkube\n"
    );
    let header = "#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ name ]] {{ untouched }}\n";
    assert_eq!(render(&[], header).unwrap(), "kube {{ untouched }}\n");
    assert!(problem(render(&[], "#jinja2: trimblocks:False\nx")).message.contains("unknown option `trimblocks`"));
}

#[test]
fn errors_in_template_files_have_their_line() {
    let p = problem(render(&[], "#jinja2: trim_blocks:False\nline\n  {{ nope }}\n"));
    let span = p.span.unwrap();
    assert_eq!(span.file.line_col(span.start), (3, 6));
    let p = problem(render(&[], "a\n{% if x %}\n"));
    assert!(p.message.contains("`{% endif %}` is missing"), "{}", p.message);
}

#[test]
fn templates_include_import_and_extend_one_another() {
    let files = [
        ("part.j2", "<{{ name }}{{ local | default('-') }}>\n"),
        ("macros.j2", "{% macro hi(who='x') %}hi {{ who }} of {{ name }}{% endmacro %}{% set value = 7 %}"),
        ("base.j2", "top\n{% block body %}base body{% endblock %}\n{% block foot %}foot{% endblock %}\n"),
        ("broken.j2", "fine\n{{ nope }}"),
    ];
    assert_eq!(render(&files, "{% set local = 1 %}{% include 'part.j2' %}end").unwrap(), "<kube1>end");
    assert_eq!(render(&files, "{% import 'macros.j2' as m %}{{ m.hi('y') }} {{ m.value }}").unwrap(), "hi y of kube 7");
    assert_eq!(
        render(&files, "{% from 'macros.j2' import hi as hello with context %}{{ hello() }}").unwrap(),
        "hi x of kube"
    );
    assert_eq!(
        render(&files, "{% extends 'base.j2' %}ignored{% block body %}[{{ super() }}] {{ name }}{% endblock %}")
            .unwrap(),
        "top\n[base body] kubefoot"
    );
    assert_eq!(render(&files, "{% include 'none.j2' ignore missing %}ok").unwrap(), "ok");
    assert_eq!(render(&files, "{% include ['none.j2', 'part.j2'] %}").unwrap(), "<kube->");
    assert!(problem(render(&files, "{% include 'none.j2' %}")).message.contains("`none.j2` not found"));
    let p = problem(render(&files, "{% include 'broken.j2' %}"));
    let span = p.span.unwrap();
    assert!(span.file.path.ends_with("broken.j2"));
    assert_eq!(span.file.line_col(span.start), (2, 4));
}

#[test]
fn values_keep_their_types_through_nodes() {
    let c = context("n: 5\nl: [1, \"{{ n }}\"]\ns: '5'");
    let value = c
        .value(&node(
            "{a: \"{{ n }}\", b: \"{{ l }}\", c: \"{{ s }}\", d: \"{{ n }}x\", \"{{ s }}\": 1, e: 2.5, f: null}",
        ))
        .unwrap();
    assert_eq!(super::repr(&value), "{'a': 5, 'b': [1, 5], 'c': '5', 'd': '5x', '{{ s }}': 1, 'e': 2.5, 'f': None}");
}
