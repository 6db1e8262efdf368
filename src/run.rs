//! The whole pipeline on one screen: load → select → observe → plan → apply → report.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::apply::{self, Phase, States};
use crate::config::{HashBehaviour, Settings};
use crate::inventory::{Decrypt, Inventory, LoadOptions};
use crate::node::HostKeyPolicy;
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::passwords;
use crate::plan::{self, Batches, Fleet, Outcome, Run, RunOptions, Sink};
use crate::playbook::check::Checked;
use crate::playbook::{self, Loader, LoaderSettings, Playbook};
use crate::problem::{Problem, Problems};
use crate::report::{self, Document, Live, Redactor, Style};
use crate::template::{Engine, EngineOptions};
use crate::vars::Scope;
use crate::vars::vault::VaultSecrets;

/// What was typed.
pub struct Request<'a> {
    pub command: &'a str,
    pub playbooks: &'a [String],
    pub hosts: &'a HostOptions,
    pub select: &'a SelectOptions,
    pub output: &'a OutputOptions,
    pub check: bool,
    /// A playbook that is no file (`kdeploy run`).
    pub inline: Option<Playbook>,
    /// What an inline playbook's files are relative to; the working directory without it.
    pub playbook_dir: Option<PathBuf>,
    /// Answers to prompts, as a saved plan holds them ([`crate::prompt::kept`]): nothing is asked then.
    pub prompted: Option<Vec<String>>,
    /// What shows the run's events; kdeploy's own progress without it.
    pub reporter: Option<MakeReporter<'a>>,
    /// Who answers the questions of `pause`.
    pub ask: Option<crate::resources::AskOperator>,
}

/// Makes what shows a run's events; it keeps secrets out with the redactor.
pub type MakeReporter<'a> = &'a dyn Fn(&Settings, &Redactor) -> Arc<dyn Sink>;

impl<'a> Request<'a> {
    pub fn new(
        command: &'a str,
        playbooks: &'a [String],
        hosts: &'a HostOptions,
        select: &'a SelectOptions,
        output: &'a OutputOptions,
        check: bool,
    ) -> Self {
        Self {
            command,
            playbooks,
            hosts,
            select,
            output,
            check,
            inline: None,
            playbook_dir: None,
            prompted: None,
            reporter: None,
            ask: None,
        }
    }
}

/// What it means: everything loaded and selected, nothing asked of a node yet.
pub struct Project {
    pub run: Arc<Run>,
    pub playbook: Playbook,
    pub schedule: Vec<Batches>,
    pub style: Style,
    pub redactor: Redactor,
    /// Answers to each play's prompts.
    pub prompted: Vec<Arc<crate::vars::Scope>>,
    fleet: Fleet,
    live: Arc<dyn Sink>,
}

impl Project {
    /// Load and select.
    pub fn load(request: &Request) -> Result<Self, Problems> {
        let settings = Settings::load(&std::env::current_dir().unwrap_or_default())?;
        let redactor = Redactor::default();
        Self::load_with(request, &settings, &redactor).map_err(|problems| redactor.clean_problems(problems))
    }

