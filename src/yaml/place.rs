//! From an offset in a scalar's text to the place in the file: carets inside templates.
//!
//! The text is aligned with what is written, step by step, by the rules of its notation. Where the two cannot be aligned
//! the whole scalar is the answer, never a wrong place.

use super::node::{Node, ScalarStyle, Yaml};
use crate::source::Span;

impl Node {
    /// The place of `len` bytes at `text_offset` of the node's text. For anything but text: the node's own place.
    pub fn span_at(&self, text_offset: usize, len: usize) -> Span {
        let Yaml::Str(scalar) = &self.value else { return self.span.clone() };
        let file = &self.span.file;
        let Some(raw) = file.text.get(self.span.start..self.span.end) else { return self.span.clone() };
        // A block scalar's span starts with its first character; its lines start with the indentation.
        let base = match scalar.style {
            ScalarStyle::Literal | ScalarStyle::Folded => file.text[..self.span.start].rfind('\n').map_or(0, |i| i + 1),
            _ => self.span.start,
        };
        let walk = Walk { raw: &file.text[base..self.span.end], text: &scalar.text, base };
        let places = match scalar.style {
            ScalarStyle::Plain if raw == &*scalar.text => {
                let start = (self.span.start + text_offset).min(self.span.end);
                return Span::new(file, start, start.saturating_add(len).min(self.span.end));
            }
            ScalarStyle::Time => None,
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => walk.flow(scalar.style),
            ScalarStyle::Literal | ScalarStyle::Folded => walk.block(),
        };
        let Some(places) = places else { return self.span.clone() };
        let find = |offset: usize| {
            let i = places.partition_point(|(text, _)| *text <= offset);
            // An offset past the text's end is the scalar's end.
            places[..i].last().map(|(text, raw)| (raw + (offset - text)).min(self.span.end))
        };
        let Some(start) = find(text_offset) else { return self.span.clone() };
        let end = if len == 0 { start } else { find(text_offset.saturating_add(len - 1)).map_or(start, |e| e + 1) };
        let mut end = end.clamp(start, self.span.end.max(start));
        while end < file.text.len() && !file.text.is_char_boundary(end) {
            end += 1;
        }
        let mut start = start;
        while !file.text.is_char_boundary(start) {
            start -= 1;
        }
        Span::new(file, start, end)
    }
}

/// Pairs (text offset, file offset), ascending; between two pairs both run in step.
type Places = Vec<(usize, usize)>;

struct Walk<'a> {
    raw: &'a str,
    text: &'a str,
    base: usize,
}

impl Walk<'_> {
    fn flow(&self, style: ScalarStyle) -> Option<Places> {
        let body = match style {
            ScalarStyle::Plain => self.raw,
            _ => self.raw.get(1..self.raw.len().checked_sub(1)?)?,
        };
        let skipped = usize::from(style != ScalarStyle::Plain);
        let mut places = vec![];
        let mut text_at = 0;
        let mut i = 0;
        while i < body.len() {
            let rest = &body[i..];
            let c = rest.chars().next()?;
            places.push((text_at, self.base + skipped + i));
            // White space around a line break folds.
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            if rest[blanks..].starts_with(['\n', '\r']) {
                let run = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
                let breaks = rest[..run].matches('\n').count();
                text_at += if breaks <= 1 { 1 } else { breaks - 1 };
                i += run;
                continue;
            }
            if style == ScalarStyle::SingleQuoted && rest.starts_with("''") {
                text_at += 1;
                i += 2;
                continue;
            }
            if style == ScalarStyle::DoubleQuoted && c == '\\' {
                let escape = rest[1..].chars().next()?;
                if matches!(escape, '\n' | '\r') {
                    let after = rest[1..].trim_start_matches([' ', '\t', '\n', '\r']);
                    i += rest.len() - after.len();
                    continue;
                }
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                let mut width = 1 + escape.len_utf8() + digits;
                let given = self.text.get(text_at..)?.chars().next()?;
                // An escaped surrogate pair is one character.
                if escape == 'u' && given as u32 > 0xffff {
                    width *= 2;
                }
                text_at += given.len_utf8();
                i += width;
                if !body.is_char_boundary(i) {
                    return None;
                }
                continue;
            }
            if !self.text.get(text_at..)?.starts_with(c) {
                return None;
            }
            text_at += c.len_utf8();
            i += c.len_utf8();
        }
        places.push((text_at, self.base + skipped + body.len()));
        Some(places)
    }

    /// Block scalars: the indentation falls away; a line break is itself, a blank, or nothing.
    fn block(&self) -> Option<Places> {
        let leading = |text: &str| {
            let line = text.lines().find(|l| !l.trim().is_empty())?;
            Some(line.len() - line.trim_start_matches(' ').len())
        };
        // Leading blanks may belong to the text (`|2`).
        let indent = leading(self.raw)?.checked_sub(leading(self.text)?)?;
        let mut places = vec![];
        let mut text_at = 0;
        let mut line_at = 0;
        for line in self.raw.split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            let cut = content.char_indices().take_while(|(i, c)| *i < indent && *c == ' ').count();
            let content = &content[cut..];
            let here = self.base + line_at + cut;
            line_at += line.len();
            let rest = self.text.get(text_at..).unwrap_or_default();
            if content.is_empty() {
                places.push((text_at, here));
                if rest.starts_with('\n') {
                    text_at += 1;
                }
                continue;
            }
            // What the line break before this line became.
            let skip = if rest.starts_with(content) {
                0
            } else {
                let blank = rest.len() - rest.trim_start_matches('\n').len();
                let blank = if blank == 0 && rest.starts_with(' ') { 1 } else { blank };
                if !rest[blank..].starts_with(content) {
                    return None;
                }
                blank
            };
            text_at += skip;
            places.push((text_at, here));
            text_at += content.len();
        }
        places.push((text_at, self.base + self.raw.len()));
        Some(places)
    }
}
