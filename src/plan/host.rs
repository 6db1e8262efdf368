//! Planning one host: suspend, ask, resume.
//!
//! The play is evaluated until a step needs an answer; from there on evaluation is speculative and only gathers
//! further queries. They go out as one batch, and evaluation resumes at the step that first had to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::basis::Thing;
use super::cloud::{Cloud, leaves_all, may_change, place_of};
use super::fleet::Fleet;
use super::interpreter::Interpreter;
use super::run::lock;
use super::state::{End, HostState};
use super::step::{Event, Status, Step};
use super::together::{ForAll, note_wait};
use super::turn::{Draft, Ending, Request, Turn};
use crate::node::{Action, Done, Identity, NodeError};
use crate::problem::Problem;
use crate::resources::{Change, Resource, TaskResult};
use crate::template::Unknown;
use crate::world::Query;

/// Queries by target and identity.
#[derive(Default)]
pub struct Wanted {
    batches: BTreeMap<(String, String), (Identity, BTreeSet<Query>)>,
}

impl Wanted {
    pub fn add(&mut self, target: &str, identity: &Identity, queries: BTreeSet<Query>) {
        self.batches
            .entry((target.to_owned(), identity.key()))
            .or_insert_with(|| (identity.clone(), BTreeSet::new()))
            .1
            .extend(queries);
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// From here on a step that fails for what is not on the node may yet find it there.
fn cloud(st: &mut HostState, draft: &Draft) {
    if leaves_all(draft) {
        return;
    }
    let unknown = Unknown::after_step(draft.name.clone());
    st.unsure |= place_of(draft).is_none();
    st.clouded = Some(st.clouded.take().map_or(unknown.clone(), |before| before.merge(&unknown)));
}

/// Notes what a planned step may have changed beyond what is foretold; the paths it may make.
fn leave_unclear(st: &mut HostState, draft: &Draft, change: Option<&Change>) -> Vec<Thing> {
    let Some(cloud) = Cloud::of(draft, change, st.seq) else { return vec![] };
    let paths = cloud.paths().iter().cloned().map(Thing::Path).collect();
    Arc::make_mut(&mut st.clouds).push(cloud);
    paths
}

/// What both drivers (plan and apply) share for one host.
pub struct Driver<'a> {
    pub interpreter: Interpreter,
    pub fleet: &'a Fleet,
}

/// A node that could not be talked to.
pub struct Lost {
    pub unreachable: bool,
    pub message: String,
    pub help: Vec<String>,
}

impl From<NodeError> for Lost {
    fn from(error: NodeError) -> Self {
        let message = error.to_string();
        match error {
            NodeError::Unreachable { help, .. } => Self { unreachable: true, message, help },
            NodeError::Refused { help, .. } => Self { unreachable: false, message, help },
            NodeError::Timeout { .. } => Self { unreachable: true, message, help: vec![] },
        }
    }
}

impl From<Problem> for Lost {
    fn from(problem: Problem) -> Self {
        Self { unreachable: false, message: problem.to_string(), help: problem.help }
    }
}

impl Driver<'_> {
    /// Plans the play on this host from a state; the steps, and the state after them.
    pub fn plan(&mut self, mut st: HostState) -> (Vec<Step>, HostState) {
        let mut steps = vec![];
        loop {
            match self.pass(&mut st, &mut steps) {
                Pass::Finished => return (steps, st),
                Pass::Ask(wanted) => {
                    if let Err(lost) = self.ask(&mut st, &wanted) {
                        steps.push(self.lost(&mut st, &lost));
                        if st.end != End::Running {
                            return (steps, st);
                        }
                    }
                }
            }
        }
    }

