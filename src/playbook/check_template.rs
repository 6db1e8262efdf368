//! What a template uses: variables, filters, tests and lookups, each with its place.
//!
//! Part of `check`: templates are read, never evaluated. Names that a template binds itself (loops, `set`, macros) are left
//! out; a use that `default` or `is defined` protects is marked.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::{SourceFile, Span};
use crate::template::syntax::ast::{Args, Expr, ExprKind, Macro, Stmt, StmtKind};
use crate::template::syntax::{LexOptions, SyntaxError, parse_expression, parse_template};
use crate::yaml::{Node, Yaml};

/// A name and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub name: String,
    pub span: Span,
}

/// A template file that a template includes, imports or extends, or that a lookup names.
#[derive(Debug, Clone)]
pub(super) struct NamedFile {
    pub name: String,
    pub span: Span,
    /// It does no harm that it is not there.
    pub is_optional: bool,
}

/// Everything the scanned texts use.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Variables that must be defined.
    pub uses: Vec<Named>,
    /// Variables that `is defined` or `is undefined` asks for.
    pub guards: BTreeSet<String>,
    pub filters: Vec<Named>,
    pub tests: Vec<Named>,
    pub lookups: Vec<Named>,
    pub templates: Vec<NamedFile>,
    /// Names that template files bind: what they include sees them.
    pub bound: BTreeSet<String>,
    pub problems: Vec<Problem>,
}

/// Names the language itself has.
const FUNCTIONS: &[&str] = &[
    "lookup",
    "query",
    "q",
    "range",
    "dict",
    "namespace",
    "cycler",
    "joiner",
    "undef",
    "now",
    "lipsum",
    "omit",
    "vars",
    "loop",
    "caller",
    "varargs",
    "kwargs",
    "self",
    "super",
    "environment",
];

/// Turns offsets of a text into places.
type Place<'a> = &'a dyn Fn(usize, usize) -> Span;

impl Scan {
    /// Every template in a node, deep.
    pub(super) fn node(&mut self, node: &Node) {
        match &node.value {
            Yaml::Str(s) if node.has_template() => {
                self.template(&s.text, &yaml_options(), &|start, len| node.span_at(start, len));
            }
            Yaml::Seq(items) => items.iter().for_each(|item| self.node(item)),
            Yaml::Map(map) => {
                for (key, value) in map.iter() {
                    self.node(key);
                    self.node(value);
                }
            }
            _ => {}
        }
    }

    /// A condition: a bare expression, or a template.
    pub(super) fn condition(&mut self, node: &Node) {
        match &node.value {
            Yaml::Seq(items) => items.iter().for_each(|item| self.condition(item)),
            Yaml::Str(s) if super::statement::is_all_template(&s.text) => self.node(node),
            Yaml::Str(s) if !s.is_unsafe && !s.text.trim().is_empty() => {
                let place = |start, len| node.span_at(start, len);
                match parse_expression(&s.text, &yaml_options()) {
                    Ok(expr) => {
                        let mut walk = Walk::new(self, &place);
                        walk.expr(&expr, false);
                        walk.finish();
                    }
                    // Text with a template in it is rendered first.
                    Err(_) if node.has_template() => self.node(node),
                    Err(error) => self.problems.push(syntax(&error, &place)),
                }
            }
            _ => {}
        }
    }

    /// A template file. Files that change the delimiters by a `#jinja2:` line are not looked into.
    pub(super) fn file(&mut self, file: &Arc<SourceFile>) {
        let text = &*file.text;
        let mut base = 0;
        if text.starts_with("#jinja2:") {
            let line = text.split('\n').next().unwrap_or_default();
            if line.contains("_string") {
                return;
            }
            base = (line.len() + 1).min(text.len());
        }
        let options =
            LexOptions { trim_blocks: true, keep_trailing_newline: true, escapes: true, ..LexOptions::default() };
        self.template(&text[base..], &options, &|start, len| Span::new(file, base + start, base + start + len));
    }

    fn template(&mut self, text: &str, options: &LexOptions, place: Place) {
        match parse_template(text, options) {
            Ok(template) => {
                let mut walk = Walk::new(self, place);
                walk.body(&template.body);
                walk.finish();
            }
            Err(error) => self.problems.push(syntax(&error, place)),
        }
    }
}

