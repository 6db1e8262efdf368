//! The migration's preflight and its budget of failures, against a kubectl that tells of a cluster in files. The move itself is tested on a real
//! cluster (tests/lab/cluster.rs).

use crate::Bench;
use crate::bench::Said;

/// Answers from the folder of the cluster; what it was asked goes to `log`.
const KUBECTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")/../cluster" || exit 1
echo "$*" >> log
items() { printf '{"kind":"List","items":['; first=1; for f in "$@"; do [ -f "$f" ] || continue; [ -n "$first" ] || printf ,; first=; cat "$f"; done; printf ']}\n'; }
case $* in
*/readyz*) [ ! -e away ] || { echo 'Unable to connect to the server: net/http: TLS handshake timeout' >&2; exit 1; }; echo ok ;;
*/api/v1/nodes/*)
  [ ! -e away ] || { echo 'Unable to connect to the server' >&2; exit 1; }
  for node in node-*; do case "$* " in *"/nodes/${node#node-} "*) cat "$node"; exit 0 ;; esac; done
  echo 'Error from server (NotFound)' >&2; exit 1 ;;
*eviction*)
  for pod in $(cat refused 2>/dev/null); do
    case $* in */pods/$pod/eviction*) echo "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget." >&2; exit 1 ;; esac
  done ;;
*--dry-run*) echo 'the server does not support dry run' >&2; exit 1 ;;
*[Pp]od[Dd]isruption*) items budget-* ;;
*[Pp]od*) items pod-* ;;
*[Nn]ode*)
  [ ! -e away ] || { echo 'Unable to connect to the server' >&2; exit 1; }
  for node in node-*; do case " $* " in *" ${node#node-} "*) cat "$node"; exit 0 ;; esac; done
  case $* in *--all-namespaces*) items node-* ;; *) echo 'Error from server (NotFound)' >&2; exit 1 ;; esac ;;
*) echo "not foreseen: $*" >&2; exit 1 ;;
esac
"#;

/// As kubelet's version says, the budgets of the cluster are `policy/v1`.
const VARIABLES: &str = "
ansible_connection: local
ansible_become: false
kubernetes_worker_node_ip: 192.0.2.1
kubernetes_worker_enabled: true
migrate_disk_mb: 1
migrate_preflight_wait: 5
cni_conf_directory: '{{ inventory_dir }}/../cluster/net.d'
compatibility_accept: [cgroup, upgrade]
docker_state: absent
";

fn node(name: &str, runtime: &str, more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}"}}}},"spec":{{{more}}},"status":{{"nodeInfo":{{"containerRuntimeVersion":"{runtime}","bootID":"b"}},"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
    )
}

