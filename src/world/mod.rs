//! What is known about one node: queries, their answers, and the predicted overlay.
//!
//! Stands between *observe* and *plan*: resources ask a [`View`], never a node. What the view cannot answer
//! becomes a missing [`Query`]; node/ answers those in one batch.

mod answer;
mod fetched;
mod query;
pub mod saved;
mod view;

pub use crate::blob::Algorithm;
pub use answer::{Account, Answer, FileKind, GroupEntry, Output, PackageState, Stat, TreeEntry, UnitState};
pub use query::Query;
pub use view::{Effect, Stop, UNIT_FOLDERS, View, World};
