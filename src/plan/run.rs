//! What all hosts of one run share: inventory, loader, template engine, options, and what hosts publish for each other.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use minijinja::Value;

use super::basis::Thing;
use super::state::HostVars;
use super::step::{Event, Sink};
use super::together::Together;
use crate::inventory::Inventory;
use crate::node::{HostKeyPolicy, Secret};
use crate::playbook::{Loader, Play, RoleUse, Task};
use crate::problem::Problem;
use crate::template::{Context, Engine, SearchPaths};
use crate::vars::Scope;
use crate::yaml::Node;

/// What the operator asked for, resolved from command line and settings.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// `-C`: nothing is changed, as `plan`; `ansible_check_mode` is true.
    pub check: bool,
    pub diff: bool,
    pub verbosity: u8,
    pub tags: Vec<String>,
    pub skip_tags: Vec<String>,
    pub limit: Option<String>,
    pub forks: usize,
    pub force_handlers: bool,
    /// Notifying a handler that does not exist is only worth a warning (`error_on_missing_handler = False`).
    pub allow_missing_handlers: bool,
    pub start_at_task: Option<String>,
    pub connection: Option<String>,
    pub remote_user: Option<String>,
    pub private_key: Option<PathBuf>,
    pub password: Option<Secret>,
    pub key_passphrase: Option<Secret>,
    pub r#become: bool,
    pub become_user: Option<String>,
    pub become_method: Option<String>,
    pub become_password: Option<Secret>,
    pub ssh_args: Vec<String>,
    pub host_keys: HostKeyPolicy,
    pub connect_timeout: Duration,
    pub ssh_retries: u64,
    pub command_timeout: Duration,
    /// `gathering`: `implicit`, `explicit` or `smart`.
    pub gathering: String,
    pub any_errors_fatal: bool,
    /// `--step`.
    pub step: bool,
    /// Facts are variables too (`ansible_NAME`).
    pub inject_facts: bool,
    pub fact_cache: super::kept::FactCache,
    /// The strategy of plays that name none.
    pub strategy: String,
    /// A role's variables are seen by that role only (`private_role_vars`).
    pub private_role_vars: bool,
    /// Seconds between looks at a background task, where it does not say so itself.
    pub poll_interval: u64,
    pub config_file: Option<PathBuf>,
    /// What holds for tasks that say nothing of their own.
    pub remote_port: Option<u16>,
    pub become_flags: Option<String>,
    pub become_exe: Option<String>,
    pub no_log: bool,
    pub task_timeout: u64,
    /// Who answers `pause`; `None`: nobody, it does not wait for an answer.
    pub ask: Option<crate::resources::AskOperator>,
    /// What is changed is noted on the nodes, which are locked meanwhile. `None`: nothing is changed.
    pub recording: Option<Arc<super::recording::Recording>>,
}

/// One play as it runs on one batch of hosts.
pub struct PlayRun {
    pub play: Arc<Play>,
    pub index: usize,
    pub name: String,
    pub hosts_all: Vec<String>,
    /// The same in the inventory's order, whatever `order` says.
    pub hosts_as_listed: Vec<String>,
    pub batch: Vec<String>,
    /// Vars files whose names only a host can tell, with their place among `scopes`.
    pub late_vars_files: Vec<(usize, Node)>,
    /// vars_files, vars_prompt and vars of the play, weakest first.
    pub scopes: Vec<Arc<Scope>>,
    /// Every task that fails on a host ends the play for all of them, unless it says otherwise.
    pub any_errors_fatal: bool,
    /// More failed hosts than this share of the batch end the play.
    pub max_fail_percentage: Option<f64>,
    /// `strategy: free` or `host_pinned`: no task is run once, no failure concerns other hosts.
    pub independent: bool,
    /// Roles of the play (dependencies first), whose defaults and vars every task of the play sees.
    pub roles: Vec<Arc<RoleUse>>,
}

/// Defaults and variables of one role use as scopes.
pub struct RoleScopes {
    pub defaults: Arc<Scope>,
    pub entry_vars: Arc<Scope>,
    pub vars: Arc<Scope>,
    pub params: Arc<Scope>,
}

