//! `package_facts`: the installed packages as facts.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use super::kit::{self};
use super::{ArgSpec, Conduct, Kind, Resource, ResourceType, TaskResult, Verdict};
use crate::world::{Query, Stop, View};

/// `package_facts`.
pub static TYPE: ResourceType = ResourceType {
    name: "package_facts",
    qualified: &["ansible.builtin.package_facts"],
    doc: include_str!("doc/package_facts.md"),
    args: &[
        ArgSpec::new("manager", Kind::List, "Which databases to read").default("auto").choices(&[
            "apk",
            "apt",
            "auto",
            "dnf",
            "dnf5",
            "openbsd_pkg",
            "pacman",
            "pkg",
            "pkg5",
            "pkg_info",
            "pkgng",
            "portage",
            "rpm",
            "yum",
            "zypper",
        ]),
        ArgSpec::new("strategy", Kind::Str, "Accepted, without effect").default("first").choices(&["first", "all"]),
    ],
    free_form: None,
    conduct: Conduct::Looks,
    build: |args, _| Ok(Arc::new(Facts { managers: args.list("manager")? })),
};

struct Facts {
    managers: Vec<String>,
}

impl Facts {
    /// Whether a database may be read: `auto` is all of them.
    fn wants(&self, index: usize) -> bool {
        const NAMES: [&[&str]; 4] = [&["apt"], &["rpm", "dnf", "dnf5", "yum", "zypper"], &["apk"], &["pacman"]];
        self.managers.iter().any(|m| m == "auto" || NAMES[index].contains(&m.as_str()))
    }
}

const DPKG: &[&str] =
    &["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${Section}\t${db:Status-Status}\n"];

const RPM: &[&str] = &["rpm", "-qa", "--qf", "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{EPOCH}\t%{ARCH}\n"];

const APK: &[&str] = &["apk", "info", "-v"];

const PACMAN: &[&str] = &["pacman", "-Q"];

impl Resource for Facts {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let all = [DPKG, RPM, APK, PACMAN];
        world.want(all.map(|argv| Query::Read { argv: argv.iter().map(|s| (*s).to_owned()).collect() }));
        let mut packages: IndexMap<String, Vec<Value>> = IndexMap::new();
        let mut found = false;
        for (i, argv) in all.iter().enumerate() {
            let said = world.read(argv.iter().copied())?;
            if said.rc != 0 || found || !self.wants(i) {
                continue;
            }
            found = true;
            for line in said.text().lines() {
                if let Some((name, entry)) = entry(i, line) {
                    packages.entry(name).or_default().push(entry);
                }
            }
        }
        if !found {
            let list = self.managers.iter().map(|m| format!("'{m}'")).collect::<Vec<_>>().join(", ");
            return Ok(kit::failed(format!(
                "Could not detect a supported package manager from the following list: [{list}]"
            )));
        }
        let packages = kit::map(packages.into_iter().map(|(name, list)| (name, Value::from(list))));
        let facts = kit::map([("packages".to_owned(), packages)]);
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_facts", facts)))
    }
}

fn entry(manager: usize, line: &str) -> Option<(String, Value)> {
    let text = |key: &str, value: &str| (key.to_owned(), Value::from(value));
    let fields: Vec<&str> = line.split('\t').collect();
    let (name, map) = match (manager, fields.as_slice()) {
        (0, [name, version, arch, section, "installed"]) => (
            *name,
            vec![
                text("name", name),
                text("version", version),
                text("arch", arch),
                text("category", section),
                text("origin", ""),
                text("source", "apt"),
            ],
        ),
        (1, [name, version, release, epoch, arch]) => {
            let epoch = epoch.parse::<i64>().map_or(Value::from(()), Value::from);
            let entries = vec![
                text("arch", arch),
                ("epoch".to_owned(), epoch),
                text("name", name),
                text("release", release),
                text("source", "rpm"),
                text("version", version),
            ];
            (*name, entries)
        }
        (2, _) => {
            let (rest, release) = line.trim().rsplit_once('-')?;
            let (name, version) = rest.rsplit_once('-')?;
            let full = format!("{version}-{release}");
            (name, vec![text("name", name), text("version", &full), text("source", "apk")])
        }
        (3, _) => {
            let (name, version) = line.split_once(' ')?;
            (name, vec![text("name", name), text("version", version), text("source", "pacman")])
        }
        _ => return None,
    };
    Some((name.to_owned(), kit::map(map)))
}
