//! What filters, tests, lookups and Python methods may ask of the evaluation that calls them, and how they answer.
//!
//! The rules for everything in `filters/`, `tests/`, `lookups/` and `methods.rs`:
//!
//! * They are plain minijinja functions (`env.add_filter(…)`), named as Ansible names them; a qualified name
//!   (`ansible.builtin.x`, `community.general.x`, `ansible.utils.x`) falls back to its last part by itself.
//! * The evaluator checks arguments before the call: neither the input nor an argument is undefined, [`Unknown`] or an invalid value;
//!   nor is any value *inside* a list or mapping argument, except for the filters that [`takes_holes`] names (they only move elements
//!   about). `default`, `d`, `mandatory`, `defined`, `undefined` are the evaluator's own.
//! * Lists and mappings may be lazy [`minijinja::value::Object`]s: use `kind()`, `try_iter()`, `get_item()`, never a downcast to a
//!   concrete container. Mutable lists and mappings don't exist: a method such as `append` is the evaluator's.
//! * An expected failure is a [`minijinja::Error`] with `ErrorKind::InvalidOperation` and a lower-case message without a place (the
//!   evaluator adds it). What is undefined: [`undefined`]; what waits for a step: [`unknown`]. What isn't built: [`unsupported`].
//! * Text of a value is [`super::text`] (Python's `str`), truth is [`super::truth`], attributes named by a string (`map(attribute='a.b')`,
//!   `selectattr`) are [`super::attribute`].

use std::cell::RefCell;
use std::fmt;

use indexmap::IndexMap;
use minijinja::{Error, ErrorKind, State, Value};

use super::{Context, EvalError, Unknown};
use crate::problem::Problem;

/// A lookup: terms and options (`errors` and `wantlist` are the evaluator's) to its list of results. `lookups::find(name) -> Option<Lookup>`.
/// A lookup that needs the target's variables or files asks the context: `variable`, `render_file`, `paths().find(…)`.
pub type Lookup = fn(&Context, &[Value], &IndexMap<String, Value>) -> Result<Vec<Value>, Error>;

/// A Python method on a value: `methods::call(value, name, positional, keywords)`; `None`: the value has no such method.
pub type Methods = fn(&Value, &str, &[Value], &IndexMap<String, Value>) -> Option<Result<Value, Error>>;

thread_local! {
    static RUNNING: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
}

/// The context of the evaluation that runs on this thread: variables, search paths, recursive templating, the control machine's environment.
pub fn current() -> Result<Context, Error> {
    RUNNING
        .with(|stack| stack.borrow().last().cloned())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "called outside of an evaluation"))
}

/// Marks a context as the running one until dropped.
pub(super) struct Running;

impl Running {
    pub(super) fn enter(context: &Context) -> Self {
        RUNNING.with(|stack| stack.borrow_mut().push(context.clone()));
        Self
    }

    pub(super) fn depth() -> usize {
        RUNNING.with(|stack| stack.borrow().len())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with(|stack| stack.borrow_mut().pop());
    }
}

/// Filters that only move, count or choose elements: lists and mappings given to them may hold unknown or failed elements.
pub fn takes_holes(filter: &str) -> bool {
    matches!(
        filter,
        "length"
            | "count"
            | "first"
            | "last"
            | "list"
            | "combine"
            | "dict2items"
            | "zip"
            | "zip_longest"
            | "batch"
            | "slice"
            | "reverse"
            | "type_debug"
            | "map"
            | "select"
            | "reject"
            | "selectattr"
            | "rejectattr"
            | "ternary"
            | "extract"
            | "flatten"
            | "random"
            | "items2dict"
    )
}

/// Tests of what kind a value is: what is in it may be undefined.
fn looks_at_the_outside(test: &str) -> bool {
    matches!(
        test,
        "boolean"
            | "callable"
            | "falsy"
            | "float"
            | "integer"
            | "iterable"
            | "mapping"
            | "none"
            | "number"
            | "sameas"
            | "sequence"
            | "string"
            | "truthy"
    )
}

/// A filter's or test's own name: `ansible.builtin.combine` is `combine`.
pub fn short_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A name, or the one that the collection it is of says it leads to.
fn routed<'n>(kind: &str, name: &'n str) -> std::borrow::Cow<'n, str> {
    current().map_or(std::borrow::Cow::Borrowed(name), |context| context.engine().redirected(kind, name))
}

