//! `replace`: every match of an expression in a text file. The manual is doc/replace.md.

use std::sync::Arc;

use super::common::attributes::COMMON;
use super::common::edit::{Editor, is_a_folder};
use super::common::{concat, invalid};
use super::lineinfile::pattern;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::template::pyregex::{Flags, PyRegex, Template};
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["dest", "destfile", "name"]),
    ArgSpec::new(
        "regexp",
        Kind::Str,
        "what is replaced, a regular expression of Python's; `^` and `$` fit at every line",
    )
    .required(),
    ArgSpec::new("replace", Kind::Str, "what comes in its place; may refer to groups. Nothing: the match is removed"),
    ArgSpec::new("after", Kind::Str, "only behind this expression's first match"),
    ArgSpec::new("before", Kind::Str, "only before this expression's match"),
    ArgSpec::new("backup", Kind::Bool, "keep the old file under a name with the time").default("no"),
    ArgSpec::new("validate", Kind::Str, "a command with `%s` that checks the new file before it is put in place"),
    ArgSpec::new("encoding", Kind::Str, "accepted; bytes that are not UTF-8 survive").default("utf-8"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "replace",
    qualified: &["ansible.builtin.replace"],
    doc: include_str!("doc/replace.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Replace {
    editor: Editor,
    regexp: PyRegex,
    replacement: String,
    /// Its group `subsection` is what is worked on.
    section: Option<PyRegex>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let flags = Flags { multiline: true, ..Flags::default() };
    let Some(regexp) = pattern(args, "regexp", flags)? else {
        return Err(invalid("`replace` needs `regexp`").at(args.task_span()));
    };
    let replacement = args.str("replace")?.unwrap_or_default();
    Template::parse(&replacement, &regexp).map_err(|e| invalid(e.to_string()).at(args.span("replace")))?;
    let text = |name: &str| -> Result<Option<String>, Problem> { Ok(args.str(name)?.filter(|t| !t.is_empty())) };
    let section = match (text("after")?, text("before")?) {
        (Some(after), Some(before)) => Some(format!("{after}(?P<subsection>.*?){before}")),
        (Some(after), None) => Some(format!("{after}(?P<subsection>.*)")),
        (None, Some(before)) => Some(format!("(?P<subsection>.*){before}")),
        (None, None) => None,
    };
    let section = section
        .map(|pattern| {
            let name = if args.given("after") { "after" } else { "before" };
            PyRegex::new(&pattern, Flags { dotall: true, ..Flags::default() })
                .map_err(|e| invalid(e.to_string()).at(args.span(name)))
        })
        .transpose()?;
    let mut editor = Editor::from_args(args, setting)?;
    let encoding = args.str("encoding")?.unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    editor.latin = match encoding.as_str() {
        "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => false,
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => true,
        _ => return Err(Problem::unsupported(format!("the encoding `{encoding}`")).at(args.span("encoding"))),
    };
    Ok(Arc::new(Replace { editor, regexp, replacement, section }))
}

impl Resource for Replace {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let loaded = self.editor.load(view)?;
        if loaded.is_folder() {
            return Ok(is_a_folder(&self.editor.shown));
        }
        let result = TaskResult::unchanged();
        let Some(old) = loaded.text.as_deref() else {
            let msg = format!("Path {} does not exist !", self.editor.shown);
            return Ok(Verdict::Failed(result.with("rc", 257).with("msg", msg)));
        };
        let result = result.with("rc", 0);
        let gave_up = |e: crate::template::pyregex::RegexError| Stop::Failed(e.to_string());
        let (from, to) = match &self.section {
            None => (0, old.len()),
            Some(section) => {
                let found = section.search(old).map_err(gave_up)?;
                let group = section.group_index("subsection").unwrap_or(0);
                match found.and_then(|m| m.range(group)) {
                    Some(range) => range,
                    None => {
                        let pattern = section.pattern();
                        let msg = format!("Pattern for before/after params did not match the given file: {pattern}");
                        return Ok(Verdict::Unchanged(result.with("msg", msg)));
                    }
                }
            }
        };
        let (replaced, count) = self.regexp.subn(&self.replacement, &old[from..to], 0).map_err(gave_up)?;
        let new = format!("{}{replaced}{}", &old[..from], &old[to..]);
        let message = if new == old { String::new() } else { format!("{count} replacements made") };
        self.editor.verdict(view, &loaded, &new, &message, result, "backup_file")
    }
}