    /// Evaluates as far as possible. `st` ends up where the next pass must go on.
    fn pass(&mut self, st: &mut HostState, steps: &mut Vec<Step>) -> Pass {
        let mut wanted = Wanted::default();
        // Where to resume: before the first step that had to wait.
        let mut resume: Option<HostState> = None;
        let mut run_first = false;
        loop {
            st.speculative = resume.is_some();
            if !st.speculative {
                let interpreter = &self.interpreter;
                interpreter.run.together.arrive(&interpreter.host, interpreter.place(st));
                interpreter.meet(st);
            }
            let before = st.clone();
            match self.interpreter.turn(st) {
                Turn::End => break,
                Turn::Quiet => {}
                Turn::Done(step) => {
                    if resume.is_none() {
                        if step.status == Status::Failed && !step.ignored && !step.rescued {
                            self.tell_made_later(before, &step);
                        }
                        steps.push(*step);
                        self.interpreter.run.publish(&self.interpreter.host, &st.vars, st.given);
                    } else if step.status == Status::Failed {
                        // It may fail only for want of an answer.
                        *st = before;
                        self.interpreter.postpone_current(st);
                    }
                }
                Turn::Hello { target, identity } => {
                    *st = before;
                    if let Err(lost) = self.hello(&target, &identity) {
                        if let Some(resume) = resume {
                            *st = resume;
                        }
                        steps.push(self.lost(st, &lost));
                        return self.after_loss(st);
                    }
                }
                Turn::Needs { target, identity, queries, draft } => {
                    wanted.add(&target, &identity, queries);
                    resume.get_or_insert(before);
                    self.interpreter.postpone(st, &draft);
                }
                Turn::Blocked { unknown, draft } => {
                    if unknown.is_pending() || resume.is_some() {
                        resume.get_or_insert(before);
                        self.interpreter.postpone(st, &draft);
                    } else {
                        if may_change(&draft) {
                            cloud(st, &draft);
                        }
                        let reached = leave_unclear(st, &draft, None);
                        let mut step = self.interpreter.settle(st, &draft, Ending::Unknown(unknown));
                        step.basis.makes.extend(reached);
                        steps.push(step);
                    }
                }
                Turn::Act { draft, resource, change } => {
                    // What only looks does so against the node as it is: not after steps of which it is not known what they do.
                    let looks = resource.only_looks_in_check_mode() && st.clouded.is_none();
                    let really = draft.check_mode == Some(false) || looks;
                    if resume.is_some() {
                        if really && change.opaque {
                            self.interpreter.postpone(st, &draft);
                        } else {
                            self.interpreter.settle(st, &draft, Ending::Foretold(change));
                        }
                        run_first |= really;
                    } else if really {
                        // `check_mode: false`: the task says that it may run in a plan.
                        match self.carry_out(&draft, &*resource, &change, None) {
                            Ok(ending) => {
                                let mut step = self.interpreter.settle(st, &draft, ending);
                                step.because.get_or_insert_with(|| match looks {
                                    true => "ran in the plan: the program supports check mode".to_owned(),
                                    false => "ran in the plan: check_mode is false".to_owned(),
                                });
                                steps.push(step);
                            }
                            Err(lost) => {
                                *st = before;
                                steps.push(self.lost(st, &lost));
                                return self.after_loss(st);
                            }
                        }
                    } else {
                        if change.opaque {
                            cloud(st, &draft);
                        }
                        let reached = leave_unclear(st, &draft, Some(&change));
                        let mut step = self.interpreter.settle(st, &draft, Ending::Foretold(change));
                        step.basis.makes.extend(reached);
                        steps.push(step);
                        self.interpreter.run.publish(&self.interpreter.host, &st.vars, st.given);
                    }
                }
                Turn::Engine { draft, request } => self.request(st, &draft, &request),
                // Only an apply tries again.
                Turn::Again { draft, ending } => steps.push(self.interpreter.settle(st, &draft, ending)),
                Turn::Broken(problem) => {
                    if let Some(resume) = resume.take() {
                        // Perhaps only for want of an answer: ask first, and look again.
                        if !wanted.is_empty() {
                            *st = resume;
                            return Pass::Ask(wanted);
                        }
                    }
                    *st = before;
                    steps.push(self.broken(st, &problem));
                    return Pass::Finished;
                }
            }
        }
        match resume {
            None => Pass::Finished,
            Some(resume) => {
                *st = resume;
                st.speculative = false;
                if wanted.is_empty() && !run_first {
                    let problem =
                        Problem::new("no-progress", "the plan of this task waits for nothing that can be asked");
                    steps.push(self.broken(st, &problem));
                    return Pass::Finished;
                }
                Pass::Ask(wanted)
            }
        }
    }

    /// A host whose loss is ignored goes on.
    fn after_loss(&self, st: &HostState) -> Pass {
        if st.end == End::Running { Pass::Ask(Wanted::default()) } else { Pass::Finished }
    }

