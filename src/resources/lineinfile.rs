//! `lineinfile`: one line of a text file. The manual is doc/lineinfile.md.

use std::sync::Arc;

use super::common::attributes::COMMON;
use super::common::edit::{Editor, is_a_folder};
use super::common::{concat, invalid, text};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::template::pyregex::{Flags, Match, PyRegex, Template};
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["dest", "destfile", "name"]),
    ArgSpec::new("state", Kind::Str, "whether the line is to be there")
        .default("present")
        .choices(&["absent", "present"]),
    ArgSpec::new("line", Kind::Str, "the line").aliases(&["value"]),
    ArgSpec::new("regexp", Kind::Str, "which line is replaced or removed, a regular expression of Python's")
        .aliases(&["regex"]),
    ArgSpec::new("search_string", Kind::Str, "which line is replaced or removed, a text in it"),
    ArgSpec::new("backrefs", Kind::Bool, "the line refers to the expression's groups (`\\1`); no match, no change")
        .default("no"),
    ArgSpec::new("insertafter", Kind::Str, "where a new line goes: after the last line that matches, or `EOF`, `BOF`"),
    ArgSpec::new("insertbefore", Kind::Str, "where a new line goes: before the last line that matches, or `BOF`"),
    ArgSpec::new("firstmatch", Kind::Bool, "the first line that matches counts, not the last").default("no"),
    ArgSpec::new("create", Kind::Bool, "make the file if it is missing").default("no"),
    ArgSpec::new("backup", Kind::Bool, "keep the old file under a name with the time").default("no"),
    ArgSpec::new("validate", Kind::Str, "a command with `%s` that checks the new file before it is put in place"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "lineinfile",
    qualified: &["ansible.builtin.lineinfile"],
    doc: include_str!("doc/lineinfile.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct LineInFile {
    editor: Editor,
    create: bool,
    edit: Edit,
}

/// What is to be done to the text, apart from the node.
#[derive(Debug, Clone, Default)]
struct Edit {
    absent: bool,
    line: Option<String>,
    regexp: Option<PyRegex>,
    search: Option<String>,
    backrefs: bool,
    insert: Insert,
    first: bool,
}

#[derive(Debug, Clone, Default)]
enum Insert {
    #[default]
    End,
    Begin,
    After(PyRegex),
    Before(PyRegex),
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

/// A regular expression argument.
pub(super) fn pattern(args: &Args, name: &str, flags: Flags) -> Result<Option<PyRegex>, Problem> {
    args.str(name)?
        .map(|text| PyRegex::new(&text, flags).map_err(|e| invalid(e.to_string()).at(args.span(name))))
        .transpose()
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let absent = args.need("state")? == "absent";
    let line = args.str("line")?;
    for (a, b) in [("regexp", "search_string"), ("insertafter", "insertbefore"), ("search_string", "backrefs")] {
        let set = |name: &str| -> Result<bool, Problem> {
            Ok(args.given(name) && args.raw(name).is_some() && (name != "backrefs" || args.flag(name)?))
        };
        if set(a)? && set(b)? {
            return Err(invalid(format!("`{a}` and `{b}` exclude each other")).at(args.span(b)));
        }
    }
    let regexp = pattern(args, "regexp", Flags::default())?;
    let search = args.str("search_string")?;
    let backrefs = args.flag("backrefs")?;
    if absent && line.is_none() && regexp.is_none() && search.is_none() {
        return Err(invalid("`state: absent` needs `line`, `regexp` or `search_string`").at(args.task_span()));
    }
    if !absent && line.is_none() {
        return Err(invalid("`lineinfile` needs `line`").at(args.task_span()));
    }
    if !absent && backrefs && regexp.is_none() {
        return Err(invalid("`backrefs` needs `regexp`").at(args.span("backrefs")));
    }
    if let (true, Some(line), Some(regexp)) = (backrefs, &line, &regexp) {
        Template::parse(line, regexp).map_err(|e| invalid(e.to_string()).at(args.span("line")))?;
    }
    let insert = match (args.str("insertafter")?, args.str("insertbefore")?) {
        (Some(at), _) if at == "BOF" => Insert::Begin,
        (_, Some(at)) if at == "BOF" => Insert::Begin,
        (Some(at), _) if at == "EOF" => Insert::End,
        (Some(_), _) => pattern(args, "insertafter", Flags::default())?.map_or(Insert::End, Insert::After),
        (None, Some(_)) => pattern(args, "insertbefore", Flags::default())?.map_or(Insert::End, Insert::Before),
        (None, None) => Insert::End,
    };
    let edit = Edit { absent, line, regexp, search, backrefs, insert, first: args.flag("firstmatch")? };
    Ok(Arc::new(LineInFile { editor: Editor::from_args(args, setting)?, create: args.flag("create")?, edit }))
}

impl Resource for LineInFile {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let loaded = self.editor.load(view)?;
        if loaded.is_folder() {
            return Ok(is_a_folder(&self.editor.shown));
        }
        let result = TaskResult::unchanged();
        if self.edit.absent {
            let Some(old) = &loaded.text else {
                return Ok(Verdict::Unchanged(result.with("msg", "file not present")));
            };
            let (new, found) = self.edit.remove(old)?;
            let message = if found > 0 { format!("{found} line(s) removed") } else { String::new() };
            return self.editor.verdict(view, &loaded, &new, &message, result.with("found", found), "backup");
        }
        if loaded.old.is_none() && !self.create {
            let msg = format!("Destination {} does not exist !", self.editor.shown);
            return Ok(Verdict::Failed(result.with("rc", 257).with("msg", msg)));
        }
        let (new, message) = self.edit.apply(loaded.text.as_deref().unwrap_or(""))?;
        self.editor.verdict(view, &loaded, &new, message, result, "backup")
    }
}

fn gave_up(e: crate::template::pyregex::RegexError) -> Stop {
    Stop::Failed(e.to_string())
}

fn bare(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

impl Edit {
    /// Removes every line that matches.
    fn remove(&self, old: &str) -> Result<(String, usize), Stop> {
        let mut kept = String::with_capacity(old.len());
        let mut found = 0;
        for line in text::lines(old) {
            let hit = match (&self.regexp, &self.search) {
                (Some(regexp), _) => regexp.is_match(line).map_err(gave_up)?,
                (None, Some(search)) => line.contains(search.as_str()),
                (None, None) => self.line.as_deref() == Some(bare(line)),
            };
            if hit {
                found += 1;
            } else {
                kept.push_str(line);
            }
        }
        Ok((kept, found))
    }

    /// The text with the line in it, and Ansible's word for what was done.
    fn apply(&self, old: &str) -> Result<(String, &'static str), Stop> {
        let wanted = self.line.as_deref().unwrap_or("");
        let mut lines: Vec<String> = text::lines(old).into_iter().map(str::to_owned).collect();
        let mut at: Option<(usize, Option<Match>)> = None;
        if self.regexp.is_some() || self.search.is_some() {
            for (i, line) in lines.iter().enumerate() {
                let hit = match (&self.regexp, &self.search) {
                    (Some(regexp), _) => regexp.search(line).map_err(gave_up)?.map(Some),
                    (None, Some(search)) => line.contains(search.as_str()).then_some(None),
                    (None, None) => None,
                };
                if let Some(m) = hit {
                    at = Some((i, m));
                    if self.first {
                        break;
                    }
                }
            }
        }
        let mut beside: Option<usize> = None;
        if at.is_none() {
            for (i, line) in lines.iter().enumerate() {
                if bare(line) == wanted {
                    at = Some((i, None));
                    continue;
                }
                let (regexp, offset) = match &self.insert {
                    Insert::After(regexp) => (regexp, 1),
                    Insert::Before(regexp) => (regexp, 0),
                    Insert::Begin | Insert::End => continue,
                };
                if regexp.is_match(line).map_err(gave_up)? {
                    beside = Some(i + offset);
                    if self.first {
                        break;
                    }
                }
            }
        }
        let ended = |line: &str| if line.ends_with('\n') { line.to_owned() } else { format!("{line}\n") };
        if let Some((i, m)) = at {
            let new = match (&self.regexp, &m) {
                (Some(regexp), Some(m)) if self.backrefs => {
                    let template = Template::parse(wanted, regexp).map_err(gave_up)?;
                    let mut out = String::new();
                    template.expand(&mut out, &lines[i], m);
                    ended(&out)
                }
                _ => ended(wanted),
            };
            if lines[i] == new {
                return Ok((old.to_owned(), ""));
            }
            lines[i] = new;
            return Ok((lines.concat(), "line replaced"));
        }
        if self.backrefs {
            return Ok((old.to_owned(), ""));
        }
        let new = format!("{wanted}\n");
        match (&self.insert, beside) {
            (Insert::Begin, _) => lines.insert(0, new),
            (Insert::End, _) | (_, None) => {
                if lines.last().is_some_and(|l| !l.ends_with(['\n', '\r'])) {
                    lines.push("\n".to_owned());
                }
                lines.push(new);
            }
            (Insert::After(_), Some(i)) => {
                let there = if i == lines.len() { &lines[i - 1] } else { &lines[i] };
                if bare(there) == wanted {
                    return Ok((old.to_owned(), ""));
                }
                lines.insert(i, new);
            }
            (Insert::Before(_), Some(i)) => lines.insert(i, new),
        }
        Ok((lines.concat(), "line added"))
    }
}
