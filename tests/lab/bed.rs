//! What every test here starts from: a lab, a project folder that uses this repository's roles, and kdeploy run in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// A lab with nodes and a project folder; both gone when it is dropped.
pub struct Bed {
    lab: String,
    /// kdeploy's working directory: kdeploy.toml, roles, playbooks, inventory.
    pub project: tempfile::TempDir,
    /// Its HOME: known_hosts, cache, state.
    pub home: tempfile::TempDir,
    /// First on kdeploy's PATH: where a test puts kubectl.
    pub programs: PathBuf,
}

/// How a run of kdeploy ended.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Both outputs, for looking for a message wherever it is.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.text().contains(text), "no `{text}` in\n{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}\n{}\n{}", self.stdout, self.stderr))
    }

    /// `hosts.NODE.KEY` of the JSON report.
    #[track_caller]
    pub fn count(&self, node: &str, key: &str) -> u64 {
        let report = self.json();
        report["hosts"][node][key].as_u64().unwrap_or_else(|| panic!("no hosts.{node}.{key} in {report:#}"))
    }
}

impl Bed {
    /// `nodes` as `lab up` takes them: `worker99`, `worker98=docker`.
    pub fn with(nodes: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let lab = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let home = tempfile::tempdir().unwrap();
        let programs = home.path().join("bin");
        let bed = Self { lab, project: tempfile::tempdir().unwrap(), home, programs };
        bed.lab("lab", &[&["up"], nodes].concat());
        for folder in ["roles", "playbooks"] {
            std::os::unix::fs::symlink(Path::new(REPOSITORY).join(folder), bed.project.path().join(folder)).unwrap();
        }
        bed.write(
            "kdeploy.toml",
            "inventory = \"inventory\"\nplaybook = \"playbooks/k8s.yml\"\nroles_path = [\"roles\"]\n",
        );
        bed.write("inventory/hosts.ini", &bed.lab("lab", &["inventory"]));
        let settings =
            std::fs::read_to_string(Path::new(REPOSITORY).join("inventories/lab/group_vars/all/lab.yml")).unwrap();
        bed.write("inventory/group_vars/all/lab.yml", &settings);
        let known_hosts = std::fs::read_to_string(bed.dir().join("known_hosts")).unwrap();
        std::fs::create_dir(bed.home.path().join(".ssh")).unwrap();
        std::fs::write(bed.home.path().join(".ssh/known_hosts"), known_hosts).unwrap();
        bed
    }

    /// One node named worker99.
    pub fn worker99() -> Self {
        Self::with(&["worker99"])
    }

    /// Serves the release archives, and lets the inventory say so.
    pub fn with_mirror(self) -> Self {
        self.lab("mirror", &["serve"]);
        self.write("inventory/group_vars/all/mirror.yml", &self.lab("mirror", &["vars"]));
        self
    }

    /// Runs lab/lab or lab/mirror for this lab.
    #[track_caller]
    pub fn lab(&self, program: &str, args: &[&str]) -> String {
        let out = Command::new(Path::new(REPOSITORY).join("lab").join(program))
            .args(args)
            .env("KDEPLOY_LAB_NAME", &self.lab)
            .env("KDEPLOY_LAB_OWNER", std::process::id().to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// The lab's own folder.
    pub fn dir(&self) -> PathBuf {
        PathBuf::from(self.lab("lab", &["dir"]).trim())
    }

    pub fn address(&self, node: &str) -> String {
        self.lab("lab", &["addr", node]).trim().to_owned()
    }

    /// A command on the node as root, by other means than kdeploy's; its output.
    #[track_caller]
    pub fn on(&self, node: &str, command: &str) -> String {
        self.lab("lab", &["ssh", node, command])
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.project.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// kdeploy in the project folder, with nothing of the caller's environment that it could read.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kdeploy"));
        command
            .args(args)
            .current_dir(self.project.path())
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.programs.display()),
            )
            .env("HOME", self.home.path())
            .env("USER", "root")
            .stdin(Stdio::null());
        command
    }

    pub fn kdeploy(&self, args: &[&str]) -> Run {
        finished(self.start(args))
    }

    /// The same, and both outputs go into the file that `KDEPLOY_TRANSCRIPT` names, for the manual that is written from them.
    pub fn told(&self, what: &str, args: &[&str]) -> Run {
        let begin = std::time::Instant::now();
        let run = self.kdeploy(args);
        let took = begin.elapsed().as_secs();
        self.note(what, &format!("$ kdeploy {}\n{}exit {} after {took} s\n", args.join(" "), run.text(), run.code));
        run
    }

    pub fn note(&self, what: &str, text: &str) {
        use std::io::Write;
        if let Some(path) = std::env::var_os("KDEPLOY_TRANSCRIPT") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "== {what}\n{text}").unwrap();
        }
    }

    /// Started and not waited for: to be cut off or killed.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The kubectl of the Kubernetes that `lab/cluster` built.
    pub fn kubectl(&self) -> String {
        let vars = self.lab("cluster", &["vars"]);
        vars.lines().find_map(|l| l.strip_prefix("kubernetes_kubectl: ")).unwrap().to_owned()
    }

    /// Waits until the node says yes to a shell condition.
    #[track_caller]
    pub fn wait_for(&self, node: &str, condition: &str) {
        let script = format!("for i in $(seq 300); do if {condition}; then exit 0; fi; sleep 0.1; done; exit 1");
        self.lab("lab", &["exec", node, "sh", "-c", &script]);
    }
}

pub fn finished(child: Child) -> Run {
    let out = child.wait_with_output().unwrap();
    Run {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ =
            Command::new(Path::new(REPOSITORY).join("lab/lab")).arg("down").env("KDEPLOY_LAB_NAME", &self.lab).status();
    }
}
