//! Events of hosts that run independently, put in the order of a linear run.
//!
//! What belongs to a task is held back until every host has come at least that far; then it is shown as it comes. The engine
//! never waits for this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;

use crate::plan::{Event, HostSummary, Order, Outcome, Sink, Step, lock};

use super::Form;
use super::screen::{Color, Screen};

pub struct Linear {
    state: Mutex<State>,
    screen: Arc<Screen>,
}

struct State {
    form: Box<dyn Form>,
    hosts: IndexMap<String, Host>,
    tasks: BTreeMap<Key, Task>,
    /// What was said already.
    said: std::collections::BTreeSet<String>,
}

/// A host may come to a place again (a handler that is notified by a later one): that counts as another round.
type Place = (usize, Order);
/// A place, and the task itself: hosts may include different files at one place.
type Key = (Place, String, usize);

#[derive(Default)]
struct Host {
    round: usize,
    at: Option<Order>,
    done: bool,
}

impl Host {
    /// Takes it to a place.
    fn reach(&mut self, order: &Order) -> Place {
        if self.at.as_ref().is_some_and(|at| order < at) {
            self.round += 1;
        }
        self.at = Some(order.clone());
        (self.round, order.clone())
    }

    fn has_reached(&self, place: &Place) -> bool {
        self.done || self.at.as_ref().is_some_and(|at| (self.round, at) >= (place.0, &place.1))
    }

    fn is_past(&self, place: &Place) -> bool {
        self.done || self.at.as_ref().is_some_and(|at| (self.round, at) > (place.0, &place.1))
    }
}

enum Entry {
    Step(Box<Step>),
    Retry { host: String, task: String, left: i64 },
}

impl Entry {
    fn host(&self) -> &str {
        match self {
            Self::Step(step) => &step.host,
            Self::Retry { host, .. } => host,
        }
    }
}

#[derive(Default)]
struct Task {
    head: Option<Box<Step>>,
    open: bool,
    waiting: std::collections::VecDeque<Entry>,
    shown: Vec<Step>,
    /// Hosts whose loop over the task was told to be over.
    closed: std::collections::BTreeSet<String>,
}

impl Linear {
    pub fn new(form: Box<dyn Form>, screen: Arc<Screen>) -> Self {
        let state =
            State { form, hosts: IndexMap::new(), tasks: BTreeMap::new(), said: std::collections::BTreeSet::new() };
        Self { state: Mutex::new(state), screen }
    }

    pub fn preface(&self, text: &str) {
        self.screen.line(text, Color::Verbose);
    }

    pub fn playbook(&self, name: &str, plays: usize) {
        self.screen.banner(&format!("PLAYBOOK: {name}"));
        self.screen.line(&format!("{plays} plays in {name}"), Color::Verbose);
    }

    pub fn banner(&self, text: &str) {
        self.screen.banner(text);
    }

    /// Whatever is held back.
    pub fn flush(&self) {
        lock(&self.state).end_play();
    }

    pub fn recap(&self, outcome: &Outcome) {
        let mut state = lock(&self.state);
        state.end_play();
        // A host of which nothing was told is left out.
        let told = |f: &HostSummary| f.ok + f.failed + f.unreachable + f.skipped + f.rescued + f.ignored > 0;
        let hosts = outcome.hosts.iter().filter(|(_, f)| told(f)).map(|(h, f)| (h.clone(), f.clone())).collect();
        state.form.recap(&hosts);
    }
}

