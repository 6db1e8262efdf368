//! Replies of package databases: dpkg, rpm, apk, pacman.

use super::Reply;
use crate::world::{Answer, PackageState};

const NO_MANAGER: &str = "the node has none of the package databases dpkg, rpm, apk, pacman";

pub fn packages(names: &[String], reply: &Reply) -> Vec<Answer> {
    names.iter().map(|name| state(name, reply).map_or(Answer::Failed(NO_MANAGER.into()), Answer::Package)).collect()
}

fn state(name: &str, reply: &Reply) -> Option<PackageState> {
    let manager = reply.sections.iter().find(|s| matches!(&*s.tag, "dpkg" | "rpm" | "apk" | "pacman"))?;
    let text = reply.text("o");
    let mut state = PackageState::default();
    match manager.tag.as_str() {
        "dpkg" => {
            let (plain, arch) = name.split_once(':').map_or((name, None), |(n, a)| (n, Some(a)));
            for line in text.lines() {
                let fields: Vec<&str> = line.split('\t').collect();
                let [package, architecture, status, version] = fields[..] else { continue };
                if package != plain || arch.is_some_and(|a| a != architecture) {
                    continue;
                }
                let mut words = status.split(' ');
                state.held |= words.next() == Some("hold");
                match words.nth(1) {
                    Some("installed" | "triggers-pending" | "triggers-awaited") => {
                        state.installed = Some(version.to_owned());
                    }
                    Some("config-files") => state.residual_config = true,
                    _ => {}
                }
            }
        }
        "rpm" => {
            for line in text.lines() {
                let fields: Vec<&str> = line.split('\t').collect();
                let [package, arch, epoch, version] = fields[..] else { continue };
                if package == name || format!("{package}.{arch}") == name {
                    let epoch = if matches!(epoch, "(none)" | "0") { String::new() } else { format!("{epoch}:") };
                    state.installed = Some(format!("{epoch}{version}"));
                }
            }
        }
        "apk" => {
            for line in text.lines() {
                // NAME-VERSION-rN
                let mut parts = line.rsplitn(3, '-');
                let (Some(release), Some(version), Some(package)) = (parts.next(), parts.next(), parts.next()) else {
                    continue;
                };
                if package == name {
                    state.installed = Some(format!("{version}-{release}"));
                }
            }
        }
        _ => {
            state.installed = text.lines().find_map(|line| {
                let (package, version) = line.split_once(' ')?;
                (package == name).then(|| version.to_owned())
            });
        }
    }
    Some(state)
}

/// `apt-cache policy` after the package query: blocks `NAME:` with `  Candidate: VERSION`.
pub fn candidates(names: &[String], reply: &Reply) -> Vec<Answer> {
    let policies: String = reply
        .sections
        .iter()
        .filter(|s| s.tag == "o")
        .nth(1)
        .map(|s| String::from_utf8_lossy(&s.body).into_owned())
        .unwrap_or_default();
    names
        .iter()
        .map(|name| {
            let Some(mut state) = state(name, reply) else { return Answer::Failed(NO_MANAGER.into()) };
            let header = format!("{name}:");
            let mut inside = false;
            for line in policies.lines() {
                if !line.starts_with(' ') {
                    inside = line == header;
                } else if let (true, Some(version)) = (inside, line.trim().strip_prefix("Candidate: ")) {
                    state.candidate = (version != "(none)").then(|| version.to_owned());
                }
            }
            Answer::Package(state)
        })
        .collect()
}
