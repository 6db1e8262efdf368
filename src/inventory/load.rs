//! Reading inventory sources: files, folders of files, scripts, lists of hosts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Decrypt;
use super::model::Inventory;
use super::{constructed, ini, script, tree};
use crate::problem::{Problem, Problems};
use crate::source::{SourceFile, Span, display_path};
use crate::template::{Engine, EngineOptions};
use crate::yaml;

/// How sources are read.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// Opens vaulted files among the sources, group_vars and host_vars.
    pub decrypt: Option<Decrypt>,
    /// Evaluates the expressions of constructed groups; one of its own if absent.
    pub engine: Option<Arc<Engine>>,
}

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions").field("decrypt", &self.decrypt).finish_non_exhaustive()
    }
}

/// Files in a folder that are no inventories.
const IGNORED: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];

impl Inventory {
    /// Reads all sources (paths, or lists of hosts with a comma) into one inventory. With it come warnings.
    pub fn load(sources: &[String], options: &LoadOptions) -> Result<(Self, Vec<Problem>), Problems> {
        let mut inventory = Self::new();
        inventory.files.decrypt = options.decrypt.clone();
        let mut loader = Loader { inventory, warnings: vec![], problems: vec![], options };
        for source in sources {
            if source.contains(',') && !Path::new(source).exists() {
                if let Err(p) = ini::host_list(&mut loader.inventory, source) {
                    loader.problems.push(p);
                }
                continue;
            }
            let path = expand_home(source);
            if !path.exists() {
                loader.problems.push(missing(source, &path));
                continue;
            }
            loader.inventory.sources.push(std::path::absolute(&path).unwrap_or(path.clone()));
            loader.source(&path, 0);
        }
        if !loader.problems.is_empty() {
            return Err(Problems(loader.problems));
        }
        loader.inventory.reconcile();
        let names: Vec<String> =
            loader.inventory.groups.keys().filter(|g| loader.inventory.hosts.contains_key(*g)).cloned().collect();
        for name in names {
            loader.warnings.push(
                Problem::new("ambiguous-name", format!("`{name}` is both a group and a host"))
                    .help("give one of them another name: as a host pattern it means the host"),
            );
        }
        Ok((loader.inventory, loader.warnings))
    }
}

/// `~/…` as the shell would.
fn expand_home(source: &str) -> PathBuf {
    match (source.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => PathBuf::from(source),
    }
}

fn missing(source: &str, path: &Path) -> Problem {
    let beside: Vec<String> =
        std::fs::read_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    Problem::new("inventory-not-found", format!("no such inventory: `{source}`"))
        .nearest(&name, beside.iter().map(String::as_str))
        .help(format!("for hosts by name, end the list with a comma: `-i {source},`"))
}

struct Loader<'a> {
    inventory: Inventory,
    warnings: Vec<Problem>,
    problems: Vec<Problem>,
    options: &'a LoadOptions,
}

impl Loader<'_> {
    fn source(&mut self, path: &Path, depth: usize) {
        if path.is_dir() {
            self.folder(path, depth);
        } else if let Err(found) = self.file(path) {
            self.problems.extend(found);
        }
    }

    fn folder(&mut self, dir: &Path, depth: usize) {
        let mut names: Vec<String> = match std::fs::read_dir(dir) {
            Ok(entries) => entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect(),
            Err(e) => {
                self.problems.push(Problem::new(
                    "unreadable-file",
                    format!("cannot read the folder `{}`: {e}", display_path(dir)),
                ));
                return;
            }
        };
        names.sort();
        for name in names {
            let skipped = name.starts_with('.')
                || matches!(name.as_str(), "group_vars" | "host_vars" | "vars_plugins")
                || IGNORED.iter().any(|ext| name.ends_with(ext));
            if !skipped && depth < 32 {
                self.source(&dir.join(name), depth + 1);
            }
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), Vec<Problem>> {
        let absolute = std::path::absolute(path).unwrap_or(path.to_owned());
        if script::is_executable(&absolute) {
            match script::read(&mut self.inventory, &absolute) {
                Ok(()) => return Ok(()),
                // A file that merely has the executable bit is read as what it is.
                Err(script::Failure::NotAProgram) => {}
                Err(script::Failure::Problem(p)) => return Err(vec![*p]),
            }
        }
        let mut file = yaml::read_source(&absolute).map_err(|p| vec![p])?;
        if yaml::is_vaulted(&file.text) {
            let Some(decrypt) = &self.options.decrypt else {
                return Err(vec![
                    Problem::new(
                        "vaulted-file",
                        format!("the inventory `{}` is encrypted, and no vault password is given", display_path(path)),
                    )
                    .help("give --vault-password-file, --vault-id or --ask-vault-pass"),
                ]);
            };
            file = SourceFile::new(&absolute, (decrypt.0)(&file).map_err(|p| vec![p])?);
        }
        match path.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
            Some("yml" | "yaml" | "json") => self.yaml(&file),
            Some("toml") => Err(vec![Problem::unsupported("inventories in TOML").at(&Span::of_file(&file))]),
            // Without an extension both are possible; Ansible tries YAML first.
            None if is_yaml(&file) => self.yaml(&file),
            _ => ini::read(&mut self.inventory, &file, &mut self.warnings),
        }
    }

    fn yaml(&mut self, file: &Arc<SourceFile>) -> Result<(), Vec<Problem>> {
        let loaded = yaml::parse(file).map_err(|p| vec![p])?;
        self.warnings.extend(loaded.warnings.iter().cloned());
        let root = loaded.single().map_err(|p| vec![p])?;
        if root.is_null() {
            self.warnings.push(Problem::new("empty-inventory", "this inventory is empty").at(&Span::of_file(file)));
            return Ok(());
        }
        let Some(map) = root.as_map() else {
            return Err(vec![
                Problem::new("bad-inventory", format!("an inventory is a mapping of groups, not {}", root.kind()))
                    .at(&root.span),
            ]);
        };
        if let Some((_, plugin)) = map.entry("plugin") {
            let name = plugin.as_str().unwrap_or_default();
            if matches!(name, "constructed" | "ansible.builtin.constructed") {
                let engine = self.options.engine.clone().unwrap_or_else(|| Engine::new(EngineOptions::default()));
                return constructed::apply(&mut self.inventory, map, &engine);
            }
            return Err(vec![Problem::unsupported(format!("the inventory plugin `{name}`")).at(&plugin.span).help(
                "let a script print the inventory as JSON: any executable that knows `--list` and `--host NAME`",
            )]);
        }
        tree::read(&mut self.inventory, map, &mut self.warnings)
    }
}

/// True if the text is a YAML mapping; most INI files are no YAML, or only one text.
fn is_yaml(file: &Arc<SourceFile>) -> bool {
    file.text.starts_with("---") || yaml::parse(file).and_then(|l| l.single()).is_ok_and(|n| n.as_map().is_some())
}
