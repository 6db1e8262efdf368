//! The loader: playbook and role files in, the typed model out.
//!
//! One [`Loader`] serves a whole run: at the start it loads the playbooks with all they import; while hosts run, it loads
//! what `include_tasks` and `include_role` name (from many threads: files are read and parsed once). All problems of
//! all files are found in one go. The work itself is in the sibling modules, each an `impl Session`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minijinja::Value;

use crate::problem::{Problem, Problems};
use crate::resources::{ResourceType, registry};
use crate::source::Span;
use crate::template::EvalError;
use crate::vars::Scope;
use crate::yaml::{self, Node};

use super::keywords::Place;
use super::model::{Item, Keywords, Play, Playbook, RoleUse};

/// Resolves a template that must be known while files are loaded: the name of an imported file or of a role.
pub type Resolve = dyn Fn(&Node, &StaticVars) -> Result<Value, EvalError> + Send + Sync;

/// Reads and parses a file; the way in for vaulted files.
pub type Read = dyn Fn(&Path) -> Result<yaml::Loaded, Problem> + Send + Sync;

/// What is known of variables before any host is looked at.
#[derive(Debug, Clone, Default)]
pub struct StaticVars {
    /// Weakest first; extra vars are the resolver's to put on top.
    pub scopes: Vec<Arc<Scope>>,
    pub playbook_dir: PathBuf,
    pub role_path: Option<PathBuf>,
}

/// Where things are looked for, and what the loader needs from other rooms.
#[derive(Clone)]
pub struct LoaderSettings {
    pub roles_path: Vec<PathBuf>,
    /// Folders that hold `ansible_collections/` (or are it), besides `collections/` beside the playbook.
    pub collections_path: Vec<PathBuf>,
    /// Folders of custom modules for all playbooks (`ANSIBLE_LIBRARY`).
    pub library: Vec<PathBuf>,
    /// Finds a module's type by its short or qualified name.
    pub modules: fn(&str) -> Option<&'static ResourceType>,
    /// All short module names, for suggestions.
    pub module_names: fn() -> Vec<&'static str>,
    /// Without it a template in an imported name is an error.
    pub resolve: Option<Arc<Resolve>>,
    pub read: Arc<Read>,
}

impl Default for LoaderSettings {
    fn default() -> Self {
        Self {
            roles_path: vec![],
            collections_path: vec![],
            library: vec![],
            modules: registry::lookup,
            module_names: || registry::all().map(|t| t.name).collect(),
            resolve: None,
            read: Arc::new(|path| yaml::load_file(path)),
        }
    }
}

/// What was loaded, and what is odd but no error.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    pub value: T,
    pub warnings: Vec<Problem>,
}

/// How a role is called: by a play's entry, a dependency, `import_role` or `include_role`.
#[derive(Debug, Clone, Default)]
pub struct RoleCall {
    pub tasks_from: Option<String>,
    pub handlers_from: Option<String>,
    pub vars_from: Option<String>,
    pub defaults_from: Option<String>,
    /// Inline variables of the entry.
    pub params: Vec<(String, Node)>,
    pub keywords: Keywords,
    /// The dependency chain: from the play's entry to the role that calls.
    pub ancestors: Vec<Arc<RoleUse>>,
    /// Called by include_role or import_role.
    pub from_include: bool,
    /// Called while a host runs; set by [`Loader::role`].
    pub dynamic: bool,
    /// Whether the play sees its variables; by default those of an `include_role` are its own.
    pub public: Option<bool>,
    /// Of include_role and import_role: true unless they say otherwise. `None`: meta/main.yml's word.
    pub allow_duplicates: Option<bool>,
    /// `rolespec_validate: false`: no check of the arguments.
    pub skip_validation: bool,
    /// Folder of the playbook the call belongs to.
    pub playbook_dir: PathBuf,
    /// Collections to look for an unqualified role name in.
    pub collections: Vec<String>,
    /// What static imports in the role may use in names, besides the role's own variables.
    pub vars: StaticVars,
}

/// Where a tasks file is included from.
#[derive(Debug, Clone, Default)]
pub struct FileCall<'a> {
    pub role: Option<&'a Arc<RoleUse>>,
    pub is_handlers: bool,
    pub playbook_dir: PathBuf,
    pub collections: Vec<String>,
    pub vars: StaticVars,
}

/// What was read, with all that is wrong with it.
pub(super) struct Outcome<T> {
    pub value: T,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl<T> Outcome<T> {
    fn into_result(self) -> Result<Loaded<T>, Problems> {
        if self.problems.is_empty() {
            Ok(Loaded { value: self.value, warnings: self.warnings })
        } else {
            Err(Problems(self.problems))
        }
    }
}

type Parsed = Result<(Node, Vec<Problem>), Problem>;

/// Reads playbooks, roles and task files.
pub struct Loader {
    pub(super) settings: LoaderSettings,
    files: Mutex<HashMap<PathBuf, Parsed>>,
    next_role: AtomicU64,
    /// Folder of the first playbook: its collections are those of what it imports, too.
    pub(super) main_dir: OnceLock<PathBuf>,
    /// What collections say of their names, by folder.
    pub(super) routings: Mutex<HashMap<PathBuf, Arc<super::routing::Routing>>>,
    /// `library/` of the roles read so far: their programs may be used by all tasks.
    pub(super) role_libraries: Mutex<Vec<PathBuf>>,
}

impl Loader {
    pub fn new(settings: LoaderSettings) -> Self {
        Self {
            settings,
            files: Mutex::default(),
            next_role: AtomicU64::new(1),
            main_dir: OnceLock::new(),
            routings: Mutex::default(),
            role_libraries: Mutex::default(),
        }
    }

