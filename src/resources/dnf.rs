//! `dnf`, also as `yum` and `dnf5`: packages of Fedora and Enterprise Linux.

use std::sync::Arc;

use minijinja::Value;

use super::common::packages::{Packages, STATE, State};
use super::kit;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::problem::Problem;
use crate::world::{Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "dnf",
    qualified: &["ansible.builtin.dnf", "ansible.builtin.yum", "ansible.builtin.dnf5"],
    doc: include_str!("doc/dnf.md"),
    args: &[
        ArgSpec::new("name", Kind::List, "Packages, `@groups`, files, URLs, patterns; `*` with `latest`: everything")
            .aliases(&["pkg"]),
        ArgSpec { default: "", ..STATE },
        ArgSpec::new("list", Kind::Str, "Only list: `installed`, `updates`, `available`, `repos`, or a pattern"),
        ArgSpec::new("update_cache", Kind::Bool, "Read the metadata anew first")
            .aliases(&["expire-cache"])
            .default("false"),
        ArgSpec::new("update_only", Kind::Bool, "With `latest`: leave what is not installed").default("false"),
        ArgSpec::new("autoremove", Kind::Bool, "Remove what is no longer needed").default("false"),
        ArgSpec::new("allow_downgrade", Kind::Bool, "Allow an older version").default("false"),
        ArgSpec::new("allowerasing", Kind::Bool, "Allow removing packages that are in the way").default("false"),
        ArgSpec::new("best", Kind::Bool, "Fail if the newest cannot be had (true), or take another (false)"),
        ArgSpec::new("nobest", Kind::Bool, "The opposite of `best`"),
        ArgSpec::new("skip_broken", Kind::Bool, "Leave out what has broken dependencies").default("false"),
        ArgSpec::new("security", Kind::Bool, "With `latest`: only security updates").default("false"),
        ArgSpec::new("bugfix", Kind::Bool, "With `latest`: only bug fixes").default("false"),
        ArgSpec::new("enablerepo", Kind::List, "Repositories to enable for this run"),
        ArgSpec::new("disablerepo", Kind::List, "Repositories to disable for this run"),
        ArgSpec::new("exclude", Kind::List, "Packages to leave out"),
        ArgSpec::new("disable_excludes", Kind::Str, "Forget exclusions of the settings: `all`, `main` or a repository"),
        ArgSpec::new("enable_plugin", Kind::List, "Plugins to enable for this run"),
        ArgSpec::new("disable_plugin", Kind::List, "Plugins to disable for this run"),
        ArgSpec::new("disable_gpg_check", Kind::Bool, "Allow unsigned packages").default("false"),
        ArgSpec::new("install_weak_deps", Kind::Bool, "Install weak dependencies too").default("true"),
        ArgSpec::new("cacheonly", Kind::Bool, "Fetch nothing").default("false"),
        ArgSpec::new("download_only", Kind::Bool, "Fetch packages, install none").default("false"),
        ArgSpec::new("download_dir", Kind::Str, "Where fetched packages go"),
        ArgSpec::new("conf_file", Kind::Str, "Another configuration file"),
        ArgSpec::new("installroot", Kind::Str, "Another root").default("/"),
        ArgSpec::new("releasever", Kind::Str, "Another release"),
        ArgSpec::new("sslverify", Kind::Bool, "Check certificates of repositories").default("true"),
        ArgSpec::new("validate_certs", Kind::Bool, "Check certificates of URLs").default("true"),
        ArgSpec::new("use_backend", Kind::Str, "Which program")
            .default("auto")
            .choices(&["auto", "dnf", "dnf4", "dnf5", "yum", "yum4"]),
        ArgSpec::new("lock_timeout", Kind::Int, "Accepted, without effect").default("30"),
        ArgSpec::new("install_repoquery", Kind::Bool, "Accepted, without effect").default("true"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let mut globals = vec![];
    for (name, option) in [
        ("enablerepo", "--enablerepo"),
        ("disablerepo", "--disablerepo"),
        ("exclude", "--exclude"),
        ("enable_plugin", "--enableplugin"),
        ("disable_plugin", "--disableplugin"),
    ] {
        globals.extend(args.list(name)?.iter().map(|value| format!("{option}={value}")));
    }
    for (name, option) in [
        ("disable_excludes", "--disableexcludes"),
        ("conf_file", "--config"),
        ("releasever", "--releasever"),
        ("installroot", "--installroot"),
    ] {
        globals.extend(args.str(name)?.filter(|v| v != "/").map(|value| format!("{option}={value}")));
    }
    for (name, option) in [("disable_gpg_check", "--nogpgcheck"), ("cacheonly", "--cacheonly")] {
        globals.extend(args.flag(name)?.then(|| option.to_owned()));
    }
    if args.bool("sslverify")? == Some(false) || args.bool("validate_certs")? == Some(false) {
        globals.push("--setopt=sslverify=False".to_owned());
    }
    let mut options = vec![];
    for (name, option) in [
        ("allowerasing", "--allowerasing"),
        ("skip_broken", "--skip-broken"),
        ("security", "--security"),
        ("bugfix", "--bugfix"),
        ("download_only", "--downloadonly"),
    ] {
        options.extend(args.flag(name)?.then(|| option.to_owned()));
    }
    if args.given("best") && args.given("nobest") {
        return Err(super::common::invalid("`best` and `nobest` exclude each other").at(args.span("nobest")).into());
    }
    match (args.bool("best")?, args.bool("nobest")?) {
        (Some(true), _) | (None, Some(false)) if args.given("best") || args.given("nobest") => {
            options.push("--best".to_owned());
        }
        (Some(false), _) | (None, Some(true)) => options.push("--nobest".to_owned()),
        _ => {}
    }
    if let Some(dir) = args.str("download_dir")? {
        options.push(format!("--downloaddir={dir}"));
    }
    if !args.bool("install_weak_deps")?.unwrap_or(true) {
        options.push("--setopt=install_weak_deps=False".to_owned());
    }
    let backend = args.need("use_backend")?;
    let manager = if backend == "auto" { "dnf".to_owned() } else { backend };
    if let Some(what) = args.str("list")? {
        return Ok(Arc::new(List { what, globals }));
    }
    let autoremove = args.flag("autoremove")?;
    let mut packages = Packages::of(&args, setting, &manager)?;
    if autoremove && packages.state != State::Absent && args.given("state") {
        return Err(Problem::new("invalid-argument", "`autoremove` goes with `state: absent`, or with no state")
            .at(args.span("autoremove"))
            .into());
    }
    if autoremove && packages.names.is_empty() {
        packages.orders.push(vec!["autoremove".to_owned()]);
    } else if autoremove {
        packages.state = State::Absent;
    } else {
        // What a package needed stays, as in Ansible.
        packages.remove_options.push("--setopt=clean_requirements_on_remove=False".to_owned());
    }
    if packages.names.iter().any(|n| n == "*") && packages.state == State::Latest {
        packages.names.clear();
        packages.all = Some(vec!["upgrade".to_owned()]);
    }
    packages.globals = globals;
    packages.options = options;
    packages.update_only = args.flag("update_only")?;
    packages.allow_downgrade = args.flag("allow_downgrade")?;
    Ok(packages.boxed())
}

/// `list`.
struct List {
    what: String,
    globals: Vec<String>,
}

impl Resource for List {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let mut argv = vec!["dnf".to_owned(), "-q".to_owned()];
        argv.extend(self.globals.iter().cloned());
        if self.what == "repos" {
            argv.push("repolist".to_owned());
            let text = world.read(argv)?.text();
            let repos: Vec<Value> = text
                .lines()
                .skip(1)
                .filter_map(|l| l.split_whitespace().next())
                .map(|id| {
                    kit::map([("repoid".to_owned(), Value::from(id)), ("state".to_owned(), Value::from("enabled"))])
                })
                .collect();
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("results", Value::from(repos)).with("msg", "")));
        }
        argv.extend(
            ["repoquery", "--qf", "%{name}|%{epoch}|%{version}|%{release}|%{arch}|%{repoid}\n"].map(str::to_owned),
        );
        argv.push(match self.what.as_str() {
            "installed" => "--installed".to_owned(),
            "updates" | "upgrades" | "latest" => "--upgrades".to_owned(),
            "available" => "--available".to_owned(),
            pattern => pattern.to_owned(),
        });
        let output = world.read(argv)?;
        if output.rc != 0 {
            return Ok(kit::failed(output.error_text().trim().to_owned()));
        }
        let mut results = vec![];
        for line in output.text().lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let [name, epoch, version, release, arch, repo] = fields[..] else { continue };
            let state = if repo == "@System" || self.what == "installed" { "installed" } else { "available" };
            let nevra = format!("{name}-{epoch}:{version}-{release}.{arch}");
            results.push(kit::map(
                [
                    ("name", name),
                    ("epoch", epoch),
                    ("version", version),
                    ("release", release),
                    ("arch", arch),
                    ("repo", repo),
                    ("nevra", &nevra),
                    ("envra", &format!("{epoch}:{name}-{version}-{release}.{arch}")),
                    ("yumstate", state),
                ]
                .map(|(k, v)| (k.to_owned(), Value::from(v))),
            ));
        }
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("results", Value::from(results)).with("msg", "")))
    }
}
