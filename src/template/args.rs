//! How filters, tests and lookups take their arguments: as Python functions do, by position or by name.
//!
//! Every entry of the template library is a `fn(&mut State, Call)`; [`Call::bind`] lays the arguments on named parameters.

use indexmap::IndexMap;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::call::undefined;
use super::types::type_name;

/// One filter or test.
pub type Builtin = fn(&mut State, Call) -> Result<Value, Error>;

/// One entry of a family's table: its name and the function.
pub type Entry = (&'static str, Builtin);

/// The arguments of one call.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: &'static str,
    pub positional: Vec<Value>,
    pub named: IndexMap<String, Value>,
}

/// An error of a call, with the filter's or test's name put before it by whoever reports it.
pub fn err(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

impl Call {
    /// Arguments as minijinja's own functions get them: those by position, and those by name.
    pub fn given(name: &'static str, positional: Vec<Value>, kwargs: &Kwargs) -> Result<Self, Error> {
        let mut named = IndexMap::new();
        for key in kwargs.args() {
            named.insert(key.to_owned(), kwargs.peek::<Value>(key)?);
        }
        Ok(Self { name, positional, named })
    }

    /// Arguments in one list, where the last one may hold those by name.
    pub fn new(name: &'static str, args: &[Value]) -> Result<Self, Error> {
        let mut positional = args.to_vec();
        if positional.last().is_some_and(Value::is_kwargs)
            && let Some(last) = positional.pop()
        {
            return Self::given(name, positional, &Kwargs::try_from(last)?);
        }
        Ok(Self { name, positional, named: IndexMap::new() })
    }

    /// Lays the arguments on parameters; the first `required` of them must be given. Any undefined argument is an error.
    pub fn bind<const N: usize>(self, parameters: [&str; N], required: usize) -> Result<[Option<Value>; N], Error> {
        let bound = self.bind_lenient(parameters, required)?;
        for (value, parameter) in bound.iter().zip(parameters) {
            if let Some(value) = value {
                defined(value, parameter)?;
            }
        }
        Ok(bound)
    }

    /// As [`Self::bind`], with undefined arguments allowed.
    pub fn bind_lenient<const N: usize>(
        self,
        parameters: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N], Error> {
        let mut out: [Option<Value>; N] = std::array::from_fn(|_| None);
        let given = self.positional.len();
        if given > N {
            return Err(Error::new(
                ErrorKind::TooManyArguments,
                format!(
                    "`{}` takes at most {} arguments, {} were given",
                    self.name,
                    N.saturating_sub(1),
                    given.saturating_sub(1)
                ),
            ));
        }
        for (slot, value) in out.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (key, value) in self.named {
            let Some(i) = parameters.iter().position(|p| *p == key) else {
                let mut message = format!("`{}` has no argument `{key}`", self.name);
                if let Some(near) = crate::problem::nearest(&key, parameters.iter().skip(1).copied()) {
                    message.push_str(&format!(", did you mean `{near}`?"));
                }
                return Err(Error::new(ErrorKind::TooManyArguments, message));
            };
            if out[i].is_some() {
                return Err(Error::new(ErrorKind::TooManyArguments, format!("`{}` is given `{key}` twice", self.name)));
            }
            out[i] = Some(value);
        }
        for i in 0..required.min(N) {
            if out[i].is_none() {
                return Err(Error::new(
                    ErrorKind::MissingArgument,
                    format!("`{}` needs the argument `{}`", self.name, parameters[i]),
                ));
            }
        }
        Ok(out)
    }

    /// Takes the piped value off, leaving the arguments proper.
    pub fn subject(&mut self) -> Result<Value, Error> {
        if self.positional.is_empty() {
            return Err(Error::new(ErrorKind::MissingArgument, format!("`{}` needs a value", self.name)));
        }
        let value = self.positional.remove(0);
        defined(&value, "value")?;
        Ok(value)
    }

    /// All arguments as minijinja passes them (to call another filter with them).
    pub fn to_values(&self) -> Vec<Value> {
        let mut values = self.positional.clone();
        if !self.named.is_empty() {
            values.push(self.named.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Kwargs>().into());
        }
        values
    }
}

/// A value that is an error in disguise, or undefined, as `Err`.
pub fn defined(value: &Value, what: &str) -> Result<(), Error> {
    valid(value)?;
    if value.is_undefined() {
        return Err(undefined(format!("`{what}` is undefined")));
    }
    Ok(())
}

/// Lazy values carry their errors as values; this brings such an error to light.
pub fn valid(value: &Value) -> Result<(), Error> {
    if value.kind() == ValueKind::Invalid {
        for item in Value::from(vec![value.clone()]).try_iter()?.checked() {
            item?;
        }
        return Err(err(value.to_string()));
    }
    Ok(())
}

/// Registers a family of filters under their short names (the evaluator takes qualified names by their last part).
pub fn register_filters(env: &mut Environment<'static>, entries: &[Entry]) {
    for (name, function) in entries {
        let (name, function) = (*name, *function);
        let callable = move |state: &mut State, args: Rest<Value>, kwargs: Kwargs| -> Result<Value, Error> {
            function(state, Call::given(name, args.to_vec(), &kwargs)?)
        };
        env.add_filter(name, callable);
    }
}

/// As [`register_filters`], for tests.
pub fn register_tests(env: &mut Environment<'static>, entries: &[Entry]) {
    for (name, function) in entries {
        let (name, function) = (*name, *function);
        let callable = move |state: &mut State, args: Rest<Value>, kwargs: Kwargs| -> Result<bool, Error> {
            Ok(truth(&function(state, Call::given(name, args.to_vec(), &kwargs)?)?))
        };
        env.add_test(name, callable);
    }
}

/// Python's `bool(value)`.
pub fn truth(value: &Value) -> bool {
    super::truth(value)
}

/// Text as it is; anything else as Python's `str()`.
pub fn text(value: &Value) -> String {
    match value.as_str() {
        Some(s) => s.to_owned(),
        None => super::text(value),
    }
}

/// An argument that must be text.
pub fn string(value: &Value, what: &str) -> Result<String, Error> {
    defined(value, what)?;
    value.as_str().map(str::to_owned).ok_or_else(|| err(format!("`{what}` must be text, not {}", type_name(value))))
}

/// A number that says how much is made: none below 0, and none that no memory holds.
pub fn size(value: &Value, name: &str) -> Result<usize, Error> {
    let number = usize::try_from(integer(value, name)?).unwrap_or(0);
    if number > super::eval::ops::MAX_SIZE { Err(err(format!("`{name}` is too large: {number}"))) } else { Ok(number) }
}

/// An argument that must be a whole number.
pub fn integer(value: &Value, what: &str) -> Result<i64, Error> {
    defined(value, what)?;
    match value.kind() {
        ValueKind::Bool => Ok(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value.as_i64().ok_or_else(|| err(format!("`{what}` is too large"))),
        _ => Err(err(format!("`{what}` must be a whole number, not {}", type_name(value)))),
    }
}

/// A number that must be whole, as wide as numbers of templates are.
pub fn wide_integer(value: &Value, what: &str) -> Result<i128, Error> {
    match value.kind() {
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).map_err(|_| err(format!("`{what}` is too large")))
        }
        _ => integer(value, what).map(i128::from),
    }
}

