//! Ansible's and Jinja's tests (`is defined`, `is version(…)`), one file per family.
//!
//! [`register`] puts all of them into an environment, under their short names.

mod basic;
mod files;
mod results;
mod text;
pub mod version;

use minijinja::Environment;

use super::args::{Entry, register_tests};

const FAMILIES: &[&[Entry]] = &[basic::TESTS, files::TESTS, results::TESTS, text::TESTS, version::TESTS];

/// Tests that minijinja has as Jinja has them.
const BUILT_IN: &[&str] = &["defined", "undefined", "filter", "test", "sameas"];

/// Puts every test into the environment; what minijinja has and Jinja has not is taken out.
pub fn register(env: &mut Environment<'static>) {
    for name in ["startingwith", "endingwith", "safe", "int"] {
        env.remove_test(name);
    }
    for family in FAMILIES {
        register_tests(env, family);
    }
}

/// The names of all tests.
pub fn test_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().copied().chain(FAMILIES.iter().flat_map(|family| family.iter().map(|(name, _)| *name)))
}
