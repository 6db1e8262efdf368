//! Python's methods on text, lists, mappings and numbers: `'a,b'.split(',')`, `d.get('x')`, `s.startswith(…)`.
//!
//! The evaluator asks [`call`]. Methods that would change a list or a mapping in place (`append`, `update`, `pop` …) are its own.

use indexmap::IndexMap;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::args::{Call, err, flag, get, items, list, map, opt_integer, pairs, size, string, text, tuple};
use super::filters::text::{capitalized, centered, is_space, split_lines, split_text};
use super::types::type_name;
use super::{markup, pyformat};

/// The methods of text.
const TEXT: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const LIST: &[&str] = &["count", "index", "copy"];
const MAPPING: &[&str] = &["get", "items", "keys", "values", "copy", "fromkeys"];

/// Calls a method; `None`: the value has no such method.
pub fn call(
    value: &Value,
    name: &str,
    positional: &[Value],
    named: &IndexMap<String, Value>,
) -> Option<Result<Value, Error>> {
    let known = |names: &[&'static str]| names.iter().copied().find(|n| *n == name);
    let make = |name| Call { name, positional: positional.to_vec(), named: named.clone() };
    Some(match value.kind() {
        ValueKind::String if value.is_safe() && matches!(name, "unescape" | "join" | "format" | "upper" | "lower") => {
            markup_method(value, make(known(&["unescape", "join", "format", "upper", "lower"])?))
        }
        ValueKind::String => text_method(value.as_str().unwrap_or_default(), make(known(TEXT)?)),
        ValueKind::Map => mapping_method(value, make(known(MAPPING)?)),
        ValueKind::Seq | ValueKind::Iterable => list_method(value, make(known(LIST)?)),
        ValueKind::Number => number_method(value, name, positional)?,
        ValueKind::Bytes if name == "decode" => {
            Ok(Value::from(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()))
        }
        _ => return None,
    })
}

/// The names of the methods a value has, for hints.
pub fn names_for(value: &Value) -> &'static [&'static str] {
    match value.kind() {
        ValueKind::String => TEXT,
        ValueKind::Map => MAPPING,
        ValueKind::Seq | ValueKind::Iterable => LIST,
        _ => &[],
    }
}

fn cased(s: &str, wanted: fn(char) -> bool, barred: fn(char) -> bool) -> bool {
    s.chars().any(wanted) && !s.chars().any(barred)
}

fn every(s: &str, f: impl Fn(char) -> bool) -> Value {
    Value::from(!s.is_empty() && s.chars().all(f))
}

/// Python's `str.title`: a word is a run of letters.
fn title(s: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in s.chars() {
        if c.is_alphabetic() {
            if inside {
                out.extend(c.to_lowercase())
            } else {
                out.extend(c.to_uppercase())
            }
            inside = true;
        } else {
            out.push(c);
            inside = false;
        }
    }
    out
}

/// The part of a text between character positions, as `find` and `startswith` take them.
fn sliced<'s>(s: &'s str, start: Option<&Value>, end: Option<&Value>) -> Result<Option<(usize, &'s str)>, Error> {
    let count = s.chars().count() as i64;
    let place = |n: i64| if n < 0 { (n + count).max(0) } else { n };
    let start = place(opt_integer(start, "start")?.unwrap_or(0));
    let end = place(opt_integer(end, "end")?.unwrap_or(count)).min(count);
    if start > count || start > end {
        return Ok(None);
    }
    let byte = |n: i64| s.char_indices().nth(n as usize).map_or(s.len(), |(i, _)| i);
    Ok(Some((start as usize, &s[byte(start)..byte(end)])))
}

fn position(s: &str, call: Call, from_end: bool) -> Result<i64, Error> {
    let [sub, start, end] = call.bind(["sub", "start", "end"], 1)?;
    let sub = string(&sub.unwrap_or_default(), "sub")?;
    let Some((offset, part)) = sliced(s, start.as_ref(), end.as_ref())? else { return Ok(-1) };
    let found = if from_end { part.rfind(&sub) } else { part.find(&sub) };
    Ok(found.map_or(-1, |i| (offset + part[..i].chars().count()) as i64))
}

