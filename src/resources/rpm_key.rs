//! `rpm_key`: the keys rpm trusts. The manual is doc/rpm_key.md.

use std::sync::Arc;

use super::common::pgp;
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Done, Download, ExecSpec};
use crate::world::{Answer, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "rpm_key",
    qualified: &["ansible.builtin.rpm_key"],
    doc: include_str!("doc/rpm_key.md"),
    args: &[
        ArgSpec::new("key", Kind::Str, "URL of a key, path of a key on the node, or (to remove it) a key's number")
            .required(),
        ArgSpec::new("state", Kind::Str, "Whether rpm trusts it").default("present").choices(&["absent", "present"]),
        ArgSpec::new("fingerprint", Kind::List, "Fingerprints the key must have one of"),
        ArgSpec::new("validate_certs", Kind::Bool, "Check the certificate of the URL").default("yes"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

enum Source {
    /// Fetched by the control machine.
    Bytes(Vec<u8>),
    OnNode(String),
    /// Only its number is known.
    Id(String),
}

struct Key {
    key: String,
    source: Source,
    present: bool,
    fingerprints: Vec<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let key = args.need("key")?;
    let task = Task::of(setting);
    let present = args.need("state")? == "present";
    let source = if key.contains("://") {
        let validate = args.bool("validate_certs")?.unwrap_or(true);
        Source::Bytes((setting.fetch)(&Download { validate_certs: validate, ..Download::of(key.clone()) })?)
    } else if pgp::is_id(&key) {
        if present {
            return Err(super::common::invalid(format!("`{key}` is a key's number, and only a key can be imported"))
                .at(args.span("key"))
                .help("give the key's URL, or its path on the node")
                .into());
        }
        Source::Id(key.clone())
    } else {
        Source::OnNode(task.path(&key))
    };
    let fingerprints = args.list("fingerprint")?.iter().map(|f| pgp::plain(f)).collect();
    Ok(Arc::new(Key { key, source, present, fingerprints, task }))
}

const LIST: [&str; 5] = ["rpm", "-q", "gpg-pubkey", "--qf", "%{VERSION}-%{RELEASE}\n"];

impl Resource for Key {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let list = Query::Read { argv: LIST.map(str::to_owned).to_vec() };
        world.want([list.clone()]);
        if let Source::OnNode(path) = &self.source {
            world.want([Query::Content { path: path.clone() }]);
        }
        let Answer::Output(output) = world.ask(list.clone())? else { unreachable!("an output") };
        if output.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"rpm\" on the node".to_owned()));
        }
        let bytes = match &self.source {
            Source::Bytes(bytes) => Some(bytes.clone()),
            Source::OnNode(path) => match world.content(path)? {
                Some(bytes) => Some(bytes.to_vec()),
                None => return Ok(kit::failed(format!("Not a valid key {}", self.key))),
            },
            Source::Id(_) => None,
        };
        let (wanted, bytes) = match (&self.source, bytes) {
            (Source::Id(id), _) => (pgp::plain(id), vec![]),
            (_, Some(bytes)) => {
                let Some(fingerprint) = pgp::fingerprint(&bytes) else {
                    return Ok(kit::failed(format!("Not a valid key {}", self.key)));
                };
                if !self.fingerprints.is_empty() && !self.fingerprints.contains(&fingerprint) {
                    return Ok(kit::failed(format!(
                        "The specified fingerprint, '{}', does not match any key fingerprints in '{}'",
                        self.fingerprints.join(","),
                        [fingerprint.as_str()].join(",")
                    )));
                }
                (fingerprint, bytes)
            }
            (_, None) => unreachable!("a key that is no number was read"),
        };
        // rpm keeps the last eight digits, newer ones the whole fingerprint, as the version of a package `gpg-pubkey`.
        let text = output.text();
        let is_it = |line: &str| {
            let version = pgp::plain(line.split('-').next().unwrap_or_default());
            version.len() >= 8 && (wanted.ends_with(&version) || version.ends_with(&wanted))
        };
        let known: Vec<&str> =
            text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_hexdigit()) && is_it(l)).collect();
        let mut edit = Edit::default();
        let short = wanted[wanted.len().saturating_sub(8)..].to_lowercase();
        if self.present && known.is_empty() {
            edit.actions.push(
                ExecSpec {
                    stdin: Some(bytes),
                    env: self.task.environment.clone(),
                    ..ExecSpec::argv([
                        "sh",
                        "-c",
                        "f=$(mktemp) || exit 1; trap 'rm -f \"$f\"' EXIT; cat >\"$f\" && rpm --import \"$f\"",
                    ])
                }
                .into_action(),
            );
            edit.created = true;
            edit.diff.push(kit::diff("rpm's keys", "", format!("gpg-pubkey-{short}\n")));
            edit.effect(list, said(format!("{text}{short}-0\n")));
        } else if !self.present && !known.is_empty() {
            for line in &known {
                edit.actions.push(self.task.exec(["rpm", "--erase", "--allmatches", &format!("gpg-pubkey-{line}")]));
            }
            edit.removed = true;
            edit.diff.push(kit::diff("rpm's keys", format!("gpg-pubkey-{short}\n"), ""));
            let rest: String = text.lines().filter(|l| !known.contains(l)).map(|l| format!("{l}\n")).collect();
            edit.effect(list, said(rest));
        }
        Ok(edit.verdict(TaskResult::unchanged()))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        super::common::tools::concluded(change, done, "rpm")
    }
}

fn said(text: String) -> Answer {
    Answer::Output(Output { rc: 0, stdout: text.into_bytes(), stderr: vec![] })
}
