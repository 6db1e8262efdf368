//! What the package managers other than apt share: names, states, command lines, what an upgrade would bring.
//!
//! A plain name is judged by the node's package database. Groups, files, URLs, patterns, and orders such as "upgrade all" are judged by the
//! manager's own dry run.

use std::sync::Arc;

use crate::node::{Action, Done, ExecSpec};
use crate::problem::Problem;
use crate::resources::common::tools::{query, said};
use crate::resources::kit::{self, Task};
use crate::resources::{ArgSpec, Args, Change, ChangeKind, Kind, Resource, Setting, TaskResult, Verdict, apt};
use crate::world::{Answer, Output, PackageState, Query, Stop, View};

pub const NAME: ArgSpec = ArgSpec::new("name", Kind::List, "Packages").aliases(&["pkg", "package"]);
pub const STATE: ArgSpec = ArgSpec::new("state", Kind::Str, "What to make of them")
    .choices(&["absent", "installed", "latest", "present", "removed"])
    .default("present");
pub const UPDATE: ArgSpec =
    ArgSpec::new("update_cache", Kind::Bool, "Read the package lists anew first").default("false");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Present,
    Latest,
    Absent,
}

/// What a task asks of a package manager.
pub struct Packages {
    /// `auto`: by the node's facts.
    pub manager: String,
    /// Another program of that manager.
    pub program: Option<String>,
    pub names: Vec<String>,
    pub state: State,
    pub written_state: String,
    pub update: bool,
    /// Before the verb.
    pub globals: Vec<String>,
    /// For installing and upgrading.
    pub options: Vec<String>,
    pub remove_options: Vec<String>,
    pub update_options: Vec<String>,
    /// Upgrade everything, with these words behind the program.
    pub all: Option<Vec<String>>,
    /// Orders of their own (`autoremove`), judged by a dry run.
    pub orders: Vec<Vec<String>>,
    /// Upgrade what is there, and install nothing new.
    pub update_only: bool,
    pub allow_downgrade: bool,
    /// zypper's exit code for a failed script of a package counts as success.
    pub skip_post_errors: bool,
    /// pacman: all packages named are marked as wanted for themselves (or for others), those that are there already too.
    pub mark: Option<bool>,
    /// All names are judged by a dry run.
    by_dry_run: bool,
    pub task: Task,
}

impl Packages {
    /// The arguments all managers share.
    pub fn of(args: &Args, setting: &Setting, manager: &str) -> Result<Self, Problem> {
        let written_state = args.str("state")?.unwrap_or_else(|| "present".to_owned());
        let state = match written_state.as_str() {
            "present" | "installed" => State::Present,
            "latest" | "dist-upgrade" => State::Latest,
            "absent" | "removed" => State::Absent,
            other => {
                return Err(Problem::new("invalid-argument", format!("`{other}` is no state of a package"))
                    .at(args.span("state"))
                    .help("one of: present, latest, absent"));
            }
        };
        Ok(Self {
            manager: manager.to_owned(),
            program: None,
            names: args.list("name")?.into_iter().filter(|n| !n.is_empty()).collect(),
            state,
            written_state,
            update: args.flag("update_cache")?,
            globals: vec![],
            options: vec![],
            remove_options: vec![],
            update_options: vec![],
            all: None,
            orders: vec![],
            update_only: false,
            allow_downgrade: false,
            skip_post_errors: false,
            mark: None,
            by_dry_run: false,
            task: Task::of(setting),
        })
    }

    /// The names are no packages: only the manager knows whether they are there.
    pub fn orders_by_dry_run(&mut self) {
        self.by_dry_run = true;
    }

    /// A command line that must succeed.
    fn exec(&self, argv: Vec<String>) -> Action {
        let mut ok_codes = vec![0];
        if self.manager == "zypper" {
            // Done, and: a reboot or restart is needed; a script failed.
            ok_codes.extend([102, 103]);
            ok_codes.extend(self.skip_post_errors.then_some(107));
        }
        ExecSpec { env: self.task.environment.clone(), ok_codes, ..ExecSpec::argv(argv) }.into_action()
    }

    pub fn boxed(self) -> Arc<dyn Resource> {
        Arc::new(self)
    }
}