    fn load_with(request: &Request, settings: &Settings, redactor: &Redactor) -> Result<Self, Problems> {
        let style = Style::new(request.output.color, std::io::stdout().is_terminal());
        let live = live(request, settings, redactor)?;
        let secrets = Arc::new(passwords::vault_secrets(&request.hosts.vault, settings, redactor)?);
        let engine = engine(settings, &secrets);
        let decrypt = Decrypt::with(&secrets);
        tell(settings, verbosity(request, settings), &live);
        let extra_vars = crate::vars::extra_vars(&request.hosts.extra_vars, &|path| read_yaml(path, &decrypt))?;
        let inventory = load_inventory(request, settings, &engine, &decrypt, &extra_vars, &live)?;
        let reload = {
            let sources = inventory_sources(request, settings);
            let options = inventory_options(settings, &engine, &decrypt, &extra_vars);
            Box::new(move || Inventory::load(&sources, &options).map(|(inventory, _)| inventory))
        };
        let (paths, playbook_dir) = find_playbooks(request, settings)?;
        let loader = Arc::new(Loader::new(loader_settings(settings, &playbook_dir, &engine, &extra_vars, decrypt)));
        follow_redirects(&engine, &loader, &playbook_dir);
        let playbook = match &request.inline {
            Some(playbook) => playbook.clone(),
            None => load_playbooks(&loader, &paths, &live)?,
        };
        let extra_names: Vec<String> = extra_vars.vars.keys().cloned().collect();
        let options = run_options(request, settings, redactor, &paths)?;
        let run = Run::new(inventory, loader, engine, options, playbook_dir, extra_vars, live.clone(), secrets);
        let prompted = match &request.prompted {
            Some(kept) => crate::prompt::answered(kept),
            None => {
                let render = |play: &Arc<crate::playbook::Play>, node: &crate::yaml::Node| {
                    plan::play_context(&run, play, None).value(node).map_err(|e| e.into_problem().or_at(&node.span))
                };
                crate::prompt::ask_vars(&playbook, &extra_names, &render)?
            }
        };
        run.reload_with(reload);
        run.set_playbook_name(crate::recorded::playbook_name(request, settings, &paths));
        let schedule = plan::schedule(&run, &playbook, &prompted)?;
        Ok(Self { run, playbook, schedule, style, redactor: redactor.clone(), prompted, fleet: Fleet::default(), live })
    }

    /// The conversations with the nodes.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Plays from the end of another project: the connections, and what they keep, go on.
    pub fn with_fleet_of(mut self, other: Self) -> Self {
        self.fleet = other.fleet;
        self
    }

    /// Observe and plan: what would change. The states hold what was observed.
    pub fn plan(&self) -> (Outcome, States) {
        let states = States::default();
        let outcome = apply::walk(&self.run, &self.schedule, &self.fleet, &states, Phase::Plan, &|| false);
        (outcome, states)
    }

    /// Plans once more from what was observed.
    pub fn plan_from(&self, states: States) -> Outcome {
        apply::walk(&self.run, &self.schedule, &self.fleet, &states, Phase::Plan, &|| false)
    }

    /// Who the nodes are, of those that can be reached.
    pub fn node_identities(&self) -> std::collections::BTreeMap<String, plan::NodeIdentity> {
        let mut found = std::collections::BTreeMap::new();
        for batch in self.schedule.iter().flat_map(|p| &p.batches) {
            for host in batch.batch.iter() {
                if !found.contains_key(host)
                    && let Ok(conversation) = self.fleet.conversation(&self.run, batch, host)
                    && let Some(identity) = plan::node_identity(&mut **plan::lock(&conversation))
                {
                    found.insert(host.clone(), identity);
                }
            }
        }
        found
    }

    /// What the nodes tell of who may have changed some of their paths.
    pub fn traces(
        &self,
        paths: &std::collections::BTreeMap<String, Vec<String>>,
    ) -> std::collections::BTreeMap<String, plan::Trace> {
        let mut found = std::collections::BTreeMap::new();
        for batch in self.schedule.iter().flat_map(|p| &p.batches) {
            for (host, paths) in paths.iter().filter(|(host, _)| batch.batch.iter().any(|h| h == *host)) {
                if !found.contains_key(host)
                    && let Ok(conversation) = self.fleet.conversation(&self.run, batch, host)
                {
                    found.insert(host.clone(), plan::Trace::of(&mut **plan::lock(&conversation), paths));
                }
            }
        }
        found
    }

    /// Says a warning on standard error.
    pub fn warn(&self, text: impl Into<String>) {
        self.run.warn(text);
    }

    /// Apply: the same evaluation, carried out. `observed`: what a plan just saw.
    pub fn apply(&self, observed: Option<States>, interrupted: &(dyn Fn() -> bool + Sync)) -> Outcome {
        let states = observed.map(States::into_start).unwrap_or_default();
        let outcome = apply::walk(&self.run, &self.schedule, &self.fleet, &states, Phase::Apply, interrupted);
        self.close_ledgers(&outcome);
        outcome
    }

