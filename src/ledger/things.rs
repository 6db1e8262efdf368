//! The way back of units, accounts and packages.

use std::collections::BTreeSet;

use super::back::{Finding, Phase};
use super::journal::Entry;
use super::line::{Change, Thing, WasUser};
use crate::node::{Action, Command, ExecSpec};
use crate::resources::{ChangeKind, plain_diff};
use crate::world::{FileKind, Stop};

fn is_on(state: &str) -> bool {
    matches!(state, "enabled" | "enabled-runtime" | "linked" | "linked-runtime")
}

/// A unit: stopped and disabled if it was not there, else as it was. `restarts`: it was restarted for the sake of its files.
pub(super) fn unit(finding: &mut Finding, thing: &Thing, of: &Change, restarts: bool) -> Result<(), Stop> {
    let Thing::Unit { name, user, existed, file_state, active } = thing else { return Ok(()) };
    let now = finding.view.unit(name, *user)?;
    if now.load == "offline" {
        return Ok(());
    }
    let label = thing.label();
    if now.load == "not-found" {
        // Its file may come back: then it is enabled and runs as it did.
        let file = format!("/{name}");
        let comes = |w: &super::back::Way| w.kind != ChangeKind::Remove && w.paths.iter().any(|p| p.ends_with(&file));
        let verbs: Vec<&str> = [("enable", is_on(file_state)), ("start", *active)]
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(v, _)| v)
            .collect();
        if *existed && !verbs.is_empty() && finding.ways.iter().any(comes) {
            let actions = verbs.iter().map(|verb| Action::Systemctl {
                verb: (*verb).to_owned(),
                units: vec![name.clone()],
                user: *user,
                no_block: false,
            });
            let way = finding.way(&label, of, ChangeKind::Change, Phase::Start, actions.collect());
            way.diff = vec![plain_diff(&label, String::new(), format!("{}\n", verbs.join(", ")))];
            way.things = vec![Thing::Unit {
                name: name.clone(),
                user: *user,
                existed: false,
                file_state: String::new(),
                active: false,
            }];
        }
        return Ok(());
    }
    let existed = &(*existed && !goes_along(finding, name, &now)?);
    let act = |verb: &str| Action::Systemctl {
        verb: verb.to_owned(),
        units: vec![name.clone()],
        user: *user,
        no_block: false,
    };
    let is_active = matches!(now.active.as_str(), "active" | "activating" | "reloading");
    let was_active = *existed && *active;
    let (was_on, on) = (*existed && is_on(file_state), is_on(&now.file_state));
    let (was_masked, masked) = (file_state.starts_with("masked"), now.file_state.starts_with("masked"));
    let mut lines: Vec<(&str, String, String)> = vec![];
    let mut down = vec![];
    let mut up = vec![];
    if masked && !was_masked {
        down.push(act("unmask"));
        lines.push(("masked", "true".into(), "false".into()));
    }
    if is_active && !was_active {
        down.push(act("stop"));
        lines.push(("state", "active".into(), "inactive".into()));
    }
    if on && !was_on {
        down.push(act("disable"));
        lines.push(("enabled", "true".into(), "false".into()));
    }
    if was_on && !on {
        up.push(act("enable"));
        lines.push(("enabled", "false".into(), "true".into()));
    }
    if was_active && !is_active {
        up.push(act("start"));
        lines.push(("state", "inactive".into(), "active".into()));
    } else if was_active && restarts && finding.ways.iter().any(|w| w.of.role == of.role && !w.paths.is_empty()) {
        up.push(act("restart"));
        lines.push(("state", "active".into(), "active (restarted)".into()));
    }
    if was_masked && !masked {
        up.push(act("mask"));
        lines.push(("masked", "false".into(), "true".into()));
    }
    let diff = |lines: &[(&str, String, String)]| vec![crate::resources::attribute_diff(&label, lines)];
    let socket = [".socket", ".timer", ".path"].iter().any(|end| name.ends_with(end));
    if !down.is_empty() {
        let (kind, phase) = (
            if *existed { ChangeKind::Change } else { ChangeKind::Remove },
            if socket { Phase::Sockets } else { Phase::Stop },
        );
        let way = finding.way(&label, of, kind, phase, down);
        way.diff = diff(&lines);
        way.things = vec![before_now(name, *user, &now)];
    }
    if !up.is_empty() {
        let way = finding.way(&label, of, ChangeKind::Change, Phase::Start, up);
        way.diff = diff(&lines);
        way.things = vec![before_now(name, *user, &now)];
    }
    Ok(())
}

