//! What the package managers other than apt share: names, states, command lines, what an upgrade would bring.

use std::sync::Arc;

use crate::node::Done;
use crate::problem::Problem;
use crate::resources::kit::{self, Task};
use crate::resources::{ArgSpec, Args, Change, ChangeKind, Kind, Resource, Setting, TaskResult, Verdict, apt};
use crate::world::{Answer, PackageState, Query, Stop, View};

pub const NAME: ArgSpec = ArgSpec::new("name", Kind::List, "Packages").aliases(&["pkg", "package"]);

pub const STATE: ArgSpec = ArgSpec::new("state", Kind::Str, "What to make of them")
    .choices(&["absent", "installed", "latest", "present", "removed"])
    .default("present");
pub const UPDATE: ArgSpec =
    ArgSpec::new("update_cache", Kind::Bool, "Read the package lists anew first").default("false");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    Latest,
    Absent,
}

struct Packages {
    /// `auto`: by the node's facts.
    manager: String,
    names: Vec<String>,
    state: State,
    written_state: String,
    update: bool,
    options: Vec<String>,
    task: Task,
}

pub fn packages(
    args: &Args,
    setting: &Setting,
    manager: String,
    options: Vec<String>,
) -> Result<Arc<dyn Resource>, Stop> {
    let written_state = args.need("state")?;
    let state = match written_state.as_str() {
        "present" | "installed" => State::Present,
        "latest" => State::Latest,
        "absent" | "removed" => State::Absent,
        other => {
            return Err(Problem::new("invalid-argument", format!("`{other}` is no state of a package"))
                .at(args.span("state"))
                .help("one of: present, latest, absent")
                .into());
        }
    };
    let names: Vec<String> = args.list("name")?.into_iter().filter(|n| !n.is_empty()).collect();
    if let Some(odd) = names.iter().find(|n| n.starts_with('@') || n.contains("://") || n.contains('*')) {
        return Err(Problem::unsupported(format!("`{odd}` (a group, URL or pattern of packages)"))
            .at(args.span("name"))
            .into());
    }
    Ok(Arc::new(Packages {
        manager,
        names,
        state,
        written_state,
        update: args.flag("update_cache")?,
        options,
        task: Task::of(setting),
    }))
}

/// A package manager's command lines.
struct Tool {
    update: &'static [&'static str],
    install: &'static [&'static str],
    upgrade: &'static [&'static str],
    remove: &'static [&'static str],
    /// Asks whether a newer version of one package is there; see [`Tool::has_newer`].
    newer: &'static [&'static str],
}

fn tool(manager: &str) -> Option<Tool> {
    Some(match manager {
        "dnf" | "dnf5" => Tool {
            update: &["dnf", "-y", "makecache"],
            install: &["dnf", "-y", "install"],
            upgrade: &["dnf", "-y", "upgrade"],
            remove: &["dnf", "-y", "remove"],
            newer: &["dnf", "-q", "check-update"],
        },
        "yum" => Tool {
            update: &["yum", "-y", "makecache"],
            install: &["yum", "-y", "install"],
            upgrade: &["yum", "-y", "update"],
            remove: &["yum", "-y", "remove"],
            newer: &["yum", "-q", "check-update"],
        },
        "apk" => Tool {
            update: &["apk", "update"],
            install: &["apk", "add"],
            upgrade: &["apk", "add", "--upgrade"],
            remove: &["apk", "del"],
            newer: &["apk", "version", "-q", "-l", "<"],
        },
        "pacman" => Tool {
            update: &["pacman", "--noconfirm", "-Sy"],
            install: &["pacman", "--noconfirm", "--needed", "-S"],
            upgrade: &["pacman", "--noconfirm", "--needed", "-S"],
            remove: &["pacman", "--noconfirm", "-R"],
            newer: &["pacman", "-Qu"],
        },
        "zypper" => Tool {
            update: &["zypper", "--non-interactive", "refresh"],
            install: &["zypper", "--non-interactive", "install"],
            upgrade: &["zypper", "--non-interactive", "update"],
            remove: &["zypper", "--non-interactive", "remove"],
            newer: &["zypper", "--non-interactive", "list-updates"],
        },
        _ => return None,
    })
}

