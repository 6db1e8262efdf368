//! Jinja's `Markup`: text that is HTML already. What is put together with it is escaped, as Python's markupsafe does.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::args::{map, pairs, tuple};
use super::filters::text::escaped;

/// Text that is HTML.
pub fn safe(text: impl Into<String>) -> Value {
    Value::from_safe_string(text.into())
}

/// A value's text as HTML: that of a `Markup` is it already.
pub fn html(value: &Value) -> String {
    if value.is_safe() { super::text(value) } else { escaped(&super::text(value)) }
}

/// What was made of a text: `Markup` if that was.
pub fn like(of: &Value, made: String) -> Value {
    if of.is_safe() { safe(made) } else { Value::from(made) }
}

/// Arguments of a `Markup`'s `%` and `format`: their texts escaped.
pub fn arguments(given: &Value) -> Value {
    match given.kind() {
        ValueKind::String => Value::from(html(given)),
        ValueKind::Seq if given.is_tuple() => tuple(given.try_iter().into_iter().flatten().map(|v| arguments(&v))),
        ValueKind::Map => map(pairs(given).unwrap_or_default().into_iter().map(|(k, v)| (k, arguments(&v)))),
        _ => given.clone(),
    }
}

/// `Markup.unescape`: entities as characters.
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end <= 10);
        let found = end.and_then(|end| Some((entity(&rest[1..end])?, end + 1)));
        let (c, len) = found.unwrap_or(('&', 1));
        out.push(c);
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_become_characters() {
        assert_eq!(unescaped("a &lt;b&gt; &amp;amp; &#39;&#x41; & &nope; &"), "a <b> &amp; 'A & &nope; &");
    }
}
