//! The variables of a task, stacked in Ansible's order of precedence.

use std::sync::Arc;

use super::interpreter::Interpreter;
use super::lineage::{Lineage, Source};
use super::magic;
use super::state::HostState;
use crate::playbook::Task;
use crate::problem::Problem;
use crate::template::{Context, EvalError, SearchPaths};
use crate::vars::Scope;
use crate::yaml::Node;

impl Interpreter {
    /// The roles whose variables every task of the play sees.
    fn shared_roles<'a>(&'a self, st: &'a HostState) -> impl Iterator<Item = &'a Arc<crate::playbook::RoleUse>> {
        let all = self.play.roles.iter().chain(st.public_roles.iter());
        all.filter(|_| !self.run.options.private_role_vars)
    }

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
        if task.is_some() {
            // How the host is reached, where nothing says it.
            push(&Scope::finals(
                "connection",
                [("ansible_host".to_owned(), minijinja::Value::from(self.host.as_str()))],
            ));
        }
        let around = lineage.roles();
        for role in self.shared_roles(st) {
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
        let mut late = self.play.late_vars_files.iter().peekable();
        for (index, scope) in self.play.scopes.iter().enumerate() {
            while let Some((_, node)) = late.next_if(|(place, _)| *place <= index) {
                self.late_vars_file(st, &mut scopes, node)?;
            }
            if !scope.vars.is_empty() {
                scopes.push(scope.clone());
            }
        }
        for (_, node) in late {
            self.late_vars_file(st, &mut scopes, node)?;
        }
        let mut push = |scope: &Arc<Scope>| {
            if !scope.vars.is_empty() {
                scopes.push(scope.clone());
            }
        };
        for role in self.shared_roles(st) {
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
        let paths = SearchPaths {
            roles: around.iter().map(|r| r.role.path.clone()).collect(),
            task_dir: task.map_or_else(|| run.playbook_dir.clone(), |t| t.span.dir().to_owned()),
            playbook_dir: run.playbook_dir.clone(),
        };
        push(&run.extra_vars);
        push(&self.magic());
        if let Some(task) = task {
            push(&magic::of_task(task, lineage, &paths));
        }
        push(&magic::of_place(&self.run, &self.play, lineage, &st.included_roles));
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
        Ok(Context::new(&run.engine, scopes, Arc::new(paths)))
    }

    /// A vars file whose name rests on the host: left out as long as the name has no value (facts are not gathered yet).
    fn late_vars_file(&self, st: &HostState, scopes: &mut Vec<Arc<Scope>>, node: &Node) -> Result<(), Problem> {
        let mut visible = scopes.clone();
        visible.extend([st.vars.included.clone(), st.vars.set.clone(), self.run.extra_vars.clone(), self.magic()]);
        let dir = self.run.playbook_dir.clone();
        let paths = SearchPaths { roles: vec![], task_dir: dir.clone(), playbook_dir: dir };
        let context = Context::new(&self.run.engine, visible, Arc::new(paths));
        match super::vars_files::scope(&self.run, node, &context) {
            Ok(scope) => scopes.extend(scope),
            Err(EvalError::Undefined(_) | EvalError::Unknown(_)) => {}
            Err(EvalError::Failed(problem)) => return Err(problem.or_at(&node.span)),
        }
        Ok(())
    }
}
