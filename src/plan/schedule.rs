//! Plays and batches: which hosts run which play, in which order, and what all of them have in common.

use std::sync::Arc;

use minijinja::Value;

use super::run::{PlayRun, Run};
use crate::inventory::Order;
use crate::playbook::{Play, Playbook, RoleUse};
use crate::problem::{Problem, Problems};
use crate::resources;
use crate::template::{Context, EvalError, SearchPaths};
use crate::vars::Scope;
use crate::yaml::Node;

/// The batches of one play, in order; each is the play on some of its hosts.
pub struct Batches {
    pub play: Arc<Play>,
    pub index: usize,
    pub name: String,
    pub batches: Vec<Arc<PlayRun>>,
    prompted: Option<Arc<Scope>>,
}

impl Batches {
    /// The batches on the inventory as it is now, if tasks changed it since.
    pub fn renewed(&self, run: &Arc<Run>) -> Result<Option<Self>, Problem> {
        if run.inventory_version() == 0 {
            return Ok(None);
        }
        schedule_play(run, &self.play, self.index, self.prompted.as_ref()).map(Some)
    }
}

/// Selects each play's hosts and splits them by `serial`. Every problem of every play at once.
///
/// `host_vars_prompted`: answers to `vars_prompt`, by play index.
pub fn schedule(run: &Arc<Run>, playbook: &Playbook, prompted: &[Arc<Scope>]) -> Result<Vec<Batches>, Problems> {
    let mut all = vec![];
    let mut problems = vec![];
    for (index, play) in playbook.plays.iter().enumerate() {
        match schedule_play(run, play, index, prompted.get(index)) {
            Ok(batches) => all.push(batches),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(Problems(problems)) }
}

fn schedule_play(
    run: &Arc<Run>,
    play: &Arc<Play>,
    index: usize,
    prompted: Option<&Arc<Scope>>,
) -> Result<Batches, Problem> {
    let base = play_context(run, play, prompted.cloned());
    let pattern = host_pattern(&base, &play.hosts)?;
    let name = match &play.keywords.name {
        Some(node) => base.text(node).unwrap_or_else(|_| node.as_str().unwrap_or_default().to_owned()),
        None => pattern.clone(),
    };
    let (hosts, as_listed) = {
        let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = inventory.matching(&pattern).map_err(|p| p.or_at(&play.hosts.span))?;
        for part in &found.unmatched {
            run.warn(format!("Could not match supplied host pattern, ignoring: {part}"));
        }
        let mut hosts = found.hosts;
        if let Some(limit) = &run.options.limit {
            // A limit that names nothing at all is a typing error, whatever the play's hosts are.
            inventory.require_limit(limit)?;
            hosts = inventory.limited(&hosts, limit)?.hosts;
        }
        let as_listed = hosts.clone();
        if let Some(order) = &play.order {
            let order_text = text(&base, order)?;
            let Some(named) = Order::named(&order_text) else {
                return Err(Problem::new("invalid-value", format!("`order` cannot be `{order_text}`"))
                    .at(&order.span)
                    .nearest(&order_text, Order::NAMES)
                    .help(format!("one of: {}", Order::NAMES.join(", "))));
            };
            hosts = named.apply(hosts);
        }
        (hosts, as_listed)
    };
    let (scopes, late_vars_files) = play_scopes(run, play, prompted.cloned(), &base)?;
    let mut roles = vec![];
    for role in &play.roles {
        spread(role, &mut roles);
    }
    for role in play.imported_roles.iter().filter(|r| r.public) {
        spread(role, &mut roles);
    }
    let sizes = match &play.serial {
        Some(node) => serial(&base, node, hosts.len())?,
        None => vec![hosts.len().max(1)],
    };
    let any_errors_fatal = match &play.keywords.any_errors_fatal {
        Some(node) => base.boolean(node).map_err(|e| e.into_problem().or_at(&node.span))?,
        None => run.options.any_errors_fatal,
    };
    let max_fail_percentage =
        match &play.max_fail_percentage {
            Some(node) => {
                Some(text(&base, node)?.trim().trim_end_matches('%').parse::<f64>().map_err(|_| {
                    Problem::new("invalid-value", "`max_fail_percentage` must be a number").at(&node.span)
                })?)
            }
            None => None,
        };
    let strategy = match &play.strategy {
        Some(node) => text(&base, node)?,
        None => run.options.strategy.clone(),
    };
    let independent = matches!(
        strategy.rsplit('.').next().unwrap_or_default().trim_start_matches("mitogen_"),
        "free" | "host_pinned"
    );
    if independent && any_errors_fatal {
        run.warn("any_errors_fatal has no effect with the free strategy: hosts do not wait for each other");
    }
    let mut batches = vec![];
    let mut rest = hosts.as_slice();
    let mut sizes = sizes.into_iter().peekable();
    let mut size = 1;
    while !rest.is_empty() {
        // The last size repeats until all hosts are through.
        size = sizes.next().unwrap_or(size).max(1);
        let (batch, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        batches.push(Arc::new(PlayRun {
            play: play.clone(),
            index,
            name: name.clone(),
            hosts_all: hosts.clone(),
            hosts_as_listed: as_listed.clone(),
            batch: batch.to_vec(),
            scopes: scopes.clone(),
            late_vars_files: late_vars_files.clone(),
            roles: roles.clone(),
            any_errors_fatal,
            max_fail_percentage: max_fail_percentage.filter(|_| !independent),
            independent,
        }));
    }
    Ok(Batches { play: play.clone(), index, name, batches, prompted: prompted.cloned() })
}

/// A role use and the dependencies that run before it.
fn spread(role: &Arc<RoleUse>, into: &mut Vec<Arc<RoleUse>>) {
    for dependency in &role.dependencies {
        spread(dependency, into);
    }
    into.push(role.clone());
}

fn text(context: &Context, node: &Node) -> Result<String, Problem> {
    context.text(node).map_err(|e| e.into_problem().or_at(&node.span))
}

/// What is known before any host is looked at: the play's own variables and the extra vars.
pub fn play_context(run: &Arc<Run>, play: &Arc<Play>, prompted: Option<Arc<Scope>>) -> Context {
    let mut scopes = vec![
        Scope::written("import_playbook vars", play.import_vars.iter().cloned()),
        Scope::written("play vars", play.keywords.vars.iter().cloned()),
    ];
    scopes.extend(prompted);
    scopes.push(run.extra_vars.clone());
    let dir = play.playbook.parent().map_or_else(|| run.playbook_dir.clone(), std::path::Path::to_owned);
    scopes.push(Scope::finals(
        "magic variables",
        [
            ("playbook_dir".to_owned(), Value::from(dir.display().to_string())),
            ("groups".to_owned(), run.groups_value()),
        ],
    ));
    let paths = SearchPaths { roles: vec![], task_dir: dir, playbook_dir: run.playbook_dir.clone() };
    Context::new(&run.engine, scopes, Arc::new(paths))
}

fn host_pattern(context: &Context, node: &Node) -> Result<String, Problem> {
    let value = context.value(node).map_err(|e| e.into_problem().or_at(&node.span))?;
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Ok(value
            .try_iter()
            .map(|items| items.map(|v| resources::text_of(&v)).collect::<Vec<_>>().join(","))
            .unwrap_or_else(|_| resources::text_of(&value))),
    }
}

/// The play's variables by rank: vars, prompted, vars_files.
fn play_scopes(
    run: &Arc<Run>,
    play: &Arc<Play>,
    prompted: Option<Arc<Scope>>,
    context: &Context,
) -> Result<(Vec<Arc<Scope>>, Vec<(usize, Node)>), Problem> {
    let mut scopes = vec![
        Scope::written("import_playbook vars", play.import_vars.iter().cloned()),
        Scope::written("play vars", play.keywords.vars.iter().cloned()),
    ];
    scopes.extend(prompted);
    let mut late = vec![];
    for node in &play.vars_files {
        match super::vars_files::scope(run, node, context) {
            Ok(scope) => scopes.extend(scope),
            // Names that rest on a host or its facts are resolved for each host, at each task.
            Err(EvalError::Undefined(_)) => late.push((scopes.len(), node.clone())),
            Err(error) => return Err(error.into_problem().or_at(&node.span)),
        }
    }
    Ok((scopes, late))
}

/// Batch sizes from `serial`: numbers, percentages of all hosts, or a list of them.
fn serial(context: &Context, node: &Node, hosts: usize) -> Result<Vec<usize>, Problem> {
    let value = context.value(node).map_err(|e| e.into_problem().or_at(&node.span))?;
    let items: Vec<Value> = match value.kind() {
        minijinja::value::ValueKind::Seq => value.try_iter().into_iter().flatten().collect(),
        _ => vec![value],
    };
    let mut sizes = vec![];
    for item in items {
        let text = resources::text_of(&item);
        let wrong = || {
            Problem::new("invalid-value", format!("`serial` must be a number or a percentage, not `{text}`"))
                .at(&node.span)
        };
        let size = match text.trim().strip_suffix('%') {
            Some(percent) => {
                let percent: usize = percent.trim().parse().map_err(|_| wrong())?;
                (hosts * percent / 100).max(1)
            }
            None => match text.trim().parse::<i64>().map_err(|_| wrong())? {
                n if n <= 0 => hosts.max(1),
                n => usize::try_from(n).map_err(|_| wrong())?,
            },
        };
        sizes.push(size);
    }
    if sizes.is_empty() {
        sizes.push(hosts.max(1));
    }
    Ok(sizes)
}

/// Work on one host of a batch.
pub type HostWork<'a, T> = &'a (dyn Fn(&str) -> T + Sync);

/// Runs work for each host on a thread of its own; results in the hosts' order. How many work at a time is up to
/// [`super::together::Together`]'s permits: a host that waits for another must not keep it from starting.
pub fn in_parallel<T: Send>(hosts: &[String], work: HostWork<T>) -> Vec<(String, T)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = hosts
            .iter()
            .map(|host| {
                // Templates recurse through variables: a deep stack costs only address space.
                let builder = std::thread::Builder::new().name(host.clone()).stack_size(16 << 20);
                (host.clone(), builder.spawn_scoped(scope, move || work(host)))
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|(host, thread)| match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => Some((host, result)),
                // A bug: show it where it happened.
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => {
                    let result = work(&host);
                    Some((host, result))
                }
            })
            .collect()
    })
}
