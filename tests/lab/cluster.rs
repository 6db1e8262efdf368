//! The story on a real cluster: workers on Docker, moved to containerd one after the other while pods run; the same with a fault in each
//! phase. Kubernetes is built from Debian's source package once (`lab/cluster build`); where it cannot be had, the tests say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bed::Bed;

const VARIABLES: &str = "
migrate_canary_image: docker.io/library/busybox:lab
migrate_canary_command: [httpd, -f, -p, '80', -h, /]
migrate_canary_port: 80
migrate_canary_path: /bin/busybox
migrate_canary_pull_policy: Never
migrate_after_containerd: '{{ inventory_dir }}/../after_containerd.yml'
migrate_disk_mb: 200
migrate_preflight_wait: 5
";

/// A control plane, and workers that joined it on Docker: it may take a while until they are Ready.
pub fn joined(nodes: &[&str]) -> Bed {
    let specs: Vec<String> = nodes.iter().map(|node| format!("{node}=docker-worker")).collect();
    let bed = Bed::with(&specs.iter().map(String::as_str).collect::<Vec<_>>()).with_mirror();
    bed.lab("cluster", &["up"]);
    std::fs::create_dir(&bed.programs).unwrap();
    std::os::unix::fs::symlink(bed.kubectl(), bed.programs.join("kubectl")).unwrap();
    bed.lab("cluster", &[&["pki"], nodes].concat());
    bed.write("inventory/group_vars/all/cluster.yml", &format!("{}{VARIABLES}", bed.lab("cluster", &["vars"])));
    for (n, node) in nodes.iter().enumerate() {
        bed.write(&format!("inventory/host_vars/{node}.yml"), &format!("cni_bridge_subnet: 10.244.{}.0/24\n", n + 1));
    }
    for file in ["join.yml", "after_containerd.yml", "pods.yml"] {
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/cluster").join(file);
        bed.write(file, &std::fs::read_to_string(from).unwrap());
    }
    bed.kdeploy(&["apply", "join.yml", "--no-plan"]).ends_with(0);
    bed
}

/// A control plane and workers on docker://, with a Deployment, a DaemonSet and a disruption budget. None: not asked for.
fn cluster(nodes: &[&str]) -> Option<Bed> {
    if std::env::var_os("KDEPLOY_NEEDS_CLUSTER").is_none() {
        eprintln!("skipped: takes a Kubernetes build and several minutes; run by ./test cluster");
        return None;
    }
    let bed = joined(nodes);
    eventually("all nodes are Ready on Docker", || {
        let told = kubectl(&bed, &["get", "nodes", "-o", "wide", "--no-headers"]);
        told.matches(" Ready ").count() == nodes.len() && told.matches("docker://").count() == nodes.len()
    });
    kubectl(&bed, &["apply", "-f", bed.project.path().join("pods.yml").to_str().unwrap()]);
    eventually("all pods run", || pods_running(&bed) == 2 + nodes.len());
    Some(bed)
}

fn kubectl(bed: &Bed, args: &[&str]) -> String {
    bed.lab("cluster", &[&["kubectl"], args].concat())
}

/// Pods that are Running with all containers ready.
fn pods_running(bed: &Bed) -> usize {
    kubectl(bed, &["get", "pods", "--no-headers"])
        .lines()
        .filter(|l| l.contains("1/1") && l.contains("Running"))
        .count()
}

