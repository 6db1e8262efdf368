//! Python literals in INI values, as `ast.literal_eval` reads them: `5` is a number, `['a', 1]` a list, `yes` is text.

use minijinja::Value;

const MAX_DEPTH: usize = 64;

/// The literal's value; `None` if the text is no literal and stays text.
pub(super) fn parse(text: &str) -> Option<Value> {
    let mut p = Parser { rest: text.trim_start_matches([' ', '\t']), depth: 0 };
    let first = p.expression()?;
    p.blank();
    let value = if p.rest.starts_with(',') {
        let mut items = vec![first];
        while p.eat(',') {
            p.blank();
            if p.rest.is_empty() {
                break;
            }
            items.push(p.expression()?);
            p.blank();
        }
        Value::from(items)
    } else {
        first
    };
    p.blank();
    p.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn blank(&mut self) {
        loop {
            let trimmed = self.rest.trim_start_matches(|c: char| {
                matches!(c, ' ' | '\t' | '\u{c}') || (self.depth > 0 && matches!(c, '\n' | '\r'))
            });
            self.rest = trimmed;
            if !trimmed.starts_with('#') {
                return;
            }
            self.rest = trimmed.find('\n').map_or("", |i| &trimmed[i..]);
            if self.depth == 0 {
                return;
            }
        }
    }

    fn eat(&mut self, c: char) -> bool {
        self.rest.strip_prefix(c).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    fn expression(&mut self) -> Option<Value> {
        self.blank();
        let c = self.rest.chars().next()?;
        match c {
            '[' => self.list(']'),
            '(' => self.tuple(),
            '{' => self.braces(),
            '+' | '-' => {
                self.rest = &self.rest[1..];
                self.blank();
                let number = self.number()?;
                if c == '+' {
                    return Some(number);
                }
                if number.is_integer() {
                    return i128::try_from(number).ok().map(|n| whole(-n));
                }
                f64::try_from(number).ok().map(|f| Value::from(-f))
            }
            '0'..='9' | '.' => self.number(),
            _ => self.word(),
        }
    }

    fn items(&mut self, close: char) -> Option<(Vec<Value>, bool)> {
        self.rest = &self.rest[1..];
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut items = vec![];
        let mut comma = false;
        loop {
            self.blank();
            if self.eat(close) {
                self.depth -= 1;
                return Some((items, comma));
            }
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.expression()?);
            self.blank();
            comma = self.eat(',');
        }
    }

    fn list(&mut self, close: char) -> Option<Value> {
        self.items(close).map(|(items, _)| Value::from(items))
    }

    fn tuple(&mut self) -> Option<Value> {
        let (items, comma) = self.items(')')?;
        // Parentheses around one value are just parentheses.
        if items.len() == 1 && !comma { items.into_iter().next() } else { Some(Value::from(items)) }
    }

    /// A dict, or a set: which one shows after the first element.
    fn braces(&mut self) -> Option<Value> {
        self.rest = &self.rest[1..];
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut pairs: Vec<(Value, Value)> = vec![];
        let mut items: Vec<Value> = vec![];
        let mut comma = true;
        loop {
            self.blank();
            if self.eat('}') {
                self.depth -= 1;
                return Some(if items.is_empty() { Value::from_pairs(pairs) } else { Value::from(items) });
            }
            if !comma {
                return None;
            }
            let element = self.expression()?;
            self.blank();
            if self.eat(':') {
                if !items.is_empty() {
                    return None;
                }
                pairs.push((element, self.expression()?));
            } else if pairs.is_empty() {
                items.push(element);
            } else {
                return None;
            }
            self.blank();
            comma = self.eat(',');
        }
    }

    fn number(&mut self) -> Option<Value> {
        let end = self
            .rest
            .char_indices()
            .find(|(i, c)| {
                let exponent_sign = matches!(c, '+' | '-')
                    && *i > 0
                    && matches!(self.rest.as_bytes()[i - 1], b'e' | b'E')
                    && !self.rest.starts_with("0x")
                    && !self.rest.starts_with("0X");
                !(c.is_alphanumeric() || matches!(c, '_' | '.') || exponent_sign)
            })
            .map_or(self.rest.len(), |(i, _)| i);
        let (text, rest) = self.rest.split_at(end);
        let value = number(text)?;
        self.rest = rest;
        Some(value)
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if rest.starts_with(['"', '\'']) && name.len() <= 2 {
            return self.strings();
        }
        let value = match name {
            "True" => Value::from(true),
            "False" => Value::from(false),
            "None" => Value::from(()),
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    /// One text or several in a row, which Python joins.
    fn strings(&mut self) -> Option<Value> {
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\'']).filter(|n| *n <= 2);
            let Some(end) = end else { return Some(Value::from(text)) };
            let prefix = self.rest[..end].to_lowercase();
            if !matches!(prefix.as_str(), "" | "r" | "u" | "b" | "rb" | "br") {
                return if text.is_empty() { None } else { Some(Value::from(text)) };
            }
            self.rest = &self.rest[end..];
            self.string(prefix.contains('r'), &mut text)?;
            self.blank();
        }
    }

    fn string(&mut self, raw: bool, text: &mut String) -> Option<()> {
        let quote = &self.rest[..1];
        let triple = quote.repeat(3);
        let (quote, long) = if self.rest.starts_with(&triple) { (triple.as_str(), true) } else { (quote, false) };
        let mut rest = &self.rest[quote.len()..];
        loop {
            if let Some(after) = rest.strip_prefix(quote) {
                self.rest = after;
                return Some(());
            }
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' if !long => return None,
                '\\' if raw => {
                    let next = rest.chars().next()?;
                    text.push('\\');
                    text.push(next);
                    rest = &rest[next.len_utf8()..];
                }
                '\\' => rest = escape(rest, text)?,
                _ => text.push(c),
            }
        }
    }
}

