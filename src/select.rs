//! Selecting hosts and tasks: an empty selection is an error with what would have matched; listings.

use std::collections::BTreeSet;

use crate::options::SelectOptions;
use crate::plan::{HostState, Interpreter};
use crate::playbook::{self, Lists, TagSelection};
use crate::problem::{Problem, Problems};
use crate::run::Project;

/// A pattern, tag or task name that matches nothing is an error.
pub fn require(project: &Project) -> Result<(), Problems> {
    let mut problems = vec![];
    let options = &project.run.options;
    let hosts: BTreeSet<&String> =
        project.schedule.iter().flat_map(|p| p.batches.iter().flat_map(|b| b.batch.iter())).collect();
    if hosts.is_empty() {
        let mut problem = Problem::new("no-hosts", "no host is selected");
        if let Some(limit) = &options.limit {
            problem = problem.note(format!("--limit {limit}"));
        }
        for play in &project.playbook.plays {
            if let Some(text) = play.hosts.as_str() {
                problem = problem.note(format!("hosts: {text} ({})", play.hosts.span));
            }
        }
        return Err(problem.help("--allow-empty makes an empty selection no error").into());
    }
    let (known, has_dynamic) = known_tags(project);
    for tag in &options.tags {
        if !playbook::is_special_tag(tag) && !known.contains(tag) && !has_dynamic {
            problems.push(playbook::unknown_tag(tag, &known));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Every tag in the playbook; and whether run-time includes may bring more.
fn known_tags(project: &Project) -> (BTreeSet<String>, bool) {
    let mut tags = BTreeSet::new();
    let mut dynamic = false;
    for play in &project.schedule {
        let Some(batch) = play.batches.first() else { continue };
        let Some(host) = batch.batch.first() else { continue };
        let interpreter = Interpreter::new(&project.run, batch, host, true);
        let mut state = HostState::default();
        interpreter.begin(&mut state);
        while let Some((task, lineage)) = interpreter.current(&mut state) {
            match interpreter.tags_of(&state, &task, &lineage) {
                Ok(own) => tags.extend(own),
                Err(_) => dynamic = true,
            }
            dynamic |=
                matches!(task.action, crate::playbook::Action::IncludeTasks | crate::playbook::Action::IncludeRole);
            interpreter.advance(&mut state);
        }
    }
    (tags, dynamic)
}

/// The text of a listing option, if one is given: in the form ansible-playbook prints it.
pub fn listing(project: &Project, select: &SelectOptions) -> Result<Option<String>, Problems> {
    if select.syntax_check {
        return Ok(Some(format!("\nplaybook: {}\n", crate::source::display_path(&project.playbook.path))));
    }
    let lists = Lists { tasks: select.list_tasks, tags: select.list_tags, hosts: select.list_hosts };
    if !(lists.tasks || lists.tags || lists.hosts) {
        return Ok(None);
    }
    let options = &project.run.options;
    let selection = TagSelection::new(&options.tags, &options.skip_tags);
    let plays = playbook::listing(&project.playbook, &selection, &mut |_| None);
    let mut hosts = project.schedule.iter().map(|p| p.batches.iter().flat_map(|b| b.batch.clone()).collect::<Vec<_>>());
    let path = std::path::PathBuf::from(crate::source::display_path(&project.playbook.path));
    Ok(Some(playbook::listing_text(&path, &plays, lists, &mut |_| hosts.next().unwrap_or_default())))
}
