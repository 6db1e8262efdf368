//! The statement of a task: which of its keys says what it does, and its arguments in every form Ansible takes.

use crate::problem::Problem;
use crate::source::Span;
use crate::yaml::{Mapping, Node, Scalar, ScalarStyle, Yaml};

use super::freeform;
use super::keywords::{self, shown};
use super::loader::{Around, Session};
use super::modules;

/// The statement of a task: what it does, and with what.
pub(super) struct Statement {
    /// The name as written.
    pub written: String,
    /// Where the name stands.
    pub span: Span,
    /// `local_action`.
    pub local: bool,
    pub given: Given,
}

/// Arguments, before they are known to fit.
#[derive(Default)]
pub(super) struct Given {
    pub named: Vec<(Node, Node)>,
    pub free: Option<Node>,
    pub template: Option<Node>,
}

impl Session<'_> {
    /// Finds the module or statement among a task's keys.
    pub(super) fn statement(&mut self, node: &Node, map: &Mapping, around: &Around) -> Option<Statement> {
        let additional = map.get("args");
        let mut chosen: Option<(Node, Statement)> = None;
        for (key, local) in [("action", false), ("local_action", true)] {
            let Some((key_node, value)) = map.entry(key) else { continue };
            if chosen.is_some() {
                self.problem(
                    Problem::new("conflicting-statements", "`action` and `local_action` exclude each other")
                        .at(&key_node.span),
                );
                continue;
            }
            let (written, given) = self.old_style(key, value, additional)?;
            chosen = Some((key_node.clone(), Statement { written, span: value.span.clone(), local, given }));
        }
        let mut unknown: Vec<(&Node, &str, &Node)> = vec![];
        let mut known: Vec<(&Node, &str, &Node)> = vec![];
        for (key_node, value) in map.iter() {
            let Some(key) = key_node.as_str() else {
                self.problem(
                    Problem::new("wrong-type", format!("a task's key must be text, not {}", shown(key_node)))
                        .at(&key_node.span),
                );
                continue;
            };
            if key.starts_with("with_") || keywords::shape(around.place, key).is_some() {
                continue;
            }
            if self.is_module(key, around) {
                known.push((key_node, key, value));
            } else {
                unknown.push((key_node, key, value));
            }
        }
        for (key_node, key, value) in known {
            if let Some((first, statement)) = &chosen {
                self.problem(
                    Problem::new(
                        "conflicting-statements",
                        format!("a task does one thing, but this one has `{}` and `{key}`", statement.written),
                    )
                    .at(&key_node.span)
                    .note(format!("`{}` is at {}", statement.written, first.span))
                    .help("make two tasks of it, or a block"),
                );
                continue;
            }
            let given = self.arguments(key, value, additional)?;
            let statement = Statement { written: key.to_owned(), span: key_node.span.clone(), local: false, given };
            chosen = Some((key_node.clone(), statement));
        }
        // What is left is a mistyped keyword or a mistyped module: of several, the one least like a keyword is the module.
        if chosen.is_none() {
            let names = keywords::names(around.place);
            let module = unknown.iter().position(|(_, key, _)| {
                crate::problem::nearest(key, names.iter().copied()).is_none() && !is_removed(key)
            });
            // In a collection that is searched for short names there may be such a module.
            let foreign = |c: &String| !matches!(c.as_str(), "ansible.builtin" | "ansible.legacy");
            if let Some(at) = module.filter(|_| around.collections.iter().any(foreign)) {
                let (key_node, key, value) = unknown.remove(at);
                let given = self.arguments(key, value, additional)?;
                let statement = Statement { written: key.to_owned(), span: key_node.span.clone(), local: false, given };
                chosen = Some((key_node.clone(), statement));
            } else if let Some(at) = module {
                let (key_node, key, _) = unknown.remove(at);
                let problem = self.unknown_module(key, around).at(&key_node.span);
                self.problem(problem);
            } else if unknown.is_empty() {
                self.problem(
                    Problem::new("no-module", "this task has no module: nothing says what it does")
                        .at(&node.span)
                        .help("name a module, e.g. `ansible.builtin.command: …`"),
                );
            }
        }
        for (key_node, key, _) in unknown {
            self.problem(keywords::unknown(around.place, key, &key_node.span));
        }
        chosen.map(|(_, statement)| statement)
    }

    /// `action:` and `local_action:`: the module's name is in the value.
    fn old_style(&mut self, keyword: &str, value: &Node, additional: Option<&Node>) -> Option<(String, Given)> {
        let split = |text: &str| -> Option<(String, String)> {
            let words = freeform::split(text).ok()?;
            let (first, rest) = words.split_first()?;
            Some((first.trim().to_owned(), rest.join(" ")))
        };
        let wrong = |what: &str| {
            Problem::new("wrong-type", format!("`{keyword}` {what}")).at(&value.span).help(format!(
                "write `{keyword}: MODULE name=value …`, or the module's name as the task's key{}",
                if keyword == "local_action" { " and `delegate_to: localhost`" } else { "" }
            ))
        };
        if let Some(text) = value.as_str() {
            let Some((name, rest)) = split(text) else {
                self.problem(wrong("does not name a module"));
                return None;
            };
            let given = self.arguments(&name, &derived(&rest, value), additional)?;
            return Some((name, given));
        }
        let Some(map) = value.as_map() else {
            self.problem(wrong(&format!("must be text or a mapping, not {}", shown(value))));
            return None;
        };
        let Some(module) = map.get("module") else {
            self.problem(wrong("has no `module`"));
            return None;
        };
        let Some((name, rest)) = module.as_str().and_then(split) else {
            self.problem(wrong("does not name a module"));
            return None;
        };
        let mut own = self.arguments(&name, &derived(&rest, module), additional)?;
        let mut nested = None;
        let mut entries = vec![];
        for (key, value) in map.iter() {
            match key.as_str() {
                Some("module") => {}
                Some("args") => nested = Some(value),
                _ => entries.push((key.clone(), value.clone())),
            }
        }
        for (key, value) in entries {
            if !own.named.iter().any(|(k, _)| k.as_str() == key.as_str()) {
                own.named.push((key, value));
            }
        }
        if let Some(nested) = nested {
            let more = self.arguments(&name, nested, None)?;
            for (key, value) in more.named {
                set(&mut own.named, key, value);
            }
            own.free = more.free.or(own.free);
        }
        Some((name, own))
    }

    /// A module's arguments: a mapping, a text or nothing, over those of `args:`.
    fn arguments(&mut self, written: &str, value: &Node, additional: Option<&Node>) -> Option<Given> {
        let mut given = Given::default();
        if let Some(more) = additional {
            match &more.value {
                Yaml::Map(map) => given.named.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
                Yaml::Str(s) if is_all_template(&s.text) => given.template = Some(more.clone()),
                Yaml::Null => self.warn(Problem::new("empty-args", "`args` is empty").at(&more.span)),
                _ => {
                    self.problem(
                        Problem::new(
                            "wrong-type",
                            format!("`args` must be a mapping or a template of one, not {}", shown(more)),
                        )
                        .at(&more.span),
                    );
                    return None;
                }
            }
        }
        match &value.value {
            Yaml::Null => {}
            Yaml::Map(map) => {
                for (key, value) in map.iter() {
                    set(&mut given.named, key.clone(), value.clone());
                }
            }
            Yaml::Str(s) => {
                let canonical = modules::canonical(written);
                let Ok(read) = freeform::parse(&s.text, modules::is_command_like(canonical)) else {
                    self.problem(
                        Problem::new(
                            "unbalanced",
                            format!("a quote or a template in the arguments of `{written}` never ends"),
                        )
                        .at(&value.span)
                        .help("write the arguments as a mapping, one per line"),
                    );
                    return None;
                };
                // A `{{ a == b }}` alone is a template, not the argument `{{ a `.
                if is_all_template(&s.text) && read.pairs.iter().any(|(k, _)| k.contains("{{") || k.contains("{%")) {
                    given.free = Some(value.clone());
                    return Some(given);
                }
                for (name, text) in read.pairs {
                    let (name_at, text_at) = pair_places(&name, &text, &s.text, value);
                    let mut text = derived(&text, value);
                    text.span = text_at;
                    set(&mut given.named, Node::text(name, &name_at), text);
                }
                given.free = read.free.map(|text| if *text == *s.text { value.clone() } else { derived(&text, value) });
            }
            Yaml::Vault(_) => given.free = Some(value.clone()),
            _ => {
                self.problem(
                    Problem::new(
                        "wrong-type",
                        format!("the arguments of `{written}` must be a mapping or text, not {}", shown(value)),
                    )
                    .at(&value.span),
                );
                return None;
            }
        }
        for (key, _) in &given.named {
            match key.as_str() {
                Some(name) if name.starts_with("_ansible_") => self.problem(
                    Problem::new(
                        "reserved-argument",
                        format!("`{name}`: names beginning with `_ansible_` are reserved"),
                    )
                    .at(&key.span),
                ),
                Some(_) => {}
                None => self.problem(
                    Problem::new("wrong-type", format!("an argument's name must be text, not {}", shown(key)))
                        .at(&key.span),
                ),
            }
        }
        Some(given)
    }
}

