//! Names of modules: kdeploy's own, Ansible's that it knows by name only, and those of `library/` folders.

use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::resources::ResourceType;
use crate::source::{Span, display_path};

use super::loader::{Around, Session};
use super::model::{CustomKind, CustomModule, Task};
use super::routing::Route;

/// Statements that are no modules.
const STATEMENTS: &[&str] =
    &["include_tasks", "include_role", "import_tasks", "import_role", "meta", "include", "import_playbook"];

/// What `meta` can do.
pub(super) const META: &[&str] = &[
    "flush_handlers",
    "refresh_inventory",
    "noop",
    "clear_facts",
    "clear_host_errors",
    "end_play",
    "end_host",
    "end_batch",
    "end_role",
    "reset_connection",
];

/// Lookups that `with_NAME` may name.
pub(super) const LOOKUPS: &[&str] = &[
    "config",
    "csvfile",
    "dict",
    "env",
    "file",
    "fileglob",
    "filetree",
    "first_found",
    "flattened",
    "indexed_items",
    "ini",
    "inventory_hostnames",
    "items",
    "lines",
    "list",
    "nested",
    "cartesian",
    "password",
    "pipe",
    "random_choice",
    "sequence",
    "subelements",
    "template",
    "together",
    "unvault",
    "url",
    "varnames",
    "vars",
];

/// Modules of ansible-core and of the collections its packages bring, by the short names people write. A task with one of
/// these that kdeploy does not have is loaded, and stops the run only where it would run.
const ANSIBLES: &[&str] = &[
    "acl",
    "add_host",
    "alternatives",
    "apache2_module",
    "apk",
    "apt",
    "apt_key",
    "apt_repository",
    "apt_rpm",
    "archive",
    "assemble",
    "assert",
    "async_status",
    "at",
    "authorized_key",
    "blockinfile",
    "bower",
    "bzr",
    "capabilities",
    "command",
    "composer",
    "copy",
    "cpanm",
    "cron",
    "cronvar",
    "crypttab",
    "deb822_repository",
    "debconf",
    "debug",
    "dconf",
    "dnf",
    "dnf5",
    "docker_compose_v2",
    "docker_container",
    "docker_image",
    "docker_network",
    "docker_volume",
    "dpkg_divert",
    "dpkg_selections",
    "expect",
    "fail",
    "fetch",
    "file",
    "filesystem",
    "find",
    "firewalld",
    "flatpak",
    "gather_facts",
    "gem",
    "get_url",
    "getent",
    "git",
    "git_config",
    "github_release",
    "group",
    "group_by",
    "helm",
    "helm_info",
    "helm_plugin",
    "helm_repository",
    "helm_template",
    "homebrew",
    "hostname",
    "htpasswd",
    "include_vars",
    "ini_file",
    "interfaces_file",
    "ipify_facts",
    "iptables",
    "iptables_state",
    "iso_extract",
    "java_cert",
    "java_keystore",
    "k8s",
    "k8s_cluster_info",
    "k8s_cp",
    "k8s_drain",
    "k8s_exec",
    "k8s_info",
    "k8s_json_patch",
    "k8s_log",
    "k8s_rollback",
    "k8s_scale",
    "k8s_service",
    "k8s_taint",
    "kernel_blacklist",
    "known_hosts",
    "kubectl",
    "lineinfile",
    "listen_ports_facts",
    "locale_gen",
    "logrotate",
    "lvg",
    "lvol",
    "mail",
    "make",
    "modprobe",
    "mount",
    "mount_facts",
    "mysql_db",
    "mysql_user",
    "nmcli",
    "npm",
    "nsupdate",
    "open_iscsi",
    "openssh_keypair",
    "openssl_certificate",
    "openssl_csr",
    "openssl_dhparam",
    "openssl_pkcs12",
    "openssl_privatekey",
    "opkg",
    "osx_defaults",
    "package",
    "package_facts",
    "pacman",
    "pam_limits",
    "pamd",
    "parted",
    "patch",
    "pause",
    "pids",
    "ping",
    "pip",
    "pip_package_info",
    "portage",
    "postgresql_db",
    "postgresql_user",
    "profile_tuned",
    "raw",
    "read_csv",
    "reboot",
    "redhat_subscription",
    "replace",
    "rhsm_release",
    "rhsm_repository",
    "rpm_key",
    "runit",
    "script",
    "seboolean",
    "sefcontext",
    "selinux",
    "selinux_permissive",
    "selogin",
    "seport",
    "service",
    "service_facts",
    "set_fact",
    "set_stats",
    "setup",
    "shell",
    "slack",
    "slurp",
    "snap",
    "snap_alias",
    "ssh_config",
    "stat",
    "subversion",
    "sudoers",
    "supervisorctl",
    "synchronize",
    "sysctl",
    "systemd",
    "systemd_service",
    "sysvinit",
    "tempfile",
    "template",
    "timezone",
    "ufw",
    "unarchive",
    "uri",
    "user",
    "validate_argument_spec",
    "wait_for",
    "wait_for_connection",
    "win_command",
    "win_shell",
    "x509_certificate",
    "x509_certificate_info",
    "xattr",
    "xfs_quota",
    "xml",
    "yum",
    "yum_repository",
    "zypper",
    "zypper_repository",
];

