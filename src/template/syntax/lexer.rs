//! Template text to tokens, by Jinja's rules for whitespace and delimiters.

use std::sync::Arc;

use super::SyntaxError;

/// How a text is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LexOptions {
    pub block: (String, String),
    pub variable: (String, String),
    pub comment: (String, String),
    pub trim_blocks: bool,
    pub lstrip_blocks: bool,
    pub keep_trailing_newline: bool,
    /// Jinja's escapes apply in string literals (template files); otherwise a backslash stays as written (YAML values).
    pub escapes: bool,
}

impl Default for LexOptions {
    fn default() -> Self {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        Self {
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            trim_blocks: false,
            lstrip_blocks: false,
            keep_trailing_newline: false,
            escapes: false,
        }
    }
}

/// True if a text holds a template's opening at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

#[derive(Debug, Clone, PartialEq)]
pub enum Tok {
    Text(Arc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    Op(&'static str),
    End,
}

impl Tok {
    pub fn describe(&self) -> String {
        match self {
            Self::Text(_) => "text".into(),
            Self::VariableBegin => "begin of print statement".into(),
            Self::VariableEnd => "end of print statement".into(),
            Self::BlockBegin => "begin of statement block".into(),
            Self::BlockEnd => "end of statement block".into(),
            Self::Name(n) => format!("`{n}`"),
            Self::Str(_) => "text in quotes".into(),
            Self::Int(_) | Self::Float(_) => "number".into(),
            Self::Op(op) => format!("`{op}`"),
            Self::End => "end of the template".into(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Token {
    pub tok: Tok,
    pub start: u32,
    pub end: u32,
}

const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

pub struct Lexer<'a> {
    source: &'a str,
    options: &'a LexOptions,
    pos: usize,
    tokens: Vec<Token>,
}

/// All tokens of a template.
pub fn lex_template(source: &str, options: &LexOptions) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { source, options, pos: 0, tokens: vec![] };
    lexer.template()?;
    Ok(lexer.tokens)
}

/// All tokens of a bare expression.
pub fn lex_expression(source: &str, options: &LexOptions) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { source, options, pos: 0, tokens: vec![] };
    lexer.code(None, source.len())?;
    lexer.push(Tok::End, source.len(), source.len());
    Ok(lexer.tokens)
}

#[derive(Clone, Copy, PartialEq)]
enum Opening {
    Variable,
    Block,
    Comment,
}

impl Lexer<'_> {
    fn push(&mut self, tok: Tok, start: usize, end: usize) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "templates are far smaller than 4 GB; longer ones are refused"
        )]
        self.tokens.push(Token { tok, start: start as u32, end: end as u32 });
    }

    fn text(&mut self, start: usize, end: usize) {
        if start < end {
            let text = &self.source[start..end];
            let text: Arc<str> =
                if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() };
            self.push(Tok::Text(text), start, end);
        }
    }

    fn next_opening(&self, from: usize) -> Option<(usize, Opening, usize)> {
        let rest = &self.source[from..];
        let all = [
            (Opening::Block, &self.options.block.0),
            (Opening::Comment, &self.options.comment.0),
            (Opening::Variable, &self.options.variable.0),
        ];
        all.into_iter()
            .filter_map(|(kind, mark)| rest.find(mark.as_str()).map(|at| (from + at, kind, mark.len())))
            .min_by_key(|(at, _, len)| (*at, usize::MAX - len))
    }

    fn template(&mut self) -> Result<(), SyntaxError> {
        if u32::try_from(self.source.len()).is_err() {
            return Err(SyntaxError::new("the template is too long", 0, 0));
        }
        let mut end = self.source.len();
        if !self.options.keep_trailing_newline {
            let cut = &self.source[..end];
            let cut = cut.strip_suffix("\r\n").or_else(|| cut.strip_suffix(['\n', '\r'])).unwrap_or(cut);
            end = cut.len();
        }
        let source = &self.source[..end];
        self.source = source;
        // Where the text that is not yet put out begins; moved forward by `-` and trimmed newlines.
        let mut text_start = 0;
        loop {
            let Some((at, kind, len)) = self.next_opening(text_start) else {
                self.text(text_start, source.len());
                self.push(Tok::End, source.len(), source.len());
                return Ok(());
            };
            let mut inner = at + len;
            let mut text_end = at;
            match source[inner..].chars().next() {
                Some('-') => {
                    inner += 1;
                    text_end = text_start + source[text_start..at].trim_end().len();
                }
                Some('+') if kind != Opening::Variable => inner += 1,
                _ if self.options.lstrip_blocks && kind != Opening::Variable => {
                    let line = source[text_start..at].rfind('\n').map(|i| text_start + i + 1);
                    let line_start = match line {
                        Some(i) => Some(i),
                        None if text_start == 0 || source[..text_start].ends_with('\n') => Some(text_start),
                        None => None,
                    };
                    if let Some(i) = line_start
                        && source[i..at].trim().is_empty()
                    {
                        text_end = i;
                    }
                }
                _ => {}
            }
            self.text(text_start, text_end);
            match kind {
                Opening::Comment => {
                    let close = self.options.comment.1.clone();
                    let Some(close_at) = source[inner..].find(&close).map(|i| inner + i) else {
                        return Err(SyntaxError::new("the comment is not closed", at, source.len()));
                    };
                    text_start = self.after_close(close_at, close.len(), source[..close_at].chars().last());
                }
                Opening::Variable => {
                    self.push(Tok::VariableBegin, at, inner);
                    self.pos = inner;
                    let close = self.options.variable.1.clone();
                    let (close_at, sign) = self.code(Some(&close), source.len())?;
                    let close_end = close_at + usize::from(sign.is_some()) + close.len();
                    self.push(Tok::VariableEnd, close_at, close_end);
                    text_start = close_end;
                    if sign == Some('-') {
                        text_start = source.len() - source[close_end..].trim_start().len();
                    }
                }
                Opening::Block => {
                    if let Some(next) = self.raw_block(at, inner)? {
                        text_start = next;
                        continue;
                    }
                    self.push(Tok::BlockBegin, at, inner);
                    self.pos = inner;
                    let close = self.options.block.1.clone();
                    let (close_at, sign) = self.code(Some(&close), source.len())?;
                    let mark = close_at + usize::from(sign.is_some());
                    self.push(Tok::BlockEnd, close_at, mark + close.len());
                    text_start = self.after_close(mark, close.len(), sign);
                }
            }
        }
    }

    /// Where text goes on after a closing mark at `at`: `-` takes all white space, `trim_blocks` one newline unless `+`.
    fn after_close(&self, at: usize, len: usize, sign: Option<char>) -> usize {
        let end = at + len;
        let rest = &self.source[end..];
        match sign {
            Some('-') => self.source.len() - rest.trim_start().len(),
            Some('+') => end,
            _ if self.options.trim_blocks => {
                let cut = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r'])).unwrap_or(rest);
                self.source.len() - cut.len()
            }
            _ => end,
        }
    }

    /// `{% raw %}…{% endraw %}` beginning at `at`; where text goes on.
    fn raw_block(&mut self, at: usize, inner: usize) -> Result<Option<usize>, SyntaxError> {
        let source = self.source;
        let (open, close) = self.options.block.clone();
        let Some((sign, body)) = tag(source, inner, "raw", &close) else { return Ok(None) };
        let mut from = match sign {
            Some('-') => source.len() - source[body..].trim_start().len(),
            // `trim_blocks` is not for the beginning of a raw block.
            _ => body,
        };
        let mut search = body;
        while let Some(i) = source[search..].find(&open).map(|i| search + i) {
            let mut after = i + open.len();
            let lead = source[after..].chars().next().filter(|c| matches!(c, '-' | '+'));
            if lead.is_some() {
                after += 1;
            }
            if let Some((sign, end)) = tag(source, after, "endraw", &close) {
                from = from.min(i);
                let mut to = i;
                if lead == Some('-') {
                    to = from + source[from..i].trim_end().len();
                } else if lead.is_none() && self.options.lstrip_blocks {
                    let line = source[from..i].rfind('\n').map_or(from, |n| from + n + 1);
                    if source[line..i].trim().is_empty() {
                        to = line;
                    }
                }
                self.text(from, to);
                return Ok(Some(self.after_close(end - close.len(), close.len(), sign)));
            }
            search = i + open.len();
        }
        Err(SyntaxError::new("`{% raw %}` is not closed by `{% endraw %}`", at, source.len()))
    }

    /// Tokens of code up to the closing mark; its place (of the sign, if any) and sign.
    fn code(&mut self, close: Option<&str>, limit: usize) -> Result<(usize, Option<char>), SyntaxError> {
        let begin = self.pos;
        let mut open: Vec<(char, usize)> = vec![];
        loop {
            let rest = &self.source[self.pos..limit];
            let trimmed = rest.trim_start();
            self.pos += rest.len() - trimmed.len();
            let start = self.pos;
            let Some(first) = trimmed.chars().next() else {
                return match close {
                    None => match open.last() {
                        Some((c, at)) => Err(SyntaxError::new(format!("`{c}` is not closed"), *at, *at + 1)),
                        None => Ok((start, None)),
                    },
                    Some(close) => {
                        Err(SyntaxError::new(format!("`{close}` is missing"), begin.saturating_sub(2), limit))
                    }
                };
            };
            if let Some(close) = close
                && open.is_empty()
            {
                if trimmed.starts_with(close) {
                    self.pos = start + close.len();
                    return Ok((start, None));
                }
                if matches!(first, '-' | '+') && trimmed[1..].starts_with(close) {
                    self.pos = start + 1 + close.len();
                    return Ok((start, Some(first)));
                }
            }
            if first == '\'' || first == '"' {
                self.string(first, start)?;
            } else if first.is_ascii_digit() {
                self.number(start, limit)?;
            } else if first == '_' || first.is_alphabetic() {
                let len = trimmed.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(trimmed.len());
                self.pos += len;
                self.push(Tok::Name(trimmed[..len].into()), start, start + len);
            } else if let Some(op) = OPERATORS.iter().find(|op| trimmed.starts_with(**op)) {
                match *op {
                    "(" | "[" | "{" => open.push((first, start)),
                    ")" | "]" | "}" => {
                        let wanted = match *op {
                            ")" => '(',
                            "]" => '[',
                            _ => '{',
                        };
                        match open.pop() {
                            Some((c, _)) if c == wanted => {}
                            _ => return Err(SyntaxError::new(format!("unexpected `{op}`"), start, start + 1)),
                        }
                    }
                    _ => {}
                }
                self.pos += op.len();
                self.push(Tok::Op(op), start, start + op.len());
            } else {
                return Err(SyntaxError::new(
                    format!("unexpected character `{first}`"),
                    start,
                    start + first.len_utf8(),
                ));
            }
        }
    }

    fn string(&mut self, quote: char, start: usize) -> Result<(), SyntaxError> {
        let body = &self.source[start + 1..];
        let mut end = None;
        let mut skip = false;
        for (i, c) in body.char_indices() {
            if skip {
                skip = false;
            } else if c == '\\' {
                skip = true;
            } else if c == quote {
                end = Some(i);
                break;
            }
        }
        let Some(end) = end else {
            return Err(SyntaxError::new("the quoted text is not closed", start, self.source.len().min(start + 1)));
        };
        let raw = &body[..end];
        let text: Arc<str> = if self.options.escapes && raw.contains('\\') { unescape(raw).into() } else { raw.into() };
        self.pos = start + end + 2;
        self.push(Tok::Str(text), start, start + end + 2);
        Ok(())
    }

    fn number(&mut self, start: usize, limit: usize) -> Result<(), SyntaxError> {
        let rest = &self.source[start..limit];
        let bytes = rest.as_bytes();
        let after_dot = self.source[..start].ends_with('.');
        let radix = match rest.get(..2) {
            Some("0x" | "0X") => 16,
            Some("0o" | "0O") => 8,
            Some("0b" | "0B") => 2,
            _ => 10,
        };
        let bad = |len: usize| SyntaxError::new("not a number", start, start + len);
        if radix != 10 {
            let len = 2 + bytes[2..].iter().take_while(|b| (**b as char).is_digit(radix) || **b == b'_').count();
            let value = i128::from_str_radix(&rest[2..len].replace('_', ""), radix).map_err(|_| bad(len))?;
            self.pos = start + len;
            self.push(Tok::Int(value), start, start + len);
            return Ok(());
        }
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
        let mut len = digits(0);
        let mut float = false;
        if !after_dot {
            if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
                len += 1;
                len += digits(len);
                float = true;
            }
            if matches!(bytes.get(len), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
                if bytes.get(len + 1 + sign).is_some_and(u8::is_ascii_digit) {
                    len += 1 + sign;
                    len += digits(len);
                    float = true;
                }
            }
        }
        // Jinja ends a number after a leading zero: `0644` is two of them.
        if !float && !after_dot && len > 1 && bytes[0] == b'0' && !bytes[..len].iter().all(|b| matches!(b, b'0' | b'_'))
        {
            return Err(SyntaxError::new("a number with a leading zero", start, start + len));
        }
        let text = rest[..len].replace('_', "");
        let tok = if float {
            Tok::Float(text.parse().map_err(|_| bad(len))?)
        } else {
            Tok::Int(text.parse().map_err(|_| bad(len))?)
        };
        self.pos = start + len;
        self.push(tok, start, start + len);
        Ok(())
    }
}

