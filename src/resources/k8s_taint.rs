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
    taints: Vec<(String, String, String)>,
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

impl Resource for Taint {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let get = ["get", "node", self.name.as_str(), "-o", "json"];
        let Some(mut node) = self.kubectl.get(world, &get)? else {
            return Ok(kit::failed(format!("Node {} not found.", self.name)));
        };
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let before: Vec<(String, String, String)> = node["spec"]["taints"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|t| (text(&t["key"]), text(&t["value"]), text(&t["effect"])))
            .collect();
        let mut after = before.clone();
        let mut words: Vec<String> = vec![];
        for (key, value, effect) in &self.taints {
            if self.present {
                if !after.contains(&(key.clone(), value.clone(), effect.clone())) {
                    after.retain(|(k, _, e)| !(k == key && e == effect));
                    after.push((key.clone(), value.clone(), effect.clone()));
                    words.push(format!("{key}={value}:{effect}"));
                }
            } else if after.iter().any(|(k, _, e)| k == key && (effect.is_empty() || e == effect)) {
                after.retain(|(k, _, e)| !(k == key && (effect.is_empty() || e == effect)));
                words.push(if effect.is_empty() { format!("{key}-") } else { format!("{key}:{effect}-") });
            }
        }
        if self.replace && self.present {
            let extra: Vec<_> = after.iter().filter(|t| !self.taints.contains(t)).cloned().collect();
            for (key, _, effect) in extra {
                words.push(format!("{key}:{effect}-"));
                after.retain(|(k, _, e)| !(*k == key && *e == effect));
            }
        }
        let mut edit = Edit::default();
        if !words.is_empty() {
            let mut argv = self.kubectl.argv(&["taint", "node", &self.name, "--overwrite"]);
            argv.extend(words);
            edit.actions.push(self.kubectl.task.exec(argv));
            let show = |list: &[(String, String, String)]| {
                list.iter().map(|(k, v, e)| format!("{k}={v}:{e}\n")).collect::<String>()
            };
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

    fn inverse(&self, _view: &View, _change: &super::Change) -> super::Inverse {
        super::Inverse::impossible("taints of a cluster are no state of the node")
    }
}
