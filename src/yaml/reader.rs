//! Composes a file's nodes from granit-parser's events.
//!
//! What PyYAML's composer and constructor do in two passes happens here in one: anchors and aliases, merge keys, duplicate
//! keys, tags. Aliases share the node they name, so an alias bomb costs nothing here; what it would cost those who walk
//! the tree is bounded by [`MAX_ALIASED`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle as EventStyle, Tag};
use indexmap::IndexMap;

use super::faults;
use super::node::{Mapping, Node, Scalar, ScalarStyle, Yaml};
use super::resolve::{self, Resolved};
use super::source::{is_vaulted, read_source};
use crate::problem::Problem;
use crate::process::{self, Duplicates};
use crate::source::{SourceFile, Span};

/// Collections within collections, aliases followed.
const MAX_DEPTH: usize = 200;
/// Bytes that may be read again for quoted texts whose lines stand further left than YAML 1.2 has it; each such line costs
/// reading the file once more.
const MAX_MOVING: usize = 50_000_000;
/// Nodes that aliases and merges may add to those written in the file.
const MAX_ALIASED: usize = 1_000_000;
const CORE: &str = "tag:yaml.org,2002:";

/// A file's documents and what is odd but no error in it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub file: Arc<SourceFile>,
    /// One node per document; none for a file that is empty or only comments.
    pub documents: Vec<Node>,
    /// Duplicate keys, each with both places.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// The only document (nothing if the file is empty); an error if there are more.
    pub fn single(&self) -> Result<Node, Problem> {
        match self.documents.as_slice() {
            [] => Ok(Node::new(Yaml::Null, Span::of_file(&self.file))),
            [only] => Ok(only.clone()),
            [_, second, ..] => {
                Err(Problem::new("several-documents", "one document is expected here, but another one follows")
                    .at(&second.span)
                    .help("remove the `---` before it, or move it to a file of its own"))
            }
        }
    }
}

/// Reads and parses a file. A file that is vaulted as a whole is an error here: see [`is_vaulted`].
pub fn load_file(path: impl AsRef<Path>) -> Result<Loaded, Problem> {
    let file = read_source(path.as_ref())?;
    if is_vaulted(&file.text) {
        return Err(Problem::new("vaulted-file", format!("`{}` is encrypted with vault", file.display_path()))
            .at(&Span::of_file(&file)));
    }
    parse(&file)
}

/// Parses a text that is no file, such as one given on the command line; `label` stands for its path.
pub fn parse_text(label: &str, text: &str) -> Result<Loaded, Problem> {
    parse(&SourceFile::new(label, text))
}

/// Parses a file's text. Like Ansible's loader, takes it as JSON if it is JSON (there `1e3` is a number).
pub fn parse(file: &Arc<SourceFile>) -> Result<Loaded, Problem> {
    let is_json = looks_like_json(&file.text);
    if is_json {
        if let Ok(loaded) = compose(file, true) {
            return Ok(loaded);
        }
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&file.text) {
            let whole = Span::new(file, 0, file.text.len());
            let node = Node::from_json(&value, &whole);
            return Ok(Loaded { file: file.clone(), documents: vec![node], warnings: vec![] });
        }
    }
    compose(file, false)
}

fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[', '"']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// PyYAML lets the further lines of a quoted text begin anywhere, the parser (YAML 1.2) only to the right of what is around
/// it. Such lines are moved to the right in a copy: blanks there mean nothing, and places are counted without them.
fn compose(file: &Arc<SourceFile>, json: bool) -> Result<Loaded, Problem> {
    faults::control_characters(file)?;
    let mut moved = Moved { text: Cow::Borrowed(&file.text), inserted: vec![] };
    let mut deepest = None;
    loop {
        match compose_text(file, &moved, json) {
            Err((_, Some(at))) if (moved.inserted.len() + 1) * moved.text.len() < MAX_MOVING => {
                let original = moved.original(at);
                let blanks = *deepest.get_or_insert_with(|| {
                    let indents = file.text.lines().map(|l| l.len() - l.trim_start_matches(' ').len());
                    indents.max().unwrap_or(0).min(10_000) + 1
                });
                moved.text.to_mut().insert_str(at, &" ".repeat(blanks));
                moved.inserted.push((original, blanks));
                moved.inserted.sort_unstable();
            }
            result => return result.map_err(|(problem, _)| problem),
        }
    }
}

/// A file's text with blanks put in, and where.
struct Moved<'a> {
    text: Cow<'a, str>,
    /// Offset in the file, number of blanks; ascending.
    inserted: Vec<(usize, usize)>,
}

