//! Is a value usable: known, defined, free of errors; and what a template's result becomes when it is kept.

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Tuple, ValueKind};

use super::objects::{Failed, Undefined, Why};
use super::{Result, failed, ops};
use crate::problem::Problem;
use crate::template::lazy::{LazyMap, LazySeq};
use crate::template::{EvalError, Unknown, is_omit};

/// The value itself is neither undefined nor failed nor unknown.
pub fn check_one(value: &Value) -> Result<()> {
    match value.kind() {
        ValueKind::Plain => {
            if let Some(unknown) = Unknown::of(value) {
                return Err(EvalError::Unknown(unknown.clone()));
            }
            if let Some(undefined) = Undefined::of(value) {
                return Err(EvalError::Undefined(undefined.problem()));
            }
            if let Some(Failed(error)) = Failed::of(value) {
                return Err(error.clone());
            }
            Ok(())
        }
        ValueKind::Undefined => Err(EvalError::Undefined(Problem::new("undefined-variable", "the value is undefined"))),
        ValueKind::Invalid => Err(failed(value.to_string())),
        _ => Ok(()),
    }
}

/// A container whose elements may be looked at without work of unknown size (not `hostvars` and its like).
fn is_transparent(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    object.downcast_ref::<Vec<Value>>().is_some()
        || object.downcast_ref::<Tuple>().is_some()
        || object.downcast_ref::<LazySeq>().is_some()
        || object.downcast_ref::<LazyMap>().is_some()
        || object.downcast_ref::<IndexMap<Value, Value>>().is_some()
}

/// [`check_one`] for a value and everything in it. Unknown parts are merged; an error wins over them.
pub fn check_deep(value: &Value) -> Result<()> {
    let mut unknown: Option<Unknown> = None;
    walk(value, &mut unknown, 0)?;
    unknown.map_or(Ok(()), |u| Err(EvalError::Unknown(u)))
}