fn affix(s: &str, call: Call, test: fn(&str, &str) -> bool) -> Result<Value, Error> {
    let [affix, start, end] = call.bind(["prefix", "start", "end"], 1)?;
    let affix = affix.unwrap_or_default();
    let wanted: Vec<String> = match affix.as_str() {
        Some(one) => vec![one.to_owned()],
        None if affix.is_tuple() => items(&affix)?.iter().map(|v| string(v, "prefix")).collect::<Result<_, _>>()?,
        None => return Err(err(format!("a text or a tuple of texts is needed, not {}", type_name(&affix)))),
    };
    let Some((_, part)) = sliced(s, start.as_ref(), end.as_ref())? else { return Ok(Value::from(false)) };
    Ok(Value::from(wanted.iter().any(|w| test(part, w))))
}

fn padded(s: &str, call: Call, make: fn(&str, String) -> String) -> Result<Value, Error> {
    let [width, fill] = call.bind(["width", "fillchar"], 1)?;
    let width = size(&width.unwrap_or_default(), "width")?;
    let fill = fill.map_or(Ok(" ".to_owned()), |f| string(&f, "fillchar"))?;
    let missing = width.saturating_sub(s.chars().count());
    Ok(Value::from(make(s, fill.repeat(missing))))
}

fn stripped(s: &str, call: Call, left: bool, right: bool) -> Result<Value, Error> {
    let [chars] = call.bind(["chars"], 0)?;
    let chars = chars.filter(|c| !c.is_none()).map(|c| string(&c, "chars")).transpose()?;
    let dropped = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(c));
    let s = if left { s.trim_start_matches(dropped) } else { s };
    Ok(Value::from(if right { s.trim_end_matches(dropped) } else { s }))
}

fn rsplit(s: &str, separator: Option<&str>, limit: Option<usize>) -> Result<Vec<String>, Error> {
    let Some(limit) = limit else { return split_text(s, separator, None) };
    let mut out: Vec<String> = match separator {
        Some("") => return Err(err("text can't be split at an empty separator")),
        Some(separator) => s.rsplitn(limit + 1, separator).map(str::to_owned).collect(),
        None => {
            let mut out = vec![];
            let mut rest = s.trim_end_matches(is_space);
            while !rest.is_empty() {
                if out.len() >= limit {
                    out.push(rest.trim_start_matches(is_space).to_owned());
                    break;
                }
                let start = rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(i, c)| i + c.len_utf8());
                out.push(rest[start..].to_owned());
                rest = rest[..start].trim_end_matches(is_space);
            }
            out
        }
    };
    out.reverse();
    Ok(out)
}

fn partitioned(s: &str, call: Call, from_end: bool) -> Result<Value, Error> {
    let [separator] = call.bind(["sep"], 1)?;
    let separator = string(&separator.unwrap_or_default(), "sep")?;
    if separator.is_empty() {
        return Err(err("text can't be split at an empty separator"));
    }
    let at = if from_end { s.rfind(&separator) } else { s.find(&separator) };
    let parts = match at {
        Some(at) => [&s[..at], &s[at..at + separator.len()], &s[at + separator.len()..]],
        None if from_end => ["", "", s],
        None => [s, "", ""],
    };
    Ok(tuple(parts.into_iter().map(Value::from)))
}

/// What `Markup` does otherwise than text.
fn markup_method(value: &Value, call: Call) -> Result<Value, Error> {
    let html = text(value);
    match call.name {
        "unescape" => Ok(Value::from(markup::unescaped(&html))),
        "join" => {
            let [parts] = call.bind(["iterable"], 1)?;
            let texts: Vec<String> = items(&parts.unwrap_or_default())?.iter().map(markup::html).collect();
            Ok(markup::safe(texts.join(&html)))
        }
        "format" => {
            let positional: Vec<Value> = call.positional.iter().map(markup::arguments).collect();
            let named = call.named.iter().map(|(k, v)| (k.clone(), markup::arguments(v))).collect();
            pyformat::str_format(&html, &positional, &named).map(markup::safe)
        }
        _ => Ok(markup::like(value, text(&text_method(&html, call)?))),
    }
}

