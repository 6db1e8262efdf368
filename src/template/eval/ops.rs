//! Python's operators on values.

use std::cmp::Ordering;

use minijinja::Value;
use minijinja::value::{Tuple, ValueKind};

use crate::template::markup;
use crate::template::python::{text, truth};
use crate::template::syntax::ast::{BinaryOp, CompareOp};

/// Text and lists made by an operator stay below this many bytes or items.
pub const MAX_SIZE: usize = 32 << 20;

type Result<T> = std::result::Result<T, String>;

/// What a value is, in words.
pub fn describe(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "`None`",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String => "text",
        ValueKind::Bytes => "binary data",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a mapping",
        _ => "the value",
    }
}

#[derive(Clone, Copy)]
enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Int(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok().map(Self::Int),
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Self::Float),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "as Python does when an int meets a float")]
    fn float(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }
}

fn int(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// The items of a list or tuple, the keys of a mapping, the characters of a text.
pub fn items(value: &Value) -> Option<Vec<Value>> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::String => {
            Some(value.try_iter().ok()?.collect())
        }
        _ => None,
    }
}

/// `left op right`.
pub fn binary(op: BinaryOp, left: &Value, right: &Value) -> Result<Value> {
    if op == BinaryOp::Rem && left.kind() == ValueKind::String {
        let format = left.as_str().unwrap_or_default();
        let escaped = left.is_safe().then(|| markup::arguments(right));
        return crate::template::pyformat::percent(format, escaped.as_ref().unwrap_or(right))
            .map(|made| markup::like(left, made))
            .map_err(|e| e.detail().map_or_else(|| e.to_string(), str::to_owned));
    }
    if let (Some(a), Some(b)) = (Num::of(left), Num::of(right)) {
        return numbers(op, a, b);
    }
    let moments = match op {
        BinaryOp::Add => crate::template::datetime::add(left, right),
        BinaryOp::Sub => crate::template::datetime::subtract(left, right),
        _ => None,
    };
    if let Some(result) = moments {
        return result.map_err(|e| e.detail().map_or_else(|| e.to_string(), str::to_owned));
    }
    match op {
        BinaryOp::Add => {
            if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
                limit(a.len() + b.len())?;
                if left.is_safe() || right.is_safe() {
                    return Ok(markup::safe(markup::html(left) + &markup::html(right)));
                }
                return Ok(Value::from(format!("{a}{b}")));
            }
            if is_list(left)
                && is_list(right)
                && left.is_tuple() == right.is_tuple()
                && !super::is_range(left)
                && !super::is_range(right)
            {
                let mut all = items(left).unwrap_or_default();
                all.extend(items(right).unwrap_or_default());
                limit(all.len())?;
                return Ok(if left.is_tuple() { Value::from(Tuple::new(all)) } else { Value::from(all) });
            }
            Err(match left.kind() {
                ValueKind::String | ValueKind::Seq => {
                    format!("cannot add {} to {}", describe(right), describe(left))
                }
                _ => mismatch("+", left, right),
            })
        }
        BinaryOp::Mul => match (Num::of(left), Num::of(right)) {
            (None, Some(Num::Int(n))) => repeat(left, n).ok_or_else(|| mismatch("*", left, right))?,
            (Some(Num::Int(n)), None) => repeat(right, n).ok_or_else(|| mismatch("*", left, right))?,
            _ => Err(mismatch("*", left, right)),
        },
        BinaryOp::Sub => Err(mismatch("-", left, right)),
        BinaryOp::Div => Err(mismatch("/", left, right)),
        BinaryOp::FloorDiv => Err(mismatch("//", left, right)),
        BinaryOp::Rem => Err(mismatch("%", left, right)),
        BinaryOp::Pow => Err(mismatch("**", left, right)),
    }
}

fn mismatch(op: &str, left: &Value, right: &Value) -> String {
    format!("`{op}` does not work between {} and {}", describe(left), describe(right))
}

fn limit(size: usize) -> Result<()> {
    if size > MAX_SIZE { Err("the result is too large".to_owned()) } else { Ok(()) }
}

