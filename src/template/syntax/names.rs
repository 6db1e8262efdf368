//! The names a template reads from outside: what `check` verifies and the plan's edges rest on.

use std::collections::BTreeSet;

use super::ast::{Args, Expr, ExprKind, Macro, Stmt, StmtKind};

/// Names that a body uses without having set them itself, in alphabetical order. A name that is set anywhere in an enclosing body
/// before its use counts as set.
pub fn free_names(body: &[Stmt]) -> BTreeSet<String> {
    let mut finder = Finder::default();
    finder.body(body);
    finder.found
}

/// As [`free_names`], of an expression.
pub fn free_names_of(expr: &Expr) -> BTreeSet<String> {
    let mut finder = Finder::default();
    finder.expr(expr);
    finder.found
}

#[derive(Default)]
struct Finder {
    bound: Vec<String>,
    found: BTreeSet<String>,
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

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Const(_) => {}
            ExprKind::Name(name) => {
                if !self.bound.iter().any(|b| **b == **name) {
                    self.found.insert(name.to_string());
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
            ExprKind::Attr(base, _) => self.expr(base),
            ExprKind::Item(base, key) => {
                self.expr(base);
                self.expr(key);
            }
            ExprKind::Slice(base, bounds) => {
                self.expr(base);
                for bound in bounds.iter().flatten() {
                    self.expr(bound);
                }
            }
            ExprKind::Call(f, args) => {
                self.expr(f);
                self.args(args);
            }
            ExprKind::Filter(base, _, args) => {
                if let Some(base) = base {
                    self.expr(base);
                }
                self.args(args);
            }
            ExprKind::Test(base, _, args) => {
                self.expr(base);
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
