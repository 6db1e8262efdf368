//! The world of one node as a resource sees it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{
    Account, Algorithm, Answer, FileKind, GroupEntry, Output, PackageState, Query, Stat, TreeEntry, UnitState,
};
use crate::blob::Blob;
use crate::problem::Problem;
use crate::template::Unknown;

/// Why a resource could not come to a verdict.
#[derive(Debug, Clone)]
pub enum Stop {
    /// Queries (kept in the [`View`]) must be answered first.
    Needs,
    /// An input is known only after an earlier step ran.
    Unknown(Unknown),
    /// Arguments that can never work.
    Invalid(Problem),
    /// The node's state makes the task fail; Ansible's `msg`.
    Failed(String),
}

impl From<Problem> for Stop {
    fn from(p: Problem) -> Self {
        Self::Invalid(p)
    }
}

/// A predicted answer: holds after the step that predicts it ran.
#[derive(Debug, Clone)]
pub struct Effect {
    pub query: Query,
    /// `Err`: changed by the step in a way that is known only afterwards.
    pub answer: Result<Answer, Unknown>,
}

/// One node's answers: observed ones, and over them the predicted ones. Cloning shares both.
#[derive(Debug, Clone, Default)]
pub struct World {
    observed: Arc<HashMap<Query, Answer>>,
    predicted: Arc<HashMap<Query, Result<Answer, Unknown>>>,
    /// Which step (by its number on the host) foretold an answer.
    makers: Arc<HashMap<Query, usize>>,
}

/// Most bytes of a file to come that are read into memory.
const READ_AT_MOST: u64 = 4 << 20;

/// Where systemd reads unit files from.
pub const UNIT_FOLDERS: [&str; 4] = ["/etc/systemd/", "/run/systemd/", "/usr/lib/systemd/", "/lib/systemd/"];

impl World {
    /// Takes in answers from the node; they replace older observed ones.
    pub fn observe(&mut self, answers: impl IntoIterator<Item = (Query, Answer)>) {
        Arc::make_mut(&mut self.observed).extend(answers);
    }

    /// Overlays what a planned step will make true.
    pub fn predict(&mut self, effects: &[Effect]) {
        if effects.is_empty() {
            return;
        }
        let map = Arc::make_mut(&mut self.predicted);
        for effect in effects {
            match (&effect.query, &effect.answer) {
                // Digests follow from the content; those of an earlier content hold no longer.
                (Query::Content { path }, _) => {
                    for algorithm in Algorithm::ALL {
                        map.remove(&Query::Digest { path: path.clone(), algorithm });
                    }
                }
                // What earlier steps made below goes with the path.
                (Query::Stat { path, .. }, Ok(Answer::Stat(None))) => {
                    map.retain(|query, _| file_path(query).is_none_or(|p| below(p, path).is_none()));
                }
                _ => {}
            }
        }
        for effect in effects {
            map.insert(effect.query.clone(), effect.answer.clone());
        }
    }

    /// The same, with the number of the step whose effects they are.
    pub fn predict_by(&mut self, effects: &[Effect], maker: usize) {
        if effects.is_empty() {
            return;
        }
        self.predict(effects);
        let makers = Arc::make_mut(&mut self.makers);
        for effect in effects {
            makers.insert(effect.query.clone(), maker);
        }
    }

    /// The step that foretold the answer to a query, directly or by what it makes of the path or a folder above.
    pub fn maker_of(&self, query: &Query) -> Option<usize> {
        if self.makers.is_empty() {
            return None;
        }
        if let Some(maker) = self.makers.get(query) {
            return Some(*maker);
        }
        if let Some(maker) = self.at_end_of_link(query).and_then(|there| self.maker_of(&there)) {
            return Some(maker);
        }
        if let Query::Tree { path, .. } = query {
            // What is foretold of anything below is in the answer too.
            let below_it = |q: &Query| file_path(q).is_some_and(|p| below(p, path).is_some());
            if let Some((_, maker)) = self.makers.iter().filter(|(q, _)| below_it(q)).max_by_key(|(_, m)| **m) {
                return Some(*maker);
            }
        }
        if let Query::Unit { name, .. } = query {
            let of_unit = |q: &Query| file_path(q).is_some_and(|p| p.contains(name.as_str()));
            return self.makers.iter().filter(|(q, _)| of_unit(q)).map(|(_, m)| *m).max();
        }
        let mut at = Some(file_path(query)?);
        while let Some(path) = at {
            let found = [
                Query::Content { path: path.to_owned() },
                Query::Stat { path: path.to_owned(), follow: false },
                Query::Stat { path: path.to_owned(), follow: true },
                Query::Tree { path: path.to_owned(), max_depth: None },
            ]
            .iter()
            .find_map(|q| self.makers.get(q));
            if found.is_some() {
                return found.copied();
            }
            // An answer that was observed is not derived from what is made of the folders above.
            if self.observed.contains_key(query) {
                return None;
            }
            at = parent_of(path);
        }
        None
    }

