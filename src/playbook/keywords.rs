//! The keywords that plays, roles, blocks and tasks share: which object knows which, and what their values may be.
//!
//! Used while files are lowered into the model. Values stay nodes; a value without a template is checked here, so that
//! a malformed one is found before anything runs.

use crate::problem::Problem;
use crate::resources::truth;
use crate::source::Span;
use crate::yaml::{Node, Scalar, ScalarStyle, Yaml};

use super::model::Keywords;

/// What a keyword may stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Play,
    Role,
    Block,
    Task,
    Handler,
    ImportPlaybook,
    IncludeTasks,
    IncludeRole,
}

impl Place {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Play => "a play",
            Self::Role => "a role entry",
            Self::Block => "a block",
            Self::Task => "a task",
            Self::Handler => "a handler",
            Self::ImportPlaybook => "an `import_playbook`",
            Self::IncludeTasks => "an `include_tasks`",
            Self::IncludeRole => "an `include_role`",
        }
    }
}

/// What a keyword's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Bool,
    Int,
    Float,
    /// One value or a list of them.
    List,
    /// Text or a list of texts.
    Texts,
    Map,
    Any,
}

const BASE: &[(&str, Shape)] = &[
    ("name", Shape::Text),
    ("connection", Shape::Text),
    ("port", Shape::Int),
    ("remote_user", Shape::Text),
    ("vars", Shape::Map),
    ("module_defaults", Shape::List),
    ("environment", Shape::List),
    ("no_log", Shape::Bool),
    ("run_once", Shape::Bool),
    ("ignore_errors", Shape::Bool),
    ("ignore_unreachable", Shape::Bool),
    ("check_mode", Shape::Bool),
    ("diff", Shape::Bool),
    ("any_errors_fatal", Shape::Bool),
    ("throttle", Shape::Int),
    ("confirm", Shape::Int),
    ("timeout", Shape::Int),
    ("debugger", Shape::Text),
    ("become", Shape::Bool),
    ("become_user", Shape::Text),
    ("become_method", Shape::Text),
    ("become_flags", Shape::Text),
    ("become_exe", Shape::Text),
    ("tags", Shape::List),
];

const PLAY: &[(&str, Shape)] = &[
    ("hosts", Shape::Texts),
    ("gather_facts", Shape::Bool),
    ("gather_subset", Shape::Texts),
    ("gather_timeout", Shape::Int),
    ("fact_path", Shape::Text),
    ("vars_files", Shape::List),
    ("vars_prompt", Shape::Any),
    ("roles", Shape::Any),
    ("handlers", Shape::Any),
    ("pre_tasks", Shape::Any),
    ("post_tasks", Shape::Any),
    ("tasks", Shape::Any),
    ("force_handlers", Shape::Bool),
    ("max_fail_percentage", Shape::Any),
    ("serial", Shape::List),
    ("strategy", Shape::Text),
    ("order", Shape::Text),
    ("collections", Shape::Texts),
    ("user", Shape::Text),
];

const BLOCK_AND_TASK: &[(&str, Shape)] = &[
    ("when", Shape::List),
    ("notify", Shape::List),
    ("collections", Shape::Texts),
    ("delegate_to", Shape::Text),
    ("delegate_facts", Shape::Bool),
];

const TASK: &[(&str, Shape)] = &[
    ("action", Shape::Any),
    ("local_action", Shape::Any),
    ("args", Shape::Any),
    ("async", Shape::Int),
    ("changed_when", Shape::List),
    ("delay", Shape::Float),
    ("failed_when", Shape::List),
    ("loop", Shape::Any),
    ("loop_control", Shape::Map),
    ("poll", Shape::Int),
    ("register", Shape::Text),
    ("retries", Shape::Int),
    ("until", Shape::List),
];

/// All that an include statement takes; anything else belongs under `apply`.
const ON_INCLUDE: &[&str] = &[
    "action",
    "local_action",
    "args",
    "collections",
    "debugger",
    "ignore_errors",
    "loop",
    "loop_control",
    "name",
    "no_log",
    "register",
    "run_once",
    "tags",
    "timeout",
    "vars",
    "when",
];

