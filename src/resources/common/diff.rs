//! Differences for people: texts, binary contents, attribute lists.

use crate::resources::Diff;
use crate::world::Algorithm;

/// The difference between two contents; `None` for a file that is not there.
pub fn content(path: &str, after_header: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> Diff {
    let binary = [before, after].into_iter().flatten().any(|b| !is_text(b));
    let show = |bytes: Option<&[u8]>| match bytes {
        None => String::new(),
        Some(b) if binary => describe(b),
        Some(b) if b.len() as u64 > crate::process::max_diff_size() => describe(b),
        Some(b) => String::from_utf8_lossy(b).into_owned(),
    };
    Diff {
        before_header: path.to_owned(),
        after_header: after_header.to_owned(),
        before: show(before),
        after: show(after),
    }
}

/// A difference between contents of which at least one is only known by size and digest.
pub fn sizes(path: &str, after_header: &str, before: Option<String>, after: String) -> Diff {
    Diff {
        before_header: path.to_owned(),
        after_header: after_header.to_owned(),
        before: before.unwrap_or_default(),
        after,
    }
}

/// Two attribute lists; only what differs should be in them.
pub fn attributes(path: &str, before: &[(&str, String)], after: &[(&str, String)]) -> Diff {
    let text = |list: &[(&str, String)]| list.iter().map(|(k, v)| format!("{k}: {v}\n")).collect::<String>();
    Diff { before_header: path.to_owned(), after_header: path.to_owned(), before: text(before), after: text(after) }
}

/// Text as far as a diff is concerned: UTF-8 without NUL.
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// One line that stands for content that is not shown.
pub fn describe(bytes: &[u8]) -> String {
    let what = if is_text(bytes) { "text" } else { "binary" };
    format!("({what}, {} bytes, sha1 {})\n", bytes.len(), Algorithm::Sha1.hex(bytes))
}
