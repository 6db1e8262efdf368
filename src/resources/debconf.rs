//! `debconf`: answers to the questions of packages.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use super::common::feed::{feed, output};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::{Query, Stop, View};

/// `debconf`.
pub static TYPE: ResourceType = ResourceType {
    name: "debconf",
    qualified: &["ansible.builtin.debconf"],
    doc: include_str!("doc/debconf.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The package").aliases(&["pkg"]).required(),
        ArgSpec::new("question", Kind::Str, "The question").aliases(&["selection", "setting"]),
        ArgSpec::new("vtype", Kind::Str, "Its type").choices(&[
            "boolean",
            "error",
            "multiselect",
            "note",
            "password",
            "seen",
            "select",
            "string",
            "text",
            "title",
        ]),
        ArgSpec::new("value", Kind::Raw, "The answer").aliases(&["answer"]),
        ArgSpec::new("unseen", Kind::Bool, "Leave it to be asked").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Debconf {
    name: String,
    set: Option<(String, String, String)>,
    unseen: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let set = match args.str("question")? {
        None => None,
        Some(question) => {
            let (Some(kind), Some(value)) = (args.str("vtype")?, args.raw("value")) else {
                return Err(Problem::new(
                    "missing-argument",
                    "when supplying a question you must supply a valid vtype and value",
                )
                .at(args.task_span())
                .into());
            };
            let value = match value.kind() {
                minijinja::value::ValueKind::Seq => args.list("value")?.join(", "),
                _ => super::text_of(value),
            };
            // A boolean's answers are lower case.
            let value = if kind == "boolean" { value.to_lowercase() } else { value };
            Some((question, kind, value))
        }
    };
    Ok(Arc::new(Debconf { name: args.need("name")?, set, unseen: args.flag("unseen")?, task: Task::of(setting) }))
}

/// The answers `debconf-show` lists.
fn answers(text: &str) -> IndexMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (question, value) = line.trim_start_matches(['*', ' ']).split_once(':')?;
            Some((question.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

impl Resource for Debconf {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let argv = ["debconf-show", self.name.as_str()].map(str::to_owned).to_vec();
        let said = world.read(argv.clone())?;
        if said.rc != 0 {
            return Err(Stop::Failed(format!("debconf-show failed: {}", said.error_text().trim())));
        }
        let before = answers(&said.text());
        let shown =
            |map: &IndexMap<String, String>| kit::map(map.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))));
        let Some((question, kind, value)) = &self.set else {
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("msg", "").with("current", shown(&before))));
        };
        let is = before.get(question).map(String::as_str);
        // Passwords are shown masked: whether they differ cannot be told.
        let same = match (kind.as_str(), is) {
            ("password", Some(mask)) => mask == "(password omitted)",
            (_, Some(is)) => is == value,
            (_, None) => false,
        };
        if same {
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("msg", "").with("current", shown(&before))));
        }
        let mut after = before.clone();
        let secret = kind == "password";
        after.insert(question.clone(), if secret { "(password omitted)".to_owned() } else { value.clone() });
        let mut tool = vec!["debconf-set-selections"];
        if self.unseen {
            tool.push("-u");
        }
        let mut edit = Edit::default();
        edit.actions.push(feed(&self.task, &tool, format!("{} {question} {kind} {value}\n", self.name)));
        let text = after.iter().map(|(k, v)| format!("* {k}: {v}\n")).collect();
        edit.effect(Query::Read { argv }, output(text));
        let side = |v: Option<&String>| v.map_or(String::new(), |v| format!("{question}: {v}\n"));
        edit.diff.push(kit::diff(&self.name, side(before.get(question)), side(after.get(question))));
        let one = |v: &str| kit::map([(question.clone(), Value::from(v))]);
        // As ansible's module has it: the question's answer, or all answers if it had none.
        let mut previous = before.clone();
        if before.contains_key(question) {
            previous.retain(|name, _| name == question);
        }
        previous.entry(question.clone()).or_default();
        let result = TaskResult::unchanged()
            .with("msg", "")
            .with("current", one(after.get(question).map_or("", String::as_str)))
            .with("previous", shown(&previous));
        Ok(edit.verdict(result))
    }
}
