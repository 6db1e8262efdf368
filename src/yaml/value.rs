//! Between nodes and template values, without resolving templates.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::node::{Mapping, Node, Scalar, ScalarStyle, Yaml};
use super::resolve::int_value;
use crate::source::Span;

impl Node {
    /// The node as plain data: templates stay text, a vaulted value is its cipher text.
    pub fn to_value(&self) -> Value {
        match &self.value {
            Yaml::Null => Value::from(()),
            Yaml::Bool(b) => Value::from(*b),
            Yaml::Int(n) => Value::from(*n),
            Yaml::BigInt(n) => Value::from(*n),
            Yaml::Float(f) => Value::from(*f),
            Yaml::Str(s) if s.style == ScalarStyle::Time => crate::template::datetime::from_yaml(&s.text),
            Yaml::Str(s) => Value::from(s.text.clone()),
            Yaml::Seq(items) => items.iter().map(Node::to_value).collect(),
            Yaml::Map(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.to_value(), v.to_value()))),
            Yaml::Vault(text) => Value::from(text.clone()),
        }
    }

    /// Data given otherwise than in a file (`-e '{"a": 1}'`, a script's reply) as a node that stands at `span`.
    pub fn from_value(value: &Value, span: &Span) -> Self {
        let text = |s: &str| Yaml::Str(Scalar { text: Arc::from(s), style: ScalarStyle::Plain, is_unsafe: false });
        let yaml = match value.kind() {
            ValueKind::Undefined | ValueKind::None => Yaml::Null,
            ValueKind::Bool => Yaml::Bool(value.is_true()),
            ValueKind::Number => match i128::try_from(value.clone()) {
                Ok(n) if value.is_integer() => int_value(n),
                _ => f64::try_from(value.clone()).map_or_else(|_| text(&value.to_string()), Yaml::Float),
            },
            ValueKind::Seq | ValueKind::Iterable => Yaml::Seq(Arc::new(
                value.try_iter().into_iter().flatten().map(|v| Self::from_value(&v, span)).collect(),
            )),
            ValueKind::Map => {
                let mut map = Mapping::default();
                for key in value.try_iter().into_iter().flatten() {
                    let item = value.get_item(&key).unwrap_or_default();
                    map.entries.push((Self::from_value(&key, span), Self::from_value(&item, span)));
                }
                Yaml::Map(Arc::new(map))
            }
            _ => match (value.as_str(), crate::template::datetime::type_name(value)) {
                (Some(s), _) => text(s),
                (None, Some("date" | "datetime")) => {
                    Yaml::Str(Scalar { text: Arc::from(value.to_string()), style: ScalarStyle::Time, is_unsafe: false })
                }
                (None, _) => text(&value.to_string()),
            },
        };
        Self::new(yaml, span.clone())
    }

    /// JSON data as a node that stands at `span`.
    pub fn from_json(value: &serde_json::Value, span: &Span) -> Self {
        use serde_json::Value as Json;
        let text = |s: &str| Yaml::Str(Scalar { text: Arc::from(s), style: ScalarStyle::Plain, is_unsafe: false });
        let yaml = match value {
            Json::Null => Yaml::Null,
            Json::Bool(b) => Yaml::Bool(*b),
            Json::Number(n) => match n.to_string().parse() {
                Ok(whole) => int_value(whole),
                Err(_) => Yaml::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => text(s),
            Json::Array(items) => Yaml::Seq(Arc::new(items.iter().map(|v| Self::from_json(v, span)).collect())),
            Json::Object(map) => Yaml::Map(Arc::new(Mapping {
                entries: map
                    .iter()
                    .map(|(k, v)| (Self::new(text(k), span.clone()), Self::from_json(v, span)))
                    .collect(),
            })),
        };
        Self::new(yaml, span.clone())
    }
}

/// See [`Node::from_value`].
pub fn from_value(value: &Value, span: &Span) -> Node {
    Node::from_value(value, span)
}
