//! The evaluator: walks a template's tree against a [`Context`].
//!
//! Values, filters and tests are minijinja's; how they meet (undefined chains, unknown values, lazy variables, Python's operators, exact
//! places of errors) is decided here. One [`Interp`] lives for one evaluation.

mod calls;
mod check;
mod expr;
mod frame;
mod include;
mod lipsum;
mod mutate;
pub(super) mod objects;
pub(in crate::template) mod ops;

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Environment, State, Value};

pub(super) use check::{check_deep, check_one, force, met_by, settle, storable};
pub(super) use expr::own_attribute;
pub(super) use objects::{Failed, Undefined, Why, is_range, type_name};
pub(super) use ops::describe;

use super::call::Running;
use super::place::Origin;
use super::python;
use super::syntax::LexOptions;
use super::syntax::ast::{Expr, ExprKind, ForLoop, Macro, Stmt, StmtKind, Template};
use super::{Context, EvalError, Unknown, is_omit};
use crate::problem::Problem;
use frame::Frame;
use objects::{LoopValue, MacroValue, Namespace, Recursion};

pub(super) type Result<T> = std::result::Result<T, EvalError>;

/// Steps one evaluation may take, and how deep evaluations may nest (a variable in a variable in …).
const FUEL: u64 = if cfg!(test) { 200_000 } else { 3_000_000 };
/// What one round of a loop costs.
const ROUND: u64 = 5;
const MAX_NESTING: usize = 60;
/// Calls of macros and recursive loops within one another.
const MAX_CALLS: usize = 80;

pub(super) fn failed(message: impl Into<String>) -> EvalError {
    EvalError::Failed(Problem::new("template", message))
}

/// Sets the place of an error that has none.
pub(super) fn at(error: EvalError, span: &crate::source::Span) -> EvalError {
    error.or_at(span)
}

/// Is this name a function of the language?
pub(super) fn is_function(name: &str) -> bool {
    objects::Builtin::named(name).is_some()
}

/// How a body ended.
#[derive(PartialEq, Clone, Copy)]
enum Flow {
    On,
    Break,
    Continue,
}

type BlockBody = (Arc<Vec<Stmt>>, Origin);

pub(super) struct Interp<'e> {
    ctx: Context,
    state: State<'e, 'e>,
    origin: Origin,
    frame: Arc<Frame>,
    /// Every frame a macro may hold on to, let go at the end.
    roots: Vec<Arc<Frame>>,
    fuel: u64,
    calls: usize,
    loops: usize,
    /// In conditions, text constants that hold templates are rendered, as Ansible still does (with a warning).
    embedded: bool,
    /// Inside an `include … without context`: variables are not seen.
    isolated: bool,
    options: LexOptions,
    /// Blocks by name, the most derived first.
    blocks: HashMap<Arc<str>, Vec<BlockBody>>,
    /// The blocks being rendered, with how far up `super()` went.
    block_stack: Vec<(Arc<str>, usize)>,
    extends: Option<(Arc<Template>, Origin)>,
    _running: Running,
}

impl Drop for Interp<'_> {
    fn drop(&mut self) {
        for frame in &self.roots {
            frame.clear();
        }
        self.frame.clear();
    }
}

impl<'e> Interp<'e> {
    pub(super) fn new(
        ctx: &Context,
        env: &'e Environment<'static>,
        origin: Origin,
        options: LexOptions,
    ) -> Result<Self> {
        if Running::depth() >= MAX_NESTING {
            return Err(failed("recursive loop detected in template: templates are nested too deeply"));
        }
        let frame = Frame::root();
        Ok(Self {
            ctx: ctx.clone(),
            state: env.empty_state(),
            origin,
            roots: vec![frame.clone()],
            frame,
            fuel: FUEL,
            calls: 0,
            loops: 0,
            embedded: false,
            isolated: false,
            options,
            blocks: HashMap::new(),
            block_stack: vec![],
            extends: None,
            _running: Running::enter(ctx),
        })
    }

    pub(super) fn in_condition(mut self) -> Self {
        self.embedded = true;
        self
    }

    /// A whole expression's value: undefined, failed and unknown ones are errors.
    pub(super) fn eval_used(&mut self, expr: &Expr) -> Result<Value> {
        self.eval_known(expr)
    }

