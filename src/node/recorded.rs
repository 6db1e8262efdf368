//! Conversations that are kept, and conversations with what was kept: `kdeploy facts --save`, `kdeploy plan --world`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::api::{Claim, Conversation, Done, Hello, Identity, Lock, NodeError, Traffic};
use super::{Action, quote};
use crate::problem::Problem;
use crate::world::saved::{SavedAnswer, SavedOutput, common_queries, implied};
use crate::world::{Answer, Query};

/// How the failure of a step begins that needs an answer the saved world does not hold.
pub const MISSING: &str = "the saved world of";

/// What was heard of a node as one identity.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Login {
    pub hello: Hello,
    answers: Vec<(Query, SavedAnswer)>,
    /// What `check_mode: false` ran, by a digest of the actions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ran: BTreeMap<String, Vec<SavedDone>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum SavedDone {
    Ok(SavedOutput),
    Failed { message: String, output: SavedOutput },
}

/// All that was heard of one node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Book {
    pub host: String,
    pub saved: String,
    /// By how the node was reached and as whom; empty: the login user.
    pub logins: BTreeMap<String, Login>,
}

impl Book {
    fn file(dir: &Path, host: &str) -> PathBuf {
        dir.join(format!("{}.json", host.replace('/', "_")))
    }

    /// Writes the file of a node; one answer a line, so that two worlds can be compared.
    pub fn write(&self, dir: &Path) -> Result<usize, Problem> {
        let failed = |e: &dyn std::fmt::Display| {
            Problem::new("cannot-write", format!("cannot write the world of `{}`: {e}", self.host))
        };
        let json = |value: &serde_json::Value| serde_json::to_string(value).map_err(|e| failed(&e));
        let mut count = 0;
        let mut logins = vec![];
        for (key, login) in &self.logins {
            let mut lines = vec![];
            for pair in &login.answers {
                lines.push(serde_json::to_string(pair).map_err(|e| failed(&e))?);
            }
            lines.sort();
            count += lines.len();
            logins.push(format!(
                "{}: {{\"hello\": {},\n\"ran\": {},\n\"answers\": [\n{}\n]}}",
                serde_json::json!(key),
                json(&serde_json::json!(login.hello))?,
                json(&serde_json::json!(login.ran))?,
                lines.join(",\n")
            ));
        }
        let text = format!(
            "{{\"host\": {}, \"saved\": {},\n\"logins\": {{\n{}\n}}}}\n",
            serde_json::json!(self.host),
            serde_json::json!(self.saved),
            logins.join(",\n")
        );
        std::fs::create_dir_all(dir).map_err(|e| failed(&e))?;
        std::fs::write(Self::file(dir, &self.host), text).map_err(|e| failed(&e))?;
        Ok(count)
    }

    pub fn read(dir: &Path, host: &str) -> Result<Self, Problem> {
        let path = Self::file(dir, host);
        let help = format!("kdeploy facts --save {} {} keeps it", dir.display(), quote(host));
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Problem::new("no-world", format!("there is no world of `{host}`: {}: {e}", path.display()))
                .help(help.clone())
        })?;
        serde_json::from_str(&text).map_err(|e| {
            Problem::new("no-world", format!("`{}` is no world that kdeploy saved: {e}", path.display())).help(help)
        })
    }
}

fn digest_of(actions: &[Action]) -> String {
    hex::encode(&sha2::Sha256::digest(format!("{actions:?}").as_bytes())[..12])
}

/// A conversation whose answers are kept.
pub struct Recording {
    inner: Box<dyn Conversation>,
    /// How the node is reached, where a task says so on its own.
    reach: String,
    book: Arc<Mutex<Book>>,
}

impl Recording {
    pub fn new(inner: Box<dyn Conversation>, reach: &str, book: Arc<Mutex<Book>>) -> Self {
        Self { inner, reach: reach.to_owned(), book }
    }

    fn login<T>(&self, identity: &Identity, enter: impl FnOnce(&mut Login) -> T) -> T {
        let mut book = self.book.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        enter(book.logins.entry(format!("{}{}", self.reach, identity.key())).or_default())
    }

    fn keep(&self, identity: &Identity, queries: &[Query], answers: &[Answer]) {
        // Content that not everybody may read stays on the node.
        let private = |path: &str| {
            queries.iter().zip(answers).any(|(q, a)| {
                matches!((q, a), (Query::Stat { path: p, .. }, Answer::Stat(Some(s))) if p == path && s.mode & 0o004 == 0)
            })
        };
        self.login(identity, |login| {
            for (query, answer) in queries.iter().zip(answers) {
                let Some(mut saved) = SavedAnswer::of(answer) else { continue };
                if let (Query::Content { path }, SavedAnswer::Content(Some(_))) = (query, &saved) {
                    let known = login.answers.iter().any(|(q, a)| {
                        matches!((q, a), (Query::Stat { path: p, .. }, SavedAnswer::Stat(Some(s))) if p == path && s.mode & 0o004 == 0)
                    });
                    if known || private(path) {
                        saved = SavedAnswer::Failed(format!("{path} is not for everybody to read: its content was not saved"));
                    }
                }
                login.answers.retain(|(q, _)| q != query);
                login.answers.push((query.clone(), saved));
            }
        });
    }
}