impl Moved<'_> {
    /// An offset of this text as an offset of the file.
    fn original(&self, offset: usize) -> usize {
        let mut blanks = 0;
        for (at, count) in &self.inserted {
            if at + blanks >= offset {
                break;
            }
            blanks += (*count).min(offset - at - blanks);
        }
        offset - blanks
    }
}

/// Composes a text. An error comes with the offset of the line to move, if that helps.
fn compose_text(file: &Arc<SourceFile>, moved: &Moved, json: bool) -> Result<Loaded, (Problem, Option<usize>)> {
    let mut options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    if json {
        options.simple_key_max_lookahead = usize::MAX / 4;
    }
    let mut reader = Reader {
        file,
        json,
        moved,
        move_at: None,
        parser: Parser::new_from_str_with_options(&moved.text, options),
        anchors: BTreeMap::new(),
        names: HashMap::new(),
        aliased: 0,
        warnings: vec![],
        peeked: None,
    };
    match reader.documents() {
        Ok(documents) => Ok(Loaded { file: file.clone(), documents, warnings: reader.warnings }),
        Err(problem) => Err((problem, reader.move_at)),
    }
}

/// A composed node, with what an alias to it costs.
#[derive(Clone)]
struct Composed {
    node: Node,
    /// Nodes in it, aliases expanded.
    size: usize,
    /// Collections within it.
    height: usize,
    /// A plain `<<` or `=`: these have a meaning only as keys.
    key_only: bool,
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    moved: &'a Moved<'a>,
    /// The parser stopped at a line that need only be moved.
    move_at: Option<usize>,
    json: bool,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    /// Finished anchored nodes; `None` while they are being composed.
    anchors: BTreeMap<usize, Option<Composed>>,
    names: HashMap<String, Span>,
    aliased: usize,
    warnings: Vec<Problem>,
    peeked: Option<(Event<'a>, granit_parser::Span)>,
}

impl<'a> Reader<'a> {
    fn documents(&mut self) -> Result<Vec<Node>, Problem> {
        let mut documents = vec![];
        loop {
            let (event, _) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(documents),
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    self.names.clear();
                    documents.push(self.value(0)?.node);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, granit_parser::Span), Problem> {
        if let Some(event) = self.peeked.take() {
            return Ok(event);
        }
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, span)),
            Some(Err(e)) => {
                if matches!(e.kind(), granit_parser::ErrorKind::InvalidQuotedScalarIndent) {
                    self.move_at = e.marker().byte_offset();
                }
                Err(faults::syntax(self.file, &e, &|offset| self.moved.original(offset)))
            }
            None => Ok((Event::StreamEnd, granit_parser::Span::default())),
        }
    }

    fn peek(&mut self) -> Result<&Event<'a>, Problem> {
        if self.peeked.is_none() {
            self.peeked = Some(self.next()?);
        }
        // Just filled.
        Ok(self.peeked.as_ref().map_or(&Event::StreamEnd, |(event, _)| event))
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start).max(start);
        Span::new(self.file, self.moved.original(start), self.moved.original(end))
    }

    /// Notes the name of an anchor, if one follows its node's event.
    fn anchor(&mut self, id: usize) -> Result<(), Problem> {
        if id == 0 {
            return Ok(());
        }
        if !matches!(self.peek()?, Event::Anchor(..)) {
            return Ok(());
        }
        let (event, span) = self.next()?;
        let span = self.span(&span);
        if let Event::Anchor(_, name) = event {
            if let Some(first) = self.names.get(name.as_ref()) {
                return Err(Problem::new("duplicate-anchor", format!("the anchor `&{name}` is defined twice"))
                    .at(&span)
                    .note(format!("first defined at {first}"))
                    .help("give one of them another name"));
            }
            self.names.insert(name.into_owned(), span);
        }
        self.anchors.insert(id, None);
        Ok(())
    }

    fn finish(&mut self, id: usize, composed: Composed) -> Composed {
        if id != 0 {
            self.anchors.insert(id, Some(composed.clone()));
        }
        composed
    }

    fn too_deep(&self, span: &Span) -> Problem {
        Problem::new("too-deep", format!("lists and mappings are nested more than {MAX_DEPTH} levels deep")).at(span)
    }

    /// Counts the nodes an alias stands for.
    fn count(&mut self, size: usize, span: &Span) -> Result<(), Problem> {
        self.aliased = self.aliased.saturating_add(size);
        if self.aliased > MAX_ALIASED {
            return Err(Problem::new("too-many-aliases", format!("aliases stand for more than {MAX_ALIASED} nodes"))
                .at(span)
                .help("aliases of lists of aliases multiply: write the values out, or build them with a template"));
        }
        Ok(())
    }

    /// A node that is no key.
    fn value(&mut self, depth: usize) -> Result<Composed, Problem> {
        let composed = self.node(depth)?;
        match composed.node.as_str() {
            Some(text) if composed.key_only => {
                Err(Problem::new("bad-value", format!("a lone `{text}` has a meaning of its own in YAML 1.1"))
                    .at(&composed.node.span)
                    .help(format!("if it is meant as text, quote it: \"{text}\"")))
            }
            _ => Ok(composed),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Composed, Problem> {
        let (event, at) = self.next()?;
        let span = self.span(&at);
        match event {
            Event::Scalar(text, style, id, tag) => {
                self.anchor(id)?;
                let composed = self.scalar(&text, style, tag.as_deref(), span, &at)?;
                Ok(self.finish(id, composed))
            }
            Event::SequenceStart(_, id, tag) => {
                self.anchor(id)?;
                let composed = self.sequence(depth, tag.as_deref(), span, &at)?;
                Ok(self.finish(id, composed))
            }
            Event::MappingStart(_, id, tag) => {
                self.anchor(id)?;
                let composed = self.mapping(depth, tag.as_deref(), span, &at)?;
                Ok(self.finish(id, composed))
            }
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(Some(target)) => {
                    let mut target = target.clone();
                    self.count(target.size, &span)?;
                    if depth + target.height > MAX_DEPTH {
                        return Err(self.too_deep(&span));
                    }
                    target.key_only = false;
                    Ok(target)
                }
                _ => Err(Problem::new("recursive-alias", "an alias stands inside the node it names").at(&span)),
            },
            Event::UnresolvedAlias(name) => {
                let problem =
                    Problem::new("unknown-alias", format!("no anchor `&{name}` stands before this alias")).at(&span);
                Err(problem
                    .nearest(&name, self.names.keys().map(String::as_str))
                    .help(format!("if it is meant as text, quote it: \"*{name}\"")))
            }
            _ => Err(Problem::new("yaml-syntax", "a value is missing here").at(&span)),
        }
    }

    fn sequence(
        &mut self,
        depth: usize,
        tag: Option<&Tag>,
        start: Span,
        at: &granit_parser::Span,
    ) -> Result<Composed, Problem> {
        if depth >= MAX_DEPTH {
            return Err(self.too_deep(&start));
        }
        let tag = self.collection_tag(tag, "seq", "a list", at)?;
        let mut items = vec![];
        let (mut size, mut height) = (1, 0);
        loop {
            if matches!(self.peek()?, Event::SequenceEnd) {
                break;
            }
            let item = self.value(depth + 1)?;
            size += item.size;
            height = height.max(item.height);
            items.push(item.node);
        }
        let span = self.end(start, items.last())?;
        let mut node = Node::new(Yaml::Seq(Arc::new(items)), span);
        if tag.is_unsafe {
            node = make_unsafe(node);
        }
        Ok(Composed { node, size, height: height + 1, key_only: false })
    }

    /// Takes the end event; block collections end with their last child, not where the next thing starts.
    fn end(&mut self, start: Span, last: Option<&Node>) -> Result<Span, Problem> {
        let (_, at) = self.next()?;
        let end = self.span(&at);
        let end = if end.end > end.start { end.end } else { last.map_or(start.end, |n| n.span.end) };
        Ok(Span::new(self.file, start.start, end.max(start.start)))
    }

    fn mapping(
        &mut self,
        depth: usize,
        tag: Option<&Tag>,
        start: Span,
        at: &granit_parser::Span,
    ) -> Result<Composed, Problem> {
        if depth >= MAX_DEPTH {
            return Err(self.too_deep(&start));
        }
        let tag = self.collection_tag(tag, "map", "a mapping", at)?;
        let mut own: IndexMap<String, (Node, Node)> = IndexMap::new();
        let mut merged: Vec<Node> = vec![];
        let (mut size, mut height) = (1, 0);
        let mut last = None;
        loop {
            if matches!(self.peek()?, Event::MappingEnd) {
                break;
            }
            let key = self.node(depth + 1)?;
            if matches!(key.node.value, Yaml::Map(_) | Yaml::Seq(_)) {
                return Err(faults::collection_key(self.file, &key.node));
            }
            let value = self.value(depth + 1)?;
            size += 1 + value.size;
            height = height.max(value.height);
            last = Some(value.node.clone());
            if key.key_only && key.node.as_str() == Some("<<") {
                merged.push(value.node);
                continue;
            }
            let name = canonical(&key.node);
            if let Some((first, _)) = own.get(&name)
                && !self.json
            {
                let shown = key.node.scalar_text().unwrap_or_else(|| "null".into());
                let problem = |end: &str| {
                    Problem::new("duplicate-key", format!("the key `{shown}` stands twice in this mapping{end}"))
                        .at(&key.node.span)
                        .note(format!("first at {}", first.span))
                };
                match process::duplicates() {
                    Duplicates::Warn => self.warnings.push(problem("; the last one counts")),
                    Duplicates::Error => return Err(problem("")),
                    Duplicates::Ignore => {}
                }
            }
            insert(&mut own, name, key.node, value.node);
        }
        let span = self.end(start, last.as_ref())?;
        let entries = if merged.is_empty() { own } else { self.merge(merged, own, &mut size)? };
        let map = Mapping { entries: entries.into_values().collect() };
        let mut node = Node::new(Yaml::Map(Arc::new(map)), span);
        if tag.is_unsafe {
            node = make_unsafe(node);
        }
        Ok(Composed { node, size, height: height + 1, key_only: false })
    }

    /// `<<`: merged entries come first; the mapping's own win over them, an earlier mapping of a list over a later one, and a later
    /// `<<` over an earlier one.
    fn merge(
        &mut self,
        sources: Vec<Node>,
        own: IndexMap<String, (Node, Node)>,
        size: &mut usize,
    ) -> Result<IndexMap<String, (Node, Node)>, Problem> {
        let mut entries: IndexMap<String, (Node, Node)> = IndexMap::new();
        for source in &sources {
            let maps: Vec<&Node> = match &source.value {
                Yaml::Map(_) => vec![source],
                // Later ones first, so that earlier ones overwrite them.
                Yaml::Seq(items) => items.iter().rev().collect(),
                _ => vec![source],
            };
            for node in maps {
                let Some(map) = node.as_map() else {
                    return Err(Problem::new(
                        "bad-merge",
                        format!("`<<` merges a mapping or a list of mappings, not {}", node.kind()),
                    )
                    .at(&node.span)
                    .help("name the anchor of a mapping: `<<: *name`"));
                };
                self.count(map.len(), &node.span)?;
                *size += map.len() * 2;
                for (k, v) in map.iter() {
                    insert(&mut entries, canonical(k), k.clone(), v.clone());
                }
            }
        }
        for (name, (k, v)) in own {
            insert(&mut entries, name, k, v);
        }
        Ok(entries)
    }

    fn tag_span(&self, at: &granit_parser::Span) -> Span {
        at.tag_span().map_or_else(|| self.span(at), |s| self.span(&s))
    }

    fn collection_tag(
        &self,
        tag: Option<&Tag>,
        own: &str,
        what: &str,
        at: &granit_parser::Span,
    ) -> Result<Meaning, Problem> {
        let meaning = self.meaning(tag, at)?;
        match meaning.core.as_deref() {
            None => Ok(meaning),
            Some(name) if name == own => Ok(meaning),
            Some("vault") => {
                Err(Problem::new("bad-tag", format!("`!vault` tags text, not {what}")).at(&self.tag_span(at)))
            }
            Some(name @ ("set" | "omap" | "pairs")) => Err(Problem::unsupported(format!("the YAML tag `!!{name}`"))
                .at(&self.tag_span(at))
                .help("use a plain list or mapping")),
            Some(name) => {
                Err(Problem::new("bad-tag", format!("the tag `!!{name}` does not fit {what}")).at(&self.tag_span(at)))
            }
        }
    }

    fn meaning(&self, tag: Option<&Tag>, at: &granit_parser::Span) -> Result<Meaning, Problem> {
        let Some(tag) = tag else { return Ok(Meaning::default()) };
        let full = format!("{}{}", tag.handle(), tag.suffix());
        if let Some(name) = full.strip_prefix(CORE) {
            const KNOWN: [&str; 13] = [
                "str",
                "int",
                "float",
                "bool",
                "null",
                "timestamp",
                "map",
                "seq",
                "set",
                "omap",
                "pairs",
                "binary",
                "merge",
            ];
            if KNOWN.contains(&name) {
                return Ok(Meaning { core: Some(name.to_owned()), ..Meaning::default() });
            }
        }
        match full.as_str() {
            "!" => Ok(Meaning { plain: true, ..Meaning::default() }),
            "!unsafe" => Ok(Meaning { is_unsafe: true, ..Meaning::default() }),
            "!vault" | "!vault-encrypted" => Ok(Meaning { core: Some("vault".into()), ..Meaning::default() }),
            _ => {
                let shown = full.strip_prefix(CORE).map_or(full.clone(), |name| format!("!!{name}"));
                Err(Problem::new("unknown-tag", format!("the YAML tag `{shown}` is not known"))
                    .at(&self.tag_span(at))
                    .nearest(&shown, ["!unsafe", "!vault", "!!str", "!!int", "!!float", "!!bool", "!!null"])
                    .help(format!("if it is meant as text, quote it: \"{shown} …\"")))
            }
        }
    }

    fn scalar(
        &self,
        text: &str,
        style: EventStyle,
        tag: Option<&Tag>,
        span: Span,
        at: &granit_parser::Span,
    ) -> Result<Composed, Problem> {
        let meaning = self.meaning(tag, at)?;
        let style = match style {
            EventStyle::Plain => ScalarStyle::Plain,
            EventStyle::SingleQuoted => ScalarStyle::SingleQuoted,
            EventStyle::DoubleQuoted => ScalarStyle::DoubleQuoted,
            EventStyle::Literal => ScalarStyle::Literal,
            EventStyle::Folded => ScalarStyle::Folded,
        };
        let mut key_only = false;
        let string = |text: &str| Yaml::Str(Scalar { text: Arc::from(text), style, is_unsafe: meaning.is_unsafe });
        let moment =
            |text: &str| Yaml::Str(Scalar { text: Arc::from(text), style: ScalarStyle::Time, is_unsafe: false });
        let bad = |message: String| {
            let problem = Problem::new("bad-value", message).at(&span);
            if meaning.core.is_none() {
                problem.help(format!("if it is meant as text, quote it: \"{text}\""))
            } else {
                problem
            }
        };
        let value = match meaning.core.as_deref() {
            Some("str") => string(text),
            Some("int") => resolve::int(text).map(resolve::int_value).map_err(bad)?,
            Some("float") => Yaml::Float(resolve::float(text).map_err(bad)?),
            Some("bool") => {
                Yaml::Bool(resolve::boolean(text).ok_or_else(|| bad(format!("`{text}` is neither true nor false")))?)
            }
            Some("null") => Yaml::Null,
            Some("timestamp") => match resolve::timestamp(text) {
                Some(time) => moment(&time.map_err(bad)?),
                None => return Err(bad(format!("`{text}` is not a date or time"))),
            },
            Some("vault") => Yaml::Vault(Arc::from(text)),
            Some("binary") => return Err(Problem::unsupported("the YAML tag `!!binary`").at(&self.tag_span(at))),
            Some(name) => {
                return Err(
                    Problem::new("bad-tag", format!("the tag `!!{name}` does not fit text")).at(&self.tag_span(at))
                );
            }
            None if style != ScalarStyle::Plain && !meaning.plain => string(text),
            None => {
                let resolved = if self.json { resolve::json(text) } else { resolve::plain(text).map_err(bad)? };
                match resolved {
                    Resolved::Null => Yaml::Null,
                    Resolved::Bool(b) => Yaml::Bool(b),
                    Resolved::Int(n) => resolve::int_value(n),
                    Resolved::Float(f) => Yaml::Float(f),
                    Resolved::Time(t) => moment(&t),
                    Resolved::Str => string(text),
                    Resolved::Merge | Resolved::DefaultValue => {
                        key_only = true;
                        string(text)
                    }
                }
            }
        };
        Ok(Composed { node: Node::new(value, span), size: 1, height: 0, key_only })
    }
}

