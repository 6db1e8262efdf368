//! Options that change what is run rather than what is there.

use serde_json::json;

use crate::node::Action;
use crate::resources::testing::*;
use crate::world::{Answer, FileKind, Output, Query, Stat};

fn file(kind: FileKind) -> Stat {
    Stat { kind, links: 1, ..super::super::service::link_to("") }
}

fn said(rc: i32, text: &str) -> Answer {
    Answer::Output(output(rc, text))
}

fn words(query: &Query) -> Vec<&str> {
    match query {
        Query::Read { argv } => argv.iter().map(String::as_str).collect(),
        _ => vec![],
    }
}

#[test]
fn scripts_of_init_d() {
    let node = |query: &Query| match (query, words(query).as_slice()) {
        (Query::Stat { path, .. }, _) if path == "/etc/init.d/web" => Answer::Stat(Some(file(FileKind::File))),
        (_, ["/etc/init.d/web", "status"]) => said(3, ""),
        (_, ["sh", "-c", ..]) => said(1, ""),
        (_, ["pgrep", "-f", "--", "web -d"]) => said(0, "7\n"),
        _ => nothing(query),
    };
    let run = |args: serde_json::Value| {
        let stage = Stage { facts: json!({"service_mgr": "sysvinit"}), ..Stage::default() };
        converges(&*stage.build("service", args).unwrap(), &mut world([]), &node).map(|c| shorts(&c))
    };
    assert_eq!(run(json!({"name": "web", "state": "stopped"})), None);
    let on = run(json!({"name": "web", "state": "started", "arguments": "-q 'a b'", "enabled": true})).unwrap();
    assert!(on[0].contains("update-rc.d") && on[0].ends_with("web enable on"), "{on:?}");
    assert_eq!(on[1], "/etc/init.d/web start -q a b");
    assert_eq!(run(json!({"name": "web", "state": "started", "pattern": "web -d"})), None);
    let restart = Stage { facts: json!({"service_mgr": "sysvinit"}), ..Stage::default() }
        .build("service", json!({"name": "web", "state": "restarted", "pattern": "web -d", "sleep": 2}))
        .unwrap();
    let change = change(&*restart, &mut world([]), &node);
    assert!(matches!(change.actions[1], Action::Sleep { seconds } if (seconds - 2.0).abs() < 0.01), "{change:?}");
}

#[test]
fn units_of_all_users_managers() {
    let node = |query: &Query| match words(query).as_slice() {
        ["systemctl", "--global", "is-enabled", "a.service"] => said(1, "disabled\n"),
        ["systemctl", "--global", "is-enabled", "m.socket"] => said(1, "masked\n"),
        ["systemctl", "--global", "is-enabled", ..] => {
            Answer::Output(Output { rc: 1, stdout: vec![], stderr: b"No such file".to_vec() })
        }
        _ => nothing(query),
    };
    let run = |mut args: serde_json::Value| {
        args["scope"] = json!("global");
        converges(&*build("systemd", args), &mut world([]), &node).map(|c| shorts(&c))
    };
    assert_eq!(run(json!({"name": "a", "enabled": false})), None);
    assert_eq!(run(json!({"name": "a", "enabled": true})).unwrap(), ["systemctl --global enable a.service"]);
    assert_eq!(
        run(json!({"name": "m.socket", "masked": false, "enabled": true})).unwrap(),
        ["systemctl --global unmask m.socket", "systemctl --global enable m.socket"]
    );
    let args = json!({"name": "a", "scope": "global", "state": "started"});
    assert!(Stage::default().build("systemd", args).is_err());
}

#[test]
fn rules_of_ufw_are_inserted_before_others() {
    let node = |query: &Query| match words(query).as_slice() {
        ["ufw", "status", "verbose"] => said(0, "Status: active\nLogging: on (low)\n"),
        ["ufw", "status", "numbered"] => said(0, "[ 1] 22 ALLOW IN\n[ 2] 80 ALLOW IN\n[ 3] 22 (v6) ALLOW IN\n"),
        ["ufw", "--dry-run", ..] => said(0, "*filter\n"),
        _ => nothing(query),
    };
    let rule = |more: serde_json::Value| {
        let mut args = json!({"rule": "deny", "port": "9"});
        for (key, value) in more.as_object().unwrap() {
            args[key] = value.clone();
        }
        shorts(&change(&*build("ufw", args), &mut world([]), &node)).join("\n")
    };
    let tail = "deny from any to any port 9";
    assert_eq!(rule(json!({})), format!("ufw {tail}"));
    assert_eq!(rule(json!({"insert": 2})), format!("ufw insert 2 {tail}"));
    for (relative, insert, at) in
        [("first-ipv4", 0, 1), ("last-ipv4", -1, 1), ("first-ipv6", 0, 3), ("last-ipv6", 0, 3)]
    {
        let said = rule(json!({"insert": insert, "insert_relative_to": relative}));
        assert_eq!(said, format!("ufw insert {at} {tail}"), "{relative} {insert}");
    }
    assert_eq!(rule(json!({"insert": 1, "insert_relative_to": "last-ipv6"})), format!("ufw {tail}"));
    assert_eq!(
        rule(json!({"route": true, "interface_in": "eth0", "interface_out": "eth1"})),
        "ufw route deny in on eth0 out on eth1 from any to any port 9"
    );
}

