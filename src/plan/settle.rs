//! Entering a step's ending into the host's state: registered result, facts, notifications, failure, loop.

use indexmap::IndexMap;
use minijinja::Value;
use std::sync::Arc;

use super::evaluate::{count_visit, once_key};
use super::fleet::target_name;
use super::interpreter::Interpreter;
use super::partial::PartialResult;
use super::speculate::possible_effects;
use super::state::{HostState, LoopState};
use super::step::{Knowledge, Planned, Status, Step};
use super::together::{Given, Shared};
use super::turn::{Draft, Ending};
use crate::resources::{self, Change, TaskResult};
use crate::template::Unknown;
use crate::vars::Definition;
use crate::world::Effect;

impl Interpreter {
    /// Enters how the current step ended (or is foretold to end) and moves on; the step's record.
    pub fn settle(&self, st: &mut HostState, draft: &Draft, ending: Ending) -> Step {
        let mut step = draft.step(0, &self.host, &self.play);
        st.tries = 0;
        step.basis.seq = Some(st.seq);
        if let Ending::Foretold(change) | Ending::Changed(_, change) = &ending {
            super::basis::change_basis(&mut step.basis, change);
            step.affects = self.affects(st, draft, change);
            // Whether a command succeeds, and what it says, only its run can tell.
            if change.opaque && matches!(ending, Ending::Foretold(_)) && step_runs(change) {
                step.knowledge = Knowledge::Unknown;
            }
        }
        step.order = st.order();
        step.diff_asked = self.diff_asked(draft);
        step.planned = ending.planned();
        let (mut result, mut failed, mut skipped, mut unknown) = (TaskResult::default(), false, false, None);
        let mut unrendered = false;
        match ending {
            Ending::Unchanged(r) => result = r,
            Ending::Skipped(r, because) => {
                result = r;
                skipped = true;
                step.because = because;
            }
            Ending::Failed { result: r, invalid } => {
                result = r;
                failed = true;
                step.invalid = invalid;
            }
            Ending::Unrendered(r) => {
                result = r;
                failed = true;
                unrendered = true;
                step.invalid = true;
            }
            Ending::Stopped(why) => {
                result = TaskResult::unchanged().with("msg", why);
                failed = true;
                step.stopped = true;
                if let Some(key) = self.guard.is_some().then(|| self.key_of(st, draft)) {
                    std::sync::Arc::make_mut(&mut st.stopped).insert(key);
                }
            }
            Ending::Unreachable(message) => {
                result = TaskResult::unchanged().with("msg", message.clone()).with("unreachable", true);
                step.status = Status::Unreachable;
                step.because = Some(message);
                failed = true;
            }
            Ending::Changed(r, change) => {
                step.diff = change.diff;
                result = r;
            }
            Ending::Foretold(change) => {
                let change = *change;
                self.foretell(st, draft, &change);
                if change.opaque {
                    unknown = Some(Unknown::after_step(draft.name.clone()));
                }
                step.diff = change.diff;
                result = change.result;
                for value in result.values.values_mut() {
                    if let Some(unknown) = Unknown::of(value) {
                        *value = unknown.named(&draft.name).into_value();
                    }
                }
            }
            Ending::Unknown(u) => {
                step.because = Some(u.to_string());
                step.status = Status::Unknown;
                step.knowledge = Knowledge::Unknown;
                step.unknown = Some(u.clone());
                st.predict(&draft.target, &possible_effects(draft, &u));
                let facts = super::cloud::facts_of(draft);
                st.vars.add_facts(facts.into_iter().map(|name| (name, u.clone().into_value())));
                unknown = Some(u);
            }
        }
        if !st.speculative
            && !failed
            && draft.module.is_some_and(|m| matches!(m.name, "add_host" | "group_by"))
            && let Some(entered) = self.run.extend_inventory(&self.host, &result, &draft.task.span)
        {
            st.meet = true;
            match entered {
                Ok(changed) => result.changed = changed,
                Err(problem) => {
                    failed = true;
                    result = result.with("msg", crate::report::plain_problem(&problem));
                }
            }
        }
        if draft.handler {
            step.because = step.because.or_else(|| self.owed_since(st));
        } else {
            self.take_up_debts(st, step.role.as_deref());
        }
        let wholly_unknown = step.status == Status::Unknown;
        let judged =
            (!skipped && !unrendered && !step.stopped && !wholly_unknown && step.status != Status::Unreachable)
                .then(|| self.judge(draft, &result, failed, unknown.as_ref()));
        let mut changed_unknown = None;
        // What only says that it fails leaves no trace of that.
        let suppresses = failed && draft.module.is_none_or(|m| !matches!(m.name, "fail" | "assert"));
        match judged {
            Some(Ok(judgement)) => {
                result.changed = judgement.changed;
                failed = judgement.failed;
                changed_unknown = judgement.unknown;
                if let Some(condition) = judgement.failed_when {
                    result = result.with("failed_when_result", condition);
                    if failed {
                        step.invalid = false;
                    }
                }
            }
            Some(Err((keyword, problem))) => {
                failed = true;
                step.invalid = true;
                let message = crate::report::plain_problem(&problem);
                // What the module itself says stays.
                result.values.entry("msg".to_owned()).or_insert_with(|| Value::from(message.as_str()));
                step.because.get_or_insert_with(|| message.clone());
                result = result.with(keyword, message);
            }
            None => {}
        }
        let suppressed = suppresses && !failed;
        if !result.changed && !failed && matches!(step.planned, Planned::Run) {
            // `changed_when: false`: it runs, but changes nothing that counts.
            step.diff.clear();
        }
        if let (Some(unknown), None) = (&changed_unknown, &step.because) {
            step.because = Some(unknown.to_string());
        }
        if !failed && !skipped && !wholly_unknown {
            let asked = draft.diff.unwrap_or(self.run.options.diff);
            let module = draft.module.map_or("", |m| m.name);
            if let Some(diff) = resources::diffs::registered(module, &step.diff, asked) {
                result.values.entry("diff".to_owned()).or_insert(diff);
            }
        }
        // What is out of reach has not failed, to those who ask.
        let lost = step.status == Status::Unreachable;
        let registered = self.registered(
            &result,
            failed && !lost,
            skipped,
            unknown.as_ref(),
            wholly_unknown,
            changed_unknown.as_ref(),
        );
        let mut traces: IndexMap<String, Value> = IndexMap::new();
        // Used up tries are a failure that `failed_when` does not suppress.
        let used_up = result.values.get("failed").is_some_and(Value::is_true);
        if failed || used_up {
            traces.insert("exception".to_owned(), Value::from(NO_TRACE));
        } else if suppressed {
            traces.insert("failed_when_suppressed_exception".to_owned(), Value::from(NO_TRACE));
        }
        let registered = match traces.is_empty() || wholly_unknown {
            true => registered,
            false => PartialResult::extend(&registered, traces),
        };
        let registered = match step.knowledge {
            Knowledge::Unknown if !wholly_unknown => self.known_before(draft, registered, unknown.as_ref()),
            _ => registered,
        };
        step.changed = result.changed && !failed;
        if step.status == Status::Ok {
            step.status = match (failed, skipped) {
                (true, _) => Status::Failed,
                (_, true) => Status::Skipped,
                _ if changed_unknown.is_some() => Status::Unknown,
                _ if step.changed => Status::Changed,
                _ => Status::Ok,
            };
        }
        if failed && step.because.is_none() {
            step.because = result.values.get("msg").map(resources::text_of);
        }
        add_lines(&mut result.values);
        step.no_log |= result.hidden;
        step.result = result;
        step.ignored = match step.status {
            Status::Unreachable => draft.ignore_unreachable,
            _ => failed && draft.ignore_errors,
        };
        if draft.diff == Some(false) {
            step.diff.clear();
        }
        let in_loop = st.loop_state.is_some() && draft.item.is_some();
        if in_loop && lost {
            // Of an item it is told as a failure; the loop goes on, and as a whole it is out of reach.
            step.status = Status::Failed;
            step.ignored = draft.ignore_errors;
        }
        if self.guard.is_some() {
            let key = self.key_of(st, draft);
            *std::sync::Arc::make_mut(&mut st.come_to).entry((key.path, key.task, key.item)).or_insert(0) += 1;
        }
        if step.stopped && in_loop {
            st.counts.failed += 1;
        }
        self.enter_result(st, draft, &mut step, &registered);
        if let Some((item, _)) = &draft.item {
            for (key, value) in item_values(item, draft) {
                step.result.values.entry(key).or_insert(value);
            }
        }
        let runs = !matches!(step.status, Status::Skipped | Status::Unreachable);
        if runs
            && !matches!(draft.task.action, crate::playbook::Action::IncludeRole)
            && let Some(role) = draft.lineage.roles().first()
            && !st.begun_roles.contains(&*role.identity)
        {
            Arc::make_mut(&mut st.begun_roles).insert(role.identity.to_string());
        }
        st.seq += 1;
        if step.knowledge == Knowledge::Known && !step.basis.on.is_empty() {
            step.knowledge = Knowledge::Predicted;
        }
        if !in_loop {
            self.note_fatal(st, draft, matches!(step.status, Status::Failed | Status::Unreachable) && !step.ignored);
        }
        step.rescued = self.move_on(st, draft, &step, registered);
        if !in_loop {
            // Ansible counts no `meta` task, not even a skipped one.
            if draft.action.rsplit('.').next() != Some("meta") {
                count(st, step.status, step.ignored, step.rescued);
                // An ignored failure may have changed something all the same.
                st.counts.changed += usize::from(step.ignored && step.result.changed);
            }
            self.tell_others(st, draft, step.status == Status::Failed && !step.ignored);
        }
        step
    }

