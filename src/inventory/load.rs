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
use crate::vars::Scope;
use crate::yaml;

/// How sources are read.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// Opens vaulted files among the sources, group_vars and host_vars.
    pub decrypt: Option<Decrypt>,
    /// Evaluates the expressions of constructed groups; one of its own if absent.
    pub engine: Option<Arc<Engine>>,
    /// What constructed groups with `use_extra_vars` see.
    pub extra_vars: Option<Arc<Scope>>,
    pub unparsed: Unparsed,
    /// Ansible's names of the kinds of sources that are read (`ini`, `yaml`, `script` …); all if absent.
    pub enabled: Option<Vec<String>>,
    /// Ends of names in a folder that are no inventories, instead of the usual ones.
    pub ignored_extensions: Option<Vec<String>>,
    /// Regular expressions for names in a folder that are no inventories.
    pub ignored_patterns: Vec<String>,
}

/// What becomes of a source that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unparsed {
    /// It is an error: hosts that are silently missing cost more than a message.
    #[default]
    Fail,
    /// An error only if nothing at all could be read (Ansible's `unparsed_is_failed`).
    FailIfAll,
    /// A warning, and the source counts as empty: Ansible's default.
    Warn,
    Ignore,
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
        let patterns = options
            .ignored_patterns
            .iter()
            .map(|p| {
                fancy_regex::Regex::new(p)
                    .map_err(|e| Problem::new("bad-setting", format!("`{p}` is no regular expression: {e}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut loader = Loader { inventory, warnings: vec![], problems: vec![], read: 0, patterns, options };
        for source in sources {
            if source.contains(',') && !Path::new(source).exists() {
                loader.attempt(|l| ini::host_list(&mut l.inventory, source).map_err(|p| vec![p]));
                continue;
            }
            let path = expand_home(source);
            if path.exists() {
                // Also where the source itself cannot be read, group_vars beside it count.
                loader.inventory.sources.push(std::path::absolute(&path).unwrap_or(path.clone()));
                loader.source(&path, 0);
            } else {
                loader.attempt(|_| Err(vec![missing(source, &path)]));
            }
        }
        if !loader.problems.is_empty() && (options.unparsed != Unparsed::FailIfAll || loader.read == 0) {
            return Err(Problems(loader.problems));
        }
        loader.warnings.append(&mut loader.problems);
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
    /// How many sources could be read.
    read: usize,
    patterns: Vec<fancy_regex::Regex>,
    options: &'a LoadOptions,
}

impl Loader<'_> {
    /// Reads one source. One that fails leaves nothing behind.
    fn attempt(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Vec<Problem>>) {
        let tolerant = self.options.unparsed != Unparsed::Fail;
        let before = tolerant.then(|| self.inventory.clone());
        match read(self) {
            Ok(()) => self.read += 1,
            Err(found) => {
                if let Some(mut before) = before {
                    before.sources = std::mem::take(&mut self.inventory.sources);
                    self.inventory = before;
                }
                match self.options.unparsed {
                    Unparsed::Fail | Unparsed::FailIfAll => self.problems.extend(found),
                    Unparsed::Warn => self.warnings.extend(found),
                    Unparsed::Ignore => {}
                }
            }
        }
    }

    fn source(&mut self, path: &Path, depth: usize) {
        if path.is_dir() {
            self.folder(path, depth);
        } else {
            self.attempt(|l| l.file(path));
        }
    }

    fn enabled(&self, kind: &str) -> bool {
        let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        self.options.enabled.as_ref().is_none_or(|names| names.iter().any(|n| short(n.trim()) == kind))
    }

    fn ignored(&self, name: &str) -> bool {
        let by_extension = match &self.options.ignored_extensions {
            Some(own) => own.iter().any(|ext| name.ends_with(ext.as_str())),
            None => IGNORED.iter().any(|ext| name.ends_with(ext)),
        };
        by_extension || self.patterns.iter().any(|p| p.is_match(name).unwrap_or(false))
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
                || self.ignored(&name);
            if !skipped && depth < 32 {
                self.source(&dir.join(name), depth + 1);
            }
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), Vec<Problem>> {
        let absolute = std::path::absolute(path).unwrap_or(path.to_owned());
        if self.enabled("script") && script::is_executable(&absolute) {
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
            file = SourceFile::decrypted(&absolute, (decrypt.0)(&file).map_err(|p| vec![p])?);
        }
        match path.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
            Some("yml" | "yaml" | "json") if self.enabled("yaml") || self.enabled("auto") => self.yaml(&file),
            Some("toml") => Err(vec![Problem::unsupported("inventories in TOML").at(&Span::of_file(&file))]),
            // Without an extension both are possible; Ansible tries YAML first.
            None if self.enabled("yaml") && is_yaml(&file) => self.yaml(&file),
            _ if self.enabled("ini") => ini::read(&mut self.inventory, &file, &mut self.warnings),
            _ => Err(vec![
                Problem::new("bad-inventory", "none of the enabled inventory plugins reads this source")
                    .at(&Span::of_file(&file))
                    .help("add its kind to `enable_plugins` (ini, yaml, script, auto, host_list, constructed)"),
            ]),
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
                let extra = self.options.extra_vars.as_ref();
                return constructed::apply(&mut self.inventory, map, &engine, extra);
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
