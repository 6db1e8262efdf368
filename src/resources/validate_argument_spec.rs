//! `validate_argument_spec`: check values against a specification; roles' meta/argument_specs.yml use it too.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::ValueKind;

use super::kit::{self, Ready};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of, truth};
use crate::problem::Problem;
use crate::template::Unknown;
use crate::world::Stop;

const DOC: &str = "\
# validate_argument_spec

Checks variables against an argument specification: types, required values, choices, elements and sub-options.

A role's meta/argument_specs.yml is checked the same way before the role's first task.

## Return values

- `msg` (text), `argument_errors` (list), `argument_spec_data` (mapping), `validate_args_context` (mapping)

## Examples

    - validate_argument_spec:
        argument_spec:
          containerd_version:
            type: str
            required: true
          containerd_mirrors:
            type: list
            elements: dict
            options:
              url:
                type: str
                required: true

    - validate_argument_spec:
        argument_spec: \"{{ spec }}\"
        provided_arguments:
          port: 6443

## Differences from Ansible

Messages of failed conversions are shorter.
";

pub static TYPE: ResourceType = ResourceType {
    name: "validate_argument_spec",
    qualified: &["ansible.builtin.validate_argument_spec"],
    doc: DOC,
    args: &[
        ArgSpec::new("argument_spec", Kind::Dict, "The specification: options by name").required(),
        ArgSpec::new("provided_arguments", Kind::Dict, "Values to check, over the task's variables"),
        ArgSpec::new("validate_args_context", Kind::Dict, "What is being checked, for the result"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let spec = args.dict("argument_spec")?;
    let provided = args.dict("provided_arguments")?;
    let mut given: IndexMap<String, Value> = IndexMap::new();
    for name in spec.keys().filter(|n| !provided.contains_key(*n)) {
        match (setting.evaluate)(name) {
            Ok(value) if !value.is_undefined() => {
                given.insert(name.clone(), value);
            }
            Ok(_) | Err(Stop::Invalid(Problem { code: "undefined-variable", .. })) => {}
            Err(Stop::Unknown(unknown)) if !unknown.is_pending() => {
                given.insert(name.clone(), unknown.into_value());
            }
            Err(stop) => return Err(stop),
        }
    }
    given.extend(provided);
    let spec_value = args.raw("argument_spec").cloned().unwrap_or_default();
    let errors = check(&spec_value, &kit::map(given));
    let context = args.raw("validate_args_context").cloned().unwrap_or_else(|| kit::map([]));
    let result = TaskResult::unchanged().with("validate_args_context", context);
    if errors.is_empty() {
        return Ok(Ready::boxed(Ok(Verdict::Unchanged(result.with("msg", "The arg spec validation passed")))));
    }
    Ok(Ready::boxed(Ok(Verdict::Failed(
        result
            .with("msg", format!("Validation of arguments failed:\n{}", errors.join("\n")))
            .with("argument_errors", Value::from(errors))
            .with("argument_spec_data", spec_value),
    ))))
}

/// What is wrong with `given` (a mapping) by a specification (a mapping of options); empty if nothing is.
pub fn check(spec: &Value, given: &Value) -> Vec<String> {
    let mut errors = vec![];
    let mut unsupported: Vec<(String, String)> = vec![];
    check_level(&entries(spec), &entries(given), None, "", &mut errors, &mut unsupported);
    unsupported.sort();
    // What is supported is told of one level only, with Ansible of any.
    if let Some((_, known)) = unsupported.last() {
        let names: Vec<&str> = unsupported.iter().map(|(name, _)| name.as_str()).collect();
        errors.push(format!("{}. Supported parameters include: {known}.", names.join(", ")));
    }
    errors
}

/// The options' defaults: name and value.
pub fn defaults(spec: &Value) -> Vec<(String, Value)> {
    entries(spec)
        .into_iter()
        .filter_map(|(name, option)| attribute(&option, "default").map(|default| (name, default)))
        .collect()
}

fn entries(map: &Value) -> IndexMap<String, Value> {
    if map.kind() != ValueKind::Map {
        return IndexMap::new();
    }
    let keys = map.try_iter().into_iter().flatten();
    keys.map(|key| (text_of(&key), map.get_item(&key).unwrap_or_default())).collect()
}

fn attribute(map: &Value, name: &str) -> Option<Value> {
    map.get_attr(name).ok().filter(|v| !v.is_undefined() && !v.is_none())
}

fn list(value: Option<Value>) -> Vec<Value> {
    value.and_then(|v| v.try_iter().ok().map(Iterator::collect)).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().into_iter().flatten().map(|v| text_of(&v)).collect(),
        _ => vec![text_of(value)],
    }
}

fn flag(option: &Value, name: &str) -> bool {
    attribute(option, name)
        .is_some_and(|v| v.kind() == ValueKind::Bool && v.is_true() || truth(&text_of(&v)) == Some(true))
}

fn aliases(option: &Value) -> Vec<String> {
    list(attribute(option, "aliases")).iter().map(text_of).collect()
}

/// The options of a level, as a message lists them: their names, then all aliases.
fn supported(spec: &IndexMap<String, Value>) -> String {
    let joined = |mut names: Vec<String>| {
        names.sort();
        names.join(", ")
    };
    let names = joined(spec.keys().cloned().collect());
    let all = joined(spec.values().flat_map(aliases).collect());
    if all.is_empty() { names } else { format!("{names} ({all})") }
}

/// The type an option wants.
fn kind_of(option: &Value) -> String {
    attribute(option, "type").map_or_else(|| "str".to_owned(), |t| text_of(&t))
}

/// The values below an option that its own options are for: the mapping, or each of a list of mappings.
fn inner_items(option: &Value, value: &Value) -> Vec<Value> {
    let elements = attribute(option, "elements").map(|e| text_of(&e));
    match kind_of(option).as_str() {
        "dict" => vec![value.clone()],
        "list" if elements.as_deref() == Some("dict") => as_list(value),
        _ => vec![],
    }
}

/// Ansible looks for aliases at all depths before anything else, and gives up at the first text that is no mapping. (It does so again at
/// each level, and so says deeper mistakes once more.)
fn look_for_aliases(
    spec: &IndexMap<String, Value>,
    given: &IndexMap<String, Value>,
    errors: &mut Vec<String>,
) -> Result<(), String> {
    for (name, value) in given {
        let Some((name, option)) = spec.iter().find(|(n, option)| *n == name || aliases(option).contains(name)) else {
            continue;
        };
        let Some(options) = attribute(option, "options").map(|options| entries(&options)) else { continue };
        if value.is_none() || Unknown::within(value).is_some() {
            continue;
        }
        for item in inner_items(option, value) {
            match item.kind() {
                ValueKind::Map => look_for_aliases(&options, &entries(&item), errors)?,
                ValueKind::String => look_for_aliases(&options, &mapping_in(&text_of(&item))?, errors)?,
                _ => errors.push(format!(
                    "Value '{}' in the sub parameter field '{name}' must be a list, not '{}'",
                    text_of(&item),
                    python_type(&item)
                )),
            }
        }
    }
    Ok(())
}

/// The mapping that a text stands for: JSON, a Python literal, or `key=value` words.
fn mapping_in(text: &str) -> Result<IndexMap<String, Value>, String> {
    let text = text.trim();
    if text.starts_with('{') {
        let node = serde_yaml::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        let map = node.map_err(|_| "unable to evaluate string as dictionary".to_owned())?;
        return Ok(map.iter().map(|(name, value)| (name.clone(), kit::from_json(value))).collect());
    }
    let wrong = || "dictionary requested, could not parse JSON or key=value".to_owned();
    if !text.contains('=') {
        return Err(wrong());
    }
    let (mut words, mut word, mut quote) = (vec![], String::new(), None);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if matches!(c, ',' | ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    let pair = |word: String| {
        word.split_once('=').map(|(name, value)| (name.to_owned(), Value::from(value))).ok_or_else(wrong)
    };
    words.into_iter().filter(|word| !word.is_empty()).map(pair).collect()
}

fn check_level(
    spec: &IndexMap<String, Value>,
    given: &IndexMap<String, Value>,
    around: Option<&Value>,
    path: &str,
    errors: &mut Vec<String>,
    unsupported: &mut Vec<(String, String)>,
) {
    let place = if path.is_empty() { String::new() } else { format!(" found in {}", path.replace('.', " -> ")) };
    // Names resolved: an alias stands for its option.
    let mut values: IndexMap<&str, &Value> = IndexMap::new();
    for (name, value) in given {
        let option = spec.iter().find(|(n, option)| *n == name || aliases(option).contains(name));
        match option {
            Some((canonical, _)) => {
                values.insert(canonical, value);
            }
            None => unsupported
                .push((if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, supported(spec))),
        }
    }
    let items_of = |option: &Value, value: &Value| match kind_of(option).as_str() {
        "list" => as_list(value),
        _ => vec![value.clone()],
    };
    let mut canonical: IndexMap<String, Value> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).clone())).collect();
    values.retain(|_, value| !value.is_none() && Unknown::within(value).is_none());
    if let Err(mistake) = look_for_aliases(spec, given, errors) {
        errors.push(mistake);
    }
    if let Some(around) = around {
        check_exclusive(around, &canonical, &place, errors);
    }
    let missing: Vec<&str> = spec
        .iter()
        .filter(|(name, option)| flag(option, "required") && !values.contains_key(name.as_str()))
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        errors.push(format!("missing required arguments: {}{place}", missing.join(", ")));
    }
    for (name, value) in &values {
        let option = &spec[*name];
        let kind = kind_of(option);
        if !converts(value, &kind) {
            let inside =
                if path.is_empty() { String::new() } else { format!(" found in '{}'.", path.replace('.', " -> ")) };
            errors.push(format!(
                "argument '{name}' is of type {}{inside} and we were unable to convert to {kind}: {}",
                python_type(value),
                reason(value, &kind)
            ));
        } else if let (Some(elements), "list") = (attribute(option, "elements").map(|e| text_of(&e)), kind.as_str()) {
            let inside =
                if path.is_empty() { String::new() } else { format!(" found in '{}'", path.replace('.', " -> ")) };
            for item in as_list(value).iter().filter(|item| !converts(item, &elements)) {
                errors.push(format!(
                    "Elements value for option '{name}'{inside} is of type {} and we were unable to convert to {elements}: {}",
                    python_type(item),
                    reason(item, &elements)
                ));
            }
        }
    }
    for (name, value) in &values {
        let option = &spec[*name];
        let Some(choices) = attribute(option, "choices") else { continue };
        let allowed = texts(&choices);
        let wrong: Vec<String> =
            items_of(option, value).iter().filter(|item| !is_choice(item, &allowed)).map(text_of).collect();
        if !wrong.is_empty() {
            let (allowed, wrong) = (allowed.join(", "), wrong.join(", "));
            errors.push(match kind_of(option).as_str() {
                "list" => {
                    format!("value of {name} must be one or more of: {allowed}. Got no match for: {wrong}{place}")
                }
                _ => format!("value of {name} must be one of: {allowed}, got: {wrong}{place}"),
            });
        }
    }
    if let Some(around) = around {
        // Defaults count as given here.
        for (name, option) in spec {
            if let (false, Some(default)) = (canonical.contains_key(name), attribute(option, "default")) {
                canonical.insert(name.clone(), default);
            }
        }
        check_relations(around, &canonical, &place, errors);
    }
    for (name, value) in &values {
        let option = &spec[*name];
        let Some(options) = attribute(option, "options") else { continue };
        let below = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        let (options, kind) = (entries(&options), kind_of(option));
        for item in inner_items(option, value) {
            let inner = match item.kind() {
                ValueKind::Map => entries(&item),
                ValueKind::String => match mapping_in(&text_of(&item)) {
                    Ok(inner) => inner,
                    Err(_) if kind == "dict" => {
                        errors.push(format!("value of '{name}' must be of type dict or list of dicts"));
                        continue;
                    }
                    Err(_) => continue,
                },
                _ => continue,
            };
            check_level(&options, &inner, Some(option), &below, errors, unsupported);
        }
    }
}