/// Groups that `module_defaults` may name by a short name, and the prefix of the modules in each.
const GROUPS: &[(&str, &str)] = &[
    ("acme", "community.crypto."),
    ("aws", "amazon.aws."),
    ("azure", "azure.azcollection."),
    ("cpm", "wti.remote."),
    ("docker", "community.docker."),
    ("gcp", "google.cloud."),
    ("helm", "kubernetes.core.helm"),
    ("k8s", "kubernetes.core."),
    ("os", "openstack.cloud."),
    ("ovirt", "ovirt.ovirt."),
    ("proxmox", "community.proxmox."),
    ("vmware", "community.vmware."),
];

/// Whether a key of `module_defaults` (`group/k8s`, `group/kubernetes.core.k8s`) means a module, given its qualified names.
pub fn group_has(key: &str, qualified: &[&str]) -> bool {
    let Some(group) = key.strip_prefix("group/") else { return false };
    let (prefix, group) = match group.rsplit_once('.') {
        Some((collection, group)) => (format!("{collection}."), group),
        None => (String::new(), group),
    };
    GROUPS
        .iter()
        .filter(|(known, full)| *known == group && (prefix.is_empty() || full.starts_with(&prefix)))
        .any(|(_, full)| qualified.iter().any(|q| q.starts_with(full)))
}

/// A name without `ansible.builtin.` and `ansible.legacy.`.
pub(super) fn canonical(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name)
}

/// Modules that run what their free text says: only their own `name=value` pairs are taken out of it.
pub(super) fn is_command_like(canonical: &str) -> bool {
    matches!(
        canonical,
        "command"
            | "shell"
            | "script"
            | "raw"
            | "win_command"
            | "win_shell"
            | "ansible.windows.win_command"
            | "ansible.windows.win_shell"
    )
}

