//! INI inventories, as Ansible's `ini` plugin reads them.
//!
//! `[group]` lists hosts with `key=value` words, `[group:vars]` variables, `[group:children]` groups. Values are Python
//! literals where they can be, text otherwise.

use std::path::Path;
use std::sync::Arc;

use super::literal;
use super::model::Inventory;
use super::ranges;
use super::words;
use crate::problem::Problem;
use crate::source::{SourceFile, Span};
use crate::yaml::{Node, Scalar, ScalarStyle, Yaml};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Hosts,
    Children,
    Vars,
}

/// Adds what the file says to the inventory; every problem in it is found.
pub(super) fn read(
    inventory: &mut Inventory,
    file: &Arc<SourceFile>,
    warnings: &mut Vec<Problem>,
) -> Result<(), Vec<Problem>> {
    let mut reader = Reader { inventory, file, warnings, declared: vec![], problems: vec![] };
    let mut section = ("ungrouped".to_owned(), Kind::Hosts);
    let mut start = 0;
    let mut skipping = false;
    for raw in file.text.split_inclusive('\n') {
        let line = raw.trim();
        let offset = start + (raw.len() - raw.trim_start().len());
        start += raw.len();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let span = Span::new(file, offset, offset + line.len());
        if let Some(header) = header(line) {
            match reader.section(header, &span) {
                Ok(next) => {
                    section = next;
                    skipping = false;
                }
                Err(p) => {
                    reader.problems.push(p);
                    skipping = true;
                }
            }
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            reader.problems.push(
                Problem::new("bad-section", format!("`{line}` is no section"))
                    .at(&span)
                    .help("a section reads `[group]`, `[group:vars]` or `[group:children]`, without blanks"),
            );
            skipping = true;
            continue;
        }
        if skipping {
            continue;
        }
        let result = match section.1 {
            Kind::Hosts => reader.host(line, offset, &section.0),
            Kind::Vars => reader.variable(line, &span, &section.0),
            Kind::Children => reader.child(line, &span, &section.0),
        };
        if let Err(p) = result {
            reader.problems.push(p);
        }
    }
    reader.undeclared();
    if reader.problems.is_empty() { Ok(()) } else { Err(reader.problems) }
}

/// `[name]` or `[name:kind]`, with a comment behind it at most.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    let (name, kind) = match inner.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inner, None),
    };
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let ok = !name.is_empty() && !name.contains(char::is_whitespace) && kind.is_none_or(word);
    ok.then_some((name, kind))
}

