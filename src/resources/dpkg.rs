//! `dpkg_selections`, `debconf` and `package_facts`: what the package databases know.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, ExecSpec};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

/// `dpkg_selections`.
pub static SELECTIONS: ResourceType = ResourceType {
    name: "dpkg_selections",
    qualified: &["ansible.builtin.dpkg_selections"],
    doc: include_str!("doc/dpkg_selections.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The package").required(),
        ArgSpec::new("selection", Kind::Str, "What dpkg is to do with it")
            .choices(&["deinstall", "hold", "install", "purge"])
            .required(),
    ],
    free_form: None,
    build: |args, setting| {
        Ok(Arc::new(Selection {
            name: args.need("name")?,
            selection: args.need("selection")?,
            task: Task::of(setting),
        }))
    },
};

/// `debconf`.
pub static DEBCONF: ResourceType = ResourceType {
    name: "debconf",
    qualified: &["ansible.builtin.debconf"],
    doc: include_str!("doc/debconf.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The package").aliases(&["pkg"]).required(),
        ArgSpec::new("question", Kind::Str, "The question").aliases(&["selection", "setting"]),
        ArgSpec::new("vtype", Kind::Str, "Its type").choices(&[
            "boolean",
            "error",
            "multiselect",
            "note",
            "password",
            "seen",
            "select",
            "string",
            "text",
            "title",
        ]),
        ArgSpec::new("value", Kind::Raw, "The answer").aliases(&["answer"]),
        ArgSpec::new("unseen", Kind::Bool, "Leave it to be asked").default("false"),
    ],
    free_form: None,
    build: build_debconf,
};

/// `package_facts`.
pub static FACTS: ResourceType = ResourceType {
    name: "package_facts",
    qualified: &["ansible.builtin.package_facts"],
    doc: include_str!("doc/package_facts.md"),
    args: &[
        ArgSpec::new("manager", Kind::List, "Which databases to read").default("auto"),
        ArgSpec::new("strategy", Kind::Str, "Accepted, without effect").default("first").choices(&["first", "all"]),
    ],
    free_form: None,
    build: |args, _| {
        args.list("manager")?;
        Ok(Arc::new(Facts))
    },
};

/// Runs a program with a text on its standard input.
fn feed(task: &Task, argv: &[&str], input: String) -> Action {
    ExecSpec { env: task.environment.clone(), stdin: Some(input.into_bytes()), ..ExecSpec::argv(argv.iter().copied()) }
        .into_action()
}

fn output(text: String) -> Answer {
    Answer::Output(Output { rc: 0, stdout: text.into_bytes(), stderr: vec![] })
}

struct Selection {
    name: String,
    selection: String,
    task: Task,
}

impl Resource for Selection {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["dpkg", "--get-selections", &self.name].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        let text = said.text();
        let before = text.lines().find_map(|l| l.split_whitespace().nth(1)).unwrap_or("not present").to_owned();
        if before == "not present" {
            // dpkg takes no selection for a package it has never heard of.
            return Ok(kit::failed(format!("Package {} does not exist or is not installed on the node", self.name)));
        }
        let result = TaskResult::unchanged().with("before", before.as_str()).with("after", self.selection.as_str());
        let mut edit = Edit::default();
        if before != self.selection {
            edit.actions.push(feed(
                &self.task,
                &["dpkg", "--set-selections"],
                format!("{} {}\n", self.name, self.selection),
            ));
            edit.effect(Query::Read { argv }, output(format!("{}\t{}\n", self.name, self.selection)));
            edit.diff.push(kit::diff(&self.name, format!("{before}\n"), format!("{}\n", self.selection)));
        }
        Ok(edit.verdict(result))
    }
}

struct Debconf {
    name: String,
    set: Option<(String, String, String)>,
    unseen: bool,
    task: Task,
}

fn build_debconf(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let set = match args.str("question")? {
        None => None,
        Some(question) => {
            let (Some(kind), Some(value)) = (args.str("vtype")?, args.raw("value")) else {
                return Err(Problem::new(
                    "missing-argument",
                    "when supplying a question you must supply a valid vtype and value",
                )
                .at(args.task_span())
                .into());
            };
            let value = match value.kind() {
                minijinja::value::ValueKind::Seq => args.list("value")?.join(", "),
                _ => super::text_of(value),
            };
            // A boolean's answers are lower case.
            let value = if kind == "boolean" { value.to_lowercase() } else { value };
            Some((question, kind, value))
        }
    };
    Ok(Arc::new(Debconf { name: args.need("name")?, set, unseen: args.flag("unseen")?, task: Task::of(setting) }))
}

