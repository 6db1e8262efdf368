use proptest::prelude::*;
use serde_json::json;

use crate::resources::testing::*;
use crate::resources::{Resource, Verdict};
use crate::world::{Account, Answer, GroupEntry, Query};

fn node(query: &Query) -> Answer {
    match query {
        Query::Account { name } if name == "old" => Answer::Account(Some(old())),
        Query::Group { name } if ["kube", "adm", "old", "audio"].contains(&name.as_str()) => {
            Answer::Group(Some(GroupEntry { name: name.clone(), gid: 900, members: vec![] }))
        }
        Query::Read { argv } if argv[0] == "sh" => Answer::Output(output(0, "/usr/sbin/useradd\n")),
        other => nothing(other),
    }
}

fn old() -> Account {
    Account {
        name: "old".into(),
        uid: 1000,
        gid: 900,
        comment: "Old".into(),
        home: "/home/old".into(),
        shell: "/bin/sh".into(),
        groups: vec!["adm".into()],
        group: "old".into(),
        password: Some("!$6$a$b".into()),
        expires: None,
    }
}

fn commands(r: &dyn Resource) -> Vec<String> {
    shorts(&converges(r, &mut world([]), &node).expect("a change"))
}

#[test]
fn a_user_is_made() {
    let r = build(
        "user",
        json!({"name": "k", "group": "kube", "groups": ["adm", "audio"], "shell": "/bin/sh", "system": true,
            "create_home": false, "password": "$6$x$y", "uid": "901"}),
    );
    let c = commands(&*r);
    assert_eq!(c[0], "useradd -u 901 -s /bin/sh -g kube -G adm,audio -M -r k");
    assert_eq!(c[1], "chpasswd -e");
}

#[test]
fn secrets_stay_off_command_lines() {
    let r = build("user", json!({"name": "old", "password": "$6$secret$hash"}));
    let c = converges(&*r, &mut world([]), &node).unwrap();
    assert!(shorts(&c).iter().all(|s| !s.contains("secret")));
    assert!(c.diff.iter().all(|d| !d.before.contains("$6$") && !d.after.contains("$6$")));
}

#[test]
fn only_what_differs_is_changed() {
    let home = |q: &Query| match q {
        Query::Stat { path, .. } if path == "/home/old" => node(&Query::Stat { path: "/x".into(), follow: true }),
        other => node(other),
    };
    let r = build("user", json!({"name": "old", "comment": "Old", "shell": "/bin/bash", "create_home": false}));
    assert_eq!(commands(&*r), ["usermod -s /bin/bash old"]);
    let r = build("user", json!({"name": "old", "groups": "audio", "append": true, "create_home": false}));
    assert_eq!(commands(&*r), ["usermod -G adm,audio old"]);
    let r = build("user", json!({"name": "old", "groups": "", "create_home": false}));
    assert_eq!(commands(&*r), ["usermod -G  old"]);
    let r = build("user", json!({"name": "old", "groups": ["adm", "old"], "create_home": false}));
    unchanged(&*r, &mut world([]), &home);
    let r = build("user", json!({"name": "old", "password": "$6$a$b", "create_home": false}));
    unchanged(&*r, &mut world([]), &home);
    let r = build("user", json!({"name": "old", "expires": 1_893_456_000, "create_home": false}));
    assert_eq!(commands(&*r), ["usermod -e 2030-01-01 old"]);
    let r = build("user", json!({"name": "old", "state": "absent", "remove": true}));
    assert_eq!(commands(&*r), ["userdel -r old"]);
}

#[test]
fn a_missing_group_is_a_failure() {
    let r = build("user", json!({"name": "k", "group": "nope"}));
    match settle(&*r, &mut world([]), &node) {
        Ok(Verdict::Failed(f)) => assert_eq!(f.values["msg"].as_str(), Some("Group nope does not exist")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn groups_come_and_go() {
    let r = build("group", json!({"name": "g", "gid": 950, "system": true}));
    assert_eq!(commands(&*r)[0], "groupadd -g 950 -r g");
    let r = build("group", json!({"name": "kube", "gid": 901}));
    assert_eq!(commands(&*r), ["groupmod -g 901 kube"]);
    let r = build("group", json!({"name": "kube", "state": "absent"}));
    assert_eq!(commands(&*r), ["groupdel -- kube"]);
    let r = build("group", json!({"name": "g", "state": "absent"}));
    unchanged(&*r, &mut world([]), &node);
}

proptest! {
    #[test]
    fn users_converge(
        name in prop::sample::select(vec!["old", "new"]),
        groups in prop::option::of(prop::collection::vec(prop::sample::select(vec!["adm", "audio", "kube"]), 0..3)),
        append in any::<bool>(),
        lock in prop::option::of(any::<bool>()),
        password in prop::option::of(prop::sample::select(vec!["$6$a$b", "*", "!", "$6$c$d"])),
        home in prop::option::of(prop::sample::select(vec!["/home/old", "/var/lib/k"])),
        create_home in any::<bool>(),
        expires in prop::option::of(prop::sample::select(vec![-1.0, 1_893_456_000.0])),
        state in prop::sample::select(vec!["present", "absent"]),
    ) {
        let mut args = json!({"name": name, "append": append, "create_home": create_home, "state": state});
        if let Some(g) = groups { args["groups"] = json!(g); }
        if let Some(l) = lock { args["password_lock"] = json!(l); }
        if let Some(p) = password { args["password"] = json!(p); }
        if let Some(h) = home { args["home"] = json!(h); }
        if let Some(e) = expires { args["expires"] = json!(e); }
        let r = build("user", args);
        converges(&*r, &mut world([]), &node);
    }
}
