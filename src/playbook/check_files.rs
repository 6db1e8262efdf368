//! Files that a statement may mean: templated names, loops over names, plugin folders.
//!
//! Part of `check`, which has no host to render names for: it follows every file that a name may turn out to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::source::Span;
use crate::template::SearchPaths;
use crate::yaml::Node;

use super::check_names::{fixed_parts, matches};
use super::loader::scalar_text;
use super::model::{RoleUse, Task, TaskArgs};

/// A plugin file beside the playbook or in a role that may define a filter, test or lookup.
pub(super) fn custom_plugin(what: &str, name: &str, roots: &[PathBuf]) -> Option<PathBuf> {
    let folder = format!("{what}_plugins");
    roots.iter().flat_map(|root| files_below(&root.join(&folder), 1)).find(|path| {
        path.file_stem().is_some_and(|s| s == name)
            || std::fs::read_to_string(path)
                .is_ok_and(|text| text.contains(&format!("'{name}'")) || text.contains(&format!("\"{name}\"")))
    })
}

/// A task's argument by name.
pub(super) fn argument<'t>(task: &'t Task, name: &str) -> Option<&'t Node> {
    let named = match &task.args {
        TaskArgs::Named(named) | TaskArgs::Free(_, named) | TaskArgs::Template(_, named) => named,
    };
    named.iter().find(|(k, _)| k.as_str() == Some(name)).map(|(_, v)| v)
}

/// The values a text can have: itself, or one per item of a loop whose items are written out. Some may be templates still.
pub(super) fn possible_names(task: &Task, node: &Node) -> Vec<String> {
    let Some(text) = scalar_text(node) else { return vec![] };
    if !node.has_template() {
        return vec![text];
    }
    from_loop(task, &text).unwrap_or_else(|| vec![text])
}

fn from_loop(task: &Task, text: &str) -> Option<Vec<String>> {
    let looping = task.loop_.as_ref()?;
    let variable = task.loop_control.loop_var.as_ref().and_then(scalar_text).unwrap_or_else(|| "item".to_owned());
    let (before, rest) = text.split_once("{{")?;
    let (inside, after) = rest.split_once("}}")?;
    if inside.trim() != variable {
        return None;
    }
    let items = looping.items.as_seq()?;
    let mut all = vec![];
    for item in items {
        // `with_first_found: [{files: […], paths: […]}]`.
        match item.as_map().and_then(|m| m.get("files")) {
            Some(files) => all.extend(super::keywords::list(files).iter().filter_map(scalar_text)),
            None => all.push(scalar_text(item)?),
        }
    }
    Some(all.into_iter().map(|value| format!("{before}{value}{after}")).collect())
}

/// Existing files that a templated name may mean: the file's name may vary, its folder may not.
pub(super) fn files_like(name: &str, places: impl Fn(&str) -> Vec<PathBuf>) -> Vec<PathBuf> {
    like(name, places, false)
}

/// The same for files of variables: to know a name too many does no harm, so `{{ x }}.yml` is any of a folder's.
pub(super) fn variable_files_like(name: &str, places: impl Fn(&str) -> Vec<PathBuf>) -> Vec<PathBuf> {
    like(name, places, true)
}

fn like(name: &str, places: impl Fn(&str) -> Vec<PathBuf>, take_any: bool) -> Vec<PathBuf> {
    let (folder, base) = match name.rsplit_once('/') {
        // A template that holds a slash of its own.
        Some((folder, base)) if folder.matches("{{").count() == folder.matches("}}").count() => (folder, base),
        Some(_) => ("", name),
        None => ("", name),
    };
    if folder.contains("{{") || !base.contains("{{") {
        return vec![];
    }
    let parts = fixed_parts(base);
    if parts.iter().all(String::is_empty) {
        return vec![];
    }
    // `{{ x }}.yml` may be any file: only of a folder that holds nothing else.
    let is_weak = parts.iter().all(|p| p.is_empty() || p.starts_with('.'));
    let own = ["tasks", "handlers", "vars", "templates", "files", "defaults"];
    let mut found = vec![];
    for place in places(&if folder.is_empty() { "x".to_owned() } else { format!("{folder}/x") }) {
        let Some(dir) = place.parent() else { continue };
        if is_weak
            && !take_any
            && folder.is_empty()
            && !dir.components().any(|c| own.iter().any(|o| c.as_os_str() == *o))
        {
            continue;
        }
        for path in files_below(dir, 1) {
            let is_like = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| matches(n, &parts));
            let is_variables = path.extension().is_none_or(|e| matches!(e.to_str(), Some("yml" | "yaml" | "json")));
            if is_like && (is_variables || !take_any) && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// Files of a folder, and of folders in it down to a depth, in the order of their names.
pub(super) fn files_below(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    let mut all = vec![];
    for path in entries {
        if path.is_dir() {
            if depth > 1 {
                all.extend(files_below(&path, depth - 1));
            }
        } else {
            all.push(path);
        }
    }
    all
}

pub(super) fn search_paths(role: Option<&Arc<RoleUse>>, at: &Span, playbook_dir: &Path) -> SearchPaths {
    let roles = role.map_or_else(Vec::new, |role| {
        std::iter::once(role.role.path.clone())
            .chain(role.ancestors.iter().rev().map(|a| a.role.path.clone()))
            .collect()
    });
    SearchPaths { roles, task_dir: at.dir().to_owned(), playbook_dir: playbook_dir.to_owned() }
}
