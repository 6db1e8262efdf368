//! Calls: macros, methods, functions, filters and tests.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Kwargs, ValueKind};

use super::expr::is_method;
use super::frame::Frame;
use super::objects::{
    BoundMethod, Builtin, Cycler, Failed, Joiner, LoopValue, MacroValue, Namespace, RangeValue, Undefined, Why,
};
use super::{Interp, MAX_CALLS, Result, check, check_one, failed, mutate, ops};
use crate::problem::Problem;
use crate::template::args::Call;
use crate::template::call;
use crate::template::datetime;
use crate::template::syntax::ast::{Args, Expr, ExprKind};
use crate::template::{EvalError, Unknown};

/// No memory is spent on longer ranges.
const MAX_RANGE: usize = 10_000_000;

pub(super) struct Evaluated {
    pub positional: Vec<Value>,
    pub named: IndexMap<String, Value>,
}

impl Evaluated {
    /// As minijinja's functions take them.
    fn into_values(self, first: Option<Value>) -> Vec<Value> {
        let mut all: Vec<Value> = first.into_iter().chain(self.positional).collect();
        if !self.named.is_empty() {
            all.push(Value::from(Kwargs::from_iter(self.named)));
        }
        all
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.positional.iter().chain(self.named.values())
    }

    /// An argument by place or name.
    fn get(&self, i: usize, name: &str) -> Option<&Value> {
        self.positional.get(i).or_else(|| self.named.get(name))
    }
}