    /// The steps that foretold anything below a folder that is asked for.
    pub fn makers_below(&self, query: &Query) -> BTreeSet<usize> {
        let Query::Tree { path: dir, .. } = query else { return BTreeSet::new() };
        let is_below = |q: &Query| file_path(q).is_some_and(|p| below(p, dir).is_some());
        self.makers.iter().filter(|(q, _)| is_below(q)).map(|(_, maker)| *maker).collect()
    }

    /// The answer as it will be: foretold or, where nothing is, observed. `None` where it is not known.
    pub fn coming_answer(&self, query: &Query) -> Option<Answer> {
        self.answer(query)?.ok()
    }

    /// The observed answer to a query, whatever is foretold of it.
    pub fn observed_answer(&self, query: &Query) -> Option<&Answer> {
        self.observed.get(query)
    }

    /// Forgets every answer but the facts: a step ran whose effects are not known, all must be asked again.
    pub fn forget(&mut self) {
        let facts = self.observed.get(&Query::Facts).cloned();
        self.observed = Arc::new(facts.into_iter().map(|f| (Query::Facts, f)).collect());
        self.predicted = Arc::default();
        self.makers = Arc::default();
    }

    /// Drops what was foretold, keeps what was observed.
    pub fn forget_predictions(&mut self) {
        self.predicted = Arc::default();
        self.makers = Arc::default();
    }

    /// What was foretold has come about: the node knows better from here on, and is asked again where it matters.
    pub fn realize(&mut self) {
        if self.predicted.is_empty() {
            return;
        }
        let predicted = std::mem::take(&mut self.predicted);
        self.makers = Arc::default();
        let paths: BTreeSet<&str> = predicted.keys().filter_map(file_path).collect();
        // At a path or below it all may be new, in the folders above it the list of what is there.
        let touched = |query: &Query, path: &str| {
            let mut up = Some(path);
            while let Some(at) = up {
                if paths.contains(at) {
                    return true;
                }
                up = parent_of(at);
            }
            matches!(query, Query::Tree { .. }) && paths.iter().any(|p| below(p, path).is_some())
        };
        // What is seen through a link may be what was touched, wherever it leads.
        let links: BTreeSet<String> = self
            .observed
            .iter()
            .filter_map(|(query, answer)| match (query, answer) {
                (Query::Stat { path, follow: false }, Answer::Stat(Some(stat))) if stat.kind == FileKind::Link => {
                    Some(path.clone())
                }
                _ => None,
            })
            .collect();
        let through_link = |query: &Query| match query {
            Query::Stat { path, follow: true } | Query::Digest { path, .. } | Query::Content { path } => {
                links.contains(path)
            }
            _ => false,
        };
        // What systemd says of a unit, above all whether it wants a daemon-reload, follows from unit files.
        let units = paths.iter().any(|path| UNIT_FOLDERS.iter().any(|folder| path.starts_with(folder)));
        Arc::make_mut(&mut self.observed).retain(|query, _| match (query, file_path(query)) {
            (Query::Read { .. }, _) => false,
            _ if through_link(query) => false,
            (Query::Unit { .. }, _) if units => false,
            (_, Some(path)) => !touched(query, path),
            _ => !predicted.contains_key(query),
        });
    }

    /// Forgets one observed answer (`setup` asks for the facts again).
    pub fn forget_one(&mut self, query: &Query) {
        Arc::make_mut(&mut self.observed).remove(query);
    }

    /// Every observed answer, for saved worlds and digests.
    pub fn observed(&self) -> impl Iterator<Item = (&Query, &Answer)> {
        self.observed.iter()
    }

    /// The answer as far as it is known: predicted before observed, derived where one answer implies another.
    fn answer(&self, query: &Query) -> Option<Result<Answer, Unknown>> {
        let answer = self.single_answer(query)?;
        match (query, answer) {
            (Query::Tree { path, max_depth }, Ok(Answer::Tree(tree))) => {
                Some(self.tree_as_predicted(path, *max_depth, tree))
            }
            (_, answer) => Some(answer),
        }
    }

    /// What is asked of a link that was followed to its end is what is predicted of the file there.
    fn through_link(&self, query: &Query) -> Option<Result<Answer, Unknown>> {
        self.single_answer(&self.at_end_of_link(query)?)
    }

