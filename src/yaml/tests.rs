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
