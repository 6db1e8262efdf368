//! Owner, group and mode of files: arguments, comparison, the actions that mend them, and what holds afterwards.
//!
//! Also makes predicted [`Stat`]s. Figures that nobody can foretell (times, inode) are NaN or 0 there, sizes and ids
//! [`UNKNOWN_SIZE`] and [`UNKNOWN_ID`]; results show them as unknown.

use minijinja::Value;

use super::{diff, invalid, mode};
use crate::node::{Action, Owner};
use crate::problem::Problem;
use crate::resources::{ArgSpec, Args, Diff, Kind, ModeSpec, Setting, TaskResult};
use crate::template::Unknown;
use crate::world::{Answer, Effect, FileKind, Query, Stat, Stop, View};

/// An id that is known only afterwards (of a user that is yet to be made).
pub const UNKNOWN_ID: u32 = u32::MAX;
/// A size that is known only afterwards (of a file that is yet to be downloaded).
pub const UNKNOWN_SIZE: u64 = u64::MAX;

/// The arguments every resource that makes files has.
pub const COMMON: &[ArgSpec] = &[
    ArgSpec::new("mode", Kind::Mode, "permissions, octal (`\"0644\"`) or symbolic (`u=rw,g=r`)"),
    ArgSpec::new("owner", Kind::Str, "the owner's name or number"),
    ArgSpec::new("group", Kind::Str, "the group's name or number"),
    ArgSpec::new("attributes", Kind::Str, "flags as for `chattr`: letters, after `+`, `-` or `=` (the default)")
        .aliases(&["attr"]),
    ArgSpec::new("seuser", Kind::Str, "SELinux user, where SELinux is on"),
    ArgSpec::new("serole", Kind::Str, "SELinux role, where SELinux is on"),
    ArgSpec::new("setype", Kind::Str, "SELinux type, where SELinux is on"),
    ArgSpec::new("selevel", Kind::Str, "SELinux level, where SELinux is on"),
    ArgSpec::new("unsafe_writes", Kind::Bool, "accepted; files are always written atomically").default("no"),
];

/// What a task asks of a file's owner, group and mode.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    pub mode: Option<ModeSpec>,
    pub owner: Option<String>,
    pub group: Option<String>,
    /// Whom new files belong to: the user the task runs as.
    pub user: String,
}

impl Attributes {
    pub fn from_args(args: &Args, setting: &Setting) -> Result<Self, Problem> {
        let mode = args.mode("mode")?;
        if let Some(ModeSpec::Symbolic(text)) = &mode
            && text != "preserve"
        {
            mode::check(text).map_err(|why| {
                invalid(why.to_string()).at(args.span("mode")).help("write the mode as `\"0644\"` or as `u=rw,g=r,o=r`")
            })?;
        }
        let text = |name| -> Result<Option<String>, Problem> { Ok(args.str(name)?.filter(|t| !t.is_empty())) };
        Ok(Self { mode, owner: text("owner")?, group: text("group")?, user: setting.user.clone() })
    }

    /// `mode: preserve`: the mode the source has.
    pub fn preserves_mode(&self) -> bool {
        matches!(&self.mode, Some(ModeSpec::Symbolic(t)) if t == "preserve")
    }

    /// The same attributes with another mode.
    pub fn with_mode(&self, mode: Option<ModeSpec>) -> Self {
        Self { mode, ..self.clone() }
    }

    /// What [`Self::resolve`] asks; to be wanted beside a resource's other first questions.
    pub fn queries(&self) -> Vec<Query> {
        let mut all = vec![];
        for name in [self.owner.as_deref(), Some(self.user.as_str())].into_iter().flatten() {
            match name.parse::<u32>() {
                Ok(0) => {}
                Ok(id) => all.push(name_query("passwd", id)),
                Err(_) if name == "root" || name.is_empty() => {}
                Err(_) => all.push(Query::Account { name: name.to_owned() }),
            }
        }
        if let Some(name) = &self.group {
            match name.parse::<u32>() {
                Ok(0) => {}
                Ok(id) => all.push(name_query("group", id)),
                Err(_) if name == "root" => {}
                Err(_) => all.push(Query::Group { name: name.clone() }),
            }
        }
        if !matches!(self.mode, Some(ModeSpec::Octal(_))) {
            all.push(umask_query());
        }
        all
    }

