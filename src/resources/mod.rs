//! One file per resource type (Ansible: module): its arguments, its queries, its verdict.
//!
//! Stands in *plan*: given arguments and a [`View`] of the world, a resource says what it would do. It never talks to
//! a node, so `plan` cannot change anything.

mod acl;
mod add_host;
mod alternatives;
mod apk;
mod apt;
mod apt_key;
mod apt_repository;
mod archive;
mod args;
mod assemble;
mod assert;
mod async_status;
mod authorized_key;
pub mod background;
mod blockinfile;
mod capabilities;
mod command;
pub mod common;
mod copy;
mod cron;
mod deb822_repository;
mod debconf;
pub mod debug;
pub mod diffs;
mod dnf;
mod dpkg_selections;
mod fail;
mod fetch;
mod file;
mod filesystem;
mod find;
mod firewalld;
mod gather_facts;
mod get_url;
mod getent;
mod git;
mod group;
mod group_by;
mod helm;
mod hostname;
mod include_vars;
mod ini_file;
mod iptables;
mod k8s;
mod k8s_drain;
mod k8s_info;
mod k8s_taint;
mod kernel_blacklist;
mod known_hosts;
mod lineinfile;
mod locale_gen;
mod lvg;
mod lvol;
mod manual;
mod modprobe;
mod mount;
mod package;
mod package_facts;
mod pacman;
mod pam_limits;
mod pause;
mod ping;
mod pip;
pub mod program;
mod raw;
mod reboot;
pub mod registry;
mod replace;
mod rpm_key;
mod schema;
mod script;
mod seboolean;
mod selinux;
mod service;
mod service_facts;
pub mod set_fact;
mod set_stats;
mod setup;
mod shell;
mod slurp;
mod snap;
mod stat;
mod support;
mod synchronize;
mod sysctl;
mod systemd;
mod tempfile;
mod template;
mod timezone;
mod ufw;
mod unarchive;
mod uri;
mod user;
mod validate_argument_spec;
mod wait_for;
mod wait_for_connection;
mod xattr;
mod yum_repository;
mod zypper;

pub use args::{ANY, ArgSpec, Args, Kind, ModeSpec, find as find_arg, text_of, truth, unknown_argument};
pub use async_status::dir as async_dir;
use common::{edits, kit};
pub use kit::timed;
pub use manual::{all_manuals, manual};
pub use registry::lookup;
pub use schema::{Of as SchemaOf, of_file as schema_of_file, of_resource as schema_of_resource};
pub use set_fact::is_variable_name;
pub use support::index;
pub use validate_argument_spec::{check as check_arguments, defaults as argument_defaults};

use std::sync::Arc;

use minijinja::Value;
use serde_json::Map as JsonMap;

use crate::node::{Action, Done};
use crate::problem::Problem;
use crate::world::{Effect, Stop, View};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

/// A task result as Ansible registers it (`changed`, `msg`, `rc` …), without the engine's own keys.
pub type Facts = JsonMap<String, serde_json::Value>;

/// What a resource says of itself.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The node is as desired.
    Unchanged(TaskResult),
    /// What differs and what mends it.
    Change(Change),
    /// The task does not apply (`creates` exists …): Ansible's `skipped`.
    Skipped(TaskResult),
    /// The task fails by its own rule; `result.msg` says why.
    Failed(TaskResult),
}

/// What differs, the actions that mend it, and what holds afterwards.
#[derive(Debug, Clone)]
pub struct Change {
    pub kind: ChangeKind,
    pub diff: Vec<Diff>,
    pub actions: Vec<Action>,
    /// Answers that hold after the actions ran.
    pub effects: Vec<Effect>,
    /// True if the actions may change anything beyond `effects` (command, shell, a started unit, a package): the
    /// result is then known only after the run, and answers must be asked again. `effects` hold all the same: a plan
    /// overlays them. What fails later in the *same plan* for want of something (a unit, a file) may be made by such a
    /// step: there it is unknown, not failed.
    pub opaque: bool,
    /// What will be registered; for an opaque change, what is known of it before.
    pub result: TaskResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Create,
    Change,
    Remove,
    Run,
}

/// One difference for people: two texts, or two attribute lists as text.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Diff {
    pub before_header: String,
    pub after_header: String,
    pub before: String,
    pub after: String,
}

