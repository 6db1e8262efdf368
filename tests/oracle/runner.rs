//! One process that has imported ansible, and forks for each case (runner.py): started by the first test that needs it, shared
//! by all, gone by itself afterwards.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Error, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const STARTUP: Duration = Duration::from_secs(60);

/// Runs ansible-playbook in `cwd`; what it prints goes to `output`.
pub fn run(
    python: &Path,
    shared_env: &[(&str, String)],
    cwd: &Path,
    args: &[String],
    env: &BTreeMap<String, String>,
    output: &Path,
) -> std::io::Result<i32> {
    let mut stream = connect(python, shared_env)?;
    let request = serde_json::json!({"cwd": cwd, "args": args, "env": env, "output": output});
    writeln!(stream, "{request}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    answer.trim().parse().map_err(|_| Error::other(format!("the runner said {answer:?}")))
}

fn connect(python: &Path, env: &[(&str, String)]) -> std::io::Result<UnixStream> {
    let (stream, _) = server(python, "runner.py", &[], env)?;
    Ok(stream)
}

/// A connection to the server that a script of tests/oracle is, and its socket; started if it does not run.
pub fn server(
    python: &Path,
    script: &str,
    words: &[&str],
    env: &[(&str, String)],
) -> std::io::Result<(UnixStream, PathBuf)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(script);
    let mut hasher = DefaultHasher::new();
    (python, env, &script, std::fs::read(&script)?).hash(&mut hasher);
    let socket = std::env::temp_dir().join(format!("kdeploy-oracle-{:x}", hasher.finish()));
    if let Ok(stream) = UnixStream::connect(&socket) {
        return Ok((stream, socket));
    }
    let lock = std::fs::File::create(socket.with_extension("lock"))?;
    lock.lock()?;
    if let Ok(stream) = UnixStream::connect(&socket) {
        return Ok((stream, socket));
    }
    start(python, &script, words, &socket, env)?;
    let begin = Instant::now();
    loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => return Ok((stream, socket)),
            Err(error) if begin.elapsed() > STARTUP => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The process outlives this test: nothing of the test's is left open in it.
fn start(
    python: &Path,
    script: &Path,
    words: &[&str],
    socket: &PathBuf,
    env: &[(&str, String)],
) -> std::io::Result<()> {
    let _ = std::fs::remove_file(socket);
    let log = std::fs::File::create(socket.with_extension("log"))?;
    Command::new(python)
        .arg(script)
        .args(words)
        .arg(socket)
        .envs(env.iter().map(|(k, v)| (k, v)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    Ok(())
}
