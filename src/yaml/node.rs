//! The tree a YAML document becomes.

use std::sync::Arc;

use crate::source::Span;

/// One YAML node and where it stands. Cloning is cheap: children are shared.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Yaml,
    pub span: Span,
}

/// A node's typed value, by YAML 1.1's rules as PyYAML implements them.
#[derive(Debug, Clone)]
pub enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number outside `i64`'s range.
    BigInt(i128),
    Float(f64),
    /// Everything that is text, and what has no type of its own here (dates as Ansible prints them).
    Str(Scalar),
    Seq(Arc<Vec<Node>>),
    Map(Arc<Mapping>),
    /// `!vault |` with the cipher text.
    Vault(Arc<str>),
}

/// Text, with what its templates' places are computed from.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub text: Arc<str>,
    pub style: ScalarStyle,
    /// `!unsafe`: never a template.
    pub is_unsafe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarStyle {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
    /// A date or time, written plainly; the text is Python's for it.
    Time,
}

/// A mapping in the file's order; of duplicate keys only the last is kept (the reader warns).
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    pub entries: Vec<(Node, Node)>,
}

impl Mapping {
    /// The value under a text key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value under a text key.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        self.entries.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(k, v)| (k, v))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Node, &Node)> {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Node {
    pub fn new(value: Yaml, span: Span) -> Self {
        Self { value, span }
    }

    /// A text node that stands at another node's place (for what kdeploy derives from a file).
    pub fn text(text: impl Into<Arc<str>>, span: &Span) -> Self {
        Self::new(Yaml::Str(Scalar { text: text.into(), style: ScalarStyle::Plain, is_unsafe: false }), span.clone())
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Yaml::Str(s) => Some(&s.text),
            _ => None,
        }
    }

    /// The text and its notation.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Yaml::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Yaml::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match &self.value {
            Yaml::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The scalar as a person would type it: text as it is, `true`, `42`; `None` for nothing, lists, mappings and vaulted values.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Yaml::Bool(b) => Some(b.to_string()),
            Yaml::Int(n) => Some(n.to_string()),
            Yaml::BigInt(n) => Some(n.to_string()),
            Yaml::Float(f) => Some(minijinja::Value::from(*f).to_string()),
            Yaml::Str(s) => Some(s.text.to_string()),
            Yaml::Null | Yaml::Seq(_) | Yaml::Map(_) | Yaml::Vault(_) => None,
        }
    }

    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Yaml::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Mapping> {
        match &self.value {
            Yaml::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Yaml::Null)
    }

    /// What the node is, for messages: `a list`, `a mapping`, `text` …
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Int(_) | Yaml::BigInt(_) => "a whole number",
            Yaml::Float(_) => "a number",
            Yaml::Str(_) => "text",
            Yaml::Seq(_) => "a list",
            Yaml::Map(_) => "a mapping",
            Yaml::Vault(_) => "a vaulted value",
        }
    }

    /// True if the text (or any text below) holds a template: `{{`, `{%` or `{#`, and is not `!unsafe`.
    pub fn has_template(&self) -> bool {
        match &self.value {
            Yaml::Str(s) => !s.is_unsafe && (s.text.contains("{{") || s.text.contains("{%") || s.text.contains("{#")),
            Yaml::Seq(items) => items.iter().any(Node::has_template),
            Yaml::Map(map) => map.iter().any(|(k, v)| k.has_template() || v.has_template()),
            _ => false,
        }
    }
}
