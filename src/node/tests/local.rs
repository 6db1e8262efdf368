//! Queries and actions through the local transport, with every shell and set of tools there is on this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use super::super::*;
use crate::world::{Algorithm, Answer, FileKind, Query};

pub fn local() -> Box<dyn Conversation> {
    connect(&Target { name: "here".into(), transport: Transport::Local, ..Target::default() })
}

/// Makes a new conversation.
type Connecting = dyn Fn() -> Box<dyn Conversation>;

/// Runs a test with /bin/sh and the system's tools, with bash, and with nothing but busybox.
fn each_shell(test: &dyn Fn(&Connecting)) {
    let dir = tempfile::tempdir().expect("a directory");
    let through = |shell: Option<String>| {
        move || {
            connect(&Target {
                name: "here".into(),
                transport: Transport::Local,
                shell: shell.clone(),
                ..Target::default()
            })
        }
    };
    test(&through(None));
    if fs::exists("/bin/bash").unwrap_or_default() {
        test(&through(Some("/bin/bash".into())));
    }
    if fs::exists("/bin/busybox").unwrap_or_default() {
        let tools = dir.path().join("tools");
        fs::create_dir(&tools).expect("made");
        let installed = std::process::Command::new("/bin/busybox").args(["--install", "-s"]).arg(&tools).status();
        assert!(installed.expect("busybox").success());
        let shell = dir.path().join("sh");
        let text =
            format!("#!/bin/sh\nexec env -i PATH={} HOME=/root {}/sh \"$@\"\n", tools.display(), tools.display());
        fs::write(&shell, text).expect("written");
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("set");
        test(&through(Some(shell.display().to_string())));
    }
}

fn me() -> Identity {
    Identity::default()
}

fn act(node: &mut dyn Conversation, actions: &[Action]) -> Vec<Done> {
    let mut told = vec![];
    let done = node.act(&me(), actions, &mut |i, _| told.push(i)).expect("the shell goes on");
    assert_eq!(told, (0..done.len()).collect::<Vec<_>>());
    done
}

fn write(path: &str, bytes: &[u8]) -> Action {
    Action::WriteFile {
        path: path.into(),
        content: Blob::Bytes(Arc::new(bytes.to_vec())),
        mode: None,
        owner: Owner::default(),
        validate: None,
        backup: None,
    }
}

const ODD: &[&str] =
    &["a b", "it's", "new\nline", "-dash", "back\\slash", "ü€", "$(x)`y`", "*", "tab\tx", "\"q\"", "end "];

#[test]
fn files_with_odd_names_are_asked_for_in_one_round_trip() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let mut queries = vec![];
        for name in ODD {
            let path = dir.path().join(name);
            fs::write(&path, format!("content of {name}\0\n")).expect("written");
            let path = path.display().to_string();
            queries.push(Query::Stat { path: path.clone(), follow: false });
            queries.push(Query::Stat { path: path.clone() + ".absent", follow: false });
            queries.push(Query::Stat { path: path.clone(), follow: true });
            queries.push(Query::Digest { path: path.clone(), algorithm: Algorithm::Sha256 });
            queries.push(Query::Content { path: path.clone() });
            queries.push(Query::Content { path: path + ".absent" });
        }
        let mut node = local();
        let answers = node.ask(&me(), &queries).expect("answers");
        for (name, six) in ODD.iter().zip(answers.chunks(6)) {
            let content = format!("content of {name}\0\n");
            assert!(
                matches!(&six[0], Answer::Stat(Some(s)) if s.kind == FileKind::File && s.size == content.len() as u64),
                "{name}: {six:?}"
            );
            assert!(matches!(&six[1], Answer::Stat(None)));
            assert!(matches!(&six[2], Answer::Stat(Some(_))));
            assert!(
                matches!(&six[3], Answer::Digest(Some(d)) if *d == Algorithm::Sha256.hex(content.as_bytes())),
                "{name}: {six:?}"
            );
            assert!(matches!(&six[4], Answer::Content(Some(c)) if c.as_slice() == content.as_bytes()));
            assert!(matches!(&six[5], Answer::Content(None)));
        }
        assert_eq!(node.traffic().round_trips, 1);
        assert!(node.traffic().processes < 12, "{:?}", node.traffic());
    });
}

