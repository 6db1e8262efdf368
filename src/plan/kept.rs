//! Facts kept between runs (`fact_caching = jsonfile`): one file per host, which Ansible reads too, as its files are read here.
//!
//! A file holds `{"__payload__": TEXT}`, and the text is JSON: facts by name, in which Ansible wraps what it knows more of, as
//! `{"value": …, "tags": […], "__ansible_type": …}`.

use std::path::PathBuf;
use std::time::Duration;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::run::Run;
use super::state::{HostState, HostVars};
use crate::template::args::pairs;
use crate::template::filters::json::{Layout, dumps, loads};
use crate::template::{Unknown, datetime};

const PAYLOAD: &str = "__payload__";
const TYPE: &str = "__ansible_type";
/// What Ansible puts before a host's name, after the prefix: the version of the format.
const SCHEMA: &str = "s1_";

/// Where facts are kept and for how long.
#[derive(Debug, Clone, Default)]
pub struct FactCache {
    /// `None`: only during the run.
    pub dir: Option<PathBuf>,
    pub prefix: String,
    /// `None`: for ever.
    pub timeout: Option<Duration>,
    /// `--flush-cache`: what is kept from before is not read.
    pub flush: bool,
}

impl FactCache {
    fn file(&self, host: &str) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("{}{SCHEMA}{}", self.prefix, host.replace('/', "_"))))
    }

    fn read(&self, host: &str) -> Option<Vec<(String, Value)>> {
        let path = self.file(host)?;
        let age = std::fs::metadata(&path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        if self.timeout.is_some_and(|most| age > most) {
            drop(std::fs::remove_file(&path));
            return None;
        }
        let text = String::from_utf8(std::fs::read(&path).ok()?).ok()?;
        let outer = loads(&text).ok()?;
        let facts = loads(outer.get_attr(PAYLOAD).ok()?.as_str()?).ok()?;
        Some(
            pairs(&facts)
                .ok()?
                .into_iter()
                .map(|(name, value)| (crate::resources::text_of(&name), bare(&value)))
                .collect(),
        )
    }
}

/// A value without what Ansible notes of it (where it came from, whether templates in it count); its dates are dates.
fn bare(value: &Value) -> Value {
    match value.kind() {
        ValueKind::Seq => value.try_iter().into_iter().flatten().map(|item| bare(&item)).collect(),
        ValueKind::Map => {
            let part = |name: &str| value.get_attr(name).ok().filter(|v| !v.is_undefined());
            let Some(kind) = part(TYPE) else {
                let all = pairs(value).unwrap_or_default();
                return Value::from_pairs(all.into_iter().map(|(name, value)| (name, bare(&value))));
            };
            match (part("value"), part("iso8601")) {
                (Some(inner), _) => bare(&inner),
                (None, Some(moment)) => datetime::from_yaml(&crate::resources::text_of(&moment).replacen('T', " ", 1)),
                (None, None) => kind,
            }
        }
        _ => value.clone(),
    }
}

/// A value as Ansible reads it back: dates say that they are.
fn noted(value: &Value) -> Value {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().into_iter().flatten().map(|item| noted(&item)).collect()
        }
        ValueKind::Map => {
            Value::from_pairs(pairs(value).unwrap_or_default().into_iter().map(|(name, value)| (name, noted(&value))))
        }
        _ => match (datetime::type_name(value), datetime::iso(value)) {
            (Some("date"), Some(text)) => tagged(text, "AnsibleSerializableDate", None),
            (Some("time"), Some(text)) => tagged(text, "AnsibleSerializableTime", Some(0)),
            (Some("datetime"), Some(text)) => tagged(text, "AnsibleSerializableDateTime", Some(0)),
            _ => value.clone(),
        },
    }
}

fn tagged(text: String, kind: &str, fold: Option<i64>) -> Value {
    let fold = fold.map(|fold| ("fold", Value::from(fold)));
    Value::from_pairs([("iso8601", Value::from(text))].into_iter().chain(fold).chain([(TYPE, Value::from(kind))]))
}

impl Run {
    /// A host's facts as an earlier run kept them.
    pub fn restore_facts(&self, host: &str, st: &mut HostState) {
        let cache = &self.options.fact_cache;
        if cache.flush {
            self.forget_kept_facts(host);
            return;
        }
        let Some(facts) = cache.read(host) else { return };
        st.vars.add_facts(facts);
    }

    /// Keeps a host's facts for later runs.
    pub fn keep_facts(&self, host: &str, vars: &HostVars) {
        let Some(path) = self.options.fact_cache.file(host) else { return };
        if vars.facts.is_empty() {
            return;
        }
        let name = |short: &String| {
            if vars.bare_facts.contains(short) { short.clone() } else { format!("ansible_{short}") }
        };
        let facts = vars.facts.iter().filter(|(_, value)| Unknown::within(value).is_none());
        let facts = Value::from_pairs(facts.map(|(short, value)| (name(short), noted(value))));
        let kept = dumps(&facts, &Layout::default())
            .and_then(|text| dumps(&Value::from_pairs([(PAYLOAD, text)]), &Layout::default()));
        let text = match kept {
            Ok(text) => text,
            Err(error) => return self.warn(format!("facts of {host} are not kept: {error}")),
        };
        // For its owner alone: a fact may be a secret.
        let write = |()| {
            use std::os::unix::fs::OpenOptionsExt;
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            std::io::Write::write_all(&mut file, text.as_bytes())
        };
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(write);
        if let Err(error) = written {
            self.warn(format!("facts of {host} are not kept: {}: {error}", path.display()));
        }
    }

    pub fn forget_kept_facts(&self, host: &str) {
        if let Some(path) = self.options.fact_cache.file(host) {
            drop(std::fs::remove_file(path));
        }
    }
}
