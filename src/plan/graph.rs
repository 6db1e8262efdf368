//! The plan as a graph: steps, and why one waits for another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::basis::Thing;
use super::step::{Outcome, Planned, Step};

/// Why a step waits for another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "thing")]
pub enum EdgeKind {
    /// Playbook order on one host.
    Order,
    /// A handler runs because a step notified it.
    Notify,
    /// A batch waits for the one before (`serial`), a play for the play before.
    Batch,
    /// It needs what the other makes: a path, an account, a unit, a package, a variable.
    Needs(Thing),
    /// It was planned on what the other is foretold to do.
    Predicted,
}

impl EdgeKind {
    /// True for edges that say more than that one comes after the other in the playbook.
    pub fn is_dependency(&self) -> bool {
        !matches!(self, Self::Order | Self::Batch)
    }

    /// In words, from the later step to the earlier.
    pub fn words(&self) -> String {
        match self {
            Self::Order => "comes after, in the playbook,".to_owned(),
            Self::Notify => "is notified by".to_owned(),
            Self::Batch => "waits for the batch or play with".to_owned(),
            Self::Needs(thing) => format!("needs {thing} of"),
            Self::Predicted => "is planned on what is foretold of".to_owned(),
        }
    }
}

/// Steps by index into the outcome's list; edges run from what comes first.
pub struct PlanGraph {
    pub graph: DiGraph<usize, EdgeKind>,
}

impl PlanGraph {
    pub fn of(outcome: &Outcome) -> Self {
        let mut this = Self { graph: DiGraph::new() };
        for index in 0..outcome.steps.len() {
            this.graph.add_node(index);
        }
        this.add_order(&outcome.steps);
        this.add_batches(&outcome.steps);
        this.add_needs(&outcome.steps);
        this
    }

    fn edge(&mut self, from: usize, to: usize, kind: EdgeKind) {
        let (from, to) = (NodeIndex::new(from), NodeIndex::new(to));
        if from != to && !self.graph.edges_connecting(from, to).any(|e| *e.weight() == kind) {
            self.graph.add_edge(from, to, kind);
        }
    }

