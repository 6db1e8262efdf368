//! What starting, stopping, enabling and disabling a unit does beside the unit itself: other units, links, files below /run.

use crate::template::Unknown;
use crate::world::{Answer, Effect, FileKind, Query, Stat, Stop, UnitState, View};

/// Which property of a unit names those that stop and restart with it, and how the other one says so.
const TIES: [(&str, &str); 3] = [("RequiredBy", "requires"), ("BoundBy", "is bound to"), ("ConsistsOf", "is part of")];

/// Units that systemd stops and restarts with a unit, and why: those that require it, are bound to it or are part of it.
pub fn tied(state: &UnitState) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &'static str)> = vec![];
    for (property, tie) in TIES {
        for unit in state.properties.get(property).into_iter().flat_map(|names| names.split_whitespace()) {
            // A target has nothing that could be interrupted.
            if !unit.ends_with(".target") && !unit.ends_with(".slice") && !found.iter().any(|(name, _)| name == unit) {
                found.push((unit.to_owned(), tie));
            }
        }
    }
    found
}

/// Units that run and stop with this one, directly or through others.
pub fn stopped_along(view: &View, unit: &str, state: &UnitState, user: bool) -> Result<Vec<Effect>, Stop> {
    let mut effects = vec![];
    let mut seen = vec![unit.to_owned()];
    let mut open = vec![state.clone()];
    while let Some(state) = open.pop() {
        let names: Vec<String> = tied(&state).into_iter().map(|(name, _)| name).filter(|n| !seen.contains(n)).collect();
        view.want(names.iter().map(|name| Query::Unit { name: name.clone(), user }));
        for name in names {
            let mut other = view.unit(&name, user)?;
            seen.push(name.clone());
            if !matches!(other.active.as_str(), "active" | "activating" | "reloading") {
                continue;
            }
            open.push(other.clone());
            "inactive".clone_into(&mut other.active);
            "dead".clone_into(&mut other.sub);
            for (property, value) in [("ActiveState", "inactive"), ("SubState", "dead")] {
                if let Some(known) = other.properties.get_mut(property) {
                    value.clone_into(known);
                }
            }
            effects.push(Effect { query: Query::Unit { name, user }, answer: Ok(Answer::Unit(Box::new(other))) });
        }
    }
    Ok(effects)
}

/// The links that enable a unit with this file.
pub fn install_links(unit: &str, text: &str) -> Vec<String> {
    let mut links = vec![];
    for line in text.lines() {
        let Some((key, targets)) = line.split_once('=') else { continue };
        let kind = match key.trim() {
            "WantedBy" => "wants",
            "RequiredBy" => "requires",
            _ => continue,
        };
        links.extend(targets.split_whitespace().map(|t| format!("/etc/systemd/system/{t}.{kind}/{unit}")));
    }
    links
}

/// The links that come or go when a unit is enabled or disabled; `file` is the unit's own file, where it is known.
pub fn enabling(
    view: &View,
    unit: &str,
    state: &UnitState,
    file: Option<&str>,
    enable: bool,
) -> Result<Vec<Effect>, Stop> {
    let file =
        file.map(str::to_owned).or_else(|| state.properties.get("FragmentPath").cloned()).filter(|p| !p.is_empty());
    let Some(file) = file else { return Ok(vec![]) };
    let text = match view.content(&file) {
        Ok(Some(content)) => String::from_utf8_lossy(&content).into_owned(),
        Err(Stop::Needs) => return Err(Stop::Needs),
        _ => return Ok(vec![]),
    };
    let stat = enable.then(|| Stat {
        kind: FileKind::Link,
        mode: 0o777,
        uid: 0,
        gid: 0,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        size: file.len() as u64,
        mtime: f64::NAN,
        atime: f64::NAN,
        ctime: f64::NAN,
        inode: 0,
        device: 0,
        links: 1,
        target: Some(file.clone()),
        real: Some(file.clone()),
    });
    Ok(install_links(unit, &text)
        .iter()
        .flat_map(|link| super::attributes::stat_effects(link, stat.as_ref()))
        .collect())
}

/// What a unit that starts or ends may make or take away below /run: known only afterwards.
pub fn run_files(unit: &str, state: &UnitState) -> Vec<Effect> {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem).trim_end_matches('@');
    let mut paths: Vec<String> = ["", ".pid", ".sock"].iter().map(|end| format!("/run/{stem}{end}")).collect();
    paths.extend(state.properties.get("PIDFile").filter(|p| p.starts_with("/run/")).cloned());
    let unknown = Unknown::after_this_step();
    let of = |path: &String| {
        [
            Query::Stat { path: path.clone(), follow: false },
            Query::Stat { path: path.clone(), follow: true },
            Query::Tree { path: path.clone(), max_depth: None },
        ]
        .map(|query| Effect { query, answer: Err(unknown.clone()) })
    };
    paths.iter().flat_map(of).collect()
}