#[track_caller]
fn eventually(what: &str, mut held: impl FnMut() -> bool) {
    for _ in 0..600 {
        if held() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("never came true: {what}");
}

/// Looks at the cluster all the while: how often both nodes were unschedulable, and how often less than one `web` pod was ready.
struct Witness {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(usize, usize, usize)>,
}

impl Witness {
    fn start(bed: &Bed) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, config) = (stop.clone(), bed.lab("cluster", &["kubeconfig"]).trim().to_owned());
        let program = bed.kubectl();
        let thread = std::thread::spawn(move || {
            let get = |args: &[&str]| {
                let out =
                    std::process::Command::new(&program).args(["--kubeconfig", &config]).args(args).output().unwrap();
                out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
            };
            let (mut looks, mut closed, mut budget) = (0, 0, 0);
            while !told.load(Ordering::Relaxed) {
                let nodes = get(&["get", "nodes", "--no-headers"]);
                let web = get(&["get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}"]);
                if let (Some(nodes), Some(web)) = (nodes, web) {
                    looks += 1;
                    closed += usize::from(nodes.matches("SchedulingDisabled").count() > 1);
                    budget += usize::from(web.trim().parse().unwrap_or(0) < 1);
                }
                std::thread::sleep(std::time::Duration::from_millis(700));
            }
            (looks, closed, budget)
        });
        Self { stop, thread }
    }

    fn end(self) -> (usize, usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What of Docker could be left on a node.
const LEFT: &str = "iptables-save | grep ^:DOCKER; ls -d /run/docker* /etc/docker /var/lib/dockershim /sys/class/net/docker0 2>/dev/null; \
    getent group docker; dpkg -l docker.io 2>/dev/null | grep ^ii; pgrep -x dockerd; true";

#[test]
#[ignore = "needs root, the lab and a Kubernetes build: ./test lab"]
fn two_workers_move_from_docker_to_containerd_under_running_pods() {
    let Some(bed) = cluster(&["w1", "w2"]) else { return };
    let plan = bed.told("The plan of one node", &["plan", "migrate-to-containerd.yml", "--limit", "w1"]).ends_with(0);
    // Which pods go, what stops with what, what is removed, and that the node restarts.
    plan.says("Reboot")
        .says("default/web-")
        .says("Docker's packages")
        .says("also stops docker.service")
        .says("reboots the node");
    assert!(kubectl(&bed, &["get", "nodes"]).matches("SchedulingDisabled").count() == 0, "a plan changes nothing");

    let figures = bed.kdeploy(&["plan", "migrate-to-containerd.yml", "--limit", "w1", "--output", "json"]).ends_with(0);
    println!("the plan of w1: {} round trips to the node", figures.count("w1", "round_trips"));

    let witness = Witness::start(&bed);
    let begin = std::time::Instant::now();
    // Without a terminal nobody is asked; between the nodes there is a pause.
    bed.write("inventory/group_vars/all/pace.yml", "migrate_confirm: true\nmigrate_soak: 3\n");
    let moved = bed
        .told("The move", &["apply", "migrate-to-containerd.yml", "--no-plan", "--events", "moved.jsonl"])
        .ends_with(0);
    println!("both moved in {} s", begin.elapsed().as_secs());
    moved.says("w2");
    let events = std::fs::read_to_string(bed.project.path().join("moved.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |task: &str| -> Vec<(&str, &str)> {
        let steps = events.iter().filter(|step| step["task"] == task);
        steps.map(|step| (step["host"].as_str().unwrap(), step["status"].as_str().unwrap())).collect()
    };
    assert_eq!(of("Before the first change"), [("w1", "ok"), ("w2", "ok")]);
    assert_eq!(of("Soak"), [("w1", "ok"), ("w2", "skipped")]);
    let soaked = events.iter().find(|step| step["task"] == "Soak").unwrap();
    assert!(soaked["ms"].as_f64().unwrap() >= 3000.0, "{soaked}");
    eventually("all pods run again", || pods_running(&bed) == 4);
    let (looks, closed, budget) = witness.end();
    assert!(looks > 10, "only {looks} looks at the cluster");
    assert_eq!((closed, budget), (0, 0), "both nodes closed, budget broken; of {looks} looks");

    let nodes = kubectl(&bed, &["get", "nodes", "-o", "wide", "--no-headers"]);
    assert_eq!(nodes.matches("containerd://").count(), 2, "{nodes}");
    assert!(!nodes.contains("SchedulingDisabled"), "{nodes}");
    for node in ["w1", "w2"] {
        assert_eq!(bed.on(node, LEFT), "", "{node}");
    }
    // Again: both are done, nothing happens.
    bed.told("Both again", &["apply", "migrate-to-containerd.yml", "--no-plan"]).ends_with(0);
    let again = bed.kdeploy(&["apply", "migrate-to-containerd.yml", "--output", "json"]).ends_with(0);
    assert_eq!((again.count("w1", "changed"), again.count("w2", "changed")), (0, 0), "{}", again.stdout);
    bed.told("Evidence again", &["apply", "verify.yml", "--no-plan", "--limit", "w1"]).ends_with(0);
    bed.note("The nodes afterwards", &nodes);
}

/// Two pods that only w1 can take, and a budget that lets one go but not both: the drain's dry run finds nothing, the drain itself never ends.
const PINNED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: pinned}
spec:
  replicas: 2
  selector: {matchLabels: {app: pinned}}
  template:
    metadata: {labels: {app: pinned}}
    spec:
      nodeSelector: {kubernetes.io/hostname: w1}
      terminationGracePeriodSeconds: 1
      containers:
        - {name: pinned, image: 'docker.io/library/busybox:lab', imagePullPolicy: Never, command: [sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 3600 & wait $!; done']}
---
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: pinned}
spec: {minAvailable: 1, selector: {matchLabels: {app: pinned}}}
";

/// A pod that nothing would make anew, and one that mounts Docker's socket.
fn lonely(name: &str, volumes: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{nodeName: w1, terminationGracePeriodSeconds: 0, volumes: [{volumes}], \
         containers: [{{name: one, image: 'docker.io/library/busybox:lab', imagePullPolicy: Never, command: [sleep, '3600']}}]}}}}"
    )
}

