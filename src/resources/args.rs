//! Typed arguments: decoding with Ansible's conversions, aliases and defaults.

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::ValueKind;

use crate::problem::Problem;
use crate::source::Span;

/// One argument of a resource type.
#[derive(Debug, Clone, Copy)]
pub struct ArgSpec {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub required: bool,
    /// As Ansible documents it, for the manual; decoding uses it too where it is not empty.
    pub default: &'static str,
    pub choices: &'static [&'static str],
    pub doc: &'static str,
}

impl ArgSpec {
    /// An optional argument; refine with the `const` methods below.
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, aliases: &[], kind, required: false, default: "", choices: &[], doc }
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Str,
    /// yes/no/on/off/true/false/1/0 in any case.
    Bool,
    Int,
    Float,
    /// A list; a text is split at commas, one scalar is a list of one.
    List,
    Dict,
    /// Text with `~` and `$VAR` left to the resource (remote paths).
    Path,
    Raw,
    /// A file mode: octal text, YAML 1.1 octal number, or symbolic.
    Mode,
    /// A condition or a list of them (`assert`'s `that`): the engine hands it over as written, not rendered; the
    /// resource evaluates it with `Setting::condition`.
    Condition,
}

/// A file mode as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModeSpec {
    Octal(u32),
    /// `u=rw,g=r`, `preserve`.
    Symbolic(String),
}

/// The arguments of one task, checked against the type's list: aliases resolved, `omit`ted ones gone.
#[derive(Debug, Clone)]
pub struct Args {
    module: &'static str,
    specs: &'static [ArgSpec],
    values: IndexMap<&'static str, Value>,
    spans: IndexMap<&'static str, Span>,
    extra: IndexMap<String, (Value, Span)>,
    task: Span,
}

/// The name of the spec that stands for "any further argument" (`set_fact`, `add_host`); see [`Args::extra`].
pub const ANY: &str = "*";

impl Args {
    /// Checks names, requirement and choices. `given`: rendered arguments and where each stands.
    pub fn check(
        module: &'static str,
        specs: &'static [ArgSpec],
        given: impl IntoIterator<Item = (String, Value, Span)>,
        task: &Span,
    ) -> Result<Self, Problem> {
        let mut args = Self {
            module,
            specs,
            values: IndexMap::new(),
            spans: IndexMap::new(),
            extra: IndexMap::new(),
            task: task.clone(),
        };
        for (name, value, span) in given {
            let Some(spec) = find(specs, &name).filter(|s| s.name != ANY) else {
                if specs.iter().any(|s| s.name == ANY) {
                    if !crate::template::is_omit(&value) {
                        args.extra.insert(name, (value, span));
                    }
                    continue;
                }
                return Err(unknown_argument(module, specs, &name, &span));
            };
            args.spans.insert(spec.name, span);
            if crate::template::is_omit(&value) {
                continue;
            }
            args.values.insert(spec.name, value);
        }
        for spec in specs {
            match args.values.get(spec.name) {
                None if spec.required => {
                    return Err(Problem::new(
                        "missing-argument",
                        format!("`{module}` needs the argument `{}`", spec.name),
                    )
                    .at(task)
                    .help(format!("{}: {}", spec.name, spec.doc)));
                }
                Some(value) if !spec.choices.is_empty() && !value.is_none() => {
                    // A list argument's choices hold for each of its items.
                    let texts: Vec<String> =
                        if spec.kind == Kind::List { args.list(spec.name)? } else { vec![text_of(value)] };
                    let by_bool = value.kind() == ValueKind::Bool;
                    for text in texts {
                        let ok = spec.choices.contains(&text.as_str())
                            || (by_bool && spec.choices.iter().any(|c| truth(c) == Some(value.is_true())));
                        if !ok {
                            return Err(Problem::new(
                                "invalid-argument",
                                format!("`{text}` is no value for `{}` of `{module}`", spec.name),
                            )
                            .at(args.span(spec.name))
                            .nearest(&text, spec.choices.iter().copied())
                            .help(format!("one of: {}", spec.choices.join(", "))));
                        }
                    }
                }
                None if !spec.default.is_empty() => {
                    args.values.insert(spec.name, Value::from(spec.default));
                }
                _ => {}
            }
        }
        Ok(args)
    }

    /// Where an argument stands; the task if it was not written.
    pub fn span(&self, name: &str) -> &Span {
        self.spans.get(name).unwrap_or(&self.task)
    }

    /// Arguments beyond the named ones, of a type whose list has [`ANY`], in the order written.
    pub fn extra(&self) -> impl Iterator<Item = (&str, &Value, &Span)> {
        self.extra.iter().map(|(name, (value, span))| (name.as_str(), value, span))
    }

    /// Users whose homes paths among the arguments name: `~user/x`.
    pub fn homes(&self) -> Vec<String> {
        let paths = self.specs.iter().filter(|s| matches!(s.kind, Kind::Path));
        let mut names: Vec<String> = paths
            .filter_map(|s| self.raw(s.name)?.as_str()?.strip_prefix('~').map(str::to_owned))
            .map(|rest| rest.split('/').next().unwrap_or_default().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub fn task_span(&self) -> &Span {
        &self.task
    }

    /// True if the argument was written (not only defaulted), and not `omit`.
    pub fn given(&self, name: &str) -> bool {
        self.spans.contains_key(name) && self.values.contains_key(name)
    }

    /// The value as rendered; `None` if absent or null.
    /// As it was given: none is a value too.
    pub fn as_given(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|v| !v.is_none())
    }

    pub fn str(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(v) => match v.kind() {
                ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(Some(text_of(v))),
                // Ansible turns lists and dicts into their Python text for a string argument.
                ValueKind::Seq | ValueKind::Map => Ok(Some(v.to_string())),
                _ => Err(self.wrong(name, "text", v)),
            },
        }
    }

