//! `apt_repository`: lines of apt's sources.

use std::sync::Arc;

use minijinja::Value;

use super::edits::{self, Edit, Own};
use super::kit::Task;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Download};
use crate::problem::Problem;
use crate::world::{Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "apt_repository",
    qualified: &["ansible.builtin.apt_repository"],
    doc: include_str!("doc/apt_repository.md"),
    args: &[
        ArgSpec::new("repo", Kind::Str, "A line of sources.list, or `ppa:OWNER/NAME`").required(),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("mode", Kind::Mode, "Mode of a new file").default("0644"),
        ArgSpec::new("update_cache", Kind::Bool, "Read the package lists anew after a change")
            .aliases(&["update-cache"])
            .default("true"),
        ArgSpec::new("update_cache_retries", Kind::Int, "How often to try that").default("5"),
        ArgSpec::new("update_cache_retry_max_delay", Kind::Int, "Accepted, without effect").default("12"),
        ArgSpec::new("validate_certs", Kind::Bool, "Accepted, without effect").default("true"),
        ArgSpec::new("filename", Kind::Str, "Name of the file in sources.list.d, without its extension"),
        ArgSpec::new("codename", Kind::Str, "The release a PPA is for; none: the node's"),
        ArgSpec::new("install_python_apt", Kind::Bool, "Accepted, without effect").default("true"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Repository {
    /// The line with its spaces made plain.
    line: String,
    /// The key of a PPA, and where it goes.
    key: Option<(String, Vec<u8>)>,
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
    let ppa = written.strip_prefix("ppa:").map(|ppa| Ppa::of(ppa, &args, setting)).transpose()?;
    let line = ppa.as_ref().map_or_else(|| plain(&written), |ppa| ppa.line.clone());
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
        key: ppa.and_then(|ppa| ppa.key),
        written,
        present: args.need("state")? == "present",
        mode: super::common::mode::octal(&args)?,
        update: args.flag("update_cache")?,
        retries: args.int("update_cache_retries")?.unwrap_or(5).max(1),
        task: Task::of(setting),
    }))
}

/// A personal archive at Launchpad.
struct Ppa {
    line: String,
    key: Option<(String, Vec<u8>)>,
}

impl Ppa {
    /// Asks Launchpad for the archive's key, as long as the line is to be there.
    fn of(text: &str, args: &Args, setting: &Setting) -> Result<Self, Stop> {
        let fact = |name: &str| {
            let value = setting.facts.as_ref().and_then(|f| f.get_attr(name).ok()).filter(|v| !v.is_undefined());
            value.map(|v| super::text_of(&v)).unwrap_or_default()
        };
        let (owner, name) = text.split_once('/').unwrap_or((text, "ppa"));
        let distribution = fact("distribution");
        if !matches!(distribution.as_str(), "Ubuntu" | "") {
            return Err(Stop::Failed(format!("PPAs are for Ubuntu, and the node runs {distribution}")));
        }
        let codename = args.str("codename")?.unwrap_or_else(|| fact("distribution_release"));
        if codename.is_empty() {
            return Err(Problem::new("missing-argument", "a PPA needs `codename`, as no facts were gathered")
                .at(args.span("repo"))
                .into());
        }
        let line = format!("deb http://ppa.launchpadcontent.net/{owner}/{name}/ubuntu {codename} main");
        if args.need("state")? == "absent" {
            return Ok(Self { line, key: None });
        }
        let fetch = |url: String| {
            let download = Download {
                headers: vec![("Accept".to_owned(), "application/json, */*".to_owned())],
                validate_certs: args.bool("validate_certs")?.unwrap_or(true),
                ..Download::of(url)
            };
            (setting.fetch)(&download).map_err(|p| Stop::Failed(p.to_string()))
        };
        let about = fetch(format!("https://api.launchpad.net/1.0/~{owner}/+archive/{name}"))?;
        let about: serde_json::Value = serde_json::from_slice(&about)
            .map_err(|e| Stop::Failed(format!("what Launchpad says of the PPA {text} is no JSON: {e}")))?;
        let Some(print) = about["signing_key_fingerprint"].as_str() else {
            return Err(Stop::Failed(format!("Launchpad names no key of the PPA {text}")));
        };
        let key = fetch(format!("https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x{print}"))?;
        if super::common::pgp::fingerprint(&key).as_deref() != Some(print.to_uppercase().as_str()) {
            return Err(Stop::Failed(format!("the key server's key is not the one Launchpad names: {print}")));
        }
        let path = format!("/etc/apt/trusted.gpg.d/ppa_{owner}_{name}.asc");
        Ok(Self { line, key: Some((path, key)) })
    }
}

/// RETRIES and by file its path, `+` if it was there, its text: reads the lists anew; if that fails, the files are as they were.
const UPDATE: &str = "n=$1; shift; until apt-get update; do n=$((n-1)); if [ $n -le 0 ]; then \
    while [ $# -gt 0 ]; do if [ \"$2\" = + ]; then printf %s \"$3\" >\"$1\"; else rm -f -- \"$1\"; fi; shift 3; done; exit 1; fi; sleep 2; done";

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
        if let Some((path, _)) = &self.key {
            world.want(edits::queries(path));
        }
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
        let key = match &self.key {
            Some((path, bytes)) => {
                let text = super::common::text::decode(bytes);
                edits::write(world, &self.task, path, &Own::mode(0o644), Some(&text))?
            }
            None => Edit::default(),
        };
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
        let mut edit = key.and(edit);
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
            // A repository that cannot be read leaves nothing behind.
            let files: Vec<(String, Option<String>)> = edit
                .actions
                .iter()
                .filter_map(|a| match a {
                    Action::WriteFile { path, .. } | Action::Remove { path } => Some(path.clone()),
                    _ => None,
                })
                .map(|path| edits::read(world, &path).map(|text| (path, text)))
                .collect::<Result<_, _>>()?;
            let mut words = vec![self.retries.to_string()];
            for (path, text) in files {
                words.extend([path, text.as_ref().map_or("-", |_| "+").to_owned(), text.unwrap_or_default()]);
            }
            edit.actions.push(self.task.script(UPDATE, words.iter().map(String::as_str)));
        }
        Ok(edit.verdict(result.with("sources_added", Value::from(added)).with("sources_removed", Value::from(removed))))
    }
}
