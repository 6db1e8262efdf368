//! Whether the node is a container, a virtual machine or a host of such.

use serde_json::json;

use super::{Facts, Raw};

/// What was found, in Ansible's order of precedence: the first names type and role.
#[derive(Default)]
struct Found {
    kind: Option<(String, &'static str)>,
    guest: Vec<String>,
    host: Vec<String>,
}

impl Found {
    fn guest(&mut self, tech: &str) {
        self.guest.push(tech.to_owned());
        self.kind.get_or_insert_with(|| (tech.to_owned(), "guest"));
    }

    fn host(&mut self, tech: &str) {
        self.host.push(tech.to_owned());
        self.kind.get_or_insert_with(|| (tech.to_owned(), "host"));
    }
}

pub fn add(raw: &Raw, facts: &mut Facts) {
    let mut found = Found::default();
    containers(raw, &mut found);
    machines(raw, &mut found);
    hosts(raw, &mut found);
    for list in [&mut found.guest, &mut found.host] {
        list.sort();
        list.dedup();
    }
    let (kind, role) = found.kind.unwrap_or_else(|| ("NA".into(), "NA"));
    facts.insert("virtualization_type".into(), json!(kind));
    facts.insert("virtualization_role".into(), json!(role));
    facts.insert("virtualization_tech_guest".into(), json!(found.guest));
    facts.insert("virtualization_tech_host".into(), json!(found.host));
}

fn containers(raw: &Raw, found: &mut Found) {
    for line in raw.whole("/proc/1/cgroup").lines() {
        let scope = line.split("/docker-").nth(1).is_some_and(|rest| {
            let hex = rest.trim_end_matches(".scope");
            rest.ends_with(".scope") && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())
        });
        if line.contains("/docker/") || scope {
            found.guest("docker");
        }
        if line.contains("/lxc/") || line.contains("/machine.slice/machine-lxc") {
            found.guest("lxc");
        }
        if line.contains("/system.slice/containerd.service") {
            found.guest("containerd");
        }
    }
    for variable in raw.whole("/proc/1/environ").split('\0') {
        for tech in ["lxc", "podman"] {
            if variable.contains(&format!("container={tech}")) {
                found.guest(tech);
            }
        }
        if variable.strip_prefix("container=").is_some_and(|v| !v.is_empty()) {
            found.guest("container");
        }
    }
    if raw.has("/proc/vz") && !raw.has("/proc/lve") {
        if raw.has("/proc/bc") { found.host("openvz") } else { found.guest("openvz") }
    }
    let by_systemd = raw.file("/run/systemd/container");
    if let Some(tech) = by_systemd {
        found.guest(tech);
    }
    if raw.has("/.dockerenv") || raw.has("/.dockerinit") {
        found.guest("docker");
    }
    let containers = ["docker", "lxc", "podman", "openvz", "containerd"];
    if by_systemd.is_some() || found.guest.iter().any(|t| containers.contains(&t.as_str())) {
        found.guest.push("container".into());
    }
}

fn machines(raw: &Raw, found: &mut Found) {
    if raw.has("/proc/xen") {
        if raw.whole("/proc/xen/capabilities").contains("control_d") { found.host("xen") } else { found.guest("xen") }
    }
    let product = raw.dmi("product_name").unwrap_or("");
    let vendor = raw.dmi("sys_vendor").unwrap_or("");
    let family = raw.dmi("product_family").unwrap_or("");
    let bios = raw.dmi("bios_vendor").unwrap_or("");
    match product {
        "KVM" | "KVM Server" | "Bochs" | "AHV" | "CloudStack KVM Hypervisor" => found.guest("kvm"),
        "OpenStack Compute" | "OpenStack Nova" => found.guest("openstack"),
        p if p.starts_with("VMware") => found.guest("VMware"),
        _ => {}
    }
    match bios {
        "Xen" => found.guest("xen"),
        "innotek GmbH" => found.guest("virtualbox"),
        "Amazon EC2" | "DigitalOcean" | "Hetzner" | "Linode" => found.guest("kvm"),
        _ => {}
    }
    match vendor {
        "QEMU" | "Amazon EC2" | "DigitalOcean" | "Google" | "Scaleway" | "Nutanix" => found.guest("kvm"),
        "oVirt" => found.guest("oVirt"),
        "Red Hat" if family == "RHV" => found.guest("RHV"),
        "Red Hat" if product == "RHEV Hypervisor" => found.guest("RHEV"),
        "KubeVirt" => found.guest("KubeVirt"),
        "Microsoft Corporation" => found.guest("VirtualPC"),
        "Parallels Software International Inc." => found.guest("parallels"),
        "OpenStack Foundation" => found.guest("openstack"),
        _ => {}
    }
    for line in raw.whole("/proc/cpuinfo").lines() {
        if line.starts_with("model name") && line.contains("QEMU Virtual CPU") {
            found.guest("kvm");
        } else if line.starts_with("vendor_id") && line.contains("User Mode Linux") {
            found.guest("uml");
        } else if line.starts_with("vendor_id") && line.contains("IBM/S390") {
            found.guest("PR/SM");
        }
    }
}

fn hosts(raw: &Raw, found: &mut Found) {
    let modules: Vec<&str> = raw.whole("/proc/modules").lines().filter_map(|l| l.split(' ').next()).collect();
    if modules.contains(&"kvm") {
        found.host("kvm");
    }
    if modules.contains(&"vboxdrv") {
        found.host("virtualbox");
    }
    if modules.contains(&"virtio") {
        found.host.push("kvm".into());
        found.kind.get_or_insert_with(|| ("kvm".into(), "guest"));
    }
    if raw.has("/dev/kvm") {
        found.host("kvm");
    }
}
