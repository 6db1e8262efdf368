//! JMESPath: the query language of `json_query`. Reading a query into a tree; [`super::jmespath_run`] evaluates it.

use minijinja::Value;

/// A query's tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Current,
    Field(String),
    Index(i64),
    Slice([Option<i64>; 3]),
    Literal(Value),
    /// The right side is asked of the left side's answer.
    Sub(Box<Expr>, Box<Expr>),
    /// The right side is asked of each item of the left side's list, after the filter if there is one.
    List(Box<Expr>, Option<Box<Expr>>, Box<Expr>),
    /// … of each value of the left side's mapping.
    Values(Box<Expr>, Box<Expr>),
    /// One level of lists opened.
    Flatten(Box<Expr>),
    MultiList(Vec<Expr>),
    MultiHash(Vec<(String, Expr)>),
    Or(Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Compare(&'static str, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// `&expression`, an argument of `sort_by` and its like.
    Reference(Box<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Quoted(String),
    Number(i64),
    Literal(Value),
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 25] = [
    "[]", "[?", "&&", "||", "==", "!=", "<=", ">=", "[", "]", "{", "}", "(", ")", ".", "*", ",", ":", "@", "&", "|",
    "!", "<", ">", "-",
];

fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut out = vec![];
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            out.push(Token::Name(rest[..end].to_owned()));
            rest = &rest[end..];
            continue;
        }
        if c.is_ascii_digit() || (c == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let end = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |i| i + 1);
            out.push(Token::Number(
                rest[..end].parse().map_err(|_| format!("`{}` is too large a number", &rest[..end]))?,
            ));
            rest = &rest[end..];
            continue;
        }
        if matches!(c, '\'' | '"' | '`') {
            let (body, tail) = quoted(&rest[1..], c).ok_or_else(|| format!("a {c} is not closed"))?;
            out.push(match c {
                '\'' => Token::Literal(Value::from(body.replace("\\'", "'"))),
                '"' => {
                    let text =
                        super::json::loads(&format!("\"{body}\"")).map_err(|e| format!("a bad name in quotes: {e}"))?;
                    Token::Quoted(text.as_str().unwrap_or_default().to_owned())
                }
                _ => {
                    let body = body.replace("\\`", "`");
                    // bare words may stand without quotes, as the older language had it
                    let value = super::json::loads(body.trim())
                        .or_else(|_| super::json::loads(&format!("\"{}\"", body.trim_start())));
                    Token::Literal(value.map_err(|e| format!("a bad literal: {e}"))?)
                }
            });
            rest = tail;
            continue;
        }
        let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)).filter(|s| **s != "-") else {
            return Err(format!("`{c}` means nothing here"));
        };
        out.push(Token::Sign(sign));
        rest = &rest[sign.len()..];
    }
    out.push(Token::End);
    Ok(out)
}

/// Up to the closing mark; a backslash protects what follows.
fn quoted(text: &str, mark: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return Some((&text[..i], &text[i + 1..])),
            _ => {}
        }
    }
    None
}

/// How strongly a sign binds what stands before it.
fn power(token: &Token) -> u8 {
    let Token::Sign(sign) = token else { return 0 };
    match *sign {
        "|" => 1,
        "||" => 2,
        "&&" => 3,
        "==" | "!=" | "<" | "<=" | ">" | ">=" => 5,
        "[]" => 9,
        "*" => 20,
        "[?" => 21,
        "." => 40,
        "!" => 45,
        "{" => 50,
        "[" => 55,
        "(" => 60,
        _ => 0,
    }
}

/// What binds weaker than this ends a projection.
const PROJECTION_STOP: u8 = 10;