    /// The task's own `diff` keyword.
    fn diff_asked(&self, draft: &Draft) -> Option<bool> {
        let node = draft.lineage.nearest(&draft.task, |k| k.diff.as_ref())?;
        draft.context.boolean(node).ok()
    }

    /// A task ended that may concern all hosts: they look at each other before the next one.
    pub(super) fn note_fatal(&self, st: &mut HostState, draft: &Draft, failed: bool) {
        if self.play.independent || st.speculative {
            return;
        }
        // What a task sets for another host is there before that one comes to its next task.
        st.meet |= draft.any_errors_fatal || draft.delegate_facts || self.play.max_fail_percentage.is_some();
        let key = once_key(st, &draft.task);
        if failed {
            self.run.together.fails_at(&self.host, key.clone(), self.place(st));
        }
        if failed && draft.any_errors_fatal {
            Arc::make_mut(&mut st.seen_fatal).insert(key.clone());
            self.run.together.set_fatal(key);
        }
    }

    /// The result of a `run_once` task goes to the batch's other hosts.
    pub(super) fn tell_others(&self, st: &mut HostState, draft: &Draft, failed: bool) {
        let Some(key) = &draft.once else { return };
        count_visit(st, &draft.task);
        if st.speculative {
            return;
        }
        let mut shared = Shared { failed, ..Shared::default() };
        let mut names: Vec<String> = vec![];
        // Of `add_host` only the host that ran it has the result.
        if draft.module.is_none_or(|m| m.name != "add_host") {
            names.extend(draft.task.register.as_ref().and_then(crate::yaml::Node::as_str).map(str::to_owned));
        }
        if draft.module.is_some_and(|m| m.name == "set_fact")
            && let crate::playbook::TaskArgs::Named(pairs) = &draft.task.args
        {
            names.extend(pairs.iter().filter_map(|(k, _)| draft.context.text(k).ok()));
        }
        for name in names {
            if let Some(Definition::Final(value)) = st.vars.set.vars.get(&name) {
                shared.set.push((name, value.clone()));
            }
        }
        if draft.module.is_some_and(|m| matches!(m.name, "setup" | "gather_facts" | "package_facts" | "service_facts"))
        {
            shared.facts = st.vars.facts.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        }
        self.run.together.tell(key.clone(), shared);
    }

