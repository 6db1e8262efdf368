//! An inventory as `ansible-inventory` shows it: `--list`, `--graph`, `--host`, in JSON and YAML.
//!
//! Variables are shown as written: templates in them are not resolved.

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;
use minijinja::Value;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::model::{Group, Inventory};
use crate::problem::Problem;
use crate::report::HIDDEN;
use crate::vars::{Definition, Scope};
use crate::yaml::{EmitOptions, Node, Yaml, emit};

/// What to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShowOptions<'a> {
    /// Each variable where it is defined, instead of all of a host's variables at the host.
    pub export: bool,
    /// group_vars and host_vars beside this count too.
    pub playbook_dir: Option<&'a Path>,
    /// Only these hosts in lists (`--limit`; the graph shows all).
    pub limit: Option<&'a HashSet<String>>,
    /// Shown with every host's own, as the strongest.
    pub extra_vars: Option<&'a Scope>,
}

impl ShowOptions<'_> {
    fn shows(&self, host: &str) -> bool {
        self.limit.is_none_or(|hosts| hosts.contains(host))
    }

    fn hosts<'h>(&self, group: &'h Group) -> Vec<&'h String> {
        group.hosts.iter().filter(|h| self.shows(h)).collect()
    }
}

impl Inventory {
    /// `ansible-inventory --list`.
    pub fn list_json(&self, options: &ShowOptions<'_>) -> Result<Json, Problem> {
        let mut groups = Map::new();
        let mut seen = HashSet::new();
        if let Some(all) = self.groups.get("all") {
            self.list_group(all, options, &mut groups, &mut seen)?;
        }
        let mut hostvars = Map::new();
        for host in self.hosts_of("all").into_iter().filter(|h| options.shows(h)) {
            let vars = self.shown_host(&host, options)?;
            if !vars.is_empty() {
                hostvars.insert(host, sorted(&vars));
            }
        }
        hostvars.sort_keys();
        groups.insert("_meta".into(), json!({ "hostvars": hostvars, "profile": "inventory_legacy" }));
        groups.sort_keys();
        Ok(Json::Object(groups))
    }

    fn list_group(
        &self,
        group: &Group,
        options: &ShowOptions<'_>,
        out: &mut Map<String, Json>,
        seen: &mut HashSet<String>,
    ) -> Result<(), Problem> {
        let mut body = Map::new();
        if !group.children.is_empty() {
            body.insert("children".into(), json!(group.children));
        }
        let hosts = options.hosts(group);
        if group.name != "all" && !hosts.is_empty() {
            body.insert("hosts".into(), json!(hosts));
        }
        if options.export {
            let vars = self.shown_group(group, options)?;
            if !vars.is_empty() {
                body.insert("vars".into(), sorted(&vars));
            }
        }
        if !body.is_empty() {
            out.insert(group.name.clone(), Json::Object(body));
        }
        for child in group.children.iter().filter_map(|c| self.groups.get(c)) {
            if seen.insert(child.name.clone()) {
                self.list_group(child, options, out, seen)?;
            }
        }
        Ok(())
    }

    /// `ansible-inventory --host`.
    pub fn host_json(&self, host: &str, options: &ShowOptions<'_>) -> Result<Json, Problem> {
        if self.host(host).is_none() {
            return Err(Problem::new("unknown-host", format!("there is no host `{host}` in the inventory"))
                .nearest(host, self.hosts.keys().map(String::as_str)));
        }
        let mut shown = sorted(&self.shown_host(host, options)?);
        bare(&mut shown);
        Ok(shown)
    }

    /// `ansible-inventory --host --yaml`.
    pub fn host_yaml(&self, host: &str, options: &ShowOptions<'_>) -> Result<String, Problem> {
        let mut seen = Seen::default();
        let vars = self.shown_host(host, options)?;
        let emitting = EmitOptions { default_flow_style: Some(false), ..EmitOptions::default() };
        let text = emit(&seen.vaulted.mapping(&vars, &self.odd_names), &emitting);
        Ok(seen.vaulted.written(&text))
    }

