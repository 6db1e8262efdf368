//! `host | SUCCESS => {…}`: the forms `minimal` and `oneline`, which `ansible` prints.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use crate::plan::{HostSummary, Status, Step};

use super::default::{diffs_text, speaks};
use super::dump::{self, module_of};
use super::origin;
use super::screen::{Color, Screen};
use super::{Form, Options};

pub struct Minimal {
    options: Options,
    screen: Arc<Screen>,
    oneline: bool,
    told: std::collections::BTreeSet<String>,
}

impl Minimal {
    pub fn new(options: Options, screen: Arc<Screen>, oneline: bool) -> Self {
        Self { options, screen, oneline, told: std::collections::BTreeSet::new() }
    }

    fn structured(&self, step: &Step, map: &Map<String, Json>) -> String {
        match (self.oneline, speaks(step)) {
            (false, _) => dump::indented(map),
            (true, false) => dump::tight(map),
            // What speaks is indented there too, without its line ends.
            (true, true) => dump::indented(map).replace('\n', ""),
        }
    }

    /// An error once, whatever the number of hosts.
    fn error(&mut self, step: &Step) {
        let text = origin::error(step, Some(self.options.adhoc.as_deref().unwrap_or_default()));
        if self.told.insert(text.clone()) && !self.oneline {
            self.screen.line(&text, Color::Error);
        }
    }

    /// A command's output as it is.
    fn command(&self, step: &Step, word: &str, map: &Map<String, Json>) -> String {
        let text = |key: &str| map.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let rc = map.get("rc").map_or_else(|| "-1".to_owned(), ToString::to_string);
        let (host, stdout, stderr) = (&step.host, text("stdout"), text("stderr"));
        if self.oneline {
            let flat = |text: &str| text.replace('\n', "\\n");
            let stderr = match stderr.is_empty() {
                true => String::new(),
                false => format!(" (stderr) {}", flat(&stderr)),
            };
            return format!("{host} | {word} | rc={rc} | (stdout) {}{stderr}", flat(&stdout));
        }
        format!("{host} | {word} | rc={rc} >>\n{stdout}{stderr}{}", text("msg"))
    }

    fn write_tree(&self, step: &Step, map: &Map<String, Json>) {
        let Some(dir) = &self.options.tree else { return };
        let written =
            std::fs::create_dir_all(dir).and_then(|()| std::fs::write(dir.join(&step.host), dump::compact(map)));
        if let Err(error) = written {
            self.screen.error(&format!("[WARNING]: Unable to write to {}'s file: {error}", step.host), Color::Warn);
        }
    }
}

/// Modules whose output is shown as text.
fn is_command(step: &Step) -> bool {
    matches!(module_of(step), "command" | "shell" | "raw" | "script" | "win_command" | "win_shell")
}

impl Form for Minimal {
    fn play(&mut self, _name: &str, _hosts: &[String]) {}

    fn task(&mut self, _head: &Step) {}

    fn step(&mut self, step: &Step) {
        let mut map = dump::result(step);
        self.write_tree(step, &map);
        if self.options.diff && !step.no_log && matches!(step.status, Status::Ok | Status::Changed) {
            let text = diffs_text(step, &self.screen);
            if !text.is_empty() {
                self.screen.line(&text, Color::Plain);
            }
        }
        let asynchronous = map.contains_key("ansible_job_id");
        let command = is_command(step) && !asynchronous && (map.contains_key("rc") || map.contains_key("timedout"));
        let (word, color) = match step.status {
            Status::Ok | Status::Unknown => ("SUCCESS", Color::Ok),
            Status::Changed => ("CHANGED", Color::Changed),
            Status::Failed => ("FAILED", Color::Error),
            Status::Skipped => ("SKIPPED", Color::Skip),
            Status::Unreachable => ("UNREACHABLE!", Color::Unreachable),
        };
        if module_of(step) == "debug" && step.status == Status::Ok && !self.oneline {
            map.remove("changed");
        }
        let host = &step.host;
        match step.status {
            Status::Skipped => self.screen.line(&format!("{host} | SKIPPED"), color),
            Status::Failed => {
                self.error(step);
                if command {
                    self.screen.line(&self.command(step, word, &map), color);
                }
                // `oneline` shows both.
                if !command || self.oneline {
                    self.screen.line(&format!("{host} | FAILED! => {}", self.structured(step, &map)), color);
                }
            }
            Status::Unreachable => {
                self.error(step);
                self.screen.line(&format!("{host} | UNREACHABLE! => {}", self.structured(step, &map)), color);
            }
            _ if command => self.screen.line(&self.command(step, word, &map), color),
            _ => self.screen.line(&format!("{host} | {word} => {}", self.structured(step, &map)), color),
        }
    }

    fn retry(&mut self, _host: &str, _task: &str, _left: i64) {}

    fn task_end(&mut self, _steps: &[Step]) {}

    fn recap(&mut self, _hosts: &IndexMap<String, HostSummary>) {}
}