/// The answers `debconf-show` lists.
fn answers(text: &str) -> IndexMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (question, value) = line.trim_start_matches(['*', ' ']).split_once(':')?;
            Some((question.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

impl Resource for Debconf {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["debconf-show", self.name.as_str()].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        if said.rc != 0 {
            return Err(Stop::Failed(format!("debconf-show failed: {}", said.error_text().trim())));
        }
        let before = answers(&said.text());
        let shown =
            |map: &IndexMap<String, String>| kit::map(map.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))));
        let Some((question, kind, value)) = &self.set else {
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("msg", "").with("current", shown(&before))));
        };
        let is = before.get(question).map(String::as_str);
        // Passwords are shown masked: whether they differ cannot be told.
        let same = match (kind.as_str(), is) {
            ("password", Some(mask)) => mask == "(password omitted)",
            (_, Some(is)) => is == value,
            (_, None) => false,
        };
        if same {
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("msg", "").with("current", shown(&before))));
        }
        let mut after = before.clone();
        let secret = kind == "password";
        after.insert(question.clone(), if secret { "(password omitted)".to_owned() } else { value.clone() });
        let mut tool = vec!["debconf-set-selections"];
        if self.unseen {
            tool.push("-u");
        }
        let mut edit = Edit::default();
        edit.actions.push(feed(&self.task, &tool, format!("{} {question} {kind} {value}\n", self.name)));
        let text = after.iter().map(|(k, v)| format!("* {k}: {v}\n")).collect();
        edit.effect(Query::Read { argv }, output(text));
        let side = |v: Option<&String>| v.map_or(String::new(), |v| format!("{question}: {v}\n"));
        edit.diff.push(kit::diff(&self.name, side(before.get(question)), side(after.get(question))));
        let one =
            |v: Option<&String>| kit::map([(question.clone(), v.map_or(Value::from(""), |v| Value::from(v.as_str())))]);
        let result = TaskResult::unchanged()
            .with("msg", "")
            .with("current", one(after.get(question)))
            .with("previous", one(before.get(question)));
        Ok(edit.verdict(result))
    }
}

struct Facts;

const DPKG: &[&str] =
    &["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${Section}\t${db:Status-Status}\n"];
const RPM: &[&str] = &["rpm", "-qa", "--qf", "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{EPOCH}\t%{ARCH}\n"];
const APK: &[&str] = &["apk", "info", "-v"];
const PACMAN: &[&str] = &["pacman", "-Q"];

impl Resource for Facts {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let all = [DPKG, RPM, APK, PACMAN];
        world.want(all.map(|argv| Query::Read { argv: argv.iter().map(|s| (*s).to_owned()).collect() }));
        let mut packages: IndexMap<String, Vec<Value>> = IndexMap::new();
        let mut found = false;
        for (i, argv) in all.iter().enumerate() {
            let said = world.read(argv.iter().copied())?;
            if said.rc != 0 || found {
                continue;
            }
            found = true;
            for line in said.text().lines() {
                if let Some((name, entry)) = entry(i, line) {
                    packages.entry(name).or_default().push(entry);
                }
            }
        }
        if !found {
            return Ok(kit::failed("Could not detect a supported package manager on the node"));
        }
        let packages = kit::map(packages.into_iter().map(|(name, list)| (name, Value::from(list))));
        let facts = kit::map([("packages".to_owned(), packages)]);
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_facts", facts)))
    }
}

fn entry(manager: usize, line: &str) -> Option<(String, Value)> {
    let text = |key: &str, value: &str| (key.to_owned(), Value::from(value));
    let fields: Vec<&str> = line.split('\t').collect();
    let (name, map) = match (manager, fields.as_slice()) {
        (0, [name, version, arch, section, "installed"]) => (
            *name,
            vec![
                text("name", name),
                text("version", version),
                text("arch", arch),
                text("category", section),
                text("origin", ""),
                text("source", "apt"),
            ],
        ),
        (1, [name, version, release, epoch, arch]) => {
            let epoch = epoch.parse::<i64>().map_or(Value::from(()), Value::from);
            let entries = vec![
                text("arch", arch),
                ("epoch".to_owned(), epoch),
                text("name", name),
                text("release", release),
                text("source", "rpm"),
                text("version", version),
            ];
            (*name, entries)
        }
        (2, _) => {
            let (rest, release) = line.trim().rsplit_once('-')?;
            let (name, version) = rest.rsplit_once('-')?;
            let full = format!("{version}-{release}");
            (name, vec![text("name", name), text("version", &full), text("source", "apk")])
        }
        (3, _) => {
            let (name, version) = line.split_once(' ')?;
            (name, vec![text("name", name), text("version", version), text("source", "pacman")])
        }
        _ => return None,
    };
    Some((name.to_owned(), kit::map(map)))
}
