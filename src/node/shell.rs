//! One long-lived shell on a node, for one user: bootstrap, framed requests, replies in sections.
//!
//! Requests go down its standard input as `kind length blob-length`, the script, the blob. Replies come back as
//! sections: bytes, then a line `NONCE= TAG`. `ask.rs` and `act.rs` say what scripts and sections mean.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::Hello;
use super::channel::{Channel, ChannelError, Inbox};

/// The first program on the node: chooses how to read exactly N bytes from a pipe by trying it (GNU `head -c` does,
/// busybox's reads ahead), then evaluates N bytes. One line, no single quote, no `!`: any login shell passes it on.
const STAGE0: &str = concat!(
    r#"echo kd-ready;read -r k;K="dd bs=1 count=";"#,
    r#"if [ "$(printf ab|{ head -c 1 >/dev/null;head -c 1;} 2>/dev/null)" = b ];then K="head -c ";"#,
    r#"elif [ "$(printf ab|{ dd iflag=fullblock,count_bytes bs=9 count=1 >/dev/null;dd iflag=fullblock,count_bytes bs=9 count=1;} 2>/dev/null)" = b ];"#,
    r#"then K="dd iflag=fullblock,count_bytes bs=65536 count=";fi;"#,
    r#"eval "$($K$k 2>/dev/null)""#,
);

const CORE: &str = include_str!("sh/core.sh");
const QUERY: &str = include_str!("sh/query.sh");
const ACTION: &str = include_str!("sh/action.sh");
const LEDGER: &str = include_str!("sh/ledger.sh");
const CONFIRM: &str = include_str!("sh/confirm.sh");

/// `sh -c '…'` to be run by the login shell or by sudo.
pub fn command(shell: Option<&str>) -> String {
    format!("{} -c '{STAGE0}'", super::quote::quote(shell.unwrap_or("/bin/sh")))
}

/// Bytes of one reply up to a tag line.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub body: Vec<u8>,
    pub tag: String,
}

/// Which functions a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    Query,
    Action,
    /// Needs [`Library::Action`].
    Ledger,
    /// Needs [`Library::Action`].
    Confirm,
}

/// Bytes of a blob on their way.
pub enum Piece {
    Bytes(Arc<Vec<u8>>),
    File(File, u64),
}

impl Piece {
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(b) => b.len() as u64,
            Self::File(_, n) => *n,
        }
    }

    /// All of them in memory.
    pub fn into_bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Bytes(b) => Ok(b.to_vec()),
            Self::File(file, n) => {
                let mut bytes = vec![];
                file.take(n).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
                Ok(bytes)
            }
        }
    }
}

/// Why a shell cannot go on.
#[derive(Debug, Clone)]
pub enum ShellError {
    /// The channel broke or the shell ended; its last words on stderr.
    /// `broken`: the connection itself failed, not the shell.
    Lost {
        why: String,
        stderr: String,
        broken: bool,
    },
    Timeout(Duration),
}

/// Requests waiting to be sent.
#[derive(Default)]
struct Outgoing {
    pieces: VecDeque<Piece>,
    /// What of the first piece is sent, or a buffer of a file's bytes.
    offset: usize,
    chunk: Vec<u8>,
}

impl Outgoing {
    fn push(&mut self, piece: Piece) {
        if piece.len() > 0 {
            self.pieces.push_back(piece);
        }
    }

    /// The next bytes to send; empty when there is nothing left.
    fn peek(&mut self) -> std::io::Result<&[u8]> {
        loop {
            match self.pieces.front_mut() {
                None => return Ok(&[]),
                Some(Piece::Bytes(b)) if self.offset >= b.len() => {}
                Some(Piece::Bytes(_)) => break,
                Some(Piece::File(file, left)) => {
                    if self.offset < self.chunk.len() {
                        break;
                    }
                    self.chunk.clear();
                    self.offset = 0;
                    if *left > 0 {
                        let n = (*left).min(256 * 1024);
                        file.take(n).read_to_end(&mut self.chunk)?;
                        if (self.chunk.len() as u64) < n {
                            return Err(std::io::Error::other("a file became shorter while it was sent"));
                        }
                        *left -= n;
                        break;
                    }
                }
            }
            self.pieces.pop_front();
            self.offset = 0;
            self.chunk.clear();
        }
        Ok(match self.pieces.front() {
            Some(Piece::Bytes(b)) => &b[self.offset..],
            _ => &self.chunk[self.offset..],
        })
    }

    fn advance(&mut self, n: usize) {
        self.offset += n;
    }
}

pub struct Shell {
    channel: Box<dyn Channel>,
    /// Unguessable; marks the ends of sections and records.
    pub nonce: String,
    marker: Vec<u8>,
    inbox: Inbox,
    /// Everything of `inbox.out` before this was looked at and holds no marker.
    searched: usize,
    outgoing: Outgoing,
    loaded: Vec<Library>,
    greeted: Option<(Hello, Vec<String>)>,
    pub sent: u64,
    pub received: u64,
    pub processes: u64,
    sequence: u64,
    dead: bool,
}

