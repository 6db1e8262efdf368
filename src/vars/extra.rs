//! Extra variables of the command line.

use std::path::Path;
use std::sync::Arc;

use super::{Definition, Scope};
use crate::playbook::freeform;
use crate::problem::{Problem, Problems};
use crate::source::{SourceFile, Span};
use crate::yaml::{self, Node};

/// `-e`: `key=value …`, YAML or JSON mappings, `@file`; later ones win. `read` opens a file, also a vaulted one.
pub fn extra_vars(
    given: &[String],
    read: &dyn Fn(&Path) -> Result<yaml::Loaded, Problem>,
) -> Result<Arc<Scope>, Problems> {
    let mut scope = Scope::new("extra vars");
    for text in given {
        let trimmed = text.trim();
        if let Some(path) = trimmed.strip_prefix('@') {
            let root = read(Path::new(path))?.single()?;
            take_mapping(&mut scope, &root)?;
        } else if trimmed.starts_with('{') || trimmed.starts_with('[') {
            let root = yaml::parse_text("<extra vars>", trimmed)?.single()?;
            take_mapping(&mut scope, &root)?;
        } else {
            let file = SourceFile::new("<extra vars>", trimmed);
            let span = Span::new(&file, 0, trimmed.len());
            let words = freeform::split(trimmed)
                .map_err(|_| Problem::new("invalid-vars", "a quote is not closed").at(&span))?;
            for word in words {
                let Some((key, value)) = word.split_once('=') else {
                    return Err(Problem::new("invalid-vars", format!("`{word}` is not `key=value`"))
                        .at(&span)
                        .help("several words in one value need quotes: -e 'key=\"two words\"'")
                        .into());
                };
                let value = unquote(value);
                scope.vars.insert(key.to_owned(), Definition::Written(Node::text(value, &span)));
            }
        }
    }
    Ok(Arc::new(scope))
}

fn take_mapping(scope: &mut Scope, root: &Node) -> Result<(), Problem> {
    let Some(map) = root.as_map() else {
        if root.is_null() {
            return Ok(());
        }
        return Err(Problem::new("invalid-vars", format!("extra variables must be a mapping, not {}", root.kind()))
            .at(&root.span));
    };
    for (key, value) in map.iter() {
        if let Some(key) = key.as_str() {
            scope.vars.insert(key.to_owned(), Definition::Written(value.clone()));
        }
    }
    Ok(())
}

fn unquote(text: &str) -> String {
    for quote in ['\'', '"'] {
        if text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote) {
            return text[1..text.len() - 1].to_owned();
        }
    }
    text.to_owned()
}
