//! What a step rests on and what it makes: where the edges between steps come from, and what a saved plan compares.
//!
//! Two sources say why one step waits for another: predictions (its verdict rests on an answer that an earlier step foretold) and
//! things (it needs a path, an account, a unit, a package or a variable that an earlier step makes).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::interpreter::Interpreter;
use super::turn::Draft;
use crate::playbook::TaskArgs;
use crate::resources::common::attributes::{UNKNOWN_ID, UNKNOWN_SIZE};
use crate::resources::{Args, Change, ResourceType};
use crate::template::{Context, mentions};
use crate::world::{Algorithm, Answer, FileKind, Query, Stat, World};
use crate::yaml::Node;

/// Something of a node (or a variable) that one step makes and another needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thing {
    Path(String),
    User(String),
    Group(String),
    Unit(String),
    Package(String),
    Variable(String),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Unit(name) => write!(f, "unit {name}"),
            Self::Package(name) => write!(f, "package {name}"),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

/// The reasons of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Basis {
    /// Number of the step on its host, over all plays; `None`: nothing was evaluated.
    pub seq: Option<usize>,
    /// Numbers of the steps whose foretold effects the verdict rests on.
    pub on: BTreeSet<usize>,
    pub makes: BTreeSet<Thing>,
    pub needs: BTreeSet<Thing>,
    /// Absolute paths named in the files it writes: whoever uses such a file needs them.
    pub mentions: BTreeSet<String>,
    /// Observed answers it rests on: what was asked, and a digest or short form of the answer. Only where a plan is saved.
    pub answers: BTreeMap<String, String>,
    /// When the file it is about was last written, as observed: seconds.
    pub mtime: Option<f64>,
}

/// Modules whose `path`, `dest` or `name` is where something is put.
pub(super) const PUTS: &[&str] = &[
    "acl",
    "archive",
    "assemble",
    "blockinfile",
    "capabilities",
    "copy",
    "file",
    "get_url",
    "git",
    "ini_file",
    "lineinfile",
    "mount",
    "replace",
    "synchronize",
    "template",
    "unarchive",
    "xattr",
];

impl Interpreter {
    /// Variables a task reads and sets: known before anything is rendered.
    pub(super) fn variable_basis(&self, draft: &Draft) -> Basis {
        let mut basis = Basis::default();
        let task = &draft.task;
        basis.needs.extend(self.run.mentions_of(task, || {
            let mut names: BTreeSet<String> = BTreeSet::new();
            names.extend(Context::mentions_in_conditions(&draft.lineage.conditions(task)));
            names.extend(Context::mentions_in_conditions(&task.changed_when));
            names.extend(Context::mentions_in_conditions(&task.failed_when));
            names.extend(Context::mentions_in_conditions(&task.until));
            names.extend(Context::mentions_in_conditions(&expressions(draft)));
            match &task.args {
                TaskArgs::Named(pairs) => pairs.iter().for_each(|(_, n)| names.extend(Context::mentions(n))),
                TaskArgs::Free(text, pairs) => {
                    names.extend(Context::mentions(text));
                    pairs.iter().for_each(|(_, n)| names.extend(Context::mentions(n)));
                }
                TaskArgs::Template(node, pairs) => {
                    names.extend(Context::mentions(node));
                    pairs.iter().for_each(|(_, n)| names.extend(Context::mentions(n)));
                }
            }
            if let Some(looping) = &task.loop_ {
                names.extend(Context::mentions(&looping.items));
            }
            if let (Some("template"), TaskArgs::Named(pairs)) = (draft.module.map(|m| m.name), &task.args) {
                let file = pairs.iter().find(|(k, _)| k.as_str() == Some("src")).and_then(|(_, node)| {
                    let name = draft.context.text(node).ok()?;
                    draft.context.paths().find("templates", &name).ok()
                });
                if let Some((path, text)) = file.and_then(|p| Some((p.clone(), std::fs::read_to_string(p).ok()?))) {
                    names.extend(mentions::look_at_file(path, &text).mentions.into_iter().map(|m| m.name));
                }
            }
            names
        }));
        if let Some(name) = task.register.as_ref().and_then(crate::yaml::Node::as_str) {
            basis.makes.insert(Thing::Variable(name.to_owned()));
        }
        if draft.module.is_some_and(|m| m.name == "set_fact")
            && let TaskArgs::Named(pairs) = &task.args
        {
            for (name, _) in pairs {
                basis.makes.extend(draft.context.text(name).ok().map(Thing::Variable));
            }
        }
        basis
    }

