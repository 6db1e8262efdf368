//! Results that hosts of a batch share: `run_once`.

use minijinja::Value;

/// What the first host found, for the others.
#[derive(Debug, Clone)]
pub struct Shared {
    pub result: Value,
    pub register: Option<String>,
    pub facts: Vec<(String, Value)>,
    pub failed: bool,
    pub skipped: bool,
    pub changed: bool,
}
