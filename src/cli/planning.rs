//! What `plan` and `apply` share: limiting a plan to a target or to what tags need, and what is said of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::apply::{Backs, Declared, Removal, States, Want};
use crate::config::Settings;
use crate::options::{SelectOptions, VaultOptions};
use crate::plan::{EdgeKind, Guard, Outcome, PlanGraph, Planned, StepKey, contradictions, find_steps, step_keys};
use crate::problem::{Problem, Problems};
use crate::report;
use crate::run::Project;
use crate::vars::vault::VaultSecrets;

/// What of the plan, and where it goes besides the terminal.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanningOptions {
    /// Only the steps that this names, and what they depend on: a task's name, a path, a unit
    #[arg(long, value_name = "RESOURCE")]
    pub target: Vec<String>,
    /// With --tags: also the steps outside the selection that it depends on
    #[arg(long, requires = "tags")]
    pub with_deps: bool,
    /// Remove what the nodes' ledgers hold of this playbook and the selected roles, but the playbook declares no more
    #[arg(long, conflicts_with_all = ["target", "with_deps"])]
    pub prune: bool,
    /// Write a report: one HTML file that needs no network, or Markdown if the name ends in .md
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// An empty selection is an error. With `--prune` a tag may be that of a role that is gone from the playbook.
pub fn require(project: &Project, planning: &PlanningOptions, select: &SelectOptions) -> Result<(), Problems> {
    let hosts = project.schedule.iter().any(|p| p.batches.iter().any(|b| !b.batch.is_empty()));
    if planning.prune && hosts { Ok(()) } else { project.require_selection(select.allow_empty) }
}

/// Puts what is not declared any more in front of the plan.
pub fn prune(project: &Project, plan: &mut Outcome) -> Backs {
    let backs = project.find_back(&Want::Undeclared(Declared::of(plan)));
    project.finish_progress();
    backs.notes().into_iter().for_each(|note| project.warn(note));
    let removed = project.planned_back(&backs);
    let sound: BTreeSet<String> =
        backs.hosts.iter().filter(|(_, b)| b.lost.is_none()).map(|(h, _)| h.clone()).collect();
    let steps = removed.steps.into_iter().filter(|s| sound.contains(&s.host));
    let mut all: Vec<_> = steps.collect();
    all.append(&mut plan.steps);
    plan.steps = all;
    for (id, step) in plan.steps.iter_mut().enumerate() {
        step.id = id;
    }
    backs
}

/// Puts what was removed in front of what was applied.
pub fn join(outcome: &mut Outcome, removed: Outcome) {
    for (host, figures) in &removed.hosts {
        if let Some(own) = outcome.hosts.get_mut(host) {
            own.changed += figures.changed;
            own.ok += figures.ok;
            own.failed += figures.failed;
            own.unreachable += figures.unreachable;
        }
    }
    let mut steps = removed.steps;
    steps.append(&mut outcome.steps);
    outcome.steps = steps;
    for (id, step) in outcome.steps.iter_mut().enumerate() {
        step.id = id;
    }
}

/// Removes what a saved plan of `--prune` removes, where that is as it was; what came of it.
pub fn remove_planned(project: &Project, planned: &[Removal]) -> Outcome {
    let (again, _) = project.plan();
    let declared = Declared::of(&again);
    let mut backs = project.find_back(&Want::Undeclared(declared.clone()));
    let notes = backs.keep_planned(planned, &declared);
    project.finish_progress();
    notes.into_iter().for_each(|note| project.warn(note));
    project.go_back(&backs, false)
}

/// Tells steps that are not as desired who may have changed what they are about, as far as the nodes and their ledgers know.
pub fn blame(project: &Project, outcome: &mut Outcome) {
    let backs = project.find_back(&Want::Run(String::new()));
    let mut traces = project.traces(&report::drifted(outcome));
    backs.tell_runs(&mut traces);
    backs.blame(outcome);
    report::blame(outcome, &traces);
}

/// A plan with what must be said of it.
pub struct Made {
    pub outcome: Outcome,
    pub states: States,
    /// Steps that `--target` or `--with-deps` leave out.
    pub left_out: Vec<StepKey>,
    /// Warnings about order and missing prerequisites.
    pub notes: Vec<String>,
}

