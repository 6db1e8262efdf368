//! The passwords a run is given: options, settings, files, programs, questions.
//!
//! Stands beside *load*. Vault passwords are read when the first vaulted text is met, others before the first connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Settings;
use crate::node::Secret;
use crate::options::{HostOptions, VaultOptions};
use crate::problem::{Problem, Problems};
use crate::report::Redactor;
use crate::vars::vault::{Prompt, Source, VaultError, VaultSecrets};

/// What vault passwords are for: asked for to encrypt, they are asked for twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultUse {
    Decrypt,
    Encrypt,
    /// The new ones of `rekey`: only what the options name.
    Renew,
}

/// The vault passwords with what else `kdeploy vault` needs of the settings.
pub struct Vault {
    pub secrets: VaultSecrets,
    pub editor: String,
    encrypt_identity: Option<String>,
    salt: Option<Vec<u8>>,
}

impl Vault {
    /// The secret to encrypt with: the id's, the settings', or the only one there is.
    pub fn to_encrypt(&self, id: Option<&str>) -> Result<usize, Problem> {
        let known: Vec<&str> = self.secrets.ids().collect();
        match id.or(self.encrypt_identity.as_deref()) {
            Some(id) => known
                .iter()
                .position(|k| *k == id)
                .ok_or_else(|| VaultError::UnknownId(id.to_owned()).into_problem().nearest(id, known.iter().copied())),
            None if known.iter().any(|k| *k != known[0]) => Err(Problem::new(
                "vault",
                format!("there are passwords with the ids {}: which one is to encrypt?", known.join(", ")),
            )
            .help("name it: --encrypt-vault-id ID")),
            None if known.is_empty() => Err(VaultError::NoSecrets.into_problem()),
            None => Ok(0),
        }
    }

    /// The vaulted text.
    pub fn seal(&self, plain: &[u8], secret: usize) -> Result<String, Problem> {
        self.secrets.encrypt_with(plain, secret, self.salt.clone()).map_err(VaultError::into_problem)
    }
}

/// The vault passwords of options and settings; asked for if none is named anywhere.
pub fn vault(options: &VaultOptions, purpose: VaultUse) -> Result<Vault, Problems> {
    let settings = Settings::load(&std::env::current_dir().unwrap_or_default())?;
    let redactor = Redactor::default();
    let mut secrets = secrets_of(options, &settings, &redactor, purpose)?;
    if secrets.is_empty() {
        let asked = VaultOptions { ask_vault_pass: true, ..options.clone() };
        secrets = secrets_of(&asked, &settings, &redactor, purpose)?;
    }
    let own = |name: &str| settings.text(name).filter(|t| !t.is_empty()).map(str::to_owned);
    let editor = own("editor").or_else(|| std::env::var("EDITOR").ok().filter(|e| !e.trim().is_empty()));
    Ok(Vault {
        secrets,
        editor: editor.unwrap_or_else(|| "vi".to_owned()),
        encrypt_identity: own("vault_encrypt_identity").filter(|_| purpose != VaultUse::Renew),
        salt: own("vault_encrypt_salt").map(String::into_bytes),
    })
}

/// The vault passwords of a run; everything they open is kept out of its output.
pub fn vault_secrets(
    options: &VaultOptions,
    settings: &Settings,
    redactor: &Redactor,
) -> Result<VaultSecrets, Problem> {
    secrets_of(options, settings, redactor, VaultUse::Decrypt)
}

fn secrets_of(
    options: &VaultOptions,
    settings: &Settings,
    redactor: &Redactor,
    purpose: VaultUse,
) -> Result<VaultSecrets, Problem> {
    let new = if purpose == VaultUse::Renew { "New vault" } else { "Vault" };
    let twice = purpose != VaultUse::Decrypt;
    let prompt: Prompt = Arc::new(move |id| ask(&format!("{new} password ({id})"), twice).map_err(|p| p.message));
    let from_settings = purpose != VaultUse::Renew;
    let identity = settings.text("vault_identity").filter(|t| !t.is_empty()).unwrap_or("default").to_owned();
    let mut all = vec![];
    let listed = settings.list("vault_identity_list").filter(|_| from_settings).unwrap_or_default();
    all.extend(listed.iter().chain(&options.vault_id).map(|id| VaultSecrets::parse_id(id, &prompt)));
    // What the command line names comes first: it is what a new text is encrypted with.
    let usual = settings.path("vault_password_file").filter(|_| from_settings);
    let files = options.vault_password_file.iter().cloned().chain(usual);
    all.extend(files.map(|path| (identity.clone(), Source::File(path))));
    if options.ask_vault_pass || (from_settings && settings.flag("ask_vault_pass", false)) {
        let password = ask(&format!("{new} password"), twice)?;
        all.push((identity, Source::Given(password.into_bytes())));
    }
    let redactor = redactor.clone();
    Ok(VaultSecrets::new(all)
        .matching_ids(settings.flag("vault_id_match", false))
        .heard_by(Arc::new(move |plain| hide(plain, &redactor))))
}

