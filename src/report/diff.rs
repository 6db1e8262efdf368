//! Differences as unified diffs.

use crate::resources::Diff;

use super::style::Style;

/// Lines of a diff that are shown before the rest is only counted.
const SHOWN: usize = 200;

/// A difference as unified diff lines, headers first; empty if both sides are equal.
pub fn unified(diff: &Diff) -> String {
    if diff.before == diff.after {
        return String::new();
    }
    let before = if diff.before_header.is_empty() { "before" } else { &diff.before_header };
    let after = if diff.after_header.is_empty() { "after" } else { &diff.after_header };
    similar::TextDiff::from_lines(diff.before.as_str(), diff.after.as_str())
        .unified_diff()
        .context_radius(crate::process::diff_context())
        .header(before, after)
        .to_string()
}

/// The same, painted and indented, long ones cut with a count of what is left out.
pub fn painted(diff: &Diff, style: Style, indent: &str, all: bool) -> String {
    let text = unified(diff);
    let total = text.lines().count();
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        if index >= SHOWN && !all {
            out.push_str(&format!(
                "{indent}{}\n",
                style.dim(&format!("… {} more lines (-v shows them)", total - index))
            ));
            break;
        }
        let painted = match line.as_bytes().first() {
            Some(b'+') => style.green(line),
            Some(b'-') => style.red(line),
            Some(b'@') => style.cyan(line),
            _ => line.to_owned(),
        };
        out.push_str(&format!("{indent}{painted}\n"));
    }
    out
}
