//! What the Kubernetes resources share: kubectl on the machine the task runs on.
//!
//! What is there is one `kubectl get`; manifests travel on standard input, never on a command line.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use minijinja::Value;
use serde_json::Value as Json;

use crate::node::Done;
use crate::problem::Problem;
use crate::resources::kit::{self, Task};
use crate::resources::{ArgSpec, Args, Change, Kind, Setting, TaskResult};
use crate::world::{Answer, Output, Query, Stop, View};

/// How the cluster is reached: the arguments all Kubernetes resources share.
pub const CONNECTION: &[ArgSpec] = &[
    ArgSpec::new("kubeconfig", Kind::Raw, "kubectl's configuration file, or what would be in it"),
    ArgSpec::new("context", Kind::Str, "Context of that file"),
    ArgSpec::new("host", Kind::Str, "URL of the API server"),
    ArgSpec::new("api_key", Kind::Str, "A token; it stands on kubectl's command line, unlike one in `kubeconfig`"),
    ArgSpec::new("username", Kind::Str, "A user of basic authentication"),
    ArgSpec::new("password", Kind::Str, "That user's password; it stands on kubectl's command line"),
    ArgSpec::new("ca_cert", Kind::Path, "The API server's certificate authority").aliases(&["ssl_ca_cert"]),
    ArgSpec::new("client_cert", Kind::Path, "The client's certificate").aliases(&["cert_file"]),
    ArgSpec::new("client_key", Kind::Path, "The client's key").aliases(&["key_file"]),
    ArgSpec::new("validate_certs", Kind::Bool, "Check the API server's certificate").aliases(&["verify_ssl"]),
    ArgSpec::new("impersonate_user", Kind::Str, "Act as this user"),
    ArgSpec::new("impersonate_groups", Kind::List, "Act as one of these groups"),
    ArgSpec::new("proxy", Kind::Str, "URL of a proxy"),
    ArgSpec::new("no_proxy", Kind::Str, "Hosts that are reached without it"),
    ArgSpec::new("proxy_headers", Kind::Dict, "not supported yet"),
    ArgSpec::new("persist_config", Kind::Bool, "Accepted, without effect"),
];

/// The path of `kubeconfig`. A mapping becomes a file in memory that only this process's user can open, on the control machine: it is
/// there as long as kdeploy runs, and tasks of clusters run there.
pub fn config_file(args: &Args, config: &Value, task: &Task) -> Result<String, Problem> {
    use std::io::Write;
    static FILES: LazyLock<Mutex<HashMap<String, std::fs::File>>> = LazyLock::new(Mutex::default);
    if let Some(file) = config.as_str() {
        return Ok(task.path(file));
    }
    if config.kind() != minijinja::value::ValueKind::Map {
        return Err(args.wrong("kubeconfig", "a path or a mapping", config));
    }
    let text = crate::resources::copy::python_json(config);
    let unwritable = |e: std::io::Error| {
        Problem::new("unwritable-file", format!("cannot keep `kubeconfig`: {e}")).at(args.span("kubeconfig"))
    };
    let mut files = FILES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !files.contains_key(&text) {
        let memory = rustix::fs::memfd_create("kubeconfig", rustix::fs::MemfdFlags::CLOEXEC);
        let mut file = std::fs::File::from(memory.map_err(|e| unwritable(e.into()))?);
        file.write_all(text.as_bytes()).map_err(unwritable)?;
        files.insert(text.clone(), file);
    }
    let number = files.get(&text).map_or(-1, std::os::fd::AsRawFd::as_raw_fd);
    Ok(format!("/proc/{}/fd/{number}", std::process::id()))
}

/// How kubectl is called.
pub struct Kubectl {
    /// `kubectl`, with the variables it needs before it.
    program: Vec<String>,
    pub options: Vec<String>,
    pub task: Task,
}

impl Kubectl {
    pub fn of(args: &Args, setting: &Setting) -> Result<Self, Problem> {
        let task = Task::of(setting);
        let mut options = vec![];
        if let Some(config) = args.raw("kubeconfig") {
            options.push(format!("--kubeconfig={}", config_file(args, config, &task)?));
        }
        if args.raw("proxy_headers").is_some() {
            return Err(
                Problem::unsupported("`proxy_headers`, which kubectl cannot send,").at(args.span("proxy_headers"))
            );
        }
        for (name, option) in [
            ("context", "--context"),
            ("host", "--server"),
            ("api_key", "--token"),
            ("username", "--username"),
            ("password", "--password"),
            ("impersonate_user", "--as"),
        ] {
            options.extend(args.str(name)?.map(|v| format!("{option}={v}")));
        }
        for (name, option) in [
            ("ca_cert", "--certificate-authority"),
            ("client_cert", "--client-certificate"),
            ("client_key", "--client-key"),
        ] {
            options.extend(args.str(name)?.map(|v| format!("{option}={}", task.path(&v))));
        }
        options.extend(args.list("impersonate_groups")?.iter().map(|g| format!("--as-group={g}")));
        if args.bool("validate_certs")? == Some(false) {
            options.push("--insecure-skip-tls-verify=true".to_owned());
        }
        let mut program = vec![];
        for (name, variable) in [("proxy", "HTTPS_PROXY"), ("no_proxy", "NO_PROXY")] {
            program.extend(args.str(name)?.map(|v| format!("{variable}={v}")));
        }
        if !program.is_empty() {
            program.insert(0, "env".to_owned());
        }
        program.push("kubectl".to_owned());
        Ok(Self { program, options, task })
    }

