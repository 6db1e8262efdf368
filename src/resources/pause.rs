//! `pause`: wait.

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
