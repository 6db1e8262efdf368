//! Host patterns: `web:&prod:!db`, `web[0:2]`, `web*`, `~web\d+`, `@failed.retry`, and the order of the hosts they select.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use fancy_regex::Regex;

use super::model::{Inventory, LOCAL};
use super::ranges;
use crate::problem::{Problem, nearest};

/// A play's `order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Inventory,
    ReverseInventory,
    Sorted,
    ReverseSorted,
    Shuffle,
}

impl Order {
    /// The order of that name in a playbook.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "inventory" => Self::Inventory,
            "reverse_inventory" => Self::ReverseInventory,
            "sorted" => Self::Sorted,
            "reverse_sorted" => Self::ReverseSorted,
            "shuffle" => Self::Shuffle,
            _ => return None,
        })
    }

    /// All names, for messages.
    pub const NAMES: [&str; 5] = ["inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle"];

    pub fn apply(self, mut hosts: Vec<String>) -> Vec<String> {
        match self {
            Self::Inventory => {}
            Self::ReverseInventory => hosts.reverse(),
            Self::Sorted => hosts.sort(),
            Self::ReverseSorted => {
                hosts.sort();
                hosts.reverse();
            }
            Self::Shuffle => {
                // A random key per run; which one does not matter.
                let random = RandomState::new();
                hosts.sort_by_cached_key(|h| random.hash_one(h));
            }
        }
        hosts
    }
}

/// What a pattern selects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub hosts: Vec<String>,
    /// Parts of the pattern that name neither a group nor a host.
    pub unmatched: Vec<String>,
}

