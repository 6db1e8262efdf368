//! `yum_repository`: a repository of yum and dnf. The manual is doc/yum_repository.md.

use std::sync::Arc;

use super::common::attributes::{Attributes, COMMON};
use super::common::edit::Editor;
use super::common::{concat, paths, text};
use super::edits::{self, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("name", Kind::Str, "Its short name, the section in the file").required(),
    ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
    ArgSpec::new("file", Kind::Str, "The file without `.repo`; the name if not given"),
    ArgSpec::new("reposdir", Kind::Path, "The folder of that file").default("/etc/yum.repos.d"),
    ArgSpec::new("description", Kind::Str, "Its name for people"),
    ArgSpec::new("baseurl", Kind::List, "Where its repodata is"),
    ArgSpec::new("mirrorlist", Kind::Str, "URL of a list of mirrors"),
    ArgSpec::new("metalink", Kind::Str, "URL of a metalink"),
    ArgSpec::new("enabled", Kind::Bool, "Use it"),
    ArgSpec::new("gpgcheck", Kind::Bool, "Check signatures of packages"),
    ArgSpec::new("repo_gpgcheck", Kind::Bool, "Check the signature of its repodata"),
    ArgSpec::new("gpgkey", Kind::List, "URLs of its keys"),
    ArgSpec::new("gpgcakey", Kind::Str, "URL of the key its keys are signed with"),
    ArgSpec::new("async", Kind::Bool, "Written as it is; dnf knows it no more"),
    ArgSpec::new("bandwidth", Kind::Str, "Most bytes a second"),
    ArgSpec::new("cost", Kind::Str, "Dearer repositories are asked last"),
    ArgSpec::new("countme", Kind::Bool, "Let the mirrors count this node"),
    ArgSpec::new("deltarpm_metadata_percentage", Kind::Str, "Written as it is"),
    ArgSpec::new("deltarpm_percentage", Kind::Str, "Written as it is"),
    ArgSpec::new("enablegroups", Kind::Bool, "Use its package groups"),
    ArgSpec::new("exclude", Kind::List, "Packages to leave out").aliases(&["excludepkgs"]),
    ArgSpec::new("failovermethod", Kind::Str, "How the next mirror is found").choices(&["priority", "roundrobin"]),
    ArgSpec::new("http_caching", Kind::Str, "What proxies may keep").choices(&["all", "none", "packages"]),
    ArgSpec::new("include", Kind::Str, "Another file to read"),
    ArgSpec::new("includepkgs", Kind::List, "The only packages to take"),
    ArgSpec::new("ip_resolve", Kind::Str, "Which kind of addresses").choices(&["4", "6", "IPv4", "IPv6", "whatever"]),
    ArgSpec::new("keepalive", Kind::Bool, "Keep connections open"),
    ArgSpec::new("keepcache", Kind::Str, "Keep packages after installing").choices(&["0", "1"]),
    ArgSpec::new("metadata_expire", Kind::Str, "When repodata is old"),
    ArgSpec::new("metadata_expire_filter", Kind::Str, "Which commands look at that").choices(&[
        "never",
        "read-only:future",
        "read-only:past",
        "read-only:present",
    ]),
    ArgSpec::new("mirrorlist_expire", Kind::Str, "When the list of mirrors is old"),
    ArgSpec::new("module_hotfixes", Kind::Bool, "Its packages are seen in spite of modules"),
    ArgSpec::new("password", Kind::Str, "Password of its web server"),
    ArgSpec::new("priority", Kind::Str, "A smaller number goes first"),
    ArgSpec::new("protect", Kind::Bool, "Other repositories do not replace its packages"),
    ArgSpec::new("proxy", Kind::Str, "URL of a proxy, `_none_` for none"),
    ArgSpec::new("proxy_password", Kind::Str, "Password of the proxy"),
    ArgSpec::new("proxy_username", Kind::Str, "User of the proxy"),
    ArgSpec::new("retries", Kind::Str, "How often a download is tried"),
    ArgSpec::new("s3_enabled", Kind::Bool, "Written as it is"),
    ArgSpec::new("skip_if_unavailable", Kind::Bool, "Go on without it if it cannot be reached"),
    ArgSpec::new("ssl_check_cert_permissions", Kind::Bool, "Written as it is"),
    ArgSpec::new("sslcacert", Kind::Str, "Folder of trusted certificates").aliases(&["ca_cert"]),
    ArgSpec::new("sslclientcert", Kind::Str, "The client's certificate").aliases(&["client_cert"]),
    ArgSpec::new("sslclientkey", Kind::Str, "The client's key").aliases(&["client_key"]),
    ArgSpec::new("sslverify", Kind::Bool, "Check certificates").aliases(&["validate_certs"]),
    ArgSpec::new("throttle", Kind::Str, "Most bandwidth to use"),
    ArgSpec::new("timeout", Kind::Str, "Seconds to wait for a connection"),
    ArgSpec::new("ui_repoid_vars", Kind::Str, "Variables shown in lists"),
    ArgSpec::new("username", Kind::Str, "User of its web server"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

/// Arguments that are no options of the repository.
const OURS: &[&str] = &["name", "state", "file", "reposdir", "description"];
/// Lists that are written in one line each, with blanks.
const IN_ONE_LINE: &[&str] = &["exclude", "includepkgs"];

pub static TYPE: ResourceType = ResourceType {
    name: "yum_repository",
    qualified: &["ansible.builtin.yum_repository"],
    doc: include_str!("doc/yum_repository.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Repository {
    name: String,
    /// Options by name, in that order; `None`: the repository is to go.
    options: Option<Vec<(String, String)>>,
    editor: Editor,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let name = args.need("name")?;
    let present = args.need("state")? == "present";
    let description = args.str("description")?;
    if present {
        if !["baseurl", "mirrorlist", "metalink"].iter().any(|a| args.raw(a).is_some()) {
            return Ok(kit::Ready::boxed(Ok(kit::failed(
                "state is present but any of the following are missing: baseurl, mirrorlist, metalink",
            ))));
        }
        if description.is_none() {
            return Ok(kit::Ready::boxed(Ok(kit::failed(
                "state is present but all of the following are missing: description",
            ))));
        }
    }
    let mut options = vec![];
    for spec in OWN.iter().filter(|s| !OURS.contains(&s.name)) {
        if args.raw(spec.name).is_none() {
            continue;
        }
        let value = match spec.kind {
            Kind::Bool => u8::from(args.flag(spec.name)?).to_string(),
            Kind::List => args.list(spec.name)?.join(if IN_ONE_LINE.contains(&spec.name) { " " } else { "\n" }),
            _ => args.need(spec.name)?,
        };
        options.push((spec.name.to_owned(), value));
    }
    options.extend(description.map(|d| ("name".to_owned(), d)));
    options.sort();
    let file = args.str("file")?.unwrap_or_else(|| name.clone());
    let task = Task::of(setting);
    let path = paths::clean(&format!("{}/{file}.repo", task.path(&args.need("reposdir")?)));
    let editor = Editor {
        shown: path.clone(),
        path,
        attributes: Attributes::from_args(&args, setting)?,
        backup: false,
        validate: None,
        latin: false,
    };
    Ok(Arc::new(Repository { name, options: present.then_some(options), editor, task }))
}

type Section = (String, Vec<(String, String)>);

/// Sections with their options; comments and blank lines are dropped, as Ansible drops them.
fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = vec![];
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(last) = sections.last_mut().and_then(|s| s.1.last_mut()) {
                last.1.push('\n');
                last.1.push_str(line.trim());
            }
        } else if let Some(name) = line.trim().strip_prefix('[').and_then(|l| l.split_once(']')) {
            sections.push((name.0.to_owned(), vec![]));
        } else if let Some((key, value)) = line.split_once(['=', ':'])
            && let Some(last) = sections.last_mut()
        {
            last.1.push((key.trim().to_lowercase(), value.trim().to_owned()));
        }
    }
    sections
}

