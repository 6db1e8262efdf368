//! Differences in the words of Ansible's modules: as its callbacks print them, and as `diff` in registered results.

use minijinja::Value;
use serde_json::{Map, Value as Json};

use super::Diff;
use super::common::kit;

/// Sides and headers in the words of Ansible's modules.
pub fn in_words(diff: &Diff, module: &str) -> Diff {
    let mut diff = diff.clone();
    let path = diff.before_header.clone();
    match module {
        "file" => {
            let as_json = |text: &str| {
                let mut map: serde_json::Map<String, serde_json::Value> =
                    text.lines().filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_owned(), v.into())).collect();
                map.insert("path".to_owned(), path.clone().into());
                format!("{}\n", indented(&map))
            };
            // What is made anew is told by its state alone.
            if diff.before.lines().any(|l| l == "state: absent") {
                let kept = |text: &str| {
                    let all: Vec<&str> =
                        text.lines().filter(|l| !l.starts_with("mode: ") && !l.starts_with("src: ")).collect();
                    all.iter().map(|l| format!("{l}\n")).collect::<String>()
                };
                (diff.before, diff.after) = (kept(&diff.before), kept(&diff.after));
            }
            diff.before = as_json(&diff.before);
            diff.after = as_json(&diff.after);
            diff.before_header = String::new();
            diff.after_header = String::new();
        }
        "lineinfile" | "blockinfile" | "ini_file" => {
            diff.before_header.push_str(" (content)");
            diff.after_header.push_str(" (content)");
        }
        "copy" | "template" => {
            if diff.after_header == "content" {
                diff.after_header = path;
            }
            // What was not there has no name.
            if diff.before.is_empty() {
                diff.before_header = String::new();
            }
        }
        _ => {}
    }
    diff
}

/// Whether the module tells its differences also where nobody asked for them.
fn tells_always(module: &str) -> bool {
    matches!(module, "lineinfile" | "blockinfile" | "known_hosts" | "hostname")
}

/// `diff` in a registered result, as far as Ansible has it there: `asked` is for `--diff` or the task's `diff`.
pub fn registered(module: &str, diffs: &[Diff], asked: bool) -> Option<Value> {
    if !asked && matches!(module, "copy" | "template" | "apt_repository") {
        return Some(Value::from(Vec::<Value>::new()));
    }
    if diffs.is_empty() || !(asked || tells_always(module)) {
        return None;
    }
    let sides = |diff: &Diff| -> Json {
        let words = in_words(diff, module);
        let mut map = Map::new();
        for (key, text) in [("before", &words.before), ("after", &words.after)] {
            let data = serde_json::from_str::<Json>(text).ok().filter(|_| module == "file");
            map.insert(key.to_owned(), data.unwrap_or_else(|| text.as_str().into()));
        }
        for (key, header) in [("before_header", &words.before_header), ("after_header", &words.after_header)] {
            if !header.is_empty() {
                map.insert(key.to_owned(), header.as_str().into());
            }
        }
        Json::Object(map)
    };
    let value = match diffs {
        [one] if !matches!(module, "copy" | "template" | "lineinfile" | "blockinfile" | "apt_repository") => sides(one),
        many => Json::Array(many.iter().map(sides).collect()),
    };
    Some(kit::from_json(&value))
}

/// Four blanks per level.
fn indented(map: &Map<String, Json>) -> String {
    let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
    crate::inventory::pretty(&sorted.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(before: &str, after: &str) -> Diff {
        let header = || "/f".to_owned();
        Diff { before_header: header(), after_header: header(), before: before.to_owned(), after: after.to_owned() }
    }

    #[test]
    fn registered_results_hold_them_in_the_shape_of_each_module() {
        let text = |value: Option<Value>| value.map(|v| crate::report::value_json(&v).to_string());
        let one = [diff("", "a\n")];
        assert_eq!(text(registered("copy", &one, false)).as_deref(), Some("[]"));
        assert_eq!(
            text(registered("copy", &one, true)).as_deref(),
            Some(r#"[{"before":"","after":"a\n","after_header":"/f"}]"#)
        );
        assert_eq!(
            text(registered("file", &[diff("mode: 0644\n", "mode: 0600\n")], true)).as_deref(),
            Some(r#"{"before":{"mode":"0644","path":"/f"},"after":{"mode":"0600","path":"/f"}}"#)
        );
        assert_eq!(registered("file", &one, false), None);
        assert!(registered("lineinfile", &one, false).is_some());
    }
}
