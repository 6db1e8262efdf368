//! JSON as Python's `json` writes and reads it, byte for byte; YAML texts.

use indexmap::IndexMap;
use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, integer, items, list, map, pairs, string, valid};
use crate::template::types::type_name;
use crate::template::{datetime, float_text};

pub const FILTERS: &[Entry] =
    &[("to_json", to_json), ("to_nice_json", to_nice_json), ("tojson", tojson), ("from_json", from_json)];

/// How JSON is laid out: the arguments of Python's `json.dumps`.
#[derive(Debug, Clone)]
pub struct Layout {
    pub indent: Option<String>,
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
    pub ensure_ascii: bool,
    pub skip_keys: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            indent: None,
            item_separator: ", ".into(),
            key_separator: ": ".into(),
            sort_keys: false,
            ensure_ascii: true,
            skip_keys: false,
        }
    }
}

/// A value as JSON.
pub fn dumps(value: &Value, layout: &Layout) -> Result<String, Error> {
    let mut out = String::new();
    write(&mut out, value, layout, 0)?;
    Ok(out)
}

fn write(out: &mut String, value: &Value, layout: &Layout, depth: usize) -> Result<(), Error> {
    if depth > 900 {
        return Err(err("the value is nested too deep for JSON"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default(), layout.ensure_ascii),
        ValueKind::Bytes => {
            write_text(out, &String::from_utf8_lossy(value.as_bytes().unwrap_or_default()), layout.ensure_ascii)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let all = items(value)?;
            container(out, layout, depth, '[', ']', all.len(), |out, i| write(out, &all[i], layout, depth + 1))?;
        }
        ValueKind::Map => {
            let mut entries = vec![];
            for (key, value) in pairs(value)? {
                match key_text(&key) {
                    Some(text) => entries.push((text, value)),
                    None if layout.skip_keys => {}
                    None => return Err(err(format!("{} can't be a key in JSON", type_name(&key)))),
                }
            }
            if layout.sort_keys {
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            container(out, layout, depth, '{', '}', entries.len(), |out, i| {
                write_text(out, &entries[i].0, layout.ensure_ascii);
                out.push_str(&layout.key_separator);
                write(out, &entries[i].1, layout, depth + 1)
            })?;
        }
        ValueKind::Undefined => return Err(crate::template::call::undefined("a part of the value is undefined")),
        _ => {
            valid(value)?;
            match datetime::iso(value) {
                Some(moment) => write_text(out, &moment, layout.ensure_ascii),
                None => return Err(err(format!("{} can't be written as JSON", type_name(value)))),
            }
        }
    }
    Ok(())
}

fn container(
    out: &mut String,
    layout: &Layout,
    depth: usize,
    open: char,
    close: char,
    len: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(open);
    let newline = |out: &mut String, depth: usize| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    };
    for i in 0..len {
        if i > 0 {
            out.push_str(&layout.item_separator);
        }
        newline(out, depth + 1);
        item(out, i)?;
    }
    if len > 0 {
        newline(out, depth);
    }
    out.push(close);
    Ok(())
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(f) if f.is_nan() => "NaN".into(),
        Ok(f) if f.is_infinite() => {
            if f > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        Ok(f) => float_text(f),
        Err(_) => value.to_string(),
    }
}

fn key_text(key: &Value) -> Option<String> {
    match key.kind() {
        ValueKind::String => key.as_str().map(str::to_owned),
        ValueKind::None => Some("null".into()),
        ValueKind::Bool => Some(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => Some(number(key)),
        _ => None,
    }
}

fn write_text(out: &mut String, s: &str, ascii: bool) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if ascii && (c as u32) >= 0x7f => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn layout(named: IndexMap<String, Value>, filter: &str) -> Result<Layout, Error> {
    let mut layout = Layout::default();
    let mut separators = None;
    for (name, value) in named {
        match name.as_str() {
            "indent" if value.is_none() => {}
            "indent" => {
                layout.indent = Some(match value.as_str() {
                    Some(s) => s.to_owned(),
                    None => " ".repeat(usize::try_from(integer(&value, "indent")?).unwrap_or(0)),
                });
            }
            "sort_keys" => layout.sort_keys = flag(Some(&value), false),
            "ensure_ascii" => layout.ensure_ascii = flag(Some(&value), true),
            "skipkeys" => layout.skip_keys = flag(Some(&value), false),
            "separators" if value.is_none() => {}
            "separators" => separators = Some(items(&value)?),
            "vault_to_text" | "preprocess_unsafe" | "allow_nan" | "check_circular" | "profile" => {}
            other => return Err(err(format!("`{filter}` has no argument `{other}`"))),
        }
    }
    match separators.as_deref() {
        Some([item, key]) => {
            layout.item_separator = string(item, "separators")?;
            layout.key_separator = string(key, "separators")?;
        }
        Some(_) => return Err(err("`separators` must be two texts")),
        None if layout.indent.is_some() => layout.item_separator = ",".into(),
        None => {}
    }
    Ok(layout)
}

fn to_json(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    dumps(&value, &layout(call.named, "to_json")?).map(Value::from)
}

fn to_nice_json(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let mut named = call.named;
    named.shift_remove("separators");
    let mut positional = call.positional.into_iter();
    for name in ["indent", "sort_keys"] {
        if let Some(value) = positional.next() {
            named.insert(name.into(), value);
        }
    }
    named.entry("indent".into()).or_insert_with(|| Value::from(4));
    named.entry("sort_keys".into()).or_insert_with(|| Value::from(true));
    let mut layout = layout(named, "to_nice_json")?;
    (layout.item_separator, layout.key_separator) = (",".into(), ": ".into());
    dumps(&value, &layout).map(Value::from)
}

/// Jinja's own: sorted keys, and safe to stand in HTML.
fn tojson(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let mut named = call.named;
    if let Some(indent) = call.positional.into_iter().next() {
        named.insert("indent".into(), indent);
    }
    named.entry("sort_keys".into()).or_insert_with(|| Value::from(true));
    let text = dumps(&value, &layout(named, "tojson")?)?;
    Ok(crate::template::markup::safe(
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027"),
    ))
}

fn from_json(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let Some(text) = value.as_str() else {
        return Err(err(format!("`from_json` takes text, not {}", type_name(&value))));
    };
    loads(text).map_err(|e| err(format!("`from_json` can't read the text: {e}")))
}

/// Reads JSON as Python does: numbers of any size, `NaN` and `Infinity`, the last of duplicate keys.
pub fn loads(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.space();
    let value = reader.value()?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.problem("extra data"));
    }
    Ok(value)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn problem(&self, what: &str) -> String {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(before.chars().count(), |i| before[i + 1..].chars().count()) + 1;
        format!("{what} at line {line} column {column}")
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn value(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > 500 {
            return Err(self.problem("nesting that is too deep"));
        }
        let value = match self.rest().as_bytes().first() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(Value::from),
            _ => self.plain(),
        };
        self.depth -= 1;
        value
    }

    fn plain(&mut self) -> Result<Value, String> {
        for (word, value) in [
            ("null", Value::from(())),
            ("true", Value::from(true)),
            ("false", Value::from(false)),
            ("NaN", Value::from(f64::NAN)),
            ("Infinity", Value::from(f64::INFINITY)),
            ("-Infinity", Value::from(f64::NEG_INFINITY)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        let rest = self.rest().as_bytes();
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let start = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(start.min(rest.len()));
        if whole == 0 {
            return Err(self.problem("no value"));
        }
        let whole = if rest[start] == b'0' { 1 } else { whole };
        let mut end = start + whole;
        let mut is_float = false;
        if rest.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
            is_float = true;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            if end + 1 + sign <= rest.len() && digits(end + 1 + sign) > 0 {
                end += 1 + sign + digits(end + 1 + sign);
                is_float = true;
            }
        }
        let token = &self.text[self.at..self.at + end];
        let value = if is_float {
            token.parse::<f64>().map(Value::from).map_err(|_| self.problem("a bad number"))?
        } else {
            match token.parse::<i128>() {
                Ok(n) => super::numbers::int_value(n),
                Err(_) => token.parse::<f64>().map(Value::from).map_err(|_| self.problem("a bad number"))?,
            }
        };
        self.at += end;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut out = vec![];
        self.space();
        if self.take("]") {
            return Ok(list(out));
        }
        loop {
            self.space();
            out.push(self.value()?);
            self.space();
            if self.take("]") {
                return Ok(list(out));
            }
            if !self.take(",") {
                return Err(self.problem("no `,` or `]`"));
            }
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut out = vec![];
        self.space();
        if self.take("}") {
            return Ok(map(out));
        }
        loop {
            self.space();
            if !self.rest().starts_with('"') {
                return Err(self.problem("no key in double quotes"));
            }
            let key = Value::from(self.string()?);
            self.space();
            if !self.take(":") {
                return Err(self.problem("no `:` after a key"));
            }
            self.space();
            out.push((key, self.value()?));
            self.space();
            if self.take("}") {
                return Ok(map(out));
            }
            if !self.take(",") {
                return Err(self.problem("no `,` or `}`"));
            }
        }
    }

    fn unit(&mut self) -> Result<u32, String> {
        let hex = self.rest().get(..4).and_then(|h| u32::from_str_radix(h, 16).ok());
        let Some(hex) = hex else { return Err(self.problem("a bad \\u escape")) };
        self.at += 4;
        Ok(hex)
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else { return Err(self.problem("a text that does not end")) };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => {
                    self.at += 1;
                    let Some(c) = self.rest().chars().next() else {
                        return Err(self.problem("a text that does not end"));
                    };
                    self.at += c.len_utf8();
                    out.push(match c {
                        '"' | '\\' | '/' => c,
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'b' => '\x08',
                        'f' => '\x0c',
                        'u' => {
                            let mut code = self.unit()?;
                            if (0xd800..0xdc00).contains(&code) && self.rest().starts_with("\\u") {
                                self.at += 2;
                                let low = self.unit()?;
                                if (0xdc00..0xe000).contains(&low) {
                                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                                }
                            }
                            char::from_u32(code).unwrap_or('\u{fffd}')
                        }
                        _ => return Err(self.problem("a bad escape")),
                    });
                }
                c if (c as u32) < 0x20 => return Err(self.problem("a control character in a text")),
                c => {
                    out.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }
}