    pub fn argv(&self, words: &[&str]) -> Vec<String> {
        let mut argv = self.program.clone();
        argv.extend(self.options.iter().cloned());
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        argv
    }

    /// The words as a command that takes something back in a later run: `Err` says why there can be none.
    pub fn back(&self, words: &[&str]) -> Result<Vec<String>, &'static str> {
        let secret = ["--token=", "--password=", "--kubeconfig=/proc/"];
        if self.options.iter().any(|option| secret.iter().any(|start| option.starts_with(start))) {
            return Err("the access it was made with is not kept");
        }
        let config = self.task.environment.iter().find(|(name, _)| name == "KUBECONFIG");
        let env = config.map(|(name, value)| ["env".to_owned(), format!("{name}={value}")]);
        Ok(env.into_iter().flatten().chain(self.argv(words)).collect())
    }

    /// An object or list as JSON; `None`: there is none.
    pub fn get(&self, world: &View, words: &[&str]) -> Result<Option<Json>, Stop> {
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

    /// What the server would make of a text sent with these words; nothing is stored.
    pub fn dry_run(&self, world: &View, words: &[&str], body: &str) -> Result<Dry, Stop> {
        // Arguments of programs can be read by others: a secret's content is not asked about.
        if body.contains("\"kind\":\"Secret\"") {
            return Ok(Dry::Impossible);
        }
        // A question has no input: the text goes as an argument to a shell that pipes it.
        let mut argv: Vec<String> =
            ["sh", "-c", "body=$1; shift; printf %s \"$body\" | \"$@\"", "kubectl", body].map(str::to_owned).to_vec();
        argv.extend(self.argv(words));
        argv.extend(["--dry-run=server", "-o", "json"].map(str::to_owned));
        let output = world.read(argv)?;
        let error = output.error_text();
        if output.rc == 0 {
            return Ok(serde_json::from_slice(&output.stdout).map_or(Dry::Impossible, Dry::Object));
        }
        let refused = ["is invalid", "(Invalid)", "Forbidden", "admission webhook", "(BadRequest)", "strict decoding"];
        // A webhook that cannot be asked without effects refuses every dry run.
        let is_refusal = refused.iter().any(|word| error.contains(word)) && !error.contains("does not support dry run");
        Ok(if is_refusal { Dry::Refused(error.trim().to_owned()) } else { Dry::Impossible })
    }

    pub fn query(&self, words: &[&str]) -> Query {
        Query::Read { argv: self.argv(words) }
    }
}

/// What came of asking the server for a dry run.
pub enum Dry {
    /// The object as it would be stored.
    Object(Json),
    /// The server does not take it, and why.
    Refused(String),
    /// It cannot be told: a namespace or kind that is not there yet, a server that has no dry runs.
    Impossible,
}

/// An object without what the server counts and notes for itself.
pub fn plain(object: &Json) -> Json {
    let mut plain = object.clone();
    if let Some(metadata) = plain.get_mut("metadata").and_then(Json::as_object_mut) {
        for key in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"] {
            metadata.remove(key);
        }
        if let Some(notes) = metadata.get_mut("annotations").and_then(Json::as_object_mut) {
            notes.remove("kubectl.kubernetes.io/last-applied-configuration");
            if notes.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    plain
}

/// An object as it was asked for: besides, without what a cluster fills in while the object lives there.
pub fn definition(object: &Json) -> Json {
    let mut own = plain(object);
    if let Some(map) = own.as_object_mut() {
        map.remove("status");
    }
    if own["kind"] == "Pod"
        && let Some(spec) = own.get_mut("spec").and_then(Json::as_object_mut)
    {
        spec.remove("nodeName");
        // The token of its service account: a volume with a name of its own for each pod.
        let mut tokens: Vec<String> = vec![];
        for containers in ["containers", "initContainers"] {
            for container in spec.get_mut(containers).and_then(Json::as_array_mut).into_iter().flatten() {
                let Some(mounts) = container.get_mut("volumeMounts").and_then(Json::as_array_mut) else { continue };
                mounts.retain(|mount| {
                    let is_token = mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount";
                    tokens.extend(mount["name"].as_str().filter(|_| is_token).map(str::to_owned));
                    !is_token
                });
            }
        }
        if let Some(volumes) = spec.get_mut("volumes").and_then(Json::as_array_mut) {
            volumes.retain(|volume| volume["name"].as_str().is_none_or(|name| !tokens.iter().any(|t| t == name)));
        }
    }
    own
}

pub fn answer(json: &Json) -> Answer {
    Answer::Output(Output { rc: 0, stdout: json.to_string().into_bytes(), stderr: vec![] })
}

/// JSON as a template's value.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::from(n.as_f64().unwrap_or_default()), Value::from),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(map) => kit::map(map.iter().map(|(k, v)| (k.clone(), value(v)))),
    }
}

/// A template's value as JSON.
pub fn to_json(value: &Value) -> Result<Json, String> {
    use minijinja::value::ValueKind;
    Ok(match value.kind() {
        ValueKind::None | ValueKind::Undefined => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::String => Json::String(crate::resources::text_of(value)),
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
                map.insert(crate::resources::text_of(&key), to_json(&value.get_item(&key).unwrap_or_default())?);
            }
            Json::Object(map)
        }
        kind => return Err(format!("{kind} cannot stand in an object")),
    })
}

pub fn conclude(change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
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

/// `Deployment` of `apps/v1` as kubectl names it: `Deployment.v1.apps`.
pub fn typed(kind: &str, api: &str) -> String {
    match api.split_once('/') {
        Some((group, version)) => format!("{kind}.{version}.{group}"),
        None => kind.to_owned(),
    }
}
