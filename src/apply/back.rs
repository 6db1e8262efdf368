//! Going back on the nodes: what `destroy`, `--prune` and `undo` find in the ledgers, plan, and carry out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::declared::Declared;
use crate::ledger::{self, Journal, Left, Line, Way, WayBack, way_back};
use crate::node::{Done, Former, Identity, Transport};
use crate::plan::{
    Batches, Driver, Event, Fleet, HostState, HostSummary, Interpreter, Lost, Order, Outcome, Planned, PlayRun, Run,
    Status, Step, Trace, block, in_parallel, lock,
};
use crate::resources::{ChangeKind, TaskResult};
use crate::world::{Answer, Query, Stop, View, World};

/// Which changes are taken back.
pub enum Want {
    /// What the selected roles of the run's playbook made.
    Made,
    /// The same, of nodes without a ledger: by what the playbook declares.
    Assumed(BTreeMap<String, Journal>),
    /// What the ledger holds of the playbook and the selected roles, but the playbook declares no more.
    Undeclared(BTreeMap<String, Declared>),
    /// What one run changed.
    Run(String),
}

/// The way back of all nodes.
#[derive(Default)]
pub struct Backs {
    /// In the order of the inventory's selection.
    pub hosts: Vec<(String, HostBack)>,
}

/// The way back of one host.
pub struct HostBack {
    play: Arc<PlayRun>,
    pub ledgers: Vec<LedgerBack>,
    /// It could not be looked at: why.
    pub lost: Option<Lost>,
    /// What must be said of its ledger.
    pub notes: Vec<String>,
    wall_ms: f64,
}

/// The way back by one ledger.
pub struct LedgerBack {
    pub target: String,
    identity: Identity,
    pub journal: Journal,
    pub way: WayBack,
    /// What a saved plan was to remove and must not, with why.
    pub stopped: Vec<Left>,
}

impl LedgerBack {
    /// The node, if it is another than the host: tasks were delegated to it.
    pub fn elsewhere(&self, host: &str) -> Option<String> {
        let node = crate::plan::target_name(&self.target);
        (node != host).then(|| node.to_owned())
    }
}

/// Looks at every host's ledgers and finds the way back. One round trip for a ledger, a few more for what it speaks of.
pub fn find(run: &Arc<Run>, fleet: &Fleet, schedule: &[Batches], want: &Want) -> Backs {
    let mut plays: Vec<(String, Arc<PlayRun>)> = vec![];
    for batch in schedule.iter().flat_map(|p| &p.batches) {
        for host in &batch.batch {
            if !plays.iter().any(|(h, _)| h == host) {
                plays.push((host.clone(), batch.clone()));
            }
        }
    }
    let names: Vec<String> = plays.iter().map(|(host, _)| host.clone()).collect();
    let found = in_parallel(&names, &|host| {
        let start = Instant::now();
        let play = plays.iter().find(|(h, _)| h == host).map(|(_, p)| p.clone());
        let play = play.unwrap_or_else(|| unreachable!("every host has a play"));
        let interpreter = Interpreter::new(run, &play, host, true);
        let mut driver = Driver { interpreter, fleet };
        let mut back = HostBack { play: play.clone(), ledgers: vec![], lost: None, notes: vec![], wall_ms: 0.0 };
        if let Err(lost) = look(&mut driver, host, want, &mut back) {
            back.lost = Some(lost);
        }
        back.wall_ms = start.elapsed().as_secs_f64() * 1000.0;
        back
    });
    Backs { hosts: found }
}

/// The ledgers of every user the play's tasks may run as, and of the nodes they are delegated to.
fn look(driver: &mut Driver, host: &str, want: &Want, back: &mut HostBack) -> Result<(), Lost> {
    let mut st = HostState::default();
    driver.interpreter.begin(&mut st);
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for (number, (target, identity)) in driver.interpreter.ledgers_of(&mut st)?.into_iter().enumerate() {
        match by_ledger(driver, host, &target, &identity, want, &mut seen, back) {
            // Others than the play's own user may not be allowed at all.
            Err(lost) if number > 0 && !lost.unreachable => {}
            other => other?,
        }
    }
    Ok(())
}

