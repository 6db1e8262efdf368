//! Filters that judge or turn a value as a whole: `bool`, `ternary`, `default`, `mandatory`, `type_debug` …

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, opt_string, truth};
use crate::template::call::undefined;
use crate::template::types::type_name;
use crate::template::{Unknown, datetime};

pub const FILTERS: &[Entry] = &[
    ("default", default),
    ("d", default),
    ("mandatory", mandatory),
    ("bool", to_bool),
    ("ternary", ternary),
    ("type_debug", type_debug),
    ("pprint", pprint),
    ("to_datetime", datetime::to_datetime),
    ("strftime", datetime::strftime),
];

fn default(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, default, boolean] = call.bind_lenient(["value", "default_value", "boolean"], 1)?;
    let value = value.unwrap_or_default();
    let boolean = match boolean {
        None => false,
        Some(b) if b.kind() == ValueKind::Bool => b.is_true(),
        Some(b) => {
            return Err(err(format!("the second argument of `default` must be a boolean, not {}", type_name(&b))));
        }
    };
    if Unknown::of(&value).is_some() {
        return Ok(value);
    }
    if value.is_undefined() || (boolean && !truth(&value)) {
        return Ok(default.unwrap_or_else(|| Value::from("")));
    }
    Ok(value)
}

fn mandatory(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, message] = call.bind_lenient(["value", "msg"], 1)?;
    let value = value.unwrap_or_default();
    if value.is_undefined() {
        let message = opt_string(message.as_ref(), "msg")?;
        return Err(match message {
            Some(message) => err(message),
            None => undefined("a mandatory variable is not defined"),
        });
    }
    Ok(value)
}

/// Ansible's `bool` filter; what it does not know is false.
pub fn ansible_bool(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Bool => value.is_true(),
        ValueKind::Number => crate::template::args::float(value) == Some(1.0),
        _ => value.as_str().is_some_and(|s| matches!(s.to_lowercase().as_str(), "yes" | "on" | "true" | "1")),
    }
}

fn to_bool(_: &mut State, mut call: Call) -> Result<Value, Error> {
    Ok(Value::from(ansible_bool(&call.subject()?)))
}

fn ternary(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, yes, no, none] = call.bind_lenient(["value", "true_val", "false_val", "none_val"], 3)?;
    let value = value.unwrap_or_default();
    if value.is_undefined() {
        return Err(undefined("the value given to `ternary` is undefined"));
    }
    if let (true, Some(none)) = (value.is_none(), none.filter(|n| !n.is_none())) {
        return Ok(none);
    }
    Ok(if truth(&value) { yes } else { no }.unwrap_or_default())
}

fn type_debug(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value] = call.bind_lenient(["value"], 1)?;
    Ok(Value::from(type_name(&value.unwrap_or_default())))
}

fn pprint(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    // the containers of Ansible's templates are no plain ones, so Python's pprint never breaks their lines
    Ok(Value::from(crate::template::repr(&value)))
}
