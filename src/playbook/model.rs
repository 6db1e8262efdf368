//! The shape of a loaded playbook.

use std::path::PathBuf;
use std::sync::Arc;

use crate::source::Span;
use crate::yaml::Node;

/// A playbook file with everything static imports pull in: plays of imported playbooks stand in their place.
#[derive(Debug, Clone)]
pub struct Playbook {
    pub path: PathBuf,
    pub plays: Vec<Arc<Play>>,
}

/// Keywords that plays, roles, blocks and tasks share. Absent: `None` or empty. Everything may be a template.
/// A block's or play's keywords are *not* copied down by the loader; the engine walks outwards.
#[derive(Debug, Clone, Default)]
pub struct Keywords {
    pub name: Option<Node>,
    /// Conditions, all must hold, in order.
    pub when: Vec<Node>,
    /// As written (texts, comma-separated texts split; may be templates).
    pub tags: Vec<Node>,
    pub vars: Vec<(String, Node)>,
    pub r#become: Option<Node>,
    pub become_user: Option<Node>,
    pub become_method: Option<Node>,
    pub become_flags: Option<Node>,
    pub become_exe: Option<Node>,
    /// Mappings or templates that yield one; later ones win.
    pub environment: Vec<Node>,
    pub no_log: Option<Node>,
    pub ignore_errors: Option<Node>,
    pub ignore_unreachable: Option<Node>,
    pub check_mode: Option<Node>,
    pub diff: Option<Node>,
    pub connection: Option<Node>,
    pub port: Option<Node>,
    pub remote_user: Option<Node>,
    pub delegate_to: Option<Node>,
    pub delegate_facts: Option<Node>,
    pub run_once: Option<Node>,
    pub any_errors_fatal: Option<Node>,
    pub throttle: Option<Node>,
    /// kdeploy's own: seconds within which a new connection must confirm a change, else the node puts it back.
    pub confirm: Option<Node>,
    pub timeout: Option<Node>,
    pub module_defaults: Vec<Node>,
    /// On a block: handed to every task of it.
    pub notify: Vec<Node>,
    pub collections: Option<Node>,
    pub debugger: Option<Node>,
}

