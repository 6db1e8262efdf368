//! `plugin: constructed`: variables and groups computed from the hosts that earlier sources named.

use std::path::PathBuf;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::model::Inventory;
use crate::problem::Problem;
use crate::template::{Context, Engine, EvalError, SearchPaths};
use crate::vars::Scope;
use crate::yaml::{Mapping, Node, Scalar, Yaml};

const KEYS: [&str; 8] = [
    "plugin",
    "strict",
    "compose",
    "groups",
    "keyed_groups",
    "use_vars_plugins",
    "leading_separator",
    "use_extra_vars",
];
const KEYED: [&str; 6] = ["key", "prefix", "separator", "parent_group", "default_value", "trailing_separator"];

/// Applies a constructed file to the hosts read so far; every problem in it is found.
pub(super) fn apply(
    inventory: &mut Inventory,
    config: &Mapping,
    engine: &Arc<Engine>,
    extra_vars: Option<&Arc<Scope>>,
) -> Result<(), Vec<Problem>> {
    let mut problems = vec![];
    for (key, _) in config.iter() {
        let name = key.scalar_text().unwrap_or_default();
        if !KEYS.contains(&name.as_str()) {
            problems.push(
                Problem::new("unknown-key", format!("the inventory plugin `constructed` has no option `{name}`"))
                    .at(&key.span)
                    .nearest(&name, KEYS),
            );
        }
    }
    let options = Options {
        strict: flag(config, "strict", false),
        vars_plugins: flag(config, "use_vars_plugins", false),
        leading_separator: flag(config, "leading_separator", true),
        extra_vars: extra_vars.filter(|_| flag(config, "use_extra_vars", false)).cloned(),
    };
    let names: Vec<String> = inventory.hosts.keys().cloned().collect();
    for host in names {
        if !problems.is_empty() {
            break;
        }
        if let Err(p) = one(inventory, &host, config, engine, &options) {
            problems.push(p.note(format!("for host `{host}`")));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

struct Options {
    strict: bool,
    vars_plugins: bool,
    leading_separator: bool,
    extra_vars: Option<Arc<Scope>>,
}

fn flag(config: &Mapping, name: &str, default: bool) -> bool {
    config.get(name).and_then(Node::as_bool).unwrap_or(default)
}

fn section<'a>(config: &'a Mapping, name: &str) -> Result<Option<&'a Mapping>, Problem> {
    match config.get(name) {
        None => Ok(None),
        Some(node) if node.is_null() => Ok(None),
        Some(node) => node.as_map().map(Some).ok_or_else(|| {
            Problem::new(
                "bad-inventory",
                format!("`{name}` is a mapping of names and expressions, not {}", node.kind()),
            )
            .at(&node.span)
        }),
    }
}

fn one(
    inventory: &mut Inventory,
    host: &str,
    config: &Mapping,
    engine: &Arc<Engine>,
    options: &Options,
) -> Result<(), Problem> {
    // Composed variables do not see each other, groups see them all.
    let context = context(inventory, host, engine, options, options.extra_vars.as_ref())?;
    let mut composed = vec![];
    for (name, expression) in section(config, "compose")?.into_iter().flat_map(Mapping::iter) {
        let Some(value) = evaluate(&context, expression, options)? else { continue };
        composed.push((name.scalar_text().unwrap_or_default(), data(&value, expression)));
    }
    inventory.add_host(host, None).vars.extend(composed);
    // Extra variables are for `compose`: Ansible's groups do not see them.
    let context = self::context(inventory, host, engine, options, None)?;
    for (name, expression) in section(config, "groups")?.into_iter().flat_map(Mapping::iter) {
        let belongs = match context.condition(expression) {
            Ok(belongs) => belongs,
            Err(e) if options.strict => return Err(e.into_problem().or_at(&expression.span)),
            Err(_) => continue,
        };
        if belongs {
            inventory.add_to_group(host, &safe(&name.scalar_text().unwrap_or_default()));
        }
    }
    let Some(keyed) = config.get("keyed_groups").filter(|n| !n.is_null()) else { return Ok(()) };
    let Some(items) = keyed.as_seq() else {
        return Err(
            Problem::new("bad-inventory", format!("`keyed_groups` is a list, not {}", keyed.kind())).at(&keyed.span)
        );
    };
    for item in items {
        keyed_group(inventory, host, item, &context, options)?;
    }
    Ok(())
}

fn keyed_group(
    inventory: &mut Inventory,
    host: &str,
    item: &Node,
    context: &Context,
    options: &Options,
) -> Result<(), Problem> {
    let Some(map) = item.as_map() else {
        return Err(Problem::new(
            "bad-inventory",
            format!("an entry of `keyed_groups` is a mapping, not {}", item.kind()),
        )
        .at(&item.span));
    };
    for (key, _) in map.iter() {
        let name = key.scalar_text().unwrap_or_default();
        if !KEYED.contains(&name.as_str()) {
            return Err(Problem::new("unknown-key", format!("`keyed_groups` has no option `{name}`"))
                .at(&key.span)
                .nearest(&name, KEYED));
        }
    }
    let text = |name: &str| map.get(name).filter(|n| !n.is_null()).and_then(Node::scalar_text);
    let Some(expression) = map.get("key") else {
        return Err(Problem::new("bad-inventory", "an entry of `keyed_groups` needs a `key`").at(&item.span));
    };
    let Some(key) = evaluate(context, expression, options)? else { return Ok(()) };
    let default = text("default_value");
    let separator = text("separator").unwrap_or_else(|| "_".into());
    let or_default = |value: &Value| match (value.as_str(), &default) {
        (Some(""), Some(default)) => default.clone(),
        _ => value.to_string(),
    };
    let names: Vec<String> = match key.kind() {
        ValueKind::String if key.as_str() == Some("") && default.is_none() => vec![],
        ValueKind::String => vec![or_default(&key)],
        ValueKind::Seq | ValueKind::Iterable => {
            key.try_iter().into_iter().flatten().map(|v| or_default(&v)).filter(|n| !n.is_empty()).collect()
        }
        ValueKind::Map => key
            .try_iter()
            .into_iter()
            .flatten()
            .map(|k| {
                let value = key.get_item(&k).unwrap_or_default();
                if value.as_str() == Some("") && default.is_none() && !flag(map, "trailing_separator", true) {
                    return k.to_string();
                }
                format!("{k}{separator}{}", or_default(&value))
            })
            .collect(),
        _ if !key.is_true() => vec![],
        _ => {
            return Err(Problem::new("bad-inventory", "the `key` of a keyed group is text, a list or a mapping")
                .at(&expression.span)
                .label(format!("this is `{key}`"))
                .help("turn a number into text: `key: cpus | string`"));
        }
    };
    if names.is_empty() && options.strict && key.kind() != ValueKind::Seq && key.kind() != ValueKind::Map {
        return Err(Problem::new("bad-inventory", "the `key` of a keyed group is empty").at(&expression.span));
    }
    let prefix = text("prefix").unwrap_or_default();
    let parent = match map.get("parent_group").filter(|n| !n.is_null()) {
        None => None,
        Some(node) => match context.text(node) {
            Ok(name) => Some(safe(&name)),
            Err(e) if options.strict => return Err(e.into_problem().or_at(&node.span)),
            Err(_) => return Ok(()),
        },
    };
    for name in names {
        let separator = if prefix.is_empty() && !options.leading_separator { "" } else { &separator };
        let group = safe(&format!("{prefix}{separator}{name}"));
        inventory.add_to_group(host, &group);
        if let Some(parent) = &parent {
            inventory.add_child(parent, &group).map_err(|p| p.or_at(&item.span))?;
        }
    }
    Ok(())
}

/// The host's variables, as far as they are known now.
fn context(
    inventory: &Inventory,
    host: &str,
    engine: &Arc<Engine>,
    options: &Options,
    extra: Option<&Arc<Scope>>,
) -> Result<Context, Problem> {
    let mut scopes =
        if options.vars_plugins { inventory.scopes_for(host, None)? } else { inventory.source_scopes(host) };
    scopes.extend(extra.cloned());
    scopes.push(Scope::finals(
        "magic variables",
        [
            ("inventory_hostname".to_owned(), Value::from(host)),
            ("inventory_hostname_short".to_owned(), Value::from(host.split('.').next().unwrap_or(host))),
            ("group_names".to_owned(), inventory.groups_of(host).into_iter().collect::<Value>()),
        ],
    ));
    let paths = SearchPaths { roles: vec![], task_dir: PathBuf::new(), playbook_dir: PathBuf::new() };
    Ok(Context::new(engine, scopes, Arc::new(paths)))
}

/// An expression's value; nothing if it fails and that does not matter.
fn evaluate(context: &Context, expression: &Node, options: &Options) -> Result<Option<Value>, Problem> {
    let text = expression.scalar_text().unwrap_or_default();
    let result: Result<Value, EvalError> = context.expression(&text, &expression.span);
    match result {
        Ok(value) if value.is_undefined() && !options.strict => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(e) if options.strict => Err(e.into_problem().or_at(&expression.span)),
        Err(_) => Ok(None),
    }
}

/// A computed value: no template, whatever it looks like.
fn data(value: &Value, place: &Node) -> Node {
    freeze(Node::from_value(value, &place.span))
}

/// The node with every text in it marked as data.
pub(super) fn freeze(node: Node) -> Node {
    let value = match node.value {
        Yaml::Str(s) => Yaml::Str(Scalar { is_unsafe: true, ..s }),
        Yaml::Seq(items) => Yaml::Seq(Arc::new(items.iter().cloned().map(freeze).collect())),
        Yaml::Map(map) => Yaml::Map(Arc::new(Mapping {
            entries: map.entries.iter().map(|(k, v)| (k.clone(), freeze(v.clone()))).collect(),
        })),
        other => other,
    };
    Node::new(value, node.span)
}

/// A group's name as Ansible makes it from data: letters, digits and underscores, no digit first.
fn safe(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.replace_range(..1, "_");
    }
    out
}
