//! Filters of the collection community.general that roles use.

use indexmap::IndexMap;
use minijinja::{Error, State, Value};

use super::mappings::{ListMerge, merge};
use super::sets::Seen;
use crate::template::args::{
    Call, Entry, err, flag, float, get, is_mapping, is_sequence, items, list, map, opt_string, pairs, string, text,
};
use crate::template::pyregex::{Flags, PyRegex};
use crate::template::tests::version::loose;
use crate::template::types::type_name;

pub const FILTERS: &[Entry] = &[
    ("version_sort", version_sort),
    ("dict", dict),
    ("dict_kv", dict_kv),
    ("counter", counter),
    ("crc32", crc32),
    ("groupby_as_dict", groupby_as_dict),
    ("lists_mergeby", lists_mergeby),
    ("lists_union", |_, c| lists(c, |all| all.iter().flatten().cloned().collect())),
    ("lists_intersect", |_, c| {
        lists(c, |all| all[0].iter().filter(|v| all[1..].iter().all(|o| o.contains(v))).cloned().collect())
    }),
    ("lists_difference", |_, c| {
        lists(c, |all| all[0].iter().filter(|v| all[1..].iter().all(|o| !o.contains(v))).cloned().collect())
    }),
    ("lists_symmetric_difference", |_, c| {
        lists(c, |all| {
            all.iter().fold(vec![], |done: Vec<Value>, next| {
                let mut out: Vec<Value> = done.iter().filter(|v| !next.contains(v)).cloned().collect();
                out.extend(next.iter().filter(|v| !done.contains(v)).cloned());
                out
            })
        })
    }),
    ("keep_keys", |_, c| keys(c, true)),
    ("remove_keys", |_, c| keys(c, false)),
    ("to_time_unit", |_, mut c| {
        let unit = if c.positional.len() > 1 {
            c.positional.remove(1)
        } else {
            c.named.shift_remove("unit").unwrap_or_else(|| Value::from("ms"))
        };
        time(c, &text(&unit))
    }),
    ("to_milliseconds", |_, c| time(c, "ms")),
    ("to_seconds", |_, c| time(c, "s")),
    ("to_minutes", |_, c| time(c, "m")),
    ("to_hours", |_, c| time(c, "h")),
    ("to_days", |_, c| time(c, "d")),
    ("to_weeks", |_, c| time(c, "w")),
    ("to_months", |_, c| time(c, "mo")),
    ("to_years", |_, c| time(c, "y")),
    ("from_ini", from_ini),
    ("from_csv", from_csv),
];

fn version_sort(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, reverse] = call.bind(["value", "reverse"], 1)?;
    let mut all = items(&value.unwrap_or_default())?;
    let mut failure = None;
    let reverse = flag(reverse.as_ref(), false);
    all.sort_by(|a, b| {
        let order = loose(&text(a), &text(b)).unwrap_or_else(|e| {
            failure = Some(e);
            std::cmp::Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    failure.map_or(Ok(list(all)), Err)
}

fn dict(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    let mut out = vec![];
    for pair in items(&value)? {
        match items(&pair)?.as_slice() {
            [k, v] => out.push((k.clone(), v.clone())),
            _ => return Err(err("`dict` takes a list of pairs")),
        }
    }
    Ok(map(out))
}

fn dict_kv(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, key] = call.bind(["value", "key"], 2)?;
    Ok(map([(key.unwrap_or_default(), value.unwrap_or_default())]))
}

fn counter(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let mut counts: IndexMap<Value, i64> = IndexMap::new();
    for item in items(&call.subject()?)? {
        *counts.entry(item).or_default() += 1;
    }
    Ok(map(counts.into_iter().map(|(k, n)| (k, Value::from(n)))))
}

fn crc32(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = string(&call.subject()?, "value")?;
    let mut crc = flate2::Crc::new();
    crc.update(value.as_bytes());
    Ok(Value::from(format!("{:x}", crc.sum())))
}

fn groupby_as_dict(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, by] = call.bind(["sequence", "attribute"], 2)?;
    let by = by.unwrap_or_default();
    let mut out: IndexMap<Value, Value> = IndexMap::new();
    for item in items(&value.unwrap_or_default())? {
        if !is_mapping(&item) {
            return Err(err(format!("`groupby_as_dict` takes mappings, one item is {}", type_name(&item))));
        }
        let Some(key) = get(&item, &by)? else {
            return Err(err(format!("there is no key `{}` in an item", text(&by))));
        };
        if out.insert(key.clone(), item).is_some() {
            return Err(err(format!("the key `{}` occurs twice", text(&key))));
        }
    }
    Ok(Value::from_object(out))
}

fn lists(call: Call, f: fn(&[Vec<Value>]) -> Vec<Value>) -> Result<Value, Error> {
    let mut values = call.positional;
    // one list of lists is as good as several lists
    if call.named.get("flatten").is_some_and(crate::template::args::truth) {
        values = values.iter().map(items).collect::<Result<Vec<_>, _>>()?.concat();
    }
    let all = values.iter().map(items).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Ok(list([]));
    }
    let mut seen = Seen::default();
    Ok(list(f(&all).into_iter().filter(|v| seen.add(v))))
}

