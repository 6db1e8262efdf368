//! rsync's include and exclude patterns.

/// Rules in order; the first that fits decides.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter(Vec<(bool, String)>);

impl Filter {
    pub fn add(&mut self, include: bool, pattern: &str) {
        self.0.push((include, pattern.to_owned()));
    }

    /// Whether a path (relative to the root of the transfer) is left out. What lies in a folder that is left out is never asked about.
    pub fn excludes(&self, path: &str, is_dir: bool) -> bool {
        self.0.iter().find(|(_, pattern)| fits(pattern, path, is_dir)).is_some_and(|(include, _)| !include)
    }
}

fn fits(pattern: &str, path: &str, is_dir: bool) -> bool {
    let (pattern, dirs_only) = match pattern.strip_suffix('/') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    if dirs_only && !is_dir {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let whole: Vec<char> = path.chars().collect();
    if let Some('/') = pattern.first() {
        return glob(&pattern[1..], &whole);
    }
    if !pattern.contains(&'/') && !pattern.windows(2).any(|w| w == ['*', '*']) {
        let name: Vec<char> = path.rsplit('/').next().unwrap_or_default().chars().collect();
        return glob(&pattern, &name);
    }
    // A pattern with a slash fits the end of a path, from any of its folders on.
    let starts = std::iter::once(0).chain(whole.iter().enumerate().filter(|(_, c)| **c == '/').map(|(i, _)| i + 1));
    starts.into_iter().any(|i| glob(&pattern, &whole[i..]))
}

/// `*` and `?` stop at slashes, `**` does not.
fn glob(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        // `dir/***` is the folder and all within it.
        ['/', '*', '*', '*'] if text.is_empty() => true,
        ['*', '*', rest @ ..] => {
            let rest = if let ['*', more @ ..] = rest { more } else { rest };
            (0..=text.len()).any(|i| glob(rest, &text[i..]))
        }
        ['*', rest @ ..] => {
            let end = text.iter().position(|c| *c == '/').unwrap_or(text.len());
            (0..=end).any(|i| glob(rest, &text[i..]))
        }
        ['?', rest @ ..] => matches!(text, [c, more @ ..] if *c != '/' && glob(rest, more)),
        ['[', rest @ ..] if rest.contains(&']') => {
            let end = rest.iter().skip(1).position(|c| *c == ']').map_or(0, |i| i + 1);
            let (set, after) = (&rest[..end], &rest[end + 1..]);
            let (negated, set) = match set {
                ['!' | '^', more @ ..] => (true, more),
                set => (false, set),
            };
            let [c, more @ ..] = text else { return false };
            let within = set.windows(3).any(|w| w[1] == '-' && w[0] <= *c && *c <= w[2]) || set.contains(c);
            within != negated && *c != '/' && glob(after, more)
        }
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            matches!(text, [c, more @ ..] if c == literal && glob(rest, more))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_rsyncs_do() {
        let fits = |p: &str, path: &str, dir| super::fits(p, path, dir);
        assert!(fits("*.o", "a/b.o", false) && !fits("*.o", "a/b.c", false));
        assert!(fits("/a", "a", true) && !fits("/a", "b/a", true));
        assert!(fits("tmp/", "x/tmp", true) && !fits("tmp/", "x/tmp", false));
        assert!(fits("a/*.c", "x/a/b.c", false) && !fits("a/*.c", "a/b/c.c", false));
        assert!(fits("a/**.c", "a/b/c.c", false));
        assert!(fits("[a-c]?", "bx", false) && !fits("[!a-c]?", "bx", false));
        let mut f = Filter::default();
        f.add(true, "keep.log");
        f.add(false, "*.log");
        assert!(f.excludes("a/x.log", false) && !f.excludes("a/keep.log", false));
    }
}
