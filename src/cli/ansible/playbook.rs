//! `ansible-playbook`.

use clap::Parser;

use super::super::terminal;
use super::failure::Failure;
use super::{ForeignOptions, exit_code, reporter, settings};
use crate::options::{HostOptions, SelectOptions};
use crate::plan::Sink;
use crate::report::Redactor;
use crate::report::ansible::Callback;
use crate::run::{Project, Request};

/// Runs Ansible playbooks, executing the defined tasks on the targeted hosts
#[derive(Debug, Parser)]
#[command(name = "ansible-playbook", disable_version_flag = true)]
pub struct PlaybookArgs {
    /// Playbook(s)
    #[arg(required = true)]
    playbooks: Vec<String>,
    /// Confirm each task before running
    #[arg(long)]
    step: bool,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    select: PlaybookSelect,
    #[command(flatten)]
    foreign: ForeignOptions,
    /// Print the program's version
    #[arg(long)]
    version: bool,
}

/// What of the playbook.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are ansible-playbook's options")]
struct PlaybookSelect {
    /// Only plays and tasks tagged with these values
    #[arg(short, long, value_name = "TAGS")]
    tags: Vec<String>,
    /// Only plays and tasks whose tags do not match these values
    #[arg(long, value_name = "TAGS")]
    skip_tags: Vec<String>,
    /// Start the playbook at the task matching this name
    #[arg(long, value_name = "NAME")]
    start_at_task: Option<String>,
    /// List all tasks that would be executed
    #[arg(long)]
    list_tasks: bool,
    /// List all available tags
    #[arg(long)]
    list_tags: bool,
    /// Outputs a list of matching hosts; does not execute anything else
    #[arg(long)]
    list_hosts: bool,
    /// Perform a syntax check on the playbook, but do not execute it
    #[arg(long)]
    syntax_check: bool,
    /// Run handlers even if a task fails
    #[arg(long)]
    force_handlers: bool,
}

impl PlaybookSelect {
    fn options(&self, flush_cache: bool, step: bool) -> SelectOptions {
        SelectOptions {
            tags: self.tags.clone(),
            skip_tags: self.skip_tags.clone(),
            start_at_task: self.start_at_task.clone(),
            step,
            allow_empty: true,
            list_tasks: self.list_tasks,
            list_tags: self.list_tags,
            list_hosts: self.list_hosts,
            syntax_check: self.syntax_check,
            flush_cache,
            force_handlers: self.force_handlers,
        }
    }
}

impl PlaybookArgs {
    pub fn run(self) -> Result<u8, Failure> {
        for name in &self.playbooks {
            if !std::path::Path::new(name).exists() {
                return Err(Failure::error(format!("the playbook: {name} could not be found")));
            }
        }
        let select = self.select.options(self.foreign.flush_cache, self.step);
        let output = self.foreign.output();
        let callback = Callback::named(settings()?.text("stdout_callback").unwrap_or("default"))?;
        let report = std::cell::OnceCell::new();
        let make = |settings: &crate::config::Settings, redactor: &Redactor| {
            let made = report.get_or_init(|| reporter(callback, self.foreign.report(settings), settings, redactor));
            made.clone() as std::sync::Arc<dyn Sink>
        };
        // Each playbook is listed apart.
        if select.list_tasks || select.list_tags || select.list_hosts || select.syntax_check {
            for playbook in &self.playbooks {
                let one = std::slice::from_ref(playbook);
                let mut request = Request::new("ansible-playbook", one, &self.hosts, &select, &output, false);
                request.reporter = Some(&make);
                let project = Project::load(&request).map_err(limited)?;
                terminal::print(&project.listing(&select)?.unwrap_or_default());
            }
            return Ok(0);
        }
        let mut request =
            Request::new("ansible-playbook", &self.playbooks, &self.hosts, &select, &output, self.foreign.check);
        request.reporter = Some(&make);
        request.ask = terminal::operator();
        let project = Project::load(&request).map_err(limited)?;
        let marks =
            self.foreign.check && callback == Callback::Default && settings()?.flag("check_mode_markers", false);
        if let Some(report) = report.get() {
            self.head(report, &project);
            if marks {
                report.dry_run();
            }
        }
        terminal::catch_interrupts();
        let outcome = project.apply(None, &terminal::interrupted);
        crate::cli::history::keep(&project, &outcome);
        project.finish_progress();
        if let Some(report) = report.get().filter(|_| !outcome.aborted) {
            if let Some(path) = self.retry_file(&outcome)? {
                report.remark(&format!("\tto retry, use: --limit @{}", path.display()));
            }
            report.recap(&outcome);
            if marks {
                report.dry_run();
            }
        }
        Ok(exit_code(&outcome))
    }
}

impl PlaybookArgs {
    /// Writes the hosts that failed into a file for `--limit`, if the settings ask for it.
    fn retry_file(&self, outcome: &crate::plan::Outcome) -> Result<Option<std::path::PathBuf>, Failure> {
        let settings = settings()?;
        let failed: Vec<&str> =
            outcome.hosts.iter().filter(|(_, f)| f.failed + f.unreachable > 0).map(|(name, _)| name.as_str()).collect();
        if failed.is_empty() || !settings.flag("retry_files_enabled", false) {
            return Ok(None);
        }
        let Some(playbook) = self.playbooks.last().map(std::path::Path::new) else { return Ok(None) };
        let name = playbook.with_extension("retry");
        let path = match settings.path("retry_files_save_path") {
            Some(dir) => dir.join(name.file_name().unwrap_or_default()),
            None => std::path::absolute(&name).unwrap_or(name),
        };
        if let Some(dir) = path.parent() {
            // Whether it can be written is told by the next step.
            drop(std::fs::create_dir_all(dir));
        }
        match std::fs::write(&path, format!("{}\n", failed.join("\n"))) {
            Ok(()) => Ok(Some(path)),
            Err(e) => {
                terminal::say(&format!("[WARNING]: Could not create retry file '{}'.\t{e}", path.display()));
                Ok(None)
            }
        }
    }

    /// What `-v` and `-vv` say before the first play.
    fn head(&self, report: &crate::report::ansible::Reporter, project: &Project) {
        if self.foreign.verbose >= 1 {
            report.preface(&match &project.run.options.config_file {
                Some(path) => format!("Using {} as config file", path.display()),
                None => "No config file found; using defaults".to_owned(),
            });
        }
        if self.foreign.verbose >= 2 {
            let name = std::path::Path::new(&self.playbooks[0]).file_name().unwrap_or_default().to_string_lossy();
            report.playbook(&name, project.playbook.plays.len());
        }
    }
}

/// A limit that leaves no host is an error of its own.
pub(super) fn limited(problems: crate::problem::Problems) -> Failure {
    if problems.0.iter().any(|p| p.code == "no-hosts") {
        let mut failure =
            Failure::error("Specified inventory, host pattern and/or --limit leaves us with no hosts to target.");
        let mut notes: Vec<String> = vec![];
        for problem in problems.0 {
            let text = std::iter::once(problem.message).chain(problem.help).collect::<Vec<_>>().join("; ");
            if !notes.contains(&text) {
                notes.push(text);
            }
        }
        failure.problems.0[0].notes = notes;
        return failure;
    }
    problems.into()
}
