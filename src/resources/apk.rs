//! `apk`: packages of Alpine Linux.

use super::common::packages::{NAME, Packages, STATE, UPDATE};
use super::{ArgSpec, Conduct, Kind, ResourceType};

pub static TYPE: ResourceType = ResourceType {
    name: "apk",
    qualified: &["community.general.apk"],
    doc: include_str!("doc/apk.md"),
    args: &[
        NAME,
        STATE,
        UPDATE,
        ArgSpec::new("upgrade", Kind::Bool, "Upgrade all packages").default("false"),
        ArgSpec::new("available", Kind::Bool, "With `upgrade`: take back what no repository has").default("false"),
        ArgSpec::new("no_cache", Kind::Bool, "Keep no package lists").default("false"),
        ArgSpec::new("repository", Kind::List, "Repositories instead of the configured ones"),
        ArgSpec::new("world", Kind::Str, "The file of packages asked for; accepted, without effect")
            .default("/etc/apk/world"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        super::kit::exclusive(&args, "name", "upgrade")?;
        let mut packages = Packages::of(&args, setting, "apk")?;
        if args.flag("no_cache")? {
            packages.globals.push("--no-cache".to_owned());
        }
        let repositories = args.list("repository")?;
        if !repositories.is_empty() {
            packages.globals.push("--repositories-file=/dev/null".to_owned());
        }
        for repository in repositories {
            packages.globals.push(format!("--repository={repository}"));
        }
        if args.flag("upgrade")? {
            let available = args.flag("available")?.then(|| "--available".to_owned());
            packages.all = Some(["upgrade".to_owned()].into_iter().chain(available).collect());
        }
        Ok(packages.boxed())
    },
};