    /// `ansible-inventory --list --yaml`.
    pub fn list_yaml(&self, options: &ShowOptions<'_>) -> Result<String, Problem> {
        let mut seen = Seen::default();
        let mut top: Vec<(&str, Value)> = vec![];
        if let Some(all) = self.groups.get("all") {
            let body = self.yaml_group(all, options, &mut seen)?;
            if body.len() != Some(0) {
                top.push(("all", body));
            }
        }
        let options = EmitOptions { default_flow_style: Some(false), ..EmitOptions::default() };
        Ok(seen.vaulted.written(&emit(&Value::from_pairs(top), &options)))
    }

    fn yaml_group(&self, group: &Group, options: &ShowOptions<'_>, seen: &mut Seen) -> Result<Value, Problem> {
        let mut body: Vec<(&str, Value)> = vec![];
        let mut children: Vec<(String, Value)> = vec![];
        for child in group.children.iter().filter_map(|c| self.groups.get(c)) {
            let first = seen.groups.insert(child.name.clone());
            let shown = if first {
                self.yaml_group(child, options, seen)?
            } else {
                Value::from_pairs(Vec::<(Value, Value)>::new())
            };
            // A group shown before stands as its name alone; one that holds nothing is left out.
            if !first || shown.len() != Some(0) {
                children.push((child.name.clone(), shown));
            }
        }
        if !children.is_empty() {
            body.push(("children", Value::from_pairs(children)));
        }
        let mut hosts: Vec<(String, Value)> = vec![];
        if group.name != "all" {
            for host in options.hosts(group) {
                let vars =
                    if seen.hosts.insert(host.clone()) { self.shown_host(host, options)? } else { IndexMap::new() };
                hosts.push((host.clone(), seen.vaulted.mapping(&vars, &self.odd_names)));
            }
        }
        if !hosts.is_empty() {
            body.push(("hosts", Value::from_pairs(hosts)));
        }
        if options.export {
            let vars = self.shown_group(group, options)?;
            if !vars.is_empty() {
                body.push(("vars", seen.vaulted.mapping(&vars, &self.odd_names)));
            }
        }
        Ok(Value::from_pairs(body))
    }

    /// `ansible-inventory --graph [GROUP]`, with variables if asked for.
    pub fn graph(&self, root: &str, with_vars: bool, options: &ShowOptions<'_>) -> Result<String, Problem> {
        let Some(group) = self.groups.get(root) else {
            return Err(Problem::new("unknown-group", format!("there is no group `{root}`"))
                .nearest(root, self.groups.keys().map(String::as_str)));
        };
        let mut out = String::new();
        self.graph_group(group, 0, with_vars, options, &mut out)?;
        Ok(out)
    }

    fn graph_group(
        &self,
        group: &Group,
        depth: usize,
        with_vars: bool,
        options: &ShowOptions<'_>,
        out: &mut String,
    ) -> Result<(), Problem> {
        let mut line = |text: &str, depth: usize| {
            if depth > 0 {
                out.push_str(&"  |".repeat(depth));
                out.push_str("--");
            }
            out.push_str(text);
            out.push('\n');
        };
        line(&format!("@{}:", group.name), depth);
        for child in group.children.iter().filter_map(|c| self.groups.get(c)) {
            self.graph_group(child, depth + 1, with_vars, options, out)?;
        }
        let mut line = |text: &str, depth: usize| {
            out.push_str(&"  |".repeat(depth));
            out.push_str("--");
            out.push_str(text);
            out.push('\n');
        };
        let vars = |vars: &IndexMap<String, Shown>| {
            let mut lines: Vec<String> = vars.iter().map(|(k, v)| format!("{{{k} = {}}}", v.value(None))).collect();
            lines.sort();
            lines
        };
        if group.name != "all" {
            for host in &group.hosts {
                line(host, depth + 1);
                if with_vars {
                    for text in vars(&self.shown_host(host, options)?) {
                        line(&text, depth + 2);
                    }
                }
            }
        }
        if with_vars {
            for text in vars(&self.shown_group(group, options)?) {
                line(&text, depth + 1);
            }
        }
        Ok(())
    }

