//! `k8s_taint`: taints of a worker.

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
    ArgSpec::new("taints", Kind::List, "Mappings of `key`, `value` and `effect`").required(),
    ArgSpec::new("state", Kind::Str, "Whether they are there").default("present").choices(&["absent", "present"]),
    ArgSpec::new("replace", Kind::Bool, "Remove all other taints").default("false"),
];
static ARGS: [ArgSpec; OWN.len() + CONNECTION.len()] = concat(OWN, CONNECTION);

/// `k8s_taint`.
pub static TYPE: ResourceType = ResourceType {
    name: "k8s_taint",
    qualified: &["kubernetes.core.k8s_taint"],
    doc: include_str!("doc/k8s_taint.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Taint {
    kubectl: Kubectl,
    name: String,
    /// Key, value, effect.
    taints: Vec<Triple>,
    present: bool,
    replace: bool,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let mut taints = vec![];
    for item in args.items("taints")? {
        let get = |key: &str| {
            item.get_attr(key)
                .ok()
                .filter(|v| !v.is_undefined() && !v.is_none())
                .map(|v| text_of(&v))
                .unwrap_or_default()
        };
        let taint = (get("key"), get("value"), get("effect"));
        if taint.0.is_empty() {
            return Err(args.wrong("taints", "a list of mappings with `key` and `effect`", &item).into());
        }
        taints.push(taint);
    }
    Ok(Arc::new(Taint {
        kubectl: Kubectl::of(&args, setting)?,
        name: args.need("name")?,
        taints,
        present: args.need("state")? == "present",
        replace: args.flag("replace")?,
    }))
}

/// Key, value and effect.
type Triple = (String, String, String);

fn taints_of(node: &Json) -> Vec<Triple> {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let all = node["spec"]["taints"].as_array().into_iter().flatten();
    all.map(|t| (text(&t["key"]), text(&t["value"]), text(&t["effect"]))).collect()
}

/// What `kubectl taint --overwrite` is told so that some taints become others. One key has each effect once.
fn words(from: &[Triple], to: &[Triple]) -> Vec<String> {
    let new = to.iter().filter(|taint| !from.contains(taint));
    let new = new.map(|(key, value, effect)| format!("{key}={value}:{effect}"));
    let stays = |gone: &Triple| to.iter().any(|(key, _, effect)| *key == gone.0 && *effect == gone.2);
    let gone = from.iter().filter(|taint| !stays(taint)).map(|(key, _, effect)| format!("{key}:{effect}-"));
    new.chain(gone).collect()
}

impl Taint {
    /// The node's taints after the task.
    fn after(&self, before: &[Triple]) -> Vec<Triple> {
        let mut after = before.to_vec();
        for taint in &self.taints {
            let (key, _, effect) = taint;
            if self.present {
                if !after.contains(taint) {
                    after.retain(|(k, _, e)| !(k == key && e == effect));
                    after.push(taint.clone());
                }
            } else {
                after.retain(|(k, _, e)| !(k == key && (effect.is_empty() || e == effect)));
            }
        }
        if self.replace && self.present {
            after.retain(|taint| self.taints.contains(taint));
        }
        after
    }
}

impl Resource for Taint {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let get = ["get", "node", self.name.as_str(), "-o", "json"];
        let Some(mut node) = self.kubectl.get(world, &get)? else {
            return Ok(kit::failed(format!("Node {} not found.", self.name)));
        };
        let before = taints_of(&node);
        let after = self.after(&before);
        let words = words(&before, &after);
        let mut edit = Edit::default();
        if !words.is_empty() {
            let mut argv = self.kubectl.argv(&["taint", "node", &self.name, "--overwrite"]);
            argv.extend(words);
            edit.actions.push(self.kubectl.task.exec(argv));
            let show = |list: &[Triple]| list.iter().map(|(k, v, e)| format!("{k}={v}:{e}\n")).collect::<String>();
            edit.diff.push(kit::diff(&format!("taints of {}", self.name), show(&before), show(&after)));
            node["spec"]["taints"] =
                after.iter().map(|(k, v, e)| serde_json::json!({"key": k, "value": v, "effect": e})).collect();
            edit.effect(self.kubectl.query(&get), answer(&node));
        }
        Ok(edit.verdict(TaskResult::unchanged().with("result", value(&node))))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        conclude(change, done)
    }

    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        let get = ["get", "node", self.name.as_str(), "-o", "json"];
        let Ok(Some(node)) = self.kubectl.get(view, &get) else { return super::Inverse::default() };
        let before = taints_of(&node);
        let words = words(&self.after(&before), &before);
        let mut all = vec!["taint", "node", self.name.as_str(), "--overwrite"];
        all.extend(words.iter().map(String::as_str));
        match self.kubectl.back(&all) {
            Ok(argv) => super::Inverse::command(format!("taints of {}", self.name), argv),
            Err(why) => super::Inverse::impossible(why),
        }
    }
}
