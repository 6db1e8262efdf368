//! `apt_key`: keys in apt's keyring.

use std::sync::Arc;

use minijinja::Value;

use super::common::pgp;
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Done, Download};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

/// `apt_key`.
pub static TYPE: ResourceType = ResourceType {
    name: "apt_key",
    qualified: &["ansible.builtin.apt_key"],
    doc: include_str!("doc/apt_key.md"),
    args: &[
        ArgSpec::new("id", Kind::Str, "Identifier of the key"),
        ArgSpec::new("data", Kind::Str, "The key itself"),
        ArgSpec::new("file", Kind::Path, "A file on the node that holds it"),
        ArgSpec::new("keyring", Kind::Path, "A keyring file in trusted.gpg.d"),
        ArgSpec::new("keyserver", Kind::Str, "A key server"),
        ArgSpec::new("url", Kind::Str, "Where the control machine downloads it"),
        ArgSpec::new("validate_certs", Kind::Bool, "Check the URL's certificate").default("true"),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Key {
    /// `None`: that of the key in the file.
    id: Option<String>,
    source: Source,
    keyring: Option<String>,
    present: bool,
    task: Task,
}

enum Source {
    None,
    Data(Vec<u8>),
    File(String),
    Server(String),
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let present = args.need("state")? == "present";
    let id = args.str("id")?.map(|id| id.trim().trim_start_matches("0x").to_uppercase());
    if let Some(id) = id.as_ref().filter(|id| id.len() < 8 || !id.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(args.wrong("id", "8, 16 or 40 hexadecimal digits", &Value::from(id.as_str())).into());
    }
    let source = if let Some(data) = args.str("data")? {
        Source::Data(data.into_bytes())
    } else if let Some(file) = args.str("file")? {
        Source::File(task.path(&file))
    } else if let Some(server) = args.str("keyserver")? {
        Source::Server(server)
    } else if let (Some(url), true) = (args.str("url")?, present) {
        let download = Download { validate_certs: args.flag("validate_certs")?, ..Download::of(url) };
        Source::Data((setting.fetch)(&download)?)
    } else {
        Source::None
    };
    let id = match (&source, id) {
        (_, Some(id)) => Some(id),
        (Source::Data(data), None) => Some(pgp::fingerprint(data).ok_or_else(|| {
            Problem::new("invalid-argument", "what was given as a key is no OpenPGP public key").at(args.task_span())
        })?),
        // The file is looked into on the node.
        (Source::File(_), None) => None,
        (Source::Server(_) | Source::None, None) => {
            return Err(Problem::new(
                "missing-argument",
                "`apt_key` needs `id`, unless the key itself is given by `data`, `url` or `file`",
            )
            .at(args.task_span())
            .into());
        }
    };
    let keyring = args.str("keyring")?.map(|k| task.path(&k));
    Ok(Arc::new(Key { id, source, keyring, present, task }))
}

impl Key {
    fn tool<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let mut argv = vec!["apt-key"];
        if let Some(keyring) = &self.keyring {
            argv.extend(["--keyring", keyring]);
        }
        argv.extend(words);
        argv
    }
}

impl Resource for Key {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let id = match (&self.id, &self.source) {
            (Some(id), _) => id.clone(),
            (None, Source::File(file)) => match world.content(file)?.as_deref().map(|b| pgp::fingerprint(b)) {
                Some(Some(id)) => id,
                Some(None) => return Ok(kit::failed(format!("{file} holds no OpenPGP public key"))),
                None => return Ok(kit::failed(format!("no file {file} on the node"))),
            },
            (None, _) => return Err(Stop::Failed("the key has no id".to_owned())),
        };
        let list = self.tool(&["adv", "--with-colons", "--list-public-keys"]);
        let output = world.read(list.iter().copied())?;
        if output.rc == 127 {
            return Err(Stop::Failed(
                "the node has no apt-key (Debian dropped it): use /etc/apt/keyrings and signed-by".to_owned(),
            ));
        }
        let text = output.text();
        let has = text.lines().filter(|l| l.starts_with("fpr:") || l.starts_with("pub:")).any(|l| {
            l.split(':').any(|field| {
                field.len() >= 16 && field.ends_with(id.as_str())
                    || id.len() > field.len() && field.len() == 16 && id.ends_with(field)
            })
        });
        let result = TaskResult::unchanged().with("id", id.as_str());
        if has == self.present {
            return Ok(Verdict::Unchanged(result));
        }
        let action = match (&self.source, self.present) {
            (_, false) => self.task.exec(self.tool(&["del", &id])),
            (Source::Data(data), _) => crate::node::ExecSpec {
                stdin: Some(data.clone()),
                ..crate::node::ExecSpec::argv(self.tool(&["add", "-"]))
            }
            .into_action(),
            (Source::File(file), _) => self.task.exec(self.tool(&["add", file])),
            (Source::Server(server), _) => {
                self.task.exec(self.tool(&["adv", "--no-tty", "--keyserver", server, "--recv", &id]))
            }
            (Source::None, _) => {
                return Ok(kit::failed("one of the following is required: url, data, file, keyserver"));
            }
        };
        let mut edit = Edit { created: self.present, removed: !self.present, ..Edit::default() };
        edit.actions.push(action);
        let after = if self.present { format!("{text}\nfpr:::::::::{:0>40}:\n", id) } else { String::new() };
        edit.effect(
            Query::Read { argv: list.into_iter().map(str::to_owned).collect() },
            Answer::Output(Output { rc: 0, stdout: after.into_bytes(), stderr: vec![] }),
        );
        let sides = if self.present { ("", "trusted\n") } else { ("trusted\n", "") };
        edit.diff.push(kit::diff(&format!("key {}", id), sides.0, sides.1));
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => {
                Err(super::group::failed_tool(self.id.as_deref().unwrap_or("key"), message, output))
            }
        }
    }
}
