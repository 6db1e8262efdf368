//! The conversation itself with a real node: becoming other users, units, a full disk, a reboot, facts.

use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use kdeploy::node::{
    Action, Blob, Conversation, Done, ExecSpec, HostKeyPolicy, Identity, NodeError, Owner, Secret, Target, connect,
};
use kdeploy::world::{Answer, Query};

use crate::bed::Bed;

fn target(bed: &Bed, node: &str, user: &str) -> Target {
    Target {
        name: node.into(),
        address: node.into(),
        user: Some(user.into()),
        host_keys: HostKeyPolicy::Strict,
        connect_timeout: Duration::from_secs(10),
        ssh_args: vec!["-F".into(), bed.dir().join("ssh_config").display().to_string()],
        ..Target::default()
    }
}

fn become_user(user: &str, password: Option<&str>) -> Identity {
    Identity {
        become_user: Some(user.into()),
        method: "sudo".into(),
        flags: None,
        exe: None,
        password: password.map(|p| Secret(p.into())),
    }
}

#[track_caller]
fn refused(node: &mut dyn Conversation, identity: &Identity) -> String {
    match node.hello(identity) {
        Err(NodeError::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn act(node: &mut dyn Conversation, actions: &[Action]) -> Vec<Done> {
    node.act(&Identity::default(), actions, &mut |_, _| {}).unwrap_or_else(|e| panic!("{e}"))
}

fn write(path: &str, bytes: Vec<u8>) -> Action {
    Action::WriteFile {
        path: path.into(),
        content: Blob::Bytes(Arc::new(bytes)),
        mode: Some(0o640),
        owner: Owner { user: Some("deploy".into()), group: Some("root".into()) },
        validate: None,
        backup: None,
    }
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn users_become_others() {
    let bed = Bed::with(&["w1"]);
    // One connection, one shell per user.
    let mut root = connect(&target(&bed, "w1", "root"));
    let login = root.hello(&Identity::default()).unwrap();
    let deploy = root.hello(&become_user("deploy", None)).unwrap();
    assert_eq!((login.uid, deploy.user.as_str(), deploy.home.as_str()), (0, "deploy", "/home/deploy"));
    assert_eq!(login.boot_id, deploy.boot_id);
    let su = Identity { method: "su".into(), ..become_user("deploy", None) };
    assert_eq!(root.hello(&su).unwrap().user, "deploy");
    assert!(refused(&mut *root, &become_user("nobody-here", None)).contains("no user `nobody-here`"));

    let mut deploy = connect(&target(&bed, "w1", "deploy"));
    assert_eq!(deploy.hello(&become_user("root", None)).unwrap().uid, 0);
    // A password that nobody asks for does no harm.
    assert_eq!(deploy.hello(&become_user("root", Some("unasked"))).unwrap().uid, 0);

    // The lab's key opens this account too: only the password is to be tried here.
    let mut by_password = Target { password: Some(Secret("operator".into())), ..target(&bed, "w1", "operator") };
    by_password.private_key = Some("/no/such/key".into());
    by_password.ssh_args.extend(["-o".into(), "IdentityAgent=none".into()]);
    let mut operator = connect(&by_password);
    assert_eq!(operator.hello(&become_user("root", Some("operator"))).unwrap().uid, 0);
    assert!(refused(&mut *operator, &become_user("root", None)).contains("needs a password"));
    assert!(refused(&mut *operator, &become_user("root", Some("wrong"))).contains("wrong sudo password"));
    let wrong = Target { password: Some(Secret("wrong".into())), ..by_password };
    match connect(&wrong).hello(&Identity::default()) {
        Err(NodeError::Unreachable { message, .. }) => {
            assert!(message.contains("login as `operator` was refused") && message.contains("password"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // The password is on no command line.
    let seen = bed.on("w1", "ps axww -o args");
    assert!(!seen.contains("unasked"), "{seen}");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn units_and_a_full_disk() {
    let bed = Bed::with(&["w1"]);
    let mut node = connect(&target(&bed, "w1", "root"));
    let unit = |name: &str| Query::Unit { name: name.into(), user: false };
    let names = ["systemd-journald.service", "no-such.service", "ssh.service", "foo@.service", "a b.service"];
    let answers = node.ask(&Identity::default(), &names.map(unit)).unwrap();
    let states: Vec<String> = answers
        .iter()
        .map(|a| match a {
            Answer::Unit(u) => format!("{} {} {}", u.load, u.active, u.file_state),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(states[0], "loaded active static");
    assert!(states[1].starts_with("not-found inactive"), "{states:?}");
    assert_eq!(states[2], "loaded active enabled");
    assert!(states[3].starts_with("not-found"), "{states:?}");
    assert!(states[4].starts_with("not-found"), "{states:?}");

    let start =
        |unit: &str| Action::Systemctl { verb: "start".into(), units: vec![unit.into()], user: false, no_block: false };
    let done = act(&mut *node, &[start("ssh.service"), start("no-such.service"), start("ssh.service")]);
    assert!(
        matches!(&done[..], [Done::Ok(_), Done::Failed { message, .. }] if message.contains("no-such.service")),
        "{done:?}"
    );

    let mount = ExecSpec::argv(["mount", "-t", "tmpfs", "-o", "size=2m", "none", "/mnt"]).into_action();
    let done = act(
        &mut *node,
        &[mount, write("/mnt/f", b"old".to_vec()), write("/mnt/f", vec![1; 8 << 20]), write("/mnt/g", vec![])],
    );
    assert_eq!(done.len(), 3);
    assert!(matches!(&done[2], Done::Failed { message, .. } if message.contains("No space left")), "{:?}", done[2]);
    // The old file is whole, nothing else is there, and the conversation goes on.
    assert_eq!(bed.on("w1", "ls -A /mnt; cat /mnt/f"), "f\nold");
    assert!(matches!(act(&mut *node, &[write("/mnt/g", b"new".to_vec())])[0], Done::Ok(_)));
    assert_eq!(bed.on("w1", "stat -c '%U:%G %a' /mnt/g"), "deploy:root 640\n");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_reboot_is_waited_for() {
    let bed = Bed::with(&["w1"]);
    let mut node = connect(&target(&bed, "w1", "root"));
    let me = Identity::default();
    let before = node.hello(&me).unwrap().boot_id;
    let reboot = |command: Option<&str>, timeout| Action::Reboot {
        command: command.map(str::to_owned),
        delay: 0,
        timeout,
        message: "kdeploy's test".into(),
    };
    let done = act(&mut *node, &[reboot(Some("echo not today >&2; exit 3"), 60)]);
    assert!(
        matches!(&done[0], Done::Failed { message, .. } if message.contains("exited with 3: not today")),
        "{done:?}"
    );
    assert_eq!(node.hello(&me).unwrap().boot_id, before);
    let done = act(&mut *node, &[write("/root/before", vec![]), reboot(None, 120), write("/root/after", vec![])]);
    assert!(matches!(&done[..], [Done::Ok(_), Done::Ok(_), Done::Ok(_)]), "{done:?}");
    assert_ne!(node.hello(&me).unwrap().boot_id, before);
    assert_eq!(bed.on("w1", "ls /root/before /root/after"), "/root/after\n/root/before\n");
}

/// Gathers facts of a node that has Python by both programs, and compares what does not move.
#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn facts_are_ansibles_on_a_node() {
    let bed = Bed::with(&["w1=twin"]);
    let program = std::env::var("ANSIBLE").unwrap_or_else(|_| "ansible".into());
    let config = format!("-F {}", bed.dir().join("ssh_config").display());
    let asked = Process::new(&program)
        .args(["all", "-i", "w1,", "-u", "root", "-m", "setup", "--ssh-common-args", &config])
        .env("ANSIBLE_HOST_KEY_CHECKING", "False")
        .output();
    let Ok(output) = asked else {
        eprintln!("skipped: no `{program}` on this machine");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find("=> {").unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))) + 3;
    let theirs: serde_json::Value = serde_json::from_str(&text[start..]).unwrap();
    let mut node = connect(&target(&bed, "w1", "root"));
    let answers = node.ask(&Identity::default(), &[Query::Facts]).unwrap();
    let Answer::Facts(ours) = &answers[0] else { panic!("{answers:?}") };
    let mut wrong = vec![];
    for key in [
        "distribution",
        "distribution_version",
        "distribution_major_version",
        "distribution_release",
        "os_family",
        "pkg_mgr",
        "service_mgr",
        "architecture",
        "kernel",
        "hostname",
        "fqdn",
        "domain",
        "nodename",
        "machine_id",
        "system",
        "user_id",
        "user_dir",
        "user_shell",
        "virtualization_type",
        "virtualization_role",
        "virtualization_tech_guest",
        "processor_vcpus",
        "processor_count",
        "processor_cores",
        "processor_threads_per_core",
        "memtotal_mb",
        "swaptotal_mb",
        "is_chroot",
        "selinux",
        "apparmor",
        "lsb",
        "dns",
        "cmdline",
        "default_ipv4",
        "default_ipv6",
        "all_ipv4_addresses",
        "lo",
        "host0",
        "python_version",
        "local",
        "fips",
        "bios_version",
        "product_name",
    ] {
        let mine =
            ours.get_attr(key).map(|v| serde_json::to_value(JsonText(&v)).unwrap_or_default()).unwrap_or_default();
        let other = &theirs["ansible_facts"][format!("ansible_{key}")];
        if sorted(mine.clone()) != sorted(other.clone()) {
            wrong.push(format!("{key}: ansible {other}, kdeploy {mine}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sorted(mut value: serde_json::Value) -> serde_json::Value {
    if let serde_json::Value::Array(items) = &mut value {
        items.sort_by_key(ToString::to_string);
    }
    value
}

/// A template value for serde.
struct JsonText<'a>(&'a minijinja::Value);

impl serde::Serialize for JsonText<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use minijinja::value::ValueKind;
        use serde::ser::{SerializeMap, SerializeSeq};
        let v = self.0;
        match v.kind() {
            ValueKind::Bool => s.serialize_bool(v.is_true()),
            ValueKind::Number => match v.as_i64() {
                Some(i) if v.is_integer() => s.serialize_i64(i),
                _ => s.serialize_f64(v.to_string().parse().unwrap_or_default()),
            },
            ValueKind::String => s.serialize_str(v.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<_> = v.try_iter().map(Iterator::collect).unwrap_or_default();
                let mut seq = s.serialize_seq(Some(items.len()))?;
                for item in &items {
                    seq.serialize_element(&JsonText(item))?;
                }
                seq.end()
            }
            ValueKind::Map => {
                let keys: Vec<_> = v.try_iter().map(Iterator::collect).unwrap_or_default();
                let mut map = s.serialize_map(Some(keys.len()))?;
                for key in &keys {
                    let item = v.get_item(key).unwrap_or_default();
                    map.serialize_entry(&key.to_string(), &JsonText(&item))?;
                }
                map.end()
            }
            _ => s.serialize_none(),
        }
    }
}
