//! `kdeploy vault`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, terminal};
use crate::options::VaultOptions;
use crate::problem::{Problem, Problems};
use crate::run::vault_secrets;
use crate::vars::vault::{VaultSecrets, is_vaulted};

/// Encrypt and decrypt files and values
#[derive(Debug, Args)]
pub struct VaultArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Encrypt files in place (standard input without any)
    Encrypt(FileArgs),
    /// Decrypt files in place
    Decrypt(FileArgs),
    /// Show what vaulted files hold
    View(FileArgs),
    /// Edit a vaulted file with $EDITOR
    Edit(FileArgs),
    /// Encrypt files with another password
    Rekey(RekeyArgs),
    /// Encrypt a value, as YAML to paste
    EncryptString(StringArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    files: Vec<PathBuf>,
    /// Where to write instead; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The id to encrypt with
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct RekeyArgs {
    files: Vec<PathBuf>,
    #[arg(long, value_name = "FILE")]
    new_vault_password_file: Option<PathBuf>,
    #[arg(long, value_name = "ID")]
    new_vault_id: Option<String>,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct StringArgs {
    /// The value; standard input without it
    value: Option<String>,
    /// The variable's name
    #[arg(short, long)]
    name: Option<String>,
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
    #[command(flatten)]
    vault: VaultOptions,
}

impl VaultArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        match &self.what {
            What::Encrypt(args) => {
                let secrets = need(&args.vault)?;
                each(args, |text| {
                    if is_vaulted(text) {
                        return Err(Problem::new("vaulted-already", "it is encrypted already"));
                    }
                    encrypt(&secrets, text, args.encrypt_vault_id.as_deref()).map(String::into_bytes)
                })?;
            }
            What::Decrypt(args) => {
                let secrets = need(&args.vault)?;
                each(args, |text| decrypt(&secrets, text))?;
            }
            What::View(args) => {
                let secrets = need(&args.vault)?;
                for path in &args.files {
                    let plain = decrypt(&secrets, &read(path)?).map_err(|p| named(p, path))?;
                    terminal::print(&String::from_utf8_lossy(&plain));
                }
            }
            What::Edit(args) => {
                let secrets = need(&args.vault)?;
                for path in &args.files {
                    edit(&secrets, path, args.encrypt_vault_id.as_deref())?;
                }
            }
            What::Rekey(args) => {
                let old = need(&args.vault)?;
                let new = need(&VaultOptions {
                    vault_password_file: args.new_vault_password_file.iter().cloned().collect(),
                    vault_id: args.new_vault_id.iter().cloned().collect(),
                    ask_vault_pass: args.new_vault_password_file.is_none() && args.new_vault_id.is_none(),
                })?;
                for path in &args.files {
                    let plain = decrypt(&old, &read(path)?).map_err(|p| named(p, path))?;
                    write(path, encrypt(&new, &plain, None)?.as_bytes())?;
                }
                terminal::say("rekeyed");
            }
            What::EncryptString(args) => {
                let secrets = need(&args.vault)?;
                let value = match &args.value {
                    Some(value) => value.clone().into_bytes(),
                    None => standard_input()?,
                };
                let text = encrypt(&secrets, &value, args.encrypt_vault_id.as_deref())?;
                let head = args.name.as_ref().map(|n| format!("{n}: ")).unwrap_or_default();
                let body: String = text.lines().map(|line| format!("          {line}\n")).collect();
                terminal::print(&format!("{head}!vault |\n{body}"));
            }
        }
        Ok(Exit::Done)
    }
}

/// The vault passwords; asks if none is named anywhere.
fn need(options: &VaultOptions) -> Result<VaultSecrets, Problems> {
    let secrets = vault_secrets(options)?;
    if !secrets.is_empty() {
        return Ok(secrets);
    }
    vault_secrets(&VaultOptions { ask_vault_pass: true, ..options.clone() })
}

fn each(args: &FileArgs, change: impl Fn(&[u8]) -> Result<Vec<u8>, Problem>) -> Result<(), Problem> {
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if args.files.is_empty() {
        let changed = change(&standard_input()?)?;
        return match &args.output {
            Some(path) if !to_stdout => write(path, &changed),
            _ => {
                drop(std::io::stdout().write_all(&changed));
                Ok(())
            }
        };
    }
    if args.output.is_some() && args.files.len() > 1 {
        return Err(Problem::new("usage", "`--output` goes with one file"));
    }
    for path in &args.files {
        let changed = change(&read(path)?).map_err(|p| named(p, path))?;
        match &args.output {
            Some(_) if to_stdout => drop(std::io::stdout().write_all(&changed)),
            Some(output) => write(output, &changed)?,
            None => write(path, &changed)?,
        }
    }
    Ok(())
}

fn encrypt(secrets: &VaultSecrets, plain: &[u8], id: Option<&str>) -> Result<String, Problem> {
    secrets.encrypt(plain, id).map_err(crate::vars::vault::VaultError::into_problem)
}

fn decrypt(secrets: &VaultSecrets, text: &[u8]) -> Result<Vec<u8>, Problem> {
    secrets.decrypt(&String::from_utf8_lossy(text)).map_err(crate::vars::vault::VaultError::into_problem)
}

fn edit(secrets: &VaultSecrets, path: &Path, id: Option<&str>) -> Result<(), Problem> {
    let plain = decrypt(secrets, &read(path)?).map_err(|p| named(p, path))?;
    let mut file = tempfile::Builder::new()
        .prefix("vault-")
        .suffix(".yml")
        .tempfile()
        .map_err(|e| Problem::new("cannot-write", format!("cannot make a temporary file: {e}")))?;
    file.write_all(&plain).map_err(|e| Problem::new("cannot-write", e.to_string()))?;
    let editor = std::env::var("EDITOR").unwrap_or_else(|_| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let status = std::process::Command::new(words.next().unwrap_or("vi"))
        .args(words)
        .arg(file.path())
        .status()
        .map_err(|e| Problem::new("no-editor", format!("cannot run `{editor}`: {e}")).help("set EDITOR"))?;
    if !status.success() {
        return Err(Problem::new("no-editor", format!("`{editor}` failed; the file is as it was")));
    }
    let edited = std::fs::read(file.path()).map_err(|e| Problem::new("cannot-read", e.to_string()))?;
    if edited == plain {
        return Ok(());
    }
    write(path, encrypt(secrets, &edited, id)?.as_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|e| Problem::new("cannot-read", format!("cannot read `{}`: {e}", path.display())))
}

/// Replaces a file at once, 0600.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let wrong = |e: std::io::Error| Problem::new("cannot-write", format!("cannot write `{}`: {e}", path.display()));
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(wrong)?;
    file.write_all(bytes).map_err(wrong)?;
    file.persist(path).map_err(|e| wrong(e.error))?;
    Ok(())
}

fn standard_input() -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![];
    std::io::stdin().read_to_end(&mut bytes).map_err(|e| Problem::new("cannot-read", e.to_string()))?;
    Ok(bytes)
}

fn named(mut problem: Problem, path: &Path) -> Problem {
    problem.message = format!("{}: {}", path.display(), problem.message);
    problem
}
