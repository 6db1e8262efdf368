//! Errors as Ansible's programs show them, with their exit codes.

use crate::problem::{Problem, Problems};
use crate::report::ansible::place_text;

/// Ansible's exit codes.
pub mod code {
    pub const ERROR: u8 = 1;
    /// A host failed, or the command line is wrong.
    pub const HOST_FAILED: u8 = 2;
    pub const USAGE: u8 = 2;
    pub const UNREACHABLE: u8 = 4;
    /// A file cannot be parsed, or means nothing.
    pub const PARSER: u8 = 4;
    /// Options that contradict each other or lack something.
    pub const OPTIONS: u8 = 5;
    pub const INTERRUPTED: u8 = 99;
}

/// Why the program ends.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub problems: Problems,
}

impl Failure {
    /// Options that do not fit.
    pub fn options(message: impl Into<String>) -> Self {
        Self { code: code::OPTIONS, problems: Problem::new("usage", message).into() }
    }

    pub fn error(message: impl Into<String>) -> Self {
        Self { code: code::ERROR, problems: Problem::new("error", message).into() }
    }

    /// `[ERROR]: …` on standard error, each with its place.
    pub fn show(&self) {
        for problem in &self.problems.0 {
            let mut text = format!("[ERROR]: {}\n", problem.message);
            if let Some(span) = &problem.span {
                text.push_str(&place_text(span));
            }
            for note in &problem.notes {
                text.push_str(&format!("{note}\n"));
            }
            for help in &problem.help {
                text.push_str(&format!("help: {help}\n"));
            }
            super::super::terminal::say(text.trim_end_matches('\n'));
        }
    }
}

impl From<Problems> for Failure {
    /// What stands in a file is the parser's, the rest an error.
    fn from(problems: Problems) -> Self {
        let in_file = problems.0.iter().any(|p| p.span.is_some());
        Self { code: if in_file { code::PARSER } else { code::ERROR }, problems }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Problems::from(problem).into()
    }
}
