//! Random expressions: mostly of the kind asked for, so that most of them have a value.

use serde_json::{Map, Value, json};

use super::rng::Rng;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Int,
    Text,
    Bool,
    List,
    Dict,
}

const KINDS: [Kind; 5] = [Kind::Int, Kind::Text, Kind::Bool, Kind::List, Kind::Dict];

/// Names of variables say their kind; a variable's own template uses those with a lower number, so that few are loops.
pub const RANKS: usize = 4;

pub fn variables() -> Vec<(String, Kind, usize)> {
    let mut all = vec![];
    for rank in 1..=RANKS {
        for (letter, kind) in
            [('n', Kind::Int), ('s', Kind::Text), ('l', Kind::List), ('d', Kind::Dict), ('b', Kind::Bool)]
        {
            if rank < RANKS || letter != 'b' {
                all.push((format!("{letter}{rank}"), kind, rank));
            }
        }
    }
    all
}

pub const REGISTERS: [&str; 4] = ["r1", "r2", "r3", "r4"];

/// What an expression may speak of.
#[derive(Clone, Default)]
pub struct Sight {
    /// Variables up to this rank.
    pub rank: usize,
    /// The loop's variable.
    pub item: Option<String>,
    pub index: Option<String>,
}

impl Sight {
    pub fn all() -> Self {
        Self { rank: RANKS, ..Self::default() }
    }
}

const WORDS: [&str; 14] =
    ["a", "abc", "Hello World", "", "yes", "5", "x,y,z", "é ü", "007", "None", "a/b.c", " pad ", "true", "k: v"];

pub fn any_kind(rng: &mut Rng) -> Kind {
    KINDS[rng.weighted(&[4, 5, 2, 4, 3])]
}

pub fn literal(rng: &mut Rng, kind: Kind) -> Value {
    match kind {
        Kind::Int => json!(rng.below(12) as i64 - 3),
        Kind::Text => json!(rng.pick(&WORDS)),
        Kind::Bool => json!(rng.chance(50)),
        Kind::List => {
            let inner = if rng.chance(50) { Kind::Int } else { Kind::Text };
            let count = rng.below(4);
            Value::Array((0..count).map(|_| literal(rng, inner)).collect())
        }
        Kind::Dict => {
            let mut map = Map::new();
            for key in ["a", "b", "c"] {
                if rng.chance(60) {
                    let kind = if rng.chance(25) { any_kind(rng) } else { Kind::Int };
                    map.insert(key.to_owned(), literal(rng, kind));
                }
            }
            Value::Object(map)
        }
    }
}

/// A value as a file holds it: plain, a template, or data with templates in it.
pub fn value(rng: &mut Rng, kind: Kind, sight: &Sight) -> Value {
    let kind = if rng.chance(4) { any_kind(rng) } else { kind };
    if rng.chance(40) {
        return literal(rng, kind);
    }
    if rng.chance(65) {
        return json!(format!("{{{{ {} }}}}", expression(rng, kind, sight, 2)));
    }
    match kind {
        Kind::List => {
            let count = rng.below(4);
            Value::Array(
                (0..count)
                    .map(|_| value(rng, if count.is_multiple_of(2) { Kind::Int } else { Kind::Text }, sight))
                    .collect(),
            )
        }
        Kind::Dict => {
            let mut map = Map::new();
            for key in ["a", "b", "c"] {
                if rng.chance(60) {
                    let kind = any_kind(rng);
                    map.insert(key.to_owned(), value(rng, kind, sight));
                }
            }
            Value::Object(map)
        }
        Kind::Text => text(rng, sight),
        _ => json!(format!("{{{{ {} }}}}", expression(rng, kind, sight, 2))),
    }
}