struct Faults {
    bed: Bed,
}

impl Faults {
    /// A whole run that must fail with these words; then w1 is as said and w2 as it was.
    #[track_caller]
    fn fails(&self, what: &str, more: &[&str], cordoned: bool, words: &[&str]) {
        let run =
            self.bed.told(what, &[&["apply", "migrate-to-containerd.yml", "--no-plan"], more].concat()).ends_with(2);
        for word in words {
            assert!(run.text().contains(word), "{what}: no `{word}` in\n{}\n{}", run.stdout, run.stderr);
        }
        self.stands(what, cordoned);
    }

    #[track_caller]
    fn stands(&self, what: &str, cordoned: bool) {
        assert_eq!(self.is_closed("w1"), cordoned, "{what}: w1's cordon");
        let nodes = kubectl(&self.bed, &["get", "nodes"]);
        assert!(
            !self.is_closed("w2") && self.runtime("w2").starts_with("docker://"),
            "{what}: w2 was touched\n{nodes}"
        );
        assert_eq!(
            self.bed.on("w2", "ls -d /opt/tmp/containerd* /usr/local/bin/containerd 2>/dev/null; true"),
            "",
            "{what}"
        );
    }

    fn is_closed(&self, node: &str) -> bool {
        kubectl(&self.bed, &["get", "node", node, "--no-headers"]).contains("SchedulingDisabled")
    }

    fn runtime(&self, node: &str) -> String {
        kubectl(&self.bed, &["get", "node", node, "-o", "jsonpath={.status.nodeInfo.containerRuntimeVersion}"])
    }

    /// `kubectl apply` of a text.
    fn apply(&self, text: &str) {
        self.bed.write("more.yml", text);
        kubectl(&self.bed, &["apply", "-f", self.bed.project.path().join("more.yml").to_str().unwrap()]);
    }
}

