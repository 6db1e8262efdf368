//! ssh's options as settings write them: words with quotes, and which of them mean nothing here.

/// Words of a shell-like text: quotes group, a backslash takes the next character as it is, nothing is expanded.
pub fn words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next();
                let word = word.get_or_insert_default();
                // Within quotes only a quote and a backslash are escaped.
                if quote.is_some() && !matches!(next, Some('"' | '\\')) {
                    word.push('\\');
                }
                word.extend(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The options without ControlMaster and its kin, and those.
pub fn without_shared(args: &str) -> (Vec<String>, Vec<String>) {
    let shared = |option: &str| {
        let name = option.split(['=', ' ']).next().unwrap_or_default().to_lowercase();
        matches!(name.as_str(), "controlmaster" | "controlpath" | "controlpersist" | "compression")
    };
    let (mut kept, mut dropped) = (vec![], vec![]);
    let mut words = words(args).into_iter().peekable();
    while let Some(word) = words.next() {
        let joined = word.strip_prefix("-o").filter(|o| !o.is_empty());
        if word == "-C" || joined.is_some_and(shared) {
            dropped.push(word);
        } else if word == "-o" && words.peek().is_some_and(|o| shared(o)) {
            dropped.extend(words.next());
        } else {
            kept.push(word);
        }
    }
    (kept, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        let text = r#"-o ProxyCommand="ssh -W %h:%p \"a b\" bastion" -o 'User=x y' -C -oControlMaster=auto -o ControlPath=/tmp/%C a\ b """#;
        let (kept, dropped) = without_shared(text);
        assert_eq!(kept, ["-o", r#"ProxyCommand=ssh -W %h:%p "a b" bastion"#, "-o", "User=x y", "a b", ""]);
        assert_eq!(dropped, ["-C", "-oControlMaster=auto", "ControlPath=/tmp/%C"]);
    }
}
