//! What steps whose effects are not fully known may have changed: what later steps find there is unknown too, with the step it waits for.
//!
//! A package brings files, units and accounts that no plan can list; a command may do anything to what it names; a unit that comes or goes
//! is another in every list of units. A later step that only looks (`stat`, `find`, `getent` …) must not take the node of today for that
//! of then. Steps that say how something shall be are planned on what is known, except for a file that a package most likely brings.

use std::collections::BTreeSet;

use super::reach::{self, Reach, of_shell, of_words};
use super::turn::Draft;
use crate::playbook::TaskArgs;
use crate::resources::{Change, Conduct, ResourceType, text_of};
use crate::template::Unknown;
use crate::world::{Answer, Query, View, World};
use crate::yaml::Node;

/// What one step may have changed.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Number of the step.
    seq: usize,
    target: String,
    unknown: Unknown,
    reach: Reach,
    /// Units are others than in the lists of today, if only in their state.
    lists_units: bool,
    /// It writes the one file that its reach names, with what is not known yet: others may still say how that shall be.
    one_file: bool,
}

/// Whether others go by what a step found on the node. A list of services is another at every moment, and so left out.
pub(super) fn tells(draft: &Draft) -> bool {
    match draft.module.map_or("", |module| module.name) {
        "getent" | "package_facts" => true,
        "stat" | "find" | "slurp" => draft.task.register.is_some(),
        _ => false,
    }
}

/// Facts that a step sets under a name of their own: unknown where the step is.
pub(super) fn facts_of(draft: &Draft) -> Vec<String> {
    match draft.module.map_or("", |module| module.name) {
        "package_facts" => vec!["packages".to_owned()],
        "service_facts" => vec!["services".to_owned()],
        "getent" => names(draft, &["database"]).into_iter().map(|database| format!("getent_{database}")).collect(),
        _ => vec![],
    }
}

/// Whether a step can change anything on a node, whatever it is given.
pub(super) fn may_change(draft: &Draft) -> bool {
    let stays = |module: &ResourceType| matches!(module.conduct, Conduct::Looks | Conduct::Passes);
    draft.module.is_some_and(|module| !stays(module))
}

/// Modules that write one file.
const FILES: &[&str] = &["copy", "template", "lineinfile", "blockinfile", "replace", "ini_file", "assemble", "get_url"];

/// Where a package's own files are.
const OF_PACKAGES: &[&str] =
    &["/etc/", "/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/var/", "/run/", "/opt/", "/srv/", "/boot/"];

/// Programs' own folders: a program that is looked for after packages came was most likely brought by one of them.
const OF_PROGRAMS: &[&str] = &["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"];

