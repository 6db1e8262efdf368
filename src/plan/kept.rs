//! Facts kept between runs (`fact_caching = jsonfile`): one file of JSON per host.

use std::path::PathBuf;
use std::time::Duration;

use minijinja::Value;

use super::run::Run;
use super::state::{HostState, HostVars};

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
        Some(self.dir.as_ref()?.join(format!("{}{}", self.prefix, host.replace('/', "_"))))
    }

    fn read(&self, host: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
        let path = self.file(host)?;
        let age = std::fs::metadata(&path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        if self.timeout.is_some_and(|most| age > most) {
            drop(std::fs::remove_file(&path));
            return None;
        }
        match serde_json::from_slice(&std::fs::read(&path).ok()?) {
            Ok(serde_json::Value::Object(map)) => Some(map),
            _ => None,
        }
    }
}

impl Run {
    /// A host's facts as an earlier run kept them.
    pub fn restore_facts(&self, host: &str, st: &mut HostState) {
        let cache = &self.options.fact_cache;
        if cache.flush {
            self.forget_kept_facts(host);
            return;
        }
        let Some(map) = cache.read(host) else { return };
        st.vars
            .add_facts(map.into_iter().map(|(name, value)| (name, crate::resources::common::kit::from_json(&value))));
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
        let map: serde_json::Map<String, serde_json::Value> = vars
            .facts
            .iter()
            .filter(|(_, value)| crate::template::Unknown::within(value).is_none())
            .map(|(short, value): (&String, &Value)| (name(short), crate::report::value_json(value)))
            .collect();
        let text = serde_json::to_string_pretty(&map).unwrap_or_default();
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
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
