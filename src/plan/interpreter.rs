//! One host's way through a play: which task comes next, in Ansible's order.
//!
//! The interpreter holds no state of its own: all of that is in [`HostState`], so that drivers (plan/, apply/) can
//! suspend it, run it ahead speculatively, and wind it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lineage::{Lineage, Source};
use super::magic;
use super::run::{PlayRun, Run};
use super::state::{End, Frame, FrameKind, Handler, HostState, Phase};
use crate::node::Hello;
use crate::playbook::{Block, BlockOrigin, Item, RoleUse, Task};
use crate::source::Span;
use crate::vars::Scope;

pub struct Interpreter {
    pub run: Arc<Run>,
    pub play: Arc<PlayRun>,
    pub host: String,
    /// Who we are on each target as each identity, once connected: `~` and the default owner follow from it.
    pub hellos: BTreeMap<(String, String), Hello>,
    /// Nothing is carried out: results of steps that would change something are foretold.
    pub planning: bool,
    /// Limits of an apply.
    pub guard: Option<Arc<super::guard::Guard>>,
    /// Magic variables of the host as of a version of the inventory.
    magic: std::sync::Mutex<(u64, Arc<Scope>)>,
}

impl Interpreter {
    pub fn new(run: &Arc<Run>, play: &Arc<PlayRun>, host: &str, planning: bool) -> Self {
        Self {
            run: run.clone(),
            play: play.clone(),
            host: host.to_owned(),
            hellos: BTreeMap::new(),
            planning,
            guard: if planning { None } else { run.guard() },
            magic: std::sync::Mutex::new((run.inventory_version(), magic::of_host(run, host))),
        }
    }

    /// Magic variables of the host; made anew when the inventory changed.
    pub(super) fn magic(&self) -> Arc<Scope> {
        let mut kept = super::run::lock(&self.magic);
        let version = self.run.inventory_version();
        if kept.0 != version {
            *kept = (version, magic::of_host(&self.run, &self.host));
        }
        kept.1.clone()
    }

    /// Puts a host at the start of the play, keeping its variables and worlds.
    pub fn begin(&self, st: &mut HostState) {
        let play = &self.play.play;
        let top = Lineage::of_play(play);
        st.end = End::Running;
        st.failed = false;
        st.failure = None;
        st.loop_state = None;
        st.meet = false;
        st.vars.facts_apart = !self.run.options.inject_facts;
        st.seen_fatal = Arc::default();
        st.notified = BTreeSet::new();
        st.notifications = Arc::default();
        st.missing_handler = None;
        st.maybe_notified = Arc::default();
        st.debts = Arc::default();
        st.ran_roles = Arc::default();
        st.begun_roles = Arc::default();
        st.public_roles = Arc::default();
        st.included_roles = Arc::default();
        st.frames.clear();
        let mut handlers = vec![];
        for role in &self.play.roles {
            let lineage = Lineage::below(&top, Source::Role(role.clone()));
            collect_handlers(&role.handlers, &lineage, &mut handlers);
        }
        let mut places = vec![];
        for items in [&play.pre_tasks, &play.tasks, &play.post_tasks] {
            import_places(items, &top, &mut places);
        }
        for role in &self.play.roles {
            import_places(&role.tasks, &Lineage::below(&top, Source::Role(role.clone())), &mut places);
        }
        collect_handlers(&play.handlers, &top, &mut handlers);
        // Imported roles' come after the play's own.
        for role in &play.imported_roles {
            // What stands around the import holds for the handlers that it brings, too.
            match places.iter().find(|(imported, _)| Arc::ptr_eq(imported, role)) {
                None => collect_role_handlers(role, &top, &mut handlers),
                Some((_, place)) => {
                    for dependency in &role.dependencies {
                        collect_role_handlers(dependency, place, &mut handlers);
                    }
                    collect_handlers(&role.handlers, place, &mut handlers);
                }
            }
        }
        st.handlers = Arc::new(handlers);
        // Frames are a stack: the last pushed runs first.
        let plain = |items: &[Item], lineage: &Arc<Lineage>| Frame {
            items: Arc::new(items.to_vec()),
            next: 0,
            lineage: lineage.clone(),
            kind: FrameKind::Plain,
        };
        // `--skip-tags always`: handlers run only where a task says so.
        let kind = if self.implied(st, &top, &play.span) { FrameKind::Handlers } else { FrameKind::Plain };
        let flush = || Frame { items: Arc::default(), next: 0, lineage: top.clone(), kind: kind.clone() };
        st.frames.push(flush());
        st.frames.push(plain(&play.post_tasks, &top));
        st.frames.push(flush());
        st.frames.push(plain(&play.tasks, &top));
        for role in play.roles.iter().rev() {
            push_role(&mut st.frames, role, &top);
        }
        st.frames.push(flush());
        st.frames.push(plain(&play.pre_tasks, &top));
        if self.gathers(st) {
            st.frames.push(plain(&[Item::Task(Arc::new(self.gather_task()))], &top));
        }
        self.begin_at(st);
    }

