//! Lookups that only rearrange what they are given; `with_items`, `with_dict` … rest on them.

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::boolean;
use crate::template::Context;
use crate::template::args::{self, err, is_mapping, is_sequence, map, pairs, text, tuple};
use crate::template::filters::{mappings, random, sets};
use crate::template::types::type_name;

/// One level of lists inside the terms opened.
fn flat(terms: &[Value]) -> Result<Vec<Value>, Error> {
    let mut out = vec![];
    for term in terms {
        if is_sequence(term) { out.extend(args::items(term)?) } else { out.push(term.clone()) }
    }
    Ok(out)
}

pub fn items(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    flat(terms)
}

pub fn list(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    Ok(terms.to_vec())
}

pub fn flattened(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    mappings::flattened(&args::list(terms.iter().cloned()), None, true)
}

pub fn dict(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    let mut out = vec![];
    for term in terms {
        if !is_mapping(term) {
            return Err(err(format!("`dict` takes mappings, not {}", type_name(term))));
        }
        for (key, value) in pairs(term)? {
            out.push(map([(Value::from("key"), key), (Value::from("value"), value)]));
        }
    }
    Ok(out)
}

/// A term of `nested` or `together` as a list.
fn as_list(term: &Value) -> Result<Vec<Value>, Error> {
    if is_sequence(term) { args::items(term) } else { Ok(vec![term.clone()]) }
}

pub fn nested(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    if terms.is_empty() {
        return Err(err("`nested` needs at least one list"));
    }
    let lists = terms.iter().map(as_list).collect::<Result<Vec<_>, _>>()?;
    sets::cartesian(&lists).iter().map(|row| Ok(args::list(flat(row)?))).collect()
}

pub fn together(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    if terms.is_empty() {
        return Err(err("`together` needs at least one list"));
    }
    let lists = terms.iter().map(as_list).collect::<Result<Vec<_>, _>>()?;
    let rows = sets::zipped(&lists, Some(&Value::from(())));
    rows.iter().map(|row| Ok(args::list(flat(&args::items(row)?)?))).collect()
}

pub fn indexed_items(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    Ok(flat(terms)?.into_iter().enumerate().map(|(i, item)| tuple([Value::from(i), item])).collect())
}

pub fn random_choice(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    if terms.is_empty() {
        return Ok(vec![]);
    }
    let chosen = random::PyRandom::system().below(terms.len() as u64) as usize;
    Ok(vec![terms[chosen].clone()])
}

pub fn subelements(_: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    let (subject, path, flags) = match terms {
        [subject, path] => (subject, path, None),
        [subject, path, flags] => (subject, path, Some(flags)),
        _ => return Err(err("`subelements` takes a list, the key of a list in its items, and perhaps flags")),
    };
    let mut skip_missing = false;
    if let Some(flags) = flags {
        if !is_mapping(flags) {
            return Err(err("the flags of `subelements` are a mapping with `skip_missing`"));
        }
        let flags: IndexMap<String, Value> = pairs(flags)?.into_iter().map(|(k, v)| (text(&k), v)).collect();
        super::options::only(&flags, "subelements", &["skip_missing"])?;
        skip_missing = boolean(&flags, "skip_missing", false);
    }
    let Some(path) = path.as_str() else { return Err(err("`subelements` needs the key of a list as text")) };
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    let elements: Vec<Value> =
        if is_mapping(subject) { pairs(subject)?.into_iter().map(|(_, v)| v).collect() } else { args::items(subject)? };
    // items of a loop that were skipped have no elements
    let mut kept = vec![];
    for element in elements {
        let skipped =
            is_mapping(&element) && args::get(&element, &Value::from("skipped"))?.is_some_and(|v| args::truth(&v));
        if !skipped {
            kept.push(element);
        }
    }
    let rows = mappings::sub_elements(&args::list(kept), &path, skip_missing)?;
    // unlike the filter, the lookup gives the items without the list
    rows.iter()
        .map(|row| {
            let row = args::items(row)?;
            Ok(tuple([without(&row[0], &path)?, row[1].clone()]))
        })
        .collect()
}

fn without(value: &Value, path: &[String]) -> Result<Value, Error> {
    let [key, rest @ ..] = path else { return Ok(value.clone()) };
    let mut out = vec![];
    for (name, item) in pairs(value)? {
        if name.as_str() != Some(key) {
            out.push((name, item));
        } else if !rest.is_empty() {
            out.push((name, without(&item, rest)?));
        }
    }
    Ok(map(out))
}
