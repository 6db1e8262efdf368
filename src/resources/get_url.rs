//! `get_url`: a download onto a node. The manual is doc/get_url.md.
//!
//! The control machine downloads, verifies and keeps the file; the node needs no program for it.

mod sums;

use std::sync::Arc;

use minijinja::Value;

use super::common::attributes::{self, Attributes, COMMON};
use super::common::place::{self, Placing, Wanted};
use super::common::{concat, fail, invalid, paths};
use super::copy::{Spot, spot};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Command, Done, Download, ExecSpec};
use crate::problem::Problem;
use crate::world::{Algorithm, Answer, Effect, FileKind, Query, Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("url", Kind::Str, "what is downloaded").required(),
    ArgSpec::new("dest", Kind::Path, "where it goes; a folder takes the URL's last part as name").required(),
    ArgSpec::new("checksum", Kind::Str, "`algorithm:digest` or `algorithm:URL` of a file of checksums").default(""),
    ArgSpec::new("force", Kind::Bool, "download even if the file is there, and replace it if it differs")
        .aliases(&["thirsty"])
        .default("no"),
    ArgSpec::new("backup", Kind::Bool, "keep the replaced file under a name with the time").default("no"),
    ArgSpec::new("timeout", Kind::Int, "seconds").default("10"),
    ArgSpec::new("headers", Kind::Dict, "further request headers"),
    ArgSpec::new("url_username", Kind::Str, "user for basic authentication").aliases(&["username"]),
    ArgSpec::new("url_password", Kind::Str, "password for basic authentication").aliases(&["password"]),
    ArgSpec::new("http_agent", Kind::Str, "the User-Agent header").default("ansible-httpget"),
    ArgSpec::new("validate_certs", Kind::Bool, "check the server's certificate").default("yes"),
    ArgSpec::new("force_basic_auth", Kind::Bool, "accepted; credentials are always sent at once").default("no"),
    ArgSpec::new("tmp_dest", Kind::Path, "accepted; nothing is kept on the node meanwhile"),
    ArgSpec::new("use_proxy", Kind::Bool, "accepted; the control machine's proxy settings hold").default("yes"),
    ArgSpec::new("unredirected_headers", Kind::List, "accepted"),
    ArgSpec::new("decompress", Kind::Bool, "accepted").default("yes"),
    ArgSpec::new("use_netrc", Kind::Bool, "accepted").default("yes"),
    ArgSpec::new("use_gssapi", Kind::Bool, "not supported yet").default("no"),
    ArgSpec::new("client_cert", Kind::Path, "a client certificate in PEM on the control machine"),
    ArgSpec::new("client_key", Kind::Path, "its key; none: it is in the certificate's file"),
    ArgSpec::new("ciphers", Kind::List, "not supported yet"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "get_url",
    qualified: &["ansible.builtin.get_url"],
    doc: include_str!("doc/get_url.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct GetUrl {
    url: String,
    dest: String,
    /// The URL's last part.
    name: String,
    checksum: Option<(Algorithm, String)>,
    download: Download,
    /// A file that is there is replaced if the server's differs.
    force: bool,
    backup: bool,
    attributes: Attributes,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    if args.given("ciphers") && args.raw("ciphers").is_some() {
        return Err(Problem::unsupported("the argument `ciphers`").at(args.span("ciphers")).into());
    }
    let here = |name: &str| -> Result<Option<std::path::PathBuf>, Problem> {
        let path = args.str(name)?.filter(|t| !t.is_empty());
        path.map(|p| (setting.find_file)("files", &p).map_err(|e| e.or_at(args.span(name)))).transpose()
    };
    let client = match (here("client_cert")?, here("client_key")?) {
        (Some(certificate), key) => Some((certificate.clone(), key.unwrap_or(certificate))),
        (None, Some(_)) => {
            return Err(invalid("`client_key` goes with `client_cert`").at(args.span("client_key")).into());
        }
        (None, None) => None,
    };
    if args.flag("use_gssapi")? {
        return Err(Problem::unsupported("the argument `use_gssapi`").at(args.span("use_gssapi")).into());
    }
    let url = args.need("url")?.trim().to_owned();
    let scheme = url.split("://").next().unwrap_or("");
    if !url.contains("://") {
        return Err(invalid(format!("`{url}` is no URL")).at(args.span("url")).into());
    }
    if !matches!(scheme, "http" | "https") {
        return Err(Problem::unsupported(format!("downloads by `{scheme}`")).at(args.span("url")).into());
    }
    let force = args.flag("force")?;
    let mut headers: Vec<(String, String)> =
        args.dict("headers")?.into_iter().map(|(k, v)| (k, super::text_of(&v))).collect();
    if !headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("user-agent")) {
        headers.push(("User-Agent".to_owned(), args.need("http_agent")?));
    }
    let request = |url: &str| -> Result<Download, Problem> {
        Ok(Download {
            url: url.to_owned(),
            checksum: None,
            headers: headers.clone(),
            client: client.clone(),
            username: args.str("url_username")?.filter(|t| !t.is_empty()),
            password: args.str("url_password")?.filter(|t| !t.is_empty()),
            timeout: u64::try_from(args.int("timeout")?.unwrap_or(10)).unwrap_or(10),
            validate_certs: args.bool("validate_certs")?.unwrap_or(true),
            force,
        })
    };
    let fetch = |download: &Download| (setting.fetch)(download).map_err(|p| Stop::Failed(p.to_string()));
    let name = sums::file_name(&url);
    let checksum = match args.str("checksum")?.filter(|t| !t.trim().is_empty()) {
        None => None,
        Some(text) => {
            let (algorithm, rest) = sums::split(&text).map_err(|p| p.at(args.span("checksum")))?;
            let digest = if rest.contains("://") {
                let list = fetch(&Download { force: true, ..request(&rest)? })?;
                match sums::find(&list, &name) {
                    Some(digest) => digest,
                    None => return fail(format!("Unable to find a checksum for file '{name}' in '{rest}'")),
                }
            } else {
                rest
            };
            let digest = sums::clean(&digest);
            if digest.is_empty() || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
                return fail("The checksum format is invalid");
            }
            Some((algorithm, digest))
        }
    };
    let mut download = request(&url)?;
    download.checksum.clone_from(&checksum);
    Ok(Arc::new(GetUrl {
        dest: paths::need(&args, "dest", setting)?,
        backup: args.flag("backup")? && !setting.check_mode,
        attributes: Attributes::from_args(&args, setting)?,
        url,
        name,
        checksum,
        download,
        force,
    }))
}

