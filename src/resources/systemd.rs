//! `systemd`, `systemd_service` and, on systemd nodes, `service`: units started, enabled, masked.
//!
//! The unit's state is one query; the unit file is asked for too, since an earlier step of the plan may write it.

mod global;

use std::sync::Arc;

use minijinja::Value;

use super::common::units;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Done};
use crate::problem::Problem;
use crate::world::{Answer, Query, Stop, UNIT_FOLDERS, UnitState, View};

const DOC: &str = "\
# systemd

Controls units of systemd: running or not, enabled at boot or not, masked or not.

Order of work: daemon-reexec, daemon-reload, mask, enable, then the state. A unit whose file an earlier step of the plan writes is \
taken to be there.

## Return values

- `name` (text), `state` (`started` or `stopped`), `enabled` (bool)
- `status` (mapping): what `systemctl show` told before

## Examples

    - name: containerd runs, now and after a boot
      systemd:
        name: containerd
        state: started
        enabled: true
        daemon_reload: true

    - name: No sleeping
      ansible.builtin.systemd_service:
        name: sleep.target
        masked: true

## Differences from Ansible

`daemon_reload` together with a unit runs only where it can matter: the unit is restarted or reloaded, wants it, or an earlier step touched unit \
files. \
With `scope: global` only `enabled` and `masked` can be asked for. The message of a failed start ends with the unit's status and journal.
";

pub(super) const UNIT_ARGS: &[ArgSpec] = &[
    ArgSpec::new("name", Kind::Str, "The unit; without a suffix, a service").aliases(&["service", "unit"]),
    ArgSpec::new("state", Kind::Str, "`reloaded` and `restarted` always act; a unit that does not run is started")
        .choices(&["reloaded", "restarted", "started", "stopped"]),
    ArgSpec::new("enabled", Kind::Bool, "Start at boot"),
    ArgSpec::new("force", Kind::Bool, "Replace existing symbolic links"),
    ArgSpec::new("masked", Kind::Bool, "Make starting impossible"),
    ArgSpec::new("daemon_reload", Kind::Bool, "Read unit files again before anything else")
        .aliases(&["daemon-reload"])
        .default("false"),
    ArgSpec::new("daemon_reexec", Kind::Bool, "Execute systemd itself again")
        .aliases(&["daemon-reexec"])
        .default("false"),
    ArgSpec::new("scope", Kind::Str, "Which manager").default("system").choices(&["system", "user", "global"]),
    ArgSpec::new("no_block", Kind::Bool, "Do not wait until it is done").default("false"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "systemd",
    qualified: &["ansible.builtin.systemd", "ansible.builtin.systemd_service"],
    doc: DOC,
    args: UNIT_ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Started,
    Stopped,
    Restarted,
    Reloaded,
}

impl Wanted {
    pub fn of(args: &Args) -> Result<Option<Self>, Problem> {
        Ok(args.str("state")?.and_then(|s| match s.as_str() {
            "started" => Some(Self::Started),
            "stopped" => Some(Self::Stopped),
            "restarted" => Some(Self::Restarted),
            "reloaded" => Some(Self::Reloaded),
            _ => None,
        }))
    }

    /// What brings a service that runs, or does not, to this state; `None`: it is there.
    pub fn verb(self, running: bool) -> Option<&'static str> {
        match (self, running) {
            (Self::Started | Self::Restarted | Self::Reloaded, false) => Some("start"),
            (Self::Stopped, true) => Some("stop"),
            (Self::Restarted, true) => Some("restart"),
            (Self::Reloaded, true) => Some("reload"),
            (Self::Started, true) | (Self::Stopped, false) => None,
        }
    }
}

