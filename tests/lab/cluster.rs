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

/// A control plane and two workers on docker://, with a Deployment, a DaemonSet and a disruption budget. None: not asked for.
fn cluster() -> Option<Bed> {
    if std::env::var_os("KDEPLOY_NEEDS_CLUSTER").is_none() {
        eprintln!("skipped: takes a Kubernetes build and several minutes; run by ./test cluster");
        return None;
    }
    let bed = Bed::with(&["w1=docker-worker", "w2=docker-worker"]).with_mirror();
    bed.lab("cluster", &["up"]);
    std::fs::create_dir(&bed.programs).unwrap();
    std::os::unix::fs::symlink(bed.kubectl(), bed.programs.join("kubectl")).unwrap();
    bed.lab("cluster", &["pki", "w1", "w2"]);
    bed.write("inventory/group_vars/all/cluster.yml", &format!("{}{VARIABLES}", bed.lab("cluster", &["vars"])));
    for (n, node) in ["w1", "w2"].iter().enumerate() {
        bed.write(&format!("inventory/host_vars/{node}.yml"), &format!("cni_bridge_subnet: 10.244.{}.0/24\n", n + 1));
    }
    for file in ["join.yml", "after_containerd.yml", "pods.yml"] {
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/cluster").join(file);
        bed.write(file, &std::fs::read_to_string(from).unwrap());
    }
    bed.kdeploy(&["apply", "join.yml", "--no-plan"]).ends_with(0);
    eventually("both nodes are Ready on Docker", || {
        let nodes = kubectl(&bed, &["get", "nodes", "-o", "wide", "--no-headers"]);
        nodes.matches(" Ready ").count() == 2 && nodes.matches("docker://").count() == 2
    });
    kubectl(&bed, &["apply", "-f", bed.project.path().join("pods.yml").to_str().unwrap()]);
    eventually("all pods run", || pods_running(&bed) == 4);
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
    for _ in 0..180 {
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
    let Some(bed) = cluster() else { return };
    let plan = bed.kdeploy(&["plan", "migrate-to-containerd.yml", "--limit", "w1"]).ends_with(0);
    plan.says("Reboot").says("Drain").says("Docker's packages");
    assert!(kubectl(&bed, &["get", "nodes"]).matches("SchedulingDisabled").count() == 0, "a plan changes nothing");

    let witness = Witness::start(&bed);
    bed.kdeploy(&["apply", "migrate-to-containerd.yml"]).ends_with(0);
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
    let again = bed.kdeploy(&["apply", "migrate-to-containerd.yml", "--output", "json"]).ends_with(0);
    assert_eq!((again.count("w1", "changed"), again.count("w2", "changed")), (0, 0), "{}", again.stdout);
    bed.kdeploy(&["apply", "verify.yml", "--limit", "w1"]).ends_with(0);
}

#[test]
#[ignore = "needs root, the lab and a Kubernetes build: ./test lab"]
fn a_fault_in_each_phase_stops_the_move_and_the_second_run_finishes() {
    let Some(bed) = cluster() else { return };
    let apply = ["apply", "migrate-to-containerd.yml", "--limit", "w1"];
    let closed = |node: &str| kubectl(&bed, &["get", "node", node, "--no-headers"]).contains("SchedulingDisabled");
    let runtime =
        |node: &str| kubectl(&bed, &["get", "node", node, "-o", "jsonpath={.status.nodeInfo.containerRuntimeVersion}"]);

    // The API is away.
    bed.lab("cluster", &["pause"]);
    bed.kdeploy(&apply).ends_with(2).says("the cluster's API cannot be reached");
    bed.lab("cluster", &["resume"]);
    assert!(!closed("w1"));

    // Somebody else's cordon.
    kubectl(&bed, &["cordon", "w1"]);
    bed.kdeploy(&apply).ends_with(2).says("not by this playbook");
    kubectl(&bed, &["uncordon", "w1"]);

    // A wrong checksum: found while Docker still works.
    bed.lab("mirror", &["fault", "corrupt", "runc.amd64"]);
    bed.kdeploy(&apply).ends_with(2).says("checksum").says("run the same command again");
    bed.lab("mirror", &["fault", "clear"]);
    assert!(!closed("w1"), "staging fails before the cordon");

    // A budget that never lets the drain end.
    let budget = |least: &str| {
        kubectl(
            &bed,
            &["patch", "pdb", "web", "--type=merge", "-p", &format!("{{\"spec\":{{\"minAvailable\":{least}}}}}")],
        )
    };
    budget("2");
    eventually("the budget is tight", || {
        kubectl(&bed, &["get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}"]).trim() == "0"
    });
    bed.kdeploy(&apply).ends_with(2).says("these evictions are refused").says("default/web-").says("web");
    assert!(!closed("w1"));
    budget("1");

    // containerd does not start: the node stays cordoned, the other is untouched.
    bed.on("w1", "mkdir -p /etc/systemd/system/containerd.service.d; printf '[Service]\\nExecStartPre=/bin/false\\n' > /etc/systemd/system/containerd.service.d/broken.conf");
    bed.kdeploy(&["apply", "migrate-to-containerd.yml"]).ends_with(2).says("w1 was not moved").says("stays cordoned");
    assert!(closed("w1") && !closed("w2") && runtime("w2").starts_with("docker://"));
    bed.on("w1", "rm -r /etc/systemd/system/containerd.service.d");

    // A node that does not come back from its reboot: sshd is kept from starting.
    bed.on("w1", "systemctl mask ssh.service");
    let run = bed.kdeploy(&["apply", "migrate-to-containerd.yml", "-e", "migrate_reboot_timeout=30", "--timeout", "5"]);
    assert_ne!(run.code, 0, "{}", run.text());
    run.says("w1");
    assert!(closed("w1") && !closed("w2") && runtime("w2").starts_with("docker://"));
    bed.lab("lab", &["exec", "w1", "systemctl", "unmask", "ssh.service"]);
    bed.lab("lab", &["exec", "w1", "systemctl", "start", "ssh.service"]);

    // The second run finishes, for both.
    bed.kdeploy(&["apply", "migrate-to-containerd.yml"]).ends_with(0);
    for node in ["w1", "w2"] {
        assert!(runtime(node).starts_with("containerd://") && !closed(node), "{node}: {}", runtime(node));
        assert_eq!(bed.on(node, LEFT), "", "{node}");
    }
}
