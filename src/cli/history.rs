//! `kdeploy history`: runs, as the control machine or a node knows them.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::run::one_task;
use super::{Exit, terminal};
use crate::apply::Want;
use crate::ledger::RunLine;
use crate::options::{HostOptions, OutputOptions, SelectOptions};
use crate::plan::{Outcome, Status};
use crate::problem::{Problem, Problems};
use crate::run::{Project, Request};

/// So many runs are kept on the control machine.
const KEPT: usize = 500;

/// List runs: who, when, from where, what, and how they ended
///
/// Without hosts, the runs of this control machine; with them, those that their ledgers know, whoever ran them.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Which hosts; none: this control machine
    pub pattern: Option<String>,
    /// At most so many, the newest
    #[arg(short = 'n', long, default_value_t = 20)]
    pub number: usize,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// One run as it is listed.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Listed {
    #[serde(default)]
    host: String,
    run: RunLine,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    changes: usize,
}

impl HistoryArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        let (mut all, exit) = match &self.pattern {
            None => (own_runs(), Exit::Done),
            Some(pattern) => self.of_nodes(pattern)?,
        };
        all.sort_by(|a, b| (&a.host, &a.run.at, &a.run.id).cmp(&(&b.host, &b.run.at, &b.run.id)));
        let mut hosts: Vec<String> = all.iter().map(|l| l.host.clone()).collect();
        hosts.dedup();
        let newest: Vec<&Listed> = hosts
            .iter()
            .flat_map(|host| {
                let own: Vec<&Listed> = all.iter().filter(|l| l.host == *host).collect();
                own[own.len().saturating_sub(self.number)..].to_vec()
            })
            .collect();
        if self.output.output == "json" {
            terminal::print(&format!("{}\n", serde_json::to_string_pretty(&newest).unwrap_or_default()));
            return Ok(exit);
        }
        let mut text = String::new();
        let mut host = None;
        for listed in &newest {
            if host != Some(&listed.host) && !listed.host.is_empty() {
                text += &format!("{}\n", listed.host);
            }
            host = Some(&listed.host);
            text += &line(listed);
        }
        if newest.is_empty() {
            text = "no runs are known\n".to_owned();
        }
        terminal::print(&text);
        Ok(exit)
    }

    /// Runs by the ledgers of nodes.
    fn of_nodes(&self, pattern: &str) -> Result<(Vec<Listed>, Exit), Problems> {
        let select = SelectOptions::default();
        let mut request = Request::new("history", &[], &self.hosts, &select, &self.output, false);
        request.inline = Some(one_task(pattern, "ping", "")?);
        let project = Project::load(&request)?;
        project.require_selection(false)?;
        let backs = project.find_back(&Want::Run(String::new()));
        let outcome = project.planned_back(&backs);
        project.finish_progress();
        let mut all = vec![];
        for (host, back) in &backs.hosts {
            back.notes.iter().for_each(|note| project.warn(note.clone()));
            if let Some(lost) = &back.lost {
                project.warn(format!("{host}: {}", lost.message));
            }
            for ledger in back.ledgers.iter().filter(|l| l.elsewhere(host).is_none()) {
                let journal = &ledger.journal;
                for run in &journal.runs {
                    let changes = journal.changes.iter().filter(|e| e.change.run == run.id).count();
                    let outcome = journal.ends.get(&run.id).cloned().unwrap_or_else(|| "cut off".to_owned());
                    all.push(Listed { host: host.clone(), run: run.clone(), outcome, changes });
                }
            }
        }
        Ok((all, Exit::of(&outcome)))
    }
}

fn line(listed: &Listed) -> String {
    let run = &listed.run;
    let mut what = format!("{} {}", run.command, run.playbook);
    for (option, value) in
        [("--tags", run.tags.join(",")), ("--skip-tags", run.skip_tags.join(",")), ("--limit", run.limit.clone())]
    {
        if !value.is_empty() {
            what += &format!(" {option} {value}");
        }
    }
    let commit: String = run.commit.chars().take(12).collect();
    let commit = if commit.is_empty() { String::new() } else { format!(" at {commit}") };
    let plural = if listed.changes == 1 { "change" } else { "changes" };
    format!(
        "{}  {}  {}@{}  {what}{commit}: {}, {} {plural}\n",
        run.id, run.at, run.who, run.from, listed.outcome, listed.changes
    )
}