pub(super) struct Unit {
    /// As written, for the result.
    pub name: Option<String>,
    pub state: Option<Wanted>,
    pub enabled: Option<bool>,
    pub masked: Option<bool>,
    pub force: bool,
    pub reload: bool,
    pub reexec: bool,
    pub user: bool,
    pub no_block: bool,
    pub task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let unit = Unit {
        name: args.str("name")?.filter(|n| !n.is_empty()),
        state: Wanted::of(&args)?,
        enabled: args.bool("enabled")?,
        masked: args.bool("masked")?,
        force: args.flag("force")?,
        reload: args.flag("daemon_reload")?,
        reexec: args.flag("daemon_reexec")?,
        user: args.str("scope")?.as_deref() == Some("user"),
        no_block: args.flag("no_block")?,
        task: Task::of(setting),
    };
    match &unit.name {
        None if unit.state.is_some() || unit.enabled.is_some() || unit.masked.is_some() => {
            return Err(Problem::new("missing-argument", "`systemd` needs the argument `name` for what is asked")
                .at(args.task_span())
                .help("name: the unit; without a suffix, a service")
                .into());
        }
        None if !unit.reload && !unit.reexec => {
            return Err(Problem::new("missing-argument", "`systemd` is asked for nothing")
                .at(args.task_span())
                .help("one of the following is required: state, enabled, masked, daemon_reload, daemon_reexec")
                .into());
        }
        Some(name) if name.contains(['*', '?', '[']) => {
            return Err(Problem::new("invalid-argument", format!("`{name}` is a pattern, not the name of a unit"))
                .at(args.span("name"))
                .into());
        }
        _ => {}
    }
    if args.str("scope")?.as_deref() == Some("global") && unit.name.is_some() {
        return Ok(global::build(unit, &args)?);
    }
    Ok(Arc::new(unit))
}

const SUFFIXES: &[&str] = &[
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".mount",
    ".automount",
    ".path",
    ".slice",
    ".scope",
    ".swap",
    ".device",
];

/// The full name of a unit: a name without a unit type is a service.
pub(super) fn full_name(name: &str) -> String {
    if SUFFIXES.iter().any(|s| name.ends_with(s)) { name.to_owned() } else { format!("{name}.service") }
}

/// Where an earlier step may put a unit file, strongest first.
const UNIT_DIRS: &[&str] = &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The unit file's name: an instance `a@b.service` has its template's.
fn file_name(unit: &str) -> String {
    match unit.split_once('@') {
        Some((template, rest)) => match rest.rsplit_once('.') {
            Some((_, suffix)) => format!("{template}@.{suffix}"),
            None => unit.to_owned(),
        },
        None => unit.to_owned(),
    }
}

impl Unit {
    fn systemctl(&self, verb: &str, units: &[&str]) -> Action {
        if self.force && matches!(verb, "enable" | "disable" | "mask" | "unmask") {
            let mut argv = vec!["systemctl"];
            if self.user {
                argv.push("--user");
            }
            argv.extend(["--force", verb]);
            argv.extend(units);
            return self.task.exec(argv);
        }
        Action::Systemctl {
            verb: verb.to_owned(),
            units: units.iter().map(|u| (*u).to_owned()).collect(),
            user: self.user,
            no_block: self.no_block && !matches!(verb, "daemon-reload" | "daemon-reexec"),
        }
    }

