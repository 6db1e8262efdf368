//! `password`: a random password, made once and kept in a file on the control machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::{Options, number, only, split_term, string};
use crate::template::Context;
use crate::template::args::{err, items, text};
use crate::template::filters::crypt::{Method, crypt, random_salt};
use crate::template::filters::expand_user;
use crate::template::filters::random::PyRandom;

const OPTIONS: [&str; 5] = ["length", "encrypt", "chars", "ident", "seed"];

pub fn password(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "password", &OPTIONS)?;
    terms.iter().map(|term| one(context, &text(term), options)).collect()
}

fn one(context: &Context, term: &str, options: &Options) -> Result<Value, Error> {
    let (path, options) = split_term(term, options, &OPTIONS)?;
    let path = expand_user(&path);
    let length =
        usize::try_from(number(&options, "length")?.unwrap_or(20)).map_err(|_| err("`length` must not be negative"))?;
    let encrypt = string(&options, "encrypt")?;
    let keep = path != "/dev/null";
    let path = if path.starts_with('/') { PathBuf::from(path) } else { context.paths().playbook_dir.join(path) };
    let stored = if keep { fs::read_to_string(&path).ok() } else { None };
    let (mut password, mut salt) = match &stored {
        Some(content) => parse(content),
        None => (String::new(), None),
    };
    if stored.is_none() {
        let chars = alphabet(options.get("chars"))?;
        let mut random = match options.get("seed").filter(|s| !s.is_none()) {
            Some(seed) => PyRandom::seeded(seed)?,
            None => PyRandom::system(),
        };
        password = (0..length).map(|_| chars[random.below(chars.len() as u64) as usize]).collect();
    }
    let Some(kind) = encrypt else {
        if keep && stored.is_none() {
            write(&path, &password)?;
        }
        return Ok(Value::from(password));
    };
    let Some(method) = Method::by_name(&kind) else {
        return Err(crate::template::call::unsupported(format!("`encrypt={kind}` of the lookup `password`")));
    };
    let fresh = salt.is_none();
    let salt = salt.take().unwrap_or_else(|| random_salt(method.salt_size()));
    if keep && (fresh || stored.is_none()) {
        write(&path, &format!("{password} salt={salt}"))?;
    }
    crypt(method, password.as_bytes(), &salt, None).map(Value::from).map_err(err)
}

/// `password`, or `password salt=…` and perhaps `ident=…` behind it.
fn parse(content: &str) -> (String, Option<String>) {
    let content = content.trim_end();
    match content.rfind(" salt=") {
        Some(at) => {
            let salt = &content[at + 6..];
            (content[..at].to_owned(), Some(salt.split(' ').next().unwrap_or_default().to_owned()))
        }
        None => (content.to_owned(), None),
    }
}

fn write(path: &Path, content: &str) -> Result<(), Error> {
    let failed = |e: std::io::Error| err(format!("can't write `{}`: {e}", path.display()));
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)
}

/// The characters to draw from: names of Python's `string` module or characters themselves.
fn alphabet(chars: Option<&Value>) -> Result<Vec<char>, Error> {
    let names: Vec<String> = match chars.filter(|c| !c.is_none()) {
        None => vec!["ascii_letters".into(), "digits".into(), ".,:-_".into()],
        Some(value) => match value.as_str() {
            Some(s) => {
                // `,,` stands for a comma
                let mut parts: Vec<String> =
                    s.replace(",,", ",").split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect();
                if s.contains(",,") {
                    parts.push(",".into());
                }
                parts
            }
            None => items(value)?.iter().map(text).collect(),
        },
    };
    let mut out = vec![];
    for name in names {
        let set: String = match name.as_str() {
            "ascii_letters" => ('a'..='z').chain('A'..='Z').collect(),
            "ascii_lowercase" => ('a'..='z').collect(),
            "ascii_uppercase" => ('A'..='Z').collect(),
            "digits" => ('0'..='9').collect(),
            "hexdigits" => "0123456789abcdefABCDEF".into(),
            "octdigits" => "01234567".into(),
            "punctuation" => "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".into(),
            other => other.to_owned(),
        };
        out.extend(set.chars().filter(|c| *c != '"' && *c != '\''));
    }
    if out.is_empty() { Err(err("`chars` of the lookup `password` holds no characters")) } else { Ok(out) }
}
