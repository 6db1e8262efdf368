//! `synchronize`: a folder of the control machine and one of a node are made alike. The manual is doc/synchronize.md.
//!
//! rsync's rules, without rsync: what differs is told by the world's tree of the node, and only that travels.

mod delegated;
mod filter;
mod pull;
mod push;

use std::path::PathBuf;
use std::sync::Arc;

use super::common::{invalid, paths};
use super::kit;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting};
use crate::problem::Problem;
use crate::world::Stop;

use filter::Filter;

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "what is sent; with a final `/` what is in it").required(),
    ArgSpec::new("dest", Kind::Path, "where it goes").required(),
    ArgSpec::new("mode", Kind::Str, "`push` sends to the node, `pull` takes from it")
        .default("push")
        .choices(&["pull", "push"]),
    ArgSpec::new("archive", Kind::Bool, "all of `recursive`, `links`, `perms`, `times`, `group`, `owner`")
        .default("yes"),
    ArgSpec::new("recursive", Kind::Bool, "folders with what is in them; as `archive` if not given"),
    ArgSpec::new("links", Kind::Bool, "links as links; as `archive` if not given"),
    ArgSpec::new("perms", Kind::Bool, "modes too; as `archive` if not given"),
    ArgSpec::new("times", Kind::Bool, "times of change too; as `archive` if not given"),
    ArgSpec::new("owner", Kind::Bool, "owners too, where the task runs as root; as `archive` if not given"),
    ArgSpec::new("group", Kind::Bool, "groups too; as `archive` if not given"),
    ArgSpec::new("dirs", Kind::Bool, "folders without what is in them").default("no"),
    ArgSpec::new("delete", Kind::Bool, "remove what `src` does not have").default("no"),
    ArgSpec::new("checksum", Kind::Bool, "compare contents, not sizes and times").default("no"),
    ArgSpec::new("existing_only", Kind::Bool, "make nothing that is not there").default("no"),
    ArgSpec::new("copy_links", Kind::Bool, "what links point at, in place of links").default("no"),
    ArgSpec::new(
        "rsync_opts",
        Kind::List,
        "`--exclude=…`, `--include=…`, `--chown=…` and what says no more than the arguments",
    )
    .default(""),
    ArgSpec::new("link_dest", Kind::List, "folders of the node: a file that is the same there is linked, not sent"),
    ArgSpec::new("compress", Kind::Bool, "accepted, without effect").default("yes"),
    ArgSpec::new("delay_updates", Kind::Bool, "accepted; each file is put in place atomically").default("yes"),
    ArgSpec::new("partial", Kind::Bool, "accepted, without effect").default("no"),
    ArgSpec::new("dest_port", Kind::Int, "accepted; the run's own connection is used"),
    ArgSpec::new("private_key", Kind::Path, "accepted; the run's own connection is used"),
    ArgSpec::new("rsync_path", Kind::Str, "with `delegate_to`; else accepted, the node needs no rsync"),
    ArgSpec::new("rsync_timeout", Kind::Int, "accepted, without effect").default("0"),
    ArgSpec::new("set_remote_user", Kind::Bool, "accepted; the run's own connection is used").default("yes"),
    ArgSpec::new("ssh_connection_multiplexing", Kind::Bool, "accepted; the run's own connection is used").default("no"),
    ArgSpec::new("use_ssh_args", Kind::Bool, "accepted; the run's own connection is used").default("no"),
    ArgSpec::new("verify_host", Kind::Bool, "accepted; the node's key is always checked").default("no"),
];

