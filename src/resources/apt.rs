//! `apt`: packages of Debian and Ubuntu.
//!
//! What is installed and what the repositories offer are queries; a plan names versions. Installing runs maintainer scripts, so
//! the change is opaque beyond the packages themselves.

mod deb;
mod packages;
mod version;

pub(super) use version::compare;

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::setup::matches;
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Command, Done, Download, ExecSpec};
use crate::template::Unknown;
use crate::world::{Answer, Effect, PackageState, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "apt",
    qualified: &["ansible.builtin.apt"],
    doc: include_str!("doc/apt.md"),
    args: &[
        ArgSpec::new(
            "name",
            Kind::List,
            "Packages: `name`, `name=version` (with `*`), `name>=version`, `name:arch`, `name/release`, patterns",
        )
        .aliases(&["package", "pkg"]),
        ArgSpec::new("state", Kind::Str, "What to make of them").default("present").choices(&[
            "absent",
            "build-dep",
            "fixed",
            "latest",
            "present",
        ]),
        ArgSpec::new("update_cache", Kind::Bool, "Run `apt-get update` first").aliases(&["update-cache"]),
        ArgSpec::new("cache_valid_time", Kind::Int, "Update only if the lists are older, in seconds").default("0"),
        ArgSpec::new("update_cache_retries", Kind::Int, "How often to try the update").default("5"),
        ArgSpec::new("update_cache_retry_max_delay", Kind::Int, "Longest pause between tries, in seconds")
            .default("12"),
        ArgSpec::new("purge", Kind::Bool, "Remove configuration files too").default("false"),
        ArgSpec::new("default_release", Kind::Str, "Release to prefer").aliases(&["default-release"]),
        ArgSpec::new("install_recommends", Kind::Bool, "Install recommended packages too")
            .aliases(&["install-recommends"]),
        ArgSpec::new(
            "force",
            Kind::Bool,
            "Allow everything below that starts with `allow`, and removing essential packages",
        )
        .default("false"),
        ArgSpec::new("clean", Kind::Bool, "Empty the archive of downloaded packages").default("false"),
        ArgSpec::new("allow_unauthenticated", Kind::Bool, "Allow unsigned packages")
            .aliases(&["allow-unauthenticated"])
            .default("false"),
        ArgSpec::new("allow_downgrade", Kind::Bool, "Allow an older version")
            .aliases(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
            .default("false"),
        ArgSpec::new("allow_change_held_packages", Kind::Bool, "Allow changing held packages").default("false"),
        ArgSpec::new("upgrade", Kind::Str, "Upgrade all packages")
            .default("no")
            .choices(&["dist", "full", "no", "safe", "yes"]),
        ArgSpec::new("dpkg_options", Kind::Str, "Options for dpkg, separated by commas")
            .default("force-confdef,force-confold"),
        ArgSpec::new("deb", Kind::Path, "A package file on the node"),
        ArgSpec::new("autoremove", Kind::Bool, "Remove what was only installed for others").default("false"),
        ArgSpec::new("autoclean", Kind::Bool, "Remove outdated files from the archive").default("false"),
        ArgSpec::new("policy_rc_d", Kind::Int, "Keep services from starting"),
        ArgSpec::new("only_upgrade", Kind::Bool, "Leave what is not installed").default("false"),
        ArgSpec::new("fail_on_autoremove", Kind::Bool, "Fail if packages would be removed").default("false"),
        ArgSpec::new("force_apt_get", Kind::Bool, "Accepted: apt-get is what runs").default("false"),
        ArgSpec::new("lock_timeout", Kind::Int, "Seconds to wait for dpkg's lock").default("60"),
        ArgSpec::new("auto_install_module_deps", Kind::Bool, "Accepted, without effect").default("true"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    Latest,
    Absent,
    Fixed,
    BuildDep,
}

#[derive(Debug)]
pub(super) struct Apt {
    names: Vec<String>,
    state: State,
    update: bool,
    valid_time: i64,
    retries: i64,
    purge: bool,
    upgrade: Option<&'static str>,
    deb: Option<String>,
    /// Of a URL: the package itself.
    sent: Option<Sent>,
    clean: bool,
    autoremove: bool,
    autoclean: bool,
    only_upgrade: bool,
    allow_downgrade: bool,
    /// Options of every apt-get run.
    options: Vec<String>,
    /// Options of installing and upgrading.
    install_options: Vec<String>,
    /// What /usr/sbin/policy-rc.d answers while packages are installed: 101 keeps services from starting.
    policy: Option<i64>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "deb", "name")?;
    let state = match args.need("state")?.as_str() {
        "latest" => State::Latest,
        "absent" => State::Absent,
        "fixed" => State::Fixed,
        "build-dep" => State::BuildDep,
        _ => State::Present,
    };
    let mut options = vec!["-y".to_owned()];
    for option in args.need("dpkg_options")?.split(',').map(str::trim).filter(|o| !o.is_empty()) {
        options.extend(["-o".to_owned(), format!("Dpkg::Options::=--{option}")]);
    }
    options.extend(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", args.int("lock_timeout")?.unwrap_or(60))]);
    let force = args.flag("force")?;
    for (name, option) in [
        ("allow_unauthenticated", "--allow-unauthenticated"),
        ("allow_downgrade", "--allow-downgrades"),
        ("allow_change_held_packages", "--allow-change-held-packages"),
    ] {
        if force || args.flag(name)? {
            options.push(option.to_owned());
        }
    }
    if force {
        options.push("--allow-remove-essential".to_owned());
    }
    if args.flag("fail_on_autoremove")? {
        options.push("--no-remove".to_owned());
    }
    let mut install_options = vec![];
    if let Some(release) = args.str("default_release")? {
        install_options.extend(["-t".to_owned(), release]);
    }
    if let Some(recommends) = args.bool("install_recommends")? {
        let yes = if recommends { "yes" } else { "no" };
        install_options.extend(["-o".to_owned(), format!("APT::Install-Recommends={yes}")]);
    }
    if args.flag("autoremove")? {
        install_options.push("--auto-remove".to_owned());
    }
    let upgrade = match args.raw("upgrade").map(super::text_of).unwrap_or_default().to_lowercase().as_str() {
        "yes" | "true" | "safe" => Some("upgrade"),
        "full" | "dist" => Some("dist-upgrade"),
        _ => None,
    };
    let valid_time = args.int("cache_valid_time")?.unwrap_or(0);
    // `name: 'a,b'` is two packages; empty names come from templates over empty lists.
    let names: Vec<String> = args
        .list("name")?
        .iter()
        .flat_map(|n| n.split(','))
        .map(|n| n.trim().to_owned())
        .filter(|n| !n.is_empty())
        .collect();
    let task = Task::of(setting);
    let deb = args.str("deb")?.map(|p| if p.contains("://") { p } else { task.path(&p) });
    let mut sent = None;
    if let Some(url) = deb.as_ref().filter(|d| d.contains("://")) {
        let download = Download::of(url.clone());
        let bytes = (setting.fetch)(&download).map_err(|p| Stop::Failed(p.to_string()))?;
        let Some((name, version)) = deb::package(&bytes) else {
            return Err(Stop::Failed(format!("Unable to install package: {url} is no package of Debian")));
        };
        sent = Some(Sent { bytes: Arc::new(bytes), name, version });
    }
    Ok(Arc::new(Apt {
        names,
        state,
        update: args.flag("update_cache")?
            || !args.given("update_cache") && args.given("cache_valid_time") && valid_time > 0,
        valid_time,
        retries: args.int("update_cache_retries")?.unwrap_or(5).max(1),
        purge: args.flag("purge")?,
        upgrade,
        deb,
        sent,
        clean: args.flag("clean")?,
        autoremove: args.flag("autoremove")?,
        autoclean: args.flag("autoclean")?,
        only_upgrade: args.flag("only_upgrade")?,
        allow_downgrade: force || args.flag("allow_downgrade")?,
        options,
        install_options,
        policy: args.int("policy_rc_d")?,
        task,
    }))
}

/// `package`'s view of apt.
pub(super) fn plain(names: Vec<String>, state: &str, update: bool, task: Task) -> Apt {
    Apt {
        names,
        state: match state {
            "latest" => State::Latest,
            "absent" | "removed" => State::Absent,
            _ => State::Present,
        },
        update,
        valid_time: 0,
        retries: 5,
        purge: false,
        upgrade: None,
        deb: None,
        sent: None,
        clean: false,
        autoremove: false,
        autoclean: false,
        only_upgrade: false,
        allow_downgrade: false,
        options: [
            "-y",
            "-o",
            "Dpkg::Options::=--force-confdef",
            "-o",
            "Dpkg::Options::=--force-confold",
            "-o",
            "DPkg::Lock::Timeout=60",
        ]
        .map(str::to_owned)
        .to_vec(),
        install_options: vec![],
        policy: None,
        task,
    }
}

/// A package that the control machine downloaded.
#[derive(Debug, Clone)]
struct Sent {
    bytes: Arc<Vec<u8>>,
    name: String,
    version: String,
}

/// Runs a command with the package on standard input as its last argument.
const WITH_PACKAGE: &str = "d=$(mktemp -d) && chmod 755 \"$d\" && cat >\"$d/package.deb\" || exit; \
    \"$@\" \"$d/package.deb\"; rc=$?; rm -rf -- \"$d\"; exit $rc";

/// One entry of `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// As apt-get takes it, without version and release.
    name: String,
    /// A version or a shell pattern of versions.
    version: Option<String>,
    at_least: bool,
    release: Option<String>,
}

fn wanted(spec: &str) -> Wanted {
    if let Some((name, version)) = spec.split_once(">=") {
        return Wanted {
            name: name.trim().to_owned(),
            version: Some(version.trim().to_owned()),
            at_least: true,
            release: None,
        };
    }
    if let Some((name, version)) = spec.split_once('=') {
        return Wanted { name: name.to_owned(), version: Some(version.to_owned()), at_least: false, release: None };
    }
    match spec.split_once('/') {
        Some((name, release)) => {
            Wanted { name: name.to_owned(), version: None, at_least: false, release: Some(release.to_owned()) }
        }
        None => Wanted { name: spec.to_owned(), version: None, at_least: false, release: None },
    }
}

const STAMP: &str = "/var/lib/apt/periodic/update-success-stamp";
const LISTS: &str = "/var/lib/apt/lists";

/// Runs a command while /usr/sbin/policy-rc.d answers `$1`; what stood there before is put back, also if the command is ended.
const POLICY: &str = "p=/usr/sbin/policy-rc.d k=$p.kdeploy; rc=$1; shift; \
    if [ -e \"$p\" ]; then mv -f \"$p\" \"$k\" || exit 1; fi; \
    back() { rm -f \"$p\"; if [ -e \"$k\" ]; then mv -f \"$k\" \"$p\"; fi; }; \
    trap 'back; exit 130' HUP INT TERM; \
    printf '#!/bin/sh\\nexit %s\\n' \"$rc\" > \"$p\" && chmod 755 \"$p\" || { back; exit 1; }; \
    \"$@\"; rc=$?; back; exit $rc";

/// What one package change is.
struct Step {
    name: String,
    /// For apt-get's command line.
    argument: String,
    before: Option<String>,
    after: Option<String>,
}

impl Apt {
    fn apt_get(&self, words: &[&str], tail: &[String]) -> Action {
        let mut argv = vec!["apt-get".to_owned()];
        argv.extend(self.options.iter().cloned());
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        if !tail.is_empty() {
            argv.push("--".to_owned());
            argv.extend(tail.iter().cloned());
        }
        let mut env = self.task.environment.clone();
        for (key, value) in [("DEBIAN_FRONTEND", "noninteractive"), ("DEBIAN_PRIORITY", "critical"), ("LC_ALL", "C")] {
            if !env.iter().any(|(k, _)| k == key) {
                env.push((key.to_owned(), value.to_owned()));
            }
        }
        if let Some(answer) = self.policy {
            let around = [POLICY, "sh", &answer.to_string()].map(str::to_owned);
            argv = ["sh".to_owned(), "-c".to_owned()].into_iter().chain(around).chain(argv).collect();
        }
        ExecSpec { command: Command::Argv(argv), env, ok_codes: vec![0], ..ExecSpec::default() }.into_action()
    }

    fn update_action(&self) -> Action {
        let script = "n=$1; shift; until \"$@\"; do n=$((n-1)); [ $n -gt 0 ] || exit 1; sleep 2; done";
        let timeout = self.options.iter().find(|o| o.starts_with("DPkg::Lock")).cloned().unwrap_or_default();
        self.task.script(script, [self.retries.to_string().as_str(), "apt-get", "-o", &timeout, "update"])
    }

    fn cache_time(&self, world: &View) -> Result<i64, Stop> {
        let mut time = 0.0_f64;
        for path in [STAMP, LISTS] {
            if let Some(stat) = world.stat(path, true)? {
                time = time.max(stat.mtime);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
        Ok(time as i64)
    }

    /// What an apt-get run would do, by its own simulation.
    fn simulate(&self, world: &View, words: &[&str]) -> Result<Vec<String>, Stop> {
        let mut argv: Vec<String> =
            ["apt-get", "-s", "-o", "Debug::NoLocking=1", "-q", "-y"].map(str::to_owned).to_vec();
        argv.extend(self.install_options.iter().filter(|o| *o != "--auto-remove").cloned());
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        let output = world.read(argv)?;
        if output.rc != 0 {
            return Err(Stop::Failed(output.error_text()));
        }
        Ok(output
            .text()
            .lines()
            .filter(|l| l.starts_with("Inst ") || l.starts_with("Remv ") || l.starts_with("Del "))
            .map(str::to_owned)
            .collect())
    }

    fn simulation_effect(&self, words: &[&str]) -> Effect {
        let mut argv: Vec<String> =
            ["apt-get", "-s", "-o", "Debug::NoLocking=1", "-q", "-y"].map(str::to_owned).to_vec();
        argv.extend(self.install_options.iter().filter(|o| *o != "--auto-remove").cloned());
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        kit::effect(Query::Read { argv }, Answer::Output(crate::world::Output::default()))
    }
}

impl Resource for Apt {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let stat = |path: &str| Query::Stat { path: path.to_owned(), follow: true };
        world.want([stat(STAMP), stat(LISTS)]);
        let plain: Vec<Wanted> = self.names.iter().map(|n| wanted(n)).collect();
        for entry in plain.iter().filter(|e| !e.name.contains(['*', '?', '['])) {
            world.want([Query::Package { name: entry.name.clone() }]);
            if self.state == State::Latest {
                world.want([Query::Candidate { name: entry.name.clone() }]);
            }
        }
        let cache_time = self.cache_time(world)?;
        let now = jiff::Timestamp::now().as_second();
        let stale = self.update && (self.valid_time <= 0 || cache_time + self.valid_time < now);
        // Lists that will be read anew may offer anything; so may repositories an earlier step writes.
        let lists_change = stale || world.touched_below("/etc/apt/");
        let mut entries = vec![];
        for name in &self.names {
            let found = self.expand(world, name)?;
            if found.is_empty() && self.state != State::Absent && !lists_change {
                return Ok(kit::failed(format!("No package(s) matching '{name}' available")));
            }
            entries.extend(found);
        }
        world.want(entries.iter().map(|e| Query::Package { name: e.name.clone() }));
        let mut steps = vec![];
        if self.state != State::BuildDep {
            // All that must be asked goes out in one batch: stop only after every package was looked at.
            let mut waiting = false;
            for entry in &entries {
                match self.package(world, entry, lists_change) {
                    Ok(Ok(step)) => steps.extend(step),
                    Ok(Err(verdict)) => return Ok(verdict),
                    Err(Stop::Needs) => waiting = true,
                    Err(stop) => return Err(stop),
                }
            }
            if waiting {
                return Err(Stop::Needs);
            }
            if let Some(path) = &self.deb {
                match self.deb(world, path)? {
                    Ok(step) => steps.extend(step),
                    Err(verdict) => return Ok(verdict),
                }
            }
        }
        let mut actions = vec![];
        let mut effects = vec![];
        let mut lines: Vec<String> = vec![];
        let mut changed = false;
        let alone = self.names.is_empty() && self.deb.is_none() && self.upgrade.is_none();
        let must_update = stale
            && (alone
                || !steps.is_empty()
                || self.upgrade.is_some()
                || matches!(self.state, State::Latest | State::BuildDep));
        if must_update && !(alone && (self.autoremove || self.autoclean || self.clean) && !self.update) {
            actions.push(self.update_action());
            // Alone, an update is the task's change; otherwise it only prepares.
            changed |= alone;
            if alone {
                lines.push("package lists are read anew".to_owned());
            }
        }
        if self.clean {
            actions.push(self.apt_get(&["clean"], &[]));
            changed |= alone;
            lines.push("the archive of downloaded packages is emptied".to_owned());
        }
        if let Some(verb) = self.upgrade {
            let verb_words: &[&str] =
                if verb == "upgrade" { &["upgrade", "--with-new-pkgs"] } else { &["dist-upgrade"] };
            let todo = self.simulate(world, verb_words)?;
            if !todo.is_empty() || must_update {
                let words: Vec<&str> =
                    self.install_options.iter().map(String::as_str).chain(verb_words.iter().copied()).collect();
                actions.push(self.apt_get(&words, &[]));
                effects.push(self.simulation_effect(verb_words));
                changed |= !todo.is_empty();
                lines.extend(todo);
            }
        }
        if self.state == State::BuildDep && !self.names.is_empty() {
            let mut words: Vec<&str> = vec!["build-dep"];
            words.extend(self.names.iter().map(String::as_str));
            let todo = self.simulate(world, &words)?;
            if !todo.is_empty() || must_update {
                actions.push(self.apt_get(&["build-dep"], &self.names));
                effects.push(self.simulation_effect(&words));
                changed |= !todo.is_empty();
                lines.extend(todo);
            }
        }
        if !steps.is_empty() {
            let by_url = |s: &&Step| self.sent.is_none() || Some(&s.argument) != self.deb.as_ref();
            let arguments: Vec<String> = steps.iter().filter(by_url).map(|s| s.argument.clone()).collect();
            let mut words: Vec<&str> = vec![];
            if self.state == State::Absent {
                if self.purge {
                    words.push("--purge");
                }
                if self.autoremove {
                    words.push("--auto-remove");
                }
                words.push("remove");
            } else {
                words.extend(self.install_options.iter().map(String::as_str));
                if self.only_upgrade {
                    words.push("--only-upgrade");
                }
                if self.state == State::Fixed {
                    words.push("--fix-broken");
                }
                words.push("install");
            }
            let mut action = self.apt_get(&words, &arguments);
            if let (Some(sent), Action::Exec(ExecSpec { command: Command::Argv(argv), stdin, .. })) =
                (&self.sent, &mut action)
                && arguments.len() < steps.len()
            {
                argv.splice(0..0, ["sh", "-c", WITH_PACKAGE, "sh"].map(str::to_owned));
                *stdin = Some(sent.bytes.to_vec());
            }
            actions.push(action);
            changed = true;
            for step in &steps {
                let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "not installed".to_owned());
                let after = match (&step.after, self.state) {
                    (Some(version), _) => version.clone(),
                    (None, State::Absent) => "not installed".to_owned(),
                    (None, _) => "the newest version".to_owned(),
                };
                lines.push(format!("{}: {} -> {after}", step.name, show(&step.before)));
                effects.extend(self.package_effects(step));
                if self.state == State::Absent {
                    effects.extend(self.files_that_go(world, &step.name)?);
                }
            }
        } else if self.state == State::Fixed {
            actions.push(self.apt_get(&["--fix-broken", "install"], &[]));
        }
        for (on, verb) in [(self.autoremove && alone, "autoremove"), (self.autoclean, "autoclean")] {
            if on {
                let words: &[&str] = if self.purge && verb == "autoremove" { &["--purge", verb] } else { &[verb] };
                let todo = self.simulate(world, words)?;
                if !todo.is_empty() {
                    actions.push(self.apt_get(words, &[]));
                    effects.push(self.simulation_effect(words));
                    changed = true;
                    lines.extend(todo);
                }
            }
        }
        let mut result = TaskResult { changed, ..TaskResult::default() };
        let of_names = self.upgrade.is_none() && self.deb.is_none() && !self.clean;
        let of_names = of_names && !(alone && (self.autoremove || self.autoclean));
        if self.state != State::Absent && of_names {
            result = result.with("cache_update_time", cache_time).with("cache_updated", must_update);
        }
        if actions.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        let kind = match (self.state, steps.is_empty()) {
            (State::Absent, false) => ChangeKind::Remove,
            (_, false) if steps.iter().all(|s| s.before.is_none()) => ChangeKind::Create,
            (_, false) => ChangeKind::Change,
            _ => ChangeKind::Run,
        };
        Ok(Verdict::Change(Change {
            diff: if changed {
                vec![super::Diff {
                    before_header: "packages (before)".to_owned(),
                    after_header: "packages (after)".to_owned(),
                    before: String::new(),
                    after: lines.iter().map(|l| format!("{l}\n")).collect(),
                }]
            } else {
                vec![]
            },
            opaque: true,
            result,
            ..kit::change(kind, actions, effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        conclude(change, done, "apt-get")
    }
}

/// The result of a package tool's run: its output, and Ansible's message if it failed.
pub(super) fn conclude(change: &Change, done: &[Done], tool: &str) -> Result<TaskResult, TaskResult> {
    let join =
        |pick: fn(&crate::world::Output) -> String| done.iter().map(|d| pick(kit::output_of(d))).collect::<String>();
    let stdout = join(crate::world::Output::text);
    let stderr = join(crate::world::Output::error_text);
    let mut result = change.result.clone().with("stdout", stdout.as_str()).with("stderr", stderr.as_str());
    match kit::failure(done) {
        None => {
            if result.values.contains_key("cache_update_time")
                && result.values.get("cache_updated").is_some_and(Value::is_true)
            {
                result = result.with("cache_update_time", jiff::Timestamp::now().as_second());
            }
            Ok(result)
        }
        Some((message, output)) => {
            let said = output.error_text();
            let said = if said.trim().is_empty() { message.to_owned() } else { said };
            let command = done.len().checked_sub(1).and_then(|i| change.actions.get(i)).map(shown).unwrap_or_default();
            Err(TaskResult { changed: false, ..result }.with("rc", output.rc).with(
                "msg",
                format!("'{}' failed: {}", if command.is_empty() { tool } else { &command }, said.trim_end()),
            ))
        }
    }
}

fn shown(action: &Action) -> String {
    match action {
        Action::Exec(ExecSpec { command: Command::Argv(argv), .. }) => match argv.as_slice() {
            // One of our own scripts: its words after `sh -c TEXT sh`.
            [sh, dash_c, _, _, words @ ..] if sh == "sh" && dash_c == "-c" => words.join(" "),
            words => words.join(" "),
        },
        _ => String::new(),
    }
}