/// Makes the plan, limited as asked; an apply of this project that follows is limited alike.
pub fn make(project: &Project, options: &PlanningOptions) -> Result<Made, Problems> {
    let tagged = !project.run.options.tags.is_empty();
    if options.with_deps {
        project.run.select_all_tags(true);
    }
    let (mut outcome, states) = project.plan();
    let graph = PlanGraph::of(&outcome);
    let mut notes: Vec<String> = contradictions(&outcome.steps)
        .iter()
        .map(|c| {
            let (step, later) = (&outcome.steps[c.step], &outcome.steps[c.later]);
            format!(
                "{}: \"{}\" ({}) needs {}, which \"{}\" ({}) makes only later",
                step.host,
                step.label(),
                step.path,
                c.thing,
                later.label(),
                later.path
            )
        })
        .collect();
    let mut wanted: Option<BTreeSet<usize>> = None;
    if options.with_deps {
        let options = &project.run.options;
        let selected = |tags: &[String]| crate::playbook::selected(tags, &options.tags, &options.skip_tags);
        let chosen = outcome.steps.iter().enumerate().filter(|(_, s)| selected(&s.tags)).map(|(i, _)| i);
        wanted = Some(graph.closure(chosen));
    } else if tagged {
        notes.extend(missing_prerequisites(project, &states));
    }
    if !options.target.is_empty() {
        let mut found = BTreeSet::new();
        for target in &options.target {
            found.extend(find_steps(&outcome.steps, target)?);
        }
        let closure = graph.closure(found);
        wanted = Some(match wanted {
            Some(before) => before.intersection(&closure).copied().collect(),
            None => closure,
        });
    }
    let left_out = wanted.map(|wanted| limit(project, &mut outcome, &wanted)).unwrap_or_default();
    notes.dedup();
    Ok(Made { outcome, states, left_out, notes })
}

/// Leaves out all other steps, here and in the apply that follows. What only tells or sets variables stays: it changes nothing.
fn limit(project: &Project, outcome: &mut Outcome, wanted: &BTreeSet<usize>) -> Vec<StepKey> {
    let keys = step_keys(&outcome.steps);
    let stays = |index: usize| {
        let step = &outcome.steps[index];
        wanted.contains(&index) || step.planned == Planned::None && !step.handler
    };
    let left_out: Vec<StepKey> = (0..outcome.steps.len()).filter(|i| !stays(*i)).map(|i| keys[i].clone()).collect();
    project.run.set_guard(Guard { left_out: left_out.iter().cloned().collect(), ..Guard::default() });
    let mut index = 0;
    outcome.steps.retain(|_| {
        index += 1;
        wanted.contains(&(index - 1))
    });
    left_out
}

/// What the selected steps need of steps that tags leave out, where those would change something.
fn missing_prerequisites(project: &Project, states: &States) -> Vec<String> {
    let run = &project.run;
    run.select_all_tags(true);
    let whole = project.plan_from(states.start());
    run.select_all_tags(false);
    let graph = PlanGraph::of(&whole);
    let is_selected = |i: usize| run.selects(&whole.steps[i].tags);
    let chosen: BTreeSet<usize> = (0..whole.steps.len()).filter(|i| is_selected(*i)).collect();
    // What is lacking, with the steps that need it.
    let mut lacking: Vec<((String, String), Vec<String>)> = vec![];
    for index in graph.closure(chosen.iter().copied()) {
        let step = &whole.steps[index];
        // Only where the selection borders on what is left out.
        if !chosen.contains(&index) {
            continue;
        }
        for (from, kind) in graph.reasons(index) {
            let other = &whole.steps[from];
            let acts = other.changed || other.planned == Planned::Unknown;
            if chosen.contains(&from) || !acts || other.host != step.host {
                continue;
            }
            let EdgeKind::Needs(thing) = kind else { continue };
            let place = other.role.as_ref().map_or_else(|| format!("\"{}\"", other.task), |r| format!("role {r}"));
            let tags =
                if other.tags.is_empty() { String::new() } else { format!(" (tags: {})", other.tags.join(", ")) };
            let what = (step.host.clone(), format!("{thing}, which the node lacks: {place}{tags} is not selected"));
            match lacking.iter_mut().find(|(other, _)| *other == what) {
                Some((_, steps)) => steps.push(step.label()),
                None => lacking.push((what, vec![step.label()])),
            }
        }
    }
    let note = |((host, what), steps): ((String, String), Vec<String>)| {
        let more = if steps.len() > 1 { format!(" (and {} more)", steps.len() - 1) } else { String::new() };
        format!("{host}: \"{}\"{more} needs {what}", steps[0])
    };
    let mut notes: Vec<String> = lacking.into_iter().map(note).collect();
    if !notes.is_empty() {
        notes.push("--with-deps takes in what is missing".to_owned());
    }
    notes
}

/// Writes the report that `--report` asks for.
pub fn report(
    path: &Path,
    project: &Project,
    command: &str,
    started: &str,
    outcome: &Outcome,
    planned: bool,
) -> Result<(), Problem> {
    let document = project.document(command, started, outcome, planned);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap_or_default();
    let text = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("md")) {
        report::markdown(&document)
    } else {
        let graph = project.redactor.clean(&report::svg(outcome, &PlanGraph::of(outcome)));
        report::html(&document, &graph)
    };
    std::fs::write(path, text)
        .map_err(|e| Problem::new("cannot-write", format!("cannot write the report to `{}`: {e}", path.display())))
}

/// The vault passwords of options and settings, as the key of a saved plan.
pub fn vault_key(options: &VaultOptions) -> Result<VaultSecrets, Problems> {
    let settings = Settings::load(&std::env::current_dir().unwrap_or_default())?;
    Ok(crate::passwords::vault_secrets(options, &settings, &report::Redactor::default())?)
}
