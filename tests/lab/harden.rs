//! The role harden_linux cannot lock its operator out: what sshd must not be told is undone by the node itself.

use std::time::{Duration, Instant};

use crate::bed::Bed;

/// What the role made of logins, what still waits to be confirmed, and whether sshd listens for others.
const LOGINS: &str = "cat /etc/ssh/sshd_config.d/10-harden.conf | grep -v '^#'; ls /etc/sudoers.d; find /var/lib/kdeploy/confirm -mindepth 1 -maxdepth 1 ! -exec test -e {}/done ';' -print; \
    ss -Hltn 'sport = :22' | grep -c 0.0.0.0:22; true";

fn settings(bed: &Bed, more: &str) {
    bed.write(
        "inventory/group_vars/all/harden.yml",
        &format!(
            "harden_linux_deploy_user: ops\nharden_linux_confirm: 15\nharden_linux_sshd_settings:\n  PasswordAuthentication: 'no'\n  MaxAuthTries: 5\n{more}"
        ),
    );
}

/// Waits until all is as it was: the node has put it back, and keeps nothing to be confirmed.
#[track_caller]
fn is_again(bed: &Bed, good: &str, setting: &str) {
    let begin = Instant::now();
    loop {
        let now = bed.lab("lab", &["exec", "worker99", "sh", "-c", LOGINS]);
        if now == good {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(90), "{setting}: {now}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_wrong_setting_of_sshd_is_undone() {
    let bed = Bed::worker99();
    let role = ["apply", "k8s.yml", "--no-plan", "--tags", "role-harden-linux"];
    settings(&bed, "");
    bed.kdeploy(&role).ends_with(0);
    let good = bed.on("worker99", LOGINS);
    assert!(good.starts_with("MaxAuthTries 5\nPasswordAuthentication no\n") && good.contains("ops\n"), "{good}");
    bed.kdeploy(&["plan", "k8s.yml", "--tags", "role-harden-linux", "--detailed-exitcode"]).ends_with(0);

    // What sshd does not understand never gets into place.
    settings(&bed, "  NoSuchSetting: 'yes'\n");
    bed.kdeploy(&role).ends_with(2).says("Bad configuration option");
    is_again(&bed, &good, "no such setting");

    // What it understands, and what shuts everybody out, gets there, and is put back.
    let locked_out = ["ListenAddress: 127.0.0.1", "AllowUsers: nobody-at-all"];
    for setting in locked_out {
        settings(&bed, &format!("  {setting}\n"));
        bed.kdeploy(&[&role[..], &["--timeout", "2"]].concat()).ends_with(4).says("puts it back");
        is_again(&bed, &good, setting);
        // And one can log in again.
        assert_eq!(bed.on("worker99", "id -un"), "root\n", "{setting}");
    }
    settings(&bed, "");
    bed.kdeploy(&role).ends_with(0);
    assert_eq!(bed.on("worker99", LOGINS), good);
}