    /// The same query of what a link leads to, where something is predicted of that.
    fn at_end_of_link(&self, query: &Query) -> Option<Query> {
        let (Query::Stat { path, follow: true } | Query::Digest { path, .. } | Query::Content { path }) = query else {
            return None;
        };
        let link = Query::Stat { path: path.clone(), follow: false };
        let stat = match self.predicted.get(&link) {
            Some(predicted) => predicted.as_ref().ok(),
            None => self.observed.get(&link),
        };
        let Some(Answer::Stat(Some(Stat { kind: FileKind::Link, real: Some(real), .. }))) = stat else { return None };
        let touched = [false, true]
            .into_iter()
            .any(|follow| self.predicted.contains_key(&Query::Stat { path: real.clone(), follow }));
        if real == path || !touched {
            return None;
        }
        let mut query = query.clone();
        if let Query::Stat { path, .. } | Query::Digest { path, .. } | Query::Content { path } = &mut query {
            path.clone_from(real);
        }
        Some(query)
    }

    /// A directory's entries with the stats over them that are predicted of single paths below it.
    fn tree_as_predicted(
        &self,
        path: &str,
        max_depth: Option<u32>,
        tree: Arc<Vec<TreeEntry>>,
    ) -> Result<Answer, Unknown> {
        let mut entries: Option<std::collections::BTreeMap<String, TreeEntry>> = None;
        let mut changes: Vec<(&str, &Result<Answer, Unknown>)> = self
            .predicted
            .iter()
            .filter_map(|(query, answer)| match query {
                Query::Stat { path: p, follow: false } => below(p, path).map(|relative| (relative, answer)),
                _ => None,
            })
            .filter(|(relative, _)| max_depth.is_none_or(|d| relative.matches('/').count() < d as usize))
            .collect();
        changes.sort_by_key(|(relative, _)| *relative);
        for (relative, answer) in changes {
            let map =
                entries.get_or_insert_with(|| tree.iter().map(|entry| (entry.path.clone(), entry.clone())).collect());
            match answer {
                Ok(Answer::Stat(Some(stat))) => {
                    map.insert(relative.to_owned(), TreeEntry { path: relative.to_owned(), stat: stat.clone() });
                }
                Ok(_) => map.retain(|p, _| p != relative && below(p, relative).is_none()),
                Err(unknown) => return Err(unknown.clone()),
            }
        }
        Ok(Answer::Tree(entries.map_or(tree, |map| Arc::new(map.into_values().collect()))))
    }

    fn single_answer(&self, query: &Query) -> Option<Result<Answer, Unknown>> {
        if let Some(answer) = self.predicted.get(query) {
            return Some(answer.clone());
        }
        if let Some(answer) = self.derive(query) {
            return Some(answer);
        }
        self.observed.get(query).cloned().map(Ok)
    }

    /// Answers implied by predictions of another kind: a predicted content has a digest; below a path that is
    /// predicted absent, or was created empty, there is nothing.
    fn derive(&self, query: &Query) -> Option<Result<Answer, Unknown>> {
        if self.predicted.is_empty() {
            return None;
        }
        if let Some(answer) = self.through_link(query) {
            return Some(answer);
        }
        let path = match query {
            Query::Stat { path, .. }
            | Query::Digest { path, .. }
            | Query::Content { path }
            | Query::Tree { path, .. } => path,
            _ => return None,
        };
        if let Query::Stat { path, follow } = query {
            // A path that is no link has one stat, followed or not.
            if let Some(other) = self.predicted.get(&Query::Stat { path: path.clone(), follow: !follow }) {
                match other {
                    Ok(Answer::Stat(Some(s))) if s.kind == FileKind::Link => {
                        if *follow {
                            let target = resolve_link(path, s.target.as_deref().unwrap_or(""));
                            return self.answer(&Query::Stat { path: target, follow: true });
                        }
                    }
                    other => return Some(other.clone()),
                }
            }
        }
        if let Query::Digest { path, algorithm } = query
            && let Some(content) = self.predicted.get(&Query::Content { path: path.clone() })
        {
            return Some(match content {
                Ok(Answer::Content(Some(bytes))) => Ok(Answer::Digest(Some(algorithm.hex(bytes)))),
                Ok(_) => Ok(Answer::Digest(None)),
                Err(unknown) => Err(unknown.clone()),
            });
        }
        if matches!(query, Query::Digest { .. } | Query::Content { .. } | Query::Tree { .. }) {
            for follow in [false, true] {
                if let Some(Err(unknown)) = self.predicted.get(&Query::Stat { path: path.clone(), follow }) {
                    return Some(Err(unknown.clone()));
                }
            }
            let stat = self
                .predicted
                .get(&Query::Stat { path: path.clone(), follow: false })
                .or_else(|| self.predicted.get(&Query::Stat { path: path.clone(), follow: true }));
            if let Some(Ok(Answer::Stat(None))) = stat {
                return Some(Ok(nothing(query)));
            }
        }
        let mut parent = parent_of(path);
        while let Some(dir) = parent {
            // An earlier step may put anything there.
            if let Some(Err(unknown)) = self.predicted.get(&Query::Tree { path: dir.to_owned(), max_depth: None }) {
                return Some(Err(unknown.clone()));
            }
            for follow in [false, true] {
                let created_or_gone = match self.predicted.get(&Query::Stat { path: dir.to_owned(), follow }) {
                    Some(Ok(Answer::Stat(None))) => true,
                    Some(Ok(Answer::Stat(Some(s)))) if s.kind == FileKind::Directory => {
                        // Newly created (nothing observed there before), so nothing else is in it yet.
                        [false, true].iter().any(|f| {
                            matches!(
                                self.observed.get(&Query::Stat { path: dir.to_owned(), follow: *f }),
                                Some(Answer::Stat(None))
                            )
                        })
                    }
                    _ => false,
                };
                if created_or_gone {
                    return Some(Ok(nothing(query)));
                }
            }
            parent = parent_of(dir);
        }
        None
    }
}

