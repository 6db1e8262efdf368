//! A case's files, a folder for what it makes, and what is there afterwards.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The hosts of a case without an inventory of its own.
const HOSTS: &str = "[both]\none\ntwo\n[both:vars]\nansible_connection=local\nansible_python_interpreter={{ ansible_playbook_python }}\n";

/// Where one program runs a case.
pub struct Sandbox {
    dir: tempfile::TempDir,
    /// The case's files; the working directory.
    pub repo: PathBuf,
    /// `-i`, unless ansible.cfg says it.
    pub inventory: Option<PathBuf>,
}

impl Sandbox {
    /// `label` has the same length for both programs, so that texts with paths in them do, too.
    pub fn new(label: &str, case: &Path) -> std::io::Result<Self> {
        let name = case.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let dir = tempfile::Builder::new().prefix(&format!("oracle-{name}-{label}-")).tempdir()?;
        let repo = dir.path().join("repo");
        std::fs::create_dir(&repo)?;
        if case.is_dir() {
            copy_dir(case, &repo)?;
        } else if case.extension().is_some_and(|e| e == "txtar") {
            unpack(&std::fs::read_to_string(case)?, &repo)?;
        } else {
            std::fs::copy(case, repo.join("site.yml"))?;
        }
        let inventory = match ["inventory", "hosts", "inventory.yml"].iter().map(|n| repo.join(n)).find(|p| p.exists())
        {
            Some(own) => Some(own),
            None if repo.join("ansible.cfg").exists() => None,
            None => {
                std::fs::write(repo.join("hosts"), HOSTS)?;
                Some(repo.join("hosts"))
            }
        };
        std::fs::create_dir(dir.path().join("out"))?;
        Ok(Self { dir, repo, inventory })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The variable `sandbox`.
    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Everything that was made: kind, mode, content or target, by the path below `out`.
    pub fn files(&self) -> BTreeMap<String, String> {
        let root = self.out();
        let mut found = BTreeMap::new();
        let mut todo = vec![root.clone()];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
                let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                let mode = meta.permissions().mode() & 0o7777;
                let what = if meta.is_symlink() {
                    format!("link {}", std::fs::read_link(&path).unwrap_or_default().display())
                } else if meta.is_dir() {
                    todo.push(path.clone());
                    format!("directory {mode:o}")
                } else {
                    format!("file {mode:o} {}", String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()))
                };
                found.insert(name, what.replace(&self.path().display().to_string(), "SANDBOX"));
            }
        }
        found
    }
}

/// A case of several files in one: `-- PATH --` begins each; `-- PATH (x) --` one that may be executed.
fn unpack(text: &str, repo: &Path) -> std::io::Result<()> {
    let mut file: Option<(PathBuf, bool, String)> = None;
    let put = |file: Option<(PathBuf, bool, String)>| -> std::io::Result<()> {
        let Some((path, executable, content)) = file else { return Ok(()) };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, content)?;
        if executable {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    };
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.trim_end().strip_prefix("-- ").and_then(|l| l.strip_suffix(" --")) {
            put(file.take())?;
            let (name, executable) = match name.strip_suffix(" (x)") {
                Some(name) => (name, true),
                None => (name, false),
            };
            file = Some((repo.join(name), executable, String::new()));
        } else if let Some((_, _, content)) = &mut file {
            content.push_str(line);
        }
    }
    put(file)
}

/// A folder with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