    /// The first exchange with a target as an identity.
    pub fn hello(&mut self, target: &str, identity: &Identity) -> Result<(), Lost> {
        let interpreter = &mut self.interpreter;
        interpreter.run.sink.event(&Event::Observing { host: interpreter.host.clone() });
        let begin = std::time::Instant::now();
        let mut tries = 0;
        let hello = loop {
            let conversation = self.fleet.conversation(&interpreter.run, &interpreter.play, target)?;
            let hello = lock(&conversation).hello(identity);
            match hello {
                Ok(hello) => break hello,
                Err(error @ NodeError::Unreachable { .. }) => {
                    if tries >= self.fleet.retries(&interpreter.run, &interpreter.play, target) {
                        return Err(error.into());
                    }
                    self.fleet.drop_connection(target);
                    std::thread::sleep(retry_pause(tries));
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        note_wait("the connection", begin.elapsed());
        let own = super::fleet::target_name(target) == interpreter.host;
        if interpreter.run.options.recording.as_ref().is_some_and(|r| own && !r.lock_late) {
            self.take_lock(target, identity)?;
        }
        let interpreter = &mut self.interpreter;
        interpreter.hellos.insert((target.to_owned(), identity.key()), hello);
        Ok(())
    }

    /// Asks what is wanted, one round trip per target and identity, and enters the answers.
    pub fn ask(&mut self, st: &mut HostState, wanted: &Wanted) -> Result<(), Lost> {
        for ((target, key), (identity, queries)) in &wanted.batches {
            let conversation = self.fleet.conversation(&self.interpreter.run, &self.interpreter.play, target)?;
            let mut queries: Vec<Query> = queries.iter().cloned().collect();
            let interpreter = &self.interpreter;
            let begin = std::time::Instant::now();
            let mut node = lock(&conversation);
            // What the node owes from earlier runs is asked along with the first questions; a run that locks it knows already.
            let book = (target.clone(), key.clone());
            let asks_debts = interpreter.run.options.recording.is_none()
                && !self.fleet.is_saved()
                && super::fleet::target_name(target) == interpreter.host
                && interpreter.run.debts.asks(&book);
            if asks_debts {
                queries.push(super::record::debts_query(&node.state_dir(identity)?));
            }
            let mut answers = node.ask(identity, &queries)?;
            drop(node);
            note_wait("the node's answers", begin.elapsed());
            if asks_debts {
                queries.pop();
                if let Some(crate::world::Answer::Output(output)) = answers.pop() {
                    interpreter.run.debts.learn(&interpreter.host, &String::from_utf8_lossy(&output.stdout));
                }
            }
            st.world(target, key).observe(queries.into_iter().zip(answers));
        }
        Ok(())
    }

    /// Carries a change out and lets its resource conclude.
    ///
    /// `note`: what the ledger is told before.
    pub fn carry_out(
        &mut self,
        draft: &Draft,
        resource: &dyn Resource,
        change: &Change,
        note: Option<super::record::Note>,
    ) -> Result<Ending, Lost> {
        let start = std::time::Instant::now();
        let limited = (draft.timeout > 0).then(|| within(&change.actions, draft.timeout));
        let actions = limited.as_deref().unwrap_or(&change.actions);
        let noting = self.interpreter.noting(&draft.target, &draft.identity, note);
        let noted = noting.len();
        let dones = if noted == 0 {
            self.act(draft, actions)?
        } else {
            let all: Vec<Action> = noting.into_iter().chain(actions.iter().cloned()).collect();
            Self::without_note(noted, self.act(draft, &all)?)
        };
        let took = start.elapsed();
        let late = |done: &Done| matches!(done, Done::Failed { output, .. } if output.rc == 124);
        if draft.timeout > 0 && (took.as_secs() >= draft.timeout || dones.last().is_some_and(late)) {
            let seconds = draft.timeout;
            let result = TaskResult::unchanged()
                .with("msg", format!("Timed out after {seconds} second(s)."))
                .with("timedout", minijinja::Value::from_pairs([("period".to_owned(), seconds)]));
            return Ok(Ending::Failed { result, invalid: false });
        }
        // A command's result tells when it ran and for how long.
        let of_a_job = draft.background.is_some() || draft.module.is_some_and(|m| m.name == "async_status");
        let timed = |result: TaskResult| match result.values.get("delta").and_then(|d| d.as_str()) {
            Some(_) if !of_a_job => crate::resources::timed(result, Some(took)),
            _ => result,
        };
        Ok(match conclude(resource, change, &dones) {
            Ending::Changed(result, change) => Ending::Changed(timed(result), change),
            Ending::Failed { result, invalid } => Ending::Failed { result: timed(result), invalid },
            other => other,
        })
    }

    /// Sends actions for a step.
    pub fn act(&mut self, draft: &Draft, actions: &[Action]) -> Result<Vec<Done>, Lost> {
        if actions.is_empty() {
            return Ok(vec![]);
        }
        self.exchange(&draft.target, &draft.identity, actions, &mut |_, _| {})
    }

    /// Sends actions to a target.
    pub fn exchange(
        &mut self,
        target: &str,
        identity: &Identity,
        actions: &[Action],
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, Lost> {
        let own = super::fleet::target_name(target) == self.interpreter.host;
        if self.interpreter.run.options.recording.as_ref().is_some_and(|r| !own || r.lock_late) {
            self.take_lock(target, identity)?;
        }
        let conversation = self.fleet.conversation(&self.interpreter.run, &self.interpreter.play, target)?;
        Ok(lock(&conversation).act(identity, actions, ended)?)
    }

    /// What a `meta` task asks of the engine.
    pub fn request(&mut self, st: &mut HostState, draft: &Draft, request: &Request) {
        let interpreter = &self.interpreter;
        match request {
            Request::ClearFacts => interpreter.clear_facts(st),
            Request::ResetConnection => {
                self.fleet.drop_connection(&draft.target);
                self.interpreter.hellos.retain(|(target, _), _| *target != draft.target);
            }
            Request::ClearHostErrors => {
                let run = &interpreter.run;
                run.together.clear_errors(&interpreter.place(st), run.options.forks);
                interpreter.tell_meta(st, draft, ForAll::Nothing);
            }
            Request::RefreshInventory => {
                if let Err(problems) = interpreter.run.refresh_inventory() {
                    interpreter.run.warn(format!("the inventory could not be read anew: {problems}"));
                }
                interpreter.tell_meta(st, draft, ForAll::Nothing);
            }
        }
        self.interpreter.advance(st);
    }

    /// The node is lost: the step that needed it ends the host.
    pub fn lost(&self, st: &mut HostState, lost: &Lost) -> Step {
        let interpreter = &self.interpreter;
        let told = Event::Unreachable {
            host: interpreter.host.clone(),
            message: lost.message.clone(),
            help: lost.help.clone(),
        };
        if lost.unreachable {
            interpreter.open_loop(st);
        }
        if lost.unreachable
            && let Some(draft) = interpreter.current_draft(st)
        {
            // What was asked of it is forgotten with its connection.
            self.fleet.drop_connection(&draft.target);
            let in_loop = st.loop_state.is_some();
            if in_loop && !draft.ignore_unreachable {
                interpreter.run.sink.event(&told);
            }
            if in_loop || draft.ignore_unreachable {
                return interpreter.settle(st, &draft, Ending::Unreachable(lost.message.clone()));
            }
            interpreter.note_fatal(st, &draft, true);
        }
        interpreter.run.sink.event(&told);
        let mut step = interpreter.bare_step(st);
        step.because = Some(lost.message.clone());
        step.result = TaskResult::unchanged().with("msg", lost.message.clone());
        if lost.unreachable {
            step.status = Status::Unreachable;
            step.result = step.result.with("unreachable", true);
            st.end = End::Unreachable;
            st.counts.unreachable += 1;
        } else {
            step.status = Status::Failed;
            st.end = End::Failed;
            st.counts.failed += 1;
        }
        step
    }

    /// The files are wrong at the current task.
    pub fn broken(&self, st: &mut HostState, problem: &Problem) -> Step {
        let mut step = self.interpreter.bare_step(st);
        let message = crate::report::plain_problem(problem);
        step.because = Some(message.clone());
        step.result = TaskResult::unchanged().with("msg", message);
        step.status = Status::Failed;
        step.invalid = true;
        st.end = End::Failed;
        st.counts.failed += 1;
        step
    }
}

/// How long to wait before a connection is tried again: 0, 1, 3, 7 … at most 30 seconds, as with Ansible.
fn retry_pause(tries: u64) -> std::time::Duration {
    std::time::Duration::from_secs(((1u64 << tries.min(5)) - 1).min(30))
}

/// Actions that take no longer than a task's `timeout`.
fn within(actions: &[Action], seconds: u64) -> Vec<Action> {
    let shorter = |own: u64| if own == 0 { seconds } else { own.min(seconds) };
    let mut actions = actions.to_vec();
    for action in &mut actions {
        match action {
            Action::Exec(spec) => spec.timeout = shorter(spec.timeout),
            #[expect(clippy::cast_precision_loss, reason = "seconds")]
            Action::Sleep { seconds: pause } => *pause = pause.min(seconds as f64),
            _ => {}
        }
    }
    actions
}

/// What a resource makes of the ends of its actions.
pub fn conclude(resource: &dyn Resource, change: &Change, dones: &[Done]) -> Ending {
    match resource.conclude(change, dones) {
        // A program may say that there was nothing for it to do.
        Ok(result) if change.opaque && result.values.get("skipped").is_some_and(minijinja::Value::is_true) => {
            let because = result.values.get("msg").map(crate::resources::text_of);
            Ending::Skipped(result, because)
        }
        Ok(result) => Ending::Changed(result, Box::new(change.clone())),
        Err(result) => Ending::Failed { result, invalid: false },
    }
}

enum Pass {
    Finished,
    Ask(Wanted),
}
