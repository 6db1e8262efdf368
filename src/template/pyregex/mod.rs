//! Python's `re` on top of fancy-regex: patterns, flags and replacement templates are translated, matching follows Python's rules.
//!
//! Used by the regex filters and tests and by the resources that edit lines (`lineinfile`, `replace`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use fancy_regex::Regex;

mod translate;

use translate::Translator;

/// What is wrong with a pattern or a replacement, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegexError(pub String);

fn bad<T>(message: impl Into<String>) -> Result<T, RegexError> {
    Err(RegexError(message.into()))
}

/// `re.IGNORECASE`, `re.MULTILINE`, `re.DOTALL`, `re.VERBOSE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags {
    pub ignorecase: bool,
    pub multiline: bool,
    pub dotall: bool,
    pub verbose: bool,
}

/// A compiled Python pattern. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PyRegex {
    regex: Arc<Regex>,
    pattern: Arc<str>,
    /// Group names by number; `[0]` is the whole match.
    names: Arc<Vec<Option<String>>>,
    /// The same for `re.match` and `re.fullmatch`, compiled when first needed.
    anchored: Arc<[OnceLock<Result<Regex, RegexError>>; 2]>,
}

/// One match: the byte ranges of its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    groups: Vec<Option<(usize, usize)>>,
}

impl Match {
    pub fn start(&self) -> usize {
        self.groups[0].map_or(0, |g| g.0)
    }

    pub fn end(&self) -> usize {
        self.groups[0].map_or(0, |g| g.1)
    }

    /// The byte range of a group, if it took part in the match.
    pub fn range(&self, group: usize) -> Option<(usize, usize)> {
        self.groups.get(group).copied().flatten()
    }

    pub fn group<'t>(&self, text: &'t str, group: usize) -> Option<&'t str> {
        self.range(group).map(|(a, b)| &text[a..b])
    }
}

type Cache = Mutex<HashMap<(String, Flags), PyRegex>>;
static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

impl PyRegex {
    /// Compiles a pattern; the same pattern is compiled once per run.
    pub fn new(pattern: &str, flags: Flags) -> Result<Self, RegexError> {
        let key = (pattern.to_owned(), flags);
        if let Ok(cache) = CACHE.lock()
            && let Some(found) = cache.get(&key)
        {
            return Ok(found.clone());
        }
        let (translated, names) = Translator::new(pattern, flags).run()?;
        let regex = fancy_regex::RegexBuilder::new(&translated)
            .backtrack_limit(10_000_000)
            .build()
            .map_err(|e| RegexError(format!("`{pattern}` is no valid pattern: {e}")))?;
        let compiled =
            Self { regex: Arc::new(regex), pattern: pattern.into(), names: Arc::new(names), anchored: Arc::default() };
        if let Ok(mut cache) = CACHE.lock() {
            if cache.len() > 2000 {
                cache.clear();
            }
            cache.insert(key, compiled.clone());
        }
        Ok(compiled)
    }

    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// How many capturing groups the pattern has.
    pub fn group_count(&self) -> usize {
        self.names.len() - 1
    }

    /// The number of a named group.
    pub fn group_index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n.as_deref() == Some(name))
    }

    /// The names of the groups, by number.
    pub fn group_names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names.iter().enumerate().filter_map(|(i, n)| Some((i, n.as_deref()?)))
    }

    /// `re.search` from a byte offset on.
    pub fn search_from(&self, text: &str, start: usize) -> Result<Option<Match>, RegexError> {
        self.run(&self.regex, text, start)
    }

    fn run(&self, regex: &Regex, text: &str, start: usize) -> Result<Option<Match>, RegexError> {
        let captures = regex
            .captures_from_pos(text, start)
            .map_err(|e| RegexError(format!("`{}` gave up matching: {e}", self.pattern)))?;
        Ok(captures
            .map(|c| Match { groups: (0..self.names.len()).map(|i| c.get(i).map(|m| (m.start(), m.end()))).collect() }))
    }

    /// `re.search`.
    pub fn search(&self, text: &str) -> Result<Option<Match>, RegexError> {
        self.search_from(text, 0)
    }

    pub fn is_match(&self, text: &str) -> Result<bool, RegexError> {
        Ok(self.search(text)?.is_some())
    }

    /// `re.match`: at the start of the text only.
    pub fn match_start(&self, text: &str) -> Result<Option<Match>, RegexError> {
        self.run(&self.anchored(0, ")")?, text, 0)
    }

    /// `re.fullmatch`.
    pub fn full_match(&self, text: &str) -> Result<Option<Match>, RegexError> {
        self.run(&self.anchored(1, ")\\z")?, text, 0)
    }

    fn anchored(&self, slot: usize, end: &str) -> Result<Regex, RegexError> {
        let pattern = || format!("\\A(?:{}{end}", self.regex.as_str());
        self.anchored[slot].get_or_init(|| Regex::new(&pattern()).map_err(|e| RegexError(e.to_string()))).clone()
    }

    /// All matches as `re.finditer` gives them: an empty match may follow a match directly, but not another empty one.
    pub fn find_all(&self, text: &str, limit: usize) -> Result<Vec<Match>, RegexError> {
        let mut found: Vec<Match> = vec![];
        let mut at = 0;
        let mut empty_barred = false;
        while at <= text.len() && found.len() < limit {
            let Some(mut m) = self.search_from(text, at)? else { break };
            if empty_barred && m.start() == m.end() && m.start() == at {
                let Some(next) = text[at..].chars().next() else { break };
                match self.search_from(text, at + next.len_utf8())? {
                    Some(next_match) => m = next_match,
                    None => break,
                }
            }
            empty_barred = m.start() == m.end();
            at = m.end();
            found.push(m);
        }
        Ok(found)
    }

    /// `re.subn`: all matches, or the first `count` if it is not 0, replaced by a template.
    pub fn subn(&self, replacement: &str, text: &str, count: usize) -> Result<(String, usize), RegexError> {
        let template = Template::parse(replacement, self)?;
        let matches = self.find_all(text, if count == 0 { usize::MAX } else { count })?;
        let mut out = String::with_capacity(text.len());
        let mut last = 0;
        for m in &matches {
            out.push_str(&text[last..m.start()]);
            template.expand(&mut out, text, m);
            last = m.end();
        }
        out.push_str(&text[last..]);
        Ok((out, matches.len()))
    }
}