    /// Variables of this evaluation alone, stronger than the context's.
    pub(super) fn define(&self, name: &str, value: Value) {
        self.frame.set(&Arc::from(name), value);
    }

    /// The pieces a template puts out.
    pub(super) fn template(&mut self, template: &Arc<Template>) -> Result<Vec<Value>> {
        let mut out = vec![];
        self.collect_blocks(&template.body);
        self.body(&template.body, &mut out)?;
        let mut parents = 0;
        while let Some((parent, origin)) = self.extends.take() {
            parents += 1;
            if parents > MAX_NESTING {
                return Err(failed("the templates extend each other without end"));
            }
            out.clear();
            self.origin = origin;
            self.collect_blocks(&parent.body);
            self.body(&parent.body, &mut out)?;
        }
        Ok(out)
    }

    /// Pieces as one value: a single one keeps its type, several become text.
    pub(super) fn join(&self, mut pieces: Vec<Value>) -> Result<Value> {
        let mut left_out = None;
        pieces.retain(|p| {
            let empty =
                p.is_none() || is_omit(p) || matches!(Undefined::of(p), Some(Undefined { why: Why::Nothing, .. }));
            if empty && !p.is_none() {
                left_out = Some(p.clone());
            }
            !empty
        });
        match pieces.len() {
            0 => Ok(left_out.unwrap_or(Value::from(()))),
            1 => Ok(pieces.remove(0)),
            _ => self.join_text(&pieces).map(Value::from),
        }
    }

    /// Pieces as text.
    pub(super) fn join_text(&self, pieces: &[Value]) -> Result<String> {
        let mut text = String::new();
        for piece in pieces {
            if let Some(s) = piece.as_str() {
                text.push_str(s);
            } else if !(piece.is_none()
                || is_omit(piece)
                || matches!(Undefined::of(piece), Some(Undefined { why: Why::Nothing, .. })))
            {
                check_deep(piece).map_err(|e| self.explain(e))?;
                // What is put out as text is data: a tuple is a list by then.
                let shown = check::forced(piece, 0).unwrap_or(None);
                text.push_str(&python::text(&shown.unwrap_or_else(|| piece.clone())));
            }
            if text.len() > ops::MAX_SIZE {
                return Err(failed("the text is too large"));
            }
        }
        Ok(text)
    }

    fn burn(&mut self) -> Result<()> {
        self.burn_more(1)
    }

    fn burn_more(&mut self, steps: u64) -> Result<()> {
        self.fuel = self.fuel.checked_sub(steps).ok_or_else(|| failed("the template takes too long"))?;
        super::halt::check()
    }

    fn locate(&self, error: EvalError, start: u32, end: u32) -> EvalError {
        let place = |p: Problem| match p.span {
            None => match self.origin.span(start as usize, end as usize) {
                Some(span) => p.at(&span),
                None => p,
            },
            Some(_) => p,
        };
        match error {
            EvalError::Undefined(p) => EvalError::Undefined(place(p)),
            EvalError::Failed(p) => EvalError::Failed(place(p)),
            error @ EvalError::Unknown(_) => error,
        }
    }

    /// Adds what only the context knows (similar names) to an undefined variable's problem.
    fn explain(&self, error: EvalError) -> EvalError {
        match error {
            EvalError::Undefined(p) if p.help.is_empty() && p.code == "undefined-variable" => {
                let name =
                    p.message.strip_suffix("` is undefined").and_then(|m| m.strip_prefix('`')).map(str::to_owned);
                EvalError::Undefined(match name.and_then(|n| self.ctx.similar(&n)) {
                    Some(help) => p.help(help),
                    None => p,
                })
            }
            error => error,
        }
    }

    /// A value that is about to be used: not undefined, failed or unknown itself.
    fn known(&self, value: Value) -> Result<Value> {
        match check_one(&value) {
            Ok(()) => Ok(value),
            Err(error) => Err(self.explain(error)),
        }
    }

    fn body(&mut self, body: &[Stmt], out: &mut Vec<Value>) -> Result<Flow> {
        for stmt in body {
            self.burn()?;
            match self.stmt(stmt, out) {
                Ok(Flow::On) => {}
                Ok(flow) => return Ok(flow),
                Err(error) => return Err(self.locate(error, stmt.start, stmt.end)),
            }
        }
        Ok(Flow::On)
    }

