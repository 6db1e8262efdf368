//! `k8s`, `k8s_info`, `k8s_drain` and `k8s_taint`: objects of a cluster, through kubectl on the machine the task runs on.
//!
//! What is there is one `kubectl get`; manifests travel on standard input, never on a command line.

use std::sync::Arc;

use minijinja::Value;
use serde_json::Value as Json;

use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::{Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

const KUBECONFIG: ArgSpec = ArgSpec::new("kubeconfig", Kind::Path, "kubectl's configuration file");
const CONTEXT: ArgSpec = ArgSpec::new("context", Kind::Str, "Context of that file");

/// `k8s_drain`.
pub static DRAIN: ResourceType = ResourceType {
    name: "k8s_drain",
    qualified: &["kubernetes.core.k8s_drain"],
    doc: include_str!("doc/k8s_drain.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The cluster's name of the worker").required(),
        ArgSpec::new("state", Kind::Str, "What to make of it")
            .default("drain")
            .choices(&["cordon", "drain", "uncordon"]),
        ArgSpec::new("pod_selectors", Kind::List, "Only pods with these labels"),
        ArgSpec::new(
            "delete_options",
            Kind::Dict,
            "`ignore_daemonsets`, `delete_emptydir_data`, `force`, `disable_eviction`, `terminate_grace_period`, `wait_timeout`",
        ),
        KUBECONFIG,
        CONTEXT,
    ],
    free_form: None,
    build: build_drain,
};

/// `k8s_taint`.
pub static TAINT: ResourceType = ResourceType {
    name: "k8s_taint",
    qualified: &["kubernetes.core.k8s_taint"],
    doc: include_str!("doc/k8s_taint.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The cluster's name of the worker").required(),
        ArgSpec::new("taints", Kind::List, "Mappings of `key`, `value` and `effect`").required(),
        ArgSpec::new("state", Kind::Str, "Whether they are there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("replace", Kind::Bool, "Remove all other taints").default("false"),
        KUBECONFIG,
        CONTEXT,
    ],
    free_form: None,
    build: build_taint,
};

/// `k8s_info`.
pub static INFO: ResourceType = ResourceType {
    name: "k8s_info",
    qualified: &["kubernetes.core.k8s_info"],
    doc: include_str!("doc/k8s_info.md"),
    args: &[
        ArgSpec::new("kind", Kind::Str, "Kind of the objects").required(),
        ArgSpec::new("api_version", Kind::Str, "Their API version").aliases(&["api", "version"]).default("v1"),
        ArgSpec::new("name", Kind::Str, "One object"),
        ArgSpec::new("namespace", Kind::Str, "Its namespace; none: all"),
        ArgSpec::new("label_selectors", Kind::List, "Labels to select by"),
        ArgSpec::new("field_selectors", Kind::List, "Fields to select by"),
        KUBECONFIG,
        CONTEXT,
    ],
    free_form: None,
    build: build_info,
};

/// `k8s`.
pub static OBJECT: ResourceType = ResourceType {
    name: "k8s",
    qualified: &["kubernetes.core.k8s"],
    doc: include_str!("doc/k8s.md"),
    args: &[
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
        KUBECONFIG,
        CONTEXT,
    ],
    free_form: None,
    build: build_object,
};

/// How kubectl is called.
struct Kubectl {
    options: Vec<String>,
    task: Task,
}

impl Kubectl {
    fn of(args: &Args, setting: &Setting) -> Result<Self, Problem> {
        let task = Task::of(setting);
        let mut options = vec![];
        if let Some(file) = args.str("kubeconfig")? {
            options.push(format!("--kubeconfig={}", task.path(&file)));
        }
        if let Some(context) = args.str("context")? {
            options.push(format!("--context={context}"));
        }
        Ok(Self { options, task })
    }

    fn argv(&self, words: &[&str]) -> Vec<String> {
        let mut argv = vec!["kubectl".to_owned()];
        argv.extend(self.options.iter().cloned());
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        argv
    }

    /// An object or list as JSON; `None`: there is none.
    fn get(&self, world: &View, words: &[&str]) -> Result<Option<Json>, Stop> {
        let output = world.read(self.argv(words))?;
        let error = output.error_text();
        match output.rc {
            0 if output.stdout.is_empty() => Ok(None),
            0 => serde_json::from_slice(&output.stdout)
                .map(Some)
                .map_err(|e| Stop::Failed(format!("kubectl's answer is no JSON: {e}"))),
            127 => Err(Stop::Failed("kubectl is not there on the machine the task runs on".to_owned())),
            _ if error.contains("NotFound") || error.contains("not found") => Ok(None),
            _ => Err(Stop::Failed(format!("kubectl failed: {}", error.trim()))),
        }
    }

