//! The way back, without a node: whatever was done to a small file system is undone, and others' things stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::blob::{Algorithm, Blob};
use crate::node::{Action, Command};
use crate::world::{Answer, FileKind, Query, Stat, Stop, TreeEntry, View, World};

#[derive(Debug, Clone, PartialEq)]
enum Item {
    File(String, u32),
    Folder(u32),
    Link(String),
}

/// A node of files, with the ledger's store.
#[derive(Debug, Clone, Default, PartialEq)]
struct Fake {
    files: BTreeMap<String, Item>,
    store: BTreeMap<String, String>,
    ledger: String,
}

fn sha(text: &str) -> String {
    Algorithm::Sha256.hex(text.as_bytes())
}

impl Fake {
    /// Notes a change as apply and the node do, and makes it.
    fn change(&mut self, run: &str, number: usize, role: &str, path: &str, item: Option<Item>) {
        let id = format!("{run}/{number}");
        let mut before = Before { of: format!("{id}#0"), t: "-".into(), ..Before::default() };
        match self.files.get(path) {
            None => {}
            Some(Item::File(text, mode)) => {
                self.store.insert(sha(text), text.clone());
                (before.t, before.m, before.d, before.kept) = ("f".into(), format!("{mode:o}"), Some(sha(text)), true);
            }
            Some(Item::Folder(mode)) => (before.t, before.m) = ("d".into(), format!("{mode:o}")),
            Some(Item::Link(to)) => {
                self.store.insert(sha(to), to.clone());
                (before.t, before.m, before.d, before.kept) = ("l".into(), "777".into(), Some(sha(to)), true);
            }
        }
        let wrote = match &item {
            Some(Item::File(text, _)) => vec![Some(sha(text))],
            _ => vec![None],
        };
        let patch = match (self.files.get(path), &item) {
            (Some(Item::File(old, _)), Some(Item::File(new, _))) => {
                Some(similar::TextDiff::from_lines(new, old).unified_diff().context_radius(2).to_string())
            }
            _ => None,
        };
        self.ledger += &Line::Before(before).text();
        self.ledger += &Line::Change(Change {
            id,
            run: run.into(),
            role: Some(role.into()),
            paths: vec![path.into()],
            wrote,
            patch,
            ..Change::default()
        })
        .text();
        match item {
            Some(item) => drop(self.files.insert(path.into(), item)),
            None => drop(self.files.remove(path)),
        }
    }

    fn answer(&self, query: &Query) -> Answer {
        let content = |path: &str| match path.strip_prefix("/ledger/store/") {
            Some(digest) => self.store.get(digest).cloned(),
            None => match self.files.get(path) {
                Some(Item::File(text, _)) => Some(text.clone()),
                _ => None,
            },
        };
        match query {
            Query::Stat { path, .. } => Answer::Stat(self.files.get(path).map(stat)),
            Query::Digest { path, .. } => Answer::Digest(content(path).map(|t| sha(&t))),
            Query::Content { path } => Answer::Content(content(path).map(|t| Arc::new(t.into_bytes()))),
            Query::Tree { path, .. } => Answer::Tree(Arc::new(
                self.files
                    .iter()
                    .filter_map(|(p, item)| {
                        let name = p.strip_prefix(&format!("{path}/"))?;
                        (!name.contains('/')).then(|| TreeEntry { path: name.into(), stat: stat(item) })
                    })
                    .collect(),
            )),
            other => panic!("{other:?}"),
        }
    }

