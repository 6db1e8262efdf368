//! `archive`: packs files of a node on the node. The manual is doc/archive.md.
//!
//! Names come from the world, so a plan tells what would be in the archive; the node's tar (or zip) does the packing.

use std::sync::Arc;

use minijinja::Value;

use super::common::attributes::{self, Attributes, COMMON, UNKNOWN_SIZE};
use super::common::tools::{query, said};
use super::common::{concat, fail, invalid, paths};
use super::kit::{self, Task};
use super::setup::matches;
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Done, ExecSpec};
use crate::world::{FileKind, Query, Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::List, "what is packed: absolute paths or patterns").required(),
    ArgSpec::new("dest", Kind::Path, "the archive; needed with several paths"),
    ArgSpec::new("format", Kind::Str, "its format").default("gz").choices(&["bz2", "gz", "tar", "xz", "zip"]),
    ArgSpec::new("exclude_path", Kind::List, "paths or patterns that are taken out of `path`"),
    ArgSpec::new("exclusion_patterns", Kind::List, "names, with `*` and `?`, that are left out"),
    ArgSpec::new("force_archive", Kind::Bool, "make an archive of a single file too").default("no"),
    ArgSpec::new("remove", Kind::Bool, "remove what was packed").default("no"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "archive",
    qualified: &["community.general.archive"],
    doc: include_str!("doc/archive.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Archive {
    paths: Vec<String>,
    dest: Option<String>,
    format: String,
    exclude: Vec<String>,
    patterns: Vec<String>,
    force: bool,
    remove: bool,
    attributes: Attributes,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let expanded = |name: &str| -> Result<Vec<String>, Stop> {
        args.list(name)?.iter().map(|p| Ok(paths::expand_text(p, setting)?)).collect()
    };
    let paths = expanded("path")?;
    if paths.is_empty() {
        return Err(invalid("`path` of `archive` is empty").at(args.span("path")).into());
    }
    let dest = paths::expand(&args, "dest", setting)?.map(|d| paths::clean(&d));
    Ok(Arc::new(Archive {
        paths,
        dest,
        format: args.need("format")?,
        exclude: expanded("exclude_path")?,
        patterns: args.list("exclusion_patterns")?,
        force: args.flag("force_archive")?,
        remove: args.flag("remove")?,
        attributes: Attributes::from_args(&args, setting)?,
        task,
    }))
}

const GLOB: &str = r#"IFS=; for p in $1; do if [ -e "$p" ] || [ -L "$p" ]; then printf '%s\0' "$p"; fi; done"#;

/// `$1` format, `$2` root, `$3` archive. Names come on standard input, each ended by a NUL.
const PACK: &str = r#"
t=$3.kdeploy.$$
trap 'rm -f "$t"' EXIT
cd "$2" || exit 1
pack() {
  if tar --version 2>/dev/null | grep -q GNU; then tar -cf - --no-recursion --null -T -
  else tr '\0' '\n' | tar -cf - --no-recursion -T -; fi
}
set -e
case $1 in
gz) pack | gzip -n >"$t" ;;
bz2) pack | bzip2 >"$t" ;;
xz) pack | xz >"$t" ;;
tar) pack >"$t" ;;
zip) command -v zip >/dev/null || { echo "the node has no zip" >&2; exit 127; }; rm -f "$t"; tr '\0' '\n' | zip -q -y -X -@ - >"$t" ;;
esac
mv -f "$t" "$3"
wc -c <"$3"
"#;

/// `$1` format, `$2` the file, `$3` what it becomes.
const COMPRESS: &str = r#"
t=$3.kdeploy.$$
trap 'rm -f "$t"' EXIT
set -e
case $1 in
gz) gzip -n <"$2" >"$t" ;;
bz2) bzip2 <"$2" >"$t" ;;
xz) xz <"$2" >"$t" ;;
tar) cat <"$2" >"$t" ;;
zip) command -v zip >/dev/null || { echo "the node has no zip" >&2; exit 127; }; rm -f "$t"; zip -q -j -X - "$2" >"$t" ;;
esac
mv -f "$t" "$3"
wc -c <"$3"
"#;

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The folder all of the paths lie in, with a final slash: `/etc/` for `/etc/passwd` and `/etc/ssh`.
fn common_root(paths: &[String]) -> String {
    let dirs: Vec<String> =
        paths.iter().map(|p| p.rfind('/').map_or_else(String::new, |i| p[..=i].to_owned())).collect();
    let Some(first) = dirs.first() else { return String::new() };
    let same = (0..=first.len())
        .rev()
        .find(|n| first.is_char_boundary(*n) && dirs.iter().all(|d| d.starts_with(&first[..*n])))
        .unwrap_or(0);
    first[..same].rfind('/').map_or_else(String::new, |i| first[..=i].to_owned())
}

