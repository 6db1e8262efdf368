//! `locale_gen`: which locales are generated.

use std::sync::Arc;

use super::edits::{self, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Change, Conduct, Kind, Resource, ResourceType, TaskResult, Verdict};
use crate::node::Done;
use crate::world::{Answer, Output, Query, Stop, View};

/// `locale_gen`.
pub static TYPE: ResourceType = ResourceType {
    name: "locale_gen",
    qualified: &["community.general.locale_gen"],
    doc: include_str!("doc/locale_gen.md"),
    args: &[
        ArgSpec::new("name", Kind::List, "Locales, as /etc/locale.gen names them").required(),
        ArgSpec::new("state", Kind::Str, "Whether they are there").default("present").choices(&["absent", "present"]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        Ok(Arc::new(Locales {
            names: args.list("name")?,
            present: args.need("state")? == "present",
            task: Task::of(setting),
        }))
    },
};

struct Locales {
    names: Vec<String>,
    present: bool,
    task: Task,
}

/// A locale's name as `locale -a` writes it: the character set in lower case without dashes.
fn canonical(name: &str) -> String {
    match name.split_once('.') {
        Some((language, rest)) => {
            let (charset, modifier) = rest.split_once('@').map_or((rest, None), |(c, m)| (c, Some(m)));
            let charset = charset.to_lowercase().replace('-', "");
            format!("{language}.{charset}{}", modifier.map(|m| format!("@{m}")).unwrap_or_default())
        }
        None => name.to_owned(),
    }
}

impl Resource for Locales {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        const LIST: &str = "/etc/locale.gen";
        let all = Query::Read { argv: ["locale", "-a"].map(str::to_owned).to_vec() };
        world.want([all.clone()]);
        world.want(edits::queries(LIST));
        let Answer::Output(known) = world.ask(all.clone())? else { unreachable!("an output") };
        let known = known.text();
        let has = |name: &str| known.lines().any(|l| canonical(l) == canonical(name));
        let result = TaskResult::unchanged()
            .with("name", minijinja::Value::from(self.names.clone()))
            .with("mechanism", "glibc")
            .with("ubuntu_mode", false);
        let todo: Vec<&String> = self.names.iter().filter(|n| has(n) != self.present).collect();
        if todo.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        let Some(text) = edits::read(world, LIST)? else {
            return Ok(kit::failed("/etc/locale.gen is missing. Is the package \"locales\" installed?"));
        };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for name in &todo {
            let mut found = false;
            for line in &mut lines {
                let bare = line.trim_start_matches(['#', ' ']).to_owned();
                if bare.split_whitespace().next() == Some(name.as_str()) && bare.split_whitespace().count() == 2 {
                    found = true;
                    *line = if self.present { bare } else { format!("# {bare}") };
                }
            }
            if !found && self.present {
                return Ok(kit::failed(format!("The locales you've entered are not available on your system: {name}")));
            }
        }
        let mut edit = edits::write(world, &self.task, LIST, &Own::mode(0o644), Some(&edits::joined(&lines)))?;
        edit.actions.push(self.task.exec(["locale-gen"]));
        let mut after: Vec<String> =
            known.lines().filter(|l| !todo.iter().any(|n| canonical(n) == canonical(l))).map(str::to_owned).collect();
        if self.present {
            after.extend(todo.iter().map(|n| canonical(n)));
        }
        edit.effect(all, Answer::Output(Output { rc: 0, stdout: edits::joined(&after).into_bytes(), stderr: vec![] }));
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.names.join(","), message, output)),
        }
    }
}