fn ask(question: &str, twice: bool) -> Result<String, Problem> {
    let answer = crate::prompt::secret(&format!("{question}: "))?;
    if twice && crate::prompt::secret(&format!("Confirm {question}: "))? != answer {
        return Err(Problem::new("vault", "the two passwords are not the same"));
    }
    Ok(answer)
}

/// What was vaulted stays out of all output: a file of variables value by value, anything else as it is.
fn hide(plain: &[u8], redactor: &Redactor) {
    let text = String::from_utf8_lossy(plain);
    match crate::yaml::parse_text("<vault>", &text) {
        Ok(loaded) if loaded.documents.iter().any(|d| d.as_map().is_some() || d.as_seq().is_some()) => {
            loaded.documents.iter().for_each(|document| hide_values(document, redactor));
        }
        _ => redactor.add(&text),
    }
}

fn hide_values(node: &crate::yaml::Node, redactor: &Redactor) {
    if let Some(map) = node.as_map() {
        map.iter().for_each(|(_, value)| hide_values(value, redactor));
    } else if let Some(items) = node.as_seq() {
        items.iter().for_each(|item| hide_values(item, redactor));
    } else if let Some(text) = node.as_str() {
        redactor.add(text);
    }
}

/// The passwords for logging in and for becoming another user.
#[derive(Debug, Default)]
pub struct Logins {
    pub connection: Option<Secret>,
    pub r#become: Option<Secret>,
}

/// Asked for, or read from the files named; the become password defaults to the login's, as Ansible has it.
pub fn logins(hosts: &HostOptions, settings: &Settings, redactor: &Redactor) -> Result<Logins, Problem> {
    let secret = |ask: bool, file: Option<PathBuf>, prompt: &str| -> Result<Option<String>, Problem> {
        let text = match (ask, file) {
            (true, _) => Some(crate::prompt::secret(prompt)?),
            (false, Some(path)) => Some(read_secret(&path)?),
            (false, None) => None,
        };
        if let Some(text) = &text {
            redactor.add(text);
        }
        Ok(text)
    };
    let file = |given: &Option<PathBuf>, name: &str| given.clone().or_else(|| settings.path(name));
    let ask_login = hosts.ask_pass || (hosts.connection_password_file.is_none() && settings.flag("ask_pass", false));
    let login = secret(ask_login, file(&hosts.connection_password_file, "connection_password_file"), "SSH password: ")?;
    let ask_become =
        hosts.ask_become_pass || (hosts.become_password_file.is_none() && settings.flag("become_ask_pass", false));
    let question = if login.is_some() { "BECOME password[defaults to SSH password]: " } else { "BECOME password: " };
    let r#become = secret(ask_become, file(&hosts.become_password_file, "become_password_file"), question)?;
    let r#become = match r#become {
        Some(text) if text.is_empty() => login.clone(),
        other => other,
    };
    Ok(Logins { connection: login.map(Secret), r#become: r#become.map(Secret) })
}

/// A password file's text, or what it prints if it is executable.
fn read_secret(path: &Path) -> Result<String, Problem> {
    use std::os::unix::fs::PermissionsExt;
    let wrong = |e: std::io::Error| Problem::new("cannot-read", format!("cannot read `{}`: {e}", path.display()));
    let meta = std::fs::metadata(path).map_err(wrong)?;
    let text = if meta.permissions().mode() & 0o111 != 0 {
        let full = std::path::absolute(path).map_err(wrong)?;
        let output = std::process::Command::new(full).output().map_err(wrong)?;
        if !output.status.success() {
            return Err(Problem::new("cannot-read", format!("`{}` ended with {}", path.display(), output.status)));
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        std::fs::read_to_string(path).map_err(wrong)?
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
