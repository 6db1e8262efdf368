//! The variables one task sees, and the evaluation of templates against them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::Value;

use super::Unknown;
use crate::problem::Problem;
use crate::resources::TemplateRequest;
use crate::source::Span;
use crate::vars::Scope;
use crate::yaml::Node;

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
}

/// Folders in which lookups and file-taking modules look, in Ansible's order.
#[derive(Debug, Clone, Default)]
pub struct SearchPaths {
    /// The role's root (`roles/containerd`), innermost role first, then its parents.
    pub roles: Vec<PathBuf>,
    /// The folder of the file the task stands in.
    pub task_dir: PathBuf,
    pub playbook_dir: PathBuf,
}

impl SearchPaths {
    /// The file `name` of kind `sub` (`files`, `templates`, `vars`, `tasks`), by Ansible's rules: absolute as it is; else for each role
    /// root `sub/name` and `name`; then `task_dir/sub/name`, `task_dir/name`; then the playbook's. `Err`: all places tried.
    pub fn find(&self, sub: &str, name: &str) -> Result<PathBuf, Vec<PathBuf>> {
        let mut tried = vec![];
        for candidate in self.candidates(sub, name) {
            if candidate.exists() {
                return Ok(candidate);
            }
            if !tried.contains(&candidate) {
                tried.push(candidate);
            }
        }
        Err(tried)
    }

    /// Every place [`Self::find`] looks at, in order.
    pub fn candidates(&self, sub: &str, name: &str) -> Vec<PathBuf> {
        let path = std::path::Path::new(name);
        if path.is_absolute() {
            return vec![path.to_owned()];
        }
        let mut all = vec![];
        let mut roots: Vec<PathBuf> = self.roles.clone();
        roots.push(self.task_dir.clone());
        roots.push(self.playbook_dir.clone());
        for root in roots {
            if !sub.is_empty() {
                all.push(root.join(sub).join(path));
            }
            all.push(root.join(path));
        }
        all
    }
}

/// Shared by all contexts of a run: the minijinja environment, compiled templates, vault secrets, lookups' settings. Thread-safe.
pub struct Engine {
    pub(super) options: EngineOptions,
}

#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Conditions may be any truthy value, as before ansible-core 2.19.
    pub allow_broken_conditionals: bool,
    /// The control machine's environment for `lookup('env')`; tests give their own.
    pub env: Option<BTreeMap<String, String>>,
}

impl Engine {
    pub fn new(options: EngineOptions) -> Arc<Self> {
        Arc::new(Self { options })
    }
}

/// The variables of one host at one task: scopes, strongest last. Values are resolved lazily, at each use, and cached in this context.
/// Cheap to clone (shared inside). Not for use by two threads at once, but may move between them.
#[derive(Clone)]
pub struct Context {
    pub(super) engine: Arc<Engine>,
    pub(super) scopes: Arc<Vec<Arc<Scope>>>,
    pub(super) paths: Arc<SearchPaths>,
}

impl Context {
    pub fn new(engine: &Arc<Engine>, scopes: Vec<Arc<Scope>>, paths: Arc<SearchPaths>) -> Self {
        Self { engine: engine.clone(), scopes: Arc::new(scopes), paths }
    }

    /// The same with stronger scopes on top (loop variables, task vars).
    pub fn with(&self, stronger: impl IntoIterator<Item = Arc<Scope>>) -> Self {
        let mut scopes = (*self.scopes).clone();
        scopes.extend(stronger);
        Self::new(&self.engine, scopes, self.paths.clone())
    }

    pub fn paths(&self) -> &Arc<SearchPaths> {
        &self.paths
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A node's value with every template in it resolved, deep. A text that is one `{{ expression }}` keeps the expression's type.
    /// Unknown parts inside a list or mapping stay [`Unknown`] values; an unknown whole is `Err(Unknown)`; `omit` stays as it is
    /// (mapping entries that are `omit` are *kept*, the caller drops them).
    pub fn value(&self, node: &Node) -> Result<Value, EvalError> {
        let _ = node;
        unimplemented!("template room")
    }

    /// As [`Self::value`], as text.
    pub fn text(&self, node: &Node) -> Result<String, EvalError> {
        let _ = node;
        unimplemented!("template room")
    }

    /// A boolean keyword (`become: "{{ x }}"`), with Ansible's conversion of texts.
    pub fn boolean(&self, node: &Node) -> Result<bool, EvalError> {
        let _ = node;
        unimplemented!("template room")
    }

    /// One condition (`when`, `until`, `that` …): a bare expression, a boolean, or text with `{{ }}`. A result that is no boolean is an
    /// error (ansible-core 2.19) unless allowed by the options.
    pub fn condition(&self, node: &Node) -> Result<bool, EvalError> {
        let _ = node;
        unimplemented!("template room")
    }

    /// A list of conditions: AND, in order, stopping at the first that is false. The index of that one.
    pub fn conditions(&self, nodes: &[Node]) -> Result<Result<(), usize>, EvalError> {
        for (i, node) in nodes.iter().enumerate() {
            if !self.condition(node)? {
                return Ok(Err(i));
            }
        }
        Ok(Ok(()))
    }

    /// A bare expression (`debug: var=…`).
    pub fn expression(&self, text: &str, span: &Span) -> Result<Value, EvalError> {
        let _ = (text, span);
        unimplemented!("template room")
    }

    /// A variable's resolved value; `None` if nothing defines it.
    pub fn variable(&self, name: &str) -> Result<Option<Value>, EvalError> {
        let _ = name;
        unimplemented!("template room")
    }

    /// A template file rendered to text (`template`, `lookup('template')`).
    pub fn render_file(&self, request: &TemplateRequest) -> Result<String, EvalError> {
        let _ = request;
        unimplemented!("template room")
    }

    /// A lookup by name, as `with_NAME` and `lookup()` call it: the list of its results.
    pub fn lookup(&self, name: &str, terms: &[Value], span: &Span) -> Result<Vec<Value>, EvalError> {
        let _ = (name, terms, span);
        unimplemented!("template room")
    }

    /// Names of variables a node's templates mention, for `check` and the plan's edges.
    pub fn mentions(node: &Node) -> Vec<String> {
        let _ = node;
        vec![]
    }
}
