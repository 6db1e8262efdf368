//! `--transform=s/REGEX/TEXT/FLAGS`: members' names as sed would write them.

use fancy_regex::Regex;

use crate::problem::Problem;

/// One or more of sed's substitutions.
#[derive(Debug, Clone)]
pub(super) struct Transform {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    regex: Regex,
    /// Text and numbers of groups in turn.
    parts: Vec<Part>,
    all: bool,
    names: bool,
    symlinks: bool,
    hardlinks: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

impl Transform {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| Problem::new("invalid-argument", format!("`--transform={text}`: {why}"));
        let mut rules = vec![];
        let mut rest = text.trim_start_matches([';', ' ']);
        while !rest.is_empty() {
            let mut chars = rest.strip_prefix('s').ok_or_else(|| wrong("it must be `s/REGEX/TEXT/`"))?.chars();
            let bound = chars.next().ok_or_else(|| wrong("it must be `s/REGEX/TEXT/`"))?;
            let mut part = || -> Result<String, Problem> {
                let mut out = String::new();
                loop {
                    match chars.next() {
                        Some('\\') => match chars.next() {
                            Some(c) if c == bound => out.push(c),
                            Some(c) => out.extend(['\\', c]),
                            None => return Err(wrong("it ends in a backslash")),
                        },
                        Some(c) if c == bound => return Ok(out),
                        Some(c) => out.push(c),
                        None => return Err(wrong("its end is missing")),
                    }
                }
            };
            let (regex, replacement) = (part()?, part()?);
            let after = chars.as_str();
            let (flags, next) = after.split_once(';').unwrap_or((after, ""));
            rest = next.trim_start_matches([';', ' ']);
            let mut rule = Rule {
                regex: Regex::new("").map_err(|e| wrong(&e.to_string()))?,
                parts: parts(&replacement),
                all: false,
                names: true,
                symlinks: true,
                hardlinks: true,
            };
            let (mut extended, mut ignore_case) = (false, false);
            for flag in flags.chars() {
                match flag {
                    'g' => rule.all = true,
                    'i' => ignore_case = true,
                    'x' => extended = true,
                    'r' | 'R' => rule.names = flag == 'r',
                    's' | 'S' => rule.symlinks = flag == 's',
                    'h' | 'H' => rule.hardlinks = flag == 'h',
                    other => return Err(wrong(&format!("the flag `{other}` is not supported"))),
                }
            }
            let pattern = if extended { regex } else { basic(&regex) };
            let pattern = if ignore_case { format!("(?i){pattern}") } else { pattern };
            rule.regex = Regex::new(&pattern).map_err(|e| wrong(&e.to_string()))?;
            rules.push(rule);
        }
        Ok(Self { rules })
    }

    pub fn name(&self, name: &str) -> String {
        self.apply(name, |r| r.names)
    }

    pub fn symlink(&self, target: &str) -> String {
        self.apply(target, |r| r.symlinks)
    }

    pub fn hardlink(&self, target: &str) -> String {
        self.apply(target, |r| r.hardlinks)
    }

    fn apply(&self, text: &str, counts: impl Fn(&Rule) -> bool) -> String {
        let mut text = text.to_owned();
        for rule in self.rules.iter().filter(|r| counts(r)) {
            let limit = usize::from(!rule.all);
            let replaced = rule.regex.replacen(&text, limit, |found: &fancy_regex::Captures<'_, str>| -> String {
                let group = |i: usize| found.get(i).map_or("", |m| m.as_str());
                rule.parts
                    .iter()
                    .map(|p| match p {
                        Part::Text(text) => text.as_str(),
                        Part::Group(i) => group(*i),
                    })
                    .collect()
            });
            text = replaced.into_owned();
        }
        text
    }
}

/// sed's replacement: `&` and `\1`.
fn parts(text: &str) -> Vec<Part> {
    let (mut all, mut plain) = (vec![], String::new());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let group = match c {
            '&' => Some(0),
            '\\' => match chars.next() {
                Some(d) if d.is_ascii_digit() => d.to_digit(10).and_then(|d| usize::try_from(d).ok()),
                Some(other) => {
                    plain.push(other);
                    None
                }
                None => None,
            },
            c => {
                plain.push(c);
                None
            }
        };
        if let Some(group) = group {
            all.push(Part::Text(std::mem::take(&mut plain)));
            all.push(Part::Group(group));
        }
    }
    all.push(Part::Text(plain));
    all
}

/// A basic regular expression written as others have it: where it has `\(`, they have `(`, and the other way round.
fn basic(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('(' | ')' | '{' | '}' | '|' | '+' | '?')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push_str("\\\\"),
            },
            '(' | ')' | '{' | '}' | '|' | '+' | '?' => out.extend(['\\', c]),
            // A set is written as it is.
            '[' => {
                out.push('[');
                for first in ['^', ']'] {
                    if chars.peek() == Some(&first) {
                        chars.next();
                        out.push_str(if first == ']' { "\\]" } else { "^" });
                    }
                }
                for c in chars.by_ref() {
                    if c == '\\' || c == '[' {
                        out.push('\\');
                    }
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            // At its beginning a star is one.
            '*' if out.is_empty() || out == "^" => out.push_str("\\*"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_sed_does() {
        let name = |rule: &str, name: &str| Transform::parse(rule).unwrap().name(name);
        assert_eq!(name("s/one/uno/", "./one/one"), "./uno/one");
        assert_eq!(name("s/one/uno/g", "./one/one"), "./uno/uno");
        assert_eq!(name("s,^\\./,opt/,", "./a"), "opt/a");
        assert_eq!(name("s|\\(a\\)\\(b*\\)|\\2-\\1-&|", "abb"), "bb-a-abb");
        assert_eq!(name("s/(a|b)+/x/x", "abab"), "x");
        assert_eq!(name("s/a+b/x/", "a+b"), "x");
        assert_eq!(name("s,[^/]*/,,", "x/a"), "a");
        assert_eq!(name("s/A/b/i;s/b/c/", "a"), "c");
        assert_eq!(Transform::parse("s/one/uno/S").unwrap().symlink("one"), "one");
        assert!(Transform::parse("y/a/b/").is_err() && Transform::parse("s/a/b").is_err());
    }
}
