//! Filters on text: Jinja's own, and Ansible's `comment`, `quote` and `split`.

use minijinja::{Error, State, Value};

use crate::template::args::{
    Call, Entry, err, flag, get, integer, is_mapping, is_sequence, items, list, opt_integer, opt_string, pairs, size,
    string, text,
};
use crate::template::markup;
use crate::template::types::type_name;

pub const FILTERS: &[Entry] = &[
    ("upper", |_, c| simple(c, |s| s.to_uppercase())),
    ("lower", |_, c| simple(c, |s| s.to_lowercase())),
    ("capitalize", |_, c| simple(c, |s| capitalized(&s))),
    ("title", |_, c| simple(c, |s| title_jinja(&s))),
    ("string", |_, c| subject(c, |v| markup::like(v, text(v)))),
    ("trim", trim),
    ("replace", replace),
    ("center", center),
    ("indent", indent),
    ("truncate", truncate),
    ("wordwrap", wordwrap),
    ("wordcount", |_, c| simple_value(c, |s| Value::from(word_count(&s)))),
    ("striptags", |_, c| simple(c, |s| strip_tags(&s))),
    ("escape", |_, c| subject(c, |v| markup::safe(markup::html(v)))),
    ("e", |_, c| subject(c, |v| markup::safe(markup::html(v)))),
    ("forceescape", |_, c| subject(c, |v| markup::safe(escaped(&text(v))))),
    ("safe", |_, c| subject(c, |v| markup::safe(text(v)))),
    ("xmlattr", xmlattr),
    ("urlencode", urlencode),
    ("urldecode", |_, c| simple(c, |s| url_decoded(&s))),
    ("format", format),
    ("comment", comment),
    ("quote", quote),
    ("split", split),
    ("attr", attr),
];

fn simple(mut call: Call, f: fn(String) -> String) -> Result<Value, Error> {
    let value = call.subject()?;
    no_more(&call)?;
    Ok(Value::from(f(text(&value))))
}

fn subject(mut call: Call, f: fn(&Value) -> Value) -> Result<Value, Error> {
    let value = call.subject()?;
    no_more(&call)?;
    Ok(f(&value))
}

fn simple_value(mut call: Call, f: fn(String) -> Value) -> Result<Value, Error> {
    let value = call.subject()?;
    no_more(&call)?;
    Ok(f(text(&value)))
}

fn no_more(call: &Call) -> Result<(), Error> {
    if call.positional.is_empty() && call.named.is_empty() {
        return Ok(());
    }
    Err(err(format!("`{}` takes no arguments", call.name)))
}

pub fn capitalized(s: &str) -> String {
    let mut chars = s.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect()).unwrap_or_default()
}

/// Jinja's `title`: a word starts after a space, dash or opening bracket (so `it's` stays one word).
fn title_jinja(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut start = true;
    for c in s.chars() {
        if start {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        start = c.is_whitespace() || "-({[<".contains(c);
    }
    out
}

fn trim(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, chars] = call.bind(["value", "chars"], 1)?;
    let s = text(&value.unwrap_or_default());
    Ok(Value::from(match opt_string(chars.as_ref(), "chars")? {
        Some(chars) => s.trim_matches(|c| chars.contains(c)),
        None => s.trim_matches(is_space),
    }))
}

/// Python's notion of white space (`str.strip`, `str.split`).
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn replace(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, old, new, count] = call.bind(["value", "old", "new", "count"], 3)?;
    let s = text(&value.unwrap_or_default());
    let (old, new) = (text(&old.unwrap_or_default()), text(&new.unwrap_or_default()));
    Ok(Value::from(match opt_integer(count.as_ref(), "count")? {
        Some(n) if n >= 0 => s.replacen(&old, &new, n as usize),
        _ => s.replace(&old, &new),
    }))
}

/// `str.center`.
pub fn centered(s: &str, width: usize, fill: char) -> String {
    let len = s.chars().count();
    if width <= len {
        return s.to_owned();
    }
    let margin = width - len;
    let left = margin / 2 + (margin & width & 1);
    let pad = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
    format!("{}{s}{}", pad(left), pad(margin - left))
}

