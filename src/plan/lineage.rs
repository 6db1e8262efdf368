//! Where a task hangs: the chain of play, role, blocks and includes around it, and what it inherits from them.

use std::sync::Arc;

use crate::playbook::{Block, Keywords, Play, RoleUse, Task};
use crate::template::Unknown;
use crate::vars::Scope;
use crate::yaml::Node;

/// One link of the chain, innermost last; each link knows its parent.
#[derive(Debug, Clone)]
pub struct Lineage {
    pub parent: Option<Arc<Lineage>>,
    pub source: Source,
    /// The include it came through was conditional on something unknown: everything below only may run.
    pub maybe: Option<Unknown>,
}

/// What a link stands for.
#[derive(Debug, Clone)]
pub enum Source {
    Play(Arc<Play>),
    Block(Arc<Block>),
    Role(Arc<RoleUse>),
    /// A run-time include: keywords of its `apply`, and the variables it hands on (already bound to loop items).
    Include {
        apply: Arc<Keywords>,
        vars: Arc<Scope>,
        params: Option<Arc<Scope>>,
    },
}

impl Lineage {
    pub fn of_play(play: &Arc<Play>) -> Arc<Self> {
        Arc::new(Self { parent: None, source: Source::Play(play.clone()), maybe: None })
    }

    pub fn below(parent: &Arc<Self>, source: Source) -> Arc<Self> {
        Arc::new(Self { parent: Some(parent.clone()), source, maybe: parent.maybe.clone() })
    }

    /// The same place, of which it is not known whether it is come to.
    pub fn below_maybe(this: &Arc<Self>, unknown: Unknown) -> Arc<Self> {
        Arc::new(Self { maybe: Some(unknown), ..(**this).clone() })
    }

    pub fn keywords(&self) -> &Keywords {
        match &self.source {
            Source::Play(play) => &play.keywords,
            Source::Block(block) => &block.keywords,
            Source::Role(role) => &role.keywords,
            Source::Include { apply, .. } => apply,
        }
    }

    /// Links from the play inwards.
    pub fn outside_in(self: &Arc<Self>) -> Vec<&Lineage> {
        let mut links: Vec<&Lineage> = self.inside_out().collect();
        links.reverse();
        links
    }

    /// Links from here to the play.
    pub fn inside_out(self: &Arc<Self>) -> impl Iterator<Item = &Lineage> {
        let mut at: Option<&Lineage> = Some(self);
        std::iter::from_fn(move || {
            let here = at?;
            at = here.parent.as_deref();
            Some(here)
        })
    }

    pub fn play(self: &Arc<Self>) -> &Arc<Play> {
        self.inside_out()
            .find_map(|link| match &link.source {
                Source::Play(play) => Some(play),
                _ => None,
            })
            .expect("every chain ends in a play")
    }

    /// The role uses around, innermost first.
    pub fn roles(self: &Arc<Self>) -> Vec<&Arc<RoleUse>> {
        self.inside_out()
            .filter_map(|link| match &link.source {
                Source::Role(role) => Some(role),
                Source::Block(block) => {
                    block.role.as_ref().filter(|_| block.origin != crate::playbook::BlockOrigin::Written)
                }
                _ => None,
            })
            .collect()
    }

    /// A keyword that the innermost place decides: the task's own, else the nearest link that has it.
    pub fn nearest<'a>(
        self: &'a Arc<Self>,
        task: &'a Task,
        pick: impl Fn(&Keywords) -> Option<&Node>,
    ) -> Option<&'a Node> {
        // The closure ties its output to its input; both outlive this call.
        if let Some(node) = pick(&task.keywords) {
            return Some(node);
        }
        self.inside_out().find_map(|link| pick(link.keywords()))
    }

    /// Conditions from the play inwards, the task's own last.
    pub fn conditions(self: &Arc<Self>, task: &Task) -> Vec<Node> {
        let mut all: Vec<Node> = vec![];
        for link in self.outside_in() {
            if let Source::Play(play) = &link.source {
                for import in &play.import_keywords {
                    all.extend(import.when.iter().cloned());
                }
            }
            all.extend(link.keywords().when.iter().cloned());
        }
        all.extend(task.keywords.when.iter().cloned());
        all
    }

    /// Tag nodes of everything around and of the task.
    pub fn tag_nodes(self: &Arc<Self>, task: &Task) -> Vec<Node> {
        let mut all: Vec<Node> = vec![];
        for link in self.outside_in() {
            if let Source::Play(play) = &link.source {
                for import in &play.import_keywords {
                    all.extend(import.tags.iter().cloned());
                }
            }
            all.extend(link.keywords().tags.iter().cloned());
        }
        all.extend(task.keywords.tags.iter().cloned());
        all
    }

    /// `environment` mappings, outermost first.
    pub fn environments(self: &Arc<Self>, task: &Task) -> Vec<Node> {
        let mut all: Vec<Node> = vec![];
        for link in self.outside_in() {
            all.extend(link.keywords().environment.iter().cloned());
        }
        all.extend(task.keywords.environment.iter().cloned());
        all
    }

    /// `module_defaults`, outermost first.
    pub fn module_defaults(self: &Arc<Self>, task: &Task) -> Vec<Node> {
        let mut all: Vec<Node> = vec![];
        for link in self.outside_in() {
            all.extend(link.keywords().module_defaults.iter().cloned());
        }
        all.extend(task.keywords.module_defaults.iter().cloned());
        all
    }

    /// What to notify: blocks hand their `notify` to their tasks.
    pub fn notifications(self: &Arc<Self>, task: &Task) -> Vec<Node> {
        let mut all: Vec<Node> = task.notify.clone();
        for link in self.inside_out() {
            all.extend(link.keywords().notify.iter().cloned());
        }
        all
    }
}
