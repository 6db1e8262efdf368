//! `authorized_key`: SSH keys a user lets in.

use std::sync::Arc;

use minijinja::Value;

use super::common::paths;
use super::edits::{self, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Download, Owner};
use crate::problem::Problem;
use crate::world::{Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "authorized_key",
    qualified: &["ansible.posix.authorized_key"],
    doc: include_str!("doc/authorized_key.md"),
    args: &[
        ArgSpec::new("user", Kind::Str, "Whose file").required(),
        ArgSpec::new("key", Kind::Str, "Keys, one a line, or the URL of such a text").required(),
        ArgSpec::new("path", Kind::Path, "The file, instead of ~/.ssh/authorized_keys"),
        ArgSpec::new("manage_dir", Kind::Bool, "Make and protect the directory").default("true"),
        ArgSpec::new("state", Kind::Str, "Whether they are there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("key_options", Kind::Str, "Options put before the keys"),
        ArgSpec::new("exclusive", Kind::Bool, "Remove all other keys").default("false"),
        ArgSpec::new("comment", Kind::Str, "Comment instead of the keys' own"),
        ArgSpec::new("follow", Kind::Bool, "Follow a symbolic link").default("false"),
        ArgSpec::new("validate_certs", Kind::Bool, "Check the URL's certificate").default("true"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

const KINDS: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// One line of an authorized_keys file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    options: String,
    kind: String,
    key: String,
    comment: String,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        // Options may hold blanks within quotes; the key's type ends them.
        let (mut quoted, mut word) = (false, 0);
        for (i, c) in line.char_indices().chain([(line.len(), ' ')]) {
            match c {
                '"' => quoted = !quoted,
                ' ' | '\t' if !quoted => {
                    if KINDS.contains(&&line[word..i]) {
                        let mut rest = line[i..].trim().splitn(2, [' ', '\t']);
                        return Some(Self {
                            options: line[..word].trim().to_owned(),
                            kind: line[word..i].to_owned(),
                            key: rest.next().unwrap_or_default().to_owned(),
                            comment: rest.next().unwrap_or_default().trim().to_owned(),
                        });
                    }
                    word = i + 1;
                }
                _ => {}
            }
        }
        None
    }

    fn line(&self) -> String {
        [&self.options, &self.kind, &self.key, &self.comment]
            .into_iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
            // As Ansible: a blank before the comment, also where there is none.
            + if self.comment.is_empty() { " " } else { "" }
    }
}

struct Keys {
    user: String,
    written: String,
    entries: Vec<Entry>,
    path: Option<String>,
    manage_dir: bool,
    present: bool,
    options: Option<String>,
    exclusive: bool,
    comment: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let written = args.need("key")?;
    let text = if written.starts_with("http://") || written.starts_with("https://") {
        let download = Download { validate_certs: args.flag("validate_certs")?, ..Download::of(written.clone()) };
        kit::text(&(setting.fetch)(&download)?)
    } else {
        written.clone()
    };
    let mut entries = vec![];
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')) {
        match Entry::parse(line) {
            Some(entry) => entries.push(entry),
            None => {
                return Err(Problem::new("invalid-argument", "a line of `key` is no SSH key")
                    .at(args.span("key"))
                    .help(format!("write `TYPE KEY [COMMENT]`; the types are {}", KINDS.join(", ")))
                    .into());
            }
        }
    }
    let task = Task::of(setting);
    Ok(Arc::new(Keys {
        user: args.need("user")?,
        written,
        entries,
        path: args.str("path")?.map(|p| task.path(&p)),
        manage_dir: args.flag("manage_dir")?,
        present: args.need("state")? == "present",
        options: args.str("key_options")?,
        exclusive: args.flag("exclusive")?,
        comment: args.str("comment")?,
        task,
    }))
}

impl Resource for Keys {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        world.want([Query::Account { name: self.user.clone() }]);
        let Some(account) = world.account(&self.user)? else {
            return Ok(kit::failed(format!("Failed to lookup user {}: no such user", self.user)));
        };
        let dir = format!("{}/.ssh", account.home.trim_end_matches('/'));
        let file = self.path.clone().unwrap_or_else(|| format!("{dir}/authorized_keys"));
        let old = edits::read(world, &file)?;
        let text = old.clone().unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let same =
            |line: &str, entry: &Entry| Entry::parse(line).is_some_and(|e| e.kind == entry.kind && e.key == entry.key);
        let wanted: Vec<Entry> = self
            .entries
            .iter()
            .map(|e| Entry {
                options: self.options.clone().unwrap_or_else(|| e.options.clone()),
                comment: self.comment.clone().unwrap_or_else(|| e.comment.clone()),
                ..e.clone()
            })
            .collect();
        for entry in &wanted {
            let at = lines.iter().position(|l| same(l, entry));
            match (self.present, at) {
                (true, Some(i)) => {
                    let now = Entry::parse(&lines[i]);
                    // Without options given, those that are there stay.
                    let mut entry = entry.clone();
                    if let (Some(now), None) = (&now, &self.options)
                        && entry.options.is_empty()
                    {
                        entry.options.clone_from(&now.options);
                    }
                    if now.as_ref() != Some(&entry) {
                        // A changed key moves to the end.
                        lines.remove(i);
                        lines.push(entry.line());
                    }
                }
                (true, None) => lines.push(entry.line()),
                (false, _) => lines.retain(|l| !same(l, entry)),
            }
        }
        if self.exclusive && self.present {
            // Comments go too, and the keys are in the order given.
            let there = |w: &Entry| lines.iter().find(|l| same(l, w)).cloned();
            let kept: Vec<String> = wanted.iter().filter_map(there).collect();
            if kept.len() != lines.len() || lines.iter().any(|l| !kept.contains(l)) {
                lines = kept;
            }
        }
        let result = TaskResult::unchanged()
            .with("user", self.user.as_str())
            .with("key", self.written.as_str())
            .with("keyfile", file.as_str())
            .with("path", self.path.as_deref().map_or(Value::from(()), Value::from))
            .with("state", if self.present { "present" } else { "absent" })
            .with("exclusive", self.exclusive)
            .with("manage_dir", self.manage_dir)
            .with("key_options", self.options.as_deref().map_or(Value::from(()), Value::from))
            .with("comment", self.comment.as_deref().map_or(Value::from(()), Value::from))
            .with("follow", false)
            .with("validate_certs", true);
        // As ansible's module tells what is at a path: only where `path` was given.
        let told = self.path.is_some();
        let with_stat = |result: TaskResult, stat: Option<&crate::world::Stat>| match stat.filter(|_| told) {
            Some(stat) => super::wait_for::with_stat(result, stat),
            None => result,
        };
        let there = world.stat(&file, true)?;
        if lines.iter().map(String::as_str).eq(text.lines()) {
            return Ok(Verdict::Unchanged(with_stat(result, there.as_ref())));
        }
        let own = Own {
            mode: 0o600,
            user: Some(account.uid.to_string())
                .filter(|_| account.uid != super::group::UNASSIGNED)
                .or(Some(self.user.clone())),
            group: Some(account.gid.to_string())
                .filter(|_| account.gid != super::group::UNASSIGNED)
                .or((!account.group.is_empty()).then(|| account.group.clone())),
        };
        let mut edit = edits::write(world, &self.task, &file, &own, Some(&edits::joined(&lines)))?;
        if let (Some(stat), Some(_)) = (&mut edit.stat, &there) {
            // Whatever the file's mode and owner were: after a change it is the user's and only theirs.
            (stat.mode, stat.uid, stat.gid) = (0o600, account.uid, account.gid);
            (stat.owner, stat.group) = (self.user.clone(), account.group.clone());
            let owner = Owner { user: own.user.clone(), group: own.group.clone() };
            edit.actions.push(Action::SetOwner { path: file.clone(), owner, recursive: false, follow: true });
            edit.actions.push(Action::SetMode { path: file.clone(), mode: 0o600, follow: true });
            edit.effects.extend(super::common::attributes::stat_effects(&file, Some(stat)));
        }
        if self.manage_dir && old.is_none() {
            // The directory is the user's and only theirs.
            let group = own.group.clone().unwrap_or_default();
            let dir = if self.path.is_some() { paths::dirname(&file).to_owned() } else { dir };
            let script = "chown -- \"$2:$3\" \"$1\" && chmod -- 700 \"$1\"";
            edit.actions.push(self.task.script(script, [dir.as_str(), &self.user, &group]));
        }
        let result = with_stat(result, edit.stat.as_ref());
        Ok(edit.verdict(result))
    }
}
