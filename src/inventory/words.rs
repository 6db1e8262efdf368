//! Splitting an INI host line into words, as Python's `shlex` does in POSIX mode with comments.

/// One word: its text without quotes, and the bytes of the line it was written in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub start: usize,
    pub end: usize,
}

/// The words of a line; `Err`: what is wrong and where.
pub(super) fn split(line: &str) -> Result<Vec<Word>, (&'static str, usize)> {
    let mut words = vec![];
    let mut word: Option<Word> = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' => break,
            _ => {
                let current = word.get_or_insert_with(|| Word { text: String::new(), start: at, end: at });
                match c {
                    '\\' => match chars.next() {
                        Some((_, escaped)) => current.text.push(escaped),
                        None => return Err(("a backslash at the end of the line escapes nothing", at)),
                    },
                    '\'' | '"' => loop {
                        match chars.next() {
                            None => return Err(("a quote is never closed", at)),
                            Some((_, end)) if end == c => break,
                            Some((_, '\\')) if c == '"' => match chars.next() {
                                None => return Err(("a quote is never closed", at)),
                                Some((_, escaped)) => {
                                    if !matches!(escaped, '"' | '\\') {
                                        current.text.push('\\');
                                    }
                                    current.text.push(escaped);
                                }
                            },
                            Some((_, inner)) => current.text.push(inner),
                        }
                    },
                    _ => current.text.push(c),
                }
                current.end = chars.peek().map_or(line.len(), |(i, _)| *i);
            }
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    fn texts(line: &str) -> Vec<String> {
        split(line).expect(line).into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn splits_as_shlex() {
        assert_eq!(texts(r#"a b="x y" c='1 "2"' d=x\ y # rest"#), ["a", "b=x y", "c=1 \"2\"", "d=x y"]);
        assert_eq!(texts(r#"a b=x#y z=1"#), ["a", "b=x"]);
        assert_eq!(texts(r#"a b="\n\"\\" c='\n'"#), ["a", "b=\\n\"\\", "c=\\n"]);
        assert_eq!(texts(r#"a b="" '' "#), ["a", "b=", ""]);
        assert_eq!(split("a \"b").expect_err("open"), ("a quote is never closed", 2));
    }
}