/// Whether a unit's file goes: with a package, or by itself.
fn goes_along(finding: &Finding, name: &str, now: &crate::world::UnitState) -> Result<bool, Stop> {
    let fragment = now.properties.get("FragmentPath").cloned().unwrap_or_default();
    if finding.gone.contains(&fragment) || finding.gone.contains(&format!("/etc/systemd/system/{name}")) {
        return Ok(true);
    }
    if finding.gone_packages.is_empty() || fragment.is_empty() {
        return Ok(false);
    }
    // Where /lib is a link to /usr/lib, the package lists the file under either name.
    let other = match fragment.strip_prefix("/usr") {
        Some(short) => short.to_owned(),
        None => format!("/usr{fragment}"),
    };
    let owners = finding.view.read(["dpkg-query", "-S", &fragment, &other])?;
    Ok(String::from_utf8_lossy(&owners.stdout)
        .lines()
        .filter_map(|l| l.split([':', ',']).next())
        .any(|package| finding.gone_packages.contains(package)))
}

fn before_now(name: &str, user: bool, now: &crate::world::UnitState) -> Thing {
    Thing::Unit {
        name: name.to_owned(),
        user,
        existed: true,
        file_state: now.file_state.clone(),
        active: matches!(now.active.as_str(), "active" | "activating" | "reloading"),
    }
}

/// Users and groups that kdeploy made go; others get back what they had.
pub(super) fn account(finding: &mut Finding, thing: &Thing, of: &Change) -> Result<(), Stop> {
    let label = thing.label();
    match thing {
        Thing::User { name, was: None, .. } => {
            let Some(now) = finding.view.account(name)? else { return Ok(()) };
            let home = skeleton(finding, &now.home, of)?;
            let mut remark = None;
            let script = match home {
                Home::None => "if command -v userdel >/dev/null 2>&1; then userdel -- \"$1\"; else deluser \"$1\"; fi",
                Home::Skeleton => {
                    "if command -v userdel >/dev/null 2>&1; then userdel -r -- \"$1\" 2>/dev/null || [ $? = 12 ]; else deluser --remove-home \"$1\"; fi"
                }
                Home::Used => {
                    remark = Some(format!("its home `{}` is left: there is more in it than a new home has", now.home));
                    "if command -v userdel >/dev/null 2>&1; then userdel -- \"$1\"; else deluser \"$1\"; fi"
                }
            };
            let action = ExecSpec::argv(["sh", "-c", script, "sh", name.as_str()]).into_action();
            let was = WasUser {
                uid: now.uid,
                group: now.group,
                comment: now.comment,
                home: now.home,
                shell: now.shell,
                groups: now.groups,
            };
            let way = finding.way(&label, of, ChangeKind::Remove, Phase::Users, vec![action]);
            way.diff = vec![plain_diff(&label, format!("user {name}\n"), String::new())];
            way.things = vec![Thing::User { name: name.clone(), was: Some(was), home: None }];
            way.remark = remark;
        }
        Thing::User { name, was: Some(was), .. } => {
            let Some(now) = finding.view.account(name)? else {
                let mut argv = vec!["useradd".to_owned(), "-M".into(), "-u".into(), was.uid.to_string()];
                argv.extend([
                    "-d".into(),
                    was.home.clone(),
                    "-s".into(),
                    was.shell.clone(),
                    "-c".into(),
                    was.comment.clone(),
                ]);
                argv.extend([
                    "-g".into(),
                    was.group.clone(),
                    "-G".into(),
                    was.groups.join(","),
                    "--".into(),
                    name.clone(),
                ]);
                let way =
                    finding.way(&label, of, ChangeKind::Create, Phase::Users, vec![ExecSpec::argv(argv).into_action()]);
                way.remark = Some("its password and what was in its home are not brought back".to_owned());
                way.things = vec![Thing::User { name: name.clone(), was: None, home: None }];
                return Ok(());
            };
            let groups = |all: &[String]| all.iter().cloned().collect::<BTreeSet<_>>();
            let mut argv = vec!["usermod".to_owned()];
            let mut lines: Vec<(&str, String, String)> = vec![];
            for (key, option, is, want) in [
                ("shell", "-s", &now.shell, &was.shell),
                ("comment", "-c", &now.comment, &was.comment),
                ("home", "-d", &now.home, &was.home),
                ("group", "-g", &now.group, &was.group),
            ] {
                if is != want && !(key == "group" && want.is_empty()) {
                    argv.extend([option.to_owned(), want.clone()]);
                    lines.push((key, is.clone(), want.clone()));
                }
            }
            if groups(&now.groups) != groups(&was.groups) {
                argv.extend(["-G".to_owned(), was.groups.join(",")]);
                lines.push(("groups", now.groups.join(","), was.groups.join(",")));
            }
            if !lines.is_empty() {
                argv.extend(["--".to_owned(), name.clone()]);
                let diff = vec![crate::resources::attribute_diff(&label, &lines)];
                let way =
                    finding.way(&label, of, ChangeKind::Change, Phase::Users, vec![ExecSpec::argv(argv).into_action()]);
                way.diff = diff;
                way.things = vec![thing.clone()];
            }
        }
        Thing::Group { name, was: None } => {
            let Some(now) = finding.view.group(name)? else { return Ok(()) };
            let script = "! grep -q \"^$1:\" /etc/group || if command -v groupdel >/dev/null 2>&1; then groupdel -- \"$1\"; else delgroup \"$1\"; fi";
            let action = ExecSpec::argv(["sh", "-c", script, "sh", name.as_str()]).into_action();
            let way = finding.way(&label, of, ChangeKind::Remove, Phase::Groups, vec![action]);
            way.diff = vec![plain_diff(&label, format!("group {name}\n"), String::new())];
            way.things = vec![Thing::Group { name: name.clone(), was: Some(super::line::WasGroup { gid: now.gid }) }];
        }
        Thing::Group { name, was: Some(was) } if finding.view.group(name)?.is_none() => {
            let argv = ["groupadd", "-g", &was.gid.to_string(), "--", name];
            let way =
                finding.way(&label, of, ChangeKind::Create, Phase::Stop, vec![ExecSpec::argv(argv).into_action()]);
            way.things = vec![Thing::Group { name: name.clone(), was: None }];
        }
        _ => {}
    }
    Ok(())
}

