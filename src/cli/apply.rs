//! `kdeploy apply`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;

use super::planning::{self, Made, PlanningOptions};
use super::{Exit, terminal};
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::{Outcome, SavedPlan, key_file};
use crate::problem::{Problem, Problems};
use crate::report::{self, PlanCounts};
use crate::run::{Project, Request};

/// Show the plan, ask on a terminal, and carry it out
///
/// Without a terminal it goes ahead, as ansible-playbook does.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Playbooks; kdeploy.toml's by default
    pub playbooks: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Begin at once, without a plan before, as ansible-playbook does
    #[arg(long)]
    pub no_plan: bool,
    /// Change nothing, only foretell
    #[arg(short = 'C', long)]
    pub check: bool,
    /// The key file that a saved plan was made with
    #[arg(long, value_name = "FILE")]
    pub plan_key: Option<PathBuf>,
    #[command(flatten)]
    pub planning: PlanningOptions,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub select: SelectOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl ApplyArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let started = report::now();
        if let [only] = self.playbooks.as_slice()
            && SavedPlan::is_one(Path::new(only))
        {
            return self.apply_saved(Path::new(only), &started);
        }
        let json = self.output.output == "json";
        let mut request = Request::new("apply", &self.playbooks, &self.hosts, &self.select, &self.output, self.check);
        request.ask = terminal::operator().filter(|_| !self.yes);
        let project = Project::load(&request)?;
        if let Some(text) = project.listing(&self.select)? {
            terminal::print(&text);
            return Ok(Exit::Done);
        }
        planning::require(&project, &self.planning, &self.select)?;
        terminal::catch_interrupts();
        let limited = self.planning.with_deps || !self.planning.target.is_empty();
        if self.no_plan && !self.check && !limited {
            let outcome = project.apply(None, &terminal::interrupted);
            return Ok(self.finish(&project, &started, &outcome));
        }
        let Made { outcome: mut plan, states, notes, .. } = planning::make(&project, &self.planning)?;
        let pruned = self.planning.prune.then(|| planning::prune(&project, &mut plan));
        project.finish_progress();
        notes.iter().for_each(|note| project.warn(note.clone()));
        let counts = PlanCounts::of(&plan.steps);
        if !json {
            let text = report::plan_text(&plan, &project.title("Plan of"), project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
        if self.check {
            if json {
                terminal::print(&project.document("apply", &started, &plan, true));
                terminal::print("\n");
            }
            return Ok(Exit::of(&plan));
        }
        let invalid = plan.aborted || plan.steps.iter().any(|s| s.invalid && !s.ignored && !s.rescued);
        if invalid {
            // What is wrong in the files would stop the run half-way: better not to begin.
            terminal::say("not applied: the plan has errors in the files; nothing was changed");
            if json {
                terminal::print(&project.document("apply", &started, &plan, true));
                terminal::print("\n");
            }
            return Ok(Exit::Usage);
        }
        if terminal::interrupted() {
            return Ok(Exit::Interrupted);
        }
        let asked =
            counts.changes() > 0 && !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if asked && !crate::prompt::confirm("Apply this plan?") {
            terminal::say("nothing was changed");
            return Ok(Exit::Usage);
        }
        // What is not declared any more goes first: what takes its place may want the same ports, paths and names.
        let removed = pruned.filter(|backs| backs.count() > 0).map(|backs| project.go_back(&backs, false));
        if let Some(removed) = removed.as_ref().filter(|r| Exit::of(r) != Exit::Done) {
            project.close_ledgers(removed);
            terminal::say(
                "stopped: what is not declared any more could not be removed everywhere; nothing else was changed",
            );
            return Ok(self.finish(&project, &started, removed));
        }
        // An answer given at a prompt may be minutes old: look again.
        let keeps = !asked && removed.is_none();
        let mut outcome = project.apply(keeps.then_some(states), &terminal::interrupted);
        if let Some(removed) = removed {
            planning::join(&mut outcome, removed);
        }
        Ok(self.finish(&project, &started, &outcome))
    }

    /// Shows the outcome; the exit code.
    fn finish(&self, project: &Project, started: &str, outcome: &Outcome) -> Exit {
        project.finish_progress();
        super::history::keep(project, outcome);
        if let Some(path) = &self.planning.report
            && let Err(problem) = planning::report(path, project, "apply", started, outcome, false)
        {
            project.warn(report::plain_problem(&problem));
        }
        if self.output.output == "json" {
            terminal::print(&project.document("apply", started, outcome, false));
            terminal::print("\n");
        } else {
            let text = report::recap_text(outcome, project.style, self.output.verbose);
            terminal::print(&project.redactor.clean(&text));
        }
        if terminal::interrupted() { Exit::Interrupted } else { Exit::of(outcome) }
    }
}

