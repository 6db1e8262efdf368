//! Progress while a run goes on: one line per step that ends, and a moving line on a terminal.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::{Event, Sink, Status, Step, lock};

use super::plan::one_line;
use super::redact::Redactor;
use super::style::Style;

/// Prints events as they come.
pub struct Live {
    style: Style,
    verbosity: u8,
    /// False: only warnings (a plan, or `--output json`).
    steps: bool,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    redactor: Redactor,
    events: Option<Mutex<std::fs::File>>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<String, String>,
    done: usize,
    changed: usize,
}

impl Live {
    pub fn new(style: Style, verbosity: u8, steps: bool, redactor: Redactor) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { style, verbosity, steps, bar, state: Mutex::default(), redactor, events: None }
    }

    /// Also writes each ended step as a line of JSON.
    pub fn with_events(mut self, file: std::fs::File) -> Self {
        self.events = Some(Mutex::new(file));
        self
    }

    fn line(&self, text: &str) {
        let text = self.redactor.clean(text);
        match &self.bar {
            Some(bar) if !bar.is_finished() => bar.println(text),
            // A reader that went away is no error of the run.
            _ => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    fn refresh(&self) {
        let Some(bar) = &self.bar else { return };
        let state = lock(&self.state);
        let mut message = format!("{} steps, {} changed", state.done, state.changed);
        let width = 76usize.saturating_sub(message.len());
        let running: Vec<String> = state.running.iter().map(|(host, task)| format!("{host}: {task}")).collect();
        if !running.is_empty() {
            message.push_str(&format!("  {}", one_line(&running.join("  "), width)));
        }
        bar.set_message(self.redactor.clean(&message));
    }

    fn write_event(&self, step: &Step, planned: bool) {
        if let Some(events) = &self.events {
            let line = self.redactor.clean(&super::json::step_json(step, planned).to_string());
            drop(writeln!(lock(events), "{line}"));
        }
    }

    fn ended(&self, step: &Step) {
        {
            let mut state = lock(&self.state);
            state.done += 1;
            state.changed += usize::from(step.changed);
            state.running.remove(&step.host);
        }
        self.write_event(step, false);
        if self.steps {
            let style = self.style;
            let word = match step.status {
                Status::Failed if step.ignored => style.yellow("failed (ignored)"),
                Status::Failed if step.rescued => style.yellow("failed (rescued)"),
                Status::Failed => style.red("failed"),
                Status::Unreachable => style.red("unreachable"),
                Status::Changed => style.yellow("changed"),
                Status::Skipped => style.cyan("skipped"),
                Status::Ok => style.green("ok"),
                Status::Unknown => style.magenta("unknown"),
            };
            let quiet = matches!(step.status, Status::Ok | Status::Skipped) && self.verbosity == 0 && !step.speaks();
            if !quiet {
                let time = if step.ms >= 100.0 { format!("  {:.1} s", step.ms / 1000.0) } else { String::new() };
                self.line(&format!(
                    "{}  {word}  {}{}",
                    style.bold(&step.host),
                    one_line(&step.label(), 100),
                    style.dim(&time)
                ));
                if step.speaks() && !step.no_log {
                    if let Some(text) = step.message() {
                        for line in text.lines() {
                            self.line(&format!("    {line}"));
                        }
                    }
                } else if matches!(step.status, Status::Failed | Status::Unreachable | Status::Changed) && !step.no_log
                {
                    for line in step.because.as_deref().unwrap_or("").lines() {
                        self.line(&format!("    {line}"));
                    }
                }
            }
        }
        self.refresh();
    }
}

impl Sink for Live {
    /// Takes the moving line away.
    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Play { name, hosts, .. } => {
                if self.steps && !hosts.is_empty() {
                    let plural = if hosts.len() == 1 { "host" } else { "hosts" };
                    self.line(&self.style.bold(&format!("play {name}  ({} {plural})", hosts.len())));
                }
            }
            Event::Observing { host } => {
                lock(&self.state).running.insert(host.clone(), "observing".to_owned());
                self.refresh();
            }
            Event::Started(step) => {
                lock(&self.state).running.insert(step.host.clone(), step.label());
                self.refresh();
            }
            Event::Ended(step) => self.ended(step),
            Event::Planned(step) => self.write_event(step, true),
            Event::Unreachable { host, message, help } => {
                self.line(&format!("{}: {message}", self.style.red(host)));
                for help in help {
                    self.line(&format!("  help: {help}"));
                }
            }
            Event::Reached { .. } => {}
            Event::Stopped { why, .. } => self.line(&format!("{}: {why}", self.style.yellow("warning"))),
            Event::Retry { step, left, .. } => {
                let (host, word) = (self.style.bold(&step.host), self.style.yellow("failed, trying again"));
                self.line(&format!("{host}  {word}  {} ({left} left)", step.label()));
            }
            Event::Aborted(problem) => self.line(crate::report::problem_text(problem, self.style).trim_end()),
            Event::Warning(text) => self.line(&format!("{}: {text}", self.style.yellow("warning"))),
            Event::Deprecation(text) => self.line(&format!("{}: {text}", self.style.yellow("deprecated"))),
            Event::HostDone { host } => {
                lock(&self.state).running.remove(host);
                self.refresh();
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish();
    }
}
