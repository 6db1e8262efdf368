//! The settings of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::cfg;
use super::keys::{KEYS, Key, MEANINGLESS};
use super::sources::{Origin, Start, Value, Written, typed};
use super::ssh_args::without_shared;
use crate::inventory::{LoadOptions, Unparsed};
use crate::problem::{Problem, Problems};
use crate::source::{SourceFile, Span};
use crate::yaml::read_source;

/// What happens to a mapping that two sources of variables define.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashBehaviour {
    #[default]
    Replace,
    Merge,
}

/// Every setting with where it came from.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, (Value, Origin)>,
    start: Start,
    root: Option<PathBuf>,
    ansible_cfg: Option<PathBuf>,
    /// What the operator should hear.
    pub warnings: Vec<Problem>,
    /// Settings that have no meaning here and are ignored, for `-v`.
    pub notes: Vec<Problem>,
}

impl Settings {
    /// The settings of this process in a working directory, before its command line.
    pub fn load(cwd: &Path) -> Result<Self, Problems> {
        let settings = Self::from_start(&Start { cwd: cwd.to_owned(), ..Start::of_process() })?;
        crate::process::hold(&settings);
        Ok(settings)
    }

    /// The settings that hold in a given working directory and environment.
    pub fn from_start(start: &Start) -> Result<Self, Problems> {
        let mut settings = Self { start: start.clone(), ..Self::default() };
        let mut problems = vec![];
        let (path, warning) = cfg::find(start);
        settings.warnings.extend(warning);
        // The weakest first: each overwrites what came before.
        if let Some(path) = path {
            if let Err(p) = settings.read_cfg(&path, &mut problems) {
                problems.push(p);
            }
            settings.ansible_cfg = Some(path);
        }
        if let Some(path) = cfg::find_project(&start.cwd) {
            settings.root = path.parent().map(Path::to_owned);
            if let Err(p) = settings.read_toml(&path, &mut problems) {
                problems.push(p);
            }
        }
        settings.read_env(&mut problems);
        let dropped = without_shared(settings.text("ssh_args").unwrap_or_default()).1;
        if !dropped.is_empty() {
            settings.notes.push(settings.origin("ssh_args").locate(Problem::new(
                "ignored-setting",
                format!("`ssh_args`: {} is ignored: there is one connection per node anyway", dropped.join(", ")),
            )));
        }
        settings.without_effect();
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }

