//! `attributes` (chattr's flags) and SELinux labels, for every resource that makes files.
//!
//! They are set after all else that the resource does to its file, so they stand around it: the resource's own verdict comes
//! first, and what differs in flags and labels is added.

use std::sync::Arc;

use super::{diff, fail};
use crate::node::{Done, ExecSpec};
use crate::problem::Problem;
use crate::resources::{Args, Change, ChangeKind, Resource, TaskResult, Verdict, find_arg};
use crate::world::{Answer, Effect, Output, Query, Stop, View};

/// The four parts of an SELinux label, in its order.
const PARTS: [(&str, &str); 4] = [("seuser", "-u"), ("serole", "-r"), ("setype", "-t"), ("selevel", "-l")];
/// Flags that chattr cannot change: the file system sets them.
const FIXED: &str = "eEhINVBXZ";
/// There if the kernel has SELinux switched on; without it labels are left alone, as Ansible does.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// The resource, with what its arguments ask of flags and labels around it.
pub fn around(resource: Arc<dyn Resource>, wanted: Option<Labels>) -> Arc<dyn Resource> {
    match wanted {
        Some(labels) => Arc::new(Labelled { inner: resource, labels }),
        None => resource,
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Labels {
    flags: Option<Flags>,
    /// Parts of the label, as in [`PARTS`].
    parts: [Option<String>; 4],
}

#[derive(Debug)]
struct Flags {
    /// `+`, `-` or `=`.
    operator: char,
    letters: String,
}

impl Labels {
    /// What a task's arguments ask for; `None` if nothing, or if the type has no such arguments.
    pub fn of(args: &Args, specs: &'static [crate::resources::ArgSpec]) -> Result<Option<Self>, Problem> {
        if find_arg(specs, "seuser").is_none() || find_arg(specs, "unsafe_writes").is_none() {
            return Ok(None);
        }
        let text = |name: &str| -> Result<Option<String>, Problem> { Ok(args.str(name)?.filter(|t| !t.is_empty())) };
        let flags = text("attributes")?.map(|text| {
            let operator = text.chars().next().filter(|c| "+-=".contains(*c));
            Flags { operator: operator.unwrap_or('='), letters: text.trim_start_matches(['+', '-', '=']).to_owned() }
        });
        if let Some(bad) = flags.iter().flat_map(|f| f.letters.chars()).find(|c| !c.is_ascii_alphabetic()) {
            return Err(super::invalid(format!("`{bad}` is no flag of chattr"))
                .at(args.span("attributes"))
                .help("write the letters of `chattr`, after `+`, `-` or `=`"));
        }
        let mut parts = [None, None, None, None];
        for (part, (name, _)) in parts.iter_mut().zip(PARTS) {
            *part = text(name)?;
            if part.as_deref() == Some("_default") {
                return Err(Problem::unsupported(format!("`_default` as `{name}`")).at(args.span(name)));
            }
        }
        let is_empty = flags.is_none() && parts.iter().all(Option::is_none);
        Ok((!is_empty).then_some(Self { flags, parts }))
    }
}

impl Flags {
    /// The flags afterwards; `None` if they are as asked.
    fn after(&self, now: &str) -> Option<String> {
        let has = |c: char| now.contains(c);
        let wanted: String = match self.operator {
            '+' => now.chars().chain(self.letters.chars().filter(|c| !has(*c))).collect(),
            '-' => now.chars().filter(|c| !self.letters.contains(*c)).collect(),
            _ => {
                let kept = now.chars().filter(|c| FIXED.contains(*c) && !self.letters.contains(*c));
                self.letters.chars().chain(kept).collect()
            }
        };
        let sorted = |text: &str| {
            let mut letters: Vec<char> = text.chars().filter(|c| !FIXED.contains(*c)).collect();
            letters.sort_unstable();
            letters
        };
        (sorted(&wanted) != sorted(now)).then_some(wanted)
    }

    /// Only what is to be set or cleared: `chattr =` would clear what the file system set itself.
    fn change(&self, now: &str) -> Vec<String> {
        let free = |c: &char| !FIXED.contains(*c);
        let (set, clear): (String, String) = match self.operator {
            '+' => (self.letters.clone(), String::new()),
            '-' => (String::new(), self.letters.clone()),
            _ => (
                self.letters.chars().filter(|c| !now.contains(*c)).collect(),
                now.chars().filter(free).filter(|c| !self.letters.contains(*c)).collect(),
            ),
        };
        let word = |sign: char, letters: &str| (!letters.is_empty()).then(|| format!("{sign}{letters}"));
        word('+', &set).into_iter().chain(word('-', &clear)).collect()
    }
}

struct Labelled {
    inner: Arc<dyn Resource>,
    labels: Labels,
}

fn lsattr(path: &str) -> Query {
    Query::Read { argv: ["lsattr", "-d", "--", path].map(str::to_owned).to_vec() }
}

fn label(path: &str) -> Query {
    Query::Read { argv: ["stat", "-c", "%C", "--", path].map(str::to_owned).to_vec() }
}

impl Labelled {
    /// Adds to a change what flags and labels need; true if that is anything.
    fn add(&self, view: &View, path: &str, is_new: bool, change: &mut Change) -> Result<bool, Stop> {
        let before = change.actions.len();
        if let Some(flags) = &self.labels.flags {
            let now = if is_new { String::new() } else { flags_of(view, path)? };
            if let Some(after) = flags.after(&now) {
                let mut argv = vec!["chattr".to_owned()];
                argv.extend(flags.change(&now));
                argv.extend(["--".to_owned(), path.to_owned()]);
                change.actions.push(ExecSpec::argv(argv).into_action());
                let line = format!("{after} {path}\n");
                change.effects.push(Effect {
                    query: lsattr(path),
                    answer: Ok(Answer::Output(Output { rc: 0, stdout: line.into_bytes(), stderr: vec![] })),
                });
                change.diff.push(diff::attributes(path, &[("attributes", now)], &[("attributes", after)]));
            }
        }
        let asks_label = self.labels.parts.iter().any(Option::is_some);
        if asks_label && view.stat(SELINUX, false)?.is_some() {
            self.add_label(view, path, is_new, change)?;
        }
        Ok(change.actions.len() > before)
    }

    fn add_label(&self, view: &View, path: &str, is_new: bool, change: &mut Change) -> Result<(), Stop> {
        let now = if is_new {
            String::new()
        } else {
            let Answer::Output(output) = view.ask(label(path))? else { return Ok(()) };
            if output.rc != 0 {
                return fail(format!("the label of {path} cannot be read: {}", output.error_text()));
            }
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let has: Vec<&str> = now.splitn(4, ':').collect();
        let mut argv = vec!["chcon".to_owned(), "-h".to_owned()];
        let mut wanted: Vec<String> = has.iter().map(|p| (*p).to_owned()).collect();
        wanted.resize(4, String::new());
        for (i, ((_, option), part)) in PARTS.iter().zip(&self.labels.parts).enumerate() {
            if let Some(part) = part.as_ref().filter(|p| has.get(i) != Some(&p.as_str())) {
                argv.extend([(*option).to_owned(), part.clone()]);
                wanted[i].clone_from(part);
            }
        }
        if argv.len() > 2 {
            argv.extend(["--".to_owned(), path.to_owned()]);
            change.actions.push(ExecSpec::argv(argv).into_action());
            let after = wanted.join(":");
            if !is_new {
                let output = Output { rc: 0, stdout: format!("{after}\n").into_bytes(), stderr: vec![] };
                change.effects.push(Effect { query: label(path), answer: Ok(Answer::Output(output)) });
            }
            change.diff.push(diff::attributes(path, &[("secontext", now)], &[("secontext", after)]));
        }
        Ok(())
    }

    /// How many of a change's last actions are these.
    fn own(&self, change: &Change) -> usize {
        let is_own = |action: &&crate::node::Action| match action {
            crate::node::Action::Exec(spec) => matches!(
                &spec.command,
                crate::node::Command::Argv(argv) if argv.first().is_some_and(|p| p == "chattr" || p == "chcon")
            ),
            _ => false,
        };
        change.actions.iter().rev().take_while(is_own).count()
    }
}

/// The file a result is about.
fn path_of(result: &TaskResult) -> Option<String> {
    ["dest", "path"].iter().find_map(|key| result.values.get(*key)?.as_str().map(str::to_owned))
}

fn flags_of(view: &View, path: &str) -> Result<String, Stop> {
    let Answer::Output(output) = view.ask(lsattr(path))? else { return Ok(String::new()) };
    if output.rc == 127 {
        return fail("the node has no `lsattr` (package e2fsprogs)");
    }
    if output.rc != 0 {
        return fail(format!("the attributes of {path} cannot be read: {}", output.error_text()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().next().unwrap_or_default().replace('-', ""))
}

impl Resource for Labelled {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        match self.inner.reconcile(view)? {
            Verdict::Unchanged(result) => {
                let Some(path) = path_of(&result) else { return Ok(Verdict::Unchanged(result)) };
                // A file that is absent, as it should be, has neither.
                if view.stat(&path, false)?.is_none() {
                    return Ok(Verdict::Unchanged(result));
                }
                let mut change = Change {
                    kind: ChangeKind::Change,
                    diff: vec![],
                    actions: vec![],
                    effects: vec![],
                    opaque: false,
                    result: TaskResult { changed: true, ..result.clone() },
                };
                let differs = self.add(view, &path, false, &mut change)?;
                Ok(if differs { Verdict::Change(change) } else { Verdict::Unchanged(result) })
            }
            Verdict::Change(mut change) if !matches!(change.kind, ChangeKind::Remove) => {
                if let Some(path) = path_of(&change.result) {
                    let is_new = view.stat(&path, false)?.is_none();
                    self.add(view, &path, is_new, &mut change)?;
                }
                Ok(Verdict::Change(change))
            }
            other => Ok(other),
        }
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let theirs = change.actions.len() - self.own(change);
        if theirs == 0 || done.len() > theirs && done[theirs..].iter().any(|d| matches!(d, Done::Failed { .. })) {
            return crate::resources::concluded(change, done);
        }
        self.inner.conclude(change, &done[..done.len().min(theirs)])
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    fn after(operator: char, letters: &str, now: &str) -> Option<String> {
        Flags { operator, letters: letters.to_owned() }.after(now)
    }

    #[test]
    fn flags_differ_only_in_what_chattr_can_change() {
        assert_eq!(after('+', "i", "e"), Some("ei".to_owned()));
        assert_eq!(after('+', "i", "ie"), None);
        assert_eq!(after('-', "i", "ie"), Some("e".to_owned()));
        assert_eq!(after('-', "i", "e"), None);
        assert_eq!(after('=', "A", "Ae"), None);
        assert_eq!(after('=', "A", "Aie"), Some("Ae".to_owned()));
        assert_eq!(after('=', "", "e"), None);
    }

    #[test]
    fn what_the_file_system_set_is_not_cleared() {
        let flags = Flags { operator: '=', letters: "A".to_owned() };
        assert_eq!(flags.change("ie"), ["+A", "-i"]);
        assert_eq!(flags.change("A"), Vec::<String>::new());
    }
}