/// Text with templates in it.
pub fn text(rng: &mut Rng, sight: &Sight) -> Value {
    let kind = any_kind(rng);
    let inner = expression(rng, kind, sight, 2);
    json!(match rng.below(6) {
        0 => format!("{{% if {} %}}one{{% else %}}{{{{ {inner} }}}}{{% endif %}}", condition(rng, sight)),
        1 => format!("{{% for x in {} %}}{{{{ x }}}},{{% endfor %}}", expression(rng, Kind::List, sight, 1)),
        2 => format!("{{% set q = {inner} %}}{{{{ q }}}}-{{{{ q }}}}"),
        _ => format!("{}{{{{ {inner} }}}}{}", rng.pick(&["", "x ", "v="]), rng.pick(&["", " y", "!"])),
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', ""))
}

fn variable(rng: &mut Rng, kind: Kind, sight: &Sight) -> Option<String> {
    let known: Vec<String> =
        variables().into_iter().filter(|(_, k, rank)| *k == kind && *rank <= sight.rank).map(|v| v.0).collect();
    (!known.is_empty()).then(|| known[rng.below(known.len())].clone())
}

fn leaf(rng: &mut Rng, kind: Kind, sight: &Sight) -> String {
    if rng.chance(65)
        && let Some(name) = variable(rng, kind, sight)
    {
        // Not every variable is defined everywhere: most uses are prepared for that.
        let written = match rng.below(12) {
            0 => format!("vars['{name}']"),
            1 => format!("hostvars[inventory_hostname]['{name}']"),
            2 => format!("lookup('vars', '{name}', default=none)"),
            _ => name.clone(),
        };
        return if rng.chance(75) { format!("({written} | default({}))", jinja(&literal(rng, kind))) } else { written };
    }
    if rng.chance(20)
        && let Some(item) = &sight.item
    {
        return match kind {
            Kind::Text => format!("({item} | string)"),
            Kind::Int => sight.index.clone().unwrap_or_else(|| format!("({item} | string | length)")),
            Kind::List => format!("[{item}]"),
            Kind::Dict => format!("{{'a': {item}}}"),
            Kind::Bool => format!("({item} is string)"),
        };
    }
    if kind == Kind::Text && rng.chance(15) {
        return rng
            .pick(&[
                "inventory_hostname",
                "(group_names | join('+'))",
                "(ansible_play_hosts | join(','))",
                "(u1.a.b | default('u'))",
                "(role_name | default('no role'))",
                "(ansible_role_name | default('-'))",
            ])
            .to_owned();
    }
    jinja(&literal(rng, kind))
}

/// A value as an expression.
pub fn jinja(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(jinja).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            format!("{{{}}}", map.iter().map(|(k, v)| format!("'{k}': {}", jinja(v))).collect::<Vec<_>>().join(", "))
        }
        Value::Number(n) if n.as_i64().is_some_and(|n| n < 0) => format!("({n})"),
        other => other.to_string(),
    }
}

pub fn expression(rng: &mut Rng, kind: Kind, sight: &Sight, depth: usize) -> String {
    if depth == 0 || rng.chance(25) {
        return leaf(rng, kind, sight);
    }
    let mut of = |kind: Kind| {
        let kind = if rng.chance(2) { any_kind(rng) } else { kind };
        expression(rng, kind, sight, depth - 1)
    };
    let (n, m, s, t, l, k, d, e, b) = (
        of(Kind::Int),
        of(Kind::Int),
        of(Kind::Text),
        of(Kind::Text),
        of(Kind::List),
        of(Kind::List),
        of(Kind::Dict),
        of(Kind::Dict),
        of(Kind::Bool),
    );
    let forms: Vec<String> = match kind {
        Kind::Int => vec![
            format!("({n} + {m})"),
            format!("({n} - {m})"),
            format!("({n} * {m})"),
            format!("({n} % 7)"),
            format!("({n} // 3)"),
            format!("({n} / 4)"),
            format!("(2 ** ({n} % 5))"),
            format!("-{n}"),
            format!("({s} | length)"),
            format!("({l} | length)"),
            format!("({s} | int)"),
            format!("({s} | int({n}))"),
            format!("({l} | map('int') | sum)"),
            format!("([{n}, {m}] | max)"),
            format!("([{n}, {m}] | min)"),
            format!("({n} | abs)"),
            format!("({n} if {b} else {m})"),
            format!("({d}.a | default({n}))"),
            format!("({s}.find({t}))"),
            format!("({l} | select('equalto', {n}) | length)"),
            format!("({b} | int)"),
            format!("({l} | first | default({n}, true))"),
        ],
        Kind::Text => vec![
            format!("({s} ~ {n})"),
            format!("({s} + {t})"),
            format!("({s} ~ {l} ~ {b})"),
            format!("({s} | upper)"),
            format!("({s} | lower)"),
            format!("({s} | title)"),
            format!("({s} | capitalize)"),
            format!("({s} | replace('a', {t}))"),
            format!("({s} | trim)"),
            format!("{s}[:2]"),
            format!("{s}[-1:]"),
            format!("({l} | join(','))"),
            format!("({d} | dictsort | string)"),
            format!("({n} | string)"),
            format!("({b} | string)"),
            format!("({s} | regex_replace('[a-c]+', 'X'))"),
            format!("({s} | regex_search('[a-z]+') | default('none', true))"),
            format!("({d} | to_json)"),
            format!("({l} | to_json)"),
            format!("({d} | to_nice_yaml)"),
            format!("({s} | b64encode)"),
            format!("({s} | hash('sha1'))"),
            format!("('%s-%s' | format({s}, {n}))"),
            format!("('%s/%d' % ({s}, {n}))"),
            format!("({b} | ternary({s}, {t}))"),
            format!("({s}.split(',') | first)"),
            format!("{s}.upper()"),
            format!("({s} | quote)"),
            format!("({s} if {b} else {t})"),
            format!("({s} or {t})"),
            format!("({s} | default({t}, true))"),
            format!("({n} | type_debug)"),
            format!("({d} | type_debug)"),
            format!("('%03d' | format({n}))"),
            format!("({s} | reverse)"),
            format!("({s} * ({n} % 3))"),
            format!("({s} | basename)"),
            format!("({s} | regex_escape)"),
            format!("({s} | comment)"),
            format!("({s} | center(9))"),
        ],
        Kind::List => vec![
            format!("({l} + {k})"),
            format!("({l} | unique)"),
            format!("({l} | map('string') | sort)"),
            format!("({l} | reverse | list)"),
            format!("{l}[1:]"),
            format!("({d}.keys() | list)"),
            format!("({d}.values() | list)"),
            format!("({d} | dict2items)"),
            format!("(range({n} % 4) | list)"),
            format!("({l} | map('string') | map('upper') | list)"),
            format!("({l} | select('string') | list)"),
            format!("({l} | reject('string') | list)"),
            // Python's sets have no order: they are put in one.
            format!("({l} | union({k}) | map('string') | sort)"),
            format!("({l} | intersect({k}) | map('string') | sort)"),
            format!("({l} | difference({k}) | map('string') | sort)"),
            format!("({s} | list)"),
            format!("({s}.split(','))"),
            format!("({s} | split('a'))"),
            format!("({l} | zip({k}) | list)"),
            format!("({l} | batch(2) | list)"),
            format!("([{l}, [{n}]] | flatten)"),
            format!("[{n}, {s}, {b}]"),
            format!("({l} if {b} else {k})"),
            format!("({s} | regex_findall('[a-z]'))"),
            format!("({l} | map('extract', {d}) | list)"),
            format!("({d}.items() | list)"),
            format!("([{d}, {e}] | map(attribute='a', default={n}) | list)"),
            format!("([{d}, {e}] | selectattr('a', 'defined') | list)"),
            format!("(query('items', {l}))"),
        ],
        Kind::Dict => vec![
            format!("({d} | combine({e}))"),
            format!("({d} | combine({e}, recursive=true, list_merge='append'))"),
            format!("{{'a': {n}, 'b': {s}}}"),
            format!("{{'c': {l}, 'a': {d}}}"),
            format!("dict({l} | map('string') | zip({k}))"),
            format!("({d} | dict2items | items2dict)"),
            format!("({d} if {b} else {e})"),
            format!("({d} | to_json | from_json)"),
            format!("dict({d}, z={n})"),
        ],
        Kind::Bool => return condition_form(rng, [n, m, s, t, l, k, d, b]),
    };
    forms[rng.below(forms.len())].clone()
}