pub struct Run {
    pub inventory: RwLock<Inventory>,
    pub loader: Arc<Loader>,
    pub engine: Arc<Engine>,
    pub options: RunOptions,
    pub playbook_dir: PathBuf,
    pub extra_vars: Arc<Scope>,
    pub sink: Arc<dyn Sink>,
    secrets: Arc<crate::vars::vault::VaultSecrets>,
    /// Variables each host has come to, readable by others through hostvars.
    pub published: Mutex<HashMap<String, HostVars>>,
    /// Background tasks the run started.
    pub jobs: Arc<crate::resources::background::Jobs>,
    /// Where hosts of the running batch wait for each other.
    pub together: Together,
    pub start: super::begin::Start,
    /// What nodes owe from earlier runs.
    pub debts: super::recording::Debts,
    playbook_name: std::sync::OnceLock<String>,
    pub(super) asked: Option<super::begin::Asked>,
    pub(super) first_inventory: Inventory,
    pub(super) inventory_version: std::sync::atomic::AtomicU64,
    pub(super) additions: Mutex<Vec<super::dynamic::Addition>>,
    pub(super) reload: std::sync::OnceLock<super::dynamic::Reload>,
    host_scopes: Mutex<HashMap<String, Arc<Vec<Arc<Scope>>>>>,
    role_scopes: Mutex<HashMap<usize, (Arc<RoleUse>, Arc<RoleScopes>)>>,
    warned: Mutex<std::collections::BTreeSet<String>>,
    /// Digests of the answers each step rests on are kept: a plan is saved, or a saved one applied.
    keeps_basis: AtomicBool,
    /// When the run began, for the times of its steps.
    pub started: std::time::Instant,
    watch: Mutex<Option<super::explain::Watch>>,
    guard: RwLock<Option<Arc<super::guard::Guard>>>,
    /// Tags select nothing for now: a plan of all there is, to see what a selection leaves out.
    all_tags: AtomicBool,
    /// Variables each task mentions, by the task's address (the task is kept, so that it stays its own).
    mentions: Mutex<HashMap<usize, (Arc<Task>, Arc<BTreeSet<Thing>>)>>,
}

impl Run {
    #[expect(clippy::too_many_arguments, reason = "the parts of a run, each from another room")]
    pub fn new(
        inventory: Inventory,
        loader: Arc<Loader>,
        engine: Arc<Engine>,
        options: RunOptions,
        playbook_dir: PathBuf,
        extra_vars: Arc<Scope>,
        sink: Arc<dyn Sink>,
        secrets: Arc<crate::vars::vault::VaultSecrets>,
    ) -> Arc<Self> {
        Arc::new(Self {
            start: super::begin::Start::default(),
            debts: super::recording::Debts::default(),
            playbook_name: std::sync::OnceLock::new(),
            asked: options.step.then(super::begin::Asked::default),
            first_inventory: inventory.clone(),
            inventory: RwLock::new(inventory),
            inventory_version: std::sync::atomic::AtomicU64::new(0),
            additions: Mutex::default(),
            reload: std::sync::OnceLock::new(),
            loader,
            engine,
            options,
            playbook_dir,
            extra_vars,
            sink,
            secrets,
            published: Mutex::default(),
            jobs: Arc::default(),
            together: Together::default(),
            host_scopes: Mutex::default(),
            role_scopes: Mutex::default(),
            warned: Mutex::default(),
            keeps_basis: AtomicBool::new(false),
            started: std::time::Instant::now(),
            watch: Mutex::default(),
            guard: RwLock::default(),
            all_tags: AtomicBool::new(false),
            mentions: Mutex::default(),
        })
    }

    /// True if steps keep digests of what they rest on.
    pub fn keeps_basis(&self) -> bool {
        self.keeps_basis.load(Ordering::Relaxed)
    }

    pub fn keep_basis(&self) {
        self.keeps_basis.store(true, Ordering::Relaxed);
    }

    /// From now on visits of a task are noted.
    pub fn set_watch(&self, watch: super::explain::Watch) {
        *lock(&self.watch) = Some(watch);
    }

    pub fn take_watch(&self) -> super::explain::Watch {
        lock(&self.watch).take().unwrap_or_default()
    }

    /// Notes something, if anybody asked for it.
    pub(super) fn watching(&self, note: impl FnOnce(&mut super::explain::Watch)) {
        if let Some(watch) = lock(&self.watch).as_mut() {
            note(watch);
        }
    }

    /// Limits of the apply that follows.
    pub fn guard(&self) -> Option<Arc<super::guard::Guard>> {
        self.guard.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn set_guard(&self, guard: super::guard::Guard) {
        *self.guard.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(guard));
    }

    /// From now on every tag is selected (`true`), or those of the command line.
    pub fn select_all_tags(&self, all: bool) {
        self.all_tags.store(all, Ordering::Relaxed);
    }

    /// The playbook's name, as ledgers have it.
    pub fn playbook_name(&self) -> String {
        self.playbook_name.get().cloned().unwrap_or_default()
    }

    pub fn set_playbook_name(&self, name: String) {
        drop(self.playbook_name.set(name));
    }

