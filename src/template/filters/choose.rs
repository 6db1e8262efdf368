//! Filters that walk a list: choose, order, group and reduce its items.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, State, Value};

use crate::template::args::{
    Call, Entry, defined, err, flag, integer, items, list, opt_string, pairs, size, string, text, truth, tuple,
    wide_integer,
};
use crate::template::call::{apply_filter, perform_test, undefined, undefined_value};
use crate::template::filters::numbers::int_value;
use crate::template::types::type_name;
use crate::template::{attribute, repr};

pub const FILTERS: &[Entry] = &[
    ("map", map),
    ("select", |s, c| choose(s, c, false, true)),
    ("reject", |s, c| choose(s, c, false, false)),
    ("selectattr", |s, c| choose(s, c, true, true)),
    ("rejectattr", |s, c| choose(s, c, true, false)),
    ("groupby", groupby),
    ("sort", sort),
    ("dictsort", dictsort),
    ("unique", unique),
    ("min", |_, c| extreme(c, Ordering::Less)),
    ("max", |_, c| extreme(c, Ordering::Greater)),
    ("sum", sum),
    ("first", first),
    ("last", last),
    ("length", length),
    ("count", length),
    ("list", to_list),
    ("items", pairs_of),
    ("reverse", reverse),
    ("batch", batch),
    ("slice", slice),
    ("join", join),
];

/// An attribute given as text (`a.b`) or as a number.
fn attribute_of(item: &Value, key: &Value) -> Value {
    match key.as_str() {
        Some(path) => attribute(item, path),
        None => crate::template::args::get(item, key).ok().flatten().unwrap_or(Value::UNDEFINED),
    }
}

fn map(state: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let items = walked(&value)?;
    if call.positional.is_empty() && call.named.contains_key("attribute") {
        let key = call.named.shift_remove("attribute").unwrap_or_default();
        let default = call.named.shift_remove("default");
        if let Some(other) = call.named.keys().next() {
            return Err(err(format!("`map` has no argument `{other}`")));
        }
        let mut out = vec![];
        for item in items {
            let mut found = attribute_of(&item, &key);
            // Nothing undefined or failed has an attribute.
            if found.is_undefined() || (default.is_some() && crate::template::is_hole(&found)) {
                match &default {
                    Some(default) => found = default.clone(),
                    // Undefined only where it is used, as in Ansible: `select('defined')` may follow.
                    None => found = undefined_value(format!("{} has no attribute `{}`", describe(&item), text(&key))),
                }
            }
            out.push(found);
        }
        return Ok(list(out));
    }
    if call.positional.is_empty() {
        return Err(err("`map` needs a filter's name or `attribute=`"));
    }
    let name = string(&call.positional.remove(0), "filter")?;
    let arguments = call.to_values();
    let mut out = vec![];
    for item in items {
        let mut all = vec![item];
        all.extend(arguments.iter().cloned());
        out.push(apply_filter(state, &name, &all)?);
    }
    Ok(list(out))
}

