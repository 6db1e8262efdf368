//! Authentication: keys given, the agent's, the default ones; then password and keyboard-interactive.

use std::path::{Path, PathBuf};

use base64::Engine;
use ssh2::{KeyboardInteractivePrompt, Prompt, Session};

use super::super::{NodeError, Target};
use super::config::Settings;

/// Logs in. The error says which methods and keys were tried. `Err(true, …)`: a hardware key may help, which only the
/// system's `ssh` can use.
pub fn log_in(session: &Session, target: &Target, settings: &Settings) -> Result<(), (bool, NodeError)> {
    let user = &settings.user;
    let mut tried: Vec<String> = vec![];
    let mut hardware = false;
    let offered = match session.auth_methods(user) {
        Ok(methods) => methods.to_owned(),
        Err(_) if session.authenticated() => return Ok(()),
        Err(e) => {
            return Err((
                false,
                NodeError::Unreachable {
                    message: format!("{}: the ssh server ended the login: {}", target.name, e.message()),
                    help: vec![],
                },
            ));
        }
    };
    let offers = |method: &str| offered.split(',').any(|m| m == method);
    let keys = offers("publickey") && !settings.no_keys;
    let given = settings.identities_given;
    // A password was given to be used: it comes before the many keys of an agent, which servers count as failures.
    let logged_in = (keys && given && try_files(session, target, settings, &mut tried, &mut hardware))
        || (!settings.no_passwords && try_password(session, target, user, &offers, &mut tried))
        || (keys && try_agent(session, settings, &mut tried, &mut hardware))
        || (keys && !given && try_files(session, target, settings, &mut tried, &mut hardware));
    if logged_in {
        return Ok(());
    }
    let system_may = hardware || (settings.gssapi && offers("gssapi-with-mic"));
    let tried = if tried.is_empty() { "nothing to try".to_owned() } else { format!("tried {}", tried.join(", ")) };
    let mut help = vec![format!("the server accepts {offered}")];
    if target.password.is_none() && (offers("password") || offers("keyboard-interactive")) {
        help.push("give a password with -k (--ask-pass) or `ansible_password`, or a key with --private-key".into());
    }
    Err((
        system_may,
        NodeError::Unreachable { message: format!("{}: login as `{user}` was refused: {tried}", target.name), help },
    ))
}

/// By the password method, then by answering the server's questions with it.
fn try_password(
    session: &Session,
    target: &Target,
    user: &str,
    offers: &dyn Fn(&str) -> bool,
    tried: &mut Vec<String>,
) -> bool {
    let Some(password) = &target.password else { return false };
    if offers("password") {
        tried.push("password".into());
        if session.userauth_password(user, &password.0).is_ok() && session.authenticated() {
            return true;
        }
    }
    if offers("keyboard-interactive") {
        tried.push("keyboard-interactive".into());
        let mut answer = Answer { password: &password.0, asked: 0 };
        if session.userauth_keyboard_interactive(user, &mut answer).is_ok() && session.authenticated() {
            return true;
        }
    }
    false
}

struct Answer<'a> {
    password: &'a str,
    asked: usize,
}

impl KeyboardInteractivePrompt for Answer<'_> {
    fn prompt<'a>(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        self.asked += 1;
        // Only questions whose answer is not shown are about a password; asked again, it was wrong.
        prompts
            .iter()
            .map(|p| if p.echo || self.asked > 1 { String::new() } else { self.password.to_owned() })
            .collect()
    }
}

