//! The default callback's form.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::plan::{HostSummary, Status, Step, target_name};
use crate::resources::Diff;
use crate::resources::diffs::in_words;

use super::dump::{self, module_of};
use super::origin;
use super::screen::{Color, Screen};
use super::stats::Stats;
use super::{Form, Options};

pub struct Default {
    options: Options,
    screen: Arc<Screen>,
    /// The header that was printed last; a task whose results are all hidden gets none.
    pending: Option<String>,
    path: String,
    /// Errors are told once, whatever the number of hosts.
    told: std::collections::BTreeSet<String>,
    stats: Stats,
}

impl Default {
    pub fn new(options: Options, screen: Arc<Screen>) -> Self {
        let told = std::collections::BTreeSet::new();
        Self { options, screen, pending: None, path: String::new(), told, stats: Stats::default() }
    }

    /// The task's header, if it was not printed yet.
    fn header(&mut self) {
        if let Some(text) = self.pending.take() {
            self.screen.banner(&text);
            if self.options.verbosity >= 2 {
                self.screen.line(&format!("task path: {}", self.path), Color::Debug);
            }
        }
    }

    fn verbose(&self, step: &Step) -> bool {
        self.options.verbosity > 0 || told_at_length(step)
    }

    /// ` => {…}` where the result is shown.
    fn shown(&self, step: &Step) -> String {
        if !self.verbose(step) || step.included.is_some() {
            return String::new();
        }
        format!(" => {}", self.body(step))
    }

    fn body(&self, step: &Step) -> String {
        let mut map = dump::result(step);
        let speaks = told_at_length(step);
        if speaks && module_of(step) == "debug" {
            map.remove("changed");
            let by_name = !map.contains_key("msg");
            for key in item_keys(step) {
                // A variable that is shown leaves the item beside it.
                if !by_name || key.starts_with("ansible_") {
                    map.remove(&key);
                }
            }
        } else if step.no_log {
        } else if step.status == Status::Skipped && module_of(step) == "debug" {
            map.retain(|key, _| !matches!(key.as_str(), "changed" | "skip_reason"));
        } else if step.status == Status::Skipped
            && let Some(because) = &step.because
            && !map.contains_key("skipped_reason")
        {
            map.entry("skip_reason").or_insert(because.clone().into());
        }
        if self.options.yaml_results {
            dump::as_yaml(&map)
        } else if speaks || self.options.verbosity >= 3 {
            dump::indented(&map)
        } else {
            dump::compact(&map)
        }
    }

    fn result_line(&mut self, text: &str, color: Color) {
        self.header();
        self.screen.line(text, color);
    }

    fn error(&mut self, step: &Step) {
        let text = origin::error(step, None);
        if self.told.insert(text.clone()) {
            self.failure(&text, Color::Error);
        }
    }

    fn failure(&mut self, text: &str, color: Color) {
        self.header();
        match self.options.failed_stderr {
            true => self.screen.error(text, color),
            false => self.screen.line(text, color),
        }
    }

    /// The difference above the result, with an empty line after it.
    fn diff(&mut self, step: &Step) {
        if !step.diff_asked.unwrap_or(self.options.diff) || step.no_log || step.diff.is_empty() {
            return;
        }
        let text = diffs_text(step, &self.screen);
        if !text.is_empty() {
            self.header();
            // Nothing follows a word about what is not shown.
            let only_words = text.lines().all(|line| line.starts_with("diff skipped: "));
            self.screen.line(if only_words { text.trim_end() } else { &text }, Color::Plain);
        }
    }
}

/// A step's differences as Ansible prints them.
pub fn diffs_text(step: &Step, screen: &Screen) -> String {
    step.diff.iter().map(|d| diff_text(&in_words(d, module_of(step)), screen)).collect()
}

/// One difference.
fn diff_text(diff: &Diff, screen: &Screen) -> String {
    let header = |text: &str, side: &str| match text {
        "" => side.to_owned(),
        text if text == side || text.starts_with(&format!("{side}: ")) => text.to_owned(),
        text => format!("{side}: {text}"),
    };
    let before = header(&diff.before_header, "before");
    let after = header(&diff.after_header, "after");
    let named = Diff { before_header: before, after_header: after, ..diff.clone() };
    // Contents that are not shown say why.
    let mut out = String::new();
    let limit = crate::process::max_diff_size();
    let sides = [("destination", stand_in(&diff.before)), ("source", stand_in(&diff.after))];
    for (side, told) in &sides {
        if told.is_some_and(|(size, text)| size <= limit && !text) {
            out.push_str(&format!("diff skipped: {side} file appears to be binary\n"));
        }
    }
    for (side, told) in &sides {
        if told.is_some_and(|(size, _)| size > limit) {
            out.push_str(&format!("diff skipped: {side} file size is greater than {limit}\n"));
        }
    }
    if !out.is_empty() {
        return out;
    }
    let text = super::super::diff::unified(&named);
    for line in text.lines() {
        let color = match line.as_bytes().first() {
            Some(b'+') => Color::DiffAdd,
            Some(b'-') => Color::DiffRemove,
            Some(b'@') => Color::DiffLines,
            _ => Color::Plain,
        };
        out.push_str(&screen.paint(line, color));
        out.push('\n');
    }
    out
}