fn lists_mergeby(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let recursive = flag(call.named.shift_remove("recursive").as_ref(), false);
    let how: ListMerge = opt_string(call.named.shift_remove("list_merge").as_ref(), "list_merge")?
        .as_deref()
        .unwrap_or("replace")
        .parse()?;
    let Some(by) = call.positional.pop() else { return Err(err("`lists_mergeby` needs the key to merge by")) };
    let mut lists = vec![];
    for value in &call.positional {
        let all = items(value)?;
        if all.first().is_some_and(is_sequence) {
            for inner in all {
                lists.push(items(&inner)?);
            }
        } else {
            lists.push(all);
        }
    }
    let mut out: IndexMap<Value, Value> = IndexMap::new();
    for item in lists.into_iter().flatten() {
        // items without the key are left out
        let Some(key) = get(&item, &by)? else { continue };
        let merged = match out.get(&key) {
            Some(old) => merge(old, &item, recursive, how)?,
            None => item,
        };
        out.insert(key, merged);
    }
    let mut keyed: Vec<(Value, Value)> = out.into_iter().collect();
    keyed.sort_by(|(a, _), (b, _)| super::choose::compare(a, b).unwrap_or(std::cmp::Ordering::Equal));
    Ok(list(keyed.into_iter().map(|(_, v)| v)))
}

fn keys(call: Call, keep: bool) -> Result<Value, Error> {
    let [value, target, matching] = call.bind(["data", "target", "matching_parameter"], 2)?;
    let target = target.unwrap_or_default();
    let targets: Vec<String> =
        if is_sequence(&target) { items(&target)?.iter().map(text).collect() } else { vec![text(&target)] };
    let matching = opt_string(matching.as_ref(), "matching_parameter")?.unwrap_or_else(|| "equal".into());
    let regexes = match matching.as_str() {
        "regex" => targets
            .iter()
            .map(|t| PyRegex::new(t, Flags::default()).map_err(|e| err(e.0)))
            .collect::<Result<Vec<_>, _>>()?,
        _ => vec![],
    };
    let hit = |key: &str| -> Result<bool, Error> {
        Ok(match matching.as_str() {
            "equal" => targets.iter().any(|t| t == key),
            "starts_with" => targets.iter().any(|t| key.starts_with(t.as_str())),
            "ends_with" => targets.iter().any(|t| key.ends_with(t.as_str())),
            "regex" => regexes.iter().any(|r| matches!(r.match_start(key), Ok(Some(_)))),
            other => {
                return Err(err(format!(
                    "`matching_parameter` is `equal`, `starts_with`, `ends_with` or `regex`, not `{other}`"
                )));
            }
        })
    };
    let mut out = vec![];
    for item in items(&value.unwrap_or_default())? {
        let mut kept = vec![];
        for (key, value) in pairs(&item)? {
            if hit(&text(&key))? == keep {
                kept.push((key, value));
            }
        }
        out.push(map(kept));
    }
    Ok(list(out))
}

/// Milliseconds of a unit: its long and short names.
fn unit_size(unit: &str, year: f64, month: f64) -> Option<f64> {
    const DAY: f64 = 86_400_000.0;
    Some(match unit.to_lowercase().trim_end_matches('s') {
        "m" if unit.starts_with('m') && unit.to_lowercase() == "ms" => 1.0,
        "msec" | "msecond" | "millisecond" | "milli" => 1.0,
        "" | "sec" | "second" if !unit.is_empty() => 1000.0,
        "m" | "min" | "minute" => 60_000.0,
        "h" | "hour" => 3_600_000.0,
        "d" | "day" => DAY,
        "w" | "week" => 7.0 * DAY,
        "mo" | "month" => month * DAY,
        "y" | "year" => year * DAY,
        _ => return None,
    })
}

fn time(call: Call, unit: &str) -> Result<Value, Error> {
    let [value, year, month] = call.bind(["human_time", "year", "month"], 1)?;
    let value = value.unwrap_or_default();
    let year = year.as_ref().and_then(float).unwrap_or(365.0);
    let month = month.as_ref().and_then(float).unwrap_or(30.0);
    let Some(size) = unit_size(unit, year, month) else { return Err(err(format!("`{unit}` is no unit of time"))) };
    if value == Value::from(0) || value.as_str() == Some("0") {
        return Ok(Value::from(0));
    }
    let s = text(&value);
    let mut total = 0.0;
    for part in s.split_whitespace() {
        let cut = part.find(|c: char| c.is_alphabetic()).unwrap_or(part.len());
        let amount: f64 = part[..cut].parse().map_err(|_| err(format!("`{part}` is no span of time")))?;
        let part_size =
            unit_size(&part[cut..], year, month).ok_or_else(|| err(format!("`{part}` has no known unit of time")))?;
        total += amount * part_size;
    }
    Ok(Value::from((total / size * 1e12).round() / 1e12))
}

fn from_ini(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let content = string(&call.subject()?, "obj")?;
    let sections = crate::template::lookups::parse_ini(&content)?;
    Ok(map(sections.into_iter().map(|(name, entries)| {
        (Value::from(name), map(entries.into_iter().map(|(k, v)| (Value::from(k), Value::from(v)))))
    })))
}

fn from_csv(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, _dialect, names, delimiter, _skip, _strict] =
        call.bind(["data", "dialect", "fieldnames", "delimiter", "skipinitialspace", "strict"], 1)?;
    let content = string(&value.unwrap_or_default(), "data")?;
    let delimiter = opt_string(delimiter.as_ref(), "delimiter")?.and_then(|d| d.chars().next()).unwrap_or(',');
    let mut rows = crate::template::lookups::csv_rows(&content, delimiter).into_iter();
    let names: Vec<String> = match names.filter(|n| !n.is_none()) {
        Some(names) => items(&names)?.iter().map(text).collect(),
        None => rows.next().unwrap_or_default(),
    };
    Ok(list(rows.map(|row| map(names.iter().zip(row).map(|(k, v)| (Value::from(k.as_str()), Value::from(v)))))))
}
