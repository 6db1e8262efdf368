//! The variables of a task, stacked in Ansible's order of precedence.

use std::sync::Arc;

use super::interpreter::Interpreter;
use super::lineage::{Lineage, Source};
use super::magic;
use super::state::HostState;
use crate::playbook::Task;
use crate::problem::Problem;
use crate::template::{Context, SearchPaths};
use crate::vars::Scope;

impl Interpreter {
    /// The variables a task sees; `on_top` are those of the loop, `None` for the task: those of the place alone.
    ///
    /// The order is Ansible's (docs: "variable precedence"), weakest first.
    pub fn context(
        &self,
        st: &HostState,
        task: Option<&Task>,
        lineage: &Arc<Lineage>,
        on_top: Vec<Arc<Scope>>,
    ) -> Result<Context, Problem> {
        let run = &self.run;
        let mut scopes: Vec<Arc<Scope>> = Vec::with_capacity(40);
        let mut push = |scope: &Arc<Scope>| {
            if !scope.vars.is_empty() {
                scopes.push(scope.clone());
            }
        };
        let around = lineage.roles();
        for role in self.play.roles.iter().chain(st.public_roles.iter()) {
            push(&run.role_scopes(role).defaults);
        }
        if let Some(own) = around.first() {
            for dependency in &own.dependencies {
                push(&run.role_scopes(dependency).defaults);
            }
            for role in around.iter().rev() {
                push(&run.role_scopes(role).defaults);
            }
        }
        for scope in run.host_scopes(&self.host)?.iter() {
            push(scope);
        }
        push(&st.vars.facts_scope);
        for scope in &self.play.scopes {
            push(scope);
        }
        for role in self.play.roles.iter().chain(st.public_roles.iter()) {
            push(&run.role_scopes(role).vars);
        }
        if let Some(own) = around.first() {
            for role in around.iter().skip(1).rev() {
                let own = run.role_scopes(role);
                push(&own.entry_vars);
                push(&own.vars);
            }
            for dependency in &own.dependencies {
                push(&run.role_scopes(dependency).vars);
            }
            let own = run.role_scopes(own);
            push(&own.entry_vars);
            push(&own.vars);
        }
        for link in lineage.outside_in() {
            match &link.source {
                Source::Block(block) if !block.keywords.vars.is_empty() => {
                    push(&Scope::written("block vars", block.keywords.vars.iter().cloned()));
                }
                Source::Include { vars, .. } => push(vars),
                _ => {}
            }
        }
        if let Some(task) = task
            && !task.keywords.vars.is_empty()
        {
            push(&Scope::written("task vars", task.keywords.vars.iter().cloned()));
        }
        push(&st.vars.included);
        push(&st.vars.set);
        for role in around.iter().rev() {
            push(&run.role_scopes(role).params);
        }
        for link in lineage.outside_in() {
            if let Source::Include { params: Some(params), .. } = &link.source {
                push(params);
            }
        }
        push(&run.extra_vars);
        push(&self.magic);
        push(&magic::of_place(&self.play, lineage));
        if let Some((failed_task, failed_result)) = &st.failure {
            push(&Scope::finals(
                "rescue",
                [
                    ("ansible_failed_task".to_owned(), failed_task.clone()),
                    ("ansible_failed_result".to_owned(), failed_result.clone()),
                ],
            ));
        }
        for scope in &on_top {
            push(scope);
        }
        let paths = SearchPaths {
            roles: around.iter().map(|r| r.role.path.clone()).collect(),
            task_dir: task.map_or_else(|| run.playbook_dir.clone(), |t| t.span.dir().to_owned()),
            playbook_dir: run.playbook_dir.clone(),
        };
        Ok(Context::new(&run.engine, scopes, Arc::new(paths)))
    }
}
