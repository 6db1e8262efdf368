//! What stands in OpenSSH's configuration, against real servers: patterns, includes, tokens, Match, jumps, control sockets.

use std::fs;
use std::process::{Command as Process, Stdio};

use super::super::*;
use super::sshd::Sshd;

fn hello(target: &Target) -> Result<Hello, NodeError> {
    connect(target).hello(&Identity::default())
}

/// A target that only the configuration file says how to reach.
fn named(name: &str, config: &std::path::Path) -> Target {
    Target {
        name: name.into(),
        address: name.into(),
        connect_timeout: std::time::Duration::from_secs(10),
        ssh_args: vec!["-F".into(), config.display().to_string()],
        ..Target::default()
    }
}

#[test]
fn includes_patterns_matches_and_tokens() {
    let Some(sshd) = Sshd::start() else { return };
    fs::create_dir(sshd.path("conf.d")).expect("made");
    let dir = sshd.dir.path().display().to_string();
    fs::rename(sshd.path("key"), sshd.path(&format!("key-w1.local-{}", sshd.port))).expect("moved");
    fs::rename(sshd.path("known"), sshd.path("known-127.0.0.1")).expect("moved");
    fs::write(
        sshd.path("conf.d/10.conf"),
        format!(
            "Host w* !w13.local\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {dir}/none\n  IdentityFile {dir}/key-%n-%p\n  IdentitiesOnly yes\n  UserKnownHostsFile {dir}/nobody {dir}/known-%h\n  IdentityAgent none\n",
            sshd.port
        ),
    )
    .expect("written");
    let config = sshd.path("ssh_config");
    fs::write(
        &config,
        format!("Include {dir}/conf.d/*.conf\nMatch host w13.local exec \"true\"\n  HostName 127.0.0.1\n  Port 1\nHost *\n  ConnectTimeout 3\n"),
    )
    .expect("written");
    hello(&named("w1.local", &config)).unwrap_or_else(|e| panic!("{e}"));
    // The negated pattern leaves it to Match, whose port nobody listens on.
    let Err(NodeError::Unreachable { message, .. }) = hello(&named("w13.local", &config)) else { panic!("connected") };
    assert!(message.contains("127.0.0.1:1 refused"), "{message}");
    // The inventory's own port is stronger than the configuration's.
    let own = Target { port: Some(1), ..named("w1.local", &config) };
    assert!(matches!(hello(&own), Err(NodeError::Unreachable { message, .. }) if message.contains("refused")));
}

#[test]
fn a_jump_of_the_configuration_leads_to_a_node_by_both_transports() {
    let (Some(jump), Some(node)) = (Sshd::start(), Sshd::start()) else { return };
    fs::copy(jump.path("key.pub"), node.path("authorized")).expect("copied");
    let known =
        fs::read_to_string(jump.path("known")).expect("read") + &fs::read_to_string(node.path("known")).expect("read");
    fs::write(node.path("both"), known).expect("written");
    // All of it in the node's folder: the jump host goes before the test ends.
    fs::copy(jump.path("key"), node.path("jump-key")).expect("copied");
    let config = node.path("ssh_config");
    let dir = node.dir.path().display();
    fs::write(
        &config,
        format!(
            "Host bastion\n  Port {}\nHost inner\n  Port {}\n  ProxyJump bastion\nHost *\n  HostName 127.0.0.1\n  IdentityFile {dir}/jump-key\n  IdentitiesOnly yes\n  UserKnownHostsFile {dir}/both\n",
            jump.port, node.port
        ),
    )
    .expect("written");
    for transport in [Transport::Ssh, Transport::SystemSsh] {
        let target = Target { transport, ..named("inner", &config) };
        hello(&target).unwrap_or_else(|e| panic!("{transport:?}: {e}"));
    }
    drop(jump);
    let target = named("inner", &config);
    assert!(matches!(hello(&target), Err(NodeError::Unreachable { message, .. }) if message.contains("jump host")));
}

#[test]
fn an_open_control_socket_is_used() {
    let Some(sshd) = Sshd::start() else { return };
    let config = sshd.path("ssh_config");
    let dir = sshd.dir.path().display();
    fs::write(
        &config,
        format!(
            "Host node\n  HostName 127.0.0.1\n  Port {}\n  UserKnownHostsFile {dir}/known\n  ControlPath {dir}/cm-%C\n  IdentityFile {dir}/key\n  IdentitiesOnly yes\n",
            sshd.port
        ),
    )
    .expect("written");
    let master = Process::new("ssh")
        .args(["-F", &config.display().to_string(), "-M", "-N", "-f", "node"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(master.expect("ssh").success());
    // Without a key only the open connection can carry it.
    fs::write(sshd.path("authorized"), "").expect("written");
    let answer = hello(&named("node", &config));
    let exit = Process::new("ssh").args(["-F", &config.display().to_string(), "-O", "exit", "node"]).output();
    assert!(exit.expect("ssh").status.success(), "the master was still there");
    answer.unwrap_or_else(|e| panic!("{e}"));
    assert!(hello(&named("node", &config)).is_err());
}

#[test]
fn users_host_key_rules_and_match_exec_hold_for_both_transports() {
    let Some(sshd) = Sshd::start() else { return };
    let dir = sshd.dir.path().display().to_string();
    let config = sshd.path("ssh_config");
    let me = super::super::ssh::config::own_name();
    let common = format!(
        "HostName 127.0.0.1\n  Port {}\n  IdentityFile {dir}/key\n  IdentitiesOnly yes\n  IdentityAgent none\n",
        sshd.port
    );
    let flag = sshd.path("flag").display().to_string();
    fs::write(
        &config,
        format!(
            "Host user\n  User nobody-here\nHost trusting\n  StrictHostKeyChecking no\n  UserKnownHostsFile {dir}/none\n\
             Host learning\n  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {dir}/learned\n\
             Host strict\n  UserKnownHostsFile {dir}/none\n\
             Match host asked exec \"test -e {flag}\"\n  User {me}\n\
             Match host asked\n  User nobody-here\n\
             Host *\n  UserKnownHostsFile {dir}/known\n  {common}"
        ),
    )
    .expect("written");
    for transport in [Transport::Ssh, Transport::SystemSsh] {
        let of = |name: &str| hello(&Target { transport, ..named(name, &config) });
        let _ = fs::remove_file(&flag);
        let _ = fs::remove_file(sshd.path("learned"));
        assert!(of("user").is_err(), "{transport:?}: the configuration's user cannot log in");
        let own = Target { transport, user: Some(me.clone()), ..named("user", &config) };
        hello(&own).unwrap_or_else(|e| panic!("{transport:?}: the inventory's user is stronger: {e}"));
        assert!(of("asked").is_err(), "{transport:?}: the program said no");
        fs::write(&flag, "").expect("written");
        of("asked").unwrap_or_else(|e| panic!("{transport:?}: the program says yes: {e}"));
        assert!(of("strict").is_err(), "{transport:?}: a key that is not known");
        of("trusting").unwrap_or_else(|e| panic!("{transport:?}: {e}"));
        let _ = fs::remove_file(sshd.path("none"));
        of("learning").unwrap_or_else(|e| panic!("{transport:?}: {e}"));
        let learned = fs::read_to_string(sshd.path("learned")).expect("the key was written down");
        assert!(learned.contains("ssh-ed25519"), "{learned}");
    }
}
