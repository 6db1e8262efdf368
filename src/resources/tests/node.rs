use proptest::prelude::*;
use serde_json::json;

use super::kernel::files;
use crate::resources::testing::*;
use crate::world::{Account, Answer, Query};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUDdmEcd/qFwi+ToUIC2S4cCwLja1wE1Fx7oC7HYdM3";

fn node(query: &Query) -> Answer {
    const FILES: &[(&str, &str)] = &[
        ("/proc/sys/kernel/hostname", "old\n"),
        ("/etc/hostname", "old\n"),
        ("/etc/timezone", "Etc/UTC\n"),
        ("/usr/share/zoneinfo/Europe/Berlin", "TZif"),
        ("/etc/adjtime", "0.0 0 0.0\n0\nUTC\n"),
        ("/etc/locale.gen", "# en_US.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\n"),
        ("/etc/fstab", "# x\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1\t/data\txfs\tnoatime\t0\t0\n"),
        ("/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /data rw - xfs /dev/sdb1 rw\n"),
        ("/root/.ssh/authorized_keys", "command=\"a b\" ssh-rsa AAAAB3Nza first\nssh-rsa AAAAB3Nzb second\n"),
        ("/etc/cron.d/kube", "#Ansible: a\n5 * * * * root x\n"),
    ];
    match query {
        Query::Account { name } if name == "root" => Answer::Account(Some(Account {
            name: "root".into(),
            uid: 0,
            gid: 0,
            comment: String::new(),
            home: "/root".into(),
            shell: "/bin/sh".into(),
            groups: vec![],
            group: "root".into(),
            password: None,
            expires: None,
        })),
        Query::Read { argv } if argv[0] == "locale" => Answer::Output(output(0, "C\nC.utf8\nde_DE.utf8\n")),
        Query::Read { argv } if argv[0] == "crontab" => {
            Answer::Output(output(0, "X=\"1\"\n#Ansible: a\n* * * * * y\n"))
        }
        other => files(FILES)(other),
    }
}

fn run(module: &str, args: serde_json::Value) -> Option<Vec<String>> {
    let r = build(module, args);
    converges(&*r, &mut world([]), &node).map(|c| shorts(&c))
}

#[test]
fn names_and_places() {
    assert_eq!(run("hostname", json!({"name": "old"})), None);
    assert!(run("hostname", json!({"name": "new.example.org"})).is_some());
    assert_eq!(run("timezone", json!({"name": "Europe/Berlin"})).unwrap().len(), 2);
    assert_eq!(run("timezone", json!({"hwclock": "UTC"})), None);
    assert_eq!(
        run("locale_gen", json!({"name": "en_US.UTF-8"})).unwrap()[0],
        "write /etc/locale.gen: en_US.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\n"
    );
    assert_eq!(run("locale_gen", json!({"name": ["de_DE.UTF-8"]})), None);
}

#[test]
fn jobs_of_cron() {
    let crontab = |args| {
        let r = build("cron", args);
        converges(&*r, &mut world([]), &node).map(|c| c.diff[0].after.clone())
    };
    assert_eq!(crontab(json!({"name": "a", "job": "y"})), None);
    assert_eq!(
        crontab(json!({"name": "b", "job": "z", "special_time": "daily", "disabled": true})).unwrap(),
        "X=\"1\"\n#Ansible: a\n* * * * * y\n#Ansible: b\n#@daily z\n"
    );
    assert_eq!(crontab(json!({"name": "a", "state": "absent"})).unwrap(), "X=\"1\"\n");
    assert_eq!(
        crontab(json!({"name": "Y", "env": true, "value": "2", "insertafter": "X"})).unwrap(),
        "X=\"1\"\nY=\"2\"\n#Ansible: a\n* * * * * y\n"
    );
    assert_eq!(
        run("cron", json!({"name": "a", "cron_file": "kube", "state": "absent"})).unwrap(),
        ["remove /etc/cron.d/kube"]
    );
}

#[test]
fn mounts() {
    assert_eq!(
        run(
            "mount",
            json!({"path": "/data", "src": "/dev/sdb1", "fstype": "xfs", "opts": "noatime", "state": "mounted"})
        ),
        None
    );
    assert_eq!(
        run("mount", json!({"path": "/x y", "src": "tmpfs", "fstype": "tmpfs", "state": "present"})).unwrap(),
        [
            "write /etc/fstab: # x\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1\t/data\txfs\tnoatime\t0\t0\ntmpfs /x\\040y tmpfs defaults 0 0\n"
        ]
    );
    let gone = run("mount", json!({"path": "/data", "state": "absent"})).unwrap();
    assert!(gone[0].starts_with("write /etc/fstab: # x\n/dev/sda1") && gone[1] == "umount -- /data", "{gone:?}");
    assert_eq!(run("mount", json!({"path": "/data", "state": "unmounted"})).unwrap(), ["umount -- /data"]);
}

#[test]
fn keys_of_users() {
    let keys = |args| {
        let r = build("authorized_key", args);
        converges(&*r, &mut world([]), &node).map(|c| c.diff[0].after.clone())
    };
    assert_eq!(keys(json!({"user": "root", "key": "ssh-rsa AAAAB3Nza first"})), None);
    assert_eq!(
        keys(json!({"user": "root", "key": format!("{KEY} me"), "exclusive": true})).unwrap(),
        format!("{KEY} me\n")
    );
    assert_eq!(
        keys(json!({"user": "root", "key": "ssh-rsa AAAAB3Nza", "state": "absent"})).unwrap(),
        "ssh-rsa AAAAB3Nzb second\n"
    );
}

#[test]
fn keys_of_hosts() {
    for hash in [false, true] {
        let r = build("known_hosts", json!({"name": "Foo", "key": format!("foo {KEY}"), "hash_host": hash}));
        let c = converges(&*r, &mut world([]), &node).unwrap();
        assert_eq!(c.diff[0].after.starts_with("|1|"), hash, "{}", c.diff[0].after);
        assert!(c.diff[0].after.ends_with(&format!(" {KEY}\n")));
    }
}

proptest! {
    #[test]
    fn mounts_converge(
        path in prop::sample::select(vec!["/data", "/", "/new", "/a b"]),
        state in prop::sample::select(vec!["mounted", "present", "unmounted", "absent_from_fstab", "ephemeral"]),
        opts in prop::sample::select(vec!["", "noatime", "ro,x=y"]),
        boot in any::<bool>(),
    ) {
        let r = build("mount", json!({"path": path, "src": "/dev/sdz", "fstype": "xfs", "opts": opts, "state": state, "boot": boot}));
        converges(&*r, &mut world([]), &node);
    }

    #[test]
    fn jobs_converge(name in "[a-c]", job in "[xyz]{1,3}", minute in "[0-9*]", env in any::<bool>(), present in any::<bool>(), file in any::<bool>()) {
        let mut args = json!({"name": name, "job": job, "minute": minute, "env": env, "user": "root",
            "state": if present { "present" } else { "absent" }});
        if file { args["cron_file"] = json!("kube"); }
        converges(&*build("cron", args), &mut world([]), &node);
    }
}
