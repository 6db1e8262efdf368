//! The way back of files, links and folders.

use super::back::{Finding, Phase, changed_since};
use super::journal::{Entry, PathBefore};
use super::line::{Before, Change, Thing};
use crate::blob::{Algorithm, Blob};
use crate::node::{Action, ExecSpec, Owner};
use crate::resources::{ChangeKind, plain_diff};
use crate::world::{FileKind, Query, Stat, Stop};

/// One path. `chain`: the changes that are taken back, oldest first; `later`: changes of others since. Folders that kdeploy made
/// are collected: whether they go depends on what else goes.
pub(super) fn path(
    finding: &mut Finding,
    path: &str,
    chain: &[(&Entry, usize)],
    later: &[&Entry],
    folders: &mut Vec<(String, Change)>,
) -> Result<(), Stop> {
    let (first, place) = chain[0];
    let last = &chain[chain.len() - 1].0.change;
    let stat = finding.view.stat(path, false)?;
    match first.path_before(place) {
        PathBefore::Untold => {
            if stat.is_some() {
                finding.leave(path, last, "the ledger does not say what was there before".to_owned());
            }
            Ok(())
        }
        PathBefore::Nothing => match stat {
            None => Ok(()),
            Some(stat) if stat.kind == FileKind::Directory => {
                folders.push((path.to_owned(), last.clone()));
                Ok(())
            }
            Some(_) if !later.is_empty() => {
                finding.leave(path, last, changed_since(later[later.len() - 1]));
                Ok(())
            }
            Some(stat) => {
                let remark = foreign(finding, path, chain, &stat)?;
                finding.gone.insert(path.to_owned());
                let actions = vec![Action::Remove { path: path.to_owned() }];
                let way = finding.way(path, last, ChangeKind::Remove, Phase::Files, actions);
                way.paths = vec![path.to_owned()];
                way.diff = vec![plain_diff(path, format!("{}\n", words(&stat)), String::new())];
                way.remark = remark;
                Ok(())
            }
        },
        PathBefore::There(before) => match before.t.as_str() {
            "f" => file(finding, path, chain, later, &before, stat.as_ref()),
            "l" => link(finding, path, last, &before, stat.as_ref()),
            "d" => folder_before(finding, path, last, &before, stat.as_ref()),
            _ => {
                finding.leave(path, last, "it was neither file, link nor folder".to_owned());
                Ok(())
            }
        },
    }
}

/// Whether somebody else wrote to a file since kdeploy did.
fn foreign(finding: &Finding, path: &str, chain: &[(&Entry, usize)], stat: &Stat) -> Result<Option<String>, Stop> {
    let wrote = chain.iter().rev().find_map(|(e, place)| e.change.wrote.get(*place).cloned().flatten());
    let (Some(wrote), FileKind::File) = (wrote, stat.kind) else { return Ok(None) };
    let now = finding.view.digest(path, Algorithm::Sha256)?;
    Ok((now.is_some_and(|d| d != wrote)).then(|| "its content was changed since, by something else".to_owned()))
}

fn words(stat: &Stat) -> String {
    match stat.kind {
        FileKind::Link => format!("link to {}", stat.target.as_deref().unwrap_or("?")),
        FileKind::Directory => format!("folder, mode {:04o}", stat.mode),
        _ => format!("file of {} bytes, mode {:04o}", stat.size, stat.mode),
    }
}

fn owner(before: &Before) -> Owner {
    Owner { user: Some(before.u.to_string()), group: Some(before.g.to_string()) }
}

fn mode(before: &Before) -> u32 {
    u32::from_str_radix(&before.m, 8).unwrap_or(0o600)
}

/// Where a former content is kept, if it is there and what it should be.
fn kept(finding: &Finding, before: &Before) -> Result<Option<String>, Stop> {
    let Some(digest) = before.d.as_ref().filter(|_| before.kept) else { return Ok(None) };
    let path = format!("{}/store/{digest}", finding.dir);
    let now = finding.view.digest(&path, Algorithm::Sha256)?;
    Ok((now.as_ref() == Some(digest)).then_some(path))
}

