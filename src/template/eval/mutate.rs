//! `list.append`, `dict.update` and their like.
//!
//! Values never change, so a method that changes one puts the changed value where the expression found it: a variable, an item
//! of one, a namespace's attribute. Unlike in Python a second name for the same list does not see the change.

use std::cmp::Ordering;

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::ValueKind;

use super::objects::Namespace;
use super::{Interp, Result, failed, ops};
use crate::template::syntax::ast::{Expr, ExprKind};

/// Does this method change its value?
pub(super) fn changes(value: &Value, name: &str) -> bool {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable if !value.is_tuple() => {
            matches!(name, "append" | "extend" | "insert" | "remove" | "pop" | "clear" | "sort" | "reverse")
        }
        ValueKind::Map => matches!(name, "update" | "pop" | "popitem" | "setdefault" | "clear"),
        _ => false,
    }
}

/// The changed value and what the call returns.
pub(super) fn apply(
    value: &Value,
    name: &str,
    args: &[Value],
    named: &IndexMap<String, Value>,
) -> Result<(Value, Value)> {
    if value.kind() == ValueKind::Map { on_map(value, name, args, named) } else { on_list(value, name, args, named) }
}

fn arg<'a>(args: &'a [Value], i: usize, name: &str) -> Result<&'a Value> {
    args.get(i).ok_or_else(|| failed(format!("`{name}` needs {} argument{}", i + 1, if i == 0 { "" } else { "s" })))
}

fn on_list(value: &Value, name: &str, args: &[Value], named: &IndexMap<String, Value>) -> Result<(Value, Value)> {
    let mut list = ops::items(value).unwrap_or_default();
    let len = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let mut returned = Value::from(());
    match name {
        "append" => list.push(arg(args, 0, name)?.clone()),
        "extend" => {
            let more = arg(args, 0, name)?;
            list.extend(
                ops::items(more).ok_or_else(|| failed(format!("cannot extend a list by {}", ops::describe(more))))?,
            );
        }
        "insert" => {
            let at = arg(args, 0, name)?.as_i64().ok_or_else(|| failed("`insert` needs a whole number"))?;
            let at = (if at < 0 { at + len } else { at }).clamp(0, len);
            list.insert(usize::try_from(at).unwrap_or(0), arg(args, 1, name)?.clone());
        }
        "remove" => {
            let wanted = arg(args, 0, name)?;
            let at = list
                .iter()
                .position(|v| ops::equal(v, wanted))
                .ok_or_else(|| failed("the list has no such item to remove"))?;
            list.remove(at);
        }
        "pop" => {
            let at =
                args.first().map_or(Some(-1), Value::as_i64).ok_or_else(|| failed("`pop` needs a whole number"))?;
            let at = if at < 0 { at + len } else { at };
            if at < 0 || at >= len {
                return Err(failed(if len == 0 { "`pop` from an empty list" } else { "`pop` beyond the list's end" }));
            }
            returned = list.remove(usize::try_from(at).unwrap_or(0));
        }
        "clear" => list.clear(),
        "reverse" => list.reverse(),
        _ => {
            let descending = named.get("reverse").is_some_and(ops::is_true);
            let mut wrong = false;
            list.sort_by(|a, b| {
                let order = ops::order(a, b).unwrap_or_else(|| {
                    wrong = true;
                    Ordering::Equal
                });
                if descending { order.reverse() } else { order }
            });
            if wrong {
                return Err(failed("the list's items cannot be compared with one another"));
            }
        }
    }
    if list.len() > ops::MAX_SIZE {
        return Err(failed("the list is too large"));
    }
    Ok((Value::from(list), returned))
}

