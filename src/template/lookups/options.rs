//! The options of a lookup: given by name, or within the term (`lookup('csvfile', 'key file=x.csv col=2')`).

use indexmap::IndexMap;
use minijinja::{Error, Value};

use crate::template::args::{err, flag, opt_integer, opt_string, text};

/// Options by name.
pub type Options = IndexMap<String, Value>;

/// Refuses an option the lookup does not have.
pub fn only(options: &Options, lookup: &str, known: &[&str]) -> Result<(), Error> {
    for name in options.keys() {
        if !known.contains(&name.as_str()) && !name.starts_with('_') {
            let near = crate::problem::nearest(name, known.iter().copied());
            let hint = near.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default();
            return Err(err(format!("the lookup `{lookup}` has no option `{name}`{hint}")));
        }
    }
    Ok(())
}

pub fn string(options: &Options, name: &str) -> Result<Option<String>, Error> {
    opt_string(options.get(name), name)
}

pub fn boolean(options: &Options, name: &str, default: bool) -> bool {
    match options.get(name) {
        Some(value) if value.as_str().is_some() => crate::template::filters::ansible_bool(value),
        value => flag(value, default),
    }
}

/// A number, also written as text.
pub fn number(options: &Options, name: &str) -> Result<Option<i64>, Error> {
    match options.get(name) {
        Some(value) if value.as_str().is_some() => {
            text(value).trim().parse().map(Some).map_err(|_| err(format!("`{name}` must be a whole number")))
        }
        value => opt_integer(value, name),
    }
}

/// Splits a term into what it asks for and the options within it; those of `known` that are given by name stay as they are.
pub fn split_term(term: &str, options: &Options, known: &[&str]) -> Result<(String, Options), Error> {
    let mut all = options.clone();
    let mut words = vec![];
    for word in shell_words(term) {
        match word.split_once('=') {
            Some((name, value)) if known.contains(&name) => {
                all.insert(name.to_owned(), Value::from(value));
            }
            Some((name, _)) if !words.is_empty() => {
                return Err(err(format!("`{name}` is no option of this lookup")));
            }
            _ => words.push(word),
        }
    }
    Ok((words.join(" "), all))
}

/// Words of a text, quotes kept together and taken off.
pub fn shell_words(text: &str) -> Vec<String> {
    let mut out = vec![];
    let mut word = String::new();
    let (mut quote, mut open) = (None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                open = true;
            }
            (None, c) if c.is_whitespace() => {
                if open {
                    out.push(std::mem::take(&mut word));
                    open = false;
                }
            }
            (_, c) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        out.push(word);
    }
    out
}
