//! The tree of a template. Owned, shared between threads, without the place of the file it came from: `start` and `end` are byte
//! offsets in the template's text.

use std::sync::Arc;

use minijinja::Value;

#[derive(Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug)]
pub enum ExprKind {
    Const(Value),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// `a.name`: Python attribute (method) first, then item.
    Attr(Box<Expr>, Arc<str>),
    /// `a[key]`: item first, then attribute.
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Args),
    /// Without a base: the filter of a `{% filter %}` or `{% set %}` block.
    Filter(Option<Box<Expr>>, Arc<str>, Args),
    Test(Box<Expr>, Arc<str>, Args),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    Pos(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    Concat(Vec<Expr>),
    If {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug, Default)]
pub struct Args {
    pub positional: Vec<Expr>,
    pub named: Vec<(Arc<str>, Expr)>,
    pub splat: Option<Box<Expr>>,
    pub named_splat: Option<Box<Expr>>,
}

#[derive(Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug)]
pub enum StmtKind {
    Text(Value),
    Emit(Expr),
    For(Arc<ForLoop>),
    If {
        branches: Vec<(Expr, Vec<Stmt>)>,
        otherwise: Vec<Stmt>,
    },
    Set {
        target: Expr,
        value: Expr,
    },
    SetBlock {
        target: Expr,
        filter: Option<Expr>,
        body: Vec<Stmt>,
    },
    With {
        assignments: Vec<(Expr, Expr)>,
        body: Vec<Stmt>,
    },
    FilterBlock {
        filter: Expr,
        body: Vec<Stmt>,
    },
    Macro(Arc<Macro>),
    CallBlock {
        call: Expr,
        caller: Arc<Macro>,
    },
    Do(Expr),
    Block {
        name: Arc<str>,
        body: Arc<Vec<Stmt>>,
    },
    Extends(Expr),
    Include {
        name: Expr,
        ignore_missing: bool,
        with_context: bool,
    },
    Import {
        name: Expr,
        alias: Arc<str>,
        with_context: bool,
    },
    FromImport {
        name: Expr,
        names: Vec<(Arc<str>, Arc<str>)>,
        with_context: bool,
    },
    Break,
    Continue,
    /// A body without a meaning of its own (`autoescape`).
    Group(Vec<Stmt>),
}

#[derive(Debug)]
pub struct ForLoop {
    pub target: Expr,
    pub iter: Expr,
    pub filter: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub struct Macro {
    pub name: Arc<str>,
    pub params: Vec<(Arc<str>, Option<Expr>)>,
    pub body: Vec<Stmt>,
    /// Does the body mention `varargs` and `kwargs`? Only then further arguments may be given.
    pub more: More,
}

/// What a macro takes beyond its parameters.
#[derive(Debug, Clone, Copy)]
pub struct More {
    pub positional: bool,
    pub named: bool,
    pub caller: bool,
}

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    pub source: Arc<str>,
    pub body: Arc<Vec<Stmt>>,
}

impl Args {
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.named.is_empty() && self.splat.is_none() && self.named_splat.is_none()
    }

    /// Every expression in it.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.positional
            .iter()
            .chain(self.named.iter().map(|(_, e)| e))
            .chain(self.splat.as_deref())
            .chain(self.named_splat.as_deref())
    }
}
