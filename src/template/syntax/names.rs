//! The names a template reads from outside: what `check` verifies and the plan's edges rest on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ast::{Args, Expr, ExprKind, Macro, Stmt, StmtKind};

/// One use of a name that the template has not set itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub name: Arc<str>,
    pub start: u32,
    pub end: u32,
    /// `x | default(…)`, `x is defined`: it may be undefined here.
    pub guarded: bool,
}

/// What a template asks of the world around it.
#[derive(Debug, Default)]
pub struct Survey {
    pub uses: Vec<Use>,
    /// Filters, tests and lookups by name.
    pub filters: Vec<Use>,
    pub tests: Vec<Use>,
    pub lookups: Vec<Use>,
}

impl Survey {
    /// Of a template's body. A name that is set anywhere in an enclosing body before its use counts as set.
    pub fn of_body(body: &[Stmt]) -> Self {
        let mut finder = Finder::default();
        finder.body(body);
        finder.survey
    }

    pub fn of_expr(expr: &Expr) -> Self {
        let mut finder = Finder::default();
        finder.expr(expr);
        finder.survey
    }

    /// The names used, in alphabetical order.
    pub fn names(&self) -> BTreeSet<String> {
        self.uses.iter().map(|u| u.name.to_string()).collect()
    }
}

#[derive(Default)]
struct Finder {
    bound: Vec<String>,
    survey: Survey,
    guarded: bool,
}

impl Finder {
    fn scoped(&mut self, run: impl FnOnce(&mut Self)) {
        let before = self.bound.len();
        run(self);
        self.bound.truncate(before);
    }

    fn bind(&mut self, target: &Expr) {
        match &target.kind {
            ExprKind::Name(name) => self.bound.push(name.to_string()),
            ExprKind::Tuple(items) => items.iter().for_each(|item| self.bind(item)),
            _ => self.expr(target),
        }
    }

    fn macro_body(&mut self, m: &Macro) {
        self.scoped(|f| {
            for (name, default) in &m.params {
                if let Some(default) = default {
                    f.expr(default);
                }
                f.bound.push(name.to_string());
            }
            f.bound.extend(["varargs", "kwargs", "caller"].map(str::to_owned));
            f.body(&m.body);
        });
    }