fn yaml_options() -> LexOptions {
    LexOptions { trim_blocks: true, ..LexOptions::default() }
}

fn syntax(error: &SyntaxError, place: Place) -> Problem {
    Problem::new("template-syntax", format!("syntax error in template: {}", error.message))
        .at(&place(error.start, error.end.saturating_sub(error.start)))
}

struct Walk<'a> {
    scan: &'a mut Scan,
    place: Place<'a>,
    uses: Vec<Named>,
    /// Names bound anywhere in the template.
    bound: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn new(scan: &'a mut Scan, place: Place<'a>) -> Self {
        Self { scan, place, uses: vec![], bound: BTreeSet::new() }
    }

    fn finish(self) {
        let Self { scan, uses, bound, .. } = self;
        scan.bound.extend(bound.iter().cloned());
        scan.uses
            .extend(uses.into_iter().filter(|u| !bound.contains(&u.name) && !FUNCTIONS.contains(&u.name.as_str())));
    }

    fn named(&self, name: &str, expr: &Expr) -> Named {
        let (start, end) = (expr.start as usize, expr.end as usize);
        Named { name: name.to_owned(), span: (self.place)(start, end.saturating_sub(start)) }
    }

    fn body(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Text(_) | StmtKind::Break | StmtKind::Continue => {}
            StmtKind::Emit(e) | StmtKind::Do(e) => self.expr(e, false),
            StmtKind::Extends(name) => self.template_name(name, false),
            StmtKind::For(f) => {
                self.bind(&f.target);
                self.expr(&f.iter, false);
                if let Some(filter) = &f.filter {
                    self.expr(filter, false);
                }
                self.body(&f.body);
                self.body(&f.otherwise);
            }
            StmtKind::If { branches, otherwise } => {
                for (test, body) in branches {
                    self.expr(test, false);
                    self.body(body);
                }
                self.body(otherwise);
            }
            StmtKind::Set { target, value } => {
                self.bind(target);
                self.expr(value, false);
            }
            StmtKind::SetBlock { target, filter, body } => {
                self.bind(target);
                if let Some(filter) = filter {
                    self.expr(filter, false);
                }
                self.body(body);
            }
            StmtKind::With { assignments, body } => {
                for (target, value) in assignments {
                    self.bind(target);
                    self.expr(value, false);
                }
                self.body(body);
            }
            StmtKind::FilterBlock { filter, body } => {
                self.expr(filter, false);
                self.body(body);
            }
            StmtKind::Macro(m) => {
                self.bound.insert(m.name.to_string());
                self.macro_body(m);
            }
            StmtKind::CallBlock { call, caller } => {
                self.expr(call, false);
                self.macro_body(caller);
            }
            StmtKind::Block { body, .. } => self.body(body),
            StmtKind::Include { name, ignore_missing, .. } => self.template_name(name, *ignore_missing),
            StmtKind::Import { name, alias, .. } => {
                self.template_name(name, false);
                self.bound.insert(alias.to_string());
            }
            StmtKind::FromImport { name, names, .. } => {
                self.template_name(name, false);
                self.bound.extend(names.iter().map(|(_, alias)| alias.to_string()));
            }
            StmtKind::Group(body) => self.body(body),
        }
    }

    /// The name of another template: of a list of them, the first that is there counts.
    fn template_name(&mut self, name: &Expr, ignore_missing: bool) {
        self.expr(name, false);
        let (names, is_list) = match &name.kind {
            ExprKind::List(parts) | ExprKind::Tuple(parts) => (parts.iter().collect(), true),
            _ => (vec![name], false),
        };
        for part in names {
            if let Some(file) = text(part) {
                let Named { name, span } = self.named(file, part);
                self.scan.templates.push(NamedFile { name, span, is_optional: ignore_missing || is_list });
            }
        }
    }

    fn macro_body(&mut self, m: &Macro) {
        for (name, default) in &m.params {
            self.bound.insert(name.to_string());
            if let Some(default) = default {
                self.expr(default, false);
            }
        }
        self.body(&m.body);
    }

    fn bind(&mut self, target: &Expr) {
        match &target.kind {
            ExprKind::Name(name) => {
                self.bound.insert(name.to_string());
            }
            ExprKind::Tuple(parts) | ExprKind::List(parts) => parts.iter().for_each(|p| self.bind(p)),
            _ => self.expr(target, false),
        }
    }

    /// `safe`: an undefined value does no harm here.
    fn expr(&mut self, expr: &Expr, safe: bool) {
        match &expr.kind {
            ExprKind::Const(_) => {}
            ExprKind::Name(name) => {
                if !safe {
                    let named = self.named(name, expr);
                    self.uses.push(named);
                }
            }
            ExprKind::List(parts) | ExprKind::Tuple(parts) | ExprKind::Concat(parts) => {
                parts.iter().for_each(|p| self.expr(p, false));
            }
            ExprKind::Dict(pairs) => {
                for (key, value) in pairs {
                    self.expr(key, false);
                    self.expr(value, false);
                }
            }
            ExprKind::Attr(base, _) => self.expr(base, safe),
            ExprKind::Item(base, key) => {
                self.expr(base, safe);
                self.expr(key, false);
            }
            ExprKind::Slice(base, bounds) => {
                self.expr(base, safe);
                bounds.iter().flatten().for_each(|b| self.expr(b, false));
            }
            ExprKind::Call(target, args) => self.call(expr, target, args),
            ExprKind::Filter(base, name, args) => self.filter(expr, base.as_deref(), name, args, safe),
            ExprKind::Test(base, name, args) => {
                let short = short(name);
                let named = self.named(name, expr);
                self.scan.tests.push(named);
                if matches!(short, "defined" | "undefined") {
                    if let Some(root) = root(base) {
                        self.scan.guards.insert(root.to_owned());
                    }
                    self.expr(base, true);
                } else {
                    self.expr(base, safe);
                }
                self.args(args);
            }
            ExprKind::Not(e) | ExprKind::Neg(e) | ExprKind::Pos(e) => self.expr(e, safe),
            ExprKind::And(a, b) | ExprKind::Or(a, b) | ExprKind::Binary(_, a, b) => {
                self.expr(a, false);
                self.expr(b, false);
            }
            ExprKind::Compare(first, rest) => {
                self.expr(first, false);
                rest.iter().for_each(|(_, e)| self.expr(e, false));
            }
            ExprKind::If { test, then, otherwise } => {
                self.expr(test, false);
                self.expr(then, safe);
                if let Some(otherwise) = otherwise {
                    self.expr(otherwise, safe);
                }
            }
        }
    }

    fn args(&mut self, args: &Args) {
        args.exprs().for_each(|e| self.expr(e, false));
    }

    fn call(&mut self, expr: &Expr, target: &Expr, args: &Args) {
        match &target.kind {
            ExprKind::Name(name) if matches!(&**name, "lookup" | "query" | "q") => {
                if let Some(lookup) = args.positional.first().and_then(text) {
                    let named = self.named(lookup, expr);
                    self.scan.lookups.push(named);
                    if let ("template", Some(file)) = (short(lookup), args.positional.get(1)) {
                        self.template_name(file, args.named.iter().any(|(name, _)| &**name == "errors"));
                    }
                }
            }
            _ => self.expr(target, false),
        }
        self.args(args);
    }

    fn filter(&mut self, expr: &Expr, base: Option<&Expr>, name: &str, args: &Args, safe: bool) {
        let named = self.named(name, expr);
        self.scan.filters.push(named);
        let short = short(name);
        if let Some(base) = base {
            self.expr(base, safe || matches!(short, "default" | "d"));
        }
        let by_name = |at: usize| args.positional.get(at).and_then(text);
        match short {
            "map" => {
                if let Some(inner) = by_name(0) {
                    let named = self.named(inner, expr);
                    self.scan.filters.push(named);
                }
            }
            "select" | "reject" | "selectattr" | "rejectattr" => {
                let at = usize::from(short.ends_with("attr"));
                if let Some(inner) = by_name(at) {
                    let named = self.named(inner, expr);
                    self.scan.tests.push(named);
                }
            }
            _ => {}
        }
        self.args(args);
    }
}

/// A literal text.
fn text(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Const(value) => value.as_str(),
        _ => None,
    }
}

/// The variable at the root of `a.b['c']`.
fn root(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Attr(base, _) | ExprKind::Item(base, _) | ExprKind::Slice(base, _) => root(base),
        ExprKind::Filter(Some(base), _, _) => root(base),
        ExprKind::Call(target, _) => root(target),
        _ => None,
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
