//! Filters that merge, turn over and take apart mappings and nested lists.

use indexmap::IndexMap;
use minijinja::{Error, State, Value};

use crate::template::args::{
    Call, Entry, err, flag, get, integer, is_mapping, is_sequence, items, list, map, opt_string, pairs, string, text,
    truth, tuple,
};
use crate::template::types::type_name;
use crate::template::{call, repr};

pub const FILTERS: &[Entry] = &[
    ("combine", combine),
    ("dict2items", dict2items),
    ("items2dict", items2dict),
    ("flatten", flatten),
    ("subelements", subelements),
    ("extract", extract),
    ("rekey_on_member", rekey_on_member),
];

/// What becomes of two lists under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMerge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendRp,
    PrependRp,
}

impl std::str::FromStr for ListMerge {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Ok(match s {
            "replace" => Self::Replace,
            "keep" => Self::Keep,
            "append" => Self::Append,
            "prepend" => Self::Prepend,
            "append_rp" => Self::AppendRp,
            "prepend_rp" => Self::PrependRp,
            _ => {
                return Err(err(format!(
                    "`list_merge` is one of `replace`, `keep`, `append`, `prepend`, `append_rp`, `prepend_rp`, not `{s}`"
                )));
            }
        })
    }
}

/// Two mappings as one; the second is stronger. (Also what `hash_behaviour = merge` does.)
pub fn merge(weak: &Value, strong: &Value, recursive: bool, lists: ListMerge) -> Result<Value, Error> {
    if weak.len() == Some(0) || weak == strong {
        return Ok(strong.clone());
    }
    let mut out: IndexMap<Value, Value> = pairs(weak)?.into_iter().collect();
    for (key, new) in pairs(strong)? {
        let merged = match out.get(&key) {
            None => new,
            Some(old) if is_mapping(old) && is_mapping(&new) => {
                if recursive {
                    merge(old, &new, recursive, lists)?
                } else {
                    new
                }
            }
            Some(old) if is_sequence(old) && is_sequence(&new) => merge_lists(old, &new, lists)?,
            Some(_) => new,
        };
        out.insert(key, merged);
    }
    Ok(Value::from_object(out))
}

fn merge_lists(old: &Value, new: &Value, how: ListMerge) -> Result<Value, Error> {
    let (mut first, mut second) = match how {
        ListMerge::Replace => return Ok(new.clone()),
        ListMerge::Keep => return Ok(old.clone()),
        ListMerge::Append | ListMerge::AppendRp => (items(old)?, items(new)?),
        ListMerge::Prepend | ListMerge::PrependRp => (items(new)?, items(old)?),
    };
    match how {
        ListMerge::AppendRp => first.retain(|v| !second.contains(v)),
        ListMerge::PrependRp => second.retain(|v| !first.contains(v)),
        _ => {}
    }
    first.extend(second);
    Ok(list(first))
}

fn combine(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let recursive = call.named.shift_remove("recursive");
    let lists = match call.named.shift_remove("list_merge") {
        Some(value) => string(&value, "list_merge")?.parse()?,
        None => ListMerge::Replace,
    };
    if let Some(name) = call.named.keys().next() {
        return Err(err(format!("`combine` has only the arguments `recursive` and `list_merge`, not `{name}`")));
    }
    let mut mappings = vec![];
    for value in &call.positional {
        if is_sequence(value) { mappings.extend(items(value)?) } else { mappings.push(value.clone()) }
    }
    mappings.retain(|value| !is_null(value));
    let mut result: Option<Value> = None;
    for value in mappings.iter().rev() {
        crate::template::args::defined(value, "value")?;
        if !is_mapping(value) {
            return Err(err(format!("`combine` takes mappings, not {} ({})", type_name(value), repr(value))));
        }
        result = Some(match result {
            None => value.clone(),
            Some(strong) => merge(value, &strong, flag(recursive.as_ref(), false), lists)?,
        });
    }
    Ok(result.unwrap_or_else(|| map([])))
}

fn dict2items(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, key_name, value_name] = call.bind(["mydict", "key_name", "value_name"], 1)?;
    let value = value.unwrap_or_default();
    if !is_mapping(&value) {
        return Err(err(format!("`dict2items` takes a mapping, not {}", type_name(&value))));
    }
    let key_name = key_name.unwrap_or_else(|| Value::from("key"));
    let value_name = value_name.unwrap_or_else(|| Value::from("value"));
    let Some(object) = value.as_object() else { return Ok(list([])) };
    Ok(list(
        object
            .try_iter_pairs()
            .into_iter()
            .flatten()
            .map(|(k, v)| map([(key_name.clone(), k), (value_name.clone(), v)]))
            .collect::<Vec<_>>(),
    ))
}

fn items2dict(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, key_name, value_name] = call.bind(["mylist", "key_name", "value_name"], 1)?;
    let value = value.unwrap_or_default();
    if !is_sequence(&value) {
        return Err(err(format!("`items2dict` takes a list, not {}", type_name(&value))));
    }
    let key_name = key_name.unwrap_or_else(|| Value::from("key"));
    let value_name = value_name.unwrap_or_else(|| Value::from("value"));
    let mut out = IndexMap::new();
    for item in items(&value)? {
        if !is_mapping(&item) {
            return Err(err(format!("`items2dict` takes a list of mappings, one item is {}", type_name(&item))));
        }
        match (get(&item, &key_name)?, get(&item, &value_name)?) {
            (Some(key), Some(value)) => out.insert(key, value),
            _ => {
                return Err(err(format!(
                    "`items2dict` needs `{}` and `{}` in each mapping, not {}",
                    text(&key_name),
                    text(&value_name),
                    repr(&item)
                )));
            }
        };
    }
    Ok(Value::from_object(out))
}