/// The line that stands for a content that is not shown: its size, and whether it is text.
fn stand_in(side: &str) -> Option<(u64, bool)> {
    let inner = side.trim_end().strip_prefix('(')?.strip_suffix(')')?;
    let (is_text, rest) = match (inner.strip_prefix("text, "), inner.strip_prefix("binary, ")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => (false, inner),
    };
    let (size, rest) = rest.split_once(" bytes")?;
    (rest.is_empty() || rest.starts_with(", sha1 ")).then_some((size.parse().ok()?, is_text))
}

/// Results that are printed whatever the verbosity.
pub fn speaks(step: &Step) -> bool {
    matches!(module_of(step), "debug" | "assert") && !step.no_log
}

/// Results that are shown over several lines whatever the verbosity: what `debug` says, and what `assert` found.
fn told_at_length(step: &Step) -> bool {
    let over = match module_of(step) {
        "debug" => matches!(step.status, Status::Ok | Status::Changed),
        "assert" => matches!(step.status, Status::Ok | Status::Changed | Status::Failed) && !step.invalid,
        _ => false,
    };
    over && speaks(step) && !step.result.quiet
}

/// What a loop adds to an item's result.
fn item_keys(step: &Step) -> Vec<String> {
    if step.item.is_none() {
        return vec![];
    }
    let mut keys: Vec<String> =
        ["ansible_loop_var", "ansible_index_var", "ansible_loop"].iter().map(|k| (*k).to_owned()).collect();
    for name in ["ansible_loop_var", "ansible_index_var"] {
        keys.extend(step.result.values.get(name).map(crate::resources::text_of));
    }
    keys
}

/// `host`, or `host -> where` of a delegated task.
pub fn host_label(step: &Step) -> String {
    match &step.delegated_to {
        Some(target) if target_name(target) != step.host => format!("{} -> {}", step.host, target_name(target)),
        _ => step.host.clone(),
    }
}

/// The item as shown.
pub fn item_label(step: &Step) -> Option<String> {
    let item = step.item.as_ref()?;
    Some(if step.no_log { "(censored due to no_log)".to_owned() } else { item.clone() })
}

impl Form for Default {
    fn play(&mut self, name: &str, hosts: &[String]) {
        let check = if self.options.check && self.options.check_markers { " [CHECK MODE]" } else { "" };
        self.screen.banner(&format!("PLAY [{}]{check}", name.trim()));
        if hosts.is_empty() {
            self.screen.line("skipping: no hosts matched", Color::Skip);
        }
    }

    fn task(&mut self, head: &Step) {
        let word = if head.handler { "RUNNING HANDLER" } else { "TASK" };
        let mut name = head.task.clone();
        if let ("include_role", Some(included), true) = (module_of(head), &head.included, head.task == head.action) {
            name = format!("{name} : {}", included.display());
        }
        if let Some(role) = &head.role {
            name = format!("{role} : {name}");
        }
        let check = if self.options.check && self.options.check_markers { " [CHECK MODE]" } else { "" };
        self.pending = Some(format!("{word} [{}]{check}", name.trim()));
        let file = std::path::absolute(&head.span.file.path).unwrap_or_else(|_| head.span.file.path.clone());
        self.path = format!("{}:{}", file.display(), head.span.line());
        // A header that may have nothing below it waits for the first line.
        if self.options.skipped_hosts && self.options.ok_hosts {
            self.header();
        }
    }