    /// Looks for what is to be taken back.
    pub fn find_back(&self, want: &apply::Want) -> apply::Backs {
        apply::find_back(&self.run, &self.fleet, &self.schedule, want)
    }

    /// The way back as a plan.
    pub fn planned_back(&self, backs: &apply::Backs) -> Outcome {
        backs.planned(&self.fleet)
    }

    /// Goes the way back. `last`: nothing follows in this run.
    pub fn go_back(&self, backs: &apply::Backs, last: bool) -> Outcome {
        let outcome = backs.carry_out(&self.run, &self.fleet);
        if last {
            self.close_ledgers(&outcome);
        }
        outcome
    }

    /// Tells the ledgers that were written to how the run ended there: one last exchange with each node that was changed.
    pub fn close_ledgers(&self, outcome: &Outcome) {
        apply::close_ledgers(&self.run, &self.fleet, outcome);
    }

    /// The outcome as one JSON document.
    pub fn document(&self, command: &str, started: &str, outcome: &Outcome, planned: bool) -> String {
        let head = Document {
            command,
            playbook: &self.playbook.path.display().to_string(),
            started: started.to_owned(),
            finished: report::now(),
        };
        report::document(&head, outcome, planned, &self.redactor)
    }

    pub fn finish_progress(&self) {
        self.live.finish();
    }

    /// `Plan of playbooks/k8s.yml (3 hosts)`.
    pub fn title(&self, what: &str) -> String {
        let hosts: std::collections::BTreeSet<&String> =
            self.schedule.iter().flat_map(|p| p.batches.iter().flat_map(|b| b.batch.iter())).collect();
        let plural = if hosts.len() == 1 { "host" } else { "hosts" };
        format!("{what} {} ({} {plural})", crate::source::display_path(&self.playbook.path), hosts.len())
    }

    /// An empty selection is an error, with what would have matched.
    pub fn require_selection(&self, allow_empty: bool) -> Result<(), Problems> {
        if allow_empty {
            return Ok(());
        }
        crate::select::require(self)
    }

    /// What `--list-hosts`, `--list-tasks`, `--list-tags` and `--syntax-check` show.
    pub fn listing(&self, select: &SelectOptions) -> Result<Option<String>, Problems> {
        crate::select::listing(self, select)
    }
}

fn live(request: &Request, settings: &Settings, redactor: &Redactor) -> Result<Arc<dyn Sink>, Problem> {
    if let Some(make) = request.reporter {
        return Ok(make(settings, redactor));
    }
    let style = Style::new(request.output.color, std::io::stderr().is_terminal());
    let steps = matches!(request.command, "apply" | "run") && request.output.output != "json";
    let mut live = Live::new(style, request.output.verbose, steps, redactor.clone());
    if let Some(path) = &request.output.events {
        let file = std::fs::File::create(path)
            .map_err(|e| Problem::new("cannot-write", format!("cannot write events to `{}`: {e}", path.display())))?;
        live = live.with_events(file);
    }
    Ok(Arc::new(live))
}

fn engine(settings: &Settings, secrets: &Arc<VaultSecrets>) -> Arc<Engine> {
    let has_secrets = !secrets.is_empty();
    let secrets = secrets.clone();
    let decrypt: crate::template::Decrypt = Arc::new(move |text| {
        let plain = secrets.decrypt(text).map_err(|e| e.into_problem().message)?;
        Ok(String::from_utf8_lossy(&plain).into_owned())
    });
    Engine::new(EngineOptions {
        merge_mappings: settings.hash_behaviour() == HashBehaviour::Merge,
        allow_broken_conditionals: settings.allow_broken_conditionals(),
        config: Some(Arc::new(crate::config::ansible_names::values(settings))),
        plugin_config: Some(Arc::new(crate::config::ansible_names::plugin_values(settings))),
        decrypt: has_secrets.then_some(decrypt),
        ..EngineOptions::default()
    })
}