    /// Overlays a foretold change on the worlds.
    pub fn foretell(&self, st: &mut HostState, draft: &Draft, change: &Change) {
        let name = |effect: &Effect| Effect {
            query: effect.query.clone(),
            answer: effect.answer.clone().map_err(|unknown| unknown.named(&draft.name)),
        };
        let effects: Vec<Effect> = change.effects.iter().map(name).collect();
        st.predict(&draft.target, &effects);
    }

    /// The result as Ansible registers it.
    pub(super) fn registered(
        &self,
        result: &TaskResult,
        failed: bool,
        skipped: bool,
        unknown: Option<&Unknown>,
        wholly_unknown: bool,
        changed_unknown: Option<&Unknown>,
    ) -> Value {
        let mut map: IndexMap<String, Value> = IndexMap::new();
        if !wholly_unknown {
            if !result.bare {
                let changed = changed_unknown.map_or(Value::from(result.changed), |u| u.clone().into_value());
                map.insert("changed".to_owned(), changed);
            }
            let unreachable = result.values.get("unreachable").is_some_and(Value::is_true);
            // What an include registers does not say.
            let is_include = result.values.contains_key("include_args");
            if failed || !unreachable && !is_include {
                map.insert("failed".to_owned(), Value::from(failed));
            }
            if skipped {
                map.insert("skipped".to_owned(), Value::from(true));
                map.shift_remove("failed");
            }
        }
        for (key, value) in &result.values {
            map.insert(key.clone(), value.clone());
        }
        add_lines(&mut map);
        let map = in_order(map, failed);
        match unknown {
            Some(unknown) => PartialResult::value(map, unknown.clone()),
            None => Value::from_pairs(map),
        }
    }