impl Session<'_> {
    /// Whether a task's key names something to do.
    pub(super) fn is_module(&self, name: &str, around: &Around) -> bool {
        let routed = self.routed(name, around).name;
        let name = routed.as_str();
        let short = canonical(name);
        STATEMENTS.contains(&short)
            || self.module_type(name, around).is_some()
            || ANSIBLES.contains(&short)
            || short.starts_with("win_")
            // namespace.collection.name of somebody's collection: its name cannot be judged here.
            || (name.split('.').count() >= 3 && name.split('.').all(is_name) && !name.starts_with("ansible.builtin.")
                && !name.starts_with("ansible.legacy."))
            || self.custom_module(name, around).is_some()
    }

    /// The type a name stands for: as it is, else in the collections to be searched.
    pub(super) fn module_type(&self, name: &str, around: &Around) -> Option<&'static ResourceType> {
        let find = self.loader.settings.modules;
        find(name)
            .or_else(|| {
                if name.contains('.') {
                    return None;
                }
                around.collections.iter().find_map(|collection| find(&format!("{collection}.{name}")))
            })
            .or_else(|| {
                let routed = self.routed(name, around).name;
                if routed == name { None } else { find(&routed) }
            })
    }

    /// Where a module's name leads: collections of the repository may say that it is another one's (`plugin_routing`).
    pub(super) fn routed(&self, name: &str, around: &Around) -> Route {
        let route = |full: &str| self.loader.route(&["action", "modules"], full, &around.playbook_dir);
        if name.contains('.') {
            return route(name);
        }
        let through = around.collections.iter().find_map(|collection| {
            let full = format!("{collection}.{name}");
            let found = route(&full);
            (found.name != full || found.removed.is_some() || !found.warnings.is_empty()).then_some(found)
        });
        through.unwrap_or_else(|| Route { name: name.to_owned(), ..Route::default() })
    }

    pub(super) fn unknown_module(&self, name: &str, around: &Around) -> Problem {
        let known = (self.loader.settings.module_names)();
        let names = keywords_and(&known, around);
        let problem = Problem::new("unknown-module", format!("no module is named `{name}`"));
        let short = canonical(name);
        match crate::problem::nearest(short, names.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(
                "a module of one's own lies in `library/` beside the playbook or in its role; one of a collection \
                 goes by its full name",
            ),
        }
    }

    /// The keys of `module_defaults`: modules (and their arguments, where the values are written out) or groups of them.
    pub(super) fn module_defaults(&mut self, keywords: &super::model::Keywords, around: &Around) {
        for node in &keywords.module_defaults {
            for (key, defaults) in node.as_map().into_iter().flat_map(|m| m.iter()) {
                let Some(name) = key.as_str() else { continue };
                if let Some(group) = name.strip_prefix("group/") {
                    let own = self.loader.group_members(name, &around.playbook_dir, 0).is_some();
                    if !own && !group.contains('.') && GROUPS.iter().all(|(known, _)| *known != group) {
                        self.problem(
                            Problem::new("unknown-module", format!("no group of modules is named `{group}`"))
                                .at(&key.span)
                                .nearest(group, GROUPS.iter().map(|(known, _)| *known)),
                        );
                    }
                    continue;
                }
                if !self.is_module(name, around) {
                    let problem = self.unknown_module(name, around).at(&key.span);
                    self.problem(problem);
                    continue;
                }
                let (Some(found), Some(map)) = (self.module_type(name, around), defaults.as_map()) else { continue };
                let entries: Vec<(crate::yaml::Node, crate::yaml::Node)> =
                    map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                let problems = super::arguments::names_and_values(found, &entries);
                self.problems.extend(problems);
            }
        }
    }

    /// A module or action plugin of that name beside the playbook, in a role of the chain or in a collection folder.
    pub(super) fn custom_module(&self, name: &str, around: &Around) -> Option<CustomModule> {
        let mut places: Vec<(PathBuf, CustomKind)> = vec![];
        let parts: Vec<&str> = name.split('.').collect();
        let short = match parts.as_slice() {
            [short] => {
                let roots = around
                    .role
                    .iter()
                    .flat_map(|role| {
                        std::iter::once(role.role.path.clone())
                            .chain(role.ancestors.iter().rev().map(|a| a.role.path.clone()))
                    })
                    .chain(std::iter::once(around.playbook_dir.clone()));
                for root in roots {
                    places.push((root.join("library"), CustomKind::PythonModule));
                    places.push((root.join("action_plugins"), CustomKind::ActionPlugin));
                }
                places.extend(self.loader.settings.library.iter().map(|dir| (dir.clone(), CustomKind::PythonModule)));
                let libraries = self.loader.role_libraries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                places.extend(libraries.iter().map(|dir| (dir.clone(), CustomKind::PythonModule)));
                drop(libraries);
                if let Some(found) = in_places(places, short) {
                    return Some(found);
                }
                let routed = self.routed(short, around).name;
                if routed != *short {
                    return self.custom_module(&routed, around);
                }
                return around.collections.iter().find_map(|collection| match collection.as_str() {
                    "ansible.builtin" | "ansible.legacy" => None,
                    collection => self.custom_module(&format!("{collection}.{short}"), around),
                });
            }
            ["ansible", "builtin", _] => return None,
            ["ansible", "legacy", short] => return self.custom_module(short, around),
            [namespace, collection, .., short] => {
                let routed = self.routed(name, around).name;
                if routed != name {
                    return self.custom_module(&routed, around);
                }
                for root in self.loader.collection_roots(&around.playbook_dir) {
                    let plugins = root.join(namespace).join(collection).join("plugins");
                    places.push((plugins.join("modules"), CustomKind::PythonModule));
                    places.push((plugins.join("action"), CustomKind::ActionPlugin));
                }
                *short
            }
            _ => return None,
        };
        in_places(places, short)
    }
}