fn by_ledger(
    driver: &mut Driver,
    host: &str,
    target: &str,
    identity: &Identity,
    want: &Want,
    seen: &mut BTreeSet<(String, String)>,
    back: &mut HostBack,
) -> Result<(), Lost> {
    driver.hello(target, identity)?;
    let run = driver.interpreter.run.clone();
    let conversation = driver.fleet.conversation(&run, &driver.interpreter.play, target)?;
    let dir = lock(&conversation).state_dir(identity)?;
    let node = crate::plan::target_name(target);
    // All that is local has one ledger.
    let is_local = lock(&conversation).kind() == Transport::Local;
    if !seen.insert((if is_local { String::new() } else { node.to_owned() }, dir.clone())) {
        return Ok(());
    }
    // Of another node's ledger only what was done there for this host.
    let whose = Whose { host, own: node == host };
    let path = format!("{dir}/ledger");
    let answer = lock(&conversation).ask(identity, &[Query::Content { path }])?;
    let mut journal = match answer.first() {
        Some(Answer::Content(Some(bytes))) => Journal::parse(&String::from_utf8_lossy(bytes)),
        Some(Answer::Failed(why)) => {
            back.notes.push(format!("{host}: the ledger cannot be read: {why}"));
            return Ok(());
        }
        _ => Journal::default(),
    };
    back.notes.extend(journal.damage().map(|text| format!("{host}: {text}")));
    if let Some(why) = journal.objection() {
        return Err(Lost { unreachable: false, message: why, help: vec!["use the newer kdeploy for this".to_owned()] });
    }
    if let Want::Assumed(all) = want {
        // The ledger knows better, where there is one.
        let known = selected(&run, &whose, &journal, &Want::Made);
        match all.get(host).filter(|_| known.is_empty() && seen.len() == 1) {
            Some(assumed) => journal = assumed.clone(),
            None if known.is_empty() => return Ok(()),
            None => {}
        }
    }
    let chosen = match want {
        Want::Assumed(_) if journal.runs.is_empty() => journal.changes.iter().map(|e| e.change.id.clone()).collect(),
        Want::Assumed(_) => selected(&run, &whose, &journal, &Want::Made),
        _ => selected(&run, &whose, &journal, want),
    };
    let keeps = |label: &str| match want {
        Want::Undeclared(all) => all.get(host).is_none_or(|d| d.keeps(label)),
        Want::Assumed(_) => super::declared::is_of_the_system(label),
        _ => false,
    };
    let mut world = World::default();
    let way = loop {
        let view = View::new(&world);
        match way_back(&journal, &chosen, &view, &dir, &keeps) {
            Ok(way) => break way,
            Err(Stop::Needs) => {
                let (missing, _) = view.into_missing();
                let queries: Vec<Query> = missing.into_iter().collect();
                if queries.is_empty() {
                    return Err(Lost {
                        unreachable: false,
                        message: "the way back waits for nothing".into(),
                        help: vec![],
                    });
                }
                let answers = lock(&conversation).ask(identity, &queries)?;
                world.observe(queries.into_iter().zip(answers));
            }
            Err(Stop::Failed(message)) => return Err(Lost { unreachable: false, message, help: vec![] }),
            Err(_) => {
                return Err(Lost { unreachable: false, message: "the way back is not known".into(), help: vec![] });
            }
        }
    };
    back.ledgers.push(LedgerBack {
        target: target.to_owned(),
        identity: identity.clone(),
        journal,
        way,
        stopped: vec![],
    });
    Ok(())
}

/// Whose changes are looked for in a ledger.
struct Whose<'a> {
    host: &'a str,
    /// It is the ledger of the host itself.
    own: bool,
}

impl Whose<'_> {
    fn is_of(&self, change: &ledger::Change) -> bool {
        change.for_host.as_ref().map_or(self.own, |host| host == self.host)
    }
}

/// The changes that are wanted back.
fn selected(run: &Arc<Run>, whose: &Whose, journal: &Journal, want: &Want) -> BTreeSet<String> {
    let own = run.playbook_name();
    let of_playbook = |change: &ledger::Change| same_playbook(&change.playbook, &own) && run.selects(&change.tags);
    let is_wanted = |entry: &ledger::Entry| match want {
        Want::Run(id) => entry.change.run == *id && entry.undone.is_none(),
        Want::Undeclared(all) => {
            entry.is_live()
                && of_playbook(&entry.change)
                && all.get(whose.host).is_some_and(|declared| !declared.holds(&entry.change))
        }
        Want::Made | Want::Assumed(_) => entry.is_live() && of_playbook(&entry.change),
    };
    let wanted = journal.changes.iter().filter(|entry| whose.is_of(&entry.change) && is_wanted(entry));
    wanted.map(|entry| entry.change.id.clone()).collect()
}

