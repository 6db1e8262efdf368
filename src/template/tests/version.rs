//! The `version` test: loose, strict, semantic and PEP 440 versions.

use std::cmp::Ordering;

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, opt_string, text};

pub const TESTS: &[Entry] = &[("version", version), ("version_compare", version)];

fn version(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, other, operator, strict, kind] =
        call.bind(["value", "version", "operator", "strict", "version_type"], 2)?;
    let (value, other) = (text(&value.unwrap_or_default()), text(&other.unwrap_or_default()));
    let operator = opt_string(operator.as_ref(), "operator")?.unwrap_or_else(|| "eq".into());
    let kind = opt_string(kind.as_ref(), "version_type")?;
    let strict = strict.filter(|s| !s.is_none());
    if strict.is_some() && kind.is_some() {
        return Err(err("`version` takes `strict` or `version_type`, not both"));
    }
    if value.is_empty() || other.is_empty() {
        return Err(err("`version` can't compare an empty version"));
    }
    let kind = kind.unwrap_or_else(|| if flag(strict.as_ref(), false) { "strict".into() } else { "loose".into() });
    let order = match kind.as_str() {
        "loose" => loose(&value, &other)?,
        "strict" => strict_version(&value)?.cmp(&strict_version(&other)?),
        "semver" | "semantic" => semantic(&value)?.cmp(&semantic(&other)?),
        "pep440" => pep440(&value)?.cmp(&pep440(&other)?),
        other => {
            return Err(err(format!(
                "`version_type` is one of `loose`, `strict`, `semver`, `semantic`, `pep440`, not `{other}`"
            )));
        }
    };
    Ok(Value::from(match operator.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        other => return Err(err(format!("`{other}` is no operator of `version`"))),
    }))
}

/// A part of a loose version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Number(u128),
    Word(String),
}

fn loose_parts(s: &str) -> Vec<Part> {
    let mut out = vec![];
    let mut other = String::new();
    let chars: Vec<char> = s.chars().collect();
    let mut i = 0;
    let flush = |other: &mut String, out: &mut Vec<Part>| {
        if !other.is_empty() {
            out.push(Part::Word(std::mem::take(other)));
        }
    };
    while i < chars.len() {
        let c = chars[i];
        if c.is_ascii_digit() || c.is_ascii_lowercase() {
            flush(&mut other, &mut out);
            let end = chars[i..]
                .iter()
                .position(|d| {
                    d.is_ascii_digit() != c.is_ascii_digit() || d.is_ascii_lowercase() != c.is_ascii_lowercase()
                })
                .map_or(chars.len(), |n| i + n);
            let run: String = chars[i..end].iter().collect();
            out.push(run.parse().map_or_else(|_| Part::Word(run.clone()), Part::Number));
            i = end;
            continue;
        }
        if c == '.' {
            flush(&mut other, &mut out)
        } else {
            other.push(c)
        }
        i += 1;
    }
    flush(&mut other, &mut out);
    out
}

/// Compares two loose versions (`1.2b3`); a number against a word can't be compared.
pub fn loose(a: &str, b: &str) -> Result<Ordering, Error> {
    let (x, y) = (loose_parts(a), loose_parts(b));
    for (p, q) in x.iter().zip(&y) {
        let order = match (p, q) {
            (Part::Number(p), Part::Number(q)) => p.cmp(q),
            (Part::Word(p), Part::Word(q)) => p.cmp(q),
            _ => {
                return Err(err(format!(
                    "the versions `{a}` and `{b}` can't be compared: a number stands against a word"
                )));
            }
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(x.len().cmp(&y.len()))
}

type Strict = ([u64; 3], bool, char, u64);

fn strict_version(s: &str) -> Result<Strict, Error> {
    let fail = || err(format!("`{s}` is no strict version (1.2, 1.2.3, 1.2a1)"));
    let (numbers, pre) = match s.find(['a', 'b']) {
        Some(i) => (&s[..i], Some(&s[i..])),
        None => (s, None),
    };
    let parts: Vec<u64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| fail())?;
    let numbers = match parts.as_slice() {
        [a, b] => [*a, *b, 0],
        [a, b, c] => [*a, *b, *c],
        _ => return Err(fail()),
    };
    match pre {
        None => Ok((numbers, true, 'z', 0)),
        Some(pre) => {
            let number = pre[1..].parse().map_err(|_| fail())?;
            Ok((numbers, false, pre.chars().next().unwrap_or('a'), number))
        }
    }
}

/// A semantic version's rank: numbers, then whether it is a release, then the pre-release's parts.
type Semantic = ([u64; 3], bool, Vec<(bool, u64, String)>);

fn semantic(s: &str) -> Result<Semantic, Error> {
    let fail = || err(format!("`{s}` is no semantic version"));
    let body = s.split_once('+').map_or(s, |(body, _)| body);
    let (numbers, pre) = body.split_once('-').map_or((body, None), |(n, p)| (n, Some(p)));
    let parse =
        |part: &str| -> Option<u64> { if part.len() > 1 && part.starts_with('0') { None } else { part.parse().ok() } };
    let parts: Vec<u64> = numbers.split('.').map(parse).collect::<Option<_>>().ok_or_else(fail)?;
    let [a, b, c] = parts.as_slice() else { return Err(fail()) };
    let mut rank = vec![];
    for part in pre.into_iter().flat_map(|p| p.split('.')) {
        if part.is_empty() || !part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(fail());
        }
        rank.push(match parse(part) {
            Some(n) => (false, n, String::new()),
            None => (true, 0, part.to_owned()),
        });
    }
    Ok(([*a, *b, *c], pre.is_none(), rank))
}

/// The rank of a PEP 440 version; missing parts stand where the specification puts them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pep440 {
    epoch: u64,
    release: Vec<u64>,
    pre: (i8, u64),
    post: i128,
    dev: i128,
    local: Vec<(bool, u64, String)>,
}

fn pep440(s: &str) -> Result<Pep440, Error> {
    let fail = || err(format!("`{s}` is no version after PEP 440"));
    let pattern = r"^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$";
    let lower = s.to_lowercase();
    let regex = crate::template::pyregex::PyRegex::new(pattern, Default::default()).map_err(|e| err(e.0))?;
    let found = regex.search(&lower).map_err(|e| err(e.0))?.ok_or_else(fail)?;
    let group = |n: usize| found.group(&lower, n);
    let number = |n: usize| group(n).filter(|g| !g.is_empty()).map_or(0, |g| g.parse::<u64>().unwrap_or(u64::MAX));
    let mut release: Vec<u64> =
        group(2).unwrap_or_default().split('.').map(|p| p.parse().unwrap_or(u64::MAX)).collect();
    while release.last() == Some(&0) {
        release.pop();
    }
    let has_post = group(5).is_some() || group(6).is_some();
    let dev = group(8).map(|_| number(9));
    let pre = match group(3).map(|p| p.as_bytes()[0]) {
        Some(b'a') => (0, number(4)),
        Some(b'b') => (1, number(4)),
        Some(_) => (2, number(4)),
        None if !has_post && dev.is_some() => (-1, 0),
        None => (3, 0),
    };
    Ok(Pep440 {
        epoch: number(1),
        release,
        pre,
        post: if has_post { i128::from(if group(5).is_some() { number(5) } else { number(7) }) } else { -1 },
        dev: dev.map_or(i128::MAX, i128::from),
        local: group(10)
            .into_iter()
            .flat_map(|l| l.split(['-', '_', '.']))
            .map(|p| p.parse().map_or_else(|_| (false, 0, p.to_owned()), |n| (true, n, String::new())))
            .collect(),
    })
}
