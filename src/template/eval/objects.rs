//! Values that only templates have: undefined ones with their reason, macros, namespaces, loops, functions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple};

use super::frame::Frame;
use crate::problem::Problem;
use crate::source::Span;
use crate::template::EvalError;
use crate::template::place::Origin;
use crate::template::syntax::ast::{ForLoop, Macro};

/// A value that is undefined, and why. Attributes of it are undefined for the same reason; any other use is an error.
#[derive(Debug, Clone)]
pub struct Undefined {
    pub why: Why,
    pub span: Option<Span>,
}

#[derive(Debug, Clone)]
pub enum Why {
    /// Nothing defines the variable.
    Variable(Arc<str>),
    /// A value has no such attribute or item; its names, if it is a mapping.
    Attribute { of: &'static str, name: String, known: Vec<String> },
    /// An `if` expression without `else`: it prints nothing.
    Nothing,
    /// A ready problem: the undefined name inside a lazy variable, `undef()`, a macro's missing argument.
    Problem(Box<Problem>),
}

impl Undefined {
    pub fn value(why: Why, span: Option<Span>) -> Value {
        Value::from_object(Self { why, span })
    }

    pub fn of(value: &Value) -> Option<&Self> {
        value.downcast_object_ref::<Self>()
    }

    /// The problem without the list of similar variables, which only the context knows.
    pub fn problem(&self) -> Problem {
        let problem = match &self.why {
            Why::Variable(name) => {
                Problem::new("undefined-variable", format!("`{name}` is undefined")).label("not defined")
            }
            Why::Attribute { of, name, known } => {
                let mut problem = Problem::new("undefined-attribute", format!("{of} has no attribute `{name}`"));
                if let Some(near) = crate::problem::nearest(name, known.iter().map(String::as_str)) {
                    problem = problem.help(format!("did you mean `{near}`?"));
                } else if !known.is_empty() && known.len() <= 12 {
                    problem = problem.help(format!("it has: {}", known.join(", ")));
                }
                problem
            }
            Why::Nothing => Problem::new("undefined-variable", "the inline `if` has no `else`: there is no value"),
            Why::Problem(problem) => (**problem).clone(),
        };
        match &self.span {
            Some(span) => problem.or_at(span),
            None => problem,
        }
    }
}

impl Object for Undefined {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Nothing => Ok(()),
            _ => f.write_str("Undefined"),
        }
    }
}

/// A value whose evaluation failed; using it is that error.
#[derive(Debug, Clone)]
pub struct Failed(pub EvalError);

impl Failed {
    pub fn of(value: &Value) -> Option<&Self> {
        value.downcast_object_ref::<Self>()
    }

    /// The value that stands for an evaluation's outcome inside a container or variable.
    pub fn standing_for(outcome: Result<Value, EvalError>) -> Value {
        match outcome {
            Ok(value) => value,
            Err(EvalError::Unknown(u)) => u.into_value(),
            Err(EvalError::Undefined(p)) => Undefined::value(Why::Problem(Box::new(p)), None),
            Err(error @ EvalError::Failed(_)) => Value::from_object(Self(error)),
        }
    }
}

impl Object for Failed {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<failed>")
    }
}

/// A `{% macro %}` with the variables it was defined among.
#[derive(Debug)]
pub struct MacroValue {
    pub decl: Arc<Macro>,
    pub frame: Arc<Frame>,
    pub origin: Origin,
}

impl Object for MacroValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "name" => Value::from(&*self.decl.name),
            "arguments" => {
                Value::from(Tuple::new(self.decl.params.iter().map(|(name, _)| Value::from(&**name)).collect()))
            }
            "catch_varargs" => Value::from(self.decl.more.positional),
            "catch_kwargs" => Value::from(self.decl.more.named),
            "caller" => Value::from(self.decl.more.caller),
            _ => return None,
        })
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<macro {}>", self.decl.name)
    }
}

/// A function that templates know by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    Lookup,
    Query,
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Undef,
    Now,
    Lipsum,
}

impl Builtin {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "lookup" => Self::Lookup,
            "query" | "q" => Self::Query,
            "range" => Self::Range,
            "dict" => Self::Dict,
            "namespace" => Self::Namespace,
            "cycler" => Self::Cycler,
            "joiner" => Self::Joiner,
            "undef" => Self::Undef,
            "now" => Self::Now,
            "lipsum" => Self::Lipsum,
            _ => return None,
        })
    }
}

impl Object for Builtin {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {self:?}>")
    }
}