    fn captured(&mut self, body: &[Stmt]) -> Result<Value> {
        let mut out = vec![];
        self.body(body, &mut out)?;
        if out.is_empty() {
            return Ok(Value::from(""));
        }
        self.join(out)
    }

    /// Runs with an inner frame.
    fn scoped<T>(&mut self, frame: Arc<Frame>, run: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.frame, frame);
        let result = run(self);
        self.frame = outer;
        result
    }

    fn stmt(&mut self, stmt: &Stmt, out: &mut Vec<Value>) -> Result<Flow> {
        match &stmt.kind {
            StmtKind::Text(text) => out.push(text.clone()),
            StmtKind::Emit(expr) => {
                let value = self.eval(expr)?;
                let silent = matches!(Undefined::of(&value), Some(Undefined { why: Why::Nothing, .. }));
                out.push(if silent {
                    value
                } else {
                    self.known(value).map_err(|e| self.locate(e, expr.start, expr.end))?
                });
            }
            StmtKind::For(each) => return self.for_loop(each, out),
            StmtKind::If { branches, otherwise } => {
                for (test, body) in branches {
                    if self.test_true(test)? {
                        return self.body(body, out);
                    }
                }
                return self.body(otherwise, out);
            }
            StmtKind::Set { target, value } => {
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            StmtKind::SetBlock { target, filter, body } => {
                let frame = Frame::inside(&self.frame);
                let mut value = self.scoped(frame, |i| i.captured(body))?;
                if let Some(filter) = filter {
                    value = self.block_filter(filter, value)?;
                }
                self.assign(target, value)?;
            }
            StmtKind::With { assignments, body } => {
                let mut values = vec![];
                for (_, value) in assignments {
                    values.push(self.eval(value)?);
                }
                let frame = Frame::inside(&self.frame);
                return self.scoped(frame, |i| {
                    for ((target, _), value) in assignments.iter().zip(values) {
                        i.assign(target, value)?;
                    }
                    i.body(body, out)
                });
            }
            StmtKind::FilterBlock { filter, body } => {
                let frame = Frame::inside(&self.frame);
                let value = self.scoped(frame, |i| i.captured(body))?;
                let value = self.block_filter(filter, value)?;
                out.push(self.known(value)?);
            }
            StmtKind::Macro(decl) => {
                let value = self.macro_value(decl);
                self.frame.set(&decl.name, value);
            }
            StmtKind::CallBlock { call, caller } => {
                let caller = self.macro_value(caller);
                let value = self.call_with_caller(call, caller)?;
                out.push(self.known(value)?);
            }
            StmtKind::Do(expr) => {
                let value = self.eval(expr)?;
                self.known(value)?;
            }
            StmtKind::Block { name, .. } => self.block(name, 0, out)?,
            StmtKind::Extends(name) => {
                let name = self.eval(name)?;
                self.extends = Some(self.load(&self.known(name)?)?);
            }
            StmtKind::Include { name, ignore_missing, with_context } => {
                let name = self.eval(name)?;
                let name = self.known(name)?;
                self.include(&name, *ignore_missing, *with_context, out)?;
            }
            StmtKind::Import { name, alias, with_context } => {
                let name = self.eval(name)?;
                let name = self.known(name)?;
                let module = self.import(&name, *with_context)?;
                let namespace = Namespace::default();
                for (key, value) in module {
                    namespace.set(&key, value);
                }
                self.frame.set(alias, Value::from_object(namespace));
            }
            StmtKind::FromImport { name, names, with_context } => {
                let name = self.eval(name)?;
                let name = self.known(name)?;
                let module = self.import(&name, *with_context)?;
                for (original, alias) in names {
                    let value = module.get(&**original).cloned().unwrap_or_else(|| {
                        let why = format!("the imported template has no `{original}`");
                        let span = self.origin.span(stmt.start as usize, stmt.end as usize);
                        Undefined::value(Why::Problem(Box::new(Problem::new("undefined-variable", why))), span)
                    });
                    self.frame.set(alias, value);
                }
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Group(body) => return self.body(body, out),
        }
        Ok(Flow::On)
    }

    fn macro_value(&mut self, decl: &Arc<Macro>) -> Value {
        self.roots.push(self.frame.clone());
        Value::from_object(MacroValue { decl: decl.clone(), frame: self.frame.clone(), origin: self.origin.clone() })
    }

    /// An expression as a condition.
    fn test_true(&mut self, test: &Expr) -> Result<bool> {
        let value = self.eval(test)?;
        if matches!(Undefined::of(&value), Some(Undefined { why: Why::Nothing, .. })) {
            return Ok(false);
        }
        let value = self.known(value).map_err(|e| self.locate(e, test.start, test.end))?;
        Ok(ops::is_true(&value))
    }

    fn for_loop(&mut self, each: &Arc<ForLoop>, out: &mut Vec<Value>) -> Result<Flow> {
        let iterable = self.eval(&each.iter)?;
        let iterable = self.known(iterable).map_err(|e| self.locate(e, each.iter.start, each.iter.end))?;
        self.run_loop(each, &iterable, 1, out).map_err(|e| self.locate(e, each.iter.start, each.iter.end))?;
        Ok(Flow::On)
    }

    fn run_loop(&mut self, each: &Arc<ForLoop>, iterable: &Value, depth: usize, out: &mut Vec<Value>) -> Result<()> {
        let mut items =
            ops::items(iterable).ok_or_else(|| failed(format!("{} cannot be looped over", ops::describe(iterable))))?;
        if let Some(filter) = &each.filter {
            let mut kept = vec![];
            for item in items {
                let frame = Frame::inside(&self.frame);
                let keep = self.scoped(frame, |i| {
                    i.assign(&each.target, item.clone())?;
                    i.test_true(filter)
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            let frame = Frame::inside(&self.frame);
            self.scoped(frame, |i| i.body(&each.otherwise, out))?;
            return Ok(());
        }
        let items = Arc::new(items);
        let changed = Arc::default();
        let recursive = each.recursive.then(|| Recursion {
            each: each.clone(),
            frame: self.frame.clone(),
            origin: self.origin.clone(),
        });
        if recursive.is_some() {
            self.roots.push(self.frame.clone());
        }
        self.loops += 1;
        for (index, item) in items.iter().enumerate() {
            let frame = Frame::inside(&self.frame);
            let state = LoopValue {
                items: items.clone(),
                index,
                depth,
                changed: Arc::clone(&changed),
                recursive: recursive.clone(),
            };
            frame.set(&Arc::from("loop"), Value::from_object(state));
            let held = frame.clone();
            let flow = self.scoped(frame, |i| {
                i.burn_more(ROUND)?;
                i.assign(&each.target, item.clone())?;
                i.body(&each.body, out)
            });
            // A recursive loop's value holds the frame it stands in.
            if Arc::strong_count(&held) > 1 {
                self.roots.push(held);
            }
            match flow {
                Ok(Flow::Break) => break,
                Ok(_) => {}
                Err(error) => {
                    self.loops -= 1;
                    return Err(error);
                }
            }
        }
        self.loops -= 1;
        Ok(())
    }

    /// Binds a name, a tuple of names, or a namespace's attribute.
    fn assign(&mut self, target: &Expr, value: Value) -> Result<()> {
        match &target.kind {
            ExprKind::Name(name) => self.frame.set(name, value),
            ExprKind::Tuple(targets) => {
                let value = self.known(value)?;
                let values = ops::items(&value).ok_or_else(|| {
                    failed(format!("{} cannot be taken apart into {} names", ops::describe(&value), targets.len()))
                })?;
                if values.len() != targets.len() {
                    return Err(failed(format!("there are {} values for {} names", values.len(), targets.len())));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
            }
            ExprKind::Attr(base, name) => {
                let base = self.eval(base)?;
                let base = self.known(base)?;
                match base.downcast_object_ref::<Namespace>() {
                    Some(namespace) => namespace.set(name, value),
                    None => return Err(failed("only a `namespace(…)` can have its attributes set")),
                }
            }
            _ => return Err(failed("this cannot be assigned to")),
        }
        Ok(())
    }

    /// A value as an iterable of known kind, as text for keys and the like.
    fn tuple(items: Vec<Value>) -> Value {
        Value::from(Tuple::new(items))
    }

    fn unknown_if_any(values: &[Value]) -> Option<Unknown> {
        let mut found: Option<Unknown> = None;
        for value in values {
            if value.kind() == ValueKind::Plain
                && let Some(u) = Unknown::of(value)
            {
                found = Some(found.map_or_else(|| u.clone(), |f| f.merge(u)));
            }
        }
        found
    }
}
