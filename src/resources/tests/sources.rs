//! rpm's keys, repositories of yum, snaps, firewalld, archives.

use proptest::prelude::*;
use serde_json::json;

use crate::resources::testing::*;
use crate::resources::{TaskResult, Verdict};
use crate::world::{Answer, Query, View};

const KEY: &str = include_str!("../common/testdata/key.asc");

fn node(query: &Query) -> Answer {
    let said = |rc: i32, text: &str| Answer::Output(output(rc, text));
    match query {
        Query::Content { path } if path == "/root/key.asc" => {
            Answer::Content(Some(std::sync::Arc::new(KEY.as_bytes().to_vec())))
        }
        Query::Read { argv } => match argv.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["rpm", ..] => said(0, "9a296436-5eb64f3b\n"),
            ["snap", "list", ..] => said(
                0,
                "Name  Version  Rev  Tracking  Publisher  Notes\ncore 16 1 latest/stable canonical core\nlxd 5 2 5.0/stable canonical -\nold 1 1 latest/stable x disabled\n",
            ),
            ["snap", "get", "lxd", "a"] => said(0, "1\n"),
            ["snap", "get", ..] => said(1, ""),
            ["firewall-cmd", "--state"] => said(0, "running\n"),
            ["firewall-cmd", "--permanent", "--get-zones"] => said(0, "public trusted\n"),
            ["firewall-cmd", "--permanent", _, "--get-target"] => said(0, "default\n"),
            ["firewall-cmd", .., "--query-service=ssh"] => said(0, "yes\n"),
            ["firewall-cmd", .., query] if query.starts_with("--query-") => said(1, "no\n"),
            _ => said(127, ""),
        },
        other => super::kernel::files(&[("/etc/yum.repos.d/x.repo", "[x]\nname = x\n")])(other),
    }
}

fn run(module: &str, args: serde_json::Value) -> Option<Vec<String>> {
    converges(&*build(module, args), &mut world([]), &node).map(|c| shorts(&c))
}