#[test]
fn links_directories_and_trees() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let root = fs::canonicalize(dir.path()).expect("a path").display().to_string();
        fs::create_dir(format!("{root}/sub")).expect("made");
        fs::write(format!("{root}/sub/f"), "x").expect("written");
        fs::set_permissions(format!("{root}/sub/f"), fs::Permissions::from_mode(0o4751)).expect("set");
        symlink("sub/f", format!("{root}/l1")).expect("linked");
        symlink("nowhere/at/all", format!("{root}/l2")).expect("linked");
        let stat = |p: &str, follow| Query::Stat { path: format!("{root}/{p}"), follow };
        let mut node = local();
        let answers = node
            .ask(
                &me(),
                &[
                    stat("l1", false),
                    stat("l2", false),
                    stat("l2", true),
                    stat("l1", true),
                    stat("sub", false),
                    Query::Tree { path: root.clone(), max_depth: None },
                    Query::Tree { path: root.clone(), max_depth: Some(1) },
                    Query::Tree { path: format!("{root}/none"), max_depth: None },
                    Query::Content { path: root.clone() },
                    Query::Digest { path: "/dev/zero".into(), algorithm: Algorithm::Md5 },
                ],
            )
            .expect("answers");
        let Answer::Stat(Some(l1)) = &answers[0] else { panic!("{:?}", answers[0]) };
        assert_eq!(
            (l1.kind, l1.target.as_deref(), l1.real.as_deref()),
            (FileKind::Link, Some("sub/f"), Some(&*format!("{root}/sub/f")))
        );
        let Answer::Stat(Some(l2)) = &answers[1] else { panic!("{:?}", answers[1]) };
        assert_eq!((l2.target.as_deref(), l2.real.as_deref()), (Some("nowhere/at/all"), None));
        assert!(matches!(&answers[2], Answer::Stat(None)));
        assert!(
            matches!(&answers[3], Answer::Stat(Some(s)) if s.kind == FileKind::File && s.mode == 0o4751 && s.mtime > 1e9)
        );
        assert!(matches!(&answers[4], Answer::Stat(Some(s)) if s.kind == FileKind::Directory));
        let Answer::Tree(tree) = &answers[5] else { panic!("{:?}", answers[5]) };
        assert_eq!(tree.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["l1", "l2", "sub", "sub/f"]);
        assert_eq!((tree[0].stat.target.as_deref(), tree[3].stat.mode), (Some("sub/f"), 0o4751));
        assert!(matches!(&answers[6], Answer::Tree(t) if t.len() == 3));
        assert!(matches!(&answers[7], Answer::Tree(t) if t.is_empty()));
        assert!(matches!(&answers[8], Answer::Content(None)));
        assert!(matches!(&answers[9], Answer::Digest(None)));
    });
}

#[test]
fn accounts_groups_packages_units_and_commands() {
    each_shell(&|local| {
        let mut node = local();
        let answers = node
            .ask(
                &me(),
                &[
                    Query::Account { name: "root".into() },
                    Query::Account { name: "nobody-here".into() },
                    Query::Group { name: "root".into() },
                    Query::Group { name: "no-such-group".into() },
                    Query::Package { name: "no-such-package".into() },
                    Query::Unit { name: "no-such.service".into(), user: false },
                    Query::Read { argv: vec!["printf".into(), "%s|".into(), "a b".into(), "$x".into()] },
                    Query::Read { argv: vec!["no-such-program".into()] },
                    Query::Read { argv: vec!["cat".into()] },
                ],
            )
            .expect("answers");
        assert!(
            matches!(&answers[0], Answer::Account(Some(a)) if a.uid == 0 && a.group == "root" && a.home == "/root"),
            "{:?}",
            answers[0]
        );
        assert!(matches!(&answers[1], Answer::Account(None)));
        assert!(matches!(&answers[2], Answer::Group(Some(g)) if g.gid == 0));
        assert!(matches!(&answers[3], Answer::Group(None)));
        assert!(
            matches!(&answers[4], Answer::Package(p) if p.installed.is_none())
                || matches!(&answers[4], Answer::Failed(_))
        );
        assert!(matches!(&answers[5], Answer::Unit(u) if u.load == "offline" || u.load == "not-found"));
        assert!(matches!(&answers[6], Answer::Output(o) if o.rc == 0 && o.stdout == b"a b|$x|"));
        assert!(matches!(&answers[7], Answer::Output(o) if o.rc == 127));
        assert!(matches!(&answers[8], Answer::Output(o) if o.rc == 0 && o.stdout.is_empty()));
        assert_eq!(node.traffic().round_trips, 1);
    });
}

