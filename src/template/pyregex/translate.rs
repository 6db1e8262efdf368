//! A Python pattern in fancy-regex's syntax: what the two write differently, and what Python refuses.

use super::{Flags, RegexError, bad};

/// Rewrites a Python pattern into fancy-regex's syntax.
pub struct Translator<'p> {
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
    pub fn new(pattern: &'p str, flags: Flags) -> Self {
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

    /// The pattern for fancy-regex, and the groups' names by number.
    pub fn run(mut self) -> Result<(String, Vec<Option<String>>), RegexError> {
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