fn center(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, width] = call.bind(["value", "width"], 1)?;
    let width = width.filter(|w| !w.is_none()).map_or(Ok(80), |w| size(&w, "width"))?;
    Ok(Value::from(centered(&text(&value.unwrap_or_default()), width, ' ')))
}

/// Python's `str.splitlines`.
pub fn split_lines(s: &str, keep_ends: bool) -> Vec<String> {
    let mut out = vec![];
    let mut line = String::new();
    let mut chars = s.chars().peekable();
    while let Some(c) = chars.next() {
        if matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c' | '\x1d' | '\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            if keep_ends {
                line.push(c);
            }
            if c == '\r' && chars.peek() == Some(&'\n') {
                chars.next();
                if keep_ends {
                    line.push('\n');
                }
            }
            out.push(std::mem::take(&mut line));
        } else {
            line.push(c);
        }
    }
    if !line.is_empty() {
        out.push(line);
    }
    out
}

fn indent(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, width, first, blank] = call.bind(["s", "width", "first", "blank"], 1)?;
    let value = value.unwrap_or_default();
    let Some(s) = value.as_str() else {
        return Err(err(format!("`indent` takes text, not {}", type_name(&value))));
    };
    let indention = match width {
        None => " ".repeat(4),
        Some(w) => match w.as_str() {
            Some(s) => s.to_owned(),
            None => " ".repeat(size(&w, "width")?),
        },
    };
    let (first, blank) = (flag(first.as_ref(), false), flag(blank.as_ref(), false));
    let lines = split_lines(&format!("{s}\n"), false);
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if (i == 0 && first) || (i > 0 && (blank || !line.is_empty())) {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn truncate(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, length, killwords, end, leeway] = call.bind(["s", "length", "killwords", "end", "leeway"], 1)?;
    let value = value.unwrap_or_default();
    let s: Vec<char> = text(&value).chars().collect();
    let length = opt_integer(length.as_ref(), "length")?.unwrap_or(255);
    let end = opt_string(end.as_ref(), "end")?.unwrap_or_else(|| "...".into());
    let leeway = opt_integer(leeway.as_ref(), "leeway")?.unwrap_or(5);
    let end_len = end.chars().count() as i64;
    if length < end_len {
        return Err(err(format!("`truncate` needs a length of at least {end_len}")));
    }
    if s.len() as i64 <= length + leeway {
        return Ok(markup::like(&value, s.into_iter().collect::<String>()));
    }
    let mut kept: String = s[..(length - end_len) as usize].iter().collect();
    if !flag(killwords.as_ref(), false)
        && let Some(at) = kept.rfind(' ')
    {
        kept.truncate(at);
    }
    let end = if value.is_safe() { escaped(&end) } else { end };
    Ok(markup::like(&value, kept + &end))
}

fn wordwrap(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, width, long_words, wrapstring, hyphens] =
        call.bind(["s", "width", "break_long_words", "wrapstring", "break_on_hyphens"], 1)?;
    let width = opt_integer(width.as_ref(), "width")?.unwrap_or(79);
    let Some(width) = usize::try_from(width).ok().filter(|w| *w > 0) else {
        return Err(err("`wordwrap` needs a width above 0"));
    };
    let separator = opt_string(wrapstring.as_ref(), "wrapstring")?.unwrap_or_else(|| "\n".into());
    let (long_words, hyphens) = (flag(long_words.as_ref(), true), flag(hyphens.as_ref(), true));
    let s = text(&value.unwrap_or_default());
    let lines: Vec<String> = split_lines(&s, false)
        .iter()
        .map(|line| super::wrap::wrap(line, width, long_words, hyphens).join(&separator))
        .collect();
    Ok(Value::from(lines.join(&separator)))
}

fn word_count(s: &str) -> usize {
    let mut count = 0;
    let mut inside = false;
    for c in s.chars() {
        let word = c.is_alphanumeric() || c == '_';
        if word && !inside {
            count += 1;
        }
        inside = word;
    }
    count
}

