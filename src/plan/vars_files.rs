//! `vars_files`: each entry is a file, or a list of files of which the first that exists counts.

use std::sync::Arc;

use super::run::Run;
use crate::problem::Problem;
use crate::resources;
use crate::template::{Context, EvalError};
use crate::vars::{Definition, Scope};
use crate::yaml::Node;

/// The variables of one entry; none if no file of a list of alternatives exists, as in Ansible.
pub fn scope(run: &Run, node: &Node, context: &Context) -> Result<Option<Arc<Scope>>, EvalError> {
    let choices: Vec<&Node> = match node.as_seq() {
        Some(items) => items.iter().collect(),
        None => vec![node],
    };
    let mut tried = vec![];
    for choice in choices {
        let name = resources::text_of(&context.value(choice)?);
        match context.paths().find("vars", &name) {
            Ok(path) => return read(run, &path).map(Some).map_err(EvalError::Failed),
            Err(places) => tried.extend(places),
        }
    }
    if node.as_seq().is_some() {
        run.warn(format!("{}: none of these vars files exists", node.span));
        return Ok(None);
    }
    let mut problem = Problem::new("missing-file", "no such vars file").at(&node.span);
    for place in tried {
        problem = problem.note(format!("looked at {}", crate::source::display_path(&place)));
    }
    Err(EvalError::Failed(problem))
}

fn read(run: &Run, path: &std::path::Path) -> Result<Arc<Scope>, Problem> {
    let loaded = (run.loader.settings().read)(path)?;
    let root = loaded.single()?;
    let mut scope = Scope::new(format!("vars_files ({})", crate::source::display_path(path)));
    if let Some(map) = root.as_map() {
        for (key, value) in map.iter() {
            if let Some(key) = key.as_str() {
                scope.vars.insert(key.to_owned(), Definition::Written(value.clone()));
            }
        }
    } else if !root.is_null() {
        return Err(Problem::new("invalid-vars-file", format!("a vars file must be a mapping, not {}", root.kind()))
            .at(&root.span));
    }
    Ok(Arc::new(scope))
}
