//! `kdeploy explain`.

use clap::Args;

use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::{Interpreter, Watch, explain_offline};
use crate::problem::{Problem, Problems};
use crate::run::{Project, Request};

/// Tell where a variable's value comes from, or why a task runs
///
/// For example: kdeploy explain worker99 containerd_version; kdeploy explain worker99 --task "Install runc"
#[derive(Debug, Args)]
pub struct ExplainArgs {
    pub host: String,
    /// A variable: its value, where it is defined, and every definition it shadows
    #[arg(required_unless_present = "task")]
    pub variable: Option<String>,
    /// A task: whether it runs there, with each condition's value (asks the node). With a variable: as that task sees it
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Playbooks; kdeploy.toml's by default
    #[arg(short, long = "playbook", value_name = "PLAYBOOK")]
    pub playbooks: Vec<String>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl ExplainArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let hosts = HostOptions { limit: Some(self.host.clone()), ..self.hosts.clone() };
        let request = Request::new("explain", &self.playbooks, &hosts, &self.select, &self.output, false);
        let project = Project::load(&request)?;
        project.require_selection(false)?;
        let text = match (&self.task, &self.variable) {
            (Some(task), variable) => self.task(&project, task, variable.clone())?,
            (None, Some(variable)) => {
                let batch = project.schedule.iter().flat_map(|p| &p.batches).find(|b| b.batch.contains(&self.host));
                let Some(batch) = batch else {
                    return Err(Problem::new("no-hosts", format!("`{}` is in no play", self.host)).into());
                };
                explain_offline(&Interpreter::new(&project.run, batch, &self.host, true), variable)?
            }
            (None, None) => String::new(),
        };
        project.finish_progress();
        terminal::print(&project.redactor.clean(&text));
        Ok(Exit::Done)
    }

    fn task(&self, project: &Project, task: &str, variable: Option<String>) -> Result<String, Problems> {
        project.run.set_watch(Watch { task: task.to_owned(), variable, found: vec![] });
        let (outcome, _) = project.plan();
        let found = project.run.take_watch().found;
        if found.is_empty() {
            let names: Vec<&str> = outcome.steps.iter().map(|s| s.task.as_str()).collect();
            let mut problem =
                Problem::new("no-such-task", format!("the plan of `{}` did not come to a task `{task}`", self.host))
                    .nearest(task, names)
                    .note("a handler is come to only if a step that changes something notifies it");
            if let Some(failed) = outcome.steps.iter().find(|s| !s.ignored && s.status == crate::plan::Status::Failed) {
                problem = problem.note(format!("it ends before, at \"{}\" ({})", failed.label(), failed.path));
            }
            return Err(problem.into());
        }
        let mut out = String::new();
        for visit in found {
            let item = visit.item.as_ref().map(|i| format!(" ({i})")).unwrap_or_default();
            out.push_str(&format!("{}{item}  {}\n", visit.label, visit.path));
            if let Some(tags) = &visit.not_selected {
                out.push_str(&format!("  does not run: tags do not select it ({tags})\n"));
                continue;
            }
            let step = outcome.steps.iter().find(|s| s.path == visit.path && s.item == visit.item);
            let verdict = match step.map(|s| s.status) {
                Some(crate::plan::Status::Skipped) => "does not run",
                Some(crate::plan::Status::Unknown) => "may run",
                _ => "runs",
            };
            let because = step.and_then(|s| s.because.clone()).map(|b| format!(": {b}")).unwrap_or_default();
            out.push_str(&format!("  {verdict}{because}\n"));
            if let Some(step) = step.filter(|s| s.handler) {
                let by: Vec<String> = outcome
                    .steps
                    .iter()
                    .filter(|s| s.host == step.host && s.notifies.contains(&step.task))
                    .map(|s| format!("\"{}\" ({})", s.label(), s.path))
                    .collect();
                let by =
                    if by.is_empty() { "an earlier run that did not come to it".to_owned() } else { by.join(", ") };
                out.push_str(&format!("  it is a handler, notified by {by}\n"));
            }
            if visit.conditions.is_empty() {
                out.push_str("  it has no conditions\n");
            }
            for (text, place, value) in &visit.conditions {
                out.push_str(&format!("  when {text}  → {value}  ({place})\n"));
            }
            if let Some(variable) = &visit.variable {
                variable.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
            }
        }
        Ok(out)
    }
}
