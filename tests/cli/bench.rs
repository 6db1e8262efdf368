//! A repository in a temporary folder, and the program run in it with a hermetic environment.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub struct Bench {
    dir: tempfile::TempDir,
}

/// What a call said.
pub struct Said {
    pub rc: i32,
    pub out: String,
    pub err: String,
}

impl Bench {
    /// A repository with one local host and the given files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let bench = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        bench.write("hosts", "[web]\none ansible_connection=local\n");
        bench.write("kdeploy.toml", "inventory = \"hosts\"\nplaybook = \"site.yml\"\n");
        for (name, text) in files {
            bench.write(name, text);
        }
        bench
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder is made");
        std::fs::write(path, text).expect("file is written");
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.run_as("kdeploy", args, &[])
    }

    /// Runs the program under another name, as a link of that name does.
    pub fn run_as(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_kdeploy"))
            .arg0(name)
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("USER", "tester")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("kdeploy runs");
        let clean =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&self.dir.path().display().to_string(), "DIR");
        Said { rc: output.status.code().unwrap_or(-1), out: clean(&output.stdout), err: clean(&output.stderr) }
    }
}
