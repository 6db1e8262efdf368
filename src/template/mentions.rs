//! The variables that nodes mention, without evaluating anything.

use std::collections::BTreeSet;

use super::engine::yaml_options;
use super::eval::is_function;
use super::syntax::{free_names, free_names_of, parse_expression, parse_template};
use crate::yaml::{Node, Yaml};

pub fn in_templates(node: &Node) -> Vec<String> {
    let mut found = BTreeSet::new();
    walk(node, &mut found);
    finish(found)
}

pub fn in_conditions(nodes: &[Node]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for node in nodes {
        let Some(text) = node.as_str() else { continue };
        if node.has_template() && text.trim().starts_with("{") {
            walk(node, &mut found);
        } else if let Ok(expr) = parse_expression(text, &yaml_options()) {
            found.extend(free_names_of(&expr));
        }
    }
    finish(found)
}

fn finish(found: BTreeSet<String>) -> Vec<String> {
    found.into_iter().filter(|name| !is_function(name) && name != "omit" && name != "vars").collect()
}

fn walk(node: &Node, found: &mut BTreeSet<String>) {
    match &node.value {
        Yaml::Str(s) if node.has_template() => {
            if let Ok(template) = parse_template(&s.text, &yaml_options()) {
                found.extend(free_names(&template.body));
            }
        }
        Yaml::Seq(items) => items.iter().for_each(|i| walk(i, found)),
        Yaml::Map(map) => {
            for (key, value) in map.iter() {
                walk(key, found);
                walk(value, found);
            }
        }
        _ => {}
    }
}