/// A value in a message: short.
fn describe(value: &Value) -> String {
    let text = repr(value);
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

/// The items that `map`, `select` and their like walk over. Jinja takes anything that is not true for an empty list.
fn walked(value: &Value) -> Result<Vec<Value>, Error> {
    if truth(value) { items(value) } else { Ok(vec![]) }
}

fn choose(state: &mut State, mut call: Call, by_attribute: bool, keep: bool) -> Result<Value, Error> {
    let value = call.subject()?;
    let key = match by_attribute {
        false => None,
        true if call.positional.is_empty() => {
            return Err(err(format!("`{}` needs the name of an attribute", call.name)));
        }
        true => Some(call.positional.remove(0)),
    };
    let test = if call.positional.is_empty() { None } else { Some(string(&call.positional.remove(0), "test")?) };
    let arguments = call.to_values();
    let mut out = vec![];
    for item in walked(&value)? {
        let subject = match &key {
            Some(key) => attribute_of(&item, key),
            None => item.clone(),
        };
        let verdict = match &test {
            Some(test) => {
                if subject.is_undefined() && !matches!(test.rsplit('.').next(), Some("defined" | "undefined")) {
                    return Err(undefined(format!(
                        "{} has no attribute `{}`",
                        describe(&item),
                        key.as_ref().map(text).unwrap_or_default()
                    )));
                }
                let mut all = vec![subject];
                all.extend(arguments.iter().cloned());
                perform_test(state, test, &all)?
            }
            None => {
                if subject.is_undefined() {
                    return Err(undefined(format!(
                        "{} has no attribute `{}`",
                        describe(&item),
                        key.as_ref().map(text).unwrap_or_default()
                    )));
                }
                if let Some(problem) = crate::template::undefined_problem(&subject) {
                    return Err(undefined(problem.message));
                }
                truth(&subject)
            }
        };
        if verdict == keep {
            out.push(item);
        }
    }
    Ok(list(out))
}

/// Python's `<` between two values; an error where Python has none.
pub fn compare(a: &Value, b: &Value) -> Result<Ordering, Error> {
    let numeric = |v: &Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool);
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(a.cmp(b));
    }
    if numeric(a) && numeric(b) {
        if a == b {
            return Ok(Ordering::Equal);
        }
        if let (Ok(x), Ok(y)) = (i128::try_from(a.clone()), i128::try_from(b.clone())) {
            return Ok(x.cmp(&y));
        }
        let float = |v: &Value| crate::template::args::float(v).unwrap_or(f64::NAN);
        return Ok(float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Equal));
    }
    let sequence = |v: &Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Iterable);
    if sequence(a) && sequence(b) && a.is_tuple() == b.is_tuple() {
        let (x, y) = (items(a)?, items(b)?);
        for (p, q) in x.iter().zip(&y) {
            if p != q {
                return compare(p, q);
            }
        }
        return Ok(x.len().cmp(&y.len()));
    }
    if a.kind() == ValueKind::Plain && type_name(a) == type_name(b) && type_name(a) != "object" {
        return Ok(a.cmp(b));
    }
    Err(err(format!("{} and {} can't be compared", type_name(a), type_name(b))))
}

fn folded(value: Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(s) if !case_sensitive => Value::from(s.to_lowercase()),
        _ => value,
    }
}