/// Load without hosts, and list every problem: `kdeploy check`.
pub fn check(request: &Request) -> Result<Checked, Problems> {
    let settings = Settings::load(&std::env::current_dir().unwrap_or_default())?;
    let redactor = Redactor::default();
    let live = live(request, &settings, &redactor)?;
    let secrets = Arc::new(passwords::vault_secrets(&request.hosts.vault, &settings, &redactor)?);
    let engine = engine(&settings, &secrets);
    let decrypt = Decrypt::with(&secrets);
    let extra_vars = crate::vars::extra_vars(&request.hosts.extra_vars, &|path| read_yaml(path, &decrypt))?;
    let cwd = std::env::current_dir().unwrap_or_default();
    let root = settings.root().unwrap_or(&cwd).clone();
    let (mut paths, playbook_dir) = match find_playbooks(request, &settings) {
        Err(problem) if request.playbooks.is_empty() && settings.playbook().is_none() => {
            let found = all_playbooks(&root);
            let dir = found.first().and_then(|p| p.parent()).map(Path::to_owned);
            dir.map(|dir| (found, dir)).ok_or(problem)?
        }
        other => other?,
    };
    if request.playbooks.is_empty() {
        for path in all_playbooks(&root) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let inventory = load_inventory(request, &settings, &engine, &decrypt, &extra_vars, &live)?;
    let loader = Arc::new(Loader::new(loader_settings(&settings, &playbook_dir, &engine, &extra_vars, decrypt)));
    follow_redirects(&engine, &loader, &playbook_dir);
    live.finish();
    let tags = [SelectOptions::split(&request.select.tags), SelectOptions::split(&request.select.skip_tags)].concat();
    Ok(playbook::check::check(&playbook::check::Check {
        loader: &loader,
        engine: &engine,
        playbooks: &paths,
        // Without hosts no variable can be said to be undefined.
        inventory: Some(&inventory).filter(|i| !i.hosts.is_empty()),
        extra_vars: extra_vars.vars.keys().cloned().collect(),
        limit: request.hosts.limit.as_deref(),
        tags: &tags,
        root: &root,
    }))
}

/// The playbooks of a repository: lists of plays in its folder and in playbooks/.
fn all_playbooks(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for dir in [root.to_owned(), root.join("playbooks")] {
        let mut names = playbooks_in(std::slice::from_ref(&dir));
        names.sort();
        // Of what cannot be read only the folder says what it is: another program's file may lie beside the playbooks.
        let is_theirs = dir.ends_with("playbooks");
        found.extend(names.into_iter().map(|name| dir.join(name)).filter(|path| {
            let read = crate::yaml::load_file(path).and_then(|loaded| loaded.single());
            let is_play = |node: &crate::yaml::Node| {
                node.as_map().is_some_and(|m| {
                    ["hosts", "import_playbook", "ansible.builtin.import_playbook"].iter().any(|k| m.get(k).is_some())
                })
            };
            read.map_or(is_theirs, |node| node.as_seq().is_some_and(|plays| plays.iter().any(is_play)))
        }));
    }
    found
}

/// An inventory to show.
pub struct Listed {
    pub inventory: Inventory,
    pub extra_vars: Arc<Scope>,
    /// The hosts that `--limit` keeps.
    pub limit: Option<std::collections::HashSet<String>>,
    /// `playbook_dir` of the settings.
    pub playbook_dir: Option<PathBuf>,
    /// What must not be shown of it.
    pub redactor: Redactor,
}

/// The inventory alone.
pub fn inventory(request: &Request) -> Result<Listed, Problems> {
    let settings = Settings::load(&std::env::current_dir().unwrap_or_default())?;
    let redactor = Redactor::default();
    let live = live(request, &settings, &redactor)?;
    let secrets = Arc::new(passwords::vault_secrets(&request.hosts.vault, &settings, &redactor)?);
    let engine = engine(&settings, &secrets);
    let decrypt = Decrypt::with(&secrets);
    let extra_vars = crate::vars::extra_vars(&request.hosts.extra_vars, &|path| read_yaml(path, &decrypt))?;
    let found = load_inventory(request, &settings, &engine, &decrypt, &extra_vars, &live);
    live.finish();
    let inventory = found.map_err(|problems| redactor.clean_problems(problems))?;
    let limit = match &request.hosts.limit {
        Some(limit) => Some(inventory.limited(&inventory.select("all")?, limit)?.hosts.into_iter().collect()),
        None => None,
    };
    Ok(Listed { inventory, extra_vars, limit, playbook_dir: settings.path("playbook_dir"), redactor })
}

fn load_inventory(
    request: &Request,
    settings: &Settings,
    engine: &Arc<Engine>,
    decrypt: &Decrypt,
    extra_vars: &Arc<Scope>,
    live: &Arc<dyn Sink>,
) -> Result<Inventory, Problems> {
    let sources = inventory_sources(request, settings);
    let (inventory, warnings) = Inventory::load(&sources, &inventory_options(settings, engine, decrypt, extra_vars))?;
    warn(live, &warnings);
    Ok(inventory)
}

fn inventory_options(
    settings: &Settings,
    engine: &Arc<Engine>,
    decrypt: &Decrypt,
    extra_vars: &Arc<Scope>,
) -> LoadOptions {
    LoadOptions {
        decrypt: Some(decrypt.clone()),
        engine: Some(engine.clone()),
        extra_vars: Some(extra_vars.clone()),
        ..settings.inventory_options()
    }
}

fn inventory_sources(request: &Request, settings: &Settings) -> Vec<String> {
    if request.hosts.inventory.is_empty() { settings.inventory() } else { request.hosts.inventory.clone() }
}

fn load_playbooks(loader: &Loader, paths: &[PathBuf], live: &Arc<dyn Sink>) -> Result<Playbook, Problems> {
    let mut whole: Option<Playbook> = None;
    let mut problems = Problems::default();
    for path in paths {
        match loader.playbook(path) {
            Ok(loaded) => {
                warn(live, &loaded.warnings);
                match &mut whole {
                    Some(all) => all.plays.extend(loaded.value.plays),
                    None => whole = Some(loaded.value),
                }
            }
            Err(found) => problems.0.extend(found.0),
        }
    }
    if !problems.0.is_empty() {
        return Err(problems);
    }
    whole.ok_or_else(|| Problem::new("no-playbook", "no playbook to run").into())
}

fn warn(live: &Arc<dyn Sink>, warnings: &[Problem]) {
    for warning in warnings {
        live.event(&plan::Event::Warning(report::plain_problem(warning)));
    }
}

/// The playbooks asked for: as paths, or by their names in `playbooks/`; else the settings' default.
fn find_playbooks(request: &Request, settings: &Settings) -> Result<(Vec<PathBuf>, PathBuf), Problem> {
    let cwd = std::env::current_dir().unwrap_or_default();
    if request.inline.is_some() {
        return Ok((vec![], request.playbook_dir.as_ref().map_or(cwd.clone(), |dir| cwd.join(dir))));
    }
    let names: Vec<String> = if request.playbooks.is_empty() {
        settings.playbook().into_iter().collect()
    } else {
        request.playbooks.to_vec()
    };
    if names.is_empty() {
        return Err(Problem::new("no-playbook", "no playbook is named, and kdeploy.toml names none")
            .help("kdeploy plan PLAYBOOK, or `playbook = \"playbooks/k8s.yml\"` in kdeploy.toml"));
    }
    let root = settings.root().unwrap_or(&cwd).to_owned();
    let mut paths = vec![];
    for name in &names {
        let places =
            [cwd.join(name), cwd.join("playbooks").join(name), root.join(name), root.join("playbooks").join(name)];
        match places.iter().find(|p| p.is_file()) {
            Some(path) => paths.push(path.clone()),
            None => {
                let known = playbooks_in(&[cwd.clone(), cwd.join("playbooks"), root.join("playbooks")]);
                return Err(Problem::new("no-playbook", format!("there is no playbook `{name}`"))
                    .nearest(name, known.iter().map(String::as_str))
                    .note(format!("looked in {} and {}", cwd.display(), root.join("playbooks").display())));
            }
        }
    }
    let dir = paths[0].parent().map_or_else(|| cwd.clone(), Path::to_owned);
    Ok((paths, dir))
}

fn playbooks_in(dirs: &[PathBuf]) -> Vec<String> {
    let mut names = vec![];
    for dir in dirs {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".yml") || name.ends_with(".yaml") {
                names.push(name);
            }
        }
    }
    names
}

