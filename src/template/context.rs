//! The variables one task sees, and the evaluation of templates against them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use indexmap::{IndexMap, IndexSet};
use minijinja::Value;
use minijinja::value::ValueKind;

use super::eval::{self, Failed, Interp};
use super::lazy::{self, Vars};
use super::place::Origin;
use super::syntax::ast::{Expr, ExprKind, Stmt, StmtKind};
use super::{Engine, SearchPaths, Unknown, engine, files, python};
use crate::problem::Problem;
use crate::resources::TemplateRequest;
use crate::source::Span;
use crate::vars::{Definition, Scope};
use crate::yaml::{Node, Yaml};

/// Why a template has no value.
#[derive(Debug, Clone)]
pub enum EvalError {
    /// It needs a value that an earlier step or an answer must give first.
    Unknown(Unknown),
    /// It uses a variable or attribute that is not defined (place and name in the problem).
    Undefined(Problem),
    /// Anything else that is wrong with it.
    Failed(Problem),
}

impl EvalError {
    /// The problem to show, if it is one.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Undefined(p) | Self::Failed(p) => p,
            Self::Unknown(u) => Problem::new("unknown-value", u.to_string()),
        }
    }

    /// Sets the place of its problem where none is known.
    pub fn or_at(self, span: &Span) -> Self {
        match self {
            Self::Undefined(p) => Self::Undefined(p.or_at(span)),
            Self::Failed(p) => Self::Failed(p.or_at(span)),
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

type Result<T> = std::result::Result<T, EvalError>;

/// Variables already evaluated, and those being evaluated.
#[derive(Default)]
pub(super) struct Cache {
    values: Mutex<HashMap<String, Value>>,
    running: Mutex<Vec<String>>,
}

/// The variables of one host at one task: scopes, strongest last. Values are resolved lazily, at each use, and cached in this context.
/// Cheap to clone (shared inside). Not for use by two threads at once, but may move between them.
#[derive(Clone)]
pub struct Context {
    engine: Arc<Engine>,
    scopes: Arc<Vec<Arc<Scope>>>,
    paths: Arc<SearchPaths>,
    cache: Arc<Cache>,
}

/// A context that does not keep its cache alive: lazy values stand in the cache themselves.
#[derive(Clone)]
pub struct WeakContext {
    engine: Arc<Engine>,
    scopes: Arc<Vec<Arc<Scope>>>,
    paths: Arc<SearchPaths>,
    cache: Weak<Cache>,
}

impl fmt::Debug for WeakContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakContext")
    }
}

impl WeakContext {
    pub fn upgrade(&self) -> Context {
        Context {
            engine: self.engine.clone(),
            scopes: self.scopes.clone(),
            paths: self.paths.clone(),
            cache: self.cache.upgrade().unwrap_or_default(),
        }
    }
}

/// One definition of a variable, for `explain`.
#[derive(Debug, Clone)]
pub struct DefinedAt {
    /// The label of its scope.
    pub scope: String,
    /// Its place, if it is written in a file.
    pub span: Option<Span>,
    pub definition: Definition,
}

impl Context {
    pub fn new(engine: &Arc<Engine>, mut scopes: Vec<Arc<Scope>>, paths: Arc<SearchPaths>) -> Self {
        if engine.options.merge_mappings {
            scopes.extend(crate::vars::merge(&scopes));
        }
        Self { engine: engine.clone(), scopes: Arc::new(scopes), paths, cache: Arc::default() }
    }

    /// The same with stronger scopes on top (loop variables, task vars).
    pub fn with(&self, stronger: impl IntoIterator<Item = Arc<Scope>>) -> Self {
        let mut scopes = (*self.scopes).clone();
        scopes.extend(stronger);
        Self::new(&self.engine, scopes, self.paths.clone())
    }

    /// The same with other search paths.
    pub fn with_paths(&self, paths: Arc<SearchPaths>) -> Self {
        Self::new(&self.engine, (*self.scopes).clone(), paths)
    }

