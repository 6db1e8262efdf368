//! `k8s_drain`: cordon, drain and uncordon a worker.

use std::sync::Arc;

use serde_json::Value as Json;

use super::common::concat;
use super::common::kubectl::*;
use super::edits::Edit;
use super::kit::{self};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::Done;
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("name", Kind::Str, "The cluster's name of the worker").required(),
    ArgSpec::new("state", Kind::Str, "What to make of it").default("drain").choices(&["cordon", "drain", "uncordon"]),
    ArgSpec::new("pod_selectors", Kind::List, "Only pods with these labels").aliases(&["label_selectors"]),
    ArgSpec::new(
        "delete_options",
        Kind::Dict,
        "`ignore_daemonsets`, `delete_emptydir_data`, `force`, `disable_eviction`, `terminate_grace_period`, `wait_timeout`",
    ),
];
static ARGS: [ArgSpec; OWN.len() + CONNECTION.len()] = concat(OWN, CONNECTION);

/// `k8s_drain`.
pub static TYPE: ResourceType = ResourceType {
    name: "k8s_drain",
    qualified: &["kubernetes.core.k8s_drain"],
    doc: include_str!("doc/k8s_drain.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Drain {
    kubectl: Kubectl,
    name: String,
    state: String,
    options: Vec<String>,
    selectors: Vec<String>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let given = args.dict("delete_options")?;
    let flag = |name: &str| given.get(name).is_some_and(|v| super::truth(&text_of(v)) == Some(true));
    let mut options = vec![];
    for (name, option) in [
        ("ignore_daemonsets", "--ignore-daemonsets"),
        ("delete_emptydir_data", "--delete-emptydir-data"),
        ("force", "--force"),
        ("disable_eviction", "--disable-eviction"),
    ] {
        if flag(name) {
            options.push(option.to_owned());
        }
    }
    for (name, option, unit) in [("terminate_grace_period", "--grace-period", ""), ("wait_timeout", "--timeout", "s")] {
        if let Some(n) = given.get(name).filter(|v| !v.is_none()) {
            options.push(format!("{option}={}{unit}", text_of(n)));
        }
    }
    let selectors = args.list("pod_selectors")?;
    if !selectors.is_empty() {
        options.push(format!("--pod-selector={}", selectors.join(",")));
    }
    Ok(Arc::new(Drain {
        kubectl: Kubectl::of(&args, setting)?,
        name: args.need("name")?,
        state: args.need("state")?,
        options,
        selectors,
    }))
}

/// Pods a drain would evict: not those of the kubelet itself, of daemon sets, or finished.
fn evictable(pods: &Json) -> Vec<String> {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let items = pods["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .filter(|pod| {
            let owner = pod["metadata"]["ownerReferences"][0]["kind"].as_str().unwrap_or_default();
            let mirror = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
            let phase = pod["status"]["phase"].as_str().unwrap_or_default();
            owner != "DaemonSet" && !mirror && !matches!(phase, "Succeeded" | "Failed")
        })
        .map(|pod| format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"])))
        .collect()
}

const BUDGETS: [&str; 5] = ["get", "poddisruptionbudgets", "--all-namespaces", "-o", "json"];

/// Disruption budgets that allow no eviction now, with the pods here that they hold.
fn held(budgets: &Json, pods: &Json, evicted: &[String]) -> Vec<String> {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let mut found = vec![];
    for budget in budgets["items"].as_array().into_iter().flatten() {
        let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
        let Some(wanted) = wanted.filter(|_| budget["status"]["disruptionsAllowed"].as_u64() == Some(0)) else {
            continue;
        };
        let space = text(&budget["metadata"]["namespace"]);
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            let labels = &pod["metadata"]["labels"];
            if text(&pod["metadata"]["namespace"]) == space
                && evicted.contains(&name)
                && wanted.iter().all(|(key, value)| labels[key] == *value)
            {
                found.push(format!("{space}/{} holds {name}", text(&budget["metadata"]["name"])));
            }
        }
    }
    found
}

