//! Whether a result counts as changed or failed: `changed_when`, `failed_when`, `until`.

use super::interpreter::Interpreter;
use super::turn::{Draft, Ending};
use crate::problem::Problem;
use crate::resources::TaskResult;
use crate::template::{EvalError, Unknown};
use crate::vars::Scope;

pub(super) struct Judgement {
    pub changed: bool,
    pub failed: bool,
    pub unknown: Option<Unknown>,
    pub failed_when: Option<bool>,
}

impl Interpreter {
    /// `changed_when` and `failed_when`, with the result in view under its registered name.
    pub(super) fn judge(
        &self,
        draft: &Draft,
        result: &TaskResult,
        failed: bool,
        unknown: Option<&Unknown>,
    ) -> Result<Judgement, (&'static str, Problem)> {
        let task = &draft.task;
        let mut judgement = Judgement { changed: result.changed, failed, unknown: None, failed_when: None };
        if task.changed_when.is_empty() && task.failed_when.is_empty() {
            return Ok(judgement);
        }
        let value = self.registered(result, failed, false, unknown, false, None);
        let mut scopes = vec![];
        if let Some(node) = &task.register
            && let Some(name) = node.as_str()
        {
            scopes.push(Scope::finals("register", [(name.to_owned(), value.clone())]));
        }
        // Facts that the task sets are there already.
        if let Some(facts) = result.values.get("ansible_facts").filter(|_| !draft.delegate_facts) {
            let pairs = crate::template::args::pairs(facts).unwrap_or_default();
            let pairs = pairs.into_iter().map(|(name, value)| (crate::resources::text_of(&name), value));
            scopes.push(Scope::finals("facts of the task", pairs));
        }
        let context = draft.context.with(scopes);
        let all = |conditions: &[crate::yaml::Node]| -> Result<Result<bool, Unknown>, Problem> {
            match context.conditions(conditions) {
                Ok(held) => Ok(Ok(held.is_ok())),
                Err(EvalError::Unknown(unknown)) => Ok(Err(unknown)),
                Err(error) => Err(error.into_problem().or_at(&task.span)),
            }
        };
        if !task.changed_when.is_empty() {
            match all(&task.changed_when).map_err(|p| ("changed_when_result", p))? {
                Ok(changed) => judgement.changed = changed,
                Err(unknown) => judgement.unknown = Some(unknown),
            }
        }
        if !task.failed_when.is_empty() {
            match all(&task.failed_when).map_err(|p| ("failed_when_result", p))? {
                Ok(fails) => {
                    judgement.failed = fails;
                    judgement.failed_when = Some(fails);
                }
                // Foretold to succeed: a plan goes on with what follows.
                Err(_) => judgement.failed = false,
            }
        }
        Ok(judgement)
    }

    /// True if the step's `until` holds for this try's result; the ending gets `attempts`. Without `until`: until it succeeds.
    pub fn until_holds(&self, draft: &Draft, ending: Ending, attempt: i64) -> Result<(bool, Ending), Problem> {
        let (result, failed) = match &ending {
            Ending::Changed(result, _) | Ending::Unchanged(result) => (result.clone(), false),
            Ending::Failed { result, .. } => (result.clone(), true),
            _ => return Ok((true, ending)),
        };
        let judgement = self.judge(draft, &result, failed, None).map_err(|(_, p)| p)?;
        let held = if draft.task.until.is_empty() {
            !judgement.failed
        } else {
            let value = self.registered(&result, judgement.failed, false, None, false, None);
            let mut vars = vec![];
            if let Some(name) = draft.task.register.as_ref().and_then(crate::yaml::Node::as_str) {
                vars.push((name.to_owned(), value));
            }
            let context = draft.context.with([Scope::finals("register", vars)]);
            match context.conditions(&draft.task.until) {
                Ok(held) => held.is_ok(),
                Err(error) => return Err(error.into_problem().or_at(&draft.task.span)),
            }
        };
        let note = |result: TaskResult| result.with("attempts", attempt);
        let ending = match ending {
            Ending::Changed(result, change) => Ending::Changed(note(result), change),
            Ending::Unchanged(result) => Ending::Unchanged(note(result)),
            Ending::Failed { result, invalid } => Ending::Failed { result: note(result), invalid },
            other => other,
        };
        Ok((held, ending))
    }

    /// What becomes of a step whose tries are used up: it failed, whatever its last result was.
    pub fn exhausted(ending: Ending, retries: i64) -> Ending {
        let note = |result: TaskResult| {
            let result = result.with("attempts", retries.max(1)).with("failed", true);
            match result.values.contains_key("msg") {
                true => result,
                false => result.with("msg", "what `until` waits for did not come about"),
            }
        };
        match ending {
            Ending::Changed(result, _) => {
                Ending::Failed { result: TaskResult { changed: true, ..note(result) }, invalid: false }
            }
            Ending::Unchanged(result) => Ending::Failed { result: note(result), invalid: false },
            Ending::Failed { result, invalid } => Ending::Failed { result: note(result), invalid },
            other => other,
        }
    }

    /// `break_when` holds for an item's result: the loop ends with this item.
    pub(super) fn breaks_off(&self, draft: &Draft, registered: &minijinja::Value) -> bool {
        let conditions = &draft.task.loop_control.break_when;
        if conditions.is_empty() {
            return false;
        }
        let name = draft.task.register.as_ref().and_then(crate::yaml::Node::as_str);
        let vars = name.map(|name| (name.to_owned(), registered.clone()));
        let context = draft.context.with([Scope::finals("register", vars)]);
        matches!(context.conditions(conditions), Ok(Ok(())))
    }
}
