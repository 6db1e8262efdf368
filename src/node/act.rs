//! Actions into requests, sections into outcomes.
//!
//! Each action is one request of a chain of steps (functions of `sh/action.sh`), with its blob behind it.

use super::quote::{quote, quote_all};
use super::shell::{Piece, Section, Shell};
use super::{Action, Command, Done, ExecSpec, Owner};
use crate::world::Output;

/// A request ready to be queued.
pub(super) struct Request {
    pub script: String,
    pub blob: Option<Piece>,
}

/// The directory part of an absolute path, for a temporary file beside it.
fn beside(path: &str, name: &str) -> String {
    match path.trim_end_matches('/').rfind('/') {
        Some(i) => format!("{}/{name}", &path[..i]),
        None => name.to_owned(),
    }
}

fn mode(mode: Option<u32>) -> String {
    mode.map_or("''".to_owned(), |m| format!("{m:05o}"))
}

/// `USER GROUP` as two words.
fn owner(owner: &Owner) -> String {
    format!("{} {}", quote(owner.user.as_deref().unwrap_or("")), quote(owner.group.as_deref().unwrap_or("")))
}

/// `USER:GROUP` for chown; `None` if neither is given.
fn chown_word(owner: &Owner) -> Option<String> {
    match (&owner.user, &owner.group) {
        (None, None) => None,
        (user, None) => user.clone(),
        (user, Some(group)) => Some(format!("{}:{group}", user.as_deref().unwrap_or(""))),
    }
}

/// The steps common to everything that puts a new file in place.
fn finish(
    path: &str,
    temporary: &str,
    m: Option<u32>,
    own: &Owner,
    validate: Option<&str>,
    backup: Option<&str>,
) -> Result<String, String> {
    let mut steps = format!("kd_attr {} {} {}", quote(path), mode(m), owner(own));
    if let Some(validate) = validate {
        let words = split_words(validate).ok_or_else(|| format!("`validate` has an unclosed quote: {validate}"))?;
        if !words.iter().any(|w| w.contains("%s")) {
            return Err(format!("`validate` must contain `%s`: {validate}"));
        }
        let words = words.iter().map(|w| w.replace("%s", temporary));
        steps += &format!(" && kd_c 'failed to validate' {}", quote_all(words));
    }
    if let Some(backup) = backup {
        steps += &format!(" && kd_backup {} {}", quote(path), quote(backup));
    }
    Ok(steps + &format!(" && kd_put {}", quote(path)))
}

