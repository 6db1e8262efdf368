//! `pause` and `wait_for_connection`: wait.

use std::sync::Arc;

use minijinja::Value;

use super::kit;
use super::{ArgSpec, Args, Change, ChangeKind, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Done};
use crate::world::{Stop, View};

const DOC: &str = "\
# pause

Waits for a while, or (Ansible) for a key.

## Return values

- `start`, `stop` (text), `delta` (seconds), `stdout` (text), `user_input` (text)

## Examples

    - pause:
        seconds: 10

    - pause:
        minutes: 2
        prompt: let the nodes settle

## Differences from Ansible

A prompt without a time does not wait for input: runs are not interactive here.
";

const CONNECTION_DOC: &str = "\
# wait_for_connection

Drops the connection and waits until the node can be reached again.

## Return values

- `elapsed` (int): seconds it took

## Examples

    - wait_for_connection:

    - wait_for_connection:
        delay: 30
        timeout: 300

## Differences from Ansible

`connect_timeout` and `sleep` are accepted; the connection's own timeout rules each try.
";

pub static TYPE: ResourceType = ResourceType {
    name: "pause",
    qualified: &["ansible.builtin.pause"],
    doc: DOC,
    args: &[
        ArgSpec::new("seconds", Kind::Float, "Seconds to wait"),
        ArgSpec::new("minutes", Kind::Float, "Minutes to wait"),
        ArgSpec::new("prompt", Kind::Str, "A text to show"),
        ArgSpec::new("echo", Kind::Bool, "Show what is typed").default("true"),
    ],
    free_form: None,
    build,
};

/// `wait_for_connection`.
pub static WAIT_FOR_CONNECTION: ResourceType = ResourceType {
    name: "wait_for_connection",
    qualified: &["ansible.builtin.wait_for_connection"],
    doc: CONNECTION_DOC,
    args: &[
        ArgSpec::new("connect_timeout", Kind::Int, "Seconds for one try").default("5"),
        ArgSpec::new("delay", Kind::Int, "Seconds to wait before the first try").default("0"),
        ArgSpec::new("sleep", Kind::Int, "Seconds between tries").default("1"),
        ArgSpec::new("timeout", Kind::Int, "Seconds to wait at most").default("600"),
    ],
    free_form: None,
    build: build_connection,
};

struct Pause {
    seconds: f64,
    shown: String,
    echo: bool,
}

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "minutes", "seconds")?;
    let (seconds, shown) = match (args.float("seconds")?, args.float("minutes")?) {
        (Some(seconds), _) => (seconds, format!("Paused for {seconds:?} seconds")),
        (None, Some(minutes)) => (minutes * 60.0, format!("Paused for {minutes:?} minutes")),
        (None, None) => (0.0, "Paused for 0.0 minutes".to_owned()),
    };
    Ok(Arc::new(Pause { seconds: seconds.max(0.0), shown, echo: args.flag("echo")? }))
}

impl Pause {
    fn result(&self) -> TaskResult {
        TaskResult::unchanged()
            .with("delta", self.seconds.round() as i64)
            .with("echo", self.echo)
            .with("rc", 0)
            .with("stderr", "")
            .with("stdout", self.shown.as_str())
            .with("user_input", "")
    }
}

impl Resource for Pause {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        if self.seconds == 0.0 {
            return Ok(Verdict::Unchanged(self.result()));
        }
        Ok(Verdict::Change(Change {
            result: self.result(),
            ..kit::change(ChangeKind::Run, vec![Action::Sleep { seconds: self.seconds }], vec![])
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            Some((message, _)) => Err(change.result.clone().with("msg", message)),
            None => {
                let timed =
                    kit::timed(TaskResult::default(), std::time::Duration::try_from_secs_f64(self.seconds).ok());
                let get = |key: &str| timed.values.get(key).cloned().unwrap_or(Value::from(()));
                Ok(change.result.clone().with("start", get("start")).with("stop", get("end")))
            }
        }
    }
}

struct Reconnect {
    delay: i64,
}

fn build_connection(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    for name in ["connect_timeout", "sleep", "timeout"] {
        args.int(name)?;
    }
    Ok(Arc::new(Reconnect { delay: args.int("delay")?.unwrap_or(0).max(0) }))
}

impl Resource for Reconnect {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        let mut actions = vec![Action::Reconnect];
        if self.delay > 0 {
            actions.insert(0, Action::Sleep { seconds: self.delay as f64 });
        }
        Ok(Verdict::Change(Change {
            result: TaskResult::unchanged().with("elapsed", self.delay),
            ..kit::change(ChangeKind::Run, actions, vec![])
        }))
    }
}
