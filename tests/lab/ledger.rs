//! What was made can be unmade: destroy, prune, undo, locks, owed handlers, on real nodes.

use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, finished};

/// Everything of a node that a role could change: files with owner, mode and content, accounts, units, packages. Not: logs, caches, what the
/// running system writes by itself, and kdeploy's own state.
const SNAPSHOT: &str = r#"
  cd /
  all() { find etc usr opt srv home root var -xdev \
    ! -path 'var/log/*' ! -path 'var/cache/*' ! -path 'var/lib/kdeploy*' ! -path 'var/lib/systemd/*' ! -path 'var/lib/apt/*' \
    ! -path 'var/lib/dpkg/*' ! -path 'var/tmp/*' ! -path 'root/.*' ! -path 'home/*/.*' ! -path 'var/lib/containerd*' ! -path 'var/lib/docker*' ! -path 'var/lib/kubelet/*' \
    ! -path 'etc/*-' ! -path 'etc/.pwd.lock' ! -path 'etc/ld.so.cache' ! -path 'etc/mtab' ! -path 'var/backups/*' ! -path 'usr/share/*/*' ; }
  all | sort > /run/snapshot.list
  tr '\n' '\0' < /run/snapshot.list | xargs -0 stat -c '%n %F %a %U:%G %N' | sort
  tr '\n' '\0' < /run/snapshot.list | xargs -0 sh -c 'for f; do [ -f "$f" ] && [ ! -L "$f" ] && printf "%s\0" "$f"; done; true' sh | xargs -0 sha256sum | sort
  getent passwd | sort; getent group | sort
  systemctl list-unit-files --no-legend --no-pager | awk '{print $1, $2}' | sort
  systemctl list-units --no-legend --no-pager --plain --type=service,socket,timer --state=active | awk '{print $1}' | grep -v '@\|user-' | sort
  dpkg-query -W | sort"#;

fn snapshot(bed: &Bed, node: &str) -> String {
    bed.on(node, SNAPSHOT)
}

/// What services make for themselves once they run: theirs, not the role's.
const OF_SERVICES: &[&str] = &[
    "etc/cni",
    "etc/cni/net.d",
    "opt/containerd",
    "opt/containerd/bin",
    "opt/containerd/lib",
    "etc/docker",
    "etc/docker/key.json",
    "usr/libexec/kubernetes",
    "usr/libexec/kubernetes/kubelet-plugins",
    "usr/libexec/kubernetes/kubelet-plugins/volume",
    "usr/libexec/kubernetes/kubelet-plugins/volume/exec",
];

/// Lines that two snapshots do not share.
fn difference(before: &str, after: &str) -> String {
    let of_a_service = |line: &&str| {
        // kubelet's cgroups last until the next boot.
        line.starts_with("kubepods")
            || OF_SERVICES
                .iter()
                .any(|path| line.starts_with(&format!("{path} ")) || line.ends_with(&format!("  {path}")))
    };
    let (old, new): (std::collections::BTreeSet<&str>, std::collections::BTreeSet<&str>) =
        (before.lines().filter(|l| !of_a_service(l)).collect(), after.lines().filter(|l| !of_a_service(l)).collect());
    let gone = old.difference(&new).map(|l| format!("- {l}\n"));
    let come = new.difference(&old).map(|l| format!("+ {l}\n"));
    gone.chain(come).collect()
}

