//! Exit codes.

use std::process::{ExitCode, Termination};

use crate::plan::Outcome;

/// How the program ends, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// Wrong use, invalid files, or an empty selection.
    Usage = 1,
    /// A host failed.
    HostFailed = 2,
    /// A host was unreachable.
    Unreachable = 4,
    Interrupted = 130,
}

impl Exit {
    /// By what became of the hosts.
    pub fn of(outcome: &Outcome) -> Self {
        if outcome.aborted {
            Self::Usage
        } else if outcome.hosts.values().any(|h| h.failed > h.forgiven) {
            Self::HostFailed
        } else if outcome.hosts.values().any(|h| h.unreachable > h.forgiven) {
            Self::Unreachable
        } else {
            Self::Done
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