pub static TYPE: ResourceType = ResourceType {
    name: "synchronize",
    qualified: &["ansible.posix.synchronize"],
    doc: include_str!("doc/synchronize.md"),
    args: ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

/// What of a file counts.
#[derive(Debug, Clone)]
struct Manner {
    recursive: bool,
    dirs: bool,
    links: bool,
    copy_links: bool,
    perms: bool,
    times: bool,
    owner: bool,
    group: bool,
    delete: bool,
    checksum: bool,
    existing_only: bool,
    /// `--chown=USER:GROUP`.
    chown: (Option<String>, Option<String>),
    /// Folders of the node whose files are linked to.
    link_dest: Vec<String>,
    filter: Filter,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let archive = args.bool("archive")?.unwrap_or(true);
    let part = |name: &str| -> Result<bool, Stop> { Ok(args.bool(name)?.unwrap_or(archive)) };
    let mut manner = Manner {
        recursive: part("recursive")?,
        dirs: args.flag("dirs")?,
        links: part("links")?,
        copy_links: args.flag("copy_links")?,
        perms: part("perms")?,
        times: part("times")?,
        owner: part("owner")?,
        group: part("group")?,
        delete: args.flag("delete")?,
        checksum: args.flag("checksum")?,
        existing_only: args.flag("existing_only")?,
        chown: (None, None),
        link_dest: args.list("link_dest")?,
        filter: Filter::default(),
    };
    if setting.delegated {
        return delegated::build(&args, &manner, setting);
    }
    options(&args, &mut manner)?;
    if manner.delete && !manner.recursive && !manner.dirs {
        return Err(invalid("`delete` needs `recursive` or `dirs`").at(args.span("delete")).into());
    }
    let (src, dest) = (args.need("src")?, args.need("dest")?);
    if args.need("mode")? == "pull" {
        let local = here(&dest, setting);
        return Ok(pull::build(
            paths::need(&args, "src", setting)?,
            src.ends_with('/'),
            local,
            dest.ends_with('/'),
            manner,
        ));
    }
    let name = src.trim_end_matches('/');
    let found = (setting.find_file)("files", if name.is_empty() { "/" } else { name })?;
    push::build(found, src, paths::need(&args, "dest", setting)?, manner, setting)
}

/// A path of the control machine.
fn here(text: &str, setting: &Setting) -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let dir = (setting.evaluate)("playbook_dir").map(|v| super::text_of(&v)).unwrap_or_default();
    PathBuf::from(dir).join(kit::expand_home(text, &home))
}

/// Options of rsync that are understood; the rest is refused, since leaving one out would do something else.
fn options(args: &Args, manner: &mut Manner) -> Result<(), Stop> {
    let mut words = vec![];
    for item in args.list("rsync_opts")? {
        words.extend(kit::split_words(&item).map_err(|why| invalid(why).at(args.span("rsync_opts")))?);
    }
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        let mut value = || value.take().or_else(|| words.next()).unwrap_or_default();
        match name.as_str() {
            "--exclude" => manner.filter.add(false, &value()),
            "--include" => manner.filter.add(true, &value()),
            "--chown" => {
                let value = value();
                let (user, group) = value.split_once(':').map_or((value.as_str(), ""), |(u, g)| (u, g));
                let some = |t: &str| (!t.is_empty()).then(|| t.to_owned());
                manner.chown = (some(user), some(group));
            }
            "--no-owner" | "--no-o" => manner.owner = false,
            "--no-group" | "--no-g" => manner.group = false,
            "--no-perms" | "--no-p" => manner.perms = false,
            "--no-times" | "--no-t" => manner.times = false,
            "--no-links" | "--no-l" => manner.links = false,
            "--owner" | "-o" => manner.owner = true,
            "--group" | "-g" => manner.group = true,
            "--perms" | "-p" => manner.perms = true,
            "--times" | "-t" => manner.times = true,
            "--links" | "-l" => manner.links = true,
            "--copy-links" | "-L" => manner.copy_links = true,
            "--checksum" | "-c" => manner.checksum = true,
            "--delete" | "--delete-after" | "--delete-before" | "--delete-during" | "--del" => manner.delete = true,
            "--existing" => manner.existing_only = true,
            "--recursive" | "-r" => manner.recursive = true,
            // How it travels is kdeploy's own.
            "--compress" | "-z" | "--partial" | "--delay-updates" | "--verbose" | "-v" | "--quiet" | "-q"
            | "--stats" | "--progress" | "--human-readable" | "-h" | "--whole-file" | "-W" | "--inplace" => {}
            _ => {
                return Err(Problem::unsupported(format!("the option `{word}` in `rsync_opts`"))
                    .at(args.span("rsync_opts"))
                    .into());
            }
        }
    }
    Ok(())
}