    /// The unit as it is, or as an unread unit file promises. `None`: there is no such unit.
    fn observe(&self, world: &View, unit: &str) -> Result<Option<UnitState>, Stop> {
        let file = file_name(unit);
        let paths: Vec<String> = UNIT_DIRS.iter().map(|dir| format!("{dir}/{file}")).collect();
        let stat = |path: &String| Query::Stat { path: path.clone(), follow: true };
        let ask = Query::Unit { name: unit.to_owned(), user: self.user };
        world.want([ask]);
        let state = world.unit(unit, self.user)?;
        if state.load == "offline" {
            return Err(Stop::Failed(
                "systemd does not run on the node (it is not its init system), so units cannot be controlled"
                    .to_owned(),
            ));
        }
        // Loaded, but its file is gone: what an earlier step writes there counts from the next reload on.
        let lost_file = state.load == "loaded" && state.file_state.is_empty();
        if state.load != "not-found" && !lost_file || self.user {
            return Ok((state.load != "not-found").then_some(state));
        }
        world.want(paths.iter().map(stat));
        for path in &paths {
            if world.stat(path, true)?.is_none() {
                continue;
            }
            // A step before this one writes the file; what it is good for stands in it.
            let text = world.content(path)?.map(|content| kit::text(&content));
            let file_state = match &text {
                Some(text) if !text.lines().any(|l| l.trim() == "[Install]") => "static",
                Some(text) if Self::is_wanted(world, unit, text)? => "enabled",
                _ => "disabled",
            };
            // A service whose file went runs on, also after a reload.
            let or = |is: &str, otherwise: &str| if is.is_empty() { otherwise } else { is }.to_owned();
            let (active, sub) = (or(&state.active, "inactive"), or(&state.sub, "dead"));
            return Ok(Some(UnitState {
                load: "loaded".to_owned(),
                active,
                sub,
                file_state: file_state.to_owned(),
                needs_reload: true,
                properties: state.properties.clone(),
            }));
        }
        Ok(lost_file.then_some(state))
    }

