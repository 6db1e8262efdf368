//! The conversations of a run: one per target, made when first needed, kept from plan to apply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::run::{PlayRun, Run, lock};
use crate::node::{self, Conversation, HostKeyPolicy, Secret, Target, Transport};
use crate::problem::Problem;
use crate::resources;
use crate::template::Context;

/// Separates a target's name from how a task reaches it.
const REACH: char = '\u{1}';

/// The key of a target in worlds and connections: its name, with the connection settings a task gives on its own. A value that
/// begins with `=` comes from a variable and goes before the host's own.
pub fn target_key(host: &str, reach: &[(&str, String)]) -> String {
    let mut key = host.to_owned();
    for (word, value) in reach {
        key.push(REACH);
        key.push_str(word);
        key.push('=');
        key.push_str(value);
    }
    key
}

/// A target key as people read it.
pub fn target_name(key: &str) -> &str {
    key.split(REACH).next().unwrap_or(key)
}

/// A setting of the key.
fn reach_of<'a>(key: &'a str, word: &str) -> Option<&'a str> {
    key.split(REACH).skip(1).find_map(|part| part.strip_prefix(word)?.strip_prefix('='))
}

/// A conversation that several may hold.
pub type Shared = Arc<Mutex<Box<dyn Conversation>>>;

/// Where answers come from, if not from the nodes alone.
enum Source {
    /// Saved worlds below this folder.
    World(std::path::PathBuf),
    /// The nodes, and what they say is kept.
    Record(Mutex<std::collections::BTreeMap<String, Arc<Mutex<node::Book>>>>),
}

#[derive(Default)]
pub struct Fleet {
    conversations: Mutex<HashMap<String, Shared>>,
    source: std::sync::OnceLock<Source>,
}

impl Fleet {
    /// The conversation with a target. Nothing is sent before it is used.
    pub fn conversation(&self, run: &Arc<Run>, play: &PlayRun, key: &str) -> Result<Shared, Problem> {
        if let Some(found) = lock(&self.conversations).get(key) {
            return Ok(found.clone());
        }
        let reach = key.strip_prefix(target_name(key)).unwrap_or_default();
        let conversation: Box<dyn Conversation> = match self.source.get() {
            Some(Source::World(dir)) => Box::new(node::Replay::new(dir, target_name(key), reach)),
            Some(Source::Record(books)) => {
                let book = lock(books).entry(target_name(key).to_owned()).or_default().clone();
                Box::new(node::Recording::new(node::connect(&target_of(run, play, key)?), reach, book))
            }
            None => node::connect(&target_of(run, play, key)?),
        };
        let made: Shared = Arc::new(Mutex::new(conversation));
        Ok(lock(&self.conversations).entry(key.to_owned()).or_insert(made).clone())
    }

    /// How often a connection to a target is tried again.
    pub fn retries(&self, run: &Arc<Run>, play: &PlayRun, key: &str) -> u64 {
        let mut scopes = play.scopes.clone();
        scopes.push(run.extra_vars.clone());
        let own = run
            .host_context(target_name(key))
            .and_then(|context| first_text(&context.with(scopes), &["ansible_ssh_retries"]))
            .ok()
            .flatten();
        own.and_then(|text| text.trim().parse().ok()).unwrap_or(run.options.ssh_retries)
    }

    /// From now on, answers come from saved worlds.
    pub fn use_worlds(&self, dir: &std::path::Path) {
        let _ = self.source.set(Source::World(dir.to_owned()));
    }

    /// True if answers come from saved worlds.
    pub fn is_saved(&self) -> bool {
        matches!(self.source.get(), Some(Source::World(_)))
    }

    /// From now on, what nodes say is kept.
    pub fn record(&self) {
        let _ = self.source.set(Source::Record(Mutex::default()));
    }

    /// Writes what was kept, a file a node; the nodes, with how many answers each has.
    pub fn write_worlds(&self, dir: &std::path::Path, saved: &str) -> Result<Vec<(String, usize)>, Problem> {
        let Some(Source::Record(books)) = self.source.get() else { return Ok(vec![]) };
        let mut written = vec![];
        for (host, book) in lock(books).iter() {
            let mut book = lock(book);
            if book.logins.is_empty() {
                continue;
            }
            host.clone_into(&mut book.host);
            saved.clone_into(&mut book.saved);
            written.push((host.clone(), book.write(dir)?));
        }
        Ok(written)
    }

    /// Another conversation with a target, over a connection of its own.
    pub fn fresh(&self, run: &Arc<Run>, play: &PlayRun, key: &str) -> Result<Box<dyn Conversation>, Problem> {
        Ok(node::connect(&target_of(run, play, key)?))
    }

    /// The conversation with a target, if there is one.
    pub fn known(&self, key: &str) -> Option<Shared> {
        lock(&self.conversations).get(key).cloned()
    }

    /// Drops a target's connection; the next use makes a new one.
    pub fn drop_connection(&self, key: &str) {
        lock(&self.conversations).remove(key);
    }

    pub fn traffic(&self, key: &str) -> node::Traffic {
        let found = lock(&self.conversations).get(key).cloned();
        found.map(|c| lock(&c).traffic()).unwrap_or_default()
    }

    /// Figures over every transport to a host.
    pub fn traffic_of_host(&self, host: &str) -> node::Traffic {
        let keys: Vec<String> =
            lock(&self.conversations).keys().filter(|key| target_name(key) == host).cloned().collect();
        let mut sum = node::Traffic::default();
        for key in keys {
            let one = self.traffic(&key);
            sum.round_trips += one.round_trips;
            sum.processes += one.processes;
            sum.bytes_sent += one.bytes_sent;
            sum.bytes_received += one.bytes_received;
            sum.connect += one.connect;
        }
        sum
    }
}

