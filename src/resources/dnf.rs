//! `dnf`, also as `yum`: packages of Fedora and Enterprise Linux.

use super::common::packages::*;
use super::{ArgSpec, Kind, ResourceType};
use crate::problem::Problem;

/// `dnf` and `yum`.
pub static TYPE: ResourceType = ResourceType {
    name: "dnf",
    qualified: &["ansible.builtin.dnf", "ansible.builtin.yum", "ansible.builtin.dnf5"],
    doc: include_str!("doc/dnf.md"),
    args: &[
        NAME,
        STATE,
        ArgSpec::new("update_cache", Kind::Bool, "Read the metadata anew first")
            .aliases(&["expire-cache"])
            .default("false"),
        ArgSpec::new("enablerepo", Kind::List, "Repositories to enable for this run"),
        ArgSpec::new("disablerepo", Kind::List, "Repositories to disable for this run"),
        ArgSpec::new("exclude", Kind::List, "Packages to leave out"),
        ArgSpec::new("disable_gpg_check", Kind::Bool, "Allow unsigned packages").default("false"),
        ArgSpec::new("install_weak_deps", Kind::Bool, "Install weak dependencies too").default("true"),
        ArgSpec::new("allow_downgrade", Kind::Bool, "Allow an older version").default("false"),
        ArgSpec::new("nobest", Kind::Bool, "Take another version if the newest cannot be had").default("false"),
        ArgSpec::new("skip_broken", Kind::Bool, "Leave out what has broken dependencies").default("false"),
        ArgSpec::new("autoremove", Kind::Bool, "Remove what is no longer needed").default("false"),
        ArgSpec::new("lock_timeout", Kind::Int, "Accepted, without effect").default("30"),
        ArgSpec::new("validate_certs", Kind::Bool, "Accepted, without effect").default("true"),
        ArgSpec::new("update_only", Kind::Bool, "Leave what is not installed").default("false"),
    ],
    free_form: None,
    build: |args, setting| {
        let mut options = vec![];
        for (name, option) in
            [("enablerepo", "--enablerepo"), ("disablerepo", "--disablerepo"), ("exclude", "--exclude")]
        {
            options.extend(args.list(name)?.iter().map(|value| format!("{option}={value}")));
        }
        for (name, option) in [
            ("disable_gpg_check", "--nogpgcheck"),
            ("allow_downgrade", "--allowerasing"),
            ("nobest", "--nobest"),
            ("skip_broken", "--skip-broken"),
        ] {
            if args.flag(name)? {
                options.push(option.to_owned());
            }
        }
        if !args.flag("install_weak_deps")? {
            options.push("--setopt=install_weak_deps=False".to_owned());
        }
        if args.flag("autoremove")? || args.flag("update_only")? {
            return Err(Problem::unsupported("`autoremove` and `update_only` of `dnf`").at(args.task_span()).into());
        }
        packages(&args, setting, "dnf".to_owned(), options)
    },
};
