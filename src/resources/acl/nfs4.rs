//! `use_nfsv4_acls`: entries like `A::joe@example.org:rxtncy`, by the tools of nfs4-acl-tools.

use std::sync::Arc;

use minijinja::Value;

use crate::node::ExecSpec;
use crate::problem::Problem;
use crate::resources::common::{diff, fail, invalid, paths};
use crate::resources::{Args, Change, ChangeKind, Done, Resource, Setting, TaskResult, Verdict};
use crate::world::{Query, Stop, View};

struct Nfs4 {
    path: String,
    state: String,
    entry: String,
    recursive: bool,
}

pub(super) fn build(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let state = args.need("state")?;
    if args.flag("default")? {
        return Err(invalid("'default' cannot be used with 'use_nfsv4_acls'").at(args.span("default")));
    }
    let entry = args.str("entry")?.unwrap_or_default();
    if state != "query" && entry.is_empty() {
        return Err(invalid("`use_nfsv4_acls` needs `entry`, like `A::joe@example.org:rxtncy`").at(args.task_span()));
    }
    if !entry.is_empty() && entry.matches(':').count() != 3 {
        return Err(invalid(format!("`{entry}` is no entry like `A::joe@example.org:rxtncy`")).at(args.span("entry")));
    }
    let path = paths::clean(&paths::need(args, "path", setting)?);
    Ok(Arc::new(Nfs4 { path, state, entry, recursive: args.flag("recursive")? }))
}

fn entries(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
}

impl Nfs4 {
    fn list(&self) -> Vec<String> {
        vec!["nfs4_getfacl".to_owned(), self.path.clone()]
    }
}

impl Resource for Nfs4 {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([Query::Stat { path: self.path.clone(), follow: true }, Query::Read { argv: self.list() }]);
        if view.stat(&self.path, true)?.is_none() {
            return fail("Path not found or not accessible.");
        }
        let output = view.read(self.list())?;
        if output.rc != 0 {
            let none = "the node has no `nfs4_getfacl` (package nfs4-acl-tools)".to_owned();
            return fail(if output.rc == 127 { none } else { output.error_text().trim().to_owned() });
        }
        let text = output.text();
        let entries = entries(&text);
        let has = entries.contains(&self.entry.as_str());
        let shown: Vec<Value> = entries.iter().map(|e| Value::from(*e)).collect();
        let result = TaskResult::unchanged().with("acl", shown);
        let (option, message) = match self.state.as_str() {
            "present" => ("-a", format!("{} is present", self.entry)),
            "absent" => ("-x", format!("{} is absent", self.entry)),
            _ => return Ok(Verdict::Unchanged(result.with("msg", "current acl"))),
        };
        if has == (self.state == "present") {
            return Ok(Verdict::Unchanged(result.with("msg", message)));
        }
        let mut argv = vec!["nfs4_setfacl"];
        argv.extend(self.recursive.then_some("-R"));
        argv.extend([option, &self.entry, &self.path]);
        let line = format!("{}\n", self.entry);
        let sides = if has { (line, String::new()) } else { (String::new(), line) };
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Change,
            diff: vec![diff::sizes(&self.path, &self.path, Some(sides.0), sides.1)],
            actions: vec![ExecSpec::argv(argv).into_action(), ExecSpec::argv(self.list()).into_action()],
            effects: vec![],
            opaque: true,
            result: TaskResult { changed: true, ..result }.with("msg", message),
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let result = crate::resources::concluded(change, done)?;
        let Some(Done::Ok(output)) = done.last() else { return Ok(result) };
        let text = output.text();
        Ok(result.with("acl", entries(&text).into_iter().map(Value::from).collect::<Vec<_>>()))
    }
}
