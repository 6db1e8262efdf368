//! The transport that drives the system's `ssh`, for what libssh2 cannot: ProxyCommand, hardware keys, GSSAPI.
//!
//! Each shell is one `ssh` process; all share one connection through a control socket of their own.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::channel::{Channel, Transport};
use super::pipes::Pipes;
use super::ssh::config;
use super::{HostKeyPolicy, NodeError, Target};

pub struct SystemSsh {
    target: Target,
    user: Option<String>,
    /// Control socket and, while logging in, the password for `ssh` to ask for. Only ours (0700).
    private: Option<tempfile::TempDir>,
    /// The operator's own control socket, where a connection is open already.
    control: Option<PathBuf>,
}

impl SystemSsh {
    pub fn new(target: &Target, user: Option<String>) -> Self {
        Self { target: target.clone(), user: user.or_else(|| target.user.clone()), private: None, control: None }
    }

    /// Through a connection that the operator's `ssh` keeps open.
    #[must_use]
    pub fn through(mut self, control: Option<PathBuf>) -> Self {
        self.control = control;
        self
    }

    fn cannot(&self, what: &str, e: impl std::fmt::Display) -> NodeError {
        NodeError::Unreachable { message: format!("{}: cannot {what}: {e}", self.target.name), help: vec![] }
    }

    /// A program that prints the secret, for SSH_ASKPASS: the secret itself is on no command line and in no environment.
    fn askpass(dir: &Path, secret: &str) -> std::io::Result<std::path::PathBuf> {
        let file = |name: &str, mode: u32| {
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(dir.join(name))
        };
        file("secret", 0o600)?.write_all(format!("{secret}\n").as_bytes())?;
        file("askpass", 0o700)?.write_all(b"#!/bin/sh\nexec cat \"${0%/*}/secret\"\n")?;
        Ok(dir.join("askpass"))
    }
}

impl Transport for SystemSsh {
    fn open(&mut self, command: &str) -> Result<Box<dyn Channel>, NodeError> {
        let Some(ssh) = config::ssh_program() else {
            return Err(NodeError::Unreachable {
                message: format!("{}: there is no `ssh` on the control machine", self.target.name),
                help: vec!["install OpenSSH's client".into()],
            });
        };
        if self.target.address.starts_with('-') {
            return Err(self.cannot("connect", format!("`{}` is no host name", self.target.address)));
        }
        if self.private.is_none() {
            let dir = tempfile::Builder::new().prefix("kdeploy-ssh-").tempdir();
            self.private = Some(dir.map_err(|e| self.cannot("make a private directory", e))?);
        }
        let dir = self.private.as_ref().map(|d| d.path().to_owned()).unwrap_or_default();
        let target = &self.target;
        let setsid = ["/usr/bin/setsid", "/bin/setsid"].into_iter().find(|p| Path::new(p).exists());
        let mut child = match setsid {
            Some(setsid) => {
                let mut c = Command::new(setsid);
                c.arg(ssh);
                c
            }
            None => Command::new(ssh),
        };
        child.arg("-T").args(&target.ssh_args);
        let mut option = |text: String| {
            child.arg("-o").arg(text);
        };
        // The first value of an option holds, so the operator's own arguments stand before these.
        match &self.control {
            // Whoever made it also ends it.
            Some(socket) => {
                option("ControlMaster=no".into());
                option(format!("ControlPath=\"{}\"", socket.display().to_string().replace('%', "%%")));
            }
            None => {
                option("ControlMaster=auto".into());
                option(format!("ControlPath={}/%C", dir.display()));
                option("ControlPersist=no".into());
            }
        }
        option("ServerAliveInterval=15".into());
        option("ServerAliveCountMax=3".into());
        option("EscapeChar=none".into());
        // What the configuration says of host keys holds where the inventory says nothing of its own.
        let policy = config::Settings::of(target).map_or(target.host_keys, |settings| settings.policy);
        match (policy, target.host_keys) {
            (HostKeyPolicy::Strict, _) => option("StrictHostKeyChecking=yes".into()),
            (HostKeyPolicy::AcceptNew, _) => option("StrictHostKeyChecking=accept-new".into()),
            (HostKeyPolicy::Off, own) => {
                option("StrictHostKeyChecking=no".into());
                if own == HostKeyPolicy::Off {
                    option("UserKnownHostsFile=/dev/null".into());
                }
            }
        }
        if !target.connect_timeout.is_zero() {
            option(format!("ConnectTimeout={}", target.connect_timeout.as_secs().max(1)));
        }
        if let Some(key) = &target.private_key {
            option(format!("IdentityFile=\"{}\"", key.display()));
        }
        if let Some(port) = target.port {
            option(format!("Port={port}"));
        }
        if let Some(user) = &target.user {
            option(format!("User=\"{user}\""));
        }
        match target.password.as_ref().or(target.key_passphrase.as_ref()) {
            None => option("BatchMode=yes".into()),
            Some(secret) => {
                option("NumberOfPasswordPrompts=1".into());
                let program = Self::askpass(&dir, &secret.0).map_err(|e| self.cannot("prepare the login", e))?;
                child.env("SSH_ASKPASS", program).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
            }
        }
        child.arg("--").arg(&target.address).arg(command);
        let pipes = Pipes::start(&mut child).map_err(|e| self.cannot("start `ssh`", e))?;
        Ok(Box::new(pipes))
    }

    fn disconnect(&mut self) {
        self.private = None;
    }

    fn explain(&self, stderr: &str) -> Option<NodeError> {
        let has = |text: &str| stderr.contains(text);
        let last = stderr.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("");
        let (message, help) = if has("Host key verification failed") || has("IDENTIFICATION HAS CHANGED") {
            let changed = has("IDENTIFICATION HAS CHANGED");
            let what = if changed { "the host key has CHANGED" } else { "the host key is not known" };
            let at = stderr.lines().find(|l| l.starts_with("Offending")).unwrap_or("");
            (format!("{what} {at}").trim().to_owned(), "compare the key with the node's own, then mend known_hosts")
        } else if has("Permission denied (") || has("Too many authentication failures") {
            (
                format!("the login was refused: {last}"),
                "check the user, the keys and the agent (`ssh -v` shows what is tried)",
            )
        } else if has("Could not resolve hostname") {
            (last.trim_start_matches("ssh: ").to_owned(), "check the name, or set `ansible_host` to an address")
        } else if has("Connection refused")
            || has("timed out")
            || has("No route to host")
            || has("Connection closed by")
            || has("Connection reset")
            || has("kex_exchange_identification")
        {
            (last.trim_start_matches("ssh: ").to_owned(), "is the node up, and sshd running there?")
        } else {
            return None;
        };
        Some(NodeError::Unreachable { message: format!("{}: {message}", self.target.name), help: vec![help.into()] })
    }

    fn describe(&self) -> String {
        if self.target.address == self.target.name {
            self.target.name.clone()
        } else {
            format!("{} ({})", self.target.name, self.target.address)
        }
    }

    fn user(&mut self) -> Option<String> {
        self.user.clone()
    }
}
