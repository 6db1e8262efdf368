//! Ansible's and Jinja's filters, one file per family.
//!
//! Each family is a table of names and functions; [`register`] puts all of them into an environment. Names are short: the evaluator
//! takes a qualified name (`ansible.builtin.combine`) by its last part.

mod choose;
mod convert;
pub mod crypt;
pub mod data;
mod general;
mod ip;
mod ipaddr;
mod jmespath;
mod jmespath_run;
pub mod json;
pub mod mappings;
mod network;
pub mod numbers;
pub mod paths;
pub mod random;
mod regex;
pub mod sets;
pub mod text;
mod urlize;
mod urls;
mod vaulting;
mod wrap;
mod yaml;

use minijinja::Environment;

pub use choose::compare;
pub use convert::ansible_bool;
pub use paths::expand_user;

use super::args::{Entry, register_filters};

const FAMILIES: &[&[Entry]] = &[
    choose::FILTERS,
    convert::FILTERS,
    data::FILTERS,
    ipaddr::FILTERS,
    jmespath_run::FILTERS,
    json::FILTERS,
    general::FILTERS,
    vaulting::FILTERS,
    mappings::FILTERS,
    network::FILTERS,
    numbers::FILTERS,
    paths::FILTERS,
    random::FILTERS,
    regex::FILTERS,
    sets::FILTERS,
    text::FILTERS,
    urlize::FILTERS,
    urls::FILTERS,
    yaml::FILTERS,
];

/// Puts every filter into the environment; what minijinja has and Jinja has not is taken out.
pub fn register(env: &mut Environment<'static>) {
    for name in ["chain", "lines"] {
        env.remove_filter(name);
    }
    for family in FAMILIES {
        register_filters(env, family);
    }
}

/// The names of all filters.
pub fn filter_names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.iter().map(|(name, _)| *name))
}
