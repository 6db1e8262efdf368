//! `archive`: packing files of a node; not supported yet, but known by name and arguments.

use std::sync::Arc;

use super::{ArgSpec, Args, Kind, Resource, ResourceType, Setting};
use crate::problem::Problem;
use crate::world::Stop;

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("path", Kind::List, "what is packed").required(),
    ArgSpec::new("dest", Kind::Path, "the archive"),
    ArgSpec::new("format", Kind::Str, "its format").default("gz").choices(&["bz2", "gz", "tar", "xz", "zip"]),
    ArgSpec::new("exclude_path", Kind::List, "what is left out"),
    ArgSpec::new("exclusion_patterns", Kind::List, "names that are left out"),
    ArgSpec::new("force_archive", Kind::Bool, "make an archive of a single file too").default("no"),
    ArgSpec::new("remove", Kind::Bool, "remove what was packed").default("no"),
    ArgSpec::new(super::ANY, Kind::Raw, "attributes of the archive"),
];

const DOC: &str = "\
# archive

Not supported yet. A `command` with `creates` packs files meanwhile.

## Examples

    - command:
        cmd: tar -czf /var/backups/etc.tgz -C / etc
        creates: /var/backups/etc.tgz

    - command:
        cmd: tar -cJf /var/backups/pki.txz -C /etc/kubernetes pki
        creates: /var/backups/pki.txz

## Differences from Ansible

Every use of it is an error.
";

pub static TYPE: ResourceType = ResourceType {
    name: "archive",
    qualified: &["community.general.archive"],
    doc: DOC,
    args: ARGS,
    free_form: None,
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Err(Problem::unsupported("`archive`")
        .at(args.task_span())
        .help("a `command` that runs tar, with `creates`, does it meanwhile")
        .into())
}