    /// True if the play gathers facts from this host by itself.
    fn gathers(&self, st: &HostState) -> bool {
        let asked = self.play.play.gather_facts.as_ref().and_then(|node| match &node.value {
            crate::yaml::Yaml::Bool(b) => Some(*b),
            _ if node.has_template() => {
                let context = self.context(st, None, &Lineage::of_play(&self.play.play), vec![]).ok()?;
                context.boolean(node).ok()
            }
            _ => node.as_str().and_then(crate::resources::truth),
        });
        match (asked, self.run.options.gathering.as_str()) {
            (Some(false), _) => false,
            // Also of a play that asks for them: once is enough.
            (_, "smart") => !st.vars.facts.contains_key("module_setup"),
            (Some(true), _) => true,
            (None, "explicit") => false,
            (None, _) => true,
        }
    }

    /// The task that a play's fact gathering stands for.
    pub(super) fn gather_task(&self) -> Task {
        let play = &self.play.play;
        let text = |t: &str| crate::yaml::Node::text(t, &play.span);
        let mut args = vec![];
        if let Some(subset) = &play.gather_subset {
            args.push((text("gather_subset"), subset.clone()));
        }
        if let Some(timeout) = &play.gather_timeout {
            args.push((text("gather_timeout"), timeout.clone()));
        }
        if let Some(path) = &play.fact_path {
            args.push((text("fact_path"), path.clone()));
        }
        let mut task = Task::new(
            crate::playbook::Action::Module { name: "setup".to_owned(), written: "gather_facts".to_owned() },
            crate::playbook::TaskArgs::Named(args),
            &play.span,
        );
        task.keywords.name = Some(text("Gathering Facts"));
        // A play without tags gathers whatever tags are asked for.
        if play.keywords.tags.is_empty() {
            task.keywords.tags = vec![text("always")];
        }
        task
    }

    /// The task the host stands at, entering and leaving blocks on the way; `None` at the end of the play.
    pub fn current(&self, st: &mut HostState) -> Option<(Arc<Task>, Arc<Lineage>)> {
        loop {
            if st.end != End::Running {
                return None;
            }
            if matches!(st.frames.last(), Some(Frame { kind: FrameKind::Handlers, .. })) {
                self.take_notifications(st);
            }
            let Some(frame) = st.frames.last_mut() else {
                st.end = match (st.failed, st.barred) {
                    (true, _) => End::Failed,
                    (_, true) => End::Barred,
                    _ => End::Done,
                };
                return None;
            };
            if matches!(frame.kind, FrameKind::Handlers) {
                if let Some(index) = st.notified.range(frame.next..).next().copied() {
                    frame.next = index;
                    let handler = &st.handlers[index];
                    let lineage = match st.maybe_notified.get(&index) {
                        Some(unknown) => Lineage::below_maybe(&handler.lineage, unknown.clone()),
                        None => handler.lineage.clone(),
                    };
                    return Some((handler.task.clone(), lineage));
                }
                // A handler that one behind it notified waits for the next flush.
                st.frames.pop();
                continue;
            }
            if let (FrameKind::Role(role), 0) = (&frame.kind, frame.next) {
                // A role runs once per play and host, unless it allows more.
                if is_duplicate(role, &st.ran_roles) {
                    st.frames.pop();
                    continue;
                }
            }
            match frame.items.get(frame.next) {
                None => self.leave(st),
                Some(Item::Task(task)) => {
                    let found = (task.clone(), frame.lineage.clone());
                    return Some(found);
                }
                Some(Item::Block(block)) => {
                    let block = block.clone();
                    let lineage = Lineage::below(&frame.lineage, Source::Block(block.clone()));
                    frame.next += 1;
                    if role_of(&block).is_some_and(|role| is_duplicate(role, &st.ran_roles)) {
                        continue;
                    }
                    st.frames.push(Frame {
                        items: Arc::new(block.block.clone()),
                        next: 0,
                        lineage,
                        kind: FrameKind::Block { block, phase: Phase::Block },
                    });
                }
            }
        }
    }

    /// The current task is done with: on to the next one.
    pub fn advance(&self, st: &mut HostState) {
        st.loop_state = None;
        if let Some(frame) = st.frames.last_mut() {
            if matches!(frame.kind, FrameKind::Handlers) {
                st.notified.remove(&frame.next);
                if st.maybe_notified.contains_key(&frame.next) {
                    Arc::make_mut(&mut st.maybe_notified).remove(&frame.next);
                }
            }
            frame.next += 1;
        }
    }

