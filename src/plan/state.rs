//! Everything that is true of one host at one moment of a run: small, cheap to clone, so that evaluation can be
//! suspended, resumed, and wound back to before a step.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use super::lineage::Lineage;
use super::step::{HostSummary, Order};
use crate::playbook::{Block, Item, RoleUse, Task};
use crate::vars::{Definition, Scope};
use crate::world::{Effect, World};

/// Variables of a host that come into being during the run, each kind as a ready scope.
#[derive(Debug, Clone)]
pub struct HostVars {
    /// `ansible_facts`, without prefix.
    pub facts: Arc<IndexMap<String, Value>>,
    /// Facts a module returned without the prefix (`getent_passwd`, `packages`): they are variables by that name too.
    pub bare_facts: Arc<std::collections::BTreeSet<String>>,
    /// `ansible_facts` itself and each fact as `ansible_NAME`; made anew when facts change.
    pub facts_scope: Arc<Scope>,
    /// include_vars.
    pub included: Arc<Scope>,
    /// set_fact and registered results.
    pub set: Arc<Scope>,
    /// Facts are no variables of their own (`inject_facts_as_vars = False`).
    pub facts_apart: bool,
}

impl Default for HostVars {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            bare_facts: Arc::default(),
            facts_scope: Scope::finals(
                "facts",
                [("ansible_facts".to_owned(), Value::from_pairs(Vec::<(String, Value)>::new()))],
            ),
            included: Arc::new(Scope::new("include_vars")),
            set: Arc::new(Scope::new("set_fact and register")),
            facts_apart: false,
        }
    }
}

impl HostVars {
    pub fn set_fact(&mut self, name: &str, value: Value) {
        Arc::make_mut(&mut self.set).vars.insert(name.to_owned(), Definition::Final(value));
    }

    /// Takes in what another host's task set for this one.
    pub fn take(&mut self, given: super::together::Given) {
        match given {
            super::together::Given::Variables(all) => {
                for (name, value) in all {
                    self.set_fact(&name, value);
                }
            }
            super::together::Given::Facts(all) => self.add_facts(all),
        }
    }

    pub fn include(&mut self, name: &str, definition: Definition) {
        Arc::make_mut(&mut self.included).vars.insert(name.to_owned(), definition);
    }

    /// Takes facts in; names come with or without `ansible_`.
    pub fn add_facts(&mut self, facts: impl IntoIterator<Item = (String, Value)>) {
        let all = Arc::make_mut(&mut self.facts);
        for (name, value) in facts {
            let short = name.strip_prefix("ansible_").unwrap_or(&name).to_owned();
            if short == name {
                Arc::make_mut(&mut self.bare_facts).insert(name);
            }
            all.insert(short, value);
        }
        self.rebuild_facts_scope();
    }

    /// Takes facts in under just these names.
    pub fn add_bare_facts(&mut self, facts: impl IntoIterator<Item = (String, Value)>) {
        for (name, value) in facts {
            Arc::make_mut(&mut self.bare_facts).insert(name.clone());
            Arc::make_mut(&mut self.facts).insert(name, value);
        }
        self.rebuild_facts_scope();
    }

    pub fn clear_facts(&mut self) {
        self.facts = Arc::default();
        self.bare_facts = Arc::default();
        self.rebuild_facts_scope();
    }

    fn rebuild_facts_scope(&mut self) {
        let mut scope = Scope::new("facts");
        for (name, value) in self.facts.iter().filter(|_| !self.facts_apart) {
            let name = if self.bare_facts.contains(name) { name.clone() } else { format!("ansible_{name}") };
            scope.vars.insert(name, Definition::Final(value.clone()));
        }
        let map = Value::from_pairs(self.facts.iter().map(|(k, v)| (k.clone(), v.clone())));
        scope.vars.insert("ansible_facts".to_owned(), Definition::Final(map));
        self.facts_scope = Arc::new(scope);
    }
}

/// A list of items being worked through.
#[derive(Debug, Clone)]
pub struct Frame {
    pub items: Arc<Vec<Item>>,
    pub next: usize,
    pub lineage: Arc<Lineage>,
    pub kind: FrameKind,
}