/// How to reach a target: its variables first, then the play's keywords, then the command line and settings, as Ansible ranks them.
fn target_of(run: &Arc<Run>, play: &PlayRun, key: &str) -> Result<Target, Problem> {
    let host = target_name(key);
    let context = run.host_context(host)?;
    let mut scopes = play.scopes.clone();
    scopes.push(run.extra_vars.clone());
    // Play vars may say how to connect; the host's own variables are stronger except for what the play's vars redefine.
    let with_play = context.with(scopes);
    let text = |names: &[&str]| -> Result<Option<String>, Problem> { first_text(&with_play, names) };
    let options = &run.options;
    let keyword = |node: &Option<crate::yaml::Node>| -> Result<Option<String>, Problem> {
        node.as_ref().map(|n| with_play.text(n).map_err(|e| e.into_problem().or_at(&n.span))).transpose()
    };
    let implicit_local = {
        let inventory = run.inventory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        inventory.hosts.get(host).map_or(matches!(host, "localhost" | "127.0.0.1" | "::1"), |h| h.implicit)
    };
    // A task's own variable, the host's variables, the task's keyword, the play's.
    let own = |word: &str| reach_of(key, word).and_then(|v| v.strip_prefix('=')).map(str::to_owned);
    let written = |word: &str| reach_of(key, word).filter(|v| !v.starts_with('=')).map(str::to_owned);
    let connection = match own("connection").map_or_else(|| text(&["ansible_connection"]), |c| Ok(Some(c)))? {
        Some(connection) => connection,
        None if implicit_local => "local".to_owned(),
        None => match written("connection") {
            Some(connection) => connection,
            None => keyword(&play.play.keywords.connection)?
                .or_else(|| options.connection.clone())
                .unwrap_or_else(|| "ssh".to_owned()),
        },
    };
    let transport = match connection.rsplit('.').next().unwrap_or_default() {
        "local" => Transport::Local,
        "ssh" | "smart" | "paramiko" | "paramiko_ssh" | "ssh2" => Transport::Ssh,
        "system_ssh" => Transport::SystemSsh,
        other => {
            return Err(Problem::unsupported(format!("connection `{other}` (of host `{host}`)"))
                .help("kdeploy connects by `ssh` or `local`"));
        }
    };
    let port = match own("port").map_or_else(|| text(&["ansible_port", "ansible_ssh_port"]), |p| Ok(Some(p)))? {
        Some(text) => Some(text),
        None => written("port").map_or_else(|| keyword(&play.play.keywords.port), |p| Ok(Some(p)))?,
    };
    let port = match port {
        Some(text) => Some(text.trim().parse::<u16>().map_err(|_| {
            Problem::new("invalid-port", format!("`{text}` is no port number (ansible_port of host `{host}`)"))
        })?),
        None => options.remote_port,
    };
    let user = match own("user").map_or_else(|| text(&["ansible_user", "ansible_ssh_user"]), |u| Ok(Some(u)))? {
        Some(user) => Some(user),
        None => match written("user") {
            Some(user) => Some(user),
            None => keyword(&play.play.keywords.remote_user)?.or_else(|| options.remote_user.clone()),
        },
    };
    let mut ssh_args = options.ssh_args.clone();
    for name in ["ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"] {
        if let Some(args) = text(&[name])? {
            ssh_args.extend(split_words(&args));
        }
    }
    let host_keys = match text(&["ansible_host_key_checking", "ansible_ssh_host_key_checking"])? {
        Some(text) if resources::truth(&text) == Some(false) => HostKeyPolicy::Off,
        _ => options.host_keys,
    };
    let seconds = text(&["ansible_timeout", "ansible_ssh_timeout"])?.and_then(|t| t.trim().parse().ok());
    Ok(Target {
        name: host.to_owned(),
        transport,
        address: match own("address") {
            Some(address) => address,
            None => text(&["ansible_host", "ansible_ssh_host"])?.unwrap_or_else(|| host.to_owned()),
        },
        port,
        user,
        private_key: text(&["ansible_private_key_file", "ansible_ssh_private_key_file"])?
            .map(|path| expand_home(&path))
            .or_else(|| options.private_key.clone()),
        key_passphrase: text(&["ansible_ssh_private_key_passphrase"])?
            .map(Secret)
            .or_else(|| options.key_passphrase.clone()),
        password: text(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])?
            .map(Secret)
            .or_else(|| options.password.clone()),
        host_keys,
        ssh_args,
        connect_timeout: seconds.map_or(options.connect_timeout, std::time::Duration::from_secs),
        command_timeout: options.command_timeout,
        shell: text(&["ansible_shell_executable"])?,
    })
}

fn first_text(context: &Context, names: &[&str]) -> Result<Option<String>, Problem> {
    for name in names {
        match context.variable(name) {
            Ok(Some(value)) if !value.is_none() && !value.is_undefined() => {
                return Ok(Some(resources::text_of(&value)));
            }
            Ok(_) => {}
            Err(error) => return Err(error.into_problem()),
        }
    }
    Ok(None)
}

fn expand_home(path: &str) -> std::path::PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => {
            std::env::var_os("HOME").map_or_else(|| path.into(), |home| std::path::Path::new(&home).join(rest))
        }
        None => path.into(),
    }
}

/// Words of a shell-like argument string: quotes group, nothing is expanded.
pub fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = String::new();
    let mut quote = None;
    let mut open = false;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                open = true;
            }
            (None, c) if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (None, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}