/// HTML's five special characters as entities.
pub fn escaped(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

fn strip_tags(s: &str) -> String {
    let mut rest = s.to_owned();
    while let Some(start) = rest.find("<!--") {
        let Some(len) = rest[start..].find("-->") else { break };
        rest.replace_range(start..start + len + 3, "");
    }
    while let Some(start) = rest.find('<') {
        let Some(len) = rest[start..].find('>') else { break };
        rest.replace_range(start..=start + len, "");
    }
    let joined = rest.split(is_space).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    joined
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&nbsp;", "\u{a0}")
        .replace("&amp;", "&")
}

fn xmlattr(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, autospace] = call.bind(["d", "autospace"], 1)?;
    let mut parts = vec![];
    for (key, value) in pairs(&value.unwrap_or_default())? {
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let key = text(&key);
        if key.contains(|c: char| c.is_whitespace() || "/>=".contains(c)) {
            return Err(err(format!("`{key}` can't be the name of an attribute")));
        }
        parts.push(format!("{}=\"{}\"", escaped(&key), escaped(&text(&value))));
    }
    let out = parts.join(" ");
    Ok(markup::safe(if !out.is_empty() && flag(autospace.as_ref(), true) { format!(" {out}") } else { out }))
}

/// `urllib.parse.quote` with `/` (and more) left as it is.
pub fn url_quoted(s: &str, safe: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        if b.is_ascii_alphanumeric() || b"_.-~".contains(&b) || safe.as_bytes().contains(&b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn urlencode(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value] = call.bind(["value"], 1)?;
    let value = value.unwrap_or_default();
    let pair = |k: &Value, v: &Value| {
        let quoted = |v: &Value| url_quoted(&text(v), "").replace("%20", "+");
        format!("{}={}", quoted(k), quoted(v))
    };
    if is_mapping(&value) {
        return Ok(Value::from(pairs(&value)?.iter().map(|(k, v)| pair(k, v)).collect::<Vec<_>>().join("&")));
    }
    if !is_sequence(&value) {
        return Ok(Value::from(url_quoted(&text(&value), "/")));
    }
    let mut parts = vec![];
    for item in items(&value)? {
        match items(&item)?.as_slice() {
            [k, v] => parts.push(pair(k, v)),
            _ => return Err(err("`urlencode` takes pairs")),
        }
    }
    Ok(Value::from(parts.join("&")))
}

/// `urllib.parse.unquote_plus`.
fn url_decoded(s: &str) -> String {
    let bytes = s.as_bytes();
    let mut out = vec![];
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes
            .get(i + 1..i + 3)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[i], hex) {
            (b'%', Some(b)) => {
                out.push(b);
                i += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (b, _) => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn format(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let argument = match (call.positional.is_empty(), call.named.is_empty()) {
        (false, false) => return Err(err("`format` takes arguments by position or by name, not both")),
        (true, false) => crate::template::args::map(call.named.into_iter().map(|(k, v)| (Value::from(k), v))),
        _ => crate::template::args::tuple(call.positional),
    };
    let argument = if value.is_safe() { markup::arguments(&argument) } else { argument };
    crate::template::pyformat::percent(&text(&value), &argument).map(|made| markup::like(&value, made))
}

/// The parts of a comment style.
struct Style {
    beginning: &'static str,
    decoration: &'static str,
    end: &'static str,
}

fn comment(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let Some(body) = value.as_str() else {
        return Err(err(format!("`comment` takes text, not {}", type_name(&value))));
    };
    let style = match call.positional.first().cloned().or_else(|| call.named.shift_remove("style")) {
        Some(style) => string(&style, "style")?,
        None => "plain".into(),
    };
    let base = match style.as_str() {
        "plain" => Style { beginning: "", decoration: "# ", end: "" },
        "erlang" => Style { beginning: "", decoration: "% ", end: "" },
        "c" => Style { beginning: "", decoration: "// ", end: "" },
        "cblock" => Style { beginning: "/*", decoration: " * ", end: " */" },
        "xml" => Style { beginning: "<!--", decoration: " - ", end: "-->" },
        other => {
            return Err(err(format!(
                "`{other}` is no comment style: there are `plain`, `erlang`, `c`, `cblock`, `xml`"
            )));
        }
    };
    let named = call.named;
    let option = |name: &str| named.get(name).map(text);
    let count =
        |name: &str| named.get(name).map_or(Ok(1), |v| integer(v, name)).map(|n| usize::try_from(n).unwrap_or(0));
    let newline = option("newline").unwrap_or_else(|| "\n".into());
    let decoration = option("decoration").unwrap_or_else(|| base.decoration.into());
    let bare = decoration.trim_end().to_owned();
    let beginning = option("beginning").unwrap_or_else(|| base.beginning.into());
    let end = option("end").unwrap_or_else(|| base.end.into());
    let prefix = option("prefix").unwrap_or_else(|| bare.clone());
    let postfix = option("postfix").unwrap_or_else(|| bare.clone());
    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&beginning);
        out.push_str(&newline);
    }
    for _ in 0..count("prefix_count")? {
        if !prefix.is_empty() {
            if prefix != newline {
                out.push_str(&prefix);
            }
            out.push_str(&newline);
        }
    }
    let text = format!("{decoration}{}", body.replace(&newline, &format!("{newline}{decoration}")));
    out.push_str(&text.replace(&format!("{decoration}{newline}"), &format!("{bare}{newline}")));
    out.push_str(&newline);
    let posts: Vec<&str> = std::iter::repeat_n(postfix.as_str(), count("postfix_count")?).collect();
    out.push_str(&posts.join(&newline));
    if !end.is_empty() {
        out.push_str(&newline);
        out.push_str(&end);
    }
    Ok(Value::from(out))
}

/// `shlex.quote`.
pub fn shell_quoted(s: &str) -> String {
    if s.is_empty() {
        return "''".into();
    }
    if s.chars().all(|c| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c)) {
        return s.to_owned();
    }
    format!("'{}'", s.replace('\'', "'\"'\"'"))
}

