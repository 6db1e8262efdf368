//! Which tasks `--tags` and `--skip-tags` select.
//!
//! Pure: the chain around a task gives its tags, [`selected`] decides. An include statement is a task like any other: with
//! --tags it runs only if a tag of its own chain is asked for, whatever stands in its file.

use std::collections::BTreeSet;

use crate::problem::{Problem, nearest};
use crate::yaml::{Node, Yaml};

use super::loader::scalar_text;
use super::model::Keywords;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagSelection {
    /// `--tags`; without it `all`.
    pub only: Vec<String>,
    pub skip: Vec<String>,
}

impl Default for TagSelection {
    fn default() -> Self {
        Self { only: vec!["all".to_owned()], skip: vec![] }
    }
}

impl TagSelection {
    /// From the values of the options, each a comma-separated list.
    pub fn new<S: AsRef<str>>(only: &[S], skip: &[S]) -> Self {
        let split = |all: &[S]| -> Vec<String> {
            all.iter()
                .flat_map(|s| s.as_ref().split(','))
                .map(|s| s.trim().to_owned())
                .filter(|s| !s.is_empty())
                .collect()
        };
        let only = split(only);
        Self { only: if only.is_empty() { Self::default().only } else { only }, skip: split(skip) }
    }

    pub fn selects(&self, tags: &[String]) -> bool {
        selected(tags, &self.only, &self.skip)
    }
}

/// The tag nodes of a chain of keywords (play, role, blocks, task), each once, as written.
pub fn effective_tags<'a>(chain: impl IntoIterator<Item = &'a Keywords>) -> Vec<Node> {
    chain.into_iter().flat_map(|k| k.tags.iter().cloned()).collect()
}

/// Rendered tag nodes as texts: lists are flattened, each tag comes once, in the order of the chain.
pub fn tag_texts<E>(nodes: &[Node], render: &mut dyn FnMut(&Node) -> Result<Node, E>) -> Result<Vec<String>, E> {
    let mut all: Vec<String> = vec![];
    for node in nodes {
        let rendered = if node.has_template() { render(node)? } else { node.clone() };
        let parts = match &rendered.value {
            Yaml::Seq(items) => items.to_vec(),
            Yaml::Null => vec![],
            _ => vec![rendered],
        };
        for text in parts.iter().filter_map(tag_text) {
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    Ok(all)
}

/// A tag's text. A number is no text: as in Ansible, `--tags 1` does not select what is tagged `[1]`.
pub fn tag_text(node: &Node) -> Option<String> {
    match &node.value {
        Yaml::Int(number) => Some(number_tag(number)),
        _ => scalar_text(node),
    }
}

/// How a number among tags is told.
pub fn number_tag(number: impl std::fmt::Display) -> String {
    format!("{number} (a number)")
}

/// Whether a task with these tags (its own and inherited) is selected. An empty `only` is `all`: what `never` keeps from running does not run.
pub fn selected(tags: &[String], only: &[String], skip: &[String]) -> bool {
    let untagged = ["untagged".to_owned()];
    let is_tagged = !tags.is_empty();
    let tags = if is_tagged { tags } else { &untagged[..] };
    let has = |name: &str| tags.iter().any(|t| t == name);
    let meets = |list: &[String]| tags.iter().any(|t| list.contains(t));
    let asks = |list: &[String], name: &str| list.iter().any(|t| t == name);
    let runs = has("always")
        || ((only.is_empty() || asks(only, "all")) && !has("never"))
        || meets(only)
        || (asks(only, "tagged") && is_tagged && !has("never"));
    if !runs || skip.is_empty() {
        return runs;
    }
    if asks(skip, "all") {
        return has("always") && !asks(skip, "always");
    }
    !(meets(skip) || (asks(skip, "tagged") && is_tagged))
}

/// Words of `--tags` that stand for more than a tag of their name.
pub fn is_special_tag(tag: &str) -> bool {
    matches!(tag, "all" | "tagged" | "untagged" | "always" | "never")
}

/// The problem of a tag that is asked for and that no task has.
pub fn unknown_tag(tag: &str, known: &BTreeSet<String>) -> Problem {
    let problem = Problem::new("unknown-tag", format!("no task has the tag `{tag}`"));
    match nearest(tag, known.iter().map(String::as_str)) {
        Some(name) => problem.help(format!("did you mean `{name}`?")),
        None => {
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            problem.help(format!("tags there are: {}", all.join(", ")))
        }
    }
}

#[cfg(test)]
#[path = "tags_tests.rs"]
mod tests;