    fn add_order(&mut self, steps: &[Step]) {
        let mut last_of_host: HashMap<&str, usize> = HashMap::new();
        let mut notifiers: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            if let Some(before) = last_of_host.insert(&step.host, index) {
                self.edge(before, index, EdgeKind::Order);
            }
            if step.handler {
                for earlier in notifiers.get(&(step.host.as_str(), step.task.as_str())).cloned().unwrap_or_default() {
                    self.edge(earlier, index, EdgeKind::Notify);
                }
            }
            for name in &step.notifies {
                notifiers.entry((&step.host, name)).or_default().push(index);
            }
        }
    }

    fn add_batches(&mut self, steps: &[Step]) {
        // First and last step of each host in each batch of each play.
        let mut ends: BTreeMap<(usize, usize), BTreeMap<&str, (usize, usize)>> = BTreeMap::new();
        for (index, step) in steps.iter().enumerate() {
            let batch = ends.entry((step.play_index, step.batch)).or_default();
            batch.entry(&step.host).or_insert((index, index)).1 = index;
        }
        let batches: Vec<_> = ends.into_iter().collect();
        for pair in batches.windows(2) {
            let (((play, batch), earlier), ((next_play, next_batch), later)) = (&pair[0], &pair[1]);
            if play != next_play || batch == next_batch {
                continue;
            }
            for (_, last) in earlier.values() {
                for (first, _) in later.values() {
                    self.edge(*last, *first, EdgeKind::Batch);
                }
            }
        }
    }

    /// Edges from what is foretold, and from things one makes and another needs, each host by itself.
    fn add_needs(&mut self, steps: &[Step]) {
        let mut numbers: HashMap<(&str, usize), usize> = HashMap::new();
        let mut makers: HashMap<(&str, &Thing), usize> = HashMap::new();
        // The last step that wrote a file that mentions paths, by the file.
        let mut mentions: HashMap<(&str, &str), &BTreeSet<String>> = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            let host = step.host.as_str();
            for on in &step.basis.on {
                if let Some(from) = numbers.get(&(host, *on)) {
                    self.edge(*from, index, EdgeKind::Predicted);
                }
            }
            let mut needs: BTreeSet<Thing> = step.basis.needs.clone();
            if step.basis.makes.iter().any(|t| matches!(t, Thing::Unit(_))) {
                needs.extend(mentioned(&needs, host, &mentions).into_iter().map(Thing::Path));
            }
            for thing in &needs {
                let place = delegated_or(step, host);
                if let Some((from, thing)) = maker(thing, place, &makers) {
                    self.edge(from, index, EdgeKind::Needs(thing));
                }
            }
            for thing in &step.basis.makes {
                let place = if matches!(thing, Thing::Variable(_)) { host } else { delegated_or(step, host) };
                makers.insert((place, thing), index);
                if let Thing::Path(path) = thing
                    && !step.basis.mentions.is_empty()
                {
                    mentions.insert((host, path), &step.basis.mentions);
                }
            }
            if let Some(seq) = step.basis.seq {
                numbers.insert((host, seq), index);
            }
        }
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

    /// What a step depends on directly, with the reason; playbook order alone is none.
    pub fn reasons(&self, step: usize) -> Vec<(usize, &EdgeKind)> {
        let mut found: Vec<(usize, &EdgeKind)> = self
            .graph
            .edges_directed(NodeIndex::new(step), Direction::Incoming)
            .filter(|e| e.weight().is_dependency())
            .map(|e| (self.graph[e.source()], e.weight()))
            .collect();
        found.sort_by_key(|(index, _)| *index);
        found
    }

    /// The steps and all they depend on, on and on.
    pub fn closure(&self, steps: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found: BTreeSet<usize> = BTreeSet::new();
        let mut todo: Vec<usize> = steps.into_iter().collect();
        while let Some(step) = todo.pop() {
            if found.insert(step) {
                todo.extend(self.reasons(step).into_iter().map(|(from, _)| from));
            }
        }
        found
    }

    /// What cannot be trusted if a step does not happen: everything that depends on it.
    pub fn dependants(&self, step: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut todo = vec![step];
        while let Some(at) = todo.pop() {
            for edge in self.graph.edges_directed(NodeIndex::new(at), Direction::Outgoing) {
                let to = self.graph[edge.target()];
                if edge.weight().is_dependency() && found.insert(to) {
                    todo.push(to);
                }
            }
        }
        found
    }

    /// Edges between shown steps: dependencies, and playbook order where hidden steps are left out of the chain.
    pub fn shown_edges<'a>(&'a self, steps: &[Step], shown: &BTreeSet<usize>) -> Vec<(usize, usize, &'a EdgeKind)> {
        const ORDER: &EdgeKind = &EdgeKind::Order;
        let mut edges: Vec<(usize, usize, &EdgeKind)> = vec![];
        let mut last: HashMap<&str, usize> = HashMap::new();
        for index in shown {
            if let Some(before) = last.insert(&steps[*index].host, *index) {
                edges.push((before, *index, ORDER));
            }
        }
        for edge in self.graph.edge_references() {
            let (from, to) = (self.graph[edge.source()], self.graph[edge.target()]);
            if *edge.weight() != EdgeKind::Order && shown.contains(&from) && shown.contains(&to) {
                edges.push((from, to, edge.weight()));
            }
        }
        // Of several reasons between the same two, the first that says most.
        edges.sort_by_key(|(from, to, kind)| (*to, *from, rank(kind)));
        edges.dedup_by_key(|(from, to, _)| (*from, *to));
        edges
    }
}

fn rank(kind: &EdgeKind) -> usize {
    match kind {
        EdgeKind::Notify => 0,
        EdgeKind::Needs(Thing::Variable(_)) => 2,
        EdgeKind::Needs(_) => 1,
        EdgeKind::Predicted => 3,
        EdgeKind::Batch => 4,
        EdgeKind::Order => 5,
    }
}