    fn step(&mut self, step: &Step) {
        let host = host_label(step);
        let item = item_label(step);
        self.stats.take(step);
        if matches!(step.status, Status::Ok | Status::Changed) {
            self.diff(step);
        }
        if let Some(job) = step.result.values.get("ansible_job_id")
            && step.result.values.contains_key("rc")
            && module_of(step) != "async_status"
        {
            let (word, color) = match step.status {
                Status::Failed => ("FAILED", Color::Error),
                _ => ("OK", Color::Debug),
            };
            self.result_line(&format!("ASYNC {word} on {}: jid={}", step.host, crate::resources::text_of(job)), color);
        }
        match (step.status, &item) {
            // Told when all hosts are through.
            (Status::Ok | Status::Changed, _) if step.included.is_some() => {}
            (Status::Ok | Status::Unknown, _) => {
                if self.options.ok_hosts {
                    let item = item.map(|i| format!(" => (item={i})")).unwrap_or_default();
                    self.result_line(&format!("ok: [{host}]{item}{}", self.shown(step)), Color::Ok);
                }
            }
            (Status::Changed, _) => {
                let item = item.map(|i| format!(" => (item={i})")).unwrap_or_default();
                self.result_line(&format!("changed: [{host}]{item}{}", self.shown(step)), Color::Changed);
            }
            (Status::Skipped, _) => {
                if self.options.skipped_hosts {
                    // An item's line has a blank at its end.
                    let item = item.map(|i| format!(" => (item={i}) ")).unwrap_or_default();
                    let shown = self.shown(step);
                    self.result_line(&format!("skipping: [{host}]{item}{shown}"), Color::Skip);
                }
            }
            (Status::Failed, item) => {
                self.error(step);
                if self.options.path_on_failure {
                    let text = format!("task path: {}", self.path);
                    self.failure(&text, Color::Debug);
                }
                let body = self.body(step);
                match item {
                    Some(item) => self.failure(&format!("failed: [{host}] (item={item}) => {body}"), Color::Error),
                    None => self.failure(&format!("fatal: [{host}]: FAILED! => {body}"), Color::Error),
                }
                if step.ignored && item.is_none() {
                    self.result_line("...ignoring", Color::Skip);
                }
            }
            (Status::Unreachable, _) => {
                self.error(step);
                let body = self.body(step);
                self.failure(&format!("fatal: [{host}]: UNREACHABLE! => {body}"), Color::Unreachable);
                if step.ignored {
                    self.result_line("...ignoring", Color::Skip);
                }
            }
        }
    }

    fn retry(&mut self, host: &str, task: &str, left: i64) {
        self.header();
        self.screen.line(&format!("FAILED - RETRYING: [{host}]: {task} ({left} retries left)."), Color::Debug);
    }

    fn loop_end(&mut self, steps: &[&Step]) {
        let Some(first) = steps.first() else { return };
        if steps.iter().all(|s| s.status == Status::Skipped) {
            if self.options.skipped_hosts {
                let mut shown = String::new();
                if self.options.verbosity > 0 {
                    shown = format!(
                        " => {}",
                        dump::compact(
                            &[
                                ("changed".to_owned(), serde_json::Value::from(false)),
                                ("msg".to_owned(), "All items skipped".into()),
                            ]
                            .into_iter()
                            .collect()
                        )
                    );
                }
                self.result_line(&format!("skipping: [{}]{shown}", host_label(first)), Color::Skip);
            }
        } else if steps.iter().any(|s| s.status == Status::Failed && s.ignored) {
            self.result_line("...ignoring", Color::Skip);
        }
    }

    fn task_end(&mut self, steps: &[Step]) {
        let mut included: IndexMap<(String, Option<String>), Vec<&str>> = IndexMap::new();
        for step in steps {
            if let (Some(path), Status::Ok | Status::Changed) = (&step.included, step.status) {
                let what = path.display().to_string();
                included.entry((what, item_label(step))).or_default().push(&step.host);
            }
        }
        for ((path, item), hosts) in included {
            let item = item.map(|i| format!(" => (item={i})")).unwrap_or_default();
            self.result_line(&format!("included: {path} for {}{item}", hosts.join(", ")), Color::Skip);
        }
        self.pending = None;
    }

    fn no_hosts_left(&mut self) {
        self.screen.banner("NO MORE HOSTS LEFT");
    }

    fn recap(&mut self, hosts: &IndexMap<String, HostSummary>) {
        self.screen.banner("PLAY RECAP");
        let mut names: Vec<&String> = hosts.keys().collect();
        names.sort();
        for name in names {
            let f = &hosts[name];
            let count = |word: &str, count: usize, color: Color| {
                let text = format!("{word}={count:<4}");
                if count > 0 { self.screen.paint(&text, color) } else { text }
            };
            let color = match f {
                f if f.failed + f.unreachable > 0 => Color::Error,
                f if f.changed > 0 => Color::Changed,
                _ => Color::Ok,
            };
            let host = if self.screen.color {
                format!("{:<37}", self.screen.paint(name, color))
            } else {
                format!("{name:<26}")
            };
            self.screen.line(
                &format!(
                    "{host} : {} {} {} {} {} {} {}",
                    count("ok", f.ok, Color::Ok),
                    count("changed", f.changed, Color::Changed),
                    count("unreachable", f.unreachable, Color::Unreachable),
                    count("failed", f.failed, Color::Error),
                    count("skipped", f.skipped, Color::Skip),
                    count("rescued", f.rescued, Color::Ok),
                    count("ignored", f.ignored, Color::Warn),
                ),
                Color::Plain,
            );
        }
        self.screen.line("", Color::Plain);
        if self.options.custom_stats && !self.stats.is_empty() {
            self.screen.banner("CUSTOM STATS: ");
            for line in self.stats.lines(self.options.yaml_results) {
                self.screen.line(&line, Color::Plain);
            }
        }
    }
}
