//! What a playbook declares for a host, as its plan shows it: what `--prune` must keep, and what `--assume-owned` takes for kdeploy's.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{Before, Change, Entry, Journal, Thing as Kept};
use crate::plan::{Knowledge, Outcome, Planned, Status, Step, Thing};

/// What one host's plan declares.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Labels of things, paths as they are.
    things: BTreeSet<String>,
    /// Tasks of which it is not known what they would make, by role and name: what they made before stays.
    held_tasks: BTreeSet<(Option<String>, String)>,
    /// Where tasks put things that a plan does not name one by one where they are as desired (members of archives, folders): what the
    /// same task made there before stays.
    filled: BTreeMap<(Option<String>, String), BTreeSet<String>>,
    /// Roles with an include that was skipped or is not known.
    held_roles: BTreeSet<Option<String>>,
}

impl Declared {
    /// Of every host whose plan went through.
    pub fn of(outcome: &Outcome) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = outcome.hosts.keys().map(|h| (h.clone(), Self::default())).collect();
        for step in &outcome.steps {
            if let Some(declared) = all.get_mut(&step.host) {
                declared.add(step);
            }
        }
        // A plan that fails half-way does not tell what is declared behind.
        all.retain(|host, _| outcome.hosts.get(host).is_some_and(|h| h.failed + h.unreachable == h.forgiven));
        all
    }

    fn add(&mut self, step: &Step) {
        let key = (step.role.clone(), step.task.clone());
        if step.action.contains("include_") && step.status != Status::Ok {
            self.held_roles.insert(step.role.clone());
        }
        let unsure = matches!(step.status, Status::Skipped | Status::Unknown | Status::Failed)
            || step.planned == Planned::Unknown
            || step.handler && step.knowledge == Knowledge::Unknown;
        if unsure {
            self.held_tasks.insert(key);
        }
        if is_absent(step) {
            return;
        }
        let paths = step.basis.makes.iter().filter_map(label).filter(|label| label.starts_with('/'));
        self.filled.entry((step.role.clone(), step.task.clone())).or_default().extend(paths);
        self.things.extend(step.basis.makes.iter().filter_map(label));
    }

    /// True if a change's task may still make what it made.
    pub fn holds(&self, change: &Change) -> bool {
        let key = (change.role.clone(), change.task.clone());
        let fills = |path: &String| {
            self.filled.get(&key).is_some_and(|places| {
                places
                    .iter()
                    .any(|place| path == place || path.starts_with(&format!("{}/", place.trim_end_matches('/'))))
            })
        };
        self.held_roles.contains(&change.role)
            || self.held_tasks.contains(&key)
            || !change.paths.is_empty() && change.paths.iter().all(fills)
    }

    /// True if a thing is declared: itself, a folder above something declared, or what lies in a folder that is filled.
    pub fn keeps(&self, label: &str) -> bool {
        if self.things.contains(label) {
            return true;
        }
        if let Some(unit) = label.strip_prefix("unit ") {
            let file = |dir: &str| self.things.contains(&format!("{dir}/{unit}"));
            return ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"].iter().any(|d| file(d));
        }
        if !label.starts_with('/') {
            return false;
        }
        let below = format!("{label}/");
        if self.things.range(below.clone()..).next().is_some_and(|t| t.starts_with(&below)) {
            return true;
        }
        false
    }
}

/// Whether a step says that something shall not be.
fn is_absent(step: &Step) -> bool {
    step.planned == Planned::Remove
        || step.result.values.get("state").and_then(|v| v.as_str()).is_some_and(|state| state == "absent")
}

fn label(thing: &Thing) -> Option<String> {
    Some(match thing {
        Thing::Path(path) => path.clone(),
        Thing::User(name) => format!("user {name}"),
        Thing::Group(name) => format!("group {name}"),
        Thing::Unit(name) => format!("unit {name}"),
        Thing::Package(name) => format!("package {name}"),
        Thing::Variable(_) => return None,
    })
}

