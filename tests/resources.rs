//! The file resources on a real directory: tests/resources/NAME.yml hold the cases.
//!
//! Every case is prepared by a shell text in a fresh directory, planned, applied by the local transport, and planned again. Checked are
//! the status, the registered result, that every predicted answer came true, and that nothing is left to do. Where ansible-core is
//! installed (`ansible-playbook` in the PATH, or the variable KDEPLOY_ORACLE), the same cases run there too, in directories of their own:
//! status, result and what is in the directory afterwards must be equal.

#[path = "resources/busybox.rs"]
mod busybox;
#[path = "resources/odd.rs"]
mod odd;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kdeploy::node::{Conversation, Done, Identity, Target, Transport};
use kdeploy::problem::Problem;
use kdeploy::resources::{Args, Resource, Setting, Verdict, registry};
use kdeploy::source::{SourceFile, Span};
use kdeploy::world::{Answer, Effect, FileKind, Query, Stop, View, World};
use minijinja::Value;
use serde_json::{Map, Value as Json, json};

/// One case, as written in YAML.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Shell text run in the directory before.
    #[serde(default)]
    setup: String,
    args: Json,
    /// `changed`, `ok`, `failed`, `skipped` or `invalid`.
    expect: String,
    /// Keys of the result and their values (`$DIR` is the directory).
    #[serde(default)]
    result: Map<String, Json>,
    /// Contents of files afterwards.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What a second run says, if not `ok`.
    #[serde(default)]
    again: Option<String>,
    /// Why Ansible is not asked, or where it differs.
    #[serde(default)]
    differs: Option<String>,
    /// Why it is something else on a node with only busybox.
    #[serde(default)]
    busybox: Option<String>,
}

type Cases = BTreeMap<String, Case>;

fn cases() -> Vec<(String, Cases)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources");
    let mut all = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let cases = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            all.push((path.file_stem().unwrap().to_string_lossy().into_owned(), cases));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    if let Ok(only) = std::env::var("ONLY") {
        all.retain(|(name, _)| *name == only);
    }
    all
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::from(n.as_f64().unwrap()), Value::from),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.clone(), value(v)))),
    }
}

fn to_json(value: &Value) -> Json {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => {
            i64::try_from(value.clone()).map_or_else(|_| json!(f64::try_from(value.clone()).unwrap()), |n| json!(n))
        }
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().unwrap().map(|v| to_json(&v)).collect(),
        ValueKind::Map => {
            value.try_iter().unwrap().map(|k| (k.to_string(), to_json(&value.get_item(&k).unwrap()))).collect()
        }
        _ => Json::String(value.to_string()),
    }
}

/// Serves the files of the whole machine's temporary directory; `$URL` is a case's directory there.
fn server() -> &'static str {
    use std::io::{BufRead, BufReader, Write};
    static ADDRESS: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                    let request = lines.next().unwrap_or_default();
                    for line in lines {
                        if line.is_empty() {
                            break;
                        }
                    }
                    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
                    let (status, body) = match std::fs::read(&path) {
                        Ok(body) => ("200 OK", body),
                        Err(_) => ("404 Not Found", vec![]),
                    };
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(&body);
                });
            }
        });
        address
    })
}

fn in_dir(json: &Json, dir: &str) -> Json {
    match json {
        Json::String(s) if s.contains("$URL") => {
            Json::String(s.replace("$URL", &format!("{}{dir}", server())).replace("$DIR", dir))
        }
        Json::String(s) => Json::String(s.replace("$DIR", dir)),
        Json::Array(items) => items.iter().map(|v| in_dir(v, dir)).collect(),
        Json::Object(map) => map.iter().map(|(k, v)| (k.clone(), in_dir(v, dir))).collect(),
        other => other.clone(),
    }
}