impl Conversation for Recording {
    fn hello(&mut self, identity: &Identity) -> Result<Hello, NodeError> {
        let hello = self.inner.hello(identity)?;
        let new = self.login(identity, |login| {
            login.hello = hello.clone();
            login.answers.is_empty()
        });
        if new {
            let queries = common_queries();
            let answers = self.inner.ask(identity, &queries)?;
            self.keep(identity, &queries, &answers);
        }
        Ok(hello)
    }

    fn ask(&mut self, identity: &Identity, queries: &[Query]) -> Result<Vec<Answer>, NodeError> {
        // Who may read a file is asked with its content.
        let mut all = queries.to_vec();
        for query in queries {
            if let Query::Content { path } = query {
                all.push(Query::Stat { path: path.clone(), follow: true });
            }
        }
        let mut answers = self.inner.ask(identity, &all)?;
        self.keep(identity, &all, &answers);
        answers.truncate(queries.len());
        Ok(answers)
    }

    fn act(
        &mut self,
        identity: &Identity,
        actions: &[Action],
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError> {
        let dones = self.inner.act(identity, actions, ended)?;
        let saved = dones.iter().map(|done| match done {
            Done::Ok(output) => SavedDone::Ok(output.into()),
            Done::Failed { message, output } => SavedDone::Failed { message: message.clone(), output: output.into() },
        });
        self.login(identity, |login| login.ran.insert(digest_of(actions), saved.collect()));
        Ok(dones)
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }

    fn lock(&mut self, identity: &Identity, claim: Claim<'_>) -> Result<Lock, NodeError> {
        self.inner.lock(identity, claim)
    }

    fn kind(&self) -> super::Transport {
        self.inner.kind()
    }

    fn debts(&self) -> (&str, u64) {
        self.inner.debts()
    }
}

/// A conversation with a saved world: no node is asked.
pub struct Replay {
    host: String,
    dir: PathBuf,
    reach: String,
    book: Result<Book, Problem>,
    answers: HashMap<String, HashMap<Query, Answer>>,
}

impl Replay {
    pub fn new(dir: &Path, host: &str, reach: &str) -> Self {
        let book = Book::read(dir, host);
        let mut answers = HashMap::new();
        for (key, login) in book.iter().flat_map(|b| &b.logins) {
            answers.insert(key.clone(), login.answers.iter().map(|(q, a)| (q.clone(), a.answer())).collect());
        }
        Self { host: host.to_owned(), dir: dir.to_owned(), reach: reach.to_owned(), book, answers }
    }

    fn refuse(&self, message: String) -> NodeError {
        let help = format!(
            "kdeploy facts --save {} {} --playbook PLAYBOOK asks the node anew",
            self.dir.display(),
            quote(&self.host)
        );
        NodeError::Refused { message, help: vec![help] }
    }

    fn login(&self, identity: &Identity) -> Result<(&Login, &HashMap<Query, Answer>), NodeError> {
        let book =
            self.book.as_ref().map_err(|p| NodeError::Refused { message: p.to_string(), help: p.help.clone() })?;
        let key = format!("{}{}", self.reach, identity.key());
        match (book.logins.get(&key), self.answers.get(&key)) {
            (Some(login), Some(answers)) => Ok((login, answers)),
            _ => {
                let whom = identity.become_user.as_deref().map_or("the login user".to_owned(), |u| format!("`{u}`"));
                Err(self.refuse(format!("the world of `{}` was not saved as {whom}", self.host)))
            }
        }
    }
}

impl Conversation for Replay {
    fn hello(&mut self, identity: &Identity) -> Result<Hello, NodeError> {
        Ok(self.login(identity)?.0.hello.clone())
    }

    fn ask(&mut self, identity: &Identity, queries: &[Query]) -> Result<Vec<Answer>, NodeError> {
        let (_, known) = self.login(identity)?;
        let answer = |query: &Query| {
            known.get(query).cloned().or_else(|| implied(known, query)).unwrap_or_else(|| {
                // Perhaps nothing needs it: only who does fails.
                Answer::Failed(format!(
                    "{MISSING} `{}` has no answer to: {} (kdeploy facts --save {} {} --playbook PLAYBOOK asks the node anew)",
                    self.host,
                    query.words(),
                    self.dir.display(),
                    quote(&self.host)
                ))
            })
        };
        Ok(queries.iter().map(answer).collect())
    }

    fn act(
        &mut self,
        identity: &Identity,
        actions: &[Action],
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError> {
        let (login, _) = self.login(identity)?;
        let Some(saved) = login.ran.get(&digest_of(actions)) else {
            return Err(self.refuse(format!(
                "the saved world of `{}` does not know how a command ended that the plan runs (check_mode: false)",
                self.host
            )));
        };
        let dones: Vec<Done> = saved
            .iter()
            .map(|done| match done {
                SavedDone::Ok(output) => Done::Ok(output.into()),
                SavedDone::Failed { message, output } => {
                    Done::Failed { message: message.clone(), output: output.into() }
                }
            })
            .collect();
        for (i, done) in dones.iter().enumerate() {
            ended(i, done);
        }
        Ok(dones)
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
