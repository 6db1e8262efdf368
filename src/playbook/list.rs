//! What `--list-tasks`, `--list-tags` and `--list-hosts` show, as data and in ansible-playbook's form.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::yaml::Node;

use super::loader::scalar_text;
use super::model::{Block, BlockOrigin, Item, Keywords, Play, Playbook, RoleUse, Task};
use super::tags::{TagSelection, tag_texts};

/// Renders a tag's template, as far as it can be known without hosts; what cannot stays as written.
pub type Render<'a> = &'a mut dyn FnMut(&Node) -> Option<Node>;

/// A play as the lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayListing {
    /// `hosts`, joined with commas.
    pub hosts: String,
    /// The patterns of `hosts`, one by one.
    pub patterns: Vec<String>,
    pub name: String,
    pub tags: Vec<String>,
    pub tasks: Vec<TaskListing>,
    /// All tags of the selected tasks (those of the play too) and of the play, sorted.
    pub task_tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskListing {
    /// `role : name`, or the module of a task without a name.
    pub label: String,
    pub tags: Vec<String>,
    pub path: String,
}

/// The plays with the tasks that are selected, in the order they run; tasks of rescue and always are not listed.
pub fn listing(playbook: &Playbook, selection: &TagSelection, render: Render) -> Vec<PlayListing> {
    playbook.plays.iter().map(|play| play_listing(play, selection, render)).collect()
}

fn play_listing(play: &Arc<Play>, selection: &TagSelection, render: Render) -> PlayListing {
    let mut play_keywords: Vec<&Keywords> = play.import_keywords.iter().collect();
    play_keywords.push(&play.keywords);
    let tags = texts(&play_keywords, render);
    let patterns: Vec<String> = match play.hosts.as_seq() {
        Some(items) => items.iter().filter_map(scalar_text).collect(),
        None => scalar_text(&play.hosts).into_iter().collect(),
    };
    let hosts = patterns.join(",");
    let mut walk = Walk { selection, render, tasks: vec![] };
    walk.items(&play.pre_tasks, &play_keywords);
    for role in &play.roles {
        walk.item(&role.as_block(), &play_keywords);
    }
    walk.items(&play.tasks, &play_keywords);
    walk.items(&play.post_tasks, &play_keywords);
    let tasks = walk.tasks;
    let task_tags: BTreeSet<String> =
        tasks.iter().flat_map(|t| t.tags.iter().cloned()).chain(tags.iter().cloned()).collect();
    PlayListing {
        name: play.keywords.name_text().filter(|n| !n.is_empty()).map_or_else(|| hosts.clone(), str::to_owned),
        hosts,
        patterns,
        tags: sorted(tags),
        tasks,
        task_tags: task_tags.into_iter().collect(),
    }
}

struct Walk<'a> {
    selection: &'a TagSelection,
    render: Render<'a>,
    tasks: Vec<TaskListing>,
}

impl Walk<'_> {
    fn items(&mut self, items: &[Item], chain: &[&Keywords]) {
        for item in items {
            self.item(item, chain);
        }
    }

    fn item(&mut self, item: &Item, chain: &[&Keywords]) {
        match item {
            Item::Block(block) => {
                let mut inner = chain.to_vec();
                inner.push(&block.keywords);
                self.items(&block.block, &inner);
            }
            Item::Task(task) => {
                let mut inner = chain.to_vec();
                inner.push(&task.keywords);
                let tags = texts(&inner, self.render);
                if self.selection.selects(&tags) {
                    self.tasks.push(TaskListing {
                        label: task.label(),
                        tags: sorted(tags),
                        path: task.span.path_line(),
                    });
                }
            }
        }
    }
}

fn texts(chain: &[&Keywords], render: Render) -> Vec<String> {
    let nodes = super::tags::effective_tags(chain.iter().copied());
    let rendered: Result<Vec<String>, std::convert::Infallible> =
        tag_texts(&nodes, &mut |node| Ok(render(node).unwrap_or_else(|| node.clone())));
    let Ok(all) = rendered;
    all
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

/// Which lists to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lists {
    pub tasks: bool,
    pub tags: bool,
    pub hosts: bool,
}

