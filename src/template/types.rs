//! The names of Python's types, as `type_debug` and messages give them.

use minijinja::Value;
use minijinja::value::ValueKind;

/// The type's name as Ansible's `type_debug` gives it.
pub fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "UndefinedMarker",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String if value.is_safe() => "Markup",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq | ValueKind::Iterable if value.is_tuple() => "tuple",
        ValueKind::Seq if super::eval::is_range(value) => "range",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map => "dict",
        _ if super::is_omit(value) => "Omit",
        _ => super::datetime::type_name(value).or_else(|| super::eval::type_name(value)).unwrap_or("object"),
    }
}
