//! The format: what older kdeploys wrote is read, damage is told, and a smaller ledger says the same.

use proptest::prelude::*;

use super::*;

/// As the first kdeploy with a ledger wrote it. Never edited: a newer one must read it.
const FIRST: &str = include_str!("../../tests/ledger/v1.jsonl");

#[test]
fn an_older_ledger_is_read() {
    let journal = Journal::parse(FIRST);
    assert_eq!((journal.damaged.as_slice(), journal.newer), (&[][..], None));
    assert_eq!(journal.runs.len(), 2);
    assert_eq!(journal.runs[0].who, "alice");
    let entry = &journal.changes[0];
    assert_eq!(entry.change.paths, ["/etc/docker"]);
    assert_eq!(entry.path_before(0), PathBefore::Nothing);
    let entry = &journal.changes[1];
    assert!(matches!(entry.path_before(0), PathBefore::There(b) if b.kept && b.m == "644" && b.d.is_some()));
    assert_eq!(journal.owed["docker : Restart docker"].run, "20261124T201530-1a2b3c");
    assert_eq!(journal.changes[2].undone.as_deref(), Some("20261125T080000-aaaaaa"));
    assert_eq!(journal.ends["20261124T201530-1a2b3c"], "failed");
    assert_eq!(journal.live().count(), 2);
}

#[test]
fn damage_is_told_and_the_rest_is_read() {
    let torn = format!(
        "{}\n{{\"is\":\"change\",\"id\":\"x/1\",\"pa\n\n{{\"is\":\"paid\",\"handler\":\"docker : Restart docker\",\"run\":\"x\"}}\n",
        FIRST.trim_end()
    );
    let journal = Journal::parse(&torn);
    assert_eq!(journal.damaged.len(), 1);
    assert!(journal.damage().is_some_and(|d| d.contains("damaged: 1 line")), "{:?}", journal.damage());
    assert!(journal.owed.is_empty());
    assert_eq!(compact(&torn), None, "a damaged ledger is left as it is");
}

#[test]
fn a_newer_format_forbids_the_way_back() {
    let newer = "{\"is\":\"run\",\"id\":\"a\",\"v\":99}\n{\"is\":\"hologram\",\"x\":1}\n";
    let journal = Journal::parse(newer);
    assert!(journal.objection().is_some_and(|o| o.contains("format 99")));
    assert!(journal.damaged.is_empty());
    assert_eq!(compact(newer), None);
}

/// A ledger of some runs over a few paths.
fn ledgers() -> impl Strategy<Value = String> {
    let change = (0..4usize, 0..3usize, any::<bool>(), any::<bool>());
    prop::collection::vec(prop::collection::vec(change, 0..4), 1..60).prop_map(|runs| {
        let mut text = String::new();
        let mut owed = false;
        for (number, changes) in runs.into_iter().enumerate() {
            let run = format!("r{number:03}");
            text += &Line::Run(RunLine { id: run.clone(), v: VERSION, ..RunLine::default() }).text();
            for (index, (path, role, owes, there)) in changes.into_iter().enumerate() {
                let id = format!("{run}/{index}");
                let before = Before {
                    of: format!("{id}#0"),
                    t: if there { "f" } else { "-" }.into(),
                    d: there.then(|| format!("{number:02x}{index:02x}")),
                    kept: there,
                    ..Before::default()
                };
                text += &Line::Before(before).text();
                owed |= owes;
                text += &Line::Change(Change {
                    id,
                    run: run.clone(),
                    role: Some(format!("role{role}")),
                    paths: vec![format!("/p/{path}")],
                    owes: if owes { vec!["h".into()] } else { vec![] },
                    ..Change::default()
                })
                .text();
            }
            if owed && number % 2 == 0 {
                owed = false;
                text += &Line::Paid { handler: "h".into(), run }.text();
            }
        }
        text
    })
}

proptest! {
    /// What was there before the first change of each path and role, who changed it last, and what is owed.
    #[test]
    fn a_smaller_ledger_says_the_same(text in ledgers()) {
        let (smaller, needless) = compact(&text).expect("it is whole");
        prop_assert!(smaller.len() <= text.len());
        let (before, after) = (Journal::parse(&text), Journal::parse(&smaller));
        prop_assert!(before.owed.keys().eq(after.owed.keys()), "{:?} {:?}", before.owed, after.owed);
        let mut paths: Vec<(String, Option<String>)> =
            before.live().map(|e| (e.change.paths[0].clone(), e.change.role.clone())).collect();
        paths.sort();
        paths.dedup();
        for (path, role) in paths {
            let of = |journal: &Journal| -> Vec<Entry> {
                journal.live().filter(|e| e.change.paths[0] == path && e.change.role == role).cloned().collect()
            };
            let (was, is) = (of(&before), of(&after));
            prop_assert_eq!(was[0].path_before(0), is[0].path_before(0));
            prop_assert_eq!(&was.last().unwrap().change.id, &is.last().unwrap().change.id);
            if let PathBefore::There(first) = is[0].path_before(0) {
                prop_assert!(!needless.contains(&first.d.unwrap()));
            }
        }
        prop_assert_eq!(compact(&smaller).map(|(text, _)| text), Some(smaller));
    }

    /// Whatever stands in the file: no panic, and no line is taken for something it does not say.
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        let journal = Journal::parse(&text);
        prop_assert!(journal.changes.is_empty());
    }
}