fn build(module: &str, args: &Json) -> Result<Arc<dyn Resource>, Stop> {
    let kind = registry::lookup(module).unwrap_or_else(|| panic!("no resource type {module}"));
    let span = Span::of_file(&SourceFile::new("case.yml", "x\n"));
    let given = args.as_object().unwrap().iter().map(|(k, v)| (k.clone(), value(v), span.clone()));
    let args = Args::check(kind.name, kind.args, given, &span)?;
    let find_file = |_: &str, name: &str| -> Result<PathBuf, Problem> {
        let path = PathBuf::from(name);
        if path.exists() { Ok(path) } else { Err(Problem::new("missing-file", format!("no file `{name}`"))) }
    };
    let root = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    (kind.build)(
        args,
        &Setting {
            delegated: false,
            homes: BTreeMap::new(),
            check_mode: false,
            diff: true,
            home: std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned()),
            user: root,
            environment: vec![],
            find_file: &find_file,
            render: &|request| Ok(request.text.replace("{{ 1 + 1 }}", "2")),
            facts: None,
            evaluate: &|name| Err(Problem::new("undefined-variable", name).into()),
            condition: &|v| Ok(v.is_true()),
            verbosity: 0,
            jobs: std::sync::Arc::default(),
            ask: None,
            program: None,
            decrypt: &|_| Err(Problem::unsupported("vaults here")),
            fetch: &|download| {
                let (path, _) = kdeploy::node::fetch(download)?;
                Ok(std::fs::read(path).unwrap())
            },
        },
    )
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    status: String,
    result: Map<String, Json>,
}

struct Node {
    conversation: Box<dyn Conversation>,
    /// What the last change's predictions say is left to do, if anything.
    left: Option<String>,
}

impl Node {
    fn new() -> Self {
        Self::with_shell(None)
    }

    fn with_shell(shell: Option<String>) -> Self {
        let target = Target { transport: Transport::Local, name: "here".to_owned(), shell, ..Target::default() };
        Self { conversation: kdeploy::node::connect(&target), left: None }
    }

    fn ask(&mut self, queries: &[Query]) -> Vec<Answer> {
        self.conversation.ask(&Identity::default(), queries).unwrap()
    }

    fn reconcile(&mut self, resource: &dyn Resource, world: &mut World, rounds: &mut usize) -> Result<Verdict, Stop> {
        loop {
            let view = View::new(world);
            match resource.reconcile(&view) {
                Err(Stop::Needs) => {
                    let queries: Vec<Query> = view.into_missing().0.into_iter().collect();
                    assert!(!queries.is_empty() && *rounds < 20, "asks without end");
                    *rounds += 1;
                    let answers = self.ask(&queries);
                    world.observe(queries.into_iter().zip(answers));
                }
                other => return other,
            }
        }
    }

    /// Plans and applies; checks the predictions.
    fn run(&mut self, module: &str, args: &Json) -> Ran {
        let ended = |status: &str, result: &kdeploy::resources::TaskResult| Ran {
            status: status.to_owned(),
            result: result.values.iter().map(|(k, v)| (k.clone(), to_json(v))).collect(),
        };
        let stopped = |stop: Stop| match stop {
            Stop::Failed(msg) => {
                Ran { status: "failed".to_owned(), result: json!({ "msg": msg }).as_object().unwrap().clone() }
            }
            Stop::Invalid(problem) => Ran {
                status: "invalid".to_owned(),
                result: json!({ "msg": problem.message }).as_object().unwrap().clone(),
            },
            other => panic!("{other:?}"),
        };
        let resource = match build(module, args) {
            Ok(resource) => resource,
            Err(stop) => return stopped(stop),
        };
        let mut world = World::default();
        let mut rounds = 0;
        match self.reconcile(&*resource, &mut world, &mut rounds) {
            Err(stop) => stopped(stop),
            Ok(Verdict::Unchanged(result)) => ended("ok", &result),
            Ok(Verdict::Skipped(result)) => ended("skipped", &result),
            Ok(Verdict::Failed(result)) => ended("failed", &result),
            Ok(Verdict::Change(change)) => {
                let done = self.conversation.act(&Identity::default(), &change.actions, &mut |_, _| {}).unwrap();
                let failed = done.iter().any(|d| matches!(d, Done::Failed { .. }));
                if !failed {
                    self.check(&change.effects);
                    world.predict(&change.effects);
                    if !change.opaque {
                        let again = self.reconcile(&*resource, &mut world, &mut rounds);
                        self.left =
                            (!matches!(again, Ok(Verdict::Unchanged(_) | Verdict::Skipped(_)))).then(|| match &again {
                                Ok(Verdict::Change(c)) => format!("{:?} {:?}", c.actions, c.diff),
                                other => format!("{other:?}"),
                            });
                    }
                }
                match resource.conclude(&change, &done) {
                    Ok(result) => ended(if change.result.changed { "changed" } else { "ok" }, &result),
                    Err(result) => ended("failed", &result),
                }
            }
        }
    }