    pub fn settings(&self) -> &LoaderSettings {
        &self.settings
    }

    /// A playbook with everything it imports, or all that is wrong with them.
    pub fn playbook(&self, path: impl AsRef<Path>) -> Result<Loaded<Playbook>, Problems> {
        self.read_playbook(path.as_ref()).into_result()
    }

    // `role_path` and `playbook_dir` are absolute; messages show paths below the working directory as relative ones.
    /// As [`Self::playbook`]; what could be read comes together with the problems.
    pub(super) fn read_playbook(&self, path: &Path) -> Outcome<Playbook> {
        let path = &absolute(path);
        drop(self.main_dir.set(path.parent().unwrap_or(Path::new("")).to_owned()));
        let mut session = Session::new(self);
        let plays = session.playbook_file(path, &PlaybookCall::default());
        session.end(Playbook { path: path.to_owned(), plays })
    }

    /// The items of a task file (or of a handler file), for `include_tasks` while a host runs.
    pub fn tasks_file(
        &self,
        path: impl AsRef<Path>,
        role: Option<&Arc<RoleUse>>,
        is_handlers: bool,
    ) -> Result<Vec<Item>, Problems> {
        self.included_tasks(path.as_ref(), &FileCall { role, is_handlers, ..FileCall::default() }).map(|l| l.value)
    }

    /// As [`Self::tasks_file`], with what static imports in the file may use.
    pub fn included_tasks(&self, path: &Path, call: &FileCall) -> Result<Loaded<Vec<Item>>, Problems> {
        self.read_tasks(path, call).into_result()
    }