impl Shell {
    /// Over a channel on which [`command`] runs. Nothing is waited for: the bootstrap travels with the first request.
    /// `local`: the node is the control machine itself.
    pub fn new(channel: Box<dyn Channel>, local: bool) -> Self {
        let nonce = nonce();
        let local = if local { "1" } else { "" };
        let core = format!("H={nonce} LL={local}\n{CORE}");
        let mut shell = Self {
            channel,
            marker: format!("{nonce}= ").into_bytes(),
            nonce,
            inbox: Inbox::default(),
            searched: 0,
            outgoing: Outgoing::default(),
            loaded: vec![],
            greeted: None,
            sent: 0,
            received: 0,
            processes: 6,
            sequence: 0,
            dead: false,
        };
        shell.push(format!("{}\n{core}", core.len()).into_bytes());
        shell
    }

    /// Waits for any of these on the channel before the shell speaks (a password prompt), or for the shell's first words.
    /// Gives the index of the text that came.
    pub fn await_prompt(&mut self, prompts: &[&str], wait: Duration) -> Result<Option<usize>, ShellError> {
        let until = Instant::now() + wait;
        // Only one bit of the bootstrap may be sent before the prompt is answered: none.
        loop {
            for (i, prompt) in prompts.iter().enumerate() {
                if memmem::find(&self.inbox.err, prompt.as_bytes()).is_some() {
                    self.inbox.err.clear();
                    return Ok(Some(i));
                }
            }
            if memmem::find(&self.inbox.out, b"kd-ready\n").is_some() {
                return Ok(None);
            }
            if self.inbox.eof {
                return Err(self.lost("the shell ended before it was asked anything".into()));
            }
            if Instant::now() >= until {
                return Err(ShellError::Timeout(wait));
            }
            let before = self.inbox.out.len() + self.inbox.err.len();
            if let Err(e) = self.channel.exchange(&[], &mut self.inbox, until) {
                return Err(self.broken(e));
            }
            self.received += (self.inbox.out.len() + self.inbox.err.len() - before) as u64;
        }
    }

