//! `kdeploy vault`.

pub(super) mod edit;
pub(super) mod files;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, terminal};
use crate::options::VaultOptions;
use crate::passwords::{Vault, VaultUse, vault};
use crate::problem::{Problem, Problems};
use crate::vars::vault::{VaultError, is_vaulted};
use files::{Keep, read, write};

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
    /// Decrypt files in place (standard input without any)
    Decrypt(FileArgs),
    /// Show what vaulted files hold
    View(FileArgs),
    /// Edit vaulted files with the editor of the settings, $EDITOR or vi
    Edit(FileArgs),
    /// Write a new vaulted file with the editor
    Create(CreateArgs),
    /// Encrypt files with another password
    Rekey(RekeyArgs),
    /// Encrypt values, as YAML to paste
    #[command(alias = "encrypt_string")]
    EncryptString(StringArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// Files; - is standard input
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
struct CreateArgs {
    file: PathBuf,
    /// The id to encrypt with
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
    /// Open the editor also where no terminal is
    #[arg(long)]
    skip_tty_check: bool,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct RekeyArgs {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[arg(long, value_name = "FILE", conflicts_with = "new_vault_id")]
    new_vault_password_file: Option<PathBuf>,
    #[arg(long, value_name = "ID")]
    new_vault_id: Option<String>,
    /// The id to encrypt with
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
    #[command(flatten)]
    vault: VaultOptions,
}

#[derive(Debug, Args)]
struct StringArgs {
    /// The values; standard input without any
    values: Vec<String>,
    /// The variables' names, one per value
    #[arg(short, long)]
    name: Vec<String>,
    /// The name of the value read from standard input
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Ask for the value
    #[arg(short, long)]
    prompt: bool,
    /// Show the answer while it is typed
    #[arg(long)]
    show_input: bool,
    /// Where to write; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The id to encrypt with
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
    #[command(flatten)]
    vault: VaultOptions,
}

impl VaultArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        match &self.what {
            What::Encrypt(args) => {
                let vault = vault(&args.vault, VaultUse::Encrypt)?;
                let secret = vault.to_encrypt(args.encrypt_vault_id.as_deref())?;
                each(args, |text| {
                    if is_vaulted(text) {
                        return Err(Problem::new("vaulted-already", "it is encrypted already"));
                    }
                    Ok(vault.seal(text, secret)?.into_bytes())
                })?;
            }
            What::Decrypt(args) => {
                let vault = vault(&args.vault, VaultUse::Decrypt)?;
                each(args, |text| Ok(open(&vault, text)?.0))?;
            }
            What::View(args) => {
                let vault = vault(&args.vault, VaultUse::Decrypt)?;
                for path in named(&args.files)? {
                    let (plain, _) = open(&vault, &read(path)?).map_err(|p| about(p, path))?;
                    terminal::print_bytes(&plain);
                }
            }
            What::Edit(args) => {
                let vault = vault(&args.vault, VaultUse::Decrypt)?;
                for path in named(&args.files)? {
                    edit::edit(&vault, path, args.encrypt_vault_id.as_deref())?;
                }
            }
            What::Create(args) => {
                let vault = vault(&args.vault, VaultUse::Encrypt)?;
                edit::create(&vault, &args.file, args.encrypt_vault_id.as_deref(), args.skip_tty_check)?;
            }
            What::Rekey(args) => rekey(args)?,
            What::EncryptString(args) => encrypt_strings(args)?,
        }
        Ok(Exit::Done)
    }
}

fn named(files: &[PathBuf]) -> Result<&[PathBuf], Problem> {
    if files.is_empty() { Err(Problem::new("usage", "no file is named")) } else { Ok(files) }
}

/// What a vaulted text holds, and which secret opened it.
fn open(vault: &Vault, text: &[u8]) -> Result<(Vec<u8>, usize), Problem> {
    vault.secrets.open(&String::from_utf8_lossy(text)).map_err(VaultError::into_problem)
}

fn about(mut problem: Problem, path: &Path) -> Problem {
    problem.message = format!("{}: {}", path.display(), problem.message);
    problem
}