    /// True if tags select a task.
    pub fn selects(&self, tags: &[String]) -> bool {
        let wanted: &[String] = if self.all_tags.load(Ordering::Relaxed) { &[] } else { &self.options.tags };
        crate::playbook::selected(tags, wanted, &self.options.skip_tags)
    }

    /// Variables a task mentions; found once per task.
    pub fn mentions_of(&self, task: &Arc<Task>, find: impl FnOnce() -> BTreeSet<String>) -> BTreeSet<Thing> {
        let key = Arc::as_ptr(task) as usize;
        if let Some((_, found)) = lock(&self.mentions).get(&key) {
            return (**found).clone();
        }
        let found: Arc<BTreeSet<Thing>> = Arc::new(find().into_iter().map(Thing::Variable).collect());
        lock(&self.mentions).insert(key, (task.clone(), found.clone()));
        (*found).clone()
    }

    /// Says a warning once.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        if lock(&self.warned).insert(text.clone()) {
            self.sink.event(&Event::Warning(text));
        }
    }

    /// Inventory scopes of a host, weakest first; kept, since files are read for them.
    pub fn host_scopes(&self, host: &str) -> Result<Arc<Vec<Arc<Scope>>>, Problem> {
        if let Some(scopes) = lock(&self.host_scopes).get(host) {
            return Ok(scopes.clone());
        }
        let inventory = self.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let scopes = Arc::new(inventory.scopes_for(host, Some(&self.playbook_dir))?);
        lock(&self.host_scopes).insert(host.to_owned(), scopes.clone());
        Ok(scopes)
    }

    /// The inventory changed (add_host, group_by): scopes are made anew.
    pub fn inventory_changed(&self) {
        self.inventory_version.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.forget_host_scopes();
    }

    pub(super) fn forget_host_scopes(&self) {
        lock(&self.host_scopes).clear();
    }

    pub fn role_scopes(&self, role: &Arc<RoleUse>) -> Arc<RoleScopes> {
        let key = Arc::as_ptr(role) as usize;
        let mut cache = lock(&self.role_scopes);
        // The cache keeps the role alive, so an address is never reused for another one.
        if let Some((_, scopes)) = cache.get(&key) {
            return scopes.clone();
        }
        let name = &role.role.name;
        let own =
            |label: &str, vars: &[(String, Node)]| Scope::written(format!("{label} ({name})"), vars.iter().cloned());
        let scopes = Arc::new(RoleScopes {
            defaults: own("role defaults", &role.defaults),
            entry_vars: own("vars of the role entry", &role.keywords.vars),
            vars: own("role vars", &role.vars),
            params: own("role parameters", &role.params),
        });
        cache.insert(key, (role.clone(), scopes.clone()));
        scopes
    }

    /// A host's variables outside any task: inventory, facts, set_facts, extra vars. What hostvars shows.
    pub fn host_context(self: &Arc<Self>, host: &str) -> Result<Context, Problem> {
        let vars = lock(&self.published).get(host).cloned().unwrap_or_default();
        let mut scopes: Vec<Arc<Scope>> = self.host_scopes(host)?.to_vec();
        scopes.push(vars.facts_scope.clone());
        scopes.push(vars.included.clone());
        scopes.push(vars.set.clone());
        scopes.push(self.extra_vars.clone());
        scopes.push(super::magic::of_host(self, host));
        let paths =
            SearchPaths { roles: vec![], task_dir: self.playbook_dir.clone(), playbook_dir: self.playbook_dir.clone() };
        Ok(Context::new(&self.engine, scopes, Arc::new(paths)))
    }

    /// Opens a vaulted file of the control machine.
    pub fn decrypt(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        self.secrets.decrypt(&String::from_utf8_lossy(bytes)).map_err(crate::vars::vault::VaultError::into_problem)
    }

    /// Makes a host's variables visible to the others, with what they gave it since.
    pub fn publish(&self, host: &str, vars: &HostVars, taken: usize) {
        let mut published = lock(&self.published);
        let mut vars = vars.clone();
        for given in self.together.given(host, taken) {
            vars.take(given);
        }
        published.insert(host.to_owned(), vars);
    }

    /// What a task sets for another host (`delegate_facts`): visible at once; the host takes it up when it comes to its next task.
    pub fn give(&self, host: &str, given: super::together::Given) {
        let mut published = lock(&self.published);
        published.entry(host.to_owned()).or_default().take(given.clone());
        self.together.give(host, given);
    }

    /// The value hosts see as `groups`.
    pub fn groups_value(&self) -> Value {
        let inventory = self.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Value::from_pairs(inventory.groups.keys().map(|name| (name.clone(), Value::from(inventory.hosts_of(name)))))
    }
}

/// Locks, also when another thread panicked: that panic is reported on its own.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
