//! What would take all memory or all time is refused at once.

use std::time::{Duration, Instant};

use minijinja::Value;

use super::{Context, Engine, EngineOptions};
use crate::source::{SourceFile, Span};
use crate::vars::Scope;
use crate::yaml::Node;

const BOMBS: &[&str] = &[
    "range(10**12) | list | length",
    "'x' * 10**12",
    "[0] * 10**12",
    "'%1000000000000d' % 1",
    "10 ** 10 ** 10",
    "'x' | center(10**11)",
    "'x'.center(10**11)",
    "'x' | indent(10**11, true)",
    "'x'.zfill(10**11)",
    "'x'.ljust(10**11)",
    "'x'.rjust(10**11)",
    "'{:>100000000000}'.format(1)",
    "[1] | batch(10**11, 0) | list",
    "[1] | slice(10**11) | list",
    "range(1000) | product(range(1000), range(1000)) | list | length",
];

#[test]
fn bombs_are_refused_at_once() {
    let engine = Engine::new(EngineOptions::default());
    let file = SourceFile::new("t.yml", "x");
    let span = Span::of_file(&file);
    let context =
        Context::new(&engine, vec![Scope::finals("f", [("a".to_owned(), Value::from(1))])], std::sync::Arc::default());
    for bomb in BOMBS {
        let start = Instant::now();
        let value = context.value(&Node::text(format!("{{{{ {bomb} }}}}"), &span));
        assert!(value.is_err(), "{bomb}: {value:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{bomb}");
    }
}

/// Patterns whose naive search doubles with each letter.
#[test]
fn regular_expressions_end() {
    let engine = Engine::new(EngineOptions::default());
    let file = SourceFile::new("t.yml", "x");
    let span = Span::of_file(&file);
    let context = Context::new(&engine, vec![], std::sync::Arc::default());
    for pattern in ["('a' * 40 ~ 'b') | regex_search('(a+)+$')", "('a' * 40) | regex_replace('(a|a)*b', '')"] {
        let start = Instant::now();
        let _ = context.value(&Node::text(format!("{{{{ {pattern} }}}}"), &span));
        assert!(start.elapsed() < Duration::from_secs(20), "{pattern}");
    }
}