/// Sorts by keys with Python's comparison; stable. The first pair that can't be compared is the error.
fn sort_by_keys(keyed: &mut [(Value, Value)], reverse: bool) -> Result<(), Error> {
    let mut failure = None;
    keyed.sort_by(|(a, _), (b, _)| {
        if failure.is_some() {
            return Ordering::Equal;
        }
        let order = compare(a, b).unwrap_or_else(|e| {
            failure = Some(e);
            Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    failure.map_or(Ok(()), Err)
}

/// The sort key of an item: the item, or its attributes (`a,b.c`), without regard to case if so wanted.
fn sort_key(item: &Value, attributes: Option<&Value>, case_sensitive: bool) -> Result<Value, Error> {
    let Some(attributes) = attributes else { return Ok(folded(item.clone(), case_sensitive)) };
    let parts: Vec<Value> = match attributes.as_str() {
        Some(names) => names.split(',').map(|n| Value::from(n.trim())).collect(),
        None => vec![attributes.clone()],
    };
    let mut keys = vec![];
    for part in &parts {
        let key = attribute_of(item, part);
        if key.is_undefined() {
            return Err(undefined(format!("{} has no attribute `{}`", describe(item), text(part))));
        }
        keys.push(folded(key, case_sensitive));
    }
    Ok(list(keys))
}

fn sort(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, reverse, case_sensitive, by] = call.bind(["value", "reverse", "case_sensitive", "attribute"], 1)?;
    let by = by.filter(|b| !b.is_none());
    let mut keyed = vec![];
    for item in items(&value.unwrap_or_default())? {
        keyed.push((sort_key(&item, by.as_ref(), flag(case_sensitive.as_ref(), false))?, item));
    }
    sort_by_keys(&mut keyed, flag(reverse.as_ref(), false))?;
    Ok(list(keyed.into_iter().map(|(_, item)| item)))
}

fn dictsort(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, case_sensitive, by, reverse] = call.bind(["value", "case_sensitive", "by", "reverse"], 1)?;
    let by_value = match opt_string(by.as_ref(), "by")?.as_deref() {
        None | Some("key") => false,
        Some("value") => true,
        Some(other) => return Err(err(format!("`dictsort` sorts by `key` or `value`, not by `{other}`"))),
    };
    let mut keyed: Vec<(Value, Value)> = pairs(&value.unwrap_or_default())?
        .into_iter()
        .map(|(k, v)| {
            let key = if by_value { v.clone() } else { k.clone() };
            (folded(key, flag(case_sensitive.as_ref(), false)), tuple([k, v]))
        })
        .collect();
    sort_by_keys(&mut keyed, flag(reverse.as_ref(), false))?;
    Ok(list(keyed.into_iter().map(|(_, pair)| pair)))
}

/// One group of `groupby`: a pair that also answers to `grouper` and `list`.
#[derive(Debug)]
struct Group {
    grouper: Value,
    list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_i64()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

fn groupby(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, by, _default, case_sensitive] = call.bind(["value", "attribute", "default", "case_sensitive"], 2)?;
    let (by, case_sensitive) = (by.unwrap_or_default(), flag(case_sensitive.as_ref(), false));
    let mut keyed = vec![];
    for item in items(&value.unwrap_or_default())? {
        let key = attribute_of(&item, &by);
        if key.is_undefined() {
            // The default helps only where Jinja's own undefined value stands; ansible-core 2.19 has another.
            return Err(undefined(format!("{} has no attribute `{}`", describe(&item), text(&by))));
        }
        keyed.push((folded(key.clone(), case_sensitive), tuple([key, item])));
    }
    sort_by_keys(&mut keyed, false)?;
    let mut groups: Vec<(Value, Value, Vec<Value>)> = vec![];
    for (folded_key, pair) in keyed {
        let [key, item] = [pair.get_item_by_index(0)?, pair.get_item_by_index(1)?];
        match groups.last_mut() {
            Some((last, _, members)) if *last == folded_key => members.push(item),
            _ => groups.push((folded_key, key, vec![item])),
        }
    }
    Ok(list(groups.into_iter().map(|(_, grouper, members)| Value::from_object(Group { grouper, list: list(members) }))))
}

fn unique(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, case_sensitive, by] = call.bind(["value", "case_sensitive", "attribute"], 1)?;
    let by = by.filter(|b| !b.is_none());
    let case_sensitive = flag(case_sensitive.as_ref(), false);
    let mut seen = super::sets::Seen::default();
    let mut out = vec![];
    for item in items(&value.unwrap_or_default())? {
        let key = match &by {
            Some(by) => attribute_of(&item, by),
            None => item.clone(),
        };
        defined(&key, "attribute")?;
        if seen.add(&folded(key, case_sensitive)) {
            out.push(item);
        }
    }
    Ok(list(out))
}

fn extreme(call: Call, wanted: Ordering) -> Result<Value, Error> {
    let [value, case_sensitive, by] = call.bind(["value", "case_sensitive", "attribute"], 1)?;
    let by = by.filter(|b| !b.is_none());
    let mut best: Option<(Value, Value)> = None;
    for item in items(&value.unwrap_or_default())? {
        let key = match &by {
            Some(by) => attribute_of(&item, by),
            None => item.clone(),
        };
        defined(&key, "attribute")?;
        let key = folded(key, flag(case_sensitive.as_ref(), false));
        let better = match &best {
            None => true,
            Some((best_key, _)) => compare(&key, best_key)? == wanted,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    let numeric = |v: &Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool);
    let sequence = crate::template::args::is_sequence;
    if numeric(a) && numeric(b) {
        let whole = |v: &Value| v.is_integer() || v.kind() == ValueKind::Bool;
        if whole(a) && whole(b) {
            let sum = wide_integer(a, "value")?.checked_add(wide_integer(b, "value")?);
            return sum.map(int_value).ok_or_else(|| err("the sum is too large"));
        }
        let float = |v: &Value| crate::template::args::float(v).unwrap_or(f64::NAN);
        return Ok(Value::from(float(a) + float(b)));
    }
    if sequence(a) && sequence(b) {
        let mut all = items(a)?;
        all.extend(items(b)?);
        return Ok(list(all));
    }
    Err(err(format!("{} and {} can't be added", type_name(a), type_name(b))))
}

fn sum(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, by, start] = call.bind(["value", "attribute", "start"], 1)?;
    let by = by.filter(|b| !b.is_none());
    let mut total = start.unwrap_or_else(|| Value::from(0));
    if total.as_str().is_some() {
        return Err(err("`sum` can't add texts, use `join`"));
    }
    for item in items(&value.unwrap_or_default())? {
        let part = match &by {
            Some(by) => attribute_of(&item, by),
            None => item.clone(),
        };
        if part.is_undefined() {
            return Err(undefined(format!(
                "{} has no attribute `{}`",
                describe(&item),
                by.as_ref().map(text).unwrap_or_default()
            )));
        }
        total = add(&total, &part)?;
    }
    Ok(total)
}

fn first(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    Ok(items(&value)?.into_iter().next().unwrap_or(Value::UNDEFINED))
}

fn last(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    Ok(items(&value)?.pop().unwrap_or(Value::UNDEFINED))
}

fn length(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let count = match value.as_str() {
        Some(s) => Some(s.chars().count()),
        None => value.len(),
    };
    match count {
        Some(n) => Ok(Value::from(n)),
        None => {
            items(&value).map(|i| Value::from(i.len())).map_err(|_| err(format!("{} has no length", type_name(&value))))
        }
    }
}

fn to_list(_: &mut State, mut call: Call) -> Result<Value, Error> {
    items(&call.subject()?).map(list)
}

fn pairs_of(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value] = call.bind_lenient(["value"], 1)?;
    let value = value.unwrap_or_default();
    if value.is_undefined() {
        return Ok(list([]));
    }
    Ok(list(pairs(&value)?.into_iter().map(|(k, v)| tuple([k, v]))))
}