/// Changes every file in place, or one into `--output`. All are changed before the first is written.
fn each(args: &FileArgs, change: impl Fn(&[u8]) -> Result<Vec<u8>, Problem>) -> Result<(), Problem> {
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin[..] } else { &args.files[..] };
    if args.output.is_some() && files.len() > 1 {
        return Err(Problem::new("usage", "`--output` goes with one file"));
    }
    let mut changed = vec![];
    for path in files {
        changed.push((path, change(&read(path)?).map_err(|p| about(p, path))?));
    }
    for (path, bytes) in changed {
        write(args.output.as_ref().unwrap_or(path), &bytes, Keep::Nothing)?;
    }
    Ok(())
}

fn rekey(args: &RekeyArgs) -> Result<(), Problems> {
    let old = vault(&args.vault, VaultUse::Decrypt)?;
    let new = VaultOptions {
        vault_password_file: args.new_vault_password_file.iter().cloned().collect(),
        vault_id: args.new_vault_id.iter().cloned().collect(),
        ask_vault_pass: args.new_vault_password_file.is_none() && args.new_vault_id.is_none(),
    };
    let new = vault(&new, VaultUse::Renew)?;
    let secret = new.to_encrypt(args.encrypt_vault_id.as_deref())?;
    // A wrong password for the last file must not leave the first ones changed.
    let mut sealed = vec![];
    for path in &args.files {
        let (plain, _) = open(&old, &read(path)?).map_err(|p| about(p, path))?;
        sealed.push((path, new.seal(&plain, secret)?));
    }
    for (path, text) in sealed {
        write(path, text.as_bytes(), Keep::ModeAndOwner)?;
    }
    terminal::say("Rekey successful");
    Ok(())
}

fn encrypt_strings(args: &StringArgs) -> Result<(), Problems> {
    let vault = vault(&args.vault, VaultUse::Encrypt)?;
    let secret = vault.to_encrypt(args.encrypt_vault_id.as_deref())?;
    // The values with their names and where they came from.
    let mut values: Vec<(Option<&str>, Vec<u8>, &str)> = vec![];
    if args.prompt {
        let question = "String to encrypt: ";
        let answer =
            if args.show_input { crate::prompt::ask(question) } else { Some(crate::prompt::secret(question)?) };
        let answer =
            answer.filter(|a| !a.is_empty()).ok_or_else(|| Problem::new("usage", "there is nothing to encrypt"))?;
        values.push((args.name.first().map(String::as_str), answer.into_bytes(), "the interactive prompt"));
    }
    if args.stdin_name.is_some() || (args.values.is_empty() && !args.prompt) {
        let text = read(Path::new("-"))?;
        if text.is_empty() {
            return Err(Problem::new("usage", "standard input is empty: there is nothing to encrypt").into());
        }
        let name = args.stdin_name.as_deref().or(args.name.first().map(String::as_str));
        values.push((name, text, "stdin"));
    }
    for (index, value) in args.values.iter().enumerate() {
        values.push((args.name.get(index).map(String::as_str), value.clone().into_bytes(), "the command-line args"));
    }
    if args.name.len() > values.len() {
        return Err(Problem::new("usage", "there are more names than values").into());
    }
    if !args.name.is_empty() && args.name.len() < args.values.len() {
        terminal::say("warning: there are fewer names than values; the last values have none");
    }
    let mut out = String::new();
    for (index, (name, value, origin)) in values.iter().enumerate() {
        if values.len() > 1 {
            let what = name.map_or_else(String::new, |n| format!("variable (\"{n}\"), "));
            terminal::say(&format!("# The encrypted version of {what}the string #{} from {origin}", index + 1));
        }
        let head = name.map_or_else(String::new, |n| format!("{n}: "));
        let body: String = vault.seal(value, secret)?.lines().map(|line| format!("          {line}\n")).collect();
        out.push_str(&format!("{head}!vault |\n{body}"));
    }
    write(args.output.as_deref().unwrap_or(Path::new("-")), out.as_bytes(), Keep::Nothing)?;
    Ok(())
}
