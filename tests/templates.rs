//! Templates against golden values made by ansible-core (`tests/templates/generate.py`).
//!
//! Each `tests/templates/NAME.yml` has variables, templates and conditions; `NAME.json` says what ansible-core makes of them.
//! Where kdeploy differs on purpose, `differs` in the YAML file gives kdeploy's own outcome.

use std::path::Path;
use std::sync::Arc;

use kdeploy::template::{Context, Engine, EngineOptions, EvalError, SearchPaths};
use kdeploy::vars::Scope;
use kdeploy::yaml::{self, Node};
use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Value as Json, json};

fn as_json(value: &Value) -> Json {
    match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => json!(value.is_true()),
        ValueKind::Number if value.is_integer() => match value.as_i64() {
            Some(i) => json!(i),
            None => serde_json::from_str(&value.to_string()).expect("a number"),
        },
        ValueKind::Number => json!(f64::try_from(value.clone()).expect("a float")),
        ValueKind::String => json!(value.as_str()),
        ValueKind::Seq => value.try_iter().expect("a list").map(|v| as_json(&v)).collect(),
        ValueKind::Map => {
            let entries = value.try_iter().expect("a mapping").map(|k| {
                let item = value.get_item(&k).expect("an entry");
                (kdeploy::template::text(&k), as_json(&item))
            });
            Json::Object(entries.collect())
        }
        _ => json!(format!("<{value}>")),
    }
}

fn outcome(result: Result<Json, EvalError>) -> Json {
    match result {
        Ok(value) => json!({ "value": value }),
        Err(EvalError::Undefined(_)) => json!({ "error": "undefined" }),
        Err(EvalError::Failed(_)) => json!({ "error": "failed" }),
        Err(EvalError::Unknown(_)) => json!({ "error": "unknown" }),
    }
}

fn describe(result: &Result<Json, EvalError>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("{}: {}", error_kind(error), error.clone().into_problem()),
    }
}

fn error_kind(error: &EvalError) -> &'static str {
    match error {
        EvalError::Undefined(_) => "undefined",
        EvalError::Failed(_) => "failed",
        EvalError::Unknown(_) => "unknown",
    }
}

/// One case file; what went wrong.
fn run(path: &Path) -> Vec<String> {
    let loaded = yaml::load_file(path).expect("readable").single().expect("one document");
    let map = loaded.as_map().expect("a mapping");
    let vars = map.get("vars").and_then(Node::as_map).expect("vars");
    let scope =
        Scope::written("vars", vars.iter().map(|(k, v)| (k.as_str().unwrap_or_default().to_owned(), v.clone())));
    let golden: Vec<Json> =
        serde_json::from_str(&std::fs::read_to_string(path.with_extension("json")).expect("golden file"))
            .expect("golden JSON");
    let differs: Vec<(String, Json)> = map
        .get("differs")
        .and_then(Node::as_map)
        .map(|m| m.iter().map(|(k, v)| (k.as_str().unwrap_or_default().to_owned(), as_json(&v.to_value()))).collect())
        .unwrap_or_default();
    let mut golden = golden.into_iter();
    let mut wrong = vec![];
    for kind in ["templates", "conditions"] {
        for node in map.get(kind).and_then(Node::as_seq).unwrap_or_default() {
            let expected = golden.next().expect("a golden value per case; run generate.py");
            assert_eq!(expected["text"], as_json(&node.to_value()), "{}: run generate.py", path.display());
            let env = [("KDEPLOY_GOLDEN".to_owned(), "golden".to_owned()), ("HOME".to_owned(), "/root".to_owned())];
            let engine = Engine::new(EngineOptions { env: Some(env.into()), ..EngineOptions::default() });
            let context = Context::new(&engine, vec![scope.clone()], Arc::new(SearchPaths::default()));
            let result = if kind == "templates" {
                match context.value(node) {
                    Ok(value) if kdeploy::template::is_omit(&value) => {
                        if expected["error"] != "omit" {
                            wrong.push(format!("{node:?}: omit"));
                        }
                        continue;
                    }
                    other => other.map(|v| as_json(&v)),
                }
            } else {
                context.condition(node).map(|b| json!(b))
            };
            let got = outcome(result.clone());
            let text = node.as_str().unwrap_or_default();
            let own = differs.iter().find(|(t, _)| t == text).map(|(_, v)| v);
            let matches = match own {
                Some(own) => *own == got,
                None if expected["error"].is_null() => got["value"] == expected["value"] && got["error"].is_null(),
                None => got["error"] == expected["error"],
            };
            if !matches {
                let wanted = own.unwrap_or(&expected);
                wrong.push(format!("{kind} {text:?}\n    got    {}\n    wanted {wanted}", describe(&result)));
            }
        }
    }
    wrong
}

#[test]
fn templates_give_what_ansible_core_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let mut wrong = vec![];
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("cases") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|e| e == "yml") {
            files += 1;
            wrong.extend(
                run(&path)
                    .into_iter()
                    .map(|w| format!("{}: {w}", path.file_name().unwrap_or_default().to_string_lossy())),
            );
        }
    }
    assert!(files > 0);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn template_files_render_as_the_template_module_writes_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates/files");
    let loaded = yaml::load_file(folder.join("cases.yml")).expect("readable").single().expect("one document");
    let map = loaded.as_map().expect("a mapping");
    let vars = map.get("vars").and_then(Node::as_map).expect("vars");
    let scope =
        Scope::written("vars", vars.iter().map(|(k, v)| (k.as_str().unwrap_or_default().to_owned(), v.clone())));
    let golden: Vec<Json> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("golden.json")).expect("golden file"))
            .expect("golden JSON");
    let cases = map.get("files").and_then(Node::as_seq).expect("files");
    assert_eq!(cases.len(), golden.len(), "run generate.py");
    let engine = Engine::new(EngineOptions::default());
    let context = Context::new(&engine, vec![scope], Arc::new(SearchPaths::default()));
    let mut wrong = vec![];
    for (node, expected) in cases.iter().zip(&golden) {
        let text = node.as_str().expect("text");
        let request = kdeploy::template::template_request("case.j2", text, vec![]);
        let got = context.render_file(&request);
        let same = match &got {
            Ok(out) => expected["value"] == json!(out),
            Err(_) => expected["value"].is_null(),
        };
        if !same {
            wrong.push(format!("{text:?}\n    got    {got:?}\n    wanted {:?}", expected["value"]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