fn reverse(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    if let Some(s) = value.as_str() {
        return Ok(Value::from(s.chars().rev().collect::<String>()));
    }
    let mut all = items(&value)?;
    all.reverse();
    Ok(list(all))
}

fn batch(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, count, fill] = call.bind(["value", "linecount", "fill_with"], 2)?;
    let count = integer(&count.unwrap_or_default(), "linecount")?;
    let items = items(&value.unwrap_or_default())?;
    if count < 0 {
        return Ok(list([list(items)]));
    }
    let count = size(&Value::from(count), "linecount")?;
    if count == 0 {
        return Ok(list(if items.is_empty() { vec![] } else { vec![list([]), list(items)] }));
    }
    let fill = fill.filter(|f| !f.is_none());
    Ok(list(items.chunks(count).map(|chunk| {
        let mut row = chunk.to_vec();
        if let Some(fill) = &fill {
            row.resize(count, fill.clone());
        }
        list(row)
    })))
}

fn slice(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, slices, fill] = call.bind(["value", "slices", "fill_with"], 2)?;
    let slices = size(&slices.unwrap_or_default(), "slices")?;
    if slices == 0 {
        return Err(err("`slice` needs a number above 0"));
    }
    let items = items(&value.unwrap_or_default())?;
    let (size, extra) = (items.len() / slices, items.len() % slices);
    let fill = fill.filter(|f| !f.is_none());
    let mut at = 0;
    let mut out = vec![];
    for i in 0..slices {
        let take = size + usize::from(i < extra);
        let mut part = items[at..at + take].to_vec();
        at += take;
        if let (Some(fill), true) = (&fill, i >= extra) {
            part.push(fill.clone());
        }
        out.push(list(part));
    }
    Ok(list(out))
}

fn join(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, separator, by] = call.bind(["value", "d", "attribute"], 1)?;
    let by = by.filter(|b| !b.is_none());
    let separator = separator.map(|s| text(&s)).unwrap_or_default();
    let mut out = String::new();
    for (i, item) in items(&value.unwrap_or_default())?.into_iter().enumerate() {
        if i > 0 {
            out.push_str(&separator);
        }
        let part = match &by {
            Some(by) => attribute_of(&item, by),
            None => item.clone(),
        };
        if part.is_undefined() {
            return Err(undefined(format!(
                "{} has no attribute `{}`",
                describe(&item),
                by.as_ref().map(text).unwrap_or_default()
            )));
        }
        out.push_str(&text(&part));
    }
    Ok(Value::from(out))
}