    /// What the arguments say it makes and needs.
    pub(super) fn thing_basis(&self, basis: &mut Basis, module: &ResourceType, args: &Args) {
        let text = |name: &str| args.raw(name).filter(|v| v.as_str().is_some()).map(crate::resources::text_of);
        let path = |name: &str| text(name).filter(|p| p.starts_with('/')).map(|p| trimmed(&p));
        let list = |name: &str| args.list(name).unwrap_or_default();
        if PUTS.contains(&module.name) {
            let given = ["path", "dest", "name"].into_iter().find_map(|n| Some((path(n)?, text(n)?)));
            if let Some((place, written)) = given {
                basis.needs.insert(Thing::Path(place.clone()));
                if written.ends_with('/')
                    && let Some(name) = text("src").and_then(|s| Some(s.rsplit('/').next()?.to_owned()))
                    && !name.is_empty()
                {
                    basis.makes.insert(Thing::Path(format!("{}/{name}", place.trim_end_matches('/'))));
                }
                basis.makes.insert(Thing::Path(place));
            }
            basis.needs.extend(path("src").map(Thing::Path));
            basis.needs.extend(text("owner").map(Thing::User));
            basis.needs.extend(text("group").map(Thing::Group));
        }
        match module.name {
            "user" => {
                let name = text("name").or_else(|| text("user"));
                basis.makes.extend(name.clone().map(Thing::User));
                basis.makes.extend(name.map(Thing::Group));
                basis.needs.extend(text("group").map(Thing::Group));
                basis.needs.extend(list("groups").into_iter().map(Thing::Group));
            }
            "group" => basis.makes.extend(text("name").map(Thing::Group)),
            "authorized_key" | "cron" => {
                basis.needs.extend(text("user").map(Thing::User));
                let place = text("cron_file").map(|f| if f.starts_with('/') { f } else { format!("/etc/cron.d/{f}") });
                basis.makes.extend(place.or_else(|| path("path")).map(Thing::Path));
            }
            "deb822_repository" | "apt_repository" | "yum_repository" => {
                let place = match module.name {
                    "yum_repository" => {
                        text("file").or_else(|| text("name")).map(|n| format!("/etc/yum.repos.d/{n}.repo"))
                    }
                    "deb822_repository" => text("name").map(|n| format!("/etc/apt/sources.list.d/{n}.sources")),
                    _ => text("filename").map(|n| format!("/etc/apt/sources.list.d/{n}.list")),
                };
                basis.makes.extend(place.map(Thing::Path));
                basis.needs.extend(path("signed_by").map(Thing::Path));
                // `deb [signed-by=/etc/apt/keyrings/x.asc] …`
                let line = text("repo").unwrap_or_default();
                basis.needs.extend(paths_in(line.as_bytes()).into_iter().map(Thing::Path));
            }
            "apt_key" | "rpm_key" => {
                let lists = if module.name == "apt_key" { "/etc/apt" } else { "/etc/yum.repos.d" };
                basis.makes.insert(Thing::Path(lists.to_owned()));
                basis.needs.insert(Thing::Path(lists.to_owned()));
                basis.needs.extend(["file", "keyring", "key"].into_iter().filter_map(path).map(Thing::Path));
            }
            "sysctl" => {
                let place = path("sysctl_file").unwrap_or_else(|| "/etc/sysctl.conf".to_owned());
                basis.needs.insert(Thing::Path(place.clone()));
                basis.makes.insert(Thing::Path(place));
            }
            "known_hosts" | "pam_limits" | "hostname" | "timezone" | "alternatives" => {
                let place = match module.name {
                    "pam_limits" => path("dest").or_else(|| Some("/etc/security/limits.conf".to_owned())),
                    "hostname" => Some("/etc/hostname".to_owned()),
                    "timezone" => Some("/etc/localtime".to_owned()),
                    "alternatives" => {
                        basis.needs.extend(path("path").map(Thing::Path));
                        path("link")
                    }
                    _ => path("path"),
                };
                basis.needs.extend(place.clone().map(Thing::Path));
                basis.makes.extend(place.map(Thing::Path));
            }
            // Physical volumes, their group, a volume of it, a file system on that: a mount needs it as its source.
            "lvg" | "lvol" | "filesystem" => {
                let group = text("vg").map(|vg| format!("/dev/{vg}"));
                let made = match module.name {
                    "lvg" => group,
                    "lvol" => {
                        basis.needs.extend(group.clone().map(Thing::Path));
                        group.and_then(|group| Some(format!("{group}/{}", text("lv")?)))
                    }
                    _ => {
                        let device = path("dev").or_else(|| path("device"));
                        basis.needs.extend(device.clone().map(Thing::Path));
                        device
                    }
                };
                basis.needs.extend(list("pvs").into_iter().filter(|p| p.starts_with('/')).map(Thing::Path));
                basis.makes.extend(made.map(Thing::Path));
            }
            "pip" => {
                let place = path("virtualenv");
                basis.needs.extend(
                    [place.clone(), path("requirements"), path("chdir")].into_iter().flatten().map(Thing::Path),
                );
                basis.makes.extend(place.map(Thing::Path));
            }
            "script" => {
                basis.makes.extend(path("creates").map(Thing::Path));
                basis.needs.extend(["creates", "removes", "chdir"].into_iter().filter_map(path).map(Thing::Path));
            }
            "k8s" | "k8s_info" | "k8s_drain" | "k8s_taint" | "helm" => {
                basis.needs.extend(["kubeconfig", "src", "chart_ref"].into_iter().filter_map(path).map(Thing::Path));
            }
            "systemd" | "systemd_service" | "service" => {
                if let Some(name) = text("name").or_else(|| text("unit")).or_else(|| text("service")) {
                    let unit = if name.contains('.') { name } else { format!("{name}.service") };
                    for dir in ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"] {
                        basis.needs.insert(Thing::Path(format!("{dir}/{unit}")));
                        basis.needs.insert(Thing::Path(format!("{dir}/{unit}.d")));
                    }
                    let base = unit.split(['.', '@']).next().unwrap_or_default().to_owned();
                    basis.needs.insert(Thing::Package(base));
                    basis.needs.insert(Thing::Unit(unit.clone()));
                    basis.makes.insert(Thing::Unit(unit));
                }
            }
            "apt" | "package" | "dnf" | "yum" | "apk" | "pacman" => {
                for name in list("name").into_iter().chain(list("pkg")) {
                    let name = name.split(['=', '<', '>', ' ']).next().unwrap_or_default().to_owned();
                    basis.makes.insert(Thing::Package(name));
                }
                basis.needs.extend(path("deb").map(Thing::Path));
                // What the repositories offer: every step that writes there adds to it.
                basis.needs.extend(PACKAGE_LISTS.iter().map(|dir| Thing::Path((*dir).to_owned())));
            }
            "command" | "shell" => {
                basis.makes.extend(path("creates").map(Thing::Path));
                for name in ["creates", "removes", "chdir"] {
                    basis.needs.extend(path(name).map(Thing::Path));
                }
                let line = ["cmd", "_raw_params"].into_iter().find_map(text).unwrap_or_default();
                let words = line.split_whitespace().map(str::to_owned).chain(list("argv"));
                let paths = words.map(|w| w.trim_matches(['\'', '"', ';']).to_owned()).filter(|w| w.starts_with('/'));
                basis.needs.extend(paths.map(|p| Thing::Path(trimmed(&p))));
            }
            "stat" | "slurp" | "find" | "wait_for" | "fetch" => {
                basis.needs.extend(path("path").map(Thing::Path));
                basis.needs.extend(path("src").map(Thing::Path));
                basis.needs.extend(list("paths").into_iter().filter(|p| p.starts_with('/')).map(Thing::Path));
            }
            "getent" => {
                if let Some(key) = text("key") {
                    match text("database").as_deref() {
                        Some("passwd") => drop(basis.needs.insert(Thing::User(key))),
                        Some("group") => drop(basis.needs.insert(Thing::Group(key))),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        let lists: Vec<Thing> = PACKAGE_LISTS
            .iter()
            .filter(|dir| basis.makes.iter().any(|t| matches!(t, Thing::Path(p) if p.starts_with(&format!("{dir}/")))))
            .map(|dir| Thing::Path((*dir).to_owned()))
            .collect();
        basis.needs.extend(lists.iter().cloned());
        basis.makes.extend(lists);
    }
}

/// Arguments that are expressions though no template stands around them.
fn expressions(draft: &Draft) -> Vec<Node> {
    let wanted = match draft.module.map(|m| m.name) {
        Some("assert") => "that",
        Some("debug") => "var",
        _ => return vec![],
    };
    let TaskArgs::Named(pairs) = &draft.task.args else { return vec![] };
    let given = pairs.iter().filter(|(name, _)| name.as_str() == Some(wanted));
    given.flat_map(|(_, node)| node.as_seq().map_or_else(|| vec![node.clone()], <[Node]>::to_vec)).collect()
}

/// Where package tools read what repositories there are, and their keys.
const PACKAGE_LISTS: &[&str] = &["/etc/apt", "/etc/yum.repos.d", "/etc/zypp/repos.d", "/etc/apk"];

/// What the answers a verdict rests on add: the steps that foretold them, and digests of what was observed.
///
/// `clouded`: a step before may have changed the node in ways that are not known. What tools and units say is not compared then.
/// `planning`: only what is needed is kept; an apply does not know which of it the plan kept.
pub(super) fn answer_basis(
    basis: &mut Basis,
    world: &World,
    rested_on: &BTreeSet<Query>,
    keep: bool,
    clouded: &dyn Fn(&Query) -> bool,
    planning: bool,
) {
    for query in rested_on {
        let maker = world.maker_of(query);
        if keep && !clouded(query) && (maker.is_some() || !planning) {
            coming_basis(basis, world, query);
        }
        if let Some(maker) = maker {
            basis.on.insert(maker);
            basis.on.extend(world.makers_below(query));
            continue;
        }
        let Some(answer) = world.observed_answer(query) else { continue };
        if let (Query::Stat { path, .. }, Answer::Stat(Some(stat))) = (query, answer)
            && basis.makes.contains(&Thing::Path(path.clone()))
        {
            basis.mtime = Some(stat.mtime);
        }
        let volatile = matches!(query, Query::Read { .. } | Query::Unit { .. } | Query::Tree { .. });
        if keep
            && !(volatile && clouded(query))
            && let Some(state) = short_answer(query, answer)
        {
            basis.answers.insert(query_words(query), state);
        }
    }
}

/// Most entries of a folder that are compared one by one.
const EACH_OF: usize = 1000;

/// What earlier steps will have made of a file or a folder: when they ran, it must have come about.
fn coming_basis(basis: &mut Basis, world: &World, query: &Query) {
    match (query, world.coming_answer(query)) {
        (Query::Stat { .. }, Some(Answer::Stat(Some(stat)))) if is_vague(&stat) => {}
        (Query::Stat { .. } | Query::Digest { .. } | Query::Content { .. }, Some(answer)) => {
            let state = short_answer(query, &answer);
            basis.answers.extend(state.map(|state| (query_words(query), state)));
        }
        (Query::Tree { path, .. }, Some(Answer::Tree(entries))) if entries.len() <= EACH_OF => {
            let names: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
            basis.answers.insert(
                format!("names of {}", query_words(query)),
                format!("{} entries sha256:{}", names.len(), hex::encode(sha2::Sha256::digest(names.join("\n")))),
            );
            for entry in entries.iter().filter(|entry| !is_vague(&entry.stat)) {
                let path = format!("{}/{}", path.trim_end_matches('/'), entry.path);
                let child = query_words(&Query::Stat { path, follow: false });
                basis.answers.entry(child).or_insert_with(|| stat_words(&entry.stat));
            }
        }
        _ => {}
    }
}

/// A forecast that leaves something open.
fn is_vague(stat: &Stat) -> bool {
    stat.uid == UNKNOWN_ID || stat.gid == UNKNOWN_ID || stat.kind == FileKind::File && stat.size == UNKNOWN_SIZE
}

/// What a change makes beyond what its arguments say.
pub(super) fn change_basis(basis: &mut Basis, change: &Change) {
    for effect in &change.effects {
        match &effect.query {
            Query::Stat { path, .. } | Query::Content { path } => {
                basis.makes.insert(Thing::Path(path.clone()));
                if let Ok(Answer::Content(Some(bytes))) = &effect.answer {
                    basis.mentions.extend(paths_in(bytes));
                }
            }
            Query::Account { name } => drop(basis.makes.insert(Thing::User(name.clone()))),
            Query::Group { name } => drop(basis.makes.insert(Thing::Group(name.clone()))),
            Query::Unit { name, .. } => drop(basis.makes.insert(Thing::Unit(name.clone()))),
            Query::Package { name } => drop(basis.makes.insert(Thing::Package(name.clone()))),
            _ => {}
        }
    }
}

fn trimmed(path: &str) -> String {
    if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path.to_owned() }
}

/// Absolute paths in a text file, at least two levels deep; none in what is no text or very large.
fn paths_in(bytes: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if bytes.len() > 256 * 1024 {
        return found;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return found };
    let part_of_path = |c: char| c.is_alphanumeric() || "/._-@+".contains(c);
    for word in text.split(|c| !part_of_path(c)) {
        if word.starts_with('/') && !word.starts_with("//") && word[1..].contains('/') {
            found.insert(word.trim_end_matches(['.', '/']).to_owned());
        }
    }
    found
}

/// A query in words that stay the same from a plan to its apply.
pub fn query_words(query: &Query) -> String {
    query.words()
}

fn stat_words(s: &Stat) -> String {
    let size = if s.kind == FileKind::File { format!(" {} bytes", s.size) } else { String::new() };
    let target = s.target.as_ref().map(|t| format!(" to {t}")).unwrap_or_default();
    format!("{:?} {:04o} {}:{}{size}{target}", s.kind, s.mode, s.uid, s.gid).to_lowercase()
}

/// An answer as it is compared: what can be shown as it is, contents as digests, and nothing that changes by itself.
fn short_answer(query: &Query, answer: &Answer) -> Option<String> {
    let hash = |bytes: &[u8]| format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)));
    Some(match answer {
        Answer::Stat(None) => "nothing there".to_owned(),
        Answer::Stat(Some(stat)) => stat_words(stat),
        Answer::Digest(digest) => match (query, digest) {
            (_, None) => "nothing there".to_owned(),
            // As a content is shown: one step may ask for either.
            (Query::Digest { algorithm: Algorithm::Sha256, .. }, Some(hex)) => format!("sha256:{hex}"),
            (_, Some(hex)) => hex.clone(),
        },
        Answer::Content(content) => content.as_ref().map_or_else(|| "nothing there".to_owned(), |c| hash(c)),
        Answer::Tree(tree) => {
            let lines: Vec<String> = tree.iter().map(|e| format!("{} {}", e.path, stat_words(&e.stat))).collect();
            format!("{} entries {}", tree.len(), hash(lines.join("\n").as_bytes()))
        }
        Answer::Unit(unit) => format!(
            "{} {} {}{}",
            unit.load,
            unit.active,
            unit.file_state,
            if unit.needs_reload { " (needs daemon-reload)" } else { "" }
        ),
        // With the password field, which must not be shown.
        Answer::Account(account) => account.as_ref().map_or_else(
            || "no such user".to_owned(),
            |a| {
                format!(
                    "uid {} gid {} home {} shell {} {}",
                    a.uid,
                    a.gid,
                    a.home,
                    a.shell,
                    hash(format!("{a:?}").as_bytes())
                )
            },
        ),
        Answer::Group(group) => group
            .as_ref()
            .map_or_else(|| "no such group".to_owned(), |g| format!("gid {} with {}", g.gid, g.members.join(","))),
        Answer::Package(package) => package.installed.clone().unwrap_or_else(|| "not installed".to_owned()),
        Answer::Output(output) => {
            // The environment tells of the connection, not of the node.
            if matches!(query, Query::Read { argv } if argv.first().is_some_and(|a| a == "env")) {
                return None;
            }
            // A file's version is another whenever it is written, as its time is.
            if let Query::Read { argv } = query
                && argv.first().is_some_and(|a| a == "lsattr")
                && argv.iter().any(|a| a.starts_with('-') && !a.starts_with("--") && a.contains('v'))
            {
                let text = String::from_utf8_lossy(&output.stdout);
                let flags = text.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
                return Some(format!("rc {} {}", output.rc, flags.trim()));
            }
            format!("rc {} {}", output.rc, hash(&output.stdout))
        }
        Answer::Facts(_) | Answer::Source(_) => return None,
        Answer::Failed(why) => why.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_a_unit_file() {
        let unit = b"[Service]\nExecStart=/usr/local/bin/containerd --config=/etc/containerd/config.toml\nPath=/etc\n# https://x.org/y\n";
        let found: Vec<String> = paths_in(unit).into_iter().collect();
        assert_eq!(found, ["/etc/containerd/config.toml", "/usr/local/bin/containerd"]);
    }
}
