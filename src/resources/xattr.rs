//! `xattr`: extended attributes of files. The manual is doc/xattr.md.

use std::sync::Arc;

use minijinja::Value;

use super::common::{diff, fail, invalid, paths};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::ExecSpec;
use crate::problem::Problem;
use crate::world::{Answer, Effect, Output, Query, Stop, View};

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::Path, "the file").required().aliases(&["name"]),
    ArgSpec::new("key", Kind::Str, "the attribute's name"),
    ArgSpec::new("value", Kind::Str, "its value"),
    ArgSpec::new("namespace", Kind::Str, "put before a name without one").default("user"),
    ArgSpec::new("state", Kind::Str, "what is done: set, remove, read one, read all, list the names")
        .default("read")
        .choices(&["absent", "all", "keys", "present", "read"]),
    ArgSpec::new("follow", Kind::Bool, "if the path is a link, what it points to").default("yes"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "xattr",
    qualified: &["community.general.xattr"],
    doc: include_str!("doc/xattr.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Xattr {
    path: String,
    key: Option<String>,
    value: Option<String>,
    state: String,
    follow: bool,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let mut state = args.need("state")?;
    let namespace = args.need("namespace")?;
    let key = args.str("key")?.map(|key| {
        let named = key.starts_with(&format!("{namespace}.")) || namespace.is_empty();
        if named { key } else { format!("{namespace}.{key}") }
    });
    let value = args.str("value")?;
    if state == "read" && value.is_some() {
        "present".clone_into(&mut state);
    }
    if matches!(state.as_str(), "present" | "absent") && key.is_none() {
        return Err(invalid(format!("`state: {state}` needs `key`")).at(args.task_span()));
    }
    let path = paths::clean(&paths::need(args, "path", setting)?);
    Ok(Arc::new(Xattr { path, key, value, state, follow: args.flag("follow")? }))
}

impl Xattr {
    fn query(&self) -> Query {
        let mut argv = vec!["getfattr", "--absolute-names", "-d", "-m", "-"];
        if !self.follow {
            argv.push("-h");
        }
        argv.extend(["--", &self.path]);
        Query::Read { argv: argv.into_iter().map(str::to_owned).collect() }
    }

    fn set(&self, options: &[&str]) -> Vec<String> {
        let mut argv = vec!["setfattr"];
        argv.extend(options);
        if !self.follow {
            argv.push("-h");
        }
        argv.extend(["--", &self.path]);
        argv.into_iter().map(str::to_owned).collect()
    }
}

/// `name="value"` lines; other forms of a value stay as they are.
fn parse(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            (name.to_owned(), plain.map_or(value.to_owned(), |v| v.replace("\\\"", "\"").replace("\\\\", "\\")))
        })
        .collect()
}

fn write(list: &[(String, String)]) -> Vec<u8> {
    let quoted = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"");
    list.iter().map(|(name, value)| format!("{name}=\"{}\"\n", quoted(value))).collect::<String>().into_bytes()
}

impl Resource for Xattr {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        view.want([Query::Stat { path: self.path.clone(), follow: self.follow }, self.query()]);
        if view.stat(&self.path, self.follow)?.is_none() {
            return fail("path not found or not accessible!");
        }
        let Answer::Output(output) = view.ask(self.query())? else { return fail("getfattr gave no answer") };
        if output.rc == 127 {
            return fail("the node has no `getfattr` (package attr)");
        }
        let mut list = parse(&String::from_utf8_lossy(&output.stdout));
        let show = |list: &[(String, String)]| Value::from_pairs(list.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let result = TaskResult::unchanged();
        // As Ansible's module: what the key had before.
        let had: Vec<(String, String)> =
            list.iter().filter(|(name, _)| Some(name) == self.key.as_ref()).cloned().collect();
        let old = self.key.as_ref().and_then(|key| list.iter().position(|(name, _)| name == key));
        let (argv, message, before) = match (self.state.as_str(), &self.key) {
            ("present", Some(key)) => {
                let value = self.value.clone().unwrap_or_default();
                let before = old.map(|i| list[i].1.clone());
                if before.as_ref() == Some(&value) {
                    return Ok(Verdict::Unchanged(
                        result.with("msg", format!("{key} set to {value}")).with("xattr", show(&had)),
                    ));
                }
                match old {
                    Some(i) => list[i].1.clone_from(&value),
                    None => list.push((key.clone(), value.clone())),
                }
                (self.set(&["-n", key, "-v", &value]), format!("{key} set to {value}"), before)
            }
            ("absent", Some(key)) => {
                let Some(i) = old else {
                    return Ok(Verdict::Unchanged(
                        result.with("msg", format!("{key} removed")).with("xattr", show(&had)),
                    ));
                };
                let before = list.remove(i).1;
                (self.set(&["-x", key]), format!("{key} removed"), Some(before))
            }
            ("keys", _) => {
                list.iter_mut().for_each(|(_, value)| value.clear());
                return Ok(Verdict::Unchanged(result.with("msg", "returning all keys").with("xattr", show(&list))));
            }
            ("read", Some(key)) => {
                list.retain(|(name, _)| name == key);
                let message = format!("returning {key}");
                return Ok(Verdict::Unchanged(result.with("msg", message).with("xattr", show(&list))));
            }
            ("all", _) => return Ok(Verdict::Unchanged(result.with("msg", "dumping all").with("xattr", show(&list)))),
            _ => return Ok(Verdict::Unchanged(result.with("msg", "returning None").with("xattr", show(&list)))),
        };
        let key = self.key.as_deref().unwrap_or_default();
        let present = self.state == "present";
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Change,
            diff: vec![diff::sizes(
                &self.path,
                &self.path,
                before.map(|v| format!("{key}: {v}\n")),
                if present { format!("{key}: {}\n", self.value.as_deref().unwrap_or_default()) } else { String::new() },
            )],
            actions: vec![ExecSpec::argv(argv).into_action()],
            effects: vec![Effect {
                query: self.query(),
                answer: Ok(Answer::Output(Output { rc: 0, stdout: write(&list), stderr: vec![] })),
            }],
            opaque: false,
            result: TaskResult::changed().with("msg", message).with("xattr", show(&had)),
        }))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_survive() {
        let list = vec![("user.a".to_owned(), "x \"y\" \\ z".to_owned()), ("user.b".to_owned(), String::new())];
        assert_eq!(super::parse(&String::from_utf8(super::write(&list)).unwrap()), list);
        assert_eq!(super::parse("# file: /x\nuser.q=0sAAE=\n\n"), [("user.q".to_owned(), "0sAAE=".to_owned())]);
    }
}
