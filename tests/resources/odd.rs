//! Odd content and odd names through every file resource: NUL bytes, no final newline, bytes that are no text; names with blanks, quotes,
//! newlines and leading dashes. By every shell there is, against a real directory.

use std::path::Path;

use base64::Engine;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Node, Ran, nodes};

/// A file's name: anything but `/` and NUL.
fn name() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        " ", "'", "\"", "\n", "-", "--", "\\", "$", "`", "*", "?", "[", "~", "\t", "é", "€", "#", ";", "&", "|", "(",
        "%", "=", ":", "{", "!",
    ]);
    let part = prop_oneof![3 => odd.prop_map(str::to_owned), 2 => "[a-z]{1,3}", 1 => "[^/\\x00]{1,2}"];
    prop::collection::vec(part, 1..7)
        .prop_map(|parts| parts.concat())
        .prop_filter("`.`, `..` and templates are other things", |n| {
            n != "." && n != ".." && !n.contains("{{") && n.len() < 60
        })
}

/// A file's content: bytes that are often no text, in lines or not.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[a-z =#]{0,8}".prop_map(String::into_bytes),
        2 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(vec![0]),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// The lines that are there, each ended, and one more.
fn with_line(old: &[u8], line: &str) -> Vec<u8> {
    let mut all = old.to_vec();
    if !all.is_empty() && !all.ends_with(b"\n") {
        all.push(b'\n');
    }
    all.extend(line.as_bytes());
    all.push(b'\n');
    all
}

struct Case<'a> {
    node: &'a mut Node,
    dir: &'a Path,
}

impl Case<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir.display())
    }

    /// Runs it, and if that changed something once more: then nothing must be left to do.
    fn run(&mut self, module: &str, args: Json) -> Ran {
        let ran = self.node.run(module, &args);
        assert!(matches!(ran.status.as_str(), "ok" | "changed"), "{module} {args}: {ran:?}");
        if ran.status == "changed" && module != "tempfile" {
            let again = self.node.run(module, &args);
            assert_eq!(again.status, "ok", "{module} {args} again: {again:?}");
        }
        ran
    }

    fn holds(&self, what: &str, name: &str, wanted: &[u8]) {
        let is = std::fs::read(self.dir.join(name)).unwrap_or_else(|e| panic!("{what}: {name:?}: {e}"));
        assert_eq!(is.escape_ascii().to_string(), wanted.escape_ascii().to_string(), "{what} {name:?}");
    }
}

