//! Templates that use other template files: include, import, extends, blocks.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use super::frame::Frame;
use super::{Interp, MAX_CALLS, Result, failed, ops};
use crate::problem::Problem;
use crate::source::SourceFile;
use crate::template::EvalError;
use crate::template::place::Origin;
use crate::template::syntax::ast::{Stmt, StmtKind, Template};

impl Interp<'_> {
    /// A template file by name, or the first of a list that exists.
    pub(super) fn load(&mut self, name: &Value) -> Result<(Arc<Template>, Origin)> {
        let names: Vec<String> = match name.as_str() {
            Some(one) => vec![one.to_owned()],
            None => ops::items(name)
                .ok_or_else(|| failed("the name of a template file is text"))?
                .iter()
                .map(crate::template::text)
                .collect(),
        };
        let mut tried = vec![];
        for name in &names {
            let path = match self.ctx.paths().find("templates", name) {
                Ok(path) => Some(path),
                Err(places) => {
                    tried.extend(places);
                    // Beside the template that includes it.
                    match &self.origin {
                        Origin::File(file, _) => {
                            let beside = file.path.parent().unwrap_or(Path::new("")).join(name);
                            let found = beside.is_file();
                            tried.push(beside.clone());
                            found.then_some(beside)
                        }
                        _ => None,
                    }
                }
            };
            let Some(path) = path else { continue };
            let text = std::fs::read_to_string(&path)
                .map_err(|e| failed(format!("cannot read template `{}`: {e}", crate::source::display_path(&path))))?;
            crate::source::note_read(&path);
            let file = SourceFile::new(path, text);
            let template = self.ctx.engine().compile(&file.text, &self.options, &Origin::File(file.clone(), 0))?;
            return Ok((template, Origin::File(file, 0)));
        }
        let mut problem = Problem::new("file-not-found", format!("template file `{}` not found", names.join("`, `")));
        for place in tried {
            problem = problem.note(format!("looked at {}", crate::source::display_path(&place)));
        }
        Err(EvalError::Failed(problem))
    }

    fn nested<T>(&mut self, origin: Origin, frame: Arc<Frame>, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.calls >= MAX_CALLS {
            return Err(failed("templates include one another without end"));
        }
        self.calls += 1;
        let outer_origin = std::mem::replace(&mut self.origin, origin);
        let outer_blocks = std::mem::take(&mut self.blocks);
        let outer_extends = self.extends.take();
        let outer_stack = std::mem::take(&mut self.block_stack);
        let result = self.scoped(frame, run);
        self.origin = outer_origin;
        self.blocks = outer_blocks;
        self.extends = outer_extends;
        self.block_stack = outer_stack;
        self.calls -= 1;
        result
    }

    pub(super) fn include(
        &mut self,
        name: &Value,
        ignore_missing: bool,
        with_context: bool,
        out: &mut Vec<Value>,
    ) -> Result<()> {
        let (template, origin) = match self.load(name) {
            Ok(loaded) => loaded,
            Err(EvalError::Failed(p)) if ignore_missing && p.code == "file-not-found" => return Ok(()),
            Err(error) => return Err(error),
        };
        let frame = if with_context { Frame::inside(&self.frame) } else { Frame::root() };
        self.roots.push(frame.clone());
        let isolated = self.isolated;
        self.isolated |= !with_context;
        let pieces = self.nested(origin, frame, |i| i.template(&template));
        self.isolated = isolated;
        out.extend(pieces?);
        Ok(())
    }

    /// What a template defines at its top.
    pub(super) fn import(&mut self, name: &Value, with_context: bool) -> Result<IndexMap<String, Value>> {
        let (template, origin) = self.load(name)?;
        let frame = if with_context { Frame::inside(&self.frame) } else { Frame::root() };
        self.roots.push(frame.clone());
        let module = frame.clone();
        self.nested(origin, frame, |i| i.template(&template))?;
        Ok(module.all())
    }

    pub(super) fn collect_blocks(&mut self, body: &[Stmt]) {
        for stmt in body {
            match &stmt.kind {
                StmtKind::Block { name, body } => {
                    self.blocks.entry(name.clone()).or_default().push((body.clone(), self.origin.clone()));
                    self.collect_blocks(body);
                }
                StmtKind::If { branches, otherwise } => {
                    for (_, body) in branches {
                        self.collect_blocks(body);
                    }
                    self.collect_blocks(otherwise);
                }
                StmtKind::For(each) => {
                    self.collect_blocks(&each.body);
                    self.collect_blocks(&each.otherwise);
                }
                StmtKind::With { body, .. } | StmtKind::FilterBlock { body, .. } | StmtKind::Group(body) => {
                    self.collect_blocks(body)
                }
                _ => {}
            }
        }
    }

    /// Puts out a block: `level` 0 is the most derived, each `super()` one more.
    pub(super) fn block(&mut self, name: &Arc<str>, level: usize, out: &mut Vec<Value>) -> Result<()> {
        if self.extends.is_some() {
            // A child's blocks are put out where its parent says.
            return Ok(());
        }
        let Some((body, origin)) = self.blocks.get(name).and_then(|chain| chain.get(level)).cloned() else {
            return Err(failed(format!("block `{name}` has no parent block")));
        };
        if self.block_stack.len() >= MAX_CALLS {
            return Err(failed("blocks are nested too deeply"));
        }
        let outer = std::mem::replace(&mut self.origin, origin);
        self.block_stack.push((name.clone(), level));
        let frame = Frame::inside(&self.frame);
        let result = self.scoped(frame, |i| i.body(&body, out));
        self.block_stack.pop();
        self.origin = outer;
        result.map(|_| ())
    }
}
