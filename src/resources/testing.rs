//! For tests of resources: build one from JSON, ask it about a world, carry a change's predictions over.

use std::sync::Arc;

use minijinja::Value;

use super::{Args, Change, Resource, Setting, TaskResult, Verdict, registry};
use crate::node::{Action, Command, Done};
use crate::problem::Problem;
use crate::source::{SourceFile, Span};
use crate::world::{Answer, Output, Query, Stop, View, World};

/// A task as a test describes it.
#[derive(Default, Clone)]
pub struct Stage {
    pub check_mode: bool,
    pub facts: serde_json::Value,
    pub variables: serde_json::Value,
    pub ask: Option<crate::resources::AskOperator>,
}

impl Stage {
    pub fn build(&self, module: &str, args: serde_json::Value) -> Result<Arc<dyn Resource>, Stop> {
        let kind = registry::lookup(module).unwrap_or_else(|| panic!("no resource type `{module}`"));
        let span = Span::of_file(&SourceFile::new("test.yml", "x\n"));
        let serde_json::Value::Object(map) = args else { panic!("arguments are a mapping") };
        let given = map.into_iter().map(|(name, value)| (name, value_of(&value), span.clone()));
        let args = Args::check(kind.name, kind.args, given, &span)?;
        let variables = value_of(&self.variables);
        let evaluate = |name: &str| -> Result<Value, Stop> {
            match variables.get_attr(name) {
                Ok(value) if !value.is_undefined() => Ok(value),
                _ => Err(Problem::new("undefined-variable", format!("`{name}` is undefined")).into()),
            }
        };
        let setting = Setting {
            check_mode: self.check_mode,
            diff: false,
            home: "/root".to_owned(),
            user: "root".to_owned(),
            delegated: false,
            homes: std::collections::BTreeMap::new(),
            environment: vec![],
            find_file: &|_, name| {
                let path = std::path::PathBuf::from(name);
                if path.exists() { Ok(path) } else { Err(Problem::new("no-such-file", format!("no file `{name}`"))) }
            },
            render: &|request| Ok(request.text.clone()),
            facts: (!self.facts.is_null()).then(|| value_of(&self.facts)),
            evaluate: &evaluate,
            condition: &|value| match value.as_str() {
                Some(name) => evaluate(name).map(|v| v.is_true()),
                None => Ok(value.is_true()),
            },
            verbosity: 0,
            jobs: Arc::default(),
            ask: self.ask,
            program: None,
            decrypt: &|_| Err(Problem::unsupported("vaults in tests")),
            fetch: &|_| Err(Problem::unsupported("downloads in tests")),
        };
        kind.make(args, &setting)
    }
}

/// Builds a resource in the default stage.
pub fn build(module: &str, args: serde_json::Value) -> Arc<dyn Resource> {
    Stage::default().build(module, args).unwrap_or_else(|stop| panic!("{module} refused its arguments: {stop:?}"))
}

pub fn world(answers: impl IntoIterator<Item = (Query, Answer)>) -> World {
    let mut world = World::default();
    world.observe(answers);
    world
}

/// The verdict, answering what is asked by `answer` until nothing is missing.
pub fn settle(resource: &dyn Resource, world: &mut World, answer: &dyn Fn(&Query) -> Answer) -> Result<Verdict, Stop> {
    for _ in 0..20 {
        let view = View::new(world);
        match resource.reconcile(&view) {
            Err(Stop::Needs) => {
                let (missing, _) = view.into_missing();
                let answers: Vec<_> = missing.into_iter().map(|q| (q.clone(), answer(&q))).collect();
                world.observe(answers);
            }
            other => return other,
        }
    }
    panic!("the resource asks without end");
}

/// The change a resource must want.
pub fn change(resource: &dyn Resource, world: &mut World, answer: &dyn Fn(&Query) -> Answer) -> Change {
    match settle(resource, world, answer) {
        Ok(Verdict::Change(change)) => change,
        other => panic!("expected a change, got {other:?}"),
    }
}

/// Asserts that after the change's effects nothing is left to do.
pub fn converges(resource: &dyn Resource, world: &mut World, answer: &dyn Fn(&Query) -> Answer) -> Option<Change> {
    match settle(resource, world, answer) {
        Ok(Verdict::Unchanged(_)) => None,
        Ok(Verdict::Change(change)) => {
            world.predict(&change.effects);
            match settle(resource, world, answer) {
                Ok(Verdict::Unchanged(_)) => Some(change),
                other => panic!("after {change:#?}\nit still wants {other:#?}"),
            }
        }
        other => panic!("expected a change, got {other:?}"),
    }
}

pub fn unchanged(resource: &dyn Resource, world: &mut World, answer: &dyn Fn(&Query) -> Answer) -> TaskResult {
    match settle(resource, world, answer) {
        Ok(Verdict::Unchanged(result)) => result,
        other => panic!("expected no change, got {other:?}"),
    }
}

/// An action in short, for comparing.
pub fn short(action: &Action) -> String {
    match action {
        Action::Systemctl { verb, units, .. } => format!("systemctl {verb} {}", units.join(" ")).trim_end().to_owned(),
        Action::Exec(spec) => match &spec.command {
            Command::Argv(argv) => argv.join(" "),
            Command::Shell { text, .. } => text.clone(),
        },
        Action::WriteFile { path, content: crate::node::Blob::Bytes(bytes), .. } => {
            format!("write {path}: {}", String::from_utf8_lossy(bytes))
        }
        Action::Remove { path } => format!("remove {path}"),
        other => format!("{other:?}"),
    }
}

pub fn shorts(change: &Change) -> Vec<String> {
    change.actions.iter().map(short).collect()
}

pub fn output(rc: i32, stdout: &str) -> Output {
    Output { rc, stdout: stdout.as_bytes().to_vec(), stderr: vec![] }
}

pub fn done(rc: i32, stdout: &str) -> Done {
    Done::Ok(output(rc, stdout))
}

/// The answer of a node on which there is nothing.
pub fn nothing(query: &Query) -> Answer {
    match query {
        Query::Stat { .. } => Answer::Stat(None),
        Query::Digest { .. } => Answer::Digest(None),
        Query::Content { .. } => Answer::Content(None),
        Query::Tree { .. } => Answer::Tree(Arc::default()),
        Query::Unit { .. } => {
            Answer::Unit(Box::new(crate::world::UnitState { load: "not-found".to_owned(), ..Default::default() }))
        }
        Query::Account { .. } => Answer::Account(None),
        Query::Group { .. } => Answer::Group(None),
        Query::Package { .. } | Query::Candidate { .. } => Answer::Package(crate::world::PackageState::default()),
        Query::Read { .. } => Answer::Output(output(127, "")),
        Query::Source { .. } => unreachable!("sources are only predicted"),
        Query::Facts => Answer::Facts(value_of(&serde_json::json!({}))),
    }
}

/// JSON as a template's value.
pub fn value_of(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::from(n.as_f64().unwrap_or_default()), Value::from),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value_of).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.clone(), value_of(v)))),
    }
}
