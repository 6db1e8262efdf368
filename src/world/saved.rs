//! Answers as JSON, for worlds that are kept in files, and what saved answers say of questions that were not asked.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::Value;
use serde::{Deserialize, Serialize};

use super::{Account, Answer, FileKind, GroupEntry, Output, PackageState, Query, Stat, TreeEntry, UnitState};

/// Bytes as text where they are text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Bytes {
    #[serde(rename = "text")]
    Text(String),
    #[serde(rename = "base64")]
    Base64(String),
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64(text) => STANDARD.decode(text).unwrap_or_default(),
        }
    }
}

/// One answer in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SavedAnswer {
    Stat(Option<Stat>),
    Digest(Option<String>),
    Content(Option<Bytes>),
    Tree(Vec<TreeEntry>),
    Unit(Box<UnitState>),
    Account(Option<Account>),
    Group(Option<GroupEntry>),
    Package(PackageState),
    Output { rc: i32, stdout: Bytes, stderr: Bytes },
    Facts(serde_json::Value),
    Failed(String),
}

/// A program's output in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedOutput {
    pub rc: i32,
    pub stdout: Bytes,
    pub stderr: Bytes,
}

impl From<&Output> for SavedOutput {
    fn from(output: &Output) -> Self {
        Self { rc: output.rc, stdout: Bytes::of(&output.stdout), stderr: Bytes::of(&output.stderr) }
    }
}

impl From<&SavedOutput> for Output {
    fn from(saved: &SavedOutput) -> Self {
        Self { rc: saved.rc, stdout: saved.stdout.bytes(), stderr: saved.stderr.bytes() }
    }
}

impl SavedAnswer {
    /// `None`: never asked of a node.
    pub fn of(answer: &Answer) -> Option<Self> {
        Some(match answer {
            Answer::Stat(stat) => Self::Stat(stat.clone().map(finite)),
            Answer::Digest(hex) => Self::Digest(hex.clone()),
            Answer::Content(bytes) => Self::Content(bytes.as_ref().map(|b| Bytes::of(b))),
            Answer::Tree(tree) => Self::Tree(
                tree.iter().map(|e| TreeEntry { path: e.path.clone(), stat: finite(e.stat.clone()) }).collect(),
            ),
            Answer::Unit(unit) => Self::Unit(unit.clone()),
            // Passwords stay on the node, even hashed.
            Answer::Account(account) => {
                Self::Account(account.clone().map(|account| Account { password: None, ..account }))
            }
            Answer::Group(group) => Self::Group(group.clone()),
            Answer::Package(package) => Self::Package(package.clone()),
            Answer::Output(o) => Self::Output { rc: o.rc, stdout: Bytes::of(&o.stdout), stderr: Bytes::of(&o.stderr) },
            Answer::Facts(facts) => Self::Facts(json_of(facts)),
            Answer::Failed(why) => Self::Failed(why.clone()),
            Answer::Source(_) => return None,
        })
    }

    pub fn answer(&self) -> Answer {
        match self {
            Self::Stat(stat) => Answer::Stat(stat.clone()),
            Self::Digest(hex) => Answer::Digest(hex.clone()),
            Self::Content(bytes) => Answer::Content(bytes.as_ref().map(|b| Arc::new(b.bytes()))),
            Self::Tree(tree) => Answer::Tree(Arc::new(tree.clone())),
            Self::Unit(unit) => Answer::Unit(unit.clone()),
            Self::Account(account) => Answer::Account(account.clone()),
            Self::Group(group) => Answer::Group(group.clone()),
            Self::Package(package) => Answer::Package(package.clone()),
            Self::Output { rc, stdout, stderr } => {
                Answer::Output(Output { rc: *rc, stdout: stdout.bytes(), stderr: stderr.bytes() })
            }
            Self::Facts(facts) => Answer::Facts(value_of(facts)),
            Self::Failed(why) => Answer::Failed(why.clone()),
        }
    }
}

/// Facts are plain data: texts, numbers, lists and mappings.
fn json_of(value: &Value) -> serde_json::Value {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => match (i64::try_from(value.clone()), f64::try_from(value.clone())) {
            (Ok(n), _) if value.is_integer() => n.into(),
            (_, Ok(n)) => n.into(),
            _ => value.to_string().into(),
        },
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().into_iter().flatten().map(|v| json_of(&v)).collect(),
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            let pair = |key: Value| (key.to_string(), json_of(&value.get_item(&key).unwrap_or_default()));
            serde_json::Value::Object(keys.map(pair).collect())
        }
        ValueKind::String => value.as_str().unwrap_or_default().into(),
        _ => serde_json::Value::Null,
    }
}

fn value_of(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Value::from(n),
            (_, Some(n)) => Value::from(n),
            _ => Value::from(n.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value_of).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.clone(), value_of(v)))),
    }
}

