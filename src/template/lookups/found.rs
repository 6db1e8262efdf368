//! `first_found`: the first of several files that exists.

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::{Options, boolean};
use crate::template::Context;
use crate::template::args::{err, is_mapping, is_sequence, items, pairs, text};
use crate::template::filters::expand_user;
use crate::template::filters::paths::join;

/// Where files are looked for if the task does not say (`_subdir`).
const FOLDERS: [&str; 4] = ["files", "templates", "vars", "tasks"];

pub fn first_found(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    let (mut candidates, mut skip) = (vec![], boolean(options, "skip", false));
    for term in terms {
        collect(term, options, &mut candidates, &mut skip)?;
    }
    if terms.is_empty() {
        spread(options, &[], &mut candidates)?;
    }
    let folders: Vec<String> = match super::options::string(options, "_subdir")? {
        Some(folder) => vec![folder],
        None => FOLDERS.iter().map(|f| (*f).to_owned()).collect(),
    };
    for candidate in &candidates {
        let name = expand_user(candidate);
        for folder in &folders {
            if let Ok(found) = context.paths().find(folder, &name) {
                let path = found.display().to_string();
                return Ok(vec![Value::from(crate::template::filters::paths::normpath(&path))]);
            }
        }
    }
    if skip {
        return Ok(vec![]);
    }
    Err(err(format!("none of these files exists: {}", candidates.join(", "))))
}

fn collect(term: &Value, options: &Options, candidates: &mut Vec<String>, skip: &mut bool) -> Result<(), Error> {
    if let Some(name) = term.as_str() {
        return spread(options, &[name.to_owned()], candidates);
    }
    if is_mapping(term) {
        let mut own: Options = options.clone();
        own.extend(pairs(term)?.into_iter().map(|(k, v)| (text(&k), v)));
        *skip |= boolean(&own, "skip", false);
        return spread(&own, &[], candidates);
    }
    if is_sequence(term) {
        for item in items(term)? {
            collect(&item, options, candidates, skip)?;
        }
        return Ok(());
    }
    Err(err("`first_found` takes names of files, lists of them, or mappings with `files` and `paths`"))
}

/// Every path with every file.
fn spread(options: &Options, names: &[String], candidates: &mut Vec<String>) -> Result<(), Error> {
    let files = if names.is_empty() { texts(options.get("files"), &[',', ';'])? } else { names.to_vec() };
    let paths = texts(options.get("paths"), &[',', ':', ';'])?;
    match (files.is_empty(), paths.is_empty()) {
        (_, true) => candidates.extend(files),
        (true, false) => candidates.extend(paths),
        _ => {
            for path in &paths {
                for file in &files {
                    candidates.push(join(&[path, file]));
                }
            }
        }
    }
    Ok(())
}

fn texts(value: Option<&Value>, separators: &[char]) -> Result<Vec<String>, Error> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Ok(vec![]) };
    if let Some(s) = value.as_str() {
        return Ok(s.split(|c| separators.contains(&c)).map(str::to_owned).collect());
    }
    let mut out = vec![];
    for item in items(value)? {
        out.extend(texts(Some(&item), separators)?);
    }
    Ok(out)
}
