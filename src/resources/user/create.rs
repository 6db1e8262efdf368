//! Making an account, and foretelling what that makes.

use super::*;

impl User {
    pub(super) fn create(&self, world: &View) -> Result<(Account, Work), Stop> {
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

    pub(super) fn predict_home(&self, account: &Account, work: &mut Work) {
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
}
