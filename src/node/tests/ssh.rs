//! The ssh transports against a real sshd.

use std::fs;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Instant;

use super::super::*;
use super::sshd::{Sshd, keygen};
use crate::world::{Answer, Query};

fn me() -> Identity {
    Identity::default()
}

fn works(target: &Target) -> Hello {
    connect(target).hello(&me()).unwrap_or_else(|e| panic!("{e}"))
}

fn fails(target: &Target) -> (String, Vec<String>) {
    match connect(target).hello(&me()) {
        Err(NodeError::Unreachable { message, help } | NodeError::Refused { message, help }) => (message, help),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a connection was made"),
    }
}

#[test]
fn keys_of_every_kind_log_in() {
    let Some(sshd) = Sshd::start() else { return };
    assert_eq!(works(&sshd.target()).uid, rustix::process::geteuid().as_raw());
    for kind in ["rsa", "ecdsa"] {
        keygen(&sshd.path(kind), kind, "");
        fs::copy(sshd.path(&format!("{kind}.pub")), sshd.path("authorized")).expect("copied");
        works(&Target { private_key: Some(sshd.path(kind)), ..sshd.target() });
    }
    // Encrypted: with its passphrase, with a wrong one, without.
    keygen(&sshd.path("locked"), "ed25519", "open sesame");
    fs::copy(sshd.path("locked.pub"), sshd.path("authorized")).expect("copied");
    let locked = Target { private_key: Some(sshd.path("locked")), ..sshd.target() };
    let with = |phrase: &str| Target { key_passphrase: Some(Secret(phrase.into())), ..locked.clone() };
    works(&with("open sesame"));
    assert!(fails(&with("wrong")).0.contains("wrong passphrase"), "{:?}", fails(&with("wrong")));
    assert!(fails(&locked).0.contains("encrypted, no passphrase given"));
    // Not authorised: what was tried and what the server takes is told.
    let (message, help) = fails(&sshd.target());
    assert!(
        message.contains("was refused") && message.contains("/key`") && help[0].contains("publickey"),
        "{message} {help:?}"
    );
    assert!(fails(&Target { private_key: Some("/no/such/key".into()), ..sshd.target() }).0.contains("no such file"));
}

#[test]
fn certificates_log_in() {
    let Some(sshd) = Sshd::start() else { return };
    keygen(&sshd.path("ca"), "ed25519", "");
    let ca = fs::read_to_string(sshd.path("ca.pub")).expect("read");
    fs::write(sshd.path("authorized"), format!("cert-authority {ca}")).expect("written");
    assert!(fails(&sshd.target()).0.contains("was refused"));
    let user = ssh::config::own_name();
    let signed = Process::new("ssh-keygen")
        .arg("-q")
        .arg("-s")
        .arg(sshd.path("ca"))
        .args(["-I", "id", "-n", &user])
        .arg(sshd.path("key.pub"))
        .output();
    assert!(signed.expect("ssh-keygen").status.success());
    works(&sshd.target());
}

#[test]
fn the_agent_logs_in() {
    let Some(sshd) = Sshd::start() else { return };
    let socket = sshd.path("agent");
    let mut agent = Process::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("an agent");
    // The socket's name is there a moment before anyone listens.
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let add = Process::new("ssh-add").arg("-q").arg(sshd.path("key")).env("SSH_AUTH_SOCK", &socket).status();
    assert!(add.expect("ssh-add").success());
    let mut target = Target { private_key: None, ..sshd.target() };
    target.ssh_args.extend([
        "-o".into(),
        format!("IdentityAgent={}", socket.display()),
        "-o".into(),
        "IdentityFile=/no/such".into(),
    ]);
    let hello = connect(&target).hello(&me());
    let _ = agent.kill();
    let _ = agent.wait();
    hello.expect("logged in");
}

#[test]
fn host_keys_are_checked() {
    let Some(sshd) = Sshd::start() else { return };
    let known = sshd.path("known");
    let right = fs::read_to_string(&known).expect("read");
    fs::write(&known, "").expect("written");
    let (message, help) = fails(&sshd.target());
    assert!(message.contains("is not known: ssh-ed25519 SHA256:") && help[0].contains("ssh-keyscan -p"), "{message}");
    works(&Target { host_keys: HostKeyPolicy::Off, ..sshd.target() });
    assert_eq!(fs::read_to_string(&known).expect("read"), "");
    works(&Target { host_keys: HostKeyPolicy::AcceptNew, ..sshd.target() });
    let key_of = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(key_of(&fs::read_to_string(&known).expect("read")), key_of(&right));
    works(&sshd.target());
    // Another key on file: refused by every policy but Off, with both fingerprints and the place.
    keygen(&sshd.path("other"), "ed25519", "");
    let other = fs::read_to_string(sshd.path("other.pub")).expect("read");
    fs::write(&known, format!("# first\n[127.0.0.1]:{} {other}", sshd.port)).expect("written");
    for host_keys in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let (message, help) = fails(&Target { host_keys, ..sshd.target() });
        assert!(
            message.contains("CHANGED") && message.matches("SHA256:").count() == 2 && message.contains("known:2"),
            "{message}"
        );
        assert!(help[1].contains("ssh-keygen -f"));
    }
    // An alias is what is looked up.
    fs::write(&known, right.replace(&format!("[127.0.0.1]:{}", sshd.port), "alias")).expect("written");
    let mut aliased = sshd.target();
    aliased.ssh_args.extend(["-o".into(), "HostKeyAlias=alias".into()]);
    works(&aliased);
}