/// A method taken from a value without calling it.
#[derive(Debug)]
pub struct BoundMethod {
    pub object: Value,
    pub name: Arc<str>,
}

impl Object for BoundMethod {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<method {}>", self.name)
    }
}

/// `namespace(…)`, or what an import gives: attributes that `set ns.x` may change.
#[derive(Debug, Default)]
pub struct Namespace(pub Mutex<IndexMap<String, Value>>);

impl Namespace {
    pub fn set(&self, name: &str, value: Value) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Namespace>")
    }
}

/// `cycler('a', 'b')`.
#[derive(Debug)]
pub struct Cycler {
    pub items: Vec<Value>,
    pub at: Mutex<usize>,
}

impl Cycler {
    pub fn current(&self) -> Value {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.items.get(at).cloned().unwrap_or_default()
    }

    pub fn next(&self) -> Value {
        let value = self.current();
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = (*at + 1) % self.items.len().max(1);
        value
    }

    pub fn reset(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current")).then(|| self.current())
    }
}

/// `joiner(', ')`: nothing at its first call.
#[derive(Debug)]
pub struct Joiner {
    pub separator: Value,
    pub used: Mutex<bool>,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The variable `loop`.
#[derive(Debug)]
pub struct LoopValue {
    pub items: Arc<Vec<Value>>,
    pub index: usize,
    pub depth: usize,
    /// What `loop.changed` saw last.
    pub changed: Arc<Mutex<Option<Vec<Value>>>>,
    /// For `recursive` loops: the loop itself.
    pub recursive: Option<Recursion>,
}

/// What a recursive loop needs to run once more.
#[derive(Debug, Clone)]
pub struct Recursion {
    pub each: Arc<ForLoop>,
    pub frame: Arc<Frame>,
    pub origin: Origin,
}

impl Object for LoopValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let len = self.items.len();
        let i = self.index;
        Some(match key.as_str()? {
            "index" => Value::from(i + 1),
            "index0" => Value::from(i),
            "revindex" => Value::from(len - i),
            "revindex0" => Value::from(len - i - 1),
            "first" => Value::from(i == 0),
            "last" => Value::from(i + 1 == len),
            "length" => Value::from(len),
            "depth" => Value::from(self.depth),
            "depth0" => Value::from(self.depth - 1),
            "previtem" if i > 0 => self.items[i - 1].clone(),
            "nextitem" if i + 1 < len => self.items[i + 1].clone(),
            _ => return None,
        })
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<LoopContext {}/{}>", self.index + 1, self.items.len())
    }
}

/// An iterator that Jinja's functions give (`range`): prints as such, iterates, has a length.
#[derive(Debug)]
pub struct RangeValue {
    pub start: i64,
    pub stop: i64,
    pub step: i64,
}

impl RangeValue {
    pub fn len(&self) -> usize {
        let (span, step) = if self.step > 0 {
            (self.stop.saturating_sub(self.start), self.step)
        } else {
            (self.start.saturating_sub(self.stop), self.step.saturating_neg())
        };
        if span <= 0 { 0 } else { usize::try_from((span - 1) / step + 1).unwrap_or(usize::MAX) }
    }
}

impl Object for RangeValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let i = key.as_usize()?;
        (i < self.len()).then(|| Value::from(self.start + self.step * i64::try_from(i).unwrap_or(0)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.step == 1 {
            write!(f, "range({}, {})", self.start, self.stop)
        } else {
            write!(f, "range({}, {}, {})", self.start, self.stop, self.step)
        }
    }
}

/// Is it what `range()` gives?
pub fn is_range(value: &Value) -> bool {
    value.downcast_object_ref::<RangeValue>().is_some()
}

/// Python's type of what only templates know.
pub fn type_name(value: &Value) -> Option<&'static str> {
    let object = value.as_object()?;
    if object.downcast_ref::<Builtin>().is_some() {
        Some("function")
    } else if object.downcast_ref::<Undefined>().is_some() {
        Some("UndefinedMarker")
    } else if object.downcast_ref::<BoundMethod>().is_some() {
        Some("builtin_function_or_method")
    } else if object.downcast_ref::<MacroValue>().is_some() {
        Some("Macro")
    } else if object.downcast_ref::<LoopValue>().is_some() {
        Some("LoopContext")
    } else if object.downcast_ref::<Namespace>().is_some() {
        Some("Namespace")
    } else if object.downcast_ref::<Cycler>().is_some() {
        Some("Cycler")
    } else if object.downcast_ref::<Joiner>().is_some() {
        Some("Joiner")
    } else {
        None
    }
}
