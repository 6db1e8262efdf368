//! The bundled playbooks on real nodes: is what `plan` prints what `apply` does? From a fresh node, a half-done one and a drifted one.
//!
//! The figures go to docs/fidelity.md (`KDEPLOY_FIDELITY=write`); the test fails when they are not the ones it finds.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bed::Bed;
use crate::compare::{self, Score};
use crate::document;

/// One node for each state.
const NODES: [&str; 3] = ["fresh", "half", "drifted"];

/// What somebody did by hand on a finished worker.
const BY_HAND: [&str; 13] = [
    "chmod 700 /usr/local/sbin/runc",
    "chown 1000 /opt/cni/bin/bridge",
    "rm /opt/cni/bin/portmap",
    "echo '# by hand' >> /etc/containerd/config.toml",
    "rm /etc/cni/net.d/10-bridge.conflist",
    "printf x >> /usr/local/bin/ctr",
    "rm -r /opt/tmp/*",
    "echo by hand > /etc/sysctl.d/90-kubernetes.conf",
    "chmod 600 /etc/kubernetes/kubelet.yaml",
    "rm /usr/local/bin/kube-proxy",
    "rm /etc/systemd/system/kube-proxy.service",
    "systemctl disable kubelet",
    "systemctl stop containerd",
];

pub fn steps_of(report: &Value, host: &str) -> Value {
    let own = report["steps"].as_array().into_iter().flatten().filter(|s| s["host"] == host);
    serde_json::json!({ "steps": own.cloned().collect::<Vec<_>>() })
}

/// Nodes with everything a worker needs, on them and, where Kubernetes was built, in the inventory.
fn bed(layer: &str, kubernetes: bool) -> Bed {
    let nodes: Vec<String> = NODES.iter().map(|node| format!("{node}={layer}")).collect();
    let bed = Bed::with(&nodes.iter().map(String::as_str).collect::<Vec<_>>()).with_mirror();
    if kubernetes {
        bed.lab("cluster", &[&["pki"], &NODES[..]].concat());
        bed.write("inventory/group_vars/all/cluster.yml", &bed.lab("cluster", &["vars"]));
    }
    bed
}

/// Kubernetes is built for ./test fidelity and ./test cluster; where it was not, the worker is one without kubelet.
pub fn kubernetes_is_built() -> bool {
    let built = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/cluster")).arg("ready").status();
    built.is_ok_and(|status| status.success())
}

/// The half-done node, and the drifted one. Without Kubernetes there is no kubelet to drift.
fn prepare(bed: &Bed, kubernetes: bool) {
    let tags = "role-harden-linux,role-cni,role-runc";
    bed.kdeploy(&["apply", "--no-plan", "k8s.yml", "--limit", "half", "--tags", tags]).ends_with(0);
    bed.kdeploy(&["apply", "--no-plan", "k8s.yml", "--limit", "drifted"]).ends_with(0);
    for by_hand in BY_HAND.iter().filter(|what| kubernetes || !what.contains("kube-proxy") && !what.contains("kubelet"))
    {
        bed.on("drifted", by_hand);
    }
}

/// Plans, applies, plans again.
fn play(bed: &Bed, playbook: &[&str]) -> [Score; 3] {
    let run = |args: &[&str]| bed.kdeploy(&[args, playbook, &["--output", "json"]].concat()).ends_with(0).json();
    let plan = run(&["plan"]);
    let apply = run(&["apply", "--no-plan"]);
    let again = run(&["plan"]);
    NODES.map(|node| {
        let (planned, applied) = (steps_of(&plan, node), steps_of(&apply, node));
        let mut score = compare::plan_and_apply(&planned, &applied);
        assert!(score.steps > 0, "nothing ran on {node}: {apply:#}");
        for left in compare::left_to_do(&steps_of(&again, node), &applied) {
            score.faults.push(format!("still to do after the apply: {left}"));
        }
        score
    })
}

/// Steps of a fresh node's plan that fail, or that an earlier step should have told the outcome of.
fn red(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().into_iter().flatten();
    let red = steps.filter(|s| s["host"] == "fresh").filter(|s| {
        let unknown =
            s["planned"] == "unknown" && !s["because"].as_str().unwrap_or_default().starts_with("known after: task");
        s["status"] == "failed" || s["status"] == "unreachable" || unknown
    });
    red.map(|s| format!("{}: {} {}", s["task"], s["status"], s["because"])).collect()
}

