//! `apt_repository`, `deb822_repository` and `apt_key`: where apt takes packages from, and whom it trusts.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Kind, ModeSpec, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::{Action, Done, Download};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "apt_repository",
    qualified: &["ansible.builtin.apt_repository"],
    doc: include_str!("doc/apt_repository.md"),
    args: &[
        ArgSpec::new("repo", Kind::Str, "A line of sources.list").required(),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("mode", Kind::Mode, "Mode of a new file").default("0644"),
        ArgSpec::new("update_cache", Kind::Bool, "Read the package lists anew after a change")
            .aliases(&["update-cache"])
            .default("true"),
        ArgSpec::new("update_cache_retries", Kind::Int, "How often to try that").default("5"),
        ArgSpec::new("update_cache_retry_max_delay", Kind::Int, "Accepted, without effect").default("12"),
        ArgSpec::new("validate_certs", Kind::Bool, "Accepted, without effect").default("true"),
        ArgSpec::new("filename", Kind::Str, "Name of the file in sources.list.d, without its extension"),
        ArgSpec::new("codename", Kind::Str, "Only for PPAs, which are not supported yet"),
        ArgSpec::new("install_python_apt", Kind::Bool, "Accepted, without effect").default("true"),
    ],
    free_form: None,
    build,
};

/// `deb822_repository`.
pub static DEB822: ResourceType = ResourceType {
    name: "deb822_repository",
    qualified: &["ansible.builtin.deb822_repository"],
    doc: include_str!("doc/deb822_repository.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the repository and its file").required(),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("mode", Kind::Mode, "Mode of the file").default("0644"),
        ArgSpec::new("allow_downgrade_to_insecure", Kind::Bool, "Field of the file"),
        ArgSpec::new("allow_insecure", Kind::Bool, "Field of the file"),
        ArgSpec::new("allow_weak", Kind::Bool, "Field of the file"),
        ArgSpec::new("architectures", Kind::List, "Field of the file"),
        ArgSpec::new("by_hash", Kind::Bool, "Field of the file"),
        ArgSpec::new("check_date", Kind::Bool, "Field of the file"),
        ArgSpec::new("check_valid_until", Kind::Bool, "Field of the file"),
        ArgSpec::new("components", Kind::List, "Field of the file"),
        ArgSpec::new("date_max_future", Kind::Int, "Field of the file"),
        ArgSpec::new("enabled", Kind::Bool, "Field of the file"),
        ArgSpec::new("exclude", Kind::List, "Field of the file"),
        ArgSpec::new("include", Kind::List, "Field of the file"),
        ArgSpec::new("inrelease_path", Kind::Str, "Field of the file"),
        ArgSpec::new("install_python_debian", Kind::Bool, "Accepted, without effect").default("false"),
        ArgSpec::new("languages", Kind::List, "Field of the file"),
        ArgSpec::new("pdiffs", Kind::Bool, "Field of the file"),
        ArgSpec::new("signed_by", Kind::Str, "The key: a path, a URL, or the armoured key itself"),
        ArgSpec::new("suites", Kind::List, "Field of the file"),
        ArgSpec::new("targets", Kind::List, "Field of the file"),
        ArgSpec::new("trusted", Kind::Bool, "Field of the file"),
        ArgSpec::new("types", Kind::List, "Field of the file").default("deb").choices(&["deb", "deb-src"]),
        ArgSpec::new("uris", Kind::List, "Field of the file"),
    ],
    free_form: None,
    build: build_deb822,
};

/// `apt_key`.
pub static KEY: ResourceType = ResourceType {
    name: "apt_key",
    qualified: &["ansible.builtin.apt_key"],
    doc: include_str!("doc/apt_key.md"),
    args: &[
        ArgSpec::new("id", Kind::Str, "Identifier of the key"),
        ArgSpec::new("data", Kind::Str, "The key itself"),
        ArgSpec::new("file", Kind::Path, "A file on the node that holds it"),
        ArgSpec::new("keyring", Kind::Path, "A keyring file in trusted.gpg.d"),
        ArgSpec::new("keyserver", Kind::Str, "A key server"),
        ArgSpec::new("url", Kind::Str, "Where the control machine downloads it"),
        ArgSpec::new("validate_certs", Kind::Bool, "Check the URL's certificate").default("true"),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
    ],
    free_form: None,
    build: build_key,
};

fn octal(args: &Args) -> Result<u32, Problem> {
    match args.mode("mode")? {
        None => Ok(0o644),
        Some(ModeSpec::Octal(mode)) => Ok(mode),
        Some(ModeSpec::Symbolic(_)) => Err(Problem::unsupported("a symbolic mode here").at(args.span("mode"))),
    }
}

