//! One immediate step with its retries: `until`, `retries`, `delay`.

use std::time::Duration;

use crate::plan::{Draft, Driver, Ending, Event, Interpreter, Lost, Note, Order};
use crate::problem::Problem;
use crate::resources::{Change, Resource};

/// Ansible's defaults: three retries, five seconds apart.
const RETRIES: i64 = 3;
const DELAY: f64 = 5.0;

/// Carries the step out, again until its `until` holds or the tries are used up.
pub fn run(
    driver: &mut Driver,
    draft: &Draft,
    resource: &dyn Resource,
    change: &Change,
    order: &Order,
    note: Option<Note>,
) -> Result<Ending, Lost> {
    let task = &draft.task;
    // The first try is noted; those that follow would find what it left.
    let mut note = note;
    let mut once = |driver: &mut Driver| match &draft.background {
        Some(job) => super::background::run(driver, draft, job, change, note.take()),
        None => driver.carry_out(draft, resource, change, note.take()),
    };
    if task.until.is_empty() && task.retries.is_none() {
        return once(driver);
    }
    let (retries, delay) = limits(draft)?;
    // Without a second try Ansible does not look at `until`.
    if retries == 0 {
        return once(driver);
    }
    let mut attempt = 1;
    loop {
        let ending = once(driver)?;
        let (held, ending) = driver.interpreter.until_holds(draft, ending, attempt)?;
        if held {
            return Ok(ending);
        }
        if attempt > retries {
            return Ok(Interpreter::exhausted(ending, retries));
        }
        announce(&driver.interpreter, draft, order, retries, attempt);
        attempt += 1;
        std::thread::sleep(delay);
    }
}

/// Tells that a try failed and another follows.
pub fn announce(interpreter: &Interpreter, draft: &Draft, order: &Order, retries: i64, attempt: i64) {
    let mut step = Box::new(draft.step(0, &interpreter.host, &interpreter.play));
    step.order = order.clone();
    interpreter.run.sink.event(&Event::Retry { step, left: retries - attempt + 1, attempt });
}

/// How often a step is tried again, and the time between.
pub fn limits(draft: &Draft) -> Result<(i64, Duration), Problem> {
    let task = &draft.task;
    let number = |node: &Option<crate::yaml::Node>| -> Result<Option<f64>, Problem> {
        let Some(node) = node else { return Ok(None) };
        let text = draft.context.text(node).map_err(|e| e.into_problem().or_at(&node.span))?;
        text.trim()
            .parse()
            .map(Some)
            .map_err(|_| Problem::new("invalid-value", format!("`{text}` is no number")).at(&node.span))
    };
    #[expect(clippy::cast_possible_truncation, reason = "a count of tries written by a person")]
    let retries = number(&task.retries)?.map_or(RETRIES, |n| n as i64).max(0);
    let delay = number(&task.delay)?.unwrap_or(DELAY).max(0.0);
    Ok((retries, Duration::from_secs_f64(delay)))
}