/// Folders that many packages put something in.
const SHARED: &[&str] = &[
    "/etc",
    "/usr",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/share",
    "/bin",
    "/sbin",
    "/lib",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/cache",
    "/run",
    "/opt",
    "/etc/default",
    "/etc/init.d",
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

impl Cloud {
    /// What a step leaves unclear; `change`: as far as it is foretold. `None`: nothing.
    pub(super) fn of(draft: &Draft, change: Option<&Change>, seq: usize) -> Option<Self> {
        let module = draft.module?.name;
        let mut reach = Reach::default();
        let mut lists_units = false;
        match module {
            "command" | "shell" | "script" | "raw" | "expect" if !only_looks(draft) => {
                reach = of_command(draft, module);
                lists_units = !reach.units.is_empty();
            }
            "apt" | "package" | "dnf" | "dnf5" | "yum" | "apk" | "pacman" | "zypper" => match change {
                Some(change) => reach.packages = packages_of(change),
                None => reach.packages = names(draft, &["name", "pkg", "package", "deb"]),
            },
            "systemd" | "systemd_service" | "service" => {
                lists_units = true;
                if change.is_none() {
                    for name in names(draft, &["name", "unit", "service"]) {
                        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
                        reach.paths.extend(["", ".pid", ".sock"].map(|end| format!("/run/{stem}{end}")));
                        reach.units.push((if name.contains('.') { name } else { format!("{name}.service") }, false));
                    }
                }
            }
            _ if change.is_none() && place_of(draft).is_some() => reach.paths.extend(place_of(draft)),
            "user" | "group" if change.is_none() => reach.accounts = names(draft, &["name", "user"]),
            _ => {}
        }
        (lists_units || !reach.is_empty()).then(|| Self {
            seq,
            target: draft.target.clone(),
            unknown: Unknown::after_step(draft.name.clone()),
            reach,
            lists_units,
            one_file: place_of(draft).is_some(),
        })
    }

    /// Paths that a command may have made or changed.
    pub(super) fn paths(&self) -> &[String] {
        &self.reach.paths
    }

    /// Whether the answer to a query may be another by then.
    fn covers(&self, query: &Query, view: &View, world: &World, module: &ResourceType) -> bool {
        // This step itself foretells it, or one after it.
        if world.maker_of(query).is_some_and(|maker| maker >= self.seq) {
            return false;
        }
        // They go by what they find, and do not make it so.
        let looks = matches!(module.conduct, Conduct::Looks | Conduct::Runs);
        if self.one_file && !looks {
            return false;
        }
        let module = module.name;
        let absent = || match view.ask(query.clone()) {
            Ok(
                Answer::Stat(None)
                | Answer::Digest(None)
                | Answer::Content(None)
                | Answer::Account(None)
                | Answer::Group(None),
            ) => true,
            Ok(Answer::Unit(unit)) => unit.load == "not-found",
            Ok(Answer::Tree(tree)) => tree.is_empty(),
            _ => false,
        };
        match query {
            Query::Stat { path, .. } | Query::Digest { path, .. } | Query::Content { path } => {
                self.reach.paths.iter().any(|p| is_at_or_below(path, p))
                    || self.may_be_brought(path, looks, module) && absent()
            }
            Query::Tree { path, .. } => {
                self.reach.paths.iter().any(|p| is_at_or_below(path, p) || is_at_or_below(p, path))
                    || looks
                        && !self.reach.packages.is_empty()
                        && (SHARED.contains(&path.as_str())
                            || path.starts_with("/etc/") && path.ends_with(".d")
                            || self.is_named(path))
            }
            Query::Unit { name, .. } => {
                let active = || matches!(view.ask(query.clone()), Ok(Answer::Unit(unit)) if unit.active == "active");
                self.reach.units.iter().any(|(unit, runs)| unit == name && !(*runs && active()))
                    || looks && self.is_named(name) && absent()
            }
            Query::Account { name } | Query::Group { name } => {
                self.reach.accounts.contains(name) || looks && self.is_named(name) && absent()
            }
            Query::Package { name } | Query::Candidate { name } => {
                self.reach.packages.contains(name) && looks_at_packages(module)
            }
            Query::Read { argv } => looks && self.may_read_otherwise(argv, module),
            _ => false,
        }
    }

    /// A list that a tool of the node gives.
    fn may_read_otherwise(&self, argv: &[String], module: &str) -> bool {
        let packages = !self.reach.packages.is_empty();
        match (module, argv.first().map(String::as_str)) {
            ("package_facts", _) => packages,
            ("service_facts", _) => packages || self.lists_units,
            ("getent", _) => !self.reach.accounts.is_empty() || argv.last().is_some_and(|key| self.is_named(key)),
            // The pattern of `creates`.
            (_, Some("sh")) => argv.last().is_some_and(|pattern| {
                let place = pattern.split(['*', '?', '[']).next().unwrap_or_default();
                self.reach.paths.iter().any(|p| is_at_or_below(pattern, p) || p.starts_with(place))
            }),
            _ => false,
        }
    }

    /// A path that is not there today and that one of the packages may bring.
    fn may_be_brought(&self, path: &str, looks: bool, module: &str) -> bool {
        if self.reach.packages.is_empty()
            || !OF_PACKAGES.iter().any(|dir| path.starts_with(dir))
            || path.starts_with("/usr/local/")
        {
            return false;
        }
        if looks {
            return self.is_named(path) || OF_PROGRAMS.iter().any(|dir| path.starts_with(dir));
        }
        // A file of the package's own name, such as /etc/ntp.conf: it comes with a content nobody knows.
        let file = path.rsplit('/').next().unwrap_or_default();
        let stem = file.split('.').next().unwrap_or_default();
        FILES.contains(&module)
            && path.starts_with("/etc/")
            && self.reach.packages.iter().any(|package| package == stem || own_name(package) == stem)
    }

    /// A path, unit or account is named after one of the packages.
    fn is_named(&self, thing: &str) -> bool {
        self.reach.packages.iter().any(|package| {
            let words: BTreeSet<&str> =
                [package.as_str(), own_name(package)].into_iter().filter(|w| w.len() > 1).collect();
            thing.split('/').any(|part| words.iter().any(|word| part.starts_with(word)))
        })
    }
}

/// What a package's name has behind that of the program.
const PARTS: &[&str] = &[
    "-server", "-client", "-common", "-utils", "-tools", "-daemon", "-ce", "-cli", "-bin", "-core", "-full", "-light",
];

/// A package's name without what tells its parts or makers apart: `docker.io` is `docker`, `openssh-server` is `openssh`.
pub(super) fn own_name(package: &str) -> &str {
    let name = package.strip_prefix("python3-").unwrap_or(package);
    let name = name.split(['.', '_', ':']).next().unwrap_or(name);
    PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

fn looks_at_packages(module: &str) -> bool {
    matches!(module, "apt" | "package" | "dnf" | "dnf5" | "yum" | "apk" | "pacman" | "zypper" | "package_facts")
}

pub(super) fn is_at_or_below(path: &str, dir: &str) -> bool {
    path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// What of the answers a verdict rests on may be another when the step's turn comes: the steps that tell.
pub(super) fn clouded(clouds: &[Cloud], draft: &Draft, world: &World, rested_on: &BTreeSet<Query>) -> Option<Unknown> {
    let module = draft.module?;
    if clouds.is_empty() {
        return None;
    }
    let view = View::new(world);
    let covers = |cloud: &&Cloud| {
        cloud.target == draft.target && rested_on.iter().any(|query| cloud.covers(query, &view, world, module))
    };
    clouds.iter().filter(covers).map(|cloud| cloud.unknown.clone()).reduce(|one, other| one.merge(&other))
}

/// The file or folder that a step says something of, and nothing else; `None`: it is not known, or the step does more.
pub(super) fn place_of(draft: &Draft) -> Option<String> {
    // A mount stands in a table too.
    draft.module.filter(|module| module.name != "mount" && super::basis::PUTS.contains(&module.name))?;
    let name = ["dest", "path", "name"].into_iter().find(|name| given(draft, name))?;
    argument(draft, name).map(|v| text_of(&v).trim_end_matches('/').to_owned()).filter(|p| p.starts_with('/'))
}

/// Whether what is below a folder may be another by steps whose effects are not known.
pub(super) fn concerns(clouds: &[Cloud], target: &str, query: &Query) -> bool {
    let Query::Tree { path, .. } = query else { return false };
    let related = |p: &String| is_at_or_below(path, p) || is_at_or_below(p, path);
    clouds.iter().any(|cloud| cloud.target == target && cloud.paths().iter().any(related))
}

/// `changed_when: false`: the task says that it only looks.
fn only_looks(draft: &Draft) -> bool {
    let [condition] = draft.task.changed_when.as_slice() else { return false };
    condition.as_bool() == Some(false)
        || condition.as_str().is_some_and(|t| matches!(t.trim(), "false" | "False" | "no"))
}

/// Packages that come with a change and were not there before.
fn packages_of(change: &Change) -> Vec<String> {
    let mut names: Vec<String> = change
        .effects
        .iter()
        .filter_map(|effect| match (&effect.query, &effect.answer) {
            (Query::Package { name }, Ok(Answer::Package(state))) if state.installed.is_some() => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.dedup();
    names
}

fn pairs(args: &TaskArgs) -> &[(Node, Node)] {
    match args {
        TaskArgs::Named(pairs) | TaskArgs::Template(_, pairs) | TaskArgs::Free(_, pairs) => pairs,
    }
}

/// One argument, rendered; `None` if it is not given or not known.
fn argument(draft: &Draft, name: &str) -> Option<minijinja::Value> {
    let (_, node) = pairs(&draft.task.args).iter().find(|(key, _)| key.as_str() == Some(name))?;
    draft.context.value(node).ok().filter(|value| Unknown::within(value).is_none())
}

/// Whether an argument is there, known or not.
fn given(draft: &Draft, name: &str) -> bool {
    pairs(&draft.task.args).iter().any(|(key, _)| key.as_str() == Some(name))
}

/// Names in the first of some arguments that is given: one, or a list of them.
fn names(draft: &Draft, arguments: &[&str]) -> Vec<String> {
    let Some(value) = arguments.iter().find_map(|name| argument(draft, name)) else { return vec![] };
    list(&value)
        .iter()
        .flat_map(|text| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
        .filter(|n| !n.is_empty())
        .collect()
}

fn list(value: &minijinja::Value) -> Vec<String> {
    match value.kind() {
        minijinja::value::ValueKind::Seq => value.try_iter().into_iter().flatten().map(|item| text_of(&item)).collect(),
        _ => vec![text_of(value)],
    }
}

/// The line that a task of `command`, `shell` or their like runs; `None`: it is given as `argv`, or not known.
fn line_of(draft: &Draft) -> Option<String> {
    match &draft.task.args {
        TaskArgs::Free(text, _) => draft.context.text(text).ok(),
        _ => ["cmd", "_raw_params"].iter().find_map(|name| argument(draft, name)).map(|v| text_of(&v)),
    }
}

/// A command all of whose programs change nothing: what it says is not known, but the node is as it was.
pub(super) fn leaves_all(draft: &Draft) -> bool {
    match (draft.module.map_or("", |module| module.name), line_of(draft)) {
        ("shell", Some(text)) => reach::shell_only_looks(&text),
        ("command", Some(text)) => {
            crate::resources::common::kit::split_words(&text).is_ok_and(|words| reach::only_looks(&words))
        }
        ("command", None) => {
            argument(draft, "argv").map(|v| list(&v)).is_some_and(|w| !w.is_empty() && reach::only_looks(&w))
        }
        _ => false,
    }
}

fn of_command(draft: &Draft, module: &str) -> Reach {
    let dir = argument(draft, "chdir").map(|v| text_of(&v));
    let free = line_of(draft);
    let mut reach = match (module, free) {
        // What a script does stands in a file of its own; what it is called with it may touch.
        ("shell" | "raw" | "script", Some(text)) => of_shell(&text, dir.as_deref()),
        (_, Some(text)) => {
            let words = crate::resources::common::kit::split_words(&text).unwrap_or_default();
            of_words(&words, dir.as_deref())
        }
        (_, None) => of_words(&argument(draft, "argv").map(|v| list(&v)).unwrap_or_default(), dir.as_deref()),
    };
    for name in ["creates", "removes"] {
        reach.paths.extend(
            argument(draft, name).map(|v| text_of(&v)).filter(|p| p.starts_with('/') && !p.contains(['*', '?', '['])),
        );
    }
    reach
}
