//! Filters, tests, lookups and methods against golden values made by ansible-core and its collections (`tests/library/generate.py`).
//!
//! Each `tests/library/NAME.yml` has variables and expressions; `NAME.json` says what Ansible makes of them, as JSON text, so that types
//! and orders count. Where kdeploy differs on purpose, `differs` in the YAML file gives kdeploy's own outcome and why.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kdeploy::template::filters::json::{Layout, dumps};
use kdeploy::template::{Context, Engine, EngineOptions, EvalError, SearchPaths};
use kdeploy::vars::Scope;
use kdeploy::yaml::{self, Node};
use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::Value as Json;

/// Moments and spans as text, the rest as it is: what the generator does too.
fn plain(value: &Value) -> Value {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().expect("a list").map(|v| plain(&v)).collect(),
        ValueKind::Map => Value::from_pairs(value.try_iter().expect("a mapping").map(|k| {
            let item = value.get_item(&k).expect("an entry");
            (k, plain(&item))
        })),
        ValueKind::Plain => Value::from(kdeploy::template::text(value)),
        _ => value.clone(),
    }
}

fn outcome(result: &Result<Value, EvalError>) -> (&'static str, String) {
    match result {
        Ok(value) => {
            let layout = Layout { ensure_ascii: false, ..Layout::default() };
            ("value", dumps(&plain(value), &layout).unwrap_or_else(|e| format!("no JSON: {e}")))
        }
        Err(EvalError::Undefined(p)) => ("undefined", p.to_string()),
        Err(EvalError::Failed(p)) => ("failed", p.to_string()),
        Err(EvalError::Unknown(u)) => ("unknown", u.to_string()),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library")
}

/// One case file: how many cases, and what went wrong.
fn run(path: &Path) -> (usize, Vec<String>) {
    let document = yaml::load_file(path).expect("readable").single().expect("one document");
    let map = document.as_map().expect("a mapping");
    let vars = map.get("vars").and_then(Node::as_map).map(|m| m.entries.clone()).unwrap_or_default();
    let scope = Scope::written("vars", vars.into_iter().map(|(k, v)| (k.as_str().unwrap_or_default().to_owned(), v)));
    let golden: Vec<Json> =
        serde_json::from_str(&std::fs::read_to_string(path.with_extension("json")).expect("golden file"))
            .expect("golden JSON");
    let differs = map.get("differs").and_then(Node::as_map).map(|m| m.entries.clone()).unwrap_or_default();
    let env = [("KDEPLOY_GOLDEN".to_owned(), "golden".to_owned()), ("HOME".to_owned(), "/root".to_owned())];
    let engine = Engine::new(EngineOptions { env: Some(env.into()), ..EngineOptions::default() });
    let paths = SearchPaths { roles: vec![], task_dir: folder(), playbook_dir: folder() };
    let cases = map.get("cases").and_then(Node::as_seq).expect("cases");
    assert_eq!(cases.len(), golden.len(), "{}: run generate.py", path.display());
    let mut wrong = vec![];
    for (case, expected) in cases.iter().zip(&golden) {
        let text = case.scalar_text().expect("an expression");
        assert_eq!(expected["case"].as_str(), Some(text.as_str()), "{}: run generate.py", path.display());
        let context = Context::new(&engine, vec![scope.clone()], Arc::new(paths.clone()));
        let result = context.value(&Node::text(format!("{{{{ {text} }}}}"), &case.span));
        let (kind, got) = outcome(&result);
        let own = differs.iter().find(|(k, _)| k.as_str() == Some(&text)).and_then(|(_, v)| v.scalar_text());
        let wanted = match (&own, expected["value"].as_str(), expected["error"].as_str()) {
            (Some(own), ..) => own.clone(),
            (None, Some(value), _) => value.to_owned(),
            (None, None, error) => error.expect("a value or an error").to_owned(),
        };
        let same = match kind {
            "value" => got == wanted,
            // whether an error is one of something undefined matters only for `default`
            _ => matches!(wanted.as_str(), "failed" | "undefined") && own.is_none_or(|o| o == kind),
        };
        if !same {
            wrong.push(format!("{text}\n    got    {kind} {got}\n    wanted {wanted}"));
        }
    }
    (cases.len(), wrong)
}

#[test]
fn the_library_gives_what_ansible_gives() {
    let mut wrong = vec![];
    let mut cases = 0;
    for entry in std::fs::read_dir(folder()).expect("cases") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|e| e == "yml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if std::env::var("ONLY").is_ok_and(|only| only != name) {
                continue;
            }
            let (count, failures) = run(&path);
            cases += count;
            wrong.extend(failures.into_iter().map(|w| format!("{name}: {w}")));
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} differ:\n{}", wrong.len(), wrong.join("\n"));
}