/// The keyword's shape, if the object has it.
pub(super) fn shape(place: Place, key: &str) -> Option<Shape> {
    tables(place).iter().flat_map(|t| t.iter()).find(|(k, _)| *k == key).map(|(_, s)| *s).or({
        match (place, key) {
            (Place::Block, "block" | "rescue" | "always") => Some(Shape::Any),
            (Place::Handler, "listen") => Some(Shape::Texts),
            (Place::Role, "role") => Some(Shape::Text),
            (Place::Role | Place::ImportPlaybook, "when") => Some(Shape::List),
            (Place::Role, "delegate_to") => Some(Shape::Text),
            (Place::Role, "delegate_facts") => Some(Shape::Bool),
            (Place::Role, "collections") => Some(Shape::Texts),
            (
                Place::ImportPlaybook,
                "import_playbook" | "ansible.builtin.import_playbook" | "ansible.legacy.import_playbook",
            ) => Some(Shape::Text),
            _ => None,
        }
    })
}

/// Whether an include statement (not import) takes the keyword.
pub(super) fn on_include(key: &str) -> bool {
    ON_INCLUDE.contains(&key) || key.starts_with("with_")
}

fn tables(place: Place) -> &'static [&'static [(&'static str, Shape)]] {
    match place {
        Place::Play => &[BASE, PLAY],
        Place::Role | Place::ImportPlaybook => &[BASE],
        Place::Block => &[BASE, BLOCK_AND_TASK],
        Place::Task | Place::Handler | Place::IncludeTasks | Place::IncludeRole => &[BASE, BLOCK_AND_TASK, TASK],
    }
}

/// All keyword names of an object, for suggestions.
pub(super) fn names(place: Place) -> Vec<&'static str> {
    let mut all: Vec<&str> = tables(place).iter().flat_map(|t| t.iter().map(|(k, _)| *k)).collect();
    match place {
        Place::Block => all.extend(["block", "rescue", "always"]),
        Place::Handler => all.push("listen"),
        Place::Role => all.extend(["role", "when", "delegate_to", "delegate_facts"]),
        Place::ImportPlaybook => all.extend(["import_playbook", "when"]),
        _ => {}
    }
    all
}

/// Every keyword of an object (`play`, `block`, `import_playbook`, else a task or handler) with its shape, for the schema.
pub fn keyword_shapes(object: &str) -> Vec<(&'static str, Shape)> {
    let places = match object {
        "play" => vec![Place::Play],
        "block" => vec![Place::Block],
        "import_playbook" => vec![Place::ImportPlaybook],
        _ => vec![Place::Task, Place::Handler],
    };
    let mut all: Vec<(&str, Shape)> = places
        .into_iter()
        .flat_map(|place| names(place).into_iter().filter_map(move |name| Some((name, shape(place, name)?))))
        .collect();
    all.sort_by_key(|(name, _)| *name);
    all.dedup_by_key(|(name, _)| *name);
    all
}

/// The error for a key the object doesn't have.
pub(super) fn unknown(place: Place, key: &str, span: &Span) -> Problem {
    let problem = Problem::new("unknown-keyword", format!("`{key}` is not a keyword of {}", place.noun())).at(span);
    match key {
        "sudo" | "su" => problem.help("write `become: true`"),
        "sudo_user" | "su_user" => problem.help("write `become_user`"),
        "sudo_pass" | "su_pass" => problem.help("give the password with -K or the variable `ansible_become_password`"),
        "always_run" => problem.help("write `check_mode: false`"),
        "loop" | "with_items" | "loop_control" if place == Place::Block => {
            problem.help("a block cannot loop: put its tasks in a file and loop over `include_tasks`")
        }
        "when" if place == Place::Play => problem.help("put the condition on the play's tasks, roles or blocks"),
        "register" if place == Place::Block => problem.help("register the result of each task in the block"),
        _ if matches!(place, Place::IncludeTasks | Place::IncludeRole) && shape(Place::Block, key).is_some() => {
            problem.help(format!("to hand `{key}` on to what is included, put it under `apply:`"))
        }
        _ => problem.nearest(key, names(place)),
    }
}

/// Puts a shared keyword's value where it belongs. `false`: the key is none of the shared ones.
pub(super) fn take(into: &mut Keywords, key: &str, value: &Node, problems: &mut Vec<Problem>) -> bool {
    let one = || (!value.is_null()).then(|| value.clone());
    match key {
        "name" => into.name = one(),
        "when" => into.when = list(value),
        "tags" => into.tags = tags(value, problems),
        "vars" => into.vars = vars(value, problems),
        "become" => into.r#become = one(),
        "become_user" => into.become_user = one(),
        "become_method" => into.become_method = one(),
        "become_flags" => into.become_flags = one(),
        "become_exe" => into.become_exe = one(),
        "environment" => into.environment = environment(value, problems),
        "no_log" => into.no_log = one(),
        "ignore_errors" => into.ignore_errors = one(),
        "ignore_unreachable" => into.ignore_unreachable = one(),
        "check_mode" => into.check_mode = one(),
        "diff" => into.diff = one(),
        "connection" => into.connection = one(),
        "port" => into.port = one(),
        "remote_user" => into.remote_user = one(),
        "delegate_to" => into.delegate_to = one(),
        "delegate_facts" => into.delegate_facts = one(),
        "run_once" => into.run_once = one(),
        "any_errors_fatal" => into.any_errors_fatal = one(),
        "throttle" => into.throttle = one(),
        "confirm" => into.confirm = one(),
        "timeout" => into.timeout = one(),
        "module_defaults" => into.module_defaults = module_defaults(value, problems),
        "notify" => into.notify = list(value),
        "collections" => into.collections = one(),
        "debugger" => into.debugger = one(),
        _ => return false,
    }
    true
}