struct Repository {
    /// The line with its spaces made plain.
    line: String,
    written: String,
    present: bool,
    file: String,
    mode: u32,
    update: bool,
    retries: i64,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let written = args.need("repo")?;
    if written.starts_with("ppa:") {
        return Err(Problem::unsupported("PPAs").at(args.span("repo")).help("write the line of sources.list").into());
    }
    let line = plain(&written);
    if !is_source(&line) {
        return Err(Problem::new("invalid-argument", format!("`{written}` is no line of sources.list"))
            .at(args.span("repo"))
            .help("write `deb [options] URI SUITE COMPONENTS…`")
            .into());
    }
    let file = match args.str("filename")? {
        Some(name) => name.strip_suffix(".list").unwrap_or(&name).to_owned(),
        None => suggested(&line),
    };
    Ok(Arc::new(Repository {
        file: format!("/etc/apt/sources.list.d/{file}.list"),
        line,
        written,
        present: args.need("state")? == "present",
        mode: octal(&args)?,
        update: args.flag("update_cache")?,
        retries: args.int("update_cache_retries")?.unwrap_or(5).max(1),
        task: Task::of(setting),
    }))
}

fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_source(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    matches!(words[0], "deb" | "deb-src") && words.len() >= 3
}

/// A line without its comment at the end, and whether it is commented out.
fn source_of(line: &str) -> Option<(String, bool)> {
    let trimmed = line.trim();
    let (body, enabled) = match trimmed.strip_prefix('#') {
        Some(rest) => (rest.trim_start_matches('#').trim(), false),
        None => (trimmed, true),
    };
    let body = plain(body.split('#').next().unwrap_or_default());
    is_source(&body).then_some((body, enabled))
}

/// The file name Ansible makes of a line: its URI, letters and digits only.
fn suggested(line: &str) -> String {
    let mut rest = line.to_owned();
    while let (Some(a), Some(b)) = (rest.find('['), rest.find(']')) {
        if a > b {
            break;
        }
        rest.replace_range(a..=b, "");
    }
    let uri = rest.split_whitespace().find(|w| !matches!(*w, "deb" | "deb-src")).unwrap_or_default().to_owned();
    let uri = uri.split_once("://").map_or(uri.as_str(), |(_, u)| u);
    let uri = uri.split_once('@').map_or(uri, |(_, u)| u);
    uri.split(|c: char| !c.is_ascii_alphanumeric()).filter(|p| !p.is_empty()).collect::<Vec<_>>().join("_")
}

impl Resource for Repository {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let main = "/etc/apt/sources.list".to_owned();
        world.want(edits::queries(&self.file));
        world.want([
            Query::Content { path: main.clone() },
            Query::Tree { path: "/etc/apt/sources.list.d".to_owned(), max_depth: Some(1) },
        ]);
        let result = TaskResult::unchanged()
            .with("repo", self.written.as_str())
            .with("state", if self.present { "present" } else { "absent" });
        let has = |text: &str| text.lines().filter_map(source_of).any(|(line, on)| on && line == self.line);
        let own = edits::read(world, &self.file)?;
        let none = || Value::from(Vec::<String>::new());
        let unchanged = |result: TaskResult| {
            Ok(Verdict::Unchanged(result.with("sources_added", none()).with("sources_removed", none())))
        };
        if self.present && own.as_deref().is_some_and(has) {
            return unchanged(result);
        }
        let tree = world.tree("/etc/apt/sources.list.d", Some(1))?;
        let mut paths: Vec<String> = vec![main];
        paths.extend(
            tree.iter().filter(|e| e.path.ends_with(".list")).map(|e| format!("/etc/apt/sources.list.d/{}", e.path)),
        );
        if !paths.contains(&self.file) {
            paths.push(self.file.clone());
        }
        for path in &paths {
            world.want(edits::queries(path));
        }
        let mut edit = Edit::default();
        let mut touched = false;
        for path in &paths {
            let Some(text) = edits::read(world, path)? else { continue };
            if self.present && has(&text) {
                return unchanged(result);
            }
            if !text.lines().filter_map(source_of).any(|(line, _)| line == self.line) {
                continue;
            }
            let mut lines = vec![];
            for line in text.lines() {
                match source_of(line) {
                    Some((source, on)) if source == self.line => {
                        if self.present {
                            lines.push(self.line.clone());
                        } else if !on {
                            // What is only a comment stays one.
                            lines.push(line.to_owned());
                        }
                    }
                    _ => lines.push(line.to_owned()),
                }
            }
            if lines.iter().map(String::as_str).eq(text.lines()) {
                continue;
            }
            let empty = lines.iter().all(|l| l.trim().is_empty());
            let new = edits::joined(&lines);
            let new = if empty && path.contains(".d/") { None } else { Some(new.as_str()) };
            edit = edit.and(edits::write(world, &self.task, path, &Own::mode(self.mode), new)?);
            touched = true;
            if self.present {
                break;
            }
        }
        if self.present && !touched {
            let mut text = own.clone().unwrap_or_default();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("{}\n", self.line));
            edit = edits::write(world, &self.task, &self.file, &Own::mode(self.mode), Some(&text))?;
        }
        let added: Vec<String> = if edit.created { vec![self.file.clone()] } else { vec![] };
        let removed: Vec<String> = if edit.removed {
            paths
                .iter()
                .filter(|p| edit.actions.iter().any(|a| matches!(a, Action::Remove { path } if path == *p)))
                .cloned()
                .collect()
        } else {
            vec![]
        };
        if edit.is_empty() {
            return unchanged(result);
        }
        if self.update {
            let script = "n=$1; shift; until \"$@\"; do n=$((n-1)); [ $n -gt 0 ] || exit 1; sleep 2; done";
            edit.actions.push(self.task.script(script, [self.retries.to_string().as_str(), "apt-get", "update"]));
        }
        Ok(edit.verdict(result.with("sources_added", Value::from(added)).with("sources_removed", Value::from(removed))))
    }
}

