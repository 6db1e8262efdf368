//! Expressions.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::objects::{BoundMethod, Builtin, Cycler, Failed, LoopValue, Undefined, Why};
use super::{Interp, Result, failed, ops};
use crate::problem::Problem;
use crate::template::syntax::ast::{BinaryOp, CompareOp, Expr, ExprKind};
use crate::template::syntax::is_template;
use crate::template::{EvalError, Unknown, omit};

impl Interp<'_> {
    /// An expression's value, which may be undefined or unknown; `Err` is never `Unknown`.
    pub(in crate::template) fn eval(&mut self, expr: &Expr) -> Result<Value> {
        self.burn()?;
        match crate::template::stack::grow(|| self.eval_kind(expr)) {
            Ok(value) => Ok(value),
            Err(EvalError::Unknown(unknown)) => Ok(unknown.into_value()),
            Err(error) => Err(self.locate(error, expr.start, expr.end)),
        }
    }

    /// What a filter, a lookup or a method fails with is, as in Ansible, an error only where the value is used.
    fn kept_for_later(&self, error: EvalError, expr: &Expr) -> Result<Value> {
        match error {
            EvalError::Failed(problem) if is_of_the_value(&problem) => {
                Ok(Failed::standing_for(Err(self.locate(EvalError::Failed(problem), expr.start, expr.end))))
            }
            error => Err(error),
        }
    }

    /// A value that is used: errors and unknowns come out.
    pub(super) fn eval_known(&mut self, expr: &Expr) -> Result<Value> {
        let value = self.eval(expr)?;
        self.known(value).map_err(|e| self.locate(e, expr.start, expr.end))
    }

    fn eval_kind(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::Const(value) => self.constant(value, expr),
            ExprKind::Name(name) => self.name(name, expr),
            ExprKind::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(self.eval(item)?);
                }
                Ok(Value::from(values))
            }
            ExprKind::Tuple(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(self.eval(item)?);
                }
                Ok(Self::tuple(values))
            }
            ExprKind::Dict(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.eval_known(key)?;
                    if matches!(key.kind(), ValueKind::Map | ValueKind::Seq) && !key.is_tuple() {
                        let kind = ops::describe(&key);
                        return Err(failed(format!("{kind} cannot be a mapping's key (it is not hashable)")));
                    }
                    let value = self.eval(value)?;
                    // To Python 1, 1.0 and `true` are the same key.
                    match pairs.iter_mut().find(|(k, _): &&mut (Value, Value)| ops::equal(k, &key)) {
                        Some((_, old)) => *old = value,
                        None => pairs.push((key, value)),
                    }
                }
                Ok(Value::from_pairs(pairs))
            }
            ExprKind::Attr(base, name) => {
                let base = self.eval(base)?;
                self.attribute(&base, name, expr)
            }
            ExprKind::Item(base, key) => {
                let base = self.eval(base)?;
                if Undefined::of(&base).is_some() {
                    self.eval(key)?;
                    return Ok(base);
                }
                let key = self.eval_known(key)?;
                self.item(&base, &key, expr)
            }
            ExprKind::Slice(base, bounds) => {
                let value = self.eval(base)?;
                if Undefined::of(&value).is_some() {
                    return Ok(value);
                }
                let base = self.known(value).map_err(|e| self.locate(e, base.start, base.end))?;
                let mut numbers = [None; 3];
                for (number, bound) in numbers.iter_mut().zip(bounds) {
                    let Some(bound) = bound else { continue };
                    let value = self.eval_known(bound)?;
                    if !value.is_none() {
                        *number = Some(value.as_i64().ok_or_else(|| failed("a slice's bounds are whole numbers"))?);
                    }
                }
                ops::slice(&base, numbers).map_err(failed)
            }
            ExprKind::Call(callee, args) => match self.call(callee, args, expr) {
                Ok(value) => Ok(self.placed(value, expr)),
                Err(error) => self.kept_for_later(error, expr),
            },
            ExprKind::Filter(base, name, args) => {
                let Some(base) = base else { return Err(failed("a filter needs a value")) };
                let value = self.eval(base)?;
                match self.filter(name, value, args) {
                    Ok(value) => Ok(self.placed(value, expr)),
                    Err(error) => self.kept_for_later(error, expr),
                }
            }
            ExprKind::Test(base, name, args) => {
                let value = self.eval(base)?;
                let value = self.test(name, value, args)?;
                Ok(self.placed(value, expr))
            }
            ExprKind::Not(inner) => Ok(Value::from(!self.truth(inner)?)),
            ExprKind::Neg(inner) => ops::negate(&self.eval_known(inner)?).map_err(failed),
            ExprKind::Pos(inner) => ops::positive(&self.eval_known(inner)?).map_err(failed),
            ExprKind::And(left, right) => self.boolean(left, right, false),
            ExprKind::Or(left, right) => self.boolean(left, right, true),
            ExprKind::Binary(op, left, right) => {
                let (left, right) = self.operands(left, right)?;
                if *op == BinaryOp::Rem && left.kind() == ValueKind::String {
                    super::check_deep(&right).map_err(|e| self.explain(e))?;
                }
                ops::binary(*op, &left, &right).map_err(failed)
            }
            ExprKind::Compare(first, rest) => {
                let mut left = self.eval(first)?;
                for (op, right) in rest {
                    let right_value = self.eval(right)?;
                    if let Some(unknown) = Self::unknown_if_any(&[left.clone(), right_value.clone()]) {
                        return Ok(unknown.into_value());
                    }
                    let looks_in = matches!(op, CompareOp::In | CompareOp::NotIn);
                    if looks_in && right_value.kind() == ValueKind::Seq && right_value.len() == Some(0) {
                        // Nothing is in it: what is looked for is not used.
                        if matches!(op, CompareOp::In) {
                            return Ok(Value::from(false));
                        }
                        left = right_value;
                        continue;
                    }
                    let a = self.known(left)?;
                    let b = self.known(right_value).map_err(|e| self.locate(e, right.start, right.end))?;
                    // What is looked for may stand before what is undefined.
                    let found = matches!(op, CompareOp::In) && b.kind() == ValueKind::Seq && {
                        let looked_at = ops::items(&b).unwrap_or_default().into_iter();
                        looked_at.take_while(|v| super::check_deep(v).is_ok()).any(|v| ops::equal(&v, &a))
                    };
                    if found {
                        left = b;
                        continue;
                    }
                    // A container with unknown parts may compare either way.
                    super::check_deep(&a)?;
                    // Of a mapping only the keys are looked at.
                    if !looks_in || b.kind() != ValueKind::Map {
                        super::check_deep(&b)?;
                    }
                    if !ops::compare(*op, &a, &b).map_err(failed)? {
                        return Ok(Value::from(false));
                    }
                    left = b;
                }
                Ok(Value::from(true))
            }
            ExprKind::Concat(parts) => {
                let mut values = Vec::with_capacity(parts.len());
                for part in parts {
                    values.push(self.eval(part)?);
                }
                if let Some(unknown) = Self::unknown_if_any(&values) {
                    return Ok(unknown.into_value());
                }
                for (value, part) in values.iter().zip(parts) {
                    if matches!(Undefined::of(value), Some(Undefined { why: Why::Nothing, .. })) {
                        continue;
                    }
                    super::check_deep(value)
                        .map_err(|e| self.explain(e))
                        .map_err(|e| self.locate(e, part.start, part.end))?;
                }
                values.retain(|v| Undefined::of(v).is_none());
                ops::concat(&values).map_err(failed)
            }
            ExprKind::If { test, then, otherwise } => {
                if self.truth(test)? {
                    return self.eval(then);
                }
                match otherwise {
                    Some(otherwise) => self.eval(otherwise),
                    None => {
                        Ok(Undefined::value(Why::Nothing, self.origin.span(expr.start as usize, expr.end as usize)))
                    }
                }
            }
        }
    }

    /// Something undefined that a call left: it has the call's place if it has none.
    fn placed(&self, value: Value, expr: &Expr) -> Value {
        match Undefined::of(&value) {
            Some(Undefined { why, span: None }) => {
                let why = match why {
                    Why::Problem(problem) => {
                        Why::Problem(Box::new(match self.explain(EvalError::Undefined((**problem).clone())) {
                            EvalError::Undefined(problem) => problem,
                            _ => (**problem).clone(),
                        }))
                    }
                    other => other.clone(),
                };
                Undefined::value(why, self.origin.span(expr.start as usize, expr.end as usize))
            }
            _ => value,
        }
    }

    /// A constant; in conditions, text that holds a template is rendered.
    fn constant(&mut self, value: &Value, expr: &Expr) -> Result<Value> {
        if self.embedded
            && let Some(text) = value.as_str()
            && is_template(text)
        {
            let span = self.origin.span(expr.start as usize, expr.end as usize);
            let message = "a text in a condition holds a template: name the variable without `{{ }}`";
            self.ctx.engine().warn("embedded-template", message, span.as_ref());
            return self.ctx.render_text(text, span.as_ref());
        }
        Ok(value.clone())
    }

    fn name(&mut self, name: &str, expr: &Expr) -> Result<Value> {
        if let Some(value) = self.frame.get(name) {
            return Ok(value);
        }
        if !self.isolated
            && let Some(value) = self.ctx.resolve(name)?
        {
            return Ok(self.used(value, name, expr));
        }
        if name == "omit" {
            return Ok(omit());
        }
        if name == "self" {
            return Ok(Value::from_object(super::objects::Namespace::default()));
        }
        if let Some(builtin) = Builtin::named(name) {
            return Ok(Value::from_object(builtin));
        }
        let span = self.origin.span(expr.start as usize, expr.end as usize);
        Ok(Undefined::value(Why::Variable(name.into()), span))
    }

    /// A lazy variable's trouble says where the variable was used.
    fn used(&self, value: Value, name: &str, expr: &Expr) -> Value {
        if value.kind() != ValueKind::Plain {
            return value;
        }
        let note = |problem: &crate::problem::Problem| match self.origin.span(expr.start as usize, expr.end as usize) {
            Some(span) => problem.clone().note(format!("in the value of `{name}`, used at {span}")),
            None => problem.clone(),
        };
        if let Some(Undefined { why: Why::Problem(problem), span }) = Undefined::of(&value) {
            return Undefined::value(Why::Problem(Box::new(note(problem))), span.clone());
        }
        if let Some(Failed(EvalError::Failed(problem))) = Failed::of(&value) {
            return Value::from_object(Failed(EvalError::Failed(note(problem))));
        }
        value
    }

    fn truth(&mut self, expr: &Expr) -> Result<bool> {
        let value = self.eval(expr)?;
        if matches!(Undefined::of(&value), Some(Undefined { why: Why::Nothing, .. })) {
            return Ok(false);
        }
        let value = self.known(value).map_err(|e| self.locate(e, expr.start, expr.end))?;
        Ok(ops::is_true(&value))
    }

    /// `and` (`stops_at` false) and `or`. With an unknown left side the right one may still decide.
    fn boolean(&mut self, left: &Expr, right: &Expr, stops_at: bool) -> Result<Value> {
        let value = self.eval(left)?;
        if let Some(unknown) = Unknown::of(&value).cloned() {
            return match self.eval(right) {
                Ok(other) if other.kind() == ValueKind::Bool && other.is_true() == stops_at => Ok(other),
                Ok(other) => Ok(Unknown::of(&other).map_or(unknown.clone(), |o| unknown.merge(o)).into_value()),
                // The right side may rest on the left one being true (`x is defined and x.y`).
                Err(_) => Ok(unknown.into_value()),
            };
        }
        let value = self.known(value).map_err(|e| self.locate(e, left.start, left.end))?;
        if ops::is_true(&value) == stops_at { Ok(value) } else { self.eval(right) }
    }

    fn operands(&mut self, left: &Expr, right: &Expr) -> Result<(Value, Value)> {
        let a = self.eval(left)?;
        let b = self.eval(right)?;
        if let Some(unknown) = Self::unknown_if_any(&[a.clone(), b.clone()]) {
            return Err(EvalError::Unknown(unknown));
        }
        let a = self.known(a).map_err(|e| self.locate(e, left.start, left.end))?;
        let b = self.known(b).map_err(|e| self.locate(e, right.start, right.end))?;
        Ok((a, b))
    }

    fn missing(&self, base: &Value, name: String, expr: &Expr) -> Value {
        let known = match base.kind() {
            ValueKind::Map => ops::items(base)
                .unwrap_or_default()
                .iter()
                .filter_map(|k| k.as_str().map(str::to_owned))
                .take(200)
                .collect(),
            _ => vec![],
        };
        let span = self.origin.span(expr.start as usize, expr.end as usize);
        Undefined::value(Why::Attribute { of: ops::describe(base), name, known }, span)
    }

    /// Undefined, unknown and failed values hand themselves on.
    fn hands_on(base: &Value) -> bool {
        base.kind() == ValueKind::Plain
            && (Unknown::of(base).is_some() || Undefined::of(base).is_some() || Failed::of(base).is_some())
    }

    /// `base.name`: the method of that name, else the item.
    pub(super) fn attribute(&self, base: &Value, name: &str, expr: &Expr) -> Result<Value> {
        if Self::hands_on(base) {
            return Ok(base.clone());
        }
        if name.starts_with("__") {
            let span = self.origin.span(expr.start as usize, expr.end as usize);
            let why = crate::problem::Problem::new(
                "unsafe-attribute",
                format!("access to attribute `{name}` is not allowed"),
            );
            return Ok(Undefined::value(Why::Problem(Box::new(why)), span));
        }
        if is_method(base, name) {
            return Ok(Value::from_object(BoundMethod { object: base.clone(), name: name.into() }));
        }
        let found = base.get_item(&Value::from(name)).unwrap_or_default();
        if found.is_undefined()
            && let Some(found) = own_attribute(base, name)
        {
            return Ok(found);
        }
        if found.is_undefined() { Ok(self.missing(base, name.to_owned(), expr)) } else { Ok(found) }
    }

    /// `base[key]`: the item, else the attribute of that name.
    pub(super) fn item(&self, base: &Value, key: &Value, expr: &Expr) -> Result<Value> {
        if Self::hands_on(base) {
            return Ok(base.clone());
        }
        if let Some(text) = base.as_str() {
            if let Some(index) = key.as_i64() {
                let count = text.chars().count();
                let at = if index < 0 {
                    count.checked_sub(usize::try_from(-index).unwrap_or(usize::MAX))
                } else {
                    usize::try_from(index).ok()
                };
                if let Some(c) = at.and_then(|i| text.chars().nth(i)) {
                    return Ok(Value::from(c.to_string()));
                }
            }
        } else {
            let found = base.get_item(key).unwrap_or_default();
            if !found.is_undefined() {
                return Ok(found);
            }
            // Mappings made of JSON have text keys; a number may still equal another kind of number.
            if base.kind() == ValueKind::Map
                && key.kind() != ValueKind::String
                && let Some(same) = ops::items(base).unwrap_or_default().iter().find(|k| ops::equal(k, key))
            {
                return Ok(base.get_item(same).unwrap_or_default());
            }
        }
        if let Some(name) = key.as_str()
            && is_method(base, name)
        {
            return Ok(Value::from_object(BoundMethod { object: base.clone(), name: name.into() }));
        }
        Ok(self.missing(base, crate::template::text(key), expr))
    }
}

