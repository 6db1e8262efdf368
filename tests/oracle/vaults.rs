//! `kdeploy vault` and `ansible-vault` open what the other wrote, and with one salt write the same bytes.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};

use crate::inventories::program;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("oracle::vault::both_ways", both_ways).with_ignored_flag(true),
        Trial::test("oracle::vault::same_bytes", same_bytes).with_ignored_flag(true),
        Trial::test("oracle::vault::mistakes", mistakes).with_ignored_flag(true),
    ]
}

struct Bench {
    dir: tempfile::TempDir,
}

struct Ran {
    well: bool,
    stdout: String,
    stderr: String,
}

impl Bench {
    fn new() -> Result<Self, Failed> {
        let bench = Self { dir: tempfile::tempdir()? };
        bench.file("one", "first password\n", 0o600)?;
        bench.file("two", "second\n", 0o600)?;
        bench.file("pass-client.sh", "#!/bin/sh\n[ \"$1 $2\" = '--vault-id dev' ] && echo from the client\n", 0o700)?;
        bench.file("editor.sh", "#!/bin/sh\nstat -c %a \"$1\" > mode\necho added >> \"$1\"\n", 0o700)?;
        Ok(bench)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> Result<(), Failed> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
    }

    fn read(&self, name: &str) -> Result<String, Failed> {
        Ok(std::fs::read_to_string(self.dir.path().join(name))?)
    }

