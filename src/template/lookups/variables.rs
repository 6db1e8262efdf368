//! Lookups of variables: the environment's, the host's, the inventory's.

use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::only;
use crate::template::Context;
use crate::template::args::{self, err, items, pairs, string};
use crate::template::call::{carry, undefined, unsupported};
use crate::template::pyregex::{Flags, PyRegex};

pub fn env(_: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "env", &["default"])?;
    let mut out = vec![];
    for term in terms {
        let name = string(term, "term")?;
        let name = name.split_whitespace().next().unwrap_or_default();
        out.push(match args::env(name) {
            Some(value) => Value::from(value),
            None => options.get("default").cloned().unwrap_or_else(|| Value::from("")),
        });
    }
    Ok(out)
}

pub fn vars(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(options, "vars", &["default"])?;
    let mut out = vec![];
    for term in terms {
        let Some(name) = term.as_str() else { return Err(err("`vars` takes the names of variables as text")) };
        out.push(match (context.variable(name).map_err(carry)?, options.get("default")) {
            (Some(value), _) if !value.is_undefined() => value,
            (_, Some(default)) => default.clone(),
            _ => return Err(undefined(format!("no variable is named `{name}`"))),
        });
    }
    Ok(out)
}

pub fn varnames(context: &Context, terms: &[Value], _: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    let mut names: Vec<&str> = vec![];
    for scope in context.scopes() {
        for name in scope.vars.keys() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let mut out = vec![];
    for term in terms {
        let pattern = string(term, "term")?;
        let regex = PyRegex::new(&pattern, Flags::default()).map_err(|e| err(e.0))?;
        for name in &names {
            if regex.is_match(name).map_err(|e| err(e.0))? {
                out.push(Value::from(*name));
            }
        }
    }
    Ok(out)
}

/// Settings by Ansible's names (`DEFAULT_ROLES_PATH`).
pub fn config(context: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    let option = |name: &str| options.get(name).filter(|v| !v.is_none()).map(args::text);
    let plugin = match (option("plugin_type"), option("plugin_name")) {
        (Some(kind), Some(name)) => Some((kind, name.rsplit('.').next().unwrap_or_default().to_owned())),
        (None, None) => None,
        _ => return Err(err("`plugin_type` and `plugin_name` go together")),
    };
    let on_missing = option("on_missing").unwrap_or_else(|| "error".into());
    if !matches!(on_missing.as_str(), "error" | "skip" | "warn") {
        return Err(err(format!("`on_missing` is `error`, `skip` or `warn`, not `{on_missing}`")));
    }
    let show_origin = args::flag(options.get("show_origin"), false);
    let mut out = vec![];
    for term in terms {
        let name = string(term, "term")?;
        let options = context.engine().options();
        let found = match &plugin {
            None => options.config.as_ref().and_then(|all| all.get(name.as_str())),
            Some((kind, plugin)) => {
                let all = options.plugin_config.as_ref();
                if !all.is_some_and(|all| all.keys().any(|(k, p, _)| k == kind && p == plugin)) {
                    return Err(unsupported(format!("settings of the {kind} plugin `{plugin}`")));
                }
                all.and_then(|all| all.get(&(kind.as_str(), plugin.as_str(), name.as_str())))
            }
        };
        match found {
            Some((value, origin)) if show_origin => out.push(args::tuple([value.clone(), Value::from(&**origin)])),
            Some((value, _)) => out.push(value.clone()),
            None if on_missing == "skip" => {}
            None if on_missing == "warn" => {
                context.engine().warn("lookup", &format!("there is no setting `{name}`"), None);
            }
            None => return Err(err(format!("there is no setting `{name}`"))),
        }
    }
    Ok(out)
}

/// Host patterns over the variable `groups`.
pub fn inventory_hostnames(
    context: &Context,
    terms: &[Value],
    _: &IndexMap<String, Value>,
) -> Result<Vec<Value>, Error> {
    let groups = context
        .variable("groups")
        .map_err(carry)?
        .ok_or_else(|| undefined("`groups` is undefined: there is no inventory here"))?;
    let mut members: IndexMap<String, Vec<String>> = IndexMap::new();
    for (name, hosts) in pairs(&groups)? {
        members.insert(args::text(&name), items(&hosts)?.iter().map(args::text).collect());
    }
    let mut chosen: Vec<String> = vec![];
    for term in terms {
        let term = args::text(term);
        for part in split_pattern(&term) {
            let (mode, pattern) = match part.chars().next() {
                Some(c @ ('!' | '&')) => (c, &part[1..]),
                _ => ('+', part.as_str()),
            };
            let matched = matching(&members, pattern)?;
            match mode {
                '!' => chosen.retain(|h| !matched.contains(h)),
                '&' => chosen.retain(|h| matched.contains(h)),
                _ => {
                    for host in matched {
                        if !chosen.contains(&host) {
                            chosen.push(host);
                        }
                    }
                }
            }
        }
    }
    Ok(chosen.into_iter().map(Value::from).collect())
}

/// `a:b` and `a,b` are parts; a colon within brackets is not.
fn split_pattern(pattern: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut depth = 0;
    for c in pattern.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if (c == ':' || c == ',') && depth == 0 {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    let mut out: Vec<String> = out.into_iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect();
    // exclusions and intersections hold whatever their place
    out.sort_by_key(|p| match p.chars().next() {
        Some('&') => 1,
        Some('!') => 2,
        _ => 0,
    });
    out
}

fn matching(members: &IndexMap<String, Vec<String>>, pattern: &str) -> Result<Vec<String>, Error> {
    let all = members.get("all").cloned().unwrap_or_default();
    if matches!(pattern, "all" | "*") {
        return Ok(all);
    }
    if let Some(pattern) = pattern.strip_prefix('~') {
        let regex = PyRegex::new(pattern, Flags::default()).map_err(|e| err(e.0))?;
        return Ok(named(members, &all, |name| regex.match_start(name).is_ok_and(|m| m.is_some())));
    }
    Ok(named(members, &all, |name| crate::template::filters::paths::fnmatch(pattern, name)))
}

fn named(members: &IndexMap<String, Vec<String>>, all: &[String], fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    for (group, hosts) in members {
        if group != "all" && fits(group) {
            out.extend(hosts.iter().filter(|h| !out.contains(h)).cloned().collect::<Vec<_>>());
        }
    }
    out.extend(all.iter().filter(|h| fits(h) && !out.contains(h)).cloned().collect::<Vec<_>>());
    out
}
