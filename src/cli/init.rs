//! `kdeploy init`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, terminal};
use crate::problem::{Problem, Problems};

/// Make the files of a new repository
///
/// Nothing that is there is changed.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder; made if it is not there
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

/// Path and content of what a repository begins with.
const FILES: &[(&str, &str)] = &[
    (
        "kdeploy.toml",
        "# What a bare `kdeploy plan` or `kdeploy apply` means.\n\
         inventory = \"inventories/hosts.ini\"\nplaybook = \"playbooks/site.yml\"\nroles_path = [\"roles\"]\n",
    ),
    (
        "inventories/hosts.ini",
        "[k8s_worker]\n# worker99 ansible_host=192.0.2.99\n\n[k8s_worker:vars]\nansible_user=root\n",
    ),
    (
        "playbooks/site.yml",
        "---\n- name: Kubernetes workers\n  hosts: k8s_worker\n  become: true\n  roles:\n    - role: example\n      tags: role-example\n",
    ),
    (
        "roles/example/tasks/main.yml",
        "---\n- name: A message for those who log in\n  ansible.builtin.copy:\n    content: \"{{ example_message }}\\n\"\n    dest: /etc/motd\n    \
         owner: root\n    group: root\n    mode: \"0644\"\n",
    ),
    (
        "roles/example/defaults/main.yml",
        "---\n# What is said at every login.\nexample_message: This node is kept by kdeploy.\n",
    ),
];

impl InitArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        for (name, text) in FILES {
            let path = self.dir.join(name);
            if path.exists() {
                terminal::say(&format!("{} is there already", path.display()));
                continue;
            }
            make(&path, text)?;
            terminal::say(&format!("made {}", path.display()));
        }
        Ok(Exit::Done)
    }
}

fn make(path: &Path, text: &str) -> Result<(), Problem> {
    let wrong = |e: std::io::Error| Problem::new("cannot-write", format!("cannot write `{}`: {e}", path.display()));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(wrong)?;
    }
    std::fs::write(path, text).map_err(wrong)
}
