//! Background tasks (`async`): a task's change wrapped so that the node works it off by itself, and its result taken later.
//!
//! The run remembers the jobs it started, so that `async_status` gives the very result the task would have given in the
//! foreground. Of a job that another run started only what its file tells is known.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value;

use super::{Change, ChangeKind, Resource, TaskResult, Verdict, kit};
use crate::node::{Action, Done, Job, JobState};
use crate::world::{Stop, View};

/// Actions of the control machine: Ansible refuses `async` on them.
const FOREGROUND: &[&str] = &[
    "add_host",
    "assemble",
    "assert",
    "async_status",
    "copy",
    "debug",
    "fail",
    "fetch",
    "group_by",
    "include_vars",
    "patch",
    "pause",
    "raw",
    "reboot",
    "script",
    "set_fact",
    "set_stats",
    "synchronize",
    "template",
    "unarchive",
    "validate_argument_spec",
    "wait_for_connection",
];

/// Whether a module may run in the background.
pub fn may_run_in_background(module: &str) -> bool {
    !FOREGROUND.contains(&module)
}

/// Jobs this run started, by id.
#[derive(Default)]
pub struct Jobs(Mutex<HashMap<String, Started>>);

#[derive(Clone)]
struct Started {
    resource: Arc<dyn Resource>,
    change: Change,
    /// It ended where it began: nothing was left to do on the node.
    settled: Option<Result<TaskResult, TaskResult>>,
}

impl Jobs {
    fn get(&self, id: &str) -> Option<Started> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn insert(&self, id: &str, started: Started) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), started);
    }

    /// A job's result if it needs no node to tell it.
    pub fn settled(&self, id: &str, file: &str) -> Option<Result<TaskResult, TaskResult>> {
        let result = self.get(id)?.settled?;
        let full = |r: TaskResult| with_ids(r, id, Some(file), true);
        Some(result.map(full).map_err(full))
    }

    /// The result of a job that ended, as its task would have given it.
    pub fn result(&self, id: &str, file: &str, state: &JobState) -> Result<TaskResult, TaskResult> {
        let result = if !state.complete && !state.late {
            Err(TaskResult::unchanged().with("msg", "the job is gone: it was killed, or the node was restarted"))
        } else if state.late {
            Err(TaskResult::unchanged().with("msg", "Timeout exceeded").with("child_pid", state.pid))
        } else {
            match self.get(id) {
                Some(started) => started.resource.conclude(&started.change, &state.dones),
                None => foreign(state),
            }
        };
        let full = |r: TaskResult| with_ids(timed(r, state), id, Some(file), true);
        result.map(full).map_err(full)
    }
}

/// The keys that every result of a background task has.
pub fn with_ids(result: TaskResult, id: &str, file: Option<&str>, finished: bool) -> TaskResult {
    let mut result = result.with("ansible_job_id", id).with("finished", finished).with("started", true);
    if let Some(file) = file {
        result = result.with("results_file", file);
    }
    for stream in ["stdout", "stderr"] {
        if finished && !result.values.contains_key(stream) {
            result = result.with(stream, "");
        }
    }
    result
}

/// What the file of another run's job tells.
fn foreign(state: &JobState) -> Result<TaskResult, TaskResult> {
    let mut result = TaskResult::changed();
    if let Ok(serde_json::Value::Object(known)) = serde_json::from_str(&state.known) {
        for (key, value) in known {
            match (key.as_str(), value.as_bool()) {
                ("changed", Some(changed)) => result.changed = changed,
                _ => result = result.with(&key, kit::from_json(&value)),
            }
        }
    }
    let (output, message) = match state.dones.last() {
        Some(Done::Ok(output)) => (output, None),
        Some(Done::Failed { message, output }) => (output, Some(message)),
        None => return Ok(result),
    };
    result = result
        .with("rc", output.rc)
        .with("stdout", kit::text(&output.stdout).trim_end_matches('\n'))
        .with("stderr", kit::text(&output.stderr).trim_end_matches('\n'));
    match message {
        Some(message) => Err(result.with("msg", message.as_str())),
        None if output.rc != 0 => Err(result.with("msg", "non-zero return code")),
        None => Ok(result),
    }
}

