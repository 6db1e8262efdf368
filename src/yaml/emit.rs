//! Data as YAML text, byte for byte as PyYAML (over libyaml) writes it: `to_yaml`, `to_nice_yaml`, `kdeploy inventory list --yaml`.
//!
//! Three steps per scalar as in libyaml: what the text holds ([`Analysis`]), which notation that allows, writing it. The layout
//! follows libyaml's emitter with its notions of *whitespace* (the last thing written was one) and *indention* (only
//! indentation stands on this line so far).

use std::fmt::Write as _;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::resolve::{self, Resolved};

/// `yaml.dump`'s keyword arguments.
#[derive(Debug, Clone)]
pub struct EmitOptions {
    /// Columns per level; 2 if absent or out of 2..=9.
    pub indent: Option<i64>,
    /// Column after which texts are folded at a blank; 80 if absent, never if negative.
    pub width: Option<i64>,
    pub sort_keys: bool,
    /// `Some(false)`: one entry per line everywhere; `Some(true)`: all in one; `None`: collections that hold only scalars in one.
    pub default_flow_style: Option<bool>,
    /// `"`, `'`, `|` or `>` for every scalar.
    pub default_style: Option<char>,
    pub explicit_start: bool,
    pub explicit_end: bool,
    /// Write what is beyond ASCII as it is.
    pub allow_unicode: bool,
    /// A `%YAML` directive.
    pub version: Option<String>,
    /// What ends a line.
    pub line_break: &'static str,
    /// Texts of several lines as `|` blocks.
    pub literal_blocks: bool,
}

/// `to_yaml`'s.
impl Default for EmitOptions {
    fn default() -> Self {
        Self {
            indent: None,
            width: None,
            sort_keys: true,
            default_flow_style: None,
            default_style: None,
            explicit_start: false,
            explicit_end: false,
            allow_unicode: true,
            version: None,
            line_break: "\n",
            literal_blocks: false,
        }
    }
}

impl EmitOptions {
    /// `to_nice_yaml`'s.
    pub fn nice() -> Self {
        Self { indent: Some(4), default_flow_style: Some(false), ..Self::default() }
    }
}

/// One document with `value` in it.
pub fn emit(value: &Value, options: &EmitOptions) -> String {
    let best_indent = match options.indent {
        Some(n @ 2..=9) => n as usize,
        _ => 2,
    };
    let best_width = match options.width {
        Some(n) if n < 0 => usize::MAX,
        Some(n) if n as usize > best_indent * 2 => n as usize,
        _ => 80,
    };
    let mut emitter = Emitter {
        options,
        out: String::new(),
        best_indent,
        best_width,
        indent: None,
        column: 0,
        whitespace: true,
        indention: true,
        flow_level: 0,
        open_ended: false,
    };
    if let Some(version) = &options.version {
        emitter.out = format!("%YAML {version}\n");
    }
    if options.explicit_start || options.version.is_some() {
        emitter.write_indent();
        emitter.indicator("---", true, false, false);
    }
    emitter.node(&Tree::of(value, options), Place { mapping: false, simple_key: false });
    emitter.write_indent();
    if options.explicit_end || emitter.open_ended {
        emitter.indicator("...", true, false, false);
        emitter.write_indent();
    }
    if options.line_break == "\n" { emitter.out } else { emitter.out.replace('\n', options.line_break) }
}

/// The data, with everything the layout depends on.
enum Tree {
    Scalar {
        text: String,
        /// Read back plainly it would have the right type.
        plain_implicit: bool,
        /// Likewise if quoted: it is text.
        quoted_implicit: bool,
    },
    Seq(Vec<Tree>, bool),
    Map(Vec<(Tree, Tree)>, bool),
}