#[test]
fn flags_and_labels_come_after_all_else() {
    let node = |lsattr: &'static str, selinux: bool| {
        move |query: &Query| match (query, words(query).as_slice()) {
            (Query::Stat { path, .. }, _) if path == "/f" => Answer::Stat(Some(file(FileKind::File))),
            (Query::Stat { path, .. }, _) if path == "/" => Answer::Stat(Some(file(FileKind::Directory))),
            (Query::Stat { path, .. }, _) if path == "/sys/fs/selinux/enforce" && selinux => {
                Answer::Stat(Some(file(FileKind::File)))
            }
            (_, ["lsattr", "-d", "--", "/f"]) => said(0, lsattr),
            (_, ["stat", "-c", "%C", "--", "/f"]) => said(0, "system_u:object_r:etc_t:s0\n"),
            (_, ["sh", "-c", "umask"]) => said(0, "0022\n"),
            _ => nothing(query),
        }
    };
    let run = |args: serde_json::Value, lsattr: &'static str, selinux: bool| {
        converges(&*build("file", args), &mut world([]), &node(lsattr, selinux)).map(|c| shorts(&c))
    };
    let flags = |text: &str| json!({"path": "/f", "attributes": text});
    assert_eq!(run(flags("+i"), "--------------e------- /f\n", false).unwrap(), ["chattr +i -- /f"]);
    assert_eq!(run(flags("+i"), "----i---------e------- /f\n", false), None);
    assert_eq!(run(flags("A"), "----i---------e------- /f\n", false).unwrap(), ["chattr +A -i -- /f"]);
    let label = json!({"path": "/f", "setype": "bin_t", "seuser": "system_u"});
    assert_eq!(run(label.clone(), "", false), None);
    assert_eq!(run(label, "", true).unwrap(), ["chcon -h -t bin_t -- /f"]);
    let fresh = json!({"path": "/g", "state": "touch", "attributes": "+a"});
    let made = change(&*build("file", fresh), &mut world([]), &node("", false));
    assert_eq!(shorts(&made).last().unwrap(), "chattr +a -- /g");
    assert!(Stage::default().build("file", flags("+i!")).is_err());
}

#[test]
fn clones_of_git() {
    let node = |query: &Query| match words(query).as_slice() {
        ["sh", "-c", ..] => said(128, ""),
        ["env", ..] => said(0, "aaaa\tHEAD\naaaa\trefs/heads/main\n"),
        _ => nothing(query),
    };
    let run = |more: serde_json::Value| {
        let mut args = json!({"repo": "https://h/r", "dest": "/d", "version": "main"});
        for (key, value) in more.as_object().unwrap() {
            args[key] = value.clone();
        }
        shorts(&change(&*build("git", args), &mut world([]), &node)).join("\n")
    };
    assert_eq!(
        run(json!({"bare": true, "umask": "077"})),
        "sh -c umask \"$1\"; shift; exec \"$@\" sh 077 git clone --origin origin --bare --branch main -- https://h/r /d"
    );
    let all = run(json!({"reference": "/ref", "separate_git_dir": "/git", "archive": "/a.tgz", "archive_prefix": "p"}));
    assert!(all.contains("--reference=/ref --separate-git-dir=/git --branch main --recursive"), "{all}");
    assert!(all.ends_with("git -C /d archive --format=tgz --output=/a.tgz --prefix=p/ aaaa"), "{all}");
    let verified = run(json!({"verify_commit": true, "gpg_allowlist": ["ABCD"]}));
    assert!(verified.contains("VALIDSIG") && verified.ends_with("sh git /d main ABCD"), "{verified}");
    assert!(Stage::default().build("git", json!({"repo": "r", "dest": "/d", "umask": "9"})).is_err());
}

#[test]
fn the_server_is_asked_what_it_would_store() {
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "1", "resourceVersion": "5"}, "data": {"cpu": "1"}});
    let node = |answer: Result<serde_json::Value, &'static str>| {
        let live = live.clone();
        move |query: &Query| match words(query).as_slice() {
            ["kubectl", "get", ..] => said(0, &live.to_string()),
            ["sh", "-c", _, "kubectl", ..] => match &answer {
                Ok(json) => said(0, &json.to_string()),
                Err(error) => Answer::Output(Output { rc: 1, stdout: vec![], stderr: error.as_bytes().to_vec() }),
            },
            _ => nothing(query),
        }
    };
    let map = json!({"apply": true, "definition": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"cpu": "1000m"}}});
    let mut same = live.clone();
    same["metadata"]["resourceVersion"] = json!("6");
    same["status"] = json!({"lastHeartbeatTime": "later"});
    assert!(converges(&*build("k8s", map.clone()), &mut world([]), &node(Ok(same))).is_none());
    let mut other = live.clone();
    other["data"]["cpu"] = json!("2");
    other["data"]["default"] = json!("x");
    let made = change(&*build("k8s", map.clone()), &mut world([]), &node(Ok(other)));
    assert!(made.diff[0].after.contains("default: x"), "{:?}", made.diff);
    let refused =
        settle(&*build("k8s", map.clone()), &mut world([]), &node(Err("The ConfigMap \"c\" is invalid: data")));
    assert!(matches!(refused, Ok(crate::resources::Verdict::Failed(_))), "{refused:?}");
    let blind = change(&*build("k8s", map), &mut world([]), &node(Err("namespaces \"n\" not found")));
    assert!(blind.diff[0].after.contains("1000m"), "{:?}", blind.diff);
}
