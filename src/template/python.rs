//! How Python prints and judges values: `str()`, `repr()`, `bool()`, and Jinja's attribute access by a dotted name.
//!
//! Used wherever a value becomes text, in templates and in filters.

use std::fmt::Write;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::Unknown;

/// Python's `str(value)`; in templates `None` is `''` at a place where it is put out, which the caller decides.
pub fn text(value: &Value) -> String {
    if let Some(s) = value.as_str() {
        return s.to_owned();
    }
    if value.kind() == ValueKind::Plain {
        return value.to_string();
    }
    repr(value)
}

/// Python's `repr(value)`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

fn write_repr(out: &mut String, value: &Value) {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => write_str(out, value.as_str().unwrap_or_default()),
        ValueKind::Bytes => write_bytes(out, value.as_bytes().unwrap_or_default()),
        ValueKind::Seq if super::eval::is_range(value) => {
            let _ = write!(out, "{value}");
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                if count > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &item);
                count += 1;
            }
            if tuple && count == 1 {
                out.push(',');
            }
            out.push(if tuple { ')' } else { ']' });
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter().into_iter().flatten().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &key);
                out.push_str(": ");
                write_repr(out, &value.get_item(&key).unwrap_or_default());
            }
            out.push('}');
        }
        _ => match super::datetime::repr(value) {
            Some(moment) => out.push_str(&moment),
            None => {
                let _ = write!(out, "{value}");
            }
        },
    }
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(float) => float_text(float),
        Err(_) => value.to_string(),
    }
}

/// A float as Python prints it: `1.0`, `1e-07`, `1e+16`, `inf`.
pub fn float_text(float: f64) -> String {
    if float.is_nan() {
        return "nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf".into() } else { "-inf".into() };
    }
    // The shortest digits that give the number back, as Python's repr; only the layout differs.
    let digits = format!("{float:e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{float}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

fn write_str(out: &mut String, s: &str) {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if printable(c) => out.push(c),
            c if (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable` for one character: no control, format, private or separator character but the space.
fn printable(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    !(c.is_control()
        || c.is_whitespace()
        || matches!(c as u32, 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
            | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff | 0xfff0..=0xfffb | 0xfffe | 0xffff | 0xe0001..=0xe007f | 0xf_0000..=0x10_ffff))
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("b'");
    for b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            b'\'' => out.push_str("\\'"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..0x7f => out.push(*b as char),
            b => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out.push('\'');
}

/// Python's `bool(value)`: empty text, lists and mappings, zero and `None` are false.
pub fn truth(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).map_or_else(|_| value.is_true(), |f| f != 0.0),
        _ => value.is_true(),
    }
}

/// A value's attribute by a dotted name, as Jinja's `map(attribute='a.b.0')`: items first, then indexes; undefined where there is none,
/// unknown where the value is.
pub fn attribute(value: &Value, path: &str) -> Value {
    let mut current = value.clone();
    for part in path.split('.') {
        if Unknown::of(&current).is_some() {
            return current;
        }
        if current.is_undefined() {
            return Value::UNDEFINED;
        }
        let next = match part.parse::<i64>() {
            Ok(index) if current.kind() != ValueKind::Map => current.get_item(&Value::from(index)),
            Ok(index) => match current.get_item(&Value::from(part)) {
                Ok(v) if !v.is_undefined() => Ok(v),
                _ => current.get_item(&Value::from(index)),
            },
            Err(_) => current.get_item(&Value::from(part)),
        };
        current = next.unwrap_or(Value::UNDEFINED);
    }
    current
}
