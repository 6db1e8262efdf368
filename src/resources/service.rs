//! `service`: a service by whatever the node's init system is.

use std::sync::Arc;

use super::kit::{self, Task};
use super::systemd::{Unit, Wanted};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::{Answer, FileKind, Query, Stat, Stop, View};

const DOC: &str = "\
# service

Controls services by the node's init system: systemd, OpenRC, or scripts of /etc/init.d.

## Return values

- `name` (text), `state` (text), `enabled` (bool); on systemd what `systemd` returns

## Examples

    - service:
        name: sshd
        state: restarted

    - service: name=chronyd state=started enabled=yes

## Differences from Ansible

`pattern`, `sleep` and `arguments` count for scripts of /etc/init.d, `runlevel` on OpenRC.
";

pub static TYPE: ResourceType = ResourceType {
    name: "service",
    qualified: &["ansible.builtin.service"],
    doc: DOC,
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the service").required(),
        ArgSpec::new(
            "state",
            Kind::Str,
            "`reloaded` and `restarted` always act; a service that does not run is started",
        )
        .choices(&["reloaded", "restarted", "started", "stopped"]),
        ArgSpec::new("enabled", Kind::Bool, "Start at boot"),
        ArgSpec::new("runlevel", Kind::Str, "OpenRC's runlevel").default("default"),
        ArgSpec::new("arguments", Kind::Str, "Extra arguments for an init script").aliases(&["args"]),
        ArgSpec::new("pattern", Kind::Str, "Substring of `ps` for init scripts without `status`"),
        ArgSpec::new("sleep", Kind::Int, "Seconds between stop and start of init scripts"),
        ArgSpec::new("use", Kind::Str, "Which service manager").default("auto"),
        ArgSpec::new("daemon_reload", Kind::Bool, "Read unit files again first").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Service {
    unit: Unit,
    manager: String,
    runlevel: String,
    /// Further arguments for a script.
    arguments: Vec<String>,
    /// Running is what has this in its command line, for scripts without `status`.
    pattern: Option<String>,
    /// Seconds between stopping and starting.
    sleep: i64,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let (state, enabled) = (Wanted::of(&args)?, args.bool("enabled")?);
    if state.is_none() && enabled.is_none() {
        return Err(Problem::new("missing-argument", "`service` is asked for nothing")
            .at(args.task_span())
            .help("one of the following is required: state, enabled")
            .into());
    }
    Ok(Arc::new(Service {
        unit: Unit {
            name: Some(args.need("name")?),
            state,
            enabled,
            masked: None,
            force: false,
            reload: args.flag("daemon_reload")?,
            reexec: false,
            user: false,
            no_block: false,
            task: Task::of(setting),
        },
        manager: args.need("use")?,
        runlevel: args.need("runlevel")?,
        arguments: kit::split_words(&args.str("arguments")?.unwrap_or_default()).unwrap_or_default(),
        pattern: args.str("pattern")?,
        sleep: args.int("sleep")?.unwrap_or(0).max(0),
    }))
}

impl Service {
    fn openrc(&self, world: &View) -> Result<Verdict, Stop> {
        let name = self.unit.name.as_deref().unwrap_or_default();
        let link = format!("/etc/runlevels/{}/{name}", self.runlevel);
        let script = Query::Stat { path: format!("/etc/init.d/{name}"), follow: true };
        let enabled = Query::Stat { path: link.clone(), follow: false };
        let status = Query::Read { argv: ["rc-service", name, "status"].map(str::to_owned).to_vec() };
        world.want([script.clone(), enabled.clone(), status.clone()]);
        let Answer::Stat(script) = world.ask(script)? else { unreachable!("a stat") };
        if script.is_none() {
            return Ok(kit::failed(format!("Could not find the requested service {name}: host")));
        }
        let mut lines = vec![];
        let mut actions = vec![];
        let mut effects = vec![];
        if let Some(wanted) = self.unit.enabled {
            let is = world.stat(&link, false)?.is_some();
            if is != wanted {
                actions.push(self.unit.task.exec([
                    "rc-update",
                    if wanted { "add" } else { "del" },
                    name,
                    &self.runlevel,
                ]));
                lines.push(("enabled", is.to_string(), wanted.to_string()));
                let stat = wanted.then(|| link_to(&format!("/etc/init.d/{name}")));
                effects.push(kit::effect(enabled, Answer::Stat(stat)));
            }
        }
        let Answer::Output(now) = world.ask(status.clone())? else { unreachable!("an output") };
        let running = now.rc == 0;
        let verb = self.unit.state.and_then(|wanted| wanted.verb(running));
        if let Some(verb) = verb {
            actions.push(self.unit.task.exec(["rc-service", name, verb]));
            let show = |on: bool| if on { "started" } else { "stopped" }.to_owned();
            lines.push(("state", show(running), show(verb != "stop")));
            let rc = if verb == "stop" { 3 } else { 0 };
            effects.push(kit::effect(status, Answer::Output(crate::world::Output { rc, ..now })));
        }
        Ok(self.verdict(&lines, actions, effects, verb.is_some()))
    }
}

impl Service {
    /// What is left to be done, with the result both kinds of scripts have. `lines`: what differs, before and after.
    fn verdict(
        &self,
        lines: &[(&str, String, String)],
        actions: Vec<crate::node::Action>,
        effects: Vec<crate::world::Effect>,
        opaque: bool,
    ) -> Verdict {
        let name = self.unit.name.as_deref().unwrap_or_default();
        let mut result = TaskResult { changed: !actions.is_empty(), ..TaskResult::default() }.with("name", name);
        if let Some(enabled) = self.unit.enabled {
            result = result.with("enabled", enabled);
        }
        if let Some(state) = self.unit.state {
            result = result.with("state", if state == Wanted::Stopped { "stopped" } else { "started" });
        }
        if actions.is_empty() {
            return Verdict::Unchanged(result);
        }
        Verdict::Change(Change {
            diff: vec![kit::diff_of_attributes(name, lines)],
            opaque,
            result,
            ..kit::change(ChangeKind::Change, actions, effects)
        })
    }

    /// Scripts of /etc/init.d, switched on by `update-rc.d` or `chkconfig`.
    fn sysv(&self, world: &View) -> Result<Verdict, Stop> {
        let name = self.unit.name.as_deref().unwrap_or_default();
        let path = format!("/etc/init.d/{name}");
        let read = |words: &[&str]| Query::Read { argv: words.iter().map(|w| (*w).to_owned()).collect() };
        let links = "for l in /etc/rc[2345].d/S[0-9][0-9]\"$1\"; do [ -e \"$l\" ] && exit 0; done; exit 1";
        let enabled = read(&["sh", "-c", links, "sh", name]);
        let status = match &self.pattern {
            Some(pattern) => read(&["pgrep", "-f", "--", pattern]),
            None => read(&[&path, "status"]),
        };
        world.want([Query::Stat { path: path.clone(), follow: true }, status.clone(), enabled.clone()]);
        if world.stat(&path, true)?.is_none() {
            return Ok(kit::failed(format!("Could not find the requested service {name}: host")));
        }
        let (mut lines, mut actions, mut effects) = (vec![], vec![], vec![]);
        let said = |rc| Answer::Output(crate::world::Output { rc, stdout: vec![], stderr: vec![] });
        if let Some(wanted) = self.unit.enabled {
            let Answer::Output(now) = world.ask(enabled.clone())? else { unreachable!("an output") };
            if (now.rc == 0) != wanted {
                let verbs = if wanted { ["enable", "on"] } else { ["disable", "off"] };
                let script = "if command -v update-rc.d >/dev/null; then \
                    [ \"$2\" = disable ] || update-rc.d \"$1\" defaults; update-rc.d \"$1\" \"$2\"; \
                    else chkconfig \"$1\" \"$3\"; fi";
                actions.push(self.unit.task.script(script, [name, verbs[0], verbs[1]]));
                lines.push(("enabled", (!wanted).to_string(), wanted.to_string()));
                effects.push(kit::effect(enabled, said(i32::from(!wanted))));
            }
        }
        if let Some(state) = self.unit.state {
            let Answer::Output(now) = world.ask(status.clone())? else { unreachable!("an output") };
            let running = now.rc == 0;
            if let Some(verb) = state.verb(running) {
                let run = |verb: &str| {
                    let words = [path.as_str(), verb].into_iter().chain(self.arguments.iter().map(String::as_str));
                    self.unit.task.exec(words)
                };
                if verb == "restart" && self.sleep > 0 {
                    #[expect(clippy::cast_precision_loss, reason = "seconds of a pause")]
                    let pause = crate::node::Action::Sleep { seconds: self.sleep as f64 };
                    actions.extend([run("stop"), pause, run("start")]);
                } else {
                    actions.push(run(verb));
                }
                let show = |on: bool| if on { "started" } else { "stopped" }.to_owned();
                lines.push(("state", show(running), show(verb != "stop")));
                effects.push(kit::effect(status, said(if verb == "stop" { 3 } else { 0 })));
            }
        }
        Ok(self.verdict(&lines, actions, effects, true))
    }
}

/// The stat of a link root made.
pub(super) fn link_to(target: &str) -> Stat {
    Stat {
        kind: FileKind::Link,
        mode: 0o777,
        uid: 0,
        gid: 0,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        size: target.len() as u64,
        mtime: 0.0,
        atime: 0.0,
        ctime: 0.0,
        inode: 0,
        device: 0,
        links: 1,
        target: Some(target.to_owned()),
        real: Some(target.to_owned()),
    }
}

impl Resource for Service {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let manager = match self.manager.rsplit('.').next() {
            Some("auto") | None => self.unit.task.fact(world, "service_mgr")?,
            Some(name) => name.to_owned(),
        };
        match manager.as_str() {
            "systemd" | "systemd_service" | "" => self.unit.reconcile(world),
            "openrc" => self.openrc(world),
            // Whatever else runs as init: scripts of /etc/init.d.
            _ => self.sysv(world),
        }
    }

    fn conclude(&self, change: &Change, done: &[crate::node::Done]) -> Result<TaskResult, TaskResult> {
        self.unit.conclude(change, done)
    }
}
