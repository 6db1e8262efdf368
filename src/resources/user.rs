//! `user`: accounts of the node.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::Value;

use super::group::{ENTRY, UNASSIGNED, failed_tool, field, has_shadow_tools, number, shadow_tools, shown};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Command, Done, ExecSpec, Owner};
use crate::problem::Problem;
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

`local` has no effect of its own. `ssh_key_passphrase`, `seuser`, `login_class`, `profile`, `role`, `authorization`, `hidden` and \
`password_expire_account_disable` are not supported yet. On a node with only busybox an existing account's number, home, shell and comment \
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
    build,
};

struct User {
    name: String,
    uid: Option<u32>,
    comment: Option<String>,
    non_unique: bool,
    group: Option<String>,
    /// `Some(empty)`: in no further group.
    groups: Option<BTreeSet<String>>,
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
    extra: Vec<String>,
    task: Task,
}

/// Makes a key pair and shows it: directory, owner, comment, type, file, bits. The default comment names the host.
const MAKE_KEY: &str = r#"
umask 077
[ -d "$1" ] || { mkdir -p -- "$1" && chown -- "$2:" "$1"; } || exit
[ -n "$3" ] || set -- "$1" "$2" "ansible-generated on $(uname -n)" "$4" "$5" "$6"
ssh-keygen -q -t "$4" ${6:+-b "$6"} -N '' -C "$3" -f "$5" </dev/null || exit
chown -- "$2:" "$5" "$5.pub" && ssh-keygen -lf "$5" && cat -- "$5.pub"
"#;

