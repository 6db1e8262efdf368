//! `slurp`: the content of a file, as base64. The manual is doc/slurp.md.

use std::sync::Arc;

use base64::Engine;

use super::common::{fail, paths};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::{FileKind, Query, Stop, View};

static ARGS: &[ArgSpec] = &[ArgSpec::new("src", Kind::Path, "the file that is read").required().aliases(&["path"])];

pub static TYPE: ResourceType = ResourceType {
    name: "slurp",
    qualified: &["ansible.builtin.slurp"],
    doc: include_str!("doc/slurp.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

struct Slurp {
    shown: String,
    path: String,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let shown = paths::need(&args, "src", setting)?;
    Ok(Arc::new(Slurp { path: paths::clean(&shown), shown }))
}

impl Resource for Slurp {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let content = Query::Content { path: self.path.clone() };
        view.want([Query::Stat { path: self.path.clone(), follow: true }, content.clone()]);
        match view.stat(&self.path, true)? {
            None => return fail(format!("file not found: {}", self.shown)),
            Some(s) if s.kind == FileKind::Directory => {
                return fail(format!("source is a directory and must be a file: {}", self.shown));
            }
            Some(_) => {}
        }
        let Some(bytes) = view.content(&self.path)? else {
            return fail(format!("unable to slurp file: {}", self.shown));
        };
        Ok(Verdict::Unchanged(
            TaskResult::unchanged()
                .with("content", base64::engine::general_purpose::STANDARD.encode(bytes.as_slice()))
                .with("source", self.shown.as_str())
                .with("encoding", "base64"),
        ))
    }
}
