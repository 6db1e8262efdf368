//! Ansible's vault: `$ANSIBLE_VAULT;1.1;AES256` and `1.2` texts, read and written; where the passwords come from.
//!
//! Used wherever a `!vault` value or a vaulted file is met. Nothing is derived before it is needed, and nothing twice.

mod cipher;
mod envelope;
mod secrets;

use crate::problem::Problem;

pub use envelope::{Envelope, is_vaulted};
pub use secrets::{Opened, Prompt, Source, VaultSecrets};

/// Why a vaulted text can't be opened or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the text is not encrypted with vault")]
    NotVaulted,
    #[error("the vaulted text is damaged: {0}")]
    Damaged(String),
    #[error("the vault cipher `{0}` is not known, only `AES256`")]
    UnknownCipher(String),
    #[error("a vaulted value needs a vault password, and none is given")]
    NoSecrets,
    #[error("no vault password opens it (tried: {})", .tried.join(", "))]
    WrongPassword { tried: Vec<String> },
    #[error("there is no vault password with the id `{0}`")]
    UnknownId(String),
    #[error("the vault password of {origin}: {reason}")]
    Source { origin: String, reason: String },
}

impl VaultError {
    /// As a problem of the operator's input.
    pub fn into_problem(self) -> Problem {
        let help = matches!(self, Self::NoSecrets).then_some("give `--vault-password-file FILE` or `--ask-vault-pass`");
        let problem = Problem::new("vault", self.to_string());
        match help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

#[cfg(test)]
mod tests;
