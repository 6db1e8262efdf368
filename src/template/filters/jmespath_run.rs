//! JMESPath evaluated; the filter `json_query`.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::jmespath::{Expr, parse};
use super::json::{Layout, dumps};
use super::numbers::{int_value, parse_float, parse_int};
use crate::template::args::{Call, Entry, err, float, get, is_mapping, is_sequence, items, list, map, pairs, string};

pub const FILTERS: &[Entry] = &[("json_query", json_query)];

fn json_query(_: &mut State, call: Call) -> Result<Value, Error> {
    let [data, query] = call.bind(["data", "expr"], 2)?;
    let query = string(&query.unwrap_or_default(), "expr")?;
    let expr = parse(&query).map_err(|e| err(format!("`{query}` is no JMESPath query: {e}")))?;
    run(&expr, &data.unwrap_or_default())
}

fn null() -> Value {
    Value::from(())
}

fn truth(value: &Value) -> bool {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => false,
        ValueKind::Bool => value.is_true(),
        ValueKind::Number => true,
        _ => value.len() != Some(0),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    // a boolean is no number here
    (a.kind() == ValueKind::Bool) == (b.kind() == ValueKind::Bool) && a == b
}

fn run(expr: &Expr, value: &Value) -> Result<Value, Error> {
    Ok(match expr {
        Expr::Current => value.clone(),
        Expr::Literal(literal) => literal.clone(),
        Expr::Field(name) if is_mapping(value) => get(value, &Value::from(name.as_str()))?.unwrap_or_else(null),
        Expr::Field(_) => null(),
        Expr::Index(i) if is_sequence(value) => get(value, &Value::from(*i))?.unwrap_or_else(null),
        Expr::Index(_) => null(),
        Expr::Slice(bounds) if is_sequence(value) => list(sliced(&items(value)?, *bounds)?),
        Expr::Slice(_) => null(),
        Expr::Sub(left, right) => run(right, &run(left, value)?)?,
        Expr::Flatten(inner) => {
            let inner = run(inner, value)?;
            if !is_sequence(&inner) {
                return Ok(null());
            }
            let mut flat = vec![];
            for item in items(&inner)? {
                if is_sequence(&item) { flat.extend(items(&item)?) } else { flat.push(item) }
            }
            list(flat)
        }
        Expr::List(left, condition, right) => {
            let left = run(left, value)?;
            if !is_sequence(&left) {
                return Ok(null());
            }
            let mut all = items(&left)?;
            if let Some(condition) = condition {
                let mut kept = vec![];
                for item in all {
                    if truth(&run(condition, &item)?) {
                        kept.push(item);
                    }
                }
                all = kept;
            }
            project(&all, right)?
        }
        Expr::Values(left, right) => {
            let left = run(left, value)?;
            if !is_mapping(&left) {
                return Ok(null());
            }
            project(&pairs(&left)?.into_iter().map(|(_, v)| v).collect::<Vec<_>>(), right)?
        }
        Expr::MultiList(_) | Expr::MultiHash(_) if value.is_none() => null(),
        Expr::MultiList(parts) => list(parts.iter().map(|p| run(p, value)).collect::<Result<Vec<_>, _>>()?),
        Expr::MultiHash(parts) => {
            let parts = parts.iter().map(|(k, p)| Ok((Value::from(k.as_str()), run(p, value)?)));
            map(parts.collect::<Result<Vec<_>, Error>>()?)
        }
        Expr::Or(left, right) => {
            let left = run(left, value)?;
            if truth(&left) { left } else { run(right, value)? }
        }
        Expr::And(left, right) => {
            let left = run(left, value)?;
            if truth(&left) { run(right, value)? } else { left }
        }
        Expr::Not(inner) => Value::from(!truth(&run(inner, value)?)),
        Expr::Compare(sign, left, right) => compare(sign, &run(left, value)?, &run(right, value)?),
        Expr::Call(name, arguments) => function(name, arguments, value)?,
        Expr::Reference(_) => return Err(err("`&` stands only before an argument of a function")),
    })
}

fn project(all: &[Value], right: &Expr) -> Result<Value, Error> {
    let mut out = vec![];
    for item in all {
        let one = run(right, item)?;
        if !one.is_none() {
            out.push(one);
        }
    }
    Ok(list(out))
}