    /// Every predicted answer came true.
    fn check(&mut self, effects: &[Effect]) {
        let last: BTreeMap<&Query, &Effect> = effects.iter().map(|e| (&e.query, e)).collect();
        for (query, effect) in last {
            let Ok(predicted) = &effect.answer else { continue };
            if matches!(query, Query::Source { .. }) {
                continue;
            }
            let real = self.ask(std::slice::from_ref(query)).remove(0);
            match (predicted, &real) {
                (Answer::Stat(Some(p)), Answer::Stat(Some(r))) => {
                    let size = |s: &kdeploy::world::Stat| {
                        if s.kind == FileKind::Directory || p.size == u64::MAX { 0 } else { s.size }
                    };
                    let of = |s: &kdeploy::world::Stat| {
                        (s.kind, format!("{:o}", s.mode), s.uid, s.gid, size(s), s.target.clone())
                    };
                    assert_eq!(of(p), of(r), "predicted and real stat of {query:?}");
                    assert_eq!((&p.owner, &p.group), (&r.owner, &r.group), "predicted and real owner of {query:?}");
                }
                (Answer::Content(p), Answer::Content(r)) => assert_eq!(p, r, "{query:?}"),
                (p, r) => assert_eq!(format!("{p:?}"), format!("{r:?}"), "{query:?}"),
            }
        }
    }
}

