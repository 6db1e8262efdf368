//! `synchronize`: rsync between control machine and node; not supported yet, but known by name and arguments.

use std::sync::Arc;

use super::{ArgSpec, Args, Kind, Resource, ResourceType, Setting};
use crate::problem::Problem;
use crate::world::Stop;

static ARGS: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "the source").required(),
    ArgSpec::new("dest", Kind::Path, "the destination").required(),
    ArgSpec::new(super::ANY, Kind::Raw, "rsync's settings"),
];

const DOC: &str = "\
# synchronize

Not supported yet: it runs rsync on the control machine. `copy` of a folder sends what differs.

## Examples

    - copy:
        src: site/
        dest: /srv/www/

    - unarchive:
        src: site.tgz
        dest: /srv/www

## Differences from Ansible

Every use of it is an error.
";

pub static TYPE: ResourceType = ResourceType {
    name: "synchronize",
    qualified: &["ansible.posix.synchronize"],
    doc: DOC,
    args: ARGS,
    free_form: None,
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Err(Problem::unsupported("`synchronize`").at(args.task_span()).help("`copy` of a folder sends what differs").into())
}
