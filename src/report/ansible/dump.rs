//! Results as JSON, in Python's spelling: keys sorted, `", "` and `": "` between.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::plan::{Status, Step};

use super::super::json::value_json;

/// What stands in a hidden result's place.
pub const CENSORED: &str =
    "the output has been hidden due to the fact that 'no_log: true' was specified for this result";

/// A step's result as Ansible's callbacks get it.
pub fn result(step: &Step) -> Map<String, Json> {
    let mut map = Map::new();
    let module = module_of(step);
    if step.no_log {
        map.insert("censored".into(), CENSORED.into());
        if let Some(attempts) = step.result.values.get("attempts") {
            map.insert("attempts".into(), value_json(attempts));
        }
        // An item's result says it only if it is so.
        if step.item.is_none() || step.result.changed {
            map.insert("changed".into(), step.result.changed.into());
        }
        return map;
    }
    for (key, value) in &step.result.values {
        if key.starts_with("_ansible") || matches!(key.as_str(), "invocation" | "diff" | "warnings" | "deprecations") {
            continue;
        }
        map.insert(key.clone(), value_json(value));
    }
    if !step.result.bare {
        map.insert("changed".into(), step.result.changed.into());
    }
    if step.status == Status::Unreachable {
        map.insert("unreachable".into(), true.into());
    }
    if matches!(module, "command" | "shell" | "raw" | "script" | "expect") {
        for stream in ["stdout", "stderr"] {
            if let Some(Json::String(text)) = map.get(stream) {
                let lines: Vec<Json> = text.lines().map(Json::from).collect();
                map.entry(format!("{stream}_lines")).or_insert(Json::Array(lines));
            }
        }
    }
    map.remove("skipped");
    map.remove("failed");
    // A loop over nothing.
    if step.status == Status::Skipped && map.contains_key("skipped_reason") {
        map.retain(|key, _| key == "skipped_reason");
    }
    map
}

/// The module's own name.
pub fn module_of(step: &Step) -> &str {
    step.action.rsplit('.').next().unwrap_or_default()
}

/// On one line.
pub fn compact(value: &Map<String, Json>) -> String {
    spaced(&sorted(&Json::Object(value.clone())))
}

/// Four blanks per level.
pub fn indented(value: &Map<String, Json>) -> String {
    crate::inventory::pretty(&sorted(&Json::Object(value.clone())))
}

/// As `oneline` prints it: nothing after commas.
pub fn tight(value: &Map<String, Json>) -> String {
    written(&sorted(&Json::Object(value.clone())), Spaced { comma: b"," })
}

/// As YAML below the line it belongs to.
pub fn as_yaml(value: &Map<String, Json>) -> String {
    let mut value = value.clone();
    // Lines are shown as the text they come from.
    for (name, lines) in [("stdout", "stdout_lines"), ("stderr", "stderr_lines")] {
        if value.contains_key(name) && value.contains_key(lines) {
            value.insert(lines.to_owned(), "<omitted>".into());
        }
    }
    let options = crate::yaml::EmitOptions { literal_blocks: true, ..crate::yaml::EmitOptions::nice() };
    let text = crate::yaml::emit(&minijinja_value(&Json::Object(value)), &options);
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("\n    {line}") }).collect()
}

/// As a value that can be written as YAML.
pub fn minijinja_value(json: &Json) -> minijinja::Value {
    crate::resources::common::kit::from_json(json)
}

pub fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Json::Object(keys.into_iter().map(|k| (k.clone(), sorted(&map[k]))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

pub fn spaced(value: &Json) -> String {
    written(value, Spaced { comma: b", " })
}

fn written(value: &Json, formatter: Spaced) -> String {
    let mut out = vec![];
    // Writing JSON into memory cannot fail.
    drop(value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)));
    String::from_utf8(out).unwrap_or_default()
}

struct Spaced {
    comma: &'static [u8],
}

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.comma) }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.comma) }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
