//! Becoming another user: sudo, su and doas, and what their last words mean.
//!
//! `conversation.rs` starts a shell through them; passwords go down its standard input only.

use super::act;
use super::quote::{quote, quote_all};
use super::{Identity, NodeError};

pub(super) fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().map(str::trim).find(|l| !l.is_empty())
}

pub(super) fn method(identity: &Identity) -> &str {
    if identity.method.is_empty() { "sudo" } else { &identity.method }
}

/// A prompt that nothing else prints.
pub(super) fn prompt_text() -> String {
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("[kdeploy {}-{n} wants a password]", std::process::id())
}

pub(super) fn become_command(user: &str, identity: &Identity, prompt: &str, inner: &str) -> Result<String, NodeError> {
    let flags = act::split_words(identity.flags.as_deref().unwrap_or("")).unwrap_or_default();
    // `-n` would forbid the prompt that the password answers.
    let flags = flags.iter().filter(|f| identity.password.is_none() || *f != "-n");
    let flags = quote_all(flags);
    let user = quote(user);
    let method = method(identity);
    let exe = quote(identity.exe.as_deref().unwrap_or(method));
    match method {
        "sudo" => Ok(match &identity.password {
            Some(_) => format!("{exe} {flags} -H -S -p {} -u {user} -- {inner}", quote(prompt)),
            None => format!("{exe} {flags} -H -n -u {user} -- {inner}"),
        }),
        "su" => Ok(format!("{exe} {flags} {user} -c {}", quote(&format!("exec {inner}")))),
        "doas" => Ok(format!("{exe} {flags} -n -u {user} {inner}")),
        other => Err(NodeError::Refused {
            message: format!("not supported yet: become method `{other}`"),
            help: vec!["`sudo`, `su` and `doas` are".into()],
        }),
    }
}

/// What sudo's, su's or doas' last words mean.
pub(super) fn become_trouble(user: &str, identity: &Identity, why: &str, stderr: &str) -> NodeError {
    let method = method(identity);
    let said = last_line(stderr).unwrap_or(why).to_owned();
    let has = |words: &[&str]| words.iter().any(|w| stderr.contains(w));
    let (message, help): (String, &str) =
        if has(&["password is required", "a password is required", "Authentication required"]) {
            (
                format!("{method} needs a password for becoming `{user}`"),
                "give it with -K (--ask-become-pass) or `ansible_become_password`",
            )
        } else if has(&[
            "incorrect password",
            "try again",
            "Authentication failure",
            "no password was provided",
            "Authentication failed",
        ]) {
            (
                format!("wrong {method} password for becoming `{user}`"),
                "give the right one with -K (--ask-become-pass) or `ansible_become_password`",
            )
        } else if has(&["not in the sudoers", "not allowed to", "is not allowed", "Operation not permitted"]) {
            (
                format!("{method} does not let this user become `{user}`: {said}"),
                "allow it in the node's sudoers, or log in as another user",
            )
        } else if has(&["unknown user", "does not exist", "No passwd entry"]) {
            (
                format!("there is no user `{user}` on the node to become"),
                "create the user first, or set another `become_user`",
            )
        } else if has(&["not found", "No such file"]) {
            (format!("the node has no `{method}`: {said}"), "install it, or set another `become_method`")
        } else if has(&["must have a tty"]) {
            (format!("{method} wants a terminal: {said}"), "remove `requiretty` from the node's sudoers")
        } else {
            (format!("{method} did not start a shell as `{user}`: {said}"), "try the same command on the node by hand")
        };
    NodeError::Refused { message, help: vec![help.to_owned()] }
}