/// Sub-options that do not go together (`mutually_exclusive`).
fn check_exclusive(option: &Value, given: &IndexMap<String, Value>, place: &str, errors: &mut Vec<String>) {
    let has = |name: &&String| given.get(*name).is_some_and(|v| !v.is_none());
    for group in list(attribute(option, "mutually_exclusive")).iter().map(texts) {
        if group.iter().filter(has).count() > 1 {
            errors.push(format!("parameters are mutually exclusive: {}{place}", group.join("|")));
        }
    }
}

/// Rules between sub-options: `required_together`, `required_one_of`, `required_if`, `required_by`.
fn check_relations(option: &Value, given: &IndexMap<String, Value>, place: &str, errors: &mut Vec<String>) {
    let has = |name: &String| given.get(name).is_some_and(|v| !v.is_none());
    let groups = |name: &str| -> Vec<Vec<String>> { list(attribute(option, name)).iter().map(texts).collect() };
    for group in groups("required_together") {
        let count = group.iter().filter(|n| has(n)).count();
        if count > 0 && count < group.len() {
            errors.push(format!("parameters are required together: {}{place}", group.join(", ")));
        }
    }
    for group in groups("required_one_of").iter().filter(|g| !g.iter().any(has)) {
        errors.push(format!("one of the following is required: {}{place}", group.join(", ")));
    }
    for rule in list(attribute(option, "required_if")) {
        let parts: Vec<Value> = rule.try_iter().into_iter().flatten().collect();
        let [key, value, needed, rest @ ..] = parts.as_slice() else { continue };
        if given.get(&text_of(key)).is_none_or(|v| text_of(v) != text_of(value)) {
            continue;
        }
        let needed = texts(needed);
        let missing: Vec<String> = needed.iter().filter(|n| !has(n)).cloned().collect();
        let any = rest.first().is_some_and(Value::is_true);
        if any && missing.len() == needed.len() || !any && !missing.is_empty() {
            let all = if any { "any" } else { "all" };
            errors.push(format!(
                "{} is {} but {all} of the following are missing: {}{place}",
                text_of(key),
                text_of(value),
                missing.join(", ")
            ));
        }
    }
    for (key, needed) in attribute(option, "required_by").map(|m| entries(&m)).unwrap_or_default() {
        if has(&key) {
            let missing: Vec<String> = texts(&needed).into_iter().filter(|n| !has(n)).collect();
            if !missing.is_empty() {
                errors.push(format!("missing parameter(s) required by '{key}': {}{place}", missing.join(", ")));
            }
        }
    }
}