    /// Looks names and the umask up.
    pub fn resolve(&self, view: &View) -> Result<Resolved, Stop> {
        view.want(self.queries());
        let owner = self.owner.as_deref().map(|name| user(view, name)).transpose();
        let group = self.group.as_deref().map(|name| group(view, name)).transpose();
        let own = own_ids(view, &self.user);
        let umask = if matches!(self.mode, Some(ModeSpec::Octal(_))) { Ok(0o022) } else { umask(view) };
        Ok(Resolved { mode: self.mode.clone(), owner: owner?, group: group?, own: own?, umask: umask? })
    }
}

/// The question for the name behind a number.
fn name_query(database: &str, id: u32) -> Query {
    Query::entry(database, id)
}

/// The name behind a number; the number itself if it has none.
fn name_of(view: &View, database: &str, id: u32) -> Result<String, Stop> {
    let Answer::Output(output) = view.ask(name_query(database, id))? else { return Ok(String::new()) };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split(':').next().filter(|_| output.rc == 0).unwrap_or_default().trim().to_owned())
}

/// The question for the umask new files are made under.
pub fn umask_query() -> Query {
    Query::Read { argv: ["sh", "-c", "umask"].map(str::to_owned).to_vec() }
}

fn umask(view: &View) -> Result<u32, Stop> {
    let Answer::Output(output) = view.ask(umask_query())? else { return Ok(0o022) };
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(u32::from_str_radix(text.trim(), 8).unwrap_or(0o022))
}

/// A user or group: what was asked for, and both its name and number as far as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub asked: String,
    pub id: u32,
    pub name: String,
    by_number: bool,
}

impl Who {
    fn matches(&self, id: u32, name: &str) -> bool {
        if self.by_number { self.id == id } else { self.name == name || (self.id == id && id != UNKNOWN_ID) }
    }
}

fn user(view: &View, name: &str) -> Result<Who, Stop> {
    if let Some(who) = without_asking(name) {
        return named_who(view, "passwd", who);
    }
    let id = match view.account(name) {
        Ok(Some(account)) => account.uid,
        Ok(None) => return Err(Stop::Failed(format!("chown failed: failed to look up user {name}"))),
        // Made by an earlier step: its number will be known afterwards.
        Err(Stop::Unknown(_)) => UNKNOWN_ID,
        Err(other) => return Err(other),
    };
    Ok(Who { asked: name.to_owned(), id, name: name.to_owned(), by_number: false })
}

fn group(view: &View, name: &str) -> Result<Who, Stop> {
    if let Some(who) = without_asking(name) {
        return named_who(view, "group", who);
    }
    let id = match view.group(name) {
        Ok(Some(group)) => group.gid,
        Ok(None) => return Err(Stop::Failed(format!("chgrp failed: failed to look up group {name}"))),
        Err(Stop::Unknown(_)) => UNKNOWN_ID,
        Err(other) => return Err(other),
    };
    Ok(Who { asked: name.to_owned(), id, name: name.to_owned(), by_number: false })
}

fn named_who(view: &View, database: &str, who: Who) -> Result<Who, Stop> {
    if who.id == 0 {
        return Ok(who);
    }
    Ok(Who { name: name_of(view, database, who.id)?, ..who })
}

fn without_asking(name: &str) -> Option<Who> {
    if name == "root" {
        return Some(Who { asked: name.to_owned(), id: 0, name: name.to_owned(), by_number: false });
    }
    let id = name.parse::<u32>().ok()?;
    let known = if id == 0 { "root".to_owned() } else { name.to_owned() };
    Some(Who { asked: name.to_owned(), id, name: known, by_number: true })
}

