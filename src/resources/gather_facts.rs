//! `gather_facts`: the node's facts, as a play gathers them.

use super::setup::{ARGS, DOC, build};
use super::{ArgSpec, Conduct, Kind, ResourceType};

/// `gather_facts`.
pub static TYPE: ResourceType = ResourceType {
    name: "gather_facts",
    qualified: &["ansible.builtin.gather_facts"],
    doc: DOC,
    args: &[ARGS[0], ARGS[1], ARGS[2], ARGS[3], ArgSpec::new("parallel", Kind::Bool, "Accepted, without effect")],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};
