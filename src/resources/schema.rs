//! JSON Schema of playbooks, of task files and of every resource's arguments, for editors' YAML language servers.
//!
//! Made from the same tables that check playbooks. Any value may be a template, so a text is allowed wherever a boolean, number, list
//! or choice is asked for, as long as it holds `{{`.

use serde_json::{Map, Value as Json, json};

use super::args::{ANY, ArgSpec, Kind};
use super::{ResourceType, registry};
use crate::playbook::{Shape, keyword_shapes};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Playbook,
    /// A file of tasks or handlers.
    Tasks,
}

/// The schema of a whole file.
pub fn of_file(of: Of) -> Json {
    let mut definitions = Map::new();
    definitions.insert("template".to_owned(), json!({"type": "string", "pattern": r"\{[\{%]"}));
    for kind in registry::all() {
        definitions.insert(format!("module-{}", kind.name), arguments(kind));
    }
    for (name, place, extra) in [
        ("task", "task", modules()),
        ("play", "play", play()),
        ("block", "block", json!({"block": tasks(), "rescue": tasks(), "always": tasks()})),
        (
            "import-playbook",
            "import_playbook",
            json!({"import_playbook": {"type": "string"}, "ansible.builtin.import_playbook": {"type": "string"}}),
        ),
    ] {
        definitions.insert(name.to_owned(), object(place, extra));
    }
    for (name, required) in [("block", "block"), ("play", "hosts"), ("import-playbook", "")] {
        if let (Some(Json::Object(map)), false) = (definitions.get_mut(name), required.is_empty()) {
            map.insert("required".to_owned(), json!([required]));
        }
    }
    definitions.insert(
        "tasks".to_owned(),
        json!({"type": ["array", "null"], "items": {
            "if": {"type": "object", "required": ["block"]},
            "then": {"$ref": "#/definitions/block"},
            "else": {"$ref": "#/definitions/task"},
        }}),
    );
    let mut schema = match of {
        Of::Tasks => json!({"title": "kdeploy tasks", "$ref": "#/definitions/tasks"}),
        Of::Playbook => json!({"title": "kdeploy playbook", "type": "array", "items": {
            "if": {"type": "object", "anyOf": [{"required": ["import_playbook"]}, {"required": ["ansible.builtin.import_playbook"]}]},
            "then": {"$ref": "#/definitions/import-playbook"},
            "else": {"$ref": "#/definitions/play"},
        }}),
    };
    if let Json::Object(map) = &mut schema {
        // `$ref` has no siblings in this draft: the reference goes into an `allOf`.
        if let Some(reference) = map.remove("$ref") {
            map.insert("allOf".to_owned(), json!([{"$ref": reference}]));
        }
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("definitions".to_owned(), Json::Object(definitions));
    }
    schema
}

/// The schema of one resource's arguments.
pub fn of_resource(kind: &ResourceType) -> Json {
    let mut schema = arguments(kind);
    if let Json::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("title".to_owned(), kind.name.into());
        map.insert("definitions".to_owned(), json!({"template": {"type": "string", "pattern": r"\{[\{%]"}}));
    }
    schema
}

fn tasks() -> Json {
    json!({"$ref": "#/definitions/tasks"})
}

fn play() -> Json {
    json!({"tasks": tasks(), "pre_tasks": tasks(), "post_tasks": tasks(), "handlers": tasks()})
}

/// An object of the playbook language: its keywords, and what else it may have.
fn object(place: &str, extra: Json) -> Json {
    let mut properties = Map::new();
    for (name, shape) in keyword_shapes(place) {
        properties.insert(name.to_owned(), shaped(shape));
    }
    // `with_items` and its kin.
    let patterns = if place == "task" { json!({"^with_": {}}) } else { json!({}) };
    if let Json::Object(extra) = extra {
        properties.extend(extra);
    }
    // Modules kdeploy does not have are allowed in files: they stop a run only where they would run.
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": place == "task",
    })
}

/// Every module by each of its names.
fn modules() -> Json {
    let mut all = Map::new();
    for kind in registry::all() {
        let reference = json!({"$ref": format!("#/definitions/module-{}", kind.name)});
        for name in names(kind) {
            all.insert(name, reference.clone());
        }
    }
    for (name, required) in
        [("include_tasks", "file"), ("import_tasks", "file"), ("include_role", "name"), ("import_role", "name")]
    {
        let value = json!({"anyOf": [{"type": "string"}, {"type": "object", "required": [required]}]});
        all.insert(format!("ansible.builtin.{name}"), value.clone());
        all.insert(name.to_owned(), value);
    }
    all.insert("meta".to_owned(), json!({"type": "string"}));
    all.insert("ansible.builtin.meta".to_owned(), json!({"type": "string"}));
    Json::Object(all)
}

fn names(kind: &ResourceType) -> Vec<String> {
    let mut names = vec![kind.name.to_owned()];
    for qualified in kind.qualified {
        names.push((*qualified).to_owned());
        names.extend(qualified.rsplit('.').next().map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

fn shaped(shape: Shape) -> Json {
    let template = json!({"$ref": "#/definitions/template"});
    match shape {
        Shape::Text => json!({"type": ["string", "number", "boolean", "null"]}),
        Shape::Bool => json!({"anyOf": [boolean(), template, {"type": "null"}]}),
        Shape::Int => json!({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}, template]}),
        Shape::Float => json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9.]+$"}, template]}),
        Shape::Texts => json!({"type": ["string", "array", "number", "null"]}),
        Shape::Map => json!({"type": ["object", "string", "null"]}),
        Shape::List | Shape::Any => json!({}),
    }
}

