//! `unarchive`: the members of an archive onto a node. The manual is doc/unarchive.md.
//!
//! An archive of the control machine is compared member by member with the node (stat and digest); one that is only on the node
//! is compared by the node's own tar.

mod on_node;
mod options;
mod transform;

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::Value;

use super::common::archive::{self, Format, Listing, Member, MemberKind};
use super::common::attributes::{self, Attributes, COMMON, Resolved};
use super::common::place::{self, Wanted};
use super::common::{concat, diff, fail, invalid, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, ModeSpec, Resource, ResourceType, Setting, TaskResult, Verdict,
};
use crate::node::{Action, Blob, Download, UnpackSource};
use crate::problem::Problem;
use crate::world::{Algorithm, Answer, Effect, FileKind, Query, Stat, Stop, View};
use options::Options;

const OWN: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "the archive, of the control machine; with `remote_src` of the node, or a URL")
        .required(),
    ArgSpec::new("dest", Kind::Path, "the folder it is unpacked in; it must be there").required(),
    ArgSpec::new("remote_src", Kind::Bool, "`src` is on the node").default("no"),
    ArgSpec::new("copy", Kind::Bool, "the opposite of `remote_src`").default("yes"),
    ArgSpec::new("creates", Kind::Path, "do nothing if this is there"),
    ArgSpec::new("list_files", Kind::Bool, "return the members' names").default("no"),
    ArgSpec::new("include", Kind::List, "only these members"),
    ArgSpec::new("exclude", Kind::List, "not these members"),
    ArgSpec::new(
        "extra_opts",
        Kind::List,
        "further options for tar: `--strip-components=N`, `--transform=…`, `--no-same-owner`, `--exclude=…`",
    ),
    ArgSpec::new("keep_newer", Kind::Bool, "keep files that are newer than the archive's").default("no"),
    ArgSpec::new("decrypt", Kind::Bool, "decrypt a vaulted archive").default("yes"),
    ArgSpec::new("validate_certs", Kind::Bool, "check the server's certificate of a URL").default("yes"),
    ArgSpec::new("io_buffer_size", Kind::Int, "accepted").default("65536"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "unarchive",
    qualified: &["ansible.builtin.unarchive"],
    doc: include_str!("doc/unarchive.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

pub(super) struct Unarchive {
    /// As written, for the result.
    src: String,
    source: Source,
    dest: String,
    creates: Option<String>,
    list_files: bool,
    options: Options,
    attributes: Attributes,
    as_root: bool,
}

enum Source {
    /// Bytes at hand; `zip` members are written one by one.
    Here {
        listing: Arc<Listing>,
        blob: Blob,
    },
    Node(String),
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let src = args.need("src")?;
    let remote = args.flag("remote_src")? || !args.bool("copy")?.unwrap_or(true);
    let unreadable = |what: &str, e: std::io::Error| {
        Stop::Invalid(
            Problem::new("unreadable-archive", format!("cannot read the archive `{what}`: {e}")).at(args.span("src")),
        )
    };
    let source = if remote && src.contains("://") {
        let bytes = Arc::new(
            (setting.fetch)(&Download {
                timeout: 60,
                validate_certs: args.bool("validate_certs")?.unwrap_or(true),
                ..Download::of(src.clone())
            })
            .map_err(|p| Stop::Failed(p.to_string()))?,
        );
        let listing = Arc::new(archive::list(&bytes).map_err(|e| unreadable(&src, e))?);
        Source::Here { listing, blob: Blob::Bytes(bytes) }
    } else if remote {
        Source::Node(paths::clean(&paths::expand_text(&src, setting)?))
    } else {
        let path = (setting.find_file)("files", &src).map_err(|p| p.or_at(args.span("src")))?;
        let listing = archive::list_file(&path).map_err(|p| p.or_at(args.span("src")))?;
        Source::Here { listing, blob: Blob::File(path) }
    };
    let attributes = Attributes::from_args(&args, setting)?;
    if attributes.preserves_mode() {
        return Err(invalid("`mode: preserve` has no meaning for `unarchive`").at(args.span("mode")).into());
    }
    let creates = paths::expand(&args, "creates", setting)?.map(|p| paths::clean(&p));
    let (include, exclude) = (args.list("include")?, args.list("exclude")?);
    if !include.is_empty() && !exclude.is_empty() {
        return Err(invalid("`include` and `exclude` exclude each other").at(args.span("exclude")).into());
    }
    let options = Options::parse(&args.list("extra_opts")?, include, exclude, args.flag("keep_newer")?)
        .map_err(|p| p.or_at(args.span("extra_opts")))?;
    Ok(Arc::new(Unarchive {
        as_root: matches!(setting.user.as_str(), "root" | ""),
        dest: paths::clean(&paths::need(&args, "dest", setting)?),
        list_files: args.flag("list_files")?,
        src,
        source,
        creates,
        options,
        attributes,
    }))
}

/// A member and where it goes.
struct Target<'a> {
    member: Cow<'a, Member>,
    path: String,
}

impl Resource for Unarchive {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([Query::Stat { path: self.dest.clone(), follow: true }]);
        view.want(self.attributes.queries());
        if let Some(creates) = &self.creates {
            view.want([Query::Stat { path: creates.clone(), follow: true }]);
        }
        match &self.source {
            Source::Here { listing, .. } => self.want_members(view, listing)?,
            Source::Node(path) => self.want_on_node(view, path),
        }
        if let Some(creates) = &self.creates
            && view.stat(creates, true)?.is_some()
        {
            let msg = format!("skipped, since {creates} exists");
            return Ok(Verdict::Skipped(TaskResult::unchanged().with("msg", msg)));
        }
        let dest = view.stat(&self.dest, true)?;
        let Some(dest) = dest.filter(|s| s.kind == FileKind::Directory) else {
            return fail(format!("dest '{}' must be an existing dir", self.dest));
        };
        match &self.source {
            Source::Here { listing, blob } => self.compare(view, listing, blob, None, &dest),
            Source::Node(path) => self.on_node(view, path, &dest),
        }
    }

    fn conclude(&self, change: &Change, done: &[crate::node::Done]) -> Result<TaskResult, TaskResult> {
        let failed = done.iter().find_map(|d| match d {
            crate::node::Done::Failed { message, output } => Some((message, output)),
            crate::node::Done::Ok(_) => None,
        });
        match failed {
            // What tar said although it went well: files it kept.
            None => match done.last() {
                Some(crate::node::Done::Ok(output)) if !output.stderr.is_empty() => {
                    let err = String::from_utf8_lossy(&output.stderr).into_owned();
                    Ok(change.result.clone().with("extract_results", extract_results(0, &err)))
                }
                _ => Ok(change.result.clone()),
            },
            Some((message, output)) => {
                let err = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(TaskResult { changed: false, ..change.result.clone() }
                    .with("extract_results", extract_results(output.rc, &err))
                    .with("msg", format!("failed to unpack {} to {}: {message}", self.src, self.dest)))
            }
        }
    }
}

