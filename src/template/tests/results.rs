//! Tests on registered results: `failed`, `changed`, `skipped` …

use minijinja::{Error, Value};

use crate::template::args::{Call, Entry, err, get, is_mapping, items, truth};
use crate::template::types::type_name;

pub const TESTS: &[Entry] = &[
    ("failed", |_, c| result(c, |r| field(r, "failed"))),
    ("failure", |_, c| result(c, |r| field(r, "failed"))),
    ("succeeded", |_, c| result(c, |r| Ok(!field(r, "failed")?))),
    ("success", |_, c| result(c, |r| Ok(!field(r, "failed")?))),
    ("successful", |_, c| result(c, |r| Ok(!field(r, "failed")?))),
    ("changed", |_, c| result(c, changed)),
    ("change", |_, c| result(c, changed)),
    ("skipped", |_, c| result(c, |r| field(r, "skipped"))),
    ("skip", |_, c| result(c, |r| field(r, "skipped"))),
    ("unreachable", |_, c| result(c, |r| field(r, "unreachable"))),
    ("reachable", |_, c| result(c, |r| Ok(!field(r, "unreachable")?))),
    ("started", |_, c| result(c, |r| stage(r, "started"))),
    ("finished", |_, c| result(c, |r| stage(r, "finished"))),
    ("timedout", |_, c| result(c, timed_out)),
];

fn result(mut call: Call, f: fn(&Value) -> Result<bool, Error>) -> Result<Value, Error> {
    let value = call.subject()?;
    if !is_mapping(&value) {
        return Err(err(format!("the test `{}` is for registered results, not for {}", call.name, type_name(&value))));
    }
    f(&value).map(Value::from)
}

fn item(result: &Value, name: &str) -> Result<Option<Value>, Error> {
    get(result, &Value::from(name))
}

fn field(result: &Value, name: &str) -> Result<bool, Error> {
    Ok(item(result, name)?.is_some_and(|v| truth(&v)))
}

/// A loop's result has changed if one of its items has.
fn changed(result: &Value) -> Result<bool, Error> {
    if let Some(value) = item(result, "changed")? {
        return Ok(truth(&value));
    }
    let Some(results) = item(result, "results")? else { return Ok(false) };
    for part in items(&results)? {
        if is_mapping(&part) && field(&part, "changed")? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A task that was never asynchronous has started and finished.
fn stage(result: &Value, name: &str) -> Result<bool, Error> {
    Ok(match item(result, name)? {
        Some(value) => truth(&value),
        None => true,
    })
}

fn timed_out(result: &Value) -> Result<bool, Error> {
    match item(result, "timedout")? {
        Some(value) if is_mapping(&value) => field(&value, "period"),
        _ => Ok(false),
    }
}
