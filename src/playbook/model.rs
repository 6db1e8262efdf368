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
    /// `when` and `tags` of the import_playbook statements it came through.
    pub import_keywords: Vec<Keywords>,
    /// The playbook file the play stands in.
    pub playbook: PathBuf,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum Item {
    Task(Arc<Task>),
    Block(Arc<Block>),
}

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

/// What a task does.
#[derive(Debug, Clone)]
pub enum Action {
    /// A resource type of `resources/`, by its short name (`copy`), or a language action that runs per host
    /// (`set_fact`, `debug`, `include_vars` …) that is a resource there too.
    Module {
        name: String,
        written: String,
    },
    /// `include_tasks`, `include` and, when the file name is known only at run time, `import_tasks`.
    IncludeTasks,
    IncludeRole,
    /// `meta: WHAT`.
    Meta(Node),
    /// A name no resource has. Kept so that `check` lists all; running it is an error.
    Unknown {
        written: String,
    },
}

/// The module's arguments as written.
#[derive(Debug, Clone)]
pub enum TaskArgs {
    /// Name, value; from `module:` mapping, `args:`, and `key=value` text. The engine renders each.
    Named(Vec<(Node, Node)>),
    /// `module: "{{ mapping }}"`, with what `args:` adds.
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
#[derive(Debug)]
pub struct RoleUse {
    pub role: Arc<Role>,
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
