use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use crate::resources::testing::*;
use crate::world::{Answer, FileKind, Query, Stat};

/// A node with these files.
pub fn files(list: &'static [(&'static str, &'static str)]) -> impl Fn(&Query) -> Answer {
    move |query| {
        let find = |path: &str| list.iter().find(|(p, _)| *p == path).map(|(_, text)| *text);
        match query {
            Query::Content { path } => Answer::Content(find(path).map(|t| Arc::new(t.as_bytes().to_vec()))),
            Query::Stat { path, .. } => {
                let dir = list.iter().any(|(p, _)| p.starts_with(&format!("{path}/")));
                Answer::Stat((dir || find(path).is_some()).then(|| Stat {
                    kind: if dir { FileKind::Directory } else { FileKind::File },
                    mode: 0o644,
                    uid: 0,
                    gid: 0,
                    owner: "root".into(),
                    group: "root".into(),
                    size: 1,
                    mtime: 0.0,
                    atime: 0.0,
                    ctime: 0.0,
                    inode: 1,
                    device: 1,
                    links: 1,
                    target: None,
                    real: Some(path.clone()),
                }))
            }
            Query::Read { .. } => Answer::Output(output(1, "")),
            other => nothing(other),
        }
    }
}

#[test]
fn a_module_is_loaded_and_kept() {
    let node = files(&[("/proc/modules", "overlay 1 0 - Live 0x0\n"), ("/etc/modules-load.d/x.conf", "overlay\n")]);
    let r = build("modprobe", json!({"name": "br-netfilter", "persistent": "present", "params": "a=1 b='c d'"}));
    let c = converges(&*r, &mut world([]), &node).unwrap();
    let s = shorts(&c);
    assert_eq!(s[0], "modprobe br-netfilter a=1 b=c d");
    assert!(s.contains(&"write /etc/modules-load.d/br-netfilter.conf: br-netfilter\n".to_owned()), "{s:?}");
    let r = build("modprobe", json!({"name": "overlay"}));
    unchanged(&*r, &mut world([]), &node);
    let r = build("modprobe", json!({"name": "overlay", "state": "absent"}));
    assert_eq!(shorts(&converges(&*r, &mut world([]), &node).unwrap()), ["modprobe -r overlay"]);
}

#[test]
fn a_parameter_is_set_at_once_and_in_the_file() {
    let node = files(&[
        ("/etc/sysctl.conf", "# a comment\nnet.ipv4.ip_forward = 0\nvm.x = 1\n"),
        ("/proc/sys/net/ipv4/ip_forward", "0\n"),
        ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ]);
    let r = build("sysctl", json!({"name": "net.ipv4.ip_forward", "value": "yes", "sysctl_set": true}));
    assert_eq!(
        shorts(&converges(&*r, &mut world([]), &node).unwrap()),
        [
            "sysctl -w net.ipv4.ip_forward=1",
            "write /etc/sysctl.conf: # a comment\nnet.ipv4.ip_forward=1\nvm.x=1\n",
            "sysctl -p /etc/sysctl.conf"
        ]
    );
    let r = build("sysctl", json!({"name": "vm.x", "value": 1}));
    unchanged(&*r, &mut world([]), &node);
    let r = build("sysctl", json!({"name": "vm.x", "state": "absent", "reload": false}));
    assert_eq!(
        shorts(&converges(&*r, &mut world([]), &node).unwrap()),
        ["write /etc/sysctl.conf: # a comment\nnet.ipv4.ip_forward=0\n"]
    );
}

#[test]
fn a_module_is_blacklisted() {
    let node = files(&[("/etc/modprobe.d/blacklist-ansible.conf", "blacklist nouveau\n# x\n")]);
    unchanged(&*build("kernel_blacklist", json!({"name": "nouveau"})), &mut world([]), &node);
    let r = build("kernel_blacklist", json!({"name": "nouveau", "state": "absent"}));
    assert_eq!(
        shorts(&converges(&*r, &mut world([]), &node).unwrap()),
        ["write /etc/modprobe.d/blacklist-ansible.conf: # x\n"]
    );
}

proptest! {
    #[test]
    fn parameters_converge(
        name in prop::sample::select(vec!["net.ipv4.ip_forward", "vm.x", "kernel.new", "net/ipv4/conf/eth0.1/rp_filter"]),
        value in "[a-z0-9 ]{0,4}[a-z0-9]",
        set in any::<bool>(),
        present in any::<bool>(),
        ignore in any::<bool>(),
    ) {
        let node = files(&[("/etc/sysctl.conf", "net.ipv4.ip_forward = 0\nvm.x=1\nvm.x=2\n;c\n\n"), ("/proc/sys/vm/x", "1\n")]);
        let r = build("sysctl", json!({"name": name, "value": value, "sysctl_set": set, "ignoreerrors": ignore,
            "state": if present { "present" } else { "absent" }}));
        converges(&*r, &mut world([]), &node);
    }
}
