//! Somebody changes a worker between a saved plan and its apply: the step that this concerns and its dependants stop with what changed,
//! the others go on.

use crate::bed::Bed;
use crate::fidelity::kubernetes_is_built;
use crate::saved::{changed, judge, read};

/// What has drifted before the plan is made, so that steps of several kinds have something to do.
const DRIFT: [&str; 7] = [
    "chmod 700 /usr/local/sbin/runc",
    "echo '# by hand' >> /etc/containerd/config.toml",
    "chown 1000 /opt/cni/bin/bridge",
    "rm -f /etc/cni/net.d/10-bridge.conflist",
    "echo '# by hand' > /etc/sysctl.d/80-harden.conf",
    "usermod -s /bin/sh deploy",
    "rm -f /etc/modules-load.d/*containerd*",
];

/// One change after the plan.
struct Change {
    /// Drift of its own, beside or instead of the common.
    drift: &'static [&'static str],
    by_hand: &'static str,
    /// The task that must stop, and what its reason must name.
    task: &'static str,
    names: &'static str,
}

const fn change(by_hand: &'static str, task: &'static str, names: &'static str) -> Change {
    Change { drift: &DRIFT, by_hand, task, names }
}

const CHANGES: [Change; 9] = [
    // Content, mode, owner; something where nothing was, nothing where something was.
    change("echo more >> /etc/containerd/config.toml", "Configuration of containerd", "/etc/containerd/config.toml"),
    change("chmod 711 /usr/local/sbin/runc", "Install runc", "/usr/local/sbin/runc"),
    change("chown 1001 /opt/cni/bin/bridge", "Unpack the CNI plugins", "/opt/cni/bin/bridge"),
    change("echo '{}' > /etc/cni/net.d/10-bridge.conflist", "Bridge network", "/etc/cni/net.d/10-bridge.conflist"),
    change("echo more >> /etc/sysctl.d/80-harden.conf", "Kernel settings", "/etc/sysctl.d/80-harden.conf"),
    change("rm /etc/sysctl.d/80-harden.conf", "Kernel settings", "/etc/sysctl.d/80-harden.conf"),
    change("userdel deploy", "User deploy", "user deploy"),
    Change {
        drift: &["systemctl disable containerd"],
        by_hand: "systemctl stop containerd",
        task: "Service of containerd",
        names: "unit containerd.service",
    },
    Change {
        drift: &["dpkg --purge conntrack", "chmod 700 /usr/local/sbin/runc"],
        by_hand: "dpkg --purge socat",
        task: "Packages that kubelet and kube-proxy call",
        names: "package socat",
    },
];

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn what_changed_after_the_plan_stops_its_step_alone() {
    let bed = Bed::with(&["worker99=worker"]).with_mirror();
    // The package comes again from the lab's own repository, where that has it.
    let source = bed.lab("mirror", &["apt-source"]);
    bed.on(
        "worker99",
        &format!(
            "rm -f /etc/apt/sources.list.d/*; echo '{}' > /etc/apt/sources.list; apt-get -q update",
            source.trim()
        ),
    );
    let kubernetes = kubernetes_is_built();
    if kubernetes {
        bed.lab("cluster", &["pki", "worker99"]);
        bed.write("inventory/group_vars/all/cluster.yml", &bed.lab("cluster", &["vars"]));
    }
    let mut faults = vec![];
    for Change { drift, by_hand, task, names } in CHANGES {
        // These packages are kubelet's.
        if names.starts_with("package") && !kubernetes {
            eprintln!("skipped: `{by_hand}`: Kubernetes is not built");
            continue;
        }
        println!("by hand: {by_hand}"); // shown when the test fails
        bed.kdeploy(&["apply", "--no-plan", "k8s.yml"]).ends_with(0);
        for command in drift {
            bed.on("worker99", command);
        }
        let file = "plan.json";
        let _ = std::fs::remove_file(bed.project.path().join(file));
        bed.kdeploy(&["plan", "k8s.yml", "--out", file]).ends_with(0);
        let saved = std::fs::read_to_string(bed.project.path().join(file)).expect("the plan is saved");
        let steps = read(&serde_json::from_str(&saved).expect("JSON"));
        let acts: Vec<&str> = steps.iter().filter(|s| s.acts).map(|s| s.label.as_str()).collect();
        let Some(index) = steps.iter().position(|s| s.acts && s.label.starts_with(task)) else {
            faults.push(format!("`{by_hand}`: \"{task}\" has nothing to do in the plan, only {acts:?}"));
            continue;
        };
        bed.on("worker99", by_hand);
        let run = bed.kdeploy(&["apply", file, "--output", "json"]).ends_with(2).json();
        let comes = steps.iter().filter(|s| s.acts && !s.unknown).map(|s| s.key.clone()).collect();
        for fault in judge(&steps, index, names, &run, &comes) {
            faults.push(format!("`{by_hand}` ({}): {fault}", steps[index].path.clone().unwrap_or_default().display()));
        }
        let told = run["steps"].as_array().into_iter().flatten().any(|s| {
            s["stopped"] == true && s["result"]["msg"].as_str().is_some_and(|m| m.contains(names) && m.contains("was "))
        });
        if !told {
            faults.push(format!("`{by_hand}`: nothing says that {names} changed"));
        }
        if drift.len() > 1 && changed(&run).is_empty() {
            faults.push(format!("`{by_hand}`: no other step went on"));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}
