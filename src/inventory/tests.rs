use std::path::Path;

use super::*;

/// An inventory of one file with this text.
fn inventory(name: &str, text: &str) -> Inventory {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("written");
    load(&path)
}

fn load(path: &Path) -> Inventory {
    match Inventory::load(&[path.display().to_string()], &LoadOptions::default()) {
        Ok((inventory, _)) => inventory,
        Err(problems) => panic!("{problems}"),
    }
}

const HOSTS: &str = "[web]\nweb[1:4]\n[db]\ndb[a:c] ansible_port=22\n[prod:children]\nweb\ndb\n[old]\nweb4\n[empty]\n";

#[test]
fn patterns_select_what_ansible_selects() {
    let inventory = inventory("hosts", HOSTS);
    for (pattern, expected) in [
        ("all", "web4 web1 web2 web3 dba dbb dbc"),
        ("*", "web4 web1 web2 web3 dba dbb dbc"),
        ("web", "web1 web2 web3 web4"),
        ("web:!old", "web1 web2 web3"),
        ("!old", "web1 web2 web3 dba dbb dbc"),
        ("prod:&old", "web4"),
        ("db,web1", "dba dbb dbc web1"),
        ("web[0]", "web1"),
        ("web[-1]", "web4"),
        ("web[1:]", "web2 web3 web4"),
        ("web[0:2]", "web1 web2 web3"),
        ("web[1-2]", "web2 web3"),
        ("web[2:99]", "web3 web4"),
        ("web?", "web1 web2 web3 web4"),
        ("d*", "dba dbb dbc"),
        ("db[!a]", "dbb dbc"),
        ("~web[12]|dba", "web1 web2 dba"),
        ("~d", "dba dbb dbc"),
        ("localhost", "localhost"),
        ("web1:web2", "web1 web2"),
        ("empty", ""),
        ("wbe", ""),
        ("web:nope", "web1 web2 web3 web4"),
    ] {
        assert_eq!(inventory.matching(pattern).expect(pattern).hosts.join(" "), expected, "{pattern}");
    }
    let told = inventory.select("wbe").expect_err("nothing");
    assert_eq!(told.help, ["`wbe` is neither a group nor a host; did you mean `web`?"]);
    assert_eq!(inventory.matching("web:nope").expect("some").unmatched, ["nope"]);
    let web = inventory.select("web").expect("some");
    assert_eq!(inventory.limited(&web, "old,web1").expect("some").hosts, ["web1", "web4"]);
    assert_eq!(Order::ReverseSorted.apply(web), ["web4", "web3", "web2", "web1"]);
}

#[test]
fn group_variables_override_by_depth_priority_and_name() {
    let inventory = inventory(
        "hosts.yml",
        "all:\n  vars: {v: all}\n  children:\n    a:\n      vars: {v: a, ansible_group_priority: 5}\n      children:\n        sub: {hosts: {h: }, vars: {v: sub}}\n    b: {hosts: {h: }, vars: {v: b}}\n    c: {hosts: {h: {x: 1}}, vars: {v: c}}\n",
    );
    let ranked: Vec<&str> = inventory.groups_by_rank("h").iter().map(|g| g.name.as_str()).collect();
    assert_eq!(ranked, ["all", "b", "c", "a", "sub"]);
    assert_eq!(inventory.groups_of("h"), ["a", "b", "c", "sub"]);
    let labels: Vec<String> = inventory
        .scopes_for("h", None)
        .expect("scopes")
        .iter()
        .map(|s| s.label.split(" (").next().unwrap_or("").to_owned())
        .collect();
    assert_eq!(labels, ["group `all`", "group `b`", "group `c`", "group `a`", "group `sub`", "host `h`"]);
}

#[test]
fn problems_have_places() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("hosts");
    std::fs::write(&path, "a b\n[web:children]\ndb\n[x:foo]\n[g h]\nw[1-2]\nq \"x\n[z:vars]\nnope\n").expect("written");
    let problems = Inventory::load(&[path.display().to_string()], &LoadOptions::default()).expect_err("problems");
    let told: Vec<String> =
        problems.0.iter().map(|p| format!("{}: {}", p.span.as_ref().map_or(0, |s| s.line()), p.message)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn vaulted_files_are_opened_and_refused_without_a_password() {
    use crate::vars::vault::{Source, VaultSecrets};
    let dir = tempfile::tempdir().expect("a folder");
    let secret = dir.path().join("password");
    std::fs::write(&secret, "sesame\n").expect("written");
    let heard = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let hear = heard.clone();
    let secrets =
        VaultSecrets::new([("default".to_owned(), Source::File(secret))]).heard_by(std::sync::Arc::new(move |plain| {
            hear.lock().expect("lock").push_str(&String::from_utf8_lossy(plain))
        }));
    let secrets = std::sync::Arc::new(secrets);
    let text = secrets.encrypt(b"token: s3cret\nlist: [1]\n", None).expect("encrypted");
    std::fs::create_dir(dir.path().join("group_vars")).expect("made");
    std::fs::write(dir.path().join("group_vars/web.yml"), text).expect("written");
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "[web]\na\n").expect("written");
    let sources = [hosts.display().to_string()];
    let (closed, _) = Inventory::load(&sources, &LoadOptions::default()).expect("loads");
    assert_eq!(closed.scopes_for("a", None).expect_err("closed").code, "vaulted-file");
    let decrypt = Decrypt::with(&secrets);
    let options = LoadOptions { decrypt: Some(decrypt), ..LoadOptions::default() };
    let (open, _) = Inventory::load(&sources, &options).expect("loads");
    let scopes = open.scopes_for("a", None).expect("opened");
    assert_eq!(scopes[0].vars.keys().collect::<Vec<_>>(), ["token", "list"]);
    assert!(heard.lock().expect("lock").contains("s3cret"));
}

#[test]
fn shadowed_variable_files_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(dir.path().join("group_vars/all")).expect("made");
    std::fs::write(dir.path().join("group_vars/all/main.yml"), "a: 1\n").expect("written");
    std::fs::write(dir.path().join("group_vars/all.yml"), "b: 1\n").expect("written");
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "a\n").expect("written");
    let inventory = load(&hosts);
    let scopes = inventory.scopes_for("a", Some(dir.path())).expect("scopes");
    assert_eq!(scopes.iter().flat_map(|s| s.vars.keys()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(inventory.take_warnings().iter().map(|w| w.code).collect::<Vec<_>>(), ["shadowed-file"]);
    assert!(inventory.take_warnings().is_empty());
}
