//! `helm`: releases of Helm. The manual is doc/helm.md.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::common::kubectl::{answer, conclude, to_json, value};
use super::common::tools::query;
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "helm",
    qualified: &["kubernetes.core.helm"],
    doc: include_str!("doc/helm.md"),
    args: &[
        ArgSpec::new("release_name", Kind::Str, "The release").required().aliases(&["name"]),
        ArgSpec::new("release_namespace", Kind::Str, "Its namespace").required().aliases(&["namespace"]),
        ArgSpec::new("release_state", Kind::Str, "Whether it is there")
            .aliases(&["state"])
            .default("present")
            .choices(&["absent", "present"]),
        ArgSpec::new("chart_ref", Kind::Path, "The chart: `repo/name`, a path, a URL; needed for `present`"),
        ArgSpec::new("chart_version", Kind::Str, "Its version"),
        ArgSpec::new("chart_repo_url", Kind::Str, "URL of its repository, without `helm repo add`"),
        ArgSpec::new("release_values", Kind::Dict, "Values").aliases(&["values"]),
        ArgSpec::new("values_files", Kind::List, "Files with values, on the machine the task runs on"),
        ArgSpec::new(
            "set_values",
            Kind::List,
            "Mappings of `value` (`key=value`) and `value_type` (`raw`, `string`, `json`, `file`)",
        ),
        ArgSpec::new("create_namespace", Kind::Bool, "Make the namespace if it is missing").default("false"),
        ArgSpec::new("wait", Kind::Bool, "Wait until all is ready").default("false"),
        ArgSpec::new("wait_timeout", Kind::Str, "How long, in seconds or as `5m`; `timeout` is its newer name"),
        ArgSpec::new("timeout", Kind::Str, "How long Helm waits for Kubernetes"),
        ArgSpec::new("atomic", Kind::Bool, "Go back to the release before if it fails").default("false"),
        ArgSpec::new("force", Kind::Bool, "Replace objects that cannot be changed").default("false"),
        ArgSpec::new("replace", Kind::Bool, "Take the name of a deleted release").default("false"),
        ArgSpec::new("purge", Kind::Bool, "Keep no history of a removed release").default("true"),
        ArgSpec::new("history_max", Kind::Int, "Most revisions to keep"),
        ArgSpec::new("disable_hook", Kind::Bool, "Run no hooks").default("false"),
        ArgSpec::new("skip_crds", Kind::Bool, "Install no resource definitions").default("false"),
        ArgSpec::new("skip_schema_validation", Kind::Bool, "Do not check values by the chart's schema")
            .default("false"),
        ArgSpec::new("take_ownership", Kind::Bool, "Take over objects of others").default("false"),
        ArgSpec::new("dependency_update", Kind::Bool, "Fetch the chart's dependencies first")
            .aliases(&["dep_up"])
            .default("false"),
        ArgSpec::new("update_repo_cache", Kind::Bool, "`helm repo update` first").default("false"),
        ArgSpec::new("reset_values", Kind::Bool, "Start from the chart's values").default("true"),
        ArgSpec::new("reuse_values", Kind::Bool, "Start from the release's values"),
        ArgSpec::new("reset_then_reuse_values", Kind::Bool, "The chart's values, with the release's over them")
            .default("false"),
        ArgSpec::new("post_renderer", Kind::Str, "A program all manifests go through"),
        ArgSpec::new("plain_http", Kind::Bool, "Fetch the chart without TLS").default("false"),
        ArgSpec::new("insecure_skip_tls_verify", Kind::Bool, "Do not check the repository's certificate")
            .aliases(&["skip_tls_certs_check"])
            .default("false"),
        ArgSpec::new("binary_path", Kind::Path, "The helm to run"),
        ArgSpec::new("kubeconfig", Kind::Raw, "The configuration file").aliases(&["kubeconfig_path"]),
        ArgSpec::new("context", Kind::Str, "Context of that file").aliases(&["kube_context"]),
        ArgSpec::new("host", Kind::Str, "URL of the API server"),
        ArgSpec::new("api_key", Kind::Str, "A token; it stands on helm's command line"),
        ArgSpec::new("ca_cert", Kind::Path, "The API server's certificate authority").aliases(&["ssl_ca_cert"]),
        ArgSpec::new("validate_certs", Kind::Bool, "Check the API server's certificate")
            .aliases(&["verify_ssl"])
            .default("true"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Helm {
    program: Vec<String>,
    name: String,
    namespace: String,
    present: bool,
    chart: String,
    /// `--version`, `--repo` and what else says which chart.
    which: Vec<String>,
    options: Vec<String>,
    uninstall: Vec<String>,
    values: Json,
    files: Vec<String>,
    sets: Vec<(String, String)>,
    reuse: bool,
    update_repos: bool,
    update_dependencies: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let present = args.need("release_state")? == "present";
    let chart = args.str("chart_ref")?;
    if present && chart.is_none() {
        return Err(Problem::new("missing-argument", "`helm` needs `chart_ref` with `release_state: present`")
            .at(args.task_span())
            .into());
    }
    let mut program = vec![args.str("binary_path")?.map_or_else(|| "helm".to_owned(), |p| task.path(&p))];
    if let Some(config) = args.raw("kubeconfig") {
        program.push(format!("--kubeconfig={}", super::common::kubectl::config_file(&args, config, &task)?));
    }
    for (name, option) in [
        ("context", "--kube-context"),
        ("host", "--kube-apiserver"),
        ("api_key", "--kube-token"),
        ("ca_cert", "--kube-ca-file"),
    ] {
        program.extend(args.str(name)?.map(|v| format!("{option}={v}")));
    }
    if args.bool("validate_certs")? == Some(false) {
        program.push("--kube-insecure-skip-tls-verify".to_owned());
    }
    let mut which = vec![];
    for (name, option) in [("chart_version", "--version"), ("chart_repo_url", "--repo")] {
        which.extend(args.str(name)?.map(|v| format!("{option}={v}")));
    }
    for (name, option) in [("plain_http", "--plain-http"), ("insecure_skip_tls_verify", "--insecure-skip-tls-verify")] {
        which.extend(args.flag(name)?.then(|| option.to_owned()));
    }
    let mut options = vec![];
    let mut uninstall = vec![];
    let seconds = |text: String| if text.bytes().all(|b| b.is_ascii_digit()) { format!("{text}s") } else { text };
    let timeout = match args.str("timeout")? {
        Some(timeout) => Some(timeout),
        None => args.str("wait_timeout")?,
    };
    for list in [&mut options, &mut uninstall] {
        list.extend(args.flag("wait")?.then(|| "--wait".to_owned()));
        list.extend(timeout.clone().map(|t| format!("--timeout={}", seconds(t))));
        list.extend(args.flag("disable_hook")?.then(|| "--no-hooks".to_owned()));
    }
    uninstall.extend((!args.bool("purge")?.unwrap_or(true)).then(|| "--keep-history".to_owned()));
    for (name, option) in [
        ("atomic", "--atomic"),
        ("force", "--force"),
        ("create_namespace", "--create-namespace"),
        ("skip_crds", "--skip-crds"),
        ("skip_schema_validation", "--skip-schema-validation"),
        ("take_ownership", "--take-ownership"),
    ] {
        options.extend(args.flag(name)?.then(|| option.to_owned()));
    }
    options.extend(args.int("history_max")?.map(|n| format!("--history-max={n}")));
    options.extend(args.str("post_renderer")?.map(|p| format!("--post-renderer={p}")));
    let reuse = args.bool("reuse_values")?.unwrap_or(false);
    let reset_then_reuse = args.flag("reset_then_reuse_values")?;
    options.push(if reset_then_reuse {
        "--reset-then-reuse-values".to_owned()
    } else if reuse {
        "--reuse-values".to_owned()
    } else {
        "--reset-values".to_owned()
    });
    let mut sets = vec![];
    for item in args.items("set_values")? {
        let field = |name: &str| item.get_attr(name).ok().filter(|v| !v.is_undefined()).map(|v| super::text_of(&v));
        let Some(text) = field("value") else {
            return Err(args.wrong("set_values", "a list of mappings with `value`", &item).into());
        };
        let option = match field("value_type").as_deref().unwrap_or("raw") {
            "string" => "--set-string",
            "json" => "--set-json",
            "file" => "--set-file",
            _ => "--set",
        };
        sets.push((option.to_owned(), text));
    }
    let values = match args.raw("release_values") {
        None => json!({}),
        Some(given) => {
            to_json(given).map_err(|e| Problem::new("invalid-argument", e).at(args.span("release_values")))?
        }
    };
    Ok(Arc::new(Helm {
        program,
        name: args.need("release_name")?,
        namespace: args.need("release_namespace")?,
        present,
        chart: chart.unwrap_or_default(),
        which,
        options,
        uninstall,
        values,
        files: args.list("values_files")?.iter().map(|p| task.path(p)).collect(),
        sets,
        reuse: reuse || reset_then_reuse,
        update_repos: args.flag("update_repo_cache")?,
        update_dependencies: args.flag("dependency_update")?,
        task,
    }))
}

/// One mapping laid over another, mappings within too.
fn laid_over(base: &mut Json, over: &Json) {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) => {
            for (key, value) in over {
                laid_over(base.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// `a.b=1` into a mapping, as far as Helm's notation is that simple; `None`: it is not.
fn set(values: &mut Json, option: &str, text: &str) -> Option<()> {
    if option == "--set-file" || text.contains(['[', '{', '\\', ',']) {
        return None;
    }
    let (path, value) = text.split_once('=')?;
    let value = match option {
        "--set-string" => Json::from(value),
        "--set-json" => serde_json::from_str(value).ok()?,
        _ => match value {
            "true" => true.into(),
            "false" => false.into(),
            "null" => Json::Null,
            number => number.parse::<i64>().map_or_else(|_| Json::from(number), Json::from),
        },
    };
    let mut over = value;
    for key in path.rsplit('.') {
        over = Json::Object(Map::from_iter([(key.to_owned(), over)]));
    }
    laid_over(values, &over);
    Some(())
}

impl Helm {
    fn argv(&self, words: &[&str]) -> Vec<String> {
        self.program.iter().cloned().chain(words.iter().map(|w| (*w).to_owned())).collect()
    }

    /// The values the release is to have; `None`: only Helm can tell.
    fn wanted(&self, view: &View) -> Result<Option<Json>, Stop> {
        let mut all = json!({});
        view.want(self.files.iter().map(|f| Query::Content { path: f.clone() }));
        for file in &self.files {
            let Some(bytes) = view.content(file)? else {
                return Err(Stop::Failed(format!("the file of values {file} is not there")));
            };
            let loaded = crate::yaml::parse_text(file, &kit::text(&bytes))?;
            for document in &loaded.documents {
                let json = to_json(&document.to_value()).map_err(Stop::Failed)?;
                laid_over(&mut all, &json);
            }
        }
        laid_over(&mut all, &self.values);
        for (option, text) in &self.sets {
            if set(&mut all, option, text).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    fn list(&self) -> Vec<String> {
        let namespace = format!("--namespace={}", self.namespace);
        let filter = format!("--filter=^{}$", self.name);
        self.argv(&["list", &namespace, &filter, "--all", "--output=json"])
    }

    /// The release, whatever its status.
    fn release(&self, view: &View) -> Result<Option<Json>, Stop> {
        let releases = self.json(view, &self.list())?;
        Ok(releases.as_array().and_then(|l| l.iter().find(|r| r["name"] == self.name.as_str())).cloned())
    }

    fn json(&self, view: &View, argv: &[String]) -> Result<Json, Stop> {
        let output = view.read(argv.to_vec())?;
        match output.rc {
            0 => Ok(serde_json::from_slice(&output.stdout).unwrap_or(Json::Null)),
            127 => Err(Stop::Failed("helm is not there on the machine the task runs on".to_owned())),
            _ => Err(Stop::Failed(format!("Failure when executing Helm command: {}", output.error_text().trim()))),
        }
    }
}

impl Resource for Helm {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let namespace = format!("--namespace={}", self.namespace);
        let list = self.list();
        let get = self.argv(&["get", "values", &self.name, &namespace, "--output=json"]);
        world.want([query(&list)]);
        let release = self.release(world)?;
        let state = release.as_ref().map(|r| r["status"].as_str().unwrap_or_default().to_owned());
        let there = state.as_deref().is_some_and(|s| s != "uninstalled");
        let mut edit = Edit::default();
        let result = |command: &[String], status: &Json| {
            TaskResult::unchanged()
                .with("command", command.join(" "))
                .with("status", value(status))
                .with("stdout", "")
                .with("stderr", "")
        };
        let status = release.clone().unwrap_or(Json::Null);
        if !self.present {
            if !there {
                return Ok(Verdict::Unchanged(result(&[], &json!({}))));
            }
            let mut argv = self.argv(&["uninstall", &self.name, &namespace]);
            argv.extend(self.uninstall.iter().cloned());
            edit.actions.push(self.task.exec(argv.iter().cloned()));
            edit.removed = true;
            edit.diff.push(kit::diff(
                &format!("release {}", self.name),
                format!("{}\n", status["chart"].as_str().unwrap_or_default()),
                "",
            ));
            edit.effect(query(&list), answer(&json!([])));
            return Ok(edit.verdict(result(&argv, &json!({}))));
        }
        let mut show_words = vec!["show", "chart", self.chart.as_str()];
        show_words.extend(self.which.iter().map(String::as_str));
        let show = self.argv(&show_words);
        world.want([query(&show)]);
        if there {
            world.want([query(&get)]);
        }
        let wanted = self.wanted(world)?;
        let output = world.read(show.clone())?;
        // Repositories that are only updated by this task may not know the chart yet.
        if output.rc != 0 && !self.update_repos && !self.update_dependencies {
            return Ok(kit::failed(format!("Failure when executing Helm command: {}", output.error_text().trim())));
        }
        let chart = crate::yaml::parse_text("Chart.yaml", &output.text())
            .ok()
            .and_then(|l| l.documents.first().and_then(|d| to_json(&d.to_value()).ok()))
            .unwrap_or(Json::Null);
        let named =
            format!("{}-{}", chart["name"].as_str().unwrap_or_default(), chart["version"].as_str().unwrap_or_default());
        let old = if there { self.json(world, &get)? } else { Json::Null };
        let old_values = if old.is_null() { json!({}) } else { old.clone() };
        let mut target = wanted.clone();
        if self.reuse
            && let Some(values) = &mut target
        {
            let mut base = old_values.clone();
            laid_over(&mut base, values);
            *values = base;
        }
        let same = there
            && state.as_deref() == Some("deployed")
            && output.rc == 0
            && status["chart"] == named.as_str()
            && target.as_ref() == Some(&old_values);
        if same {
            return Ok(Verdict::Unchanged(result(&[], &status)));
        }
        if self.update_repos {
            edit.actions.push(self.task.exec(self.argv(&["repo", "update"])));
        }
        if self.update_dependencies {
            edit.actions.push(self.task.exec(self.argv(&["dependency", "update", &self.chart])));
        }
        let mut argv = self.argv(&["upgrade", "--install", &self.name, &self.chart, &namespace]);
        argv.extend(self.which.iter().chain(&self.options).cloned());
        argv.extend(self.files.iter().map(|f| format!("--values={f}")));
        // Values may be secrets: they travel on standard input.
        argv.push("--values=-".to_owned());
        argv.extend(self.sets.iter().flat_map(|(option, text)| [option.clone(), text.clone()]));
        edit.actions.push(
            ExecSpec {
                stdin: Some(self.values.to_string().into_bytes()),
                env: self.task.environment.clone(),
                ..ExecSpec::argv(argv.clone())
            }
            .into_action(),
        );
        edit.created = !there;
        let text = |chart: &str, values: &Json| {
            format!("chart: {chart}\nvalues:\n{}", crate::yaml::emit(&value(values), &crate::yaml::EmitOptions::nice()))
        };
        let before =
            if there { text(status["chart"].as_str().unwrap_or_default(), &old_values) } else { String::new() };
        let after_values = target.clone().unwrap_or_else(|| self.values.clone());
        edit.diff.push(kit::diff(&format!("release {}", self.name), before, text(&named, &after_values)));
        let after = json!({"name": self.name, "namespace": self.namespace, "chart": named, "status": "deployed"});
        edit.effect(query(&list), answer(&json!([after])));
        match target {
            Some(values) => edit.effect(query(&get), answer(&values)),
            None => {
                edit.effect(query(&get), Answer::Output(Output { rc: 0, stdout: b"null".to_vec(), stderr: vec![] }))
            }
        }
        let mut verdict = edit.verdict(result(&argv, &after));
        if let Verdict::Change(change) = &mut verdict {
            // A chart makes whatever it makes.
            change.opaque = true;
        }
        Ok(verdict)
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let result = conclude(change, done)?;
        Ok(match done.last() {
            Some(last) => {
                result.with("stdout", kit::output_of(last).text()).with("stderr", kit::output_of(last).error_text())
            }
            None => result,
        })
    }

    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        if self.program.iter().any(|word| word.starts_with("--kube-token=") || word.starts_with("--kubeconfig=/proc/"))
        {
            return super::Inverse::impossible("the access it was made with is not kept");
        }
        let Ok(release) = self.release(view) else { return super::Inverse::default() };
        let label = format!("release {}", self.name);
        let namespace = format!("--namespace={}", self.namespace);
        let revision = release.as_ref().map(|r| super::text_of(&value(&r["revision"])));
        let words = match (self.present, &revision) {
            (true, None) => vec!["uninstall", self.name.as_str(), &namespace],
            (true, Some(revision)) => vec!["rollback", self.name.as_str(), revision, &namespace],
            (false, _) => return super::Inverse::impossible("a release that was uninstalled has lost its history"),
        };
        let config = self.task.environment.iter().find(|(name, _)| name == "KUBECONFIG");
        let env = config.into_iter().flat_map(|(name, value)| ["env".to_owned(), format!("{name}={value}")]);
        super::Inverse::command(label, env.chain(self.argv(&words)))
    }
}
