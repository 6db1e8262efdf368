//! The ssh transport over libssh2: one session per node, one channel per shell.
//!
//! What libssh2 cannot do (ProxyCommand, hardware keys, key exchanges it lacks) goes through the system's `ssh`.

mod auth;
pub mod config;
mod jump;
pub mod known_hosts;
mod stream;
mod tokens;

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh2::{MethodType, Session};

use super::channel::{Channel, Transport};
use super::system_ssh::SystemSsh;
use super::{HostKeyPolicy, NodeError, Target};
use config::Settings;
use known_hosts::Verdict;
use stream::{SshChannel, Stream};

pub struct Ssh {
    target: Target,
    settings: Option<Settings>,
    connected: Option<Connected>,
    /// Set once libssh2 turned out not to be enough.
    system: Option<SystemSsh>,
}

struct Connected {
    session: Session,
    stream: Stream,
}

/// Why a connection could not be made.
enum Trouble {
    Final(NodeError),
    /// The system's `ssh` may be able to.
    TrySystem(NodeError),
}

impl From<NodeError> for Trouble {
    fn from(e: NodeError) -> Self {
        Self::Final(e)
    }
}

impl Ssh {
    pub fn new(target: &Target) -> Self {
        Self { target: target.clone(), settings: None, connected: None, system: None }
    }

    fn settings(&mut self) -> Result<Settings, NodeError> {
        if self.settings.is_none() {
            self.settings = Some(Settings::of(&self.target)?);
        }
        Ok(self.settings.clone().unwrap_or_default())
    }

    fn open_channel(&mut self, command: &str) -> Result<Box<dyn Channel>, Trouble> {
        let settings = self.settings()?;
        if let Some(what) = &settings.needs_system_ssh {
            return Err(Trouble::TrySystem(NodeError::Unreachable {
                message: format!("{}: libssh2 cannot connect with `{what}`", self.target.name),
                help: vec!["install OpenSSH's `ssh` on the control machine".into()],
            }));
        }
        // A connection that stood idle may be gone without our knowing: then a new one is made, once.
        if self.connected.is_some()
            && let Ok(channel) = self.channel_on_session(command, &settings)
        {
            return Ok(channel);
        }
        self.connected = Some(connect(&self.target, &settings, 0)?);
        Ok(self.channel_on_session(command, &settings)?)
    }

    fn channel_on_session(&mut self, command: &str, settings: &Settings) -> Result<Box<dyn Channel>, NodeError> {
        let Some(Connected { session, stream }) = &self.connected else { unreachable!("connected before") };
        session.set_blocking(true);
        session.set_timeout(millis(settings.connect_timeout));
        let trouble = |e: ssh2::Error| NodeError::Unreachable {
            message: format!("{}: the ssh server opens no channel: {}", self.target.name, e.message()),
            help: vec![],
        };
        let opened = session.channel_session().and_then(|mut channel| channel.exec(command).map(|()| channel));
        session.set_blocking(false);
        let channel = opened.map_err(trouble)?;
        Ok(Box::new(SshChannel::new(session.clone(), channel, stream.clone())))
    }
}

impl Transport for Ssh {
    fn open(&mut self, command: &str) -> Result<Box<dyn Channel>, NodeError> {
        if let Some(system) = &mut self.system {
            return system.open(command);
        }
        match self.open_channel(command) {
            Ok(channel) => Ok(channel),
            Err(Trouble::Final(error)) => Err(error),
            Err(Trouble::TrySystem(error)) => {
                if config::ssh_program().is_none() {
                    return Err(error);
                }
                self.connected = None;
                let user = self.user();
                let control = self.settings.as_ref().and_then(|s| s.control_socket.clone());
                self.system.insert(SystemSsh::new(&self.target, user).through(control)).open(command)
            }
        }
    }

    fn disconnect(&mut self) {
        self.connected = None;
        if let Some(system) = &mut self.system {
            system.disconnect();
        }
    }

    fn explain(&self, stderr: &str) -> Option<NodeError> {
        self.system.as_ref().and_then(|s| s.explain(stderr))
    }

    fn describe(&self) -> String {
        let target = &self.target;
        match &self.settings {
            Some(s) if s.host != target.name || s.port != 22 => format!("{} ({}:{})", target.name, s.host, s.port),
            _ => target.name.clone(),
        }
    }

    fn user(&mut self) -> Option<String> {
        self.settings().ok().map(|s| s.user)
    }
}

fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Connects and logs in; `depth` counts jump hosts.
fn connect(target: &Target, settings: &Settings, depth: usize) -> Result<Connected, Trouble> {
    let began = Instant::now();
    let stream = match settings.proxy_jump.as_deref() {
        Some(hops) => through_jump(target, settings, hops, depth)?,
        None => Stream::Tcp(Arc::new(dial(target, settings)?)),
    };
    let broken = |what: &str, e: &ssh2::Error| {
        let at = format!("{} ({}:{})", target.name, settings.host, settings.port);
        let message = match e.code() {
            // LIBSSH2_ERROR_TIMEOUT, and the socket's own words otherwise.
            ssh2::ErrorCode::Session(-9) => {
                format!("{at}: the ssh server says nothing within {} s", settings.connect_timeout.as_secs())
            }
            ssh2::ErrorCode::Session(-13 | -43) => format!("{at}: the connection was closed during {what}"),
            _ => format!("{at}: {what} failed: {}", e.message()),
        };
        NodeError::Unreachable { message, help: vec![] }
    };
    let mut session = Session::new().map_err(|e| broken("starting libssh2", &e))?;
    session.set_timeout(millis(settings.connect_timeout));
    // An identification of our own, and the cheap exchange first: others cost a client up to 95 ms.
    let _ = session.set_banner("SSH-2.0-kdeploy");
    let exchanges = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256,diffie-hellman-group14-sha1";
    let _ = session.method_pref(MethodType::Kex, exchanges);
    let (name, port) = settings.key_name();
    let known = known_hosts::lookup(&settings.known_hosts, name, port);
    let _ = session.method_pref(MethodType::HostKey, &key_preference(&known));
    session.set_tcp_stream(stream.clone());
    session.handshake().map_err(|e| {
        let error = broken("the key exchange", &e);
        // LIBSSH2_ERROR_KEX_FAILURE, _METHOD_NONE, _KEY_EXCHANGE_FAILURE: no algorithm in common.
        if matches!(e.code(), ssh2::ErrorCode::Session(-5 | -17 | -8)) && depth == 0 {
            Trouble::TrySystem(error)
        } else {
            Trouble::Final(error)
        }
    })?;
    check_key(&session, target, settings, &known)?;
    session.set_timeout(millis(settings.connect_timeout.max(Duration::from_secs(20))));
    auth::log_in(&session, target, settings).map_err(|(hardware, error)| {
        if hardware && depth == 0 { Trouble::TrySystem(error) } else { Trouble::Final(error) }
    })?;
    session.set_keepalive(true, 15);
    tracing::debug!(host = %target.name, ms = began.elapsed().as_millis(), "connected");
    Ok(Connected { session, stream })
}

/// TCP to the node, each of its addresses in turn.
fn dial(target: &Target, settings: &Settings) -> Result<TcpStream, NodeError> {
    let Settings { host, port, .. } = settings;
    let unreachable = |message: String, help: &str| NodeError::Unreachable {
        message: format!("{}: {message}", target.name),
        help: if help.is_empty() { vec![] } else { vec![help.to_owned()] },
    };
    let addresses: Vec<_> = (host.as_str(), *port)
        .to_socket_addrs()
        .map_err(|e| {
            let e = e.to_string();
            let why = e.rsplit(": ").next().unwrap_or(&e);
            unreachable(
                format!("cannot resolve `{host}`: {why}"),
                "check the name, or set `ansible_host` to an address",
            )
        })?
        .collect();
    let mut last = None;
    for address in &addresses {
        match TcpStream::connect_timeout(address, settings.connect_timeout) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                // A peer that is gone is noticed although we only wait: keep-alives stay unacknowledged.
                let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, 45_000);
                return Ok(stream);
            }
            Err(e) => last = Some((address, e)),
        }
    }
    let Some((address, e)) = last else {
        return Err(unreachable(format!("`{host}` has no address"), ""));
    };
    let place = if address.ip().to_string() == *host { address.to_string() } else { format!("{host} ({address})") };
    Err(match e.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            unreachable(format!("{place} refused the connection"), "is sshd running there, on that port?")
        }
        std::io::ErrorKind::TimedOut => unreachable(
            format!("no answer from {place} within {} s", settings.connect_timeout.as_secs()),
            "is the node up, and the way to it open? (--timeout waits longer)",
        ),
        _ => unreachable(format!("cannot connect to {place}: {e}"), ""),
    })
}

