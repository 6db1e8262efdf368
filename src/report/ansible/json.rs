//! One JSON document at the end, in the shape of `ansible.posix.json`.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use crate::plan::{HostSummary, Status, Step};

use super::Form;
use super::dump;
use super::screen::{Color, Screen};

pub struct JsonForm {
    screen: Arc<Screen>,
    plays: Vec<Json>,
}

impl JsonForm {
    pub fn new(screen: Arc<Screen>) -> Self {
        Self { screen, plays: vec![] }
    }

    fn tasks(&mut self) -> Option<&mut Vec<Json>> {
        self.plays.last_mut().and_then(|play| play["tasks"].as_array_mut())
    }
}

fn now() -> String {
    super::super::now()
}

fn result(step: &Step) -> Map<String, Json> {
    let mut map = dump::result(step);
    map.insert("action".into(), step.action.clone().into());
    match step.status {
        Status::Failed => {
            map.insert("failed".into(), true.into());
        }
        Status::Skipped => {
            map.insert("skipped".into(), true.into());
            if let Some(because) = &step.because {
                map.entry("skip_reason").or_insert(because.clone().into());
            }
        }
        _ => {}
    }
    map
}

impl Form for JsonForm {
    fn play(&mut self, name: &str, _hosts: &[String]) {
        let id = self.plays.len().to_string();
        self.plays.push(json!({ "play": { "name": name, "id": id, "duration": { "start": now() } }, "tasks": [] }));
    }

    fn task(&mut self, head: &Step) {
        let name = match &head.role {
            Some(role) => format!("{role} : {}", head.task),
            None => head.task.clone(),
        };
        let path = head.path.clone();
        if let Some(tasks) = self.tasks() {
            let id = tasks.len().to_string();
            tasks.push(json!({
                "task": { "name": name, "id": id, "path": path, "duration": { "start": now() } },
                "hosts": {},
            }));
        }
    }

    fn step(&mut self, _step: &Step) {}

    fn retry(&mut self, _host: &str, _task: &str, _left: i64) {}

    fn task_end(&mut self, steps: &[Step]) {
        let mut hosts: IndexMap<&str, Vec<&Step>> = IndexMap::new();
        for step in steps {
            hosts.entry(&step.host).or_default().push(step);
        }
        let mut all = Map::new();
        for (host, steps) in hosts {
            let looped = steps.iter().any(|s| s.item.is_some());
            let mut map = match steps.as_slice() {
                [one] if !looped => result(one),
                items => {
                    let failed = items.iter().any(|s| s.status == Status::Failed);
                    let mut map = Map::new();
                    map.insert("action".into(), items[0].action.clone().into());
                    map.insert("changed".into(), items.iter().any(|s| s.changed).into());
                    map.insert(
                        "msg".into(),
                        if failed { "One or more items failed" } else { "All items completed" }.into(),
                    );
                    if failed {
                        map.insert("failed".into(), true.into());
                    }
                    map.insert("results".into(), items.iter().map(|s| Json::Object(result(s))).collect());
                    map
                }
            };
            map.sort_keys();
            all.insert(host.to_owned(), Json::Object(map));
        }
        if let Some(task) = self.tasks().and_then(|t| t.last_mut()) {
            task["hosts"] = Json::Object(all);
            task["task"]["duration"]["end"] = now().into();
        }
    }

    fn recap(&mut self, hosts: &IndexMap<String, HostSummary>) {
        for play in &mut self.plays {
            if let Some(end) =
                play["tasks"].as_array().and_then(|t| t.last()).map(|t| t["task"]["duration"]["end"].clone())
            {
                play["play"]["duration"]["end"] = end;
            }
        }
        let stats: Map<String, Json> = hosts
            .iter()
            .map(|(host, f)| {
                let figures = json!({
                    "ok": f.ok, "changed": f.changed, "unreachable": f.unreachable, "failures": f.failed,
                    "skipped": f.skipped, "rescued": f.rescued, "ignored": f.ignored,
                });
                (host.clone(), figures)
            })
            .collect();
        let document = json!({
            "custom_stats": {}, "global_custom_stats": {}, "plays": self.plays, "stats": stats,
        });
        self.screen.line(&crate::inventory::pretty(&dump::sorted(&document)), Color::Plain);
    }
}
