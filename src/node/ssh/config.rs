//! Settings of one connection: the target's own, over what OpenSSH's configuration says (`ssh -G`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::super::{HostKeyPolicy, NodeError, Target};
use super::tokens::Tokens;

/// Everything resolved.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub identity_files: Vec<PathBuf>,
    /// Given by the target or a configuration file: tried before the agent's keys.
    pub identities_given: bool,
    pub identities_only: bool,
    pub certificate_files: Vec<PathBuf>,
    /// `None`: `SSH_AUTH_SOCK`; empty: no agent.
    pub agent: Option<String>,
    pub proxy_jump: Option<String>,
    pub known_hosts: Vec<PathBuf>,
    pub policy: HostKeyPolicy,
    pub host_key_alias: Option<String>,
    pub hash_known_hosts: bool,
    pub connect_timeout: Duration,
    /// `PubkeyAuthentication no`, or left out of `PreferredAuthentications`.
    pub no_keys: bool,
    pub no_passwords: bool,
    /// GSSAPI is allowed and there is a ticket: the system's `ssh` can use it.
    pub gssapi: bool,
    /// A socket of the operator's own `ssh`, with a connection to the host.
    pub control_socket: Option<PathBuf>,
    /// Why libssh2 cannot make this connection, if it cannot.
    pub needs_system_ssh: Option<String>,
}

pub fn home() -> PathBuf {
    etcetera::home_dir().unwrap_or_else(|_| PathBuf::from("/root"))
}

fn expand(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => PathBuf::from(path),
    }
}

/// The operator's own login name.
pub fn own_name() -> String {
    std::env::var("USER")
        .ok()
        .filter(|u| !u.is_empty())
        .or_else(super::super::local::own_account)
        .unwrap_or_else(|| "root".to_owned())
}

/// The system's `ssh`, if there is one.
pub fn ssh_program() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).map(|d| d.join("ssh")).find(|p| p.is_file())
        })
        .as_deref()
}

impl Settings {
    pub fn of(target: &Target) -> Result<Self, NodeError> {
        if target.address.starts_with('-') || target.address.is_empty() {
            return Err(NodeError::Unreachable {
                message: format!("`{}` is no host name", target.address),
                help: vec!["set `ansible_host` to a name or an address".into()],
            });
        }
        let mut settings = Self {
            host: target.address.clone(),
            port: target.port.unwrap_or(22),
            user: target.user.clone().unwrap_or_else(own_name),
            identity_files: ["id_ed25519", "id_ecdsa", "id_rsa"].map(|n| home().join(".ssh").join(n)).to_vec(),
            known_hosts: vec![home().join(".ssh/known_hosts"), "/etc/ssh/ssh_known_hosts".into()],
            policy: target.host_keys,
            connect_timeout: target.connect_timeout,
            ..Self::default()
        };
        if asks_openssh(target) {
            match ssh_program() {
                Some(ssh) => settings.read_openssh(ssh, target)?,
                None => settings.read_arguments(&target.ssh_args),
            }
        }
        // Agent forwarding asked for by the inventory; in a configuration file it is a habit, and costs nothing to leave out.
        let forwards =
            |word: &String| word == "-A" || word.to_lowercase().replace(' ', "=").ends_with("forwardagent=yes");
        if target.ssh_args.iter().any(forwards) {
            settings.needs_system_ssh = Some("ForwardAgent".to_owned());
        }
        if let Some(key) = &target.private_key {
            settings.identity_files = vec![key.clone()];
            settings.identities_given = true;
        }
        if settings.connect_timeout.is_zero() {
            settings.connect_timeout = Duration::from_secs(10);
        }
        Ok(settings)
    }

