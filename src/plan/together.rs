//! What hosts wait for in each other: edges of the graph that cross hosts.
//!
//! Hosts run independently. A host waits only where the outcome of Ansible's linear strategy depends on it: it reads
//! another host's variables (hostvars), a task runs once for the batch, or any failure is to stop all.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Condvar, Mutex};

use minijinja::Value;

use super::run::lock;

/// How far a host is in a play: the `next` of each open frame, outermost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub play: usize,
    pub position: Vec<usize>,
    /// Nothing more of this play runs on it.
    pub ended: bool,
    /// It failed or was lost.
    pub failed: bool,
}

impl Place {
    /// Orders places by what was run before them. Frames are a stack over what comes later: where one path continues the
    /// other, the longer one is still inside and thus earlier.
    fn order(&self, other: &Self) -> Ordering {
        self.play.cmp(&other.play).then_with(|| {
            // A host that has not begun yet is before everything.
            let waits = |place: &Self| place.position.is_empty() && !place.ended;
            match (waits(self), waits(other)) {
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                _ => {}
            }
            for (a, b) in self.position.iter().zip(&other.position) {
                match a.cmp(b) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            other.position.len().cmp(&self.position.len())
        })
    }

    fn has_reached(&self, other: &Self) -> bool {
        self.ended || self.order(other) != Ordering::Less
    }
}

/// Result of a `run_once` task, for the other hosts of the batch.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Variables that were set (register, set_fact) and facts.
    pub set: Vec<(String, Value)>,
    pub facts: Vec<(String, Value)>,
    pub failed: bool,
    /// What a `meta` task did to all hosts.
    pub meta: Option<ForAll>,
}

/// A `meta` task's effect on every host of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForAll {
    End,
    ClearFacts,
    Nothing,
}

/// Names one visit of a task by the batch: file, offset, and how often the host came there before.
pub type OnceKey = (String, usize, usize);

#[derive(Default)]
struct State {
    places: HashMap<String, Place>,
    once: BTreeMap<OnceKey, Option<Shared>>,
    /// What tasks set for other hosts, in order: each takes up what it did not yet.
    given: HashMap<String, Vec<Given>>,
    /// Hosts that work at the moment.
    working: usize,
    /// Tasks that failed somewhere with `any_errors_fatal`.
    fatal: BTreeSet<OnceKey>,
    /// The task that each failed host failed at, and where.
    failed_at: HashMap<String, OnceKey>,
    failed_place: HashMap<String, Place>,
    /// Where hosts left the play of themselves (`meta: end_host`).
    left_place: HashMap<String, Place>,
    /// Hosts that are out of the run since earlier plays.
    gone: BTreeSet<String>,
    /// `meta: end_play`: no further batch of the play runs.
    play_ended: bool,
    /// `meta: clear_host_errors`: these hosts, and all that failed in earlier plays, take part again.
    cleared: BTreeSet<String>,
    cleared_earlier: bool,
    /// Hosts at work on a task with `throttle`.
    throttled: HashMap<(String, usize), usize>,
    /// The whole run ends because of this.
    aborted: Option<crate::problem::Problem>,
}

/// Variables, or facts, that another host's task set for a host.
#[derive(Debug, Clone)]
pub enum Given {
    Variables(Vec<(String, Value)>),
    Facts(Vec<(String, Value)>),
}

/// The meeting place of a batch's hosts.
#[derive(Default)]
pub struct Together {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a host that comes to a `run_once` task is to do.
pub enum Once {
    /// Run it, and tell the others with [`Together::tell`].
    Run,
    /// Another host ran it.
    Told(Shared),
    /// Another host will; not waited for, since this evaluation is speculative.
    Later,
}

impl Together {
    /// A batch begins: everybody is at the start of the play.
    pub fn begin(&self, play: usize, hosts: &[String], gone: BTreeSet<String>) {
        let mut state = lock(&self.state);
        state.gone = gone;
        state.failed_place.clear();
        state.left_place.clear();
        state.places.clear();
        state.once.clear();
        state.fatal.clear();
        state.failed_at.clear();
        state.play_ended = false;
        state.cleared.clear();
        state.cleared_earlier = false;
        for host in hosts {
            state.places.insert(host.clone(), Place { play, ..Place::default() });
        }
    }