fn sliced(all: &[Value], [start, stop, step]: [Option<i64>; 3]) -> Result<Vec<Value>, Error> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(err("the step of a slice must not be 0"));
    }
    let len = all.len() as i64;
    let place = |n: i64, low: i64, high: i64| (if n < 0 { n + len } else { n }).clamp(low, high);
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let start = start.map_or(if step > 0 { 0 } else { len - 1 }, |n| place(n, low, high));
    let stop = stop.map_or(if step > 0 { len } else { -1 }, |n| place(n, low, high));
    let mut out = vec![];
    let mut i = start;
    while (step > 0 && i < stop) || (step < 0 && i > stop) {
        out.push(all[i as usize].clone());
        i += step;
    }
    Ok(out)
}

fn compare(sign: &str, left: &Value, right: &Value) -> Value {
    match sign {
        "==" => return Value::from(equal(left, right)),
        "!=" => return Value::from(!equal(left, right)),
        _ => {}
    }
    let Some(order) = order(left, right) else { return null() };
    Value::from(match sign {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.as_str(), right.as_str()) {
        (Some(a), Some(b)) => Some(a.cmp(b)),
        (None, None) if left.kind() == ValueKind::Number && right.kind() == ValueKind::Number => {
            super::choose::compare(left, right).ok()
        }
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Bool => "boolean",
        ValueKind::Number => "number",
        ValueKind::String => "string",
        ValueKind::Map => "object",
        ValueKind::Seq | ValueKind::Iterable => "array",
        _ => "null",
    }
}

/// The arguments of a function, each of one of the kinds that are allowed there.
struct Arguments<'a> {
    name: &'a str,
    values: Vec<Value>,
    references: Vec<Option<&'a Expr>>,
}

impl Arguments<'_> {
    fn is(&self, i: usize, kinds: &[&str]) -> Result<&Value, Error> {
        let value = self.values.get(i).ok_or_else(|| err(format!("`{}()` needs more arguments", self.name)))?;
        if kinds.is_empty() || kinds.contains(&kind(value)) {
            return Ok(value);
        }
        Err(err(format!("`{}()` takes {}, not {}", self.name, kinds.join(" or "), kind(value))))
    }

    fn all(&self, i: usize) -> Result<Vec<Value>, Error> {
        items(self.is(i, &["array"])?)
    }

    fn number(&self, i: usize) -> Result<f64, Error> {
        Ok(float(self.is(i, &["number"])?).unwrap_or_default())
    }

    fn text(&self, i: usize) -> Result<&str, Error> {
        Ok(self.is(i, &["string"])?.as_str().unwrap_or_default())
    }

    fn reference(&self, i: usize) -> Result<&Expr, Error> {
        self.references
            .get(i)
            .copied()
            .flatten()
            .ok_or_else(|| err(format!("`{}()` takes an expression (`&name`)", self.name)))
    }
}

fn numbers(all: &[Value], name: &str) -> Result<Vec<f64>, Error> {
    all.iter()
        .map(|v| {
            float(v)
                .filter(|_| v.kind() == ValueKind::Number)
                .ok_or_else(|| err(format!("`{name}()` takes numbers, not {}", kind(v))))
        })
        .collect()
}

/// Items by their keys, each key a number or each a text.
fn keyed(
    all: Vec<Value>,
    key: impl Fn(&Value) -> Result<Value, Error>,
    name: &str,
) -> Result<Vec<(Value, Value)>, Error> {
    let mut out: Vec<(Value, Value)> = vec![];
    for item in all {
        let key = key(&item)?;
        let fits =
            matches!(kind(&key), "number" | "string") && out.first().is_none_or(|(first, _)| kind(first) == kind(&key));
        if !fits {
            return Err(err(format!("`{name}()` compares numbers or texts, not {}", kind(&key))));
        }
        out.push((key, item));
    }
    Ok(out)
}

fn best(keyed: Vec<(Value, Value)>, wanted: Ordering) -> Value {
    let mut best: Option<(Value, Value)> = None;
    for (key, item) in keyed {
        if best.as_ref().is_none_or(|(b, _)| order(&key, b) == Some(wanted)) {
            best = Some((key, item));
        }
    }
    best.map_or_else(null, |(_, item)| item)
}

fn sorted(mut keyed: Vec<(Value, Value)>) -> Value {
    keyed.sort_by(|(a, _), (b, _)| order(a, b).unwrap_or(Ordering::Equal));
    list(keyed.into_iter().map(|(_, item)| item))
}

fn whole(f: f64) -> Value {
    int_value(f as i128)
}

