//! Where else than on its host a play's tasks work: the nodes they are delegated to, and as whom.

use std::sync::Arc;

use super::interpreter::Interpreter;
use super::lineage::{Lineage, Source};
use super::state::HostState;
use crate::node::Identity;
use crate::playbook::{Item, Task};
use crate::yaml::Node;

impl Interpreter {
    /// The nodes that selected tasks of the play are delegated to, as far as it is written in the play's files: not below a run-time
    /// include, not by a loop's item. The control machine always, if a run ever noted something there.
    pub(super) fn delegated_ledgers(&self, st: &mut HostState) -> Vec<(String, Identity)> {
        let play = &self.play.play;
        let lineage = Lineage::of_play(play);
        let mut tasks = vec![];
        for role in play.roles.iter().chain(&play.imported_roles).flat_map(|r| r.with_dependencies()) {
            let below = Lineage::below(&lineage, Source::Role(role.clone()));
            collect(&role.tasks, &below, &mut tasks);
            collect(&role.handlers, &below, &mut tasks);
        }
        for items in [&play.pre_tasks, &play.tasks, &play.post_tasks, &play.handlers] {
            collect(items, &lineage, &mut tasks);
        }
        if local_ledger().is_some_and(|path| path.exists()) {
            let mut task = self.gather_task();
            task.keywords.delegate_to = Some(Node::text("localhost", &play.span));
            tasks.push((Arc::new(task), lineage));
        }
        let mut found = vec![];
        for (task, lineage) in tasks {
            let Ok(context) = self.context(st, Some(&task), &lineage, vec![]) else { continue };
            let Ok(draft) = self.draft(st, &task, &lineage, context, None, false) else { continue };
            let pair = (draft.target, draft.identity);
            if draft.delegated && !found.contains(&pair) && self.run.selects(&draft.tags) {
                found.push(pair);
            }
        }
        found
    }
}

/// The tasks that are delegated, with where they hang.
fn collect(items: &[Item], lineage: &Arc<Lineage>, found: &mut Vec<(Arc<Task>, Arc<Lineage>)>) {
    for item in items {
        match item {
            Item::Task(task) => {
                if lineage.nearest(task, |k| k.delegate_to.as_ref()).is_some() {
                    found.push((task.clone(), lineage.clone()));
                }
            }
            Item::Block(block) => {
                let below = Lineage::below(lineage, Source::Block(block.clone()));
                for list in [&block.block, &block.rescue, &block.always] {
                    collect(list, &below, found);
                }
            }
        }
    }
}

/// The ledger of this machine.
fn local_ledger() -> Option<std::path::PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(std::path::Path::new(&home).join(".local/state/kdeploy/node/ledger"))
}
