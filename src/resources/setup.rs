//! `setup`: the node's facts as a task.

use std::sync::Arc;

use minijinja::Value;

use super::kit;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::world::{Stop, View};

pub(super) const DOC: &str = "\
# setup

Asks the node for its facts: distribution, kernel, network, memory, mounts and more.

## Return values

- `ansible_facts` (mapping): every fact under `ansible_NAME`

## Examples

    - setup:

    - setup:
        gather_subset: ['!all', network]
        filter: ['ansible_default_ipv4', 'ansible_all_*']

## Differences from Ansible

All facts come in one answer, so `gather_subset` only chooses which are returned; `gather_timeout` is accepted. Custom facts are read \
from `fact_path` where the connection's facts were read, /etc/ansible/facts.d.
";

pub(super) const ARGS: &[ArgSpec] = &[
    ArgSpec::new("gather_subset", Kind::List, "Kinds of facts to return; `!` takes one out").default("all"),
    ArgSpec::new("filter", Kind::List, "Shell patterns of names; only matching facts are returned"),
    ArgSpec::new("gather_timeout", Kind::Int, "Accepted, without effect").default("10"),
    ArgSpec::new("fact_path", Kind::Path, "Directory of custom facts").default("/etc/ansible/facts.d"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "setup",
    qualified: &["ansible.builtin.setup"],
    doc: DOC,
    args: ARGS,
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

/// Facts of the subsets that are not part of the minimum. What is in no list belongs to `min`.
const SUBSETS: &[(&str, &[&str])] = &[
    ("network", &["all_ipv4_addresses", "all_ipv6_addresses", "default_ipv4", "default_ipv6", "interfaces"]),
    (
        "hardware",
        &[
            "bios_date",
            "bios_vendor",
            "bios_version",
            "board_asset_tag",
            "board_name",
            "board_serial",
            "board_vendor",
            "board_version",
            "chassis_asset_tag",
            "chassis_serial",
            "chassis_vendor",
            "chassis_version",
            "device_links",
            "devices",
            "form_factor",
            "lvm",
            "memfree_mb",
            "memory_mb",
            "memtotal_mb",
            "mounts",
            "processor",
            "processor_cores",
            "processor_count",
            "processor_nproc",
            "processor_threads_per_core",
            "processor_vcpus",
            "product_name",
            "product_serial",
            "product_uuid",
            "product_version",
            "swapfree_mb",
            "swaptotal_mb",
            "system_vendor",
            "uptime_seconds",
        ],
    ),
    (
        "virtual",
        &["virtualization_role", "virtualization_type", "virtualization_tech_guest", "virtualization_tech_host"],
    ),
];

/// Kinds of facts within the minimum, which may be asked for alone: a name that ends in `*` stands for all that begin so.
const WITHIN_MIN: &[(&str, &[&str])] = &[
    ("apparmor", &["apparmor"]),
    ("caps", &["system_capabilities", "system_capabilities_enforced"]),
    ("chroot", &["is_chroot"]),
    ("cmdline", &["cmdline", "proc_cmdline"]),
    ("date_time", &["date_time"]),
    ("distribution", &["distribution*", "os_family"]),
    ("dns", &["dns"]),
    ("env", &["env"]),
    ("fips", &["fips"]),
    ("loadavg", &["loadavg"]),
    ("local", &["local"]),
    ("lsb", &["lsb"]),
    ("pkg_mgr", &["pkg_mgr", "distribution*", "os_family"]),
    ("platform", PLATFORM),
    ("system", PLATFORM),
    ("kernel", PLATFORM),
    ("python", &["python"]),
    ("selinux", &["selinux", "selinux_python_present"]),
    ("service_mgr", &["service_mgr", "distribution*", "os_family"]),
    ("service_mgr", PLATFORM),
    ("ssh_pub_keys", &["ssh_host_key_*"]),
    ("user", &["user_*", "real_*", "effective_*"]),
];

const PLATFORM: &[&str] = &[
    "system",
    "kernel",
    "kernel_version",
    "machine",
    "python_version",
    "fqdn",
    "hostname",
    "nodename",
    "domain",
    "userspace_bits",
    "architecture",
    "userspace_architecture",
    "machine_id",
];

struct Setup {
    subsets: Vec<String>,
    filter: Vec<String>,
}

pub(super) fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    args.int("gather_timeout")?;
    Ok(Arc::new(Setup {
        subsets: args.list("gather_subset")?,
        filter: args.list("filter")?.into_iter().filter(|p| !p.is_empty()).collect(),
    }))
}

impl Setup {
    /// Whether a fact of this subset is asked for: additions and removals in Ansible's order of strength.
    fn wants(&self, subset: &str) -> bool {
        let has = |name: &str| self.subsets.iter().any(|s| s == name);
        let without = |name: &str| self.subsets.iter().any(|s| s.strip_prefix('!') == Some(name));
        if without(subset) {
            return false;
        }
        if subset == "min" {
            return !without("min");
        }
        let only_removals = self.subsets.iter().all(|s| s.starts_with('!'));
        has(subset) || !without("all") && (has("all") || only_removals)
    }

    fn keeps(&self, name: &str, interfaces: &[String]) -> bool {
        let subset = SUBSETS
            .iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(subset, _)| *subset)
            .or_else(|| interfaces.iter().any(|i| i == name).then_some("network"))
            .unwrap_or("min");
        let full = format!("ansible_{name}");
        let alone = || {
            let named = WITHIN_MIN.iter().filter(|(kind, _)| self.subsets.iter().any(|s| s == kind));
            named.flat_map(|(_, names)| names.iter()).any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => *pattern == name,
            })
        };
        (self.wants(subset) || alone())
            && (self.filter.is_empty() || self.filter.iter().any(|p| matches(p, &full) || matches(p, name)))
    }
}

