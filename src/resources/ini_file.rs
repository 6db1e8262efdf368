//! `ini_file`: options and sections of an INI file. The manual is doc/ini_file.md.

use std::sync::Arc;

use super::common::attributes::{self, COMMON};
use super::common::edit::{Editor, is_a_folder};
use super::common::{concat, invalid, text};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::problem::Problem;
use crate::world::{Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["dest"]),
    ArgSpec::new("section", Kind::Str, "the section; without one, the options before the first section"),
    ArgSpec::new("option", Kind::Str, "the option; without one, the section itself"),
    ArgSpec::new("value", Kind::Str, "its value"),
    ArgSpec::new("values", Kind::List, "its values, each in a line of its own"),
    ArgSpec::new("state", Kind::Str, "whether it is to be there").default("present").choices(&["absent", "present"]),
    ArgSpec::new("exclusive", Kind::Bool, "remove other lines of the option").default("yes"),
    ArgSpec::new("no_extra_spaces", Kind::Bool, "no blanks around `=`").default("no"),
    ArgSpec::new("ignore_spaces", Kind::Bool, "a line that differs only in blanks is as desired").default("no"),
    ArgSpec::new("allow_no_value", Kind::Bool, "an option without `=` and value").default("no"),
    ArgSpec::new("modify_inactive_option", Kind::Bool, "put the option in place of one that is commented out")
        .default("yes"),
    ArgSpec::new(
        "section_has_values",
        Kind::List,
        "of several sections of the name, the first with these: a list of `option` with `value` or `values`",
    ),
    ArgSpec::new("create", Kind::Bool, "make the file if it is missing").default("yes"),
    ArgSpec::new("follow", Kind::Bool, "accepted; links are followed").default("no"),
    ArgSpec::new("backup", Kind::Bool, "keep the old file under a name with the time").default("no"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "ini_file",
    qualified: &["community.general.ini_file"],
    doc: include_str!("doc/ini_file.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct IniFile {
    editor: Editor,
    create: bool,
    edit: Edit,
}

#[derive(Debug, Clone, Default)]
struct Edit {
    section: Option<String>,
    option: Option<String>,
    values: Vec<String>,
    absent: bool,
    exclusive: bool,
    no_extra_spaces: bool,
    ignore_spaces: bool,
    allow_no_value: bool,
    inactive: bool,
    /// Options that tell the section from others of its name, each with its values.
    has: Vec<(String, Vec<String>)>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    if args.raw("value").is_some() && args.raw("values").is_some() {
        return Err(invalid("`value` and `values` exclude each other").at(args.span("values")));
    }
    let mut values = args.list("values")?;
    values.extend(args.str("value")?);
    let mut once: Vec<String> = vec![];
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    let edit = Edit {
        section: args.str("section")?.filter(|s| !s.is_empty()),
        option: args.str("option")?.filter(|s| !s.is_empty()),
        values: once,
        absent: args.need("state")? == "absent",
        exclusive: args.bool("exclusive")?.unwrap_or(true),
        no_extra_spaces: args.flag("no_extra_spaces")?,
        ignore_spaces: args.flag("ignore_spaces")?,
        allow_no_value: args.flag("allow_no_value")?,
        inactive: args.bool("modify_inactive_option")?.unwrap_or(true),
        has: args.items("section_has_values")?.iter().map(|v| marks(v, args)).collect::<Result<_, _>>()?,
    };
    if !edit.absent && edit.values.is_empty() && !edit.allow_no_value {
        return Err(invalid("`ini_file` needs `value`, `values` or `allow_no_value`").at(args.task_span()));
    }
    Ok(Arc::new(IniFile {
        editor: Editor::from_args(args, setting)?,
        create: args.bool("create")?.unwrap_or(true),
        edit,
    }))
}

/// One entry of `section_has_values`.
fn marks(value: &minijinja::Value, args: &Args) -> Result<(String, Vec<String>), Problem> {
    let get = |key: &str| value.get_attr(key).ok().filter(|v| !v.is_undefined() && !v.is_none());
    let Some(option) = get("option") else {
        return Err(invalid("an entry of `section_has_values` needs `option`").at(args.span("section_has_values")));
    };
    let mut values: Vec<String> = get("value").iter().map(text_of).collect();
    if let Some(list) = get("values") {
        values.extend(list.try_iter().into_iter().flatten().map(|v| text_of(&v)));
    }
    Ok((text_of(&option), values))
}

impl Resource for IniFile {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let loaded = self.editor.load(view)?;
        if loaded.is_folder() {
            return Ok(is_a_folder(&self.editor.shown));
        }
        if loaded.old.is_none() && !self.create {
            let msg = format!("Destination {} does not exist!", self.editor.shown);
            return Ok(Verdict::Failed(TaskResult::unchanged().with("rc", 257).with("msg", msg)));
        }
        let result = TaskResult::unchanged().with("path", self.editor.shown.as_str());
        if loaded.old.is_none() && self.edit.absent {
            return Ok(Verdict::Unchanged(result.with("msg", "OK")));
        }
        let (new, message) = self.edit.apply(loaded.text.as_deref().unwrap_or(""));
        let verdict = self.editor.verdict(view, &loaded, &new, message, result, "backup_file")?;
        // The result has the file's attributes, as they will be.
        let stat = match &verdict {
            Verdict::Change(change) => change.effects.iter().rev().find_map(|e| match (&e.query, &e.answer) {
                (crate::world::Query::Stat { path, .. }, Ok(crate::world::Answer::Stat(Some(stat))))
                    if *path == loaded.path =>
                {
                    Some(stat.clone())
                }
                _ => None,
            }),
            _ => loaded.old.clone(),
        };
        let Some(stat) = stat else { return Ok(verdict) };
        Ok(match verdict {
            Verdict::Change(mut change) => {
                // Its message does not speak of owner and mode.
                change.result = attributes::describe(change.result.with("msg", message), &stat);
                Verdict::Change(change)
            }
            Verdict::Unchanged(result) => Verdict::Unchanged(attributes::describe(result, &stat)),
            other => other,
        })
    }
}