#[test]
fn openssh_configuration_is_honoured() {
    let Some(sshd) = Sshd::start() else { return };
    let config = sshd.path("ssh_config");
    let text = format!(
        "Host worker99\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        sshd.port,
        sshd.path("key").display(),
        sshd.path("known").display()
    );
    fs::write(&config, text).expect("written");
    let target = Target {
        name: "worker99".into(),
        address: "worker99".into(),
        ssh_args: vec![
            "-F".into(),
            config.display().to_string(),
            "-C".into(),
            "-o".into(),
            "ControlMaster=auto".into(),
        ],
        ..Target::default()
    };
    works(&target);
}

#[test]
fn two_jump_hosts_lead_to_a_node() {
    let (Some(first), Some(second), Some(node)) = (Sshd::start(), Sshd::start(), Sshd::start()) else { return };
    // One key opens all.
    for sshd in [&second, &node] {
        fs::copy(first.path("key.pub"), sshd.path("authorized")).expect("copied");
    }
    let known: String =
        [&first, &second, &node].iter().map(|s| fs::read_to_string(s.path("known")).expect("read")).collect();
    fs::write(first.path("known"), known).expect("written");
    let mut target = Target { port: Some(node.port), ..first.target() };
    target.ssh_args.extend(["-J".into(), format!("127.0.0.1:{},127.0.0.1:{}", first.port, second.port)]);
    let mut conversation = connect(&target);
    conversation.hello(&me()).unwrap_or_else(|e| panic!("{e}"));
    echo_big(&mut *conversation, 8 << 20);
    // The last hop cannot reach a port where nothing listens.
    drop(node);
    assert!(fails(&target).0.contains("cannot reach"), "{:?}", fails(&target));
}

/// Writes a file of random-looking bytes and reads it back in a batch with another.
fn echo_big(node: &mut dyn Conversation, size: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("big").display().to_string();
    let mut x = 12345u64;
    let bytes: Vec<u8> = (0..size)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (x >> 56) as u8
        })
        .collect();
    let bytes = Arc::new(bytes);
    let write = Action::WriteFile {
        path: path.clone(),
        content: Blob::Bytes(bytes.clone()),
        mode: Some(0o600),
        owner: Owner::default(),
        validate: None,
        backup: None,
    };
    // While the node still reads the second file, the first one's reply and a big output come back.
    let cat = Action::Exec(ExecSpec::argv(["cat", &path]));
    let done = node.act(&me(), &[write.clone(), cat, write], &mut |_, _| {}).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&done[1], Done::Ok(o) if o.stdout == *bytes), "the output came back whole");
    assert_eq!(done.len(), 3);
    let answers = node.ask(&me(), &[Query::Content { path }]).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&answers[0], Answer::Content(Some(c)) if *c == bytes));
}

#[test]
fn big_blobs_travel_both_ways() {
    let Some(sshd) = Sshd::start() else { return };
    let mut node = connect(&sshd.target());
    let began = Instant::now();
    echo_big(&mut *node, 40 << 20);
    eprintln!("40 MiB out twice and back twice: {:?}, {:?}", began.elapsed(), node.traffic());
}

#[test]
fn a_cut_connection_leaves_the_target_untouched() {
    let Some(sshd) = Sshd::start() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("f").display().to_string();
    fs::write(&path, "old").expect("written");
    let mut node = connect(&sshd.target());
    node.hello(&me()).unwrap_or_else(|e| panic!("{e}"));
    let write = |path: &str| Action::WriteFile {
        path: path.to_owned(),
        content: Blob::Bytes(Arc::new(vec![b'n'; 200 << 20])),
        mode: None,
        owner: Owner::default(),
        validate: None,
        backup: None,
    };
    let pids = sshd.children();
    assert!(!pids.is_empty());
    let watched = dir.path().to_owned();
    let cutter = std::thread::spawn(move || {
        // As soon as the temporary file is there, the server's processes for this connection are killed.
        let until = Instant::now() + std::time::Duration::from_secs(20);
        while fs::read_dir(&watched).expect("read").count() < 2 && Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        for pid in pids {
            let _ = Process::new("kill").arg("-9").arg(pid.to_string()).status();
        }
    });
    let error = node.act(&me(), &[Action::Remove { path: path.clone() + ".x" }, write(&path)], &mut |_, _| {});
    cutter.join().expect("cut");
    let Err(NodeError::Unreachable { message, .. }) = error else { panic!("{error:?}") };
    assert!(message.contains("lost the connection") && message.contains(&path), "{message}");
    let until = Instant::now() + std::time::Duration::from_secs(10);
    while fs::read_dir(dir.path()).expect("read").count() > 1 && Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1, "the temporary file is gone");
    assert_eq!(fs::read(&path).expect("read"), b"old");
    // The next request makes a new connection.
    node.hello(&me()).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_systems_ssh_carries_the_same_conversation() {
    let Some(sshd) = Sshd::start() else { return };
    let mut target = Target { transport: Transport::SystemSsh, ..sshd.target() };
    let mut node = connect(&target);
    node.hello(&me()).unwrap_or_else(|e| panic!("{e}"));
    echo_big(&mut *node, 4 << 20);
    // ProxyCommand is what libssh2 cannot: the ssh transport turns to the system's.
    target.transport = Transport::Ssh;
    target.ssh_args.extend([
        "-o".into(),
        format!("ProxyCommand=bash -c 'exec 5<>/dev/tcp/127.0.0.1/{}; cat <&5 & cat >&5'", sshd.port),
    ]);
    works(&target);
    fs::write(sshd.path("known"), "").expect("written");
    assert!(fails(&target).0.contains("host key is not known"), "{:?}", fails(&target));
    sshd.know(&sshd.path("known"), "127.0.0.1");
    fs::write(sshd.path("authorized"), "").expect("written");
    assert!(fails(&target).0.contains("refused"), "{:?}", fails(&target));
}