#[test]
fn a_batch_of_actions_stops_at_the_first_failure() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().display().to_string();
        let mut node = local();
        let done = act(
            &mut *node,
            &[
                Action::MakeDir { path: format!("{root}/d"), mode: Some(0o1750), owner: Owner::default() },
                write(&format!("{root}/d/f"), b"one\0two"),
                Action::SetMode { path: format!("{root}/d/f"), mode: 0o600, follow: true },
                Action::Symlink { path: format!("{root}/d/l"), target: "f".into() },
                write(&format!("{root}/absent/f"), &vec![7; 300_000]),
                write(&format!("{root}/d/after"), b"never"),
            ],
        );
        assert_eq!(done.len(), 5, "{done:?}");
        assert!(matches!(&done[4], Done::Failed { message, .. } if message.contains("absent/f")), "{:?}", done[4]);
        assert_eq!(fs::metadata(format!("{root}/d")).expect("made").permissions().mode() & 0o7777, 0o1750);
        assert_eq!(fs::read(format!("{root}/d/f")).expect("written"), b"one\0two");
        assert!(!fs::exists(format!("{root}/d/after")).expect("known"));
        assert_eq!(fs::read_dir(format!("{root}/d")).expect("read").count(), 2, "no temporary file is left");
        // The shell is still of use.
        assert_eq!(act(&mut *node, &[write(&format!("{root}/d/after"), b"now")]).len(), 1);
        assert_eq!(fs::read(format!("{root}/d/after")).expect("written"), b"now");
        assert_eq!(node.traffic().round_trips, 2);
    });
}

#[test]
fn a_replaced_file_keeps_its_mode_and_is_validated_and_backed_up() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("it's").display().to_string();
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        let mut node = local();
        let with = |validate: &str| Action::WriteFile {
            path: path.clone(),
            content: Blob::Bytes(Arc::new(b"new".to_vec())),
            mode: None,
            owner: Owner::default(),
            validate: Some(validate.into()),
            backup: Some(format!("{path}.bak")),
        };
        let refused = act(&mut *node, &[with("grep -q 'no such' %s")]);
        assert!(matches!(&refused[0], Done::Failed { message, .. } if message.contains("validate")), "{refused:?}");
        assert_eq!(fs::read(&path).expect("kept"), b"old");
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1);
        let done = act(&mut *node, &[with("grep -q new %s")]);
        assert!(matches!(&done[0], Done::Ok(_)), "{done:?}");
        assert_eq!(fs::read(&path).expect("written"), b"new");
        assert_eq!(fs::read(format!("{path}.bak")).expect("backed up"), b"old");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o640);
    });
}

#[test]
fn programs_get_their_own_streams() {
    each_shell(&|local| {
        let mut node = local();
        let shell = |text: &str| ExecSpec {
            command: Command::Shell { text: text.into(), executable: None },
            ..ExecSpec::default()
        };
        let done = act(
            &mut *node,
            &[
                Action::Exec(ExecSpec { stdin: Some(b"in\0put".to_vec()), ..shell("cat; echo err >&2; exit 3") }),
                Action::Exec(ExecSpec {
                    chdir: Some("/usr".into()),
                    env: vec![("A".into(), "it's\n2".into())],
                    ..shell("pwd; echo \"$A\"")
                }),
                // A child left behind that goes on writing does not disturb what follows.
                Action::Exec(shell("(while sleep 0.02; do echo noise; done) & sleep 0.05; cat; echo done; kill $!")),
                Action::Exec(ExecSpec { stdin: Some(vec![b'x'; 200_000]), ..shell("head -c 3") }),
                Action::Exec(ExecSpec { timeout: 1, ok_codes: vec![0], ..shell("sleep 20") }),
            ],
        );
        let out = |i: usize| match &done[i] {
            Done::Ok(o) => o.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (out(0).rc, out(0).stdout.as_slice(), out(0).stderr.as_slice()),
            (3, &b"in\0put"[..], &b"err\n"[..])
        );
        assert_eq!(out(1).stdout, b"/usr\nit's\n2\n");
        assert!(out(2).stdout.ends_with(b"done\n"));
        assert_eq!(out(3).stdout, b"xxx");
        assert!(matches!(&done[4], Done::Failed { output, .. } if output.rc == 124), "{:?}", done[4]);
    });
}

