//! Filters that make and shape numbers.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, float as as_float, opt_integer, opt_string, text, wide_integer};
use crate::template::types::type_name;

pub const FILTERS: &[Entry] = &[
    ("int", int),
    ("float", float),
    ("round", round),
    ("abs", abs),
    ("log", log),
    ("pow", pow),
    ("root", root),
    ("human_readable", human_readable),
    ("human_to_bytes", human_to_bytes),
    ("filesizeformat", filesizeformat),
];

/// Python's `int(text, base)`: sign, prefix of the base, underscores between digits, white space around.
pub fn parse_int(s: &str, base: u32) -> Option<i128> {
    let s = s.trim_matches(super::text::is_space);
    let (negative, digits) = match s.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, s.strip_prefix('+').unwrap_or(s)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = |p: &str| lower.strip_prefix(p).map(|rest| rest.strip_prefix('_').unwrap_or(rest).to_owned());
    let (base, digits) = match base {
        0 => [("0x", 16), ("0o", 8), ("0b", 2)].iter().find_map(|(p, b)| Some((*b, prefixed(p)?))).or_else(|| {
            (!lower.starts_with('0') || lower.trim_matches(['0', '_']).is_empty()).then(|| (10, lower.clone()))
        })?,
        16 => (16, prefixed("0x").unwrap_or(lower)),
        8 => (8, prefixed("0o").unwrap_or(lower)),
        2 => (2, prefixed("0b").unwrap_or(lower)),
        3..=36 => (base, lower),
        _ => return None,
    };
    if digits.is_empty() || digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -value } else { value })
}

/// Python's `float(text)`.
pub fn parse_float(s: &str) -> Option<f64> {
    let s = s.trim_matches(super::text::is_space);
    if s.starts_with('_') || s.ends_with('_') || s.contains("__") {
        return None;
    }
    let s = s.replace('_', "");
    let bare = s.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') || matches!(bare.as_str(), "inf" | "infinity" | "nan")
    {
        return s.parse().ok();
    }
    None
}

/// The smallest integer value that holds a number.
pub fn int_value(n: i128) -> Value {
    i64::try_from(n).map_or_else(|_| Value::from(n), Value::from)
}

fn truncated(f: f64) -> Option<Value> {
    f.is_finite().then(|| int_value(f.trunc() as i128))
}

fn int(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, default, base] = call.bind(["value", "default", "base"], 1)?;
    let value = value.unwrap_or_default();
    let base = u32::try_from(opt_integer(base.as_ref(), "base")?.unwrap_or(10)).unwrap_or(1);
    let found = match value.kind() {
        ValueKind::Bool => Some(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Some(value),
        ValueKind::Number => as_float(&value).and_then(truncated),
        ValueKind::String => {
            let s = value.as_str().unwrap_or_default();
            parse_int(s, base).map(int_value).or_else(|| parse_float(s).and_then(truncated))
        }
        _ => None,
    };
    Ok(found.or(default).unwrap_or_else(|| Value::from(0)))
}

fn float(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, default] = call.bind(["value", "default"], 1)?;
    let value = value.unwrap_or_default();
    let found = match value.as_str() {
        Some(s) => parse_float(s),
        None => as_float(&value),
    };
    Ok(found.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0)))
}

fn scale(n: i64) -> f64 {
    10f64.powi(i32::try_from(n).unwrap_or(i32::MAX))
}