impl Archive {
    fn expand(&self, world: &View, written: &[String]) -> Result<Vec<String>, Stop> {
        let mut found = vec![];
        for path in written {
            if !is_pattern(path) {
                found.push(path.clone());
                continue;
            }
            let argv = ["sh", "-c", GLOB, "sh", path].map(str::to_owned);
            let output = world.read(argv)?;
            found.extend(kit::text(&output.stdout).split('\0').filter(|p| !p.is_empty()).map(str::to_owned));
        }
        Ok(found)
    }

    fn is_out(&self, path: &str) -> bool {
        self.patterns.iter().any(|p| matches(p, path))
    }
}

impl Resource for Archive {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let expanded = self.expand(world, &self.paths)?;
        let excluded = self.expand(world, &self.exclude)?;
        let targets: Vec<&String> = expanded.iter().filter(|p| !excluded.contains(p)).collect();
        world.want(targets.iter().map(|p| Query::Stat { path: paths::clean(p), follow: false }));
        world.want(self.attributes.queries());
        let texts = |list: &[String]| Value::from(list.to_vec());
        let (mut missing, mut members, mut newest, mut unsure) = (vec![], vec![], f64::MIN, false);
        let mut folders = false;
        let root = common_root(&expanded);
        let mut see = |stat: &crate::world::Stat| {
            unsure |= stat.mtime.is_nan();
            newest = newest.max(stat.mtime);
        };
        for path in &targets {
            let clean = paths::clean(path);
            let Some(stat) = world.stat(&clean, false)? else {
                missing.push((*path).clone());
                continue;
            };
            if stat.kind == FileKind::Directory {
                folders = true;
                let mut out: Vec<String> = vec![];
                for entry in world.tree(&clean, None)?.iter() {
                    let full = format!("{}/{}", clean.trim_end_matches('/'), entry.path);
                    if Some(&full) == self.dest.as_ref() || out.iter().any(|dir| full.starts_with(dir)) {
                        continue;
                    }
                    if self.is_out(&full) {
                        out.push(format!("{full}/"));
                        continue;
                    }
                    see(&entry.stat);
                    members.push((full, entry.stat.kind == FileKind::Directory));
                }
            } else if !self.is_out(&clean) && Some(&clean) != self.dest.as_ref() {
                see(&stat);
                members.push((clean, false));
            }
        }
        let single = !folders && targets.len() == 1 && !self.force;
        let dest = match &self.dest {
            Some(dest) => dest.clone(),
            None if expanded.len() == 1 => {
                let ending = match (self.format.as_str(), single) {
                    ("tar" | "zip", _) | (_, true) => self.format.clone(),
                    (format, false) => format!("tar.{format}"),
                };
                format!("{}.{ending}", paths::clean(&expanded[0]))
            }
            None => return fail("Error, must specify dest when archiving multiple files or trees"),
        };
        let state = match (single, missing.is_empty()) {
            (true, _) => "compress",
            (false, true) => "archive",
            (false, false) => "incomplete",
        };
        let old = world.stat(&dest, true)?;
        let result = TaskResult::unchanged()
            .with("dest", dest.as_str())
            .with("arcroot", root.as_str())
            .with("missing", texts(&missing))
            .with("expanded_paths", texts(&expanded))
            .with("expanded_exclude_paths", texts(&excluded));
        let archived: Vec<String> = members.iter().map(|(p, _)| p.clone()).collect();
        if missing.len() == targets.len() {
            let state = if old.is_some() { "archive" } else { "absent" };
            return Ok(Verdict::Unchanged(result.with("archived", texts(&[])).with("dest_state", state)));
        }
        let result = result.with("archived", texts(&archived)).with("dest_state", state);
        if old.as_ref().is_some_and(|s| s.kind == FileKind::Directory) {
            return fail(format!("{dest} is a directory"));
        }
        let relative = |path: &str| path.strip_prefix(root.as_str()).unwrap_or(path).trim_start_matches('/').to_owned();
        let mut names: Vec<String> = members.iter().map(|(p, _)| relative(p)).collect();
        names.sort();
        let list: Vec<String> = if self.format == "zip" {
            vec!["unzip".to_owned(), "-l".to_owned(), dest.clone()]
        } else {
            vec!["tar".to_owned(), "-tf".to_owned(), dest.clone()]
        };
        let resolved = self.attributes.resolve(world)?;
        let same = match &old {
            Some(stat) if stat.mtime.is_nan() || (!unsure && stat.mtime >= newest) => {
                single || listed(&world.read(list.clone())?.text(), self.format == "zip") == names
            }
            _ => false,
        };
        let mut actions = vec![];
        let mut effects = vec![];
        let mut diffs = vec![];
        let mut stat = match &old {
            Some(stat) => stat.clone(),
            None => resolved.fresh(FileKind::File, UNKNOWN_SIZE),
        };
        if !same {
            let mut argv =
                ["sh", "-c", if single { COMPRESS } else { PACK }, "sh", &self.format].map(str::to_owned).to_vec();
            argv.push(if single { members.first().map(|m| m.0.clone()).unwrap_or_default() } else { root.clone() });
            argv.push(dest.clone());
            let stdin: Vec<u8> = names.iter().flat_map(|n| n.bytes().chain([0])).collect();
            actions.push(
                ExecSpec {
                    stdin: (!single).then_some(stdin),
                    env: self.task.environment.clone(),
                    ..ExecSpec::argv(argv)
                }
                .into_action(),
            );
            let before = if old.is_some() { format!("{dest}, as it is\n") } else { String::new() };
            diffs.push(kit::diff(&dest, before, names.iter().map(|n| format!("{n}\n")).collect::<String>()));
            // The new file takes the old one's place: it belongs to who makes it.
            stat = resolved.fresh(FileKind::File, UNKNOWN_SIZE);
            if !single {
                let shown: String = names
                    .iter()
                    .map(|n| if self.format == "zip" { format!("0 1980-01-01 00:00 {n}\n") } else { format!("{n}\n") })
                    .collect();
                let header = if self.format == "zip" { "---\n" } else { "" };
                let footer = header;
                effects.push(kit::effect(query(&list), said(0, format!("{header}{shown}{footer}"))));
            }
        }
        let fix = resolved.fix(&dest, &stat)?;
        if fix.is_needed() {
            if same {
                diffs.push(fix.diff(&dest));
            }
            actions.extend(fix.actions.iter().cloned());
            stat = fix.stat.clone();
        }
        if !actions.is_empty() {
            effects.extend(attributes::stat_effects(&dest, Some(&stat)));
        }
        let result = attributes::describe(result, &stat);
        if self.remove {
            for path in targets.iter().filter(|p| !missing.contains(p)) {
                let path = paths::clean(path);
                actions.push(Action::Remove { path: path.clone() });
                effects.extend(attributes::stat_effects(&path, None));
                diffs.push(kit::diff(&path, format!("{path}\n"), ""));
            }
        }
        if actions.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        let kind = if old.is_none() { ChangeKind::Create } else { ChangeKind::Change };
        Ok(Verdict::Change(Change {
            diff: diffs,
            result: TaskResult { changed: true, ..result },
            ..kit::change(kind, actions, effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        if let Some((message, output)) = kit::failure(done) {
            let said = output.error_text();
            let msg = if said.trim().is_empty() { message.to_owned() } else { said.trim().to_owned() };
            return Err(TaskResult { changed: false, ..change.result.clone() }.with("msg", msg));
        }
        let size = done.first().and_then(|d| kit::output_of(d).text().trim().parse::<i64>().ok());
        Ok(match size {
            Some(size) => change.result.clone().with("size", size),
            None => change.result.clone(),
        })
    }
}

/// The names an archive's listing has, in order, folders without their slash.
fn listed(text: &str, zip: bool) -> Vec<String> {
    let mut names: Vec<String> = if zip {
        let mut between = false;
        text.lines()
            .filter(|line| {
                if line.trim_start().starts_with("---") {
                    between = !between;
                    return false;
                }
                between
            })
            .filter_map(|line| {
                // Length, date, time; the name may hold blanks.
                let mut rest = line.trim_start();
                for _ in 0..3 {
                    rest = rest.split_once(' ')?.1.trim_start();
                }
                Some(rest.trim_end_matches('/').to_owned())
            })
            .collect()
    } else {
        text.lines().map(|l| l.trim_start_matches("./").trim_end_matches('/').to_owned()).collect()
    };
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_ansibles() {
        let root = |list: &[&str]| common_root(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(root(&["/a/b"]), "/a/");
        assert_eq!(root(&["/a/b/"]), "/a/b/");
        assert_eq!(root(&["/a/nope", "/a/d/a"]), "/a/");
        assert_eq!(root(&["/ab/c", "/ac/d"]), "/");
    }

    #[test]
    fn listings_are_read() {
        let text = "Archive:  d.zip\n  Length      Date    Time    Name\n---------  ---------- -----   ----\n        0  2026-11-24 17:06   empty/\n        2  2026-11-24 17:06   a b\n---------                     -------\n       28                     4 files\n";
        assert_eq!(listed(text, true), ["a b", "empty"]);
        assert_eq!(listed("./d/empty/\nd/a\n", false), ["d/a", "d/empty"]);
    }
}
