//! Where files that lookups, includes and modules name are searched for.

use std::path::PathBuf;

/// Folders in which lookups and file-taking modules look, in Ansible's order.
#[derive(Debug, Clone, Default)]
pub struct SearchPaths {
    /// The role's root (`roles/containerd`), innermost role first, then its parents.
    pub roles: Vec<PathBuf>,
    /// The folder of the file the task stands in.
    pub task_dir: PathBuf,
    pub playbook_dir: PathBuf,
}

impl SearchPaths {
    /// The file `name` of kind `sub` (`files`, `templates`, `vars`, `tasks`), by Ansible's rules: absolute as it is; else for each role
    /// root `sub/name` and `name`; then `task_dir/sub/name`, `task_dir/name`; then the playbook's. `Err`: all places tried.
    pub fn find(&self, sub: &str, name: &str) -> Result<PathBuf, Vec<PathBuf>> {
        let mut tried = vec![];
        for candidate in self.candidates(sub, name) {
            if candidate.exists() {
                crate::source::note_read(&candidate);
                return Ok(candidate);
            }
            if !tried.contains(&candidate) {
                tried.push(candidate);
            }
        }
        Err(tried)
    }

    /// Every place [`Self::find`] looks at, in order.
    pub fn candidates(&self, sub: &str, name: &str) -> Vec<PathBuf> {
        let path = std::path::Path::new(name);
        if path.is_absolute() {
            return vec![path.to_owned()];
        }
        let mut all = vec![];
        let mut roots: Vec<PathBuf> = self.roles.clone();
        roots.push(self.task_dir.clone());
        roots.push(self.playbook_dir.clone());
        for root in roots {
            if !sub.is_empty() {
                all.push(root.join(sub).join(path));
            }
            all.push(root.join(path));
        }
        all
    }
}
