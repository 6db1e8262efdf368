//! Loops: the items, one turn per item, the end that makes the items' results the task's.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::evaluate::value_kind;
use super::interpreter::Interpreter;
use super::lineage::Lineage;
use super::state::{HostState, LoopState};
use super::turn::Turn;
use crate::playbook::Task;
use crate::problem::Problem;
use crate::resources;
use crate::template::{Context, EvalError, Unknown};
use crate::vars::Scope;

impl Interpreter {
    /// The items of a loop: `loop` as it is, `with_X` by the lookup of that name.
    pub(super) fn loop_items(
        &self,
        context: &Context,
        looping: &crate::playbook::Loop,
    ) -> Result<Vec<Value>, EvalError> {
        let value = context.value(&looping.items)?;
        if let Some(unknown) = Unknown::of(&value) {
            return Err(EvalError::Unknown(unknown.clone()));
        }
        if looping.kind == "loop" {
            return match value.kind() {
                ValueKind::Seq | ValueKind::Iterable => Ok(value.try_iter().into_iter().flatten().collect()),
                _ => Err(EvalError::Failed(
                    Problem::new("invalid-loop", format!("`loop` needs a list, not {}", value_kind(&value)))
                        .at(&looping.items.span)
                        .help("a mapping can be looped over with `loop: \"{{ mapping | dict2items }}\"`"),
                )),
            };
        }
        let terms = match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => value.try_iter().into_iter().flatten().collect(),
            _ => vec![value],
        };
        context.lookup(&looping.kind, &terms, &looping.items.span)
    }

    /// The next item of the loop the host is in, or the loop's end.
    pub(super) fn loop_turn(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        handler: bool,
    ) -> Turn {
        let looping = st.loop_state.clone().expect("a loop is open");
        let base = match self.context(st, Some(task), lineage, vec![]) {
            Ok(context) => context,
            Err(problem) => return Turn::Broken(problem),
        };
        let Some(item) = looping.items.get(looping.next) else {
            return self.loop_end(st, task, lineage, base, &looping, handler);
        };
        let scope = match self.loop_scope(&base, task, &looping, item) {
            Ok(scope) => scope,
            Err(error) => {
                let draft = match self.draft(st, task, lineage, base, None, handler) {
                    Ok(draft) => draft,
                    Err(turn) => return turn,
                };
                return self.eval_failed(st, draft, error);
            }
        };
        let context = base.with([scope]);
        let label = match &task.loop_control.label {
            Some(node) => context.text(node).unwrap_or_else(|_| node.as_str().unwrap_or_default().to_owned()),
            None => resources::text_of(item),
        };
        self.item_turn(st, task, lineage, context, Some((item.clone(), label)), handler)
    }

    /// The variables of one turn of a loop: the item under its name, the index, `ansible_loop`.
    pub(super) fn loop_scope(
        &self,
        context: &Context,
        task: &Task,
        looping: &LoopState,
        item: &Value,
    ) -> Result<Arc<Scope>, EvalError> {
        let control = &task.loop_control;
        let loop_var = match &control.loop_var {
            Some(node) => context.text(node)?,
            None => "item".to_owned(),
        };
        let mut vars = vec![(loop_var.clone(), item.clone()), ("ansible_loop_var".to_owned(), Value::from(loop_var))];
        if let Some(node) = &control.index_var {
            let name = context.text(node)?;
            vars.push((name.clone(), Value::from(looping.next)));
            vars.push(("ansible_index_var".to_owned(), Value::from(name)));
        }
        if let Some(node) = &control.extended
            && context.boolean(node)?
        {
            let length = looping.items.len();
            let index = looping.next;
            let mut extended = vec![
                ("index".to_owned(), Value::from(index + 1)),
                ("index0".to_owned(), Value::from(index)),
                ("first".to_owned(), Value::from(index == 0)),
                ("last".to_owned(), Value::from(index + 1 == length)),
                ("length".to_owned(), Value::from(length)),
                ("revindex".to_owned(), Value::from(length - index)),
                ("revindex0".to_owned(), Value::from(length - index - 1)),
            ];
            let all = match &control.extended_allitems {
                Some(node) => context.boolean(node)?,
                None => true,
            };
            if all {
                extended.push(("allitems".to_owned(), Value::from(looping.items.to_vec())));
            }
            if index > 0 {
                extended.push(("previtem".to_owned(), looping.items[index - 1].clone()));
            }
            if let Some(next) = looping.items.get(index + 1) {
                extended.push(("nextitem".to_owned(), next.clone()));
            }
            vars.push(("ansible_loop".to_owned(), Value::from_pairs(extended)));
        }
        Ok(Scope::finals("loop", vars))
    }

    /// The end of a loop: the results of its items become the task's.
    fn loop_end(
        &self,
        st: &mut HostState,
        task: &Arc<Task>,
        lineage: &Arc<Lineage>,
        context: Context,
        looping: &LoopState,
        handler: bool,
    ) -> Turn {
        // Keywords may speak of the item: at the end it is the last one.
        let context = match looping.items.last() {
            Some(item) => {
                let at_last = LoopState { next: looping.items.len() - 1, ..looping.clone() };
                match self.loop_scope(&context, task, &at_last, item) {
                    Ok(scope) => context.with([scope]),
                    Err(_) => context,
                }
            }
            None => context,
        };
        let draft = match self.draft(st, task, lineage, context, None, handler) {
            Ok(draft) => draft,
            Err(turn) => return turn,
        };
        match self.close_loop(st, &draft, looping) {
            Some(step) => Turn::Done(Box::new(step)),
            None => Turn::Quiet,
        }
    }
}