    fn shown_host(&self, host: &str, options: &ShowOptions<'_>) -> Result<IndexMap<String, Shown>, Problem> {
        let mut vars = IndexMap::new();
        if options.export {
            let own = self.hosts.get(host).into_iter().flat_map(|h| &h.vars);
            vars.extend(own.map(|(k, v)| (k.clone(), Shown::Node(v.clone()))));
            for base in self.bases().iter().map(std::path::PathBuf::as_path).chain(options.playbook_dir) {
                add(&mut vars, &self.files.scopes(base, "host_vars", host)?);
            }
        } else {
            add(&mut vars, &self.scopes_for(host, options.playbook_dir)?);
            if let Some(extra) = options.extra_vars {
                add_scope(&mut vars, extra);
            }
        }
        Ok(vars)
    }

    fn shown_group(&self, group: &Group, options: &ShowOptions<'_>) -> Result<IndexMap<String, Shown>, Problem> {
        let mut vars: IndexMap<String, Shown> =
            group.vars.iter().map(|(k, v)| (k.clone(), Shown::Node(v.clone()))).collect();
        for base in self.bases().iter().map(std::path::PathBuf::as_path).chain(options.playbook_dir) {
            add(&mut vars, &self.files.scopes(base, "group_vars", &group.name)?);
        }
        if group.priority != 1 {
            vars.insert("ansible_group_priority".into(), Shown::Value(Value::from(group.priority)));
        }
        Ok(vars)
    }
}

#[derive(Default)]
struct Seen {
    groups: HashSet<String>,
    hosts: HashSet<String>,
    vaulted: Vaulted,
}

/// Cipher texts met while YAML is made: the emitter knows no tags, so each stands as a word until it is written.
#[derive(Default)]
struct Vaulted {
    texts: Vec<std::sync::Arc<str>>,
}

impl Vaulted {
    /// Variables as data. Names that are no text (`odd`) are what they were written as.
    fn mapping(&mut self, vars: &IndexMap<String, Shown>, odd: &IndexMap<String, Node>) -> Value {
        let name = |name: &String| odd.get(name).map_or_else(|| Value::from(name.as_str()), Node::to_value);
        Value::from_pairs(vars.iter().map(|(k, v)| (name(k), v.value(Some(self)))).collect::<Vec<_>>())
    }

    fn word(index: usize) -> String {
        format!("kdeploy-vaulted-{index}-text")
    }

    fn stand_in(&mut self, text: &std::sync::Arc<str>) -> Value {
        self.texts.push(text.clone());
        Value::from(Self::word(self.texts.len() - 1))
    }

    /// The YAML with `!vault |` blocks in place of the words.
    fn written(&self, yaml: &str) -> String {
        let mut out = yaml.to_owned();
        for (index, text) in self.texts.iter().enumerate() {
            let word = Self::word(index);
            let Some(at) = out.find(&word) else { continue };
            let line = &out[out[..at].rfind('\n').map_or(0, |n| n + 1)..at];
            let indent = " ".repeat(line.len() - line.trim_start_matches([' ', '-']).len() + 2);
            let body: Vec<String> = text.trim_end().lines().map(|l| format!("{indent}{}", l.trim())).collect();
            out.replace_range(at..at + word.len(), &format!("!vault |\n{}", body.join("\n")));
        }
        out
    }
}

/// A variable as written, or as data.
enum Shown {
    Node(Node),
    Value(Value),
}