fn file(
    finding: &mut Finding,
    path: &str,
    chain: &[(&Entry, usize)],
    later: &[&Entry],
    before: &Before,
    stat: Option<&Stat>,
) -> Result<(), Stop> {
    let last = &chain[chain.len() - 1].0.change;
    let is_file = stat.is_some_and(|s| s.kind == FileKind::File);
    let now = if is_file { finding.view.digest(path, Algorithm::Sha256)? } else { None };
    if let (Some(stat), true) = (stat, now.is_some() && now == before.d) {
        attributes(finding, path, last, before, stat);
        return Ok(());
    }
    let wrote = chain.iter().rev().find_map(|(e, place)| e.change.wrote.get(*place).cloned().flatten());
    let ours = later.is_empty() && (!is_file || wrote.is_none() || wrote == now);
    let kept = kept(finding, before)?;
    if let (true, Some(source)) = (ours, kept) {
        let action = Action::CopyOnNode {
            source,
            path: path.to_owned(),
            mode: Some(mode(before)),
            owner: owner(before),
            validate: None,
            backup: None,
        };
        let shown = stat.map_or(String::new(), |s| format!("{}\n", words(s)));
        let way = finding.way(path, last, ChangeKind::Change, Phase::Files, vec![action]);
        way.paths = vec![path.to_owned()];
        way.diff =
            vec![plain_diff(path, shown, format!("file of {} bytes, mode {}, as it was before\n", before.s, before.m))];
        return Ok(());
    }
    // Others wrote there too, or the former content is not there: what kdeploy edited is edited back.
    let patches: Option<Vec<&String>> =
        chain.iter().rev().map(|(e, place)| e.change.patch.as_ref().filter(|_| *place == 0)).collect();
    if let (Some(patches), true) = (patches, is_file) {
        let content = finding.view.content(path)?.unwrap_or_default();
        let mut text = String::from_utf8(content.to_vec()).ok();
        let old = text.clone();
        for patch in patches {
            text = text.and_then(|text| super::patch::apply(&text, patch));
        }
        if let (Some(text), Some(old)) = (text, old) {
            let action = Action::WriteFile {
                path: path.to_owned(),
                content: Blob::Bytes(std::sync::Arc::new(text.clone().into_bytes())),
                mode: Some(mode(before)),
                owner: owner(before),
                validate: None,
                backup: None,
            };
            let way = finding.way(path, last, ChangeKind::Change, Phase::Files, vec![action]);
            way.paths = vec![path.to_owned()];
            way.diff = vec![plain_diff(path, old, text)];
            return Ok(());
        }
    }
    let why = match (later.last(), before.kept, before.why.as_deref()) {
        (Some(other), ..) => changed_since(other),
        (None, false, Some("secret")) => "its former content was not kept: it may hold secrets".to_owned(),
        (None, false, Some("full")) => "its former content was not kept: the store of the ledger was full".to_owned(),
        (None, false, _) => format!("its former content was not kept: {} bytes are too many", before.s),
        (None, true, _) if !ours => "it was changed since, by something else".to_owned(),
        (None, true, _) => "its former content is not in the ledger's store any more".to_owned(),
    };
    finding.leave(path, last, why);
    Ok(())
}

/// Mode and owner as they were.
fn attributes(finding: &mut Finding, path: &str, of: &Change, before: &Before, stat: &Stat) {
    let mut actions = vec![];
    if (stat.uid, stat.gid) != (before.u, before.g) {
        actions.push(Action::SetOwner { path: path.to_owned(), owner: owner(before), recursive: false, follow: false });
    }
    // chown takes special bits away.
    if stat.mode != mode(before) || !actions.is_empty() {
        actions.push(Action::SetMode { path: path.to_owned(), mode: mode(before), follow: false });
    }
    if actions.is_empty() {
        return;
    }
    let line = |m: u32, u: u32, g: u32| format!("mode: {m:04o}\nowner: {u}:{g}\n");
    let way = finding.way(path, of, ChangeKind::Change, Phase::Files, actions);
    way.paths = vec![path.to_owned()];
    way.diff = vec![plain_diff(path, line(stat.mode, stat.uid, stat.gid), line(mode(before), before.u, before.g))];
}

fn link(finding: &mut Finding, path: &str, of: &Change, before: &Before, stat: Option<&Stat>) -> Result<(), Stop> {
    let target = match kept(finding, before)? {
        Some(kept) => finding.view.content(&kept)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        None => None,
    };
    let Some(target) = target else {
        finding.leave(path, of, "where the link led is not in the ledger's store any more".to_owned());
        return Ok(());
    };
    if stat.is_some_and(|s| s.kind == FileKind::Link && s.target.as_deref() == Some(target.as_str())) {
        return Ok(());
    }
    if stat.is_some_and(|s| s.kind == FileKind::Directory) {
        finding.leave(path, of, "a folder is there now".to_owned());
        return Ok(());
    }
    let action = Action::Symlink { path: path.to_owned(), target: target.clone() };
    let shown = stat.map_or(String::new(), |s| format!("{}\n", words(s)));
    let way = finding.way(path, of, ChangeKind::Change, Phase::Files, vec![action]);
    way.paths = vec![path.to_owned()];
    way.diff = vec![plain_diff(path, shown, format!("link to {target}\n"))];
    Ok(())
}

