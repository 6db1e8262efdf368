//! What each resource needs of a node: the matrix of docs/resources/README.md.

use std::fmt::Write;

use super::{ResourceType, registry};

/// What a resource asks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It runs on the control machine or within the engine.
    Nothing,
    /// A POSIX shell and its tools; busybox' are enough.
    Shell,
    /// A program of the node, which no init system or distribution decides.
    Tool(&'static str),
    /// Service managers: systemd, OpenRC, SysV.
    Init { systemd: bool, openrc: bool },
    /// One family of package tools.
    Packages(&'static str),
    /// Whichever package tools there are.
    AnyPackages,
}

/// Everything that is not [`Needs::Shell`].
const NEEDS: &[(&str, Needs)] = &[
    ("acl", Needs::Tool("getfacl, setfacl")),
    ("add_host", Needs::Nothing),
    ("alternatives", Needs::Tool("update-alternatives")),
    ("apk", Needs::Packages("apk")),
    ("apt", Needs::Packages("apt")),
    ("apt_key", Needs::Packages("apt")),
    ("apt_repository", Needs::Packages("apt")),
    ("archive", Needs::Tool("tar and gzip, bzip2 or xz (busybox'), or zip")),
    ("assert", Needs::Nothing),
    ("capabilities", Needs::Tool("getcap, setcap")),
    ("cron", Needs::Tool("crontab (busybox')")),
    ("deb822_repository", Needs::Packages("apt")),
    ("debconf", Needs::Packages("apt")),
    ("debug", Needs::Nothing),
    ("dnf", Needs::Packages("dnf")),
    ("dpkg_selections", Needs::Packages("apt")),
    ("fail", Needs::Nothing),
    ("filesystem", Needs::Tool("blkid (busybox'), mkfs of the file system")),
    ("firewalld", Needs::Tool("firewall-cmd")),
    ("getent", Needs::Tool("getent")),
    ("git", Needs::Tool("git")),
    ("group_by", Needs::Nothing),
    ("helm", Needs::Tool("helm, where the task runs")),
    ("include_vars", Needs::Nothing),
    ("iptables", Needs::Tool("iptables")),
    ("k8s", Needs::Tool("kubectl, where the task runs")),
    ("k8s_drain", Needs::Tool("kubectl, where the task runs")),
    ("k8s_info", Needs::Tool("kubectl, where the task runs")),
    ("k8s_taint", Needs::Tool("kubectl, where the task runs")),
    ("known_hosts", Needs::Shell),
    ("locale_gen", Needs::Tool("locale-gen")),
    ("lvg", Needs::Tool("LVM's tools")),
    ("lvol", Needs::Tool("LVM's tools")),
    ("modprobe", Needs::Tool("modprobe (busybox')")),
    ("package", Needs::AnyPackages),
    ("package_facts", Needs::AnyPackages),
    ("pacman", Needs::Packages("pacman")),
    ("pause", Needs::Nothing),
    ("pip", Needs::Tool("python3 with pip")),
    ("rpm_key", Needs::Packages("dnf")),
    ("seboolean", Needs::Tool("getsebool, setsebool")),
    ("service", Needs::Init { systemd: true, openrc: true }),
    ("service_facts", Needs::Init { systemd: true, openrc: true }),
    ("set_fact", Needs::Nothing),
    ("set_stats", Needs::Nothing),
    ("snap", Needs::Tool("snap")),
    ("sysctl", Needs::Tool("sysctl (busybox')")),
    ("systemd", Needs::Init { systemd: true, openrc: false }),
    ("ufw", Needs::Tool("ufw")),
    ("uri", Needs::Tool("curl")),
    ("validate_argument_spec", Needs::Nothing),
    ("xattr", Needs::Tool("getfattr, setfattr")),
    ("yum_repository", Needs::Packages("dnf")),
    ("zypper", Needs::Packages("zypper")),
];

/// What a resource asks of a node.
pub fn needs(name: &str) -> Needs {
    NEEDS.iter().find(|(n, _)| *n == name).map_or(Needs::Shell, |(_, needs)| *needs)
}

/// The first sentence of a manual.
pub fn synopsis(kind: &ResourceType) -> &'static str {
    kind.doc.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or_default()
}

/// What a manual says is missing: the lines of its differences that say so.
fn missing(kind: &ResourceType) -> String {
    let Some((_, differences)) = kind.doc.split_once("## Differences from Ansible") else { return String::new() };
    let text = differences.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(". ")
        .flat_map(|s| s.split(" - "))
        .filter(|s| s.contains("not supported yet") || s.contains("not there"))
        .map(|s| s.trim().trim_start_matches("- ").trim_end_matches('.'))
        .collect::<Vec<_>>()
        .join("; ")
        .replace('|', "\\|")
}

/// docs/resources/README.md.
pub fn index() -> String {
    let mut out = String::from(
        "# Resources\n\nMade from the same source as `kdeploy doc`; do not edit.\n\n\
         | resource | also | what it does |\n|---|---|---|\n",
    );
    for kind in registry::all() {
        let about = synopsis(kind).replace('|', "\\|");
        let _ = writeln!(out, "| [{0}]({0}.md) | {1} | {about} |", kind.name, kind.qualified.join(", "));
    }
    out.push_str(
        "\n## Where they work\n\n\
         Columns: nodes with systemd, with OpenRC; with apt, dnf or yum, apk; with nothing but busybox. \
         `tool`: where the program named is there. The last column is what the manual says is missing.\n\n\
         | resource | systemd | OpenRC | apt | dnf | apk | busybox only | needs | not there |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for kind in registry::all() {
        let needs = needs(kind.name);
        let yes = |is: bool| if is { "yes" } else { "no" };
        let (cells, tool): ([&str; 6], &str) = match needs {
            Needs::Nothing | Needs::Shell => (["yes"; 6], ""),
            Needs::Tool(tool) => {
                let busybox = if tool.contains("busybox") { "yes" } else { "tool" };
                (["yes", "yes", "yes", "yes", "yes", busybox], tool)
            }
            Needs::Init { systemd, openrc } => {
                ([yes(systemd), yes(openrc), "yes", "yes", "yes", "no"], "an init system")
            }
            Needs::Packages(family) => {
                let of = |name: &str| yes(family == name);
                (["yes", "yes", of("apt"), of("dnf"), of("apk"), "no"], family)
            }
            Needs::AnyPackages => (["yes", "yes", "yes", "yes", "yes", "no"], "a package manager"),
        };
        let tool = if needs == Needs::Nothing { "nothing of the node" } else { tool };
        let _ = writeln!(out, "| {} | {} | {tool} | {} |", kind.name, cells.join(" | "), missing(kind));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_of_a_resource() {
        for (name, _) in NEEDS {
            assert!(registry::all().any(|t| t.name == *name), "{name} is no resource");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let archive = registry::lookup("k8s").map(missing);
        assert!(archive.is_some());
        assert!(registry::all().any(|t| !missing(t).is_empty()));
    }
}
