//! Queries into one script, sections into answers.
//!
//! Queries of one kind become one process on the node; each such [`Part`] knows how its reply reads.

mod accounts;
mod files;
mod packages;
mod units;

use crate::world::{Algorithm, Answer, Output, Query};

use super::quote::{quote, quote_all};
use super::shell::Section;

/// Arguments of one process stay well below every system's limit.
const MOST_BYTES: usize = 96 * 1024;

/// One process's worth of queries.
pub(super) struct Part {
    kind: Kind,
    /// Positions of the queries answered.
    indices: Vec<usize>,
    words: Vec<String>,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Stat { follow: bool },
    Digest(Algorithm),
    Content,
    Tree(Option<u32>),
    Unit { user: bool },
    Account,
    Group,
    Package,
    Candidate,
    Read,
    Facts,
}

/// Groups queries; those that cannot be asked are answered at once.
pub(super) fn parts(queries: &[Query], answers: &mut [Option<Answer>]) -> Vec<Part> {
    let mut parts: Vec<Part> = vec![];
    for (i, query) in queries.iter().enumerate() {
        let (kind, word) = match query {
            Query::Stat { path, follow } => (Kind::Stat { follow: *follow }, path.clone()),
            Query::Digest { path, algorithm } => (Kind::Digest(*algorithm), path.clone()),
            Query::Content { path } => (Kind::Content, path.clone()),
            Query::Tree { path, max_depth } => (Kind::Tree(*max_depth), path.clone()),
            Query::Unit { name, user } => (Kind::Unit { user: *user }, name.clone()),
            Query::Account { name } => (Kind::Account, name.clone()),
            Query::Group { name } => (Kind::Group, name.clone()),
            Query::Package { name } => (Kind::Package, name.clone()),
            Query::Candidate { name } => (Kind::Candidate, name.clone()),
            Query::Read { argv } => (Kind::Read, quote_all(argv)),
            Query::Source { .. } => unreachable!("sources are only predicted"),
            Query::Facts => (Kind::Facts, String::new()),
        };
        if word.contains('\0') {
            answers[i] = Some(Answer::Failed("a NUL character cannot be sent to the node".into()));
            continue;
        }
        if word.is_empty() && kind != Kind::Facts {
            answers[i] = Some(match kind {
                Kind::Stat { .. } => Answer::Stat(None),
                Kind::Digest(_) => Answer::Digest(None),
                Kind::Content => Answer::Content(None),
                Kind::Tree(_) => Answer::Tree(Default::default()),
                _ => Answer::Failed("an empty name".into()),
            });
            continue;
        }
        let alone = matches!(kind, Kind::Tree(_) | Kind::Read);
        match parts.iter_mut().find(|p| !alone && p.kind == kind && p.bytes + word.len() < MOST_BYTES) {
            Some(part) => {
                part.indices.push(i);
                part.bytes += word.len() + 1;
                // Asked twice, it is looked up once.
                part.words.push(word);
            }
            None => parts.push(Part { kind, indices: vec![i], bytes: word.len(), words: vec![word] }),
        }
    }
    parts
}

impl Part {
    pub fn script(&self) -> String {
        let words = || quote_all(&self.words);
        match &self.kind {
            Kind::Stat { follow } => format!("kd_stat {} {}", if *follow { "-L" } else { "''" }, words()),
            Kind::Digest(algorithm) => format!("kd_sum {} {}", algorithm.name(), words()),
            Kind::Content => format!("kd_cat {}", words()),
            Kind::Tree(depth) => {
                let depth = depth.map_or("''".to_owned(), |d| quote(&format!("-maxdepth {d}")));
                format!("kd_tree {depth} {}", words())
            }
            Kind::Unit { user } => {
                format!("kd_unit {} {} {}", if *user { "--user" } else { "''" }, units::PROPERTIES, words())
            }
            Kind::Account => format!("kd_acct {}", words()),
            Kind::Group => format!("kd_group {}", words()),
            Kind::Package => format!("kd_pkg {}", words()),
            Kind::Candidate => format!("kd_pkg {w}\nkd_policy {w}", w = words()),
            Kind::Read => format!("kd_read {}", self.words[0]),
            Kind::Facts => super::facts::SCRIPT.to_owned(),
        }
    }