#[track_caller]
fn destroyed(bed: &Bed, playbook: &str, tags: &str, extra: &[&str]) {
    let before = snapshot(bed, "worker99");
    let select = ["--tags", tags, "--limit", "worker99"];
    bed.kdeploy(&[&["apply", playbook], &select[..], extra].concat()).ends_with(0);
    assert_ne!(difference(&before, &snapshot(bed, "worker99")), "", "{tags} changed nothing");
    // What is shown is what happens.
    let shown = bed
        .kdeploy(&[&["destroy", playbook], &select[..], extra, &["--check", "--output", "json"]].concat())
        .ends_with(0);
    let done = bed.kdeploy(&[&["destroy", playbook], &select[..], extra, &["--output", "json"]].concat()).ends_with(0);
    let names = |run: &crate::bed::Run| -> Vec<String> {
        run.json()["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["changed"] == true)
            .map(|s| s["task"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&shown), names(&done));
    if extra.contains(&"docker_install_from=package") {
        // The scripts of Debian's docker.io made it, and purging the package leaves it (docs/ledger.md).
        bed.on("worker99", "groupdel docker");
    }
    assert_eq!(
        difference(&before, &snapshot(bed, "worker99")),
        "",
        "{tags} left something\n{}\n{}",
        done.stdout,
        done.stderr
    );
    let again = bed.kdeploy(&[&["destroy", playbook], &select[..], extra, &["--output", "json"]].concat()).ends_with(0);
    assert_eq!(again.count("worker99", "changed"), 0, "{}", again.stdout);
}

pub fn roles_are_destroyed(bed: &Bed) {
    for role in ["role-cni", "role-runc", "role-containerd", "role-harden-linux"] {
        destroyed(bed, "k8s.yml", role, &[]);
    }
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn what_a_role_made_is_destroyed() {
    let bed = Bed::worker99().with_mirror();
    roles_are_destroyed(&bed);
    destroyed(&bed, "docker.yml", "role-docker", &["-e", "docker_install_from=static"]);
}

/// kubelet and kube-proxy beside a containerd that stays; the migration's steps that leave something on a node; and the role that only looks.
#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn what_a_worker_of_a_cluster_got_is_destroyed() {
    let ready = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/cluster");
    if !Command::new(ready).arg("ready").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: Kubernetes is not built here (lab/cluster build)");
        return;
    }
    let bed = Bed::with(&["worker99=worker"]).with_mirror();
    bed.lab("cluster", &["pki", "worker99"]);
    bed.write("inventory/group_vars/all/cluster.yml", &bed.lab("cluster", &["vars"]));
    bed.kdeploy(&["apply", "k8s.yml", "--no-plan", "--tags", "role-cni,role-runc,role-containerd"]).ends_with(0);
    destroyed(&bed, "k8s.yml", "role-kubernetes-worker", &[]);

    // Looking changes nothing, so there is nothing to take back.
    let before = snapshot(&bed, "worker99");
    for command in ["apply", "destroy"] {
        let looked =
            bed.kdeploy(&[command, "k8s.yml", "--tags", "role-compatibility", "--output", "json"]).ends_with(0);
        assert_eq!(looked.count("worker99", "changed"), 0, "{}", looked.stdout);
    }
    assert_eq!(difference(&before, &snapshot(&bed, "worker99")), "");

    // What is staged for another version goes; what was stopped starts again.
    bed.kdeploy(&["apply", "k8s.yml", "--no-plan", "--tags", "role-kubernetes-worker"]).ends_with(0);
    bed.write(
        "steps.yml",
        "- hosts: k8s_worker\n  become: true\n  vars: {containerd_version: '{{ lab_containerd_versions[1] }}', cni_version: '{{ lab_cni_versions[1] }}'}\n  tasks:\n\
         \x20   - import_role: {name: containerd, tasks_from: defaults}\n    - import_role: {name: cni, tasks_from: defaults}\n    - import_role: {name: kubernetes_worker, tasks_from: defaults}\n\
         \x20   - include_role: {name: worker_migration, tasks_from: '{{ item }}'}\n      loop: [stage, stop]\n      tags: steps\n",
    );
    destroyed(&bed, "steps.yml", "all", &[]);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_package_goes_with_what_came_along() {
    let bed = Bed::worker99().with_mirror();
    let source = bed.lab("mirror", &["apt-source"]);
    bed.on("worker99", &format!("rm -f /etc/apt/sources.list.d/*; echo '{}' > /etc/apt/sources.list", source.trim()));
    destroyed(&bed, "docker.yml", "role-docker", &["-e", "docker_install_from=package"]);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn taking_a_role_out_and_others_in_is_one_plan() {
    let bed = Bed::worker99().with_mirror();
    let play = |roles: &str| {
        bed.write("workers.yml", &format!("- hosts: k8s_worker\n  become: true\n  roles: {roles}\n"));
    };
    play("[{role: docker, tags: role-docker, docker_install_from: static}]");
    bed.kdeploy(&["apply", "workers.yml"]).ends_with(0);
    bed.on("worker99", "systemctl is-active docker");
    play("[{role: cni, tags: role-cni}, {role: runc, tags: role-runc}, {role: containerd, tags: role-containerd}]");
    // Without --prune nothing is removed, nor with it where tags select other roles.
    for extra in [&["plan", "workers.yml"][..], &["plan", "workers.yml", "--prune", "--tags", "role-cni"]] {
        let plan = bed.kdeploy(&[extra, &["--output", "json"]].concat()).ends_with(0).json();
        let steps = plan["steps"].as_array().unwrap();
        assert!(steps.iter().all(|s| s["planned"] != "remove" || s["role"] != "docker"), "{plan:#}");
    }
    let plan = bed.kdeploy(&["plan", "workers.yml", "--prune"]).ends_with(0);
    plan.says("unit docker.service").says("- remove").says("/etc/containerd/config.toml");
    bed.kdeploy(&["apply", "workers.yml", "--prune"]).ends_with(0);
    assert_eq!(
        bed.on(
            "worker99",
            "systemctl is-active containerd; command -v containerd; ls -d /etc/docker/daemon.json /etc/systemd/system/docker* /usr/local/bin/docker* \
             /opt/tmp/docker* 2>/dev/null; getent passwd docker; getent group docker; pgrep -a dockerd; true"
        ),
        "active\n/usr/local/bin/containerd\n"
    );
    bed.kdeploy(&["plan", "workers.yml", "--prune", "--detailed-exitcode"]).ends_with(0);
    // Whose a drift is.
    bed.on("worker99", "echo other >> /etc/containerd/config.toml");
    bed.kdeploy(&["plan", "workers.yml", "--drift-only"]).says("/etc/containerd/config.toml").says("by kdeploy: run ");
}

/// A file in the way, one made, one edited beside others' lines, a unit, a user: what undo must bring back.
const SOME: &str = "
- hosts: k8s_worker
  gather_facts: false
  tasks:
    - copy: {content: new, dest: /srv/old, mode: '0600', owner: operator}
    - copy: {content: made, dest: /srv/made}
    - lineinfile: {path: /srv/list, line: ours}
    - file: {src: /srv/made, dest: /srv/link, state: link, force: true}
    - file: {path: /srv/folder, state: absent}
    - user: {name: someone, create_home: true}
    - copy:
        content: |
          [Service]
          ExecStart=/bin/sleep 1000
          [Install]
          WantedBy=multi-user.target
        dest: /etc/systemd/system/some.service
    - systemd: {name: some.service, state: started, enabled: true, daemon_reload: true}
";

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_run_is_undone_and_the_undoing_too() {
    let bed = Bed::worker99();
    bed.on(
        "worker99",
        "echo old > /srv/old; chmod 640 /srv/old; printf 'a\\nb\\nc\\nd\\n' > /srv/list; ln -s /etc/hostname /srv/link; \
         mkdir -p /srv/folder/deep/er; echo in > '/srv/folder/deep/-a b'; ln -s er /srv/folder/deep/link; chmod 600 /srv/folder/deep/-*; \
         chown -h operator /srv/folder/deep/* /srv/folder; chmod 2750 /srv/folder",
    );
    let before = snapshot(&bed, "worker99");
    bed.write("some.yml", SOME);
    bed.kdeploy(&["apply", "some.yml"]).ends_with(0);
    let applied = snapshot(&bed, "worker99");
    let history = bed.kdeploy(&["history", "--output", "json"]).ends_with(0).json();
    let run = history[0]["run"]["id"].as_str().unwrap().to_owned();
    bed.kdeploy(&["show", &run]).ends_with(0).says("/srv/link").says("some.yml");
    let on_node = bed.kdeploy(&["history", "worker99"]).ends_with(0);
    on_node.says(&run).says("apply some.yml").says("done");

    bed.on("worker99", "sed -i '1i theirs' /srv/list");
    bed.kdeploy(&["undo", &run]).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/list"), "theirs\na\nb\nc\nd\n");
    bed.on("worker99", "sed -i 1d /srv/list");
    assert_eq!(difference(&before, &snapshot(&bed, "worker99")), "");

    let history = bed.kdeploy(&["history", "--output", "json"]).ends_with(0).json();
    let undo = history[1]["run"]["id"].as_str().unwrap().to_owned();
    bed.on("worker99", "sed -i '1i theirs' /srv/list");
    bed.kdeploy(&["undo", &undo]).ends_with(0);
    bed.on("worker99", "sed -i 1d /srv/list");
    let left = difference(&applied, &snapshot(&bed, "worker99"));
    // A user comes back without what was in its home.
    assert!(left.lines().all(|l| l.contains("home/someone")), "{left}");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn what_was_delegated_is_taken_back_where_it_is() {
    let bed = Bed::with(&["worker98", "worker99"]);
    bed.write(
        "delegated.yml",
        &"- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: x, dest: /srv/own}
    - copy: {content: x, dest: '/srv/of-{{ inventory_hostname }}'}
      delegate_to: worker98
    - git: {repo: 'DIR/origin', dest: 'DIR/{{ inventory_hostname }}/clone'}
      delegate_to: localhost
      become: false
"
        .replace("DIR", bed.dir().to_str().unwrap()),
    );
    let local = |script: &str| {
        let shell = format!("cd {} && {{ {script}; }} 2>&1", bed.dir().display());
        let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    local(
        "git init -q origin && cd origin && git config user.name n && git config user.email e && echo x >file && git add file && git commit -qm one",
    );
    bed.kdeploy(&["apply", "delegated.yml"]).ends_with(0);
    let all = "ls -d /srv/own /srv/of-* 2>/dev/null; true";
    assert_eq!(bed.on("worker98", all), "/srv/of-worker98\n/srv/of-worker99\n/srv/own\n");
    assert_eq!(local("ls worker98/clone worker99/clone"), "worker98/clone:\nfile\n\nworker99/clone:\nfile\n");

    // Only what was done for this host, wherever it is; the other's stays.
    let plan = bed.kdeploy(&["destroy", "delegated.yml", "--limit", "worker99", "--check"]).ends_with(0);
    plan.says("/srv/own").says("/srv/of-worker99").says("worker99/clone");
    local("echo mine >worker98/clone/new");
    bed.kdeploy(&["destroy", "delegated.yml", "--limit", "worker99"]).ends_with(0);
    assert_eq!(bed.on("worker98", all), "/srv/of-worker98\n/srv/own\n");
    assert_eq!(bed.on("worker99", all), "");
    assert_eq!(local("ls worker99; ls worker98"), "ls: cannot access 'worker99': No such file or directory\nclone\n");
    // Work that somebody put there stays.
    bed.kdeploy(&["destroy", "delegated.yml"]).ends_with(0).says("it holds files that git did not fetch");
    assert_eq!(bed.on("worker98", all), "");
    assert_eq!(local("ls worker98/clone"), "file\nnew\n");
    local("rm worker98/clone/new");
    let run =
        bed.kdeploy(&["history", "--output", "json"]).ends_with(0).json()[0]["run"]["id"].as_str().unwrap().to_owned();
    bed.kdeploy(&["undo", &run]).ends_with(0);
    assert_eq!(local("ls worker98"), "ls: cannot access 'worker98': No such file or directory\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn nodes_without_a_ledger_are_cleaned_by_what_is_declared() {
    let bed = Bed::worker99();
    bed.write("some.yml", SOME);
    let before = snapshot(&bed, "worker99");
    bed.kdeploy(&["apply", "some.yml"]).ends_with(2);
    bed.on("worker99", "printf 'a\\n' > /srv/list");
    bed.kdeploy(&["apply", "some.yml"]).ends_with(0);
    bed.on("worker99", "rm -rf /var/lib/kdeploy");
    bed.kdeploy(&["destroy", "some.yml"]).ends_with(0).says("--assume-owned");
    bed.kdeploy(&["destroy", "some.yml", "--assume-owned"]).ends_with(0).says("left").says("lineinfile");
    bed.on("worker99", "rm -f /srv/list");
    assert_eq!(difference(&before, &snapshot(&bed, "worker99")), "");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn one_run_at_a_time() {
    let bed = Bed::with(&["worker98", "worker99"]);
    bed.write(
        "delegated.yml",
        "- hosts: worker98\n  gather_facts: false\n  tasks:\n    - copy: {content: x, dest: /srv/slow}\n    - copy: {content: y, dest: /srv/slow}\n      delegate_to: worker99\n",
    );
    bed.write("slow.yml", "- hosts: worker99\n  gather_facts: false\n  tasks:\n    - copy: {content: x, dest: /srv/slow}\n    - command: sleep 8\n");
    let first = bed.start(&["apply", "slow.yml"]);
    bed.wait_for("worker99", "test -e /srv/slow");
    // Who, since when, from where.
    bed.kdeploy(&["apply", "slow.yml"])
        .ends_with(2)
        .says("locked by another run")
        .says("by root from")
        .says("--wait-lock");
    // What only looks is not kept out.
    bed.kdeploy(&["plan", "slow.yml"]).ends_with(0);
    // A task that is delegated there is waited for.
    bed.kdeploy(&["apply", "delegated.yml"]).ends_with(0).says("waits for the lock");
    finished(first).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/slow"), "y");
    let first = bed.start(&["apply", "slow.yml"]);
    bed.wait_for("worker99", "grep -q x /srv/slow");
    bed.kdeploy(&["apply", "slow.yml", "--wait-lock", "60"]).ends_with(0).says("waits for the lock");
    finished(first).ends_with(0);
}

const HANDLED: &str = "
- hosts: k8s_worker
  gather_facts: false
  tasks:
    - copy: {content: '{{ text }}', dest: /srv/config}
      notify: restart it
    - copy: {content: '{{ text }}', dest: /srv/second}
    - command: {cmd: 'sh -c \"test ! -e /srv/break\"'}
      changed_when: false
  handlers:
    - name: restart it
      shell: echo restarted >> /srv/restarts
";

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn an_owed_handler_is_paid() {
    let bed = Bed::worker99();
    bed.write("handled.yml", HANDLED);
    bed.on("worker99", "touch /srv/break");
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=one"]).ends_with(2);
    assert_eq!(bed.on("worker99", "cat /srv/restarts 2>/dev/null; true"), "");
    bed.on("worker99", "rm /srv/break");
    bed.kdeploy(&["plan", "handled.yml", "-e", "text=one"]).ends_with(0).says("owed since run");
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=one"]).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/restarts"), "restarted\n");
    // Paid once.
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=one"]).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/restarts"), "restarted\n");
    // --force-handlers pays at once.
    bed.on("worker99", "touch /srv/break");
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=two", "--force-handlers"]).ends_with(2);
    assert_eq!(bed.on("worker99", "cat /srv/restarts; rm /srv/break"), "restarted\nrestarted\n");
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=two"]).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/restarts"), "restarted\nrestarted\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_disk_full_while_the_ledger_is_written() {
    let bed = Bed::worker99();
    bed.on(
        "worker99",
        "mkdir -p /var/lib/kdeploy; mount -t tmpfs -o size=64k tmpfs /var/lib/kdeploy; echo old > /srv/config",
    );
    bed.write("handled.yml", HANDLED);
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=one"]).ends_with(0);
    bed.on("worker99", "head -c 100000 /dev/zero > /var/lib/kdeploy/fill; true");
    // Nothing changes that is not noted.
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=two"]).ends_with(2).says("cannot write the ledger");
    assert_eq!(bed.on("worker99", "cat /srv/config /srv/second"), "oneone");
    bed.on("worker99", "rm /var/lib/kdeploy/fill");
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=two"]).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/config /srv/second; cat /srv/restarts"), "twotworestarted\nrestarted\n");
    bed.kdeploy(&["destroy", "handled.yml"]).ends_with(0);
    assert_eq!(bed.on("worker99", "cat /srv/config; ls /srv/second 2>/dev/null; true"), "old\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn an_older_ledger_and_a_damaged_one() {
    let bed = Bed::worker99();
    bed.write("handled.yml", HANDLED);
    let old = include_str!("../ledger/v1.jsonl");
    let path = bed.dir().join("v1.jsonl");
    std::fs::write(&path, old).unwrap();
    bed.on(
        "worker99",
        &format!("mkdir -p -m 700 /var/lib/kdeploy /etc/docker; cat > /var/lib/kdeploy/ledger <<'END'\n{old}END"),
    );
    bed.write("playbooks-k8s.yml", "- hosts: k8s_worker\n  gather_facts: false\n  tasks: []\n");
    bed.kdeploy(&["history", "worker99"]).ends_with(0).says("alice@ops1").says("20261124T201530-1a2b3c");
    bed.kdeploy(&["undo", "20261124T201530-1a2b3c"]).ends_with(0);
    assert_eq!(bed.on("worker99", "ls -d /etc/docker 2>/dev/null; true"), "");
    // Damage is told, and deletes nothing.
    bed.kdeploy(&["apply", "handled.yml", "-e", "text=one"]).ends_with(0);
    bed.on(
        "worker99",
        "sed -i 's/^{\"is\":\"before\"/{\"is\":\"bef/; s/\"kind\":\"create\"//' /var/lib/kdeploy/ledger",
    );
    bed.kdeploy(&["destroy", "handled.yml"]).ends_with(0).says("damaged");
    assert_eq!(bed.on("worker99", "cat /srv/config /srv/second"), "oneone");
}
