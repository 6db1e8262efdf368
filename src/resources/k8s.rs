//! `k8s`: objects of a cluster.

use std::sync::Arc;

use minijinja::Value;
use serde_json::Value as Json;

use super::common::concat;
use super::common::kubectl::*;
use super::edits::Edit;
use super::kit::{self};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Answer, Output, Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("definition", Kind::Raw, "Objects: a mapping, a list of them, or YAML text")
        .aliases(&["resource_definition", "inline"]),
    ArgSpec::new("src", Kind::Path, "A file of the control machine with such objects"),
    ArgSpec::new("state", Kind::Str, "What to make of them")
        .default("present")
        .choices(&["absent", "patched", "present"]),
    ArgSpec::new("kind", Kind::Str, "Kind, without a definition"),
    ArgSpec::new("api_version", Kind::Str, "API version, without a definition")
        .aliases(&["api", "version"])
        .default("v1"),
    ArgSpec::new("name", Kind::Str, "Name, without a definition"),
    ArgSpec::new("namespace", Kind::Str, "Namespace of objects that name none"),
    ArgSpec::new("apply", Kind::Bool, "Remember what was applied, as `kubectl apply` does").default("false"),
    ArgSpec::new("wait", Kind::Bool, "Wait until they are ready").default("false"),
    ArgSpec::new("wait_timeout", Kind::Int, "Seconds to wait at most").default("120"),
];
static ARGS: [ArgSpec; OWN.len() + CONNECTION.len()] = concat(OWN, CONNECTION);

