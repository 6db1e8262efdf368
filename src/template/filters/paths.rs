//! Filters on paths of the control machine, POSIX and Windows.

use std::path::Path;

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, env, err, is_sequence, items, list, opt_string, string, text, tuple};
use crate::template::types::type_name;

pub const FILTERS: &[Entry] = &[
    ("basename", |_, c| on_path(c, |p| Value::from(basename(p)))),
    ("dirname", |_, c| on_path(c, |p| Value::from(dirname(p)))),
    ("splitext", |_, c| on_path(c, splitext)),
    ("expanduser", |_, c| on_path(c, |p| Value::from(expand_user(p)))),
    ("expandvars", |_, c| on_path(c, |p| Value::from(expand_vars(p)))),
    ("realpath", |_, c| on_path(c, |p| Value::from(realpath(p)))),
    ("normpath", |_, c| on_path(c, |p| Value::from(normpath(p)))),
    ("relpath", relpath),
    ("path_join", path_join),
    ("commonpath", commonpath),
    ("fileglob", |_, c| on_path(c, |p| list(glob(p).into_iter().filter(|f| Path::new(f).is_file()).map(Value::from)))),
    ("win_basename", |_, c| on_path(c, |p| Value::from(win_split(p).1))),
    ("win_dirname", |_, c| on_path(c, |p| Value::from(win_split(p).0))),
    ("win_splitdrive", |_, c| {
        on_path(c, |p| {
            let (drive, rest) = win_drive(p);
            tuple([Value::from(drive), Value::from(rest)])
        })
    }),
];

fn on_path(mut call: Call, f: fn(&str) -> Value) -> Result<Value, Error> {
    let value = call.subject()?;
    match value.as_str() {
        Some(path) => Ok(f(path)),
        None => Err(err(format!("`{}` takes a path, not {}", call.name, type_name(&value)))),
    }
}

pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub fn dirname(path: &str) -> &str {
    let Some(at) = path.rfind('/') else { return "" };
    let head = &path[..=at];
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

fn splitext(path: &str) -> Value {
    let name_start = path.rfind('/').map_or(0, |i| i + 1);
    let name = &path[name_start..];
    let lead = name.len() - name.trim_start_matches('.').len();
    let cut = name[lead..].rfind('.').map_or(path.len(), |i| name_start + lead + i);
    tuple([Value::from(&path[..cut]), Value::from(&path[cut..])])
}

/// `os.path.expanduser`, on the control machine.
pub fn expand_user(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (user, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = if user.is_empty() { env("HOME").or_else(|| passwd_home(None)) } else { passwd_home(Some(user)) };
    match home {
        Some(home) => {
            let joined = format!("{}{tail}", home.trim_end_matches('/'));
            if joined.is_empty() { "/".into() } else { joined }
        }
        None => path.to_owned(),
    }
}

fn passwd_home(user: Option<&str>) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let hit = match user {
            Some(user) => fields.first() == Some(&user),
            None => fields.get(2) == Some(&"0"),
        };
        if hit { fields.get(5).map(|h| (*h).to_owned()) } else { None }
    })
}

/// `os.path.expandvars`: `$NAME` and `${NAME}`; what is not set stays.
pub fn expand_vars(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, len) = match after.strip_prefix('{').and_then(|a| a.find('}').map(|end| (&a[..end], end + 2))) {
            Some(found) => found,
            None => {
                let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match env(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[at..=at + len]),
        }
        rest = &after[len..];
    }
    out + rest
}

/// `os.path.normpath`.
pub fn normpath(path: &str) -> String {
    if path.is_empty() {
        return ".".into();
    }
    let root = if path.starts_with("//") && !path.starts_with("///") {
        "//"
    } else if path.starts_with('/') {
        "/"
    } else {
        ""
    };
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".into() } else { joined }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        return normpath(path);
    }
    let cwd = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    normpath(&format!("{cwd}/{path}"))
}

/// `os.path.realpath`: links are followed as far as the path exists.
pub fn realpath(path: &str) -> String {
    let mut done = String::from("/");
    let full = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default())
    };
    let mut pending: Vec<String> = full.split('/').rev().map(str::to_owned).collect();
    let mut hops = 0;
    while let Some(part) = pending.pop() {
        match part.as_str() {
            "" | "." => {}
            ".." => done = dirname(&done).to_owned(),
            part => {
                let next = if done == "/" { format!("/{part}") } else { format!("{done}/{part}") };
                match std::fs::read_link(&next) {
                    Ok(target) if hops < 40 => {
                        hops += 1;
                        let target = target.to_string_lossy().into_owned();
                        if target.starts_with('/') {
                            done = "/".into();
                        }
                        pending.extend(target.split('/').rev().map(str::to_owned));
                    }
                    _ => done = next,
                }
            }
        }
    }
    done
}

fn relpath(_: &mut State, call: Call) -> Result<Value, Error> {
    let [path, start] = call.bind(["path", "start"], 1)?;
    let path = absolute(&string(&path.unwrap_or_default(), "path")?);
    let start = absolute(&opt_string(start.as_ref(), "start")?.unwrap_or_else(|| ".".into()));
    let split = |p: &str| p.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (path, start) = (split(&path), split(&start));
    let common = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let mut parts = vec!["..".to_owned(); start.len() - common];
    parts.extend(path[common..].iter().cloned());
    Ok(Value::from(if parts.is_empty() { ".".into() } else { parts.join("/") }))
}