/// The lists of one playbook in the form ansible-playbook prints them. `hosts_of` resolves a play's patterns.
pub fn listing_text(
    playbook: &Path,
    plays: &[PlayListing],
    lists: Lists,
    hosts_of: &mut dyn FnMut(&PlayListing) -> Vec<String>,
) -> String {
    use std::fmt::Write as _;
    let mut out = format!("\nplaybook: {}\n", playbook.display());
    for (i, play) in plays.iter().enumerate() {
        let _ = write!(out, "\n  play #{} ({}): {}\tTAGS: [{}]", i + 1, play.hosts, play.name, play.tags.join(","));
        if lists.hosts {
            let hosts = hosts_of(play);
            let patterns: Vec<String> = play.patterns.iter().map(|p| format!("'{p}'")).collect();
            let _ = write!(out, "\n    pattern: [{}]\n    hosts ({}):", patterns.join(", "), hosts.len());
            for host in hosts {
                let _ = write!(out, "\n      {host}");
            }
        }
        out.push('\n');
        if lists.tasks {
            out.push_str("    tasks:\n");
            for task in &play.tasks {
                let _ = writeln!(out, "      {}\tTAGS: [{}]", task.label, task.tags.join(", "));
            }
        }
        if lists.tags {
            let _ = writeln!(out, "      TASK TAGS: [{}]", play.task_tags.join(", "));
        }
    }
    out
}

impl Task {
    /// `role : name` as written, or the module's name of a task without one.
    pub fn label(&self) -> String {
        match self.keywords.name.as_ref().and_then(scalar_text).filter(|n| !n.is_empty()) {
            Some(name) => match &self.role {
                Some(role) => format!("{} : {name}", role.role.name),
                None => name,
            },
            None => self.written.clone(),
        }
    }
}

/// A handler with the blocks it stands in, outermost first (imports; the role's entry for a role's handler).
#[derive(Debug, Clone)]
pub struct HandlerEntry {
    pub task: Arc<Task>,
    pub blocks: Vec<Arc<Block>>,
    pub role: Option<Arc<RoleUse>>,
}

/// The handlers of a list, out of their import blocks.
pub fn flat_handlers(items: &[Item]) -> Vec<HandlerEntry> {
    fn add(items: &[Item], blocks: &[Arc<Block>], all: &mut Vec<HandlerEntry>) {
        for item in items {
            match item {
                Item::Task(task) => {
                    all.push(HandlerEntry { task: task.clone(), blocks: blocks.to_vec(), role: task.role.clone() });
                }
                Item::Block(block) => {
                    let mut inner = blocks.to_vec();
                    inner.push(block.clone());
                    add(&block.block, &inner, all);
                }
            }
        }
    }
    let mut all = vec![];
    add(items, &[], &mut all);
    all
}

impl RoleUse {
    /// The handlers of the role and of its dependencies, dependencies first. `around`: the block it is called by.
    pub fn handler_entries(self: &Arc<Self>, around: &[Arc<Block>]) -> Vec<HandlerEntry> {
        let Item::Block(own) = self.as_block() else { return vec![] };
        let mut blocks = around.to_vec();
        blocks.push(own);
        let mut all: Vec<HandlerEntry> = self.dependencies.iter().flat_map(|d| d.handler_entries(&blocks)).collect();
        all.extend(flat_handlers(&self.handlers).into_iter().map(|entry| HandlerEntry {
            blocks: blocks.iter().cloned().chain(entry.blocks).collect(),
            role: Some(self.clone()),
            ..entry
        }));
        all
    }
}

impl Play {
    /// All handlers the play begins with, in the order they run: those of its roles, its own, those of imported roles.
    /// Of several with one name the last one is notified.
    pub fn handler_entries(&self) -> Vec<HandlerEntry> {
        let mut all: Vec<HandlerEntry> = self.roles.iter().flat_map(|r| r.handler_entries(&[])).collect();
        all.extend(flat_handlers(&self.handlers));
        let mut imports = vec![];
        for items in [&self.pre_tasks, &self.tasks, &self.post_tasks] {
            import_blocks(items, &mut imports);
        }
        for role in self.roles.iter().flat_map(|r| r.with_dependencies()) {
            import_blocks(&role.tasks, &mut imports);
        }
        for role in &self.imported_roles {
            let block = imports.iter().find(|b| b.role.as_ref().is_some_and(|r| r.id == role.id));
            let blocks: Vec<Arc<Block>> = block.into_iter().cloned().collect();
            // The block has the role already; only its keywords are wanted from there.
            all.extend(role.handler_entries(&blocks));
        }
        all
    }
}

fn import_blocks(items: &[Item], all: &mut Vec<Arc<Block>>) {
    for item in items {
        let Item::Block(block) = item else { continue };
        if block.origin == BlockOrigin::ImportRole {
            all.push(block.clone());
        }
        for inner in [&block.block, &block.rescue, &block.always] {
            import_blocks(inner, all);
        }
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
