//! Names of hosts, groups and tags: patterns of plays, `--limit`, `--tags`, files of group_vars and host_vars.
//!
//! Part of `check`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::source::display_path;
use crate::yaml::Node;

use super::check::Checker;
use super::check_files::files_below;
use super::check_walk::FlatPlay;
use super::loader::scalar_text;
use super::model::Keywords;

impl Checker<'_> {
    /// What plays and the command line select.
    pub(super) fn selection(&mut self, flats: &[FlatPlay]) {
        self.tags(flats);
        let Some(inventory) = self.what.inventory else { return };
        for flat in flats {
            let hosts = &flat.play.hosts;
            if hosts.has_template() {
                continue;
            }
            let text = match hosts.as_seq() {
                Some(items) => items.iter().filter_map(scalar_text).collect::<Vec<_>>().join(","),
                None => scalar_text(hosts).unwrap_or_default(),
            };
            match inventory.matching(&text) {
                // add_host and group_by may fill it while the playbook runs: a warning, as Ansible's.
                Ok(found) if found.hosts.is_empty() => {
                    self.found.warnings.push(inventory.no_match(&text, &found).at(&hosts.span));
                }
                Ok(_) => {}
                Err(problem) => self.found.problems.push(problem.or_at(&hosts.span)),
            }
        }
        if let Some(limit) = self.what.limit {
            let all: Vec<String> = inventory.hosts.keys().cloned().collect();
            match inventory.limited(&all, limit) {
                Ok(found) if found.hosts.is_empty() => {
                    self.found.problems.push(inventory.no_match(limit, &found).note(format!("--limit {limit}")));
                }
                Ok(_) => {}
                Err(problem) => self.found.problems.push(problem),
            }
        }
        self.variable_files(flats);
    }

    /// `--tags` and `--skip-tags` name tags that some task has.
    fn tags(&mut self, flats: &[FlatPlay]) {
        let mut known = BTreeSet::new();
        let mut open = flats.iter().any(|f| f.is_open);
        for flat in flats {
            let plays = std::iter::once(&flat.play.keywords).chain(&flat.play.import_keywords);
            let roles = flat.roles.iter().map(|r| &r.keywords);
            let steps = flat.steps.iter().flat_map(|s| {
                let around = s.chain.iter().map(AsRef::as_ref);
                around.chain([&s.task.keywords]).chain(s.task.apply.as_deref())
            });
            let all: Vec<&Keywords> = plays.chain(roles).chain(steps).collect();
            for keywords in all {
                let Ok(tags) = super::tags::tag_texts(&keywords.tags, &mut |node: &Node| {
                    if node.has_template() { Err(()) } else { Ok(node.clone()) }
                }) else {
                    open = true;
                    continue;
                };
                known.extend(tags);
            }
        }
        for tag in self.what.tags {
            if super::is_special_tag(tag) || known.contains(tag) {
                continue;
            }
            let problem = super::unknown_tag(tag, &known);
            // Beside a tag that is a template, or an include that is one, it may be there all the same.
            if open { self.found.warnings.push(problem) } else { self.found.problems.push(problem) }
        }
    }

    /// Files of group_vars and host_vars whose group or host does not exist: read as the others, and told.
    fn variable_files(&mut self, flats: &[FlatPlay]) {
        let Some(inventory) = self.what.inventory else { return };
        let mut homes: Vec<PathBuf> = inventory.bases();
        homes.extend(flats.iter().filter_map(|f| f.play.playbook.parent()).map(Path::to_owned));
        let mut seen = BTreeSet::new();
        for home in homes {
            let home = super::loader::absolute(&home);
            if !seen.insert(home.clone()) {
                continue;
            }
            for (folder, what) in [("group_vars", "group"), ("host_vars", "host")] {
                let mut entries: Vec<PathBuf> = std::fs::read_dir(home.join(folder))
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .collect();
                entries.sort();
                for path in entries {
                    let is_variables = path.is_dir()
                        || path.extension().is_none_or(|e| matches!(e.to_str(), Some("yml" | "yaml" | "json")));
                    let whole = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    let is_known = |name: &str| match what {
                        "group" => inventory.groups.contains_key(name),
                        _ => inventory.hosts.contains_key(name) || name == "localhost",
                    };
                    if !is_variables || whole.starts_with('.') || is_known(&whole) || is_known(&stem) {
                        continue;
                    }
                    for file in if path.is_dir() { files_below(&path, 6) } else { vec![path.clone()] } {
                        let is_yaml = file.extension().is_none_or(|e| matches!(e.to_str(), Some("yml" | "yaml")));
                        if let (true, Err(problem)) = (is_yaml, self.what.loader.file(&file)) {
                            self.unreadable(problem);
                        }
                    }
                    let name = if path.is_dir() { &whole } else { &stem };
                    let problem = Problem::new(
                        "unknown-variables-file",
                        format!("{} is read by nobody: no {what} is named `{name}`", display_path(&path)),
                    );
                    self.found.warnings.push(match what {
                        "group" => problem.nearest(name, inventory.groups.keys().map(String::as_str)),
                        _ => problem.nearest(name, inventory.hosts.keys().map(String::as_str)),
                    });
                }
            }
        }
    }
}