impl Sink for Linear {
    fn event(&self, event: &Event) {
        let mut state = lock(&self.state);
        match event {
            Event::Play { name, hosts, .. } => {
                state.end_play();
                state.form.play(name, hosts);
                state.hosts = hosts.iter().map(|h| (h.clone(), Host::default())).collect();
            }
            Event::Reached { host, order } => {
                if let Some(host) = state.hosts.get_mut(host) {
                    host.reach(order);
                }
            }
            Event::Started(step) => {
                state.task(step);
            }
            Event::Ended(step) => {
                state.task(step).waiting.push_back(Entry::Step(step.clone()));
            }
            Event::Retry { step, left, .. } => {
                let (host, task, left) = (step.host.clone(), step.label(), *left);
                state.task(step).waiting.push_back(Entry::Retry { host, task, left });
            }
            Event::HostDone { host } => {
                if let Some(host) = state.hosts.get_mut(host) {
                    host.done = true;
                }
            }
            Event::Stopped { too_many, .. } => {
                state.drain(true);
                if *too_many {
                    state.form.no_hosts_left();
                }
            }
            Event::Aborted(problem) => {
                state.drain(true);
                self.screen.error(&format!("[ERROR]: {}", crate::report::plain_problem(problem)), Color::Error);
            }
            Event::Warning(text) => {
                if state.said.insert(text.clone()) {
                    self.screen.error(&format!("[WARNING]: {text}"), Color::Warn);
                }
            }
            Event::Deprecation(text) => {
                if state.said.insert(text.clone()) {
                    self.screen.error(&format!("[DEPRECATION WARNING]: {text}"), Color::Deprecate);
                }
            }
            // The step that needed the node tells it.
            Event::Unreachable { .. } | Event::Observing { .. } | Event::Planned(_) => {}
        }
        state.drain(false);
    }
}

impl State {
    /// The task of a step, made when it is first told of.
    fn task(&mut self, step: &Step) -> &mut Task {
        let place = match self.hosts.get_mut(&step.host) {
            Some(host) => host.reach(&step.order),
            None => (0, step.order.clone()),
        };
        let key = (place, step.span.file.path.display().to_string(), step.span.start);
        let task = self.tasks.entry(key).or_default();
        task.head.get_or_insert_with(|| Box::new(step.clone()));
        task
    }

    /// Shows what can be shown.
    fn drain(&mut self, all: bool) {
        while let Some(mut entry) = self.tasks.first_entry() {
            let place = entry.key().0.clone();
            let task = entry.get_mut();
            if !all && !task.open && !self.hosts.values().all(|h| h.has_reached(&place)) {
                return;
            }
            if !task.open {
                task.open = true;
                if let Some(head) = &task.head {
                    self.form.task(head);
                }
            }
            // Of what is there already, hosts are shown in their order.
            task.waiting.make_contiguous().sort_by_key(|e| self.hosts.get_index_of(e.host()));
            while let Some(next) = task.waiting.pop_front() {
                match next {
                    Entry::Step(step) => {
                        self.form.step(&step);
                        task.shown.push(*step);
                    }
                    Entry::Retry { host, task, left } => self.form.retry(&host, &task, left),
                }
            }
            let over = |host: &String| all || self.hosts.get(host).is_none_or(|h| h.is_past(&place));
            close_loops(&mut *self.form, task, &over);
            if !all && !self.hosts.values().all(|h| h.is_past(&place)) {
                return;
            }
            let (_, mut task) = entry.remove_entry();
            task.shown.sort_by_key(|s| self.hosts.get_index_of(&s.host));
            self.form.task_end(&task.shown);
        }
    }

    fn end_play(&mut self) {
        self.drain(true);
        self.hosts.clear();
    }
}

/// Tells the loops that are over on their hosts.
fn close_loops(form: &mut dyn Form, task: &mut Task, over: &dyn Fn(&String) -> bool) {
    let mut hosts: Vec<&String> = vec![];
    for step in task.shown.iter().filter(|s| s.item.is_some()) {
        if !task.closed.contains(&step.host) && !hosts.contains(&&step.host) && over(&step.host) {
            hosts.push(&step.host);
        }
    }
    let hosts: Vec<String> = hosts.into_iter().cloned().collect();
    for host in hosts {
        let items: Vec<&Step> = task.shown.iter().filter(|s| s.host == host && s.item.is_some()).collect();
        form.loop_end(&items);
        task.closed.insert(host);
    }
}