    /// The innermost frame is exhausted.
    fn leave(&self, st: &mut HostState) {
        let Some(frame) = st.frames.pop() else { return };
        let (block, phase) = match frame.kind {
            FrameKind::Block { block, phase } => (block, phase),
            FrameKind::Role(role) => return self.complete(st, &role, &frame.lineage),
            _ => return,
        };
        match phase {
            Phase::Block | Phase::Rescue => {
                if let Some(role) = role_of(&block) {
                    self.complete(st, role, &frame.lineage);
                }
                if !block.always.is_empty() {
                    st.frames.push(Frame {
                        items: Arc::new(block.always.clone()),
                        next: 0,
                        lineage: frame.lineage,
                        kind: FrameKind::Block { block, phase: Phase::Always { failed: false } },
                    });
                }
            }
            Phase::Always { failed: false } => {}
            Phase::Always { failed: true } => {
                self.fail(st);
            }
        }
    }

    /// A role came to its end. What tells Ansible that it ran is a task with the role's tags and `always`: tags may leave it out.
    pub(super) fn complete(&self, st: &mut HostState, role: &Arc<RoleUse>, lineage: &Arc<Lineage>) {
        if st.begun_roles.contains(&*role.identity) && self.implied(st, lineage, &role.span) {
            Arc::make_mut(&mut st.ran_roles).insert(role.identity.to_string());
        }
    }

    /// Whether tags select what Ansible does as a task of its own at a place: it has the place's tags and `always`.
    fn implied(&self, st: &HostState, lineage: &Arc<Lineage>, at: &Span) -> bool {
        use crate::playbook::{Action, TaskArgs};
        use crate::yaml::Node;
        let mut task = Task::new(Action::Meta(Node::text("noop", at)), TaskArgs::Named(vec![]), at);
        task.keywords.tags = vec![Node::text("always", at)];
        self.tags_of(st, &Arc::new(task), lineage).is_ok_and(|tags| self.run.selects(&tags))
    }

    /// The current task failed for good: winds out to the nearest `rescue` or `always`. True if a rescue takes over.
    pub fn fail(&self, st: &mut HostState) -> bool {
        st.loop_state = None;
        while let Some(frame) = st.frames.pop() {
            let FrameKind::Block { block, phase } = frame.kind else { continue };
            let next = match phase {
                Phase::Block if self.any_selected(st, &block.rescue, &frame.lineage) => {
                    Some((block.rescue.clone(), Phase::Rescue))
                }
                Phase::Block | Phase::Rescue if !block.always.is_empty() => {
                    Some((block.always.clone(), Phase::Always { failed: true }))
                }
                _ => None,
            };
            if let Some((items, phase)) = next {
                let rescued = matches!(phase, Phase::Rescue);
                st.frames.push(Frame {
                    items: Arc::new(items),
                    next: 0,
                    lineage: frame.lineage,
                    kind: FrameKind::Block { block, phase },
                });
                return rescued;
            }
        }
        st.failed = true;
        if self.force_handlers() && !(st.notified.is_empty() && st.notifications.is_empty()) {
            st.frames.push(Frame {
                items: Arc::default(),
                next: 0,
                lineage: Lineage::of_play(&self.play.play),
                kind: FrameKind::Handlers,
            });
        } else {
            st.end = End::Failed;
        }
        false
    }

    /// [`Self::fail`]; true if it counts as rescued: a block around it has a `rescue`, whatever comes before that.
    pub fn fails(&self, st: &mut HostState) -> bool {
        let rescued = self.would_be_rescued(st);
        self.fail(st);
        rescued
    }

    /// True if a failure of the current task would be taken by a `rescue`.
    pub fn would_be_rescued(&self, st: &HostState) -> bool {
        st.frames.iter().rev().any(|frame| match &frame.kind {
            FrameKind::Block { block, phase: Phase::Block } => self.any_selected(st, &block.rescue, &frame.lineage),
            _ => false,
        })
    }

    /// Whether tags select any of the tasks: to Ansible a `rescue` of which they leave nothing is none.
    fn any_selected(&self, st: &HostState, items: &[Item], lineage: &Arc<Lineage>) -> bool {
        items.iter().any(|item| match item {
            Item::Task(task) => self.tags_of(st, task, lineage).map_or(true, |tags| self.run.selects(&tags)),
            Item::Block(block) => {
                let lineage = Lineage::below(lineage, Source::Block(block.clone()));
                [&block.block, &block.rescue, &block.always].iter().any(|part| self.any_selected(st, part, &lineage))
            }
        })
    }

    /// True if the next task is a handler.
    pub fn stands_at_handler(&self, st: &HostState) -> bool {
        st.frames.last().is_some_and(|frame| matches!(frame.kind, FrameKind::Handlers)) && !st.notified.is_empty()
    }