    /// True if a link that enables the unit was left behind when its file went.
    fn is_wanted(world: &View, unit: &str, text: &str) -> Result<bool, Stop> {
        let links = units::install_links(unit, text);
        world.want(links.iter().map(|path| Query::Stat { path: path.clone(), follow: false }));
        for link in &links {
            if world.stat(link, false)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where an earlier step puts the unit's file.
    fn written_file(&self, world: &View, unit: &str) -> Option<String> {
        let file = file_name(unit);
        let paths = UNIT_DIRS.iter().map(|dir| format!("{dir}/{file}"));
        paths.into_iter().find(|path| world.is_predicted(&Query::Stat { path: path.clone(), follow: true }))
    }

    fn result(&self, state: Option<&UnitState>) -> TaskResult {
        let mut result = TaskResult::unchanged();
        if let Some(name) = &self.name {
            result = result.with("name", name.as_str());
        } else {
            result = result.with("name", Value::from(()));
        }
        if let Some(wanted) = self.state {
            result = result.with("state", if wanted == Wanted::Stopped { "stopped" } else { "started" });
        }
        if let Some(enabled) = self.enabled {
            result = result.with("enabled", enabled);
        }
        let properties = state.map(|s| s.properties.clone()).unwrap_or_default();
        result.with("status", kit::map(properties.into_iter().map(|(k, v)| (k, Value::from(v)))))
    }
}

/// Whether `systemctl is-enabled` counts this state as enabled (Ansible: an indirect unit or an alias is not).
pub(super) fn is_enabled(file_state: &str) -> bool {
    matches!(file_state, "enabled" | "enabled-runtime" | "static" | "generated" | "transient")
}

impl Resource for Unit {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let mut actions = vec![];
        if self.reexec {
            actions.push(self.systemctl("daemon-reexec", &[]));
        }
        let Some(name) = &self.name else {
            if self.reload {
                actions.push(self.systemctl("daemon-reload", &[]));
            }
            return Ok(Verdict::Change(Change {
                result: self.result(None),
                ..kit::change(ChangeKind::Run, actions, vec![])
            }));
        };
        let unit = full_name(name);
        let Some(before) = self.observe(world, &unit)? else {
            if self.masked == Some(false) && self.state.is_none() && self.enabled.is_none() {
                return Ok(Verdict::Unchanged(self.result(None)));
            }
            return Ok(kit::failed(format!("Could not find the requested service {name}: host")));
        };
        let reload = self.reload
            && (before.needs_reload
                || matches!(self.state, Some(Wanted::Restarted | Wanted::Reloaded))
                || UNIT_FOLDERS.iter().any(|d| world.touched_below(d)));
        if reload {
            actions.push(self.systemctl("daemon-reload", &[]));
        }
        let mut after = UnitState { needs_reload: before.needs_reload && !reload, ..before.clone() };
        let mut lines: Vec<(&str, String, String)> = vec![];
        let mut effects = vec![];
        let was_masked = before.load == "masked" || before.file_state.starts_with("masked");
        if let Some(masked) = self.masked.filter(|m| *m != was_masked) {
            actions.push(self.systemctl(if masked { "mask" } else { "unmask" }, &[&unit]));
            lines.push(("masked", was_masked.to_string(), masked.to_string()));
            after.load = if masked { "masked" } else { "loaded" }.to_owned();
            after.file_state = if masked { "masked" } else { "disabled" }.to_owned();
        }
        if let Some(enabled) = self.enabled {
            let is = is_enabled(&after.file_state);
            if enabled != is {
                actions.push(self.systemctl(if enabled { "enable" } else { "disable" }, &[&unit]));
                if !self.user {
                    let file = self.written_file(world, &unit);
                    effects.extend(units::enabling(world, &unit, &before, file.as_deref(), enabled)?);
                }
                lines.push(("enabled", is.to_string(), enabled.to_string()));
                after.file_state = if enabled { "enabled" } else { "disabled" }.to_owned();
            }
        }
        let running = matches!(before.active.as_str(), "active" | "activating" | "reloading");
        let verb = match self.state {
            Some(Wanted::Stopped) if before.active == "deactivating" => Some("stop"),
            wanted => wanted.and_then(|w| w.verb(running)),
        };
        if let Some(verb) = verb {
            actions.push(self.systemctl(verb, &[&unit]));
            let stopped = verb == "stop";
            if !self.user {
                effects.extend(units::run_files(&unit, &before));
            }
            if stopped {
                effects.extend(units::stopped_along(world, &unit, &before, self.user)?);
            }
            after.active = if stopped { "inactive" } else { "active" }.to_owned();
            after.sub = if stopped { "dead" } else { "running" }.to_owned();
            let show = |active: &str| if active.is_empty() { "inactive".to_owned() } else { active.to_owned() };
            let now = match verb {
                "restart" | "reload" => format!("{} ({verb}ed)", after.active),
                _ => after.active.clone(),
            };
            lines.push(("state", show(&before.active), now));
        }
        let result = self.result(Some(&before));
        if actions.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        for (property, value) in
            [("ActiveState", &after.active), ("SubState", &after.sub), ("UnitFileState", &after.file_state)]
        {
            if let Some(known) = after.properties.get_mut(property) {
                known.clone_from(value);
            }
        }
        effects.push(kit::effect(Query::Unit { name: unit.clone(), user: self.user }, Answer::Unit(Box::new(after))));
        let changed = !lines.is_empty();
        let always = matches!(self.state, Some(Wanted::Restarted | Wanted::Reloaded)) || !changed;
        Ok(Verdict::Change(Change {
            diff: if changed { vec![kit::diff_of_attributes(&unit, &lines)] } else { vec![] },
            // A unit that starts or stops makes and removes files, sockets and other units.
            opaque: verb.is_some(),
            result: TaskResult { changed, ..result },
            ..kit::change(if always { ChangeKind::Run } else { ChangeKind::Change }, actions, effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let Some((message, output)) = kit::failure(done) else { return Ok(change.result.clone()) };
        let verb = done.len().checked_sub(1).and_then(|i| change.actions.get(i)).map(|a| match a {
            Action::Systemctl { verb, .. } => verb.as_str(),
            _ => "change",
        });
        let name = self.name.as_deref().unwrap_or("systemd");
        let said = output.error_text();
        let said = if said.trim().is_empty() { message } else { said.trim_end() };
        let msg = match verb {
            Some(verb @ ("daemon-reload" | "daemon-reexec")) => format!("failure during {verb}: {said}"),
            Some(verb) => format!("Unable to {verb} service {name}: {said}"),
            None => said.to_owned(),
        };
        Err(TaskResult { changed: false, ..self.result(None) }.with("msg", msg))
    }
}
