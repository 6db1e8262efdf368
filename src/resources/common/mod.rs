//! What the file-handling resources share: attributes, symbolic modes, paths, diffs, and putting content in place.
//!
//! Pure like the resources themselves: everything here takes a [`crate::world::View`] and returns actions and effects.

pub mod archive;
pub mod attributes;
pub mod diff;
pub mod edit;
pub mod edits;
pub mod feed;
pub mod kit;
pub mod kubectl;
pub mod labels;
pub mod mode;
pub mod packages;
pub mod paths;
pub mod pgp;
pub mod place;
pub mod text;
pub mod tools;
pub mod units;

use crate::problem::Problem;
use crate::resources::ArgSpec;
use crate::world::Stop;

/// Joins two argument lists at compile time: `static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);`
pub const fn concat<const N: usize>(a: &[ArgSpec], b: &[ArgSpec]) -> [ArgSpec; N] {
    let mut out = [a[0]; N];
    let mut i = 0;
    while i < a.len() {
        out[i] = a[i];
        i += 1;
    }
    let mut j = 0;
    while j < b.len() {
        out[a.len() + j] = b[j];
        j += 1;
    }
    out
}

/// A task failure as a [`Stop`].
pub fn fail<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(message.into()))
}

/// The error for arguments that do not go together.
pub fn invalid(message: impl Into<String>) -> Problem {
    Problem::new("invalid-argument", message)
}
