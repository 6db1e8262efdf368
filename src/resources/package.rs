//! `package`: packages by the node's own manager.

use super::common::packages::{NAME, Packages, UPDATE};
use super::{ANY, ArgSpec, Conduct, Kind, ResourceType};
use crate::problem::Problem;

pub static TYPE: ResourceType = ResourceType {
    name: "package",
    qualified: &["ansible.builtin.package"],
    doc: include_str!("doc/package.md"),
    args: &[
        NAME.required(),
        ArgSpec::new("state", Kind::Str, "What to make of them").required(),
        ArgSpec::new("use", Kind::Str, "Which package manager").default("auto"),
        UPDATE,
        ArgSpec::new(ANY, Kind::Raw, "Arguments of the package manager's own module"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build: |args, setting| {
        let manager = args.need("use")?.rsplit('.').next().unwrap_or("auto").to_owned();
        if let Some((name, _, span)) = args.extra().next() {
            return Err(Problem::unsupported(format!("`{name}` of `package`"))
                .at(span)
                .help("use the package manager's own module")
                .into());
        }
        Ok(Packages::of(&args, setting, &manager)?.boxed())
    },
};
