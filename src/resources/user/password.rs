//! An account's password and its ages.

use super::{User, Work};
use crate::node::{Action, Command, ExecSpec};
use crate::resources::kit::{self};
use crate::world::{Account, Answer, Query, Stop, View};

impl User {
    pub(super) fn set_password(&self, hash: &str) -> Action {
        ExecSpec {
            command: Command::Argv(vec!["chpasswd".to_owned(), "-e".to_owned()]),
            stdin: Some(format!("{}:{hash}\n", self.name).into_bytes()),
            ok_codes: vec![0],
            ..ExecSpec::default()
        }
        .into_action()
    }

    pub(super) fn modify_password(&self, before: &Account, after: &mut Account, work: &mut Work) -> Result<(), Stop> {
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

    /// The days after which an account with an ended password is closed: shadow's seventh field.
    pub(super) fn close(&self, world: &View, existing: bool, work: &mut Work) -> Result<(), Stop> {
        let Some(days) = self.inactive else { return Ok(()) };
        let argv = ["getent", "shadow", &self.name];
        let line = if existing { world.read(argv)?.text() } else { String::new() };
        let mut fields: Vec<String> = line.trim_end().split(':').map(str::to_owned).collect();
        fields.resize(9, String::new());
        let wanted = if days < 0 { String::new() } else { days.to_string() };
        if fields[6] == wanted {
            return Ok(());
        }
        work.lines.push(("days until the account is closed", fields[6].clone(), wanted.clone()));
        work.actions.push(self.task.exec(["chage", "-I", &days.to_string(), &self.name]));
        fields[6] = wanted;
        let output = crate::world::Output { rc: 0, stdout: fields.join(":").into_bytes(), stderr: vec![] };
        let query = Query::Read { argv: argv.map(str::to_owned).to_vec() };
        work.effects.push(kit::effect(query, Answer::Output(output)));
        Ok(())
    }

    /// Password ageing: compared by `chage -l`.
    pub(super) fn age(&self, world: &View, existing: bool, work: &mut Work) -> Result<(), Stop> {
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
}
