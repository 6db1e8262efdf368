//! Set arithmetic on lists, and the ways to combine lists item by item.

use std::collections::HashSet;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, integer, items, list, opt_integer, tuple};

pub const FILTERS: &[Entry] = &[
    ("union", |_, c| set_filter(c, |a, b| a || b)),
    ("intersect", |_, c| set_filter(c, |a, b| a && b)),
    ("difference", |_, c| set_filter(c, |a, b| a && !b)),
    ("symmetric_difference", |_, c| set_filter(c, |a, b| a != b)),
    ("zip", zip),
    ("zip_longest", zip_longest),
    ("product", product),
    ("permutations", permutations),
    ("combinations", combinations),
];

/// Remembers values by Python's equality (1, 1.0 and True are one).
#[derive(Debug, Default)]
pub struct Seen {
    texts: HashSet<String>,
    others: Vec<Value>,
}

impl Seen {
    pub fn of(values: &[Value]) -> Self {
        let mut seen = Self::default();
        for value in values {
            seen.add(value);
        }
        seen
    }

    pub fn has(&self, value: &Value) -> bool {
        match value.as_str() {
            Some(s) => self.texts.contains(s),
            None => self.others.contains(value),
        }
    }

    /// False if it was there already.
    pub fn add(&mut self, value: &Value) -> bool {
        if self.has(value) {
            return false;
        }
        match value.as_str() {
            Some(s) => {
                self.texts.insert(s.to_owned());
            }
            None => self.others.push(value.clone()),
        }
        true
    }
}

/// The order of Ansible's result: that of a Python set. For whole numbers it is fixed, so it is reproduced; for texts Python's order
/// differs from run to run, and the order of first appearance is one of the possible ones. Lists and mappings keep their order there too.
fn in_set_order(values: Vec<Value>) -> Vec<Value> {
    let numbers: Option<Vec<i64>> = values
        .iter()
        .map(|v| match v.kind() {
            ValueKind::Number if v.is_integer() => v.as_i64(),
            _ => None,
        })
        .collect();
    match numbers {
        Some(numbers) if numbers.len() > 1 => python_set_order(&numbers).into_iter().map(Value::from).collect(),
        _ => values,
    }
}

/// Where a set of whole numbers puts them: hash is the number (modulo 2^61-1, -1 is -2), open addressing with linear runs.
fn python_set_order(numbers: &[i64]) -> Vec<i64> {
    const MODULUS: i128 = (1 << 61) - 1;
    let hash = |n: i64| -> u64 {
        let h = (i128::from(n).abs() % MODULUS) as i64 * n.signum();
        (if h == -1 { -2 } else { h }) as u64
    };
    fn insert(table: &mut [Option<i64>], n: i64, hash: u64) -> bool {
        let mask = table.len() as u64 - 1;
        let (mut perturb, mut i) = (hash, hash & mask);
        loop {
            let run = if i + 9 <= mask { 9 } else { 0 };
            for j in 0..=run {
                let slot = &mut table[(i + j) as usize];
                match slot {
                    None => {
                        *slot = Some(n);
                        return true;
                    }
                    Some(other) if *other == n => return false,
                    Some(_) => {}
                }
            }
            perturb >>= 5;
            i = (i.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb)) & mask;
        }
    }
    let mut table: Vec<Option<i64>> = vec![None; 8];
    let mut used = 0usize;
    for n in numbers {
        if insert(&mut table, *n, hash(*n)) {
            used += 1;
            if used * 5 >= (table.len() - 1) * 3 {
                let wanted = if used > 50_000 { used * 2 } else { used * 4 };
                let mut size = 8;
                while size <= wanted {
                    size <<= 1;
                }
                let mut larger = vec![None; size];
                for old in table.into_iter().flatten() {
                    insert(&mut larger, old, hash(old));
                }
                table = larger;
            }
        }
    }
    table.into_iter().flatten().collect()
}

fn set_filter(call: Call, keep: fn(bool, bool) -> bool) -> Result<Value, Error> {
    let [a, b] = call.bind(["a", "b"], 2)?;
    let (a, b) = (items(&a.unwrap_or_default())?, items(&b.unwrap_or_default())?);
    let (in_a, in_b) = (Seen::of(&a), Seen::of(&b));
    let mut seen = Seen::default();
    let kept: Vec<Value> = a.into_iter().chain(b).filter(|v| keep(in_a.has(v), in_b.has(v)) && seen.add(v)).collect();
    Ok(list(in_set_order(kept)))
}