fn repeat(value: &Value, n: i128) -> Option<Result<Value>> {
    let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    if let Some(s) = value.as_str() {
        return Some(limit(s.len().saturating_mul(n)).map(|()| Value::from(s.repeat(n))));
    }
    if !is_list(value) {
        return None;
    }
    let all = items(value)?;
    Some(limit(all.len().saturating_mul(n)).map(|()| {
        let repeated: Vec<Value> = std::iter::repeat_n(&all, n).flatten().cloned().collect();
        if value.is_tuple() { Value::from(Tuple::new(repeated)) } else { Value::from(repeated) }
    }))
}

fn numbers(op: BinaryOp, a: Num, b: Num) -> Result<Value> {
    let too_large = || "the number is too large".to_owned();
    let zero = || "division by zero".to_owned();
    if let (Num::Int(x), Num::Int(y)) = (a, b) {
        return match op {
            BinaryOp::Add => x.checked_add(y).map(int).ok_or_else(too_large),
            BinaryOp::Sub => x.checked_sub(y).map(int).ok_or_else(too_large),
            BinaryOp::Mul => x.checked_mul(y).map(int).ok_or_else(too_large),
            BinaryOp::Div if y == 0 => Err(zero()),
            BinaryOp::Div => Ok(Value::from(a.float() / b.float())),
            BinaryOp::FloorDiv | BinaryOp::Rem if y == 0 => Err(zero()),
            // Python rounds down; `div_euclid` differs for negative divisors.
            BinaryOp::FloorDiv => Ok(int(floor_div(x, y))),
            BinaryOp::Rem => Ok(int(x - floor_div(x, y) * y)),
            BinaryOp::Pow if y < 0 && x == 0 => Err(zero()),
            BinaryOp::Pow if y < 0 => Ok(Value::from(a.float().powf(b.float()))),
            BinaryOp::Pow => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)).map(int).ok_or_else(too_large),
        };
    }
    let (x, y) = (a.float(), b.float());
    Ok(Value::from(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Rem if y == 0.0 => return Err(zero()),
        BinaryOp::Div => x / y,
        BinaryOp::FloorDiv => (x / y).floor(),
        BinaryOp::Rem => {
            let r = x % y;
            if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
        }
        BinaryOp::Pow => x.powf(y),
    }))
}

fn floor_div(x: i128, y: i128) -> i128 {
    let q = x.wrapping_div(y);
    if x.wrapping_rem(y) != 0 && (x < 0) != (y < 0) { q - 1 } else { q }
}

pub fn negate(value: &Value) -> Result<Value> {
    match Num::of(value) {
        Some(Num::Int(i)) => i.checked_neg().map(int).ok_or_else(|| "the number is too large".to_owned()),
        Some(Num::Float(f)) => Ok(Value::from(-f)),
        None => Err(format!("`-` does not work with {}", describe(value))),
    }
}

pub fn positive(value: &Value) -> Result<Value> {
    match Num::of(value) {
        Some(Num::Int(i)) => Ok(int(i)),
        Some(Num::Float(f)) => Ok(Value::from(f)),
        None => Err(format!("`+` does not work with {}", describe(value))),
    }
}

/// Python's `==`: `1 == True == 1.0`, a list never equals a tuple, mappings without regard to order.
pub fn equal(left: &Value, right: &Value) -> bool {
    if let (Some(a), Some(b)) = (Num::of(left), Num::of(right)) {
        return match (a, b) {
            (Num::Int(x), Num::Int(y)) => x == y,
            #[expect(clippy::float_cmp, reason = "it is the comparison the template asks for")]
            _ => a.float() == b.float(),
        };
    }
    match (left.kind(), right.kind()) {
        (ValueKind::String, ValueKind::String) => left.as_str() == right.as_str(),
        (ValueKind::Map, ValueKind::Map) => {
            left.len() == right.len()
                && items(left).unwrap_or_default().iter().all(|key| {
                    let other = right.get_item(key).unwrap_or_default();
                    !other.is_undefined() && equal(&left.get_item(key).unwrap_or_default(), &other)
                })
        }
        _ if is_list(left) && is_list(right) => {
            if left.is_tuple() != right.is_tuple() || super::is_range(left) != super::is_range(right) {
                return false;
            }
            let (a, b) = (items(left).unwrap_or_default(), items(right).unwrap_or_default());
            a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| equal(x, y))
        }
        (a, b) if a == b => left == right,
        _ => false,
    }
}