/// Checks a value against the keyword's shape; templates pass.
pub(super) fn check(key: &str, shape: Shape, value: &Node) -> Option<Problem> {
    let wrong = |wanted: &str| {
        Some(Problem::new("wrong-type", format!("`{key}` must be {wanted}, not {}", shown(value))).at(&value.span))
    };
    if value.is_null() {
        // These are refused when empty; every other empty keyword is as if it were not there.
        return match key {
            "tags" => wrong("text or a list of texts"),
            "loop_control" => wrong("a mapping"),
            _ => None,
        };
    }
    if key == "debugger" {
        const WHEN: &[&str] = &["always", "on_failed", "on_unreachable", "on_skipped"];
        return match value.as_str() {
            Some("never") => None,
            Some(text) if WHEN.contains(&text) || value.has_template() => {
                Some(Problem::unsupported(format_args!("`debugger: {text}`")).at(&value.span))
            }
            _ => wrong("one of always, on_failed, on_unreachable, on_skipped, never"),
        };
    }
    // `vars` and `loop_control` hold templates, they cannot be one.
    if shape != Shape::Map
        && (value.as_str().is_some() && value.has_template() || matches!(value.value, Yaml::Vault(_)))
    {
        return None;
    }
    match shape {
        Shape::Text if value.as_seq().is_some() || value.as_map().is_some() => wrong("text"),
        Shape::Bool => match &value.value {
            Yaml::Bool(_) | Yaml::Int(0 | 1) => None,
            Yaml::Str(s) if truth(s.text.trim()).is_some() => None,
            _ => wrong("true or false"),
        },
        Shape::Int => match &value.value {
            Yaml::Int(_) => None,
            Yaml::Bool(_) => None,
            Yaml::Float(f) if f.fract() == 0.0 => None,
            Yaml::Str(s) if s.text.trim().parse::<i64>().is_ok() => None,
            _ => wrong("a whole number"),
        },
        Shape::Float => match &value.value {
            Yaml::Int(_) | Yaml::Float(_) | Yaml::Bool(_) => None,
            Yaml::Str(s) if s.text.trim().parse::<f64>().is_ok() => None,
            _ => wrong("a number"),
        },
        Shape::Map if value.as_map().is_none() => wrong("a mapping"),
        Shape::Texts if key == "hosts" && value.as_seq().is_none() && value.as_str().is_none() => {
            wrong("a pattern or a list of patterns")
        }
        Shape::Texts => match value.as_seq() {
            Some(items) if key == "hosts" => items.iter().find(|i| i.as_str().is_none()).map(|i| {
                Problem::new("wrong-type", format!("a pattern of `hosts` must be text, not {}", shown(i))).at(&i.span)
            }),
            Some(items) => {
                items.iter().find(|i| i.as_seq().is_some() || i.as_map().is_some() || i.is_null()).map(|i| {
                    Problem::new("wrong-type", format!("`{key}` must be a list of texts, not of {}", shown(i)))
                        .at(&i.span)
                })
            }
            None if value.as_map().is_some() => wrong("text or a list of texts"),
            None => None,
        },
        Shape::List
            if value.as_map().is_some()
                && matches!(key, "when" | "until" | "changed_when" | "failed_when" | "notify") =>
        {
            wrong(if key == "notify" { "a handler's name or a list of them" } else { "a condition or a list of them" })
        }
        _ => None,
    }
}

/// A value for a message: what it is, and itself if it is short.
pub(super) fn shown(value: &Node) -> String {
    match &value.value {
        Yaml::Str(s) if s.text.chars().count() <= 40 => format!("`{}`", s.text.escape_debug()),
        Yaml::Int(i) => format!("`{i}`"),
        Yaml::Float(f) => format!("`{f}`"),
        Yaml::Bool(b) => format!("`{b}`"),
        _ => value.kind().to_owned(),
    }
}