fn boolean() -> Json {
    json!({"anyOf": [
        {"type": "boolean"},
        {"enum": ["yes", "no", "on", "off", "true", "false", "True", "False", "Yes", "No", "1", "0", 1, 0]},
    ]})
}

fn argument(spec: &ArgSpec) -> Json {
    let template = json!({"$ref": "#/definitions/template"});
    let nothing = json!({"type": "null"});
    let choices = |spec: &ArgSpec| -> Vec<Json> {
        let mut all: Vec<Json> = spec.choices.iter().map(|c| json!(c)).collect();
        all.extend(spec.choices.iter().filter_map(|c| super::truth(c)).map(Json::Bool));
        all.extend(spec.choices.iter().filter_map(|c| c.parse::<i64>().ok()).map(Json::from));
        all.dedup();
        all
    };
    let mut schema = match spec.kind {
        Kind::List if !spec.choices.is_empty() => {
            json!({"anyOf": [{"type": "array", "items": {"anyOf": [{"enum": choices(spec)}, template]}}, {"type": "string"}, nothing]})
        }
        _ if !spec.choices.is_empty() => json!({"anyOf": [{"enum": choices(spec)}, template, nothing]}),
        Kind::Str | Kind::Path => json!({"type": ["string", "number", "boolean", "null"]}),
        Kind::Bool => json!({"anyOf": [boolean(), template, nothing]}),
        Kind::Int => {
            json!({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^ *-?[0-9]+ *$"}, template, nothing]})
        }
        Kind::Float => {
            json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^ *-?[0-9.eE+-]+ *$"}, template, nothing]})
        }
        Kind::List => json!({"type": ["array", "string", "number", "boolean", "object", "null"]}),
        Kind::Dict => json!({"anyOf": [{"type": "object"}, {"type": "string"}, nothing]}),
        Kind::Mode => json!({"type": ["string", "integer", "null"]}),
        Kind::Raw | Kind::Condition => json!({}),
    };
    if let Json::Object(map) = &mut schema {
        map.insert("description".to_owned(), spec.doc.into());
        if !spec.default.is_empty() {
            map.insert("default".to_owned(), default(spec));
        }
    }
    schema
}

fn default(spec: &ArgSpec) -> Json {
    match spec.kind {
        Kind::Bool => super::truth(spec.default).map_or(Json::Null, Json::Bool),
        Kind::Int => spec.default.parse::<i64>().map_or_else(|_| spec.default.into(), Json::from),
        _ => spec.default.into(),
    }
}

/// Arguments as a mapping; a text too, for `name=value` and free forms.
fn arguments(kind: &ResourceType) -> Json {
    let mut properties = Map::new();
    for spec in kind.args.iter().filter(|s| s.name != ANY) {
        let schema = argument(spec);
        for alias in spec.aliases {
            properties.insert((*alias).to_owned(), schema.clone());
        }
        properties.insert(spec.name.to_owned(), schema);
    }
    let open = kind.args.iter().any(|s| s.name == ANY);
    let about = kind.doc.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or_default();
    // What is required may stand in `args` or `module_defaults` as well: an editor would complain where nothing is wrong.
    let mapping = json!({"type": "object", "properties": properties, "additionalProperties": open});
    let mut schema = json!({"anyOf": [mapping, {"type": "string"}, {"type": "null"}], "description": about});
    // `set_fact: {a: 1}` and `debug:` with a list are read as they are.
    if kind.free_form.is_some()
        && let Some(Json::Array(any)) = schema.get_mut("anyOf")
    {
        any.push(json!({"type": "number"}));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_every_resource_is_a_key_of_tasks() {
        let schema = of_file(Of::Tasks);
        let task = &schema["definitions"]["task"]["properties"];
        for kind in registry::all() {
            for name in names(kind) {
                assert_eq!(task[&name]["$ref"], format!("#/definitions/module-{}", kind.name), "{name}");
            }
        }
        for keyword in ["when", "become", "register", "listen", "loop"] {
            assert!(task.get(keyword).is_some(), "{keyword}");
        }
        assert_eq!(schema["definitions"]["play"]["additionalProperties"], false);
    }

    #[test]
    fn arguments_are_typed() {
        let copy = of_resource(registry::lookup("copy").unwrap());
        let properties = &copy["anyOf"][0]["properties"];
        assert_eq!(properties["force"]["default"], true);
        assert_eq!(copy["anyOf"][0]["additionalProperties"], false);
        let user = of_resource(registry::lookup("user").unwrap());
        let choices = &user["anyOf"][0]["properties"]["state"]["anyOf"][0]["enum"];
        assert!(choices.as_array().unwrap().contains(&json!("absent")));
        // Every reference leads somewhere.
        let all = of_file(Of::Playbook);
        let text = all.to_string();
        for reference in text.split("\"#/definitions/").skip(1).filter_map(|r| r.split('"').next()) {
            assert!(all["definitions"].get(reference).is_some(), "{reference}");
        }
    }
}
