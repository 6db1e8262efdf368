//! Things that go wrong in the middle: nothing is left half-written, the message is clear, the next apply finishes the work.

use crate::bed::{Bed, finished};

/// A change, a pause to go wrong in, another change.
const SLOW: &str = "
- hosts: k8s_worker
  gather_facts: false
  tasks:
    - name: first
      copy:
        content: one
        dest: /srv/one
    - name: a pause
      command:
        cmd: sleep 8
        creates: /srv/two
    - name: second
      copy:
        content: two
        dest: /srv/two
";

/// Files that a cut-off write could have left.
const STRAY: &str =
    "find /srv /opt /etc/containerd /usr/local -name '.*' ! -name .complete ! -name '.' | head; ls -A /srv | sort";

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_connection_cut_in_the_middle() {
    let bed = Bed::worker99();
    bed.write("slow.yml", SLOW);
    let run = bed.start(&["apply", "slow.yml", "--timeout", "5"]);
    bed.wait_for("worker99", "test -e /srv/one");
    // The node's end of the connection goes: a reset, not silence.
    bed.lab("lab", &["exec", "worker99", "sh", "-c", "pkill -KILL -x sshd; systemctl restart ssh"]);
    finished(run).ends_with(4).says("worker99").says("a pause");
    assert_eq!(bed.on("worker99", STRAY), "one\n");
    bed.kdeploy(&["apply", "slow.yml"]).ends_with(0);
    assert_eq!(bed.on("worker99", STRAY), "one\ntwo\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_cable_pulled_out() {
    let bed = Bed::worker99();
    // The node falls silent: only a time limit can tell.
    bed.write("slow.yml", &SLOW.replace("sleep 8", "sleep 300"));
    let run = bed.start(&["apply", "slow.yml", "--timeout", "3"]);
    bed.wait_for("worker99", "test -e /srv/one");
    bed.lab("lab", &["unplug", "worker99"]);
    let begin = std::time::Instant::now();
    finished(run).ends_with(4).says("worker99");
    assert!(begin.elapsed().as_secs() < 90, "noticed after {} s", begin.elapsed().as_secs());
    bed.lab("lab", &["plug", "worker99"]);
    bed.write("slow.yml", SLOW);
    // Two runs never interleave: what the lost one left running is named, and stays until it ends.
    bed.kdeploy(&["apply", "slow.yml"]).ends_with(2).says("has ended but left `sleep 300` running").says("--wait-lock");
    bed.on("worker99", "pkill -x sleep");
    bed.kdeploy(&["apply", "slow.yml"]).ends_with(0);
    assert_eq!(bed.on("worker99", STRAY), "one\ntwo\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_killed_kdeploy() {
    let bed = Bed::worker99();
    bed.write("slow.yml", SLOW);
    let mut run = bed.start(&["apply", "slow.yml"]);
    bed.wait_for("worker99", "test -e /srv/one");
    run.kill().unwrap();
    run.wait().unwrap();
    // What it held on the node goes with the connection: the next run is not locked out.
    bed.kdeploy(&["apply", "slow.yml"]).ends_with(0);
    assert_eq!(bed.on("worker99", STRAY), "one\ntwo\n");
    bed.kdeploy(&["plan", "slow.yml", "--detailed-exitcode"]).ends_with(0);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_full_disk() {
    let bed = Bed::worker99();
    bed.on("worker99", "mkdir -p /srv/small; mount -t tmpfs -o size=64k tmpfs /srv/small; echo old > /srv/small/file");
    bed.write("files/big", &"x".repeat(200_000));
    bed.write(
        "full.yml",
        "- hosts: k8s_worker\n  gather_facts: false\n  tasks:\n    - copy:\n        src: files/big\n        dest: /srv/small/file\n",
    );
    bed.kdeploy(&["apply", "full.yml"]).ends_with(2).says("No space left on device").says("/srv/small/file");
    assert_eq!(bed.on("worker99", "ls -A /srv/small; cat /srv/small/file"), "file\nold\n");
    bed.on("worker99", "mount -o remount,size=1m /srv/small");
    bed.kdeploy(&["apply", "full.yml"]).ends_with(0);
    assert_eq!(bed.on("worker99", "ls -A /srv/small; wc -c < /srv/small/file"), "file\n200000\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn downloads_that_are_not_what_they_should_be() {
    let bed = Bed::worker99().with_mirror();
    let apply = ["apply", "k8s.yml", "--tags", "role-runc"];
    for (fault, path, told) in [
        ("wrong-sums", "runc.sha256sum", "checksum"),
        ("corrupt", "runc.amd64", "checksum"),
        ("truncate", "runc.amd64", "runc.amd64"),
        ("missing", "runc.amd64", "404"),
        ("error", "runc.amd64", "500"),
    ] {
        bed.lab("mirror", &["fault", fault, path]);
        bed.kdeploy(&apply).ends_with(2).says(told);
        assert_eq!(bed.on("worker99", "ls -A /usr/local/sbin | grep runc || true"), "", "after {fault}");
        bed.lab("mirror", &["fault", "clear"]);
    }
    bed.kdeploy(&apply).ends_with(0);
    assert!(bed.on("worker99", "/usr/local/sbin/runc --version").contains("runc version"));
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn an_unreachable_host_beside_a_good_one() {
    let bed = Bed::worker99();
    let gone = bed.address("worker99").replace(".11", ".250");
    let hosts = bed
        .lab("lab", &["inventory"])
        .replace("[k8s_worker]\n", &format!("[k8s_worker]\nworker98 ansible_host={gone}\n"));
    bed.write("inventory/hosts.ini", &hosts);
    bed.write("one.yml", "- hosts: k8s_worker\n  gather_facts: false\n  tasks:\n    - copy:\n        content: one\n        dest: /srv/one\n");
    let run = bed.kdeploy(&["apply", "one.yml", "--timeout", "4", "--output", "json"]).ends_with(4);
    assert_eq!(run.count("worker98", "unreachable"), 1);
    assert_eq!(run.count("worker99", "changed"), 1);
    assert_eq!(bed.on("worker99", "cat /srv/one"), "one");
}
