//! Output in the forms of Ansible's callbacks, for those who read it: Makefiles, CI jobs, drivers.
//!
//! Hosts run independently; [`Linear`] puts what they tell in the order of a linear run, task by task, and hands it to a
//! [`Form`]: the default callback's, `minimal`, `oneline` or `json`.

mod default;
mod dump;
mod json;
mod linear;
mod minimal;
mod origin;
mod screen;
mod stats;

use std::sync::Arc;

use crate::config::Settings;
use crate::plan::{HostSummary, Outcome, Sink, Step};
use crate::problem::Problem;

use super::redact::Redactor;
use linear::Linear;
pub use origin::place_text;
pub use screen::{Color, Screen};

/// Which callback's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    Default,
    Minimal,
    Oneline,
    Json,
}

impl Callback {
    /// By the name of Ansible's plugin.
    pub fn named(name: &str) -> Result<Self, Problem> {
        match name {
            "default" | "ansible.builtin.default" => Ok(Self::Default),
            "minimal" | "ansible.builtin.minimal" => Ok(Self::Minimal),
            "oneline" | "ansible.builtin.oneline" => Ok(Self::Oneline),
            "json" | "ansible.posix.json" => Ok(Self::Json),
            other => Err(Problem::unsupported(format!("the stdout callback `{other}`"))
                .help("one of: default, minimal, oneline, json")),
        }
    }
}

/// What the settings say about the output.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are Ansible's settings")]
pub struct Options {
    pub verbosity: u8,
    pub diff: bool,
    pub check: bool,
    pub skipped_hosts: bool,
    pub ok_hosts: bool,
    pub failed_stderr: bool,
    pub check_markers: bool,
    pub yaml_results: bool,
    pub custom_stats: bool,
    pub path_on_failure: bool,
    /// The task of `ansible`, as it names it in errors.
    pub adhoc: Option<String>,
    /// Also writes each host's result into this folder (`ansible -t`).
    pub tree: Option<std::path::PathBuf>,
}

impl Options {
    pub fn new(settings: &Settings, verbosity: u8) -> Self {
        Self {
            verbosity,
            diff: settings.diff(),
            check: false,
            skipped_hosts: settings.flag("display_skipped_hosts", true),
            ok_hosts: settings.flag("display_ok_hosts", true),
            failed_stderr: settings.flag("display_failed_stderr", false),
            check_markers: settings.flag("check_mode_markers", false),
            yaml_results: settings.text("result_format") == Some("yaml"),
            custom_stats: settings.flag("show_custom_stats", false),
            path_on_failure: settings.flag("show_task_path_on_failure", false),
            adhoc: None,
            tree: None,
        }
    }
}

/// Shows a run's events in one form; calls come in the order of a linear run.
pub trait Form: Send {
    fn play(&mut self, name: &str, hosts: &[String]);
    /// A task of which something is to be told. `started` before any result.
    fn task(&mut self, head: &Step);
    fn step(&mut self, step: &Step);
    fn retry(&mut self, host: &str, task: &str, left: i64);
    /// A host is through a loop: its items.
    fn loop_end(&mut self, _items: &[&Step]) {}
    /// All hosts are through the task.
    fn task_end(&mut self, steps: &[Step]);
    /// Too many hosts failed for the play to go on.
    fn no_hosts_left(&mut self) {}
    fn recap(&mut self, hosts: &indexmap::IndexMap<String, HostSummary>);
}

/// The sink that shows a run in a callback's form. [`Reporter::recap`] ends it.
pub struct Reporter {
    linear: Linear,
}

impl Reporter {
    pub fn new(callback: Callback, options: Options, screen: Screen) -> Arc<Self> {
        let screen = Arc::new(screen);
        let warnings = screen.clone();
        let form: Box<dyn Form> = match callback {
            Callback::Default => Box::new(default::Default::new(options, screen)),
            Callback::Minimal => Box::new(minimal::Minimal::new(options, screen, false)),
            Callback::Oneline => Box::new(minimal::Minimal::new(options, screen, true)),
            Callback::Json => Box::new(json::JsonForm::new(screen)),
        };
        Arc::new(Self { linear: Linear::new(form, warnings) })
    }

    /// Words before the first play.
    pub fn preface(&self, text: &str) {
        self.linear.preface(text);
    }

    /// The header of a playbook, for `-vv`.
    pub fn playbook(&self, name: &str, plays: usize) {
        self.linear.playbook(name, plays);
    }

    /// Says before and after a run that it was in check mode, where settings ask for such marks.
    pub fn dry_run(&self) {
        self.linear.banner("DRY RUN");
    }

    /// A line that stands between the last task and the recap.
    pub fn remark(&self, text: &str) {
        self.linear.preface(text);
    }

    /// The end: figures of every host that took part.
    pub fn recap(&self, outcome: &Outcome) {
        self.linear.recap(outcome);
    }
}

impl Sink for Reporter {
    fn event(&self, event: &crate::plan::Event) {
        self.linear.event(event);
    }

    fn finish(&self) {
        self.linear.flush();
    }
}

/// A result as Ansible's callbacks write it, on one line.
pub fn result_text(step: &Step) -> String {
    dump::compact(&dump::result(step))
}

/// A screen by the settings: colours on a terminal, or as they say.
pub fn screen(settings: &Settings, redactor: &Redactor) -> Screen {
    use std::io::IsTerminal;
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let color = if settings.flag("force_color", false) {
        true
    } else if settings.flag("nocolor", false) || set("NO_COLOR") {
        false
    } else {
        std::io::stdout().is_terminal() && std::env::var("TERM").as_deref() != Ok("dumb")
    };
    let screen = Screen::new(color, redactor.clone());
    match settings.path("log_path") {
        Some(path) => screen.logging_to(&path),
        None => screen,
    }
}