    fn way(&self, selected: &BTreeSet<String>) -> WayBack {
        let journal = Journal::parse(&self.ledger);
        let mut world = World::default();
        loop {
            let view = View::new(&world);
            match way_back(&journal, selected, &view, "/ledger", &|_| false) {
                Ok(way) => return way,
                Err(Stop::Needs) => {
                    let (missing, _) = view.into_missing();
                    assert!(!missing.is_empty());
                    let answers: Vec<_> = missing.into_iter().map(|q| (q.clone(), self.answer(&q))).collect();
                    world.observe(answers);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn go(&mut self, way: &WayBack) {
        for action in way.ways.iter().flat_map(|w| &w.actions) {
            match action {
                Action::Remove { path } => drop(self.files.remove(path).expect("it is there")),
                Action::Exec(spec) => match &spec.command {
                    Command::Argv(argv) if argv[0] == "rmdir" => {
                        let path = &argv[2];
                        let inside = format!("{path}/");
                        assert!(!self.files.keys().any(|p| p.starts_with(&inside)), "{path} is not empty");
                        assert!(matches!(self.files.remove(path), Some(Item::Folder(_))));
                    }
                    other => panic!("{other:?}"),
                },
                Action::CopyOnNode { source, path, mode, .. } => {
                    let text = self.store[source.strip_prefix("/ledger/store/").expect("the store")].clone();
                    self.files.insert(path.clone(), Item::File(text, mode.expect("a mode")));
                }
                Action::WriteFile { path, content: Blob::Bytes(bytes), mode, .. } => {
                    let text = String::from_utf8(bytes.to_vec()).expect("text");
                    self.files.insert(path.clone(), Item::File(text, mode.expect("a mode")));
                }
                Action::Symlink { path, target } => drop(self.files.insert(path.clone(), Item::Link(target.clone()))),
                Action::MakeDir { path, mode, .. } => {
                    self.files.insert(path.clone(), Item::Folder(mode.expect("a mode")));
                }
                Action::SetMode { path, mode, .. } => match self.files.get_mut(path) {
                    Some(Item::File(_, m) | Item::Folder(m)) => *m = *mode,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
    }
}

fn stat(item: &Item) -> Stat {
    let (kind, mode, size, target) = match item {
        Item::File(text, mode) => (FileKind::File, *mode, text.len() as u64, None),
        Item::Folder(mode) => (FileKind::Directory, *mode, 4096, None),
        Item::Link(to) => (FileKind::Link, 0o777, to.len() as u64, Some(to.clone())),
    };
    Stat {
        kind,
        mode,
        size,
        target,
        uid: 0,
        gid: 0,
        owner: String::new(),
        group: String::new(),
        mtime: 0.0,
        atime: 0.0,
        ctime: 0.0,
        inode: 1,
        device: 1,
        links: 1,
        real: None,
    }
}

fn all(fake: &Fake) -> BTreeSet<String> {
    Journal::parse(&fake.ledger).changes.iter().map(|e| e.change.id.clone()).collect()
}

#[test]
fn a_folder_with_others_things_stays() {
    let mut node = Fake::default();
    node.change("r", 1, "a", "/d", Some(Item::Folder(0o755)));
    node.change("r", 2, "a", "/d/ours", Some(Item::File("x".into(), 0o644)));
    node.files.insert("/d/theirs".into(), Item::File("y".into(), 0o644));
    let way = node.way(&all(&node));
    assert_eq!(way.left.len(), 1);
    assert!(way.left[0].why.contains("kdeploy did not make `theirs`"), "{:?}", way.left);
    assert!(!way.undone.contains(&"r/1".to_owned()) && way.undone.contains(&"r/2".to_owned()));
    node.go(&way);
    assert_eq!(node.files.keys().collect::<Vec<_>>(), ["/d", "/d/theirs"]);
}

#[test]
fn what_another_role_changed_since_is_left_to_it() {
    let mut node = Fake::default();
    node.change("r", 1, "a", "/f", Some(Item::File("a\n".into(), 0o644)));
    node.change("r", 2, "b", "/f", Some(Item::File("b\n".into(), 0o644)));
    let way = node.way(&["r/1".to_owned()].into());
    assert!(way.ways.is_empty() && way.left[0].why.contains("role b"), "{:?}", way.left);
    // The last one goes back to what the first one made.
    let way = node.way(&["r/2".to_owned()].into());
    node.go(&way);
    assert_eq!(node.files["/f"], Item::File("a\n".into(), 0o644));
}

#[test]
fn lines_of_others_stay_when_an_edit_goes_back() {
    let mut node = Fake::default();
    node.files.insert("/f".into(), Item::File("1\n2\n3\n4\n".into(), 0o600));
    node.change("r", 1, "a", "/f", Some(Item::File("1\n2\nours\n3\n4\n".into(), 0o600)));
    node.files.insert("/f".into(), Item::File("0\n1\n2\nours\n3\n4\n".into(), 0o600));
    let way = node.way(&all(&node));
    node.go(&way);
    assert_eq!(node.files["/f"], Item::File("0\n1\n2\n3\n4\n".into(), 0o600));
    // Where our line is gone, nothing is guessed.
    node.files.insert("/f".into(), Item::File("else\n".into(), 0o600));
    let way = node.way(&all(&node));
    assert!(way.ways.is_empty() && way.left[0].why.contains("by something else"), "{:?}", way.left);
}

#[test]
fn what_was_not_kept_is_not_invented() {
    let mut node = Fake::default();
    node.files.insert("/f".into(), Item::File("old".into(), 0o600));
    node.change("r", 1, "a", "/f", Some(Item::File("new".into(), 0o600)));
    node.store.clear();
    node.ledger = node.ledger.replace("\"patch\"", "\"was-patch\"");
    let way = node.way(&all(&node));
    assert!(way.ways.is_empty() && way.left[0].why.contains("store"), "{:?}", way.left);
    // Without the node's own line nothing is removed either.
    node.ledger = node.ledger.lines().filter(|l| !l.contains("before")).map(|l| format!("{l}\n")).collect();
    let way = node.way(&all(&node));
    assert!(way.ways.is_empty() && way.left[0].why.contains("does not say"), "{:?}", way.left);
}

/// A change of one of a few paths: a folder is only made, what is in it is a file, link or nothing.
fn changes() -> impl Strategy<Value = Vec<(usize, u8, String, u32)>> {
    prop::collection::vec((0..6usize, 0..4u8, "([a-c]\n){0,3}", prop::sample::select(vec![0o644u32, 0o600])), 0..20)
}

const PLACES: [&str; 6] = ["/a", "/b", "/d/x", "/d/y", "/e/x", "/c"];

fn play(node: &mut Fake, run: &str, changes: &[(usize, u8, String, u32)]) {
    let mut number = 0;
    for (place, kind, text, mode) in changes {
        let path = PLACES[*place];
        if let Some(dir) = path.rsplit_once('/').map(|(dir, _)| dir).filter(|d| !d.is_empty())
            && !node.files.contains_key(dir)
        {
            number += 1;
            node.change(run, number, "a", dir, Some(Item::Folder(0o755)));
        }
        number += 1;
        let item = match kind {
            0 | 1 => Some(Item::File(text.clone(), *mode)),
            2 => Some(Item::Link(format!("to{}", text.len()))),
            _ => None,
        };
        node.change(run, number, "a", path, item);
    }
}

proptest! {
    /// Whatever was there, and whatever was done: the way back leads to where it began, and nothing is left to do then.
    #[test]
    fn everything_goes_back(before in changes(), done in changes()) {
        let mut node = Fake::default();
        play(&mut node, "x", &before);
        node.ledger.clear();
        let start = node.files.clone();
        play(&mut node, "r", &done);
        let selected = all(&node);
        let way = node.way(&selected);
        node.go(&way);
        prop_assert_eq!(&way.left, &vec![]);
        prop_assert_eq!(&node.files, &start);
        prop_assert_eq!(node.way(&selected).ways.len(), 0);
    }

    /// A later run is taken back without the earlier one.
    #[test]
    fn only_the_later_run_goes_back(first in changes(), second in changes()) {
        let mut node = Fake::default();
        play(&mut node, "r1", &first);
        let between = node.files.clone();
        play(&mut node, "r2", &second);
        let selected = all(&node).into_iter().filter(|id| id.starts_with("r2")).collect();
        let way = node.way(&selected);
        node.go(&way);
        prop_assert_eq!(&node.files, &between);
    }
}