impl Resource for Setup {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let facts = world.facts()?;
        let interfaces: Vec<String> = facts
            .get_attr("interfaces")
            .ok()
            .and_then(|list| {
                list.try_iter().ok().map(|l| l.map(|i| text_of(&i).replace(['-', '.', ':'], "_")).collect())
            })
            .unwrap_or_default();
        let mut out: Vec<(String, Value)> = vec![];
        for key in facts.try_iter().into_iter().flatten() {
            let name = text_of(&key);
            if self.keeps(&name, &interfaces) {
                out.push((format!("ansible_{name}"), facts.get_item(&key).unwrap_or_default()));
            }
        }
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_facts", kit::map(out))))
    }
}

/// A shell pattern: `*`, `?`, `[a-z]`, `[!a]`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    fn go(p: &[char], n: &[char]) -> bool {
        match p.first() {
            None => n.is_empty(),
            Some('*') => (0..=n.len()).any(|i| go(&p[1..], &n[i..])),
            Some('?') => !n.is_empty() && go(&p[1..], &n[1..]),
            Some('[') => {
                let negated = p.get(1) == Some(&'!');
                let start = if negated { 2 } else { 1 };
                // A `]` right at the start is a member.
                let Some(end) = p.iter().skip(start + 1).position(|c| *c == ']').map(|i| i + start + 1) else {
                    return n.first() == Some(&'[') && go(&p[1..], &n[1..]);
                };
                let Some(c) = n.first() else { return false };
                let set = &p[start..end];
                let mut found = false;
                let mut i = 0;
                while i < set.len() {
                    if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
                        found |= (set[i]..=set[i + 2]).contains(c);
                        i += 3;
                    } else {
                        found |= set[i] == *c;
                        i += 1;
                    }
                }
                found != negated && go(&p[end + 1..], &n[1..])
            }
            Some(c) => n.first() == Some(c) && go(&p[1..], &n[1..]),
        }
    }
    let chars = |s: &str| s.chars().collect::<Vec<_>>();
    go(&chars(pattern), &chars(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        assert!(matches("ansible_*_mb", "ansible_memtotal_mb"));
        assert!(matches("eth[0-9]", "eth3"));
        assert!(!matches("eth[!0-9]", "eth3"));
        assert!(!matches("eth?", "eth10"));
        assert!(matches("a[]]b", "a]b"));
    }

    #[test]
    fn subsets_follow_additions_and_removals() {
        let with = |s: &[&str]| Setup { subsets: s.iter().map(|s| (*s).to_owned()).collect(), filter: vec![] };
        assert!(with(&["all"]).wants("network"));
        assert!(with(&["!all"]).wants("min") && !with(&["!all"]).wants("network"));
        assert!(!with(&["!all", "!min"]).wants("min"));
        let alone = with(&["!all", "!min", "distribution"]);
        assert!(alone.keeps("distribution_release", &[]) && alone.keeps("os_family", &[]));
        assert!(!alone.keeps("kernel", &[]) && !alone.keeps("interfaces", &[]));
        assert!(with(&["!all", "network"]).wants("network") && !with(&["!all", "network"]).wants("hardware"));
        assert!(with(&["!hardware"]).wants("network") && !with(&["!hardware"]).wants("hardware"));
        assert!(with(&["network"]).wants("min") && !with(&["network"]).wants("virtual"));
    }
}