impl GetUrl {
    /// A failure as Ansible tells it.
    fn failure(&self, dest: &str, why: &str) -> TaskResult {
        let code = why
            .split_once("answers with status ")
            .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok());
        let response = match code {
            Some(code) => {
                let reason = ureq::http::StatusCode::from_u16(code).ok().and_then(|c| c.canonical_reason());
                format!("HTTP Error {code}: {}", reason.unwrap_or_default())
            }
            None if why.contains("Connection refused") => {
                "Request failed: <urlopen error [Errno 111] Connection refused>".to_owned()
            }
            None => format!("Request failed: <{why}>"),
        };
        TaskResult::unchanged()
            .with("url", self.url.as_str())
            .with("dest", dest)
            .with("elapsed", 0)
            .with("status_code", code.map_or(-1, i32::from))
            .with("response", response)
            .with("msg", why)
    }
}

impl Resource for GetUrl {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let clean = paths::clean(&self.dest);
        view.want([false, true].map(|follow| Query::Stat { path: clean.clone(), follow }));
        view.want([Query::Stat { path: paths::dirname(&clean).to_owned(), follow: true }]);
        view.want(self.attributes.queries());
        if self.force || self.checksum.is_some() {
            let algorithm = self.checksum.as_ref().map_or(Algorithm::Sha1, |(algorithm, _)| *algorithm);
            let in_folder = paths::clean(&paths::join(&clean, &self.name));
            view.want([clean.clone(), in_folder.clone()].map(|path| Query::Digest { path, algorithm }));
            view.want([clean.clone(), in_folder].map(|path| Query::Digest { path, algorithm: Algorithm::Sha1 }));
        }
        let Spot { path, old } = spot(view, &self.dest, &self.name, false)?;
        let there = match &old {
            Some(s) if s.kind == FileKind::Link => view.stat(&path, true)?.is_some(),
            old => old.is_some(),
        };
        // Whether the server has a newer file is only asked about a file that is named itself.
        let compare = there && self.checksum.is_none() && (self.force || path != clean);
        let wanted = if compare {
            let bytes = crate::node::fetch(&self.download)
                .map_err(|p| p.to_string())
                .and_then(|(file, _)| std::fs::read(file).map_err(|e| e.to_string()));
            match bytes {
                Ok(bytes) => Wanted::bytes(bytes),
                Err(why) => return Ok(Verdict::Failed(self.failure(&path, &why))),
            }
        } else {
            Wanted::download(self.download.clone())
        };
        let by = match &self.checksum {
            None if compare => wanted.digest(Algorithm::Sha1).map(|hex| (Algorithm::Sha1, hex)),
            checksum => checksum.clone(),
        };
        let old_digest = match &by {
            Some((algorithm, _)) if there => view.digest(&path, *algorithm)?,
            _ => None,
        };
        if there && by.is_none() {
            // As Ansible has it: what was not modified keeps its owner and mode too.
            let mut result = TaskResult::unchanged().with("url", self.url.as_str()).with("dest", path.as_str());
            if let Some(stat) = view.stat(&path, true)? {
                result = attributes::describe(result, &stat);
            }
            return Ok(Verdict::Unchanged(
                result.with("elapsed", 0).with("status_code", 304).with("msg", "HTTP Error 304: Not Modified"),
            ));
        }
        let same = there && by.as_ref().is_some_and(|(_, wanted)| old_digest.as_deref() == Some(wanted.as_str()));
        // For the result: Ansible tells it of a file that is replaced.
        let old_sha1 = if there && !same { view.digest(&path, Algorithm::Sha1)? } else { None };
        if !same {
            let dir = paths::dirname(&path);
            if view.stat(dir, true)?.is_none_or(|s| s.kind != FileKind::Directory) {
                return Ok(Verdict::Failed(
                    TaskResult::unchanged()
                        .with("url", self.url.as_str())
                        .with("dest", path.as_str())
                        .with("msg", format!("Destination {dir} does not exist")),
                ));
            }
        }
        let resolved = self.attributes.resolve(view)?;
        let backup = self.backup.then(|| paths::backup_name(&path));
        let placed = place::place(
            view,
            &Placing {
                path: &path,
                old: old.as_ref(),
                wanted: &wanted,
                same,
                attributes: &resolved,
                backup: backup.as_deref(),
                validate: None,
                source: &self.url,
            },
        )?;
        let sha1 = wanted.digest(Algorithm::Sha1).map_or(Value::from(()), Value::from);
        let mut result =
            TaskResult::unchanged().with("url", self.url.as_str()).with("dest", path.as_str()).with("elapsed", 0);
        result = attributes::describe(result, &placed.stat);
        if placed.content_changed || compare {
            let kept = old_digest.filter(|_| compare && same);
            let old_sha1 = old_sha1.or(kept).map_or(Value::from(()), Value::from);
            result = result
                .with("checksum_dest", old_sha1)
                .with("checksum_src", sha1)
                .with("md5sum", wanted.digest(Algorithm::Md5).map_or(Value::from(()), Value::from))
                .with("src", self.url.as_str())
                .with("status_code", 200)
                .with("msg", wanted.size.map_or("OK".to_owned(), |n| format!("OK ({n} bytes)")));
        } else {
            let changed = if placed.changed { " but file attributes changed" } else { "" };
            result = result
                .with("checksum_dest", ())
                .with("checksum_src", ())
                .with("msg", format!("file already exists{changed}"));
        }
        if let Some(backup) = &placed.backup_file {
            result = result.with("backup_file", backup.as_str());
        }
        if !placed.changed {
            return Ok(Verdict::Unchanged(result));
        }
        let mut actions = placed.actions;
        let mut effects = placed.effects;
        if placed.content_changed {
            let source = Answer::Source(wanted.blob.clone());
            effects.push(Effect { query: Query::Source { path: path.clone() }, answer: Ok(source) });
        }
        if placed.content_changed && wanted.bytes.is_none() {
            actions.push(look_at(&path));
        }
        Ok(Verdict::Change(Change {
            kind: if placed.created { ChangeKind::Create } else { ChangeKind::Change },
            diff: placed.diff,
            actions,
            effects,
            opaque: false,
            result: TaskResult { changed: true, ..result },
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let mut result = change.result.clone();
        for ended in done {
            if let Done::Failed { message, .. } = ended {
                let dest = result.values.get("dest").map(super::text_of).unwrap_or_default();
                return Err(self.failure(&dest, message));
            }
        }
        let (Some(Action::Exec(_)), Some(Done::Ok(output))) = (change.actions.last(), done.last()) else {
            return Ok(result);
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.lines().filter_map(|line| line.split_whitespace().next());
        if let (Some(size), Some(sha1), Some(md5)) = (words.next(), words.next(), words.next()) {
            let size: u64 = size.parse().unwrap_or_default();
            result = result
                .with("size", size)
                .with("msg", format!("OK ({size} bytes)"))
                .with("checksum_src", sha1)
                .with("md5sum", md5);
        }
        Ok(result)
    }
}

/// Size and digests of the file that was put in place, for the result.
fn look_at(path: &str) -> Action {
    let text = "wc -c <\"$1\"; sha1sum <\"$1\"; md5sum <\"$1\"";
    Action::Exec(ExecSpec {
        command: Command::Argv(["sh", "-c", text, "sh", path].map(str::to_owned).to_vec()),
        ..ExecSpec::default()
    })
}
