//! Jinja's tests of types and comparisons, and Ansible's on sets and truth.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, float, is_mapping, items, text, truth, wide_integer};
use crate::template::filters::compare;
use crate::template::types::type_name;

pub const TESTS: &[Entry] = &[
    ("none", |_, c| on(c, |v| Ok(v.is_none()))),
    ("boolean", |_, c| on(c, |v| Ok(v.kind() == ValueKind::Bool))),
    ("true", |_, c| on(c, |v| Ok(v.kind() == ValueKind::Bool && v.is_true()))),
    ("false", |_, c| on(c, |v| Ok(v.kind() == ValueKind::Bool && !v.is_true()))),
    ("integer", |_, c| on(c, |v| Ok(v.kind() == ValueKind::Number && v.is_integer()))),
    ("float", |_, c| on(c, |v| Ok(v.kind() == ValueKind::Number && !v.is_integer()))),
    ("number", |_, c| on(c, |v| Ok(matches!(v.kind(), ValueKind::Number | ValueKind::Bool)))),
    ("string", |_, c| on(c, |v| Ok(v.kind() == ValueKind::String))),
    ("mapping", |_, c| on(c, |v| Ok(is_mapping(v)))),
    ("sequence", |_, c| on(c, |v| Ok(iterable(v)))),
    ("iterable", |_, c| on(c, |v| Ok(iterable(v)))),
    ("callable", |_, c| on(c, |v| Ok(type_name(v) == "object"))),
    ("escaped", |_, c| on(c, |v| Ok(v.is_safe()))),
    ("lower", |_, c| on(c, |v| Ok(is_cased(&text(v), char::is_lowercase, char::is_uppercase)))),
    ("upper", |_, c| on(c, |v| Ok(is_cased(&text(v), char::is_uppercase, char::is_lowercase)))),
    ("odd", |_, c| on(c, |v| Ok(remainder(v, 2)? == 1))),
    ("even", |_, c| on(c, |v| Ok(remainder(v, 2)? == 0))),
    ("divisibleby", divisibleby),
    ("eq", |_, c| two(c, |a, b| Ok(a == b))),
    ("==", |_, c| two(c, |a, b| Ok(a == b))),
    ("equalto", |_, c| two(c, |a, b| Ok(a == b))),
    ("ne", |_, c| two(c, |a, b| Ok(a != b))),
    ("!=", |_, c| two(c, |a, b| Ok(a != b))),
    ("lt", |_, c| two(c, |a, b| Ok(compare(a, b)? == Ordering::Less))),
    ("<", |_, c| two(c, |a, b| Ok(compare(a, b)? == Ordering::Less))),
    ("lessthan", |_, c| two(c, |a, b| Ok(compare(a, b)? == Ordering::Less))),
    ("le", |_, c| two(c, |a, b| Ok(compare(a, b)? != Ordering::Greater))),
    ("<=", |_, c| two(c, |a, b| Ok(compare(a, b)? != Ordering::Greater))),
    ("gt", |_, c| two(c, |a, b| Ok(compare(a, b)? == Ordering::Greater))),
    (">", |_, c| two(c, |a, b| Ok(compare(a, b)? == Ordering::Greater))),
    ("greaterthan", |_, c| two(c, |a, b| Ok(compare(a, b)? == Ordering::Greater))),
    ("ge", |_, c| two(c, |a, b| Ok(compare(a, b)? != Ordering::Less))),
    (">=", |_, c| two(c, |a, b| Ok(compare(a, b)? != Ordering::Less))),
    ("in", |_, c| two(c, |a, b| contains(b, a))),
    ("contains", |_, c| two(c, contains)),
    ("subset", |_, c| two(c, subset)),
    ("issubset", |_, c| two(c, subset)),
    ("superset", |_, c| two(c, |a, b| subset(b, a))),
    ("issuperset", |_, c| two(c, |a, b| subset(b, a))),
    ("any", |_, c| on(c, |v| Ok(items(v)?.iter().any(truth)))),
    ("all", |_, c| on(c, |v| Ok(items(v)?.iter().all(truth)))),
    ("nan", |_, c| on(c, |v| Ok(float(v).is_some_and(f64::is_nan)))),
    ("isnan", |_, c| on(c, |v| Ok(float(v).is_some_and(f64::is_nan)))),
    ("truthy", |_, c| truthy(c).map(Value::from)),
    ("falsy", |_, c| truthy(c).map(|t| Value::from(!t))),
];

