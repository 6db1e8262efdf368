//! What the system resources share: the task's identity and environment, running programs, reading outputs.
//!
//! Stands beside the resource files of commands, services, accounts, packages and kernel.

use std::sync::Arc;

use minijinja::Value;

use crate::node::{Action, Done, ExecSpec};
use crate::problem::Problem;
use crate::resources::{Args, Change, ChangeKind, Diff, Resource, Setting, TaskResult, Verdict};
use crate::world::{Answer, Effect, Output, Query, Stop, View};

/// What a resource keeps of its [`Setting`].
#[derive(Debug, Clone, Default)]
pub struct Task {
    pub home: String,
    pub user: String,
    pub homes: std::collections::BTreeMap<String, String>,
    pub environment: Vec<(String, String)>,
    pub check_mode: bool,
    pub facts: Option<Value>,
}

impl Task {
    pub fn of(setting: &Setting) -> Self {
        Self {
            home: setting.home.clone(),
            user: setting.user.clone(),
            homes: setting.homes.clone(),
            environment: setting.environment.clone(),
            check_mode: setting.check_mode,
            facts: setting.facts.clone(),
        }
    }

    /// A remote path with `~` and the variables that are known here (`$HOME`, the task's environment) filled in.
    pub fn path(&self, text: &str) -> String {
        let text = expand_variables(text, &|name| match name {
            "HOME" => Some(self.home.clone()),
            "USER" | "LOGNAME" => Some(self.user.clone()),
            _ => self.environment.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()),
        });
        if let Some(rest) = text.strip_prefix('~') {
            let (user, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if let Some(home) = self.homes.get(user) {
                return format!("{}{below}", home.trim_end_matches('/'));
            }
        }
        expand_home(&text, &self.home)
    }

    /// A program that must exit with 0, in the task's environment.
    pub fn exec<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Action {
        ExecSpec { env: self.environment.clone(), ..ExecSpec::argv(argv) }.into_action()
    }

    /// A shell text of our own that must exit with 0. Nothing from an inventory is ever put into the text: it goes
    /// into `args`, which the text sees as `$1`, `$2` …
    pub fn script<S: Into<String>>(&self, text: &str, args: impl IntoIterator<Item = S>) -> Action {
        let mut argv = vec!["sh".to_owned(), "-c".to_owned(), text.to_owned(), "sh".to_owned()];
        argv.extend(args.into_iter().map(Into::into));
        self.exec(argv)
    }

    /// One fact as text, asking the node if facts were not gathered.
    pub fn fact(&self, world: &View, name: &str) -> Result<String, Stop> {
        let facts = match &self.facts {
            Some(facts) => facts.clone(),
            None => world.facts()?,
        };
        let value = facts.get_attr(name).unwrap_or_default();
        Ok(if value.is_undefined() || value.is_none() { String::new() } else { crate::resources::text_of(&value) })
    }
}

/// A verdict that was clear when the arguments were rendered: language resources that ask no node.
pub struct Ready(pub Result<Verdict, Stop>);

impl Ready {
    pub fn boxed(verdict: Result<Verdict, Stop>) -> Arc<dyn Resource> {
        Arc::new(Self(verdict))
    }
}

impl Resource for Ready {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        self.0.clone()
    }
}

/// A failure by the task's own rule.
pub fn failed(msg: impl Into<String>) -> Verdict {
    Verdict::Failed(TaskResult::unchanged().with("msg", msg.into()))
}

/// A change with the usual fields; refine with struct update.
pub fn change(kind: ChangeKind, actions: Vec<Action>, effects: Vec<Effect>) -> Change {
    Change { kind, diff: vec![], actions, effects, opaque: false, result: TaskResult::changed() }
}

pub fn effect(query: Query, answer: Answer) -> Effect {
    Effect { query, answer: Ok(answer) }
}

/// A difference of two texts about one thing.
pub fn diff(what: &str, before: impl Into<String>, after: impl Into<String>) -> Diff {
    Diff {
        before_header: format!("{what} (before)"),
        after_header: format!("{what} (after)"),
        before: before.into(),
        after: after.into(),
    }
}

/// The `key: value` lines of attributes that differ, as one difference.
pub fn diff_of_attributes(what: &str, changed: &[(&str, String, String)]) -> Diff {
    let lines = |after: bool| -> String {
        changed.iter().map(|(key, old, new)| format!("{key}: {}\n", if after { new } else { old })).collect()
    };
    diff(what, lines(false), lines(true))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        text(&self.stdout)
    }

    /// Standard error as text.
    pub fn error_text(&self) -> String {
        text(&self.stderr)
    }
}

/// What an action said, however it ended.
pub fn output_of(done: &Done) -> &Output {
    match done {
        Done::Ok(output) | Done::Failed { output, .. } => output,
    }
}

/// The first action that failed: its message and output.
pub fn failure(done: &[Done]) -> Option<(&str, &Output)> {
    done.iter().find_map(|d| match d {
        Done::Failed { message, output } => Some((message.as_str(), output)),
        Done::Ok(_) => None,
    })
}

/// Why a command failed: what it said, else what the node says of it.
pub fn why(message: &str, output: &Output) -> String {
    let said = output.error_text();
    if said.trim().is_empty() { message.to_owned() } else { said }
}

