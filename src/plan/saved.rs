//! Saved plans: what was planned, with digests of what it rests on; applied once, on the same nodes, from the same files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::graph::PlanGraph;
use super::guard::{Foretold, Guard, StepKey, step_keys};
use super::step::{Knowledge, Outcome, Planned};
use crate::options::{HostOptions, SelectOptions};
use crate::problem::Problem;
use crate::vars::vault::VaultSecrets;

/// The file's first key: what tells a saved plan from a playbook.
const MARK: &str = "\"kdeploy_plan\"";
const SCHEMA: u32 = 1;

/// Who a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    pub machine_id: String,
    /// Digest of its public host keys.
    pub host_key: String,
}

/// Asks a node who it is; `None` if it cannot be reached.
pub fn node_identity(conversation: &mut dyn crate::node::Conversation) -> Option<NodeIdentity> {
    use crate::world::{Algorithm, Answer, Query};
    let identity = crate::node::Identity::default();
    let hello = conversation.hello(&identity).ok()?;
    let keys = ["ed25519", "ecdsa", "rsa"]
        .map(|kind| Query::Digest { path: format!("/etc/ssh/ssh_host_{kind}_key.pub"), algorithm: Algorithm::Sha256 });
    let answers = conversation.ask(&identity, &keys).ok()?;
    let host_key = answers
        .iter()
        .find_map(|a| match a {
            Answer::Digest(Some(digest)) => Some(digest.clone()),
            _ => None,
        })
        .unwrap_or_default();
    Some(NodeIdentity { machine_id: hello.machine_id, host_key })
}

/// A plan in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedPlan {
    pub kdeploy_plan: u32,
    pub id: String,
    pub kdeploy: String,
    pub created: String,
    /// When it was applied: it may be once.
    pub applied: Option<String>,
    pub directory: PathBuf,
    pub playbooks: Vec<String>,
    pub hosts: HostOptions,
    pub select: SelectOptions,
    /// Files it was made from, and their digests.
    pub files: BTreeMap<PathBuf, String>,
    pub nodes: BTreeMap<String, NodeIdentity>,
    pub steps: Vec<(StepKey, Foretold)>,
    /// Steps that `--target` or `--with-deps` left out.
    pub left_out: Vec<StepKey>,
    /// What `--prune` removes; `None`: it was not asked for.
    #[serde(default)]
    pub removals: Option<Vec<crate::apply::Removal>>,
    /// Hosts where steps may come that the plan does not know.
    pub open_hosts: BTreeSet<String>,
    /// Extra variables: encrypted, or, without a key, only a salted digest of them.
    pub extra_vars: ExtraVars,
    /// Answers to prompts, kept alike.
    #[serde(default)]
    pub prompted: ExtraVars,
    /// What people see: text, the JSON document, the graph.
    pub text: String,
    pub document: serde_json::Value,
    pub graph: String,
}

/// Extra variables may be secrets, so they are never written in clear.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExtraVars {
    pub encrypted: Option<String>,
    pub salt: String,
    pub digest: String,
    pub count: usize,
}

impl ExtraVars {
    fn new(given: &[String], key: Option<&VaultSecrets>) -> Result<Self, Problem> {
        let salt = random_word()?;
        let digest = digest_of(&salt, given);
        let encrypted = match key.filter(|k| !given.is_empty() && !k.is_empty()) {
            Some(key) => {
                let plain = serde_json::to_vec(given).unwrap_or_default();
                Some(key.encrypt(&plain, None).map_err(crate::vars::vault::VaultError::into_problem)?)
            }
            None => None,
        };
        Ok(Self { encrypted, salt, digest, count: given.len() })
    }

    /// The texts are those it was made of.
    pub fn matches(&self, given: &[String]) -> bool {
        digest_of(&self.salt, given) == self.digest
    }

    /// The extra variables for the apply: from the plan, or those given again.
    pub fn open(&self, given: &[String], key: &VaultSecrets) -> Result<Vec<String>, Problem> {
        let found: Vec<String> = match &self.encrypted {
            Some(text) if given.is_empty() => {
                let plain = key.decrypt(text).map_err(|error| {
                    Problem::new("plan-key", "what the plan holds encrypted cannot be read without its key")
                        .note(error.into_problem().message)
                        .help("give what it was made with: `--plan-key FILE`, or the vault password (`--vault-password-file FILE`)")
                })?;
                serde_json::from_slice(&plain).map_err(|e| {
                    Problem::new("invalid-plan", format!("the plan's extra variables cannot be read: {e}"))
                })?
            }
            _ => given.to_vec(),
        };
        if digest_of(&self.salt, &found) != self.digest {
            return Err(Problem::new("other-vars", "the extra variables are not those of the plan").help(format!(
                "the plan was made with {} `-e` options and without a key, so it does not hold them: give the same again",
                self.count
            )));
        }
        Ok(found)
    }
}

