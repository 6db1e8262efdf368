//! What was changed by hand on a node is shown by the next plan and mended by the next apply.

use crate::bed::Bed;

const TAGS: [&str; 2] = ["--tags", "role-cni,role-runc,role-containerd"];

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn drift_is_shown_and_mended() {
    let bed = Bed::worker99().with_mirror();
    let kdeploy = |args: &[&str]| bed.kdeploy(&[args, &TAGS].concat());
    kdeploy(&["apply", "k8s.yml"]).ends_with(0);

    // What is done by hand, what the plan must name, and how the node reads when it is mended.
    let drifts = [
        ("chmod 700 /usr/local/sbin/runc", "/usr/local/sbin/runc", "stat -c %a /usr/local/sbin/runc", "755"),
        ("chown 1000 /opt/cni/bin/bridge", "/opt/cni/bin", "stat -c %U /opt/cni/bin/bridge", "root"),
        ("rm /opt/cni/bin/portmap", "/opt/cni/bin", "test -x /opt/cni/bin/portmap && echo there", "there"),
        (
            "echo '# by hand' >> /etc/containerd/config.toml",
            "by hand",
            "grep -c 'by hand' /etc/containerd/config.toml || true",
            "0",
        ),
        (
            "rm /etc/cni/net.d/10-bridge.conflist",
            "10-bridge.conflist",
            "test -f /etc/cni/net.d/10-bridge.conflist && echo there",
            "there",
        ),
        ("printf x >> /usr/local/bin/ctr", "/usr/local/bin/ctr", "ctr --version | cut -d' ' -f1", "ctr"),
        ("systemctl stop containerd", "containerd", "systemctl is-active containerd", "active"),
        ("systemctl disable containerd", "containerd", "systemctl is-enabled containerd", "enabled"),
    ];
    for (by_hand, named, look, mended) in drifts {
        println!("by hand: {by_hand}"); // shown when the test fails
        bed.on("worker99", by_hand);
        kdeploy(&["plan", "k8s.yml", "--detailed-exitcode", "--diff"]).ends_with(2).says(named);
        kdeploy(&["apply", "k8s.yml"]).ends_with(0);
        assert_eq!(bed.on("worker99", look).trim(), mended, "after `{by_hand}`");
    }

    // All of it at once.
    for (by_hand, ..) in drifts {
        bed.on("worker99", by_hand);
    }
    kdeploy(&["apply", "k8s.yml"]).ends_with(0);
    for (by_hand, _, look, mended) in drifts {
        assert_eq!(bed.on("worker99", look).trim(), mended, "after `{by_hand}`, with the others");
    }
    kdeploy(&["plan", "k8s.yml", "--detailed-exitcode"]).ends_with(0);
}

/// Who may have changed what has drifted: by the node's logins, its package log, and the ledger.
#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn drift_is_told_with_who_may_have_done_it() {
    let bed = Bed::with(&["w1=worker"]);
    let site = |text: &str| {
        format!(
            "- hosts: w1\n  gather_facts: false\n  tasks:\n    - copy: {{content: \"{text}\\n\", dest: /etc/by-hand.conf}}\n    \
             - copy: {{content: \"{text}\\n\", dest: /etc/by-run.conf}}\n    - file: {{path: /usr/bin/socat, mode: \"0755\"}}\n"
        )
    };
    bed.write("site.yml", &site("right"));
    bed.write(
        "other.yml",
        "- hosts: w1\n  gather_facts: false\n  tasks:\n    - copy: {content: other, dest: /etc/by-run.conf}\n",
    );
    bed.kdeploy(&["apply", "site.yml"]).ends_with(0);
    let drift = || bed.kdeploy(&["plan", "site.yml", "--drift-only", "--detailed-exitcode"]);
    assert!(!drift().ends_with(0).text().contains("/etc/by-"), "nothing has drifted yet");

    bed.kdeploy(&["apply", "other.yml"]).ends_with(0);
    // What is written within a minute of a run counts as the run's.
    std::thread::sleep(std::time::Duration::from_secs(65));
    // On a terminal, so that the node notes the login.
    let by_hand = "echo wrong > /etc/by-hand.conf; chmod 700 /usr/bin/socat";
    let config = bed.dir().join("ssh_config").display().to_string();
    let login = std::process::Command::new("ssh").args(["-F", &config, "-tt", "w1", by_hand]).output().unwrap();
    assert!(login.status.success(), "{}", String::from_utf8_lossy(&login.stderr));

    let said = drift().ends_with(2).text();
    println!("{said}"); // shown when the test fails
    let line = |path: &str| said.lines().find(|l| l.contains(path)).unwrap_or_else(|| panic!("no {path}")).to_owned();
    let (hand, run, package) = (line("/etc/by-hand.conf"), line("/etc/by-run.conf"), line("/usr/bin/socat"));
    assert!(hand.contains("while root") && hand.contains("was logged in") && hand.contains("written"), "{hand}");
    assert!(run.contains("by kdeploy: ") && run.contains("other.yml"), "{run}");
    assert!(package.contains("of package socat, installed"), "{package}");
}