fn try_agent(session: &Session, settings: &Settings, tried: &mut Vec<String>, hardware: &mut bool) -> bool {
    let socket = match &settings.agent {
        Some(path) if path.is_empty() => return false,
        Some(path) => Some(path.clone()),
        None => std::env::var("SSH_AUTH_SOCK").ok(),
    };
    let Some(socket) = socket.filter(|s| !s.is_empty()) else { return false };
    let Ok(mut agent) = session.agent() else { return false };
    if agent.set_identity_path(Path::new(&socket)).is_err()
        || agent.connect().is_err()
        || agent.list_identities().is_err()
    {
        tried.push("agent (does not answer)".into());
        return false;
    }
    let allowed: Option<Vec<Vec<u8>>> = settings.identities_only.then(|| {
        settings.identity_files.iter().chain(&settings.certificate_files).filter_map(|f| public_blob(f)).collect()
    });
    for identity in agent.identities().unwrap_or_default() {
        let blob = identity.blob();
        if allowed.as_ref().is_some_and(|a| !a.iter().any(|b| b == blob)) {
            continue;
        }
        *hardware |= super::known_hosts::kind_of(blob).starts_with("sk-");
        tried.push(format!("agent key `{}`", identity.comment()));
        if agent.userauth(&settings.user, &identity).is_ok() && session.authenticated() {
            return true;
        }
    }
    false
}

fn try_files(
    session: &Session,
    target: &Target,
    settings: &Settings,
    tried: &mut Vec<String>,
    hardware: &mut bool,
) -> bool {
    for file in &settings.identity_files {
        if !file.exists() {
            if settings.identities_given {
                tried.push(format!("`{}` (no such file)", file.display()));
            }
            continue;
        }
        let Ok(bytes) = std::fs::read(file) else {
            tried.push(format!("`{}` (cannot be read)", file.display()));
            continue;
        };
        let passphrase = target.key_passphrase.as_ref().map(|s| s.0.as_str());
        if is_encrypted(&bytes) && passphrase.is_none() {
            tried.push(format!("`{}` (encrypted, no passphrase given)", file.display()));
            continue;
        }
        if public_blob(file).is_some_and(|b| super::known_hosts::kind_of(&b).starts_with("sk-")) {
            *hardware = true;
            tried.push(format!("`{}` (hardware key)", file.display()));
            continue;
        }
        let mut certificates: Vec<PathBuf> = settings.certificate_files.clone();
        certificates.push(with_suffix(file, "-cert.pub"));
        for certificate in certificates.iter().filter(|c| c.exists()) {
            tried.push(format!("certificate `{}`", certificate.display()));
            let ok = session.userauth_pubkey_file(&settings.user, Some(certificate), file, passphrase).is_ok();
            if ok && session.authenticated() {
                return true;
            }
        }
        match session.userauth_pubkey_file(&settings.user, None, file, passphrase) {
            Ok(()) if session.authenticated() => return true,
            Ok(()) => tried.push(format!("`{}`", file.display())),
            Err(e) => {
                // LIBSSH2_ERROR_FILE, _DECRYPT, _KEYFILE_AUTH_FAILED: the key could not be used at all.
                let unusable = matches!(e.code(), ssh2::ErrorCode::Session(-16 | -12 | -48));
                let why = match (unusable, is_encrypted(&bytes)) {
                    (true, true) => " (wrong passphrase)",
                    (true, false) => " (not a private key ssh2 can read)",
                    _ => "",
                };
                tried.push(format!("`{}`{why}", file.display()));
            }
        }
    }
    false
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The public key beside a private one (or the file itself, if it is a public one).
fn public_blob(file: &Path) -> Option<Vec<u8>> {
    let text = std::fs::read_to_string(with_suffix(file, ".pub")).or_else(|_| std::fs::read_to_string(file)).ok()?;
    base64::engine::general_purpose::STANDARD.decode(text.split_ascii_whitespace().nth(1)?).ok()
}

/// PEM says so in its header, OpenSSH's own format by the cipher's name.
fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("ENCRYPTED") {
        return true;
    }
    let Some(body) = text.split("-----BEGIN OPENSSH PRIVATE KEY-----").nth(1) else { return false };
    let body: String = body.split("-----END").next().unwrap_or("").split_whitespace().collect();
    let Ok(blob) = base64::engine::general_purpose::STANDARD.decode(body) else { return false };
    let cipher = blob.get(b"openssh-key-v1\0".len()..).unwrap_or_default();
    super::known_hosts::kind_of(cipher) != "none"
}