#[test]
fn nothing_is_left_when_the_conversation_ends() {
    each_shell(&|local| {
        let count = || {
            fs::read_dir("/dev/shm")
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .filter(|n| n.starts_with(".kdeploy-"))
                .collect::<std::collections::BTreeSet<_>>()
        };
        let before = count();
        let mut node = local();
        let hello = node.hello(&me()).expect("a shell");
        assert!(!hello.home.is_empty() && !hello.boot_id.is_empty(), "{hello:?}");
        assert_eq!(node.traffic().round_trips, 0);
        let during: Vec<_> = count().difference(&before).cloned().collect();
        drop(node);
        assert!(during.iter().any(|n| !count().contains(n)), "the session's directory goes with it");
    });
}

fn unpack(source: UnpackSource, dest: &str) -> Action {
    Action::Unpack {
        source,
        dest: dest.into(),
        options: vec![],
        include: vec![],
        exclude: vec![],
        keep_owner: false,
        owner: Owner { user: None, group: Some("0".into()) },
        mode: Some("u=rwX,go=rX".into()),
    }
}

/// An archive made by the system's tar with these words.
fn archive(dir: &std::path::Path, words: &[&str]) -> std::path::PathBuf {
    let path = dir.join("archive");
    let made = std::process::Command::new("tar")
        .args(words)
        .arg("-f")
        .arg(&path)
        .arg("-C")
        .arg(dir.join("tree"))
        .arg(".")
        .output();
    assert!(made.expect("tar").status.success());
    path
}

#[test]
fn archives_are_unpacked_wherever_they_are() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("bin/it's")).expect("made");
        fs::write(tree.join("bin/tool"), vec![9; 300_000]).expect("written");
        fs::set_permissions(tree.join("bin/tool"), fs::Permissions::from_mode(0o777)).expect("set");
        fs::write(tree.join("bin/it's/a b"), "x").expect("written");
        symlink("tool", tree.join("bin/link")).expect("linked");
        let mut node = local();
        for (i, how) in [&["-c"][..], &["-cz"], &["-cj"], &["-cJ"], &["-c", "--zstd"]].iter().enumerate() {
            let path = archive(dir.path(), how);
            for (j, source) in
                [UnpackSource::Sent(Blob::File(path.clone())), UnpackSource::OnNode(path.display().to_string())]
                    .into_iter()
                    .enumerate()
            {
                let dest = dir.path().join(format!("dest {i} {j}"));
                fs::create_dir(&dest).expect("made");
                let done = act(&mut *node, &[unpack(source, &dest.display().to_string())]);
                if let (Done::Failed { message, .. }, 1) = (&done[0], j) {
                    // A node without the program cannot unpack what lies there.
                    assert!(i > 0 && message.contains("cannot list"), "{message}");
                    continue;
                }
                let Done::Ok(output) = &done[0] else { panic!("{how:?} {done:?}") };
                assert!(String::from_utf8_lossy(&output.stdout).contains("bin/tool"), "{output:?}");
                assert_eq!(fs::read(dest.join("bin/tool")).expect("there").len(), 300_000);
                assert_eq!(fs::metadata(dest.join("bin/tool")).expect("there").permissions().mode() & 0o7777, 0o755);
                assert_eq!(fs::read(dest.join("bin/it's/a b")).expect("there"), b"x");
                assert_eq!(fs::read_link(dest.join("bin/link")).expect("there").to_str(), Some("tool"));
            }
        }
        // A destination that is not there: the archive is read to its end, the conversation goes on.
        let path = archive(dir.path(), &["-cz"]);
        let done = act(
            &mut *node,
            &[unpack(UnpackSource::Sent(Blob::File(path)), "/no/such/place"), write("/dev/shm/never", b"")],
        );
        assert!(
            matches!(&done[..], [Done::Failed { message, .. }] if message.contains("no such directory")),
            "{done:?}"
        );
        assert!(matches!(act(&mut *node, &[Action::Remove { path: "/dev/shm/never".into() }])[0], Done::Ok(_)));
    });
}

