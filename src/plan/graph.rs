//! The plan as a graph: steps, and why one waits for another.

use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::HashMap;

use super::step::{Outcome, Planned, Step};

/// Why a step waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// Playbook order on one host.
    Order,
    /// A handler runs because a step notified it.
    Notify,
    /// A batch waits for the one before (`serial`), a play for the play before.
    Batch,
}

/// Steps by index into the outcome's list; edges run from what comes first.
pub struct PlanGraph {
    pub graph: DiGraph<usize, EdgeKind>,
}

impl PlanGraph {
    pub fn of(outcome: &Outcome) -> Self {
        let mut graph = DiGraph::new();
        let nodes: Vec<NodeIndex> = (0..outcome.steps.len()).map(|i| graph.add_node(i)).collect();
        let mut last_of_host: HashMap<&str, usize> = HashMap::new();
        for (index, step) in outcome.steps.iter().enumerate() {
            if let Some(before) = last_of_host.insert(&step.host, index) {
                graph.add_edge(nodes[before], nodes[index], EdgeKind::Order);
            }
            if step.handler {
                for (earlier, notifier) in outcome.steps[..index].iter().enumerate() {
                    if notifier.host == step.host && notifier.notifies.iter().any(|n| n == &step.task) {
                        graph.add_edge(nodes[earlier], nodes[index], EdgeKind::Notify);
                    }
                }
            }
        }
        let mut ends: Vec<(usize, usize, HashMap<&str, (usize, usize)>)> = vec![];
        for (index, step) in outcome.steps.iter().enumerate() {
            let key = (step.play_index, step.batch);
            let place = ends.iter().position(|(p, b, _)| (*p, *b) == key).unwrap_or_else(|| {
                ends.push((key.0, key.1, HashMap::new()));
                ends.len() - 1
            });
            ends[place].2.entry(&step.host).or_insert((index, index)).1 = index;
        }
        ends.sort_by_key(|(play, batch, _)| (*play, *batch));
        for pair in ends.windows(2) {
            let (earlier, later) = (&pair[0], &pair[1]);
            if earlier.0 != later.0 || earlier.1 == later.1 {
                continue;
            }
            for (_, last) in earlier.2.values() {
                for (first, _) in later.2.values() {
                    graph.add_edge(nodes[*last], nodes[*first], EdgeKind::Batch);
                }
            }
        }
        Self { graph }
    }

    /// Steps in an order in which each comes after all it waits for. `Err`: the steps of a cycle (a bug in the engine).
    pub fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        match petgraph::algo::toposort(&self.graph, None) {
            Ok(order) => Ok(order.into_iter().map(|n| self.graph[n]).collect()),
            Err(_) => Err(petgraph::algo::tarjan_scc(&self.graph)
                .into_iter()
                .find(|component| component.len() > 1)
                .unwrap_or_default()
                .into_iter()
                .map(|n| self.graph[n])
                .collect()),
        }
    }

    /// What cannot run if a step fails: everything that waits for it, on its host and beyond.
    pub fn dependants(&self, step: usize) -> Vec<usize> {
        let mut walk = petgraph::visit::Bfs::new(&self.graph, NodeIndex::new(step));
        let mut found = vec![];
        while let Some(node) = walk.next(&self.graph) {
            if self.graph[node] != step {
                found.push(self.graph[node]);
            }
        }
        found.sort_unstable();
        found
    }

    /// Graphviz text; unchanged steps are left out.
    pub fn dot(&self, steps: &[Step]) -> String {
        let shown = |s: &Step| s.planned != Planned::None;
        let mut text = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for (index, step) in steps.iter().enumerate() {
            if shown(step) {
                let label = format!("{}\\n{}", step.host, step.label()).replace('"', "\\\"");
                text.push_str(&format!("  s{index} [label=\"{label}\"];\n"));
            }
        }
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            if shown(step)
                && let Some(before) = last.insert(&step.host, index)
            {
                text.push_str(&format!("  s{before} -> s{index};\n"));
            }
        }
        for edge in self.graph.edge_indices() {
            let Some((from, to)) = self.graph.edge_endpoints(edge) else { continue };
            let (from, to) = (self.graph[from], self.graph[to]);
            let kind = self.graph[edge];
            if kind != EdgeKind::Order && shown(&steps[from]) && shown(&steps[to]) {
                let style = if kind == EdgeKind::Notify { "dashed" } else { "dotted" };
                text.push_str(&format!("  s{from} -> s{to} [style={style}];\n"));
            }
        }
        text.push_str("}\n");
        text
    }
}
