//! `pause`: wait.

use std::sync::Arc;

use minijinja::Value;

use super::kit;
use super::{
    ArgSpec, Args, AskOperator, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict,
};
use crate::node::{Action, Done};
use crate::world::{Stop, View};

const DOC: &str = "\
# pause

Waits for a while, or until the operator presses Enter.

Once for all hosts of a batch. Without `seconds` and `minutes` the prompt is shown and a line is read, which is `user_input`; where there is no
terminal, or with `kdeploy apply --yes`, nobody is asked and the run goes on. Ctrl-C instead of an answer ends the run.

## Return values

- `start`, `stop` (text), `delta` (seconds), `stdout` (text), `user_input` (text)

## Examples

    - pause:
        seconds: 10

    - pause:
        minutes: 2
        prompt: let the nodes settle

## Differences from Ansible

A pause of a given time cannot be cut short with C: Ctrl-C ends the run. `kdeploy plan` does not wait.
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
    conduct: Conduct::Passes,
    build,
};

struct Pause {
    seconds: f64,
    shown: String,
    echo: bool,
    /// The question, and who answers it.
    question: Option<(String, AskOperator)>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "minutes", "seconds")?;
    let (seconds, shown) = match (args.float("seconds")?, args.float("minutes")?) {
        (Some(seconds), _) => (seconds, format!("Paused for {seconds:?} seconds")),
        (None, Some(minutes)) => (minutes * 60.0, format!("Paused for {minutes:?} minutes")),
        (None, None) => (0.0, "Paused for 0.0 minutes".to_owned()),
    };
    let is_timed = args.given("seconds") || args.given("minutes");
    let prompt = args.str("prompt")?.unwrap_or_else(|| "Press enter to continue, Ctrl+C to interrupt".to_owned());
    let question = setting.ask.filter(|_| !is_timed).map(|ask| (format!("[pause]\n{prompt}: "), ask));
    Ok(Arc::new(Pause { seconds: seconds.max(0.0), shown, echo: args.flag("echo")?, question }))
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

impl Pause {
    /// When it began and ended, if it ends now.
    fn waited(&self, result: TaskResult) -> TaskResult {
        let timed = kit::timed(TaskResult::default(), std::time::Duration::try_from_secs_f64(self.seconds).ok());
        let get = |key: &str| timed.values.get(key).cloned().unwrap_or(Value::from(()));
        result.with("start", get("start")).with("stop", get("end"))
    }

    fn asked(&self, change: &Change) -> Result<TaskResult, TaskResult> {
        let Some((question, ask)) = &self.question else { return Ok(change.result.clone()) };
        let begin = std::time::Instant::now();
        let Some(answer) = ask(question, self.echo) else {
            return Err(change.result.clone().with("msg", "user requested abort!"));
        };
        let waited = begin.elapsed();
        let timed = kit::timed(TaskResult::default(), Some(waited));
        let get = |key: &str| timed.values.get(key).cloned().unwrap_or(Value::from(()));
        Ok(change
            .result
            .clone()
            .with("start", get("start"))
            .with("stop", get("end"))
            .with("delta", waited.as_secs())
            .with("stdout", format!("Paused for {:.2} minutes", waited.as_secs_f64() / 60.0))
            .with("user_input", answer))
    }
}

impl Resource for Pause {
    fn reconcile(&self, _world: &View) -> Result<Verdict, Stop> {
        if self.question.is_some() {
            // What follows waits for the answer: nothing of it may travel together with this.
            return Ok(Verdict::Change(Change {
                result: self.result(),
                opaque: true,
                ..kit::change(ChangeKind::Run, vec![Action::Sleep { seconds: 0.0 }], vec![])
            }));
        }
        if self.seconds == 0.0 {
            return Ok(Verdict::Unchanged(self.waited(self.result())));
        }
        Ok(Verdict::Change(Change {
            result: self.result(),
            ..kit::change(ChangeKind::Run, vec![Action::Sleep { seconds: self.seconds }], vec![])
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            Some((message, _)) => Err(change.result.clone().with("msg", message)),
            None if self.question.is_some() => self.asked(change),
            None => Ok(self.waited(change.result.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::resources::testing::*;

    #[test]
    fn an_answer_is_the_user_input_and_none_ends_it() {
        let stage = |ask| Stage { ask: Some(ask), ..Stage::default() };
        let yes = stage(|question, _| Some(question.to_owned())).build("pause", json!({"prompt": "sure"})).unwrap();
        let made = change(&*yes, &mut world([]), &nothing);
        assert!(made.opaque);
        let result = yes.conclude(&made, &[done(0, "")]).unwrap();
        assert_eq!(result.values["user_input"].as_str(), Some("[pause]\nsure: "));
        let no = stage(|_, _| None).build("pause", json!({})).unwrap();
        let made = change(&*no, &mut world([]), &nothing);
        assert_eq!(
            no.conclude(&made, &[done(0, "")]).unwrap_err().values["msg"].as_str(),
            Some("user requested abort!")
        );
        let timed = stage(|_, _| panic!("not asked")).build("pause", json!({"seconds": 0})).unwrap();
        unchanged(&*timed, &mut world([]), &nothing);
        unchanged(&*build("pause", json!({"prompt": "nobody answers"})), &mut world([]), &nothing);
    }
}
