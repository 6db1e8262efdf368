//! `include_vars`: variables from files of the control machine, while the playbook runs.
//!
//! The variables go back as written (`TaskResult::definitions`), so that templates in them stay lazy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fancy_regex::Regex;
use indexmap::IndexMap;
use minijinja::Value;

use super::kit::{self, Ready};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::source::SourceFile;
use crate::world::Stop;
use crate::yaml::{self, Mapping, Node, Yaml};

const DOC: &str = "\
# include_vars

Reads variables from a YAML or JSON file of the control machine, or from all files of a directory.

A relative name is looked for in the role's `vars/`, beside the task's file and beside the playbook.

## Return values

- `ansible_facts` (mapping): the variables
- `ansible_included_var_files` (list): the files, in order

## Examples

    - include_vars: \"{{ ansible_facts['distribution'] }}.yml\"

    - include_vars:
        dir: versions
        depth: 1
        name: versions
        extensions: [yml]

## Differences from Ansible

`hash_behaviour: merge` merges with what the variable holds.
";

pub static TYPE: ResourceType = ResourceType {
    name: "include_vars",
    qualified: &["ansible.builtin.include_vars"],
    doc: DOC,
    args: &[
        ArgSpec::new("_raw_params", Kind::Raw, "The file, written free-form"),
        ArgSpec::new("file", Kind::Path, "The file"),
        ArgSpec::new("dir", Kind::Path, "A directory whose files are read, sorted by name, with those below"),
        ArgSpec::new("name", Kind::Str, "Put the variables into a mapping of this name"),
        ArgSpec::new("depth", Kind::Int, "How deep to go below `dir`; 0: all the way").default("0"),
        ArgSpec::new("files_matching", Kind::Str, "Only files whose name matches this regular expression"),
        ArgSpec::new("ignore_files", Kind::List, "Leave out files whose name ends in one of these regular expressions"),
        ArgSpec::new("extensions", Kind::List, "File extensions to read").default("json,yaml,yml"),
        ArgSpec::new("ignore_unknown_extensions", Kind::Bool, "Leave other files out instead of failing")
            .default("false"),
        ArgSpec::new("hash_behaviour", Kind::Str, "How mappings of one name go together")
            .choices(&["replace", "merge"]),
    ],
    free_form: Some("_raw_params"),
    conduct: Conduct::Passes,
    build,
};

fn failure(message: &str, facts: Value, files: &[String]) -> Verdict {
    Verdict::Failed(
        TaskResult::unchanged()
            .with("ansible_facts", facts)
            .with("ansible_included_var_files", Value::from(files.to_vec()))
            .with("message", message)
            .with("msg", message),
    )
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let merge = args.str("hash_behaviour")?.as_deref() == Some("merge");
    let dir_only = ["depth", "files_matching", "ignore_files", "ignore_unknown_extensions"];
    let file = match args.str("file")? {
        Some(file) => Some(file),
        None => args.str("_raw_params")?.map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()),
    };
    let dir = args.str("dir")?;
    if let (Some(_), Some(bad)) = (&file, dir_only.iter().chain(&["dir"]).find(|n| args.given(n))) {
        return Err(Problem::new("invalid-argument", format!("`{bad}` is for directories, and a file is given"))
            .at(args.span(bad))
            .into());
    }
    let nothing = || kit::map([]);
    let paths = match (file, dir) {
        (Some(file), _) => match (setting.find_file)("vars", &file) {
            Ok(path) => vec![path],
            Err(problem) => return Ok(Ready::boxed(Ok(failure(&described(&problem), nothing(), &[])))),
        },
        (None, Some(dir)) => match (setting.find_file)("vars", &dir) {
            Ok(path) if path.is_dir() => files_of(&args, &path)?,
            Ok(_) => {
                return Ok(Ready::boxed(Ok(failure(&format!("{dir} is not a directory"), nothing(), &[]))));
            }
            Err(problem) => return Ok(Ready::boxed(Ok(failure(&described(&problem), nothing(), &[])))),
        },
        (None, None) => {
            let facts = match args.str("name")? {
                Some(name) => kit::map([(name, nothing())]),
                None => nothing(),
            };
            return Ok(Ready::boxed(Ok(failure("`include_vars` needs a file or the argument `dir`", facts, &[]))));
        }
    };
    let extensions: Vec<String> =
        args.list("extensions")?.iter().map(|e| e.trim_start_matches('.').to_owned()).collect();
    let skip_unknown = args.flag("ignore_unknown_extensions")?;
    let from_dir = args.given("dir");
    let mut found: IndexMap<String, Node> = IndexMap::new();
    let mut read: Vec<String> = vec![];
    let mut hidden = false;
    for path in paths {
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        // A file named outright may have any extension, also none.
        if from_dir && !extensions.contains(&extension) {
            if skip_unknown {
                continue;
            }
            let message = format!("{} does not have a valid extension: {}", path.display(), extensions.join(", "));
            let facts = match args.str("name")? {
                Some(name) => kit::map([(name, nothing())]),
                None => nothing(),
            };
            return Ok(Ready::boxed(Ok(failure(&message, facts, &read))));
        }
        hidden |= yaml::read_source(&path).is_ok_and(|source| yaml::is_vaulted(&source.text));
        let variables = match variables_of(&path, setting) {
            Ok(variables) => variables,
            Err(problem) => return Ok(Ready::boxed(Ok(failure(&described(&problem), kit::map([]), &read)))),
        };
        for (name, node) in variables {
            found.insert(name, node);
        }
        read.push(path.display().to_string());
    }
    let mut definitions: Vec<(String, Node)> = found.into_iter().collect();
    if let Some(name) = args.str("name")? {
        if !super::is_variable_name(&name) {
            return Err(Problem::new("invalid-name", format!("`{name}` is no name for a variable"))
                .at(args.span("name"))
                .into());
        }
        let span = args.span("name").clone();
        let entries = definitions.into_iter().map(|(k, v)| (Node::text(k, &v.span), v)).collect();
        definitions = vec![(name, Node::new(Yaml::Map(Arc::new(Mapping { entries })), span))];
    }
    if merge {
        for (name, node) in &mut definitions {
            merge_with_present(name, node, setting)?;
        }
    }
    let facts = kit::map(definitions.iter().map(|(name, node)| (name.clone(), node.to_value())));
    let mut result =
        TaskResult::unchanged().with("ansible_facts", facts).with("ansible_included_var_files", Value::from(read));
    result.definitions = definitions;
    result.hidden = hidden;
    Ok(Ready::boxed(Ok(Verdict::Unchanged(result))))
}