/// JSON has no NaN.
fn finite(mut stat: Stat) -> Stat {
    for time in [&mut stat.mtime, &mut stat.atime, &mut stat.ctime] {
        if !time.is_finite() {
            *time = 0.0;
        }
    }
    stat
}

/// What is asked of every node whose world is saved, so that a plan can be changed afterwards without asking it again.
pub fn common_queries() -> Vec<Query> {
    const FOLDERS: [(&str, u32); 9] = [
        ("/", 1),
        ("/etc", 12),
        ("/home", 2),
        ("/opt", 4),
        ("/root", 2),
        ("/srv", 2),
        ("/usr", 2),
        ("/usr/local", 6),
        ("/var", 2),
    ];
    let mut all: Vec<Query> =
        FOLDERS.iter().map(|(path, depth)| Query::Tree { path: (*path).to_owned(), max_depth: Some(*depth) }).collect();
    all.extend(["/etc/passwd", "/etc/group"].map(|path| Query::Content { path: path.to_owned() }));
    all.extend([PACKAGES, UNITS, UMASK, SHADOW, ZONE].map(|argv| Query::Read { argv: words(argv) }));
    all
}

const PACKAGES: &[&str] = &["dpkg-query", "-W", "-f", "${Package} ${Architecture} ${Version} ${db:Status-Status}\n"];
const UNITS: &[&str] = &["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain"];
/// What resources ask of the node itself, whatever they are about.
const UMASK: &[&str] = &["sh", "-c", "umask"];
const SHADOW: &[&str] = &["sh", "-c", "command -v useradd groupadd usermod"];
const ZONE: &[&str] = &["date", "+%z"];

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|w| (*w).to_owned()).collect()
}

/// The answer that other answers imply.
pub fn implied(known: &HashMap<Query, Answer>, query: &Query) -> Option<Answer> {
    match query {
        Query::Stat { path, follow } => stat(known, path, *follow).map(Answer::Stat),
        Query::Digest { path, .. } => no_file(known, path).then_some(Answer::Digest(None)),
        Query::Content { path } => no_file(known, path).then_some(Answer::Content(None)),
        Query::Tree { path, max_depth } => {
            if stat(known, path, true)?.is_none_or(|s| s.kind != FileKind::Directory) {
                return Some(Answer::Tree(Arc::default()));
            }
            let wanted = max_depth.unwrap_or(u32::MAX);
            // A deeper listing of the same folder has it all.
            known.iter().find_map(|(other, answer)| match (other, answer) {
                (Query::Tree { path: p, max_depth: d }, Answer::Tree(tree))
                    if p == path && d.unwrap_or(u32::MAX) >= wanted =>
                {
                    let near = |e: &&TreeEntry| e.path.matches('/').count() < wanted as usize;
                    Some(Answer::Tree(Arc::new(tree.iter().filter(near).cloned().collect())))
                }
                _ => None,
            })
        }
        Query::Account { name } => {
            let line = database_line(known, "/etc/passwd", name)?;
            let Some(line) = line else { return Some(Answer::Account(None)) };
            account(known, &line).map(|a| Answer::Account(Some(a)))
        }
        Query::Group { name } => {
            let line = database_line(known, "/etc/group", name)?;
            let Some(line) = line else { return Some(Answer::Group(None)) };
            let fields: Vec<&str> = line.split(':').collect();
            let members = fields.get(3)?.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
            Some(Answer::Group(Some(GroupEntry {
                name: (*fields.first()?).to_owned(),
                gid: fields.get(2)?.parse().ok()?,
                members,
            })))
        }
        Query::Package { name } => {
            let text = output(known, PACKAGES)?;
            let (name, wanted) = name.split_once(':').map_or((name.as_str(), None), |(n, a)| (n, Some(a)));
            let found = text.lines().find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let [package, architecture, version, status] = fields[..] else { return None };
                (package == name && wanted.is_none_or(|w| w == architecture)).then(|| PackageState {
                    installed: (status == "installed").then(|| version.to_owned()),
                    residual_config: status == "config-files",
                    ..PackageState::default()
                })
            });
            Some(Answer::Package(found.unwrap_or_default()))
        }
        Query::Unit { name, user: false } => {
            let text = output(known, UNITS)?;
            let template = name.split_once('@').map(|(stem, rest)| {
                format!("{stem}@.{}", rest.rsplit_once('.').map_or("service", |(_, suffix)| suffix))
            });
            let there = text
                .lines()
                .filter_map(|l| l.split_whitespace().next())
                .any(|u| u == name || template.as_deref() == Some(u));
            (!there).then(|| {
                Answer::Unit(Box::new(UnitState {
                    load: "not-found".to_owned(),
                    active: "inactive".to_owned(),
                    sub: "dead".to_owned(),
                    ..UnitState::default()
                }))
            })
        }
        Query::Read { argv } => {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            match argv[..] {
                // They only add to what `stat` tells; without them it is told as of a node that lacks these tools.
                ["stat" | "file" | "lsattr", ..] => Some(Answer::Output(Output { rc: 127, ..Output::default() })),
                ["getent", database @ ("passwd" | "group"), key]
                | ["sh", "-c", super::query::ENTRY_BY_NUMBER, "sh", database @ ("passwd" | "group"), key] => {
                    let line = database_line(known, &format!("/etc/{database}"), key)?;
                    let (rc, text) = line.map_or((2, String::new()), |line| (0, format!("{line}\n")));
                    Some(Answer::Output(Output { rc, stdout: text.into_bytes(), stderr: vec![] }))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn output(known: &HashMap<Query, Answer>, argv: &[&str]) -> Option<String> {
    match known.get(&Query::Read { argv: words(argv) })? {
        Answer::Output(output) if output.rc == 0 => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => None,
    }
}

/// A line of a user database; the inner `None`: there is none.
fn database_line(known: &HashMap<Query, Answer>, path: &str, name: &str) -> Option<Option<String>> {
    let Answer::Content(Some(bytes)) = known.get(&Query::Content { path: path.to_owned() })? else { return None };
    let text = String::from_utf8_lossy(bytes);
    let by = |line: &&str| line.split(':').next() == Some(name) || line.split(':').nth(2) == Some(name);
    Some(text.lines().find(by).map(str::to_owned))
}

fn account(known: &HashMap<Query, Answer>, line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, comment, home, shell] = fields[..] else { return None };
    let Answer::Content(Some(groups)) = known.get(&Query::Content { path: "/etc/group".to_owned() })? else {
        return None;
    };
    let groups = String::from_utf8_lossy(groups).into_owned();
    let of = |line: &str| -> Vec<String> { line.split(':').map(str::to_owned).collect() };
    let groups: Vec<Vec<String>> = groups.lines().map(of).filter(|g| g.len() == 4).collect();
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        comment: comment.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
        groups: groups.iter().filter(|g| g[3].split(',').any(|m| m == name)).map(|g| g[0].clone()).collect(),
        group: groups.iter().find(|g| g[2] == gid).map_or_else(|| gid.to_owned(), |g| g[0].clone()),
        password: None,
        expires: None,
    })
}