/// What is in a directory, in a form to compare.
fn snapshot(dir: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::MetadataExt;
    fn walk(dir: &Path, root: &Path, out: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // Archives made by the setup hold times.
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("a.")) {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let what = if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else if meta.is_file() {
                format!("{:?}", String::from_utf8_lossy(&std::fs::read(&path).unwrap()))
            } else {
                "dir".to_owned()
            };
            // Backups carry process numbers and times.
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let name = match (name.ends_with('~'), name.rsplitn(3, '.').last()) {
                (true, Some(stem)) => format!("{stem}.BACKUP"),
                _ => name,
            };
            let mode = if meta.is_symlink() { 0 } else { meta.mode() & 0o7777 };
            out.insert(
                name,
                format!("{mode:o} {} {} {what}", meta.uid(), meta.gid()).replace(&root.display().to_string(), "$DIR"),
            );
            if meta.is_dir() {
                walk(&path, root, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

fn prepare(dir: &Path, setup: &str) {
    std::fs::create_dir_all(dir).unwrap();
    let status = Command::new("sh").args(["-ec", setup]).current_dir(dir).status().unwrap();
    assert!(status.success(), "setup failed: {setup}");
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// A node for each shell and set of tools there is: the system's, bash, and nothing but busybox.
fn nodes() -> Vec<(&'static str, Node)> {
    let mut all = vec![("sh", Node::new())];
    if Path::new("/bin/bash").exists() {
        all.push(("bash", Node::with_shell(Some("/bin/bash".to_owned()))));
    }
    if let Some(shell) = busybox::shell() {
        all.push(("busybox", Node::with_shell(Some(shell))));
    }
    all
}

#[test]
fn cases_on_a_directory() {
    let temp = tempfile::tempdir().unwrap();
    let mut node = Node::new();
    let mut wrong = vec![];
    let mut count = 0;
    for (module, cases) in cases() {
        for (name, case) in cases {
            if !is_root() && format!("{:?}", case.args).contains("owner") {
                continue;
            }
            count += 1;
            let dir = temp.path().join(&module).join(&name);
            prepare(&dir, &case.setup);
            let here = dir.display().to_string();
            let args = in_dir(&case.args, &here);
            node.left = None;
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let ran = node.run(&module, &args);
                let mut wrong = vec![];
                if ran.status != case.expect {
                    wrong.push(format!("expected {}, was {ran:?}", case.expect));
                }
                for (key, wanted) in &case.result {
                    let wanted = in_dir(wanted, &here);
                    if ran.result.get(key) != Some(&wanted) {
                        wrong.push(format!("result.{key} should be {wanted}, is {:?}", ran.result.get(key)));
                    }
                }
                for (file, wanted) in &case.files {
                    let is = std::fs::read(dir.join(file)).map(|b| String::from_utf8_lossy(&b).into_owned());
                    if is.as_ref().ok() != Some(wanted) {
                        wrong.push(format!("{file} should hold {wanted:?}, holds {is:?}"));
                    }
                }
                if ran.status == "changed" {
                    let again = case.again.as_deref().unwrap_or("ok");
                    if let (Some(left), "ok") = (&node.left, again) {
                        wrong.push(format!("the prediction leaves something to do: {left}"));
                    }
                    let second = node.run(&module, &args);
                    if second.status != again {
                        wrong.push(format!("the second run should be {again}, is {second:?}"));
                    }
                }
                wrong
            }));
            match caught {
                Ok(list) => wrong.extend(list.into_iter().map(|w| format!("{module}/{name}: {w}"))),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    wrong.push(format!("{module}/{name}: {text}"));
                }
            }
        }
    }
    assert!(count > 0);
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Keys that differ for reasons of nature, or are not part of the registered result proper.
const APART: &[&str] = &[
    // The engine adds lines of output; when it ran differs.
    "stdout_lines",
    "stderr_lines",
    "start",
    "end",
    "delta",
    "diff",
    "invocation",
    "warnings",
    "deprecations",
    "exception",
    "failed",
    "changed",
    "src",
    "elapsed",
    "extract_results",
    "backup",
    "backup_file",
    "skipped",
    "skip_reason",
    "msg",
    "attempts",
];
/// Of `stat`: times and numbers of the twin directory, and what is documented as not reported.
const APART_IN_STAT: &[&str] = &["atime", "mtime", "ctime", "inode", "version", "block_size", "blocks", "device_type"];

#[test]
fn cases_beside_ansible() {
    let oracle = std::env::var("KDEPLOY_ORACLE").unwrap_or_else(|_| "ansible-playbook".to_owned());
    if !is_root() || Command::new(&oracle).arg("--version").output().is_err() {
        eprintln!("skipped: needs root and ansible-playbook");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    let mut tasks = vec![];
    let all = cases();
    for (module, cases) in &all {
        let qualified = registry::lookup(module).unwrap().qualified[0];
        for (name, case) in cases.iter().filter(|(_, c)| c.differs.is_none()) {
            let dir = root.join("twin1").join(module).join(name);
            prepare(&dir, &case.setup);
            let out = root.join(format!("out.{module}.{name}"));
            let args = in_dir(&case.args, &dir.display().to_string());
            tasks.push(
                json!({ "name": format!("{module}/{name}"), qualified: args, "register": "r", "ignore_errors": true }),
            );
            tasks.push(json!({ "ansible.builtin.copy": { "content": "{{ r | to_json }}", "dest": out } }));
        }
    }
    let playbook = root.join("play.yml");
    let plays = json!([{ "hosts": "localhost", "connection": "local", "gather_facts": false, "tasks": tasks }]);
    std::fs::write(&playbook, plays.to_string()).unwrap();
    let said = Command::new(&oracle).arg("-D").arg(&playbook).current_dir(&root).output().unwrap();
    let mut node = Node::new();
    let mut wrong = vec![];
    for (module, cases) in &all {
        for (name, case) in cases.iter().filter(|(_, c)| c.differs.is_none()) {
            let file = root.join(format!("out.{module}.{name}"));
            let Ok(text) = std::fs::read_to_string(&file) else {
                panic!("{module}/{name}: the oracle has no result\n{}", String::from_utf8_lossy(&said.stdout));
            };
            let theirs: Map<String, Json> = serde_json::from_str(&text).unwrap();
            let is = |key: &str| theirs.get(key) == Some(&Json::Bool(true));
            let status = if is("failed") {
                "failed"
            } else if is("skipped") {
                "skipped"
            } else if is("changed") {
                "changed"
            } else {
                "ok"
            };
            let dir = root.join("twin2").join(module).join(name);
            prepare(&dir, &case.setup);
            let here = dir.display().to_string();
            let caught =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| node.run(module, &in_dir(&case.args, &here))));
            let Ok(ran) = caught else {
                wrong.push(format!("{module}/{name}: panicked"));
                continue;
            };
            let ours_status = if ran.status == "invalid" { "failed" } else { &ran.status };
            if ours_status != status {
                wrong.push(format!("{module}/{name}: ansible says {status} ({:?}), we {ran:?}", theirs.get("msg")));
                continue;
            }
            let there = root.join("twin1").join(module).join(name);
            let (a, b) = (snapshot(&there), snapshot(&dir));
            if a != b {
                wrong.push(format!("{module}/{name}: afterwards ansible has\n  {a:#?}\nwe\n  {b:#?}"));
            }
            if status == "failed" {
                continue;
            }
            let there = there.display().to_string();
            compare(&mut wrong, &format!("{module}/{name}"), &theirs, &ran.result, APART, &there, &here);
            if let (Some(Json::Object(theirs)), Some(Json::Object(ours))) = (theirs.get("stat"), ran.result.get("stat"))
            {
                compare(&mut wrong, &format!("{module}/{name}.stat"), theirs, ours, APART_IN_STAT, &there, &here);
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Lists of files by path, without what differs from directory to directory.
fn lasting(value: &Json) -> Json {
    match value {
        Json::Array(items) => {
            let mut items: Vec<Json> = items.iter().map(lasting).collect();
            if items.iter().all(|i| i.get("path").is_some()) {
                items.sort_by_key(|i| i["path"].to_string());
            }
            items.into()
        }
        Json::Object(map) => {
            let apart = ["atime", "mtime", "ctime", "inode"];
            map.iter().filter(|(k, _)| !apart.contains(&k.as_str())).map(|(k, v)| (k.clone(), lasting(v))).collect()
        }
        other => other.clone(),
    }
}

fn compare(
    wrong: &mut Vec<String>,
    what: &str,
    theirs: &Map<String, Json>,
    ours: &Map<String, Json>,
    apart: &[&str],
    their_dir: &str,
    our_dir: &str,
) {
    for (key, value) in theirs.iter().filter(|(k, _)| !apart.contains(&k.as_str()) && *k != "stat") {
        let value: Json = serde_json::from_str(&value.to_string().replace(their_dir, our_dir)).unwrap();
        let value = lasting(&value);
        match ours.get(key) {
            None => wrong.push(format!("{what}: our result has no `{key}` ({value})")),
            Some(our) if lasting(our) != value => {
                wrong.push(format!("{what}: `{key}` is {value} with ansible, {our} with us"))
            }
            Some(_) => {}
        }
    }
}
