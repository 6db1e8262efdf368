//! Python's `re` on top of fancy-regex: patterns, flags and replacement templates are translated, matching follows Python's rules.
//!
//! Used by the regex filters and tests and by the resources that edit lines (`lineinfile`, `replace`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use fancy_regex::Regex;

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

/// Rewrites a Python pattern into fancy-regex's syntax.
struct Translator<'p> {
    pattern: &'p str,
    chars: Vec<char>,
    at: usize,
    out: String,
    flags: Flags,
    /// Flags to return to at the end of each open group.
    stack: Vec<Flags>,
    names: Vec<Option<String>>,
}

impl<'p> Translator<'p> {
    fn new(pattern: &'p str, flags: Flags) -> Self {
        Self {
            pattern,
            chars: pattern.chars().collect(),
            at: 0,
            out: String::new(),
            flags,
            stack: vec![],
            names: vec![None],
        }
    }

    fn fail<T>(&self, what: impl std::fmt::Display) -> Result<T, RegexError> {
        bad(format!("`{}` is no valid pattern: {what} at position {}", self.pattern, self.at))
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c))
    }

    fn run(mut self) -> Result<(String, Vec<Option<String>>), RegexError> {
        let mut prefix = String::from("(?");
        if self.flags.ignorecase {
            prefix.push('i');
        }
        if self.flags.multiline {
            prefix.push('m');
        }
        if self.flags.dotall {
            prefix.push('s');
        }
        if prefix.len() > 2 {
            self.out = prefix + ")";
        }
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    let Some(flags) = self.stack.pop() else { return self.fail("unbalanced parenthesis") };
                    self.flags = flags;
                    self.out.push(')');
                    self.at += 1;
                }
                '{' => self.brace(),
                '}' | ']' => {
                    self.out.push('\\');
                    self.out.push(c);
                    self.at += 1;
                }
                // Python's `$` also matches before a final newline
                '$' if !self.flags.multiline => {
                    self.out.push_str("(?=\\n?\\z)");
                    self.at += 1;
                }
                '#' if self.flags.verbose => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                c if self.flags.verbose && c.is_whitespace() => self.at += 1,
                c => {
                    self.out.push(c);
                    self.at += 1;
                }
            }
        }
        if !self.stack.is_empty() {
            return self.fail("missing `)`");
        }
        Ok((self.out, self.names))
    }

    /// `{2,3}` is a quantifier, `{,3}` too; any other brace is itself.
    fn brace(&mut self) {
        let rest: String = self.chars[self.at + 1..].iter().take_while(|c| **c != '}').collect();
        let closed = self.chars.get(self.at + 1 + rest.chars().count()) == Some(&'}');
        let is_number = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
        let quantifier = match rest.split_once(',') {
            Some((low, high)) => (low.is_empty() || is_number(low)) && (high.is_empty() || is_number(high)),
            None => is_number(&rest),
        };
        if closed && quantifier {
            self.at += rest.chars().count() + 2;
            match rest.strip_prefix(',') {
                Some(high) => self.out.push_str(&format!("{{0,{high}}}")),
                None => self.out.push_str(&format!("{{{rest}}}")),
            }
        } else {
            self.out.push_str("\\{");
            self.at += 1;
        }
    }

    fn push_char(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", c as u32));
        }
    }

    /// `\x41`, `\u0041`, `\U00000041`, and the letters for control characters; after the letter was consumed.
    fn char_escape(&mut self, c: char) -> Result<Option<char>, RegexError> {
        let digits = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            'n' => return Ok(Some('\n')),
            't' => return Ok(Some('\t')),
            'r' => return Ok(Some('\r')),
            'f' => return Ok(Some('\x0c')),
            'v' => return Ok(Some('\x0b')),
            'a' => return Ok(Some('\x07')),
            _ => return Ok(None),
        };
        let hex: String = self.chars[self.at..].iter().take(digits).collect();
        match u32::from_str_radix(&hex, 16).ok().filter(|_| hex.chars().count() == digits).and_then(char::from_u32) {
            Some(c) => {
                self.at += digits;
                Ok(Some(c))
            }
            None => self.fail(format!("bad escape `\\{c}`")),
        }
    }

    fn octal(&mut self, first: char) -> char {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(d) = self.peek(0).and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + d;
            self.at += 1;
        }
        char::from_u32(value).unwrap_or('\0')
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let Some(c) = self.peek(1) else { return self.fail("a lone backslash at the end") };
        self.at += 2;
        match c {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Z' => self.out.push_str("\\z"),
            '0' => {
                let c = self.octal('0');
                self.push_char(c);
            }
            '1'..='9' => {
                let next = |k: usize| self.peek(k).and_then(|d| d.to_digit(8));
                if c <= '3' && next(0).is_some() && next(1).is_some() {
                    let c = self.octal(c);
                    self.push_char(c);
                } else {
                    let mut number = c.to_string();
                    if let Some(d) = self.peek(0).filter(char::is_ascii_digit) {
                        number.push(d);
                        self.at += 1;
                    }
                    if number.parse::<usize>().unwrap_or(usize::MAX) >= self.names.len() {
                        return self.fail(format!("it refers to group {number}, which is not open yet"));
                    }
                    // a digit may follow the reference
                    self.out.push_str(&format!("(?:\\{number})"));
                }
            }
            c => match self.char_escape(c)? {
                Some(c) => self.push_char(c),
                None if c.is_ascii_alphabetic() => return self.fail(format!("bad escape `\\{c}`")),
                None => self.push_char(c),
            },
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), RegexError> {
        self.out.push('[');
        self.at += 1;
        if self.peek(0) == Some('^') {
            self.out.push('^');
            self.at += 1;
        }
        let (mut first, mut in_range) = (true, false);
        loop {
            let was_range = std::mem::take(&mut in_range);
            let Some(c) = self.peek(0) else { return self.fail("unterminated character set") };
            self.at += 1;
            match c {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => {
                    let Some(c) = self.peek(0) else { return self.fail("unterminated character set") };
                    self.at += 1;
                    match c {
                        'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                            self.out.push('\\');
                            self.out.push(c);
                        }
                        'b' => self.out.push_str("\\x08"),
                        '0'..='7' => {
                            let c = self.octal(c);
                            self.push_char(c);
                        }
                        c => match self.char_escape(c)? {
                            Some(c) => self.push_char(c),
                            None if c.is_ascii_alphanumeric() => return self.fail(format!("bad escape `\\{c}`")),
                            None => self.push_char(c),
                        },
                    }
                }
                // a dash makes a range only between two single characters
                '-' if !first && !was_range && self.peek(0).is_some_and(|n| n != ']') && !self.after_class_escape() => {
                    self.out.push('-');
                    in_range = true;
                }
                c => self.push_char(c),
            }
            first = false;
        }
    }

    fn after_class_escape(&self) -> bool {
        let tail: Vec<char> = self.out.chars().rev().take(2).collect();
        matches!(tail.as_slice(), [c, '\\'] if "dDwWsS".contains(*c))
    }

    fn name(&mut self, end: char) -> Result<String, RegexError> {
        let name: String = self.chars[self.at..].iter().take_while(|c| **c != end).collect();
        let len = name.chars().count();
        if self.chars.get(self.at + len) != Some(&end) {
            return self.fail(format!("missing `{end}` after a group name"));
        }
        if !name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            || !name.chars().all(|c| c.is_alphanumeric() || c == '_')
        {
            return self.fail(format!("bad group name `{name}`"));
        }
        self.at += len + 1;
        Ok(name)
    }

    fn open(&mut self, text: &str, consumed: usize) {
        self.out.push_str(text);
        self.stack.push(self.flags);
        self.at += consumed;
    }

    fn group(&mut self) -> Result<(), RegexError> {
        if !self.looking_at("(?") {
            self.names.push(None);
            self.open("(", 1);
            return Ok(());
        }
        for plain in ["(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"] {
            if self.looking_at(plain) {
                self.open(plain, plain.len());
                return Ok(());
            }
        }
        if self.looking_at("(?#") {
            while let Some(c) = self.peek(0) {
                self.at += 1;
                if c == ')' {
                    return Ok(());
                }
            }
            return self.fail("unterminated comment");
        }
        if self.looking_at("(?P<") {
            self.at += 4;
            let name = self.name('>')?;
            if self.names.iter().flatten().any(|n| *n == name) {
                return self.fail(format!("the group `{name}` is defined twice"));
            }
            self.names.push(Some(name));
            self.open("(", 0);
            return Ok(());
        }
        if self.looking_at("(?P=") {
            self.at += 4;
            let name = self.name(')')?;
            let Some(number) = self.names.iter().position(|n| n.as_deref() == Some(&name)) else {
                return self.fail(format!("unknown group `{name}`"));
            };
            self.out.push_str(&format!("(?:\\{number})"));
            return Ok(());
        }
        if self.looking_at("(?(") {
            self.at += 3;
            let id: String = self.chars[self.at..].iter().take_while(|c| **c != ')').collect();
            let number = match id.parse::<usize>() {
                Ok(n) => Some(n),
                Err(_) => self.names.iter().position(|n| n.as_deref() == Some(&id)),
            };
            let Some(number) = number else { return self.fail(format!("unknown group `{id}`")) };
            let consumed = id.chars().count() + 1;
            self.open(&format!("(?({number})"), consumed);
            return Ok(());
        }
        self.flag_group()
    }

    /// `(?i)`, `(?im-s:…)`.
    fn flag_group(&mut self) -> Result<(), RegexError> {
        let before = self.flags;
        self.at += 2;
        let (mut on, mut off, mut negative) = (String::new(), String::new(), false);
        loop {
            let Some(c) = self.peek(0) else { return self.fail("unterminated flags") };
            self.at += 1;
            match c {
                'i' | 'm' | 's' | 'x' => {
                    match c {
                        'i' => self.flags.ignorecase = !negative,
                        'm' => self.flags.multiline = !negative,
                        's' => self.flags.dotall = !negative,
                        _ => self.flags.verbose = !negative,
                    }
                    // whitespace and comments are dropped here, so `x` is not handed on
                    if c != 'x' {
                        if negative { off.push(c) } else { on.push(c) }
                    }
                }
                'a' | 'u' | 'L' => {}
                '-' if !negative => negative = true,
                ')' if !negative => {
                    if self.stack.is_empty() && !on.is_empty() {
                        self.out.push_str(&format!("(?{on})"));
                    }
                    return Ok(());
                }
                ':' => {
                    self.stack.push(before);
                    let off = if off.is_empty() { off } else { format!("-{off}") };
                    self.out.push_str(&format!("(?{on}{off}:"));
                    return Ok(());
                }
                _ => return self.fail(format!("unknown extension `(?{c}`")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sub(pattern: &str, replacement: &str, text: &str) -> String {
        PyRegex::new(pattern, Flags::default()).unwrap().subn(replacement, text, 0).unwrap().0
    }

    #[test]
    fn substitutes_as_python_does() {
        assert_eq!(sub("x*", "-", "abxd"), "-a-b--d-");
        assert_eq!(sub(r"^(?P<k>\w+)=(.*)$", r"\g<k>: \2", "a=b\n"), "a: b\n");
        assert_eq!(sub("[[]", "<", "a[b"), "a<b");
        assert_eq!(sub("[]x]", "", "a]xb"), "ab");
        assert_eq!(sub("{{(.*?)}}", r"<\1>", "a{{b}}"), "a<b>");
        assert_eq!(sub(r"(a)?b", r"[\1]", "ab b"), "[a] []");
        assert_eq!(sub(r"\.", r"\\.", "a.b"), r"a\.b");
        assert_eq!(sub(r"a{,2}", "x", "aaa"), "xxx");
        assert_eq!(sub(r"(?<=\d)(?=(\d{3})+\b)", ",", "1234567"), "1,234,567");
        assert_eq!(sub(r"[\w-]+", "x", "a-b c"), "x x");
        assert_eq!(sub(r"(\w)\1", "<\\1>", "aabc"), "<a>bc");
    }

    #[test]
    fn dollar_matches_before_a_final_newline_only() {
        let re = PyRegex::new("a$", Flags::default()).unwrap();
        assert!(re.is_match("a\n").unwrap());
        assert!(!re.is_match("a\n\n").unwrap());
        assert!(!re.is_match("a\nb").unwrap());
        assert!(PyRegex::new("a$", Flags { multiline: true, ..Flags::default() }).unwrap().is_match("a\nb").unwrap());
        assert!(!PyRegex::new(r"a\Z", Flags::default()).unwrap().is_match("a\n").unwrap());
    }

    #[test]
    fn refuses_what_python_refuses() {
        for pattern in ["(", ")", "[a", r"\q", "(?P<1>a)", "(?P<a>x)(?P<a>y)", r"\2(a)", "*"] {
            assert!(PyRegex::new(pattern, Flags::default()).is_err(), "{pattern}");
        }
        let re = PyRegex::new("(a)", Flags::default()).unwrap();
        for template in [r"\2", r"\q", r"\g<x>", "\\"] {
            assert!(re.subn(template, "a", 0).is_err(), "{template}");
        }
    }
}