/// A line that gives (or, behind a `#` or `;`, could give) an option.
struct Given<'a> {
    active: bool,
    /// Text before `=`, trimmed.
    name: &'a str,
    value: Option<&'a str>,
}

fn given(line: &str) -> Option<Given<'_>> {
    let line = line.trim_end_matches(['\r', '\n']);
    let start = line.trim_start_matches([' ', '\t']);
    let (active, rest) = match start.strip_prefix(['#', ';']) {
        Some(rest) => (false, rest.trim_start_matches([' ', '\t'])),
        None => (true, start),
    };
    if rest.is_empty() || rest.starts_with('[') {
        return None;
    }
    Some(match rest.split_once('=') {
        Some((name, value)) => Given { active, name: name.trim(), value: Some(value.trim()) },
        None => Given { active, name: rest.trim(), value: None },
    })
}

fn header(line: &str) -> Option<&str> {
    let line = line.trim();
    line.strip_prefix('[')?.split_once(']').map(|(name, _)| name)
}

fn blank_or_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';'])
}

impl Edit {
    fn line(&self, value: Option<&str>) -> String {
        let option = self.option.as_deref().unwrap_or("");
        match value {
            None => format!("{option}\n"),
            Some(value) if self.no_extra_spaces => format!("{option}={value}\n"),
            Some(value) => format!("{option} = {value}\n"),
        }
    }

    /// The line as it should be; the old one where only blanks differ and that is allowed.
    fn settle(&self, old: &str, value: Option<&str>) -> String {
        let new = self.line(value);
        let squeeze = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        if self.ignore_spaces && squeeze(old) == squeeze(&new) && given(old).is_some_and(|g| g.active) {
            return old.to_owned();
        }
        new
    }

    /// Whether the section that begins here has what tells it from others of its name.
    fn is_meant(&self, lines: &[String]) -> bool {
        let own = || lines.iter().take_while(|l| header(l).is_none()).filter_map(|l| given(l)).filter(|g| g.active);
        self.has.iter().all(|(option, values)| {
            let has = |value: Option<&str>| own().any(|g| g.name == option && (value.is_none() || g.value == value));
            if values.is_empty() { has(None) } else { values.iter().all(|v| has(Some(v))) }
        })
    }

