//! `pacman`: packages of Arch Linux.

use super::common::packages::*;
use super::{ArgSpec, Kind, ResourceType};
use crate::problem::Problem;

pub static TYPE: ResourceType = ResourceType {
    name: "pacman",
    qualified: &["community.general.pacman"],
    doc: include_str!("doc/pacman.md"),
    args: &[
        NAME,
        STATE,
        UPDATE,
        ArgSpec::new("extra_args", Kind::Str, "Further options for pacman").default(""),
        ArgSpec::new("force", Kind::Bool, "Not supported yet").default("false"),
        ArgSpec::new("upgrade", Kind::Bool, "Not supported yet").default("false"),
    ],
    free_form: None,
    build: |args, setting| {
        if args.flag("force")? || args.flag("upgrade")? {
            return Err(Problem::unsupported("`force` and `upgrade` of `pacman`").at(args.task_span()).into());
        }
        let options = args.str("extra_args")?.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        packages(&args, setting, "pacman".to_owned(), options)
    },
};