/// The parts of a pattern: at commas, or else at colons outside brackets (but not within an IPv6 address or before a port).
pub fn split_pattern(pattern: &str) -> Vec<String> {
    let pattern = pattern.trim();
    if pattern.contains(',') {
        return pattern.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect();
    }
    let is_port = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    let address = pattern.parse::<std::net::Ipv6Addr>().is_ok()
        || pattern.rsplit_once(':').is_some_and(|(host, port)| is_port(port) && ranges::is_name(host))
        || (pattern.starts_with('[') && pattern.rsplit_once("]:").is_some_and(|(_, port)| is_port(port)));
    if address {
        return vec![pattern.to_owned()];
    }
    let mut parts = vec![String::new()];
    let mut in_bracket = false;
    for c in pattern.chars() {
        match c {
            '[' => in_bracket = true,
            ']' => in_bracket = false,
            _ => {}
        }
        if !in_bracket && (c == ':' || c.is_whitespace()) {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// The parts of a `--limit`; the lines of a file in the place of `@FILE`.
fn limit_parts(limit: &str) -> Result<Vec<String>, Problem> {
    let mut parts = vec![];
    for part in split_pattern(limit) {
        match part.strip_prefix('@') {
            None => parts.push(part),
            Some(path) => {
                let text = std::fs::read_to_string(Path::new(path)).map_err(|e| {
                    Problem::new(
                        "limit-file",
                        format!("cannot read the limit file `{path}`: {}", crate::yaml::io_words(&e)),
                    )
                })?;
                parts.extend(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned));
            }
        }
    }
    Ok(parts)
}

impl Inventory {
    /// The hosts a pattern selects. One that selects none is an error that names what is near; see [`Self::matching`].
    pub fn select(&self, pattern: &str) -> Result<Vec<String>, Problem> {
        let found = self.matching(pattern)?;
        if found.hosts.is_empty() { Err(self.no_match(pattern, &found)) } else { Ok(found.hosts) }
    }

    /// The hosts a pattern selects, which may be none, in the inventory's order; parts add, `&` parts intersect, `!` parts subtract,
    /// wherever they stand.
    pub fn matching(&self, pattern: &str) -> Result<Selection, Problem> {
        self.evaluate(&split_pattern(pattern))
    }

    /// Those of `hosts` that a `--limit` keeps; `@FILE` in it stands for the lines of a file.
    pub fn limited(&self, hosts: &[String], limit: &str) -> Result<Selection, Problem> {
        let kept = self.evaluate(&limit_parts(limit)?)?;
        let keep: HashSet<&String> = kept.hosts.iter().collect();
        Ok(Selection { hosts: hosts.iter().filter(|h| keep.contains(h)).cloned().collect(), unmatched: kept.unmatched })
    }

    /// A `--limit` that names nothing at all is an error.
    pub fn require_limit(&self, limit: &str) -> Result<(), Problem> {
        let found = self.evaluate(&limit_parts(limit)?)?;
        if found.hosts.is_empty() { Err(self.no_match(limit, &found)) } else { Ok(()) }
    }

    /// The problem to show for a pattern that selects nothing.
    pub fn no_match(&self, pattern: &str, found: &Selection) -> Problem {
        let names = || self.groups.keys().chain(self.hosts.keys()).map(String::as_str);
        let mut problem = if self.hosts.is_empty() {
            Problem::new("no-hosts", format!("no host matches `{pattern}`: the inventory has no hosts"))
                .help("give an inventory with -i, in kdeploy.toml or in ansible.cfg")
        } else {
            Problem::new("no-hosts", format!("no host matches `{pattern}`"))
        };
        for part in &found.unmatched {
            if let Some(name) = nearest(part, names()) {
                problem = problem.help(format!("`{part}` is neither a group nor a host; did you mean `{name}`?"));
            }
        }
        if problem.help.is_empty() {
            let groups: Vec<&str> = self
                .groups
                .keys()
                .map(String::as_str)
                .filter(|g| !matches!(*g, "all" | "ungrouped"))
                .take(12)
                .collect();
            problem = if found.unmatched.is_empty() {
                problem.help("the groups it names have too few hosts, or `!` and `&` leave none")
            } else {
                problem.help(format!("the groups are: {}", groups.join(", ")))
            };
        }
        problem
    }

    fn evaluate(&self, parts: &[String]) -> Result<Selection, Problem> {
        let kind = |p: &String| match p.as_bytes().first() {
            Some(b'&') => 1,
            Some(b'!') => 2,
            _ => 0,
        };
        let mut ordered: Vec<String> = parts.to_vec();
        if !ordered.is_empty() && !ordered.iter().any(|p| kind(p) == 0) {
            ordered.insert(0, "all".into());
        }
        ordered.sort_by_key(kind);
        let mut selection = Selection::default();
        let mut chosen: HashSet<String> = HashSet::new();
        for part in &ordered {
            let found = match self.hosts.get(part) {
                Some(host) => vec![host.name.clone()],
                None => self.one(part, &mut selection.unmatched)?,
            };
            match kind(part) {
                1 => selection.hosts.retain(|h| found.contains(h)),
                2 => selection.hosts.retain(|h| !found.contains(h)),
                _ => {
                    for host in found {
                        if chosen.insert(host.clone()) {
                            selection.hosts.push(host);
                        }
                    }
                }
            }
        }
        Ok(selection)
    }

    /// One part of a pattern.
    fn one(&self, part: &str, unmatched: &mut Vec<String>) -> Result<Vec<String>, Problem> {
        let part = part.strip_prefix(['&', '!']).unwrap_or(part);
        let (name, subscript) = split_subscript(part);
        let (hosts, known) = self.named(name)?;
        if !known {
            unmatched.push(name.to_owned());
        }
        let Some(subscript) = subscript.filter(|_| !hosts.is_empty()) else { return Ok(hosts) };
        let len = hosts.len();
        let single = |index: i64| {
            let at = if index < 0 { len.checked_sub(index.unsigned_abs() as usize) } else { Some(index as usize) };
            at.and_then(|i| hosts.get(i)).map(|h| vec![h.clone()]).unwrap_or_default()
        };
        match subscript {
            Subscript::Index(i) => Ok(single(i)),
            // Ansible takes an end of 0 for none.
            Subscript::Slice(start, Some(0)) => Ok(single(start as i64)),
            Subscript::Slice(start, end) => {
                let end = end.unwrap_or(len - 1).saturating_add(1).min(len);
                Ok(hosts.get(start.min(end)..end).unwrap_or_default().to_vec())
            }
        }
    }

    /// The hosts of all groups a name or glob matches, or else the hosts it matches; and whether it matches anything.
    fn named(&self, name: &str) -> Result<(Vec<String>, bool), Problem> {
        let matcher = Matcher::of(name)?;
        let mut hosts: Vec<String> = vec![];
        let mut seen = HashSet::new();
        let mut known = false;
        for group in self.groups.keys().filter(|g| matcher.matches(g)) {
            known = true;
            hosts.extend(self.hosts_of(group).into_iter().filter(|h| seen.insert(h.clone())));
        }
        if !known || !matches!(matcher, Matcher::Exact(_)) {
            for host in self.hosts.keys().filter(|h| matcher.matches(h)) {
                known = true;
                if seen.insert(host.clone()) {
                    hosts.push(host.clone());
                }
            }
        }
        if hosts.is_empty() && LOCAL.contains(&name) {
            // Another name of this machine may be in the inventory.
            let local = LOCAL.iter().find(|l| self.hosts.contains_key(**l)).map_or(name, |l| l);
            return Ok((vec![local.to_owned()], true));
        }
        Ok((hosts, known))
    }
}

enum Matcher<'a> {
    Exact(&'a str),
    Pattern(Regex),
}

impl<'a> Matcher<'a> {
    fn of(name: &'a str) -> Result<Self, Problem> {
        let (source, what) = match name.strip_prefix('~') {
            Some(regex) => (format!("^(?:{regex})"), "regular expression"),
            None if name.contains(['*', '?', '[']) => (glob(name), "pattern"),
            None => return Ok(Self::Exact(name)),
        };
        Regex::new(&source)
            .map(Self::Pattern)
            .map_err(|e| Problem::new("bad-host-pattern", format!("the {what} `{name}` cannot be understood: {e}")))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => *exact == name,
            Self::Pattern(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

/// Python's `fnmatch`.
fn glob(pattern: &str) -> String {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match rest.char_indices().skip(1).find(|(_, c)| *c == ']').map(|(i, _)| i) {
                Some(end) => {
                    let inner = &rest[..end];
                    let (not, set) = inner.strip_prefix('!').map_or(("", inner), |set| ("^", set));
                    let set = set.replace('\\', "\\\\").replace('[', "\\[").replace('&', "\\&").replace('~', "\\~");
                    let set = set.strip_prefix('^').map_or(set.clone(), |s| format!("\\^{s}"));
                    regex.push_str(&format!("[{not}{set}]"));
                    rest = &rest[end + 1..];
                }
                None => regex.push_str("\\["),
            },
            c => regex.push_str(&fancy_regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str("\\z");
    regex
}

#[derive(Clone, Copy)]
enum Subscript {
    Index(i64),
    Slice(usize, Option<usize>),
}

/// `web[0]`, `web[-1]`, `web[1:]`, `web[0:2]` (both ends count).
fn split_subscript(part: &str) -> (&str, Option<Subscript>) {
    let whole = (part, None);
    if part.starts_with('~') {
        return whole;
    }
    let Some((name, inner)) = part.strip_suffix(']').and_then(|p| p.rsplit_once('[')) else { return whole };
    if name.is_empty() {
        return whole;
    }
    let digits = |t: &str| !t.is_empty() && t.len() < 10 && t.bytes().all(|b| b.is_ascii_digit());
    if digits(inner.strip_prefix('-').unwrap_or(inner)) {
        return inner.parse().map_or(whole, |i| (name, Some(Subscript::Index(i))));
    }
    let Some((start, end)) = inner.split_once([':', '-']) else { return whole };
    if !digits(start) || !(end.is_empty() || digits(end)) {
        return whole;
    }
    match (start.parse(), end.parse().ok()) {
        (Ok(start), end) => (name, Some(Subscript::Slice(start, end))),
        _ => whole,
    }
}