/// The path a query about a file asks of.
fn file_path(query: &Query) -> Option<&str> {
    match query {
        Query::Stat { path, .. } | Query::Digest { path, .. } | Query::Content { path } | Query::Tree { path, .. } => {
            Some(path)
        }
        _ => None,
    }
}

/// The path relative to a directory it lies below.
fn below<'p>(path: &'p str, dir: &str) -> Option<&'p str> {
    path.strip_prefix(dir.trim_end_matches('/'))?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

/// The answer that says nothing is at a path.
fn nothing(query: &Query) -> Answer {
    match query {
        Query::Stat { .. } => Answer::Stat(None),
        Query::Digest { .. } => Answer::Digest(None),
        Query::Tree { .. } => Answer::Tree(Arc::default()),
        _ => Answer::Content(None),
    }
}

fn parent_of(path: &str) -> Option<&str> {
    let path = path.trim_end_matches('/');
    match path.rfind('/') {
        Some(0) | None => None,
        Some(i) => Some(&path[..i]),
    }
}

fn resolve_link(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    format!("{}/{target}", parent_of(link).unwrap_or(""))
}

/// What one resource sees of the world while it reconciles: typed answers, and a note of what is missing.
pub struct View<'a> {
    world: &'a World,
    missing: RefCell<BTreeSet<Query>>,
    rested_on: RefCell<BTreeSet<Query>>,
}