/// One phase after the other goes wrong; each time the same command is given again after the cause was mended, and comes further.
#[test]
#[ignore = "needs root, the lab and a Kubernetes build: ./test lab"]
fn a_fault_in_each_phase_stops_the_move_and_the_second_run_finishes() {
    let Some(bed) = cluster(&["w1", "w2"]) else { return };
    let faults = Faults { bed };
    let bed = &faults.bed;

    // Before anything: the API is away, somebody else's cordon, pods that would be lost or broken, a stale network configuration.
    bed.lab("cluster", &["pause"]);
    let away = bed.told("The API is away", &["apply", "migrate-to-containerd.yml", "--no-plan"]).ends_with(2);
    away.says("the cluster's API cannot be reached")
        .says("Nothing was changed.")
        .says("whether the node is cordoned is not known");
    bed.lab("cluster", &["resume"]);
    faults.stands("the API was away", false);

    kubectl(bed, &["cordon", "w1"]);
    faults.fails(
        "Somebody else's cordon",
        &[],
        true,
        &["not by this playbook", "It stays cordoned, by somebody else."],
    );
    kubectl(bed, &["uncordon", "w1"]);

    faults.apply(&lonely("alone", ""));
    eventually("it is there", || kubectl(bed, &["get", "pod", "alone", "--no-headers"]).contains("Running"));
    faults.fails(
        "A pod that nothing would make anew",
        &[],
        false,
        &["no controller that would make them anew: default/alone"],
    );
    kubectl(bed, &["delete", "pod", "alone"]);
    faults.apply(&lonely("builder", "{name: socket, hostPath: {path: /var/run/docker.sock}}"));
    faults.fails(
        "A pod with Docker's socket",
        &[],
        false,
        &["these pods mount Docker's socket, which goes away: default/builder"],
    );
    kubectl(bed, &["delete", "pod", "builder"]);

    bed.on("w1", "echo {} > /etc/cni/net.d/05-old.conflist");
    faults.fails("A stale network configuration", &[], false, &["these are nobody's: 05-old.conflist"]);
    bed.on("w1", "rm /etc/cni/net.d/05-old.conflist");

    kubectl(bed, &["patch", "pdb", "web", "--type=merge", "-p", r#"{"spec":{"minAvailable":2}}"#]);
    eventually("the budget is tight", || {
        kubectl(bed, &["get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}"]).trim() == "0"
    });
    faults.fails(
        "A budget that lets no pod go",
        &[],
        false,
        &["these evictions are refused", "default/web-", "let no pod go now: web"],
    );
    kubectl(bed, &["patch", "pdb", "web", "--type=merge", "-p", r#"{"spec":{"minAvailable":1}}"#]);

    // Staging: a wrong checksum, while Docker still works.
    bed.lab("mirror", &["fault", "corrupt", "runc.amd64"]);
    faults.fails(
        "A wrong checksum",
        &[],
        false,
        &["checksum", "Docker and kubelet run as before", "It takes pods as before.", "run the same command again"],
    );
    bed.lab("mirror", &["fault", "clear"]);
    assert_eq!(bed.on("w1", "systemctl is-active docker kubelet"), "active\nactive\n");

    // Draining: blocked for good.
    faults.apply(PINNED);
    eventually("the budget lets one go", || {
        kubectl(bed, &["get", "pdb", "pinned", "-o", "jsonpath={.status.disruptionsAllowed}"]).trim() == "1"
    });
    faults.fails(
        "A drain that never ends",
        &["-e", "migrate_drain_timeout=60"],
        true,
        &[
            "the drain did not end within 60 s",
            "default/pinned-",
            "budgets that let no pod go: pinned",
            "Docker and kubelet run as before",
            "It stays cordoned, by this playbook",
        ],
    );
    kubectl(bed, &["delete", "-f", bed.project.path().join("more.yml").to_str().unwrap()]);

    // Replacing: containerd does not start.
    let unit = "/etc/systemd/system/containerd.service.d";
    bed.on("w1", &format!("mkdir -p {unit}; printf '[Service]\\nExecStartPre=/bin/false\\n' > {unit}/broken.conf"));
    faults.fails(
        "containerd does not start",
        &[],
        true,
        &["containerd.service", "Docker is gone or partly so", "It stays cordoned, by this playbook"],
    );
    bed.on("w1", &format!("rm -r {unit}"));

    // Rebooting: the node does not come back, since sshd is kept from starting.
    bed.on("w1", "systemctl mask ssh.service");
    faults.fails(
        "A node that does not come back",
        &["-e", "migrate_reboot_timeout=90", "--timeout", "5"],
        true,
        &["\"Reboot\" failed", "on its way through the reboot", "It stays cordoned, by this playbook"],
    );
    bed.lab("lab", &["exec", "w1", "systemctl", "unmask", "ssh.service"]);
    bed.lab("lab", &["exec", "w1", "systemctl", "start", "ssh.service"]);

    // Verifying: the API goes away once containerd is there.
    let pid = std::fs::read_to_string(bed.dir().join("cluster/apiserver.pid")).unwrap();
    let pause = format!("lab_pause={}", pid.trim());
    let away = ["apply", "migrate-to-containerd.yml", "--no-plan", "-e", &pause, "-e", "migrate_ready_timeout=3"];
    let away = bed.told("The API goes away in the middle", &away).ends_with(2);
    away.says("Docker is gone and containerd is in place").says("whether the node is cordoned is not known");
    bed.lab("cluster", &["resume"]);
    faults.stands("the API went away in the middle", true);

    // The last run finishes, for both.
    bed.told("All causes mended", &["apply", "migrate-to-containerd.yml", "--no-plan"]).ends_with(0);
    for node in ["w1", "w2"] {
        assert!(
            faults.runtime(node).starts_with("containerd://") && !faults.is_closed(node),
            "{node}: {}",
            faults.runtime(node)
        );
        assert_eq!(bed.on(node, LEFT), "", "{node}");
    }
    eventually("all pods run again", || pods_running(bed) == 4);
}

/// The steps one by one, as an operator types them who does not use the migration's playbook.
#[test]
#[ignore = "needs root, the lab and a Kubernetes build: ./test lab"]
fn a_worker_is_moved_by_hand_with_single_commands() {
    let Some(bed) = cluster(&["w1"]) else { return };
    kubectl(&bed, &["patch", "pdb", "web", "--type=merge", "-p", r#"{"spec":{"minAvailable":0}}"#]);
    eventually("the budget lets pods go", || {
        kubectl(&bed, &["get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}"]).trim() == "2"
    });
    kubectl(&bed, &["drain", "w1", "--ignore-daemonsets", "--timeout=300s"]);
    for unit in ["kubelet", "kube-proxy", "docker.socket", "docker"] {
        bed.kdeploy(&["run", "w1", "-b", "-m", "systemd", "-a", &format!("name={unit} state=stopped")]).ends_with(0);
    }
    bed.kdeploy(&["apply", "docker.yml", "--limit", "w1", "-e", "docker_state=absent", "--no-plan"]).ends_with(0);
    for role in ["role-cni", "role-runc", "role-containerd"] {
        bed.kdeploy(&["apply", "k8s.yml", "--tags", role, "--limit", "w1", "--no-plan"]).ends_with(0);
    }
    bed.write("images.yml", "- hosts: k8s_worker\n  become: true\n  tasks:\n    - import_role: {name: containerd, tasks_from: defaults}\n    - import_tasks: after_containerd.yml\n");
    bed.kdeploy(&["apply", "images.yml", "--no-plan"]).ends_with(0);
    bed.kdeploy(&["apply", "k8s.yml", "--tags", "role-kubernetes-worker", "--limit", "w1", "--no-plan"]).ends_with(0);
    bed.kdeploy(&["run", "w1", "-b", "-m", "reboot"]).ends_with(0);
    kubectl(&bed, &["uncordon", "w1"]);
    eventually("it is Ready on containerd", || {
        let told = kubectl(&bed, &["get", "nodes", "-o", "wide", "--no-headers"]);
        told.contains(" Ready ") && told.contains("containerd://")
    });
    eventually("all pods run again", || pods_running(&bed) == 3);
    assert_eq!(bed.on("w1", LEFT), "");
}
