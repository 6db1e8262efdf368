//! `deb822_repository`: a repository in deb822 format.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::edits::{self, Edit, Own};
use super::kit::Task;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::Download;
use crate::world::{Stop, View};

/// `deb822_repository`.
pub static TYPE: ResourceType = ResourceType {
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
    conduct: Conduct::Declares,
    build,
};

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

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let name = args.need("name")?;
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            '_' | ' ' | '\t' if !slug.ends_with('-') => slug.push('-'),
            'a'..='z' | '0'..='9' | '-' => slug.push(c),
            _ => {}
        }
    }
    let mode = super::common::mode::octal(&args)?;
    let task = Task::of(setting);
    if args.need("state")? == "absent" {
        return Ok(Arc::new(Deb822 { slug, text: None, key: None, mode, task }));
    }
    let mut key = None;
    let mut text = String::new();
    for (name, field) in FIELDS {
        let Some(value) = args.raw(name) else { continue };
        let value = match TYPE.args.iter().find(|a| a.name == *name).map(|a| a.kind) {
            Some(Kind::Bool) => if args.flag(name)? { "yes" } else { "no" }.to_owned(),
            Some(Kind::List) => args.list(name)?.join(" "),
            Some(Kind::Int) => args.int(name)?.unwrap_or_default().to_string(),
            _ if value.kind() == ValueKind::String => text_of(value),
            _ => args.need(name)?,
        };
        let value = if *name == "signed_by" && value.contains("://") {
            let download = Download::of(value);
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
        let source = edits::write(world, &self.task, &path, &own, self.text.as_deref())?;
        let stat = match (&self.text, source.stat.clone()) {
            (None, _) => None,
            (Some(_), Some(stat)) => Some(stat),
            (Some(_), None) => world.stat(&path, true)?,
        };
        edit = edit.and(source);
        let key = match (&self.key, &self.text) {
            (Some((path, _)), _) => Value::from(path.as_str()),
            (None, Some(_)) => Value::from(()),
            (None, None) => Value::from(keys[1].as_str()),
        };
        let result = TaskResult::unchanged()
            .with("repo", self.text.as_deref().map_or(Value::from(()), Value::from))
            .with("dest", path)
            .with("key_filename", key);
        Ok(edit.verdict(stat.iter().fold(result, super::wait_for::with_stat)))
    }
}