/// What numbers and ranges have besides methods.
pub(in crate::template) fn own_attribute(base: &Value, name: &str) -> Option<Value> {
    match (base.kind(), name) {
        (ValueKind::Number, "real") => Some(base.clone()),
        (ValueKind::Number, "imag") if base.is_integer() => Some(Value::from(0)),
        (ValueKind::Number, "imag") => Some(Value::from(0.0)),
        (ValueKind::Number, "numerator") if base.is_integer() => Some(base.clone()),
        (ValueKind::Number, "denominator") if base.is_integer() => Some(Value::from(1)),
        (ValueKind::Seq, "start" | "stop" | "step") => {
            base.downcast_object_ref::<super::objects::RangeValue>().map(|range| {
                Value::from(match name {
                    "start" => range.start,
                    "stop" => range.stop,
                    _ => range.step,
                })
            })
        }
        _ => None,
    }
}

/// Has Python's type of this value a method of that name?
pub(super) fn is_method(value: &Value, name: &str) -> bool {
    match value.kind() {
        ValueKind::Map => matches!(
            name,
            "items"
                | "keys"
                | "values"
                | "get"
                | "update"
                | "pop"
                | "popitem"
                | "setdefault"
                | "copy"
                | "clear"
                | "fromkeys"
        ),
        ValueKind::Seq | ValueKind::Iterable => matches!(
            name,
            "append"
                | "extend"
                | "insert"
                | "remove"
                | "pop"
                | "clear"
                | "index"
                | "count"
                | "sort"
                | "reverse"
                | "copy"
        ),
        ValueKind::String => matches!(
            name,
            "capitalize"
                | "casefold"
                | "center"
                | "count"
                | "encode"
                | "endswith"
                | "expandtabs"
                | "find"
                | "format"
                | "format_map"
                | "index"
                | "isalnum"
                | "isalpha"
                | "isascii"
                | "isdecimal"
                | "isdigit"
                | "isidentifier"
                | "islower"
                | "isnumeric"
                | "isprintable"
                | "isspace"
                | "istitle"
                | "isupper"
                | "join"
                | "ljust"
                | "lower"
                | "lstrip"
                | "maketrans"
                | "partition"
                | "removeprefix"
                | "removesuffix"
                | "replace"
                | "rfind"
                | "rindex"
                | "rjust"
                | "rpartition"
                | "rsplit"
                | "rstrip"
                | "split"
                | "splitlines"
                | "startswith"
                | "strip"
                | "swapcase"
                | "title"
                | "translate"
                | "upper"
                | "zfill"
        ),
        ValueKind::Number => matches!(name, "bit_length" | "is_integer" | "conjugate" | "to_bytes"),
        ValueKind::Bytes => matches!(name, "decode" | "hex"),
        ValueKind::Plain => {
            (value.downcast_object_ref::<LoopValue>().is_some() && matches!(name, "cycle" | "changed"))
                || (value.downcast_object_ref::<Cycler>().is_some() && matches!(name, "next" | "reset"))
                || crate::template::datetime::is_method(value, name)
        }
        _ => false,
    }
}

/// Whether a filter failed for what it was given, not for what the template says.
fn is_of_the_value(problem: &Problem) -> bool {
    !matches!(problem.code, "unknown-filter" | "unknown-test" | "unknown-lookup" | "not-supported")
}