/// Python's ordering; `None` where Python raises a `TypeError`.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (Num::of(left), Num::of(right)) {
        return match (a, b) {
            (Num::Int(x), Num::Int(y)) => Some(x.cmp(&y)),
            _ => a.float().partial_cmp(&b.float()),
        };
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Some(a.cmp(b));
    }
    if is_list(left) && is_list(right) && left.is_tuple() == right.is_tuple() {
        let (a, b) = (items(left)?, items(right)?);
        for (x, y) in a.iter().zip(&b) {
            if !equal(x, y) {
                return order(x, y);
            }
        }
        return Some(a.len().cmp(&b.len()));
    }
    crate::template::datetime::order(left, right)
}

pub fn compare(op: CompareOp, left: &Value, right: &Value) -> Result<bool> {
    let ordered = |symbol: &str, is: fn(Ordering) -> bool| {
        order(left, right)
            .map(is)
            .ok_or_else(|| format!("`{symbol}` does not work between {} and {}", describe(left), describe(right)))
    };
    match op {
        CompareOp::Eq => Ok(equal(left, right)),
        CompareOp::Ne => Ok(!equal(left, right)),
        CompareOp::Lt => ordered("<", Ordering::is_lt),
        CompareOp::Le => ordered("<=", Ordering::is_le),
        CompareOp::Gt => ordered(">", Ordering::is_gt),
        CompareOp::Ge => ordered(">=", Ordering::is_ge),
        CompareOp::In => contains(right, left),
        CompareOp::NotIn => contains(right, left).map(|found| !found),
    }
}

/// `needle in haystack`.
pub fn contains(haystack: &Value, needle: &Value) -> Result<bool> {
    match haystack.kind() {
        ValueKind::String => match needle.as_str() {
            Some(n) => Ok(haystack.as_str().unwrap_or_default().contains(n)),
            None => Err(format!("`in` looks for text in text, not for {}", describe(needle))),
        },
        ValueKind::Map => Ok(haystack.get_item(needle).is_ok_and(|v| !v.is_undefined())
            || items(haystack).unwrap_or_default().iter().any(|k| equal(k, needle))),
        ValueKind::Seq | ValueKind::Iterable => {
            Ok(items(haystack).unwrap_or_default().iter().any(|v| equal(v, needle)))
        }
        _ => Err(format!("`in` does not work with {}", describe(haystack))),
    }
}

/// `value[start:stop:step]`.
pub fn slice(value: &Value, bounds: [Option<i64>; 3]) -> Result<Value> {
    let all = match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Iterable => items(value).unwrap_or_default(),
        _ => return Err(format!("{} cannot be sliced", describe(value))),
    };
    let len = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let step = bounds[2].unwrap_or(1);
    if step == 0 {
        return Err("a slice's step cannot be zero".to_owned());
    }
    let clamp =
        |bound: i64, low: i64, high: i64| (if bound < 0 { bound.saturating_add(len) } else { bound }).clamp(low, high);
    let mut picked = vec![];
    if step > 0 {
        let (mut i, stop) = (bounds[0].map_or(0, |b| clamp(b, 0, len)), bounds[1].map_or(len, |b| clamp(b, 0, len)));
        while i < stop {
            picked.push(all[usize::try_from(i).unwrap_or(0)].clone());
            i = i.saturating_add(step);
        }
    } else {
        let (mut i, stop) =
            (bounds[0].map_or(len - 1, |b| clamp(b, -1, len - 1)), bounds[1].map_or(-1, |b| clamp(b, -1, len - 1)));
        while i > stop {
            picked.push(all[usize::try_from(i).unwrap_or(0)].clone());
            i = i.saturating_add(step);
        }
    }
    Ok(match value.kind() {
        ValueKind::String => Value::from(picked.iter().map(text).collect::<String>()),
        _ if value.is_tuple() => Value::from(Tuple::new(picked)),
        _ => Value::from(picked),
    })
}

/// `a ~ b`: Python's `str` of each.
pub fn concat(parts: &[Value]) -> Result<Value> {
    let mut out = String::new();
    for part in parts {
        out.push_str(&text(part));
        limit(out.len())?;
    }
    Ok(Value::from(out))
}

/// For `and`/`or` and conditions.
pub fn is_true(value: &Value) -> bool {
    truth(value)
}