/// A package manager's command lines; the program itself is put before each.
struct Tool {
    yes: &'static [&'static str],
    update: &'static [&'static str],
    install: &'static [&'static str],
    upgrade: &'static [&'static str],
    /// For files and URLs.
    local: &'static [&'static str],
    remove: &'static [&'static str],
    /// Makes a dry run of a command line: in place of `yes`, and behind the verb.
    dry: (&'static [&'static str], &'static [&'static str]),
    /// Lists what has a newer version; see [`has_newer`].
    newer: &'static [&'static str],
}

fn tool(manager: &str) -> Option<Tool> {
    Some(match manager {
        "dnf" | "dnf5" | "dnf4" | "yum" | "yum4" => Tool {
            yes: &["-y"],
            update: &["makecache"],
            install: &["install"],
            upgrade: &["install"],
            local: &["install"],
            remove: &["remove"],
            dry: (&["--assumeno"], &[]),
            newer: &["-q", "check-update"],
        },
        "apk" => Tool {
            yes: &[],
            update: &["update"],
            install: &["add"],
            upgrade: &["add", "--upgrade"],
            local: &["add"],
            remove: &["del"],
            dry: (&["--simulate"], &[]),
            newer: &["version", "-q", "-l", "<"],
        },
        "pacman" => Tool {
            yes: &["--noconfirm"],
            update: &["-Sy"],
            install: &["--needed", "-S"],
            upgrade: &["--needed", "-S"],
            local: &["-U"],
            remove: &["-R"],
            dry: (&["--noconfirm"], &["--print"]),
            newer: &["-Qu"],
        },
        "zypper" => Tool {
            yes: &["--non-interactive"],
            update: &["refresh"],
            install: &["install"],
            upgrade: &["install"],
            local: &["install"],
            remove: &["remove"],
            dry: (&["--non-interactive"], &["--dry-run"]),
            newer: &["--non-interactive", "list-updates"],
        },
        _ => return None,
    })
}

/// Whether only the manager itself knows what a name stands for.
fn is_odd(name: &str) -> bool {
    name.starts_with(['@', '/', '.', '~'])
        || name.contains("://")
        || name.contains(['*', '?', '<', '>', '(', ' '])
        || [".rpm", ".apk", ".pkg.tar.zst", ".pkg.tar.xz"].iter().any(|e| name.ends_with(e))
}

/// A file or URL, which some managers install by another verb.
fn is_file(name: &str) -> bool {
    name.contains("://") || name.starts_with(['/', '.', '~'])
}

/// Whether a dry run says that something would be done. `Err`: it failed.
fn would_do(manager: &str, output: &Output) -> Result<bool, String> {
    let text = format!("{}\n{}", output.text(), output.error_text());
    let failed = || Err(text.trim().to_owned());
    match manager {
        "apk" if output.rc != 0 => failed(),
        "apk" => Ok(text.lines().any(|l| l.starts_with("(1/"))),
        "pacman" if output.rc != 0 => failed(),
        "pacman" => Ok(!output.text().trim().is_empty()),
        "zypper" if text.contains("Nothing to do") => Ok(false),
        // 0: done; 100 to 106 tell of reboots, updates and names not found.
        "zypper" if output.rc == 0 || (100..104).contains(&output.rc) => Ok(true),
        "zypper" => failed(),
        _ if text.contains("Transaction Summary") => Ok(true),
        _ if output.rc == 0 || text.contains("Nothing to do") => Ok(false),
        _ => failed(),
    }
}