    /// Runs what is notified next, as `meta: flush_handlers` does.
    pub fn push_handlers(&self, st: &mut HostState) -> bool {
        st.frames.push(Frame {
            items: Arc::default(),
            next: 0,
            lineage: Lineage::of_play(&self.play.play),
            kind: FrameKind::Handlers,
        });
        true
    }

    fn force_handlers(&self) -> bool {
        self.run.options.force_handlers
            || self.play.play.force_handlers.as_ref().is_some_and(|node| {
                matches!(&node.value, crate::yaml::Yaml::Bool(true))
                    || node.as_str().and_then(crate::resources::truth).unwrap_or(false)
            })
    }

    /// Pushes the tasks of a run-time include.
    pub fn enter(&self, st: &mut HostState, items: Vec<Item>, lineage: Arc<Lineage>) {
        self.enter_frames(st, vec![Frame { items: Arc::new(items), next: 0, lineage, kind: FrameKind::Plain }]);
    }

    /// What a looped include brings in runs after the loop, as in Ansible.
    fn enter_frames(&self, st: &mut HostState, frames: Vec<Frame>) {
        match &mut st.loop_state {
            Some(looping) => looping.includes.push(frames),
            None => st.frames.extend(frames),
        }
    }

    /// Pushes a role included at run time; its handlers can be notified from now on.
    pub fn enter_role(&self, st: &mut HostState, role: &Arc<RoleUse>, lineage: &Arc<Lineage>) {
        Arc::make_mut(&mut st.included_roles).push(role.clone());
        let mut handlers = vec![];
        collect_role_handlers(role, lineage, &mut handlers);
        let known = Arc::make_mut(&mut st.handlers);
        let lists = known.last().map_or(0, |h| h.list + 1);
        for handler in &mut handlers {
            handler.list += lists;
        }
        known.extend(handlers);
        let mut frames = vec![];
        push_role(&mut frames, role, lineage);
        self.enter_frames(st, frames);
    }
}

/// The role a block stands for.
pub(super) fn role_of(block: &Block) -> Option<&Arc<RoleUse>> {
    block.role.as_ref().filter(|_| matches!(block.origin, BlockOrigin::Role | BlockOrigin::ImportRole))
}

/// Whether a role ran before and does not run again.
fn is_duplicate(role: &RoleUse, ran: &BTreeSet<String>) -> bool {
    !role.allow_duplicates && ran.contains(&*role.identity)
}

/// Where roles are imported, with all that is around.
fn import_places(items: &[Item], lineage: &Arc<Lineage>, into: &mut Vec<(Arc<RoleUse>, Arc<Lineage>)>) {
    for item in items {
        let Item::Block(block) = item else { continue };
        let inner = Lineage::below(lineage, Source::Block(block.clone()));
        if let (BlockOrigin::ImportRole, Some(role)) = (&block.origin, &block.role) {
            into.push((role.clone(), inner.clone()));
        }
        for items in [&block.block, &block.rescue, &block.always] {
            import_places(items, &inner, into);
        }
    }
}

fn collect_role_handlers(role: &Arc<RoleUse>, parent: &Arc<Lineage>, into: &mut Vec<Handler>) {
    for dependency in &role.dependencies {
        collect_role_handlers(dependency, parent, into);
    }
    collect_handlers(&role.handlers, &Lineage::below(parent, Source::Role(role.clone())), into);
}

/// Handlers of a list, blocks opened.
fn collect_handlers(items: &[Item], lineage: &Arc<Lineage>, into: &mut Vec<Handler>) {
    let list = into.last().map_or(0, |h| h.list + 1);
    collect_list(items, lineage, list, into);
}

fn collect_list(items: &[Item], lineage: &Arc<Lineage>, list: usize, into: &mut Vec<Handler>) {
    for item in items {
        match item {
            Item::Task(task) => into.push(Handler { task: task.clone(), lineage: lineage.clone(), list }),
            Item::Block(block) => {
                let inner = Lineage::below(lineage, Source::Block(block.clone()));
                collect_list(&block.block, &inner, list, into);
            }
        }
    }
}

/// Frames of a role: its dependencies run first. A role runs once per host unless it allows duplicates or is called
/// differently; the loader numbers equal calls, `role_key` tells them apart at run time.
fn push_role(frames: &mut Vec<Frame>, role: &Arc<RoleUse>, parent: &Arc<Lineage>) {
    let lineage = Lineage::below(parent, Source::Role(role.clone()));
    frames.push(Frame {
        items: Arc::new(role.tasks.clone()),
        next: 0,
        lineage: lineage.clone(),
        kind: FrameKind::Role(role.clone()),
    });
    for dependency in role.dependencies.iter().rev() {
        push_role(frames, dependency, &lineage);
    }
}
