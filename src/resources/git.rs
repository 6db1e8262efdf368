//! `git`: a clone of a repository, by the node's git.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Answer, Effect, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "git",
    qualified: &["ansible.builtin.git"],
    doc: include_str!("doc/git.md"),
    args: &[
        ArgSpec::new("repo", Kind::Str, "The repository").aliases(&["name"]).required(),
        ArgSpec::new("dest", Kind::Path, "Where to check it out").required(),
        ArgSpec::new("version", Kind::Str, "Branch, tag or commit").default("HEAD"),
        ArgSpec::new("remote", Kind::Str, "Name of the remote").default("origin"),
        ArgSpec::new("refspec", Kind::Str, "A further refspec to fetch"),
        ArgSpec::new("force", Kind::Bool, "Throw local changes away").default("false"),
        ArgSpec::new("depth", Kind::Int, "How many commits to fetch"),
        ArgSpec::new("clone", Kind::Bool, "Clone if it is not there").default("true"),
        ArgSpec::new("update", Kind::Bool, "Take new commits").default("true"),
        ArgSpec::new("recursive", Kind::Bool, "Submodules too").default("true"),
        ArgSpec::new("single_branch", Kind::Bool, "Clone only the version's branch").default("false"),
        ArgSpec::new("accept_hostkey", Kind::Bool, "Take an unknown host's key").default("false"),
        ArgSpec::new("accept_newhostkey", Kind::Bool, "Take an unknown host's key, refuse a changed one")
            .default("false"),
        ArgSpec::new("key_file", Kind::Path, "SSH key on the node").aliases(&["ssh_key"]),
        ArgSpec::new("ssh_opts", Kind::Str, "Further options for ssh"),
        ArgSpec::new("executable", Kind::Path, "Path of git"),
        ArgSpec::new("umask", Kind::Raw, "Not supported yet"),
        ArgSpec::new("bare", Kind::Bool, "Not supported yet").default("false"),
        ArgSpec::new("archive", Kind::Path, "Not supported yet"),
        ArgSpec::new("archive_prefix", Kind::Str, "Not supported yet"),
        ArgSpec::new("separate_git_dir", Kind::Path, "Not supported yet"),
        ArgSpec::new("reference", Kind::Path, "Not supported yet"),
        ArgSpec::new("track_submodules", Kind::Bool, "Not supported yet").default("false"),
        ArgSpec::new("verify_commit", Kind::Bool, "Not supported yet").default("false"),
        ArgSpec::new("gpg_allowlist", Kind::List, "Not supported yet").aliases(&["gpg_whitelist"]),
    ],
    free_form: None,
    build,
};

pub(super) fn refuse(args: &Args, names: &[&str]) -> Result<(), Problem> {
    match names.iter().find(|n| args.given(n) && args.bool(n).ok().flatten() != Some(false)) {
        Some(name) => Err(Problem::unsupported(format!("the argument `{name}`")).at(args.span(name))),
        None => Ok(()),
    }
}

