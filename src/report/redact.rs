//! Keeps secrets out of every output.

use std::sync::{Arc, RwLock};

/// Texts that must not be shown. Shared by everything that prints.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Arc<RwLock<Vec<String>>>,
}

/// What stands in a secret's place.
const HIDDEN: &str = "********";

impl Redactor {
    /// Adds a secret; very short ones are left out, they would hide ordinary text.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() < 4 {
            return;
        }
        let mut all = self.secrets.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !all.iter().any(|s| s == secret) {
            all.push(secret.to_owned());
            // Longest first, so that a secret inside another does not uncover the rest.
            all.sort_by_key(|s| std::cmp::Reverse(s.len()));
        }
    }

    /// The text with every secret replaced.
    pub fn clean(&self, text: &str) -> String {
        let all = self.secrets.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = text.to_owned();
        for secret in all.iter() {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }
}
