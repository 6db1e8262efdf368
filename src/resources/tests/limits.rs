use proptest::prelude::*;
use serde_json::json;

use super::kernel::files;
use crate::node::{Action, Done};
use crate::resources::Verdict;
use crate::resources::testing::*;
use crate::world::{Answer, Query};

fn node(query: &Query) -> Answer {
    const FILES: &[(&str, &str)] = &[
        ("/etc/security/limits.conf", "# x\nkube\tsoft\tnofile\t1024\n# End of file\n"),
        ("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ("/sys/fs/selinux/enforce", "1"),
        ("/proc/net/tcp", "  sl  local_address\n   0: 00000000:0016 00000000:0000 0A 0 0\n"),
        ("/run/x", "y"),
        ("/bin/nano", ""),
        ("/bin/vi", ""),
        ("/bin/ed", ""),
    ];
    match query {
        Query::Read { argv } if argv[0] == "update-alternatives" => Answer::Output(output(
            0,
            "Name: editor\nLink: /usr/bin/editor\nStatus: auto\nValue: /bin/nano\n\nAlternative: /bin/nano\nPriority: 40\n\nAlternative: /bin/vi\nPriority: 30\n",
        )),
        Query::Read { argv } if argv[0] == "getsebool" => Answer::Output(output(0, "b --> off\n")),
        Query::Read { argv } if argv[0] == "semanage" => {
            Answer::Output(output(0, "a (on , on) x\nb (off  ,  off)  y\n"))
        }
        other => files(FILES)(other),
    }
}

fn run(module: &str, args: serde_json::Value) -> Option<Vec<String>> {
    let r = build(module, args);
    converges(&*r, &mut world([]), &node).map(|c| shorts(&c))
}

#[test]
fn limits_of_users() {
    let limit = |value: &str, max| {
        run(
            "pam_limits",
            json!({"domain": "kube", "limit_type": "soft", "limit_item": "nofile", "value": value, "use_max": max}),
        )
    };
    assert_eq!(limit("1024", false), None);
    assert_eq!(limit("512", true), None);
    assert_eq!(
        limit("unlimited", true).unwrap(),
        ["write /etc/security/limits.conf: # x\nkube\tsoft\tnofile\tunlimited\n# End of file\n"]
    );
}

#[test]
fn alternatives_and_selinux() {
    assert_eq!(run("alternatives", json!({"name": "editor", "path": "/bin/nano"})), None);
    assert_eq!(
        run("alternatives", json!({"name": "editor", "path": "/bin/vi"})).unwrap(),
        ["update-alternatives --set editor /bin/vi"]
    );
    let with = json!({"name": "editor", "path": "/bin/ed", "priority": 99, "subcommands": [{"name": "e.1", "path": "/m/ed.1", "link": "/m/e.1"}]});
    assert_eq!(
        run("alternatives", with).unwrap(),
        [
            "update-alternatives --install /usr/bin/editor editor /bin/ed 99 --slave /m/e.1 e.1 /m/ed.1",
            "update-alternatives --set editor /bin/ed"
        ]
    );
    assert_eq!(
        run("selinux", json!({"policy": "targeted", "state": "permissive"})).unwrap(),
        ["write /etc/selinux/config: SELINUX=permissive\nSELINUXTYPE=targeted\n", "setenforce 0"]
    );
    assert_eq!(
        run("seboolean", json!({"name": "b", "state": "yes", "persistent": true})).unwrap(),
        ["setsebool -P b on"]
    );
}

#[test]
fn waiting_takes_no_action_when_it_is_there() {
    for args in [
        json!({"port": 22}),
        json!({"port": 23, "state": "stopped"}),
        json!({"path": "/run/x"}),
        json!({"path": "/run/y", "state": "absent"}),
    ] {
        unchanged(&*build("wait_for", args), &mut world([]), &node);
    }
    let r = build("wait_for", json!({"port": 6443, "timeout": 3}));
    let c = change(&*r, &mut world([]), &node);
    assert!(!c.result.changed && matches!(c.actions[..], [Action::Exec(_)]));
    let late = Done::Failed { message: "exited with 64".into(), output: output(64, "") };
    let failed = r.conclude(&c, &[late]).unwrap_err();
    assert_eq!(failed.values["msg"].as_str(), Some("Timeout when waiting for 127.0.0.1:6443"));
}

/// The waiting scripts, run by this machine's shell.
#[test]
fn the_scripts_wait() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a b");
    let path = file.to_str().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::fs::write(&file, "one\nready 42\n").unwrap();
    for (args, rc) in [
        (json!({"path": path, "search_regex": "ready \\d+", "timeout": 1}), 0),
        (json!({"path": path, "search_regex": "nope", "timeout": 1}), 64),
        (json!({"path": path, "state": "absent", "timeout": 1, "delay": 1}), 64),
        (json!({"port": port, "host": "127.0.0.1", "delay": 1}), 0),
        (json!({"port": 1, "timeout": 1}), 64),
        (json!({"port": port, "state": "drained", "timeout": 1}), 0),
    ] {
        let r = build("wait_for", args.clone());
        let change = match settle(&*r, &mut world([]), &node) {
            Ok(Verdict::Change(change)) => change,
            other => panic!("{args}: {other:?}"),
        };
        let Some(Action::Exec(spec)) = change.actions.last() else { panic!("{args}") };
        let crate::node::Command::Argv(argv) = &spec.command else { panic!() };
        let status = std::process::Command::new(&argv[0]).args(&argv[1..]).status().unwrap();
        assert_eq!(status.code(), Some(rc), "{args}");
    }
}

proptest! {
    #[test]
    fn limits_converge(domain in prop::sample::select(vec!["kube", "*", "@adm"]), value in prop::sample::select(vec!["1", "4096", "unlimited", "-1"]), max in any::<bool>()) {
        let r = build("pam_limits", json!({"domain": domain, "limit_type": "soft", "limit_item": "nofile", "value": value, "use_max": max}));
        converges(&*r, &mut world([]), &node);
    }

    #[test]
    fn alternatives_converge(path in prop::sample::select(vec!["/bin/nano", "/bin/vi", "/bin/ed"]), state in prop::sample::select(vec!["present", "selected", "auto", "absent"]), priority in prop::option::of(1..100)) {
        let mut args = json!({"name": "editor", "path": path, "state": state});
        if let Some(p) = priority { args["priority"] = json!(p); }
        converges(&*build("alternatives", args), &mut world([]), &node);
    }
}
