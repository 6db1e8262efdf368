//! Typed plays, blocks, tasks, roles and handlers, with the place each came from.
//!
//! Stands in *load*: reads playbook and role files into this model, checks every keyword, module and argument name,
//! and expands static imports. Values stay templates ([`crate::yaml::Node`]) until plan/ evaluates them.
//!
//! `loader` is the way in; `plays`, `roles`, `items` and `task` lower files into `model`, with `keywords`, `freeform`,
//! `arguments` and `modules` as their tables.

mod arguments;
pub mod check;
mod check_control;
mod check_files;
mod check_names;
mod check_selection;
mod check_template;
#[cfg(test)]
mod check_tests;
mod check_unreached;
mod check_walk;
pub mod freeform;
mod items;
mod keywords;
mod list;
mod loader;
mod model;
mod modules;
mod plays;
pub mod plugins;
mod role_files;
mod roles;
mod routing;
mod statement;
mod tags;
mod task;
#[cfg(test)]
mod tests;

pub use items::{candidates, find_included};
pub use keywords::{Shape, keyword_shapes};
pub use list::{HandlerEntry, Lists, PlayListing, TaskListing, flat_handlers, listing, listing_text};
pub use loader::{FileCall, Loaded, Loader, LoaderSettings, Read, Resolve, RoleCall, StaticVars};
pub use model::*;
pub use modules::group_has;
pub use plays::collections_of;
pub use tags::{TagSelection, effective_tags, is_special_tag, number_tag, selected, tag_text, tag_texts, unknown_tag};