fn is_removed(key: &str) -> bool {
    matches!(key, "sudo" | "su" | "sudo_user" | "su_user" | "sudo_pass" | "su_pass" | "always_run")
}

/// A text that is one template from end to end, or may be.
pub(super) fn is_all_template(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with("{{") && text.ends_with("}}")) || (text.starts_with("{%") && text.ends_with("%}"))
}

/// Text taken out of another node's text.
pub(super) fn derived(text: &str, from: &Node) -> Node {
    let is_unsafe = matches!(&from.value, Yaml::Str(s) if s.is_unsafe);
    Node::new(Yaml::Str(Scalar { text: text.into(), style: ScalarStyle::Plain, is_unsafe }), from.span.clone())
}

/// Where `name=value` and its value stand in a free-form text, as far as they can be found there.
fn pair_places(name: &str, value: &str, text: &str, node: &Node) -> (Span, Span) {
    let wanted = format!("{name}=");
    let starts_word = |at: &usize| *at == 0 || text[..*at].ends_with([' ', '\n']);
    let Some(at) = text.match_indices(&wanted).map(|(i, _)| i).find(starts_word) else {
        return (node.span.clone(), node.span.clone());
    };
    let rest = &text[at + wanted.len()..];
    let quotes = usize::from(rest.starts_with(['"', '\'']));
    let text_at = if rest[quotes..].starts_with(value) {
        node.span_at(at + wanted.len() + quotes, value.len())
    } else {
        node.span_at(at, wanted.len())
    };
    (node.span_at(at, name.len()), text_at)
}

/// Sets an entry, replacing one of that name.
pub(super) fn set(entries: &mut Vec<(Node, Node)>, key: Node, value: Node) {
    match entries.iter_mut().find(|(k, _)| k.as_str().is_some() && k.as_str() == key.as_str()) {
        Some(entry) => *entry = (key, value),
        None => entries.push((key, value)),
    }
}