fn walk(value: &Value, unknown: &mut Option<Unknown>, depth: usize) -> Result<()> {
    match check_one(value) {
        Ok(()) => {}
        Err(EvalError::Unknown(u)) => {
            *unknown = Some(unknown.take().map_or_else(|| u.clone(), |f| f.merge(&u)));
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    if depth > 60 {
        return Err(failed("the value is nested too deeply"));
    }
    if !is_transparent(value) {
        return Ok(());
    }
    match value.kind() {
        ValueKind::Map => {
            for key in value.try_iter().into_iter().flatten() {
                walk(&value.get_item(&key).unwrap_or_default(), unknown, depth + 1)?;
            }
        }
        _ => {
            for item in value.try_iter().into_iter().flatten() {
                walk(&item, unknown, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// Undefined or failed elements that a filter comes across although it only moves them: all but those that count or choose do.
pub fn met_by(filter: &str, values: &[Value]) -> Result<()> {
    // What is combined with nothing is handed on as it is.
    if filter == "combine" && values.iter().any(|v| v.kind() == ValueKind::Map && v.len() == Some(0)) {
        return Ok(());
    }
    values.iter().try_for_each(|value| one_met_by(filter, value))
}

fn one_met_by(filter: &str, value: &Value) -> Result<()> {
    let deep = match filter {
        "list" | "reverse" | "zip" | "zip_longest" | "batch" | "slice" if value.kind() != ValueKind::Map => 1,
        "combine" => usize::MAX,
        "dict2items" if value.kind() == ValueKind::Map => 1,
        "items2dict" => 2,
        "flatten" => usize::MAX,
        _ => return Ok(()),
    };
    met(value, deep)
}

/// No element so deep is undefined or failed; unknown ones may be.
pub fn met(value: &Value, deep: usize) -> Result<()> {
    if let Some(undefined) = Undefined::of(value) {
        return Err(EvalError::Undefined(undefined.problem()));
    }
    if let Some(Failed(error)) = Failed::of(value) {
        return Err(error.clone());
    }
    if deep == 0 || !is_transparent(value) {
        return Ok(());
    }
    for item in value.try_iter().into_iter().flatten() {
        let item = if value.kind() == ValueKind::Map { value.get_item(&item).unwrap_or_default() } else { item };
        met(&item, deep - 1)?;
    }
    Ok(())
}

/// What a template's result is kept as: tuples become lists, `omit` inside lists and mappings goes. `None`: it stays as it is.
pub fn settle(value: &Value) -> Option<Value> {
    let object = value.as_object()?;
    if object.downcast_ref::<Tuple>().is_some() || object.downcast_ref::<Vec<Value>>().is_some() {
        let items = ops::items(value).unwrap_or_default();
        let mut changed = false;
        let mut settled = Vec::with_capacity(items.len());
        for item in items {
            if is_omit(&item) {
                changed = true;
                continue;
            }
            match settle(&item) {
                Some(new) => {
                    changed = true;
                    settled.push(new);
                }
                None => settled.push(item),
            }
        }
        let tuple = value.is_tuple();
        return changed.then(|| if tuple { Value::from(Tuple::new(settled)) } else { Value::from(settled) });
    }
    if object.downcast_ref::<IndexMap<Value, Value>>().is_some() {
        let keys = ops::items(value).unwrap_or_default();
        let mut changed = false;
        let mut settled = Vec::with_capacity(keys.len());
        for key in keys {
            let item = value.get_item(&key).unwrap_or_default();
            if is_omit(&item) {
                changed = true;
                continue;
            }
            match settle(&item) {
                Some(new) => {
                    changed = true;
                    settled.push((key, new));
                }
                None => settled.push((key, item)),
            }
        }
        return changed.then(|| Value::from_pairs(settled));
    }
    None
}

/// A result that no variable can hold: a macro, a function, a method.
pub fn storable(value: &Value) -> Result<()> {
    if value.kind() == ValueKind::Plain {
        check_one(value)?;
        match crate::template::datetime::type_name(value) {
            Some("timedelta") => return Err(failed(NOT_STORED.replace("{}", "timedelta"))),
            Some(_) => return Ok(()),
            None if is_omit(value) => return Ok(()),
            None => {}
        }
        if matches!(Undefined::of(value), Some(Undefined { why: Why::Nothing, .. })) {
            return Ok(());
        }
        // Not called it is no variable, to Ansible.
        if value.downcast_object_ref::<super::objects::Builtin>() == Some(&super::objects::Builtin::Lipsum) {
            return Err(EvalError::Undefined(Problem::new("undefined-variable", "`lipsum` is undefined")));
        }
        if value.as_object().is_some_and(|o| o.type_name().contains("::eval::objects::")) {
            return Err(failed(format!("{value} is not data: it cannot be the value of a variable")));
        }
    }
    Ok(())
}

const NOT_STORED: &str = "a `{}` cannot be the value of a variable: make it a list (`| list`) or text (`| string`)";

/// A value with nothing lazy left in it: every element evaluated, failures come out, unknown parts stay. `omit` inside goes.
pub fn force(value: Value) -> Result<Value> {
    check_one(&value)?;
    Ok(forced(&value, 0)?.unwrap_or(value))
}

pub(super) fn forced(value: &Value, depth: usize) -> Result<Option<Value>> {
    if depth > 60 {
        return Err(failed("the value is nested too deeply"));
    }
    if value.kind() == ValueKind::Plain {
        if Unknown::of(value).is_none() {
            storable(value)?;
        }
        return Ok(None);
    }
    check_one(value)?;
    if super::objects::is_range(value) {
        return Err(failed(NOT_STORED.replace("{}", "range")));
    }
    if !is_transparent(value) {
        return Ok(None);
    }
    let lazy = value.downcast_object_ref::<LazySeq>().is_some() || value.downcast_object_ref::<LazyMap>().is_some();
    let mut changed = lazy || value.is_tuple();
    if value.kind() == ValueKind::Map {
        let mut pairs = vec![];
        for key in ops::items(value).unwrap_or_default() {
            let item = value.get_item(&key).unwrap_or_default();
            if is_omit(&item) {
                changed = true;
                continue;
            }
            let new = forced(&item, depth + 1)?;
            changed |= new.is_some();
            pairs.push((key, new.unwrap_or(item)));
        }
        return Ok(changed.then(|| Value::from_pairs(pairs)));
    }
    let mut list = vec![];
    for item in ops::items(value).unwrap_or_default() {
        if is_omit(&item) {
            changed = true;
            continue;
        }
        let new = forced(&item, depth + 1)?;
        changed |= new.is_some();
        list.push(new.unwrap_or(item));
    }
    Ok(changed.then(|| Value::from(list)))
}
