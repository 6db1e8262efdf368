//! The files of a role: tasks, handlers, variables, meta, argument_specs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::Problem;
use crate::source::Span;
use crate::yaml::{Node, Yaml};

use super::keywords::{self, Place, shown};
use super::loader::{Session, scalar_text};

/// What meta/main.yml says.
#[derive(Default)]
pub(super) struct Meta {
    pub allow_duplicates: bool,
    pub dependencies: Vec<Node>,
    pub collections: Vec<String>,
    pub argument_specs: Option<Node>,
}

/// A role's place on disk.
pub(super) struct Found {
    pub name: String,
    pub path: PathBuf,
    pub collection: Option<String>,
}

impl Session<'_> {
    /// `tasks/main.yml` and its like; with `from` the file must exist.
    pub(super) fn role_file(
        &mut self,
        found: &Found,
        folder: &str,
        from: Option<&str>,
        span: &Span,
    ) -> Option<PathBuf> {
        let dir = found.path.join(folder);
        let files = if dir.is_dir() { vars_files(&dir, from, false) } else { vec![] };
        let path = files.into_iter().next();
        match (path, from) {
            (Some(path), Some(from)) if !is_below(&path, &dir) => {
                self.problem(outside(found, folder, from, span));
                None
            }
            (Some(path), _) => Some(path),
            (None, Some(from)) if dir.is_dir() => {
                self.problem(missing_from(found, folder, from, &dir, span));
                None
            }
            // Ansible says nothing of a `tasks_from` in a role that has no `tasks/` at all; that helps nobody.
            (None, Some(from)) if folder == "tasks" => {
                self.problem(missing_from(found, folder, from, &dir, span));
                None
            }
            (None, _) => None,
        }
    }

    pub(super) fn role_vars(
        &mut self,
        found: &Found,
        folder: &str,
        from: Option<&str>,
        span: &Span,
    ) -> Vec<(String, Node)> {
        let dir = found.path.join(folder);
        if !dir.is_dir() {
            return vec![];
        }
        let files = vars_files(&dir, from, true);
        if let (true, Some(from)) = (files.is_empty(), from) {
            self.problem(missing_from(found, folder, from, &dir, span));
            return vec![];
        }
        let mut all = vec![];
        for path in files {
            let Some(node) = self.file(&path, Some(span)) else { continue };
            match &node.value {
                Yaml::Null => {}
                Yaml::Map(map) => {
                    for (key, value) in map.iter() {
                        // A variables file may hold any key; only names of variables can be used.
                        match scalar_text(key) {
                            Some(name) => all.push((name, value.clone())),
                            None => self.problem(keywords::bad_variable_name(key)),
                        }
                    }
                }
                _ => self.problem(
                    Problem::new(
                        "wrong-type",
                        format!("{folder} of a role must be a mapping of variables, not {}", node.kind()),
                    )
                    .at(&node.span),
                ),
            }
        }
        all
    }

    pub(super) fn meta_of(&mut self, found: &Found, span: &Span) -> Meta {
        let mut meta = Meta::default();
        let dir = found.path.join("meta");
        let Some(path) = vars_files(&dir, None, false).into_iter().next() else { return meta };
        let Some(node) = self.file(&path, Some(span)) else { return meta };
        if node.is_null() {
            return meta;
        }
        let Some(map) = node.as_map() else {
            self.problem(
                Problem::new("wrong-type", format!("a role's meta/main must be a mapping, not {}", node.kind()))
                    .at(&node.span),
            );
            return meta;
        };
        for (key_node, value) in map.iter() {
            let key = key_node.as_str().unwrap_or_default();
            match key {
                "allow_duplicates" => {
                    meta.allow_duplicates = matches!(&value.value, Yaml::Bool(true))
                        || value.as_str().and_then(crate::resources::truth) == Some(true);
                    if let Some(problem) = keywords::check(key, keywords::Shape::Bool, value) {
                        self.problem(problem);
                    }
                }
                "dependencies" => match &value.value {
                    Yaml::Null => {}
                    Yaml::Seq(items) => meta.dependencies = items.iter().filter(|i| !i.is_null()).cloned().collect(),
                    _ => self.problem(
                        Problem::new("wrong-type", format!("`dependencies` must be a list, not {}", shown(value)))
                            .at(&value.span),
                    ),
                },
                "collections" => {
                    meta.collections = keywords::list(value).iter().filter_map(scalar_text).collect();
                }
                "argument_specs" => meta.argument_specs = Some(value.clone()).filter(|v| !v.is_null()),
                "galaxy_info" => {}
                _ if keywords::shape(Place::Play, key).is_some() => {}
                _ => self.problem(
                    Problem::new("unknown-keyword", format!("a role's meta has no {}", shown(key_node)))
                        .at(&key_node.span)
                        .nearest(
                            key,
                            ["allow_duplicates", "dependencies", "galaxy_info", "argument_specs", "collections"],
                        ),
                ),
            }
        }
        meta
    }

    /// meta/argument_specs.yml, which goes before what meta/main.yml says.
    pub(super) fn argument_specs(&mut self, found: &Found) -> Option<Node> {
        for ending in ["yml", "yaml", "json"] {
            let path = found.path.join("meta").join(format!("argument_specs.{ending}"));
            if path.is_file() {
                let node = self.file(&path, None)?;
                return Some(
                    node.as_map()
                        .and_then(|m| m.get("argument_specs"))
                        .filter(|v| v.as_map().is_some())
                        .cloned()
                        .unwrap_or_else(|| Node::new(Yaml::Map(Arc::default()), node.span.clone())),
                );
            }
        }
        None
    }
}

/// The files of a role's folder: `main` with its endings, or what `from` names; folders of that name where allowed.
pub(super) fn vars_files(dir: &Path, from: Option<&str>, allow_folder: bool) -> Vec<PathBuf> {
    let endings: [&str; 4] =
        if from.is_none() { [".yml", ".yaml", ".json", ""] } else { ["", ".yml", ".yaml", ".json"] };
    let name = from.unwrap_or("main");
    for ending in endings {
        let path = dir.join(format!("{name}{ending}"));
        if path.is_dir() {
            if allow_folder {
                return folder_files(&path);
            }
            continue;
        }
        if path.exists() {
            return vec![path];
        }
    }
    vec![]
}

/// Variable files of a folder and of folders in it, in the order of their names; hidden and backup files are left out.
fn folder_files(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    names.sort();
    let mut all = vec![];
    for path in names {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let ending = path.extension().and_then(|e| e.to_str());
        if path.is_dir() {
            if ending.is_none() {
                all.extend(folder_files(&path));
            }
        } else if matches!(ending, None | Some("yml" | "yaml" | "json")) {
            all.push(path);
        }
    }
    all
}

fn missing_from(found: &Found, folder: &str, from: &str, dir: &Path, span: &Span) -> Problem {
    let names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.path().file_stem().map(|s| s.to_string_lossy().into_owned()))
        .collect();
    Problem::new("file-not-found", format!("the role `{}` has no {folder}/{from}", found.name))
        .at(span)
        .nearest(from, names.iter().map(String::as_str))
}

fn outside(found: &Found, folder: &str, from: &str, span: &Span) -> Problem {
    Problem::new("misplaced", format!("`{from}` leads out of the folder {folder}/ of the role `{}`", found.name))
        .at(span)
}

fn is_below(path: &Path, dir: &Path) -> bool {
    match (path.canonicalize(), dir.canonicalize()) {
        (Ok(path), Ok(dir)) => path.starts_with(dir),
        _ => true,
    }
}