    /// `ssh -G HOST`: the whole of OpenSSH's configuration for a host, resolved.
    fn read_openssh(&mut self, ssh: &Path, target: &Target) -> Result<(), NodeError> {
        let mut command = Command::new(ssh);
        command.arg("-G").args(&target.ssh_args);
        if let Some(port) = target.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &target.user {
            command.args(["-l", user]);
        }
        let output = command.arg("--").arg(&target.address).stdin(Stdio::null()).output();
        let output = output.map_err(|e| NodeError::Unreachable {
            message: format!("cannot run `{} -G`: {e}", ssh.display()),
            help: vec![],
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(NodeError::Unreachable {
                message: format!("`ssh -G {}` failed: {}", target.address, said.trim().lines().last().unwrap_or("")),
                help: vec!["check ~/.ssh/config, `ansible_ssh_common_args` and `ansible_ssh_extra_args`".into()],
            });
        }
        let default_keys = self.identity_files.clone();
        self.identity_files.clear();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((key, value)) = line.split_once(' ') else { continue };
            self.set(key, value, target.connect_timeout.is_zero(), target.host_keys);
        }
        self.expand_tokens(target);
        // OpenSSH lists its default keys when none is configured.
        let is_default = |p: &PathBuf| {
            default_keys.contains(p)
                || p.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("id_") && p.parent() == Some(&home().join(".ssh")))
        };
        self.identities_given = !self.identity_files.iter().all(is_default);
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str, own_timeout: bool, policy: HostKeyPolicy) {
        let given = value != "none" && !value.is_empty();
        match key {
            "hostname" => self.host = value.to_owned(),
            "port" => self.port = value.parse().unwrap_or(self.port),
            "user" => self.user = value.to_owned(),
            "identityfile" => self.identity_files.push(expand(value)),
            "certificatefile" if given => self.certificate_files.push(expand(value)),
            "identitiesonly" => self.identities_only = value == "yes",
            "identityagent" => match value {
                "none" => self.agent = Some(String::new()),
                "SSH_AUTH_SOCK" => {}
                path => self.agent = Some(expand(path).display().to_string()),
            },
            "controlpath" if given => self.control_socket = Some(expand(value)),
            "proxyjump" if given => self.proxy_jump = Some(value.to_owned()),
            "proxycommand" if given => self.needs_system_ssh = Some("ProxyCommand".to_owned()),
            "bindaddress" | "bindinterface" | "pkcs11provider" if given => {
                self.needs_system_ssh = Some(key.to_owned());
            }
            "userknownhostsfile" => {
                let mut files: Vec<PathBuf> = value.split(' ').filter(|f| *f != "none").map(expand).collect();
                files.retain(|f| *f != home().join(".ssh/known_hosts2"));
                files.extend(self.known_hosts.drain(..).filter(|f| f.starts_with("/etc")));
                self.known_hosts = files;
            }
            "globalknownhostsfile" => {
                self.known_hosts.retain(|f| !f.starts_with("/etc/ssh/ssh_known_hosts"));
                self.known_hosts
                    .extend(value.split(' ').filter(|f| *f != "none" && !f.ends_with("known_hosts2")).map(expand));
            }
            "stricthostkeychecking" if policy == HostKeyPolicy::Strict => match value {
                "accept-new" => self.policy = HostKeyPolicy::AcceptNew,
                "false" | "no" | "off" => self.policy = HostKeyPolicy::Off,
                _ => {}
            },
            "pubkeyauthentication" => self.no_keys |= matches!(value, "no" | "false"),
            "passwordauthentication" => self.no_passwords |= value == "no",
            "preferredauthentications" => {
                self.no_keys |= !value.split(',').any(|m| m == "publickey");
                self.no_passwords |= !value.split(',').any(|m| m == "password" || m == "keyboard-interactive");
            }
            "gssapiauthentication" => self.gssapi = value == "yes" && has_ticket(),
            "hostkeyalias" if given => self.host_key_alias = Some(value.to_owned()),
            "hashknownhosts" => self.hash_known_hosts = value == "yes",
            "connecttimeout" if own_timeout => {
                self.connect_timeout = Duration::from_secs(value.parse().unwrap_or(0));
            }
            _ => {}
        }
    }

    /// `ssh -G` leaves the tokens of these options as they are written.
    fn expand_tokens(&mut self, target: &Target) {
        let tokens = Tokens {
            home: home().display().to_string(),
            host: self.host.clone(),
            name: target.address.clone(),
            port: self.port,
            user: self.user.clone(),
            alias: self.host_key_alias.clone(),
            jump: self.proxy_jump.clone().unwrap_or_default(),
        };
        for files in [&mut self.identity_files, &mut self.certificate_files] {
            for file in files.iter_mut() {
                *file = expand(&tokens.expand(&file.to_string_lossy()));
            }
        }
        self.agent = self.agent.take().map(|agent| match agent.strip_prefix('$') {
            Some(name) => std::env::var(name).unwrap_or_default(),
            None => expand(&tokens.expand(&agent)).display().to_string(),
        });
        let socket = self.control_socket.take();
        self.control_socket = socket.filter(|path| std::os::unix::net::UnixStream::connect(path).is_ok());
        if self.control_socket.is_some() {
            self.needs_system_ssh = Some("ControlMaster".to_owned());
        }
    }

    /// Without an `ssh` program only the commonest arguments are understood.
    fn read_arguments(&mut self, words: &[String]) {
        let policy = self.policy;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = |attached: &str| {
                if attached.is_empty() { words.next().cloned() } else { Some(attached.to_owned()) }
            };
            if let Some(rest) = word.strip_prefix("-o") {
                if let Some((key, value)) = value(rest).as_deref().and_then(|o| o.split_once(['=', ' '])) {
                    self.set(&key.to_lowercase(), value, false, policy);
                }
            } else if let Some(rest) = word.strip_prefix("-J") {
                self.proxy_jump = value(rest);
            } else if let Some(rest) = word.strip_prefix("-i") {
                self.identity_files = value(rest).map(|f| expand(&f)).into_iter().collect();
                self.identities_given = true;
            }
        }
    }

    /// The name known_hosts is asked for.
    pub fn key_name(&self) -> (&str, u16) {
        match &self.host_key_alias {
            Some(alias) => (alias, 22),
            None => (&self.host, self.port),
        }
    }
}