enum Home {
    None,
    Skeleton,
    Used,
}

/// Whether a home holds no more than a new one does.
fn skeleton(finding: &Finding, home: &str, of: &Change) -> Result<Home, Stop> {
    if home.is_empty() || home == "/" || !of.paths.iter().any(|p| p == home) && !home.starts_with("/home/") {
        return Ok(Home::None);
    }
    let stat = finding.view.stat(home, false)?;
    if stat.is_none_or(|s| s.kind != FileKind::Directory) {
        return Ok(Home::None);
    }
    let (own, new) = (finding.view.tree(home, None)?, finding.view.tree("/etc/skel", None)?);
    let same = own.iter().all(|e| new.iter().any(|n| n.path == e.path && n.stat.size == e.stat.size));
    Ok(if same { Home::Skeleton } else { Home::Used })
}

/// A package: collected, since all of them are removed together.
pub(super) fn package(
    finding: &mut Finding,
    thing: &Thing,
    of: &Change,
    all: &mut Vec<(String, String, Change)>,
) -> Result<(), Stop> {
    let Thing::Package { name, was, by } = thing else { return Ok(()) };
    let now = finding.view.package(name)?;
    match (&now.installed, was) {
        (None, None) => {}
        (None, Some(version)) => finding.leave(
            &thing.label(),
            of,
            format!("version {version} was installed before; kdeploy does not install it again"),
        ),
        (Some(_), None) => all.push((name.clone(), by.clone(), of.clone())),
        (Some(now), Some(before)) if now != before => {
            finding.leave(&thing.label(), of, format!("it was {before} before; kdeploy does not go back to it"));
        }
        _ => {}
    }
    Ok(())
}

