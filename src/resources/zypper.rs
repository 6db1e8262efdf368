//! `zypper`: packages of openSUSE and SLE.

use super::common::packages::Packages;
use super::kit;
use super::{ArgSpec, Conduct, Kind, ResourceType};

pub static TYPE: ResourceType = ResourceType {
    name: "zypper",
    qualified: &["community.general.zypper"],
    doc: include_str!("doc/zypper.md"),
    args: &[
        ArgSpec::new("name", Kind::List, "Packages, files, URLs; `*` with `latest` or `dist-upgrade`: everything")
            .required()
            .aliases(&["pkg"]),
        ArgSpec::new("state", Kind::Str, "What to make of them").default("present").choices(&[
            "absent",
            "dist-upgrade",
            "installed",
            "latest",
            "present",
            "removed",
        ]),
        ArgSpec::new("type", Kind::Str, "What the names are of").default("package").choices(&[
            "application",
            "package",
            "patch",
            "pattern",
            "product",
            "srcpackage",
        ]),
        ArgSpec::new("update_cache", Kind::Bool, "Read the metadata anew first").aliases(&["refresh"]).default("false"),
        ArgSpec::new("disable_gpg_check", Kind::Bool, "Allow unsigned packages").default("false"),
        ArgSpec::new("disable_recommends", Kind::Bool, "Leave recommended packages out").default("true"),
        ArgSpec::new("force", Kind::Bool, "Install though it is installed, or older").default("false"),
        ArgSpec::new("force_resolution", Kind::Bool, "Let the solver decide").default("false"),
        ArgSpec::new("oldpackage", Kind::Bool, "Allow an older version").default("false"),
        ArgSpec::new("allow_vendor_change", Kind::Bool, "Allow packages of another vendor").default("false"),
        ArgSpec::new("replacefiles", Kind::Bool, "Allow files of other packages to be replaced").default("false"),
        ArgSpec::new("clean_deps", Kind::Bool, "Remove what was needed only by it, too").default("false"),
        ArgSpec::new("auto_import_keys", Kind::Bool, "Trust new keys of repositories").default("false"),
        ArgSpec::new("extra_args", Kind::Str, "Further options behind the command"),
        ArgSpec::new("extra_args_precommand", Kind::Str, "Further options before the command"),
        ArgSpec::new("quiet", Kind::Bool, "Accepted, without effect").default("true"),
        ArgSpec::new("simple_errors", Kind::Bool, "Accepted, without effect").default("false"),
        ArgSpec::new("skip_post_errors", Kind::Bool, "A failed script of a package is no failure").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        let words = |name: &str| -> Result<Vec<String>, crate::problem::Problem> {
            kit::split_words(&args.str(name)?.unwrap_or_default())
                .map_err(|why| super::common::invalid(why).at(args.span(name)))
        };
        let mut packages = Packages::of(&args, setting, "zypper")?;
        packages.globals = words("extra_args_precommand")?;
        for (name, option) in [("disable_gpg_check", "--no-gpg-checks"), ("auto_import_keys", "--gpg-auto-import-keys")]
        {
            packages.globals.extend(args.flag(name)?.then(|| option.to_owned()));
        }
        for (name, option) in [
            ("disable_recommends", "--no-recommends"),
            ("force", "--force"),
            ("force_resolution", "--force-resolution"),
            ("oldpackage", "--oldpackage"),
            ("allow_vendor_change", "--allow-vendor-change"),
            ("replacefiles", "--replacefiles"),
        ] {
            packages.options.extend(args.flag(name)?.then(|| option.to_owned()));
        }
        packages.remove_options.extend(args.flag("clean_deps")?.then(|| "--clean-deps".to_owned()));
        let kind = args.need("type")?;
        if kind != "package" {
            packages.options.insert(0, format!("--type={kind}"));
            packages.remove_options.insert(0, format!("--type={kind}"));
            // The package database knows packages only: the dry run tells.
            packages.orders_by_dry_run();
        }
        packages.options.extend(words("extra_args")?);
        packages.remove_options.extend(words("extra_args")?);
        if packages.names.iter().any(|n| n == "*") && packages.state == super::common::packages::State::Latest {
            packages.names.clear();
            let verb = if packages.written_state == "dist-upgrade" { "dist-upgrade" } else { "update" };
            packages.all = Some(vec![verb.to_owned()]);
        }
        packages.skip_post_errors = args.flag("skip_post_errors")?;
        Ok(packages.boxed())
    },
};
