use serde_json::json;

use crate::resources::testing::*;
use crate::resources::{Inverse, Verdict};
use crate::world::{Answer, Output, Query, Stop, View};

/// kubectl's answers for one worker with pods of three sorts, and one config map.
fn node(query: &Query) -> Answer {
    let Query::Read { argv } = query else { return nothing(query) };
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let json = match words.as_slice() {
        ["kubectl", "get", "node", "w1", ..] => {
            json!({"kind": "Node", "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})
        }
        ["kubectl", "get", "pods", ..] => json!({"items": [
            {"metadata": {"namespace": "n", "name": "web"}, "status": {"phase": "Running"}},
            {"metadata": {"namespace": "k", "name": "proxy", "ownerReferences": [{"kind": "DaemonSet"}]}},
            {"metadata": {"namespace": "n", "name": "job"}, "status": {"phase": "Succeeded"}},
        ]}),
        ["kubectl", "get", "ConfigMap", "c", ..] => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "1"}, "data": {"a": "1", "b": "2"}})
        }
        _ => return Answer::Output(Output { rc: 1, stdout: vec![], stderr: b"Error (NotFound)".to_vec() }),
    };
    Answer::Output(output(0, &json.to_string()))
}

fn run(module: &str, args: serde_json::Value) -> Option<Vec<String>> {
    let r = build(module, args);
    converges(&*r, &mut world([]), &node).map(|c| shorts(&c))
}

#[test]
fn workers_are_drained_and_opened_again() {
    assert_eq!(
        run("k8s_drain", json!({"name": "w1", "delete_options": {"ignore_daemonsets": true, "wait_timeout": 60}}))
            .unwrap(),
        ["kubectl drain w1 --ignore-daemonsets --timeout=60s"]
    );
    assert_eq!(run("k8s_drain", json!({"name": "w1", "state": "cordon"})).unwrap(), ["kubectl cordon w1"]);
    assert_eq!(run("k8s_drain", json!({"name": "w1", "state": "uncordon"})), None);
}

#[test]
fn taints_come_and_go() {
    let taint = |state: &str, key: &str, replace: bool| {
        run(
            "k8s_taint",
            json!({"name": "w1", "state": state, "replace": replace, "taints": [{"key": key, "effect": "NoSchedule"}]}),
        )
    };
    assert_eq!(taint("present", "a", false), None);
    assert_eq!(taint("present", "b", true).unwrap(), ["kubectl taint node w1 --overwrite b=:NoSchedule a:NoSchedule-"]);
    assert_eq!(taint("absent", "a", false).unwrap(), ["kubectl taint node w1 --overwrite a:NoSchedule-"]);
}

#[test]
fn objects_are_made_changed_removed() {
    let map = |name: &str, data: serde_json::Value| json!({"definition": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}});
    assert_eq!(run("k8s", map("c", json!({"a": "1"}))), None);
    assert_eq!(
        run("k8s", map("c", json!({"a": "9"}))).unwrap(),
        ["kubectl patch ConfigMap c --type=merge --patch-file=/dev/stdin"]
    );
    assert_eq!(run("k8s", map("d", json!({"a": "1"}))).unwrap(), ["kubectl create -f -"]);
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: n}\n";
    assert_eq!(
        run("k8s", json!({"definition": text, "apply": true, "wait": true})).unwrap(),
        ["kubectl apply -f -", "kubectl rollout status Deployment.v1.apps d --namespace=n --timeout=120s"]
    );
    assert_eq!(
        run("k8s", json!({"kind": "ConfigMap", "name": "c", "namespace": "n", "state": "absent"})).unwrap(),
        ["kubectl delete ConfigMap c --namespace=n"]
    );
    let info = unchanged(&*build("k8s_info", json!({"kind": "ConfigMap", "name": "c"})), &mut world([]), &node);
    assert_eq!(info.values["resources"].len(), Some(1));
}