fn extract_results(rc: i32, err: &str) -> Value {
    Value::from_pairs([
        ("cmd", Value::from(Vec::<Value>::new())),
        ("rc", Value::from(rc)),
        ("out", Value::from("")),
        ("err", Value::from(err)),
    ])
}

/// Ansible's name of what unpacks a format.
fn handler(format: Format) -> &'static str {
    match format {
        Format::TarGz => "TgzArchive",
        // GNU tar looks at the content itself, so this one is Ansible's first that fits.
        Format::Tar | Format::TarBz2 | Format::TarXz | Format::TarZstd => "TarArchive",
        Format::Zip => "ZipArchive",
    }
}

impl Unarchive {
    /// The selected members and their places. `Err` if one would land outside of `dest`.
    fn targets<'a>(&self, listing: &'a Listing) -> Result<Vec<Target<'a>>, Stop> {
        let mut all = vec![];
        for member in &listing.members {
            let Some(relative) = self.options.place(&member.shown) else { continue };
            if relative.starts_with('/') || relative.split('/').any(|part| part == "..") {
                return fail(format!("the archive's member {} would land outside of {}", member.shown, self.dest));
            }
            let member =
                if self.options.renames() { Cow::Owned(self.options.renamed(member)) } else { Cow::Borrowed(member) };
            all.push(Target { member, path: paths::clean(&paths::join(&self.dest, &relative)) });
        }
        Ok(all)
    }

    fn want_members(&self, view: &View, listing: &Listing) -> Result<(), Stop> {
        for target in self.targets(listing)? {
            view.want(self.owner_queries(&target.member));
            view.want([Query::Stat { path: target.path.clone(), follow: false }]);
            if matches!(target.member.kind, MemberKind::File { .. } | MemberKind::Hard(_)) {
                view.want([Query::Digest { path: target.path.clone(), algorithm: Algorithm::Sha1 }]);
            }
            for dir in self.between(&target.path) {
                view.want([Query::Stat { path: dir, follow: true }]);
            }
        }
        Ok(())
    }

    /// Who a member will belong to is decided by the names the archive gives, if the node knows them.
    fn owner_queries(&self, member: &Member) -> Vec<Query> {
        let mut all = vec![];
        if self.keeps_owner() && !member.is_zip() {
            if self.attributes.owner.is_none() && !matches!(member.user.as_str(), "" | "root") {
                all.push(Query::Account { name: member.user.clone() });
            }
            if self.attributes.group.is_none() && !matches!(member.group.as_str(), "" | "root") {
                all.push(Query::Group { name: member.group.clone() });
            }
        }
        all
    }

    /// Numbers and names of a member's owner and group on the node.
    fn owner_on_node(&self, view: &View, member: &Member) -> Result<((u32, String), (u32, String)), Stop> {
        let by_number = |id: u32| (id, if id == 0 { "root".to_owned() } else { String::new() });
        let (mut user, mut group) = (by_number(member.uid), by_number(member.gid));
        for query in self.owner_queries(member) {
            match view.ask(query) {
                Ok(Answer::Account(Some(account))) => user = (account.uid, account.name),
                Ok(Answer::Group(Some(entry))) => group = (entry.gid, entry.name),
                Err(Stop::Needs) => return Err(Stop::Needs),
                _ => {}
            }
        }
        if member.user == "root" {
            user = by_number(0);
        }
        if member.group == "root" {
            group = by_number(0);
        }
        Ok((user, group))
    }

    /// Folders below `dest` on the way to a path.
    fn between(&self, path: &str) -> Vec<String> {
        let mut dirs = paths::components(paths::dirname(path));
        dirs.retain(|dir| dir.len() > self.dest.len());
        dirs
    }

    /// `on_node`: the archive is (or will be) at this path of the node; else it is sent along.
    fn compare(
        &self,
        view: &View,
        listing: &Listing,
        blob: &Blob,
        on_node: Option<&str>,
        dest: &Stat,
    ) -> Result<Verdict, Stop> {
        let targets = self.targets(listing)?;
        let resolved = self.attributes.resolve(view)?;
        let mut different: Vec<(&Target, Option<Stat>)> = vec![];
        let mut fixes = vec![];
        for target in &targets {
            let stat = view.stat(&target.path, false)?;
            if !self.is_there(view, &resolved, target, stat.as_ref(), &targets)? {
                different.push((target, stat));
            } else if let Some(stat) = stat {
                let fix = resolved.fix(&target.path, &stat)?;
                if fix.is_needed() {
                    fixes.push((target.path.clone(), fix));
                }
            }
        }
        let mut result = TaskResult::unchanged()
            .with("src", self.src.as_str())
            .with("dest", self.dest.as_str())
            .with("handler", handler(listing.format));
        if self.list_files {
            let names: Vec<Value> = targets.iter().map(|t| Value::from(t.member.shown.as_str())).collect();
            result = result.with("files", Value::from(names));
        }
        if different.is_empty() && fixes.is_empty() {
            return Ok(Verdict::Unchanged(attributes::describe(result, dest)));
        }
        let mut actions = vec![];
        let mut effects = vec![];
        let mut diffs = vec![];
        let mut dest = dest.clone();
        if different.is_empty() {
            for (path, fix) in fixes {
                diffs.push(fix.diff(&path));
                effects.extend(attributes::stat_effects(&path, Some(&fix.stat)));
                if path == self.dest {
                    dest = fix.stat.clone();
                }
                actions.extend(fix.actions);
            }
        } else {
            diffs.push(match on_node {
                Some(archive) => {
                    let names: Vec<&str> = different.iter().map(|(t, _)| t.path.as_str()).collect();
                    self.names_diff(archive, &names)
                }
                None => self.diff(&different),
            });
            let zip = listing.format == Format::Zip;
            // A zip goes file by file, only what differs; tar unpacks all of its members.
            let written: Vec<&Target> =
                if zip { different.iter().map(|(t, _)| *t).collect() } else { targets.iter().collect() };
            let mut made: Vec<String> = vec![];
            for target in &written {
                for dir in self.between(&target.path) {
                    if made.contains(&dir) || view.stat(&dir, true)?.is_some() {
                        continue;
                    }
                    let fresh = resolved.with_mode(None).applied(&resolved.fresh(FileKind::Directory, 4096))?;
                    effects.extend(attributes::stat_effects(&dir, Some(&fresh)));
                    if zip {
                        actions.push(Action::MakeDir { path: dir.clone(), mode: None, owner: resolved.owner() });
                    }
                    made.push(dir);
                }
                if matches!(target.member.kind, MemberKind::Dir) {
                    made.push(target.path.clone());
                }
                let old = view.stat(&target.path, false)?;
                let stat = self.stat_after(view, &resolved, target, old.as_ref(), &targets)?;
                if target.path == self.dest {
                    dest = stat.clone();
                }
                effects.extend(self.effects_of(target, &stat, &targets));
                if let (true, Some(old)) = (zip, &old)
                    && old.kind != stat.kind
                {
                    actions.push(Action::Remove { path: target.path.clone() });
                }
            }
            if zip {
                actions.extend(self.zip_actions(blob, &written, &resolved, view)?);
            } else {
                let source = match on_node {
                    Some(path) => UnpackSource::OnNode(path.to_owned()),
                    None => UnpackSource::Sent(blob.clone()),
                };
                let selected: Vec<String> = targets.iter().map(|t| listed_name(&t.member)).collect();
                actions.push(self.unpack(source, &selected));
            }
            result = result.with("extract_results", extract_results(0, ""));
        }
        Ok(Verdict::Change(Change {
            kind: if different.iter().all(|(_, old)| old.is_none()) && !different.is_empty() {
                ChangeKind::Create
            } else {
                ChangeKind::Change
            },
            diff: diffs,
            actions,
            effects,
            opaque: false,
            result: TaskResult { changed: true, ..attributes::describe(result, &dest) },
        }))
    }

    /// `selected`: the names of the members that are wanted, where some are left out.
    fn unpack(&self, source: UnpackSource, selected: &[String]) -> Action {
        let (mut include, mut options) = (self.options.include.clone(), self.options.for_tar());
        // A command line holds so many.
        if include.is_empty() && !self.options.exclude.is_empty() && selected.len() < 2000 {
            include = selected.to_vec();
            // A folder stands for itself, not for all that is in it.
            options.push("--no-recursion".to_owned());
        }
        Action::Unpack {
            source,
            dest: self.dest.clone(),
            options,
            include,
            exclude: self.options.exclude.clone(),
            keep_owner: self.keeps_owner(),
            owner: crate::node::Owner { user: self.attributes.owner.clone(), group: self.attributes.group.clone() },
            mode: self.attributes.mode.as_ref().map(|mode| match mode {
                ModeSpec::Octal(mode) => attributes::octal(*mode),
                ModeSpec::Symbolic(text) => text.clone(),
            }),
        }
    }

    /// Root keeps the archive's owners; others cannot.
    fn keeps_owner(&self) -> bool {
        self.as_root && self.options.same_owner
    }

    /// The mode tar gives a member.
    fn mode_of(&self, member: &Member, resolved: &Resolved) -> u32 {
        match member.kind {
            MemberKind::Link(_) => 0o777,
            MemberKind::Dir if member.mode.is_none() => 0o777 & !resolved.umask,
            _ => match member.mode {
                None => 0o666 & !resolved.umask,
                Some(mode) if self.as_root => mode,
                Some(mode) => mode & 0o777 & !resolved.umask,
            },
        }
    }

    fn is_there(
        &self,
        view: &View,
        resolved: &Resolved,
        target: &Target,
        stat: Option<&Stat>,
        targets: &[Target],
    ) -> Result<bool, Stop> {
        let Some(stat) = stat else { return Ok(false) };
        let member = &*target.member;
        let kind = match &member.kind {
            MemberKind::Dir => FileKind::Directory,
            MemberKind::Link(_) => FileKind::Link,
            MemberKind::File { .. } | MemberKind::Hard(_) => FileKind::File,
        };
        // A link to a folder stands for the folder.
        if kind == FileKind::Directory && stat.kind == FileKind::Link {
            return Ok(view.stat(&target.path, true)?.is_some_and(|s| s.kind == FileKind::Directory));
        }
        if stat.kind != kind {
            return Ok(false);
        }
        if self.options.keep_newer && stat.mtime > member.mtime {
            return Ok(true);
        }
        match &member.kind {
            MemberKind::Link(to) => return Ok(stat.target.as_ref() == Some(to)),
            MemberKind::Dir => {}
            MemberKind::File { size, sha1 } => {
                if stat.size != *size || view.digest(&target.path, Algorithm::Sha1)?.as_ref() != Some(sha1) {
                    return Ok(false);
                }
            }
            MemberKind::Hard(_) => {
                let Some((_, sha1)) = content_of(member, targets) else { return Ok(true) };
                if view.digest(&target.path, Algorithm::Sha1)?.as_deref() != Some(sha1) {
                    return Ok(false);
                }
            }
        }
        if self.attributes.mode.is_none() && member.mode.is_some() && stat.mode != self.mode_of(member, resolved) {
            return Ok(false);
        }
        let owner_counts = self.keeps_owner() && member.mode.is_some() && !member.is_zip();
        if !owner_counts {
            return Ok(true);
        }
        let ((uid, _), (gid, _)) = self.owner_on_node(view, member)?;
        Ok((self.attributes.owner.is_some() || stat.uid == uid) && (self.attributes.group.is_some() || stat.gid == gid))
    }

    fn stat_after(
        &self,
        view: &View,
        resolved: &Resolved,
        target: &Target,
        old: Option<&Stat>,
        targets: &[Target],
    ) -> Result<Stat, Stop> {
        let member = &*target.member;
        let mut stat = match &member.kind {
            MemberKind::Dir => resolved.fresh(FileKind::Directory, 4096),
            MemberKind::Link(to) => {
                Stat { target: Some(to.clone()), ..resolved.fresh(FileKind::Link, to.len() as u64) }
            }
            MemberKind::File { size, .. } => resolved.fresh(FileKind::File, *size),
            MemberKind::Hard(_) => {
                Stat { links: 2, ..resolved.fresh(FileKind::File, content_of(member, targets).map_or(0, |(n, _)| n)) }
            }
        };
        if let (Some(old), MemberKind::Dir) = (old, &member.kind) {
            stat = old.clone();
        }
        stat.mode = self.mode_of(member, resolved);
        if self.keeps_owner() && !member.is_zip() {
            ((stat.uid, stat.owner), (stat.gid, stat.group)) = self.owner_on_node(view, member)?;
        }
        resolved.applied(&stat)
    }

    fn effects_of(&self, target: &Target, stat: &Stat, targets: &[Target]) -> Vec<Effect> {
        match &target.member.kind {
            MemberKind::Dir => attributes::stat_effects(&target.path, Some(stat)),
            MemberKind::Link(_) => vec![Effect {
                query: Query::Stat { path: target.path.clone(), follow: false },
                answer: Ok(Answer::Stat(Some(stat.clone()))),
            }],
            MemberKind::File { .. } | MemberKind::Hard(_) => {
                let digests = content_of(&target.member, targets)
                    .map(|(_, sha1)| (Algorithm::Sha1, sha1.to_owned()))
                    .into_iter()
                    .collect();
                let wanted = Wanted {
                    blob: Blob::Bytes(Arc::default()),
                    size: Some(stat.size),
                    bytes: None,
                    digests,
                    secret: false,
                };
                place::written_effects(&target.path, stat, &wanted)
            }
        }
    }

    /// Writes the members of a zip one by one: nodes rarely have unzip.
    fn zip_actions(
        &self,
        blob: &Blob,
        written: &[&Target],
        resolved: &Resolved,
        view: &View,
    ) -> Result<Vec<Action>, Stop> {
        let bytes = match blob {
            Blob::Bytes(bytes) => bytes.clone(),
            Blob::File(path) => Arc::new(std::fs::read(path).map_err(|e| Stop::Failed(e.to_string()))?),
            Blob::Download(_) => unreachable!("archives are read before they are compared"),
        };
        let content = archive::zip_members(&bytes).map_err(|e| Stop::Failed(e.to_string()))?;
        let mut actions = vec![];
        for target in written {
            let path = target.path.clone();
            let stat = self.stat_after(view, resolved, target, None, &[])?;
            match &target.member.kind {
                MemberKind::Dir => {
                    if view.stat(&path, true)?.is_none() {
                        actions.push(Action::MakeDir { path, mode: Some(stat.mode), owner: resolved.owner() });
                    } else {
                        actions.push(Action::SetMode { path, mode: stat.mode, follow: true });
                    }
                }
                MemberKind::Link(to) => actions.push(Action::Symlink { path, target: to.clone() }),
                MemberKind::File { .. } | MemberKind::Hard(_) => {
                    let bytes = content.iter().find(|(m, _)| m.path == target.member.path).map(|(_, b)| b.clone());
                    actions.push(Action::WriteFile {
                        path,
                        content: Blob::Bytes(Arc::new(bytes.unwrap_or_default())),
                        mode: Some(stat.mode),
                        owner: resolved.owner(),
                        validate: None,
                        backup: None,
                    });
                }
            }
        }
        Ok(actions)
    }

    fn diff(&self, different: &[(&Target, Option<Stat>)]) -> super::Diff {
        let (mut before, mut after) = (String::new(), String::new());
        for (target, old) in different.iter().take(200) {
            if let Some(old) = old {
                before.push_str(&format!("{} ({}, {} bytes)\n", target.path, attributes::octal(old.mode), old.size));
            }
            let size = match &target.member.kind {
                MemberKind::File { size, .. } => format!("{size} bytes"),
                MemberKind::Dir => "folder".to_owned(),
                MemberKind::Link(to) => format!("link to {to}"),
                MemberKind::Hard(to) => format!("same as {to}"),
            };
            after.push_str(&format!("{} ({size})\n", target.path));
        }
        if different.len() > 200 {
            after.push_str(&format!("… and {} more\n", different.len() - 200));
        }
        diff::sizes(&self.dest, &self.src, Some(before), after)
    }
}

/// A member's name as tar takes it; a folder ends in a slash.
fn listed_name(member: &Member) -> String {
    match member.kind {
        MemberKind::Dir => format!("{}/", member.shown.trim_end_matches('/')),
        _ => member.shown.clone(),
    }
}

/// Size and SHA-1 of a member's content; a hard link has that of the member it names.
fn content_of<'a>(member: &'a Member, targets: &'a [Target]) -> Option<(u64, &'a str)> {
    let mut member = member;
    for _ in 0..16 {
        match &member.kind {
            MemberKind::File { size, sha1 } => return Some((*size, sha1)),
            MemberKind::Hard(to) => member = targets.iter().map(|t| &*t.member).find(|m| m.path == *to)?,
            MemberKind::Dir | MemberKind::Link(_) => return None,
        }
    }
    None
}
