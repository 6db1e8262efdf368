//! What `set_stats` gathered over a run, for the end of the default callback's output (`show_custom_stats`).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::plan::{Status, Step};

use super::super::json::value_json;
use super::dump;

/// Figures by host, and those of the run.
#[derive(Default)]
pub struct Stats {
    run: Map<String, Json>,
    hosts: BTreeMap<String, Map<String, Json>>,
}

impl Stats {
    /// What a step adds.
    pub fn take(&mut self, step: &Step) {
        let Some(told) = step.result.values.get("ansible_stats").map(value_json) else { return };
        if !matches!(step.status, Status::Ok | Status::Changed) {
            return;
        }
        let Some(data) = told["data"].as_object() else { return };
        let into = match told["per_host"].as_bool() {
            Some(true) => self.hosts.entry(step.host.clone()).or_default(),
            _ => &mut self.run,
        };
        for (name, value) in data {
            match into.get_mut(name) {
                Some(old) if told["aggregate"].as_bool().unwrap_or(true) => add(old, value),
                _ => {
                    into.insert(name.clone(), value.clone());
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.hosts.is_empty()
    }

    /// The lines below the heading.
    pub fn lines(&self, yaml: bool) -> Vec<String> {
        let shown = |map: &Map<String, Json>| {
            if yaml {
                let text = crate::yaml::emit(
                    &dump::minijinja_value(&Json::Object(map.clone())),
                    &crate::yaml::EmitOptions::nice(),
                );
                return text.lines().map(|line| format!(" {}", line.trim_start())).collect();
            }
            flat(&dump::sorted(&Json::Object(map.clone())), 0)
        };
        let mut lines: Vec<String> = self.hosts.iter().map(|(host, map)| format!("\t{host}: {}", shown(map))).collect();
        if !self.run.is_empty() {
            lines.push(String::new());
            lines.push(format!("\tRUN: {}", shown(&self.run)));
        }
        lines.push(String::new());
        lines
    }
}

/// JSON indented by one blank per level, without its line breaks: as Ansible writes these.
fn flat(value: &Json, depth: usize) -> String {
    let pad = " ".repeat(depth + 1);
    let end = " ".repeat(depth);
    match value {
        Json::Object(map) if !map.is_empty() => {
            let items: Vec<String> =
                map.iter().map(|(k, v)| format!("{pad}{}: {}", Json::from(k.as_str()), flat(v, depth + 1))).collect();
            format!("{{{}{end}}}", items.join(","))
        }
        Json::Array(items) if !items.is_empty() => {
            let items: Vec<String> = items.iter().map(|v| format!("{pad}{}", flat(v, depth + 1))).collect();
            format!("[{}{end}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Adds as Python's `+=` does; values of different kinds stay as they are.
fn add(old: &mut Json, new: &Json) {
    match (&mut *old, new) {
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => *old = a.saturating_add(b).into(),
            _ => *old = (a.as_f64().unwrap_or_default() + b.as_f64().unwrap_or_default()).into(),
        },
        (Json::String(a), Json::String(b)) => a.push_str(b),
        (Json::Array(a), Json::Array(b)) => a.extend(b.iter().cloned()),
        (Json::Object(a), Json::Object(b)) => {
            for (key, value) in b {
                match a.get_mut(key) {
                    Some(Json::Object(inner)) if value.is_object() => {
                        let mut merged = Json::Object(std::mem::take(inner));
                        add(&mut merged, value);
                        a.insert(key.clone(), merged);
                    }
                    _ => {
                        a.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        _ => {}
    }
}
