//! Applying one host: the same evaluation as the plan's, with actions carried out.
//!
//! Steps whose effects are fully foretold are queued and travel together, in order, in one round trip; a step
//! with effects beyond that (a command, a service) first sends what is queued, then runs, and afterwards every
//! answer it may have made stale is asked again. When a queued step fails, the state is wound back to it.

use std::time::Instant;

use super::confirm::Pending;
use crate::node::Done;
use crate::plan::{
    Draft, Driver, End, Ending, Event, HostState, Interpreter, Lost, Note, Order, Status, Step, Turn, Wanted, conclude,
    take_waits,
};
use crate::resources::{Change, Resource};
use crate::template::Unknown;
use std::sync::Arc;

/// Most steps and bytes sent together: live progress matters more than the last round trip.
const QUEUE_STEPS: usize = 64;

/// One step that waits to be sent, or was over before those that wait.
enum Queued {
    Act {
        /// The state before the step, for winding back.
        before: Box<HostState>,
        draft: Box<Draft>,
        resource: Arc<dyn Resource>,
        change: Box<Change>,
        /// The step as foretold; becomes the outcome when the actions succeed.
        step: Box<Step>,
    },
    Over(Box<Step>),
}

/// Applies plays to one host.
pub struct Applier<'a> {
    pub driver: Driver<'a>,
    queue: Vec<Queued>,
    steps: Vec<Step>,
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Changes that wait to be confirmed.
    pending: Option<Pending>,
}

impl<'a> Applier<'a> {
    pub fn new(driver: Driver<'a>, interrupted: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { driver, queue: vec![], steps: vec![], interrupted, pending: None }
    }

    fn interpreter(&self) -> &Interpreter {
        &self.driver.interpreter
    }

    /// Applies the play from a state; the steps, and the state after them.
    pub fn apply(mut self, mut st: HostState) -> (Vec<Step>, HostState) {
        loop {
            if (self.interrupted)() {
                // What was sent is done; what waits in the queue never was.
                if let Some(Queued::Act { before, .. }) = self.queue.drain(..).next() {
                    st = *before;
                }
                st.end = End::Failed;
                return (self.steps, st);
            }
            if self.turn(&mut st).is_break() {
                if let Some(pending) = &self.pending {
                    let (host, seconds) = (&self.interpreter().host, pending.seconds);
                    self.interpreter().run.warn(format!(
                        "{host}: what was to be confirmed is not, since the host failed: the node puts it back within {seconds} s"
                    ));
                }
                return (self.steps, st);
            }
        }
    }