fn condition_form(rng: &mut Rng, [n, m, s, t, l, k, d, b]: [String; 8]) -> String {
    let register = rng.pick(&REGISTERS);
    let test = rng.pick(&["changed", "failed", "skipped", "succeeded", "success"]);
    let kind = rng.pick(&[
        "string", "number", "mapping", "sequence", "iterable", "boolean", "integer", "float", "defined", "none",
        "truthy", "falsy",
    ]);
    let forms = [
        format!("({n} < {m})"),
        format!("({n} <= {m} < 9)"),
        format!("({n} == {m})"),
        format!("({s} != {t})"),
        format!("({s} in {t})"),
        format!("({n} in {l})"),
        format!("({s} not in {l})"),
        format!("('a' in {d})"),
        format!("(not {b})"),
        format!("({b} and {n} > 0)"),
        format!("({b} or {s} == {t})"),
        format!("({n} is {kind})"),
        format!("({s} is not {kind})"),
        format!("({l} is {kind})"),
        format!("({d} is {kind})"),
        format!("({s} is match('[a-z]'))"),
        format!("({s} is search('b|l'))"),
        format!("({n} is odd)"),
        format!("({n} is divisibleby(3))"),
        format!("({l} is subset({k}))"),
        format!("({l} is contains({n}))"),
        format!("({l} | length > 1)"),
        format!("({s} | bool)"),
        format!("({n} | bool)"),
        format!("({l} | map('string') is any)"),
        format!("({register} is defined and {register} is {test})"),
        format!("({register} is {test})"),
        format!("({register}.changed | default({b}))"),
        format!("({register}.msg is defined)"),
        format!("({register}.results | default([]) | length > 0)"),
        format!("({d}.a is defined)"),
        format!("({d}.a.b.c is undefined)"),
        "(u1 is defined)".to_owned(),
        "(u1.a is not defined)".to_owned(),
        format!("(n3 is defined and n3 == {n})"),
        format!("({s} is version('1.2', '>='))"),
        format!("({l} == {k})"),
        format!("({s} | length == {n})"),
        format!("({l} is sameas {l})"),
    ];
    forms[rng.below(forms.len())].clone()
}

pub fn condition(rng: &mut Rng, sight: &Sight) -> String {
    expression(rng, Kind::Bool, sight, 2)
}

/// What stands at `when`: text, a list, now and then a plain boolean or what is no condition at all.
pub fn conditional(rng: &mut Rng, sight: &Sight) -> Value {
    match rng.below(20) {
        0 => json!(rng.chance(70)),
        1 => json!(expression(rng, Kind::Int, sight, 1)),
        2..=5 => {
            let count = 1 + rng.below(3);
            Value::Array((0..count).map(|_| json!(condition(rng, sight))).collect())
        }
        _ => json!(condition(rng, sight)),
    }
}
