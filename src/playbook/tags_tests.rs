use super::*;
use proptest::prelude::*;

/// The tag sets of the columns of [`ORACLE`].
const SETS: [&str; 16] = [
    "",
    "a",
    "b",
    "always",
    "never",
    "a,b",
    "a,always",
    "a,never",
    "b,always",
    "b,never",
    "always,never",
    "a,b,always",
    "a,b,never",
    "a,always,never",
    "b,always,never",
    "a,b,always,never",
];

/// `--tags`, `--skip-tags`, and whether ansible-core 2.19 selects a task with each of [`SETS`].
#[rustfmt::skip]
/// Without `--tags` it is `--tags all`, as on the command line.
const ORACLE: &[(&str, &str, &str)] = &[
    ("all", "", "1111011010110111"),
    ("all", "a", "1011000010100010"),
    ("all", "all", "0001001010110111"),
    ("all", "tagged", "1000000000000000"),
    ("all", "untagged", "0111011010110111"),
    ("all", "always", "1110010000000000"),
    ("all", "never", "1111011010010000"),
    ("all", "all,always", "0000000000000000"),
    ("all", "a,b", "1001000000100000"),
    ("all", "c", "1111011010110111"),
    ("a", "", "0101011110111111"),
    ("a", "a", "0001000010100010"),
    ("a", "all", "0001001010110111"),
    ("a", "tagged", "0000000000000000"),
    ("a", "untagged", "0101011110111111"),
    ("a", "always", "0100010100001000"),
    ("a", "never", "0101011010010000"),
    ("a", "all,always", "0000000000000000"),
    ("a", "a,b", "0001000000100000"),
    ("a", "c", "0101011110111111"),
    ("b", "", "0011011011111111"),
    ("b", "a", "0011000011100010"),
    ("b", "all", "0001001010110111"),
    ("b", "tagged", "0000000000000000"),
    ("b", "untagged", "0011011011111111"),
    ("b", "always", "0010010001001000"),
    ("b", "never", "0011011010010000"),
    ("b", "all,always", "0000000000000000"),
    ("b", "a,b", "0001000000100000"),
    ("b", "c", "0011011011111111"),
    ("a,b", "", "0111011111111111"),
    ("a,b", "a", "0011000011100010"),
    ("a,b", "all", "0001001010110111"),
    ("a,b", "tagged", "0000000000000000"),
    ("a,b", "untagged", "0111011111111111"),
    ("a,b", "always", "0110010101001000"),
    ("a,b", "never", "0111011010010000"),
    ("a,b", "all,always", "0000000000000000"),
    ("a,b", "a,b", "0001000000100000"),
    ("a,b", "c", "0111011111111111"),
    ("tagged", "", "0111011010110111"),
    ("tagged", "a", "0011000010100010"),
    ("tagged", "all", "0001001010110111"),
    ("tagged", "tagged", "0000000000000000"),
    ("tagged", "untagged", "0111011010110111"),
    ("tagged", "always", "0110010000000000"),
    ("tagged", "never", "0111011010010000"),
    ("tagged", "all,always", "0000000000000000"),
    ("tagged", "a,b", "0001000000100000"),
    ("tagged", "c", "0111011010110111"),
    ("untagged", "", "1001001010110111"),
    ("untagged", "a", "1001000010100010"),
    ("untagged", "all", "0001001010110111"),
    ("untagged", "tagged", "1000000000000000"),
    ("untagged", "untagged", "0001001010110111"),
    ("untagged", "always", "1000000000000000"),
    ("untagged", "never", "1001001010010000"),
    ("untagged", "all,always", "0000000000000000"),
    ("untagged", "a,b", "1001000000100000"),
    ("untagged", "c", "1001001010110111"),
    ("always", "", "0001001010110111"),
    ("always", "a", "0001000010100010"),
    ("always", "all", "0001001010110111"),
    ("always", "tagged", "0000000000000000"),
    ("always", "untagged", "0001001010110111"),
    ("always", "always", "0000000000000000"),
    ("always", "never", "0001001010010000"),
    ("always", "all,always", "0000000000000000"),
    ("always", "a,b", "0001000000100000"),
    ("always", "c", "0001001010110111"),
    ("never", "", "0001101111111111"),
    ("never", "a", "0001100011100010"),
    ("never", "all", "0001001010110111"),
    ("never", "tagged", "0000000000000000"),
    ("never", "untagged", "0001101111111111"),
    ("never", "always", "0000100101001000"),
    ("never", "never", "0001001010010000"),
    ("never", "all,always", "0000000000000000"),
    ("never", "a,b", "0001100000100000"),
    ("never", "c", "0001101111111111"),
    ("a,untagged", "", "1101011110111111"),
    ("a,untagged", "a", "1001000010100010"),
    ("a,untagged", "all", "0001001010110111"),
    ("a,untagged", "tagged", "1000000000000000"),
    ("a,untagged", "untagged", "0101011110111111"),
    ("a,untagged", "always", "1100010100001000"),
    ("a,untagged", "never", "1101011010010000"),
    ("a,untagged", "all,always", "0000000000000000"),
    ("a,untagged", "a,b", "1001000000100000"),
    ("a,untagged", "c", "1101011110111111"),
    ("all,never", "", "1111111111111111"),
    ("all,never", "a", "1011100011100010"),
    ("all,never", "all", "0001001010110111"),
    ("all,never", "tagged", "1000000000000000"),
    ("all,never", "untagged", "0111111111111111"),
    ("all,never", "always", "1110110101001000"),
    ("all,never", "never", "1111011010010000"),
    ("all,never", "all,always", "0000000000000000"),
    ("all,never", "a,b", "1001100000100000"),
    ("all,never", "c", "1111111111111111"),
    ("c", "", "0001001010110111"),
    ("c", "a", "0001000010100010"),
    ("c", "all", "0001001010110111"),
    ("c", "tagged", "0000000000000000"),
    ("c", "untagged", "0001001010110111"),
    ("c", "always", "0000000000000000"),
    ("c", "never", "0001001010010000"),
    ("c", "all,always", "0000000000000000"),
    ("c", "a,b", "0001000000100000"),
    ("c", "c", "0001001010110111"),
    ("", "", "1111011010110111"),
    ("", "a", "1011000010100010"),
    ("", "all", "0001001010110111"),
    ("", "tagged", "1000000000000000"),
    ("", "untagged", "0111011010110111"),
    ("", "always", "1110010000000000"),
    ("", "never", "1111011010010000"),
    ("", "all,always", "0000000000000000"),
    ("", "a,b", "1001000000100000"),
    ("", "c", "1111011010110111"),
    ("tagged,never", "", "0111111111111111"),
    ("tagged,never", "a", "0011100011100010"),
    ("tagged,never", "all", "0001001010110111"),
    ("tagged,never", "tagged", "0000000000000000"),
    ("tagged,never", "untagged", "0111111111111111"),
    ("tagged,never", "always", "0110110101001000"),
    ("tagged,never", "never", "0111011010010000"),
    ("tagged,never", "all,always", "0000000000000000"),
    ("tagged,never", "a,b", "0001100000100000"),
    ("tagged,never", "c", "0111111111111111"),
];