/// `os.path.join`.
pub fn join<S: AsRef<str>>(parts: &[S]) -> String {
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        let part = part.as_ref();
        if part.starts_with('/') || i == 0 {
            out = part.to_owned();
        } else {
            if !out.is_empty() && !out.ends_with('/') {
                out.push('/');
            }
            out.push_str(part);
        }
    }
    out
}

fn path_join(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    if let Some(s) = value.as_str() {
        return Ok(Value::from(s));
    }
    if !is_sequence(&value) {
        return Err(err(format!("`path_join` takes text or a list of texts, not {}", type_name(&value))));
    }
    let parts = items(&value)?.iter().map(|v| string(v, "path")).collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() {
        return Err(err("`path_join` needs at least one path"));
    }
    Ok(Value::from(join(&parts)))
}

fn commonpath(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    if !is_sequence(&value) {
        return Err(err(format!("`commonpath` takes a list of paths, not {}", type_name(&value))));
    }
    let paths: Vec<String> = items(&value)?.iter().map(text).collect();
    let Some(first) = paths.first() else { return Err(err("`commonpath` needs at least one path")) };
    let rooted = first.starts_with('/');
    if paths.iter().any(|p| p.starts_with('/') != rooted) {
        return Err(err("`commonpath` can't mix absolute and relative paths"));
    }
    let split = |p: &String| p.split('/').filter(|s| !s.is_empty() && *s != ".").map(str::to_owned).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = paths.iter().map(split).collect();
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let common = (0..shortest).take_while(|i| all.iter().all(|p| p[*i] == all[0][*i])).count();
    Ok(Value::from(format!("{}{}", if rooted { "/" } else { "" }, all[0][..common].join("/"))))
}

/// `glob.glob` on the control machine: `*`, `?`, `[…]`; a leading dot must be written. In the folder's sorted order.
pub fn glob(pattern: &str) -> Vec<String> {
    fn walk(base: String, parts: &[&str], out: &mut Vec<String>) {
        let Some((part, rest)) = parts.split_first() else {
            out.push(base);
            return;
        };
        let join = |name: &str| match base.as_str() {
            "" => name.to_owned(),
            b if b.ends_with('/') => format!("{b}{name}"),
            b => format!("{b}/{name}"),
        };
        if !part.contains(['*', '?', '[']) {
            let next = join(part);
            if part.is_empty() || Path::new(&next).symlink_metadata().is_ok() {
                walk(next, rest, out);
            }
            return;
        }
        let folder = if base.is_empty() { "." } else { &base };
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| {
                (part.starts_with('.') || !n.starts_with('.')) && crate::template::filters::paths::fnmatch(part, n)
            })
            .collect();
        names.sort();
        for name in names {
            walk(join(&name), rest, out);
        }
    }
    let mut out = vec![];
    let (base, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", pattern),
    };
    let parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty()).collect();
    walk(base.to_owned(), &parts, &mut out);
    out
}

/// `fnmatch.fnmatchcase`.
pub fn fnmatch(pattern: &str, name: &str) -> bool {
    fn matches(p: &[char], n: &[char]) -> bool {
        match p.split_first() {
            None => n.is_empty(),
            Some(('*', rest)) => (0..=n.len()).any(|i| matches(rest, &n[i..])),
            Some(('?', rest)) => !n.is_empty() && matches(rest, &n[1..]),
            Some(('[', rest)) => {
                let negated = matches!(rest.first(), Some('!'));
                let body = &rest[usize::from(negated)..];
                let Some(end) = body.iter().skip(1).position(|c| *c == ']').map(|i| i + 1) else {
                    return n.first() == Some(&'[') && matches(rest, &n[1..]);
                };
                let Some(c) = n.first() else { return false };
                let (mut hit, mut i) = (false, 0);
                while i < end {
                    if i + 2 < end && body[i + 1] == '-' {
                        hit |= (body[i]..=body[i + 2]).contains(c);
                        i += 3;
                    } else {
                        hit |= body[i] == *c;
                        i += 1;
                    }
                }
                hit != negated && matches(&body[end + 1..], &n[1..])
            }
            Some((c, rest)) => n.first() == Some(c) && matches(rest, &n[1..]),
        }
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
}

fn win_drive(path: &str) -> (String, String) {
    let norm = path.replace('/', "\\");
    if norm.starts_with("\\\\") && !norm.starts_with("\\\\\\") {
        let after = norm[2..].find('\\').map(|i| i + 2);
        return match after {
            None => (path.to_owned(), String::new()),
            Some(server) => match norm[server + 1..].find('\\').map(|i| i + server + 1) {
                None => (path.to_owned(), String::new()),
                Some(share) => (path[..share].to_owned(), path[share..].to_owned()),
            },
        };
    }
    match path.char_indices().nth(1) {
        Some((i, ':')) => (path[..=i].to_owned(), path[i + 1..].to_owned()),
        _ => (String::new(), path.to_owned()),
    }
}

fn win_split(path: &str) -> (String, String) {
    let (drive, rest) = win_drive(path);
    let cut = rest.rfind(['\\', '/']).map_or(0, |i| i + 1);
    let (head, tail) = rest.split_at(cut);
    let trimmed = head.trim_end_matches(['\\', '/']);
    (format!("{drive}{}", if trimmed.is_empty() { head } else { trimmed }), tail.to_owned())
}