/// `hash_behaviour: merge`: a mapping goes together with what the variable holds.
fn merge_with_present(name: &str, node: &mut Node, setting: &Setting) -> Result<(), Stop> {
    if node.as_map().is_none() {
        return Ok(());
    }
    let present = match (setting.evaluate)(name) {
        Ok(value) if value.kind() == minijinja::value::ValueKind::Map => value,
        // Not defined yet.
        Ok(_) => return Ok(()),
        Err(Stop::Invalid(problem)) if problem.code == "undefined-variable" => return Ok(()),
        Err(stop) => return Err(stop),
    };
    let weak = crate::vars::Definition::Final(present);
    if let Some(crate::vars::Definition::Written(merged)) =
        crate::vars::merge_definitions(&weak, &crate::vars::Definition::Written(node.clone()))
    {
        *node = merged;
    }
    Ok(())
}

fn described(problem: &Problem) -> String {
    let mut text = problem.message.clone();
    for line in problem.help.iter().chain(&problem.notes) {
        text.push('\n');
        text.push_str(line);
    }
    text
}

/// The variables a file defines, in its order.
pub fn variables_of(path: &Path, setting: &Setting) -> Result<Vec<(String, Node)>, Problem> {
    let mut source = yaml::read_source(path)?;
    if yaml::is_vaulted(&source.text) {
        let plain = (setting.decrypt)(source.text.as_bytes())?;
        source = SourceFile::decrypted(path, String::from_utf8_lossy(&plain).into_owned());
    }
    let node = yaml::parse(&source)?.single()?;
    match &node.value {
        Yaml::Null => Ok(vec![]),
        Yaml::Map(map) => Ok(map.iter().map(|(key, value)| (super::text_of(&key.to_value()), value.clone())).collect()),
        _ => Err(Problem::new(
            "invalid-file",
            format!("`{}` must hold a mapping of variables, not {}", path.display(), node.kind()),
        )
        .at(&node.span)),
    }
}

/// All files of a directory, as Ansible walks it: each directory's files sorted, directories sorted.
fn files_of(args: &Args, root: &Path) -> Result<Vec<PathBuf>, Problem> {
    let pattern = |text: &str, name: &str| {
        Regex::new(text).map_err(|e| {
            Problem::new("invalid-argument", format!("`{text}` is no regular expression: {e}")).at(args.span(name))
        })
    };
    let only = args.str("files_matching")?.map(|p| pattern(&p, "files_matching")).transpose()?;
    let ignored = args
        .list("ignore_files")?
        .iter()
        .map(|p| pattern(&format!("(?:{p})$"), "ignore_files"))
        .collect::<Result<Vec<_>, _>>()?;
    let depth = args.int("depth")?.unwrap_or(0);
    let mut files = vec![];
    let mut dirs = vec![(root.to_owned(), 1)];
    while !dirs.is_empty() {
        let (dir, level) = dirs.remove(0);
        let entries = std::fs::read_dir(&dir).map_err(|e| {
            Problem::new("unreadable-file", format!("`{}` cannot be read: {e}", dir.display())).at(args.span("dir"))
        })?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        let mut below = vec![];
        for path in paths {
            if path.is_dir() {
                if depth <= 0 || level < depth {
                    below.push((path, level + 1));
                }
                continue;
            }
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let hit = |r: &Regex| r.is_match(&name).unwrap_or(false);
            if only.as_ref().is_none_or(hit) && !ignored.iter().any(hit) {
                files.push(path);
            }
        }
        // Depth first, in order: the walk is sorted by directory path.
        dirs.splice(0..0, below);
    }
    Ok(files)
}
