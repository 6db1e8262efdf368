use serde_json::json;

use crate::resources::testing::*;
use crate::resources::{ChangeKind, Verdict};
use crate::world::{Answer, Query, Stop};

#[test]
fn a_command_runs_and_tells() {
    let r = build("command", json!({"_raw_params": "echo 'a  b' c", "chdir": "~/x", "stdin": "in"}));
    let c = change(&*r, &mut world([]), &nothing);
    assert_eq!((c.kind, c.opaque), (ChangeKind::Run, true));
    let crate::node::Action::Exec(spec) = &c.actions[0] else { panic!() };
    assert_eq!(spec.chdir.as_deref(), Some("/root/x"));
    assert_eq!(spec.stdin.as_deref(), Some(&b"in\n"[..]));
    let ok = r.conclude(&c, &[done(0, "out\n\n")]).unwrap();
    assert_eq!(ok.values["stdout"].as_str(), Some("out"));
    assert_eq!(ok.values["cmd"].to_string(), "['echo', 'a  b', 'c']");
    let bad = r.conclude(&c, &[done(3, "")]).unwrap_err();
    assert!(bad.changed);
    assert_eq!(bad.values["msg"].as_str(), Some("non-zero return code"));
}

#[test]
fn creates_and_removes_hold_it_back() {
    let there = |q: &Query| match q {
        Query::Read { argv } if argv.last().unwrap() == "/etc/x*" => Answer::Output(output(0, "")),
        other => nothing(other),
    };
    let r = build("shell", json!({"cmd": "touch /etc/xy", "creates": "/etc/x*"}));
    let result = unchanged(&*r, &mut world([]), &there);
    assert_eq!(result.values["stdout"].as_str(), Some("skipped, since /etc/x* exists"));
    assert_eq!(result.values["msg"].as_str(), Some("Did not run command since '/etc/x*' exists"));
    let r = build("shell", json!({"cmd": "rm /etc/y", "removes": "/etc/y"}));
    let result = unchanged(&*r, &mut world([]), &nothing);
    assert_eq!(result.values["msg"].as_str(), Some("Did not run command since '/etc/y' does not exist"));
}

#[test]
fn check_mode_tells_what_ansible_tells() {
    let stage = Stage { check_mode: true, ..Stage::default() };
    let r = stage.build("command", json!({"cmd": "echo hi"})).unwrap();
    match settle(&*r, &mut world([]), &nothing) {
        Ok(Verdict::Skipped(result)) => assert_eq!(result.values["rc"].as_i64(), Some(0)),
        other => panic!("{other:?}"),
    }
    let r = stage.build("command", json!({"cmd": "echo hi", "creates": "/nope"})).unwrap();
    let c = change(&*r, &mut world([]), &nothing);
    assert!(c.result.changed);
    assert_eq!(c.result.values["rc"].as_i64(), Some(0));
}

#[test]
fn variables_in_words_come_from_the_node() {
    let env = |q: &Query| match q {
        Query::Read { argv } if argv == &["env"] => Answer::Output(output(0, "HOME=/root\nX=y\n")),
        other => nothing(other),
    };
    let r = build("command", json!({"argv": ["echo", "$X", "~", "$NOPE"]}));
    assert_eq!(shorts(&change(&*r, &mut world([]), &env)), ["echo y /root $NOPE"]);
    let r = build("command", json!({"argv": ["echo", "$X"], "expand_argument_vars": false}));
    assert_eq!(shorts(&change(&*r, &mut world([]), &nothing)), ["echo $X"]);
}

#[test]
fn the_language_speaks() {
    let stage = Stage { variables: json!({"x": 5, "yes": true, "no": false}), ..Stage::default() };
    let result = |module: &str, args| match stage.build(module, args) {
        Ok(r) => settle(&*r, &mut world([]), &nothing),
        Err(stop) => Err(stop),
    };
    let Ok(Verdict::Unchanged(r)) = result("debug", json!({"var": "x"})) else { panic!() };
    assert_eq!(r.values["x"].as_i64(), Some(5));
    let Ok(Verdict::Unchanged(r)) = result("debug", json!({"var": "nope"})) else { panic!() };
    assert_eq!(r.values["nope"].as_str(), Some("<< error 1 - 'nope' is undefined >>"));
    assert!(matches!(result("debug", json!({"msg": "x", "verbosity": 1})), Ok(Verdict::Skipped(_))));
    assert!(matches!(result("debug", json!({"msg": 1, "var": "x"})), Err(Stop::Invalid(_))));
    let Ok(Verdict::Failed(r)) = result("assert", json!({"that": ["yes", "no"], "fail_msg": "bad"})) else { panic!() };
    assert_eq!((r.values["assertion"].as_str(), r.values["msg"].as_str()), (Some("no"), Some("bad")));
    assert!(matches!(result("assert", json!({"that": true})), Ok(Verdict::Unchanged(_))));
    let Ok(Verdict::Unchanged(r)) = result("set_fact", json!({"a": 1, "cacheable": "yes"})) else { panic!() };
    assert_eq!(r.values["ansible_facts"].to_string(), "{'a': 1}");
    assert!(matches!(result("set_fact", json!({"1a": 1})), Err(Stop::Invalid(_))));
    let Ok(Verdict::Unchanged(r)) = result("add_host", json!({"name": "h:44", "groups": "a,b", "v": 1})) else {
        panic!()
    };
    assert_eq!(
        r.values["add_host"].to_string(),
        "{'groups': ['a', 'b'], 'host_name': 'h', 'host_vars': {'v': 1, 'ansible_ssh_port': 44}}"
    );
    let Ok(Verdict::Unchanged(r)) = result("group_by", json!({"key": "k x"})) else { panic!() };
    assert_eq!(r.values["add_group"].as_str(), Some("k-x"));
    let Ok(Verdict::Failed(r)) =
        result("validate_argument_spec", json!({"argument_spec": {"x": {"type": "int"}, "q": {"required": true}}}))
    else {
        panic!()
    };
    assert_eq!(r.values["argument_errors"].to_string(), "['missing required arguments: q']");
}

#[test]
fn variables_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("b.yml", "x: 2\ny: '{{ x }}'\n");
    write("a.yaml", "x: 1\n");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    write("sub/c.json", "{\"z\": [1]}");
    let r = build("include_vars", json!({"dir": dir.path()}));
    let result = unchanged(&*r, &mut world([]), &nothing);
    assert_eq!(result.values["ansible_facts"].to_string(), "{'x': 2, 'y': '{{ x }}', 'z': [1]}");
    assert_eq!(result.definitions.len(), 3);
    assert_eq!(result.values["ansible_included_var_files"].len(), Some(3));
    let r = build("include_vars", json!({"dir": dir.path(), "depth": 1, "ignore_files": ["b.yml"], "name": "v"}));
    let result = unchanged(&*r, &mut world([]), &nothing);
    assert_eq!(result.values["ansible_facts"].to_string(), "{'v': {'x': 1}}");
    let r = build("include_vars", json!({"_raw_params": "/nonexistent.yml"}));
    assert!(matches!(settle(&*r, &mut world([]), &nothing), Ok(Verdict::Failed(_))));
}