    /// A text that must be there.
    pub fn need(&self, name: &str) -> Result<String, Problem> {
        self.str(name)?.ok_or_else(|| {
            Problem::new("missing-argument", format!("`{}` needs the argument `{name}`", self.module)).at(&self.task)
        })
    }

    pub fn bool(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(v) if v.kind() == ValueKind::Bool => Ok(Some(v.is_true())),
            Some(v) => truth(&text_of(v)).map(Some).ok_or_else(|| self.wrong(name, "a boolean (yes or no)", v)),
        }
    }

    /// A boolean with its documented default; false without one.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.bool(name)?.unwrap_or(false))
    }

    pub fn int(&self, name: &str) -> Result<Option<i64>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(v) => {
                let parsed = match v.kind() {
                    ValueKind::Number => i64::try_from(v.clone()).ok(),
                    ValueKind::String => text_of(v).trim().parse().ok(),
                    _ => None,
                };
                parsed.map(Some).ok_or_else(|| self.wrong(name, "a whole number", v))
            }
        }
    }

    pub fn float(&self, name: &str) -> Result<Option<f64>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(v) => {
                let parsed = match v.kind() {
                    ValueKind::Number => f64::try_from(v.clone()).ok(),
                    ValueKind::String => text_of(v).trim().parse().ok(),
                    _ => None,
                };
                parsed.map(Some).ok_or_else(|| self.wrong(name, "a number", v))
            }
        }
    }

    /// A list of texts; empty if absent.
    pub fn list(&self, name: &str) -> Result<Vec<String>, Problem> {
        Ok(self.items(name)?.iter().map(text_of).collect())
    }

    /// A list of values; a text is split at commas.
    pub fn items(&self, name: &str) -> Result<Vec<Value>, Problem> {
        match self.raw(name) {
            None => Ok(vec![]),
            Some(v) => match v.kind() {
                ValueKind::Seq | ValueKind::Iterable => {
                    Ok(v.try_iter().map_err(|_| self.wrong(name, "a list", v))?.collect())
                }
                ValueKind::String => {
                    let text = text_of(v);
                    if text.is_empty() {
                        return Ok(vec![]);
                    }
                    Ok(text.split(',').map(|s| Value::from(s.trim())).collect())
                }
                ValueKind::Number | ValueKind::Bool | ValueKind::Map => Ok(vec![v.clone()]),
                _ => Err(self.wrong(name, "a list", v)),
            },
        }
    }

    /// A mapping in its order; empty if absent.
    pub fn dict(&self, name: &str) -> Result<IndexMap<String, Value>, Problem> {
        match self.raw(name) {
            None => Ok(IndexMap::new()),
            Some(v) if v.kind() == ValueKind::Map => {
                let mut map = IndexMap::new();
                for key in v.try_iter().map_err(|_| self.wrong(name, "a mapping", v))? {
                    map.insert(text_of(&key), v.get_item(&key).unwrap_or_default());
                }
                Ok(map)
            }
            Some(v) => Err(self.wrong(name, "a mapping", v)),
        }
    }

    /// A file mode: a number is taken as it is (YAML 1.1 read `0644` as 420), text of digits is octal.
    pub fn mode(&self, name: &str) -> Result<Option<ModeSpec>, Problem> {
        let Some(v) = self.raw(name) else { return Ok(None) };
        if v.kind() == ValueKind::Number {
            return match u32::try_from(v.clone()) {
                Ok(mode) if mode <= 0o7777 => Ok(Some(ModeSpec::Octal(mode))),
                _ => Err(self.wrong(name, "a file mode", v).help(format!("write the mode as text: \"{v}\""))),
            };
        }
        let text = text_of(v);
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(digits, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Some(ModeSpec::Octal(mode))),
                _ => Err(self.wrong(name, "a file mode", v)),
            };
        }
        Ok(Some(ModeSpec::Symbolic(text)))
    }

    /// `name` has a value of another type than `wanted`.
    pub fn wrong(&self, name: &str, wanted: &str, value: &Value) -> Problem {
        let shown: String = value.to_string().chars().take(60).collect();
        Problem::new("invalid-argument", format!("`{name}` of `{}` must be {wanted}, not `{shown}`", self.module))
            .at(self.span(name))
    }
}

/// The spec of a written name, by name or alias.
pub fn find(specs: &'static [ArgSpec], name: &str) -> Option<&'static ArgSpec> {
    specs.iter().find(|s| s.name == name || s.aliases.contains(&name))
}

/// The error for a name no spec has.
pub fn unknown_argument(module: &str, specs: &[ArgSpec], name: &str, span: &Span) -> Problem {
    let mut known: Vec<&str> =
        specs.iter().flat_map(|s| std::iter::once(s.name).chain(s.aliases.iter().copied())).collect();
    known.sort_unstable();
    Problem::new("unknown-argument", format!("`{module}` has no argument `{name}`"))
        .at(span)
        .nearest(name, known.iter().copied())
        .help(format!("arguments of `{module}`: {}", specs.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")))
}

/// Ansible's reading of a boolean text.
pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" | "1" | "y" | "t" | "1.0" => Some(true),
        "no" | "off" | "false" | "0" | "n" | "f" | "0.0" => Some(false),
        _ => None,
    }
}

/// A scalar as text, the way Python prints it.
pub fn text_of(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::None => String::new(),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}