/// The script of one action. `Err`: it cannot be done, why.
pub(super) fn request(
    index: usize,
    action: &Action,
    blob: Option<Piece>,
    shell: &mut Shell,
) -> Result<Request, String> {
    let name = shell.temporary_name();
    let temp = |path: &str| beside(path, &name);
    let with_temp = |path: &str, steps: String| format!("kd_temp {}; {steps}", quote(&temp(path)));
    let steps = match action {
        Action::WriteFile { path, mode, owner, validate, backup, .. } => {
            let rest = finish(path, &temp(path), *mode, owner, validate.as_deref(), backup.as_deref())?;
            with_temp(path, format!("kd_recv && {rest}"))
        }
        Action::CopyOnNode { source, path, mode, owner, validate, backup } => {
            let rest = finish(path, &temp(path), *mode, owner, validate.as_deref(), backup.as_deref())?;
            with_temp(path, format!("kd_copy {} && {rest}", quote(source)))
        }
        Action::MakeDir { path, mode: m, owner: o } => format!("kd_mkdir {} {} {}", quote(path), mode(*m), owner(o)),
        Action::Symlink { path, target } => with_temp(path, format!("kd_symlink {} {}", quote(path), quote(target))),
        Action::Hardlink { path, source } => with_temp(path, format!("kd_hardlink {} {}", quote(path), quote(source))),
        Action::SetMode { path, mode, follow } => {
            format!("kd_chmod {} {mode:05o} {}", if *follow { "f" } else { "n" }, quote(path))
        }
        Action::SetModeRecursive { path, symbolic } => {
            format!("kd_c 'cannot set the mode' chmod -R -- {} {}", quote(symbolic), quote(path))
        }
        Action::SetOwner { path, owner, recursive, follow } => match chown_word(owner) {
            None => "true".to_owned(),
            Some(word) => {
                let options = match (*recursive, *follow) {
                    (true, true) => "-R ",
                    (true, false) => "-R -h ",
                    (false, true) => "",
                    (false, false) => "-h ",
                };
                format!("kd_c 'cannot set the owner' chown {options}-- {} {}", quote(&word), quote(path))
            }
        },
        Action::Touch { path, access, modify } => format!(
            "kd_touch {} {} {}",
            quote(path),
            quote(access.as_deref().unwrap_or("")),
            quote(modify.as_deref().unwrap_or(""))
        ),
        Action::Remove { path } => format!("kd_c 'cannot remove' rm -rf -- {}", quote(path)),
        Action::Rename { from, to } => format!("kd_move {} {}", quote(from), quote(to)),
        Action::Systemctl { verb, units, user, no_block } => format!(
            "kd_systemctl {} {}{} -- {}",
            if *user { "--user" } else { "''" },
            if *no_block { "--no-block " } else { "" },
            quote(verb),
            quote_all(units)
        ),
        Action::Exec(spec) => exec(spec, blob.is_some()),
        Action::Confirm(confirm) => confirm.script(),
        Action::Confirmed { id } => format!("kd_confirmed {}", quote(id)),
        Action::Ledger { paths, .. } => {
            let mut words = format!("kd_ledger {} {}", crate::ledger::KEPT_BYTES, crate::ledger::STORE_KILOBYTES);
            for former in paths {
                let keep = if former.path == crate::ledger::PACKAGES {
                    "p"
                } else if former.secret {
                    "secret"
                } else if former.whole {
                    "w"
                } else {
                    "k"
                };
                words += &format!(" {} {keep} {}", quote(&former.id), quote(&former.path));
            }
            words
        }
        Action::Background(job) => {
            let (steps, requests) = job.request(shell)?;
            return Ok(Request { script: framed(index, &steps), blob: Some(requests) });
        }
        Action::Unpack { .. } | Action::Reboot { .. } | Action::Sleep { .. } | Action::Reconnect => {
            unreachable!("{action:?} is carried out in steps by the conversation")
        }
    };
    if steps.contains('\0') {
        return Err("a NUL character cannot be sent to the node".to_owned());
    }
    Ok(Request { script: framed(index, &steps), blob })
}

/// The steps of one action, with the beginning and end that tell its outcome.
pub(super) fn framed(index: usize, steps: &str) -> String {
    format!("kd_a {index}; {steps}; kd_z")
}

/// A subshell that becomes the program; its standard streams are files, so nothing it leaves behind can disturb.
fn exec(spec: &ExecSpec, has_input: bool) -> String {
    let mut inner = String::new();
    if let Some(dir) = &spec.chdir {
        inner += &format!("kd_cd {}; ", quote(dir));
    }
    for (key, value) in &spec.env {
        inner += &format!("export {}; ", quote(&format!("{key}={value}")));
    }
    let limit = if spec.timeout > 0 { format!("timeout -k 5 {} ", spec.timeout) } else { String::new() };
    let program = match &spec.command {
        Command::Argv(argv) => quote_all(argv),
        Command::Shell { text, executable } => {
            format!("{} -c {}", quote(executable.as_deref().unwrap_or("/bin/sh")), quote(text))
        }
    };
    inner += &format!("kd_exec {limit}{program}");
    let codes: Vec<String> = spec.ok_codes.iter().map(i32::to_string).collect();
    let codes = if codes.is_empty() { "''".to_owned() } else { quote(&codes.join(" ")) };
    let (input, from) =
        if has_input { ("true >\"$D/i$X\" && kd_blob \"$D/i$X\" && { ", "<\"$D/i$X\" ") } else { ("", "") };
    let seconds = if spec.timeout > 0 { format!(" {}", spec.timeout) } else { String::new() };
    let close = if has_input { "; }" } else { "" };
    format!("{input}P=$((P+1)); ( {inner} ) {from}>>\"$O\" 2>>\"$E\" 3<&-; kd_rc $? {codes}{seconds}{close}")
}

