//! Variables that a template sets itself, by Jinja's scoping.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;

/// One scope: the template's own, a loop's, a macro's. Looked up outwards.
#[derive(Debug, Default)]
pub struct Frame {
    vars: Mutex<IndexMap<Arc<str>, Value>>,
    parent: Option<Arc<Frame>>,
}

impl Frame {
    pub fn root() -> Arc<Self> {
        Arc::default()
    }

    pub fn inside(parent: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { vars: Mutex::default(), parent: Some(parent.clone()) })
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        let own = self.vars.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        own.or_else(|| self.parent.as_ref()?.get(name))
    }

    pub fn set(&self, name: &Arc<str>, value: Value) {
        self.vars.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), value);
    }

    /// Replaces a name where it is set; false if no frame has it.
    pub fn replace(&self, name: &str, value: Value) -> bool {
        {
            let mut vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = vars.get_mut(name) {
                *slot = value;
                return true;
            }
        }
        self.parent.as_ref().is_some_and(|p| p.replace(name, value))
    }

    /// The outermost frame.
    pub fn outermost(self: &Arc<Self>) -> Arc<Self> {
        self.parent.as_ref().map_or_else(|| self.clone(), Self::outermost)
    }

    /// Everything set here, for imports.
    pub fn all(&self) -> IndexMap<String, Value> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        vars.iter().map(|(k, v)| (k.to_string(), v.clone())).collect()
    }

    /// Lets go of everything: a macro holds its frame and the frame its macro.
    pub fn clear(&self) {
        let taken = std::mem::take(&mut *self.vars.lock().unwrap_or_else(PoisonError::into_inner));
        drop(taken);
    }
}