/// `~` and `~/x` become the home directory; `~other` is left.
pub fn expand_home(text: &str, home: &str) -> String {
    match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => format!("{}{rest}", home.trim_end_matches('/')),
        _ => text.to_owned(),
    }
}

/// `$NAME` and `${NAME}` by a table; names it does not know are left as written, as Python's expandvars does.
pub fn expand_variables(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (name, len) = variable_name(tail);
        match (!name.is_empty()).then(|| lookup(name)).flatten() {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[at..=at + len]),
        }
        rest = &tail[len..];
    }
    out.push_str(rest);
    out
}

/// The variable named right after a `$`, and how many bytes it takes.
fn variable_name(tail: &str) -> (&str, usize) {
    if let Some(inner) = tail.strip_prefix('{') {
        return match inner.find('}') {
            Some(end) => (&inner[..end], end + 2),
            None => ("", 0),
        };
    }
    let end = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
    (&tail[..end], end)
}

/// True if the text mentions a variable that `known` does not.
pub fn mentions_variable(text: &str) -> bool {
    text.match_indices('$').any(|(at, _)| !variable_name(&text[at + 1..]).0.is_empty())
}

/// The argument `umask`: octal.
pub fn umask(args: &Args) -> Result<Option<String>, Problem> {
    let umask = args.raw("umask").map(crate::resources::text_of);
    match &umask {
        Some(text) if u32::from_str_radix(text.trim_start_matches("0o"), 8).is_err() => {
            Err(Problem::new("invalid-argument", format!("`{text}` is no octal umask")).at(args.span("umask")))
        }
        _ => Ok(umask.map(|u| u.trim_start_matches("0o").to_owned())),
    }
}

/// A command under a umask.
pub fn under(umask: Option<&str>, argv: Vec<String>) -> Vec<String> {
    let Some(umask) = umask else { return argv };
    let shell = ["sh", "-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask].map(str::to_owned);
    shell.into_iter().chain(argv).collect()
}

/// Words of a command line as Python's `shlex.split` finds them. `Err`: a quotation is not closed.
pub fn split_words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("No closing quotation"),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("No closing quotation"),
                        },
                        Some(c) => word.push(c),
                        None => return Err("No closing quotation"),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("No escaped character"),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Ansible's `start`, `end` and `delta` in a result: it ended now and took `took` (unknown: the engine sets them).
pub fn timed(result: TaskResult, took: Option<std::time::Duration>) -> TaskResult {
    let end = jiff::Zoned::now();
    let took = took.unwrap_or_default();
    let start = end.checked_sub(took).unwrap_or_else(|_| end.clone());
    let show = |t: &jiff::Zoned| t.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
    let (secs, micros) = (took.as_secs(), took.subsec_micros());
    result
        .with("start", show(&start))
        .with("end", show(&end))
        .with("delta", format!("{}:{:02}:{:02}.{micros:06}", secs / 3600, secs / 60 % 60, secs % 60))
}

/// Values under text keys as a mapping value, in order.
pub fn map(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::from_pairs(entries)
}

/// Two arguments that exclude each other.
pub fn exclusive(args: &crate::resources::Args, a: &str, b: &str) -> Result<(), Problem> {
    if args.given(a) && args.given(b) {
        return Err(Problem::new("invalid-argument", format!("`{a}` and `{b}` exclude each other"))
            .at(args.span(b))
            .help(format!("keep one of `{a}` and `{b}`")));
    }
    Ok(())
}

/// JSON as a value.
pub fn from_json(json: &serde_json::Value) -> minijinja::Value {
    use minijinja::Value;
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => Value::from(n),
            (_, Some(n), _) => Value::from(n),
            (_, _, n) => Value::from(n.unwrap_or_default()),
        },
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), from_json(v)))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_shlex_does() {
        let split = |s| split_words(s).unwrap();
        assert_eq!(split(r#"a "b c" 'd "e' f\ g """#), ["a", "b c", "d \"e", "f g", ""]);
        assert_eq!(split(r#""a\nb\"c\\""#), [r#"a\nb"c\"#]);
        assert_eq!(split_words("a 'b"), Err("No closing quotation"));
    }

    #[test]
    fn variables_are_expanded_where_known() {
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        assert_eq!(expand_variables("$HOME/x ${HOME} $NOPE $ ${", &lookup), "/root/x /root $NOPE $ ${");
        assert_eq!(expand_home("~/x", "/root"), "/root/x");
        assert_eq!(expand_home("~kube/x", "/root"), "~kube/x");
    }

    proptest! {
        /// Quoting each word and splitting again gives the words.
        #[test]
        fn quoted_words_survive(words in prop::collection::vec("\\PC*", 0..5)) {
            let line: Vec<String> = words.iter().map(|w| format!("'{}'", w.replace('\'', "'\\''"))).collect();
            prop_assert_eq!(split_words(&line.join(" ")).unwrap(), words);
        }

        #[test]
        fn unknown_variables_leave_the_text(text in "\\PC*") {
            prop_assert_eq!(expand_variables(&text, &|_| None), text);
        }
    }
}
