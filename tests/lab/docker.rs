//! Docker is taken away, installed either way, and containerd comes in its place.

use crate::bed::Bed;

const LEFT: &str = "
  iptables -S | grep DOCKER; iptables -S | grep 'P FORWARD DROP'; iptables -t nat -S | grep DOCKER
  ls -d /etc/docker /run/docker* /opt/tmp/docker* /etc/systemd/system/docker* /etc/systemd/system/*.wants/docker* /sys/class/net/docker0 2>/dev/null
  ls /usr/local/bin | grep -E 'docker|containerd|ctr|runc'; getent passwd docker; getent group docker; dpkg -l docker.io 2>/dev/null | grep ^[ir]
  pgrep -a dockerd; true";

pub fn taken_away(layer: &str) {
    let bed = Bed::with(&[&format!("worker99={layer}")]).with_mirror();
    assert!(bed.on("worker99", LEFT).contains("DOCKER"), "Docker does not run in this layer");

    let absent = ["docker.yml", "-e", "docker_state=absent"];
    bed.kdeploy(&[&["plan"], &absent[..], &["--detailed-exitcode"]].concat()).ends_with(2);
    bed.kdeploy(&[&["apply"], &absent[..]].concat()).ends_with(0);
    assert_eq!(bed.on("worker99", LEFT), "");
    bed.kdeploy(&[&["plan"], &absent[..], &["--detailed-exitcode"]].concat()).ends_with(0);

    bed.kdeploy(&["apply", "k8s.yml", "--tags", "role-cni,role-runc,role-containerd"]).ends_with(0);
    assert_eq!(
        bed.on("worker99", "systemctl is-active containerd; command -v containerd"),
        "active\n/usr/local/bin/containerd\n"
    );
    // The bundle's programs bear the same names: now they are containerd's.
    bed.kdeploy(&[&["apply"], &absent[..]].concat()).ends_with(0);
    assert_eq!(bed.on("worker99", "systemctl is-active containerd; command -v ctr"), "active\n/usr/local/bin/ctr\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn the_distributions_package_is_taken_away() {
    taken_away("docker");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn the_static_bundle_is_taken_away() {
    taken_away("docker-static");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn docker_is_installed_from_a_package_or_as_the_static_bundle() {
    let bed = Bed::with(&["package", "static"]).with_mirror();
    let source = bed.lab("mirror", &["apt-source"]);
    bed.on("package", &format!("rm -f /etc/apt/sources.list.d/*; echo '{}' > /etc/apt/sources.list", source.trim()));
    bed.write("inventory/host_vars/static.yml", "docker_install_from: static\n");
    bed.kdeploy(&["apply", "docker.yml"]).ends_with(0);
    for node in ["package", "static"] {
        assert!(bed.on(node, "docker version --format '{{.Server.Version}}'").starts_with("20.10"), "{node}");
    }
    bed.kdeploy(&["plan", "docker.yml", "--detailed-exitcode"]).ends_with(0);
}