    fn query(&self, words: &[&str]) -> Query {
        Query::Read { argv: self.argv(words) }
    }
}

fn answer(json: &Json) -> Answer {
    Answer::Output(Output { rc: 0, stdout: json.to_string().into_bytes(), stderr: vec![] })
}

/// JSON as a template's value.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::from(n.as_f64().unwrap_or_default()), Value::from),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(map) => kit::map(map.iter().map(|(k, v)| (k.clone(), value(v)))),
    }
}

fn conclude(change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
    match kit::failure(done) {
        None => Ok(change.result.clone()),
        Some((message, output)) => {
            let said = output.error_text();
            let said = if said.trim().is_empty() { message.to_owned() } else { said.trim_end().to_owned() };
            Err(TaskResult { changed: done.len() > 1, ..change.result.clone() }
                .with("msg", said)
                .with("stdout", output.text()))
        }
    }
}

struct Drain {
    kubectl: Kubectl,
    name: String,
    state: String,
    options: Vec<String>,
    selectors: Vec<String>,
}

fn build_drain(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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
            world.want([self.kubectl.query(&list)]);
        }
        let Some(mut node) = self.kubectl.get(world, &get)? else {
            return Ok(kit::failed(format!("Node {} not found.", self.name)));
        };
        let closed = node["spec"]["unschedulable"].as_bool() == Some(true);
        let mut edit = Edit::default();
        let mut lines: Vec<(&str, String, String)> = vec![];
        let show = |closed: bool| if closed { "cordoned" } else { "schedulable" }.to_owned();
        let wanted = self.state != "uncordon";
        let pods = match self.state.as_str() {
            "drain" => evictable(&self.kubectl.get(world, &list)?.unwrap_or_default()),
            _ => vec![],
        };
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
}

struct Taint {
    kubectl: Kubectl,
    name: String,
    /// Key, value, effect.
    taints: Vec<(String, String, String)>,
    present: bool,
    replace: bool,
}

fn build_taint(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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
}

/// `Deployment` of `apps/v1` as kubectl names it: `Deployment.v1.apps`.
fn typed(kind: &str, api: &str) -> String {
    match api.split_once('/') {
        Some((group, version)) => format!("{kind}.{version}.{group}"),
        None => kind.to_owned(),
    }
}

struct Info {
    kubectl: Kubectl,
    words: Vec<String>,
}

fn build_info(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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

struct Objects {
    kubectl: Kubectl,
    objects: Vec<Json>,
    state: String,
    namespace: Option<String>,
    apply: bool,
    wait: bool,
    timeout: i64,
}

fn build_object(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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

fn to_json(value: &Value) -> Result<Json, String> {
    use minijinja::value::ValueKind;
    Ok(match value.kind() {
        ValueKind::None | ValueKind::Undefined => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::String => Json::String(text_of(value)),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(n) if !value.to_string().contains('.') => Json::from(n),
            _ => Json::from(f64::try_from(value.clone()).map_err(|e| e.to_string())?),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|e| e.to_string())?;
            Json::Array(items.map(|item| to_json(&item)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter().map_err(|e| e.to_string())? {
                map.insert(text_of(&key), to_json(&value.get_item(&key).unwrap_or_default())?);
            }
            Json::Object(map)
        }
        kind => return Err(format!("{kind} cannot stand in an object")),
    })
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

impl Objects {
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
        fn refs(words: &[String]) -> Vec<&str> {
            words.iter().map(String::as_str).collect()
        }
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
                    edit.diff.push(kit::diff(&label, show(live), ""));
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
                    edit.diff.push(kit::diff(&label, "", show(object)));
                    edit.effect(query, answer(object));
                    results.push(value(object));
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
                    edit.actions.push(
                        ExecSpec {
                            stdin: Some(text()),
                            env: self.kubectl.task.environment.clone(),
                            ..ExecSpec::argv(self.kubectl.argv(&refs(&words)))
                        }
                        .into_action(),
                    );
                    let after = merged(object, live);
                    edit.diff.push(kit::diff(&label, show(live), show(&after)));
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
}
