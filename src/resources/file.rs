//! `file`: files, directories, links and their attributes. The manual is doc/file.md.

mod links;
mod times;

use std::sync::Arc;

use super::common::attributes::{self, Attributes, COMMON, Fix, Resolved};
use super::common::{concat, diff, fail, invalid, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Diff, Kind, Resource, ResourceType, Setting, TaskResult, Verdict,
};
use crate::node::Action;
use crate::problem::Problem;
use crate::world::{Effect, FileKind, Query, Stat, Stop, View};
use times::Times;

const OWN: &[ArgSpec] =
    &[
        ArgSpec::new("path", Kind::Path, "the file that is managed").required().aliases(&["dest", "name"]),
        ArgSpec::new("state", Kind::Str, "what is to be there; by default what is there already, else `file`")
            .choices(&["absent", "directory", "file", "hard", "link", "touch"]),
        ArgSpec::new("src", Kind::Path, "what a link points to"),
        ArgSpec::new("recurse", Kind::Bool, "set owner, group and mode on everything below a directory too")
            .default("no"),
        ArgSpec::new("force", Kind::Bool, "make a link to nothing, or in place of a file or an empty directory")
            .default("no"),
        ArgSpec::new("follow", Kind::Bool, "if the path is a link, manage what it points to").default("yes"),
        ArgSpec::new("modification_time", Kind::Str, "`preserve`, `now`, or a time in the format below"),
        ArgSpec::new("modification_time_format", Kind::Str, "how `modification_time` is written")
            .default("%Y%m%d%H%M.%S"),
        ArgSpec::new("access_time", Kind::Str, "`preserve`, `now`, or a time in the format below"),
        ArgSpec::new("access_time_format", Kind::Str, "how `access_time` is written").default("%Y%m%d%H%M.%S"),
    ];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "file",
    qualified: &["ansible.builtin.file"],
    doc: include_str!("doc/file.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

#[derive(Debug)]
pub(super) struct File {
    path: String,
    state: Option<State>,
    src: Option<String>,
    recurse: bool,
    force: bool,
    follow: bool,
    attributes: Attributes,
    times: Times,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Directory,
    File,
    Hard,
    Link,
    Touch,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let path = paths::clean(&paths::need(args, "path", setting)?);
    let state = match args.str("state")?.as_deref() {
        None => None,
        Some("absent") => Some(State::Absent),
        Some("directory") => Some(State::Directory),
        Some("hard") => Some(State::Hard),
        Some("link") => Some(State::Link),
        Some("touch") => Some(State::Touch),
        Some(_) => Some(State::File),
    };
    // A link's target is kept as written: relative ones stay relative.
    let src = match args.str("src")?.filter(|s| !s.is_empty()) {
        Some(text) if text.starts_with(['~', '$']) || state == Some(State::Hard) => {
            Some(paths::expand_text(&text, setting)?)
        }
        other => other,
    };
    let recurse = args.flag("recurse")?;
    if recurse && !matches!(state, None | Some(State::Directory)) {
        return Err(invalid("`recurse` goes only with `state: directory`").at(args.span("recurse")));
    }
    if src.is_some() && !matches!(state, None | Some(State::Link | State::Hard)) {
        return Err(invalid("`src` goes only with `state: link` or `state: hard`").at(args.span("src")));
    }
    if state == Some(State::Absent) && path == "/" {
        return Err(invalid("`/` cannot be removed").at(args.span("path")));
    }
    Ok(Arc::new(File {
        times: Times::from_args(args, state == Some(State::Touch))?,
        attributes: Attributes::from_args(args, setting)?,
        force: args.flag("force")?,
        follow: args.flag("follow")?,
        path,
        state,
        src,
        recurse,
    }))
}

/// What is being collected on the way to a verdict.
#[derive(Debug, Default)]
pub(super) struct Work {
    actions: Vec<Action>,
    effects: Vec<Effect>,
    diff: Vec<Diff>,
    kind: Option<ChangeKind>,
}

impl Work {
    /// Adds what mends a file's attributes.
    fn mend(&mut self, path: &str, fix: Fix) {
        if fix.is_needed() {
            self.diff.push(fix.diff(path));
            self.effects.extend(attributes::stat_effects(path, Some(&fix.stat)));
            self.actions.extend(fix.actions);
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Action>, Vec<Effect>) {
        (self.actions, self.effects)
    }

    fn verdict(self, result: TaskResult) -> Verdict {
        if self.actions.is_empty() {
            return Verdict::Unchanged(result);
        }
        Verdict::Change(Change {
            kind: self.kind.unwrap_or(ChangeKind::Change),
            diff: self.diff,
            actions: self.actions,
            effects: self.effects,
            opaque: false,
            result: TaskResult { changed: true, ..result },
        })
    }
}

impl Resource for File {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let lstat = Query::Stat { path: self.path.clone(), follow: false };
        view.want([lstat, Query::Stat { path: self.path.clone(), follow: true }]);
        if self.state != Some(State::Absent) {
            view.want(self.attributes.queries());
            view.want(self.times.queries());
        }
        if let (Some(State::Directory), true) = (self.state, self.recurse) {
            view.want([Query::Tree { path: self.path.clone(), max_depth: None }]);
        }
        if let Some(State::Directory | State::Touch | State::File) | None = self.state {
            view.want(paths::components(&self.path).into_iter().map(|path| Query::Stat { path, follow: true }));
        }
        if let (Some(State::Hard | State::Link) | None, Some(target)) = (self.state, self.target()) {
            view.want([Query::Stat { path: target, follow: true }]);
        }
        let now = view.stat(&self.path, false)?;
        let state = self.state.unwrap_or(match (&now, self.recurse) {
            (None, true) => State::Directory,
            (None, false) => State::File,
            (Some(s), _) => match s.kind {
                FileKind::Directory => State::Directory,
                FileKind::Link => State::Link,
                _ => State::File,
            },
        });
        match state {
            State::Absent => self.absent(view, now),
            State::Directory => self.directory(view, now),
            State::File => self.file(view, now),
            State::Touch => self.touch(view, now),
            State::Link => self.link(view, now),
            State::Hard => self.hard(view, now),
        }
    }
}

impl File {
    fn absent(&self, view: &View, now: Option<Stat>) -> Result<Verdict, Stop> {
        let result = TaskResult::unchanged().with("path", self.path.as_str()).with("state", "absent");
        let Some(now) = now else { return Ok(Verdict::Unchanged(result)) };
        let mut before = format!("state: {}\n", kind_name(&now));
        if now.kind == FileKind::Directory {
            let tree = view.tree(&self.path, None)?;
            before.extend(tree.iter().take(100).map(|e| format!("{}\n", paths::join(&self.path, &e.path))));
            if tree.len() > 100 {
                before.push_str(&format!("… and {} more\n", tree.len() - 100));
            }
        }
        let work = Work {
            actions: vec![Action::Remove { path: self.path.clone() }],
            effects: attributes::gone_effects(&self.path),
            diff: vec![Diff {
                before_header: self.path.clone(),
                after_header: self.path.clone(),
                before,
                after: "state: absent\n".to_owned(),
            }],
            kind: Some(ChangeKind::Remove),
        };
        Ok(work.verdict(result))
    }

    /// The path that attributes go to: the end of the link if the path is one and `follow` is on.
    fn followed(&self, view: &View, now: Option<Stat>) -> Result<(String, Option<Stat>), Stop> {
        match now {
            Some(s) if s.kind == FileKind::Link && self.follow => {
                let end = view.stat(&self.path, true)?;
                let path = s.real.or_else(|| end.as_ref().and_then(|e| e.real.clone())).unwrap_or_else(|| {
                    let target = s.target.unwrap_or_default();
                    paths::clean(&paths::join(paths::dirname(&self.path), &target))
                });
                Ok((path, end))
            }
            now => Ok((self.path.clone(), now)),
        }
    }

    fn directory(&self, view: &View, now: Option<Stat>) -> Result<Verdict, Stop> {
        let (path, now) = self.followed(view, now)?;
        let resolved = self.attributes.resolve(view)?;
        let mut work = Work::default();
        let stat = match now {
            Some(now) if now.kind == FileKind::Directory => {
                let fix = resolved.fix(&path, &now)?;
                let mut stat = fix.stat.clone();
                work.mend(&path, fix);
                self.times.apply(view, &path, &mut stat, &mut work)?;
                if self.recurse {
                    let mut seen = vec![];
                    self.recurse_into(view, &resolved, &path, &mut seen, &mut work)?;
                }
                stat
            }
            Some(now) => return fail(format!("{path} already exists as a {}", kind_name(&now))),
            None => {
                let stat = make_dirs(view, &resolved, &path, &mut work)?;
                let shown = shown_attributes(&stat, &self.attributes);
                let mut after = vec![("state", "directory".to_owned())];
                after.extend(shown);
                work.diff.push(diff::attributes(&path, &[("state", "absent".to_owned())], &after));
                work.kind = Some(ChangeKind::Create);
                stat
            }
        };
        let result = TaskResult::unchanged().with("path", path);
        Ok(work.verdict(attributes::describe(result, &stat)))
    }

    /// Attributes of everything below a directory.
    fn recurse_into(
        &self,
        view: &View,
        resolved: &Resolved,
        dir: &str,
        seen: &mut Vec<String>,
        work: &mut Work,
    ) -> Result<(), Stop> {
        if seen.iter().any(|s| s == dir) {
            return Ok(());
        }
        seen.push(dir.to_owned());
        let tree = view.tree(dir, None)?;
        let links = tree.iter().filter(|e| e.stat.kind == FileKind::Link);
        if self.follow {
            view.want(
                links
                    .clone()
                    .flat_map(|e| [false, true].map(|follow| Query::Stat { path: paths::join(dir, &e.path), follow })),
            );
        }
        for entry in tree.iter() {
            let path = paths::join(dir, &entry.path);
            let fix = resolved.fix(&path, &entry.stat)?;
            let mut stat = fix.stat.clone();
            work.mend(&path, fix);
            if entry.stat.kind != FileKind::Link {
                self.times.apply(view, &path, &mut stat, work)?;
            }
        }
        if !self.follow {
            return Ok(());
        }
        for entry in links {
            let path = paths::join(dir, &entry.path);
            let Some(end) = view.stat(&path, true)? else { continue };
            let Some(real) = view.stat(&path, false)?.and_then(|s| s.real) else { continue };
            let within_tree = real.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
            if within_tree || seen.contains(&real) {
                continue;
            }
            if end.kind == FileKind::Directory {
                self.recurse_into(view, resolved, &real, seen, work)?;
            } else {
                seen.push(real.clone());
            }
            work.mend(&real, resolved.fix(&real, &end)?);
        }
        Ok(())
    }

    fn file(&self, view: &View, now: Option<Stat>) -> Result<Verdict, Stop> {
        let (path, now) = self.followed(view, now)?;
        let now = match now {
            None => return Ok(not_a_file(&path, "absent")),
            Some(s) if s.kind == FileKind::Directory => {
                return Ok(not_a_file(&path, "directory"));
            }
            Some(s) => s,
        };
        let resolved = self.attributes.resolve(view)?;
        let mut work = Work::default();
        let fix = resolved.fix(&path, &now)?;
        let mut stat = fix.stat.clone();
        work.mend(&path, fix);
        self.times.apply(view, &path, &mut stat, &mut work)?;
        Ok(work.verdict(attributes::describe(TaskResult::unchanged().with("path", path), &stat)))
    }

    fn touch(&self, view: &View, now: Option<Stat>) -> Result<Verdict, Stop> {
        let (path, now) = self.followed(view, now)?;
        let resolved = self.attributes.resolve(view)?;
        let mut work = Work::default();
        let mut stat = match now {
            Some(now) => {
                let fix = resolved.fix(&path, &now)?;
                let stat = fix.stat.clone();
                work.mend(&path, fix);
                stat
            }
            None => {
                if view.stat(paths::dirname(&path), true)?.is_none_or(|s| s.kind != FileKind::Directory) {
                    return fail(format!(
                        "Error, could not touch target: [Errno 2] No such file or directory: '{path}'"
                    ));
                }
                let fresh = resolved.fresh(FileKind::File, 0);
                work.actions.push(Action::Touch { path: path.clone(), access: None, modify: None });
                let fix = resolved.fix(&path, &fresh)?;
                let mut stat = resolved.applied(&fresh)?;
                stat.mtime = f64::NAN;
                work.actions.extend(fix.actions);
                work.effects.extend(attributes::stat_effects(&path, Some(&stat)));
                work.effects.push(Effect {
                    query: Query::Content { path: path.clone() },
                    answer: Ok(crate::world::Answer::Content(Some(Arc::default()))),
                });
                let mut after = vec![("state", "touch".to_owned())];
                after.extend(shown_attributes(&stat, &self.attributes));
                work.diff.push(diff::attributes(&path, &[("state", "absent".to_owned())], &after));
                work.kind = Some(ChangeKind::Create);
                stat
            }
        };
        self.times.apply(view, &path, &mut stat, &mut work)?;
        Ok(work.verdict(attributes::describe(TaskResult::unchanged().with("dest", self.path.as_str()), &stat)))
    }
}

/// The attributes a task names, as they will be: for the diff of something new.
fn shown_attributes(stat: &Stat, asked: &Attributes) -> Vec<(&'static str, String)> {
    let mut shown = vec![];
    if asked.owner.is_some() {
        shown.push(("owner", stat.owner.clone()));
    }
    if asked.group.is_some() {
        shown.push(("group", stat.group.clone()));
    }
    if asked.mode.is_some() {
        shown.push(("mode", attributes::octal(stat.mode)));
    }
    shown
}

/// Makes a directory and its missing parents, every one of them with the attributes. Returns the last one's stat.
pub(super) fn make_dirs(view: &View, resolved: &Resolved, path: &str, work: &mut Work) -> Result<Stat, Stop> {
    let mut last = None;
    let all = paths::components(path);
    view.want(all.iter().map(|path| Query::Stat { path: path.clone(), follow: true }));
    for dir in &all {
        if last.is_none() {
            match view.stat(dir, true)? {
                Some(s) if s.kind == FileKind::Directory => continue,
                Some(_) => {
                    return fail(format!(
                        "There was an issue creating {dir} as requested: [Errno 20] Not a directory: '{dir}'"
                    ));
                }
                None => {}
            }
        }
        let fresh = resolved.fresh(FileKind::Directory, 4096);
        let stat = resolved.applied(&fresh)?;
        work.actions.push(Action::MakeDir {
            path: dir.clone(),
            mode: resolved.mode.is_some().then_some(stat.mode),
            owner: resolved.owner(),
        });
        work.effects.extend(attributes::stat_effects(dir, Some(&stat)));
        last = Some(stat);
    }
    match last {
        Some(stat) => Ok(stat),
        None => view.stat(path, true)?.ok_or_else(|| Stop::Failed(format!("{path} is not there"))),
    }
}

/// What a path is, in Ansible's words.
pub(super) fn kind_name(stat: &Stat) -> &'static str {
    match stat.kind {
        FileKind::Directory => "directory",
        FileKind::Link => "link",
        _ if stat.links > 1 => "hard",
        _ => "file",
    }
}

/// The failure of `state: file` where there is none.
fn not_a_file(path: &str, state: &str) -> Verdict {
    Verdict::Failed(
        TaskResult::unchanged()
            .with("msg", format!("file ({path}) is {state}, cannot continue"))
            .with("path", path)
            .with("state", state),
    )
}