    pub fn paths(&self) -> &Arc<SearchPaths> {
        &self.paths
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn scopes(&self) -> &[Arc<Scope>] {
        &self.scopes
    }

    pub(super) fn downgrade(&self) -> WeakContext {
        WeakContext {
            engine: self.engine.clone(),
            scopes: self.scopes.clone(),
            paths: self.paths.clone(),
            cache: Arc::downgrade(&self.cache),
        }
    }

    /// A node's value with every template in it resolved, deep. A text that is one `{{ expression }}` keeps the expression's type.
    /// Unknown parts inside a list or mapping stay [`Unknown`] values; an unknown whole is `Err(Unknown)`; `omit` as a whole stays as it is;
    /// entries of lists and mappings that are `omit` are left out.
    pub fn value(&self, node: &Node) -> Result<Value> {
        match &node.value {
            Yaml::Seq(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let value = self.part(item)?;
                    if !super::is_omit(&value) {
                        values.push(value);
                    }
                }
                Ok(Value::from(values))
            }
            Yaml::Map(map) => {
                let mut pairs = Vec::with_capacity(map.len());
                for (key, value) in map.iter() {
                    // Keys stay as written, also where they look like templates.
                    let key = lazy::key_value(key);
                    let value = self.part(value)?;
                    if !super::is_omit(&value) {
                        pairs.push((key, value));
                    }
                }
                Ok(Value::from_pairs(pairs))
            }
            _ => {
                let value = lazy::of_node(self, node)?;
                eval::force(value).map_err(|e| e.or_at(&node.span))
            }
        }
    }

    fn part(&self, node: &Node) -> Result<Value> {
        match self.value(node) {
            Err(EvalError::Unknown(u)) => Ok(u.into_value()),
            other => other,
        }
    }

    /// As [`Self::value`], as text; `None` is empty.
    pub fn text(&self, node: &Node) -> Result<String> {
        if let Yaml::Str(s) = &node.value
            && !node.has_template()
        {
            return Ok(s.text.to_string());
        }
        let value = self.value(node)?;
        eval::check_deep(&value).map_err(|e| e.or_at(&node.span))?;
        Ok(if value.is_none() { String::new() } else { python::text(&value) })
    }

    /// A boolean keyword (`become: "{{ x }}"`), with Ansible's conversion of texts.
    pub fn boolean(&self, node: &Node) -> Result<bool> {
        let value = self.value(node)?;
        let text = python::text(&value).trim().to_lowercase();
        match (value.kind(), text.as_str()) {
            (ValueKind::Bool, _) => Ok(value.is_true()),
            (ValueKind::None, _) => Ok(false),
            (_, "yes" | "on" | "1" | "1.0" | "true" | "t" | "y") => Ok(true),
            (_, "no" | "off" | "0" | "0.0" | "false" | "f" | "n" | "") => Ok(false),
            _ => Err(EvalError::Failed(
                Problem::new("not-a-boolean", format!("`{text}` is not a boolean"))
                    .at(&node.span)
                    .help("write true or false (yes, no, on, off, 1 and 0 are understood too)"),
            )),
        }
    }

    /// One condition (`when`, `until`, `that` …): a bare expression, a boolean, or text with `{{ }}`. A result that is no boolean is an
    /// error (ansible-core 2.19) unless allowed by the options.
    pub fn condition(&self, node: &Node) -> Result<bool> {
        self.condition_result(node, 0)
    }

