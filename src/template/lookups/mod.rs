//! Ansible's lookups: where values come from outside of the variables, always on the control machine.
//!
//! [`find`] gives the function behind a name. `errors=` and `wantlist=`, and the joining of texts by `lookup()`, are the evaluator's.

mod command;
mod delimited;
mod files;
mod found;
mod lists;
mod options;
mod password;
mod sequence;
mod url;
mod variables;

pub use delimited::{ini_sections as parse_ini, rows as csv_rows};

use super::call::Lookup;

const LOOKUPS: &[(&str, Lookup)] = &[
    ("env", variables::env),
    ("vars", variables::vars),
    ("varnames", variables::varnames),
    ("config", variables::config),
    ("inventory_hostnames", variables::inventory_hostnames),
    ("file", files::file),
    ("unvault", files::unvault),
    ("template", files::template),
    ("fileglob", files::fileglob),
    ("first_found", found::first_found),
    ("pipe", command::pipe),
    ("lines", command::lines),
    ("items", lists::items),
    ("list", lists::list),
    ("flattened", lists::flattened),
    ("dict", lists::dict),
    ("nested", lists::nested),
    ("cartesian", lists::nested),
    ("together", lists::together),
    ("indexed_items", lists::indexed_items),
    ("random_choice", lists::random_choice),
    ("subelements", lists::subelements),
    ("sequence", sequence::sequence),
    ("csvfile", delimited::csvfile),
    ("ini", delimited::ini),
    ("password", password::password),
    ("url", url::url),
];

/// The lookup of this name, short or qualified.
pub fn find(name: &str) -> Option<Lookup> {
    let short = name.rsplit('.').next().unwrap_or(name);
    LOOKUPS.iter().find(|(n, _)| *n == short).map(|(_, f)| *f)
}

/// Lookups of well-known collections that are not built: these are no typing errors.
pub fn is_foreign(name: &str) -> bool {
    const NAMES: [&str; 29] = [
        "aws_account_attribute",
        "aws_secret",
        "aws_ssm",
        "bitwarden",
        "collection_version",
        "consul_kv",
        "dependent",
        "dig",
        "dnstxt",
        "dsv",
        "etcd",
        "etcd3",
        "filetree",
        "hashi_vault",
        "hiera",
        "k8s",
        "keyring",
        "kustomize",
        "lastpass",
        "merge_variables",
        "onepassword",
        "openshift",
        "passwordstore",
        "random_pet",
        "random_string",
        "random_words",
        "redis",
        "vault_kv2_get",
        "vault_read",
    ];
    let short = name.rsplit('.').next().unwrap_or(name);
    NAMES.contains(&short) || (name.matches('.').count() >= 2 && !name.starts_with("ansible.builtin."))
}

/// The names of all lookups.
pub fn lookup_names() -> impl Iterator<Item = &'static str> {
    LOOKUPS.iter().map(|(name, _)| *name)
}
