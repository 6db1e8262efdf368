//! Downloads by the control machine, verified, kept in a cache by digest and shared by all nodes.
//!
//! Resources plan with them (`unarchive` lists an archive before anything is sent), `blob.rs` sends them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine;
use sha2::Digest;
use sha2::digest::DynDigest;
use ureq::tls::{PemItem, RootCerts, TlsConfig};

use super::Download;
use crate::problem::Problem;
use crate::world::Algorithm;

/// What was fetched in this run already.
static FETCHED: LazyLock<Mutex<HashMap<Download, (PathBuf, String)>>> = LazyLock::new(Mutex::default);

/// One lock per download, held while it is made.
static TURNS: LazyLock<Mutex<HashMap<Download, Arc<Mutex<()>>>>> = LazyLock::new(Mutex::default);

/// The file on the control machine and its SHA-256 digest in hex. Downloads at most once per run, however many nodes
/// ask at the same time; with a checksum, at most once at all.
pub fn fetch(download: &Download) -> Result<(PathBuf, String), Problem> {
    if let Some(known) = FETCHED.lock().ok().and_then(|m| m.get(download).cloned())
        && known.0.exists()
    {
        return Ok(known);
    }
    // Hosts that ask for the same at the same time wait for the first of them.
    let turn = TURNS.lock().map(|mut turns| turns.entry(download.clone()).or_default().clone()).unwrap_or_default();
    let _turn = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(known) = FETCHED.lock().ok().and_then(|m| m.get(download).cloned())
        && known.0.exists()
    {
        return Ok(known);
    }
    let found = match download.url.strip_prefix("file://") {
        Some(rest) => from_file(download, rest)?,
        None => from_net(download)?,
    };
    if let Ok(mut map) = FETCHED.lock() {
        map.insert(download.clone(), found.clone());
    }
    Ok(found)
}

/// The address without credentials, for messages.
fn shown(url: &str) -> String {
    match (url.split_once("://"), url.split_once("://").and_then(|(_, r)| r.split('/').next()?.rsplit_once('@'))) {
        (Some((scheme, rest)), Some((credentials, _))) => format!("{scheme}://{}", &rest[credentials.len() + 1..]),
        _ => url.to_owned(),
    }
}

fn trouble(download: &Download, why: impl std::fmt::Display) -> Problem {
    Problem::new("download-failed", format!("cannot download `{}`: {why}", shown(&download.url)))
}

fn mismatch(download: &Download, algorithm: Algorithm, expected: &str, got: &str) -> Problem {
    let name = algorithm.name();
    Problem::new(
        "checksum-mismatch",
        format!(
            "`{}` has not the expected checksum: expected {name}:{expected}, got {name}:{got}",
            shown(&download.url)
        ),
    )
    .help("check the version and the checksum that goes with it; nothing was kept of the download")
}