/// `k8s`.
pub static TYPE: ResourceType = ResourceType {
    name: "k8s",
    qualified: &["kubernetes.core.k8s"],
    doc: include_str!("doc/k8s.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Objects {
    kubectl: Kubectl,
    objects: Vec<Json>,
    state: String,
    namespace: Option<String>,
    apply: bool,
    wait: bool,
    timeout: i64,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let mut objects: Vec<Json> = vec![];
    let invalid = |what: String, name: &str| Problem::new("invalid-argument", what).at(args.span(name));
    let mut take = |json: Json| match json {
        Json::Array(list) => objects.extend(list),
        Json::Null => {}
        one => objects.push(one),
    };
    let parse = |text: &str, label: &str| -> Result<Vec<Json>, Problem> {
        let loaded = crate::yaml::parse_text(label, text)?;
        loaded
            .documents
            .iter()
            .map(|node| to_json(&node.to_value()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| Problem::new("invalid-argument", format!("`{label}` holds what is no JSON: {e}")))
    };
    if let Some(definition) = args.raw("definition") {
        match definition.as_str() {
            Some(text) => parse(text, "definition")?.into_iter().for_each(&mut take),
            None => take(to_json(definition).map_err(|e| invalid(e, "definition"))?),
        }
    } else if let Some(src) = args.str("src")? {
        let path = (setting.find_file)("files", &src)?;
        let source = crate::yaml::read_source(&path)?;
        parse(&source.text, &src)?.into_iter().for_each(&mut take);
    } else if let (Some(kind), Some(name)) = (args.str("kind")?, args.str("name")?) {
        take(serde_json::json!({"apiVersion": args.need("api_version")?, "kind": kind, "metadata": {"name": name}}));
    } else {
        return Err(Problem::new("missing-argument", "`k8s` needs `definition`, `src`, or `kind` and `name`")
            .at(args.task_span())
            .into());
    }
    for object in &objects {
        if object["kind"].as_str().is_none() || object["metadata"]["name"].as_str().is_none() {
            return Err(invalid("an object has no `kind` or no `metadata.name`".to_owned(), "definition").into());
        }
    }
    Ok(Arc::new(Objects {
        kubectl: Kubectl::of(&args, setting)?,
        objects,
        state: args.need("state")?,
        namespace: args.str("namespace")?,
        apply: args.flag("apply")?,
        wait: args.flag("wait")?,
        timeout: args.int("wait_timeout")?.unwrap_or(120),
    }))
}

/// Whether everything that is wanted is there: mappings by key, lists by place, the rest by value.
fn holds(wanted: &Json, live: &Json) -> bool {
    match (wanted, live) {
        (Json::Object(w), Json::Object(l)) => {
            w.iter().all(|(key, value)| l.get(key).map_or(value.is_null(), |found| holds(value, found)))
        }
        (Json::Array(w), Json::Array(l)) => w.len() == l.len() && w.iter().zip(l).all(|(a, b)| holds(a, b)),
        (Json::Null, _) => live.is_null(),
        _ => wanted == live,
    }
}

/// The live object with the wanted fields merged in.
fn merged(wanted: &Json, live: &Json) -> Json {
    match (wanted, live) {
        (Json::Object(w), Json::Object(l)) => {
            let mut all = l.clone();
            for (key, value) in w {
                if value.is_null() {
                    all.remove(key);
                } else {
                    let below = merged(value, l.get(key).unwrap_or(&Json::Null));
                    all.insert(key.clone(), below);
                }
            }
            Json::Object(all)
        }
        _ => wanted.clone(),
    }
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

impl Objects {
    /// An object as the server would store it by a command; where it does not say, as it is put together here. `Err`: it is refused.
    fn stored(
        &self,
        world: &View,
        words: &[&str],
        object: &Json,
        otherwise: impl FnOnce() -> Json,
    ) -> Result<Result<Json, Verdict>, Stop> {
        Ok(match self.kubectl.dry_run(world, words, &object.to_string())? {
            Dry::Object(after) => Ok(after),
            Dry::Refused(why) => Err(kit::failed(why)),
            Dry::Impossible => Ok(otherwise()),
        })
    }

    fn words(&self, object: &Json, verb: &str) -> Vec<String> {
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let mut words = vec![
            verb.to_owned(),
            typed(&text(&object["kind"]), &text(&object["apiVersion"])),
            text(&object["metadata"]["name"]),
        ];
        if let Some(namespace) = object["metadata"]["namespace"].as_str().or(self.namespace.as_deref()) {
            words.push(format!("--namespace={namespace}"));
        }
        words
    }

    fn get_words(&self, object: &Json) -> Vec<String> {
        let mut words = self.words(object, "get");
        words.extend(["-o".to_owned(), "json".to_owned()]);
        words
    }
}

impl Resource for Objects {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let gets: Vec<Vec<String>> = self.objects.iter().map(|o| self.get_words(o)).collect();
        world.want(gets.iter().map(|w| self.kubectl.query(&refs(w))));
        let mut edit = Edit { removed: self.state == "absent", ..Edit::default() };
        let mut results: Vec<Value> = vec![];
        for (object, get) in self.objects.iter().zip(&gets) {
            let live = self.kubectl.get(world, &refs(get))?;
            let label = refs(&self.words(object, "get")[1..3]).join(" ");
            let show = |json: &Json| crate::yaml::emit(&value(json), &crate::yaml::EmitOptions::nice());
            let query = self.kubectl.query(&refs(get));
            let text = || serde_json::to_vec(object).unwrap_or_default();
            match (self.state.as_str(), &live) {
                ("absent", None) => {}
                ("absent", Some(live)) => {
                    let words = self.words(object, "delete");
                    edit.actions.push(self.kubectl.task.exec(self.kubectl.argv(&refs(&words))));
                    let none = Output { rc: 1, stdout: vec![], stderr: b"NotFound".to_vec() };
                    edit.effect(query, Answer::Output(none));
                    edit.diff.push(kit::diff(&label, show(&definition(live)), ""));
                }
                ("patched", None) => {}
                (_, None) => {
                    let mut words = vec![if self.apply { "apply" } else { "create" }, "-f", "-"];
                    let namespace = self.namespace.as_ref().map(|n| format!("--namespace={n}"));
                    words.extend(namespace.as_deref());
                    edit.actions.push(
                        ExecSpec {
                            stdin: Some(text()),
                            env: self.kubectl.task.environment.clone(),
                            ..ExecSpec::argv(self.kubectl.argv(&words))
                        }
                        .into_action(),
                    );
                    edit.created = true;
                    let after = match self.stored(world, &words, object, || object.clone())? {
                        Ok(after) => after,
                        Err(refused) => return Ok(refused),
                    };
                    edit.diff.push(kit::diff(&label, "", show(&plain(&after))));
                    edit.effect(query, answer(&after));
                    results.push(value(&after));
                }
                (_, Some(live)) if holds(object, live) => results.push(value(live)),
                (_, Some(live)) => {
                    let words = if self.apply {
                        let mut words = vec!["apply".to_owned(), "-f".to_owned(), "-".to_owned()];
                        words.extend(self.namespace.as_ref().map(|n| format!("--namespace={n}")));
                        words
                    } else {
                        let mut words = self.words(object, "patch");
                        words.extend(["--type=merge".to_owned(), "--patch-file=/dev/stdin".to_owned()]);
                        words
                    };
                    let after = match self.stored(world, &refs(&words), object, || merged(object, live))? {
                        Ok(after) => after,
                        Err(refused) => return Ok(refused),
                    };
                    // Written otherwise, but the server makes the same of it (`1000m` and `1`). What others report meanwhile is no change of ours.
                    let shown = |whole: &Json| {
                        let mut own = plain(whole);
                        if let Some(map) = own.as_object_mut().filter(|_| object.get("status").is_none()) {
                            map.remove("status");
                        }
                        own
                    };
                    if shown(&after) == shown(live) {
                        results.push(value(live));
                        continue;
                    }
                    edit.actions.push(
                        ExecSpec {
                            stdin: Some(text()),
                            env: self.kubectl.task.environment.clone(),
                            ..ExecSpec::argv(self.kubectl.argv(&refs(&words)))
                        }
                        .into_action(),
                    );
                    edit.diff.push(kit::diff(&label, show(&shown(live)), show(&shown(&after))));
                    edit.effect(query, answer(&after));
                    results.push(value(&after));
                }
            }
            if self.wait && !edit.is_empty() && self.state != "absent" {
                let kind = object["kind"].as_str().unwrap_or_default();
                if matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet") {
                    let mut words = vec!["rollout".to_owned()];
                    words.extend(self.words(object, "status"));
                    words.push(format!("--timeout={}s", self.timeout));
                    edit.actions.push(self.kubectl.task.exec(self.kubectl.argv(&refs(&words))));
                }
            }
        }
        let result = match results.as_slice() {
            [one] => one.clone(),
            _ => kit::map([("results".to_owned(), Value::from(results))]),
        };
        Ok(edit.verdict(TaskResult::unchanged().with("result", result)))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        conclude(change, done)
    }

    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        let mut inverse = super::Inverse::default();
        for object in &self.objects {
            let get = self.get_words(object);
            let Ok(live) = self.kubectl.get(view, &refs(&get)) else { continue };
            match (self.state.as_str(), live) {
                ("absent", Some(_)) => inverse.because = Some("objects that were deleted are not kept".to_owned()),
                ("absent" | "patched", None) => {}
                (_, Some(live)) if holds(object, &live) => {}
                (_, Some(_)) => {
                    inverse.because = Some("what an object of the cluster was before is not kept".to_owned());
                }
                (_, None) => {
                    // With these goes what others put there.
                    let kind = object["kind"].as_str().unwrap_or_default();
                    if matches!(
                        kind,
                        "Namespace" | "CustomResourceDefinition" | "PersistentVolumeClaim" | "PersistentVolume"
                    ) {
                        inverse.because = Some(format!("a {kind} may hold what others made"));
                        continue;
                    }
                    let mut words = self.words(object, "delete");
                    words.push("--ignore-not-found".to_owned());
                    match self.kubectl.back(&refs(&words)) {
                        Ok(argv) => inverse.commands.push((refs(&get[1..3]).join(" "), argv)),
                        Err(why) => inverse.because = Some(why.to_owned()),
                    }
                }
            }
        }
        inverse
    }
}