    /// What is known of a command's result before it ran: not whether it fails, where that is allowed.
    fn known_before(&self, draft: &Draft, registered: Value, unknown: Option<&Unknown>) -> Value {
        match unknown {
            Some(unknown) if draft.ignore_errors => PartialResult::without(&registered, "failed", unknown),
            _ => registered,
        }
    }

    /// Variables, facts and notifications that follow from a result.
    fn enter_result(&self, st: &mut HostState, draft: &Draft, step: &mut Step, registered: &Value) {
        let task = &draft.task;
        if step.status == Status::Unknown {
            // set_fact of something unknown makes that fact unknown, not undefined.
            if draft.module.is_some_and(|m| m.name == "set_fact")
                && let (crate::playbook::TaskArgs::Named(pairs), Some(unknown)) = (&task.args, &step.unknown)
            {
                for (name, _) in pairs {
                    if let Some(name) = name.as_str().filter(|n| *n != "cacheable") {
                        st.vars.set_fact(name, unknown.clone().into_value());
                    }
                }
            }
        }
        let module = draft.module.map_or("", |m| m.name);
        if let Some(facts) = step.result.values.get("ansible_facts")
            && step.status != Status::Failed
        {
            let pairs: Vec<(String, Value)> = facts
                .try_iter()
                .into_iter()
                .flatten()
                .map(|k| (resources::text_of(&k), facts.get_item(&k).unwrap_or_default()))
                .collect();
            match module {
                "set_fact" if draft.delegate_facts => {
                    self.run.give(target_name(&draft.target), Given::Variables(pairs));
                }
                _ if draft.delegate_facts => self.run.give(target_name(&draft.target), Given::Facts(pairs)),
                "set_fact" => {
                    if step.result.values.contains_key(crate::resources::set_fact::CACHEABLE) {
                        st.vars.add_bare_facts(pairs.iter().cloned());
                    }
                    for (name, value) in pairs {
                        st.vars.set_fact(&name, value);
                    }
                }
                "include_vars" => {
                    for (name, node) in &step.result.definitions {
                        st.vars.include(name, Definition::Written(node.clone()));
                    }
                    if step.result.definitions.is_empty() {
                        for (name, value) in pairs {
                            st.vars.include(&name, Definition::Final(value));
                        }
                    }
                }
                _ => st.vars.add_facts(pairs),
            }
        }
        if let Some(name) = task.register.as_ref().and_then(crate::yaml::Node::as_str) {
            if st.loop_state.is_none() {
                st.vars.set_fact(name, registered.clone());
            } else {
                // While looping, conditions may look at the last item's result.
                let value = match &draft.item {
                    Some((item, _)) => with_item(registered, item, draft),
                    None => registered.clone(),
                };
                st.vars.set_fact(name, value);
            }
        }
        if matches!(step.status, Status::Failed | Status::Unreachable | Status::Skipped) {
            return;
        }
        let names = self.notification_names(draft).unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let may_have_changed = step.changed || (step.status == Status::Unknown && step.planned != Planned::None);
        let maybe = step.unknown.clone().filter(|_| step.status == Status::Unknown).or_else(|| {
            // Whether it counts as changed is known only from its result.
            (step.status == Status::Unknown).then(|| Unknown::after_step(draft.name.clone()))
        });
        if may_have_changed {
            step.notifies = self.handlers_named(st, &names);
        }
        match &mut st.loop_state {
            Some(looping) if draft.item.is_some() => {
                looping.notifies.extend(names);
                if may_have_changed && maybe.is_some() {
                    looping.maybe_changed = maybe;
                }
            }
            _ if may_have_changed => self.notify(st, draft, names, maybe.as_ref()),
            _ => {}
        }
    }

