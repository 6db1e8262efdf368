//! An interrupted run waits for no template that has no end: some seconds after the word, evaluations still going on fail.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::EvalError;
use crate::problem::Problem;

/// What a running step may still need for its conclusions.
const GRACE: Duration = Duration::from_secs(2);

/// Milliseconds since [`start`] at which evaluations end; 0: they do not.
static END: AtomicU64 = AtomicU64::new(0);

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn since_start() -> u64 {
    u64::try_from(start().elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The run is interrupted: evaluations that are not over soon fail.
pub fn soon() {
    let grace = u64::try_from(GRACE.as_millis()).unwrap_or(0);
    END.store(since_start() + grace.max(1), Ordering::Relaxed);
}

/// To be asked now and then.
pub(super) fn check() -> Result<(), EvalError> {
    match END.load(Ordering::Relaxed) {
        0 => Ok(()),
        end if since_start() < end => Ok(()),
        _ => Err(EvalError::Failed(Problem::new(
            "interrupted",
            "the template was not over when the run was interrupted",
        ))),
    }
}
