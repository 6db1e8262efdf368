//! Ways to log in and to become root.

use crate::bed::Bed;

const PLAY: &str = "
- hosts: k8s_worker
  gather_facts: false
  become: true
  tasks:
    - copy:
        content: \"by {{ ansible_user }}\\n\"
        dest: /etc/kdeploy-login
        mode: '0600'
";

fn bed() -> Bed {
    let bed = Bed::worker99();
    bed.write("playbooks-own/login.yml", PLAY);
    bed
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_user_with_sudo_without_password() {
    let bed = bed();
    bed.kdeploy(&["apply", "playbooks-own/login.yml", "-u", "deploy", "-e", "ansible_user=deploy"]).ends_with(0);
    assert_eq!(
        bed.on("worker99", "cat /etc/kdeploy-login; stat -c '%U %a' /etc/kdeploy-login"),
        "by deploy\nroot 600\n"
    );
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_password_for_the_login_and_for_sudo() {
    let bed = bed();
    let login =
        "[k8s_worker:vars]\nansible_user=operator\nansible_password=operator\nansible_become_password=operator\n";
    bed.write(
        "inventory/hosts.ini",
        &format!("[k8s_worker]\nworker99 ansible_host={}\n\n{login}", bed.address("worker99")),
    );
    let run = bed.kdeploy(&["apply", "playbooks-own/login.yml", "-vvv"]).ends_with(0);
    assert_eq!(
        bed.on("worker99", "cat /etc/kdeploy-login; stat -c '%U %a' /etc/kdeploy-login"),
        "by operator\nroot 600\n"
    );
    // The user's name is the password: it must not stand where the name has no business, on a command line of the node.
    assert!(!run.text().contains("password=operator"), "{}", run.text());
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_wrong_sudo_password_is_named_and_the_right_one_works() {
    let bed = bed();
    let hosts = |password: &str| {
        let login = format!("ansible_user=operator\nansible_password=operator\n{password}\n");
        format!("[k8s_worker]\nworker99 ansible_host={}\n\n[k8s_worker:vars]\n{login}", bed.address("worker99"))
    };
    for (password, told) in [("ansible_become_password=wrong", "password"), ("", "password")] {
        bed.write("inventory/hosts.ini", &hosts(password));
        let run = bed.kdeploy(&["apply", "playbooks-own/login.yml"]).says(told).says("worker99");
        assert!(matches!(run.code, 2 | 4), "{}\n{}", run.code, run.text());
        assert_eq!(bed.on("worker99", "ls /etc/kdeploy-login 2>/dev/null || true"), "");
    }
    bed.write("inventory/hosts.ini", &hosts("ansible_become_password=operator"));
    bed.kdeploy(&["apply", "playbooks-own/login.yml"]).ends_with(0);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_host_key_that_changed_or_is_unknown_is_refused() {
    let bed = bed();
    let known_hosts = bed.home.path().join(".ssh/known_hosts");
    std::fs::write(&known_hosts, "").unwrap();
    bed.kdeploy(&["apply", "playbooks-own/login.yml"]).ends_with(4).says("known_hosts");

    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVNSxUqOFYIyyZ2mkJaDBWYvOKyaqhCt0gW0hlGJWtN";
    std::fs::write(&known_hosts, format!("{} {other}\n", bed.address("worker99"))).unwrap();
    bed.kdeploy(&["apply", "playbooks-own/login.yml"]).ends_with(4).says("host key");
    assert_eq!(bed.on("worker99", "ls /etc/kdeploy-login 2>/dev/null || true"), "");
}
