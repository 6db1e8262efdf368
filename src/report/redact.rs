//! Keeps secrets out of every output.

use std::sync::{Arc, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::problem::{Problem, Problems};

/// Texts that must not be shown. Shared by everything that prints.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Arc<RwLock<Vec<String>>>,
}

/// What stands in a secret's place.
pub const HIDDEN: &str = "********";

/// Shorter secrets are left alone: they would hide ordinary text.
const SHORTEST: usize = 4;
/// A line of a longer secret is one of its own from this length on.
const SHORTEST_LINE: usize = 8;

impl Redactor {
    /// Adds a secret, with the forms it takes in outputs: its lines (`stdout_lines`, diffs), as JSON and as base64.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() < SHORTEST {
            return;
        }
        let mut forms = vec![secret.to_owned()];
        let escaped = serde_json::Value::from(secret).to_string();
        forms.push(escaped[1..escaped.len() - 1].to_owned());
        forms.push(secret.replace('\\', "\\\\").replace('\n', "\\n").replace('\'', "\\'"));
        if secret.len() >= SHORTEST_LINE {
            // The last character of an encoded text depends on what follows the secret.
            let encoded = STANDARD_NO_PAD.encode(secret);
            forms.push(encoded[..encoded.len() - 1].to_owned());
        }
        if secret.contains('\n') {
            forms.extend(secret.lines().map(str::trim).filter(|l| l.len() >= SHORTEST_LINE).map(str::to_owned));
        }
        let mut all = self.secrets.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for form in forms {
            if !all.contains(&form) {
                all.push(form);
            }
        }
        // Longest first, so that a secret inside another does not uncover the rest.
        all.sort_by_key(|s| std::cmp::Reverse(s.len()));
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

    /// Problems whose words hold no secret.
    pub fn clean_problems(&self, problems: Problems) -> Problems {
        Problems(problems.0.into_iter().map(|p| self.clean_problem(p)).collect())
    }

    fn clean_problem(&self, problem: Problem) -> Problem {
        let all = |texts: Vec<String>| texts.iter().map(|t| self.clean(t)).collect();
        Problem {
            message: self.clean(&problem.message),
            label: problem.label.map(|l| self.clean(&l)),
            help: all(problem.help),
            notes: all(problem.notes),
            ..problem
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_form() {
        let redactor = Redactor::default();
        redactor.add("s3cret\"pass\\word\n");
        redactor.add("-----BEGIN KEY-----\nMIIabcdefgh\nfi\n");
        let json = serde_json::json!({ "a": "x s3cret\"pass\\word y", "k": "-----BEGIN KEY-----\nMIIabcdefgh\nfi\n" });
        assert_eq!(redactor.clean(&json.to_string()), r#"{"a":"x ******** y","k":"********\n"}"#);
        let shown = crate::template::repr(&minijinja::Value::from("s3cret\"pass\\word"));
        assert_eq!(redactor.clean(&shown), "'********'");
        assert_eq!(redactor.clean("+MIIabcdefgh\n+fi"), "+********\n+fi");
        let encoded = base64::engine::general_purpose::STANDARD.encode("s3cret\"pass\\word");
        assert!(!redactor.clean(&encoded).contains(&encoded[..12]));
        redactor.add("abc");
        assert_eq!(redactor.clean("abc"), "abc");
        let told = redactor.clean_problems(Problem::new("x", "no MIIabcdefgh here").note("MIIabcdefgh").into());
        assert_eq!((told.0[0].message.as_str(), told.0[0].notes[0].as_str()), ("no ******** here", "********"));
    }
}
