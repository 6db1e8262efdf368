//! `user`: accounts of the node.

mod create;
mod keys;
mod password;

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::Value;

use super::group::{ENTRY, UNASSIGNED, failed_tool, field, has_shadow_tools, number, shadow_tools, shown};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Done, Owner};
use crate::template::Unknown;
use crate::world::{Account, Answer, Effect, FileKind, GroupEntry, Query, Stat, Stop, View};

const DOC: &str = "\
# user

Makes accounts, changes them, removes them.

Only what is given is compared. `password` is a hash (`password_hash` filter) and travels on standard input, never on a command line.

## Return values

- `name`, `state`, `home`, `shell`, `comment` (text), `uid`, `group` (int), `groups` (text), `system`, `create_home`, `append`, `move_home` (bool)
- `ssh_key_file`, `ssh_public_key`, `ssh_fingerprint` (text) with `generate_ssh_key`
- `force`, `remove` (bool) of a removal

## Examples

    - user:
        name: kube
        group: kube
        groups: [systemd-journal]
        append: true
        system: true
        shell: /usr/sbin/nologin
        create_home: false

    - user:
        name: guest
        state: absent
        remove: true

## Differences from Ansible

`local` has no effect of its own; `login_class`, `profile`, `role`, `authorization` and `hidden` have none on Linux, with Ansible too. On a node with only busybox an existing account's number, home, shell and comment \
cannot be changed.
";

