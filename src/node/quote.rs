//! The one place where text becomes a word of a shell script.
//!
//! Everything that node/ puts into a script goes through [`quote`] or is a literal of this room.

/// One shell word with exactly these characters (which hold no NUL).
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '@' | '+' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Words separated by spaces.
pub fn quote_all<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|w| quote(w.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn echoed(shell: &[&str], words: &[String]) -> Vec<u8> {
        let script = format!("printf '%s\\0' {}", quote_all(words));
        Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(script).output().expect("a shell").stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_shell_gives_back_every_word(words in prop::collection::vec("[^\\x00]{0,12}|[-~*?$`'\"\\\\\n\t !;&|<>(){}#=%]{0,8}", 1..8)) {
            let expected: Vec<u8> = words.iter().flat_map(|w| [w.as_bytes(), b"\0"].concat()).collect();
            prop_assert_eq!(&echoed(&["sh"], &words), &expected);
            if std::path::Path::new("/bin/busybox").exists() {
                prop_assert_eq!(&echoed(&["/bin/busybox", "sh"], &words), &expected);
            }
            if std::path::Path::new("/bin/bash").exists() {
                prop_assert_eq!(&echoed(&["/bin/bash", "--posix"], &words), &expected);
            }
        }
    }
}