/// Whether two names mean one playbook: checked out elsewhere, or outside a repository, only its file name is the same.
fn same_playbook(one: &str, other: &str) -> bool {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    one == other || (one.starts_with('/') || other.starts_with('/')) && last(one) == last(other)
}

impl Backs {
    /// Tells steps of a plan that are not as desired which run of kdeploy wrote there last.
    pub fn blame(&self, plan: &mut Outcome) {
        for step in plan.steps.iter_mut().filter(|s| s.planned != Planned::None) {
            let Some((_, back)) = self.hosts.iter().find(|(host, _)| *host == step.host) else { continue };
            let paths: Vec<&String> = step
                .basis
                .makes
                .iter()
                .filter_map(|thing| match thing {
                    crate::plan::Thing::Path(path) => Some(path),
                    _ => None,
                })
                .collect();
            let writer = back.ledgers.iter().find_map(|ledger| {
                let entry = paths.iter().find_map(|path| ledger.journal.last_writer(path))?;
                Some(writer_words(&ledger.journal, &entry.change))
            });
            step.writer = writer;
        }
    }

    /// Adds to what the nodes tell when runs of kdeploy wrote what, by their ledgers.
    pub fn tell_runs(&self, traces: &mut BTreeMap<String, Trace>) {
        for (host, back) in &self.hosts {
            let Some(trace) = traces.get_mut(host) else { continue };
            for journal in back.ledgers.iter().map(|ledger| &ledger.journal) {
                for change in journal.changes.iter().map(|entry| &entry.change) {
                    let at = journal.run(&change.run).and_then(|run| run.at.parse::<jiff::Timestamp>().ok());
                    let Some(at) = at else { continue };
                    let words = writer_words(journal, change);
                    trace.runs.extend(change.paths.iter().map(|path| (path.clone(), at.as_second(), words.clone())));
                }
            }
        }
    }

    /// Ways in all.
    pub fn count(&self) -> usize {
        self.hosts.iter().flat_map(|(_, h)| &h.ledgers).map(|l| l.way.ways.len()).sum()
    }

    /// What is left as it is, and what must be said of ledgers: with the host.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        for (host, back) in &self.hosts {
            notes.extend(back.notes.iter().cloned());
            for ledger in &back.ledgers {
                let on = ledger.elsewhere(host).map(|node| format!(" on {node}")).unwrap_or_default();
                notes.extend(ledger.way.left.iter().map(|l| format!("{host}: left: {}{on}: {}", l.label, l.why)));
            }
        }
        notes
    }

    /// As a plan.
    pub fn planned(&self, fleet: &Fleet) -> Outcome {
        let mut outcome = Outcome::default();
        for (host, back) in &self.hosts {
            let mut figures = figures(fleet, host, back.wall_ms);
            for ledger in &back.ledgers {
                for way in &ledger.way.ways {
                    outcome.steps.push(step(host, &back.play, ledger, way));
                    figures.changed += 1;
                }
                for left in &ledger.way.left {
                    outcome.steps.push(left_step(host, &back.play, ledger, left));
                    figures.ok += 1;
                }
            }
            if let Some(lost) = &back.lost {
                outcome.steps.push(lost_step(host, &back.play, lost, &mut figures));
            }
            outcome.hosts.insert(host.clone(), figures);
        }
        number(&mut outcome);
        outcome
    }

    /// Goes all the ways. Each ledger's in one exchange: it is noted before, and what is undone after.
    pub fn carry_out(&self, run: &Arc<Run>, fleet: &Fleet) -> Outcome {
        let names: Vec<String> = self.hosts.iter().map(|(host, _)| host.clone()).collect();
        let results = in_parallel(&names, &|host| {
            let start = Instant::now();
            let back = self.hosts.iter().find(|(h, _)| h == host).map(|(_, back)| back);
            let Some(back) = back else { return (vec![], HostSummary::default()) };
            let mut own = figures(fleet, host, 0.0);
            let mut steps = vec![];
            if let Some(lost) = &back.lost {
                steps.push(lost_step(host, &back.play, lost, &mut own));
            } else {
                let interpreter = Interpreter::new(run, &back.play, host, false);
                let mut driver = Driver { interpreter, fleet };
                for ledger in &back.ledgers {
                    for stopped in &ledger.stopped {
                        steps.push(stopped_step(host, &back.play, ledger, stopped));
                        own.failed += 1;
                    }
                    if !go(&mut driver, host, &back.play, ledger, &mut steps, &mut own) {
                        break;
                    }
                }
            }
            for step in &steps {
                run.sink.event(&Event::Ended(Box::new(step.clone())));
            }
            run.sink.event(&Event::HostDone { host: host.to_owned() });
            let traffic = figures(fleet, host, start.elapsed().as_secs_f64() * 1000.0);
            own.round_trips = traffic.round_trips;
            own.processes = traffic.processes;
            own.wall_ms = traffic.wall_ms;
            (steps, own)
        });
        let mut outcome = Outcome::default();
        for (host, (steps, figures)) in results {
            outcome.steps.extend(steps);
            outcome.hosts.insert(host, figures);
        }
        number(&mut outcome);
        outcome
    }
}