pub fn opt_string(value: Option<&Value>, what: &str) -> Result<Option<String>, Error> {
    match value {
        None => Ok(None),
        Some(v) if v.is_none() => Ok(None),
        Some(v) => string(v, what).map(Some),
    }
}

pub fn opt_integer(value: Option<&Value>, what: &str) -> Result<Option<i64>, Error> {
    match value {
        None => Ok(None),
        Some(v) if v.is_none() => Ok(None),
        Some(v) => integer(v, what).map(Some),
    }
}

/// An optional flag, with Python's truth.
pub fn flag(value: Option<&Value>, default: bool) -> bool {
    value.map_or(default, truth)
}

/// A number as a float: numbers and booleans only.
pub fn float(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// The items of a list, tuple or other iterable; the keys of a mapping; the characters of a text.
pub fn items(value: &Value) -> Result<Vec<Value>, Error> {
    defined(value, "value")?;
    if let Some(s) = value.as_str() {
        return Ok(s.chars().map(|c| Value::from(c.to_string())).collect());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => value.try_iter()?.checked().collect(),
        ValueKind::Bytes => Ok(value.as_bytes().unwrap_or_default().iter().map(|b| Value::from(*b)).collect()),
        _ => Err(err(format!("{} is not iterable", type_name(value)))),
    }
}

/// The pairs of a mapping.
pub fn pairs(value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    defined(value, "value")?;
    let Some(object) = value.as_object().filter(|_| value.kind() == ValueKind::Map) else {
        return Err(err(format!("a mapping is needed, not {}", type_name(value))));
    };
    let pairs: Vec<(Value, Value)> = object.try_iter_pairs().into_iter().flatten().collect();
    for (key, value) in &pairs {
        valid(key)?;
        valid(value)?;
    }
    Ok(pairs)
}

/// A list or a tuple (Ansible's notion of a sequence: no text).
pub fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

pub fn is_mapping(value: &Value) -> bool {
    value.kind() == ValueKind::Map
}

/// One item of a mapping or list, if it has it.
pub fn get(value: &Value, key: &Value) -> Result<Option<Value>, Error> {
    let key = match key.as_i64() {
        // Python counts from the end; minijinja's lists do so only through syntax
        Some(i) if i < 0 && is_sequence(value) => match value.len() {
            Some(len) if len as i64 + i >= 0 => Value::from(len as i64 + i),
            _ => return Ok(None),
        },
        _ => key.clone(),
    };
    if let (Some(s), Some(i)) = (value.as_str(), key.as_i64()) {
        let count = s.chars().count() as i64;
        let i = if i < 0 { i + count } else { i };
        return Ok(usize::try_from(i).ok().and_then(|i| s.chars().nth(i)).map(|c| Value::from(c.to_string())));
    }
    if value.is_undefined() {
        return Ok(None);
    }
    let found = value.get_item(&key)?;
    valid(&found)?;
    Ok((!found.is_undefined()).then_some(found))
}

/// A list value.
pub fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::from(values.into_iter().collect::<Vec<Value>>())
}

/// A tuple value.
pub fn tuple(values: impl IntoIterator<Item = Value>) -> Value {
    Value::from(minijinja::value::Tuple::new(values.into_iter().collect()))
}

/// A mapping value in the order given (a later duplicate replaces the value, not the place).
pub fn map(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    Value::from_object(pairs.into_iter().collect::<IndexMap<Value, Value>>())
}

/// A variable of the control machine's environment, as the running evaluation sees it.
pub fn env(name: &str) -> Option<String> {
    match super::call::current().ok().and_then(|c| c.engine().options.env.clone()) {
        Some(vars) => vars.get(name).cloned(),
        None => std::env::var(name).ok(),
    }
}