    pub(super) fn read_tasks(&self, path: &Path, call: &FileCall) -> Outcome<Vec<Item>> {
        let mut session = Session::new(self);
        let playbook_dir = match (&call.playbook_dir, call.role) {
            (dir, _) if !dir.as_os_str().is_empty() => dir.clone(),
            (_, Some(role)) => role.playbook_dir.clone(),
            _ => path.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let around = Around {
            playbook_dir,
            role: call.role.cloned(),
            place: if call.is_handlers { Place::Handler } else { Place::Task },
            collections: call.collections.clone(),
            vars: call.vars.clone(),
            // `module_defaults` of a play or block around are not known here.
            has_defaults: true,
            in_block: false,
        };
        let items = session.tasks_file(path, &around);
        session.end(items)
    }

    /// A role, with its dependencies, by name.
    pub fn role(&self, name: &str, call: &RoleCall, span: &Span) -> Result<Arc<RoleUse>, Problems> {
        self.read_role(name, call, span)
            .into_result()?
            .value
            .ok_or_else(|| Problem::new("role-not-found", format!("no role is named `{name}`")).at(span).into())
    }

    pub(super) fn read_role(&self, name: &str, call: &RoleCall, span: &Span) -> Outcome<Option<Arc<RoleUse>>> {
        let mut session = Session::new(self);
        let call = RoleCall { dynamic: call.from_include, ..call.clone() };
        let role = session.role_use(&Node::text(name, span), call);
        session.end(role)
    }

    /// What is known of variables while a play is loaded: for [`FileCall::vars`] and [`RoleCall::vars`].
    pub fn static_vars(play: &Play) -> StaticVars {
        StaticVars {
            scopes: vec![
                Scope::written("import_playbook vars", play.import_vars.iter().cloned()),
                Scope::written("play vars", play.keywords.vars.iter().cloned()),
            ],
            playbook_dir: play.playbook.parent().unwrap_or(Path::new("")).to_owned(),
            role_path: None,
        }
    }

    /// A file, parsed once.
    pub(super) fn file(&self, path: &Path) -> Parsed {
        if let Some(parsed) = lock(&self.files).get(path) {
            return parsed.clone();
        }
        // Read without holding the lock: two threads may read one file at the same time, which does no harm.
        let parsed = (self.settings.read)(path).and_then(|l| Ok((l.single()?, l.warnings)));
        lock(&self.files).insert(path.to_owned(), parsed.clone());
        parsed
    }

    /// Whether anything asked for a file.
    pub(super) fn has_read(&self, path: &Path) -> bool {
        lock(&self.files).contains_key(path)
    }

    pub(super) fn next_role_id(&self) -> u64 {
        self.next_role.fetch_add(1, Ordering::Relaxed)
    }
}

/// An absolute path without `.` and `x/..`; links are not followed.
pub(super) fn absolute(path: &Path) -> PathBuf {
    super::roles::tidy(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an `import_playbook` hands on to the plays of its file.
#[derive(Debug, Clone, Default)]
pub(super) struct PlaybookCall {
    pub vars: Vec<(String, Node)>,
    pub keywords: Vec<Keywords>,
}

/// What surrounds the items being read.
#[derive(Debug, Clone)]
pub(super) struct Around {
    pub playbook_dir: PathBuf,
    /// The role they belong to (the copy without tasks).
    pub role: Option<Arc<RoleUse>>,
    /// [`Place::Task`] or [`Place::Handler`].
    pub place: Place,
    pub collections: Vec<String>,
    pub vars: StaticVars,
    /// In a block, not at the top of a list.
    pub in_block: bool,
    /// `module_defaults` stand somewhere around: a missing argument may come from them.
    pub has_defaults: bool,
}

impl Around {
    pub(super) fn is_handlers(&self) -> bool {
        self.place == Place::Handler
    }

    /// The same with stronger variables.
    pub(super) fn with_vars(&self, label: &str, vars: &[(String, Node)]) -> Self {
        let mut inner = self.clone();
        if !vars.is_empty() {
            inner.vars.scopes.push(Scope::written(label, vars.iter().cloned()));
        }
        inner
    }
}

/// One call of the loader: collects what is wrong while it reads.
pub(super) struct Session<'a> {
    pub loader: &'a Loader,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// Files being read, outermost first: an import of one of them would never end.
    pub open_files: Vec<PathBuf>,
    /// Roles being read, with their entry points.
    pub open_roles: Vec<(PathBuf, String)>,
    /// Roles that `import_role` pulled in, for the play.
    pub imported_roles: Vec<Arc<RoleUse>>,
    /// Files whose warnings were taken already.
    warned: Vec<PathBuf>,
}

impl<'a> Session<'a> {
    fn new(loader: &'a Loader) -> Self {
        Self {
            loader,
            problems: vec![],
            warnings: vec![],
            open_files: vec![],
            open_roles: vec![],
            imported_roles: vec![],
            warned: vec![],
        }
    }

    fn end<T>(mut self, value: T) -> Outcome<T> {
        // A role or file used twice says everything twice.
        let mut seen = std::collections::HashSet::new();
        self.problems.retain(|p| {
            seen.insert((p.code, p.message.clone(), p.span.as_ref().map(|s| (s.file.path.clone(), s.start))))
        });
        Outcome { value, problems: self.problems, warnings: self.warnings }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn warn(&mut self, warning: Problem) {
        self.warnings.push(warning);
    }

    /// A file's node; a problem if it cannot be read. `at`: the statement that named it.
    pub(super) fn file(&mut self, path: &Path, at: Option<&Span>) -> Option<Node> {
        match self.loader.file(path) {
            Ok((node, warnings)) => {
                if !warnings.is_empty() && !self.warned.iter().any(|w| w == path) {
                    self.warned.push(path.to_owned());
                    self.warnings.extend(warnings);
                }
                Some(node)
            }
            Err(problem) => {
                self.problem(match at {
                    Some(span) => problem.or_at(span),
                    None => problem,
                });
                None
            }
        }
    }

    /// A name that must be known while files are loaded, as text.
    pub(super) fn static_text(&mut self, what: &str, node: &Node, vars: &StaticVars) -> Option<String> {
        if !node.has_template() {
            return match scalar_text(node) {
                Some(text) if !text.is_empty() => Some(text),
                _ => {
                    self.problem(
                        Problem::new(
                            "wrong-type",
                            format!("{what} must be text, not {}", super::keywords::shown(node)),
                        )
                        .at(&node.span),
                    );
                    None
                }
            };
        }
        let help = "a static import may use variables of `vars`, of the role and of -e only: those of the inventory and \
                    facts are not known yet; `include_tasks` and `include_role` may use all";
        let Some(resolve) = self.loader.settings.resolve.clone() else {
            self.problem(
                Problem::new("unresolved-import", format!("{what} cannot be resolved before the run"))
                    .at(&node.span)
                    .help(help),
            );
            return None;
        };
        match resolve(node, vars) {
            Ok(value) => match value.as_str() {
                Some(text) => Some(text.to_owned()),
                None => Some(value.to_string()),
            },
            Err(error) => {
                let problem = error.into_problem();
                self.problem(
                    Problem::new(
                        "unresolved-import",
                        format!("{what} cannot be resolved before the run: {}", problem.message),
                    )
                    .at(problem.span.as_ref().unwrap_or(&node.span))
                    .help(help),
                );
                None
            }
        }
    }
}

/// A scalar as the text it is written with.
pub(super) fn scalar_text(node: &Node) -> Option<String> {
    use crate::yaml::Yaml;
    match &node.value {
        Yaml::Str(s) => Some(s.text.to_string()),
        Yaml::Int(i) => Some(i.to_string()),
        Yaml::Float(f) => Some(f.to_string()),
        Yaml::Bool(b) => Some(if *b { "True" } else { "False" }.to_owned()),
        _ => None,
    }
}