#[derive(Debug, Clone)]
pub enum FrameKind {
    /// A section of the play, a role's tasks, an included file.
    Plain,
    /// The end of a role's tasks (for `meta: end_role`).
    Role(#[allow(dead_code)] Arc<RoleUse>),
    Block {
        block: Arc<Block>,
        phase: Phase,
    },
    /// Runs what is notified; `next` is the handler to look at next.
    Handlers,
}

#[derive(Debug, Clone)]
pub enum Phase {
    Block,
    Rescue,
    /// `failed`: the failure goes on outwards when `always` is done.
    Always {
        failed: bool,
    },
}

/// The task being looped over.
#[derive(Debug, Clone)]
pub struct LoopState {
    pub items: Arc<Vec<Value>>,
    pub next: usize,
    /// Registered result of each item that is done.
    pub results: Vec<Value>,
    pub changed: bool,
    pub failed: bool,
    pub skipped: usize,
    pub unreachable: bool,
    /// What an include brought in for each item: it runs after the loop.
    pub includes: Vec<Vec<Frame>>,
    /// Something to be included was not there: the host fails after the loop.
    pub broken_include: bool,
    /// What the items that ran would notify: all of it, when any of them changed something and none failed.
    pub notifies: Vec<String>,
    /// Why it is not known whether an item changed something.
    pub maybe_changed: Option<crate::template::Unknown>,
}

impl LoopState {
    /// At the first of the items.
    pub fn over(items: Vec<Value>) -> Self {
        Self {
            items: Arc::new(items),
            next: 0,
            results: vec![],
            changed: false,
            failed: false,
            skipped: 0,
            unreachable: false,
            includes: vec![],
            broken_include: false,
            notifies: vec![],
            maybe_changed: None,
        }
    }
}

/// A handler as it can be notified.
#[derive(Debug, Clone)]
pub struct Handler {
    pub task: Arc<Task>,
    pub lineage: Arc<Lineage>,
    /// The list it came with. Of one name the last list has it, and in it the first handler.
    pub list: usize,
}

/// How a host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    #[default]
    Running,
    /// Everything done, or `meta: end_host`/`end_play`.
    Done,
    Failed,
    Unreachable,
    /// Rescued from an include that is not there: the run does not fail, but no later play has the host, as in Ansible.
    Barred,
}

#[derive(Debug, Clone, Default)]
pub struct HostState {
    /// See [`End::Barred`].
    pub barred: bool,
    pub frames: Vec<Frame>,
    pub vars: HostVars,
    /// Answers of each target (the host itself, and what it delegates to), one world per identity.
    pub worlds: HashMap<String, Target>,
    pub handlers: Arc<Vec<Handler>>,
    /// What was notified since handlers ran last, and whether that is not known: names become handlers when they are to run.
    pub notifications: Arc<Vec<(String, Option<crate::template::Unknown>)>>,
    /// A change notified what does not exist: the run ends.
    pub missing_handler: Option<Arc<crate::problem::Problem>>,
    /// Indices into `handlers` that were notified and did not run yet.
    pub notified: std::collections::BTreeSet<usize>,
    pub loop_state: Option<LoopState>,
    pub end: End,
    /// What failed last (`ansible_failed_task`, `ansible_failed_result`): like Ansible's facts of that name, it stays.
    pub failure: Option<(Value, Value)>,
    /// Roles whose tasks ran on this host (de-duplication).
    pub ran_roles: Arc<std::collections::BTreeSet<String>>,
    /// Roles of which a task ran, not only was skipped: only they count as run when they end.
    pub begun_roles: Arc<std::collections::BTreeSet<String>>,
    /// How often the current step was tried (`until`, `retries`).
    pub tries: i64,
    /// Roles that `include_role` made `public`: from then on every task of the play sees their defaults and vars.
    pub public_roles: Arc<Vec<Arc<RoleUse>>>,
    /// Roles that `include_role` brought in, for the names of the play's roles.
    pub included_roles: Arc<Vec<Arc<RoleUse>>>,
    /// How much of what other hosts' tasks set for this one was taken up (`delegate_facts`).
    pub given: usize,
    /// What is evaluated now rests on answers or actions that are still on their way: nobody is waited for.
    pub speculative: bool,
    /// How often `run_once` tasks were come to.
    pub visits: Arc<HashMap<(String, usize), usize>>,
    /// Tasks by how they ended, counted as Ansible does: a loop is one task.
    pub counts: HostSummary,
    /// In a plan: a step before may have changed the node in ways that are not known, so what seems to be missing may be there by then.
    pub clouded: Option<crate::template::Unknown>,
    /// The same, and not even where.
    pub unsure: bool,
    /// In a plan: what of the node those steps may have changed.
    pub clouds: Arc<Vec<super::cloud::Cloud>>,
    /// Number of the next step on this host, over all plays.
    pub seq: usize,
    /// Under a guard: how often each place was come to, and the steps that stopped.
    pub come_to: Arc<HashMap<(String, String, Option<String>), usize>>,
    pub stopped: Arc<std::collections::HashSet<super::guard::StepKey>>,
    /// In a plan: handlers that may be notified, by a step of which that is not known.
    pub maybe_notified: Arc<std::collections::BTreeMap<usize, crate::template::Unknown>>,
    /// `--start-at-task` was not come to yet.
    pub starting: bool,
    /// Before its next task the host waits for the others: what happened there may concern it.
    pub meet: bool,
    /// Failures with `any_errors_fatal` that this host has taken note of.
    pub seen_fatal: Arc<std::collections::BTreeSet<super::together::OnceKey>>,
    /// Handlers owed from an earlier run, with that run: they are marked as notified here.
    pub debts: Arc<std::collections::BTreeMap<usize, String>>,
    /// A failed host that only runs what `force_handlers` and `always` ask for.
    pub failed: bool,
}