fn text_method(s: &str, call: Call) -> Result<Value, Error> {
    let texts = |parts: Vec<String>| list(parts.into_iter().map(Value::from));
    match call.name {
        "upper" => Ok(Value::from(s.to_uppercase())),
        "lower" => Ok(Value::from(s.to_lowercase())),
        "casefold" => Ok(Value::from(s.to_lowercase().replace('ß', "ss").replace('ſ', "s").replace('ς', "σ"))),
        "capitalize" => Ok(Value::from(capitalized(s))),
        "title" => Ok(Value::from(title(s))),
        "swapcase" => Ok(Value::from(
            s.chars()
                .flat_map(|c| {
                    if c.is_lowercase() { c.to_uppercase().collect::<Vec<_>>() } else { c.to_lowercase().collect() }
                })
                .collect::<String>(),
        )),
        "islower" => Ok(Value::from(cased(s, char::is_lowercase, char::is_uppercase))),
        "isupper" => Ok(Value::from(cased(s, char::is_uppercase, char::is_lowercase))),
        "istitle" => Ok(Value::from(s.chars().any(char::is_alphabetic) && title(s) == s)),
        "isspace" => Ok(every(s, is_space)),
        "isdigit" => Ok(every(s, |c| is_decimal(c) || is_superscript(c))),
        "isdecimal" => Ok(every(s, is_decimal)),
        "isnumeric" => Ok(every(s, char::is_numeric)),
        "isalnum" => Ok(every(s, char::is_alphanumeric)),
        "isalpha" => Ok(every(s, char::is_alphabetic)),
        "isascii" => Ok(Value::from(s.is_ascii())),
        "isprintable" => Ok(Value::from(!s.chars().any(char::is_control))),
        "isidentifier" => Ok(Value::from(
            s.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && s.chars().all(|c| c.is_alphanumeric() || c == '_'),
        )),
        "strip" => stripped(s, call, true, true),
        "lstrip" => stripped(s, call, true, false),
        "rstrip" => stripped(s, call, false, true),
        "split" | "rsplit" => {
            let right = call.name == "rsplit";
            let [separator, limit] = call.bind(["sep", "maxsplit"], 0)?;
            let separator = separator.filter(|v| !v.is_none()).map(|v| string(&v, "sep")).transpose()?;
            let limit = opt_integer(limit.as_ref(), "maxsplit")?.and_then(|l| usize::try_from(l).ok());
            let parts =
                if right { rsplit(s, separator.as_deref(), limit) } else { split_text(s, separator.as_deref(), limit) };
            parts.map(texts)
        }
        "splitlines" => {
            let [keep] = call.bind(["keepends"], 0)?;
            Ok(texts(split_lines(s, flag(keep.as_ref(), false))))
        }
        "partition" => partitioned(s, call, false),
        "rpartition" => partitioned(s, call, true),
        "find" => position(s, call, false).map(Value::from),
        "rfind" => position(s, call, true).map(Value::from),
        "index" | "rindex" => {
            let right = call.name == "rindex";
            match position(s, call, right)? {
                -1 => Err(err("the text does not hold what is looked for")),
                n => Ok(Value::from(n)),
            }
        }
        "count" => {
            let [sub, start, end] = call.bind(["sub", "start", "end"], 1)?;
            let sub = string(&sub.unwrap_or_default(), "sub")?;
            let part = sliced(s, start.as_ref(), end.as_ref())?.map_or("", |(_, part)| part);
            Ok(Value::from(if sub.is_empty() { part.chars().count() + 1 } else { part.matches(&sub).count() }))
        }
        "startswith" => affix(s, call, |s, w| s.starts_with(w)),
        "endswith" => affix(s, call, |s, w| s.ends_with(w)),
        "removeprefix" => {
            let [prefix] = call.bind(["prefix"], 1)?;
            let prefix = string(&prefix.unwrap_or_default(), "prefix")?;
            Ok(Value::from(s.strip_prefix(prefix.as_str()).unwrap_or(s)))
        }
        "removesuffix" => {
            let [suffix] = call.bind(["suffix"], 1)?;
            let suffix = string(&suffix.unwrap_or_default(), "suffix")?;
            Ok(Value::from(s.strip_suffix(suffix.as_str()).unwrap_or(s)))
        }
        "replace" => {
            let [old, new, count] = call.bind(["old", "new", "count"], 2)?;
            let (old, new) = (string(&old.unwrap_or_default(), "old")?, string(&new.unwrap_or_default(), "new")?);
            Ok(Value::from(match opt_integer(count.as_ref(), "count")? {
                Some(n) if n >= 0 => s.replacen(&old, &new, n as usize),
                _ => s.replace(&old, &new),
            }))
        }
        "center" => {
            let [width, fill] = call.bind(["width", "fillchar"], 1)?;
            let width = size(&width.unwrap_or_default(), "width")?;
            let fill = fill.map_or(Ok(" ".to_owned()), |f| string(&f, "fillchar"))?;
            Ok(Value::from(centered(s, width, fill.chars().next().unwrap_or(' '))))
        }
        "ljust" => padded(s, call, |s, pad| format!("{s}{pad}")),
        "rjust" => padded(s, call, |s, pad| format!("{pad}{s}")),
        "zfill" => {
            let [width] = call.bind(["width"], 1)?;
            let width = size(&width.unwrap_or_default(), "width")?;
            let (sign, digits) = if s.starts_with(['+', '-']) { s.split_at(1) } else { ("", s) };
            Ok(Value::from(format!("{sign}{}{digits}", "0".repeat(width.saturating_sub(s.chars().count())))))
        }
        "expandtabs" => {
            let [size] = call.bind(["tabsize"], 0)?;
            let size = size.map_or(Ok(8), |s| self::size(&s, "tabsize"))?;
            let (mut out, mut column) = (String::new(), 0);
            for c in s.chars() {
                match c {
                    '\t' if size > 0 => {
                        let n = size - column % size;
                        out.push_str(&" ".repeat(n));
                        column += n;
                    }
                    '\t' => {}
                    c => {
                        out.push(c);
                        column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                    }
                }
            }
            Ok(Value::from(out))
        }
        "join" => {
            let [parts] = call.bind(["iterable"], 1)?;
            let parts = items(&parts.unwrap_or_default())?;
            let texts = parts.iter().map(|p| match p.as_str() {
                Some(s) => Ok(s),
                None => Err(err(format!("`join` of a text takes texts, one item is {}", type_name(p)))),
            });
            Ok(Value::from(texts.collect::<Result<Vec<_>, _>>()?.join(s)))
        }
        "format" => pyformat::str_format(s, &call.positional, &call.named).map(Value::from),
        "format_map" => {
            let [mapping] = call.bind(["mapping"], 1)?;
            let named = pairs(&mapping.unwrap_or_default())?.into_iter().map(|(k, v)| (text(&k), v)).collect();
            pyformat::str_format(s, &[], &named).map(Value::from)
        }
        "encode" => {
            let [encoding, _errors] = call.bind(["encoding", "errors"], 0)?;
            let encoding = super::args::opt_string(encoding.as_ref(), "encoding")?.unwrap_or_else(|| "utf-8".into());
            match super::filters::data::encode(s, &encoding) {
                Some(Some(bytes)) => Ok(Value::from_bytes(bytes)),
                Some(None) => Err(err(format!("the text has characters that `{encoding}` has not"))),
                None => Err(err(format!("the encoding `{encoding}` is not known"))),
            }
        }
        "maketrans" => maketrans(call),
        "translate" => translate(s, call),
        other => Err(super::call::unsupported(format!("the method `{other}` of text"))),
    }
}