impl Shown {
    /// As data; vaulted values as cipher text in YAML (then `vaulted` is given), hidden elsewhere.
    fn value(&self, vaulted: Option<&mut Vaulted>) -> Value {
        match self {
            Self::Node(node) => node_value(node, &mut { vaulted }),
            Self::Value(value) => value.clone(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Node(node) => node_json(node),
            Self::Value(value) => value_json(value),
        }
    }
}

fn add(vars: &mut IndexMap<String, Shown>, scopes: &[std::sync::Arc<crate::vars::Scope>]) {
    for scope in scopes {
        add_scope(vars, scope);
    }
}

fn add_scope(vars: &mut IndexMap<String, Shown>, scope: &Scope) {
    for (name, definition) in &scope.vars {
        let shown = match definition {
            Definition::Written(node) => Shown::Node(node.clone()),
            Definition::Final(value) => Shown::Value(value.clone()),
            Definition::Computed(computed) => Shown::Value((computed.0)()),
        };
        vars.insert(name.clone(), shown);
    }
}

fn node_value(node: &Node, vaulted: &mut Option<&mut Vaulted>) -> Value {
    if hidden(node) {
        return Value::from(HIDDEN);
    }
    match &node.value {
        Yaml::Vault(text) => match vaulted {
            Some(vaulted) => vaulted.stand_in(text),
            None => Value::from(HIDDEN),
        },
        Yaml::Seq(items) => items.iter().map(|n| node_value(n, vaulted)).collect(),
        Yaml::Map(map) => {
            Value::from_pairs(map.iter().map(|(k, v)| (k.to_value(), node_value(v, vaulted))).collect::<Vec<_>>())
        }
        _ => node.to_value(),
    }
}

/// True for a value that was encrypted together with its file. (Mappings and lists show their keys and length.)
fn hidden(node: &Node) -> bool {
    node.span.file.secret && !matches!(node.value, Yaml::Seq(_) | Yaml::Map(_) | Yaml::Vault(_) | Yaml::Null)
}

/// `--host` tells no text that is data from one that is a template.
fn bare(json: &mut Json) {
    match json {
        Json::Object(map) => {
            if let (1, Some(text)) = (map.len(), map.get("__ansible_unsafe")) {
                *json = text.clone();
            } else {
                map.values_mut().for_each(bare);
            }
        }
        Json::Array(items) => items.iter_mut().for_each(bare),
        _ => {}
    }
}

fn sorted(vars: &IndexMap<String, Shown>) -> Json {
    let mut map: Map<String, Json> = vars.iter().map(|(k, v)| (k.clone(), v.json())).collect();
    map.sort_keys();
    Json::Object(map)
}

fn number(f: f64) -> Json {
    serde_json::Number::from_f64(f).map_or_else(|| Json::String(f.to_string()), Json::Number)
}

fn node_json(node: &Node) -> Json {
    if hidden(node) {
        return Json::String(HIDDEN.into());
    }
    match &node.value {
        Yaml::Null => Json::Null,
        Yaml::Bool(b) => Json::Bool(*b),
        Yaml::Int(n) => json!(n),
        Yaml::BigInt(n) => serde_json::from_str(&n.to_string()).unwrap_or_else(|_| Json::String(n.to_string())),
        Yaml::Float(f) => number(*f),
        Yaml::Str(s) if s.is_unsafe => json!({ "__ansible_unsafe": &*s.text }),
        Yaml::Str(s) => Json::String(s.text.to_string()),
        Yaml::Seq(items) => Json::Array(items.iter().map(node_json).collect()),
        Yaml::Map(map) => {
            let mut out: Map<String, Json> =
                map.iter().map(|(k, v)| (k.scalar_text().unwrap_or_else(|| "null".into()), node_json(v))).collect();
            out.sort_keys();
            Json::Object(out)
        }
        // The cipher text is no secret.
        Yaml::Vault(text) => json!({ "__ansible_vault": &**text }),
    }
}

fn value_json(value: &Value) -> Json {
    let place = crate::source::Span::of_file(&crate::source::SourceFile::new("", ""));
    node_json(&Node::from_value(value, &place))
}

/// JSON as `ansible-inventory` prints it: four blanks per level, keys as they are.
pub fn pretty(value: &Json) -> String {
    let mut out = vec![];
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut out, serde_json::ser::PrettyFormatter::with_indent(b"    "));
    // Writing JSON into memory cannot fail.
    let _ = value.serialize(&mut serializer);
    String::from_utf8(out).unwrap_or_default()
}
