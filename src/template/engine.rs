//! What all contexts of a run share: minijinja's environment with Ansible's filters and tests, parsed templates, warnings.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use indexmap::IndexMap;
use minijinja::value::Kwargs;
use minijinja::{Environment, State, UndefinedBehavior, Value};

use super::EvalError;
use super::eval::{Failed, Undefined};
use super::place::Origin;
use super::syntax::ast::{Expr, Template};
use super::syntax::{LexOptions, SyntaxError, parse_expression, parse_template};
use crate::problem::Problem;
use crate::source::Span;

/// Parsed templates kept; beyond that the store begins anew.
const MAX_TEMPLATES: usize = 20_000;

/// Shared by all contexts of a run. Thread-safe.
pub struct Engine {
    pub(super) options: EngineOptions,
    env: Environment<'static>,
    templates: RwLock<HashMap<LexOptions, Templates>>,
    expressions: RwLock<HashMap<Arc<str>, Arc<Expr>>>,
    warnings: Mutex<Warnings>,
    /// What `!vault` values hold, for the test `vault_encrypted`.
    vaulted: RwLock<HashSet<String>>,
    /// Where names of the repository's own collections lead.
    redirects: OnceLock<Redirect>,
}

/// The name that stands for a qualified one of this kind (`filter`, `test`, `lookup`), if its collection says so.
pub type Redirect = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

type Templates = HashMap<Arc<str>, Arc<Template>>;

#[derive(Default)]
struct Warnings {
    seen: HashSet<String>,
    all: Vec<Problem>,
}

/// Turns `!vault` text into what it holds.
pub type Decrypt = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

#[derive(Clone, Default)]
pub struct EngineOptions {
    /// Conditions may be any truthy value, as before ansible-core 2.19.
    pub allow_broken_conditionals: bool,
    /// Mappings of one name from several scopes go together (`hash_behaviour = merge`).
    pub merge_mappings: bool,
    /// The control machine's environment for `lookup('env')`; tests give their own.
    pub env: Option<BTreeMap<String, String>>,
    /// Ansible's settings for `lookup('config')`: value and origin by Ansible's names.
    pub config: Option<Arc<HashMap<&'static str, (Value, String)>>>,
    /// Settings of plugins, for the same lookup.
    pub plugin_config: Option<Arc<crate::config::ansible_names::PluginValues>>,
    /// How `!vault` values are read; without it they are an error.
    pub decrypt: Option<Decrypt>,
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions")
            .field("allow_broken_conditionals", &self.allow_broken_conditionals)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub fn new(options: EngineOptions) -> Arc<Self> {
        let mut env = Environment::new();
        // Undefined values never reach minijinja's own functions; where one slips through it is an error.
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        super::filters::register(&mut env);
        super::tests::register(&mut env);
        register_own(&mut env);
        Arc::new(Self {
            options,
            env,
            templates: RwLock::default(),
            expressions: RwLock::default(),
            warnings: Mutex::default(),
            vaulted: RwLock::default(),
            redirects: OnceLock::new(),
        })
    }

    /// How names of the repository's own collections are followed; the first word holds.
    pub fn set_redirects(&self, redirects: Redirect) {
        drop(self.redirects.set(redirects));
    }

