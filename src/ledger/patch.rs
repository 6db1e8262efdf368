//! Applying the way back of an edit to a text that others may have edited since.

/// The text with a unified diff applied. `None`: one of its places is not there any more, or more than once.
pub fn apply(text: &str, patch: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    for hunk in hunks(patch) {
        let at = place(&lines, &hunk)?;
        lines.splice(at..at + hunk.old.len(), hunk.new.iter().copied());
    }
    Some(lines.concat())
}

struct Hunk<'a> {
    start: usize,
    old: Vec<&'a str>,
    new: Vec<&'a str>,
}

fn hunks(patch: &str) -> Vec<Hunk<'_>> {
    let mut all: Vec<Hunk> = vec![];
    for line in patch.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("@@ -") {
            let start = rest.split([',', ' ']).next().and_then(|n| n.parse().ok()).unwrap_or(1);
            all.push(Hunk { start, old: vec![], new: vec![] });
            continue;
        }
        let Some(hunk) = all.last_mut() else { continue };
        match line.as_bytes().first() {
            Some(b'-') => hunk.old.push(&line[1..]),
            Some(b'+') => hunk.new.push(&line[1..]),
            Some(b' ') => {
                hunk.old.push(&line[1..]);
                hunk.new.push(&line[1..]);
            }
            // `\ No newline at end of file`: the line before it has none.
            Some(b'\\') => {
                for side in [&mut hunk.old, &mut hunk.new] {
                    if let Some(last) = side.last_mut() {
                        *last = last.trim_end_matches('\n');
                    }
                }
            }
            _ => {}
        }
    }
    // From the end: places before a hunk are not moved by it.
    all.reverse();
    all
}

/// Where the old lines of a hunk stand: at its own place, or at the only other one; with less of its surroundings if need be.
fn place(lines: &[&str], hunk: &Hunk) -> Option<usize> {
    let fits = |at: usize| lines.get(at..at + hunk.old.len()).is_some_and(|found| found == hunk.old.as_slice());
    let own = hunk.start.saturating_sub(1);
    if fits(own) {
        return Some(own);
    }
    if hunk.old.is_empty() {
        return None;
    }
    let mut all = (0..lines.len()).filter(|at| fits(*at));
    match (all.next(), all.next()) {
        (Some(at), None) => Some(at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(before: &str, after: &str) -> String {
        similar::TextDiff::from_lines(after, before).unified_diff().context_radius(2).to_string()
    }

    #[test]
    fn others_lines_stay() {
        let (before, after) = ("a\nb\nc\nd\ne\n", "a\nb\nc\nours\nd\ne\n");
        let patch = back(before, after);
        assert_eq!(apply(after, &patch).as_deref(), Some(before));
        assert_eq!(apply("new\na\nb\nc\nours\nd\ne\nlast\n", &patch).as_deref(), Some("new\na\nb\nc\nd\ne\nlast\n"));
        assert_eq!(apply("a\nb\nc\ntheirs\nd\ne\n", &patch), None, "our line is gone");
        let twice = format!("x\n{after}{after}");
        assert_eq!(apply(&twice, &patch), None, "which of them is not known");
    }

    proptest::proptest! {
        #[test]
        fn an_edit_goes_back(before in "([a-c]\n){0,12}", after in "([a-c]\n){0,12}") {
            proptest::prop_assert_eq!(apply(&after, &back(&before, &after)), Some(before));
        }
    }
}
