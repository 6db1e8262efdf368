//! `synchronize` from a real folder to a made-up node.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::node::Action;
use crate::resources::testing::*;
use crate::world::{Answer, FileKind, Query, Stat, TreeEntry};

fn stat(kind: FileKind, mode: u32, size: u64, mtime: f64) -> Stat {
    Stat {
        kind,
        mode,
        uid: 0,
        gid: 0,
        owner: "root".into(),
        group: "root".into(),
        size,
        mtime,
        atime: 0.0,
        ctime: 0.0,
        inode: 1,
        device: 1,
        links: 1,
        target: None,
        real: None,
    }
}

/// A node with these entries below /srv/www.
fn node(entries: BTreeMap<String, (Stat, &'static str)>) -> impl Fn(&Query) -> Answer {
    move |query| {
        let find = |path: &str| {
            if path == "/srv/www" || path == "/srv" || path == "/" {
                return Some((stat(FileKind::Directory, 0o755, 0, 0.0), ""));
            }
            entries.get(path.strip_prefix("/srv/www/")?).cloned()
        };
        match query {
            Query::Stat { path, .. } => Answer::Stat(find(path).map(|(s, _)| s)),
            Query::Content { path } => Answer::Content(find(path).map(|(_, t)| Arc::new(t.as_bytes().to_vec()))),
            Query::Tree { .. } => Answer::Tree(Arc::new(
                entries.iter().map(|(path, (stat, _))| TreeEntry { path: path.clone(), stat: stat.clone() }).collect(),
            )),
            other => nothing(other),
        }
    }
}

fn write(dir: &Path, name: &str, text: &[u8], mode: u32) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_is_made_alike() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", b"hello\n", 0o640);
    write(dir.path(), "sub/-odd name'\"\n", b"\0\xff", 0o755);
    write(dir.path(), ".git/config", b"x", 0o644);
    std::os::unix::fs::symlink("index.html", dir.path().join("link")).unwrap();
    let there = BTreeMap::from([
        ("index.html".to_owned(), (stat(FileKind::File, 0o644, 3, 1.0), "old")),
        ("gone".to_owned(), (stat(FileKind::Directory, 0o755, 0, 1.0), "")),
        ("gone/x".to_owned(), (stat(FileKind::File, 0o644, 0, 1.0), "")),
        (".git".to_owned(), (stat(FileKind::Directory, 0o755, 0, 1.0), "")),
    ]);
    let src = format!("{}/", dir.path().display());
    let args = json!({"src": src, "dest": "/srv/www", "delete": true, "owner": false, "group": false, "rsync_opts": ["--exclude=.git"]});
    let resource = build("synchronize", args);
    let change = converges(&*resource, &mut world([]), &node(there)).unwrap();
    let lines: Vec<String> = change.result.values["stdout_lines"].try_iter().unwrap().map(|l| l.to_string()).collect();
    assert_eq!(
        lines,
        [
            "<f.st...... index.html",
            "cL+++++++++ link -> index.html",
            "cd+++++++++ sub/",
            "<f+++++++++ sub/-odd name'\"\n",
            "*deleting   gone",
        ]
    );
    let written = change.actions.iter().find_map(|a| match a {
        Action::WriteFile { path, content: crate::node::Blob::Bytes(bytes), mode, .. } if path.contains("odd") => {
            Some((path.clone(), bytes.to_vec(), *mode))
        }
        _ => None,
    });
    assert_eq!(written, Some(("/srv/www/sub/-odd name'\"\n".to_owned(), b"\0\xff".to_vec(), Some(0o755))));
    assert!(!change.actions.iter().any(|a| format!("{a:?}").contains(".git")));
}

#[test]
fn a_folder_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "stale", b"x", 0o644);
    let there = BTreeMap::from([
        ("a".to_owned(), (stat(FileKind::File, 0o600, 3, 5.0), "new")),
        ("d".to_owned(), (stat(FileKind::Directory, 0o755, 0, 1.0), "")),
        ("d/b".to_owned(), (stat(FileKind::File, 0o644, 1, 5.0), "b")),
    ]);
    let node = node(there);
    let args = json!({"mode": "pull", "src": "/srv/www/", "dest": dir.path().to_str().unwrap(), "delete": true});
    let resource = build("synchronize", args);
    let wanted = change(&*resource, &mut world([]), &node);
    resource.conclude(&wanted, &[done(0, "")]).unwrap();
    assert_eq!(std::fs::read(dir.path().join("d/b")).unwrap(), b"b");
    assert_eq!(std::fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join("stale").exists());
    unchanged(&*resource, &mut world([]), &node);
}

#[test]
fn what_would_be_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = json!({"src": dir.path().to_str().unwrap(), "dest": "/srv", "rsync_opts": ["--backup"]});
    assert!(Stage::default().build("synchronize", args).is_err());
}