/// A Kerberos ticket in one of the usual places.
fn has_ticket() -> bool {
    let named = std::env::var("KRB5CCNAME").ok().map(|n| n.trim_start_matches("FILE:").to_owned());
    let usual = format!("/tmp/krb5cc_{}", rustix::process::geteuid().as_raw());
    named.is_some_and(|n| !n.starts_with('/') || Path::new(&n).exists()) || Path::new(&usual).exists()
}

/// `ssh -G` costs some milliseconds: it is left out where no configuration could say anything.
fn asks_openssh(target: &Target) -> bool {
    static CONFIGURED: OnceLock<bool> = OnceLock::new();
    !target.ssh_args.is_empty()
        || *CONFIGURED.get_or_init(|| {
            let mut files = vec![home().join(".ssh/config"), PathBuf::from("/etc/ssh/ssh_config")];
            if let Ok(entries) = std::fs::read_dir("/etc/ssh/ssh_config.d") {
                files
                    .extend(entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "conf")));
            }
            files.iter().any(|f| std::fs::read_to_string(f).is_ok_and(|text| says_something(&text)))
        })
}

/// True unless a configuration file holds only what distributions ship.
fn says_something(text: &str) -> bool {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).any(|line| {
        let line = line.to_lowercase();
        let harmless =
            ["include /etc/ssh/ssh_config.d/*.conf", "host *", "sendenv ", "gssapiauthentication ", "hashknownhosts "];
        !harmless.iter().any(|h| line == *h || (h.ends_with(' ') && line.starts_with(h)))
    })
}

/// `user@host:port`, `ssh://user@host:port`, `[v6]:port`: one hop of ProxyJump.
pub fn parse_hop(text: &str) -> (Option<String>, String, Option<u16>) {
    let text = text.trim().trim_start_matches("ssh://").trim_end_matches('/');
    let (user, rest) = text.rsplit_once('@').map_or((None, text), |(u, r)| (Some(u.to_owned()), r));
    if let Some((host, port)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        return (user, host.to_owned(), port.trim_start_matches(':').parse().ok());
    }
    match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (user, host.to_owned(), port.parse().ok()),
        _ => (user, rest.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops() {
        assert_eq!(parse_hop("u@h:22"), (Some("u".into()), "h".into(), Some(22)));
        assert_eq!(parse_hop("ssh://h"), (None, "h".into(), None));
        assert_eq!(parse_hop("a@[::1]:2"), (Some("a".into()), "::1".into(), Some(2)));
        assert_eq!(parse_hop("::1"), (None, "::1".into(), None));
    }

    #[test]
    fn shipped_configuration_says_nothing() {
        assert!(!says_something(
            "Include /etc/ssh/ssh_config.d/*.conf\n\nHost *\n#   ForwardAgent no\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n"
        ));
        assert!(says_something("Host w*\n  User deploy\n"));
    }
}