/// Which run made a change, in words.
fn writer_words(journal: &Journal, change: &ledger::Change) -> String {
    let run = journal.run(&change.run);
    let by = run.map(|r| format!(", {} by {} from {}", r.playbook, r.who, r.from)).unwrap_or_default();
    let role = change.role.as_ref().map(|r| format!("{r} : ")).unwrap_or_default();
    format!("run {} ({role}{}{by})", change.run, change.task)
}

/// True if all went well.
fn go(
    driver: &mut Driver,
    host: &str,
    play: &PlayRun,
    ledger: &LedgerBack,
    steps: &mut Vec<Step>,
    figures: &mut HostSummary,
) -> bool {
    let Some(recording) = driver.interpreter.run.options.recording.clone() else { return true };
    if ledger.way.ways.is_empty() && ledger.way.undone.is_empty() {
        return true;
    }
    let book = (ledger.target.clone(), ledger.identity.key());
    let mut lines = recording.opening(&book, &ledger.identity);
    let mut paths = vec![];
    for way in &ledger.way.ways {
        let id = recording.next_id();
        paths.extend(way.paths.iter().enumerate().map(|(place, path)| Former {
            id: format!("{id}#{place}"),
            path: path.clone(),
            secret: way.of.secret,
            whole: crate::plan::removes(&way.actions, path),
        }));
        lines.push(Line::Change(noted(way, id, &recording.run)));
    }
    let mut actions = vec![block(&lines, paths)];
    let mut ends = vec![];
    for way in &ledger.way.ways {
        actions.extend(way.actions.iter().cloned());
        ends.push(actions.len());
    }
    let undone = Line::Undone { changes: ledger.way.undone.clone(), run: recording.run.id.clone() };
    actions.push(block(&[undone], vec![]));
    let start = Instant::now();
    let mut times = vec![0.0; actions.len()];
    let outcome = driver.exchange(&ledger.target, &ledger.identity, &actions, &mut |index, _| {
        times[index] = start.elapsed().as_secs_f64() * 1000.0;
    });
    let dones = match outcome {
        Ok(dones) => dones,
        Err(lost) => {
            steps.push(lost_step(host, play, &lost, figures));
            return false;
        }
    };
    let failed = dones.iter().find_map(|d| match d {
        Done::Failed { message, output } => Some((message, output)),
        Done::Ok(_) => None,
    });
    let mut begin = 0;
    let mut told = 0.0;
    for (way, end) in ledger.way.ways.iter().zip(&ends) {
        let mut step = step(host, play, ledger, way);
        step.begin = told;
        if *end <= dones.len() && !dones[begin..*end].iter().any(|d| matches!(d, Done::Failed { .. })) {
            step.ms = times[*end - 1] - told;
            told = times[*end - 1];
            figures.changed += 1;
            figures.ok += 1;
            begin = *end;
            steps.push(step);
            continue;
        }
        step.status = Status::Failed;
        step.changed = false;
        if let Some((message, output)) = failed {
            step.because = Some(message.clone());
            step.result = TaskResult::unchanged()
                .with("msg", message.as_str())
                .with("stderr", String::from_utf8_lossy(&output.stderr).into_owned());
        }
        figures.failed += 1;
        steps.push(step);
        return false;
    }
    for left in &ledger.way.left {
        steps.push(left_step(host, play, ledger, left));
        figures.ok += 1;
    }
    if let Some((message, _)) = failed {
        driver.interpreter.run.warn(format!("{host}: {message}"));
    }
    failed.is_none()
}

