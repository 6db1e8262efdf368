//! What tasks and templates take from the control machine: it exists, and templates can be read.
//!
//! Part of `check`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::source::{Span, display_path};
use crate::template::SearchPaths;
use crate::yaml::{Node, read_source};

use super::check::Checker;
use super::check_files::{argument, files_like, possible_names, search_paths};
use super::check_template::Scan;
use super::check_walk::{FlatPlay, Step};
use super::loader::scalar_text;
use super::model::{Action, TaskArgs};

impl Checker<'_> {
    /// Files that a task takes from the control machine. `own`: what the task itself uses.
    pub(super) fn files(&mut self, step: &Step, flat: &FlatPlay, guards: &BTreeSet<String>, own: &Scan) {
        let task = &step.task;
        let dir = flat.play.playbook.parent().unwrap_or(Path::new("")).to_owned();
        let paths = search_paths(step.role.as_ref(), &task.span, &dir);
        let first_found = task.loop_.as_ref().is_some_and(|l| l.kind == "first_found");
        let mut all_guards = guards.clone();
        all_guards.extend(own.guards.iter().cloned());
        for name in own.templates.iter().filter(|t| !t.is_optional) {
            match paths.find("templates", &name.name) {
                Ok(path) => self.template_file(&path, &all_guards, &paths, flat),
                Err(tried) => self.missing(&name.name, &name.span, &tried),
            }
        }
        let Some((module, folder, source)) = source(step) else { return };
        let mut found = vec![];
        for name in possible_names(task, &source) {
            if name.contains("{{") {
                found.extend(files_like(&name, |name| paths.candidates(folder, name)));
                continue;
            }
            match paths.find(folder, name.trim_end_matches('/')) {
                Ok(path) => found.push(path),
                // An earlier task may make a file of that path.
                Err(_) if first_found || name.starts_with(['/', '~']) => {}
                Err(tried) => self.missing(&name, &source.span, &tried),
            }
        }
        if module == "template" {
            for path in found {
                self.template_file(&path, &all_guards, &paths, flat);
            }
        }
    }

    /// A template file and all that it includes.
    pub(super) fn template_file(
        &mut self,
        path: &Path,
        guards: &BTreeSet<String>,
        paths: &SearchPaths,
        flat: &FlatPlay,
    ) {
        let is_new = !self.files.contains_key(path);
        let file = self.files.entry(path.to_owned()).or_insert_with(|| read_source(path).ok()).clone();
        let Some(file) = file else { return };
        let mut scan = Scan::default();
        scan.file(&file);
        let included = std::mem::take(&mut scan.templates);
        let mut inner = guards.clone();
        // An included file sees what is bound around the statement.
        inner.extend(scan.bound.iter().chain(&scan.guards).cloned());
        self.report(scan, guards, flat);
        // Each file once, or files that include each other would never end.
        if !is_new {
            return;
        }
        for name in included {
            let beside: Vec<PathBuf> = path.parent().map(|p| p.join(&name.name)).into_iter().collect();
            let mut tried = paths.candidates("templates", &name.name);
            tried.extend(beside);
            match tried.iter().find(|p| p.is_file()).cloned() {
                Some(path) => self.template_file(&path, &inner, paths, flat),
                None if name.is_optional => {}
                None => self.missing(&name.name, &name.span, &tried),
            }
        }
    }

    /// A file that is nowhere.
    pub(super) fn missing(&mut self, name: &str, span: &Span, tried: &[PathBuf]) {
        let mut problem = Problem::new("file-not-found", format!("no such file: `{name}`")).at(span);
        let mut shown = vec![];
        for path in tried {
            if !shown.contains(&path) {
                problem = problem.note(format!("looked for {}", display_path(path)));
                shown.push(path);
            }
        }
        let base = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside: Vec<String> = tried
            .iter()
            .filter_map(|p| p.parent())
            .flat_map(|dir| super::check_files::files_below(dir, 1))
            .filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned()))
            .collect();
        self.found.problems.push(problem.nearest(&base, beside.iter().map(String::as_str)));
    }
}

/// The argument of a task that names a file here: the module, the folder such files are in, the name.
fn source(step: &Step) -> Option<(&str, &'static str, Node)> {
    let task = &step.task;
    let Action::Module { name: module, .. } = &task.action else { return None };
    let folder = match module.as_str() {
        "template" => "templates",
        "copy" | "unarchive" | "script" | "patch" => "files",
        "include_vars" => "vars",
        _ => return None,
    };
    let is_true = |key: &str| {
        argument(task, key).is_some_and(|n| {
            n.has_template() || scalar_text(n).as_deref().and_then(crate::resources::truth) == Some(true)
        })
    };
    if is_true("remote_src") {
        return None;
    }
    let source = match (&task.args, module.as_str()) {
        (TaskArgs::Free(text, _), "script") => {
            let first = text.as_str().and_then(|t| t.split_whitespace().next()).unwrap_or_default();
            if first.contains("{{") {
                return None;
            }
            Node::text(first, &text.span)
        }
        (TaskArgs::Free(text, _), "include_vars") => text.clone(),
        (_, "include_vars") => argument(task, "file")?.clone(),
        _ => argument(task, "src")?.clone(),
    };
    let text = scalar_text(&source)?;
    (!text.contains("://")).then_some((module, folder, source))
}
