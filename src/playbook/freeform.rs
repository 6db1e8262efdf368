//! Free-form arguments: `copy: src=a dest=b` and `command: ls -l chdir=/tmp` on one line.
//!
//! Used while tasks are lowered. The rules are Ansible's own, not a shell's: spaces split, quotes and template
//! blocks hold together, a lone backslash disappears, and the free text is put together again from the pieces.

/// What a free-form text says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FreeForm {
    /// `name=value` pairs, unquoted; of one name the last counts, at the place of the first.
    pub pairs: Vec<(String, String)>,
    /// Everything else, joined again.
    pub free: Option<String>,
}

/// Quotes or template blocks that never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbalanced;

/// The only `name=value` pairs that command-like modules take out of their text.
const COMMAND_PAIRS: &[&str] =
    &["creates", "removes", "chdir", "executable", "warn", "stdin", "stdin_add_newline", "strip_empty_ends"];

/// Reads a free-form text. `command_like`: command, shell, script and raw keep foreign `a=b` words in their text.
pub fn parse(text: &str, command_like: bool) -> Result<FreeForm, Unbalanced> {
    let mut found = FreeForm::default();
    let mut free: Vec<String> = vec![];
    for word in split(text)? {
        let plain = decode_escapes(&word);
        if !plain.contains('=') {
            free.push(word);
            continue;
        }
        // The first `=` that is neither the very first character nor escaped.
        let at = plain
            .char_indices()
            .zip(std::iter::once(None).chain(plain.chars().map(Some)))
            .find_map(|((i, c), before)| (c == '=' && before.is_some_and(|b| b != '\\')).then_some(i));
        let Some(at) = at else {
            free.push(plain.replace("\\=", "="));
            continue;
        };
        let (name, value) = (&plain[..at], &plain[at + 1..]);
        if command_like && !COMMAND_PAIRS.contains(&name) {
            free.push(word);
            continue;
        }
        let (name, value) = (name.trim().to_owned(), unquote(value.trim()).to_owned());
        match found.pairs.iter_mut().find(|(n, _)| *n == name) {
            Some(pair) => pair.1 = value,
            None => found.pairs.push((name, value)),
        }
    }
    if !free.is_empty() {
        found.free = Some(join(&free));
    }
    Ok(found)
}

/// Splits at single spaces and line ends; further spaces stay at the end of the word before them.
pub fn split(text: &str) -> Result<Vec<String>, Unbalanced> {
    let mut words: Vec<String> = vec![];
    if text.is_empty() {
        return Ok(words);
    }
    let mut quote: Option<char> = None;
    let mut depths = [0usize; 3];
    let lines: Vec<&str> = text.split('\n').collect();
    for (line_index, line) in lines.iter().enumerate() {
        let mut continued = false;
        for (index, token) in line.split(' ').enumerate() {
            if token.is_empty() && index != 0 {
                last(&mut words).push(' ');
                continue;
            }
            let was_quoted = quote.is_some();
            if token == "\\" && !was_quoted {
                continued = true;
                continue;
            }
            quote = quote_after(token, quote);
            let quoted = quote.is_some();
            let in_block = depths.iter().any(|d| *d > 0);
            let mut placed = false;
            if quoted && !was_quoted && !in_block {
                words.push(token.to_owned());
                placed = true;
            } else if in_block || quoted || was_quoted {
                let word = last(&mut words);
                if index > 0 {
                    word.push(' ');
                }
                word.push_str(token);
                placed = true;
            }
            for (depth, (open, close)) in depths.iter_mut().zip([("{{", "}}"), ("{%", "%}"), ("{#", "#}")]) {
                let before = *depth;
                *depth = (*depth + token.matches(open).count()).saturating_sub(token.matches(close).count());
                if *depth != before && !placed {
                    words.push(token.to_owned());
                    placed = true;
                }
            }
            if depths.iter().all(|d| *d == 0) && !quoted && !placed && !token.is_empty() {
                words.push(token.to_owned());
            }
        }
        if lines.len() > 1 && line_index + 1 != lines.len() && !continued {
            last(&mut words).push('\n');
        }
    }
    if quote.is_some() || depths.iter().any(|d| *d > 0) {
        return Err(Unbalanced);
    }
    Ok(words)
}

/// The word being built; there is always one to add to.
fn last(words: &mut Vec<String>) -> &mut String {
    if words.is_empty() {
        words.push(String::new());
    }
    let end = words.len() - 1;
    &mut words[end]
}

/// The quote that is open after a token.
fn quote_after(token: &str, mut open: Option<char>) -> Option<char> {
    let mut before = None;
    for c in token.chars() {
        if (c == '"' || c == '\'') && before != Some('\\') {
            match open {
                Some(q) if q == c => open = None,
                Some(_) => {}
                None => open = Some(c),
            }
        }
        before = Some(c);
    }
    open
}

/// Puts words together again with spaces, none after a line end.
fn join(words: &[String]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Without its quotes, if the whole is in quotes.
fn unquote(text: &str) -> &str {
    let bytes = text.as_bytes();
    let n = bytes.len();
    if n > 1 && bytes[0] == bytes[n - 1] && (bytes[0] == b'"' || bytes[0] == b'\'') && bytes[n - 2] != b'\\' {
        &text[1..n - 1]
    } else {
        text
    }
}

/// Python's `\n`, `\x41`, `\u00e9` … as the characters they name. (`\N{NAME}` stays as written.)
fn decode_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        let after = &rest[i + 1..];
        let kind = after.chars().next();
        let digits = match kind {
            Some('U') => 8,
            Some('u') => 4,
            Some('x') => 2,
            _ => 0,
        };
        let named =
            digits > 0 && after.len() > digits && after.as_bytes()[1..=digits].iter().all(u8::is_ascii_hexdigit);
        if let Some(c) =
            named.then(|| u32::from_str_radix(&after[1..=digits], 16).ok().and_then(char::from_u32)).flatten()
        {
            out.push(c);
            rest = &after[1 + digits..];
            continue;
        }
        let single = match kind {
            Some('\\') => Some('\\'),
            Some('\'') => Some('\''),
            Some('"') => Some('"'),
            Some('a') => Some('\x07'),
            Some('b') => Some('\x08'),
            Some('f') => Some('\x0c'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('v') => Some('\x0b'),
            _ => None,
        };
        match single {
            Some(c) => {
                out.push(c);
                rest = &after[1..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
#[path = "freeform_tests.rs"]
mod tests;