impl Tree {
    fn of(value: &Value, options: &EmitOptions) -> Self {
        let typed = |text: String| Self::Scalar { text, plain_implicit: true, quoted_implicit: false };
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => typed("null".into()),
            ValueKind::Bool => typed(value.is_true().to_string()),
            ValueKind::Number if value.is_integer() => typed(value.to_string()),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(f) => typed(float(f)),
                Err(_) => Self::text(value.to_string()),
            },
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Self> = value.try_iter().into_iter().flatten().map(|v| Self::of(&v, options)).collect();
                let flow = options.default_flow_style.unwrap_or_else(|| items.iter().all(|i| i.is_bare(options)));
                Self::Seq(items, flow)
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter().into_iter().flatten().collect();
                let all = |ok: fn(&Value) -> bool| keys.iter().all(ok);
                // Python cannot order keys of different types, and then leaves them.
                if options.sort_keys
                    && (all(|k| k.as_str().is_some())
                        || all(|k| matches!(k.kind(), ValueKind::Number | ValueKind::Bool)))
                {
                    keys.sort();
                }
                let entries: Vec<(Self, Self)> = keys
                    .iter()
                    .map(|k| (Self::of(k, options), Self::of(&value.get_item(k).unwrap_or_default(), options)))
                    .collect();
                let flow = options
                    .default_flow_style
                    .unwrap_or_else(|| entries.iter().all(|(k, v)| k.is_bare(options) && v.is_bare(options)));
                Self::Map(entries, flow)
            }
            _ if matches!(crate::template::datetime::type_name(value), Some("date" | "datetime")) => {
                typed(value.to_string())
            }
            _ => Self::text(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        }
    }

    fn text(text: String) -> Self {
        let plain_implicit = matches!(resolve::plain(&text), Ok(Resolved::Str));
        Self::Scalar { text, plain_implicit, quoted_implicit: true }
    }

    fn is_bare(&self, options: &EmitOptions) -> bool {
        matches!(self, Self::Scalar { .. }) && options.default_style.is_none()
    }
}