impl Resource for Drain {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let get = ["get", "node", self.name.as_str(), "-o", "json"];
        let field = format!("--field-selector=spec.nodeName={}", self.name);
        let label = format!("--selector={}", self.selectors.join(","));
        let mut list = vec!["get", "pods", "--all-namespaces", field.as_str(), "-o", "json"];
        if !self.selectors.is_empty() {
            list.push(&label);
        }
        world.want([self.kubectl.query(&get)]);
        if self.state == "drain" {
            world.want([self.kubectl.query(&list), self.kubectl.query(&BUDGETS)]);
        }
        let Some(mut node) = self.kubectl.get(world, &get)? else {
            return Ok(kit::failed(format!("Node {} not found.", self.name)));
        };
        let closed = node["spec"]["unschedulable"].as_bool() == Some(true);
        let mut edit = Edit::default();
        let mut lines: Vec<(&str, String, String)> = vec![];
        let show = |closed: bool| if closed { "cordoned" } else { "schedulable" }.to_owned();
        let wanted = self.state != "uncordon";
        let (mut pods, mut held_back) = (vec![], vec![]);
        if self.state == "drain" {
            let all = self.kubectl.get(world, &list)?.unwrap_or_default();
            pods = evictable(&all);
            if !pods.is_empty() {
                held_back = match self.kubectl.get(world, &BUDGETS) {
                    Ok(budgets) => held(&budgets.unwrap_or_default(), &all, &pods),
                    Err(Stop::Needs) => return Err(Stop::Needs),
                    // Who may drain need not be one who may read budgets.
                    Err(_) => vec![],
                };
            }
        }
        if closed != wanted {
            lines.push(("scheduling", show(closed), show(wanted)));
            node["spec"]["unschedulable"] = Json::Bool(wanted);
            edit.effect(self.kubectl.query(&get), answer(&node));
        }
        let message = match (self.state.as_str(), closed != wanted || !pods.is_empty()) {
            ("uncordon", true) => format!("node {} marked schedulable.", self.name),
            ("uncordon", false) => format!("node {} already marked schedulable.", self.name),
            ("cordon", true) => format!("node {} marked unschedulable.", self.name),
            (_, false) => format!("node {} already marked unschedulable.", self.name),
            (_, true) => format!("node {} marked unschedulable. {} pod(s) evicted.", self.name, pods.len()),
        };
        if !pods.is_empty() {
            lines.push(("pods", pods.join(" "), String::new()));
            if !held_back.is_empty() {
                lines.push(("budgets", held_back.join(", "), String::new()));
            }
            edit.effect(self.kubectl.query(&list), answer(&serde_json::json!({"items": []})));
        }
        if !lines.is_empty() {
            let mut words = vec![self.state.as_str(), self.name.as_str()];
            if self.state == "drain" {
                words.extend(self.options.iter().map(String::as_str));
            }
            edit.actions.push(self.kubectl.task.exec(self.kubectl.argv(&words)));
            edit.diff.push(kit::diff_of_attributes(&format!("node {}", self.name), &lines));
        }
        Ok(edit.verdict(TaskResult::unchanged().with("result", message)))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        conclude(change, done)
    }

    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        let get = ["get", "node", self.name.as_str(), "-o", "json"];
        let closed = matches!(self.kubectl.get(view, &get), Ok(Some(node)) if node["spec"]["unschedulable"] == true);
        if self.state == "uncordon" {
            return super::Inverse::impossible("why the node was cordoned is not known");
        }
        if closed {
            return super::Inverse::impossible("evicted pods run elsewhere");
        }
        match self.kubectl.back(&["uncordon", &self.name]) {
            Ok(argv) => super::Inverse::command(format!("node {} cordoned", self.name), argv),
            Err(why) => super::Inverse::impossible(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn budgets_hold_the_pods_they_select() {
        let pod = |name: &str, app: &str| json!({"metadata": {"namespace": "n", "name": name, "labels": {"app": app}}});
        let budget = |name: &str, app: &str, allowed: u64| {
            json!({"metadata": {"namespace": "n", "name": name}, "spec": {"selector": {"matchLabels": {"app": app}}},
                "status": {"disruptionsAllowed": allowed}})
        };
        let pods = json!({"items": [pod("web-1", "web"), pod("db-1", "db"), pod("log-1", "log")]});
        let budgets = json!({"items": [budget("web", "web", 1), budget("db", "db", 0), budget("log", "log", 0)]});
        let evicted = ["n/web-1".to_owned(), "n/db-1".to_owned()];
        assert_eq!(held(&budgets, &pods, &evicted), ["n/db holds n/db-1"]);
    }
}
