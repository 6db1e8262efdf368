use proptest::prelude::*;
use serde_json::json;

use crate::resources::testing::*;
use crate::resources::{ChangeKind, Verdict};
use crate::world::{Answer, Query, Stop, UnitState};

fn unit(active: &str, file_state: &str) -> UnitState {
    UnitState {
        load: if file_state == "masked" { "masked" } else { "loaded" }.to_owned(),
        active: active.to_owned(),
        sub: "dead".to_owned(),
        file_state: file_state.to_owned(),
        ..UnitState::default()
    }
}

fn with(state: UnitState) -> impl Fn(&Query) -> Answer {
    move |q| match q {
        Query::Unit { .. } => Answer::Unit(Box::new(state.clone())),
        other => nothing(other),
    }
}

#[test]
fn a_stopped_disabled_unit_is_enabled_then_started() {
    let r = build("systemd", json!({"name": "containerd", "state": "started", "enabled": true, "daemon_reload": true}));
    let mut w = world([]);
    let c = converges(&*r, &mut w, &with(unit("inactive", "disabled"))).unwrap();
    assert_eq!(shorts(&c), ["systemctl enable containerd.service", "systemctl start containerd.service"]);
    assert!(c.opaque);
    assert_eq!(c.diff[0].before, "enabled: false\nstate: inactive\n");
}

#[test]
fn a_changed_unit_file_makes_daemon_reload_run() {
    let r = build("systemd", json!({"name": "x.socket", "daemon_reload": true, "state": "started"}));
    let mut state = unit("active", "enabled");
    state.needs_reload = true;
    let mut w = world([]);
    let c = converges(&*r, &mut w, &with(state)).unwrap();
    assert_eq!(shorts(&c), ["systemctl daemon-reload"]);
    assert!(!c.result.changed);
}

#[test]
fn a_predicted_unit_file_makes_the_unit() {
    use crate::world::Effect;
    let path = "/etc/systemd/system/kubelet.service".to_owned();
    let stat = crate::world::Stat {
        kind: crate::world::FileKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        owner: "root".into(),
        group: "root".into(),
        size: 10,
        mtime: 0.0,
        atime: 0.0,
        ctime: 0.0,
        inode: 1,
        device: 1,
        links: 1,
        target: None,
        real: None,
    };
    let mut w = world([]);
    w.predict(&[
        Effect { query: Query::Stat { path: path.clone(), follow: false }, answer: Ok(Answer::Stat(Some(stat))) },
        Effect {
            query: Query::Content { path },
            answer: Ok(Answer::Content(Some(std::sync::Arc::new(b"[Service]\n[Install]\n".to_vec())))),
        },
    ]);
    let r = build("systemd", json!({"name": "kubelet", "state": "started", "enabled": "yes", "daemon_reload": "yes"}));
    let c = change(&*r, &mut w, &nothing);
    assert_eq!(
        shorts(&c),
        ["systemctl daemon-reload", "systemctl enable kubelet.service", "systemctl start kubelet.service"]
    );
    let r = build("systemd", json!({"name": "nope", "state": "started"}));
    match settle(&*r, &mut w, &nothing) {
        Ok(Verdict::Failed(result)) => {
            assert_eq!(result.values["msg"].as_str(), Some("Could not find the requested service nope: host"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restart_always_acts() {
    let r = build("systemd", json!({"name": "containerd", "state": "restarted"}));
    let c = change(&*r, &mut world([]), &with(unit("active", "enabled")));
    assert_eq!((c.kind, shorts(&c)), (ChangeKind::Run, vec!["systemctl restart containerd.service".to_owned()]));
    let c = change(&*r, &mut world([]), &with(unit("failed", "enabled")));
    assert_eq!(shorts(&c), ["systemctl start containerd.service"]);
}

#[test]
fn a_reload_of_the_manager_changes_nothing() {
    let r = build("systemd", json!({"daemon_reload": true}));
    let c = change(&*r, &mut world([]), &nothing);
    assert_eq!(shorts(&c), ["systemctl daemon-reload"]);
    assert!(!c.result.changed && c.diff.is_empty());
}

#[test]
fn senseless_arguments_are_refused() {
    for args in [json!({"state": "started"}), json!({"name": "x"}), json!({"name": "x*", "state": "started"})] {
        let built = Stage::default().build("systemd", args.clone());
        let refused = matches!(built, Err(Stop::Invalid(_)));
        // A unit alone only tells its status.
        assert_eq!(refused, args != json!({"name": "x"}), "{args}");
    }
}

proptest! {
    /// Whatever the unit is like: after the predicted change nothing is left, unless the state always acts.
    #[test]
    fn units_converge(
        active in prop::sample::select(vec!["active", "inactive", "failed", "activating", "deactivating"]),
        file in prop::sample::select(vec!["enabled", "disabled", "static", "masked", "indirect", ""]),
        state in prop::option::of(prop::sample::select(vec!["started", "stopped"])),
        enabled in prop::option::of(any::<bool>()),
        masked in prop::option::of(any::<bool>()),
    ) {
        let mut args = json!({"name": "a"});
        if let Some(s) = state { args["state"] = json!(s); }
        if let Some(e) = enabled { args["enabled"] = json!(e); }
        if let Some(m) = masked { args["masked"] = json!(m); }
        // A masked unit cannot be enabled; nothing would converge.
        prop_assume!(!(masked == Some(true) && enabled.is_some()));
        let r = build("systemd", args);
        converges(&*r, &mut world([]), &with(unit(active, file)));
    }
}