    /// A name, or the one that it leads to.
    pub fn redirected<'n>(&self, kind: &str, name: &'n str) -> Cow<'n, str> {
        if name.matches('.').count() < 2 || name.starts_with("ansible.") {
            return Cow::Borrowed(name);
        }
        let found = self.redirects.get().and_then(|redirects| redirects(kind, name));
        found.map_or(Cow::Borrowed(name), Cow::Owned)
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Whether there is a filter of that name, short or qualified.
    pub fn knows_filter(&self, name: &str) -> bool {
        let called =
            self.env.empty_state().apply_filter(super::call::short_name(&self.redirected("filter", name)), &[]);
        !called.is_err_and(|e| e.kind() == minijinja::ErrorKind::UnknownFilter)
    }

    /// Whether there is a test of that name, short or qualified.
    pub fn knows_test(&self, name: &str) -> bool {
        let called = self.env.empty_state().perform_test(super::call::short_name(&self.redirected("test", name)), &[]);
        !called.is_err_and(|e| e.kind() == minijinja::ErrorKind::UnknownTest)
    }

    pub(super) fn environment(&self) -> &Environment<'static> {
        &self.env
    }

    /// A template's tree, from the store or parsed.
    pub(super) fn compile(
        &self,
        text: &str,
        options: &LexOptions,
        origin: &Origin,
    ) -> Result<Arc<Template>, EvalError> {
        {
            let store = self.templates.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = store.get(options).and_then(|s| s.get(text)) {
                return Ok(found.clone());
            }
        }
        let template = Arc::new(parse_template(text, options).map_err(|e| syntax_problem(e, origin))?);
        let mut store = self.templates.write().unwrap_or_else(PoisonError::into_inner);
        if store.values().map(HashMap::len).sum::<usize>() > MAX_TEMPLATES {
            store.clear();
        }
        store.entry(options.clone()).or_default().insert(template.source.clone(), template.clone());
        Ok(template)
    }

    /// A bare expression's tree.
    pub(super) fn compile_expression(&self, text: &str, origin: &Origin) -> Result<Arc<Expr>, EvalError> {
        {
            let store = self.expressions.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = store.get(text) {
                return Ok(found.clone());
            }
        }
        let expr = Arc::new(parse_expression(text, &yaml_options()).map_err(|e| syntax_problem(e, origin))?);
        let mut store = self.expressions.write().unwrap_or_else(PoisonError::into_inner);
        if store.len() > MAX_TEMPLATES {
            store.clear();
        }
        store.insert(Arc::from(text), expr.clone());
        Ok(expr)
    }

    /// Remembers that a text came out of the vault.
    pub(super) fn note_vaulted(&self, text: &str) {
        self.vaulted.write().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
    }

    /// Did that text come out of the vault?
    pub(super) fn was_vaulted(&self, text: &str) -> bool {
        self.vaulted.read().unwrap_or_else(PoisonError::into_inner).contains(text)
    }

    /// Notes a warning, each place and message once.
    pub fn warn(&self, code: &'static str, message: &str, span: Option<&Span>) {
        let mut problem = Problem::new(code, message);
        if let Some(span) = span {
            problem = problem.at(span);
        }
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.seen.insert(problem.to_string()) {
            warnings.all.push(problem);
        }
    }

    /// The warnings since the last call.
    pub fn take_warnings(&self) -> Vec<Problem> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner).all)
    }
}

/// How templates in YAML values are read.
pub(super) fn yaml_options() -> LexOptions {
    LexOptions { trim_blocks: true, ..LexOptions::default() }
}

pub(super) fn syntax_problem(error: SyntaxError, origin: &Origin) -> EvalError {
    let mut problem = Problem::new("template-syntax", format!("syntax error in template: {}", error.message));
    if let Some(span) = origin.span(error.start, error.end.max(error.start)) {
        problem = problem.at(&span);
    }
    EvalError::Failed(problem)
}

/// `default`, `defined` and their like for those who call them by name (`map('default', 'x')`, `select('defined')`).
fn register_own(env: &mut Environment<'static>) {
    fn is_undefined(value: &Value) -> bool {
        value.is_undefined() || Undefined::of(value).is_some()
    }
    fn default(
        value: Value,
        other: Option<Value>,
        boolean: Option<bool>,
        kwargs: Kwargs,
    ) -> Result<Value, minijinja::Error> {
        let other = other.or(kwargs.get::<Option<Value>>("default_value")?).unwrap_or_else(|| Value::from(""));
        let boolean = boolean.or(kwargs.get::<Option<bool>>("boolean")?).unwrap_or(false);
        Ok(if is_undefined(&value) || (boolean && !super::truth(&value)) { other } else { value })
    }
    fn mandatory(value: Value) -> Result<Value, minijinja::Error> {
        match Undefined::of(&value) {
            Some(undefined) => Err(super::call::carry(EvalError::Undefined(undefined.problem()))),
            None => Ok(value),
        }
    }
    fn defined(value: Value) -> Result<bool, minijinja::Error> {
        match Failed::of(&value) {
            Some(Failed(error)) => Err(super::call::carry(error.clone())),
            None => Ok(!is_undefined(&value)),
        }
    }
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_filter("mandatory", mandatory);
    env.add_test("defined", defined);
    env.add_test("undefined", |value: Value| defined(value).map(|d| !d));
}

/// A Python method on text, a list or a number.
pub(super) fn method(
    state: &mut State,
    object: &Value,
    name: &str,
    args: &[Value],
    named: &IndexMap<String, Value>,
) -> Result<Value, EvalError> {
    if let Some(found) = super::methods::call(object, name, args, named) {
        return found.map_err(EvalError::from);
    }
    let mut all = args.to_vec();
    if !named.is_empty() {
        all.push(Value::from(Kwargs::from_iter(named.clone())));
    }
    object.call_method(state, name, &all).map_err(EvalError::from)
}