fn round(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, precision, method] = call.bind(["value", "precision", "method"], 1)?;
    let value = value.unwrap_or_default();
    let precision = opt_integer(precision.as_ref(), "precision")?.unwrap_or(0);
    let method = opt_string(method.as_ref(), "method")?.unwrap_or_else(|| "common".into());
    let Some(f) = as_float(&value) else {
        return Err(err(format!("`round` takes a number, not {}", type_name(&value))));
    };
    match method.as_str() {
        "common" if value.is_integer() || value.kind() == ValueKind::Bool => {
            let n = wide_integer(&value, "value")?;
            let Some(factor) = u32::try_from(-precision).ok().and_then(|p| 10i128.checked_pow(p)).filter(|f| *f > 1)
            else {
                return Ok(int_value(n));
            };
            let (quotient, rest) = (n.div_euclid(factor), n.rem_euclid(factor));
            let up = rest * 2 > factor || (rest * 2 == factor && quotient % 2 != 0);
            Ok(int_value((quotient + i128::from(up)) * factor))
        }
        "common" if precision >= 0 => {
            let places = usize::try_from(precision).unwrap_or(0).min(400);
            Ok(Value::from(format!("{f:.places$}").parse::<f64>().unwrap_or(f)))
        }
        "common" => {
            let factor = scale(-precision);
            Ok(Value::from((f / factor).round_ties_even() * factor))
        }
        "ceil" => Ok(Value::from((f * scale(precision)).ceil() / scale(precision))),
        "floor" => Ok(Value::from((f * scale(precision)).floor() / scale(precision))),
        other => Err(err(format!("`round` goes by `common`, `ceil` or `floor`, not by `{other}`"))),
    }
}

fn abs(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    match value.kind() {
        ValueKind::Bool => Ok(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value).map(|n| int_value(n.saturating_abs())).map_err(|_| err("the number is too large"))
        }
        ValueKind::Number => Ok(Value::from(as_float(&value).unwrap_or_default().abs())),
        _ => Err(err(format!("`abs` takes a number, not {}", type_name(&value)))),
    }
}

fn number(value: &Value, filter: &str) -> Result<f64, Error> {
    as_float(value).ok_or_else(|| err(format!("`{filter}` takes numbers, not {}", type_name(value))))
}

fn log(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, base] = call.bind(["x", "base"], 1)?;
    let x = number(&value.unwrap_or_default(), "log")?;
    if x <= 0.0 {
        return Err(err("`log` needs a number above 0"));
    }
    Ok(Value::from(match base {
        None => x.ln(),
        Some(base) => {
            let base = number(&base, "log")?;
            if base <= 0.0 || base == 1.0 {
                return Err(err("`log` needs a base above 0 other than 1"));
            }
            if base == 10.0 { x.log10() } else { x.ln() / base.ln() }
        }
    }))
}

fn power(x: f64, y: f64, filter: &str) -> Result<Value, Error> {
    let result = x.powf(y);
    if (result.is_nan() && !x.is_nan() && !y.is_nan()) || (result.is_infinite() && x.is_finite() && y.is_finite()) {
        return Err(err(format!("`{filter}` has no result for these numbers")));
    }
    Ok(Value::from(result))
}

fn pow(_: &mut State, call: Call) -> Result<Value, Error> {
    let [x, y] = call.bind(["x", "y"], 2)?;
    power(number(&x.unwrap_or_default(), "pow")?, number(&y.unwrap_or_default(), "pow")?, "pow")
}

fn root(_: &mut State, call: Call) -> Result<Value, Error> {
    let [x, base] = call.bind(["x", "base"], 1)?;
    let x = number(&x.unwrap_or_default(), "root")?;
    let base = base.map_or(Ok(2.0), |b| number(&b, "root"))?;
    if base == 2.0 {
        return if x < 0.0 {
            Err(err("`root` needs a number that is not negative"))
        } else {
            Ok(Value::from(x.sqrt()))
        };
    }
    if base == 0.0 {
        return Err(err("`root` needs a base that is not zero"));
    }
    power(x, 1.0 / base, "root")
}

const UNITS: [(char, u32); 8] =
    [('Y', 80), ('Z', 70), ('E', 60), ('P', 50), ('T', 40), ('G', 30), ('M', 20), ('K', 10)];

fn limit(power: u32) -> f64 {
    2f64.powi(power as i32)
}

