//! Settings: kdeploy.toml found upwards from the working directory. (The rest of this room is on its way: keep these method names, `run.rs` uses them.)
use crate::problem::Problems;
use std::path::{Path, PathBuf};
#[derive(Default)]
pub struct Settings {
    root: Option<PathBuf>,
    inventory: Vec<String>,
    playbook: Option<String>,
    roles: Vec<PathBuf>,
}
impl Settings {
    pub fn load(cwd: &Path) -> Result<Self, Problems> {
        let mut s = Self::default();
        let mut at = Some(cwd);
        while let Some(dir) = at {
            if let Ok(text) = std::fs::read_to_string(dir.join("kdeploy.toml")) {
                s.root = Some(dir.to_owned());
                for line in text.lines() {
                    if let Some((k, v)) = line.split_once('=') {
                        let v = v.trim().trim_matches('"').to_owned();
                        match k.trim() {
                            "inventory" => s.inventory = vec![dir.join(v).display().to_string()],
                            "playbook" => s.playbook = Some(dir.join(v).display().to_string()),
                            _ => {}
                        }
                    }
                }
                break;
            }
            at = dir.parent();
        }
        Ok(s)
    }
    pub fn allow_broken_conditionals(&self) -> bool {
        false
    }
    pub fn inventory(&self) -> Vec<String> {
        if self.inventory.is_empty() { vec!["inventories".into()] } else { self.inventory.clone() }
    }
    pub fn playbook(&self) -> Option<String> {
        self.playbook.clone()
    }
    pub fn root(&self) -> Option<&PathBuf> {
        self.root.as_ref()
    }
    pub fn roles_path(&self) -> Vec<PathBuf> {
        self.roles.clone()
    }
    pub fn collections_path(&self) -> Vec<PathBuf> {
        vec![]
    }
    pub fn ssh_args(&self) -> Vec<String> {
        vec![]
    }
    pub fn diff(&self) -> bool {
        false
    }
    pub fn forks(&self) -> Option<usize> {
        None
    }
    pub fn force_handlers(&self) -> bool {
        false
    }
    pub fn connection(&self) -> Option<String> {
        None
    }
    pub fn remote_user(&self) -> Option<String> {
        None
    }
    pub fn private_key_file(&self) -> Option<PathBuf> {
        None
    }
    pub fn r#become(&self) -> bool {
        false
    }
    pub fn become_user(&self) -> Option<String> {
        None
    }
    pub fn become_method(&self) -> Option<String> {
        None
    }
    pub fn host_key_checking(&self) -> Option<bool> {
        None
    }
    pub fn accept_new_host_keys(&self) -> bool {
        false
    }
    pub fn timeout(&self) -> Option<u64> {
        None
    }
    pub fn command_timeout(&self) -> Option<u64> {
        None
    }
    pub fn gathering(&self) -> Option<String> {
        None
    }
    pub fn any_errors_fatal(&self) -> bool {
        false
    }
    pub fn ansible_cfg(&self) -> Option<PathBuf> {
        None
    }
}
