//! One source of variables.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use crate::yaml::Node;

/// Variables of one source and one rank of precedence.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// What people call it: `role defaults (containerd)`, `play vars`, `group_vars/k8s_worker.yml`, `set_fact` …
    pub label: String,
    pub vars: IndexMap<String, Definition>,
}

/// How a variable is given.
#[derive(Debug, Clone)]
pub enum Definition {
    /// As written in a file; templates in it are resolved at each use, against the variables of the task that uses it.
    Written(Node),
    /// Final data (facts, registered results, set_fact): a template in it is never rendered.
    Final(Value),
    /// Worked out whenever it is looked at: what other hosts have come to.
    Computed(Computed),
}

/// How a value is worked out.
#[derive(Clone)]
pub struct Computed(pub Arc<dyn Fn() -> Value + Send + Sync>);

impl std::fmt::Debug for Computed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(computed)")
    }
}

impl Scope {
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), vars: IndexMap::new() }
    }

    pub fn written(label: impl Into<String>, vars: impl IntoIterator<Item = (String, Node)>) -> Arc<Self> {
        let mut scope = Self::new(label);
        scope.vars.extend(vars.into_iter().map(|(k, v)| (k, Definition::Written(v))));
        Arc::new(scope)
    }

    pub fn finals(label: impl Into<String>, vars: impl IntoIterator<Item = (String, Value)>) -> Arc<Self> {
        let mut scope = Self::new(label);
        scope.vars.extend(vars.into_iter().map(|(k, v)| (k, Definition::Final(v))));
        Arc::new(scope)
    }
}
