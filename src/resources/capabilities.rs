//! `capabilities`: Linux capabilities of a program's file. The manual is doc/capabilities.md.

use std::sync::Arc;

use super::common::{diff, fail, invalid, paths};
use super::kit;
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::ExecSpec;
use crate::problem::Problem;
use crate::world::{Answer, Effect, Output, Query, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["key"]),
    ArgSpec::new("capability", Kind::Str, "`cap_net_raw+ep`; without operator and flags to remove it")
        .required()
        .aliases(&["cap"]),
    ArgSpec::new("state", Kind::Str, "whether the file has it").default("present").choices(&["absent", "present"]),
];

pub static TYPE: ResourceType = ResourceType {
    name: "capabilities",
    qualified: &["community.general.capabilities"],
    doc: include_str!("doc/capabilities.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Capabilities {
    path: String,
    name: String,
    operator: char,
    flags: String,
    present: bool,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let present = args.need("state")? == "present";
    let text = args.need("capability")?.trim().to_lowercase();
    let at = text.find(['=', '+', '-']);
    let (name, operator, flags) = match at {
        Some(at) => (&text[..at], text.as_bytes()[at] as char, &text[at + 1..]),
        None => (text.as_str(), '=', ""),
    };
    if present && (at.is_none() || flags.is_empty() || flags.chars().any(|c| !"eip".contains(c))) {
        return Err(invalid(format!("Couldn't find operator (one of: ['=', '-', '+']) and flags in `{text}`"))
            .at(args.span("capability"))
            .help("for example: cap_net_bind_service+ep"));
    }
    Ok(Arc::new(Capabilities {
        path: paths::clean(&paths::need(args, "path", setting)?),
        name: name.to_owned(),
        operator,
        flags: flags.to_owned(),
        present,
    }))
}

/// `getcap`'s lines: `/bin/ping cap_net_raw=ep` or, of older versions, `/bin/ping = cap_net_raw+ep`.
fn parse(text: &str, path: &str) -> Vec<(String, char, String)> {
    let text = text.trim().strip_prefix(path).unwrap_or("").trim();
    let text = text.strip_prefix("= ").unwrap_or(text);
    let mut all = vec![];
    for clause in text.split_whitespace() {
        let Some(at) = clause.find(['=', '+', '-']) else { continue };
        let operator = clause.as_bytes()[at] as char;
        for name in clause[..at].split(',') {
            all.push((name.to_owned(), operator, clause[at + 1..].to_owned()));
        }
    }
    all
}

impl Resource for Capabilities {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let query = Query::Read { argv: ["getcap", "-v", &self.path].map(str::to_owned).to_vec() };
        view.want([Query::Stat { path: self.path.clone(), follow: true }, query.clone()]);
        if view.stat(&self.path, true)?.is_none() {
            let msg = format!("Unable to get capabilities of {}", self.path);
            let said = format!("{} (No such file or directory)\n", self.path);
            let result = TaskResult::unchanged().with("msg", msg).with("stdout", "").with("stderr", said);
            return Ok(Verdict::Failed(result));
        }
        let Answer::Output(output) = view.ask(query.clone())? else { return fail("getcap gave no answer") };
        if output.rc != 0 {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return fail(if output.rc == 127 {
                "the node has no `getcap`".to_owned()
            } else {
                format!("Unable to get capabilities of {}: {said}", self.path)
            });
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let old = parse(&text, &self.path);
        let sorted = |flags: &str| {
            let mut flags: Vec<char> = flags.chars().collect();
            flags.sort_unstable();
            flags
        };
        let has = old.iter().find(|(name, _, _)| *name == self.name);
        let same = if self.present {
            has.is_some_and(|(_, _, flags)| sorted(flags) == sorted(&self.flags))
        } else {
            has.is_none()
        };
        let result = TaskResult::unchanged().with("state", if self.present { "present" } else { "absent" });
        if same {
            return Ok(Verdict::Unchanged(result));
        }
        let mut new: Vec<(String, char, String)> =
            old.iter().filter(|(name, _, _)| *name != self.name).cloned().collect();
        if self.present {
            new.push((self.name.clone(), self.operator, self.flags.clone()));
        }
        let clauses = |list: &[(String, char, String)]| {
            list.iter().map(|(name, operator, flags)| format!("{name}{operator}{flags}")).collect::<Vec<_>>().join(" ")
        };
        // A file's set is always written as a whole; `=` stands for what `+` adds to nothing.
        let argv = if new.is_empty() {
            vec!["setcap".to_owned(), "-r".to_owned(), self.path.clone()]
        } else {
            vec!["setcap".to_owned(), clauses(&new), self.path.clone()]
        };
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Change,
            diff: vec![diff::sizes(&self.path, &self.path, Some(clauses(&old) + "\n"), clauses(&new) + "\n")],
            actions: vec![ExecSpec::argv(argv).into_action()],
            effects: vec![Effect {
                query,
                answer: Ok(Answer::Output(Output {
                    rc: 0,
                    stdout: format!("{} {}\n", self.path, clauses(&new)).into_bytes(),
                    stderr: vec![],
                })),
            }],
            opaque: false,
            result: TaskResult { changed: true, ..result }.with("msg", "capabilities changed"),
        }))
    }

    fn conclude(&self, change: &Change, done: &[crate::node::Done]) -> Result<TaskResult, TaskResult> {
        let output = done.last().map(|d| kit::output_of(d).clone()).unwrap_or_default();
        let result = change.result.clone().with("stdout", output.text());
        match kit::failure(done) {
            None => Ok(result),
            Some((message, _)) => Err(TaskResult { changed: false, ..result }
                .with("stderr", output.error_text())
                .with("msg", format!("Unable to set capabilities of {}: {message}", self.path))),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_forms_of_getcap() {
        let wanted = [("cap_a".to_owned(), '=', "ep".to_owned()), ("cap_b".to_owned(), '=', "ep".to_owned())];
        assert_eq!(super::parse("/x cap_a,cap_b=ep\n", "/x"), wanted);
        assert_eq!(super::parse("/x = cap_a+ep\n", "/x"), [("cap_a".to_owned(), '+', "ep".to_owned())]);
        assert!(super::parse("/x\n", "/x").is_empty());
    }
}
