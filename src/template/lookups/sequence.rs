//! `sequence`: numbers from start to end, as text.

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::{number, only, shell_words};
use crate::template::Context;
use crate::template::args::{err, text};
use crate::template::pyformat;
use crate::template::types::type_name;

const OPTIONS: [&str; 5] = ["start", "end", "count", "stride", "format"];

pub fn sequence(_: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "sequence", &OPTIONS)?;
    let mut out = vec![];
    if terms.is_empty() {
        run(options, &mut out)?;
    }
    for term in terms {
        if term.as_str().is_none() {
            return Err(err(format!("`sequence` needs text such as `count=3`, not {}", type_name(term))));
        }
        let mut own = options.clone();
        own.extend(parse(&text(term))?);
        run(&own, &mut out)?;
    }
    Ok(out)
}

/// `start=1 end=5 stride=2 format=x%d`, or `1-5/2:x%d`.
fn parse(term: &str) -> Result<IndexMap<String, Value>, Error> {
    let mut options = IndexMap::new();
    if term.contains('=') {
        for word in shell_words(term) {
            match word.split_once('=') {
                Some((name, value)) if OPTIONS.contains(&name) => options.insert(name.to_owned(), Value::from(value)),
                _ => return Err(err(format!("`{word}` is no argument of `sequence`"))),
            };
        }
        return Ok(options);
    }
    let (range, format) = term.split_once(':').map_or((term, None), |(r, f)| (r, Some(f)));
    let (range, stride) = range.split_once('/').map_or((range, None), |(r, s)| (r, Some(s)));
    let (start, end) = range.split_once('-').map_or((None, range), |(s, e)| (Some(s), e));
    for (name, value) in [("start", start), ("end", Some(end)), ("stride", stride), ("format", format)] {
        if let Some(value) = value {
            options.insert(name.to_owned(), Value::from(value));
        }
    }
    Ok(options)
}

fn run(options: &IndexMap<String, Value>, out: &mut Vec<Value>) -> Result<(), Error> {
    let start = number(options, "start")?.unwrap_or(1);
    let stride = number(options, "stride")?.unwrap_or(1);
    let format = super::options::string(options, "format")?.unwrap_or_else(|| "%d".into());
    let end = match (number(options, "end")?, number(options, "count")?) {
        (Some(_), Some(_)) => return Err(err("`sequence` takes `end` or `count`, not both")),
        (Some(end), None) => end,
        (None, Some(0)) => return Ok(()),
        (None, Some(count)) => start + count * stride - stride.signum(),
        (None, None) => return Err(err("`sequence` needs `end` or `count`")),
    };
    if stride == 0 {
        return Ok(());
    }
    if stride > 0 && end < start {
        return Err(err("to count backwards `sequence` needs a negative stride"));
    }
    if stride < 0 && end > start {
        return Err(err("to count forwards `sequence` needs a positive stride"));
    }
    if (end - start).abs() / stride.abs() > 10_000_000 {
        return Err(err("`sequence` would be longer than ten million numbers"));
    }
    let mut n = start;
    while (stride > 0 && n <= end) || (stride < 0 && n >= end) {
        out.push(Value::from(pyformat::percent(&format, &Value::from(n))?));
        n += stride;
    }
    Ok(())
}
