//! Who runs what, from where: the line that stands in every node's ledger and in the control machine's history.

use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::ledger::{RunLine, VERSION};
use crate::run::Request;

/// The line of a run that begins now.
pub fn run_line(
    request: &Request,
    settings: &Settings,
    playbooks: &[PathBuf],
    tags: &[String],
    skip: &[String],
) -> RunLine {
    let repository = repository_of(playbooks);
    RunLine {
        id: new_id(),
        v: VERSION,
        kdeploy: env!("CARGO_PKG_VERSION").to_owned(),
        command: request.command.to_owned(),
        at: crate::report::now(),
        who: who(),
        from: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        playbook: playbook_name(request, settings, playbooks),
        commit: repository.and_then(|root| commit(&root)).unwrap_or_default(),
        tags: tags.to_vec(),
        skip_tags: skip.to_vec(),
        limit: request.hosts.limit.clone().unwrap_or_default(),
    }
}

fn repository_of(playbooks: &[PathBuf]) -> Option<PathBuf> {
    let cwd = std::env::current_dir().unwrap_or_default();
    repository(playbooks.first().and_then(|p| p.parent()).unwrap_or(&cwd))
}

/// The playbook's name: relative to its repository, the same wherever that is checked out.
pub fn playbook_name(request: &Request, settings: &Settings, playbooks: &[PathBuf]) -> String {
    if let Some(playbook) = &request.inline {
        return playbook.path.display().to_string();
    }
    let root = repository_of(playbooks).or_else(|| settings.root().map(|root| root.to_owned()));
    let short = |path: &PathBuf| {
        let short = root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        short.unwrap_or(path).display().to_string()
    };
    playbooks.iter().map(short).collect::<Vec<_>>().join(" ")
}

/// `20261124T201530-1a2b3c`: sorts by time, and no two are alike.
fn new_id() -> String {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S").to_string();
    let mut bytes = [0u8; 3];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut f| std::io::Read::read_exact(&mut f, &mut bytes));
    if random.is_err() {
        bytes = std::process::id().to_le_bytes()[..3].try_into().unwrap_or_default();
    }
    format!("{time}-{}", hex::encode(bytes))
}

fn who() -> String {
    let name = |key: &str| std::env::var(key).ok().filter(|v| !v.is_empty());
    let user = crate::node::own_name();
    match name("SUDO_USER") {
        Some(other) if other != user => format!("{other} (as {user})"),
        _ => user,
    }
}

/// The folder above that holds `.git`.
fn repository(from: &Path) -> Option<PathBuf> {
    let from = std::path::absolute(from).ok()?;
    from.ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_owned)
}

/// What is checked out there.
fn commit(root: &Path) -> Option<String> {
    let mut git = root.join(".git");
    if git.is_file() {
        // A worktree: the file says where its folder is.
        let text = std::fs::read_to_string(&git).ok()?;
        git = root.join(text.trim().strip_prefix("gitdir: ")?);
    }
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let Some(name) = head.strip_prefix("ref: ") else { return Some(head.to_owned()) };
    let common = std::fs::read_to_string(git.join("commondir")).ok().map(|c| git.join(c.trim()));
    for dir in std::iter::once(&git).chain(common.as_ref()) {
        if let Ok(text) = std::fs::read_to_string(dir.join(name)) {
            return Some(text.trim().to_owned());
        }
        let packed = std::fs::read_to_string(dir.join("packed-refs")).unwrap_or_default();
        if let Some(line) = packed.lines().find(|l| l.ends_with(&format!(" {name}"))) {
            return line.split(' ').next().map(str::to_owned);
        }
    }
    None
}