    /// A list of conditions: AND, in order, stopping at the first that is false. The index of that one.
    /// An unknown condition is passed over: a later one that is false decides.
    pub fn conditions(&self, nodes: &[Node]) -> Result<std::result::Result<(), usize>> {
        let mut unknown: Option<Unknown> = None;
        for (i, node) in nodes.iter().enumerate() {
            match self.condition(node) {
                Ok(true) => {}
                Ok(false) => return Ok(Err(i)),
                Err(EvalError::Unknown(u)) => unknown = Some(unknown.map_or_else(|| u.clone(), |f| f.merge(&u))),
                // What follows an unknown condition may rest on it.
                Err(_) if unknown.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        unknown.map_or(Ok(Ok(())), |u| Err(EvalError::Unknown(u)))
    }

    fn condition_result(&self, node: &Node, depth: usize) -> Result<bool> {
        let broken = |what: &str| {
            EvalError::Failed(
                Problem::new("condition-not-boolean", format!("the condition is {what}, not a boolean"))
                    .at(&node.span)
                    .help("compare it (`x == 'a'`, `x | length > 0`), or convert it with `| bool`"),
            )
        };
        let text = match &node.value {
            Yaml::Bool(b) => return Ok(*b),
            Yaml::Str(s) => s.text.trim(),
            Yaml::Null => "",
            Yaml::Int(_) | Yaml::BigInt(_) | Yaml::Float(_) if self.engine.options.allow_broken_conditionals => {
                return Ok(python::truth(&lazy::plain(node)));
            }
            Yaml::Int(_) | Yaml::BigInt(_) | Yaml::Float(_) => return Err(broken("a number")),
            _ => return Err(broken(node.kind())),
        };
        if text.is_empty() {
            if self.engine.options.allow_broken_conditionals {
                return Ok(true);
            }
            return Err(EvalError::Failed(
                Problem::new("condition-not-boolean", "the condition is empty").at(&node.span),
            ));
        }
        let unsafe_text = matches!(&node.value, Yaml::Str(s) if s.is_unsafe);
        let is_all_template =
            (text.starts_with("{{") && text.ends_with("}}")) || (text.starts_with("{%") && text.ends_with("%}"));
        let value = if is_all_template && !unsafe_text {
            let message = "a condition is an expression already: leave out `{{ }}`";
            self.engine.warn("condition-in-braces", message, Some(&node.span));
            // A variable's text may be a condition itself, if it is written in a file: what nodes answer is never evaluated.
            if depth < 10
                && let Some(inner) = self.written_behind(node)
            {
                return self.condition_result(&inner, depth + 1);
            }
            self.template_node(node)?
        } else {
            let origin = Origin::Node(node.clone());
            let expr = self.engine.compile_expression(self.node_text(node), &origin)?;
            let engine = self.engine.clone();
            let mut interp = Interp::new(self, engine.environment(), origin, engine::yaml_options())?.in_condition();
            interp.eval_used(&expr)?
        };
        match value.kind() {
            ValueKind::Bool => Ok(value.is_true()),
            _ if self.engine.options.allow_broken_conditionals => Ok(python::truth(&value)),
            ValueKind::Plain if super::is_omit(&value) => Err(broken("`omit`")),
            _ => Err(broken(eval::describe(&value))),
        }
    }

    fn node_text<'n>(&self, node: &'n Node) -> &'n str {
        node.as_str().unwrap_or_default()
    }

    /// For `{{ name }}` or `{{ name.attribute }}`: the text in a file that stands behind it.
    fn written_behind(&self, node: &Node) -> Option<Node> {
        let template =
            self.engine.compile(self.node_text(node), &engine::yaml_options(), &Origin::Node(node.clone())).ok()?;
        let [Stmt { kind: StmtKind::Emit(expr), .. }] = template.body.as_slice() else { return None };
        let found = self.written_at(expr)?;
        matches!(&found.value, Yaml::Str(s) if !s.is_unsafe).then_some(found)
    }

    fn written_at(&self, expr: &Expr) -> Option<Node> {
        match &expr.kind {
            ExprKind::Name(name) => match self.scopes.iter().rev().find_map(|s| s.vars.get(&**name))? {
                Definition::Written(node) => Some(node.clone()),
                Definition::Final(_) | Definition::Computed(_) => None,
            },
            ExprKind::Attr(base, name) => self.written_at(base)?.as_map()?.get(name).cloned(),
            _ => None,
        }
    }