impl ApplyArgs {
    /// Applies what a saved plan says, where what it rests on is as it was.
    fn apply_saved(&self, path: &Path, started: &str) -> Result<Exit, Problems> {
        let mut plan = SavedPlan::load(path)?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if self.check || self.no_plan || !self.planning.target.is_empty() || self.planning.with_deps {
            return Err(Problem::new("saved-plan", "a saved plan is applied as it is")
                .help("--check, --no-plan, --target and --with-deps go with `kdeploy plan --out`")
                .into());
        }
        if self.planning.prune && plan.removals.is_none() {
            return Err(Problem::new("saved-plan", "the plan was made without --prune, so it removes nothing")
                .help("kdeploy plan --prune --out FILE")
                .into());
        }
        let key = match &self.plan_key {
            Some(file) => key_file(file, false)?,
            None => {
                planning::vault_key(if self.hosts.vault.is_given() { &self.hosts.vault } else { &plan.hosts.vault })?
            }
        };
        std::env::set_current_dir(&plan.directory).map_err(|e| {
            Problem::new("stale-plan", format!("the plan's folder `{}`: {e}", plan.directory.display()))
        })?;
        plan.check(&path)?;
        let mut hosts = plan.hosts.clone();
        hosts.extra_vars = plan.extra_vars.open(&self.hosts.extra_vars, &key)?;
        // Passwords are never in a plan: how to get them may be said again.
        hosts.ask_pass |= self.hosts.ask_pass;
        hosts.ask_become_pass |= self.hosts.ask_become_pass;
        if self.hosts.vault.is_given() {
            hosts.vault = self.hosts.vault.clone();
        }
        let (playbooks, select) = (plan.playbooks.clone(), plan.select.clone());
        let mut request = Request::new("apply", &playbooks, &hosts, &select, &self.output, false);
        // Prompts are answered by the plan; without a key they are asked again, and the answers must be the same.
        request.prompted = match &plan.prompted.encrypted {
            Some(_) => Some(plan.prompted.open(&[], &key)?),
            None => None,
        };
        let project = Project::load(&request)?;
        if plan.prompted.count > 0 && !plan.prompted.matches(&crate::prompt::kept(&project.prompted)) {
            return Err(Problem::new("other-vars", "the answers to the prompts are not those of the plan")
                .help("a plan made with --plan-key FILE (or a vault password) holds the answers, encrypted")
                .into());
        }
        plan.check(&path)?;
        let json = self.output.output == "json";
        if !json {
            terminal::print(&plan.text);
        }
        let others = plan.other_nodes(&project.node_identities());
        if !others.is_empty() {
            return Err(Problem::new("other-node", format!("not the plan's nodes: {}", others.join("; "))).into());
        }
        let asked = !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if asked && !crate::prompt::confirm("Apply this plan?") {
            terminal::say("nothing was changed");
            return Ok(Exit::Usage);
        }
        plan.mark_used(&path, started)?;
        terminal::catch_interrupts();
        project.run.keep_basis();
        project.run.set_guard(plan.guard());
        // What is not declared any more goes first, as when a plan is not saved.
        let removed = plan.removals.as_deref().map(|removals| planning::remove_planned(&project, removals));
        let mut outcome = project.apply(None, &terminal::interrupted);
        if let Some(removed) = removed {
            planning::join(&mut outcome, removed);
        }
        Ok(self.finish(&project, started, &outcome))
    }
}