/// A digit of any script's decimal numbers.
fn is_decimal(c: char) -> bool {
    // Decimal digits stand in blocks of ten that begin with a zero.
    const ZEROS: &[u32] = &[
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
        0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
        0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    ];
    ZEROS.iter().any(|zero| (*zero..*zero + 10).contains(&(c as u32)))
}

/// `²`, `①` and the like: digits, but not of a decimal number.
fn is_superscript(c: char) -> bool {
    matches!(c as u32, 0xb2 | 0xb3 | 0xb9 | 0x2070 | 0x2074..=0x2079 | 0x2080..=0x2089 | 0x2460..=0x2468 | 0x2474..=0x247c
        | 0x2488..=0x2490 | 0x24ea | 0x24f5..=0x24fd | 0x24ff | 0x2776..=0x277e | 0x2780..=0x2788 | 0x278a..=0x2792)
}

/// `''.maketrans(…)`: a mapping from code points.
fn maketrans(call: Call) -> Result<Value, Error> {
    let [x, y, z] = call.bind(["x", "y", "z"], 1)?;
    let x = x.unwrap_or_default();
    let code = |c: char| Value::from(c as u32);
    let Some(y) = y else {
        let entries = pairs(&x)?.into_iter().map(|(k, v)| match k.as_str() {
            Some(s) if s.chars().count() == 1 => Ok((s.chars().next().map_or(k.clone(), code), v)),
            Some(_) => Err(err("a key of `maketrans` is one character or its number")),
            None => Ok((k, v)),
        });
        return Ok(map(entries.collect::<Result<Vec<_>, Error>>()?));
    };
    let (from, to) = (string(&x, "x")?, string(&y, "y")?);
    if from.chars().count() != to.chars().count() {
        return Err(err("the first two texts of `maketrans` must have the same length"));
    }
    let mut entries: Vec<(Value, Value)> = from.chars().zip(to.chars()).map(|(a, b)| (code(a), code(b))).collect();
    if let Some(z) = z {
        entries.extend(string(&z, "z")?.chars().map(|c| (code(c), Value::from(()))));
    }
    Ok(map(entries))
}