fn through_all(shell: &str, node: &mut Node, a: &str, b: &str, bytes: &[u8]) {
    let temp = tempfile::tempdir().unwrap();
    let here = temp.path().canonicalize().unwrap();
    for folder in ["local", "node"] {
        std::fs::create_dir(here.join(folder)).unwrap();
    }
    let source = here.join("local").join(a);
    std::fs::write(&source, bytes).unwrap();
    let source = source.display().to_string();
    let dir = here.join("node");
    let mut case = Case { node, dir: &dir };
    let (one, two) = (case.path(a), case.path(&format!("{b}.2")));

    case.run("copy", json!({"src": source, "dest": one, "mode": "0640"}));
    case.holds("copy", a, bytes);
    case.run("copy", json!({"src": one, "dest": two, "remote_src": true}));
    case.holds("copy on the node", &format!("{b}.2"), bytes);
    let said = case.run("slurp", json!({"src": one}));
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    assert_eq!(said.result["content"], json!(text));
    let said = case.run("stat", json!({"path": one}));
    assert_eq!(said.result["stat"]["size"], json!(bytes.len()));
    assert_eq!(said.result["stat"]["checksum"], json!(kdeploy::world::Algorithm::Sha1.hex(bytes)));
    let said = case.run("find", json!({"paths": [dir.display().to_string()], "hidden": true}));
    let found: Vec<&str> =
        said.result["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert!(found.contains(&one.as_str()) && found.contains(&two.as_str()), "{found:?}");
    let fetched = here.join("fetched").display().to_string();
    case.run("fetch", json!({"src": one, "dest": fetched, "flat": true}));
    assert_eq!(std::fs::read(&fetched).unwrap(), bytes);

    case.run("lineinfile", json!({"path": two, "line": "QQ of mine"}));
    let lines = with_line(bytes, "QQ of mine");
    case.holds("lineinfile", &format!("{b}.2"), &lines);
    case.run("replace", json!({"path": two, "regexp": "^QQ of (m.*)$", "replace": "\\1 is it"}));
    let replaced = with_line(bytes, "mine is it");
    case.holds("replace", &format!("{b}.2"), &replaced);
    case.run("blockinfile", json!({"path": two, "block": "in\nblock"}));
    let block = "# BEGIN ANSIBLE MANAGED BLOCK\nin\nblock\n# END ANSIBLE MANAGED BLOCK";
    case.holds("blockinfile", &format!("{b}.2"), &with_line(&replaced, block));
    case.run("blockinfile", json!({"path": two, "state": "absent"}));
    case.holds("blockinfile, absent", &format!("{b}.2"), &replaced);
    case.run("lineinfile", json!({"path": two, "regexp": "^mine is", "state": "absent"}));

    let parts = case.path(&format!("{b}.d"));
    case.run("file", json!({"path": parts, "state": "directory", "mode": "0750"}));
    for (name, part) in [("1", bytes), (a, b"second")] {
        std::fs::write(Path::new(&parts).join(name), part).unwrap();
    }
    let whole = case.path(&format!("{a}.all"));
    case.run("assemble", json!({"src": parts, "dest": whole}));
    let mut names = ["1", a];
    names.sort_unstable();
    // A part without a final newline, an empty one too, gets one before the next.
    let part = |name: &str| if name == "1" { bytes } else { b"second" };
    let mut expected = part(names[0]).to_vec();
    if !expected.ends_with(b"\n") {
        expected.push(b'\n');
    }
    expected.extend(part(names[1]));
    if a != "1" {
        case.holds("assemble", &format!("{a}.all"), &expected);
    }
    let link = case.path(&format!("{a}.link"));
    case.run("file", json!({"src": one, "dest": link, "state": "link"}));
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some(one.as_str()));
    let hard = case.path(&format!("{b}.hard"));
    case.run("file", json!({"src": one, "dest": hard, "state": "hard"}));
    case.holds("a hard link", &format!("{b}.hard"), bytes);
    let touched = case.path(&format!("{b}.new"));
    case.run(
        "file",
        json!({"path": touched, "state": "touch", "access_time": "preserve", "modification_time": "preserve"}),
    );
    case.holds("touch", &format!("{b}.new"), b"");
    let ini = case.path(&format!("{a}.ini"));
    case.run("ini_file", json!({"path": ini, "section": "s", "option": "k", "value": "v"}));

    // An archive with such names, of this machine and of the node.
    let mut tar = tar::Builder::new(vec![]);
    for (name, content) in [(format!("x/{a}"), bytes), (format!("x/{b}.2"), b"two")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        tar.append_data(&mut header, name, content).unwrap();
    }
    let packed = tar.into_inner().unwrap();
    let archive = here.join("local/archive.tar").display().to_string();
    std::fs::write(&archive, &packed).unwrap();
    std::fs::write(dir.join("archive.tar"), &packed).unwrap();
    for (to, src, remote) in [("u1", archive, false), ("u2", case.path("archive.tar"), true)] {
        // busybox's tar lists a name with a newline in two lines (the manual says so).
        if remote && shell == "busybox" && format!("{a}{b}").contains('\n') {
            continue;
        }
        let dest = case.path(to);
        std::fs::create_dir(&dest).unwrap();
        case.run("unarchive", json!({"src": src, "dest": dest, "remote_src": remote}));
        case.holds("unarchive", &format!("{to}/x/{a}"), bytes);
    }
    for path in [one, two, parts, link, hard, whole] {
        case.run("file", json!({"path": path, "state": "absent"}));
        assert!(Path::new(&path).symlink_metadata().is_err(), "{path:?} is still there");
    }
}

#[test]
fn odd_names_and_contents_survive() {
    for (shell, node) in nodes() {
        let node = std::cell::RefCell::new(node);
        let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let result = runner.run(&(name(), name(), content()), |(a, b, bytes)| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                through_all(shell, &mut node.borrow_mut(), &a, &b, &bytes)
            }));
            caught.map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                TestCaseError::fail(format!("by {shell}: {text}"))
            })
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    }
}