/// What a tag asks for.
#[derive(Default)]
struct Meaning {
    /// `!unsafe`: text in it is never a template.
    is_unsafe: bool,
    /// `!`: resolved as if it were plain.
    plain: bool,
    /// `str`, `int` … or `vault`.
    core: Option<String>,
}

/// Marks every text in a node as no template.
fn make_unsafe(node: Node) -> Node {
    let value = match node.value {
        Yaml::Str(s) => Yaml::Str(Scalar { is_unsafe: true, ..s }),
        Yaml::Seq(items) => Yaml::Seq(Arc::new(items.iter().cloned().map(make_unsafe).collect())),
        Yaml::Map(map) => Yaml::Map(Arc::new(Mapping {
            entries: map.entries.iter().map(|(k, v)| (make_unsafe(k.clone()), make_unsafe(v.clone()))).collect(),
        })),
        other => other,
    };
    Node::new(value, node.span)
}

/// The last value counts; a key keeps its first place and, as in Python, its first type.
fn insert(entries: &mut IndexMap<String, (Node, Node)>, name: String, key: Node, value: Node) {
    let key = match entries.get(&name) {
        Some((first, _)) if !matches!(key.value, Yaml::Str(_)) => first.clone(),
        _ => key,
    };
    entries.insert(name, (key, value));
}

/// Keys are the same if Python's are: `1`, `1.0` and `true` are one key, `"1"` is another.
fn canonical(key: &Node) -> String {
    match &key.value {
        Yaml::Null => "z".into(),
        Yaml::Bool(b) => format!("n{}", i32::from(*b)),
        Yaml::Int(n) => format!("n{n}"),
        Yaml::BigInt(n) => format!("n{n}"),
        Yaml::Float(f) if f.fract() == 0.0 && f.abs() < 1e18 => format!("n{}", *f as i64),
        Yaml::Float(f) => format!("f{f}"),
        Yaml::Str(s) => format!("s{}", s.text),
        Yaml::Vault(text) => format!("v{text}"),
        Yaml::Seq(_) | Yaml::Map(_) => unreachable!("refused as a key"),
    }
}