/// Number and names of the user a task runs as.
fn own_ids(view: &View, user: &str) -> Result<(Who, Who), Stop> {
    let root = without_asking("root").into_iter().next();
    if let (Some(root), true) = (root, user.is_empty() || user == "root") {
        return Ok((root.clone(), root));
    }
    let account = match view.account(user) {
        Ok(account) => account,
        Err(Stop::Unknown(_)) => None,
        Err(other) => return Err(other),
    };
    let (uid, gid, group) = account.map_or((UNKNOWN_ID, UNKNOWN_ID, String::new()), |a| (a.uid, a.gid, a.group));
    let who = |id, name: &str| Who { asked: name.to_owned(), id, name: name.to_owned(), by_number: false };
    Ok((who(uid, user), who(gid, &group)))
}

/// [`Attributes`] with names looked up.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub mode: Option<ModeSpec>,
    pub owner: Option<Who>,
    pub group: Option<Who>,
    own: (Who, Who),
    pub umask: u32,
}

/// What differs on one file and what mends it.
#[derive(Debug, Clone)]
pub struct Fix {
    pub before: Vec<(&'static str, String)>,
    pub after: Vec<(&'static str, String)>,
    pub actions: Vec<Action>,
    /// The file's stat afterwards.
    pub stat: Stat,
}

impl Fix {
    pub fn is_needed(&self) -> bool {
        !self.actions.is_empty()
    }

    pub fn diff(&self, path: &str) -> Diff {
        diff::attributes(path, &self.before, &self.after)
    }
}

impl Resolved {
    /// The same with another mode.
    pub fn with_mode(&self, mode: Option<ModeSpec>) -> Self {
        Self { mode, ..self.clone() }
    }

    /// The mode a file of this stat is to have; its own if none is asked for.
    pub fn mode_on(&self, stat: &Stat) -> Result<u32, Stop> {
        match &self.mode {
            None => Ok(stat.mode),
            // A symbolic link's own mode cannot be set.
            Some(_) if stat.kind == FileKind::Link => Ok(stat.mode),
            Some(ModeSpec::Octal(mode)) => Ok(*mode),
            Some(ModeSpec::Symbolic(text)) => {
                mode::evaluate(text, stat.mode, stat.kind == FileKind::Directory, self.umask).map_err(Stop::Failed)
            }
        }
    }

    /// The owner as an action takes it.
    pub fn owner(&self) -> Owner {
        Owner {
            user: self.owner.as_ref().map(|w| w.asked.clone()),
            group: self.group.as_ref().map(|w| w.asked.clone()),
        }
    }

    /// The owner with the task's user in place of what is not asked for.
    pub fn whole_owner(&self) -> Owner {
        let or = |asked: Option<String>, own: &Who| asked.or_else(|| Some(own.name.clone()).filter(|n| !n.is_empty()));
        let asked = self.owner();
        Owner { user: or(asked.user, &self.own.0), group: or(asked.group, &self.own.1) }
    }

    /// The stat of something newly made, before the attributes are set on it.
    pub fn fresh(&self, kind: FileKind, size: u64) -> Stat {
        let mode = match kind {
            FileKind::Directory => 0o777 & !self.umask,
            FileKind::Link => 0o777,
            _ => 0o666 & !self.umask,
        };
        Stat {
            kind,
            mode,
            uid: self.own.0.id,
            gid: self.own.1.id,
            owner: self.own.0.name.clone(),
            group: self.own.1.name.clone(),
            size,
            mtime: f64::NAN,
            atime: f64::NAN,
            ctime: f64::NAN,
            inode: 0,
            device: 0,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            target: None,
            real: None,
        }
    }

    /// A stat with these attributes set.
    pub fn applied(&self, stat: &Stat) -> Result<Stat, Stop> {
        let mut after = stat.clone();
        after.mode = self.mode_on(stat)?;
        if let Some(who) = &self.owner
            && !who.matches(stat.uid, &stat.owner)
        {
            (after.uid, after.owner) = (who.id, who.name.clone());
        }
        if let Some(who) = &self.group
            && !who.matches(stat.gid, &stat.group)
        {
            (after.gid, after.group) = (who.id, who.name.clone());
        }
        Ok(after)
    }

    /// What has to be done so that the file at `path` has these attributes.
    pub fn fix(&self, path: &str, stat: &Stat) -> Result<Fix, Stop> {
        let mut after = self.applied(stat)?;
        let mut fix = Fix { before: vec![], after: vec![], actions: vec![], stat: stat.clone() };
        let user_differs = after.uid != stat.uid || after.owner != stat.owner;
        let group_differs = after.gid != stat.gid || after.group != stat.group;
        if user_differs || group_differs {
            if user_differs {
                fix.before.push(("owner", named(stat.uid, &stat.owner)));
                fix.after.push(("owner", named(after.uid, &after.owner)));
            }
            if group_differs {
                fix.before.push(("group", named(stat.gid, &stat.group)));
                fix.after.push(("group", named(after.gid, &after.group)));
            }
            let owner = self.owner();
            fix.actions.push(Action::SetOwner {
                path: path.to_owned(),
                owner: Owner {
                    user: owner.user.filter(|_| user_differs),
                    group: owner.group.filter(|_| group_differs),
                },
                recursive: false,
                follow: false,
            });
        }
        // The kernel takes the set-id bits of a file away when its owner changes.
        let lost = if fix.actions.is_empty() || stat.kind != FileKind::File { 0 } else { stat.mode & 0o6000 };
        if self.mode.is_none() {
            after.mode &= !lost;
        } else if after.mode != stat.mode & !lost {
            if after.mode != stat.mode {
                fix.before.push(("mode", octal(stat.mode)));
                fix.after.push(("mode", octal(after.mode)));
            }
            fix.actions.push(Action::SetMode { path: path.to_owned(), mode: after.mode, follow: false });
        }
        if fix.is_needed() {
            after.ctime = f64::NAN;
            fix.stat = after;
        }
        Ok(fix)
    }
}

/// A mode as Ansible shows it: a zero and at least three digits.
pub fn octal(mode: u32) -> String {
    format!("0{mode:03o}")
}

fn named(id: u32, name: &str) -> String {
    if name.is_empty() { id.to_string() } else { name.to_owned() }
}

/// The stat of a path as effects: with and without following, unless it is a link.
pub fn stat_effects(path: &str, stat: Option<&Stat>) -> Vec<Effect> {
    let ways: &[bool] = if stat.is_some_and(|s| s.kind == FileKind::Link) { &[false] } else { &[false, true] };
    ways.iter()
        .map(|follow| Effect {
            query: Query::Stat { path: path.to_owned(), follow: *follow },
            answer: Ok(Answer::Stat(stat.cloned())),
        })
        .collect()
}

/// Everything that says nothing is there any more.
pub fn gone_effects(path: &str) -> Vec<Effect> {
    stat_effects(path, None)
}

/// A value that is known only after the run.
pub fn unknown() -> Value {
    unknown_cause().into_value()
}

pub fn unknown_cause() -> Unknown {
    Unknown::after_this_step()
}

/// The keys Ansible adds to the result of every file resource.
pub fn describe(result: TaskResult, stat: &Stat) -> TaskResult {
    let state = match stat.kind {
        FileKind::Directory => "directory",
        FileKind::Link => "link",
        _ if stat.links > 1 => "hard",
        _ => "file",
    };
    let id = |id: u32| if id == UNKNOWN_ID { unknown() } else { Value::from(id) };
    result
        .with("uid", id(stat.uid))
        .with("gid", id(stat.gid))
        .with("owner", named(stat.uid, &stat.owner))
        .with("group", named(stat.gid, &stat.group))
        .with("mode", octal(stat.mode))
        .with("state", state)
        .with("size", if stat.size == UNKNOWN_SIZE { unknown() } else { Value::from(stat.size) })
}