    /// A condition given as a value (an argument `that:`).
    pub fn condition_value(&self, value: &Value, span: &Span) -> Result<bool> {
        if let Some(unknown) = Unknown::of(value) {
            return Err(EvalError::Unknown(unknown.clone()));
        }
        let node = match value.as_str() {
            Some(text) => Node::text(text, span),
            None => match value.kind() {
                ValueKind::Bool => return Ok(value.is_true()),
                _ if self.engine.options.allow_broken_conditionals => return Ok(python::truth(value)),
                _ => {
                    let message = format!("the condition is {}, not a boolean", eval::describe(value));
                    return Err(EvalError::Failed(Problem::new("condition-not-boolean", message).at(span)));
                }
            },
        };
        self.condition(&node)
    }

    /// A bare expression (`debug: var=…`).
    pub fn expression(&self, text: &str, span: &Span) -> Result<Value> {
        let origin = Origin::Node(Node::text(text, span));
        let expr = self.engine.compile_expression(text, &origin)?;
        let engine = self.engine.clone();
        let mut interp = Interp::new(self, engine.environment(), origin, engine::yaml_options())?;
        let value = interp.eval_used(&expr)?;
        drop(interp);
        eval::storable(&value)?;
        eval::force(value).map_err(|e| e.or_at(span))
    }

    /// A variable's resolved value; `None` if nothing defines it.
    pub fn variable(&self, name: &str) -> Result<Option<Value>> {
        match self.resolve(name)? {
            Some(value) => {
                eval::check_one(&value)?;
                eval::force(value).map(Some)
            }
            None => Ok(None),
        }
    }

    /// A template file rendered to text (`template`, `lookup('template')`).
    pub fn render_file(&self, request: &TemplateRequest) -> Result<String> {
        files::render(self, request)
    }

    /// A text that is a template, with the native rule of types; where it stands, if anywhere.
    pub fn render_text(&self, text: &str, span: Option<&Span>) -> Result<Value> {
        let origin = span.map_or(Origin::Nowhere, |s| Origin::Span(s.clone()));
        let value = self.template_text(text, origin)?;
        eval::force(value)
    }

    /// A lookup by name, as `with_NAME` and `lookup()` call it: the list of its results.
    pub fn lookup(&self, name: &str, terms: &[Value], span: &Span) -> Result<Vec<Value>> {
        let _running = super::call::Running::enter(self);
        self.run_lookup(name, terms, &IndexMap::new()).map_err(|e| e.or_at(span))
    }

    pub(super) fn run_lookup(
        &self,
        name: &str,
        terms: &[Value],
        options: &IndexMap<String, Value>,
    ) -> Result<Vec<Value>> {
        super::builtin_lookups::run(self, name, terms, options)
    }

    /// Every definition of a variable, weakest first: the last one holds.
    pub fn explain(&self, name: &str) -> Vec<DefinedAt> {
        self.scopes
            .iter()
            .filter_map(|scope| {
                let definition = scope.vars.get(name)?.clone();
                let span = match &definition {
                    Definition::Written(node) => Some(node.span.clone()),
                    Definition::Final(_) | Definition::Computed(_) => None,
                };
                Some(DefinedAt { scope: scope.label.clone(), span, definition })
            })
            .collect()
    }

    /// Every variable's name, weakest scope's first.
    pub fn names(&self) -> Vec<String> {
        let all: IndexSet<&String> = self.scopes.iter().flat_map(|s| s.vars.keys()).collect();
        all.into_iter().cloned().collect()
    }

    /// Names of variables a node's templates mention, for `check` and the plan's edges.
    pub fn mentions(node: &Node) -> Vec<String> {
        super::mentions::in_templates(node)
    }

    /// Names of variables that conditions mention (bare expressions).
    pub fn mentions_in_conditions(nodes: &[Node]) -> Vec<String> {
        super::mentions::in_conditions(nodes)
    }

