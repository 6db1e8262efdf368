//! Properties of the library's readers: no text makes them panic or hang, and what one writes the other reads.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;
use proptest::prelude::*;

use super::filters::json::{Layout, dumps, loads};
use super::filters::text::{shell_quoted, split_lines};
use super::pyformat::{percent, str_format};
use super::pyregex::{Flags, PyRegex, escape};
use super::{Context, Engine, EngineOptions, SearchPaths, lookups};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::from(())),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300f64..1e300).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((".{0,6}", inner), 0..4).prop_map(|pairs| Value::from_object(
                pairs.into_iter().map(|(k, v)| (Value::from(k), v)).collect::<IndexMap<_, _>>()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn json_that_is_written_reads_back(value in value(), indent in proptest::option::of(0usize..4), ascii in any::<bool>()) {
        let layout = Layout { indent: indent.map(|n| " ".repeat(n)), ensure_ascii: ascii, ..Layout::default() };
        let text = dumps(&value, &layout).unwrap();
        prop_assert_eq!(loads(&text).unwrap(), value);
    }

    #[test]
    fn json_reader_survives(text in "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,40}") {
        let _ = loads(&text);
    }

    #[test]
    fn regex_translation_survives(pattern in "[a-c(){}\\[\\]?*+|^$\\\\.<>:=!P#,0-9 dwsbZix-]{0,20}", text in "[a-c0-9 \n]{0,20}") {
        if let Ok(regex) = PyRegex::new(&pattern, Flags::default()) {
            let _ = regex.find_all(&text, 100);
            let _ = regex.subn(r"<\g<0>>", &text, 0);
            let _ = regex.match_start(&text);
        }
    }

    #[test]
    fn an_escaped_text_matches_itself(text in "\\PC{0,20}") {
        let regex = PyRegex::new(&escape(&text), Flags::default()).unwrap();
        prop_assert!(regex.full_match(&text).unwrap().is_some());
    }

    #[test]
    fn formats_survive(format in "[%{}:a-z0-9.<>^+#,!\\[\\]() *-]{0,16}", value in value()) {
        // a width from the format would be honoured, so keep it small
        prop_assume!(!format.contains(|c: char| c.is_ascii_digit()) || format.split(|c: char| !c.is_ascii_digit()).all(|n| n.len() < 4));
        let _ = percent(&format, &value);
        let _ = str_format(&format, std::slice::from_ref(&value), &IndexMap::new());
    }

    #[test]
    fn lines_join_to_the_text_they_were_cut_from(text in "[a-c\n\r\u{2028}]{0,30}") {
        prop_assert_eq!(split_lines(&text, true).concat(), text);
    }

    #[test]
    fn the_shell_reads_a_quoted_text_as_it_was(text in "[ -~\n]{0,20}") {
        let output = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", shell_quoted(&text))).output().unwrap();
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}

#[test]
fn a_password_is_made_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineOptions::default());
    let paths = SearchPaths { playbook_dir: folder.path().to_owned(), ..SearchPaths::default() };
    let context = Context::new(&engine, vec![], Arc::new(paths));
    let password = lookups::find("ansible.builtin.password").unwrap();
    let ask = |term: &str| {
        password(&context, &[Value::from(term)], &IndexMap::new()).unwrap()[0].as_str().unwrap().to_owned()
    };
    let first = ask("secrets/db length=24 chars=ascii_letters,digits");
    assert_eq!(first.len(), 24);
    assert!(first.chars().all(|c| c.is_ascii_alphanumeric()));
    assert_eq!(ask("secrets/db"), first);
    let file = folder.path().join("secrets/db");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{first}\n"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let hash = ask("secrets/db encrypt=sha512_crypt");
    assert!(hash.starts_with("$6$"));
    assert_eq!(ask("secrets/db encrypt=sha512_crypt"), hash);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&format!("{first} salt=")));
    assert_eq!(ask("secrets/db"), first);
    assert_ne!(ask("/dev/null"), ask("/dev/null"));
}
