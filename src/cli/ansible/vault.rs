//! `ansible-vault`.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::super::terminal;
use super::super::vault::{edit, files};
use super::failure::Failure;
use super::settings;
use crate::options::VaultOptions;
use crate::passwords::{Vault, VaultUse, vault};
use crate::problem::Problem;
use crate::vars::vault::{VaultError, VaultSecrets, is_vaulted};

/// Encryption/decryption utility for Ansible data files
#[derive(Debug, Parser)]
#[command(name = "ansible-vault", disable_version_flag = true, disable_help_subcommand = true)]
pub struct VaultArgs {
    #[command(subcommand)]
    what: What,
    /// More detail; again for more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Print the program's version
    #[arg(long)]
    version: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create new vault encrypted file
    Create(CreateArgs),
    /// Decrypt vault encrypted file or string
    Decrypt(DecryptArgs),
    /// Edit vault encrypted file
    Edit(EditArgs),
    /// View vault encrypted file
    View(ViewArgs),
    /// Encrypt YAML file
    Encrypt(EncryptArgs),
    /// Encrypt a string
    #[command(name = "encrypt_string")]
    EncryptString(StringArgs),
    /// Re-key a vault encrypted file
    Rekey(RekeyArgs),
}

#[derive(Debug, Args)]
struct EncryptId {
    /// The vault id used to encrypt (required if more than one vault-id is provided)
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct CreateArgs {
    file: PathBuf,
    /// Open the editor without a terminal too
    #[arg(long)]
    skip_tty_check: bool,
    #[command(flatten)]
    id: EncryptId,
}

#[derive(Debug, Args)]
struct EditArgs {
    files: Vec<PathBuf>,
    #[command(flatten)]
    id: EncryptId,
}

#[derive(Debug, Args)]
struct ViewArgs {
    files: Vec<PathBuf>,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct DecryptArgs {
    files: Vec<PathBuf>,
    /// Output file name; use - for stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct EncryptArgs {
    files: Vec<PathBuf>,
    /// Output file name; use - for stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    id: EncryptId,
}

#[derive(Debug, Args)]
struct RekeyArgs {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The new vault identity to use for rekey
    #[arg(long, value_name = "ID")]
    new_vault_id: Option<String>,
    /// New vault password file for rekey
    #[arg(long, value_name = "FILE", alias = "new-vault-pass-file")]
    new_vault_password_file: Option<PathBuf>,
    #[command(flatten)]
    id: EncryptId,
}

#[derive(Debug, Args)]
struct StringArgs {
    /// Strings to encrypt
    strings: Vec<String>,
    /// Specify the variable name
    #[arg(short, long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Specify the variable name for stdin
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Prompt for the string to encrypt
    #[arg(short, long)]
    prompt: bool,
    /// Do not hide input when prompted for the string to encrypt
    #[arg(long)]
    show_input: bool,
    /// Output file name; use - for stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    id: EncryptId,
}

impl VaultArgs {
    pub fn run(self) -> Result<u8, Failure> {
        match self.what {
            What::Create(args) => create(&args)?,
            What::Decrypt(args) => {
                at_most_one(&args.files, args.output.as_ref())?;
                let vault = vault(&args.vault, VaultUse::Decrypt)?;
                each(&args.files, args.output.as_deref(), &|text| open(&vault.secrets, text))?;
                done("Decryption successful");
            }
            What::Edit(args) => {
                let vault = vault(&args.id.vault, VaultUse::Decrypt)?;
                for path in &args.files {
                    open(&vault.secrets, &read(path)?).map_err(|why| for_file(&why, path))?;
                    edit::edit(&vault, path, args.id.encrypt_vault_id.as_deref())?;
                }
            }
            What::View(args) => {
                let secrets = vault(&args.vault, VaultUse::Decrypt)?.secrets;
                for path in &args.files {
                    let text = if path == Path::new("-") { standard_input()? } else { read(path)? };
                    let plain = open(&secrets, &text).map_err(|why| for_file(&why, path))?;
                    terminal::print(&String::from_utf8_lossy(&plain));
                }
            }
            What::Encrypt(args) => {
                at_most_one(&args.files, args.output.as_ref())?;
                let (vault, secret) = encrypting(&args.id)?;
                each(&args.files, args.output.as_deref(), &|text| {
                    if is_vaulted(text) {
                        return Err("input is already encrypted".to_owned());
                    }
                    seal(&vault, text, secret)
                })?;
                done("Encryption successful");
            }
            What::EncryptString(args) => encrypt_strings(&args)?,
            What::Rekey(args) => rekey(&args)?,
        }
        Ok(0)
    }
}

/// Said where a person reads it.
fn done(text: &str) {
    if std::io::stdout().is_terminal() {
        terminal::say(text);
    }
}

fn at_most_one(files: &[PathBuf], output: Option<&PathBuf>) -> Result<(), Failure> {
    if output.is_some() && files.len() > 1 {
        return Err(Failure::options("At most one input file may be used with the --output option"));
    }
    Ok(())
}

/// The secrets, and the id to encrypt with: named, or the only one there is.
fn encrypting(args: &EncryptId) -> Result<(Vault, usize), Failure> {
    let vault = vault(&args.vault, VaultUse::Encrypt)?;
    let wanted =
        args.encrypt_vault_id.clone().or_else(|| settings().ok()?.text("vault_encrypt_identity").map(str::to_owned));
    let ids: Vec<&str> = vault.secrets.ids().collect();
    let id = match wanted {
        Some(id) if ids.contains(&id.as_str()) => id,
        Some(id) => {
            let known: Vec<String> = ids.iter().map(|i| format!("'{i}'")).collect();
            return Err(Failure::error(format!(
                "Did not find a match for --encrypt-vault-id={id} in the known vault-ids [{}]",
                known.join(", ")
            )));
        }
        None => {
            let mut different = ids.clone();
            different.dedup();
            if different.len() > 1 {
                return Err(Failure::options(format!(
                    "The vault-ids {} are available to encrypt. Specify the vault-id to encrypt with --encrypt-vault-id",
                    different.join(",")
                )));
            }
            ids.first().map_or_else(|| "default".to_owned(), |id| (*id).to_owned())
        }
    };
    let secret = ids.iter().position(|i| *i == id).unwrap_or_default();
    Ok((vault, secret))
}

fn open(secrets: &VaultSecrets, text: &[u8]) -> Result<Vec<u8>, String> {
    if !is_vaulted(text) {
        return Err("Input is not vault encrypted data.".to_owned());
    }
    secrets.decrypt(&String::from_utf8_lossy(text)).map_err(|error| match error {
        VaultError::WrongPassword { .. } => {
            "Decryption failed (no vault secrets were found that could decrypt).".to_owned()
        }
        other => other.to_string(),
    })
}

fn seal(vault: &Vault, plain: &[u8], secret: usize) -> Result<Vec<u8>, String> {
    vault.seal(plain, secret).map(String::into_bytes).map_err(|p| p.message)
}

fn for_file(why: &str, path: &Path) -> Failure {
    Failure::error(format!("{why} for {}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| {
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Failure::error(format!("Unable to read source file ({}): {e}", full.display()))
    })
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    std::io::stdin().read_to_end(&mut bytes).map_err(|e| Failure::error(e.to_string()))?;
    Ok(bytes)
}

type Change<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, String>;

/// Changes each file in place, or one to somewhere else; standard input without any.
fn each(files: &[PathBuf], output: Option<&Path>, change: Change) -> Result<(), Failure> {
    let dash = [PathBuf::from("-")];
    for path in if files.is_empty() { &dash[..] } else { files } {
        let from_stdin = path == Path::new("-");
        let text = if from_stdin { standard_input()? } else { read(path)? };
        let full = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let changed = change(&text).map_err(|why| match why.as_str() {
            "input is already encrypted" => Failure::error(why),
            _ => for_file(&why, &full),
        })?;
        match output {
            Some(path) if path != Path::new("-") => files::write(path, &changed, files::Keep::Nothing)?,
            None if !from_stdin => files::write(path, &changed, files::Keep::Nothing)?,
            _ => drop(std::io::stdout().write_all(&changed)),
        }
    }
    Ok(())
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() && !args.skip_tty_check {
        return Err(Failure::options("not a tty, editor cannot be opened"));
    }
    if args.file.exists() {
        return Err(Failure::error(format!("{} exists, please use 'edit' instead", args.file.display())));
    }
    let (vault, _) = encrypting(&args.id)?;
    edit::create(&vault, &args.file, args.id.encrypt_vault_id.as_deref(), args.skip_tty_check)?;
    Ok(())
}

fn rekey(args: &RekeyArgs) -> Result<(), Failure> {
    let old = vault(&args.id.vault, VaultUse::Decrypt)?;
    // The new password is only the one named here: settings name the old one.
    let named = args.new_vault_id.is_some() || args.new_vault_password_file.is_some();
    let new = VaultOptions {
        vault_password_file: args.new_vault_password_file.iter().cloned().collect(),
        vault_id: args.new_vault_id.iter().cloned().collect(),
        ask_vault_pass: !named,
    };
    let new = vault(&new, VaultUse::Renew)?;
    let secret = new.to_encrypt(args.id.encrypt_vault_id.as_deref())?;
    for path in &args.files {
        let plain = open(&old.secrets, &read(path)?).map_err(|why| for_file(&why, path))?;
        let sealed = seal(&new, &plain, secret).map_err(Failure::error)?;
        files::write(path, &sealed, files::Keep::ModeAndOwner)?;
    }
    terminal::say("Rekey successful");
    Ok(())
}

/// One value to encrypt, where it came from, and its name.
struct Value {
    text: Vec<u8>,
    name: Option<String>,
    source: Option<&'static str>,
}

fn encrypt_strings(args: &StringArgs) -> Result<(), Failure> {
    let (vault, secret) = encrypting(&args.id)?;
    let mut values = vec![];
    if args.prompt {
        let name = match args.names.first() {
            Some(name) => Some(name.clone()),
            None => {
                let name = crate::prompt::ask("Variable name (enter for no name): ").unwrap_or_default();
                Some(name).filter(|n| !n.is_empty())
            }
        };
        let text = match args.show_input {
            true => crate::prompt::ask("String to encrypt: ").unwrap_or_default(),
            false => crate::prompt::secret("String to encrypt (hidden): ")?,
        };
        if text.is_empty() {
            return Err(Failure::options("The plaintext provided from the prompt was empty, not encrypting"));
        }
        values.push(Value { text: text.into_bytes(), name, source: Some("the interactive prompt") });
    }
    let strings: Vec<&String> = args.strings.iter().filter(|s| *s != "-").collect();
    let from_stdin =
        args.strings.iter().any(|s| s == "-") || args.stdin_name.is_some() || (strings.is_empty() && !args.prompt);
    if from_stdin {
        let text = standard_input()?;
        if text.is_empty() {
            return Err(Failure::options("stdin was empty, not encrypting"));
        }
        values.push(Value { text, name: args.stdin_name.clone(), source: Some("stdin") });
    }
    for (index, text) in strings.iter().enumerate() {
        if text.is_empty() {
            return Err(Failure::options(
                "The plaintext provided from the command line args was empty, not encrypting",
            ));
        }
        let name = args.names.get(index).cloned();
        values.push(Value { text: text.as_bytes().to_vec(), name, source: Some("the command line args") });
    }
    let several = values.len() > 1;
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let sealed = seal(&vault, &value.text, secret).map_err(Failure::error)?;
        let head = value.name.as_ref().map(|n| format!("{n}: ")).unwrap_or_default();
        out.push_str(&format!("{head}!vault |\n"));
        for line in String::from_utf8_lossy(&sealed).lines() {
            out.push_str(&format!("          {line}\n"));
        }
        let source = value.source.unwrap_or_default();
        if several {
            let number = index + 1;
            terminal::say(&match &value.name {
                Some(name) => {
                    format!("# The encrypted version of variable (\"{name}\", the string #{number} from {source}).")
                }
                None => format!("# The encrypted version of the string #{number} from {source}.)"),
            });
        }
    }
    match &args.output {
        Some(path) if path != Path::new("-") => {
            std::fs::write(path, &out)
                .map_err(|e| Problem::new("cannot-write", format!("cannot write `{}`: {e}", path.display())))?;
        }
        _ => terminal::print(&out),
    }
    done("Encryption successful");
    Ok(())
}