/// A replacement template: text and references to groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads `\1`, `\g<1>`, `\g<name>`, `\n`, octal and other escapes.
    pub fn parse(template: &str, regex: &PyRegex) -> Result<Self, RegexError> {
        let mut parts = vec![];
        let mut text = String::new();
        let chars: Vec<char> = template.chars().collect();
        let mut i = 0;
        let group = |parts: &mut Vec<Part>, text: &mut String, number: usize| {
            if number > regex.group_count() {
                return bad(format!(
                    "the replacement refers to group {number}, but `{}` has {}",
                    regex.pattern,
                    regex.group_count()
                ));
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(text)));
            }
            parts.push(Part::Group(number));
            Ok(())
        };
        while i < chars.len() {
            if chars[i] != '\\' {
                text.push(chars[i]);
                i += 1;
                continue;
            }
            let Some(&c) = chars.get(i + 1) else { return bad("the replacement ends with a lone backslash") };
            i += 2;
            match c {
                'g' => {
                    if chars.get(i) != Some(&'<') {
                        return bad("`\\g` in a replacement needs `<name>`");
                    }
                    let Some(len) = chars[i..].iter().position(|c| *c == '>') else {
                        return bad("`\\g<` in a replacement has no `>`");
                    };
                    let name: String = chars[i + 1..i + len].iter().collect();
                    i += len + 1;
                    let number = match name.parse::<usize>() {
                        Ok(n) => n,
                        Err(_) => regex.group_index(&name).ok_or_else(|| {
                            RegexError(format!("the replacement refers to an unknown group `{name}`"))
                        })?,
                    };
                    group(&mut parts, &mut text, number)?;
                }
                '0' => {
                    let mut value = 0;
                    let mut digits = 0;
                    while digits < 2 && i < chars.len() && chars[i].is_digit(8) {
                        value = value * 8 + chars[i].to_digit(8).unwrap_or(0);
                        i += 1;
                        digits += 1;
                    }
                    text.push(char::from_u32(value).unwrap_or('\0'));
                }
                '1'..='9' => {
                    let next = |k: usize| chars.get(i + k).and_then(|d| d.to_digit(10));
                    let first = c.to_digit(10).unwrap_or(0);
                    match (next(0), next(1)) {
                        (Some(a), Some(b)) if first <= 3 && a < 8 && b < 8 => {
                            i += 2;
                            text.push(char::from_u32(first * 64 + a * 8 + b).unwrap_or('\0'));
                        }
                        (Some(a), _) => {
                            i += 1;
                            group(&mut parts, &mut text, (first * 10 + a) as usize)?;
                        }
                        _ => group(&mut parts, &mut text, first as usize)?,
                    }
                }
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'f' => text.push('\x0c'),
                'v' => text.push('\x0b'),
                'a' => text.push('\x07'),
                'b' => text.push('\x08'),
                '\\' => text.push('\\'),
                c if c.is_ascii_alphabetic() => return bad(format!("`\\{c}` in a replacement has no meaning")),
                c => {
                    text.push('\\');
                    text.push(c);
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self(parts))
    }

    /// Appends the template filled with a match's groups; a group that took no part is empty.
    pub fn expand(&self, out: &mut String, text: &str, m: &Match) {
        for part in &self.0 {
            match part {
                Part::Text(t) => out.push_str(t),
                Part::Group(n) => out.push_str(m.group(text, *n).unwrap_or("")),
            }
        }
    }
}

/// `re.escape`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests;
