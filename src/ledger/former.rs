//! What a change touches and how that was before: read off its effects, its actions and the world they change.

use crate::blob::{Algorithm, Blob};
use crate::ledger::line::{Thing, WasGroup, WasUser};
use crate::node::{Action, Command};
use crate::resources::{Change, ChangeKind, Resource};
use crate::world::{Answer, Query, View, World};

/// Stands among the paths for the list of installed packages.
pub const PACKAGES: &str = "//packages";
/// A longer way back of an edited text is not kept: the whole former file is.
const PATCH_BYTES: usize = 16 * 1024;

/// What is noted of a change besides its paths' former state, which the node itself notes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Former {
    pub paths: Vec<String>,
    pub wrote: Vec<Option<String>>,
    pub things: Vec<Thing>,
    pub patch: Option<String>,
    pub lost: Option<String>,
}

/// Works out what a change touches. `world`: as it is before the change. `secret`: nothing of contents is noted.
pub fn former(world: &World, resource: &dyn Resource, change: &Change, secret: bool) -> Former {
    let view = View::new(world);
    let mut found = Former::default();
    for action in &change.actions {
        of_action(&mut found, action);
    }
    for effect in &change.effects {
        match &effect.query {
            Query::Stat { path, .. } | Query::Content { path } => found.add_path(path),
            Query::Account { name } => {
                let home = match &effect.answer {
                    Ok(Answer::Account(Some(account))) => Some(account.home.clone()),
                    _ => None,
                };
                let was = view.account(name).ok().flatten().map(|a| WasUser {
                    uid: a.uid,
                    group: a.group,
                    comment: a.comment,
                    home: a.home,
                    shell: a.shell,
                    groups: a.groups,
                });
                found.add(Thing::User { name: name.clone(), was, home });
            }
            Query::Group { name } => {
                let was = view.group(name).ok().flatten().map(|g| WasGroup { gid: g.gid });
                found.add(Thing::Group { name: name.clone(), was });
            }
            Query::Package { name } => {
                let was = view.package(name).ok().and_then(|p| p.installed);
                let by = change.actions.iter().find_map(package_tool).unwrap_or_default();
                found.add(Thing::Package { name: name.clone(), was, by });
            }
            Query::Unit { name, user } => found.add_unit(&view, name, *user),
            _ => {}
        }
    }
    for action in &change.actions {
        if let Action::Systemctl { verb, units, user, .. } = action
            && !verb.starts_with("daemon-")
        {
            units.iter().for_each(|unit| found.add_unit(&view, unit, *user));
        }
    }
    if found.things.iter().any(|t| matches!(t, Thing::Package { was: None, by, .. } if by == "apt")) {
        found.paths.push(PACKAGES.to_owned());
    }
    let inverse = resource.inverse(&view, change);
    inverse.paths.iter().for_each(|path| found.add_path(path));
    found.things.extend(inverse.commands.into_iter().map(|(name, argv)| Thing::Command { name, argv }));
    found.things.extend(inverse.tree.map(|(name, guard)| {
        let existed = change.kind != ChangeKind::Create;
        Thing::Tree { name, existed, guard }
    }));
    found.wrote = found.paths.iter().map(|path| if secret { None } else { written(change, path) }).collect();
    if !secret {
        found.patch = patch(change, &found.paths);
    }
    let runs =
        change.actions.iter().any(|a| matches!(a, Action::Exec(_) | Action::Background(_) | Action::Reboot { .. }));
    if runs && (found.things.is_empty() && (found.paths.is_empty() || change.opaque && change.effects.is_empty())) {
        found.lost = Some(inverse.because.unwrap_or_else(|| "what a command does, kdeploy does not know".to_owned()));
    } else if let Some(because) = inverse.because {
        found.lost = Some(because);
    }
    found
}

impl Former {
    fn add(&mut self, thing: Thing) {
        if !self.things.iter().any(|t| t.label() == thing.label()) {
            self.things.push(thing);
        }
    }

    fn add_unit(&mut self, view: &View, name: &str, user: bool) {
        let state = view.unit(name, user).ok();
        let thing = Thing::Unit {
            name: name.to_owned(),
            user,
            existed: state.as_ref().is_none_or(|s| s.load != "not-found"),
            file_state: state.as_ref().map(|s| s.file_state.clone()).unwrap_or_default(),
            active: state.is_some_and(|s| matches!(s.active.as_str(), "active" | "activating" | "reloading")),
        };
        self.add(thing);
    }

    fn add_path(&mut self, path: &str) {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let foreign = ["/proc/", "/sys/", "/dev/"].iter().any(|dir| path.starts_with(dir));
        if path.starts_with('/') && path != "/" && !foreign && !self.paths.iter().any(|p| p == path) {
            self.paths.push(path.to_owned());
        }
    }
}

/// Paths an action changes; what it changes below a folder is left to the effects.
fn of_action(found: &mut Former, action: &Action) {
    match action {
        Action::WriteFile { path, backup, .. } | Action::CopyOnNode { path, backup, .. } => {
            found.add_path(path);
            backup.iter().for_each(|path| found.add_path(path));
        }
        Action::MakeDir { path, .. }
        | Action::Symlink { path, .. }
        | Action::Hardlink { path, .. }
        | Action::SetMode { path, .. }
        | Action::SetOwner { path, .. }
        | Action::Touch { path, .. }
        | Action::Remove { path } => found.add_path(path),
        Action::Rename { from, to } => {
            found.add_path(from);
            found.add_path(to);
        }
        _ => {}
    }
}

/// The program that an action installs packages with.
fn package_tool(action: &Action) -> Option<String> {
    let Action::Exec(spec) = action else { return None };
    let Command::Argv(argv) = &spec.command else { return None };
    let program = argv.first()?.rsplit('/').next()?;
    Some(match program {
        "apt-get" | "apt" | "aptitude" | "dpkg" => "apt".to_owned(),
        "dnf" | "yum" | "zypper" | "apk" | "pacman" => program.to_owned(),
        _ => return None,
    })
}

/// SHA-256 of what a change writes to a path, if that is foretold.
fn written(change: &Change, path: &str) -> Option<String> {
    let by_action = change.actions.iter().find_map(|action| match action {
        Action::WriteFile { path: p, content: Blob::Bytes(bytes), .. } if p == path => {
            Some(Algorithm::Sha256.hex(bytes))
        }
        _ => None,
    });
    by_action.or_else(|| {
        change.effects.iter().find_map(|effect| match (&effect.query, &effect.answer) {
            (Query::Digest { path: p, algorithm: Algorithm::Sha256 }, Ok(Answer::Digest(digest))) if p == path => {
                digest.clone()
            }
            (Query::Content { path: p }, Ok(Answer::Content(Some(bytes)))) if p == path => {
                Some(Algorithm::Sha256.hex(bytes))
            }
            _ => None,
        })
    })
}

/// The way back of one edited text: where others edit the file too, their lines stay.
fn patch(change: &Change, paths: &[String]) -> Option<String> {
    let path = paths.first()?;
    if paths.len() > 2 {
        return None;
    }
    let after = change.effects.iter().find_map(|effect| match (&effect.query, &effect.answer) {
        (Query::Content { path: p }, Ok(Answer::Content(Some(bytes)))) if p == path => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        _ => None,
    })?;
    let diff = change.diff.iter().find(|d| d.after == after && !d.before.is_empty())?;
    let text = similar::TextDiff::from_lines(&diff.after, &diff.before).unified_diff().context_radius(2).to_string();
    (text.len() <= PATCH_BYTES).then_some(text)
}
