//! Random templates: whatever is written, reading and evaluating ends, with a value or a problem, never a panic.

use std::sync::Arc;

use minijinja::Value;
use proptest::prelude::*;

use super::syntax::{LexOptions, parse_expression, parse_template};
use super::{Context, Engine, EngineOptions, Unknown};
use crate::source::{SourceFile, Span};
use crate::vars::Scope;
use crate::yaml::Node;

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{%-",
    "-%}",
    "{%+",
    "+%}",
    "{{-",
    "-}}",
    " ",
    "\n",
    "\r\n",
    "a",
    "x.y",
    "u.z",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    ":",
    "|",
    "~",
    "+",
    "-",
    "*",
    "//",
    "%",
    "**",
    "==",
    "<",
    ">=",
    "=",
    ".",
    "'",
    "\"",
    "\\",
    "'s'",
    "1",
    "-7",
    "2.5",
    "0x1f",
    "1e3",
    "is",
    "not",
    "in",
    "and",
    "or",
    "if",
    "else",
    "elif",
    "for",
    "endfor",
    "endif",
    "set",
    "endset",
    "macro",
    "endmacro",
    "m(a, b=1)",
    "call",
    "endcall",
    "raw",
    "endraw",
    "block",
    "endblock",
    "filter",
    "endfilter",
    "with",
    "endwith",
    "include",
    "import",
    "from",
    "extends",
    "do",
    "break",
    "continue",
    "recursive",
    "default('d')",
    "join(',')",
    "map('upper')",
    "list",
    "length",
    "defined",
    "none",
    "true",
    "omit",
    "loop.index",
    "loop(x)",
    "range(3)",
    "l[::-1]",
    "l[1:]",
    "d.items()",
    "namespace(a=1)",
    "l.append(1)",
    "'%s' % x",
    "lookup('items', l)",
    "é",
    "\u{1f600}",
    "{{ x }}",
    "{% if x %}",
    "{% endif %}",
    "{% for i in l %}",
    "{% endfor %}",
    "{% set q = l %}",
    "{{ q }}",
];

fn context() -> Context {
    let engine = Engine::new(EngineOptions::default());
    let file = SourceFile::new("v.yml", "x");
    let span = Span::of_file(&file);
    let written = [("x", "{{ l | length }}"), ("loopy", "{{ loopy }}"), ("q", "{{ u ~ x }}")];
    let finals = [
        ("l", Value::from(vec![Value::from("b"), Value::from(1)])),
        ("d", Value::from_pairs([("k", 1)])),
        ("u", Unknown::after_step("t").into_value()),
        ("a", Value::from(3)),
    ];
    Context::new(
        &engine,
        vec![
            Scope::written("w", written.map(|(k, v)| (k.to_owned(), Node::text(v, &span)))),
            Scope::finals("f", finals.map(|(k, v)| (k.to_owned(), v))),
        ],
        Arc::default(),
    )
}

fn check(text: &str) {
    let file = SourceFile::new("t.yml", text);
    let node = Node::text(text, &Span::new(&file, 0, text.len()));
    let context = context();
    for result in [context.value(&node).map(|v| super::repr(&v)), context.condition(&node).map(|b| b.to_string())] {
        if let Err(error) = result {
            let problem = error.into_problem();
            if let Some(span) = &problem.span {
                let whole = span.file.text.len();
                assert!(span.start <= span.end && span.end <= whole, "{problem:?}");
                let _ = span.to_string();
            }
        }
    }
    let _ = context.render_file(&super::template_request("t.j2", text, vec![]));
    let _ = super::mentions::look(&node);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_templates_never_panic(parts in proptest::collection::vec(proptest::sample::select(PIECES), 0..24), spaced in any::<bool>()) {
        check(&parts.join(if spaced { " " } else { "" }));
    }

    #[test]
    fn expressions_of_pieces_never_panic(parts in proptest::collection::vec(proptest::sample::select(PIECES), 0..12)) {
        check(&format!("{{{{ {} }}}}", parts.join(" ")));
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,60}", escapes in any::<bool>()) {
        let options = LexOptions { escapes, lstrip_blocks: escapes, trim_blocks: true, ..LexOptions::default() };
        let _ = parse_template(&text, &options);
        let _ = parse_template(&format!("{{{{ {text} }}}}"), &options);
        let _ = parse_expression(&text, &options);
    }

    #[test]
    fn text_without_templates_is_itself(text in "[^{]{0,40}") {
        let file = SourceFile::new("t.yml", text.clone());
        let value = context().value(&Node::text(text.clone(), &Span::of_file(&file))).unwrap();
        prop_assert_eq!(value.as_str(), Some(text.as_str()));
    }
}