fn no_file(known: &HashMap<Query, Answer>, path: &str) -> bool {
    matches!(stat(known, path, true), Some(None))
        || matches!(stat(known, path, true), Some(Some(s)) if s.kind != FileKind::File)
}

/// The stat that is known of a path, by itself or by a listing of a folder above; the inner `None`: nothing is there.
#[expect(clippy::option_option, reason = "known to be nothing, and not known, are two things")]
fn stat(known: &HashMap<Query, Answer>, path: &str, follow: bool) -> Option<Option<Stat>> {
    for f in [follow, !follow] {
        match known.get(&Query::Stat { path: path.to_owned(), follow: f }) {
            Some(Answer::Stat(Some(s))) if f != follow && s.kind == FileKind::Link => {}
            Some(Answer::Stat(stat)) => return Some(stat.clone()),
            _ => {}
        }
    }
    let mut above = path;
    while let Some(cut) = above.rfind('/') {
        let folder = if cut == 0 { "/" } else { &path[..cut] };
        let relative = path[cut..].trim_start_matches('/');
        let listing = known.iter().find_map(|(query, answer)| match (query, answer) {
            (Query::Tree { path: p, max_depth }, Answer::Tree(tree))
                if p == folder && max_depth.is_none_or(|d| relative.matches('/').count() < d as usize) =>
            {
                Some(tree)
            }
            _ => None,
        });
        if let Some(tree) = listing {
            let entry = |of: &str| tree.iter().find(|e| e.path == of).map(|e| &e.stat);
            // Through a link the way leads elsewhere.
            let links = relative
                .match_indices('/')
                .any(|(i, _)| entry(&relative[..i]).is_some_and(|s| s.kind == FileKind::Link));
            if links {
                return None;
            }
            return match entry(relative) {
                Some(s) if follow && s.kind == FileKind::Link => {
                    let real = s.real.clone()?;
                    if real == path { None } else { stat(known, &real, false) }
                }
                found => Some(found.cloned()),
            };
        }
        if matches!(stat_of(known, folder), Some(None)) {
            return Some(None);
        }
        if cut == 0 {
            return None;
        }
        above = &path[..cut];
    }
    None
}

#[expect(clippy::option_option, reason = "known to be nothing, and not known, are two things")]
fn stat_of(known: &HashMap<Query, Answer>, path: &str) -> Option<Option<Stat>> {
    [true, false].into_iter().find_map(|follow| match known.get(&Query::Stat { path: path.to_owned(), follow }) {
        Some(Answer::Stat(stat)) => Some(stat.clone()),
        _ => None,
    })
}