    fn turn(&mut self, st: &mut HostState) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        st.speculative = !self.queue.is_empty();
        if !st.speculative {
            self.meet(st);
        }
        if self.pending.is_some() && !self.belongs_to_pending(st) {
            return self.confirm(st);
        }
        let before = st.clone();
        match self.driver.interpreter.turn(st) {
            Turn::End => {
                if self.queue.is_empty() {
                    return Break(());
                }
                self.flush(st);
            }
            Turn::Quiet => {}
            Turn::Done(step) => {
                // It may fail, or not be known, only because what is queued did not run yet.
                let unsure =
                    step.status == Status::Failed || step.result.values.values().any(|v| Unknown::within(v).is_some());
                if unsure && self.look_again(st, &before) {
                    return Continue(());
                }
                self.over(*step, st);
            }
            Turn::Hello { target, identity } => {
                *st = before;
                if let Err(lost) = self.driver.hello(&target, &identity) {
                    self.flush(st);
                    return self.lost(st, &lost);
                }
            }
            Turn::Needs { target, identity, queries, .. } => {
                *st = before;
                if !self.queue.is_empty() {
                    // The answers must be those that hold after what is queued.
                    self.flush(st);
                    return Continue(());
                }
                let mut wanted = Wanted::default();
                wanted.add(&target, &identity, queries);
                self.look_ahead(st.clone(), &mut wanted);
                if let Err(lost) = self.driver.ask(st, &wanted) {
                    return self.lost(st, &lost);
                }
            }
            Turn::Blocked { unknown, draft } => {
                if self.look_again(st, &before) {
                    return Continue(());
                }
                // Everything that could tell it ran: it stays unknown.
                let result = crate::resources::TaskResult::unchanged()
                    .with("msg", format!("a value the task needs did not become known ({unknown})"));
                let step = self.interpreter().settle(st, &draft, Ending::Failed { result, invalid: false });
                self.over(step, st);
            }
            Turn::Act { draft, resource, change } => {
                if let Some(why) = self.objection(st, &draft) {
                    let step = self.interpreter().settle(st, &draft, Ending::Stopped(why));
                    self.over(step, st);
                } else if draft.check_mode == Some(true) && !resource.only_looks_in_check_mode() {
                    let step = self.interpreter().settle(st, &draft, Ending::Foretold(change));
                    self.over(step, st);
                } else if is_immediate(&draft, &change) || self.pending.is_some() {
                    if !self.queue.is_empty() {
                        *st = before;
                        self.flush(st);
                        return Continue(());
                    }
                    return self.now(st, before, &draft, &*resource, &change);
                } else {
                    let mut foretold = *change.clone();
                    foretold.opaque = false;
                    self.interpreter().foretell(st, &draft, &foretold);
                    let ending = Ending::Changed(change.result.clone(), change.clone());
                    let step = self.interpreter().settle(st, &draft, ending);
                    let fatal = draft.any_errors_fatal || self.interpreter().play.max_fail_percentage.is_some();
                    self.queue.push(Queued::Act {
                        before: Box::new(before),
                        draft,
                        resource,
                        change,
                        step: Box::new(step),
                    });
                    if self.queue.len() >= QUEUE_STEPS || fatal || self.interpreter().run.options.step {
                        self.flush(st);
                    }
                }
            }
            Turn::Again { draft, ending } => {
                if !self.queue.is_empty() {
                    // The answers must be those that hold after what is queued.
                    *st = before;
                    self.flush(st);
                    return Continue(());
                }
                match super::retry::limits(&draft) {
                    Ok((retries, delay)) if st.tries <= retries => {
                        let tries = st.tries;
                        super::retry::announce(self.interpreter(), &draft, &st.order(), retries, tries);
                        *st = before;
                        st.tries = tries;
                        st.forget(&draft.target);
                        std::thread::sleep(delay);
                    }
                    Ok((retries, _)) => {
                        let step = self.interpreter().settle(st, &draft, Interpreter::exhausted(ending, retries));
                        self.over(step, st);
                    }
                    Err(problem) => {
                        let step = self.driver.broken(st, &problem);
                        self.emit(step, st);
                        return Break(());
                    }
                }
            }
            Turn::Engine { draft, request } => {
                if !self.queue.is_empty() {
                    *st = before;
                    self.flush(st);
                    return Continue(());
                }
                self.driver.request(st, &draft, &request);
            }
            Turn::Broken(problem) => {
                *st = before;
                if !self.queue.is_empty() {
                    self.flush(st);
                    return Continue(());
                }
                let step = self.driver.broken(st, &problem);
                self.emit(step, st);
                return Break(());
            }
        }
        Continue(())
    }

    /// Saves what a change touches that must be confirmed, and arms the node's timer before it.
    fn arm(&mut self, draft: &Draft, note: &mut Note) {
        let Some(change) = note.change().cloned() else { return };
        if let Some(why) = change.lost.as_ref().filter(|_| draft.confirm > 0) {
            let place = draft.task.span.path_line();
            self.interpreter().run.warn(format!("{place}: `confirm` cannot put this back: {why}"));
        }
        if self.pending.is_none() && draft.confirm > 0 {
            self.pending = Some(Pending::new(&change.id, draft.confirm, &draft.target, &draft.identity));
        }
        if let Some(pending) =
            self.pending.as_mut().filter(|p| p.target == draft.target && p.identity == draft.identity)
        {
            note.guard = Some(pending.arm(&change));
        }
    }

    /// Whether the next task is to be confirmed with what waits: of the same block, or a handler. What was notified runs first.
    fn belongs_to_pending(&self, st: &mut HostState) -> bool {
        let interpreter = &self.driver.interpreter;
        let mut ahead = st.clone();
        let next = interpreter.current(&mut ahead);
        if ahead.end == End::Failed || ahead.failed {
            return true;
        }
        if interpreter.stands_at_handler(&ahead) {
            return true;
        }
        if next.is_some_and(|(task, lineage)| lineage.nearest(&task, |k| k.confirm.as_ref()).is_some()) {
            return true;
        }
        !(st.notified.is_empty() && st.notifications.is_empty()) && interpreter.push_handlers(st)
    }

    /// Confirms what waits over a new connection.
    fn confirm(&mut self, st: &mut HostState) -> std::ops::ControlFlow<()> {
        if !self.queue.is_empty() {
            self.flush(st);
            return std::ops::ControlFlow::Continue(());
        }
        let Some(pending) = self.pending.take() else { return std::ops::ControlFlow::Continue(()) };
        match pending.conclude(&self.driver) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(lost) => self.lost(st, &lost),
        }
    }

    /// Milliseconds from the start of the run.
    fn since_begin(&self, at: Instant) -> f64 {
        at.duration_since(self.interpreter().run.started).as_secs_f64() * 1000.0
    }

    /// Why a saved plan does not let this change happen.
    fn objection(&self, st: &HostState, draft: &Draft) -> Option<String> {
        let interpreter = self.interpreter();
        let guard = interpreter.guard.as_ref()?;
        guard.objection(&interpreter.key_of(st, draft), &draft.basis.answers, &st.stopped)
    }

    /// A step could not be judged for sure: sends what is queued, else forgets what was foretold, so that the node is asked. False if
    /// neither is left to do.
    fn look_again(&mut self, st: &mut HostState, before: &HostState) -> bool {
        if !self.queue.is_empty() {
            *st = before.clone();
            self.flush(st);
        } else if before.has_predictions() {
            *st = before.clone();
            st.forget_all();
        } else {
            return false;
        }
        true
    }

    /// Tells the others where this host is, and waits for them where what happens there may concern it.
    fn meet(&self, st: &mut HostState) {
        let interpreter = self.interpreter();
        interpreter.run.together.arrive(&interpreter.host, interpreter.place(st));
        interpreter.run.sink.event(&Event::Reached { host: interpreter.host.clone(), order: st.order() });
        interpreter.meet(st);
    }

    /// `loop_control: pause`, between the items.
    fn pause(&self, draft: &Draft, st: &HostState) {
        let Some(node) = &draft.task.loop_control.pause else { return };
        let more = st.loop_state.as_ref().is_some_and(|l| l.next > 0 && l.next < l.items.len());
        let seconds = draft.context.text(node).ok().and_then(|t| t.trim().parse::<f64>().ok());
        if let (true, Some(seconds)) = (more, seconds.and_then(|s| std::time::Duration::try_from_secs_f64(s).ok())) {
            std::thread::sleep(seconds);
        }
    }

    /// A step that is over without the node: reported in its order.
    fn over(&mut self, step: Step, st: &HostState) {
        if self.queue.is_empty() {
            self.emit(step, st);
        } else {
            self.queue.push(Queued::Over(Box::new(step)));
        }
    }

    fn emit(&mut self, mut step: Step, st: &HostState) {
        step.waited = take_waits();
        let interpreter = self.interpreter();
        interpreter.run.publish(&interpreter.host, &st.vars, st.given);
        interpreter.paid(&step);
        if step.result.values.contains_key("ansible_facts") && step.status != Status::Failed {
            interpreter.run.keep_facts(&interpreter.host, &st.vars);
        }
        interpreter.run.sink.event(&Event::Ended(Box::new(step.clone())));
        self.steps.push(step);
    }

    fn started(&self, mut step: Step, order: Order) {
        step.order = order;
        self.interpreter().run.sink.event(&Event::Started(Box::new(step)));
    }

    /// Gathers what the following steps will ask too, up to the first whose effects are not known.
    fn look_ahead(&mut self, mut st: HostState, wanted: &mut Wanted) {
        st.speculative = true;
        let interpreter = &self.driver.interpreter;
        loop {
            let before = st.clone();
            match interpreter.turn(&mut st) {
                Turn::End | Turn::Broken(_) | Turn::Hello { .. } | Turn::Engine { .. } | Turn::Again { .. } => return,
                Turn::Quiet => {}
                Turn::Done(step) => {
                    if step.status == Status::Failed {
                        st = before;
                        interpreter.postpone_current(&mut st);
                    }
                }
                Turn::Needs { target, identity, queries, draft } => {
                    wanted.add(&target, &identity, queries);
                    interpreter.postpone(&mut st, &draft);
                }
                Turn::Blocked { draft, .. } => interpreter.postpone(&mut st, &draft),
                Turn::Act { draft, change, .. } => {
                    if change.opaque {
                        return;
                    }
                    interpreter.settle(&mut st, &draft, Ending::Foretold(change));
                }
            }
        }
    }

    /// Runs one step whose effects are not known before, with its retries.
    fn now(
        &mut self,
        st: &mut HostState,
        before: HostState,
        draft: &Draft,
        resource: &dyn Resource,
        change: &Change,
    ) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::Continue;
        let interpreter = self.interpreter();
        self.started(draft.step(0, &interpreter.host, &interpreter.play), st.order());
        let start = Instant::now();
        let throttled = (draft.throttle > 0 && !self.interpreter().planning)
            .then(|| (draft.task.span.file.path.display().to_string(), draft.task.span.start));
        if let Some(task) = &throttled {
            let run = &self.interpreter().run;
            run.together.start_throttled(task, draft.throttle, run.options.forks);
        }
        let mut note = self.interpreter().note(&before, draft, resource, change);
        if let Some(note) = note.as_mut() {
            self.arm(draft, note);
        }
        let outcome = super::retry::run(&mut self.driver, draft, resource, change, &st.order(), note);
        if let Some(task) = &throttled {
            self.interpreter().run.together.end_throttled(task);
        }
        let ending = match outcome {
            Ok(ending) => ending,
            Err(lost) => {
                *st = before;
                return self.lost(st, &lost);
            }
        };
        if change.opaque {
            st.forget(&draft.target);
        } else {
            self.interpreter().foretell(st, draft, change);
            st.realize();
        }
        let mut step = self.interpreter().settle(st, draft, ending);
        step.ms = start.elapsed().as_secs_f64() * 1000.0;
        step.begin = self.since_begin(start);
        self.emit(step, st);
        self.pause(draft, st);
        Continue(())
    }

    /// Sends what is queued. If a step fails, `st` becomes the state after that failure; what was queued behind it is forgotten.
    fn flush(&mut self, st: &mut HostState) {
        let mut queue = std::mem::take(&mut self.queue).into_iter().peekable();
        while let Some(next) = queue.next() {
            let (draft, first) = match next {
                Queued::Over(step) => {
                    self.emit(*step, st);
                    continue;
                }
                Queued::Act { before, draft, resource, change, step } => {
                    ((draft.target.clone(), draft.identity.clone()), (before, draft, resource, change, step))
                }
            };
            // Neighbours with the same target and identity go in one round trip; steps that are over keep their place.
            let mut batch = vec![first];
            let mut overs: Vec<(usize, Box<Step>)> = vec![];
            loop {
                match queue.peek() {
                    Some(Queued::Over(_)) => {
                        let Some(Queued::Over(step)) = queue.next() else { unreachable!("peeked") };
                        overs.push((batch.len(), step));
                    }
                    Some(Queued::Act { draft: d, .. }) if (d.target.clone(), d.identity.clone()) == draft => {
                        let Some(Queued::Act { before, draft, resource, change, step }) = queue.next() else {
                            unreachable!("peeked")
                        };
                        batch.push((before, draft, resource, change, step));
                    }
                    _ => break,
                }
            }
            if !self.send(st, batch, overs) {
                break;
            }
        }
        st.realize();
    }

    /// One round trip. False if a step failed: the rest of the queue is void then.
    #[allow(clippy::type_complexity)]
    fn send(
        &mut self,
        st: &mut HostState,
        batch: Vec<(Box<HostState>, Box<Draft>, Arc<dyn Resource>, Box<Change>, Box<Step>)>,
        overs: Vec<(usize, Box<Step>)>,
    ) -> bool {
        let mut ends = vec![];
        let mut actions = vec![];
        let mut note: Option<Note> = None;
        for (before, draft, resource, change, _) in &batch {
            if let Some(own) = self.interpreter().note(before, draft, &**resource, change) {
                note.get_or_insert_default().join(own);
            }
            actions.extend(change.actions.iter().cloned());
            ends.push(actions.len());
        }
        let (target, identity) = (batch[0].1.target.clone(), batch[0].1.identity.clone());
        self.started((*batch[0].4).clone(), batch[0].4.order.clone());
        let start = Instant::now();
        let mut times: Vec<f64> = vec![0.0; actions.len()];
        let outcome = if actions.is_empty() {
            Ok(vec![])
        } else {
            // The ledger's block goes first, in the same exchange.
            let noting = self.driver.interpreter.noting(&target, &identity, note);
            let shift = noting.len();
            let all: Vec<_> = noting.into_iter().chain(actions.iter().cloned()).collect();
            let outcome = self.driver.exchange(&target, &identity, &all, &mut |index, _| {
                if index >= shift {
                    times[index - shift] = start.elapsed().as_secs_f64() * 1000.0;
                }
            });
            outcome.map(|dones| Driver::without_note(shift, dones))
        };
        let dones: Vec<Done> = match outcome {
            Ok(dones) => dones,
            Err(lost) => {
                // Which of them were carried out is not known: the next run observes and goes on from there.
                *st = *batch[0].0.clone();
                let _ = self.lost(st, &lost);
                return false;
            }
        };
        let mut begin = 0;
        let mut last = 0.0;
        let mut overs = overs.into_iter().peekable();
        for (index, (before, draft, resource, change, mut step)) in batch.into_iter().enumerate() {
            while overs.peek().is_some_and(|(place, _)| *place == index) {
                if let Some((_, over)) = overs.next() {
                    self.emit(*over, st);
                }
            }
            let own = &dones[begin.min(dones.len())..ends[index].min(dones.len())];
            let failed = own.iter().any(|d| matches!(d, Done::Failed { .. }));
            let ms = times[begin..ends[index]].iter().copied().fold(last, f64::max) - last;
            let began = self.since_begin(start) + last;
            last += ms;
            begin = ends[index];
            if failed || own.len() < change.actions.len() {
                *st = *before;
                let ending = conclude(&*resource, &change, own);
                let mut step = self.interpreter().settle(st, &draft, ending);
                step.ms = ms;
                step.begin = began;
                self.emit(step, st);
                return false;
            }
            if let Ending::Changed(result, _) = conclude(&*resource, &change, own) {
                for (key, value) in result.values {
                    step.result.values.entry(key).or_insert(value);
                }
            }
            step.ms = ms;
            step.begin = began;
            self.emit(*step, st);
        }
        for (_, over) in overs {
            self.emit(*over, st);
        }
        true
    }

    /// The node is lost: that ends the host, unless the task ignores it.
    fn lost(&mut self, st: &mut HostState, lost: &Lost) -> std::ops::ControlFlow<()> {
        self.queue.clear();
        let step = self.driver.lost(st, lost);
        self.emit(step, st);
        if st.end == End::Running { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
    }
}

/// Steps that cannot wait in the queue: their result is known only from the run.
fn is_immediate(draft: &Draft, change: &Change) -> bool {
    let task = &draft.task;
    change.opaque
        || draft.timeout > 0
        || draft.throttle > 0
        || draft.confirm > 0
        || task.loop_control.pause.is_some()
        || !task.loop_control.break_when.is_empty()
        || draft.once.is_some()
        || draft.delegated
        || !task.until.is_empty()
        || task.retries.is_some()
        || !task.failed_when.is_empty()
        || !task.changed_when.is_empty()
        || draft.ignore_errors
}