    /// Waits for one of `limit` permits to work.
    pub fn start_work(&self, limit: usize) {
        let begin = std::time::Instant::now();
        let mut state = lock(&self.state);
        while state.working >= limit.max(1) {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.working += 1;
        drop(state);
        note_wait("a free fork (--forks)", begin.elapsed());
    }

    pub fn end_work(&self) {
        lock(&self.state).working -= 1;
        self.changed.notify_all();
    }

    /// Tells where a host is.
    pub fn arrive(&self, host: &str, place: Place) {
        let mut state = lock(&self.state);
        if state.places.get(host) != Some(&place) {
            state.places.insert(host.to_owned(), place);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits until `held`; gives the permit back meanwhile, so that those it waits for can work.
    fn wait<T>(&self, limit: usize, what: &str, mut held: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = lock(&self.state);
        if let Some(found) = held(&mut state) {
            return found;
        }
        let begin = std::time::Instant::now();
        state.working -= 1;
        self.changed.notify_all();
        let found = loop {
            if let Some(found) = held(&mut state) {
                break found;
            }
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        };
        while state.working >= limit.max(1) {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.working += 1;
        drop(state);
        note_wait(what, begin.elapsed());
        found
    }

    /// Waits until `other` has done everything that comes before `place`. False if it was not there and `speculative`.
    pub fn await_host(&self, other: &str, place: &Place, speculative: bool, limit: usize) -> bool {
        if speculative {
            return lock(&self.state).places.get(other).is_none_or(|p| p.has_reached(place));
        }
        self.wait(limit, &format!("host {other}"), |state| {
            state.places.get(other).is_none_or(|p| p.has_reached(place)).then_some(())
        });
        true
    }

    /// Waits until all hosts of the batch have done everything before `place`, where the task of `key` is next: the tasks that failed for
    /// all, and how many hosts failed. Who is quicker and failed at that very task is not counted yet: this host runs it too.
    pub fn await_all(&self, place: &Place, key: Option<&OnceKey>, limit: usize) -> (BTreeSet<OnceKey>, usize) {
        self.wait(limit, "all hosts to come here", |state| {
            if !state.places.values().all(|p| p.has_reached(place)) {
                return None;
            }
            let fatal = state.fatal.iter().filter(|k| Some(*k) != key).cloned().collect();
            let counts =
                |(host, p): &(&String, &Place)| p.failed && state.failed_at.get(*host).is_none_or(|k| Some(k) != key);
            Some((fatal, state.places.iter().filter(counts).count()))
        })
    }

    /// Where a host failed.
    pub fn fails_at(&self, host: &str, key: OnceKey, place: Place) {
        let mut state = lock(&self.state);
        state.failed_at.insert(host.to_owned(), key);
        state.failed_place.insert(host.to_owned(), place);
    }

    /// Where a host leaves the play though it did not fail.
    pub fn leaves_at(&self, host: &str, place: Place) {
        lock(&self.state).left_place.insert(host.to_owned(), place);
    }

    /// Hosts that failed or left before the reader's place; they are waited for. `None`: not all are there yet, and the reader only
    /// looks ahead.
    pub fn gone(&self, reader: &Reader, limit: usize) -> Option<BTreeSet<String>> {
        let look = |state: &mut State| -> Option<BTreeSet<String>> {
            if !state.places.values().all(|p| p.has_reached(&reader.place)) {
                return None;
            }
            let before = |place: &Place| place.order(&reader.place) == Ordering::Less;
            let failed = state
                .failed_place
                .iter()
                .filter(|(host, place)| before(place) && state.places.get(*host).is_some_and(|p| p.failed));
            let left = state.left_place.iter().filter(|(_, place)| before(place));
            let now = failed.chain(left).map(|(host, _)| host.clone());
            Some(state.gone.iter().cloned().chain(now).collect())
        };
        if reader.speculative {
            return look(&mut lock(&self.state));
        }
        Some(self.wait(limit, "all hosts to come here", look))
    }

    /// A task failed, and that is a failure of all hosts.
    pub fn set_fatal(&self, key: OnceKey) {
        lock(&self.state).fatal.insert(key);
        self.changed.notify_all();
    }

    /// No further batch of the play runs.
    pub fn end_play(&self) {
        lock(&self.state).play_ended = true;
    }

    pub fn play_ended(&self) -> bool {
        lock(&self.state).play_ended
    }

    /// The whole run ends: an error in the files that no host can go on from. The first one is told.
    pub fn abort(&self, problem: crate::problem::Problem) {
        lock(&self.state).aborted.get_or_insert(problem);
        self.changed.notify_all();
    }

    pub fn is_aborted(&self) -> bool {
        lock(&self.state).aborted.is_some()
    }

    /// Why the run ended, for whoever tells it.
    pub fn take_aborted(&self) -> Option<crate::problem::Problem> {
        lock(&self.state).aborted.take()
    }

    /// Hosts that failed so far take part in later plays.
    pub fn clear_errors(&self, place: &Place, limit: usize) {
        self.wait(limit, "all hosts to come here", |state| {
            state.places.values().all(|p| p.has_reached(place)).then_some(())
        });
        let mut state = lock(&self.state);
        let failed: Vec<String> = state.places.iter().filter(|(_, p)| p.failed).map(|(h, _)| h.clone()).collect();
        state.cleared.extend(failed);
        state.cleared_earlier = true;
    }

    /// Hosts whose errors were cleared, and whether those of earlier plays were.
    pub fn cleared(&self) -> (BTreeSet<String>, bool) {
        let state = lock(&self.state);
        (state.cleared.clone(), state.cleared_earlier)
    }

    /// Waits until fewer than `most` hosts are at work on a task.
    pub fn start_throttled(&self, task: &(String, usize), most: usize, limit: usize) {
        self.wait(limit, "its turn (throttle)", |state| {
            let count = state.throttled.entry(task.clone()).or_insert(0);
            (*count < most).then(|| *count += 1)
        });
    }

    pub fn end_throttled(&self, task: &(String, usize)) {
        if let Some(count) = lock(&self.state).throttled.get_mut(task) {
            *count = count.saturating_sub(1);
        }
        self.changed.notify_all();
    }

    /// A host comes to a task that runs once. The first host of the batch that is still in the play runs it.
    pub fn once(&self, key: &OnceKey, reader: &Reader, batch: &[String], limit: usize) -> Once {
        let look = |state: &mut State| -> Option<Once> {
            if let Some(Some(shared)) = state.once.get(key) {
                return Some(Once::Told(shared.clone()));
            }
            // One that is past this place without telling never came here: its includes were others.
            let leader = batch.iter().find(|h| {
                **h == reader.host
                    || state.places.get(*h).is_some_and(|p| !p.ended && p.order(&reader.place) != Ordering::Greater)
            });
            if leader.is_none_or(|l| *l == reader.host) {
                return Some(Once::Run);
            }
            None
        };
        if reader.speculative {
            return look(&mut lock(&self.state)).unwrap_or(Once::Later);
        }
        self.wait(limit, "the host that runs it once for all", look)
    }

    /// The result of a `run_once` task, for the others.
    pub fn tell(&self, key: OnceKey, shared: Shared) {
        lock(&self.state).once.insert(key, Some(shared));
        self.changed.notify_all();
    }

    /// What another host's task sets for `host` (`delegate_facts`).
    pub fn give(&self, host: &str, given: Given) {
        lock(&self.state).given.entry(host.to_owned()).or_default().push(given);
    }

    /// What others gave to `host`, without the first `taken`.
    pub fn given(&self, host: &str, taken: usize) -> Vec<Given> {
        lock(&self.state).given.get(host).map(|all| all[taken.min(all.len())..].to_vec()).unwrap_or_default()
    }

    /// A walk through the plays begins: nothing was given yet.
    pub fn reset(&self) {
        lock(&self.state).given.clear();
    }
}

/// Who evaluates on this thread, for hostvars to know whom to wait for.
#[derive(Debug, Clone)]
pub struct Reader {
    pub host: String,
    pub place: Place,
    pub speculative: bool,
}

thread_local! {
    static WAITED: RefCell<Vec<(String, f64)>> = const { RefCell::new(vec![]) };
}

/// The host of this thread waited.
pub fn note_wait(what: &str, time: std::time::Duration) {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 1.0 {
        return;
    }
    WAITED.with(|waited| {
        let mut waited = waited.borrow_mut();
        match waited.iter_mut().find(|(w, _)| w == what) {
            Some((_, sum)) => *sum += ms,
            None => waited.push((what.to_owned(), ms)),
        }
    });
}

/// What the host of this thread waited for since this was last asked.
pub fn take_waits() -> Vec<(String, f64)> {
    WAITED.with(|waited| std::mem::take(&mut *waited.borrow_mut()))
}

thread_local! {
    static READER: RefCell<Option<Reader>> = const { RefCell::new(None) };
}

/// Says who evaluates on this thread from now on.
pub fn read_as(reader: Reader) {
    READER.with(|r| *r.borrow_mut() = Some(reader));
}

/// Who evaluates on this thread.
pub fn reader() -> Option<Reader> {
    READER.with(|r| r.borrow().clone())
}
