//! Types of scalars by YAML 1.1 as PyYAML implements it, not as the standard words it.
//!
//! `yes` is a boolean but `y` is text; `010` is 8 but `0o10` and `08` are text; `1e3` is text but `1.0e+3` is a number;
//! `22:22` is 1342. Dates become the text Ansible prints for them.

use super::node::Yaml;

/// What a plain scalar turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A date or time: text, but not the text as written.
    Time(String),
    Merge,
    /// The lone `=`, for which Ansible has no type.
    DefaultValue,
    Str,
}

/// The type of a plain scalar; `Err` says why a text that looks like a number or a time is none.
pub fn plain(text: &str) -> Result<Resolved, String> {
    let Some(first) = text.bytes().next() else { return Ok(Resolved::Null) };
    match text {
        "~" | "null" | "Null" | "NULL" => return Ok(Resolved::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Resolved::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Resolved::Bool(false)),
        "<<" => return Ok(Resolved::Merge),
        "=" => return Ok(Resolved::DefaultValue),
        _ => {}
    }
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return Ok(Resolved::Str);
    }
    if looks_float(text) {
        return float(text).map(Resolved::Float);
    }
    if looks_int(text) {
        return int(text).map(Resolved::Int);
    }
    if first.is_ascii_digit()
        && let Some(time) = timestamp(text)
    {
        return time.map(Resolved::Time);
    }
    Ok(Resolved::Str)
}

/// The type of a JSON scalar that is no string.
pub(super) fn json(text: &str) -> Resolved {
    match text {
        "null" => Resolved::Null,
        "true" => Resolved::Bool(true),
        "false" => Resolved::Bool(false),
        _ => text
            .parse()
            .map(Resolved::Int)
            .ok()
            .or_else(|| text.parse().map(Resolved::Float).ok())
            .unwrap_or(Resolved::Str),
    }
}

/// A whole number as a node's value.
pub(super) fn int_value(n: i128) -> Yaml {
    i64::try_from(n).map_or(Yaml::BigInt(n), Yaml::Int)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, ok: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(ok)
}

fn digits_or_lines(b: u8) -> bool {
    b.is_ascii_digit() || b == b'_'
}

/// `digits(:[0-5]?[0-9])+`: the parts after the first colon.
fn sexagesimal_tail(parts: &[&str]) -> bool {
    !parts.is_empty()
        && parts.iter().all(|p| {
            let b = p.as_bytes();
            match b.len() {
                1 => b[0].is_ascii_digit(),
                2 => (b'0'..=b'5').contains(&b[0]) && b[1].is_ascii_digit(),
                _ => false,
            }
        })
}