#[test]
fn archives_that_would_write_elsewhere_are_refused() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let mut bytes = vec![];
        {
            let mut tar = tar::Builder::new(&mut bytes);
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(0);
            tar.append_link(&mut header, "out", dir.path()).expect("added");
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(4);
            tar.append_data(&mut header, "out/evil", &b"evil"[..]).expect("added");
            tar.finish().expect("finished");
        }
        let dest = dir.path().join("dest");
        fs::create_dir(&dest).expect("made");
        let lying = dir.path().join("lying.tar");
        fs::write(&lying, &bytes).expect("written");
        let mut node = local();
        for source in
            [UnpackSource::Sent(Blob::Bytes(Arc::new(bytes))), UnpackSource::OnNode(lying.display().to_string())]
        {
            let done = act(&mut *node, &[unpack(source, &dest.display().to_string())]);
            assert!(
                matches!(&done[0], Done::Failed { message, .. } if message.contains("would land outside")),
                "{done:?}"
            );
        }
        assert_eq!(fs::read_dir(&dest).expect("read").count(), 0);
        assert!(!dir.path().join("evil").exists());
    });
}

#[test]
fn start_up_files_that_talk_do_not_disturb() {
    let dir = tempfile::tempdir().expect("a directory");
    let shell = dir.path().join("sh");
    fs::write(&shell, "#!/bin/sh\necho uid=7 welcome; echo 'and more' >&2\nexec /bin/sh \"$@\"\n").expect("written");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("set");
    let shell = Some(shell.display().to_string());
    let mut node = connect(&Target { transport: Transport::Local, shell, ..Target::default() });
    assert_eq!(node.hello(&me()).expect("a shell").uid, rustix::process::geteuid().as_raw());
    let none = Target { transport: Transport::Local, shell: Some("/no/such/shell".into()), ..Target::default() };
    let Err(NodeError::Refused { message, help }) = connect(&none).hello(&me()) else { panic!("refused") };
    assert!(message.contains("no shell") && help[0].contains("/no/such/shell"), "{message} {help:?}");
}

#[test]
fn every_other_action() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().display().to_string();
        let path = |name: &str| format!("{root}/{name}");
        let own = Owner { user: Some("1".into()), group: Some("2".into()) };
        let mut node = local();
        let done = act(
            &mut *node,
            &[
                write(&path("-a b"), b"1"),
                Action::Hardlink { path: path("hard"), source: path("-a b") },
                Action::Symlink { path: path("link"), target: "nowhere".into() },
                Action::Symlink { path: path("link"), target: "-a b".into() },
                Action::CopyOnNode {
                    source: path("hard"),
                    path: path("copy"),
                    mode: Some(0o604),
                    owner: own.clone(),
                    validate: None,
                    backup: None,
                },
                Action::Touch {
                    path: path("touched"),
                    access: Some("@1000000000".into()),
                    modify: Some("@1000000001".into()),
                },
                Action::Touch { path: path("empty"), access: None, modify: None },
                Action::MakeDir { path: path("d"), mode: Some(0o2770), owner: own.clone() },
                write(&path("d/f"), b"2"),
                Action::SetModeRecursive { path: path("d"), symbolic: "u=rwX,g=,o=".into() },
                Action::SetOwner { path: path("d"), owner: own.clone(), recursive: true, follow: false },
                Action::SetOwner { path: path("link"), owner: own, recursive: false, follow: false },
                Action::SetMode { path: path("link"), mode: 0o600, follow: false },
                Action::Rename { from: path("hard"), to: path("renamed") },
                Action::Remove { path: path("touched") + "-not" },
            ],
        );
        assert!(matches!(done.last(), Some(Done::Ok(_))) && done.len() == 15, "{done:?}");
        let stat = |name: &str| fs::symlink_metadata(path(name)).expect("there");
        use std::os::unix::fs::MetadataExt;
        assert_eq!(stat("renamed").ino(), stat("-a b").ino());
        assert_eq!(fs::read_link(path("link")).expect("a link").to_str(), Some("-a b"));
        assert_eq!((stat("copy").mode() & 0o7777, stat("copy").uid(), stat("copy").gid()), (0o604, 1, 2));
        assert_eq!((stat("touched").atime(), stat("touched").mtime()), (1_000_000_000, 1_000_000_001));
        assert_eq!(stat("empty").len(), 0);
        assert_eq!((stat("d").mode() & 0o777, stat("d/f").mode() & 0o777, stat("d/f").uid()), (0o700, 0o600, 1));
        assert_eq!((stat("link").uid(), stat("-a b").uid()), (1, rustix::process::geteuid().as_raw()));
        let done = act(&mut *node, &[Action::Remove { path: path("d") }, write(&path(""), b"a directory is there")]);
        assert!(matches!(&done[..], [Done::Ok(_), Done::Failed { .. }]), "{done:?}");
        assert!(!fs::exists(path("d")).expect("known"));
    });
}

