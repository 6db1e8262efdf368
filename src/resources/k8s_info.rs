//! `k8s_info`: what objects a cluster has.

use std::sync::Arc;

use minijinja::Value;
use serde_json::Value as Json;

use super::common::concat;
use super::common::kubectl::*;
use super::{ArgSpec, Args, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("kind", Kind::Str, "Kind of the objects").required(),
    ArgSpec::new("api_version", Kind::Str, "Their API version").aliases(&["api", "version"]).default("v1"),
    ArgSpec::new("name", Kind::Str, "One object"),
    ArgSpec::new("namespace", Kind::Str, "Its namespace; none: all"),
    ArgSpec::new("label_selectors", Kind::List, "Labels to select by"),
    ArgSpec::new("field_selectors", Kind::List, "Fields to select by"),
];
static ARGS: [ArgSpec; OWN.len() + CONNECTION.len()] = concat(OWN, CONNECTION);

/// `k8s_info`.
pub static TYPE: ResourceType = ResourceType {
    name: "k8s_info",
    qualified: &["kubernetes.core.k8s_info"],
    doc: include_str!("doc/k8s_info.md"),
    args: &ARGS,
    free_form: None,
    build,
};

struct Info {
    kubectl: Kubectl,
    words: Vec<String>,
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
    words.extend(["-o".to_owned(), "json".to_owned()]);
    Ok(Arc::new(Info { kubectl: Kubectl::of(&args, setting)?, words }))
}

impl Resource for Info {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let found = self.kubectl.get(world, &words)?;
        let resources: Vec<Value> = match found {
            None => vec![],
            Some(Json::Object(map)) if map.get("items").is_some_and(Json::is_array) => {
                map["items"].as_array().into_iter().flatten().map(value).collect()
            }
            Some(one) => vec![value(&one)],
        };
        Ok(Verdict::Unchanged(
            TaskResult::unchanged().with("api_found", true).with("resources", Value::from(resources)),
        ))
    }
}