fn human_readable(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, isbits, unit] = call.bind(["size", "isbits", "unit"], 1)?;
    let value = value.unwrap_or_default();
    let size = number(&value, "human_readable")?;
    let bits = flag(isbits.as_ref(), false);
    let unit = opt_string(unit.as_ref(), "unit")?.map(|u| u.to_uppercase());
    let mut found = (String::new(), 1.0);
    for (letter, power) in UNITS {
        let fits = match &unit {
            None => size >= limit(power),
            Some(u) => u.starts_with(letter),
        };
        if fits {
            found = (letter.to_string(), limit(power));
            break;
        }
    }
    let base = if bits { "bits" } else { "Bytes" };
    let suffix =
        if found.0.is_empty() { base.to_owned() } else { format!("{}{}", found.0, if bits { 'b' } else { 'B' }) };
    Ok(Value::from(format!("{:.2} {suffix}", size / found.1)))
}

/// A size as people write it (`1.5G`, `10 MB`, `512K`), in bytes (or bits).
pub fn parse_size(s: &str, default_unit: Option<&str>, bits: bool) -> Result<i128, Error> {
    let trimmed = s.trim_start();
    let digits = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (amount, unit) = trimmed.split_at(digits);
    let unit = unit.trim();
    let fail = || err(format!("`{s}` is no size"));
    let amount: f64 = amount.parse().map_err(|_| fail())?;
    let unit = if unit.is_empty() { default_unit.unwrap_or("") } else { unit };
    if unit.is_empty() {
        return Ok(amount.round_ties_even() as i128);
    }
    let upper = unit.to_uppercase();
    let first = upper.chars().next().unwrap_or('B');
    let factor = if first == 'B' {
        1.0
    } else {
        UNITS.iter().find(|(l, _)| *l == first).map(|(_, p)| limit(*p)).ok_or_else(fail)?
    };
    let long = if bits { "BIT" } else { "BYTE" };
    let rest: String = if first == 'B' { unit.to_owned() } else { unit.chars().skip(1).collect() };
    let rest_upper = rest.to_uppercase();
    let letter_ok = rest.is_empty()
        || (rest.chars().count() == 1
            && rest_upper == "B"
            && (first == 'B' || (rest == "b") == bits || (rest == "B" && !bits)))
        || rest_upper == long
        || rest_upper == format!("{long}S")
        || (first != 'B' && expanded(first, bits).contains(&upper));
    if !letter_ok {
        return Err(fail());
    }
    Ok((amount * factor).round_ties_even() as i128)
}

/// The long names of a unit: `KILOBYTE`, `KILOBYTES` …
fn expanded(letter: char, bits: bool) -> Vec<String> {
    let word = match letter {
        'Y' => "YOTTA",
        'Z' => "ZETTA",
        'E' => "EXA",
        'P' => "PETA",
        'T' => "TERA",
        'G' => "GIGA",
        'M' => "MEGA",
        _ => "KILO",
    };
    let base = if bits { "BIT" } else { "BYTE" };
    vec![format!("{word}{base}")]
}

fn human_to_bytes(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, unit, bits] = call.bind(["size", "default_unit", "isbits"], 1)?;
    let unit = opt_string(unit.as_ref(), "default_unit")?;
    parse_size(&text(&value.unwrap_or_default()), unit.as_deref(), flag(bits.as_ref(), false)).map(int_value)
}

fn filesizeformat(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, binary] = call.bind(["value", "binary"], 1)?;
    let value = value.unwrap_or_default();
    let bytes = match value.as_str() {
        Some(s) => parse_float(s).ok_or_else(|| err(format!("`{s}` is no number")))?,
        None => number(&value, "filesizeformat")?,
    };
    let binary = flag(binary.as_ref(), false);
    let base = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{} Bytes", bytes.trunc())));
    }
    let names = if binary {
        ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    } else {
        ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    };
    let mut unit = base;
    for (i, name) in names.iter().enumerate() {
        unit *= base;
        if bytes < unit || i + 1 == names.len() {
            return Ok(Value::from(format!("{:.1} {name}", base * bytes / unit)));
        }
    }
    Ok(value)
}
