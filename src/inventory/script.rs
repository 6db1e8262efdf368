//! Executable inventories: programs that print JSON for `--list` and `--host NAME`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value as Json};

use super::constructed;
use super::model::Inventory;
use crate::problem::Problem;
use crate::source::{SourceFile, Span, display_path};
use crate::yaml::Node;

pub(super) enum Failure {
    /// The system cannot run it, or it is no script to begin with.
    NotAProgram,
    Problem(Box<Problem>),
}

impl From<Problem> for Failure {
    fn from(p: Problem) -> Self {
        Self::Problem(Box::new(p))
    }
}

pub(super) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Runs `PATH --list` and adds what it says.
pub(super) fn read(inventory: &mut Inventory, path: &Path) -> Result<(), Failure> {
    let place = Span::of_file(&SourceFile::new(path, ""));
    let data = run(path, &["--list"])?;
    let Json::Object(groups) = data else {
        return Err(
            Problem::new("bad-inventory", format!("`{} --list` printed no JSON object", display_path(path))).into()
        );
    };
    let hostvars = groups.get("_meta").map(|meta| meta.get("hostvars").cloned().unwrap_or(Json::Object(Map::new())));
    for (name, body) in &groups {
        if name != "_meta" {
            group(inventory, name, body, path, &place)
                .map_err(|p| Failure::from(p.note(format!("printed by `{}`", display_path(path)))))?;
        }
    }
    let names: Vec<String> = inventory.hosts.keys().cloned().collect();
    match hostvars {
        Some(vars) => {
            if let Some(vars) = vars.as_object() {
                // A host that only `_meta` names is none.
                for (name, vars) in vars.iter().filter(|(name, _)| names.contains(name)) {
                    host_vars(inventory, name, vars, path, &place);
                }
            }
        }
        // Without `_meta` each host is asked for.
        None => {
            // … as far as it is the script's own.
            for name in names.into_iter().filter(|name| groups.values().any(|body| has_host(body, name))) {
                let vars = run(path, &["--host", &name])?;
                host_vars(inventory, &name, &vars, path, &place);
            }
        }
    }
    Ok(())
}

/// Whether a group, as a script prints it, lists a host.
fn has_host(group: &Json, name: &str) -> bool {
    let hosts = group.get("hosts").unwrap_or(group);
    hosts.as_array().is_some_and(|all| all.iter().any(|host| host.as_str() == Some(name)))
}

fn host_vars(inventory: &mut Inventory, name: &str, vars: &Json, path: &Path, place: &Span) {
    let host = inventory.add_host(name, Some(path));
    for (k, v) in vars.as_object().into_iter().flatten() {
        host.vars.insert(k.clone(), Node::from_json(v, place));
    }
}

fn group(inventory: &mut Inventory, name: &str, body: &Json, path: &Path, place: &Span) -> Result<(), Problem> {
    inventory.add_group(name);
    let bad = |what: &str| Problem::new("bad-inventory", format!("group `{name}`: {what}"));
    let (hosts, vars, children) = match body {
        Json::Array(_) => (Some(body), None, None),
        Json::Object(map) if !["hosts", "vars", "children"].iter().any(|k| map.contains_key(*k)) => {
            // The oldest form: a host of the group's own name, with these variables.
            inventory.add_host(name, Some(path));
            inventory.add_to_group(name, name);
            for (k, v) in body.as_object().into_iter().flatten() {
                inventory.set_group_var(name, k, constructed::freeze(Node::from_json(v, place)))?;
            }
            (None, None, None)
        }
        Json::Object(map) => (map.get("hosts"), map.get("vars"), map.get("children")),
        _ => return Err(bad("is neither a list nor an object")),
    };
    if let Some(hosts) = hosts {
        for host in hosts.as_array().ok_or_else(|| bad("`hosts` is no list"))? {
            let host = host.as_str().ok_or_else(|| bad("a host's name is no text"))?;
            inventory.add_host(host, Some(path));
            inventory.add_to_group(host, name);
        }
    }
    if let Some(vars) = vars {
        for (k, v) in vars.as_object().ok_or_else(|| bad("`vars` is no object"))? {
            inventory.set_group_var(name, k, Node::from_json(v, place))?;
        }
    }
    if let Some(children) = children {
        for child in children.as_array().ok_or_else(|| bad("`children` is no list"))? {
            inventory.add_child(name, child.as_str().ok_or_else(|| bad("a child's name is no text"))?)?;
        }
    }
    Ok(())
}

fn run(path: &Path, args: &[&str]) -> Result<Json, Failure> {
    let shown = format!("{} {}", display_path(path), args.join(" "));
    let output = match Command::new(path).args(args).stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => return Err(Failure::NotAProgram),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Problem::new("inventory-script", format!("cannot run `{shown}`: its interpreter is missing"))
                .help("check the first line (`#!…`) of the script")
                .into());
        }
        Err(e) => return Err(Problem::new("inventory-script", format!("cannot run `{shown}`: {e}")).into()),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().collect();
        let tail = lines[lines.len().saturating_sub(5)..].join("\n");
        let problem = Problem::new("inventory-script", format!("`{shown}` failed: {}", output.status));
        return Err(if tail.is_empty() { problem } else { problem.note(tail) }.into());
    }
    serde_json::from_str(&text).map_err(|e| {
        Problem::new("inventory-script", format!("`{shown}` printed no JSON: {e}"))
            .note(format!("it begins with: {}", text.chars().take(80).collect::<String>()))
            .into()
    })
}