fn split(text: &str) -> Vec<String> {
    text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

#[test]
fn selects_what_ansible_selects() {
    for (only, skip, wanted) in ORACLE {
        let found: String = SETS
            .iter()
            .map(|tags| if selected(&split(tags), &split(only), &split(skip)) { '1' } else { '0' })
            .collect();
        assert_eq!(&found, wanted, "--tags {only} --skip-tags {skip}");
    }
}

#[test]
fn the_command_line_splits_at_commas() {
    let selection = TagSelection::new(&["a, b", "c"], &["d"]);
    assert_eq!(selection.only, ["a", "b", "c"]);
    assert_eq!(TagSelection::new::<&str>(&[], &[]), TagSelection::default());
    assert!(selection.selects(&split("c")));
    assert!(!selection.selects(&split("c,d")));
}

proptest! {
    /// Order and repetition of tags never matter; skipping more never selects more.
    #[test]
    fn is_about_sets(
        mut tags in prop::collection::vec("[ab]|always|never|untagged|tagged|all", 0..5),
        only in prop::collection::vec("[ab]|always|never|untagged|tagged|all", 0..4),
        mut skip in prop::collection::vec("[ab]|always|never|untagged|tagged", 0..4),
    ) {
        let before = selected(&tags, &only, &skip);
        tags.reverse();
        if let Some(first) = tags.first().cloned() {
            tags.push(first);
        }
        prop_assert_eq!(selected(&tags, &only, &skip), before);
        skip.push("b".to_owned());
        prop_assert!(before || !selected(&tags, &only, &skip));
    }
}