    fn body(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Text(_) | StmtKind::Break | StmtKind::Continue => {}
            StmtKind::Emit(e) | StmtKind::Do(e) | StmtKind::Extends(e) => self.expr(e),
            StmtKind::For(each) => {
                self.expr(&each.iter);
                self.scoped(|f| {
                    f.bind(&each.target);
                    f.bound.push("loop".to_owned());
                    if let Some(filter) = &each.filter {
                        f.expr(filter);
                    }
                    f.body(&each.body);
                });
                self.scoped(|f| f.body(&each.otherwise));
            }
            StmtKind::If { branches, otherwise } => {
                for (test, body) in branches {
                    self.expr(test);
                    self.body(body);
                }
                self.body(otherwise);
            }
            StmtKind::Set { target, value } => {
                self.expr(value);
                self.bind(target);
            }
            StmtKind::SetBlock { target, filter, body } => {
                if let Some(filter) = filter {
                    self.expr(filter);
                }
                self.scoped(|f| f.body(body));
                self.bind(target);
            }
            StmtKind::With { assignments, body } => self.scoped(|f| {
                for (_, value) in assignments {
                    f.expr(value);
                }
                for (target, _) in assignments {
                    f.bind(target);
                }
                f.body(body);
            }),
            StmtKind::FilterBlock { filter, body } => {
                self.expr(filter);
                self.scoped(|f| f.body(body));
            }
            StmtKind::Macro(m) => {
                self.bound.push(m.name.to_string());
                self.macro_body(m);
            }
            StmtKind::CallBlock { call, caller } => {
                self.expr(call);
                self.macro_body(caller);
            }
            StmtKind::Block { body, .. } => self.scoped(|f| f.body(body)),
            StmtKind::Include { name, .. } => self.expr(name),
            StmtKind::Import { name, alias, .. } => {
                self.expr(name);
                self.bound.push(alias.to_string());
            }
            StmtKind::FromImport { name, names, .. } => {
                self.expr(name);
                self.bound.extend(names.iter().map(|(_, alias)| alias.to_string()));
            }
            StmtKind::Group(body) => self.body(body),
        }
    }

    fn args(&mut self, args: &Args) {
        for e in args.exprs() {
            self.expr(e);
        }
    }

    /// `map('upper')`, `select('match', …)`, `selectattr('x', 'defined')`: the name in the text.
    fn named_by_text(&mut self, filter: &str, args: &Args) {
        let place = match filter.rsplit('.').next() {
            Some("map" | "select" | "reject") => 0,
            Some("selectattr" | "rejectattr") => 1,
            _ => return,
        };
        let Some(argument) = args.positional.get(place) else { return };
        let ExprKind::Const(value) = &argument.kind else { return };
        let Some(name) = value.as_str() else { return };
        let found = Use { name: name.into(), start: argument.start, end: argument.end, guarded: false };
        if filter.ends_with("map") { self.survey.filters.push(found) } else { self.survey.tests.push(found) }
    }

    /// An expression that may be undefined.
    fn under(&mut self, guards: bool, expr: &Expr) {
        let outer = std::mem::replace(&mut self.guarded, guards);
        self.kept(expr);
        self.guarded = outer;
    }

    /// An expression whose use is its parent's use.
    fn kept(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(_) | ExprKind::Attr(..) | ExprKind::Item(..) => self.walk(expr),
            _ => self.expr(expr),
        }
    }

    fn expr(&mut self, expr: &Expr) {
        let outer = std::mem::replace(&mut self.guarded, false);
        self.walk(expr);
        self.guarded = outer;
    }

    fn walk(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Const(_) => {}
            ExprKind::Name(name) => {
                if !self.bound.iter().any(|b| **b == **name) {
                    let found = Use { name: name.clone(), start: expr.start, end: expr.end, guarded: self.guarded };
                    self.survey.uses.push(found);
                }
            }
            ExprKind::List(items) | ExprKind::Tuple(items) | ExprKind::Concat(items) => {
                items.iter().for_each(|e| self.expr(e))
            }
            ExprKind::Dict(entries) => {
                for (k, v) in entries {
                    self.expr(k);
                    self.expr(v);
                }
            }
            ExprKind::Attr(base, _) => self.kept(base),
            ExprKind::Item(base, key) => {
                self.kept(base);
                self.expr(key);
            }
            ExprKind::Slice(base, bounds) => {
                self.expr(base);
                for bound in bounds.iter().flatten() {
                    self.expr(bound);
                }
            }
            ExprKind::Call(f, args) => {
                if let (ExprKind::Name(name), Some(first)) = (&f.kind, args.positional.first())
                    && matches!(&**name, "lookup" | "query" | "q")
                    && let ExprKind::Const(value) = &first.kind
                    && let Some(lookup) = value.as_str()
                {
                    self.survey.lookups.push(Use {
                        name: lookup.into(),
                        start: first.start,
                        end: first.end,
                        guarded: false,
                    });
                }
                self.expr(f);
                self.args(args);
            }
            ExprKind::Filter(base, name, args) => {
                self.survey.filters.push(Use { name: name.clone(), start: expr.start, end: expr.end, guarded: false });
                if let Some(base) = base {
                    let guards = matches!(name.rsplit('.').next(), Some("default" | "d"));
                    self.under(guards, base);
                }
                self.args(args);
                self.named_by_text(name, args);
            }
            ExprKind::Test(base, name, args) => {
                self.survey.tests.push(Use { name: name.clone(), start: expr.start, end: expr.end, guarded: false });
                let guards = matches!(name.rsplit('.').next(), Some("defined" | "undefined"));
                self.under(guards, base);
                self.args(args);
            }
            ExprKind::Not(e) | ExprKind::Neg(e) | ExprKind::Pos(e) => self.expr(e),
            ExprKind::And(a, b) | ExprKind::Or(a, b) | ExprKind::Binary(_, a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Compare(first, ops) => {
                self.expr(first);
                for (_, e) in ops {
                    self.expr(e);
                }
            }
            ExprKind::If { test, then, otherwise } => {
                self.expr(test);
                self.expr(then);
                if let Some(e) = otherwise {
                    self.expr(e);
                }
            }
        }
    }
}