    /// The new text and Ansible's word for what was done.
    fn apply(&self, old: &str) -> (String, &'static str) {
        let mut lines: Vec<String> = text::lines(old).into_iter().map(str::to_owned).collect();
        if let Some(last) = lines.last_mut()
            && !last.ends_with('\n')
        {
            last.push('\n');
        }
        // As Ansible's module: a new file begins with an empty line.
        if lines.is_empty() && !self.absent {
            lines.push("\n".to_owned());
        }
        // The section's lines: behind its header up to the next one.
        let start = match &self.section {
            None => Some(0),
            Some(name) => {
                let begins = lines.iter().enumerate().filter(|(_, l)| header(l) == Some(name)).map(|(i, _)| i + 1);
                begins.into_iter().find(|start| self.is_meant(&lines[*start..]))
            }
        };
        let Some(start) = start else {
            if self.absent {
                return (old.to_owned(), "OK");
            }
            let name = self.section.as_deref().unwrap_or("");
            lines.push(format!("[{name}]\n"));
            for (option, values) in &self.has {
                let one = Edit { option: Some(option.clone()), values: values.clone(), ..self.clone() };
                one.add(&mut lines);
            }
            let Some(_) = self.option else { return (lines.concat(), "only section added") };
            self.add(&mut lines);
            return (lines.concat(), "section and option added");
        };
        let end = lines[start..].iter().position(|l| header(l).is_some()).map_or(lines.len(), |i| start + i);
        let Some(option) = self.option.as_deref() else {
            if self.absent && self.section.is_some() {
                lines.drain(start - 1..end);
                return (lines.concat(), "section removed");
            }
            return (old.to_owned(), "OK");
        };
        let is_option = |line: &str, active: bool| given(line).is_some_and(|g| g.name == option && g.active == active);
        let mut section: Vec<String> = lines[start..end].to_vec();
        let before = section.clone();
        if self.absent {
            section.retain(|l| {
                let gone = is_option(l, true)
                    && (self.exclusive
                        || self.values.is_empty()
                        || given(l).and_then(|g| g.value).is_some_and(|v| self.values.iter().any(|w| w == v)));
                !gone
            });
            if section == before {
                return (old.to_owned(), "OK");
            }
            lines.splice(start..end, section);
            return (lines.concat(), "option changed");
        }
        let mut wanted: Vec<Option<&str>> = self.values.iter().map(|v| Some(v.as_str())).collect();
        if wanted.is_empty() {
            wanted.push(None);
        }
        let mut kept = vec![false; section.len()];
        // Lines that have one of the values already.
        for (i, line) in section.iter_mut().enumerate() {
            if is_option(line, true) {
                let value = given(line).and_then(|g| g.value).map(str::to_owned);
                if let Some(at) = wanted.iter().position(|w| *w == value.as_deref()) {
                    *line = self.settle(line, wanted[at]);
                    kept[i] = true;
                    wanted.remove(at);
                }
            }
        }
        // Other lines of the option, then commented ones, take the values that are left.
        for active in [true, false] {
            if (active && !self.exclusive) || (!active && !self.inactive) {
                continue;
            }
            for (i, line) in section.iter_mut().enumerate() {
                if !kept[i] && !wanted.is_empty() && is_option(line, active) {
                    *line = self.settle(line, wanted.remove(0));
                    kept[i] = true;
                }
            }
        }
        let replaced = section != before;
        if self.exclusive {
            let mut i = 0;
            section.retain(|l| {
                i += 1;
                kept[i - 1] || !is_option(l, true)
            });
        }
        let removed = section.len() < before.len();
        let added = !wanted.is_empty();
        if added {
            let at = section.iter().rposition(|l| !blank_or_comment(l)).map_or(0, |i| i + 1);
            let new: Vec<String> = wanted.iter().map(|v| self.line(*v)).collect();
            section.splice(at..at, new);
        }
        if !replaced && !removed && !added {
            return (old.to_owned(), "OK");
        }
        lines.splice(start..end, section);
        (lines.concat(), if added { "option added" } else { "option changed" })
    }