struct Deb822 {
    slug: String,
    text: Option<String>,
    /// The key file's path and content.
    key: Option<(String, Vec<u8>)>,
    mode: u32,
    task: Task,
}

/// Field names in Ansible's spelling, sorted as it writes them.
const FIELDS: &[(&str, &str)] = &[
    ("allow_downgrade_to_insecure", "Allow-Downgrade-To-Insecure"),
    ("allow_insecure", "Allow-Insecure"),
    ("allow_weak", "Allow-Weak"),
    ("architectures", "Architectures"),
    ("by_hash", "By-Hash"),
    ("check_date", "Check-Date"),
    ("check_valid_until", "Check-Valid-Until"),
    ("components", "Components"),
    ("date_max_future", "Date-Max-Future"),
    ("enabled", "Enabled"),
    ("exclude", "Exclude"),
    ("include", "Include"),
    ("inrelease_path", "Inrelease-Path"),
    ("languages", "Languages"),
    ("name", "X-Repolib-Name"),
    ("pdiffs", "Pdiffs"),
    ("signed_by", "Signed-By"),
    ("suites", "Suites"),
    ("targets", "Targets"),
    ("trusted", "Trusted"),
    ("types", "Types"),
    ("uris", "URIs"),
];

fn build_deb822(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let name = args.need("name")?;
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            '_' | ' ' | '\t' if !slug.ends_with('-') => slug.push('-'),
            'a'..='z' | '0'..='9' | '-' => slug.push(c),
            _ => {}
        }
    }
    let mode = octal(&args)?;
    let task = Task::of(setting);
    if args.need("state")? == "absent" {
        return Ok(Arc::new(Deb822 { slug, text: None, key: None, mode, task }));
    }
    let mut key = None;
    let mut text = String::new();
    for (name, field) in FIELDS {
        let Some(value) = args.raw(name) else { continue };
        let value = match DEB822.args.iter().find(|a| a.name == *name).map(|a| a.kind) {
            Some(Kind::Bool) => if args.flag(name)? { "yes" } else { "no" }.to_owned(),
            Some(Kind::List) => args.list(name)?.join(" "),
            Some(Kind::Int) => args.int(name)?.unwrap_or_default().to_string(),
            _ if value.kind() == ValueKind::String => text_of(value),
            _ => args.need(name)?,
        };
        let value = if *name == "signed_by" && value.contains("://") {
            let download = Download {
                url: value,
                checksum: None,
                headers: vec![],
                username: None,
                password: None,
                timeout: 30,
                validate_certs: true,
                force: false,
            };
            let bytes = (setting.fetch)(&download)?;
            let extension = if bytes.starts_with(b"-----BEGIN PGP") { "asc" } else { "gpg" };
            let path = format!("/etc/apt/keyrings/{slug}.{extension}");
            key = Some((path.clone(), bytes));
            path
        } else {
            value
        };
        if value.contains('\n') {
            let lines: String = value
                .trim()
                .lines()
                .map(|l| if l.trim().is_empty() { "\n .".to_owned() } else { format!("\n {}", l.trim()) })
                .collect();
            text.push_str(&format!("{field}:{lines}\n"));
        } else {
            text.push_str(&format!("{field}: {value}\n"));
        }
    }
    Ok(Arc::new(Deb822 { slug, text: Some(text), key, mode, task }))
}

