//! An archive that is only on the node: the node's own tar compares and unpacks.

use std::sync::Arc;

use minijinja::Value;

use super::{Unarchive, extract_results};
use crate::node::{Blob, UnpackSource};
use crate::problem::Problem;
use crate::resources::common::{archive, attributes, diff, fail, paths};
use crate::resources::{Change, ChangeKind, Diff, TaskResult, Verdict};
use crate::world::{Output, Query, Stat, Stop, View};

/// By the file's name, as Ansible's handlers are chosen last; the node's tar looks at the content.
fn handler(path: &str) -> &'static str {
    let lower = path.to_lowercase();
    let ends = |list: &[&str]| list.iter().any(|e| lower.ends_with(e));
    if is_zip(path) {
        "ZipArchive"
    } else if ends(&[".tar", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"]) {
        "TarArchive"
    } else {
        "TgzArchive"
    }
}

fn is_zip(path: &str) -> bool {
    let lower = path.to_lowercase();
    [".zip", ".jar", ".war", ".whl"].iter().any(|e| lower.ends_with(e))
}

/// What is in an archive that the control machine can have.
fn listing_of(blob: &Blob) -> Result<Arc<archive::Listing>, Problem> {
    match blob {
        Blob::Bytes(bytes) => archive::list(bytes)
            .map(Arc::new)
            .map_err(|e| Problem::new("unreadable-archive", format!("cannot read the archive: {e}"))),
        Blob::File(path) => archive::list_file(path),
        Blob::Download(download) => archive::list_file(&crate::node::fetch(download)?.0),
    }
}

impl Unarchive {
    fn list_query(path: &str) -> Query {
        if is_zip(path) {
            return Query::Read { argv: ["unzip", "-Z1", path].map(str::to_owned).to_vec() };
        }
        Query::Read { argv: archive::any_tar(path, ["-t"]) }
    }

    /// Compares and lists in one go: an archive may be large.
    fn diff_query(&self, path: &str) -> Query {
        let mut argv = archive::any_tar(path, ["--diff", "-vv", "-C", self.dest.as_str()]);
        argv.extend(
            self.options
                .for_tar()
                .into_iter()
                .filter(|o| o.starts_with("--strip-components") || o.starts_with("--transform") || o == "--wildcards"),
        );
        argv.extend(self.options.exclude.iter().map(|e| format!("--exclude={e}")));
        argv.extend(self.options.include.iter().cloned());
        Query::Read { argv }
    }

    pub(super) fn want_on_node(&self, view: &View, path: &str) {
        view.want([Query::Stat { path: path.to_owned(), follow: true }]);
        if view.source_of(path).is_some() {
            return;
        }
        if view.knows(&Query::Content { path: path.to_owned() }) {
            return;
        }
        if is_zip(path) {
            view.want([Self::list_query(path)]);
        } else {
            view.want([self.diff_query(path)]);
        }
    }

    fn sets_attributes(&self) -> bool {
        self.attributes.owner.is_some() || self.attributes.group.is_some() || self.attributes.mode.is_some()
    }