fn on_map(value: &Value, name: &str, args: &[Value], named: &IndexMap<String, Value>) -> Result<(Value, Value)> {
    let mut map: IndexMap<Value, Value> = ops::items(value)
        .unwrap_or_default()
        .into_iter()
        .map(|k| {
            let v = value.get_item(&k).unwrap_or_default();
            (k, v)
        })
        .collect();
    let mut returned = Value::from(());
    match name {
        "update" => {
            if let Some(more) = args.first() {
                for (k, v) in pairs(more)? {
                    map.insert(k, v);
                }
            }
            for (k, v) in named {
                map.insert(Value::from(k.as_str()), v.clone());
            }
        }
        "setdefault" => {
            let key = arg(args, 0, name)?.clone();
            let default = args.get(1).cloned().unwrap_or(Value::from(()));
            returned = map.entry(key).or_insert(default).clone();
        }
        "pop" => {
            let key = arg(args, 0, name)?;
            returned = match (map.shift_remove(key), args.get(1)) {
                (Some(value), _) => value,
                (None, Some(default)) => default.clone(),
                (None, None) => return Err(failed(format!("the mapping has no key `{}`", crate::template::text(key)))),
            };
        }
        "popitem" => {
            let (k, v) = map.pop().ok_or_else(|| failed("`popitem` from an empty mapping"))?;
            returned = Interp::tuple(vec![k, v]);
        }
        _ => map.clear(),
    }
    Ok((Value::from_pairs(map), returned))
}

/// The entries of a mapping, or of a list of pairs.
pub(super) fn pairs(value: &Value) -> Result<Vec<(Value, Value)>> {
    if value.kind() == ValueKind::Map {
        return Ok(ops::items(value)
            .unwrap_or_default()
            .into_iter()
            .map(|k| {
                let v = value.get_item(&k).unwrap_or_default();
                (k, v)
            })
            .collect());
    }
    let items = ops::items(value).ok_or_else(|| failed(format!("{} is not a mapping", ops::describe(value))))?;
    items
        .into_iter()
        .map(|pair| match ops::items(&pair) {
            Some(pair) if pair.len() == 2 => Ok((pair[0].clone(), pair[1].clone())),
            _ => Err(failed("a list of pairs is needed")),
        })
        .collect()
}

impl Interp<'_> {
    /// Puts a changed value where `place` found the old one.
    pub(super) fn store(&mut self, place: &Expr, value: Value) -> Result<()> {
        match &place.kind {
            ExprKind::Name(name) => {
                if !self.frame.replace(name, value.clone()) {
                    // A variable from outside: changed for the rest of this template.
                    self.frame.outermost().set(name, value);
                }
                Ok(())
            }
            ExprKind::Attr(base, name) => {
                let holder = self.eval_known(base)?;
                if let Some(namespace) = holder.downcast_object_ref::<Namespace>() {
                    namespace.set(name, value);
                    return Ok(());
                }
                self.store_item(base, &holder, &Value::from(&**name), value)
            }
            ExprKind::Item(base, key) => {
                let holder = self.eval_known(base)?;
                let key = self.eval_known(key)?;
                self.store_item(base, &holder, &key, value)
            }
            // A value that nothing names.
            _ => Ok(()),
        }
    }

    fn store_item(&mut self, base: &Expr, holder: &Value, key: &Value, value: Value) -> Result<()> {
        let changed = match holder.kind() {
            ValueKind::Map => {
                let mut map: IndexMap<Value, Value> = pairs(holder)?.into_iter().collect();
                map.insert(key.clone(), value);
                Value::from_pairs(map)
            }
            ValueKind::Seq => {
                let mut list = ops::items(holder).unwrap_or_default();
                let len = i64::try_from(list.len()).unwrap_or(0);
                let at = key.as_i64().map(|i| if i < 0 { i + len } else { i });
                let Some(slot) = at.and_then(|i| usize::try_from(i).ok()).and_then(|i| list.get_mut(i)) else {
                    return Ok(());
                };
                *slot = value;
                Value::from(list)
            }
            _ => return Ok(()),
        };
        self.store(base, changed)
    }
}
