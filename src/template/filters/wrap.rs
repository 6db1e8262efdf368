//! Python's `textwrap` for one line, as `wordwrap` uses it.

/// Breaks a line into lines of at most `width` characters; white space at the breaks is dropped.
pub fn wrap(line: &str, width: usize, break_long_words: bool, break_on_hyphens: bool) -> Vec<String> {
    let mut chunks = chunks(line, break_on_hyphens);
    chunks.reverse();
    let count = |s: &str| s.chars().count();
    let blank = |s: &str| s.chars().all(char::is_whitespace);
    let mut lines: Vec<String> = vec![];
    while !chunks.is_empty() {
        let mut current: Vec<String> = vec![];
        let mut len = 0;
        if !lines.is_empty() && chunks.last().is_some_and(|c| blank(c)) {
            chunks.pop();
        }
        while let Some(chunk) = chunks.last() {
            let n = count(chunk);
            if len + n > width {
                break;
            }
            len += n;
            current.extend(chunks.pop());
        }
        if let Some(chunk) = chunks.last_mut().filter(|c| count(c) > width) {
            // nothing fits beside what stands there: an empty piece ends this line, as in Python
            let space = width.saturating_sub(len);
            if break_long_words {
                let mut end = space;
                if break_on_hyphens {
                    let head: Vec<char> = chunk.chars().take(space).collect();
                    if let Some(at) = head
                        .iter()
                        .rposition(|c| *c == '-')
                        .filter(|at| *at > 0 && head[..*at].iter().any(|c| *c != '-'))
                    {
                        end = at + 1;
                    }
                }
                let head: String = chunk.chars().take(end).collect();
                *chunk = chunk.chars().skip(end).collect();
                current.push(head);
            } else if current.is_empty() {
                current.extend(chunks.pop());
            }
        }
        if current.last().is_some_and(|c| blank(c)) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat());
        }
    }
    lines
}

/// Words, white space, and words cut after inner hyphens.
fn chunks(line: &str, hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let chars: Vec<char> = line.chars().collect();
    let mut i = 0;
    while i < chars.len() {
        let space = chars[i].is_whitespace();
        let end = chars[i..].iter().position(|c| c.is_whitespace() != space).map_or(chars.len(), |n| i + n);
        if space || !hyphens {
            out.push(chars[i..end].iter().collect());
        } else {
            let mut start = i;
            let letter = |k: usize| chars.get(k).is_some_and(|c| c.is_alphanumeric() || *c == '_') && k < end;
            for k in i..end {
                // a hyphen with two letters before it and a letter after it
                if chars[k] == '-' && k >= start + 2 && letter(k - 1) && letter(k - 2) && letter(k + 1) && letter(k + 2)
                {
                    out.push(chars[start..=k].iter().collect());
                    start = k + 1;
                }
            }
            out.push(chars[start..end].iter().collect());
        }
        i = end;
    }
    out
}
