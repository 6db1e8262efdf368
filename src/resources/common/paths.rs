//! Paths on the node, as text: expansion of `~` and `$VAR`, joining, names.
//!
//! Node paths are text rather than `Path`: they belong to another machine.

use crate::problem::Problem;
use crate::resources::{Args, Setting};

/// A path argument: `~` and `$VAR` expanded as on the node, relative paths taken from the login's home. A final slash is kept
/// (some resources give it a meaning); use [`clean`] before asking the node.
pub fn expand(args: &Args, name: &str, setting: &Setting) -> Result<Option<String>, Problem> {
    let Some(text) = args.str(name)? else { return Ok(None) };
    expand_text(&text, setting).map(Some).map_err(|p| p.or_at(args.span(name)))
}

/// A path argument that must be there.
pub fn need(args: &Args, name: &str, setting: &Setting) -> Result<String, Problem> {
    let text = args.need(name)?;
    expand_text(&text, setting).map_err(|p| p.or_at(args.span(name)))
}

pub fn expand_text(text: &str, setting: &Setting) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(Problem::new("invalid-argument", "a path must not be empty"));
    }
    if text.contains('\0') {
        return Err(Problem::new("invalid-argument", "a path cannot hold a NUL character"));
    }
    let text = expand_vars(text, setting);
    let home = setting.home.trim_end_matches('/');
    if text == "~" {
        return Ok(if home.is_empty() { "/".to_owned() } else { home.to_owned() });
    }
    if let Some(rest) = text.strip_prefix("~/") {
        return Ok(format!("{home}/{rest}"));
    }
    if let Some(rest) = text.strip_prefix('~') {
        let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let slash = if text.contains('/') { "/" } else { "" };
        if user == "root" {
            return Ok(format!("/root{slash}{rest}"));
        }
        if user == setting.user {
            return Ok(format!("{home}{slash}{rest}"));
        }
        return match setting.homes.get(user) {
            Some(home) => Ok(format!("{}{slash}{rest}", home.trim_end_matches('/'))),
            None => Err(Problem::new(
                "invalid-argument",
                format!("the node has no user `{user}`, whose home the path names"),
            )
            .help("write the directory itself")),
        };
    }
    if text.starts_with('/') { Ok(text) } else { Ok(format!("{home}/{}", text.trim_start_matches("./"))) }
}

/// `$NAME` and `${NAME}` of the task's environment, HOME and USER; others stay as written, as Python leaves them.
fn expand_vars(text: &str, setting: &Setting) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    let value = |name: &str| -> Option<&str> {
        setting.environment.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).or(match name {
            "HOME" => Some(setting.home.as_str()),
            "USER" | "LOGNAME" => Some(setting.user.as_str()),
            _ => None,
        })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, len) = if let Some(braced) = rest.strip_prefix("${") {
            match braced.find('}') {
                Some(end) => (&braced[..end], end + 3),
                None => ("", 1),
            }
        } else {
            let end = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len() - 1);
            (&rest[1..=end], end + 1)
        };
        match value(name) {
            Some(v) if !name.is_empty() => out.push_str(v),
            _ => out.push_str(&rest[..len]),
        }
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

/// Without doubled slashes, `.` parts and the final slash: one spelling per path for queries. `..` stays (a link may precede it).
pub fn clean(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        out.push('/');
        out.push_str(part);
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

pub fn join(dir: &str, name: &str) -> String {
    if name.starts_with('/') {
        return name.to_owned();
    }
    if dir.ends_with('/') { format!("{dir}{name}") } else { format!("{dir}/{name}") }
}

/// The directory a path lies in; `/` for `/`.
pub fn dirname(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(i) => &path[..i],
    }
}

/// The last part, final slashes aside.
pub fn basename(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rfind('/').map_or(path, |i| &path[i + 1..])
}

/// The path and all its parents up to but without `/`, outermost first.
pub fn components(path: &str) -> Vec<String> {
    let path = clean(path);
    path.match_indices('/')
        .skip(1)
        .map(|(i, _)| path[..i].to_owned())
        .chain([path.clone()])
        .filter(|p| p != "/")
        .collect()
}

/// Where a backup of a file goes: beside it, with a number and the time, as Ansible names them.
pub fn backup_name(path: &str) -> String {
    let now = jiff::Zoned::now();
    format!("{path}.{}.{}", std::process::id(), now.strftime("%Y-%m-%d@%H:%M:%S~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        assert_eq!(clean("//a/./b//"), "/a/b");
        assert_eq!(clean("/"), "/");
        assert_eq!(dirname("/a/b/"), "/a");
        assert_eq!(dirname("/a"), "/");
        assert_eq!(basename("/a/b/"), "b");
        assert_eq!(components("/a/b/c"), ["/a", "/a/b", "/a/b/c"]);
        assert!(components("/").is_empty());
        assert_eq!(join("/a/", "b"), "/a/b");
    }
}
