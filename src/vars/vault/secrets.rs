//! The passwords of a run: given, in files, from scripts or asked for; each read when it is first needed.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use super::cipher::Keys;
use super::{Envelope, VaultError};

/// Asks a person for the password of an id.
pub type Prompt = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// Hears every text that is opened, to keep it out of all output.
pub type Opened = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Where a password comes from.
#[derive(Clone)]
pub enum Source {
    /// Already known.
    Given(Vec<u8>),
    /// A file that holds it, or an executable that prints it.
    File(PathBuf),
    Prompt(Prompt),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Prompt(_) => f.write_str("Prompt"),
        }
    }
}

/// One password with its id; read once.
#[derive(Debug)]
struct Secret {
    id: String,
    source: Source,
    password: OnceLock<Result<Vec<u8>, VaultError>>,
}

/// All vault passwords of a run. Shared by threads.
#[derive(Default)]
pub struct VaultSecrets {
    secrets: Vec<Secret>,
    /// Try only the secret whose id the header names.
    match_id: bool,
    /// Derived keys by secret and salt.
    keys: Mutex<HashMap<(usize, Vec<u8>), Keys>>,
    opened: Option<Opened>,
}

impl fmt::Debug for VaultSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSecrets").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

impl VaultSecrets {
    /// Secrets by id, in the order they are tried.
    pub fn new(secrets: impl IntoIterator<Item = (String, Source)>) -> Self {
        Self {
            secrets: secrets.into_iter().map(|(id, source)| Secret { id, source, password: OnceLock::new() }).collect(),
            ..Self::default()
        }
    }

    /// `--vault-id`'s forms: `FILE`, `LABEL@FILE`, `LABEL@prompt`, `prompt`.
    pub fn parse_id(text: &str, prompt: &Prompt) -> (String, Source) {
        let (id, source) = match text.rsplit_once('@') {
            Some((id, source)) if !id.is_empty() => (id.to_owned(), source),
            Some((_, source)) => ("default".to_owned(), source),
            None => ("default".to_owned(), text),
        };
        let source = match source {
            "prompt" | "prompt_ask_vault_pass" => Source::Prompt(prompt.clone()),
            path => Source::File(PathBuf::from(crate::template::filters::expand_user(path))),
        };
        (id, source)
    }

    /// Only the secret whose id stands in the header may open a text (`vault_id_match`).
    #[must_use]
    pub fn matching_ids(mut self, only: bool) -> Self {
        self.match_id = only;
        self
    }

