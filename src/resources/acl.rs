//! `acl`: access lists of files. The manual is doc/acl.md.

mod nfs4;

use std::sync::Arc;

use minijinja::Value;

use super::common::{diff, fail, invalid, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Done, Kind, Resource, ResourceType, Setting, TaskResult, Verdict,
};
use crate::node::ExecSpec;
use crate::problem::Problem;
use crate::world::{Answer, FileKind, Query, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["name"]),
    ArgSpec::new("state", Kind::Str, "whether the entry is there; `query` only reads")
        .default("query")
        .choices(&["absent", "present", "query"]),
    ArgSpec::new("entry", Kind::Str, "the whole entry, `user:joe:rw`"),
    ArgSpec::new("etype", Kind::Str, "the kind of entry").choices(&["group", "mask", "other", "user"]),
    ArgSpec::new("entity", Kind::Str, "the user or group").default(""),
    ArgSpec::new("permissions", Kind::Str, "any of r, w, x"),
    ArgSpec::new("default", Kind::Bool, "the entry that new files of the directory get").default("no"),
    ArgSpec::new("recursive", Kind::Bool, "everything below the directory too").default("no").aliases(&["recurse"]),
    ArgSpec::new("follow", Kind::Bool, "if the path is a link, what it points to").default("yes"),
    ArgSpec::new("recalculate_mask", Kind::Str, "whether the mask is computed anew")
        .default("default")
        .choices(&["default", "mask", "no_mask"]),
    ArgSpec::new("use_nfsv4_acls", Kind::Bool, "an NFSv4 access list, by nfs4_getfacl and nfs4_setfacl").default("no"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "acl",
    qualified: &["ansible.posix.acl"],
    doc: include_str!("doc/acl.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Acl {
    path: String,
    state: String,
    kind: String,
    entity: String,
    permissions: String,
    /// The entry as it was asked for: `user:joe:rw`.
    shown: String,
    default: bool,
    recursive: bool,
    follow: bool,
    mask: &'static [&'static str],
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    if args.flag("use_nfsv4_acls")? {
        return nfs4::build(args, setting);
    }
    let state = args.need("state")?;
    let mut default = args.flag("default")?;
    let mut kind = args.str("etype")?.unwrap_or_default();
    let mut entity = args.str("entity")?.unwrap_or_default();
    let mut permissions = args.str("permissions")?;
    if let Some(entry) = args.str("entry")? {
        if !kind.is_empty() || !entity.is_empty() || permissions.is_some() {
            return Err(invalid("'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set")
                .at(args.span("entry")));
        }
        let mut parts: Vec<&str> = entry.split(':').map(str::trim).collect();
        if matches!(parts.first(), Some(&"d" | &"default")) {
            default = true;
            parts.remove(0);
        }
        let wanted = if state == "present" { 3 } else { 2 };
        if parts.len() < 2 || parts.len() > 3 || (wanted == 3 && parts.len() != 3) {
            return Err(invalid(format!("`{entry}` is no entry like `user:joe:rw`")).at(args.span("entry")));
        }
        kind = match parts[0].chars().next() {
            Some('u') => "user",
            Some('g') => "group",
            Some('m') => "mask",
            Some('o') => "other",
            _ => return Err(invalid(format!("`{}` is no kind of entry", parts[0])).at(args.span("entry"))),
        }
        .to_owned();
        parts[1].clone_into(&mut entity);
        permissions = parts.get(2).map(|p| (*p).to_owned());
    }
    if state != "query" && kind.is_empty() {
        return Err(invalid("`etype` or `entry` is needed").at(args.task_span()));
    }
    if state == "present" && permissions.is_none() {
        return Err(invalid("`permissions` is needed with `state: present`").at(args.task_span()));
    }
    let shown = match (state.as_str(), &permissions) {
        ("present", Some(permissions)) => format!("{kind}:{entity}:{permissions}"),
        _ => format!("{kind}:{entity}"),
    };
    Ok(Arc::new(Acl {
        shown,
        path: paths::clean(&paths::need(args, "path", setting)?),
        permissions: canonical(permissions.as_deref().unwrap_or("")),
        recursive: args.flag("recursive")?,
        follow: args.flag("follow")?,
        mask: match args.need("recalculate_mask")?.as_str() {
            "mask" => &["--mask"],
            "no_mask" => &["--no-mask"],
            _ => &[],
        },
        state,
        kind,
        entity,
        default,
    }))
}