/// The character after a backslash; what follows it.
fn escape<'a>(rest: &'a str, text: &mut String) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let after = &rest[c.len_utf8()..];
    let hex = |digits: usize| {
        let code = after.get(..digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, &after[digits..]))
    };
    let (c, after) = match c {
        '\n' => return Some(after),
        '\\' | '\'' | '"' => (c, after),
        'a' => ('\u{7}', after),
        'b' => ('\u{8}', after),
        'f' => ('\u{c}', after),
        'n' => ('\n', after),
        'r' => ('\r', after),
        't' => ('\t', after),
        'v' => ('\u{b}', after),
        'x' => hex(2)?,
        'u' => hex(4)?,
        'U' => hex(8)?,
        'N' => return None,
        '0'..='7' => {
            let n = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            (char::from_u32(u32::from_str_radix(&rest[..n], 8).ok()?)?, &rest[n..])
        }
        _ => {
            text.push('\\');
            (c, after)
        }
    };
    text.push(c);
    Some(after)
}

fn whole(n: i128) -> Value {
    i64::try_from(n).map_or_else(|_| Value::from(n), Value::from)
}

/// Underscores stand between digits only.
fn without_underscores(text: &str) -> Option<String> {
    let ok = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    ok.then(|| text.replace('_', ""))
}

fn number(text: &str) -> Option<Value> {
    let lower = text.to_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            // One underscore may follow the prefix.
            let digits = without_underscores(digits.strip_prefix('_').unwrap_or(digits))?;
            return i128::from_str_radix(&digits, radix).ok().map(whole);
        }
    }
    if lower.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        let digits = without_underscores(&lower)?;
        if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
            return None;
        }
        return digits.parse().ok().map(whole);
    }
    if !lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let bytes = lower.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        if *b == b'_' && !(i > 0 && digit(bytes.get(i - 1)) && digit(bytes.get(i + 1))) {
            return None;
        }
    }
    lower.replace('_', "").parse::<f64>().ok().map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_python_literals() {
        let is = |text: &str, expected: &str| {
            assert_eq!(parse(text).map(|v| v.to_string()).as_deref(), Some(expected), "{text}")
        };
        is("5", "5");
        is("-5", "-5");
        is("0x1F", "31");
        is("0o17", "15");
        is("1_0", "10");
        is("1e3", "1000.0");
        is(".5", "0.5");
        is("True", "True");
        is("None", "None");
        is("'a' \"b\"", "ab");
        is("r'\\d'", "\\d");
        is("'\\x41\\u00e9'", "Aé");
        is("[1, 'x', [2,],]", "[1, 'x', [2]]");
        is("(1)", "1");
        is("(1,)", "[1]");
        is("1,2", "[1, 2]");
        is("{'a': {'b': 1}}", "{'a': {'b': 1}}");
        is("{1, 2}", "[1, 2]");
        is("5 # five", "5");
        is("00", "0");
    }

    #[test]
    fn leaves_the_rest_as_text() {
        for text in [
            "",
            "yes",
            "true",
            "010",
            "1.2.3.4",
            "a b",
            "[1,",
            "{k:1}",
            "1-2",
            "1+2",
            "'a",
            "x'a'",
            "~",
            "1j",
            "#x",
            "/etc",
            "1__0",
            "_1",
            "1_.5",
            "{{ x }}",
            "[1 2]",
            "{1:2 3:4}",
        ] {
            assert!(parse(text).is_none(), "{text} became {:?}", parse(text));
        }
        assert!(parse(&"[".repeat(100_000)).is_none());
        assert!(parse(&"{".repeat(100_000)).is_none());
    }
}