/// Calls a filter by name (`map('regex_replace', …)`): qualified names, checked arguments; an unknown input stays unknown.
pub fn apply_filter(state: &mut State, name: &str, args: &[Value]) -> Result<Value, Error> {
    let routed = routed("filter", name);
    let short = short_name(&routed);
    if let Some(first) = args.first()
        && Unknown::of(first).is_some()
    {
        return Ok(first.clone());
    }
    if !matches!(short, "default" | "d" | "mandatory") {
        check(args, takes_holes(short))?;
        super::eval::met_by(short, args).map_err(carry)?;
    }
    state.apply_filter(short, args).map_err(|e| match e.kind() {
        ErrorKind::UnknownFilter => {
            let problem = Problem::new("unknown-filter", format!("there is no filter `{name}`"));
            carry(EvalError::Failed(problem.nearest(short, super::filters::filter_names())))
        }
        _ => e,
    })
}

/// Asks a test by name (`select('match', …)`): qualified names, checked arguments.
pub fn perform_test(state: &mut State, name: &str, args: &[Value]) -> Result<bool, Error> {
    let routed = routed("test", name);
    let short = short_name(&routed);
    if matches!(short, "defined" | "undefined") {
        if args.first().and_then(Unknown::of).is_some() {
            return Ok(short == "defined");
        }
    } else {
        check(args, looks_at_the_outside(short))?;
    }
    state.perform_test(short, args).map_err(|e| match e.kind() {
        ErrorKind::UnknownTest => {
            let problem = Problem::new("unknown-test", format!("there is no test `{name}`"));
            carry(EvalError::Failed(problem.nearest(short, super::tests::test_names())))
        }
        _ => e,
    })
}

/// Arguments are known and defined, deep unless the filter only moves elements.
fn check(args: &[Value], holes: bool) -> Result<(), Error> {
    for arg in args {
        if holes { super::eval::check_one(arg) } else { super::eval::check_deep(arg) }.map_err(carry)?;
    }
    Ok(())
}

/// An [`EvalError`] on its way through minijinja.
#[derive(Debug)]
struct Carried(EvalError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            EvalError::Unknown(u) => write!(f, "{u}"),
            EvalError::Undefined(p) | EvalError::Failed(p) => write!(f, "{p}"),
        }
    }
}

impl std::error::Error for Carried {}

/// The error of a filter whose result waits for a step.
pub fn unknown(unknown: Unknown) -> Error {
    carry(EvalError::Unknown(unknown))
}

/// The error of a filter that met something undefined (`default()` may take its place).
pub fn undefined(message: impl Into<String>) -> Error {
    carry(EvalError::Undefined(Problem::new("undefined-variable", message)))
}

/// An undefined element of a list that a filter makes (`map(attribute=…)`): an error only when it is used.
pub fn undefined_value(message: impl Into<String>) -> Value {
    use super::eval::{Undefined, Why};
    Undefined::value(Why::Problem(Box::new(Problem::new("undefined-attribute", message))), None)
}

/// What exists in Ansible and is not built.
pub fn unsupported(what: impl fmt::Display) -> Error {
    carry(EvalError::Failed(Problem::unsupported(what)))
}

/// Any evaluation error as minijinja's; [`uncarry`] gives it back unchanged.
pub fn carry(error: EvalError) -> Error {
    let text = match &error {
        EvalError::Unknown(u) => u.to_string(),
        EvalError::Undefined(p) | EvalError::Failed(p) => p.message.clone(),
    };
    Error::new(ErrorKind::InvalidOperation, text).with_source(Carried(error))
}

/// What a minijinja error means.
pub fn uncarry(error: &Error) -> EvalError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = source {
        if let Some(Carried(inner)) = e.downcast_ref::<Carried>() {
            return inner.clone();
        }
        source = e.source();
    }
    let message = match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation | ErrorKind::UndefinedError | ErrorKind::SyntaxError, Some(detail)) => {
            detail.to_owned()
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match error.kind() {
        ErrorKind::UndefinedError => EvalError::Undefined(Problem::new("undefined-variable", message)),
        _ => EvalError::Failed(Problem::new("template", message)),
    }
}

impl From<Error> for EvalError {
    fn from(error: Error) -> Self {
        uncarry(&error)
    }
}
