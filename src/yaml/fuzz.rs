//! No text makes the reader panic, hang, or give spans outside the file; what is written is read back.

use minijinja::Value;
use proptest::prelude::*;

use super::*;

/// Texts that look like YAML far more often than random ones do.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b: ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        ": ",
        "? ",
        "&x ",
        "*x",
        "!t ",
        "!unsafe ",
        "!vault ",
        "!!int ",
        "!!str ",
        "|",
        ">",
        "|2-",
        ">+",
        "'",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        " # c",
        "%",
        "---\n",
        "...\n",
        "\t",
        "<<: ",
        "<<",
        "=",
        "1",
        "0x1F",
        "1:30",
        "2001-01-01",
        ".inf",
        "é",
        "🎉",
        "\u{feff}",
        "\u{85}",
        "\r\n",
        "{{ x }}",
        "''",
        " ",
        "~",
        "\\x41",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\0",
        "@",
        "`",
        "1e3",
        "null",
        "yes",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn walk(node: &Node, budget: &mut usize) {
    if *budget == 0 {
        return;
    }
    *budget -= 1;
    let span = &node.span;
    assert!(span.start <= span.end && span.end <= span.file.text.len(), "span {}..{}", span.start, span.end);
    assert!(span.file.text.is_char_boundary(span.start) && span.file.text.is_char_boundary(span.end));
    match &node.value {
        Yaml::Seq(items) => items.iter().for_each(|n| walk(n, budget)),
        Yaml::Map(map) => map.iter().for_each(|(k, v)| {
            walk(k, budget);
            walk(v, budget);
        }),
        Yaml::Str(s) => {
            for (i, c) in s.text.char_indices() {
                let at = node.span_at(i, c.len_utf8());
                assert!(at.start <= at.end && at.end <= at.file.text.len());
                assert!(at.file.text.get(at.start..at.end).is_some(), "{:?} at {i}", s.text);
            }
            node.span_at(s.text.len() + 10, 5);
        }
        _ => {}
    }
}

fn check(text: &str) {
    match parse_text("<fuzz>", text) {
        Ok(loaded) => {
            let mut budget = 10_000;
            for node in &loaded.documents {
                walk(node, &mut budget);
                node.has_template();
            }
        }
        Err(problem) => {
            let span = problem.span.expect("every problem has a place");
            assert!(span.file.text.get(span.start..span.end).is_some(), "{}..{}", span.start, span.end);
        }
    }
}

/// Without U+0085, U+2028 and U+2029: line breaks to the 1.1 writer, plain characters to the parser.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,40}",
        "[a-z \n\t'\"\\\\:#{}\\[\\],&*!|>%@`é🎉\u{feff}-]{0,30}",
        prop::sample::select(vec![
            "yes",
            "0644",
            "1e3",
            "12:30",
            "~",
            "2001-01-01",
            "=",
            "<<",
            "",
            " ",
            "\n",
            "--- a",
            "- a",
            "? a"
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::from(())),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..5).prop_map(Value::from_pairs),
        ]
    })
}

/// The same data: numbers by value, mappings by entries.
fn same(a: &Value, b: &Value) -> bool {
    use minijinja::value::ValueKind;
    match (a.kind(), b.kind()) {
        (ValueKind::Seq, ValueKind::Seq) => {
            let (a, b): (Vec<Value>, Vec<Value>) =
                (a.try_iter().expect("list").collect(), b.try_iter().expect("list").collect());
            a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| same(x, y))
        }
        (ValueKind::Map, ValueKind::Map) => {
            a.len() == b.len()
                && a.try_iter()
                    .expect("map")
                    .all(|k| same(&a.get_item(&k).unwrap_or_default(), &b.get_item(&k).unwrap_or_default()))
        }
        (x, y) => x == y && a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        check(&text);
    }

    #[test]
    fn any_yamlish_text_is_read_or_refused(text in yamlish()) {
        check(&text);
    }

    #[test]
    fn what_is_written_is_read_back(value in values(), nice in any::<bool>(), width in prop::sample::select(vec![None, Some(10), Some(-1)])) {
        let options = EmitOptions { width, ..if nice { EmitOptions::nice() } else { EmitOptions::default() } };
        let text = emit(&value, &options);
        // Ansible reads a text that happens to be JSON as JSON: `[1e3]` is a number there, in YAML 1.1 it is text.
        prop_assume!(serde_json::from_str::<serde_json::Value>(&text).is_err());
        let back = parse_text("<emitted>", &text).and_then(|l| l.single());
        match back {
            Ok(node) => prop_assert!(same(&value, &node.to_value()), "{text}\n{:?}", node.to_value()),
            Err(p) => prop_assert!(false, "{p}\n{text}"),
        }
    }
}
