use serde_json::{Value as Json, json};

use super::*;

/// Golden values are written by tests/yaml/generate.py from ansible-core's loader.
const GOLDEN: &str = include_str!("../../tests/yaml/golden.json");

fn shape(node: &Node) -> Json {
    match &node.value {
        Yaml::Null => json!({ "null": null }),
        Yaml::Bool(b) => json!({ "bool": b }),
        Yaml::Int(n) => json!({ "int": n.to_string() }),
        Yaml::BigInt(n) => json!({ "int": n.to_string() }),
        Yaml::Float(f) => json!({ "float": f.to_string() }),
        Yaml::Str(s) => json!({ "str": s.text.to_string() }),
        Yaml::Seq(items) => json!({ "list": items.iter().map(shape).collect::<Vec<_>>() }),
        Yaml::Map(map) => json!({ "map": map.iter().map(|(k, v)| json!([shape(k), shape(v)])).collect::<Vec<_>>() }),
        Yaml::Vault(text) => json!({ "vault": text.to_string() }),
    }
}

/// Python and Rust print the same number differently.
fn same(ours: &Json, golden: &Json) -> bool {
    match (ours, golden) {
        (Json::Object(a), Json::Object(b)) if a.contains_key("float") && b.contains_key("float") => {
            let number = |j: &Json| j["float"].as_str().and_then(|s| s.parse::<f64>().ok());
            match (number(ours), number(golden)) {
                (Some(x), Some(y)) => x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()),
                _ => false,
            }
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| same(x, y)),
        _ => ours == golden,
    }
}

/// Read here although Ansible refuses them, or the other way round: each is a choice.
const DIFFERENT: &[&str] = &[
    // A lone number or a list with a bare NaN is JSON to Python, hence to Ansible.
    "1e3",
    "[NaN, 1]\n",
    // What YAML 1.2 allows, or forbids, where PyYAML's scanner is of another opinion.
    "...\n",
    ": a\n",
    "{: a}\n",
    "a: 'a'#c\nb: 1\n",
    "- 'a'#c\n- 1\n",
    "a: |\n  \ta\n\nb: 1\n",
    "- |\n  \ta\n\n- 1\n",
    "- \ta\n- 1\n",
    "[-, 1]\n",
    "[?x, 1]\n",
    "[::1, 1]\n",
    "&x: 1\n",
];