    /// On to the next item or task; true if a rescue takes over.
    fn move_on(&self, st: &mut HostState, draft: &Draft, step: &Step, registered: Value) -> bool {
        let failed = matches!(step.status, Status::Failed | Status::Unreachable)
            && (step.status == Status::Failed || !step.ignored);
        if step.status == Status::Unreachable && !step.ignored {
            st.end = super::state::End::Unreachable;
            return false;
        }
        // It is told as failed, but the host goes on with what does not depend on it.
        let failed = failed && !step.stopped;
        let lost = step.result.values.get("unreachable").is_some_and(Value::is_true);
        let stop = st.loop_state.is_some() && self.breaks_off(draft, &registered);
        if let Some(looping) = &mut st.loop_state
            && let Some((item, _)) = &draft.item
        {
            if stop {
                looping.items = Arc::new(looping.items[..=looping.next].to_vec());
            }
            looping.results.push(with_item(&registered, item, draft));
            looping.changed |= step.result.changed;
            looping.failed |= failed && !lost;
            looping.unreachable |= lost;
            looping.skipped += usize::from(step.status == Status::Skipped);
            looping.next += 1;
            if self.breaks(draft, &registered) {
                looping.items = Arc::new(looping.items[..looping.next].to_vec());
            }
            return false;
        }
        if failed && !draft.ignore_errors {
            st.failure = Some((task_value(draft), registered));
            return self.fails(st);
        }
        self.advance(st);
        false
    }

    /// `loop_control: break_when`: no further item.
    fn breaks(&self, draft: &Draft, registered: &Value) -> bool {
        let conditions = &draft.task.loop_control.break_when;
        if conditions.is_empty() {
            return false;
        }
        let name = draft.task.register.as_ref().and_then(crate::yaml::Node::as_str);
        let vars = name.map(|n| (n.to_owned(), registered.clone()));
        let context = draft.context.with([crate::vars::Scope::finals("register", vars)]);
        match context.conditions(conditions) {
            Ok(held) => held.is_ok(),
            Err(crate::template::EvalError::Unknown(_)) => false,
            Err(error) => {
                let problem = error.into_problem().or_at(&draft.task.span);
                self.run.warn(crate::report::plain_problem(&problem));
                false
            }
        }
    }

