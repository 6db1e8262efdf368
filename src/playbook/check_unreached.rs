//! What lies in the repository and no play reaches: roles that nobody calls, task files that nobody includes, templates and
//! variable files of roles.
//!
//! Part of `check`. They are read and their names are looked up as in the others; but who will call them, with which
//! variables and handlers, is not known: no variable or handler in them is said to be undefined.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::Checker;
use super::check_files::{files_below, search_paths};
use super::check_walk::{FlatPlay, Open};
use super::loader::{FileCall, Loader, RoleCall, absolute};
use super::model::RoleUse;
use crate::yaml::read_source;

/// How deep folders of task files, variables and templates are looked into.
const DEPTH: usize = 6;

/// What makes a folder a role.
const ROLE_FOLDERS: &[&str] = &["tasks", "handlers", "defaults", "vars", "meta", "templates"];

impl Checker<'_> {
    /// One open play per playbook folder, of what none of its plays reached.
    pub(super) fn unreached(&mut self, reached: &[FlatPlay]) -> Vec<FlatPlay> {
        let mut all = vec![];
        let mut homes: BTreeSet<&Path> = BTreeSet::new();
        let mut used: HashSet<PathBuf> =
            reached.iter().flat_map(|f| f.roles.iter()).map(|r| r.role.path.clone()).collect();
        for flat in reached {
            let Some(home) = flat.play.playbook.parent().filter(|home| homes.insert(home)) else { continue };
            let mut open = FlatPlay::open(flat.play.clone());
            for path in self.role_folders(home) {
                if used.insert(path.clone()) {
                    self.unused_role(&path, home, &mut open);
                }
            }
            let mut roles: Vec<Arc<RoleUse>> = vec![];
            for role in reached.iter().flat_map(|f| &f.roles).chain(&open.roles) {
                if role.role.path.starts_with(self.what.root) && !roles.iter().any(|r| r.role.path == role.role.path) {
                    roles.push(role.clone());
                }
            }
            for role in &roles {
                self.unused_files(&role.role.path, Some(role), home, &mut open);
            }
            self.unused_files(home, None, home, &mut open);
            all.push(open);
        }
        all
    }

    /// Folders of roles in the repository that a playbook's plays may name.
    fn role_folders(&self, home: &Path) -> Vec<PathBuf> {
        let mut folders = vec![home.join("roles")];
        folders.extend(self.what.loader.settings.roles_path.iter().cloned());
        let inside = folders.into_iter().map(|f| absolute(&f)).filter(|f| f.starts_with(self.what.root));
        let mut found: Vec<PathBuf> = inside
            .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| ROLE_FOLDERS.iter().any(|f| path.join(f).is_dir()))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    fn unused_role(&mut self, path: &Path, home: &Path, open: &mut FlatPlay) {
        let name = path.to_string_lossy().into_owned();
        let call = RoleCall {
            from_include: true,
            allow_duplicates: Some(true),
            playbook_dir: home.to_owned(),
            vars: Loader::static_vars(&open.play),
            ..RoleCall::default()
        };
        let span = open.play.span.clone();
        let outcome = self.what.loader.read_role(&name, &call, &span);
        self.found.problems.extend(outcome.problems);
        self.found.warnings.extend(outcome.warnings);
        if let Some(role) = outcome.value {
            self.role(&role, &[], open, &mut Open::default());
        }
    }

    /// Files of a role (or beside a playbook) that nothing read so far.
    fn unused_files(&mut self, root: &Path, role: Option<&Arc<RoleUse>>, home: &Path, open: &mut FlatPlay) {
        for (folder, is_handlers) in [("tasks", false), ("handlers", true)] {
            for path in yaml_files(&root.join(folder)) {
                if self.what.loader.has_read(&path) {
                    continue;
                }
                let call = FileCall {
                    role,
                    is_handlers,
                    playbook_dir: home.to_owned(),
                    vars: Loader::static_vars(&open.play),
                    ..FileCall::default()
                };
                let outcome = self.what.loader.read_tasks(&path, &call);
                self.found.problems.extend(outcome.problems);
                self.found.warnings.extend(outcome.warnings);
                if is_handlers {
                    self.handlers(&super::list::flat_handlers(&outcome.value), &[], open, &mut Open::default());
                } else {
                    self.items(&outcome.value, &[], role, open, &mut Open::default());
                }
            }
        }
        for folder in ["defaults", "vars"] {
            for path in yaml_files(&root.join(folder)) {
                if self.what.loader.has_read(&path) {
                    continue;
                }
                if let Err(problem) = self.what.loader.file(&path) {
                    self.unreadable(problem);
                }
            }
        }
    }

    /// Templates of roles and beside playbooks that no task was seen to use.
    pub(super) fn unreached_templates<'f>(&mut self, flats: impl Iterator<Item = &'f FlatPlay>) {
        let mut done = HashSet::new();
        for flat in flats {
            let home = flat.play.playbook.parent().unwrap_or(Path::new("")).to_owned();
            let roles = flat.roles.iter().filter(|r| r.role.path.starts_with(self.what.root)).map(Some);
            for role in roles.chain([None]) {
                let root = role.map_or(&home, |r| &r.role.path);
                if !done.insert(root.clone()) {
                    continue;
                }
                let open = FlatPlay::open(flat.play.clone());
                for path in files_below(&root.join("templates"), DEPTH) {
                    let known = self.files.contains_key(&path);
                    // What is not text is no template, whatever folder it lies in.
                    let Some(file) = (if known { None } else { read_source(&path).ok() }) else { continue };
                    let at = crate::source::Span::of_file(&file);
                    let paths = search_paths(role, &at, &home);
                    self.template_file(&path, &BTreeSet::new(), &paths, &open);
                }
            }
        }
    }
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yml" || e == "yaml");
    files_below(folder, DEPTH).into_iter().filter(is_yaml).collect()
}