    /// `help` for an undefined variable: one that is named alike, and where it is defined.
    pub fn similar(&self, name: &str) -> Option<String> {
        let names = self.names();
        let near = crate::problem::nearest(name, names.iter().map(String::as_str))?;
        let place = self.explain(near).last().map(|at| match &at.span {
            Some(span) => span.path_line(),
            None => at.scope.clone(),
        })?;
        Some(format!("a variable with a similar name exists: `{near}` ({place})"))
    }

    /// A variable as templates see it: lazy, perhaps undefined, failed or unknown. `None`: nothing defines it.
    pub(super) fn resolve(&self, name: &str) -> Result<Option<Value>> {
        let Some(definition) = self.scopes.iter().rev().find_map(|s| s.vars.get(name)) else {
            return Ok((name == "vars").then(|| Value::from_object(Vars(self.downgrade()))));
        };
        let node = match definition {
            Definition::Final(value) => return Ok(Some(value.clone())),
            Definition::Computed(computed) => return Ok(Some((computed.0)())),
            Definition::Written(node) => node,
        };
        {
            let values = self.cache.values.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = values.get(name) {
                return Ok(Some(value.clone()));
            }
        }
        {
            let mut running = self.cache.running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = running.iter().position(|n| n == name) {
                let chain: Vec<String> =
                    running[at..].iter().map(|n| format!("`{n}`")).chain([format!("`{name}`")]).collect();
                let message = format!("recursive loop detected in template: {}", chain.join(" needs "));
                return Err(EvalError::Failed(Problem::new("recursive-variable", message).at(&node.span)));
            }
            running.push(name.to_owned());
        }
        let outcome = lazy::of_node(self, node).map_err(|e| e.or_at(&node.span));
        self.cache.running.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let value = Failed::standing_for(outcome);
        self.cache.values.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.clone());
        Ok(Some(value))
    }

    /// A text node's value by the native rule; lists and mappings in it may be lazy.
    pub(super) fn template_node(&self, node: &Node) -> Result<Value> {
        self.template_text(self.node_text(node), Origin::Node(node.clone()))
    }

    fn template_text(&self, text: &str, origin: Origin) -> Result<Value> {
        if !super::syntax::is_template(text) {
            return Ok(Value::from(text));
        }
        super::stack::grow(|| self.evaluate(text, origin))
    }

    fn evaluate(&self, text: &str, origin: Origin) -> Result<Value> {
        let options = engine::yaml_options();
        let template = self.engine.compile(text, &options, &origin)?;
        let engine = self.engine.clone();
        let mut interp = Interp::new(self, engine.environment(), origin, options)?;
        let pieces = interp.template(&template)?;
        let value = interp.join(pieces)?;
        drop(interp);
        eval::storable(&value)?;
        match value.as_str() {
            Some(s) => Ok(Value::from(with_last_newlines(s.to_owned(), text))),
            None => Ok(eval::settle(&value).unwrap_or(value)),
        }
    }

    pub(super) fn decrypt(&self, cipher: &str, span: &Span) -> Result<Value> {
        let failed = |message: String| EvalError::Failed(Problem::new("vault", message).at(span));
        match &self.engine.options.decrypt {
            Some(decrypt) => {
                let text = decrypt(cipher).map_err(failed)?;
                self.engine.note_vaulted(&text);
                Ok(Value::from(text))
            }
            None => Err(failed("a vaulted value needs a vault password".to_owned())
                .map_problem(|p| p.help("give `--vault-password-file FILE` or `--ask-vault-pass`"))),
        }
    }
}

impl EvalError {
    fn map_problem(self, change: impl FnOnce(Problem) -> Problem) -> Self {
        match self {
            Self::Undefined(p) => Self::Undefined(change(p)),
            Self::Failed(p) => Self::Failed(change(p)),
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

/// Jinja drops a newline at a template's end; Ansible sees to it that the result ends in as many as the template.
pub(super) fn with_last_newlines(mut result: String, template: &str) -> String {
    let count = |s: &str| s.len() - s.trim_end_matches('\n').len();
    let missing = count(template).saturating_sub(count(&result));
    result.extend(std::iter::repeat_n('\n', missing));
    result
}