fn by_ansible(bed: &Bed, args: &[&str], records: &str) -> Vec<Value> {
    let ansible = std::env::var("KDEPLOY_ANSIBLE").expect("KDEPLOY_ANSIBLE names the folder of ansible-playbook");
    let records = bed.project.path().join(records);
    let out = Command::new(Path::new(&ansible).join("ansible-playbook"))
        .args(["-i", "inventory", "playbooks/k8s.yml", "--diff"])
        .args(args)
        .current_dir(bed.project.path())
        .env("KDEPLOY_ORACLE_OUT", &records)
        .env("ANSIBLE_CALLBACK_PLUGINS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/callback"))
        .env("ANSIBLE_CALLBACKS_ENABLED", "kdeploy_oracle")
        .env("ANSIBLE_ROLES_PATH", "roles")
        .env("ANSIBLE_SSH_ARGS", format!("-F {}", bed.dir().join("ssh_config").display()))
        .env("ANSIBLE_PIPELINING", "1")
        .env("ANSIBLE_HOME", bed.home.path())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = std::fs::read_to_string(records).unwrap_or_default();
    assert!(!text.is_empty(), "{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Figures for docs/fidelity.md, and what takes minutes beside that: only `./test fidelity` asks for it.
pub fn is_asked_for() -> bool {
    let asked = std::env::var_os("KDEPLOY_NEEDS_FIDELITY").is_some();
    if !asked {
        eprintln!("no figures are looked at: ./test fidelity does");
    }
    asked
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn the_plan_of_a_worker_that_has_nothing_yet_is_green() {
    let bed = Bed::with(&["fresh=worker"]).with_mirror();
    let built = kubernetes_is_built();
    if built {
        bed.lab("cluster", &["pki", "fresh"]);
        bed.write("inventory/group_vars/all/cluster.yml", &bed.lab("cluster", &["vars"]));
    }
    let plan = bed.kdeploy(&["plan", "k8s.yml", "--output", "json"]).ends_with(0).json();
    assert_eq!(red(&plan), Vec::<String>::new());
    let count = |what: &str| plan["counts"][what].as_u64().unwrap_or_default();
    // Programs, configurations, units, services: hardly anything is there, and most rests on what earlier steps make.
    let (create, predicted) = if built { (35, 25) } else { (20, 15) };
    assert!(count("create") > create && count("predicted") > predicted, "{:#}", plan["counts"]);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn plans_of_the_worker_come_true() {
    let built = kubernetes_is_built();
    let bed = bed("worker", built);
    prepare(&bed, built);
    let ours = play(&bed, &["k8s.yml"]);
    let faults: Vec<&String> = ours.iter().flat_map(|s| &s.faults).collect();
    assert!(faults.is_empty(), "{} faults\n{faults:#?}", faults.len());
    if is_asked_for() {
        document::settle("the worker, k8s.yml", "`kdeploy plan`", &ours);
    }
}

#[test]
#[ignore = "needs root, the lab and ansible-core: ./test lab"]
fn what_check_mode_says_of_the_worker() {
    if !is_asked_for() {
        return;
    }
    let bed = bed("worker-twin", true);
    prepare(&bed, true);
    let check = by_ansible(&bed, &["--check"], "check");
    let run = by_ansible(&bed, &[], "run");
    let theirs = NODES.map(|node| {
        let of = |records: &[Value]| -> Vec<Value> { records.iter().filter(|r| r["host"] == node).cloned().collect() };
        compare::check_and_run(&of(&check), &of(&run))
    });
    document::settle("the worker, k8s.yml", "`ansible-playbook --check`", &theirs);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn plans_of_docker_come_true() {
    let bed = bed("node", false);
    let source = bed.lab("mirror", &["apt-source"]);
    for node in NODES {
        bed.on(node, &format!("rm -f /etc/apt/sources.list.d/*; echo '{}' > /etc/apt/sources.list", source.trim()));
    }
    bed.kdeploy(&["apply", "--no-plan", "docker.yml", "--limit", "drifted"]).ends_with(0);
    bed.on("half", "groupadd --system docker; mkdir -m 700 /etc/docker");
    for by_hand in [
        "systemctl stop docker.service docker.socket",
        "apt-get -q -y remove docker.io",
        "echo {} > /etc/docker/daemon.json",
    ] {
        bed.on("drifted", by_hand);
    }
    for (name, args) in [
        ("Docker comes, docker.yml", &["docker.yml"][..]),
        ("Docker goes, docker.yml with docker_state=absent", &["docker.yml", "-e", "docker_state=absent"]),
    ] {
        let ours = play(&bed, args);
        let faults: Vec<&String> = ours.iter().flat_map(|s| &s.faults).collect();
        assert!(faults.is_empty(), "{name}: {} faults\n{faults:#?}", faults.len());
        if is_asked_for() {
            document::settle(name, "`kdeploy plan`", &ours);
        }
    }
}