impl<'a> View<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, missing: RefCell::default(), rested_on: RefCell::default() }
    }

    /// Notes queries that will be needed, so that they go out in the same batch as the first one asked for.
    pub fn want(&self, queries: impl IntoIterator<Item = Query>) {
        for query in queries {
            if self.world.answer(&query).is_none() {
                self.missing.borrow_mut().insert(query);
            }
        }
    }

    /// True if the answer is there already; never notes anything.
    pub fn knows(&self, query: &Query) -> bool {
        self.world.answer(query).is_some()
    }

    /// True if an earlier step changed (or will change) something below this directory (which ends in `/`).
    pub fn touched_below(&self, dir: &str) -> bool {
        self.world.predicted.keys().any(|query| match query {
            Query::Stat { path, .. }
            | Query::Digest { path, .. }
            | Query::Content { path }
            | Query::Tree { path, .. } => path.starts_with(dir),
            _ => false,
        })
    }

    /// True if an earlier step makes this answer what it is.
    pub fn is_predicted(&self, query: &Query) -> bool {
        self.world.predicted.contains_key(query)
    }

    /// The queries this resource waits for.
    pub fn into_missing(self) -> (BTreeSet<Query>, BTreeSet<Query>) {
        (self.missing.into_inner(), self.rested_on.into_inner())
    }

    /// The answer to any query; the typed methods below are what resources mostly use.
    pub fn ask(&self, query: Query) -> Result<Answer, Stop> {
        match self.world.answer(&query) {
            Some(Ok(Answer::Failed(why))) => Err(Stop::Failed(why)),
            Some(Ok(answer)) => {
                self.rested_on.borrow_mut().insert(query);
                Ok(answer)
            }
            Some(Err(unknown)) => Err(Stop::Unknown(unknown)),
            None => {
                self.missing.borrow_mut().insert(query);
                Err(Stop::Needs)
            }
        }
    }

    pub fn stat(&self, path: &str, follow: bool) -> Result<Option<Stat>, Stop> {
        match self.ask(Query::Stat { path: path.to_owned(), follow })? {
            Answer::Stat(stat) => Ok(stat),
            other => Err(mismatch("Stat", &other)),
        }
    }

    /// Hex digest of a regular file; `None` if there is none.
    pub fn digest(&self, path: &str, algorithm: Algorithm) -> Result<Option<String>, Stop> {
        match self.ask(Query::Digest { path: path.to_owned(), algorithm }) {
            Ok(Answer::Digest(digest)) => Ok(digest),
            Ok(other) => Err(mismatch("Digest", &other)),
            // The control machine can tell of a file that it will put there.
            Err(Stop::Unknown(unknown)) => {
                match self.source_of(path).and_then(|blob| super::fetched::digest(&blob, algorithm)) {
                    Some(hex) => Ok(Some(hex)),
                    None => Err(Stop::Unknown(unknown)),
                }
            }
            Err(stop) => Err(stop),
        }
    }

    pub fn content(&self, path: &str) -> Result<Option<Arc<Vec<u8>>>, Stop> {
        match self.ask(Query::Content { path: path.to_owned() }) {
            Ok(Answer::Content(content)) => Ok(content),
            Ok(other) => Err(mismatch("Content", &other)),
            Err(Stop::Unknown(unknown)) => {
                match self.source_of(path).and_then(|blob| super::fetched::content(&blob, READ_AT_MOST)) {
                    Some(bytes) => Ok(Some(bytes)),
                    None => Err(Stop::Unknown(unknown)),
                }
            }
            Err(stop) => Err(stop),
        }
    }

    /// The size of a file that an earlier planned step will put there, where the control machine can tell.
    pub fn coming_size(&self, path: &str) -> Option<u64> {
        super::fetched::size(&self.source_of(path)?)
    }

    pub fn tree(&self, path: &str, max_depth: Option<u32>) -> Result<Arc<Vec<TreeEntry>>, Stop> {
        match self.ask(Query::Tree { path: path.to_owned(), max_depth })? {
            Answer::Tree(tree) => Ok(tree),
            other => Err(mismatch("Tree", &other)),
        }
    }

    pub fn unit(&self, name: &str, user: bool) -> Result<UnitState, Stop> {
        match self.ask(Query::Unit { name: name.to_owned(), user })? {
            Answer::Unit(unit) => Ok(*unit),
            other => Err(mismatch("Unit", &other)),
        }
    }

    pub fn account(&self, name: &str) -> Result<Option<Account>, Stop> {
        match self.ask(Query::Account { name: name.to_owned() })? {
            Answer::Account(account) => Ok(account),
            other => Err(mismatch("Account", &other)),
        }
    }

    pub fn group(&self, name: &str) -> Result<Option<GroupEntry>, Stop> {
        match self.ask(Query::Group { name: name.to_owned() })? {
            Answer::Group(group) => Ok(group),
            other => Err(mismatch("Group", &other)),
        }
    }

    pub fn package(&self, name: &str) -> Result<PackageState, Stop> {
        match self.ask(Query::Package { name: name.to_owned() })? {
            Answer::Package(package) => Ok(package),
            other => Err(mismatch("Package", &other)),
        }
    }

    /// Where the control machine can have the bytes of a file that an earlier planned step puts there.
    pub fn source_of(&self, path: &str) -> Option<Blob> {
        match self.world.predicted.get(&Query::Source { path: path.to_owned() }) {
            Some(Ok(Answer::Source(blob))) => {
                match self.world.answer(&Query::Stat { path: path.to_owned(), follow: true }) {
                    Some(Ok(Answer::Stat(None))) => None,
                    _ => Some(blob.clone()),
                }
            }
            _ => None,
        }
    }

    /// Runs a read-only command on the node.
    pub fn read<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output, Stop> {
        match self.ask(Query::Read { argv: argv.into_iter().map(Into::into).collect() })? {
            Answer::Output(output) => Ok(output),
            other => Err(mismatch("Output", &other)),
        }
    }

    pub fn facts(&self) -> Result<minijinja::Value, Stop> {
        match self.ask(Query::Facts)? {
            Answer::Facts(facts) => Ok(facts),
            other => Err(mismatch("Facts", &other)),
        }
    }
}

fn mismatch(wanted: &str, got: &Answer) -> Stop {
    unreachable!("a {wanted} query was answered with {got:?}")
}
