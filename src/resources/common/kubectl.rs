//! What the Kubernetes resources share: kubectl on the machine the task runs on.
//!
//! What is there is one `kubectl get`; manifests travel on standard input, never on a command line.

use minijinja::Value;
use serde_json::Value as Json;

use crate::node::Done;
use crate::problem::Problem;
use crate::resources::kit::{self, Task};
use crate::resources::{ArgSpec, Args, Change, Kind, Setting, TaskResult};
use crate::world::{Answer, Output, Query, Stop, View};

pub const KUBECONFIG: ArgSpec = ArgSpec::new("kubeconfig", Kind::Path, "kubectl's configuration file");

pub const CONTEXT: ArgSpec = ArgSpec::new("context", Kind::Str, "Context of that file");

/// How kubectl is called.
pub struct Kubectl {
    pub options: Vec<String>,
    pub task: Task,
}

impl Kubectl {
    pub fn of(args: &Args, setting: &Setting) -> Result<Self, Problem> {
        let task = Task::of(setting);
        let mut options = vec![];
        if let Some(file) = args.str("kubeconfig")? {
            options.push(format!("--kubeconfig={}", task.path(&file)));
        }
        if let Some(context) = args.str("context")? {
            options.push(format!("--context={context}"));
        }
        Ok(Self { options, task })
    }

    pub fn argv(&self, words: &[&str]) -> Vec<String> {
        let mut argv = vec!["kubectl".to_owned()];
        argv.extend(self.options.iter().cloned());
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        argv
    }

    /// An object or list as JSON; `None`: there is none.
    pub fn get(&self, world: &View, words: &[&str]) -> Result<Option<Json>, Stop> {
        let output = world.read(self.argv(words))?;
        let error = output.error_text();
        match output.rc {
            0 if output.stdout.is_empty() => Ok(None),
            0 => serde_json::from_slice(&output.stdout)
                .map(Some)
                .map_err(|e| Stop::Failed(format!("kubectl's answer is no JSON: {e}"))),
            127 => Err(Stop::Failed("kubectl is not there on the machine the task runs on".to_owned())),
            _ if error.contains("NotFound") || error.contains("not found") => Ok(None),
            _ => Err(Stop::Failed(format!("kubectl failed: {}", error.trim()))),
        }
    }

    pub fn query(&self, words: &[&str]) -> Query {
        Query::Read { argv: self.argv(words) }
    }
}

pub fn answer(json: &Json) -> Answer {
    Answer::Output(Output { rc: 0, stdout: json.to_string().into_bytes(), stderr: vec![] })
}

/// JSON as a template's value.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::from(n.as_f64().unwrap_or_default()), Value::from),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(map) => kit::map(map.iter().map(|(k, v)| (k.clone(), value(v)))),
    }
}

pub fn conclude(change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
    match kit::failure(done) {
        None => Ok(change.result.clone()),
        Some((message, output)) => {
            let said = output.error_text();
            let said = if said.trim().is_empty() { message.to_owned() } else { said.trim_end().to_owned() };
            Err(TaskResult { changed: done.len() > 1, ..change.result.clone() }
                .with("msg", said)
                .with("stdout", output.text()))
        }
    }
}

/// `Deployment` of `apps/v1` as kubectl names it: `Deployment.v1.apps`.
pub fn typed(kind: &str, api: &str) -> String {
    match api.split_once('/') {
        Some((group, version)) => format!("{kind}.{version}.{group}"),
        None => kind.to_owned(),
    }
}
