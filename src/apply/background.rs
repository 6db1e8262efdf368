//! A background task that is waited for: started, then looked at every `poll` seconds.

use std::time::Duration;

use crate::node::{Done, ExecSpec, JobState, READ_JOB};
use crate::plan::{Draft, Driver, Ending, Lost, Note};
use crate::resources::background::Background;
use crate::resources::{Change, TaskResult};

/// Starts the job and, with a `poll`, waits for its end.
pub fn run(
    driver: &mut Driver,
    draft: &Draft,
    job: &Background,
    change: &Change,
    note: Option<Note>,
) -> Result<Ending, Lost> {
    let started = driver.carry_out(draft, job, change, note)?;
    let is_over = |result: &TaskResult| result.values.get("finished").is_some_and(minijinja::Value::is_true);
    match &started {
        Ending::Changed(result, _) if job.poll > 0 && !is_over(result) => {}
        _ => return Ok(started),
    }
    let ask = ExecSpec::argv(["sh", "-c", READ_JOB, "sh", job.file.as_str()]).into_action();
    let mut left = i64::try_from(job.seconds).unwrap_or(i64::MAX);
    while left > 0 {
        std::thread::sleep(Duration::from_secs(job.poll));
        left -= i64::try_from(job.poll).unwrap_or(i64::MAX);
        let dones = driver.act(draft, std::slice::from_ref(&ask))?;
        let Some(Done::Ok(output)) = dones.first() else { continue };
        let state = JobState::parse(&output.stdout, |_| "the job".to_owned());
        match state.and_then(|state| job.look(&state)) {
            Some(Ok(result)) => {
                return Ok(if result.changed {
                    Ending::Changed(result, Box::new(change.clone()))
                } else {
                    Ending::Unchanged(result)
                });
            }
            Some(Err(result)) => return Ok(Ending::Failed { result, invalid: false }),
            None => {}
        }
    }
    Ok(Ending::Failed { result: job.too_late(), invalid: false })
}