fn folder_before(
    finding: &mut Finding,
    path: &str,
    of: &Change,
    before: &Before,
    stat: Option<&Stat>,
) -> Result<(), Stop> {
    match stat {
        Some(stat) if stat.kind == FileKind::Directory => attributes(finding, path, of, before, stat),
        Some(_) => finding.leave(path, of, "a folder was there, now something else is".to_owned()),
        None => {
            let action = Action::MakeDir { path: path.to_owned(), mode: Some(mode(before)), owner: owner(before) };
            let mut actions = vec![action];
            let mut paths = vec![path.to_owned()];
            let archive = kept(finding, before)?;
            if let Some(archive) = &archive {
                // Each comes back, and is noted, so that this can be taken back as well.
                let listing = finding.view.read(["tar", "-tf", archive])?;
                let members = String::from_utf8_lossy(&listing.stdout).into_owned();
                let names = members.lines().filter_map(|l| l.strip_prefix("./")).map(|name| name.trim_end_matches('/'));
                paths.extend(names.filter(|name| !name.is_empty()).map(|name| format!("{path}/{name}")));
                let spec = ExecSpec::argv(["tar", "-C", path, "-xpf", archive]);
                actions.push(Action::Exec(ExecSpec { ok_codes: vec![0], ..spec }));
            }
            let way = finding.way(path, of, ChangeKind::Create, Phase::Files, actions);
            way.paths = paths;
            if archive.is_none() {
                let why = match before.why.as_deref() {
                    Some("secret") => ": it may hold secrets",
                    Some("full") => ": the store of the ledger was full",
                    Some("tar") => ": the node's `tar` could not read it",
                    Some(_) => ": it was too large",
                    None => "",
                };
                way.remark = Some(format!("what was in the folder was not kept{why}"));
            }
        }
    }
    Ok(())
}

/// A folder with all that is in it goes if kdeploy made it and its guard finds nothing of others in it.
pub(super) fn tree(finding: &mut Finding, path: &str, chain: &[(&Entry, &Thing)]) -> Result<(), Stop> {
    let (Thing::Tree { existed, .. }, Some((last, Thing::Tree { guard, .. }))) = (chain[0].1, chain.last()) else {
        return Ok(());
    };
    let of = &last.change;
    if *existed {
        finding.leave(path, of, "it was there before; what it held then is not kept".to_owned());
        return Ok(());
    }
    if finding.view.stat(path, false)?.is_none() {
        return Ok(());
    }
    let look = finding.view.read(guard.clone())?;
    if look.rc != 0 {
        finding.leave(path, of, look.error_text().trim().to_owned());
        return Ok(());
    }
    finding.gone.insert(path.to_owned());
    let way = finding.way(path, of, ChangeKind::Remove, Phase::Files, vec![Action::Remove { path: path.to_owned() }]);
    way.paths = vec![path.to_owned()];
    way.diff = vec![plain_diff(path, "folder\n".to_owned(), String::new())];
    Ok(())
}

/// A folder that kdeploy made goes if nothing is in it but what goes too.
pub(super) fn folder(finding: &mut Finding, path: &str, of: &Change) -> Result<(), Stop> {
    let query = Query::Tree { path: path.to_owned(), max_depth: Some(1) };
    let entries = match finding.view.ask(query)? {
        crate::world::Answer::Tree(tree) => tree,
        _ => std::sync::Arc::default(),
    };
    let foreign: Vec<&str> = entries
        .iter()
        .map(|e| e.path.as_str())
        .filter(|name| !finding.gone.contains(&format!("{path}/{name}")))
        .collect();
    if let Some(one) = foreign.first() {
        let why = match foreign.len() {
            1 => format!("not empty: kdeploy did not make `{one}` in it"),
            n => format!("not empty: kdeploy did not make {n} things in it, such as `{one}`"),
        };
        finding.leave(path, of, why);
        return Ok(());
    }
    finding.gone.insert(path.to_owned());
    let action = crate::node::ExecSpec::argv(["rmdir", "--", path]).into_action();
    let way = finding.way(path, of, ChangeKind::Remove, Phase::Folders, vec![action]);
    way.paths = vec![path.to_owned()];
    way.diff = vec![plain_diff(path, "folder\n".to_owned(), String::new())];
    Ok(())
}