struct Reader<'a> {
    inventory: &'a mut Inventory,
    file: &'a Arc<SourceFile>,
    warnings: &'a mut Vec<Problem>,
    /// Groups that a section or a `children` entry made, and those only named so far, with the place.
    declared: Vec<(String, Option<Span>)>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn declare(&mut self, name: &str, wanting: Option<&Span>) {
        match self.declared.iter_mut().find(|(n, _)| n == name) {
            Some((_, place)) if wanting.is_none() => *place = None,
            Some(_) => {}
            None => self.declared.push((name.to_owned(), wanting.cloned())),
        }
    }

    fn section(&mut self, (name, kind): (&str, Option<&str>), span: &Span) -> Result<(String, Kind), Problem> {
        let kind = match kind {
            None | Some("hosts") => Kind::Hosts,
            Some("children") => Kind::Children,
            Some("vars") => Kind::Vars,
            Some(other) => {
                return Err(Problem::new("bad-section", format!("a section cannot be of the kind `{other}`"))
                    .at(span)
                    .nearest(other, ["vars", "children", "hosts"])
                    .help("the kinds are `vars`, `children` and `hosts`"));
            }
        };
        match kind {
            // Variables may come before the group itself, or for a group another source made.
            Kind::Vars if self.inventory.groups.contains_key(name) => {}
            Kind::Vars => self.declare(name, Some(span)),
            Kind::Hosts | Kind::Children => {
                self.inventory.add_group(name);
                self.declare(name, None);
            }
        }
        Ok((name.to_owned(), kind))
    }

    fn undeclared(&mut self) {
        let missing: Vec<(String, Span)> =
            self.declared.iter().filter_map(|(n, place)| place.clone().map(|p| (n.clone(), p))).collect();
        for (name, span) in missing {
            let known: Vec<&str> = self.inventory.groups.keys().map(String::as_str).filter(|g| *g != name).collect();
            self.problems.push(
                Problem::new("unknown-group", format!("there is no group `{name}`"))
                    .at(&span)
                    .nearest(&name, known)
                    .help(format!("add a section `[{name}]`, or remove this one")),
            );
        }
    }

    fn host(&mut self, line: &str, offset: usize, group: &str) -> Result<(), Problem> {
        let at = |start: usize, end: usize| Span::new(self.file, offset + start, offset + end);
        let words = words::split(line)
            .map_err(|(message, place)| Problem::new("bad-host-line", message).at(&at(place, line.len())))?;
        let Some(first) = words.first() else { return Ok(()) };
        let (names, port) = ranges::expand(&first.text)
            .map_err(|m| Problem::new("bad-host-pattern", m).at(&at(first.start, first.end)))?;
        if names.is_empty() {
            self.warnings.push(
                Problem::new("empty-range", format!("`{}` stands for no host", first.text))
                    .at(&at(first.start, first.end)),
            );
        }
        let mut vars = vec![];
        for word in &words[1..] {
            let span = at(word.start, word.end);
            let Some((key, value)) = word.text.split_once('=') else {
                return Err(Problem::new("bad-host-line", format!("`{}` is no `key=value`", word.text))
                    .at(&span)
                    .help("one host stands on a line; a value with blanks must be quoted: `key=\"a b\"`"));
            };
            // The value's own place, where it is written without quotes.
            let written = &line[word.start..word.end];
            let value_span = match written.split_once('=') {
                Some((k, v)) if v == value => at(word.start + k.len() + 1, word.end),
                _ => span,
            };
            vars.push((key.to_owned(), value_node(value, &value_span)));
        }
        for name in names {
            let source = self.file.path.clone();
            let host = self.inventory.add_host(&name, Some(&source));
            if let Some(port) = port {
                host.vars.insert("ansible_port".into(), Node::new(Yaml::Int(port), at(first.start, first.end)));
            }
            host.vars.extend(vars.iter().cloned());
            self.inventory.add_to_group(&name, group);
        }
        Ok(())
    }

    fn variable(&mut self, line: &str, span: &Span, group: &str) -> Result<(), Problem> {
        let Some((key, value)) = line.split_once('=') else {
            return Err(Problem::new("bad-variable-line", format!("`{line}` is no `key=value`"))
                .at(span)
                .help(format!("the lines of `[{group}:vars]` read `key=value`")));
        };
        let trimmed = value.trim();
        let start = span.start + key.len() + 1 + (value.len() - value.trim_start().len());
        let node = value_node(trimmed, &Span::new(self.file, start, start + trimmed.len()));
        let known = self.inventory.groups.contains_key(group);
        self.inventory.set_group_var(group, key.trim(), node)?;
        if !known {
            // Made early for its variables; `undeclared` reports it if nothing declares it.
            self.declare(group, Some(span));
        }
        Ok(())
    }

    fn child(&mut self, line: &str, span: &Span, group: &str) -> Result<(), Problem> {
        let name = line.split_once('#').map_or(line, |(name, _)| name).trim_end();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, ':' | ']')) {
            return Err(Problem::new("bad-child-line", format!("`{line}` is no group name"))
                .at(span)
                .help(format!("the lines of `[{group}:children]` are names of groups")));
        }
        if !self.inventory.groups.contains_key(name) {
            self.declare(name, Some(span));
        }
        self.inventory.add_child(group, name).map_err(|p| p.or_at(span))
    }
}

/// A Python literal or text.
fn value_node(text: &str, span: &Span) -> Node {
    match literal::parse(text) {
        Some(value) => Node::from_value(&value, span),
        None => Node::new(
            Yaml::Str(Scalar { text: Arc::from(text), style: ScalarStyle::Plain, is_unsafe: false }),
            span.clone(),
        ),
    }
}

/// The value of `key=value` given on a command line or in a script's text.
pub fn literal_value(text: &str, span: &Span) -> Node {
    value_node(text, span)
}

/// A list of hosts on the command line: `a,b[1:3],`.
pub(super) fn host_list(inventory: &mut Inventory, list: &str) -> Result<(), Problem> {
    let file = SourceFile::new(Path::new("<host list>"), list);
    let mut start = 0;
    for part in list.split(',') {
        let name = part.trim();
        let at = Span::new(&file, start, start + part.len());
        start += part.len() + 1;
        if name.is_empty() {
            continue;
        }
        let (names, port) = ranges::expand(name).map_err(|m| Problem::new("bad-host-pattern", m).at(&at))?;
        for name in names {
            let host = inventory.add_host(&name, None);
            if let Some(port) = port {
                host.vars.insert("ansible_port".into(), Node::new(Yaml::Int(port), at.clone()));
            }
            inventory.add_to_group(&name, "ungrouped");
        }
    }
    Ok(())
}