fn is_choice(item: &Value, allowed: &[String]) -> bool {
    let text = text_of(item);
    allowed.contains(&text)
        || item.kind() == ValueKind::Bool && allowed.iter().any(|c| truth(c) == Some(item.is_true()))
}

fn as_list(value: &Value) -> Vec<Value> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().into_iter().flatten().collect(),
        ValueKind::String => text_of(value).split(',').map(|s| Value::from(s.trim())).collect(),
        _ => vec![value.clone()],
    }
}

/// Whether Ansible's conversion to this type succeeds.
fn converts(value: &Value, kind: &str) -> bool {
    let text = || text_of(value);
    let is_text = value.kind() == ValueKind::String;
    let is_bool = value.kind() == ValueKind::Bool;
    let is_number = value.kind() == ValueKind::Number;
    match kind {
        "int" => {
            let whole = |text: &str| text.trim().parse::<f64>().is_ok_and(|n| n.fract() == 0.0 && n.is_finite());
            is_bool || (is_number || is_text) && whole(&text())
        }
        "float" => is_number || is_bool || is_text && text().trim().parse::<f64>().is_ok(),
        "bool" => is_bool || (is_text || is_number) && truth(&text()).is_some(),
        "list" => matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) || is_text || is_number || is_bool,
        "dict" => value.kind() == ValueKind::Map || is_text && mapping_in(&text()).is_ok(),
        "bytes" | "bits" => is_number || is_text && is_size(text().trim(), kind == "bits"),
        "json" | "jsonarg" => !is_number && !is_bool,
        // `str` takes everything; `path` and `raw` too.
        _ => true,
    }
}