    /// The archive's members are as they should be; whether their owner and mode are too.
    fn mend_attributes(&self, view: &View, path: &str, mut result: TaskResult) -> Result<Verdict, Stop> {
        let resolved = self.attributes.resolve(view)?;
        let members: Vec<String> = self
            .names(view, path)?
            .iter()
            .filter_map(|n| self.options.place(n))
            .map(|relative| paths::clean(&paths::join(&self.dest, &relative)))
            .collect();
        view.want(members.iter().map(|path| Query::Stat { path: path.clone(), follow: false }));
        let (mut actions, mut effects, mut diffs) = (vec![], vec![], vec![]);
        for member in members {
            let Some(stat) = view.stat(&member, false)? else { continue };
            let fix = resolved.fix(&member, &stat)?;
            if fix.is_needed() {
                diffs.push(fix.diff(&member));
                if member == self.dest {
                    result = attributes::describe(result, &fix.stat);
                }
                effects.extend(attributes::stat_effects(&member, Some(&fix.stat)));
                actions.extend(fix.actions);
            }
        }
        if actions.is_empty() {
            return Ok(Verdict::Unchanged(result));
        }
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Change,
            diff: diffs,
            actions,
            effects,
            opaque: false,
            result: TaskResult { changed: true, ..result },
        }))
    }

    pub(super) fn on_node(&self, view: &View, path: &str, dest: &Stat) -> Result<Verdict, Stop> {
        if view.stat(path, true)?.is_none() {
            return fail(format!("Source '{path}' does not exist"));
        }
        if let Some(blob) = view.source_of(path) {
            // An earlier step puts it there: the control machine can look into it before.
            let listing = listing_of(&blob).map_err(|p| Stop::Failed(p.to_string()))?;
            self.want_members(view, &listing)?;
            return self.compare(view, &listing, &blob, Some(path), dest);
        }
        if view.knows(&Query::Content { path: path.to_owned() }) {
            // A copy of it is at hand (an earlier step puts it there), or it is known only afterwards.
            let Some(bytes) = view.content(path)? else { return fail(format!("Source '{path}' is no file")) };
            let listing = archive::list(&bytes)
                .map_err(|e| Stop::Failed(format!("Failed to find handler for \"{path}\": {e}")))?;
            self.want_members(view, &listing)?;
            return self.compare(view, &listing, &Blob::Bytes(bytes), Some(path), dest);
        }
        let mut result = TaskResult::unchanged()
            .with("src", self.src.as_str())
            .with("dest", self.dest.as_str())
            .with("handler", handler(path));
        if self.list_files {
            let list = self.names(view, path)?;
            result = result.with("files", Value::from(list.into_iter().map(Value::from).collect::<Vec<_>>()));
        }
        let different =
            if is_zip(path) { self.missing_members(view, path)? } else { self.tar_differences(view, path)? };
        let result = attributes::describe(result, dest);
        if different.is_empty() {
            return if self.sets_attributes() {
                self.mend_attributes(view, path, result)
            } else {
                Ok(Verdict::Unchanged(result))
            };
        }
        // Not every tar can leave members out: then those that are wanted are named.
        let all = if self.options.exclude.is_empty() || is_zip(path) { vec![] } else { self.names(view, path)? };
        let missing = different.iter().all(|d| d.missing);
        let names: Vec<&str> = different.iter().map(|d| d.path.as_str()).collect();
        Ok(Verdict::Change(Change {
            kind: if missing { ChangeKind::Create } else { ChangeKind::Change },
            diff: vec![self.names_diff(path, &names)],
            actions: vec![self.unpack(UnpackSource::OnNode(path.to_owned()), &all)],
            effects: vec![],
            opaque: true,
            result: TaskResult { changed: true, ..result.with("extract_results", extract_results(0, "")) },
        }))
    }

    /// Which members differ. Only their names: what a plan says of an archive to come must be what an apply says of the one that came.
    pub(super) fn names_diff(&self, archive: &str, names: &[&str]) -> Diff {
        let mut shown: String = names.iter().take(200).map(|name| format!("{name}\n")).collect();
        if names.len() > 200 {
            shown.push_str(&format!("… and {} more\n", names.len() - 200));
        }
        diff::sizes(&self.dest, archive, None, shown)
    }

    fn read(view: &View, query: Query) -> Result<Output, Stop> {
        match view.ask(query)? {
            crate::world::Answer::Output(output) => Ok(output),
            _ => Ok(Output::default()),
        }
    }

    /// The members' names as written, those that are selected.
    fn names(&self, view: &View, path: &str) -> Result<Vec<String>, Stop> {
        if !is_zip(path) {
            let output = Self::read(view, self.diff_query(path))?;
            if !is_busybox(&output) {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                return Ok(text.lines().filter_map(listed).filter(|n| self.options.place(n).is_some()).collect());
            }
        }
        let output = Self::read(view, Self::list_query(path))?;
        if output.rc != 0 {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return fail(format!("Failed to find handler for \"{path}\": {said}"));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter(|l| self.options.place(l).is_some()).map(str::to_owned).collect())
    }

    /// Members that are not there at all: as much as can be said without reading the archive here.
    fn missing_members(&self, view: &View, path: &str) -> Result<Vec<Different>, Stop> {
        let names = self.names(view, path)?;
        let targets: Vec<String> = names
            .iter()
            .filter_map(|n| self.options.place(n))
            .map(|relative| paths::clean(&paths::join(&self.dest, &relative)))
            .collect();
        view.want(targets.iter().map(|path| Query::Stat { path: path.clone(), follow: false }));
        let mut missing = vec![];
        for target in targets {
            if view.stat(&target, false)?.is_none() {
                missing.push(Different { path: target, missing: true });
            }
        }
        Ok(missing)
    }

    /// The members of which `tar --diff` says something that counts.
    fn tar_differences(&self, view: &View, path: &str) -> Result<Vec<Different>, Stop> {
        let output = Self::read(view, self.diff_query(path))?;
        if output.rc == 0 {
            return Ok(vec![]);
        }
        let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if is_busybox(&output) {
            // busybox: no comparison, only names.
            return self.missing_members(view, path);
        }
        let root = self.keeps_owner();
        let mut different: Vec<Different> = vec![];
        let lines = text.lines().filter(|line| listed(line).is_none()).filter(|line| {
            let says = |what: &str| line.contains(what);
            (says("Uid differs") && root && self.attributes.owner.is_none())
                || (says("Gid differs") && root && self.attributes.group.is_none())
                || (says("Mode differs") && self.attributes.mode.is_none())
                || [
                    "Mod time differs",
                    "Contents differ",
                    "Size differs",
                    "Symlink differs",
                    "File type differs",
                    "Not linked to",
                ]
                .iter()
                .any(|what| says(what))
                || says("Cannot stat")
                || says("Cannot open: No such file")
        });
        for line in lines {
            let line = line.strip_prefix("tar: ").unwrap_or(line);
            let member = line.split(": ").next().unwrap_or(line).trim_end_matches('/');
            // `--strip-components` leaves nothing of it: it is not unpacked.
            if member.is_empty() {
                continue;
            }
            let path = paths::clean(&paths::join(&self.dest, member.trim_start_matches("./")));
            if !different.iter().any(|d| d.path == path) {
                different.push(Different { path, missing: line.contains("No such file") });
            }
        }
        if different.is_empty() && output.rc > 1 {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return fail(format!(
                "Failed to find handler for \"{path}\". Make sure the required command to extract the file is installed. {said}"
            ));
        }
        Ok(different)
    }
}

