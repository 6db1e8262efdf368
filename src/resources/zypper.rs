//! `zypper`: packages of openSUSE and SLE.

use super::common::packages::*;
use super::{ArgSpec, Kind, ResourceType};

pub static TYPE: ResourceType = ResourceType {
    name: "zypper",
    qualified: &["community.general.zypper"],
    doc: include_str!("doc/zypper.md"),
    args: &[
        NAME,
        STATE,
        ArgSpec::new("update_cache", Kind::Bool, "Read the metadata anew first").aliases(&["refresh"]).default("false"),
        ArgSpec::new("disable_gpg_check", Kind::Bool, "Allow unsigned packages").default("false"),
        ArgSpec::new("disable_recommends", Kind::Bool, "Leave recommended packages out").default("true"),
    ],
    free_form: None,
    build: |args, setting| {
        let mut options = vec![];
        if args.flag("disable_recommends")? {
            options.push("--no-recommends".to_owned());
        }
        if args.flag("disable_gpg_check")? {
            options.push("--allow-unsigned-rpm".to_owned());
        }
        packages(&args, setting, "zypper".to_owned(), options)
    },
};