#[test]
fn reads_what_ansible_reads() {
    let golden: Vec<Json> = serde_json::from_str(GOLDEN).expect("golden.json");
    assert!(golden.len() > 500, "the corpus is missing");
    let mut wrong = vec![];
    for case in &golden {
        let text = case["text"].as_str().expect("text");
        if DIFFERENT.contains(&text) {
            continue;
        }
        let text_read = text.strip_prefix('\u{feff}').unwrap_or(text);
        let ours = parse_text("<test>", text_read).and_then(|l| l.single());
        let fits = match (&ours, case.get("value")) {
            (Ok(node), Some(value)) => same(&shape(node), value),
            (Err(_), None) => true,
            _ => false,
        };
        if !fits {
            let ours = ours.map_or_else(|p| format!("error: {p}"), |n| shape(&n).to_string());
            wrong.push(format!("{text:?}\n   ours {ours}\n ansible {}", case.get("value").unwrap_or(&Json::Null)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), golden.len(), wrong.join("\n"));
}

/// Every text node of these files, and the text its span covers.
fn written(text: &str) -> Vec<(String, String)> {
    fn walk(node: &Node, out: &mut Vec<(String, String)>) {
        let raw = node.span.file.text[node.span.start..node.span.end].to_owned();
        match &node.value {
            Yaml::Seq(items) => {
                out.push(("list".into(), raw));
                items.iter().for_each(|n| walk(n, out));
            }
            Yaml::Map(map) => {
                out.push(("map".into(), raw));
                map.iter().for_each(|(k, v)| {
                    walk(k, out);
                    walk(v, out);
                });
            }
            _ => out.push((node.scalar_text().unwrap_or_default(), raw)),
        }
    }
    let mut out = vec![];
    walk(&parse_text("<test>", text).and_then(|l| l.single()).expect("parses"), &mut out);
    out
}

#[test]
fn spans_cover_what_is_written() {
    let text = "a: plain text  # c\nb: 'it''s'\nc: \"x\\ny\"\nd: |\n  one\n  two\ne: [1, {f: g}]\nh:\n  - i\n  - !unsafe j\nk: &l m\nn: *l\n";
    let mut shown = String::new();
    for (value, raw) in written(text) {
        shown.push_str(&format!("{value:?} <- {raw:?}\n"));
    }
    insta::assert_snapshot!(shown);
}

/// For every character of every text: where `span_at` says it is written.
fn placed(text: &str, key: &str) -> String {
    let node = parse_text("<test>", text).and_then(|l| l.single()).expect("parses");
    let value = node.as_map().and_then(|m| m.get(key)).expect("key").clone();
    let scalar = value.as_str().expect("text").to_owned();
    scalar
        .char_indices()
        .filter(|(_, c)| *c != '\n')
        .map(|(i, c)| {
            let span = value.span_at(i, c.len_utf8());
            span.file.text[span.start..span.end].to_owned()
        })
        .collect::<Vec<_>>()
        .join("|")
}

#[test]
fn offsets_in_texts_are_found_in_the_file() {
    assert_eq!(placed("a: b {{ c }}\n", "a"), "b| |{|{| |c| |}|}");
    assert_eq!(placed("a: 'b ''c'''\n", "a"), "b| |'|c|'");
    assert_eq!(placed("a: \"b\\t\\x41é\\\"c\"\n", "a"), "b|\\|\\|é|\\|c");
    assert_eq!(placed("a: b\n  c\n\n  d\n", "a"), "b|\n|c|d");
    assert_eq!(placed("a: \"b\n  c \\\n  d\"\n", "a"), "b|\n|c| |d");
    assert_eq!(placed("a: |\n  b\n   c\n\n  d\nx: 1\n", "a"), "b| |c|d");
    assert_eq!(placed("a: >-\n  b c\n  d\n\n  e\n    f\n  g\n", "a").replace('\n', "/"), "b| |c|/|d|e| | |f|g");
    assert_eq!(placed("a: |2\n    b\n   c\n", "a"), " | |b| |c");
}

#[test]
fn errors_say_what_is_meant() {
    let mut shown = String::new();
    for text in [
        "a: {{ b }}\n",
        "a: {{ b }}/c\nd: 1\n",
        "- a:\n    - {{ b }}\n",
        "a: b: c\n",
        "a: @b\n",
        "a:1\nb: 2\n",
        "a:\n  b: 1\n\tc: 2\n",
        "a:\n\t- b\n",
        "a:\n  - 1\n - 2\n",
        "a: 'x' y\n",
        "a: \"x\n",
        "a: [1, 2\n",
        "a: \"\\d\"\n",
        "a: !vlt x\n",
        "a: &x 1\nb: &x 2\n",
        "a: &xy 1\nb: *xz\n",
        "a: 2001-02-30\n",
        "a: =\n",
        "- a\n-b\n",
        "a: 1\n---\nb: 1\n",
        "? [a]\n: b\n",
    ] {
        let problem = parse_text("<test>", text).and_then(|l| l.single()).expect_err(text);
        let span = problem.span.clone().expect("a place");
        shown.push_str(&format!("{text:?}\n  {problem}\n  at {:?}\n", &span.file.text[span.start..span.end]));
        for line in
            problem.help.iter().map(|h| format!("help: {h}")).chain(problem.notes.iter().map(|n| format!("note: {n}")))
        {
            shown.push_str(&format!("  {line}\n"));
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn duplicate_keys_are_told_with_both_places() {
    let loaded = parse_text("<test>", "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n").expect("parses");
    let told: Vec<String> = loaded.warnings.iter().map(|w| format!("{w} ({})", w.notes.join(", "))).collect();
    assert_eq!(
        told,
        [
            "<test>:4:3: the key `c` stands twice in this mapping; the last one counts (first at <test>:3:3)",
            "<test>:5:1: the key `a` stands twice in this mapping; the last one counts (first at <test>:1:1)"
        ]
    );
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert_eq!(parse_text("<test>", &text).expect_err("too many").code, "too-many-aliases");
    let mut text = String::from("- &a0 []\n");
    for i in 1..1000 {
        text.push_str(&format!("- &a{i} [*a{}]\n", i - 1));
    }
    assert_eq!(parse_text("<test>", &text).expect_err("too deep").code, "too-deep");
    assert_eq!(parse_text("<test>", &"[".repeat(100_000)).expect_err("too deep").code, "too-deep");
}

#[test]
fn unsafe_reaches_everything_below() {
    let node = parse_text("<test>", "a: !unsafe [x, {y: '{{ z }}'}]\n").and_then(|l| l.single()).expect("parses");
    assert!(!node.has_template());
    let node = parse_text("<test>", "a: [x, {y: '{{ z }}'}]\n").and_then(|l| l.single()).expect("parses");
    assert!(node.has_template());
}

/// Written by tests/yaml/generate_dumps.py with ansible-core's filters.
const DUMPS: &str = include_str!("../../tests/yaml/dumps.json");

fn data(json: &Json) -> minijinja::Value {
    use minijinja::Value;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::String(s) => Value::from(s.as_str()),
        Json::Object(o) => match o.iter().next().map(|(k, v)| (k.as_str(), v)) {
            Some(("map", Json::Array(pairs))) => Value::from_pairs(pairs.iter().map(|p| (data(&p[0]), data(&p[1])))),
            Some(("list", Json::Array(items))) => items.iter().map(data).collect(),
            Some(("float", Json::String(f))) => Value::from(f.parse::<f64>().expect("float")),
            Some(("int", Json::String(n))) => Value::from(n.parse::<i128>().expect("int")),
            _ => panic!("unexpected {json}"),
        },
        _ => panic!("unexpected {json}"),
    }
}

#[test]
fn writes_what_ansible_writes() {
    let dumps = std::env::var("KDEPLOY_YAML_DUMPS").ok().map(|p| std::fs::read_to_string(p).expect("readable"));
    let cases: Vec<Json> = serde_json::from_str(dumps.as_deref().unwrap_or(DUMPS)).expect("dumps.json");
    assert!(cases.len() >= 400, "the corpus is missing");
    let mut wrong = vec![];
    for case in &cases {
        let mut options = if case["nice"] == json!(true) { EmitOptions::nice() } else { EmitOptions::default() };
        let given = &case["options"];
        if let Some(n) = given["indent"].as_i64() {
            options.indent = Some(n);
        }
        options.width = given["width"].as_i64();
        options.sort_keys = given["sort_keys"].as_bool().unwrap_or(true);
        if given.get("default_flow_style").is_some() {
            options.default_flow_style = given["default_flow_style"].as_bool();
        }
        options.default_style = given["default_style"].as_str().and_then(|s| s.chars().next());
        options.explicit_start = given["explicit_start"].as_bool().unwrap_or(false);
        options.explicit_end = given["explicit_end"].as_bool().unwrap_or(false);
        let ours = emit(&data(&case["value"]), &options);
        if Some(ours.as_str()) != case["text"].as_str() {
            wrong.push(format!(
                "{} {given}\n   ours {ours:?}\n ansible {:?}",
                case["value"],
                case["text"].as_str().unwrap_or("")
            ));
        }
    }
    wrong.sort_by_key(String::len);
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}

/// PyYAML does not ask how far the further lines of a quoted text are indented.
#[test]
fn lines_of_quoted_texts_may_stand_anywhere() {
    let text = "a:\n  - b: \"one\n  two\nthree\"\n    c: 'x\n    y\n  '\n    d: last\n";
    let file = crate::source::SourceFile::new("x.yml", text);
    let node = parse(&file).unwrap().single().unwrap();
    let item = node.as_map().unwrap().get("a").unwrap().as_seq().unwrap()[0].clone();
    let map = item.as_map().unwrap();
    assert_eq!(map.get("b").unwrap().as_str(), Some("one two three"));
    assert_eq!(map.get("c").unwrap().as_str(), Some("x y "));
    // Places are those of the file, before and after.
    for key in ["b", "c", "d"] {
        let (key_node, value) = map.entry(key).unwrap();
        assert_eq!(&text[key_node.span.start..key_node.span.end], key);
        assert!(text[value.span.start..].starts_with(['"', '\'', 'l']), "{key}");
    }
    let d = map.get("d").unwrap();
    assert_eq!(&text[d.span.start..d.span.end], "last");
    let c = map.get("c").unwrap();
    assert_eq!(&text[c.span.start..c.span.end], "'x\n    y\n  '");
    let broken = crate::source::SourceFile::new("x.yml", "a:\n  b: 'x\n  y'\n  c: [\n");
    let problem = parse(&broken).unwrap_err();
    assert!(problem.span.unwrap().line() >= 4);
}