/// Templates follow what the repository's collections say of their filters, tests and lookups.
fn follow_redirects(engine: &Arc<Engine>, loader: &Arc<Loader>, playbook_dir: &Path) {
    let (loader, dir) = (Arc::downgrade(loader), playbook_dir.to_owned());
    engine.set_redirects(Arc::new(move |kind, name| {
        let route = loader.upgrade()?.route(&[kind], name, &dir);
        (route.name != name).then_some(route.name)
    }));
}

fn loader_settings(
    settings: &Settings,
    playbook_dir: &Path,
    engine: &Arc<Engine>,
    extra_vars: &Arc<Scope>,
    decrypt: Decrypt,
) -> LoaderSettings {
    let mut roles_path = settings.roles_path();
    // A repository keeps its roles beside its playbooks' folder as often as in it.
    if let Some(parent) = playbook_dir.parent() {
        roles_path.push(parent.join("roles"));
    }
    if let Some(root) = settings.root() {
        roles_path.push(root.join("roles"));
    }
    let (engine, extra) = (engine.clone(), extra_vars.clone());
    LoaderSettings {
        read: Arc::new(move |path| read_yaml(path, &decrypt)),
        roles_path,
        collections_path: settings.collections_path(),
        library: settings.library(),
        resolve: Some(Arc::new(move |node, vars| {
            let mut scopes = vars.scopes.clone();
            scopes.push(extra.clone());
            let paths = crate::template::SearchPaths {
                roles: vars.role_path.iter().cloned().collect(),
                task_dir: vars.playbook_dir.clone(),
                playbook_dir: vars.playbook_dir.clone(),
            };
            crate::template::Context::new(&engine, scopes, Arc::new(paths)).value(node)
        })),
        ..LoaderSettings::default()
    }
}

