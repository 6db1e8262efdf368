//! What defines variables in a repository: inventories, plays, roles, tasks.
//!
//! Part of `check`: one set of names for everything that is checked together. A variable counts as defined if anything
//! anywhere may define it; only names that nothing defines are reported.

use std::collections::BTreeMap;

use crate::source::Span;
use crate::yaml::Node;

use super::loader::scalar_text;

/// Variables the engine itself gives to every task, besides `ansible_…`.
const MAGIC: &[&str] = &[
    "inventory_hostname",
    "inventory_hostname_short",
    "inventory_file",
    "inventory_dir",
    "groups",
    "group_names",
    "hostvars",
    "playbook_dir",
    "play_hosts",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
    "environment",
    "omit",
    "item",
    "vars",
    "template_host",
    "template_path",
    "template_fullpath",
    "template_run_date",
    "template_uid",
    "template_destpath",
    "template_mtime",
    // What fact modules set without a prefix.
    "packages",
    "services",
    "discovered_interpreter_python",
    "module_setup",
    "gather_subset",
];

/// Names that are defined, each with a place that defines it, if it is in a file.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, Option<Span>>,
    /// Names made by templates (`set_fact: {"{{ x }}_y": …}`): the fixed parts around them.
    patterns: Vec<Vec<String>>,
}

impl Names {
    pub(super) fn add(&mut self, name: &str, span: Option<&Span>) {
        if name.contains("{{") {
            self.patterns.push(fixed_parts(name));
            return;
        }
        let place = self.known.entry(name.to_owned()).or_default();
        if place.is_none() {
            *place = span.cloned();
        }
    }

    pub(super) fn add_all<'a>(&mut self, vars: impl IntoIterator<Item = (&'a String, &'a Node)>) {
        for (name, node) in vars {
            self.add(name, Some(&node.span));
        }
    }

    /// A keyword that names a variable (`register`, `loop_var`).
    pub(super) fn add_node(&mut self, node: Option<&Node>) {
        if let Some(name) = node.and_then(scalar_text) {
            self.add(&name, node.map(|n| &n.span));
        }
    }

    /// The keys of a mapping (a variables file).
    pub(super) fn add_keys(&mut self, node: &Node) {
        for (key, value) in node.as_map().into_iter().flat_map(|m| m.iter()) {
            if let Some(name) = scalar_text(key) {
                self.add(&name, Some(&value.span));
            }
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        name.starts_with("ansible_")
            || name.starts_with("getent_")
            || MAGIC.contains(&name)
            || self.known.contains_key(name)
            || self.patterns.iter().any(|parts| matches(name, parts))
    }

    /// A defined name like this one, and where it is defined.
    pub(super) fn similar(&self, name: &str) -> Option<(&str, Option<&Span>)> {
        let near = crate::problem::nearest(name, self.known.keys().map(String::as_str))?;
        Some((near, self.known.get(near).and_then(Option::as_ref)))
    }
}

/// The texts between templates: `{{ a }}_b` is `["", "_b"]`.
pub(super) fn fixed_parts(text: &str) -> Vec<String> {
    let mut parts = vec![];
    let mut rest = text;
    while let Some((before, inner)) = rest.split_once("{{") {
        parts.push(before.to_owned());
        rest = inner.split_once("}}").map_or("", |(_, after)| after);
    }
    parts.push(rest.to_owned());
    parts
}

/// Whether a name is the fixed parts with anything between them.
pub(super) fn matches(name: &str, parts: &[String]) -> bool {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    if parts.len() == 1 {
        return name == first;
    }
    let Some(mut rest) = name.strip_prefix(first.as_str()).and_then(|r| r.strip_suffix(last.as_str())) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part.as_str()) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}
