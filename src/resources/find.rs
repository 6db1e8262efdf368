//! `find`: files that fit, below directories of a node. The manual is doc/find.md.

use std::sync::Arc;

use minijinja::Value;

use super::common::archive::glob;
use super::common::{invalid, paths, text};
use super::{ArgSpec, Args, Conduct, Kind, ModeSpec, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::template::pyregex::{Flags, PyRegex};
use crate::world::{Algorithm, FileKind, Query, Stat, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("paths", Kind::List, "the directories").required().aliases(&["name", "path"]),
    ArgSpec::new("patterns", Kind::List, "names that count, as shell patterns or regular expressions; all by default")
        .aliases(&["pattern"]),
    ArgSpec::new("excludes", Kind::List, "names that do not count").aliases(&["exclude"]),
    ArgSpec::new("use_regex", Kind::Bool, "patterns are regular expressions of Python's").default("no"),
    ArgSpec::new("recurse", Kind::Bool, "look into directories too").default("no"),
    ArgSpec::new("depth", Kind::Int, "how deep"),
    ArgSpec::new("file_type", Kind::Str, "what counts").default("file").choices(&["any", "directory", "file", "link"]),
    ArgSpec::new("hidden", Kind::Bool, "count names that begin with a dot").default("no"),
    ArgSpec::new("follow", Kind::Bool, "accepted; links to directories are not entered").default("no"),
    ArgSpec::new("age", Kind::Str, "at least this old (`2d`), or with a minus at most: s, m, h, d, w"),
    ArgSpec::new("age_stamp", Kind::Str, "which time is meant").default("mtime").choices(&["atime", "ctime", "mtime"]),
    ArgSpec::new("size", Kind::Str, "at least this big (`10m`), or with a minus at most: b, k, m, g, t"),
    ArgSpec::new("mode", Kind::Raw, "permissions"),
    ArgSpec::new("exact_mode", Kind::Bool, "exactly these permissions, not at least").default("yes"),
    ArgSpec::new("contains", Kind::Str, "a regular expression that a line of the file must fit from its beginning"),
    ArgSpec::new("read_whole_file", Kind::Bool, "`contains` is searched in the whole content").default("no"),
    ArgSpec::new("encoding", Kind::Str, "accepted"),
    ArgSpec::new("get_checksum", Kind::Bool, "return a digest").default("no"),
    ArgSpec::new("checksum_algorithm", Kind::Str, "which digest")
        .default("sha1")
        .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
        .aliases(&["checksum", "checksum_algo"]),
    ArgSpec::new("limit", Kind::Int, "stop after so many"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "find",
    qualified: &["ansible.builtin.find"],
    doc: include_str!("doc/find.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

struct Find {
    paths: Vec<(String, String)>,
    patterns: Vec<Pattern>,
    excludes: Vec<Pattern>,
    recurse: bool,
    depth: Option<u32>,
    kind: String,
    hidden: bool,
    /// Seconds; negative: younger.
    age: Option<f64>,
    age_stamp: String,
    size: Option<i64>,
    mode: Option<(ModeSpec, bool)>,
    contains: Option<(PyRegex, bool)>,
    algorithm: Option<Algorithm>,
    limit: Option<usize>,
    now: f64,
}

enum Pattern {
    Glob(String),
    Regex(PyRegex),
}

impl Pattern {
    fn fits(&self, name: &str) -> Result<bool, Stop> {
        match self {
            Self::Glob(pattern) => Ok(glob(pattern, name)),
            Self::Regex(regex) => regex.match_start(name).map(|m| m.is_some()).map_err(|e| Stop::Failed(e.to_string())),
        }
    }
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let use_regex = args.flag("use_regex")?;
    let patterns = |name: &str| -> Result<Vec<Pattern>, Problem> {
        args.list(name)?
            .into_iter()
            .map(|p| {
                if !use_regex {
                    return Ok(Pattern::Glob(p));
                }
                PyRegex::new(&p, Flags::default())
                    .map(Pattern::Regex)
                    .map_err(|e| invalid(e.to_string()).at(args.span(name)))
            })
            .collect()
    };
    let mut all = vec![];
    for path in args.list("paths")? {
        let shown = paths::expand_text(&path, setting).map_err(|p| p.or_at(args.span("paths")))?;
        all.push((shown.trim_end_matches('/').to_owned(), paths::clean(&shown)));
    }
    let recurse = args.flag("recurse")?;
    let depth = match args.int("depth")? {
        _ if !recurse => Some(1),
        Some(depth) => Some(u32::try_from(depth).unwrap_or(1).max(1)),
        None => None,
    };
    let mode = match args.raw("mode") {
        None => None,
        Some(_) => args.mode("mode")?.map(|mode| Ok::<_, Problem>((mode, args.flag("exact_mode")?))).transpose()?,
    };
    let contains = super::lineinfile::pattern(args, "contains", Flags::default())?;
    #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^52")]
    let now = jiff::Timestamp::now().as_second() as f64;
    Ok(Arc::new(Find {
        paths: all,
        patterns: patterns("patterns")?,
        excludes: patterns("excludes")?,
        recurse,
        depth,
        kind: args.need("file_type")?,
        hidden: args.flag("hidden")?,
        #[expect(clippy::cast_precision_loss, reason = "ages are small")]
        age: units(args, "age", &[("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("w", 604_800)])?.map(|n| n as f64),
        age_stamp: args.need("age_stamp")?,
        size: units(args, "size", &[("b", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)])?,
        mode,
        contains: contains.map(|regex| Ok::<_, Problem>((regex, args.flag("read_whole_file")?))).transpose()?,
        algorithm: if args.flag("get_checksum")? {
            Algorithm::by_name(&args.need("checksum_algorithm")?)
        } else {
            None
        },
        limit: args.int("limit")?.and_then(|n| usize::try_from(n).ok()),
        now,
    }))
}

/// A number with a unit's letter (`-2d`, `10m`).
fn units(args: &Args, name: &str, known: &[(&str, i64)]) -> Result<Option<i64>, Problem> {
    let Some(text) = args.str(name)? else { return Ok(None) };
    let lower = text.trim().to_lowercase();
    let split = lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len());
    let factor = match &lower[split..] {
        "" => Some(1),
        unit => known.iter().find(|(u, _)| unit.starts_with(u)).map(|(_, f)| *f),
    };
    match (lower[..split].trim().parse::<i64>(), factor) {
        (Ok(number), Some(factor)) => Ok(Some(number.saturating_mul(factor))),
        _ => Err(invalid(format!("failed to process {name}: `{text}`")).at(args.span(name))),
    }
}

impl Find {
    /// One level more than counts, where a depth is given: Ansible examines it too.
    fn looked_at(&self) -> Option<u32> {
        if self.recurse { self.depth.map(|d| d + 1) } else { self.depth }
    }

    fn name_fits(&self, name: &str) -> Result<bool, Stop> {
        let mut found = self.patterns.is_empty();
        for pattern in &self.patterns {
            found |= pattern.fits(name)?;
        }
        for pattern in &self.excludes {
            found &= !pattern.fits(name)?;
        }
        Ok(found)
    }

    fn stat_fits(&self, stat: &Stat) -> Result<bool, Stop> {
        let kind = match self.kind.as_str() {
            "file" => stat.kind == FileKind::File,
            "directory" => stat.kind == FileKind::Directory,
            "link" => stat.kind == FileKind::Link,
            _ => true,
        };
        let time = match self.age_stamp.as_str() {
            "atime" => stat.atime,
            "ctime" => stat.ctime,
            _ => stat.mtime,
        };
        let age = match self.age {
            None => true,
            // A file that is yet to be made is young.
            Some(age) if time.is_nan() => age < 0.0,
            Some(age) if age >= 0.0 => self.now - time >= age,
            Some(age) => self.now - time <= -age,
        };
        // Size is asked of files only.
        let size = match self.size {
            None => true,
            Some(_) if stat.kind == FileKind::Directory => self.kind != "any",
            Some(size) if size >= 0 => i64::try_from(stat.size).unwrap_or(i64::MAX) >= size,
            Some(size) => i64::try_from(stat.size).unwrap_or(i64::MAX) <= -size,
        };
        let mode = match &self.mode {
            None => true,
            Some((spec, exact)) => {
                let mode = match spec {
                    ModeSpec::Octal(mode) => *mode,
                    ModeSpec::Symbolic(symbolic) => {
                        super::common::mode::evaluate(symbolic, 0, stat.kind == FileKind::Directory, 0o022)
                            .map_err(Stop::Failed)?
                    }
                };
                if *exact { stat.mode == mode } else { stat.mode & mode == mode }
            }
        };
        Ok(kind && age && size && mode)
    }

    fn content_fits(&self, bytes: &[u8]) -> Result<bool, Stop> {
        let Some((regex, whole)) = &self.contains else { return Ok(true) };
        let content = text::decode(bytes);
        let gave_up = |e: crate::template::pyregex::RegexError| Stop::Failed(e.to_string());
        if *whole {
            return regex.is_match(&content).map_err(gave_up);
        }
        for line in text::lines(&content) {
            if regex.match_start(line).map_err(gave_up)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Resource for Find {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        for (_, path) in &self.paths {
            view.want([
                Query::Stat { path: path.clone(), follow: true },
                Query::Tree { path: path.clone(), max_depth: self.looked_at() },
            ]);
        }
        let mut examined = 0;
        let mut found: Vec<(String, Stat)> = vec![];
        let mut skipped: Vec<(String, Value)> = vec![];
        for (shown, path) in &self.paths {
            match view.stat(path, true)? {
                Some(s) if s.kind == FileKind::Directory => {}
                _ => {
                    skipped.push((shown.clone(), Value::from(format!("'{shown}' is not a directory"))));
                    continue;
                }
            }
            for entry in view.tree(path, self.looked_at())?.iter() {
                examined += 1;
                let depth = entry.path.matches('/').count() + 1;
                if self.depth.is_some_and(|d| depth > d as usize) {
                    continue;
                }
                let name = paths::basename(&entry.path);
                if !self.hidden && name.starts_with('.') || !self.name_fits(name)? || !self.stat_fits(&entry.stat)? {
                    continue;
                }
                found.push((paths::join(shown, &entry.path), entry.stat.clone()));
            }
        }
        let regular = |s: &Stat| s.kind == FileKind::File;
        if self.contains.is_some() {
            view.want(found.iter().filter(|(_, s)| regular(s)).map(|(p, _)| Query::Content { path: paths::clean(p) }));
            let mut kept = vec![];
            for (path, stat) in found {
                if !regular(&stat) || self.kind == "directory" {
                    kept.push((path, stat));
                    continue;
                }
                if self.content_fits(&view.content(&paths::clean(&path))?.unwrap_or_default())? {
                    kept.push((path, stat));
                }
            }
            found = kept;
        }
        let limited = self.limit.is_some_and(|limit| found.len() >= limit);
        found.truncate(self.limit.unwrap_or(usize::MAX));
        if let Some(algorithm) = self.algorithm {
            let digest = |p: &String| Query::Digest { path: paths::clean(p), algorithm };
            view.want(found.iter().filter(|(_, s)| regular(s)).map(|(p, _)| digest(p)));
        }
        let mut files = vec![];
        for (path, stat) in &found {
            let mut file = super::stat::attributes_of(path, stat);
            file.retain(|(key, _)| *key != "exists");
            if let (Some(algorithm), true) = (self.algorithm, regular(stat)) {
                let digest = match view.digest(&paths::clean(path), algorithm) {
                    Err(Stop::Unknown(cause)) => cause.into_value(),
                    digest => digest?.map_or(Value::from(()), Value::from),
                };
                file.push(("checksum", digest));
            }
            files.push(Value::from_pairs(file));
        }
        let message = if limited {
            "Limit of matches reached".to_owned()
        } else if skipped.is_empty() {
            "All paths examined".to_owned()
        } else {
            "Not all paths examined, check warnings for details".to_owned()
        };
        Ok(Verdict::Unchanged(
            TaskResult::unchanged()
                .with("matched", files.len())
                .with("files", Value::from(files))
                .with("examined", examined)
                .with("skipped_paths", Value::from_pairs(skipped))
                .with("msg", message),
        ))
    }
}
