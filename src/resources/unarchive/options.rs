//! `include`, `exclude`, `keep_newer` and the options for tar in `extra_opts`, as far as they decide where members land.

use super::transform::Transform;
use crate::problem::Problem;
use crate::resources::common::archive::{Member, MemberKind, glob};
use crate::resources::kit::split_words;

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub keep_newer: bool,
    pub same_owner: bool,
    strip: usize,
    wildcards: bool,
    /// As written, and read.
    transforms: Vec<(String, Transform)>,
    /// Handed on without meaning for the comparison.
    other: Vec<String>,
}

impl Options {
    pub fn parse(
        extra: &[String],
        include: Vec<String>,
        exclude: Vec<String>,
        keep_newer: bool,
    ) -> Result<Self, Problem> {
        let mut options = Self {
            include,
            exclude,
            keep_newer,
            same_owner: true,
            strip: 0,
            wildcards: false,
            transforms: vec![],
            other: vec![],
        };
        let mut words: Vec<String> = vec![];
        for option in extra {
            // A name with blanks is one word where it stands alone or is quoted.
            words.extend(split_words(option).unwrap_or_else(|_| vec![option.clone()]));
        }
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.trim_matches(['"', '\'']).to_owned())),
                None => (word, None),
            };
            let mut value = || value.clone().or_else(|| words.next().map(str::to_owned));
            match name {
                "--strip-components" | "--strip" => {
                    options.strip = value().and_then(|v| v.parse().ok()).ok_or_else(|| {
                        Problem::new("invalid-argument", format!("`{name}` needs a number of path components"))
                    })?;
                }
                "--transform" | "--xform" => {
                    let text = value().unwrap_or_default();
                    let transform = Transform::parse(&text)?;
                    options.transforms.push((text, transform));
                }
                "--exclude" => options.exclude.extend(value()),
                "--no-same-owner" => options.same_owner = false,
                "--same-owner" => options.same_owner = true,
                "--wildcards" => options.wildcards = true,
                "-v"
                | "--verbose"
                | "--overwrite"
                | "--no-overwrite-dir"
                | "--keep-directory-symlink"
                | "-p"
                | "--preserve-permissions"
                | "--same-permissions"
                | "--no-same-permissions"
                | "-o" => {
                    if name == "-o" {
                        options.same_owner = false;
                    }
                    options.other.push(word.to_owned());
                }
                _ => {
                    return Err(Problem::unsupported(format!("the option `{word}` in `extra_opts`"))
                        .help("supported: --strip-components=N, --exclude=PATTERN, --transform=s/REGEX/TEXT/, --no-same-owner, --wildcards, --overwrite, --no-overwrite-dir, --keep-directory-symlink"));
                }
            }
        }
        Ok(options)
    }

    /// What goes to tar besides include, exclude and owner.
    pub fn for_tar(&self) -> Vec<String> {
        let mut all = vec![];
        if self.strip > 0 {
            all.push(format!("--strip-components={}", self.strip));
        }
        all.extend(self.transforms.iter().map(|(text, _)| format!("--transform={text}")));
        if self.keep_newer {
            all.push("--keep-newer-files".to_owned());
        }
        if self.wildcards {
            all.push("--wildcards".to_owned());
        }
        all.extend(self.other.iter().filter(|o| o.as_str() != "-o" && o.as_str() != "-v").cloned());
        all
    }

    /// Whether members get other names than those in the archive.
    pub fn renames(&self) -> bool {
        !self.transforms.is_empty()
    }

    /// What all transformations, one after the other, make of a name.
    fn new_name(&self, written: &str) -> String {
        self.transforms.iter().fold(written.to_owned(), |name, (_, transform)| transform.name(&name))
    }

    /// A member as tar unpacks it: its name and what it links to.
    pub fn renamed(&self, member: &Member) -> Member {
        let mut member = member.clone();
        member.path = member_path(&self.new_name(&member.shown));
        for (_, transform) in &self.transforms {
            match &mut member.kind {
                MemberKind::Link(to) => *to = transform.symlink(to),
                MemberKind::Hard(to) => *to = transform.hardlink(to),
                MemberKind::Dir | MemberKind::File { .. } => {}
            }
        }
        member
    }

    /// Where a member lands below `dest`; `None` if it is left out. `written`: its name as the archive has it.
    pub fn place(&self, written: &str) -> Option<String> {
        let path = member_path(written);
        let path = path.as_str();
        let selected = self.include.is_empty() || self.include.iter().any(|wanted| self.names(wanted, path));
        if !selected || self.exclude.iter().any(|pattern| excluded(pattern, path)) {
            return None;
        }
        let name = member_path(&self.new_name(written));
        let path = name.as_str();
        if self.strip == 0 {
            return Some(path.to_owned());
        }
        let parts: Vec<&str> = path.split('/').collect();
        (parts.len() > self.strip).then(|| parts[self.strip..].join("/"))
    }

    /// A name on tar's command line: the member itself, or a folder above it.
    fn names(&self, wanted: &str, path: &str) -> bool {
        let wanted = wanted.trim_start_matches("./").trim_end_matches('/');
        let fits = |p: &str| if self.wildcards || wanted.contains('*') { glob(wanted, p) } else { wanted == p };
        fits(path) || path.match_indices('/').any(|(i, _)| fits(&path[..i]))
    }
}

/// A member's name without `./` before it and a final slash.
fn member_path(written: &str) -> String {
    let mut path = written;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    let path = path.trim_end_matches('/');
    if path == "." { String::new() } else { path.to_owned() }
}

/// tar's exclusion: the pattern fits the path, a folder above it, or any of its last parts.
fn excluded(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let above = path.match_indices('/').map(|(i, _)| &path[..i]).chain([path]);
    above.into_iter().any(|p| glob(pattern, p) || p.match_indices('/').any(|(i, _)| glob(pattern, &p[i + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(extra: &[&str]) -> Options {
        let extra: Vec<String> = extra.iter().map(|s| (*s).to_owned()).collect();
        Options::parse(&extra, vec![], vec![], false).unwrap()
    }

    #[test]
    fn stripping_and_leaving_out() {
        let o = options(&["--strip-components=1", "--exclude=*.md"]);
        assert_eq!(o.place("containerd/bin/ctr").as_deref(), Some("bin/ctr"));
        assert_eq!(o.place("containerd"), None);
        assert_eq!(o.place("containerd/README.md"), None);
        assert_eq!(options(&["--strip-components", "2"]).place("a/b/c").as_deref(), Some("c"));
        assert_eq!(options(&["--transform", "s/a/b/"]).place("./a").as_deref(), Some("b"));
        // One after the other, for a member's name as for its place.
        let both = options(&["--transform=s/a/b/", "--transform=s/b/c/"]);
        let member = Member {
            path: "a".into(),
            shown: "./a".into(),
            mode: None,
            mtime: 0.0,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            kind: MemberKind::Link("a".into()),
        };
        let renamed = both.renamed(&member);
        assert_eq!(
            (both.place("./a").as_deref(), &*renamed.path, &renamed.kind),
            (Some("c"), "c", &MemberKind::Link("c".into()))
        );
        assert!(Options::parse(&["--to-command=x".to_owned()], vec![], vec![], false).is_err());
    }

    #[test]
    fn included_folders_take_what_is_in_them() {
        let o = Options::parse(&[], vec!["./bin/".into()], vec![], false).unwrap();
        assert!(o.place("bin/ctr").is_some());
        assert!(o.place("binary").is_none());
    }
}
