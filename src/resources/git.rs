//! `git`: a clone of a repository, by the node's git.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
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
        ArgSpec::new("umask", Kind::Raw, "umask for what git makes: octal"),
        ArgSpec::new("bare", Kind::Bool, "A bare repository: no files checked out").default("false"),
        ArgSpec::new("archive", Kind::Path, "Write an archive of the version here; the name's end says its kind"),
        ArgSpec::new("archive_prefix", Kind::Str, "Folder in front of the archive's members"),
        ArgSpec::new("separate_git_dir", Kind::Path, "Where git's own files lie"),
        ArgSpec::new("reference", Kind::Path, "A repository on the node to take objects from"),
        ArgSpec::new("track_submodules", Kind::Bool, "Submodules follow their branch, not the recorded commit")
            .default("false"),
        ArgSpec::new("verify_commit", Kind::Bool, "The commit or tag must have a good signature").default("false"),
        ArgSpec::new("gpg_allowlist", Kind::List, "Fingerprints, one of which signed it").aliases(&["gpg_whitelist"]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

/// Whether a working copy holds nothing but what was fetched; says on standard error why not. `$1`: git, `$2`: the folder.
const UNTOUCHED: &str = "cd \"$2\" || exit 1
    holds() { if [ -n \"$2\" ]; then echo \"it holds $1\" >&2; exit 1; fi; }
    state=$(\"$1\" status --porcelain --ignored) || exit 1
    holds 'files that git did not fetch' \"$state\"
    holds 'stashed work' \"$(\"$1\" stash list)\"
    holds 'commits that no remote has' \"$(\"$1\" log --oneline -1 HEAD --branches --not --remotes --tags)\"";

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
    umask: Option<String>,
    bare: bool,
    reference: Option<String>,
    git_dir: Option<String>,
    track: bool,
    verify: bool,
    signers: Vec<String>,
    archive: Option<String>,
    prefix: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let umask = kit::umask(&args)?;
    let bare = args.flag("bare")?;
    if bare && args.given("separate_git_dir") {
        return Err(Problem::new("invalid-argument", "`bare` and `separate_git_dir` exclude each other")
            .at(args.span("separate_git_dir"))
            .into());
    }
    if args.given("archive_prefix") && !args.given("archive") {
        return Err(Problem::new("missing-argument", "`archive_prefix` goes with `archive`")
            .at(args.span("archive_prefix"))
            .into());
    }
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
        umask,
        bare,
        reference: args.str("reference")?.map(|p| task.path(&p)),
        git_dir: args.str("separate_git_dir")?.map(|p| task.path(&p)),
        track: args.flag("track_submodules")?,
        verify: args.flag("verify_commit")?,
        signers: args.list("gpg_allowlist")?,
        archive: args.str("archive")?.map(|p| task.path(&p)),
        prefix: args.str("archive_prefix")?,
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
        let argv = kit::under(self.umask.as_deref(), argv);
        ExecSpec { env: self.task.environment.clone(), ..ExecSpec::argv(argv) }.into_action()
    }
}

impl Git {
    /// What the commit that is checked out is called in the repository.
    fn revision(&self) -> String {
        if !self.bare || self.is_commit() || self.version == "HEAD" {
            return "HEAD".to_owned();
        }
        format!("{}^{{commit}}", self.version)
    }

    /// Fails unless a good signature is on the version; of one of the signers, if any are named.
    fn verifying(&self, sha: &str) -> Action {
        let what = if self.is_commit() || self.version == "HEAD" { sha } else { &self.version };
        let script = "git=$1 dir=$2 what=$3; shift 3; \
            case $(\"$git\" -C \"$dir\" cat-file -t \"$what\") in tag) verb=verify-tag ;; *) verb=verify-commit ;; esac; \
            said=$(\"$git\" -C \"$dir\" $verb --raw \"$what\" 2>&1) || { printf '%s\\n' \"$said\" >&2; exit 1; }; \
            [ $# -gt 0 ] || exit 0; \
            for one; do case $said in *VALIDSIG*\"$one\"*) exit 0 ;; esac; done; \
            echo \"the signature is of none of the allowed keys\" >&2; exit 1";
        let mut argv = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
        argv.extend([self.tool.clone(), self.dest.clone(), what.to_owned()]);
        argv.extend(self.signers.iter().cloned());
        self.exec(argv)
    }

    /// The archive of a version; made anew with each new version.
    fn archiving(&self, archive: &str, sha: &str) -> Action {
        let kind = match archive.rsplit('.').next() {
            Some("zip") => "zip",
            Some("tgz") => "tgz",
            Some("gz") => "tar.gz",
            _ => "tar",
        };
        let (format, output) = (format!("--format={kind}"), format!("--output={archive}"));
        let prefix = self.prefix.as_ref().map(|p| format!("--prefix={}/", p.trim_end_matches('/')));
        let mut words = vec!["archive", &format, &output];
        words.extend(prefix.as_deref());
        words.push(sha);
        self.exec(self.git(&words))
    }

    /// What follows once the version is there: submodules, the signature, the archive.
    fn finish(&self, actions: &mut Vec<Action>, sha: &str, cloned: bool) {
        if self.recursive && !self.bare && (!cloned || self.track) {
            let mut words = vec!["submodule", "update", "--init", "--recursive"];
            if self.track {
                words.push("--remote");
            }
            actions.push(self.exec(self.git(&words)));
        }
        if let Some(archive) = &self.archive {
            actions.push(self.archiving(archive, sha));
        }
    }
}

impl Resource for Git {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        // The commit checked out, and the remote's address.
        let head = [
            "sh",
            "-c",
            "\"$1\" -C \"$2\" rev-parse \"$4\" && \"$1\" -C \"$2\" config --get \"remote.$3.url\"",
            "sh",
            &self.tool,
            &self.dest,
            &self.remote,
            &self.revision(),
        ]
        .map(str::to_owned)
        .to_vec();
        // A bare repository has no files that could differ.
        let status =
            self.git(if self.bare { &["rev-parse", "--is-bare-repository"] } else { &["status", "--porcelain"] });
        let remote = self.remote_query();
        let ask = |argv: &Vec<String>| Query::Read { argv: argv.clone() };
        world.want([ask(&head), ask(&status), Query::Stat { path: self.dest.clone(), follow: false }]);
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
            let result = TaskResult::unchanged().with("before", text(before.as_deref())).with("after", text(after));
            // Of a repository that is there and followed.
            if before.is_some() && self.update { result.with("remote_url_changed", url != self.repo) } else { result }
        };
        if before.is_some() && !self.update {
            return Ok(Verdict::Unchanged(result(before.as_deref())));
        }
        let listing = if self.is_commit() && before.as_deref() == Some(&self.version) {
            String::new()
        } else {
            let output = world.read(remote)?;
            if output.rc != 0 {
                let error = output.error_text();
                return Ok(Verdict::Failed(
                    TaskResult::unchanged()
                        .with("msg", error.trim_end())
                        .with("cmd", format!("{} ls-remote {}", self.tool, self.repo))
                        .with("rc", output.rc)
                        .with("stdout", output.text())
                        .with("stderr", error),
                ));
            }
            output.text()
        };
        let Some((sha, branch)) = self.resolve(&listing) else {
            return Ok(Verdict::Failed(
                TaskResult::unchanged()
                    .with("msg", format!("Failed to checkout branch {}: the remote has no such version", self.version))
                    .with("cmd", format!("{} checkout --force {}", self.tool, self.version))
                    .with("rc", 1)
                    .with("stdout", "")
                    .with(
                        "stderr",
                        format!("error: pathspec '{}' did not match any file(s) known to git\n", self.version),
                    ),
            ));
        };
        if before.is_none() && !self.clone {
            // As Ansible has it: told as a change each time, though nothing is done.
            let change = kit::change(ChangeKind::Run, vec![], vec![]);
            return Ok(Verdict::Change(Change {
                result: TaskResult { changed: true, ..result(Some(&sha)) },
                ..change
            }));
        }
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
            if self.bare {
                argv.push("--bare".to_owned());
            }
            argv.extend(self.reference.iter().map(|path| format!("--reference={path}")));
            argv.extend(self.git_dir.iter().map(|path| format!("--separate-git-dir={path}")));
            if self.version != "HEAD" && !self.is_commit() {
                argv.extend(["--branch".to_owned(), self.version.clone()]);
            }
            if self.recursive && !self.bare {
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
            if self.verify {
                actions.push(self.verifying(&sha));
            }
            if self.is_commit() && !self.bare {
                actions.push(self.exec(self.git(&["checkout", "--force", &self.version])));
            }
            self.finish(&mut actions, &sha, true);
            return Ok(Verdict::Change(Change {
                diff: vec![kit::diff(&self.dest, "", format!("{sha}\n"))],
                opaque: true,
                result: TaskResult { changed: true, ..result(Some(&sha)) },
                ..kit::change(ChangeKind::Create, actions, head_effects)
            }));
        };
        let local = world.read(status.clone())?.text();
        let modified = !self.bare && local.lines().any(|l| !l.starts_with("??"));
        if modified && !self.force {
            let msg = format!("Local modifications exist in the destination: {} (force=no).", self.dest);
            let result = TaskResult::unchanged().with("before", old.as_str()).with("msg", msg);
            return Ok(Verdict::Failed(result));
        }
        if *old == sha && url == self.repo && !modified {
            let Some(archive) = &self.archive else { return Ok(Verdict::Unchanged(result(Some(old)))) };
            if world.stat(archive, true)?.is_some() {
                return Ok(Verdict::Unchanged(result(Some(old))));
            }
            return Ok(Verdict::Change(Change {
                diff: vec![kit::diff(archive, "", format!("{sha}\n"))],
                opaque: true,
                result: TaskResult { changed: true, ..result(Some(old)) },
                ..kit::change(ChangeKind::Create, vec![self.archiving(archive, &sha)], vec![])
            }));
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
        if self.bare {
            fetch.push("+refs/heads/*:refs/heads/*");
        }
        fetch.extend(self.refspec.as_deref());
        actions.push(self.exec(self.git(&fetch)));
        if self.verify {
            actions.push(self.verifying(&sha));
        }
        if self.bare {
            // Its branches are what was fetched.
        } else if branch && self.version != "HEAD" {
            actions.push(self.exec(self.git(&["checkout", "--force", "-B", &self.version, &sha])));
        } else if branch {
            actions.push(self.exec(self.git(&["reset", "--hard", &sha])));
        } else {
            actions.push(self.exec(self.git(&["checkout", "--force", &sha])));
        }
        self.finish(&mut actions, &sha, false);
        let mut result = result(Some(&sha));
        if modified {
            result = result.with("msg", format!("Local modifications exist in the destination: {}", self.dest));
        }
        Ok(Verdict::Change(Change {
            diff: vec![kit::diff(&self.dest, format!("{old}\n"), format!("{sha}\n"))],
            opaque: true,
            result: TaskResult { changed: true, ..result },
            ..kit::change(ChangeKind::Change, actions, head_effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(super::group::failed_tool(&self.repo, message, output)),
        }
    }

    fn inverse(&self, view: &View, change: &super::Change) -> super::Inverse {
        let is_there = view.stat(&self.dest, false).ok().flatten().is_some();
        if self.bare || self.git_dir.is_some() || change.kind == ChangeKind::Create && is_there {
            return super::Inverse::impossible("others may have used the repository or its folder");
        }
        let guard = ["sh", "-c", UNTOUCHED, "sh", &self.tool, &self.dest].map(str::to_owned).to_vec();
        // Missing parents were made too; they go like any folder.
        let parent =
            self.dest.rsplit_once('/').map(|(parent, _)| parent.to_owned()).filter(|parent| !parent.is_empty());
        super::Inverse {
            paths: parent.into_iter().collect(),
            tree: Some((self.dest.clone(), guard)),
            ..super::Inverse::default()
        }
    }
}