/// A difference of two texts about one thing.
pub fn plain_diff(what: &str, before: String, after: String) -> Diff {
    kit::diff(what, before, after)
}

/// The attributes that differ, as one difference.
pub fn attribute_diff(what: &str, lines: &[(&str, String, String)]) -> Diff {
    kit::diff_of_attributes(what, lines)
}

/// What the task returns: Ansible's registered result.
#[derive(Debug, Clone, Default)]
pub struct TaskResult {
    pub changed: bool,
    /// Everything else: `msg`, `rc`, `stdout`, `dest`, `stat`, `ansible_facts` …
    pub values: indexmap::IndexMap<String, Value>,
    /// Variables the task defines as written in a file (`include_vars`): templates in them are resolved at each use,
    /// as `vars::Definition::Written`. `values["ansible_facts"]` shows them as registered.
    pub definitions: Vec<(String, crate::yaml::Node)>,
    /// It is not to be shown, as with `no_log` (variables out of a vaulted file).
    pub hidden: bool,
    /// It is of no interest unless asked for (`assert` with `quiet`).
    pub quiet: bool,
    /// It does not say whether something changed: the task failed before that was a question.
    pub bare: bool,
}

impl TaskResult {
    pub fn unchanged() -> Self {
        Self::default()
    }

    pub fn changed() -> Self {
        Self { changed: true, ..Self::default() }
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.values.insert(key.to_owned(), value.into());
        self
    }
}

/// A task whose arguments are rendered and typed.
pub trait Resource: Send + Sync {
    /// Compares desired and observed. Pure: same world, same verdict. Under check mode nothing differs here; the
    /// engine simply does not carry the actions out.
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop>;

    /// In check mode its actions only look: they run in a plan too.
    fn only_looks_in_check_mode(&self) -> bool {
        false
    }

    /// Turns what the actions said into the registered result. Called after they ran (one `Done` per started action).
    /// `Err` marks the task failed with that result.
    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done)
    }

    /// How a change is taken back, beyond the files, accounts, units and packages among its effects: those are looked after by
    /// themselves. `view`: the world before the change, with the answers that [`Resource::reconcile`] asked for.
    fn inverse(&self, _view: &View, _change: &Change) -> Inverse {
        Inverse::default()
    }
}

/// What takes a change back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inverse {
    /// Files that it changes through a program.
    pub paths: Vec<String>,
    /// Commands, with what each takes back in words.
    pub commands: Vec<(String, Vec<String>)>,
    /// A folder that it makes or changes with all that is in it, and a look that tells by success that nothing of others is in it; else
    /// on standard error what is.
    pub tree: Option<(String, Vec<String>)>,
    /// Why kdeploy cannot take it back.
    pub because: Option<String>,
}

impl Inverse {
    /// One command takes it back.
    pub fn command<S: Into<String>>(what: impl Into<String>, argv: impl IntoIterator<Item = S>) -> Self {
        Self { commands: vec![(what.into(), argv.into_iter().map(Into::into).collect())], ..Self::default() }
    }

    pub fn path(path: impl Into<String>) -> Self {
        Self { paths: vec![path.into()], ..Self::default() }
    }

    pub fn impossible(because: impl Into<String>) -> Self {
        Self { because: Some(because.into()), ..Self::default() }
    }
}

/// The planned result if all actions succeeded, else the first failure's words.
pub fn concluded(change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
    match done.iter().find_map(|d| match d {
        Done::Failed { message, output } => Some((message, output)),
        Done::Ok(_) => None,
    }) {
        None => Ok(change.result.clone()),
        Some((message, output)) => {
            let mut result = TaskResult { changed: false, ..change.result.clone() }.with("msg", message.as_str());
            if output.rc != 0 || !output.stderr.is_empty() {
                result = result
                    .with("rc", output.rc)
                    .with("stdout", String::from_utf8_lossy(&output.stdout).into_owned())
                    .with("stderr", String::from_utf8_lossy(&output.stderr).into_owned());
            }
            Err(result)
        }
    }
}

/// What a resource type does to a node, whatever it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Says how something of the node shall be.
    Declares,
    /// Looks at what is there, and tells.
    Looks,
    /// Runs what it is given: nobody knows what that does. Whether it runs may go by what is there.
    Runs,
    /// Acts, and leaves nothing that could be undone: a reboot, a request.
    Fleeting,
    /// Concerns the run, not the node.
    Passes,
}

