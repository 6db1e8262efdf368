//! Python's two ways to format text: `'%s' % x` and `'{}'.format(x)`.

use indexmap::IndexMap;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::args::{err, float, get, is_mapping, items};
use super::types::type_name;
use super::{repr, text};

/// `format % argument`: a tuple gives several arguments, a mapping named ones.
pub fn percent(format: &str, argument: &Value) -> Result<String, Error> {
    let mut queue: Vec<Value> = if argument.is_tuple() { items(argument)? } else { vec![argument.clone()] };
    queue.reverse();
    let mut used_mapping = false;
    let mut out = String::new();
    let chars: Vec<char> = format.chars().collect();
    let mut i = 0;
    let mut next = || queue.pop().ok_or_else(|| err("there are not enough arguments for the format"));
    while i < chars.len() {
        if chars[i] != '%' {
            out.push(chars[i]);
            i += 1;
            continue;
        }
        i += 1;
        let mut named = None;
        if chars.get(i) == Some(&'(') {
            let (mut depth, start) = (1, i + 1);
            i += 1;
            while i < chars.len() && depth > 0 {
                match chars[i] {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                i += 1;
            }
            let key: String = chars[start..i.saturating_sub(1).max(start)].iter().collect();
            if !is_mapping(argument) {
                return Err(err("the format names its arguments, so it needs a mapping"));
            }
            used_mapping = true;
            named = Some(
                get(argument, &Value::from(key.as_str()))?
                    .ok_or_else(|| err(format!("the format needs the key `{key}`")))?,
            );
        }
        let mut spec = Spec::default();
        while let Some(c) = chars.get(i) {
            match c {
                '-' => spec.align = Some('<'),
                '+' => spec.sign = '+',
                ' ' if spec.sign != '+' => spec.sign = ' ',
                ' ' => {}
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                _ => break,
            }
            i += 1;
        }
        let mut number = |i: &mut usize| -> Result<Option<i64>, Error> {
            if chars.get(*i) == Some(&'*') {
                *i += 1;
                return super::args::integer(&next()?, "width").map(Some);
            }
            let digits: String = chars[*i..].iter().take_while(|c| c.is_ascii_digit()).collect();
            *i += digits.len();
            Ok(digits.parse().ok())
        };
        if let Some(width) = number(&mut i)? {
            if width < 0 {
                spec.align = Some('<');
            }
            spec.width = width.unsigned_abs() as usize;
        }
        if chars.get(i) == Some(&'.') {
            i += 1;
            spec.precision = Some(number(&mut i)?.unwrap_or(0).max(0) as usize);
        }
        spec.check()?;
        while matches!(chars.get(i), Some('h' | 'l' | 'L')) {
            i += 1;
        }
        let Some(kind) = chars.get(i).copied() else { return Err(err("the format ends within a conversion")) };
        i += 1;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match named {
            Some(value) => value,
            None => next()?,
        };
        out.push_str(&convert(kind, &value, spec)?);
    }
    if !used_mapping && !queue.is_empty() && !is_mapping(argument) {
        return Err(err("not all arguments were used by the format"));
    }
    Ok(out)
}

fn convert(kind: char, value: &Value, mut spec: Spec) -> Result<String, Error> {
    if spec.align == Some('<') {
        spec.zero = false;
    }
    let numeric = matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    let body = match kind {
        's' | 'r' | 'a' => {
            let s = match kind {
                's' => text(value),
                'r' => repr(value),
                _ => ascii(&repr(value)),
            };
            spec.zero = false;
            match spec.precision {
                Some(p) => s.chars().take(p).collect(),
                None => s,
            }
        }
        'c' => match value.as_str() {
            Some(s) if s.chars().count() == 1 => s.to_owned(),
            None if numeric => char::from_u32(super::args::integer(value, "c")? as u32)
                .map(String::from)
                .ok_or_else(|| err("`%c` needs a character"))?,
            _ => return Err(err("`%c` needs a number or one character")),
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            if !numeric {
                return Err(err(format!("`%{kind}` needs a number, not {}", type_name(value))));
            }
            let n = match i128::try_from(value.clone()) {
                Ok(n) if value.is_integer() || value.kind() == ValueKind::Bool => n,
                _ if matches!(kind, 'd' | 'i' | 'u') => float(value).unwrap_or_default().trunc() as i128,
                _ => return Err(err(format!("`%{kind}` needs a whole number"))),
            };
            return Ok(spec.pad_number(
                n < 0,
                &integer_digits(n.unsigned_abs(), kind, spec.alternate, spec.precision),
                '>',
            ));
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let Some(f) = float(value) else {
                return Err(err(format!("`%{kind}` needs a number, not {}", type_name(value))));
            };
            return Ok(spec.pad_number(
                f.is_sign_negative() && !f.is_nan(),
                &float_digits(f.abs(), kind, spec.precision, spec.alternate),
                '>',
            ));
        }
        other => return Err(err(format!("`%{other}` is no conversion"))),
    };
    Ok(spec.pad(&body, '>'))
}

fn integer_digits(n: u128, kind: char, alternate: bool, precision: Option<usize>) -> String {
    let (digits, prefix) = match kind {
        'x' => (format!("{n:x}"), "0x"),
        'X' => (format!("{n:X}"), "0X"),
        'o' => (format!("{n:o}"), "0o"),
        'b' => (format!("{n:b}"), "0b"),
        _ => (n.to_string(), ""),
    };
    let digits = match precision {
        Some(p) if digits.len() < p => format!("{}{digits}", "0".repeat(p - digits.len())),
        _ => digits,
    };
    if alternate { format!("{prefix}{digits}") } else { digits }
}

fn float_digits(f: f64, kind: char, precision: Option<usize>, alternate: bool) -> String {
    let upper = kind.is_ascii_uppercase();
    let text = if f.is_nan() {
        "nan".into()
    } else if f.is_infinite() {
        "inf".into()
    } else {
        match kind.to_ascii_lowercase() {
            'e' => exponent_form(f, precision.unwrap_or(6)),
            'g' => general_form(f, precision.unwrap_or(6).max(1), alternate),
            _ => format!("{f:.*}", precision.unwrap_or(6)),
        }
    };
    if upper { text.to_uppercase() } else { text }
}

fn exponent_form(f: f64, precision: usize) -> String {
    let s = format!("{f:.precision$e}");
    let (mantissa, exponent) = s.split_once('e').unwrap_or((&s, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn general_form(f: f64, precision: usize, alternate: bool) -> String {
    if f == 0.0 {
        return "0".into();
    }
    let scientific = format!("{f:.*e}", precision - 1);
    let exponent: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let trim = |s: &str| {
        if alternate || !s.contains('.') {
            s.to_owned()
        } else {
            s.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    if exponent < -4 || exponent >= precision as i32 {
        let s = exponent_form(f, precision - 1);
        let (mantissa, exponent) = s.split_once('e').unwrap_or((&s, "+00"));
        return format!("{}e{exponent}", trim(mantissa));
    }
    trim(&format!("{f:.*}", (precision as i32 - 1 - exponent).max(0) as usize))
}

/// The parts of a format specification.
#[derive(Debug, Clone, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: char,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
}

impl Spec {
    /// A width or precision that no one means is refused before it takes the memory.
    fn check(&self) -> Result<(), Error> {
        if self.width.max(self.precision.unwrap_or(0)) > 1_000_000 {
            return Err(err("the width or precision is too large"));
        }
        Ok(())
    }

    fn pad(&self, body: &str, default_align: char) -> String {
        let len = body.chars().count();
        if len >= self.width {
            return body.to_owned();
        }
        let missing = self.width - len;
        let fill = self.fill.unwrap_or(' ');
        let run = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
        match self.align.unwrap_or(default_align) {
            '<' => format!("{body}{}", run(missing)),
            '^' => format!("{}{body}{}", run(missing / 2), run(missing - missing / 2)),
            _ => format!("{}{body}", run(missing)),
        }
    }

    fn pad_number(&self, negative: bool, digits: &str, default_align: char) -> String {
        let sign = if negative {
            "-"
        } else if self.sign == '+' {
            "+"
        } else if self.sign == ' ' {
            " "
        } else {
            ""
        };
        let zero = (self.zero && self.align.is_none()) || self.align == Some('=');
        let (prefix, rest) = match digits.get(..2) {
            Some(p) if self.alternate && matches!(p, "0x" | "0X" | "0o" | "0b") => digits.split_at(2),
            _ => ("", digits),
        };
        let mut rest = match self.grouping {
            Some(separator) => grouped(rest, separator),
            None => rest.to_owned(),
        };
        if zero {
            let fill = if self.align == Some('=') {
                self.fill.unwrap_or(if self.zero { '0' } else { ' ' })
            } else {
                self.fill.unwrap_or('0')
            };
            while sign.len() + prefix.len() + rest.chars().count() < self.width {
                rest.insert(0, fill);
            }
            return format!("{sign}{prefix}{rest}");
        }
        self.pad(&format!("{sign}{prefix}{rest}"), default_align)
    }
}

/// Python's `ascii()` of a `repr`.
fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c as u32 {
            0..0x80 => out.push(c),
            n @ 0x80..0x100 => out.push_str(&format!("\\x{n:02x}")),
            n @ 0x100..0x1_0000 => out.push_str(&format!("\\u{n:04x}")),
            n => out.push_str(&format!("\\U{n:08x}")),
        }
    }
    out
}

fn grouped(digits: &str, separator: char) -> String {
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let mut out = String::new();
    for (i, c) in digits[..end].chars().enumerate() {
        if i > 0 && (end - i) % 3 == 0 {
            out.push(separator);
        }
        out.push(c);
    }
    out + &digits[end..]
}

/// How the fields of a format find their arguments: `{}` in turn, or `{0}` by number, never both.
#[derive(Default)]
struct Numbering {
    next: usize,
    by_number: bool,
}

/// `format.format(*positional, **named)`.
pub fn str_format(format: &str, positional: &[Value], named: &IndexMap<String, Value>) -> Result<String, Error> {
    let mut auto = Numbering::default();
    fill(format, positional, named, &mut auto, 0)
}

fn fill(
    format: &str,
    positional: &[Value],
    named: &IndexMap<String, Value>,
    auto: &mut Numbering,
    depth: usize,
) -> Result<String, Error> {
    if depth > 2 {
        return Err(err("the format is nested too deep"));
    }
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.peek() == Some(&'{') => {
                chars.next();
                out.push('{');
            }
            '}' if chars.peek() == Some(&'}') => {
                chars.next();
                out.push('}');
            }
            '}' => return Err(err("the format has a single `}`")),
            '{' => {
                let (mut field, mut level) = (String::new(), 1);
                for c in chars.by_ref() {
                    match c {
                        '{' => level += 1,
                        '}' => level -= 1,
                        _ => {}
                    }
                    if level == 0 {
                        break;
                    }
                    field.push(c);
                }
                if level != 0 {
                    return Err(err("the format has a `{` without `}`"));
                }
                out.push_str(&one_field(&field, positional, named, auto, depth)?);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn one_field(
    field: &str,
    positional: &[Value],
    named: &IndexMap<String, Value>,
    auto: &mut Numbering,
    depth: usize,
) -> Result<String, Error> {
    let (head, spec) = field.split_once(':').unwrap_or((field, ""));
    let (path, conversion) = head.split_once('!').map_or((head, None), |(p, c)| (p, Some(c)));
    let name_end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, mut rest) = path.split_at(name_end);
    let index = if name.is_empty() {
        if auto.by_number {
            return Err(err("the format numbers some of its fields and not others"));
        }
        auto.next += 1;
        Some(auto.next - 1)
    } else {
        let number = name.parse::<usize>().ok();
        if number.is_some() {
            auto.by_number = true;
            if auto.next > 0 {
                return Err(err("the format numbers some of its fields and not others"));
            }
        }
        number
    };
    let mut value = match index {
        Some(i) => positional
            .get(i)
            .cloned()
            .ok_or_else(|| err(format!("the format needs argument {i}, which is not given")))?,
        None => named.get(name).cloned().ok_or_else(|| err(format!("the format needs the argument `{name}`")))?,
    };
    while !rest.is_empty() {
        let (key, tail) = if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').ok_or_else(|| err("the format has a `[` without `]`"))?;
            let key = &inner[..end];
            (key.parse::<i64>().map_or_else(|_| Value::from(key), Value::from), &inner[end + 1..])
        } else {
            let inner = rest.trim_start_matches('.');
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            (Value::from(&inner[..end]), &inner[end..])
        };
        if rest.starts_with('.')
            && value.kind() == ValueKind::Number
            && let Some(found) = super::eval::own_attribute(&value, &text(&key))
        {
            value = found;
            rest = tail;
            continue;
        }
        if rest.starts_with('.') && value.kind() != ValueKind::Plain {
            return Err(err(format!("{} has no attribute `{}`", type_name(&value), text(&key))));
        }
        value =
            get(&value, &key)?.ok_or_else(|| err(format!("the format needs `{}`, which is not there", text(&key))))?;
        rest = tail;
    }
    let value = match conversion {
        Some("s") => Value::from(text(&value)),
        Some("r") => Value::from(repr(&value)),
        Some("a") => Value::from(ascii(&repr(&value))),
        None => value,
        Some(other) => return Err(err(format!("`!{other}` is no conversion"))),
    };
    let spec = if spec.contains('{') { fill(spec, positional, named, auto, depth + 1)? } else { spec.to_owned() };
    format_spec(&value, &spec)
}

/// `format(value, spec)`.
pub fn format_spec(value: &Value, spec_text: &str) -> Result<String, Error> {
    if spec_text.is_empty() {
        return Ok(text(value));
    }
    if matches!(super::datetime::type_name(value), Some("date" | "datetime" | "time")) {
        let call =
            super::args::Call { name: "strftime", positional: vec![Value::from(spec_text)], named: IndexMap::new() };
        return super::datetime::method(value, call).map(|v| text(&v));
    }
    let chars: Vec<char> = spec_text.chars().collect();
    let mut spec = Spec::default();
    let mut i = 0;
    if chars.get(1).is_some_and(|c| "<>=^".contains(*c)) {
        spec.fill = Some(chars[0]);
        spec.align = Some(chars[1]);
        i = 2;
    } else if "<>=^".contains(chars[0]) {
        spec.align = Some(chars[0]);
        i = 1;
    }
    if let Some(c) = chars.get(i).filter(|c| "+- ".contains(**c)) {
        spec.sign = *c;
        i += 1;
    }
    if chars.get(i) == Some(&'#') {
        spec.alternate = true;
        i += 1;
    }
    if chars.get(i) == Some(&'0') {
        spec.zero = true;
        i += 1;
    }
    let digits: String = chars[i..].iter().take_while(|c| c.is_ascii_digit()).collect();
    i += digits.len();
    spec.width = digits.parse().unwrap_or(0);
    if let Some(c) = chars.get(i).filter(|c| ",_".contains(**c)) {
        spec.grouping = Some(*c);
        i += 1;
    }
    if chars.get(i) == Some(&'.') {
        let digits: String = chars[i + 1..].iter().take_while(|c| c.is_ascii_digit()).collect();
        if digits.is_empty() {
            return Err(err(format!("`{spec_text}` is no format: a precision is missing")));
        }
        i += 1 + digits.len();
        spec.precision = digits.parse().ok();
    }
    spec.check()?;
    let kind = chars.get(i).copied();
    if chars.len() > i + 1 {
        return Err(err(format!("`{spec_text}` is no format")));
    }
    if let Some(s) = value.as_str() {
        if !matches!(kind, None | Some('s')) || spec.align == Some('=') || spec.grouping.is_some() || spec.sign != '\0'
        {
            return Err(err(format!("`{spec_text}` is no format for text")));
        }
        if spec.zero && spec.fill.is_none() {
            spec.fill = Some('0');
        }
        let body: String = match spec.precision {
            Some(p) => s.chars().take(p).collect(),
            None => s.to_owned(),
        };
        return Ok(spec.pad(&body, '<'));
    }
    let whole = value.is_integer() || value.kind() == ValueKind::Bool;
    if !matches!(value.kind(), ValueKind::Number | ValueKind::Bool) {
        return Err(err(format!("`{spec_text}` is no format for {}", type_name(value))));
    }
    match kind {
        None | Some('d' | 'n' | 'x' | 'X' | 'o' | 'b') if whole && spec.precision.is_none() => {
            let n = i128::try_from(value.clone()).map_err(|_| err("the number is too large"))?;
            Ok(spec.pad_number(
                n < 0,
                &integer_digits(n.unsigned_abs(), kind.unwrap_or('d'), spec.alternate, None),
                '>',
            ))
        }
        Some('c') if whole => Ok(spec
            .pad(&char::from_u32(super::args::integer(value, "c")? as u32).map(String::from).unwrap_or_default(), '<')),
        None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => {
            let f = float(value).unwrap_or_default();
            let negative = f.is_sign_negative() && !f.is_nan();
            let digits = match kind {
                None if spec.precision.is_none() => super::float_text(f.abs()),
                None => {
                    let s = float_digits(f.abs(), 'g', spec.precision, spec.alternate);
                    if s.contains(['.', 'e', 'n', 'i']) { s } else { s + ".0" }
                }
                Some('%') => float_digits(f.abs() * 100.0, 'f', spec.precision, spec.alternate) + "%",
                Some(kind) => {
                    float_digits(f.abs(), if kind == 'n' { 'g' } else { kind }, spec.precision, spec.alternate)
                }
            };
            Ok(spec.pad_number(negative, &digits, '>'))
        }
        Some(kind) => Err(err(format!("`{kind}` is no format for {}", type_name(value)))),
    }
}
