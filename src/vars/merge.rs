//! `hash_behaviour = merge`: mappings of one name in several scopes go together instead of the strongest replacing the others.
//!
//! Works on variables as written, before any template is resolved, as Ansible does: a mapping that a template would give is text
//! here, and replaces. Used when contexts are built, only if the setting asks for it.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::ValueKind;

use super::{Definition, Scope};
use crate::source::Span;
use crate::yaml::{Mapping, Node, Scalar, Yaml};

/// Scopes, strongest last, with one more on top that holds every mapping defined in several of them, merged. `None`: there is none.
pub fn merge(scopes: &[Arc<Scope>]) -> Option<Arc<Scope>> {
    let mut merged: IndexMap<String, Definition> = IndexMap::new();
    let mut seen: IndexMap<&str, Definition> = IndexMap::new();
    for scope in scopes {
        for (name, definition) in &scope.vars {
            let Some(weaker) = seen.get(name.as_str()) else {
                seen.insert(name, definition.clone());
                continue;
            };
            match merge_definitions(weaker, definition) {
                Some(both) => {
                    merged.insert(name.clone(), both.clone());
                    seen.insert(name, both);
                }
                None => {
                    // What is no mapping replaces what was merged so far.
                    merged.shift_remove(name);
                    seen.insert(name, definition.clone());
                }
            }
        }
    }
    (!merged.is_empty()).then(|| Arc::new(Scope { label: "merged".to_owned(), vars: merged }))
}

/// Two definitions of one variable, the second stronger; `None` if they are not both mappings.
pub fn merge_definitions(weak: &Definition, strong: &Definition) -> Option<Definition> {
    match (weak, strong) {
        (Definition::Final(a), Definition::Final(b)) if both_mappings(a, b) => {
            Some(Definition::Final(merge_values(a, b)))
        }
        (Definition::Written(a), Definition::Written(b)) => merge_nodes(a, b).map(Definition::Written),
        (Definition::Written(a), Definition::Final(b)) if b.kind() == ValueKind::Map => {
            merge_nodes(a, &data(b, &a.span)).map(Definition::Written)
        }
        (Definition::Final(a), Definition::Written(b)) if a.kind() == ValueKind::Map => {
            merge_nodes(&data(a, &b.span), b).map(Definition::Written)
        }
        _ => None,
    }
}

fn both_mappings(a: &Value, b: &Value) -> bool {
    a.kind() == ValueKind::Map && b.kind() == ValueKind::Map
}

fn merge_values(weak: &Value, strong: &Value) -> Value {
    let mut all: IndexMap<Value, Value> = IndexMap::new();
    for key in weak.try_iter().into_iter().flatten() {
        let value = weak.get_item(&key).unwrap_or_default();
        all.insert(key, value);
    }
    for key in strong.try_iter().into_iter().flatten() {
        let value = strong.get_item(&key).unwrap_or_default();
        let value = match all.get(&key) {
            Some(old) if both_mappings(old, &value) => merge_values(old, &value),
            _ => value,
        };
        all.insert(key, value);
    }
    Value::from_pairs(all)
}

/// Two nodes, if both are mappings; lists and everything else of the stronger replace the weaker's.
fn merge_nodes(weak: &Node, strong: &Node) -> Option<Node> {
    let (a, b) = (weak.as_map()?, strong.as_map()?);
    let mut entries = a.entries.clone();
    for (key, value) in &b.entries {
        let same = entries.iter_mut().find(|(k, _)| k.scalar_text() == key.scalar_text() && k.scalar_text().is_some());
        match same {
            Some((_, old)) => *old = merge_nodes(old, value).unwrap_or_else(|| value.clone()),
            None => entries.push((key.clone(), value.clone())),
        }
    }
    Some(Node::new(Yaml::Map(Arc::new(Mapping { entries })), strong.span.clone()))
}

/// Final data as a node: no text in it is a template.
fn data(value: &Value, span: &Span) -> Node {
    let node = Node::from_value(value, span);
    if node.has_template() { unsafe_node(node) } else { node }
}

fn unsafe_node(node: Node) -> Node {
    let value = match node.value {
        Yaml::Str(s) => Yaml::Str(Scalar { is_unsafe: true, ..s }),
        Yaml::Seq(items) => Yaml::Seq(Arc::new(items.iter().cloned().map(unsafe_node).collect())),
        Yaml::Map(map) => {
            let entries = map.entries.iter().cloned().map(|(k, v)| (unsafe_node(k), unsafe_node(v))).collect();
            Yaml::Map(Arc::new(Mapping { entries }))
        }
        other => other,
    };
    Node::new(value, node.span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Context, Engine, EngineOptions, repr};
    use crate::yaml::parse_text;

    fn scope(yaml: &str) -> Arc<Scope> {
        let node = parse_text("v.yml", yaml).unwrap().single().unwrap();
        let map = node.as_map().unwrap();
        Scope::written("v", map.iter().map(|(k, v)| (k.as_str().unwrap().to_owned(), v.clone())))
    }

    fn merged(scopes: Vec<Arc<Scope>>, name: &str) -> String {
        let mut all = scopes.clone();
        all.extend(merge(&scopes));
        let context = Context::new(&Engine::new(EngineOptions::default()), all, Arc::default());
        repr(&context.variable(name).unwrap().unwrap())
    }

    #[test]
    fn mappings_go_together_lists_replace() {
        let scopes =
            vec![scope("d: {a: 1, l: [1], n: {x: 1, y: 2}}\ne: 1"), scope("d: {b: '{{ e }}', l: [2], n: {y: 3}}")];
        assert_eq!(merged(scopes, "d"), "{'a': 1, 'l': [2], 'n': {'x': 1, 'y': 3}, 'b': 1}");
    }

    #[test]
    fn what_is_no_mapping_replaces_and_begins_anew() {
        let scopes = vec![scope("d: {a: 1}"), scope("d: {b: 1}"), scope("d: text"), scope("d: {c: 1}")];
        assert_eq!(merged(scopes.clone(), "d"), "{'c': 1}");
        assert_eq!(merged(scopes[..3].to_vec(), "d"), "'text'");
        assert!(merge(&scopes[..1]).is_none());
    }

    #[test]
    fn final_data_merges_without_becoming_templates() {
        let fact = Value::from_pairs([("b", "{{ 1 + 1 }}")]);
        let scopes = vec![scope("d: {a: '{{ 1 + 1 }}'}"), Scope::finals("facts", [("d".to_owned(), fact)])];
        assert_eq!(merged(scopes, "d"), "{'a': 2, 'b': '{{ 1 + 1 }}'}");
    }
}