/// A resource type: its names, its arguments, its manual.
pub struct ResourceType {
    /// Short name, e.g. `copy`.
    pub name: &'static str,
    /// Fully qualified names, the preferred first, e.g. `ansible.builtin.copy`.
    pub qualified: &'static [&'static str],
    /// The manual (`kdeploy doc`): the resource file's own doc text.
    pub doc: &'static str,
    pub args: &'static [ArgSpec],
    /// The argument that takes a free-form text (`command`'s), if there is one.
    pub free_form: Option<&'static str>,
    pub conduct: Conduct,
    /// Decodes the arguments and renders what must be rendered with the task's variables. `Stop::Unknown` where that needs a
    /// value not known yet; wrong arguments convert into `Stop::Invalid` by `?`.
    pub build: fn(Args, &Setting) -> Result<Arc<dyn Resource>, Stop>,
}

impl ResourceType {
    /// Builds the resource, with what its arguments ask of chattr's flags and SELinux labels.
    pub fn make(&self, args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
        let labels = common::labels::Labels::of(&args, self.args)?;
        Ok(common::labels::around((self.build)(args, setting)?, labels))
    }
}

/// Shows a question and reads a line, visibly or not. `None`: the operator wants the run to stop.
pub type AskOperator = fn(question: &str, echo: bool) -> Option<String>;

/// What a resource may know of the task it stands for, besides its arguments.
pub struct Setting<'a> {
    pub check_mode: bool,
    pub diff: bool,
    /// The home of the identity the task runs as, for `~`.
    pub home: String,
    /// The user name of that identity.
    pub user: String,
    /// The homes of other users that the arguments name by `~user`.
    pub homes: std::collections::BTreeMap<String, String>,
    /// The task runs elsewhere than on its host (`delegate_to`).
    pub delegated: bool,
    /// `environment:` of the task, rendered.
    pub environment: Vec<(String, String)>,
    /// Finds a file of the control machine by Ansible's search rules (role's `files/` …). The first name is the sub-folder (`files`, `templates`).
    pub find_file: &'a dyn Fn(&str, &str) -> Result<std::path::PathBuf, Problem>,
    /// Renders a template file's text with the task's variables: (text, path, extra variables, jinja options).
    pub render: &'a dyn Fn(&TemplateRequest) -> Result<String, Stop>,
    /// Facts of the node if they were gathered (without prefix), for package managers and the like.
    pub facts: Option<Value>,
    /// For `debug`, `set_fact`-like: the value of a variable or expression by name.
    pub evaluate: &'a dyn Fn(&str) -> Result<Value, Stop>,
    /// For `assert`: one condition as written (text or boolean), by the rules of `when`.
    pub condition: &'a dyn Fn(&Value) -> Result<bool, Stop>,
    /// `-v` count, for `debug: verbosity`.
    pub verbosity: u8,
    /// Opens a vaulted text (`$ANSIBLE_VAULT;…`) of the control machine with the run's vault secrets.
    pub decrypt: &'a dyn Fn(&[u8]) -> Result<Vec<u8>, Problem>,
    /// The custom program that the task runs.
    pub program: Option<&'a program::Program>,
    /// Background tasks this run started.
    pub jobs: Arc<background::Jobs>,
    /// Asks whoever sits at the terminal; `None` if nobody is to be asked.
    pub ask: Option<AskOperator>,
    /// Asks the control machine to fetch a small text (a sums file).
    pub fetch: &'a dyn Fn(&crate::node::Download) -> Result<Vec<u8>, Problem>,
}

/// A template file to render.
#[derive(Debug, Clone, Default)]
pub struct TemplateRequest {
    pub text: String,
    pub path: std::path::PathBuf,
    pub trim_blocks: bool,
    pub lstrip_blocks: bool,
    pub newline_sequence: String,
    pub variable_start: Option<String>,
    pub variable_end: Option<String>,
    pub block_start: Option<String>,
    pub block_end: Option<String>,
    pub comment_start: Option<String>,
    pub comment_end: Option<String>,
    /// Extra variables (`template_path`, `ansible_managed` …).
    pub variables: Vec<(String, Value)>,
}