fn folder() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from("/var/lib")).join("kdeploy/runs")
}

fn own_runs() -> Vec<Listed> {
    let mut all = vec![];
    for entry in std::fs::read_dir(folder()).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some(listed) = text.lines().next().and_then(|line| serde_json::from_str::<Listed>(line).ok()) {
            all.push(listed);
        }
    }
    all
}

/// Keeps a run in the control machine's history. That it cannot be kept is said, and fails nothing.
pub fn keep(project: &Project, outcome: &Outcome) {
    let Some(recording) = &project.run.options.recording else { return };
    if recording.run.command == "run" {
        return;
    }
    let bad = outcome.hosts.values().filter(|h| h.failed + h.unreachable > h.forgiven).count();
    let how = if terminal::interrupted() {
        "interrupted".to_owned()
    } else if bad == 0 {
        format!("done on {}", outcome.hosts.len())
    } else {
        format!("failed on {bad} of {}", outcome.hosts.len())
    };
    let changed: Vec<_> = outcome
        .steps
        .iter()
        .filter(|s| s.changed || matches!(s.status, Status::Failed | Status::Unreachable))
        .collect();
    let listed = Listed {
        host: String::new(),
        run: recording.run.clone(),
        outcome: how,
        changes: outcome.steps.iter().filter(|s| s.changed).count(),
    };
    let mut text = serde_json::to_string(&listed).unwrap_or_default() + "\n";
    for step in changed {
        let line = serde_json::json!({
            "host": step.host, "role": step.role, "task": step.task, "item": step.item, "path": step.path,
            "status": step.status, "because": step.because,
            "things": step.basis.makes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        text += &format!("{line}\n");
    }
    let text = project.redactor.clean(&text);
    let dir = folder();
    let path = dir.join(format!("{}.jsonl", recording.run.id));
    let written = std::fs::create_dir_all(&dir).and_then(|()| {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())
    });
    if let Err(error) = written {
        project.warn(format!("the run is not in the history: `{}`: {error}", path.display()));
        return;
    }
    let mut names: Vec<PathBuf> = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    names.sort();
    for old in names.iter().take(names.len().saturating_sub(KEPT)) {
        drop(std::fs::remove_file(old));
    }
}

/// What `kdeploy show RUN` shows. `None`: there is no such run.
pub fn show(id: &str) -> Option<String> {
    if id.contains('/') {
        return None;
    }
    let text = std::fs::read_to_string(folder().join(format!("{id}.jsonl"))).ok()?;
    let mut lines = text.lines();
    let listed: Listed = serde_json::from_str(lines.next()?).ok()?;
    let mut out = line(&listed);
    for step in lines.filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()) {
        let of = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let role = if of("role").is_empty() { String::new() } else { format!("{} : ", of("role")) };
        let item = if of("item").is_empty() { String::new() } else { format!(" ({})", of("item")) };
        out += &format!("  {}: {} {role}{}{item}  {}\n", of("host"), of("status"), of("task"), of("path"));
        let things: Vec<&str> = step["things"].as_array().into_iter().flatten().filter_map(|t| t.as_str()).collect();
        if !things.is_empty() {
            out += &format!("      {}\n", things.join(", "));
        }
        if of("status") != "changed" && !of("because").is_empty() {
            out += &format!("      {}\n", of("because"));
        }
    }
    Some(out)
}

/// Runs with a name near to one that is not known.
pub fn unknown(id: &str) -> Problem {
    let known: Vec<String> = own_runs().into_iter().map(|l| l.run.id).collect();
    Problem::new("unknown-run", format!("`{id}` is neither a saved plan nor a run of this control machine"))
        .nearest(id, known.iter().map(String::as_str))
        .help("kdeploy history lists runs; kdeploy history HOST those that a node knows")
}