/// busybox's tar compares nothing.
fn is_busybox(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    output.rc != 0 && (said.contains("unrecognized option") || said.contains("invalid option"))
}

/// The name in a line of tar's long listing: `-rw-r--r-- root/root 6 2001-02-03 04:05 ./one`. Other lines tell of differences.
fn listed(line: &str) -> Option<String> {
    let kind = *line.as_bytes().first()?;
    let mode = line.get(1..10)?;
    if !b"-dlhbcpVM".contains(&kind)
        || !mode.bytes().all(|b| b"rwxsStT-".contains(&b))
        || line.as_bytes().get(10) != Some(&b' ')
    {
        return None;
    }
    let name = archive::long_name(line)?;
    let name = match kind {
        b'l' => name.split_once(" -> ").map_or(name, |(n, _)| n),
        b'h' => name.split_once(" link to ").map_or(name, |(n, _)| n),
        _ => name,
    };
    Some(name.to_owned())
}

/// A member that is not as the archive has it.
struct Different {
    path: String,
    missing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_told_from_differences() {
        let name = |line: &str| listed(line);
        assert_eq!(name("-rw-r--r-- root/root         6 2001-02-03 04:05 ./a  b").as_deref(), Some("./a  b"));
        assert_eq!(name("lrwxrwxrwx 0/0 0 2001-02-03 04:05:06 ./link -> one").as_deref(), Some("./link"));
        assert_eq!(name("./one: Mod time differs"), None);
        assert_eq!(name("tar: ./sub/two: Warning: Cannot stat: No such file or directory"), None);
    }
}
