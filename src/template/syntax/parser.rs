//! Tokens to a tree, by Jinja's grammar.

use std::sync::Arc;

use minijinja::Value;

use super::ast::{Args, BinaryOp, CompareOp, Expr, ExprKind, ForLoop, Macro, More, Stmt, StmtKind, Template};
use super::lexer::{LexOptions, Tok, Token, lex_expression, lex_template};

/// What is wrong with a template's text, and where in it.
#[derive(Debug, Clone)]
pub struct SyntaxError {
    pub message: String,
    pub start: usize,
    pub end: usize,
}

impl SyntaxError {
    pub fn new(message: impl Into<String>, start: usize, end: usize) -> Self {
        Self { message: message.into(), start, end }
    }
}

type Result<T> = std::result::Result<T, SyntaxError>;

/// Nesting beyond this is refused, so that no template can exhaust the stack.
const MAX_DEPTH: usize = 100;
/// As long may one chain of operators, attributes or filters be: each link nests the tree by one.
const MAX_CHAIN: usize = 500;

pub fn parse_template(source: &str, options: &LexOptions) -> Result<Template> {
    let mut parser = Parser { tokens: lex_template(source, options)?, at: 0, depth: 0, loops: 0, blocks: vec![] };
    let body = parser.body(&[])?;
    Ok(Template { source: source.into(), body: Arc::new(body) })
}

/// What a macro with this body takes beyond its parameters.
fn more(body: &[Stmt]) -> More {
    let names = super::names::Survey::of_body(body).names();
    let mentions = |name: &str| names.contains(name);
    More { positional: mentions("varargs"), named: mentions("kwargs"), caller: mentions("caller") }
}