/// What the ledger is told of a way: so it can be undone itself.
fn noted(way: &Way, id: String, run: &ledger::RunLine) -> ledger::Change {
    ledger::Change {
        id,
        run: run.id.clone(),
        playbook: run.playbook.clone(),
        kind: kind_word(way.kind).to_owned(),
        paths: way.paths.clone(),
        wrote: vec![],
        things: way.things.clone(),
        patch: None,
        owes: vec![],
        lost: None,
        back: true,
        ..way.of.clone()
    }
}

fn kind_word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "create",
        ChangeKind::Change => "change",
        ChangeKind::Remove => "remove",
        ChangeKind::Run => "run",
    }
}

fn figures(fleet: &Fleet, host: &str, wall_ms: f64) -> HostSummary {
    let traffic = fleet.traffic_of_host(host);
    HostSummary {
        round_trips: traffic.round_trips,
        processes: traffic.processes,
        connect_ms: traffic.connect.as_secs_f64() * 1000.0,
        wall_ms,
        ..HostSummary::default()
    }
}

fn number(outcome: &mut Outcome) {
    for (id, step) in outcome.steps.iter_mut().enumerate() {
        step.id = id;
        step.order = Order(vec![id]);
    }
}

/// A way as a step.
fn step(host: &str, play: &PlayRun, ledger: &LedgerBack, way: &Way) -> Step {
    let of = &way.of;
    Step {
        planned: match way.kind {
            ChangeKind::Create => Planned::Create,
            ChangeKind::Change => Planned::Change,
            ChangeKind::Remove => Planned::Remove,
            ChangeKind::Run => Planned::Run,
        },
        status: Status::Changed,
        changed: true,
        diff: if of.secret { vec![] } else { way.diff.clone() },
        result: TaskResult::changed().with("resource", way.label.as_str()),
        because: way.remark.clone(),
        delegated_to: ledger.elsewhere(host),
        ..bare(host, play, of, &way.label)
    }
}

/// A removal that a saved plan does not let happen.
fn stopped_step(host: &str, play: &PlayRun, ledger: &LedgerBack, left: &Left) -> Step {
    Step {
        status: Status::Failed,
        stopped: true,
        because: Some(left.why.clone()),
        result: TaskResult::unchanged().with("resource", left.label.as_str()).with("msg", left.why.as_str()),
        delegated_to: ledger.elsewhere(host),
        ..bare(host, play, &left.of, &left.label)
    }
}

fn left_step(host: &str, play: &PlayRun, ledger: &LedgerBack, left: &Left) -> Step {
    Step {
        because: Some(left.why.clone()),
        result: TaskResult::unchanged().with("resource", left.label.as_str()).with("left", left.why.as_str()),
        delegated_to: ledger.elsewhere(host),
        ..bare(host, play, &left.of, &left.label)
    }
}

fn lost_step(host: &str, play: &PlayRun, lost: &Lost, figures: &mut HostSummary) -> Step {
    let mut step = bare(host, play, &ledger::Change::default(), "the ledger");
    step.because = Some(lost.message.clone());
    step.result = TaskResult::unchanged().with("msg", lost.message.as_str());
    if lost.unreachable {
        step.status = Status::Unreachable;
        figures.unreachable += 1;
    } else {
        step.status = Status::Failed;
        figures.failed += 1;
    }
    step
}

fn bare(host: &str, play: &PlayRun, of: &ledger::Change, label: &str) -> Step {
    Step {
        host: host.to_owned(),
        play: if of.play.is_empty() { play.name.clone() } else { of.play.clone() },
        play_index: play.index,
        role: of.role.clone(),
        task: label.to_owned(),
        action: if of.action.is_empty() { "ledger".to_owned() } else { of.action.clone() },
        tags: of.tags.clone(),
        path: of.path.clone(),
        ..Step::at(play.play.span.clone())
    }
}
