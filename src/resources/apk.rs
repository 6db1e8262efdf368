//! `apk`: packages of Alpine Linux.

use super::common::packages::*;
use super::{ArgSpec, Kind, ResourceType};
use crate::problem::Problem;

pub static TYPE: ResourceType = ResourceType {
    name: "apk",
    qualified: &["community.general.apk"],
    doc: include_str!("doc/apk.md"),
    args: &[
        NAME,
        STATE,
        UPDATE,
        ArgSpec::new("no_cache", Kind::Bool, "Keep no package lists").default("false"),
        ArgSpec::new("repository", Kind::List, "Repositories instead of the configured ones"),
        ArgSpec::new("available", Kind::Bool, "Accepted for upgrades").default("false"),
        ArgSpec::new("upgrade", Kind::Bool, "Upgrade all packages").default("false"),
    ],
    free_form: None,
    build: |args, setting| {
        let mut options = vec![];
        if args.flag("no_cache")? {
            options.push("--no-cache".to_owned());
        }
        for repository in args.list("repository")? {
            options.extend(["--repository".to_owned(), repository]);
        }
        if args.flag("upgrade")? {
            return Err(Problem::unsupported("`upgrade` of `apk`").at(args.span("upgrade")).into());
        }
        packages(&args, setting, "apk".to_owned(), options)
    },
};