fn digest_of(salt: &str, given: &[String]) -> String {
    let mut hash = sha2::Sha256::new();
    hash.update(salt);
    for text in given {
        hash.update([0]);
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

fn random_word() -> Result<String, Problem> {
    use std::io::Read;
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| Problem::new("no-randomness", format!("cannot read /dev/urandom: {e}")))?;
    Ok(hex::encode(bytes))
}

/// The password in a key file that only its owner may read; made if it is not there and `make`.
pub fn key_file(path: &Path, make: bool) -> Result<VaultSecrets, Problem> {
    use std::os::unix::fs::PermissionsExt;
    let wrong = |e: std::io::Error| Problem::new("key-file", format!("key file `{}`: {e}", path.display()));
    if make && !path.exists() {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
        writeln!(file, "{}{}", random_word()?, random_word()?).map_err(wrong)?;
    }
    let mode = std::fs::metadata(path).map_err(wrong)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Problem::new(
            "key-file",
            format!("others may read the key file `{}` (mode {mode:04o})", path.display()),
        )
        .help(format!("chmod 0600 {}", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(wrong)?;
    Ok(VaultSecrets::new([("default".to_owned(), crate::vars::vault::Source::Given(text.trim().as_bytes().to_vec()))]))
}

/// What the command line adds to a plan that is saved.
pub struct Saving<'a> {
    pub playbooks: &'a [String],
    pub hosts: &'a HostOptions,
    pub select: &'a SelectOptions,
    pub prompted: &'a [String],
    pub nodes: BTreeMap<String, NodeIdentity>,
    pub left_out: Vec<StepKey>,
    pub removals: Option<Vec<crate::apply::Removal>>,
    pub key: Option<&'a VaultSecrets>,
    pub created: String,
    pub text: String,
    pub document: serde_json::Value,
    pub graph: String,
}

impl SavedPlan {
    pub fn new(outcome: &Outcome, saving: Saving) -> Result<Self, Problem> {
        let graph = PlanGraph::of(outcome);
        let keys = step_keys(&outcome.steps);
        let mut open_hosts = BTreeSet::new();
        let mut steps = vec![];
        for (index, step) in outcome.steps.iter().enumerate() {
            let unknown = step.planned == Planned::Unknown;
            if unknown && matches!(step.action.rsplit('.').next(), Some("include_tasks" | "include_role")) {
                open_hosts.insert(step.host.clone());
            }
            let runs = step.planned == Planned::Run || step.knowledge == Knowledge::Unknown;
            let foretold = Foretold {
                answers: step.basis.answers.clone(),
                acts: step.planned != Planned::None || runs,
                unknown,
                needs: graph.reasons(index).into_iter().map(|(from, _)| keys[from].clone()).collect(),
            };
            steps.push((keys[index].clone(), foretold));
        }
        let mut files = BTreeMap::new();
        for path in crate::source::files_read() {
            if let Some(digest) = digest_of_path(&path) {
                files.insert(path, digest);
            }
        }
        let mut hosts = saving.hosts.clone();
        let extra_vars = ExtraVars::new(&hosts.extra_vars, saving.key)?;
        hosts.extra_vars.clear();
        let prompted = ExtraVars::new(saving.prompted, saving.key)?;
        Ok(Self {
            kdeploy_plan: SCHEMA,
            id: random_word()?,
            kdeploy: env!("CARGO_PKG_VERSION").to_owned(),
            created: saving.created,
            applied: None,
            directory: std::env::current_dir().unwrap_or_default(),
            playbooks: saving.playbooks.to_vec(),
            hosts,
            select: saving.select.clone(),
            files,
            nodes: saving.nodes,
            steps,
            left_out: saving.left_out,
            removals: saving.removals,
            open_hosts,
            extra_vars,
            prompted,
            text: saving.text,
            document: saving.document,
            graph: saving.graph,
        })
    }

    /// True if a file is a saved plan, by its beginning.
    pub fn is_one(path: &Path) -> bool {
        use std::io::Read;
        let mut head = [0u8; 64];
        let read = std::fs::File::open(path).and_then(|mut f| f.read(&mut head)).unwrap_or(0);
        String::from_utf8_lossy(&head[..read]).contains(MARK)
    }

    pub fn load(path: &Path) -> Result<Self, Problem> {
        let wrong = |e: &dyn std::fmt::Display| {
            Problem::new("invalid-plan", format!("`{}` cannot be read as a saved plan: {e}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
        let plan: Self = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
        if plan.kdeploy_plan != SCHEMA {
            return Err(wrong(&format!("its format is {}, not {SCHEMA}", plan.kdeploy_plan)));
        }
        Ok(plan)
    }

    /// Writes it for its owner alone, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Problem> {
        let wrong = |e: std::io::Error| Problem::new("cannot-write", format!("cannot write `{}`: {e}", path.display()));
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(wrong)?;
        file.write_all(&serde_json::to_vec_pretty(self).unwrap_or_default()).map_err(wrong)?;
        file.write_all(b"\n").map_err(wrong)?;
        file.persist(path).map_err(|e| wrong(e.error))?;
        Ok(())
    }

    /// The files it was made from are unchanged, and it was not applied before.
    pub fn check(&self, path: &Path) -> Result<(), Problem> {
        let used = self.applied.clone().or_else(|| std::fs::read_to_string(used_mark(&self.id)).ok());
        if let Some(when) = used {
            return Err(Problem::new(
                "used-plan",
                format!("`{}` was applied before ({})", path.display(), when.trim()),
            )
            .help("a saved plan may be applied once: make a new one"));
        }
        let changed: Vec<String> = self
            .files
            .iter()
            .filter(|(file, digest)| digest_of_path(file).as_ref() != Some(digest))
            .map(|(file, _)| crate::source::display_path(file))
            .collect();
        if !changed.is_empty() {
            return Err(Problem::new("stale-plan", format!("files changed since the plan: {}", changed.join(", ")))
                .help("a saved plan is that of its files: make a new one"));
        }
        Ok(())
    }

    /// From here on it is used up, whatever comes of it; copies of the file too.
    pub fn mark_used(&mut self, path: &Path, when: &str) -> Result<(), Problem> {
        let mark = used_mark(&self.id);
        if let Some(dir) = mark.parent() {
            drop(std::fs::create_dir_all(dir));
        }
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&mark)
            .and_then(|mut f| f.write_all(when.as_bytes()))
            .map_err(|e| {
                Problem::new("used-plan", format!("the plan cannot be marked as applied in `{}`: {e}", mark.display()))
            })?;
        self.applied = Some(when.to_owned());
        self.write(path)
    }

    /// Nodes that are others than those it was made for.
    pub fn other_nodes(&self, now: &BTreeMap<String, NodeIdentity>) -> Vec<String> {
        self.nodes
            .iter()
            .filter_map(|(host, then)| {
                let now = now.get(host)?;
                let what = match (now.machine_id == then.machine_id, now.host_key == then.host_key) {
                    (true, true) => return None,
                    (false, true) => "its machine-id",
                    (true, false) => "its host key",
                    (false, false) => "its machine-id and host key",
                };
                Some(format!("{host}: {what} changed since the plan"))
            })
            .collect()
    }

    pub fn guard(&self) -> Guard {
        Guard {
            left_out: self.left_out.iter().cloned().collect(),
            saved: Some(self.steps.iter().cloned().collect::<HashMap<_, _>>()),
            open_hosts: self.open_hosts.iter().cloned().collect::<HashSet<_>>(),
        }
    }
}

fn used_mark(id: &str) -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from("/var/lib")).join("kdeploy/plans").join(id)
}

/// Digest of a file, or of all below a folder.
fn digest_of_path(path: &Path) -> Option<String> {
    let mut hash = sha2::Sha256::new();
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path).ok()?.flatten().map(|e| e.path()).collect();
        entries.sort();
        for entry in entries {
            hash.update(entry.file_name()?.as_encoded_bytes());
            hash.update(digest_of_path(&entry).unwrap_or_default());
        }
    } else {
        let mut file = std::fs::File::open(path).ok()?;
        std::io::copy(&mut file, &mut HashWriter(&mut hash)).ok()?;
    }
    Some(hex::encode(hash.finalize()))
}

struct HashWriter<'a>(&'a mut sha2::Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
