//! `kdeploy destroy` and `kdeploy undo`.

use std::io::IsTerminal;

use clap::Args;

use super::run::one_task;
use super::{Exit, terminal};
use crate::apply::{Backs, Want, assumed};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::Outcome;
use crate::problem::{Problem, Problems};
use crate::report::{self, PlanCounts};
use crate::run::{Project, Request};

/// Take back what roles made on nodes
///
/// By the ledger that each node keeps: what kdeploy made goes, what it changed becomes as it was, and what it did not make stays, and is
/// named. For example: kdeploy destroy docker.yml --tags role-docker --limit worker99
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// Playbooks; kdeploy.toml's by default
    pub playbooks: Vec<String>,
    /// Nodes without a ledger: take what the playbook declares for made by kdeploy
    #[arg(long)]
    pub assume_owned: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Change nothing, only foretell
    #[arg(short = 'C', long)]
    pub check: bool,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Take back what one run changed
///
/// `kdeploy history` lists runs. What was changed again since is left, and named.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// The run's id
    pub run: String,
    /// Which hosts
    #[arg(default_value = "all")]
    pub pattern: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Change nothing, only foretell
    #[arg(short = 'C', long)]
    pub check: bool,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl DestroyArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let started = report::now();
        let request = Request::new("destroy", &self.playbooks, &self.hosts, &self.select, &self.output, self.check);
        let project = Project::load(&request)?;
        if let Some(text) = project.listing(&self.select)? {
            terminal::print(&text);
            return Ok(Exit::Done);
        }
        // A role may be gone from the playbook and still be on the nodes: its tags need not be known.
        if project.schedule.iter().all(|p| p.batches.iter().all(|b| b.batch.is_empty())) {
            project.require_selection(self.select.allow_empty)?;
        }
        terminal::catch_interrupts();
        let want = if self.assume_owned {
            let (plan, _) = project.plan();
            project.finish_progress();
            Want::Assumed(assumed(&plan))
        } else {
            Want::Made
        };
        let end = Showing {
            command: "destroy",
            title: "Plan to destroy what is made by",
            started: &started,
            output: &self.output,
        };
        let exit = end.through(&project, &want, self.yes, self.check)?;
        Ok(exit)
    }
}

impl UndoArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let started = report::now();
        let select = SelectOptions::default();
        let mut request = Request::new("undo", &[], &self.hosts, &select, &self.output, self.check);
        request.inline = Some(one_task(&self.pattern, "ping", "")?);
        let project = Project::load(&request)?;
        project.require_selection(false)?;
        terminal::catch_interrupts();
        let end = Showing { command: "undo", title: "Plan to undo a run of", started: &started, output: &self.output };
        end.through(&project, &Want::Run(self.run.clone()), self.yes, self.check)
    }
}

struct Showing<'a> {
    command: &'a str,
    title: &'a str,
    started: &'a str,
    output: &'a OutputOptions,
}

impl Showing<'_> {
    /// Finds, shows, asks, goes.
    fn through(&self, project: &Project, want: &Want, yes: bool, check: bool) -> Result<Exit, Problems> {
        let json = self.output.output == "json";
        let backs = project.find_back(want);
        let plan = project.planned_back(&backs);
        project.finish_progress();
        if backs.count() == 0 && backs.hosts.iter().all(|(_, h)| h.lost.is_none()) {
            self.nothing(project, &backs, want);
        }
        backs.notes().into_iter().for_each(|note| project.warn(note));
        if !json {
            let text = report::plan_text(&plan, &project.title(self.title), project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
        if check || backs.count() == 0 {
            if json {
                terminal::print(&format!("{}\n", project.document(self.command, self.started, &plan, true)));
            }
            return Ok(Exit::of(&plan));
        }
        if terminal::interrupted() {
            return Ok(Exit::Interrupted);
        }
        let asked = PlanCounts::of(&plan.steps).changes() > 0
            && !yes
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal();
        if asked && !crate::prompt::confirm("Take this back?") {
            terminal::say("nothing was changed");
            return Ok(Exit::Usage);
        }
        // An answer given at a prompt may be minutes old: look again.
        let backs = if asked { project.find_back(want) } else { backs };
        let outcome = project.go_back(&backs, true);
        project.finish_progress();
        super::history::keep(project, &outcome);
        self.show(project, &outcome);
        Ok(if terminal::interrupted() { Exit::Interrupted } else { Exit::of(&outcome) })
    }

    fn show(&self, project: &Project, outcome: &Outcome) {
        if self.output.output == "json" {
            terminal::print(&format!("{}\n", project.document(self.command, self.started, outcome, false)));
        } else {
            let text = report::recap_text(outcome, project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
    }

    /// What might have been meant.
    fn nothing(&self, project: &Project, backs: &Backs, want: &Want) {
        let mut known: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
        let mut runs = vec![];
        for (name, host) in &backs.hosts {
            for ledger in &host.ledgers {
                for entry in ledger.journal.live().filter(|_| ledger.elsewhere(name).is_none()) {
                    let role = entry.change.role.clone().unwrap_or_else(|| entry.change.play.clone());
                    known.insert(format!("{} ({})", role, entry.change.playbook));
                }
                runs.extend(ledger.journal.runs.iter().map(|r| r.id.clone()));
            }
        }
        match want {
            Want::Run(id) if !runs.contains(id) => {
                let problem = Problem::new("unknown-run", format!("no node's ledger knows a run `{id}`"))
                    .nearest(id, runs.iter().map(String::as_str));
                project.warn(report::plain_problem(&problem));
            }
            _ if !known.is_empty() => {
                let known: Vec<String> = known.into_iter().collect();
                project.warn(format!("the ledgers hold nothing else of this; they know: {}", known.join(", ")));
            }
            _ => project
                .warn("the ledgers of these nodes hold nothing (--assume-owned goes by what the playbook declares)"),
        }
    }
}