fn failed(module: &str, args: serde_json::Value) -> TaskResult {
    match settle(&*build(module, args), &mut world([]), &node) {
        Ok(Verdict::Failed(result)) => result,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn keys_of_rpm() {
    assert_eq!(run("rpm_key", json!({"key": "/root/key.asc"})).unwrap().len(), 1);
    assert_eq!(
        run("rpm_key", json!({"key": "9A29 6436", "state": "absent"})).unwrap(),
        ["rpm --erase --allmatches gpg-pubkey-9a296436-5eb64f3b"]
    );
    assert_eq!(run("rpm_key", json!({"key": "deadbeef", "state": "absent"})), None);
    let wrong = failed("rpm_key", json!({"key": "/root/key.asc", "fingerprint": "AAAA"}));
    assert!(wrong.values["msg"].to_string().contains("does not match"));
    assert_eq!(failed("rpm_key", json!({"key": "/root/no"})).values["msg"].as_str(), Some("Not a valid key /root/no"));
}

#[test]
fn repositories_of_yum() {
    let epel = json!({"name": "epel", "description": "EPEL", "baseurl": ["https://a", "https://b"], "gpgcheck": true, "exclude": "x,y"});
    assert_eq!(
        run("yum_repository", epel).unwrap(),
        [
            "write /etc/yum.repos.d/epel.repo: [epel]\nbaseurl = https://a\n\thttps://b\nexclude = x y\ngpgcheck = 1\nname = EPEL\n\n"
        ]
    );
    assert_eq!(run("yum_repository", json!({"name": "epel", "state": "absent"})), None);
    let none = failed("yum_repository", json!({"name": "epel", "description": "x"}));
    assert!(none.values["msg"].to_string().contains("baseurl, mirrorlist, metalink"));
}

#[test]
fn snaps() {
    let snap = |args: serde_json::Value| run("snap", args);
    assert_eq!(snap(json!({"name": "lxd"})), None);
    assert_eq!(
        snap(json!({"name": ["kubectl"], "classic": true, "channel": "1.31/stable"})).unwrap(),
        ["snap install --classic --channel=1.31/stable kubectl"]
    );
    assert_eq!(snap(json!({"name": "lxd", "channel": "5.0/stable", "options": ["a=1"]})), None);
    assert_eq!(
        snap(json!({"name": "lxd", "channel": "edge", "options": ["b=2"]})).unwrap(),
        ["snap refresh --channel=latest/edge lxd", "snap set lxd b=2"]
    );
    assert_eq!(snap(json!({"name": "old", "state": "enabled"})).unwrap(), ["snap enable old"]);
    assert_eq!(snap(json!({"name": "lxd,old", "state": "absent"})).unwrap(), ["snap remove lxd", "snap remove old"]);
}

#[test]
fn firewalld() {
    let rule = |args: serde_json::Value| run("firewalld", args);
    assert_eq!(rule(json!({"service": "ssh", "state": "enabled"})), None);
    assert_eq!(
        rule(json!({"port": "6443/tcp", "zone": "public", "permanent": true, "immediate": true, "state": "enabled"}))
            .unwrap(),
        [
            "firewall-cmd --permanent --zone=public --add-port=6443/tcp",
            "firewall-cmd --zone=public --add-port=6443/tcp"
        ]
    );
    assert_eq!(
        rule(json!({"service": "ssh", "state": "disabled", "permanent": true})).unwrap(),
        ["firewall-cmd --permanent --remove-service=ssh"]
    );
    assert_eq!(rule(json!({"masquerade": false, "state": "enabled"})), None);
    assert_eq!(
        rule(json!({"zone": "dmz", "state": "present", "permanent": true})).unwrap(),
        ["firewall-cmd --permanent --new-zone=dmz"]
    );
    assert_eq!(
        rule(json!({"zone": "public", "target": "DROP", "state": "present", "permanent": true})).unwrap(),
        ["firewall-cmd --permanent --zone=public --set-target=DROP"]
    );
    let forward =
        json!({"port_forward": [{"port": 443, "proto": "tcp", "toport": 8443}], "state": "enabled", "timeout": 60});
    assert_eq!(rule(forward).unwrap(), ["firewall-cmd --add-forward-port=port=443:proto=tcp:toport=8443 --timeout=60"]);
    let back = |args: serde_json::Value| {
        let (resource, mut world) = (build("firewalld", args), world([]));
        let change = converges(&*resource, &mut world, &node).unwrap();
        let inverse = resource.inverse(&View::new(&world), &change);
        inverse.commands.into_iter().map(|(what, argv)| (what, argv.join(" "))).collect::<Vec<_>>()
    };
    let told = |what: &str, argv: &str| (what.to_owned(), argv.to_owned());
    assert_eq!(
        back(json!({"port": "1/tcp", "zone": "public", "permanent": true, "immediate": true, "state": "enabled"})),
        [
            told(
                "firewalld public add-port=1/tcp (permanent)",
                "firewall-cmd --permanent --zone=public --remove-port=1/tcp"
            ),
            told("firewalld public add-port=1/tcp", "firewall-cmd --zone=public --remove-port=1/tcp")
        ]
    );
    assert_eq!(
        back(json!({"service": "ssh", "state": "disabled"})),
        [told("firewalld remove-service=ssh", "firewall-cmd --add-service=ssh")]
    );
    for wrong in [
        json!({"state": "enabled"}),
        json!({"state": "enabled", "port": "6443"}),
        json!({"state": "enabled", "port": "1/tcp", "service": "ssh"}),
        json!({"state": "present", "zone": "x"}),
    ] {
        assert!(Stage::default().build("firewalld", wrong.clone()).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn repositories_converge(name in "[a-z]{1,6}", url in "https://[a-z]{1,8}/[a-z %=#;]{0,8}x", on in any::<bool>()) {
        run("yum_repository", json!({"name": name, "description": "d", "baseurl": url, "enabled": on}));
    }
}

#[test]
fn a_rule_for_both_protocols_is_two() {
    let node = |query: &Query| match query {
        Query::Read { argv } if argv[0] == "ip6tables" => Answer::Output(output(0, "")),
        Query::Read { .. } => Answer::Output(output(1, "")),
        other => nothing(other),
    };
    let rule = build("iptables", json!({"ip_version": "both", "chain": "INPUT", "protocol": "tcp", "jump": "ACCEPT"}));
    let change = converges(&*rule, &mut world([]), &node).unwrap();
    assert_eq!(shorts(&change), ["iptables -t filter -A INPUT -p tcp -j ACCEPT"]);
    assert_eq!(change.result.values["ip_version"].as_str(), Some("both"));
}