struct Git {
    repo: String,
    dest: String,
    version: String,
    remote: String,
    refspec: Option<String>,
    force: bool,
    depth: Option<i64>,
    clone: bool,
    update: bool,
    recursive: bool,
    single_branch: bool,
    tool: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    refuse(
        &args,
        &[
            "umask",
            "bare",
            "archive",
            "archive_prefix",
            "separate_git_dir",
            "reference",
            "track_submodules",
            "verify_commit",
            "gpg_allowlist",
        ],
    )?;
    let mut task = Task::of(setting);
    let mut ssh = vec![];
    if args.flag("accept_hostkey")? || args.flag("accept_newhostkey")? {
        ssh.push("-o StrictHostKeyChecking=accept-new".to_owned());
    }
    if let Some(key) = args.str("key_file")? {
        ssh.push(format!("-i '{}' -o IdentitiesOnly=yes", task.path(&key).replace('\'', "'\\''")));
    }
    ssh.extend(args.str("ssh_opts")?);
    if !ssh.is_empty() {
        task.environment.push(("GIT_SSH_COMMAND".to_owned(), format!("ssh {}", ssh.join(" "))));
    }
    task.environment.push(("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned()));
    let version = args.need("version")?;
    Ok(Arc::new(Git {
        repo: args.need("repo")?,
        dest: task.path(&args.need("dest")?),
        version,
        remote: args.need("remote")?,
        refspec: args.str("refspec")?,
        force: args.flag("force")?,
        depth: args.int("depth")?,
        clone: args.flag("clone")?,
        update: args.flag("update")?,
        recursive: args.flag("recursive")?,
        single_branch: args.flag("single_branch")?,
        tool: args.str("executable")?.unwrap_or_else(|| "git".to_owned()),
        task,
    }))
}

impl Git {
    fn is_commit(&self) -> bool {
        self.version.len() == 40 && self.version.bytes().all(|b| b.is_ascii_hexdigit())
    }

    fn git(&self, words: &[&str]) -> Vec<String> {
        let mut argv = vec![self.tool.clone(), "-C".to_owned(), self.dest.clone()];
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        argv
    }

    /// The question for the remote's commits; the task's environment goes with it.
    fn remote_query(&self) -> Vec<String> {
        let mut argv = vec!["env".to_owned()];
        argv.extend(self.task.environment.iter().map(|(k, v)| format!("{k}={v}")));
        argv.extend([self.tool.clone(), "ls-remote".to_owned(), self.repo.clone()]);
        argv
    }

    /// The commit the version stands for, and whether it is a branch.
    fn resolve(&self, listing: &str) -> Option<(String, bool)> {
        if self.is_commit() {
            return Some((self.version.to_lowercase(), false));
        }
        let find = |name: &str| {
            listing.lines().find_map(|l| l.split_once('\t').filter(|(_, r)| *r == name).map(|(sha, _)| sha.to_owned()))
        };
        if self.version == "HEAD" {
            return find("HEAD").map(|sha| (sha, true));
        }
        find(&format!("refs/heads/{}", self.version)).map(|sha| (sha, true)).or_else(|| {
            find(&format!("refs/tags/{}^{{}}", self.version))
                .or_else(|| find(&format!("refs/tags/{}", self.version)))
                .map(|sha| (sha, false))
        })
    }

    fn effects(&self, head: &[String], status: &[String], sha: &str) -> Vec<Effect> {
        let ok = |text: String| Answer::Output(Output { rc: 0, stdout: text.into_bytes(), stderr: vec![] });
        vec![
            kit::effect(Query::Read { argv: head.to_vec() }, ok(format!("{sha}\n{}\n", self.repo))),
            kit::effect(Query::Read { argv: status.to_vec() }, ok(String::new())),
        ]
    }

    fn exec(&self, argv: Vec<String>) -> Action {
        ExecSpec { env: self.task.environment.clone(), ..ExecSpec::argv(argv) }.into_action()
    }
}

impl Resource for Git {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        // The commit checked out, and the remote's address.
        let head = [
            "sh",
            "-c",
            "\"$1\" -C \"$2\" rev-parse HEAD && \"$1\" -C \"$2\" config --get \"remote.$3.url\"",
            "sh",
            &self.tool,
            &self.dest,
            &self.remote,
        ]
        .map(str::to_owned)
        .to_vec();
        let status = self.git(&["status", "--porcelain"]);
        let remote = self.remote_query();
        let ask = |argv: &Vec<String>| Query::Read { argv: argv.clone() };
        world.want([ask(&head), ask(&status)]);
        if self.update || self.clone {
            world.want([ask(&remote)]);
        }
        let now = world.read(head.clone())?;
        if now.rc == 127 {
            return Err(Stop::Failed(format!("Failed to find required executable \"{}\" on the node", self.tool)));
        }
        let said = now.text();
        let mut lines = said.lines();
        let before = lines.next().filter(|_| now.rc == 0).map(str::to_owned);
        let url = lines.next().unwrap_or_default().to_owned();
        let result = |after: Option<&str>| {
            let text = |s: Option<&str>| s.map_or(Value::from(()), Value::from);
            TaskResult::unchanged()
                .with("before", text(before.as_deref()))
                .with("after", text(after))
                .with("remote_url_changed", before.is_some() && url != self.repo)
        };
        if before.is_none() && !self.clone || before.is_some() && !self.update {
            return Ok(Verdict::Unchanged(result(before.as_deref())));
        }
        let listing = if self.is_commit() && before.as_deref() == Some(&self.version) {
            String::new()
        } else {
            let output = world.read(remote)?;
            if output.rc != 0 {
                let error = output.error_text();
                return Ok(Verdict::Failed(
                    TaskResult::unchanged().with("msg", error.trim_end()).with("rc", output.rc).with("stderr", error),
                ));
            }
            output.text()
        };
        let Some((sha, branch)) = self.resolve(&listing) else {
            return Ok(kit::failed(format!(
                "Failed to checkout branch {}: the remote has no such version",
                self.version
            )));
        };
        let depth = self.depth.filter(|_| !self.is_commit()).map(|d| d.to_string());
        let head_effects = self.effects(&head, &status, &sha);
        let Some(old) = &before else {
            let mut argv = vec![self.tool.clone(), "clone".to_owned(), "--origin".to_owned(), self.remote.clone()];
            if let Some(depth) = &depth {
                argv.extend(["--depth".to_owned(), depth.clone()]);
            }
            if self.single_branch {
                argv.push("--single-branch".to_owned());
            }
            if self.version != "HEAD" && !self.is_commit() {
                argv.extend(["--branch".to_owned(), self.version.clone()]);
            }
            if self.recursive {
                argv.push("--recursive".to_owned());
            }
            argv.extend(["--".to_owned(), self.repo.clone(), self.dest.clone()]);
            let mut actions = vec![];
            if let Some(parent) = self.dest.rsplit_once('/').map(|(p, _)| p).filter(|p| !p.is_empty()) {
                actions.push(self.task.exec(["mkdir", "-p", "--", parent]));
            }
            actions.push(self.exec(argv));
            if let Some(refspec) = &self.refspec {
                actions.push(self.exec(self.git(&["fetch", &self.remote, refspec])));
            }
            if self.is_commit() {
                actions.push(self.exec(self.git(&["checkout", "--force", &self.version])));
            }
            return Ok(Verdict::Change(Change {
                diff: vec![kit::diff(&self.dest, "", format!("{sha}\n"))],
                opaque: true,
                result: TaskResult { changed: true, ..result(Some(&sha)) },
                ..kit::change(ChangeKind::Create, actions, head_effects)
            }));
        };
        let local = world.read(status.clone())?.text();
        let modified = local.lines().any(|l| !l.starts_with("??"));
        if modified && !self.force {
            return Ok(kit::failed(format!("Local modifications exist in the destination: {} (force=no).", self.dest)));
        }
        if *old == sha && url == self.repo && !modified {
            return Ok(Verdict::Unchanged(result(Some(old))));
        }
        let mut actions = vec![];
        if url != self.repo {
            actions.push(self.exec(self.git(&["remote", "set-url", &self.remote, &self.repo])));
        }
        let mut fetch = vec!["fetch", "--tags", "--force"];
        if let Some(depth) = &depth {
            fetch.extend(["--depth", depth]);
        }
        fetch.push(&self.remote);
        fetch.extend(self.refspec.as_deref());
        actions.push(self.exec(self.git(&fetch)));
        if branch && self.version != "HEAD" {
            actions.push(self.exec(self.git(&["checkout", "--force", "-B", &self.version, &sha])));
        } else if branch {
            actions.push(self.exec(self.git(&["reset", "--hard", &sha])));
        } else {
            actions.push(self.exec(self.git(&["checkout", "--force", &sha])));
        }
        if self.recursive {
            actions.push(self.exec(self.git(&["submodule", "update", "--init", "--recursive"])));
        }
        Ok(Verdict::Change(Change {
            diff: vec![kit::diff(&self.dest, format!("{old}\n"), format!("{sha}\n"))],
            opaque: true,
            result: TaskResult { changed: true, ..result(Some(&sha)) },
            ..kit::change(ChangeKind::Change, actions, head_effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.repo, message, output)),
        }
    }
}
