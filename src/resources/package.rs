//! `package`, `dnf`, `yum`, `apk`, `pacman`, `zypper`: packages by the node's own tool. apt has its own file.

use std::sync::Arc;

use super::kit::{self, Task};
use super::{ANY, ArgSpec, Args, Change, ChangeKind, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, apt};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Answer, PackageState, Query, Stop, View};

const NAME: ArgSpec = ArgSpec::new("name", Kind::List, "Packages").aliases(&["pkg", "package"]);
const STATE: ArgSpec = ArgSpec::new("state", Kind::Str, "What to make of them")
    .choices(&["absent", "installed", "latest", "present", "removed"])
    .default("present");
const UPDATE: ArgSpec = ArgSpec::new("update_cache", Kind::Bool, "Read the package lists anew first").default("false");

pub static TYPE: ResourceType = ResourceType {
    name: "package",
    qualified: &["ansible.builtin.package"],
    doc: include_str!("doc/package.md"),
    args: &[
        NAME.required(),
        ArgSpec::new("state", Kind::Str, "What to make of them").required(),
        ArgSpec::new("use", Kind::Str, "Which package manager").default("auto"),
        UPDATE,
        ArgSpec::new(ANY, Kind::Raw, "Arguments of the package manager's own module"),
    ],
    free_form: None,
    build: |args, setting| {
        let manager = args.need("use")?.rsplit('.').next().unwrap_or("auto").to_owned();
        if let Some((name, _, span)) = args.extra().next() {
            return Err(Problem::unsupported(format!("`{name}` of `package`"))
                .at(span)
                .help("use the package manager's own module")
                .into());
        }
        packages(&args, setting, manager, vec![])
    },
};

/// `dnf` and `yum`.
pub static DNF: ResourceType = ResourceType {
    name: "dnf",
    qualified: &["ansible.builtin.dnf", "ansible.builtin.yum", "ansible.builtin.dnf5"],
    doc: include_str!("doc/dnf.md"),
    args: &[
        NAME,
        STATE,
        ArgSpec::new("update_cache", Kind::Bool, "Read the metadata anew first")
            .aliases(&["expire-cache"])
            .default("false"),
        ArgSpec::new("enablerepo", Kind::List, "Repositories to enable for this run"),
        ArgSpec::new("disablerepo", Kind::List, "Repositories to disable for this run"),
        ArgSpec::new("exclude", Kind::List, "Packages to leave out"),
        ArgSpec::new("disable_gpg_check", Kind::Bool, "Allow unsigned packages").default("false"),
        ArgSpec::new("install_weak_deps", Kind::Bool, "Install weak dependencies too").default("true"),
        ArgSpec::new("allow_downgrade", Kind::Bool, "Allow an older version").default("false"),
        ArgSpec::new("nobest", Kind::Bool, "Take another version if the newest cannot be had").default("false"),
        ArgSpec::new("skip_broken", Kind::Bool, "Leave out what has broken dependencies").default("false"),
        ArgSpec::new("autoremove", Kind::Bool, "Remove what is no longer needed").default("false"),
        ArgSpec::new("lock_timeout", Kind::Int, "Accepted, without effect").default("30"),
        ArgSpec::new("validate_certs", Kind::Bool, "Accepted, without effect").default("true"),
        ArgSpec::new("update_only", Kind::Bool, "Leave what is not installed").default("false"),
    ],
    free_form: None,
    build: |args, setting| {
        let mut options = vec![];
        for (name, option) in
            [("enablerepo", "--enablerepo"), ("disablerepo", "--disablerepo"), ("exclude", "--exclude")]
        {
            options.extend(args.list(name)?.iter().map(|value| format!("{option}={value}")));
        }
        for (name, option) in [
            ("disable_gpg_check", "--nogpgcheck"),
            ("allow_downgrade", "--allowerasing"),
            ("nobest", "--nobest"),
            ("skip_broken", "--skip-broken"),
        ] {
            if args.flag(name)? {
                options.push(option.to_owned());
            }
        }
        if !args.flag("install_weak_deps")? {
            options.push("--setopt=install_weak_deps=False".to_owned());
        }
        if args.flag("autoremove")? || args.flag("update_only")? {
            return Err(Problem::unsupported("`autoremove` and `update_only` of `dnf`").at(args.task_span()).into());
        }
        packages(&args, setting, "dnf".to_owned(), options)
    },
};

pub static APK: ResourceType = ResourceType {
    name: "apk",
    qualified: &["community.general.apk"],
    doc: include_str!("doc/apk.md"),
    args: &[
        NAME,
        STATE,
        UPDATE,
        ArgSpec::new("no_cache", Kind::Bool, "Keep no package lists").default("false"),
        ArgSpec::new("repository", Kind::List, "Repositories instead of the configured ones"),
        ArgSpec::new("available", Kind::Bool, "Accepted for upgrades").default("false"),
        ArgSpec::new("upgrade", Kind::Bool, "Upgrade all packages").default("false"),
    ],
    free_form: None,
    build: |args, setting| {
        let mut options = vec![];
        if args.flag("no_cache")? {
            options.push("--no-cache".to_owned());
        }
        for repository in args.list("repository")? {
            options.extend(["--repository".to_owned(), repository]);
        }
        if args.flag("upgrade")? {
            return Err(Problem::unsupported("`upgrade` of `apk`").at(args.span("upgrade")).into());
        }
        packages(&args, setting, "apk".to_owned(), options)
    },
};

pub static PACMAN: ResourceType = ResourceType {
    name: "pacman",
    qualified: &["community.general.pacman"],
    doc: include_str!("doc/pacman.md"),
    args: &[
        NAME,
        STATE,
        UPDATE,
        ArgSpec::new("extra_args", Kind::Str, "Further options for pacman").default(""),
        ArgSpec::new("force", Kind::Bool, "Not supported yet").default("false"),
        ArgSpec::new("upgrade", Kind::Bool, "Not supported yet").default("false"),
    ],
    free_form: None,
    build: |args, setting| {
        if args.flag("force")? || args.flag("upgrade")? {
            return Err(Problem::unsupported("`force` and `upgrade` of `pacman`").at(args.task_span()).into());
        }
        let options = args.str("extra_args")?.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        packages(&args, setting, "pacman".to_owned(), options)
    },
};

pub static ZYPPER: ResourceType = ResourceType {
    name: "zypper",
    qualified: &["community.general.zypper"],
    doc: include_str!("doc/zypper.md"),
    args: &[
        NAME,
        STATE,
        ArgSpec::new("update_cache", Kind::Bool, "Read the metadata anew first").aliases(&["refresh"]).default("false"),
        ArgSpec::new("disable_gpg_check", Kind::Bool, "Allow unsigned packages").default("false"),
        ArgSpec::new("disable_recommends", Kind::Bool, "Leave recommended packages out").default("true"),
    ],
    free_form: None,
    build: |args, setting| {
        let mut options = vec![];
        if args.flag("disable_recommends")? {
            options.push("--no-recommends".to_owned());
        }
        if args.flag("disable_gpg_check")? {
            options.push("--allow-unsigned-rpm".to_owned());
        }
        packages(&args, setting, "zypper".to_owned(), options)
    },
};

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

fn packages(args: &Args, setting: &Setting, manager: String, options: Vec<String>) -> Result<Arc<dyn Resource>, Stop> {
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