/// `text.translate(table)`: characters by their code points; `None` drops one.
fn translate(s: &str, call: Call) -> Result<Value, Error> {
    let [table] = call.bind(["table"], 1)?;
    let table = table.unwrap_or_default();
    let mut out = String::new();
    for c in s.chars() {
        match get(&table, &Value::from(c as u32))? {
            None => out.push(c),
            Some(v) if v.is_none() => {}
            Some(v) => match (v.as_str(), v.as_i64().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32)) {
                (Some(s), _) => out.push_str(s),
                (None, Some(c)) => out.push(c),
                _ => return Err(err(format!("a character becomes text, a number or nothing, not {}", type_name(&v)))),
            },
        }
    }
    Ok(Value::from(out))
}

fn list_method(value: &Value, call: Call) -> Result<Value, Error> {
    let all = items(value)?;
    match call.name {
        "copy" => Ok(list(all)),
        "count" => {
            let [wanted] = call.bind(["value"], 1)?;
            let wanted = wanted.unwrap_or_default();
            Ok(Value::from(all.iter().filter(|v| **v == wanted).count()))
        }
        _ => {
            let [wanted, start, stop] = call.bind(["value", "start", "stop"], 1)?;
            let wanted = wanted.unwrap_or_default();
            let place = |n: i64| usize::try_from(if n < 0 { n + all.len() as i64 } else { n }).unwrap_or(0);
            let start = place(opt_integer(start.as_ref(), "start")?.unwrap_or(0));
            let stop = opt_integer(stop.as_ref(), "stop")?.map_or(all.len(), place).min(all.len());
            (start..stop)
                .find(|i| all[*i] == wanted)
                .map(Value::from)
                .ok_or_else(|| err(format!("{} is not in the list", super::repr(&wanted))))
        }
    }
}

fn mapping_method(value: &Value, call: Call) -> Result<Value, Error> {
    match call.name {
        "get" => {
            let [key, default] = call.bind_lenient(["key", "default"], 1)?;
            let key = key.unwrap_or_default();
            super::args::defined(&key, "key")?;
            Ok(get(value, &key)?.or(default).unwrap_or_else(|| Value::from(())))
        }
        "keys" => items(value).map(list),
        "values" => Ok(list(pairs(value)?.into_iter().map(|(_, v)| v))),
        "items" => Ok(list(pairs(value)?.into_iter().map(|(k, v)| tuple([k, v])))),
        "fromkeys" => {
            let [keys, default] = call.bind(["iterable", "value"], 1)?;
            let default = default.unwrap_or_else(|| Value::from(()));
            Ok(map(items(&keys.unwrap_or_default())?.into_iter().map(|k| (k, default.clone()))))
        }
        _ => Ok(map(pairs(value)?)),
    }
}

fn number_method(value: &Value, name: &str, positional: &[Value]) -> Option<Result<Value, Error>> {
    let whole = value.is_integer();
    Some(match name {
        "bit_length" if whole => match i128::try_from(value.clone()) {
            Ok(n) => Ok(Value::from(128 - n.unsigned_abs().leading_zeros())),
            Err(e) => Err(e),
        },
        "is_integer" if !whole => Ok(Value::from(super::args::float(value).is_some_and(|f| f.fract() == 0.0))),
        "to_bytes" if whole => to_bytes(value, positional),
        "conjugate" if positional.is_empty() => Ok(value.clone()),
        _ => return None,
    })
}

fn to_bytes(value: &Value, positional: &[Value]) -> Result<Value, Error> {
    let length = positional.first().map_or(Ok(1), |n| size(n, "length"))?;
    let big = positional.get(1).and_then(Value::as_str).is_none_or(|order| order == "big");
    let number = u128::try_from(value.clone()).map_err(|_| err("a negative number has no bytes"))?;
    let bytes = number.to_be_bytes();
    let used = 16 - (number.leading_zeros() / 8) as usize;
    if used > length || length > 1 << 20 {
        return Err(err("the number is too large for that many bytes"));
    }
    let mut out = vec![0; length - used];
    out.extend(&bytes[16 - used..]);
    if !big {
        out.reverse();
    }
    Ok(Value::from_bytes(out))
}
