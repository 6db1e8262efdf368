//! Python's `pprint.pformat` for lists, tuples and mappings.

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::template::args::{items, map, pairs};
use crate::template::repr;

/// The value in lines of at most `width` characters where that is possible; mappings by sorted keys.
pub fn pformat(value: &Value, width: usize) -> String {
    let mut out = String::new();
    write(&mut out, &sorted(value), 0, 0, width);
    out
}

fn sorted(value: &Value) -> Value {
    match value.kind() {
        ValueKind::Map => {
            let mut entries = pairs(value).unwrap_or_default();
            entries.sort_by(|(a, _), (b, _)| super::choose::compare(a, b).unwrap_or_else(|_| repr(a).cmp(&repr(b))));
            map(entries.into_iter().map(|(k, v)| (k, sorted(&v))))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let all = items(value).unwrap_or_default().iter().map(sorted).collect::<Vec<_>>();
            if value.is_tuple() { crate::template::args::tuple(all) } else { crate::template::args::list(all) }
        }
        _ => value.clone(),
    }
}

fn write(out: &mut String, value: &Value, indent: usize, allowance: usize, width: usize) {
    let flat = repr(value);
    let nested = matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable);
    if !nested || flat.chars().count() + indent + allowance <= width {
        out.push_str(&flat);
        return;
    }
    let pad = format!(",\n{}", " ".repeat(indent + 1));
    if value.kind() == ValueKind::Map {
        out.push('{');
        let entries = pairs(value).unwrap_or_default();
        let last = entries.len().saturating_sub(1);
        for (i, (key, item)) in entries.iter().enumerate() {
            if i > 0 {
                out.push_str(&pad);
            }
            let key = repr(key);
            out.push_str(&key);
            out.push_str(": ");
            write(out, item, indent + 1 + key.chars().count() + 2, if i == last { allowance + 1 } else { 1 }, width);
        }
        out.push('}');
        return;
    }
    let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
    out.push(open);
    let all = items(value).unwrap_or_default();
    let last = all.len().saturating_sub(1);
    for (i, item) in all.iter().enumerate() {
        if i > 0 {
            out.push_str(&pad);
        }
        write(out, item, indent + 1, if i == last { allowance + 1 } else { 1 }, width);
    }
    out.push(close);
}