/// One release of chart `web-1.0.0` with values, and a helm that knows the chart `repo/web` in that version.
fn helm(query: &Query) -> Answer {
    let Query::Read { argv } = query else { return nothing(query) };
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let said = |text: &str| Answer::Output(output(0, text));
    match words.as_slice() {
        ["helm", "list", _, "--filter=^web$", ..] => {
            said(r#"[{"name":"web","namespace":"n","revision":"3","status":"deployed","chart":"web-1.0.0"}]"#)
        }
        ["helm", "list", ..] => said("[]"),
        ["helm", "get", "values", "web", ..] => said(r#"{"replicas":2,"image":{"tag":"1"}}"#),
        ["helm", "show", "chart", "repo/web", "--version=2.0.0"] => said("name: web\nversion: 2.0.0\n"),
        ["helm", "show", "chart", "repo/web", ..] => said("apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        _ => Answer::Output(Output { rc: 1, stdout: vec![], stderr: b"Error: not found".to_vec() }),
    }
}

#[test]
fn releases_of_helm() {
    let run = |more: serde_json::Value| {
        let mut args = json!({"name": "web", "namespace": "n", "chart_ref": "repo/web"});
        for (key, value) in more.as_object().unwrap() {
            args[key] = value.clone();
        }
        converges(&*build("helm", args), &mut world([]), &helm).map(|c| shorts(&c))
    };
    let values = json!({"replicas": 2, "image": {"tag": "1"}});
    assert_eq!(run(json!({"values": values})), None);
    assert_eq!(
        run(json!({"values": {"replicas": 2}, "set_values": [{"value": "image.tag=1", "value_type": "string"}]})),
        None
    );
    assert_eq!(run(json!({"values": {"replicas": 2}, "reuse_values": true})), None);
    assert_eq!(
        run(json!({"values": values, "chart_version": "2.0.0", "wait": true, "timeout": "90"})).unwrap(),
        [
            "helm upgrade --install web repo/web --namespace=n --version=2.0.0 --wait --timeout=90s --reset-values --values=-"
        ]
    );
    assert_eq!(
        run(json!({"name": "new", "create_namespace": true})).unwrap(),
        ["helm upgrade --install new repo/web --namespace=n --create-namespace --reset-values --values=-"]
    );
    assert_eq!(run(json!({"state": "absent", "wait": true})).unwrap(), ["helm uninstall web --namespace=n --wait"]);
    assert_eq!(run(json!({"name": "new", "state": "absent"})), None);
}

/// How a change is taken back, by what was looked at before it.
fn back(module: &str, args: serde_json::Value, node: &dyn Fn(&Query) -> Answer) -> Inverse {
    let resource = build(module, args);
    let mut world = world([]);
    loop {
        let view = View::new(&world);
        match resource.reconcile(&view) {
            Ok(Verdict::Change(change)) => return resource.inverse(&View::new(&world), &change),
            Err(Stop::Needs) => {
                let (missing, _) = view.into_missing();
                world.observe(missing.into_iter().map(|query| (query.clone(), node(&query))));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_made_in_a_cluster_is_taken_back() {
    let told = |inverse: Inverse| match inverse.because {
        Some(because) => because,
        None => inverse.commands.iter().map(|(what, argv)| format!("{what}: {}", argv.join(" "))).collect(),
    };
    let object = |kind: &str, name: &str, more: serde_json::Value| {
        let mut args = json!({"definition": {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "n"}, "data": {"a": "9"}}});
        for (key, value) in more.as_object().unwrap() {
            args[key] = value.clone();
        }
        told(back("k8s", args, &node))
    };
    assert_eq!(
        object("ConfigMap", "d", json!({"context": "ops"})),
        "ConfigMap d: kubectl --context=ops delete ConfigMap d --namespace=n --ignore-not-found"
    );
    assert_eq!(object("ConfigMap", "d", json!({"api_key": "t"})), "the access it was made with is not kept");
    assert_eq!(object("ConfigMap", "c", json!({})), "what an object of the cluster was before is not kept");
    assert_eq!(object("Namespace", "d", json!({})), "a Namespace may hold what others made");
    let node_w1 = |module: &str, args: serde_json::Value| told(back(module, args, &node));
    assert_eq!(
        node_w1("k8s_taint", json!({"name": "w1", "replace": true, "taints": [{"key": "b", "effect": "NoExecute"}]})),
        "taints of w1: kubectl taint node w1 --overwrite a=:NoSchedule b:NoExecute-"
    );
    assert_eq!(node_w1("k8s_drain", json!({"name": "w1"})), "node w1 cordoned: kubectl uncordon w1");
    let release = |name: &str, state: &str| {
        let args =
            json!({"name": name, "namespace": "n", "chart_ref": "repo/web", "chart_version": "2.0.0", "state": state});
        told(back("helm", args, &helm))
    };
    assert_eq!(release("other", "present"), "release other: helm uninstall other --namespace=n");
    assert_eq!(release("web", "present"), "release web: helm rollback web 3 --namespace=n");
    assert_eq!(release("web", "absent"), "a release that was uninstalled has lost its history");
}