/// A file of the control machine needs no copy.
fn from_file(download: &Download, rest: &str) -> Result<(PathBuf, String), Problem> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let path = PathBuf::from(percent_decoded(path));
    let mut digests = Digests::new(download);
    File::open(&path)
        .and_then(|mut f| digests.read_from(&mut f, &mut std::io::sink()))
        .map_err(|e| trouble(download, e))?;
    let sha256 = digests.check(download)?;
    Ok((path, sha256))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = vec![];
    let mut i = 0;
    while i < bytes.len() {
        let code = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match code.and_then(|c| u8::from_str_radix(c, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// SHA-256 always, and the algorithm that the checksum names.
struct Digests {
    sha256: sha2::Sha256,
    other: Option<(Algorithm, Box<dyn DynDigest>)>,
}

impl Digests {
    fn new(download: &Download) -> Self {
        let other = download.checksum.as_ref().and_then(|(algorithm, _)| {
            let digest: Box<dyn DynDigest> = match algorithm {
                Algorithm::Sha256 => return None,
                Algorithm::Md5 => Box::new(md5::Md5::new()),
                Algorithm::Sha1 => Box::new(sha1::Sha1::new()),
                Algorithm::Sha224 => Box::new(sha2::Sha224::new()),
                Algorithm::Sha384 => Box::new(sha2::Sha384::new()),
                Algorithm::Sha512 => Box::new(sha2::Sha512::new()),
            };
            Some((*algorithm, digest))
        });
        Self { sha256: sha2::Sha256::new(), other }
    }

    fn read_from(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<u64> {
        let mut buffer = vec![0; 128 * 1024];
        let mut total = 0;
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                return Ok(total);
            }
            Digest::update(&mut self.sha256, &buffer[..n]);
            if let Some((_, other)) = &mut self.other {
                other.update(&buffer[..n]);
            }
            to.write_all(&buffer[..n])?;
            total += n as u64;
        }
    }

    /// The SHA-256 digest, if the checksum is right.
    fn check(self, download: &Download) -> Result<String, Problem> {
        let sha256 = hex::encode(self.sha256.finalize());
        if let Some((algorithm, expected)) = &download.checksum {
            let got = match self.other {
                Some((_, other)) => hex::encode(other.finalize()),
                None => sha256.clone(),
            };
            if !got.eq_ignore_ascii_case(expected) {
                return Err(mismatch(download, *algorithm, expected, &got));
            }
        }
        Ok(sha256)
    }
}

/// `$XDG_CACHE_HOME/kdeploy/downloads`.
fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .unwrap_or_else(|| super::ssh::config::home().join(".cache"));
    base.join("kdeploy/downloads")
}

fn from_net(download: &Download) -> Result<(PathBuf, String), Problem> {
    let dir = cache_dir();
    let cannot = |e: std::io::Error| {
        Problem::new("download-failed", format!("cannot use the download cache `{}`: {e}", dir.display()))
            .help("set XDG_CACHE_HOME to a directory that can be written to")
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(cannot)?;
    // Who comes second, in this process or another, waits and finds the file.
    let lock =
        File::options().create(true).append(true).open(dir.join(format!("{}.lock", key(download)))).map_err(cannot)?;
    lock.lock().map_err(cannot)?;
    if let Some(known) = FETCHED.lock().ok().and_then(|m| m.get(download).cloned()) {
        return Ok(known);
    }
    if let (Some((algorithm, expected)), false) = (&download.checksum, download.force) {
        let path = dir.join(format!("{}-{}", algorithm.name(), expected.to_lowercase()));
        if let Ok(mut file) = File::open(&path) {
            let mut digests = Digests::new(download);
            if digests.read_from(&mut file, &mut std::io::sink()).is_ok() {
                match digests.check(download) {
                    Ok(sha256) => return Ok((path, sha256)),
                    // Damaged on disk: fetched anew.
                    Err(_) => drop(fs::remove_file(&path)),
                }
            }
        }
    }
    let mut temporary = tempfile::Builder::new().prefix(".part-").tempfile_in(&dir).map_err(cannot)?;
    let mut digests = Digests::new(download);
    receive(download, &mut digests, temporary.as_file_mut())?;
    let sha256 = digests.check(download)?;
    let path = dir.join(format!("sha256-{sha256}"));
    temporary.persist(&path).map_err(|e| cannot(e.error))?;
    let mut result = path.clone();
    if let Some((algorithm, expected)) = download.checksum.as_ref().filter(|(a, _)| *a != Algorithm::Sha256) {
        // Found again under the checksum that asked for it.
        let other = dir.join(format!("{}-{}", algorithm.name(), expected.to_lowercase()));
        let _ = fs::remove_file(&other);
        if fs::hard_link(&path, &other).is_ok() {
            result = other;
        }
    }
    Ok((result, sha256))
}

/// Names the lock: by checksum, else by everything that is asked for.
fn key(download: &Download) -> String {
    match &download.checksum {
        Some((algorithm, digest)) => format!("{}-{}", algorithm.name(), digest.to_lowercase()),
        None => format!("url-{}", hex::encode(&sha2::Sha256::digest(format!("{download:?}").as_bytes())[..16])),
    }
}

fn receive(download: &Download, digests: &mut Digests, to: &mut File) -> Result<(), Problem> {
    let timeout = Duration::from_secs(if download.timeout == 0 { 10 } else { download.timeout });
    let mut tls = TlsConfig::builder().disable_verification(!download.validate_certs);
    if let Some(roots) = system_roots() {
        tls = tls.root_certs(roots);
    }
    if let Some(client) = &download.client {
        tls = tls.client_cert(Some(client_certificate(download, client)?));
    }
    let agent = ureq::Agent::config_builder()
        .timeout_resolve(Some(timeout))
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .timeout_per_read(Some(timeout))
        .tls_config(tls.build())
        .build()
        .new_agent();
    let mut url = download.url.clone();
    let (mut user, mut password) = (download.username.clone(), download.password.clone());
    if let Some((credentials, _)) = url.split_once("://").and_then(|(_, r)| r.split('/').next()?.rsplit_once('@')) {
        if user.is_none() {
            let (u, p) = credentials.split_once(':').unwrap_or((credentials, ""));
            (user, password) = (Some(percent_decoded(u)), Some(percent_decoded(p)));
        }
        url = shown(&url);
    }
    let mut request = agent.get(&url).header("Accept-Encoding", "identity");
    for (name, value) in &download.headers {
        request = request.header(name, value);
    }
    if let Some(user) = user {
        let pair = format!("{user}:{}", password.unwrap_or_default());
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        request = request.header("Authorization", format!("Basic {encoded}"));
    }
    let mut response = request.call().map_err(|e| explained(download, &e, timeout))?;
    let expected: Option<u64> =
        response.headers().get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let got = digests.read_from(&mut body, to).map_err(|e| {
        if e.kind() == std::io::ErrorKind::StorageFull {
            return trouble(download, "the control machine's disk is full").help("make room, or set XDG_CACHE_HOME");
        }
        trouble(download, e)
    })?;
    match expected {
        Some(expected) if expected != got => {
            Err(trouble(download, format!("the server sent {got} bytes of {expected}")))
        }
        _ => Ok(()),
    }
}

/// A certificate by which the client says who it is, with those that vouch for it, and its key.
fn client_certificate(download: &Download, files: &(PathBuf, PathBuf)) -> Result<ureq::tls::ClientCert, Problem> {
    let unusable = |path: &Path, why: &dyn std::fmt::Display| {
        trouble(download, format!("the client certificate `{}` cannot be used: {why}", path.display()))
    };
    let read = |path: &Path| fs::read(path).map_err(|e| unusable(path, &e));
    let certificates: Vec<_> = ureq::tls::parse_pem(&read(&files.0)?)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(unusable(&files.0, &"no certificate in PEM is in it"));
    }
    let key = ureq::tls::PrivateKey::from_pem(&read(&files.1)?).map_err(|e| unusable(&files.1, &e))?;
    Ok(ureq::tls::ClientCert::new_with_certs(&certificates, key))
}

fn explained(download: &Download, error: &ureq::Error, timeout: Duration) -> Problem {
    let host = shown(&download.url).split("://").nth(1).and_then(|r| r.split('/').next()).unwrap_or("").to_owned();
    match error {
        ureq::Error::StatusCode(code) => {
            let problem = trouble(download, format!("the server answers with status {code}"));
            match code {
                401 | 403 => problem.help("the server wants (other) credentials: `url_username` and `url_password`, or a header"),
                404 | 410 => problem.help("is the version in the address published?"),
                407 => problem.help("the proxy wants credentials: http_proxy=http://user:password@host:port"),
                _ => problem,
            }
        }
        ureq::Error::HostNotFound => trouble(download, format!("cannot resolve `{host}`"))
            .help("the control machine downloads, not the node: does it need a proxy (https_proxy)?"),
        ureq::Error::Timeout(_) => trouble(download, format!("no answer from `{host}` within {} s", timeout.as_secs()))
            .help("the control machine downloads, not the node: does it need a proxy (https_proxy), or a longer `timeout`?"),
        other => trouble(download, other),
    }
}

/// The control machine's own certificate authorities (a company's among them); `None`: those built in.
fn system_roots() -> Option<RootCerts> {
    static ROOTS: LazyLock<Option<RootCerts>> = LazyLock::new(|| {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let usual = [
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
            "/etc/ssl/cert.pem",
        ];
        let file = named.into_iter().chain(usual.iter().map(PathBuf::from)).find(|p| Path::exists(p))?;
        let pem = fs::read(file).ok()?;
        let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        (!certificates.is_empty()).then(|| RootCerts::new_with_certs(&certificates))
    });
    ROOTS.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(shown("https://user:secret@host/a@b"), "https://host/a@b");
        assert_eq!(shown("https://host/a@b"), "https://host/a@b");
    }

    #[test]
    fn files_are_verified() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a b");
        fs::write(&path, "content").expect("written");
        let download = |checksum: Option<(Algorithm, String)>| Download {
            url: format!("file://{}", path.display().to_string().replace(' ', "%20")),
            checksum,
            headers: vec![],
            client: None,
            username: None,
            password: None,
            timeout: 1,
            validate_certs: true,
            force: false,
        };
        let sha256 = Algorithm::Sha256.hex(b"content");
        assert_eq!(fetch(&download(None)).expect("read"), (path.clone(), sha256.clone()));
        let md5 = Some((Algorithm::Md5, Algorithm::Md5.hex(b"content").to_uppercase()));
        assert_eq!(fetch(&download(md5)).expect("read").1, sha256);
        let wrong = fetch(&download(Some((Algorithm::Sha1, "00".into())))).expect_err("refused");
        assert!(wrong.message.contains("expected sha1:00, got sha1:"), "{}", wrong.message);
    }
}