/// What is known of one target: a world per identity (become user); predictions are the node's and in each.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub worlds: HashMap<String, World>,
    /// Predictions so far with the step they are of, to seed the world of an identity that comes later.
    predicted: Arc<Vec<(Effect, usize)>>,
}

impl HostState {
    /// The world of a target as an identity, made with the predictions so far if it is new.
    pub fn world(&mut self, target: &str, identity: &str) -> &mut World {
        let target = self.worlds.entry(target.to_owned()).or_default();
        let predicted = target.predicted.clone();
        target.worlds.entry(identity.to_owned()).or_insert_with(|| {
            let mut world = World::default();
            for (effect, maker) in predicted.iter() {
                world.predict_by(std::slice::from_ref(effect), *maker);
            }
            world
        })
    }

    /// Keeps what was observed, drops what was foretold: a plan's state as the start of an apply.
    pub fn forget_predictions(&mut self) {
        for target in self.worlds.values_mut() {
            for world in target.worlds.values_mut() {
                world.forget_predictions();
            }
            target.predicted = Arc::default();
        }
    }

    /// Overlays effects on every identity's world of a target.
    pub fn predict(&mut self, target: &str, effects: &[Effect]) {
        if effects.is_empty() {
            return;
        }
        let maker = self.seq;
        let target = self.worlds.entry(target.to_owned()).or_default();
        for world in target.worlds.values_mut() {
            world.predict_by(effects, maker);
        }
        Arc::make_mut(&mut target.predicted).extend(effects.iter().map(|e| (e.clone(), maker)));
    }

    /// What was foretold has come about on every target: whatever it touched is asked again where it matters.
    pub fn realize(&mut self) {
        for target in self.worlds.values_mut() {
            for world in target.worlds.values_mut() {
                world.realize();
            }
            target.predicted = Arc::default();
        }
    }

    /// A step ran whose effects are not known: nothing but facts is certain of the target any more.
    pub fn forget(&mut self, target: &str) {
        if let Some(target) = self.worlds.get_mut(target) {
            for world in target.worlds.values_mut() {
                world.forget();
            }
            target.predicted = Arc::default();
        }
    }

    /// True if answers rest on foretold effects, which know less than the node does (times, inodes).
    pub fn has_predictions(&self) -> bool {
        self.worlds.values().any(|target| !target.predicted.is_empty())
    }

    /// Everything foretold came to pass, and more is wanted than was foretold: all is asked again.
    pub fn forget_all(&mut self) {
        let targets: Vec<String> = self.worlds.keys().cloned().collect();
        for target in targets {
            self.forget(&target);
        }
    }

    /// Where the current task stands in the play, for reports: blocks tell their phases apart, items of a loop are one task.
    pub fn order(&self) -> Order {
        let mut order = vec![];
        for frame in &self.frames {
            if let FrameKind::Block { phase, .. } = &frame.kind {
                order.push(match phase {
                    Phase::Block => 0,
                    Phase::Rescue => 1,
                    Phase::Always { .. } => 2,
                });
            }
            order.push(frame.next);
        }
        Order(order)
    }

    /// A number path that orders steps of one play: how far each frame has come. Items of a loop do not count: hosts that read each
    /// other in a loop would wait for each other.
    pub fn position(&self) -> Vec<usize> {
        self.frames.iter().map(|f| f.next).collect()
    }
}
