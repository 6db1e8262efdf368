//! YAML inventories: groups of `hosts`, `vars` and `children`, nested.

use super::model::Inventory;
use super::ranges;
use crate::problem::Problem;
use crate::yaml::{Mapping, Node, Yaml};

/// Adds what a YAML document says; every problem in it is found.
pub(super) fn read(inventory: &mut Inventory, root: &Mapping, warnings: &mut Vec<Problem>) -> Result<(), Vec<Problem>> {
    let mut reader = Reader { inventory, warnings, problems: vec![] };
    for (key, group) in root.iter() {
        reader.group(key, group, 0);
    }
    if reader.problems.is_empty() { Ok(()) } else { Err(reader.problems) }
}

struct Reader<'a> {
    inventory: &'a mut Inventory,
    warnings: &'a mut Vec<Problem>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn bad(&mut self, message: String, node: &Node) {
        self.problems.push(Problem::new("bad-inventory", message).at(&node.span));
    }

    /// The group's name, if it could be read.
    fn group(&mut self, key: &Node, body: &Node, depth: usize) -> Option<String> {
        let Some(name) = key.scalar_text() else {
            self.bad(format!("a group's name is text, not {}", key.kind()), key);
            return None;
        };
        self.inventory.add_group(&name);
        if body.is_null() || depth > 100 {
            return Some(name);
        }
        let Some(map) = body.as_map() else {
            self.bad(
                format!("group `{name}` is a mapping with `hosts`, `vars` and `children`, not {}", body.kind()),
                body,
            );
            return Some(name);
        };
        for (k, value) in map.iter() {
            match k.as_str() {
                Some("vars") => self.vars(&name, value),
                Some("hosts") => self.hosts(&name, value),
                Some("children") => self.children(&name, value, depth),
                _ => {
                    let shown = k.scalar_text().unwrap_or_default();
                    self.warnings.push(
                        Problem::new("unknown-key", format!("group `{name}` has no `{shown}`: it is ignored"))
                            .at(&k.span)
                            .nearest(&shown, ["hosts", "vars", "children"])
                            .help("a group has `hosts`, `vars` and `children`"),
                    );
                }
            }
        }
        Some(name)
    }

    /// A variable whose name is no text is shown as it was written.
    fn note_name(&mut self, name: &str, key: &Node) {
        if key.as_str().is_none() {
            self.inventory.odd_names.insert(name.to_owned(), key.clone());
        }
    }

    fn vars(&mut self, group: &str, node: &Node) {
        if node.is_null() {
            return;
        }
        let Some(map) = node.as_map() else {
            return self.bad(format!("`vars` of group `{group}` is a mapping, not {}", node.kind()), node);
        };
        for (key, value) in map.iter() {
            match key.scalar_text() {
                Some(name) => {
                    self.note_name(&name, key);
                    if let Err(p) = self.inventory.set_group_var(group, &name, value.clone()) {
                        self.problems.push(p);
                    }
                }
                None => self.bad(format!("a variable's name is text, not {}", key.kind()), key),
            }
        }
    }

    fn hosts(&mut self, group: &str, node: &Node) {
        match &node.value {
            Yaml::Null => {}
            Yaml::Str(_) => self.host(group, node, None),
            Yaml::Map(map) => {
                for (key, vars) in map.iter() {
                    match &vars.value {
                        Yaml::Null => self.host(group, key, None),
                        Yaml::Map(vars) => self.host(group, key, Some(vars)),
                        _ => self.bad(format!("a host's variables are a mapping, not {}", vars.kind()), vars),
                    }
                }
            }
            _ => {
                let problem = Problem::new(
                    "bad-inventory",
                    format!("`hosts` of group `{group}` is a mapping, not {}", node.kind()),
                )
                .at(&node.span)
                .help("write each host as a key: `web01:` instead of `- web01`");
                self.problems.push(problem);
            }
        }
    }

    fn host(&mut self, group: &str, key: &Node, vars: Option<&Mapping>) {
        let Some(pattern) = key.scalar_text() else {
            return self.bad(format!("a host's name is text, not {}", key.kind()), key);
        };
        let (names, port) = match ranges::expand(&pattern) {
            Ok(found) => found,
            Err(message) => return self.bad(message, key),
        };
        let source = key.span.file.path.clone();
        for name in names {
            for (k, _) in vars.into_iter().flat_map(Mapping::iter) {
                self.note_name(&k.scalar_text().unwrap_or_default(), k);
            }
            let host = self.inventory.add_host(&name, Some(&source));
            if let Some(port) = port {
                host.vars.insert("ansible_port".into(), Node::new(Yaml::Int(port), key.span.clone()));
            }
            for (k, v) in vars.into_iter().flat_map(Mapping::iter) {
                if let Some(name) = k.scalar_text() {
                    host.vars.insert(name, v.clone());
                }
            }
            self.inventory.add_to_group(&name, group);
        }
    }

    fn children(&mut self, group: &str, node: &Node, depth: usize) {
        match &node.value {
            Yaml::Null => {}
            Yaml::Str(s) => self.child(group, &s.text, node),
            Yaml::Map(map) => {
                for (key, body) in map.iter() {
                    if let Some(name) = self.group(key, body, depth + 1) {
                        self.child(group, &name, key);
                    }
                }
            }
            _ => {
                let problem = Problem::new(
                    "bad-inventory",
                    format!("`children` of group `{group}` is a mapping, not {}", node.kind()),
                )
                .at(&node.span)
                .help("write each group as a key: `web:` instead of `- web`");
                self.problems.push(problem);
            }
        }
    }

    fn child(&mut self, group: &str, name: &str, place: &Node) {
        if let Err(p) = self.inventory.add_child(group, name) {
            self.problems.push(p.or_at(&place.span));
        }
    }
}