fn pod(name: &str, owner: &str, volumes: &str) -> String {
    let owners = if owner.is_empty() { String::new() } else { format!(r#","ownerReferences":[{{"kind":"{owner}"}}]"#) };
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","labels":{{"app":"web"}}{owners}}},"spec":{{"volumes":[{volumes}]}},"status":{{"phase":"Running"}}}}"#
    )
}

struct Cluster {
    bench: Bench,
}

impl Cluster {
    /// Nodes on Docker, one pod of a controller on each.
    fn of(nodes: &[&str]) -> Self {
        let repository = env!("CARGO_MANIFEST_DIR");
        let bench =
            Bench::new(&[("bin/kubectl", KUBECTL), ("bin/modprobe", "#!/bin/sh\n"), ("cluster/net.d/.keep", "")]);
        bench.write("kdeploy.toml", "inventory = \"inventory\"\nroles_path = [\"roles\"]\n");
        bench.write("inventory/hosts", &format!("[k8s_worker]\n{}\n", nodes.join("\n")));
        bench.write("inventory/group_vars/all.yml", VARIABLES);
        for folder in ["roles", "playbooks"] {
            std::os::unix::fs::symlink(format!("{repository}/{folder}"), bench.path().join(folder)).expect("a link");
        }
        let cluster = Self { bench };
        cluster.program("kubectl");
        cluster.program("modprobe");
        for name in nodes {
            cluster.put(&format!("node-{name}"), &node(name, "docker://20.10.24", ""));
        }
        cluster.put("pod-web", &pod("web-1", "ReplicaSet", ""));
        cluster
    }

    fn program(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.bench.path().join("bin").join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    }

    fn put(&self, name: &str, text: &str) {
        self.bench.write(&format!("cluster/{name}"), text);
    }

    fn kdeploy(&self, args: &[&str]) -> Said {
        let path = format!("{}/bin:{}", self.bench.path().display(), std::env::var("PATH").unwrap_or_default());
        self.bench.run_as("kdeploy", args, &[("PATH", &path)])
    }

    /// A plan that must stop at the preflight with these words, and before anything of the node or the cluster is changed.
    #[track_caller]
    fn refuses(&self, more: &[&str], words: &[&str]) {
        let said = self.kdeploy(&[&["plan", "playbooks/migrate-to-containerd.yml"], more].concat());
        let text = format!("{}{}", said.out, said.err);
        assert_eq!(said.rc, 2, "{text}");
        for word in words {
            assert!(text.contains(word), "no `{word}` in\n{text}");
        }
        assert!(!text.contains("Download"), "it went on after the preflight\n{text}");
        let log = self.bench.read("cluster/log");
        for verb in [" cordon ", " drain ", " patch ", " delete ", " apply "] {
            assert!(!log.contains(verb), "{log}");
        }
    }
}

#[test]
fn the_api_is_away() {
    let cluster = Cluster::of(&["n1"]);
    cluster.put("away", "");
    cluster.refuses(
        &[],
        &[
            "the cluster's API cannot be reached by kubectl: Unable to connect",
            "Nothing was changed.",
            "whether the node is cordoned is not known",
        ],
    );
}

#[test]
fn a_node_that_the_cluster_does_not_know() {
    let cluster = Cluster::of(&["n1"]);
    cluster.refuses(&["-e", "migrate_node_name=other"], &["the cluster has no node other: see migrate_node_name"]);
}

#[test]
fn somebody_elses_cordon() {
    let cluster = Cluster::of(&["n1"]);
    cluster.put("node-n1", &node("n1", "docker://20.10.24", r#""unschedulable":true"#));
    cluster.refuses(&[], &["n1 is cordoned, and not by this playbook", "It stays cordoned, by somebody else."]);
}

#[test]
fn another_node_is_out_of_service() {
    let cluster = Cluster::of(&["n1"]);
    cluster.put("node-n9", &node("n9", "docker://20.10.24", "").replace(r#""status":"True""#, r#""status":"Unknown""#));
    cluster.refuses(
        &[],
        &[
            "n9 already out of service; 1 more would be more than migrate_max_unavailable (1)",
            "It takes pods as before.",
        ],
    );
    cluster.put("node-n9", &node("n9", "docker://20.10.24", r#""unschedulable":true"#));
    cluster.refuses(&[], &["n9 already out of service"]);
    // A batch counts as a whole.
    let cluster = Cluster::of(&["n1", "n2"]);
    cluster.refuses(&["-e", r#"{"migrate_serial": [2]}"#], &["2 more would be more than migrate_max_unavailable (1)"]);
}

#[test]
fn pods_that_a_drain_would_lose_or_break() {
    let cluster = Cluster::of(&["n1"]);
    cluster.put("pod-alone", &pod("alone", "", ""));
    cluster.refuses(
        &[],
        &["no controller that would make them anew: shop/alone (migrate_drain_force: true deletes them)"],
    );
    cluster.put("pod-alone", &pod("builder", "ReplicaSet", r#"{"hostPath":{"path":"/var/run/docker.sock"}}"#));
    cluster.refuses(&[], &["these pods mount Docker's socket, which goes away: shop/builder"]);
}

#[test]
fn evictions_that_the_server_refuses() {
    let cluster = Cluster::of(&["n1"]);
    cluster.put("refused", "web-1");
    cluster.put(
        "budget-web",
        r#"{"metadata":{"name":"web-budget","namespace":"shop"},"spec":{},"status":{"disruptionsAllowed":0}}"#,
    );
    cluster.refuses(
        &[],
        &[
            "these evictions are refused: shop/web-1 (",
            "disruption budget",
            "Budgets that let no pod go now: web-budget",
        ],
    );
}

#[test]
fn what_the_node_lacks_or_has_too_much() {
    let cluster = Cluster::of(&["n1"]);
    cluster.refuses(&["-e", "migrate_disk_mb=999999999"], &["/opt has ", "MB free, migrate_disk_mb is 999999999"]);
    cluster.put("net.d/05-old.conflist", "{}");
    cluster.refuses(&[], &["net.d the first file by name wins, and these are nobody's: 05-old.conflist"]);
    // A module that is neither there nor to be loaded.
    cluster.bench.write(
        "bin/grep",
        "#!/bin/sh\ncase $* in *'overlay /proc/filesystems') exit 1 ;; esac\nexec /bin/grep \"$@\"\n",
    );
    cluster.bench.write("bin/modprobe", "#!/bin/sh\nexit 1\n");
    cluster.program("grep");
    cluster.refuses(&[], &["kernel modules that cannot be loaded: overlay"]);
}

#[test]
fn versions_that_do_not_go_together() {
    let cluster = Cluster::of(&["n1"]);
    cluster.refuses(
        &["-e", "containerd_version=2.1.9"],
        &[
            "Kubernetes 1.36.4 goes with containerd",
            "not with 2.1.9 (accept it with compatibility_accept: [containerd-kubernetes])",
        ],
    );
}

/// A node that cannot be moved, and three that are already: what matters is how far the run goes.
#[test]
fn failures_are_counted_over_all_batches() {
    let run = |failing: &[&str], more: &[&str]| {
        let cluster = Cluster::of(&["n1", "n2", "n3", "n4"]);
        for name in ["n1", "n2", "n3", "n4"] {
            let text = if failing.contains(&name) {
                node(name, "docker://20.10.24", r#""unschedulable":true"#)
            } else {
                node(name, "containerd://2.3.4", "")
            };
            cluster.put(&format!("node-{name}"), &text);
        }
        let said = cluster.kdeploy(&[&["apply", "playbooks/migrate-to-containerd.yml", "--no-plan"], more].concat());
        let log = cluster.bench.read("cluster/log");
        let seen: Vec<&str> =
            ["n1", "n2", "n3", "n4"].into_iter().filter(|n| log.contains(&format!(" Node {n} "))).collect();
        (said.rc, seen.join(" "), said.out + &said.err)
    };
    // Without a budget the first failure ends the run; with one of one, the second does.
    let (rc, seen, text) = run(&["n2"], &[]);
    assert_eq!((rc, seen.as_str()), (2, "n1 n2"), "{text}");
    assert!(text.contains("n2 was not moved") && text.contains("No other node is begun."), "{text}");
    let (rc, seen, text) = run(&["n2"], &["-e", "migrate_max_failed=1"]);
    assert_eq!((rc, seen.as_str()), (2, "n1 n2 n3 n4"), "{text}");
    assert!(text.contains("not moved, and still cordoned where they were: n2"), "{text}");
    let (rc, seen, text) = run(&["n1", "n3"], &["-e", "migrate_max_failed=1"]);
    assert_eq!((rc, seen.as_str()), (2, "n1 n2 n3"), "{text}");
    assert!(text.contains("2 failed, migrate_max_failed is 1"), "{text}");
    // Batches that grow, after a canary.
    let (rc, seen, text) = run(&["n1"], &["-e", r#"{"migrate_serial": [1, 3], "migrate_max_unavailable": 3}"#]);
    assert_eq!((rc, seen.as_str()), (2, "n1"), "{text}");
    let (rc, seen, text) = run(&[], &["-e", r#"{"migrate_serial": [1, 3]}"#]);
    assert_eq!((rc, seen.as_str()), (0, "n1 n2 n3 n4"), "{text}");
}

/// uncordon.yml gives back what carries the playbook's mark, and nothing else.
#[test]
fn only_what_the_playbook_cordoned_is_given_back() {
    let cluster = Cluster::of(&["n1", "n2"]);
    let cordoned = |name: &str, mark: &str| {
        let text = node(name, "docker://20.10.24", r#""unschedulable":true"#);
        cluster.put(&format!("node-{name}"), &text.replace(r#""labels""#, &format!(r#"{mark}"labels""#)));
    };
    cordoned("n1", r#""annotations":{"kdeploy.io/migration":"cordoned"},"#);
    cordoned("n2", "");
    let said = cluster.kdeploy(&["plan", "playbooks/uncordon.yml", "--output", "json"]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    let plan: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let of = |host: &str| -> Vec<&str> {
        let steps = plan["steps"].as_array().unwrap().iter();
        steps.filter(|s| s["host"] == host && s["planned"] == "change").map(|s| s["task"].as_str().unwrap()).collect()
    };
    assert_eq!(of("n1"), ["Uncordon", "Take the mark away"], "{}", said.out);
    assert!(of("n2").is_empty(), "{}", said.out);
}