/// Reads a query.
pub fn parse(query: &str) -> Result<Expr, String> {
    let mut parser = Parser { tokens: tokens(query)?, at: 0, depth: 0 };
    let expr = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(expr),
        other => Err(format!("{} is not expected", shown(other))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(n) | Token::Quoted(n) => format!("`{n}`"),
        Token::Number(n) => format!("`{n}`"),
        Token::Literal(v) => format!("`{v}`"),
        Token::Sign(s) => format!("`{s}`"),
        Token::End => "the end".into(),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is(&self, sign: &str) -> bool {
        *self.peek() == Token::Sign(SIGNS.iter().find(|s| **s == sign).copied().unwrap_or(""))
    }

    fn eat(&mut self, sign: &str) -> Result<(), String> {
        if self.is(sign) {
            self.next();
            return Ok(());
        }
        Err(format!("`{sign}` is expected instead of {}", shown(self.peek())))
    }

    fn expression(&mut self, floor: u8) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > 100 {
            return Err("the query is nested too deep".into());
        }
        let token = self.next();
        let mut left = self.prefix(token)?;
        while floor < power(self.peek()) {
            let token = self.next();
            left = self.infix(token, left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self, token: Token) -> Result<Expr, String> {
        let current = || Box::new(Expr::Current);
        Ok(match token {
            Token::Literal(value) => Expr::Literal(value),
            Token::Quoted(name) => Expr::Field(name),
            Token::Name(name) if self.is("(") => {
                self.next();
                let mut arguments = vec![];
                while !self.is(")") {
                    arguments.push(self.expression(0)?);
                    if !self.is(")") {
                        self.eat(",")?;
                    }
                }
                self.next();
                Expr::Call(name, arguments)
            }
            Token::Name(name) => Expr::Field(name),
            Token::Sign("*") => {
                let right = if self.is("]") { Expr::Current } else { self.projected(20)? };
                Expr::Values(current(), Box::new(right))
            }
            Token::Sign("[?") => self.filter(Expr::Current)?,
            Token::Sign("{") => self.hash()?,
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.eat(")")?;
                inner
            }
            Token::Sign("[]") => {
                let right = self.projected(9)?;
                Expr::List(Box::new(Expr::Flatten(current())), None, Box::new(right))
            }
            Token::Sign("!") => Expr::Not(Box::new(self.expression(45)?)),
            Token::Sign("[") => {
                if matches!(self.peek(), Token::Number(_)) || self.is(":") {
                    self.index(Expr::Current)?
                } else if self.is("*") && self.tokens.get(self.at + 1) == Some(&Token::Sign("]")) {
                    self.at += 2;
                    let right = self.projected(20)?;
                    Expr::List(current(), None, Box::new(right))
                } else {
                    self.multi_list()?
                }
            }
            Token::Sign("@") => Expr::Current,
            Token::Sign("&") => Expr::Reference(Box::new(self.expression(0)?)),
            other => return Err(format!("{} is not expected", shown(&other))),
        })
    }

    fn infix(&mut self, token: Token, left: Expr) -> Result<Expr, String> {
        let left = Box::new(left);
        let Token::Sign(sign) = token else { return Err(format!("{} is not expected", shown(&token))) };
        Ok(match sign {
            "." => {
                if self.is("*") {
                    self.next();
                    let right = self.projected(20)?;
                    Expr::Values(left, Box::new(right))
                } else {
                    Expr::Sub(left, Box::new(self.after_dot(40)?))
                }
            }
            "|" => Expr::Sub(left, Box::new(self.expression(1)?)),
            "||" => Expr::Or(left, Box::new(self.expression(2)?)),
            "&&" => Expr::And(left, Box::new(self.expression(3)?)),
            "==" | "!=" | "<" | "<=" | ">" | ">=" => Expr::Compare(sign, left, Box::new(self.expression(5)?)),
            "[?" => self.filter(*left)?,
            "[]" => {
                let right = self.projected(9)?;
                Expr::List(Box::new(Expr::Flatten(left)), None, Box::new(right))
            }
            "[" => {
                if matches!(self.peek(), Token::Number(_)) || self.is(":") {
                    self.index(*left)?
                } else {
                    self.eat("*")?;
                    self.eat("]")?;
                    let right = self.projected(20)?;
                    Expr::List(left, None, Box::new(right))
                }
            }
            other => return Err(format!("`{other}` is not expected")),
        })
    }

    /// What follows a projection and is asked of each of its items.
    fn projected(&mut self, floor: u8) -> Result<Expr, String> {
        if power(self.peek()) < PROJECTION_STOP {
            return Ok(Expr::Current);
        }
        if self.is("[") || self.is("[?") {
            return self.expression(floor);
        }
        if self.is(".") {
            self.next();
            if self.is("*") {
                self.next();
                let right = self.projected(20)?;
                return Ok(Expr::Values(Box::new(Expr::Current), Box::new(right)));
            }
            return self.after_dot(floor);
        }
        Err(format!("{} is not expected", shown(self.peek())))
    }

    fn after_dot(&mut self, floor: u8) -> Result<Expr, String> {
        match self.peek() {
            Token::Name(_) | Token::Quoted(_) => self.expression(floor),
            Token::Sign("[") => {
                self.next();
                self.multi_list()
            }
            Token::Sign("{") => {
                self.next();
                self.hash()
            }
            other => Err(format!("{} is not expected after a dot", shown(other))),
        }
    }

    fn filter(&mut self, left: Expr) -> Result<Expr, String> {
        let condition = self.expression(0)?;
        self.eat("]")?;
        let right = if self.is("[]") { Expr::Current } else { self.projected(21)? };
        Ok(Expr::List(Box::new(left), Some(Box::new(condition)), Box::new(right)))
    }

    fn index(&mut self, left: Expr) -> Result<Expr, String> {
        let mut parts = [None, None, None];
        let mut colons = 0;
        loop {
            match self.next() {
                Token::Number(n) => parts[colons] = Some(n),
                Token::Sign(":") if colons < 2 => colons += 1,
                Token::Sign("]") => break,
                other => return Err(format!("{} is not expected in an index", shown(&other))),
            }
        }
        if colons == 0 {
            let index = parts[0].ok_or("an index is empty")?;
            return Ok(Expr::Sub(Box::new(left), Box::new(Expr::Index(index))));
        }
        let right = self.projected(20)?;
        Ok(Expr::List(Box::new(Expr::Sub(Box::new(left), Box::new(Expr::Slice(parts)))), None, Box::new(right)))
    }

    fn multi_list(&mut self) -> Result<Expr, String> {
        let mut parts = vec![];
        loop {
            parts.push(self.expression(0)?);
            if self.is("]") {
                self.next();
                return Ok(Expr::MultiList(parts));
            }
            self.eat(",")?;
        }
    }

    fn hash(&mut self) -> Result<Expr, String> {
        let mut parts = vec![];
        loop {
            let name = match self.next() {
                Token::Name(n) | Token::Quoted(n) => n,
                other => return Err(format!("{} is no key", shown(&other))),
            };
            self.eat(":")?;
            parts.push((name, self.expression(0)?));
            if self.is("}") {
                self.next();
                return Ok(Expr::MultiHash(parts));
            }
            self.eat(",")?;
        }
    }
}
