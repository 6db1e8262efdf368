//! `known_hosts`: keys of hosts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::Value;

use super::edits::{self, Own};
use super::kit::Task;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::{Stop, View};

/// `known_hosts`.
pub static TYPE: ResourceType = ResourceType {
    name: "known_hosts",
    qualified: &["ansible.builtin.known_hosts"],
    doc: include_str!("doc/known_hosts.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "The host").aliases(&["host"]).required(),
        ArgSpec::new("key", Kind::Str, "Its key: `host type key`"),
        ArgSpec::new("path", Kind::Path, "The file").default("~/.ssh/known_hosts"),
        ArgSpec::new("hash_host", Kind::Bool, "Write a digest instead of the name").default("false"),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct KnownHost {
    name: String,
    /// Type and key.
    key: Option<(String, String)>,
    written: Option<String>,
    path: String,
    hash: bool,
    present: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let written = args.str("key")?;
    let present = args.need("state")? == "present";
    let key = match &written {
        None if present => {
            return Err(Problem::new("missing-argument", "no key specified when adding a host")
                .at(args.task_span())
                .into());
        }
        None => None,
        Some(line) => {
            let words: Vec<&str> = line.split_whitespace().filter(|w| !w.starts_with('@')).collect();
            match words.as_slice() {
                [_, kind, key, ..] if STANDARD.decode(key).is_ok() => Some(((*kind).to_owned(), (*key).to_owned())),
                _ => {
                    return Err(Problem::new("invalid-argument", "`key` of `known_hosts` is no line of known_hosts")
                        .at(args.span("key"))
                        .help("write `HOST TYPE KEY`, as ssh-keyscan prints it")
                        .into());
                }
            }
        }
    };
    if let Some(first) = written.as_deref().and_then(|w| w.split_whitespace().next())
        && !first.starts_with('@')
        && !is_host(first, &args.need("name")?)
    {
        return Err(Stop::Failed(format!("the key is for `{first}`, not for `{}`", args.need("name")?)));
    }
    Ok(Arc::new(KnownHost {
        name: args.need("name")?.to_lowercase(),
        key,
        written,
        path: task.path(&args.need("path")?),
        hash: args.flag("hash_host")?,
        present,
        task,
    }))
}

/// HMAC-SHA1 of a host name, as hashed known_hosts entries use it.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    use sha1::{Digest, Sha1};
    let mut block = [0u8; 64];
    block[..key.len().min(64)].copy_from_slice(&key[..key.len().min(64)]);
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn is_host(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("|1|") {
        let Some((salt, digest)) = rest.split_once('|') else { return false };
        let (Ok(salt), Ok(digest)) = (STANDARD.decode(salt), STANDARD.decode(digest)) else { return false };
        return hmac(&salt, name.as_bytes()) == digest;
    }
    pattern.split(',').any(|p| p.eq_ignore_ascii_case(name))
}

impl KnownHost {
    fn line(&self) -> String {
        let (kind, key) = self.key.clone().unwrap_or_default();
        let host = if self.hash {
            // The salt only hides the name: one made of what is hashed gives every run the same line.
            use sha1::Digest;
            let salt = sha1::Sha1::digest(format!("{} {kind} {key}", self.name).as_bytes());
            format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hmac(&salt, self.name.as_bytes())))
        } else {
            self.name.clone()
        };
        format!("{host} {kind} {key}")
    }
}

impl Resource for KnownHost {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let old = edits::read(world, &self.path)?;
        let text = old.clone().unwrap_or_default();
        let mut lines: Vec<String> = vec![];
        let mut found = false;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ours = !line.starts_with(['#', '@']) && words.len() >= 3 && is_host(words[0], &self.name);
            if !ours {
                lines.push(line.to_owned());
                continue;
            }
            match &self.key {
                None => {}
                Some((kind, _)) if words[1] != kind => lines.push(line.to_owned()),
                Some((_, key))
                    if self.present
                        && words[2] == key
                        && words[0].starts_with("|1|") == self.hash
                        // As Ansible: a line for several hosts gives way to one for this host.
                        && (self.hash || words[0] == self.name)
                        && !found =>
                {
                    found = true;
                    lines.push(line.to_owned());
                }
                Some((_, key)) if !self.present && words[2] != key => lines.push(line.to_owned()),
                Some(_) => {}
            }
        }
        if self.present && !found {
            lines.push(self.line());
        }
        let result = TaskResult::unchanged()
            .with("name", self.name.as_str())
            .with("key", self.written.as_deref().map_or(Value::from(()), Value::from))
            .with("path", self.path.as_str())
            .with("hash_host", self.hash)
            .with("state", if self.present { "present" } else { "absent" });
        // Ansible tells the file's attributes beside.
        let with_stat = |result: TaskResult, stat: Option<&crate::world::Stat>| match stat {
            Some(stat) => super::wait_for::with_stat(result, stat),
            None => result,
        };
        if lines.iter().map(String::as_str).eq(text.lines()) {
            let stat = world.stat(&self.path, true)?;
            return Ok(Verdict::Unchanged(with_stat(result, stat.as_ref())));
        }
        let edit = edits::write(world, &self.task, &self.path, &Own::mode(0o644), Some(&edits::joined(&lines)))?;
        let result = with_stat(result, edit.stat.as_ref());
        Ok(edit.verdict(result))
    }
}
