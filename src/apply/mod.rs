//! Walking the plan: batches, hosts in parallel, failure limits.
//!
//! Stands between *plan* and *report*. [`walk`] serves both phases: with [`Phase::Plan`] every host is planned, with
//! [`Phase::Apply`] the same plays are carried out.

mod back;
mod background;
mod closing;
mod confirm;
mod declared;
mod host;
mod removals;
mod retry;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

use crate::plan::{
    Batches, Driver, End, Event, Fleet, HostState, HostSummary, Interpreter, Outcome, Place, PlayRun, Run, Step,
    in_parallel, lock,
};

pub use back::{Backs, Want, find as find_back};
pub use closing::close_ledgers;
pub use declared::{Declared, assumed};
pub use host::Applier;
pub use removals::Removal;

/// What is done with each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Plan,
    Apply,
}

/// States of hosts between plays, and from a plan to its apply.
#[derive(Default)]
pub struct States {
    hosts: Mutex<HashMap<String, HostState>>,
    /// Hosts that were in a play of this walk.
    met: Mutex<std::collections::BTreeSet<String>>,
}

impl States {
    /// Keeps what was observed for an apply that follows at once; everything foretold is dropped.
    pub fn into_start(self) -> Self {
        let hosts = self.hosts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = hosts
            .into_iter()
            .map(|(name, mut state)| {
                state.forget_predictions();
                (name, HostState { worlds: state.worlds, ..HostState::default() })
            })
            .collect();
        Self { hosts: Mutex::new(fresh), met: Mutex::default() }
    }

    /// The same, as a copy.
    pub fn start(&self) -> Self {
        let hosts = lock(&self.hosts).clone();
        Self { hosts: Mutex::new(hosts), met: Mutex::default() }.into_start()
    }

    fn take(&self, host: &str, run: &Run) -> HostState {
        let mut state = lock(&self.hosts).remove(host).unwrap_or_default();
        // Facts of an earlier run come with the host's first play.
        if state.vars.facts.is_empty() && !lock(&self.met).contains(host) {
            run.restore_facts(host, &mut state);
        }
        lock(&self.met).insert(host.to_owned());
        state
    }

    fn put(&self, host: &str, state: HostState) {
        lock(&self.hosts).insert(host.to_owned(), state);
    }
}

/// Takes every play through its batches on all hosts that are still in the run.
pub fn walk(
    run: &Arc<Run>,
    schedule: &[Batches],
    fleet: &Fleet,
    states: &States,
    phase: Phase,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut ended: HashMap<String, End> = HashMap::new();
    lock(&run.published).clear();
    run.restore_inventory();
    run.start.reset();
    run.together.reset();
    'plays: for planned in schedule {
        let renewed = match planned.renewed(run) {
            Ok(renewed) => renewed,
            Err(problem) => {
                run.warn(crate::report::plain_problem(&problem));
                None
            }
        };
        let play = renewed.as_ref().unwrap_or(planned);
        if play.batches.is_empty() {
            run.sink.event(&Event::Play { index: play.index, name: play.name.clone(), hosts: vec![] });
        }
        for (number, batch) in play.batches.iter().enumerate() {
            let hosts: Vec<String> = batch
                .batch
                .iter()
                .filter(|h| !matches!(ended.get(*h), Some(End::Failed | End::Unreachable | End::Barred)))
                .cloned()
                .collect();
            if hosts.is_empty() {
                continue;
            }
            run.sink.event(&Event::Play { index: play.index, name: batch.name.clone(), hosts: hosts.clone() });
            let gone = ended.iter().filter(|(_, end)| matches!(end, End::Failed | End::Unreachable | End::Barred));
            run.together.begin(play.index, &hosts, gone.map(|(host, _)| host.clone()).collect());
            let results = in_parallel(&hosts, &|host| {
                run.together.start_work(run.options.forks);
                let result = one_host(run, batch, number, fleet, states, phase, host, interrupted);
                run.together.end_work();
                result
            });
            let (cleared, cleared_earlier) = run.together.cleared();
            if cleared_earlier {
                ended.retain(|_, end| !matches!(end, End::Failed | End::Unreachable | End::Barred));
                for figures in outcome.hosts.values_mut() {
                    figures.forgiven = figures.failed + figures.unreachable;
                }
            }
            let mut failed = 0;
            for (host, (mut steps, end, figures)) in results {
                for step in &mut steps {
                    step.id = outcome.steps.len();
                    outcome.steps.push(step.clone());
                }
                let is_cleared = cleared.contains(&host);
                let end = if is_cleared { End::Done } else { end };
                failed += usize::from(matches!(end, End::Failed | End::Unreachable));
                ended.insert(host.clone(), end);
                let mut total = figures;
                if let Some(before) = outcome.hosts.get(&host) {
                    total.wall_ms += before.wall_ms;
                    total.forgiven = total.forgiven.max(before.forgiven);
                }
                if is_cleared {
                    total.forgiven = total.failed + total.unreachable;
                }
                outcome.hosts.insert(host, total);
            }
            if let Some(problem) = run.together.take_aborted() {
                run.sink.event(&Event::Aborted(problem));
                outcome.aborted = true;
                break 'plays;
            }
            if interrupted() {
                break 'plays;
            }
            // With `max_fail_percentage` or `any_errors_fatal` a failure may have failed every host of the batch.
            if failed == hosts.len() {
                let too_many = batch.max_fail_percentage.is_some();
                if too_many || schedule.len() > play.index + 1 || play.batches.len() > number + 1 {
                    let why = format!("stopped after play \"{}\": no hosts are left", batch.name);
                    run.sink.event(&Event::Stopped { why, too_many });
                }
                break 'plays;
            }
            if run.together.play_ended() {
                break;
            }
        }
    }
    outcome
}

#[expect(clippy::too_many_arguments, reason = "all of them are the run's, none belongs together")]
fn one_host(
    run: &Arc<Run>,
    play: &Arc<PlayRun>,
    batch: usize,
    fleet: &Fleet,
    states: &States,
    phase: Phase,
    host: &str,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> (Vec<Step>, End, HostSummary) {
    let start = Instant::now();
    let mut state = states.take(host, run);
    let interpreter = Interpreter::new(run, play, host, phase == Phase::Plan);
    interpreter.begin(&mut state);
    let mut driver = Driver { interpreter, fleet };
    let (mut steps, state) = match phase {
        Phase::Plan => driver.plan(state),
        Phase::Apply => Applier::new(driver, interrupted).apply(state),
    };
    for step in &mut steps {
        step.batch = batch;
    }
    let end = state.end;
    run.publish(host, &state.vars, state.given);
    if phase == Phase::Apply {
        run.keep_facts(host, &state.vars);
    }
    run.together.arrive(
        host,
        Place {
            play: play.index,
            ended: true,
            failed: matches!(end, End::Failed | End::Unreachable),
            ..Place::default()
        },
    );
    let traffic = fleet.traffic_of_host(host);
    let figures = HostSummary {
        round_trips: traffic.round_trips,
        processes: traffic.processes,
        connect_ms: traffic.connect.as_secs_f64() * 1000.0,
        wall_ms: start.elapsed().as_secs_f64() * 1000.0,
        ..state.counts.clone()
    };
    states.put(host, state);
    run.sink.event(&Event::HostDone { host: host.to_owned() });
    (steps, end, figures)
}
