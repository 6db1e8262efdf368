//! `pacman`: packages of Arch Linux.

use super::common::packages::{NAME, Packages, STATE, State};
use super::{ArgSpec, Conduct, Kind, ResourceType};

pub static TYPE: ResourceType = ResourceType {
    name: "pacman",
    qualified: &["community.general.pacman"],
    doc: include_str!("doc/pacman.md"),
    args: &[
        NAME,
        STATE,
        ArgSpec::new("update_cache", Kind::Bool, "Read the package lists anew first"),
        ArgSpec::new("upgrade", Kind::Bool, "Upgrade all packages").default("false"),
        ArgSpec::new("force", Kind::Bool, "Remove without looking at dependencies; read lists though they are new")
            .default("false"),
        ArgSpec::new("remove_nosave", Kind::Bool, "Remove configuration files too").default("false"),
        ArgSpec::new("reason", Kind::Str, "Mark packages as wanted for themselves or for others")
            .choices(&["dependency", "explicit"]),
        ArgSpec::new("reason_for", Kind::Str, "Whether all packages named are marked, or new ones")
            .default("new")
            .choices(&["all", "new"]),
        ArgSpec::new("executable", Kind::Str, "A program with pacman's options (`yay`)").default("pacman"),
        ArgSpec::new("extra_args", Kind::Str, "Further options for installing and removing").default(""),
        ArgSpec::new("update_cache_extra_args", Kind::Str, "Further options for reading the lists").default(""),
        ArgSpec::new("upgrade_extra_args", Kind::Str, "Further options for upgrading").default(""),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        super::kit::exclusive(&args, "name", "upgrade")?;
        let words = |name: &str| -> Result<Vec<String>, crate::problem::Problem> {
            Ok(args.str(name)?.unwrap_or_default().split_whitespace().map(str::to_owned).collect())
        };
        let mut packages = Packages::of(&args, setting, "pacman")?;
        packages.program = args.str("executable")?.filter(|e| e != "pacman");
        packages.options = words("extra_args")?;
        packages.remove_options = words("extra_args")?;
        packages.update_options = words("update_cache_extra_args")?;
        if args.flag("force")? {
            packages.remove_options.push("--nodeps".to_owned());
            packages.remove_options.push("--nodeps".to_owned());
            packages.update_options.push("--refresh".to_owned());
        }
        if args.flag("remove_nosave")? {
            packages.remove_options.push("--nosave".to_owned());
        }
        if let Some(reason) = args.str("reason")? {
            packages.options.push(if reason == "explicit" { "--asexplicit" } else { "--asdeps" }.to_owned());
            if args.need("reason_for")? == "all" && packages.state != State::Absent {
                packages.mark = Some(reason == "explicit");
            }
        }
        if args.flag("upgrade")? {
            packages.all = Some(["-Su".to_owned()].into_iter().chain(words("upgrade_extra_args")?).collect());
        }
        Ok(packages.boxed())
    },
};
