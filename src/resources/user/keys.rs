//! The SSH key of an account.

use super::{Key, MAKE_KEY, User, Work};
use crate::resources::TaskResult;
use crate::resources::kit::{self};
use crate::template::Unknown;
use crate::world::{Account, Effect, Query, Stop, View};

impl User {
    pub(super) fn key_file(&self, key: &Key, home: &str) -> String {
        match &key.file {
            Some(file) if file.starts_with('/') => file.clone(),
            Some(file) => format!("{}/{file}", home.trim_end_matches('/')),
            None => format!("{}/.ssh/id_{}", home.trim_end_matches('/'), key.kind),
        }
    }

    /// The key pair: made if there is none, read if there is.
    pub(super) fn keys(
        &self,
        world: &View,
        account: &Account,
        work: &mut Work,
        result: TaskResult,
    ) -> Result<TaskResult, Stop> {
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
        let mut task = self.task.clone();
        task.environment.extend(key.passphrase.iter().map(|p| ("KDEPLOY_PASSPHRASE".to_owned(), p.clone())));
        work.actions.push(task.script(MAKE_KEY, [dir, &self.name, comment, &key.kind, &file, &bits]));
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
}