    fn run(&self, program: &Path, words: &str, stdin: &str) -> Result<Ran, Failed> {
        let mut child = Command::new(program)
            .args(words.split_whitespace())
            .current_dir(self.dir.path())
            .env("EDITOR", self.dir.path().join("editor.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or("no stdin")?.write_all(stdin.as_bytes())?;
        let output = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ran { well: output.status.success(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    fn ours(&self, words: &str, stdin: &str) -> Result<Ran, Failed> {
        self.run(&PathBuf::from(env!("CARGO_BIN_EXE_kdeploy")), &format!("vault {words}"), stdin)
    }

    fn theirs(&self, words: &str, stdin: &str) -> Result<Ran, Failed> {
        self.run(&program("ansible-vault"), words, stdin)
    }
}

fn well(ran: Ran, what: &str) -> Result<String, Failed> {
    if ran.well { Ok(ran.stdout) } else { Err(format!("{what} failed: {}", ran.stderr).into()) }
}

fn same(what: &str, left: &str, right: &str) -> Result<(), Failed> {
    if left == right { Ok(()) } else { Err(format!("{what}: `{left}` is not `{right}`").into()) }
}

fn both_ways() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let text = "a: 1\ntext: grüße\n";
    for (ids, header) in [
        ("--vault-password-file one", "$ANSIBLE_VAULT;1.1;AES256"),
        ("--vault-id prod@one", "$ANSIBLE_VAULT;1.2;AES256;prod"),
        ("--vault-id dev@pass-client.sh", "$ANSIBLE_VAULT;1.2;AES256;dev"),
    ] {
        bench.file("ours", text, 0o644)?;
        bench.file("theirs", text, 0o644)?;
        well(bench.ours(&format!("encrypt {ids} ours"), "")?, "encrypt")?;
        well(bench.theirs(&format!("encrypt {ids} theirs"), "")?, "their encrypt")?;
        for name in ["ours", "theirs"] {
            same("header", bench.read(name)?.lines().next().unwrap_or_default(), header)?;
            let mode = bench.dir.path().join(name).metadata()?.permissions().mode() & 0o777;
            same("mode", &format!("{mode:o}"), "600")?;
        }
        same("we view theirs", &well(bench.ours(&format!("view {ids} theirs"), "")?, "view")?, text)?;
        same(
            "they view ours",
            well(bench.theirs(&format!("view {ids} ours"), "")?, "their view")?.trim_end(),
            text.trim_end(),
        )?;
        // Edited by us: the id stays, the mode stays, they read it.
        std::fs::set_permissions(bench.dir.path().join("theirs"), std::fs::Permissions::from_mode(0o640))?;
        well(bench.ours(&format!("edit {ids} theirs"), "")?, "edit")?;
        same("draft's mode", bench.read("mode")?.trim(), "600")?;
        same("header after edit", bench.read("theirs")?.lines().next().unwrap_or_default(), header)?;
        let mode = bench.dir.path().join("theirs").metadata()?.permissions().mode() & 0o777;
        same("mode after edit", &format!("{mode:o}"), "640")?;
        well(bench.theirs(&format!("decrypt {ids} theirs"), "")?, "their decrypt")?;
        same("edited", &bench.read("theirs")?, &format!("{text}added\n"))?;
        // New password: ours to theirs.
        well(bench.ours(&format!("rekey {ids} --new-vault-id other@two ours"), "")?, "rekey")?;
        same("new header", bench.read("ours")?.lines().next().unwrap_or_default(), "$ANSIBLE_VAULT;1.2;AES256;other")?;
        well(bench.theirs("decrypt --vault-id other@two ours", "")?, "their decrypt")?;
        same("rekeyed", &bench.read("ours")?, text)?;
    }
    well(bench.ours("create --skip-tty-check --vault-id prod@one sub/new.yml", "")?, "create")?;
    same("created", &well(bench.theirs("view --vault-id prod@one sub/new.yml", "")?, "view")?, "added\n")
}

fn same_bytes() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let call = |words: &str, stdin: &str| -> Result<(), Failed> {
        let run = |program: &Path, first: &str| {
            let output = Command::new(program)
                .args(first.split_whitespace().chain(words.split_whitespace()))
                .current_dir(bench.dir.path())
                .env("ANSIBLE_VAULT_ENCRYPT_SALT", "pinch")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .and_then(|mut child| {
                    if let Some(mut pipe) = child.stdin.take() {
                        pipe.write_all(stdin.as_bytes())?;
                    }
                    child.wait_with_output()
                })?;
            Ok::<String, Failed>(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let theirs = run(&program("ansible-vault"), "")?;
        let ours = run(&PathBuf::from(env!("CARGO_BIN_EXE_kdeploy")), "vault")?;
        if theirs.is_empty() {
            return Err(format!("`{words}`: ansible-vault wrote nothing").into());
        }
        same(words, ours.trim_end(), theirs.trim_end())
    };
    call("encrypt_string --vault-password-file one value", "")?;
    call("encrypt_string --vault-id prod@one --name token value", "")?;
    call("encrypt_string --vault-id a@one --vault-id b@two --encrypt-vault-id b --name x --name y v1 v2", "")?;
    call("encrypt_string --vault-id prod@one --stdin-name piped", "from stdin\n")?;
    call("encrypt --vault-id prod@one", "a file\n")?;
    call("encrypt --vault-password-file two --output -", "")
}

fn mistakes() -> Result<(), Failed> {
    let bench = Bench::new()?;
    bench.file("plain", "x\n", 0o600)?;
    bench.file("vaulted", "x\n", 0o600)?;
    well(bench.theirs("encrypt --vault-id a@one vaulted", "")?, "encrypt")?;
    for words in [
        "encrypt --vault-id a@one vaulted",
        "decrypt --vault-id a@two vaulted",
        "decrypt --vault-id a@one plain",
        "view --vault-id a@one plain",
        "encrypt --vault-id a@one --vault-id b@two plain",
        "encrypt --vault-id a@one --encrypt-vault-id zz plain",
        "create --skip-tty-check --vault-id a@one plain",
        "decrypt --vault-id a@missing vaulted",
        "rekey --vault-id a@two --new-vault-id b@one vaulted",
    ] {
        let before = (bench.read("plain")?, bench.read("vaulted")?);
        if bench.theirs(words, "")?.well || bench.ours(words, "")?.well {
            return Err(format!("`{words}` is no mistake").into());
        }
        if before != (bench.read("plain")?, bench.read("vaulted")?) {
            return Err(format!("`{words}` changed a file").into());
        }
    }
    Ok(())
}
