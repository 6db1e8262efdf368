//! An sshd of our own on a loopback port, as the current user, with keys made for the test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::*;

pub struct Sshd {
    pub dir: tempfile::TempDir,
    pub port: u16,
    process: Child,
}

/// `None` where the machine has no sshd.
pub fn sshd_program() -> Option<&'static str> {
    ["/usr/sbin/sshd", "/usr/lib/ssh/sshd", "/sbin/sshd"].into_iter().find(|p| Path::new(p).exists())
}

pub fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let out =
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]).arg(path).output();
    assert!(out.expect("ssh-keygen").status.success());
}

impl Sshd {
    pub fn start() -> Option<Self> {
        Self::with("")
    }

    pub fn with(extra: &str) -> Option<Self> {
        let program = sshd_program().or_else(|| {
            eprintln!("skipped: no sshd on this machine");
            None
        })?;
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("set");
        let _ = fs::create_dir_all("/run/sshd");
        keygen(&dir.path().join("host"), "ed25519", "");
        keygen(&dir.path().join("key"), "ed25519", "");
        fs::copy(dir.path().join("key.pub"), dir.path().join("authorized")).expect("copied");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let d = dir.path().display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {d}/host\nAuthorizedKeysFile {d}/authorized\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nAllowTcpForwarding yes\nLogLevel ERROR\nMaxStartups 100\n{extra}\n"
        );
        fs::write(dir.path().join("config"), config).expect("written");
        let log = fs::File::create(dir.path().join("log")).expect("made");
        let mut command = Command::new(program);
        command
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = command.spawn().expect("sshd starts");
        let sshd = Self { dir, port, process };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < until,
                "sshd does not listen: {}",
                fs::read_to_string(sshd.path("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd.know(&sshd.path("known"), "127.0.0.1");
        Some(sshd)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a known_hosts file with this server's key under a name.
    pub fn know(&self, file: &Path, name: &str) {
        let key = fs::read_to_string(self.path("host.pub")).expect("read");
        fs::write(file, format!("[{name}]:{} {key}", self.port)).expect("written");
    }

    pub fn target(&self) -> Target {
        Target {
            name: "node".into(),
            address: "127.0.0.1".into(),
            port: Some(self.port),
            private_key: Some(self.path("key")),
            connect_timeout: Duration::from_secs(10),
            ssh_args: vec![
                "-F".into(),
                "none".into(),
                "-o".into(),
                format!("UserKnownHostsFile={}", self.path("known").display()),
            ],
            ..Target::default()
        }
    }

    /// Pids of the children that serve connections.
    pub fn children(&self) -> Vec<u32> {
        let out =
            Command::new("ps").args(["-o", "pid=", "--ppid", &self.process.id().to_string()]).output().expect("ps");
        String::from_utf8_lossy(&out.stdout).split_whitespace().filter_map(|p| p.parse().ok()).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        for pid in self.children() {
            let _ = Command::new("kill").arg("-9").arg(pid.to_string()).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
