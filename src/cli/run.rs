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

/// The one task of an ad hoc command.
#[derive(Debug, Clone, Args)]
pub struct AdHoc {
    /// The module; `command` by default, or what the setting `module_name` says
    #[arg(short, long, default_value = "")]
    pub module_name: String,
    /// Its arguments: `key=value …`, a JSON mapping, or a command line
    #[arg(short, long = "args", default_value = "", allow_hyphen_values = true)]
    pub args: String,
    /// Run in the background on the node, failing after so many seconds
    #[arg(short = 'B', long, value_name = "SECONDS")]
    pub background: Option<i64>,
    /// Seconds between two looks at a task in the background; 0 does not wait for it
    #[arg(short = 'P', long, value_name = "SECONDS", default_value_t = 15)]
    pub poll: i64,
    /// Seconds after which the task is ended as failed
    #[arg(long, value_name = "SECONDS")]
    pub task_timeout: Option<u64>,
}

impl AdHoc {
    /// Without `-m` the settings name the module.
    pub fn or_default_module(mut self) -> Result<Self, Problems> {
        if self.module_name.is_empty() {
            let settings = crate::config::Settings::load(&std::env::current_dir().unwrap_or_default())?;
            self.module_name = settings.text("module_name").unwrap_or("command").to_owned();
        }
        Ok(self)
    }
}

impl Default for AdHoc {
    fn default() -> Self {
        Self { module_name: "ping".to_owned(), args: String::new(), background: None, poll: 15, task_timeout: None }
    }
}

impl AdHoc {
    /// As a playbook of one play with one task.
    pub fn playbook(&self, pattern: &str) -> Result<Playbook, Problems> {
        let mut playbook = one_task(pattern, &self.module_name, &self.args)?;
        let place = playbook.plays[0].span.clone();
        let play = Arc::make_mut(&mut playbook.plays[0]);
        if let Some(Item::Task(task)) = play.tasks.first_mut() {
            let task = Arc::make_mut(task);
            let number = |n: i64| Node::new(crate::yaml::Yaml::Int(n), place.clone());
            if let Some(seconds) = self.background {
                task.async_ = Some(number(seconds));
                task.poll = Some(number(self.poll));
            }
            task.keywords.timeout = self.task_timeout.map(|s| number(i64::try_from(s).unwrap_or(i64::MAX)));
        }
        Ok(playbook)
    }
}

impl AdHoc {
    /// The task as `ansible` names it in errors.
    pub fn python_text(&self) -> String {
        let quoted = |text: &str| {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let text = text.replace('\\', "\\\\").replace('\n', "\\n");
            let text = if quote == '\'' { text.replace('\'', "\\'") } else { text };
            format!("{quote}{text}{quote}")
        };
        let short = self.module_name.rsplit('.').next().unwrap_or_default();
        let command_like = matches!(short, "command" | "shell" | "raw" | "script");
        let mut args = vec![];
        if let Ok(parsed) = freeform::parse(self.args.trim(), command_like) {
            args.extend(parsed.pairs.iter().map(|(k, v)| (k.as_str().to_owned(), v.as_str().to_owned())));
            args.extend(
                parsed
                    .free
                    .as_ref()
                    .filter(|f| !f.is_empty())
                    .map(|f| ("_raw_params".to_owned(), f.as_str().to_owned())),
            );
        }
        let args: Vec<String> = args.iter().map(|(k, v)| format!("{}: {}", quoted(k), quoted(v))).collect();
        format!(
            "{{'action': {}, 'args': {{{}}}, 'timeout': {}, 'async_val': {}, 'poll': {}}}",
            quoted(&self.module_name),
            args.join(", "),
            self.task_timeout.unwrap_or(0),
            self.background.unwrap_or(0),
            self.poll
        )
    }
}

/// The hosts of an ad hoc command.
pub fn list_hosts(project: &Project) -> Vec<String> {
    project.schedule.iter().flat_map(|p| p.batches.iter().flat_map(|b| b.batch.iter().cloned())).collect()
}

/// Run one module on hosts
///
/// For example: kdeploy run worker99 -m systemd -a "name=kubelet state=stopped"
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which hosts
    pub pattern: String,
    #[command(flatten)]
    pub adhoc: AdHoc,
    /// One line per host
    #[arg(short, long)]
    pub one_line: bool,
    /// Write each host's result into this folder
    #[arg(long, value_name = "DIR")]
    pub tree: Option<std::path::PathBuf>,
    /// List the hosts, and stop
    #[arg(long)]
    pub list_hosts: bool,
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
        request.inline = Some(self.adhoc.playbook(&self.pattern)?);
        let project = Project::load(&request)?;
        project.require_selection(false)?;
        if self.list_hosts {
            terminal::print(&list_hosts(&project).iter().map(|h| format!("{h}\n")).collect::<String>());
            return Ok(Exit::Done);
        }
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
                let text =
                    if self.one_line { report::adhoc_line(step, style) } else { report::adhoc_text(step, style) };
                terminal::print(&project.redactor.clean(&text));
            }
        }
        if let Some(dir) = &self.tree {
            for step in &outcome.steps {
                let text = project.redactor.clean(&report::adhoc_json(step));
                std::fs::create_dir_all(dir)
                    .and_then(|()| std::fs::write(dir.join(&step.host), text))
                    .map_err(|e| Problem::new("cannot-write", format!("cannot write into `{}`: {e}", dir.display())))?;
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
    let short = module.strip_prefix("ansible.builtin.").unwrap_or(module);
    if matches!(short, "include_role" | "import_role" | "meta") {
        return one_engine_task(pattern, short, args, &whole, &args_span);
    }
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
    Ok(of_task(pattern, task, &whole))
}

/// `include_role` and `meta`, which the engine itself does.
fn one_engine_task(
    pattern: &str,
    name: &str,
    args: &str,
    whole: &Span,
    args_span: &Span,
) -> Result<Playbook, Problems> {
    let parsed = freeform::parse(args.trim(), name == "meta")
        .map_err(|_| Problem::new("invalid-argument", "a quote or bracket is not closed").at(args_span))?;
    let pairs = parsed
        .pairs
        .iter()
        .map(|(k, v)| (Node::text(k.as_str(), args_span), Node::text(v.as_str(), args_span)))
        .collect();
    let action = match name {
        "meta" => Action::Meta(Node::text(args.trim(), args_span)),
        _ => Action::IncludeRole,
    };
    Ok(of_task(pattern, Task::new(action, TaskArgs::Named(pairs), whole), whole))
}

fn of_task(pattern: &str, task: Task, whole: &Span) -> Playbook {
    let mut play = Play::new(Node::text(pattern, whole), whole);
    play.gather_facts = Some(Node::new(crate::yaml::Yaml::Bool(false), whole.clone()));
    play.tasks = vec![Item::Task(Arc::new(task))];
    Playbook { path: "<command line>".into(), plays: vec![Arc::new(play)] }
}