    /// Tells every opened text to `opened`, whoever asked for it.
    #[must_use]
    pub fn heard_by(mut self, opened: Opened) -> Self {
        self.opened = Some(opened);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|s| s.id.as_str())
    }

    /// Opens a vaulted text.
    pub fn decrypt(&self, text: &str) -> Result<Vec<u8>, VaultError> {
        Ok(self.open(text)?.0)
    }

    /// Opens a vaulted text, and tells which secret did (its place among [`Self::ids`]).
    pub fn open(&self, text: &str) -> Result<(Vec<u8>, usize), VaultError> {
        let envelope = Envelope::parse(text)?;
        if self.secrets.is_empty() {
            return Err(VaultError::NoSecrets);
        }
        let wanted = envelope.id.as_deref();
        let mut order: Vec<usize> =
            (0..self.secrets.len()).filter(|i| Some(self.secrets[*i].id.as_str()) == wanted).collect();
        if !(self.match_id && wanted.is_some()) {
            order.extend((0..self.secrets.len()).filter(|i| Some(self.secrets[*i].id.as_str()) != wanted));
        }
        let mut failure = None;
        for index in &order {
            match self.password(*index) {
                Ok(password) => {
                    if let Some(plain) =
                        self.derived(*index, password, &envelope.salt).decrypt(&envelope.cipher, &envelope.code)
                    {
                        if let Some(opened) = &self.opened {
                            opened(&plain);
                        }
                        return Ok((plain, *index));
                    }
                }
                Err(e) => failure = Some(e),
            }
        }
        // a password that could not be read is the likelier cause than a wrong one
        Err(failure.unwrap_or_else(|| VaultError::WrongPassword {
            tried: order.iter().map(|i| self.secrets[*i].id.clone()).collect(),
        }))
    }

    /// Vaults bytes with the password of an id; the first one if none is named. A named id other than `default` goes into the header.
    pub fn encrypt(&self, plain: &[u8], id: Option<&str>) -> Result<String, VaultError> {
        let index = match id {
            None if self.secrets.is_empty() => return Err(VaultError::NoSecrets),
            None => 0,
            Some(id) => {
                self.secrets.iter().position(|s| s.id == id).ok_or_else(|| VaultError::UnknownId(id.to_owned()))?
            }
        };
        let header = Some(self.secrets[index].id.clone()).filter(|id| id != "default");
        self.seal(plain, index, None, header)
    }

    /// Vaults bytes with one of the secrets; an id other than `default` goes into the header.
    pub fn encrypt_with(&self, plain: &[u8], index: usize, salt: Option<Vec<u8>>) -> Result<String, VaultError> {
        let secret = self.secrets.get(index).ok_or(VaultError::NoSecrets)?;
        let header = Some(secret.id.clone()).filter(|id| id != "default");
        self.seal(plain, index, salt, header)
    }

    /// As [`Self::encrypt`], with a salt of one's own and the id always in the header.
    pub fn encrypt_salted(&self, plain: &[u8], id: &str, salt: Option<Vec<u8>>) -> Result<String, VaultError> {
        let index = self.secrets.iter().position(|s| s.id == id).ok_or_else(|| VaultError::UnknownId(id.to_owned()))?;
        self.seal(plain, index, salt, Some(id.to_owned()))
    }

    fn seal(
        &self,
        plain: &[u8],
        index: usize,
        salt: Option<Vec<u8>>,
        id: Option<String>,
    ) -> Result<String, VaultError> {
        let salt = match salt {
            Some(salt) => salt,
            None => {
                let mut salt = vec![0; 32];
                std::fs::File::open("/dev/urandom")
                    .and_then(|mut f| f.read_exact(&mut salt))
                    .map_err(|e| VaultError::Source { origin: "/dev/urandom".into(), reason: e.to_string() })?;
                salt
            }
        };
        let password = self.password(index)?;
        let (cipher, code) = Keys::derive(password, &salt).encrypt(plain);
        Ok(Envelope { id, salt, code, cipher }.write())
    }

    fn derived(&self, index: usize, password: &[u8], salt: &[u8]) -> Keys {
        let key = (index, salt.to_vec());
        if let Some(keys) = self.keys.lock().ok().and_then(|k| k.get(&key).cloned()) {
            return keys;
        }
        // not under the lock: several threads may derive at once
        let keys = Keys::derive(password, salt);
        if let Ok(mut cache) = self.keys.lock() {
            cache.insert(key, keys.clone());
        }
        keys
    }

    fn password(&self, index: usize) -> Result<&[u8], VaultError> {
        let secret = &self.secrets[index];
        secret.password.get_or_init(|| secret.read()).as_deref().map_err(Clone::clone)
    }
}

impl Secret {
    fn read(&self) -> Result<Vec<u8>, VaultError> {
        let (origin, password) = match &self.source {
            Source::Given(password) => ("the command line".to_owned(), Ok(password.clone())),
            Source::Prompt(prompt) => {
                (format!("the prompt for `{}`", self.id), prompt(&self.id).map(String::into_bytes))
            }
            Source::File(path) => (format!("`{}`", path.display()), read_file(path, &self.id)),
        };
        match password {
            Ok(password) if password.is_empty() => Err(VaultError::Source { origin, reason: "it is empty".into() }),
            Ok(password) => Ok(password),
            Err(reason) => Err(VaultError::Source { origin, reason }),
        }
    }
}

/// A file's content without white space around it; an executable is run. One named `*-client` is told the id.
fn read_file(path: &Path, id: &str) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if metadata.is_dir() {
        return Err("it is a folder".into());
    }
    let bytes = if metadata.permissions().mode() & 0o111 == 0 {
        std::fs::read(path).map_err(|e| e.to_string())?
    } else {
        let full = std::path::absolute(path).map_err(|e| e.to_string())?;
        let mut command = Command::new(&full);
        if path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("-client")) {
            command.arg("--vault-id").arg(id);
        }
        let output = command
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("can't run it: {e}"))?;
        if !output.status.success() {
            return Err(format!("the script ended with {}", output.status));
        }
        output.stdout
    };
    Ok(bytes.trim_ascii().to_vec())
}