impl Packages {
    /// The name without the version that goes with it.
    fn bare<'n>(manager: &str, name: &'n str) -> (&'n str, Option<&'n str>) {
        let separator = if tool(manager).is_some_and(|t| t.dry.0 == ["--assumeno"]) { '-' } else { '=' };
        let versioned = |(bare, version): (&'n str, &'n str)| {
            // `kubelet-1.31.2`: a version begins with a digit.
            version.starts_with(|c: char| c.is_ascii_digit()).then_some((bare, version))
        };
        if let Some((bare, version)) = name.rsplit_once(separator).and_then(versioned) {
            // `kubelet-1.31.2-150500.1`: release and version.
            return match bare.rsplit_once(separator).and_then(versioned).filter(|_| separator == '-') {
                Some((bare, _)) => (bare, Some(&name[bare.len() + 1..])),
                None => (bare, Some(version)),
            };
        }
        (name, None)
    }

    fn argv(&self, program: &str, yes: &[&str], verb: &[&str], behind: &[&str], rest: &[String]) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let mut argv = vec![program.to_owned()];
        argv.extend(self.globals.iter().cloned());
        argv.extend(owned(yes));
        argv.extend(owned(verb));
        argv.extend(owned(behind));
        argv.extend(rest.iter().cloned());
        argv
    }

    fn by_tool(&self, world: &View, manager: &str) -> Result<Verdict, Stop> {
        let Some(tool) = tool(manager) else {
            return Err(Problem::unsupported(format!("the package manager `{manager}`")).into());
        };
        let program = self.program.as_deref().unwrap_or(match manager {
            "yum4" => "yum",
            "dnf4" => "dnf-3",
            other => other,
        });
        let newer = self.argv(program, &[], tool.newer, &[], &[]);
        let latest = self.state == State::Latest;
        let (odd, plain): (Vec<&String>, Vec<&String>) = self.names.iter().partition(|n| self.by_dry_run || is_odd(n));
        for name in &plain {
            let bare = Self::bare(manager, name).0.to_owned();
            world.want([Query::Package { name: (*name).clone() }, Query::Package { name: bare }]);
        }
        if latest && !plain.is_empty() {
            world.want([query(&newer)]);
        }
        let explicit = ["-Q", "-q", "-e"].map(str::to_owned);
        let explicit = self.argv(program, &[], &[], &[], &explicit);
        if self.mark.is_some() {
            world.want([query(&explicit)]);
        }
        let mut actions = vec![];
        let mut lines = vec![];
        let mut effects = vec![];
        if self.update {
            let update: Vec<String> = self.update_options.clone();
            actions.push(self.exec(self.argv(program, tool.yes, tool.update, &[], &update)));
        }
        let before = actions.len();

        // What only a dry run can judge.
        let mut orders: Vec<(Vec<String>, String, bool)> = vec![];
        let (verb, options) = match self.state {
            State::Absent => (tool.remove, &self.remove_options),
            State::Latest => (tool.upgrade, &self.options),
            State::Present => (tool.install, &self.options),
        };
        for name in &odd {
            let verb = if is_file(name) && self.state != State::Absent { tool.local } else { verb };
            let words = verb.iter().map(|w| (*w).to_owned()).chain(options.iter().cloned()).chain([(*name).clone()]);
            orders.push((words.collect(), (*name).clone(), self.state == State::Absent));
        }
        if let Some(words) = &self.all {
            let words = words.iter().chain(&self.options).cloned().collect();
            orders.push((words, "everything".to_owned(), false));
        }
        orders.extend(self.orders.iter().map(|words| (words.clone(), words.join(" "), false)));
        let dry = |words: &[String]| {
            let mut dry = self.argv(program, tool.dry.0, &[], &[], words);
            // Behind the verb, which is the first word that is no option.
            let from = 1 + self.globals.len() + tool.dry.0.len();
            let verb = dry[from..].iter().position(|w| !w.starts_with("--")).map_or(from, |i| from + i + 1);
            dry.splice(verb..verb, tool.dry.1.iter().map(|w| (*w).to_owned()));
            dry
        };
        world.want(orders.iter().map(|(words, ..)| query(&dry(words))));
        for (words, label, removing) in &orders {
            let probe = dry(words);
            let does = match would_do(manager, &world.read(probe.clone())?) {
                Ok(does) => does,
                // Removing what is not there.
                Err(_) if *removing => false,
                // The lists are read anew by this very task: it may be found then.
                Err(_) if self.update => true,
                Err(why) => {
                    return Ok(Verdict::Failed(
                        TaskResult::unchanged()
                            .with("msg", why)
                            .with("failures", minijinja::Value::from(vec![label.clone()])),
                    ));
                }
            };
            if does {
                actions.push(self.exec(self.argv(program, tool.yes, &[], &[], words)));
                lines.push(format!("{label}\n"));
                let done = if manager == "pacman" { "" } else { "Nothing to do.\n" };
                effects.push(kit::effect(query(&probe), said(0, done.to_owned())));
            }
        }

        // Names the package database knows.
        let mut todo: Vec<&String> = vec![];
        let mut marks: Vec<String> = vec![];
        for name in plain {
            let (bare, version) = Self::bare(manager, name);
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
                        (None, _) => self.update_only,
                        (Some(_), None) => !latest || !has_newer(&world.read(newer.clone())?.text(), known),
                        (Some(is), Some(v)) => {
                            is == v
                                || is.starts_with(&format!("{v}-"))
                                || (!self.allow_downgrade && apt::compare(is, v).is_gt())
                        }
                    };
                    (!fits, Some(version.unwrap_or("the newest").to_owned()))
                }
            };
            if !todo_here {
                if let Some(wanted) = self.mark
                    && world.read(explicit.clone())?.text().lines().any(|l| l == known) != wanted
                {
                    marks.push(known.to_owned());
                    lines.push(format!("{known}: {}\n", if wanted { "explicit" } else { "dependency" }));
                }
                continue;
            }
            todo.push(name);
            let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "not installed".to_owned());
            lines.push(format!("{known}: {} -> {}\n", show(&now.installed), show(&after)));
            let state = PackageState { installed: after.clone(), candidate: after, ..PackageState::default() };
            effects.push(kit::effect(Query::Package { name: known.to_owned() }, Answer::Package(state.clone())));
        }
        if latest && !todo.is_empty() {
            let list = if world.knows(&query(&newer)) { world.read(newer.clone())?.text() } else { String::new() };
            let rest: String =
                list.lines().filter(|l| !todo.iter().any(|n| mentions(l, n))).map(|l| format!("{l}\n")).collect();
            effects.push(kit::effect(query(&newer), said(0, rest)));
        }
        if !todo.is_empty() {
            let rest: Vec<String> = options.iter().cloned().chain(todo.into_iter().cloned()).collect();
            actions.push(self.exec(self.argv(program, tool.yes, verb, &[], &rest)));
        }
        if !marks.is_empty() {
            let flag = if self.mark == Some(true) { "--asexplicit" } else { "--asdeps" };
            let list = world.read(explicit.clone())?.text();
            let mut list: Vec<&str> = list.lines().filter(|l| !marks.iter().any(|m| m == l)).collect();
            if self.mark == Some(true) {
                list.extend(marks.iter().map(String::as_str));
            }
            let list: String = list.iter().map(|l| format!("{l}\n")).collect();
            effects.push(kit::effect(query(&explicit), said(0, list)));
            actions.push(self.exec(self.argv(program, tool.yes, &["-D", flag], &[], &marks)));
        }
        let result = TaskResult { changed: !lines.is_empty(), ..TaskResult::default() };
        let only_update = self.names.is_empty() && self.all.is_none() && self.orders.is_empty() && self.update;
        if actions.len() == before && !only_update {
            return Ok(Verdict::Unchanged(result.with("msg", "Nothing to do").with("rc", 0)));
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
            "auto" => self.task.fact(world, "pkg_mgr")?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_told_apart() {
        assert_eq!(Packages::bare("dnf", "kubelet-1.31.2"), ("kubelet", Some("1.31.2")));
        assert_eq!(Packages::bare("dnf", "kubelet-1.31.2-150500.1.1"), ("kubelet", Some("1.31.2-150500.1.1")));
        assert_eq!(Packages::bare("dnf", "python3-libs"), ("python3-libs", None));
        assert_eq!(Packages::bare("apk", "bash=5.2-r0"), ("bash", Some("5.2-r0")));
        assert!(
            is_odd("@devel") && is_odd("/tmp/x.rpm") && is_odd("https://x/y") && is_odd("kube*") && !is_odd("kubelet")
        );
    }

    #[test]
    fn dry_runs_are_read() {
        let said = |rc, text: &str| Output { rc, stdout: text.as_bytes().to_vec(), stderr: vec![] };
        assert_eq!(would_do("dnf", &said(1, "Transaction Summary\nInstall 1 Package\nOperation aborted.\n")), Ok(true));
        assert_eq!(would_do("dnf", &said(0, "Nothing to do.\n")), Ok(false));
        assert!(would_do("dnf", &said(1, "Error: Unable to find a match: x\n")).is_err());
        assert_eq!(would_do("apk", &said(0, "(1/2) Upgrading musl\nOK: 10 MiB\n")), Ok(true));
        assert_eq!(would_do("apk", &said(0, "OK: 10 MiB in 15 packages\n")), Ok(false));
        assert_eq!(would_do("zypper", &said(0, "Nothing to do.\n")), Ok(false));
        assert!(would_do("zypper", &said(104, "No provider of 'x' found.\n")).is_err());
        assert_eq!(would_do("pacman", &said(0, "")), Ok(false));
    }
}