    /// Settings that are read, but whose value has no effect here.
    fn without_effect(&mut self) {
        let mut told = vec![];
        let built_in = ["do", "loopcontrols"];
        let short = |name: &String| name.trim().rsplit('.').next().unwrap_or_default().to_owned();
        let others: Vec<String> = self.list("jinja2_extensions").unwrap_or_default().to_vec();
        let others: Vec<String> = others.into_iter().filter(|n| !built_in.contains(&short(n).as_str())).collect();
        if !others.is_empty() {
            told.push((
                "jinja2_extensions",
                format!("{} is ignored: Jinja's extensions are Python", others.join(", ")),
            ));
        }
        if !self.flag("error_on_undefined_vars", true) {
            told.push((
                "error_on_undefined_vars",
                "false is ignored: an undefined variable is an error, as in ansible-core 2.19".to_owned(),
            ));
        }
        let plugins = ["host_list", "advanced_host_list", "script", "auto", "yaml", "ini", "toml", "constructed"];
        let unknown: Vec<String> = self.list("inventory_enabled").unwrap_or_default().to_vec();
        let unknown: Vec<String> = unknown.into_iter().filter(|n| !plugins.contains(&short(n).as_str())).collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            told.push(("inventory_enabled", format!("{names} is ignored: inventory plugins are Python")));
        }
        for (name, words) in told {
            let problem = Problem::new("ignored-setting", format!("`{name}`: {words}"));
            self.notes.push(self.origin(name).locate(problem));
        }
    }

    fn put(&mut self, key: &'static Key, written: Written<'_>, base: &Path, origin: Origin) -> Result<(), Problem> {
        match typed(key, written, &self.start, base) {
            Ok(value) => {
                self.values.insert(key.name, (value, origin));
                Ok(())
            }
            Err(p) => Err(origin.locate(p)),
        }
    }

    fn read_cfg(&mut self, path: &Path, problems: &mut Vec<Problem>) -> Result<(), Problem> {
        let file = read_source(path)?;
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        let mut entries = cfg::parse(&file)?;
        // Of several names for one setting the first counts, so it is put last.
        let rank = |e: &cfg::Entry| {
            KEYS.iter()
                .flat_map(|k| k.ini.iter().enumerate())
                .find(|(_, i)| **i == (e.section.as_str(), e.key.as_str()))
                .map(|(n, _)| n)
        };
        entries.sort_by_key(|e| std::cmp::Reverse(rank(e)));
        for entry in &entries {
            let names = (entry.section.as_str(), entry.key.as_str());
            match KEYS.iter().find(|k| k.ini.contains(&names)) {
                Some(key) => {
                    let origin = Origin::File(entry.value_span.clone());
                    if let Err(p) = self.put(key, Written::Text(&entry.value), &base, origin) {
                        problems.push(p);
                    }
                }
                None => self.ignored(entry),
            }
        }
        Ok(())
    }

    fn ignored(&mut self, entry: &cfg::Entry) {
        let (section, key) = (entry.section.as_str(), entry.key.as_str());
        let meaningless = MEANINGLESS.iter().any(|(s, keys)| *s == section && keys.contains(&key));
        let known: Vec<&str> =
            KEYS.iter().flat_map(|k| k.ini.iter()).filter(|(s, _)| *s == section).map(|(_, k)| *k).collect();
        let near = crate::problem::nearest(key, known.iter().copied());
        if let (false, Some(name)) = (meaningless, near) {
            // Ansible is silent about these; a typing error costs hours.
            self.warnings.push(
                Problem::new("unknown-setting", format!("`[{section}]` has no setting `{key}`: it is ignored"))
                    .at(&entry.key_span)
                    .help(format!("did you mean `{name}`?")),
            );
        } else {
            self.notes.push(
                Problem::new("ignored-setting", format!("`{key}` in `[{section}]` has no meaning here and is ignored"))
                    .at(&entry.key_span),
            );
        }
    }

    fn read_toml(&mut self, path: &Path, problems: &mut Vec<Problem>) -> Result<(), Problem> {
        let file = read_source(path)?;
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        let table = DeTable::parse(&file.text).map_err(|e| {
            let range = e.span().unwrap_or(0..0);
            Problem::new("bad-config", e.message().to_owned()).at(&Span::new(&file, range.start, range.end))
        })?;
        for (name, value) in table.get_ref().iter() {
            let at = |range: std::ops::Range<usize>| Span::new(&file, range.start, range.end);
            let (name_span, value_span) = (at(name.span()), at(value.span()));
            let Some(key) = Key::named(name.get_ref()) else {
                problems.push(
                    Problem::new("unknown-setting", format!("there is no setting `{}`", name.get_ref()))
                        .at(&name_span)
                        .nearest(name.get_ref(), KEYS.iter().map(|k| k.name)),
                );
                continue;
            };
            let origin = Origin::File(value_span.clone());
            let result = match written(value.get_ref(), &file, &value_span) {
                Ok(written) => self.put(key, written, &base, origin),
                Err(p) => Err(p),
            };
            if let Err(p) = result {
                problems.push(p);
            }
        }
        Ok(())
    }

    fn read_env(&mut self, problems: &mut Vec<Problem>) {
        let (env, cwd) = (self.start.env.clone(), self.start.cwd.clone());
        for key in KEYS {
            // An empty variable is as good as none, except where empty text means something.
            if let Some((name, value)) =
                key.env.iter().find_map(|n| env.get(*n).filter(|v| !v.is_empty()).map(|v| (*n, v)))
                && let Err(p) = self.put(key, Written::Text(value), &cwd, Origin::Env(name))
            {
                problems.push(p);
            }
        }
        for name in env.keys().filter(|n| n.starts_with("ANSIBLE_") && *n != "ANSIBLE_CONFIG") {
            if !KEYS.iter().any(|k| k.env.contains(&name.as_str())) {
                self.notes.push(Problem::new(
                    "ignored-setting",
                    format!("the environment variable {name} has no meaning here and is ignored"),
                ));
            }
        }
    }

    /// Puts in a value from the command line: the strongest.
    pub fn give(&mut self, name: &str, text: &str) -> Result<(), Problem> {
        let Some(key) = Key::named(name) else {
            return Err(Problem::new("unknown-setting", format!("there is no setting `{name}`"))
                .nearest(name, KEYS.iter().map(|k| k.name)));
        };
        let cwd = self.start.cwd.clone();
        self.put(key, Written::Text(text), &cwd, Origin::CommandLine)
    }

    /// As [`Self::give`], for settings that are lists (`-i a -i b`).
    pub fn give_list(&mut self, name: &str, items: &[String]) -> Result<(), Problem> {
        let Some(key) = Key::named(name) else {
            return Err(Problem::new("unknown-setting", format!("there is no setting `{name}`")));
        };
        let cwd = self.start.cwd.clone();
        self.put(key, Written::List(items.to_vec()), &cwd, Origin::CommandLine)
    }

    /// Where a setting's value comes from.
    pub fn origin(&self, name: &str) -> Origin {
        self.values.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Every setting that some source gives, with its value and origin.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &Value, &Origin)> {
        self.values.iter().map(|(name, (value, origin))| (*name, value, origin))
    }

    /// A setting as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some((Value::Text(text), _)) => Some(text),
            _ => None,
        }
    }

    /// A setting that is true or false.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self.values.get(name) {
            Some((Value::Bool(b), _)) => *b,
            _ => default,
        }
    }

    /// A number.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.values.get(name) {
            Some((Value::Count(n), _)) => Some(*n),
            _ => None,
        }
    }

    /// A list, or a path list.
    pub fn list(&self, name: &str) -> Option<&[String]> {
        match self.values.get(name) {
            Some((Value::List(items), _)) => Some(items),
            _ => None,
        }
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// Inventory sources: as given, else `inventories/` of the project, if there is one.
    pub fn inventory(&self) -> Vec<String> {
        if let Some(given) = self.list("inventory") {
            return given.to_vec();
        }
        let project = self.root.as_deref().unwrap_or(&self.start.cwd);
        let default = project.join("inventories");
        if default.is_dir() { vec![default.to_string_lossy().into_owned()] } else { vec![] }
    }

    /// The folder of kdeploy.toml.
    pub fn root(&self) -> Option<&PathBuf> {
        self.root.as_ref()
    }

    /// The ansible.cfg that was read (`ansible_config_file`).
    pub fn ansible_cfg(&self) -> Option<PathBuf> {
        self.ansible_cfg.clone()
    }

    /// How inventory sources are read.
    pub fn inventory_options(&self) -> LoadOptions {
        let unparsed = match (
            self.flag("inventory_any_unparsed_is_failed", true),
            self.flag("inventory_unparsed_is_failed", false),
            self.flag("inventory_unparsed_warning", true),
        ) {
            (true, _, _) => Unparsed::Fail,
            (false, true, _) => Unparsed::FailIfAll,
            (false, false, true) => Unparsed::Warn,
            (false, false, false) => Unparsed::Ignore,
        };
        let owned = |name: &str| self.list(name).map(<[String]>::to_vec);
        LoadOptions {
            unparsed,
            enabled: owned("inventory_enabled"),
            ignored_extensions: owned("inventory_ignore_extensions"),
            ignored_patterns: owned("inventory_ignore_patterns").unwrap_or_default(),
            ..LoadOptions::default()
        }
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    /// The playbook that `plan` and `apply` mean if none is named.
    pub fn playbook(&self) -> Option<String> {
        self.owned("playbook")
    }

    fn paths(&self, name: &str, below_home: &str, system: &[&str]) -> Vec<PathBuf> {
        if let Some(given) = self.list(name) {
            return given.iter().map(PathBuf::from).collect();
        }
        let home = self.path("home").or_else(|| self.start.home.as_ref().map(|h| h.join(".ansible")));
        home.into_iter().map(|h| h.join(below_home)).chain(system.iter().map(PathBuf::from)).collect()
    }

    /// Where roles are looked for besides the playbook's `roles/`.
    pub fn roles_path(&self) -> Vec<PathBuf> {
        self.paths("roles_path", "roles", &["/usr/share/ansible/roles", "/etc/ansible/roles"])
    }

    /// Where collections are looked for besides the playbook's `collections/`.
    pub fn collections_path(&self) -> Vec<PathBuf> {
        self.paths("collections_path", "collections", &["/usr/share/ansible/collections"])
    }

    /// Where modules of one's own are looked for besides the playbook's `library/`.
    pub fn library(&self) -> Vec<PathBuf> {
        self.paths("library", "plugins/modules", &["/usr/share/ansible/plugins/modules"])
    }

    /// How many hosts are worked on at once.
    pub fn forks(&self) -> Option<usize> {
        self.count("forks").map(|n| usize::try_from(n).unwrap_or(usize::MAX).max(1))
    }

    /// Seconds to wait for a connection.
    pub fn timeout(&self) -> Option<u64> {
        self.count("timeout")
    }

    /// How often a connection that cannot be made is tried again.
    pub fn ssh_retries(&self) -> Option<u64> {
        self.count("ssh_retries")
    }

    /// Seconds a command may take; 0: any time.
    pub fn command_timeout(&self) -> Option<u64> {
        self.count("command_timeout")
    }

    /// False if host keys are not checked at all.
    pub fn host_key_checking(&self) -> Option<bool> {
        self.text("host_key_checking").map(|t| t != "false")
    }

    /// An unknown host's key is taken and remembered.
    pub fn accept_new_host_keys(&self) -> bool {
        self.text("host_key_checking") == Some("accept-new")
    }

    /// Options for the system's `ssh`, without those for shared connections: kdeploy keeps one connection per node anyway.
    pub fn ssh_args(&self) -> Vec<String> {
        let mut args = vec![];
        for name in ["ssh_args", "ssh_common_args", "ssh_extra_args"] {
            args.extend(without_shared(self.text(name).unwrap_or_default()).0);
        }
        args
    }

    pub fn connection(&self) -> Option<String> {
        // `smart` and `paramiko` are Ansible's ways to say ssh.
        self.owned("connection").map(|c| if matches!(c.as_str(), "smart" | "paramiko") { "ssh".into() } else { c })
    }

    pub fn remote_user(&self) -> Option<String> {
        self.owned("remote_user")
    }

    pub fn private_key_file(&self) -> Option<PathBuf> {
        self.path("private_key_file")
    }

    /// The ssh port.
    pub fn remote_port(&self) -> Result<Option<u16>, Problem> {
        let wrong = |n: u64| {
            self.origin("remote_port").locate(Problem::new("bad-setting", format!("`remote_port`: {n} is no port")))
        };
        self.count("remote_port").map(|n| u16::try_from(n).map_err(|_| wrong(n))).transpose()
    }

    pub fn r#become(&self) -> bool {
        self.flag("become", false)
    }

    pub fn become_user(&self) -> Option<String> {
        self.owned("become_user")
    }

    pub fn become_method(&self) -> Option<String> {
        self.owned("become_method")
    }

    pub fn diff(&self) -> bool {
        self.flag("diff", false)
    }

    pub fn force_handlers(&self) -> bool {
        self.flag("force_handlers", false)
    }

    pub fn any_errors_fatal(&self) -> bool {
        self.flag("any_errors_fatal", false)
    }

    /// Conditions may be any truthy value, as before ansible-core 2.19.
    pub fn allow_broken_conditionals(&self) -> bool {
        self.flag("allow_broken_conditionals", false)
    }

    /// `implicit`, `explicit` or `smart`.
    pub fn gathering(&self) -> Option<String> {
        self.owned("gathering")
    }

    pub fn hash_behaviour(&self) -> HashBehaviour {
        match self.text("hash_behaviour") {
            Some("merge") => HashBehaviour::Merge,
            _ => HashBehaviour::Replace,
        }
    }
}

fn written<'a>(value: &'a DeValue<'_>, file: &Arc<SourceFile>, span: &Span) -> Result<Written<'a>, Problem> {
    let bad = |range: std::ops::Range<usize>, what: &str| {
        Problem::new("bad-setting", format!("a setting cannot be {what}")).at(&Span::new(file, range.start, range.end))
    };
    let whole = span.start..span.end;
    Ok(match value {
        DeValue::String(text) => Written::Text(text),
        DeValue::Boolean(b) => Written::Bool(*b),
        DeValue::Integer(n) => {
            Written::Int(i64::from_str_radix(n.as_str(), n.radix()).map_err(|_| bad(whole, "so large a number"))?)
        }
        DeValue::Array(items) => Written::List(
            items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    other => Err(bad(item.span(), &format!("a list with a value of the type {}", other.type_str()))),
                })
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Float(_) => return Err(bad(whole, "a number with a point")),
        DeValue::Datetime(_) => return Err(bad(whole, "a date")),
        DeValue::Table(_) => return Err(bad(whole, "a table")),
    })
}