pub fn parse_expression(source: &str, options: &LexOptions) -> Result<Expr> {
    let mut parser = Parser { tokens: lex_expression(source, options)?, at: 0, depth: 0, loops: 0, blocks: vec![] };
    let expr = parser.tuple(true, &[])?;
    match parser.peek() {
        Tok::End => Ok(expr),
        _ => parser.unexpected("the end of the expression"),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    loops: usize,
    blocks: Vec<Arc<str>>,
}

impl Parser {
    fn peek(&self) -> &Tok {
        &self.tokens[self.at].tok
    }

    fn peek_second(&self) -> &Tok {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].tok
    }

    fn start(&self) -> u32 {
        self.tokens[self.at].start
    }

    /// Where the last taken token ended.
    fn end(&self) -> u32 {
        self.tokens[self.at.saturating_sub(1)].end
    }

    fn next(&mut self) -> Tok {
        let tok = self.tokens[self.at].tok.clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        tok
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(o) if *o == op)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Tok::Name(n) if &**n == name)
    }

    fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.next();
        }
        found
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        let token = &self.tokens[self.at];
        let message = format!("unexpected {}, expected {wanted}", token.tok.describe());
        Err(SyntaxError::new(message, token.start as usize, token.end as usize))
    }

    fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) { Ok(()) } else { self.unexpected(&format!("`{op}`")) }
    }

    fn expect_name(&mut self, name: &str) -> Result<()> {
        if self.skip_name(name) { Ok(()) } else { self.unexpected(&format!("`{name}`")) }
    }

    fn expect_block_end(&mut self) -> Result<()> {
        if *self.peek() == Tok::BlockEnd {
            self.next();
            Ok(())
        } else {
            self.unexpected("the end of the statement")
        }
    }

    fn name(&mut self) -> Result<Arc<str>> {
        match self.peek().clone() {
            Tok::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let token = &self.tokens[self.at];
            return Err(SyntaxError::new(
                "the template is nested too deeply",
                token.start as usize,
                token.end as usize,
            ));
        }
        let result = crate::template::stack::grow(|| parse(self));
        self.depth -= 1;
        result
    }

    /// One more link of a chain.
    fn link(&self, count: &mut usize) -> Result<()> {
        *count += 1;
        if *count > MAX_CHAIN {
            let token = &self.tokens[self.at];
            return Err(SyntaxError::new("the expression is too long", token.start as usize, token.end as usize));
        }
        Ok(())
    }

    fn expr_from(&self, start: u32, kind: ExprKind) -> Expr {
        Expr { kind, start, end: self.end() }
    }

    // Statements

    /// Nodes up to a block that begins with one of `stops` (its name not yet taken), or the end of the template.
    fn body(&mut self, stops: &[&str]) -> Result<Vec<Stmt>> {
        let mut nodes = vec![];
        loop {
            let start = self.start();
            match self.next() {
                Tok::Text(text) => {
                    nodes.push(Stmt { kind: StmtKind::Text(Value::from(&*text)), start, end: self.end() });
                }
                Tok::VariableBegin => {
                    let expr = self.tuple(true, &[])?;
                    if *self.peek() != Tok::VariableEnd {
                        return self.unexpected("the end of the print statement");
                    }
                    self.next();
                    nodes.push(Stmt { kind: StmtKind::Emit(expr), start, end: self.end() });
                }
                Tok::BlockBegin => {
                    if let Tok::Name(name) = self.peek()
                        && stops.contains(&&**name)
                    {
                        return Ok(nodes);
                    }
                    let kind = self.deeper(Self::statement)?;
                    nodes.push(Stmt { kind, start, end: self.end() });
                }
                Tok::End if stops.is_empty() => return Ok(nodes),
                Tok::End => {
                    let wanted = stops.last().copied().unwrap_or_default();
                    let at = self.tokens.last().map_or(0, |t| t.start as usize);
                    return Err(SyntaxError::new(format!("`{{% {wanted} %}}` is missing"), at, at));
                }
                _ => return self.unexpected("text or a block"),
            }
        }
    }

    /// The body up to `{% end %}`, which is taken whole.
    fn body_until(&mut self, end: &str) -> Result<Vec<Stmt>> {
        self.expect_block_end()?;
        let body = self.body(&[end])?;
        self.next();
        self.expect_block_end()?;
        Ok(body)
    }

    fn statement(&mut self) -> Result<StmtKind> {
        let name = match self.peek() {
            Tok::Name(name) => name.clone(),
            _ => return self.unexpected("a statement's name"),
        };
        let (start, end) = (self.start() as usize, self.tokens[self.at].end as usize);
        self.next();
        let kind = match &*name {
            "for" => return self.for_loop(),
            "if" => return self.if_block(),
            "set" => return self.set(),
            "with" => return self.with(),
            "macro" => return self.macro_block(),
            "call" => return self.call_block(),
            "block" => return self.block(),
            "filter" => {
                let filter = self.filter_chain()?;
                let body = self.body_until("endfilter")?;
                return Ok(StmtKind::FilterBlock { filter, body });
            }
            "autoescape" => {
                self.expr()?;
                return Ok(StmtKind::Group(self.body_until("endautoescape")?));
            }
            "do" => StmtKind::Do(self.tuple(true, &[])?),
            "print" => StmtKind::Emit(self.tuple(true, &[])?),
            "extends" => StmtKind::Extends(self.expr()?),
            "include" => self.include()?,
            "import" => {
                let name = self.expr()?;
                self.expect_name("as")?;
                let alias = self.name()?;
                StmtKind::Import { name, alias, with_context: self.context_marker(false)? }
            }
            "from" => self.import_names()?,
            "break" | "continue" if self.loops == 0 => {
                return Err(SyntaxError::new(format!("`{name}` outside of a loop"), start, end));
            }
            "break" => StmtKind::Break,
            "continue" => StmtKind::Continue,
            _ if name.starts_with("end") || &*name == "else" || &*name == "elif" => {
                return Err(SyntaxError::new(format!("`{name}` closes nothing here"), start, end));
            }
            _ => return Err(SyntaxError::new(format!("unknown statement `{name}`"), start, end)),
        };
        self.expect_block_end()?;
        Ok(kind)
    }

    fn for_loop(&mut self) -> Result<StmtKind> {
        let target = self.assign_target(false)?;
        self.expect_name("in")?;
        let iter = self.tuple(false, &["recursive"])?;
        let filter = if self.skip_name("if") { Some(self.expr()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.expect_block_end()?;
        self.loops += 1;
        let body = self.body(&["endfor", "else"])?;
        self.loops -= 1;
        let mut otherwise = vec![];
        if self.skip_name("else") {
            self.expect_block_end()?;
            otherwise = self.body(&["endfor"])?;
        }
        self.next();
        self.expect_block_end()?;
        Ok(StmtKind::For(Arc::new(ForLoop { target, iter, filter, recursive, body, otherwise })))
    }

    fn if_block(&mut self) -> Result<StmtKind> {
        let mut branches = vec![];
        loop {
            let test = self.tuple(false, &[])?;
            self.expect_block_end()?;
            branches.push((test, self.body(&["elif", "else", "endif"])?));
            if self.skip_name("elif") {
                continue;
            }
            let mut otherwise = vec![];
            if self.skip_name("else") {
                self.expect_block_end()?;
                otherwise = self.body(&["endif"])?;
            }
            self.next();
            self.expect_block_end()?;
            return Ok(StmtKind::If { branches, otherwise });
        }
    }

    fn set(&mut self) -> Result<StmtKind> {
        let target = self.assign_target(true)?;
        if self.skip_op("=") {
            let value = self.tuple(true, &[])?;
            self.expect_block_end()?;
            return Ok(StmtKind::Set { target, value });
        }
        let filter = if self.skip_op("|") { Some(self.filter_chain()?) } else { None };
        let body = self.body_until("endset")?;
        Ok(StmtKind::SetBlock { target, filter, body })
    }

    fn with(&mut self) -> Result<StmtKind> {
        let mut assignments = vec![];
        while *self.peek() != Tok::BlockEnd {
            if !assignments.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.assign_target(false)?;
            self.expect_op("=")?;
            assignments.push((target, self.expr()?));
        }
        let body = self.body_until("endwith")?;
        Ok(StmtKind::With { assignments, body })
    }

    fn signature(&mut self) -> Result<Vec<(Arc<str>, Option<Expr>)>> {
        let mut params: Vec<(Arc<str>, Option<Expr>)> = vec![];
        self.expect_op("(")?;
        while !self.skip_op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            let name = self.name()?;
            let default = if self.skip_op("=") { Some(self.expr()?) } else { None };
            if default.is_none() && params.last().is_some_and(|(_, d)| d.is_some()) {
                return self.unexpected("`=`: a parameter without a default follows one that has one");
            }
            params.push((name, default));
        }
        Ok(params)
    }

    fn macro_block(&mut self) -> Result<StmtKind> {
        let name = self.name()?;
        let params = self.signature()?;
        let loops = std::mem::take(&mut self.loops);
        let body = self.body_until("endmacro")?;
        self.loops = loops;
        let more = more(&body);
        Ok(StmtKind::Macro(Arc::new(Macro { name, params, body, more })))
    }

    fn call_block(&mut self) -> Result<StmtKind> {
        let params = if self.is_op("(") { self.signature()? } else { vec![] };
        let call = self.expr()?;
        if !matches!(call.kind, ExprKind::Call(..)) {
            return Err(SyntaxError::new("`{% call %}` needs a call", call.start as usize, call.end as usize));
        }
        let loops = std::mem::take(&mut self.loops);
        let body = self.body_until("endcall")?;
        self.loops = loops;
        let more = more(&body);
        Ok(StmtKind::CallBlock { call, caller: Arc::new(Macro { name: "caller".into(), params, body, more }) })
    }

    fn block(&mut self) -> Result<StmtKind> {
        let (start, end) = (self.start() as usize, self.tokens[self.at].end as usize);
        let name = self.name()?;
        if self.blocks.contains(&name) {
            return Err(SyntaxError::new(format!("block `{name}` is defined twice"), start, end));
        }
        self.blocks.push(name.clone());
        self.skip_name("scoped");
        self.skip_name("required");
        self.expect_block_end()?;
        let loops = std::mem::take(&mut self.loops);
        let body = self.body(&["endblock"])?;
        self.loops = loops;
        self.next();
        if let Tok::Name(_) = self.peek() {
            self.next();
        }
        self.expect_block_end()?;
        Ok(StmtKind::Block { name, body: Arc::new(body) })
    }

    fn context_marker(&mut self, default: bool) -> Result<bool> {
        let with = self.is_name("with");
        if (with || self.is_name("without")) && matches!(self.peek_second(), Tok::Name(n) if &**n == "context") {
            self.next();
            self.next();
            return Ok(with);
        }
        Ok(default)
    }

    fn include(&mut self) -> Result<StmtKind> {
        let name = self.expr()?;
        let mut ignore_missing = false;
        if self.skip_name("ignore") {
            self.expect_name("missing")?;
            ignore_missing = true;
        }
        let with_context = self.context_marker(true)?;
        Ok(StmtKind::Include { name, ignore_missing, with_context })
    }

    fn import_names(&mut self) -> Result<StmtKind> {
        let name = self.expr()?;
        self.expect_name("import")?;
        let mut names = vec![];
        let mut with_context = false;
        loop {
            if self.is_name("with") || self.is_name("without") {
                let before = self.at;
                with_context = self.context_marker(false)?;
                if self.at != before {
                    break;
                }
            }
            if *self.peek() == Tok::BlockEnd {
                break;
            }
            let original = self.name()?;
            let alias = if self.skip_name("as") { self.name()? } else { original.clone() };
            names.push((original, alias));
            if !self.skip_op(",") {
                with_context = self.context_marker(false)?;
                break;
            }
        }
        if names.is_empty() {
            return self.unexpected("names to import");
        }
        Ok(StmtKind::FromImport { name, names, with_context })
    }

    /// A name, dotted name (`ns.x`, only in `set`) or tuple of names.
    fn assign_target(&mut self, dotted: bool) -> Result<Expr> {
        let start = self.start();
        let mut items = vec![];
        let mut is_tuple = false;
        loop {
            if self.skip_op("(") {
                items.push(self.assign_target(dotted)?);
                self.expect_op(")")?;
            } else {
                let at = self.start();
                let name = self.name()?;
                if matches!(&*name, "true" | "True" | "false" | "False" | "none" | "None") {
                    let (a, b) = (at as usize, self.end() as usize);
                    return Err(SyntaxError::new(format!("cannot assign to `{name}`"), a, b));
                }
                let mut target = self.expr_from(at, ExprKind::Name(name));
                while dotted && self.skip_op(".") {
                    let attr = self.name()?;
                    target = self.expr_from(at, ExprKind::Attr(Box::new(target), attr));
                }
                items.push(target);
            }
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
            if self.is_name("in") || self.is_op("=") || *self.peek() == Tok::BlockEnd {
                break;
            }
        }
        if is_tuple {
            return Ok(self.expr_from(start, ExprKind::Tuple(items)));
        }
        items.pop().map_or_else(|| self.unexpected("a name"), Ok)
    }

    // Expressions

    /// An expression, or several with commas between them: a tuple.
    fn tuple(&mut self, with_if: bool, ends: &[&str]) -> Result<Expr> {
        let start = self.start();
        let mut items = vec![];
        let mut is_tuple = false;
        loop {
            if !items.is_empty() {
                if !self.skip_op(",") {
                    break;
                }
                is_tuple = true;
            }
            let at_end = match self.peek() {
                Tok::VariableEnd | Tok::BlockEnd | Tok::End | Tok::Op(")") => true,
                Tok::Name(n) => ends.contains(&&**n),
                _ => false,
            };
            if at_end {
                break;
            }
            items.push(if with_if { self.expr()? } else { self.deeper(Self::or)? });
        }
        if is_tuple {
            return Ok(self.expr_from(start, ExprKind::Tuple(items)));
        }
        items.pop().map_or_else(|| self.unexpected("an expression"), Ok)
    }

    fn expr(&mut self) -> Result<Expr> {
        self.deeper(Self::condition)
    }

    fn condition(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut expr = self.or()?;
        let mut links = 0;
        while self.skip_name("if") {
            self.link(&mut links)?;
            let test = Box::new(self.or()?);
            let otherwise = if self.skip_name("else") { Some(Box::new(self.expr()?)) } else { None };
            expr = self.expr_from(start, ExprKind::If { test, then: Box::new(expr), otherwise });
        }
        Ok(expr)
    }

    fn or(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut left = self.and()?;
        let mut links = 0;
        while self.skip_name("or") {
            self.link(&mut links)?;
            let right = self.and()?;
            left = self.expr_from(start, ExprKind::Or(Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut left = self.not()?;
        let mut links = 0;
        while self.skip_name("and") {
            self.link(&mut links)?;
            let right = self.not()?;
            left = self.expr_from(start, ExprKind::And(Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        let start = self.start();
        if self.skip_name("not") {
            let inner = self.deeper(Self::not)?;
            return Ok(self.expr_from(start, ExprKind::Not(Box::new(inner))));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr> {
        let start = self.start();
        let first = self.math1()?;
        let mut ops = vec![];
        loop {
            let op = match self.peek() {
                Tok::Op("==") => CompareOp::Eq,
                Tok::Op("!=") => CompareOp::Ne,
                Tok::Op("<") => CompareOp::Lt,
                Tok::Op("<=") => CompareOp::Le,
                Tok::Op(">") => CompareOp::Gt,
                Tok::Op(">=") => CompareOp::Ge,
                Tok::Name(n) if &**n == "in" => CompareOp::In,
                Tok::Name(n) if &**n == "not" && matches!(self.peek_second(), Tok::Name(m) if &**m == "in") => {
                    self.next();
                    CompareOp::NotIn
                }
                _ => break,
            };
            self.next();
            ops.push((op, self.math1()?));
        }
        if ops.is_empty() {
            return Ok(first);
        }
        Ok(self.expr_from(start, ExprKind::Compare(Box::new(first), ops)))
    }

    fn math1(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut left = self.concat()?;
        let mut links = 0;
        loop {
            self.link(&mut links)?;
            let op = match self.peek() {
                Tok::Op("+") => BinaryOp::Add,
                Tok::Op("-") => BinaryOp::Sub,
                _ => return Ok(left),
            };
            self.next();
            let right = self.concat()?;
            left = self.expr_from(start, ExprKind::Binary(op, Box::new(left), Box::new(right)));
        }
    }

    fn concat(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut parts = vec![self.math2()?];
        while self.skip_op("~") {
            parts.push(self.math2()?);
        }
        if parts.len() > 1 {
            return Ok(self.expr_from(start, ExprKind::Concat(parts)));
        }
        parts.pop().map_or_else(|| self.unexpected("an expression"), Ok)
    }

    fn math2(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut left = self.pow()?;
        let mut links = 0;
        loop {
            self.link(&mut links)?;
            let op = match self.peek() {
                Tok::Op("*") => BinaryOp::Mul,
                Tok::Op("/") => BinaryOp::Div,
                Tok::Op("//") => BinaryOp::FloorDiv,
                Tok::Op("%") => BinaryOp::Rem,
                _ => return Ok(left),
            };
            self.next();
            let right = self.pow()?;
            left = self.expr_from(start, ExprKind::Binary(op, Box::new(left), Box::new(right)));
        }
    }

    fn pow(&mut self) -> Result<Expr> {
        let start = self.start();
        let mut left = self.unary(true)?;
        let mut links = 0;
        while self.skip_op("**") {
            self.link(&mut links)?;
            let right = self.unary(true)?;
            left = self.expr_from(start, ExprKind::Binary(BinaryOp::Pow, Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn unary(&mut self, with_filter: bool) -> Result<Expr> {
        let start = self.start();
        let expr = if self.skip_op("-") {
            let inner = self.deeper(|p| p.unary(false))?;
            self.expr_from(start, ExprKind::Neg(Box::new(inner)))
        } else if self.skip_op("+") {
            let inner = self.deeper(|p| p.unary(false))?;
            self.expr_from(start, ExprKind::Pos(Box::new(inner)))
        } else {
            self.primary()?
        };
        let expr = self.postfix(expr, start)?;
        if with_filter { self.filters(expr, start) } else { Ok(expr) }
    }

    fn primary(&mut self) -> Result<Expr> {
        let start = self.start();
        let kind = match self.peek().clone() {
            Tok::Name(name) => {
                self.next();
                match &*name {
                    "true" | "True" => ExprKind::Const(Value::from(true)),
                    "false" | "False" => ExprKind::Const(Value::from(false)),
                    "none" | "None" => ExprKind::Const(Value::from(())),
                    _ => ExprKind::Name(name),
                }
            }
            Tok::Str(first) => {
                self.next();
                let mut text = first;
                while let Tok::Str(more) = self.peek().clone() {
                    self.next();
                    text = format!("{text}{more}").into();
                }
                ExprKind::Const(Value::from(&*text))
            }
            Tok::Int(n) => {
                self.next();
                ExprKind::Const(i64::try_from(n).map_or_else(|_| Value::from(n), Value::from))
            }
            Tok::Float(f) => {
                self.next();
                ExprKind::Const(Value::from(f))
            }
            Tok::Op("(") => {
                self.next();
                if self.skip_op(")") {
                    ExprKind::Tuple(vec![])
                } else {
                    let mut inner = self.deeper(|p| p.tuple(true, &[]))?;
                    self.expect_op(")")?;
                    inner.start = start;
                    inner.end = self.end();
                    return Ok(inner);
                }
            }
            Tok::Op("[") => {
                self.next();
                let mut items = vec![];
                while !self.skip_op("]") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.skip_op("]") {
                            break;
                        }
                    }
                    items.push(self.expr()?);
                }
                ExprKind::List(items)
            }
            Tok::Op("{") => {
                self.next();
                let mut entries = vec![];
                while !self.skip_op("}") {
                    if !entries.is_empty() {
                        self.expect_op(",")?;
                        if self.skip_op("}") {
                            break;
                        }
                    }
                    let key = self.expr()?;
                    self.expect_op(":")?;
                    entries.push((key, self.expr()?));
                }
                ExprKind::Dict(entries)
            }
            _ => return self.unexpected("an expression"),
        };
        Ok(self.expr_from(start, kind))
    }

    fn postfix(&mut self, mut expr: Expr, start: u32) -> Result<Expr> {
        let mut links = 0;
        loop {
            self.link(&mut links)?;
            if self.skip_op(".") {
                let kind = match self.next() {
                    Tok::Name(name) => ExprKind::Attr(Box::new(expr), name),
                    Tok::Int(n) => {
                        let key = self.expr_from(self.end(), ExprKind::Const(Value::from(n)));
                        ExprKind::Item(Box::new(expr), Box::new(key))
                    }
                    _ => {
                        self.at -= 1;
                        return self.unexpected("a name or a number");
                    }
                };
                expr = self.expr_from(start, kind);
            } else if self.skip_op("[") {
                expr = self.subscript(expr, start)?;
            } else if self.is_op("(") {
                let args = self.call_args()?;
                expr = self.expr_from(start, ExprKind::Call(Box::new(expr), args));
            } else {
                return Ok(expr);
            }
        }
    }

    fn subscript(&mut self, base: Expr, start: u32) -> Result<Expr> {
        let key_start = self.start();
        let mut keys = vec![];
        let mut bounds: [Option<Box<Expr>>; 3] = [None, None, None];
        let mut slice = false;
        while !self.skip_op("]") {
            if !keys.is_empty() {
                self.expect_op(",")?;
            }
            if !self.is_op(":") {
                keys.push(self.expr()?);
            }
            if self.is_op(":") {
                slice = true;
                bounds[0] = keys.pop().map(Box::new);
                for bound in bounds.iter_mut().skip(1) {
                    if !self.skip_op(":") {
                        break;
                    }
                    if !self.is_op(":") && !self.is_op("]") {
                        *bound = Some(Box::new(self.expr()?));
                    }
                }
                self.expect_op("]")?;
                break;
            }
        }
        let kind = if slice {
            ExprKind::Slice(Box::new(base), bounds)
        } else if keys.len() > 1 {
            let key = self.expr_from(key_start, ExprKind::Tuple(keys));
            ExprKind::Item(Box::new(base), Box::new(key))
        } else if let Some(key) = keys.pop() {
            ExprKind::Item(Box::new(base), Box::new(key))
        } else {
            self.at -= 1;
            return self.unexpected("a key");
        };
        Ok(self.expr_from(start, kind))
    }

    fn call_args(&mut self) -> Result<Args> {
        let mut args = Args::default();
        self.expect_op("(")?;
        let mut first = true;
        while !self.skip_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            first = false;
            if self.skip_op("**") {
                args.named_splat = Some(Box::new(self.expr()?));
            } else if self.skip_op("*") {
                args.splat = Some(Box::new(self.expr()?));
            } else if let Tok::Name(name) = self.peek().clone()
                && matches!(self.peek_second(), Tok::Op("="))
            {
                self.next();
                self.next();
                args.named.push((name, self.expr()?));
            } else {
                if !args.named.is_empty() {
                    return self.unexpected("a named argument: positional ones come first");
                }
                args.positional.push(self.expr()?);
            }
        }
        Ok(args)
    }

    /// The dotted name of a filter or test.
    fn dotted_name(&mut self) -> Result<Arc<str>> {
        let mut name = self.name()?;
        while self.is_op(".") {
            self.next();
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }

    fn filters(&mut self, mut expr: Expr, start: u32) -> Result<Expr> {
        let mut links = 0;
        loop {
            self.link(&mut links)?;
            if self.skip_op("|") {
                let at = self.start();
                let name = self.dotted_name()?;
                let args = if self.is_op("(") { self.call_args()? } else { Args::default() };
                expr = self.expr_from(at, ExprKind::Filter(Some(Box::new(expr)), name, args));
            } else if self.is_name("is") {
                expr = self.test(expr, start)?;
            } else if self.is_op("(") {
                let args = self.call_args()?;
                expr = self.expr_from(start, ExprKind::Call(Box::new(expr), args));
            } else {
                return Ok(expr);
            }
        }
    }

    fn test(&mut self, expr: Expr, start: u32) -> Result<Expr> {
        self.next();
        let negated = self.skip_name("not");
        let name = self.dotted_name()?;
        let mut args = Args::default();
        let takes_argument = match self.peek() {
            Tok::Str(_) | Tok::Int(_) | Tok::Float(_) | Tok::Op("[" | "{") => true,
            Tok::Name(n) => !matches!(&**n, "else" | "or" | "and" | "if" | "is" | "in" | "not"),
            _ => false,
        };
        if self.is_op("(") {
            args = self.call_args()?;
        } else if takes_argument {
            let arg_start = self.start();
            let arg = self.primary()?;
            args.positional.push(self.postfix(arg, arg_start)?);
        }
        let expr = self.expr_from(start, ExprKind::Test(Box::new(expr), name, args));
        if negated {
            return Ok(self.expr_from(start, ExprKind::Not(Box::new(expr))));
        }
        Ok(expr)
    }

    /// `a(x) | b | c` of a filter block: filters without a base.
    fn filter_chain(&mut self) -> Result<Expr> {
        let mut base: Option<Box<Expr>> = None;
        let mut links = 0;
        loop {
            self.link(&mut links)?;
            let at = self.start();
            let name = self.dotted_name()?;
            let args = if self.is_op("(") { self.call_args()? } else { Args::default() };
            let expr = self.expr_from(at, ExprKind::Filter(base.take(), name, args));
            if !self.skip_op("|") {
                return Ok(expr);
            }
            base = Some(Box::new(expr));
        }
    }
}