/// Python's `repr`, with the point YAML asks for.
fn float(f: f64) -> String {
    if f.is_nan() {
        return ".nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let scientific = format!("{f:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if f == 0.0 || (-4..16).contains(&exponent) {
        let text = format!("{f}");
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{point}e{sign}{:02}", exponent.abs())
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_end(c: Option<char>) -> bool {
    c.is_none_or(|c| matches!(c, ' ' | '\t' | '\0') || is_break(c))
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// What a text holds that limits its notation.
#[derive(Default)]
struct Analysis {
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Analysis {
    fn of(text: &[char], unicode: bool) -> Self {
        let Some(last) = text.len().checked_sub(1) else {
            return Self { block_plain: true, single_quoted: true, ..Self::default() };
        };
        let (mut block_indicators, mut flow_indicators) = (false, false);
        if text.starts_with(&['-', '-', '-']) || text.starts_with(&['.', '.', '.']) {
            (block_indicators, flow_indicators) = (true, true);
        }
        let (mut line_breaks, mut special) = (false, false);
        let (mut leading, mut trailing_space, mut trailing_break) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut previous_space, mut previous_break) = (false, false);
        let mut after_blank = true;
        for (i, &c) in text.iter().enumerate() {
            let before_blank = is_blank_or_end(text.get(i + 1).copied());
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if i == 0 =>
                {
                    (block_indicators, flow_indicators) = (true, true);
                }
                '?' if i == 0 => {
                    flow_indicators = true;
                    block_indicators |= before_blank;
                }
                '-' if i == 0 && before_blank => (block_indicators, flow_indicators) = (true, true),
                ':' => {
                    flow_indicators = true;
                    block_indicators |= before_blank;
                }
                ',' | '?' | '[' | ']' | '{' | '}' => flow_indicators = true,
                '#' if after_blank => (block_indicators, flow_indicators) = (true, true),
                _ => {}
            }
            special |= !is_printable(c) || (!c.is_ascii() && !unicode);
            let (space, line_break) = (c == ' ', is_break(c));
            line_breaks |= line_break;
            leading |= i == 0 && (space || line_break);
            trailing_space |= i == last && space;
            trailing_break |= i == last && line_break;
            break_space |= space && previous_break;
            space_break |= line_break && previous_space;
            (previous_space, previous_break) = (space, line_break);
            after_blank = is_blank_or_end(Some(c));
        }
        let padded = leading || trailing_space || trailing_break;
        let plain = !padded && !break_space && !space_break && !special && !line_breaks;
        Self {
            multiline: line_breaks,
            flow_plain: plain && !flow_indicators,
            block_plain: plain && !block_indicators,
            single_quoted: !break_space && !space_break && !special,
            block: !trailing_space && !space_break && !special,
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    mapping: bool,
    simple_key: bool,
}

struct Emitter<'a> {
    options: &'a EmitOptions,
    out: String,
    best_indent: usize,
    best_width: usize,
    indent: Option<usize>,
    column: usize,
    whitespace: bool,
    indention: bool,
    flow_level: usize,
    /// A block scalar that keeps its last line breaks: the document's end must be marked.
    open_ended: bool,
}

impl Emitter<'_> {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn indicator(&mut self, text: &str, need_whitespace: bool, whitespace: bool, indention: bool) {
        if need_whitespace && !self.whitespace {
            self.put(' ');
        }
        self.out.push_str(text);
        self.column += text.len();
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break('\n');
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    /// The indentation to come back to.
    fn increase_indent(&mut self, flow: bool, indentless: bool) -> Option<usize> {
        let old = self.indent;
        self.indent = match old {
            None if flow => Some(self.best_indent),
            None => Some(0),
            Some(n) if indentless => Some(n),
            Some(n) => Some(n + self.best_indent),
        };
        old
    }

    fn node(&mut self, tree: &Tree, place: Place) {
        match tree {
            Tree::Scalar { text, plain_implicit, quoted_implicit } => {
                let old = self.increase_indent(true, false);
                self.scalar(text, *plain_implicit, *quoted_implicit, place);
                self.indent = old;
            }
            Tree::Seq(items, flow) if *flow || self.flow_level > 0 || items.is_empty() => {
                self.flow(["[", "]"], items.iter(), |e, item| e.node(item, Place { mapping: false, simple_key: false }))
            }
            Tree::Map(entries, flow) if *flow || self.flow_level > 0 || entries.is_empty() => {
                self.flow(["{", "}"], entries.iter(), |e, (key, value)| {
                    if simple(key, e.options) {
                        e.node(key, Place { mapping: true, simple_key: true });
                        e.indicator(":", false, false, false);
                    } else {
                        e.indicator("?", true, false, false);
                        e.node(key, Place { mapping: true, simple_key: false });
                        if e.column > e.best_width {
                            e.write_indent();
                        }
                        e.indicator(":", true, false, false);
                    }
                    e.node(value, Place { mapping: true, simple_key: false });
                });
            }
            Tree::Seq(items, _) => {
                let indentless = place.mapping && !self.indention;
                let old = self.increase_indent(false, indentless);
                for item in items {
                    self.write_indent();
                    self.indicator("-", true, false, true);
                    self.node(item, Place { mapping: false, simple_key: false });
                }
                self.indent = old;
            }
            Tree::Map(entries, _) => {
                let old = self.increase_indent(false, false);
                for (key, value) in entries {
                    self.write_indent();
                    if simple(key, self.options) {
                        self.node(key, Place { mapping: true, simple_key: true });
                        self.indicator(":", false, false, false);
                    } else {
                        self.indicator("?", true, false, true);
                        self.node(key, Place { mapping: true, simple_key: false });
                        self.write_indent();
                        self.indicator(":", true, false, true);
                    }
                    self.node(value, Place { mapping: true, simple_key: false });
                }
                self.indent = old;
            }
        }
    }

    fn flow<T>(
        &mut self,
        [open, close]: [&str; 2],
        items: impl Iterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.indicator(open, true, true, false);
        let old = self.increase_indent(true, false);
        self.flow_level += 1;
        for (i, item) in items.enumerate() {
            if i > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.best_width {
                self.write_indent();
            }
            each(self, item);
        }
        self.flow_level -= 1;
        self.indent = old;
        self.indicator(close, false, false, false);
    }

    fn scalar(&mut self, text: &str, plain_implicit: bool, quoted_implicit: bool, place: Place) {
        let chars: Vec<char> = text.chars().collect();
        let can = Analysis::of(&chars, self.options.allow_unicode);
        let mut style = self.options.default_style.unwrap_or(' ');
        if self.options.literal_blocks && text.contains('\n') {
            style = '|';
        }
        if place.simple_key && can.multiline {
            style = '"';
        }
        if style == ' ' {
            let allowed = if self.flow_level > 0 { can.flow_plain } else { can.block_plain };
            let empty = chars.is_empty() && (self.flow_level > 0 || place.simple_key);
            if !allowed || empty || !plain_implicit {
                style = '\'';
            }
        }
        if style == '\'' && !can.single_quoted {
            style = '"';
        }
        if matches!(style, '|' | '>') && (!can.block || self.flow_level > 0 || place.simple_key) {
            style = '"';
        }
        if style != ' ' && !quoted_implicit {
            self.indicator("!", true, false, false);
        }
        let fold = !place.simple_key;
        match style {
            '\'' => self.single_quoted(&chars, fold),
            '"' => self.double_quoted(&chars, fold),
            '|' => self.literal(&chars),
            '>' => self.folded(&chars),
            _ => self.plain(&chars, fold),
        }
    }

    fn plain(&mut self, text: &[char], fold: bool) {
        if !self.whitespace && (!text.is_empty() || self.flow_level > 0) {
            self.put(' ');
        }
        let mut spaces = false;
        for (i, &c) in text.iter().enumerate() {
            if c == ' ' && fold && !spaces && self.column > self.best_width && text.get(i + 1) != Some(&' ') {
                self.write_indent();
            } else {
                self.put(c);
            }
            spaces = c == ' ';
            self.indention = false;
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &[char], fold: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        for (i, &c) in text.iter().enumerate() {
            if c == ' ' {
                let inner = i != 0 && i + 1 != text.len();
                if fold && !spaces && self.column > self.best_width && inner && text.get(i + 1) != Some(&' ') {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break('\n');
                }
                self.put_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        if breaks {
            self.write_indent();
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &[char], fold: bool) {
        self.indicator("\"", true, false, false);
        let mut spaces = false;
        for (i, &c) in text.iter().enumerate() {
            if !is_printable(c)
                || (!c.is_ascii() && !self.options.allow_unicode)
                || is_break(c)
                || matches!(c, '"' | '\\')
            {
                let escape = escape(c);
                self.out.push_str(&escape);
                self.column += escape.len();
                spaces = false;
            } else if c == ' ' {
                if fold && !spaces && self.column > self.best_width && i != 0 && i + 1 != text.len() {
                    self.write_indent();
                    if text.get(i + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
    }

    fn block_header(&mut self, sign: &str, text: &[char]) {
        self.indicator(sign, true, false, false);
        if text.first().is_some_and(|c| *c == ' ' || is_break(*c)) {
            let hint = self.best_indent.to_string();
            self.indicator(&hint, false, false, false);
        }
        self.open_ended = false;
        let ends = |back: usize| text.len().checked_sub(back).is_some_and(|i| is_break(text[i]));
        if !ends(1) {
            self.indicator("-", false, false, false);
        } else if text.len() == 1 || ends(2) {
            self.indicator("+", false, false, false);
            self.open_ended = true;
        }
        self.put_break('\n');
        self.indention = true;
        self.whitespace = true;
    }

    fn literal(&mut self, text: &[char]) {
        self.block_header("|", text);
        let mut breaks = true;
        for &c in text {
            if is_break(c) {
                self.put_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
    }

    fn folded(&mut self, text: &[char]) {
        self.block_header(">", text);
        let (mut breaks, mut leading_spaces) = (true, true);
        for (i, &c) in text.iter().enumerate() {
            if is_break(c) {
                if !breaks && !leading_spaces && c == '\n' {
                    let next = text[i..].iter().find(|c| !is_break(**c)).copied();
                    if !is_blank_or_end(next) {
                        self.put_break('\n');
                    }
                }
                self.put_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                    leading_spaces = matches!(c, ' ' | '\t');
                }
                if !breaks && c == ' ' && text.get(i + 1) != Some(&' ') && self.column > self.best_width {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                self.indention = false;
                breaks = false;
            }
        }
    }
}

/// A key that fits before a `:` on its line.
fn simple(key: &Tree, _options: &EmitOptions) -> bool {
    match key {
        Tree::Scalar { text, .. } => text.len() <= 128 && !text.chars().any(is_break),
        Tree::Seq(items, _) => items.is_empty(),
        Tree::Map(entries, _) => entries.is_empty(),
    }
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let mut text = String::new();
            let code = c as u32;
            let _ = match code {
                0..=0xff => write!(text, "\\x{code:02X}"),
                0x100..=0xffff => write!(text, "\\u{code:04X}"),
                _ => write!(text, "\\U{code:08X}"),
            };
            return text;
        }
    };
    format!("\\{short}")
}