    /// Sends bytes before everything else (an answer to a prompt), at once.
    pub fn send_now(&mut self, bytes: &[u8], wait: Duration) -> Result<(), ShellError> {
        let until = Instant::now() + wait;
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.channel.exchange(rest, &mut self.inbox, until) {
                Ok(n) => rest = &rest[n..],
                Err(e) => return Err(self.lost(e.0)),
            }
            if self.inbox.eof {
                return Err(self.lost("the shell ended".into()));
            }
            if Instant::now() >= until {
                return Err(ShellError::Timeout(wait));
            }
        }
        self.sent += bytes.len() as u64;
        Ok(())
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.outgoing.push(Piece::Bytes(Arc::new(bytes)));
    }

    /// Puts the functions of a library before the next request, once.
    pub fn need(&mut self, library: Library) {
        if !self.loaded.contains(&library) {
            self.loaded.push(library);
            let text = match library {
                Library::Query => QUERY,
                Library::Action => ACTION,
                Library::Ledger => LEDGER,
                Library::Confirm => CONFIRM,
            };
            self.request('b', text, None);
        }
    }

    /// Queues one request. Kind `b` begins a batch, `r` goes on with it.
    pub fn request(&mut self, kind: char, script: &str, blob: Option<Piece>) {
        let blob_length = blob.as_ref().map_or(0, Piece::len);
        // Short ones are read by the shell itself, which costs a system call per byte but no process.
        let text = if script.len() < 1500 && !script.contains('\n') {
            format!("{kind} + {blob_length}\n{script}\n")
        } else {
            format!("{kind} {} {blob_length}\n{script}", script.len())
        };
        self.push(text.into_bytes());
        if let (Some(blob), true) = (blob, blob_length > 0) {
            self.outgoing.push(blob);
            self.push(format!("{}\n", self.nonce).into_bytes());
        }
    }

    /// A name for a temporary file, unique on the node, to be put into a directory.
    pub fn temporary_name(&mut self) -> String {
        self.sequence += 1;
        format!(".kdeploy.{}.{}", &self.nonce[..12], self.sequence)
    }

    /// The login's facts; waits for the shell's first words if they are not here yet.
    pub fn hello(&mut self, wait: Option<Duration>) -> Result<(Hello, Vec<String>), ShellError> {
        if self.greeted.is_none() {
            self.pump(wait, true, &mut |_| Ok(false))?;
        }
        self.greeted.clone().ok_or_else(|| self.lost("the shell gave no greeting".into()))
    }

    pub fn is_greeted(&self) -> bool {
        self.greeted.is_some()
    }

    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Sends what is queued and hands each arriving section to `take`, until it says true. `wait`: the longest silence.
    pub fn converse(
        &mut self,
        wait: Option<Duration>,
        take: &mut dyn FnMut(Section) -> Result<bool, ShellError>,
    ) -> Result<(), ShellError> {
        self.pump(wait, false, take)
    }

    fn pump(
        &mut self,
        wait: Option<Duration>,
        only_greeting: bool,
        take: &mut dyn FnMut(Section) -> Result<bool, ShellError>,
    ) -> Result<(), ShellError> {
        let silence = wait.unwrap_or(Duration::from_secs(365 * 86400));
        let mut until = Instant::now() + silence;
        loop {
            while let Some(section) = self.next_section() {
                if self.greeted.is_none() {
                    match section.tag.as_str() {
                        "hello" => {
                            self.greeted = Some(parse_hello(&section.body));
                            if only_greeting {
                                return Ok(());
                            }
                            continue;
                        }
                        "nodir" => {
                            return Err(self.lost("no writable directory for temporary files on the node".into()));
                        }
                        _ => {}
                    }
                }
                if take(section)? {
                    return Ok(());
                }
            }
            if self.inbox.eof {
                return Err(self.lost("the shell on the node ended".into()));
            }
            if Instant::now() >= until {
                self.dead = true;
                return Err(ShellError::Timeout(silence));
            }
            let chunk = match self.outgoing.peek() {
                Ok(chunk) => chunk,
                Err(e) => return Err(self.lost(e.to_string())),
            };
            let before = self.inbox.out.len() + self.inbox.err.len();
            match self.channel.exchange(chunk, &mut self.inbox, until) {
                Ok(n) => {
                    self.outgoing.advance(n);
                    self.sent += n as u64;
                    let came = self.inbox.out.len() + self.inbox.err.len() - before;
                    self.received += came as u64;
                    if n > 0 || came > 0 {
                        until = Instant::now() + silence;
                    }
                }
                Err(e) => return Err(self.broken(e)),
            }
            if self.inbox.err.len() > 64 * 1024 {
                self.inbox.err.drain(..32 * 1024);
            }
        }
    }

    fn lost(&mut self, why: String) -> ShellError {
        self.dead = true;
        ShellError::Lost { why, stderr: String::from_utf8_lossy(&self.inbox.err).trim().to_owned(), broken: false }
    }

    fn broken(&mut self, error: ChannelError) -> ShellError {
        self.dead = true;
        ShellError::Lost {
            why: error.0,
            stderr: String::from_utf8_lossy(&self.inbox.err).trim().to_owned(),
            broken: true,
        }
    }

    fn next_section(&mut self) -> Option<Section> {
        let from = self.searched.saturating_sub(self.marker.len());
        let Some(at) = memmem::find(&self.inbox.out[from..], &self.marker).map(|i| i + from) else {
            self.searched = self.inbox.out.len();
            return None;
        };
        let tag_from = at + self.marker.len();
        let Some(tag_len) = memchr::memchr(b'\n', &self.inbox.out[tag_from..]) else {
            self.searched = at;
            return None;
        };
        let tag = String::from_utf8_lossy(&self.inbox.out[tag_from..tag_from + tag_len]).into_owned();
        let rest = self.inbox.out.split_off(tag_from + tag_len + 1);
        let mut body = std::mem::replace(&mut self.inbox.out, rest);
        body.truncate(at);
        self.searched = 0;
        if self.greeted.is_none() {
            // What the login shell's start-up files printed comes before the greeting.
            if let Some(i) = memmem::rfind(&body, b"uid=") {
                body.drain(..i);
            }
        }
        Some(Section { body, tag })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.channel.close();
    }
}

pub(super) fn nonce() -> String {
    let mut bytes = [0u8; 16];
    let random = File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    // Without random numbers nothing here is safe: better to stop than to go on with a guessable name.
    random.expect("/dev/urandom gives random bytes");
    hex::encode(bytes)
}

/// `id`'s line, home, boot id, machine id, tools.
fn parse_hello(body: &[u8]) -> (Hello, Vec<String>) {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.split('\n');
    let id = lines.next().unwrap_or_default();
    let uid = id.strip_prefix("uid=").unwrap_or_default();
    let digits: String = uid.chars().take_while(char::is_ascii_digit).collect();
    let user = uid[digits.len()..].strip_prefix('(').and_then(|r| r.split_once(')')).map_or("", |(name, _)| name);
    let hello = Hello {
        uid: digits.parse().unwrap_or_default(),
        user: user.to_owned(),
        home: lines.next().unwrap_or_default().to_owned(),
        boot_id: lines.next().unwrap_or_default().to_owned(),
        machine_id: lines.next().unwrap_or_default().to_owned(),
    };
    let tools = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    (hello, tools)
}