impl Interp<'_> {
    /// Arguments' values, undefined and unknown ones too.
    pub(super) fn args(&mut self, args: &Args) -> Result<Evaluated> {
        let mut positional = vec![];
        for expr in &args.positional {
            positional.push(self.eval(expr)?);
        }
        if let Some(splat) = &args.splat {
            let value = self.eval_known(splat)?;
            positional.extend(ops::items(&value).ok_or_else(|| failed("`*` needs a list"))?);
        }
        let mut named = IndexMap::new();
        for (name, expr) in &args.named {
            named.insert(name.to_string(), self.eval(expr)?);
        }
        if let Some(splat) = &args.named_splat {
            let value = self.eval_known(splat)?;
            for (key, value) in mutate::pairs(&value)? {
                named.insert(crate::template::text(&key), value);
            }
        }
        Ok(Evaluated { positional, named })
    }

    /// Arguments are all defined; an unknown one is `Err(Unknown)`.
    fn check_args(&self, evaluated: &Evaluated, args: &Args) -> Result<()> {
        let all: Vec<Value> = evaluated.values().cloned().collect();
        if let Some(unknown) = Self::unknown_if_any(&all) {
            return Err(EvalError::Unknown(unknown));
        }
        let places: Vec<&Expr> = args.positional.iter().chain(args.named.iter().map(|(_, e)| e)).collect();
        for (i, value) in all.iter().enumerate() {
            check_one(value).map_err(|e| self.explain(e)).map_err(|e| match places.get(i) {
                Some(place) => self.locate(e, place.start, place.end),
                None => e,
            })?;
        }
        Ok(())
    }

    pub(super) fn call(&mut self, callee: &Expr, args: &Args, whole: &Expr) -> Result<Value> {
        match &callee.kind {
            ExprKind::Attr(base, name) => {
                if let ExprKind::Name(n) = &base.kind
                    && &**n == "self"
                    && self.blocks.contains_key(name)
                {
                    let mut out = vec![];
                    self.block(name, 0, &mut out)?;
                    return self.join_text(&out).map(Value::from);
                }
                let object = self.eval(base)?;
                if Undefined::of(&object).is_some() {
                    self.args(args)?;
                    return Ok(object);
                }
                let object = self.known(object).map_err(|e| self.locate(e, base.start, base.end))?;
                if mutate::changes(&object, name) {
                    let evaluated = self.args(args)?;
                    if let Some(undefined) = evaluated.values().find(|v| Undefined::of(v).is_some()) {
                        return Ok(undefined.clone());
                    }
                    let (changed, returned) = mutate::apply(&object, name, &evaluated.positional, &evaluated.named)?;
                    self.store(base, changed)?;
                    return Ok(returned);
                }
                if is_method(&object, name) {
                    let evaluated = self.args(args)?;
                    let checked = self.check_args(&evaluated, args);
                    return handed_on(checked.and_then(|()| self.method(&object, name, evaluated)));
                }
                let function = self.attribute(&object, name, callee)?;
                self.call_if_defined(function, args)
            }
            ExprKind::Name(name) if &**name == "super" && !self.block_stack.is_empty() => {
                let mut out = vec![];
                if let Some((block, level)) = self.block_stack.last().cloned() {
                    self.block(&block, level + 1, &mut out)?;
                }
                self.join_text(&out).map(Value::from)
            }
            _ => {
                let function = self.eval(callee)?;
                let _ = whole;
                self.call_if_defined(function, args)
            }
        }
    }

    /// What is undefined stays undefined when it is called.
    fn call_if_defined(&mut self, function: Value, args: &Args) -> Result<Value> {
        if Undefined::of(&function).is_some() {
            self.args(args)?;
            return Ok(function);
        }
        let function = self.known(function)?;
        self.call_value(&function, args, None)
    }

    /// `{% call %}`: the call gets a `caller`.
    pub(super) fn call_with_caller(&mut self, call: &Expr, caller: Value) -> Result<Value> {
        let ExprKind::Call(callee, args) = &call.kind else { return Err(failed("`{% call %}` needs a call")) };
        let function = self.eval_known(callee)?;
        let result = self.call_value(&function, args, Some(caller));
        result.map_err(|e| self.locate(e, call.start, call.end))
    }

    fn call_value(&mut self, function: &Value, args: &Args, caller: Option<Value>) -> Result<Value> {
        if let Some(macro_value) = function.downcast_object::<MacroValue>() {
            let evaluated = self.args(args)?;
            return handed_on(self.call_macro(&macro_value, evaluated, caller));
        }
        let evaluated = self.args(args)?;
        if let Some(builtin) = function.downcast_object_ref::<Builtin>() {
            // `undef` and `dict` may hold undefined values, `lookup(…, default=…)` may not.
            let checked = match builtin {
                Builtin::Dict | Builtin::Namespace => Ok(()),
                _ => self.check_args(&evaluated, args),
            };
            return handed_on(checked.and_then(|()| self.builtin(*builtin, evaluated)));
        }
        let checked = self.check_args(&evaluated, args);
        handed_on(checked.and_then(|()| self.call_object(function, evaluated)))
    }

    fn call_object(&mut self, function: &Value, evaluated: Evaluated) -> Result<Value> {
        if let Some(bound) = function.downcast_object_ref::<BoundMethod>() {
            return self.method(&bound.object.clone(), &bound.name.clone(), evaluated);
        }
        if let Some(joiner) = function.downcast_object_ref::<Joiner>() {
            let mut used = joiner.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let first = !std::mem::replace(&mut *used, true);
            return Ok(if first { Value::from("") } else { joiner.separator.clone() });
        }
        if let Some(looped) = function.downcast_object::<LoopValue>() {
            let Some(recursion) = &looped.recursive else { return Err(failed("the loop is not `recursive`")) };
            let Some(items) = evaluated.positional.first() else { return Err(failed("`loop(…)` needs a list")) };
            return self.deeper(|i| {
                let origin = std::mem::replace(&mut i.origin, recursion.origin.clone());
                let mut out = vec![];
                let frame = Frame::inside(&recursion.frame);
                let result = i.scoped(frame, |i| i.run_loop(&recursion.each, items, looped.depth + 1, &mut out));
                i.origin = origin;
                result?;
                i.join_text(&out).map(Value::from)
            });
        }
        if function.as_object().is_some() && function.kind() == ValueKind::Plain {
            return function.call(&mut self.state, &evaluated.into_values(None)).map_err(EvalError::from);
        }
        Err(failed(format!("{} cannot be called", ops::describe(function))))
    }

    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.calls >= MAX_CALLS {
            return Err(failed("recursive loop detected in template: calls are nested too deeply"));
        }
        self.calls += 1;
        let result = run(self);
        self.calls -= 1;
        result
    }

    fn call_macro(&mut self, m: &Arc<MacroValue>, mut given: Evaluated, caller: Option<Value>) -> Result<Value> {
        let frame = Frame::inside(&m.frame);
        let mut positional = std::mem::take(&mut given.positional).into_iter();
        self.deeper(|i| {
            let origin = std::mem::replace(&mut i.origin, m.origin.clone());
            let result = i.scoped(frame, |i| {
                for (name, default) in &m.decl.params {
                    let value = match positional.next().or_else(|| given.named.shift_remove(&**name)) {
                        Some(value) => value,
                        None => match default {
                            Some(default) => i.eval(default)?,
                            None => {
                                let why = format!("parameter `{name}` of macro `{}` was not given", m.decl.name);
                                Undefined::value(Why::Problem(Box::new(Problem::new("undefined-variable", why))), None)
                            }
                        },
                    };
                    i.frame.set(name, value);
                }
                // As in Jinja, a macro takes more only if it mentions them.
                if positional.len() > 0 && !m.decl.more.positional {
                    let most = m.decl.params.len();
                    return Err(failed(format!("macro `{}` takes not more than {most} arguments", m.decl.name)));
                }
                if let Some((name, _)) = given.named.first()
                    && !m.decl.more.named
                {
                    return Err(failed(format!("macro `{}` takes no argument `{name}`", m.decl.name)));
                }
                i.frame.set(&Arc::from("varargs"), Self::tuple(positional.collect()));
                i.frame.set(
                    &Arc::from("kwargs"),
                    Value::from_pairs(given.named.into_iter().map(|(k, v)| (Value::from(k), v)).collect::<Vec<_>>()),
                );
                if let Some(caller) = caller {
                    if !m.decl.more.caller {
                        return Err(failed(format!("macro `{}` takes no `{{% call %}}`", m.decl.name)));
                    }
                    i.frame.set(&Arc::from("caller"), caller);
                }
                i.captured(&m.decl.body)
            });
            i.origin = origin;
            result
        })
    }

    fn method(&mut self, object: &Value, name: &str, given: Evaluated) -> Result<Value> {
        if let Some(cycler) = object.downcast_object_ref::<Cycler>() {
            return Ok(match name {
                "next" => cycler.next(),
                _ => {
                    cycler.reset();
                    Value::from(())
                }
            });
        }
        if let Some(looped) = object.downcast_object_ref::<LoopValue>() {
            if name == "cycle" {
                let count = given.positional.len();
                return match count {
                    0 => Err(failed("`loop.cycle` needs values")),
                    _ => Ok(given.positional[looped.index % count].clone()),
                };
            }
            let mut last = looped.changed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let same = last.as_ref().is_some_and(|l| {
                l.len() == given.positional.len() && l.iter().zip(&given.positional).all(|(a, b)| ops::equal(a, b))
            });
            *last = Some(given.positional);
            return Ok(Value::from(!same));
        }
        if datetime::is_method(object, name) {
            let call = Call { name: datetime::intern(name), positional: given.positional, named: given.named };
            return datetime::method(object, call).map_err(EvalError::from);
        }
        if object.kind() == ValueKind::Map {
            let keys = || ops::items(object).unwrap_or_default();
            match name {
                "keys" => return Ok(Value::from(keys())),
                "values" => {
                    return Ok(Value::from(
                        keys().iter().map(|k| object.get_item(k).unwrap_or_default()).collect::<Vec<_>>(),
                    ));
                }
                "items" => {
                    let pairs = keys().into_iter().map(|k| {
                        let v = object.get_item(&k).unwrap_or_default();
                        Self::tuple(vec![k, v])
                    });
                    return Ok(Value::from(pairs.collect::<Vec<_>>()));
                }
                "get" => {
                    let Some(key) = given.get(0, "key") else { return Err(failed("`get` needs a key")) };
                    let found = object.get_item(key).unwrap_or_default();
                    return Ok(if found.is_undefined() {
                        given.get(1, "default").cloned().unwrap_or(Value::from(()))
                    } else {
                        found
                    });
                }
                "copy" => return Ok(object.clone()),
                _ => {}
            }
        }
        if name == "copy" {
            return Ok(object.clone());
        }
        if matches!(name, "values" | "items") {
            check::met(object, 1)?;
        }
        if mutate::changes(object, name) {
            return mutate::apply(object, name, &given.positional, &given.named).map(|(_, returned)| returned);
        }
        for value in given.values() {
            super::check_deep(value)?;
        }
        super::check_deep(object)?;
        super::super::engine::method(&mut self.state, object, name, &given.positional, &given.named)
    }

    fn builtin(&mut self, builtin: Builtin, given: Evaluated) -> Result<Value> {
        match builtin {
            Builtin::Lookup | Builtin::Query => self.lookup(given, builtin == Builtin::Query),
            Builtin::Range => range(&given),
            Builtin::Dict => {
                let mut map: IndexMap<Value, Value> = match given.positional.first() {
                    Some(first) => {
                        let first = self.known(first.clone())?;
                        check::met(&first, 2)?;
                        mutate::pairs(&first)?.into_iter().collect()
                    }
                    None => IndexMap::new(),
                };
                for (k, v) in given.named {
                    map.insert(Value::from(k), v);
                }
                Ok(Value::from_pairs(map))
            }
            Builtin::Namespace => {
                let namespace = Namespace::default();
                if let Some(first) = given.positional.first() {
                    let first = self.known(first.clone())?;
                    for (k, v) in mutate::pairs(&first)? {
                        namespace.set(&crate::template::text(&k), v);
                    }
                }
                for (k, v) in given.named {
                    namespace.set(&k, v);
                }
                Ok(Value::from_object(namespace))
            }
            Builtin::Cycler => {
                if given.positional.is_empty() {
                    return Err(failed("`cycler` needs values"));
                }
                Ok(Value::from_object(Cycler { items: given.positional, at: std::sync::Mutex::new(0) }))
            }
            Builtin::Joiner => {
                let separator = given.get(0, "sep").cloned().unwrap_or_else(|| Value::from(", "));
                Ok(Value::from_object(Joiner { separator, used: std::sync::Mutex::new(false) }))
            }
            Builtin::Undef => {
                let hint = given.get(0, "hint").map(crate::template::text);
                let message = hint.unwrap_or_else(|| "a variable that must be set has not been set".to_owned());
                Ok(Undefined::value(Why::Problem(Box::new(Problem::new("undefined-variable", message))), None))
            }
            Builtin::Now => now(&given),
            Builtin::Lipsum => {
                let number = |i: usize, name: &str, otherwise: usize| {
                    let given = given.get(i, name).and_then(|v| v.as_i64()).and_then(|n| usize::try_from(n).ok());
                    given.unwrap_or(otherwise).min(10_000)
                };
                let html = given.get(1, "html").is_none_or(ops::is_true);
                let text = super::lipsum::lipsum(
                    number(0, "n", 5).min(1000),
                    html,
                    number(2, "min", 20),
                    number(3, "max", 100),
                );
                Ok(if html { crate::template::markup::safe(text) } else { Value::from(text) })
            }
        }
    }

    fn lookup(&mut self, mut given: Evaluated, is_query: bool) -> Result<Value> {
        if given.positional.is_empty() {
            return Err(failed("`lookup` needs the name of a lookup"));
        }
        let name = given.positional.remove(0);
        let Some(name) = name.as_str() else { return Err(failed("the name of a lookup is text")) };
        let wants_list = given.named.shift_remove("wantlist").is_some_and(|v| ops::is_true(&v)) || is_query;
        let errors =
            given.named.shift_remove("errors").map_or_else(|| "strict".to_owned(), |v| crate::template::text(&v));
        if !matches!(errors.as_str(), "strict" | "warn" | "ignore") {
            return Err(failed(format!("`errors` is `strict`, `warn` or `ignore`, not `{errors}`")));
        }
        for value in given.values() {
            super::check_deep(value).map_err(|e| self.explain(e))?;
        }
        let results = match self.ctx.run_lookup(name, &given.positional, &given.named) {
            Ok(results) => results,
            Err(EvalError::Failed(problem)) if errors != "strict" && problem.code != "unknown-lookup" => {
                if errors == "warn" {
                    self.ctx.engine().warn(
                        "lookup",
                        &format!("lookup `{name}`: {}", problem.message),
                        problem.span.as_ref(),
                    );
                }
                return Ok(if wants_list { Value::from(Vec::<Value>::new()) } else { Value::from(()) });
            }
            // What it found is undefined: `default` and `is defined` still have their say.
            Err(error) => return handed_on(Err(error)),
        };
        if wants_list {
            return Ok(Value::from(results));
        }
        if let [only] = results.as_slice() {
            return Ok(only.clone());
        }
        if !results.is_empty() && results.iter().all(|r| r.kind() == ValueKind::String) {
            let texts: Vec<&str> = results.iter().filter_map(|r| r.as_str()).collect();
            return Ok(Value::from(texts.join(",")));
        }
        Ok(Value::from(results))
    }

    /// `value | name(args)`.
    pub(super) fn filter(&mut self, name: &str, value: Value, args: &Args) -> Result<Value> {
        let routed = self.ctx.engine().redirected("filter", name);
        let short = call::short_name(&routed);
        match short {
            "default" | "d" => {
                let evaluated = match self.args(args) {
                    // To Ansible a variable whose template fails is a value until it is used, and this one is not.
                    Err(EvalError::Failed(problem))
                        if !value.is_undefined()
                            && Undefined::of(&value).is_none()
                            && args.named.is_empty()
                            && args.positional.len() == 1
                            && problem.notes.iter().any(|n| n.starts_with("in the value of")) =>
                    {
                        return Ok(value);
                    }
                    evaluated => evaluated?,
                };
                return default_filter(value, &evaluated);
            }
            "ternary" => {
                let evaluated = self.args(args)?;
                return handed_on(self.known(value).and_then(|value| ternary_filter(&value, &evaluated)));
            }
            "mandatory" => {
                let evaluated = self.args(args)?;
                self.check_args(&evaluated, args)?;
                if let Some(undefined) = Undefined::of(&value) {
                    let message = evaluated.get(0, "msg").filter(|m| !m.is_none()).map(crate::template::text);
                    let problem = undefined.problem();
                    return Err(self.explain(EvalError::Undefined(match message {
                        Some(message) => Problem { message, help: vec![], ..problem },
                        None => problem,
                    })));
                }
                return Ok(value);
            }
            _ => {}
        }
        if short == "type_debug" && Undefined::of(&value).is_some() {
            return Ok(Value::from("UndefinedMarker"));
        }
        if short == "type_debug" && Failed::of(&value).is_some() {
            return Ok(Value::from("CapturedExceptionMarker"));
        }
        let evaluated = self.args(args)?;
        let all: Vec<Value> = std::iter::once(value.clone()).chain(evaluated.values().cloned()).collect();
        if let Some(unknown) = Self::unknown_if_any(&all) {
            return Err(EvalError::Unknown(unknown));
        }
        if let Some(broken) = all.iter().find(|v| Failed::of(v).is_some()) {
            return Ok(broken.clone());
        }
        handed_on(self.known(value).and_then(|value| {
            self.check_args(&evaluated, args)?;
            let values = evaluated.into_values(Some(value));
            call::apply_filter(&mut self.state, name, &values).map_err(|e| self.explain(EvalError::from(e)))
        }))
    }

    /// The filters of a block, on what the block put out.
    pub(super) fn block_filter(&mut self, filter: &Expr, value: Value) -> Result<Value> {
        let ExprKind::Filter(base, name, args) = &filter.kind else { return Err(failed("a filter is needed")) };
        let value = match base {
            Some(base) => self.block_filter(base, value)?,
            None => value,
        };
        self.filter(name, value, args).map_err(|e| self.locate(e, filter.start, filter.end))
    }

    /// `value is name(args)`.
    pub(super) fn test(&mut self, name: &str, value: Value, args: &Args) -> Result<Value> {
        let routed = self.ctx.engine().redirected("test", name);
        let short = call::short_name(&routed);
        if matches!(short, "defined" | "undefined") {
            let defined = Undefined::of(&value).is_none() && !value.is_undefined();
            if let Some(super::Failed(error)) = super::Failed::of(&value) {
                return Err(error.clone());
            }
            return Ok(Value::from(defined == (short == "defined")));
        }
        let evaluated = self.args(args)?;
        let all: Vec<Value> = std::iter::once(value.clone()).chain(evaluated.values().cloned()).collect();
        if let Some(unknown) = Self::unknown_if_any(&all) {
            return Err(EvalError::Unknown(unknown));
        }
        handed_on(self.known(value).and_then(|value| {
            self.check_args(&evaluated, args)?;
            self.tested(short, name, value, evaluated)
        }))
    }

    fn tested(&mut self, short: &str, name: &str, value: Value, evaluated: Evaluated) -> Result<Value> {
        if short == "callable" {
            let callable = value.kind() == ValueKind::Plain
                && (value.downcast_object_ref::<MacroValue>().is_some()
                    || value.downcast_object_ref::<Builtin>().is_some()
                    || value.downcast_object_ref::<BoundMethod>().is_some());
            return Ok(Value::from(callable));
        }
        if matches!(short, "filter" | "test")
            && let Some(wanted) = value.as_str()
        {
            let engine = self.ctx.engine();
            return Ok(Value::from(if short == "filter" {
                engine.knows_filter(wanted)
            } else {
                engine.knows_test(wanted)
            }));
        }
        let values = evaluated.into_values(Some(value));
        call::perform_test(&mut self.state, name, &values)
            .map(Value::from)
            .map_err(|e| self.explain(EvalError::from(e)))
    }
}

