//! `regex_replace`, `regex_search`, `regex_findall`, `regex_escape`.

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, list, opt_integer, opt_string, string, text, tuple};
use crate::template::pyregex::{self, Flags, PyRegex, RegexError};

pub const FILTERS: &[Entry] = &[
    ("regex_replace", regex_replace),
    ("regex_search", regex_search),
    ("regex_findall", regex_findall),
    ("regex_escape", regex_escape),
];

fn failed(e: RegexError) -> Error {
    err(e.0)
}

fn compile(pattern: Option<Value>, ignorecase: Option<&Value>, multiline: Option<&Value>) -> Result<PyRegex, Error> {
    let flags = Flags { ignorecase: flag(ignorecase, false), multiline: flag(multiline, false), ..Flags::default() };
    let pattern = match pattern {
        Some(p) => string(&p, "pattern")?,
        None => String::new(),
    };
    PyRegex::new(&pattern, flags).map_err(failed)
}

fn regex_replace(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, pattern, replacement, ignorecase, multiline, count, mandatory] =
        call.bind(["value", "pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"], 0)?;
    let value = value.map(|v| text(&v)).unwrap_or_default();
    let regex = compile(pattern, ignorecase.as_ref(), multiline.as_ref())?;
    let replacement = match replacement {
        Some(r) => string(&r, "replacement")?,
        None => String::new(),
    };
    let count = usize::try_from(opt_integer(count.as_ref(), "count")?.unwrap_or(0)).unwrap_or(0);
    let (out, done) = regex.subn(&replacement, &value, count).map_err(failed)?;
    match opt_integer(mandatory.as_ref(), "mandatory_count")? {
        Some(wanted) if wanted != 0 && wanted != done as i64 => {
            Err(err(format!("`{}` should match {wanted} times, but it matches {done} times", regex.pattern())))
        }
        _ => Ok(Value::from(out)),
    }
}

/// A group argument of `regex_search`: `\1` or `\g<name>`.
fn group_number(regex: &PyRegex, argument: &str) -> Result<usize, Error> {
    let number = if let Some(rest) = argument.strip_prefix("\\g") {
        let name = rest.strip_prefix('<').and_then(|r| r.strip_suffix('>')).unwrap_or_default();
        regex.group_index(name)
    } else if let Some(rest) = argument.strip_prefix('\\') {
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    } else {
        return Err(err(format!("`regex_search` takes groups as `\\1` or `\\g<name>`, not `{argument}`")));
    };
    number
        .filter(|n| *n <= regex.group_count())
        .ok_or_else(|| err(format!("`{}` has no group `{argument}`", regex.pattern())))
}

fn regex_search(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = text(&call.subject()?);
    let mut named = call.named;
    let mut positional = call.positional;
    let pattern = if positional.is_empty() { named.shift_remove("regex") } else { Some(positional.remove(0)) };
    let Some(pattern) = pattern else { return Err(err("`regex_search` needs a pattern")) };
    let regex = compile(Some(pattern), named.get("ignorecase"), named.get("multiline"))?;
    let found = regex.search(&value).map_err(failed)?;
    let Some(found) = found else {
        for argument in &positional {
            let argument = string(argument, "group")?;
            // What looks like no group is an error in any case, a group that the pattern lacks only if it is found.
            let rest = argument.strip_prefix('\\').unwrap_or_default();
            if !rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.starts_with("g<") {
                group_number(&regex, &argument)?;
            }
        }
        return Ok(Value::from(()));
    };
    let group = |n: usize| found.group(&value, n).map_or_else(|| Value::from(()), Value::from);
    if positional.is_empty() {
        return Ok(group(0));
    }
    let mut out = vec![];
    for argument in &positional {
        out.push(group(group_number(&regex, &string(argument, "group")?)?));
    }
    Ok(list(out))
}

fn regex_findall(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, pattern, multiline, ignorecase] = call.bind(["value", "regex", "multiline", "ignorecase"], 2)?;
    let value = text(&value.unwrap_or_default());
    let regex = compile(pattern, ignorecase.as_ref(), multiline.as_ref())?;
    let all = regex.find_all(&value, usize::MAX).map_err(failed)?;
    let group = |m: &pyregex::Match, n: usize| Value::from(m.group(&value, n).unwrap_or(""));
    Ok(list(all.iter().map(|m| match regex.group_count() {
        0 => group(m, 0),
        1 => group(m, 1),
        n => tuple((1..=n).map(|i| group(m, i))),
    })))
}

fn regex_escape(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, kind] = call.bind(["string", "re_type"], 1)?;
    let value = text(&value.unwrap_or_default());
    match opt_string(kind.as_ref(), "re_type")?.as_deref() {
        None | Some("python") => Ok(Value::from(pyregex::escape(&value))),
        Some("posix_basic") => {
            let mut out = String::new();
            for c in value.chars() {
                if "[].^$*\\".contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }
            Ok(Value::from(out))
        }
        Some(other) => Err(err(format!("`regex_escape` knows the types `python` and `posix_basic`, not `{other}`"))),
    }
}
