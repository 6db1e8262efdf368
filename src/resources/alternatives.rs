//! `alternatives`: which of several programs a name means.

use std::sync::Arc;

use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

/// `alternatives`.
pub static TYPE: ResourceType = ResourceType {
    name: "alternatives",
    qualified: &["community.general.alternatives"],
    doc: include_str!("doc/alternatives.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the link group").required(),
        ArgSpec::new("path", Kind::Path, "The alternative"),
        ArgSpec::new("link", Kind::Path, "The link that names it"),
        ArgSpec::new("priority", Kind::Int, "Its priority"),
        ArgSpec::new("state", Kind::Str, "What to make of it")
            .default("selected")
            .choices(&["absent", "auto", "present", "selected"]),
        ArgSpec::new("subcommands", Kind::List, "Links that go with it: mappings of `name`, `path`, `link`")
            .aliases(&["slaves"]),
        ArgSpec::new("family", Kind::Str, "The family of alternatives, where the tool knows them (Red Hat's)"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Alternatives {
    name: String,
    path: Option<String>,
    link: Option<String>,
    priority: Option<i64>,
    /// Link, name and path of each link that goes with it; `None`: those that are there.
    slaves: Option<Vec<[String; 3]>>,
    /// Red Hat's tool only.
    family: Option<String>,
    state: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let mut slaves = args.given("subcommands").then(Vec::new);
    for item in args.items("subcommands")? {
        let field = |name: &str| item.get_attr(name).ok().filter(|v| !v.is_undefined()).map(|v| super::text_of(&v));
        let (Some(name), Some(path), Some(link)) = (field("name"), field("path"), field("link")) else {
            return Err(args.wrong("subcommands", "a list of mappings with `name`, `path` and `link`", &item).into());
        };
        slaves.get_or_insert_default().push([link, name, path]);
    }
    let task = Task::of(setting);
    let path = args.str("path")?.map(|p| task.path(&p));
    let state = args.need("state")?;
    if path.is_none() && state != "auto" {
        return Err(Problem::new("missing-argument", format!("`alternatives` needs `path` with `state: {state}`"))
            .at(args.task_span())
            .into());
    }
    Ok(Arc::new(Alternatives {
        name: args.need("name")?,
        path,
        link: args.str("link")?.map(|p| task.path(&p)),
        priority: args.int("priority")?,
        slaves,
        family: args.str("family")?,
        state,
        task,
    }))
}

/// What `update-alternatives --query` tells.
#[derive(Debug, Default, Clone)]
struct Group {
    link: String,
    auto: bool,
    value: String,
    choices: Vec<(String, i64)>,
    /// Names and links of what goes with the group.
    links: Vec<(String, String)>,
    /// By alternative: names and paths of what goes with it.
    slaves: Vec<(String, String, String)>,
}

impl Group {
    fn parse(text: &str) -> Self {
        let mut group = Self::default();
        for line in text.lines() {
            if let Some(slave) = line.strip_prefix(' ') {
                let (name, to) = slave.split_once(' ').unwrap_or((slave, ""));
                match group.choices.last() {
                    None => group.links.push((name.to_owned(), to.to_owned())),
                    Some((path, _)) => group.slaves.push((path.clone(), name.to_owned(), to.to_owned())),
                }
                continue;
            }
            match line.split_once(": ") {
                Some(("Link", link)) => link.clone_into(&mut group.link),
                Some(("Status", status)) => group.auto = status == "auto",
                Some(("Value", value)) => value.clone_into(&mut group.value),
                Some(("Alternative", path)) => group.choices.push((path.to_owned(), 0)),
                Some(("Priority", n)) => {
                    if let Some(last) = group.choices.last_mut() {
                        last.1 = n.trim().parse().unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
        group
    }

    fn show(&self, name: &str) -> String {
        let status = if self.auto { "auto" } else { "manual" };
        let listed = |slaves: Vec<String>| {
            if slaves.is_empty() { String::new() } else { format!("Slaves:\n{}", slaves.concat()) }
        };
        let choices: String = self
            .choices
            .iter()
            .map(|(p, n)| {
                let own =
                    self.slaves.iter().filter(|(of, ..)| of == p).map(|(_, n, t)| format!(" {n} {t}\n")).collect();
                format!("\nAlternative: {p}\nPriority: {n}\n{}", listed(own))
            })
            .collect();
        let links = listed(self.links.iter().map(|(n, l)| format!(" {n} {l}\n")).collect());
        format!("Name: {name}\nLink: {}\n{links}Status: {status}\nValue: {}\n{choices}", self.link, self.value)
    }

    /// Link, name and path of what goes with an alternative.
    fn going_with(&self, path: &str) -> Vec<[String; 3]> {
        let link = |name: &str| self.links.iter().find(|(n, _)| n == name).map(|(_, l)| l.clone()).unwrap_or_default();
        let own = self.slaves.iter().filter(|(of, ..)| of == path);
        own.map(|(_, name, to)| [link(name), name.clone(), to.clone()]).collect()
    }

    fn best(&self) -> String {
        self.choices.iter().max_by_key(|(_, n)| *n).map(|(p, _)| p.clone()).unwrap_or_default()
    }
}

impl Resource for Alternatives {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["update-alternatives", "--query", &self.name].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        if said.rc == 127 {
            return Err(Stop::Failed("the node has no update-alternatives".to_owned()));
        }
        let before = Group::parse(&said.text());
        let mut after = before.clone();
        let mut edit = Edit::default();
        let mut said_so: Vec<String> = vec![];
        let path = self.path.clone().unwrap_or_default();
        let known = before.choices.iter().find(|(p, _)| *p == path).map(|(_, n)| *n);
        let tool = |words: &[&str]| {
            let mut argv = vec!["update-alternatives"];
            argv.extend(words);
            self.task.exec(argv)
        };
        if matches!(self.state.as_str(), "present" | "selected" | "auto") && !path.is_empty() {
            let priority = self.priority.or(known).unwrap_or(50);
            let current = before.going_with(&path);
            let slaves = self.slaves.clone().unwrap_or_else(|| current.clone());
            let sorted = |mut list: Vec<[String; 3]>| {
                list.sort();
                list
            };
            if known != Some(priority) || sorted(slaves.clone()) != sorted(current) {
                let link = self.link.clone().unwrap_or_else(|| before.link.clone());
                if link.is_empty() {
                    return Ok(kit::failed(
                        "Needed to install the alternative, but unable to do so as we are missing the link",
                    ));
                }
                let number = priority.to_string();
                let mut words = vec!["--install", &link, &self.name, &path, &number];
                for [link, name, path] in &slaves {
                    words.extend(["--slave", link, name, path]);
                }
                // Red Hat's tool groups alternatives by families; Debian's has none.
                if let (Some(family), true) = (&self.family, said.text().contains("Family:")) {
                    words.extend(["--family", family]);
                }
                if world.stat(&path, true)?.is_none() {
                    return Ok(kit::failed(format!("Specified path {path} does not exist")));
                }
                said_so.push(format!("Install alternative '{path}' for '{}'.", self.name));
                edit.actions.push(tool(&words));
                after.link = link;
                after.choices.retain(|(p, _)| *p != path);
                after.choices.push((path.clone(), priority));
                after.slaves.retain(|(of, ..)| *of != path);
                for [link, name, to] in &slaves {
                    after.slaves.push((path.clone(), name.clone(), to.clone()));
                    after.links.retain(|(n, _)| n != name);
                    after.links.push((name.clone(), link.clone()));
                }
                if before.choices.is_empty() {
                    after.auto = true;
                }
                if after.auto {
                    after.value = after.best();
                }
            }
        }
        match self.state.as_str() {
            // What is chosen by its priority only is made the choice for good.
            "selected" if before.value != path || after.value != path => {
                said_so.push(format!("Set alternative '{path}' for '{}'.", self.name));
                edit.actions.push(tool(&["--set", &self.name, &path]));
                after.value.clone_from(&path);
                after.auto = false;
            }
            "auto" if !after.auto => {
                said_so.push(format!("Set alternative to auto for '{}'.", self.name));
                edit.actions.push(tool(&["--auto", &self.name]));
                after.auto = true;
                after.value = after.best();
            }
            "absent" if known.is_some() => {
                said_so.push(format!("Remove alternative '{path}' from '{}'.", self.name));
                edit.actions.push(tool(&["--remove", &self.name, &path]));
                after.choices.retain(|(p, _)| *p != path);
                if after.value == path {
                    after.auto = true;
                    after.value = after.best();
                }
                edit.removed = true;
            }
            _ => {}
        }
        if !edit.is_empty() {
            let (old, new) = (before.show(&self.name), after.show(&self.name));
            edit.diff.push(kit::diff(&self.name, if said.rc == 0 { old } else { String::new() }, new.clone()));
            let output = Output { rc: 0, stdout: new.into_bytes(), stderr: vec![] };
            edit.effect(Query::Read { argv }, Answer::Output(output));
        }
        Ok(edit.verdict(TaskResult::unchanged().with("msg", said_so.join(" "))))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.name, message, output)),
        }
    }
}