    /// How many `q` sections end the reply.
    fn ends(&self) -> usize {
        if self.kind == Kind::Candidate { 2 } else { 1 }
    }

    /// Reads the reply; one answer per query of the part.
    fn read(&self, reply: &Reply, nonce: &str) -> Vec<Answer> {
        match &self.kind {
            Kind::Stat { follow } => files::stats(&self.words, *follow, reply, nonce),
            Kind::Digest(algorithm) => files::digests(&self.words, *algorithm, reply),
            Kind::Content => files::contents(&self.words, reply, nonce),
            Kind::Tree(_) => vec![files::tree(&self.words[0], reply, nonce)],
            Kind::Unit { .. } => units::units(&self.words, reply),
            Kind::Account => accounts::accounts(&self.words, reply),
            Kind::Group => accounts::groups(&self.words, reply),
            Kind::Package => packages::packages(&self.words, reply),
            Kind::Candidate => packages::candidates(&self.words, reply),
            Kind::Read => vec![Answer::Output(Output {
                rc: reply.rc,
                stdout: reply.body("o").to_vec(),
                stderr: reply.body("e").to_vec(),
            })],
            Kind::Facts => vec![super::facts::answer(reply, nonce)],
        }
    }
}

/// All sections of one part's reply.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub sections: Vec<Section>,
    pub rc: i32,
}

impl Reply {
    /// The first section with this tag; empty if there is none.
    pub fn body(&self, tag: &str) -> &[u8] {
        self.sections.iter().find(|s| s.tag == tag).map_or(&[], |s| &s.body)
    }

    pub fn has(&self, tag: &str) -> bool {
        self.sections.iter().any(|s| s.tag == tag)
    }

    pub fn text(&self, tag: &str) -> String {
        String::from_utf8_lossy(self.body(tag)).into_owned()
    }
}

/// Takes sections in until every part is answered.
pub(super) struct Reader<'a> {
    parts: &'a [Part],
    nonce: String,
    current: usize,
    ends: usize,
    reply: Reply,
    pub processes: u64,
}

impl<'a> Reader<'a> {
    pub fn new(parts: &'a [Part], nonce: &str) -> Self {
        Self { parts, nonce: nonce.to_owned(), current: 0, ends: 0, reply: Reply::default(), processes: 0 }
    }

    /// True when the batch is over.
    pub fn take(&mut self, section: Section, answers: &mut [Option<Answer>]) -> bool {
        if let Some(processes) = section.tag.strip_prefix("z ") {
            self.processes = processes.parse().unwrap_or_default();
            return true;
        }
        let Some(part) = self.parts.get(self.current) else { return false };
        let Some(rc) = section.tag.strip_prefix("q ") else {
            self.reply.sections.push(section);
            return false;
        };
        self.ends += 1;
        self.reply.rc = rc.parse().unwrap_or(-1);
        if self.ends < part.ends() {
            self.reply.sections.push(section);
            return false;
        }
        let reply = std::mem::take(&mut self.reply);
        for (index, answer) in part.indices.iter().zip(part.read(&reply, &self.nonce)) {
            answers[*index] = Some(answer);
        }
        self.current += 1;
        self.ends = 0;
        false
    }
}

/// A tool's complaints: each begins with its name, and goes on over lines where a file's name does.
fn complaints(text: &str, tool: &str) -> Vec<String> {
    let begin = format!("{tool}: ");
    let mut list: Vec<String> = vec![];
    for line in text.lines() {
        match list.last_mut() {
            Some(last) if !line.starts_with(&begin) => {
                last.push('\n');
                last.push_str(line);
            }
            _ => list.push(line.to_owned()),
        }
    }
    list
}

/// The complaint about an argument that has no output: `None` if it says that the thing is not there.
fn complaint(line: Option<&String>) -> Option<String> {
    let line = line?;
    let absent = ["No such file or directory", "Not a directory", "Is a directory"];
    (!absent.iter().any(|a| line.ends_with(a))).then(|| line.clone())
}