/// The rows of several lists side by side, up to the shortest, or to the longest with a filler.
pub fn zipped(lists: &[Vec<Value>], fill: Option<&Value>) -> Vec<Value> {
    let lengths = lists.iter().map(Vec::len);
    let rows = if fill.is_some() { lengths.max() } else { lengths.min() }.unwrap_or(0);
    (0..rows).map(|i| tuple(lists.iter().map(|l| l.get(i).or(fill).cloned().unwrap_or_default()))).collect()
}

fn all_items(values: &[Value]) -> Result<Vec<Vec<Value>>, Error> {
    values.iter().map(items).collect()
}

fn zip(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let strict = call.named.shift_remove("strict");
    let lists = all_items(&call.positional)?;
    if crate::template::args::flag(strict.as_ref(), false) && lists.windows(2).any(|w| w[0].len() != w[1].len()) {
        return Err(err("`zip` was asked to be strict, and the lists differ in length"));
    }
    Ok(list(zipped(&lists, None)))
}

fn zip_longest(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let fill = call.named.shift_remove("fillvalue").unwrap_or_else(|| Value::from(()));
    if let Some(name) = call.named.keys().next() {
        return Err(err(format!("`zip_longest` has no argument `{name}`, only `fillvalue`")));
    }
    Ok(list(zipped(&all_items(&call.positional)?, Some(&fill))))
}

/// The cartesian product, the last list running fastest.
pub fn cartesian(lists: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let mut rows = vec![vec![]];
    for items in lists {
        rows = rows
            .into_iter()
            .flat_map(|row: Vec<Value>| {
                items.iter().map(move |item| {
                    let mut next = row.clone();
                    next.push(item.clone());
                    next
                })
            })
            .collect();
    }
    rows
}

fn product(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let repeat = opt_integer(call.named.shift_remove("repeat").as_ref(), "repeat")?.unwrap_or(1);
    let lists = all_items(&call.positional)?;
    let mut all = vec![];
    for _ in 0..repeat.max(0) {
        all.extend(lists.iter().cloned());
    }
    // Of so many rows a run would see none before its memory ends.
    let rows = all.iter().try_fold(1_usize, |rows, list| rows.checked_mul(list.len()));
    if rows.is_none_or(|rows| rows.saturating_mul(all.len()) > crate::template::eval::ops::MAX_SIZE / 8) {
        return Err(err("the result of `product` is too large"));
    }
    Ok(list(cartesian(&all).into_iter().map(tuple)))
}

/// The index rows of all choices of `r` out of `n`, in the order of positions.
fn choices(n: usize, r: usize, ordered: bool) -> Vec<Vec<usize>> {
    fn walk(n: usize, r: usize, ordered: bool, row: &mut Vec<usize>, out: &mut Vec<Vec<usize>>) {
        if row.len() == r {
            out.push(row.clone());
            return;
        }
        let start = if ordered { 0 } else { row.last().map_or(0, |l| l + 1) };
        for i in start..n {
            if !ordered || !row.contains(&i) {
                row.push(i);
                walk(n, r, ordered, row, out);
                row.pop();
            }
        }
    }
    let mut out = vec![];
    walk(n, r, ordered, &mut vec![], &mut out);
    out
}

fn chosen(value: &Value, r: usize, ordered: bool) -> Result<Value, Error> {
    let items = items(value)?;
    Ok(list(choices(items.len(), r, ordered).into_iter().map(|row| tuple(row.into_iter().map(|i| items[i].clone())))))
}

fn size(value: i64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| err("`r` must not be negative"))
}

fn permutations(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, r] = call.bind(["iterable", "r"], 1)?;
    let value = value.unwrap_or_default();
    let r = match opt_integer(r.as_ref(), "r")? {
        Some(r) => size(r)?,
        None => items(&value)?.len(),
    };
    chosen(&value, r, true)
}

fn combinations(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, r] = call.bind(["iterable", "r"], 2)?;
    chosen(&value.unwrap_or_default(), size(integer(&r.unwrap_or_default(), "r")?)?, false)
}