/// `name` with nothing but white space around it and then the closing mark, which may have a sign: sign and end.
fn tag(source: &str, at: usize, name: &str, close: &str) -> Option<(Option<char>, usize)> {
    let rest = source[at..].trim_start().strip_prefix(name)?.trim_start();
    let (sign, rest) = match rest.chars().next() {
        Some(c @ ('-' | '+')) if rest[1..].starts_with(close) => (Some(c), &rest[1..]),
        _ => (None, rest),
    };
    let rest = rest.strip_prefix(close)?;
    Some((sign, source.len() - rest.len()))
}

/// Python's escapes; an unknown one stays as it is.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = chars.next() else {
            out.push('\\');
            break;
        };
        let mut hex = |count: usize| {
            let digits: String = chars.clone().take(count).take_while(char::is_ascii_hexdigit).collect();
            (digits.len() == count).then(|| {
                for _ in 0..count {
                    chars.next();
                }
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
            })
        };
        let known = match escape {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'v' => Some('\u{b}'),
            '\\' | '\'' | '"' => Some(escape),
            'x' => hex(2),
            'u' => hex(4),
            'U' => hex(8),
            '\n' => continue,
            '0'..='7' => {
                let mut value = escape as u32 - '0' as u32;
                for _ in 0..2 {
                    match chars.peek().and_then(|c| c.to_digit(8)) {
                        Some(d) => {
                            value = value * 8 + d;
                            chars.next();
                        }
                        None => break,
                    }
                }
                char::from_u32(value)
            }
            _ => None,
        };
        match known {
            Some(c) => out.push(c),
            None => {
                out.push('\\');
                out.push(escape);
            }
        }
    }
    out
}