/// A YAML file, opened first if it is vaulted.
fn read_yaml(path: &Path, decrypt: &Decrypt) -> Result<crate::yaml::Loaded, Problem> {
    let file = crate::yaml::read_source(path)?;
    if !crate::yaml::is_vaulted(&file.text) {
        return crate::yaml::parse(&file);
    }
    let plain = (decrypt.0)(&file)?;
    crate::yaml::parse(&crate::source::SourceFile::decrypted(path, plain))
}

fn verbosity(request: &Request, settings: &Settings) -> u8 {
    let given = settings.count("verbosity").unwrap_or(0);
    request.output.verbose.max(u8::try_from(given).unwrap_or(u8::MAX))
}

/// What the operator should hear about the settings; what is merely ignored, only with `-v`.
fn tell(settings: &Settings, verbosity: u8, live: &Arc<dyn Sink>) {
    warn(live, &settings.warnings);
    if verbosity > 0 {
        warn(live, &settings.notes);
    }
}

fn run_options(
    request: &Request,
    settings: &Settings,
    redactor: &Redactor,
    playbooks: &[PathBuf],
) -> Result<RunOptions, Problem> {
    let hosts = request.hosts;
    let logins = passwords::logins(hosts, settings, redactor)?;
    let tags = |given: &[String], name: &str| {
        SelectOptions::split(if given.is_empty() { settings.list(name).unwrap_or_default() } else { given })
    };
    let mut ssh_args = settings.ssh_args();
    for args in [&hosts.ssh_common_args, &hosts.ssh_extra_args].into_iter().flatten() {
        ssh_args.extend(crate::config::words(args));
    }
    let (run_tags, skip_tags) = (tags(&request.select.tags, "run_tags"), tags(&request.select.skip_tags, "skip_tags"));
    let changes = matches!(request.command, "apply" | "run" | "destroy" | "undo" | "ansible-playbook" | "ansible")
        && !request.check;
    let recording = changes.then(|| {
        let line = crate::recorded::run_line(request, settings, playbooks, &run_tags, &skip_tags);
        let mut recording = plan::Recording::new(line, redactor.clone());
        recording.wait = Duration::from_secs(request.hosts.wait_lock.unwrap_or(0));
        recording.lock_late = matches!(request.command, "run" | "ansible");
        recording.back = matches!(request.command, "destroy" | "undo");
        Arc::new(recording)
    });
    Ok(RunOptions {
        ask: request.ask,
        recording,
        check: request.check,
        diff: request.output.diff || settings.diff(),
        verbosity: verbosity(request, settings),
        tags: run_tags,
        skip_tags,
        limit: hosts.limit.clone(),
        forks: hosts.forks.or(settings.forks()).unwrap_or(50),
        force_handlers: request.select.force_handlers || settings.force_handlers(),
        start_at_task: request.select.start_at_task.clone(),
        connection: hosts.connection.clone().or(settings.connection()),
        remote_user: hosts.user.clone().or(settings.remote_user()),
        private_key: hosts.private_key.clone().or(settings.private_key_file()),
        password: logins.connection,
        key_passphrase: None,
        r#become: hosts.r#become || settings.r#become(),
        become_user: hosts.become_user.clone().or(settings.become_user()),
        become_method: hosts.become_method.clone().or(settings.become_method()),
        become_password: logins.r#become,
        ssh_args,
        host_keys: match settings.host_key_checking() {
            Some(false) => HostKeyPolicy::Off,
            _ if settings.accept_new_host_keys() => HostKeyPolicy::AcceptNew,
            _ => HostKeyPolicy::Strict,
        },
        ssh_retries: settings.ssh_retries().unwrap_or(0),
        connect_timeout: Duration::from_secs(hosts.timeout.or(settings.timeout()).unwrap_or(10)),
        command_timeout: Duration::from_secs(settings.command_timeout().unwrap_or(0)),
        gathering: settings.gathering().unwrap_or_else(|| "implicit".to_owned()),
        any_errors_fatal: settings.any_errors_fatal(),
        step: request.select.step,
        inject_facts: settings.flag("inject_facts_as_vars", true),
        allow_missing_handlers: !settings.flag("error_on_missing_handler", true),
        fact_cache: fact_cache(request, settings)?,
        strategy: settings.text("strategy").unwrap_or("linear").to_owned(),
        poll_interval: settings.count("poll_interval").unwrap_or(15),
        private_role_vars: settings.flag("private_role_vars", false),
        config_file: settings.ansible_cfg(),
        remote_port: settings.remote_port()?,
        become_exe: settings.text("become_exe").filter(|t| !t.is_empty()).map(str::to_owned),
        become_flags: settings.text("become_flags").filter(|t| !t.is_empty()).map(str::to_owned),
        no_log: settings.flag("no_log", false),
        task_timeout: settings.count("task_timeout").unwrap_or(0),
    })
}

/// Where facts are kept between runs.
fn fact_cache(request: &Request, settings: &Settings) -> Result<plan::FactCache, Problem> {
    let kind = settings.text("fact_caching").unwrap_or("memory");
    let dir = match kind.rsplit('.').next().unwrap_or_default() {
        "memory" => None,
        "jsonfile" => Some(settings.path("fact_caching_connection").ok_or_else(|| {
            Problem::new("missing-setting", "`fact_caching = jsonfile` needs a folder")
                .help("set `fact_caching_connection` (ANSIBLE_CACHE_PLUGIN_CONNECTION)")
        })?),
        _ => {
            return Err(Problem::unsupported(format!("`fact_caching = {kind}`"))
                .help("`jsonfile` and `memory` are what there is"));
        }
    };
    let seconds = settings.count("fact_caching_timeout").unwrap_or(86_400);
    Ok(plan::FactCache {
        dir,
        prefix: settings.text("fact_caching_prefix").unwrap_or_default().to_owned(),
        timeout: (seconds > 0).then(|| Duration::from_secs(seconds)),
        flush: request.select.flush_cache,
    })
}
