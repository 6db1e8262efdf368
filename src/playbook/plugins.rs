//! Python plugins of a repository: kdeploy runs none; where a template uses one, the message says which file holds it.

use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::source::display_path;

/// Folders of plugins by what they hold: the code of the problem, the noun, beside playbooks and roles, in collections.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("unknown-filter", "filter", "filter_plugins", "plugins/filter"),
    ("unknown-test", "test", "test_plugins", "plugins/test"),
    ("unknown-lookup", "lookup", "lookup_plugins", "plugins/lookup"),
];

/// A problem with an unknown filter, test or lookup, told as the custom plugin it is, if one of these folders has it.
/// `roots`: folders of playbooks and roles; `collections`: folders that hold collections (`ansible_collections`).
pub fn explain(problem: Problem, roots: &[PathBuf], collections: &[PathBuf]) -> Problem {
    let Some((_, noun, beside, within)) = KINDS.iter().find(|(code, ..)| *code == problem.code) else {
        return problem;
    };
    let Some(name) = problem.message.split('`').nth(1).map(str::to_owned) else { return problem };
    let mut dirs: Vec<PathBuf> = roots.iter().map(|root| root.join(beside)).collect();
    if let [namespace, collection, ..] = name.split('.').collect::<Vec<_>>()[..] {
        dirs.extend(collections.iter().map(|root| root.join(namespace).join(collection).join(within)));
    }
    let short = name.rsplit('.').next().unwrap_or(&name);
    let Some(path) = dirs.iter().find_map(|dir| defining(dir, short, noun)) else { return problem };
    let told = Problem::unsupported(format_args!("`{name}` is a custom Python {noun} ({})", display_path(&path)))
        .help(format!("say it with the {noun}s there are, or set a variable with what it gives"));
    match &problem.span {
        Some(span) => told.at(span),
        None => told,
    }
}

/// The Python file of a folder that defines a plugin of that name.
fn defining(dir: &Path, name: &str, noun: &str) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "py"))
        .collect();
    files.sort();
    // A lookup goes by its file's name; filters and tests are named in a mapping of their file.
    let by_file = files.iter().find(|p| p.file_stem().is_some_and(|s| s == name));
    if noun == "lookup" {
        return by_file.cloned();
    }
    let quoted = [format!("'{name}'"), format!("\"{name}\"")];
    let holds = |path: &&PathBuf| {
        std::fs::read_to_string(path).is_ok_and(|text| quoted.iter().any(|q| text.contains(q.as_str())))
    };
    files.iter().find(holds).or(by_file).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_filter_is_told_with_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let plugins = dir.path().join("filter_plugins");
        std::fs::create_dir(&plugins).expect("made");
        std::fs::write(plugins.join("text.py"), "def f(self): return {'to_upper': up}\n").expect("written");
        let unknown = |name: &str| Problem::new("unknown-filter", format!("there is no filter `{name}`"));
        let roots = [dir.path().to_owned()];
        let told = explain(unknown("to_upper"), &roots, &[]);
        assert_eq!(told.code, "not-supported");
        assert!(told.message.contains("filter_plugins/text.py"), "{}", told.message);
        assert_eq!(explain(unknown("to_lower"), &roots, &[]).code, "unknown-filter");
    }
}
