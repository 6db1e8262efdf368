//! The roles by ansible-core on one node and by kdeploy on its twin: the same counts, and the same files, byte for byte.
//!
//! A node's root is an overlay, so all that a run made is what its upper folder holds.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use sha2::Digest;

use crate::bed::Bed;

/// What differs between any two nodes, or comes from a tool's own housekeeping.
const OWN: [&str; 19] = [
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/ssh/lab",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "etc/systemd/network",
    "etc/.updated",
    "etc/.pwd.lock",
    "etc/resolv.conf",
    "root",
    "var/log",
    "var/cache",
    "var/tmp",
    "var/lib/systemd",
    "var/lib/kdeploy",
    "run",
    "tmp",
    "var/lib/dbus",
];

/// Every path below the upper folder: kind, mode, owner, content or target.
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if OWN.iter().any(|own| name == *own || name.starts_with(&format!("{own}/"))) {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let is = if meta.is_dir() {
                folders.push(path.clone());
                // A folder is in the upper layer as soon as anything below it is.
                "folder".to_owned()
            } else if meta.is_symlink() {
                format!("link to {}", path.read_link().unwrap().display())
            } else if meta.is_file() {
                let digest = hex::encode(sha2::Sha256::digest(std::fs::read(&path).unwrap()));
                format!("file {digest}")
            } else {
                "removed".to_owned()
            };
            found.insert(name, format!("{is} {}:{} {:o}", meta.uid(), meta.gid(), meta.mode() & 0o7777));
        }
    }
    found
}

/// The figures of Ansible's recap for a host.
fn recap(output: &str, host: &str) -> BTreeMap<String, u64> {
    let line = output.lines().rev().find(|l| l.starts_with(host)).unwrap_or_else(|| panic!("no recap in {output}"));
    line.split_whitespace().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())).collect()
}

#[test]
#[ignore = "needs root, the lab and ansible-core: ./test lab"]
fn ansible_and_kdeploy_make_the_same_node() {
    let ansible =
        std::env::var("KDEPLOY_ANSIBLE").expect("KDEPLOY_ANSIBLE names the folder of ansible-playbook; ./test sets it");
    let bed = Bed::with(&["byansible=twin", "bykdeploy=twin"]).with_mirror();
    // The same tasks for both: ansible-core has no `confirm`.
    bed.write("inventory/group_vars/all/twins.yml", "harden_linux_confirm: 0\n");
    let tags = "role-harden-linux,role-cni,role-runc,role-containerd,role-kubernetes-worker";
    let by_ansible = |args: &[&str]| {
        let out = Command::new(Path::new(&ansible).join("ansible-playbook"))
            .args(["-i", "inventory", "playbooks/k8s.yml", "--limit", "byansible"])
            .args(args)
            .current_dir(bed.project.path())
            .env("ANSIBLE_ROLES_PATH", "roles")
            .env("ANSIBLE_SSH_ARGS", format!("-F {}", bed.dir().join("ssh_config").display()))
            .env("ANSIBLE_PIPELINING", "1")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
        recap(&text, "byansible")
    };
    let by_kdeploy = |args: &[&str]| {
        let run = bed
            .kdeploy(&[&["apply", "k8s.yml", "--limit", "bykdeploy", "--output", "json"], args].concat())
            .ends_with(0);
        let counts = ["ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"];
        counts.map(|c| (c.to_owned(), run.count("bykdeploy", c))).into_iter().collect::<BTreeMap<_, _>>()
    };
    let upper = |node: &str| tree(&bed.dir().join("nodes").join(node).join("up"));

    // Role by role, then all once more: what one run leaves is what the next begins with.
    for tag in tags.split(',') {
        assert_eq!(by_ansible(&["--tags", tag]), by_kdeploy(&["--tags", tag]), "{tag}");
        assert_eq!(upper("byansible"), upper("bykdeploy"), "{tag}");
    }
    let (a, k) = (by_ansible(&[]), by_kdeploy(&[]));
    assert_eq!(a, k, "all roles again");
    assert_eq!(k["changed"], 0);
    assert_eq!(upper("byansible"), upper("bykdeploy"));
}