/// Removes what kdeploy installed and nothing else needs, with what came along and nothing needs any more.
pub(super) fn packages(
    finding: &mut Finding,
    all: &[(String, String, Change)],
    list: Option<(&Entry, usize)>,
) -> Result<(), Stop> {
    let (apt, others): (Vec<_>, Vec<_>) = all.iter().partition(|(_, by, _)| by.is_empty() || by == "apt");
    for (name, by, of) in others {
        let argv: Vec<&str> = match by.as_str() {
            "apk" => vec!["apk", "del", name],
            "pacman" => vec!["pacman", "-R", "--noconfirm", name],
            // Refuses where something needs it.
            _ => vec!["rpm", "-e", name],
        };
        let way = finding.way(
            &format!("package {name}"),
            of,
            ChangeKind::Remove,
            Phase::Packages,
            vec![ExecSpec::argv(argv).into_action()],
        );
        way.diff = vec![plain_diff(name, format!("package {name}\n"), String::new())];
    }
    let Some((_, _, of)) = apt.first() else { return Ok(()) };
    let mut names: Vec<&str> = apt.iter().map(|(name, ..)| name.as_str()).collect();
    // What was installed before, by the list that was kept.
    let before: Option<BTreeSet<String>> = match list.map(|(entry, place)| entry.path_before(place)) {
        Some(super::PathBefore::There(line)) => match line.d {
            Some(digest) => finding
                .view
                .content(&format!("{}/store/{digest}", finding.dir))?
                .map(|bytes| String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()),
            None => None,
        },
        _ => None,
    };
    loop {
        if names.is_empty() {
            return Ok(());
        }
        let needing: BTreeSet<String> = simulated(finding, &names, false)?
            .into_iter()
            .filter(|name| !names.contains(&name.as_str()))
            .filter(|name| before.as_ref().is_none_or(|b| b.contains(name)) || !came_along(finding, &names, name))
            .collect();
        let Some(one) = needing.iter().next() else { break };
        // Which of them it needs, one by one.
        let mut kept = vec![];
        for name in &names {
            if simulated(finding, &[name], false)?.iter().any(|n| needing.contains(n)) {
                kept.push(*name);
            }
        }
        if kept.is_empty() {
            kept.clone_from(&names);
        }
        for name in &kept {
            finding.leave(&format!("package {name}"), of, format!("the package `{one}` needs it"));
        }
        names.retain(|name| !kept.contains(name));
    }
    let mut along: Vec<String> = vec![];
    if let Some(before) = &before {
        along = simulated(finding, &names, true)?;
        along.retain(|name| !names.contains(&name.as_str()) && !before.contains(name));
    }
    let mut argv: Vec<String> =
        ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=60", "purge", "--"].map(str::to_owned).to_vec();
    argv.extend(names.iter().map(|n| (*n).to_owned()).chain(along.iter().cloned()));
    let env =
        [("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
    let spec = ExecSpec { command: Command::Argv(argv), env, ok_codes: vec![0], ..ExecSpec::default() };
    let shown: String =
        names.iter().map(|n| format!("{n}\n")).chain(along.iter().map(|n| format!("{n} (came along)\n"))).collect();
    finding.gone_packages = names.iter().map(|n| (*n).to_owned()).chain(along.iter().cloned()).collect();
    let label = format!("package {}", names.join(", "));
    let things = names
        .iter()
        .map(|name| Thing::Package {
            name: (*name).to_owned(),
            was: Some("installed".to_owned()),
            by: "apt".to_owned(),
        })
        .collect();
    let way = finding.way(&label, of, ChangeKind::Remove, Phase::Packages, vec![spec.into_action()]);
    way.diff = vec![plain_diff("packages", shown, String::new())];
    way.things = things;
    Ok(())
}

/// True if a package is there only because of these.
fn came_along(finding: &Finding, names: &[&str], name: &str) -> bool {
    simulated(finding, names, true).is_ok_and(|all| all.iter().any(|n| n == name))
        && simulated(finding, &[name], false)
            .is_ok_and(|all| all.iter().all(|n| names.contains(&n.as_str()) || n == name))
}

/// What apt would remove.
fn simulated(finding: &Finding, names: &[&str], along: bool) -> Result<Vec<String>, Stop> {
    let mut argv: Vec<&str> = vec!["apt-get", "-s", "-o", "Debug::NoLocking=1", "-q", "-y"];
    if along {
        argv.push("--auto-remove");
    }
    argv.push("purge");
    argv.extend(names);
    let output = finding.view.read(argv)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|l| l.strip_prefix("Purg ").or_else(|| l.strip_prefix("Remv ")))
        .filter_map(|l| l.split_whitespace().next())
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .collect())
}