    /// The end of a loop: registers the whole. A step only where the loop as such is worth reporting: when it was empty.
    pub(super) fn close_loop(&self, st: &mut HostState, draft: &Draft, looping: &LoopState) -> Option<Step> {
        let all_skipped = looping.skipped == looping.items.len();
        let mut value = registered_loop(&looping.results, looping.changed, looping.failed, all_skipped);
        if looping.unreachable {
            value = PartialResult::extend(&value, IndexMap::from([("unreachable".to_owned(), Value::from(true))]));
        }
        if let Some(name) = draft.task.register.as_ref().and_then(crate::yaml::Node::as_str) {
            st.vars.set_fact(name, value.clone());
        }
        if looping.items.is_empty() {
            count(st, Status::Skipped, false, false);
            self.tell_others(st, draft, false);
            let mut step = draft.step(0, &self.host, &self.play);
            step.order = st.order();
            step.status = Status::Skipped;
            step.because = Some("No items in the list".to_owned());
            step.result = TaskResult::unchanged()
                .with("skipped_reason", "No items in the list")
                .with("results", Value::from(Vec::<Value>::new()));
            self.advance(st);
            return Some(step);
        }
        let lost = looping.unreachable && !looping.failed;
        let lost_for_good = lost && !draft.ignore_unreachable;
        self.note_fatal(st, draft, looping.failed && !draft.ignore_errors || lost_for_good);
        if !looping.failed && (looping.changed || looping.maybe_changed.is_some()) {
            let maybe = looping.maybe_changed.as_ref().filter(|_| !looping.changed);
            self.notify(st, draft, looping.notifies.clone(), maybe);
        }
        let mut rescued = false;
        if looping.broken_include {
            rescued = self.fails(st);
            if !st.frames.is_empty() {
                for frames in looping.includes.iter().rev() {
                    st.frames.extend(frames.iter().cloned());
                }
            }
            st.counts.ok += looping.includes.len();
            st.counts.failed += 1;
            st.counts.forgiven += usize::from(rescued);
            st.barred |= rescued;
            self.tell_others(st, draft, true);
            return None;
        }
        if looping.failed && !draft.ignore_errors {
            st.failure = Some((task_value(draft), value));
            rescued = self.fails(st);
        } else if lost_for_good {
            st.loop_state = None;
            st.end = super::state::End::Unreachable;
        } else {
            self.advance(st);
            for frames in looping.includes.iter().rev() {
                st.frames.extend(frames.iter().cloned());
            }
        }
        let status = match (looping.failed, all_skipped, looping.changed) {
            (true, _, _) => Status::Failed,
            (_, true, _) => Status::Skipped,
            (_, _, true) => Status::Changed,
            _ => Status::Ok,
        };
        let status = if lost { Status::Unreachable } else { status };
        count(st, status, looping.failed && draft.ignore_errors || lost && !lost_for_good, rescued);
        st.counts.changed += usize::from(looping.failed && draft.ignore_errors && looping.changed);
        // Every file that a looped include brings in counts.
        st.counts.ok += looping.includes.len().saturating_sub(1);
        self.tell_others(st, draft, looping.failed && !draft.ignore_errors);
        None
    }
}

/// What Ansible registers beside a failure, unless it is asked for Python's traces.
const NO_TRACE: &str = "(traceback unavailable)";

/// What a command's result begins with, in order: a playbook may print it as a whole.
const OF_A_COMMAND: [&str; 8] = ["changed", "stdout", "stderr", "rc", "cmd", "start", "end", "delta"];

/// The values in the order that Ansible has them in, where it can be seen: a command's first, a `failed` that says no last.
fn in_order(mut map: IndexMap<String, Value>, failed: bool) -> IndexMap<String, Value> {
    let is_command = OF_A_COMMAND.iter().all(|key| map.contains_key(*key));
    let mut ordered = IndexMap::new();
    if is_command {
        for key in OF_A_COMMAND {
            ordered.extend(map.shift_remove_entry(key));
        }
    }
    let says = map.shift_remove_entry("failed");
    if failed {
        ordered.extend(says.clone());
    }
    ordered.extend(map);
    if !failed {
        ordered.extend(says);
    }
    ordered
}