#[test]
fn unreachable_nodes_say_why() {
    let target = |address: &str, port| Target {
        name: "w1".into(),
        address: address.into(),
        port: Some(port),
        connect_timeout: std::time::Duration::from_secs(1),
        ssh_args: vec!["-F".into(), "none".into()],
        ..Target::default()
    };
    assert!(fails(&target("127.0.0.1", 1)).0.contains("refused the connection"));
    assert!(fails(&target("no-such-host.invalid", 22)).0.contains("cannot resolve"));
    // A server that says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    assert!(
        fails(&target("127.0.0.1", port)).0.contains("says nothing within 1 s"),
        "{:?}",
        fails(&target("127.0.0.1", port))
    );
    assert!(fails(&target("-oProxyCommand=x", 22)).0.contains("no host name"));
}

/// Figures for the report: run with `--ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn round_trips_are_fast() {
    let Some(sshd) = Sshd::start() else { return };
    for target in [sshd.target(), Target { transport: Transport::Local, ..Target::default() }] {
        let mut node = connect(&target);
        let began = Instant::now();
        node.hello(&me()).unwrap_or_else(|e| panic!("{e}"));
        eprintln!("{:?}: connected in {:?}", target.transport, began.elapsed());
        let queries: Vec<Query> = (0..100)
            .flat_map(|i| {
                let path = format!("/etc/some/path/number/{i}");
                [
                    Query::Stat { path: path.clone(), follow: false },
                    Query::Stat { path: "/etc/passwd".into(), follow: true },
                    Query::Digest { path, algorithm: crate::world::Algorithm::Sha256 },
                ]
            })
            .collect();
        for round in 0..3 {
            let began = Instant::now();
            node.ask(&me(), &queries).unwrap_or_else(|e| panic!("{e}"));
            eprintln!("  300 queries, round {round}: {:?}", began.elapsed());
        }
        let began = Instant::now();
        for _ in 0..50 {
            node.ask(&me(), &[Query::Content { path: "/none".into() }]).unwrap_or_else(|e| panic!("{e}"));
        }
        eprintln!("  one round trip without a process: {:?}", began.elapsed() / 50);
        eprintln!("  {:?}", node.traffic());
    }
}

/// The same against a node of the lab: `KDEPLOY_NODE=NAME KDEPLOY_SSH_CONFIG=FILE`.
#[test]
#[ignore = "measures"]
fn facts_and_queries_of_a_node_in_one_round_trip() {
    let (Ok(name), Ok(config)) = (std::env::var("KDEPLOY_NODE"), std::env::var("KDEPLOY_SSH_CONFIG")) else { return };
    let target = Target { name: name.clone(), address: name, ssh_args: vec!["-F".into(), config], ..Target::default() };
    let mut queries = vec![Query::Facts];
    for i in 0..100 {
        let path = format!("/etc/some/path/number/{i}");
        queries.push(Query::Stat { path: path.clone(), follow: false });
        queries.push(Query::Stat { path: "/etc/passwd".into(), follow: true });
        queries.push(Query::Digest { path, algorithm: crate::world::Algorithm::Sha256 });
    }
    queries.push(Query::Unit { name: "ssh.service".into(), user: false });
    queries.push(Query::Package { name: "openssh-server".into() });
    for round in 0..3 {
        let mut node = connect(&target);
        let began = Instant::now();
        node.ask(&me(), &queries).unwrap_or_else(|e| panic!("{e}"));
        eprintln!("{round}: {:?} {:?}", began.elapsed(), node.traffic());
        let began = Instant::now();
        node.ask(&me(), &queries[1..]).unwrap_or_else(|e| panic!("{e}"));
        eprintln!("   without facts: {:?}", began.elapsed());
    }
}