    fn add(&self, lines: &mut Vec<String>) {
        if self.values.is_empty() {
            lines.push(self.line(None));
        }
        lines.extend(self.values.iter().map(|v| self.line(Some(v))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(section: &str, option: &str, values: &[&str]) -> Edit {
        Edit {
            section: Some(section.to_owned()).filter(|s| !s.is_empty()),
            option: Some(option.to_owned()).filter(|s| !s.is_empty()),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
            exclusive: true,
            inactive: true,
            ..Edit::default()
        }
    }

    #[test]
    fn of_sections_of_one_name_the_one_with_the_values_is_meant() {
        let old = "[peer]\nname = a\nport = 1\n\n[peer]\nname = b\nport = 1\n";
        let has = |name: &str| vec![("name".to_owned(), vec![name.to_owned()])];
        let of = |name: &str| Edit { has: has(name), ..edit("peer", "port", &["2"]) };
        assert_eq!(of("b").apply(old).0, "[peer]\nname = a\nport = 1\n\n[peer]\nname = b\nport = 2\n");
        assert_eq!(of("a").apply(old).0, "[peer]\nname = a\nport = 2\n\n[peer]\nname = b\nport = 1\n");
        assert_eq!(of("c").apply(old).0, format!("{old}[peer]\nname = c\nport = 2\n"));
        let gone = Edit { absent: true, has: has("b"), ..edit("peer", "", &[]) };
        assert_eq!(gone.apply(old).0, "[peer]\nname = a\nport = 1\n\n");
    }

    #[test]
    fn options_are_set_added_and_removed() {
        let old = "top = 1\n\n[a]\nx = 1\n# y = 2\n\n[b]\nx = 3\n";
        assert_eq!(edit("a", "x", &["9"]).apply(old), (old.replace("x = 1", "x = 9"), "option changed"));
        assert_eq!(edit("a", "x", &["1"]).apply(old), (old.to_owned(), "OK"));
        assert_eq!(edit("a", "y", &["5"]).apply(old), (old.replace("# y = 2", "y = 5"), "option changed"));
        assert_eq!(edit("a", "z", &["5"]).apply(old), (old.replace("x = 1\n", "x = 1\nz = 5\n"), "option added"));
        assert_eq!(edit("", "top", &["2"]).apply(old), (old.replace("top = 1", "top = 2"), "option changed"));
        assert_eq!(edit("c", "q", &["5"]).apply(old), (format!("{old}[c]\nq = 5\n"), "section and option added"));
        assert_eq!(edit("c", "", &[]).apply(old), (format!("{old}[c]\n"), "only section added"));
        let absent = |section: &str, option: &str| Edit { absent: true, ..edit(section, option, &[]) };
        assert_eq!(absent("b", "x").apply(old), (old.replace("x = 3\n", ""), "option changed"));
        assert_eq!(absent("b", "").apply(old), (old.replace("[b]\nx = 3\n", ""), "section removed"));
        assert_eq!(absent("q", "").apply(old), (old.to_owned(), "OK"));
    }

    #[test]
    fn several_values() {
        let old = "[a]\nx = 1\nx = 2\n";
        assert_eq!(edit("a", "x", &["2", "3"]).apply(old).0, "[a]\nx = 3\nx = 2\n");
        let more = Edit { exclusive: false, ..edit("a", "x", &["3"]) };
        assert_eq!(more.apply(old).0, "[a]\nx = 1\nx = 2\nx = 3\n");
        let loose = Edit { ignore_spaces: true, ..edit("a", "x", &["1"]) };
        assert_eq!(loose.apply("[a]\nx=1\n"), ("[a]\nx=1\n".to_owned(), "OK"));
    }

    proptest::proptest! {
        /// What was set needs no setting again.
        #[test]
        fn settles(
            lines in proptest::collection::vec("(\\[[ab]\\]|[#;]? ?[xy] ?= ?[0-2]|x|)", 0..8),
            section in "[ab]?",
            values in proptest::collection::vec("[0-3]", 1..3),
            exclusive: bool,
            ignore_spaces: bool,
        ) {
            let mut values = values;
            values.dedup();
            if values.len() == 2 && values[0] == values[1] { values.pop(); }
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let edit = Edit { exclusive, ignore_spaces, ..edit(&section, "x", &values) };
            let (once, _) = edit.apply(&lines.join("\n"));
            let (twice, message) = edit.apply(&once);
            proptest::prop_assert_eq!(&once, &twice);
            proptest::prop_assert_eq!(message, "OK");
        }
    }
}