/// Whether a text is a number of bytes or bits, as `10M` or `1.5 GB`.
fn is_size(text: &str, bits: bool) -> bool {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let small = unit.chars().nth(1) == Some('b') || unit == "b";
    let large = unit.chars().nth(1) == Some('B') || unit == "B";
    number.trim().parse::<f64>().is_ok()
        && !(if bits { large } else { small })
        && unit.chars().next().is_none_or(|c| "YZEPTGMKB".contains(c.to_ascii_uppercase()))
}

fn reason(value: &Value, kind: &str) -> String {
    if let ("dict", Some(Err(why))) = (kind, value.as_str().map(mapping_in)) {
        return why;
    }
    let shown = match value.kind() {
        ValueKind::String => format!("'{}'", text_of(value)),
        _ => text_of(value),
    };
    format!("{shown} is no {kind}")
}

fn python_type(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Bool => "bool",
        ValueKind::Number if i64::try_from(value.clone()).is_ok() && !value.to_string().contains('.') => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Map => "dict",
        ValueKind::None | ValueKind::Undefined => "NoneType",
        _ => "list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: serde_json::Value) -> Value {
        crate::resources::testing::value_of(&json)
    }

    #[test]
    fn says_what_ansible_says() {
        let spec = value(serde_json::json!({
            "p": {"type": "int", "required": true},
            "q": {"type": "str", "choices": ["a", "b"]},
            "l": {"type": "list", "elements": "dict", "options": {"z": {"type": "bool", "required": true}}},
            "d": {"default": 4},
        }));
        let given = value(serde_json::json!({"p": "x", "q": "c", "l": [{"y": 1}, {"z": "yes"}], "extra": 3}));
        assert_eq!(
            check(&spec, &given),
            [
                "argument 'p' is of type str and we were unable to convert to int: 'x' is no int",
                "value of q must be one of: a, b, got: c",
                "missing required arguments: z found in l",
                "extra, l.y. Supported parameters include: z.",
            ]
        );
        assert_eq!(check(&spec, &value(serde_json::json!({}))), ["missing required arguments: p"]);
        assert!(check(&spec, &value(serde_json::json!({"p": "5", "q": null}))).is_empty());
        assert_eq!(defaults(&spec).len(), 1);
    }
}