/// Where a local conversation keeps its state.
fn state_dir() -> std::path::PathBuf {
    std::path::PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/state/kdeploy/node")
}

fn claim<'a>(who: &'a str, left: Option<&'a crate::node::holder::Holder>) -> Claim<'a> {
    Claim { who, place: "somewhere", left }
}

#[test]
fn one_run_at_a_time_holds_a_node() {
    each_shell(&|local| {
        let (mut first, mut second) = (local(), local());
        assert_eq!(first.lock(&me(), claim("first's run", None)).expect("asked"), Lock::Ours);
        assert_eq!(first.lock(&me(), claim("first's run", None)).expect("asked"), Lock::Ours);
        assert_eq!(first.traffic().round_trips, 1);
        let Lock::Held(holder) = second.lock(&me(), claim("second", None)).expect("asked") else { panic!("not held") };
        assert_eq!((&*holder.who, &*holder.place, holder.running.len()), ("first's run", "somewhere", 0));
        drop(first);
        assert_eq!(second.lock(&me(), claim("second", None)).expect("asked"), Lock::Ours);
        // A shell that was killed leaves the lock; the next takes it over.
        let pid = act(&mut *second, &[Action::Exec(ExecSpec::argv(["sh", "-c", "echo $PPID"]))]);
        let Done::Ok(output) = &pid[0] else { panic!("{pid:?}") };
        let held = fs::read_to_string(state_dir().join("lock")).unwrap_or_default();
        let session = held.split_whitespace().nth(3).unwrap_or("/none").to_owned();
        let killed = act_lost(&mut *second, &format!("kill -9 {}", String::from_utf8_lossy(&output.stdout).trim()));
        assert!(killed, "the shell was killed");
        // So does a file that it was about to write.
        let dir = tempfile::tempdir().expect("a directory");
        let (half, other) = (dir.path().join(".kdeploy.0.1"), dir.path().join("other"));
        fs::write(&half, "half").and_then(|()| fs::write(&other, "other")).expect("written");
        fs::write(state_dir().join("temp"), format!("{}\n", half.display())).expect("written");
        let mut third = local();
        assert_eq!(third.lock(&me(), claim("third", None)).expect("asked"), Lock::Ours);
        assert!(!fs::exists(&half).expect("known"), "what was half-written is gone");
        drop(third);
        fs::write(state_dir().join("temp"), format!("{}\n", other.display())).expect("written");
        let mut third = local();
        assert_eq!(third.lock(&me(), claim("third", None)).expect("asked"), Lock::Ours);
        assert!(fs::exists(&other).expect("known"), "only kdeploy's own temporary files go");
        let written = act(&mut *third, &[write(&dir.path().join("new").display().to_string(), b"new")]);
        assert!(matches!(&written[..], [Done::Ok(_)]), "{written:?}");
        let noted = fs::read_to_string(state_dir().join("temp")).expect("noted");
        assert!(noted.starts_with(&format!("{}/.kdeploy.", dir.path().display())), "{noted}");
        assert!(!fs::exists(&session).expect("known"), "what the killed shell left is gone: {session}");
        drop((second, third));

        // A shell whose run is gone is ended, unless it still runs something. (One test: there is one lock.)
        let (mut lost, mut next) = (local(), local());
        assert_eq!(lost.lock(&me(), claim("lost", None)).expect("asked"), Lock::Ours);
        let working = std::thread::spawn(move || {
            let done = act(&mut *lost, &[Action::Exec(ExecSpec::argv(["sleep", "4"]))]);
            (lost, done)
        });
        let held = |next: &mut Box<dyn Conversation>, left: Option<&_>| match next.lock(&me(), claim("next", left)) {
            Ok(Lock::Held(holder)) => Some(holder),
            Ok(Lock::Ours) => None,
            other => panic!("{other:?}"),
        };
        let mut holder = held(&mut next, None).expect("held");
        for _ in 0..100 {
            if !holder.running.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            holder = held(&mut next, None).expect("held");
        }
        assert!(holder.running.first().is_some_and(|r| r.ends_with("sleep 4")), "{holder:?}");
        assert_eq!(held(&mut next, Some(&holder)).expect("it still runs").process, holder.process);
        let (mut lost, done) = working.join().expect("it ends");
        assert!(matches!(done[..], [Done::Ok(_)]), "{done:?}");
        // Another shell's number ends nobody.
        let other = crate::node::holder::Holder { started: "1".into(), ..holder.clone() };
        assert_eq!(held(&mut next, Some(&other)).expect("still held").running.len(), 0);
        assert_eq!(held(&mut next, Some(&holder)), None);
        assert!(act_lost(&mut *lost, "true"), "the shell was ended");
    });
}