fn is_null(value: &Value) -> bool {
    value.is_none() || matches!(value.as_str(), Some("None" | "null"))
}

/// A list without the lists inside it, `levels` deep (all of them if none).
pub fn flattened(value: &Value, levels: Option<i64>, skip_nulls: bool) -> Result<Vec<Value>, Error> {
    let mut out = vec![];
    for item in items(value)? {
        if skip_nulls && is_null(&item) {
            continue;
        }
        if is_sequence(&item) && levels.is_none_or(|l| l >= 1) {
            out.extend(flattened(&item, levels.map(|l| l - 1), skip_nulls)?);
        } else {
            out.push(item);
        }
    }
    Ok(out)
}

fn flatten(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, levels, skip_nulls] = call.bind(["mylist", "levels", "skip_nulls"], 1)?;
    let levels = match levels {
        Some(l) if l.is_none() => None,
        Some(l) => Some(match l.as_str() {
            Some(s) => s.trim().parse().map_err(|_| err(format!("`levels` must be a whole number, not `{s}`")))?,
            None => integer(&l, "levels")?,
        }),
        None => None,
    };
    flattened(&value.unwrap_or_default(), levels, flag(skip_nulls.as_ref(), true)).map(list)
}

/// The pairs of each mapping and each item of the list found at a path inside it.
pub fn sub_elements(value: &Value, path: &[String], skip_missing: bool) -> Result<Vec<Value>, Error> {
    let elements = if is_mapping(value) {
        pairs(value)?.into_iter().map(|(_, v)| v).collect()
    } else if is_sequence(value) {
        items(value)?
    } else {
        return Err(err(format!("`subelements` takes a list of mappings or a mapping, not {}", type_name(value))));
    };
    let mut out = vec![];
    'elements: for element in elements {
        let mut found = element.clone();
        for name in path {
            if !is_mapping(&found) {
                return Err(err(format!(
                    "the key `{name}` is looked for in {}, which is no mapping",
                    type_name(&found)
                )));
            }
            match get(&found, &Value::from(name.as_str()))? {
                Some(next) => found = next,
                None if skip_missing => continue 'elements,
                None => return Err(err(format!("there is no key `{name}` in {}", repr(&found)))),
            }
        }
        if !is_sequence(&found) {
            return Err(err(format!("`{}` must be a list, not {}", path.join("."), type_name(&found))));
        }
        for item in items(&found)? {
            out.push(tuple([element.clone(), item]));
        }
    }
    Ok(out)
}

fn subelements(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, path, skip_missing] = call.bind(["obj", "subelements", "skip_missing"], 2)?;
    let path = path.unwrap_or_default();
    let names: Vec<String> = match path.as_str() {
        Some(s) => s.split('.').map(str::to_owned).collect(),
        None if is_sequence(&path) => items(&path)?.iter().map(text).collect(),
        None => return Err(err("`subelements` needs the key of a list: text or a list of texts")),
    };
    sub_elements(&value.unwrap_or_default(), &names, flag(skip_missing.as_ref(), false)).map(list)
}

fn extract(_: &mut State, call: Call) -> Result<Value, Error> {
    let [key, container, more] = call.bind(["item", "container", "morekeys"], 2)?;
    let mut keys = vec![key.unwrap_or_default()];
    match more.filter(|m| !m.is_none()) {
        Some(m) if is_sequence(&m) => keys.extend(items(&m)?),
        Some(m) => keys.push(m),
        None => {}
    }
    let mut value = container.unwrap_or_default();
    for key in keys {
        if value.is_undefined() {
            return Err(call::undefined(format!("there is no key `{}`", text(&key))));
        }
        value = get(&value, &key)?.unwrap_or(Value::UNDEFINED);
    }
    Ok(value)
}

fn rekey_on_member(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, key, duplicates] = call.bind(["data", "key", "duplicates"], 2)?;
    let (value, key) = (value.unwrap_or_default(), key.unwrap_or_default());
    let overwrite = match opt_string(duplicates.as_ref(), "duplicates")?.as_deref() {
        None | Some("error") => false,
        Some("overwrite") => true,
        Some(other) => return Err(err(format!("`duplicates` is `error` or `overwrite`, not `{other}`"))),
    };
    let members = if is_mapping(&value) {
        pairs(&value)?.into_iter().map(|(_, v)| v).collect()
    } else if is_sequence(&value) {
        items(&value)?
    } else {
        return Err(err(format!("`rekey_on_member` takes a mapping or a list, not {}", type_name(&value))));
    };
    let mut out: IndexMap<Value, Value> = IndexMap::new();
    for member in members {
        if !is_mapping(&member) {
            return Err(err(format!("`rekey_on_member` takes mappings, one item is {}", type_name(&member))));
        }
        let Some(name) = get(&member, &key)? else {
            return Err(err(format!("there is no key `{}` in {}", text(&key), repr(&member))));
        };
        if !overwrite && out.get(&name).is_some_and(truth) {
            return Err(err(format!("the key `{}` occurs twice", text(&name))));
        }
        out.insert(name, member);
    }
    Ok(Value::from_object(out))
}