struct Key {
    kind: String,
    bits: Option<i64>,
    file: Option<String>,
    comment: Option<String>,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    for name in [
        "hidden",
        "seuser",
        "login_class",
        "profile",
        "authorization",
        "role",
        "ssh_key_passphrase",
        "password_expire_account_disable",
    ] {
        if args.given(name) {
            return Err(Problem::unsupported(format!("`{name}` of `user`")).at(args.span(name)).into());
        }
    }
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
    if let Some(umask) = args.str("umask")? {
        extra.extend(["-K".to_owned(), format!("UMASK={umask}")]);
    }
    for (name, key) in [("uid_min", "UID_MIN"), ("uid_max", "UID_MAX")] {
        if let Some(n) = args.int(name)? {
            extra.extend(["-K".to_owned(), format!("{key}={n}")]);
        }
    }
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
            })
        } else {
            None
        },
        expires,
        ageing,
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

    fn create(&self, world: &View) -> Result<(Account, Work), Stop> {
        let shadow = shadow_tools(world)?;
        let own_group = Query::Group { name: self.name.clone() };
        world.want([own_group.clone()]);
        let own_group_exists = world.group(&self.name)?.is_some();
        let home = self.home.clone().unwrap_or_else(|| format!("/home/{}", self.name));
        world.want([Query::Stat { path: home.clone(), follow: true }]);
        let home_exists = world.stat(&home, true)?.is_some();
        let mut work = Work::default();
        let mut argv: Vec<String> = vec![if shadow { "useradd" } else { "adduser" }.to_owned()];
        let mut option = |flag: &str, value: &str| argv.extend([flag.to_owned(), value.to_owned()]);
        if let Some(uid) = self.uid {
            option("-u", &uid.to_string());
        }
        if let Some(comment) = &self.comment {
            option(if shadow { "-c" } else { "-g" }, comment);
        }
        if let Some(home) = &self.home {
            option(if shadow { "-d" } else { "-h" }, home);
        }
        if let Some(shell) = &self.shell {
            option("-s", shell);
        }
        if let Some(group) = &self.group {
            option(if shadow { "-g" } else { "-G" }, group);
        } else if own_group_exists && !shadow {
            option("-G", &self.name);
        }
        let groups: Vec<&str> = self.groups.iter().flatten().map(String::as_str).collect();
        if shadow {
            if !groups.is_empty() {
                option("-G", &groups.join(","));
            }
            if let Some(Some(days)) = self.expires {
                option("-e", &date(days));
            }
            if let (Some(skeleton), true) = (&self.skeleton, self.create_home) {
                option("-k", skeleton);
            }
        }
        let flags: &[(bool, &str, &str)] = &[
            (self.uid.is_some() && self.non_unique, "-o", ""),
            (self.group.is_none() && own_group_exists, "-N", ""),
            (self.create_home, "-m", ""),
            (!self.create_home, "-M", "-H"),
            (self.system, "-r", "-S"),
            (true, "", "-D"),
        ];
        for (on, with_shadow, with_busybox) in flags {
            let flag = if shadow { with_shadow } else { with_busybox };
            if *on && !flag.is_empty() {
                argv.push((*flag).to_owned());
            }
        }
        if shadow {
            argv.extend(self.extra.iter().cloned());
        }
        argv.push(self.name.clone());
        if let Some(parent) = home.rsplit_once('/').map(|(p, _)| p).filter(|p| self.create_home && !p.is_empty()) {
            // useradd makes no parents of a home directory.
            work.actions.push(self.task.exec(["mkdir", "-p", "--", parent]));
        }
        work.actions.push(self.task.exec(argv));
        if !shadow {
            for group in &groups {
                work.actions.push(self.task.exec(["addgroup", self.name.as_str(), group]));
            }
        }
        let group = match &self.group {
            Some(group) => group.clone(),
            None if own_group_exists => String::new(),
            None => self.name.clone(),
        };
        let gid = if group.is_empty() { UNASSIGNED } else { self.gid_of(world, &group)? };
        let hash = self.password.clone().unwrap_or_else(|| "!".to_owned());
        let hash = match self.password_lock {
            Some(true) => format!("!{}", hash.trim_start_matches('!')),
            Some(false) if self.password.is_some() => hash.trim_start_matches('!').to_owned(),
            _ => hash,
        };
        let account = Account {
            name: self.name.clone(),
            uid: self.uid.unwrap_or(UNASSIGNED),
            gid,
            comment: self.comment.clone().unwrap_or_default(),
            home: home.clone(),
            shell: self.shell.clone().unwrap_or_default(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            group,
            password: Some(hash.clone()),
            expires: self.expires.flatten(),
        };
        if self.group.is_none() && !own_group_exists {
            let entry = GroupEntry { name: self.name.clone(), gid: UNASSIGNED, members: vec![] };
            work.effects.push(kit::effect(own_group, Answer::Group(Some(entry))));
        }
        if self.create_home && !home_exists {
            self.predict_home(&account, &mut work);
        }
        for (name, value) in [
            ("uid", shown(account.uid)),
            ("group", if account.group.is_empty() { "the default".to_owned() } else { account.group.clone() }),
            ("groups", account.groups.join(",")),
            ("home", account.home.clone()),
            ("shell", account.shell.clone()),
            ("comment", account.comment.clone()),
        ] {
            if !value.is_empty() {
                work.lines.push((name, String::new(), value));
            }
        }
        if self.password.is_some() || self.password_lock == Some(true) {
            work.actions.push(self.set_password(&hash));
        }
        Ok((account, work))
    }

    fn predict_home(&self, account: &Account, work: &mut Work) {
        work.home_made = true;
        let stat = Stat {
            kind: FileKind::Directory,
            mode: 0o755,
            uid: account.uid,
            gid: account.gid,
            owner: self.name.clone(),
            group: account.group.clone(),
            size: 4096,
            mtime: 0.0,
            atime: 0.0,
            ctime: 0.0,
            inode: 0,
            device: 0,
            links: 2,
            target: None,
            real: Some(account.home.clone()),
        };
        for follow in [false, true] {
            let query = Query::Stat { path: account.home.clone(), follow };
            work.effects.push(kit::effect(query, Answer::Stat(Some(stat.clone()))));
        }
    }

    fn set_password(&self, hash: &str) -> Action {
        ExecSpec {
            command: Command::Argv(vec!["chpasswd".to_owned(), "-e".to_owned()]),
            stdin: Some(format!("{}:{hash}\n", self.name).into_bytes()),
            ok_codes: vec![0],
            ..ExecSpec::default()
        }
        .into_action()
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

    fn modify_password(&self, before: &Account, after: &mut Account, work: &mut Work) -> Result<(), Stop> {
        let locked = |p: &str| p.starts_with('!');
        let wanted = self.password.as_ref().filter(|_| self.update_password);
        let Some(current) = &before.password else {
            if wanted.is_some() || self.password_lock.is_some() {
                return Err(Stop::Failed(format!(
                    "the password of user `{}` cannot be read: the task needs `become`",
                    self.name
                )));
            }
            return Ok(());
        };
        let lock = self.password_lock.unwrap_or(locked(current) && wanted.is_none_or(|w| locked(w)));
        let bare = |p: &str| p.trim_start_matches('!').to_owned();
        let target = match wanted {
            Some(hash) if self.password_lock.is_none() && bare(hash) == bare(current) => current.clone(),
            Some(hash) if self.password_lock.is_none() => hash.clone(),
            Some(hash) => format!("{}{}", if lock { "!" } else { "" }, bare(hash)),
            None if self.password_lock.is_none() => current.clone(),
            None => match (lock, locked(current)) {
                (true, false) => format!("!{current}"),
                // Without a hash, unlocking would let anyone in without a password.
                (false, true) if !bare(current).is_empty() => bare(current),
                _ => current.clone(),
            },
        };
        if target != *current {
            let show = |p: &str| if locked(p) { "(a hash, locked)" } else { "(a hash)" }.to_owned();
            let old = if bare(current) == bare(&target) { show(current) } else { format!("{} old", show(current)) };
            work.lines.push(("password", old, show(&target)));
            work.actions.push(self.set_password(&target));
            after.password = Some(target);
        }
        Ok(())
    }

    /// Password ageing: compared by `chage -l`.
    fn age(&self, world: &View, existing: bool, work: &mut Work) -> Result<(), Stop> {
        if self.ageing.is_empty() {
            return Ok(());
        }
        let argv = ["env", "LC_ALL=C", "chage", "-l", &self.name];
        let listing = if existing { world.read(argv)?.text() } else { String::new() };
        let mut shown = listing.clone();
        let mut options = vec![];
        for (option, label, days) in &self.ageing {
            let line = listing.lines().find(|l| l.starts_with(label));
            let current = line.and_then(|l| l.rsplit(':').next()).map(|v| v.trim().to_owned()).unwrap_or_default();
            if current != days.to_string() {
                options.extend([(*option).to_owned(), days.to_string()]);
                match line {
                    Some(line) => shown = shown.replace(line, &format!("{label}: {days}")),
                    None => shown.push_str(&format!("{label}: {days}\n")),
                }
                work.lines.push(("password ageing", current, format!("{days} ({label})")));
            }
        }
        if !options.is_empty() {
            let mut full = vec!["chage".to_owned()];
            full.extend(options);
            full.push(self.name.clone());
            work.actions.push(self.task.exec(full));
            let output = crate::world::Output { rc: 0, stdout: shown.into_bytes(), stderr: vec![] };
            let query = Query::Read { argv: argv.map(str::to_owned).to_vec() };
            work.effects.push(kit::effect(query, Answer::Output(output)));
        }
        Ok(())
    }

    fn key_file(&self, key: &Key, home: &str) -> String {
        match &key.file {
            Some(file) if file.starts_with('/') => file.clone(),
            Some(file) => format!("{}/{file}", home.trim_end_matches('/')),
            None => format!("{}/.ssh/id_{}", home.trim_end_matches('/'), key.kind),
        }
    }

    /// The key pair: made if there is none, read if there is.
    fn keys(&self, world: &View, account: &Account, work: &mut Work, result: TaskResult) -> Result<TaskResult, Stop> {
        let Some(key) = &self.key else { return Ok(result) };
        let file = self.key_file(key, &account.home);
        let public = format!("{file}.pub");
        let fingerprint = ["ssh-keygen".to_owned(), "-lf".to_owned(), file.clone()].to_vec();
        let exists = match world.stat(&file, true) {
            Err(Stop::Unknown(_)) => return Ok(result),
            other => other?.is_some(),
        };
        if exists {
            world.want([Query::Content { path: public.clone() }, Query::Read { argv: fingerprint.clone() }]);
            let text = world.content(&public)?.map(|c| kit::text(&c)).unwrap_or_default();
            let print = world.read(fingerprint)?.text();
            return Ok(result
                .with("ssh_key_file", file)
                .with("ssh_public_key", text.trim())
                .with("ssh_fingerprint", print.trim()));
        }
        let dir = file.rsplit_once('/').map_or("/", |(d, _)| d);
        let bits = key.bits.filter(|b| *b > 0).map(|b| b.to_string()).unwrap_or_default();
        let comment = key.comment.as_deref().unwrap_or_default();
        work.actions.push(self.task.script(MAKE_KEY, [dir, &self.name, comment, &key.kind, &file, &bits]));
        work.lines.push(("ssh key", String::new(), file.clone()));
        let unknown = Unknown::after_step(format!("user {}", self.name));
        for path in [&file, &public] {
            for follow in [false, true] {
                work.effects
                    .push(Effect { query: Query::Stat { path: path.clone(), follow }, answer: Err(unknown.clone()) });
            }
        }
        Ok(result
            .with("ssh_key_file", file)
            .with("ssh_public_key", unknown.clone().into_value())
            .with("ssh_fingerprint", unknown.into_value()))
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
            result = result.with("groups", groups.iter().cloned().collect::<Vec<_>>().join(","));
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
