//! Lists and mappings of variables whose elements hold templates: an element is evaluated when it is used, and only then may fail.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::context::{Context, WeakContext};
use super::eval::{Failed, failed};
use super::{EvalError, python};
use crate::yaml::{Node, ScalarStyle, Yaml};

/// One element, as written and as evaluated.
#[derive(Debug)]
struct Cell {
    node: Node,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
enum State {
    Written,
    Running,
    Done(Value),
}

impl Cell {
    fn new(node: &Node) -> Self {
        Self { node: node.clone(), state: Mutex::new(State::Written) }
    }

    fn get(&self, context: &WeakContext) -> Value {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                State::Done(value) => return value.clone(),
                State::Running => {
                    let error = failed("recursive loop detected in template: the value needs itself");
                    return Failed::standing_for(Err(super::eval::at(error, &self.node.span)));
                }
                State::Written => *state = State::Running,
            }
        }
        let value = Failed::standing_for(of_node(&context.upgrade(), &self.node));
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Done(value.clone());
        value
    }
}

/// A list with templates in it.
pub struct LazySeq {
    context: WeakContext,
    cells: Vec<Cell>,
}

/// A mapping with templates in its values.
pub struct LazyMap {
    context: WeakContext,
    cells: IndexMap<Value, Cell>,
}

/// The value of a node of a variable: what holds no template at once, the rest lazily.
pub fn of_node(context: &Context, node: &Node) -> Result<Value, EvalError> {
    match &node.value {
        Yaml::Seq(items) if node.has_template() || has_vault(node) => {
            let cells = items.iter().map(Cell::new).collect();
            Ok(Value::from_object(LazySeq { context: context.downgrade(), cells }))
        }
        Yaml::Map(map) if node.has_template() || has_vault(node) => {
            let cells = map.iter().map(|(k, v)| (key_value(k), Cell::new(v))).collect();
            Ok(Value::from_object(LazyMap { context: context.downgrade(), cells }))
        }
        Yaml::Vault(cipher) => context.decrypt(cipher, &node.span),
        Yaml::Str(_) if node.has_template() => context.template_node(node),
        _ => Ok(plain(node)),
    }
}

fn has_vault(node: &Node) -> bool {
    match &node.value {
        Yaml::Vault(_) => true,
        Yaml::Seq(items) => items.iter().any(has_vault),
        Yaml::Map(map) => map.iter().any(|(_, v)| has_vault(v)),
        _ => false,
    }
}

/// A mapping's key as a value.
pub fn key_value(node: &Node) -> Value {
    plain(node)
}

/// A node as it is, no template rendered.
pub fn plain(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::from(()),
        Yaml::Bool(b) => Value::from(*b),
        Yaml::Int(i) => Value::from(*i),
        Yaml::Float(f) => Value::from(*f),
        Yaml::BigInt(n) => Value::from(*n),
        Yaml::Str(s) if s.style == ScalarStyle::Time => super::datetime::from_yaml(&s.text),
        Yaml::Str(s) => Value::from(&*s.text),
        Yaml::Seq(items) => Value::from(items.iter().map(plain).collect::<Vec<_>>()),
        Yaml::Map(map) => Value::from_pairs(map.iter().map(|(k, v)| (key_value(k), plain(v)))),
        Yaml::Vault(_) => Value::from("<vaulted value>"),
    }
}

impl fmt::Debug for LazySeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazySeq({})", self.cells.len())
    }
}

impl fmt::Debug for LazyMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyMap({:?})", self.cells.keys())
    }
}

impl Object for LazySeq {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.cells.get(key.as_usize()?).map(|cell| cell.get(&self.context))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.cells.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&python::repr(&Value::from_dyn_object(self.clone())))
    }
}

impl Object for LazyMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.cells.get(key).map(|cell| cell.get(&self.context))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.cells.keys().cloned().collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&python::repr(&Value::from_dyn_object(self.clone())))
    }
}

/// The variable `vars`: every variable, evaluated when it is taken.
#[derive(Debug)]
pub struct Vars(pub WeakContext);

impl Object for Vars {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.0.upgrade().resolve(key.as_str()?) {
            Ok(found) => found,
            Err(error) => Some(Failed::standing_for(Err(error))),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.0.upgrade().names();
        Enumerator::Values(names.into_iter().map(Value::from).collect())
    }
}