/// As in Ansible, what a filter, test, function or method makes of something undefined is undefined itself: `default` and
/// `is defined` have their say about the whole call. Operators (`+`, `~`, `==`, `if` …) are errors at once.
fn handed_on(result: Result<Value>) -> Result<Value> {
    match result {
        Err(error @ EvalError::Undefined(_)) => Ok(Failed::standing_for(Err(error))),
        other => other,
    }
}

/// What is not chosen may be undefined, as in Ansible.
fn ternary_filter(value: &Value, given: &Evaluated) -> Result<Value> {
    let (Some(yes), Some(no)) = (given.get(0, "true_val"), given.get(1, "false_val")) else {
        return Err(failed("`ternary` needs two values to choose from"));
    };
    Ok(match given.get(2, "none_val").filter(|n| !n.is_none()) {
        Some(none) if value.is_none() => none,
        _ if crate::template::truth(value) => yes,
        _ => no,
    }
    .clone())
}

fn default_filter(value: Value, given: &Evaluated) -> Result<Value> {
    if Unknown::of(&value).is_some() {
        return Ok(value);
    }
    // A variable whose template fails is an error where it is used: `default` is no use.
    if Failed::of(&value).is_some() {
        return Ok(value);
    }
    let boolean = given.get(1, "boolean").is_some_and(ops::is_true);
    // What an inline `if` without `else` leaves is not Ansible's kind of undefined: its `default` passes it on.
    if matches!(Undefined::of(&value), Some(Undefined { why: Why::Nothing, .. })) {
        return Err(failed("an inline `if` without `else` gave nothing, and `default` does not fill that in"));
    }
    if Undefined::of(&value).is_some() || value.is_undefined() || (boolean && !ops::is_true(&value)) {
        return Ok(given.get(0, "default_value").cloned().unwrap_or_else(|| Value::from("")));
    }
    Ok(value)
}

