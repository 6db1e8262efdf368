//! Values that are not known before a step ran, and the `omit` marker.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

/// What an unknown value waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A step of the plan: `known after: task "kernel version"`.
    Step(String),
    /// An answer of the node that is on its way: evaluation will be resumed with it.
    Pending,
}

const THIS_STEP: &str = "the step that makes the file";

/// A value that is not known yet, and why. Any attribute of it is unknown too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    pub causes: Arc<[Cause]>,
}

impl Unknown {
    pub fn after_step(task: impl Into<String>) -> Self {
        Self { causes: Arc::from([Cause::Step(task.into())]) }
    }

    /// Known after the step that says so itself; [`Self::named`] gives it its name.
    pub fn after_this_step() -> Self {
        Self::after_step(THIS_STEP)
    }

    /// The same, with the name of the step it was said by.
    pub fn named(&self, task: &str) -> Self {
        let name = |cause: &Cause| match cause {
            Cause::Step(step) if step == THIS_STEP => Cause::Step(task.to_owned()),
            cause => cause.clone(),
        };
        Self { causes: self.causes.iter().map(name).collect() }
    }

    pub fn pending() -> Self {
        Self { causes: Arc::from([Cause::Pending]) }
    }

    /// Resolved by asking the node, not by running a step.
    pub fn is_pending(&self) -> bool {
        self.causes.contains(&Cause::Pending)
    }

    pub fn merge(&self, other: &Self) -> Self {
        let mut causes: Vec<Cause> = self.causes.iter().chain(other.causes.iter()).cloned().collect();
        causes.sort();
        causes.dedup();
        Self { causes: causes.into() }
    }

    pub fn into_value(self) -> Value {
        Value::from_object(self)
    }

    /// The unknown in a value, if it is one itself (not: holds one).
    pub fn of(value: &Value) -> Option<&Self> {
        value.downcast_object_ref::<Self>()
    }

    /// The unknowns anywhere in a value.
    pub fn within(value: &Value) -> Option<Self> {
        if let Some(unknown) = Self::of(value) {
            return Some(unknown.clone());
        }
        let mut found: Option<Self> = None;
        let mut note = |child: &Value| {
            if let Some(u) = Self::within(child) {
                found = Some(found.take().map_or(u.clone(), |f| f.merge(&u)));
            }
        };
        match value.kind() {
            minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => {
                value.try_iter().into_iter().flatten().for_each(|v| note(&v));
            }
            minijinja::value::ValueKind::Map => {
                for key in value.try_iter().into_iter().flatten() {
                    if let Ok(v) = value.get_item(&key) {
                        note(&v);
                    }
                }
            }
            _ => {}
        }
        found
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("known after: ")?;
        for (i, cause) in self.causes.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            match cause {
                Cause::Step(task) => write!(f, "task \"{task}\"")?,
                Cause::Pending => f.write_str("the node's answer")?,
            }
        }
        Ok(())
    }
}

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({self})")
    }
}

#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<<Omit>>")
    }
}

static OMIT: LazyLock<Value> = LazyLock::new(|| Value::from_object(Omit));

/// The value of the variable `omit`: an argument that has it is as if it were not written.
pub fn omit() -> Value {
    OMIT.clone()
}

pub fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}
