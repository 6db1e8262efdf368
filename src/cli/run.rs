//! `kdeploy run`: one module on a pattern.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;

use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::playbook::{Action, Item, Play, Playbook, Task, TaskArgs, freeform};
use crate::problem::{Problem, Problems};
use crate::report;
use crate::resources::registry;
use crate::run::{Project, Request};
use crate::source::{SourceFile, Span};
use crate::yaml::Node;

/// Run one module on hosts
///
/// For example: kdeploy run worker99 -m systemd -a "name=kubelet state=stopped"
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which hosts
    pub pattern: String,
    /// The module; `command` by default
    #[arg(short, long, default_value = "command")]
    pub module_name: String,
    /// Its arguments: `key=value …`, a JSON mapping, or a command line
    #[arg(short, long = "args", default_value = "")]
    pub args: String,
    /// Change nothing, only foretell
    #[arg(short = 'C', long)]
    pub check: bool,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl RunArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let started = report::now();
        let select = SelectOptions::default();
        let mut request = Request::new("run", &[], &self.hosts, &select, &self.output, self.check);
        request.inline = Some(one_task(&self.pattern, &self.module_name, &self.args)?);
        let project = Project::load(&request)?;
        project.require_selection(false)?;
        terminal::catch_interrupts();
        let json = self.output.output == "json";
        if self.check {
            let (plan, _) = project.plan();
            project.finish_progress();
            let text = match json {
                true => format!("{}\n", project.document("run", &started, &plan, true)),
                false => project.redactor.clean(&report::plan_text(&plan, "Plan", project.style, self.output.verbose)),
            };
            terminal::print(&text);
            return Ok(Exit::of(&plan));
        }
        let outcome = project.apply(None, &terminal::interrupted);
        project.finish_progress();
        if json {
            terminal::print(&format!("{}\n", project.document("run", &started, &outcome, false)));
        } else {
            let style = report::Style::new(self.output.color, std::io::stdout().is_terminal());
            for step in &outcome.steps {
                terminal::print(&project.redactor.clean(&report::adhoc_text(step, style)));
            }
        }
        if terminal::interrupted() {
            return Ok(Exit::Interrupted);
        }
        Ok(Exit::of(&outcome))
    }
}

/// A playbook of one play with one task, standing on the command line.
pub fn one_task(pattern: &str, module: &str, args: &str) -> Result<Playbook, Problems> {
    let file = SourceFile::new("<command line>", format!("{module} {args}"));
    let whole = Span::new(&file, 0, file.text.len());
    let args_span = Span::new(&file, module.len() + 1, file.text.len());
    let Some(kind) = registry::lookup(module) else {
        return Err(Problem::new("unknown-module", format!("no module is named `{module}`"))
            .at(&Span::new(&file, 0, module.len()))
            .nearest(module, registry::all().map(|t| t.name))
            .into());
    };
    let args = args.trim();
    let task_args = if args.starts_with('{') {
        let root = crate::yaml::parse_text("<arguments>", args)?.single()?;
        let Some(map) = root.as_map() else {
            return Err(Problem::new("invalid-argument", "arguments must be a mapping").at(&root.span).into());
        };
        TaskArgs::Named(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    } else {
        let command_like = matches!(kind.name, "command" | "shell" | "raw" | "script");
        let parsed = freeform::parse(args, command_like)
            .map_err(|_| Problem::new("invalid-argument", "a quote or bracket is not closed").at(&args_span))?;
        let pairs: Vec<(Node, Node)> = parsed
            .pairs
            .iter()
            .map(|(k, v)| (Node::text(k.as_str(), &args_span), Node::text(v.as_str(), &args_span)))
            .collect();
        match parsed.free {
            Some(raw) if !raw.is_empty() => {
                if kind.free_form.is_none() {
                    return Err(Problem::new(
                        "invalid-argument",
                        format!("`{}` takes `key=value` arguments", kind.name),
                    )
                    .at(&args_span)
                    .into());
                }
                TaskArgs::Free(Node::text(raw.as_str(), &args_span), pairs)
            }
            _ => TaskArgs::Named(pairs),
        }
    };
    let task = Task::new(Action::Module { name: kind.name.to_owned(), written: module.to_owned() }, task_args, &whole);
    let mut play = Play::new(Node::text(pattern, &whole), &whole);
    play.gather_facts = Some(Node::new(crate::yaml::Yaml::Bool(false), whole.clone()));
    play.tasks = vec![Item::Task(Arc::new(task))];
    Ok(Playbook { path: "<command line>".into(), plays: vec![Arc::new(play)] })
}