fn range(given: &Evaluated) -> Result<Value> {
    let mut numbers = vec![];
    for value in &given.positional {
        let number = value.as_i64().filter(|_| value.is_integer() || value.kind() == ValueKind::Bool);
        numbers
            .push(number.ok_or_else(|| failed(format!("`range` needs whole numbers, not {}", ops::describe(value))))?);
    }
    let (start, stop, step) = match numbers.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step] => (*start, *stop, *step),
        _ => return Err(failed("`range` needs one, two or three numbers")),
    };
    if step == 0 {
        return Err(failed("`range` needs a step that is not zero"));
    }
    let range = RangeValue { start, stop, step };
    if range.len() > MAX_RANGE {
        return Err(failed(format!("the range is too long: at most {MAX_RANGE} numbers")));
    }
    Ok(Value::from_object(range))
}

fn now(given: &Evaluated) -> Result<Value> {
    let utc = given.get(0, "utc").is_some_and(ops::is_true);
    let zoned = if utc { jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC) } else { jiff::Zoned::now() };
    match given.get(1, "fmt").filter(|f| !f.is_none()) {
        Some(format) => {
            let zone = datetime::Zone { offset: String::new(), name: String::new() };
            let text = datetime::format_time(&crate::template::text(format), &zoned, true, Some(&zone));
            Ok(Value::from(text.map_err(EvalError::from)?))
        }
        None => Ok(Value::from_object(datetime::DateTime(zoned.datetime(), None))),
    }
}
