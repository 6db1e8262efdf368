//! `blockinfile`: a block of lines between two marker lines. The manual is doc/blockinfile.md.

use std::sync::Arc;

use super::common::attributes::COMMON;
use super::common::concat;
use super::common::edit::{Editor, is_a_folder};
use super::lineinfile::pattern;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::template::pyregex::{Flags, PyRegex};
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["dest", "destfile", "name"]),
    ArgSpec::new("state", Kind::Str, "whether the block is to be there")
        .default("present")
        .choices(&["absent", "present"]),
    ArgSpec::new("block", Kind::Str, "the lines between the markers; without any the block is removed")
        .aliases(&["content"]),
    ArgSpec::new("marker", Kind::Str, "the marker lines; `{mark}` becomes `marker_begin` or `marker_end`")
        .default("# {mark} ANSIBLE MANAGED BLOCK"),
    ArgSpec::new("marker_begin", Kind::Str, "the word in the first marker").default("BEGIN"),
    ArgSpec::new("marker_end", Kind::Str, "the word in the last marker").default("END"),
    ArgSpec::new("insertafter", Kind::Str, "where a new block goes: after the last line that matches, or `EOF`"),
    ArgSpec::new("insertbefore", Kind::Str, "where a new block goes: before the last line that matches, or `BOF`"),
    ArgSpec::new("append_newline", Kind::Bool, "an empty line behind the block").default("no"),
    ArgSpec::new("prepend_newline", Kind::Bool, "an empty line before the block").default("no"),
    ArgSpec::new("create", Kind::Bool, "make the file if it is missing").default("no"),
    ArgSpec::new("backup", Kind::Bool, "keep the old file under a name with the time").default("no"),
    ArgSpec::new("validate", Kind::Str, "a command with `%s` that checks the new file before it is put in place"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "blockinfile",
    qualified: &["ansible.builtin.blockinfile"],
    doc: include_str!("doc/blockinfile.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct BlockInFile {
    editor: Editor,
    create: bool,
    present: bool,
    edit: Edit,
}

/// What is done to the text.
struct Edit {
    /// Marker, lines, marker; empty to remove the block.
    lines: Vec<String>,
    begin: String,
    end: String,
    insert: Insert,
    append_newline: bool,
    prepend_newline: bool,
}

enum Insert {
    End,
    Begin,
    After(PyRegex),
    Before(PyRegex),
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    if args.raw("insertafter").is_some() && args.raw("insertbefore").is_some() {
        return Err(
            super::common::invalid("`insertafter` and `insertbefore` exclude each other").at(args.span("insertbefore"))
        );
    }
    let present = args.need("state")? == "present";
    let marker = args.need("marker")?;
    let line =
        |word: &str| -> Result<String, Problem> { Ok(format!("{}\n", marker.replace("{mark}", &args.need(word)?))) };
    let (begin, end) = (line("marker_begin")?, line("marker_end")?);
    let mut block = args.str("block")?.unwrap_or_default();
    let mut lines = vec![];
    if present && !block.is_empty() {
        if !block.ends_with('\n') {
            block.push('\n');
        }
        lines.push(begin.clone());
        lines.extend(split(&block));
        lines.push(end.clone());
    }
    let insert = match (args.str("insertafter")?.as_deref(), args.str("insertbefore")?.as_deref()) {
        (None | Some("EOF"), None) => Insert::End,
        (Some(_), _) => pattern(args, "insertafter", Flags::default())?.map_or(Insert::End, Insert::After),
        (None, Some("BOF")) => Insert::Begin,
        (None, Some(_)) => pattern(args, "insertbefore", Flags::default())?.map_or(Insert::End, Insert::Before),
    };
    let (append_newline, prepend_newline) = (args.flag("append_newline")?, args.flag("prepend_newline")?);
    Ok(Arc::new(BlockInFile {
        editor: Editor::from_args(args, setting)?,
        create: args.flag("create")?,
        present,
        edit: Edit { lines, begin, end, insert, append_newline, prepend_newline },
    }))
}

/// Lines with their ends, as Python's `bytes.splitlines` finds them: `\n`, `\r\n` and `\r` end a line.
fn split(text: &str) -> Vec<String> {
    let mut lines = vec![];
    let mut start = 0;
    let bytes = text.as_bytes();
    for i in 0..bytes.len() {
        if bytes[i] == b'\n' || bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n') {
            lines.push(text[start..=i].to_owned());
            start = i + 1;
        }
    }
    if start < text.len() {
        lines.push(text[start..].to_owned());
    }
    lines
}

impl Edit {
    fn apply(&self, old: &str, present: bool) -> Result<String, Stop> {
        let mut lines = split(old);
        let last = |marker: &str| lines.iter().rposition(|l| l == marker);
        let mut at = match (last(&self.begin), last(&self.end)) {
            (Some(a), Some(b)) => {
                let (a, b) = (a.min(b), a.max(b));
                lines.drain(a..=b);
                a
            }
            _ => {
                let find = |regexp: &PyRegex, offset: usize| -> Result<usize, Stop> {
                    let mut at = lines.len();
                    for (i, line) in lines.iter().enumerate() {
                        if regexp.is_match(line).map_err(|e| Stop::Failed(e.to_string()))? {
                            at = i + offset;
                        }
                    }
                    Ok(at)
                };
                match &self.insert {
                    Insert::End => lines.len(),
                    Insert::Begin => 0,
                    Insert::After(regexp) => find(regexp, 1)?,
                    Insert::Before(regexp) => find(regexp, 0)?,
                }
            }
        };
        if at > 0 && !lines[at - 1].ends_with('\n') {
            lines[at - 1].push('\n');
        }
        if self.prepend_newline && present && at > 0 && lines[at - 1] != "\n" {
            lines.insert(at, "\n".to_owned());
            at += 1;
        }
        let behind = at + self.lines.len();
        lines.splice(at..at, self.lines.iter().cloned());
        if self.append_newline && present && lines.get(behind).is_some_and(|l| l != "\n") {
            lines.insert(behind, "\n".to_owned());
        }
        Ok(lines.concat())
    }
}

impl Resource for BlockInFile {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let loaded = self.editor.load(view)?;
        if loaded.is_folder() {
            return Ok(is_a_folder(&self.editor.shown));
        }
        let result = TaskResult::unchanged();
        if loaded.old.is_none() {
            if !self.present && !self.create {
                let msg = format!("Path {} does not exist !", self.editor.shown);
                return Ok(Verdict::Failed(result.with("rc", 257).with("msg", msg)));
            }
            if !self.present {
                return Ok(Verdict::Unchanged(result.with("msg", format!("File {} not present", self.editor.shown))));
            }
            if !self.create {
                let msg = format!("Path {} does not exist !", self.editor.shown);
                return Ok(Verdict::Failed(result.with("rc", 257).with("msg", msg)));
            }
        }
        let old = loaded.text.as_deref();
        let new = self.edit.apply(old.unwrap_or(""), self.present)?;
        let message = match old {
            Some(old) if old == new => "",
            None => "File created",
            Some(_) if self.edit.lines.is_empty() => "Block removed",
            Some(_) => "Block inserted",
        };
        self.editor.verdict(view, &loaded, &new, message, result, "backup_file")
    }
}