/// A command's result with the job's own times.
fn timed(result: TaskResult, state: &JobState) -> TaskResult {
    let (Some(began), Some(until), true) = (state.began, state.until, result.values.contains_key("delta")) else {
        return result;
    };
    let at = |seconds: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
        let stamp = jiff::Timestamp::from_millisecond((seconds * 1000.0) as i64).unwrap_or_default();
        stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
    };
    let took = std::time::Duration::try_from_secs_f64((until - began).max(0.0)).ok();
    kit::timed(result, took).with("start", at(began)).with("end", at(until))
}

/// A task that runs in the background.
pub struct Background {
    pub id: String,
    pub file: String,
    pub seconds: u64,
    /// Seconds between looks at it; 0: nobody waits for it.
    pub poll: u64,
    jobs: Arc<Jobs>,
    inner: Arc<dyn Resource>,
    change: Change,
    settled: Option<Result<TaskResult, TaskResult>>,
}

/// How a task asks for the background.
pub struct Request {
    /// `ansible_async_dir`, expanded.
    pub dir: String,
    pub seconds: u64,
    pub poll: u64,
}

impl Background {
    /// A verdict's change as a job of its own; `None` if it is over already and somebody waits for it.
    pub fn wrap(
        request: &Request,
        jobs: &Arc<Jobs>,
        inner: &Arc<dyn Resource>,
        verdict: &Verdict,
    ) -> Option<(Arc<Self>, Change)> {
        let random = RandomState::new().build_hasher().finish();
        let id = format!("j{}.{}", random % 1_000_000_000_000, std::process::id());
        let (change, settled) = match verdict {
            Verdict::Change(change) => (change.clone(), None),
            _ if request.poll > 0 => return None,
            Verdict::Unchanged(result) => (none(), Some(Ok(result.clone()))),
            Verdict::Failed(result) => (none(), Some(Err(result.clone()))),
            Verdict::Skipped(_) => return None,
        };
        let file = format!("{}/{id}", request.dir.trim_end_matches('/'));
        let actions = if Job::can_hold(&change.actions) {
            let mut known: serde_json::Map<String, serde_json::Value> =
                change.result.values.iter().map(|(k, v)| (k.clone(), crate::report::value_json(v))).collect();
            known.insert("changed".to_owned(), change.result.changed.into());
            vec![Action::Background(Box::new(Job {
                file: file.clone(),
                seconds: request.seconds,
                known: serde_json::Value::Object(known).to_string(),
                actions: change.actions.clone(),
            }))]
        } else {
            // What the node cannot do alone is done at once.
            change.actions.clone()
        };
        let job = Self {
            id,
            file,
            seconds: request.seconds,
            poll: request.poll,
            jobs: jobs.clone(),
            inner: inner.clone(),
            change: change.clone(),
            settled,
        };
        Some((
            Arc::new(job),
            Change { actions, opaque: true, kind: ChangeKind::Run, result: TaskResult::changed(), ..change },
        ))
    }

    /// Whether what was started is over, and how.
    pub fn look(&self, state: &JobState) -> Option<Result<TaskResult, TaskResult>> {
        state.ended.then(|| self.jobs.result(&self.id, &self.file, state))
    }

    /// Its time is over and nobody waits any longer.
    pub fn too_late(&self) -> TaskResult {
        let last = with_ids(TaskResult::unchanged(), &self.id, Some(&self.file), false);
        TaskResult::unchanged()
            .with("msg", format!("async task did not complete within the requested time - {}s", self.seconds))
            .with("async_result", Value::from_pairs(last.values))
    }
}

fn none() -> Change {
    kit::change(ChangeKind::Run, vec![], vec![])
}

impl Resource for Background {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        self.inner.reconcile(world)
    }

    /// The job was started.
    fn conclude(&self, _change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let mut settled = self.settled.clone();
        if settled.is_none() {
            if !Job::can_hold(&self.change.actions) {
                settled = Some(self.inner.conclude(&self.change, done));
            } else if let Some((message, _)) = kit::failure(done) {
                return Err(TaskResult::unchanged().with("msg", message));
            }
        }
        let started = Started { resource: self.inner.clone(), change: self.change.clone(), settled: settled.clone() };
        self.jobs.insert(&self.id, started);
        match settled {
            Some(result) if self.poll > 0 => {
                let full = |r: TaskResult| with_ids(r, &self.id, Some(&self.file), true);
                result.map(full).map_err(full)
            }
            _ => Ok(with_ids(TaskResult::changed(), &self.id, Some(&self.file), false)),
        }
    }
}