fn write(sections: &[Section]) -> String {
    let mut out = String::new();
    for (name, options) in sections {
        out.push_str(&format!("[{name}]\n"));
        for (key, value) in options {
            out.push_str(&format!("{key} = {}\n", value.replace('\n', "\n\t")));
        }
        out.push('\n');
    }
    out
}

/// Sections, and options within each, in the order of their names.
fn sorted(mut sections: Vec<Section>) -> Vec<Section> {
    sections.sort();
    for section in &mut sections {
        section.1.sort();
    }
    sections
}

impl Resource for Repository {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let loaded = self.editor.load(world)?;
        let folder = paths::dirname(&self.editor.path);
        if world.stat(folder, true)?.is_none() {
            return Ok(kit::failed(format!("Repo directory '{folder}' does not exist.")));
        }
        let old = loaded.text.clone().unwrap_or_default();
        let before = parse(&old);
        let mut after: Vec<Section> = before.iter().filter(|s| s.0 != self.name).cloned().collect();
        let result = TaskResult::unchanged()
            .with("repo", self.name.as_str())
            .with("state", if self.options.is_some() { "present" } else { "absent" });
        let Some(options) = &self.options else {
            if after.len() == before.len() {
                return Ok(Verdict::Unchanged(result));
            }
            let text = (!after.is_empty()).then(|| write(&sorted(after)));
            let edit = edits::write(world, &self.task, &self.editor.path, &Own::mode(0o644), text.as_deref())?;
            return Ok(edit.verdict(result));
        };
        after.push((self.name.clone(), options.clone()));
        let (before, after) = (sorted(before), sorted(after));
        let new = if before == after { old } else { write(&after) };
        let new = text::decode(new.as_bytes());
        let mut verdict = self.editor.verdict(world, &loaded, &new, "", result, "")?;
        let (Verdict::Change(super::Change { result, .. }) | Verdict::Unchanged(result)) = &mut verdict else {
            return Ok(verdict);
        };
        result.values.shift_remove("msg");
        Ok(verdict)
    }
}