fn looks_int(text: &str) -> bool {
    let t = unsigned(text);
    if let Some(rest) = t.strip_prefix("0b") {
        return !rest.is_empty() && all(rest, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(rest) = t.strip_prefix("0x") {
        return !rest.is_empty() && all(rest, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    if t == "0" {
        return true;
    }
    if let Some(rest) = t.strip_prefix('0') {
        return all(rest, |b| (b'0'..=b'7').contains(&b) || b == b'_');
    }
    if !t.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return false;
    }
    let parts: Vec<&str> = t.split(':').collect();
    all(parts[0], digits_or_lines) && (parts.len() == 1 || sexagesimal_tail(&parts[1..]))
}

fn looks_float(text: &str) -> bool {
    let t = unsigned(text);
    if matches!(t, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = t.split_once('.') else { return false };
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(i) => (&rest[..i], Some(&rest[i + 1..])),
        None => (rest, None),
    };
    let exponent_ok = exponent
        .is_none_or(|e| e.strip_prefix(['-', '+']).is_some_and(|d| !d.is_empty() && all(d, |b| b.is_ascii_digit())));
    if !all(fraction, digits_or_lines) || !exponent_ok {
        return false;
    }
    if whole.is_empty() {
        // `.5`, without a sign.
        return t.len() == text.len() && fraction.starts_with(|c: char| c.is_ascii_digit());
    }
    if !whole.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let parts: Vec<&str> = whole.split(':').collect();
    all(parts[0], digits_or_lines) && (parts.len() == 1 || (exponent.is_none() && sexagesimal_tail(&parts[1..])))
}

/// `!!int` and plain whole numbers.
pub(super) fn int(text: &str) -> Result<i128, String> {
    let bare = text.replace('_', "");
    let (negative, t) = match bare.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let bad = || format!("`{text}` is not a whole number");
    let big = |e: &std::num::ParseIntError| match e.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            format!("the number `{text}` is too large")
        }
        _ => bad(),
    };
    let radix = |digits: &str, radix| {
        if digits.starts_with(['+', '-']) {
            Err(bad())
        } else {
            i128::from_str_radix(digits, radix).map_err(|e| big(&e))
        }
    };
    let value = if t == "0" {
        0
    } else if let Some(rest) = t.strip_prefix("0b") {
        radix(rest, 2)?
    } else if let Some(rest) = t.strip_prefix("0x") {
        radix(rest, 16)?
    } else if t.starts_with('0') {
        radix(t, 8)?
    } else if t.contains(':') {
        let mut total: i128 = 0;
        for part in t.split(':') {
            let part: i128 = radix(part, 10)?;
            total = total
                .checked_mul(60)
                .and_then(|n| n.checked_add(part))
                .ok_or_else(|| format!("the number `{text}` is too large"))?;
        }
        total
    } else {
        radix(t.trim(), 10)?
    };
    Ok(if negative { -value } else { value })
}

/// `!!float` and plain numbers with a point.
pub(super) fn float(text: &str) -> Result<f64, String> {
    let bare = text.replace('_', "").to_lowercase();
    let (sign, t) = match bare.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let number = |part: &str| part.trim().parse::<f64>().map_err(|_| format!("`{text}` is not a number"));
    Ok(match t {
        ".inf" => sign * f64::INFINITY,
        ".nan" => f64::NAN,
        _ if t.contains(':') => {
            let mut total = 0.0;
            for part in t.split(':') {
                total = total * 60.0 + number(part)?;
            }
            sign * total
        }
        _ => sign * number(t)?,
    })
}

/// `!!bool`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" => Some(true),
        "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A YAML 1.1 date or time as Python prints it; `None` if the text has not that form.
pub(super) fn timestamp(text: &str) -> Option<Result<String, String>> {
    let mut c = Cursor { rest: text };
    let year = c.digits(4, 4)?;
    c.one("-")?;
    let month = c.digits(1, 2)?;
    c.one("-")?;
    let day = c.digits(1, 2)?;
    let date_digits = text.len() - c.rest.len();
    let checked_date = || -> Result<(i16, i8, i8), String> {
        let (y, m, d) = (year.0 as i16, month.0 as i8, day.0 as i8);
        match jiff::civil::Date::new(y, m, d) {
            Ok(_) if y > 0 => Ok((y, m, d)),
            _ => Err(format!("`{text}` looks like a date, but there is no such day")),
        }
    };
    if c.rest.is_empty() {
        // A lone date has all its digits.
        return (date_digits == 10).then(|| checked_date().map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}")));
    }
    if c.one("Tt").is_none() && c.blanks() == 0 {
        return None;
    }
    let hour = c.digits(1, 2)?.0;
    c.one(":")?;
    let minute = c.digits(2, 2)?.0;
    c.one(":")?;
    let second = c.digits(2, 2)?.0;
    let mut micros = String::new();
    if c.one(".").is_some() {
        let n = c.rest.bytes().take_while(u8::is_ascii_digit).count();
        micros = c.rest[..n].chars().take(6).collect();
        c.rest = &c.rest[n..];
        if !micros.is_empty() {
            micros = format!("{micros:0<6}");
        }
    }
    let mut zone = String::new();
    let before_zone = c.rest;
    c.blanks();
    if c.one("Z").is_some() {
        zone = "+00:00".into();
    } else if let Some(sign) = c.one("-+") {
        let hours = c.digits(1, 2)?.0;
        let minutes = if c.one(":").is_some() { c.digits(2, 2)?.0 } else { 0 };
        if hours * 60 + minutes >= 24 * 60 {
            return Some(Err(format!("`{text}` looks like a time, but its offset is a day or more")));
        }
        let sign = if hours + minutes == 0 { '+' } else { sign };
        zone = format!("{sign}{:02}:{:02}", (hours * 60 + minutes) / 60, minutes % 60);
    } else if !before_zone.is_empty() {
        return None;
    }
    if !c.rest.is_empty() {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Some(Err(format!("`{text}` looks like a time, but there is no such hour, minute or second")));
    }
    Some(checked_date().map(|(y, m, d)| {
        let micros = if micros.bytes().all(|b| b == b'0') { String::new() } else { format!(".{micros}") };
        format!("{y:04}-{m:02}-{d:02} {hour:02}:{minute:02}:{second:02}{micros}{zone}")
    }))
}

struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn digits(&mut self, min: usize, max: usize) -> Option<(u32, usize)> {
        let n = self.rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
        if n < min {
            return None;
        }
        let value = self.rest[..n].parse().ok()?;
        self.rest = &self.rest[n..];
        Some((value, n))
    }

    fn one(&mut self, of: &str) -> Option<char> {
        let c = self.rest.chars().next()?;
        of.contains(c).then(|| {
            self.rest = &self.rest[c.len_utf8()..];
            c
        })
    }

    fn blanks(&mut self) -> usize {
        let n = self.rest.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
        self.rest = &self.rest[n..];
        n
    }
}