/// The lines of getfacl without its comments.
fn entries(text: &str) -> Vec<&str> {
    text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()).collect()
}

/// `rw` as `rw-`.
fn canonical(permissions: &str) -> String {
    "rwx".chars().map(|c| if permissions.contains(c) { c } else { '-' }).collect()
}

impl Acl {
    fn query(&self) -> Query {
        Query::Read { argv: self.getfacl() }
    }

    fn getfacl(&self) -> Vec<String> {
        let mut argv = vec!["getfacl", "--omit-header", "--absolute-names"];
        if self.recursive {
            argv.push("--recursive");
        }
        if self.default {
            argv.push("-d");
        }
        if !self.follow {
            argv.push("-P");
        }
        argv.extend(["--", &self.path]);
        argv.into_iter().map(str::to_owned).collect()
    }

    /// The entry without permissions.
    fn head(&self) -> String {
        format!("{}:{}:", self.kind, self.entity)
    }
}

impl Resource for Acl {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([Query::Stat { path: self.path.clone(), follow: true }, self.query()]);
        let Some(stat) = view.stat(&self.path, true)? else { return fail("Path not found or not accessible.") };
        if self.recursive && stat.kind != FileKind::Directory && self.default {
            return fail(format!("{} is no directory", self.path));
        }
        let Answer::Output(output) = view.ask(self.query())? else { return fail("getfacl gave no answer") };
        if output.rc != 0 {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return fail(if output.rc == 127 { "the node has no `getfacl` (package acl)".to_owned() } else { said });
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let entries = entries(&text);
        // Of a directory tree the lists of all files come one after the other, with empty lines between.
        let lists: Vec<Vec<&str>> = text.split("\n\n").map(self::entries).filter(|l| !l.is_empty()).collect();
        let shown: Vec<Value> = entries.iter().map(|e| Value::from(*e)).collect();
        let result = TaskResult::unchanged().with("acl", shown.clone());
        let head = self.head();
        let wanted = format!("{head}{}", self.permissions);
        let (done, option, message) = match self.state.as_str() {
            "present" => (
                !lists.is_empty() && lists.iter().all(|l| l.contains(&wanted.as_str())),
                "-m",
                format!("{} is present", self.shown),
            ),
            "absent" => (!entries.iter().any(|e| e.starts_with(&head)), "-x", format!("{} is absent", self.shown)),
            _ => return Ok(Verdict::Unchanged(result.with("msg", "current acl"))),
        };
        if done {
            return Ok(Verdict::Unchanged(result.with("msg", message)));
        }
        let mut argv: Vec<&str> = vec!["setfacl"];
        argv.extend(self.mask);
        if self.recursive {
            argv.push("--recursive");
        }
        if self.default {
            argv.push("-d");
        }
        if !self.follow {
            argv.push("-P");
        }
        let entry = if self.state == "present" { wanted.clone() } else { head.trim_end_matches(':').to_owned() };
        argv.extend([option, &entry, "--", &self.path]);
        let before: String = entries.iter().filter(|e| e.starts_with(&head)).map(|e| format!("{e}\n")).collect();
        let after = if self.state == "present" { format!("{wanted}\n") } else { String::new() };
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Change,
            diff: vec![diff::sizes(&self.path, &self.path, Some(before), after)],
            // The lists afterwards, for the result.
            actions: vec![ExecSpec::argv(argv).into_action(), ExecSpec::argv(self.getfacl()).into_action()],
            effects: vec![],
            opaque: true,
            result: TaskResult { changed: true, ..result }.with("msg", message),
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let result = super::concluded(change, done)?;
        let Some(Done::Ok(output)) = done.last() else { return Ok(result) };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(result.with("acl", entries(&text).into_iter().map(Value::from).collect::<Vec<_>>()))
    }
}
