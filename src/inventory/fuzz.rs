//! No text makes the INI reader, its literals or the host patterns panic or hang.

use proptest::prelude::*;

use super::model::Inventory;
use super::{ini, literal, split_pattern, words};
use crate::source::SourceFile;

fn inish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[",
        "]",
        "web",
        "db",
        ":vars",
        ":children",
        ":",
        "\n",
        " ",
        "=",
        "a",
        "1",
        "[1:3]",
        "[a:c]",
        "[01:20:2]",
        "#",
        ";",
        "'",
        "\"",
        "\\",
        "{",
        "}",
        "(",
        ")",
        ",",
        "'x'",
        "True",
        "None",
        "0x1F",
        "1e3",
        "-",
        "é",
        "🎉",
        "\t",
        "\r\n",
        "r'",
        "u\"",
        "\"\"\"",
        "\\x4",
        "\\N{",
        "ansible_group_priority=",
        "*",
        "?",
        "~",
        "!",
        "&",
        "@",
        "[0]",
        "[-1]",
        "[1:]",
        "[!a]",
    ]);
    prop::collection::vec(piece, 0..50).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_an_inventory_or_refused(text in prop_oneof![inish(), ".{0,200}".prop_map(|s| s)]) {
        let file = SourceFile::new("<fuzz>", text.as_str());
        let mut inventory = Inventory::new();
        let result = ini::read(&mut inventory, &file, &mut vec![]);
        for problem in result.err().into_iter().flatten() {
            if let Some(span) = problem.span {
                prop_assert!(span.file.text.get(span.start..span.end).is_some());
            }
        }
        inventory.reconcile();
        for host in inventory.hosts.keys().take(20) {
            prop_assert!(inventory.hosts_of("all").contains(host));
            let _ = inventory.scopes_for(host, None);
        }
        let _ = inventory.graph("all", true, &super::ShowOptions::default());
    }

    #[test]
    fn any_text_is_a_literal_or_none(text in inish()) {
        let _ = literal::parse(&text);
        let _ = words::split(&text);
    }

    #[test]
    fn any_pattern_selects_or_is_refused(pattern in inish()) {
        let mut inventory = Inventory::new();
        for host in ["web1", "web2", "db"] {
            inventory.add_host(host, None);
            inventory.add_to_group(host, "web");
        }
        inventory.reconcile();
        let _ = split_pattern(&pattern);
        if let Ok(found) = inventory.matching(&pattern) {
            prop_assert!(found.hosts.len() <= 4);
        }
    }
}