/// The last hop of `hops` is reached through those before it.
fn through_jump(target: &Target, settings: &Settings, hops: &str, depth: usize) -> Result<Stream, Trouble> {
    if depth > 8 {
        return Err(NodeError::Unreachable {
            message: format!("{}: more than 8 jump hosts", target.name),
            help: vec!["does ProxyJump lead in a circle?".into()],
        }
        .into());
    }
    let (before, last) = hops.rsplit_once(',').map_or((None, hops), |(b, l)| (Some(b), l));
    let (user, address, port) = config::parse_hop(last);
    // A hop has OpenSSH's configuration of its own; the node's key and arguments are not for it, but its -F is.
    let mut ssh_args = vec![];
    let mut words = target.ssh_args.iter();
    while let Some(word) = words.next() {
        if word == "-F" {
            ssh_args.extend([word.clone()].into_iter().chain(words.next().cloned()));
        } else if word.starts_with("-F") {
            ssh_args.push(word.clone());
        }
    }
    let jump = Target {
        name: format!("{} (jump host {address})", target.name),
        address,
        port,
        user,
        private_key: None,
        ssh_args,
        password: None,
        ..target.clone()
    };
    let mut hop = Settings::of(&jump)?;
    // Keys the node's own connection would use serve as well, after the hop's own.
    let more: Vec<_> = settings.identity_files.iter().filter(|f| !hop.identity_files.contains(f)).cloned().collect();
    hop.identity_files.extend(more);
    hop.proxy_jump = before.map(str::to_owned).or(hop.proxy_jump);
    // The files given on the command line hold for the hops as well, as OpenSSH's -J has it only for files of its configuration.
    hop.known_hosts
        .extend(settings.known_hosts.iter().filter(|f| !hop.known_hosts.contains(f)).cloned().collect::<Vec<_>>());
    let connected = connect(&jump, &hop, depth + 1)?;
    connected.session.set_timeout(millis(settings.connect_timeout));
    let channel = connected.session.channel_direct_tcpip(&settings.host, settings.port, None).map_err(|e| {
        NodeError::Unreachable {
            message: format!(
                "{}: jump host {} cannot reach {}:{}: {}",
                target.name,
                jump.address,
                settings.host,
                settings.port,
                e.message()
            ),
            help: vec!["is forwarding allowed there (AllowTcpForwarding), and is the node up?".into()],
        }
    })?;
    let near = jump::pump(connected.session, channel, connected.stream).map_err(|e| NodeError::Unreachable {
        message: format!("{}: cannot start the jump's pump: {e}", target.name),
        help: vec![],
    })?;
    Ok(Stream::Jumped(Arc::new(near)))
}

/// Key types on file first, so that a known host shows the key we know.
fn key_preference(known: &[known_hosts::Known]) -> String {
    let all = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
    let on_file = |kind: &str| known.iter().any(|k| k.kind == kind && k.marker == known_hosts::Marker::None);
    let (mut order, rest): (Vec<&str>, Vec<&str>) = all.iter().partition(|kind| on_file(kind));
    order.extend(rest);
    order
        .iter()
        .map(|k| if *k == "ssh-rsa" { "rsa-sha2-512,rsa-sha2-256,ssh-rsa" } else { k })
        .collect::<Vec<_>>()
        .join(",")
}

fn check_key(
    session: &Session,
    target: &Target,
    settings: &Settings,
    known: &[known_hosts::Known],
) -> Result<(), Trouble> {
    if settings.policy == HostKeyPolicy::Off {
        return Ok(());
    }
    let Some((key, _)) = session.host_key() else {
        return Err(NodeError::Unreachable {
            message: format!("{}: the server showed no host key", target.name),
            help: vec![],
        }
        .into());
    };
    let kind = known_hosts::kind_of(key);
    let shown = known_hosts::fingerprint(key);
    let (name, port) = settings.key_name();
    let label = if port == 22 { name.to_owned() } else { format!("[{name}]:{port}") };
    let refuse = |message: String, help: Vec<String>| NodeError::Unreachable {
        message: format!("{}: {message}", target.name),
        help,
    };
    match known_hosts::judge(known, &kind, key) {
        Verdict::Known => Ok(()),
        Verdict::OnlyAuthority => Err(Trouble::TrySystem(refuse(
            format!("the host key of `{label}` is vouched for by a certificate authority, which libssh2 cannot check"),
            vec!["install OpenSSH's `ssh` on the control machine".into()],
        ))),
        Verdict::Unknown if settings.policy == HostKeyPolicy::AcceptNew => {
            if let Some(file) = settings.known_hosts.first() {
                known_hosts::add(file, name, port, key, settings.hash_known_hosts).map_err(|e| {
                    refuse(format!("cannot add the host key to {}: {e}", file.display()), vec![])
                })?;
            }
            Ok(())
        }
        Verdict::Unknown => Err(refuse(
            format!("the host key of `{label}` is not known: {kind} {shown}"),
            vec![
                format!("compare it with the node's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), then add it: `ssh-keyscan{} {name} >> ~/.ssh/known_hosts`", if port == 22 { String::new() } else { format!(" -p {port}") }),
                "or accept new keys: `StrictHostKeyChecking accept-new` in ~/.ssh/config".into(),
            ],
        )
        .into()),
        Verdict::Changed(old) => Err(refuse(
            format!(
                "the host key of `{label}` has CHANGED: it shows {kind} {shown}, {}:{} has {} {}",
                old.file.display(),
                old.line,
                old.kind,
                known_hosts::fingerprint(&old.key)
            ),
            vec![
                "somebody may be listening in, or the node was installed anew".into(),
                format!("if you know why, remove the old key: `ssh-keygen -f {} -R '{label}'`", old.file.display()),
            ],
        )
        .into()),
        Verdict::Revoked(line) => Err(refuse(
            format!("the host key of `{label}` is revoked by {}:{}: {kind} {shown}", line.file.display(), line.line),
            vec![],
        )
        .into()),
    }
}
