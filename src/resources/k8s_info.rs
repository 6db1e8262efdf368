//! `k8s_info`: what objects a cluster has.

use std::sync::Arc;

use minijinja::Value;
use serde_json::Value as Json;

use super::common::concat;
use super::common::kubectl::*;
use super::kit;
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("kind", Kind::Str, "Kind of the objects").required(),
    ArgSpec::new("api_version", Kind::Str, "Their API version").aliases(&["api", "version"]).default("v1"),
    ArgSpec::new("name", Kind::Str, "One object"),
    ArgSpec::new("namespace", Kind::Str, "Its namespace; none: all"),
    ArgSpec::new("label_selectors", Kind::List, "Labels to select by"),
    ArgSpec::new("field_selectors", Kind::List, "Fields to select by"),
    ArgSpec::new("wait", Kind::Bool, "Wait until the objects are ready, or as `wait_condition` says").default("no"),
    ArgSpec::new("wait_timeout", Kind::Int, "Seconds to wait at most").default("120"),
    ArgSpec::new("wait_sleep", Kind::Int, "Accepted: kubectl watches").default("5"),
    ArgSpec::new("wait_condition", Kind::Dict, "`type` and `status` of a condition"),
];
static ARGS: [ArgSpec; OWN.len() + CONNECTION.len()] = concat(OWN, CONNECTION);

/// `k8s_info`.
pub static TYPE: ResourceType = ResourceType {
    name: "k8s_info",
    qualified: &["kubernetes.core.k8s_info"],
    doc: include_str!("doc/k8s_info.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

struct Info {
    kubectl: Kubectl,
    words: Vec<String>,
    /// kubectl's words that wait.
    wait: Option<Vec<String>>,
    condition: (String, String),
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let mut words = vec!["get".to_owned(), typed(&args.need("kind")?, &args.need("api_version")?)];
    let name = args.str("name")?;
    words.extend(name.clone());
    match args.str("namespace")? {
        Some(namespace) => words.push(format!("--namespace={namespace}")),
        None if name.is_none() => words.push("--all-namespaces".to_owned()),
        None => {}
    }
    for (arg, option) in [("label_selectors", "--selector"), ("field_selectors", "--field-selector")] {
        let list = args.list(arg)?;
        if !list.is_empty() {
            words.push(format!("{option}={}", list.join(",")));
        }
    }
    let condition = args.dict("wait_condition")?;
    let part = |key: &str| condition.iter().find(|(k, _)| *k == key).map(|(_, v)| super::text_of(v));
    if part("reason").is_some() {
        return Err(Problem::unsupported("a condition's `reason`").at(args.span("wait_condition")).into());
    }
    let kind = args.need("kind")?;
    let rolled = matches!(kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet");
    let condition =
        (part("type").unwrap_or_else(|| "Ready".to_owned()), part("status").unwrap_or_else(|| "True".to_owned()));
    let wait = args.flag("wait")?.then(|| {
        let mut wait = words.clone();
        let verb: &[&str] = if rolled && !args.given("wait_condition") { &["rollout", "status"] } else { &["wait"] };
        wait.splice(0..1, verb.iter().map(|w| (*w).to_owned()));
        if verb.len() == 1 {
            wait.push(format!("--for=condition={}={}", condition.0, condition.1));
            wait.extend((name.is_none() && !wait.iter().any(|w| w.contains("-selector="))).then(|| "--all".to_owned()));
        }
        wait.push(format!("--timeout={}s", args.int("wait_timeout").ok().flatten().unwrap_or(120)));
        wait
    });
    words.extend(["-o".to_owned(), "json".to_owned()]);
    Ok(Arc::new(Info { kubectl: Kubectl::of(&args, setting)?, words, wait, condition }))
}

/// Whether nothing has to be waited for. Objects without conditions and figures are ready when they are there.
fn is_ready(object: &Json, condition: &(String, String)) -> bool {
    let status = &object["status"];
    let figure = |name: &str| status[name].as_i64().unwrap_or(0);
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => figure("availableReplicas") >= wanted && figure("updatedReplicas") >= wanted,
        "StatefulSet" => figure("readyReplicas") >= wanted && figure("updatedReplicas") >= wanted,
        "DaemonSet" => figure("numberReady") >= figure("desiredNumberScheduled"),
        _ => match status["conditions"].as_array() {
            Some(list) => list.iter().any(|c| c["type"] == condition.0.as_str() && c["status"] == condition.1.as_str()),
            None => true,
        },
    }
}

/// The objects of kubectl's answer.
fn objects(found: Option<Json>) -> Vec<Json> {
    match found {
        None => vec![],
        Some(Json::Object(mut map)) if map.get("items").is_some_and(Json::is_array) => {
            map.remove("items").and_then(|i| i.as_array().cloned()).unwrap_or_default()
        }
        Some(one) => vec![one],
    }
}

fn result(objects: &[Json]) -> TaskResult {
    let resources: Vec<Value> = objects.iter().map(value).collect();
    TaskResult::unchanged().with("api_found", true).with("resources", Value::from(resources))
}

impl Resource for Info {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let get: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let found = objects(self.kubectl.get(world, &get)?);
        if let Some(wait) = &self.wait
            && (found.is_empty() || !found.iter().all(|o| is_ready(o, &self.condition)))
        {
            let words: Vec<&str> = wait.iter().map(String::as_str).collect();
            let actions = vec![
                self.kubectl.task.exec(self.kubectl.argv(&words)),
                self.kubectl.task.exec(self.kubectl.argv(&get)),
            ];
            let change = kit::change(ChangeKind::Run, actions, vec![]);
            return Ok(Verdict::Change(Change { result: result(&found), ..change }));
        }
        Ok(Verdict::Unchanged(result(&found)))
    }

    fn conclude(&self, _change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        if let Some((message, output)) = kit::failure(done) {
            let why = kit::why(message, output);
            return Err(TaskResult::unchanged().with("msg", format!("waiting failed: {}", why.trim())));
        }
        let text = done.last().map(|d| kit::output_of(d).text()).unwrap_or_default();
        Ok(result(&objects(serde_json::from_str(&text).ok())))
    }
}