pub static TYPE: ResourceType = ResourceType {
    name: "user",
    qualified: &["ansible.builtin.user"],
    doc: DOC,
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the account").aliases(&["user"]).required(),
        ArgSpec::new("uid", Kind::Int, "Its number"),
        ArgSpec::new("comment", Kind::Str, "Full name or purpose"),
        ArgSpec::new("hidden", Kind::Bool, "macOS only"),
        ArgSpec::new("non_unique", Kind::Bool, "Allow a number that is in use").default("false"),
        ArgSpec::new("seuser", Kind::Str, "SELinux user"),
        ArgSpec::new("group", Kind::Str, "Primary group"),
        ArgSpec::new("groups", Kind::List, "Further groups; empty: none"),
        ArgSpec::new("append", Kind::Bool, "Keep groups that are not in the list").default("false"),
        ArgSpec::new("shell", Kind::Str, "Login shell"),
        ArgSpec::new("home", Kind::Path, "Home directory"),
        ArgSpec::new("skeleton", Kind::Str, "Directory copied into a new home"),
        ArgSpec::new("password", Kind::Str, "Hash of the password; `*` or `!`: none"),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("create_home", Kind::Bool, "Make the home directory").aliases(&["createhome"]).default("true"),
        ArgSpec::new("move_home", Kind::Bool, "Move the home directory's content to a new home").default("false"),
        ArgSpec::new("system", Kind::Bool, "A new account takes a number of the system's range").default("false"),
        ArgSpec::new("force", Kind::Bool, "Remove it even if it is logged in").default("false"),
        ArgSpec::new("remove", Kind::Bool, "Remove home and mail too").default("false"),
        ArgSpec::new("login_class", Kind::Str, "BSD only"),
        ArgSpec::new("generate_ssh_key", Kind::Bool, "Make an SSH key pair, never replacing one").default("false"),
        ArgSpec::new("ssh_key_bits", Kind::Int, "Size of the key"),
        ArgSpec::new("ssh_key_type", Kind::Str, "Type of the key").default("rsa"),
        ArgSpec::new("ssh_key_file", Kind::Path, "Its file, relative to the home directory"),
        ArgSpec::new("ssh_key_comment", Kind::Str, "Its comment"),
        ArgSpec::new("ssh_key_passphrase", Kind::Str, "Its passphrase"),
        ArgSpec::new("update_password", Kind::Str, "Change the password of an existing account")
            .default("always")
            .choices(&["always", "on_create"]),
        ArgSpec::new("expires", Kind::Float, "When the account expires, seconds since the epoch; negative: never"),
        ArgSpec::new("password_lock", Kind::Bool, "Lock the password"),
        ArgSpec::new("local", Kind::Bool, "Accepted, without effect").default("false"),
        ArgSpec::new("profile", Kind::Str, "Solaris only"),
        ArgSpec::new("authorization", Kind::Str, "Solaris only"),
        ArgSpec::new("role", Kind::Str, "Solaris only"),
        ArgSpec::new("password_expire_max", Kind::Int, "Days a password is valid"),
        ArgSpec::new("password_expire_min", Kind::Int, "Days before it may be changed"),
        ArgSpec::new("password_expire_warn", Kind::Int, "Days of warning before it expires"),
        ArgSpec::new("password_expire_account_disable", Kind::Int, "Days until the account is disabled after that"),
        ArgSpec::new("umask", Kind::Str, "Of a new home directory"),
        ArgSpec::new("uid_min", Kind::Int, "Smallest number to take"),
        ArgSpec::new("uid_max", Kind::Int, "Largest number to take"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct User {
    name: String,
    uid: Option<u32>,
    comment: Option<String>,
    non_unique: bool,
    group: Option<String>,
    /// `Some(empty)`: in no further group.
    groups: Option<Vec<String>>,
    append: bool,
    shell: Option<String>,
    home: Option<String>,
    skeleton: Option<String>,
    password: Option<String>,
    update_password: bool,
    password_lock: Option<bool>,
    present: bool,
    create_home: bool,
    move_home: bool,
    system: bool,
    force: bool,
    remove: bool,
    key: Option<Key>,
    /// Days since the epoch; `Some(None)`: never.
    expires: Option<Option<i64>>,
    /// chage's option, the line of `chage -l`, the wanted days.
    ageing: Vec<(&'static str, &'static str, i64)>,
    /// Days after the password's end until the account is closed.
    inactive: Option<i64>,
    extra: Vec<String>,
    task: Task,
}

/// Makes a key pair and shows it: directory, owner, comment, type, file, bits. The default comment names the host.
const MAKE_KEY: &str = r#"
umask 077
[ -d "$1" ] || { mkdir -p -- "$1" && chown -- "$2:" "$1"; } || exit
[ -n "$3" ] || set -- "$1" "$2" "ansible-generated on $(uname -n)" "$4" "$5" "$6"
if [ -n "$KDEPLOY_PASSPHRASE" ]; then
  # It is asked for by a program, as it must not stand on a command line.
  ask=$(mktemp) && printf '#!/bin/sh\nprintf "%%s\\n" "$KDEPLOY_PASSPHRASE"\n' >"$ask" && chmod 700 "$ask" || exit
  SSH_ASKPASS=$ask SSH_ASKPASS_REQUIRE=force DISPLAY=${DISPLAY:-:0} setsid ssh-keygen -q -t "$4" ${6:+-b "$6"} -C "$3" -f "$5" </dev/null >/dev/null
  rc=$?; rm -f -- "$ask"; [ $rc = 0 ] || exit $rc
else
  ssh-keygen -q -t "$4" ${6:+-b "$6"} -N '' -C "$3" -f "$5" </dev/null || exit
fi
chmod 644 -- "$5.pub" && chown -- "$2:" "$5" "$5.pub" && ssh-keygen -lf "$5" && cat -- "$5.pub"
"#;

struct Key {
    kind: String,
    bits: Option<i64>,
    file: Option<String>,
    comment: Option<String>,
    passphrase: Option<String>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let expires = args.float("expires")?.map(|seconds| {
        #[expect(clippy::cast_possible_truncation, reason = "a date in days fits")]
        (seconds >= 0.0).then(|| (seconds / 86400.0).floor() as i64)
    });
    let mut ageing = vec![];
    for (name, option, line) in [
        ("password_expire_max", "-M", "Maximum number of days"),
        ("password_expire_min", "-m", "Minimum number of days"),
        ("password_expire_warn", "-W", "Number of days of warning"),
    ] {
        if let Some(days) = args.int(name)? {
            ageing.push((option, line, days));
        }
    }
    let mut extra = vec![];
    if let Some(user) = args.str("seuser")? {
        extra.extend(["-Z".to_owned(), user]);
    }
    if let Some(umask) = args.str("umask")? {
        extra.extend(["-K".to_owned(), format!("UMASK={umask}")]);
    }
    for (name, key) in [("uid_min", "UID_MIN"), ("uid_max", "UID_MAX")] {
        if let Some(n) = args.int(name)? {
            extra.extend(["-K".to_owned(), format!("{key}={n}")]);
        }
    }
    let inactive = args.int("password_expire_account_disable")?;
    let password = args.str("password")?;
    if password.as_ref().is_some_and(|p| p.contains([':', '\n'])) {
        let hidden = Value::from("(hidden)");
        return Err(args.wrong("password", "a hash without colons and newlines", &hidden).into());
    }
    let groups = args.given("groups").then(|| args.list("groups")).transpose()?;
    Ok(Arc::new(User {
        name: args.need("name")?,
        uid: number(&args, "uid")?,
        comment: args.str("comment")?,
        non_unique: args.flag("non_unique")?,
        group: args.str("group")?.filter(|g| !g.is_empty()),
        groups: groups.map(|list| list.into_iter().filter(|g| !g.is_empty()).collect()),
        append: args.flag("append")?,
        shell: args.str("shell")?,
        home: args.str("home")?.map(|h| task.path(&h)),
        skeleton: args.str("skeleton")?,
        password,
        update_password: args.need("update_password")? == "always",
        password_lock: args.bool("password_lock")?,
        present: args.need("state")? == "present",
        create_home: args.flag("create_home")?,
        move_home: args.flag("move_home")?,
        system: args.flag("system")?,
        force: args.flag("force")?,
        remove: args.flag("remove")?,
        key: if args.flag("generate_ssh_key")? {
            Some(Key {
                kind: args.need("ssh_key_type")?,
                bits: args.int("ssh_key_bits")?,
                file: args.str("ssh_key_file")?,
                comment: args.str("ssh_key_comment")?,
                passphrase: args.str("ssh_key_passphrase")?.filter(|p| !p.is_empty()),
            })
        } else {
            None
        },
        expires,
        ageing,
        inactive,
        extra,
        task,
    }))
}

/// A day as `YYYY-MM-DD`.
fn date(days: i64) -> String {
    jiff::Timestamp::from_second(days.saturating_mul(86400))
        .map_or_else(|_| days.to_string(), |t| t.strftime("%Y-%m-%d").to_string())
}

/// What one account's change comes to.
#[derive(Default)]
struct Work {
    actions: Vec<Action>,
    lines: Vec<(&'static str, String, String)>,
    effects: Vec<Effect>,
    /// A home directory is made: its skeleton's files are not predicted.
    home_made: bool,
}

impl User {
    fn account_query(&self) -> Query {
        Query::Account { name: self.name.clone() }
    }

    fn remove(&self, world: &View, before: Option<Account>) -> Result<Verdict, Stop> {
        let result = TaskResult::unchanged().with("name", self.name.as_str()).with("state", "absent");
        let Some(account) = before else { return Ok(Verdict::Unchanged(result)) };
        let shadow = shadow_tools(world)?;
        let mut argv = vec![if shadow { "userdel" } else { "deluser" }];
        if self.force && shadow {
            argv.push("-f");
        }
        if self.remove {
            argv.push(if shadow { "-r" } else { "--remove-home" });
        }
        argv.push(&self.name);
        let mut effects = vec![kit::effect(self.account_query(), Answer::Account(None))];
        if account.group == self.name {
            effects.push(kit::effect(Query::Group { name: self.name.clone() }, Answer::Group(None)));
        }
        if self.remove {
            for follow in [false, true] {
                effects.push(kit::effect(Query::Stat { path: account.home.clone(), follow }, Answer::Stat(None)));
            }
        }
        let before = format!("uid: {}\nhome: {}\n", shown(account.uid), account.home);
        Ok(Verdict::Change(Change {
            diff: vec![kit::diff(&format!("user {}", self.name), before, "")],
            result: TaskResult { changed: true, ..result }.with("force", self.force).with("remove", self.remove),
            ..kit::change(ChangeKind::Remove, vec![self.task.exec(argv)], effects)
        }))
    }

    /// Groups that must be there; by name, or by number.
    fn check_groups(&self, world: &View) -> Result<Option<Verdict>, Stop> {
        let wanted: Vec<&String> = self.group.iter().chain(self.groups.iter().flatten()).collect();
        world.want(wanted.iter().map(|g| Query::Group { name: (*g).clone() }));
        for group in wanted {
            if world.group(group)?.is_none() {
                return Ok(Some(kit::failed(format!("Group {group} does not exist"))));
            }
        }
        Ok(None)
    }

    fn gid_of(&self, world: &View, group: &str) -> Result<u32, Stop> {
        Ok(world.group(group)?.map_or(UNASSIGNED, |g| g.gid))
    }

    fn modify(&self, world: &View, before: &Account) -> Result<(Account, Work), Stop> {
        let mut after = before.clone();
        let mut work = Work::default();
        let mut argv: Vec<String> = vec![];
        let mut option = |flag: &str, value: &str| argv.extend([flag.to_owned(), value.to_owned()]);
        if let Some(uid) = self.uid.filter(|u| *u != before.uid && before.uid != UNASSIGNED) {
            option("-u", &uid.to_string());
            if self.non_unique {
                option("-o", "");
            }
            work.lines.push(("uid", before.uid.to_string(), uid.to_string()));
            after.uid = uid;
        }
        if let Some(group) = &self.group {
            let by_number = group.parse::<u32>().ok() == Some(before.gid);
            if *group != before.group && !by_number {
                option("-g", group);
                work.lines.push(("group", before.group.clone(), group.clone()));
                after.group.clone_from(group);
                after.gid = self.gid_of(world, group)?;
            }
        }
        let mut group_changes: Vec<(bool, String)> = vec![];
        if let Some(wanted) = &self.groups {
            let has: BTreeSet<String> = before.groups.iter().cloned().collect();
            // The primary group counts as being in it.
            let mut target: BTreeSet<String> = wanted.iter().filter(|g| **g != after.group).cloned().collect();
            if self.append {
                target.extend(has.iter().cloned());
            }
            if target != has {
                let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
                group_changes.extend(target.difference(&has).map(|g| (true, g.clone())));
                group_changes.extend(has.difference(&target).map(|g| (false, g.clone())));
                option("-G", &join(&target));
                work.lines.push(("groups", join(&has), join(&target)));
                after.groups = target.into_iter().collect();
            }
        }
        if let Some(comment) = self.comment.as_ref().filter(|c| **c != before.comment) {
            option("-c", comment);
            work.lines.push(("comment", before.comment.clone(), comment.clone()));
            after.comment.clone_from(comment);
        }
        if let Some(home) = self.home.as_ref().filter(|h| **h != before.home) {
            option("-d", home);
            if self.move_home {
                option("-m", "");
            }
            work.lines.push(("home", before.home.clone(), home.clone()));
            after.home.clone_from(home);
        }
        // A predicted account that took the default shell has none to compare with.
        if let Some(shell) = self.shell.as_ref().filter(|s| **s != before.shell) {
            option("-s", shell);
            work.lines.push(("shell", before.shell.clone(), shell.clone()));
            after.shell.clone_from(shell);
        }
        if let Some(expires) = self.expires.filter(|e| *e != before.expires) {
            let show = |days: Option<i64>| days.map_or("never".to_owned(), date);
            option("-e", &expires.map(date).unwrap_or_default());
            work.lines.push(("expires", show(before.expires), show(expires)));
            after.expires = expires;
        }
        if !argv.is_empty() {
            if shadow_tools(world)? {
                // `-o` and `-m` are flags: they were put in with an empty value.
                let mut full = vec!["usermod".to_owned()];
                let mut words = argv.into_iter();
                while let (Some(flag), Some(value)) = (words.next(), words.next()) {
                    let is_flag = matches!(flag.as_str(), "-o" | "-m");
                    full.push(flag);
                    if !is_flag {
                        full.push(value);
                    }
                }
                full.push(self.name.clone());
                work.actions.push(self.task.exec(full));
            } else if work.lines.iter().all(|(what, ..)| *what == "groups") {
                for (add, group) in &group_changes {
                    let tool = if *add { "addgroup" } else { "delgroup" };
                    work.actions.push(self.task.exec([tool, self.name.as_str(), group.as_str()]));
                }
            } else {
                return Err(Stop::Failed(format!(
                    "the {} of user `{}` cannot be changed: the node has no usermod",
                    work.lines[0].0, self.name
                )));
            }
        }
        self.modify_password(before, &mut after, &mut work)?;
        Ok((after, work))
    }

    fn result(&self, account: &Account, created: bool) -> TaskResult {
        let id = |n: u32| match n {
            UNASSIGNED => Unknown::after_step(format!("user {}", self.name)).into_value(),
            n => Value::from(n),
        };
        let mut result = TaskResult::unchanged()
            .with("name", self.name.as_str())
            .with("state", "present")
            .with("uid", id(account.uid))
            .with("group", id(account.gid))
            .with("comment", account.comment.as_str())
            .with("home", account.home.as_str())
            .with("shell", account.shell.as_str());
        if let Some(groups) = &self.groups {
            result = result.with("groups", groups.join(","));
        }
        if self.password.is_some() {
            result = result.with("password", "NOT_LOGGING_PASSWORD");
        }
        if created {
            result.with("system", self.system).with("create_home", self.create_home)
        } else {
            result.with("append", self.append).with("move_home", self.move_home)
        }
    }
}

impl Resource for User {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        world.want([self.account_query(), has_shadow_tools()]);
        if self.present {
            let home = self.home.clone().unwrap_or_else(|| format!("/home/{}", self.name));
            world.want(self.group.iter().chain(self.groups.iter().flatten()).map(|g| Query::Group { name: g.clone() }));
            if self.create_home {
                world.want([Query::Stat { path: home, follow: true }]);
            }
        }
        let before = world.account(&self.name)?;
        if !self.present {
            return self.remove(world, before);
        }
        if let Some(failed) = self.check_groups(world)? {
            return Ok(failed);
        }
        let created = before.is_none();
        let (after, mut work) = match &before {
            None => self.create(world)?,
            Some(account) => self.modify(world, account)?,
        };
        self.age(world, !created, &mut work)?;
        self.close(world, !created, &mut work)?;
        if let Some(account) = &before
            && self.create_home
            && !(self.move_home && after.home != account.home)
        {
            world.want([Query::Stat { path: after.home.clone(), follow: true }]);
            if world.stat(&after.home, true)?.is_none() {
                let skeleton = self.skeleton.as_deref().unwrap_or("/etc/skel");
                let script = "mkdir -p -- \"$1\" && { [ ! -d \"$2\" ] || cp -R -- \"$2/.\" \"$1/\"; } && chown -R -- \"$3:$4\" \"$1\"";
                let owner = Owner { user: Some(self.name.clone()), group: Some(after.group.clone()) };
                let group = owner.group.filter(|g| !g.is_empty()).unwrap_or_else(|| after.gid.to_string());
                work.actions.push(self.task.script(script, [after.home.as_str(), skeleton, &self.name, &group]));
                work.lines.push(("home directory", "missing".to_owned(), after.home.clone()));
                self.predict_home(&after, &mut work);
            }
        }
        let result = self.keys(world, &after, &mut work, self.result(&after, created))?;
        if work.actions.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        if created {
            work.actions.push(self.task.script(ENTRY, ["passwd", &self.name]));
        }
        work.effects.push(kit::effect(self.account_query(), Answer::Account(Some(after))));
        Ok(Verdict::Change(Change {
            diff: vec![kit::diff_of_attributes(&format!("user {}", self.name), &work.lines)],
            opaque: work.home_made,
            result: TaskResult { changed: true, ..result },
            ..kit::change(if created { ChangeKind::Create } else { ChangeKind::Change }, work.actions, work.effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        if let Some((message, output)) = kit::failure(done) {
            return Err(failed_tool(&self.name, message, output));
        }
        let mut result = change.result.clone();
        if change.kind == ChangeKind::Remove
            && let Some(said) = done.last().map(|d| kit::output_of(d).error_text()).filter(|said| !said.is_empty())
        {
            result = result.with("stderr", said);
        }
        if change.kind == ChangeKind::Create
            && let Some(line) = done.last().map(|d| kit::output_of(d).text())
        {
            let text = |i: usize| line.trim().split(':').nth(i).unwrap_or_default().to_owned();
            if let (Some(uid), Some(gid)) = (field(&line, 2), field(&line, 3)) {
                result = result
                    .with("uid", uid)
                    .with("group", gid)
                    .with("comment", text(4))
                    .with("home", text(5))
                    .with("shell", text(6));
            }
        }
        if result.values.get("ssh_public_key").is_some_and(|v| Unknown::of(v).is_some()) {
            let made = done.iter().rev().map(|d| kit::output_of(d).text()).find(|t| t.lines().count() == 2);
            if let Some((print, public)) = made.as_deref().and_then(|t| t.trim().split_once('\n')) {
                result = result.with("ssh_fingerprint", print).with("ssh_public_key", public.trim());
            }
        }
        Ok(result)
    }
}