/// A list's items, or the one value; nothing for nothing.
pub(super) fn list(value: &Node) -> Vec<Node> {
    match &value.value {
        Yaml::Null => vec![],
        Yaml::Seq(items) => items.iter().filter(|i| !i.is_null()).cloned().collect(),
        _ => vec![value.clone()],
    }
}

/// Tags as single nodes: a text is split at commas, a list is taken as it is. Like Ansible, a text *in a list* is
/// split only where tags are compared (see [`super::tags`]).
fn tags(value: &Node, problems: &mut Vec<Problem>) -> Vec<Node> {
    match &value.value {
        Yaml::Str(s) if value.has_template() => {
            // `tags: "{{ a }},b"`: commas outside of templates split.
            split_outside_templates(&s.text).into_iter().map(|t| part(value, &t)).collect()
        }
        Yaml::Str(s) => s.text.split(',').map(|t| part(value, t)).collect(),
        Yaml::Seq(items) => {
            // Lists in the list are flattened where tags are compared.
            for item in items.iter().flat_map(|i| i.as_seq().unwrap_or(std::slice::from_ref(i))) {
                if !matches!(item.value, Yaml::Str(_) | Yaml::Int(_)) {
                    problems.push(
                        Problem::new("wrong-type", format!("a tag must be text, not {}", shown(item))).at(&item.span),
                    );
                }
            }
            items.to_vec()
        }
        // Reported by `check`, where it knows better.
        Yaml::Null => vec![],
        _ => {
            problems.push(
                Problem::new("wrong-type", format!("`tags` must be text or a list of texts, not {}", shown(value)))
                    .at(&value.span),
            );
            vec![]
        }
    }
}

fn part(of: &Node, text: &str) -> Node {
    let is_unsafe = matches!(&of.value, Yaml::Str(s) if s.is_unsafe);
    let scalar = Scalar { text: text.trim().into(), style: ScalarStyle::Plain, is_unsafe };
    Node::new(Yaml::Str(scalar), of.span.clone())
}

fn split_outside_templates(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('{', Some('{' | '%')) => depth += 1,
            ('}', Some('}')) | ('%', Some('}')) => depth = depth.saturating_sub(1),
            (',', _) if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// A `vars:` mapping with checked names.
pub(super) fn vars(value: &Node, problems: &mut Vec<Problem>) -> Vec<(String, Node)> {
    // A wrong type was reported by `check`.
    let Some(map) = value.as_map() else { return vec![] };
    let mut all = vec![];
    for (key, value) in map.iter() {
        match key.as_str().filter(|k| is_variable_name(k)) {
            Some(name) => all.push((name.to_owned(), value.clone())),
            None => problems.push(bad_variable_name(key)),
        }
    }
    all
}

/// The error for a key that cannot name a variable.
pub(super) fn bad_variable_name(key: &Node) -> Problem {
    let problem =
        Problem::new("invalid-variable-name", format!("{} cannot be the name of a variable", shown(key))).at(&key.span);
    match key.as_str() {
        Some(text) if text.contains('-') => problem.help(format!("write `{}`", text.replace('-', "_"))),
        _ => problem.help("a name has letters, digits and `_`, and does not begin with a digit"),
    }
}

/// Whether Ansible takes a text as a variable's name.
pub(super) fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(name, "true" | "false" | "none" | "True" | "False" | "None" | "not")
}

fn environment(value: &Node, problems: &mut Vec<Problem>) -> Vec<Node> {
    let all = list(value);
    for one in &all {
        if one.as_map().is_none() && !one.has_template() {
            problems.push(
                Problem::new("wrong-type", format!("`environment` must be a mapping, not {}", shown(one)))
                    .at(&one.span),
            );
        }
    }
    all
}

fn module_defaults(value: &Node, problems: &mut Vec<Problem>) -> Vec<Node> {
    let all = list(value);
    for one in &all {
        let Some(map) = one.as_map() else {
            problems.push(
                Problem::new("wrong-type", format!("`module_defaults` must be a mapping, not {}", shown(one)))
                    .at(&one.span)
                    .help("its keys are module names or group/NAME; only the values may be templates"),
            );
            continue;
        };
        for (key, defaults) in map.iter() {
            if key.as_str().is_none() {
                problems.push(
                    Problem::new("wrong-type", "a key of `module_defaults` must be a module's name").at(&key.span),
                );
            }
            if defaults.as_map().is_none() && !defaults.is_null() && !defaults.has_template() {
                problems.push(
                    Problem::new(
                        "wrong-type",
                        format!("defaults of a module must be a mapping, not {}", shown(defaults)),
                    )
                    .at(&defaults.span),
                );
            }
        }
    }
    all
}