/// Takes sections in and tells outcomes.
#[derive(Default)]
pub(super) struct Outcomes {
    output: Output,
    message: String,
    pub processes: u64,
}

pub(super) enum Told {
    /// More is to come.
    Nothing,
    Ended(usize, Done),
    BatchOver,
}

impl Outcomes {
    pub fn take(&mut self, section: Section, describe: impl Fn(usize) -> String) -> Told {
        match section.tag.as_str() {
            "o" => self.output.stdout = section.body,
            "e" => self.output.stderr = section.body,
            "m" => self.message = String::from_utf8_lossy(&section.body).into_owned(),
            tag => {
                if let Some(processes) = tag.strip_prefix("z ") {
                    self.processes = processes.parse().unwrap_or_default();
                    return Told::BatchOver;
                }
                let Some(rest) = tag.strip_prefix("a ") else { return Told::Nothing };
                let mut numbers = rest.split(' ').map(|n| n.parse::<i64>().unwrap_or(-1));
                let (index, status, rc) = (numbers.next(), numbers.next(), numbers.next());
                let index = usize::try_from(index.unwrap_or_default()).unwrap_or_default();
                let mut output = std::mem::take(&mut self.output);
                output.rc = i32::try_from(rc.unwrap_or_default()).unwrap_or(-1);
                let message = std::mem::take(&mut self.message);
                if status == Some(0) {
                    return Told::Ended(index, Done::Ok(output));
                }
                if output.rc == 0 {
                    output.rc = 1;
                }
                let mut message = format!("{}: {message}", describe(index));
                let last = String::from_utf8_lossy(&output.stderr);
                if let Some(line) = last.lines().rev().find(|l| !l.trim().is_empty()) {
                    message = format!("{message}: {}", line.trim());
                }
                return Told::Ended(index, Done::Failed { message, output });
            }
        }
        Told::Nothing
    }
}

/// What an action is about, for messages; never holds contents.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::WriteFile { path, .. }
        | Action::MakeDir { path, .. }
        | Action::Symlink { path, .. }
        | Action::Hardlink { path, .. }
        | Action::SetMode { path, .. }
        | Action::SetModeRecursive { path, .. }
        | Action::SetOwner { path, .. }
        | Action::Touch { path, .. }
        | Action::Remove { path }
        | Action::CopyOnNode { path, .. } => format!("`{path}`"),
        Action::Rename { from, to } => format!("`{from}` to `{to}`"),
        Action::Unpack { dest, .. } => format!("unpacking into `{dest}`"),
        Action::Systemctl { verb, units, user, .. } => {
            let user = if *user { "--user " } else { "" };
            format!("`systemctl {user}{verb}{}`", units.iter().map(|u| format!(" {u}")).collect::<String>())
        }
        Action::Exec(spec) => match &spec.command {
            Command::Argv(argv) => format!("`{}`", argv.first().map_or("", String::as_str)),
            Command::Shell { .. } => "the shell command".to_owned(),
        },
        Action::Background(job) => format!("the background job `{}`", job.file),
        Action::Reboot { .. } => "the reboot".to_owned(),
        Action::Sleep { .. } => "the pause".to_owned(),
        Action::Reconnect => "the new connection".to_owned(),
        Action::Confirm(_) => "the timer that puts the change back".to_owned(),
        Action::Confirmed { .. } => "the change that waits to be confirmed".to_owned(),
        Action::Ledger { .. } => "kdeploy's ledger on the node".to_owned(),
    }
}

/// Splits a command line as a POSIX shell would, without expansions; `None` if a quote is left open.
pub(super) fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let w = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => w.push(c),
                    }
                }
            }
            '"' => {
                let w = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => w.push(c),
                            c => w.extend(['\\', c]),
                        },
                        c => w.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}