fn in_places(places: Vec<(PathBuf, CustomKind)>, short: &str) -> Option<CustomModule> {
    if short.is_empty() || !is_name(short) {
        return None;
    }
    places.into_iter().find_map(|(dir, kind)| find_in(&dir, short, kind))
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn keywords_and<'a>(known: &[&'a str], around: &Around) -> Vec<&'a str> {
    let mut names: Vec<&str> = known.to_vec();
    names.extend(ANSIBLES.iter().copied());
    names.extend(STATEMENTS.iter().copied().filter(|s| *s != "include"));
    names.extend(super::keywords::names(around.place));
    names.sort_unstable();
    names.dedup();
    names
}

fn find_in(dir: &Path, name: &str, kind: CustomKind) -> Option<CustomModule> {
    let python = dir.join(format!("{name}.py"));
    if python.is_file() {
        let kind = if kind == CustomKind::ActionPlugin { kind } else { kind_of(&python) };
        return Some(CustomModule { path: python, kind });
    }
    if kind == CustomKind::ActionPlugin {
        return None;
    }
    // A script or binary: the name alone, or with an ending of its own.
    let entries = std::fs::read_dir(dir).ok()?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file() && p.file_stem().and_then(|s| s.to_str()) == Some(name))
        .collect();
    found.sort();
    let is_note = |p: &PathBuf| {
        p.extension()
            .is_some_and(|e| matches!(e.to_str(), Some("md" | "rst" | "txt" | "yml" | "yaml" | "json" | "pyc")))
    };
    let path = found.into_iter().find(|p| !is_note(p))?;
    Some(CustomModule { kind: kind_of(&path), path })
}

/// What a module's file is, by its text: Python that needs Ansible's libraries (or is no module of its own), PowerShell, a program.
fn kind_of(path: &Path) -> CustomKind {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let bytes = std::fs::read(path).unwrap_or_default();
    let Ok(text) = std::str::from_utf8(&bytes) else { return CustomKind::Executable };
    if ending == "ps1" {
        return CustomKind::PowerShell;
    }
    let first = text.lines().next().unwrap_or_default();
    let is_python = ending == "py" || (first.starts_with("#!") && first.contains("python"));
    let uses_ansible = text.lines().map(str::trim_start).any(|line| {
        (line.starts_with("from ansible") || line.starts_with("import ansible")) && line.contains("module_utils")
    });
    match is_python {
        true if uses_ansible || !text.contains("WANT_JSON") => CustomKind::PythonModule,
        _ => CustomKind::Executable,
    }
}

impl Task {
    /// Why a task whose module kdeploy does not have cannot run.
    pub fn unknown_module(&self) -> Problem {
        let name = &self.written;
        let problem = match &self.custom {
            Some(custom) => {
                let path = display_path(&custom.path);
                match custom.kind {
                    CustomKind::PythonModule => Problem::unsupported(format_args!(
                        "`{name}` is a custom Python module ({path}), and nodes need no Python here"
                    ))
                    .help(
                        "say it with built-in modules, or make it a program in any language that takes the file of \
                         JSON that is its argument (with `WANT_JSON` in its text) and prints JSON",
                    ),
                    CustomKind::ActionPlugin => Problem::unsupported(format_args!(
                        "`{name}` is a Python action plugin of the control machine ({path})"
                    ))
                    .help("say it with built-in modules"),
                    CustomKind::PowerShell => {
                        Problem::unsupported(format_args!("`{name}` is a PowerShell module ({path})"))
                            .help("kdeploy manages nodes with a POSIX shell")
                    }
                    CustomKind::Executable => Problem::new(
                        "unknown-module",
                        format!("`{name}` is a program ({path}) that cannot be run here"),
                    ),
                }
            }
            None => Problem::unsupported(format_args!("the module `{name}`"))
                .help("`kdeploy doc` lists the modules there are"),
        };
        problem.at(&self.written_at())
    }

    /// Where the module's name stands (the task's place is all that is kept).
    fn written_at(&self) -> Span {
        self.span.clone()
    }
}