fn quote(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let s = if value.is_none() { String::new() } else { text(&value) };
    Ok(Value::from(shell_quoted(&s)))
}

/// Python's `str.split`.
pub fn split_text(s: &str, separator: Option<&str>, limit: Option<usize>) -> Result<Vec<String>, Error> {
    let Some(separator) = separator else {
        let mut out = vec![];
        let mut rest = s.trim_start_matches(is_space);
        while !rest.is_empty() {
            if limit.is_some_and(|l| out.len() >= l) {
                out.push(rest.trim_end_matches(is_space).to_owned());
                break;
            }
            let end = rest.find(is_space).unwrap_or(rest.len());
            out.push(rest[..end].to_owned());
            rest = rest[end..].trim_start_matches(is_space);
        }
        return Ok(out);
    };
    if separator.is_empty() {
        return Err(err("text can't be split at an empty separator"));
    }
    Ok(match limit {
        Some(limit) => s.splitn(limit + 1, separator).map(str::to_owned).collect(),
        None => s.split(separator).map(str::to_owned).collect(),
    })
}

fn split(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, separator, limit] = call.bind(["value", "sep", "maxsplit"], 1)?;
    let value = value.unwrap_or_default();
    let s = string(&value, "value")?;
    let limit = opt_integer(limit.as_ref(), "maxsplit")?.and_then(|l| usize::try_from(l).ok());
    let separator = opt_string(separator.as_ref(), "sep")?;
    Ok(list(split_text(&s, separator.as_deref(), limit)?.into_iter().map(Value::from)))
}

fn attr(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, name] = call.bind(["obj", "name"], 2)?;
    let name = string(&name.unwrap_or_default(), "name")?;
    // a mapping's keys are items, not attributes
    let value = value.unwrap_or_default();
    if is_mapping(&value) {
        Ok(Value::UNDEFINED)
    } else {
        Ok(get(&value, &Value::from(name))?.unwrap_or(Value::UNDEFINED))
    }
}