pub(super) fn on(mut call: Call, f: fn(&Value) -> Result<bool, Error>) -> Result<Value, Error> {
    let value = call.subject()?;
    if !call.positional.is_empty() || !call.named.is_empty() {
        return Err(err(format!("the test `{}` takes no arguments", call.name)));
    }
    f(&value).map(Value::from)
}

fn two(call: Call, f: fn(&Value, &Value) -> Result<bool, Error>) -> Result<Value, Error> {
    let [a, b] = call.bind(["value", "other"], 2)?;
    f(&a.unwrap_or_default(), &b.unwrap_or_default()).map(Value::from)
}

fn iterable(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Bytes)
}

fn is_cased(s: &str, wanted: fn(char) -> bool, barred: fn(char) -> bool) -> bool {
    s.chars().any(wanted) && !s.chars().any(barred)
}

fn remainder(value: &Value, by: i128) -> Result<i128, Error> {
    match value.kind() {
        ValueKind::Number if !value.is_integer() => {
            let f = float(value).unwrap_or_default().rem_euclid(by as f64);
            // a fraction is neither odd nor even
            Ok(if f == 0.0 {
                0
            } else if f == 1.0 {
                1
            } else {
                2
            })
        }
        _ => Ok(wide_integer(value, "value")?.rem_euclid(by)),
    }
}

fn divisibleby(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, by] = call.bind(["value", "num"], 2)?;
    let (value, by) = (value.unwrap_or_default(), by.unwrap_or_default());
    let fraction = |v: &Value| v.kind() == ValueKind::Number && !v.is_integer();
    if fraction(&value) || fraction(&by) {
        let number = |v: &Value| float(v).ok_or_else(|| err(format!("{} is no number", type_name(v))));
        let rest = number(&value)? % number(&by)?;
        return if rest.is_nan() { Err(err("a number can't be divided by 0")) } else { Ok(Value::from(rest == 0.0)) };
    }
    let (value, by) = (wide_integer(&value, "value")?, wide_integer(&by, "num")?);
    match value.checked_rem(by) {
        Some(rest) => Ok(Value::from(rest == 0)),
        None => Err(err("a number can't be divided by 0")),
    }
}

/// Python's `item in container`.
pub fn contains(container: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(s) = container.as_str() {
        return match item.as_str() {
            Some(part) => Ok(s.contains(part)),
            None => Err(err(format!("only text can be in text, not {}", type_name(item)))),
        };
    }
    if !iterable(container) {
        return Err(err(format!("{} can't hold anything", type_name(container))));
    }
    Ok(items(container)?.contains(item))
}

fn subset(a: &Value, b: &Value) -> Result<bool, Error> {
    let (a, b) = (items(a)?, items(b)?);
    // Python makes sets of them.
    if let Some(item) =
        a.iter().chain(&b).find(|v| matches!(v.kind(), ValueKind::Map) || v.kind() == ValueKind::Seq && !v.is_tuple())
    {
        return Err(err(format!("{} cannot be in a set", type_name(item))));
    }
    Ok(a.iter().all(|v| b.contains(v)))
}

fn truthy(call: Call) -> Result<bool, Error> {
    let [value, convert] = call.bind(["value", "convert_bool"], 1)?;
    let value = value.unwrap_or_default();
    if flag(convert.as_ref(), false) {
        match text(&value).to_lowercase().trim() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => return Ok(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => return Ok(false),
            _ => {}
        }
    }
    Ok(truth(&value))
}
