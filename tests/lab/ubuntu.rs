//! The same roles on Ubuntu.

use crate::bed::Bed;
use crate::container::{ROLES, run_container};

/// ./test says so where Ubuntu's archive was out of reach.
fn is_missing() -> bool {
    let missing = std::env::var_os("KDEPLOY_NO_UBUNTU").is_some();
    if missing {
        eprintln!("skipped: Ubuntu's archive cannot be reached");
    }
    missing
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn an_ubuntu_node_becomes_a_worker_and_a_bare_node_again() {
    if is_missing() {
        return;
    }
    let bed = Bed::with(&["worker99=ubuntu"]).with_mirror();
    let facts = bed.kdeploy(&["facts", "worker99"]).ends_with(0);
    facts.says("\"ansible_distribution\": \"Ubuntu\"").says("\"ansible_distribution_release\": \"noble\"");
    bed.kdeploy(&["apply", "k8s.yml", "--tags", ROLES]).ends_with(0);
    let out = run_container(&bed, "worker99");
    assert!(out.contains("hello") && out.contains("inet 10.88."), "{out}");
    bed.kdeploy(&["plan", "k8s.yml", "--tags", ROLES, "--detailed-exitcode"]).ends_with(0);
    bed.on("worker99", "ctr images rm docker.io/library/busybox:lab; rm /root/image.tar");
    bed.kdeploy(&["destroy", "k8s.yml", "--tags", ROLES]).ends_with(0);
    crate::ledger::roles_are_destroyed(&bed);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn ubuntus_docker_is_taken_away() {
    if is_missing() {
        return;
    }
    crate::docker::taken_away("ubuntu-docker");
}