impl Packages {
    /// The name without the version that goes with it.
    fn bare<'n>(&self, manager: &str, name: &'n str) -> (&'n str, Option<&'n str>) {
        let separator = if matches!(manager, "dnf" | "dnf5" | "yum") { '-' } else { '=' };
        match name.rsplit_once(separator) {
            // `kubelet-1.31.2`: a version begins with a digit.
            Some((bare, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => (bare, Some(version)),
            _ => (name, None),
        }
    }

    fn by_tool(&self, world: &View, manager: &str) -> Result<Verdict, Stop> {
        let Some(tool) = tool(manager) else {
            return Err(Problem::unsupported(format!("the package manager `{manager}`")).into());
        };
        let newer: Vec<String> = tool.newer.iter().map(|s| (*s).to_owned()).collect();
        let latest = self.state == State::Latest;
        for name in &self.names {
            let bare = self.bare(manager, name).0.to_owned();
            world.want([Query::Package { name: name.clone() }, Query::Package { name: bare }]);
        }
        if latest {
            world.want([Query::Read { argv: newer.clone() }]);
        }
        let mut todo: Vec<&String> = vec![];
        let mut lines = vec![];
        let mut effects = vec![];
        for name in &self.names {
            let (bare, version) = self.bare(manager, name);
            let whole = world.package(name)?;
            let (known, now, version) = if whole.installed.is_some() {
                (name.as_str(), whole, None)
            } else {
                (bare, world.package(bare)?, version)
            };
            let (todo_here, after) = match self.state {
                State::Absent => (now.installed.is_some(), None),
                _ => {
                    let fits = match (&now.installed, version) {
                        (None, _) => false,
                        (Some(_), None) => !latest || !has_newer(&world.read(newer.clone())?.text(), known),
                        (Some(is), Some(v)) => is == v || is.starts_with(&format!("{v}-")),
                    };
                    (!fits, Some(version.unwrap_or("the newest").to_owned()))
                }
            };
            if !todo_here {
                continue;
            }
            todo.push(name);
            let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "not installed".to_owned());
            lines.push(format!("{known}: {} -> {}\n", show(&now.installed), show(&after)));
            let state = PackageState { installed: after.clone(), candidate: after, ..PackageState::default() };
            effects.push(kit::effect(Query::Package { name: known.to_owned() }, Answer::Package(state.clone())));
        }
        if latest && !todo.is_empty() {
            let rest = if world.knows(&Query::Read { argv: newer.clone() }) {
                world.read(newer.clone())?.text()
            } else {
                String::new()
            };
            let rest: String =
                rest.lines().filter(|l| !todo.iter().any(|n| mentions(l, n))).map(|l| format!("{l}\n")).collect();
            let output = crate::world::Output { rc: 0, stdout: rest.into_bytes(), stderr: vec![] };
            effects.push(kit::effect(Query::Read { argv: newer }, Answer::Output(output)));
        }
        let result = TaskResult { changed: !todo.is_empty(), ..TaskResult::default() };
        let only_update = self.names.is_empty() && self.update;
        if todo.is_empty() && !only_update {
            return Ok(Verdict::Unchanged(result.with("msg", "Nothing to do").with("rc", 0)));
        }
        let mut actions = vec![];
        if self.update {
            actions.push(self.task.exec(tool.update.iter().copied()));
        }
        if !todo.is_empty() {
            let words = match self.state {
                State::Present => tool.install,
                State::Latest => tool.install,
                State::Absent => tool.remove,
            };
            // Upgrading and installing are two commands in some tools; installing names of installed packages upgrades them in the rest.
            let words = if latest && matches!(manager, "apk") { tool.upgrade } else { words };
            let mut argv: Vec<String> = words.iter().map(|s| (*s).to_owned()).collect();
            if self.state != State::Absent {
                argv.extend(self.options.iter().cloned());
            }
            argv.extend(todo.into_iter().cloned());
            actions.push(self.task.exec(argv));
        }
        Ok(Verdict::Change(Change {
            diff: if lines.is_empty() { vec![] } else { vec![kit::diff("packages", "", lines.concat())] },
            opaque: true,
            result: TaskResult { changed: true, ..result }.with("rc", 0),
            ..kit::change(
                match (self.state, only_update) {
                    (_, true) => ChangeKind::Run,
                    (State::Absent, _) => ChangeKind::Remove,
                    _ => ChangeKind::Change,
                },
                actions,
                effects,
            )
        }))
    }
}

fn mentions(line: &str, name: &str) -> bool {
    line.split(|c: char| c.is_whitespace() || c == '|').any(|word| {
        word == name
            || word.strip_prefix(name).is_some_and(|rest| {
                // `name.arch` of dnf, `name-1.2-r0` of apk.
                rest.starts_with('.')
                    || rest.strip_prefix('-').is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
            })
    })
}

fn has_newer(list: &str, name: &str) -> bool {
    list.lines().any(|line| mentions(line, name))
}

impl Resource for Packages {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let manager = match self.manager.as_str() {
            "auto" | "dnf" if self.manager == "auto" => self.task.fact(world, "pkg_mgr")?,
            "dnf" => match self.task.fact(world, "pkg_mgr")?.as_str() {
                yum @ "yum" => yum.to_owned(),
                _ => "dnf".to_owned(),
            },
            other => other.to_owned(),
        };
        match manager.as_str() {
            "apt" => {
                apt::plain(self.names.clone(), &self.written_state, self.update, self.task.clone()).reconcile(world)
            }
            "" | "unknown" => {
                Err(Stop::Failed("Could not find a matching action for the \"package\" module.".to_owned()))
            }
            other => self.by_tool(world, other),
        }
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        apt::conclude(change, done, &self.manager)
    }
}