/// Folders that are no role's, whoever declares them.
pub fn is_of_the_system(label: &str) -> bool {
    const TREES: &[&str] = &[
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/lib64",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/tmp",
        "/usr",
        "/var",
        "/usr/local",
        "/etc/systemd",
        "/etc/systemd/system",
        "/etc/sysctl.d",
        "/etc/modules-load.d",
        "/etc/modprobe.d",
        "/etc/apt",
        "/etc/ssh",
        "/etc/default",
    ];
    TREES.contains(&label)
        || ["/usr/", "/var/", "/usr/local/"]
            .iter()
            .any(|dir| label.strip_prefix(dir).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')))
        || matches!(label, "user root" | "group root")
}

/// Modules that put something of their own on a node; of what others edit, the former state cannot be known.
const MAKES: &[&str] = &[
    "file",
    "copy",
    "template",
    "get_url",
    "assemble",
    "user",
    "group",
    "systemd",
    "systemd_service",
    "service",
    "apt",
    "package",
    "dnf",
    "yum",
    "apk",
    "pacman",
    "deb822_repository",
    "apt_repository",
    "yum_repository",
    "git",
];
const EDITS: &[&str] = &[
    "lineinfile",
    "blockinfile",
    "replace",
    "ini_file",
    "unarchive",
    "sysctl",
    "mount",
    "cron",
    "ufw",
    "iptables",
    "authorized_key",
    "modprobe",
    "command",
    "shell",
    "script",
    "raw",
];

/// A ledger as it would be if kdeploy had made everything that a plan declares: for nodes that were set up before.
pub fn assumed(outcome: &Outcome) -> BTreeMap<String, Journal> {
    let mut all: BTreeMap<String, Journal> = BTreeMap::new();
    for step in &outcome.steps {
        if matches!(step.status, Status::Failed | Status::Unreachable) || step.handler {
            continue;
        }
        let module = step.action.rsplit('.').next().unwrap_or_default();
        let journal = all.entry(step.host.clone()).or_default();
        let number = journal.changes.len() + 1;
        let mut change = Change {
            id: format!("assumed/{number}"),
            run: "assumed".to_owned(),
            play: step.play.clone(),
            role: step.role.clone(),
            task: step.task.clone(),
            item: step.item.clone(),
            action: step.action.clone(),
            tags: step.tags.clone(),
            path: step.path.clone(),
            kind: "create".to_owned(),
            ..Change::default()
        };
        if step.status == Status::Skipped {
            continue;
        }
        if EDITS.contains(&module) {
            change.lost = Some("without a ledger it is not known what was there before".to_owned());
            if matches!(module, "command" | "shell" | "script" | "raw") && !step.changed && step.planned != Planned::Run
            {
                continue;
            }
        } else if MAKES.contains(&module) {
            for thing in &step.basis.makes {
                match thing {
                    Thing::Path(path) => change.paths.push(path.clone()),
                    Thing::User(name) => change.things.push(Kept::User { name: name.clone(), was: None, home: None }),
                    // A user's own group goes with it; others are declared by themselves.
                    Thing::Group(name) if module == "group" => {
                        change.things.push(Kept::Group { name: name.clone(), was: None });
                    }
                    Thing::Unit(name) => change.things.push(Kept::Unit {
                        name: name.clone(),
                        user: false,
                        existed: false,
                        file_state: String::new(),
                        active: false,
                    }),
                    Thing::Package(name) => {
                        let by = if module == "package" { "" } else { module };
                        change.things.push(Kept::Package { name: name.clone(), was: None, by: by.to_owned() });
                    }
                    _ => {}
                }
            }
        } else {
            continue;
        }
        let nothing = |_: &String| Some(Before { t: "-".to_owned(), ..Before::default() });
        let before = change.paths.iter().map(nothing).collect();
        journal.changes.push(Entry { change, before, undone: None });
    }
    all
}