fn function(name: &str, arguments: &[Expr], value: &Value) -> Result<Value, Error> {
    let mut given = Arguments { name, values: vec![], references: vec![] };
    for argument in arguments {
        if let Expr::Reference(inner) = argument {
            given.values.push(null());
            given.references.push(Some(inner));
        } else {
            given.values.push(run(argument, value)?);
            given.references.push(None);
        }
    }
    let g = &given;
    let text_of = |v: &Value| match v.as_str() {
        Some(s) => Ok(s.to_owned()),
        None => dumps(v, &Layout { item_separator: ",".into(), key_separator: ":".into(), ..Layout::default() }),
    };
    let by = |key: &Expr, item: &Value| run(key, item);
    Ok(match name {
        "abs" => {
            let f = g.number(0)?.abs();
            if g.values[0].is_integer() { whole(f) } else { Value::from(f) }
        }
        "avg" => {
            let all = numbers(&g.all(0)?, name)?;
            if all.is_empty() { null() } else { Value::from(all.iter().sum::<f64>() / all.len() as f64) }
        }
        "ceil" => whole(g.number(0)?.ceil()),
        "floor" => whole(g.number(0)?.floor()),
        "contains" => match g.is(0, &["array", "string"])?.as_str() {
            Some(s) => Value::from(g.is(1, &[])?.as_str().is_some_and(|part| s.contains(part))),
            None => {
                let wanted = g.is(1, &[])?;
                Value::from(g.all(0)?.iter().any(|v| equal(v, wanted)))
            }
        },
        "ends_with" => Value::from(g.text(0)?.ends_with(g.text(1)?)),
        "starts_with" => Value::from(g.text(0)?.starts_with(g.text(1)?)),
        "join" => {
            let separator = g.text(0)?;
            let parts = g.all(1)?;
            let texts = parts.iter().map(|p| p.as_str().ok_or_else(|| err("`join()` takes a list of texts")));
            Value::from(texts.collect::<Result<Vec<_>, _>>()?.join(separator))
        }
        "keys" => list(pairs(g.is(0, &["object"])?)?.into_iter().map(|(k, _)| k)),
        "values" => list(pairs(g.is(0, &["object"])?)?.into_iter().map(|(_, v)| v)),
        "length" => {
            let value = g.is(0, &["string", "array", "object"])?;
            Value::from(value.as_str().map_or_else(|| value.len().unwrap_or(0), |s| s.chars().count()))
        }
        "map" => {
            let key = g.reference(0)?;
            list(g.all(1)?.iter().map(|item| run(key, item)).collect::<Result<Vec<_>, _>>()?)
        }
        "max" => best(keyed(g.all(0)?, |v| Ok(v.clone()), name)?, Ordering::Greater),
        "min" => best(keyed(g.all(0)?, |v| Ok(v.clone()), name)?, Ordering::Less),
        "max_by" => best(keyed(g.all(0)?, |v| by(g.reference(1)?, v), name)?, Ordering::Greater),
        "min_by" => best(keyed(g.all(0)?, |v| by(g.reference(1)?, v), name)?, Ordering::Less),
        "sort" => sorted(keyed(g.all(0)?, |v| Ok(v.clone()), name)?),
        "sort_by" => sorted(keyed(g.all(0)?, |v| by(g.reference(1)?, v), name)?),
        "merge" => {
            let mut all = vec![];
            for i in 0..g.values.len() {
                all.extend(pairs(g.is(i, &["object"])?)?);
            }
            map(all)
        }
        "not_null" => g.values.iter().find(|v| !v.is_none()).cloned().unwrap_or_else(null),
        "reverse" => match g.is(0, &["array", "string"])?.as_str() {
            Some(s) => Value::from(s.chars().rev().collect::<String>()),
            None => list(g.all(0)?.into_iter().rev()),
        },
        "sum" => {
            let all = g.all(0)?;
            let total: f64 = numbers(&all, name)?.iter().sum();
            if all.iter().all(Value::is_integer) { whole(total) } else { Value::from(total) }
        }
        "to_array" => {
            let value = g.is(0, &[])?;
            if is_sequence(value) { value.clone() } else { list([value.clone()]) }
        }
        "to_string" => Value::from(text_of(g.is(0, &[])?)?),
        "to_number" => match g.is(0, &[])?.as_str() {
            Some(s) => parse_int(s, 10).map(int_value).or_else(|| parse_float(s).map(Value::from)).unwrap_or_else(null),
            None if kind(&g.values[0]) == "number" => g.values[0].clone(),
            None => null(),
        },
        "type" => Value::from(kind(g.is(0, &[])?)),
        other => return Err(err(format!("JMESPath has no function `{other}`"))),
    })
}