/// Runs a command that ends the conversation; true if it did.
fn act_lost(node: &mut dyn Conversation, text: &str) -> bool {
    let command = Command::Shell { text: text.into(), executable: None };
    let spec = ExecSpec { command, ..ExecSpec::default() };
    matches!(node.act(&me(), &[Action::Exec(spec)], &mut |_, _| {}), Err(NodeError::Unreachable { .. }))
}

/// The job's state once it is over.
fn await_job(node: &mut dyn Conversation, file: &str) -> JobState {
    for _ in 0..200 {
        let done = act(node, &[ExecSpec::argv(["sh", "-c", READ_JOB, "sh", file]).into_action()]);
        let Some(Done::Ok(output)) = done.first() else { panic!("{done:?}") };
        let state = JobState::parse(&output.stdout, |i| format!("action {i}")).expect("the job is there");
        if state.ended {
            return state;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the job never ends")
}

#[test]
fn a_background_job_outlives_its_connection() {
    each_shell(&|local| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let job = |actions: Vec<Action>, seconds: u64, name: &str| {
            Action::Background(Box::new(Job { file: path(name), seconds, known: "{\"a\": \"it's\"}".into(), actions }))
        };
        let shell = |text: &str| {
            let command = Command::Shell { text: text.into(), executable: None };
            Action::Exec(ExecSpec { command, stdin: Some(b"input".to_vec()), ..ExecSpec::default() })
        };
        let mut node = local();
        let started = act(
            &mut *node,
            &[job(vec![write(&path("w"), b"x\0y\n"), shell("sleep 1; cat; echo to >&2; exit 3")], 60, "jobs/one")],
        );
        assert!(matches!(started[..], [Done::Ok(_)]), "{started:?}");
        drop(node);
        let mut node = local();
        let state = await_job(&mut *node, &path("jobs/one"));
        assert!(state.complete && !state.late);
        assert_eq!(state.known, "{\"a\": \"it's\"}");
        assert!(state.until.expect("an end") >= state.began.expect("a beginning"));
        let [Done::Ok(_), Done::Ok(output)] = &state.dones[..] else { panic!("{:?}", state.dones) };
        assert_eq!((output.rc, &output.stdout[..], &output.stderr[..]), (3, &b"input"[..], &b"to\n"[..]));
        assert_eq!(fs::read(path("w")).expect("written"), b"x\0y\n");
        assert!(!fs::exists(path("jobs/one.job")).expect("told"), "its private directory is gone");
        // One that takes too long is stopped with all it started.
        act(&mut *node, &[job(vec![shell("sleep 77 & sleep 78; echo never")], 1, "jobs/two")]);
        let state = await_job(&mut *node, &path("jobs/two"));
        assert!(state.late && !state.complete, "{state:?}");
        let processes = std::process::Command::new("ps").args(["-eo", "args"]).output().expect("ps");
        let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
        assert!(!processes.contains("sleep 77") && !processes.contains("sleep 78"), "{processes}");
        // The first failure ends it.
        let fails = ExecSpec::argv(["false"]).into_action();
        act(&mut *node, &[job(vec![fails, write(&path("never"), b"")], 60, "jobs/three")]);
        let state = await_job(&mut *node, &path("jobs/three"));
        assert!(state.complete && matches!(state.dones[..], [Done::Failed { .. }]), "{state:?}");
        assert!(!fs::exists(path("never")).expect("told"));
    });
}