impl Resource for Deb822 {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let path = format!("/etc/apt/sources.list.d/{}.sources", self.slug);
        let keys = ["asc", "gpg"].map(|e| format!("/etc/apt/keyrings/{}.{e}", self.slug));
        world.want(edits::queries(&path));
        let own = Own::mode(self.mode);
        let mut edit = Edit::default();
        match (&self.text, &self.key) {
            (Some(_), Some((key, bytes))) => {
                let text = super::common::text::decode(bytes);
                edit = edits::write(world, &self.task, key, &Own::mode(0o644), Some(&text))?;
            }
            (Some(_), None) => {}
            (None, _) => {
                for key in &keys {
                    world.want(edits::queries(key));
                }
                for key in &keys {
                    edit = edit.and(edits::write(world, &self.task, key, &own, None)?);
                }
            }
        }
        edit = edit.and(edits::write(world, &self.task, &path, &own, self.text.as_deref())?);
        let key = self.key.as_ref().map_or(Value::from(()), |(path, _)| Value::from(path.as_str()));
        let result = TaskResult::unchanged()
            .with("repo", self.text.as_deref().map_or(Value::from(()), Value::from))
            .with("dest", path)
            .with("key_filename", key);
        Ok(edit.verdict(result))
    }
}

struct Key {
    id: String,
    source: Source,
    keyring: Option<String>,
    present: bool,
    task: Task,
}

enum Source {
    None,
    Data(Vec<u8>),
    File(String),
    Server(String),
}

fn build_key(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let present = args.need("state")? == "present";
    let Some(id) = args.str("id")? else {
        return Err(Problem::unsupported("`apt_key` without `id`")
            .at(args.task_span())
            .help("give the key's id, or put the key into /etc/apt/keyrings with `get_url` and name it by `signed-by`")
            .into());
    };
    let id = id.trim().trim_start_matches("0x").to_uppercase();
    if id.len() < 8 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(args.wrong("id", "8, 16 or 40 hexadecimal digits", &Value::from(id)).into());
    }
    let source = if let Some(data) = args.str("data")? {
        Source::Data(data.into_bytes())
    } else if let Some(file) = args.str("file")? {
        Source::File(task.path(&file))
    } else if let Some(server) = args.str("keyserver")? {
        Source::Server(server)
    } else if let (Some(url), true) = (args.str("url")?, present) {
        let download = Download {
            url,
            checksum: None,
            headers: vec![],
            username: None,
            password: None,
            timeout: 30,
            validate_certs: args.flag("validate_certs")?,
            force: false,
        };
        Source::Data((setting.fetch)(&download)?)
    } else {
        Source::None
    };
    let keyring = args.str("keyring")?.map(|k| task.path(&k));
    Ok(Arc::new(Key { id, source, keyring, present, task }))
}

impl Key {
    fn tool<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let mut argv = vec!["apt-key"];
        if let Some(keyring) = &self.keyring {
            argv.extend(["--keyring", keyring]);
        }
        argv.extend(words);
        argv
    }
}

impl Resource for Key {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let list = self.tool(&["adv", "--with-colons", "--list-public-keys"]);
        let output = world.read(list.iter().copied())?;
        if output.rc == 127 {
            return Err(Stop::Failed(
                "the node has no apt-key (Debian dropped it): use /etc/apt/keyrings and signed-by".to_owned(),
            ));
        }
        let text = output.text();
        let has = text.lines().filter(|l| l.starts_with("fpr:") || l.starts_with("pub:")).any(|l| {
            l.split(':').any(|field| {
                field.len() >= 16 && field.ends_with(self.id.as_str())
                    || self.id.len() > field.len() && field.len() == 16 && self.id.ends_with(field)
            })
        });
        let result = TaskResult::unchanged().with("id", self.id.as_str());
        if has == self.present {
            return Ok(Verdict::Unchanged(result));
        }
        let action = match (&self.source, self.present) {
            (_, false) => self.task.exec(self.tool(&["del", &self.id])),
            (Source::Data(data), _) => crate::node::ExecSpec {
                stdin: Some(data.clone()),
                ..crate::node::ExecSpec::argv(self.tool(&["add", "-"]))
            }
            .into_action(),
            (Source::File(file), _) => self.task.exec(self.tool(&["add", file])),
            (Source::Server(server), _) => {
                self.task.exec(self.tool(&["adv", "--no-tty", "--keyserver", server, "--recv", &self.id]))
            }
            (Source::None, _) => {
                return Ok(kit::failed("one of the following is required: url, data, file, keyserver"));
            }
        };
        let mut edit = Edit { created: self.present, removed: !self.present, ..Edit::default() };
        edit.actions.push(action);
        let after = if self.present { format!("{text}\nfpr:::::::::{:0>40}:\n", self.id) } else { String::new() };
        edit.effect(
            Query::Read { argv: list.into_iter().map(str::to_owned).collect() },
            Answer::Output(Output { rc: 0, stdout: after.into_bytes(), stderr: vec![] }),
        );
        let sides = if self.present { ("", "trusted\n") } else { ("trusted\n", "") };
        edit.diff.push(kit::diff(&format!("key {}", self.id), sides.0, sides.1));
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.id, message, output)),
        }
    }
}
