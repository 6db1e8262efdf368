//! Names, aliases, types, choices and defaults of arguments, compared with what `ansible-doc -j` says of the same modules.
//!
//! `ansible_arguments.json` holds facts only: it was recorded from ansible-core 2.19 and the collections of Ansible 12.

use serde_json::{Map, Value as Json};

use crate::resources::{ANY, ArgSpec, Kind, registry, truth};

/// Where kdeploy's list differs on purpose: module, argument, why.
const ON_PURPOSE: &[(&str, &str, &str)] = &[
    // Free forms go by another name.
    ("command", "free_form", "_raw_params"),
    ("command", "_raw_params", "free_form"),
    ("shell", "free_form", "_raw_params"),
    ("shell", "_raw_params", "free_form"),
    ("raw", "free_form", "_raw_params"),
    ("raw", "_raw_params", "free_form"),
    ("script", "free_form", "_raw_params"),
    ("script", "_raw_params", "free_form"),
    ("include_vars", "free-form", "_raw_params"),
    ("include_vars", "_raw_params", "free-form"),
    ("set_fact", "key_value", "any name is an argument"),
    ("copy", "local_follow", "said in words"),
    ("deb822_repository", "exclude", "of later ansible-core"),
    ("deb822_repository", "include", "of later ansible-core"),
    ("synchronize", "_local_rsync_password", "within Ansible only"),
    ("synchronize", "_local_rsync_path", "within Ansible only"),
    ("synchronize", "_ssh_args", "within Ansible only"),
    ("synchronize", "_substitute_controller", "within Ansible only"),
    // Accepted by ansible-core, and not in its documentation.
    ("assemble", "follow", "undocumented"),
    ("command", "executable", "undocumented"),
    ("deb822_repository", "install_python_debian", "of later ansible-core"),
    ("gather_facts", "gather_subset", "handed on to setup"),
    ("gather_facts", "filter", "handed on to setup"),
    ("gather_facts", "gather_timeout", "handed on to setup"),
    ("gather_facts", "fact_path", "handed on to setup"),
    ("package", "update_cache", "handed on to the package manager's module"),
    ("service", "daemon_reload", "handed on to systemd"),
    ("shell", "strip_empty_ends", "undocumented"),
    ("stat", "get_selinux_context", "of later ansible-core"),
    ("validate_argument_spec", "validate_args_context", "set by the engine"),
    // Values of any type, which ansible-doc calls texts.
    ("assert", "fail_msg", "lists are texts too"),
    ("assert", "success_msg", "lists are texts too"),
    ("copy", "content", "mappings are written as JSON"),
    ("debug", "msg", "any value"),
    ("debug", "var", "any value"),
    ("package", "name", "a list, as every package manager takes it"),
    ("pause", "minutes", "a number"),
    ("pause", "seconds", "a number"),
    ("validate_argument_spec", "argument_spec", "a mapping"),
    ("validate_argument_spec", "provided_arguments", "a mapping"),
    // Defaults that are said in words, or depend on others.
    ("apt_repository", "mode", "0644 for new files only"),
    ("mount", "fstab", "by `state`"),
    ("pip", "virtualenv_command", "nodes rarely have virtualenv"),
    ("reboot", "boot_time_command", "the boot id is asked by the engine"),
    ("reboot", "reboot_command", "by the node's tools"),
    ("reboot", "search_paths", "by the node's PATH"),
    ("template", "newline_sequence", "written as it is, too"),
    ("user", "ssh_key_comment", "with the node's name"),
];

/// Modules whose lists are not whole yet.
const LATER: &[&str] = &["k8s", "k8s_info"];

fn recorded() -> Map<String, Json> {
    serde_json::from_str(include_str!("ansible_arguments.json")).unwrap()
}

fn kinds(json: &Json) -> &'static [Kind] {
    match json["type"].as_str().unwrap_or("str") {
        "bool" => &[Kind::Bool],
        "int" => &[Kind::Int],
        "float" => &[Kind::Float],
        "list" => &[Kind::List, Kind::Condition],
        "dict" => &[Kind::Dict],
        "path" => &[Kind::Path, Kind::Str],
        "raw" | "any" | "jsonarg" | "json" => &[Kind::Raw, Kind::Mode],
        // What Ansible calls a text may well be a path.
        _ => &[Kind::Str, Kind::Path],
    }
}

fn shown(default: &Json) -> String {
    match default {
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn same_default(kind: Kind, ours: &str, theirs: &str) -> bool {
    match kind {
        Kind::Bool => {
            truth(if ours.is_empty() { "no" } else { ours }) == truth(if theirs.is_empty() { "no" } else { theirs })
        }
        Kind::Float => ours.parse::<f64>().ok() == theirs.parse::<f64>().ok(),
        Kind::Dict if theirs == "{}" => ours.is_empty(),
        _ => ours == theirs,
    }
}

fn compare(name: &str, theirs: &Json, ours: Option<&ArgSpec>, wrong: &mut Vec<String>) {
    let mut say = |what: String| wrong.push(format!("{name}: {what}"));
    let Some(spec) = ours else {
        say(format!("missing {theirs}"));
        return;
    };
    if !kinds(theirs).contains(&spec.kind) {
        say(format!("is {:?}, not {}", spec.kind, theirs["type"]));
    }
    let mut aliases: Vec<&str> = spec.aliases.to_vec();
    aliases.sort_unstable();
    let listed: Vec<&str> = theirs["aliases"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if !listed.iter().all(|a| aliases.contains(a)) {
        say(format!("aliases {aliases:?}, not {listed:?}"));
    }
    let mut choices: Vec<&str> = spec.choices.to_vec();
    choices.sort_unstable();
    let listed: Vec<&str> = theirs["choices"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if choices != listed {
        say(format!("choices {choices:?}, not {listed:?}"));
    }
    if spec.required != theirs["required"].as_bool().unwrap_or(false) {
        say(format!("required: {}", spec.required));
    }
    let default = if theirs["default"].is_null() { String::new() } else { shown(&theirs["default"]) };
    if !same_default(spec.kind, spec.default, &default) {
        say(format!("default `{}`, not `{default}`", spec.default));
    }
}

#[test]
fn arguments_are_those_of_ansible() {
    let mut wrong = vec![];
    let mut compared = 0;
    for (module, theirs) in &recorded() {
        let Some(kind) = registry::lookup(module) else { continue };
        if kind.qualified.first() != Some(&module.as_str()) || LATER.contains(&kind.name) {
            continue;
        }
        compared += 1;
        for (name, json) in theirs.as_object().unwrap() {
            if ON_PURPOSE.iter().any(|(m, a, _)| *m == kind.name && a == name) {
                continue;
            }
            let ours = kind.args.iter().find(|s| s.name == name);
            compare(&format!("{}.{name}", kind.name), json, ours, &mut wrong);
        }
        for spec in kind.args.iter().filter(|s| s.name != ANY) {
            let known = theirs.get(spec.name).is_some();
            if !known && !ON_PURPOSE.iter().any(|(m, a, _)| *m == kind.name && *a == spec.name) {
                wrong.push(format!("{}.{}: Ansible has no such argument", kind.name, spec.name));
            }
        }
    }
    assert!(compared > 60, "only {compared} modules were compared");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