/// `stdout_lines` and `stderr_lines` beside the texts. `pause` has none of them, as in Ansible.
fn add_lines(map: &mut IndexMap<String, Value>) {
    if map.contains_key("user_input") {
        return;
    }
    for stream in ["stdout", "stderr"] {
        let lines = format!("{stream}_lines");
        if let (Some(text), false) = (map.get(stream).cloned(), map.contains_key(&lines))
            && let Some(text) = text.as_str()
        {
            let split: Vec<Value> = split_lines(text).into_iter().map(Value::from).collect();
            map.insert(lines, Value::from(split));
        }
    }
}

/// Counts a task that ended.
fn count(st: &mut HostState, status: Status, ignored: bool, rescued: bool) {
    let counts = &mut st.counts;
    match status {
        Status::Ok | Status::Unknown => counts.ok += 1,
        Status::Changed => {
            counts.ok += 1;
            counts.changed += 1;
        }
        Status::Failed | Status::Unreachable if ignored => {
            counts.ok += 1;
            counts.ignored += 1;
        }
        Status::Failed if rescued => counts.rescued += 1,
        Status::Failed => counts.failed += 1,
        Status::Skipped => counts.skipped += 1,
        Status::Unreachable => counts.unreachable += 1,
    }
}

/// A loop's registered result in Ansible's shape.
fn registered_loop(results: &[Value], changed: bool, failed: bool, all_skipped: bool) -> Value {
    let mut map: IndexMap<String, Value> = IndexMap::new();
    map.insert("results".to_owned(), Value::from(results.to_vec()));
    map.insert("changed".to_owned(), Value::from(changed));
    if results.is_empty() {
        map.insert("skipped_reason".to_owned(), Value::from("No items in the list"));
        map.insert("skipped".to_owned(), Value::from(true));
    } else if all_skipped {
        // A loop over nothing has no message.
        if !results.is_empty() {
            map.insert("msg".to_owned(), Value::from("All items skipped"));
        }
        map.insert("skipped".to_owned(), Value::from(true));
    } else if failed {
        map.insert("msg".to_owned(), Value::from("One or more items failed"));
        map.insert("failed".to_owned(), Value::from(true));
        map.insert("skipped".to_owned(), Value::from(false));
    } else {
        map.insert("msg".to_owned(), Value::from("All items completed"));
        map.insert("skipped".to_owned(), Value::from(false));
    }
    Value::from_pairs(map)
}

/// An item's result with the item itself under its loop variable's name.
pub(super) fn with_item(registered: &Value, item: &Value, draft: &Draft) -> Value {
    PartialResult::extend(registered, item_values(item, draft))
}

/// What a loop adds to the result of an item.
fn item_values(item: &Value, draft: &Draft) -> IndexMap<String, Value> {
    let loop_var = draft
        .context
        .variable("ansible_loop_var")
        .ok()
        .flatten()
        .map_or_else(|| "item".to_owned(), |v| resources::text_of(&v));
    let mut extra: IndexMap<String, Value> = IndexMap::new();
    extra.insert(loop_var.clone(), item.clone());
    extra.insert("ansible_loop_var".to_owned(), Value::from(loop_var));
    for name in ["ansible_index_var", "ansible_loop"] {
        if let Ok(Some(value)) = draft.context.variable(name) {
            if name == "ansible_index_var" {
                let index = resources::text_of(&value);
                if let Ok(Some(number)) = draft.context.variable(&index) {
                    extra.insert(index, number);
                }
            }
            extra.insert(name.to_owned(), value);
        }
    }
    extra
}

/// `ansible_failed_task`, as far as playbooks look at it.
fn task_value(draft: &Draft) -> Value {
    Value::from_pairs([
        // A task without a name has an empty one here, whatever it is shown as.
        ("name".to_owned(), Value::from(draft.task.keywords.name.as_ref().map_or("", |_| draft.name.as_str()))),
        ("action".to_owned(), Value::from(draft.action.clone())),
        ("tags".to_owned(), Value::from(draft.tags.clone())),
    ])
}

/// Python's splitlines, as far as command output needs it.
fn split_lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A program whose result is all there is to know of it.
fn step_runs(change: &Change) -> bool {
    change.kind == crate::resources::ChangeKind::Run
}