#[derive(Debug, Clone)]
pub struct Play {
    pub keywords: Keywords,
    /// Text or list, may be a template.
    pub hosts: Node,
    pub gather_facts: Option<Node>,
    pub gather_subset: Option<Node>,
    pub gather_timeout: Option<Node>,
    pub serial: Option<Node>,
    pub max_fail_percentage: Option<Node>,
    pub strategy: Option<Node>,
    pub order: Option<Node>,
    pub force_handlers: Option<Node>,
    pub vars_files: Vec<Node>,
    pub vars_prompt: Vec<Node>,
    pub fact_path: Option<Node>,
    pub pre_tasks: Vec<Item>,
    /// Role entries in order; their dependencies are not yet spread out here: see [`RoleUse::dependencies`].
    pub roles: Vec<Arc<RoleUse>>,
    pub tasks: Vec<Item>,
    pub post_tasks: Vec<Item>,
    pub handlers: Vec<Item>,
    /// Variables of `import_playbook: … vars:`, weaker than the play's own.
    pub import_vars: Vec<(String, Node)>,
    /// `when` and `tags` of the import_playbook statements it came through, outermost first.
    pub import_keywords: Vec<Keywords>,
    /// Roles that `import_role` statements of the play pull in, in the file's order: they exist for the whole play (their
    /// handlers, and their variables where [`RoleUse::public`]).
    pub imported_roles: Vec<Arc<RoleUse>>,
    /// The playbook file the play stands in.
    pub playbook: PathBuf,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum Item {
    Task(Arc<Task>),
    Block(Arc<Block>),
}

/// A block. What an import pulled in stands in one too: of [`BlockOrigin::ImportTasks`] the keywords are the statement's and
/// `role` is `None` (the tasks belong to the role around); of [`BlockOrigin::ImportRole`] `role` is the imported role and
/// `block` holds its dependencies as [`BlockOrigin::Role`] blocks, then its tasks. `handlers` lists may hold
/// blocks too, for the keywords of the handlers in them: see [`super::flat_handlers`].
#[derive(Debug, Clone)]
pub struct Block {
    pub keywords: Keywords,
    pub block: Vec<Item>,
    pub rescue: Vec<Item>,
    pub always: Vec<Item>,
    /// Made by the loader from `import_tasks`, `import_role` or a role entry (not written as a block): its keywords are inherited by all in it.
    pub origin: BlockOrigin,
    /// The role its tasks belong to.
    pub role: Option<Arc<RoleUse>>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockOrigin {
    Written,
    ImportTasks,
    ImportRole,
    Role,
}

/// One task as written.
#[derive(Debug, Clone)]
pub struct Task {
    pub keywords: Keywords,
    pub action: Action,
    pub args: TaskArgs,
    /// The module's or statement's name as written (`ansible.builtin.include_tasks`).
    pub written: String,
    /// `apply:` of include_tasks and include_role, as it stands in the file.
    pub apply_written: Option<Node>,
    /// The same as keywords.
    pub apply: Option<Box<Keywords>>,
    /// Not written by anyone: the check of a role's arguments.
    pub implicit: bool,
    pub is_handler: bool,
    /// What a name in [`Action::Unknown`] is, if a `library/` or `action_plugins/` folder explains it.
    pub custom: Option<CustomModule>,
    pub register: Option<Node>,
    pub loop_: Option<Loop>,
    pub loop_control: LoopControl,
    pub until: Vec<Node>,
    pub retries: Option<Node>,
    pub delay: Option<Node>,
    pub async_: Option<Node>,
    pub poll: Option<Node>,
    pub changed_when: Vec<Node>,
    pub failed_when: Vec<Node>,
    pub notify: Vec<Node>,
    /// On a handler.
    pub listen: Vec<Node>,
    /// The role it belongs to, for search paths and role variables.
    pub role: Option<Arc<RoleUse>>,
    pub span: Span,
}

/// A module that lies beside the playbook or in a role.
#[derive(Debug, Clone)]
pub struct CustomModule {
    pub path: PathBuf,
    pub kind: CustomKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomKind {
    PythonModule,
    ActionPlugin,
    /// A module for Windows.
    PowerShell,
    /// Any executable that takes Ansible's JSON argument file.
    Executable,
}

/// What a task does.
#[derive(Debug, Clone)]
pub enum Action {
    /// A resource type of `resources/`, by its short name (`copy`), or a language action that runs per host
    /// (`set_fact`, `debug`, `include_vars` …) that is a resource there too.
    Module { name: String, written: String },
    /// `include_tasks`; its arguments are always `Named` with `file`.
    IncludeTasks,
    /// `include_role`; its arguments are always `Named` with `name`, and as given `tasks_from`, `vars_from`,
    /// `defaults_from`, `handlers_from`, `public`, `allow_duplicates`, `rolespec_validate`.
    IncludeRole,
    /// `meta: WHAT`.
    Meta(Node),
    /// A name no resource has. Kept so that `check` lists all; running it is an error.
    Unknown { written: String },
}

/// The module's arguments as written.
#[derive(Debug, Clone)]
pub enum TaskArgs {
    /// Name, value; from `module:` mapping, `args:`, and `key=value` text. The engine renders each.
    Named(Vec<(Node, Node)>),
    /// `module: "{{ mapping }}"` or `args: "{{ mapping }}"`, with the arguments given by name, which win. An entry named
    /// `_raw_params` is a free-form text.
    Template(Node, Vec<(Node, Node)>),
    /// Free-form text (`command: ls -l creates=…` with the special `key=value`s already split off into the list).
    Free(Node, Vec<(Node, Node)>),
}

#[derive(Debug, Clone)]
pub struct Loop {
    /// `loop`, or the lookup's name of `with_X` (`items`, `dict`, `first_found` …).
    pub kind: String,
    pub items: Node,
}

#[derive(Debug, Clone, Default)]
pub struct LoopControl {
    pub loop_var: Option<Node>,
    pub index_var: Option<Node>,
    pub label: Option<Node>,
    pub pause: Option<Node>,
    pub extended: Option<Node>,
    pub extended_allitems: Option<Node>,
    pub break_when: Vec<Node>,
}

/// A role in use: the role, and how this play, dependency, include or import calls it.
///
/// The tasks of a role refer to its use by [`Task::role`]; that copy has the same [`RoleUse::id`], but no tasks, handlers
/// and dependencies of its own (it would hold itself otherwise).
#[derive(Debug, Clone)]
pub struct RoleUse {
    /// Unique per use; equal in the copies of one use.
    pub id: u64,
    /// Equal for uses that count as one and the same: it runs once per play and host unless [`RoleUse::allow_duplicates`].
    pub identity: Arc<str>,
    pub role: Arc<Role>,
    /// Collections that its tasks' short names are looked for in.
    pub collections: Vec<String>,
    /// meta/main.yml's word; of include_role and import_role the statement's (by default true).
    pub allow_duplicates: bool,
    /// By include_role or import_role, not an entry of the play or a dependency.
    pub from_include: bool,
    /// Its defaults and vars are seen by the rest of the play (false: only by itself).
    pub public: bool,
    /// The folder of the playbook that uses it.
    pub playbook_dir: PathBuf,
    /// `tasks_from` (else `main`): the entry point.
    pub entry_point: String,
    /// The uses from the play's entry down to this one's parent (without tasks and dependencies): the dependency chain.
    pub ancestors: Vec<Arc<RoleUse>>,
    /// when, tags, become, `vars:` … of the entry. `params` are the entry's inline variables.
    pub keywords: Keywords,
    pub params: Vec<(String, Node)>,
    /// Uses from meta/main.yml, run before it, in order.
    pub dependencies: Vec<Arc<RoleUse>>,
    /// Role names from the play's entry down to this one's parent.
    pub parents: Vec<String>,
    pub tasks: Vec<Item>,
    pub handlers: Vec<Item>,
    /// Files of defaults and vars read for this use, weaker first (a folder `defaults/main/` has several).
    pub defaults: Vec<(String, Node)>,
    pub vars: Vec<(String, Node)>,
    pub span: Span,
}

/// A role on disk.
#[derive(Debug, Clone)]
pub struct Role {
    /// `containerd`, or `namespace.collection.role`.
    pub name: String,
    pub path: PathBuf,
    pub collection: Option<String>,
    pub allow_duplicates: bool,
    /// meta/argument_specs.yml, by entry point.
    pub argument_specs: Option<Node>,
}

impl Keywords {
    /// The name as written, for messages.
    pub fn name_text(&self) -> Option<&str> {
        self.name.as_ref().and_then(Node::as_str)
    }
}

impl Task {
    /// A task that is in no file (fact gathering), standing at `span`.
    pub fn new(action: Action, args: TaskArgs, span: &Span) -> Self {
        Self {
            keywords: Keywords::default(),
            written: match &action {
                Action::Module { written, .. } | Action::Unknown { written } => written.clone(),
                Action::IncludeTasks => "include_tasks".to_owned(),
                Action::IncludeRole => "include_role".to_owned(),
                Action::Meta(_) => "meta".to_owned(),
            },
            action,
            args,
            apply_written: None,
            apply: None,
            implicit: true,
            is_handler: false,
            custom: None,
            register: None,
            loop_: None,
            loop_control: LoopControl::default(),
            until: vec![],
            retries: None,
            delay: None,
            async_: None,
            poll: None,
            changed_when: vec![],
            failed_when: vec![],
            notify: vec![],
            listen: vec![],
            role: None,
            span: span.clone(),
        }
    }
}

impl Play {
    /// An empty play that is in no file (`kdeploy run`).
    pub fn new(hosts: Node, span: &Span) -> Self {
        Self {
            keywords: Keywords::default(),
            hosts,
            gather_facts: None,
            gather_subset: None,
            gather_timeout: None,
            serial: None,
            max_fail_percentage: None,
            strategy: None,
            order: None,
            force_handlers: None,
            vars_files: vec![],
            vars_prompt: vec![],
            fact_path: None,
            pre_tasks: vec![],
            roles: vec![],
            tasks: vec![],
            post_tasks: vec![],
            handlers: vec![],
            import_vars: vec![],
            import_keywords: vec![],
            imported_roles: vec![],
            playbook: PathBuf::new(),
            span: span.clone(),
        }
    }
}