fn delegated_or<'a>(step: &'a Step, host: &'a str) -> &'a str {
    step.delegated_to.as_deref().unwrap_or(host)
}

/// Who makes a thing: for a path also who makes the nearest folder above it.
fn maker(thing: &Thing, host: &str, makers: &HashMap<(&str, &Thing), usize>) -> Option<(usize, Thing)> {
    if let Some(found) = makers.get(&(host, thing)) {
        return Some((*found, thing.clone()));
    }
    // `docker.service` is of the package `docker.io`.
    if let Thing::Package(name) = thing {
        let of = |(at, made): &&(&str, &Thing)| {
            *at == host && matches!(made, Thing::Package(p) if super::cloud::own_name(p) == name)
        };
        return makers
            .iter()
            .filter(|(key, _)| of(key))
            .map(|((_, made), index)| (*index, (*made).clone()))
            .max_by_key(|(i, _)| *i);
    }
    let Thing::Path(path) = thing else { return None };
    let mut at = path.as_str();
    while let Some((parent, _)) = at.rsplit_once('/') {
        if parent.is_empty() {
            return None;
        }
        let folder = Thing::Path(parent.to_owned());
        if let Some(found) = makers.get(&(host, &folder)) {
            return Some((*found, folder));
        }
        at = parent;
    }
    None
}

/// Paths mentioned in the files among what is needed, and in the files those mention.
fn mentioned(
    needs: &BTreeSet<Thing>,
    host: &str,
    mentions: &HashMap<(&str, &str), &BTreeSet<String>>,
) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut todo: Vec<String> = needs
        .iter()
        .filter_map(|t| match t {
            Thing::Path(path) => Some(path.clone()),
            _ => None,
        })
        .collect();
    while let Some(path) = todo.pop() {
        for other in mentions.get(&(host, path.as_str())).into_iter().flat_map(|m| m.iter()) {
            if found.insert(other.clone()) {
                todo.push(other.clone());
            }
        }
    }
    found
}

/// Steps that would do something, or may.
pub fn shown_steps(steps: &[Step]) -> BTreeSet<usize> {
    let acts = |s: &Step| s.planned != Planned::None;
    steps.iter().enumerate().filter(|(_, s)| acts(s)).map(|(i, _)| i).collect()
}

/// A step that needs what a later step makes: the playbook's order contradicts the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    pub step: usize,
    pub later: usize,
    pub thing: Thing,
}

/// Where the playbook's order contradicts what steps need: a path, account, package or unit file that a later step creates.
pub fn contradictions(steps: &[Step]) -> Vec<Contradiction> {
    let mut found = vec![];
    let mut makers: HashMap<(&str, &Thing), Vec<usize>> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        if step.planned == Planned::Create || step.planned == Planned::Change {
            for thing in &step.basis.makes {
                makers.entry((&step.host, thing)).or_default().push(index);
            }
        }
    }
    for (index, step) in steps.iter().enumerate() {
        if !matches!(step.planned, Planned::Create | Planned::Change) {
            continue;
        }
        for thing in &step.basis.needs {
            // What a step itself makes, and variables, have an order of their own; for a path only the unit file of a unit counts.
            let counts = match thing {
                Thing::User(_) | Thing::Group(_) | Thing::Package(_) => true,
                Thing::Path(_) => step.basis.makes.iter().any(|t| matches!(t, Thing::Unit(_))),
                _ => false,
            };
            if !counts || step.basis.makes.contains(thing) {
                continue;
            }
            let all = makers.get(&(step.host.as_str(), thing)).map_or(&[][..], Vec::as_slice);
            let creates = |i: &&usize| steps[**i].planned == Planned::Create;
            if let Some(later) = all.iter().find(creates)
                && *later > index
            {
                found.push(Contradiction { step: index, later: *later, thing: thing.clone() });
            }
        }
    }
    found
}
