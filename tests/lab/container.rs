//! The main job: a bare node becomes a worker that runs containers, role by role; a second time nothing changes; versions go up.

use crate::bed::Bed;

pub const ROLES: &str = "role-cni,role-runc,role-containerd";

/// Brings an image to the node and runs a container through containerd, runc and the CNI bridge; what it printed.
pub fn run_container(bed: &Bed, node: &str) -> String {
    let www = bed.lab("mirror", &["www"]);
    let lab_dir = bed.dir();
    let image = std::fs::File::open(format!("{}/images/busybox.tar", www.trim())).unwrap();
    let copied = std::process::Command::new("ssh")
        .args([
            "-F",
            lab_dir.join("ssh_config").to_str().unwrap(),
            node,
            "cat > /root/image.tar && ctr images import /root/image.tar",
        ])
        .stdin(image)
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    bed.on(
        node,
        "ctr run --rm --cni docker.io/library/busybox:lab t$$ sh -c 'echo hello; ip -4 addr show eth0' </dev/null",
    )
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_bare_node_becomes_a_worker_role_by_role() {
    let bed = Bed::worker99().with_mirror();

    // A plan changes nothing and says what it would do.
    let plan = bed.kdeploy(&["plan", "k8s.yml", "--tags", ROLES, "--detailed-exitcode"]).ends_with(2);
    plan.says("/etc/containerd/config.toml");
    assert_eq!(bed.on("worker99", "ls -A /opt; ls /usr/local/sbin | grep runc || true").trim(), "");

    for role in ["role-cni", "role-runc", "role-containerd"] {
        bed.kdeploy(&["apply", "k8s.yml", "--tags", role, "--limit", "worker99"]).ends_with(0);
    }
    let out = run_container(&bed, "worker99");
    assert!(out.contains("hello") && out.contains("inet 10.88."), "{out}");
    assert_eq!(
        bed.on("worker99", "stat -c '%U:%G %a' /opt/cni/bin/bridge /usr/local/sbin/runc /usr/local/bin/containerd"),
        "root:root 755\n".repeat(3)
    );
    assert_eq!(
        bed.on("worker99", "systemctl is-active containerd; systemctl is-enabled containerd"),
        "active\nenabled\n"
    );

    // The second time nothing changes, at the cost of a few round trips.
    let again =
        bed.kdeploy(&["plan", "k8s.yml", "--tags", ROLES, "--detailed-exitcode", "--output", "json"]).ends_with(0);
    assert!(again.count("worker99", "round_trips") <= 4, "{} round trips", again.count("worker99", "round_trips"));
    let again = bed.kdeploy(&["apply", "k8s.yml", "--tags", ROLES, "--output", "json"]).ends_with(0);
    assert_eq!(again.count("worker99", "changed"), 0, "{}", again.stdout);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn containerd_goes_up_through_the_versions_under_a_running_container() {
    let bed = Bed::worker99().with_mirror();
    let vars = bed.lab("mirror", &["vars"]);
    let line = vars.lines().find_map(|l| l.strip_prefix("lab_containerd_versions: ")).unwrap();
    let versions: Vec<String> = serde_json::from_str(line).unwrap();

    for (nth, version) in versions.iter().enumerate() {
        let setting = format!("containerd_version={version}");
        let tags = if nth == 0 { ROLES } else { "role-containerd" };
        bed.kdeploy(&["apply", "k8s.yml", "--tags", tags, "-e", &setting]).ends_with(0);
        bed.kdeploy(&["plan", "k8s.yml", "--tags", tags, "-e", &setting, "--detailed-exitcode"]).ends_with(0);
        let says = bed.on("worker99", "containerd --version; head -2 /etc/containerd/config.toml");
        assert!(says.contains(version.as_str()), "{version}: {says}");
        let format = if version.starts_with("1.") { "version = 2" } else { "version = 3" };
        assert!(says.contains(format), "{version}: {says}");
        if nth == 0 {
            run_container(&bed, "worker99");
            bed.on("worker99", "ctr run --detach docker.io/library/busybox:lab lasting sleep 1000 </dev/null");
        }
        assert!(bed.on("worker99", "ctr tasks ls").contains("RUNNING"), "{version}");
    }
}
